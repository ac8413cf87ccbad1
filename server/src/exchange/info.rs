//! Who asks, as the exporter of a service sees it: the header
//! `Nats-Request-Info` and the two sides of a latency measurement.

use crate::account::AccountState;
use crate::route::Origin;
use crate::server::Server;
use crate::system::client_info::requester;
pub use gust_jetstream::api::advisory::ClientInfo;
use std::sync::atomic::Ordering::Relaxed;

/// The header.
pub const HEADER: &[u8] = b"Nats-Request-Info";

/// What is told of the publisher of a message: its account and round trip, and
/// all of it only if its account shares that (`share`).
pub fn of(server: &Server, account: &AccountState, origin: Origin<'_>, share: bool) -> ClientInfo {
    let Origin::Client(client) = origin else {
        return ClientInfo { acc: account.name.clone(), ..ClientInfo::default() };
    };
    if share {
        let server_name = server.name.clone();
        return ClientInfo { server: server_name, ..requester(server, client) };
    }
    let acc = client.facts.lock().account.clone();
    ClientInfo { acc, rtt: client.rtt.load(Relaxed), ..ClientInfo::default() }
}
