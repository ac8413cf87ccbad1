//! What requests ask for: the filter that picks servers, and the options of the
//! documents. Their names differ from those of the HTTP queries.

use crate::monitor::{connz, subsz};
use crate::server::Server;
use serde_json::Value;

/// Whether the request's filter means this server. Who is not meant is silent.
pub fn selects(server: &Server, o: &Value) -> bool {
    let exact = flag(o, "exact_match");
    let fits = |key: &str, own: &str| {
        let want = text(o, key);
        want.is_empty() || if exact { own == want } else { own.contains(want) }
    };
    let options = server.options.load();
    let tags = o["tags"].as_array().map_or(&[][..], Vec::as_slice);
    let has = |tag: &Value| {
        let tag = tag.as_str().unwrap_or_default().trim();
        options.server_tags.iter().any(|own| own.eq_ignore_ascii_case(tag))
    };
    let domain = server.jetstream.get().map(|js| js.domain.clone()).unwrap_or_default();
    fits("server_name", &server.name)
        && fits("host", &options.listen.host)
        && fits("cluster", "")
        && tags.iter().all(has)
        && matches!(text(o, "domain"), d if d.is_empty() || d == domain)
}

/// A text option; empty if absent.
pub fn text<'a>(o: &'a Value, key: &str) -> &'a str {
    o[key].as_str().unwrap_or_default()
}

/// A switch; off if absent.
pub fn flag(o: &Value, key: &str) -> bool {
    o[key].as_bool().unwrap_or(false)
}

/// Options of CONNZ. A not empty `account` is the only one that can be seen.
pub fn connz(o: &Value, account: &str) -> connz::Options {
    connz::Options {
        sort: text(o, "sort").to_owned(),
        auth: flag(o, "auth"),
        subs: flag(o, "subscriptions"),
        subs_detail: flag(o, "subscriptions_detail"),
        offset: o["offset"].as_i64().unwrap_or(0).max(0),
        limit: o["limit"].as_i64().unwrap_or(0),
        cid: o["cid"].as_u64().unwrap_or(0),
        state: match o["state"].as_i64() {
            None | Some(0) => connz::State::Open,
            Some(1) => connz::State::Closed,
            Some(2) => connz::State::All,
            Some(_) => connz::State::Neither,
        },
        user: text(o, "user").to_owned(),
        mqtt_client: text(o, "mqtt_client").to_owned(),
        filter_subject: text(o, "filter_subject").to_owned(),
        account: if account.is_empty() { text(o, "acc") } else { account }.to_owned(),
    }
}

/// Options of SUBSZ.
pub fn subsz(o: &Value) -> subsz::Options {
    subsz::Options {
        subs: flag(o, "subscriptions"),
        offset: o["offset"].as_i64().unwrap_or(0).max(0),
        limit: o["limit"].as_i64().unwrap_or(0),
        test: text(o, "test").to_owned(),
        account: text(o, "account").to_owned(),
    }
}
