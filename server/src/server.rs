//! The server: what all shards share, and how it starts and stops.

use crate::account::{AccountState, Accounts};
use crate::callout::Callouts;
use crate::client::session::Session;
use crate::client::{Client, signal};
use crate::client_registry::Registry;
use crate::clock;
use crate::connection::reason::CloseReason;
use crate::identity::ServerKeys;
use crate::passwords::Passwords;
use crate::shard::Shard;
use crate::shard::mailbox::{Call, Mail, Mailbox};
use crate::stats::Stats;
use crate::subscription::Subscription;
use crate::system::{conns, shutdown};
use crate::tls::TlsState;
use arc_swap::ArcSwap;
use gust_account::{AccountSet, ConnectionKind};
use gust_config::Options;
use gust_wire::info::Info;
use gust_wire::nuid::Nuid;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;

/// How long a closing connection may take to send its last bytes.
pub const CLOSE_DRAIN: Duration = Duration::from_secs(2);
/// Version of nats-server whose behaviour clients may rely on.
pub const COMPATIBLE: &str = "2.15.1";
/// JetStream API level of that version.
pub const API_LEVEL: i32 = 5;

/// Shared state of the process.
pub struct Server {
    /// 56-character public nkey `N…`, new each start.
    pub id: String,
    /// The key pairs behind the id and INFO's `xkey`.
    pub keys: ServerKeys,
    /// Configured name, or the id.
    pub name: String,
    /// Start, ns since the epoch.
    pub start: i64,
    /// The configuration in force: when it was read, and its digest.
    pub config: ArcSwap<crate::reload::Reading>,
    /// What a reload needs; set before the server listens.
    pub reloader: std::sync::OnceLock<crate::reload::Reloader>,
    /// Options in force.
    pub options: ArcSwap<Options>,
    /// TLS of the listeners.
    pub tls: TlsState,
    /// Who may do what.
    pub rules: ArcSwap<AccountSet>,
    /// Accounts at run time.
    pub accounts: Accounts,
    /// Totals.
    pub stats: Stats,
    /// Questions to auth services.
    pub callouts: Callouts,
    /// Password checks that wait for a worker.
    pub passwords: Passwords,
    /// Connections.
    pub clients: Registry,
    /// Connections beyond the limit that are told so.
    pub turned_away: crate::websocket::turned_away::TurnedAway,
    /// JetStream, if it is on.
    pub jetstream: crate::jetstream::slot::Slot,
    /// Where account tokens come from, in operator mode.
    pub resolver: std::sync::OnceLock<Arc<crate::resolver::Resolver>>,
    /// Ports in use after listening.
    pub listening: std::sync::OnceLock<Listening>,
    /// Accounts whose number of connections is to be told.
    pub conns_changed: conns::Changed,
    /// When statistics were last published because somebody asked, ns.
    pub statsz_asked: AtomicI64,
    /// Logins refused because their account is not pinned.
    pub pinned_account_fails: AtomicU64,
    /// CPU use.
    pub cpu: crate::monitor::usage::Cpu,
    /// Counts of HTTP requests by path.
    pub http_requests: parking_lot::Mutex<std::collections::BTreeMap<&'static str, u64>>,
    /// Requests between accounts that wait for answers.
    pub exchange: crate::exchange::responses::Tables,
    system: Arc<AccountState>,
    shards: Vec<Mailbox>,
    next_cid: AtomicU64,
    next_sub: AtomicU64,
    event_seq: AtomicU64,
    lame_duck: AtomicBool,
    stopped: watch::Sender<bool>,
    info: Info,
    nuid: parking_lot::Mutex<Nuid>,
}

/// Addresses the server listens on.
#[derive(Debug, Clone, Default)]
pub struct Listening {
    /// Client address.
    pub client: Option<std::net::SocketAddr>,
    /// Monitoring address.
    pub monitor: Option<std::net::SocketAddr>,
    /// Monitoring address with TLS.
    pub monitor_tls: Option<std::net::SocketAddr>,
    /// WebSocket address.
    pub websocket: Option<std::net::SocketAddr>,
}

/// Whom an INFO is for.
#[derive(Debug, Clone, Copy)]
pub struct Greeting<'a> {
    /// Connection id.
    pub cid: u64,
    /// Its address, unless it is not to be told yet.
    pub ip: Option<std::net::IpAddr>,
    /// Nonce to sign.
    pub nonce: Option<&'a str>,
    /// TLS comes before this INFO.
    pub tls_first: bool,
    /// It came through the WebSocket listener.
    pub websocket: bool,
}

