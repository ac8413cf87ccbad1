//! What can be wrong with exports and imports. The texts begin as nats-server's
//! do and go on with both sides of the matter.

use gust_subject::TransformError;

/// A rule that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}{what} {subject:?}: {fault}{between}")]
pub struct ExchangeError {
    /// Place in the file with a colon and a blank, or empty.
    pub at: String,
    /// `Error adding stream import` and the like.
    pub what: String,
    /// The subject as written.
    pub subject: String,
    /// What is wrong.
    pub fault: ExchangeFault,
    /// Which accounts it is about, in brackets.
    pub between: String,
}

/// See [`ExchangeError`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeFault {
    /// The exporting account does not exist, or is not loaded.
    #[error("account missing")]
    NoAccount,
    /// No export covers the subject and admits the importer.
    #[error("{0} import not authorized")]
    NotAuthorized(&'static str),
    /// The export wants an activation token and this one will not do.
    #[error("{kind} import not authorized: activation token: {cause}")]
    Activation {
        /// Stream or service.
        kind: &'static str,
        /// Why.
        cause: String,
    },
    /// A prefix with wildcards.
    #[error("stream import prefix can not contain wildcard tokens")]
    Prefix,
    /// The message would come back to where it started.
    #[error("import forms a cycle")]
    Cycle,
    /// The same exporter and subject twice.
    #[error("stream import already exists")]
    DuplicateStream,
    /// The same exporter and local subject twice.
    #[error(
        "duplicate service import subject {local:?}, previously used in import for account \
         {account:?}, subject {subject:?}"
    )]
    DuplicateService {
        /// Subject here.
        local: String,
        /// Exporter.
        account: String,
        /// Subject there.
        subject: String,
    },
    /// No subject, or no `*` at `account_token_position`.
    #[error("sublist: invalid subject")]
    Subject,
    /// Subject here and there do not fit together.
    #[error(
        "failed to create mapping transform for {kind} import subject from {from:?} to {to:?}: \
         {cause}"
    )]
    Transform {
        /// Stream or service.
        kind: &'static str,
        /// Source of the transform.
        from: String,
        /// Destination.
        to: String,
        /// What is wrong.
        cause: TransformError,
    },
    /// Measurements cannot be published there: no literal subject, or the
    /// account exports it as a service itself.
    #[error("invalid publish subject")]
    LatencySubject,
    /// Only a service with one answer can be measured.
    #[error("bad service response type")]
    LatencyResponse,
    /// Measurements need the system account.
    #[error("system account not setup")]
    NoSystemAccount,
}
