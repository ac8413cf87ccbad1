//! The footer of a sealed block: where its messages are and under which
//! subjects (`storage/docs/block.md`).
//!
//! Sections, each with its CRC in the trailer: pages, slots, subjects, postings.

use super::page::{get_varint, put_varint};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes of the trailer, the last thing in a sealed block.
pub(crate) const TRAILER: usize = 88;
const MAGIC: u32 = u32::from_le_bytes(*b"GFT1");
/// Bytes of one slot.
pub(crate) const SLOT: usize = 16;
/// Bytes of one page entry.
const PAGE: usize = 36;
/// Every so many subjects one is written in full.
const RESTART: usize = 16;
/// In [`Slot::len`]: the message has headers.
pub(crate) const HAS_HEADERS: u32 = 1 << 31;

/// Where a message is in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Sequence minus the block's first sequence.
    pub rel: u32,
    /// Virtual offset: file offset if no page were compressed.
    pub at: u32,
    /// Length of the record, see also [`HAS_HEADERS`].
    pub len: u32,
    /// Distance to the message of the same subject that was the last one before
    /// it when it was stored; 0 if there was none or it is not known.
    pub prev: u32,
}

impl Slot {
    /// Length of the record.
    pub fn size(&self) -> usize {
        (self.len & !HAS_HEADERS) as usize
    }

    /// Whether the message has headers.
    pub fn headers(&self) -> bool {
        self.len & HAS_HEADERS != 0
    }

    /// Reads the slot at the start of `b`.
    pub fn decode(b: &[u8]) -> Option<Slot> {
        let mut b = b.first_chunk::<SLOT>()?.as_slice();
        Some(Slot {
            rel: b.get_u32_le(),
            at: b.get_u32_le(),
            len: b.get_u32_le(),
            prev: b.get_u32_le(),
        })
    }

    pub fn encode(&self, out: &mut impl BufMut) {
        out.put_u32_le(self.rel);
        out.put_u32_le(self.at);
        out.put_u32_le(self.len);
        out.put_u32_le(self.prev);
    }
}

/// Where a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageRef {
    /// First sequence (relative to the block) that may be in it.
    pub first_rel: u32,
    /// Virtual offset of its body.
    pub body_at: u32,
    /// File offset of its header.
    pub file_at: u32,
    /// Bytes of the body in the file.
    pub stored: u32,
    /// Bytes of the decoded body.
    pub raw: u32,
    /// Decoded bytes that are messages.
    pub messages: u32,
    /// Messages.
    pub count: u32,
    /// CRC-32 of the stored body.
    pub body_crc: u32,
    /// See [`super::page::S2`].
    pub flags: u8,
}

impl PageRef {
    pub fn encode(&self, out: &mut impl BufMut) {
        for v in [
            self.first_rel,
            self.body_at,
            self.file_at,
            self.stored,
            self.raw,
            self.messages,
            self.count,
            self.body_crc,
            u32::from(self.flags),
        ] {
            out.put_u32_le(v);
        }
    }

    pub fn decode(b: &mut &[u8]) -> Option<PageRef> {
        let (head, rest) = b.split_first_chunk::<PAGE>()?;
        *b = rest;
        let mut h = head.as_slice();
        Some(PageRef {
            first_rel: h.get_u32_le(),
            body_at: h.get_u32_le(),
            file_at: h.get_u32_le(),
            stored: h.get_u32_le(),
            raw: h.get_u32_le(),
            messages: h.get_u32_le(),
            count: h.get_u32_le(),
            body_crc: h.get_u32_le(),
            flags: h.get_u32_le() as u8,
        })
    }
}

/// The sections of a footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Pages = 0,
    Slots = 1,
    Subjects = 2,
    Postings = 3,
}

/// The trailer: where the sections are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub file_id: u64,
    pub first: u64,
    pub last: u64,
    /// File offset of the first section.
    pub start: u32,
    /// Messages in the block, removed ones included.
    pub count: u32,
    pub subjects: u32,
    /// Length and CRC of each section.
    pub sections: [(u32, u32); 4],
}

impl Trailer {
    /// File offset, length and CRC of a section.
    pub fn section(&self, which: Section) -> (u64, usize, u32) {
        let i = which as usize;
        let before: u64 = self.sections[..i].iter().map(|(n, _)| u64::from(*n)).sum();
        (u64::from(self.start) + before, self.sections[i].0 as usize, self.sections[i].1)
    }

    /// Bytes of the whole footer.
    pub fn footer_len(&self) -> usize {
        self.sections.iter().map(|(n, _)| *n as usize).sum::<usize>() + TRAILER
    }

