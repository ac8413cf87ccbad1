//! Appending: the tail page in memory, full pages to the tail block.

use super::super::{StoreError, span_error};
use super::blocks::{Block, Map, OpenSlot, PageContent};
use super::cache::Page;
use super::{FileStore, Tail};
use crate::block::buffer::RecordBuffer;
use crate::block::footer::{HAS_HEADERS, Slot};
use crate::block::page::{PAGE_HEADER, put_deletes};
use crate::index::core::Formula;
use crate::record::MessageView;
use bytes::BytesMut;
use std::sync::Arc;

impl FileStore {
    pub(super) fn append_record(
        &mut self,
        msg: &MessageView<'_>,
        record: &[u8],
    ) -> Result<(), StoreError> {
        let seq = msg.seq;
        // Everything that can fail comes before anything changes.
        if !self.core.subjects.get_mut().admits(self.core.first_seq, seq) {
            return Err(span_error());
        }
        self.make_room(seq, record.len())?;
        let before = self.core.subjects.get_mut().append(msg.subject, seq);
        let prev = match before.filter(|e| !e.last_stale) {
            Some(e) => {
                let delta = u32::try_from(seq - e.last).unwrap_or(0);
                self.link_forward(e.last, delta);
                delta
            }
            None => 0,
        };
        let bytes = Formula::File.of(msg);
        let Some(block) = self.blocks.back_mut() else { return Ok(()) };
        if let Map::Open(map) = &mut block.map {
            let at = self.tail.body_at + self.tail.buffer.get_mut().push(record);
            let headers = if msg.headers.is_empty() { 0 } else { HAS_HEADERS };
            let rel = (seq - block.first) as u32;
            let slot = Slot { rel, at, len: record.len() as u32 | headers, prev };
            map.slots.push(OpenSlot { slot, next: 0 });
            block.last = seq;
            block.live += 1;
            block.live_bytes += bytes;
        }
        self.core.appended(seq, msg.ts, bytes);
        Ok(())
    }

    fn link_forward(&mut self, from: u64, delta: u32) {
        let Some(i) = self.block_index(from) else { return };
        let block = &mut self.blocks[i];
        if let Map::Open(map) = &mut block.map
            && let Some(at) = map.find((from - block.first) as u32)
        {
            map.slots[at].next = delta;
        }
    }

    /// Makes the tail able to take a record of `len` bytes for `seq`.
    fn make_room(&mut self, seq: u64, len: usize) -> Result<(), StoreError> {
        let used = self.tail.buffer.get_mut().len();
        if used > 0 && used + len > self.options.page_size as usize {
            self.flush_page()?;
        }
        let used = self.tail.buffer.get_mut().len();
        let fits = self.blocks.back().is_some_and(|b| {
            let end = b.virt as usize + 2 * PAGE_HEADER + used + len;
            matches!(b.map, Map::Open(_))
                && !self.sealed_tail
                && u32::try_from(seq - b.first).is_ok()
                && (end <= self.options.block_size as usize || b.count() == 0)
        });
        if !fits {
            self.new_block(seq)?;
        }
        Ok(())
    }

    /// Ends the tail block and starts another one for `seq`.
    pub(super) fn new_block(&mut self, seq: u64) -> Result<(), StoreError> {
        if self.tail.buffer.get_mut().len() > 0 {
            self.flush_page()?;
        }
        let id = self.next_id;
        let block = Block::create(&self.files, &self.dir, seq, id)?;
        self.next_id += 1;
        self.new_files = true;
        self.sealed_tail = false;
        // An empty predecessor holds nothing but old news of removals.
        if let Some(last) = self.blocks.back()
            && last.live == 0
        {
            self.drop_block(self.blocks.len() - 1)?;
        }
        self.blocks.push_back(block);
        self.reset_tail();
        Ok(())
    }

    /// Points the (empty) tail buffer at the end of the last block.
    pub(super) fn reset_tail(&mut self) {
        if let Some(b) = self.blocks.back() {
            self.tail.body_at = b.virt + PAGE_HEADER as u32;
            self.tail.first_slot = b.count() as usize;
        }
    }

    /// Writes what is in the tail buffer, and which messages were removed since
    /// the last page, as one page. On error nothing has changed.
    pub(super) fn flush_page(&mut self) -> Result<(), StoreError> {
        let Some(block) = self.blocks.back_mut() else { return Ok(()) };
        let Map::Open(map) = &mut block.map else { return Ok(()) };
        let tail = self.tail.buffer.get_mut();
        let messages = tail.len();
        let count = map.slots.len() - self.tail.first_slot;
        let mut body = tail.slices();
        let mut removed = BytesMut::new();
        let floor = self.core.first_seq;
        self.removed.retain(|s| *s >= floor);
        if !self.removed.is_empty() {
            put_deletes(&mut removed, &mut self.removed);
            body.push(removed.freeze());
        }
        let content = PageContent {
            body,
            messages: messages as u32,
            count: count as u32,
            first_rel: map.slots.get(self.tail.first_slot).map(|s| s.slot.rel),
            last_seq: self.core.last_seq,
            last_ts: self.core.last_ts,
            floor,
        };
        let first = content.first_seq(block);
        block.write_page(&self.files, self.options.compress, content)?;

        self.removed.clear();
        self.floor_written = floor;
        self.last_written = self.core.last_seq;
        let (id, last) = (block.id, block.last);
        let Map::Open(map) = &block.map else { return Ok(()) };
        let entries = map.slots[self.tail.first_slot..]
            .iter()
            .map(|s| {
                let seq = block.first + u64::from(s.slot.rel);
                ((seq - first) as u32, s.slot.at - self.tail.body_at, s.slot.size() as u32)
            })
            .collect();
        let room = if messages * 2 > self.options.page_size as usize { messages } else { 0 };
        let fresh = RecordBuffer::with_room(room, self.options.page_size as usize);
        let full = std::mem::replace(&mut self.tail, Tail::new(fresh));
        if count > 0 {
            self.cache.get_mut().put_page(Arc::new(Page {
                block_id: id,
                first_seq: first,
                last_seq: last,
                entries,
                size: messages,
                parts: full.buffer.into_inner().into_parts(),
            }));
        }
        self.reset_tail();
        Ok(())
    }
}
