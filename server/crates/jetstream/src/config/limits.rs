//! What an account and this server allow, and what they have given away.

use super::{StorageType, StreamConfig};
use crate::duration::{HOUR, SECOND};
use crate::effect::Nanos;
use crate::error::{self, ApiError};
use crate::json::{JsonEmpty, json_struct};

/// `ack_wait` of explicit and all consumers, ns.
pub const DEFAULT_ACK_WAIT: Nanos = 30 * SECOND;
/// `max_ack_pending` when nothing says otherwise.
pub const DEFAULT_MAX_ACK_PENDING: i64 = 1000;
/// `max_waiting` of pull consumers.
pub const DEFAULT_MAX_WAITING: i64 = 512;
/// `inactive_threshold` of ephemeral consumers, ns.
pub const EPHEMERAL_THRESHOLD: Nanos = 5 * SECOND;
/// `priority_timeout` of pinned consumers, ns.
pub const DEFAULT_PRIORITY_TIMEOUT: Nanos = 120 * SECOND;
/// `duplicate_window` of ordinary streams, ns.
pub const DEFAULT_DUPLICATE_WINDOW: Nanos = 120 * SECOND;
/// Heartbeat of consumers that mirrors and sources use, ns.
pub const SOURCE_HEARTBEAT: Nanos = SECOND;
/// `ack_wait` of consumers that mirrors and sources use, ns.
pub const SOURCE_ACK_WAIT: Nanos = 22 * HOUR;
/// Most replicas of a stream.
pub const MAX_REPLICAS: i64 = 5;

json_struct! {
    /// The limits of an account, or of one of its tiers. -1 means none.
    pub struct AccountLimits("JetStreamAccountLimits") {
        /// Bytes in memory.
        max_memory: i64 = "max_memory",
        /// Bytes on disk.
        max_storage: i64 = "max_storage",
        /// Streams.
        max_streams: i64 = "max_streams",
        /// Consumers of one stream.
        max_consumers: i64 = "max_consumers",
        /// `max_ack_pending` of a consumer.
        max_ack_pending: i64 = "max_ack_pending",
        /// `max_bytes` of a memory stream.
        memory_max_stream_bytes: i64 = "memory_max_stream_bytes",
        /// `max_bytes` of a file stream.
        storage_max_stream_bytes: i64 = "storage_max_stream_bytes",
        /// Every stream must set `max_bytes`.
        max_bytes_required: bool = "max_bytes_required",
    }
}

impl AccountLimits {
    /// No limits at all.
    pub const NONE: AccountLimits = AccountLimits {
        max_memory: -1,
        max_storage: -1,
        max_streams: -1,
        max_consumers: -1,
        max_ack_pending: -1,
        memory_max_stream_bytes: -1,
        storage_max_stream_bytes: -1,
        max_bytes_required: false,
    };
}

impl JsonEmpty for AccountLimits {
    fn is_empty(&self) -> bool {
        false
    }
}

/// The server's `jetstream { limits {…} }`; 0 means none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerLimits {
    /// Longest `duplicate_window`, ns.
    pub duplicate_window: Nanos,
    /// Largest `max_ack_pending`.
    pub max_ack_pending: i64,
    /// Largest `max_batch` of a pull consumer.
    pub max_request_batch: i64,
    /// Whether the server stands alone: replicas above 1 are refused.
    pub standalone: bool,
}

/// Bytes allowed and reserved by `max_bytes` of streams, in one kind of storage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reserved {
    /// Reserved by the account's streams *other than the one being checked*,
    /// times their replicas where the limit is not tiered.
    pub account: i64,
    /// Reserved on this server by all streams.
    pub server: i64,
    /// What this server has.
    pub server_max: i64,
}

/// What surrounds a stream that is to be created or changed.
pub trait Surroundings {
    /// The account's limits for `replicas` copies and whether they come from a
    /// tier (tier limits are per replica); `None` gives 10120.
    fn limits(&self, replicas: i64) -> Option<(AccountLimits, bool)>;
    /// The server's limits.
    fn server(&self) -> ServerLimits;
    /// Reservations in `storage` without the stream `except`, for `replicas` copies.
    fn reserved(&self, storage: StorageType, replicas: i64, except: &str) -> Reserved;
    /// How many streams other than `except` count against the limit for `replicas` copies.
    fn streams(&self, replicas: i64, except: &str) -> i64;
    /// The configuration of a stream of the account.
    fn stream(&self, name: &str) -> Option<&StreamConfig>;
    /// Whether `subject` overlaps a subject of a stream other than `except`.
    fn subject_taken(&self, subject: &str, except: &str) -> bool;
}

/// Checks `cfg` against what the account and server have left, reserving
/// `adding` bytes now on top of `kept` bytes the stream had before.
pub(super) fn check_bytes(
    cfg: &StreamConfig,
    around: &dyn Surroundings,
    limits: &AccountLimits,
    tiered: bool,
    adding: i64,
    kept: i64,
) -> Result<(), ApiError> {
    if cfg.max_consumers > 0 && limits.max_consumers > 0 && cfg.max_consumers > limits.max_consumers
    {
        return Err(error::maximum_consumers_limit());
    }
    let copies = if tiered { 1 } else { cfg.num_replicas.max(1) };
    // A stream without a bound still needs room for something.
    let adding = if adding < 0 { 1 } else { adding };
    let reserved = around.reserved(cfg.storage, cfg.num_replicas, &cfg.name);
    let others = reserved.account.saturating_add(kept.max(0).saturating_mul(copies));
    let account = adding.saturating_mul(copies);
    let (max, refusal) = match cfg.storage {
        StorageType::Memory => (limits.max_memory, error::memory_resources_exceeded()),
        StorageType::File => (limits.max_storage, error::storage_resources_exceeded()),
    };
    let account_full = max >= 0 && (others > max || account > max - others);
    let server_full =
        reserved.server > reserved.server_max || adding > reserved.server_max - reserved.server;
    if account_full || server_full { Err(refusal) } else { Ok(()) }
}
