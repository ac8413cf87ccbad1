//! Checkpoints: what is captured on the owner's thread, and the job that makes
//! it durable on another (`storage/docs/checkpoint.md`).

use super::super::StoreError;
use super::super::query::Log;
use super::blocks::{Map, OpenMap, SealedMap};
use super::open::read_checked;
use super::seal::seal;
use super::table::{self, Run};
use super::{FileStore, Obsolete};
use crate::block::footer::Trailer;
use crate::block::page::ERASED;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::record::MESSAGE_OVERHEAD;
use bytes::{BufMut, Bytes, BytesMut};
use std::cell::OnceCell;
use std::sync::Arc;

pub(super) const INDEX_MAGIC: u32 = u32::from_le_bytes(*b"GIDX");
pub(super) const VERSION: u32 = 1;
/// Below this many changed subjects no new table is written (tests see some).
const MIN_DELTA: usize = if cfg!(test) { 12 } else { 4096 };

/// The checkpoints that are durable.
#[derive(Debug, Default)]
pub(super) struct Generations {
    pub latest: Option<Generation>,
    pub previous: Option<Generation>,
    /// A job was begun and not finished.
    pub unfinished: bool,
    /// The changes since the last table are not known: the next is a full one.
    pub need_base: bool,
    /// What changed since the last table.
    pub runs: Vec<Run>,
    /// Sequences in the last table are relative to it.
    pub table_base: u64,
}

/// One durable checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation {
    /// Its number.
    pub n: u64,
    /// Number of the subject table it builds on.
    pub base: u64,
}

/// What is left to do to make a checkpoint durable. Dropping it abandons the
/// checkpoint; the next one makes up for it.
pub struct CheckpointJob {
    disk: Arc<dyn Disk>,
    dir: String,
    generation: Generation,
    /// The index file up to the list of blocks, and what follows the list.
    head: Vec<Bytes>,
    rest: Bytes,
    blocks: Vec<BlockCapture>,
    /// Block files were made since the last checkpoint.
    new_files: bool,
    table: Table,
    /// Number of the table before.
    older: u64,
    /// Files to remove at the end.
    remove: Vec<String>,
    erases: Vec<(Arc<dyn DiskFile>, u64, Bytes)>,
}

/// A block as it was when the checkpoint began.
pub(super) struct BlockCapture {
    pub first: u64,
    pub last: u64,
    pub id: u64,
    pub path: String,
    /// Only if there is something to do with it.
    pub file: Option<Arc<dyn DiskFile>>,
    pub len: u32,
    pub virt: u32,
    pub live: u64,
    pub live_bytes: u64,
    pub linear: bool,
    pub rewrite: bool,
    /// Full: to be given its footer.
    pub full: bool,
    pub dirty: bool,
    pub map: CapturedMap,
    /// Of a full block: removed messages, ascending.
    pub dead: Vec<u64>,
}

pub(super) enum CapturedMap {
    Open(OpenMap),
    Sealed(Trailer),
}

/// A durable checkpoint, for [`FileStore::finish_checkpoint`].
#[derive(Debug)]
pub struct CheckpointDone {
    generation: Generation,
    sealed: Vec<(u64, Trailer)>,
    removed: Vec<String>,
    /// Blocks that could not be sealed because something in them is damaged.
    pub damaged: Vec<StoreError>,
    faulty: Vec<u64>,
    /// Runs that are in the new table.
    merged: usize,
}

/// What a checkpoint does about the subject table.
enum Table {
    /// The older table and all runs in the index.
    Same,
    /// A new table.
    Full(BytesMut),
    /// A new table from the older one and these runs, made by the worker.
    Merge(Vec<Run>),
}

