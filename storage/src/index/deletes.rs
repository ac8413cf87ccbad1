//! Interior deletes: a set of sequences, at most about one bit per sequence.
//!
//! Sequences are grouped in chunks of 65 536. A sparse chunk is a sorted list of
//! 16-bit values, a dense one a bitmap of 8 KiB; chunks that are deleted
//! completely cost nothing of their own and are kept as runs of chunks, so a
//! gap of any width is one map entry.

use bytes::{Buf, BufMut, BytesMut};
use std::collections::BTreeMap;

/// Sequences per chunk.
const CHUNK: u64 = 1 << 16;
/// A list longer than this becomes a bitmap: inserting moves ≤ 2 KiB.
const MAX_LIST: usize = 1024;
/// Words of a bitmap.
const WORDS: usize = (CHUNK / 64) as usize;

/// A set of sequences.
#[derive(Debug, Clone, Default)]
pub struct Deletes {
    chunks: BTreeMap<u64, Chunk>,
    /// First chunk → one past the last chunk of a run of full chunks.
    runs: BTreeMap<u64, u64>,
    len: u64,
}

#[derive(Debug, Clone)]
enum Chunk {
    List(Vec<u16>),
    Bits(Box<Bits>),
}

#[derive(Debug, Clone)]
struct Bits {
    words: [u64; WORDS],
    len: u32,
}

