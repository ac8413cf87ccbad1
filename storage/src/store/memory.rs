//! The store of streams with `storage: memory`.
//!
//! Records lie in segments of 256 sequences. Messages of one subject are linked
//! in both directions, so the ends of every subject stay exact. A segment whose
//! records are mostly removed is rewritten; an empty one is dropped.

use super::query::{self, Log};
use super::{
    Filter, Purged, Removed, StoreError, StoreState, StreamStore, SubjectState, damaged_memory,
};
use crate::block::buffer::{LARGE, RecordBuffer};
use crate::index::core::{Core, Formula};
use crate::record::{MessageView, StoredMessage, read_frame_unchecked};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

/// Sequences per segment, as a shift.
const SHIFT: u32 = 8;
const SLOTS: usize = 1 << SHIFT;
/// Allocations of one segment for small records are at most this large.
const MAX_REGION: usize = 64 << 10;
/// No record in this slot.
const ABSENT: u32 = u32::MAX;
/// A link that does not fit; the neighbour has to be searched.
const FAR: u32 = u32::MAX;

/// Messages in memory. Nothing survives the process.
#[derive(Debug)]
pub struct MemoryStore {
    core: Core,
    segments: VecDeque<Segment>,
}

#[derive(Debug)]
struct Segment {
    /// `seq >> SHIFT` of its sequences.
    key: u64,
    slots: Vec<Slot>,
    live: u32,
    /// Bytes of removed records still in `buffer`.
    dead: usize,
    buffer: RefCell<RecordBuffer>,
}

/// Where a record is, and the distances to its neighbours of the same subject
/// (0 = none).
#[derive(Debug, Clone, Copy)]
struct Slot {
    at: u32,
    prev: u32,
    next: u32,
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::new()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore { core: Core::new(false), segments: VecDeque::new() }
    }

    fn segment_index(&self, seq: u64) -> Option<usize> {
        let key = seq >> SHIFT;
        let first = self.segments.front()?.key;
        let guess = usize::try_from(key.checked_sub(first)?).ok()?;
        if self.segments.get(guess).is_some_and(|s| s.key == key) {
            return Some(guess);
        }
        self.segments.binary_search_by_key(&key, |s| s.key).ok()
    }

    fn segment(&self, seq: u64) -> Option<(&Segment, Slot)> {
        let segment = &self.segments[self.segment_index(seq)?];
        let slot = *segment.slots.get(low(seq))?;
        (slot.at != ABSENT).then_some((segment, slot))
    }

    fn slot_mut(&mut self, seq: u64) -> Option<&mut Slot> {
        let i = self.segment_index(seq)?;
        self.segments[i].slots.get_mut(low(seq)).filter(|s| s.at != ABSENT)
    }

    /// Looks at the record of a live message.
    fn view<T>(&self, seq: u64, f: impl FnOnce(&MessageView<'_>) -> T) -> Result<T, StoreError> {
        let found = self.segment(seq).and_then(|(segment, slot)| {
            let buffer = segment.buffer.borrow();
            let len = record_len(&buffer, slot.at)?;
            let frame = read_frame_unchecked(buffer.peek(slot.at, len)?).ok()?;
            Some(f(&frame.message().ok()?))
        });
        found.ok_or_else(|| damaged_memory(seq))
    }

    fn has_subject(&self, seq: u64, subject: &[u8]) -> Result<bool, StoreError> {
        Ok(self.core.is_live(seq) && self.view(seq, |m| m.subject == subject)?)
    }

    /// Neighbours of the same subject, each if it is linked.
    fn neighbours(&self, seq: u64) -> (Option<u64>, Option<u64>) {
        match self.segment(seq) {
            Some((_, s)) => (back(seq, s.prev), forth(seq, s.next)),
            None => (None, None),
        }
    }

    fn unlink(&mut self, seq: u64) -> (Option<u64>, Option<u64>) {
        let Some((_, slot)) = self.segment(seq) else { return (None, None) };
        let (prev, next) = (back(seq, slot.prev), forth(seq, slot.next));
        // A neighbour that is too far away to be linked leaves the other end
        // open: 0 would claim that there is none.
        let (to_next, to_prev) = match (prev, next) {
            (Some(p), Some(n)) => (distance(p, n), distance(p, n)),
            (Some(_), None) => (slot.next, 0),
            (None, Some(_)) => (0, slot.prev),
            (None, None) => (0, 0),
        };
        if let Some(s) = prev.and_then(|p| self.slot_mut(p)) {
            s.next = to_next;
        }
        if let Some(s) = next.and_then(|n| self.slot_mut(n)) {
            s.prev = to_prev;
        }
        (prev, next)
    }

    fn remove_live(&mut self, seq: u64, subject: &[u8]) -> Result<u64, StoreError> {
        let len = self.view(seq, |m| (m.encoded_len(), Formula::Memory.of(m)))?;
        let (prev, next) = self.unlink(seq);
        self.core.subjects.borrow_mut().remove(subject, seq, || prev, || next);
        self.core.removed(seq, len.1);
        if let Some(i) = self.segment_index(seq) {
            self.segments[i].clear(seq, len.0);
            if self.segments[i].live == 0 {
                self.segments.remove(i);
            } else if i + 1 < self.segments.len() {
                self.segments[i].compact();
            }
        }
        Ok(len.1)
    }
}

