//! A growing buffer of records that hands out shared slices without copying.
//!
//! Records are copied in once. A reader gets a [`Bytes`] of the allocation the
//! record was written to; the writer goes on behind it in the same allocation.
//! Large records get an allocation of their own, so that they can be given
//! back one by one.

use bytes::{Bytes, BytesMut};

/// Records of this many bytes or more get their own allocation.
pub(crate) const LARGE: usize = 8 << 10;
/// First allocation of a buffer.
const SMALLEST: usize = 1 << 10;

/// See the module documentation. Offsets count from 0 over everything appended.
#[derive(Debug)]
pub(crate) struct RecordBuffer {
    chunks: Vec<(u32, Bytes)>,
    tail: BytesMut,
    tail_start: u32,
    /// Where the allocation behind `tail` begins.
    region_start: u32,
    /// No allocation for small records grows beyond this.
    max_region: usize,
}

impl RecordBuffer {
    /// An empty buffer that allocates nothing yet.
    pub fn new(max_region: usize) -> RecordBuffer {
        RecordBuffer {
            chunks: Vec::new(),
            tail: BytesMut::new(),
            tail_start: 0,
            region_start: 0,
            max_region,
        }
    }

    /// An empty buffer with room for `size` bytes.
    pub fn with_room(size: usize, max_region: usize) -> RecordBuffer {
        RecordBuffer {
            tail: BytesMut::with_capacity(size.min(max_region)),
            ..RecordBuffer::new(max_region)
        }
    }

    /// Bytes appended.
    pub fn len(&self) -> usize {
        self.tail_start as usize + self.tail.len()
    }

    /// Copies `record` in and returns its offset.
    pub fn push(&mut self, record: &[u8]) -> u32 {
        let at = self.len() as u32;
        if record.len() >= LARGE {
            self.freeze();
            self.chunks.push((at, Bytes::copy_from_slice(record)));
            self.tail = BytesMut::new();
            self.tail_start = at + record.len() as u32;
            self.region_start = self.tail_start;
            return at;
        }
        if self.tail.capacity() - self.tail.len() < record.len() {
            self.grow(record.len());
        }
        self.tail.extend_from_slice(record);
        at
    }

    /// The bytes `at..at + len`, which must be (a part of) one record.
    pub fn get(&mut self, at: u32, len: usize) -> Option<Bytes> {
        if at >= self.tail_start {
            self.freeze();
        }
        let i = self.chunks.partition_point(|(start, _)| *start <= at).checked_sub(1)?;
        let (start, chunk) = &self.chunks[i];
        let from = (at - start) as usize;
        let to = from.checked_add(len)?;
        (to <= chunk.len()).then(|| chunk.slice(from..to))
    }

    /// As [`RecordBuffer::get`] for a look that keeps nothing.
    pub fn peek(&self, at: u32, len: usize) -> Option<&[u8]> {
        if at >= self.tail_start {
            let from = (at - self.tail_start) as usize;
            return self.tail.get(from..from + len);
        }
        let i = self.chunks.partition_point(|(start, _)| *start <= at).checked_sub(1)?;
        let (start, chunk) = &self.chunks[i];
        let from = (at - start) as usize;
        chunk.get(from..from.checked_add(len)?)
    }

    /// Gives the memory of a large record back; its offset stays taken.
    pub fn release_large(&mut self, at: u32) {
        if let Ok(i) = self.chunks.binary_search_by_key(&at, |(start, _)| *start)
            && self.chunks[i].1.len() >= LARGE
        {
            self.chunks[i].1 = Bytes::new();
        }
    }

    /// Everything as shared slices in order.
    pub fn slices(&mut self) -> Vec<Bytes> {
        self.freeze();
        self.chunks.iter().map(|(_, c)| c.clone()).collect()
    }

    /// Everything as slices with their offsets.
    pub fn into_parts(mut self) -> Vec<(u32, Bytes)> {
        self.freeze();
        self.chunks
    }

    /// Gives back what was allocated but not used, if it is much.
    pub fn shrink(&mut self) {
        if (self.tail.capacity() - self.tail.len()) * 8 > self.len() {
            self.freeze();
            let keep = self.chunks.partition_point(|(start, _)| *start < self.region_start);
            let mut exact = Vec::with_capacity(self.len() - self.region_start as usize);
            self.chunks.drain(keep..).for_each(|(_, c)| exact.extend_from_slice(&c));
            self.chunks.push((self.region_start, Bytes::from(exact)));
            self.tail = BytesMut::new();
            self.region_start = self.tail_start;
        }
    }

    /// Heap bytes.
    pub fn memory(&self) -> usize {
        let frozen: usize = self.chunks.iter().map(|(_, c)| c.len()).sum();
        frozen + self.tail.capacity() + self.chunks.capacity() * size_of::<(u32, Bytes)>()
    }

    fn freeze(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let chunk = self.tail.split().freeze();
        let start = self.tail_start;
        self.tail_start += chunk.len() as u32;
        self.chunks.push((start, chunk));
    }

    /// Makes room for `need` more bytes in one allocation.
    fn grow(&mut self, need: usize) {
        let region = self.len() - self.region_start as usize;
        if region + need > self.max_region {
            self.freeze();
            self.region_start = self.tail_start;
            self.tail = BytesMut::with_capacity(need.max(SMALLEST));
            return;
        }
        let size = (region * 2).max(need + region).max(SMALLEST).min(self.max_region);
        let mut bigger = BytesMut::with_capacity(size);
        let keep = self.chunks.partition_point(|(start, _)| *start < self.region_start);
        for (_, chunk) in self.chunks.drain(keep..) {
            bigger.extend_from_slice(&chunk);
        }
        bigger.extend_from_slice(&self.tail);
        self.tail = bigger;
        self.tail_start = self.region_start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_stay_valid_while_the_buffer_grows() {
        let mut buffer = RecordBuffer::new(4096);
        let mut at = Vec::new();
        let mut held = Vec::new();
        for i in 0..500usize {
            let len = if i % 97 == 0 { LARGE + i } else { i % 50 + 1 };
            let record = vec![i as u8; len];
            at.push((buffer.push(&record), record));
            if i % 3 == 0 {
                let (off, want) = &at[i / 2];
                assert_eq!(buffer.peek(*off, want.len()), Some(&want[..]));
                held.push((i / 2, buffer.get(*off, want.len()).unwrap()));
            }
        }
        for (off, want) in &at {
            assert_eq!(buffer.get(*off, want.len()).unwrap(), want[..]);
        }
        for (i, bytes) in held {
            assert_eq!(bytes, at[i].1[..]);
        }
        let all: Vec<u8> = buffer.slices().concat();
        let want: Vec<u8> = at.iter().flat_map(|(_, r)| r.clone()).collect();
        assert!(all == want);
    }

    #[test]
    fn a_large_record_can_be_given_back() {
        let mut buffer = RecordBuffer::new(1 << 16);
        buffer.push(b"small");
        let at = buffer.push(&vec![7; LARGE * 4]);
        let after = buffer.push(b"after");
        let before = buffer.memory();
        buffer.release_large(at);
        assert!(buffer.memory() + LARGE * 4 <= before);
        assert_eq!(buffer.get(after, 5).unwrap(), &b"after"[..]);
        assert_eq!(buffer.get(at, 10), None);
    }
}
