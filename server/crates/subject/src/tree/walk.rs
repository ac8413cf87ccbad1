//! Walking the tree in byte order, all of it or what a filter matches.

use super::filter::{Filter, State};
use super::node::{Handle, Kind};
use super::{SubjectTree, nodes::Nodes};
use std::ops::ControlFlow;

/// One inner node on the way from the root. The stack is explicit because a
/// hostile set of nested subjects makes the tree as deep as a subject is long.
struct Frame {
    node: Handle,
    /// Keys below this one are done; 256 when all are.
    from: u16,
    /// Bytes of the subject up to and including the node's prefix.
    path: usize,
    state: State,
}

/// What a walk needs beside the tree.
struct Walk<'a, V, F> {
    nodes: &'a Nodes<V>,
    /// `None` walks everything.
    filter: Option<Filter<'a>>,
    path: Vec<u8>,
    stack: Vec<Frame>,
    visit: F,
}

impl<V: Copy> SubjectTree<V> {
    /// Calls `visit` for every subject in byte order until it breaks.
    pub fn for_each(&self, visit: impl FnMut(&[u8], &V) -> ControlFlow<()>) {
        self.walk(None, State::Rest { some: false }, visit);
    }

    /// Calls `visit` for every subject that `filter` matches, in byte order,
    /// until it breaks. A filter without wildcards is a lookup.
    pub fn for_each_match(&self, filter: &[u8], visit: impl FnMut(&[u8], &V) -> ControlFlow<()>) {
        if let Some(filter) = Filter::new(filter) {
            self.walk(Some(filter), filter.start(), visit);
        }
    }

    fn walk(
        &self,
        filter: Option<Filter<'_>>,
        start: State,
        visit: impl FnMut(&[u8], &V) -> ControlFlow<()>,
    ) {
        if self.root.is_none() {
            return;
        }
        let mut walk =
            Walk { nodes: &self.nodes, filter, path: Vec::new(), stack: Vec::new(), visit };
        // A break ends the walk, which has nothing more to say.
        let _ = walk.enter(self.root, start).is_continue() && walk.run().is_continue();
    }
}

impl<V: Copy, F: FnMut(&[u8], &V) -> ControlFlow<()>> Walk<'_, V, F> {
    fn run(&mut self) -> ControlFlow<()> {
        while let Some(frame) = self.stack.last_mut() {
            let (node, path, state) = (frame.node, frame.path, frame.state);
            let Ok(from) = u8::try_from(frame.from) else {
                self.stack.pop();
                continue;
            };
            let only = self.filter.as_ref().and_then(|f| f.only(state));
            let next = match only {
                Some(key) => self.nodes.child(node, key).map(|child| (key, child)),
                None => self.nodes.next(node, from),
            };
            frame.from = match (only, next) {
                (None, Some((key, _))) => u16::from(key) + 1,
                _ => 256,
            };
            if let Some((key, child)) = next
                && let Some(state) = self.step(state, key)
            {
                self.path.truncate(path);
                self.path.push(key);
                self.enter(child, state)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn step(&self, state: State, key: u8) -> Option<State> {
        match &self.filter {
            Some(filter) => filter.step(state, key),
            None => Some(state),
        }
    }

    /// Visits a leaf, or the end at an inner node, and queues its children.
    fn enter(&mut self, node: Handle, state: State) -> ControlFlow<()> {
        let prefix = self.nodes.prefix(node);
        let state = match &self.filter {
            Some(filter) => match filter.advance(state, prefix) {
                Some(state) => state,
                None => return ControlFlow::Continue(()),
            },
            None => state,
        };
        let base = self.path.len();
        self.path.extend_from_slice(prefix);
        let is_leaf = node.kind() == Kind::Leaf;
        let ends = if is_leaf { node } else { self.nodes.head(node).ends };
        if !is_leaf {
            self.stack.push(Frame { node, from: 0, path: self.path.len(), state });
        }
        let accepted = self.filter.as_ref().is_none_or(|f| f.accepts(state));
        if !ends.is_none() && accepted {
            let leaf = self.nodes.leaves.get(ends.slot());
            (self.visit)(&self.path, &leaf.value)?;
        }
        if is_leaf {
            self.path.truncate(base);
        }
        ControlFlow::Continue(())
    }
}
