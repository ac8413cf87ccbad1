//! Operator mode and trusted proxies: `operator`, `trusted_keys`, `resolver*`, `proxies`. JWTs are
//! kept as text; the account crate reads them.

use std::collections::{BTreeMap, BTreeSet};

use super::report::Report;
use super::tls::TlsOptions;
use crate::duration;
use crate::nkey::{self, KeyKind};
use crate::url::Url;
use crate::value::{Map, Node, Value};

/// Keys of operator mode.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrustOptions {
    /// Operator JWTs, or paths of files with one.
    pub operators: Vec<String>,
    /// Public operator keys.
    pub trusted_keys: Vec<String>,
    /// Where account JWTs come from.
    pub resolver: Option<Resolver>,
    /// TLS towards a URL resolver.
    pub resolver_tls: Option<TlsOptions>,
    /// Account JWTs by public key.
    pub resolver_preload: BTreeMap<String, String>,
    /// The only accounts allowed; empty: all.
    pub resolver_pinned_accounts: BTreeSet<String>,
    /// Bearer JWT of clients without credentials, or empty.
    pub default_sentinel: String,
}

/// Where account JWTs come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolver {
    /// Only the preload.
    Memory,
    /// GET from a web server.
    Url(String),
    /// All accounts in a directory.
    Full(DirectoryResolver),
    /// Some accounts in a directory, others asked for.
    Cache(DirectoryResolver),
}

/// A directory of JWTs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirectoryResolver {
    /// Path.
    pub dir: String,
    /// Accounts may be deleted.
    pub allow_delete: bool,
    /// … for good instead of renamed.
    pub hard_delete: bool,
    /// Most accounts; 0: default.
    pub limit: i64,
    /// Age at which a cached JWT is dropped; 0: never.
    pub ttl_ns: i64,
    /// Time between synchronisations; 0: default.
    pub interval_ns: i64,
    /// Time to wait for an account; 0: default.
    pub timeout_ns: i64,
}

/// `operator`: one or several.
pub(crate) fn operators(node: &Node, report: &mut Report) -> Vec<String> {
    one_or_more("operators", node, report)
}

/// A string or a list; wording of the older keys.
fn one_or_more(what: &str, node: &Node, report: &mut Report) -> Vec<String> {
    report.one_or_more(what, node).unwrap_or_default()
}

pub(crate) fn trusted_keys(node: &Node, report: &mut Report) -> Vec<String> {
    let keys = one_or_more("trusted", node, report);
    for key in &keys {
        if !nkey::is_public(key, KeyKind::Operator) {
            let reason = format!("trust key {key:?} required to be a valid public operator nkey");
            report.error(node, reason);
        }
    }
    keys
}

pub(crate) fn pinned_accounts(node: &Node, report: &mut Report) -> BTreeSet<String> {
    one_or_more("resolver_pinned_accounts", node, report).into_iter().collect()
}

pub(crate) fn preload(node: &Node, report: &mut Report) -> BTreeMap<String, String> {
    let mut accounts = BTreeMap::new();
    let Value::Map(map) = &node.value else {
        report.error(node, "preload should be a map of account_public_key:account_jwt");
        return accounts;
    };
    for (key, node) in map.iter() {
        match &node.value {
            Value::String(jwt) if jwt.split('.').count() == 3 => {
                accounts.insert(key.to_owned(), jwt.clone());
            }
            Value::String(_) => report.error(node, "invalid account JWT"),
            _ => report.error(node, "preload map value should be a string JWT"),
        }
    }
    accounts
}

pub(crate) fn resolver(node: &Node, report: &mut Report) -> Option<Resolver> {
    let resolver = match &node.value {
        Value::String(text) => resolver_text(text, node, report)?,
        Value::Map(map) => resolver_map(map, node, report)?,
        other => {
            let got = other.go_type();
            report.error(node, format!("error parsing operator resolver, wrong type {got}"));
            return None;
        }
    };
    if resolver.is_none() {
        report.error(
            node,
            "error parsing account resolver, should be MEM or  URL(\"url\") or a map containing \
             dir and type state=[FULL|CACHE])",
        );
    }
    resolver
}