impl FileStore {
    /// Writes the tail page and captures everything a checkpoint consists of:
    /// the state is that after the log entry `applied_index` of `applied_term`;
    /// `app` is kept as it is (consumers, dedupe table and so on).
    ///
    /// Costs one page write, and a copy of what changed in the subject table.
    /// One job may run at a time: a job begun before is taken for abandoned.
    pub fn begin_checkpoint(
        &mut self,
        applied_index: u64,
        applied_term: u64,
        app: &[u8],
    ) -> Result<CheckpointJob, StoreError> {
        self.settle_tail()?;
        if self.generations.unfinished {
            self.blocks.iter_mut().filter(|b| matches!(b.map, Map::Open(_))).for_each(|b| {
                b.dirty = true;
            });
            let again = std::mem::take(&mut self.erasing);
            self.erases.extend(again);
        }
        let erases = self.capture_erases();
        self.cache.get_mut().age();
        self.files.close_idle();
        self.checkpoint += 1;
        let n = self.checkpoint;
        let unfinished = std::mem::replace(&mut self.generations.unfinished, true);
        let table = self.capture_subjects(n);
        let base = match (&table, self.generations.latest) {
            (Table::Same, Some(latest)) => latest.base,
            _ => n,
        };
        let generation = Generation { n, base };
        let mut head = vec![self.encode_head(generation, applied_index, applied_term)];
        if let Table::Same = table {
            head.extend(self.generations.runs.iter().map(|r| r.bytes.clone()));
        }
        let mut rest = BytesMut::with_capacity(app.len() + 16);
        rest.put_u64_le(app.len() as u64);
        rest.put_slice(app);
        let blocks = self.capture_blocks()?;
        Ok(CheckpointJob {
            disk: self.files.disk.clone(),
            dir: self.dir.clone(),
            generation,
            head,
            rest: rest.freeze(),
            blocks,
            new_files: std::mem::take(&mut self.new_files) || unfinished,
            table,
            older: self.generations.latest.map_or(0, |g| g.base),
            remove: self.removable(generation),
            erases,
        })
    }

    /// Subjects changed since the last checkpoint was begun: the next one costs
    /// its owner about 0.7 µs for each.
    pub fn changed_subjects(&self) -> usize {
        self.core.subjects.borrow().dirty_len()
    }

    /// Captures what changed in the subject table, or all of it where that is
    /// less work.
    fn capture_subjects(&mut self, n: u64) -> Table {
        let g = &mut self.generations;
        let subjects = self.core.subjects.get_mut();
        let full = g.need_base
            || g.latest.is_none()
            || g.table_base != subjects.base()
            || subjects.dirty_len() > MIN_DELTA.max(subjects.len() / 2);
        if full {
            // Until it is durable there is nothing that a run could build on.
            g.need_base = true;
            g.runs.clear();
            g.table_base = subjects.base();
            let table = table::encode(n, subjects);
            subjects.drain_dirty(|_, _| {});
            return Table::Full(table);
        }
        g.runs.extend(table::take_run(subjects));
        let entries: usize = g.runs.iter().map(|r| r.entries as usize).sum();
        if entries > MIN_DELTA.max(subjects.len() / 4) {
            return Table::Merge(g.runs.clone());
        }
        Table::Same
    }

    /// Takes note that a checkpoint is durable.
    pub fn finish_checkpoint(&mut self, done: CheckpointDone) {
        if done.generation.n != self.checkpoint {
            return;
        }
        for (id, trailer) in done.sealed {
            let Some(block) = self.blocks.iter_mut().find(|b| b.id == id) else { continue };
            if let Map::Open(map) = &mut block.map {
                let pages = OnceCell::from(std::mem::take(&mut map.pages));
                block.map = Map::Sealed(SealedMap { trailer, pages });
            }
        }
        self.blocks.iter_mut().filter(|b| done.faulty.contains(&b.id)).for_each(|b| {
            b.faulty = true;
        });
        self.obsolete.retain(|o| !done.removed.contains(&o.path));
        let g = &mut self.generations;
        g.runs.drain(..done.merged.min(g.runs.len()));
        g.previous = g.latest.replace(done.generation);
        g.unfinished = false;
        g.need_base = false;
        self.erasing.clear();
    }

    /// Brings to disk what only the tail buffer knows.
    fn settle_tail(&mut self) -> Result<(), StoreError> {
        let nothing = self.tail.buffer.get_mut().len() == 0
            && self.removed.is_empty()
            && self.floor_written == self.core.first_seq
            && self.last_written == self.core.last_seq;
        if nothing || self.core.last_seq == 0 && self.core.first_seq == 0 {
            return Ok(());
        }
        let writable =
            self.blocks.back().is_some_and(|b| matches!(b.map, Map::Open(_))) && !self.sealed_tail;
        if !writable {
            self.new_block(self.core.last_seq + 1)?;
        }
        self.flush_page()
    }

