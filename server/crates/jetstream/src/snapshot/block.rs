//! Records of format 1's block files and their hashes.
//!
//! ```text
//! record   len u32 (bit 31: has headers) · seq u64 (bit 63: erased, bit 62:
//!          deletes that sequence) · ts i64 · subj_len u16 · subject
//!          · [hdr_len u32 · headers] · payload · hash 8
//! ```
//!
//! The hash is HighwayHash-64 over seq, ts, subject, headers and payload under a
//! key made of the stream's name and the block's number.

use super::reader::RestoreLimits;
use super::{RestoreItem, RestoredMessage, Sink, SnapshotError};
use bytes::{Buf, BufMut, BytesMut};
use gust_storage::record::MessageView;
use highway::{HighwayHash, HighwayHasher, Key};
use ring::digest::{SHA256, digest};

/// Bytes of a record besides subject, headers and payload.
const OVERHEAD: usize = 30;
/// Bytes before the subject.
const HEAD: usize = 22;
const HASH: usize = 8;
const HAS_HEADERS: u32 = 1 << 31;
const ERASED: u64 = 1 << 63;
const TOMBSTONE: u64 = 1 << 62;

/// HighwayHash-64 of `parts` under the SHA-256 of `key`.
pub(super) fn hash(key: &str, parts: &[&[u8]]) -> [u8; 8] {
    let sum = digest(&SHA256, key.as_bytes());
    let mut words = [0u64; 4];
    for (word, bytes) in words.iter_mut().zip(sum.as_ref().chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    }
    let mut hasher = HighwayHasher::new(Key(words));
    for part in parts {
        hasher.append(part);
    }
    hasher.finalize64().to_le_bytes()
}

/// Reads the records of one block.
pub(super) struct BlockReader {
    limits: RestoreLimits,
    name: String,
    key: String,
    buf: BytesMut,
}

impl BlockReader {
    /// A reader of block `index` of `stream`.
    pub(super) fn new(limits: RestoreLimits, stream: &str, index: u64) -> BlockReader {
        let name = format!("block {index}");
        BlockReader { limits, name, key: format!("{stream}-{index}"), buf: BytesMut::new() }
    }

    pub(super) fn push(
        &mut self,
        data: &[u8],
        last_seq: &mut u64,
        sink: &mut Sink<'_>,
    ) -> Result<(), SnapshotError> {
        self.buf.extend_from_slice(data);
        while let Some(len) = self.record_len()? {
            if self.buf.len() < len {
                break;
            }
            let record = self.buf.split_to(len).freeze();
            self.record(&record, last_seq, sink)?;
        }
        Ok(())
    }

    pub(super) fn finish(&self) -> Result<(), SnapshotError> {
        match self.buf.is_empty() {
            true => Ok(()),
            false => Err(self.bad("its last record is cut short")),
        }
    }

    fn bad(&self, why: impl Into<String>) -> SnapshotError {
        SnapshotError::malformed(self.name.clone(), why)
    }

    fn record_len(&self) -> Result<Option<usize>, SnapshotError> {
        let Some(&[a, b, c, d]) = self.buf.first_chunk::<4>() else { return Ok(None) };
        let len = (u32::from_le_bytes([a, b, c, d]) & !HAS_HEADERS) as usize;
        let max = self.limits.max_message + (OVERHEAD + 4 + usize::from(u16::MAX)) as u64;
        if len < OVERHEAD {
            return Err(self.bad(format!("a record has {len} bytes")));
        }
        if len as u64 > max {
            let what = format!("a record of {}", self.name);
            return Err(SnapshotError::TooLarge { what, size: len as u64, max });
        }
        Ok(Some(len))
    }

    fn record(
        &self,
        record: &bytes::Bytes,
        last_seq: &mut u64,
        sink: &mut Sink<'_>,
    ) -> Result<(), SnapshotError> {
        let mut head = record.slice(..HEAD.min(record.len()));
        let has_headers = head.get_u32_le() & HAS_HEADERS != 0;
        let (seq, ts, subject_len) = (head.get_u64_le(), head.get_i64_le(), head.get_u16_le());
        let body = record.slice(HEAD..record.len() - HASH);
        let bad = || self.bad(format!("lengths of the record of sequence {seq} contradict"));
        let subject_len = usize::from(subject_len);
        if body.len() < subject_len {
            return Err(bad());
        }
        let subject = body.slice(..subject_len);
        let mut rest = body.slice(subject_len..);
        let mut headers = bytes::Bytes::new();
        if has_headers {
            if rest.len() < 4 {
                return Err(bad());
            }
            let len = rest.get_u32_le() as usize;
            if rest.len() < len {
                return Err(bad());
            }
            headers = rest.split_to(len);
        }
        if seq & ERASED != 0 {
            return sink(RestoreItem::Delete { seq: seq & !ERASED, ts });
        }
        let stamp = record.slice(4..HEAD - 2);
        let found = hash(&self.key, &[&stamp, &subject, &headers, &rest]);
        if found != record.slice(record.len() - HASH..)[..] {
            return Err(self.bad(format!("the hash of sequence {seq} does not match")));
        }
        if seq & TOMBSTONE != 0 {
            return sink(RestoreItem::Delete { seq: seq & !TOMBSTONE, ts });
        }
        if seq <= *last_seq {
            return Err(self.bad(format!("sequence {seq} comes after {last_seq}")));
        }
        *last_seq = seq;
        sink(RestoreItem::Message(RestoredMessage { seq, ts, subject, headers, payload: rest }))
    }
}

/// Appends the record of a message to block `key`.
pub(super) fn put_message(out: &mut BytesMut, key: &str, m: &MessageView<'_>) {
    put_record(out, key, m.seq, m);
}

/// Appends the record of a message that was erased in place: it holds the
/// sequence and moves the end of the stream, which a tombstone does not.
pub(super) fn put_erased(out: &mut BytesMut, key: &str, seq: u64, ts: i64) {
    let m = MessageView { seq, ts, subject: b"", headers: b"", payload: b"" };
    put_record(out, key, seq | ERASED, &m);
}

fn put_record(out: &mut BytesMut, key: &str, seq: u64, m: &MessageView<'_>) {
    let hdr_bytes = if m.headers.is_empty() { 0 } else { 4 + m.headers.len() };
    let len = OVERHEAD + m.subject.len() + hdr_bytes + m.payload.len();
    let flag = if m.headers.is_empty() { 0 } else { HAS_HEADERS };
    out.reserve(len);
    out.put_u32_le(len as u32 | flag);
    out.put_u64_le(seq);
    out.put_i64_le(m.ts);
    out.put_u16_le(m.subject.len() as u16);
    out.put_slice(m.subject);
    if !m.headers.is_empty() {
        out.put_u32_le(m.headers.len() as u32);
        out.put_slice(m.headers);
    }
    out.put_slice(m.payload);
    let stamp = [&seq.to_le_bytes()[..], &m.ts.to_le_bytes()[..]];
    out.put_slice(&hash(key, &[stamp[0], stamp[1], m.subject, m.headers, m.payload]));
}