impl<'a> Greeting<'a> {
    /// For a client.
    pub fn new(client: &Client, nonce: Option<&'a str>) -> Self {
        Self {
            cid: client.cid,
            ip: Some(client.addr.ip()),
            nonce,
            tls_first: false,
            websocket: client.websocket.is_some(),
        }
    }
}

impl Server {
    /// A server that does not listen yet.
    pub fn new(options: Options, rules: AccountSet, digest: String, shards: usize) -> Arc<Self> {
        let now = clock::now();
        let keys = ServerKeys::generate();
        let id = keys.server.public().to_owned();
        let name =
            if options.server_name.is_empty() { id.clone() } else { options.server_name.clone() };
        let accounts = Accounts::default();
        for account in rules.accounts() {
            accounts.get_or_make(&account.name);
        }
        let system = accounts.get_or_make(rules.system().map_or("$SYS", |a| &a.name));
        let info = Info {
            server_id: id.clone(),
            server_name: name.clone(),
            version: COMPATIBLE.to_owned(),
            proto: 1,
            go: "rust".to_owned(),
            host: options.listen.host.clone(),
            port: 0,
            headers: !options.limits.no_header_support,
            max_payload: options.limits.max_payload,
            api_lvl: API_LEVEL,
            xkey: keys.curve.public().to_owned(),
            ..Info::default()
        };
        Arc::new(Self {
            id,
            keys,
            name,
            start: now,
            config: ArcSwap::from_pointee(crate::reload::Reading { at: now, digest }),
            reloader: std::sync::OnceLock::new(),
            turned_away: crate::websocket::turned_away::TurnedAway::default(),
            clients: Registry::new(options.limits.max_closed_clients as usize),
            options: ArcSwap::from_pointee(options),
            tls: TlsState::default(),
            rules: ArcSwap::from_pointee(rules),
            accounts,
            stats: Stats::default(),
            callouts: Callouts::default(),
            // Half of the cores: the other half keeps serving.
            passwords: Passwords::new(shards / 2),
            jetstream: crate::jetstream::slot::Slot::default(),
            resolver: std::sync::OnceLock::new(),
            listening: std::sync::OnceLock::new(),
            http_requests: parking_lot::Mutex::default(),
            conns_changed: conns::Changed::default(),
            statsz_asked: AtomicI64::new(0),
            pinned_account_fails: AtomicU64::new(0),
            cpu: crate::monitor::usage::Cpu::new(now),
            exchange: crate::exchange::responses::Tables::default(),
            system,
            shards: (0..shards).map(|_| Mailbox::default()).collect(),
            next_cid: AtomicU64::new(0),
            next_sub: AtomicU64::new(0),
            event_seq: AtomicU64::new(0),
            lame_duck: AtomicBool::new(false),
            stopped: watch::Sender::new(false),
            info,
            nuid: parking_lot::Mutex::new(Nuid::new(clock::secret())),
        })
    }

    /// Number of shards.
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// Mailbox of a shard.
    pub fn shard(&self, id: usize) -> &Mailbox {
        &self.shards[id % self.shards.len()]
    }

