//! `leafnodes { … }`: servers that join as a leaf, and hubs this one joins.

use std::collections::BTreeSet;

use super::authorization;
use super::cluster::{self, Compression, WriteTimeout};
use super::listen::{self, Listen};
use super::permissions;
use super::report::Report;
use super::tls::{self, TlsOptions, TlsUse};
use super::users::User;
use crate::nkey::{self, KeyKind};
use crate::url::Url;
use crate::value::{Map, Node, Value};

/// The block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LeafnodeOptions {
    /// Listener; without a port nobody can join.
    pub listen: Listen,
    /// Logins only for leafnodes.
    pub authorization: LeafAuthorization,
    /// TLS of the listener.
    pub tls: Option<TlsOptions>,
    /// Address announced to leafs, or empty.
    pub advertise: String,
    /// Announce no addresses.
    pub no_advertise: bool,
    /// Lowest version of a leaf, or empty.
    pub min_version: String,
    /// Compression; an empty mode is the default.
    pub compression: Compression,
    /// Leafs do not see each other's interest.
    pub isolate_leafnode_interest: bool,
    /// Time between attempts of all remotes; 0: default.
    pub reconnect_ns: i64,
    /// Time to connect; 0: default.
    pub dial_timeout_ns: i64,
    /// Time for a write; 0: default.
    pub write_deadline_ns: i64,
    /// What happens after it.
    pub write_timeout: WriteTimeout,
    /// Hubs to join.
    pub remotes: Vec<LeafRemote>,
}

/// `authorization` of leafnodes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LeafAuthorization {
    /// The only user, or empty.
    pub user: String,
    /// Its password.
    pub pass: String,
    /// Public key of the only user, or empty.
    pub nkey: String,
    /// Account bound, or empty.
    pub account: String,
    /// Time to log in; 0: default.
    pub timeout_ns: i64,
    /// Only through a trusted proxy.
    pub proxy_required: bool,
    /// Several users; an empty account is the global one.
    pub users: Vec<User>,
}

/// A hub to join.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LeafRemote {
    /// Its addresses.
    pub urls: Vec<Url>,
    /// Keep their order.
    pub no_randomize: bool,
    /// Local account; empty: global.
    pub account: String,
    /// Path of a credentials file, or empty; `~` and `$VAR` are for the server to expand.
    pub credentials: String,
    /// User seed, or empty.
    pub nkey_seed: String,
    /// TLS towards the hub.
    pub tls: Option<TlsOptions>,
    /// This side is the hub.
    pub hub: bool,
    /// Not accepted from the hub.
    pub deny_imports: Vec<String>,
    /// Not sent to the hub.
    pub deny_exports: Vec<String>,
    /// Compression; an empty mode is the default.
    pub compression: Compression,
    /// Time for the first INFO; 0: default.
    pub first_info_timeout_ns: i64,
    /// Time to connect; 0: default.
    pub dial_timeout_ns: i64,
    /// WebSocket compression.
    pub websocket_compression: bool,
    /// WebSocket frames are not masked.
    pub websocket_no_masking: bool,
    /// Give up leadership while disconnected.
    pub jetstream_cluster_migrate: bool,
    /// … after this time.
    pub jetstream_cluster_migrate_delay_ns: i64,
    /// Do not pass the hub's interest to other leafs.
    pub isolate_leafnode_interest: bool,
    /// Ask the hub to isolate us.
    pub request_isolation: bool,
    /// Do not connect.
    pub disabled: bool,
    /// HTTP proxy for WebSocket addresses.
    pub proxy: Option<LeafProxy>,
    /// Only use configured addresses.
    pub ignore_discovered_servers: bool,
}

/// HTTP proxy towards a hub.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LeafProxy {
    /// `http(s)://host:port`
    pub url: String,
    /// Name, or empty.
    pub username: String,
    /// Password, or empty.
    pub password: String,
    /// Time to connect; 0: default.
    pub timeout_ns: i64,
}

