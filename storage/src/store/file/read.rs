//! Reading records: tail buffer, page cache, whole pages when the reader goes
//! forward, single records otherwise.

use super::super::StoreError;
use super::FileStore;
use super::blocks::{Block, Map, SealedMap, find_slot};
use super::cache::Page;
use crate::block::footer::{PageRef, SLOT, Section, Slot, SubjectTable};
use crate::block::page::{PAGE_HEADER, S2, decode_body};
use crate::record::{FRAME_HEADER, MAX_FRAME, RecordError, kind, read_frame};
use bytes::Bytes;
use std::sync::Arc;

/// Slots read at once when so few are left to search.
const CHUNK_SLOTS: usize = 128;
/// After so many single slots the section is read as a whole.
const MISSES_BEFORE_LOAD: u16 = 1024;

impl FileStore {
    /// Index of the block that holds or would hold `seq`.
    pub(super) fn block_index(&self, seq: u64) -> Option<usize> {
        if let Some(last) = self.blocks.back()
            && seq >= last.first
        {
            return (seq <= last.last).then(|| self.blocks.len() - 1);
        }
        let i = self.blocks.partition_point(|b| b.first <= seq).checked_sub(1)?;
        (seq <= self.blocks[i].last).then_some(i)
    }

    /// The record of a message that is physically there (live or removed).
    pub(super) fn read_record(&self, seq: u64) -> Result<Bytes, StoreError> {
        let Some(i) = self.block_index(seq) else { return Err(self.missing(seq)) };
        let block = &self.blocks[i];
        if i + 1 == self.blocks.len()
            && let Map::Open(map) = &block.map
            && let Some(at) = map.find((seq - block.first) as u32)
            && at >= self.tail.first_slot
        {
            let slot = map.slots[at].slot;
            let got = self.tail.buffer.borrow_mut().get(slot.at - self.tail.body_at, slot.size());
            return got.ok_or_else(|| self.missing(seq));
        }
        let sequential = self.note_read(seq);
        if let Some(record) = self.cache.borrow_mut().record(block.id, seq) {
            return Ok(record);
        }
        if (sequential || !block.linear)
            && let Some(page) = self.load_page(block, seq)?
        {
            let record = page.get(seq);
            self.cache.borrow_mut().put_page(page);
            if let Some(record) = record {
                return Ok(record);
            }
        }
        self.read_single(block, seq)
    }

    /// Whether `seq` follows one of the last reads.
    fn note_read(&self, seq: u64) -> bool {
        let mut recent = self.recent.get();
        for r in &mut recent {
            if seq == *r || (seq > *r && self.core.next_live(*r + 1) == Some(seq)) {
                *r = seq;
                self.recent.set(recent);
                return true;
            }
        }
        recent.rotate_right(1);
        recent[0] = seq;
        self.recent.set(recent);
        false
    }

    /// Reads one record by its slot and checks it.
    pub(super) fn read_single(&self, block: &Block, seq: u64) -> Result<Bytes, StoreError> {
        let slot = self.slot(block, seq)?;
        if !block.linear {
            // The page was read just before and does not have the record.
            return Err(block.damaged(0, format!("message {seq} cannot be decoded")));
        }
        let at = u64::from(slot.at);
        if slot.size() < FRAME_HEADER
            || slot.size() > MAX_FRAME
            || at + slot.size() as u64 > u64::from(block.len)
        {
            return Err(block.damaged(at, format!("slot of message {seq} is impossible")));
        }
        let record = block.read(&self.files, at, slot.size(), None)?;
        check_message(&record, seq).map_err(|why| block.damaged(at, why))?;
        Ok(record.into())
    }

    /// Slot of a message that is physically in `block`.
    pub(super) fn slot(&self, block: &Block, seq: u64) -> Result<Slot, StoreError> {
        self.link(block, seq).map(|s| s.0)
    }

    /// The same, and whether memory or a checksum vouches for it.
    pub(super) fn link(&self, block: &Block, seq: u64) -> Result<(Slot, bool), StoreError> {
        let rel = (seq - block.first) as u32;
        let missing = || block.damaged(0, format!("no slot for message {seq}"));
        let sealed = match &block.map {
            Map::Open(map) => {
                return map.find(rel).map(|i| (map.slots[i].slot, true)).ok_or_else(missing);
            }
            Map::Sealed(sealed) => sealed,
        };
        let cached = self.cache.borrow_mut().slots(block.id);
        if cached.is_none() {
            let misses = block.misses.get() + 1;
            block.misses.set(misses);
            if misses < MISSES_BEFORE_LOAD
                && let Some(slot) = self.single_slot(block, sealed, rel)?
            {
                return Ok((slot, false));
            }
        }
        let slots = match cached {
            Some(slots) => slots,
            None => {
                let slots = self.section(block, sealed, Section::Slots)?;
                self.cache.borrow_mut().put_slots(block.id, slots.clone());
                block.misses.set(0);
                slots
            }
        };
        let get = |i: usize| slots.get(i * SLOT..).and_then(Slot::decode);
        find_slot(slots.len() / SLOT, rel, |i| get(i).map(|s| s.rel))
            .and_then(get)
            .map(|s| (s, true))
            .ok_or_else(missing)
    }

