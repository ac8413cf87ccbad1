//! A stream's configuration, compiled for use.

use crate::config::{DiscardPolicy, RetentionPolicy, StorageType, StreamConfig};
use crate::effect::Nanos;
use gust_subject::Transform;

/// A configuration and what follows from it.
#[derive(Debug)]
pub struct Rules {
    /// The document.
    pub config: StreamConfig,
    /// Most messages.
    pub max_msgs: u64,
    /// Most visible bytes.
    pub max_bytes: u64,
    /// Most messages of one subject.
    pub max_per_subject: u64,
    /// Longest life, ns.
    pub max_age: Option<Nanos>,
    /// Largest headers + payload.
    pub max_msg_size: u64,
    /// Whether `Nats-Rollup` removes older messages.
    pub rollup: bool,
    /// JetStream domain, or empty.
    pub domain: String,
    /// Mapping of incoming subjects.
    pub transform: Option<Transform>,
    /// Mapping of stored subjects to those of the copies.
    pub republish: Option<Transform>,
}

/// What stands for "no limit".
pub const UNLIMITED: u64 = u64::MAX;

impl Rules {
    /// Compiles a configuration that passed the checks of [`crate::config`].
    pub fn new(config: StreamConfig, domain: &str) -> Rules {
        let limit = |n: i64| if n > 0 { n as u64 } else { UNLIMITED };
        let mapping = |src: &str, dest: &str| match dest {
            "" => None,
            _ => Transform::new(src.as_bytes(), dest.as_bytes()).ok(),
        };
        Rules {
            max_msgs: limit(config.max_msgs),
            max_bytes: limit(config.max_bytes),
            max_per_subject: limit(config.max_msgs_per_subject),
            max_age: (config.max_age > 0).then_some(config.max_age),
            // 0 is not "nothing fits": -1 is what defaults make of it.
            max_msg_size: limit(i64::from(config.max_msg_size)),
            rollup: config.allow_rollup_hdrs && !config.deny_purge,
            domain: domain.to_owned(),
            transform: config.subject_transform.as_ref().and_then(|t| mapping(&t.src, &t.dest)),
            republish: config.republish.as_ref().and_then(|r| mapping(&r.src, &r.dest)),
            config,
        }
    }

    /// Visible bytes of a message (contract/jetstream.md §2.2).
    pub fn visible(&self, subject: usize, headers: usize, payload: usize) -> u64 {
        let n = match (self.config.storage, headers) {
            (StorageType::Memory, _) => 16 + subject + headers + payload,
            (StorageType::File, 0) => 30 + subject + payload,
            (StorageType::File, _) => 34 + subject + headers + payload,
        };
        n as u64
    }

    /// Whether a full stream refuses instead of dropping the oldest.
    pub fn discard_new(&self) -> bool {
        self.config.discard == DiscardPolicy::New
    }

    /// Whether messages nobody is interested in are not kept.
    pub fn interest(&self) -> bool {
        self.config.retention == RetentionPolicy::Interest
    }

    /// Whether acknowledged messages go.
    pub fn acks_remove(&self) -> bool {
        self.config.retention != RetentionPolicy::Limits
    }
}
