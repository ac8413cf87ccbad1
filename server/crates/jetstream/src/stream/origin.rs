//! One origin of a mirror or a sourcing stream: asks for a consumer there, takes
//! its messages in order, and starts again when something is missing
//! (contract/jetstream.md §2.4). Leader only; pure like everything here.

use super::Cx;
use super::consumers::mix;
use super::headers;
use crate::config::names::short_hash;
use crate::config::{
    AckPolicy, ConsumerAction, ConsumerConfig, CreateConsumerRequest, DeliverPolicy, StreamSource,
};
use crate::consumer::AckSubject;
use crate::duration::SECOND;
use crate::effect::{Effect, Nanos, Outgoing};
use crate::error::ApiError;
use crate::json::{self, json_struct};
use crate::time::Time;
use bytes::Bytes;
use gust_storage::store::MAX_SEQ;
use gust_subject::Transform;

/// Silence after which an origin counts as stalled; also how long an answer to
/// the consumer request is waited for.
const STALLED: Nanos = 10 * SECOND;
const FIRST_RETRY: Nanos = 2 * SECOND;
const LAST_RETRY: Nanos = 120 * SECOND;

/// Where an origin stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Asks at this time.
    Waiting(Nanos),
    /// A consumer was asked for, or runs. Subscriptions: messages, answer.
    Running { data: u64, answer: Option<u64> },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Origin {
    pub conf: StreamSource,
    /// `name[:hash] filter dest`, the source's name in headers and in the log.
    pub index: String,
    mirror: bool,
    transforms: Vec<Transform>,
    phase: Phase,
    /// Where its consumer delivers to.
    deliver: Bytes,
    fails: u32,
    /// When anything was last heard of it; 0 = never.
    heard: Nanos,
    /// Last sequence taken from the origin, and of the deliveries.
    pub seq: u64,
    dseq: u64,
    /// Tells the origin's lives apart, as it said itself; empty = unknown.
    pub identity: String,
    pub lag: u64,
    pub error: Option<ApiError>,
}

/// What an inbound message asks of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Nothing,
    /// A message of the origin, next in order.
    Message {
        seq: u64,
        ts: Nanos,
    },
    /// The origin wants to know that everything so far arrived.
    Flow(Bytes),
}

json_struct! {
    /// The part of a create answer that matters here.
    pub struct CreateAnswer("JSApiConsumerCreateResponse") {
        /// Why there is no consumer.
        error: Option<ApiError> = "error" omit,
        /// Messages it will deliver.
        num_pending: u64 = "num_pending",
    }
}

/// The name of a source in `Nats-Stream-Source`: what is read from where, and
/// what becomes of it.
pub(super) fn index_name(s: &StreamSource) -> String {
    let mut name = s.name.clone();
    if let Some(e) = &s.external {
        name = format!("{name}:{}", short_hash(&e.api));
    }
    if let Some(c) = &s.consumer {
        name = format!("{name}:C={}", short_hash(&c.name));
    }
    let or_all = |t: &str| if t.is_empty() { ">".to_owned() } else { t.to_owned() };
    let (src, dest): (Vec<_>, Vec<_>) = match s.subject_transforms.is_empty() {
        true => (vec![or_all(&s.filter_subject)], vec![">".to_owned()]),
        false => s.subject_transforms.iter().map(|t| (or_all(&t.src), or_all(&t.dest))).unzip(),
    };
    format!("{name} {} {}", src.join("\x0c"), dest.join("\x0c"))
}

impl Origin {
    pub fn new(conf: StreamSource, mirror: bool, seq: u64, now: Nanos) -> Origin {
        let compile = |t: &crate::config::SubjectTransform| {
            Transform::new(t.src.as_bytes(), t.dest.as_bytes()).ok()
        };
        Origin {
            index: index_name(&conf),
            transforms: conf.subject_transforms.iter().filter_map(compile).collect(),
            conf,
            mirror,
            phase: Phase::Waiting(now),
            deliver: Bytes::new(),
            fails: 0,
            heard: 0,
            seq,
            dseq: 0,
            identity: String::new(),
            lag: 0,
            error: None,
        }
    }

