//! Ack and flow control subjects (contract/jetstream.md §1.7).

use bytes::{BufMut, BytesMut};
use smallvec::SmallVec;

/// `$JS.ACK.…`: which delivery an acknowledgement is about. Borrowed tokens;
/// `domain` and `account_hash` are empty in the first version of the subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AckSubject<'a> {
    /// Domain, `_` if none; empty = version 1.
    pub domain: &'a [u8],
    /// Hash of the account's name; empty = version 1.
    pub account_hash: &'a [u8],
    /// Stream.
    pub stream: &'a [u8],
    /// Consumer.
    pub consumer: &'a [u8],
    /// How many times the message was delivered.
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
/// Least tokens of a version 2 subject; more are accepted.
const V2_TOKENS: usize = 11;

impl<'a> AckSubject<'a> {
    /// Reads either version; `None` when it is neither.
    pub fn parse(subject: &'a [u8]) -> Option<AckSubject<'a>> {
        let rest = subject.strip_prefix(b"$JS.ACK.")?;
        let tokens: SmallVec<[&[u8]; 12]> = rest.split(|b| *b == b'.').take(12).collect();
        let (domain, account_hash, tokens) = match tokens.len() + 2 {
            V1_TOKENS => (&b""[..], &b""[..], &tokens[..]),
            V2_TOKENS.. => (tokens[0], tokens[1], &tokens[2..]),
            _ => return None,
        };
        let &[stream, consumer, deliveries, stream_seq, consumer_seq, timestamp, pending, ..] =
            tokens
        else {
            return None;
        };
        if stream.is_empty() || consumer.is_empty() {
            return None;
        }
        Some(AckSubject {
            domain,
            account_hash,
            stream,
            consumer,
            deliveries: number(deliveries)?,
            stream_seq: number(stream_seq)?,
            consumer_seq: number(consumer_seq)?,
            timestamp: i64::try_from(number(timestamp)?).ok()?,
            pending: number(pending)?,
        })
    }

    /// Appends the subject: version 2 when `account_hash` is set.
    pub fn put(&self, out: &mut BytesMut) {
        out.reserve(64 + self.stream.len() + self.consumer.len());
        put_prefix(out, b"$JS.ACK.", self.domain, self.account_hash);
        out.put_slice(self.stream);
        out.put_u8(b'.');
        out.put_slice(self.consumer);
        let numbers =
            [self.deliveries, self.stream_seq, self.consumer_seq, self.timestamp.max(0) as u64];
        for n in numbers.into_iter().chain([self.pending]) {
            out.put_u8(b'.');
            put_decimal(out, n);
        }
    }
}

/// `$JS.FC.…`: where flow control is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowControlSubject<'a> {
    /// Domain, `_` if none; empty = version 1.
    pub domain: &'a [u8],
    /// Hash of the account's name; empty = version 1.
    pub account_hash: &'a [u8],
    /// Stream.
    pub stream: &'a [u8],
    /// Consumer.
    pub consumer: &'a [u8],
    /// Which request is answered.
    pub id: &'a [u8],
}

impl<'a> FlowControlSubject<'a> {
    /// Reads either version; `None` when it is neither.
    pub fn parse(subject: &'a [u8]) -> Option<FlowControlSubject<'a>> {
        let rest = subject.strip_prefix(b"$JS.FC.")?;
        let tokens: SmallVec<[&[u8]; 6]> = rest.split(|b| *b == b'.').take(6).collect();
        let (domain, account_hash, stream, consumer, id) = match tokens[..] {
            [stream, consumer, id] => (&b""[..], &b""[..], stream, consumer, id),
            [domain, hash, stream, consumer, id] => (domain, hash, stream, consumer, id),
            _ => return None,
        };
        let whole = !stream.is_empty() && !consumer.is_empty() && !id.is_empty();
        whole.then_some(FlowControlSubject { domain, account_hash, stream, consumer, id })
    }

    /// Appends the subject: version 2 when `account_hash` is set.
    pub fn put(&self, out: &mut BytesMut) {
        put_prefix(out, b"$JS.FC.", self.domain, self.account_hash);
        out.put_slice(self.stream);
        out.put_u8(b'.');
        out.put_slice(self.consumer);
        out.put_u8(b'.');
        out.put_slice(self.id);
    }
}

fn put_prefix(out: &mut BytesMut, prefix: &[u8], domain: &[u8], account_hash: &[u8]) {
    out.put_slice(prefix);
    if !account_hash.is_empty() {
        out.put_slice(if domain.is_empty() { b"_" } else { domain });
        out.put_u8(b'.');
        out.put_slice(account_hash);
        out.put_u8(b'.');
    }
}

/// Decimal digits only, and no overflow.
fn number(token: &[u8]) -> Option<u64> {
    if token.is_empty() {
        return None;
    }
    token.iter().try_fold(0u64, |n, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// Appends `n` in decimal without allocating.
pub(crate) fn put_decimal(out: &mut BytesMut, mut n: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}
