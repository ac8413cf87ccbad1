//! The trie of subscriptions, one level per token.

use crate::members::Members;
use crate::result::{MatchResult, QueueMatch};
use bytes::Bytes;
use foldhash::fast::FixedState;
use gust_subject::tokens::{ONE, REST};
use gust_subject::{Tokens, tokens};
use hashbrown::HashMap;
use smallvec::SmallVec;

pub(crate) const NONE: u32 = u32::MAX;
pub(crate) const ROOT: u32 = 0;

/// Subscriptions by subject. `S` is what the owner needs to deliver to one, best
/// a small handle: results hold clones of it.
///
/// Nodes lie in one vector and refer to each other by number, so that neither a
/// lookup nor dropping the trie recurses as deep as a subject is long.
#[derive(Debug)]
pub struct Sublist<S> {
    pub(crate) nodes: Vec<Node<S>>,
    free: Vec<u32>,
    hasher: FixedState,
    stats: SublistStats,
}

#[derive(Debug)]
pub(crate) struct Node<S> {
    pub(crate) names: HashMap<Box<[u8]>, u32, FixedState>,
    pub(crate) one: u32,
    pub(crate) rest: u32,
    pub(crate) plain: Members<S>,
    pub(crate) queues: Vec<(Bytes, Members<S>)>,
}

/// Counts since the sublist was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SublistStats {
    /// Subscriptions now.
    pub subs: u64,
    /// Subscriptions ever inserted.
    pub inserts: u64,
    /// Subscriptions ever removed.
    pub removes: u64,
    /// Nodes in use, the root included.
    pub nodes: u64,
}

impl<S> Node<S> {
    fn new(hasher: &FixedState) -> Self {
        Node {
            names: HashMap::with_hasher(hasher.clone()),
            one: NONE,
            rest: NONE,
            plain: Members::default(),
            queues: Vec::new(),
        }
    }

    fn is_unused(&self) -> bool {
        self.plain.is_empty()
            && self.queues.is_empty()
            && self.names.is_empty()
            && self.one == NONE
            && self.rest == NONE
    }
}

impl<S> Default for Sublist<S> {
    fn default() -> Self {
        Self::new(0)
    }
}

