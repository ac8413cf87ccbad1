//! Mappings, exports and imports of an account, as `/accountz` shows them.

use crate::account::AccountState;
use crate::clock::rfc3339;
use crate::server::Server;
use gust_account::Account;
use gust_account::exchange::{
    Access, AccountExchange, ExchangeKind, ExportRule, ImportRule, Latency, ResponseType,
    ServiceImport, StreamImport,
};
use serde_json::{Map, Value, json};

/// Adds them to the account's document, as far as there are any.
pub fn add(server: &Server, state: &AccountState, detail: &mut Value) {
    let rules = server.rules.load();
    let Some(account) = rules.account(&state.name) else { return };
    if !account.mappings.is_empty() {
        detail["mappings"] = mappings(account);
    }
    if !account.exports.is_empty() {
        detail["exports"] = account.exports.iter().map(export).collect();
    }
    if let Some(exchange) = rules.exchange().of(&state.name) {
        detail["imports"] = imports(account, exchange);
    }
    let mut responses = Map::new();
    state.exchange.responses.each(|subject, to, reply, link| {
        let mut import = service(&link.import);
        import["subject"] = text(reply);
        import["account"] = to.into();
        import["to"] = subject.clone().into();
        import["local_subject"] = subject.clone().into();
        responses.insert(subject, import);
    });
    if !responses.is_empty() {
        detail["responses"] = responses.into();
    }
}

fn mappings(account: &Account) -> Value {
    let destination = |(subject, weight, cluster): (&[u8], u8, &str)| {
        let mut shown = json!({ "subject": text(subject), "weight": weight });
        if !cluster.is_empty() {
            shown["cluster"] = cluster.into();
        }
        shown
    };
    let mut all = Map::new();
    for (source, destinations) in account.mappings.shares() {
        let shown = destinations.into_iter().map(destination).collect();
        all.insert(String::from_utf8_lossy(source).into_owned(), shown);
    }
    all.into()
}

fn export(rule: &ExportRule) -> Value {
    let mut shown = json!({ "subject": rule.subject, "type": kind(rule.kind) });
    if rule.kind == ExchangeKind::Service {
        shown["response_type"] = match rule.response {
            ResponseType::Singleton => "Singleton",
            ResponseType::Stream => "Streamed",
            ResponseType::Chunked => "Chunked",
        }
        .into();
    }
    if let Some(l) = &rule.latency {
        shown["service_latency"] = latency(l);
    }
    match &rule.access {
        Access::Everybody => {}
        Access::Accounts(names) => shown["approved_accounts"] = json!(names),
        Access::Position(n) => shown["account_token_position"] = json!(n),
        Access::Token(revoked) => {
            shown["token_req"] = true.into();
            if !revoked.is_empty() {
                let time = |(k, at): (&String, &i64)| {
                    (k.clone(), rfc3339(at.saturating_mul(1_000_000_000)).into())
                };
                let revoked: Map<String, Value> = revoked.iter().map(time).collect();
                shown["revoked_activations"] = revoked.into();
            }
        }
    }
    shown
}

/// All imports; those that are not in force say so.
fn imports(account: &Account, exchange: &AccountExchange) -> Value {
    let invalid = exchange.invalid.iter().filter_map(|i| {
        let mut shown = rule(account.imports.get(i.index)?);
        shown["invalid"] = true.into();
        shown["reason"] = i.error.to_string().into();
        Some(shown)
    });
    let streams = exchange.streams.iter().map(|s| stream(s));
    streams.chain(exchange.services.iter().map(|s| service(s))).chain(invalid).collect()
}

fn stream(import: &StreamImport) -> Value {
    json!({
        "subject": text(&import.from), "account": &*import.exporter, "type": "stream",
        "local_subject": text(&import.to), "invalid": false, "share": false, "tracking": false,
    })
}

fn service(import: &ServiceImport) -> Value {
    let mut shown = json!({
        "subject": text(&import.to), "account": &*import.exporter, "type": "service",
        "to": text(&import.from), "local_subject": text(&import.from),
        "invalid": false, "share": import.share, "tracking": false,
    });
    if let Some(l) = &import.export.latency {
        shown["latency"] = latency(l);
    }
    shown
}

fn rule(rule: &ImportRule) -> Value {
    json!({
        "subject": rule.subject, "account": rule.account, "type": kind(rule.kind),
        "local_subject": rule.local, "share": rule.share, "tracking": false,
    })
}

fn latency(l: &Latency) -> Value {
    let sampling = if l.sampling == 0 { "headers".into() } else { json!(l.sampling) };
    json!({ "sampling": sampling, "results": l.subject })
}

fn kind(kind: ExchangeKind) -> &'static str {
    match kind {
        ExchangeKind::Stream => "stream",
        ExchangeKind::Service => "service",
    }
}

fn text(bytes: &[u8]) -> Value {
    String::from_utf8_lossy(bytes).into()
}
