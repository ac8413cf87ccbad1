//! The API level an asset needs and the metadata that tells it
//! (contract/jetstream.md §1.1, §1.3).

use super::{AckPolicy, ConsumerConfig, PersistMode, PriorityPolicy, StreamConfig};
use std::collections::BTreeMap;

/// The API level this server has.
pub const API_LEVEL: u32 = 5;
/// Metadata key of the level an asset needs; stored.
pub const REQUIRED_LEVEL: &str = "_nats.req.level";
/// Metadata key of the server's version; only in answers.
pub const SERVER_VERSION: &str = "_nats.ver";
/// Metadata key of the server's level; only in answers.
pub const SERVER_LEVEL: &str = "_nats.level";

type Metadata = BTreeMap<String, String>;

impl StreamConfig {
    /// The lowest API level that knows everything this stream uses.
    pub fn required_level(&self) -> u32 {
        if self.allow_batched {
            4
        } else if self.allow_msg_counter
            || self.allow_atomic
            || self.allow_msg_schedules
            || self.persist_mode == PersistMode::Async
        {
            2
        } else if self.allow_msg_ttl || self.subject_delete_marker_ttl > 0 {
            1
        } else {
            0
        }
    }

    /// Writes the level it needs into its metadata, as it is stored.
    pub fn stamp_level(&mut self) {
        let level = self.required_level();
        stamp(&mut self.metadata, level);
    }
}

impl ConsumerConfig {
    /// The lowest API level that knows everything this consumer uses.
    pub fn required_level(&self) -> u32 {
        if self.ack_policy == AckPolicy::FlowControl {
            4
        } else if self.pause_until.is_some_and(|t| !t.is_zero())
            || self.priority_policy != PriorityPolicy::None
            || self.priority_timeout != 0
            || !self.priority_groups.is_empty()
        {
            1
        } else {
            0
        }
    }

    /// Writes the level it needs into its metadata, as it is stored.
    pub fn stamp_level(&mut self) {
        let level = self.required_level();
        stamp(&mut self.metadata, level);
    }
}

fn stamp(metadata: &mut Metadata, level: u32) {
    metadata.remove(SERVER_VERSION);
    metadata.remove(SERVER_LEVEL);
    metadata.insert(REQUIRED_LEVEL.into(), level.to_string());
}

/// Adds what is only shown in CREATE, UPDATE, INFO, PAUSE and RESET answers.
pub fn stamp_answer(metadata: &mut Metadata, server_version: &str) {
    metadata.insert(SERVER_VERSION.into(), server_version.into());
    metadata.insert(SERVER_LEVEL.into(), API_LEVEL.to_string());
}

/// Takes over the level of a stored asset, so that two configurations compare
/// equal when they only differ in what the server added.
pub(super) fn adopt(metadata: &mut Metadata, stored: &Metadata) {
    metadata.remove(SERVER_VERSION);
    metadata.remove(SERVER_LEVEL);
    match stored.get(REQUIRED_LEVEL) {
        Some(level) => metadata.insert(REQUIRED_LEVEL.into(), level.clone()),
        None => metadata.remove(REQUIRED_LEVEL),
    };
}

/// Whether an asset with this metadata can be run here.
pub fn supported(metadata: &Metadata) -> bool {
    match metadata.get(REQUIRED_LEVEL).filter(|l| !l.is_empty()) {
        Some(level) => level.parse::<i64>().is_ok_and(|l| l <= i64::from(API_LEVEL)),
        None => true,
    }
}

/// Whether a request with this `Nats-Required-Api-Level` header can be served;
/// otherwise the answer is 10185.
pub fn request_supported(header: Option<&[u8]>) -> bool {
    let Some(value) = header.filter(|v| !v.is_empty()) else { return true };
    let text = std::str::from_utf8(value).unwrap_or_default();
    text.parse::<i64>().is_ok_and(|l| l <= i64::from(API_LEVEL))
}
