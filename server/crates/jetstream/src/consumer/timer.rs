//! What is due when. An idle consumer without heartbeats, pending acks or an
//! inactivity threshold has no deadline at all.

use super::leader::Leader;
use super::rules::Rules;
use super::{Cx, Wake};
use crate::effect::Nanos;

impl Leader {
    pub fn next_deadline(&mut self, r: &Rules) -> Option<Nanos> {
        let ack = self.ack_deadline(r);
        let waiting = self.waiting.next_event();
        let hold = self.hold_until.filter(|_| r.push || !self.waiting.is_empty());
        [
            ack,
            waiting,
            hold,
            self.push.heartbeat_at,
            self.pause_ends,
            self.pin.until,
            self.idle_at(r),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub fn on_timer(&mut self, r: &Rules, cx: &mut Cx<'_>) -> Wake {
        let now = cx.now;
        let due = |t: Option<Nanos>| t.is_some_and(|t| t <= now);
        let mut wake = Wake { deliver: self.expire_acks(r, cx), delete: false };
        if self.waiting_due(now) {
            self.check_waiting(r, cx, false);
        }
        if due(self.hold_until) {
            self.hold_until = None;
            wake.deliver = true;
        }
        if due(self.push.heartbeat_at) {
            wake.deliver |= self.check_interest(r, cx).deliver;
            self.push_heartbeat(r, cx);
        }
        if due(self.pause_ends) {
            self.pause_ends = None;
            self.pause_advisory(r, cx);
            wake.deliver = true;
        }
        if due(self.pin.until) {
            wake.deliver |= self.drop_pin(r, cx, "timeout").deliver;
        }
        if due(self.idle_at(r)) {
            wake.delete = self.is_idle(r, cx);
        }
        wake
    }

    /// When inactivity must be judged.
    fn idle_at(&self, r: &Rules) -> Option<Nanos> {
        if r.inactive_threshold == 0 || (r.push && self.push.active) {
            return None;
        }
        let since = if r.push { self.push.inactive_since } else { self.last_activity };
        let at = since.saturating_add(r.inactive_threshold).saturating_add(self.jitter);
        Some(at.max(self.idle_floor))
    }

    fn is_idle(&mut self, r: &Rules, cx: &mut Cx<'_>) -> bool {
        let again = cx.now.saturating_add(r.inactive_threshold).saturating_add(self.jitter);
        if r.push {
            self.check_interest(r, cx);
            self.idle_floor = again;
            return !self.push.active;
        }
        self.check_waiting(r, cx, false);
        // Asked again later if the owner does not delete it.
        self.idle_floor = again;
        if !self.waiting.is_empty() {
            return false;
        }
        // A client may still work on what it got: the threshold counts from the
        // last moment an ack is awaited.
        let last_wait = self
            .live
            .pending
            .iter()
            .map(|(seq, p)| p.ts.saturating_add(r.wait(self.live.deliveries(*seq))))
            .max();
        if let Some(t) = last_wait {
            let until = t.saturating_add(r.inactive_threshold).saturating_add(self.jitter);
            if until > cx.now {
                self.idle_floor = until;
                return false;
            }
        }
        true
    }
}