impl Deletes {
    /// Members.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Deletes::default();
    }

    /// Adds `seq`; whether it was new.
    pub fn insert(&mut self, seq: u64) -> bool {
        let (key, low) = split(seq);
        if self.in_run(key) {
            return false;
        }
        let chunk = self.chunks.entry(key).or_insert_with(|| Chunk::List(Vec::new()));
        if !chunk.insert(low) {
            return false;
        }
        self.len += 1;
        if chunk.len() == CHUNK {
            self.chunks.remove(&key);
            self.add_run(key, key + 1);
        }
        true
    }

    /// Adds `from..=to`; how many were new.
    pub fn insert_range(&mut self, from: u64, to: u64) -> u64 {
        if from > to {
            return 0;
        }
        let before = self.len;
        let (first, low) = split(from);
        let (last, high) = split(to);
        if first == last {
            self.insert_span(first, low, high);
            return self.len - before;
        }
        self.insert_span(first, low, u16::MAX);
        self.insert_span(last, 0, high);
        if first + 1 < last {
            self.insert_chunks(first + 1, last);
        }
        self.len - before
    }

    /// Whether `seq` is a member.
    pub fn contains(&self, seq: u64) -> bool {
        if self.len == 0 {
            return false;
        }
        let (key, low) = split(seq);
        match self.chunks.get(&key) {
            Some(chunk) => chunk.contains(low),
            None => self.in_run(key),
        }
    }

    /// Forgets every member below `seq`.
    pub fn remove_below(&mut self, seq: u64) {
        if self.len == 0 {
            return;
        }
        let (key, low) = split(seq);
        let mut gone = 0;
        while let Some(e) = self.chunks.first_entry() {
            if *e.key() >= key {
                break;
            }
            gone += e.remove().len();
        }
        while let Some((&start, &end)) = self.runs.first_key_value() {
            if start >= key {
                break;
            }
            self.runs.remove(&start);
            gone += (end.min(key) - start) * CHUNK;
            if end > key {
                self.runs.insert(key, end);
            }
        }
        if low > 0 {
            if self.in_run(key) {
                self.unrun(key);
                self.len -= gone;
                gone = 0;
                self.insert_span(key, low, u16::MAX);
            } else if let Some(chunk) = self.chunks.get_mut(&key) {
                gone += chunk.remove_below(low);
                if chunk.len() == 0 {
                    self.chunks.remove(&key);
                }
            }
        }
        self.len -= gone;
    }

    /// Members in `from..=to`.
    pub fn count(&self, from: u64, to: u64) -> u64 {
        if from > to || self.len == 0 {
            return 0;
        }
        let (first, low) = split(from);
        let (last, high) = split(to);
        let mut n = 0;
        for (&key, chunk) in self.chunks.range(first..=last) {
            let lo = if key == first { low } else { 0 };
            let hi = if key == last { high } else { u16::MAX };
            n += chunk.count(lo, hi);
        }
        let start = self.runs.range(..=first).next_back().map_or(first, |(&s, _)| s);
        for (&s, &e) in self.runs.range(start..=last) {
            let a = (s * CHUNK).max(from);
            let b = (e * CHUNK - 1).min(to);
            if a <= b {
                n += b - a + 1;
            }
        }
        n
    }

    /// The lowest sequence ≥ `from` that is not a member.
    pub fn next_absent(&self, from: u64) -> u64 {
        if self.len == 0 {
            return from;
        }
        let mut at = from;
        loop {
            let (key, low) = split(at);
            if let Some(chunk) = self.chunks.get(&key) {
                match chunk.next(low, false) {
                    Some(v) => return key * CHUNK + u64::from(v),
                    None => at = (key + 1) * CHUNK,
                }
            } else if let Some(end) = self.run_end(key) {
                at = end * CHUNK;
            } else {
                return at;
            }
        }
    }

    /// The highest sequence ≤ `from` that is not a member.
    pub fn prev_absent(&self, from: u64) -> Option<u64> {
        let mut at = from;
        loop {
            let (key, low) = split(at);
            let below = if let Some(chunk) = self.chunks.get(&key) {
                match chunk.prev_absent(low) {
                    Some(v) => return Some(key * CHUNK + u64::from(v)),
                    None => key * CHUNK,
                }
            } else if let Some((&start, _)) =
                self.runs.range(..=key).next_back().filter(|(_, e)| **e > key)
            {
                start * CHUNK
            } else {
                return Some(at);
            };
            at = below.checked_sub(1)?;
        }
    }

    /// The lowest member ≥ `from`.
    pub fn next(&self, from: u64) -> Option<u64> {
        let (key, low) = split(from);
        if self.in_run(key) {
            return Some(from);
        }
        let run = self.runs.range(key..).next().map(|(&s, _)| s * CHUNK);
        for (&k, chunk) in self.chunks.range(key..) {
            if run.is_some_and(|r| r < k * CHUNK) {
                break;
            }
            let lo = if k == key { low } else { 0 };
            if let Some(v) = chunk.next(lo, true) {
                return Some(k * CHUNK + u64::from(v));
            }
        }
        run
    }

    /// Members as inclusive ranges, ascending, from `from` on.
    pub fn ranges(&self, from: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut at = from;
        std::iter::from_fn(move || {
            let start = self.next(at)?;
            let end = self.next_absent(start);
            at = end;
            Some((start, end - 1))
        })
    }

    /// Heap bytes, estimated.
    pub fn memory(&self) -> usize {
        let chunks: usize = self.chunks.values().map(|c| 48 + c.memory()).sum();
        chunks + self.runs.len() * 24
    }

    /// Appends the encoding (`storage/docs/checkpoint.md`, section deletes).
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u32_le(self.runs.len() as u32);
        for (&s, &e) in &self.runs {
            out.put_u64_le(s);
            out.put_u64_le(e);
        }
        out.put_u32_le(self.chunks.len() as u32);
        for (&key, chunk) in &self.chunks {
            out.put_u64_le(key);
            match chunk {
                Chunk::List(l) => {
                    out.put_u32_le(l.len() as u32);
                    l.iter().for_each(|v| out.put_u16_le(*v));
                }
                Chunk::Bits(b) => {
                    out.put_u32_le(u32::MAX);
                    b.words.iter().for_each(|w| out.put_u64_le(*w));
                }
            }
        }
    }

    /// Reads what [`Deletes::encode`] wrote; `None` if it cannot be that.
    pub fn decode(buf: &mut &[u8]) -> Option<Deletes> {
        let mut d = Deletes::default();
        for _ in 0..buf.try_get_u32_le().ok()? {
            let s = buf.try_get_u64_le().ok()?;
            let e = buf.try_get_u64_le().ok()?;
            if s >= e || e > u64::MAX / CHUNK {
                return None;
            }
            d.insert_chunks(s, e);
        }
        for _ in 0..buf.try_get_u32_le().ok()? {
            let key = buf.try_get_u64_le().ok()?;
            let n = buf.try_get_u32_le().ok()?;
            let chunk = if n == u32::MAX {
                let mut bits = Bits::new();
                for w in bits.words.iter_mut() {
                    *w = buf.try_get_u64_le().ok()?;
                    bits.len += w.count_ones();
                }
                Chunk::Bits(bits)
            } else {
                let mut list = Vec::with_capacity((n as usize).min(MAX_LIST));
                for _ in 0..n {
                    let v = buf.try_get_u16_le().ok()?;
                    if list.last().is_some_and(|l| *l >= v) {
                        return None;
                    }
                    list.push(v);
                }
                Chunk::List(list)
            };
            d.len += chunk.len();
            if d.in_run(key) || d.chunks.insert(key, chunk).is_some() {
                return None;
            }
        }
        Some(d)
    }

    fn in_run(&self, key: u64) -> bool {
        self.run_end(key).is_some()
    }

    fn run_end(&self, key: u64) -> Option<u64> {
        self.runs.range(..=key).next_back().map(|(_, &e)| e).filter(|e| *e > key)
    }

    fn insert_span(&mut self, key: u64, low: u16, high: u16) {
        if self.in_run(key) {
            return;
        }
        if low == 0 && high == u16::MAX {
            return self.insert_chunks(key, key + 1);
        }
        let chunk = self.chunks.entry(key).or_insert_with(|| Chunk::List(Vec::new()));
        let before = chunk.len();
        chunk.insert_span(low, high);
        self.len += chunk.len() - before;
        if chunk.len() == CHUNK {
            self.chunks.remove(&key);
            self.add_run(key, key + 1);
        }
    }

    /// Makes `first..end` full chunks and counts what that adds.
    fn insert_chunks(&mut self, first: u64, end: u64) {
        let mut had = 0;
        let inside: Vec<u64> = self.chunks.range(first..end).map(|(k, _)| *k).collect();
        for key in inside {
            had += self.chunks.remove(&key).map_or(0, |c| c.len());
        }
        let start = self.runs.range(..=first).next_back().map_or(first, |(&s, _)| s);
        for (&s, &e) in self.runs.range(start..end) {
            let (a, b) = (s.max(first), e.min(end));
            if a < b {
                had += (b - a) * CHUNK;
            }
        }
        self.len += (end - first) * CHUNK - had;
        self.add_run(first, end);
    }

    /// Adds `first..end` to the runs, joining neighbours; counts nothing.
    fn add_run(&mut self, mut first: u64, mut end: u64) {
        while let Some((&s, &e)) = self.runs.range(..=end).next_back() {
            if e < first {
                break;
            }
            self.runs.remove(&s);
            first = first.min(s);
            end = end.max(e);
        }
        self.runs.insert(first, end);
    }

    /// Takes one full chunk out of its run (its members are no longer members).
    fn unrun(&mut self, key: u64) {
        let Some((&s, &e)) = self.runs.range(..=key).next_back() else { return };
        self.runs.remove(&s);
        if s < key {
            self.runs.insert(s, key);
        }
        if key + 1 < e {
            self.runs.insert(key + 1, e);
        }
        self.len -= CHUNK;
    }
}

