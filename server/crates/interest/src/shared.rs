//! A sublist that several threads read, with generations that tell a cache what
//! it remembers is still true.

use crate::result::MatchResult;
use crate::sublist::{Sublist, SublistStats};
use foldhash::fast::FixedState;
use gust_subject::tokens;
use gust_subject::tokens::{ONE, REST};
use parking_lot::{RwLock, RwLockReadGuard};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

/// Generations are kept per group of first tokens, so that inboxes that come and
/// go do not make everybody forget who listens to `orders.>`.
const STRIPES: usize = 64;

/// A [`Sublist`] behind a lock. Readers take the read lock only when their
/// [`crate::MatchCache`] does not know a subject.
#[derive(Debug)]
pub struct SharedSublist<S> {
    list: RwLock<Sublist<S>>,
    hasher: FixedState,
    /// Changes of subscriptions whose first token is a wildcard.
    wild: AtomicU64,
    /// Changes of the others, by hash of the first token.
    stripes: [AtomicU64; STRIPES],
}

/// A generation: two equal ones for the same stripe mean that nothing which
/// matches a subject of that stripe has changed in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(u64);

impl<S> Default for SharedSublist<S> {
    fn default() -> Self {
        Self::new(0)
    }
}

impl<S> SharedSublist<S> {
    /// An empty one; for `seed` see [`Sublist::new`].
    pub fn new(seed: u64) -> Self {
        SharedSublist {
            list: RwLock::new(Sublist::new(seed)),
            hasher: FixedState::with_seed(seed),
            wild: AtomicU64::new(0),
            stripes: [const { AtomicU64::new(0) }; STRIPES],
        }
    }

    /// As [`Sublist::insert`].
    pub fn insert(&self, subject: &[u8], queue: &[u8], id: u64, value: S) -> bool {
        let mut list = self.list.write();
        let new = list.insert(subject, queue, id, value);
        self.bump(subject);
        new
    }

    /// As [`Sublist::remove`].
    pub fn remove(&self, subject: &[u8], queue: &[u8], id: u64) -> bool {
        let mut list = self.list.write();
        let removed = list.remove(subject, queue, id);
        if removed {
            self.bump(subject);
        }
        removed
    }

    /// Removes subscriptions given as (subject, queue, id), for example all of a
    /// connection that closed, under locks held for at most 256 of them. How
    /// many were there.
    pub fn remove_all<'a>(
        &self,
        subs: impl IntoIterator<Item = (&'a [u8], &'a [u8], u64)>,
    ) -> usize {
        let mut removed = 0;
        let mut subs = subs.into_iter().peekable();
        while subs.peek().is_some() {
            let mut list = self.list.write();
            for (subject, queue, id) in subs.by_ref().take(256) {
                if list.remove(subject, queue, id) {
                    self.bump(subject);
                    removed += 1;
                }
            }
        }
        removed
    }

    /// The list, locked against changes: keep it short.
    pub fn read(&self) -> RwLockReadGuard<'_, Sublist<S>> {
        self.list.read()
    }

    /// As [`Sublist::stats`].
    pub fn stats(&self) -> SublistStats {
        self.list.read().stats()
    }

    /// A number that changes with every change of any subscription.
    pub fn generation(&self) -> u64 {
        let stripes: u64 = self.stripes.iter().map(|s| s.load(Ordering::Acquire)).sum();
        stripes + self.wild.load(Ordering::Acquire)
    }

    /// The stripe a published subject belongs to.
    #[inline]
    pub(crate) fn stripe(&self, literal: &[u8]) -> u8 {
        let first = tokens(literal).next().unwrap_or_default();
        (self.hasher.hash_one(first) % STRIPES as u64) as u8
    }

    /// Both counters only grow, so equal sums mean that neither moved.
    #[inline]
    pub(crate) fn current(&self, stripe: u8) -> Generation {
        let own = self.stripes.get(usize::from(stripe)).map_or(0, |s| s.load(Ordering::Acquire));
        Generation(own.wrapping_add(self.wild.load(Ordering::Acquire)))
    }

    /// Called with the write lock held, so that a reader who sees the old
    /// generation under the read lock has seen the old list.
    fn bump(&self, subject: &[u8]) {
        let mut it = tokens(subject);
        let first = it.next().unwrap_or_default();
        let counter = if first == ONE || (first == REST && it.rest().is_none()) {
            &self.wild
        } else {
            self.stripes.get(usize::from(self.stripe(subject))).unwrap_or(&self.wild)
        };
        counter.fetch_add(1, Ordering::AcqRel);
    }
}

impl<S: Clone> SharedSublist<S> {
    /// Who gets a message on `literal`, and the generation this is true for.
    pub(crate) fn lookup(&self, literal: &[u8], stripe: u8) -> (MatchResult<S>, Generation) {
        let list = self.list.read();
        let mut result = MatchResult::default();
        list.matches(literal, &mut result);
        (result, self.current(stripe))
    }
}
