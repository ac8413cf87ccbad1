//! Advisories and the ack metric (contract/jetstream.md §6). Nothing is built
//! unless somebody listens.

use super::Cx;
use super::leader::Leader;
use super::reply::AckSubject;
use super::rules::Rules;
use crate::effect::{Effect, Nanos};
use crate::json;
use crate::time::Time;
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use std::borrow::Cow;

/// Fields of all of them, in nats-server's order; unused ones are left out.
#[derive(Debug, Default, Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: Cow<'a, str>,
    timestamp: Time,
    #[serde(skip_serializing_if = "str::is_empty")]
    account: Cow<'a, str>,
    stream: Cow<'a, str>,
    consumer: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ack_time: Option<Nanos>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_until: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pinned_id: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    domain: Cow<'a, str>,
}

/// Kinds: subject prefix and type.
type Kind = (&'static str, &'static str);
const NAK: Kind = ("$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.", "io.nats.jetstream.advisory.v1.nak");
const TERMINATED: Kind =
    ("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.", "io.nats.jetstream.advisory.v1.terminated");
const MAX_DELIVER: Kind =
    ("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.", "io.nats.jetstream.advisory.v1.max_deliver");
const PAUSE: Kind =
    ("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.", "io.nats.jetstream.advisory.v1.consumer_pause");
const PINNED: Kind =
    ("$JS.EVENT.ADVISORY.CONSUMER.PINNED.", "io.nats.jetstream.advisory.v1.consumer_group_pinned");
const UNPINNED: Kind = (
    "$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.",
    "io.nats.jetstream.advisory.v1.consumer_group_unpinned",
);
const ACK: Kind = ("$JS.EVENT.METRIC.CONSUMER.ACK.", "io.nats.jetstream.metric.v1.consumer_ack");

impl Leader {
    fn advise(&mut self, r: &Rules, cx: &mut Cx<'_>, kind: Kind, doc: Document<'_>) {
        let mut subject = BytesMut::with_capacity(kind.0.len() + cx.stream.name.len() + 32);
        subject.put_slice(kind.0.as_bytes());
        subject.put_slice(&cx.stream.name);
        subject.put_u8(b'.');
        subject.put_slice(&r.name);
        if !cx.interest.has(&subject) {
            return;
        }
        let id = self.random.id();
        let doc = Document {
            kind: kind.1,
            id: String::from_utf8_lossy(&id),
            timestamp: Time::from_nanos(cx.now),
            stream: String::from_utf8_lossy(&cx.stream.name),
            consumer: String::from_utf8_lossy(&r.name),
            domain: String::from_utf8_lossy(&cx.stream.domain),
            ..doc
        };
        let payload: Bytes = json::to_bytes(&doc);
        cx.out.push(Effect::Advise { subject: subject.freeze(), payload });
    }

    pub fn nak_advisory(&mut self, r: &Rules, cx: &mut Cx<'_>, a: &AckSubject<'_>) {
        let doc = delivery(a.sseq, Some(a.dseq), a.deliveries);
        self.advise(r, cx, NAK, doc);
    }

    pub fn terminated_advisory(
        &mut self,
        r: &Rules,
        cx: &mut Cx<'_>,
        seq: u64,
        dseq: u64,
        deliveries: u64,
        reason: Cow<'_, str>,
    ) {
        let doc = Document { reason, ..delivery(seq, Some(dseq), deliveries) };
        self.advise(r, cx, TERMINATED, doc);
    }

    pub fn max_deliver_advisory(&mut self, r: &Rules, cx: &mut Cx<'_>, seq: u64, deliveries: u64) {
        self.advise(r, cx, MAX_DELIVER, delivery(seq, None, deliveries));
    }

    pub fn pause_advisory(&mut self, r: &Rules, cx: &mut Cx<'_>) {
        let doc = Document {
            paused: Some(r.paused(cx.now)),
            pause_until: r.pause_until.map(Time::from_nanos),
            ..Default::default()
        };
        self.advise(r, cx, PAUSE, doc);
    }

    pub fn pinned_advisory(&mut self, r: &Rules, cx: &mut Cx<'_>) {
        let (id, account) = (self.pin.id.clone(), cx.stream.account.clone());
        let doc = Document {
            account: String::from_utf8_lossy(&account),
            group: r.groups.first().map(String::as_str),
            pinned_id: String::from_utf8_lossy(&id),
            ..Default::default()
        };
        self.advise(r, cx, PINNED, doc);
    }

    pub fn unpinned_advisory(&mut self, r: &Rules, cx: &mut Cx<'_>, reason: &'static str) {
        let account = cx.stream.account.clone();
        let doc = Document {
            account: String::from_utf8_lossy(&account),
            group: r.groups.first().map(String::as_str),
            reason: Cow::Borrowed(reason),
            ..Default::default()
        };
        self.advise(r, cx, UNPINNED, doc);
    }

    /// Reports a share of the acks.
    pub fn sample(&mut self, r: &Rules, cx: &mut Cx<'_>, a: &AckSubject<'_>) {
        if r.sample == 0 || (r.sample < 100 && self.random.next() % 100 >= r.sample) {
            return;
        }
        let Some(p) = self.live.pending.get(&a.sseq) else { return };
        let ack_time = Some(cx.now - p.ts);
        let doc = Document { ack_time, ..delivery(a.sseq, Some(a.dseq), a.deliveries) };
        self.advise(r, cx, ACK, doc);
    }
}

fn delivery<'a>(seq: u64, dseq: Option<u64>, deliveries: u64) -> Document<'a> {
    Document {
        consumer_seq: dseq,
        stream_seq: Some(seq),
        deliveries: Some(deliveries),
        ..Default::default()
    }
}