impl Chunk {
    fn len(&self) -> u64 {
        match self {
            Chunk::List(l) => l.len() as u64,
            Chunk::Bits(b) => u64::from(b.len),
        }
    }

    fn memory(&self) -> usize {
        match self {
            Chunk::List(l) => l.capacity() * 2,
            Chunk::Bits(_) => size_of::<Bits>(),
        }
    }

    fn contains(&self, v: u16) -> bool {
        match self {
            Chunk::List(l) => l.binary_search(&v).is_ok(),
            Chunk::Bits(b) => b.get(v),
        }
    }

    fn insert(&mut self, v: u16) -> bool {
        match self {
            Chunk::List(l) => {
                // Heads and tails arrive in order most of the time.
                let at = if l.last().is_none_or(|x| *x < v) {
                    l.len()
                } else {
                    match l.binary_search(&v) {
                        Ok(_) => return false,
                        Err(at) => at,
                    }
                };
                if l.len() < MAX_LIST {
                    l.insert(at, v);
                } else {
                    self.widen().set(v);
                }
                true
            }
            Chunk::Bits(b) => b.set(v),
        }
    }

    fn insert_span(&mut self, low: u16, high: u16) {
        if usize::from(high - low) < 16 {
            (low..=high).for_each(|v| {
                self.insert(v);
            });
            return;
        }
        let bits = self.widen();
        (low..=high).for_each(|v| {
            bits.set(v);
        });
    }

