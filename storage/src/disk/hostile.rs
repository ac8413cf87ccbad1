//! An in-memory disk that does the worst a real one may do.
//!
//! It keeps what readers see apart from what is certainly durable. A crash
//! decides, from a seed, which unsynced writes survive: each one wholly, not at
//! all or torn at 512-byte sectors, in any order; unsynced names likewise. It
//! fills up, fails syncs and damages files on demand, and every outcome repeats
//! for the same seed and the same calls. What it does not do: return wrong
//! bytes without being told to, or lose what a successful sync covered.

mod file;
mod image;
mod tree;

use super::{DirEntry, Disk, DiskFile, OpenMode, Space};
use file::FileState;
use image::{Image, PAGE};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tree::{Change, Dirs, Ino, Node, Place, Tree};

const ROOT: Ino = 0;
/// Size reported when no budget was set.
const UNLIMITED: u64 = 1 << 50;

/// The hostile disk. Clones and files share one state; [`HostileDisk::fork`]
/// and [`HostileDisk::crash`] make independent ones.
#[derive(Debug, Clone)]
pub struct HostileDisk(Arc<Mutex<State>>);

#[derive(Debug, Clone)]
struct State {
    tree: Tree,
    files: BTreeMap<Ino, FileState>,
    next_ino: Ino,
    rng: Rng,
    total: u64,
    /// Pages charged to files that still have a name.
    used_pages: u64,
    ops: u64,
    crash_at: Option<u64>,
    syncs: u64,
    fail_sync_at: Option<u64>,
    off: bool,
}

impl HostileDisk {
    /// An empty disk without a size limit.
    pub fn new(seed: u64) -> Self {
        Self::with(Dirs::from([(ROOT, BTreeMap::new())]), BTreeMap::new(), 1, UNLIMITED, seed)
    }

    fn with(
        dirs: Dirs,
        files: BTreeMap<Ino, FileState>,
        next_ino: Ino,
        total: u64,
        seed: u64,
    ) -> Self {
        let mut state = State {
            tree: Tree::new(dirs),
            files,
            next_ino,
            rng: Rng(seed),
            total,
            used_pages: 0,
            ops: 0,
            crash_at: None,
            syncs: 0,
            fail_sync_at: None,
            off: false,
        };
        state.used_pages = state.files.values().map(|f| f.cache.allocated()).sum();
        Self(Arc::new(Mutex::new(state)))
    }

