//! `exports [ … ]` and `imports [ … ]` of an account: streams and services that cross accounts.
//!
//! Whether an import is covered by an export, and cycles, is for the account crate.

use super::report::Report;
use crate::duration;
use crate::value::{Map, Node, Position, Value};

/// What crosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeKind {
    /// Messages flow to the importer.
    Stream,
    /// Requests flow to the exporter and answers back.
    Service,
}

/// How many answers a service gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResponseType {
    /// One.
    #[default]
    Singleton,
    /// Until an empty one.
    Stream,
    /// One, in parts.
    Chunked,
}

/// Latency measurements of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    /// Where they are published.
    pub subject: String,
    /// Percent of requests, 1–100; 0: those whose headers ask for it.
    pub sampling: u8,
}

/// One export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Stream or service.
    pub kind: ExchangeKind,
    /// Subject, may hold wildcards.
    pub subject: String,
    /// Accounts that may import; `None`: all.
    pub accounts: Option<Vec<String>>,
    /// 1-based token that must be the importer's account name; 0: none.
    pub account_token_position: i64,
    /// Answers of a service.
    pub response: ResponseType,
    /// Time for answers of a service; 0: default.
    pub response_threshold_ns: i64,
    /// Measurements of a service.
    pub latency: Option<Latency>,
    /// Message tracing may cross (services).
    pub allow_trace: bool,
    /// Where it was written.
    pub at: Position,
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Stream or service.
    pub kind: ExchangeKind,
    /// Exporting account.
    pub account: String,
    /// Subject there.
    pub subject: String,
    /// Literal prefix here (streams), or empty.
    pub prefix: String,
    /// Subject here; empty: the same.
    pub to: String,
    /// Show the exporter who asks (services).
    pub share: bool,
    /// Message tracing may cross (streams).
    pub allow_trace: bool,
    /// Where it was written.
    pub at: Position,
}

pub(crate) fn parse_exports(node: &Node, report: &mut Report) -> Vec<Export> {
    let Value::Array(items) = &node.value else {
        let got = node.value.go_type();
        report.error(node, format!("Exports should be an array, got {got}"));
        return Vec::new();
    };
    items.iter().filter_map(|item| export(item, report)).collect()
}

/// What was seen of an export, to be judged once all its keys are read.
#[derive(Default)]
struct ExportDraft<'n> {
    target: Option<(ExchangeKind, String)>,
    response: Option<&'n Node>,
    latency: Option<&'n Node>,
    allow_trace: Option<&'n Node>,
}

fn export(item: &Node, report: &mut Report) -> Option<Export> {
    let map = report.map_or(item, "Export Items should be a map with type entry")?;
    let mut draft = ExportDraft::default();
    let mut export = Export {
        kind: ExchangeKind::Stream,
        subject: String::new(),
        accounts: None,
        account_token_position: 0,
        response: ResponseType::Singleton,
        response_threshold_ns: 0,
        latency: None,
        allow_trace: false,
        at: item.at.clone(),
    };
    for (key, node) in map.iter() {
        match key.to_ascii_lowercase().as_str() {
            "stream" => target(&mut draft, ExchangeKind::Stream, node, report),
            "service" => target(&mut draft, ExchangeKind::Service, node, report),
            "response" | "response_type" => {
                draft.response = Some(node);
                export.response = response_type(node, report).unwrap_or_default();
            }
            "threshold" | "response_threshold" | "response_max_time" | "response_time" => {
                draft.response = Some(node);
                export.response_threshold_ns = threshold(node, report).unwrap_or(0);
            }
            "accounts" => export.accounts = report.strings(node),
            "latency" => {
                draft.latency = Some(node);
                export.latency = latency(node, report);
            }
            "account_token_position" => {
                export.account_token_position = report.int(node).unwrap_or(0);
                if export.account_token_position < 0 {
                    let got = export.account_token_position;
                    report.error(node, format!("Invalid account_token_position: {got}"));
                }
            }
            "allow_trace" => {
                draft.allow_trace = Some(node);
                export.allow_trace = report.boolean(node).unwrap_or(false);
            }
            _ => report.unknown(key, node),
        }
    }
    let (kind, subject) = draft.target?;
    if kind == ExchangeKind::Stream {
        for (node, what) in [
            (draft.response, "response"),
            (draft.latency, "latency"),
            (draft.allow_trace, "allow_trace"),
        ] {
            if let Some(node) = node {
                report.error(node, format!("Detected {what} directive on non-service"));
                return None;
            }
        }
    }
    Some(Export { kind, subject, ..export })
}

