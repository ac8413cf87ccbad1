//! What a group gives to its owner: entries and state to be written, committed
//! entries to be applied.

use bytes::Bytes;
use raft_proto::eraftpb::Entry;

/// What an entry holds. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// Data of the state machine; empty = the first entry of a term, nothing to apply.
    Normal = 0,
    /// A change of one member.
    Change = 1,
    /// A change of members, see [`crate::Group::apply_change`].
    ChangeV2 = 2,
}

impl EntryKind {
    /// The kind with this number.
    pub fn from_u8(n: u8) -> Option<Self> {
        match n {
            0 => Some(EntryKind::Normal),
            1 => Some(EntryKind::Change),
            2 => Some(EntryKind::ChangeV2),
            _ => None,
        }
    }

    pub(crate) fn of(entry: &Entry) -> Self {
        u8::try_from(entry.entry_type).ok().and_then(Self::from_u8).unwrap_or(EntryKind::Normal)
    }
}

/// One thing the write-ahead log must hold before the ticket is persisted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogWrite {
    /// An entry; replaces whatever the log has at this index and after.
    Entry {
        /// The group.
        group: u64,
        /// Term of its leader.
        term: u64,
        /// Position, from 1.
        index: u64,
        /// What it holds.
        kind: EntryKind,
        /// Payload.
        data: Bytes,
    },
    /// Term or vote changed. A change of `commit` alone is not written: a single
    /// voter derives it from the log, others learn it from their leader.
    HardState {
        /// The group.
        group: u64,
        /// Latest term.
        term: u64,
        /// Vote in it, 0 = none.
        vote: u64,
        /// Commit index at that time, a lower bound.
        commit: u64,
    },
    /// The log so far is replaced by state received from the leader.
    Snapshot {
        /// The group.
        group: u64,
        /// Term of the last entry covered.
        term: u64,
        /// Last entry covered.
        index: u64,
        /// What the leader put into [`crate::Group::offer_snapshot`].
        data: Bytes,
    },
}

/// Names the writes of one [`crate::Group::ready`]. Later tickets are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub(crate) u64);

/// A committed entry, to be applied in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Position in the log.
    pub index: u64,
    /// Term of its leader.
    pub term: u64,
    /// What it holds.
    pub kind: EntryKind,
    /// Payload, the same bytes that were proposed.
    pub data: Bytes,
}
