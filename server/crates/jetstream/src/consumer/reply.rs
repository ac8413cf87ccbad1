//! Reply subjects of deliveries and flow control (contract/jetstream.md §1.7),
//! written without formatting machinery because every delivery needs one.

use super::StreamFacts;
use crate::decimal::put as put_number;
use bytes::{BufMut, Bytes, BytesMut};

/// Grown in steps of this many bytes; parts are split off as replies.
const ARENA: usize = 16 << 10;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The fixed beginnings of a consumer's reply subjects, and the memory the
/// variable parts are written to.
#[derive(Debug, Default)]
pub struct Replies {
    ack: Bytes,
    flow: Bytes,
    arena: BytesMut,
}

impl Replies {
    /// For one consumer.
    pub fn new(stream: &StreamFacts, consumer: &[u8]) -> Self {
        let prefix = |kind: &[u8]| {
            let mut out = BytesMut::from(kind);
            if stream.ack_v2 {
                let domain: &[u8] = if stream.domain.is_empty() { b"_" } else { &stream.domain };
                for part in [domain, &account_hash(&stream.account)] {
                    out.put_slice(part);
                    out.put_u8(b'.');
                }
            }
            for part in [&stream.name, consumer] {
                out.put_slice(part);
                out.put_u8(b'.');
            }
            out.freeze()
        };
        Replies { ack: prefix(b"$JS.ACK."), flow: prefix(b"$JS.FC."), arena: BytesMut::new() }
    }

    /// `$JS.ACK.<stream>.<consumer>.<deliveries>.<sseq>.<dseq>.<ts>.<pending>`.
    pub fn ack(&mut self, deliveries: u64, sseq: u64, dseq: u64, ts: i64, pending: u64) -> Bytes {
        // Five numbers of at most 20 digits, a sign and four dots.
        let need = self.ack.len() + 105;
        let prefix = self.ack.clone();
        let out = self.room(need);
        out.put_slice(&prefix);
        put_number(out, deliveries);
        for v in [sseq, dseq] {
            out.put_u8(b'.');
            put_number(out, v);
        }
        out.put_u8(b'.');
        if ts < 0 {
            out.put_u8(b'-');
        }
        put_number(out, ts.unsigned_abs());
        out.put_u8(b'.');
        put_number(out, pending);
        out.split().freeze()
    }

    /// `$JS.FC.<stream>.<consumer>.<4 chars>`.
    pub fn flow(&mut self, random: u64) -> Bytes {
        let prefix = self.flow.clone();
        let out = self.room(prefix.len() + 4);
        out.put_slice(&prefix);
        put_random(out, random, 4);
        out.split().freeze()
    }

    /// An empty buffer with room for `need` bytes; `split` what was written.
    pub fn room(&mut self, need: usize) -> &mut BytesMut {
        if self.arena.capacity() < need {
            self.arena = BytesMut::with_capacity(ARENA.max(need));
        }
        &mut self.arena
    }
}

/// Appends `n` base62 characters made from `random`.
pub fn put_random(out: &mut BytesMut, mut random: u64, n: usize) {
    for _ in 0..n {
        out.put_u8(DIGITS[(random % 62) as usize]);
        random /= 62;
    }
}

/// Eight characters that stand for an account in v2 reply subjects.
pub fn account_hash(account: &[u8]) -> [u8; 8] {
    let digest = ring::digest::digest(&ring::digest::SHA256, account);
    let mut out = [b'0'; 8];
    for (o, b) in out.iter_mut().zip(digest.as_ref()) {
        *o = DIGITS[usize::from(b % 62)];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::AckSubject;

    fn facts(v2: bool) -> StreamFacts {
        StreamFacts { ack_v2: v2, account: Bytes::from_static(b"$G"), ..StreamFacts::named("S") }
    }

    #[test]
    fn replies_have_the_two_forms_and_are_read_back() {
        for (v2, text) in [
            (false, "$JS.ACK.S.c.2.18446744073709551615.3.1700000000000000001.0"),
            (true, "$JS.ACK._.szMpdrwD.S.c.2.18446744073709551615.3.1700000000000000001.0"),
        ] {
            let mut r = Replies::new(&facts(v2), b"c");
            let got = r.ack(2, u64::MAX, 3, 1_700_000_000_000_000_001, 0);
            assert_eq!(got, text);
            let a = AckSubject::parse(&got).unwrap();
            assert_eq!((a.stream, a.consumer), (&b"S"[..], &b"c"[..]));
            assert_eq!((a.deliveries, a.stream_seq, a.consumer_seq), (2, u64::MAX, 3));
            assert_eq!((a.timestamp, a.pending), (1_700_000_000_000_000_001, 0));
        }
    }
}
