//! What a peer presents to log in.

use crate::certificate::CertificateNames;

/// What kind of connection logs in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ConnectionKind {
    /// A client over TCP or TLS.
    #[default]
    Standard,
    /// A client over WebSocket.
    Websocket,
    /// A leafnode.
    Leafnode,
    /// A leafnode over WebSocket.
    LeafnodeWs,
    /// An MQTT client.
    Mqtt,
    /// An MQTT client over WebSocket.
    MqttWs,
    /// A part of the server itself.
    InProcess,
}

impl ConnectionKind {
    /// The name used in `allowed_connection_types`.
    pub fn name(self) -> &'static str {
        match self {
            ConnectionKind::Standard => "STANDARD",
            ConnectionKind::Websocket => "WEBSOCKET",
            ConnectionKind::Leafnode => "LEAFNODE",
            ConnectionKind::LeafnodeWs => "LEAFNODE_WS",
            ConnectionKind::Mqtt => "MQTT",
            ConnectionKind::MqttWs => "MQTT_WS",
            ConnectionKind::InProcess => "IN_PROCESS",
        }
    }
}

/// The fields of CONNECT that matter, empty where absent, and what the server
/// knows of the connection.
#[derive(Clone, Copy, Default)]
pub struct Login<'a> {
    /// User name.
    pub user: &'a str,
    /// Password.
    pub pass: &'a str,
    /// Token.
    pub token: &'a str,
    /// Public user key.
    pub nkey: &'a str,
    /// User JWT; only means something in operator mode.
    pub jwt: &'a str,
    /// Signature of the nonce, base64.
    pub sig: &'a str,
    /// The nonce string that INFO offered.
    pub nonce: &'a str,
    /// Kind of connection.
    pub kind: ConnectionKind,
    /// With `verify_and_map` on this listener: the names of the verified
    /// certificate.
    pub certificate_names: Option<&'a CertificateNames>,
    /// Now, ns since the epoch.
    pub now: i64,
    /// Address of the peer.
    pub peer: Option<std::net::IpAddr>,
    /// Signature of the nonce by a proxy, base64.
    pub proxy_sig: &'a str,
    /// It came through a trusted proxy; [`crate::AccountSet::authenticate`] finds
    /// that out from `proxy_sig`.
    pub via_trusted_proxy: bool,
}

impl std::fmt::Debug for Login<'_> {
    /// Without secrets: logins end up in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("nkey", &self.nkey)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
