//! Opening: the newest checkpoint that is whole, else the one before it, else a
//! rebuild from the block files.

use super::super::StoreError;
use super::blocks::{Block, Map, OpenMap, OpenSlot, SealedMap, parse_block_name};
use super::cache::Cache;
use super::checkpoint::{
    Generation, Generations, INDEX_MAGIC, VERSION, index_path, io, subjects_path,
};
use super::files::Files;
use super::table::{Run, get_entry, get_head};
use super::{FileOptions, FileStore, Obsolete, Tail, rebuild};
use crate::block::buffer::RecordBuffer;
use crate::block::footer::{PageRef, SLOT, Slot, TRAILER, Trailer};
use crate::disk::{DirEntry, Disk, OpenMode};
use crate::index::core::Core;
use crate::index::deletes::Deletes;
use bytes::{Buf, Bytes};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::sync::Arc;

/// What the last checkpoint says about the layer above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The store's state is that after this entry of the group's log.
    pub applied_index: u64,
    /// Its term.
    pub applied_term: u64,
    /// What was given to [`FileStore::begin_checkpoint`].
    pub app: Bytes,
}

/// What opening found. Nothing of what is named here was altered, except that
/// damaged checkpoints got the ending `.damaged`.
#[derive(Debug, Default)]
pub struct OpenReport {
    /// Damage, by file.
    pub damaged: Vec<StoreError>,
    /// The newest checkpoint was damaged and an older one was taken: the log
    /// has to reach back to the older applied index.
    pub fell_back: bool,
    /// There was no checkpoint to start from: the messages were found by reading
    /// all blocks. The applied index is unknown; entries of the log whose
    /// sequences are ≤ `last_seq` are in already.
    pub rebuilt: bool,
}

