//! What a stream needs from its message store, and the two stores.
//!
//! A store is a pure function of the calls made on it: the log of a group is
//! replayed into it after a crash and must lead to the same state. It never
//! looks at a clock and never decides: limits, retention and expiry are decided
//! above and arrive here as removals.

use crate::record::{MessageView, StoredMessage};
use bytes::Bytes;
use std::collections::BTreeMap;

#[cfg(test)]
mod crash_test;
pub mod file;
pub mod memory;
#[cfg(test)]
pub(crate) mod model;
mod query;
#[cfg(test)]
mod store_test;

/// Highest sequence a stream may be moved to at once (`first_seq`, a purge, a
/// mirror's origin, a backup). Far from the end of the numbers, so that no count
/// of messages that follow can reach it and "the next sequence" always exists.
pub const MAX_SEQ: u64 = u64::MAX >> 2;

/// Why a store could not answer. `Damaged` never turns into "not found".
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was tried, e.g. `writing block`.
        what: &'static str,
        /// Path relative to the storage root.
        path: String,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// Bytes on disk are not what was written.
    #[error("{path} is damaged at byte {offset}: {why}; it was left untouched")]
    Damaged {
        /// Path relative to the storage root.
        path: String,
        /// Where in the file.
        offset: u64,
        /// What does not fit.
        why: String,
    },
}

impl StoreError {
    /// Whether this is "no space left on device".
    pub fn is_disk_full(&self) -> bool {
        matches!(self, StoreError::Io { source, .. }
            if source.kind() == std::io::ErrorKind::StorageFull)
    }
}

/// A record in memory is not where it must be: a bug, but not worth the process.
fn damaged_memory(seq: u64) -> StoreError {
    StoreError::Damaged { path: "memory".into(), offset: seq, why: "record is missing".into() }
}

/// The live sequences would span more numbers than the subject index can hold.
fn span_error() -> StoreError {
    StoreError::Io {
        what: "appending to",
        path: "stream".into(),
        source: std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            format!("live sequences span more than {}", crate::index::subjects::MAX_SPAN),
        ),
    }
}

/// Totals of a stream. `bytes` uses nats-server's visible formula
/// (contract/jetstream.md §2.2: file 30 + subject + payload, + 4 + headers if
/// there are headers; memory 16 + subject + headers + payload).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreState {
    /// Live messages.
    pub msgs: u64,
    /// Visible bytes of the live messages.
    pub bytes: u64,
    /// Sequence of the first live message; `last_seq + 1` when empty after use, 0 when never used.
    pub first_seq: u64,
    /// Its time in ns, 0 when empty.
    pub first_ts: i64,
    /// Highest sequence ever assigned.
    pub last_seq: u64,
    /// Time of the last stored message (kept after removal).
    pub last_ts: i64,
    /// Distinct subjects of live messages.
    pub subjects: u64,
    /// Interior deletes: sequences between first and last that are gone.
    pub deleted: u64,
    /// Messages known to be lost to damage.
    pub lost_msgs: u64,
    /// Bytes known to be lost to damage.
    pub lost_bytes: u64,
}

/// Totals of one subject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SubjectState {
    /// Live messages with this subject.
    pub msgs: u64,
    /// Lowest live sequence.
    pub first: u64,
    /// Highest live sequence.
    pub last: u64,
}

/// A removed message, as much as those who count need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Its sequence.
    pub seq: u64,
    /// Its subject.
    pub subject: Bytes,
    /// Its visible bytes.
    pub bytes: u64,
}

/// What a bulk removal did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Messages removed.
    pub msgs: u64,
    /// Visible bytes removed.
    pub bytes: u64,
}

/// A set of subject filters; empty means everything. Subjects are literal or
/// contain `*`/`>` tokens and were validated above.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The filters; a message matches if any of them does.
    pub subjects: Vec<Bytes>,
}

/// The messages of one stream.
///
/// Sequences start at 1 and only grow. All methods are deterministic.
pub trait StreamStore: Send {
    /// Totals; O(1).
    fn state(&self) -> StoreState;

