//! Claims of an operator.

use super::claims::{ClaimKind, Claims};
use super::is_default;
use super::v1::keep;
use crate::nkey::KeyKind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A token of an operator, self-signed or signed by one of its keys.
pub type OperatorClaims = Claims<OperatorData>;

/// `nats` of an operator's token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperatorData {
    /// Keys besides its own that sign accounts.
    #[serde(skip_serializing_if = "is_default")]
    pub signing_keys: Vec<String>,
    /// Where tools find account tokens.
    #[serde(skip_serializing_if = "is_default")]
    pub account_server_url: String,
    /// Where clients connect.
    #[serde(skip_serializing_if = "is_default")]
    pub operator_service_urls: Vec<String>,
    /// Public key of the system account.
    #[serde(skip_serializing_if = "is_default")]
    pub system_account: String,
    /// Least server version, `major.minor.update`.
    #[serde(skip_serializing_if = "is_default")]
    pub assert_server_version: String,
    /// Its own key does not sign accounts.
    #[serde(skip_serializing_if = "is_default")]
    pub strict_signing_key_usage: bool,
    /// Labels.
    #[serde(skip_serializing_if = "is_default")]
    pub tags: Vec<String>,
}

impl ClaimKind for OperatorData {
    const TYPE: &'static str = "operator";
    const ISSUERS: &'static [KeyKind] = &[KeyKind::Operator];
    const SUBJECT: Option<KeyKind> = Some(KeyKind::Operator);

    fn from_v1(nats: &mut Map<String, Value>) {
        let known = ["signing_keys", "account_server_url", "operator_service_urls"];
        keep(nats, &[&known[..], &["system_account", "tags"]].concat());
    }
}