/// The outer `None` means that an error is reported already.
fn resolver_text(text: &str, node: &Node, report: &mut Report) -> Option<Option<Resolver>> {
    let upper = text.to_ascii_uppercase();
    if upper.contains("MEM") {
        return Some(Some(Resolver::Memory));
    }
    let Some(start) = upper.find("URL") else { return Some(None) };
    let url = text
        .get(start + 3..)
        .unwrap_or_default()
        .trim_start_matches('(')
        .split(')')
        .next()
        .unwrap_or_default()
        .trim()
        .trim_matches('"')
        .to_owned();
    if Url::parse(&url).is_none() {
        report.error(node, format!("error parsing account resolver url [{url:?}]"));
        return None;
    }
    Some(Some(Resolver::Url(url)))
}

fn resolver_map(map: &Map, node: &Node, report: &mut Report) -> Option<Option<Resolver>> {
    let mut dir = DirectoryResolver::default();
    let mut kind = String::new();
    let mut hard_delete_set = false;
    for (key, field) in map.iter() {
        // Keys are exact here, and others are ignored.
        match key {
            "dir" => dir.dir = report.string(field)?,
            "type" => kind = report.string(field)?,
            "allow_delete" => dir.allow_delete = report.boolean(field)?,
            "hard_delete" => {
                hard_delete_set = true;
                dir.hard_delete = report.boolean(field)?;
            }
            "limit" => dir.limit = report.int(field)?,
            "ttl" => dir.ttl_ns = text_duration(field, node, report)?,
            "interval" => dir.interval_ns = text_duration(field, node, report)?,
            "timeout" => dir.timeout_ns = text_duration(field, node, report)?,
            _ => {}
        }
    }
    let kind = kind.to_ascii_uppercase();
    let refused: &[(bool, &str)] = match kind.as_str() {
        "CACHE" => &[
            (dir.interval_ns != 0, "CACHE does not accept sync"),
            (dir.allow_delete, "CACHE does not accept allow_delete"),
            (hard_delete_set, "CACHE does not accept hard_delete"),
        ],
        "FULL" => &[
            (dir.ttl_ns != 0, "FULL does not accept ttl"),
            (hard_delete_set && !dir.allow_delete, "hard_delete has no effect without delete"),
        ],
        "MEM" | "MEMORY" => return Some(Some(Resolver::Memory)),
        _ => return Some(None),
    };
    if dir.dir.is_empty() {
        report.error(node, "dir has no value and needs to point to a directory");
    }
    for (_, reason) in refused.iter().filter(|(wrong, _)| *wrong) {
        report.error(node, *reason);
    }
    Some(Some(if kind == "FULL" { Resolver::Full(dir) } else { Resolver::Cache(dir) }))
}

fn text_duration(field: &Node, block: &Node, report: &mut Report) -> Option<i64> {
    let text = report.string(field)?;
    match duration::parse(&text) {
        Ok(ns) => Some(ns),
        Err(err) => {
            report.error(block, err.to_string());
            None
        }
    }
}

/// `proxies { trusted [ { key } ] }`: the public keys.
pub(crate) fn proxies(node: &Node, report: &mut Report) -> Option<Vec<String>> {
    let mut keys = Vec::new();
    for (key, node) in report.map_or(node, "expected proxies to be a map/struct")?.iter() {
        if key.eq_ignore_ascii_case("trusted") {
            keys = trusted_proxies(node, report).unwrap_or_default();
        } else {
            report.unknown(key, node);
        }
    }
    Some(keys)
}

fn trusted_proxies(node: &Node, report: &mut Report) -> Option<Vec<String>> {
    let Value::Array(items) = &node.value else {
        let got = node.value.go_type();
        let reason = format!("expected proxies' trusted field to be an array, got {got}");
        report.error(node, reason);
        return None;
    };
    let mut keys = Vec::with_capacity(items.len());
    for item in items {
        let wanted = "expected proxies' trusted entry to be a map/struct";
        let Some(map) = report.map_or(item, wanted) else { continue };
        for (name, node) in map.iter() {
            if !matches!(name.to_ascii_lowercase().as_str(), "key" | "public_key") {
                report.unknown(name, node);
                continue;
            }
            let Some(key) = report.string(node) else { continue };
            if nkey::public_key_kind(&key).is_none() {
                report.error(node, format!("invalid proxy key {key:?}"));
            }
            keys.push(key);
        }
    }
    Some(keys)
}
