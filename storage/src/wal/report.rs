//! What opening the log found.

use super::Lsn;
use std::fmt;

/// Summary of a recovery. Without gaps, everything that was ever durable was
/// delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Records delivered.
    pub records: u64,
    /// Blocks read, marks included.
    pub blocks: u64,
    /// Bytes of those blocks, padding included.
    pub bytes: u64,
    /// Lsn of the oldest file.
    pub first_lsn: Lsn,
    /// Lsn after the last good block.
    pub end_lsn: Lsn,
    /// Everything below was once synced, as the log itself says.
    pub vouched_lsn: Lsn,
    /// Damage: records that were durable and are gone. Ascending.
    pub gaps: Vec<Gap>,
    /// Damage that lost nothing.
    pub blemishes: Vec<Blemish>,
    /// The unsynced end that was dropped, if there was one.
    pub torn: Option<Torn>,
}

impl RecoveryReport {
    /// Whether a record at `lsn` comes after a gap, so that its group may have
    /// lost records before it.
    pub fn is_after_gap(&self, lsn: Lsn) -> bool {
        self.gaps.first().is_some_and(|g| lsn >= g.from)
    }
}

/// A range of the log that was durable and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Path relative to the storage root.
    pub file: String,
    /// Where in the file it starts.
    pub offset: u64,
    /// First lsn that is missing.
    pub from: Lsn,
    /// First lsn that may be there again.
    pub to: Lsn,
    /// What is wrong.
    pub cause: GapCause,
}

/// Why a range cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapCause {
    /// No block head where one must be.
    Head,
    /// The head is good, the records are not.
    Body,
    /// The block does not follow the one before it.
    Chain,
    /// The file ends before the block does.
    Cut,
    /// Neither copy of the file header is good.
    FileHeader,
    /// A file between two others is missing.
    FileMissing,
}

impl fmt::Display for GapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GapCause::Head => "block head is damaged",
            GapCause::Body => "records are damaged",
            GapCause::Chain => "block does not follow the one before",
            GapCause::Cut => "file was cut short",
            GapCause::FileHeader => "file header is damaged",
            GapCause::FileMissing => "file is missing",
        })
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gap { file, offset, from, to, cause } = self;
        write!(f, "{file} at byte {offset}, lsn {from} to {to}: {cause}")
    }
}

/// Altered bytes that carried no information.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blemish {
    /// Path relative to the storage root.
    pub file: String,
    /// Roughly where.
    pub offset: u64,
    /// What was found.
    pub what: &'static str,
}

/// An end of the log that no sync had covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// Path relative to the storage root.
    pub file: String,
    /// Where in the file it starts.
    pub offset: u64,
    /// Its lsn.
    pub lsn: Lsn,
}
