//! Creating and updating streams: the whole decision of STREAM.CREATE and
//! STREAM.UPDATE up to the configuration that is stored.

use super::level;
use super::limits::{Surroundings, check_bytes};
use super::names::invalid;
use super::stream_check::check;
use super::stream_origin::check_filters;
use super::{ConsumerConfig, DiscardPolicy, RetentionPolicy, StreamConfig, StreamConfigRequest};
use crate::error::{self, ApiError};

/// What a create request comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamCreate {
    /// A new stream with this configuration.
    New(Box<StreamConfig>),
    /// The stream exists with the same configuration; answered as if made.
    Same,
}

/// Decides STREAM.CREATE for the stream named by the subject.
pub fn create(
    request: &StreamConfigRequest,
    name: &str,
    around: &dyn Surroundings,
) -> Result<StreamCreate, ApiError> {
    let mut wanted = request.config.clone();
    wanted.stamp_level();
    if wanted.name != name {
        return Err(error::stream_mismatch());
    }
    if name.contains(['\\', '/']) {
        return Err(error::stream_name_contains_path_separators());
    }
    if wanted.sealed {
        return invalid("stream configuration for create can not be sealed");
    }
    if wanted.mirror_direct && wanted.mirror.is_none() {
        return invalid("stream has no mirror but does have mirror direct");
    }
    check_room(&wanted, around)?;
    let mut cfg = check(&wanted, around, request.pedantic)?;
    check_standalone(&cfg, around)?;
    if let Some(existing) = around.stream(name) {
        level::adopt(&mut cfg.metadata, &existing.metadata);
        return match cfg == *existing {
            true => Ok(StreamCreate::Same),
            false => Err(error::stream_name_exist()),
        };
    }
    let (limits, tiered) = around.limits(cfg.num_replicas).ok_or_else(error::no_limits)?;
    check_bytes(&cfg, around, &limits, tiered, cfg.max_bytes, 0)?;
    check_filters(&cfg)?;
    check_overlap(&cfg, around)?;
    Ok(StreamCreate::New(Box::new(cfg)))
}

/// The account limits, seen before the configuration itself is judged.
fn check_room(cfg: &StreamConfig, around: &dyn Surroundings) -> Result<(), ApiError> {
    let copies = cfg.num_replicas.max(1);
    let (limits, tiered) = around.limits(copies).ok_or_else(error::no_limits)?;
    if limits.max_streams > 0 && around.streams(copies, &cfg.name) >= limits.max_streams {
        return Err(error::maximum_streams_limit());
    }
    if around.stream(&cfg.name).is_some() {
        return Ok(());
    }
    check_bytes(cfg, around, &limits, tiered, cfg.max_bytes, 0)
}

fn check_standalone(cfg: &StreamConfig, around: &dyn Surroundings) -> Result<(), ApiError> {
    if around.server().standalone && cfg.num_replicas > 1 {
        return Err(error::stream_replicas_not_supported());
    }
    Ok(())
}

fn check_overlap(cfg: &StreamConfig, around: &dyn Surroundings) -> Result<(), ApiError> {
    match cfg.subjects.iter().any(|s| around.subject_taken(s, &cfg.name)) {
        true => Err(error::stream_subject_overlap()),
        false => Ok(()),
    }
}

/// Decides STREAM.UPDATE for the stream named by the subject. `consumers` are
/// the stream's present consumers.
pub fn update<'a>(
    request: &StreamConfigRequest,
    name: &str,
    consumers: impl Iterator<Item = &'a ConsumerConfig>,
    around: &dyn Surroundings,
) -> Result<StreamConfig, ApiError> {
    let mut wanted = check(&request.config, around, request.pedantic)?;
    if wanted.name != name {
        return Err(error::stream_mismatch());
    }
    let old = around.stream(name).ok_or_else(error::stream_not_found)?;
    wanted.stamp_level();
    let mut cfg = check(&wanted, around, request.pedantic)?;
    check_standalone(&cfg, around)?;
    check_fixed(old, &cfg)?;
    if cfg.sealed {
        cfg.max_age = 0;
        cfg.discard = DiscardPolicy::New;
        cfg.deny_delete = true;
        cfg.deny_purge = true;
        cfg.allow_rollup_hdrs = false;
    }
    let found = around.limits(cfg.num_replicas).or_else(|| around.limits(old.num_replicas));
    let (limits, tiered) = found.ok_or_else(error::no_limits)?;
    let more = (cfg.max_bytes.max(0) - old.max_bytes.max(0)).max(0);
    check_bytes(&cfg, around, &limits, tiered, more, cfg.max_bytes - more)?;
    check_consumers(old, &cfg, consumers)?;
    check_overlap(&cfg, around)?;
    // nats-server stores a new first_seq and purges below it at the next start;
    // a running stream keeps the one it was made with.
    cfg.first_seq = old.first_seq;
    Ok(cfg)
}

