//! `cluster { … }`: routes to the other servers of the cluster; and what gateways and leafnodes
//! share with it.

use super::authorization::{self, Authorization};
use super::listen::{self, Listen};
use super::permissions::{self, Permissions, check_subjects};
use super::report::Report;
use super::tls::{self, TlsOptions, TlsUse};
use crate::duration::{self, SECOND_NS};
use crate::url::Url;
use crate::value::{Node, Value};

/// Connections per peer unless said otherwise.
pub const DEFAULT_POOL_SIZE: i64 = 3;
/// Pings on routes come at least this often.
pub const MAX_ROUTE_PING_INTERVAL_NS: i64 = 30 * SECOND_NS;

/// The block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClusterOptions {
    /// Name, or empty for a random one.
    pub name: String,
    /// Listener.
    pub listen: Listen,
    /// The one user of routes.
    pub authorization: Authorization,
    /// `publish` is import, `subscribe` is export.
    pub permissions: Option<Permissions>,
    /// Configured peers.
    pub routes: Vec<Url>,
    /// Mutual TLS.
    pub tls: Option<TlsOptions>,
    /// Address announced to peers, or empty.
    pub advertise: String,
    /// Client URLs are not announced.
    pub no_advertise: bool,
    /// Attempts for learned routes.
    pub connect_retries: i64,
    /// Delays between attempts grow.
    pub connect_backoff: bool,
    /// Connections per peer; 0: default, negative: one.
    pub pool_size: i64,
    /// Accounts with a connection of their own.
    pub accounts: Vec<String>,
    /// Compression; an empty mode is the default.
    pub compression: Compression,
    /// Time between pings; 0: default.
    pub ping_interval_ns: i64,
    /// Unanswered pings; 0: default.
    pub ping_max: i64,
    /// Time for a write; 0: default.
    pub write_deadline_ns: i64,
    /// What happens after it.
    pub write_timeout: WriteTimeout,
}

/// Compression of a connection between servers, as written; `validate_start` checks the mode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compression {
    /// `off`, `accept`, `s2_fast`, `s2_auto` …, or empty.
    pub mode: String,
    /// Round trip times that separate the levels of `s2_auto`.
    pub rtt_thresholds_ns: Vec<i64>,
}

/// What happens when a write takes too long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WriteTimeout {
    /// Close for clients, retry for servers.
    #[default]
    Default,
    /// Close the connection.
    Close,
    /// Keep it while bytes get through.
    Retry,
}

pub(crate) fn parse(node: &Node, report: &mut Report) -> Option<ClusterOptions> {
    let map = report.map_or(node, "Expected map to define cluster")?;
    let mut cluster = ClusterOptions::default();
    let mut permissions_in_auth = None;
    for (key, node) in map.iter() {
        match key.to_ascii_lowercase().as_str() {
            "name" => cluster.name = name("cluster", node, report),
            "listen" => cluster.listen = listen::parse(node, report).unwrap_or_default(),
            "port" => cluster.listen.port = report.int(node).unwrap_or(0),
            "host" | "net" => cluster.listen.host = report.string(node).unwrap_or_default(),
            "authorization" => {
                let Some(auth) = peer_authorization("Cluster", node, report) else { continue };
                if auth.default_permissions.is_some() {
                    report.warn_use(
                        key,
                        node,
                        "setting \"permissions\" within cluster authorization block is deprecated",
                    );
                    permissions_in_auth = auth.default_permissions.clone();
                    check_cluster_permissions(permissions_in_auth.as_ref(), node, report);
                }
                cluster.authorization = auth;
            }
            "permissions" => {
                let parsed = permissions::parse(node, report);
                if parsed.as_ref().is_some_and(|p| p.responses.is_some()) {
                    report.error(node, "Cluster permissions do not support dynamic responses");
                }
                check_cluster_permissions(parsed.as_ref(), node, report);
                cluster.permissions = parsed;
            }
            "routes" => cluster.routes = urls("route", node, report),
            "tls" => cluster.tls = tls::parse(node, TlsUse::Peers, report),
            "cluster_advertise" | "advertise" => {
                cluster.advertise = report.string(node).unwrap_or_default();
            }
            "no_advertise" => cluster.no_advertise = report.boolean(node).unwrap_or(false),
            "connect_retries" => cluster.connect_retries = report.int(node).unwrap_or(0),
            "connect_backoff" => cluster.connect_backoff = report.boolean(node).unwrap_or(false),
            "pool_size" => cluster.pool_size = report.int(node).unwrap_or(0),
            "accounts" => {
                cluster.accounts = report.one_or_more("accounts", node).unwrap_or_default();
            }
            "compression" => cluster.compression = compression(key, "s2_fast", node, report),
            "ping_interval" => {
                cluster.ping_interval_ns = report.duration("ping_interval", node).unwrap_or(0);
                if cluster.ping_interval_ns > MAX_ROUTE_PING_INTERVAL_NS {
                    let max = duration::format(MAX_ROUTE_PING_INTERVAL_NS);
                    let reason = format!(
                        "Cluster 'ping_interval' will reset to {max} which is the max for routes"
                    );
                    report.warn(node, reason);
                }
            }
            "ping_max" => cluster.ping_max = report.int(node).unwrap_or(0),
            "write_deadline" => {
                cluster.write_deadline_ns = report.duration("write_deadline", node).unwrap_or(0);
            }
            "write_timeout" => cluster.write_timeout = write_timeout(node, report),
            _ => report.unknown(key, node),
        }
    }
    if cluster.permissions.is_none() {
        cluster.permissions = permissions_in_auth;
    }
    Some(cluster)
}

