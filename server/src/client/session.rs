//! The task that owns a client's socket: reads, hands operations on, keeps the
//! timers, and closes.

use super::opening::{Opened, Opening};
use super::pending::PendingLogin;
use super::{Client, signal};
use crate::account::AccountState;
use crate::clock;
use crate::connection::inbound::Inbound;
use crate::connection::outbound::{Finish, Flushed, Outbound, Pushed};
use crate::connection::reason::CloseReason;
use crate::server::{CLOSE_DRAIN, Greeting};
use crate::shard::mailbox::{AcceptFacts, Door};
use crate::shard::{READ_CHUNK, Shard};
use crate::subscription::Subscription;
use crate::system::disconnect;
use bytes::{Buf, Bytes, BytesMut};
use gust_account::Identity;
use gust_account::certificate::CertificateNames;
use gust_interest::MatchCache;
use gust_subject::MappingCache;
use gust_wire::client::ErrText;
use gust_wire::connect::Connect;
use hashbrown::HashMap;
use rustls::pki_types::CertificateDer;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::TcpStream;

/// Bytes of subjects and results one connection's match cache may hold. Full:
/// the older half is dropped.
const MATCH_CACHE_BYTES: usize = 256 * 1024;
/// Bytes of subjects one connection remembers the mappings of. Full: as above.
const MAPPING_CACHE_BYTES: usize = 64 * 1024;
/// Most bytes set aside for an operation that has not come in full. Memory that
/// is not written to costs nothing, so this bounds what a slow peer can hold.
const PARTIAL_ROOM: usize = 256 * 1024;
/// Bytes read beyond the end of such an operation.
const PARTIAL_MORE: usize = 4096;
/// How often to see whether a peer that waits for its login is still there.
const GONE_EVERY: Duration = Duration::from_millis(100);
/// First PING after CONNECT (contract core.md §1.8), ns; up to 20 % is added.
const FIRST_PING: i64 = 2_000_000_000;

/// A client connection as its owner sees it.
pub struct Session {
    /// The shared half.
    pub client: Arc<Client>,
    /// The shard that runs this task.
    pub shard: Rc<Shard>,
    /// Account it is bound to; `None` before login.
    pub account: Option<Arc<AccountState>>,
    /// Who it is.
    pub identity: Option<Identity>,
    /// The CONNECT that is being decided, kept while that takes time.
    pub presented: Option<Box<Connect>>,
    /// Its subscriptions by sid.
    pub subs: HashMap<Bytes, Arc<Subscription>>,
    /// Matches of subjects it publishes to.
    pub cache: MatchCache<Arc<Subscription>>,
    /// What its account's mappings make of subjects it publishes to.
    pub renamed: MappingCache,
    /// Reply subjects it may answer (`allow_responses`), and cached verdicts.
    pub rights: super::publish::Rights,
    /// CONNECT `verbose`.
    pub verbose: bool,
    /// CONNECT `pedantic`.
    pub pedantic: bool,
    /// CONNECT `no_responders`.
    pub no_responders: bool,
    /// CONNECT `protocol`.
    pub protocol: i64,
    /// Effective payload limit.
    pub max_payload: usize,
    /// Effective subscription limit; `usize::MAX`: none.
    pub max_subs: usize,
    /// The nonce offered in INFO.
    pub nonce: Option<String>,
    /// Names of its certificate where those name the user.
    pub certificate: Option<Arc<CertificateNames>>,
    /// The second INFO went out.
    pub info_sent: bool,
    /// It was told to move to another server.
    pub told_to_leave: bool,
    /// Publishing must pause: a receiver's queue is nearly full.
    pub stall: bool,
    inbound: Inbound,
    partial: BytesMut,
    need: usize,
    pings_out: u32,
    ping_sent: i64,
    auth_deadline: i64,
    next_ping: i64,
    /// A CONNECT was accepted.
    pub connected: bool,
}

/// What stopped the parsing of a chunk.
pub enum Stop {
    /// Needs more bytes (this many in all).
    Incomplete(usize),
    /// Close now.
    Close(CloseReason),
    /// The login needs something that takes time.
    Login(Box<PendingLogin>),
}

