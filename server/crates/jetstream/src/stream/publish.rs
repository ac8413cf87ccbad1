//! Publishing: the leader's checks in nats-server's R1 order and the proposal
//! (contract/jetstream.md §3).

use super::answer;
use super::counter::{self, Counter};
use super::dedupe::IdHash;
use super::expiry::Ttl;
use super::headers::{self, PublishHeaders, name};
use super::lead::{Answer, InFlight, Leading};
use super::log::Change;
use super::rules::{Rules, UNLIMITED};
use super::{Cx, Inbound, Stream, fast, traced};
use crate::duration::SECOND;
use crate::effect::Traced;
use crate::error::{self, ApiError};
use bytes::Bytes;
use gust_storage::record::MessageView;
use gust_storage::store::{Filter, StoreError};

/// Most bytes of headers a stream stores.
pub(super) const MAX_HEADERS: usize = u16::MAX as usize;

/// Why a message is not proposed.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The publisher gets this error.
    Error(ApiError),
    /// It was stored before, under this sequence.
    Duplicate(u64),
    /// Exact state is needed: try again when nothing is in flight.
    Wait,
}

impl From<ApiError> for Refusal {
    fn from(e: ApiError) -> Self {
        Refusal::Error(e)
    }
}

impl From<StoreError> for Refusal {
    fn from(e: StoreError) -> Self {
        Refusal::Error(error::stream_store_failed(e))
    }
}

/// A message that passed its checks, as it will be logged.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub subject: Bytes,
    pub headers: Bytes,
    pub payload: Bytes,
    pub id: Option<(IdHash, Bytes)>,
    /// A counter's new value.
    pub val: Option<String>,
    /// A counter's new state.
    pub counter: Option<Counter>,
    /// Nobody is interested: only a sequence is used.
    pub skip: bool,
    /// It removes messages of other subjects (`Nats-Rollup: all`, a schedule's end).
    pub barrier: bool,
}

impl Stream {
    /// A message published to one of the stream's subjects. The answer is an
    /// effect: errors at once, PubAcks when [`Stream::apply`] gets the entry back.
    pub fn publish(&mut self, msg: Inbound, cx: &mut Cx<'_>) {
        let Some(lead) = &self.lead else { return cx.told(msg.tracing, Traced::default()) };
        if lead.has_deferred() {
            return self.defer(msg, cx);
        }
        if let Some(back) = self.publish_now(msg, cx) {
            self.defer(back, cx);
        }
    }

    fn defer(&mut self, msg: Inbound, cx: &mut Cx<'_>) {
        let Some(lead) = &mut self.lead else { return };
        let (reply, tracing) = (msg.reply.clone(), msg.tracing);
        if lead.defer(msg) {
            return;
        }
        let e = error::stream_too_many_requests();
        cx.told(tracing, traced::refused(traced::text(&e)));
        if !reply.is_empty() && !lead.rules.config.no_ack {
            let payload = answer::refusal(&lead.rules, &e);
            let status = Bytes::from_static(b"NATS/1.0 429 Too Many Requests\r\n\r\n");
            cx.send(reply, status, payload);
        }
    }

    /// Takes up publishes that waited, as far as they need not wait again.
    pub(super) fn publish_deferred(&mut self, cx: &mut Cx<'_>) {
        while let Some(lead) = &mut self.lead {
            let Some(msg) = lead.next_deferred() else { return };
            if let Some(back) = self.publish_now(msg, cx) {
                if let Some(lead) = &mut self.lead {
                    lead.defer_again(back);
                }
                return;
            }
        }
    }

