//! The header block of a message: what a stream reads from it and changes in it.
//!
//! Keys are compared exactly, the first of equal keys counts, as nats-server
//! does (contract/jetstream.md §3).

use bytes::{BufMut, Bytes, BytesMut};

/// Names of headers the stream knows.
pub mod name {
    #![allow(missing_docs)] // The value is the documentation.
    pub const MSG_ID: &[u8] = b"Nats-Msg-Id";
    pub const EXPECTED_STREAM: &[u8] = b"Nats-Expected-Stream";
    pub const EXPECTED_LAST_SEQ: &[u8] = b"Nats-Expected-Last-Sequence";
    pub const EXPECTED_SUBJECT_SEQ: &[u8] = b"Nats-Expected-Last-Subject-Sequence";
    pub const EXPECTED_SUBJECT: &[u8] = b"Nats-Expected-Last-Subject-Sequence-Subject";
    pub const EXPECTED_LAST_ID: &[u8] = b"Nats-Expected-Last-Msg-Id";
    pub const ROLLUP: &[u8] = b"Nats-Rollup";
    pub const TTL: &[u8] = b"Nats-TTL";
    pub const INCR: &[u8] = b"Nats-Incr";
    pub const COUNTER_SOURCES: &[u8] = b"Nats-Counter-Sources";
    pub const MARKER_REASON: &[u8] = b"Nats-Marker-Reason";
    pub const SOURCE: &[u8] = b"Nats-Stream-Source";
    pub const REQUIRED_LEVEL: &[u8] = b"Nats-Required-Api-Level";
    pub const BATCH_ID: &[u8] = b"Nats-Batch-Id";
    pub const BATCH_SEQ: &[u8] = b"Nats-Batch-Sequence";
    pub const BATCH_COMMIT: &[u8] = b"Nats-Batch-Commit";
    pub const SCHEDULE: &[u8] = b"Nats-Schedule";
    pub const SCHEDULE_TTL: &[u8] = b"Nats-Schedule-TTL";
    pub const SCHEDULE_TARGET: &[u8] = b"Nats-Schedule-Target";
    pub const SCHEDULE_SOURCE: &[u8] = b"Nats-Schedule-Source";
    pub const SCHEDULE_ROLLUP: &[u8] = b"Nats-Schedule-Rollup";
    pub const SCHEDULE_ZONE: &[u8] = b"Nats-Schedule-Time-Zone";
    pub const SCHEDULE_NEXT: &[u8] = b"Nats-Schedule-Next";
    pub const SCHEDULER: &[u8] = b"Nats-Scheduler";
    pub const CLIENT_INFO: &[u8] = b"Nats-Request-Info";
}

/// First line of a block without status, with its end.
pub const HEAD: &[u8] = b"NATS/1.0\r\n";

/// One line of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Before the colon.
    pub key: &'a [u8],
    /// After the colon, blanks around it removed.
    pub value: &'a [u8],
    /// The line with its end.
    pub raw: &'a [u8],
}

/// The lines after the first one. Lines without a colon are left out.
pub fn lines(block: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut rest = match memchr::memmem::find(block, b"\r\n") {
        Some(end) => &block[end + 2..],
        None => &[],
    };
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() || rest.starts_with(b"\r\n") {
                return None;
            }
            let end = memchr::memmem::find(rest, b"\r\n").unwrap_or(rest.len());
            let (line, after) = rest.split_at(end);
            let raw = &rest[..(end + 2).min(rest.len())];
            rest = after.get(2..).unwrap_or_default();
            if let Some(colon) = memchr::memchr(b':', line) {
                let value = line[colon + 1..].trim_ascii();
                return Some(Line { key: &line[..colon], value, raw });
            }
        }
    })
}

/// Value of the first header called `key`.
pub fn get<'a>(block: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    if block.is_empty() {
        return None;
    }
    lines(block).find(|l| l.key == key).map(|l| l.value)
}

/// `block` with one more header at its end; an empty block becomes one.
pub fn add(block: &[u8], key: &[u8], value: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(block.len() + key.len() + value.len() + 16);
    begin(&mut out, block);
    put(&mut out, key, value);
    out.put_slice(b"\r\n");
    out.freeze()
}

/// `block` with `key` set to `value`, at the end.
pub fn set(block: &[u8], key: &[u8], value: &[u8]) -> Bytes {
    let without = retain(block, |k| k != key);
    add(&without, key, value)
}

/// `block` with only the headers `keep` wants; empty if none is left.
pub fn retain(block: &[u8], keep: impl Fn(&[u8]) -> bool) -> Bytes {
    let mut out = BytesMut::with_capacity(block.len());
    for line in lines(block).filter(|l| keep(l.key)) {
        if out.is_empty() {
            out.put_slice(HEAD);
        }
        out.put_slice(line.raw);
    }
    if !out.is_empty() {
        out.put_slice(b"\r\n");
    }
    out.freeze()
}

/// Starts a block that continues `block`: everything but its closing line.
pub fn begin(out: &mut BytesMut, block: &[u8]) {
    match block.strip_suffix(b"\r\n") {
        Some(open) if open.len() >= HEAD.len() => out.put_slice(open),
        _ => out.put_slice(HEAD),
    }
}

