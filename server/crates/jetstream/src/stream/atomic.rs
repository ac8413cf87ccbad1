//! Atomic batches: all messages of a batch are stored, or none (ADR-50;
//! contract/jetstream.md §3.1).
//!
//! Messages are kept by the leader until the commit, then checked together and
//! logged in one entry, so that nobody ever reads half a batch. A leader that
//! steps down forgets its batches; their publishers get 10176 and start again.

use super::expiry::Ttl;
use super::headers::{self, PublishHeaders, name};
use super::lead::{Answer, Leading};
use super::publish::{Checked, Refusal, Rollup, propose_joined};
use super::rules::{Rules, UNLIMITED};
use super::{Cx, Inbound, Stream, answer, counter, traced};
use crate::api::advisory::{BatchAbandoned, Event};
use crate::config::level;
use crate::effect::{Effect, Nanos, Traced};
use crate::error::{self, ApiError};
use crate::json;
use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use std::collections::BTreeMap;

/// Longest id of a batch.
const MAX_ID: usize = 64;
/// Most bytes a batch may hold until its commit; beyond it is abandoned as too
/// large. One entry has to carry them.
const MAX_BYTES: usize = 48 << 20;

/// How much batching is allowed (`jetstream { limits { batch {…} } }`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Open batches of one stream.
    pub per_stream: usize,
    /// Batches other streams of this server may still open, this one included.
    pub room: usize,
    /// Messages of one batch.
    pub msgs: u64,
    /// Idleness after which a batch is abandoned, ns.
    pub timeout: Nanos,
}

impl Default for BatchLimits {
    fn default() -> Self {
        let timeout = 10 * crate::duration::SECOND;
        BatchLimits { per_stream: 50, room: 1000, msgs: 1000, timeout }
    }
}

/// A batch before its commit.
#[derive(Debug, Default)]
pub(super) struct Batch {
    msgs: Vec<Inbound>,
    bytes: usize,
    /// When it is abandoned unless something comes.
    pub until: Nanos,
}

pub(super) type Batches = BTreeMap<Bytes, Batch>;

/// What the messages before it in the batch did.
#[derive(Debug, Default)]
struct Staged {
    subjects: HashMap<Bytes, u64>,
    ids: HashSet<u128>,
    expected: HashMap<Bytes, u64>,
    msgs: u64,
    bytes: u64,
}

/// Whether a message ends its batch.
fn commit_of(msg: &Inbound) -> Result<Commit, ApiError> {
    match headers::get(&msg.headers, name::BATCH_COMMIT) {
        None => Ok(Commit::No),
        Some(b"1") => Ok(Commit::Last),
        Some(b"eob") => Ok(Commit::Eob),
        Some(_) => Err(error::atomic_publish_invalid_batch_commit()),
    }
}

enum Commit {
    No,
    /// This message is the last one.
    Last,
    /// The one before was the last.
    Eob,
}

impl Stream {
    /// A message with `Nats-Batch-Id`; gives it back if it has to wait.
    pub(super) fn atomic(
        &mut self,
        lead: &mut Leading,
        id: Bytes,
        msg: Inbound,
        cx: &mut Cx<'_>,
    ) -> Option<Inbound> {
        let rules = lead.rules.clone();
        let reply = if rules.config.no_ack { Bytes::new() } else { msg.reply.clone() };
        let wait = msg.clone();
        let step = self.atomic_step(lead, &rules, &id, msg, cx);
        match &step {
            Ok(_) => cx.told(wait.tracing, Traced::default()),
            Err(Refusal::Error(e)) => cx.told(wait.tracing, traced::refused(traced::text(e))),
            Err(_) => {}
        }
        match step {
            Ok(None) => cx.send(reply, Bytes::new(), Bytes::new()),
            Ok(Some((seq, count))) => {
                if !reply.is_empty() {
                    let text = String::from_utf8_lossy(&id);
                    let payload = answer::pub_ack(&rules, seq, |a| {
                        (a.batch, a.count) = (&text, count);
                    });
                    lead.answer(Answer::Ready { reply, payload });
                }
            }
            Err(Refusal::Wait) => return Some(wait),
            Err(Refusal::Error(e)) => cx.send(reply, Bytes::new(), answer::refusal(&rules, &e)),
            // Batches never answer with a duplicate.
            Err(Refusal::Duplicate(_)) => {}
        }
        None
    }

