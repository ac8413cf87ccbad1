//! Turns a batch of records into commit blocks, ready for one write.

use super::format::{BlockHead, HEAD, PAGE, padded};
use super::record::LARGE;
use super::{Lsn, WalRecord};
use bytes::Bytes;
use std::io::{self, IoSlice};
use std::ops::Range;

/// The buffer is given back to the allocator above this size.
const KEEP: usize = 8 << 20;
/// What [`Batch::zeros_behind`] writes.
static ZEROS: [u8; 32 << 10] = [0; 32 << 10];

/// Bytes of the batch, in file order.
#[derive(Debug)]
enum Piece {
    Own(Range<usize>),
    Shared(Bytes),
}

#[derive(Debug)]
struct Block {
    /// Its pieces; the first begins with the head.
    pieces: Range<usize>,
    head_at: usize,
    rec_count: u32,
    len: usize,
}

/// Reusable encoder.
#[derive(Debug, Default)]
pub(super) struct Batch {
    own: Vec<u8>,
    pieces: Vec<Piece>,
    blocks: Vec<Block>,
    bytes: u64,
    /// Zeros to be written behind the blocks.
    zeros: usize,
}

/// What the heads of a batch need to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) flags: u16,
    pub(super) lsn: Lsn,
    pub(super) epoch: u64,
    pub(super) durable_lsn: Lsn,
    pub(super) prev_crc: u32,
}

impl Batch {
    /// Encodes `records` into blocks of about `max_block` bytes; no records give
    /// one empty block. Returns the bytes the blocks take in the file.
    pub(super) fn encode(&mut self, records: &[WalRecord], max_block: usize) -> u64 {
        self.clear();
        let mut rest = records;
        loop {
            rest = self.block(rest, max_block);
            if rest.is_empty() {
                return self.bytes;
            }
        }
    }

    fn block<'r>(&mut self, records: &'r [WalRecord], max_block: usize) -> &'r [WalRecord] {
        let (first, head_at) = (self.pieces.len(), self.own.len());
        self.own.extend_from_slice(&[0; HEAD]);
        let (mut start, mut len, mut count) = (head_at, 0, 0);
        for r in records {
            let size = r.encoded_len();
            if count > 0 && len + size > max_block {
                break;
            }
            len += size;
            count += 1;
            match r.encode(&mut self.own) {
                Some(data) if data.len() >= LARGE => {
                    self.pieces.push(Piece::Own(start..self.own.len()));
                    self.pieces.push(Piece::Shared(data.clone()));
                    start = self.own.len();
                }
                Some(data) => self.own.extend_from_slice(data),
                None => {}
            }
        }
        let pad = padded(len) as usize - HEAD - len;
        self.own.resize(self.own.len() + pad, 0);
        if self.own.len() > start {
            self.pieces.push(Piece::Own(start..self.own.len()));
        }
        let pieces = first..self.pieces.len();
        self.blocks.push(Block { pieces, head_at, rec_count: count as u32, len });
        self.bytes += padded(len);
        records.get(count..).unwrap_or_default()
    }

    /// Writes the heads; returns the checksum of the last one.
    pub(super) fn seal(&mut self, place: Place) -> u32 {
        let Place { flags, mut lsn, epoch, durable_lsn, mut prev_crc } = place;
        for b in &self.blocks {
            let body_crc = body_crc(&self.own, &self.pieces[b.pieces.clone()], b.len);
            let head = BlockHead {
                flags,
                rec_count: b.rec_count,
                len: b.len as u32,
                lsn,
                epoch,
                durable_lsn,
                prev_crc,
                body_crc,
            };
            prev_crc = head.encode(&mut self.own[b.head_at..b.head_at + HEAD]);
            lsn += padded(b.len);
        }
        prev_crc
    }

    /// Has `n` zeros written behind the blocks; they are not part of the log.
    pub(super) fn zeros_behind(&mut self, n: usize) {
        self.zeros = n;
    }

    /// Hands all bytes to `write`, as few slices as there are.
    pub(super) fn write(
        &self,
        write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<()>,
    ) -> io::Result<()> {
        // Blocks without shared data are adjacent in the buffer.
        if self.own.len() as u64 == self.bytes && self.zeros == 0 {
            return write(&[IoSlice::new(&self.own)]);
        }
        let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(self.pieces.len());
        for p in &self.pieces {
            slices.push(IoSlice::new(match p {
                Piece::Own(r) => &self.own[r.clone()],
                Piece::Shared(data) => data,
            }));
        }
        let mut zeros = self.zeros;
        while zeros > 0 {
            let n = zeros.min(ZEROS.len());
            slices.push(IoSlice::new(&ZEROS[..n]));
            zeros -= n;
        }
        write(&slices)
    }

    /// Forgets the batch and lets go of shared data.
    pub(super) fn clear(&mut self) {
        self.own.clear();
        if self.own.capacity() > KEEP {
            self.own.shrink_to(KEEP / 8);
        }
        self.pieces.clear();
        self.blocks.clear();
        self.bytes = 0;
        self.zeros = 0;
    }
}

fn body_crc(own: &[u8], pieces: &[Piece], len: usize) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    let mut left = len;
    for (i, p) in pieces.iter().enumerate() {
        let bytes: &[u8] = match p {
            Piece::Own(r) => &own[r.clone()],
            Piece::Shared(data) => data,
        };
        let bytes = if i == 0 { &bytes[HEAD..] } else { bytes };
        let n = bytes.len().min(left);
        crc.update(&bytes[..n]);
        left -= n;
    }
    debug_assert!(left == 0 && (len as u64) < u64::from(u32::MAX) - PAGE);
    crc.finalize()
}
