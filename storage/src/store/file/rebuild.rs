//! The last resort: the state from the block files alone.

use super::super::StoreError;
use super::super::query::Log;
use super::FileStore;
use super::blocks::{Block, Map, OpenSlot, parse_block_name};
use super::checkpoint::io;
use super::open::OpenReport;
use crate::block::footer::{HAS_HEADERS, PageRef, Slot, TRAILER, Trailer};
use crate::block::page::{PAGE_HEADER, PageHeader, decode_body, read_deletes};
use crate::block::{BLOCK_HEADER, read_block_header};
use crate::disk::{DirEntry, OpenMode};
use crate::index::core::Formula;
use crate::index::deletes::Deletes;
use crate::index::subjects::SubjectIndex;
use crate::record::{RecordError, read_frame, read_frame_unchecked};
use bytes::Bytes;

/// A block as its file tells.
struct Scanned {
    block: Block,
    sealed: bool,
    /// Of each message: sequence, time, subject.
    messages: Vec<(u64, i64, Bytes)>,
    removed: Vec<u64>,
    floor: u64,
    last: (u64, i64),
}

/// Fills the empty `store` from its block files.
pub(super) fn rebuild(
    store: &mut FileStore,
    files: &[DirEntry],
    report: &mut OpenReport,
) -> Result<(), StoreError> {
    let mut scanned = Vec::new();
    for f in files {
        if let Some((first, id)) = parse_block_name(&f.name)
            && let Some(s) = scan(store, first, id, f.len, report)?
        {
            scanned.push(s);
        }
    }
    // Where files overlap, one is a rewrite of the other: the finished one of
    // the two, else the newer.
    scanned.sort_by_key(|s| (!s.sealed, std::cmp::Reverse(s.block.id)));
    let mut chosen: Vec<Scanned> = Vec::new();
    for s in scanned {
        let (first, last) = (s.block.first, s.block.last);
        let overlaps = |o: &Scanned| first <= o.block.last && o.block.first <= last;
        if s.messages.is_empty() || !chosen.iter().any(overlaps) {
            chosen.push(s);
        }
    }
    chosen.sort_by_key(|s| s.block.first);
    let mut deletes = Deletes::default();
    let floor = chosen.iter().map(|s| s.floor).max().unwrap_or(0);
    let last = chosen.iter().map(|s| s.last).max().unwrap_or_default();
    for s in &chosen {
        s.removed.iter().for_each(|seq| {
            deletes.insert(*seq);
        });
    }
    for mut s in chosen {
        index(store, &mut s, &deletes, floor);
        if s.block.live > 0 {
            store.blocks.push_back(s.block);
        }
    }
    if store.core.msgs == 0 && floor.max(last.0) > 0 {
        let next = floor.max(last.0 + 1);
        store.core.emptied(next);
        store.core.last_ts = last.1;
    } else if store.core.msgs > 0 && last.0 > store.core.last_seq {
        store.core.skipped(last.0, last.1);
    }
    store.sealed_tail = true;
    store.generations.need_base = true;
    store.reset_tail();
    Ok(())
}

/// Counts the subjects of the live messages anew. What cannot be read is
/// reported and not counted.
pub(super) fn count_subjects(store: &mut FileStore, report: &mut OpenReport) {
    let mut subjects = SubjectIndex::new(true);
    subjects.admits(store.core.first_seq, store.core.first_seq);
    store.reset_tail();
    for block in &store.blocks {
        if let Map::Sealed(sealed) = &block.map {
            let walked = store.table(block, sealed).map(|table| {
                table.for_each(|name, postings| {
                    let live = (0..postings.len())
                        .filter_map(|i| postings.get(i))
                        .map(|rel| block.first + u64::from(rel))
                        .filter(|seq| store.core.is_live(*seq));
                    live.for_each(|seq| {
                        subjects.append(name, seq);
                    });
                })
            });
            match walked {
                Ok(Some(())) => {}
                Ok(None) => report.damaged.push(block.damaged(0, "subject table is inconsistent")),
                Err(e) => report.damaged.push(e),
            }
            continue;
        }
        let mut at = block.first;
        while let Some(seq) = store.core.next_live(at).filter(|s| *s <= block.last) {
            if let Err(e) = store.with_subject(seq, |s| {
                subjects.append(s, seq);
            }) {
                report.damaged.push(e);
            }
            at = seq + 1;
        }
    }
    store.core.subjects.replace(subjects);
    store.generations.need_base = true;
}

fn index(store: &mut FileStore, s: &mut Scanned, deletes: &Deletes, floor: u64) {
    let Map::Open(map) = &mut s.block.map else { return };
    let core = &mut store.core;
    for ((seq, ts, subject), slot) in s.messages.iter().zip(&mut map.slots) {
        if *seq < floor || deletes.contains(*seq) {
            continue;
        }
        let bytes = Formula::File.of_len(slot.slot.size(), slot.slot.headers());
        let subjects = core.subjects.get_mut();
        if *seq > core.last_seq && subjects.admits(core.first_seq, *seq) {
            let before = subjects.append(subject, *seq);
            slot.slot.prev = before.map_or(0, |e| u32::try_from(seq - e.last).unwrap_or(0));
            core.appended(*seq, *ts, bytes);
            s.block.live += 1;
            s.block.live_bytes += bytes;
        }
    }
}

