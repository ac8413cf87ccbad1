//! What makes a consumer configuration acceptable: defaults, then every rule
//! that holds on create and update alike (contract/jetstream.md §4.1).

use super::limits::{
    AccountLimits, DEFAULT_ACK_WAIT, DEFAULT_MAX_ACK_PENDING, DEFAULT_MAX_WAITING,
    DEFAULT_PRIORITY_TIMEOUT, SOURCE_HEARTBEAT, ServerLimits,
};
use super::names::{MAX_DESCRIPTION, MAX_METADATA, invalid, is_asset_name, metadata_len};
use super::subjects::{is_literal, is_valid, within};
use super::{
    AckPolicy, ConsumerConfig, DeliverPolicy, PriorityPolicy, RetentionPolicy, StreamConfig,
};
use crate::duration::{self, MILLISECOND};
use crate::error::{self, ApiError};

/// Fills in what `cfg` leaves open. `pedantic` refuses what would be changed
/// silently.
pub fn set_defaults(
    cfg: &mut ConsumerConfig,
    stream: &StreamConfig,
    server: &ServerLimits,
    account: &AccountLimits,
    pedantic: bool,
) -> Result<(), ApiError> {
    set_minimums(cfg, pedantic)?;
    let refuse = |why: &'static str| if pedantic { Err(error::pedantic(why)) } else { Ok(()) };
    if !cfg.is_push() && cfg.max_waiting == 0 {
        cfg.max_waiting = DEFAULT_MAX_WAITING;
    }
    if cfg.ack_wait == 0 && matches!(cfg.ack_policy, AckPolicy::Explicit | AckPolicy::All) {
        cfg.ack_wait = DEFAULT_ACK_WAIT;
    }
    if let Some(&first) = cfg.backoff.first() {
        if cfg.ack_wait != first {
            refuse("first backoff value has to equal batch AckWait")?;
        }
        cfg.ack_wait = first;
    }
    let bounds = &stream.consumer_limits;
    if cfg.max_ack_pending == 0 {
        if bounds.max_ack_pending > 0 {
            refuse("max_ack_pending must be set if it's configured in stream limits")?;
        }
        cfg.max_ack_pending = bounds.max_ack_pending;
    }
    if cfg.inactive_threshold == 0 {
        if bounds.inactive_threshold > 0 {
            refuse("inactive_threshold must be set if it's configured in stream limits")?;
        }
        cfg.inactive_threshold = bounds.inactive_threshold;
    }
    if cfg.max_ack_pending == 0 && cfg.ack_policy != AckPolicy::None {
        let limits = [server.max_ack_pending, account.max_ack_pending];
        let least = limits.into_iter().filter(|l| *l > 0).min().unwrap_or(i64::MAX);
        cfg.max_ack_pending = DEFAULT_MAX_ACK_PENDING.min(least);
    }
    if !cfg.is_push() && cfg.max_batch == 0 && server.max_request_batch > 0 {
        refuse("max_request_batch must be set if it's JetStream limits are set")?;
        cfg.max_batch = server.max_request_batch;
    }
    if cfg.priority_policy == PriorityPolicy::PinnedClient && cfg.priority_timeout == 0 {
        cfg.priority_timeout = DEFAULT_PRIORITY_TIMEOUT;
    }
    if cfg.ack_policy == AckPolicy::FlowControl && !pedantic {
        cfg.flow_control = true;
        cfg.idle_heartbeat = SOURCE_HEARTBEAT;
    }
    Ok(())
}

/// Values below what makes sense.
fn set_minimums(cfg: &mut ConsumerConfig, pedantic: bool) -> Result<(), ApiError> {
    if pedantic && cfg.max_deliver < -1 {
        return Err(error::pedantic("max_deliver must be set to -1"));
    }
    if cfg.max_deliver <= 0 {
        cfg.max_deliver = -1;
    }
    let not_negative = |value: &mut i64, name: &str| {
        if *value < 0 {
            if pedantic {
                return Err(error::pedantic(format!("{name} must not be negative")));
            }
            *value = 0;
        }
        Ok(())
    };
    not_negative(&mut cfg.max_waiting, "max_waiting")?;
    if cfg.max_ack_pending < -1 {
        if pedantic {
            return Err(error::pedantic("max_ack_pending must be set to -1"));
        }
        cfg.max_ack_pending = -1;
    }
    not_negative(&mut cfg.max_batch, "max_batch")?;
    not_negative(&mut cfg.max_expires, "max_expires")?;
    not_negative(&mut cfg.max_bytes, "max_bytes")?;
    not_negative(&mut cfg.idle_heartbeat, "idle_heartbeat")?;
    not_negative(&mut cfg.inactive_threshold, "inactive_threshold")?;
    not_negative(&mut cfg.priority_timeout, "priority_timeout")
}