fn check_cluster_permissions(permissions: Option<&Permissions>, node: &Node, report: &mut Report) {
    let Some(permissions) = permissions else { return };
    for (side, word) in [(&permissions.publish, "import"), (&permissions.subscribe, "export")] {
        let Some(side) = side else { continue };
        let allow = side.allow.as_deref().unwrap_or_default();
        for (list, what) in [(allow, "allow"), (side.deny.as_slice(), "deny")] {
            if let Err(reason) = check_subjects(list, false) {
                report.error(node, format!("cluster {word} {what}: {reason}"));
            }
        }
    }
}

/// The name of a cluster or gateway.
pub(crate) fn name(what: &str, node: &Node, report: &mut Report) -> String {
    let name = report.string(node).unwrap_or_default();
    if name.contains(' ') {
        report.error(node, format!("{what} name cannot contain spaces"));
    }
    name
}

/// The authorization of routes and gateways: one user only.
pub(crate) fn peer_authorization(
    who: &str,
    node: &Node,
    report: &mut Report,
) -> Option<Authorization> {
    let auth = authorization::parse(node, report)?;
    let wrong = if auth.has_users {
        "does not allow multiple users"
    } else if !auth.token.is_empty() {
        "does not support tokens"
    } else if auth.auth_callout.is_some() {
        "does not support callouts"
    } else {
        return Some(auth);
    };
    report.error(node, format!("{who} authorization {wrong}"));
    None
}

/// A list of URLs; the same text twice earns a warning.
pub(crate) fn urls(what: &str, node: &Node, report: &mut Report) -> Vec<Url> {
    let Some(items) = report.array(node) else { return Vec::new() };
    let mut seen = std::collections::BTreeSet::new();
    let mut urls = Vec::with_capacity(items.len());
    for item in items {
        let Some(text) = report.string(item) else { continue };
        if !seen.insert(text.clone()) {
            report.warn_use(&text, item, format!("Duplicate {what} entry detected"));
            continue;
        }
        urls.extend(url(what, &text, item, report));
    }
    urls
}

/// One URL.
pub(crate) fn url(what: &str, text: &str, node: &Node, report: &mut Report) -> Option<Url> {
    let url = Url::parse(text);
    if url.is_none() {
        report.error(node, format!("error parsing {what} url [{:?}]", text.trim()));
    }
    url
}

/// `compression`: a mode, a bool (`true` means `on`), or a block.
pub(crate) fn compression(key: &str, on: &str, node: &Node, report: &mut Report) -> Compression {
    let mut compression = Compression::default();
    let map = match &node.value {
        Value::String(mode) => {
            compression.mode.clone_from(mode);
            return compression;
        }
        Value::Bool(flag) => {
            compression.mode = if *flag { on } else { "off" }.to_owned();
            return compression;
        }
        Value::Map(map) => map,
        other => {
            let got = other.go_type();
            let reason = format!("field {key:?} should be a boolean or a structure, got {got}");
            report.error(node, reason);
            return compression;
        }
    };
    for (key, node) in map.iter() {
        match key.to_ascii_lowercase().as_str() {
            "mode" => compression.mode = report.string(node).unwrap_or_default(),
            "rtt_thresholds" | "thresholds" | "rtts" | "rtt" => {
                let items = report.array(node).unwrap_or_default();
                compression.rtt_thresholds_ns =
                    items.iter().filter_map(|item| report.duration_text("", item)).collect();
            }
            _ => report.unknown(key, node),
        }
    }
    compression
}

pub(crate) fn write_timeout(node: &Node, report: &mut Report) -> WriteTimeout {
    match report.string(node).as_deref() {
        Some("default") | None => WriteTimeout::Default,
        Some("close") => WriteTimeout::Close,
        Some("retry") => WriteTimeout::Retry,
        Some(_) => {
            report.error(node, "write_timeout must be 'default', 'close' or 'retry'");
            WriteTimeout::Default
        }
    }
}