    /// Runs `f` on a shard and waits for its result; `None` if the server stops.
    pub async fn call<T: Send + 'static>(
        &self,
        shard: usize,
        f: impl FnOnce(&Shard) -> T + Send + 'static,
    ) -> Option<T> {
        let (tx, rx) = tokio::sync::oneshot::channel();
        let call: Call = Box::new(move |s| {
            let _ = tx.send(f(s));
        });
        self.shard(shard).send_one(Mail::Call(call));
        rx.await.ok()
    }

    /// Name of the cluster the configuration puts this server in, or empty.
    pub fn cluster_name(&self) -> String {
        let options = self.options.load();
        let cluster = &options.cluster;
        if cluster.listen.is_set() { cluster.name.clone() } else { String::new() }
    }

    /// Eight characters that tell this server from others.
    pub fn short_id(&self) -> &[u8] {
        self.id.as_bytes().last_chunk::<8>().map_or(&[], |id| id)
    }

    /// A fresh connection id.
    pub fn next_cid(&self) -> u64 {
        self.next_cid.fetch_add(1, Relaxed) + 1
    }

    /// A fresh subscription id.
    pub fn next_sub_id(&self) -> u64 {
        self.next_sub.fetch_add(1, Relaxed) + 1
    }

    /// A fresh 22-character id for events.
    pub fn nuid(&self) -> String {
        self.nuid.lock().next_string()
    }

    /// A fresh sequence for server events.
    pub fn next_event_seq(&self) -> u64 {
        self.event_seq.fetch_add(1, Relaxed) + 1
    }

    /// Port clients connect to.
    pub fn client_port(&self) -> u16 {
        self.listening
            .get()
            .and_then(|l| l.client)
            .map_or(self.options.load().listen.port.max(0) as u16, |a| a.port())
    }

    /// Time a client has for CONNECT, ns.
    pub fn auth_timeout(&self, kind: ConnectionKind) -> i64 {
        let options = self.options.load();
        match (kind, options.websocket.authorization.timeout_ns) {
            (ConnectionKind::Websocket, own @ 1..) => own,
            _ => options.authorization.timeout_ns.max(1),
        }
    }

    /// Nonce for a new connection; only offered when nkeys are in use.
    pub fn nonce(&self) -> Option<String> {
        if !self.rules.load().nonce_required() {
            return None;
        }
        Some(data_encoding::BASE64URL_NOPAD.encode(&clock::secret::<11>()))
    }

    /// Fill of a receiver's queue from which its publishers are slowed down.
    pub fn stall_at(&self) -> usize {
        let options = self.options.load();
        if options.limits.no_fast_producer_stall {
            usize::MAX
        } else {
            (options.limits.max_pending as usize) / 4 * 3
        }
    }

    /// Whether `account` is the system account.
    pub fn is_system(&self, account: &AccountState) -> bool {
        account.name == self.system.name
    }

    /// The system account.
    pub fn system_account(&self) -> &Arc<AccountState> {
        &self.system
    }

    /// The name of an account as people know it, besides the one in subjects.
    pub fn account_tag(&self, account: &str) -> String {
        let rules = self.rules.load();
        rules.account(account).map_or(account, |a| a.display_name()).to_owned()
    }

    /// INFO for a connection: the first, or with `more` a later one.
    pub fn info_line(&self, to: &Greeting<'_>, more: Option<&Session>) -> Vec<u8> {
        let mut info = self.info.clone();
        info.port = self.client_port();
        {
            let options = self.options.load();
            info.max_payload = options.limits.max_payload;
            if let Some((host, port)) = options.advertised() {
                info.host = host;
                info.port = port.unwrap_or(info.port);
            }
        }
        info.client_id = to.cid;
        info.client_ip = to.ip.map(|ip| ip.to_string()).unwrap_or_default();
        info.nonce = to.nonce.unwrap_or_default().to_owned();
        if to.websocket {
            self.websocket_info(&mut info);
        } else if let Some(tls) = self.tls.clients() {
            let optional = self.options.load().allow_non_tls && !to.tls_first;
            info.tls_required = !optional;
            info.tls_available = optional;
            info.tls_verify = tls.verify;
        }
        let kind = if to.websocket { ConnectionKind::Websocket } else { ConnectionKind::Standard };
        info.auth_required = self.rules.load().auth_required(kind)
            && (more.is_some() || to.websocket || !self.has_no_auth_user());
        if let Some(js) = self.jetstream.get() {
            info.jetstream = true;
            info.domain.clone_from(&js.domain);
        }
        if let Some(session) = more {
            info.nonce.clear();
            info.connect_info = true;
            info.max_payload = session.max_payload as i64;
            if let Some(account) = &session.account {
                info.remote_account.clone_from(&account.name);
                info.acc_is_sys = self.is_system(account);
            }
        }
        info.ldm = more.is_some_and(|s| s.told_to_leave) || (more.is_some() && self.is_lame_duck());
        let mut line = Vec::with_capacity(512);
        gust_wire::client::encode::info_line(&mut line, &info.to_json());
        line
    }

    /// With a `no_auth_user` a client need not know of logins until it is in. Not
    /// so through WebSocket, where some clients keep their credentials to
    /// themselves unless they are told.
    fn has_no_auth_user(&self) -> bool {
        !self.options.load().no_auth_user.is_empty()
    }

    /// What INFO says of the WebSocket listener instead of the client listener.
    fn websocket_info(&self, info: &mut Info) {
        let ws = &self.options.load().websocket;
        info.host.clone_from(&ws.listen.host);
        info.port = self.listening.get().and_then(|l| l.websocket).map_or(0, |a| a.port());
        info.tls_required = ws.tls.is_some();
        info.tls_available = ws.tls.is_some();
    }

    /// Adds a subscription to its account's interest.
    pub fn subscribe(&self, shard: &Shard, account: &Arc<AccountState>, sub: &Arc<Subscription>) {
        account.interest.insert(&sub.subject, &sub.queue, sub.id, sub.clone());
        self.stats.subscriptions.fetch_add(1, Relaxed);
        crate::exchange::subscribed(self, account, sub);
        self.interest_changed(shard, account, &sub.subject);
    }

    /// Removes a subscription.
    pub fn unsubscribe(&self, shard: &Shard, account: &Arc<AccountState>, sub: &Arc<Subscription>) {
        sub.closed.store(true, Relaxed);
        account.interest.remove(&sub.subject, &sub.queue, sub.id);
        self.stats.subscriptions.fetch_sub(1, Relaxed);
        crate::exchange::unsubscribed(shard, account, sub);
        self.interest_changed(shard, account, &sub.subject);
    }

    /// Tells streams that interest in `subject` came or went; from any thread.
    pub fn interest_changed_anywhere(&self, account: &AccountState, subject: &[u8]) {
        for watch in account.watchers(subject) {
            let group = watch.group;
            self.shard(watch.shard).send_one(Mail::Call(Box::new(move |s| {
                s.engine.borrow_mut().interest_changed(s, group);
            })));
        }
    }

    fn interest_changed(&self, shard: &Shard, account: &AccountState, subject: &[u8]) {
        for watch in account.watchers(subject) {
            let group = watch.group;
            shard.mail(
                watch.shard,
                Mail::Call(Box::new(move |s| s.engine.borrow_mut().interest_changed(s, group))),
            );
        }
    }

    /// Closes a client that does not keep up.
    pub fn slow_consumer(&self, account: &AccountState, client: &Client, reason: CloseReason) {
        self.stats.slow_consumers.fetch_add(1, Relaxed);
        account.slow_consumers.fetch_add(1, Relaxed);
        match reason {
            CloseReason::SlowConsumerWriteDeadline => tracing::info!(
                "{} - Slow Consumer Detected: WriteDeadline exceeded",
                client.label()
            ),
            _ => tracing::info!(
                "{} - Slow Consumer Detected: MaxPending of {} Exceeded",
                client.label(),
                self.options.load().limits.max_pending
            ),
        }
        client.close(reason);
    }

    /// Books a closed connection.
    pub fn disconnected(
        &self,
        client: &Arc<Client>,
        account: Option<&Arc<AccountState>>,
        reason: CloseReason,
    ) {
        self.stats.connections.fetch_sub(1, Relaxed);
        self.clients.remove(client, reason, clock::now());
        if let Some(account) = account {
            account.connections.fetch_sub(1, Relaxed);
            account.book(client.traffic(true));
            conns::changed(self, account);
        }
    }

    /// Resolves when the server stops.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut rx = self.stopped.subscribe();
        async move {
            let _ = rx.wait_for(|s| *s).await;
        }
    }

    /// Whether it is stopping.
    pub fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Stops everything.
    pub fn stop(&self) {
        let _ = self.stopped.send(true);
        for s in &self.shards {
            s.wake();
        }
    }

    /// Whether the server is in lame duck mode.
    pub fn is_lame_duck(&self) -> bool {
        self.lame_duck.load(Relaxed)
    }

    /// Lame duck: tells clients to go elsewhere, then closes them evenly over
    /// the configured time and stops (contract core.md §1.9). Listeners are
    /// closed by the caller first.
    pub async fn lame_duck(self: &Arc<Self>) {
        if self.lame_duck.swap(true, Relaxed) {
            return;
        }
        tracing::info!("Entering lame duck mode, stop accepting new clients");
        shutdown::lame_duck(self).await;
        let clients = self.clients.all();
        if clients.is_empty() {
            self.stop();
            return;
        }
        for c in &clients {
            c.signal(signal::LAME_DUCK);
        }
        let options = self.options.load_full();
        let grace = Duration::from_nanos(options.limits.lame_duck_grace_period_ns.max(0) as u64);
        tokio::time::sleep(grace).await;
        let all = Duration::from_nanos(options.limits.lame_duck_duration_ns.max(0) as u64);
        let clients = self.clients.all();
        if !clients.is_empty() {
            tracing::info!("Closing existing clients");
            let n = clients.len() as u32;
            let pause = (all.saturating_sub(grace) / n).min(Duration::from_secs(1));
            for c in clients {
                c.close(CloseReason::ServerShutdown);
                tokio::time::sleep(pause).await;
            }
        }
        self.stop();
    }
}
