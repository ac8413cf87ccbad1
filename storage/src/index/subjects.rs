//! Per subject: how many live messages, the first and the last of them.
//!
//! 16 bytes per subject in the tree. `first` and `last` may be bounds instead of
//! exact values after a removal whose neighbour was not at hand; a flag says so
//! and the store repairs them when somebody asks (`storage.md` §4).

use super::filter::Matcher;
use gust_subject::SubjectTree;
use std::ops::ControlFlow::Continue;

/// Sequences are kept relative to a base in this many bits.
const SEQ_BITS: u32 = 46;
const SEQ_MASK: u64 = (1 << SEQ_BITS) - 1;
/// In the first word: `first` is a lower bound. In the second: `last` is an
/// upper bound.
const STALE: u64 = 1 << SEQ_BITS;
/// In the second word: changed since the last full checkpoint.
const DIRTY: u64 = 1 << (SEQ_BITS + 1);
const COUNT_LOW_SHIFT: u32 = SEQ_BITS + 1;
const COUNT_LOW_BITS: u32 = 64 - COUNT_LOW_SHIFT;
const COUNT_HIGH_SHIFT: u32 = SEQ_BITS + 2;

/// Live sequences of one stream may span this many numbers at most.
pub const MAX_SPAN: u64 = SEQ_MASK;

/// What is known of one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubjectEntry {
    /// Live messages, ≥ 1.
    pub count: u64,
    /// First live sequence, or a lower bound of it.
    pub first: u64,
    /// Last live sequence, or an upper bound of it.
    pub last: u64,
    /// `first` is only a lower bound.
    pub first_stale: bool,
    /// `last` is only an upper bound.
    pub last_stale: bool,
}

#[derive(Debug, Clone, Copy)]
struct Packed(u64, u64);

/// Subjects of the live messages of one stream.
#[derive(Debug, Default)]
pub struct SubjectIndex {
    tree: SubjectTree<Packed>,
    base: u64,
    track: bool,
    /// Names changed since the last full checkpoint: length u16, bytes.
    dirty: Vec<u8>,
    dirty_len: usize,
}

impl SubjectIndex {
    /// An empty index. With `track` it remembers which subjects changed.
    pub fn new(track: bool) -> SubjectIndex {
        SubjectIndex { track, ..SubjectIndex::default() }
    }

    /// Distinct subjects.
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether there is no subject.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Heap bytes.
    pub fn memory(&self) -> usize {
        self.tree.memory() + self.dirty.capacity()
    }

    /// Forgets every subject.
    pub fn clear(&mut self) {
        if self.track && !self.is_empty() {
            let mut names = std::mem::take(&mut self.dirty);
            let mut n = 0;
            self.tree.for_each(|s, p| {
                if p.1 & DIRTY == 0 {
                    push_name(&mut names, s);
                    n += 1;
                }
                Continue(())
            });
            self.dirty = names;
            self.dirty_len += n;
        }
        self.tree = SubjectTree::new();
    }

    /// Whether `seq` can be stored now. It cannot when the live sequences would
    /// span more than [`MAX_SPAN`]; `first` is the first live one.
    pub fn admits(&mut self, first: u64, seq: u64) -> bool {
        if seq >= self.base && seq - self.base <= MAX_SPAN {
            return true;
        }
        if self.is_empty() {
            self.base = seq;
            return true;
        }
        if first > seq || seq - first > MAX_SPAN {
            return false;
        }
        let mut all = Vec::with_capacity(self.len());
        let base = self.base;
        self.tree.for_each(|s, p| {
            all.push((s.to_vec(), p.unpack(base), p.1 & DIRTY));
            Continue(())
        });
        self.base = first;
        for (s, mut e, dirty) in all {
            e.first = e.first.max(first);
            e.last = e.last.max(first);
            let mut p = Packed::pack(&e, first);
            p.1 |= dirty;
            self.tree.insert(&s, p);
        }
        true
    }

