//! Slots of one type, addressed by number, in chunks that never move.

use super::arena::Prefix;

/// Something a pool can chain into its free list through its prefix.
pub(super) trait Slot {
    fn prefix_mut(&mut self) -> &mut Prefix;
    fn prefix(&self) -> &Prefix;
}

const NONE: u32 = u32::MAX;

/// Slots in chunks of about 64 KiB: growing copies nothing but the first chunk,
/// and at most one chunk per pool is slack.
#[derive(Debug)]
pub(super) struct Pool<T> {
    chunks: Vec<Vec<T>>,
    free: u32,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Pool { chunks: Vec::new(), free: NONE }
    }
}

impl<T: Slot> Pool<T> {
    const SHIFT: u32 = {
        let fit = (1 << 16) / size_of::<T>();
        if fit < 16 { 4 } else { fit.ilog2() }
    };
    const CHUNK: usize = 1 << Self::SHIFT;

    pub(super) fn insert(&mut self, value: T) -> u32 {
        if self.free != NONE {
            let at = self.free;
            let slot = self.get_mut(at);
            let next = slot.prefix().as_link();
            *slot = value;
            self.free = next;
            return at;
        }
        if self.chunks.last().is_none_or(|c| c.len() == Self::CHUNK) {
            let capacity = if self.chunks.is_empty() { 1 } else { Self::CHUNK };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let chunk = self.chunks.len() - 1;
        let slots = &mut self.chunks[chunk];
        slots.push(value);
        ((chunk << Self::SHIFT) + slots.len() - 1) as u32
    }

    /// The slot's content is kept until the slot is used again.
    pub(super) fn release(&mut self, at: u32) {
        let next = std::mem::replace(&mut self.free, at);
        *self.get_mut(at).prefix_mut() = Prefix::link(next);
    }

    #[inline]
    pub(super) fn get(&self, at: u32) -> &T {
        let at = at as usize;
        &self.chunks[at >> Self::SHIFT][at & (Self::CHUNK - 1)]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: u32) -> &mut T {
        let at = at as usize;
        &mut self.chunks[at >> Self::SHIFT][at & (Self::CHUNK - 1)]
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        self.chunks.iter().map(|c| c.capacity() * size_of::<T>()).sum::<usize>()
            + self.chunks.capacity() * size_of::<Vec<T>>()
    }
}
