//! `mqtt { … }`: MQTT 3.1.1 clients.

use super::authorization::{self, SimpleAuthorization};
use super::listen::{self, Listen};
use super::report::Report;
use super::tls::{self, TlsOptions, TlsUse};
use crate::value::Node;

/// The block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MqttOptions {
    /// Listener; without a port MQTT is off.
    pub listen: Listen,
    /// TLS of the listener.
    pub tls: Option<TlsOptions>,
    /// Login instead of the server's.
    pub authorization: SimpleAuthorization,
    /// User of clients without credentials, or empty.
    pub no_auth_user: String,
    /// Time before QoS 1 messages are sent again; 0: default.
    pub ack_wait_ns: i64,
    /// Time for a JetStream request; 0: default.
    pub js_api_timeout_ns: i64,
    /// Unacknowledged QoS 1 messages of a subscription; 0: default.
    pub max_ack_pending: u16,
    /// Domain of the streams, or empty.
    pub js_domain: String,
    /// Replicas of the streams; 0: as many as the cluster allows.
    pub stream_replicas: i64,
    /// Consumers are kept in memory.
    pub consumer_memory_storage: bool,
    /// Unused consumers are removed after this time; 0: never.
    pub consumer_inactive_threshold_ns: i64,
    /// QoS 2 publishes close the connection.
    pub reject_qos2_publish: bool,
    /// QoS 2 subscriptions get QoS 1.
    pub downgrade_qos2_subscribe: bool,
}

pub(crate) fn parse(node: &Node, report: &mut Report) -> Option<MqttOptions> {
    let map = report.map_or(node, "Expected mqtt to be a map")?;
    let mut mqtt = MqttOptions::default();
    for (key, node) in map.iter() {
        match key.to_ascii_lowercase().as_str() {
            "listen" => mqtt.listen = listen::parse(node, report).unwrap_or_default(),
            "port" => mqtt.listen.port = report.int(node).unwrap_or(0),
            "host" | "net" => mqtt.listen.host = report.string(node).unwrap_or_default(),
            "tls" => mqtt.tls = tls::parse(node, TlsUse::Clients, report),
            "authorization" | "authentication" => {
                mqtt.authorization = authorization::parse_simple(node, report).unwrap_or_default();
            }
            "no_auth_user" => mqtt.no_auth_user = report.string(node).unwrap_or_default(),
            "ack_wait" | "ackwait" => {
                mqtt.ack_wait_ns = report.duration("ack_wait", node).unwrap_or(0);
            }
            "js_api_timeout" | "api_timeout" => {
                mqtt.js_api_timeout_ns = report.duration("js_api_timeout", node).unwrap_or(0);
            }
            "max_ack_pending" | "max_pending" | "max_inflight" => {
                let Some(number) = report.int(node) else { continue };
                match u16::try_from(number) {
                    Ok(number) => mqtt.max_ack_pending = number,
                    Err(_) => {
                        let max = u16::MAX;
                        let reason = format!("invalid value {number}, should in [0..{max}] range");
                        report.error(node, reason);
                    }
                }
            }
            "js_domain" => mqtt.js_domain = report.string(node).unwrap_or_default(),
            "stream_replicas" => mqtt.stream_replicas = report.int(node).unwrap_or(0),
            "consumer_replicas" => {
                let reason = "consumer replicas setting ignored in this server version";
                report.warn_use(key, node, reason);
            }
            "consumer_memory_storage" => {
                mqtt.consumer_memory_storage = report.boolean(node).unwrap_or(false);
            }
            "consumer_inactive_threshold" | "consumer_auto_cleanup" => {
                mqtt.consumer_inactive_threshold_ns =
                    report.duration("consumer_inactive_threshold", node).unwrap_or(0);
            }
            "reject_qos2_publish" => {
                mqtt.reject_qos2_publish = report.boolean(node).unwrap_or(false);
            }
            "downgrade_qos2_subscribe" => {
                mqtt.downgrade_qos2_subscribe = report.boolean(node).unwrap_or(false);
            }
            _ => report.unknown(key, node),
        }
    }
    Some(mqtt)
}