    /// Counts a message that was appended; returns the entry before it.
    /// [`SubjectIndex::admits`] must have agreed.
    pub fn append(&mut self, subject: &[u8], seq: u64) -> Option<SubjectEntry> {
        let base = self.base;
        let e =
            SubjectEntry { count: 1, first: seq, last: seq, first_stale: false, last_stale: false };
        let (p, new) = self.tree.get_or_insert(subject, Packed::pack(&e, base));
        let before = (!new).then(|| p.unpack(base));
        let newly = self.track && p.1 & DIRTY == 0;
        if !new {
            p.appended(seq - base, self.track);
        } else if self.track {
            p.1 |= DIRTY;
        }
        if newly {
            self.note_dirty(subject);
        }
        before
    }

    /// Sets the entry of a subject, e.g. when loading a checkpoint.
    pub fn put(&mut self, subject: &[u8], e: &SubjectEntry) {
        let mut p = Packed::pack(e, self.base);
        if self.track {
            p.1 |= DIRTY;
            self.note_dirty(subject);
        }
        self.tree.insert(subject, p);
    }

    /// As [`SubjectIndex::put`] without marking the subject as changed.
    pub(crate) fn put_clean(&mut self, subject: &[u8], e: &SubjectEntry) {
        self.tree.insert(subject, Packed::pack(e, self.base));
    }

    /// Forgets a subject without marking it as changed.
    pub(crate) fn remove_clean(&mut self, subject: &[u8]) {
        self.tree.remove(subject);
    }

    /// Sequences are kept relative to this one.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// See [`SubjectIndex::base`]; only while empty.
    pub(crate) fn set_base(&mut self, base: u64) {
        if self.is_empty() {
            self.base = base;
        }
    }

    /// Uncounts the live message `seq`. `prev` and `next` find its neighbours of
    /// the same subject if they are known; each is asked only if it matters.
    /// Whether the subject was there.
    pub fn remove(
        &mut self,
        subject: &[u8],
        seq: u64,
        prev: impl FnOnce() -> Option<u64>,
        next: impl FnOnce() -> Option<u64>,
    ) -> bool {
        let base = self.base;
        let Some(p) = self.tree.get_mut(subject) else { return false };
        let newly = self.track && p.1 & DIRTY == 0;
        let mut e = p.unpack(base);
        e.count -= 1;
        if e.count == 0 {
            self.tree.remove(subject);
        } else {
            e.removed(seq, prev, next);
            *p = Packed::pack(&e, base);
            if self.track {
                p.1 |= DIRTY;
            }
        }
        if newly {
            self.note_dirty(subject);
        }
        true
    }

    /// Uncounts `n` messages of a subject, all of them below `upto`, where
    /// every message of the subject below `upto` is now gone.
    pub fn remove_head(&mut self, subject: &[u8], n: u64, upto: u64) {
        let base = self.base;
        let Some(p) = self.tree.get_mut(subject) else { return };
        let newly = self.track && p.1 & DIRTY == 0;
        let mut e = p.unpack(base);
        e.count = e.count.saturating_sub(n);
        if e.count == 0 {
            self.tree.remove(subject);
        } else {
            if e.first < upto {
                e.first = upto;
                e.first_stale = true;
            }
            e.settle();
            *p = Packed::pack(&e, base);
            if self.track {
                p.1 |= DIRTY;
            }
        }
        if newly {
            self.note_dirty(subject);
        }
    }

    /// What is known of `subject`.
    pub fn get(&self, subject: &[u8]) -> Option<SubjectEntry> {
        self.tree.get(subject).map(|p| p.unpack(self.base))
    }

    /// Replaces a bound by the exact first sequence.
    pub fn repair_first(&mut self, subject: &[u8], first: u64) {
        self.repair(subject, |e| {
            e.first = first;
            e.first_stale = false;
        });
    }

    /// Replaces a bound by the exact last sequence.
    pub fn repair_last(&mut self, subject: &[u8], last: u64) {
        self.repair(subject, |e| {
            e.last = last;
            e.last_stale = false;
        });
    }

