//! The plain model the stores are tested against, and the random actions.

use super::{Filter, Purged, StoreError, StoreState, StreamStore, SubjectState};
use crate::record::{MessageView, put_message};
use bytes::{Bytes, BytesMut};
use gust_subject::matches;
use std::collections::BTreeMap;

/// A small generator; the same seed gives the same numbers everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Rng(pub u64);

impl Rng {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n.max(1)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Msg {
    pub subject: Vec<u8>,
    pub headers: Vec<u8>,
    pub payload: Vec<u8>,
    pub ts: i64,
}

/// What happens to a store. Replaying the same list gives the same state.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    Append {
        gap: u64,
        msg: Msg,
    },
    SkipTo {
        by: u64,
        ts: i64,
    },
    Remove {
        seq: u64,
        erase: bool,
    },
    /// Appends and then removes what the subject had before, as KV does.
    Replace {
        msg: Msg,
    },
    PurgeBelow {
        seq: u64,
    },
    PurgeFilter {
        filter: Filter,
        below: u64,
        keep: u64,
    },
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub msgs: BTreeMap<u64, Msg>,
    pub first: u64,
    pub last: u64,
    pub last_ts: i64,
    pub file: bool,
}

impl Model {
    fn visible(&self, m: &Msg) -> u64 {
        let n = (m.subject.len() + m.headers.len() + m.payload.len()) as u64;
        match self.file {
            true => n + 30 + if m.headers.is_empty() { 0 } else { 4 },
            false => n + 16,
        }
    }

    fn settle(&mut self) {
        self.first = self.msgs.keys().next().copied().unwrap_or(self.last + 1);
    }

    fn take(&mut self, seqs: Vec<u64>) -> Purged {
        let mut purged = Purged::default();
        for seq in seqs {
            if let Some(m) = self.msgs.remove(&seq) {
                purged.msgs += 1;
                purged.bytes += self.visible(&m);
            }
        }
        if purged.msgs > 0 {
            self.settle();
        }
        purged
    }

    pub fn matching(&self, filter: &Filter) -> impl DoubleEndedIterator<Item = (u64, &Msg)> {
        self.msgs.iter().map(|(s, m)| (*s, m)).filter(|(_, m)| {
            filter.subjects.is_empty() || filter.subjects.iter().any(|f| matches(&m.subject, f))
        })
    }

    /// Does `action` to the model and to `store` and compares the answers.
    pub fn apply<S: StreamStore + ?Sized>(
        &mut self,
        store: &mut S,
        action: &Action,
    ) -> Result<(), StoreError> {
        match action {
            Action::Append { gap, msg } => self.append(store, self.last + 1 + gap, msg)?,
            Action::Replace { msg } => {
                let old = store.subject(&msg.subject)?;
                self.append(store, self.last + 1, msg)?;
                if let Some(old) = old {
                    let had = self.msgs.get(&old.first).map(|m| self.visible(m));
                    assert_eq!(store.remove_known(old.first, &msg.subject)?, had);
                    self.take(vec![old.first]);
                }
            }
            Action::SkipTo { by, ts } => {
                store.skip_to(self.last + by, *ts)?;
                self.last += by;
                self.last_ts = *ts;
                if self.msgs.is_empty() {
                    self.first = self.last + 1;
                }
            }
            Action::Remove { seq, erase } => {
                let got = store.remove(*seq, *erase)?;
                let want = self.msgs.get(seq).map(|m| (m.subject.clone(), self.visible(m)));
                assert_eq!(got.map(|r| (r.subject.to_vec(), r.bytes)), want, "remove {seq}");
                self.take(vec![*seq]);
            }
            Action::PurgeBelow { seq } => {
                let gone: Vec<u64> = self.msgs.range(..seq).map(|(s, _)| *s).collect();
                let got = store.purge_below(*seq)?;
                assert_eq!(got, self.take(gone), "purge below {seq}");
                if *seq > self.last {
                    (self.first, self.last) = (*seq, seq - 1);
                }
            }
            Action::PurgeFilter { filter, below, keep } => {
                let below_all = if *below == 0 { u64::MAX } else { *below };
                let mut gone: Vec<u64> =
                    self.matching(filter).map(|(s, _)| s).filter(|s| *s < below_all).collect();
                gone.truncate(gone.len().saturating_sub(*keep as usize));
                let got = store.purge_filter(filter, *below, *keep)?;
                assert_eq!(got, self.take(gone), "{action:?}");
            }
        }
        Ok(())
    }

