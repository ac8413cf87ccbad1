//! What a stream's log holds besides messages.
//!
//! An entry is a run of frames ([`gust_storage::record`]). Messages are message
//! records; everything else is a frame with one of the kinds below, whose body
//! starts with a version byte (1). Numbers are little endian; `rest` runs to the
//! end of the frame.
//!
//! ```text
//! 16 skip      seq u64 · ts i64 · subj_len u16 · hdr_len u32 · subject · headers
//! 17 delete    seq u64 · erase u8
//! 18 purge     below u64 · keep u64 · filter (rest; empty = all)
//! 19 config    StreamConfig as JSON (rest)
//! 20 consumer  created i64 · name_len u16 · name · ConsumerConfig as JSON (rest)
//! 21 gone      reason u8 · consumer name (rest)
//! 22 delta     name_len u16 · name · body of the consumer (rest)
//! 23 trim      below u64          (max_age reached everything below)
//! 24 expire    seq u64 …          (these messages reached their end)
//! 25 advance   seq u64 · ts i64   (a mirror's gap: last_seq becomes seq)
//! 26 progress  seq u64 · source's index name (rest)
//! ```
//!
//! Frames of a kind or version this server does not know stop the stream: a
//! newer server wrote them and skipping one would make replicas differ.

use crate::effect::Nanos;
use bytes::{BufMut, BytesMut};
use gust_storage::record::{Frame, MessageView, kind, put_frame};
use gust_storage::store::MAX_SEQ;

/// Version byte of every body here.
pub const VERSION: u8 = 1;

const SKIP: u8 = kind::FIRST_FOREIGN;
const DELETE: u8 = 17;
const PURGE: u8 = 18;
const CONFIG: u8 = 19;
const CONSUMER: u8 = 20;
const GONE: u8 = 21;
const DELTA: u8 = 22;
const TRIM: u8 = 23;
const EXPIRE: u8 = 24;
const ADVANCE: u8 = 25;
const PROGRESS: u8 = 26;

/// Why a consumer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoneReason {
    /// Through the API.
    Deleted = 0,
    /// Nobody used it for `inactive_threshold`.
    Inactive = 1,
}

/// One change of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// A message is stored (unless nobody is interested).
    Message(MessageView<'a>),
    /// A message takes its sequence but is not stored; without payload.
    Skip(MessageView<'a>),
    /// One message is removed.
    Delete {
        /// Which.
        seq: u64,
        /// Whether its bytes are overwritten.
        erase: bool,
    },
    /// Messages are removed.
    Purge {
        /// Only below this sequence, 0 = no bound.
        below: u64,
        /// How many of the newest stay.
        keep: u64,
        /// Only this subject, empty = all.
        filter: &'a [u8],
    },
    /// The configuration is replaced.
    Config(&'a [u8]),
    /// A consumer is created or changed.
    Consumer {
        /// When it was created, ns.
        created: Nanos,
        /// Its name.
        name: &'a [u8],
        /// Its configuration.
        config: &'a [u8],
    },
    /// A consumer ends.
    Gone {
        /// Its name.
        name: &'a [u8],
        /// Why.
        reason: GoneReason,
    },
    /// A consumer moves on.
    Delta {
        /// Its name.
        name: &'a [u8],
        /// Its own format.
        body: &'a [u8],
    },
    /// Everything below is too old.
    Trim(u64),
    /// Single messages are too old: sequences, 8 bytes each.
    Expire(&'a [u8]),
    /// A mirror's origin has nothing up to here.
    Advance {
        /// The new last sequence.
        seq: u64,
        /// Time to remember as that of the last message.
        ts: Nanos,
    },
    /// A source was read up to here without a message being stored.
    Progress {
        /// Sequence in the origin.
        seq: u64,
        /// Which source.
        source: &'a [u8],
    },
}

/// Why a frame cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Written by a newer server.
    #[error(
        "log record of kind {kind}, version {version} is unknown; a newer server wrote it, upgrade this one"
    )]
    Unknown {
        /// Frame kind.
        kind: u8,
        /// Version byte.
        version: u8,
    },
    /// The body contradicts itself.
    #[error("log record of kind {0} is malformed")]
    Malformed(u8),
}

