//! Files of the log, and the making of spare ones.

use super::Lsn;
use super::format::PAGE;
use crate::disk::{Disk, DiskFile, OpenMode};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;

/// Zeros written at once by a [`SpareJob`].
const STEP: usize = 1 << 20;
/// Zeros between two syncs of a [`SpareJob`], so that the log's own syncs never
/// queue behind much.
const SYNC_EVERY: u64 = 4 << 20;

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

/// The work of making a spare file: seconds of writing on a slow disk, so it
/// can be stepped on another thread. Hand it back with `Wal::add_spare`, finished
/// or not.
pub struct SpareJob {
    disk: Arc<dyn Disk>,
    pub(super) path: String,
    pub(super) len: u64,
    written: u64,
    file: Option<Arc<dyn DiskFile>>,
    pub(super) done: bool,
}

impl fmt::Debug for SpareJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {} bytes", self.path, self.written, self.len)
    }
}

impl SpareJob {
    pub(super) fn new(disk: Arc<dyn Disk>, path: String, len: u64) -> Self {
        let len = len / PAGE * PAGE;
        Self { disk, path, len, written: 0, file: None, done: false }
    }

    /// Writes the next MiB; true when the file is ready. After an error the job
    /// is to be handed back as it is.
    pub fn step(&mut self) -> io::Result<bool> {
        if self.done {
            return Ok(true);
        }
        let file = match &self.file {
            Some(f) => f.clone(),
            None => self.disk.open(&self.path, OpenMode::Truncate)?,
        };
        self.file = Some(file.clone());
        let n = (self.len - self.written).min(STEP as u64);
        file.write_all_at(&vec![0; n as usize], self.written)?;
        self.written += n;
        self.done = self.written == self.len;
        if self.done || self.written.is_multiple_of(SYNC_EVERY) {
            file.sync().inspect_err(|_| self.done = false)?;
        }
        Ok(self.done)
    }

    /// Steps until the file is ready.
    pub fn run(&mut self) -> io::Result<()> {
        while !self.step()? {}
        Ok(())
    }
}
