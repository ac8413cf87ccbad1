//! `/subsz`: interest (contract/monitoring.md §1.5).

use super::connz::text;
use crate::clock::{self, rfc3339};
use crate::server::Server;
use crate::subscription::Subscription;
use gust_admin::query::Query;
use hashbrown::HashSet;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Subscriptions on one page unless asked otherwise.
const DEFAULT_LIMIT: i64 = 1024;

/// What to show.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// List subscriptions.
    pub subs: bool,
    /// Skip this many.
    pub offset: i64,
    /// At most this many; 0 = default.
    pub limit: i64,
    /// Only those that match this literal subject.
    pub test: String,
    /// Only this account.
    pub account: String,
}

impl Options {
    /// Reads the query string.
    pub fn from_query(q: &Query) -> Result<Self, String> {
        Ok(Self {
            subs: q.bool("subs")?,
            offset: q.int("offset")?.max(0),
            limit: q.int("limit")?,
            test: q.get("test").to_owned(),
            account: q.get("acc").to_owned(),
        })
    }
}

/// The document.
pub fn subsz(server: &Server, o: &Options) -> Result<Value, String> {
    let test = o.test.as_bytes();
    if !o.test.is_empty()
        && (!gust_subject::valid_publish(test) || gust_subject::has_wildcards(test))
    {
        return Err(format!("invalid test subject, must be valid publish subject: {}", o.test));
    }
    let limit = if o.limit > 0 { o.limit } else { DEFAULT_LIMIT };
    let (mut count, mut inserts, mut removes) = (0, 0, 0);
    let mut list = Vec::new();
    let mut total = 0;
    for account in server.accounts.all() {
        if !o.account.is_empty() && account.name != o.account {
            continue;
        }
        let tag = server.account_tag(&account.name);
        let stats = account.interest.stats();
        count += stats.subs;
        inserts += stats.inserts;
        removes += stats.removes;
        account.interest.read().for_each(|found| {
            let sub = found.value;
            if !o.subs {
                return;
            }
            if o.test.is_empty() || gust_subject::matches(test, &sub.subject) {
                let at = total as i64;
                total += 1;
                if o.subs && at >= o.offset && at < o.offset + limit {
                    list.push(detail(sub, Some((&account.name, &tag))));
                }
            }
        });
    }
    let mut m = Map::new();
    for (key, value) in [
        ("server_id", Value::from(server.id.as_str())),
        ("now", rfc3339(clock::now()).into()),
        ("num_subscriptions", count.into()),
        ("num_cache", 0.into()),
        ("num_inserts", inserts.into()),
        ("num_removes", removes.into()),
        ("num_matches", 0.into()),
        ("cache_hit_rate", 0.0.into()),
        ("max_fanout", 0.into()),
        ("avg_fanout", 0.0.into()),
        ("total", total.into()),
        ("offset", o.offset.into()),
        ("limit", limit.into()),
    ] {
        m.insert(key.to_owned(), value);
    }
    if o.subs && !list.is_empty() {
        m.insert("subscriptions_list".to_owned(), list.into());
    }
    Ok(Value::Object(m))
}

/// Subscriptions of one connection.
pub fn of_client(server: &Server, account: &str, cid: u64) -> Vec<Arc<Subscription>> {
    let mut out = Vec::new();
    if let Some(account) = server.accounts.get(account) {
        account.interest.read().for_each(|found| {
            let sub = found.value;
            if sub.client().is_some_and(|c| c.cid == cid) {
                out.push(sub.clone());
            }
        });
    }
    out.sort_by_key(|s| s.id);
    out
}

/// Connections of an account with a subscription that overlaps `filter`.
pub fn listening(server: &Server, account: &str, filter: &[u8]) -> HashSet<u64> {
    let mut cids = HashSet::new();
    if let Some(account) = server.accounts.get(account) {
        account.interest.read().for_each(|found| {
            let sub = found.value;
            if gust_subject::overlaps(&sub.subject, filter) {
                cids.extend(sub.client().map(|c| c.cid));
            }
        });
    }
    cids
}

/// One subscription as the documents show it, with its account's name and the
/// name of that for people; those of one connection do not
/// repeat its account.
pub fn detail(sub: &Subscription, account: Option<(&str, &str)>) -> Value {
    let mut m = Map::new();
    if let Some((account, tag)) = account {
        m.insert("account".to_owned(), account.into());
        m.insert("account_tag".to_owned(), tag.into());
    }
    m.insert("subject".to_owned(), text(&sub.subject).into());
    if !sub.queue.is_empty() {
        m.insert("qgroup".to_owned(), text(&sub.queue).into());
    }
    m.insert("sid".to_owned(), text(&sub.sid).into());
    m.insert("msgs".to_owned(), sub.delivered.load(Relaxed).into());
    let max = sub.max.load(Relaxed);
    if max > 0 {
        m.insert("max".to_owned(), json!(max));
    }
    m.insert("cid".to_owned(), sub.client().map_or(0, |c| c.cid).into());
    Value::Object(m)
}
