//! Reply subjects of deliveries and flow control (contract/jetstream.md §1.7),
//! written without formatting machinery because every delivery needs one.

use super::StreamFacts;
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

/// Appends a decimal number.
pub fn put_number(out: &mut BytesMut, mut v: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (v % 10) as u8;
        v /= 10;
        if v == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
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

/// The fields of an ack's subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckSubject<'a> {
    /// Stream name.
    pub stream: &'a [u8],
    /// Consumer name.
    pub consumer: &'a [u8],
    /// How often the message had been delivered.
    pub deliveries: u64,
    /// Stream sequence.
    pub sseq: u64,
    /// Delivery sequence.
    pub dseq: u64,
}

impl<'a> AckSubject<'a> {
    /// Reads both forms: 9 tokens, or 11 and more.
    pub fn parse(subject: &'a [u8]) -> Option<Self> {
        let mut tokens = [&b""[..]; 12];
        let mut n = 0;
        for t in subject.split(|b| *b == b'.') {
            if let Some(slot) = tokens.get_mut(n) {
                *slot = t;
            }
            n += 1;
        }
        if tokens[0] != b"$JS" || tokens[1] != b"ACK" {
            return None;
        }
        let [stream, consumer, deliveries, sseq, dseq, ..] = match n {
            9 => tokens[2..].first_chunk::<7>()?,
            11.. => tokens[4..].first_chunk::<7>()?,
            _ => return None,
        };
        Some(AckSubject {
            stream,
            consumer,
            deliveries: number(deliveries)?,
            sseq: number(sseq)?,
            dseq: number(dseq)?,
        })
    }
}

/// A decimal number without sign.
pub fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    text.iter().try_fold(0u64, |v, b| {
        let digit = b.checked_sub(b'0').filter(|d| *d < 10)?;
        v.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!((a.deliveries, a.sseq, a.dseq), (2, u64::MAX, 3));
        }
    }

    #[test]
    fn odd_subjects_are_refused() {
        for bad in [
            "",
            "$JS.ACK",
            "$JS.ACK.S.c.1.2.3.4",
            "$JS.ACK.S.c.1.2.3.4.5.6",
            "$JS.ACK.S.c.x.2.3.4.5",
            "$JS.ACK.S.c.1.-2.3.4.5",
            "$JS.ACK.S.c.1.99999999999999999999.3.4.5",
            "a.b.S.c.1.2.3.4.5",
        ] {
            assert_eq!(AckSubject::parse(bad.as_bytes()), None, "{bad}");
        }
        assert!(AckSubject::parse(b"$JS.ACK._.h.S.c.1.2.3.4.5.x.y.z").is_some());
    }
}