    /// Finds one slot with a few small reads. No checksum covers what is read
    /// in part; what the slot leads to is checked: the record, and the subject
    /// of the message its link leads to.
    fn single_slot(
        &self,
        block: &Block,
        sealed: &SealedMap,
        rel: u32,
    ) -> Result<Option<Slot>, StoreError> {
        let (at, len, _) = sealed.trailer.section(Section::Slots);
        let n = len / SLOT;
        let (mut low, mut high) = (0, n.min(rel as usize + 1));
        if n as u64 == block.last - block.first + 1 {
            low = rel as usize;
        }
        while low < high {
            let count = (high - low).min(CHUNK_SLOTS);
            // Few left: read them all; else the middle one.
            let from = if count == high - low { low } else { (low + high) / 2 };
            let count = if from == low { count } else { 1 };
            let offset = at + (from * SLOT) as u64;
            let bytes = block.read(&self.files, offset, count * SLOT, None)?;
            let slots = bytes.chunks_exact(SLOT).filter_map(Slot::decode);
            if from == low {
                return Ok(slots.into_iter().find(|s| s.rel == rel));
            }
            match bytes.chunks_exact(SLOT).find_map(Slot::decode) {
                Some(s) if s.rel == rel => return Ok(Some(s)),
                Some(s) if s.rel < rel => low = from + 1,
                _ => high = from,
            }
        }
        Ok(None)
    }

    fn section(
        &self,
        block: &Block,
        sealed: &SealedMap,
        which: Section,
    ) -> Result<Bytes, StoreError> {
        let (at, len, crc) = sealed.trailer.section(which);
        block.read(&self.files, at, len, Some(crc)).map(Bytes::from)
    }

    /// Subjects of a sealed block.
    pub(super) fn table(
        &self,
        block: &Block,
        sealed: &SealedMap,
    ) -> Result<Arc<SubjectTable>, StoreError> {
        if let Some(table) = self.cache.borrow_mut().table(block.id) {
            return Ok(table);
        }
        let subjects = self.section(block, sealed, Section::Subjects)?;
        let postings = self.section(block, sealed, Section::Postings)?;
        let table = SubjectTable::new(subjects, postings).map(Arc::new).ok_or_else(|| {
            block.damaged(u64::from(sealed.trailer.start), "subject table is inconsistent")
        })?;
        self.cache.borrow_mut().put_table(block.id, table.clone());
        Ok(table)
    }

    /// Page directory of a block.
    pub(super) fn pages<'a>(&self, block: &'a Block) -> Result<&'a [PageRef], StoreError> {
        match &block.map {
            Map::Open(map) => Ok(&map.pages),
            Map::Sealed(sealed) => {
                if let Some(pages) = sealed.pages.get() {
                    return Ok(pages);
                }
                let bytes = self.section(block, sealed, Section::Pages)?;
                let mut rest = &bytes[..];
                let pages = std::iter::from_fn(|| PageRef::decode(&mut rest)).collect();
                Ok(sealed.pages.get_or_init(|| pages))
            }
        }
    }

    /// Decoded body of a page; of a plain page its records are still unchecked.
    pub(super) fn page_body(&self, block: &Block, page: &PageRef) -> Result<Bytes, StoreError> {
        let at = u64::from(page.file_at) + PAGE_HEADER as u64;
        let crc = (page.flags & S2 != 0).then_some(page.body_crc);
        let stored = block.read(&self.files, at, page.stored as usize, crc)?;
        decode_body(page.flags, stored, page.raw as usize)
            .ok_or_else(|| block.damaged(at, "page cannot be decoded"))
    }

    /// Reads the page with `seq` and checks its records. A damaged record is
    /// left out, so that reading it singly names it.
    fn load_page(&self, block: &Block, seq: u64) -> Result<Option<Arc<Page>>, StoreError> {
        let pages = self.pages(block)?;
        let rel = (seq - block.first) as u32;
        // A page without messages starts where the next one does.
        let Some(i) = pages.partition_point(|p| p.first_rel <= rel).checked_sub(1) else {
            return Ok(None);
        };
        let page = &pages[i];
        let body = self.page_body(block, page)?;
        let first_seq = block.first + u64::from(page.first_rel);
        let mut entries = Vec::with_capacity(page.count as usize);
        let mut at = 0usize;
        let end = (page.messages as usize).min(body.len());
        let mut last_seq = first_seq;
        while at < end {
            let len = match read_frame(&body[at..end]) {
                Ok(frame) => {
                    if let Ok(m) = frame.message()
                        && m.seq >= last_seq
                        && let Ok(rel) = u32::try_from(m.seq - first_seq)
                    {
                        entries.push((rel, at as u32, frame.raw.len() as u32));
                        last_seq = m.seq;
                    }
                    frame.raw.len()
                }
                Err(RecordError::BadCrc { .. }) => match body[at..].first_chunk::<4>() {
                    Some(len) => u32::from_le_bytes(*len) as usize,
                    None => break,
                },
                Err(_) => break,
            };
            at += len;
        }
        Ok(Some(Arc::new(Page {
            block_id: block.id,
            first_seq,
            last_seq,
            entries,
            size: body.len(),
            parts: vec![(0, body)],
        })))
    }

    fn missing(&self, seq: u64) -> StoreError {
        StoreError::Damaged {
            path: self.dir.clone(),
            offset: 0,
            why: format!("message {seq} is in no block"),
        }
    }
}

/// Checks that these bytes are the message `seq`.
pub(super) fn check_message(record: &[u8], seq: u64) -> Result<(), String> {
    let frame = read_frame(record).map_err(|e| e.to_string())?;
    if frame.kind != kind::MESSAGE || frame.raw.len() != record.len() {
        return Err(format!("no message where {seq} should be"));
    }
    let m = frame.message().map_err(|e| e.to_string())?;
    if m.seq != seq {
        return Err(format!("message {} where {seq} should be", m.seq));
    }
    Ok(())
}
