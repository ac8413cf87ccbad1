//! `/accountz` and `/accstatz` (contract/monitoring.md §1.5).

use crate::account::AccountState;
use crate::clock::{self, rfc3339};
use crate::server::Server;
use serde_json::{Value, json};
use std::sync::atomic::Ordering::Relaxed;

/// Names of all accounts, or one in detail.
pub fn accountz(server: &Server, account: &str) -> Result<Value, String> {
    let now = rfc3339(clock::now());
    let system = &server.system_account().name;
    if account.is_empty() {
        let names: Vec<_> = server.accounts.all().iter().map(|a| a.name.clone()).collect();
        return Ok(json!({
            "server_id": server.id, "now": now, "system_account": system, "accounts": names,
        }));
    }
    let a =
        server.accounts.get(account).ok_or_else(|| format!("Account {account} does not exist"))?;
    Ok(json!({
        "server_id": server.id, "now": now, "system_account": system,
        "account_detail": detail(server, &a),
    }))
}

/// One account as `/accountz` shows it.
pub fn detail(server: &Server, a: &AccountState) -> Value {
    json!({
        "account_name": a.name,
        "update_time": rfc3339(server.config_loaded),
        "is_system": server.is_system(a),
        "expired": false,
        "complete": true,
        "jetstream_enabled": a.jetstream.enabled.load(Relaxed),
        "leafnode_connections": 0,
        "client_connections": a.connections.load(Relaxed).max(0),
        "subscriptions": a.interest.stats().subs,
    })
}

/// Traffic of the accounts with connections, or of all.
pub fn accstatz(server: &Server, unused: bool) -> Value {
    let rows: Vec<Value> = server
        .accounts
        .all()
        .iter()
        .filter(|a| unused || a.connections.load(Relaxed) > 0)
        .map(|a| stat(a))
        .collect();
    json!({ "server_id": server.id, "now": rfc3339(clock::now()), "account_statz": rows })
}

/// One account as `/accstatz` shows it.
pub fn stat(a: &AccountState) -> Value {
    let none = json!({ "msgs": 0, "bytes": 0 });
    let traffic = |t: &crate::account::Traffic| {
        json!({
            "msgs": t.msgs.load(Relaxed), "bytes": t.bytes.load(Relaxed),
            "gateways": none, "routes": none, "leafs": none,
        })
    };
    json!({
        "acc": a.name,
        "name": a.name,
        "conns": a.connections.load(Relaxed).max(0),
        "leafnodes": 0,
        "total_conns": a.total_connections.load(Relaxed),
        "num_subscriptions": a.interest.stats().subs,
        "sent": traffic(&a.sent),
        "received": traffic(&a.received),
        "slow_consumers": a.slow_consumers.load(Relaxed),
    })
}
