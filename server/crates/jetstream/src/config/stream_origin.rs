//! Rules for mirrors and sources (contract/jetstream.md §2.1, §2.4).

use super::limits::Surroundings;
use super::names::{invalid, is_asset_name, short_hash};
use super::subjects::{check_mapping, is_literal, is_valid, is_valid_literal, overlap, within};
use super::{StreamConfig, StreamConsumerSource, StreamSource};
use crate::error::{self, ApiError};
use std::collections::{HashSet, VecDeque};

/// Prefix of the API's subjects.
const API_PREFIX: &str = "$JS.API";

impl StreamSource {
    /// What tells two sources of a stream apart: name, origin, filters and
    /// destinations. Also the head of `Nats-Stream-Source`.
    pub fn index_name(&self) -> String {
        let mut name = self.origin_name();
        if let Some(consumer) = &self.consumer {
            name = format!("{name}:C={}", short_hash(&consumer.name));
        }
        let all = |s: &str| if s.is_empty() { ">".to_owned() } else { s.to_owned() };
        if self.subject_transforms.is_empty() {
            return format!("{name} {} >", all(&self.filter_subject));
        }
        let join = |pick: fn(&super::SubjectTransform) -> &str| {
            let parts: Vec<_> = self.subject_transforms.iter().map(|t| all(pick(t))).collect();
            parts.join("\u{c}")
        };
        format!("{name} {} {}", join(|t| &t.src), join(|t| &t.dest))
    }

    /// Origin stream, with a hash of the API prefix if it is elsewhere.
    fn origin_name(&self) -> String {
        match &self.external {
            Some(external) => format!("{}:{}", self.name, short_hash(&external.api)),
            None => self.name.clone(),
        }
    }
}

/// Subjects of visible origins and prefixes of invisible ones.
#[derive(Default)]
struct Seen {
    subjects: Vec<String>,
    deliver: Vec<String>,
    api: Vec<String>,
}

impl Seen {
    fn add(&mut self, origin: &StreamSource, around: &dyn Surroundings) {
        match &origin.external {
            Some(external) => {
                self.deliver
                    .extend((!external.deliver.is_empty()).then(|| external.deliver.clone()));
                self.api.extend((!external.api.is_empty()).then(|| external.api.clone()));
            }
            None => {
                let subjects = around.stream(&origin.name).map(|s| s.subjects.clone());
                self.subjects.extend(subjects.unwrap_or_default());
            }
        }
    }
}

/// Checks the mirror, the sources and that they form no cycle.
pub(super) fn check_origins(
    cfg: &mut StreamConfig,
    around: &dyn Surroundings,
    pedantic: bool,
) -> Result<(), ApiError> {
    let mut seen = Seen::default();
    if let Some(mirror) = cfg.mirror.clone() {
        check_mirror_features(cfg)?;
        check_mirror(cfg, &mirror)?;
        if mirror.external.is_none() {
            check_visible_mirror(cfg, &mirror, around, pedantic)?;
        }
        seen.add(&mirror, around);
    }
    check_sources(cfg, around, &mut seen)?;
    check_prefixes(&seen)?;
    check_cycle(cfg, around)
}

fn check_mirror_features(cfg: &StreamConfig) -> Result<(), ApiError> {
    if cfg.first_seq > 0 {
        return Err(error::mirror_with_first_seq());
    }
    if !cfg.subjects.is_empty() {
        return Err(error::mirror_with_subjects());
    }
    if !cfg.sources.is_empty() {
        return Err(error::mirror_with_sources());
    }
    if cfg.allow_msg_counter {
        return Err(error::mirror_with_counters());
    }
    if cfg.allow_atomic {
        return Err(error::mirror_with_atomic_publish());
    }
    if cfg.allow_batched {
        return Err(error::mirror_with_batch_publish());
    }
    if cfg.allow_msg_schedules {
        return Err(error::mirror_with_msg_schedules());
    }
    Ok(())
}

fn check_mirror(cfg: &StreamConfig, mirror: &StreamSource) -> Result<(), ApiError> {
    if let Some(consumer) = &mirror.consumer
        && !durable_fits(mirror, consumer)
    {
        return Err(error::mirror_durable_consumer_cfg_invalid());
    }
    if !mirror.filter_subject.is_empty() && !mirror.subject_transforms.is_empty() {
        return Err(error::mirror_multiple_filters_not_allowed());
    }
    if cfg.subject_delete_marker_ttl > 0 {
        return invalid("subject delete markers forbidden on mirrors");
    }
    for (i, transform) in mirror.subject_transforms.iter().enumerate() {
        if !transform.src.is_empty() && !is_valid(&transform.src) {
            let why = format!("invalid subject {}", transform.src);
            return Err(error::mirror_invalid_subject_filter(why));
        }
        check_mapping(&transform.src, &transform.dest)
            .map_err(error::mirror_invalid_transform_destination)?;
        let mut others = mirror.subject_transforms.iter().enumerate().filter(|(n, _)| *n != i);
        if others.any(|(_, other)| overlap(&transform.src, &other.src)) {
            return Err(error::mirror_overlapping_subject_filters());
        }
    }
    Ok(())
}

/// A mirror of a stream of this account; the stream need not exist.
fn check_visible_mirror(
    cfg: &mut StreamConfig,
    mirror: &StreamSource,
    around: &dyn Surroundings,
    pedantic: bool,
) -> Result<(), ApiError> {
    if !is_asset_name(&mirror.name) {
        return Err(error::mirror_invalid_stream_name());
    }
    let Some(origin) = around.stream(&mirror.name) else { return Ok(()) };
    if cfg.max_msg_size > 0 && origin.max_msg_size > 0 && cfg.max_msg_size < origin.max_msg_size {
        return Err(error::mirror_max_message_size_too_big());
    }
    if pedantic && cfg.mirror_direct != origin.allow_direct {
        return Err(error::pedantic("origin stream has direct get set, mirror has it disabled"));
    }
    cfg.mirror_direct = origin.allow_direct;
    Ok(())
}