    pub fn encode(&self, out: &mut BytesMut) {
        let at = out.len();
        out.put_u32_le(MAGIC);
        out.put_u32_le(1);
        out.put_u64_le(self.file_id);
        out.put_u64_le(self.first);
        out.put_u64_le(self.last);
        out.put_u32_le(self.start);
        out.put_u32_le(self.count);
        out.put_u32_le(self.subjects);
        for (len, crc) in self.sections {
            out.put_u32_le(len);
            out.put_u32_le(crc);
        }
        out.put_u64_le(0);
        let crc = crc32fast::hash(&out[at..]);
        out.put_u32_le(crc);
    }

    pub fn decode(bytes: &[u8]) -> Option<Trailer> {
        let bytes: &[u8; TRAILER] = bytes.first_chunk()?;
        if u32::from_le_bytes(*bytes.last_chunk()?) != crc32fast::hash(&bytes[..TRAILER - 4]) {
            return None;
        }
        let mut b = bytes.as_slice();
        if b.get_u32_le() != MAGIC || b.get_u32_le() != 1 {
            return None;
        }
        let mut t = Trailer {
            file_id: b.get_u64_le(),
            first: b.get_u64_le(),
            last: b.get_u64_le(),
            start: b.get_u32_le(),
            count: b.get_u32_le(),
            subjects: b.get_u32_le(),
            sections: [(0, 0); 4],
        };
        for s in &mut t.sections {
            *s = (b.get_u32_le(), b.get_u32_le());
        }
        Some(t)
    }
}

/// Builds a footer. `names` holds (subject, rel) of every message in `slots`.
pub(crate) fn build(
    mut trailer: Trailer,
    pages: &[PageRef],
    slots: &[Slot],
    mut names: Vec<(&[u8], u32)>,
) -> (BytesMut, Trailer) {
    names.sort_unstable();
    let mut out = BytesMut::with_capacity(slots.len() * (SLOT + 8) + pages.len() * PAGE);
    pages.iter().for_each(|p| p.encode(&mut out));
    let slots_at = out.len();
    slots.iter().for_each(|s| s.encode(&mut out));
    let subjects_at = out.len();

    let mut entries = BytesMut::new();
    let mut restarts: Vec<(u32, u32)> = Vec::new();
    let mut last: &[u8] = &[];
    let mut n = 0usize;
    let mut at = 0;
    while at < names.len() {
        let name = names[at].0;
        let same = names[at..].iter().take_while(|(s, _)| *s == name).count();
        let shared = if n.is_multiple_of(RESTART) {
            restarts.push((entries.len() as u32, at as u32));
            0
        } else {
            last.iter().zip(name).take_while(|(a, b)| a == b).count()
        };
        put_varint(&mut entries, shared as u64);
        put_varint(&mut entries, (name.len() - shared) as u64);
        entries.put_slice(&name[shared..]);
        put_varint(&mut entries, same as u64);
        last = name;
        n += 1;
        at += same;
    }
    out.put_u32_le(restarts.len() as u32);
    for (offset, posting) in restarts {
        out.put_u32_le(offset);
        out.put_u32_le(posting);
    }
    out.put_slice(&entries);
    let postings_at = out.len();
    names.iter().for_each(|(_, rel)| out.put_u32_le(*rel));

    let bounds = [0, slots_at, subjects_at, postings_at, out.len()];
    for (i, w) in bounds.windows(2).enumerate() {
        trailer.sections[i] = ((w[1] - w[0]) as u32, crc32fast::hash(&out[w[0]..w[1]]));
    }
    trailer.count = slots.len() as u32;
    trailer.subjects = n as u32;
    trailer.encode(&mut out);
    (out, trailer)
}

/// The subjects and postings of a sealed block, verified bytes.
#[derive(Debug)]
pub(crate) struct SubjectTable {
    subjects: Bytes,
    postings: Bytes,
}

impl SubjectTable {
    /// `None` if the sections contradict themselves.
    pub fn new(subjects: Bytes, postings: Bytes) -> Option<SubjectTable> {
        let t = SubjectTable { subjects, postings };
        (t.subjects.len() >= 4 + t.restarts() * 8).then_some(t)
    }

    pub fn memory(&self) -> usize {
        self.subjects.len() + self.postings.len()
    }