fn target(draft: &mut ExportDraft<'_>, kind: ExchangeKind, node: &Node, report: &mut Report) {
    let (this, other) = match kind {
        ExchangeKind::Stream => ("stream", "service"),
        ExchangeKind::Service => ("service", "stream"),
    };
    if draft.target.is_some() {
        let reason = format!("Detected {this} \"{}\" but already saw a {other}", node.value);
        report.error(node, reason);
        return;
    }
    let Value::String(subject) = &node.value else {
        let got = node.value.go_type();
        report.error(node, format!("Expected {this} name to be string, got {got}"));
        return;
    };
    draft.target = Some((kind, subject.clone()));
}

fn response_type(node: &Node, report: &mut Report) -> Option<ResponseType> {
    let Value::String(text) = &node.value else {
        let got = node.value.go_type();
        report.error(node, format!("Expected response type to be string, got {got}"));
        return None;
    };
    match text.to_ascii_lowercase().as_str() {
        "single" | "singleton" => Some(ResponseType::Singleton),
        "stream" => Some(ResponseType::Stream),
        "chunk" | "chunked" => Some(ResponseType::Chunked),
        _ => {
            report.error(node, format!("Unknown response type: {text:?}"));
            None
        }
    }
}

fn threshold(node: &Node, report: &mut Report) -> Option<i64> {
    const WANTED: &str = "Expected response threshold to be a parseable time duration, got";
    let Value::String(text) = &node.value else {
        let got = node.value.go_type();
        report.error(node, format!("{WANTED} {got}"));
        return None;
    };
    match duration::parse(text) {
        Ok(ns) => Some(ns),
        Err(_) => {
            report.error(node, format!("{WANTED} {text:?}"));
            None
        }
    }
}

fn latency(node: &Node, report: &mut Report) -> Option<Latency> {
    let map = match &node.value {
        Value::String(subject) => {
            return Some(Latency { subject: subject.clone(), sampling: 100 });
        }
        Value::Map(map) => map,
        other => {
            let got = other.go_type();
            let reason = format!("Expected latency entry to be a map/struct or string, got {got}");
            report.error(node, reason);
            return None;
        }
    };
    let sampling = match map.get("sampling") {
        Some(node) => sampling(node, report)?,
        None => 100,
    };
    let Some(subject) = map.get("subject") else {
        report.error(node, "Latency subject required, but missing");
        return None;
    };
    Some(Latency { subject: report.string(subject)?, sampling })
}

fn sampling(node: &Node, report: &mut Report) -> Option<u8> {
    let number = match &node.value {
        Value::Int(number) => *number,
        Value::String(text) if text.trim().eq_ignore_ascii_case("headers") => return Some(0),
        Value::String(text) => match text.strip_suffix('%').unwrap_or(text).parse() {
            Ok(number) => number,
            Err(_) => {
                let reason = format!(
                    "Failed to parse latency sample: strconv.Atoi: parsing {:?}: invalid syntax",
                    text.strip_suffix('%').unwrap_or(text)
                );
                report.error(node, reason);
                return None;
            }
        },
        other => {
            let got = other.go_type();
            let reason = format!("Expected latency sample to be a string or map/struct, got {got}");
            report.error(node, reason);
            return None;
        }
    };
    match u8::try_from(number) {
        Ok(n @ 1..=100) => Some(n),
        _ => {
            report.error(node, "bad sampling percentage, should be 1-100");
            None
        }
    }
}

