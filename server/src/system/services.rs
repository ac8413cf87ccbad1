//! Requests the server answers by itself: `$SYS.REQ.…` in the system account and
//! the few that every account has (contract/monitoring.md §2).

use crate::account::AccountState;
use crate::client::Client;
use crate::clock::{self, rfc3339};
use crate::monitor::{accountz, connz, healthz, jsz, subsz, varz};
use crate::route::{Message, Origin, OwnedMessage};
use crate::server::{COMPATIBLE, Server};
use crate::shard::Shard;
use crate::subscription::{Service, Subscription, Target};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Subjects of the system account that this server listens on, besides those
/// under its own id.
const SYSTEM: &[&str] = &["$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.*", "$SYS.REQ.ACCOUNT.*.*"];
/// Subjects every account can ask.
const EVERYBODY: &[&str] = &[
    "$SYS.REQ.USER.INFO",
    "$SYS.REQ.SERVER.PING.CONNZ",
    "$SYS.REQ.ACCOUNT.PING.CONNZ",
    "$SYS.REQ.ACCOUNT.PING.STATZ",
];

/// Subscribes the services of all accounts.
pub fn start(server: &Arc<Server>) {
    let system = server.system_account().clone();
    for account in server.accounts.all() {
        if account.name == system.name {
            continue;
        }
        for subject in EVERYBODY {
            add(server, &account, (*subject).to_owned(), Service::System);
        }
    }
    for subject in SYSTEM {
        add(server, &system, (*subject).to_owned(), Service::System);
    }
    add(server, &system, "$SYS.REQ.USER.INFO".to_owned(), Service::System);
    add(server, &system, format!("$SYS.REQ.SERVER.{}.*", server.id), Service::System);
    if server.jetstream.get().is_some() {
        for account in server.accounts.all() {
            add(server, &account, "$JS.API.>".to_owned(), Service::JetStreamApi);
        }
    }
}

fn add(server: &Server, account: &AccountState, subject: String, service: Service) {
    let subject = Bytes::from(subject);
    let sub = Arc::new(Subscription {
        subject: subject.clone(),
        queue: Bytes::new(),
        sid: Bytes::new(),
        id: server.next_sub_id(),
        target: Target::Service(service),
        max: AtomicU64::new(0),
        delivered: AtomicU64::new(0),
        closed: AtomicBool::new(false),
        filter: None,
    });
    account.interest.insert(&subject, b"", sub.id, sub);
    server.stats.subscriptions.fetch_add(1, Relaxed);
}

/// A request to one of the services. False: it counts as not delivered.
pub fn call(
    shard: &Shard,
    service: Service,
    account: &Arc<AccountState>,
    m: &Message<'_>,
    origin: Origin<'_>,
) -> bool {
    let client = match origin {
        Origin::Client(c) => Some(c.clone()),
        Origin::Server => None,
    };
    let Some(shard) = shard.this() else { return false };
    match service {
        Service::JetStreamApi => {
            crate::jetstream::api::request(&shard, account, m.to_owned_message(), client)
        }
        Service::System => {
            if !m.reply.is_empty() {
                let (account, m) = (account.clone(), m.to_owned_message());
                tokio::task::spawn_local(answer(shard, account, m, client));
            }
            true
        }
    }
}

async fn answer(
    shard: Rc<Shard>,
    account: Arc<AccountState>,
    m: OwnedMessage,
    client: Option<Arc<Client>>,
) {
    let subject = String::from_utf8_lossy(&m.subject).into_owned();
    let options: Value = if m.payload.trim_ascii().is_empty() {
        json!({})
    } else {
        match serde_json::from_slice(&m.payload) {
            Ok(v) => v,
            Err(e) => {
                let body = envelope(&shard.server, Err((400, e.to_string())));
                return reply(&shard, &account, &m.reply, &body);
            }
        }
    };
    let body = match subject.strip_prefix("$SYS.REQ.").unwrap_or_default() {
        "USER.INFO" => envelope(&shard.server, Ok(user_info(&account, client.as_deref()))),
        rest => match service(&shard.server, &account, rest, &options).await {
            Some(Answer::Bare(v)) => v,
            Some(Answer::Wrapped(r)) => envelope(&shard.server, r),
            None => return,
        },
    };
    reply(&shard, &account, &m.reply, &body);
}

