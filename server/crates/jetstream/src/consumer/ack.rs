//! Acks, NAKs, TERMs and progress (contract/jetstream.md §1.7, §4.3).

use super::ack_subject::AckSubject;
use super::leader::Leader;
use super::rules::Rules;
use super::state::Op;
use super::{Cx, Wake};
use crate::api::advisory::TERM_DELETED;
use crate::config::AckPolicy;
use crate::duration;
use crate::effect::Nanos;
use crate::json::{self, json_struct};
use bytes::Bytes;

json_struct! {
    /// Options of `-NAK`.
    pub struct NakOptions("ConsumerNakOptions") {
        /// How long to wait before the next delivery, ns.
        delay: Nanos = "delay" omit,
    }
}

impl Leader {
    pub fn ack(
        &mut self,
        r: &Rules,
        cx: &mut Cx<'_>,
        a: &AckSubject<'_>,
        reply: &Bytes,
        payload: &[u8],
    ) -> Wake {
        self.last_activity = cx.now;
        self.idle_floor = 0;
        // Beyond what was delivered: not ours (yet), no answer.
        if a.stream_seq == 0 || a.stream_seq > self.live.delivered.stream {
            return match payload.strip_prefix(b"+NXT") {
                Some(rest) => self.pull(r, cx, reply.clone(), rest),
                None => Wake::NO,
            };
        }
        let full = self.live.pending.len() >= r.max_pending;
        let wake = match payload {
            b"" | b"+ACK" | b"+OK" => {
                self.acked(r, cx, a, true);
                Wake { deliver: full, delete: false }
            }
            b"+WPI" => {
                self.progress(r, cx, a.stream_seq);
                Wake::NO
            }
            _ if payload.starts_with(b"+NXT") => {
                self.acked(r, cx, a, true);
                let next = payload.get(4..).unwrap_or_default();
                return self.pull(r, cx, reply.clone(), next);
            }
            _ if payload.starts_with(b"-NAK") => {
                self.nak(r, cx, a, payload.get(4..).unwrap_or_default())
            }
            _ if payload.starts_with(b"+TERM") => {
                let reason = payload.get(5..).unwrap_or_default().trim_ascii();
                self.acked(r, cx, a, false);
                self.terminated_advisory(r, cx, a.stream_seq, a.consumer_seq, a.deliveries, reason);
                Wake { deliver: full, delete: false }
            }
            // Unknown payloads are confirmed as well.
            _ => Wake::NO,
        };
        self.confirm(cx, reply);
        wake
    }

    fn acked(&mut self, r: &Rules, cx: &mut Cx<'_>, a: &AckSubject<'_>, sample: bool) {
        match r.policy {
            AckPolicy::Explicit => {
                if sample {
                    self.sample(r, cx, a);
                }
                let known = self.live.pending.contains_key(&a.stream_seq)
                    || self.live.redelivered.contains_key(&a.stream_seq);
                if known {
                    self.op(r, Op::Ack { first: a.stream_seq, n: 1 });
                    self.queued.remove(&a.stream_seq);
                    self.last_ack = Some(cx.now);
                }
            }
            AckPolicy::All | AckPolicy::FlowControl => {
                self.ack_up_to(r, cx, a.consumer_seq, a.stream_seq)
            }
            AckPolicy::None => {}
        }
        self.trim_deadlines(r);
    }

    pub fn ack_up_to(&mut self, r: &Rules, cx: &Cx<'_>, dseq: u64, sseq: u64) {
        let floor = self.live.ack_floor;
        if dseq <= floor.consumer || sseq <= floor.stream {
            return;
        }
        self.op(r, Op::AckUpTo { dseq, seq: sseq });
        self.queued.retain(|s| *s > sseq);
        self.last_ack = Some(cx.now);
    }

    fn progress(&mut self, r: &Rules, cx: &Cx<'_>, seq: u64) {
        if self.live.pending.contains_key(&seq) {
            self.op(r, Op::Touch { seq, ts: cx.now });
            self.rearm(r, seq);
        }
    }

    fn nak(&mut self, r: &Rules, cx: &mut Cx<'_>, a: &AckSubject<'_>, options: &[u8]) -> Wake {
        let known = self.live.pending.contains_key(&a.stream_seq);
        let (floor, last) = (self.live.ack_floor.consumer, self.live.delivered.consumer);
        if !known || a.consumer_seq <= floor || a.consumer_seq > last {
            return Wake::NO;
        }
        self.nak_advisory(r, cx, a);
        let wait = r.wait(self.live.deliveries(a.stream_seq));
        if let Some(delay) = nak_delay(options) {
            self.queued.remove(&a.stream_seq);
            let due = cx.now.saturating_add(delay);
            // The wait of this delivery ends when the delay does.
            self.op(r, Op::Touch { seq: a.stream_seq, ts: due.saturating_sub(wait) });
            if wait > 0 {
                self.rearm(r, a.stream_seq);
                return Wake { deliver: false, delete: false };
            }
        }
        if self.queued.insert(a.stream_seq) {
            self.redeliver.push_back(a.stream_seq);
            if wait > 0 {
                // A new leader shall redeliver it at once, too.
                self.op(r, Op::Touch { seq: a.stream_seq, ts: cx.now.saturating_sub(wait) });
            }
        }
        Wake::DELIVER
    }

    /// The message of a pending delivery is gone.
    pub fn terminate_removed(&mut self, r: &Rules, cx: &mut Cx<'_>, seq: u64) {
        let deliveries = self.live.deliveries(seq);
        if let Some(p) = self.live.pending.get(&seq) {
            let (dseq, reason) = (p.dseq, TERM_DELETED.as_bytes());
            self.terminated_advisory(r, cx, seq, dseq, deliveries, reason);
        }
        self.op(r, Op::Ack { first: seq, n: 1 });
        self.queued.remove(&seq);
        self.trim_deadlines(r);
    }
}

/// `None`: a plain NAK, also when the text is nonsense.
fn nak_delay(options: &[u8]) -> Option<Nanos> {
    let text = options.trim_ascii();
    match text.first()? {
        b'{' => json::parse_lenient::<NakOptions>(text).ok().map(|o| o.delay),
        _ => duration::parse(std::str::from_utf8(text).ok()?),
    }
}
