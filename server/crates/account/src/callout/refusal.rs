//! Why a login that a service was asked about is refused.

use crate::jwt::{ClaimsError, TokenError};
use crate::nkey::OpenError;
use crate::permissions::PermissionsError;

/// For the log; the peer only learns that it is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalloutRefusal {
    /// The service said why, or nothing.
    #[error("the auth service of account {account:?} refuses: {reason}")]
    Denied {
        /// Account of the service.
        account: String,
        /// Its own words.
        reason: String,
    },
    /// Nobody answered in time.
    #[error(
        "the auth service of account {0:?} did not answer in time; see whether it is connected and \
         subscribed to $SYS.REQ.USER.AUTH, or raise authorization.timeout"
    )]
    Silent(String),
    /// The server has no room for another question.
    #[error(
        "{0} logins wait for the auth service already; add services in one queue group, or have \
         fewer clients reconnect at once"
    )]
    Full(usize),
    /// The request could not be made.
    #[error("no authorization request can be made: {0}")]
    Request(String),
    /// Sealed with other keys than xkey says.
    #[error("the answer of the auth service cannot be opened: {0}; compare its xkey with ours")]
    Open(#[from] OpenError),
    /// No text.
    #[error("the answer of the auth service is no token")]
    NoToken,
    /// The answer is no valid token.
    #[error("the answer of the auth service: {0}")]
    Response(TokenError),
    /// The answer says what it may not say.
    #[error("the answer of the auth service is not valid: {0}")]
    Content(&'static str),
    /// The answer is out of date.
    #[error("the answer of the auth service, or its user, is expired or not valid yet")]
    Time,
    /// The answer is for another request.
    #[error("the answer of the auth service is for user {0}, not for the one asked about")]
    Subject(String),
    /// The answer is for another server.
    #[error("the answer of the auth service is for server {0:?}; its aud must be server_id.id")]
    Audience(String),
    /// Signed by a stranger.
    #[error("the answer is signed by {0}, which is no key of the auth service's account")]
    Signer(String),
    /// The user's token is none.
    #[error("the user of the auth service: {0}")]
    User(TokenError),
    /// The user says what it may not say.
    #[error("the user of the auth service is not valid: {0}")]
    Claims(ClaimsError),
    /// The user is not signed by the configured issuer.
    #[error("the user of the auth service is signed by {got}, not by the issuer {wanted}")]
    Issuer {
        /// `auth_callout.issuer`.
        wanted: String,
        /// Who signed.
        got: String,
    },
    /// Only in operator mode a user may name its account this way.
    #[error("the user of the auth service names an issuer_account; its aud names the account here")]
    IssuerAccount,
    /// The account to place the user in.
    #[error("the auth service places the user in account {0:?}, which does not exist")]
    NoAccount(String),
    /// The service may not place users there.
    #[error(
        "the auth service of account {service} may not place users in account {account}; add it to \
         allowed_accounts of its authorization claim"
    )]
    NotAllowed {
        /// Account of the service.
        service: String,
        /// Where the user should go.
        account: String,
    },
    /// The rules changed while the service was asked.
    #[error("auth_callout was taken away while its service was asked; connect again")]
    Gone,
    /// Not from this address.
    #[error("the user of the auth service may not connect from this address")]
    Source,
    /// Not at this time.
    #[error("the user of the auth service may not connect at this time")]
    Times,
    /// Its permissions are no permissions.
    #[error("the user of the auth service: {0}")]
    Permissions(PermissionsError),
}
