//! The judge: what was promised to clients, held against what the node does.
//!
//! It reads the log entry by entry as the node commits it, keeps its own two
//! copies of every stream (a naive map, and a real stream that never crashes),
//! and complains about
//! - an entry that was committed and is missing or different after a restart,
//! - an answer that speaks of something not committed, or wrong about it,
//! - a removal that no committed record covers,
//! - a sequence used twice, going backwards, or with two contents,
//! - a delivery after a confirmed ack,
//! - a consumer whose positions are out of order or that awaits the unstored,
//! - a state that differs from that of the copy which never crashed.
//!
//! A request without an answer may or may not have happened.

use super::actor::Actor;
use super::client::{Asked, Clients, Delivery};
use super::config::Asset;
use super::naive::Naive;
use bytes::Bytes;
use gust_jetstream::config::RetentionPolicy;
use gust_jetstream::consumer::AckSubject;
use gust_jetstream::effect::{Interest, Outgoing};
use gust_jetstream::error::ApiError;
use gust_jetstream::stream::headers::{self, name};
use gust_jetstream::stream::log::Change;
use gust_jetstream::stream::{Completion, Cx, Facts, Stream};
use gust_raft::Committed;
use gust_storage::disk::hostile::HostileDisk;
use gust_storage::record::frames;
use gust_storage::store::file::{FileOptions, FileStore};
use gust_storage::store::{Filter, StoreError};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A broken promise, in words.
pub type Verdict = Result<(), String>;

/// A sequence's only content.
#[derive(Debug)]
struct Logged {
    subject: Vec<u8>,
    payload: Vec<u8>,
    id: Option<Vec<u8>>,
    skipped: bool,
}

/// See the module documentation; one per stream.
pub struct Oracle {
    asset: Asset,
    /// Checksum of each committed entry, from index 1.
    entries: Vec<(u64, u32)>,
    copy: Stream,
    frames: u64,
    naive: Naive,
    log: BTreeMap<u64, Logged>,
    ids: BTreeMap<Vec<u8>, (u64, i64)>,
    /// Acks sent, whether or not they arrived: consumer and sequence.
    acks: BTreeSet<(String, u64)>,
    /// Acks that were confirmed.
    confirmed: BTreeSet<(String, u64)>,
    /// What purges removed whose answers are due.
    purges: VecDeque<u64>,
    /// Expected last sequence of the subject, by payload.
    expected: BTreeMap<Bytes, u64>,
    /// Answers that were judged.
    pub answers: u64,
    /// Deliveries that were judged.
    pub deliveries: u64,
}

struct Nobody;

impl Interest for Nobody {
    fn has(&self, _: &[u8]) -> bool {
        false
    }
    fn has_group(&self, _: &[u8], _: &[u8]) -> bool {
        false
    }
}

impl Oracle {
    /// The judge of a stream that is about to begin.
    pub fn new(asset: &Asset) -> Result<Oracle, StoreError> {
        let disk = Arc::new(HostileDisk::new(0));
        let (store, ..) = FileStore::open(disk, "copy", FileOptions::default())?;
        let copy = Stream::new(asset.identity.clone(), asset.config.clone(), Box::new(store));
        Ok(Oracle {
            asset: asset.clone(),
            entries: Vec::new(),
            copy,
            frames: 0,
            naive: Naive::new(asset.config.clone()),
            log: BTreeMap::new(),
            ids: BTreeMap::new(),
            acks: BTreeSet::new(),
            confirmed: BTreeSet::new(),
            purges: VecDeque::new(),
            expected: BTreeMap::new(),
            answers: 0,
            deliveries: 0,
        })
    }

    /// A request is on its way.
    pub fn asked(&mut self, asked: &Asked) {
        if let Asked::Publish { payload, subject_seq: Some(n), .. } = asked {
            self.expected.insert(payload.clone(), *n);
        }
    }

    /// An ack or TERM is on its way.
    pub fn ack_sent(&mut self, consumer: &str, seq: u64) {
        self.acks.insert((consumer.to_owned(), seq));
    }

