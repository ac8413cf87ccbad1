//! The one place where accounts and users change: at start, on reload, when a
//! claims update arrives.

use crate::account::AccountState;
use crate::client::{Client, signal};
use crate::connection::reason::CloseReason;
use crate::server::Server;
use crate::system::services;
use gust_account::AccountSet;
use gust_wire::client::ErrText;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Puts `rules` in force. Every connection is told and looks at itself in its
/// own time: until then it goes on under the rules it had.
pub fn install(server: &Arc<Server>, rules: AccountSet) {
    let old = server.rules.swap(Arc::new(rules));
    let rules = server.rules.load();
    for account in rules.accounts() {
        let state = server.accounts.get_or_make(&account.name);
        if server.jetstream.get().is_some() {
            state.jetstream.allow(account);
        }
        services::open(server, &state);
    }
    crate::exchange::apply(server, &old);
    // The state of an account that is gone stays, for what still holds on to it;
    // it may do nothing.
    for state in server.accounts.all() {
        if rules.account(&state.name).is_none() {
            state.jetstream.set_limits(None);
        }
    }
    let clients = server.clients.all();
    for client in &clients {
        client.signal(signal::RULES);
    }
    for account in rules.accounts() {
        if let Some(limit) = account.limits.max_connections
            && let Some(state) = server.accounts.get(&account.name)
        {
            close_excess(&state, &clients, limit);
        }
    }
}

/// Closes the newest connections of an account that has more than it may.
fn close_excess(account: &AccountState, clients: &[Arc<Client>], limit: i64) {
    let excess = account.connections.load(Relaxed) - limit.max(0);
    if excess <= 0 {
        return;
    }
    // Sorted by id, and ids are given in the order of arrival.
    let of_account = clients.iter().rev().filter(|c| c.facts.lock().account == account.name);
    for client in of_account.take(excess as usize) {
        dismiss(
            client,
            ErrText::MaximumAccountConnections,
            CloseReason::MaxAccountConnectionsExceeded,
        );
    }
}

/// Closes a client from any thread with an `-ERR` that says why.
pub fn dismiss(client: &Client, text: ErrText<'_>, reason: CloseReason) {
    // Its owner flushes what is queued before it closes.
    let _ = client.out.push(|out| text.put_line(out));
    client.close(reason);
}