/// Whether a prepared durable can be used for `origin`.
fn durable_fits(origin: &StreamSource, consumer: &StreamConsumerSource) -> bool {
    is_asset_name(&consumer.name)
        && is_literal(&consumer.deliver_subject)
        && is_valid(&consumer.deliver_subject)
        && origin.opt_start_seq == 0
        && origin.opt_start_time.is_none()
        && origin.filter_subject.is_empty()
}

fn check_sources(
    cfg: &StreamConfig,
    around: &dyn Surroundings,
    seen: &mut Seen,
) -> Result<(), ApiError> {
    if !cfg.sources.is_empty() && cfg.allow_msg_schedules {
        return Err(error::source_with_msg_schedules());
    }
    let mut index_names = Vec::with_capacity(cfg.sources.len());
    let mut durables = Vec::new();
    for source in &cfg.sources {
        if !is_asset_name(&source.name) {
            return Err(error::source_invalid_stream_name());
        }
        let index_name = source.index_name();
        if index_names.contains(&index_name) {
            return Err(error::source_duplicate_detected());
        }
        index_names.push(index_name);
        check_source_filters(source)?;
        if let Some(consumer) = &source.consumer {
            if !durable_fits(source, consumer) {
                return Err(error::source_durable_consumer_cfg_invalid());
            }
            let durable = format!("{} {}", source.origin_name(), consumer.name);
            if durables.contains(&durable) {
                return Err(error::source_durable_consumer_duplicate_detected());
            }
            durables.push(durable);
        }
        seen.add(source, around);
        let origin = around.stream(&source.name).filter(|_| source.external.is_none());
        let their_max = origin.map_or(0, |o| o.max_msg_size);
        if cfg.max_msg_size > 0 && their_max > 0 && cfg.max_msg_size < their_max {
            return Err(error::source_max_message_size_too_big());
        }
    }
    Ok(())
}

fn check_source_filters(source: &StreamSource) -> Result<(), ApiError> {
    let transforms = &source.subject_transforms;
    if !source.filter_subject.is_empty() && !transforms.is_empty() {
        return Err(error::source_multiple_filters_not_allowed());
    }
    for transform in transforms {
        if !transform.src.is_empty() && !is_valid(&transform.src) {
            let why = format!("invalid subject {}", transform.src);
            return Err(error::source_invalid_subject_filter(why));
        }
        check_mapping(&transform.src, &transform.dest)
            .map_err(error::source_invalid_transform_destination)?;
    }
    for (i, transform) in transforms.iter().enumerate() {
        let mut others = transforms.iter().enumerate().filter(|(n, _)| *n != i);
        if others.any(|(_, other)| within(&transform.src, &other.src)) {
            return Err(error::source_overlapping_subject_filters());
        }
    }
    Ok(())
}

fn check_prefixes(seen: &Seen) -> Result<(), ApiError> {
    for prefix in &seen.deliver {
        if !is_valid_literal(prefix) {
            return Err(error::stream_invalid_external_delivery_subj(prefix));
        }
        for subject in &seen.subjects {
            if overlap(subject, &format!("{prefix}.{subject}")) {
                return Err(error::stream_external_del_prefix_overlaps(prefix, subject));
            }
        }
    }
    for prefix in &seen.api {
        if !is_valid_literal(prefix) {
            return invalid(format!(
                "stream external api prefix \"{prefix}\" must be a valid subject without wildcards"
            ));
        }
        if overlap(prefix, API_PREFIX) {
            return Err(error::stream_external_api_overlap(prefix, API_PREFIX));
        }
    }
    Ok(())
}

/// Walks the origins of origins; meeting the stream itself again means its
/// messages would go round for ever.
fn check_cycle(cfg: &StreamConfig, around: &dyn Surroundings) -> Result<(), ApiError> {
    let mut met: HashSet<&str> = HashSet::from([cfg.name.as_str()]);
    let mut queue = VecDeque::from([cfg]);
    while let Some(stream) = queue.pop_front() {
        for source in stream.sources.iter().filter(|s| s.external.is_none()) {
            let filter = &source.filter_subject;
            let passes = filter.is_empty() || stream.subjects.iter().any(|s| overlap(s, filter));
            if source.name == cfg.name && passes {
                return invalid("detected cycle");
            }
            if met.insert(&source.name) {
                queue.extend(around.stream(&source.name));
            }
        }
        if let Some(mirror) = stream.mirror.as_ref().filter(|m| m.external.is_none()) {
            if mirror.name == cfg.name {
                return invalid("detected cycle");
            }
            if met.insert(&mirror.name) {
                queue.extend(around.stream(&mirror.name));
            }
        }
    }
    Ok(())
}

/// Checks filters that only matter once the stream is really made; the errors
/// are plain texts inside 10049.
pub(super) fn check_filters(cfg: &StreamConfig) -> Result<(), ApiError> {
    let bad = |filter: &str| !filter.is_empty() && !is_valid(filter);
    if let Some(mirror) = &cfg.mirror
        && mirror.subject_transforms.is_empty()
        && bad(&mirror.filter_subject)
    {
        return Err(error::stream_create(format!(
            "subject filter '{}' for the mirror invalid subject",
            mirror.filter_subject
        )));
    }
    for source in &cfg.sources {
        if source.subject_transforms.is_empty() && bad(&source.filter_subject) {
            return Err(error::stream_create(format!(
                "subject filter '{}' for the source: invalid subject",
                source.filter_subject
            )));
        }
    }
    Ok(())
}
