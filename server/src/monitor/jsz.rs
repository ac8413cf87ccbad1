//! `/jsz`: JetStream (contract/monitoring.md §1.6).

use crate::account::AccountState;
use crate::clock::{self, rfc3339};
use crate::jetstream::JetStream;
use crate::jetstream::api::{api_stats, reserved};
use crate::jetstream::assets::Asset;
use crate::jetstream::interest::AccountInterest;
use crate::jetstream::store::shard_of;
use crate::server::{API_LEVEL, Server};
use gust_admin::query::Query;
use gust_jetstream::config::StorageType;
use gust_jetstream::json;
use gust_jetstream::stream::is_public;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Accounts on one page unless asked otherwise.
const DEFAULT_LIMIT: i64 = 1024;

/// What to show.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only this account.
    pub account: String,
    /// Show accounts.
    pub accounts: bool,
    /// Show streams.
    pub streams: bool,
    /// Show consumers.
    pub consumers: bool,
    /// Show configurations.
    pub config: bool,
    /// Skip this many accounts.
    pub offset: i64,
    /// At most this many; 0 = default.
    pub limit: i64,
}

impl Options {
    /// Reads the query string.
    pub fn from_query(q: &Query) -> Result<Self, String> {
        q.bool("leader-only")?;
        q.bool("raft")?;
        Ok(Self {
            account: q.get("acc").to_owned(),
            accounts: q.bool("accounts")?,
            streams: q.bool("streams")?,
            consumers: q.bool("consumers")?,
            config: q.bool("config")?,
            offset: q.int("offset")?.max(0),
            limit: q.int("limit")?,
        })
    }

    /// Reads a request of the system account.
    pub fn from_json(o: &Value) -> Self {
        let flag = |key: &str| o[key].as_bool().unwrap_or(false);
        Self {
            account: o["account"].as_str().unwrap_or_default().to_owned(),
            accounts: flag("accounts"),
            streams: flag("streams"),
            consumers: flag("consumer"),
            config: flag("config"),
            offset: o["offset"].as_i64().unwrap_or(0).max(0),
            limit: o["limit"].as_i64().unwrap_or(0),
        }
    }
}

/// The document.
pub async fn jsz(server: &Arc<Server>, o: &Options) -> Result<Value, String> {
    let mut m = Map::new();
    let Some(js) = server.jetstream.get() else {
        stats(&mut m, None, server);
        m.insert("server_id".into(), server.id.as_str().into());
        m.insert("now".into(), rfc3339(clock::now()).into());
        m.insert("disabled".into(), true.into());
        m.insert("config".into(), json!({ "max_memory": 0, "max_storage": 0 }));
        for zero in ["streams", "consumers", "messages", "bytes", "total"] {
            m.insert(zero.into(), 0.into());
        }
        return Ok(Value::Object(m));
    };
    stats(&mut m, Some(&js), server);
    m.insert("server_id".into(), server.id.as_str().into());
    m.insert("now".into(), rfc3339(clock::now()).into());
    m.insert("config".into(), config(server, &js));
    m.insert("limits".into(), limits(server));
    let all = js.assets.all();
    let details = details(server, &all, o).await;
    let sum = |key: &str| details.iter().map(|d| d.counts(key)).sum::<u64>();
    m.insert("streams".into(), all.len().into());
    m.insert("consumers".into(), sum("consumers").into());
    m.insert("messages".into(), sum("messages").into());
    m.insert("bytes".into(), sum("bytes").into());
    let enabled: Vec<_> =
        server.accounts.all().into_iter().filter(|a| a.jetstream.enabled.load(Relaxed)).collect();
    if o.accounts || o.streams || o.consumers || !o.account.is_empty() {
        let limit = if o.limit > 0 { o.limit } else { DEFAULT_LIMIT } as usize;
        let (skip, take) =
            if o.account.is_empty() { (o.offset as usize, limit) } else { (0, usize::MAX) };
        let rows: Vec<Value> = enabled
            .iter()
            .filter(|a| o.account.is_empty() || a.name == o.account)
            .skip(skip)
            .take(take)
            .map(|a| account(server, a, &all, &details, o))
            .collect();
        if !rows.is_empty() {
            m.insert("account_details".into(), rows.into());
        }
    }
    m.insert("total".into(), enabled.len().into());
    Ok(Value::Object(m))
}

