//! Requests that crossed an account's border and wait for their answers.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Names a pending request; random, so that nobody can answer what was not
/// asked of it.
pub type Token = [u8; 6];

/// Bytes an entry takes besides what its owner counts.
const ENTRY_BYTES: usize = 160;
/// Slots that stay allocated when no request is pending.
const KEEP_SLOTS: usize = 1024;
const NONE: u32 = u32::MAX;

/// Entries by token, each with a time without answers after which it expires.
///
/// Entries with the same threshold expire in the order they were last touched,
/// so they form one linked list through the slots: an answered entry leaves at
/// once and nothing but entries that are pending takes memory. Limit: bytes;
/// when full, new entries are refused.
///
/// Nobody who asks may fill the table for the others: an owner is refused once its
/// entries take more than what is left free. A single one gets half of all, the
/// next half of the rest, and so on.
#[derive(Debug)]
pub struct Pending<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    by_token: HashMap<Token, u32, FixedState>,
    /// One list per threshold; accounts have few different ones.
    lists: Vec<List>,
    /// Bytes by owner; those without an entry are not here.
    shares: HashMap<usize, usize, FixedState>,
    bytes: usize,
    limit: usize,
}

#[derive(Debug)]
struct Slot<T> {
    token: Token,
    owner: usize,
    value: Option<T>,
    cost: usize,
    /// When it was last touched, ns.
    touched: i64,
    list: usize,
    before: u32,
    after: u32,
}

#[derive(Debug)]
struct List {
    threshold: i64,
    first: u32,
    last: u32,
}

/// Why an entry was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The token is in use: draw another.
    Taken,
    /// The limit is reached, that of the table or the owner's share of it.
    Full,
}

impl<T> Pending<T> {
    /// Empty; `limit` in bytes, `seed` a random number.
    pub fn new(limit: usize, seed: u64) -> Self {
        Pending {
            slots: Vec::new(),
            free: Vec::new(),
            by_token: HashMap::with_hasher(FixedState::with_seed(seed)),
            lists: Vec::new(),
            shares: HashMap::with_hasher(FixedState::with_seed(seed)),
            bytes: 0,
            limit,
        }
    }

    /// Adds an entry that expires `threshold` ns after it was last touched, or
    /// hands it back;
    /// `cost` is what `value` holds on the heap, in bytes. `owner`: any number that
    /// stands for who asks. `now` in ns.
    pub fn insert(
        &mut self,
        token: Token,
        owner: usize,
        threshold: i64,
        now: i64,
        cost: usize,
        value: T,
    ) -> Result<(), (T, Refused)> {
        let cost = cost + ENTRY_BYTES;
        let share = self.shares.get(&owner).map_or(0, |bytes| *bytes) + cost;
        if self.bytes + share > self.limit {
            return Err((value, Refused::Full));
        }
        if self.by_token.contains_key(&token) {
            return Err((value, Refused::Taken));
        }
        let found = self.lists.iter().position(|l| l.threshold == threshold);
        let list = found.unwrap_or_else(|| {
            self.lists.push(List { threshold, first: NONE, last: NONE });
            self.lists.len() - 1
        });
        let value = Some(value);
        let slot =
            Slot { token, owner, value, cost, touched: now, list, before: NONE, after: NONE };
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(old) = self.slots.get_mut(at as usize) {
                    *old = slot;
                }
                at
            }
            None => {
                // The limit keeps the number of slots far below 2^32.
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.bytes += cost;
        self.shares.insert(owner, share);
        self.by_token.insert(token, at);
        self.append(at);
        Ok(())
    }

    /// The entry called `token`.
    pub fn get(&self, token: &Token) -> Option<&T> {
        let at = *self.by_token.get(token)?;
        self.slots.get(at as usize)?.value.as_ref()
    }