enum Answer {
    Bare(Value),
    Wrapped(Result<Value, (u16, String)>),
}

async fn service(
    server: &Arc<Server>,
    account: &AccountState,
    rest: &str,
    o: &Value,
) -> Option<Answer> {
    let is_system = server.is_system(account);
    // Other accounts only ever see themselves.
    let own = if is_system { String::new() } else { account.name.clone() };
    let name = match rest {
        "SERVER.PING" => "STATSZ",
        r => r.rsplit('.').next()?,
    };
    if rest.starts_with("ACCOUNT.") && is_system {
        let asked = rest.split('.').nth(1)?.to_owned();
        return account_service(server, &asked, name, o).await;
    }
    if is_system && !selected(server, o) {
        return None;
    }
    let bad = |e: String| (500, e);
    Some(Answer::Wrapped(match name {
        "STATSZ" => return Some(Answer::Bare(statsz(server))),
        "IDZ" => {
            let host = server.options.load().listen.host.clone();
            return Some(Answer::Bare(json!({"name": server.name, "host": host, "id": server.id})));
        }
        "VARZ" => Ok(varz::varz(server).await),
        "CONNZ" => connz::connz(server, &connz_options(o, own)).map_err(bad),
        "SUBSZ" => subsz::subsz(server, &subsz_options(o)).map_err(bad),
        "ACCOUNTZ" => accountz::accountz(server, text(o, "account")).map_err(bad),
        "STATZ" => Ok(accountz::accstatz(server, false)),
        "JSZ" => jsz::jsz(server, &jsz::Options::from_json(o)).await.map_err(bad),
        "HEALTHZ" => {
            let h = healthz::healthz(server, &healthz::Options::from_json(o)).await;
            let mut body = h.body;
            body["status_code"] = h.code.into();
            Ok(body)
        }
        _ => return None,
    }))
}

async fn account_service(
    server: &Arc<Server>,
    asked: &str,
    name: &str,
    o: &Value,
) -> Option<Answer> {
    let found = server.accounts.get(asked)?;
    let bad = |e: String| (500, e);
    Some(Answer::Wrapped(match name {
        "CONNZ" => connz::connz(server, &connz_options(o, asked.to_owned())).map_err(bad),
        "SUBSZ" => {
            let options =
                subsz::Options { subs: true, account: asked.to_owned(), ..subsz_options(o) };
            subsz::subsz(server, &options).map_err(bad)
        }
        "JSZ" => {
            let options = jsz::Options { account: asked.to_owned(), ..jsz::Options::from_json(o) };
            jsz::jsz(server, &options).await.map_err(bad)
        }
        "INFO" => Ok(accountz::detail(server, &found)),
        "CONNS" => {
            return Some(Answer::Bare(accountz::stat(&found, &accountz::live_traffic(server))));
        }
        "STATZ" => Ok(
            json!({ "server_id": server.id, "account_statz": [accountz::stat(&found, &accountz::live_traffic(server))] }),
        ),
        _ => return None,
    }))
}

/// Whether the request's filter means this server.
fn selected(server: &Server, o: &Value) -> bool {
    let exact = o["exact_match"].as_bool().unwrap_or(false);
    let fits = |key: &str, own: &str| {
        let want = text(o, key);
        want.is_empty() || if exact { own == want } else { own.contains(want) }
    };
    let options = server.options.load();
    let tags = o["tags"].as_array().map_or(&[][..], Vec::as_slice);
    fits("server_name", &server.name)
        && fits("host", &options.listen.host)
        && fits("cluster", "")
        && tags
            .iter()
            .all(|t| t.as_str().is_some_and(|t| options.server_tags.iter().any(|own| own == t)))
}

fn text<'a>(o: &'a Value, key: &str) -> &'a str {
    o[key].as_str().unwrap_or_default()
}

fn flag(o: &Value, key: &str) -> bool {
    o[key].as_bool().unwrap_or(false)
}

