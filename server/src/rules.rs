//! The one place where accounts and users change: at start, on reload, when a
//! claims update arrives.

use crate::client::signal;
use crate::server::Server;
use crate::system::services;
use gust_account::AccountSet;
use std::sync::Arc;

/// Puts `rules` in force. Every connection is told and looks at itself in its
/// own time: until then it goes on under the rules it had.
pub fn install(server: &Arc<Server>, rules: AccountSet) {
    let old = server.rules.swap(Arc::new(rules));
    let rules = server.rules.load();
    for account in rules.accounts() {
        let state = server.accounts.get_or_make(&account.name);
        if server.jetstream.get().is_some() {
            state.jetstream.set_limits(account.jetstream.as_ref());
        }
        services::open(server, &state);
    }
    crate::exchange::apply(server, &old, &rules);
    for client in server.clients.all() {
        client.signal(signal::RULES);
    }
}
