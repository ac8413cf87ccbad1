//! Client connections: the part other threads see ([`Client`]) and the session
//! run by the task that owns the socket.

use crate::connection::outbound::Outbound;
use crate::connection::reason::CloseReason;
use bytes::Bytes;
use gust_account::ResponseGrants;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering::AcqRel, Ordering::Relaxed,
};
use tokio::sync::Notify;

pub mod auth;
pub mod ops;
pub mod pending;
pub mod publish;
pub mod recheck;
pub mod session;

/// Reasons to wake the owner of a connection.
pub mod signal {
    /// Bytes are stuck: wait for the socket.
    pub const BLOCKED: u8 = 1;
    /// The connection's timer is due.
    pub const TIMER: u8 = 2;
    /// Close; the reason is stored beside.
    pub const CLOSE: u8 = 4;
    /// Lame duck: send INFO with `ldm`.
    pub const LAME_DUCK: u8 = 16;
    /// Measure the round trip.
    pub const PING: u8 = 32;
    /// The rules changed: see whether it is still allowed what it does.
    pub const RULES: u8 = 64;
}

/// A client connection as every thread may see it.
#[derive(Debug)]
pub struct Client {
    /// Connection id, unique since start.
    pub cid: u64,
    /// Peer.
    pub addr: SocketAddr,
    /// Shard that owns the socket.
    pub shard: usize,
    /// Start, ns since the epoch.
    pub start: i64,
    /// What goes to the peer.
    pub out: Outbound,
    /// CONNECT said `headers`.
    pub headers: AtomicBool,
    /// CONNECT said `echo` (or nothing).
    pub echo: AtomicBool,
    /// Messages received from the peer.
    pub in_msgs: AtomicU64,
    /// Their bytes.
    pub in_bytes: AtomicU64,
    /// Subscriptions now.
    pub subs: AtomicU32,
    /// Last activity, ns since the epoch.
    pub last_activity: AtomicI64,
    /// Last round trip, ns; 0 = not measured.
    pub rtt: AtomicI64,
    /// Subscriptions that reached their maximum on any shard; the owner forgets
    /// them with its next SUB or UNSUB.
    pub ended: Mutex<Vec<Bytes>>,
    /// What of its traffic its account has been told: messages and bytes in,
    /// messages and bytes out.
    booked: Mutex<[u64; 4]>,
    /// Times its publishing was stalled.
    pub stalls: AtomicU64,
    /// What CONNECT said about it.
    pub facts: Mutex<ClientFacts>,
    has_grants: AtomicBool,
    grants: Mutex<Option<ResponseGrants>>,
    signals: AtomicU8,
    wake: Notify,
    reason: Mutex<Option<CloseReason>>,
}

/// What is known of a client after CONNECT.
#[derive(Debug, Clone, Default)]
pub struct ClientFacts {
    /// `name`.
    pub name: String,
    /// `lang`.
    pub lang: String,
    /// `version`.
    pub version: String,
    /// User it logged in as, secrets redacted.
    pub user: String,
    /// Account it is bound to.
    pub account: String,
    /// Public key of the trusted proxy it came through, or empty.
    pub proxy: String,
    /// Whether it sent CONNECT (or may act without).
    pub connected: bool,
}

impl Client {
    /// A fresh connection.
    pub fn new(cid: u64, addr: SocketAddr, shard: usize, now: i64, out: Outbound) -> Self {
        Self {
            cid,
            addr,
            shard,
            start: now,
            out,
            headers: AtomicBool::new(false),
            echo: AtomicBool::new(true),
            in_msgs: AtomicU64::new(0),
            in_bytes: AtomicU64::new(0),
            subs: AtomicU32::new(0),
            last_activity: AtomicI64::new(now),
            rtt: AtomicI64::new(0),
            ended: Mutex::default(),
            booked: Mutex::default(),
            stalls: AtomicU64::new(0),
            facts: Mutex::default(),
            has_grants: AtomicBool::new(false),
            grants: Mutex::default(),
            signals: AtomicU8::new(0),
            wake: Notify::new(),
            reason: Mutex::new(None),
        }
    }

    /// Sets what `allow_responses` lets it answer.
    pub fn set_grants(&self, grants: Option<ResponseGrants>) {
        self.has_grants.store(grants.is_some(), Relaxed);
        *self.grants.lock() = grants;
    }

    /// A message with this reply subject was delivered to it.
    pub fn grant(&self, reply: &[u8], now: i64) {
        if let Some(g) = &mut *self.grants.lock() {
            g.grant(reply, now.max(0) as u64);
        }
    }

    /// Whether deliveries have to be followed by [`Client::grant`].
    pub fn wants_grants(&self) -> bool {
        self.has_grants.load(Relaxed)
    }

    /// Uses up one grant for `subject`.
    pub fn take_grant(&self, subject: &[u8], now: i64) -> bool {
        self.grants.lock().as_mut().is_some_and(|g| g.take(subject, now.max(0) as u64))
    }

    /// Asks the owner to act; see [`signal`].
    pub fn signal(&self, bits: u8) {
        if self.signals.fetch_or(bits, AcqRel) & bits != bits {
            self.wake.notify_one();
        }
    }

    /// Takes the pending signals.
    pub fn take_signals(&self) -> u8 {
        self.signals.swap(0, AcqRel)
    }

    /// Resolves when a signal was set.
    pub async fn signalled(&self) {
        self.wake.notified().await;
    }

    /// Has the connection closed by its owner. The first reason stays.
    pub fn close(&self, reason: CloseReason) {
        self.reason.lock().get_or_insert(reason);
        self.signal(signal::CLOSE);
    }

    /// Why it is being closed, if it is.
    pub fn close_reason(&self) -> Option<CloseReason> {
        *self.reason.lock()
    }

    /// `ip:port - cid:N - "v1.2:go:name"`, the label of its log lines.
    pub fn label(&self) -> String {
        let f = self.facts.lock();
        let mut s = format!("{} - cid:{}", self.addr, self.cid);
        if !f.lang.is_empty() || !f.version.is_empty() || !f.name.is_empty() {
            s.push_str(" - \"");
            if !f.version.is_empty() {
                s.push('v');
                s.push_str(&f.version);
            }
            for part in [&f.lang, &f.name] {
                if !part.is_empty() {
                    s.push(':');
                    s.push_str(part);
                }
            }
            s.push('"');
        }
        s
    }

    /// Traffic since it was last booked: messages and bytes in, out. An account
    /// is told when the connection leaves it, so that no message costs a shared
    /// counter; until then whoever asks adds the live connections up.
    pub fn traffic(&self, book: bool) -> [u64; 4] {
        let out = self.out.stats();
        let total =
            [self.in_msgs.load(Relaxed), self.in_bytes.load(Relaxed), out.messages, out.bytes];
        let mut booked = self.booked.lock();
        let since = std::array::from_fn(|i| total[i].saturating_sub(booked[i]));
        if book {
            *booked = total;
        }
        since
    }

    /// Counts what came in.
    pub fn count_in(&self, msgs: u64, bytes: u64) {
        // Only the owner writes these, so load and store suffice.
        self.in_msgs.store(self.in_msgs.load(Relaxed) + msgs, Relaxed);
        self.in_bytes.store(self.in_bytes.load(Relaxed) + bytes, Relaxed);
    }
}
