//! Picking the next message and sending it: redeliveries first, then the
//! candidates of `last_per_subject`, then the linear walk.

use super::leader::Leader;
use super::rules::Rules;
use super::state::Op;
use super::{Cx, status};
use crate::config::AckPolicy;
use crate::effect::{Effect, Nanos, Outgoing};
use bytes::Bytes;
use gust_storage::record::StoredMessage;
use std::cmp::Reverse;

/// Message bytes one call of `deliver` sends at most (plus one message), so that
/// a turn of the shard stays short.
const MAX_TURN_BYTES: usize = 8 << 20;
/// Delivery pauses while this many bytes of delta have not been taken.
const MAX_DELTA: usize = 1 << 20;
/// How long delivery rests after the store failed to read.
const STORE_RETRY: Nanos = 1_000_000_000;
/// Replay gaps shorter than this are not slept.
const REPLAY_GRAIN: Nanos = 1_000_000;

/// What there is to send.
enum Next {
    Message(StoredMessage, u64),
    Drained,
    MaxPending,
    Failed,
}

/// Why a turn ended.
#[derive(PartialEq, Eq)]
enum End {
    Budget,
    Wait,
    MaxPending,
}

impl Leader {
    pub fn deliver(&mut self, r: &Rules, cx: &mut Cx<'_>, budget: usize) -> bool {
        self.turn += 1;
        if r.push {
            self.check_interest(r, cx);
        }
        let (mut left, mut bytes) = (budget, 0);
        let end = loop {
            if !self.may_deliver(r, cx.now) {
                break End::Wait;
            }
            if left == 0 || bytes > MAX_TURN_BYTES || self.delta.len() > MAX_DELTA {
                break End::Budget;
            }
            match self.next_message(r, cx) {
                Next::Message(m, deliveries) => match self.send(r, cx, m, deliveries) {
                    Some(size) => {
                        left -= 1;
                        bytes += size;
                    }
                    None => break End::Wait,
                },
                Next::Drained => break End::Wait,
                Next::MaxPending => break End::MaxPending,
                Next::Failed => {
                    self.hold_until = Some(cx.now + STORE_RETRY);
                    break End::Wait;
                }
            }
        };
        if end == End::Budget {
            return true;
        }
        // One-shot requests must not end because of max_ack_pending or a sleep.
        let drained = end == End::Wait && self.hold_until.is_none();
        if !r.push && ((drained && self.waiting.has_no_wait()) || self.waiting_due(cx.now)) {
            self.check_waiting(r, cx, drained);
        }
        false
    }

    fn may_deliver(&mut self, r: &Rules, now: Nanos) -> bool {
        if r.paused(now) {
            return false;
        }
        match self.hold_until {
            Some(t) if now < t => return false,
            _ => self.hold_until = None,
        }
        if r.push { self.push.may_send(r) } else { !self.waiting.is_empty() }
    }

    fn next_message(&mut self, r: &Rules, cx: &mut Cx<'_>) -> Next {
        while let Some(seq) = self.redeliver.pop_front() {
            if !self.queued.remove(&seq) || !self.live.pending.contains_key(&seq) {
                continue;
            }
            let deliveries = self.live.deliveries(seq) + 1;
            if r.max_deliver > 0 && deliveries > r.max_deliver {
                self.exceed(r, cx, seq);
                continue;
            }
            match cx.store.load(seq) {
                Ok(Some(m)) => return Next::Message(m, deliveries),
                Ok(None) => self.terminate_removed(r, cx, seq),
                Err(_) => {
                    self.put_back(seq);
                    return Next::Failed;
                }
            }
        }
        if r.policy != AckPolicy::None && self.live.pending.len() >= r.max_pending {
            return Next::MaxPending;
        }
        self.next_new(r, cx)
    }

