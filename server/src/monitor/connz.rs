//! `/connz`: the connections (contract/monitoring.md §1.3).

use super::text::{go_duration, uptime};
use crate::client_registry::ConnRow;
use crate::clock::{self, rfc3339};
use crate::connection::reason::CloseReason;
use crate::server::Server;
use crate::tls::TlsFacts;
use gust_admin::query::Query;
use hashbrown::HashSet;
use serde_json::{Map, Value, json};
use std::cmp::Reverse;

/// Connections on one page unless asked otherwise.
const DEFAULT_LIMIT: i64 = 1024;

/// Which connections, in which order, with how much detail.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Sort key, empty = by id.
    pub sort: String,
    /// Show user and account.
    pub auth: bool,
    /// Show subjects of subscriptions.
    pub subs: bool,
    /// Show subscriptions in detail.
    pub subs_detail: bool,
    /// Skip this many.
    pub offset: i64,
    /// At most this many; 0 = default.
    pub limit: i64,
    /// Only this connection.
    pub cid: u64,
    /// Open, closed or both.
    pub state: State,
    /// Only this user.
    pub user: String,
    /// Only this MQTT client; there are none.
    pub mqtt_client: String,
    /// Only live connections with a subscription that overlaps this subject;
    /// empty = all.
    pub filter_subject: String,
    /// Only this account.
    pub account: String,
}

/// Connections to look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// Live ones.
    #[default]
    Open,
    /// Those in the closed ring.
    Closed,
    /// Both.
    All,
    /// None: a number that means nothing.
    Neither,
}

impl Options {
    /// Reads the query string of the HTTP endpoint.
    pub fn from_query(q: &Query) -> Result<Self, String> {
        let subs_detail = q.get("subs") == "detail";
        Ok(Self {
            sort: q.get("sort").to_owned(),
            auth: q.bool("auth")?,
            subs: !subs_detail && q.bool("subs")?,
            subs_detail,
            offset: q.int("offset")?.max(0),
            limit: q.int("limit")?,
            cid: q.uint("cid")?,
            state: match q.get("state").to_ascii_lowercase().as_str() {
                "" | "open" => State::Open,
                "closed" => State::Closed,
                "any" | "all" => State::All,
                other => return Err(format!("Error decoding state for {other}")),
            },
            user: q.get("user").to_owned(),
            mqtt_client: q.get("mqtt_client").to_owned(),
            filter_subject: String::new(),
            account: q.get("acc").to_owned(),
        })
    }
}

struct Row {
    conn: ConnRow,
    closed: Option<(i64, CloseReason)>,
}

/// The document.
pub fn connz(server: &Server, o: &Options) -> Result<Value, String> {
    check_sort(o)?;
    let by_subject = !matches!(o.filter_subject.as_str(), "" | ">");
    if by_subject && o.account.is_empty() {
        return Err("filter by subject only valid with account filtering".to_owned());
    }
    let now = clock::now();
    let mut rows = collect(server, o);
    let total = rows.len();
    let listening = if by_subject {
        super::subsz::listening(server, &o.account, o.filter_subject.as_bytes())
    } else {
        HashSet::new()
    };
    rows.retain(|r| {
        (o.cid == 0 || r.conn.cid == o.cid)
            && (o.user.is_empty() || r.conn.facts.user == o.user)
            && o.mqtt_client.is_empty()
            && (!by_subject || r.closed.is_some() || listening.contains(&r.conn.cid))
    });
    sort(&mut rows, &o.sort, now);
    let limit = if o.cid != 0 {
        1
    } else if o.limit > 0 {
        o.limit
    } else {
        DEFAULT_LIMIT
    };
    let page: Vec<Value> = rows
        .iter()
        .skip(o.offset as usize)
        .take(limit as usize)
        .map(|r| conn(server, r, o, now))
        .collect();
    Ok(json!({
        "server_id": server.id,
        "now": rfc3339(now),
        "num_connections": page.len(),
        "total": total,
        "offset": o.offset,
        "limit": limit,
        "connections": page,
    }))
}

fn check_sort(o: &Options) -> Result<(), String> {
    match o.sort.as_str() {
        "" | "cid" | "start" | "subs" | "pending" | "msgs_to" | "msgs_from" | "bytes_to"
        | "bytes_from" | "last" | "idle" | "uptime" | "rtt" => Ok(()),
        s @ ("stop" | "reason") if o.state != State::Closed => {
            Err(format!("sort by {s} only valid on closed connections"))
        }
        "stop" | "reason" => Ok(()),
        other => Err(format!("invalid sorting option: {other}")),
    }
}

fn collect(server: &Server, o: &Options) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    if matches!(o.state, State::Open | State::All) {
        rows.extend(
            server.clients.all().iter().map(|c| Row { conn: ConnRow::of(c), closed: None }),
        );
        // Connections that never measured their round trip are asked now, so
        // that the next look shows it.
        for c in server.clients.all() {
            if c.rtt.load(std::sync::atomic::Ordering::Relaxed) == 0 {
                c.signal(crate::client::signal::PING);
            }
        }
    }
    if matches!(o.state, State::Closed | State::All) {
        rows.extend(
            server
                .clients
                .closed()
                .into_iter()
                .map(|c| Row { conn: c.row, closed: Some((c.stop, c.reason)) }),
        );
    }
    rows.retain(|r| o.account.is_empty() || r.conn.facts.account == o.account);
    rows
}

