//! Answers to publishes (contract/jetstream.md §3), written by hand because
//! there is one per message.

use crate::decimal::put as put_decimal;
use crate::error::ApiError;
use crate::json::to_bytes;
use bytes::{BufMut, BytesMut};

/// What a PubAck says besides stream and sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PubAck<'a> {
    /// Stream.
    pub stream: &'a str,
    /// Sequence of the message, of the original for a duplicate.
    pub seq: u64,
    /// The server's domain, or empty.
    pub domain: &'a str,
    /// The message id was seen before.
    pub duplicate: bool,
    /// New value of a counter, or empty.
    pub value: &'a str,
    /// Id of a batch that ends with this message, or empty.
    pub batch: &'a str,
    /// Messages in that batch.
    pub count: u64,
}

/// Appends a PubAck.
pub fn pub_ack(out: &mut BytesMut, ack: &PubAck<'_>) {
    out.reserve(64 + ack.stream.len() + ack.domain.len());
    out.put_slice(b"{\"stream\":");
    put_string(out, ack.stream);
    if !ack.domain.is_empty() {
        out.put_slice(b",\"domain\":");
        put_string(out, ack.domain);
    }
    out.put_slice(b",\"seq\":");
    put_decimal(out, ack.seq);
    if ack.duplicate {
        // The blank is nats-server's, and text comparisons know it.
        out.put_slice(b",\"duplicate\": true");
    }
    if !ack.value.is_empty() {
        out.put_slice(b",\"val\":");
        put_string(out, ack.value);
    }
    if !ack.batch.is_empty() {
        out.put_slice(b",\"batch\":");
        put_string(out, ack.batch);
        out.put_slice(b",\"count\":");
        put_decimal(out, ack.count);
    }
    out.put_u8(b'}');
}

/// Appends the answer to a publish that was refused.
pub fn pub_ack_error(out: &mut BytesMut, stream: &str, domain: &str, error: &ApiError) {
    out.put_slice(b"{\"error\":");
    out.put_slice(&to_bytes(error));
    out.put_slice(b",\"stream\":");
    put_string(out, stream);
    out.put_slice(b",\"seq\":0");
    if !domain.is_empty() {
        out.put_slice(b",\"domain\":");
        put_string(out, domain);
    }
    out.put_u8(b'}');
}

/// A JSON string; names hardly ever need escapes.
fn put_string(out: &mut BytesMut, text: &str) {
    let plain = |b: u8| b >= 0x20 && !matches!(b, b'"' | b'\\' | b'<' | b'>' | b'&') && b < 0x7f;
    if text.bytes().all(plain) {
        out.put_u8(b'"');
        out.put_slice(text.as_bytes());
        out.put_u8(b'"');
    } else {
        out.put_slice(&to_bytes(text));
    }
}
