//! What a replica is rebuilt from: the node's write-ahead log and the point up
//! to which the state machine is on disk.

use crate::write::{EntryKind, LogWrite};
use bytes::Bytes;
use raft_proto::eraftpb::Entry;

/// An entry read back from the write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Term of the leader that made it.
    pub term: u64,
    /// Position in the group's log, from 1.
    pub index: u64,
    /// What it holds.
    pub kind: EntryKind,
    /// Payload.
    pub data: Bytes,
}

/// State of a replica before a restart. `default()` is a new replica.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Latest persisted term.
    pub term: u64,
    /// Vote in that term, 0 = none.
    pub vote: u64,
    /// Highest index known to be committed; 0 if unknown. A single voter needs
    /// none: all it persisted is committed.
    pub commit: u64,
    /// Last index whose effects are durable outside the log.
    pub applied_index: u64,
    /// Term of that entry.
    pub applied_term: u64,
    /// Entries in order; those at or below `applied_index` are ignored.
    pub tail: Vec<LogEntry>,
}

/// Why a replica must not be started. It has to be set aside and rebuilt from
/// its peers: starting it could forget acknowledged entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// An entry is missing.
    #[error("group {group}: log entry {missing} is missing; rebuild this replica")]
    Gap {
        /// Which group.
        group: u64,
        /// First missing index.
        missing: u64,
    },
    /// The log ends before what was committed.
    #[error("group {group}: log ends at {last} but {commit} is committed; rebuild this replica")]
    Truncated {
        /// Which group.
        group: u64,
        /// Last index present.
        last: u64,
        /// Committed index.
        commit: u64,
    },
    /// Terms in the log go backwards.
    #[error("group {group}: term of log entry {index} is below its predecessor's")]
    TermOrder {
        /// Which group.
        group: u64,
        /// The entry.
        index: u64,
    },
    /// raft refuses the state.
    #[error("group {group}: state or settings are refused by raft")]
    Refused {
        /// Which group.
        group: u64,
    },
}

impl Restored {
    /// Takes in one write read back from the log, in the order it was written.
    /// An entry replaces what an earlier leader wrote at its index and after.
    pub fn replay(&mut self, write: LogWrite) {
        match write {
            LogWrite::HardState { term, vote, commit, .. } => {
                self.term = term;
                self.vote = vote;
                self.commit = self.commit.max(commit);
            }
            LogWrite::Entry { term, index, kind, data, .. } => {
                let keep = self.tail.partition_point(|e| e.index < index);
                self.tail.truncate(keep);
                self.tail.push(LogEntry { term, index, kind, data });
            }
            LogWrite::Snapshot { term, index, .. } => {
                self.tail.clear();
                self.applied_index = index;
                self.applied_term = term;
                self.commit = self.commit.max(index);
            }
        }
    }

    /// The unapplied tail as raft's entries, checked.
    pub(crate) fn entries(&self, group: u64) -> Result<Vec<Entry>, RestoreError> {
        let mut out: Vec<Entry> = Vec::with_capacity(self.tail.len());
        let (mut index, mut term) = (self.applied_index, self.applied_term);
        for e in self.tail.iter().filter(|e| e.index > self.applied_index) {
            if e.index != index + 1 {
                return Err(RestoreError::Gap { group, missing: index + 1 });
            }
            if e.term < term {
                return Err(RestoreError::TermOrder { group, index: e.index });
            }
            (index, term) = (e.index, e.term);
            out.push(Entry {
                entry_type: i32::from(e.kind as u8),
                term,
                index,
                data: e.data.clone(),
                ..Entry::default()
            });
        }
        if index < self.commit {
            return Err(RestoreError::Truncated { group, last: index, commit: self.commit });
        }
        Ok(out)
    }
}
