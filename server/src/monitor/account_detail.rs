//! One account in detail: its state, what its token says, and what it may ask of
//! the system; what it exchanges with others is added by [`super::exchange`]
//! (contract/monitoring.md §1.5).

use crate::account::AccountState;
use crate::clock::{self, rfc3339};
use crate::server::Server;
use gust_account::AccountSet;
use gust_account::operator::AccountToken;
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering::Relaxed;

/// Nanoseconds of a second: tokens count in seconds.
const SECOND: i64 = 1_000_000_000;

/// One account as `/accountz` shows it.
pub fn detail(server: &Server, a: &AccountState) -> Value {
    let rules = server.rules.load();
    let token = rules.account(&a.name).and_then(|account| account.token.as_deref());
    let interest = a.interest.stats();
    let mut m = Map::new();
    let mut put = |k: &str, v: Value| {
        m.insert(k.to_owned(), v);
    };
    put("account_name", a.name.as_str().into());
    put("update_time", rfc3339(server.config.load().at).into());
    if server.is_system(a) {
        put("is_system", true.into());
    }
    put("expired", token.is_some_and(|t| t.is_expired(clock::now() / SECOND)).into());
    put("complete", (!misses_exporters(&rules, &a.name)).into());
    put("jetstream_enabled", a.jetstream.enabled.load(Relaxed).into());
    put("leafnode_connections", 0.into());
    put("client_connections", a.connections.load(Relaxed).max(0).into());
    put("subscriptions", interest.subs.into());
    if let Some(token) = token {
        put("jwt", (*token.jwt).into());
        put("issuer_key", token.claims.issuer.as_str().into());
    }
    put("name_tag", server.account_tag(&a.name).into());
    if let Some(token) = token {
        if !token.claims.nats.tags.is_empty() {
            put("tags", json!(token.claims.nats.tags));
        }
        put("decoded_jwt", serde_json::to_value(&token.claims).unwrap_or_default());
        if let Some(revoked) = revoked(token) {
            put("revoked_user", revoked);
        }
    }
    // Matches are cached and counted by connection, not by account.
    put(
        "sublist_stats",
        json!({
            "num_subscriptions": interest.subs, "num_cache": 0,
            "num_inserts": interest.inserts, "num_removes": interest.removes,
            "num_matches": 0, "cache_hit_rate": 0, "max_fanout": 0, "avg_fanout": 0,
        }),
    );
    let mut detail = Value::Object(m);
    super::exchange::add(server, a, &mut detail);
    let rows = |key: &str| detail[key].as_array().cloned().unwrap_or_default();
    let (mut imports, mut exports) = (rows("imports"), rows("exports"));
    if server.is_system(a) {
        imports.push(service(&a.name, user_info(&a.name), "$SYS.REQ.USER.INFO", true));
        exports.extend(offered(server, &exports));
        detail["exports"] = exports.into();
    } else {
        imports.extend(automatic(server, &a.name));
    }
    detail["imports"] = imports.into();
    detail
}

/// Whether an account it imports from is not known.
fn misses_exporters(rules: &AccountSet, name: &str) -> bool {
    let imports = rules.account(name).map_or(&[][..], |a| &a.imports);
    imports.iter().any(|i| rules.account(&i.account).is_none())
}

/// Users whose tokens are void, with the time up to which.
fn revoked(token: &AccountToken) -> Option<Value> {
    let revocations = &token.claims.nats.revocations;
    let time = |(key, seconds): (&String, &i64)| {
        (key.clone(), rfc3339(seconds.saturating_mul(SECOND)).into())
    };
    (!revocations.is_empty()).then(|| Value::Object(revocations.iter().map(time).collect()))
}

/// What the system account offers without being told to; what the configuration
/// exports under the same subject stays as it is there.
fn offered(server: &Server, configured: &[Value]) -> Vec<Value> {
    let jetstream = server.jetstream.get().map(|_| ("$JS.API.>", "Singleton"));
    [
        ("$SYS.REQ.ACCOUNT.*.CONNZ", "Streamed"),
        ("$SYS.REQ.ACCOUNT.*.STATZ", "Streamed"),
        ("$SYS.DEBUG.SUBSCRIBERS", "Singleton"),
        ("$SYS.REQ.USER.*.INFO", "Singleton"),
    ]
    .into_iter()
    .chain(jetstream)
    .filter(|(subject, _)| configured.iter().all(|e| e["subject"] != *subject))
    .map(|(subject, answers)| {
        json!({ "subject": subject, "type": "service", "response_type": answers })
    })
    .collect()
}

/// Where an account's users are told who they are.
fn user_info(account: &str) -> String {
    format!("$SYS.REQ.USER.{account}.INFO")
}

/// An import of `there` from the system account as `here`.
fn service(system: &str, there: String, here: &str, share: bool) -> Value {
    json!({
        "subject": there, "account": system, "to": here, "local_subject": here,
        "type": "service", "invalid": false, "share": share, "tracking": false,
    })
}

/// What every account but the system's may ask of the system.
fn automatic(server: &Server, name: &str) -> Vec<Value> {
    let system = &server.system_account().name;
    let service = |there, here, share| service(system, there, here, share);
    let connz = || format!("$SYS.REQ.ACCOUNT.{name}.CONNZ");
    let mut rows = vec![
        service(connz(), "$SYS.REQ.ACCOUNT.PING.CONNZ", false),
        service(connz(), "$SYS.REQ.SERVER.PING.CONNZ", false),
        service(format!("$SYS.REQ.ACCOUNT.{name}.STATZ"), "$SYS.REQ.ACCOUNT.PING.STATZ", false),
        service(user_info(name), "$SYS.REQ.USER.INFO", true),
    ];
    if server.jetstream.get().is_some() {
        rows.push(service("$JS.API.>".to_owned(), "$JS.API.>", true));
    }
    rows
}