impl FileStore {
    /// Opens the store in directory `dir`, which is made if it is missing.
    /// `None` for what is recovered if no checkpoint was ever begun, or after a
    /// rebuild (see [`OpenReport::rebuilt`]).
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &str,
        options: FileOptions,
    ) -> Result<(FileStore, Option<Recovered>, OpenReport), StoreError> {
        let mut report = OpenReport::default();
        let mut store = FileStore::empty(disk, dir, options);
        let files = match store.files.disk.list(dir) {
            Ok(files) => files,
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(io("listing", dir)(e)),
        };
        let mut numbers: Vec<u64> =
            files.iter().filter_map(|f| f.name.strip_prefix("index-")?.parse().ok()).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        // No number is used twice: a table may be there without its index.
        let tables =
            files.iter().filter_map(|f| f.name.strip_prefix("subjects-")?.parse::<u64>().ok());
        store.checkpoint = tables.chain(numbers.iter().copied()).max().unwrap_or(0);
        let seen = files.iter().filter_map(|f| parse_block_name(&f.name));
        store.next_id = seen.map(|(_, id)| id + 1).max().unwrap_or(1);
        // A file left half-made by a crash; its maker will make it anew.
        for f in files.iter().filter(|f| f.name.ends_with(".tmp")) {
            let _ = store.files.disk.remove(&format!("{dir}/{}", f.name));
        }
        for n in &numbers {
            match store.load_checkpoint(*n, &files, &mut report) {
                Ok(recovered) => {
                    store.adopt(*n, &files, &report)?;
                    return Ok((store, recovered, report));
                }
                Err(e @ StoreError::Damaged { .. }) => {
                    let path = index_path(dir, *n);
                    let _ = store.files.disk.rename(&path, &format!("{path}.damaged"));
                    report.damaged.push(e);
                    report.fell_back = true;
                    let (checkpoint, next_id) = (store.checkpoint, store.next_id);
                    store = FileStore::empty(store.files.disk.clone(), dir, options);
                    (store.checkpoint, store.next_id) = (checkpoint, next_id);
                }
                Err(e) => return Err(e),
            }
        }
        let blocks = files.iter().any(|f| parse_block_name(&f.name).is_some());
        if blocks || report.fell_back {
            report.fell_back = false;
            report.rebuilt = true;
            rebuild::rebuild(&mut store, &files, &mut report)?;
            return Ok((store, None, report));
        }
        store.files.disk.create_dir_all(dir).map_err(io("creating", dir))?;
        // The directory is durable before there is anything in it.
        let mut path = dir;
        while !path.is_empty() {
            path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            store.files.disk.sync_dir(path).map_err(io("syncing directory", path))?;
        }
        // From here on a directory without a checkpoint is a damaged one.
        let done = store.begin_checkpoint(0, 0, b"")?.run()?;
        store.finish_checkpoint(done);
        Ok((store, None, report))
    }

    /// Removes everything a store kept in `dir`, for a stream whose deletion is
    /// committed. Does nothing if there is nothing; may be repeated after an
    /// error. The index goes last, so that what is left of an interrupted
    /// removal still opens (and reports what is missing).
    pub fn destroy(disk: &dyn Disk, dir: &str) -> Result<(), StoreError> {
        let mut files = match disk.list(dir) {
            Ok(files) => files,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(io("listing", dir)(e)),
        };
        files.sort_by_key(|f| f.name.starts_with("index-"));
        for f in files.iter().filter(|f| !f.is_dir) {
            let path = format!("{dir}/{}", f.name);
            disk.remove(&path).map_err(io("removing", &path))?;
        }
        disk.remove_dir(dir).map_err(io("removing", dir))?;
        let parent = dir.rsplit_once('/').map_or("", |(parent, _)| parent);
        disk.sync_dir(parent).map_err(io("syncing directory", parent))
    }

    fn empty(disk: Arc<dyn Disk>, dir: &str, options: FileOptions) -> FileStore {
        FileStore {
            files: Files::new(disk),
            dir: dir.to_owned(),
            options,
            core: Core::new(true),
            blocks: VecDeque::new(),
            tail: Tail::new(RecordBuffer::new(options.page_size as usize)),
            sealed_tail: false,
            removed: Vec::new(),
            floor_written: 0,
            last_written: 0,
            erases: Vec::new(),
            erasing: Vec::new(),
            obsolete: Vec::new(),
            new_files: false,
            next_id: 1,
            checkpoint: 0,
            generations: Generations::default(),
            compaction: None,
            cache: RefCell::new(Cache::new(options.page_cache, options.section_cache)),
            recent: Cell::new([0; 4]),
            first_ts: Cell::new((0, 0)),
            lost_msgs: 0,
            lost_bytes: 0,
        }
    }

    /// Makes the state of checkpoint `n` the store's state.
    fn load_checkpoint(
        &mut self,
        n: u64,
        files: &[DirEntry],
        report: &mut OpenReport,
    ) -> Result<Option<Recovered>, StoreError> {
        let path = index_path(&self.dir, n);
        let bytes = read_checked(&*self.files.disk, &path)?;
        let mut b = &bytes[..];
        let wrong =
            |why: &str| StoreError::Damaged { path: path.clone(), offset: 0, why: why.to_owned() };
        let head = read_head(&mut b, n, self).ok_or_else(|| wrong("unknown version or header"))?;
        let deletes = Deletes::decode(&mut b).ok_or_else(|| wrong("deletes do not decode"))?;
        self.core.deletes = deletes;
        let subject_base = b.try_get_u64_le().map_err(|_| wrong("too short"))?;
        let whole = match self.load_base(head.base, subject_base) {
            Ok(()) => true,
            // Both checkpoints may build on it; the blocks know it all as well.
            Err(e @ StoreError::Damaged { .. }) => {
                report.damaged.push(e);
                false
            }
            Err(e) => return Err(e),
        };
        self.load_delta(&mut b, subject_base).ok_or_else(|| wrong("subjects do not decode"))?;
        self.blocks =
            read_blocks(&mut b, &self.dir).ok_or_else(|| wrong("blocks do not decode"))?;
        let len = b.try_get_u64_le().map_err(|_| wrong("too short"))?;
        if len != b.len() as u64 {
            return Err(wrong("length does not fit"));
        }
        let app = bytes.slice(bytes.len() - b.len()..);
        self.generations.latest = Some(Generation { n, base: head.base });
        self.check_files(files, report);
        if !whole {
            rebuild::count_subjects(self, report);
        }
        let initial = head.index == 0 && head.term == 0 && app.is_empty();
        Ok((!initial).then_some(Recovered {
            applied_index: head.index,
            applied_term: head.term,
            app,
        }))
    }

    fn load_base(&mut self, n: u64, subject_base: u64) -> Result<(), StoreError> {
        let path = subjects_path(&self.dir, n);
        let bytes = read_checked(&*self.files.disk, &path)?;
        let mut b = &bytes[..];
        let mut base = 0;
        let loaded = (|| {
            let head = get_head(&mut b, Some(n))?;
            base = head.base;
            let subjects = self.core.subjects.get_mut();
            subjects.set_base(subject_base);
            for _ in 0..head.count {
                let (name, entry) = get_entry(&mut b, base)?;
                subjects.put_clean(name, &entry?);
            }
            b.is_empty().then_some(())
        })();
        self.generations.table_base = base;
        loaded.ok_or(StoreError::Damaged { path, offset: 0, why: "does not decode".into() })
    }

    fn load_delta(&mut self, b: &mut &[u8], base: u64) -> Option<()> {
        let subjects = self.core.subjects.get_mut();
        let entries = b.try_get_u32_le().ok()?;
        let start = *b;
        for _ in 0..entries {
            let (name, entry) = get_entry(b, base)?;
            match entry {
                Some(e) => subjects.put_clean(name, &e),
                None => subjects.remove_clean(name),
            }
        }
        if entries > 0 {
            let bytes = Bytes::copy_from_slice(&start[..start.len() - b.len()]);
            self.generations.runs.push(Run { entries, bytes });
        }
        Some(())
    }

    /// Names the blocks whose files are missing or too short.
    fn check_files(&self, files: &[DirEntry], report: &mut OpenReport) {
        let sizes: HashMap<&str, u64> = files.iter().map(|f| (f.name.as_str(), f.len)).collect();
        for block in &self.blocks {
            let name = block.path.rsplit('/').next().unwrap_or_default();
            let footer = match &block.map {
                Map::Sealed(s) => s.trailer.footer_len() as u64,
                Map::Open(_) => 0,
            };
            let need = u64::from(block.len) + footer;
            match sizes.get(name) {
                Some(have) if *have >= need => {}
                Some(have) => {
                    report.damaged.push(block.damaged(*have, format!("has {have} of {need} bytes")))
                }
                None => report.damaged.push(block.damaged(0, "file is missing")),
            }
        }
    }

    /// Goes on from checkpoint `n`: what is in no checkpoint any more is marked
    /// to go with the next one.
    fn adopt(&mut self, n: u64, files: &[DirEntry], report: &OpenReport) -> Result<(), StoreError> {
        let base = self.generations.latest.map_or(0, |g| g.base);
        self.floor_written = self.core.first_seq;
        self.last_written = self.core.last_seq;
        self.reset_tail();
        if report.fell_back || !report.damaged.is_empty() {
            // Leave everything as found, for whoever looks into it: the newest
            // checkpoint may be damaged because of what follows this one.
            self.sealed_tail = true;
            return Ok(());
        }
        for f in files {
            let path = format!("{}/{}", self.dir, f.name);
            let ours = self.blocks.iter().any(|b| b.path == path);
            let old_index = f.name.strip_prefix("index-").and_then(|s| s.parse().ok());
            let old_base = f.name.strip_prefix("subjects-").and_then(|s| s.parse().ok());
            let old = parse_block_name(&f.name).is_some() && !ours
                || old_index.is_some_and(|i: u64| i != n)
                || old_base.is_some_and(|i: u64| i != base);
            if old {
                self.obsolete.push(Obsolete { path, since: n });
            }
        }
        // Pages behind the checkpoint's end will be written again from the log.
        if let Some(tail) = self.blocks.back_mut()
            && matches!(tail.map, Map::Open(_))
        {
            let len = u64::from(tail.len);
            let file = self.files.get(tail)?;
            if file.len().map_err(io("measuring", &tail.path))? > len {
                file.set_len(len).map_err(io("cutting", &tail.path))?;
            }
        }
        Ok(())
    }
}