/// Takes an accepted socket over.
pub fn start(shard: &Rc<Shard>, socket: std::net::TcpStream, facts: &AcceptFacts) {
    let server = &shard.server;
    let addr = socket.peer_addr();
    let (Ok(addr), Ok(socket)) = (addr, TcpStream::from_std(socket)) else {
        // Gone already.
        if !facts.over_limit {
            server.stats.connections.fetch_sub(1, Relaxed);
        }
        return;
    };
    let socket = Arc::new(socket);
    if facts.door == Door::Websocket {
        let opening = crate::websocket::opening::run(shard.clone(), socket, addr, facts.over_limit);
        tokio::task::spawn_local(opening);
        return;
    }
    if facts.over_limit {
        super::opening::turn_away(shard, socket, addr);
        return;
    }
    if let Some(opening) = Opening::needed(shard, &socket, addr) {
        tokio::task::spawn_local(opening.run());
        return;
    }
    let client = register(shard, make(shard, server.next_cid(), &socket, addr));
    let nonce = server.nonce();
    let info = server.info_line(&Greeting::new(&client, nonce.as_deref()), None);
    let _ = client.out.push(|out| out.extend_from_slice(&info));
    begin(
        shard,
        client,
        Opened { inbound: Inbound::new(socket, BytesMut::new()), nonce, tls: None },
    );
}

/// Makes the shared half of a connection.
pub fn make(
    shard: &Shard,
    cid: u64,
    socket: &Arc<TcpStream>,
    addr: std::net::SocketAddr,
) -> Client {
    let max_pending = shard.server.options.load().limits.max_pending as usize;
    Client::new(cid, addr, shard.id, clock::now(), Outbound::new(socket.clone(), max_pending))
}

/// Enters a connection into the registry.
pub fn register(shard: &Shard, client: Client) -> Arc<Client> {
    let client = Arc::new(client);
    shard.server.clients.insert(&client);
    tracing::debug!("{} - Client connection created", client.label());
    client
}

/// Starts the session of a connection on which the protocol may begin.
pub fn begin(shard: &Rc<Shard>, client: Arc<Client>, opened: Opened) {
    let server = &shard.server;
    let options = server.options.load();
    let now = clock::now();
    let Opened { inbound, nonce, tls } = opened;
    let certificate = tls.as_ref().and_then(|t| t.names.clone());
    client.facts.lock().tls = tls;
    let mut session = Session {
        account: None,
        identity: None,
        presented: None,
        subs: HashMap::new(),
        cache: MatchCache::new(MATCH_CACHE_BYTES, shard.rng.next()),
        renamed: MappingCache::new(MAPPING_CACHE_BYTES, shard.rng.next()),
        rights: super::publish::Rights::default(),
        verbose: true,
        pedantic: true,
        no_responders: false,
        protocol: 0,
        max_payload: options.limits.max_payload as usize,
        max_subs: match options.limits.max_subscriptions {
            limit @ 1.. => limit as usize,
            _ => usize::MAX,
        },
        nonce,
        certificate,
        info_sent: false,
        told_to_leave: false,
        stall: false,
        inbound,
        partial: BytesMut::new(),
        need: 0,
        pings_out: 0,
        ping_sent: 0,
        auth_deadline: i64::MAX,
        next_ping: i64::MAX,
        connected: false,
        shard: shard.clone(),
        client,
    };
    if let Err(reason) = session.recheck_certificate() {
        session.client.close(reason);
    }
    session.welcome();
    if session.account.is_none() {
        session.auth_deadline = now + server.auth_timeout(session.client.kind());
    }
    session.next_ping = now + session.ping_interval().min(FIRST_PING + jitter(shard));
    session.arm();
    shard.flush(&session.client);
    tokio::task::spawn_local(async move {
        let reason = session.run().await;
        // Once in its life: not worth room in every connection.
        Box::pin(session.end(reason)).await;
    });
}

fn jitter(shard: &Shard) -> i64 {
    (shard.rng.next() % (FIRST_PING as u64 / 5)) as i64
}

impl Session {
    /// Serves it until there is a reason to close.
    async fn run(&mut self) -> CloseReason {
        loop {
            if let Err(reason) = self.wait().await {
                return reason;
            }
        }
    }

