//! What an ack's subject says (contract/jetstream.md §1.7).

use crate::decimal::parse as number;

/// The fields of `$JS.ACK.…`: which delivery an acknowledgement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckSubject<'a> {
    /// Stream.
    pub stream: &'a [u8],
    /// Consumer.
    pub consumer: &'a [u8],
    /// How often the message had been delivered.
    pub deliveries: u64,
    /// Its sequence in the stream.
    pub stream_seq: u64,
    /// Sequence of the delivery.
    pub consumer_seq: u64,
    /// When the message was stored, ns.
    pub timestamp: i64,
    /// Messages matching after this one.
    pub pending: u64,
}

/// Tokens of a version 1 subject.
const V1_TOKENS: usize = 9;
/// Least tokens of a version 2 subject, which begins with domain and account
/// hash; more are accepted.
const V2_TOKENS: usize = 11;

impl<'a> AckSubject<'a> {
    /// Reads either version; `None` when it is neither.
    pub fn parse(subject: &'a [u8]) -> Option<Self> {
        let mut tokens = [&b""[..]; V2_TOKENS];
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
        let rest = match n {
            V1_TOKENS => &tokens[2..],
            V2_TOKENS.. => &tokens[4..],
            _ => return None,
        };
        let &[stream, consumer, deliveries, stream_seq, consumer_seq, timestamp, pending] =
            rest.first_chunk::<7>()?;
        if stream.is_empty() || consumer.is_empty() {
            return None;
        }
        Some(AckSubject {
            stream,
            consumer,
            deliveries: number(deliveries)?,
            stream_seq: number(stream_seq)?,
            consumer_seq: number(consumer_seq)?,
            timestamp: i64::try_from(number(timestamp)?).ok()?,
            pending: number(pending)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions() {
        for subject in [
            "$JS.ACK.S.c.1.2.3.1700000000000000001.5",
            "$JS.ACK._.szMpdrwD.S.c.1.2.3.1700000000000000001.5",
            "$JS.ACK.d.h.S.c.1.2.3.1700000000000000001.5.rnd.more.and.more",
        ] {
            let ack = AckSubject::parse(subject.as_bytes()).unwrap();
            assert_eq!((ack.stream, ack.consumer), (&b"S"[..], &b"c"[..]));
            assert_eq!((ack.deliveries, ack.stream_seq, ack.consumer_seq), (1, 2, 3));
            assert_eq!((ack.timestamp, ack.pending), (1_700_000_000_000_000_001, 5));
        }
    }

    #[test]
    fn odd_subjects_are_refused() {
        for bad in [
            "",
            "$JS.ACK",
            "$JS.ACK.S.c.1.2.3.4",
            "$JS.ACK.S.c.1.2.3.4.5.6",
            "$JS.ACK.S.c.1.2.3.4.x",
            "$JS.ACK.S.c.x.2.3.4.5",
            "$JS.ACK.S.c.1.-2.3.4.5",
            "$JS.ACK.S.c.1.99999999999999999999.3.4.5",
            "$JS.ACK.S..1.2.3.4.5",
            "$JS.FC.S.c.x",
            "a.b.S.c.1.2.3.4.5",
        ] {
            assert_eq!(AckSubject::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
