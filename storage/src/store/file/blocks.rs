//! What is known in memory of one block file.

use super::super::StoreError;
use super::files::Files;
use crate::block::footer::{PageRef, Slot, Trailer};
use crate::block::page::{PAGE_HEADER, PageHeader, S2};
use crate::block::{BLOCK_HEADER, block_header};
use bytes::Bytes;
use std::cell::{Cell, OnceCell};
use std::io::IoSlice;

/// One block file.
pub(super) struct Block {
    /// First sequence it may hold; the blocks are sorted by it.
    pub first: u64,
    /// Last sequence it holds (`first - 1` while it has none).
    pub last: u64,
    /// Number of the file, unique in the store.
    pub id: u64,
    pub path: String,
    /// Bytes of the file that hold pages; the next page goes here.
    pub len: u32,
    /// The same as if no page were compressed.
    pub virt: u32,
    pub live: u64,
    pub live_bytes: u64,
    /// No page is compressed: virtual offsets are file offsets.
    pub linear: bool,
    /// Written since it was last synced.
    pub dirty: bool,
    /// Holds erased messages that only a rewrite gets rid of.
    pub rewrite: bool,
    /// Something in it cannot be read: it is neither sealed nor compacted.
    pub faulty: bool,
    pub map: Map,
    /// Single slots read from the file while the section was not cached.
    pub misses: Cell<u16>,
    /// Damage seen when reading was logged.
    pub told: Cell<bool>,
}

/// Where the messages are.
pub(super) enum Map {
    /// In memory: the tail, and full blocks that no checkpoint has sealed yet.
    Open(OpenMap),
    /// In the footer.
    Sealed(SealedMap),
}

#[derive(Default, Clone)]
pub(super) struct OpenMap {
    pub slots: Vec<OpenSlot>,
    pub pages: Vec<PageRef>,
}

pub(super) struct SealedMap {
    pub trailer: Trailer,
    pub pages: OnceCell<Vec<PageRef>>,
}

/// A slot with the distance to the next message of the same subject (0 = not
/// known).
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenSlot {
    pub slot: Slot,
    pub next: u32,
}

impl Block {
    pub fn new(dir: &str, first: u64, id: u64) -> Block {
        Block {
            first,
            last: first - 1,
            id,
            path: block_path(dir, first, id),
            len: 0,
            virt: 0,
            live: 0,
            live_bytes: 0,
            linear: true,
            dirty: false,
            rewrite: false,
            faulty: false,
            map: Map::Open(OpenMap::default()),
            misses: Cell::new(0),
            told: Cell::new(false),
        }
    }

    /// Makes the file of a new block.
    pub fn create(files: &Files, dir: &str, first: u64, id: u64) -> Result<Block, StoreError> {
        let mut block = Block::new(dir, first, id);
        let file = files.create(&block)?;
        file.write_all_at(&block_header(first, id), 0).map_err(block.io("writing block"))?;
        block.len = BLOCK_HEADER as u32;
        block.virt = BLOCK_HEADER as u32;
        block.dirty = true;
        Ok(block)
    }

    /// Appends a page. The slots of its messages are the caller's business. On
    /// error nothing has changed.
    pub fn write_page(
        &mut self,
        files: &Files,
        compress: bool,
        content: PageContent,
    ) -> Result<(), StoreError> {
        let first_seq = content.first_seq(self);
        let mut body = content.body;
        let raw: usize = body.iter().map(Bytes::len).sum();
        let mut flags = 0;
        if compress && raw >= SMALLEST_S2 {
            let packed = minlz::s2::encode(&body.concat());
            if packed.len() < raw {
                body = vec![Bytes::from(packed)];
                flags = S2;
            }
        }
        let mut crc = crc32fast::Hasher::new();
        body.iter().for_each(|b| crc.update(b));
        let stored: usize = body.iter().map(Bytes::len).sum();
        let header = PageHeader {
            flags,
            raw: raw as u32,
            stored: stored as u32,
            messages: content.messages,
            count: content.count,
            first_seq,
            last_seq: content.last_seq,
            last_ts: content.last_ts,
            floor: content.floor,
            file_id: self.id,
            body_crc: crc.finalize(),
        };
        let head = header.encode();
        let mut io = Vec::with_capacity(body.len() + 1);
        io.push(IoSlice::new(&head));
        io.extend(body.iter().map(|b| IoSlice::new(b)));
        files
            .get(self)?
            .write_all_vectored_at(&io, u64::from(self.len))
            .map_err(self.io("writing block"))?;
        let page = PageRef {
            first_rel: (first_seq - self.first) as u32,
            body_at: self.virt + PAGE_HEADER as u32,
            file_at: self.len,
            stored: header.stored,
            raw: header.raw,
            messages: header.messages,
            count: header.count,
            body_crc: header.body_crc,
            flags,
        };
        if let Map::Open(map) = &mut self.map {
            map.pages.push(page);
        }
        self.len += (PAGE_HEADER + stored) as u32;
        self.virt += (PAGE_HEADER + raw) as u32;
        self.linear &= flags == 0;
        self.dirty = true;
        Ok(())
    }

