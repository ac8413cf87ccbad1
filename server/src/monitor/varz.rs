//! `/varz`: the server at a glance (contract/monitoring.md §1.2).

use super::text::uptime;
use super::usage;
use crate::clock::{self, rfc3339};
use crate::server::{COMPATIBLE, Server};
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering::Relaxed;

/// The document.
pub async fn varz(server: &Server) -> Value {
    let o = server.options.load_full();
    let now = clock::now();
    let s = &server.stats;
    let usage = usage::now();
    let mut m = Map::new();
    identity(server, &mut m);
    listeners(server, &o, &mut m);
    let mut put = |k: &str, v: Value| {
        m.insert(k.to_owned(), v);
    };
    put("max_connections", o.limits.max_connections.into());
    if o.limits.max_subscriptions > 0 {
        put("max_subscriptions", o.limits.max_subscriptions.into());
    }
    put("ping_interval", o.limits.ping_interval_ns.into());
    put("ping_max", o.limits.ping_max.into());
    put("auth_timeout", (o.authorization.timeout_ns as f64 / 1e9).into());
    put("max_control_line", o.limits.max_control_line.into());
    put("max_payload", o.limits.max_payload.into());
    put("max_pending", o.limits.max_pending.into());
    for block in ["cluster", "gateway", "leaf", "mqtt"] {
        put(block, json!({}));
    }
    put("jetstream", crate::monitor::jsz::varz_block(server).await);
    put("tls_timeout", tls_timeout(&o).into());
    put("write_deadline", o.limits.write_deadline_ns.into());
    put("start", rfc3339(server.start).into());
    put("now", rfc3339(now).into());
    put("uptime", uptime(now - server.start).into());
    put("mem", usage.rss.into());
    put("cores", usage::cores().into());
    put("gomaxprocs", server.shard_count().into());
    put("cpu", server.cpu.percent(&usage, now).into());
    put("connections", server.clients.len().into());
    put("total_connections", s.total_connections.load(Relaxed).into());
    for zero in ["routes", "remotes", "leafnodes"] {
        put(zero, 0.into());
    }
    for (name, value) in [
        ("in_msgs", &s.in_msgs),
        ("out_msgs", &s.out_msgs),
        ("in_bytes", &s.in_bytes),
        ("out_bytes", &s.out_bytes),
        ("in_client_msgs", &s.in_msgs),
        ("out_client_msgs", &s.out_msgs),
        ("in_client_bytes", &s.in_bytes),
        ("out_client_bytes", &s.out_bytes),
        ("slow_consumers", &s.slow_consumers),
        ("stale_connections", &s.stale_connections),
        ("stalled_clients", &s.stalled_clients),
    ] {
        put(name, value.load(Relaxed).into());
    }
    put("subscriptions", s.subscriptions.load(Relaxed).max(0).into());
    put("http_req_stats", json!(*server.http_requests.lock()));
    put("config_load_time", rfc3339(server.config.load().at).into());
    put("config_digest", server.config.load().digest.as_str().into());
    if !o.server_tags.is_empty() {
        put("tags", json!(o.server_tags));
    }
    if !o.server_metadata.is_empty() {
        put("metadata", json!(o.server_metadata));
    }
    if !o.proxies.is_empty() {
        let keys = o.proxies.iter().map(|key| json!({ "key": key }));
        put("proxies", json!({ "trusted": keys.collect::<Vec<_>>() }));
    }
    put("system_account", server.system_account().name.as_str().into());
    trust(server, &o, &mut m);
    losses(s, &mut m);
    tls(server, &mut m);
    if let Some(cache) = ocsp_peer_cache(server) {
        m.insert("ocsp_peer_cache".to_owned(), cache);
    }
    m.insert("feature_flags".to_owned(), crate::system::server_info::feature_flags(&o));
    Value::Object(m)
}

/// Where it listens besides the client port.
fn listeners(server: &Server, o: &gust_config::Options, m: &mut Map<String, Value>) {
    let mut put = |k: &str, v: Value| {
        m.insert(k.to_owned(), v);
    };
    let listening = server.listening.get().cloned().unwrap_or_default();
    put("http_host", listening.monitor.map_or(o.http.host.clone(), |a| a.ip().to_string()).into());
    put("http_port", listening.monitor.map_or(0, |a| a.port()).into());
    put("http_base_path", base_path(&o.http.base_path).into());
    put("https_port", listening.monitor_tls.map_or(0, |a| a.port()).into());
    put("websocket", websocket(server, o));
}

/// Operators, whose tokens are public.
fn trust(server: &Server, o: &gust_config::Options, m: &mut Map<String, Value>) {
    let rules = server.rules.load();
    if let Some(trust) = rules.trust().filter(|t| !t.operators.is_empty()) {
        m.insert("trusted_operators_jwt".to_owned(), json!(o.trust.operators));
        m.insert("trusted_operators_claim".to_owned(), json!(trust.operators));
    }
    let fails = server.pinned_account_fails.load(Relaxed);
    if fails > 0 {
        m.insert("pinned_account_fails".to_owned(), fails.into());
    }
}

