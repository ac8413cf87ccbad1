//! Creating and updating consumers: the whole decision of CONSUMER.CREATE and
//! CONSUMER.DURABLE.CREATE up to the configuration that is stored.

use super::consumer_check::{check, check_update, set_defaults};
use super::level;
use super::limits::{AccountLimits, EPHEMERAL_THRESHOLD, ServerLimits};
use super::names::{MAX_NAME, short_hash};
use super::subjects::overlap;
use super::{
    AckPolicy, ConsumerAction, ConsumerConfig, CreateConsumerRequest, DeliverPolicy,
    RetentionPolicy, StreamConfig,
};
use crate::error::{self, ApiError};
use crate::time::Time;

/// Which of the three subjects the request came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateForm<'a> {
    /// `CONSUMER.CREATE.<stream>`.
    Ephemeral,
    /// `CONSUMER.DURABLE.CREATE.<stream>.<consumer>`.
    Durable {
        /// Consumer in the subject.
        consumer: &'a str,
    },
    /// `CONSUMER.CREATE.<stream>.<consumer>[.<filter>]`.
    Named {
        /// Consumer in the subject.
        consumer: &'a str,
        /// Filter in the subject, or empty.
        filter: &'a str,
    },
}

/// Checks the request against its subject and puts the name where it belongs.
pub fn check_request(
    request: &mut CreateConsumerRequest,
    stream: &str,
    form: CreateForm<'_>,
) -> Result<(), ApiError> {
    let cfg = &mut request.config;
    if stream != request.stream_name {
        return Err(error::stream_mismatch());
    }
    let in_subject = match form {
        CreateForm::Ephemeral => cfg.name.as_str(),
        CreateForm::Durable { consumer } | CreateForm::Named { consumer, .. } => consumer,
    };
    if in_subject.contains(['\\', '/']) {
        return Err(error::consumer_name_contains_path_separators());
    }
    let named_otherwise = cfg.durable_name != in_subject;
    match form {
        CreateForm::Ephemeral if cfg.is_durable() => {
            return Err(error::consumer_ephemeral_with_durable_name());
        }
        CreateForm::Ephemeral => {}
        CreateForm::Durable { .. } if !cfg.is_durable() => {
            return Err(error::consumer_durable_name_not_set());
        }
        _ if cfg.is_durable() && named_otherwise => {
            return Err(error::consumer_durable_name_not_match_subject());
        }
        CreateForm::Durable { consumer } | CreateForm::Named { consumer, .. } => {
            cfg.name = consumer.to_owned();
        }
    }
    if let CreateForm::Named { filter, .. } = form {
        if !filter.is_empty() && !cfg.filter_subjects.is_empty() {
            return Err(error::consumer_multiple_filters_not_allowed());
        }
        if !filter.is_empty() && cfg.filter_subject != filter {
            return Err(error::consumer_create_filter_subject_mismatch());
        }
    }
    Ok(())
}

/// Eight characters that tell one life of a stream from the next: of its
/// creation time (`Nats-Stream-Identity`).
pub fn stream_identity(created: Time) -> String {
    short_hash(&created.to_string())
}

/// What surrounds a consumer that is to be created or changed.
pub struct ConsumerFacts<'a> {
    /// Its stream.
    pub stream: &'a StreamConfig,
    /// The server's limits.
    pub server: ServerLimits,
    /// The account's limits for the consumer's replicas.
    pub account: AccountLimits,
    /// The consumers of the stream.
    pub consumers: &'a dyn Fn() -> Box<dyn Iterator<Item = &'a ConsumerConfig> + 'a>,
    /// The consumer of that name.
    pub existing: Option<&'a ConsumerConfig>,
    /// Whether somebody listens on the existing consumer's deliver subject.
    pub bound: bool,
}

/// What a create request comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerCreate {
    /// A new consumer; an empty name is to be filled with a random one.
    New(Box<ConsumerConfig>),
    /// The existing consumer takes this configuration, which may be the same.
    Update(Box<ConsumerConfig>),
}

