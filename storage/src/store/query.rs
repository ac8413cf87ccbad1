//! Questions that both stores answer the same way, from their totals, the
//! subject index and a few primitives.

use super::{Filter, Purged, StoreError, StoreState, StreamStore, SubjectState};
use crate::index::core::Core;
use crate::index::filter::Matcher;
use crate::index::subjects::SubjectEntry;
use crate::record::{StoredMessage, read_frame_unchecked};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// Above this many candidate subjects a search scans messages instead of asking
/// per subject: with so many a match is near.
const MAX_STRADDLERS: usize = 64;
/// Asking the index about one subject is taken to cost as much as looking at so
/// many messages.
const ASK_COST: u64 = 256;

/// What a store offers to the questions below. All sequences are live ones.
pub(super) trait Log {
    fn core(&self) -> &Core;
    /// The record of the live message `seq`.
    fn record(&self, seq: u64) -> Result<Bytes, StoreError>;
    /// Lowest live sequence ≥ `from` with this subject.
    fn next_same(&self, subject: &[u8], from: u64) -> Result<Option<u64>, StoreError>;
    /// Highest live sequence ≤ `upto` with this subject.
    fn prev_same(&self, subject: &[u8], upto: u64) -> Result<Option<u64>, StoreError>;
    /// Number of live sequences ≥ `from` with this subject.
    fn count_same(&self, subject: &[u8], from: u64) -> Result<u64, StoreError> {
        let (mut n, mut at) = (0, from);
        while let Some(seq) = self.next_same(subject, at)? {
            n += 1;
            at = seq + 1;
        }
        Ok(n)
    }
    /// Calls `f` with the subject of the live message `seq`.
    fn with_subject<T>(&self, seq: u64, f: impl FnOnce(&[u8]) -> T) -> Result<T, StoreError>;
    /// Store time of the live message `seq`.
    fn time(&self, seq: u64) -> Result<i64, StoreError>;
    /// Time of the first live message, from a cache; 0 if unknown.
    fn first_ts(&self) -> i64;
}

/// Splits a verified message record into its fields without copying.
pub(super) fn message(record: Bytes) -> Option<StoredMessage> {
    let m = read_frame_unchecked(&record).and_then(|f| f.message()).ok()?;
    let (seq, ts) = (m.seq, m.ts);
    let (subject, headers, payload) =
        (record.slice_ref(m.subject), record.slice_ref(m.headers), record.slice_ref(m.payload));
    Some(StoredMessage { seq, ts, subject, headers, payload })
}

pub(super) fn state<L: Log>(log: &L) -> StoreState {
    let core = log.core();
    let span = if core.msgs == 0 { 0 } else { core.last_seq - core.first_seq + 1 };
    StoreState {
        msgs: core.msgs,
        bytes: core.bytes,
        first_seq: core.first_seq,
        first_ts: if core.msgs == 0 { 0 } else { log.first_ts() },
        last_seq: core.last_seq,
        last_ts: core.last_ts,
        subjects: core.subjects.borrow().len() as u64,
        deleted: span - core.msgs.min(span),
        lost_msgs: 0,
        lost_bytes: 0,
    }
}

/// The entry of a subject with exact ends.
pub(super) fn exact<L: Log>(log: &L, subject: &[u8]) -> Result<Option<SubjectEntry>, StoreError> {
    let Some(e) = log.core().subjects.borrow().get(subject) else { return Ok(None) };
    repaired(log, subject, e, true, true).map(Some)
}

/// Makes the wanted ends of an entry exact and remembers them.
fn repaired<L: Log>(
    log: &L,
    subject: &[u8],
    mut e: SubjectEntry,
    first: bool,
    last: bool,
) -> Result<SubjectEntry, StoreError> {
    let core = log.core();
    let stale = e.first_stale || e.first < core.first_seq;
    if first
        && stale
        && let Some(seq) = log.next_same(subject, e.first.max(core.first_seq))?
    {
        core.subjects.borrow_mut().repair_first(subject, seq);
        (e.first, e.first_stale) = (seq, false);
    }
    if last
        && e.last_stale
        && let Some(seq) = log.prev_same(subject, e.last)?
    {
        core.subjects.borrow_mut().repair_last(subject, seq);
        (e.last, e.last_stale) = (seq, false);
    }
    Ok(e)
}

