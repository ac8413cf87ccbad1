//! Decoded pages and footer sections of one store, both limited in bytes; the
//! least recently used goes first.

use crate::block::footer::SubjectTable;
use bytes::Bytes;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// A page whose records were checked.
#[derive(Debug)]
pub(super) struct Page {
    pub block_id: u64,
    pub first_seq: u64,
    pub last_seq: u64,
    /// Sequence minus `first_seq`, offset in the page, length.
    pub entries: Vec<(u32, u32, u32)>,
    pub parts: Vec<(u32, Bytes)>,
    pub size: usize,
}

impl Page {
    /// The record of `seq`; `None` if the page does not have it intact.
    pub fn get(&self, seq: u64) -> Option<Bytes> {
        let rel = u32::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        let i = super::blocks::find_slot(self.entries.len(), rel, |i| {
            self.entries.get(i).map(|e| e.0)
        })?;
        let (_, at, len) = *self.entries.get(i)?;
        let p = self.parts.partition_point(|(start, _)| *start <= at).checked_sub(1)?;
        let (start, part) = self.parts.get(p)?;
        let from = (at - start) as usize;
        let to = from + len as usize;
        (to <= part.len()).then(|| part.slice(from..to))
    }
}

/// Sections of one sealed block.
#[derive(Debug, Default)]
struct Sections {
    slots: Option<Bytes>,
    table: Option<Arc<SubjectTable>>,
    used: u64,
}

#[derive(Debug)]
pub(super) struct Cache {
    /// Most recently used last.
    pages: VecDeque<Arc<Page>>,
    page_bytes: usize,
    page_limit: usize,
    sections: HashMap<u64, Sections, foldhash::fast::RandomState>,
    section_bytes: usize,
    section_limit: usize,
    clock: u64,
    /// Clock at the last [`Cache::age`].
    mark: u64,
    /// A page was asked for since then.
    pages_used: bool,
}

impl Cache {
    pub fn new(page_limit: usize, section_limit: usize) -> Cache {
        Cache {
            pages: VecDeque::new(),
            page_bytes: 0,
            page_limit,
            sections: HashMap::default(),
            section_bytes: 0,
            section_limit,
            clock: 0,
            mark: 0,
            pages_used: false,
        }
    }

    /// The record of `seq` of a block, if its page is here.
    pub fn record(&mut self, block_id: u64, seq: u64) -> Option<Bytes> {
        let holds =
            |p: &Arc<Page>| p.block_id == block_id && p.first_seq <= seq && seq <= p.last_seq;
        let at = self.pages.iter().rposition(holds)?;
        self.pages_used = true;
        if at + 1 != self.pages.len()
            && let Some(page) = self.pages.remove(at)
        {
            self.pages.push_back(page);
        }
        self.pages.back()?.get(seq)
    }

    pub fn put_page(&mut self, page: Arc<Page>) {
        self.page_bytes += page.size;
        self.pages_used = true;
        self.pages.push_back(page);
        // The newest stays even if it alone is larger than the limit: its
        // reader is about to ask for the next message in it.
        while self.page_bytes > self.page_limit && self.pages.len() > 1 {
            if let Some(p) = self.pages.pop_front() {
                self.page_bytes -= p.size;
            }
        }
    }

    pub fn slots(&mut self, id: u64) -> Option<Bytes> {
        self.touch(id)?.slots.clone()
    }

    pub fn table(&mut self, id: u64) -> Option<Arc<SubjectTable>> {
        self.touch(id)?.table.clone()
    }

    pub fn put_slots(&mut self, id: u64, slots: Bytes) {
        let n = slots.len();
        self.make_room(n);
        self.section_bytes += n;
        self.entry(id).slots = Some(slots);
    }

    pub fn put_table(&mut self, id: u64, table: Arc<SubjectTable>) {
        let n = table.memory();
        self.make_room(n);
        self.section_bytes += n;
        self.entry(id).table = Some(table);
    }

    /// Forgets everything of a block.
    pub fn forget(&mut self, id: u64) {
        self.pages.retain(|p| p.block_id != id);
        self.page_bytes = self.pages.iter().map(|p| p.size).sum();
        if let Some(s) = self.sections.remove(&id) {
            self.section_bytes -= s.bytes();
        }
    }

    /// Forgets what was not used since it was called last, so that an idle
    /// stream holds nothing.
    pub fn age(&mut self) {
        if !std::mem::take(&mut self.pages_used) {
            self.pages.clear();
            self.page_bytes = 0;
        }
        let mark = std::mem::replace(&mut self.mark, self.clock);
        let bytes = &mut self.section_bytes;
        self.sections.retain(|_, s| {
            let keep = s.used > mark;
            if !keep {
                *bytes -= s.bytes();
            }
            keep
        });
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Cache::new(self.page_limit, self.section_limit);
    }

    pub fn memory(&self) -> usize {
        self.page_bytes + self.section_bytes
    }

    fn touch(&mut self, id: u64) -> Option<&Sections> {
        self.clock += 1;
        let s = self.sections.get_mut(&id)?;
        s.used = self.clock;
        Some(s)
    }

    fn entry(&mut self, id: u64) -> &mut Sections {
        self.clock += 1;
        let s = self.sections.entry(id).or_default();
        s.used = self.clock;
        s
    }

    fn make_room(&mut self, need: usize) {
        while self.section_bytes > 0 && self.section_bytes + need > self.section_limit {
            let Some(oldest) = self.sections.iter().min_by_key(|(_, s)| s.used).map(|(k, _)| *k)
            else {
                return;
            };
            if let Some(s) = self.sections.remove(&oldest) {
                self.section_bytes -= s.bytes();
            }
        }
    }
}

impl Sections {
    fn bytes(&self) -> usize {
        self.slots.as_ref().map_or(0, Bytes::len) + self.table.as_ref().map_or(0, |t| t.memory())
    }
}
