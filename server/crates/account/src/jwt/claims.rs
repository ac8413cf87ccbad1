//! What all tokens share.

use super::is_default;
use crate::nkey::KeyKind;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Public keys, or `*`, with the Unix time up to which their tokens are void.
pub type Revocations = BTreeMap<String, i64>;

/// Whether a token for `subject` made at `issued_at` (Unix seconds) is revoked.
#[must_use]
pub fn is_revoked(revocations: &Revocations, subject: &str, issued_at: i64) -> bool {
    [subject, "*"].iter().any(|key| revocations.get(*key).is_some_and(|at| *at >= issued_at))
}

/// A token's claims. Times are Unix seconds, 0 if absent; texts are empty if
/// absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claims<T> {
    /// `aud`: whom it is for.
    #[serde(rename = "aud", skip_serializing_if = "is_default")]
    pub audience: String,
    /// `exp`: not valid from then on.
    #[serde(rename = "exp", skip_serializing_if = "is_default")]
    pub expires: i64,
    /// `jti`: a digest of the claims.
    #[serde(rename = "jti", skip_serializing_if = "is_default")]
    pub id: String,
    /// `iat`: when it was made.
    #[serde(rename = "iat", skip_serializing_if = "is_default")]
    pub issued_at: i64,
    /// `iss`: public key that signed it.
    #[serde(rename = "iss", skip_serializing_if = "is_default")]
    pub issuer: String,
    /// Name for people.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// `nbf`: not valid before.
    #[serde(rename = "nbf", skip_serializing_if = "is_default")]
    pub not_before: i64,
    /// `sub`: public key it is about.
    #[serde(rename = "sub", skip_serializing_if = "is_default")]
    pub subject: String,
    /// What this type of token says.
    pub nats: T,
    /// Version it was written in, 1 or 2. A version 1 token is brought to the
    /// shape of version 2 when it is read.
    #[serde(skip)]
    pub version: u8,
}

impl<T> Claims<T> {
    /// Whether it has expired at `now` (Unix seconds): from the second on that it
    /// names, so that a timer for that second finds it expired. A time before 1970
    /// has expired.
    #[must_use]
    pub fn is_expired(&self, now: i64) -> bool {
        self.expires != 0 && now >= self.expires
    }

    /// Whether it is not valid yet at `now` (Unix seconds).
    #[must_use]
    pub fn is_early(&self, now: i64) -> bool {
        self.not_before > 0 && self.not_before > now
    }
}

/// A type of token.
pub trait ClaimKind: Default + Serialize + DeserializeOwned {
    /// `nats.type`; `generic` takes any type without a meaning of its own.
    const TYPE: &'static str;
    /// Keys that may sign it; empty: any.
    const ISSUERS: &'static [KeyKind];
    /// The key it is about; `None`: anything.
    const SUBJECT: Option<KeyKind>;

    /// Brings the `nats` part of a version 1 token to the shape of version 2.
    fn from_v1(_nats: &mut Map<String, Value>) {}
}

/// A token of no other type, as `nsc` uses it to delete accounts: the `nats`
/// part as it stands.
pub type GenericClaims = Claims<Map<String, Value>>;

impl ClaimKind for Map<String, Value> {
    const TYPE: &'static str = "generic";
    const ISSUERS: &'static [KeyKind] = &[];
    const SUBJECT: Option<KeyKind> = None;
}

impl GenericClaims {
    /// `nats.accounts`: the accounts a delete request names. Entries that are no
    /// text are left out.
    #[must_use]
    pub fn accounts(&self) -> Vec<&str> {
        let list = self.nats.get("accounts").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}