    /// Stages one message; the last sequence and the number of messages if it
    /// committed the batch.
    fn atomic_step(
        &mut self,
        lead: &mut Leading,
        rules: &Rules,
        id: &Bytes,
        msg: Inbound,
        cx: &mut Cx<'_>,
    ) -> Result<Option<(u64, u64)>, Refusal> {
        let seq = self.check_step(lead, rules, id, &msg, cx)?;
        let limits = cx.facts.batch;
        let commit = commit_of(&msg);
        let eob = matches!(commit, Ok(Commit::Eob));
        let size = seq - u64::from(eob && seq > 0);
        lead.batches.entry(id.clone()).or_default();
        let abandon = |lead: &mut Leading, cx: &mut Cx<'_>, why: &str, e: ApiError| {
            lead.batches.remove(id);
            if !why.is_empty() {
                abandoned(rules, id, why, cx);
            }
            Refusal::Error(e)
        };
        let commit = commit.map_err(|e| abandon(lead, cx, "", e))?;
        let level = headers::get(&msg.headers, name::REQUIRED_LEVEL);
        if !level::request_supported(level) {
            return Err(abandon(lead, cx, "unsupported", error::required_api_level()));
        }
        let batch = lead.batches.entry(id.clone()).or_default();
        // A commit that had to wait for other changes was not staged, see below.
        if batch.msgs.len() as u64 + 1 != seq || (seq == 1 && eob) {
            let e = error::atomic_publish_incomplete_batch();
            return Err(abandon(lead, cx, "incomplete", e));
        }
        if size > limits.msgs || batch.bytes + msg.size() > MAX_BYTES {
            let e = error::atomic_publish_too_large_batch(limits.msgs);
            return Err(abandon(lead, cx, "large", e));
        }
        batch.until = cx.now.saturating_add(limits.timeout);
        if matches!(commit, Commit::No) {
            batch.bytes += msg.size();
            batch.msgs.push(msg);
            return Ok(None);
        }
        let Some(mut batch) = lead.batches.remove(id) else { return Ok(None) };
        let staged = batch.msgs.len();
        if !eob {
            batch.msgs.push(msg);
        }
        match self.commit(lead, rules, &batch.msgs, eob, cx) {
            Ok(last) => Ok(Some((last, batch.msgs.len() as u64))),
            Err(Refusal::Wait) => {
                batch.msgs.truncate(staged);
                lead.batches.insert(id.clone(), batch);
                Err(Refusal::Wait)
            }
            Err(refused) => Err(refused),
        }
    }

    /// Sequence in the batch of a message that may begin it or go on with it.
    pub(super) fn check_step(
        &self,
        lead: &Leading,
        rules: &Rules,
        id: &Bytes,
        msg: &Inbound,
        cx: &Cx<'_>,
    ) -> Result<u64, Refusal> {
        check_first(rules, id, msg, cx)?;
        let seq = headers::get(&msg.headers, name::BATCH_SEQ).and_then(headers::number);
        let seq = seq.ok_or_else(error::atomic_publish_missing_seq)?;
        let limits = cx.facts.batch;
        if !lead.batches.contains_key(id) {
            let eob = matches!(commit_of(msg), Ok(Commit::Eob));
            if seq != 1 {
                return Err(match seq - u64::from(eob && seq > 0) > limits.msgs {
                    true => error::atomic_publish_too_large_batch(limits.msgs),
                    false => error::atomic_publish_incomplete_batch(),
                }
                .into());
            }
            if lead.batches.len() >= limits.per_stream || limits.room == 0 {
                return Err(error::atomic_publish_too_many_inflight().into());
            }
        }
        Ok(seq)
    }

    fn commit(
        &self,
        lead: &mut Leading,
        rules: &Rules,
        msgs: &[Inbound],
        eob: bool,
        cx: &Cx<'_>,
    ) -> Result<u64, Refusal> {
        let mut staged = Staged::default();
        let mut checked = Vec::with_capacity(msgs.len());
        let counters = lead.counters.clone();
        for msg in msgs {
            match self.check_in_batch(lead, rules, msg, &mut staged, cx) {
                Ok(m) => checked.push(m),
                Err(refused) => {
                    lead.counters = counters;
                    return Err(refused);
                }
            }
        }
        if eob && let Some(last) = checked.last_mut() {
            last.headers = headers::add(&last.headers, name::BATCH_COMMIT, b"1");
        }
        lead.begin_joined();
        let mut seq = lead.last_seq;
        for m in checked {
            seq = propose_joined(lead, rules, m, cx.now);
        }
        Ok(seq)
    }

    /// The checks of one message of a batch, in the order nats-server makes them.
    fn check_in_batch(
        &self,
        lead: &mut Leading,
        rules: &Rules,
        msg: &Inbound,
        staged: &mut Staged,
        cx: &Cx<'_>,
    ) -> Result<Checked, Refusal> {
        let mut m = self.incoming(rules, msg, cx);
        if headers::get(&m.headers, name::REQUIRED_LEVEL).is_some() {
            m.headers = headers::retain(&m.headers, |k| k != name::REQUIRED_LEVEL);
        }
        let block = m.headers.clone();
        let h = PublishHeaders::read(&block);
        let config = &rules.config;
        if h.last_id.is_some() {
            let header = "Nats-Expected-Last-Msg-Id";
            return Err(error::atomic_publish_unsupported_header_batch(header).into());
        }
        if block.len() > super::publish::MAX_HEADERS {
            return Err(error::stream_header_exceeds_maximum().into());
        }
        let incr = counter::check(config.allow_msg_counter, &h, &m.payload)?;
        if h.stream.is_some_and(|s| s != config.name.as_bytes()) {
            return Err(error::stream_not_match().into());
        }
        match h.ttl.map(Ttl::parse) {
            Some(_) if !config.allow_msg_ttl => return Err(error::message_ttl_disabled().into()),
            Some(None) => return Err(error::message_ttl_invalid().into()),
            _ => {}
        }
        if let Some(id) = h.id {
            let hash = self.dedupe.hash(id);
            let seen = lead.id_in_flight(hash).or_else(|| self.dedupe.find(hash, cx.now));
            if seen.is_some() || !staged.ids.insert(hash) {
                return Err(error::atomic_publish_contains_duplicate_message().into());
            }
            m.id = Some((hash, block.slice_ref(id)));
        }
        if h.source.is_some() {
            return Err(error::message_source_hdr_not_allowed().into());
        }
        match incr {
            Some(incr) => {
                self.count(lead, &mut m, incr, None)?;
                if let Some(c) = &m.counter {
                    lead.counters.insert(m.subject.clone(), c.clone());
                }
            }
            None if config.allow_msg_counter => return Err(error::message_incr_missing().into()),
            None => {}
        }
        self.check_expected(lead, &h, &m.subject, staged)?;
        self.check_schedule(lead, rules, &mut m)?;
        m.barrier |= check_rollup(rules, &h, &m.subject, staged)?;
        super::publish::raise_ttl(rules, &mut m)?;
        m.skip = rules.interest() && !self.consumers.wants(&m.subject);
        if m.skip && lead.behind_barrier() {
            return Err(Refusal::Wait);
        }
        *staged.subjects.entry(m.subject.clone()).or_default() += 1;
        staged.msgs += 1;
        staged.bytes += rules.visible(m.subject.len(), m.headers.len(), m.payload.len());
        self.check_batch_room(lead, rules, &m, staged)?;
        Ok(m)
    }

    fn check_expected(
        &self,
        lead: &mut Leading,
        h: &PublishHeaders<'_>,
        subject: &Bytes,
        staged: &mut Staged,
    ) -> Result<(), Refusal> {
        if let Some(want) = h.last_seq {
            let last = lead.last_seq + staged.msgs;
            if want != last {
                return Err(error::stream_wrong_last_sequence(last).into());
            }
            if staged.msgs > 0 {
                return Err(error::stream_wrong_last_sequence_constant().into());
            }
        }
        let Some(want) = h.subject_seq else {
            return match h.subject {
                Some(_) => Err(error::stream_expected_last_seq_per_subject_invalid().into()),
                None => Ok(()),
            };
        };
        let filter = h.subject.map_or_else(|| subject.clone(), Bytes::copy_from_slice);
        if staged.subjects.contains_key(&filter) {
            return Err(error::stream_wrong_last_sequence_constant().into());
        }
        let last = match staged.expected.get(&filter) {
            Some(last) => *last,
            None => self.last_of(lead, &filter)?,
        };
        if last != want {
            return Err(error::stream_wrong_last_sequence(last).into());
        }
        staged.expected.insert(filter, last);
        Ok(())
    }

    /// The limits of a stream that refuses new messages, for the whole batch.
    fn check_batch_room(
        &self,
        lead: &mut Leading,
        rules: &Rules,
        m: &Checked,
        staged: &Staged,
    ) -> Result<(), Refusal> {
        if !rules.discard_new() {
            return Ok(());
        }
        let state = self.store.state();
        let full = |why: &'static str, drained: bool| match drained {
            true => Refusal::Error(error::stream_store_failed(why)),
            false => Refusal::Wait,
        };
        if state.msgs.saturating_add(lead.msgs() + staged.msgs) > rules.max_msgs {
            return Err(full("maximum messages exceeded", lead.drained()));
        }
        if state.bytes.saturating_add(lead.bytes + staged.bytes) > rules.max_bytes {
            return Err(full("maximum bytes exceeded", lead.drained()));
        }
        let rollup = headers::get(&m.headers, name::ROLLUP).is_some();
        if rules.config.discard_new_per_subject && rules.max_per_subject != UNLIMITED && !rollup {
            let stored = self.store.subject(&m.subject)?.map_or(0, |s| s.msgs);
            let here = staged.subjects.get(&m.subject).copied().unwrap_or(0);
            if stored + lead.subject(&m.subject).msgs + here > rules.max_per_subject {
                return Err(full("maximum messages per subject exceeded", lead.drained()));
            }
        }
        Ok(())
    }
}

