//! The record: the unit a stream's log is made of, and its only encoding.
//!
//! The same bytes travel in a group's entry, in the write-ahead log, between
//! peers and into block files; the CRC is set once, by the leader, and is never
//! recomputed on the way. Layout (little endian, `storage/docs/record.md`):
//!
//! ```text
//! frame    len u32 · crc u32 · kind u8 · flags u8 · body
//! message  … kind = 1 · flags · subj_len u16 · hdr_len u32 · seq u64 · ts i64
//!          · subject · headers · payload
//! ```
//!
//! `len` counts the whole frame; `crc` is CRC-32 (IEEE) of everything after it.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes before the body of every frame.
pub const FRAME_HEADER: usize = 10;
/// Bytes of a message record besides subject, headers and payload.
pub const MESSAGE_OVERHEAD: usize = 32;
/// The largest frame a reader accepts: 64 MiB payload plus headers and subject.
pub const MAX_FRAME: usize = 80 << 20;

/// Frame kinds that storage itself understands. Kinds from 16 up belong to the
/// layer above (`gust-jetstream` keeps stream and consumer changes there).
pub mod kind {
    /// A message, see the module documentation.
    pub const MESSAGE: u8 = 1;
    /// First kind free for the layer above.
    pub const FIRST_FOREIGN: u8 = 16;
}

/// Flag bits of a frame.
pub mod flag {
    /// The payload is stored elsewhere and the record holds a reference.
    /// Reserved from the first format version, not written yet.
    pub const EXTERNAL_PAYLOAD: u8 = 1;
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Fewer bytes than the frame says it has.
    #[error("record is cut short: {have} of {need} bytes")]
    Truncated {
        /// Bytes present.
        have: usize,
        /// Bytes the frame claims.
        need: usize,
    },
    /// The length field cannot be right.
    #[error("record length {0} is impossible")]
    BadLength(u32),
    /// The checksum does not match: the bytes were altered.
    #[error("record checksum is {found:08x}, should be {expected:08x}")]
    BadCrc {
        /// CRC computed over the bytes.
        found: u32,
        /// CRC stored in the frame.
        expected: u32,
    },
    /// Inner lengths contradict the frame length.
    #[error("record of kind {0} has inconsistent inner lengths")]
    BadBody(u8),
}

/// One frame, borrowed from a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// See [`kind`].
    pub kind: u8,
    /// See [`flag`].
    pub flags: u8,
    /// Everything after the frame header.
    pub body: &'a [u8],
    /// The whole frame, header included.
    pub raw: &'a [u8],
}

/// A message record, borrowed from a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageView<'a> {
    /// Stream sequence, from 1.
    pub seq: u64,
    /// Store time, nanoseconds since the Unix epoch, UTC.
    pub ts: i64,
    /// Subject the message is stored under.
    pub subject: &'a [u8],
    /// Raw header block `NATS/1.0\r\n…\r\n\r\n`, or empty.
    pub headers: &'a [u8],
    /// Payload.
    pub payload: &'a [u8],
}

impl MessageView<'_> {
    /// Length of this message as an encoded record.
    pub fn encoded_len(&self) -> usize {
        MESSAGE_OVERHEAD + self.subject.len() + self.headers.len() + self.payload.len()
    }
}

/// An owned message. Fields are cheap clones of shared buffers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Stream sequence.
    pub seq: u64,
    /// Store time, nanoseconds since the Unix epoch.
    pub ts: i64,
    /// Subject.
    pub subject: Bytes,
    /// Raw header block or empty.
    pub headers: Bytes,
    /// Payload.
    pub payload: Bytes,
}

impl StoredMessage {
    /// The same message, borrowed.
    pub fn view(&self) -> MessageView<'_> {
        MessageView {
            seq: self.seq,
            ts: self.ts,
            subject: &self.subject,
            headers: &self.headers,
            payload: &self.payload,
        }
    }
}

/// Appends a message record. The subject must be ≤ 65535 bytes and the headers
/// ≤ 4 GiB, which the wire layer guarantees.
pub fn put_message(out: &mut BytesMut, m: &MessageView<'_>) {
    let len = m.encoded_len();
    debug_assert!(m.subject.len() <= u16::MAX as usize && len <= MAX_FRAME);
    out.reserve(len);
    let start = out.len();
    out.put_u32_le(len as u32);
    out.put_u32_le(0);
    out.put_u8(kind::MESSAGE);
    out.put_u8(0);
    out.put_u16_le(m.subject.len() as u16);
    out.put_u32_le(m.headers.len() as u32);
    out.put_u64_le(m.seq);
    out.put_i64_le(m.ts);
    out.put_slice(m.subject);
    out.put_slice(m.headers);
    out.put_slice(m.payload);
    seal(out, start);
}

