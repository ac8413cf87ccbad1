//! What one connection remembers of the sublist.

use crate::result::MatchResult;
use crate::shared::{Generation, SharedSublist};
use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::sync::Arc;

/// Cost of an entry besides subject and lists: the entry, its table slot and the
/// allocations' headers.
const ENTRY_BYTES: usize = 96;

/// Results by subject, owned by one connection (not shared, no lock).
///
/// A hit costs the comparison with the last subject or one hash lookup, and one
/// or two atomic loads; it neither locks nor allocates. Limit: `limit` bytes in
/// two halves. When the younger half is full the older one is forgotten as a
/// whole and the halves change roles; what is used again moves to the younger.
/// A result larger than half the limit is kept only until the next subject.
#[derive(Debug)]
pub struct MatchCache<S> {
    young: HashMap<Bytes, Entry<S>, FixedState>,
    old: HashMap<Bytes, Entry<S>, FixedState>,
    young_bytes: usize,
    old_bytes: usize,
    limit: usize,
    last: Option<(Bytes, Entry<S>)>,
    stats: CacheStats,
}

#[derive(Debug)]
struct Entry<S> {
    result: Arc<MatchResult<S>>,
    generation: Generation,
    stripe: u8,
}

impl<S> Clone for Entry<S> {
    fn clone(&self) -> Self {
        Entry { result: self.result.clone(), generation: self.generation, stripe: self.stripe }
    }
}

impl<S> Entry<S> {
    fn cost(&self, subject: &[u8]) -> usize {
        ENTRY_BYTES + subject.len() + self.result.memory()
    }
}

/// Counts since the cache was made, for `/subsz`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Subjects remembered now.
    pub entries: u64,
    /// Bytes they take.
    pub bytes: u64,
    /// Lookups answered from memory.
    pub hits: u64,
    /// Lookups that asked the sublist.
    pub misses: u64,
    /// Largest result met.
    pub max_fanout: u64,
    /// Sum over all misses; divided by `misses` the average.
    pub fanout_sum: u64,
}

impl<S: Clone> MatchCache<S> {
    /// A cache of at most `limit` bytes; `seed` as for [`crate::Sublist::new`].
    pub fn new(limit: usize, seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        MatchCache {
            young: HashMap::with_hasher(hasher.clone()),
            old: HashMap::with_hasher(hasher),
            young_bytes: 0,
            old_bytes: 0,
            limit,
            last: None,
            stats: CacheStats::default(),
        }
    }