impl<'a> Change<'a> {
    /// Reads the change in a frame. No change names a sequence beyond [`MAX_SEQ`]
    /// twice over: nothing that follows it has to fear the end of the numbers.
    pub fn read(frame: &Frame<'a>) -> Result<Change<'a>, LogError> {
        if frame.kind == kind::MESSAGE {
            let m = frame.message().map_err(|_| LogError::Malformed(frame.kind))?;
            return match possible(m.seq) {
                Some(_) => Ok(Change::Message(m)),
                None => Err(LogError::Malformed(frame.kind)),
            };
        }
        let (&version, body) = frame.body.split_first().ok_or(LogError::Malformed(frame.kind))?;
        if version != VERSION || !(SKIP..=PROGRESS).contains(&frame.kind) {
            return Err(LogError::Unknown { kind: frame.kind, version });
        }
        read_body(frame.kind, body).ok_or(LogError::Malformed(frame.kind))
    }

    /// Appends the frame of a change other than a message.
    pub fn put(&self, out: &mut BytesMut) {
        let (kind, write): (u8, &dyn Fn(&mut BytesMut)) = match self {
            Change::Message(m) => return gust_storage::record::put_message(out, m),
            Change::Skip(m) => (SKIP, &|b| {
                b.put_u64_le(m.seq);
                b.put_i64_le(m.ts);
                b.put_u16_le(m.subject.len() as u16);
                b.put_u32_le(m.headers.len() as u32);
                b.put_slice(m.subject);
                b.put_slice(m.headers);
            }),
            Change::Delete { seq, erase } => (DELETE, &|b| {
                b.put_u64_le(*seq);
                b.put_u8(u8::from(*erase));
            }),
            Change::Purge { below, keep, filter } => (PURGE, &|b| {
                b.put_u64_le(*below);
                b.put_u64_le(*keep);
                b.put_slice(filter);
            }),
            Change::Config(json) => (CONFIG, &|b| b.put_slice(json)),
            Change::Consumer { created, name, config } => (CONSUMER, &|b| {
                b.put_i64_le(*created);
                b.put_u16_le(name.len() as u16);
                b.put_slice(name);
                b.put_slice(config);
            }),
            Change::Gone { name, reason } => (GONE, &|b| {
                b.put_u8(*reason as u8);
                b.put_slice(name);
            }),
            Change::Delta { name, body } => (DELTA, &|b| {
                b.put_u16_le(name.len() as u16);
                b.put_slice(name);
                b.put_slice(body);
            }),
            Change::Trim(below) => (TRIM, &|b| b.put_u64_le(*below)),
            Change::Expire(seqs) => (EXPIRE, &|b| b.put_slice(seqs)),
            Change::Advance { seq, ts } => (ADVANCE, &|b| {
                b.put_u64_le(*seq);
                b.put_i64_le(*ts);
            }),
            Change::Progress { seq, source } => (PROGRESS, &|b| {
                b.put_u64_le(*seq);
                b.put_slice(source);
            }),
        };
        put_frame(out, kind, 0, |b| {
            b.put_u8(VERSION);
            write(b);
        });
    }
}

fn read_body(kind: u8, mut b: &[u8]) -> Option<Change<'_>> {
    let b = &mut b;
    let change = match kind {
        SKIP => {
            let (seq, ts) = (possible(u64_(b)?)?, u64_(b)? as i64);
            let (subj, hdr) = (u16_(b)?, u32_(b)?);
            let subject = take(b, usize::from(subj))?;
            let headers = take(b, hdr as usize)?;
            Change::Skip(MessageView { seq, ts, subject, headers, payload: b"" })
        }
        DELETE => Change::Delete { seq: u64_(b)?, erase: take(b, 1)?[0] != 0 },
        PURGE => Change::Purge { below: possible(u64_(b)?)?, keep: u64_(b)?, filter: rest(b) },
        CONFIG => Change::Config(rest(b)),
        CONSUMER => {
            let created = u64_(b)? as i64;
            let n = u16_(b)?;
            Change::Consumer { created, name: take(b, usize::from(n))?, config: rest(b) }
        }
        GONE => {
            let reason = match take(b, 1)?[0] {
                0 => GoneReason::Deleted,
                1 => GoneReason::Inactive,
                _ => return None,
            };
            Change::Gone { reason, name: rest(b) }
        }
        DELTA => {
            let n = u16_(b)?;
            Change::Delta { name: take(b, usize::from(n))?, body: rest(b) }
        }
        TRIM => Change::Trim(possible(u64_(b)?)?),
        EXPIRE if b.len().is_multiple_of(8) => Change::Expire(rest(b)),
        ADVANCE => Change::Advance { seq: possible(u64_(b)?)?, ts: u64_(b)? as i64 },
        PROGRESS => Change::Progress { seq: u64_(b)?, source: rest(b) },
        _ => return None,
    };
    b.is_empty().then_some(change)
}

