//! `max_connections` after a reload.

use crate::clock::Rng;
use crate::connection::reason::CloseReason;
use crate::rules;
use crate::server::Server;
use gust_wire::client::ErrText;

/// Closes as many connections as there are above the limit, chosen at random: no
/// client is to be hit each time.
pub fn close_excess(server: &Server, limit: i64) {
    let mut clients = server.clients.all();
    let allowed = usize::try_from(limit).unwrap_or(0);
    let mut closed = 0;
    let rng = Rng::new();
    while clients.len() > allowed {
        let unlucky = (rng.next() % clients.len() as u64) as usize;
        let client = clients.swap_remove(unlucky);
        rules::dismiss(&client, ErrText::MaximumConnections, CloseReason::MaxConnectionsExceeded);
        closed += 1;
    }
    if closed > 0 {
        tracing::info!("Closed {closed} connections to fall within max_connections");
    }
}
