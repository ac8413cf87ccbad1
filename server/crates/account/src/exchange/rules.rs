//! Exports and imports as they were written, in a configuration or in an
//! account's JWT.

use gust_config::options::exchange::{ExchangeKind, Export, Import, Latency, ResponseType};
use std::collections::BTreeMap;

/// Time a responder has if the export does not say (contract/core.md §5).
pub const DEFAULT_THRESHOLD_NS: i64 = 120_000_000_000;

/// One export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRule {
    /// Stream or service.
    pub kind: ExchangeKind,
    /// Subject, may hold wildcards.
    pub subject: String,
    /// Who may import it.
    pub access: Access,
    /// Answers of a service.
    pub response: ResponseType,
    /// Nanoseconds for an answer of a service; not above 0: the default.
    pub threshold_ns: i64,
    /// Measurements of a service.
    pub latency: Option<Latency>,
    /// Message tracing may follow a request (services).
    pub allow_trace: bool,
    /// Where it was written, to stand before an error; may be empty.
    pub at: String,
}

/// Who may import an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// All accounts.
    Everybody,
    /// These accounts, by name.
    Accounts(Vec<String>),
    /// Whoever presents a token of the exporter. Revoked are, by account or `*`
    /// for all, tokens issued at or before a time in seconds.
    Token(BTreeMap<String, i64>),
    /// Whoever imports with its own name as this token of the subject, from 1.
    Position(usize),
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRule {
    /// Stream or service.
    pub kind: ExchangeKind,
    /// Exporting account.
    pub account: String,
    /// Subject there.
    pub subject: String,
    /// Subject here; empty: the same, after `prefix`.
    pub local: String,
    /// Put before the subject here (streams); may be empty.
    pub prefix: String,
    /// The exporter sees who asks (services).
    pub share: bool,
    /// Message tracing may follow a message (streams).
    pub allow_trace: bool,
    /// Activation token (JWT), or empty.
    pub token: String,
    /// Where it was written, to stand before an error; may be empty.
    pub at: String,
}

impl From<&Export> for ExportRule {
    fn from(e: &Export) -> Self {
        let access = match (usize::try_from(e.account_token_position), &e.accounts) {
            (Ok(position @ 1..), _) => Access::Position(position),
            (_, Some(names)) => Access::Accounts(names.clone()),
            (_, None) => Access::Everybody,
        };
        ExportRule {
            kind: e.kind,
            subject: e.subject.clone(),
            access,
            response: e.response,
            threshold_ns: e.response_threshold_ns,
            latency: e.latency.clone(),
            allow_trace: e.allow_trace,
            at: e.at.to_string(),
        }
    }
}

impl From<&Import> for ImportRule {
    fn from(i: &Import) -> Self {
        ImportRule {
            kind: i.kind,
            account: i.account.clone(),
            subject: i.subject.clone(),
            local: i.to.clone(),
            prefix: i.prefix.clone(),
            share: i.share,
            allow_trace: i.allow_trace,
            token: String::new(),
            at: i.at.to_string(),
        }
    }
}

impl ImportRule {
    /// What it is called in texts.
    pub(super) fn word(&self) -> &'static str {
        word(self.kind)
    }
}

pub(super) fn word(kind: ExchangeKind) -> &'static str {
    match kind {
        ExchangeKind::Stream => "stream",
        ExchangeKind::Service => "service",
    }
}