/// Checks a configuration whose defaults are set.
pub fn check(
    cfg: &ConsumerConfig,
    stream: &StreamConfig,
    server: &ServerLimits,
    account: &AccountLimits,
) -> Result<(), ApiError> {
    check_names(cfg)?;
    check_replicas(cfg, stream)?;
    check_acks(cfg)?;
    if cfg.description.len() > MAX_DESCRIPTION {
        return Err(error::consumer_description_too_long(MAX_DESCRIPTION));
    }
    if cfg.is_push() {
        check_push(cfg, stream)?;
    } else {
        check_pull(cfg, stream, server)?;
    }
    check_bounds(cfg, stream, server, account)?;
    if cfg.direct {
        if !cfg.is_push() {
            return Err(error::consumer_direct_requires_push());
        }
        if cfg.is_durable() {
            return Err(error::consumer_direct_requires_ephemeral());
        }
    }
    check_filters(cfg)?;
    check_start(cfg)?;
    check_rest(cfg)?;
    check_priority(cfg)?;
    if stream.placement.as_ref().is_some_and(|p| !p.preferred.is_empty()) {
        return invalid("preferred server not permitted in placement");
    }
    Ok(())
}

fn check_names(cfg: &ConsumerConfig) -> Result<(), ApiError> {
    if !cfg.name.is_empty() && !is_asset_name(&cfg.name) {
        return invalid(r"consumer name can not contain '.', '*', '>', '\', '/'");
    }
    if !cfg.durable_name.is_empty() && !is_asset_name(&cfg.durable_name) {
        return invalid(r"consumer durable name can not contain '.', '*', '>', '\', '/'");
    }
    Ok(())
}

fn check_replicas(cfg: &ConsumerConfig, stream: &StreamConfig) -> Result<(), ApiError> {
    if cfg.num_replicas > 0 && cfg.num_replicas > stream.num_replicas {
        return Err(error::consumer_replicas_exceeds_stream());
    }
    if cfg.num_replicas < 0 {
        return Err(error::replicas_count_cannot_be_negative());
    }
    let by_interest = stream.retention != RetentionPolicy::Limits;
    if by_interest && cfg.num_replicas != 0 && cfg.num_replicas != stream.num_replicas {
        return Err(error::consumer_replicas_should_match_stream());
    }
    Ok(())
}

/// Ack policy, waits and attempts.
fn check_acks(cfg: &ConsumerConfig) -> Result<(), ApiError> {
    if cfg.backoff.iter().any(|b| *b < 0) {
        return Err(error::consumer_back_off_negative());
    }
    if cfg.ack_wait < 0 {
        return Err(error::consumer_ack_wait_negative());
    }
    if cfg.ack_policy == AckPolicy::FlowControl {
        if !cfg.is_push() {
            return Err(error::consumer_ack_fc_requires_push());
        }
        if !cfg.flow_control {
            return Err(error::consumer_ack_fc_requires_fc());
        }
        if cfg.idle_heartbeat != SOURCE_HEARTBEAT {
            return invalid("flow control ack policy heartbeat needs to be 1s");
        }
        if cfg.max_ack_pending <= 0 {
            return Err(error::consumer_ack_fc_requires_max_ack_pending());
        }
        if cfg.ack_wait != 0 || !cfg.backoff.is_empty() {
            return Err(error::consumer_ack_fc_requires_no_ack_wait());
        }
        if cfg.max_deliver > 0 {
            return Err(error::consumer_ack_fc_requires_no_max_deliver());
        }
    }
    check_backoff(cfg)
}

fn check_backoff(cfg: &ConsumerConfig) -> Result<(), ApiError> {
    let steps = cfg.backoff.len() as i64;
    if steps > 0 && cfg.max_deliver != -1 && steps > cfg.max_deliver {
        return Err(error::consumer_max_deliver_backoff());
    }
    Ok(())
}

