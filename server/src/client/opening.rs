//! What comes before the protocol on a client connection: the PROXY header, the
//! TLS handshake, and INFO at its place among them (contract/core.md §1.1,
//! §1.10, §7). A listener with neither does not pass here.
//!
//! Limits: [`handshake::MAX_RECEIVED`] bytes per peer, `tls.timeout` for the
//! handshake and [`PROXY_TIMEOUT`] for the header.

use super::session::{begin, drain, make, register};
use super::{Client, signal};
use crate::connection::codec::Codec;
use crate::connection::inbound::Inbound;
use crate::connection::outbound::Outbound;
use crate::connection::reason::CloseReason;
use crate::server::Greeting;
use crate::shard::Shard;
use crate::system::disconnect;
use crate::tls::handshake::{self, HandshakeError, Shaken};
use crate::tls::rate::Rate;
use crate::tls::{TlsFacts, TlsSettings};
use bytes::BytesMut;
use gust_wire::client::ErrText;
use gust_wire::proxy::{self, Sniffed};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Time for the PROXY header.
pub const PROXY_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection on its way to the protocol.
pub struct Opening {
    shard: Rc<Shard>,
    socket: Arc<TcpStream>,
    addr: SocketAddr,
    cid: u64,
    nonce: Option<String>,
    tls: Option<Arc<TlsSettings>>,
    /// A PROXY header may come.
    proxied: bool,
    allow_non_tls: bool,
    /// Bytes of the socket nobody has used yet.
    received: BytesMut,
}

/// A connection on which the protocol may begin.
pub struct Opened {
    /// Its reading half.
    pub inbound: Inbound,
    /// The nonce INFO offered.
    pub nonce: Option<String>,
    /// What TLS negotiated.
    pub tls: Option<Arc<TlsFacts>>,
}

/// Why there will be no session; what the peer is to hear was written.
struct Failed(CloseReason);

impl Opening {
    /// `None`: the protocol may begin at once.
    pub fn needed(shard: &Rc<Shard>, socket: &Arc<TcpStream>, addr: SocketAddr) -> Option<Self> {
        let server = &shard.server;
        let tls = server.tls.clients();
        let options = server.options.load();
        if tls.is_none() && !options.proxy_protocol {
            return None;
        }
        Some(Self {
            shard: shard.clone(),
            socket: socket.clone(),
            addr,
            cid: server.next_cid(),
            nonce: server.nonce(),
            tls,
            proxied: options.proxy_protocol,
            allow_non_tls: options.allow_non_tls,
            received: BytesMut::new(),
        })
    }

    /// Opens the connection and starts its session, or ends it.
    pub async fn run(mut self) {
        // Behind a proxy the address, which many parts look at, comes first.
        let mut client = None;
        if !self.proxied {
            client =
                Some(register(&self.shard, make(&self.shard, self.cid, &self.socket, self.addr)));
        }
        let watched = client.clone();
        let result = tokio::select! {
            r = self.open(&mut client) => r,
            reason = closed(watched) => Err(Failed(reason)),
        };
        let shard = self.shard.clone();
        let client = client
            .unwrap_or_else(|| register(&shard, make(&shard, self.cid, &self.socket, self.addr)));
        match result {
            Ok(opened) => begin(&shard, client, opened),
            Err(Failed(reason)) => {
                client.close(reason);
                client.out.close();
                shard.server.disconnected(&client, None, reason);
                disconnect::disconnected(&shard, None, &client, reason);
                tracing::debug!("{} - Client connection closed: {reason}", client.label());
                client.out.forget_socket();
                linger(&self.socket).await;
            }
        }
    }

