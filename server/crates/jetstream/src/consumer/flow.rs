//! Push consumers: interest, flow control window, rate limit, heartbeats
//! (contract/jetstream.md §4.5).

use super::header::number_field;
use super::leader::Leader;
use super::rules::Rules;
use super::{Cx, Wake, outgoing, status};
use crate::config::AckPolicy;
use crate::effect::{Effect, Nanos, Outgoing};
use bytes::Bytes;

/// The window a consumer starts with, and where doubling ends.
const FIRST_WINDOW: u64 = 2 << 20;
const MAX_WINDOW: u64 = 32 << 20;
/// Burst of the rate limit if the stream does not say how large messages get.
const DEFAULT_BURST: u64 = 1 << 20;

/// State of a push consumer.
#[derive(Debug)]
pub(super) struct Push {
    /// Whether somebody listens.
    pub active: bool,
    /// Since when nobody does.
    pub inactive_since: Nanos,
    /// When the next heartbeat is due.
    pub heartbeat_at: Option<Nanos>,
    /// Bytes that may be outstanding.
    window: u64,
    /// Bytes sent and not covered by an answer.
    outstanding: u64,
    /// Reply subject of the open request; empty = none is open.
    open: Bytes,
    /// Bytes the open request covers.
    covered: u64,
    /// Rate limit: when everything sent so far is paid for, in ns.
    paid_until: Nanos,
}

impl Push {
    pub fn new(now: Nanos) -> Self {
        Push {
            active: false,
            inactive_since: now,
            heartbeat_at: None,
            window: FIRST_WINDOW,
            outstanding: 0,
            open: Bytes::new(),
            covered: 0,
            paid_until: 0,
        }
    }

    /// Whether there is interest and room in the window.
    pub fn may_send(&self, r: &Rules) -> bool {
        self.active && !(r.flow_control && self.outstanding > self.window)
    }
}

impl Leader {
    /// Looks whether somebody listens on the deliver subject.
    pub fn check_interest(&mut self, r: &Rules, cx: &mut Cx<'_>) -> Wake {
        if !r.push {
            return Wake::NO;
        }
        let active = cx.interest.has_group(&r.deliver_subject, &r.deliver_group);
        if active == self.push.active {
            return Wake::NO;
        }
        if active {
            // Whoever owed an answer is gone.
            self.push = Push { active, ..Push::new(cx.now) };
            self.schedule_heartbeat(r, cx.now);
            return Wake::DELIVER;
        }
        (self.push.active, self.push.inactive_since) = (false, cx.now);
        self.push.heartbeat_at = None;
        Wake::NO
    }

    fn schedule_heartbeat(&mut self, r: &Rules, now: Nanos) {
        self.push.heartbeat_at = (r.heartbeat > 0).then(|| now.saturating_add(r.heartbeat));
    }

    /// Addresses a message; `false` if the rate limit asks to wait.
    pub fn push_target(&mut self, r: &Rules, now: Nanos, size: usize, out: &mut Outgoing) -> bool {
        if r.rate > 0 {
            let cost = |bytes: u64| {
                let ns = u128::from(bytes) * 1_000_000_000 / u128::from(r.rate);
                i64::try_from(ns).unwrap_or(i64::MAX)
            };
            let after = self.push.paid_until.max(now).saturating_add(cost(size as u64));
            let due = after.saturating_sub(cost(r.burst));
            if due > now {
                self.hold_until = Some(due);
                return false;
            }
            self.push.paid_until = after;
        }
        out.to = r.deliver_subject.clone();
        out.queue = r.deliver_group.clone();
        true
    }

    /// After a message was pushed.
    pub fn pushed(&mut self, r: &Rules, cx: &mut Cx<'_>, size: usize) {
        self.schedule_heartbeat(r, cx.now);
        if !r.flow_control {
            return;
        }
        let p = &mut self.push;
        p.outstanding += size as u64;
        if !p.open.is_empty() {
            if p.outstanding.saturating_sub(p.covered) >= p.window {
                p.covered += size as u64;
            }
            return;
        }
        let at_limit =
            r.policy == AckPolicy::FlowControl && self.live.pending.len() >= r.max_pending;
        if p.outstanding > p.window / 2 || at_limit {
            self.request_flow(r, cx);
        }
    }

    fn request_flow(&mut self, r: &Rules, cx: &mut Cx<'_>) {
        let random = self.random.next();
        let reply = self.replies.flow(random);
        self.push.covered = self.push.outstanding;
        self.push.open = reply.clone();
        cx.out.push(Effect::Publish(Outgoing {
            reply,
            headers: Bytes::from_static(status::FLOW_CONTROL),
            queue: r.deliver_group.clone(),
            ..outgoing(&r.deliver_subject)
        }));
    }

    pub fn flow_answer(
        &mut self,
        r: &Rules,
        cx: &mut Cx<'_>,
        subject: &[u8],
        headers: &[u8],
    ) -> Wake {
        let p = &mut self.push;
        if p.open.is_empty() || p.open != subject {
            return Wake::NO;
        }
        p.window = (p.window * 2).min(MAX_WINDOW);
        p.outstanding = p.outstanding.saturating_sub(p.covered);
        (p.open, p.covered) = (Bytes::new(), 0);
        if r.policy == AckPolicy::FlowControl {
            let stream = number_field(headers, "Nats-Last-Stream").unwrap_or(0);
            let consumer = number_field(headers, "Nats-Last-Consumer").unwrap_or(0);
            if stream > 0 && stream <= self.live.delivered.stream {
                self.ack_up_to(r, cx, consumer, stream);
                self.trim_deadlines(r);
            }
        }
        Wake::DELIVER
    }

    /// Sends the heartbeat of a push consumer if it is due.
    pub fn push_heartbeat(&mut self, r: &Rules, cx: &mut Cx<'_>) {
        if self.push.heartbeat_at.is_none_or(|t| t > cx.now) {
            return;
        }
        let (last_consumer, last_stream) = self.last_sequences(cx);
        let headers = status::heartbeat(last_consumer, last_stream, &self.push.open);
        cx.out.push(Effect::Publish(Outgoing {
            headers,
            queue: r.deliver_group.clone(),
            ..outgoing(&r.deliver_subject)
        }));
        let unacked = !self.live.pending.is_empty();
        if r.policy == AckPolicy::FlowControl && unacked && self.push.open.is_empty() {
            self.request_flow(r, cx);
        }
        self.schedule_heartbeat(r, cx.now);
    }

    /// Bytes the rate limit lets through at once.
    pub fn burst(stream: &super::StreamFacts) -> u64 {
        if stream.max_message > 0 { stream.max_message } else { DEFAULT_BURST }
    }
}