pub(crate) fn parse(node: &Node, report: &mut Report) -> Option<LeafnodeOptions> {
    let map = report.map_or(node, "Expected map to define a leafnode")?;
    let mut leaf = LeafnodeOptions::default();
    for (key, node) in map.iter() {
        match key.to_ascii_lowercase().as_str() {
            "listen" => leaf.listen = listen::parse(node, report).unwrap_or_default(),
            "port" => leaf.listen.port = report.int(node).unwrap_or(0),
            "host" | "net" => leaf.listen.host = report.string(node).unwrap_or_default(),
            "authorization" => {
                leaf.authorization = leaf_authorization(node, report).unwrap_or_default();
            }
            "remotes" => leaf.remotes = remotes(node, report),
            "reconnect" | "reconnect_delay" | "reconnect_interval" => {
                leaf.reconnect_ns = report.duration("reconnect", node).unwrap_or(0);
            }
            "dial_timeout" => {
                leaf.dial_timeout_ns = report.duration("dial_timeout", node).unwrap_or(0);
            }
            "tls" => leaf.tls = tls::parse(node, TlsUse::Clients, report),
            "leafnode_advertise" | "advertise" => {
                leaf.advertise = report.string(node).unwrap_or_default();
            }
            "no_advertise" => leaf.no_advertise = report.boolean(node).unwrap_or(false),
            "min_version" | "minimum_version" => {
                leaf.min_version = min_version(node, report).unwrap_or_default();
            }
            "compression" => {
                leaf.compression = cluster::compression(key, "s2_auto", node, report);
            }
            "isolate_leafnode_interest" | "isolate" => {
                leaf.isolate_leafnode_interest = report.boolean(node).unwrap_or(false);
            }
            "write_deadline" => {
                leaf.write_deadline_ns = report.duration("write_deadline", node).unwrap_or(0);
            }
            "write_timeout" => leaf.write_timeout = cluster::write_timeout(node, report),
            _ => report.unknown(key, node),
        }
    }
    Some(leaf)
}

/// The oldest version whose leafs can be told apart.
fn min_version(node: &Node, report: &mut Report) -> Option<String> {
    let text = report.string(node)?;
    let numbers: Option<Vec<u64>> = text
        .strip_prefix('v')
        .unwrap_or(&text)
        .split('-')
        .next()
        .unwrap_or_default()
        .split('.')
        .map(|n| n.parse().ok())
        .collect();
    let reason = match numbers.as_deref() {
        Some([major, minor, _]) if (*major, *minor) >= (2, 8) => return Some(text),
        Some([_, _, _]) => "the minimum version should be at least 2.8.0".to_owned(),
        _ => format!("invalid leafnode's minimum version: invalid semver {text:?}"),
    };
    report.error(node, reason);
    None
}

fn leaf_authorization(node: &Node, report: &mut Report) -> Option<LeafAuthorization> {
    let mut auth = LeafAuthorization::default();
    for (key, node) in report.map(node)?.iter() {
        match key.to_ascii_lowercase().as_str() {
            "user" | "username" => auth.user = report.string(node).unwrap_or_default(),
            "pass" | "password" => auth.pass = report.string(node).unwrap_or_default(),
            "nkey" => {
                auth.nkey = report.string(node).unwrap_or_default();
                if !nkey::is_public(&auth.nkey, KeyKind::User) {
                    report.error(node, "Not a valid public nkey for leafnode authorization");
                }
            }
            "timeout" => {
                let context = "error parsing leafnode authorization config";
                auth.timeout_ns = authorization::timeout(context, key, node, report)?;
            }
            "users" => auth.users = leaf_users(node, report),
            "account" => auth.account = report.string(node).unwrap_or_default(),
            "proxy_required" => auth.proxy_required = report.boolean(node).unwrap_or(false),
            _ => report.unknown(key, node),
        }
    }
    if !auth.users.is_empty() {
        if !auth.user.is_empty() {
            report.error(node, "can not have a single user/pass and a users array");
        } else if !auth.nkey.is_empty() {
            report.error(node, "can not have a single nkey and a users array");
        }
        let mut seen = BTreeSet::new();
        for user in &auth.users {
            if !seen.insert(&user.user) {
                let reason =
                    format!("duplicate user {:?} detected in leafnode authorization", user.user);
                report.error(node, reason);
            }
        }
    }
    Some(auth)
}