/// Reads one block file; `None` if it is none.
fn scan(
    store: &FileStore,
    first: u64,
    id: u64,
    len: u64,
    report: &mut OpenReport,
) -> Result<Option<Scanned>, StoreError> {
    let mut block = Block::new(&store.dir, first, id);
    let file = store
        .files
        .disk
        .open(&block.path, OpenMode::ReadWrite)
        .map_err(io("opening", &block.path))?;
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0).map_err(io("reading", &block.path))?;
    let header = bytes.first_chunk::<BLOCK_HEADER>().and_then(read_block_header);
    if header != Some((first, id)) {
        report.damaged.push(block.damaged(0, "file header does not fit"));
    }
    let trailer = len
        .checked_sub(TRAILER as u64)
        .and_then(|at| Trailer::decode(&bytes[at as usize..]))
        .filter(|t| t.file_id == id);
    block.len = BLOCK_HEADER as u32;
    block.virt = BLOCK_HEADER as u32;
    // After a mere kill its bytes may not have reached the disk yet.
    block.dirty = true;
    let mut s = Scanned {
        block,
        sealed: trailer.is_some(),
        messages: Vec::new(),
        removed: Vec::new(),
        floor: 0,
        last: (0, 0),
    };
    let end = trailer.map_or(bytes.len(), |t| (t.start as usize).min(bytes.len()));
    let mut at = BLOCK_HEADER;
    while at < end {
        let found = PageHeader::decode(&bytes[at..end], id);
        let Some(h) = found.filter(|h| at + PAGE_HEADER + h.stored as usize <= end) else {
            // After the end of an unsealed block anything may lie about; before
            // a footer there must be pages.
            if s.sealed {
                report.damaged.push(s.block.damaged(at as u64, "no page where one should be"));
            }
            match next_page(&bytes[..end], at + 1, id) {
                Some(next) if s.sealed => {
                    at = next;
                    continue;
                }
                _ => break,
            }
        };
        take_page(&mut s, &bytes, at, &h, report);
        at += PAGE_HEADER + h.stored as usize;
    }
    s.block.len = end.min(at) as u32;
    Ok(Some(s))
}

/// The next page header after damage.
fn next_page(bytes: &[u8], from: usize, id: u64) -> Option<usize> {
    (from..bytes.len().saturating_sub(PAGE_HEADER))
        .find(|at| PageHeader::decode(&bytes[*at..], id).is_some())
}

fn take_page(s: &mut Scanned, bytes: &[u8], at: usize, h: &PageHeader, report: &mut OpenReport) {
    let stored = &bytes[at + PAGE_HEADER..at + PAGE_HEADER + h.stored as usize];
    s.floor = s.floor.max(h.floor);
    s.last = s.last.max((h.last_seq, h.last_ts));
    let body_at = s.block.virt + PAGE_HEADER as u32;
    let page = PageRef {
        first_rel: h.first_seq.saturating_sub(s.block.first) as u32,
        body_at,
        file_at: at as u32,
        stored: h.stored,
        raw: h.raw,
        messages: h.messages,
        count: h.count,
        body_crc: h.body_crc,
        flags: h.flags,
    };
    s.block.virt += PAGE_HEADER as u32 + h.raw;
    // Gaps left by damage are kept, so that offsets stay those of the file.
    if h.flags == 0 {
        s.block.virt = (at + PAGE_HEADER) as u32 + h.raw;
    }
    let page = PageRef { body_at: s.block.virt - h.raw, ..page };
    let plain = h.flags == 0 || crc32fast::hash(stored) == h.body_crc;
    let Some(body) = plain.then(|| decode_body(h.flags, stored.to_vec(), h.raw as usize)).flatten()
    else {
        report.damaged.push(s.block.damaged(at as u64, "page cannot be decoded"));
        return;
    };
    s.block.linear &= h.flags == 0;
    let Map::Open(map) = &mut s.block.map else { return };
    map.pages.push(page);
    let mut bad = Vec::new();
    let mut from = 0;
    while from < h.messages as usize {
        let rest = &body[from..];
        let len = match read_frame(rest) {
            Ok(frame) => {
                if let Ok(m) = frame.message()
                    && m.seq > s.block.last
                    && let Ok(rel) = u32::try_from(m.seq - s.block.first)
                {
                    let headers = if m.headers.is_empty() { 0 } else { HAS_HEADERS };
                    let slot = Slot {
                        rel,
                        at: page.body_at + from as u32,
                        len: frame.raw.len() as u32 | headers,
                        prev: 0,
                    };
                    map.slots.push(OpenSlot { slot, next: 0 });
                    s.messages.push((m.seq, m.ts, Bytes::copy_from_slice(m.subject)));
                    s.block.last = m.seq;
                }
                frame.raw.len()
            }
            Err(e) => {
                bad.push((at + PAGE_HEADER + from, e));
                match (e, read_frame_unchecked(rest)) {
                    (RecordError::BadCrc { .. }, Ok(frame)) => frame.raw.len(),
                    _ => break,
                }
            }
        };
        from += len;
    }
    if let Some(frame) = body.get(h.messages as usize..).filter(|b| !b.is_empty()) {
        match read_frame(frame).ok().and_then(|f| read_deletes(&f)) {
            Some(seqs) => s.removed.extend(seqs),
            None => bad.push((at + PAGE_HEADER + h.messages as usize, RecordError::BadBody(0))),
        }
    }
    for (offset, e) in bad {
        report.damaged.push(s.block.damaged(offset as u64, e.to_string()));
    }
}
