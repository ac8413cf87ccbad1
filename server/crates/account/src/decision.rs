//! What comes of a login.

use crate::account::{Account, User};
use crate::permissions::Permissions;
use crate::texts;
use std::sync::Arc;

/// The answer to a login. Later variants: ask an auth callout, look up a JWT.
#[derive(Debug, Clone)]
pub enum AuthDecision {
    /// Let it in.
    Accept(Identity),
    /// Refuse and close.
    Refuse(Refusal),
    /// Compare a bcrypt hash on a worker: it takes tens of milliseconds by
    /// design. Accept `then` if it matches, else refuse with `otherwise`.
    CheckPassword {
        /// bcrypt hash.
        hash: Secret,
        /// What the peer sent.
        candidate: Secret,
        /// Who it is if they match.
        then: Identity,
        /// What to do if not.
        otherwise: Refusal,
    },
}

/// Who a connection is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The account it is in.
    pub account: Arc<Account>,
    /// Name for monitoring: user name or nkey; empty for a token or nobody.
    pub name: Arc<str>,
    /// The configured user, if there is one.
    pub user: Option<Arc<User>>,
    /// What it may do; `None`: everything.
    pub permissions: Option<Arc<Permissions>>,
}

/// A text that is not shown in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// A refused login: the peer learns `text`, the log `reason`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Text of the `-ERR`.
    pub text: &'static str,
    /// For the log and the closed connection's record.
    pub reason: RefusalReason,
}

/// Why a login was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusalReason {
    /// Nothing was presented and there is no `no_auth_user`.
    #[error("no credentials were presented")]
    NoCredentials,
    /// No such user.
    #[error("user {0:?} is not known")]
    UnknownUser(String),
    /// No user with this key.
    #[error("nkey {0:?} is not known")]
    UnknownNkey(String),
    /// Wrong password.
    #[error("wrong password for user {0:?}")]
    WrongPassword(String),
    /// Wrong token, or none.
    #[error("wrong token")]
    WrongToken,
    /// The signature of the nonce is missing or wrong.
    #[error("nonce signature of nkey {0:?} is not valid")]
    BadSignature(String),
    /// No name of the certificate is a user.
    #[error("no name of the client certificate is a user")]
    CertificateNotMapped,
    /// A user without password outside a listener that maps certificates.
    #[error("user {0:?} can only log in by certificate")]
    CertificateRequired(String),
    /// The user may not use this kind of connection.
    #[error("user {user:?} may not connect as {kind}")]
    ConnectionType {
        /// Who.
        user: String,
        /// [`crate::ConnectionKind::name`].
        kind: &'static str,
    },
    /// It did not come through a trusted proxy.
    #[error("user {0:?} must connect through a trusted proxy")]
    ProxyRequired(String),
}

impl From<RefusalReason> for Refusal {
    fn from(reason: RefusalReason) -> Self {
        Refusal { text: texts::AUTHORIZATION_VIOLATION, reason }
    }
}
