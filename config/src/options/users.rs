//! `users [ … ]`: names with passwords, or nkeys, and what they may do.

use super::permissions::{self, Permissions};
use super::report::Report;
use crate::nkey::{self, KeyKind};
use crate::value::{Node, Value};

/// The account of users that name none.
pub const GLOBAL_ACCOUNT: &str = "$G";

/// Somebody who may connect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Name; empty for an nkey user.
    pub user: String,
    /// Plain text or bcrypt hash; empty if none.
    pub pass: String,
    /// Public user key of an nkey user.
    pub nkey: Option<String>,
    /// Own permissions, or the defaults of the block.
    pub permissions: Option<Permissions>,
    /// Name of the account the user belongs to.
    pub account: String,
    /// Kinds of connection allowed, upper case; empty: all.
    pub allowed_connection_types: Vec<String>,
    /// Only through a trusted proxy.
    pub proxy_required: bool,
}

impl User {
    /// What must be unique on a server: the nkey or the name.
    #[must_use]
    pub fn identity(&self) -> &str {
        self.nkey.as_deref().unwrap_or(&self.user)
    }
}

/// Connection types as they may be written, in any case.
pub const CONNECTION_TYPES: [&str; 7] =
    ["STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS"];

/// Reads the array; after a broken entry the rest is not read, as in nats-server.
pub(crate) fn parse(node: &Node, account: &str, report: &mut Report) -> Option<Vec<User>> {
    let Value::Array(items) = &node.value else {
        let reason = format!("Expected users field to be an array, got {}", node.value);
        report.error(node, reason);
        return None;
    };
    let mut users = Vec::with_capacity(items.len());
    for item in items {
        let Value::Map(_) = &item.value else {
            let reason = format!("Expected user entry to be a map/struct, got {}", item.value);
            report.error(item, reason);
            continue;
        };
        users.push(user(item, account, report)?);
    }
    Some(users)
}

fn user(node: &Node, account: &str, report: &mut Report) -> Option<User> {
    let mut user = User { account: account.to_owned(), ..User::default() };
    let mut last = node;
    for (key, node) in report.map(node)?.iter() {
        last = node;
        match key.to_ascii_lowercase().as_str() {
            "nkey" => user.nkey = report.string(node).filter(|key| !key.is_empty()),
            "user" | "username" => user.user = report.string(node)?,
            "pass" | "password" => user.pass = report.string(node)?,
            "permission" | "permissions" | "authorization" => {
                user.permissions = permissions::parse(node, report);
            }
            "allowed_connection_types" | "connection_types" | "clients" => {
                user.allowed_connection_types = connection_types(node, report);
            }
            "proxy_required" => user.proxy_required = report.boolean(node).unwrap_or(false),
            _ => report.unknown(key, node),
        }
    }
    let wrong = match &user.nkey {
        None if user.user.is_empty() => "User entry requires a user",
        None => return Some(user),
        Some(key) if !nkey::is_public(key, KeyKind::User) => "Not a valid public nkey for a user",
        Some(_) if !user.user.is_empty() || !user.pass.is_empty() => {
            "Nkey users do not take usernames or passwords"
        }
        Some(_) => return Some(user),
    };
    report.error(last, wrong);
    None
}

fn connection_types(node: &Node, report: &mut Report) -> Vec<String> {
    let mut types = Vec::new();
    for written in report.one_or_more("allowed connection types", node).unwrap_or_default() {
        let name = written.to_ascii_uppercase();
        if !CONNECTION_TYPES.contains(&name.as_str()) {
            report.error(node, format!("invalid connection types [{name:?}]"));
        } else if !types.contains(&name) {
            types.push(name);
        }
    }
    types
}

/// Gives the defaults to everybody without permissions.
pub(crate) fn apply_default_permissions(users: &mut [User], default: Option<&Permissions>) {
    let Some(default) = default else { return };
    for user in users.iter_mut().filter(|user| user.permissions.is_none()) {
        user.permissions = Some(default.clone());
    }
}
