//! Files of the log, and the making of spare ones.

use super::Lsn;
use super::format::PAGE;
use crate::disk::{Disk, DiskFile, OpenMode};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;

/// Group to lsn.
pub(super) type GroupLsns = HashMap<u64, Lsn, FixedState>;

/// A file of the log.
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: String,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) first_lsn: Lsn,
    /// Lsn after its last block; kept up to date for closed files only.
    pub(super) end_lsn: Lsn,
    /// Bytes it may hold, header included.
    pub(super) capacity: u64,
    /// Groups with records in it, each with an lsn not below its last record.
    pub(super) groups: GroupLsns,
    /// It has, or stands before, a gap: not recycled until released.
    pub(super) damaged: bool,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Segment { path, first_lsn, end_lsn, capacity, groups, damaged, .. } = self;
        write!(
            f,
            "{path} lsn {first_lsn}..{end_lsn} of {capacity} groups {} {damaged}",
            groups.len()
        )
    }
}

/// A file ready to become the next one of the log.
#[derive(Debug, Clone)]
pub(super) struct Spare {
    pub(super) path: String,
    pub(super) len: u64,
    /// It may have space that is reserved but was never written.
    pub(super) fresh: bool,
}

pub(super) fn log_path(dir: &str, number: u64) -> String {
    format!("{dir}/{number:010}.wal")
}

pub(super) fn spare_path(dir: &str, n: u64) -> String {
    format!("{dir}/spare-{n}.wal")
}

/// What a name in the directory of a lane stands for.
pub(super) enum Name {
    Log(u64),
    Spare(u64),
}

pub(super) fn parse_name(name: &str) -> Option<Name> {
    let stem = name.strip_suffix(".wal")?;
    let (digits, make): (&str, fn(u64) -> Name) = match stem.strip_prefix("spare-") {
        Some(n) => (n, Name::Spare),
        None => (stem, Name::Log),
    };
    digits.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
    digits.parse().ok().map(make)
}

/// The work of making a spare file: the file system takes space for it, which
/// may take a moment, so it can be done on another thread. Hand it back with
/// `Wal::add_spare`, finished or not.
///
/// The space is reserved, not written: zeroing 128 MiB competes with the syncs
/// of the log for seconds, while a first write into reserved space costs some
/// 50 µs per sync until the file is recycled (docs/wal.md).
pub struct SpareJob {
    disk: Arc<dyn Disk>,
    pub(super) path: String,
    pub(super) len: u64,
    pub(super) done: bool,
}

impl fmt::Debug for SpareJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.path, self.len)
    }
}

impl SpareJob {
    pub(super) fn new(disk: Arc<dyn Disk>, path: String, len: u64) -> Self {
        let len = len / PAGE * PAGE;
        Self { disk, path, len, done: false }
    }

    /// Makes the file; after an error the job is to be handed back as it is.
    pub fn run(&mut self) -> io::Result<()> {
        let file = self.disk.open(&self.path, OpenMode::Truncate)?;
        file.allocate(self.len)?;
        file.sync()?;
        self.done = true;
        Ok(())
    }
}