struct Head {
    base: u64,
    index: u64,
    term: u64,
}

fn read_head(b: &mut &[u8], n: u64, store: &mut FileStore) -> Option<Head> {
    if b.try_get_u32_le().ok()? != INDEX_MAGIC || b.try_get_u32_le().ok()? != VERSION {
        return None;
    }
    if b.try_get_u64_le().ok()? != n {
        return None;
    }
    let head = Head {
        base: b.try_get_u64_le().ok()?,
        index: b.try_get_u64_le().ok()?,
        term: b.try_get_u64_le().ok()?,
    };
    store.next_id = store.next_id.max(b.try_get_u64_le().ok()?);
    let core = &mut store.core;
    core.msgs = b.try_get_u64_le().ok()?;
    core.bytes = b.try_get_u64_le().ok()?;
    core.first_seq = b.try_get_u64_le().ok()?;
    core.last_seq = b.try_get_u64_le().ok()?;
    core.last_ts = b.try_get_i64_le().ok()?;
    store.lost_msgs = b.try_get_u64_le().ok()?;
    store.lost_bytes = b.try_get_u64_le().ok()?;
    Some(head)
}

fn read_blocks(b: &mut &[u8], dir: &str) -> Option<VecDeque<Block>> {
    let mut out = VecDeque::new();
    for _ in 0..b.try_get_u32_le().ok()? {
        let first = b.try_get_u64_le().ok()?;
        let last = b.try_get_u64_le().ok()?;
        let id = b.try_get_u64_le().ok()?;
        if first == 0 || last < first - 1 {
            return None;
        }
        let mut block = Block::new(dir, first, id);
        block.last = last;
        block.live = b.try_get_u64_le().ok()?;
        block.live_bytes = b.try_get_u64_le().ok()?;
        block.len = b.try_get_u32_le().ok()?;
        block.virt = b.try_get_u32_le().ok()?;
        let flags = b.try_get_u8().ok()?;
        block.linear = flags & 1 != 0;
        block.rewrite = flags & 2 != 0;
        block.map = if b.try_get_u8().ok()? == 1 {
            let trailer = Trailer::decode(b)?;
            b.advance(TRAILER);
            Map::Sealed(SealedMap { trailer, pages: OnceCell::new() })
        } else {
            Map::Open(read_map(b)?)
        };
        out.push_back(block);
    }
    Some(out)
}

