//! Finding the neighbours of a subject: subject tables of sealed blocks, links
//! and short scans in open ones.

use super::super::StoreError;
use super::super::query::Log;
use super::FileStore;
use super::blocks::{Block, Map, OpenSlot, SealedMap};
use crate::index::core::Core;
use crate::index::subjects::SubjectEntry;
use crate::record::read_frame_unchecked;
use bytes::Bytes;
use std::ops::ControlFlow;

/// Links to removed messages that are followed before an end is left to be
/// repaired when somebody asks.
const MAX_STEPS: usize = 32;
/// Subjects with at most so many messages are walked back from the last one: one
/// slot each, about 1 µs, where each block's table costs as much and more to
/// load. Covers `max_msgs_per_subject` of key-value buckets.
const MAX_WALK: u64 = 64;

impl FileStore {
    fn open_slot(&self, seq: u64) -> Option<OpenSlot> {
        let block = &self.blocks[self.block_index(seq)?];
        match &block.map {
            Map::Open(map) => map.find((seq - block.first) as u32).map(|i| map.slots[i]),
            Map::Sealed(_) => None,
        }
    }

    /// The next live message of the subject of `seq`, if it is known without
    /// reading. Removed messages stay linked until their block goes.
    pub(super) fn known_next(&self, seq: u64) -> Option<u64> {
        let mut at = seq;
        for _ in 0..MAX_STEPS {
            at += u64::from(self.open_slot(at).filter(|s| s.next != 0)?.next);
            if self.core.is_live(at) {
                return Some(at);
            }
        }
        None
    }

    /// The same backwards.
    pub(super) fn known_prev(&self, seq: u64) -> Option<u64> {
        let mut at = seq;
        for _ in 0..MAX_STEPS {
            let slot = self.open_slot(at).filter(|s| s.slot.prev != 0)?;
            at = at.checked_sub(u64::from(slot.slot.prev))?;
            if self.core.is_live(at) {
                return Some(at);
            }
        }
        None
    }

    /// Walks the links of a subject with few messages back from its last one,
    /// slot by slot, reading no message. Calls `f` with every live one from the
    /// last to the first until it breaks; `None` if the chain is torn before.
    ///
    /// A link no checksum covers may lead anywhere. Then the last two messages
    /// the walk came to are read (its result is one of them): once a link leads
    /// to another subject's chain, the walk stays there.
    fn walk(
        &self,
        e: &SubjectEntry,
        subject: &[u8],
        mut f: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Option<()> {
        if e.count > MAX_WALK || e.last_stale {
            return None;
        }
        let mut at = e.last;
        let mut left = e.count;
        // The index, not a link, names the last message.
        let mut doubtful = [e.last; 2];
        let mut checked = true;
        for _ in 0..2 * MAX_WALK {
            if self.core.is_live(at) {
                doubtful = match checked {
                    true => [e.last; 2],
                    false => [doubtful[1], at],
                };
                left -= 1;
                if f(at).is_break() || left == 0 {
                    let is = |seq: u64| seq == e.last || self.link_is(seq, subject);
                    return doubtful.into_iter().all(is).then_some(());
                }
            }
            let block = &self.blocks[self.block_index(at)?];
            let slot = self.link(block, at).ok().filter(|s| s.0.prev != 0)?;
            checked &= slot.1;
            at = at.checked_sub(u64::from(slot.0.prev))?;
        }
        None
    }

    /// Whether the message a link led to has this subject. Leaves the cache and
    /// what is known of readers alone where it can.
    fn link_is(&self, seq: u64, subject: &[u8]) -> bool {
        let Some(block) = self.block_index(seq).map(|i| &self.blocks[i]) else { return false };
        let record = match &block.map {
            Map::Sealed(_) if block.linear => self.read_single(block, seq),
            _ => self.read_record(seq),
        };
        record.is_ok_and(|record| {
            let m = read_frame_unchecked(&record).and_then(|r| r.message());
            m.is_ok_and(|m| m.subject == subject)
        })
    }

    fn subject_is(&self, seq: u64, subject: &[u8]) -> Result<bool, StoreError> {
        self.with_subject(seq, |s| s == subject)
    }

    fn next_in_table(
        &self,
        block: &Block,
        sealed: &SealedMap,
        subject: &[u8],
        from: u64,
    ) -> Result<Option<u64>, StoreError> {
        let table = self.table(block, sealed)?;
        let Some(postings) = table.find(subject) else { return Ok(None) };
        let start = postings.lower_bound(from.saturating_sub(block.first));
        Ok((start..postings.len())
            .filter_map(|i| postings.get(i))
            .map(|rel| block.first + u64::from(rel))
            .find(|seq| self.core.is_live(*seq)))
    }

    fn count_in_table(
        &self,
        block: &Block,
        sealed: &SealedMap,
        subject: &[u8],
        from: u64,
    ) -> Result<u64, StoreError> {
        let table = self.table(block, sealed)?;
        let Some(postings) = table.find(subject) else { return Ok(0) };
        let start = postings.lower_bound(from.saturating_sub(block.first));
        if self.core.deletes.count(from, block.last) == 0 {
            return Ok((postings.len() - start) as u64);
        }
        Ok((start..postings.len())
            .filter_map(|i| postings.get(i))
            .filter(|rel| self.core.is_live(block.first + u64::from(*rel)))
            .count() as u64)
    }

    fn prev_in_table(
        &self,
        block: &Block,
        sealed: &SealedMap,
        subject: &[u8],
        upto: u64,
    ) -> Result<Option<u64>, StoreError> {
        let table = self.table(block, sealed)?;
        let Some(postings) = table.find(subject) else { return Ok(None) };
        let end = postings.lower_bound((upto + 1).saturating_sub(block.first));
        Ok((0..end)
            .rev()
            .filter_map(|i| postings.get(i))
            .map(|rel| block.first + u64::from(rel))
            .find(|seq| self.core.is_live(*seq)))
    }
}

impl Log for FileStore {
    fn core(&self) -> &Core {
        &self.core
    }