    fn append<S: StreamStore + ?Sized>(
        &mut self,
        store: &mut S,
        seq: u64,
        m: &Msg,
    ) -> Result<(), StoreError> {
        let view = MessageView {
            seq,
            ts: m.ts,
            subject: &m.subject,
            headers: &m.headers,
            payload: &m.payload,
        };
        let mut record = BytesMut::new();
        put_message(&mut record, &view);
        store.append(&view, &record)?;
        self.msgs.insert(seq, m.clone());
        (self.last, self.last_ts) = (seq, m.ts);
        self.settle();
        Ok(())
    }

    pub fn state(&self) -> StoreState {
        let subjects: std::collections::BTreeSet<_> =
            self.msgs.values().map(|m| &m.subject).collect();
        let msgs = self.msgs.len() as u64;
        StoreState {
            msgs,
            bytes: self.msgs.values().map(|m| self.visible(m)).sum(),
            first_seq: self.first,
            first_ts: self.msgs.values().next().map_or(0, |m| m.ts),
            last_seq: self.last,
            last_ts: self.last_ts,
            subjects: subjects.len() as u64,
            deleted: if msgs == 0 { 0 } else { self.last - self.first + 1 - msgs },
            ..StoreState::default()
        }
    }

    fn subjects(&self, filter: &Filter) -> BTreeMap<Bytes, SubjectState> {
        let mut out: BTreeMap<Bytes, SubjectState> = BTreeMap::new();
        for (seq, m) in self.matching(filter) {
            let e = out.entry(m.subject.clone().into()).or_default();
            if e.msgs == 0 {
                e.first = seq;
            }
            e.msgs += 1;
            e.last = seq;
        }
        out
    }

    /// Compares every message.
    pub fn check_all<S: StreamStore + ?Sized>(&self, store: &S) -> Result<(), StoreError> {
        assert_eq!(store.state(), self.state());
        let all = Filter::default();
        let mut at = 0;
        for (seq, want) in &self.msgs {
            let got = store.next(&all, at)?.unwrap_or_else(|| panic!("{seq} is missing"));
            assert_eq!((got.seq, got.ts), (*seq, want.ts));
            assert_eq!(got.subject, want.subject);
            assert_eq!(got.headers, want.headers);
            assert_eq!(got.payload, want.payload);
            at = seq + 1;
        }
        assert_eq!(store.next(&all, at)?, None);
        assert_eq!(store.subjects(&all, usize::MAX)?, self.subjects(&all));
        let mut deleted = Vec::new();
        for seq in self.first..=self.last {
            match (self.msgs.contains_key(&seq) || self.msgs.is_empty(), deleted.last_mut()) {
                (true, _) => {}
                (false, Some((_, end))) if *end + 1 == seq => *end = seq,
                (false, _) => deleted.push((seq, seq)),
            }
        }
        assert_eq!(store.deleted_ranges(usize::MAX), deleted);
        Ok(())
    }

