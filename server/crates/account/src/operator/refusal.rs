//! Why a login by token is refused: what was checked, and what helps.

use super::template::TemplateError;
use crate::jwt::{ClaimsError, TokenError};
use crate::permissions::PermissionsError;
use std::net::IpAddr;

/// The check that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtRefusal {
    /// Nothing was presented.
    #[error(
        "no user JWT was presented, which operator mode requires; connect with a creds file, or \
         set default_sentinel"
    )]
    Missing,
    /// It is no user's token.
    #[error("user JWT not valid: {0}; issue it again, for example with nsc")]
    Token(#[from] TokenError),
    /// It says what it may not say.
    #[error("user JWT not valid: {0}; issue it again without that")]
    Claims(ClaimsError),
    /// Too late.
    #[error("user JWT of {user} has expired; issue a new one")]
    Expired {
        /// Public user key.
        user: String,
    },
    /// Too early.
    #[error("user JWT of {user} is not valid yet; check nbf of the JWT and the clocks")]
    Early {
        /// Public user key.
        user: String,
    },
    /// Not an account of this server.
    #[error("account {account} is not among resolver_pinned_accounts; add it there to admit it")]
    NotPinned {
        /// Public account key.
        account: String,
    },
    /// No token of the account is to be had.
    #[error("account {account} is not known; push its JWT to the resolver")]
    AccountUnknown {
        /// Public account key.
        account: String,
    },
    /// The account belongs to somebody else.
    #[error(
        "account {account} is signed by {issuer}, which is no trusted operator key; sign it with \
         a key of the operator"
    )]
    AccountNotTrusted {
        /// Public account key.
        account: String,
        /// Who signed it.
        issuer: String,
    },
    /// Not signed by the account.
    #[error(
        "user JWT of {user} is signed by {issuer}, which is no signing key of account {account}; \
         add the key to the account or sign the user again"
    )]
    IssuerUnknown {
        /// Public user key.
        user: String,
        /// Who signed it.
        issuer: String,
        /// Public account key.
        account: String,
    },
    /// A scoped key signed it, and it has permissions of its own.
    #[error(
        "user JWT of {user} has permissions or limits, but its signing key sets them; issue it \
         without"
    )]
    Scoped {
        /// Public user key.
        user: String,
    },
    /// The template of a scope does not fit.
    #[error("the role of user {user} cannot be applied: {cause}")]
    Template {
        /// Public user key.
        user: String,
        /// What is wrong.
        cause: TemplateError,
    },
    /// The permissions are none.
    #[error("permissions of user {user}: {cause}")]
    Permissions {
        /// Public user key.
        user: String,
        /// What is wrong.
        cause: PermissionsError,
    },
    /// The account's token is too old.
    #[error("the JWT of account {account} has expired; push a new one to the resolver")]
    AccountExpired {
        /// Public account key.
        account: String,
    },
    /// Bearer tokens are not wanted.
    #[error(
        "user {user} has a bearer token, which account {account} disallows; issue one without \
         bearer_token"
    )]
    Bearer {
        /// Public user key.
        user: String,
        /// Public account key.
        account: String,
    },
    /// It is revoked.
    #[error("user {user} is revoked by its account; issue a new JWT, or clear the revocation")]
    Revoked {
        /// Public user key.
        user: String,
    },
    /// From the wrong place.
    #[error("user {user} may not connect from {}; see src of its JWT", peer(*.from))]
    Source {
        /// Public user key.
        user: String,
        /// Where it is.
        from: Option<IpAddr>,
    },
    /// At the wrong time.
    #[error("user {user} may not connect at this time of day; see times of its JWT")]
    Times {
        /// Public user key.
        user: String,
    },
}

fn peer(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "an unknown address".to_owned(), |ip| ip.to_string())
}
