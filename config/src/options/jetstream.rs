//! `jetstream`: on, off, or a block.

use super::report::Report;
use crate::duration::{MINUTE_NS, SECOND_NS};
use crate::value::{Map, Node, Value};

/// Time between syncs unless said otherwise.
pub const DEFAULT_SYNC_INTERVAL_NS: i64 = 2 * MINUTE_NS;
/// Requests queued for the API unless said otherwise.
pub const DEFAULT_REQUEST_QUEUE_LIMIT: i64 = 10_000;
/// Concurrent disk operations unless said otherwise.
pub const DEFAULT_CONCURRENT_IO: i64 = 4096;

/// JetStream of the server. Zero or `None` means not given; see the defaults above and
/// `Options::apply_defaults`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JetStreamOptions {
    /// Turned on.
    pub enabled: bool,
    /// Directory below which `jetstream` is made; also the top-level `store_dir`.
    pub store_dir: String,
    /// Bytes for memory streams; `None`: a share of the machine's, `Some(0)`: none.
    pub max_memory: Option<i64>,
    /// Bytes for file streams; `None`: a share of the disk.
    pub max_store: Option<i64>,
    /// Domain, or empty.
    pub domain: String,
    /// Time between syncs; `None`: not given. Acknowledged writes are synced unless it is given.
    pub sync_interval_ns: Option<i64>,
    /// `sync_interval: always`.
    pub sync_always: bool,
    /// Encryption key, or empty.
    pub key: String,
    /// The key used before, or empty.
    pub previous_key: String,
    /// Cipher for encryption.
    pub cipher: Cipher,
    /// Keys sealed by a TPM.
    pub tpm: Option<Tpm>,
    /// Unknown fields in API requests are accepted (`strict: false`).
    pub not_strict: bool,
    /// Replicas must differ in the server tag with this prefix; lower case, or empty.
    pub unique_tag: String,
    /// `will_extend`, `no_extend` or empty.
    pub extension_hint: String,
    /// Bytes sent to catching up replicas and not acknowledged; 0: default.
    pub max_outstanding_catchup: i64,
    /// Messages of a stream waiting to be stored; 0: default.
    pub max_buffered_msgs: i64,
    /// Bytes of a stream waiting to be stored; 0: default.
    pub max_buffered_size: i64,
    /// API requests queued; 0: default.
    pub request_queue_limit: i64,
    /// Info requests queued; 0: as `request_queue_limit`.
    pub info_queue_limit: i64,
    /// Entries after which the meta log is compacted; 0: default.
    pub meta_compact: i64,
    /// Bytes after which the meta log is compacted; 0: default.
    pub meta_compact_size: i64,
    /// Sync when the meta log is compacted.
    pub meta_compact_sync: bool,
    /// Concurrent disk operations, 4–8192; 0: default.
    pub max_concurrent_io: i64,
    /// `limits`
    pub limits: JetStreamLimits,
}

/// Cipher of stored data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cipher {
    /// ChaCha20-Poly1305
    #[default]
    ChaCha,
    /// AES-GCM
    Aes,
}

/// `tpm { … }`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tpm {
    /// File with the sealed keys.
    pub keys_file: String,
    /// Password of the keys.
    pub key_password: String,
    /// Password of the storage root key.
    pub srk_password: String,
    /// Register; 0: default.
    pub pcr: i64,
}

/// `limits { … }`; 0: off or default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JetStreamLimits {
    /// Largest ack pending of a consumer.
    pub max_ack_pending: i64,
    /// Replicated streams and consumers on this server.
    pub max_ha_assets: i64,
    /// Largest batch of a pull request.
    pub max_request_batch: i64,
    /// Largest duplicate window.
    pub duplicate_window_ns: i64,
    /// Open atomic batches of one stream.
    pub batch_max_inflight_per_stream: i64,
    /// Open atomic batches of the server.
    pub batch_max_inflight_total: i64,
    /// Messages in a batch.
    pub batch_max_msgs: i64,
    /// Idle time after which a batch is dropped.
    pub batch_timeout_ns: i64,
}

pub(crate) fn parse(node: &Node, js: &mut JetStreamOptions, report: &mut Report) {
    match &node.value {
        Value::Bool(on) => js.enabled = *on,
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "enabled" | "enable" => js.enabled = true,
            "disabled" | "disable" => js.enabled = false,
            _ => report.error(
                node,
                format!("Expected 'enabled' or 'disabled' for string value, got '{text}'"),
            ),
        },
        Value::Map(map) => {
            js.enabled = true;
            for (key, node) in map.iter() {
                field(js, key, node, report);
            }
        }
        other => {
            let got = other.go_type();
            let reason = format!("Expected map, bool or string to define JetStream, got {got}");
            report.error(node, reason);
        }
    }
}

