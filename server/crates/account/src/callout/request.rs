//! The authorization request: what a service is told about a login.

use crate::jwt::{ClaimKind, Claims};
use crate::nkey::KeyKind;
use serde::{Deserialize, Serialize};

/// A request, signed by the server.
pub type AuthorizationRequestClaims = Claims<AuthorizationRequest>;

/// `nats` of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthorizationRequest {
    /// Who asks.
    pub server_id: ServerId,
    /// The user key that the answer has to name: new for each request, so that no
    /// answer serves twice.
    pub user_nkey: String,
    /// Who wants to log in.
    pub client_info: ClientInformation,
    /// What it presented.
    pub connect_opts: ConnectOptions,
    /// Its TLS connection, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_tls: Option<ClientTls>,
}

/// The server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerId {
    /// Its name.
    pub name: String,
    /// Its address.
    pub host: String,
    /// Its public key: `aud` of the answer.
    pub id: String,
    /// Version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its public curve key, if the request is sealed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub xkey: String,
}

/// The client as the server sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientInformation {
    /// Its address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Connection id.
    pub id: u64,
    /// Whom it says it is: nkey, user name or token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Name of the connection.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `Client` or `Leafnode`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// `nats`, `websocket` or `mqtt`.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub client_type: String,
    /// MQTT client id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mqtt_id: String,
    /// The nonce, if `connect_opts.sig` signs it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
}

/// What CONNECT said.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectOptions {
    /// User token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jwt: String,
    /// Public user key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nkey: String,
    /// Signature of the nonce.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sig: String,
    /// Token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth_token: String,
    /// User name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Password.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pass: String,
    /// Name of the connection.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Language of its library.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lang: String,
    /// Version of its library.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Protocol level.
    pub protocol: i64,
}

impl std::fmt::Debug for ConnectOptions {
    /// Without secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("user", &self.user)
            .field("nkey", &self.nkey)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The client's TLS connection. Certificates are PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientTls {
    /// `1.2` or `1.3`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Cipher suite.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cipher: String,
    /// What the client presented without being verified.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certs: Vec<String>,
    /// Verified chains, each from the client's own certificate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verified_chains: Vec<Vec<String>>,
}

impl ClaimKind for AuthorizationRequest {
    const TYPE: &'static str = "authorization_request";
    const ISSUERS: &'static [KeyKind] = &[KeyKind::Server];
    const SUBJECT: Option<KeyKind> = None;
}