impl<S> Sublist<S> {
    /// An empty sublist. `seed` keeps peers from choosing tokens whose hashes
    /// collide: pass a random number outside tests.
    pub fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        let stats = SublistStats { nodes: 1, ..SublistStats::default() };
        Sublist { nodes: vec![Node::new(&hasher)], free: Vec::new(), hasher, stats }
    }

    /// Subscriptions.
    pub fn len(&self) -> usize {
        self.stats.subs as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.stats.subs == 0
    }

    /// Counts for monitoring.
    pub fn stats(&self) -> SublistStats {
        self.stats
    }

    /// Adds subscription `id` on `subject` ([`gust_subject::valid_subscribe`]);
    /// an empty `queue` means none. Ids are unique per subject and queue: with a
    /// known one the value is replaced. Whether it is new.
    pub fn insert(&mut self, subject: &[u8], queue: &[u8], id: u64, value: S) -> bool {
        let mut at = ROOT;
        let mut it = tokens(subject);
        while let Some(token) = it.next() {
            at = self.child_or_new(at, Step::of(token, &it));
        }
        let node = &mut self.nodes[at as usize];
        let members = if queue.is_empty() {
            &mut node.plain
        } else {
            let found = node.queues.iter().position(|(name, _)| name == queue);
            let place = found.unwrap_or_else(|| {
                node.queues.push((Bytes::copy_from_slice(queue), Members::default()));
                node.queues.len() - 1
            });
            &mut node.queues[place].1
        };
        let new = members.insert(id, value);
        if new {
            self.stats.subs += 1;
            self.stats.inserts += 1;
        }
        new
    }

    /// Removes subscription `id`. Whether it was there. Costs the tokens of the
    /// subject, whatever the number of subscriptions.
    pub fn remove(&mut self, subject: &[u8], queue: &[u8], id: u64) -> bool {
        let mut path: SmallVec<[(u32, &[u8]); 16]> = SmallVec::new();
        let mut at = ROOT;
        let mut it = tokens(subject);
        while let Some(token) = it.next() {
            let Some(child) = self.child(at, Step::of(token, &it)) else { return false };
            path.push((at, token));
            at = child;
        }
        let node = &mut self.nodes[at as usize];
        let removed = if queue.is_empty() {
            node.plain.remove(id)
        } else if let Some(place) = node.queues.iter().position(|(name, _)| name == queue) {
            let members = &mut node.queues[place].1;
            let removed = members.remove(id);
            if members.is_empty() {
                node.queues.swap_remove(place);
            }
            removed
        } else {
            false
        };
        if removed {
            self.stats.subs -= 1;
            self.stats.removes += 1;
            self.prune(at, &path);
        }
        removed
    }

    /// Frees `at` and what above it leads nowhere else.
    fn prune(&mut self, mut at: u32, path: &[(u32, &[u8])]) {
        for (parent, token) in path.iter().rev() {
            if !self.nodes[at as usize].is_unused() {
                return;
            }
            self.nodes[at as usize] = Node::new(&self.hasher);
            self.free.push(at);
            self.stats.nodes -= 1;
            let parent_node = &mut self.nodes[*parent as usize];
            if parent_node.one == at {
                parent_node.one = NONE;
            } else if parent_node.rest == at {
                parent_node.rest = NONE;
            } else {
                parent_node.names.remove(*token);
            }
            at = *parent;
        }
    }

    fn child(&self, at: u32, step: Step<'_>) -> Option<u32> {
        let node = &self.nodes[at as usize];
        match step {
            Step::One => (node.one != NONE).then_some(node.one),
            Step::Rest => (node.rest != NONE).then_some(node.rest),
            Step::Name(token) => node.names.get(token).copied(),
        }
    }

    fn child_or_new(&mut self, at: u32, step: Step<'_>) -> u32 {
        if let Some(child) = self.child(at, step) {
            return child;
        }
        self.stats.nodes += 1;
        let new = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::new(&self.hasher));
            u32::try_from(self.nodes.len() - 1).expect("memory ends before 2^32 nodes")
        });
        let node = &mut self.nodes[at as usize];
        match step {
            Step::One => node.one = new,
            Step::Rest => node.rest = new,
            Step::Name(token) => {
                node.names.insert(token.into(), new);
            }
        }
        new
    }

    /// Calls `visit` for every node whose subscriptions match the published
    /// `literal`, until it returns true; whether it did. Empty tokens match
    /// nothing, `*` and `>` are names here (contract/core.md §1.6).
    fn any_match<'a>(&'a self, literal: &[u8], mut visit: impl FnMut(&'a Node<S>) -> bool) -> bool {
        if tokens(literal).any(<[u8]>::is_empty) {
            return false;
        }
        let mut stack: SmallVec<[(u32, Tokens<'_>); 16]> = SmallVec::new();
        stack.push((ROOT, tokens(literal)));
        while let Some((at, mut it)) = stack.pop() {
            let node = &self.nodes[at as usize];
            let Some(token) = it.next() else {
                if visit(node) {
                    return true;
                }
                continue;
            };
            if node.rest != NONE && visit(&self.nodes[node.rest as usize]) {
                return true;
            }
            if node.one != NONE {
                stack.push((node.one, it.clone()));
            }
            if let Some(&child) = node.names.get(token) {
                stack.push((child, it));
            }
        }
        false
    }

    /// Whether any subscription matches `literal`.
    pub fn has_interest(&self, literal: &[u8]) -> bool {
        self.any_match(literal, |n| !n.plain.is_empty() || !n.queues.is_empty())
    }

    /// Whether a subscription without queue matches `literal`.
    pub fn has_plain_interest(&self, literal: &[u8]) -> bool {
        self.any_match(literal, |n| !n.plain.is_empty())
    }

    /// Whether the queue group `queue` has a member that matches `literal`.
    pub fn has_queue_interest(&self, literal: &[u8], queue: &[u8]) -> bool {
        self.any_match(literal, |n| n.queues.iter().any(|(name, _)| name == queue))
    }
}

impl<S: Clone> Sublist<S> {
    /// Fills `out` (emptied first) with the subscriptions that match `literal`.
    pub fn matches(&self, literal: &[u8], out: &mut MatchResult<S>) {
        out.clear();
        self.any_match(literal, |node| {
            out.plain.extend(node.plain.list().iter().map(|(_, s)| s.clone()));
            for (name, members) in &node.queues {
                let members = members.list().iter().map(|(_, s)| s.clone());
                match out.queues.iter_mut().find(|q| q.name == name) {
                    Some(q) => q.members.extend(members),
                    None => out
                        .queues
                        .push(QueueMatch { name: name.clone(), members: members.collect() }),
                }
            }
            false
        });
    }
}

/// What one token of a subscription is.
#[derive(Clone, Copy)]
enum Step<'a> {
    One,
    Rest,
    Name(&'a [u8]),
}

impl<'a> Step<'a> {
    /// `after` is the iterator that gave `token`.
    fn of(token: &'a [u8], after: &Tokens<'_>) -> Step<'a> {
        match token {
            ONE => Step::One,
            REST if after.rest().is_none() => Step::Rest,
            name => Step::Name(name),
        }
    }
}