    /// Asks everything once with random arguments.
    pub fn check_some<S: StreamStore + ?Sized>(
        &self,
        store: &S,
        rng: &mut Rng,
    ) -> Result<(), StoreError> {
        assert_eq!(store.state(), self.state());
        let filter = random_filter(rng);
        let span = self.last.saturating_sub(self.first) + 4;
        let at = (self.first + rng.below(span)).saturating_sub(1);
        let what = format!("{filter:?} at {at}");

        let got = store.load(at)?.map(|m| (m.ts, m.payload.to_vec()));
        assert_eq!(got, self.msgs.get(&at).map(|m| (m.ts, m.payload.clone())), "{what}");
        let want = self.matching(&filter).map(|(s, _)| s).find(|s| *s >= at);
        assert_eq!(store.next(&filter, at)?.map(|m| m.seq), want, "next {what}");
        let want = self.matching(&filter).map(|(s, _)| s).rev().find(|s| *s <= at);
        assert_eq!(store.prev(&filter, at)?.map(|m| m.seq), want, "prev {what}");
        let want = self.matching(&filter).filter(|(s, _)| *s >= at).count() as u64;
        assert_eq!(store.num_pending(&filter, at, false)?, want, "pending {what}");

        let subjects = self.subjects(&filter);
        let want = subjects.values().filter(|s| s.last >= at).count() as u64;
        assert_eq!(store.num_pending(&filter, at, true)?, want, "last pending {what}");
        let limit = rng.below(6) as usize;
        let want: BTreeMap<_, _> =
            subjects.iter().take(limit).map(|(k, v)| (k.clone(), *v)).collect();
        assert_eq!(store.subjects(&filter, limit)?, want, "subjects {what}");
        let name = random_subject(rng);
        assert_eq!(
            store.subject(&name)?,
            self.subjects(&Filter::default()).get(&name[..]).copied(),
            "{}",
            name.escape_ascii()
        );

        let upto = if at.is_multiple_of(3) { 0 } else { at };
        let bound = if upto == 0 { u64::MAX } else { upto };
        let mut lasts: BTreeMap<&[u8], u64> = BTreeMap::new();
        for (seq, m) in self.matching(&filter).filter(|(s, _)| *s <= bound) {
            lasts.insert(&m.subject, seq);
        }
        let mut want: Vec<u64> = lasts.into_values().collect();
        want.sort_unstable();
        let limit = 1 + rng.below(20) as usize;
        let want = (want.len() <= limit).then_some(want);
        assert_eq!(store.last_seqs(&filter, upto, limit)?, want, "last seqs {what}");

        let ts = rng.below(self.last_ts.max(1) as u64 + 10) as i64;
        let want = self.msgs.iter().find(|(_, m)| m.ts >= ts).map_or(self.last + 1, |(s, _)| *s);
        assert_eq!(store.seq_at_time(ts)?, want, "time {ts}");
        Ok(())
    }

    /// An action that makes sense now.
    pub fn random_action(&self, rng: &mut Rng) -> Action {
        let ts = self.last_ts + rng.below(3) as i64;
        let near = |rng: &mut Rng| self.first + rng.below(self.last.saturating_sub(self.first) + 3);
        match rng.below(1000) {
            0..20 => Action::Append { gap: rng.below(40), msg: random_msg(rng, ts) },
            20..40 => Action::SkipTo { by: 1 + rng.below(20), ts },
            40..250 => Action::Remove { seq: near(rng), erase: rng.below(2) == 0 },
            250..420 => Action::Replace { msg: random_msg(rng, ts) },
            420..440 => {
                let seq = self.first + rng.below((self.msgs.len() as u64 / 4).max(1));
                Action::PurgeBelow { seq: seq.max(1) }
            }
            440..443 => Action::PurgeBelow { seq: self.last + 1 + rng.below(3) },
            443..455 => Action::PurgeFilter {
                filter: random_filter(rng),
                below: if rng.below(2) == 0 { 0 } else { near(rng) },
                keep: rng.below(self.msgs.len() as u64 + 1),
            },
            455..460 => Action::PurgeFilter { filter: random_filter(rng), below: 0, keep: 0 },
            _ => Action::Append { gap: 0, msg: random_msg(rng, ts) },
        }
    }
}

fn random_subject(rng: &mut Rng) -> Vec<u8> {
    format!("s.{}.{}", rng.below(4), rng.below(6)).into_bytes()
}

fn random_msg(rng: &mut Rng, ts: i64) -> Msg {
    let len = match rng.below(40) {
        0 => 9000 + rng.below(4000),
        1 => 0,
        _ => rng.below(200),
    };
    let fill = rng.below(256) as u8;
    let headers = if rng.below(4) == 0 { b"NATS/1.0\r\na: b\r\n\r\n".to_vec() } else { Vec::new() };
    Msg { subject: random_subject(rng), headers, payload: vec![fill; len as usize], ts }
}

fn random_filter(rng: &mut Rng) -> Filter {
    let one = |rng: &mut Rng| -> Bytes {
        match rng.below(6) {
            0 => "s.>".into(),
            1 => format!("s.{}.*", rng.below(4)).into(),
            2 => format!("s.*.{}", rng.below(6)).into(),
            3 => "none.*".into(),
            _ => random_subject(rng).into(),
        }
    };
    let n = [0, 1, 1, 1, 2, 3][rng.below(6) as usize];
    Filter { subjects: (0..n).map(|_| one(rng)).collect() }
}
