//! What makes a stream configuration acceptable: defaults, then every rule that
//! holds on create and update alike (contract/jetstream.md §2.1).

use super::limits::{
    AccountLimits, DEFAULT_DUPLICATE_WINDOW, MAX_REPLICAS, ServerLimits, Surroundings,
};
use super::names::{MAX_DESCRIPTION, MAX_METADATA, MAX_NAME, invalid, is_asset_name, metadata_len};
use super::stream_origin::check_origins;
use super::subjects::{check_mapping, is_valid, overlap, within};
use super::{DiscardPolicy, PersistMode, RetentionPolicy, StorageType, StreamConfig};
use crate::duration::{self, MILLISECOND, SECOND};
use crate::error::{self, ApiError};
use gust_storage::store::MAX_SEQ;

/// Applies defaults to `config` and checks it. `pedantic` refuses what would be
/// changed silently.
pub fn check(
    config: &StreamConfig,
    around: &dyn Surroundings,
    pedantic: bool,
) -> Result<StreamConfig, ApiError> {
    check_names(config)?;
    let mut cfg = config.clone();
    check_counts(&mut cfg, pedantic)?;
    check_times(&mut cfg, &around.server(), pedantic)?;
    check_features(&mut cfg, pedantic)?;
    check_origins(&mut cfg, around, pedantic)?;
    check_subjects(&mut cfg)?;
    let limits = around.limits(cfg.num_replicas).map(|(limits, _)| limits);
    check_max_bytes(&cfg, &limits.unwrap_or(AccountLimits::NONE))?;
    check_mappings(&mut cfg, pedantic)?;
    check_placement(&mut cfg)?;
    Ok(cfg)
}

fn check_names(cfg: &StreamConfig) -> Result<(), ApiError> {
    if !is_asset_name(&cfg.name) {
        return invalid(r"stream name is required and can not contain '.', '*', '>', '\', '/'");
    }
    if cfg.name.len() > MAX_NAME {
        return invalid(format!("stream name is too long, maximum allowed is {MAX_NAME}"));
    }
    if cfg.description.len() > MAX_DESCRIPTION {
        let why = format!("stream description is too long, maximum allowed is {MAX_DESCRIPTION}");
        return invalid(why);
    }
    if metadata_len(&cfg.metadata) > MAX_METADATA {
        return invalid(format!("stream metadata exceeds maximum size of {MAX_METADATA} bytes"));
    }
    Ok(())
}

/// Replicas and the limits where 0 means "none", shown as -1.
fn check_counts(cfg: &mut StreamConfig, pedantic: bool) -> Result<(), ApiError> {
    if cfg.num_replicas == 0 {
        cfg.num_replicas = 1;
    }
    if cfg.first_seq > MAX_SEQ {
        return invalid(format!(
            "first sequence {} is beyond {MAX_SEQ}, the highest one possible",
            cfg.first_seq
        ));
    }
    if cfg.num_replicas > MAX_REPLICAS {
        return invalid(format!("maximum replicas is {MAX_REPLICAS}"));
    }
    if cfg.num_replicas < 0 {
        return Err(error::replicas_count_cannot_be_negative());
    }
    let unbounded = |value: &mut i64, name: &str| {
        if pedantic && *value < -1 {
            return Err(error::pedantic(format!("{name} must be set to -1")));
        }
        if *value <= 0 {
            *value = -1;
        }
        Ok(())
    };
    unbounded(&mut cfg.max_msgs, "max_msgs")?;
    unbounded(&mut cfg.max_msgs_per_subject, "max_msgs_per_subject")?;
    unbounded(&mut cfg.max_bytes, "max_bytes")?;
    let mut size = i64::from(cfg.max_msg_size);
    unbounded(&mut size, "max_msg_size")?;
    cfg.max_msg_size = size as i32;
    unbounded(&mut cfg.max_consumers, "max_consumers")
}