    /// Decides about `msg`, or gives it back because it has to wait.
    fn publish_now(&mut self, msg: Inbound, cx: &mut Cx<'_>) -> Option<Inbound> {
        let mut lead = self.lead.take()?;
        if msg.tracing.is_some_and(|t| t.only) {
            let rules = lead.rules.clone();
            let wait = self.trace_only(&mut lead, &rules, msg, cx);
            self.lead = Some(lead);
            return wait;
        }
        if let Some(id) = headers::get(&msg.headers, name::BATCH_ID) {
            let id = Bytes::copy_from_slice(id);
            let wait = self.atomic(&mut lead, id, msg, cx);
            self.lead = Some(lead);
            return wait;
        }
        if msg.reply.ends_with(fast::SUFFIX) {
            let wait = self.fast(&mut lead, msg, cx);
            self.lead = Some(lead);
            return wait;
        }
        let rules = lead.rules.clone();
        let verdict = self.check(&mut lead, &rules, &msg, cx);
        if msg.tracing.is_some() && !matches!(verdict, Err(Refusal::Wait)) {
            let told = self.traced(&mut lead, &rules, &msg, &verdict, cx);
            cx.told(msg.tracing, told);
        }
        let wants_answer = !msg.reply.is_empty() && !rules.config.no_ack;
        let wait = match verdict {
            Ok(checked) => {
                let val = checked.val.clone();
                let seq = propose(&mut lead, &rules, checked, cx.now);
                if wants_answer {
                    lead.answer(match val {
                        Some(v) => Answer::Ready {
                            reply: msg.reply,
                            payload: answer::pub_ack(&rules, seq, |a| a.value = &v),
                        },
                        None => Answer::PubAck { reply: msg.reply, seq },
                    });
                }
                None
            }
            Err(Refusal::Wait) => Some(msg),
            Err(Refusal::Error(e)) => {
                if wants_answer {
                    cx.send(msg.reply, Bytes::new(), answer::refusal(&rules, &e));
                }
                None
            }
            Err(Refusal::Duplicate(seq)) => {
                if wants_answer {
                    // If the original is still in flight this waits with it.
                    let payload = answer::pub_ack(&rules, seq, |a| a.duplicate = true);
                    lead.answer(Answer::Ready { reply: msg.reply, payload });
                    self.release(&mut lead, cx);
                }
                None
            }
        };
        self.lead = Some(lead);
        wait
    }

    /// Every check of a plain publish, in order.
    pub(super) fn check(
        &self,
        lead: &mut Leading,
        rules: &Rules,
        msg: &Inbound,
        cx: &Cx<'_>,
    ) -> Result<Checked, Refusal> {
        let mut m = self.incoming(rules, msg, cx);
        if rules.config.sealed {
            return Err(error::stream_sealed().into());
        }
        if !m.headers.is_empty() {
            let block = m.headers.clone();
            let h = PublishHeaders::read(&block);
            self.check_headers(lead, rules, &h, &mut m, cx)?;
        } else if rules.config.allow_msg_counter {
            return Err(error::message_incr_missing().into());
        }
        self.check_limits(lead, rules, &mut m, cx)?;
        Ok(m)
    }

    /// The message as it would be stored if nothing else changed it.
    pub(super) fn incoming(&self, rules: &Rules, msg: &Inbound, cx: &Cx<'_>) -> Checked {
        let mapped = rules.transform.as_ref().and_then(|t| t.apply(&msg.subject, cx.random));
        Checked {
            subject: mapped.map_or_else(|| msg.subject.clone(), Bytes::from),
            headers: headers::stored(&msg.headers),
            payload: msg.payload.clone(),
            ..Checked::default()
        }
    }

    fn check_headers(
        &self,
        lead: &mut Leading,
        rules: &Rules,
        h: &PublishHeaders<'_>,
        m: &mut Checked,
        cx: &Cx<'_>,
    ) -> Result<(), Refusal> {
        let config = &rules.config;
        let incr = counter::check(config.allow_msg_counter, h, &m.payload)?;
        if h.stream.is_some_and(|s| s != config.name.as_bytes()) {
            return Err(error::stream_not_match().into());
        }
        let ttl = h.ttl.map(Ttl::parse);
        if ttl.flatten().is_some() && !config.allow_msg_ttl {
            return Err(error::message_ttl_disabled().into());
        }
        self.check_subject_seq(lead, h, &m.subject)?;
        if h.last_seq.is_some_and(|want| want != lead.last_seq) {
            return Err(error::stream_wrong_last_sequence(lead.last_seq).into());
        }
        if h.scheduled {
            self.check_schedule(lead, rules, m)?;
        }
        if h.source.is_some() {
            return Err(error::message_source_hdr_not_allowed().into());
        }
        if let Some(id) = h.id {
            let hash = self.dedupe.hash(id);
            let seen = lead.id_in_flight(hash).or_else(|| self.dedupe.find(hash, cx.now));
            if let Some(seq) = seen {
                return Err(Refusal::Duplicate(seq));
            }
            m.id = Some((hash, Bytes::copy_from_slice(id)));
        }
        if let Some(want) = h.last_id {
            let last = lead.last_id.as_ref().unwrap_or(&self.last_id);
            if want != last {
                let last = String::from_utf8_lossy(last);
                return Err(error::stream_wrong_last_msg_id(last).into());
            }
        }
        if let Some(rollup) = h.rollup {
            m.barrier |= check_rollup(rules, rollup)?;
        }
        match incr {
            Some(incr) => self.count(lead, m, incr, None),
            None if config.allow_msg_counter => Err(error::message_incr_missing().into()),
            None => Ok(()),
        }
    }

