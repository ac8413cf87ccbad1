//! Claims of a user.

use super::claims::{ClaimKind, Claims};
use super::v1::keep;
use super::{NO_LIMIT, is_default};
use crate::nkey::KeyKind;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A token of a user, signed by its account or one of the account's keys.
pub type UserClaims = Claims<UserData>;

/// `nats` of a user's token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserData {
    /// What it may do.
    #[serde(flatten)]
    pub limits: UserPermissionLimits,
    /// The account, if a signing key of it is the issuer.
    #[serde(skip_serializing_if = "is_default")]
    pub issuer_account: String,
    /// Labels, lower case; `key:value` where templates use them.
    #[serde(skip_serializing_if = "is_default")]
    pub tags: Vec<String>,
}

/// What a user may do: its own, or the template of a scoped signing key. All
/// zero means that nothing is said, which is what a scoped user must say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserPermissionLimits {
    /// Subjects.
    #[serde(flatten)]
    pub permissions: Permissions,
    /// Networks it may come from, `10.0.0.0/8`; empty: any.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "networks")]
    pub src: Vec<String>,
    /// Times of day it may be connected; empty: any.
    #[serde(skip_serializing_if = "is_default")]
    pub times: Vec<TimeRange>,
    /// IANA zone of `times`.
    #[serde(skip_serializing_if = "is_default")]
    pub times_location: String,
    /// Subscriptions; -1: no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub subs: i64,
    /// Bytes in all; not enforced by any server.
    #[serde(skip_serializing_if = "is_default")]
    pub data: i64,
    /// Bytes of a message; -1: no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub payload: i64,
    /// No signature is asked for.
    #[serde(skip_serializing_if = "is_default")]
    pub bearer_token: bool,
    /// Only through a trusted proxy.
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_required: bool,
    /// Kinds of connection; empty: any.
    #[serde(skip_serializing_if = "is_default")]
    pub allowed_connection_types: Vec<String>,
}

/// Subjects to publish and subscribe to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Permissions {
    /// Publishing.
    #[serde(rename = "pub")]
    pub publish: Permission,
    /// Subscribing; entries may be `subject queue`.
    #[serde(rename = "sub")]
    pub subscribe: Permission,
    /// Answering requests.
    #[serde(rename = "resp", skip_serializing_if = "is_default")]
    pub responses: Option<Responses>,
}

/// One direction; both empty: anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Permission {
    /// Allowed; empty: all.
    #[serde(skip_serializing_if = "is_default")]
    pub allow: Vec<String>,
    /// Denied all the same.
    #[serde(skip_serializing_if = "is_default")]
    pub deny: Vec<String>,
}

/// Limits of answering.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Responses {
    /// Messages per request; 0: default, negative: no limit.
    pub max: i64,
    /// Nanoseconds since the request; 0: default, negative: no limit.
    pub ttl: i64,
}

/// A part of each day, `HH:MM:SS`; may go past midnight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TimeRange {
    /// First moment excluded.
    pub start: String,
    /// When it ends.
    pub end: String,
}

/// A list, or as older tools wrote it, one text with commas.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::List(list) => list,
        Written::Text(text) => {
            let parts = text.split(',').map(|part| part.trim().to_ascii_lowercase());
            parts.filter(|part| !part.is_empty()).collect()
        }
    })
}

impl ClaimKind for UserData {
    const TYPE: &'static str = "user";
    const ISSUERS: &'static [KeyKind] = &[KeyKind::Account];
    const SUBJECT: Option<KeyKind> = Some(KeyKind::User);

    fn from_v1(nats: &mut Map<String, Value>) {
        let known = ["pub", "sub", "resp", "src", "times", "times_location", "bearer_token"];
        let limits = ["subs", "data", "payload"];
        keep(nats, &[&known[..], &limits, &["issuer_account", "tags"]].concat());
        for limit in limits {
            nats.entry(limit).or_insert_with(|| NO_LIMIT.into());
        }
    }
}
