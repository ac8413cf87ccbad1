//! All nodes of one tree: a pool per kind, and what is done to a node without
//! knowing its kind.

use super::arena::{Arena, Prefix};
use super::node::{Full, Handle, Head, Inner, Kind, Leaf, Small, Wide};
use super::pool::Pool;

/// The pools and the prefix bytes.
#[derive(Debug)]
pub(super) struct Nodes<V> {
    pub(super) arena: Arena,
    pub(super) leaves: Pool<Leaf<V>>,
    small3: Pool<Small<3>>,
    small6: Pool<Small<6>>,
    small10: Pool<Small<10>>,
    small16: Pool<Small<16>>,
    wide: Pool<Wide>,
    full: Pool<Full>,
}

impl<V> Default for Nodes<V> {
    fn default() -> Self {
        Nodes {
            arena: Arena::default(),
            leaves: Pool::default(),
            small3: Pool::default(),
            small6: Pool::default(),
            small10: Pool::default(),
            small16: Pool::default(),
            wide: Pool::default(),
            full: Pool::default(),
        }
    }
}

/// Runs `$body` with `$n` bound to the inner node behind `$handle`.
macro_rules! inner {
    ($nodes:expr, $handle:expr, $get:ident, $n:ident => $body:expr) => {{
        let slot = $handle.slot();
        match $handle.kind() {
            Kind::Small3 => {
                let $n = $nodes.small3.$get(slot);
                $body
            }
            Kind::Small6 => {
                let $n = $nodes.small6.$get(slot);
                $body
            }
            Kind::Small10 => {
                let $n = $nodes.small10.$get(slot);
                $body
            }
            Kind::Small16 => {
                let $n = $nodes.small16.$get(slot);
                $body
            }
            Kind::Wide => {
                let $n = $nodes.wide.$get(slot);
                $body
            }
            Kind::Full => {
                let $n = $nodes.full.$get(slot);
                $body
            }
            Kind::Leaf => unreachable!("a leaf has no children"),
        }
    }};
}

impl<V: Copy> Nodes<V> {
    pub(super) fn new_leaf(&mut self, bytes: &[u8], value: V) -> Handle {
        let prefix = self.arena.store(bytes);
        Handle::new(Kind::Leaf, self.leaves.insert(Leaf { prefix, value }))
    }

    pub(super) fn new_inner(&mut self, kind: Kind, head: Head) -> Handle {
        let slot = match kind {
            Kind::Small3 => self.small3.insert(Small::new(head)),
            Kind::Small6 => self.small6.insert(Small::new(head)),
            Kind::Small10 => self.small10.insert(Small::new(head)),
            Kind::Small16 => self.small16.insert(Small::new(head)),
            Kind::Wide => self.wide.insert(Wide::new(head)),
            Kind::Full => self.full.insert(Full::new(head)),
            Kind::Leaf => unreachable!("a leaf is made by new_leaf"),
        };
        Handle::new(kind, slot)
    }

    /// Frees the slot, not the prefix.
    pub(super) fn release(&mut self, h: Handle) {
        match h.kind() {
            Kind::Leaf => self.leaves.release(h.slot()),
            Kind::Small3 => self.small3.release(h.slot()),
            Kind::Small6 => self.small6.release(h.slot()),
            Kind::Small10 => self.small10.release(h.slot()),
            Kind::Small16 => self.small16.release(h.slot()),
            Kind::Wide => self.wide.release(h.slot()),
            Kind::Full => self.full.release(h.slot()),
        }
    }

    #[inline]
    pub(super) fn head(&self, h: Handle) -> &Head {
        inner!(self, h, get, n => n.head())
    }

    pub(super) fn head_mut(&mut self, h: Handle) -> &mut Head {
        inner!(self, h, get_mut, n => n.head_mut())
    }

    #[inline]
    pub(super) fn child(&self, h: Handle, key: u8) -> Option<Handle> {
        inner!(self, h, get, n => n.child(key))
    }

