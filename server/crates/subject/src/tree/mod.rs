//! The subject tree: an adaptive radix tree from subjects to small values.
//!
//! Made for millions of subjects: nodes are addressed by u32 handles and kept in
//! pools by size, prefixes of up to seven bytes lie in the node and longer ones
//! in an arena. Measured with 16-byte values (`cargo run --release -p
//! gust-subject --example tree_memory`, two virtual cores), 1M / 10M subjects:
//!
//! | subjects | bytes per subject | random find, ns |
//! |---|---|---|
//! | `evt.dev0000.temp.<18 digits>`, 35 B | 40.5 / 41.1 | 700 / 1200 |
//! | `$KV.bucket.00.<20 hex, random>`, 34 B | 56.2 / 50.5 | 810 / 1260 |
//! | `orders.eu.customer00000.<9 digits>`, 33 B | 35.7 / 34.5 | 580 / 1050 |
//!
//! Any byte may occur in a subject and one subject may be a prefix of another.
//! Walks are in byte order and skip branches that cannot match a filter.

mod arena;
mod filter;
mod node;
mod nodes;
mod pool;
#[cfg(test)]
mod tree_test;
mod walk;

use self::arena::Prefix;
use self::node::{Handle, Head, Kind};
use self::nodes::Nodes;
use crate::MAX_SUBJECT;

/// A map from subjects to values of a few bytes, see the module documentation.
///
/// Limits: subjects of at most [`MAX_SUBJECT`] bytes (a longer one is a bug of
/// the caller, who has to refuse it at the border, and panics), 2^29 subjects.
/// Freed nodes are reused, not returned to the allocator; [`SubjectTree::clear`],
/// removing the last subject and [`SubjectTree::compact`] return them.
#[derive(Debug)]
pub struct SubjectTree<V> {
    nodes: Nodes<V>,
    root: Handle,
    len: usize,
}

impl<V> Default for SubjectTree<V> {
    fn default() -> Self {
        SubjectTree { nodes: Nodes::default(), root: Handle::NONE, len: 0 }
    }
}

/// Where a handle is kept, so that it can be replaced.
#[derive(Clone, Copy)]
enum Place {
    Root,
    Child(Handle, u8),
}

