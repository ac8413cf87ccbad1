//! All client connections by id, and the ring of those that closed last.

use crate::client::Client;
use crate::connection::reason::CloseReason;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A connection that is gone, as `/connz?state=closed` shows it.
#[derive(Debug, Clone)]
pub struct Closed {
    /// The connection's shared half without its socket.
    pub row: ConnRow,
    /// When, ns since the epoch.
    pub stop: i64,
    /// Why.
    pub reason: CloseReason,
}

/// What `/connz` shows of a connection, taken at one moment.
#[derive(Debug, Clone)]
pub struct ConnRow {
    /// Connection id.
    pub cid: u64,
    /// Peer address.
    pub addr: std::net::SocketAddr,
    /// It came through the WebSocket listener.
    pub websocket: bool,
    /// Start, ns.
    pub start: i64,
    /// Last activity, ns.
    pub last_activity: i64,
    /// Round trip, ns; 0 = not measured.
    pub rtt: i64,
    /// Bytes waiting.
    pub pending: usize,
    /// Messages from the client.
    pub in_msgs: u64,
    /// Bytes from the client.
    pub in_bytes: u64,
    /// Messages to the client.
    pub out_msgs: u64,
    /// Bytes to the client.
    pub out_bytes: u64,
    /// Subscriptions.
    pub subs: u32,
    /// Times stalled.
    pub stalls: u64,
    /// CONNECT's facts.
    pub facts: crate::client::ClientFacts,
}

impl ConnRow {
    /// The row of a live connection.
    pub fn of(c: &Client) -> Self {
        let out = c.out.stats();
        Self {
            cid: c.cid,
            addr: c.addr,
            websocket: c.websocket.is_some(),
            start: c.start,
            last_activity: c.last_activity.load(Relaxed),
            rtt: c.rtt.load(Relaxed),
            pending: out.pending,
            in_msgs: c.in_msgs.load(Relaxed),
            in_bytes: c.in_bytes.load(Relaxed),
            out_msgs: out.messages,
            out_bytes: out.bytes,
            subs: c.subs.load(Relaxed),
            stalls: c.stalls.load(Relaxed),
            facts: c.facts.lock().clone(),
        }
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct Registry {
    live: Mutex<HashMap<u64, Arc<Client>>>,
    closed: Mutex<VecDeque<Closed>>,
    keep_closed: usize,
}

impl Registry {
    /// Remembers at most `keep_closed` closed connections, dropping the oldest.
    pub fn new(keep_closed: usize) -> Self {
        Self { live: Mutex::default(), closed: Mutex::default(), keep_closed }
    }

    /// Adds a live connection.
    pub fn insert(&self, client: &Arc<Client>) {
        self.live.lock().insert(client.cid, client.clone());
    }

    /// Moves a connection to the closed ring.
    pub fn remove(&self, client: &Arc<Client>, reason: CloseReason, now: i64) {
        if self.live.lock().remove(&client.cid).is_none() {
            return;
        }
        self.remember(client, reason, now);
    }

    /// Puts a connection into the closed ring. It keeps what is shown, not what
    /// it was allowed.
    pub fn remember(&self, client: &Client, reason: CloseReason, now: i64) {
        let mut row = ConnRow::of(client);
        row.facts.permissions = None;
        let mut ring = self.closed.lock();
        if ring.len() >= self.keep_closed.max(1) {
            ring.pop_front();
        }
        ring.push_back(Closed { row, stop: now, reason });
    }

    /// The live connection of that id.
    pub fn get(&self, cid: u64) -> Option<Arc<Client>> {
        self.live.lock().get(&cid).cloned()
    }

    /// Live connections.
    pub fn len(&self) -> usize {
        self.live.lock().len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All live connections, by id.
    pub fn all(&self) -> Vec<Arc<Client>> {
        let mut v: Vec<_> = self.live.lock().values().cloned().collect();
        v.sort_by_key(|c| c.cid);
        v
    }

    /// The closed ring, oldest first.
    pub fn closed(&self) -> Vec<Closed> {
        self.closed.lock().iter().cloned().collect()
    }
}