fn check_push(cfg: &ConsumerConfig, stream: &StreamConfig) -> Result<(), ApiError> {
    if !is_literal(&cfg.deliver_subject) {
        return Err(error::consumer_deliver_to_wildcards());
    }
    if !is_valid(&cfg.deliver_subject) {
        return Err(error::consumer_invalid_deliver_subject());
    }
    if stream.subjects.iter().any(|s| within(&cfg.deliver_subject, s)) {
        return Err(error::consumer_deliver_cycle());
    }
    if cfg.max_waiting != 0 {
        return Err(error::consumer_push_max_waiting());
    }
    if cfg.max_ack_pending > 0 && cfg.ack_policy == AckPolicy::None {
        return Err(error::consumer_max_pending_ack_policy_required());
    }
    if cfg.idle_heartbeat > 0 && cfg.idle_heartbeat < 100 * MILLISECOND {
        return Err(error::consumer_small_heartbeat());
    }
    Ok(())
}

fn check_pull(
    cfg: &ConsumerConfig,
    stream: &StreamConfig,
    server: &ServerLimits,
) -> Result<(), ApiError> {
    if cfg.ack_policy == AckPolicy::None && stream.retention == RetentionPolicy::WorkQueue {
        return Err(error::consumer_pull_requires_ack());
    }
    if cfg.rate_limit_bps > 0 {
        return Err(error::consumer_pull_with_rate_limit());
    }
    if cfg.idle_heartbeat > 0 {
        return Err(error::consumer_hb_requires_push());
    }
    if cfg.flow_control {
        return Err(error::consumer_fc_requires_push());
    }
    if cfg.max_expires != 0 && cfg.max_expires < MILLISECOND {
        return Err(error::consumer_max_request_expires_too_small());
    }
    if server.max_request_batch > 0 && cfg.max_batch > server.max_request_batch {
        return Err(error::consumer_max_request_batch_exceeded(server.max_request_batch));
    }
    Ok(())
}

fn check_bounds(
    cfg: &ConsumerConfig,
    stream: &StreamConfig,
    server: &ServerLimits,
    account: &AccountLimits,
) -> Result<(), ApiError> {
    let bounds = &stream.consumer_limits;
    for limit in [server.max_ack_pending, account.max_ack_pending, bounds.max_ack_pending] {
        if limit > 0 && cfg.max_ack_pending > limit {
            return Err(error::consumer_max_pending_ack_excess(limit));
        }
    }
    let limit = bounds.inactive_threshold;
    if limit > 0 && cfg.inactive_threshold > limit {
        return Err(error::consumer_inactive_threshold_excess(duration::format(limit)));
    }
    Ok(())
}

fn check_filters(cfg: &ConsumerConfig) -> Result<(), ApiError> {
    if !cfg.filter_subject.is_empty() && !cfg.filter_subjects.is_empty() {
        return Err(error::consumer_duplicate_filter_subjects());
    }
    if !cfg.filter_subject.is_empty() && !is_valid(&cfg.filter_subject) {
        return invalid("invalid subject");
    }
    if cfg.filter_subjects.iter().any(String::is_empty) {
        return Err(error::consumer_empty_filter());
    }
    for (i, filter) in cfg.filter_subjects.iter().enumerate() {
        if !is_valid(filter) {
            return invalid("invalid subject");
        }
        let mut others = cfg.filter_subjects.iter().enumerate().filter(|(n, _)| *n != i);
        if others.any(|(_, other)| within(filter, other)) {
            return Err(error::consumer_overlapping_subject_filters());
        }
    }
    Ok(())
}

/// Deliver policy against `opt_start_seq` and `opt_start_time`.
fn check_start(cfg: &ConsumerConfig) -> Result<(), ApiError> {
    let head = "consumer delivery policy is deliver";
    let refuse = |policy: &str, what: &str, problem: &str| {
        Err(error::consumer_invalid_policy(format!(
            "{head} {policy}, but optional {what} {problem}"
        )))
    };
    let (seq, time) = (cfg.opt_start_seq > 0, cfg.opt_start_time.is_some());
    let policy = match cfg.deliver_policy {
        DeliverPolicy::All => "all",
        DeliverPolicy::Last => "last",
        DeliverPolicy::New => "new",
        DeliverPolicy::LastPerSubject => "last per subject",
        DeliverPolicy::ByStartSequence => {
            return match (seq, time) {
                (false, _) => refuse("by start sequence", "start sequence", "is not set"),
                (_, true) => refuse("by start sequence", "start time", "is also set"),
                _ => Ok(()),
            };
        }
        DeliverPolicy::ByStartTime => {
            return match (seq, time) {
                (_, false) => refuse("by start time", "start time", "is not set"),
                (true, _) => refuse("by start time", "start start sequence", "is also set"),
                _ => Ok(()),
            };
        }
    };
    if seq {
        return refuse(policy, "start sequence", "is also set");
    }
    if time {
        return refuse(policy, "start time", "is also set");
    }
    if cfg.deliver_policy == DeliverPolicy::LastPerSubject && cfg.filters().next().is_none() {
        return refuse(policy, "filter subject", "is not set");
    }
    Ok(())
}

