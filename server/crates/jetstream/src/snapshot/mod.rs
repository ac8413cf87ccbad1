//! Backups of streams in nats-server's two formats (contract/jetstream.md §1.6).
//!
//! Both are an S2 stream. Format 2 (2.15 and later) holds the archive of
//! [`archive`]; format 1 (up to 2.14) a tar file with blocks of records
//! ([`legacy`]). Readers take the bytes as they come, in pieces of any size,
//! hold at most one entry, and tell formats apart by themselves. Writers give
//! out chunks of the size asked for.

mod archive;
mod block;
mod consumer_state;
mod legacy;
mod legacy_writer;
mod reader;
mod tar;
mod varint;
mod writer;

#[cfg(test)]
mod snapshot_test;

pub use consumer_state::{ConsumerSnapshot, Pending, SequencePair};
pub use reader::{RestoreLimits, RestoreReader};
pub use writer::{Format, SnapshotWriter};

use crate::api::StreamState;
use crate::config::ConsumerConfig;
use bytes::Bytes;
use gust_wire::s2::S2Error;

/// One thing found in a backup, in the order it must be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreItem {
    /// What the stream held; format 2 only, and always first there.
    State(Box<StreamState>),
    /// A consumer. Format 2 has them before the messages, format 1 after.
    Consumer(Box<ConsumerBackup>),
    /// A message; sequences ascend. Gaps between them are deleted messages.
    Message(RestoredMessage),
    /// Format 1 only: the message with this sequence, seen before or not, is
    /// deleted. Beyond the last one it moves the end of the stream.
    Delete {
        /// Its sequence.
        seq: u64,
        /// When it was deleted, ns; of the message if that is erased in place.
        ts: i64,
    },
}

/// A message of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredMessage {
    /// Stream sequence.
    pub seq: u64,
    /// Store time, ns since the epoch.
    pub ts: i64,
    /// Subject.
    pub subject: Bytes,
    /// Raw header block, or empty.
    pub headers: Bytes,
    /// Payload.
    pub payload: Bytes,
}

/// A consumer of a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerBackup {
    /// Its name.
    pub name: String,
    /// Its configuration as it was stored.
    pub config: ConsumerConfig,
    /// What it had delivered; `None` if it never delivered anything.
    pub state: Option<ConsumerSnapshot>,
}

/// Why a backup cannot be read. The text follows `restore failed: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The compressed stream is damaged.
    #[error("the compressed stream is damaged: {0}")]
    Compression(#[from] S2Error),
    /// The backup ends too early.
    #[error("the backup ends within {0}; send all of it")]
    Truncated(String),
    /// Something is not as the format says.
    #[error("{what} in the backup is malformed: {why}")]
    Malformed {
        /// Which part, e.g. `entry state.json`.
        what: String,
        /// What does not fit.
        why: String,
    },
    /// Something is larger than allowed.
    #[error("{what} in the backup has {size} bytes, {max} are allowed")]
    TooLarge {
        /// Which part.
        what: String,
        /// Its size, bytes.
        size: u64,
        /// The limit, bytes.
        max: u64,
    },
    /// Who takes the items refused one.
    #[error("{0}")]
    Refused(String),
}

impl SnapshotError {
    fn malformed(what: impl Into<String>, why: impl Into<String>) -> SnapshotError {
        SnapshotError::Malformed { what: what.into(), why: why.into() }
    }
}

/// Takes the items of a backup one by one.
pub type Sink<'a> = dyn FnMut(RestoreItem) -> Result<(), SnapshotError> + 'a;
