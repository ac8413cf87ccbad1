//! The INFO document a client gets (contract/core.md §1.2).

use serde::{Deserialize, Serialize};

/// INFO to clients. Field order is nats-server's, and empty or false optional
/// fields are left out as there: some clients compare the text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// Public key of the server, new at each start.
    pub server_id: String,
    /// `server_name`, by default the id.
    pub server_name: String,
    /// The NATS version whose behaviour clients may expect.
    pub version: String,
    /// Protocol level of the server: 1.
    pub proto: i32,
    /// Source revision, if known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub git_commit: String,
    /// nats-server puts its compiler here; the key must exist.
    pub go: String,
    /// Address to connect to: the bound one or `client_advertise`.
    pub host: String,
    /// Port to connect to.
    pub port: u16,
    /// Whether messages may have headers.
    pub headers: bool,
    /// CONNECT must carry credentials.
    #[serde(skip_serializing_if = "is_false")]
    pub auth_required: bool,
    /// The client must upgrade to TLS.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_required: bool,
    /// The client must show a certificate.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_verify: bool,
    /// The client may upgrade to TLS.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_available: bool,
    /// Most bytes of headers plus payload; -1 = unlimited.
    pub max_payload: i64,
    /// Whether JetStream is on.
    #[serde(skip_serializing_if = "is_false")]
    pub jetstream: bool,
    /// The connection's id.
    #[serde(skip_serializing_if = "is_zero")]
    pub client_id: u64,
    /// The client's address as the server sees it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_ip: String,
    /// Challenge to sign, first INFO only.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// Cluster name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// JetStream domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Servers of the cluster, `host:port`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect_urls: Vec<String>,
    /// Lame duck: the client should go elsewhere.
    #[serde(skip_serializing_if = "is_false")]
    pub ldm: bool,
    /// This is the INFO that follows CONNECT.
    #[serde(skip_serializing_if = "is_false")]
    pub connect_info: bool,
    /// The account the connection was bound to, second INFO only.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remote_account: String,
    /// Whether that is the system account, second INFO only.
    #[serde(skip_serializing_if = "is_false")]
    pub acc_is_sys: bool,
    /// JetStream API level.
    #[serde(skip_serializing_if = "is_zero_i32")]
    pub api_lvl: i32,
    /// The server's curve key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub xkey: String,
}

impl Info {
    /// The document as JSON, for [`crate::client::encode::info_line`].
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and integers only: serialising cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn is_false(b: &bool) -> bool {
    !*b
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn is_zero_i32(n: &i32) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_omission_are_the_contracts() {
        let info = Info {
            server_id: "NID".into(),
            server_name: "n".into(),
            version: "2.15.1".into(),
            proto: 1,
            go: "go".into(),
            host: "0.0.0.0".into(),
            port: 4222,
            headers: true,
            max_payload: 1_048_576,
            ..Info::default()
        };
        assert_eq!(
            String::from_utf8(info.to_json()).unwrap(),
            "{\"server_id\":\"NID\",\"server_name\":\"n\",\"version\":\"2.15.1\",\"proto\":1,\
             \"go\":\"go\",\"host\":\"0.0.0.0\",\"port\":4222,\"headers\":true,\
             \"max_payload\":1048576}"
        );
        let second = Info {
            jetstream: true,
            client_id: 5,
            client_ip: "::1".into(),
            connect_info: true,
            remote_account: "$G".into(),
            api_lvl: 5,
            xkey: "XKEY".into(),
            ..info
        };
        let json = String::from_utf8(second.to_json()).unwrap();
        assert!(
            json.ends_with(
                "\"max_payload\":1048576,\"jetstream\":true,\"client_id\":5,\"client_ip\":\"::1\",\
                 \"connect_info\":true,\"remote_account\":\"$G\",\"api_lvl\":5,\"xkey\":\"XKEY\"}"
            ),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Info>(&json).unwrap(), second);
    }
}