/// `max_age` and `duplicate_window`.
fn check_times(
    cfg: &mut StreamConfig,
    server: &ServerLimits,
    pedantic: bool,
) -> Result<(), ApiError> {
    if cfg.max_age < 0 {
        return invalid("max age can not be negative");
    }
    if cfg.max_age != 0 && cfg.max_age < 100 * MILLISECOND {
        return invalid("max age needs to be >= 100ms");
    }
    let limit = server.duplicate_window;
    if cfg.duplicate_window == 0 && cfg.mirror.is_none() && cfg.sources.is_empty() {
        let mut window = DEFAULT_DUPLICATE_WINDOW;
        if limit > 0 && window > limit {
            if pedantic {
                let why = "duplicate window limits are higher than current limits";
                return Err(error::pedantic(why));
            }
            window = limit;
        }
        if cfg.max_age != 0 && cfg.max_age < window {
            if pedantic {
                return Err(error::pedantic("duplicate window cannot be bigger than max age"));
            }
            window = cfg.max_age;
        }
        cfg.duplicate_window = window;
    }
    if cfg.duplicate_window < 0 {
        return invalid("duplicates window can not be negative");
    }
    if cfg.max_age != 0 && cfg.duplicate_window > cfg.max_age {
        return invalid("duplicates window can not be larger then max age");
    }
    if limit > 0 && cfg.duplicate_window > limit {
        return invalid(format!(
            "duplicates window can not be larger then server limit of {}",
            duration::format(limit)
        ));
    }
    if cfg.duplicate_window > 0 && cfg.duplicate_window < 100 * MILLISECOND {
        return invalid("duplicates window needs to be >= 100ms");
    }
    Ok(())
}

/// Features that exclude or imply each other.
fn check_features(cfg: &mut StreamConfig, pedantic: bool) -> Result<(), ApiError> {
    if cfg.deny_purge && cfg.allow_rollup_hdrs {
        return invalid("roll-ups require the purge permission");
    }
    let discard_new = cfg.discard == DiscardPolicy::New;
    if cfg.allow_msg_counter {
        if discard_new {
            return invalid("counter stream cannot use discard new");
        }
        if cfg.allow_msg_ttl {
            return invalid("counter stream cannot use message TTLs");
        }
        if cfg.allow_msg_schedules {
            return invalid("counter stream cannot use message schedules");
        }
        if cfg.retention != RetentionPolicy::Limits {
            return invalid("counter stream can only use limits retention");
        }
    }
    check_discard_per_subject(cfg)?;
    check_markers(cfg, pedantic)?;
    if cfg.allow_msg_schedules {
        if discard_new {
            return invalid("message scheduling cannot use discard new");
        }
        if !cfg.allow_rollup_hdrs {
            if pedantic {
                return invalid("message scheduling cannot be set if roll-ups are disabled");
            }
            (cfg.allow_rollup_hdrs, cfg.deny_purge) = (true, false);
        }
    }
    if cfg.persist_mode == PersistMode::Async {
        if cfg.storage != StorageType::File {
            return invalid("async persist mode is only supported on file storage");
        }
        if cfg.num_replicas > 1 {
            return invalid("async persist mode is not supported on replicated streams");
        }
        if cfg.allow_atomic {
            return invalid("async persist mode is not supported with atomic batch publish");
        }
    }
    Ok(())
}

/// The per-subject form of `discard: new`.
fn check_discard_per_subject(cfg: &StreamConfig) -> Result<(), ApiError> {
    if cfg.discard_new_per_subject {
        if cfg.discard != DiscardPolicy::New {
            return invalid("discard new per subject requires discard new policy to be set");
        }
        if cfg.max_msgs_per_subject <= 0 {
            return invalid("discard new per subject requires max msgs per subject > 0");
        }
    }
    Ok(())
}

/// Delete markers need TTLs and rollups and turn them on.
fn check_markers(cfg: &mut StreamConfig, pedantic: bool) -> Result<(), ApiError> {
    if cfg.subject_delete_marker_ttl < 0 {
        return invalid("subject delete marker TTL must not be negative");
    }
    if cfg.subject_delete_marker_ttl == 0 {
        return Ok(());
    }
    if cfg.subject_delete_marker_ttl < SECOND {
        return invalid("subject delete marker TTL must be at least 1 second");
    }
    if !cfg.allow_msg_ttl {
        if pedantic {
            return invalid("subject delete marker cannot be set if message TTLs are disabled");
        }
        cfg.allow_msg_ttl = true;
    }
    if !cfg.allow_rollup_hdrs {
        if pedantic {
            return invalid("subject delete marker cannot be set if roll-ups are disabled");
        }
        (cfg.allow_rollup_hdrs, cfg.deny_purge) = (true, false);
    }
    Ok(())
}