    pub(super) fn next(&self, h: Handle, from: u8) -> Option<(u8, Handle)> {
        inner!(self, h, get, n => n.next(from))
    }

    pub(super) fn len(&self, h: Handle) -> usize {
        inner!(self, h, get, n => n.len())
    }

    pub(super) fn set(&mut self, h: Handle, key: u8, child: Handle) {
        inner!(self, h, get_mut, n => n.set(key, child));
    }

    pub(super) fn remove(&mut self, h: Handle, key: u8) {
        inner!(self, h, get_mut, n => n.remove(key));
    }

    /// Adds a child; the node may move to a larger kind. Returns its handle.
    pub(super) fn add(&mut self, h: Handle, key: u8, child: Handle) -> Handle {
        let h =
            if self.len(h) == capacity(h.kind()) { self.resize(h, larger(h.kind())) } else { h };
        inner!(self, h, get_mut, n => n.add(key, child));
        h
    }

    /// Moves the node to a smaller kind if it would be at most three quarters
    /// full there, so that growing and shrinking do not alternate.
    pub(super) fn shrink(&mut self, h: Handle) -> Handle {
        let len = self.len(h);
        let mut kind = h.kind();
        while let Some(less) = smaller(kind)
            && len * 4 <= capacity(less) * 3
        {
            kind = less;
        }
        if kind == h.kind() { h } else { self.resize(h, kind) }
    }

    fn resize(&mut self, h: Handle, kind: Kind) -> Handle {
        let head = *self.head(h);
        let new = self.new_inner(kind, head);
        let mut from = 0u8;
        while let Some((key, child)) = self.next(h, from) {
            inner!(self, new, get_mut, n => n.add(key, child));
            let Some(after) = key.checked_add(1) else { break };
            from = after;
        }
        self.release(h);
        new
    }

    /// The bytes of a leaf or an inner node's prefix.
    pub(super) fn prefix(&self, h: Handle) -> &[u8] {
        match h.kind() {
            Kind::Leaf => self.arena.get(&self.leaves.get(h.slot()).prefix),
            _ => self.arena.get(&self.head(h).prefix),
        }
    }

    /// Gives the node another prefix and frees the old one.
    pub(super) fn set_prefix(&mut self, h: Handle, bytes: &[u8]) {
        let new = self.arena.store(bytes);
        let place: &mut Prefix = match h.kind() {
            Kind::Leaf => &mut self.leaves.get_mut(h.slot()).prefix,
            _ => &mut self.head_mut(h).prefix,
        };
        let old = std::mem::replace(place, new);
        self.arena.release(old);
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        self.arena.memory()
            + self.leaves.memory()
            + self.small3.memory()
            + self.small6.memory()
            + self.small10.memory()
            + self.small16.memory()
            + self.wide.memory()
            + self.full.memory()
    }
}

fn capacity(kind: Kind) -> usize {
    match kind {
        Kind::Leaf => 0,
        Kind::Small3 => Small::<3>::CAPACITY,
        Kind::Small6 => Small::<6>::CAPACITY,
        Kind::Small10 => Small::<10>::CAPACITY,
        Kind::Small16 => Small::<16>::CAPACITY,
        Kind::Wide => Wide::CAPACITY,
        Kind::Full => Full::CAPACITY,
    }
}

fn larger(kind: Kind) -> Kind {
    match kind {
        Kind::Leaf | Kind::Small3 => Kind::Small6,
        Kind::Small6 => Kind::Small10,
        Kind::Small10 => Kind::Small16,
        Kind::Small16 => Kind::Wide,
        Kind::Wide | Kind::Full => Kind::Full,
    }
}

fn smaller(kind: Kind) -> Option<Kind> {
    match kind {
        Kind::Leaf | Kind::Small3 => None,
        Kind::Small6 => Some(Kind::Small3),
        Kind::Small10 => Some(Kind::Small6),
        Kind::Small16 => Some(Kind::Small10),
        Kind::Wide => Some(Kind::Small16),
        Kind::Full => Some(Kind::Wide),
    }
}