fn leaf_users(node: &Node, report: &mut Report) -> Vec<User> {
    let Value::Array(items) = &node.value else {
        let reason = format!("Expected users field to be an array, got {}", node.value);
        report.error(node, reason);
        return Vec::new();
    };
    let mut users = Vec::with_capacity(items.len());
    for item in items {
        let Value::Map(map) = &item.value else {
            let reason = format!("Expected user entry to be a map/struct, got {}", item.value);
            report.error(item, reason);
            continue;
        };
        let mut user = User::default();
        for (key, node) in map.iter() {
            match key.to_ascii_lowercase().as_str() {
                "user" | "username" => user.user = report.string(node).unwrap_or_default(),
                "pass" | "password" => user.pass = report.string(node).unwrap_or_default(),
                "account" => user.account = report.string(node).unwrap_or_default(),
                "proxy_required" => user.proxy_required = report.boolean(node).unwrap_or(false),
                _ => report.unknown(key, node),
            }
        }
        users.push(user);
    }
    users
}

fn remotes(node: &Node, report: &mut Report) -> Vec<LeafRemote> {
    let Value::Array(items) = &node.value else {
        let got = node.value.go_type();
        report.error(node, format!("Expected remotes field to be an array, got {got}"));
        return Vec::new();
    };
    let mut remotes: Vec<LeafRemote> = Vec::with_capacity(items.len());
    for item in items {
        let Value::Map(map) = &item.value else {
            let reason =
                format!("Expected remote leafnode entry to be a map/struct, got {}", item.value);
            report.error(item, reason);
            continue;
        };
        let remote = remote(map, report);
        let identity = |r: &LeafRemote| {
            let urls: Vec<String> = r.urls.iter().map(|url| url.raw.clone()).collect();
            (urls, r.account.clone(), r.credentials.clone(), r.nkey_seed.clone())
        };
        if remotes.iter().any(|seen| identity(seen) == identity(&remote)) {
            let urls: Vec<String> = remote.urls.iter().map(ToString::to_string).collect();
            report.error(item, format!("duplicate remote {urls:?}, account={:?}", remote.account));
            continue;
        }
        remotes.push(remote);
    }
    remotes
}

fn remote(map: &Map, report: &mut Report) -> LeafRemote {
    let mut remote = LeafRemote::default();
    let mut proxy_node = None;
    for (key, node) in map.iter() {
        if key.eq_ignore_ascii_case("proxy") {
            proxy_node = Some(node);
        }
        remote_field(&mut remote, key, node, report);
    }
    if let (Some(node), Some(proxy)) = (proxy_node, &remote.proxy) {
        check_proxy(proxy, &remote, node, report);
    }
    remote
}

fn remote_field(remote: &mut LeafRemote, key: &str, node: &Node, report: &mut Report) {
    const BOTH: &str = "Remote leafnode can not have both creds and nkey defined";
    let flag = |report: &mut Report| report.boolean(node).unwrap_or(false);
    match key.to_ascii_lowercase().as_str() {
        "no_randomize" | "dont_randomize" => remote.no_randomize = flag(report),
        "url" | "urls" => match &node.value {
            Value::Array(_) => remote.urls = cluster::urls("leafnode", node, report),
            Value::String(text) => {
                remote.urls.extend(cluster::url("leafnode", text, node, report));
            }
            other => report.error(
                node,
                format!("Expected remote leafnode url to be an array or string, got {other}"),
            ),
        },
        "account" | "local" => remote.account = report.string(node).unwrap_or_default(),
        "creds" | "credentials" => {
            remote.credentials = report.string(node).unwrap_or_default();
            if !remote.nkey_seed.is_empty() {
                report.error(node, BOTH);
            }
        }
        "nkey" | "seed" => {
            remote.nkey_seed = report.string(node).unwrap_or_default();
            if nkey::seed_kind(&remote.nkey_seed) != Some(KeyKind::User) {
                // nats-server prints the text, which may be a mistyped secret.
                report.error(node, "Remote leafnode nkey is not a valid seed");
            } else if !remote.credentials.is_empty() {
                report.error(node, BOTH);
            }
        }
        "tls" => remote.tls = tls::parse(node, TlsUse::Clients, report),
        "hub" => remote.hub = flag(report),
        "deny_imports" | "deny_import" => {
            remote.deny_imports = permissions::subjects(node, report, false).unwrap_or_default();
        }
        "deny_exports" | "deny_export" => {
            remote.deny_exports = permissions::subjects(node, report, false).unwrap_or_default();
        }
        "ws_compress" | "ws_compression" | "websocket_compress" | "websocket_compression" => {
            remote.websocket_compression = flag(report);
        }
        "ws_no_masking" | "websocket_no_masking" => remote.websocket_no_masking = flag(report),
        "jetstream_cluster_migrate" | "js_cluster_migrate" => migrate(remote, node, report),
        "isolate_leafnode_interest" | "isolate" => {
            remote.isolate_leafnode_interest = flag(report);
        }
        "request_isolation" => remote.request_isolation = flag(report),
        "compression" => remote.compression = cluster::compression(key, "s2_auto", node, report),
        "first_info_timeout" => {
            remote.first_info_timeout_ns = report.duration(key, node).unwrap_or(0);
        }
        "dial_timeout" => remote.dial_timeout_ns = report.duration(key, node).unwrap_or(0),
        "disabled" => remote.disabled = flag(report),
        "proxy" => remote.proxy = proxy(node, report),
        "ignore_discovered_servers" => remote.ignore_discovered_servers = flag(report),
        _ => report.unknown(key, node),
    }
}