/// The account that `o` names, as the list of accounts shows it.
pub async fn of_account(server: &Arc<Server>, o: &Options) -> Result<Value, String> {
    let js = server.jetstream.get().ok_or("jetstream not enabled")?;
    let a = server.accounts.get(&o.account);
    let a = a.ok_or_else(|| format!("account {:?} not found", o.account))?;
    if !a.jetstream.enabled.load(Relaxed) {
        return Err(format!("account {:?} not jetstream enabled", a.name));
    }
    let all = js.assets.all();
    let details = details(server, &all, o).await;
    Ok(account(server, &a, &all, &details, o))
}

/// The `jetstream` member of `/varz`.
pub async fn varz_block(server: &Server) -> Value {
    let Some(js) = server.jetstream.get() else { return json!({}) };
    let mut m = Map::new();
    stats(&mut m, Some(&js), server);
    json!({ "config": config(server, &js), "stats": m, "limits": limits(server) })
}

fn stats(m: &mut Map<String, Value>, js: Option<&Arc<JetStream>>, server: &Server) {
    let all = js.map(|j| j.assets.all()).unwrap_or_default();
    let used = |f: &dyn Fn(&JetStream) -> i64| js.map_or(0, |j| f(j).max(0));
    m.insert("memory".into(), used(&|j| j.limits.memory.load(Relaxed)).into());
    m.insert("storage".into(), used(&|j| j.limits.storage.load(Relaxed)).into());
    m.insert("reserved_memory".into(), reserved(&all, StorageType::Memory).into());
    m.insert("reserved_storage".into(), reserved(&all, StorageType::File).into());
    let accounts = server.accounts.all();
    let enabled = accounts.iter().filter(|a| a.jetstream.enabled.load(Relaxed)).count();
    m.insert("accounts".into(), if js.is_some() { enabled } else { 0 }.into());
    m.insert("ha_assets".into(), 0.into());
    let total: u64 = accounts.iter().map(|a| a.jetstream.api_total.load(Relaxed)).sum();
    let errors: u64 = accounts.iter().map(|a| a.jetstream.api_errors.load(Relaxed)).sum();
    m.insert("api".into(), json!({ "level": API_LEVEL, "total": total, "errors": errors }));
}

/// Configured limits that hold for every account. nats-server 2.15.1 also says
/// how many consumers a stream may have unless configured; here it is no bound.
fn limits(server: &Server) -> Value {
    let o = server.options.load();
    let l = &o.jetstream.limits;
    let mut m = Map::new();
    for (key, value) in [
        ("max_request_batch", l.max_request_batch),
        ("max_ack_pending", l.max_ack_pending),
        ("duplicate_window", l.duplicate_window_ns),
    ] {
        if value > 0 {
            m.insert(key.into(), value.into());
        }
    }
    Value::Object(m)
}

fn config(server: &Server, js: &JetStream) -> Value {
    let mut m = Map::new();
    m.insert("max_memory".into(), js.limits.max_memory().into());
    m.insert("max_storage".into(), js.limits.max_storage().into());
    m.insert("store_dir".into(), js.store_dir.as_str().into());
    let o = server.options.load();
    match o.jetstream.sync_interval_ns.filter(|_| !o.jetstream.sync_always) {
        Some(ns) => m.insert("sync_interval".into(), ns.into()),
        // Every ack is synced: nats-server's word for that.
        None => m.insert("sync_always".into(), true.into()),
    };
    if !js.domain.is_empty() {
        m.insert("domain".into(), js.domain.as_str().into());
    }
    m.insert("compress_ok".into(), true.into());
    if js.strict {
        m.insert("strict".into(), true.into());
    }
    Value::Object(m)
}