fn connz_options(o: &Value, account: String) -> connz::Options {
    connz::Options {
        sort: text(o, "sort").to_owned(),
        auth: flag(o, "auth"),
        subs: flag(o, "subscriptions"),
        subs_detail: flag(o, "subscriptions_detail"),
        offset: o["offset"].as_i64().unwrap_or(0).max(0),
        limit: o["limit"].as_i64().unwrap_or(0),
        cid: o["cid"].as_u64().unwrap_or(0),
        state: match o["state"].as_i64() {
            Some(1) => connz::State::Closed,
            Some(2) => connz::State::All,
            _ => connz::State::Open,
        },
        user: text(o, "user").to_owned(),
        account: if account.is_empty() { text(o, "acc").to_owned() } else { account },
    }
}

fn subsz_options(o: &Value) -> subsz::Options {
    subsz::Options {
        subs: flag(o, "subscriptions"),
        offset: o["offset"].as_i64().unwrap_or(0).max(0),
        limit: o["limit"].as_i64().unwrap_or(0),
        test: text(o, "test").to_owned(),
        account: text(o, "account").to_owned(),
    }
}

fn user_info(account: &AccountState, client: Option<&Client>) -> Value {
    let user = client.map_or_else(String::new, |c| c.facts.lock().user.clone());
    json!({ "user": user, "account": account.name, "account_name": account.name })
}

/// Who this server is, as every answer says.
pub fn server_info(server: &Server) -> Value {
    let o = server.options.load();
    let mut m = Map::new();
    let mut put = |k: &str, v: Value| {
        m.insert(k.to_owned(), v);
    };
    put("name", server.name.as_str().into());
    put("host", o.listen.host.as_str().into());
    put("id", server.id.as_str().into());
    let js = server.jetstream.get();
    if let Some(domain) = js.map(|j| &j.domain).filter(|d| !d.is_empty()) {
        put("domain", domain.as_str().into());
    }
    put("ver", COMPATIBLE.into());
    if !o.server_tags.is_empty() {
        put("tags", json!(o.server_tags));
    }
    put("feature_flags", feature_flags(&o));
    put("jetstream", js.is_some().into());
    put("flags", u64::from(js.is_some()).into());
    put("seq", server.next_event_seq().into());
    put("time", rfc3339(clock::now()).into());
    Value::Object(m)
}

/// How this server behaves where nats-server has a switch, under the switch's
/// name. Flags of the configuration are shown as they were written.
pub fn feature_flags(o: &gust_config::Options) -> Value {
    let mut flags = Map::new();
    for (name, on) in [
        ("js_ack_fc_v2", false),
        ("js_api_reply_v2", false),
        ("js_raft_delete_range", true),
        ("js_snapshot_sources", false),
    ] {
        flags.insert(name.to_owned(), on.into());
    }
    for (name, on) in &o.feature_flags {
        flags.insert(name.clone(), (*on).into());
    }
    Value::Object(flags)
}

fn envelope(server: &Server, result: Result<Value, (u16, String)>) -> Value {
    match result {
        Ok(data) => json!({ "server": server_info(server), "data": data }),
        Err((code, description)) => json!({
            "server": server_info(server),
            "error": { "code": code, "description": description },
        }),
    }
}

fn statsz(server: &Server) -> Value {
    let s = &server.stats;
    let usage = varz::usage();
    let traffic = |msgs: &AtomicU64, bytes: &AtomicU64| json!({ "msgs": msgs.load(Relaxed), "bytes": bytes.load(Relaxed) });
    let active = server.accounts.all().iter().filter(|a| a.connections.load(Relaxed) > 0).count();
    json!({
        "server": server_info(server),
        "statsz": {
            "start": rfc3339(server.start),
            "mem": usage.rss,
            "cores": server.shard_count(),
            "cpu": 0.0,
            "connections": server.clients.len(),
            "total_connections": s.total_connections.load(Relaxed),
            "active_accounts": active,
            "subscriptions": s.subscriptions.load(Relaxed).max(0),
            "sent": traffic(&s.out_msgs, &s.out_bytes),
            "received": traffic(&s.in_msgs, &s.in_bytes),
            "slow_consumers": s.slow_consumers.load(Relaxed),
        },
    })
}

fn reply(shard: &Shard, account: &Arc<AccountState>, to: &Bytes, body: &Value) {
    let payload = Bytes::from(body.to_string());
    shard.publish(account, to, &Message::new(to, b"", b"", &payload), b"");
}
