//! When messages end: `Nats-TTL`, `max_age` and the markers they leave
//! (contract/jetstream.md §3, §7).
//!
//! Only the leader looks at the clock; what is due becomes a change in the log,
//! so that every replica removes the same messages at the same place.

use super::headers;
use crate::effect::Nanos;
use bytes::{BufMut, BytesMut};
use std::collections::BTreeSet;

const SECOND: Nanos = 1_000_000_000;

/// What `Nats-TTL` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// This long, whole seconds.
    Seconds(i64),
    /// For ever, whatever `max_age` says.
    Never,
}

impl Ttl {
    /// Reads a header value: seconds, a Go duration of at least one second, or
    /// `never`. `None` is 10165.
    pub fn parse(value: &[u8]) -> Option<Ttl> {
        if value.eq_ignore_ascii_case(b"never") {
            return Some(Ttl::Never);
        }
        if let Some(n) = headers::number(value) {
            return (n > 0).then_some(Ttl::Seconds(n as i64));
        }
        let ns = crate::duration::parse(std::str::from_utf8(value).ok()?)?;
        (ns >= SECOND).then_some(Ttl::Seconds(ns / SECOND))
    }

    /// When a message of time `ts` ends; `None` = never.
    pub fn end(self, ts: Nanos) -> Option<Nanos> {
        match self {
            Ttl::Seconds(s) => Some(ts.saturating_add(s.saturating_mul(SECOND))),
            Ttl::Never => None,
        }
    }
}

/// The messages with a TTL of one stream.
///
/// Entries of messages removed for other reasons stay until their time comes and
/// are then found to be void; a replaced key's entry costs 16 bytes until then.
#[derive(Debug, Default)]
pub struct Expiry {
    ends: BTreeSet<(Nanos, u64)>,
}

impl Expiry {
    /// Notes that `seq` ends at `at`.
    pub fn insert(&mut self, at: Nanos, seq: u64) {
        self.ends.insert((at, seq));
    }

    /// First end.
    pub fn next(&self) -> Option<Nanos> {
        self.ends.first().map(|e| e.0)
    }

    /// Messages whose end is at or before `now`, earliest first.
    pub fn due(&self, now: Nanos, limit: usize) -> Vec<(Nanos, u64)> {
        self.ends.range(..=(now, u64::MAX)).take(limit).copied().collect()
    }

    /// Forgets the ends of messages that expired; they are among the first.
    pub fn forget(&mut self, seqs: impl Iterator<Item = u64>) {
        let gone: hashbrown::HashSet<u64> = seqs.collect();
        let over: Vec<_> = self.ends.iter().take(gone.len() * 2).copied().collect();
        for end in over.into_iter().filter(|e| gone.contains(&e.1)) {
            self.ends.remove(&end);
        }
    }

    /// Forgets everything: the stream is empty.
    pub fn clear(&mut self) {
        self.ends.clear();
    }

    /// Heap bytes, an estimate.
    pub fn memory(&self) -> usize {
        self.ends.len() * 24
    }

    /// Appends `count u64 · n × (end i64 · seq u64)`.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u64_le(self.ends.len() as u64);
        for (at, seq) in &self.ends {
            out.put_i64_le(*at);
            out.put_u64_le(*seq);
        }
    }

    /// Reads what [`Expiry::encode`] wrote; `None` if it is cut short.
    pub fn decode(buf: &mut &[u8]) -> Option<Expiry> {
        let (n, mut rest) = buf.split_first_chunk::<8>()?;
        let mut e = Expiry::default();
        for _ in 0..u64::from_le_bytes(*n) {
            let (at, r) = rest.split_first_chunk::<8>()?;
            let (seq, r) = r.split_first_chunk::<8>()?;
            rest = r;
            e.insert(i64::from_le_bytes(*at), u64::from_le_bytes(*seq));
        }
        *buf = rest;
        Some(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttls_are_whole_seconds_or_never() {
        for (text, want) in [
            ("1", Some(Ttl::Seconds(1))),
            ("1s", Some(Ttl::Seconds(1))),
            ("1500ms", Some(Ttl::Seconds(1))),
            ("1h", Some(Ttl::Seconds(3600))),
            ("never", Some(Ttl::Never)),
            ("NEVER", Some(Ttl::Never)),
            ("0", None),
            ("-1", None),
            ("500ms", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(Ttl::parse(text.as_bytes()), want, "{text}");
        }
    }
}