    pub fn io(&self, what: &'static str) -> impl FnOnce(std::io::Error) -> StoreError + '_ {
        move |source| {
            if source.kind() == std::io::ErrorKind::UnexpectedEof {
                return self.damaged(0, "file is shorter than it was");
            }
            StoreError::Io { what, path: self.path.clone(), source }
        }
    }

    /// The error for bytes that are not what was written. The first of a block
    /// is logged: who reads hears of it as a message that cannot be had, and the
    /// operator would not hear of it at all.
    pub fn damaged(&self, offset: u64, why: impl Into<String>) -> StoreError {
        let e = StoreError::Damaged { path: self.path.clone(), offset, why: why.into() };
        if !self.told.replace(true) {
            tracing::error!("JetStream: {e}. Messages that can be read are still served");
        }
        e
    }

    /// Messages in the file, removed ones included.
    pub fn count(&self) -> u64 {
        match &self.map {
            Map::Open(m) => m.slots.len() as u64,
            Map::Sealed(m) => u64::from(m.trailer.count),
        }
    }

    /// Reads and checks part of the file.
    pub fn read(
        &self,
        files: &Files,
        at: u64,
        len: usize,
        crc: Option<u32>,
    ) -> Result<Vec<u8>, StoreError> {
        let mut buf = vec![0; len];
        files.get(self)?.read_exact_at(&mut buf, at).map_err(self.io("reading block"))?;
        if crc.is_some_and(|crc| crc != crc32fast::hash(&buf)) {
            return Err(self.damaged(at, "checksum does not match"));
        }
        Ok(buf)
    }

    pub fn memory(&self) -> usize {
        let map = match &self.map {
            Map::Open(m) => {
                m.slots.capacity() * size_of::<OpenSlot>()
                    + m.pages.capacity() * size_of::<PageRef>()
            }
            Map::Sealed(m) => m.pages.get().map_or(0, |p| p.len() * size_of::<PageRef>()),
        };
        size_of::<Block>() + self.path.len() + map
    }
}

/// What a page is made of.
pub(super) struct PageContent {
    /// Message records, then perhaps a deletes frame.
    pub body: Vec<Bytes>,
    /// Bytes of `body` that are message records.
    pub messages: u32,
    pub count: u32,
    /// First message relative to the block, if there is one.
    pub first_rel: Option<u32>,
    /// Facts about the stream for a rebuild.
    pub last_seq: u64,
    pub last_ts: i64,
    pub floor: u64,
}

impl PageContent {
    pub fn first_seq(&self, block: &Block) -> u64 {
        self.first_rel.map_or(block.last + 1, |r| block.first + u64::from(r))
    }
}

/// A smaller page is not worth compressing.
const SMALLEST_S2: usize = 256;

impl OpenMap {
    /// Index of the slot of a relative sequence.
    pub fn find(&self, rel: u32) -> Option<usize> {
        find_slot(self.slots.len(), rel, |i| self.slots.get(i).map(|s| s.slot.rel))
    }
}

/// Finds `rel` among ascending values that start at 0 or above and do not
/// repeat, so the value at `i` is at least `i`.
pub(super) fn find_slot(n: usize, rel: u32, at: impl Fn(usize) -> Option<u32>) -> Option<usize> {
    let guess = rel as usize;
    if guess < n && at(guess)? == rel {
        return Some(guess);
    }
    let (mut low, mut high) = (0, n.min(guess + 1));
    while low < high {
        let mid = (low + high) / 2;
        if at(mid)? < rel { low = mid + 1 } else { high = mid }
    }
    (low < n && at(low)? == rel).then_some(low)
}

/// Name of a block file: first sequence and file number.
pub(super) fn block_path(dir: &str, first: u64, id: u64) -> String {
    format!("{dir}/{first}-{id}.blk")
}

/// What [`block_path`] put into a name.
pub(super) fn parse_block_name(name: &str) -> Option<(u64, u64)> {
    let (first, id) = name.strip_suffix(".blk")?.split_once('-')?;
    Some((first.parse().ok()?, id.parse().ok()?))
}