    /// ns since it was last heard of, -1 = never.
    pub fn active(&self, now: Nanos) -> Nanos {
        if self.heard == 0 { -1 } else { now - self.heard }
    }

    /// The subject a message of the origin is stored under.
    pub fn map(&self, subject: &Bytes, random: u64) -> Bytes {
        let mapped = self.transforms.iter().find_map(|t| t.apply(subject, random));
        mapped.map_or_else(|| subject.clone(), Bytes::from)
    }

    /// Whether `id` is one of its subscriptions.
    pub fn owns(&self, id: u64) -> bool {
        matches!(self.phase, Phase::Running { data, answer } if data == id || answer == Some(id))
    }

    pub fn deadline(&self) -> Nanos {
        match self.phase {
            Phase::Waiting(at) => at,
            Phase::Running { .. } => self.heard.saturating_add(STALLED),
        }
    }

    /// Does what is due: asks for a consumer, or notices the silence.
    pub fn on_timer(&mut self, ids: &mut u64, cx: &mut Cx<'_>) {
        if self.deadline() > cx.now {
            return;
        }
        match self.phase {
            Phase::Waiting(_) => self.ask(ids, cx),
            Phase::Running { .. } => self.restart(cx),
        }
    }

    /// Ends the subscriptions and asks again after a pause that grows.
    pub fn restart(&mut self, cx: &mut Cx<'_>) {
        self.stop(cx);
        let pause = FIRST_RETRY.saturating_mul(1 << self.fails.min(6)).min(LAST_RETRY);
        self.fails += 1;
        self.phase = Phase::Waiting(cx.now + pause);
    }

    /// Ends the subscriptions.
    pub fn stop(&mut self, cx: &mut Cx<'_>) {
        if let Phase::Running { data, answer } = self.phase {
            cx.fx.push(Effect::Unsubscribe { id: data });
            cx.fx.extend(answer.map(|id| Effect::Unsubscribe { id }));
        }
        self.phase = Phase::Waiting(Nanos::MAX);
    }

    fn ask(&mut self, ids: &mut u64, cx: &mut Cx<'_>) {
        *ids += 2;
        let (data, answer) = (*ids - 1, *ids);
        let token = random_token(mix(cx.random, *ids));
        let kind = if self.mirror { "M" } else { "S" };
        let prefix = self.conf.external.as_ref().map(|e| e.deliver.as_str()).unwrap_or_default();
        let prefix = if prefix.is_empty() { "$JS" } else { prefix.trim_end_matches('.') };
        let deliver = format!("{prefix}.{kind}.{token}");
        let reply = Bytes::from(format!("_INBOX.{}", random_token(mix(cx.random, *ids + 1))));
        self.deliver = deliver.clone().into();
        cx.fx.push(Effect::Subscribe { id: answer, subject: reply.clone() });
        let request = CreateConsumerRequest {
            stream_name: self.conf.name.clone(),
            config: self.consumer(deliver),
            action: ConsumerAction::CreateOrUpdate,
            pedantic: false,
        };
        let api = self.conf.external.as_ref().map(|e| e.api.as_str()).unwrap_or_default();
        let api = if api.is_empty() { "$JS.API" } else { api.trim_end_matches('.') };
        cx.fx.push(Effect::Publish(Outgoing {
            to: format!("{api}.CONSUMER.CREATE.{}", self.conf.name).into(),
            subject: Bytes::new(),
            reply,
            headers: Bytes::new(),
            payload: json::to_bytes(&request),
            queue: Bytes::new(),
        }));
        self.phase = Phase::Running { data, answer: Some(answer) };
        (self.heard, self.dseq) = (cx.now, 0);
    }

