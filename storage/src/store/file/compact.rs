//! Compaction: sealed blocks that are mostly dead are copied together.

use super::super::StoreError;
use super::super::query::Log;
use super::blocks::{Block, Map, OpenMap, OpenSlot, PageContent};
use super::{FileStore, Obsolete};
use crate::block::footer::Slot;
use crate::block::page::PAGE_HEADER;
use bytes::{Bytes, BytesMut};

/// A rewrite in progress.
pub(super) struct Compaction {
    /// Ids of the blocks that are copied, neighbours in order.
    sources: Vec<u64>,
    block: Block,
    last: u64,
    /// Next sequence to copy.
    next: u64,
    page: BytesMut,
    /// Index of the page's first slot.
    first_slot: usize,
}

impl FileStore {
    /// Does a bounded piece of compaction, copying about `budget` bytes;
    /// whether there is more to do. What was copied is used from the moment the
    /// last piece is done; the old files go with a later checkpoint.
    pub fn compact_step(&mut self, budget: usize) -> Result<bool, StoreError> {
        let mut compaction = match self.compaction.take() {
            Some(c) => c,
            None => match self.choose()? {
                Some(c) => c,
                None => return Ok(false),
            },
        };
        if !self.still_there(&compaction) {
            // A source lost its last message meanwhile.
            let _ = self.files.disk.remove(&compaction.block.path);
            return Ok(true);
        }
        let mut copied = 0;
        while copied < budget {
            let Some(seq) = self.core.next_live(compaction.next).filter(|s| *s <= compaction.last)
            else {
                let written = self.write_compacted(&mut compaction);
                if let Err(e) = written {
                    self.compaction = Some(compaction);
                    return Err(e);
                }
                self.swap(compaction);
                return Ok(true);
            };
            match self.copy(&mut compaction, seq) {
                Ok(n) => copied += n,
                Err(e) => {
                    if matches!(e, StoreError::Damaged { .. }) {
                        self.give_up(compaction);
                    } else {
                        self.compaction = Some(compaction);
                    }
                    return Err(e);
                }
            }
        }
        self.compaction = Some(compaction);
        Ok(true)
    }

    /// The first run of neighbours worth copying.
    fn choose(&mut self) -> Result<Option<Compaction>, StoreError> {
        let sparse = |b: &Block| {
            matches!(b.map, Map::Sealed(_))
                && !b.faulty
                && (b.rewrite || b.live_bytes * 2 < u64::from(b.len))
        };
        let end = self.blocks.len().saturating_sub(1);
        let Some(start) = (0..end).find(|i| sparse(&self.blocks[*i])) else { return Ok(None) };
        let first = self.blocks[start].first;
        let mut sources = Vec::new();
        let (mut bytes, mut last) = (0, first);
        for b in self.blocks.range(start..end).take_while(|b| sparse(b)) {
            bytes += b.live_bytes + b.live * 4;
            if !sources.is_empty() && bytes > u64::from(self.options.block_size) / 2
                || u32::try_from(b.last - first).is_err()
            {
                break;
            }
            sources.push(b.id);
            last = b.last;
        }
        if sources.is_empty() {
            return Ok(None);
        }
        let block = Block::create(&self.files, &self.dir, first, self.next_id)?;
        self.next_id += 1;
        self.new_files = true;
        Ok(Some(Compaction {
            sources,
            block,
            last,
            next: first,
            page: BytesMut::new(),
            first_slot: 0,
        }))
    }

    fn still_there(&self, c: &Compaction) -> bool {
        c.sources.iter().all(|id| self.blocks.iter().any(|b| b.id == *id))
    }

    fn copy(&self, c: &mut Compaction, seq: u64) -> Result<usize, StoreError> {
        let record = self.record(seq)?;
        if !c.page.is_empty() && c.page.len() + record.len() > self.options.page_size as usize {
            self.write_compacted(c)?;
        }
        let Some(from) = self.block_index(seq) else { return Ok(0) };
        let source = self.slot(&self.blocks[from], seq)?;
        if let Map::Open(map) = &mut c.block.map {
            let slot = Slot {
                rel: (seq - c.block.first) as u32,
                at: c.block.virt + PAGE_HEADER as u32 + c.page.len() as u32,
                len: source.len,
                prev: source.prev,
            };
            map.slots.push(OpenSlot { slot, next: 0 });
        }
        c.page.extend_from_slice(&record);
        c.next = seq + 1;
        Ok(record.len())
    }

    fn write_compacted(&self, c: &mut Compaction) -> Result<(), StoreError> {
        if c.page.is_empty() {
            return Ok(());
        }
        let Map::Open(OpenMap { slots, .. }) = &c.block.map else { return Ok(()) };
        let content = PageContent {
            messages: c.page.len() as u32,
            count: (slots.len() - c.first_slot) as u32,
            first_rel: slots.get(c.first_slot).map(|s| s.slot.rel),
            body: vec![Bytes::copy_from_slice(&c.page)],
            // Says nothing about the end of the stream.
            last_seq: 0,
            last_ts: 0,
            floor: 0,
        };
        let n = slots.len();
        c.block.write_page(&self.files, self.options.compress, content)?;
        c.page.clear();
        c.first_slot = n;
        Ok(())
    }

    /// Puts the copy in the place of its sources.
    fn swap(&mut self, mut c: Compaction) {
        let Some(at) = self.blocks.iter().position(|b| Some(&b.id) == c.sources.first()) else {
            return;
        };
        c.block.last = c.last;
        // Removals that the sources record of earlier blocks are carried over.
        for i in at..(at + c.sources.len()).min(self.blocks.len()) {
            if i > 0 {
                self.carry_deletes(i);
            }
        }
        for _ in 0..c.sources.len() {
            if let Some(old) = self.blocks.remove(at) {
                c.block.live += old.live;
                c.block.live_bytes += old.live_bytes;
                self.cache.get_mut().forget(old.id);
                self.files.forget(old.id);
                self.obsolete.push(Obsolete { path: old.path, since: self.checkpoint + 1 });
            }
        }
        self.blocks.insert(at, c.block);
    }

    fn give_up(&mut self, c: Compaction) {
        for b in self.blocks.iter_mut().filter(|b| c.sources.contains(&b.id)) {
            b.faulty = true;
        }
        let _ = self.files.disk.remove(&c.block.path);
    }
}
