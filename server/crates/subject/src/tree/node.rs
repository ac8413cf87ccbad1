//! The kinds of node: leaves, small nodes with sorted keys, wide nodes with a
//! bitmap and packed children, full nodes with one place per byte.

use super::arena::Prefix;
use super::pool::Slot;

/// Addresses a node: kind in the upper three bits, slot number below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle(pub(super) u32);

/// What a handle points at, smallest capacity first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Leaf,
    Small3,
    Small6,
    Small10,
    Small16,
    Wide,
    Full,
}

const SLOT_BITS: u32 = 29;

impl Handle {
    pub(super) const NONE: Handle = Handle(u32::MAX);

    pub(super) fn new(kind: Kind, slot: u32) -> Handle {
        assert!(slot < 1 << SLOT_BITS, "one tree holds at most 2^29 nodes of a kind");
        Handle((kind as u32) << SLOT_BITS | slot)
    }

    #[inline]
    pub(super) fn is_none(self) -> bool {
        self == Handle::NONE
    }

    #[inline]
    pub(super) fn slot(self) -> u32 {
        self.0 & ((1 << SLOT_BITS) - 1)
    }

    #[inline]
    pub(super) fn kind(self) -> Kind {
        match self.0 >> SLOT_BITS {
            0 => Kind::Leaf,
            1 => Kind::Small3,
            2 => Kind::Small6,
            3 => Kind::Small10,
            4 => Kind::Small16,
            5 => Kind::Wide,
            _ => Kind::Full,
        }
    }
}

/// What every inner node has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// Bytes every subject below shares after the key that led here.
    pub(super) prefix: Prefix,
    /// Leaf of the subject that ends here, with an empty prefix of its own.
    pub(super) ends: Handle,
}

/// A subject's end: the bytes that only this subject has, and its value.
#[derive(Debug)]
pub(super) struct Leaf<V> {
    pub(super) prefix: Prefix,
    pub(super) value: V,
}

impl<V> Slot for Leaf<V> {
    fn prefix_mut(&mut self) -> &mut Prefix {
        &mut self.prefix
    }
    fn prefix(&self) -> &Prefix {
        &self.prefix
    }
}

/// What the tree does with an inner node, whatever its kind.
pub(super) trait Inner: Slot {
    /// Most children it can have.
    const CAPACITY: usize;
    fn new(head: Head) -> Self;
    fn head(&self) -> &Head;
    fn head_mut(&mut self) -> &mut Head;
    fn len(&self) -> usize;
    fn child(&self, key: u8) -> Option<Handle>;
    /// Adds a child that is not there yet; there must be room.
    fn add(&mut self, key: u8, child: Handle);
    /// Replaces a child that is there.
    fn set(&mut self, key: u8, child: Handle);
    /// Removes a child that is there.
    fn remove(&mut self, key: u8);
    /// The first child whose key is at least `from`.
    fn next(&self, from: u8) -> Option<(u8, Handle)>;
}

/// Up to `N` children, keys sorted.
#[derive(Debug)]
pub(super) struct Small<const N: usize> {
    head: Head,
    len: u8,
    keys: [u8; N],
    children: [Handle; N],
}

impl<const N: usize> Small<N> {
    #[inline]
    fn find(&self, key: u8) -> Option<usize> {
        self.keys[..usize::from(self.len)].iter().position(|&k| k == key)
    }
}

impl<const N: usize> Slot for Small<N> {
    fn prefix_mut(&mut self) -> &mut Prefix {
        &mut self.head.prefix
    }
    fn prefix(&self) -> &Prefix {
        &self.head.prefix
    }
}

impl<const N: usize> Inner for Small<N> {
    const CAPACITY: usize = N;

    fn new(head: Head) -> Self {
        Small { head, len: 0, keys: [0; N], children: [Handle::NONE; N] }
    }
    #[inline]
    fn head(&self) -> &Head {
        &self.head
    }
    fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }
    fn len(&self) -> usize {
        usize::from(self.len)
    }
    #[inline]
    fn child(&self, key: u8) -> Option<Handle> {
        self.find(key).map(|at| self.children[at])
    }
    fn add(&mut self, key: u8, child: Handle) {
        let len = usize::from(self.len);
        let at = self.keys[..len].iter().position(|&k| k > key).unwrap_or(len);
        self.keys.copy_within(at..len, at + 1);
        self.children.copy_within(at..len, at + 1);
        self.keys[at] = key;
        self.children[at] = child;
        self.len += 1;
    }
    fn set(&mut self, key: u8, child: Handle) {
        if let Some(at) = self.find(key) {
            self.children[at] = child;
        }
    }
    fn remove(&mut self, key: u8) {
        if let Some(at) = self.find(key) {
            let len = usize::from(self.len);
            self.keys.copy_within(at + 1..len, at);
            self.children.copy_within(at + 1..len, at);
            self.len -= 1;
        }
    }
    fn next(&self, from: u8) -> Option<(u8, Handle)> {
        let at = self.keys[..usize::from(self.len)].iter().position(|&k| k >= from)?;
        Some((self.keys[at], self.children[at]))
    }
}