/// Appends a frame of another kind, its body written by `body`.
pub fn put_frame(out: &mut BytesMut, kind: u8, flags: u8, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32_le(0);
    out.put_u32_le(0);
    out.put_u8(kind);
    out.put_u8(flags);
    body(out);
    let len = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    seal(out, start);
}

fn seal(out: &mut BytesMut, start: usize) {
    let crc = crc32fast::hash(&out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// Reads the frame at the start of `buf`, checking length and checksum.
pub fn read_frame(buf: &[u8]) -> Result<Frame<'_>, RecordError> {
    let frame = read_frame_unchecked(buf)?;
    let expected = u32::from_le_bytes([buf[4], buf[5], buf[6], buf[7]]);
    let found = crc32fast::hash(&frame.raw[8..]);
    if found != expected {
        return Err(RecordError::BadCrc { found, expected });
    }
    Ok(frame)
}

/// As [`read_frame`] without the checksum: for bytes this process encoded or
/// verified already.
pub fn read_frame_unchecked(buf: &[u8]) -> Result<Frame<'_>, RecordError> {
    if buf.len() < FRAME_HEADER {
        return Err(RecordError::Truncated { have: buf.len(), need: FRAME_HEADER });
    }
    let len = u32::from_le_bytes([buf[0], buf[1], buf[2], buf[3]]);
    let need = len as usize;
    if !(FRAME_HEADER..=MAX_FRAME).contains(&need) {
        return Err(RecordError::BadLength(len));
    }
    if buf.len() < need {
        return Err(RecordError::Truncated { have: buf.len(), need });
    }
    let raw = &buf[..need];
    Ok(Frame { kind: raw[8], flags: raw[9], body: &raw[FRAME_HEADER..], raw })
}

impl<'a> Frame<'a> {
    /// The message in this frame, if it is one.
    pub fn message(&self) -> Result<MessageView<'a>, RecordError> {
        let bad = RecordError::BadBody(self.kind);
        if self.kind != kind::MESSAGE || self.raw.len() < MESSAGE_OVERHEAD {
            return Err(bad);
        }
        let b = self.raw;
        let subj_len = u16::from_le_bytes([b[10], b[11]]) as usize;
        let hdr_len = u32::from_le_bytes([b[12], b[13], b[14], b[15]]) as usize;
        let (seq, rest) = b[16..].split_at(8);
        let (ts, rest) = rest.split_at(8);
        if rest.len() < subj_len || rest.len() - subj_len < hdr_len {
            return Err(bad);
        }
        let (subject, rest) = rest.split_at(subj_len);
        let (headers, payload) = rest.split_at(hdr_len);
        Ok(MessageView {
            seq: u64::from_le_bytes(seq.try_into().map_err(|_| bad)?),
            ts: i64::from_le_bytes(ts.try_into().map_err(|_| bad)?),
            subject,
            headers,
            payload,
        })
    }
}

/// Walks the frames of an entry that was verified before (`check = false`) or
/// comes from disk or a peer (`check = true`). Ends after the first error.
pub fn frames(buf: &[u8], check: bool) -> impl Iterator<Item = Result<Frame<'_>, RecordError>> {
    let mut rest = buf;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let frame = if check { read_frame(rest) } else { read_frame_unchecked(rest) };
        rest = match &frame {
            Ok(f) => &rest[f.raw.len()..],
            Err(_) => &[],
        };
        Some(frame)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> BytesMut {
        let mut out = BytesMut::new();
        put_message(
            &mut out,
            &MessageView { seq: 7, ts: -3, subject: b"a.b", headers: b"H", payload: b"hello" },
        );
        put_frame(&mut out, 16, 0, |b| b.put_slice(b"xy"));
        out
    }

    #[test]
    fn what_is_written_is_read_back() {
        let out = sample();
        let all: Vec<_> = frames(&out, true).collect::<Result<_, _>>().unwrap();
        let m = all[0].message().unwrap();
        assert_eq!(
            (m.seq, m.ts, m.subject, m.headers, m.payload),
            (7, -3, &b"a.b"[..], &b"H"[..], &b"hello"[..])
        );
        assert_eq!((all[1].kind, all[1].body), (16, &b"xy"[..]));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let out = sample();
        let first = read_frame(&out).unwrap().raw.len();
        for bit in 0..first * 8 {
            let mut bad = out.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read_frame(&bad).is_err(), "bit {bit} went unnoticed");
        }
        for cut in 0..first {
            assert!(read_frame(&out[..cut]).is_err());
        }
    }
}
