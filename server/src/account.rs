//! What an account has while the server runs: its interest, its connections and
//! its counters. The rules (users, permissions, limits) are in `gust-account`
//! and are replaced as a whole on reload; this stays.

use crate::subscription::Subscription;
use bytes::Bytes;
use gust_config::options::accounts::JetStreamAccountLimits;
use gust_interest::SharedSublist;
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

/// Interest of one account.
pub type Interest = SharedSublist<Arc<Subscription>>;

/// An account at run time.
#[derive(Debug)]
pub struct AccountState {
    /// Name in the configuration, `$G` for the global account.
    pub name: String,
    /// Who listens to what.
    pub interest: Interest,
    /// Client connections bound to it now.
    pub connections: AtomicI64,
    /// Messages and bytes published by clients that have left it.
    pub received: Traffic,
    /// Messages and bytes delivered to clients that have left it.
    pub sent: Traffic,
    /// Its clients closed as slow consumers.
    pub slow_consumers: AtomicU64,
    /// JetStream use and limits.
    pub jetstream: JetStreamUse,
    /// Deliver subjects of push consumers, to wake their streams when interest
    /// comes or goes: (deliver subject, shard, group).
    pub watches: RwLock<Vec<Watch>>,
    watched: AtomicU64,
    /// What the server answers in it; `None`: not subscribed yet.
    pub services: parking_lot::Mutex<Option<crate::system::services::Open>>,
    /// It waits to be told about in `crate::system::conns`.
    pub conns_changed: AtomicBool,
    /// What it exchanges with other accounts.
    pub exchange: crate::exchange::Crossing,
}

/// Message and byte counters.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Messages.
    pub msgs: AtomicU64,
    /// Bytes.
    pub bytes: AtomicU64,
}

impl Traffic {
    /// Counts messages.
    pub fn add(&self, msgs: u64, bytes: u64) {
        self.msgs.fetch_add(msgs, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }
}

/// JetStream use and limits of an account.
#[derive(Debug, Default)]
pub struct JetStreamUse {
    limits: RwLock<Option<JetStreamAccountLimits>>,
    tiers: RwLock<BTreeMap<String, JetStreamAccountLimits>>,
    /// Whether the account may use JetStream.
    pub enabled: AtomicBool,
    /// Visible bytes in memory streams.
    pub memory: AtomicI64,
    /// Visible bytes in file streams.
    pub storage: AtomicI64,
    /// Answered API calls.
    pub api_total: AtomicU64,
    /// Of these, errors.
    pub api_errors: AtomicU64,
}

impl JetStreamUse {
    /// Sets what the rules allow; `None`: no JetStream for this account.
    pub fn set_limits(&self, limits: Option<&JetStreamAccountLimits>) {
        self.enabled.store(limits.is_some(), Relaxed);
        *self.limits.write() = limits.copied();
    }

    /// Sets what an account of the rules may use.
    pub fn allow(&self, account: &gust_account::Account) {
        let tiers = account.token.as_ref().map(|t| t.tiers.clone()).unwrap_or_default();
        // An account with other tiers only has JetStream, though no stream fits.
        let limits = account.jetstream.as_ref().or_else(|| tiers.values().next());
        self.set_limits(limits);
        *self.tiers.write() = tiers;
    }

    /// Limits by tier, `R1`, `R3`; empty if the same hold for all streams.
    pub fn tiers(&self) -> BTreeMap<String, JetStreamAccountLimits> {
        self.tiers.read().clone()
    }

    /// Limits, if JetStream is on for the account.
    pub fn limits(&self) -> Option<JetStreamAccountLimits> {
        *self.limits.read()
    }

    /// Whether the account uses all it may of this storage.
    pub fn exceeded(&self, memory: bool) -> bool {
        let limits = self.limits.read();
        let Some(l) = &*limits else { return false };
        let (max, used) =
            if memory { (l.max_memory, &self.memory) } else { (l.max_store, &self.storage) };
        max >= 0 && used.load(Relaxed) >= max
    }
}

/// A subject whose interest a stream wants to hear about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Literal subject.
    pub subject: Bytes,
    /// Shard of the stream.
    pub shard: usize,
    /// Group of the stream.
    pub group: u64,
}

impl AccountState {
    /// An account nobody uses yet.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            interest: Interest::default(),
            connections: AtomicI64::new(0),
            received: Traffic::default(),
            sent: Traffic::default(),
            slow_consumers: AtomicU64::new(0),
            jetstream: JetStreamUse::default(),
            watches: RwLock::default(),
            watched: AtomicU64::new(0),
            services: parking_lot::Mutex::default(),
            conns_changed: AtomicBool::new(false),
            exchange: crate::exchange::Crossing::default(),
        }
    }

    /// Whether somebody is connected to it.
    pub fn is_active(&self) -> bool {
        self.connections.load(Relaxed) > 0
    }

    /// Takes over the traffic of a connection that leaves it.
    pub fn book(&self, [in_msgs, in_bytes, out_msgs, out_bytes]: [u64; 4]) {
        self.received.add(in_msgs, in_bytes);
        self.sent.add(out_msgs, out_bytes);
    }

    /// Starts telling `(shard, group)` about interest in `subject`.
    pub fn watch(&self, watch: Watch) {
        let mut all = self.watches.write();
        if !all.contains(&watch) {
            all.push(watch);
        }
        self.watched.store(all.len() as u64, Relaxed);
    }

    /// Drops all watches of a stream, keeping those in `keep`.
    pub fn rewatch(&self, group: u64, keep: &[Watch]) {
        let mut all = self.watches.write();
        all.retain(|w| w.group != group);
        all.extend_from_slice(keep);
        self.watched.store(all.len() as u64, Relaxed);
    }

    /// Streams that want to know that interest in `subject` (which may have
    /// wildcards) changed.
    pub fn watchers(&self, subject: &[u8]) -> Vec<Watch> {
        if self.watched.load(Relaxed) == 0 {
            return Vec::new();
        }
        let all = self.watches.read();
        all.iter().filter(|w| gust_subject::matches(&w.subject, subject)).cloned().collect()
    }
}

/// All accounts that were ever needed, by name. Accounts never go away while
/// the server runs: connections and streams hold on to them.
#[derive(Debug, Default)]
pub struct Accounts(RwLock<HashMap<String, Arc<AccountState>>>);

impl Accounts {
    /// The account of that name, made if missing.
    pub fn get_or_make(&self, name: &str) -> Arc<AccountState> {
        if let Some(a) = self.0.read().get(name) {
            return a.clone();
        }
        let mut all = self.0.write();
        all.entry(name.to_owned()).or_insert_with(|| Arc::new(AccountState::new(name))).clone()
    }

    /// The account of that name.
    pub fn get(&self, name: &str) -> Option<Arc<AccountState>> {
        self.0.read().get(name).cloned()
    }

    /// All accounts, sorted by name.
    pub fn all(&self) -> Vec<Arc<AccountState>> {
        let mut v: Vec<_> = self.0.read().values().cloned().collect();
        v.sort_by(|a, b| a.name.cmp(&b.name));
        v
    }
}
