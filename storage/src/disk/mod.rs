//! The disk as storage sees it: a tree of files below one root.
//!
//! Two implementations: [`real`] (files of the operating system) and
//! [`hostile`] (an in-memory twin that forgets what was not synced, tears and
//! reorders writes, flips bits, fills up and fails syncs, all from one seed).
//! Paths are relative to the root and use `/`.

use std::io;
use std::sync::Arc;

mod direct;
pub mod hostile;
pub mod real;

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Must exist.
    Read,
    /// Must exist; may be written.
    ReadWrite,
    /// Made if missing, kept if there.
    Create,
    /// Made if missing, emptied if there.
    Truncate,
}

/// A directory entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Last part of the path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Size in bytes of a file, 0 for a directory.
    pub len: u64,
}

/// A tree of files. Everything is synchronous; callers decide on which thread.
///
/// Durability follows POSIX: bytes are durable after [`DiskFile::sync`], names
/// (created, renamed, removed) after [`Disk::sync_dir`] of their directory.
pub trait Disk: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// As [`Disk::open`] for a file that is written in whole pages of 4 KiB and
    /// read only after a restart: where the system can, such writes go to the
    /// device without a copy in the page cache. Other writes work as well.
    fn open_direct(&self, path: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path, mode)
    }
    /// Makes a directory and its parents.
    fn create_dir_all(&self, path: &str) -> io::Result<()>;
    /// Entries of a directory, sorted by name. `NotFound` if it is missing.
    fn list(&self, path: &str) -> io::Result<Vec<DirEntry>>;
    /// Renames a file or directory, replacing a file at the target.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &str) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &str) -> io::Result<()>;
    /// Makes everything written so far below the root durable (`syncfs`).
    fn sync_all(&self) -> io::Result<()>;
    /// Bytes a caller could still write, and bytes of the whole file system.
    fn space(&self) -> io::Result<Space>;
}

/// Room on the file system that holds the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes still free for this user.
    pub free: u64,
    /// Size of the file system.
    pub total: u64,
}

/// An open file. Positioned reads and writes only, so it can be shared.
pub trait DiskFile: Send + Sync {
    /// Fills `buf` from `offset`; `UnexpectedEof` if the file is shorter.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `buf` at `offset`, growing the file if needed.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bufs` back to back from `offset`.
    fn write_all_vectored_at(&self, bufs: &[io::IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for b in bufs {
            self.write_all_at(b, at)?;
            at += b.len() as u64;
        }
        Ok(())
    }
    /// Makes the written bytes and the length durable (`fdatasync`).
    fn sync(&self) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|n| n == 0)
    }
    /// Extends the file to `len` with zeros and takes the space for it now, so
    /// that later writes within `len` do not fail for lack of room.
    fn allocate(&self, len: u64) -> io::Result<()> {
        const STEP: u64 = 1 << 20;
        let mut at = self.len()?;
        while at < len {
            let n = (len - at).min(STEP);
            self.write_all_at(&vec![0; n as usize], at)?;
            at += n;
        }
        Ok(())
    }
    /// Cuts or extends (with zeros) to `len`.
    fn set_len(&self, len: u64) -> io::Result<()>;
}
