//! `accounts { NAME { … } }`, or a plain list of names.

use std::collections::BTreeSet;

use super::exchange::{self, ExchangeKind, Export, Import};
use super::mappings::{self, Mapping};
use super::permissions::{self, Permissions};
use super::report::Report;
use super::users::{self, GLOBAL_ACCOUNT, User};
use crate::nkey::{self, KeyKind};
use crate::subject;
use crate::value::{Map, Node, Value};

/// One account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Unique name.
    pub name: String,
    /// Public account key, or empty.
    pub nkey: String,
    /// Its users.
    pub users: Vec<User>,
    /// For users without their own; already applied to `users`.
    pub default_permissions: Option<Permissions>,
    /// Limits on connections.
    pub limits: AccountLimits,
    /// JetStream of the account; `None`: not enabled.
    pub jetstream: Option<JetStreamAccountLimits>,
    /// JetStream groups of the account run in the account itself (`cluster_traffic: owner`).
    pub cluster_traffic_owner: bool,
    /// Subject mappings for what clients publish.
    pub mappings: Vec<Mapping>,
    /// What others may import.
    pub exports: Vec<Export>,
    /// What it imports.
    pub imports: Vec<Import>,
    /// Where `traceparent` sampled messages are traced to.
    pub message_trace: Option<MessageTrace>,
}

/// Limits of an account; `None`: unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// Client connections.
    pub max_connections: Option<i64>,
    /// Subscriptions per connection.
    pub max_subscriptions: Option<i64>,
    /// Bytes of payload.
    pub max_payload: Option<i64>,
    /// Leafnode connections.
    pub max_leafnodes: Option<i64>,
}

/// JetStream limits of an account; -1: unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JetStreamAccountLimits {
    /// Bytes in memory streams.
    pub max_memory: i64,
    /// Bytes in file streams.
    pub max_store: i64,
    /// Number of streams.
    pub max_streams: i64,
    /// Number of consumers.
    pub max_consumers: i64,
    /// Largest ack pending of a consumer.
    pub max_ack_pending: i64,
    /// Bytes of one memory stream.
    pub memory_max_stream_bytes: i64,
    /// Bytes of one file stream.
    pub store_max_stream_bytes: i64,
    /// Streams must set a maximum.
    pub max_bytes_required: bool,
}

impl Default for JetStreamAccountLimits {
    fn default() -> Self {
        Self {
            max_memory: -1,
            max_store: -1,
            max_streams: -1,
            max_consumers: -1,
            max_ack_pending: -1,
            memory_max_stream_bytes: -1,
            store_max_stream_bytes: -1,
            max_bytes_required: false,
        }
    }
}

/// `msg_trace`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageTrace {
    /// Subject.
    pub dest: String,
    /// Percent of messages, 1–100.
    pub sampling: u8,
}

/// Reads the block. `names` holds users seen so far, who must be unique on the server;
/// `authorized` is what `authorization` said before, if it came first.
pub(crate) fn parse(
    node: &Node,
    names: &mut BTreeSet<String>,
    authorized: Option<&'static str>,
    report: &mut Report,
) -> Vec<Account> {
    match &node.value {
        Value::Array(items) => names_only(items, report),
        Value::Map(map) => map
            .iter()
            .filter(|(_, node)| !node.used_as_variable)
            .filter_map(|(name, node)| account(name, node, names, authorized, report))
            .collect(),
        // nats-server ignores any other type here without a word.
        other => {
            let got = other.go_type();
            report.error(node, format!("Expected map or list to define accounts, got {got}"));
            Vec::new()
        }
    }
}

fn names_only(items: &[Node], report: &mut Report) -> Vec<Account> {
    let mut accounts: Vec<Account> = Vec::new();
    for item in items {
        let Some(name) = report.string(item) else { continue };
        if name == GLOBAL_ACCOUNT {
            report.error(item, format!("{name:?} is a Reserved Account"));
        } else if accounts.iter().any(|a| a.name == name) {
            report.error(item, format!("Duplicate Account Entry: {name}"));
        } else {
            accounts.push(Account { name, ..Account::default() });
        }
    }
    accounts
}

fn account(
    name: &str,
    node: &Node,
    names: &mut BTreeSet<String>,
    authorized: Option<&'static str>,
    report: &mut Report,
) -> Option<Account> {
    let Value::Map(map) = &node.value else {
        report.error(node, "Expected map entries for accounts");
        return None;
    };
    if name == GLOBAL_ACCOUNT {
        report.error(node, format!("{name:?} is a Reserved Account"));
        return None;
    }
    let mut account = Account { name: name.to_owned(), ..Account::default() };
    let mut users_node = None;
    for (key, node) in map.iter() {
        if key.eq_ignore_ascii_case("users") {
            users_node = Some(node);
        }
        field(&mut account, key, node, report);
    }
    users::apply_default_permissions(&mut account.users, account.default_permissions.as_ref());
    if let (Some(node), false) = (users_node, account.users.is_empty()) {
        if let Some(what) = authorized {
            report.error(node, format!("Can not have a {what} and accounts"));
        }
        unique_users(&account.users, node, names, report);
    }
    Some(account)
}

