//! What crosses the borders between accounts: stream imports as shadows of
//! subscriptions in the exporter's interest, service imports as receivers of
//! requests in the importer's (contract/core.md §5). What may cross is decided by
//! `gust_account::exchange`; here it happens.
//!
//! An account that imports nothing pays one look at a flag per SUB and UNSUB and
//! nothing per message.

pub mod info;
pub mod latency;
pub mod responses;
pub mod service;
pub mod shadow;

use crate::account::AccountState;
use crate::server::Server;
use crate::shard::Shard;
use crate::subscription::Subscription;
use gust_account::AccountSet;
use gust_account::exchange::AccountExchange;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The exchange of one account with others, at run time.
#[derive(Debug, Default)]
pub struct Crossing {
    /// Stream imports and the shadows made for them.
    pub streams: shadow::Streams,
    /// Service imports.
    pub services: service::Services,
    /// Requests that came into the account and wait for its answers.
    pub responses: responses::Responses,
    /// Requests of the account that wait for answers of others.
    pub awaiting: responses::Awaiting,
}

/// Puts the imports of the rules now in force into effect, where `old` was:
/// those that stayed the same go on without losing a message.
pub fn apply(server: &Arc<Server>, old: &AccountSet) {
    // One at a time, each with the newest rules: whoever comes last must not
    // bring back older ones.
    let _applying = server.exchange.applying.lock();
    let rules = server.rules.load();
    let names: BTreeSet<&Arc<str>> = [old, &rules]
        .iter()
        .flat_map(|set| set.exchange().accounts())
        .map(|(name, _)| name)
        .collect();
    let none = AccountExchange::default();
    for name in names {
        let account = server.accounts.get_or_make(name);
        let imports = rules.exchange().of(name).map_or(&none, |i| i);
        service::apply(server, &account, &imports.services, &rules);
        shadow::apply(server, &account, &imports.streams);
    }
}

/// To be called after `sub` was added to the interest of `account`.
pub fn subscribed(server: &Server, account: &Arc<AccountState>, sub: &Arc<Subscription>) {
    if account.exchange.streams.is_active() {
        shadow::subscribed(server, account, sub);
    }
}

/// To be called after `sub` was removed from the interest of `account`.
pub fn unsubscribed(shard: &Shard, account: &Arc<AccountState>, sub: &Subscription) {
    if account.exchange.streams.is_active() {
        shadow::unsubscribed(&shard.server, account, sub);
    }
    if !account.exchange.awaiting.is_empty() {
        responses::interest_lost(shard, account, &sub.subject);
    }
}