/// Appends one header line.
pub fn put(out: &mut BytesMut, key: &[u8], value: &[u8]) {
    out.put_slice(key);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// Appends one header line with a number.
pub fn put_number(out: &mut BytesMut, key: &[u8], n: u64) {
    out.put_slice(key);
    out.put_slice(b": ");
    crate::decimal::put(out, n);
    out.put_slice(b"\r\n");
}

/// The block as it is stored: without an inline status and without the header
/// the server adds to requests that crossed accounts.
pub fn stored(block: &Bytes) -> Bytes {
    if block.is_empty() {
        return Bytes::new();
    }
    if block.starts_with(HEAD) && get(block, name::CLIENT_INFO).is_none() {
        return block.clone();
    }
    retain(block, |k| k != name::CLIENT_INFO)
}

/// Everything a publish may say in its headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublishHeaders<'a> {
    /// `Nats-Msg-Id`, not empty.
    pub id: Option<&'a [u8]>,
    /// `Nats-Expected-Stream`.
    pub stream: Option<&'a [u8]>,
    /// `Nats-Expected-Last-Sequence`; text that is no number never matches.
    pub last_seq: Option<u64>,
    /// `Nats-Expected-Last-Subject-Sequence`.
    pub subject_seq: Option<u64>,
    /// `Nats-Expected-Last-Subject-Sequence-Subject`.
    pub subject: Option<&'a [u8]>,
    /// `Nats-Expected-Last-Msg-Id`.
    pub last_id: Option<&'a [u8]>,
    /// `Nats-Rollup`.
    pub rollup: Option<&'a [u8]>,
    /// `Nats-TTL`.
    pub ttl: Option<&'a [u8]>,
    /// `Nats-Incr`.
    pub incr: Option<&'a [u8]>,
    /// `Nats-Stream-Source`.
    pub source: Option<&'a [u8]>,
    /// `Nats-Batch-Id`; may be empty.
    pub batch: Option<&'a [u8]>,
    /// Whether any `Nats-Schedule…` header is there.
    pub scheduled: bool,
}

impl<'a> PublishHeaders<'a> {
    /// Reads a block; unknown headers cost one comparison.
    pub fn read(block: &'a [u8]) -> PublishHeaders<'a> {
        let mut h = PublishHeaders::default();
        if block.is_empty() {
            return h;
        }
        for Line { key, value, .. } in lines(block) {
            if !key.starts_with(b"Nats-") {
                continue;
            }
            let field = match key {
                name::MSG_ID => &mut h.id,
                name::EXPECTED_STREAM => &mut h.stream,
                name::EXPECTED_SUBJECT => &mut h.subject,
                name::EXPECTED_LAST_ID => &mut h.last_id,
                name::ROLLUP => &mut h.rollup,
                name::TTL => &mut h.ttl,
                name::INCR => &mut h.incr,
                name::SOURCE => &mut h.source,
                name::BATCH_ID => {
                    h.batch = h.batch.or(Some(value));
                    continue;
                }
                name::EXPECTED_LAST_SEQ => {
                    h.last_seq = h.last_seq.or(number_or_max(value));
                    continue;
                }
                name::EXPECTED_SUBJECT_SEQ => {
                    h.subject_seq = h.subject_seq.or(number_or_max(value));
                    continue;
                }
                _ => {
                    h.scheduled |= key.starts_with(name::SCHEDULE) || key == name::SCHEDULER;
                    continue;
                }
            };
            if field.is_none() && !value.is_empty() {
                *field = Some(value);
            }
        }
        h
    }
}

/// A header's number; empty counts as absent, anything else as no match.
fn number_or_max(value: &[u8]) -> Option<u64> {
    if value.is_empty() { None } else { Some(number(value).unwrap_or(u64::MAX)) }
}

/// Decimal digits below 2^63, nothing else.
pub fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    let n = value.iter().try_fold(0u64, |n, b| {
        b.is_ascii_digit().then(|| n.wrapping_mul(10).wrapping_add(u64::from(b - b'0')))
    })?;
    (n <= i64::MAX as u64).then_some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_keys_counts_and_case_matters() {
        let b = b"NATS/1.0\r\nnats-msg-id: no\r\nNats-Msg-Id:  a \r\nNats-Msg-Id: b\r\n\r\n";
        assert_eq!(get(b, name::MSG_ID), Some(&b"a"[..]));
        assert_eq!(PublishHeaders::read(b).id, Some(&b"a"[..]));
    }

    #[test]
    fn hostile_blocks_are_survived() {
        for b in [&b""[..], b"NATS", b"\r\n", b"NATS/1.0\r\nx", b"a\r\n:\r\n\r\n", b"\r\n\r\n\r\n"]
        {
            assert_eq!(PublishHeaders::read(b), PublishHeaders::default());
            let _ = (add(b, b"k", b"v"), set(b, b"k", b"v"), stored(&Bytes::copy_from_slice(b)));
        }
    }

    #[test]
    fn edits_keep_the_other_headers() {
        let b = b"NATS/1.0\r\nA: 1\r\nB: 2\r\n\r\n";
        assert_eq!(&set(b, b"A", b"3")[..], b"NATS/1.0\r\nB: 2\r\nA: 3\r\n\r\n");
        assert_eq!(&retain(b, |_| false)[..], b"");
        assert_eq!(&add(b"", b"A", b"1")[..], b"NATS/1.0\r\nA: 1\r\n\r\n");
        let status = Bytes::from_static(b"NATS/1.0 503 Nope\r\nA: 1\r\n\r\n");
        assert_eq!(&stored(&status)[..], b"NATS/1.0\r\nA: 1\r\n\r\n");
    }

    #[test]
    fn text_in_an_expected_sequence_matches_nothing() {
        let b = b"NATS/1.0\r\nNats-Expected-Last-Sequence: x\r\n\r\n";
        assert_eq!(PublishHeaders::read(b).last_seq, Some(u64::MAX));
        for (text, n) in [("0", Some(0)), ("12", Some(12)), ("-1", None), ("", None), ("1 ", None)]
        {
            assert_eq!(number(text.as_bytes()), n);
        }
    }
}
