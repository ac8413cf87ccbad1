//! Status messages: header blocks without payload (contract/jetstream.md §4.4).
//! Clients match these texts; change nothing here without looking there.

use crate::decimal::put as put_number;
use bytes::{BufMut, Bytes, BytesMut};

/// `404 No Messages`
pub const NO_MESSAGES: &[u8] = b"NATS/1.0 404 No Messages\r\n\r\n";
/// `408 Requests Pending`
pub const REQUESTS_PENDING: &[u8] = b"NATS/1.0 408 Requests Pending\r\n\r\n";
/// `409 Exceeded MaxWaiting`
pub const EXCEEDED_MAX_WAITING: &[u8] = b"NATS/1.0 409 Exceeded MaxWaiting\r\n\r\n";
/// `409 Consumer Deleted`
pub const CONSUMER_DELETED: &[u8] = b"NATS/1.0 409 Consumer Deleted\r\n\r\n";
/// `409 Leadership Change`
pub const LEADERSHIP_CHANGE: &[u8] = b"NATS/1.0 409 Leadership Change\r\n\r\n";
/// `409 Consumer is push based`
pub const PUSH_BASED: &[u8] = b"NATS/1.0 409 Consumer is push based\r\n\r\n";
/// `412 Required Api Level`
pub const REQUIRED_API_LEVEL: &[u8] = b"NATS/1.0 412 Required Api Level\r\n\r\n";
/// `423 Nats-Pin-Id mismatch`
pub const PIN_MISMATCH: &[u8] = b"NATS/1.0 423 Nats-Pin-Id mismatch\r\n\r\n";
/// `100 FlowControl Request`
pub const FLOW_CONTROL: &[u8] = b"NATS/1.0 100 FlowControl Request\r\n\r\n";

/// Statuses that carry `Nats-Pending-Messages` and `Nats-Pending-Bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// `expires` passed.
    Timeout,
    /// The reply of another account lost interest.
    InterestExpired,
    /// The next message does not fit.
    TooLarge,
    /// Batch filled, bytes left.
    BatchCompleted,
    /// The pin belongs to somebody else.
    WrongPin,
    /// The server stops.
    Shutdown,
}

impl Ended {
    /// The header block: `msgs` and `bytes` are what the request did not get.
    pub fn header(self, msgs: u64, bytes: u64) -> Bytes {
        let line: &[u8] = match self {
            Ended::Timeout => b"NATS/1.0 408 Request Timeout",
            Ended::InterestExpired => b"NATS/1.0 408 Interest Expired",
            Ended::TooLarge => b"NATS/1.0 409 Message Size Exceeds MaxBytes",
            Ended::BatchCompleted => b"NATS/1.0 409 Batch Completed",
            Ended::WrongPin => b"NATS/1.0 423 Nats-Wrong-Pin-Id",
            Ended::Shutdown => b"NATS/1.0 409 Server Shutdown",
        };
        let mut out = BytesMut::with_capacity(128);
        out.put_slice(line);
        out.put_slice(b"\r\nNats-Pending-Messages: ");
        put_number(&mut out, msgs);
        out.put_slice(b"\r\nNats-Pending-Bytes: ");
        put_number(&mut out, bytes);
        out.put_slice(b"\r\n\r\n");
        out.freeze()
    }
}

/// A status line with free text and nothing else.
pub fn plain(code: u16, text: &str) -> Bytes {
    Bytes::from(format!("NATS/1.0 {code} {text}\r\n\r\n"))
}

/// `100 Idle Heartbeat` with the last sequences and, while flow control is
/// unanswered, its reply subject.
pub fn heartbeat(last_consumer: u64, last_stream: u64, stalled: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(160 + stalled.len());
    out.put_slice(b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: ");
    put_number(&mut out, last_consumer);
    out.put_slice(b"\r\nNats-Last-Stream: ");
    put_number(&mut out, last_stream);
    if !stalled.is_empty() {
        out.put_slice(b"\r\nNats-Consumer-Stalled: ");
        out.put_slice(stalled);
    }
    out.put_slice(b"\r\n\r\n");
    out.freeze()
}

/// `headers` (may be empty) with one more field at the end.
pub fn with_field(headers: &[u8], name: &str, value: &[u8], out: &mut BytesMut) -> Bytes {
    match headers.strip_suffix(b"\r\n") {
        Some(open) if !open.is_empty() => out.put_slice(open),
        _ => out.put_slice(b"NATS/1.0\r\n"),
    }
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n\r\n");
    out.split().freeze()
}