fn migrate(remote: &mut LeafRemote, node: &Node, report: &mut Report) {
    match &node.value {
        Value::Bool(on) => remote.jetstream_cluster_migrate = *on,
        Value::Map(map) => {
            remote.jetstream_cluster_migrate = true;
            if let Some(delay) = map.get("leader_migrate_delay") {
                remote.jetstream_cluster_migrate_delay_ns =
                    report.duration("leader_migrate_delay", delay).unwrap_or(0);
            }
        }
        other => {
            let got = other.go_type();
            let reason =
                format!("Expected boolean or map for jetstream_cluster_migrate, got {got}");
            report.error(node, reason);
        }
    }
}

fn proxy(node: &Node, report: &mut Report) -> Option<LeafProxy> {
    let mut proxy = LeafProxy::default();
    for (key, node) in report.map_or(node, "Expected proxy to be a map")?.iter() {
        match key.to_ascii_lowercase().as_str() {
            "url" => proxy.url = report.string(node).unwrap_or_default(),
            "username" => proxy.username = report.string(node).unwrap_or_default(),
            "password" => proxy.password = report.string(node).unwrap_or_default(),
            "timeout" => proxy.timeout_ns = report.duration("proxy timeout", node).unwrap_or(0),
            _ => report.unknown(key, node),
        }
    }
    Some(proxy)
}

fn check_proxy(proxy: &LeafProxy, remote: &LeafRemote, node: &Node, report: &mut Report) {
    if proxy.url.is_empty() {
        return;
    }
    let is_ws = |url: &Url| url.scheme == "ws" || url.scheme == "wss";
    let untrusted = remote.urls.iter().find(|url| url.scheme == "wss" && remote.tls.is_none());
    let wrong = match Url::parse(&proxy.url) {
        None => format!("invalid proxy URL: {:?}", proxy.url),
        Some(url) if url.scheme != "http" && url.scheme != "https" => {
            format!("proxy URL scheme must be http or https, got: {}", url.scheme)
        }
        Some(url) if url.host.is_empty() => "proxy URL must specify a host".to_owned(),
        Some(_) if proxy.timeout_ns < 0 => "proxy timeout must be >= 0".to_owned(),
        Some(_) if proxy.username.is_empty() != proxy.password.is_empty() => {
            "proxy username and password must both be specified or both be empty".to_owned()
        }
        Some(_) if untrusted.is_some() => {
            "proxy is configured but a remote wss:// URL requires TLS and no TLS configuration is \
             provided; add a tls block to the leafnode remote"
                .to_owned()
        }
        Some(_) => {
            if !remote.urls.is_empty() && !remote.urls.iter().any(is_ws) {
                report.warn(
                    node,
                    "proxy configuration will be ignored: it only applies to ws:// and wss:// URLs",
                );
            } else if !remote.urls.iter().all(is_ws) {
                report.warn(node, "proxy configuration will only be used for WebSocket URLs");
            }
            return;
        }
    };
    report.error(node, wrong);
}