fn field(account: &mut Account, key: &str, node: &Node, report: &mut Report) {
    match key.to_ascii_lowercase().as_str() {
        "nkey" => match &node.value {
            Value::String(key) if nkey::is_public(key, KeyKind::Account) => {
                account.nkey.clone_from(key);
            }
            other => {
                let reason = format!("Not a valid public nkey for an account: \"{other}\"");
                report.error(node, reason);
            }
        },
        "imports" => account.imports = exchange::parse_imports(node, report),
        "exports" => account.exports = exchange::parse_exports(node, report),
        "jetstream" => jetstream(account, node, report),
        "users" => {
            account.users = users::parse(node, &account.name, report).unwrap_or_default();
        }
        "default_permissions" => account.default_permissions = permissions::parse(node, report),
        "mappings" | "maps" => account.mappings = mappings::parse(node, report),
        "limits" => account.limits = limits(node, report),
        "msg_trace" | "trace_dest" => account.message_trace = message_trace(key, node, report),
        _ => report.unknown(key, node),
    }
}

/// Every user once on a server; the error stands at `node`.
pub(crate) fn unique_users(
    users: &[User],
    node: &Node,
    names: &mut BTreeSet<String>,
    report: &mut Report,
) {
    for user in users {
        if !names.insert(user.identity().to_owned()) {
            let kind = if user.nkey.is_some() { "nkey" } else { "user" };
            report.error(node, format!("Duplicate {kind} {:?} detected", user.identity()));
        }
    }
}

fn limits(node: &Node, report: &mut Report) -> AccountLimits {
    let mut limits = AccountLimits::default();
    let Value::Map(map) = &node.value else {
        let reason = format!("Expected account limits to be a map/struct, got {}", node.value);
        report.error(node, reason);
        return limits;
    };
    for (key, node) in map.iter() {
        let slot = match key.to_ascii_lowercase().as_str() {
            "max_connections" | "max_conn" => &mut limits.max_connections,
            "max_subscriptions" | "max_subs" => &mut limits.max_subscriptions,
            "max_payload" | "max_pay" => &mut limits.max_payload,
            "max_leafnodes" | "max_leafs" => &mut limits.max_leafnodes,
            _ => {
                let reason = format!("Unknown field {key:?} parsing account limits");
                report.unknown_as(node, reason);
                continue;
            }
        };
        *slot = report.int(node).filter(|n| *n >= 0);
    }
    limits
}

fn jetstream(account: &mut Account, node: &Node, report: &mut Report) {
    match &node.value {
        Value::Bool(on) => account.jetstream = on.then(JetStreamAccountLimits::default),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "enabled" | "enable" => account.jetstream = Some(JetStreamAccountLimits::default()),
            "disabled" | "disable" => account.jetstream = None,
            _ => report.error(
                node,
                format!("Expected 'enabled' or 'disabled' for string value, got '{text}'"),
            ),
        },
        Value::Map(map) => account.jetstream = jetstream_limits(account, map, report),
        other => {
            let got = other.go_type();
            let reason = format!("Expected map, bool or string to define JetStream, got {got}");
            report.error(node, reason);
        }
    }
}

fn jetstream_limits(
    account: &mut Account,
    map: &Map,
    report: &mut Report,
) -> Option<JetStreamAccountLimits> {
    let mut limits = JetStreamAccountLimits::default();
    for (key, node) in map.iter() {
        let slot = match key.to_ascii_lowercase().as_str() {
            "max_memory" | "max_mem" | "mem" | "memory" => &mut limits.max_memory,
            "max_store" | "max_file" | "max_disk" | "store" | "disk" => &mut limits.max_store,
            "max_streams" | "streams" => &mut limits.max_streams,
            "max_consumers" | "consumers" => &mut limits.max_consumers,
            "mem_max_stream_bytes" | "memory_max_stream_bytes" => {
                &mut limits.memory_max_stream_bytes
            }
            "disk_max_stream_bytes" | "store_max_stream_bytes" => {
                &mut limits.store_max_stream_bytes
            }
            "max_ack_pending" => &mut limits.max_ack_pending,
            "max_bytes_required" | "max_stream_bytes" | "max_bytes" => {
                let Value::Bool(required) = node.value else {
                    let reason =
                        format!("Expected a parseable bool for {key:?}, got {}", node.value);
                    report.error(node, reason);
                    return None;
                };
                limits.max_bytes_required = required;
                continue;
            }
            "cluster_traffic" => {
                account.cluster_traffic_owner = cluster_traffic(key, node, report)?;
                continue;
            }
            _ => {
                report.unknown(key, node);
                continue;
            }
        };
        let Value::Int(size) = node.value else {
            let reason = format!("Expected a parseable size for {key:?}, got {}", node.value);
            report.error(node, reason);
            return None;
        };
        *slot = size;
    }
    Some(limits)
}

