//! The write-ahead log of a lane: the records of every group, and the only thing
//! that is synced before an ack. Format and rules: `storage/docs/wal.md`.

mod batch;
mod error;
mod format;
mod record;
mod recovery;
mod recycle;
mod report;
mod scan;
mod segment;
mod writer;

pub use error::WalError;
pub use record::WalRecord;
pub use report::{Blemish, Gap, GapCause, RecoveryReport, Torn};
pub use segment::SpareJob;
pub use writer::Wal;

/// Position in the endless log of a lane, in bytes of blocks.
pub type Lsn = u64;

/// How a lane is laid out. The defaults are for production.
#[derive(Debug, Clone)]
pub struct WalOptions {
    /// Number of the lane; files of another lane are refused.
    pub lane: u16,
    /// Node id; files of another node are refused.
    pub node: [u8; 16],
    /// Bytes of a full-sized file, a multiple of 4 KiB, at least 16 KiB.
    pub segment_bytes: u64,
    /// Bytes of the first file of a new lane; at most `segment_bytes`.
    pub first_bytes: u64,
    /// Spare files to prepare ahead.
    pub spares: usize,
    /// Spare files to keep when files are recycled; the rest is removed.
    pub keep_spares: usize,
    /// A block is closed when its records reach this many bytes.
    pub max_block: usize,
    /// Bytes read at once when opening.
    pub read_chunk: usize,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            lane: 0,
            node: [0; 16],
            segment_bytes: 128 << 20,
            first_bytes: 16 << 20,
            spares: 2,
            keep_spares: 6,
            max_block: 4 << 20,
            read_chunk: 2 << 20,
        }
    }
}

impl WalOptions {
    /// The same with impossible sizes made possible.
    fn checked(mut self) -> Self {
        let page = format::PAGE;
        self.segment_bytes = (self.segment_bytes / page * page).max(4 * page);
        self.first_bytes = (self.first_bytes / page * page).clamp(4 * page, self.segment_bytes);
        self.max_block = self.max_block.max(1);
        self.read_chunk = (self.read_chunk / page as usize).max(1) * page as usize;
        self
    }
}

#[cfg(test)]
mod crash_test;
#[cfg(test)]
mod damage_test;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod wal_test;
