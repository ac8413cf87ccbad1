//! Requests other than publishing: messages and consumers managed through the
//! API, acks and pulls, the turn and the clock.
//!
//! Results of API calls come out of [`Stream::take_completions`], after the
//! change they ask for is applied. A call that must see the outcome of an
//! earlier one (creating consumers, changing the configuration) waits for it.

use super::apply::Fault;
use super::consumers::mix;
use super::headers;
use super::lead::{Answer, Leading};
use super::log::{Change, GoneReason};
use super::{Completion, Cx, Stream, Token};
use crate::api::advisory;
use crate::config::consumer_change::{self, ConsumerCreate, ConsumerFacts};
use crate::config::level;
use crate::config::{
    AccountLimits, AckPolicy, ConsumerConfig, CreateConsumerRequest, RetentionPolicy, ServerLimits,
    StreamConfig,
};
use crate::consumer::{self, AckSubject, Consumer, Stop, start_delta};
use crate::effect::{Effect, Nanos};
use crate::error::{self, ApiError};
use crate::json;
use crate::time::Time;
use bytes::{Buf, Bytes, BytesMut};
use gust_storage::store::MAX_SEQ;

/// Most calls that wait for earlier ones; more get 10008.
const MAX_CALLS: usize = 4096;
/// Messages one turn delivers at most before other streams have theirs.
const DELIVER_BUDGET: usize = 1024;

/// A call that changes consumers or the configuration.
#[derive(Debug)]
pub(super) enum Call {
    Create(Box<CreateConsumerRequest>, ServerLimits, AccountLimits),
    Delete(String, GoneReason),
    Pause(String, Option<Time>),
    Config(Box<StreamConfig>),
}

/// PURGE: what is removed. `seq` and `keep` together are refused above (10003).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purge {
    /// Only this subject; empty = all.
    pub filter: Bytes,
    /// Only below this sequence; 0 = no bound.
    pub seq: u64,
    /// How many of the newest stay.
    pub keep: u64,
}

impl Stream {
    // ---- messages ----

    /// STREAM.MSG.DELETE.
    pub fn delete_msg(&mut self, seq: u64, no_erase: bool, token: Token) {
        let checked = self.leader().and_then(|lead| {
            let config = &lead.rules.config;
            if config.sealed {
                return Err(error::stream_sealed());
            }
            if config.deny_delete {
                return Err(error::stream_msg_delete_failed("message delete not permitted"));
            }
            if seq == 0 {
                return Err(error::stream_msg_delete_failed("no message found"));
            }
            if seq > lead.last_seq {
                return Err(error::stream_msg_delete_failed("stream store EOF"));
            }
            lead.propose_barrier(&Change::Delete { seq, erase: !no_erase });
            lead.answer(Answer::Api(token, Ok(Completion::Done)));
            Ok(())
        });
        self.refuse(token, checked);
    }

    /// STREAM.PURGE; completes with [`Completion::Purged`].
    pub fn purge(&mut self, purge: &Purge, token: Token) {
        let checked = self.leader().and_then(|lead| {
            let config = &lead.rules.config;
            if config.sealed {
                return Err(error::stream_sealed());
            }
            if config.deny_purge {
                return Err(error::stream_purge_failed("stream purge not permitted"));
            }
            let Purge { filter, seq, keep } = purge;
            if *seq > MAX_SEQ {
                let why = format!("sequence {seq} is beyond {MAX_SEQ}, the highest one possible");
                return Err(error::stream_purge_failed(&why));
            }
            lead.propose_barrier(&Change::Purge { below: *seq, keep: *keep, filter });
            if filter.is_empty() && *keep == 0 && *seq > lead.last_seq {
                // As the store will do: the stream moves on to `seq`.
                lead.last_seq = seq - 1;
            }
            lead.answer(Answer::Api(token, Ok(Completion::Purged(0))));
            Ok(())
        });
        self.refuse(token, checked);
    }

    // ---- configuration and consumers ----

    /// STREAM.UPDATE with a configuration that passed
    /// [`crate::config::stream_change::update`].
    pub fn update_config(&mut self, config: StreamConfig, token: Token, cx: &mut Cx<'_>) {
        self.enqueue(Call::Config(Box::new(config)), token, cx);
    }

