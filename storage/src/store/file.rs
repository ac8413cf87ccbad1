//! The store of streams with `storage: file`.
//!
//! Messages are copied into a page in memory; full pages are appended to the
//! tail block; full blocks are sealed with a footer by the next checkpoint.
//! Nothing here syncs except [`CheckpointJob`]: until a checkpoint is durable
//! the group's log is what survives a crash, and it is replayed from the applied
//! index the checkpoint names (`storage/docs/store.md`).

use super::query;
use super::{Filter, Purged, Removed, StoreError, StoreState, StreamStore, SubjectState};
use crate::block::buffer::RecordBuffer;
use crate::index::core::Core;
use crate::record::{MessageView, RecordError, StoredMessage};
use blocks::Block;
use bytes::Bytes;
use cache::Cache;
use files::Files;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

mod blocks;
mod cache;
mod checkpoint;
mod compact;
mod files;
mod find;
mod open;
mod read;
mod rebuild;
mod remove;
mod seal;
mod table;
mod write;

pub use checkpoint::{CheckpointDone, CheckpointJob};
pub use open::{OpenReport, Recovered};

/// How a file store lays out its files and what it may keep in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOptions {
    /// A block is ended when it would grow beyond this many bytes. A single
    /// record may be larger. At most 1 GiB.
    pub block_size: u32,
    /// A page is written when it would grow beyond this many bytes.
    pub page_size: u32,
    /// Compress pages with S2.
    pub compress: bool,
    /// Bytes of decoded pages kept for readers; at least one page is kept.
    pub page_cache: usize,
    /// Bytes of footer sections kept; one section more than this may be held
    /// while it is used.
    pub section_cache: usize,
}

impl Default for FileOptions {
    fn default() -> Self {
        FileOptions {
            block_size: 32 << 20,
            page_size: 128 << 10,
            compress: false,
            page_cache: 1 << 20,
            section_cache: 32 << 20,
        }
    }
}

impl FileOptions {
    /// Options for a stream with this `max_bytes` (≤ 0: no limit): blocks small
    /// enough that a full stream gives space back in steps of an eighth.
    pub fn for_max_bytes(max_bytes: i64) -> FileOptions {
        let mut options = FileOptions::default();
        if max_bytes > 0 {
            let eighth = (max_bytes as u64 / 8).clamp(256 << 10, 64 << 20);
            options.block_size = eighth as u32;
        }
        options
    }
}

/// The messages of one stream in block files.
pub struct FileStore {
    files: Files,
    dir: String,
    options: FileOptions,
    core: Core,
    /// Sorted by first sequence; the last one takes the next message.
    blocks: VecDeque<Block>,
    tail: Tail,
    /// The last block must not be written any more.
    sealed_tail: bool,
    /// Removed since the last page was written, above the first sequence.
    removed: Vec<u64>,
    /// First and last sequence as the last page has them.
    floor_written: u64,
    last_written: u64,
    /// Removed messages whose bytes are to be overwritten: block id, sequence.
    erases: Vec<(u64, u64)>,
    /// Those a running checkpoint takes care of.
    erasing: Vec<(u64, u64)>,
    obsolete: Vec<Obsolete>,
    /// Block files were made since the last checkpoint.
    new_files: bool,
    /// Number of the next block file.
    next_id: u64,
    /// Number of the last checkpoint begun.
    checkpoint: u64,
    generations: checkpoint::Generations,
    compaction: Option<compact::Compaction>,
    cache: RefCell<Cache>,
    /// The latest reads, to recognise readers that go forward.
    recent: Cell<[u64; 4]>,
    /// A sequence and its time: the first one's, once asked for.
    first_ts: Cell<(u64, i64)>,
    lost_msgs: u64,
    lost_bytes: u64,
}

/// The page that is being filled.
struct Tail {
    buffer: RefCell<RecordBuffer>,
    /// Virtual offset in the block of the buffer's first byte.
    body_at: u32,
    /// Index in the block's map of the buffer's first message.
    first_slot: usize,
}

/// A file nobody needs any more.
#[derive(Debug, Clone)]
struct Obsolete {
    path: String,
    /// The first checkpoint that does not name it.
    since: u64,
}

impl Tail {
    fn new(buffer: RecordBuffer) -> Tail {
        Tail { buffer: RefCell::new(buffer), body_at: 0, first_slot: 0 }
    }
}

impl FileStore {
    /// Gives back what is only kept to be fast.
    pub fn release_caches(&mut self) {
        self.cache.get_mut().clear();
    }