pub(crate) fn parse_imports(node: &Node, report: &mut Report) -> Vec<Import> {
    let Value::Array(items) = &node.value else {
        let got = node.value.go_type();
        report.error(node, format!("Imports should be an array, got {got}"));
        return Vec::new();
    };
    let mut imports: Vec<Import> = Vec::with_capacity(items.len());
    for item in items {
        let Some(import) = import(item, report) else { continue };
        let local = local_subject(&import);
        let duplicate = imports.iter().find(|seen| {
            import.kind == ExchangeKind::Service
                && seen.kind == ExchangeKind::Service
                && local_subject(seen) == local
                && seen.account == import.account
        });
        if let Some(seen) = duplicate {
            let reason = format!(
                "Duplicate service import subject {local:?}, previously used in import for \
                 account {:?}, subject {:?}",
                seen.account, seen.subject
            );
            report.error(item, reason);
            continue;
        }
        imports.push(import);
    }
    imports
}

fn local_subject(import: &Import) -> &str {
    if import.to.is_empty() { &import.subject } else { &import.to }
}

fn import(item: &Node, report: &mut Report) -> Option<Import> {
    let map = report.map_or(item, "Import Items should be a map with type entry")?;
    let mut origin: Option<(ExchangeKind, String, String)> = None;
    let mut trace: Option<&Node> = None;
    let mut to_at: Option<&Node> = None;
    let mut import = Import {
        kind: ExchangeKind::Stream,
        account: String::new(),
        subject: String::new(),
        prefix: String::new(),
        to: String::new(),
        share: false,
        allow_trace: false,
        at: item.at.clone(),
    };
    for (key, node) in map.iter() {
        match key.to_ascii_lowercase().as_str() {
            word @ ("stream" | "service") => {
                let (kind, other, label) = if word == "stream" {
                    (ExchangeKind::Stream, "service", "Stream")
                } else {
                    (ExchangeKind::Service, "stream", "Service")
                };
                if origin.is_some() {
                    report.error(node, format!("Detected {word} but already saw a {other}"));
                    continue;
                }
                let wanted = format!("{label} entry should be an account map");
                let Some(map) = report.map_or(node, &wanted) else { continue };
                if let Some((account, subject)) = source(node, map, report) {
                    origin = Some((kind, account, subject));
                }
            }
            "prefix" => import.prefix = report.string(node).unwrap_or_default(),
            "to" => {
                to_at = Some(node);
                import.to = report.string(node).unwrap_or_default();
            }
            "share" => import.share = report.boolean(node).unwrap_or(false),
            "allow_trace" => {
                trace = Some(node);
                import.allow_trace = report.boolean(node).unwrap_or(false);
            }
            _ => report.unknown(key, node),
        }
    }
    let (kind, account, subject) = origin?;
    if let (ExchangeKind::Service, Some(node)) = (kind, trace) {
        report.error(node, "Detected allow_trace directive on a non-stream");
        return None;
    }
    if let (ExchangeKind::Stream, false, false) =
        (kind, import.prefix.is_empty(), import.to.is_empty())
    {
        report.error(
            to_at.unwrap_or(item),
            "Stream import can not have a 'prefix' and a 'to' property",
        );
        return None;
    }
    Some(Import { kind, account, subject, ..import })
}

/// `{account, subject}` of an import.
fn source(node: &Node, map: &Map, report: &mut Report) -> Option<(String, String)> {
    let (mut account, mut subject) = (String::new(), String::new());
    for (key, node) in map.iter() {
        match key.to_ascii_lowercase().as_str() {
            "account" => account = report.string(node)?,
            "subject" => subject = report.string(node)?,
            _ => report.unknown(key, node),
        }
    }
    if account.is_empty() || subject.is_empty() {
        report.error(node, "Expect an account name and a subject");
        return None;
    }
    Some((account, subject))
}
