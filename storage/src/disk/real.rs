//! Files of the operating system below one root directory.
//!
//! The lock file keeps two servers from sharing a store directory: it is an
//! advisory `flock`, so it ends with the process however that ends.

use super::direct::{DirectFile, SharedStaging};
use super::{DirEntry, Disk, DiskFile, OpenMode, Space};
use rustix::fs::{FlockOperation, flock, statvfs};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Name of the lock file in a locked root.
pub const LOCK_FILE: &str = "LOCK";

/// Slices handed to one `pwritev`; Linux refuses more than 1024.
const MAX_SLICES: usize = 1024;

/// Why a store directory could not be opened for this process alone.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another live process holds the lock.
    #[error(
        "store directory {} is in use by {holder}; stop that server or give this one another \
         directory", dir.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// What the holder wrote into the lock file, e.g. `pid 4711`.
        holder: String,
    },
    /// The operating system refused.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

/// A directory of the operating system's file tree.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    /// Open for `syncfs` and `statvfs`, so that they keep meaning this file system.
    root_dir: File,
    /// Holds the `flock` for as long as the disk lives.
    _lock: Option<File>,
    staging: SharedStaging,
}

impl RealDisk {
    /// Uses `root`, which is made if missing, without locking it.
    pub fn open(root: impl AsRef<Path>) -> io::Result<Self> {
        let root = root.as_ref().to_path_buf();
        fs::create_dir_all(&root)?;
        let root_dir = File::open(&root)?;
        Ok(Self { root, root_dir, _lock: None, staging: SharedStaging::default() })
    }

    /// Uses `root` for this process alone: takes the lock in [`LOCK_FILE`] and
    /// writes `pid N` there for whoever comes second.
    pub fn open_locked(root: impl AsRef<Path>) -> Result<Self, OpenError> {
        let dir = root.as_ref().to_path_buf();
        let mut disk = Self::open(&dir).map_err(|source| OpenError::Io {
            what: "opening store directory",
            path: dir.clone(),
            source,
        })?;
        let path = dir.join(LOCK_FILE);
        let io = |what| {
            let path = path.clone();
            move |source: io::Error| OpenError::Io { what, path, source }
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io("opening lock file"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(OpenError::InUse { dir, holder: holder(&mut file) });
            }
            Err(e) => return Err(io("locking")(e.into())),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "pid {}", std::process::id()))
            .map_err(io("writing lock file"))?;
        disk._lock = Some(file);
        Ok(disk)
    }

    /// The directory everything is below.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Refuses paths that would leave the root; names come from stream names
    /// and file listings, so this is a second fence, not the only one.
    fn resolve(&self, path: &str) -> io::Result<PathBuf> {
        let rel = Path::new(path);
        let inside = rel.components().all(|c| matches!(c, Component::Normal(_)));
        if !inside {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{path:?} is not a path below the store directory"),
            ));
        }
        Ok(self.root.join(rel))
    }
}

/// What the lock file says about its holder, on one line and not long.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(64).read_to_string(&mut text);
    let line = text.lines().next().unwrap_or_default().trim();
    if read.is_err() || line.is_empty() {
        return "another process".to_owned();
    }
    line.to_owned()
}

impl Disk for RealDisk {
    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.resolve(path)?;
        let mut o = OpenOptions::new();
        o.read(true);
        match mode {
            OpenMode::Read => &mut o,
            OpenMode::ReadWrite => o.write(true),
            OpenMode::Create => o.write(true).create(true).truncate(false),
            OpenMode::Truncate => o.write(true).create(true).truncate(true),
        };
        Ok(Arc::new(RealFile(o.open(path)?)))
    }

    fn open_direct(&self, path: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.open(path, mode)?;
        Ok(match DirectFile::open(&self.resolve(path)?, file.clone(), self.staging.clone()) {
            Some(direct) => Arc::new(direct),
            None => file,
        })
    }

    fn create_dir_all(&self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.resolve(path)?)
    }

    fn list(&self, path: &str) -> io::Result<Vec<DirEntry>> {
        let mut out = Vec::new();
        for entry in fs::read_dir(self.resolve(path)?)? {
            let entry = entry?;
            // Names that are not UTF-8 were not made by us and cannot be named
            // through this trait; they are left alone.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let meta = match entry.metadata() {
                Ok(m) => m,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            let is_dir = meta.is_dir();
            out.push(DirEntry { name, is_dir, len: if is_dir { 0 } else { meta.len() } });
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.resolve(from)?, self.resolve(to)?)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.resolve(path)?)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        fs::remove_dir(self.resolve(path)?)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        File::open(self.resolve(path)?)?.sync_all()
    }

    fn sync_all(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(&self.root_dir)?;
        #[cfg(not(target_os = "linux"))]
        rustix::fs::sync();
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let s = rustix::fs::fstatvfs(&self.root_dir).or_else(|_| statvfs(&self.root))?;
        let unit = if s.f_frsize == 0 { s.f_bsize } else { s.f_frsize };
        Ok(Space { free: s.f_bavail.saturating_mul(unit), total: s.f_blocks.saturating_mul(unit) })
    }
}

