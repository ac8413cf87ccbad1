//! Looking at the bytes of a log file: is there a good block, and what lies
//! behind a bad one.

use super::format::{BlockHead, FileHeader, HEAD, PAGE, looks_like_block};
use super::{GapCause, Lsn};
use crate::disk::DiskFile;
use bytes::Bytes;
use std::io;
use std::sync::Arc;

/// Opens of one file that are told apart from a foreign epoch.
const EPOCHS_PER_FILE: u64 = 1 << 20;
/// What the next block must be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expect {
    pub(super) offset: u64,
    /// Checksum it must repeat; unknown after a gap.
    pub(super) chain: Option<u32>,
    pub(super) epoch: u64,
}

/// A block under examination.
pub(super) enum Check {
    Good {
        head: BlockHead,
        crc: u32,
        block: Bytes,
    },
    /// Good but for padding that is not zero: a torn write, unless vouched for.
    Dirty {
        head: BlockHead,
        crc: u32,
        block: Bytes,
    },
    Bad {
        cause: GapCause,
        looks_like_block: bool,
    },
}

/// What lies behind a bad block.
#[derive(Default)]
pub(super) struct Ahead {
    /// Highest durable lsn stated there.
    pub(super) durable: Lsn,
    /// First head that fits: offset and lsn.
    pub(super) first: Option<(u64, Lsn)>,
    /// Offset and lsn of the head that states `durable`.
    pub(super) claimant: Option<(u64, Lsn)>,
}

/// Whether a head can belong at this lsn, as far as it can be told without its
/// neighbours.
fn fits(head: &BlockHead, lsn: Lsn, epoch: u64) -> bool {
    head.lsn == lsn && head.epoch.wrapping_sub(epoch) < EPOCHS_PER_FILE
}

pub(super) fn check(
    r: &mut Reader,
    cur: &Expect,
    lsn: Lsn,
    next: Option<Lsn>,
) -> io::Result<Check> {
    let bad = |cause, looks_like_block| Ok(Check::Bad { cause, looks_like_block });
    let Some(page) = r.get(cur.offset, PAGE)? else { return bad(GapCause::Cut, false) };
    let Some((head, crc)) = BlockHead::decode(&page) else {
        // A leftover of an earlier use has a good head; this one has not.
        return bad(GapCause::Head, looks_like_block(&page));
    };
    if !fits(&head, lsn, cur.epoch) || next.is_some_and(|n| lsn + head.padded() > n) {
        return bad(GapCause::Head, head.lsn == lsn);
    }
    if cur.chain.is_some_and(|c| c != head.prev_crc) {
        return bad(GapCause::Chain, true);
    }
    let Some(block) = r.get(cur.offset, head.padded())? else { return bad(GapCause::Cut, true) };
    if crc32fast::hash(&block[HEAD..HEAD + head.len as usize]) != head.body_crc {
        return bad(GapCause::Body, true);
    }
    if block[HEAD + head.len as usize..].iter().any(|b| *b != 0) {
        return Ok(Check::Dirty { head, crc, block });
    }
    Ok(Check::Good { head, crc, block })
}

/// Searches for heads behind the cursor, up to the end of the file or `next`.
pub(super) fn look_ahead(
    r: &mut Reader,
    header: &FileHeader,
    cur: &Expect,
    next: Option<Lsn>,
) -> io::Result<Ahead> {
    let mut found = Ahead::default();
    let mut offset = cur.offset;
    loop {
        offset += PAGE;
        let lsn = header.first_lsn + (offset - PAGE);
        if next.is_some_and(|n| lsn >= n) {
            return Ok(found);
        }
        let Some(page) = r.get(offset, PAGE)? else { return Ok(found) };
        let Some((head, _)) = BlockHead::decode(&page) else { continue };
        if !fits(&head, lsn, cur.epoch) {
            continue;
        }
        let place = Some((offset, lsn));
        found.first = found.first.or(place);
        if found.claimant.is_none() || head.durable_lsn > found.durable {
            found.durable = head.durable_lsn;
            found.claimant = place;
        }
    }
}

/// Reads a file in large chunks that records can be slices of.
pub(super) struct Reader {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) len: u64,
    chunk: Bytes,
    at: u64,
    size: usize,
}

impl Reader {
    pub(super) fn new(file: Arc<dyn DiskFile>, len: u64, size: usize) -> Self {
        Self { file, len, chunk: Bytes::new(), at: 0, size }
    }

    /// `n` bytes at `offset`; `None` if the file ends before.
    pub(super) fn get(&mut self, offset: u64, n: u64) -> io::Result<Option<Bytes>> {
        if offset.checked_add(n).is_none_or(|end| end > self.len) {
            return Ok(None);
        }
        let inside = offset >= self.at && offset + n <= self.at + self.chunk.len() as u64;
        if !inside {
            let len = n.max(self.size as u64).min(self.len - offset);
            let mut buf = vec![0; len as usize];
            self.file.read_exact_at(&mut buf, offset)?;
            self.chunk = buf.into();
            self.at = offset;
        }
        let start = (offset - self.at) as usize;
        Ok(Some(self.chunk.slice(start..start + n as usize)))
    }
}