    /// As [`Pending::get`], to change it.
    pub fn get_mut(&mut self, token: &Token) -> Option<&mut T> {
        let at = *self.by_token.get(token)?;
        self.slots.get_mut(at as usize)?.value.as_mut()
    }

    /// Gives an entry its whole threshold again.
    pub fn touch(&mut self, token: &Token, now: i64) {
        let Some(&at) = self.by_token.get(token) else { return };
        self.unlink(at);
        if let Some(slot) = self.slots.get_mut(at as usize) {
            slot.touched = now;
        }
        self.append(at);
    }

    /// Takes an entry out.
    pub fn remove(&mut self, token: &Token) -> Option<T> {
        let at = self.by_token.remove(token)?;
        self.unlink(at);
        let slot = self.slots.get_mut(at as usize)?;
        self.bytes -= slot.cost;
        if let Some(share) = self.shares.get_mut(&slot.owner) {
            *share -= slot.cost;
            if *share == 0 {
                self.shares.remove(&slot.owner);
            }
        }
        self.free.push(at);
        let value = slot.value.take();
        if self.by_token.is_empty() && self.slots.len() > KEEP_SLOTS {
            // A burst is over: give its memory back.
            (self.slots, self.free) = (Vec::new(), Vec::new());
            self.by_token.shrink_to(64);
        }
        value
    }

    /// Takes out one entry whose time is over at `now`.
    pub fn expire(&mut self, now: i64) -> Option<(Token, T)> {
        let first = |l: &List| self.slots.get(l.first as usize).map(|s| (s, l.threshold));
        let due = self
            .lists
            .iter()
            .filter_map(first)
            .find(|(slot, threshold)| slot.touched.saturating_add(*threshold) <= now)
            .map(|(slot, _)| slot.token)?;
        Some((due, self.remove(&due)?))
    }