/// An open file of the operating system.
#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn write_all_vectored_at(&self, bufs: &[io::IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for part in bufs.chunks(MAX_SLICES) {
            let want: u64 = part.iter().map(|b| b.len() as u64).sum();
            let wrote = loop {
                match rustix::io::pwritev(&self.0, part, at) {
                    Ok(n) => break n as u64,
                    Err(rustix::io::Errno::INTR) => {}
                    Err(e) => return Err(e.into()),
                }
            };
            if wrote < want {
                write_rest(&self.0, part, wrote, at)?;
            }
            at += want;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|m| m.len())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        match fallocate(&self.0, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            // File systems without extents: a sparse file has to do.
            Err(rustix::io::Errno::OPNOTSUPP) => self.0.set_len(len),
            Err(e) => Err(e.into()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

/// Finishes a short `pwritev`; rare enough to go slice by slice.
fn write_rest(file: &File, bufs: &[io::IoSlice<'_>], done: u64, offset: u64) -> io::Result<()> {
    let mut start = 0u64;
    for b in bufs {
        let end = start + b.len() as u64;
        if end > done {
            let skip = done.saturating_sub(start);
            if let Some(rest) = b.get(skip as usize..) {
                file.write_all_at(rest, offset + start + skip)?;
            }
        }
        start = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_server_is_told_who_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = RealDisk::open_locked(dir.path()).unwrap();
        let text = RealDisk::open_locked(dir.path()).unwrap_err().to_string();
        assert!(text.contains(&dir.path().display().to_string()), "{text}");
        assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
        drop(first);
        RealDisk::open_locked(dir.path()).unwrap();
    }

    #[test]
    fn paths_cannot_leave_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path().join("root")).unwrap();
        for path in ["../x", "/etc/passwd", "a/../../x", "./a"] {
            let err = disk.open(path, OpenMode::Create).map(|_| ()).unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::InvalidInput, "{path}");
        }
    }

    #[test]
    fn more_slices_than_one_call_takes_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path()).unwrap();
        let file = disk.open("f", OpenMode::Create).unwrap();
        let parts: Vec<[u8; 2]> = (0..3000u16).map(u16::to_le_bytes).collect();
        let slices: Vec<_> = parts.iter().map(|p| io::IoSlice::new(p)).collect();
        file.write_all_vectored_at(&slices, 10).unwrap();
        let mut back = vec![0; 6000];
        file.read_exact_at(&mut back, 10).unwrap();
        assert_eq!(back, parts.concat());
    }

    #[test]
    fn the_rest_of_a_short_write_lands_where_it_belongs() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(dir.path().join("f"))
            .unwrap();
        let slices = [io::IoSlice::new(b"abc"), io::IoSlice::new(b""), io::IoSlice::new(b"defg")];
        for done in 0..=7u64 {
            file.write_all_at(&b"abcdefg"[..done as usize], 5).unwrap();
            file.write_all_at(&vec![b'.'; 7 - done as usize], 5 + done).unwrap();
            write_rest(&file, &slices, done, 5).unwrap();
            let mut back = [0; 7];
            file.read_exact_at(&mut back, 5).unwrap();
            assert_eq!(&back, b"abcdefg", "after {done} bytes");
        }
    }
}