/// The stream's own subjects.
fn check_subjects(cfg: &mut StreamConfig) -> Result<(), ApiError> {
    if cfg.subjects.is_empty() {
        if cfg.mirror.is_none() && cfg.sources.is_empty() {
            cfg.subjects.push(cfg.name.clone());
        }
        return Ok(());
    }
    if cfg.mirror.is_some() {
        return Err(error::mirror_with_subjects());
    }
    for (i, subject) in cfg.subjects.iter().enumerate() {
        if !is_valid(subject) {
            return invalid("invalid subject");
        }
        let (before, after) = cfg.subjects.split_at(i);
        if before.contains(subject) {
            return invalid("duplicate subjects detected");
        }
        if subject == ">" {
            if !cfg.no_ack {
                return invalid("capturing all subjects requires no-ack to be true");
            }
            if cfg.num_replicas != 1 {
                return invalid("capturing all subjects requires replicas of 1");
            }
        }
        if !cfg.no_ack {
            check_reserved(subject)?;
        }
        if let Some(other) = after.iter().skip(1).find(|other| overlap(other, subject)) {
            return invalid(format!("subject \"{subject}\" overlaps with \"{other}\""));
        }
    }
    Ok(())
}

/// Subjects the server itself answers on: a PubAck there would be an answer to
/// somebody else's request.
fn check_reserved(subject: &str) -> Result<(), ApiError> {
    let api = ["$JS.>", "$JSC.>", "$NRG.>"];
    if api.iter().any(|space| overlap(subject, space)) && !within(subject, "$JS.EVENT.>") {
        return invalid("subjects that overlap with jetstream api require no-ack to be true");
    }
    if overlap(subject, "$SYS.>") && !within(subject, "$SYS.ACCOUNT.>") {
        return invalid("subjects that overlap with system api require no-ack to be true");
    }
    Ok(())
}

fn check_max_bytes(cfg: &StreamConfig, limits: &AccountLimits) -> Result<(), ApiError> {
    let limit = match cfg.storage {
        StorageType::Memory => limits.memory_max_stream_bytes,
        StorageType::File => limits.storage_max_stream_bytes,
    };
    if limits.max_bytes_required && cfg.max_bytes <= 0 {
        return Err(error::stream_max_bytes_required());
    }
    if limit > 0 && cfg.max_bytes > limit {
        return Err(error::stream_max_stream_bytes_exceeded());
    }
    Ok(())
}

/// The stream's transform and its republishing.
fn check_mappings(cfg: &mut StreamConfig, pedantic: bool) -> Result<(), ApiError> {
    if let Some(transform) = &cfg.subject_transform {
        if !transform.src.is_empty() && !is_valid(&transform.src) {
            let why = format!("invalid subject {}", transform.src);
            return Err(error::stream_transform_invalid_source(why));
        }
        check_mapping(&transform.src, &transform.dest)
            .map_err(error::stream_transform_invalid_destination)?;
    }
    let Some(republish) = &mut cfg.republish else { return Ok(()) };
    if republish.src.is_empty() {
        if pedantic {
            return Err(error::pedantic("republish source can not be empty"));
        }
        republish.src = ">".into();
    }
    // `>` to `>` is fine when the transform moves everything elsewhere.
    let moved = cfg.subject_transform.as_ref().filter(|t| {
        republish.src == ">"
            && republish.dest == ">"
            && matches!(&cfg.subjects[..], [only] if *only == t.src)
    });
    if let Some(transform) = moved {
        if pedantic {
            return Err(error::pedantic("implicit republish based on subject transform"));
        }
        republish.src.clone_from(&transform.dest);
        republish.dest.clone_from(&transform.dest);
    }
    if cfg.subjects.iter().any(|s| overlap(&republish.dest, s)) {
        return invalid("stream configuration for republish destination forms a cycle");
    }
    if check_mapping(&republish.src, &republish.dest).is_err() {
        return invalid(format!(
            "stream configuration for republish with transform from '{}' to '{}' not valid",
            republish.src, republish.dest
        ));
    }
    Ok(())
}

fn check_placement(cfg: &mut StreamConfig) -> Result<(), ApiError> {
    if cfg.placement.as_ref().is_some_and(|p| *p == Default::default()) {
        cfg.placement = None;
    }
    if cfg.placement.as_ref().is_some_and(|p| !p.preferred.is_empty()) {
        return invalid("preferred server not permitted in placement");
    }
    Ok(())
}