    async fn open(&mut self, client: &mut Option<Arc<Client>>) -> Result<Opened, Failed> {
        let tls = self.tls.clone();
        let mut first = tls.as_ref().is_some_and(|t| t.first);
        if let Some(wait) = tls.as_ref().filter(|t| t.first).and_then(|t| t.fallback) {
            first = self.wait_for(1, wait).await;
        }
        let mut ip = (!self.proxied).then(|| self.addr.ip());
        if !first {
            self.info(ip, false).await?;
        }
        if self.proxied {
            self.proxy_header().await?;
            ip = Some(self.addr.ip());
        }
        let client = client.get_or_insert_with(|| {
            register(&self.shard, make(&self.shard, self.cid, &self.socket, self.addr))
        });
        let client = client.clone();
        let mut facts = None;
        let mut inbound = None;
        if let Some(settings) = tls {
            let encrypted = if first || !self.allow_non_tls {
                true
            } else {
                // Whoever says nothing speaks plain.
                self.wait_for(1, settings.timeout).await;
                self.received.first().is_some_and(|b| proxy::is_tls(*b))
            };
            if encrypted {
                let (i, f) = self.encrypt(&settings, &client, first).await?;
                (inbound, facts) = (Some(i), Some(Arc::new(f)));
            }
        }
        if first {
            let info = self.info_line(ip, true);
            let _ = client.out.push(|out| out.extend_from_slice(&info));
        }
        let inbound = inbound.unwrap_or_else(|| {
            Inbound::new(self.socket.clone(), std::mem::take(&mut self.received))
        });
        Ok(Opened { inbound, nonce: self.nonce.take(), tls: facts })
    }

    fn info_line(&self, ip: Option<std::net::IpAddr>, tls_first: bool) -> Vec<u8> {
        let nonce = self.nonce.as_deref();
        self.shard
            .server
            .info_line(&Greeting { cid: self.cid, ip, nonce, tls_first, websocket: false }, None)
    }

    async fn info(&self, ip: Option<std::net::IpAddr>, tls_first: bool) -> Result<(), Failed> {
        let line = self.info_line(ip, tls_first);
        let written = timeout(PROXY_TIMEOUT, handshake::write(&self.socket, &line));
        match written.await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Failed(CloseReason::WriteError)),
        }
    }

    /// Waits until `n` bytes are there; false if they are not in `time`. Nobody
    /// is refused here: whatever comes next finds out what is wrong.
    async fn wait_for(&mut self, n: usize, time: Duration) -> bool {
        let Self { socket, received, .. } = self;
        let more = async {
            while received.len() < n {
                if handshake::read(socket, received, PEEK).await.is_err() {
                    return;
                }
            }
        };
        let _ = timeout(time, more).await;
        self.received.len() >= n
    }

    async fn proxy_header(&mut self) -> Result<(), Failed> {
        let end = tokio::time::Instant::now() + PROXY_TIMEOUT;
        loop {
            match proxy::sniff(&self.received) {
                Ok(Sniffed::Absent) => return Ok(()),
                Ok(Sniffed::Header { used, source }) => {
                    bytes::Buf::advance(&mut self.received, used);
                    if let Some(source) = source {
                        self.addr = source;
                    }
                    return Ok(());
                }
                Ok(Sniffed::NeedMore) => {
                    let left = end.saturating_duration_since(tokio::time::Instant::now());
                    let had = self.received.len();
                    if !self.wait_for(had + 1, left).await {
                        tracing::warn!("{}: no complete PROXY header in time", self.addr);
                        return Err(Failed(CloseReason::ProtocolViolation));
                    }
                }
                Err(e) => {
                    tracing::warn!("Error reading PROXY protocol header from {}: {e}", self.addr);
                    return Err(Failed(CloseReason::ProtocolViolation));
                }
            }
        }
    }

    async fn encrypt(
        &mut self,
        settings: &TlsSettings,
        client: &Arc<Client>,
        first: bool,
    ) -> Result<(Inbound, TlsFacts), Failed> {
        if let Rate::Refuse { first } = settings.rate.take(std::time::Instant::now()) {
            if first {
                tracing::warn!(
                    "{} - TLS handshake refused: connection_rate_limit is reached; others in this \
                     second are refused without a line here",
                    client.label()
                );
            }
            self.say(&ErrText::ConnectionThrottled);
            return Err(Failed(CloseReason::MaxConnectionsExceeded));
        }
        let raw = std::mem::take(&mut self.received);
        let shaken = handshake::accept(&self.shard, &self.socket, settings, raw).await;
        let checked = shaken.and_then(|s| match TlsFacts::of(&s.tls, settings, first) {
            Ok(facts) => Ok((s, facts)),
            Err(why) => Err(HandshakeError::Refused(why)),
        });
        let (Shaken { tls, plain }, facts) = checked.map_err(|e| self.failed(client, &e))?;
        let unrevoked = handshake::check_revocation(&self.shard, &tls, settings).await;
        unrevoked.map_err(|e| self.failed(client, &e))?;
        tracing::debug!(
            "{} - TLS handshake complete: version {}, cipher suite {}",
            client.label(),
            facts.version,
            facts.cipher
        );
        let codec = Arc::new(Mutex::new(Codec::new(Some(tls))));
        client.out.set_codec(codec.clone());
        let mut inbound = Inbound::new(self.socket.clone(), BytesMut::new());
        inbound.set_codec(codec);
        inbound.unread(&plain);
        Ok((inbound, facts))
    }

    fn failed(&self, client: &Client, e: &HandshakeError) -> Failed {
        match e {
            HandshakeError::Closed => {
                tracing::debug!("{} - TLS handshake error: {e}", client.label());
            }
            HandshakeError::Timeout => {
                tracing::error!("{} - TLS handshake timeout", client.label());
                self.say(&ErrText::TlsRequired);
            }
            _ => tracing::error!("{} - TLS handshake error: {e}", client.label()),
        }
        Failed(CloseReason::TlsHandshakeFailure)
    }

    /// Says why, as far as the socket takes it at once.
    fn say(&self, text: &ErrText<'_>) {
        let mut line = Vec::new();
        text.put_line(&mut line);
        let _ = self.socket.try_write(&line);
    }
}

