//! Ack waits: a heap of deadlines whose entries may be stale. It is rebuilt when
//! most of it is stale, so it stays proportional to what is pending.

use super::Cx;
use super::leader::Leader;
use super::rules::Rules;
use super::state::Op;
use crate::effect::Nanos;
use std::cmp::Reverse;

/// Deadlines within this time are handled together.
const GRAIN: Nanos = 1_000_000;

impl Leader {
    /// When the earliest ack wait ends.
    pub fn ack_deadline(&mut self, r: &Rules) -> Option<Nanos> {
        while let Some(&Reverse((at, seq))) = self.deadlines.peek() {
            if self.due_at(r, seq) == Some(at) {
                return Some(at.saturating_add(GRAIN));
            }
            self.deadlines.pop();
        }
        None
    }

    /// When the ack wait of `seq` ends; `None` if it is not awaited.
    fn due_at(&self, r: &Rules, seq: u64) -> Option<Nanos> {
        let p = self.live.pending.get(&seq)?;
        if self.queued.contains(&seq) {
            return None;
        }
        match r.wait(self.live.deliveries(seq)) {
            0 => None,
            wait => Some(p.ts.saturating_add(wait)),
        }
    }

    /// After a change of `seq`'s base time.
    pub fn rearm(&mut self, r: &Rules, seq: u64) {
        if let Some(at) = self.due_at(r, seq) {
            self.deadlines.push(Reverse((at, seq)));
        }
    }

    /// After acks: keeps the heap small.
    pub fn trim_deadlines(&mut self, r: &Rules) {
        if self.live.pending.is_empty() {
            self.deadlines.clear();
        } else if self.deadlines.len() > 2 * self.live.pending.len() + 1024 {
            self.rebuild_deadlines(r);
        }
    }

    pub fn rebuild_deadlines(&mut self, r: &Rules) {
        self.deadlines.clear();
        let all: Vec<_> = self
            .live
            .pending
            .keys()
            .filter_map(|seq| self.due_at(r, *seq).map(|at| Reverse((at, *seq))))
            .collect();
        self.deadlines.extend(all);
    }

    /// Queues what timed out for redelivery in ascending order, or ends it if it
    /// was the last attempt. Returns whether there is something to deliver.
    pub fn expire_acks(&mut self, r: &Rules, cx: &mut Cx<'_>) -> bool {
        let was_full = self.live.pending.len() >= r.max_pending;
        let mut expired = Vec::new();
        while let Some(&Reverse((at, seq))) = self.deadlines.peek() {
            if at > cx.now {
                break;
            }
            self.deadlines.pop();
            if self.due_at(r, seq) == Some(at) {
                expired.push(seq);
            }
        }
        expired.sort_unstable();
        expired.dedup();
        let mut more = false;
        for seq in expired {
            if r.max_deliver > 0 && self.live.deliveries(seq) >= r.max_deliver {
                self.exceed(r, cx, seq);
                more |= was_full;
            } else if self.queued.insert(seq) {
                self.redeliver.push_back(seq);
                more = true;
            }
        }
        more
    }

    /// The last attempt failed: no longer pending, told once.
    pub fn exceed(&mut self, r: &Rules, cx: &mut Cx<'_>, seq: u64) {
        let deliveries = self.live.deliveries(seq);
        self.max_deliver_advisory(r, cx, seq, deliveries);
        self.op(r, Op::Exceed { seq });
        self.trim_deadlines(r);
    }
}
