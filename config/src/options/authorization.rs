//! `authorization { … }`: one user, one token, or a list of users; and auth callout.

use super::permissions::{self, Permissions};
use super::report::Report;
use super::users::{self, GLOBAL_ACCOUNT, User};
use crate::duration::SECOND_NS;
use crate::nkey::{self, KeyKind};
use crate::value::{Node, Value};

/// Timeouts above this are probably an unquoted duration and earn a warning.
const HIGH_TIMEOUT_NS: i64 = 60 * SECOND_NS;

/// The block of the server, of `cluster` and of `gateway`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorization {
    /// Name of the only user, or empty.
    pub user: String,
    /// Its password, or empty.
    pub pass: String,
    /// The only token, or empty.
    pub token: String,
    /// Time to log in; 0: default.
    pub timeout_ns: i64,
    /// Users of the global account.
    pub users: Vec<User>,
    /// `users` was written, even if empty.
    pub has_users: bool,
    /// For users without their own; already applied to `users`.
    pub default_permissions: Option<Permissions>,
    /// A service that decides logins.
    pub auth_callout: Option<AuthCallout>,
    /// Everybody must come through a trusted proxy.
    pub proxy_required: bool,
    /// The block was written.
    pub defined: bool,
}

/// `auth_callout { … }`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthCallout {
    /// Public account key that signs the answers.
    pub issuer: String,
    /// Account in which the service listens.
    pub account: String,
    /// Users who log in without the callout.
    pub auth_users: Vec<String>,
    /// Public curve key for sealed requests, or empty.
    pub xkey: String,
    /// Accounts whose users are asked about; empty: all.
    pub allowed_accounts: Vec<String>,
}

pub(crate) fn parse(node: &Node, report: &mut Report) -> Option<Authorization> {
    let mut auth = Authorization { defined: true, ..Authorization::default() };
    for (key, node) in report.map(node)?.iter() {
        match key.to_ascii_lowercase().as_str() {
            "user" | "username" => auth.user = report.string(node).unwrap_or_default(),
            "pass" | "password" => auth.pass = report.string(node).unwrap_or_default(),
            "token" => auth.token = report.string(node).unwrap_or_default(),
            "timeout" => {
                auth.timeout_ns = timeout("error parsing authorization config", key, node, report)?;
            }
            "users" => {
                auth.users = users::parse(node, GLOBAL_ACCOUNT, report).unwrap_or_default();
                auth.has_users = true;
            }
            "default_permission" | "default_permissions" | "permissions" => {
                auth.default_permissions = permissions::parse(node, report);
            }
            "auth_callout" | "auth_hook" => auth.auth_callout = callout(node, report),
            "proxy_required" => auth.proxy_required = report.boolean(node).unwrap_or(false),
            _ => report.unknown(key, node),
        }
    }
    users::apply_default_permissions(&mut auth.users, auth.default_permissions.as_ref());
    Some(auth)
}

/// A login timeout, with a warning when it looks like a mistake.
pub(crate) fn timeout(context: &str, key: &str, node: &Node, report: &mut Report) -> Option<i64> {
    let ns = report.timeout(context, node)?;
    if ns > HIGH_TIMEOUT_NS {
        let seconds = match node.value {
            // The saturated nanoseconds would show a wrong number.
            Value::Int(seconds) => seconds as f64,
            Value::Float(seconds) => seconds,
            _ => ns as f64 / SECOND_NS as f64,
        };
        let reason = format!(
            "timeout of {} ({seconds:.6} seconds) is high, consider keeping it under 60 seconds. \
             possibly caused by unquoted duration; use '1m' instead of 1m, for example",
            node.value
        );
        report.warn_use(key, node, reason);
    }
    Some(ns)
}

fn callout(node: &Node, report: &mut Report) -> Option<AuthCallout> {
    let Value::Map(map) = &node.value else {
        let reason =
            format!("Expected authorization callout to be a map/struct, got {}", node.value);
        report.error(node, reason);
        return None;
    };
    let mut callout = AuthCallout { account: GLOBAL_ACCOUNT.to_owned(), ..AuthCallout::default() };
    let mut last = node;
    for (key, node) in map.iter() {
        last = node;
        match key.to_ascii_lowercase().as_str() {
            "issuer" => {
                callout.issuer = report.string(node)?;
                if !nkey::is_public(&callout.issuer, KeyKind::Account) {
                    let reason = format!(
                        "Expected callout user to be a valid public account nkey, got {:?}",
                        callout.issuer
                    );
                    report.error(node, reason);
                    return None;
                }
            }
            "account" | "acc" => callout.account = report.string(node)?,
            "auth_users" | "users" => {
                callout.auth_users = names("auth_users field", node, report)?;
            }
            "xkey" | "key" => {
                callout.xkey = report.string(node)?;
                if !nkey::is_public(&callout.xkey, KeyKind::Curve) {
                    let reason = format!(
                        "Expected callout xkey to be a valid public xkey, got {:?}",
                        callout.xkey
                    );
                    report.error(node, reason);
                    return None;
                }
            }
            "allowed_accounts" => {
                callout.allowed_accounts = names("allowed accounts field", node, report)?;
            }
            _ => report
                .unknown_as(node, format!("Unknown field {key:?} parsing authorization callout")),
        }
    }
    if callout.account.is_empty() {
        GLOBAL_ACCOUNT.clone_into(&mut callout.account);
    }
    let missing = if callout.issuer.is_empty() {
        "Authorization callouts require an issuer to be specified"
    } else if callout.auth_users.is_empty() {
        "Authorization callouts require authorized users to be specified"
    } else {
        return Some(callout);
    };
    report.error(last, missing);
    None
}

fn names(what: &str, node: &Node, report: &mut Report) -> Option<Vec<String>> {
    if !matches!(node.value, Value::Array(_)) {
        let got = node.value.go_type();
        report.error(node, format!("Expected {what} to be an array, got {got}"));
        return None;
    }
    report.strings(node)
}

/// `authorization` of `websocket` and `mqtt`: one user or token only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SimpleAuthorization {
    /// Name, or empty.
    pub user: String,
    /// Password, or empty.
    pub pass: String,
    /// Token, or empty.
    pub token: String,
    /// Time to log in; 0: default.
    pub timeout_ns: i64,
}

pub(crate) fn parse_simple(node: &Node, report: &mut Report) -> Option<SimpleAuthorization> {
    let mut auth = SimpleAuthorization::default();
    for (key, node) in report.map(node)?.iter() {
        match key.to_ascii_lowercase().as_str() {
            "user" | "username" => auth.user = report.string(node).unwrap_or_default(),
            "pass" | "password" => auth.pass = report.string(node).unwrap_or_default(),
            "token" => auth.token = report.string(node).unwrap_or_default(),
            "timeout" => {
                auth.timeout_ns =
                    report.timeout("error parsing authorization config", node).unwrap_or(0);
            }
            _ => report.unknown(key, node),
        }
    }
    Some(auth)
}