    /// `Nats-Expected-Last-Subject-Sequence` and the subject it may name.
    pub(super) fn check_subject_seq(
        &self,
        lead: &mut Leading,
        h: &PublishHeaders<'_>,
        subject: &[u8],
    ) -> Result<(), Refusal> {
        let Some(want) = h.subject_seq else {
            return match h.subject {
                Some(_) => Err(error::stream_expected_last_seq_per_subject_invalid().into()),
                None => Ok(()),
            };
        };
        let last = self.last_of(lead, h.subject.unwrap_or(subject))?;
        if last != want {
            return Err(error::stream_wrong_last_sequence(last).into());
        }
        Ok(())
    }

    /// Last sequence of a subject or filter, in flight included.
    pub(super) fn last_of(&self, lead: &mut Leading, filter: &[u8]) -> Result<u64, Refusal> {
        if lead.behind_barrier() {
            return Err(Refusal::Wait);
        }
        let wild = gust_subject::has_wildcards(filter);
        let in_flight = match wild {
            true => lead.last_matching(filter),
            false => lead.subject(filter).last,
        };
        let last = match in_flight {
            0 if wild => {
                let f = Filter { subjects: vec![Bytes::copy_from_slice(filter)] };
                self.store.prev(&f, u64::MAX)?.map_or(0, |m| m.seq)
            }
            0 => self.store.subject(filter)?.map_or(0, |s| s.last),
            seq => seq,
        };
        match self.may_go(lead, last) {
            true => Err(Refusal::Wait),
            false => Ok(last),
        }
    }

    /// Whether what is in flight may remove message `seq`: acknowledgements,
    /// or messages that push it out by `max_msgs` or `max_bytes`. Counts from
    /// above: `false` is certain. Barriers and `max_msgs_per_subject` are not
    /// looked at; the latter never takes the last message of a subject.
    pub(super) fn may_go(&self, lead: &Leading, seq: u64) -> bool {
        if seq == 0 || lead.drained() {
            return false;
        }
        let state = self.store.state();
        if seq <= state.last_seq && lead.acks_in_flight() {
            return true;
        }
        let rules = &lead.rules;
        if rules.discard_new() || lead.msgs() == 0 {
            return false;
        }
        // It stays while fewer than `max_msgs` can be above it.
        let over = state.msgs.saturating_add(lead.msgs()) > rules.max_msgs;
        if over && lead.last_seq.saturating_sub(seq) >= rules.max_msgs {
            return true;
        }
        // Before it go at least so many, of at least so many bytes each.
        let excess = state.bytes.saturating_add(lead.bytes).saturating_sub(rules.max_bytes);
        let before = match state.last_seq.checked_sub(seq) {
            Some(above) => state.msgs.saturating_sub(above + 1),
            None => state.msgs,
        };
        before.saturating_mul(rules.visible(1, 0, 0)) < excess
    }

    /// Sizes, interest and limits.
    pub(super) fn check_limits(
        &self,
        lead: &mut Leading,
        rules: &Rules,
        m: &mut Checked,
        cx: &Cx<'_>,
    ) -> Result<(), Refusal> {
        let size = (m.headers.len() + m.payload.len()) as u64;
        if size > rules.max_msg_size {
            return Err(error::stream_message_exceeds_maximum().into());
        }
        if m.headers.len() > MAX_HEADERS {
            return Err(error::stream_header_exceeds_maximum().into());
        }
        if cx.facts.server_full {
            return Err(error::insufficient_resources().into());
        }
        if rules.interest() && !self.consumers.wants(&m.subject) {
            if lead.behind_barrier() {
                return Err(Refusal::Wait);
            }
            m.skip = true;
            return Ok(());
        }
        if cx.facts.account_full {
            return Err(error::account_resources_exceeded().into());
        }
        if !m.headers.is_empty() {
            raise_ttl(rules, m)?;
        }
        if rules.discard_new() { self.check_room(lead, rules, m) } else { Ok(()) }
    }