    fn next_new(&mut self, r: &Rules, cx: &mut Cx<'_>) -> Next {
        while let Some(skip) = &self.live.skip {
            let Some(&seq) = skip.seqs.front() else { break };
            match cx.store.load(seq) {
                Ok(Some(m)) => return Next::Message(m, 1),
                Ok(None) => {
                    self.op(r, Op::SkipGone { seq });
                    if self.live.skip.is_none() {
                        self.cursor = self.cursor.max(self.live.next);
                        self.recount(r, cx);
                    }
                }
                Err(_) => return Next::Failed,
            }
        }
        self.cursor = self.cursor.max(self.live.next);
        if self.num_pending == 0 {
            self.pass_end(cx);
            return Next::Drained;
        }
        match cx.store.next(r.subjects.filter(), self.cursor) {
            Ok(Some(m)) => Next::Message(m, 1),
            Ok(None) => {
                self.num_pending = 0;
                self.pass_end(cx);
                Next::Drained
            }
            Err(_) => Next::Failed,
        }
    }

    /// Nothing matches up to the end of the stream.
    pub fn pass_end(&mut self, cx: &Cx<'_>) {
        if self.live.skip.is_none() {
            self.cursor = self.cursor.max(cx.store.state().last_seq + 1);
        }
    }

    /// Puts a sequence to the front of the redelivery queue.
    fn put_back(&mut self, seq: u64) {
        if self.queued.insert(seq) {
            self.redeliver.push_front(seq);
        }
    }

    /// Sends a message; `None` if nobody takes it now, then nothing changed.
    fn send(&mut self, r: &Rules, cx: &mut Cx<'_>, m: StoredMessage, times: u64) -> Option<usize> {
        let (seq, ts, fresh) = (m.seq, m.ts, times == 1);
        let dseq = self.live.delivered.consumer + 1;
        let left = if fresh { self.num_pending.saturating_sub(1) } else { self.num_pending };
        let reply = self.replies.ack(times, seq, dseq, ts, left);
        let mut out = Outgoing {
            to: Bytes::new(),
            subject: m.subject,
            reply,
            headers: m.headers,
            payload: m.payload,
            queue: Bytes::new(),
        };
        if r.headers_only {
            self.drop_payload(&mut out);
        }
        let size = out.subject.len() + out.reply.len() + out.headers.len() + out.payload.len();
        let taken = !(fresh && self.must_replay_later(r, ts, cx.now))
            && if r.push {
                self.push_target(r, cx.now, size, &mut out)
            } else {
                self.choose(r, cx, size as u64, left + u64::from(fresh), &mut out)
            };
        if !taken {
            if !fresh {
                self.put_back(seq);
            }
            return None;
        }
        if fresh {
            self.op(r, Op::Deliver { first: seq, n: 1, ts: cx.now });
            self.num_pending = left;
            self.cursor = self.cursor.max(seq + 1).max(self.live.next);
            if r.replay {
                self.replayed = Some((ts, cx.now));
            }
        } else {
            self.op(r, Op::Redeliver { seq, ts: cx.now });
        }
        self.await_ack(r, seq, times, cx.now);
        let to = out.to.clone();
        cx.out.push(Effect::Publish(out));
        if r.push {
            self.pushed(r, cx, size);
        } else {
            self.served(r, cx, &to);
        }
        self.last_activity = cx.now;
        self.last_delivery = Some(cx.now);
        Some(size)
    }

    fn drop_payload(&mut self, out: &mut Outgoing) {
        let len = std::mem::take(&mut out.payload).len() as u64;
        let buf = self.replies.room(20);
        crate::decimal::put(buf, len);
        let value = buf.split().freeze();
        let buf = self.replies.room(out.headers.len() + 64);
        out.headers = status::with_field(&out.headers, "Nats-Msg-Size", &value, buf);
    }

    /// Replay sleeps the recorded gap between messages stored before the
    /// consumer was created.
    fn must_replay_later(&mut self, r: &Rules, ts: Nanos, now: Nanos) -> bool {
        let Some((last_ts, sent)) = self.replayed.filter(|_| r.replay && ts < r.created) else {
            return false;
        };
        let due = sent.saturating_add(ts.saturating_sub(last_ts));
        let later = due > now.saturating_add(REPLAY_GRAIN);
        if later {
            self.hold_until = Some(due);
        }
        later
    }

    /// Starts the ack wait of a delivery.
    fn await_ack(&mut self, r: &Rules, seq: u64, times: u64, now: Nanos) {
        let wait = r.wait(times);
        if r.policy != AckPolicy::None && wait > 0 {
            self.deadlines.push(Reverse((now.saturating_add(wait), seq)));
        }
    }
}