    /// The index up to the entries of changed subjects.
    fn encode_head(&mut self, g: Generation, index: u64, term: u64) -> Bytes {
        let mut out = BytesMut::with_capacity(4096);
        out.put_u32_le(INDEX_MAGIC);
        out.put_u32_le(VERSION);
        out.put_u64_le(g.n);
        out.put_u64_le(g.base);
        out.put_u64_le(index);
        out.put_u64_le(term);
        out.put_u64_le(self.next_id);
        let core = &mut self.core;
        for v in [core.msgs, core.bytes, core.first_seq, core.last_seq] {
            out.put_u64_le(v);
        }
        out.put_i64_le(core.last_ts);
        out.put_u64_le(self.lost_msgs);
        out.put_u64_le(self.lost_bytes);
        core.deletes.encode(&mut out);
        out.put_u64_le(core.subjects.get_mut().base());
        let runs = if g.base == g.n { &[][..] } else { &self.generations.runs };
        out.put_u32_le(runs.iter().map(|r| r.entries).sum());
        out.freeze()
    }

    fn capture_blocks(&mut self) -> Result<Vec<BlockCapture>, StoreError> {
        let tail = self.blocks.len().saturating_sub(1);
        let mut out = Vec::with_capacity(self.blocks.len());
        for (i, b) in self.blocks.iter_mut().enumerate() {
            let (map, full) = match &b.map {
                Map::Open(map) => {
                    let full = (i != tail || self.sealed_tail) && !b.faulty;
                    (CapturedMap::Open(map.clone()), full && !map.slots.is_empty())
                }
                Map::Sealed(sealed) => (CapturedMap::Sealed(sealed.trailer), false),
            };
            let file = if full || b.dirty { Some(self.files.get(b)?) } else { None };
            let dead = match &map {
                CapturedMap::Open(map) if full => {
                    let seqs = map.slots.iter().map(|s| b.first + u64::from(s.slot.rel));
                    seqs.filter(|seq| !self.core.is_live(*seq)).collect()
                }
                _ => Vec::new(),
            };
            out.push(BlockCapture {
                first: b.first,
                last: b.last,
                id: b.id,
                path: b.path.clone(),
                file,
                len: b.len,
                virt: b.virt,
                live: b.live,
                live_bytes: b.live_bytes,
                linear: b.linear,
                rewrite: b.rewrite,
                full,
                dirty: b.dirty,
                map,
                dead,
            });
            b.dirty = false;
        }
        Ok(out)
    }

    /// What to write over messages that are to be erased.
    fn capture_erases(&mut self) -> Vec<(Arc<dyn DiskFile>, u64, Bytes)> {
        let wanted = std::mem::take(&mut self.erases);
        let mut out = Vec::new();
        for (id, seq) in &wanted {
            let Some(i) = self.blocks.iter().position(|b| b.id == *id) else { continue };
            if !self.blocks[i].linear {
                self.blocks[i].rewrite = true;
                continue;
            }
            // A message that cannot be read any more is not worth an error.
            let block = &self.blocks[i];
            let Ok(slot) = self.slot(block, *seq) else { continue };
            let Ok(record) = self.record(*seq) else { continue };
            let Ok(file) = self.files.get(block) else { continue };
            out.push((file, u64::from(slot.at), erased(&record)));
        }
        self.erasing = wanted;
        out
    }

    /// Files that neither `g` nor the checkpoint before it names.
    fn removable(&self, g: Generation) -> Vec<String> {
        let Some(latest) = self.generations.latest else { return Vec::new() };
        let mut out: Vec<String> = self
            .obsolete
            .iter()
            .filter(|o| o.since <= latest.n)
            .map(|o: &Obsolete| o.path.clone())
            .collect();
        if let Some(p) = self.generations.previous {
            out.push(index_path(&self.dir, p.n));
            if p.base != latest.base && p.base != g.base {
                out.push(subjects_path(&self.dir, p.base));
            }
        }
        out
    }
}