    fn widen(&mut self) -> &mut Bits {
        if let Chunk::List(l) = self {
            let mut bits = Bits::new();
            for v in l.iter() {
                bits.set(*v);
            }
            *self = Chunk::Bits(bits);
        }
        match self {
            Chunk::Bits(b) => b,
            Chunk::List(_) => unreachable!("just converted"),
        }
    }

    fn remove_below(&mut self, low: u16) -> u64 {
        let before = self.len();
        match self {
            Chunk::List(l) => l.retain(|v| *v >= low),
            Chunk::Bits(b) => {
                let word = usize::from(low) / 64;
                b.words[..word].fill(0);
                b.words[word] &= !0 << (low % 64);
                b.len = b.words.iter().map(|w| w.count_ones()).sum();
            }
        }
        before - self.len()
    }

    fn count(&self, low: u16, high: u16) -> u64 {
        match self {
            Chunk::List(l) => {
                let a = l.partition_point(|v| *v < low);
                let b = l.partition_point(|v| *v <= high);
                (b - a) as u64
            }
            Chunk::Bits(b) if low == 0 && high == u16::MAX => u64::from(b.len),
            Chunk::Bits(b) => {
                let (wa, wb) = (usize::from(low) / 64, usize::from(high) / 64);
                let mut n = 0;
                for w in wa..=wb {
                    let mut word = b.words[w];
                    if w == wa {
                        word &= !0 << (low % 64);
                    }
                    if w == wb {
                        word &= !0 >> (63 - high % 64);
                    }
                    n += u64::from(word.count_ones());
                }
                n
            }
        }
    }

    /// The lowest value ≥ `low` whose membership is `member`.
    fn next(&self, low: u16, member: bool) -> Option<u16> {
        match self {
            Chunk::List(l) => {
                let at = l.partition_point(|v| *v < low);
                if member {
                    return l.get(at).copied();
                }
                let mut want = low;
                for v in &l[at..] {
                    if *v != want {
                        break;
                    }
                    want = want.checked_add(1)?;
                }
                Some(want)
            }
            Chunk::Bits(b) => {
                let first = usize::from(low) / 64;
                for w in first..WORDS {
                    let mut word = if member { b.words[w] } else { !b.words[w] };
                    if w == first {
                        word &= !0 << (low % 64);
                    }
                    if word != 0 {
                        return Some((w * 64) as u16 + word.trailing_zeros() as u16);
                    }
                }
                None
            }
        }
    }

    /// The highest value ≤ `high` that is not a member.
    fn prev_absent(&self, high: u16) -> Option<u16> {
        match self {
            Chunk::List(l) => {
                let at = l.partition_point(|v| *v <= high);
                let mut want = high;
                for v in l[..at].iter().rev() {
                    if *v != want {
                        break;
                    }
                    want = want.checked_sub(1)?;
                }
                Some(want)
            }
            Chunk::Bits(b) => {
                let last = usize::from(high) / 64;
                for w in (0..=last).rev() {
                    let mut word = !b.words[w];
                    if w == last {
                        word &= !0 >> (63 - high % 64);
                    }
                    if word != 0 {
                        return Some((w * 64) as u16 + 63 - word.leading_zeros() as u16);
                    }
                }
                None
            }
        }
    }
}

impl Bits {
    fn new() -> Box<Bits> {
        Box::new(Bits { words: [0; WORDS], len: 0 })
    }

    fn get(&self, v: u16) -> bool {
        self.words[usize::from(v) / 64] >> (v % 64) & 1 == 1
    }

    fn set(&mut self, v: u16) -> bool {
        let word = &mut self.words[usize::from(v) / 64];
        let bit = 1 << (v % 64);
        let new = *word & bit == 0;
        *word |= bit;
        self.len += u32::from(new);
        new
    }
}

fn split(seq: u64) -> (u64, u16) {
    (seq / CHUNK, (seq % CHUNK) as u16)
}