fn sort(rows: &mut [Row], by: &str, now: i64) {
    match by {
        "subs" => rows.sort_by_key(|r| Reverse(r.conn.subs)),
        "pending" => rows.sort_by_key(|r| Reverse(r.conn.pending)),
        "msgs_to" => rows.sort_by_key(|r| Reverse(r.conn.out_msgs)),
        "msgs_from" => rows.sort_by_key(|r| Reverse(r.conn.in_msgs)),
        "bytes_to" => rows.sort_by_key(|r| Reverse(r.conn.out_bytes)),
        "bytes_from" => rows.sort_by_key(|r| Reverse(r.conn.in_bytes)),
        "last" => rows.sort_by_key(|r| Reverse(r.conn.last_activity)),
        "idle" => rows.sort_by_key(|r| Reverse(now - r.conn.last_activity)),
        "rtt" => rows.sort_by_key(|r| Reverse(r.conn.rtt)),
        "uptime" => rows.sort_by_key(|r| r.closed.map_or(now, |c| c.0) - r.conn.start),
        "stop" => rows.sort_by_key(|r| Reverse(r.closed.map_or(0, |c| c.0))),
        "reason" => {
            rows.sort_by_key(|r| r.closed.map_or_else(String::new, |c| c.1.to_string()));
        }
        _ => rows.sort_by_key(|r| r.conn.cid),
    }
}

/// What TLS negotiated; the peer's certificates only with `auth`.
fn add_tls(tls: &TlsFacts, auth: bool, m: &mut Map<String, Value>) {
    m.insert("tls_version".to_owned(), tls.version.into());
    m.insert("tls_cipher_suite".to_owned(), tls.cipher.into());
    if auth && !tls.peer.is_empty() {
        let certs = tls.peer.iter().map(|p| {
            json!({
                "subject": p.subject,
                "spki_sha256": p.spki_sha256,
                "cert_sha256": p.cert_sha256,
            })
        });
        m.insert("tls_peer_certs".to_owned(), certs.collect());
    }
    if tls.first {
        m.insert("tls_first".to_owned(), true.into());
    }
}

fn conn(server: &Server, row: &Row, o: &Options, now: i64) -> Value {
    let c = &row.conn;
    let end = row.closed.map_or(now, |c| c.0);
    let mut m = Map::new();
    let mut put = |k: &str, v: Value| {
        m.insert(k.to_owned(), v);
    };
    put("cid", c.cid.into());
    put("kind", "Client".into());
    put("type", if c.websocket { "websocket" } else { "nats" }.into());
    put("ip", c.addr.ip().to_string().into());
    put("port", c.addr.port().into());
    put("start", rfc3339(c.start).into());
    put("last_activity", rfc3339(c.last_activity).into());
    if let Some((stop, reason)) = row.closed {
        put("stop", rfc3339(stop).into());
        put("reason", reason.to_string().into());
    }
    put("rtt", go_duration(c.rtt).into());
    put("uptime", uptime(end - c.start).into());
    put("idle", uptime(end - c.last_activity).into());
    put("pending_bytes", c.pending.into());
    put("in_msgs", c.in_msgs.into());
    put("out_msgs", c.out_msgs.into());
    put("in_bytes", c.in_bytes.into());
    put("out_bytes", c.out_bytes.into());
    if c.stalls > 0 {
        put("stalls", c.stalls.into());
    }
    put("subscriptions", c.subs.into());
    for (key, value) in
        [("name", &c.facts.name), ("lang", &c.facts.lang), ("version", &c.facts.version)]
    {
        if !value.is_empty() {
            put(key, value.as_str().into());
        }
    }
    if let Some(key) = &c.facts.proxy {
        put("proxy", json!({ "key": **key }));
    }
    if o.auth {
        if !c.facts.user.is_empty() {
            put("authorized_user", c.facts.user.as_str().into());
        }
        if !c.facts.account.is_empty() && c.facts.account != "$G" {
            put("account", c.facts.account.as_str().into());
        }
        if let Some(token) = &c.facts.token {
            // Empty for bearer tokens: whoever reads one may use it.
            if !token.jwt.is_empty() {
                put("jwt", token.jwt.as_str().into());
            }
        }
        if !c.facts.issuer_key().is_empty() {
            put("issuer_key", c.facts.issuer_key().into());
        }
        // nats-server leaves it out for closed connections of `$G`.
        if !c.facts.account.is_empty() && (row.closed.is_none() || c.facts.account != "$G") {
            put("name_tag", server.account_tag(&c.facts.account).into());
        }
        if let Some(token) = c.facts.token.as_ref().filter(|t| !t.tags.is_empty()) {
            put("tags", json!(token.tags));
        }
    }
    if (o.subs || o.subs_detail) && row.closed.is_none() {
        let list = super::subsz::of_client(server, &c.facts.account, c.cid);
        if o.subs && !list.is_empty() {
            let subjects = list.iter().map(|s| text(&s.subject)).collect::<Vec<_>>();
            put("subscriptions_list", subjects.into());
        }
        if o.subs_detail && !list.is_empty() {
            let detail: Vec<Value> = list.iter().map(|s| super::subsz::detail(s, None)).collect();
            put("subscriptions_list_detail", detail.into());
        }
    }
    if let Some(tls) = &c.facts.tls {
        add_tls(tls, o.auth, &mut m);
    }
    Value::Object(m)
}

/// Bytes as JSON text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