    /// Bytes of the stream's block files, footers not counted.
    pub fn file_bytes(&self) -> u64 {
        self.blocks.iter().map(|b| u64::from(b.len)).sum()
    }

    fn empty_buffer(options: &FileOptions) -> RefCell<RecordBuffer> {
        RefCell::new(RecordBuffer::new(options.page_size as usize))
    }

    fn unreadable(&self, seq: u64, e: &RecordError) -> StoreError {
        StoreError::Damaged {
            path: self.dir.clone(),
            offset: 0,
            why: format!("message {seq}: {e}"),
        }
    }
}

impl std::fmt::Debug for FileStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileStore")
            .field("dir", &self.dir)
            .field("blocks", &self.blocks.len())
            .field("msgs", &self.core.msgs)
            .finish_non_exhaustive()
    }
}

impl StreamStore for FileStore {
    fn state(&self) -> StoreState {
        StoreState { lost_msgs: self.lost_msgs, lost_bytes: self.lost_bytes, ..query::state(self) }
    }

    fn append(&mut self, msg: &MessageView<'_>, record: &[u8]) -> Result<(), StoreError> {
        debug_assert!(msg.seq > self.core.last_seq, "sequences only grow");
        self.append_record(msg, record)
    }

    fn skip_to(&mut self, seq: u64, ts: i64) -> Result<(), StoreError> {
        self.core.skipped(seq, ts);
        Ok(())
    }

    fn set_first(&mut self, seq: u64) {
        self.core.emptied(seq);
    }

    fn remove(&mut self, seq: u64, erase: bool) -> Result<Option<Removed>, StoreError> {
        if !self.core.is_live(seq) {
            return Ok(None);
        }
        let subject = Bytes::from(self.subject_of(seq)?);
        let block = self.block_index(seq).map(|i| self.blocks[i].id);
        let bytes = self.remove_live(seq, &subject)?;
        if erase {
            self.erases.extend(block.map(|id| (id, seq)));
        }
        Ok(Some(Removed { seq, subject, bytes }))
    }

    fn remove_known(&mut self, seq: u64, subject: &[u8]) -> Result<Option<u64>, StoreError> {
        if !self.core.is_live(seq) {
            return Ok(None);
        }
        self.remove_live(seq, subject).map(Some)
    }

    fn purge_below(&mut self, seq: u64) -> Result<Purged, StoreError> {
        self.purge_head(seq)
    }

    fn purge_filter(
        &mut self,
        filter: &Filter,
        below: u64,
        keep: u64,
    ) -> Result<Purged, StoreError> {
        query::purge_filter(self, filter, below, keep)
    }

    fn load(&self, seq: u64) -> Result<Option<StoredMessage>, StoreError> {
        query::load(self, seq)
    }

    fn next(&self, filter: &Filter, from: u64) -> Result<Option<StoredMessage>, StoreError> {
        query::next(self, filter, from)
    }

    fn prev(&self, filter: &Filter, upto: u64) -> Result<Option<StoredMessage>, StoreError> {
        query::prev(self, filter, upto)
    }

    fn seq_at_time(&self, ts: i64) -> Result<u64, StoreError> {
        query::seq_at_time(self, ts)
    }

    fn subject(&self, subject: &[u8]) -> Result<Option<SubjectState>, StoreError> {
        query::subject(self, subject)
    }

    fn subjects(
        &self,
        filter: &Filter,
        limit: usize,
    ) -> Result<BTreeMap<Bytes, SubjectState>, StoreError> {
        query::subjects(self, filter, limit)
    }

    fn num_pending(
        &self,
        filter: &Filter,
        from: u64,
        last_per_subject: bool,
    ) -> Result<u64, StoreError> {
        query::num_pending(self, filter, from, last_per_subject)
    }

    fn last_seqs(
        &self,
        filter: &Filter,
        upto: u64,
        limit: usize,
    ) -> Result<Option<Vec<u64>>, StoreError> {
        query::last_seqs(self, filter, upto, limit)
    }

    fn deleted_ranges(&self, limit: usize) -> Vec<(u64, u64)> {
        query::deleted_ranges(self, limit)
    }

    fn memory(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(Block::memory).sum();
        blocks
            + self.tail.buffer.borrow().memory()
            + self.cache.borrow().memory()
            + self.core.deletes.memory()
            + self.core.subjects.borrow().memory()
            + self.removed.capacity() * 8
    }

    fn as_file(&mut self) -> Option<&mut FileStore> {
        Some(self)
    }
}