fn read_map(b: &mut &[u8]) -> Option<OpenMap> {
    let slots = b.try_get_u32_le().ok()? as usize;
    let pages = b.try_get_u32_le().ok()?;
    let mut map = OpenMap::default();
    if slots > b.len() / SLOT {
        return None;
    }
    map.slots.reserve(slots);
    for _ in 0..slots {
        let slot = Slot::decode(b)?;
        b.advance(SLOT);
        map.slots.push(OpenSlot { slot, next: b.try_get_u32_le().ok()? });
    }
    for _ in 0..pages {
        map.pages.push(PageRef::decode(b)?);
    }
    Some(map)
}

/// Reads a file that ends with the CRC of everything before it.
pub(super) fn read_checked(disk: &dyn Disk, path: &str) -> Result<Bytes, StoreError> {
    let damaged =
        |why: &str| StoreError::Damaged { path: path.to_owned(), offset: 0, why: why.to_owned() };
    let file = match disk.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(damaged("file is missing")),
        Err(e) => return Err(io("opening", path)(e)),
    };
    let len = file.len().map_err(io("measuring", path))?;
    let mut buf = vec![0; usize::try_from(len).map_err(|_| damaged("file is too large"))?];
    file.read_exact_at(&mut buf, 0).map_err(io("reading", path))?;
    let Some((body, crc)) = buf.split_last_chunk::<4>() else {
        return Err(damaged("file is too short"));
    };
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return Err(damaged("checksum does not match"));
    }
    buf.truncate(buf.len() - 4);
    Ok(buf.into())
}
