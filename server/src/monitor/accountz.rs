//! `/accountz` and `/accstatz` (contract/monitoring.md §1.5).

use super::account_detail;
use crate::account::AccountState;
use crate::clock::{self, rfc3339};
use crate::server::Server;
use hashbrown::HashMap;
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
        "account_detail": account_detail::detail(server, &a),
    }))
}

/// Traffic of the accounts with connections, or of all; only of those named, if
/// there are names.
pub fn accstatz(server: &Server, unused: bool, names: &[String]) -> Value {
    let live = live_traffic(server);
    let rows: Vec<Value> = server
        .accounts
        .all()
        .iter()
        .filter(|a| unused || a.is_active())
        .filter(|a| names.is_empty() || names.contains(&a.name))
        .map(|a| stat(server, a, &live))
        .collect();
    json!({ "server_id": server.id, "now": rfc3339(clock::now()), "account_statz": rows })
}

/// Traffic of the connections there are, by account.
pub type Live = HashMap<String, [u64; 4]>;

/// Adds up what the connections there are have sent and received.
pub fn live_traffic(server: &Server) -> Live {
    let mut live = Live::new();
    for c in server.clients.all() {
        let account = c.facts.lock().account.clone();
        let sum = live.entry(account).or_default();
        for (sum, n) in sum.iter_mut().zip(c.traffic(false)) {
            *sum += n;
        }
    }
    live
}

/// One account as `/accstatz` shows it.
pub fn stat(server: &Server, a: &AccountState, live: &Live) -> Value {
    let none = json!({ "msgs": 0, "bytes": 0 });
    let [in_msgs, in_bytes, out_msgs, out_bytes] = live.get(&a.name).copied().unwrap_or_default();
    let traffic = |t: &crate::account::Traffic, msgs: u64, bytes: u64| {
        json!({
            "msgs": t.msgs.load(Relaxed) + msgs, "bytes": t.bytes.load(Relaxed) + bytes,
            "gateways": none, "routes": none, "leafs": none,
        })
    };
    json!({
        "acc": a.name,
        "name": server.account_tag(&a.name),
        "conns": a.connections.load(Relaxed).max(0),
        "leafnodes": 0,
        // Clients and leafnodes together, in spite of its name.
        "total_conns": a.connections.load(Relaxed).max(0),
        "num_subscriptions": a.interest.stats().subs,
        "sent": traffic(&a.sent, out_msgs, out_bytes),
        "received": traffic(&a.received, in_msgs, in_bytes),
        "slow_consumers": a.slow_consumers.load(Relaxed),
    })
}
