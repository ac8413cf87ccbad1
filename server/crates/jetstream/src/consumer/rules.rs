//! A consumer's configuration, digested for the paths that need it often.

use super::StreamFacts;
use super::filter::Subjects;
use super::leader::Leader;
use super::start::start_time;
use crate::config::limits::EPHEMERAL_THRESHOLD;
use crate::config::{
    AckPolicy, ConsumerConfig, DeliverPolicy, PriorityPolicy, ReplayPolicy, RetentionPolicy,
};
use crate::effect::Nanos;
use bytes::Bytes;

const DEFAULT_ACK_WAIT: Nanos = 30_000_000_000;
const DEFAULT_PIN_TIMEOUT: Nanos = 120_000_000_000;
const DEFAULT_MAX_WAITING: usize = 512;

#[derive(Debug)]
pub(super) struct Rules {
    pub name: Bytes,
    pub created: Nanos,
    /// See the module documentation of [`super`].
    pub logged: bool,
    pub subjects: Subjects,
    pub policy: AckPolicy,
    /// Deliver policy, start sequence, start time.
    pub start: (DeliverPolicy, u64, Nanos),
    /// 0 = deliveries do not time out.
    pub ack_wait: Nanos,
    pub backoff: Vec<Nanos>,
    /// 0 = no bound.
    pub max_deliver: u64,
    pub max_pending: usize,
    pub max_waiting: usize,
    pub max_batch: i64,
    pub max_expires: Nanos,
    pub max_bytes: i64,
    pub push: bool,
    pub deliver_subject: Bytes,
    pub deliver_group: Bytes,
    pub heartbeat: Nanos,
    pub flow_control: bool,
    /// Bytes per second, 0 = no bound.
    pub rate: u64,
    /// Bytes the rate limit lets through at once.
    pub burst: u64,
    pub headers_only: bool,
    pub replay: bool,
    /// Percent of acks that are reported.
    pub sample: u64,
    /// 0 = never deleted for inactivity.
    pub inactive_threshold: Nanos,
    pub pause_until: Option<Nanos>,
    pub priority: PriorityPolicy,
    pub groups: Vec<String>,
    pub pin_timeout: Nanos,
}

impl Rules {
    pub fn new(c: &ConsumerConfig, created: Nanos, stream: &StreamFacts) -> Self {
        let bytes = |s: &str| Bytes::copy_from_slice(s.as_bytes());
        let waits = matches!(c.ack_policy, AckPolicy::Explicit | AckPolicy::All);
        let threshold = match c.inactive_threshold {
            ..=0 if !c.is_durable() => EPHEMERAL_THRESHOLD,
            n => n.max(0),
        };
        let positive = |v: i64| usize::try_from(v).ok().filter(|v| *v > 0);
        Rules {
            name: bytes(&c.name),
            created,
            logged: !c.mem_storage || stream.retention != RetentionPolicy::Limits,
            subjects: Subjects::new(c.filters()),
            policy: c.ack_policy,
            start: (c.deliver_policy, c.opt_start_seq, start_time(c)),
            ack_wait: match c.ack_wait {
                ..=0 if waits => DEFAULT_ACK_WAIT,
                n if waits => n,
                _ => 0,
            },
            backoff: if waits { c.backoff.clone() } else { Vec::new() },
            max_deliver: u64::try_from(c.max_deliver).unwrap_or(0),
            max_pending: positive(c.max_ack_pending).unwrap_or(usize::MAX),
            max_waiting: positive(c.max_waiting).unwrap_or(DEFAULT_MAX_WAITING),
            max_batch: c.max_batch,
            max_expires: c.max_expires,
            max_bytes: c.max_bytes,
            push: c.is_push(),
            deliver_subject: bytes(&c.deliver_subject),
            deliver_group: bytes(&c.deliver_group),
            heartbeat: c.idle_heartbeat.max(0),
            flow_control: c.flow_control && c.is_push(),
            rate: if c.is_push() {
                (c.rate_limit_bps / 8).max(u64::from(c.rate_limit_bps > 0))
            } else {
                0
            },
            burst: Leader::burst(stream),
            headers_only: c.headers_only,
            replay: c.replay_policy == ReplayPolicy::Original,
            sample: c.sample_freq.trim_end_matches('%').trim().parse().unwrap_or(0),
            inactive_threshold: threshold,
            pause_until: c.pause_until.filter(|t| !t.is_zero()).map(|t| t.nanos()),
            priority: c.priority_policy,
            groups: c.priority_groups.clone(),
            pin_timeout: match c.priority_timeout {
                ..=0 => DEFAULT_PIN_TIMEOUT,
                n => n,
            },
        }
    }

    pub fn paused(&self, now: Nanos) -> bool {
        self.pause_until.is_some_and(|t| now < t)
    }

    /// How long an ack is awaited after a message's `deliveries`-th delivery;
    /// 0 = for ever.
    pub fn wait(&self, deliveries: u64) -> Nanos {
        let at = usize::try_from(deliveries.saturating_sub(1)).unwrap_or(usize::MAX);
        match self.backoff.last() {
            None => self.ack_wait,
            Some(last) => *self.backoff.get(at).unwrap_or(last),
        }
    }

    pub fn prioritized(&self) -> bool {
        self.priority == PriorityPolicy::Prioritized
    }

    pub fn pinned(&self) -> bool {
        self.priority == PriorityPolicy::PinnedClient
    }
}
