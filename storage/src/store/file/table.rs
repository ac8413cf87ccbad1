//! Subject tables of checkpoints: the full table in a file of its own, what
//! changed since as runs of entries in the index (`storage/docs/checkpoint.md`).

use crate::block::page::{get_varint, put_varint};
use crate::index::filter::Matcher;
use crate::index::subjects::{MAX_SPAN, SubjectEntry, SubjectIndex};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use hashbrown::HashMap;

const SUBJECTS_MAGIC: u32 = u32::from_le_bytes(*b"GSUB");
const VERSION: u32 = 1;
/// Bytes before the entries of a table.
const HEAD: usize = 32;

/// Entries captured for one checkpoint. Later runs override earlier ones.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub entries: u32,
    pub bytes: Bytes,
}

/// What a table file says besides its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TableHead {
    /// Sequences in the table are relative to it.
    pub base: u64,
    pub count: u64,
}

/// The full table of `subjects`.
pub(super) fn encode(n: u64, subjects: &SubjectIndex) -> BytesMut {
    let base = subjects.base();
    let mut out = BytesMut::with_capacity(HEAD + subjects.len() * 48);
    put_head(&mut out, n, TableHead { base, count: subjects.len() as u64 });
    subjects.for_each_match(&Matcher::All, |name, entry| {
        put_entry(&mut out, name, Some(entry), base);
    });
    out
}

/// What changed since the last call.
pub(super) fn take_run(subjects: &mut SubjectIndex) -> Option<Run> {
    if subjects.dirty_len() == 0 {
        return None;
    }
    let base = subjects.base();
    let mut out = BytesMut::with_capacity(subjects.dirty_len() * 48);
    let mut entries = 0;
    subjects.drain_dirty(|name, entry| {
        put_entry(&mut out, name, entry, base);
        entries += 1;
    });
    Some(Run { entries, bytes: out.freeze() })
}

/// The table `n` made of an older one, in a file whose checksum was checked, and
/// the runs since. `None` if something does not decode.
pub(super) fn merge(n: u64, older: &[u8], runs: &[Run]) -> Option<BytesMut> {
    let mut rest = older;
    let head = get_head(&mut rest, None)?;
    let mut changed: HashMap<&[u8], &[u8], foldhash::fast::RandomState> = HashMap::default();
    for run in runs {
        let mut b = &run.bytes[..];
        while !b.is_empty() {
            let start = b;
            let (name, _) = get_entry(&mut b, 0)?;
            changed.insert(name, &start[..start.len() - b.len()]);
        }
    }
    let mut out =
        BytesMut::with_capacity(older.len() + runs.iter().map(|r| r.bytes.len()).sum::<usize>());
    put_head(&mut out, n, TableHead { base: head.base, count: 0 });
    let mut count = 0u64;
    for _ in 0..head.count {
        let start = rest;
        let (name, _) = get_entry(&mut rest, 0)?;
        if !changed.contains_key(name) {
            out.put_slice(&start[..start.len() - rest.len()]);
            count += 1;
        }
    }
    for entry in changed.values() {
        if get_entry(&mut &entry[..], 0)?.1.is_some() {
            out.put_slice(entry);
            count += 1;
        }
    }
    out[HEAD - 8..HEAD].copy_from_slice(&count.to_le_bytes());
    Some(out)
}

fn put_head(out: &mut BytesMut, n: u64, head: TableHead) {
    out.put_u32_le(SUBJECTS_MAGIC);
    out.put_u32_le(VERSION);
    out.put_u64_le(n);
    out.put_u64_le(head.base);
    out.put_u64_le(head.count);
}

/// Reads the head of table `n` (or of any).
pub(super) fn get_head(b: &mut &[u8], n: Option<u64>) -> Option<TableHead> {
    if b.try_get_u32_le().ok()? != SUBJECTS_MAGIC || b.try_get_u32_le().ok()? != VERSION {
        return None;
    }
    let number = b.try_get_u64_le().ok()?;
    if n.is_some_and(|n| n != number) {
        return None;
    }
    Some(TableHead { base: b.try_get_u64_le().ok()?, count: b.try_get_u64_le().ok()? })
}

/// One subject: name, count (0 = gone), bounds relative to `base`, flags.
fn put_entry(out: &mut BytesMut, name: &[u8], entry: Option<SubjectEntry>, base: u64) {
    put_varint(out, name.len() as u64);
    out.put_slice(name);
    let Some(e) = entry else { return put_varint(out, 0) };
    put_varint(out, e.count);
    put_varint(out, e.first.saturating_sub(base));
    put_varint(out, e.last.saturating_sub(base));
    out.put_u8(u8::from(e.first_stale) | u8::from(e.last_stale) << 1);
}

/// Reads what [`put_entry`] wrote.
pub(super) fn get_entry<'a>(
    b: &mut &'a [u8],
    base: u64,
) -> Option<(&'a [u8], Option<SubjectEntry>)> {
    let n = get_varint(b)? as usize;
    let (name, rest) = b.split_at_checked(n)?;
    *b = rest;
    let count = get_varint(b)?;
    if count == 0 {
        return Some((name, None));
    }
    let (first, last) = (get_varint(b)?, get_varint(b)?);
    let flags = b.try_get_u8().ok()?;
    if first > MAX_SPAN || last > MAX_SPAN {
        return None;
    }
    Some((
        name,
        Some(SubjectEntry {
            count,
            first: base.checked_add(first)?,
            last: base.checked_add(last)?,
            first_stale: flags & 1 != 0,
            last_stale: flags & 2 != 0,
        }),
    ))
}
