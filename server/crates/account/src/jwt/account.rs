//! Claims of an account.

use super::claims::{ClaimKind, Claims, Revocations};
use super::exchange::{Export, Import};
use super::user::{Permissions, UserPermissionLimits};
use super::v1::keep;
use super::{NO_LIMIT, is_default};
use crate::nkey::KeyKind;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A token of an account, signed by an operator's key (or, before an operator
/// has seen it, by itself).
pub type AccountClaims = Claims<AccountData>;

/// `nats` of an account's token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountData {
    /// What it imports.
    #[serde(skip_serializing_if = "is_default")]
    pub imports: Vec<Import>,
    /// What others may import.
    #[serde(skip_serializing_if = "is_default")]
    pub exports: Vec<Export>,
    /// Limits set by the operator. A missing limit is 0: nothing allowed.
    pub limits: Limits,
    /// Keys besides its own that sign users and activations.
    #[serde(skip_serializing_if = "is_default")]
    pub signing_keys: Vec<SigningKey>,
    /// Users whose tokens are void.
    #[serde(skip_serializing_if = "is_default")]
    pub revocations: Revocations,
    /// For users without permissions of their own.
    #[serde(skip_serializing_if = "is_default")]
    pub default_permissions: Permissions,
    /// What clients' publishes are renamed to.
    #[serde(skip_serializing_if = "is_default")]
    pub mappings: BTreeMap<String, Vec<Mapping>>,
    /// Logins are decided by a service of this account.
    #[serde(skip_serializing_if = "is_default")]
    pub authorization: ExternalAuthorization,
    /// Where sampled messages are traced to.
    #[serde(skip_serializing_if = "is_default")]
    pub trace: Option<Trace>,
    /// Account that carries JetStream's replication.
    #[serde(skip_serializing_if = "is_default")]
    pub cluster_traffic: ClusterTraffic,
    /// For people.
    #[serde(skip_serializing_if = "is_default")]
    pub description: String,
    /// For people.
    #[serde(skip_serializing_if = "is_default")]
    pub info_url: String,
    /// Labels, lower case.
    #[serde(skip_serializing_if = "is_default")]
    pub tags: Vec<String>,
}

/// Limits of an account; -1: none, 0: nothing allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Subscriptions of a connection.
    #[serde(skip_serializing_if = "is_default")]
    pub subs: i64,
    /// Bytes in all; not enforced by any server.
    #[serde(skip_serializing_if = "is_default")]
    pub data: i64,
    /// Bytes of a message.
    #[serde(skip_serializing_if = "is_default")]
    pub payload: i64,
    /// Imports.
    #[serde(skip_serializing_if = "is_default")]
    pub imports: i64,
    /// Exports.
    #[serde(skip_serializing_if = "is_default")]
    pub exports: i64,
    /// Exports may hold wildcards.
    #[serde(rename = "wildcards", skip_serializing_if = "is_default")]
    pub wildcard_exports: bool,
    /// Users must sign.
    #[serde(skip_serializing_if = "is_default")]
    pub disallow_bearer: bool,
    /// Connections.
    #[serde(skip_serializing_if = "is_default")]
    pub conn: i64,
    /// Leafnode connections.
    #[serde(skip_serializing_if = "is_default")]
    pub leaf: i64,
    /// JetStream of the account, unless it is tiered.
    #[serde(flatten)]
    pub jetstream: JetStreamLimits,
    /// JetStream by tier, `R1` and `R3`.
    #[serde(skip_serializing_if = "is_default")]
    pub tiered_limits: BTreeMap<String, JetStreamLimits>,
}

impl Limits {
    /// Everything allowed, JetStream not.
    #[must_use]
    pub fn unlimited() -> Limits {
        Limits {
            subs: NO_LIMIT,
            data: NO_LIMIT,
            payload: NO_LIMIT,
            imports: NO_LIMIT,
            exports: NO_LIMIT,
            wildcard_exports: true,
            conn: NO_LIMIT,
            leaf: NO_LIMIT,
            ..Limits::default()
        }
    }
}