fn is_exact(core: &Core, e: &SubjectEntry) -> bool {
    !e.first_stale && !e.last_stale && e.first >= core.first_seq
}

fn public(e: SubjectEntry) -> SubjectState {
    SubjectState { msgs: e.count, first: e.first, last: e.last }
}

pub(super) fn subject<L: Log>(log: &L, name: &[u8]) -> Result<Option<SubjectState>, StoreError> {
    Ok(exact(log, name)?.map(public))
}

pub(super) fn subjects<L: Log>(
    log: &L,
    filter: &Filter,
    limit: usize,
) -> Result<BTreeMap<Bytes, SubjectState>, StoreError> {
    let core = log.core();
    let mut out: BTreeMap<Bytes, (SubjectState, bool)> = BTreeMap::new();
    if limit == 0 {
        return Ok(BTreeMap::new());
    }
    core.subjects.borrow().for_each_match(&Matcher::new(filter), |s, e| {
        // Keep the smallest `limit` names.
        if out.len() >= limit {
            if out.last_key_value().is_some_and(|(k, _)| k.as_ref() <= s) {
                return;
            }
            out.pop_last();
        }
        out.insert(Bytes::copy_from_slice(s), (public(e), is_exact(core, &e)));
    });
    let mut exact_out = BTreeMap::new();
    for (name, (state, fine)) in out {
        let state = if fine { Some(state) } else { subject(log, &name)? };
        if let Some(state) = state {
            exact_out.insert(name, state);
        }
    }
    Ok(exact_out)
}

pub(super) fn load<L: Log>(log: &L, seq: u64) -> Result<Option<StoredMessage>, StoreError> {
    if !log.core().is_live(seq) {
        return Ok(None);
    }
    Ok(message(log.record(seq)?))
}

pub(super) fn next<L: Log>(
    log: &L,
    filter: &Filter,
    from: u64,
) -> Result<Option<StoredMessage>, StoreError> {
    match next_seq(log, &Matcher::new(filter), from)? {
        Some(seq) => Ok(message(log.record(seq)?)),
        None => Ok(None),
    }
}

pub(super) fn prev<L: Log>(
    log: &L,
    filter: &Filter,
    upto: u64,
) -> Result<Option<StoredMessage>, StoreError> {
    match prev_seq(log, &Matcher::new(filter), upto)? {
        Some(seq) => Ok(message(log.record(seq)?)),
        None => Ok(None),
    }
}

/// Messages looked at one by one before the subject index is asked where to
/// jump to; asking costs about 0.1 µs per matching subject.
fn scan_budget(core: &Core) -> usize {
    (core.subjects.borrow().len() / 4).clamp(256, 1 << 16)
}

/// First live sequence ≥ `from` that matches.
pub(super) fn next_seq<L: Log>(
    log: &L,
    matcher: &Matcher<'_>,
    from: u64,
) -> Result<Option<u64>, StoreError> {
    let core = log.core();
    match matcher {
        Matcher::All => return Ok(core.next_live(from)),
        Matcher::Literal(s) => {
            let Some(e) = core.subjects.borrow().get(s) else { return Ok(None) };
            if from > e.last {
                return Ok(None);
            }
            if from <= e.first {
                return Ok(exact(log, s)?.map(|e| e.first));
            }
            return log.next_same(s, from);
        }
        Matcher::Any(_) => {}
    }
    let mut from = from;
    let mut budget = scan_budget(core);
    let mut jumped = false;
    while let Some(seq) = core.next_live(from) {
        if log.with_subject(seq, |s| matcher.matches(s))? {
            return Ok(Some(seq));
        }
        from = seq + 1;
        budget -= 1;
        if budget == 0 {
            budget = usize::MAX;
            if !jumped {
                jumped = true;
                match jump(log, matcher, from)? {
                    Jump::Exactly(found) => return Ok(found),
                    Jump::Scan => {}
                }
            }
        }
    }
    Ok(None)
}

enum Jump {
    Exactly(Option<u64>),
    /// Too many candidates to ask one by one: a match must be near.
    Scan,
}