    /// Calls `f` for every subject that matches, each once.
    pub(crate) fn for_each_match(
        &self,
        matcher: &Matcher<'_>,
        mut f: impl FnMut(&[u8], SubjectEntry),
    ) {
        let base = self.base;
        match matcher {
            Matcher::All => self.tree.for_each(|s, p| {
                f(s, p.unpack(base));
                Continue(())
            }),
            Matcher::Literal(s) => {
                if let Some(e) = self.get(s) {
                    f(s, e);
                }
            }
            Matcher::Any(filters) => {
                for (i, filter) in filters.iter().enumerate() {
                    let earlier = Matcher::Any(&filters[..i]);
                    self.tree.for_each_match(filter, |s, p| {
                        // A subject that an earlier filter matched was reported.
                        if i == 0 || !earlier.matches(s) {
                            f(s, p.unpack(base));
                        }
                        Continue(())
                    });
                }
            }
        }
    }

    /// Subjects changed since [`SubjectIndex::drain_dirty`]; some may count twice.
    pub(crate) fn dirty_len(&self) -> usize {
        self.dirty_len
    }

    /// Calls `f` with every changed subject and its entry (`None`: gone now);
    /// nothing counts as changed any more.
    pub(crate) fn drain_dirty(&mut self, mut f: impl FnMut(&[u8], Option<SubjectEntry>)) {
        let names = std::mem::take(&mut self.dirty);
        self.dirty_len = 0;
        let base = self.base;
        let mut rest = &names[..];
        while let Some((len, tail)) = rest.split_first_chunk::<2>() {
            let (name, tail) = tail.split_at(usize::from(u16::from_le_bytes(*len)));
            match self.tree.get_mut(name) {
                Some(p) => {
                    p.1 &= !DIRTY;
                    f(name, Some(p.unpack(base)));
                }
                None => f(name, None),
            }
            rest = tail;
        }
    }

    fn repair(&mut self, subject: &[u8], change: impl FnOnce(&mut SubjectEntry)) {
        let base = self.base;
        if let Some(p) = self.tree.get_mut(subject) {
            let dirty = p.1 & DIRTY;
            let mut e = p.unpack(base);
            change(&mut e);
            *p = Packed::pack(&e, base);
            p.1 |= dirty;
        }
    }

    fn note_dirty(&mut self, subject: &[u8]) {
        push_name(&mut self.dirty, subject);
        self.dirty_len += 1;
    }
}

impl SubjectEntry {
    fn removed(
        &mut self,
        seq: u64,
        prev: impl FnOnce() -> Option<u64>,
        next: impl FnOnce() -> Option<u64>,
    ) {
        let one_left = self.count == 1;
        if seq <= self.first {
            let exact_last = one_left && !self.last_stale && seq < self.last;
            match if exact_last { Some(self.last) } else { next() } {
                Some(n) => (self.first, self.first_stale) = (n, false),
                None => (self.first, self.first_stale) = (seq + 1, true),
            }
        }
        if seq >= self.last {
            let exact_first = one_left && !self.first_stale && seq > self.first;
            match if exact_first { Some(self.first) } else { prev() } {
                Some(p) => (self.last, self.last_stale) = (p, false),
                None => (self.last, self.last_stale) = (seq - 1, true),
            }
        }
        self.settle();
    }

    /// With one message left, an exact end gives the other.
    fn settle(&mut self) {
        if self.count == 1 {
            if self.first_stale && !self.last_stale {
                (self.first, self.first_stale) = (self.last, false);
            } else if self.last_stale && !self.first_stale {
                (self.last, self.last_stale) = (self.first, false);
            }
        }
    }
}

impl Packed {
    fn pack(e: &SubjectEntry, base: u64) -> Packed {
        let low = e.count & ((1 << COUNT_LOW_BITS) - 1);
        let high = (e.count >> COUNT_LOW_BITS).min((1 << (64 - COUNT_HIGH_SHIFT)) - 1);
        let first = e.first.saturating_sub(base) & SEQ_MASK;
        let last = e.last.saturating_sub(base) & SEQ_MASK;
        Packed(
            first | if e.first_stale { STALE } else { 0 } | low << COUNT_LOW_SHIFT,
            last | if e.last_stale { STALE } else { 0 } | high << COUNT_HIGH_SHIFT,
        )
    }