    /// CONSUMER.CREATE with a request that passed
    /// [`crate::config::consumer_change::check_request`]; completes with
    /// [`Completion::Consumer`].
    pub fn create_consumer(
        &mut self,
        request: CreateConsumerRequest,
        server: ServerLimits,
        account: AccountLimits,
        token: Token,
        cx: &mut Cx<'_>,
    ) {
        self.enqueue(Call::Create(Box::new(request), server, account), token, cx);
    }

    /// CONSUMER.DELETE.
    pub fn delete_consumer(&mut self, name: &str, token: Token, cx: &mut Cx<'_>) {
        self.enqueue(Call::Delete(name.to_owned(), GoneReason::Deleted), token, cx);
    }

    /// CONSUMER.PAUSE until a time, or resume.
    pub fn pause_consumer(
        &mut self,
        name: &str,
        until: Option<Time>,
        token: Token,
        cx: &mut Cx<'_>,
    ) {
        self.enqueue(Call::Pause(name.to_owned(), until), token, cx);
    }

    /// CONSUMER.UNPIN.
    pub fn unpin_consumer(&mut self, name: &str, group: &str, token: Token, cx: &mut Cx<'_>) {
        let done = self.consumers.call(name, &*self.store, &self.facts, cx, |c, cx| {
            match c.unpin(cx, group) {
                Ok(wake) => (wake, Ok(Completion::Done)),
                Err(_) => (Default::default(), Err(error::consumer_invalid_priority_group())),
            }
        });
        let result = done.unwrap_or_else(|| Err(error::consumer_not_found()));
        self.completions.push((token, result));
    }

    /// CONSUMER.RESET; `seq` 0 goes back to the ack floor.
    pub fn reset_consumer(&mut self, name: &str, seq: u64, token: Token, cx: &mut Cx<'_>) {
        // The token travels as the reply, so that it comes back when it is logged.
        let reply = Bytes::copy_from_slice(&token.to_le_bytes());
        let done = self.consumers.call(name, &*self.store, &self.facts, cx, |c, cx| {
            let logged = c.is_logged();
            let result = c.reset(cx, seq, reply).map(|seq| (!logged).then_some(seq));
            (consumer::Wake { deliver: true, delete: false }, result)
        });
        let result = match done {
            None => Err(error::consumer_not_found()),
            Some(Err(why)) => Err(error::consumer_invalid_reset(why)),
            Some(Ok(None)) => return,
            Some(Ok(Some(seq))) => Ok(Completion::Reset(seq)),
        };
        self.completions.push((token, result));
    }

    // ---- consumers at work ----