    /// An entry was committed, or was found in the log after a restart.
    pub fn committed(&mut self, c: &Committed) -> Verdict {
        let sum = (c.term, crc32fast::hash(&c.data));
        if let Some(known) = c.index.checked_sub(1).and_then(|i| self.entries.get(i as usize)) {
            return match *known == sum {
                true => Ok(()),
                false => Err(format!("entry {} changed after it was committed", c.index)),
            };
        }
        if c.index != self.entries.len() as u64 + 1 {
            return Err(format!("entry {} follows entry {}", c.index, self.entries.len()));
        }
        self.entries.push(sum);
        for frame in frames(&c.data, true) {
            let frame = frame.map_err(|e| format!("entry {}: {e}", c.index))?;
            let change = Change::read(&frame).map_err(|e| format!("entry {}: {e}", c.index))?;
            self.frame(&change, frame.raw).map_err(|e| format!("entry {}: {e}", c.index))?;
        }
        Ok(())
    }

    fn frame(&mut self, change: &Change<'_>, raw: &[u8]) -> Verdict {
        if let Change::Message(m) | Change::Skip(m) = change {
            let skipped = matches!(change, Change::Skip(_));
            self.message(m.seq, m.ts, m.subject, m.headers, m.payload, skipped)?;
        }
        self.naive.apply(change)?;
        self.frames += 1;
        let (facts, mut fx) = (Facts::default(), Vec::new());
        let mut cx = Cx { now: 0, random: 0, facts: &facts, interest: &Nobody, fx: &mut fx };
        self.copy.apply(self.frames, 1, raw, &mut cx).map_err(|e| e.to_string())?;
        match change {
            Change::Purge { .. } => self.purges.push_back(self.naive.purged),
            Change::Gone { name, .. } => {
                let name = String::from_utf8_lossy(name).into_owned();
                self.confirmed.retain(|(c, _)| *c != name);
            }
            _ => {}
        }
        let agrees = self.naive.agrees(&self.copy.state());
        let acks_remove = self.asset.config.retention != RetentionPolicy::Limits;
        match change {
            Change::Delta { .. } | Change::Gone { .. } | Change::Consumer { .. }
                if acks_remove && !agrees =>
            {
                self.justify_removals()
            }
            _ if agrees => Ok(()),
            other => {
                Err(format!("after {other:?}: {} but {:?}", self.naive.totals(), self.copy.state()))
            }
        }
    }

    fn message(
        &mut self,
        seq: u64,
        ts: i64,
        subject: &[u8],
        block: &[u8],
        payload: &[u8],
        skipped: bool,
    ) -> Verdict {
        if let Some(want) = self.expected.get(payload) {
            let last = self.naive.last_of(subject);
            if last != *want {
                return Err(format!("{seq} expected {want} as last of its subject, not {last}"));
            }
        }
        let id = headers::get(block, name::MSG_ID).map(<[u8]>::to_vec);
        if let Some(id) = &id
            && let Some((old, at)) = self.ids.insert(id.clone(), (seq, ts))
            && ts - at < self.naive.config.duplicate_window
        {
            return Err(format!("{seq} has the message id of {old}"));
        }
        let logged = Logged { subject: subject.to_vec(), payload: payload.to_vec(), id, skipped };
        match self.log.insert(seq, logged) {
            Some(_) => Err(format!("sequence {seq} was used twice")),
            None => Ok(()),
        }
    }

    /// Messages that went although no limit, purge or delete covers them: every
    /// consumer that wanted them must have been sent an ack.
    fn justify_removals(&mut self) -> Verdict {
        let present = sequences(&self.copy)?;
        if let Some(extra) = present.iter().find(|s| !self.naive.msgs.contains_key(s)) {
            return Err(format!("{extra} came back"));
        }
        let gone: Vec<u64> =
            self.naive.msgs.keys().filter(|s| !present.contains(s)).copied().collect();
        let interest = self.asset.config.retention == RetentionPolicy::Interest;
        for seq in gone {
            let subject = self.naive.msgs.get(&seq).map(|m| m.subject.clone()).unwrap_or_default();
            let acked = |c: &String| self.acks.contains(&(c.clone(), seq));
            let names = self.naive.consumers.keys();
            let ok = match interest {
                true => names.filter(|c| self.naive.wants(c, &subject)).all(acked),
                false => self.acks.iter().any(|(_, s)| *s == seq),
            };
            if !ok {
                return Err(format!("{seq} was removed before it was acked"));
            }
            self.naive.remove(seq);
        }
        match self.naive.agrees(&self.copy.state()) {
            true => Ok(()),
            false => Err(format!("{} but {:?}", self.naive.totals(), self.copy.state())),
        }
    }

