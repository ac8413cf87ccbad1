//! Sealing a full block: its footer is built from what the file holds.

use super::super::StoreError;
use super::checkpoint::{BlockCapture, CapturedMap, io};
use super::read::check_message;
use crate::block::footer::{PageRef, Slot, Trailer, build};
use crate::block::page::{PAGE_HEADER, S2, decode_body};
use crate::disk::DiskFile;
use crate::record::read_frame_unchecked;
use bytes::Bytes;

/// Appends the footer to the file of `block`, without syncing.
pub(super) fn seal(block: &mut BlockCapture) -> Result<Trailer, StoreError> {
    let (CapturedMap::Open(map), Some(file)) = (&block.map, &block.file) else {
        return Err(damaged(block, 0, "is sealed already".into()));
    };
    // One page at a time in one buffer: a block is too large to hold.
    let mut body = Body::default();
    let mut loaded = 0;
    // The subjects back to back, and where each one ends.
    let mut subjects: Vec<u8> = Vec::new();
    let mut ends: Vec<(usize, u32)> = Vec::with_capacity(map.slots.len());
    let mut slots: Vec<Slot> = Vec::with_capacity(map.slots.len());
    let mut i = 0;
    for s in &map.slots {
        let slot = s.slot;
        while map.pages.get(i + 1).is_some_and(|p| p.body_at <= slot.at) {
            i += 1;
        }
        let seq = block.first + u64::from(slot.rel);
        let lost = || damaged(block, u64::from(slot.at), format!("message {seq} is not there"));
        let page = map.pages.get(i).ok_or_else(lost)?;
        while loaded <= i {
            body.load(block, file.as_ref(), &map.pages[loaded])?;
            loaded += 1;
        }
        let from = slot.at.checked_sub(page.body_at).ok_or_else(lost)? as usize;
        let record = body.bytes().get(from..from + slot.size()).ok_or_else(lost)?;
        if let Err(e) = check_message(record, seq)
            // A power cut may have torn its erasure, which spares the subject.
            && block.dead.binary_search(&seq).is_err()
        {
            return Err(damaged(block, u64::from(slot.at), e));
        }
        let message = read_frame_unchecked(record).and_then(|f| f.message());
        subjects.extend_from_slice(message.map_err(|_| lost())?.subject);
        ends.push((subjects.len(), slot.rel));
        slots.push(slot);
    }
    for page in map.pages.get(loaded..).unwrap_or_default() {
        body.load(block, file.as_ref(), page)?;
    }
    let mut start = 0;
    let names = ends.iter().map(|(end, rel)| {
        let name = subjects.get(start..*end).unwrap_or_default();
        start = *end;
        (name, *rel)
    });
    let names = names.collect();
    let trailer = Trailer {
        file_id: block.id,
        first: block.first,
        last: block.last,
        start: block.len,
        count: 0,
        subjects: 0,
        sections: [(0, 0); 4],
    };
    let (footer, trailer) = build(trailer, &map.pages, &slots, names);
    let at = u64::from(block.len);
    file.write_all_at(&footer, at).map_err(io("writing footer of", &block.path))?;
    // A former life of the file may have been longer.
    file.set_len(at + footer.len() as u64).map_err(io("writing footer of", &block.path))?;
    block.map = CapturedMap::Sealed(trailer);
    Ok(trailer)
}

/// The body of one page.
#[derive(Default)]
struct Body {
    stored: Vec<u8>,
    len: usize,
    decoded: Option<Bytes>,
}

impl Body {
    fn load(
        &mut self,
        block: &BlockCapture,
        file: &dyn DiskFile,
        page: &PageRef,
    ) -> Result<(), StoreError> {
        let at = u64::from(page.file_at) + PAGE_HEADER as u64;
        self.len = page.stored as usize;
        if self.stored.len() < self.len {
            self.stored.resize(self.len, 0);
        }
        let stored = &mut self.stored[..self.len];
        file.read_exact_at(stored, at).map_err(io("reading block", &block.path))?;
        let broken = || damaged(block, at, "page cannot be decoded".into());
        self.decoded = None;
        if page.flags & S2 != 0 {
            if crc32fast::hash(stored) != page.body_crc {
                return Err(damaged(block, at, "checksum does not match".into()));
            }
            let body = decode_body(page.flags, stored.to_vec(), page.raw as usize);
            self.decoded = Some(body.ok_or_else(broken)?);
        } else if page.raw != page.stored {
            return Err(broken());
        }
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        match &self.decoded {
            Some(body) => body,
            None => &self.stored[..self.len],
        }
    }
}

fn damaged(block: &BlockCapture, offset: u64, why: String) -> StoreError {
    StoreError::Damaged { path: block.path.clone(), offset, why }
}