/// What is looked at before the batch itself.
fn check_first(rules: &Rules, id: &[u8], msg: &Inbound, cx: &Cx<'_>) -> Result<(), ApiError> {
    if rules.config.sealed {
        return Err(error::stream_sealed());
    }
    if cx.facts.server_full {
        return Err(error::insufficient_resources());
    }
    if cx.facts.account_full {
        return Err(error::account_resources_exceeded());
    }
    if (msg.headers.len() + msg.payload.len()) as u64 > rules.max_msg_size {
        return Err(error::stream_message_exceeds_maximum());
    }
    if !rules.config.allow_atomic {
        return Err(error::atomic_publish_disabled());
    }
    if id.len() > MAX_ID {
        return Err(error::atomic_publish_invalid_batch_id());
    }
    Ok(())
}

fn check_rollup(
    rules: &Rules,
    h: &PublishHeaders<'_>,
    subject: &Bytes,
    staged: &Staged,
) -> Result<bool, ApiError> {
    let Some(value) = h.rollup else { return Ok(false) };
    let all = super::publish::check_rollup(rules, value)?;
    match Rollup::read(value) {
        Some(Rollup::Subject) if staged.subjects.contains_key(subject) => {
            Err(error::stream_rollup_failed("batch rollup sub invalid"))
        }
        Some(Rollup::All) if staged.msgs > 0 => {
            Err(error::stream_rollup_failed("batch rollup all invalid"))
        }
        _ => Ok(all),
    }
}

/// Tells that a batch was given up.
pub(super) fn abandoned(rules: &Rules, id: &[u8], why: &str, cx: &mut Cx<'_>) {
    let stream = rules.config.name.clone();
    let event = BatchAbandoned {
        event: Event::new(BatchAbandoned::TYPE, super::origin::random_token(cx.random), cx.now),
        account: String::new(),
        domain: rules.domain.clone(),
        batch: String::from_utf8_lossy(id).into_owned(),
        reason: why.to_owned(),
        stream,
    };
    cx.fx.push(Effect::Advise {
        subject: BatchAbandoned::subject(&[&rules.config.name]),
        payload: json::to_bytes(&event),
    });
}

impl Leading {
    /// Gives up batches that were idle for too long.
    pub(super) fn expire_batches(&mut self, cx: &mut Cx<'_>) {
        let rules = self.rules.clone();
        self.batches.retain(|id, b| {
            let alive = b.until > cx.now;
            if !alive {
                abandoned(&rules, id, "timeout", cx);
            }
            alive
        });
        self.fast.retain(|_, b| b.until > cx.now);
    }
}