    /// An independent copy, unsynced state, faults and counters included.
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().clone())))
    }

    /// The disk after a power cut now, with fresh counters and no faults armed.
    /// `self` is untouched, so many outcomes can be tried from one point. Open
    /// files keep belonging to the disk they were opened on.
    pub fn crash(&self, seed: u64) -> Self {
        let state = self.0.lock();
        let mut rng = Rng(seed);
        let mut dirs = Dirs::new();
        let mut files = BTreeMap::new();
        let survived = state.tree.crash(&mut rng);
        let mut reach = vec![ROOT];
        while let Some(dir) = reach.pop() {
            let entries = survived.get(&dir).cloned().unwrap_or_default();
            for node in entries.values() {
                match *node {
                    Node::Dir(i) => reach.push(i),
                    Node::File(i) => {
                        let image =
                            state.files.get(&i).map_or_else(Image::default, |f| f.crash(&mut rng));
                        let file =
                            FileState { cache: image.clone(), platter: image, pending: Vec::new() };
                        files.insert(i, file);
                    }
                }
            }
            dirs.insert(dir, entries);
        }
        Self::with(dirs, files, state.next_ino, state.total, rng.next())
    }

    /// Changing operations so far: writes, length changes, syncs, and calls that
    /// make, rename or remove names. Reads do not count.
    pub fn ops(&self) -> u64 {
        self.0.lock().ops
    }

    /// Syncs so far, of files, directories and everything.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// Cuts the power during changing operation number `op` (the first is 1).
    /// That operation may still reach the platter, a sync in it promises
    /// nothing; it and every later call, reads included, fail.
    pub fn crash_at(&self, op: u64) {
        self.0.lock().crash_at = Some(op);
    }

    /// Whether the power was cut by [`HostileDisk::crash_at`].
    pub fn is_off(&self) -> bool {
        self.0.lock().off
    }

    /// Makes the `n`-th sync from now (1 = the next) fail with EIO. Its writes
    /// may be lost although the pages count as clean afterwards, so that
    /// syncing again succeeds and proves nothing.
    pub fn fail_sync(&self, n: u64) {
        let mut s = self.0.lock();
        s.fail_sync_at = Some(s.syncs + n);
    }

    /// Leaves `free` bytes (whole pages); a write that needs more writes what
    /// fits and fails with `StorageFull`.
    pub fn set_free(&self, free: u64) {
        let mut s = self.0.lock();
        s.total = s.used_pages * PAGE + free / PAGE * PAGE;
    }

    /// Flips bit `bit` (0–7) of the byte at `offset`, on the platter too.
    pub fn flip_bit(&self, path: &str, offset: u64, bit: u8) -> io::Result<()> {
        self.damage(path, |image| {
            let mut b = [0];
            image.read(&mut b, offset);
            image.write(&[b[0] ^ (1 << (bit & 7))], offset);
        })
    }

    /// Overwrites a range with zeros, on the platter too.
    pub fn zero_range(&self, path: &str, offset: u64, len: u64) -> io::Result<()> {
        self.damage(path, |image| {
            let end = (offset + len).min(image.len());
            image.write(&vec![0; end.saturating_sub(offset) as usize], offset);
        })
    }

    /// Cuts a file, on the platter too.
    pub fn truncate(&self, path: &str, len: u64) -> io::Result<()> {
        self.damage(path, |image| image.set_len(len.min(image.len())))
    }

    fn damage(&self, path: &str, change: impl Fn(&mut Image)) -> io::Result<()> {
        let mut s = self.0.lock();
        let ino = s.file(path)?;
        let file = s.files.get_mut(&ino).ok_or_else(|| not_found(path))?;
        change(&mut file.cache);
        change(&mut file.platter);
        Ok(())
    }
}

