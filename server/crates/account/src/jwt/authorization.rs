//! Claims that an auth callout service answers with.

use super::claims::{ClaimKind, Claims};
use super::is_default;
use crate::nkey::KeyKind;
use serde::{Deserialize, Serialize};

/// The answer of an auth callout service: its subject is the user key of the
/// request, its audience the server's id.
pub type AuthorizationResponseClaims = Claims<AuthorizationResponseData>;

/// `nats` of the answer: a user's token, or an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthorizationResponseData {
    /// A user's token, or empty.
    #[serde(skip_serializing_if = "is_default")]
    pub jwt: String,
    /// Why the login is refused, or empty.
    #[serde(skip_serializing_if = "is_default")]
    pub error: String,
    /// The account, if a signing key of it is the issuer.
    #[serde(skip_serializing_if = "is_default")]
    pub issuer_account: String,
    /// Labels.
    #[serde(skip_serializing_if = "is_default")]
    pub tags: Vec<String>,
}

impl ClaimKind for AuthorizationResponseData {
    const TYPE: &'static str = "authorization_response";
    const ISSUERS: &'static [KeyKind] = &[KeyKind::Account];
    const SUBJECT: Option<KeyKind> = Some(KeyKind::User);
}