/// What was slow, stale or waited for, by kind of connection.
fn losses(s: &crate::stats::Stats, m: &mut Map<String, Value>) {
    let mut put = |k: &str, v: Value| {
        m.insert(k.to_owned(), v);
    };
    let slow = s.slow_consumers.load(Relaxed);
    put("slow_consumer_stats", json!({"clients": slow, "routes": 0, "gateways": 0, "leafs": 0}));
    let stale = s.stale_connections.load(Relaxed);
    put(
        "stale_connection_stats",
        json!({"clients": stale, "routes": 0, "gateways": 0, "leafs": 0}),
    );
    // Nothing here waits for a turn at the disk: batches queue at the log.
    put(
        "disk_io_wait_stats",
        json!({"waiters": 0, "waits": 0, "wait_time": 0, "max_wait_time": 0}),
    );
}

fn identity(server: &Server, m: &mut Map<String, Value>) {
    let o = server.options.load();
    let mut put = |k: &str, v: Value| {
        m.insert(k.to_owned(), v);
    };
    put("server_id", server.id.as_str().into());
    put("server_name", server.name.as_str().into());
    put("version", COMPATIBLE.into());
    put("proto", 1.into());
    put("go", concat!("gust ", env!("CARGO_PKG_VERSION")).into());
    put("host", o.listen.host.as_str().into());
    put("port", server.client_port().into());
    if server.rules.load().auth_required(gust_account::ConnectionKind::Standard) {
        put("auth_required", true.into());
    }
}

/// The WebSocket listener; `{}` without one, and without what is not set.
fn websocket(server: &Server, o: &gust_config::Options) -> Value {
    let ws = &o.websocket;
    let mut m = Map::new();
    if !ws.listen.is_set() {
        return Value::Object(m);
    }
    let port = server.listening.get().and_then(|l| l.websocket).map_or(0, |a| a.port());
    let tls = server.tls.websocket();
    let timeout = ws.authorization.timeout_ns as f64 / 1e9;
    let pinned = tls.iter().flat_map(|t| &t.pinned).map(String::as_str);
    let not_after = tls.as_ref().and_then(|t| t.not_after);
    for (key, value) in [
        ("host", ws.listen.host.as_str().into()),
        ("port", port.into()),
        ("advertise", ws.advertise.as_str().into()),
        ("no_auth_user", ws.no_auth_user.as_str().into()),
        ("jwt_cookie", ws.jwt_cookie.as_str().into()),
        ("handshake_timeout", ws.handshake_timeout_ns.into()),
        ("auth_timeout", if timeout > 0.0 { timeout.into() } else { Value::Null }),
        ("no_tls", ws.no_tls.into()),
        ("tls_map", tls.as_ref().is_some_and(|t| t.map).into()),
        ("tls_pinned_certs", pinned.collect()),
        ("same_origin", ws.same_origin.into()),
        ("allowed_origins", ws.allowed_origins.iter().map(String::as_str).collect()),
        ("compression", ws.compression.into()),
        ("tls_ocsp_peer_verify", tls.as_ref().is_some_and(|t| t.ocsp_peer.is_some()).into()),
        ("tls_cert_not_after", not_after.map_or(Value::Null, |at| rfc3339(at).into())),
    ] {
        let empty = match &value {
            Value::Null => true,
            Value::Bool(b) => !b,
            Value::Number(n) => n.as_f64() == Some(0.0),
            Value::String(s) => s.is_empty(),
            Value::Array(a) => a.is_empty(),
            Value::Object(o) => o.is_empty(),
        };
        if !empty {
            m.insert(key.to_owned(), value);
        }
    }
    Value::Object(m)
}

fn tls_timeout(o: &gust_config::Options) -> f64 {
    use gust_config::options::tls::DEFAULT_TLS_TIMEOUT_NS;
    o.tls.as_ref().map_or(DEFAULT_TLS_TIMEOUT_NS, |t| t.timeout_ns) as f64 / 1e9
}

/// TLS of the client listener.
fn tls(server: &Server, m: &mut Map<String, Value>) {
    let Some(tls) = server.tls.clients() else { return };
    if !server.options.load().allow_non_tls {
        m.insert("tls_required".to_owned(), true.into());
    }
    if tls.verify {
        m.insert("tls_verify".to_owned(), true.into());
    }
    if tls.ocsp_peer.is_some() {
        m.insert("tls_ocsp_peer_verify".to_owned(), true.into());
    }
    if let Some(at) = tls.not_after {
        m.insert("tls_cert_not_after".to_owned(), rfc3339(at).into());
    }
}

/// What is kept of the certificates of clients; numbers that are zero are left out.
fn ocsp_peer_cache(server: &Server) -> Option<Value> {
    let figures = server.tls.statuses.figures()?;
    let mut m = Map::new();
    m.insert("cache_type".to_owned(), "local".into());
    for (key, value) in [
        ("cache_hits", figures.hits),
        ("cache_misses", figures.misses),
        ("cached_responses", figures.answers),
        ("cached_revoked_responses", figures.revoked),
        ("cached_good_responses", figures.good),
        ("cached_unknown_responses", figures.unknown),
    ] {
        if value > 0 {
            m.insert(key.to_owned(), value.into());
        }
    }
    Some(Value::Object(m))
}

fn base_path(path: &str) -> String {
    if path.is_empty() { "/".to_owned() } else { path.to_owned() }
}