/// Up to 48 children: a bitmap of keys, children packed in key order.
#[derive(Debug)]
pub(super) struct Wide {
    head: Head,
    bits: [u32; 8],
    children: [Handle; Wide::CAPACITY],
}

impl Wide {
    /// Whether `key` is there, and how many smaller keys are.
    #[inline]
    fn rank(&self, key: u8) -> (bool, usize) {
        let word = usize::from(key >> 5);
        let bit = 1u32 << (key & 31);
        let below: u32 = self.bits[..word].iter().map(|w| w.count_ones()).sum();
        let here = (self.bits[word] & (bit - 1)).count_ones();
        (self.bits[word] & bit != 0, (below + here) as usize)
    }

    fn flip(&mut self, key: u8) {
        self.bits[usize::from(key >> 5)] ^= 1 << (key & 31);
    }
}

impl Slot for Wide {
    fn prefix_mut(&mut self) -> &mut Prefix {
        &mut self.head.prefix
    }
    fn prefix(&self) -> &Prefix {
        &self.head.prefix
    }
}

impl Inner for Wide {
    const CAPACITY: usize = 48;

    fn new(head: Head) -> Self {
        Wide { head, bits: [0; 8], children: [Handle::NONE; Wide::CAPACITY] }
    }
    #[inline]
    fn head(&self) -> &Head {
        &self.head
    }
    fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }
    fn len(&self) -> usize {
        self.bits.iter().map(|w| w.count_ones() as usize).sum()
    }
    #[inline]
    fn child(&self, key: u8) -> Option<Handle> {
        let (there, at) = self.rank(key);
        there.then(|| self.children[at])
    }
    fn add(&mut self, key: u8, child: Handle) {
        let len = self.len();
        let (_, at) = self.rank(key);
        self.children.copy_within(at..len, at + 1);
        self.children[at] = child;
        self.flip(key);
    }
    fn set(&mut self, key: u8, child: Handle) {
        if let (true, at) = self.rank(key) {
            self.children[at] = child;
        }
    }
    fn remove(&mut self, key: u8) {
        if let (true, at) = self.rank(key) {
            let len = self.len();
            self.children.copy_within(at + 1..len, at);
            self.flip(key);
        }
    }
    fn next(&self, from: u8) -> Option<(u8, Handle)> {
        let mut word = usize::from(from >> 5);
        let mut bits = self.bits[word] & (u32::MAX << (from & 31));
        while bits == 0 {
            word += 1;
            bits = *self.bits.get(word)?;
        }
        let key = (word * 32) as u8 + bits.trailing_zeros() as u8;
        Some((key, self.children[self.rank(key).1]))
    }
}

/// A child for every byte.
#[derive(Debug)]
pub(super) struct Full {
    head: Head,
    len: u16,
    children: [Handle; 256],
}

impl Slot for Full {
    fn prefix_mut(&mut self) -> &mut Prefix {
        &mut self.head.prefix
    }
    fn prefix(&self) -> &Prefix {
        &self.head.prefix
    }
}

impl Inner for Full {
    const CAPACITY: usize = 256;

    fn new(head: Head) -> Self {
        Full { head, len: 0, children: [Handle::NONE; 256] }
    }
    #[inline]
    fn head(&self) -> &Head {
        &self.head
    }
    fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }
    fn len(&self) -> usize {
        usize::from(self.len)
    }
    #[inline]
    fn child(&self, key: u8) -> Option<Handle> {
        let child = self.children[usize::from(key)];
        (!child.is_none()).then_some(child)
    }
    fn add(&mut self, key: u8, child: Handle) {
        self.children[usize::from(key)] = child;
        self.len += 1;
    }
    fn set(&mut self, key: u8, child: Handle) {
        self.children[usize::from(key)] = child;
    }
    fn remove(&mut self, key: u8) {
        self.children[usize::from(key)] = Handle::NONE;
        self.len -= 1;
    }
    fn next(&self, from: u8) -> Option<(u8, Handle)> {
        let from = usize::from(from);
        let at = self.children[from..].iter().position(|c| !c.is_none())? + from;
        Some((at as u8, self.children[at]))
    }
}
