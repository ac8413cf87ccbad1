//! A disk that lies about the write-ahead log, and mistakes a node can be told
//! to make: they prove that the oracle notices.

use gust_storage::disk::{DirEntry, Disk, DiskFile, OpenMode, Space};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is wrong with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Syncs of log files do nothing and succeed.
    NoSync,
    /// This write to a log file (counted from 1) does nothing and succeeds.
    LostWrite(u64),
}

/// A mistake in the glue between stream, store and log, each of which loses
/// acknowledged messages in rare circumstances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// The log is given up below the newest checkpoint, not the one before it.
    FloorAtNewest,
    /// After a failed sync in a checkpoint the next checkpoint tries again.
    SyncAgain,
}

/// See the module documentation.
pub struct Liar {
    disk: Arc<dyn Disk>,
    lie: Lie,
    writes: Arc<AtomicU64>,
}

impl Liar {
    /// Lies about files whose path starts with `wal/` on `disk`. `writes` counts
    /// across restarts.
    pub fn new(disk: Arc<dyn Disk>, lie: Lie, writes: Arc<AtomicU64>) -> Liar {
        Liar { disk, lie, writes }
    }
}

impl Disk for Liar {
    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path, mode)?;
        if !path.starts_with("wal/") {
            return Ok(file);
        }
        Ok(Arc::new(LiarFile { file, lie: self.lie, writes: self.writes.clone() }))
    }
    fn create_dir_all(&self, path: &str) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }
    fn list(&self, path: &str) -> io::Result<Vec<DirEntry>> {
        self.disk.list(path)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.disk.remove_dir(path)
    }
    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn sync_all(&self) -> io::Result<()> {
        self.disk.sync_all()
    }
    fn space(&self) -> io::Result<Space> {
        self.disk.space()
    }
}

struct LiarFile {
    file: Arc<dyn DiskFile>,
    lie: Lie,
    writes: Arc<AtomicU64>,
}

impl LiarFile {
    fn swallows(&self) -> bool {
        let n = self.writes.fetch_add(1, Relaxed) + 1;
        self.lie == Lie::LostWrite(n)
    }
}

impl DiskFile for LiarFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        if self.swallows() { Ok(()) } else { self.file.write_all_at(buf, offset) }
    }
    fn write_all_vectored_at(&self, bufs: &[io::IoSlice<'_>], offset: u64) -> io::Result<()> {
        if self.swallows() { Ok(()) } else { self.file.write_all_vectored_at(bufs, offset) }
    }
    fn sync(&self) -> io::Result<()> {
        if self.lie == Lie::NoSync { Ok(()) } else { self.file.sync() }
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}