    /// Appends a message. `record` is the encoded record of `msg`
    /// ([`crate::record`]); the store keeps or copies these bytes as they are.
    /// `msg.seq` must be above `last_seq`; a gap becomes interior deletes.
    fn append(&mut self, msg: &MessageView<'_>, record: &[u8]) -> Result<(), StoreError>;

    /// Moves `last_seq` to `seq` (> current) without storing anything, e.g. for
    /// an interest stream without interest or a mirror's gap. If the stream is
    /// empty, `first_seq` becomes `seq + 1`.
    fn skip_to(&mut self, seq: u64, ts: i64) -> Result<(), StoreError>;

    /// Sets the first sequence of a never used stream: first = `seq`, last = `seq - 1`.
    fn set_first(&mut self, seq: u64);

    /// Removes one message; `None` if it is not there.
    /// `erase` asks that the bytes be overwritten on disk as well.
    fn remove(&mut self, seq: u64, erase: bool) -> Result<Option<Removed>, StoreError>;

    /// As [`StreamStore::remove`] without erasing, for a caller who knows the
    /// subject of the message, e.g. from [`StreamStore::subject`]. Does not read
    /// the message. Returns its visible bytes.
    fn remove_known(&mut self, seq: u64, subject: &[u8]) -> Result<Option<u64>, StoreError>;

    /// Removes everything below `seq`. `seq` beyond the end empties the stream
    /// and moves it: first = `seq`, last = `seq - 1`.
    fn purge_below(&mut self, seq: u64) -> Result<Purged, StoreError>;

    /// Removes messages matching `filter` with sequence below `below` (if not
    /// 0), keeping the `keep` newest of those that match.
    fn purge_filter(
        &mut self,
        filter: &Filter,
        below: u64,
        keep: u64,
    ) -> Result<Purged, StoreError>;

    /// The message at `seq`; `None` if it is not there.
    fn load(&self, seq: u64) -> Result<Option<StoredMessage>, StoreError>;

    /// The first message with sequence ≥ `from` that matches.
    fn next(&self, filter: &Filter, from: u64) -> Result<Option<StoredMessage>, StoreError>;

    /// The last message with sequence ≤ `upto` that matches.
    fn prev(&self, filter: &Filter, upto: u64) -> Result<Option<StoredMessage>, StoreError>;

    /// First sequence whose time is ≥ `ts`; `last_seq + 1` if there is none.
    fn seq_at_time(&self, ts: i64) -> Result<u64, StoreError>;

    /// Totals of one literal subject; `None` if it has no live message.
    fn subject(&self, subject: &[u8]) -> Result<Option<SubjectState>, StoreError>;

    /// Subjects matching `filter` with their totals in byte order of the
    /// subject, at most `limit`.
    fn subjects(
        &self,
        filter: &Filter,
        limit: usize,
    ) -> Result<BTreeMap<Bytes, SubjectState>, StoreError>;

    /// Number of messages with sequence ≥ `from` that match; with
    /// `last_per_subject` only the last one of each subject counts. Exact.
    fn num_pending(
        &self,
        filter: &Filter,
        from: u64,
        last_per_subject: bool,
    ) -> Result<u64, StoreError>;

    /// For each matching subject the sequence of its last message with
    /// sequence ≤ `upto` (0 = no bound), ascending. Stops with `None` as soon
    /// as more than `limit` subjects match.
    fn last_seqs(
        &self,
        filter: &Filter,
        upto: u64,
        limit: usize,
    ) -> Result<Option<Vec<u64>>, StoreError>;

    /// Interior deletes as inclusive ranges, ascending, at most `limit` ranges.
    fn deleted_ranges(&self, limit: usize) -> Vec<(u64, u64)>;

    /// Heap bytes this store holds (indexes, tails, caches); an estimate used
    /// for metrics and the node-wide memory limit.
    fn memory(&self) -> usize;

    /// Whether the store keeps files.
    fn as_file(&mut self) -> Option<&mut file::FileStore> {
        None
    }
}
