//! Who asks, as the exporter of a service sees it: the header
//! `Nats-Request-Info` and the two sides of a latency measurement.

use crate::account::AccountState;
use crate::clock::rfc3339;
use crate::route::Origin;
use crate::server::Server;
use serde::Serialize;
use std::sync::atomic::Ordering::Relaxed;

/// The header.
pub const HEADER: &[u8] = b"Nats-Request-Info";

/// A client as another account sees it. Empty fields are left out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ClientInfo {
    #[serde(skip_serializing_if = "String::is_empty")]
    start: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    #[serde(skip_serializing_if = "is_zero")]
    id: u64,
    /// Its account.
    pub acc: String,
    /// The account a chained request came through last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub svc: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    lang: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ver: String,
    /// Round trip, ns.
    #[serde(skip_serializing_if = "is_zero")]
    pub rtt: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    server: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    client_type: &'static str,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl ClientInfo {
    /// What is told of the publisher of a message; all of it only if its account
    /// shares that (`share`).
    pub fn of(server: &Server, account: &AccountState, origin: Origin<'_>, share: bool) -> Self {
        let mut info = ClientInfo { acc: account.name.clone(), ..ClientInfo::default() };
        let Origin::Client(client) = origin else { return info };
        info.rtt = client.rtt.load(Relaxed).max(0) as u64;
        if share {
            info.add_server(server);
            let facts = client.facts.lock();
            info.start = rfc3339(client.start);
            info.host = client.addr.ip().to_string();
            info.id = client.cid;
            info.user.clone_from(&facts.user);
            info.name.clone_from(&facts.name);
            info.lang.clone_from(&facts.lang);
            info.ver.clone_from(&facts.version);
            info.kind = "Client";
            info.client_type = "nats";
        }
        info
    }

    /// Adds which server the client is connected to.
    pub fn add_server(&mut self, server: &Server) {
        self.server.clone_from(&server.name);
    }
}