    /// Who gets a message on `literal`. Always use it with the same sublist.
    pub fn lookup(&mut self, list: &SharedSublist<S>, literal: &[u8]) -> &Arc<MatchResult<S>> {
        let fresh = |e: &Entry<S>| e.generation == list.current(e.stripe);
        let in_last = self.last.as_ref().is_some_and(|(s, e)| s == literal && fresh(e));
        if in_last {
            self.stats.hits += 1;
        } else {
            let entry = match self.find(literal) {
                Some((key, entry)) if fresh(&entry) => {
                    self.stats.hits += 1;
                    (key, entry)
                }
                found => self.miss(list, literal, found),
            };
            self.last = Some(entry);
        }
        match &self.last {
            Some((_, entry)) => &entry.result,
            None => unreachable!("it was set above"),
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        (self.young_bytes, self.old_bytes) = (0, 0);
        self.last = None;
    }

    /// Forgets what is no longer true, so that the handles of closed
    /// connections do not outlive them for long. Call it when idle.
    pub fn drop_stale(&mut self, list: &SharedSublist<S>) {
        let fresh = |e: &Entry<S>| e.generation == list.current(e.stripe);
        for (map, bytes) in
            [(&mut self.young, &mut self.young_bytes), (&mut self.old, &mut self.old_bytes)]
        {
            map.retain(|subject, entry| {
                let keep = fresh(entry);
                if !keep {
                    *bytes -= entry.cost(subject);
                }
                keep
            });
        }
        if self.last.as_ref().is_some_and(|(_, e)| !fresh(e)) {
            self.last = None;
        }
    }

    /// Counts for monitoring.
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            entries: (self.young.len() + self.old.len()) as u64,
            bytes: (self.young_bytes + self.old_bytes) as u64,
            ..self.stats
        }
    }

    /// The entry of `literal`, moved to the young half.
    fn find(&mut self, literal: &[u8]) -> Option<(Bytes, Entry<S>)> {
        if let Some((key, entry)) = self.young.get_key_value(literal) {
            return Some((key.clone(), entry.clone()));
        }
        let (key, entry) = self.old.remove_entry(literal)?;
        self.old_bytes -= entry.cost(&key);
        self.keep(key.clone(), entry.clone());
        Some((key, entry))
    }

    fn miss(
        &mut self,
        list: &SharedSublist<S>,
        literal: &[u8],
        found: Option<(Bytes, Entry<S>)>,
    ) -> (Bytes, Entry<S>) {
        let (key, stripe) = match found {
            Some((key, entry)) => {
                // Out before the new one goes in: its cost may differ.
                if let Some(old) = self.young.remove(literal) {
                    self.young_bytes -= old.cost(literal);
                }
                (key, entry.stripe)
            }
            None => (Bytes::copy_from_slice(literal), list.stripe(literal)),
        };
        let (result, generation) = list.lookup(literal, stripe);
        let fanout = result.fanout() as u64;
        self.stats.misses += 1;
        self.stats.max_fanout = self.stats.max_fanout.max(fanout);
        self.stats.fanout_sum += fanout;
        let entry = Entry { result: Arc::new(result), generation, stripe };
        self.keep(key.clone(), entry.clone());
        (key, entry)
    }

    fn keep(&mut self, key: Bytes, entry: Entry<S>) {
        let cost = entry.cost(&key);
        if cost > self.limit / 2 {
            return;
        }
        if self.young_bytes + cost > self.limit / 2 {
            // Clearing keeps the table, so a warm cache allocates no tables.
            std::mem::swap(&mut self.young, &mut self.old);
            self.old_bytes = self.young_bytes;
            self.young.clear();
            self.young_bytes = 0;
        }
        self.young_bytes += cost;
        self.young.insert(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subs(cache: &mut MatchCache<u32>, list: &SharedSublist<u32>, s: &str) -> Vec<u32> {
        let mut got = cache.lookup(list, s.as_bytes()).plain.clone();
        got.sort_unstable();
        got
    }

    #[test]
    fn a_change_is_seen_by_the_next_lookup() {
        let list = SharedSublist::new(1);
        let mut cache = MatchCache::new(1 << 16, 1);
        assert_eq!(subs(&mut cache, &list, "a.b"), []);
        list.insert(b"a.*", b"", 1, 1);
        assert_eq!(subs(&mut cache, &list, "a.b"), [1]);
        assert_eq!(subs(&mut cache, &list, "x"), []);
        list.insert(b">", b"", 2, 2);
        assert_eq!(subs(&mut cache, &list, "a.b"), [1, 2]);
        assert_eq!(subs(&mut cache, &list, "x"), [2]);
        let before = list.generation();
        assert_eq!(list.remove_all([(&b"a.*"[..], &b""[..], 1), (b"a.*", b"", 9)]), 1);
        assert_eq!(list.generation(), before + 1);
        assert_eq!(subs(&mut cache, &list, "a.b"), [2]);
        assert_eq!(subs(&mut cache, &list, "a.b"), [2]);
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.max_fanout), (1, 6, 2));
    }

    #[test]
    fn other_first_tokens_do_not_disturb() {
        let list = SharedSublist::new(1);
        let mut cache = MatchCache::new(1 << 16, 1);
        let own = list.stripe(b"orders.x");
        list.insert(b"orders.*", b"", 1, 1);
        subs(&mut cache, &list, "orders.x");
        let other = (0..).map(|i| format!("_INBOX{i}.x"));
        let mut others = other.filter(|s| list.stripe(s.as_bytes()) != own);
        let inbox = others.next().unwrap();
        list.insert(inbox.as_bytes(), b"", 2, 2);
        subs(&mut cache, &list, "orders.x");
        assert_eq!(cache.stats().hits, 1);
        list.insert(b"*.x", b"", 3, 3);
        assert_eq!(subs(&mut cache, &list, "orders.x"), [1, 3]);
    }

    #[test]
    fn bytes_stay_below_the_limit_and_hot_subjects_stay() {
        let list = SharedSublist::new(1);
        list.insert(b">", b"", 1, 1u32);
        let limit = 20_000;
        let mut cache = MatchCache::new(limit, 1);
        for i in 0..1000 {
            let misses = cache.stats().misses;
            subs(&mut cache, &list, "hot");
            assert_eq!(cache.stats().misses, misses + u64::from(i == 0));
            subs(&mut cache, &list, &format!("cold.{i}"));
            let want: usize = cache.young.iter().chain(&cache.old).map(|(s, e)| e.cost(s)).sum();
            assert_eq!(cache.stats().bytes as usize, want);
            assert!(want <= limit);
        }
        assert!(cache.stats().entries > 20);
        list.insert(b"cold.>", b"", 2, 2);
        let before = cache.stats().entries;
        cache.drop_stale(&list);
        assert!((1..before).contains(&cache.stats().entries));
        cache.clear();
        assert_eq!((cache.stats().entries, cache.stats().bytes), (0, 0));
    }

    #[test]
    fn a_result_too_large_for_the_cache_is_still_right() {
        let list = SharedSublist::new(1);
        for id in 0..1000u32 {
            list.insert(b"a", b"", u64::from(id), id);
        }
        let mut cache = MatchCache::new(1000, 1);
        assert_eq!(subs(&mut cache, &list, "a").len(), 1000);
        assert_eq!(cache.stats().entries, 0);
        assert_eq!(subs(&mut cache, &list, "b").len(), 0);
    }
}