    /// CONSUMER.MSG.NEXT; `false` if there is no such consumer (503).
    pub fn pull(
        &mut self,
        name: &str,
        reply: Bytes,
        headers: &[u8],
        body: &[u8],
        cx: &mut Cx<'_>,
    ) -> bool {
        let level = headers::get(headers, b"Nats-Required-Api-Level");
        let f = |c: &mut Consumer, cx: &mut consumer::Cx<'_>| {
            if !c.config().is_push() && !level::request_supported(level) {
                if !reply.is_empty() {
                    cx.send_static(&reply, consumer::status::REQUIRED_API_LEVEL);
                }
                return (consumer::Wake::default(), ());
            }
            (c.pull(cx, reply, body), ())
        };
        self.consumers.call(name, &*self.store, &self.facts, cx, f).is_some()
    }

    /// A message to an ack subject; `false` if nobody listens there (503).
    pub fn ack(&mut self, subject: &[u8], reply: &Bytes, payload: &[u8], cx: &mut Cx<'_>) -> bool {
        let Some(name) =
            AckSubject::parse(subject).and_then(|a| std::str::from_utf8(a.consumer).ok())
        else {
            return false;
        };
        let f = |c: &mut Consumer, cx: &mut consumer::Cx<'_>| {
            let wake = c.on_ack(cx, subject, reply, payload);
            (wake.unwrap_or_default(), wake.is_some())
        };
        self.consumers.call(name, &*self.store, &self.facts, cx, f).unwrap_or(false)
    }

    /// A message to a flow control subject of consumer `name`.
    pub fn flow_reply(&mut self, name: &str, subject: &[u8], headers: &[u8], cx: &mut Cx<'_>) {
        self.consumers.call(name, &*self.store, &self.facts, cx, |c, cx| {
            (c.on_flow(cx, subject, headers), ())
        });
    }

    /// The account's interest changed.
    pub fn on_interest(&mut self, cx: &mut Cx<'_>) {
        self.consumers.on_interest(&*self.store, &self.facts, cx);
    }

    /// A consumer by name.
    pub fn consumer(&self, name: &str) -> Option<&Consumer> {
        self.consumers.get(name)
    }

    /// All consumers in order of their names, those of mirrors and sources
    /// (`direct`, `sourcing`) included.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.consumers.iter()
    }

    // ---- turn and clock ----

    /// Delivers to consumers that have something and turns what consumers did
    /// into log records. `true`: there is more to do at once.
    pub fn turn(&mut self, cx: &mut Cx<'_>) -> bool {
        let Some(mut lead) = self.lead.take() else { return false };
        let mut held = Vec::new();
        let replicated = self.rules.config.num_replicas > 1;
        // A replicated consumer sends what it delivered only when that is
        // logged: its delivery sequences stay unique across leaders.
        let hold = |c: &Consumer| {
            replicated && c.is_logged() && c.config().ack_policy == AckPolicy::Explicit
        };
        let (store, facts) = (&*self.store, &self.facts);
        self.consumers.deliver(DELIVER_BUDGET, store, facts, cx, hold, &mut held);
        let mut body = BytesMut::new();
        let expired = self.consumers.settle(|c| {
            body.clear();
            if c.take_delta(&mut body) {
                lead.propose(&Change::Delta { name: c.name().as_bytes(), body: &body });
                if lead.rules.acks_remove() {
                    lead.acks_proposed();
                }
            }
        });
        if !held.is_empty() {
            lead.answer(Answer::Effects(held));
        }
        self.lead = Some(lead);
        for name in expired {
            // Nobody waits for the answer: token 0 is never handed out.
            self.enqueue(Call::Delete(name, GoneReason::Inactive), 0, cx);
        }
        self.consumers.is_awake() || self.consumers.is_touched()
    }

    // ---- calls ----

    fn leader(&mut self) -> Result<&mut Leading, ApiError> {
        self.lead.as_deref_mut().ok_or_else(error::cluster_not_avail)
    }

    fn refuse(&mut self, token: Token, checked: Result<(), ApiError>) {
        if let Err(e) = checked {
            self.completions.push((token, Err(e)));
        }
    }

    fn enqueue(&mut self, call: Call, token: Token, cx: &mut Cx<'_>) {
        let Ok(lead) = self.leader() else {
            return self.refuse(token, Err(error::cluster_not_avail()));
        };
        if lead.call_in_flight() || lead.has_calls() {
            if !lead.defer_call(call, token, MAX_CALLS) {
                self.refuse(token, Err(error::cluster_not_avail()));
            }
            return;
        }
        self.run(call, token, cx);
    }

    /// Takes up calls that waited for an earlier one.
    pub(super) fn call_deferred(&mut self, cx: &mut Cx<'_>) {
        while let Some(lead) = &mut self.lead
            && !lead.call_in_flight()
            && let Some((call, token)) = lead.next_call()
        {
            self.run(call, token, cx);
        }
    }

    fn run(&mut self, call: Call, token: Token, cx: &mut Cx<'_>) {
        let done = match call {
            Call::Create(request, server, account) => {
                self.run_create(&request, server, account, token, cx)
            }
            Call::Delete(name, reason) => match self.consumers.get(&name) {
                None => Err(error::consumer_not_found()),
                Some(_) => {
                    self.propose_call(&Change::Gone { name: name.as_bytes(), reason }, token)
                }
            },
            Call::Pause(name, until) => self.run_pause(&name, until, token),
            Call::Config(config) => self.run_config(*config, token),
        };
        self.refuse(token, done);
    }

    fn propose_call(&mut self, change: &Change<'_>, token: Token) -> Result<(), ApiError> {
        let lead = self.leader()?;
        lead.propose_barrier(change);
        lead.call_proposed();
        lead.answer(Answer::Api(token, Ok(Completion::Done)));
        Ok(())
    }

    fn run_config(&mut self, config: StreamConfig, token: Token) -> Result<(), ApiError> {
        let document = json::to_bytes(&config);
        self.propose_call(&Change::Config(&document), token)?;
        let domain = self.identity.domain.clone();
        // Later publishes of this turn are judged by the new configuration.
        self.leader()?.rules = super::Rules::new(config, &domain).into();
        Ok(())
    }

    fn run_create(
        &mut self,
        request: &CreateConsumerRequest,
        server: ServerLimits,
        account: AccountLimits,
        token: Token,
        cx: &mut Cx<'_>,
    ) -> Result<(), ApiError> {
        let existing = self.consumers.get(&request.config.name);
        let bound = existing.is_some_and(|c| {
            let config = c.config();
            cx.interest
                .has_group(config.deliver_subject.as_bytes(), config.deliver_group.as_bytes())
        });
        let consumers = &self.consumers;
        let decided = consumer_change::create(
            request,
            &ConsumerFacts {
                stream: &self.rules.config,
                server,
                account,
                consumers: &|| Box::new(consumers.iter().map(Consumer::config)),
                existing: existing.map(Consumer::config),
                bound,
            },
        )?;
        let (config, created) = match decided {
            ConsumerCreate::New(mut config) => {
                if config.name.is_empty() {
                    config.name = self.free_name(cx.random);
                }
                (config, cx.now)
            }
            ConsumerCreate::Update(config) => {
                let created = existing.map_or(cx.now, Consumer::created);
                if existing.is_some_and(|c| c.config() == &*config) {
                    let info = existing.map(|c| c.info(cx.now, cx.interest)).unwrap_or_default();
                    let done = Completion::Consumer { name: config.name, info: Box::new(info) };
                    self.completions.push((token, Ok(done)));
                    return Ok(());
                }
                (config, created)
            }
        };
        let document = json::to_bytes(&*config);
        let name = config.name.as_bytes();
        self.propose_call(&Change::Consumer { created, name, config: &document }, token)
    }

    /// Eight base62 characters no consumer is called.
    fn free_name(&self, random: u64) -> String {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        for salt in 0u64.. {
            let mut n = mix(random, salt + 1);
            let mut name = String::with_capacity(8);
            for _ in 0..8 {
                name.push(char::from(DIGITS[(n % 62) as usize]));
                n /= 62;
            }
            if self.consumers.get(&name).is_none() {
                return name;
            }
        }
        String::new()
    }

    fn run_pause(&mut self, name: &str, until: Option<Time>, token: Token) -> Result<(), ApiError> {
        let c = self.consumers.get(name).ok_or_else(error::consumer_not_found)?;
        let mut config = ConsumerConfig { pause_until: until, ..c.config().clone() };
        config.stamp_level();
        let (document, created) = (json::to_bytes(&config), c.created());
        let change = Change::Consumer { created, name: name.as_bytes(), config: &document };
        self.propose_call(&change, token)
    }

    // ---- applying ----

    pub(super) fn apply_consumer(
        &mut self,
        created: Nanos,
        name: &[u8],
        config: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Fault> {
        let config: ConsumerConfig =
            json::parse_lenient(config).map_err(|e| Fault::Log(e.to_string()))?;
        let name = utf8(name)?.to_owned();
        if self.consumers.get(&name).is_some() {
            let narrower = self.rules.acks_remove();
            self.consumers.reconfigure(&name, config, &*self.store, &self.facts, cx);
            if narrower && self.rules.interest() {
                self.drop_unwanted(cx)?;
            }
        } else {
            let start = start_delta(&config, &*self.store, &self.facts)?;
            let mut c = Consumer::new(config, created, &self.facts);
            c.apply_delta(&start).map_err(|e| Fault::Log(e.to_string()))?;
            self.consumers.insert(c);
            self.consumers.lead_one(&name, &*self.store, &self.facts, cx);
        }
        let info = self.consumers.get(&name).map(|c| c.info(cx.now, cx.interest));
        let info = Box::new(info.unwrap_or_default());
        self.complete_call(Completion::Consumer { name, info });
        Ok(())
    }

    pub(super) fn apply_gone(
        &mut self,
        name: &[u8],
        reason: GoneReason,
        cx: &mut Cx<'_>,
    ) -> Result<(), Fault> {
        let Some(mut c) = self.consumers.remove(utf8(name)?) else { return Ok(()) };
        let mut ccx = consumer::Cx {
            now: cx.now,
            store: &*self.store,
            interest: cx.interest,
            stream: &self.facts,
            out: cx.fx,
        };
        c.stop(&mut ccx, Stop::Deleted);
        if reason == GoneReason::Inactive {
            self.advise_inactive(c.name(), cx);
        }
        if self.rules.interest() {
            self.drop_unwanted(cx)?;
        }
        Ok(())
    }

    /// The owner tells of consumers deleted through the API; of this one only
    /// the stream knows.
    fn advise_inactive(&self, consumer: &str, cx: &mut Cx<'_>) {
        if self.lead.is_none() {
            return;
        }
        let id = super::origin::random_token(cx.random);
        let event = advisory::ConsumerAction {
            event: advisory::Event::new(advisory::ConsumerAction::TYPE, id, cx.now),
            stream: self.name().to_owned(),
            consumer: consumer.to_owned(),
            action: advisory::action::DELETE.to_owned(),
            domain: self.identity.domain.clone(),
        };
        let head = advisory::ADVISORY;
        let subject = format!("{head}.CONSUMER.DELETED.{}.{consumer}", self.name()).into();
        cx.fx.push(Effect::Advise { subject, payload: json::to_bytes(&event) });
    }

    pub(super) fn apply_delta(
        &mut self,
        name: &[u8],
        body: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Fault> {
        // Its consumer may have ended just before.
        let name = utf8(name)?;
        let done = self.consumers.call(name, &*self.store, &self.facts, cx, |c, _| {
            (Default::default(), c.apply_delta(body))
        });
        let Some(done) = done else { return Ok(()) };
        let done = done.map_err(|e| Fault::Log(e.to_string()))?;
        if self.rules.acks_remove() {
            for &(first, last) in &done.freed.0 {
                self.free_range(name, first, last, cx)?;
            }
        }
        for answer in done.answers {
            match answer {
                consumer::Answer::Ack(reply) => cx.send(reply, Bytes::new(), Bytes::new()),
                consumer::Answer::Reset { mut reply, seq } => {
                    if let Ok(token) = reply.try_get_u64_le() {
                        self.completions.push((token, Ok(Completion::Reset(seq))));
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes the messages of a range nobody needs any more.
    fn free_range(
        &mut self,
        name: &str,
        first: u64,
        last: u64,
        cx: &mut Cx<'_>,
    ) -> Result<(), Fault> {
        let state = self.store.state();
        let (first, last) = (first.max(state.first_seq), last.min(state.last_seq));
        let alone = self.consumers.len() == 1
            && self.consumers.get(name).is_some_and(|c| c.config().filters().next().is_none());
        let everything = gust_storage::store::Filter::default();
        let mut seq = first;
        while seq <= last {
            if alone {
                if !self.consumers.need(seq, b"") {
                    self.remove(seq, false, cx)?;
                }
            } else {
                let Some(m) = self.store.next(&everything, seq)? else { return Ok(()) };
                seq = m.seq;
                if seq > last {
                    return Ok(());
                }
                if !self.is_kept(name, seq, &m.subject) {
                    self.remove(seq, false, cx)?;
                }
            }
            seq += 1;
        }
        Ok(())
    }

    /// Whether a message stays although consumer `name` is done with it.
    fn is_kept(&self, name: &str, seq: u64, subject: &[u8]) -> bool {
        let own = self.consumers.get(name).is_some_and(|c| c.wants(subject));
        match self.rules.config.retention {
            RetentionPolicy::Limits => true,
            RetentionPolicy::WorkQueue => !own || self.consumers.need(seq, subject),
            RetentionPolicy::Interest => self.consumers.need(seq, subject),
        }
    }

    /// Removes what no consumer of an interest stream needs.
    pub(super) fn drop_unwanted(&mut self, cx: &mut Cx<'_>) -> Result<(), Fault> {
        if self.consumers.len() == 0 {
            self.purge_messages(0, 0, b"", cx)?;
            return Ok(());
        }
        let everything = gust_storage::store::Filter::default();
        let mut from = 1;
        while let Some(m) = self.store.next(&everything, from)? {
            from = m.seq + 1;
            if !self.consumers.need(m.seq, &m.subject) {
                self.remove(m.seq, false, cx)?;
            }
        }
        Ok(())
    }
}

fn utf8(name: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(name).map_err(|_| Fault::Log("consumer name is not UTF-8".into()))
}