impl CheckpointJob {
    /// Seals full blocks, makes everything durable, removes old files. Does all
    /// the waiting for the disk; call it on a thread that may wait.
    pub fn run(mut self) -> Result<CheckpointDone, StoreError> {
        let mut done = CheckpointDone {
            generation: self.generation,
            sealed: Vec::new(),
            removed: Vec::new(),
            damaged: Vec::new(),
            faulty: Vec::new(),
            merged: 0,
        };
        for block in &mut self.blocks {
            if block.full {
                match seal(block) {
                    Ok(trailer) => done.sealed.push((block.id, trailer)),
                    Err(e @ StoreError::Damaged { .. }) => {
                        done.faulty.push(block.id);
                        done.damaged.push(e);
                    }
                    Err(e) => return Err(e),
                }
            }
            if let Some(file) = &block.file
                && (block.full || block.dirty)
            {
                file.sync().map_err(io("syncing block", &block.path))?;
            }
        }
        let path = subjects_path(&self.dir, self.generation.base);
        match &self.table {
            Table::Same => {}
            Table::Full(table) => self.write_file(&path, &[table])?,
            Table::Merge(runs) => {
                let from = subjects_path(&self.dir, self.older);
                let older = read_checked(&*self.disk, &from)?;
                let table = table::merge(self.generation.n, &older, runs).ok_or_else(|| {
                    StoreError::Damaged { path: from, offset: 0, why: "does not decode".into() }
                })?;
                done.merged = runs.len();
                self.write_file(&path, &[&table])?;
            }
        }
        // What the index names must be there when the index is.
        if self.new_files || !matches!(self.table, Table::Same) {
            self.disk.sync_dir(&self.dir).map_err(io("syncing directory", &self.dir))?;
        }
        let blocks = encode_blocks(&self.blocks);
        let path = index_path(&self.dir, self.generation.n);
        let mut parts: Vec<&[u8]> = self.head.iter().map(|b| &b[..]).collect();
        parts.extend([&blocks[..], &self.rest[..]]);
        self.write_file(&path, &parts)?;
        self.disk.sync_dir(&self.dir).map_err(io("syncing directory", &self.dir))?;

        for (file, at, bytes) in &self.erases {
            file.write_all_at(bytes, *at).map_err(io("erasing in", &self.dir))?;
        }
        // Only now may what older checkpoints needed go. A file that cannot be
        // removed now is found again when the store is opened.
        for path in std::mem::take(&mut self.remove) {
            let _ = self.disk.remove(&path);
            done.removed.push(path);
        }
        Ok(done)
    }

    /// Writes a file with its checksum under a temporary name, syncs it and
    /// gives it its name.
    fn write_file(&self, path: &str, parts: &[&[u8]]) -> Result<(), StoreError> {
        let temp = format!("{path}.tmp");
        let file = self.disk.open(&temp, OpenMode::Truncate).map_err(io("creating", &temp))?;
        let mut crc = crc32fast::Hasher::new();
        let mut at = 0;
        for part in parts {
            crc.update(part);
            file.write_all_at(part, at).map_err(io("writing", &temp))?;
            at += part.len() as u64;
        }
        file.write_all_at(&crc.finalize().to_le_bytes(), at).map_err(io("writing", &temp))?;
        file.sync().map_err(io("syncing", &temp))?;
        self.disk.rename(&temp, path).map_err(io("renaming", &temp))
    }
}

impl std::fmt::Debug for CheckpointJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointJob")
            .field("dir", &self.dir)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

fn encode_blocks(blocks: &[BlockCapture]) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u32_le(blocks.len() as u32);
    for b in blocks {
        for v in [b.first, b.last, b.id, b.live, b.live_bytes] {
            out.put_u64_le(v);
        }
        out.put_u32_le(b.len);
        out.put_u32_le(b.virt);
        out.put_u8(u8::from(b.linear) | u8::from(b.rewrite) << 1);
        match &b.map {
            CapturedMap::Sealed(trailer) => {
                out.put_u8(1);
                trailer.encode(&mut out);
            }
            CapturedMap::Open(map) => {
                out.put_u8(0);
                out.put_u32_le(map.slots.len() as u32);
                out.put_u32_le(map.pages.len() as u32);
                for s in &map.slots {
                    s.slot.encode(&mut out);
                    out.put_u32_le(s.next);
                }
                map.pages.iter().for_each(|p| p.encode(&mut out));
            }
        }
    }
    out
}

/// The record with headers and payload zeroed and a new checksum.
fn erased(record: &Bytes) -> Bytes {
    let mut out = record.to_vec();
    let subject = record.get(10..12).map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])));
    if let Some(content) = out.get_mut(MESSAGE_OVERHEAD + subject..) {
        content.fill(0);
        out[9] |= ERASED;
        let crc = crc32fast::hash(&out[8..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
    }
    out.into()
}

pub(super) fn index_path(dir: &str, n: u64) -> String {
    format!("{dir}/index-{n}")
}

pub(super) fn subjects_path(dir: &str, n: u64) -> String {
    format!("{dir}/subjects-{n}")
}

pub(super) fn io<'a>(
    what: &'static str,
    path: &'a str,
) -> impl FnOnce(std::io::Error) -> StoreError + 'a {
    move |source| StoreError::Io { what, path: path.to_owned(), source }
}
