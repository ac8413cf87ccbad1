//! The one place where accounts and users change: at start, on reload, when a
//! claims update arrives.

use crate::account::AccountState;
use crate::client::{Client, signal};
use crate::connection::reason::CloseReason;
use crate::server::Server;
use crate::system::services;
use gust_account::AccountSet;
use gust_wire::client::ErrText;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Puts `rules` in force. Every connection is told and looks at itself in its
/// own time: until then it goes on under the rules it had.
pub fn install(server: &Arc<Server>, rules: AccountSet) {
    let of_rules = rules.accounts().map(|a| a.name.to_string());
    let known = server.accounts.all().into_iter().map(|state| state.name.clone());
    let all = of_rules.chain(known).collect();
    put(server, rules, &all, |_| true);
}

/// Puts `rules` in force that differ from the present ones in these accounts
/// only: others are left alone, so that an account that somebody uses for the
/// first time costs nobody else anything.
pub fn install_accounts(server: &Arc<Server>, rules: AccountSet, changed: &BTreeSet<String>) {
    let before = server.rules.load_full();
    if changed.iter().all(|name| before.account(name).is_none()) {
        return put(server, rules, changed, |_| false);
    }
    // Who has no account yet may be about to get one of these.
    let concerned = |account: &str| account.is_empty() || changed.contains(account);
    put(server, rules, changed, concerned);
}

/// Puts `rules` in force in the `changed` accounts and tells those of `concerned`
/// accounts.
fn put(
    server: &Arc<Server>,
    rules: AccountSet,
    changed: &BTreeSet<String>,
    concerned: impl Fn(&str) -> bool,
) {
    let old = server.rules.swap(Arc::new(rules));
    let rules = server.rules.load_full();
    for name in changed {
        if let Some(account) = rules.account(name) {
            let state = server.accounts.get_or_make(name);
            if server.jetstream.get().is_some() {
                state.jetstream.allow(account);
            } else {
                state.jetstream.set_limits(None);
            }
            services::open(server, &state);
        } else if let Some(state) = server.accounts.get(name) {
            // The state of an account that is gone stays, for what still holds on
            // to it; it may do nothing.
            state.jetstream.set_limits(None);
        }
    }
    if !Arc::ptr_eq(old.exchange(), rules.exchange()) {
        crate::exchange::apply(server, &old);
    }
    if changed.iter().all(|name| !concerned(name)) {
        return;
    }
    let clients = server.clients.all();
    for client in &clients {
        if concerned(&client.facts.lock().account) {
            client.signal(signal::RULES);
        }
    }
    for name in changed {
        if let Some(account) = rules.account(name)
            && let Some(limit) = account.limits.max_connections
            && let Some(state) = server.accounts.get(name)
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