    /// When the next entry expires, ns.
    pub fn deadline(&self) -> Option<i64> {
        let of = |l: &List| Some(self.slots.get(l.first as usize)?.touched + l.threshold);
        self.lists.iter().filter_map(of).min()
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (&Token, &T)> {
        self.slots.iter().filter_map(|s| Some((&s.token, s.value.as_ref()?)))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.by_token.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_token.is_empty()
    }

    /// Bytes counted against the limit.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn append(&mut self, at: u32) {
        let Some(list) = self.slots.get(at as usize).map(|s| s.list) else { return };
        let Some(list) = self.lists.get_mut(list) else { return };
        let before = std::mem::replace(&mut list.last, at);
        if before == NONE {
            list.first = at;
        } else if let Some(slot) = self.slots.get_mut(before as usize) {
            slot.after = at;
        }
        if let Some(slot) = self.slots.get_mut(at as usize) {
            (slot.before, slot.after) = (before, NONE);
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some(slot) = self.slots.get(at as usize) else { return };
        let (before, after, list) = (slot.before, slot.after, slot.list);
        match self.slots.get_mut(before as usize) {
            Some(slot) => slot.after = after,
            None => {
                if let Some(list) = self.lists.get_mut(list) {
                    list.first = after;
                }
            }
        }
        match self.slots.get_mut(after as usize) {
            Some(slot) => slot.before = before,
            None => {
                if let Some(list) = self.lists.get_mut(list) {
                    list.last = before;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn token(n: u32) -> Token {
        let mut token = [0; 6];
        token[..4].copy_from_slice(&n.to_le_bytes());
        token
    }

    #[test]
    fn entries_expire_by_their_own_threshold() {
        let mut p = Pending::new(10_000, 1);
        p.insert(token(1), 0, 100, 0, 0, "slow").unwrap();
        p.insert(token(2), 0, 10, 5, 0, "fast").unwrap();
        p.insert(token(3), 0, 10, 6, 0, "touched").unwrap();
        p.touch(&token(3), 20);
        assert_eq!(p.deadline(), Some(15));
        let mut expire = |now| p.expire(now).map(|(_, value)| value);
        assert_eq!((expire(14), expire(15), expire(15)), (None, Some("fast"), None));
        assert_eq!(p.deadline(), Some(30));
        let mut expire = |now| p.expire(now).map(|(_, value)| value);
        assert_eq!((expire(1000), expire(1000)), (Some("slow"), Some("touched")));
        assert_eq!((p.expire(i64::MAX), p.deadline(), p.bytes()), (None, None, 0));
    }

    #[test]
    fn a_full_table_refuses_and_an_answered_entry_makes_room() {
        let mut p = Pending::new(2000, 1);
        let n = (0..).find(|&n| p.insert(token(n), 0, 1, 0, 40, n).is_err()).unwrap();
        assert_eq!(n, 5);
        assert_eq!(p.insert(token(n), 0, 1, 0, 40, n), Err((n, Refused::Full)));
        assert_eq!(p.remove(&token(2)), Some(2));
        assert_eq!(p.insert(token(1), 0, 1, 0, 40, n), Err((n, Refused::Taken)));
        assert_eq!(p.insert(token(n), 0, 1, 0, 40, n), Ok(()));
        assert_eq!(p.len(), 5);
    }

    #[test]
    fn nobody_fills_the_table_for_the_others() {
        let mut p = Pending::new(100 * (ENTRY_BYTES + 40), 1);
        let mut next = 0;
        let mut fill = |p: &mut Pending<u32>, owner| {
            let first = next;
            while p.insert(token(next), owner, 1, 0, 40, next).is_ok() {
                next += 1;
            }
            next - first
        };
        let taken: Vec<u32> = (1..6).map(|owner| fill(&mut p, owner)).collect();
        assert_eq!(taken, [50, 25, 13, 6, 3]);
        // What one gives back is there for all, half of it for itself.
        assert_eq!(fill(&mut p, 1), 0);
        (0..50).for_each(|n| assert!(p.remove(&token(n)).is_some()));
        assert_eq!((fill(&mut p, 1), fill(&mut p, 6)), (27, 13));
        p.expire(i64::MAX);
        while p.expire(i64::MAX).is_some() {}
        assert!(p.shares.is_empty() && p.bytes() == 0);
    }

    proptest! {
        /// Against a plain map: whatever is done, the same entries are there and
        /// expire at the same time.
        #[test]
        fn it_is_a_map_with_deadlines(
            steps in proptest::collection::vec((0u32..6, 0u8..4, 1i64..4), 1..200)
        ) {
            let mut p = Pending::new(1 << 20, 1);
            let mut model: BTreeMap<u32, (i64, i64)> = BTreeMap::new();
            for (now, (n, what, threshold)) in (0i64..).zip(steps) {
                let threshold = threshold * 7;
                match what {
                    0 => {
                        let new = p.insert(token(n), n as usize % 2, threshold, now, 1, n).is_ok();
                        prop_assert_eq!(new, !model.contains_key(&n));
                        model.entry(n).or_insert((now, threshold));
                    }
                    1 => prop_assert_eq!(p.remove(&token(n)).is_some(), model.remove(&n).is_some()),
                    2 => {
                        p.touch(&token(n), now);
                        model.entry(n).and_modify(|e| e.0 = now);
                    }
                    _ => {
                        while let Some((_, n)) = p.expire(now) {
                            let (touched, threshold) = model.remove(&n).unwrap();
                            prop_assert!(touched + threshold <= now);
                        }
                        prop_assert!(model.values().all(|(t, th)| t + th > now));
                    }
                }
                let want = model.values().map(|(t, th)| t + th).min();
                prop_assert_eq!(p.deadline(), want);
                prop_assert_eq!(p.len(), model.len());
                prop_assert!(model.keys().all(|n| p.get(&token(*n)) == Some(n)));
                prop_assert_eq!(p.iter().count(), model.len());
                prop_assert_eq!(p.bytes(), model.len() * (ENTRY_BYTES + 1));
            }
        }
    }
}