/// What an update cannot change, or only in one direction.
fn check_fixed(old: &StreamConfig, new: &StreamConfig) -> Result<(), ApiError> {
    let update = "stream configuration update can not";
    if new.storage != old.storage {
        return invalid(format!("{update} change storage type"));
    }
    let queue = RetentionPolicy::WorkQueue;
    if new.retention != old.retention && (new.retention == queue || old.retention == queue) {
        return invalid(format!("{update} change retention policy to/from workqueue"));
    }
    if old.sealed && !new.sealed {
        return invalid(format!("{update} unseal a sealed stream"));
    }
    if old.deny_delete && !new.deny_delete {
        return invalid(format!("{update} cancel deny message deletes"));
    }
    if old.deny_purge && !new.deny_purge {
        return invalid(format!("{update} cancel deny purge"));
    }
    if new.mirror.is_some() && new.mirror != old.mirror {
        return Err(error::stream_mirror_not_updatable());
    }
    if old.allow_msg_ttl && !new.allow_msg_ttl {
        return invalid("message TTL status can not be disabled");
    }
    if new.allow_msg_counter != old.allow_msg_counter {
        return invalid(format!("{update} change message counter setting"));
    }
    if old.allow_msg_schedules && !new.allow_msg_schedules {
        return invalid("message schedules can not be disabled");
    }
    if new.persist_mode != old.persist_mode {
        return invalid(format!("{update} change persist mode"));
    }
    Ok(())
}

/// Consumers that exist must fit into new bounds.
fn check_consumers<'a>(
    old: &StreamConfig,
    new: &StreamConfig,
    consumers: impl Iterator<Item = &'a ConsumerConfig>,
) -> Result<(), ApiError> {
    let (was, is) = (&old.consumer_limits, &new.consumer_limits);
    let idle = is.inactive_threshold;
    let acks = is.max_ack_pending;
    if (idle <= 0 || idle == was.inactive_threshold) && (acks <= 0 || acks == was.max_ack_pending) {
        return Ok(());
    }
    let outside: Vec<&str> = consumers
        .filter(|c| {
            (idle > 0 && c.inactive_threshold > idle) || (acks > 0 && c.max_ack_pending > acks)
        })
        .map(|c| c.name.as_str())
        .collect();
    if outside.is_empty() {
        return Ok(());
    }
    let names = outside.join(", ");
    Err(error::stream_update(format!("change to limits violates consumers: {names}")))
}

/// Decides STREAM.RESTORE: as a create, but an existing stream is refused and a
/// missing name is taken from the subject.
pub fn restore(
    config: &StreamConfig,
    name: &str,
    around: &dyn Surroundings,
) -> Result<StreamConfig, ApiError> {
    let mut wanted = config.clone();
    if wanted.name.is_empty() {
        wanted.name = name.to_owned();
    }
    wanted.stamp_level();
    if wanted.name != name {
        return Err(error::stream_mismatch());
    }
    if name.contains(['\\', '/']) {
        return Err(error::stream_name_contains_path_separators());
    }
    let cfg = check(&wanted, around, false)?;
    check_standalone(&cfg, around)?;
    check_room(&cfg, around)?;
    if around.stream(name).is_some() {
        return Err(error::stream_name_exist_restore_failed());
    }
    check_filters(&cfg)?;
    check_overlap(&cfg, around)?;
    Ok(cfg)
}