    /// The consumer to read through: from what is missing on.
    fn consumer(&self, deliver_subject: String) -> ConsumerConfig {
        let mut c = ConsumerConfig {
            deliver_subject,
            ack_policy: AckPolicy::None,
            ack_wait: crate::config::limits::SOURCE_ACK_WAIT,
            max_deliver: 1,
            flow_control: true,
            idle_heartbeat: crate::config::limits::SOURCE_HEARTBEAT,
            inactive_threshold: STALLED,
            direct: true,
            ..ConsumerConfig::default()
        };
        if self.seq > 0 {
            (c.deliver_policy, c.opt_start_seq) = (DeliverPolicy::ByStartSequence, self.seq + 1);
        } else if self.conf.opt_start_seq > 0 {
            (c.deliver_policy, c.opt_start_seq) =
                (DeliverPolicy::ByStartSequence, self.conf.opt_start_seq);
        } else if let Some(at) = self.conf.opt_start_time.filter(|t: &Time| !t.is_zero()) {
            (c.deliver_policy, c.opt_start_time) = (DeliverPolicy::ByStartTime, Some(at));
        }
        let transforms = &self.conf.subject_transforms;
        match transforms.as_slice() {
            [] => c.filter_subject = self.conf.filter_subject.clone(),
            [one] => c.filter_subject = one.src.clone(),
            many => c.filter_subjects = many.iter().map(|t| t.src.clone()).collect(),
        }
        c
    }

    /// A message to one of its subscriptions.
    pub fn inbound(
        &mut self,
        id: u64,
        reply: &Bytes,
        block: &[u8],
        payload: &[u8],
        cx: &mut Cx<'_>,
    ) -> Event {
        let Phase::Running { data, answer } = self.phase else { return Event::Nothing };
        if answer == Some(id) {
            self.on_answer(data, id, payload, block, cx);
            return Event::Nothing;
        }
        self.heard = cx.now;
        if payload.is_empty() && block.starts_with(b"NATS/1.0 100") {
            return self.on_control(reply, block, cx);
        }
        let Some(ack) = AckSubject::parse(reply) else { return Event::Nothing };
        if ack.deliveries > 1 || ack.stream_seq > MAX_SEQ {
            return Event::Nothing;
        }
        if ack.consumer_seq != self.dseq + 1 {
            self.restart(cx);
            return Event::Nothing;
        }
        self.dseq = ack.consumer_seq;
        self.lag = ack.pending;
        (self.fails, self.error) = (0, None);
        if ack.stream_seq <= self.seq {
            return Event::Nothing;
        }
        Event::Message { seq: ack.stream_seq, ts: ack.timestamp }
    }

    fn on_answer(&mut self, data: u64, id: u64, payload: &[u8], block: &[u8], cx: &mut Cx<'_>) {
        cx.fx.push(Effect::Unsubscribe { id });
        self.phase = Phase::Running { data, answer: None };
        let answer: Result<CreateAnswer, _> = json::parse_lenient(payload);
        match answer {
            // No responders: nobody serves that API now.
            _ if payload.is_empty() && !block.is_empty() => {
                self.error = Some(crate::error::stream_not_found());
                self.restart(cx);
            }
            Ok(a) if a.error.is_none() => {
                let identity = headers::get(block, b"Nats-Stream-Identity").unwrap_or_default();
                self.identity = String::from_utf8_lossy(identity).into_owned();
                // Only now, so that no message comes before its stream is known.
                cx.fx.push(Effect::Subscribe { id: data, subject: self.deliver.clone() });
                self.lag = a.num_pending;
                self.error = None;
            }
            Ok(a) => {
                self.error = a.error;
                self.restart(cx);
            }
            Err(e) => {
                self.error = Some(e.into());
                self.restart(cx);
            }
        }
    }

    /// Heartbeats and flow control.
    fn on_control(&mut self, reply: &Bytes, block: &[u8], cx: &mut Cx<'_>) -> Event {
        if !reply.is_empty() {
            return Event::Flow(reply.clone());
        }
        let last = headers::get(block, b"Nats-Last-Consumer").and_then(headers::number);
        if last.is_some_and(|n| n > 0 && n != self.dseq) {
            self.restart(cx);
            return Event::Nothing;
        }
        match headers::get(block, b"Nats-Consumer-Stalled") {
            Some(to) if !to.is_empty() => Event::Flow(Bytes::copy_from_slice(to)),
            _ => Event::Nothing,
        }
    }
}

/// Eight letters and digits.
pub(super) fn random_token(mut n: u64) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = String::with_capacity(8);
    for _ in 0..8 {
        out.push(char::from(DIGITS[(n % 62) as usize]));
        n /= 62;
    }
    out
}