    /// A message left the node.
    pub fn sent(&mut self, o: &Outgoing, clients: &mut Clients) -> Verdict {
        if let Some(ack) = AckSubject::parse(&o.reply) {
            let consumer = String::from_utf8_lossy(ack.consumer).into_owned();
            return self.delivered(o, consumer, ack.stream_seq, clients);
        }
        // Publishes get one answer; deliveries of a pull come to the same subject.
        let Some((_, asked)) = clients.asked.get(&o.to) else { return Ok(()) };
        match asked.clone() {
            Asked::Publish { subject, payload, id, last_seq, .. } => {
                clients.asked.remove(&o.to);
                self.answers += 1;
                let seq = self.pub_ack(&o.payload, &subject, &payload, id, last_seq)?;
                let last = clients.last_seen.entry(self.asset.group).or_default();
                *last = seq.max(*last);
                Ok(())
            }
            Asked::DoubleAck { consumer, seq } => {
                self.answers += 1;
                if self.naive.consumers.contains_key(&consumer) {
                    self.confirmed.insert((consumer, seq));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn delivered(
        &mut self,
        o: &Outgoing,
        consumer: String,
        seq: u64,
        clients: &mut Clients,
    ) -> Verdict {
        self.deliveries += 1;
        let Some(m) = self.log.get(&seq) else {
            return Err(format!("{consumer} was given {seq}, which was never committed"));
        };
        let subject = if o.subject.is_empty() { &o.to } else { &o.subject };
        if m.payload != o.payload || m.subject != **subject || m.skipped {
            return Err(format!("{consumer} was given another content of {seq}"));
        }
        if self.confirmed.contains(&(consumer.clone(), seq)) {
            return Err(format!("{consumer} was given {seq} after its ack was confirmed"));
        }
        clients.delivered(Delivery {
            group: self.asset.group,
            reply: o.reply.clone(),
            consumer,
            seq,
        });
        Ok(())
    }

    /// Judges a PubAck; yields its sequence, 0 for a refusal.
    fn pub_ack(
        &mut self,
        body: &[u8],
        subject: &[u8],
        payload: &[u8],
        id: Option<String>,
        last_seq: Option<u64>,
    ) -> Result<u64, String> {
        let text = String::from_utf8_lossy(body).into_owned();
        let ack: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        if ack.get("error").is_some() {
            return Ok(0);
        }
        let seq = ack.get("seq").and_then(serde_json::Value::as_u64).unwrap_or(0);
        let Some(m) = self.log.get(&seq) else {
            return Err(format!("{text} was answered, but nothing is committed there"));
        };
        if ack.get("duplicate").is_some() {
            return match id.is_some_and(|i| m.id.as_deref() == Some(i.as_bytes())) {
                true => Ok(seq),
                false => Err(format!("{text} was answered, but the message ids differ")),
            };
        }
        if m.subject != subject || (m.payload != payload && !m.skipped) {
            return Err(format!("{text} was answered, but another message is there"));
        }
        if last_seq.is_some_and(|want| want + 1 != seq) {
            return Err(format!("{text} was answered, but {last_seq:?} was expected as last"));
        }
        Ok(seq)
    }

    /// An API call was answered.
    pub fn done(&mut self, asked: &Asked, result: &Result<Completion, ApiError>) -> Verdict {
        self.answers += 1;
        match (asked, result) {
            (Asked::Purge, Ok(Completion::Purged(n))) => match self.purges.pop_front() {
                Some(want) if want == *n => Ok(()),
                other => Err(format!("a purge says {n} messages, it was {other:?}")),
            },
            (Asked::Delete(seq), Ok(_)) if self.naive.msgs.contains_key(seq) => {
                Err(format!("{seq} is still there after its delete was answered"))
            }
            _ => Ok(()),
        }
    }

    /// The node restarted: everything that was committed is applied again.
    pub fn restarted(&mut self, actor: &Actor) -> Verdict {
        self.purges.clear();
        let (have, want) = (actor.stream.applied().0, self.entries.len() as u64);
        if have < want {
            let why = actor.stream.poisoned().unwrap_or("the rest is not in the log");
            return Err(format!("{want} entries were committed, {have} are there: {why}"));
        }
        self.check(actor)
    }

    /// Holds everything against everything.
    pub fn check(&self, actor: &Actor) -> Verdict {
        let s = &actor.stream;
        if s.poisoned().is_some() || s.applied().0 < self.entries.len() as u64 {
            return Ok(());
        }
        for c in s.consumers() {
            for st in [c.state(), c.live()] {
                if st.ack_floor.stream > st.delivered.stream
                    || st.ack_floor.consumer > st.delivered.consumer
                    || st.delivered.stream > s.state().last_seq
                {
                    return Err(format!("consumer {}: positions {st:?}", c.name()));
                }
            }
            if c.is_leader()
                && let Some(seq) =
                    c.live().pending.keys().find(|seq| !self.naive.msgs.contains_key(seq))
            {
                return Err(format!("consumer {} awaits {seq}, which is gone", c.name()));
            }
        }
        self.check_messages(s)?;
        let hash = |s: &Stream| s.state_hash().map_err(|e| e.to_string());
        if hash(s)? != hash(&self.copy)? {
            return Err(format!("state differs: {}", difference(s, &self.copy)));
        }
        Ok(())
    }

    fn check_messages(&self, s: &Stream) -> Verdict {
        let everything = Filter::default();
        let mut from = 0;
        let mut expected = self.naive.msgs.iter();
        while let Some(m) = s.store().next(&everything, from).map_err(|e| e.to_string())? {
            from = m.seq + 1;
            let same = expected.next().is_some_and(|(seq, x)| {
                *seq == m.seq
                    && x.subject == m.subject
                    && x.headers == m.headers
                    && x.payload == m.payload
                    && x.ts == m.ts
            });
            if !same {
                return Err(format!("message {} is not what it should be", m.seq));
            }
        }
        match expected.next() {
            Some((seq, _)) => Err(format!("message {seq} is missing")),
            None => Ok(()),
        }
    }

    /// After damage: what can be read is what was written.
    pub fn check_damaged(&self, actor: &Actor) -> Verdict {
        let s = &actor.stream;
        if s.state().last_seq < self.naive.last_seq {
            // An older checkpoint without the log behind it.
            return Err(format!("ends at {}, not {}", s.state().last_seq, self.naive.last_seq));
        }
        for (seq, x) in &self.naive.msgs {
            match s.store().load(*seq) {
                Ok(Some(m)) if x.payload == m.payload && x.subject == m.subject => {}
                Ok(Some(_)) => return Err(format!("message {seq} has another content")),
                Ok(None) => return Err(format!("message {seq} is absent without a word")),
                Err(StoreError::Damaged { .. }) => {}
                Err(e) => return Err(e.to_string()),
            }
        }
        Ok(())
    }

    /// Entries committed so far.
    pub fn entries(&self) -> u64 {
        self.entries.len() as u64
    }
}

fn sequences(s: &Stream) -> Result<BTreeSet<u64>, String> {
    let everything = Filter::default();
    let (mut out, mut from) = (BTreeSet::new(), 0);
    while let Some(m) = s.store().next(&everything, from).map_err(|e| e.to_string())? {
        from = m.seq + 1;
        out.insert(m.seq);
    }
    Ok(out)
}

/// Names a part in which two streams differ.
fn difference(a: &Stream, b: &Stream) -> String {
    if a.state() != b.state() {
        return format!("totals {:?} and {:?}", a.state(), b.state());
    }
    if a.config() != b.config() {
        return format!("configurations {:?} and {:?}", a.config(), b.config());
    }
    for (x, y) in a.consumers().zip(b.consumers()) {
        if x.state() != y.state() || x.config() != y.config() {
            return format!("consumer {}: {:?} and {:?}", x.name(), x.state(), y.state());
        }
    }
    let names = |s: &Stream| -> Vec<String> { s.consumers().map(|c| c.name().into()).collect() };
    if names(a) != names(b) {
        return format!("consumers {:?} and {:?}", names(a), names(b));
    }
    let ids = |s: &Stream| s.dedupe_len();
    format!("message ids ({} and {}), ends or an encoding", ids(a), ids(b))
}
