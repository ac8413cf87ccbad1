//! `gateway { … }`: connections to other clusters.

use super::authorization::Authorization;
use super::cluster::{self, WriteTimeout};
use super::listen::{self, Listen};
use super::report::Report;
use super::tls::{self, TlsOptions, TlsUse};
use crate::url::Url;
use crate::value::{Node, Value};

/// The block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GatewayOptions {
    /// Name of the own cluster.
    pub name: String,
    /// Listener.
    pub listen: Listen,
    /// The one user of gateways.
    pub authorization: Authorization,
    /// Mutual TLS.
    pub tls: Option<TlsOptions>,
    /// Address announced to others, or empty.
    pub advertise: String,
    /// Attempts for learned gateways.
    pub connect_retries: i64,
    /// Delays between attempts grow.
    pub connect_backoff: bool,
    /// Configured clusters.
    pub gateways: Vec<RemoteGateway>,
    /// Only configured clusters may connect.
    pub reject_unknown: bool,
    /// Time for a write; 0: default.
    pub write_deadline_ns: i64,
    /// What happens after it.
    pub write_timeout: WriteTimeout,
}

/// Another cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RemoteGateway {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub urls: Vec<Url>,
    /// TLS instead of the block's.
    pub tls: Option<TlsOptions>,
}

pub(crate) fn parse(node: &Node, report: &mut Report) -> Option<GatewayOptions> {
    let map = report.map_or(node, "Expected gateway to be a map")?;
    let mut gateway = GatewayOptions::default();
    for (key, node) in map.iter() {
        match key.to_ascii_lowercase().as_str() {
            "name" => gateway.name = cluster::name("gateway", node, report),
            "listen" => gateway.listen = listen::parse(node, report).unwrap_or_default(),
            "port" => gateway.listen.port = report.int(node).unwrap_or(0),
            "host" | "net" => gateway.listen.host = report.string(node).unwrap_or_default(),
            "authorization" => {
                gateway.authorization =
                    cluster::peer_authorization("Gateway", node, report).unwrap_or_default();
            }
            "tls" => gateway.tls = tls::parse(node, TlsUse::Peers, report),
            "advertise" => gateway.advertise = report.string(node).unwrap_or_default(),
            "connect_retries" => gateway.connect_retries = report.int(node).unwrap_or(0),
            "connect_backoff" => gateway.connect_backoff = report.boolean(node).unwrap_or(false),
            "gateways" => gateway.gateways = remotes(node, report),
            "reject_unknown" | "reject_unknown_cluster" => {
                gateway.reject_unknown = report.boolean(node).unwrap_or(false);
            }
            "write_deadline" => {
                gateway.write_deadline_ns = report.duration("write_deadline", node).unwrap_or(0);
            }
            "write_timeout" => gateway.write_timeout = cluster::write_timeout(node, report),
            _ => report.unknown(key, node),
        }
    }
    Some(gateway)
}

fn remotes(node: &Node, report: &mut Report) -> Vec<RemoteGateway> {
    let Value::Array(items) = &node.value else {
        let got = node.value.go_type();
        report.error(node, format!("Expected gateways field to be an array, got {got}"));
        return Vec::new();
    };
    let mut remotes = Vec::with_capacity(items.len());
    for item in items {
        let Value::Map(map) = &item.value else {
            let reason = format!("Expected gateway entry to be a map/struct, got {}", item.value);
            report.error(item, reason);
            continue;
        };
        let mut remote = RemoteGateway::default();
        for (key, node) in map.iter() {
            match key.to_ascii_lowercase().as_str() {
                "name" => remote.name = report.string(node).unwrap_or_default(),
                "tls" => remote.tls = tls::parse(node, TlsUse::Peers, report),
                "url" => {
                    if let Some(text) = report.string(node) {
                        remote.urls.extend(cluster::url("gateway", &text, node, report));
                    }
                }
                "urls" => remote.urls = cluster::urls("gateway", node, report),
                _ => report.unknown(key, node),
            }
        }
        remotes.push(remote);
    }
    remotes
}