impl Segment {
    fn new(key: u64, room: usize) -> Segment {
        Segment {
            key,
            slots: Vec::new(),
            live: 0,
            dead: 0,
            buffer: RefCell::new(RecordBuffer::with_room(room, MAX_REGION)),
        }
    }

    fn push(&mut self, seq: u64, record: &[u8], prev: u32) {
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact((self.slots.len().max(2) * 2).min(SLOTS) - self.slots.len());
        }
        self.slots.resize(low(seq), Slot { at: ABSENT, prev: 0, next: 0 });
        let at = self.buffer.get_mut().push(record);
        self.slots.push(Slot { at, prev, next: 0 });
        self.live += 1;
    }

    fn clear(&mut self, seq: u64, len: usize) {
        if let Some(slot) = self.slots.get_mut(low(seq)) {
            if len >= LARGE {
                self.buffer.get_mut().release_large(slot.at);
            } else {
                self.dead += len;
            }
            *slot = Slot { at: ABSENT, prev: 0, next: 0 };
            self.live -= 1;
        }
    }

    /// Copies the live records together once half of the bytes are dead.
    fn compact(&mut self) {
        let old = self.buffer.get_mut();
        if self.dead * 2 <= old.memory() || self.dead < 512 {
            return;
        }
        let mut fresh = RecordBuffer::with_room(old.memory().saturating_sub(self.dead), MAX_REGION);
        for slot in self.slots.iter_mut().filter(|s| s.at != ABSENT) {
            if let Some(record) = record_len(old, slot.at).and_then(|n| old.peek(slot.at, n)) {
                slot.at = fresh.push(record);
            }
        }
        *old = fresh;
        self.dead = 0;
    }

    fn memory(&self) -> usize {
        size_of::<Segment>()
            + self.slots.capacity() * size_of::<Slot>()
            + self.buffer.borrow().memory()
    }
}

impl Log for MemoryStore {
    fn core(&self) -> &Core {
        &self.core
    }

    fn record(&self, seq: u64) -> Result<Bytes, StoreError> {
        let found = self.segment(seq).and_then(|(segment, slot)| {
            let mut buffer = segment.buffer.borrow_mut();
            let len = record_len(&buffer, slot.at)?;
            buffer.get(slot.at, len)
        });
        found.ok_or_else(|| damaged_memory(seq))
    }

