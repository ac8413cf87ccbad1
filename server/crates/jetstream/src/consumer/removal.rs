//! Messages that come and go while the consumer runs.

use super::leader::Leader;
use super::rules::Rules;
use super::state::{ConsumerState, Op};
use super::{Cx, Wake};
use crate::config::AckPolicy;

/// Whether a matching message must be kept for a consumer in this state.
pub(super) fn needs(s: &ConsumerState, r: &Rules, seq: u64) -> bool {
    if !s.started() || s.redelivered.contains_key(&seq) {
        return true;
    }
    if seq <= s.ack_floor.stream {
        return false;
    }
    r.policy != AckPolicy::Explicit || seq >= s.next || s.pending.contains_key(&seq)
}

impl Leader {
    /// A matching message was stored.
    pub fn stored(&mut self, r: &Rules, seq: u64) -> Wake {
        if seq < self.live.next {
            return Wake::NO;
        }
        // The walk may have passed it while looking for the end of the stream.
        self.cursor = self.cursor.min(seq);
        self.num_pending += 1;
        let wanted = if r.push { self.push.active } else { !self.waiting.is_empty() };
        Wake { deliver: wanted, delete: false }
    }

    pub fn removed(&mut self, r: &Rules, cx: &mut Cx<'_>, seq: u64, subject: &[u8]) -> Wake {
        let undelivered = match &self.live.skip {
            Some(skip) if seq < skip.resume => skip.seqs.binary_search(&seq).is_ok(),
            _ => seq >= self.cursor && r.subjects.matches(subject),
        };
        if undelivered {
            self.num_pending = self.num_pending.saturating_sub(1);
        }
        if !self.live.pending.contains_key(&seq) && !self.live.redelivered.contains_key(&seq) {
            return Wake::NO;
        }
        let full = self.live.pending.len() >= r.max_pending;
        self.terminate_removed(r, cx, seq);
        Wake { deliver: full, delete: false }
    }

    pub fn bulk_removed(&mut self, r: &Rules, cx: &mut Cx<'_>) -> Wake {
        let full = self.live.pending.len() >= r.max_pending;
        let first = cx.store.state().first_seq;
        if first > self.live.next {
            self.op(r, Op::Advance { next: first });
        }
        self.drop_gone(r, cx);
        self.cursor = self.cursor.max(self.live.next);
        self.recount(r, cx);
        self.forget_gone_candidates(cx);
        Wake { deliver: full, delete: false }
    }

    /// Drops what is tracked but no longer in the stream.
    pub fn drop_gone(&mut self, r: &Rules, cx: &mut Cx<'_>) {
        let state = cx.store.state();
        let first = state.first_seq;
        let lowest = self.live.pending.keys().chain(self.live.redelivered.keys()).min();
        if lowest.is_some_and(|s| *s < first) {
            self.op(r, Op::Advance { next: first });
        }
        if state.deleted > 0 || state.msgs == 0 {
            let gone: Vec<u64> = self
                .live
                .pending
                .keys()
                .chain(self.live.redelivered.keys())
                .copied()
                .filter(|seq| matches!(cx.store.load(*seq), Ok(None)))
                .collect();
            for seq in gone {
                self.op(r, Op::Ack { first: seq, n: 1 });
            }
        }
        let pending = &self.live.pending;
        self.queued.retain(|seq| pending.contains_key(seq));
        self.trim_deadlines(r);
    }

    /// [`Leader::recount`] takes all candidates of `last_per_subject` to exist.
    pub fn forget_gone_candidates(&mut self, cx: &Cx<'_>) {
        if let Some(skip) = &self.live.skip {
            let gone = |seq: &&u64| matches!(cx.store.load(**seq), Ok(None));
            let n = skip.seqs.iter().filter(gone).count() as u64;
            self.num_pending = self.num_pending.saturating_sub(n);
        }
    }
}