fn check_rest(cfg: &ConsumerConfig) -> Result<(), ApiError> {
    if !cfg.sample_freq.is_empty() {
        sample_percent(&cfg.sample_freq).map_err(error::consumer_invalid_sampling)?;
    }
    if cfg.flow_control && cfg.idle_heartbeat == 0 {
        return Err(error::consumer_with_flow_control_needs_heartbeats());
    }
    if cfg.is_durable() && !cfg.name.is_empty() && cfg.name != cfg.durable_name {
        return Err(error::consumer_create_durable_and_name_mismatch());
    }
    if metadata_len(&cfg.metadata) > MAX_METADATA {
        return Err(error::consumer_metadata_length(format!("{}KB", MAX_METADATA / 1024)));
    }
    Ok(())
}

/// Reads `sample_freq`: `50` or `50%`; the error is Go's text for a bad number.
pub fn sample_percent(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("strconv.Atoi: parsing \"{number}\": invalid syntax"));
    }
    match number.parse::<i64>() {
        // Go wraps a nil error here, and prints it so.
        Ok(n) if n < 0 => Err("<nil>".into()),
        Ok(n) => Ok(n.unsigned_abs()),
        Err(_) => Err(format!("strconv.Atoi: parsing \"{number}\": value out of range")),
    }
}

fn check_priority(cfg: &ConsumerConfig) -> Result<(), ApiError> {
    if cfg.priority_policy == PriorityPolicy::None {
        if !cfg.priority_groups.is_empty() {
            return Err(error::consumer_priority_group_with_policy_none());
        }
        if cfg.priority_timeout > 0 {
            return Err(error::consumer_pinned_ttl_without_priority_policy_none());
        }
        return Ok(());
    }
    if cfg.is_push() {
        return Err(error::consumer_push_with_priority_group());
    }
    if cfg.priority_groups.is_empty() {
        return Err(error::consumer_priority_policy_without_group());
    }
    for group in &cfg.priority_groups {
        if group.is_empty() {
            return Err(error::consumer_empty_group_name());
        }
        if !is_group_name(group) {
            return Err(error::consumer_invalid_group_name());
        }
    }
    Ok(())
}

/// Whether `group` can name a priority group.
pub fn is_group_name(group: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'=' | b'-');
    (1..=16).contains(&group.len()) && group.bytes().all(good)
}

/// Whether an existing consumer `old` may become `new`. `bound` tells whether
/// somebody listens on the old deliver subject. Plain texts come as 10012.
pub fn check_update(
    old: &ConsumerConfig,
    new: &ConsumerConfig,
    bound: bool,
) -> Result<(), ApiError> {
    let fixed = [
        (old.deliver_policy == new.deliver_policy, "deliver policy"),
        (old.mem_storage == new.mem_storage, "storage type"),
        (old.direct == new.direct, "direct"),
        (old.sourcing == new.sourcing, "sourcing"),
        (old.opt_start_seq == new.opt_start_seq, "start sequence"),
        (old.opt_start_time == new.opt_start_time, "start time"),
        (old.ack_policy == new.ack_policy, "ack policy"),
        (old.replay_policy == new.replay_policy, "replay policy"),
        (old.idle_heartbeat == new.idle_heartbeat, "heart beats"),
        (old.flow_control == new.flow_control, "flow control"),
    ];
    if let Some((_, what)) = fixed.iter().find(|(same, _)| !same) {
        return Err(error::consumer_create(format!("{what} can not be updated")));
    }
    if old.deliver_subject != new.deliver_subject {
        if !old.is_push() {
            return Err(error::consumer_create("can not update pull consumer to push based"));
        }
        if !new.is_push() {
            return Err(error::consumer_create("can not update push consumer to pull based"));
        }
        if bound {
            return Err(error::consumer_name_exist());
        }
    }
    if old.max_waiting != new.max_waiting {
        return Err(error::consumer_create("max waiting can not be updated"));
    }
    check_backoff(new)
}
