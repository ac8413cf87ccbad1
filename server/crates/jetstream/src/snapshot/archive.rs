//! Format 2: `NATSARC1`, then entries.
//!
//! ```text
//! entry    name_len uvarint · timestamp varint · seq uvarint · hdr_size uvarint
//!          · payload_size uvarint · name · header block · payload
//! ```
//!
//! `state.json` comes first, then one `consumers/<name>` per consumer counted in
//! it, then messages named by their subject, then an entry of zeros.

use super::consumer_state::{ConsumerEntry, ConsumerSnapshot};
use super::reader::RestoreLimits;
use super::varint::{Read, put, put_signed, read, unzigzag};
use super::{ConsumerBackup, RestoreItem, RestoredMessage, Sink, SnapshotError};
use crate::api::StreamState;
use crate::config::ConsumerConfig;
use crate::json::{parse_lenient, to_bytes};
use bytes::{BufMut, Bytes, BytesMut};
use gust_storage::record::MessageView;

/// First bytes of the archive.
pub(super) const MAGIC: &[u8; 8] = b"NATSARC1";
/// Longest name of an entry.
const MAX_NAME: u64 = u16::MAX as u64;
/// Largest state or consumer entry, bytes.
const MAX_DOCUMENT: u64 = 32 << 20;

/// What comes next in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    State,
    Consumers(u64),
    Messages,
    Nothing,
}

/// Reads an archive, without its magic.
pub(super) struct ArchiveReader {
    limits: RestoreLimits,
    buf: BytesMut,
    /// Bytes the entry at the start of `buf` has, once known.
    need: usize,
    expect: Expect,
    last_seq: u64,
}

/// The numbers an entry begins with.
struct Head {
    len: usize,
    name: usize,
    timestamp: i64,
    seq: u64,
    headers: usize,
    payload: usize,
}

impl ArchiveReader {
    pub(super) fn new(limits: RestoreLimits) -> ArchiveReader {
        ArchiveReader { limits, buf: BytesMut::new(), need: 0, expect: Expect::State, last_seq: 0 }
    }

    pub(super) fn push(&mut self, data: &[u8], sink: &mut Sink<'_>) -> Result<(), SnapshotError> {
        self.buf.extend_from_slice(data);
        while self.buf.len() >= self.need {
            let Some(head) = self.head()? else { return Ok(()) };
            let total = head.len + head.name + head.headers + head.payload;
            if self.buf.len() < total {
                self.need = total;
                return Ok(());
            }
            self.need = 0;
            let entry = self.buf.split_to(total).freeze();
            self.entry(&head, &entry, sink)?;
        }
        Ok(())
    }

    /// Says whether the archive is complete.
    pub(super) fn finish(&self) -> Result<(), SnapshotError> {
        match self.expect {
            Expect::Nothing if self.buf.is_empty() => Ok(()),
            _ => Err(SnapshotError::Truncated(self.place())),
        }
    }

    fn place(&self) -> String {
        match self.expect {
            Expect::State => "entry state.json".into(),
            Expect::Consumers(left) => format!("the consumers, {left} before their end"),
            Expect::Messages => format!("the messages after sequence {}", self.last_seq),
            Expect::Nothing => "the end".into(),
        }
    }

    fn head(&self) -> Result<Option<Head>, SnapshotError> {
        let mut at = 0;
        let mut numbers = [0u64; 5];
        for number in &mut numbers {
            match read(self.buf.get(at..).unwrap_or_default()) {
                Read::Is(value, n) => {
                    *number = value;
                    at += n;
                }
                Read::More => return Ok(None),
                Read::Overflow => {
                    return Err(SnapshotError::malformed(self.place(), "a number overflows"));
                }
            }
        }
        let [name, timestamp, seq, headers, payload] = numbers;
        let max = match self.expect {
            Expect::Messages => self.limits.max_message,
            _ => MAX_DOCUMENT,
        };
        let size = headers.saturating_add(payload);
        if name > MAX_NAME || size > max {
            let what = format!("an entry of {}", self.place());
            let (size, max) = if name > MAX_NAME { (name, MAX_NAME) } else { (size, max) };
            return Err(SnapshotError::TooLarge { what, size, max });
        }
        Ok(Some(Head {
            len: at,
            name: name as usize,
            timestamp: unzigzag(timestamp),
            seq,
            headers: headers as usize,
            payload: payload as usize,
        }))
    }