fn field(js: &mut JetStreamOptions, key: &str, node: &Node, report: &mut Report) {
    let lower = key.to_ascii_lowercase();
    match lower.as_str() {
        "enable" | "enabled" => js.enabled = report.boolean(node).unwrap_or(true),
        "strict" => match node.value {
            Value::Bool(strict) => js.not_strict = !strict,
            ref other => {
                let reason = format!("Expected 'true' or 'false' for bool value, got '{other}'");
                report.error(node, reason);
            }
        },
        "store" | "store_dir" | "storedir" => store_dir(js, node, report),
        "sync" | "sync_interval" => sync_interval(js, key, node, report),
        "max_memory_store" | "max_mem_store" | "max_mem" => {
            js.max_memory = size("max_mem_store", node, report);
        }
        "max_file_store" | "max_file" => js.max_store = size("max_file_store", node, report),
        "domain" => js.domain = report.string(node).unwrap_or_default(),
        "key" | "ek" | "encryption_key" => js.key = report.string(node).unwrap_or_default(),
        "prev_key" | "prev_ek" | "prev_encryption_key" => {
            js.previous_key = report.string(node).unwrap_or_default();
        }
        "cipher" => js.cipher = cipher(node, report).unwrap_or_default(),
        "extension_hint" => js.extension_hint = report.string(node).unwrap_or_default(),
        "limits" => limits(&mut js.limits, node, report),
        "tpm" => js.tpm = tpm(js, node, report),
        "unique_tag" => {
            js.unique_tag = report.string(node).unwrap_or_default().trim().to_lowercase();
        }
        "max_outstanding_catchup" => {
            js.max_outstanding_catchup = size_or_zero(&lower, node, report)
        }
        "max_buffered_size" => js.max_buffered_size = size_or_zero(&lower, node, report),
        "max_buffered_msgs" => js.max_buffered_msgs = number(key, node, report),
        "request_queue_limit" => js.request_queue_limit = number(key, node, report),
        "info_queue_limit" => js.info_queue_limit = number(key, node, report),
        "meta_compact" => match node.value {
            Value::Int(n) if n >= 0 => js.meta_compact = n,
            ref other => {
                let reason = format!("Expected an absolute size for {key:?}, got {other}");
                report.error(node, reason);
            }
        },
        "meta_compact_size" => {
            js.meta_compact_size = size_or_zero(&lower, node, report);
            if js.meta_compact_size < 0 {
                let reason = format!("Expected an absolute size for {key:?}, got {}", node.value);
                report.error(node, reason);
            }
        }
        "meta_compact_sync" => js.meta_compact_sync = report.boolean(node).unwrap_or(false),
        "max_concurrent_io" => match node.value {
            Value::Int(n @ 4..=8192) => js.max_concurrent_io = n,
            ref other => {
                let reason = format!(
                    "Expected an absolute size for {key:?} between 4 and 8192, got {other}"
                );
                report.error(node, reason);
            }
        },
        _ => report.unknown(key, node),
    }
}

/// The directory may be given here or at the top level, not twice.
pub(crate) fn store_dir(js: &mut JetStreamOptions, node: &Node, report: &mut Report) {
    if !js.store_dir.is_empty() {
        report.error(node, "Duplicate 'store_dir' configuration");
        return;
    }
    js.store_dir = report.string(node).unwrap_or_default();
}

fn sync_interval(js: &mut JetStreamOptions, key: &str, node: &Node, report: &mut Report) {
    match &node.value {
        Value::String(text) if text.eq_ignore_ascii_case("always") => {
            js.sync_always = true;
            js.sync_interval_ns = Some(DEFAULT_SYNC_INTERVAL_NS);
        }
        _ => js.sync_interval_ns = report.duration(key, node),
    }
}

/// A number, or a text ending in K, M, G or T (powers of 1024, upper case).
fn size(what: &str, node: &Node, report: &mut Report) -> Option<i64> {
    let reason = match &node.value {
        Value::Int(bytes) => return Some(*bytes),
        Value::String(text) if text.is_empty() => return Some(0),
        Value::String(text) => match size_text(text) {
            Ok(bytes) => return Some(bytes),
            Err(reason) => reason,
        },
        _ => "must be int64 or string".to_owned(),
    };
    report.error(node, format!("{what} {reason}"));
    None
}

fn size_or_zero(what: &str, node: &Node, report: &mut Report) -> i64 {
    size(what, node, report).unwrap_or(0)
}