/// JetStream limits. Storage: 0 is none at all, -1 no limit; the maxima of a
/// stream and of pending acks: 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JetStreamLimits {
    /// Bytes in memory.
    #[serde(skip_serializing_if = "is_default")]
    pub mem_storage: i64,
    /// Bytes in files.
    #[serde(skip_serializing_if = "is_default")]
    pub disk_storage: i64,
    /// Streams.
    #[serde(skip_serializing_if = "is_default")]
    pub streams: i64,
    /// Consumers.
    #[serde(rename = "consumer", skip_serializing_if = "is_default")]
    pub consumers: i64,
    /// Pending acks of a consumer.
    #[serde(skip_serializing_if = "is_default")]
    pub max_ack_pending: i64,
    /// Bytes of one memory stream.
    #[serde(skip_serializing_if = "is_default")]
    pub mem_max_stream_bytes: i64,
    /// Bytes of one file stream.
    #[serde(skip_serializing_if = "is_default")]
    pub disk_max_stream_bytes: i64,
    /// Streams must set a maximum.
    #[serde(skip_serializing_if = "is_default")]
    pub max_bytes_required: bool,
}

/// A key that signs users and activations for the account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SigningKey {
    /// Public account key.
    pub key: String,
    /// What its users may do; `None`: what they say themselves.
    pub scope: Option<Box<Scope>>,
}

/// What all users of a signing key may do. Subjects may hold templates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// Name of the role, for people.
    pub role: String,
    /// For people.
    pub description: String,
    /// Limits that are missing are none.
    pub template: UserPermissionLimits,
}

/// The only kind of scope there is.
const USER_SCOPE: &str = "user_scope";

impl Serialize for SigningKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            kind: &'static str,
            key: &'a str,
            #[serde(flatten)]
            scope: &'a Scope,
        }
        match &self.scope {
            None => self.key.serialize(serializer),
            Some(scope) => {
                Written { kind: USER_SCOPE, key: &self.key, scope }.serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for SigningKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut map = match Value::deserialize(deserializer)? {
            Value::String(key) => return Ok(SigningKey { key, scope: None }),
            Value::Object(map) => map,
            _ => return Err(D::Error::custom("a signing key is neither a key nor a scope")),
        };
        if map.get("kind").and_then(Value::as_str) != Some(USER_SCOPE) {
            return Err(D::Error::custom("a signing key has an unknown kind of scope"));
        }
        let key = map.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
        let template = map.entry("template").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(template) = template {
            for limit in ["subs", "data", "payload"] {
                template.entry(limit).or_insert_with(|| NO_LIMIT.into());
            }
        }
        let scope = serde_json::from_value(Value::Object(map)).map_err(D::Error::custom)?;
        Ok(SigningKey { key, scope: Some(Box::new(scope)) })
    }
}

/// One destination of a mapping.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mapping {
    /// Subject, may hold `$1` and `{{function()}}`.
    pub subject: String,
    /// Percent; 0: 100.
    #[serde(skip_serializing_if = "is_default")]
    pub weight: u8,
    /// Only in this cluster, if not empty.
    #[serde(skip_serializing_if = "is_default")]
    pub cluster: String,
}

/// Who decides logins instead of the account's tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExternalAuthorization {
    /// Public keys of users that are let in without asking; empty: no service.
    #[serde(skip_serializing_if = "is_default")]
    pub auth_users: Vec<String>,
    /// Accounts the service may place users in besides its own, or `*`.
    #[serde(skip_serializing_if = "is_default")]
    pub allowed_accounts: Vec<String>,
    /// Public curve key: requests are sealed for it.
    #[serde(skip_serializing_if = "is_default")]
    pub xkey: String,
}

/// Where sampled messages are traced to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trace {
    /// Subject.
    #[serde(rename = "dest")]
    pub destination: String,
    /// Percent; 0: 100.
    #[serde(skip_serializing_if = "is_default")]
    pub sampling: i64,
}

/// Account that carries JetStream's replication.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterTraffic {
    /// The system account.
    #[default]
    System,
    /// The account itself.
    Owner,
    /// A word this version does not know; means nothing.
    #[serde(other)]
    Unknown,
}

impl ClaimKind for AccountData {
    const TYPE: &'static str = "account";
    const ISSUERS: &'static [KeyKind] = &[KeyKind::Account, KeyKind::Operator];
    const SUBJECT: Option<KeyKind> = Some(KeyKind::Account);

    fn from_v1(nats: &mut Map<String, Value>) {
        keep(nats, &["imports", "exports", "limits", "signing_keys", "revocations", "tags"]);
        if let Some(Value::Object(limits)) = nats.get_mut("limits") {
            let known = ["subs", "data", "payload", "imports", "exports", "wildcards"];
            keep(limits, &[&known[..], &["disallow_bearer", "conn", "leaf"]].concat());
        }
    }
}