struct Detail {
    group: u64,
    messages: u64,
    bytes: u64,
    consumers: u64,
    document: Value,
}

impl Detail {
    fn counts(&self, key: &str) -> u64 {
        match key {
            "messages" => self.messages,
            "bytes" => self.bytes,
            _ => self.consumers,
        }
    }
}

async fn details(server: &Arc<Server>, all: &[Asset], o: &Options) -> Vec<Detail> {
    let mut out = Vec::new();
    for shard in 0..server.shard_count() {
        let groups: Vec<u64> =
            all.iter().map(|a| a.group).filter(|g| shard_of(server, *g) == shard).collect();
        if groups.is_empty() {
            continue;
        }
        let (o, name) = (o.clone(), server.name.clone());
        let part = server
            .call(shard, move |s| {
                let engine = s.engine.borrow();
                let found = groups.iter().filter_map(|g| engine.get(*g));
                found.map(|a| detail(a, &o, &name)).collect::<Vec<_>>()
            })
            .await;
        out.extend(part.unwrap_or_default());
    }
    out
}

fn detail(a: &crate::jetstream::actor::Actor, o: &Options, server: &str) -> Detail {
    let state = a.stream.state();
    let consumers = a.stream.consumers().filter(|c| is_public(c)).count() as u64;
    let mut m = Map::new();
    if o.streams || o.consumers || !o.account.is_empty() {
        let now = clock::now();
        let value = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Value::Null);
        let info = a.stream.info(now, false);
        m.insert("name".into(), a.stream.name().into());
        m.insert("created".into(), rfc3339(a.stream.identity().created).into());
        m.insert("cluster".into(), json!({ "leader": server }));
        if o.config {
            m.insert("config".into(), value(&json::to_bytes(&info.config)));
        }
        m.insert("state".into(), value(&json::to_bytes(&info.state)));
        if o.consumers {
            let interest = AccountInterest(&a.account);
            let rows: Vec<Value> = a
                .stream
                .consumers()
                .filter(|c| is_public(c))
                .map(|c| {
                    let mut doc = a.stream.consumer_document(c, &c.info(now, &interest), now);
                    if !o.config {
                        doc.config = None;
                    }
                    value(&json::to_bytes(&doc))
                })
                .collect();
            if !rows.is_empty() {
                m.insert("consumer_detail".into(), rows.into());
            }
        }
    }
    Detail {
        group: a.group_id(),
        messages: state.msgs,
        bytes: state.bytes,
        consumers,
        document: Value::Object(m),
    }
}

fn account(
    server: &Server,
    a: &AccountState,
    all: &[Asset],
    details: &[Detail],
    o: &Options,
) -> Value {
    let own: Vec<Asset> = all.iter().filter(|s| s.account == a.name).cloned().collect();
    let limits = a.jetstream.limits();
    // Unlimited is −1 read as an unsigned number, as nats-server shows it.
    let limit = |n: Option<i64>| n.unwrap_or(-1) as u64;
    let api = api_stats(a);
    let mut m = Map::new();
    m.insert("name".into(), server.account_tag(&a.name).into());
    m.insert("id".into(), a.name.as_str().into());
    m.insert("memory".into(), a.jetstream.memory.load(Relaxed).max(0).into());
    m.insert("storage".into(), a.jetstream.storage.load(Relaxed).max(0).into());
    m.insert("reserved_memory".into(), limit(limits.as_ref().map(|l| l.max_memory)).into());
    m.insert("reserved_storage".into(), limit(limits.as_ref().map(|l| l.max_store)).into());
    m.insert("accounts".into(), 0.into());
    m.insert("ha_assets".into(), 0.into());
    m.insert("api".into(), json!({ "level": api.level, "total": api.total, "errors": api.errors }));
    if o.streams || o.consumers {
        let rows: Vec<Value> = own
            .iter()
            .filter_map(|s| details.iter().find(|d| d.group == s.group))
            .map(|d| d.document.clone())
            .collect();
        if !rows.is_empty() {
            m.insert("stream_detail".into(), rows.into());
        }
    }
    Value::Object(m)
}
