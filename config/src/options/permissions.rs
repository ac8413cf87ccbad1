//! What a user may publish and subscribe to, as written. The account crate decides with it.

use super::report::Report;
use crate::duration::{self, MINUTE_NS};
use crate::subject;
use crate::value::{Map, Node, Value};

/// Replies allowed per received reply subject unless said otherwise.
pub const DEFAULT_RESPONSES: i64 = 1;
/// How long they are allowed unless said otherwise.
pub const DEFAULT_RESPONSE_EXPIRY_NS: i64 = 2 * MINUTE_NS;

/// Both directions; a missing side is unrestricted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Subjects to publish to. In `cluster` this is `import`.
    pub publish: Option<SubjectPermission>,
    /// Subjects to subscribe to, possibly with a queue after a blank. In `cluster`: `export`.
    pub subscribe: Option<SubjectPermission>,
    /// Publishing to reply subjects that were received.
    pub responses: Option<ResponsePermission>,
}

/// Allowed and denied subjects; deny wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubjectPermission {
    /// `None`: everything. `Some` of an empty list: nothing, which only `allow_responses` makes.
    pub allow: Option<Vec<String>>,
    /// Never allowed.
    pub deny: Vec<String>,
}

/// Limits of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponsePermission {
    /// Messages per reply subject; negative: unlimited.
    pub max: i64,
    /// Time since the request; negative: for ever.
    pub expires_ns: i64,
}

pub(crate) fn parse(node: &Node, report: &mut Report) -> Option<Permissions> {
    let Value::Map(map) = &node.value else {
        let reason = format!("Expected permissions to be a map/struct, got {}", node.value);
        report.error(node, reason);
        return None;
    };
    let mut permissions = Permissions::default();
    for (key, node) in map.iter() {
        match key.to_ascii_lowercase().as_str() {
            "pub" | "publish" | "import" => permissions.publish = side(node, report, false),
            "sub" | "subscribe" | "export" => permissions.subscribe = side(node, report, true),
            "publish_allow_responses" | "allow_responses" => {
                permissions.responses = responses(node, report);
            }
            _ => report.unknown_as(node, format!("Unknown field {key:?} parsing permissions")),
        }
    }
    if permissions.responses.is_some() {
        permissions.publish.get_or_insert_default().allow.get_or_insert_default();
    }
    Some(permissions)
}

/// One direction: a subject, a list, or `{allow, deny}`.
fn side(node: &Node, report: &mut Report, queues: bool) -> Option<SubjectPermission> {
    let Value::Map(map) = &node.value else {
        return Some(SubjectPermission {
            allow: non_empty(subjects(node, report, queues)?),
            deny: Vec::new(),
        });
    };
    if map.is_empty() {
        return None;
    }
    let mut permission = SubjectPermission::default();
    for (key, node) in map.iter() {
        match key.to_ascii_lowercase().as_str() {
            "allow" => {
                permission.allow = subjects(node, report, queues).and_then(non_empty);
            }
            "deny" => permission.deny = subjects(node, report, queues).unwrap_or_default(),
            _ => report.unknown_as(
                node,
                format!(
                    "Unknown field name {key:?} parsing subject permissions, only 'allow' or \
                     'deny' are permitted"
                ),
            ),
        }
    }
    Some(permission)
}

fn non_empty(list: Vec<String>) -> Option<Vec<String>> {
    (!list.is_empty()).then_some(list)
}

/// A subject or a list of them, each checked.
pub(crate) fn subjects(node: &Node, report: &mut Report, queues: bool) -> Option<Vec<String>> {
    let list = match &node.value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => {
            let mut list = Vec::with_capacity(items.len());
            for item in items {
                let Value::String(text) = &item.value else {
                    report.error(item, "Subject in permissions array cannot be cast to string");
                    return None;
                };
                list.push(text.clone());
            }
            list
        }
        other => {
            let got = other.go_type();
            let reason = format!(
                "Expected subject permissions to be a subject, or array of subjects, got {got}"
            );
            report.error(node, reason);
            return None;
        }
    };
    if let Err(reason) = check_subjects(&list, queues) {
        report.error(node, reason);
        return None;
    }
    Some(list)
}

/// Every subject valid, or `subject queue` where queues are allowed.
pub(crate) fn check_subjects(list: &[String], queues: bool) -> Result<(), String> {
    for text in list {
        if subject::is_valid(text) {
            continue;
        }
        let parts: Vec<&str> = text.split_whitespace().collect();
        match parts.as_slice() {
            [subject, queue] if queues => {
                if !subject::is_valid(subject) {
                    return Err(format!("subject {subject:?} is not a valid subject"));
                }
                if !subject::is_valid(queue) {
                    return Err(format!("queue {queue:?} is not a valid queue"));
                }
            }
            _ => return Err(format!("subject {text:?} is not a valid subject")),
        }
    }
    Ok(())
}

fn responses(node: &Node, report: &mut Report) -> Option<ResponsePermission> {
    let default =
        ResponsePermission { max: DEFAULT_RESPONSES, expires_ns: DEFAULT_RESPONSE_EXPIRY_NS };
    match &node.value {
        Value::Bool(on) => on.then_some(default),
        Value::Map(map) => response_limits(map, default, report),
        _ => {
            report.error(node, "error parsing response permissions, expected a boolean or a map");
            None
        }
    }
}

fn response_limits(
    map: &Map,
    mut limits: ResponsePermission,
    report: &mut Report,
) -> Option<ResponsePermission> {
    for (key, node) in map.iter() {
        match key.to_ascii_lowercase().as_str() {
            "max" | "max_msgs" | "max_messages" | "max_responses" => {
                limits.max = report.int(node).filter(|n| *n != 0).unwrap_or(limits.max);
            }
            "expires" | "expiration" | "ttl" => {
                let Value::String(text) = &node.value else {
                    report.error(node, "error parsing expires, not a duration string");
                    return None;
                };
                match duration::parse(text) {
                    Ok(0) => {}
                    Ok(ns) => limits.expires_ns = ns,
                    Err(err) => {
                        report.error(node, format!("error parsing expires: {err}"));
                        return None;
                    }
                }
            }
            _ => report.unknown_as(node, format!("Unknown field {key:?} parsing permissions")),
        }
    }
    Some(limits)
}