    fn unpack(self, base: u64) -> SubjectEntry {
        SubjectEntry {
            count: self.0 >> COUNT_LOW_SHIFT | (self.1 >> COUNT_HIGH_SHIFT) << COUNT_LOW_BITS,
            first: base + (self.0 & SEQ_MASK),
            last: base + (self.1 & SEQ_MASK),
            first_stale: self.0 & STALE != 0,
            last_stale: self.1 & STALE != 0,
        }
    }

    /// Count + 1 and a new exact `last`, without going through an entry.
    fn appended(&mut self, rel: u64, track: bool) {
        let (low, carry) = self.0.overflowing_add(1 << COUNT_LOW_SHIFT);
        self.0 = low;
        let high = (self.1 >> COUNT_HIGH_SHIFT) + u64::from(carry);
        let dirty = if track { DIRTY } else { 0 };
        self.1 = rel | high << COUNT_HIGH_SHIFT | dirty;
    }
}

fn push_name(out: &mut Vec<u8>, subject: &[u8]) {
    out.extend_from_slice(&(subject.len() as u16).to_le_bytes());
    out.extend_from_slice(subject);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_exact_when_neighbours_are_known_and_bounds_otherwise() {
        let mut i = SubjectIndex::new(false);
        assert_eq!(i.append(b"a", 5), None);
        assert_eq!(i.append(b"a", 9).unwrap().last, 5);
        i.append(b"a", 12);
        assert!(i.remove(b"a", 5, || None, || None));
        let e = i.get(b"a").unwrap();
        assert_eq!((e.count, e.first, e.first_stale, e.last), (2, 6, true, 12));
        assert!(i.remove(b"a", 9, || None, || None));
        let e = i.get(b"a").unwrap();
        assert_eq!((e.count, e.first, e.first_stale), (1, 12, false));
        assert!(i.remove(b"a", 12, || None, || None));
        assert!(!i.remove(b"a", 12, || None, || None));
        assert_eq!(i.len(), 0);
    }

    #[test]
    fn far_sequences_move_the_base() {
        let mut i = SubjectIndex::new(false);
        assert!(i.admits(1 << 60, 1 << 60));
        i.append(b"a", 1 << 60);
        let far = (1 << 60) + (1 << 45);
        assert!(i.admits(1 << 60, far));
        i.append(b"b", far);
        let farther = (1 << 60) + (1 << 46);
        assert!(!i.admits(1 << 60, farther));
        i.remove(b"a", 1 << 60, || None, || None);
        assert!(i.admits(far, farther));
        i.append(b"b", farther);
        assert_eq!(i.get(b"b").unwrap().first, far);
        assert_eq!(i.get(b"b").unwrap().last, farther);
    }

    #[test]
    fn counts_carry_between_the_words() {
        let e = SubjectEntry {
            count: (1 << COUNT_LOW_BITS) - 1,
            first: 1,
            last: 7,
            first_stale: true,
            last_stale: false,
        };
        let mut p = Packed::pack(&e, 0);
        p.appended(8, false);
        let after = p.unpack(0);
        assert_eq!((after.count, after.first, after.last), (1 << COUNT_LOW_BITS, 1, 8));
        assert!(after.first_stale);
    }

    #[test]
    fn changed_subjects_are_remembered_once_per_generation() {
        let mut i = SubjectIndex::new(true);
        i.append(b"a", 1);
        i.append(b"a", 2);
        i.append(b"b", 3);
        i.drain_dirty(|_, _| {});
        i.remove(b"b", 3, || None, || None);
        i.append(b"a", 4);
        i.append(b"a", 5);
        let mut seen = Vec::new();
        i.drain_dirty(|s, e| seen.push((s.to_vec(), e.map(|e| e.count))));
        assert_eq!(seen, [(b"b".to_vec(), None), (b"a".to_vec(), Some(4))]);
    }
}