    /// The limits of a stream that refuses new messages (10077).
    fn check_room(&self, lead: &mut Leading, rules: &Rules, m: &Checked) -> Result<(), Refusal> {
        let full = |lead: &Leading, why: &'static str| match lead.drained() {
            true => Err(error::stream_store_failed(why).into()),
            false => Err(Refusal::Wait),
        };
        let state = self.store.state();
        let size = rules.visible(m.subject.len(), m.headers.len(), m.payload.len());
        let mut at_subject_limit = false;
        if rules.max_per_subject != UNLIMITED {
            let in_flight = lead.subject(&m.subject).msgs;
            let stored = self.store.subject(&m.subject)?.unwrap_or_default();
            at_subject_limit = stored.msgs + in_flight >= rules.max_per_subject;
            let rollup = headers::get(&m.headers, name::ROLLUP).is_some();
            if at_subject_limit && rules.config.discard_new_per_subject && !rollup {
                return full(lead, "maximum messages per subject exceeded");
            }
        }
        if state.msgs + lead.msgs() >= rules.max_msgs {
            if !at_subject_limit {
                return full(lead, "maximum messages exceeded");
            }
            if lead.behind_barrier() {
                // What it would replace may be gone when its turn comes.
                return Err(Refusal::Wait);
            }
        }
        if state.bytes + lead.bytes + size > rules.max_bytes {
            if !lead.drained() {
                return Err(Refusal::Wait);
            }
            let freed = match at_subject_limit {
                true => self.first_size(rules, &m.subject)?,
                false => 0,
            };
            if freed < size {
                return full(lead, "maximum bytes exceeded");
            }
        }
        Ok(())
    }

    /// Visible bytes of the oldest message of a subject.
    fn first_size(&self, rules: &Rules, subject: &[u8]) -> Result<u64, StoreError> {
        let Some(s) = self.store.subject(subject)? else { return Ok(0) };
        let first = self.store.load(s.first)?;
        Ok(first.map_or(0, |m| rules.visible(m.subject.len(), m.headers.len(), m.payload.len())))
    }
}

/// Whether the rollup is allowed; true if it removes more than its own subject.
pub(super) fn check_rollup(rules: &Rules, value: &[u8]) -> Result<bool, ApiError> {
    if !rules.rollup {
        return Err(error::stream_rollup_failed("rollup not permitted"));
    }
    match Rollup::read(value) {
        Some(rollup) => Ok(rollup == Rollup::All),
        None => {
            let text = String::from_utf8_lossy(value).to_lowercase();
            Err(error::stream_rollup_failed(format!("rollup value invalid: {text:?}")))
        }
    }
}

/// A message TTL below that of delete markers is raised to it, else a marker
/// could outlive nothing.
pub(super) fn raise_ttl(rules: &Rules, m: &mut Checked) -> Result<(), Refusal> {
    let Some(value) = headers::get(&m.headers, name::TTL).filter(|v| !v.is_empty()) else {
        return Ok(());
    };
    let ttl = Ttl::parse(value).ok_or_else(error::message_ttl_invalid)?;
    let least = rules.config.subject_delete_marker_ttl / SECOND;
    if let Ttl::Seconds(s) = ttl
        && s < least
        && rules.max_per_subject != 1
    {
        m.headers = headers::set(&m.headers, name::TTL, least.to_string().as_bytes());
    }
    Ok(())
}

/// What `Nats-Rollup` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rollup {
    /// Older messages of the subject go.
    Subject,
    /// All older messages go.
    All,
}

impl Rollup {
    pub fn read(value: &[u8]) -> Option<Rollup> {
        if value.eq_ignore_ascii_case(b"sub") {
            Some(Rollup::Subject)
        } else if value.eq_ignore_ascii_case(b"all") {
            Some(Rollup::All)
        } else {
            None
        }
    }
}

/// Gives the message the next sequence and appends it to the entry.
pub(super) fn propose(lead: &mut Leading, rules: &Rules, m: Checked, now: i64) -> u64 {
    lead.begin_joined();
    propose_joined(lead, rules, m, now)
}

/// As [`propose`], in the same entry as the frame before.
pub(super) fn propose_joined(lead: &mut Leading, rules: &Rules, m: Checked, now: i64) -> u64 {
    let seq = lead.last_seq + 1;
    let ts = now.max(lead.last_ts);
    let view = MessageView {
        seq,
        ts,
        subject: &m.subject,
        headers: &m.headers,
        payload: if m.skip { b"" } else { &m.payload },
    };
    let bytes = match m.skip {
        true => 0,
        false => rules.visible(m.subject.len(), m.headers.len(), m.payload.len()),
    };
    let change = if m.skip { Change::Skip(view) } else { Change::Message(view) };
    let subject = if m.skip { Bytes::new() } else { m.subject.clone() };
    lead.propose_joined(&change, InFlight { seq, subject, bytes }, ts);
    // A rollup that is not stored itself leaves nothing of its subject.
    if m.barrier || (m.skip && headers::get(&m.headers, name::ROLLUP).is_some()) {
        lead.raise_barrier();
    }
    lead.last_id = Some(match m.id {
        Some((hash, id)) => {
            lead.id_proposed(hash, seq);
            id
        }
        None => Bytes::new(),
    });
    if let Some(counter) = m.counter {
        lead.counters.insert(m.subject, counter);
    }
    seq
}