    fn next_same(&self, subject: &[u8], from: u64) -> Result<Option<u64>, StoreError> {
        let Some(e) = self.core.subjects.borrow().get(subject) else { return Ok(None) };
        if from > e.last {
            return Ok(None);
        }
        if from <= e.first && !e.first_stale {
            return Ok(Some(e.first));
        }
        if from > 0
            && self.has_subject(from - 1, subject)?
            && let Some(next) = self.neighbours(from - 1).1
        {
            return Ok(Some(next));
        }
        // Scan forward and walk the links back from the end, a step each, so
        // that the shorter way decides the cost.
        let mut scan = from;
        let mut walk = if e.last_stale { None } else { Some(e.last) };
        while let Some(seq) = self.core.next_live(scan) {
            if self.view(seq, |m| m.subject == subject)? {
                return Ok(Some(seq));
            }
            scan = seq + 1;
            if let Some(at) = walk {
                let prev = self.segment(at).map_or(FAR, |(_, s)| s.prev);
                walk = back(at, prev);
                let below = if prev == 0 { Some(0) } else { walk };
                if below.is_some_and(|b| b < from) {
                    return Ok(Some(at));
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
        let mut scan = Some(upto);
        let mut walk = if e.first_stale { None } else { Some(e.first) };
        while let Some(seq) = scan.and_then(|s| self.core.prev_live(s)) {
            if self.view(seq, |m| m.subject == subject)? {
                return Ok(Some(seq));
            }
            scan = seq.checked_sub(1);
            if let Some(at) = walk {
                let next = self.segment(at).map_or(FAR, |(_, s)| s.next);
                walk = forth(at, next);
                let above = if next == 0 { Some(u64::MAX) } else { walk };
                if above.is_some_and(|a| a > upto) {
                    return Ok(Some(at));
                }
            }
        }
        Ok(None)
    }

    fn with_subject<T>(&self, seq: u64, f: impl FnOnce(&[u8]) -> T) -> Result<T, StoreError> {
        self.view(seq, |m| f(m.subject))
    }

    fn time(&self, seq: u64) -> Result<i64, StoreError> {
        self.view(seq, |m| m.ts)
    }

    fn first_ts(&self) -> i64 {
        self.view(self.core.first_seq, |m| m.ts).unwrap_or(0)
    }
}

impl StreamStore for MemoryStore {
    fn state(&self) -> StoreState {
        query::state(self)
    }

    fn append(&mut self, msg: &MessageView<'_>, record: &[u8]) -> Result<(), StoreError> {
        let seq = msg.seq;
        debug_assert!(seq > self.core.last_seq, "sequences only grow");
        let subjects = self.core.subjects.get_mut();
        if !subjects.admits(self.core.first_seq, seq) {
            return Err(super::span_error());
        }
        let before = subjects.append(msg.subject, seq).filter(|e| !e.last_stale);
        let prev = before.map_or(0, |e| distance(e.last, seq));
        if let Some(e) = before
            && let Some(slot) = self.slot_mut(e.last)
        {
            slot.next = prev;
        }
        let key = seq >> SHIFT;
        if self.segments.back().is_none_or(|s| s.key != key) {
            let room = match self.segments.back_mut() {
                Some(full) => {
                    let buffer = full.buffer.get_mut();
                    buffer.shrink();
                    let room = buffer.len();
                    full.compact();
                    room
                }
                None => 0,
            };
            self.segments.push_back(Segment::new(key, room.min(MAX_REGION)));
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.push(seq, record, prev);
        }
        self.core.appended(seq, msg.ts, Formula::Memory.of(msg));
        Ok(())
    }

    fn skip_to(&mut self, seq: u64, ts: i64) -> Result<(), StoreError> {
        self.core.skipped(seq, ts);
        Ok(())
    }

    fn set_first(&mut self, seq: u64) {
        self.core.emptied(seq);
    }

    fn remove(&mut self, seq: u64, _erase: bool) -> Result<Option<Removed>, StoreError> {
        if !self.core.is_live(seq) {
            return Ok(None);
        }
        let subject = self.view(seq, |m| Bytes::copy_from_slice(m.subject))?;
        let bytes = self.remove_live(seq, &subject)?;
        Ok(Some(Removed { seq, subject, bytes }))
    }

    fn remove_known(&mut self, seq: u64, subject: &[u8]) -> Result<Option<u64>, StoreError> {
        if !self.core.is_live(seq) {
            return Ok(None);
        }
        self.remove_live(seq, subject).map(Some)
    }

    fn purge_below(&mut self, seq: u64) -> Result<Purged, StoreError> {
        let mut purged = Purged::default();
        if seq > self.core.last_seq {
            purged = Purged { msgs: self.core.msgs, bytes: self.core.bytes };
            self.segments.clear();
            self.core.emptied(seq);
            return Ok(purged);
        }
        let mut subject = Vec::new();
        while let Some(at) = self.core.next_live(0).filter(|s| *s < seq) {
            self.view(at, |m| {
                subject.clear();
                subject.extend_from_slice(m.subject);
            })?;
            purged.bytes += self.remove_live(at, &subject)?;
            purged.msgs += 1;
        }
        Ok(purged)
    }

    fn purge_filter(
        &mut self,
        filter: &Filter,
        below: u64,
        keep: u64,
    ) -> Result<Purged, StoreError> {
        query::purge_filter(self, filter, below, keep)
    }

    fn load(&self, seq: u64) -> Result<Option<StoredMessage>, StoreError> {
        query::load(self, seq)
    }

    fn next(&self, filter: &Filter, from: u64) -> Result<Option<StoredMessage>, StoreError> {
        query::next(self, filter, from)
    }

    fn prev(&self, filter: &Filter, upto: u64) -> Result<Option<StoredMessage>, StoreError> {
        query::prev(self, filter, upto)
    }

    fn seq_at_time(&self, ts: i64) -> Result<u64, StoreError> {
        query::seq_at_time(self, ts)
    }

    fn subject(&self, subject: &[u8]) -> Result<Option<SubjectState>, StoreError> {
        query::subject(self, subject)
    }

    fn subjects(
        &self,
        filter: &Filter,
        limit: usize,
    ) -> Result<BTreeMap<Bytes, SubjectState>, StoreError> {
        query::subjects(self, filter, limit)
    }

    fn num_pending(
        &self,
        filter: &Filter,
        from: u64,
        last_per_subject: bool,
    ) -> Result<u64, StoreError> {
        query::num_pending(self, filter, from, last_per_subject)
    }

    fn last_seqs(
        &self,
        filter: &Filter,
        upto: u64,
        limit: usize,
    ) -> Result<Option<Vec<u64>>, StoreError> {
        query::last_seqs(self, filter, upto, limit)
    }

    fn deleted_ranges(&self, limit: usize) -> Vec<(u64, u64)> {
        query::deleted_ranges(self, limit)
    }

    fn memory(&self) -> usize {
        let segments: usize = self.segments.iter().map(Segment::memory).sum();
        segments + self.core.deletes.memory() + self.core.subjects.borrow().memory()
    }
}

fn low(seq: u64) -> usize {
    seq as usize & (SLOTS - 1)
}

fn record_len(buffer: &RecordBuffer, at: u32) -> Option<usize> {
    let head = buffer.peek(at, 4)?;
    Some(u32::from_le_bytes(head.try_into().ok()?) as usize)
}

fn distance(from: u64, to: u64) -> u32 {
    u32::try_from(to - from).unwrap_or(FAR)
}

fn back(seq: u64, delta: u32) -> Option<u64> {
    (delta != 0 && delta != FAR).then(|| seq - u64::from(delta))
}

fn forth(seq: u64, delta: u32) -> Option<u64> {
    (delta != 0 && delta != FAR).then(|| seq + u64::from(delta))
}