impl State {
    fn live(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    /// Counts a changing operation.
    fn begin(&mut self) -> io::Result<()> {
        self.live()?;
        self.ops += 1;
        Ok(())
    }

    /// Ends it: fails if the power went off during it.
    fn end(&mut self) -> io::Result<()> {
        self.off = self.crash_at.is_some_and(|at| self.ops >= at);
        self.live()
    }

    fn sync_fails(&mut self) -> bool {
        self.syncs += 1;
        self.fail_sync_at == Some(self.syncs)
    }

    fn dir(&self, path: &str) -> io::Result<Ino> {
        let mut at = ROOT;
        for name in path.split('/').filter(|n| !n.is_empty()) {
            match self.tree.cache.get(&at).and_then(|d| d.get(name)) {
                Some(Node::Dir(i)) => at = *i,
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => return Err(not_found(path)),
            }
        }
        Ok(at)
    }

    /// The place a path names, whether or not something is there.
    fn place(&self, path: &str) -> io::Result<Place> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name.is_empty() || name == "." || path.split('/').any(|n| n == "..") {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok((self.dir(dir)?, name.to_owned()))
    }

    fn at(&self, place: &Place) -> Option<Node> {
        self.tree.cache.get(&place.0).and_then(|d| d.get(&place.1)).copied()
    }

    fn file(&self, path: &str) -> io::Result<Ino> {
        match self.at(&self.place(path)?) {
            Some(Node::File(i)) => Ok(i),
            Some(Node::Dir(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(not_found(path)),
        }
    }

    fn fresh(&mut self) -> Ino {
        self.next_ino += 1;
        self.next_ino - 1
    }

    /// Gives back the space of a file that lost its name.
    fn release(&mut self, node: Option<Node>) {
        if let Some(Node::File(i)) = node {
            let pages = self.files.get(&i).map_or(0, |f| f.cache.allocated());
            self.used_pages = self.used_pages.saturating_sub(pages);
        }
    }

    fn make_dir(&mut self, place: Place) -> Ino {
        let ino = self.fresh();
        let node = Node::Dir(ino);
        self.tree.change(Change { unlink: None, link: Some((place, node)), node });
        ino
    }

    /// Writes what there is room for.
    fn write(&mut self, ino: Ino, bufs: &[&[u8]], offset: u64) -> io::Result<()> {
        let Some(file) = self.files.get_mut(&ino) else { return Err(not_found("open file")) };
        let data = bufs.concat();
        let mut fits = data.len() as u64;
        let free = (self.total / PAGE).saturating_sub(self.used_pages);
        while file.cache.missing(offset, fits) > free {
            // Back to the start of the last page.
            let end = (offset + fits - 1) / PAGE * PAGE;
            fits = end.saturating_sub(offset);
        }
        self.used_pages += file.cache.missing(offset, fits);
        file.write(data.get(..fits as usize).unwrap_or_default(), offset);
        if fits < data.len() as u64 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

fn not_found(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{path}: no such file or directory"))
}

fn eio() -> io::Error {
    io::Error::other("input/output error (injected)")
}

impl Disk for HostileDisk {
    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut s = self.0.lock();
        s.live()?;
        let writable = mode != OpenMode::Read;
        let handle = |ino| Arc::new(HostileFile { disk: self.clone(), ino, writable });
        let found = s.file(path);
        match (found, mode) {
            (Ok(ino), OpenMode::Truncate) => {
                s.begin()?;
                let pages = s.files.get(&ino).map_or(0, |f| f.cache.allocated());
                s.used_pages = s.used_pages.saturating_sub(pages);
                if let Some(f) = s.files.get_mut(&ino) {
                    f.set_len(0);
                }
                s.end()?;
                Ok(handle(ino))
            }
            (Ok(ino), _) => Ok(handle(ino)),
            (Err(e), OpenMode::Create | OpenMode::Truncate)
                if e.kind() == io::ErrorKind::NotFound =>
            {
                let place = s.place(path)?;
                s.begin()?;
                let ino = s.fresh();
                let node = Node::File(ino);
                s.files.insert(ino, FileState::default());
                s.tree.change(Change { unlink: None, link: Some((place, node)), node });
                s.end()?;
                Ok(handle(ino))
            }
            (Err(e), _) => Err(e),
        }
    }

    fn create_dir_all(&self, path: &str) -> io::Result<()> {
        let mut s = self.0.lock();
        s.live()?;
        let mut at = ROOT;
        for name in path.split('/').filter(|n| !n.is_empty()) {
            let place = (at, name.to_owned());
            at = match s.at(&place) {
                Some(Node::Dir(i)) => i,
                Some(Node::File(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
                None => {
                    s.begin()?;
                    let ino = s.make_dir(place);
                    s.end()?;
                    ino
                }
            };
        }
        Ok(())
    }

    fn list(&self, path: &str) -> io::Result<Vec<DirEntry>> {
        let s = self.0.lock();
        s.live()?;
        let dir = s.dir(path)?;
        let entries = s.tree.cache.get(&dir).into_iter().flatten();
        Ok(entries
            .map(|(name, node)| {
                let len = match node {
                    Node::File(i) => s.files.get(i).map_or(0, |f| f.cache.len()),
                    Node::Dir(_) => 0,
                };
                DirEntry { name: name.clone(), is_dir: matches!(node, Node::Dir(_)), len }
            })
            .collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut s = self.0.lock();
        s.live()?;
        let (source, target) = (s.place(from)?, s.place(to)?);
        let node = s.at(&source).ok_or_else(|| not_found(from))?;
        let old = s.at(&target);
        if matches!(old, Some(Node::Dir(_))) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if source == target {
            return Ok(());
        }
        s.begin()?;
        s.release(old);
        s.tree.change(Change { unlink: Some(source), link: Some((target, node)), node });
        s.end()
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut s = self.0.lock();
        s.live()?;
        let node = Node::File(s.file(path)?);
        let place = s.place(path)?;
        s.begin()?;
        s.release(Some(node));
        s.tree.change(Change { unlink: Some(place), link: None, node });
        s.end()
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        let mut s = self.0.lock();
        s.live()?;
        let ino = s.dir(path)?;
        if s.tree.cache.get(&ino).is_some_and(|d| !d.is_empty()) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let place = s.place(path)?;
        s.begin()?;
        s.tree.change(Change { unlink: Some(place), link: None, node: Node::Dir(ino) });
        s.end()
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let mut s = self.0.lock();
        s.live()?;
        let dir = s.dir(path)?;
        s.begin()?;
        s.end()?;
        if s.sync_fails() {
            return Err(eio());
        }
        s.tree.sync(Some(dir));
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        let mut s = self.0.lock();
        s.begin()?;
        s.end()?;
        let fails = s.sync_fails();
        let State { files, rng, tree, .. } = &mut *s;
        if fails {
            files.values_mut().for_each(|f| f.sync_failed(rng));
            return Err(eio());
        }
        files.values_mut().for_each(FileState::sync);
        tree.sync(None);
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let s = self.0.lock();
        s.live()?;
        Ok(Space { free: s.total.saturating_sub(s.used_pages * PAGE), total: s.total })
    }
}

#[derive(Debug)]
struct HostileFile {
    disk: HostileDisk,
    ino: Ino,
    writable: bool,
}

impl HostileFile {
    /// Runs a changing operation; the power may go off right after it.
    fn change<T>(&self, f: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut s = self.disk.0.lock();
        s.begin()?;
        let result = f(&mut s);
        s.end()?;
        result
    }
}

impl DiskFile for HostileFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let s = self.disk.0.lock();
        s.live()?;
        let file = s.files.get(&self.ino).ok_or_else(|| not_found("open file"))?;
        if offset + buf.len() as u64 > file.cache.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.cache.read(buf, offset);
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.change(|s| s.write(self.ino, &[buf], offset))
    }

    fn write_all_vectored_at(&self, bufs: &[io::IoSlice<'_>], offset: u64) -> io::Result<()> {
        let bufs: Vec<&[u8]> = bufs.iter().map(|b| &**b).collect();
        self.change(|s| s.write(self.ino, &bufs, offset))
    }

    fn sync(&self) -> io::Result<()> {
        let mut s = self.disk.0.lock();
        s.begin()?;
        s.end()?;
        let fails = s.sync_fails();
        let State { files, rng, .. } = &mut *s;
        match files.get_mut(&self.ino) {
            Some(f) if fails => {
                f.sync_failed(rng);
                Err(eio())
            }
            Some(f) => {
                f.sync();
                Ok(())
            }
            None => Err(not_found("open file")),
        }
    }

    fn len(&self) -> io::Result<u64> {
        let s = self.disk.0.lock();
        s.live()?;
        s.files.get(&self.ino).map(|f| f.cache.len()).ok_or_else(|| not_found("open file"))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|s| {
            let Some(file) = s.files.get_mut(&self.ino) else {
                return Err(not_found("open file"));
            };
            let before = file.cache.allocated();
            file.set_len(len);
            let freed = before - file.cache.allocated().min(before);
            s.used_pages = s.used_pages.saturating_sub(freed);
            Ok(())
        })
    }
}

/// SplitMix64: tiny, seedable, the same everywhere.
#[derive(Debug, Clone)]
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, which must not be 0.
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }
}

#[cfg(test)]
#[path = "hostile_test.rs"]
mod hostile_test;