fn cluster_traffic(key: &str, node: &Node, report: &mut Report) -> Option<bool> {
    match &node.value {
        Value::String(text) if text == "owner" => Some(true),
        Value::String(text) if text == "system" || text.is_empty() => Some(false),
        other => {
            let either = if matches!(other, Value::String(_)) {
                "'system' or"
            } else {
                "either 'system' or"
            };
            let reason = format!("Expected {either} 'owner' string value for {key:?}, got {other}");
            report.error(node, reason);
            None
        }
    }
}

fn message_trace(top: &str, node: &Node, report: &mut Report) -> Option<MessageTrace> {
    let map = match &node.value {
        Value::String(_) => {
            return Some(MessageTrace { dest: trace_dest(top, node, report)?, sampling: 100 });
        }
        Value::Map(map) => map,
        other => {
            let got = other.go_type();
            let reason = format!(
                "Expected account message trace {top:?} to be a string or a map/struct, got {got}"
            );
            report.error(node, reason);
            return None;
        }
    };
    let (mut dest, mut sampling) = (None, None);
    for (key, node) in map.iter() {
        match key.to_ascii_lowercase().as_str() {
            "dest" => dest = Some(trace_dest(key, node, report)?),
            "sampling" => sampling = Some(trace_sampling(key, node, report)?),
            _ => report.unknown_as(
                node,
                format!("Unknown field {key:?} parsing account message trace map/struct {top:?}"),
            ),
        }
    }
    match dest {
        Some(dest) => Some(MessageTrace { dest, sampling: sampling.unwrap_or(100) }),
        None => {
            if sampling.is_some() {
                report
                    .warn(node, "Trace destination sampling ignored since no destination was set");
            }
            None
        }
    }
}

fn trace_dest(key: &str, node: &Node, report: &mut Report) -> Option<String> {
    let reason = match &node.value {
        Value::String(dest) if subject::is_literal(dest) => return Some(dest.clone()),
        Value::String(dest) => format!("Trace destination {dest:?} is not valid"),
        other => format!("Field {key:?} should be a string, got {}", other.go_type()),
    };
    report.error(node, reason);
    None
}

fn trace_sampling(key: &str, node: &Node, report: &mut Report) -> Option<u8> {
    let reason = match &node.value {
        Value::Int(n) => match in_percent(*n) {
            Ok(n) => return Some(n),
            Err(reason) => reason,
        },
        Value::String(text) => match text.strip_suffix('%').unwrap_or(text).parse() {
            Ok(n) => match in_percent(n) {
                Ok(n) => return Some(n),
                Err(reason) => reason,
            },
            Err(_) => format!("Invalid trace destination sampling value {text:?}"),
        },
        other => format!(
            "Trace destination sampling field {key:?} should be an integer or a percentage, got {}",
            other.go_type()
        ),
    };
    report.error(node, reason);
    None
}

fn in_percent(n: i64) -> Result<u8, String> {
    u8::try_from(n).ok().filter(|n| (1..=100).contains(n)).ok_or_else(|| {
        format!("Trace destination sampling value {n} is invalid, needs to be [1..100]")
    })
}

/// After all accounts are known: everybody named in exports and imports must exist.
pub(crate) fn check_names(accounts: &[Account], node: &Node, report: &mut Report) {
    let known: BTreeSet<&str> =
        accounts.iter().map(|a| a.name.as_str()).chain([GLOBAL_ACCOUNT]).collect();
    let word = |kind| match kind {
        ExchangeKind::Stream => "stream",
        ExchangeKind::Service => "service",
    };
    for account in accounts {
        for export in &account.exports {
            for name in export.accounts.iter().flatten() {
                if !known.contains(name.as_str()) {
                    let kind = word(export.kind);
                    let reason = format!("{name:?} account not defined for {kind} export");
                    report.error(node, reason);
                }
            }
        }
        for import in &account.imports {
            if !known.contains(import.account.as_str()) {
                let kind = word(import.kind);
                let reason = format!("{:?} account not defined for {kind} import", import.account);
                report.error(node, reason);
            }
        }
    }
}