/// Lets the peer read why it failed (an alert, an -ERR): closing while its bytes
/// are unread would reset the connection and throw our last ones away.
async fn linger(socket: &TcpStream) {
    let _ = socket2::SockRef::from(socket).shutdown(std::net::Shutdown::Write);
    let discard = async {
        let (mut sink, mut left) = (BytesMut::new(), handshake::MAX_RECEIVED);
        while left > 0 && handshake::read(socket, &mut sink, PEEK).await.is_ok() {
            left = left.saturating_sub(sink.len());
            sink.clear();
        }
    };
    let _ = timeout(LINGER, discard).await;
}

/// How long a refused peer may take to read why.
const LINGER: Duration = Duration::from_millis(500);
/// Bytes read at once to see what the peer speaks.
const PEEK: usize = 1024;

/// Resolves when the connection is to be closed.
async fn closed(client: Option<Arc<Client>>) -> CloseReason {
    let Some(client) = client else { return std::future::pending().await };
    loop {
        if client.take_signals() & signal::CLOSE != 0 {
            return client.close_reason().unwrap_or(CloseReason::ClientClosed);
        }
        client.signalled().await;
    }
}

/// Says that there are too many connections and closes.
pub fn turn_away(shard: &Rc<Shard>, socket: Arc<TcpStream>, addr: SocketAddr) {
    let server = &shard.server;
    let out = Outbound::new(socket.clone(), server.options.load().limits.max_pending as usize);
    let client = Client::new(server.next_cid(), addr, shard.id, crate::clock::now(), out);
    if !server.tls.clients().is_some_and(|t| t.first) {
        let info = server.info_line(&Greeting::new(&client, server.nonce().as_deref()), None);
        let _ = client.out.push(|out| out.extend_from_slice(&info));
    }
    let _ = client.out.push(|out| ErrText::MaximumConnections.put_line(out));
    tracing::error!("{} - maximum connections exceeded", client.label());
    client.out.close();
    let reason = CloseReason::MaxConnectionsExceeded;
    server.clients.remember(&client, reason, crate::clock::now());
    disconnect::disconnected(shard, None, &client, reason);
    tokio::task::spawn_local(async move {
        drain(&client, &socket, reason).await;
    });
}
