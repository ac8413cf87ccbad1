//! `$SYS.SERVER.<id>.STATSZ`: how the server does, published from time to time
//! and on request.

use super::event::{self, Moved};
use super::server_info::ServerInfo;
use crate::clock::{self, rfc3339};
use crate::monitor::{jsz, usage};
use crate::server::Server;
use crate::shard::Shard;
use serde::Serialize;
use serde_json::Value;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Time from the start to the first event; it doubles up to [`MAX`].
const FIRST: Duration = Duration::from_millis(250);
/// Time between events in the long run.
const MAX: Duration = Duration::from_secs(10);
/// Events that were asked for are at least this far apart, ns.
const ASKED_GAP: i64 = 1_000_000_000;

/// The document.
#[derive(Serialize)]
pub struct Statsz {
    server: ServerInfo,
    statsz: Stats,
}

#[derive(Serialize)]
struct Stats {
    start: String,
    mem: u64,
    cores: usize,
    cpu: f64,
    connections: usize,
    total_connections: u64,
    active_accounts: usize,
    subscriptions: i64,
    sent: Moved,
    sent_to_clients: Moved,
    received: Moved,
    received_from_clients: Moved,
    slow_consumers: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow_consumer_stats: Option<ByKind>,
    #[serde(skip_serializing_if = "is_zero")]
    stale_connections: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_connection_stats: Option<ByKind>,
    #[serde(skip_serializing_if = "is_zero")]
    stalled_clients: u64,
    /// Servers known, this one included: how many answers to a PING to expect.
    active_servers: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    jetstream: Option<Value>,
    gomaxprocs: usize,
}

/// A loss by kind of connection; only clients there are yet.
#[derive(Serialize)]
struct ByKind {
    clients: u64,
    routes: u64,
    gateways: u64,
    leafs: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn by_kind(clients: u64) -> Option<ByKind> {
    (clients > 0).then_some(ByKind { clients, routes: 0, gateways: 0, leafs: 0 })
}

/// The server's statistics now.
pub async fn statsz(server: &Arc<Server>) -> Statsz {
    let s = &server.stats;
    let moved = |msgs: &AtomicU64, bytes: &AtomicU64| Moved {
        msgs: msgs.load(Relaxed),
        bytes: bytes.load(Relaxed),
    };
    let (sent, received) = (moved(&s.out_msgs, &s.out_bytes), moved(&s.in_msgs, &s.in_bytes));
    let stale = s.stale_connections.load(Relaxed);
    let usage = usage::now();
    let active = |a: &&Arc<_>| crate::account::AccountState::is_active(a);
    Statsz {
        server: ServerInfo::now(server),
        statsz: Stats {
            start: rfc3339(server.start),
            mem: usage.rss,
            cores: usage::cores(),
            cpu: server.cpu.percent(&usage, clock::now()),
            connections: server.clients.len(),
            total_connections: s.total_connections.load(Relaxed),
            active_accounts: server.accounts.all().iter().filter(active).count(),
            subscriptions: s.subscriptions.load(Relaxed).max(0),
            sent,
            sent_to_clients: sent,
            received,
            received_from_clients: received,
            slow_consumers: s.slow_consumers.load(Relaxed),
            slow_consumer_stats: by_kind(s.slow_consumers.load(Relaxed)),
            stale_connections: stale,
            stale_connection_stats: by_kind(stale),
            stalled_clients: s.stalled_clients.load(Relaxed),
            active_servers: 1,
            jetstream: jetstream(server).await,
            gomaxprocs: server.shard_count(),
        },
    }
}

/// As `/varz` shows it, without the directory: events may leave the machine.
async fn jetstream(server: &Server) -> Option<Value> {
    server.jetstream.get()?;
    let mut block = jsz::varz_block(server).await;
    if let Some(config) = block.get_mut("config").and_then(Value::as_object_mut) {
        config.remove("store_dir");
    }
    Some(block)
}

/// Publishes the event until the server stops. Runs on one shard. Nobody else
/// needs to hear of a server that stands alone, so without a subscriber nothing
/// is done.
pub async fn run(shard: Rc<Shard>) {
    let mut every = FIRST;
    loop {
        tokio::time::sleep(every).await;
        every = (every * 2).min(MAX);
        publish(&shard).await;
    }
}

/// Publishes it because somebody asked without saying where to answer.
pub async fn asked(shard: &Shard) {
    let (last, now) = (&shard.server.statsz_asked, clock::now());
    if now - last.load(Relaxed) >= ASKED_GAP {
        last.store(now, Relaxed);
        publish(shard).await;
    }
}

async fn publish(shard: &Shard) {
    let subject = format!("$SYS.SERVER.{}.STATSZ", shard.server.id);
    if event::heard(&shard.server, &subject) {
        let stats = statsz(&shard.server).await;
        event::send(shard, shard.server.system_account(), &subject, &stats);
    }
}
