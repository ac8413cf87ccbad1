//! Exports, imports, and the tokens that activate imports.

use super::claims::{ClaimKind, Claims, Revocations};
use super::is_default;
use crate::nkey::KeyKind;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// What crosses accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Nothing was said.
    #[default]
    Unknown,
    /// Messages flow to the importer.
    Stream,
    /// Requests flow to the exporter.
    Service,
}

/// How many answers a service gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResponseType {
    /// Nothing was said: one.
    #[default]
    #[serde(rename = "")]
    Unset,
    /// One.
    Singleton,
    /// Many.
    Stream,
    /// One in parts.
    Chunked,
}

/// What may be imported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Export {
    /// For people.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Subject, may hold wildcards.
    pub subject: String,
    /// Stream or service.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Importers need an activation token.
    #[serde(skip_serializing_if = "is_default")]
    pub token_req: bool,
    /// Importing accounts whose activations are void.
    #[serde(skip_serializing_if = "is_default")]
    pub revocations: Revocations,
    /// Answers of a service.
    #[serde(skip_serializing_if = "is_default")]
    pub response_type: ResponseType,
    /// Nanoseconds for answers of a service; 0: default.
    #[serde(skip_serializing_if = "is_default")]
    pub response_threshold: i64,
    /// Measurements of a service.
    #[serde(skip_serializing_if = "is_default")]
    pub service_latency: Option<ServiceLatency>,
    /// 1-based token that must be the importer's key; 0: none.
    #[serde(skip_serializing_if = "is_default")]
    pub account_token_position: u32,
    /// For catalogues.
    #[serde(skip_serializing_if = "is_default")]
    pub advertise: bool,
    /// Message tracing may cross (services).
    #[serde(skip_serializing_if = "is_default")]
    pub allow_trace: bool,
    /// For people.
    #[serde(skip_serializing_if = "is_default")]
    pub description: String,
    /// For people.
    #[serde(skip_serializing_if = "is_default")]
    pub info_url: String,
}

/// Measurements of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceLatency {
    /// Which requests.
    pub sampling: Sampling,
    /// Subject they are published to.
    pub results: String,
}

/// Which requests are measured: so many percent, or 0: those whose headers ask
/// for it (written `headers`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sampling(pub i64);

impl Serialize for Sampling {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 0 { "headers".serialize(serializer) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Sampling {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) if text.eq_ignore_ascii_case("headers") => Ok(Sampling(0)),
            Value::Number(n) => n.as_i64().map(Sampling).ok_or_else(|| {
                D::Error::custom("latency sampling is neither a percentage nor \"headers\"")
            }),
            _ => Err(D::Error::custom("latency sampling is neither a percentage nor \"headers\"")),
        }
    }
}

/// What is imported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Import {
    /// For people.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Streams: subject in the exporting account. Services: subject there too if
    /// `local_subject` is given, else the subject here.
    pub subject: String,
    /// Public key of the exporting account.
    pub account: String,
    /// Activation token, or empty.
    #[serde(skip_serializing_if = "is_default")]
    pub token: String,
    /// Before there was `local_subject`. Streams: prefix here. Services: subject
    /// in the exporting account.
    #[serde(skip_serializing_if = "is_default")]
    pub to: String,
    /// Subject here; `$1` stands for the first wildcard of `subject`.
    #[serde(skip_serializing_if = "is_default")]
    pub local_subject: String,
    /// Stream or service.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Show the exporter who asks (services).
    #[serde(skip_serializing_if = "is_default")]
    pub share: bool,
    /// Message tracing may cross (streams).
    #[serde(skip_serializing_if = "is_default")]
    pub allow_trace: bool,
}

/// A token that lets one account import: its subject is the importing account,
/// its issuer the exporting one or a signing key of it.
pub type ActivationClaims = Claims<ActivationData>;

/// `nats` of an activation token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ActivationData {
    /// What may be imported, may hold wildcards.
    #[serde(rename = "subject")]
    pub import_subject: String,
    /// Stream or service.
    pub kind: Kind,
    /// The exporting account, if a signing key of it is the issuer.
    #[serde(skip_serializing_if = "is_default")]
    pub issuer_account: String,
    /// Labels.
    #[serde(skip_serializing_if = "is_default")]
    pub tags: Vec<String>,
}

impl ActivationClaims {
    /// Public key of the exporting account it speaks for.
    #[must_use]
    pub fn exporter(&self) -> &str {
        match self.nats.issuer_account.as_str() {
            "" => &self.issuer,
            account => account,
        }
    }
}

impl ClaimKind for ActivationData {
    const TYPE: &'static str = "activation";
    const ISSUERS: &'static [KeyKind] = &[KeyKind::Account, KeyKind::Operator];
    const SUBJECT: Option<KeyKind> = Some(KeyKind::Account);

    fn from_v1(nats: &mut Map<String, Value>) {
        // The kind of import was called type.
        if let Some(kind) = nats.remove("type") {
            nats.insert("kind".to_owned(), kind);
        }
    }
}