    /// Postings of one subject.
    pub fn find(&self, subject: &[u8]) -> Option<Postings<'_>> {
        let (mut low, mut high) = (0, self.restarts());
        // The last restart whose name is not above `subject`.
        while low < high {
            let mid = (low + high) / 2;
            let (mut rest, _) = self.group(mid)?;
            let (_shared, n) = (get_varint(&mut rest)?, get_varint(&mut rest)? as usize);
            if rest.get(..n)? <= subject { low = mid + 1 } else { high = mid }
        }
        let group = low.checked_sub(1)?;
        let mut found = None;
        self.walk(group, |name, postings| {
            if name == subject {
                found = Some(postings);
            }
            name < subject
        })?;
        found.and_then(|(at, n)| self.slice(at, n))
    }

    /// Calls `f` for every subject in byte order.
    pub fn for_each(&self, mut f: impl FnMut(&[u8], Postings<'_>)) -> Option<()> {
        for group in 0..self.restarts() {
            let mut bad = false;
            self.walk(group, |name, (at, n)| {
                match self.slice(at, n) {
                    Some(p) => f(name, p),
                    None => bad = true,
                }
                true
            })?;
            if bad {
                return None;
            }
        }
        Some(())
    }

    fn walk(&self, group: usize, mut f: impl FnMut(&[u8], (usize, usize)) -> bool) -> Option<()> {
        let (mut rest, mut posting) = self.group(group)?;
        let mut name = Vec::with_capacity(64);
        for _ in 0..RESTART {
            if rest.is_empty() {
                break;
            }
            let shared = get_varint(&mut rest)? as usize;
            let n = get_varint(&mut rest)? as usize;
            if shared > name.len() || n > rest.len() {
                return None;
            }
            name.truncate(shared);
            let (suffix, after) = rest.split_at(n);
            name.extend_from_slice(suffix);
            rest = after;
            let count = get_varint(&mut rest)? as usize;
            if !f(&name, (posting, count)) {
                break;
            }
            posting += count;
        }
        Some(())
    }

    fn restarts(&self) -> usize {
        self.subjects.first_chunk::<4>().map_or(0, |b| u32::from_le_bytes(*b) as usize)
    }

    fn group(&self, i: usize) -> Option<(&[u8], usize)> {
        let mut head = self.subjects.get(4 + i * 8..12 + i * 8)?;
        let (offset, posting) = (head.get_u32_le() as usize, head.get_u32_le() as usize);
        Some((self.subjects.get(4 + self.restarts() * 8 + offset..)?, posting))
    }

    fn slice(&self, at: usize, n: usize) -> Option<Postings<'_>> {
        Some(Postings(self.postings.get(at * 4..(at + n) * 4)?))
    }
}

/// Relative sequences of one subject in a block, ascending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Postings<'a>(&'a [u8]);

impl Postings<'_> {
    pub fn len(&self) -> usize {
        self.0.len() / 4
    }

    pub fn get(&self, i: usize) -> Option<u32> {
        self.0.get(i * 4..i * 4 + 4)?.first_chunk().map(|b| u32::from_le_bytes(*b))
    }

    /// Index of the first one ≥ `rel`.
    pub fn lower_bound(&self, rel: u64) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let mid = (low + high) / 2;
            if self.get(mid).is_some_and(|v| u64::from(v) < rel) {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_is_found_with_its_messages() {
        let names: Vec<String> = (0..1000).map(|i| format!("a.{}.x{}", i % 97, i % 5)).collect();
        let slots: Vec<Slot> =
            (0..1000).map(|i| Slot { rel: i * 2, at: 64 + i * 10, len: 10, prev: 0 }).collect();
        let pairs = names.iter().zip(&slots).map(|(n, s)| (n.as_bytes(), s.rel)).collect();
        let trailer = Trailer {
            file_id: 1,
            first: 10,
            last: 2008,
            start: 0,
            count: 0,
            subjects: 0,
            sections: [(0, 0); 4],
        };
        let (bytes, t) = build(trailer, &[], &slots, pairs);
        assert_eq!(bytes.len(), t.footer_len());
        assert_eq!(Trailer::decode(&bytes[bytes.len() - TRAILER..]), Some(t));
        let bytes = bytes.freeze();
        let part = |s| {
            let (at, len, crc) = t.section(s);
            let b = bytes.slice(at as usize..at as usize + len);
            assert_eq!(crc, crc32fast::hash(&b));
            b
        };
        let table = SubjectTable::new(part(Section::Subjects), part(Section::Postings)).unwrap();
        for (i, name) in names.iter().enumerate() {
            let p = table.find(name.as_bytes()).unwrap();
            let at = p.lower_bound(i as u64 * 2);
            assert_eq!(p.get(at), Some(i as u32 * 2), "{name}");
        }
        assert!(table.find(b"a.1.x9").is_none());
        assert!(table.find(b"a").is_none());
        assert!(table.find(b"z").is_none());
        let (mut n, mut subjects, mut last) = (0, 0, Vec::new());
        table
            .for_each(|name, p| {
                assert!(last.as_slice() < name);
                last = name.to_vec();
                n += p.len();
                subjects += 1;
            })
            .unwrap();
        assert_eq!((n, subjects), (1000, t.subjects));
        assert_eq!(Slot::decode(&part(Section::Slots)[SLOT..]), Some(slots[1]));
    }
}