    fn record(&self, seq: u64) -> Result<Bytes, StoreError> {
        self.read_record(seq)
    }

    fn next_same(&self, subject: &[u8], from: u64) -> Result<Option<u64>, StoreError> {
        let Some(e) = self.core.subjects.borrow().get(subject) else { return Ok(None) };
        if from > e.last {
            return Ok(None);
        }
        if from <= e.first && !e.first_stale && e.first >= self.core.first_seq {
            return Ok(Some(e.first));
        }
        let mut found = None;
        let walked = self.walk(&e, subject, |seq| {
            if seq < from {
                return ControlFlow::Break(());
            }
            found = Some(seq);
            ControlFlow::Continue(())
        });
        if walked.is_some() {
            return Ok(found);
        }
        // A reader of this subject comes from its last message.
        if from > 0
            && self.core.is_live(from - 1)
            && self.open_slot(from - 1).is_some_and(|s| s.next != 0)
            && self.subject_is(from - 1, subject)?
            && let Some(next) = self.known_next(from - 1)
        {
            return Ok(Some(next));
        }
        // Scan open blocks forward and walk the links back from the end, a step
        // each, so that the shorter way decides the cost.
        let mut scan = from;
        let mut walk = if e.last_stale { None } else { Some(e.last) };
        let mut best = None;
        while let Some(seq) = self.core.next_live(scan) {
            if best.is_some_and(|b| seq >= b) {
                return Ok(best);
            }
            let Some(i) = self.block_index(seq) else {
                scan = seq + 1;
                continue;
            };
            let block = &self.blocks[i];
            if let Map::Sealed(sealed) = &block.map {
                if let Some(found) = self.next_in_table(block, sealed, subject, seq)? {
                    return Ok(Some(found));
                }
                scan = block.last + 1;
                continue;
            }
            if self.subject_is(seq, subject)? {
                return Ok(Some(seq));
            }
            scan = seq + 1;
            if let Some(at) = walk {
                if self.core.is_live(at) {
                    best = Some(at);
                }
                walk = self
                    .open_slot(at)
                    .filter(|s| s.slot.prev != 0)
                    .map(|s| at - u64::from(s.slot.prev));
                if walk.is_some_and(|w| w < from) {
                    return Ok(best);
                }
            }
        }
        Ok(None)
    }

    fn prev_same(&self, subject: &[u8], upto: u64) -> Result<Option<u64>, StoreError> {
        let Some(e) = self.core.subjects.borrow().get(subject) else { return Ok(None) };
        if upto < e.first {
            return Ok(None);
        }
        if upto >= e.last && !e.last_stale {
            return Ok(Some(e.last));
        }
        let mut found = None;
        let walked = self.walk(&e, subject, |seq| {
            if seq > upto {
                return ControlFlow::Continue(());
            }
            found = Some(seq);
            ControlFlow::Break(())
        });
        if walked.is_some() {
            return Ok(found);
        }
        let mut scan = Some(upto.min(e.last));
        let mut walk = if e.last_stale { None } else { Some(e.last) };
        while let Some(seq) = scan.and_then(|s| self.core.prev_live(s)) {
            let Some(i) = self.block_index(seq) else {
                scan = seq.checked_sub(1);
                continue;
            };
            let block = &self.blocks[i];
            if let Map::Sealed(sealed) = &block.map {
                if let Some(found) = self.prev_in_table(block, sealed, subject, seq)? {
                    return Ok(Some(found));
                }
                scan = block.first.checked_sub(1);
                continue;
            }
            if self.subject_is(seq, subject)? {
                return Ok(Some(seq));
            }
            scan = seq.checked_sub(1);
            if let Some(at) = walk {
                if at <= upto && self.core.is_live(at) {
                    return Ok(Some(at));
                }
                walk = self
                    .open_slot(at)
                    .filter(|s| s.slot.prev != 0)
                    .map(|s| at - u64::from(s.slot.prev));
            }
        }
        Ok(None)
    }

    fn count_same(&self, subject: &[u8], from: u64) -> Result<u64, StoreError> {
        let (mut n, mut at) = (0, from);
        while let Some(seq) = self.next_same(subject, at)? {
            let Some(block) = self.block_index(seq).map(|i| &self.blocks[i]) else { break };
            if let Map::Sealed(sealed) = &block.map {
                n += self.count_in_table(block, sealed, subject, seq)?;
                at = block.last + 1;
            } else {
                n += 1;
                at = seq + 1;
            }
        }
        Ok(n)
    }

    fn with_subject<T>(&self, seq: u64, f: impl FnOnce(&[u8]) -> T) -> Result<T, StoreError> {
        let record = self.read_record(seq)?;
        let m = read_frame_unchecked(&record).and_then(|r| r.message());
        m.map(|m| f(m.subject)).map_err(|e| self.unreadable(seq, &e))
    }

    fn time(&self, seq: u64) -> Result<i64, StoreError> {
        let record = self.read_record(seq)?;
        let m = read_frame_unchecked(&record).and_then(|r| r.message());
        m.map(|m| m.ts).map_err(|e| self.unreadable(seq, &e))
    }

    fn first_ts(&self) -> i64 {
        let first = self.core.first_seq;
        let (seq, ts) = self.first_ts.get();
        if seq == first {
            return ts;
        }
        match self.time(first) {
            Ok(ts) => {
                self.first_ts.set((first, ts));
                ts
            }
            // The total stays answerable when the message is damaged.
            Err(_) => 0,
        }
    }
}