fn jump<L: Log>(log: &L, matcher: &Matcher<'_>, from: u64) -> Result<Jump, StoreError> {
    let mut best: Option<u64> = None;
    let mut ask: Vec<Vec<u8>> = Vec::new();
    log.core().subjects.borrow().for_each_match(matcher, |s, e| {
        if e.last < from {
            return;
        }
        if e.first >= from && !e.first_stale {
            best = Some(best.map_or(e.first, |b| b.min(e.first)));
        } else if ask.len() <= MAX_STRADDLERS {
            ask.push(s.to_vec());
        }
    });
    if ask.len() > MAX_STRADDLERS {
        return Ok(Jump::Scan);
    }
    for s in ask {
        if let Some(seq) = log.next_same(&s, from)? {
            best = Some(best.map_or(seq, |b| b.min(seq)));
        }
    }
    Ok(Jump::Exactly(best))
}

/// Last live sequence ≤ `upto` that matches.
pub(super) fn prev_seq<L: Log>(
    log: &L,
    matcher: &Matcher<'_>,
    upto: u64,
) -> Result<Option<u64>, StoreError> {
    let core = log.core();
    match matcher {
        Matcher::All => return Ok(core.prev_live(upto)),
        Matcher::Literal(s) => {
            let Some(e) = core.subjects.borrow().get(s) else { return Ok(None) };
            if upto < e.first {
                return Ok(None);
            }
            if upto >= e.last {
                return repaired(log, s, e, false, true).map(|e| Some(e.last));
            }
            return log.prev_same(s, upto);
        }
        Matcher::Any(_) => {}
    }
    let mut upto = upto;
    let mut budget = 256usize;
    while let Some(seq) = core.prev_live(upto) {
        if log.with_subject(seq, |s| matcher.matches(s))? {
            return Ok(Some(seq));
        }
        upto = seq - 1;
        budget = budget.wrapping_sub(1);
        if budget == 0
            && let Jump::Exactly(found) = jump_back(log, matcher, upto)?
        {
            return Ok(found);
        }
    }
    Ok(None)
}

fn jump_back<L: Log>(log: &L, matcher: &Matcher<'_>, upto: u64) -> Result<Jump, StoreError> {
    let mut best: Option<u64> = None;
    let mut ask: Vec<Vec<u8>> = Vec::new();
    log.core().subjects.borrow().for_each_match(matcher, |s, e| {
        if e.first > upto {
            return;
        }
        if e.last <= upto && !e.last_stale {
            best = best.max(Some(e.last));
        } else if ask.len() <= MAX_STRADDLERS {
            ask.push(s.to_vec());
        }
    });
    if ask.len() > MAX_STRADDLERS {
        return Ok(Jump::Scan);
    }
    for s in ask {
        best = best.max(log.prev_same(&s, upto)?);
    }
    Ok(Jump::Exactly(best))
}

pub(super) fn seq_at_time<L: Log>(log: &L, ts: i64) -> Result<u64, StoreError> {
    let core = log.core();
    let end = core.last_seq + 1;
    let Some(first) = core.next_live(0) else { return Ok(end) };
    // Times do not fall from one message to the next: the leader sees to it.
    let (mut low, mut high) = (first, end);
    while low < high {
        let mid = low + (high - low) / 2;
        match core.next_live(mid) {
            Some(seq) if seq < high => {
                if log.time(seq)? >= ts {
                    high = mid;
                } else {
                    low = seq + 1;
                }
            }
            // Nothing live in mid..high.
            _ => high = mid,
        }
    }
    Ok(core.next_live(low).unwrap_or(end))
}

pub(super) fn num_pending<L: Log>(
    log: &L,
    filter: &Filter,
    from: u64,
    last_per_subject: bool,
) -> Result<u64, StoreError> {
    let core = log.core();
    let matcher = Matcher::new(filter);
    if last_per_subject {
        return count_last(log, &matcher, from);
    }
    if matches!(matcher, Matcher::All) {
        return Ok(core.live(from, u64::MAX));
    }
    let (mut all, mut after) = (0, 0);
    let before = core.live(0, from.saturating_sub(1));
    let scan = before.min(core.msgs - before);
    let limit = (scan / ASK_COST) as usize;
    let mut straddlers: Vec<Vec<u8>> = Vec::new();
    let mut more = false;
    core.subjects.borrow().for_each_match(&matcher, |s, e| {
        all += e.count;
        if e.last < from {
        } else if e.first.max(core.first_seq) >= from {
            after += e.count;
        } else if straddlers.len() < limit {
            straddlers.push(s.to_vec());
        } else {
            more = true;
        }
    });
    if all == core.msgs {
        return Ok(core.live(from, u64::MAX));
    }
    if more {
        // Scan the shorter side.
        return if before < core.msgs - before {
            Ok(all - count_scan(log, &matcher, core.first_seq, from - 1)?)
        } else {
            count_scan(log, &matcher, from, core.last_seq)
        };
    }
    for s in straddlers {
        after += log.count_same(&s, from)?;
    }
    Ok(after)
}