    fn entry(
        &mut self,
        head: &Head,
        entry: &Bytes,
        sink: &mut Sink<'_>,
    ) -> Result<(), SnapshotError> {
        let body = entry.slice(head.len..);
        let name = body.slice(..head.name);
        let headers = body.slice(head.name..head.name + head.headers);
        let payload = body.slice(head.name + head.headers..);
        let shown = String::from_utf8_lossy(&name).into_owned();
        let bad = |why: String| SnapshotError::malformed(format!("entry {shown:?}"), why);
        match self.expect {
            Expect::Nothing => Err(bad("it comes after the end".into())),
            Expect::State => {
                if &name[..] != b"state.json" {
                    return Err(bad("state.json must come first".into()));
                }
                let state: StreamState = parse_lenient(&payload).map_err(|e| bad(e.0))?;
                let consumers = u64::try_from(state.consumer_count)
                    .map_err(|_| bad("consumer_count is negative".into()))?;
                self.expect = next(consumers);
                sink(RestoreItem::State(Box::new(state)))
            }
            Expect::Consumers(left) => {
                let Some(name) = shown.strip_prefix("consumers/").filter(|n| !n.is_empty()) else {
                    return Err(bad(format!("{left} more consumers are announced")));
                };
                let entry: ConsumerEntry = parse_lenient(&payload).map_err(|e| bad(e.0))?;
                self.expect = next(left - 1);
                sink(RestoreItem::Consumer(Box::new(ConsumerBackup {
                    name: name.to_owned(),
                    config: entry.config,
                    state: entry.state,
                })))
            }
            Expect::Messages if name.is_empty() => {
                if head.timestamp != 0 || head.seq != 0 || body.len() > head.name {
                    return Err(bad("a message without subject".into()));
                }
                self.expect = Expect::Nothing;
                Ok(())
            }
            Expect::Messages => {
                if head.seq <= self.last_seq {
                    return Err(bad(format!(
                        "sequence {} comes after {}",
                        head.seq, self.last_seq
                    )));
                }
                self.last_seq = head.seq;
                sink(RestoreItem::Message(RestoredMessage {
                    seq: head.seq,
                    ts: head.timestamp,
                    subject: name,
                    headers,
                    payload,
                }))
            }
        }
    }
}

fn next(consumers: u64) -> Expect {
    if consumers == 0 { Expect::Messages } else { Expect::Consumers(consumers) }
}

/// Appends the magic and the state. `state.consumer_count` must be the number
/// of consumers that follow.
pub(super) fn put_state(out: &mut BytesMut, state: &StreamState, now: i64) {
    out.put_slice(MAGIC);
    put_entry(out, b"state.json", now, 0, b"", &to_bytes(state));
}

/// Appends a consumer.
pub(super) fn put_consumer(
    out: &mut BytesMut,
    name: &str,
    config: &ConsumerConfig,
    state: &ConsumerSnapshot,
    now: i64,
) {
    let entry = ConsumerEntry { config: config.clone(), state: Some(state.clone()) };
    put_entry(out, format!("consumers/{name}").as_bytes(), now, 0, b"", &to_bytes(&entry));
}

/// Appends a message.
pub(super) fn put_message(out: &mut BytesMut, m: &MessageView<'_>) {
    put_entry(out, m.subject, m.ts, m.seq, m.headers, m.payload);
}

/// Appends the end.
pub(super) fn put_end(out: &mut BytesMut) {
    put_entry(out, b"", 0, 0, b"", b"");
}

fn put_entry(
    out: &mut BytesMut,
    name: &[u8],
    timestamp: i64,
    seq: u64,
    headers: &[u8],
    payload: &[u8],
) {
    out.reserve(32 + name.len() + headers.len() + payload.len());
    put(out, name.len() as u64);
    put_signed(out, timestamp);
    put(out, seq);
    put(out, headers.len() as u64);
    put(out, payload.len() as u64);
    out.put_slice(name);
    out.put_slice(headers);
    out.put_slice(payload);
}