fn size_text(text: &str) -> Result<i64, String> {
    let cut = text.char_indices().last().map_or(0, |(i, _)| i);
    let (digits, suffix) = text.split_at(cut);
    let number: i64 = digits
        .parse()
        .map_err(|_| format!("strconv.ParseInt: parsing {digits:?}: invalid syntax"))?;
    let shift = match suffix {
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("sizes defined as strings must end in K, M, G, T".to_owned()),
    };
    number
        .checked_mul(1_i64 << shift)
        .ok_or_else(|| format!("strconv.ParseInt: parsing {digits:?}: value out of range"))
}

fn number(key: &str, node: &Node, report: &mut Report) -> i64 {
    if let Value::Int(n) = node.value {
        return n;
    }
    report.error(node, format!("Expected a parseable size for {key:?}, got {}", node.value));
    0
}

fn cipher(node: &Node, report: &mut Report) -> Option<Cipher> {
    let text = report.string(node)?;
    match text.to_ascii_lowercase().as_str() {
        "chacha" | "chachapoly" => Some(Cipher::ChaCha),
        "aes" => Some(Cipher::Aes),
        _ => {
            report.error(node, format!("Unknown cipher type: {text:?}"));
            None
        }
    }
}

fn limits_map<'n>(what: &str, node: &'n Node, report: &mut Report) -> Option<&'n Map> {
    report.map_or(node, &format!("Expected a map to define {what}"))
}

fn limits(limits: &mut JetStreamLimits, node: &Node, report: &mut Report) {
    let Some(map) = limits_map("JetStreamLimits", node, report) else { return };
    for (key, node) in map.iter() {
        match key.to_ascii_lowercase().as_str() {
            "max_ack_pending" => limits.max_ack_pending = report.int(node).unwrap_or(0),
            "max_ha_assets" => limits.max_ha_assets = report.int(node).unwrap_or(0),
            "max_request_batch" => limits.max_request_batch = report.int(node).unwrap_or(0),
            "duplicate_window" => {
                limits.duplicate_window_ns = report.duration_text("", node).unwrap_or(0);
            }
            "batch" => batch_limits(limits, node, report),
            _ => report.unknown(key, node),
        }
    }
}

fn batch_limits(limits: &mut JetStreamLimits, node: &Node, report: &mut Report) {
    let Some(map) = limits_map("batch limits", node, report) else { return };
    for (key, node) in map.iter() {
        match key.to_ascii_lowercase().as_str() {
            "max_inflight_per_stream" => {
                limits.batch_max_inflight_per_stream = report.int(node).unwrap_or(0);
            }
            "max_inflight_total" => {
                limits.batch_max_inflight_total = report.int(node).unwrap_or(0);
            }
            "max_msgs" => limits.batch_max_msgs = report.int(node).unwrap_or(0),
            "timeout" => {
                limits.batch_timeout_ns = report.duration_text("", node).unwrap_or(0);
            }
            _ => report.unknown(key, node),
        }
    }
}

fn tpm(js: &mut JetStreamOptions, node: &Node, report: &mut Report) -> Option<Tpm> {
    let mut tpm = Tpm::default();
    for (key, node) in limits_map("JetStream TPM", node, report)?.iter() {
        match key.to_ascii_lowercase().as_str() {
            "keys_file" => tpm.keys_file = report.string(node)?,
            "encryption_password" => tpm.key_password = report.string(node)?,
            "srk_password" => tpm.srk_password = report.string(node)?,
            "pcr" => tpm.pcr = report.int(node)?,
            "cipher" => js.cipher = cipher(node, report)?,
            _ => report.unknown(key, node),
        }
    }
    Some(tpm)
}

impl JetStreamOptions {
    /// Fills in what was not given.
    pub(crate) fn apply_defaults(&mut self) {
        if self.request_queue_limit <= 0 {
            self.request_queue_limit = DEFAULT_REQUEST_QUEUE_LIMIT;
        }
        if self.info_queue_limit <= 0 {
            self.info_queue_limit = self.request_queue_limit;
        }
        if self.max_concurrent_io <= 0 {
            self.max_concurrent_io = DEFAULT_CONCURRENT_IO;
        }
        let limits = &mut self.limits;
        for (value, default) in [
            (&mut limits.batch_max_inflight_per_stream, 50),
            (&mut limits.batch_max_inflight_total, 1000),
            (&mut limits.batch_max_msgs, 1000),
            (&mut limits.batch_timeout_ns, 10 * SECOND_NS),
        ] {
            if *value == 0 {
                *value = default;
            }
        }
    }
}