impl<V: Copy> SubjectTree<V> {
    /// An empty tree; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many subjects there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes allocated, free slots included.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.nodes.memory()
    }

    /// Removes everything and returns the memory.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The value of `subject`.
    pub fn get(&self, subject: &[u8]) -> Option<&V> {
        let leaf = self.find(subject)?;
        Some(&self.nodes.leaves.get(leaf).value)
    }

    /// The value of `subject`, to change it.
    pub fn get_mut(&mut self, subject: &[u8]) -> Option<&mut V> {
        let leaf = self.find(subject)?;
        Some(&mut self.nodes.leaves.get_mut(leaf).value)
    }

    /// Sets the value of `subject` and returns the one it had.
    pub fn insert(&mut self, subject: &[u8], value: V) -> Option<V> {
        let (leaf, new) = self.find_or_add(subject, value);
        let place = &mut self.nodes.leaves.get_mut(leaf).value;
        if new { None } else { Some(std::mem::replace(place, value)) }
    }

    /// The value of `subject`, which is set to `value` if it had none. The flag
    /// says whether it is new.
    pub fn get_or_insert(&mut self, subject: &[u8], value: V) -> (&mut V, bool) {
        let (leaf, new) = self.find_or_add(subject, value);
        (&mut self.nodes.leaves.get_mut(leaf).value, new)
    }

    /// Removes `subject` and returns its value.
    pub fn remove(&mut self, subject: &[u8]) -> Option<V> {
        let value = self.take(subject);
        if value.is_some() && self.len == 0 {
            self.clear();
        }
        value
    }

    fn take(&mut self, subject: &[u8]) -> Option<V> {
        let mut place = Place::Root;
        let mut at = self.root;
        let mut rest = subject;
        loop {
            if at.is_none() {
                return None;
            }
            if at.kind() == Kind::Leaf {
                if self.nodes.prefix(at) != rest {
                    return None;
                }
                let value = self.drop_leaf(at);
                match place {
                    Place::Root => self.root = Handle::NONE,
                    Place::Child(..) => unreachable!("children are removed at their parent"),
                }
                return Some(value);
            }
            rest = rest.strip_prefix(self.nodes.prefix(at))?;
            let Some((&key, below)) = rest.split_first() else {
                let ends = self.nodes.head(at).ends;
                if ends.is_none() {
                    return None;
                }
                let value = self.drop_leaf(ends);
                self.nodes.head_mut(at).ends = Handle::NONE;
                self.tighten(place, at);
                return Some(value);
            };
            let child = self.nodes.child(at, key)?;
            if child.kind() == Kind::Leaf {
                if self.nodes.prefix(child) != below {
                    return None;
                }
                let value = self.drop_leaf(child);
                self.nodes.remove(at, key);
                self.tighten(place, at);
                return Some(value);
            }
            place = Place::Child(at, key);
            at = child;
            rest = below;
        }
    }

    /// Rebuilds the tree without slack. Costs a pass over all subjects and, for
    /// its duration, the memory of both.
    pub fn compact(&mut self) {
        let mut fresh = Self::new();
        self.for_each(|subject, value| {
            fresh.insert(subject, *value);
            std::ops::ControlFlow::Continue(())
        });
        *self = fresh;
    }

    fn find(&self, subject: &[u8]) -> Option<u32> {
        let mut at = self.root;
        let mut rest = subject;
        loop {
            if at.is_none() {
                return None;
            }
            if at.kind() == Kind::Leaf {
                return (self.nodes.prefix(at) == rest).then(|| at.slot());
            }
            let head = self.nodes.head(at);
            rest = rest.strip_prefix(self.nodes.arena.get(&head.prefix))?;
            let Some((&key, below)) = rest.split_first() else {
                return (!head.ends.is_none()).then(|| head.ends.slot());
            };
            at = self.nodes.child(at, key)?;
            rest = below;
        }
    }

    /// The leaf of `subject`, made with `value` if it is not there yet.
    fn find_or_add(&mut self, subject: &[u8], value: V) -> (u32, bool) {
        assert!(subject.len() <= MAX_SUBJECT, "subjects are checked at the border");
        let mut place = Place::Root;
        let mut at = self.root;
        let mut rest = subject;
        loop {
            if at.is_none() {
                let leaf = self.add_leaf(rest, value);
                self.root = leaf;
                return (leaf.slot(), true);
            }
            let prefix = self.nodes.prefix(at);
            let common = prefix.iter().zip(rest).take_while(|(a, b)| a == b).count();
            let is_leaf = at.kind() == Kind::Leaf;
            if is_leaf && common == prefix.len() && common == rest.len() {
                return (at.slot(), false);
            }
            if is_leaf || common < prefix.len() {
                return (self.split(place, at, common, rest, value).slot(), true);
            }
            rest = rest.get(common..).unwrap_or_default();
            let Some((&key, below)) = rest.split_first() else {
                let ends = self.nodes.head(at).ends;
                if !ends.is_none() {
                    return (ends.slot(), false);
                }
                let leaf = self.add_leaf(&[], value);
                self.nodes.head_mut(at).ends = leaf;
                return (leaf.slot(), true);
            };
            let Some(child) = self.nodes.child(at, key) else {
                let leaf = self.add_leaf(below, value);
                let moved = self.nodes.add(at, key, leaf);
                self.replace(place, moved);
                return (leaf.slot(), true);
            };
            place = Place::Child(at, key);
            at = child;
            rest = below;
        }
    }

    /// Puts a new inner node above `at`, whose prefix shares `common` bytes with
    /// `rest`, and a leaf for `rest` beside it. Returns that leaf.
    fn split(&mut self, place: Place, at: Handle, common: usize, rest: &[u8], value: V) -> Handle {
        let (shared, tail) = rest.split_at(common);
        let prefix = self.nodes.arena.store(shared);
        let above = self.nodes.new_inner(Kind::Small3, Head { prefix, ends: Handle::NONE });
        let old = self.nodes.prefix(at).get(common..).unwrap_or_default().to_vec();
        self.hang(above, at, &old, |nodes, bytes| nodes.set_prefix(at, bytes));
        let leaf = self.add_leaf(tail.get(1..).unwrap_or_default(), value);
        self.hang(above, leaf, tail, |_, _| {});
        self.replace(place, above);
        leaf
    }

    /// Hangs `child` under `above` where `bytes` lead: at its first byte, or as
    /// the leaf that ends there.
    fn hang(
        &mut self,
        above: Handle,
        child: Handle,
        bytes: &[u8],
        set_prefix: impl FnOnce(&mut Nodes<V>, &[u8]),
    ) {
        match bytes.split_first() {
            Some((&key, below)) => {
                set_prefix(&mut self.nodes, below);
                self.nodes.add(above, key, child);
            }
            None => {
                set_prefix(&mut self.nodes, &[]);
                self.nodes.head_mut(above).ends = child;
            }
        }
    }

    /// After a removal below `at`: a node with one descendant left gives way to
    /// it, one with few children moves to a smaller kind.
    fn tighten(&mut self, place: Place, at: Handle) {
        let head = *self.nodes.head(at);
        let only = match (self.nodes.len(at), head.ends.is_none()) {
            (0, false) => Some((None, head.ends)),
            (1, true) => self.nodes.next(at, 0).map(|(key, child)| (Some(key), child)),
            _ => None,
        };
        let Some((key, child)) = only else {
            let moved = self.nodes.shrink(at);
            if moved != at {
                self.replace(place, moved);
            }
            return;
        };
        let mut bytes = self.nodes.arena.get(&head.prefix).to_vec();
        bytes.extend(key);
        bytes.extend_from_slice(self.nodes.prefix(child));
        self.nodes.set_prefix(child, &bytes);
        self.nodes.arena.release(head.prefix);
        self.nodes.release(at);
        self.replace(place, child);
    }

    fn replace(&mut self, place: Place, handle: Handle) {
        match place {
            Place::Root => self.root = handle,
            Place::Child(parent, key) => self.nodes.set(parent, key, handle),
        }
    }

    fn add_leaf(&mut self, bytes: &[u8], value: V) -> Handle {
        self.len += 1;
        self.nodes.new_leaf(bytes, value)
    }

    fn drop_leaf(&mut self, leaf: Handle) -> V {
        self.len -= 1;
        let slot = self.nodes.leaves.get_mut(leaf.slot());
        let value = slot.value;
        let prefix = std::mem::replace(&mut slot.prefix, Prefix::EMPTY);
        self.nodes.arena.release(prefix);
        self.nodes.release(leaf);
        value
    }
}