fn count_scan<L: Log>(
    log: &L,
    matcher: &Matcher<'_>,
    from: u64,
    to: u64,
) -> Result<u64, StoreError> {
    let mut n = 0;
    let mut at = from;
    while let Some(seq) = log.core().next_live(at).filter(|s| *s <= to) {
        n += u64::from(log.with_subject(seq, |s| matcher.matches(s))?);
        at = seq + 1;
    }
    Ok(n)
}

fn count_last<L: Log>(log: &L, matcher: &Matcher<'_>, from: u64) -> Result<u64, StoreError> {
    let mut n = 0;
    let mut unsure: Vec<(Vec<u8>, SubjectEntry)> = Vec::new();
    log.core().subjects.borrow().for_each_match(matcher, |s, e| {
        if e.last >= from {
            if e.last_stale && e.first < from {
                unsure.push((s.to_vec(), e));
            } else {
                n += 1;
            }
        }
    });
    for (s, e) in unsure {
        n += u64::from(repaired(log, &s, e, false, true)?.last >= from);
    }
    Ok(n)
}

pub(super) fn last_seqs<L: Log>(
    log: &L,
    filter: &Filter,
    upto: u64,
    limit: usize,
) -> Result<Option<Vec<u64>>, StoreError> {
    let core = log.core();
    let upto = if upto == 0 { u64::MAX } else { upto };
    let mut out = Vec::new();
    let mut ask: Vec<Vec<u8>> = Vec::new();
    core.subjects.borrow().for_each_match(&Matcher::new(filter), |s, e| {
        if e.first > upto || out.len() > limit {
        } else if e.last <= upto && !e.last_stale {
            out.push(e.last);
        } else {
            ask.push(s.to_vec());
        }
    });
    for s in ask {
        if out.len() > limit {
            return Ok(None);
        }
        if let Some(seq) = prev_seq(log, &Matcher::Literal(&Bytes::from(s)), upto)? {
            out.push(seq);
        }
    }
    if out.len() > limit {
        return Ok(None);
    }
    out.sort_unstable();
    Ok(Some(out))
}

pub(super) fn deleted_ranges<L: Log>(log: &L, limit: usize) -> Vec<(u64, u64)> {
    log.core().deletes.ranges(0).take(limit).collect()
}

pub(super) fn purge_filter<S: StreamStore + Log>(
    store: &mut S,
    filter: &Filter,
    below: u64,
    keep: u64,
) -> Result<Purged, StoreError> {
    let matcher = Matcher::new(filter);
    let below = if below == 0 { u64::MAX } else { below };
    if matches!(matcher, Matcher::All) {
        let core = store.core();
        let have = core.live(0, below - 1);
        if keep == 0 {
            return store.purge_below(below.min(core.last_seq + 1));
        }
        if have <= keep {
            return Ok(Purged::default());
        }
        // The sequence of the oldest message to keep.
        let (mut low, mut high) = (core.first_seq, below.min(core.last_seq + 1));
        while low < high {
            let mid = low + (high - low) / 2;
            if core.live(0, mid) > have - keep { high = mid } else { low = mid + 1 }
        }
        return store.purge_below(low);
    }
    let mut purged = Purged::default();
    let mut waiting: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
    let mut at = 0;
    while let Some(seq) = next_seq(store, &matcher, at)?.filter(|s| *s < below) {
        waiting.push_back((seq, store.with_subject(seq, |s| s.to_vec())?));
        at = seq + 1;
        if waiting.len() as u64 > keep
            && let Some((old, name)) = waiting.pop_front()
            && let Some(bytes) = store.remove_known(old, &name)?
        {
            purged.msgs += 1;
            purged.bytes += bytes;
        }
    }
    Ok(purged)
}
