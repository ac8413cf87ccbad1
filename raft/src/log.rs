//! The part of a group's log in memory: entries that are not applied yet and
//! those that followers may still need. Durability is elsewhere (the node's
//! write-ahead log); raft reads only this.

use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};
use raft_proto::eraftpb::{ConfState, Entry, HardState, Snapshot};
use std::collections::VecDeque;

/// Entries `first..=last` and what raft asks about the time before them.
#[derive(Debug, Default)]
pub struct MemLog {
    hard: HardState,
    conf: ConfState,
    /// Index and term of the last entry that was dropped.
    before: (u64, u64),
    entries: VecDeque<Entry>,
    /// Payload bytes of `entries`.
    bytes: usize,
    snapshot: Option<Snapshot>,
}

impl MemLog {
    /// A log whose entries follow `before` (index, term).
    pub fn new(hard: HardState, conf: ConfState, before: (u64, u64), entries: Vec<Entry>) -> Self {
        let bytes = entries.iter().map(|e| e.data.len()).sum();
        MemLog { hard, conf, before, entries: entries.into(), bytes, snapshot: None }
    }

    /// Appends entries, replacing what is there from the first one's index on.
    ///
    /// # Panics
    /// If they would leave a gap: raft never hands out such entries.
    pub fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first().map(|e| e.index) else { return };
        assert!(
            first > self.before.0 && first <= self.last() + 1,
            "entry {first} does not continue the log {}..={}",
            self.before.0 + 1,
            self.last()
        );
        while self.last() >= first {
            self.bytes -= self.entries.pop_back().map_or(0, |e| e.data.len());
        }
        self.bytes += entries.iter().map(|e| e.data.len()).sum::<usize>();
        self.entries.extend(entries);
    }

    /// Drops entries up to and including `index`.
    pub fn compact(&mut self, index: u64) {
        while let Some(e) = self.entries.front()
            && e.index <= index
        {
            self.before = (e.index, e.term);
            self.bytes -= e.data.len();
            self.entries.pop_front();
        }
    }

    /// Replaces everything by a snapshot received from the leader.
    pub fn install(&mut self, snapshot: &Snapshot) {
        let meta = snapshot.get_metadata();
        self.before = (meta.index, meta.term);
        self.conf = meta.get_conf_state().clone();
        self.entries.clear();
        self.bytes = 0;
        self.snapshot = None;
    }

    /// What a follower gets that is behind this log; covers `index`.
    pub fn offer(&mut self, snapshot: Snapshot) {
        self.snapshot = Some(snapshot);
    }

    /// Members changed.
    pub fn set_conf(&mut self, conf: ConfState) {
        self.conf = conf;
    }

    /// The members.
    pub fn conf(&self) -> &ConfState {
        &self.conf
    }

    /// Last index, or that of the last dropped entry.
    pub fn last(&self) -> u64 {
        self.before.0 + self.entries.len() as u64
    }

    /// Payload bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The entries `low..=high`, as far as they are here.
    pub fn range(&self, low: u64, high: u64) -> impl Iterator<Item = &Entry> {
        let base = self.before.0 + 1;
        let at = |index: u64| (index.saturating_sub(base) as usize).min(self.entries.len());
        let (low, high) = (at(low), at(high.saturating_add(1)));
        self.entries.range(low.min(high)..high)
    }

    /// Term of an entry; `None` outside the log.
    pub fn term_of(&self, index: u64) -> Option<u64> {
        if index == self.before.0 {
            return Some(self.before.1);
        }
        let at = index.checked_sub(self.before.0 + 1)?;
        self.entries.get(usize::try_from(at).ok()?).map(|e| e.term)
    }
}

/// Errors are only those raft has a reaction to; all others make it panic.
impl Storage for MemLog {
    fn initial_state(&self) -> Result<RaftState> {
        Ok(RaftState::new(self.hard.clone(), self.conf.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        if low <= self.before.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 || low > high {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let wanted = self.range(low, high.saturating_sub(1));
        let Some(max) = max_size.into().filter(|&max| max != raft::NO_LIMIT) else {
            return Ok(wanted.cloned().collect());
        };
        // At least one, then as many as fit.
        let mut size = 0;
        let fits = |e: &&Entry| {
            let first = size == 0;
            size += e.data.len() as u64 + ENTRY_OVERHEAD;
            first || size <= max
        };
        Ok(wanted.take_while(fits).cloned().collect())
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index < self.before.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        self.term_of(index).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.before.0 + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> Result<Snapshot> {
        match &self.snapshot {
            Some(s) if s.get_metadata().index >= request_index.max(self.before.0) => Ok(s.clone()),
            _ => Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable)),
        }
    }
}

/// Bytes an entry takes in a message besides its payload, at most.
const ENTRY_OVERHEAD: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64) -> Entry {
        Entry { index, term, data: vec![0u8; 10].into(), ..Entry::default() }
    }

    fn log() -> MemLog {
        let entries = (6..=9).map(|i| entry(i, 2)).collect();
        MemLog::new(HardState::default(), ConfState::default(), (5, 1), entries)
    }

    fn read(log: &MemLog, low: u64, high: u64, max: u64) -> Result<Vec<u64>> {
        let entries = log.entries(low, high, max, GetEntriesContext::empty(false))?;
        Ok(entries.iter().map(|e| e.index).collect())
    }

    #[test]
    fn bounds_are_answered_with_the_errors_raft_knows() {
        let log = log();
        assert_eq!((log.first_index().unwrap(), log.last_index().unwrap()), (6, 9));
        let compacted = Error::Store(StorageError::Compacted);
        let unavailable = Error::Store(StorageError::Unavailable);
        assert_eq!(log.term(4), Err(compacted));
        assert_eq!((log.term(5), log.term(9)), (Ok(1), Ok(2)));
        assert_eq!(log.term(10), Err(unavailable));
        assert!(matches!(read(&log, 5, 7, u64::MAX), Err(Error::Store(StorageError::Compacted))));
        assert!(matches!(
            read(&log, 6, 11, u64::MAX),
            Err(Error::Store(StorageError::Unavailable))
        ));
        assert_eq!(read(&log, 6, 10, u64::MAX).unwrap(), [6, 7, 8, 9]);
        assert_eq!(read(&log, 7, 10, 0).unwrap(), [7]);
        assert_eq!(read(&log, 7, 10, 2 * (10 + ENTRY_OVERHEAD)).unwrap(), [7, 8]);
    }

    #[test]
    fn a_new_leader_replaces_the_tail() {
        let mut log = log();
        log.append(vec![entry(8, 3)]);
        assert_eq!(
            (log.last(), log.term_of(8), log.term_of(9), log.bytes()),
            (8, Some(3), None, 30)
        );
        log.compact(7);
        assert_eq!((log.first_index().unwrap(), log.term_of(7), log.bytes()), (8, Some(2), 10));
        log.compact(100);
        assert_eq!((log.last(), log.term_of(8), log.bytes()), (8, Some(3), 0));
    }
}
