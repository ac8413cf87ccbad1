//! Where the prefixes of the tree live: short ones inside the node, longer ones
//! in a chunked byte arena with a free list per size.

/// Chunks of this many bytes; a prefix never straddles two.
const CHUNK: usize = 1 << 16;
/// Allocation unit in bytes; offsets count units, so 16 GiB are addressable.
const UNIT: usize = 4;
const UNITS_PER_CHUNK: usize = CHUNK / UNIT;
/// Longest prefix kept inside the node.
const INLINE: usize = 7;
/// First byte of a prefix that lives in the arena.
const FAR: u8 = 0xff;
const NONE: u32 = u32::MAX;

/// A prefix in eight bytes: length and up to seven bytes inline, or [`FAR`], the
/// length in three bytes and the offset in four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix([u8; 8]);

impl Prefix {
    pub(super) const EMPTY: Prefix = Prefix([0; 8]);

    /// A prefix used as the link of a free list; see [`super::pool`].
    pub(super) fn link(next: u32) -> Prefix {
        Prefix::far(0, next)
    }

    pub(super) fn as_link(self) -> u32 {
        self.place().1
    }

    fn far(len: usize, offset: u32) -> Prefix {
        let [l0, l1, l2, _] = (len as u32).to_le_bytes();
        let [o0, o1, o2, o3] = offset.to_le_bytes();
        Prefix([FAR, l0, l1, l2, o0, o1, o2, o3])
    }

    /// Length and offset of a far prefix.
    fn place(self) -> (usize, u32) {
        let [_, l0, l1, l2, o0, o1, o2, o3] = self.0;
        (u32::from_le_bytes([l0, l1, l2, 0]) as usize, u32::from_le_bytes([o0, o1, o2, o3]))
    }
}

/// The bytes of all far prefixes.
#[derive(Debug, Default)]
pub(super) struct Arena {
    chunks: Vec<Vec<u8>>,
    /// Heads of the free lists by size in units; a free slot's first unit holds
    /// the next offset.
    free: Vec<u32>,
}

impl Arena {
    /// Stores `bytes` (at most [`crate::MAX_SUBJECT`] of them).
    pub(super) fn store(&mut self, bytes: &[u8]) -> Prefix {
        if bytes.len() <= INLINE {
            let mut p = [0; 8];
            p[0] = bytes.len() as u8;
            p[1..=bytes.len()].copy_from_slice(bytes);
            return Prefix(p);
        }
        let offset = self.allocate(bytes.len().div_ceil(UNIT));
        self.slice_mut(offset, bytes.len()).copy_from_slice(bytes);
        Prefix::far(bytes.len(), offset)
    }

    /// The bytes of `prefix`.
    #[inline]
    pub(super) fn get<'a>(&'a self, prefix: &'a Prefix) -> &'a [u8] {
        let len = prefix.0[0];
        if len != FAR {
            return &prefix.0[1..=usize::from(len)];
        }
        let (len, offset) = prefix.place();
        let offset = offset as usize;
        let at = offset % UNITS_PER_CHUNK * UNIT;
        &self.chunks[offset / UNITS_PER_CHUNK][at..at + len]
    }

    /// Gives the space of `prefix` back.
    pub(super) fn release(&mut self, prefix: Prefix) {
        if prefix.0[0] == FAR {
            let (len, offset) = prefix.place();
            self.put_free(offset, len.div_ceil(UNIT));
        }
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum::<usize>()
            + self.chunks.capacity() * size_of::<Vec<u8>>()
            + self.free.capacity() * size_of::<u32>()
    }

    fn put_free(&mut self, offset: u32, units: usize) {
        if self.free.len() <= units {
            self.free.resize(units + 1, NONE);
        }
        let next = std::mem::replace(&mut self.free[units], offset);
        self.slice_mut(offset, UNIT).copy_from_slice(&next.to_le_bytes());
    }

    fn allocate(&mut self, units: usize) -> u32 {
        if let Some(&head) = self.free.get(units)
            && head != NONE
        {
            let mut next = [0; UNIT];
            next.copy_from_slice(self.slice_mut(head, UNIT));
            self.free[units] = u32::from_le_bytes(next);
            return head;
        }
        let need = units * UNIT;
        let full = self.chunks.last().is_none_or(|c| CHUNK - c.len() < need);
        if full {
            // The rest of the last chunk becomes a free slot of its size.
            if let Some(last) = self.chunks.last_mut()
                && last.len() < CHUNK
            {
                let rest = (CHUNK - last.len()) / UNIT;
                let at = last.len() / UNIT;
                last.resize(CHUNK, 0);
                let chunk = self.chunks.len() - 1;
                self.put_free((chunk * UNITS_PER_CHUNK + at) as u32, rest);
            }
            // The first chunk grows with the tree; an idle tree stays small.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let chunk = self.chunks.len() - 1;
        let bytes = &mut self.chunks[chunk];
        let at = bytes.len();
        bytes.resize(at + need, 0);
        let offset = chunk * UNITS_PER_CHUNK + at / UNIT;
        u32::try_from(offset).expect("prefixes of one tree stay below 16 GiB")
    }

    fn slice_mut(&mut self, offset: u32, len: usize) -> &mut [u8] {
        let offset = offset as usize;
        let at = offset % UNITS_PER_CHUNK * UNIT;
        &mut self.chunks[offset / UNITS_PER_CHUNK][at..at + len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_freed_space_is_reused() {
        let mut arena = Arena::default();
        let texts: Vec<Vec<u8>> =
            (0..3000u32).map(|i| vec![i as u8; (i as usize * 7) % 90]).collect();
        let stored: Vec<Prefix> = texts.iter().map(|t| arena.store(t)).collect();
        for (t, p) in texts.iter().zip(&stored) {
            assert_eq!(arena.get(p), &t[..]);
        }
        let chunks = arena.chunks.len();
        for p in stored {
            arena.release(p);
        }
        let again: Vec<Prefix> = texts.iter().rev().map(|t| arena.store(t)).collect();
        for (t, p) in texts.iter().rev().zip(&again) {
            assert_eq!(arena.get(p), &t[..]);
        }
        assert_eq!(arena.chunks.len(), chunks, "no growth when sizes repeat");
    }

    #[test]
    fn the_longest_subject_fits() {
        let mut arena = Arena::default();
        let long = vec![b'x'; crate::MAX_SUBJECT];
        let a = arena.store(b"something first");
        let b = arena.store(&long);
        assert_eq!(arena.get(&a), b"something first");
        assert_eq!(arena.get(&b), &long[..]);
    }
}