/// Decides a request that passed [`check_request`].
pub fn create(
    request: &CreateConsumerRequest,
    facts: &ConsumerFacts<'_>,
) -> Result<ConsumerCreate, ApiError> {
    let mut cfg = request.config.clone();
    if facts.server.standalone && cfg.num_replicas > 1 {
        return Err(error::stream_replicas_not_supported());
    }
    if let Some(old) = facts.existing {
        keep_from_existing(&mut cfg, old);
    }
    cfg.stamp_level();
    set_defaults(&mut cfg, facts.stream, &facts.server, &facts.account, request.pedantic)?;
    check(&cfg, facts.stream, &facts.server, &facts.account)?;
    let work_queue = facts.stream.retention == RetentionPolicy::WorkQueue;
    if let Some(old) = facts.existing {
        if request.action == ConsumerAction::Create {
            level::adopt(&mut cfg.metadata, &old.metadata);
            if cfg != *old {
                return Err(error::consumer_already_exists());
            }
        }
        if work_queue && !alone(&cfg, facts) {
            return Err(error::consumer_wq_consumer_not_unique());
        }
        check_update(old, &cfg, facts.bound)?;
        stamp_threshold(&mut cfg);
        return Ok(ConsumerCreate::Update(Box::new(cfg)));
    }
    if request.action == ConsumerAction::Update {
        return Err(error::consumer_does_not_exist());
    }
    check_count(facts)?;
    if work_queue && !cfg.direct && !cfg.sourcing {
        check_work_queue(&cfg, facts)?;
    }
    if cfg.name.len() > MAX_NAME || cfg.durable_name.len() > MAX_NAME {
        return Err(error::consumer_name_too_long(MAX_NAME));
    }
    stamp_threshold(&mut cfg);
    Ok(ConsumerCreate::New(Box::new(cfg)))
}

/// An ephemeral consumer always ends when nobody uses it. This is no default
/// of [`set_defaults`]: a repeated `create` request is compared without it, and
/// is refused as nats-server refuses it.
fn stamp_threshold(cfg: &mut ConsumerConfig) {
    if !cfg.is_durable() && cfg.inactive_threshold <= 0 {
        cfg.inactive_threshold = EPHEMERAL_THRESHOLD;
    }
}

/// Pausing has its own endpoint, and a durable that sources read through keeps
/// its start.
fn keep_from_existing(cfg: &mut ConsumerConfig, old: &ConsumerConfig) {
    cfg.pause_until = old.pause_until;
    if cfg.sourcing && cfg.is_durable() {
        cfg.deliver_policy = old.deliver_policy;
        cfg.opt_start_seq = old.opt_start_seq;
        cfg.opt_start_time = old.opt_start_time;
    }
}

/// Consumers that count: those of mirrors and sources do not.
fn counted<'a>(facts: &ConsumerFacts<'a>) -> impl Iterator<Item = &'a ConsumerConfig> {
    (facts.consumers)().filter(|c| !c.direct && !c.sourcing)
}

fn check_count(facts: &ConsumerFacts<'_>) -> Result<(), ApiError> {
    let (mut max, account) = (facts.stream.max_consumers, facts.account.max_consumers);
    if max <= 0 || (account > 0 && account < max) {
        max = account;
    }
    if max > 0 && counted(facts).count() as i64 >= max {
        return Err(error::maximum_consumers_limit());
    }
    Ok(())
}

fn check_work_queue(cfg: &ConsumerConfig, facts: &ConsumerFacts<'_>) -> Result<(), ApiError> {
    if !matches!(cfg.ack_policy, AckPolicy::Explicit | AckPolicy::FlowControl) {
        return Err(error::consumer_wq_requires_explicit_ack());
    }
    if cfg.deliver_policy != DeliverPolicy::All {
        return Err(error::consumer_wq_consumer_not_deliver_all());
    }
    if counted(facts).next().is_none() {
        return Ok(());
    }
    if cfg.filters().next().is_none() {
        return Err(error::consumer_wq_multiple_unfiltered());
    }
    match alone(cfg, facts) {
        true => Ok(()),
        false => Err(error::consumer_wq_consumer_not_unique()),
    }
}

/// Whether no other consumer takes any of the subjects of `cfg`.
fn alone(cfg: &ConsumerConfig, facts: &ConsumerFacts<'_>) -> bool {
    let taken = |other: &ConsumerConfig| {
        other.filters().next().is_none()
            || other.filters().any(|theirs| cfg.filters().any(|ours| overlap(ours, theirs)))
    };
    cfg.filters().next().is_none() || !counted(facts).filter(|c| c.name != cfg.name).any(taken)
}