/// A sequence a log may hold: what the doors let in ([`MAX_SEQ`]) and as many
/// messages after it as can ever be published.
fn possible(seq: u64) -> Option<u64> {
    (seq <= MAX_SEQ << 1).then_some(seq)
}

/// The sequences of [`Change::Expire`].
pub fn sequences(list: &[u8]) -> impl Iterator<Item = u64> + '_ {
    list.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b))
}

fn take<'a>(b: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = b.split_at_checked(n)?;
    *b = tail;
    Some(head)
}

fn rest<'a>(b: &mut &'a [u8]) -> &'a [u8] {
    std::mem::take(b)
}

fn u16_(b: &mut &[u8]) -> Option<u16> {
    take(b, 2)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_(b: &mut &[u8]) -> Option<u32> {
    take(b, 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_(b: &mut &[u8]) -> Option<u64> {
    take(b, 8)?.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gust_storage::record::{frames, read_frame};

    fn all() -> Vec<Change<'static>> {
        let m = MessageView {
            seq: 3,
            ts: 4,
            subject: b"a.b",
            headers: b"NATS/1.0\r\n\r\n",
            payload: b"",
        };
        vec![
            Change::Message(MessageView { payload: b"p", ..m }),
            Change::Skip(m),
            Change::Delete { seq: 1, erase: true },
            Change::Purge { below: 5, keep: 0, filter: b"a.>" },
            Change::Config(b"{}"),
            Change::Consumer { created: 9, name: b"c", config: b"{}" },
            Change::Gone { name: b"c", reason: GoneReason::Inactive },
            Change::Delta { name: b"c", body: b"xyz" },
            Change::Trim(7),
            Change::Expire(&[1, 0, 0, 0, 0, 0, 0, 0]),
            Change::Advance { seq: 8, ts: -1 },
            Change::Progress { seq: 8, source: b"S a.> >" },
        ]
    }

    #[test]
    fn every_change_is_read_back() {
        let mut out = BytesMut::new();
        all().iter().for_each(|c| c.put(&mut out));
        let read: Vec<_> = frames(&out, true).map(|f| Change::read(&f.unwrap()).unwrap()).collect();
        assert_eq!(read, all());
    }

    #[test]
    fn sequences_without_a_next_one_are_refused() {
        let (seq, ts) = (u64::MAX, 1);
        let m = MessageView { seq, ts, subject: b"a", headers: b"", payload: b"" };
        let endless = [
            Change::Message(m),
            Change::Skip(m),
            Change::Purge { below: seq, keep: 0, filter: b"" },
            Change::Trim(seq),
            Change::Advance { seq, ts },
        ];
        for change in endless {
            let mut out = BytesMut::new();
            change.put(&mut out);
            let f = read_frame(&out).unwrap();
            assert_eq!(Change::read(&f), Err(LogError::Malformed(f.kind)));
        }
    }

    #[test]
    fn shortened_bodies_and_newer_versions_are_refused() {
        for change in all().into_iter().skip(1) {
            let mut out = BytesMut::new();
            change.put(&mut out);
            let f = read_frame(&out).unwrap();
            for cut in 0..f.body.len() {
                let cut = Frame { body: &f.body[..cut], ..f };
                assert_ne!(Change::read(&cut), Ok(change));
            }
            let newer = [&[2], &f.body[1..]].concat();
            let newer = Frame { body: &newer, ..f };
            assert_eq!(Change::read(&newer), Err(LogError::Unknown { kind: f.kind, version: 2 }));
        }
    }
}
