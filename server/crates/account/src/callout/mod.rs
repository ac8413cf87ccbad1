//! Auth callout: a service decides logins (contract/core.md §4.5).
//!
//! [`crate::AuthDecision::Callout`] holds a [`CalloutQuestion`]; the shell makes the
//! request from it ([`request`]), publishes it, and hands what comes back to
//! [`AccountSet::callout_answer`].

mod answer;
#[cfg(test)]
mod answer_test;
mod refusal;
pub mod request;
mod scope;
#[cfg(test)]
mod scope_test;

pub use answer::{Answer, Answered};
pub use refusal::CalloutRefusal;

use crate::account::Account;
use crate::permissions::Permissions;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Subject of requests in the account of the service. Only the server publishes
/// to it.
pub const REQUEST_SUBJECT: &str = "$SYS.REQ.USER.AUTH";
/// Header with the server's public curve key in a sealed request.
pub const XKEY_HEADER: &str = "Nats-Server-Xkey";
/// `aud` of requests.
pub const REQUEST_AUDIENCE: &str = "nats-authorization-request";

/// `auth_callout` of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Callout {
    /// Where the service listens.
    pub(crate) account: Arc<Account>,
    /// Public account key that signs users.
    pub(crate) issuer: String,
    /// Public curve key of the service, or empty.
    pub(crate) xkey: String,
    /// Names and keys that are not asked about: the service's own.
    pub(crate) auth_users: BTreeSet<String>,
    /// Accounts whose users are asked about; empty: all.
    pub(crate) allowed: BTreeSet<String>,
    /// What users without permissions of their own may do, by account.
    pub(crate) defaults: BTreeMap<String, Arc<Permissions>>,
    /// Zone of times of day that name none.
    pub(crate) zone: TimeZone,
}

/// What to ask the service.
#[derive(Debug, Clone)]
pub struct CalloutQuestion {
    /// Account in which the service listens.
    pub account: Arc<Account>,
    /// `sub` of the request.
    pub issuer: String,
    /// Public curve key for which the request is sealed; empty: it is not.
    pub xkey: String,
    /// Whom the client says it is, as far as it says so: `client_info.user`.
    pub user: String,
    /// Name of the identity if the answer gives none; never a token.
    pub(crate) name: Arc<str>,
    /// A token that stands for the client's own, or empty.
    pub default_jwt: String,
    /// Trusted proxy it came through.
    pub(crate) proxy: Option<Arc<str>>,
}
