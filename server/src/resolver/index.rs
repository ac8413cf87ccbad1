//! What a directory of tokens holds, in memory: which accounts, the digest of all
//! of them, which was used longest ago, which ends first.

use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};

/// SHA-256 of a token.
pub type Digest = [u8; 32];

/// One account's token.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    digest: Digest,
    expires: i64,
    used: u64,
}

/// The tokens of a directory. Bounded by the store's limit (unless that is
/// unlimited); the texts stay on disk.
#[derive(Debug, Default)]
pub struct Index {
    entries: HashMap<String, Entry>,
    by_use: BTreeMap<u64, String>,
    by_end: BTreeSet<(i64, String)>,
    /// XOR of the digests: equal sets have equal sums, in any order.
    sum: Digest,
    clock: u64,
}

impl Index {
    /// Number of accounts.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// XOR of the SHA-256 of all tokens.
    pub fn sum(&self) -> Digest {
        self.sum
    }

    /// Digest of an account's token.
    pub fn digest(&self, id: &str) -> Option<Digest> {
        self.entries.get(id).map(|e| e.digest)
    }

    /// All accounts, sorted.
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.entries.keys().cloned().collect();
        ids.sort_unstable();
        ids
    }

    /// Puts or replaces an account's token, which ends at `expires` (ns).
    pub fn put(&mut self, id: &str, digest: Digest, expires: i64) {
        self.remove(id);
        self.clock += 1;
        self.xor(&digest);
        self.by_use.insert(self.clock, id.to_owned());
        self.by_end.insert((expires, id.to_owned()));
        self.entries.insert(id.to_owned(), Entry { digest, expires, used: self.clock });
    }

    /// Takes an account out; false if it was not in.
    pub fn remove(&mut self, id: &str) -> bool {
        let Some(entry) = self.entries.remove(id) else { return false };
        self.xor(&entry.digest);
        self.by_use.remove(&entry.used);
        self.by_end.remove(&(entry.expires, id.to_owned()));
        true
    }

    /// An account's token was used; with `expires` it now ends then.
    pub fn used(&mut self, id: &str, expires: Option<i64>) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        self.clock += 1;
        if let Some(id) = self.by_use.remove(&entry.used) {
            self.by_use.insert(self.clock, id);
        }
        entry.used = self.clock;
        if let Some(at) = expires {
            self.by_end.remove(&(entry.expires, id.to_owned()));
            self.by_end.insert((at, id.to_owned()));
            entry.expires = at;
        }
    }

    /// The account whose token was used longest ago.
    pub fn oldest(&self) -> Option<String> {
        self.by_use.first_key_value().map(|(_, id)| id.clone())
    }

    /// Accounts whose token ended by `now`.
    pub fn ended(&self, now: i64) -> Vec<String> {
        self.by_end.iter().take_while(|(end, _)| *end <= now).map(|(_, id)| id.clone()).collect()
    }

    fn xor(&mut self, digest: &Digest) {
        for (sum, byte) in self.sum.iter_mut().zip(digest) {
            *sum ^= byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_tells_sets_apart_whatever_the_order() {
        let (mut a, mut b) = (Index::default(), Index::default());
        a.put("X", [1; 32], 9);
        a.put("Y", [2; 32], 9);
        b.put("Y", [7; 32], 9);
        assert_ne!(a.sum(), b.sum());
        b.put("Y", [2; 32], 9);
        b.put("X", [1; 32], 9);
        assert_eq!(a.sum(), b.sum());
        assert_eq!(a.ids(), ["X", "Y"]);
        assert!(a.remove("X") && a.remove("Y") && !a.remove("Y"));
        assert_eq!(a.sum(), [0; 32]);
        assert!(a.is_empty() && a.oldest().is_none());
    }

    #[test]
    fn use_and_end_are_ordered() {
        let mut i = Index::default();
        for (id, end) in [("A", 30), ("B", 10), ("C", i64::MAX)] {
            i.put(id, [0; 32], end);
        }
        assert_eq!(i.oldest().as_deref(), Some("A"));
        i.used("A", None);
        assert_eq!(i.oldest().as_deref(), Some("B"));
        assert_eq!(i.ended(9), Vec::<String>::new());
        assert_eq!(i.ended(30), ["B", "A"]);
        i.used("B", Some(40));
        assert_eq!(i.ended(30), ["A"]);
        i.used("unknown", Some(1));
        assert_eq!(i.len(), 3);
    }
}