    /// Waits for something to do and does it.
    async fn wait(&mut self) -> Result<(), CloseReason> {
        let client = self.client.clone();
        self.signals(client.take_signals())?;
        let blocked = client.out.blocked_since().is_some();
        tokio::select! {
            // Signals first: what comes after a reload is judged by its rules.
            biased;
            () = client.signalled() => return Ok(()),
            r = self.inbound.writable(), if blocked => {
                r.map_err(|_| CloseReason::WriteError)?;
                if client.out.flush(true) == Flushed::Failed {
                    return Err(CloseReason::WriteError);
                }
                return Ok(());
            }
            r = self.inbound.readable() => r.map_err(|_| CloseReason::ReadError)?,
        }
        let full = self.read().await?;
        if self.stall {
            self.stall = false;
            client.stalls.fetch_add(1, Relaxed);
            crate::stats::add(&self.shard.stats.stalled_clients, 1);
            tokio::time::sleep(Duration::from_millis(2)).await;
        } else if full {
            // More is waiting, but others and the flush come first.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Reads once and processes what came. True if the buffer was filled.
    async fn read(&mut self) -> Result<bool, CloseReason> {
        let own = !self.partial.is_empty();
        let mut buf = if own {
            let mut b = std::mem::take(&mut self.partial);
            let missing = self.need.saturating_sub(b.len());
            b.reserve(missing.max(PARTIAL_MORE));
            b
        } else {
            self.shard.take_read_buf()
        };
        let had = buf.len();
        let room = if own { buf.capacity() - had } else { READ_CHUNK };
        let read = self.inbound.read(&mut buf, room)?;
        if read.reply && self.client.out.wake() == Pushed::MustFlush {
            self.shard.touch(self.client.clone());
        }
        if read.bytes == 0 {
            if own {
                self.partial = buf;
            } else {
                self.shard.put_read_buf(buf);
            }
            return if read.ended { Err(CloseReason::ClientClosed) } else { Ok(read.more) };
        }
        self.client.last_activity.store(clock::now(), Relaxed);
        if own && buf.len() < self.need && !read.ended {
            self.partial = buf;
            return Ok(read.more);
        }
        let chunk = buf.split().freeze();
        if !own {
            self.shard.put_read_buf(buf);
        }
        self.consume(chunk).await?;
        if read.ended { Err(CloseReason::ClientClosed) } else { Ok(read.more) }
    }

    async fn consume(&mut self, mut chunk: Bytes) -> Result<(), CloseReason> {
        loop {
            let (used, stop) = self.process(&chunk);
            chunk.advance(used);
            match stop {
                None => return Ok(()),
                Some(Stop::Close(reason)) => return Err(reason),
                Some(Stop::Incomplete(need)) => {
                    // Room for the next read as well, so that it does not move
                    // what is here; more only once it has come.
                    let room = need.min(PARTIAL_ROOM).max(chunk.len()) + PARTIAL_MORE;
                    let mut keep = BytesMut::with_capacity(room);
                    keep.extend_from_slice(&chunk);
                    self.partial = keep;
                    self.need = need;
                    return Ok(());
                }
                Some(Stop::Login(pending)) => {
                    // Rare, and its state is larger than all the rest.
                    Box::pin(self.settle(*pending)).await?;
                    // The rules may have changed while it took its time, and the
                    // rest of the chunk is under the new ones.
                    self.signals(self.client.take_signals())?;
                }
            }
        }
    }

    /// The certificates of the peer in DER, its own first.
    pub fn peer_certificates(&self) -> Vec<CertificateDer<'static>> {
        self.inbound.peer_certificates()
    }

    /// Tells the layers below that the peer is no stranger any more.
    pub fn logged_in(&self) {
        self.inbound.logged_in();
    }

    /// Resolves when the peer has closed its side, which nobody would notice while
    /// nothing is read. Looks only now and then once bytes wait to be read.
    pub async fn gone(&self) {
        let socket = self.inbound.socket();
        while let Ok(ready) = socket.ready(tokio::io::Interest::READABLE).await
            && !ready.is_read_closed()
        {
            tokio::time::sleep(GONE_EVERY).await;
        }
    }

    fn signals(&mut self, bits: u8) -> Result<(), CloseReason> {
        if bits == 0 {
            return Ok(());
        }
        if bits & signal::CLOSE != 0 {
            return Err(self.client.close_reason().unwrap_or(CloseReason::ClientClosed));
        }
        if bits & signal::TIMER != 0 {
            self.on_timer()?;
        }
        if bits & signal::PING != 0 && self.info_sent {
            self.ping(clock::now());
        }
        if bits & signal::RULES != 0 {
            self.recheck()?;
        }
        if bits & signal::LAME_DUCK != 0 && self.protocol >= 1 {
            self.told_to_leave = true;
            self.send_info();
        }
        Ok(())
    }

    fn on_timer(&mut self) -> Result<(), CloseReason> {
        let now = clock::now();
        let options = self.shard.server.options.load();
        if self.account.is_none() && now >= self.auth_deadline {
            self.send(|out| ErrText::AuthenticationTimeout.put_line(out));
            tracing::error!("{} - Authentication Timeout", self.client.label());
            return Err(CloseReason::AuthenticationTimeout);
        }
        self.expire(now)?;
        if let Some(since) = self.client.out.blocked_since()
            && since.elapsed().as_nanos() as i64 > options.limits.write_deadline_ns
        {
            if let Some(account) = &self.account {
                self.shard.server.slow_consumer(
                    account,
                    &self.client,
                    CloseReason::SlowConsumerWriteDeadline,
                );
            }
            return Err(CloseReason::SlowConsumerWriteDeadline);
        }
        if now >= self.next_ping {
            let idle = now - self.client.last_activity.load(Relaxed);
            let interval = self.ping_interval();
            let quiet = idle >= interval;
            if self.pings_out > options.limits.ping_max as u32 {
                self.send(|out| ErrText::StaleConnection.put_line(out));
                crate::stats::add(&self.shard.stats.stale_connections, 1);
                tracing::debug!("{} - Stale Client Connection - Closing", self.client.label());
                return Err(CloseReason::StaleConnection);
            }
            // The first PING measures the round trip; later ones are skipped
            // while the client shows life by itself.
            if quiet || self.ping_sent == 0 || self.pings_out > 0 {
                self.ping(now);
            }
            self.client.out.shrink();
            self.next_ping = now + interval;
        }
        self.arm();
        Ok(())
    }

    /// Time between two PINGs, ns.
    pub fn ping_interval(&self) -> i64 {
        let options = self.shard.server.options.load();
        match (&self.client.websocket, options.websocket.ping_interval_ns) {
            (Some(_), own @ 1..) => own,
            _ => options.limits.ping_interval_ns,
        }
    }

    /// Sends a PING to measure the round trip and to see whether it lives.
    pub fn ping(&mut self, now: i64) {
        self.pings_out += 1;
        self.ping_sent = now;
        self.send(|out| out.extend_from_slice(b"PING\r\n"));
    }

    /// A PONG came.
    pub fn ponged(&mut self) {
        if self.pings_out > 0 {
            self.client.rtt.store((clock::now() - self.ping_sent).max(1), Relaxed);
        }
        self.pings_out = 0;
    }

    /// Called once CONNECT was accepted: the first PING comes soon after.
    pub fn on_connected(&mut self) {
        self.connected = true;
        self.auth_deadline = i64::MAX;
        let interval = self.ping_interval();
        let now = clock::now();
        // An estimate until the first PONG, for those who are told of it.
        self.client.rtt.store((now - self.client.start).max(1), Relaxed);
        self.next_ping = now + interval.min(FIRST_PING + jitter(&self.shard));
        self.arm();
    }

    /// Looks at the connection again when the next of its times comes.
    pub fn arm(&self) {
        let mut at = self.next_ping.min(self.auth_deadline).min(self.expires());
        // A blocked queue is looked at often enough to keep the write deadline.
        if self.client.out.blocked_since().is_some() {
            at = at.min(clock::now() + 1_000_000_000);
        }
        self.shard.timers.borrow_mut().set(&self.client, at);
    }

    /// The interval was changed: pings no later than it says.
    pub fn ping_within(&mut self, interval: i64) {
        let at = clock::now() + interval;
        if at < self.next_ping {
            self.next_ping = at;
            self.arm();
        }
    }

    /// Queues protocol bytes for the peer.
    pub fn send(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        if self.client.out.push(encode) == Pushed::MustFlush {
            self.shard.touch(self.client.clone());
        }
    }

    async fn end(mut self, reason: CloseReason) {
        self.client.close(reason);
        self.client.out.close();
        // Monitoring shows how many it had.
        let subs = self.client.subs.load(Relaxed);
        self.drop_subscriptions();
        self.client.subs.store(subs, Relaxed);
        self.shard.server.disconnected(&self.client, self.account.as_ref(), reason);
        let account = self.account.as_ref().map(|a| a.name.as_str());
        disconnect::disconnected(&self.shard, account, &self.client, reason);
        tracing::debug!("{} - Client connection closed: {reason}", self.client.label());
        drain(&self.client, self.inbound.socket(), reason).await;
        self.client.out.forget_socket();
    }
}

/// Gives the last bytes (an -ERR, say) a moment to leave.
pub async fn drain(client: &Client, socket: &TcpStream, reason: CloseReason) {
    let _ = tokio::time::timeout(CLOSE_DRAIN, async {
        loop {
            match client.out.flush(true) {
                Flushed::Blocked => {
                    if socket.writable().await.is_err() {
                        return;
                    }
                }
                Flushed::Done => match client.out.finish(reason) {
                    Finish::Nothing => return,
                    Finish::Flush => {}
                    Finish::Busy => tokio::task::yield_now().await,
                },
                Flushed::Failed => return,
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::Session;

    /// What a connection costs whatever it does; a future that is awaited only
    /// now and then belongs into a box.
    #[test]
    fn a_session_is_small() {
        fn task<F: Future>(_: fn(&'static mut Session) -> F) -> usize {
            size_of::<F>() + size_of::<Session>()
        }
        let bytes = task(Session::run);
        assert!(bytes <= 1536, "the task of a session takes {bytes} bytes");
    }
}
