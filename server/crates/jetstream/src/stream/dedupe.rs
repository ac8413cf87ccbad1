//! Message ids seen lately: a ring of generations, each covering a sixteenth of
//! the duplicate window.
//!
//! Ids are kept as 128-bit keyed hashes, so an id costs the same whatever its
//! length and nobody who does not know the key can make two ids collide. Filled
//! when a message is applied, asked by the leader before it proposes.

use crate::effect::Nanos;
use bytes::{BufMut, BytesMut};
use hashbrown::HashMap;
use std::collections::VecDeque;

/// Generations per window.
const GENERATIONS: i64 = 16;
/// Bytes an id costs, table overhead included; for the limit.
const COST: usize = 48;
/// Most bytes of one stream's ids (about 11 million ids). When full, the
/// oldest generation is forgotten early.
const MAX_BYTES: usize = 512 << 20;

/// Key of the hash; the same on every replica of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(pub u64, pub u64);

/// Hash of a message id.
pub type IdHash = u128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    seq: u64,
    ts: Nanos,
}

#[derive(Debug, Default)]
struct Generation {
    /// Time of its first id.
    start: Nanos,
    ids: HashMap<IdHash, Seen, foldhash::fast::FixedState>,
}

/// The ids of one stream.
#[derive(Debug)]
pub struct Dedupe {
    key: Key,
    window: Nanos,
    ring: VecDeque<Generation>,
    count: usize,
}

impl Dedupe {
    /// No ids; `window` 0 remembers nothing.
    pub fn new(key: Key, window: Nanos) -> Dedupe {
        Dedupe { key, window, ring: VecDeque::new(), count: 0 }
    }

    /// Changes the window. Ids older than a shorter one no longer count.
    pub fn set_window(&mut self, window: Nanos) {
        self.window = window;
    }

    /// The hash under which `id` is kept.
    pub fn hash(&self, id: &[u8]) -> IdHash {
        siphash128(self.key, id)
    }

    /// Sequence of the message with this id, if it is inside the window at `now`.
    pub fn find(&self, id: IdHash, now: Nanos) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let seen = self.ring.iter().rev().find_map(|g| g.ids.get(&id))?;
        (now.saturating_sub(seen.ts) < self.window).then_some(seen.seq)
    }

    /// Remembers an id. `ts` is the time of its message and also what makes
    /// older generations end, so that every replica forgets at the same record.
    pub fn insert(&mut self, id: IdHash, seq: u64, ts: Nanos) {
        if self.window <= 0 {
            return;
        }
        self.forget(ts);
        let span = (self.window / GENERATIONS).max(1);
        if self.ring.back().is_none_or(|g| ts.saturating_sub(g.start) >= span) {
            self.ring.push_back(Generation { start: ts, ..Generation::default() });
        }
        if let Some(g) = self.ring.back_mut() {
            self.count += usize::from(g.ids.insert(id, Seen { seq, ts }).is_none());
        }
        while self.count.saturating_mul(COST) > MAX_BYTES && self.ring.len() > 1 {
            self.drop_oldest();
        }
    }

    /// Ids remembered.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Heap bytes, an estimate.
    pub fn memory(&self) -> usize {
        self.count * COST
    }

    fn forget(&mut self, now: Nanos) {
        // A generation is over when its youngest possible id is outside the window.
        let span = (self.window / GENERATIONS).max(1);
        while let Some(g) = self.ring.front() {
            if now.saturating_sub(g.start) <= self.window.saturating_add(span) {
                break;
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(g) = self.ring.pop_front() {
            self.count -= g.ids.len().min(self.count);
        }
    }

    /// Appends the ids: `count u64 · n × (hash u128 · seq u64 · ts i64)`, oldest first.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u64_le(self.count as u64);
        for g in &self.ring {
            let mut ids: Vec<_> = g.ids.iter().collect();
            ids.sort_unstable_by_key(|(id, s)| (s.ts, s.seq, **id));
            for (id, s) in ids {
                out.put_u128_le(*id);
                out.put_u64_le(s.seq);
                out.put_i64_le(s.ts);
            }
        }
    }

    /// Reads what [`Dedupe::encode`] wrote; `None` if it is cut short.
    pub fn decode(&mut self, buf: &mut &[u8]) -> Option<()> {
        let (n, rest) = buf.split_first_chunk::<8>()?;
        *buf = rest;
        for _ in 0..u64::from_le_bytes(*n) {
            let (id, rest) = buf.split_first_chunk::<16>()?;
            let (seq, rest) = rest.split_first_chunk::<8>()?;
            let (ts, rest) = rest.split_first_chunk::<8>()?;
            *buf = rest;
            self.insert(
                u128::from_le_bytes(*id),
                u64::from_le_bytes(*seq),
                i64::from_le_bytes(*ts),
            );
        }
        Some(())
    }
}

/// SipHash-2-4 with 128 bits of output (Aumasson, Bernstein). Written out here
/// because checkpoints hold its values: they must not change with a crate.
pub fn siphash128(key: Key, data: &[u8]) -> u128 {
    let mut v = [
        key.0 ^ 0x736f_6d65_7073_6575,
        key.1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        key.0 ^ 0x6c79_6765_6e65_7261,
        key.1 ^ 0x7465_6462_7974_6573,
    ];
    let (words, tail) = data.as_chunks::<8>();
    for w in words {
        absorb(&mut v, u64::from_le_bytes(*w));
    }
    let mut last = [0u8; 8];
    last[..tail.len()].copy_from_slice(tail);
    last[7] = data.len() as u8;
    absorb(&mut v, u64::from_le_bytes(last));
    v[2] ^= 0xee;
    (0..4).for_each(|_| round(&mut v));
    let low = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    (0..4).for_each(|_| round(&mut v));
    let high = v[0] ^ v[1] ^ v[2] ^ v[3];
    u128::from(high) << 64 | u128::from(low)
}

fn absorb(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_siphash_2_4_128() {
        // Vectors of the reference implementation: key 00..0f, message 00..len-1.
        let key = Key(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        for (len, want) in [
            (0usize, "a3817f04ba25a8e66df67214c7550293"),
            (1, "da87c1d86b99af44347659119b22fc45"),
            (8, "3b62a9ba6258f5610f83e264f31497b4"),
        ] {
            let message: Vec<u8> = (0..len as u8).collect();
            let got: String = siphash128(key, &message)
                .to_le_bytes()
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            assert_eq!(got, want, "length {len}");
        }
    }

    #[test]
    fn an_id_counts_until_the_window_is_over() {
        let mut d = Dedupe::new(Key(1, 2), 1000);
        let id = d.hash(b"a");
        d.insert(id, 7, 5_000);
        assert_eq!(d.find(id, 5_999), Some(7));
        assert_eq!(d.find(id, 6_000), None);
    }

    #[test]
    fn old_generations_are_dropped_and_a_round_trip_keeps_the_rest() {
        let mut d = Dedupe::new(Key(1, 2), 1600);
        for i in 0..100u64 {
            let id = d.hash(&i.to_le_bytes());
            d.insert(id, i, i as i64 * 100);
        }
        assert!(d.len() <= 20, "{}", d.len());
        let mut out = BytesMut::new();
        d.encode(&mut out);
        let mut copy = Dedupe::new(Key(1, 2), 1600);
        copy.decode(&mut &out[..]).unwrap();
        let mut again = BytesMut::new();
        copy.encode(&mut again);
        assert_eq!(out, again);
        assert!(copy.decode(&mut &out[..out.len() - 1]).is_none());
    }
}
