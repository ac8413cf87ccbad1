//! Advisories and the ack metric (contract/jetstream.md §6). Nothing is built
//! unless somebody listens.

use super::Cx;
use super::ack_subject::AckSubject;
use super::leader::Leader;
use super::rules::Rules;
use crate::api::advisory::{
    ConsumerAck, ConsumerPause, Event, GroupPinned, GroupUnpinned, MaxDeliver, MsgNaked,
    MsgTerminated,
};
use crate::effect::Effect;
use crate::json;
use crate::time::Time;
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

/// What every document names.
struct Names {
    event: Event,
    stream: String,
    consumer: String,
    domain: String,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Leader {
    /// Sends what `make` writes to `<subject>.<stream>.<consumer>` if somebody
    /// listens there.
    fn advise<T: Serialize>(
        &mut self,
        r: &Rules,
        cx: &mut Cx<'_>,
        (subject, kind): (&str, &str),
        make: impl FnOnce(Names) -> T,
    ) {
        let mut to = BytesMut::with_capacity(subject.len() + cx.stream.name.len() + 32);
        to.put_slice(subject.as_bytes());
        for name in [&cx.stream.name[..], &r.name[..]] {
            to.put_u8(b'.');
            to.put_slice(name);
        }
        if !cx.interest.has(&to) {
            return;
        }
        let document = make(Names {
            event: Event::new(kind, text(&self.random.id()), cx.now),
            stream: text(&cx.stream.name),
            consumer: text(&r.name),
            domain: text(&cx.stream.domain),
        });
        let payload: Bytes = json::to_bytes(&document);
        cx.out.push(Effect::Advise { subject: to.freeze(), payload });
    }

    pub fn nak_advisory(&mut self, r: &Rules, cx: &mut Cx<'_>, a: &AckSubject<'_>) {
        let (consumer_seq, stream_seq) = (a.consumer_seq, a.stream_seq);
        let deliveries = a.deliveries;
        self.advise(r, cx, (MsgNaked::SUBJECT, MsgNaked::TYPE), |n| {
            let Names { event, stream, consumer, domain } = n;
            MsgNaked { event, stream, consumer, consumer_seq, stream_seq, deliveries, domain }
        });
    }

    pub fn terminated_advisory(
        &mut self,
        r: &Rules,
        cx: &mut Cx<'_>,
        stream_seq: u64,
        consumer_seq: u64,
        deliveries: u64,
        reason: &[u8],
    ) {
        self.advise(r, cx, (MsgTerminated::SUBJECT, MsgTerminated::TYPE), |n| MsgTerminated {
            event: n.event,
            stream: n.stream,
            consumer: n.consumer,
            consumer_seq,
            stream_seq,
            deliveries,
            reason: text(reason),
            domain: n.domain,
        });
    }

    pub fn max_deliver_advisory(
        &mut self,
        r: &Rules,
        cx: &mut Cx<'_>,
        stream_seq: u64,
        deliveries: u64,
    ) {
        self.advise(r, cx, (MaxDeliver::SUBJECT, MaxDeliver::TYPE), |n| {
            let Names { event, stream, consumer, domain } = n;
            MaxDeliver { event, stream, consumer, stream_seq, deliveries, domain }
        });
    }

    pub fn pause_advisory(&mut self, r: &Rules, cx: &mut Cx<'_>) {
        let paused = r.paused(cx.now);
        let pause_until = r.pause_until.map(Time::from_nanos);
        self.advise(r, cx, (ConsumerPause::SUBJECT, ConsumerPause::TYPE), |n| {
            let Names { event, stream, consumer, domain } = n;
            ConsumerPause { event, stream, consumer, paused, pause_until, domain }
        });
    }

    pub fn pinned_advisory(&mut self, r: &Rules, cx: &mut Cx<'_>) {
        let (account, pinned_id) = (text(&cx.stream.account), text(&self.pin.id));
        let group = r.groups.first().cloned().unwrap_or_default();
        self.advise(r, cx, (GroupPinned::SUBJECT, GroupPinned::TYPE), |n| {
            let Names { event, stream, consumer, domain } = n;
            GroupPinned { event, account, stream, consumer, domain, group, pinned_id }
        });
    }

    pub fn unpinned_advisory(&mut self, r: &Rules, cx: &mut Cx<'_>, reason: &'static str) {
        let (account, reason) = (text(&cx.stream.account), reason.to_owned());
        let group = r.groups.first().cloned().unwrap_or_default();
        self.advise(r, cx, (GroupUnpinned::SUBJECT, GroupUnpinned::TYPE), |n| {
            let Names { event, stream, consumer, domain } = n;
            GroupUnpinned { event, account, stream, consumer, domain, group, reason }
        });
    }

    /// Reports a share of the acks.
    pub fn sample(&mut self, r: &Rules, cx: &mut Cx<'_>, a: &AckSubject<'_>) {
        if r.sample == 0 || (r.sample < 100 && self.random.next() % 100 >= r.sample) {
            return;
        }
        let Some(p) = self.live.pending.get(&a.stream_seq) else { return };
        let ack_time = cx.now - p.ts;
        let (consumer_seq, stream_seq) = (a.consumer_seq, a.stream_seq);
        let deliveries = a.deliveries;
        self.advise(r, cx, (ConsumerAck::SUBJECT, ConsumerAck::TYPE), |n| ConsumerAck {
            event: n.event,
            stream: n.stream,
            consumer: n.consumer,
            consumer_seq,
            stream_seq,
            ack_time,
            deliveries,
            domain: n.domain,
        });
    }
}
