//! Accounts and users as the rest of the server sees them.

use crate::exchange::{ExportRule, ImportRule};
use crate::operator::AccountToken;
use crate::permissions::Permissions;
use gust_config::options::accounts::{AccountLimits, JetStreamAccountLimits, MessageTrace};
use gust_subject::Mappings;
use std::sync::Arc;

/// An isolated space of subjects, immutable; what counts against its limits is
/// counted by the server, by name.
#[derive(Debug, Clone)]
pub struct Account {
    /// Unique name; `$G` is the global account.
    pub name: Arc<str>,
    /// Public account key, or empty.
    pub nkey: String,
    /// Server events and requests live here.
    pub is_system: bool,
    /// Limits on connections, subscriptions and payload; `None` fields: none.
    pub limits: AccountLimits,
    /// What clients' publishes are renamed to.
    pub mappings: Mappings,
    /// JetStream limits; `None`: the account has no JetStream. The global account
    /// has it when there are no others (besides the system account).
    pub jetstream: Option<JetStreamAccountLimits>,
    /// JetStream replication traffic runs in this account.
    pub cluster_traffic_owner: bool,
    /// What others may import, as written.
    pub exports: Vec<ExportRule>,
    /// What it imports, as written.
    pub imports: Vec<ImportRule>,
    /// Where sampled messages are traced to.
    pub message_trace: Option<MessageTrace>,
    /// What its token says, in operator mode.
    pub token: Option<Arc<AccountToken>>,
}

impl Account {
    /// An account of this name without rules.
    pub(crate) fn bare(name: Arc<str>, is_system: bool) -> Account {
        Account {
            nkey: name.to_string(),
            name,
            is_system,
            limits: AccountLimits::default(),
            mappings: Mappings::default(),
            jetstream: None,
            cluster_traffic_owner: false,
            exports: Vec::new(),
            imports: Vec::new(),
            message_trace: None,
            token: None,
        }
    }

    /// Name for people: that in its token, else its name.
    pub fn display_name(&self) -> &str {
        match &self.token {
            Some(token) if !token.claims.name.is_empty() => &token.claims.name,
            _ => &self.name,
        }
    }
}

/// Somebody who may log in.
#[derive(Clone)]
pub struct User {
    /// Name, or public key of an nkey user.
    pub name: Arc<str>,
    /// Whether it logs in by signature.
    pub is_nkey: bool,
    /// Where it belongs.
    pub account: Arc<Account>,
    /// What it may do; `None`: everything.
    pub permissions: Option<Arc<Permissions>>,
    /// Kinds of connection allowed, upper case; empty: all.
    pub allowed_connection_types: Vec<String>,
    /// Only through a trusted proxy.
    pub proxy_required: bool,
    /// Plain text or bcrypt hash; empty if none.
    pub(crate) pass: String,
}

impl std::fmt::Debug for User {
    /// Without the password: identities end up in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("account", &self.account.name)
            .finish_non_exhaustive()
    }
}
