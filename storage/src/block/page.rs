//! Pages: what is written to a block in one go (`storage/docs/block.md`).

use crate::record::{Frame, kind};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes before the body of a page.
pub(crate) const PAGE_HEADER: usize = 72;
const MAGIC: u16 = 0x4750;
const VERSION: u8 = 1;
/// The body is one S2 block.
pub(crate) const S2: u8 = 1;
/// Frame kind of the list of removed sequences that may end a page; it is
/// storage's own and never leaves a block.
pub(crate) const DELETES: u8 = kind::MESSAGE + 1;

/// Frame flag: headers and payload were overwritten with zeros on request.
pub(crate) const ERASED: u8 = 0x80;

/// What a page says about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PageHeader {
    /// See [`S2`].
    pub flags: u8,
    /// Bytes of the body once decoded.
    pub raw: u32,
    /// Bytes of the body in the file.
    pub stored: u32,
    /// Bytes of the decoded body that are messages; a deletes frame may follow.
    pub messages: u32,
    /// Messages.
    pub count: u32,
    /// First sequence in the page (the next one if it has none).
    pub first_seq: u64,
    /// The stream's last sequence when the page was written.
    pub last_seq: u64,
    /// The stream's last time when the page was written.
    pub last_ts: i64,
    /// Everything below was removed when the page was written.
    pub floor: u64,
    /// Id of the file, so that a page of its former life is not taken for one.
    pub file_id: u64,
    /// CRC-32 of the stored body.
    pub body_crc: u32,
}

impl PageHeader {
    pub fn encode(&self) -> [u8; PAGE_HEADER] {
        let mut out = [0; PAGE_HEADER];
        let mut b = &mut out[..];
        b.put_u16_le(MAGIC);
        b.put_u8(VERSION);
        b.put_u8(self.flags);
        b.put_u32_le(self.raw);
        b.put_u32_le(self.stored);
        b.put_u32_le(self.messages);
        b.put_u32_le(self.count);
        b.put_u64_le(self.first_seq);
        b.put_u64_le(self.last_seq);
        b.put_i64_le(self.last_ts);
        b.put_u64_le(self.floor);
        b.put_u64_le(self.file_id);
        b.put_u32_le(self.body_crc);
        let crc = crc32fast::hash(&out[..PAGE_HEADER - 4]);
        out[PAGE_HEADER - 4..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` if these bytes are not a page header of file `file_id`.
    pub fn decode(bytes: &[u8], file_id: u64) -> Option<PageHeader> {
        let bytes: &[u8; PAGE_HEADER] = bytes.first_chunk()?;
        if u32::from_le_bytes(*bytes.last_chunk()?) != crc32fast::hash(&bytes[..PAGE_HEADER - 4]) {
            return None;
        }
        let mut b = &bytes[..];
        if b.get_u16_le() != MAGIC || b.get_u8() != VERSION {
            return None;
        }
        let h = PageHeader {
            flags: b.get_u8(),
            raw: b.get_u32_le(),
            stored: b.get_u32_le(),
            messages: b.get_u32_le(),
            count: b.get_u32_le(),
            first_seq: b.get_u64_le(),
            last_seq: b.get_u64_le(),
            last_ts: b.get_i64_le(),
            floor: b.get_u64_le(),
            file_id: b.get_u64_le(),
            body_crc: b.get_u32_le(),
        };
        (h.file_id == file_id && h.messages <= h.raw && (h.flags == S2 || h.raw == h.stored))
            .then_some(h)
    }
}

/// Decodes a stored body; `None` if it does not decode to `raw` bytes.
pub(crate) fn decode_body(flags: u8, stored: Vec<u8>, raw: usize) -> Option<Bytes> {
    if flags & S2 == 0 {
        return (stored.len() == raw).then(|| stored.into());
    }
    if minlz::s2::decode_len(&stored).ok()?.0 != raw {
        return None;
    }
    minlz::s2::decode(&stored).ok().filter(|v| v.len() == raw).map(Bytes::from)
}

/// Writes the frame that lists removed sequences: varint distances, the first
/// one from 0. `seqs` is sorted here.
pub(crate) fn put_deletes(out: &mut BytesMut, seqs: &mut [u64]) {
    seqs.sort_unstable();
    crate::record::put_frame(out, DELETES, 0, |b| {
        let mut last = 0;
        for seq in seqs.iter() {
            put_varint(b, seq - last);
            last = *seq;
        }
    });
}

/// The sequences of a deletes frame.
pub(crate) fn read_deletes(frame: &Frame<'_>) -> Option<Vec<u64>> {
    if frame.kind != DELETES {
        return None;
    }
    let mut out = Vec::new();
    let mut rest = frame.body;
    let mut last = 0u64;
    while !rest.is_empty() {
        last = last.checked_add(get_varint(&mut rest)?)?;
        out.push(last);
    }
    Some(out)
}

/// LEB128.
pub(crate) fn put_varint(out: &mut impl BufMut, mut v: u64) {
    while v >= 0x80 {
        out.put_u8(v as u8 | 0x80);
        v >>= 7;
    }
    out.put_u8(v as u8);
}

/// Reads what [`put_varint`] wrote.
pub(crate) fn get_varint(buf: &mut &[u8]) -> Option<u64> {
    let mut v = 0u64;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = buf.split_first()?;
        *buf = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        v |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(v);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::read_frame;

    #[test]
    fn headers_come_back_and_no_flipped_bit_passes() {
        let h = PageHeader {
            raw: 10,
            stored: 10,
            messages: 7,
            count: 2,
            first_seq: 5,
            last_seq: 6,
            last_ts: -1,
            floor: 3,
            file_id: 9,
            ..PageHeader::default()
        };
        let bytes = h.encode();
        assert_eq!(PageHeader::decode(&bytes, 9), Some(h));
        assert_eq!(PageHeader::decode(&bytes, 8), None);
        for bit in 0..PAGE_HEADER * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(PageHeader::decode(&bad, 9), None, "bit {bit}");
        }
    }

    #[test]
    fn deletes_come_back_sorted() {
        let mut out = BytesMut::new();
        put_deletes(&mut out, &mut [900, 3, u64::MAX, 4]);
        let frame = read_frame(&out).unwrap();
        assert_eq!(read_deletes(&frame), Some(vec![3, 4, 900, u64::MAX]));
    }
}
