//! From an accepted socket to a session: TLS, the HTTP request, its answer, INFO.
//!
//! Limits for each peer: what [`handshake::accept`] takes, then
//! [`MAX_REQUEST`](gust_wire::websocket::upgrade::MAX_REQUEST) bytes of request within `handshake_timeout`. The connection
//! counts towards `max_connections` from the start, or takes one of the few places
//! for those that will only be told that there are too many; it has an id and is seen by
//! monitoring from the upgrade on.

use super::WebsocketFacts;
use super::framing::WebsocketFraming;
use crate::client::Client;
use crate::client::opening::Opened;
use crate::client::session::{begin, drain, register};
use crate::clock;
use crate::connection::codec::Codec;
use crate::connection::inbound::Inbound;
use crate::connection::outbound::{Flushed, Outbound};
use crate::connection::reason::CloseReason;
use crate::server::Greeting;
use crate::shard::Shard;
use crate::tls::handshake::{self, HandshakeError, Shaken};
use crate::tls::rate::Rate;
use crate::tls::{TlsFacts, TlsSettings};
use bytes::BytesMut;
use gust_config::Options;
use gust_wire::client::ErrText;
use gust_wire::websocket::upgrade::{
    Refusal, Request, Service, Upgrade, parse, put_accept, put_refusal,
};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Time for the request unless `handshake_timeout` is set. nats-server then
/// waits for ever.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes read at once.
const CHUNK: usize = 4096;

/// A connection on its way to the upgrade.
struct Opening {
    shard: Rc<Shard>,
    socket: Arc<TcpStream>,
    addr: SocketAddr,
    options: Arc<Options>,
    out: Outbound,
    inbound: Inbound,
    /// There is one already with TLS.
    codec: Option<Arc<Mutex<Codec>>>,
    tls: Option<Arc<TlsFacts>>,
}

/// Why there will be no session.
#[derive(Debug, thiserror::Error)]
enum OpeningError {
    #[error("the connection was closed during the handshake")]
    Closed,
    #[error("no complete request in time; see handshake_timeout")]
    Timeout,
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("TLS: {0}")]
    Tls(#[from] HandshakeError),
    #[error("connection_rate_limit is reached")]
    Throttled,
    #[error("Not configured to accept leaf node connections")]
    Leafnode,
}

/// Opens the connection and starts its session, or ends it.
pub async fn run(shard: Rc<Shard>, socket: Arc<TcpStream>, addr: SocketAddr, over_limit: bool) {
    let place = over_limit.then(|| shard.server.turned_away.take());
    if let Some(None) = place {
        tracing::debug!("{addr} - closed: max_connections is reached, and so many are told so");
        return;
    }
    let options = shard.server.options.load_full();
    let mut opening = Opening {
        out: Outbound::new(socket.clone(), options.limits.max_pending.max(0) as usize),
        inbound: Inbound::new(socket.clone(), BytesMut::new()),
        codec: None,
        tls: None,
        shard: shard.clone(),
        socket,
        addr,
        options,
    };
    let opened = opening.open().await;
    if opened.is_ok() {
        shard.server.stats.total_connections.fetch_add(1, Relaxed);
    }
    match opened {
        Ok(upgrade) if over_limit => opening.turn_away(upgrade).await,
        Ok(upgrade) => opening.begin(upgrade),
        Err(e) => {
            match e {
                // Port scans and load balancers do these; floods are many.
                OpeningError::Closed
                | OpeningError::Throttled
                | OpeningError::Tls(HandshakeError::Closed) => {
                    tracing::debug!("{addr} - websocket handshake error: {e}");
                }
                _ => tracing::error!("{addr} - websocket handshake error: {e}"),
            }
            if !over_limit {
                shard.server.stats.connections.fetch_sub(1, Relaxed);
            }
        }
    }
}

impl Opening {
    async fn open(&mut self) -> Result<Upgrade, OpeningError> {
        if let Some(settings) = self.shard.server.tls.websocket() {
            self.encrypt(&settings).await?;
        }
        let limit = match self.options.websocket.handshake_timeout_ns {
            ns @ 1.. => Duration::from_nanos(ns as u64),
            _ => HANDSHAKE_TIMEOUT,
        };
        timeout(limit, self.upgrade()).await.map_err(|_| OpeningError::Timeout)?
    }

    async fn encrypt(&mut self, settings: &TlsSettings) -> Result<(), OpeningError> {
        if let Rate::Refuse { first } = settings.rate.take(std::time::Instant::now()) {
            if first {
                tracing::warn!(
                    "{} - websocket TLS handshake refused: connection_rate_limit is reached; \
                     others in this second are refused without a line here",
                    self.addr
                );
            }
            return Err(OpeningError::Throttled);
        }
        let shaken = handshake::accept(&self.shard, &self.socket, settings, BytesMut::new()).await;
        let Shaken { tls, plain } = shaken?;
        let facts = TlsFacts::of(&tls, settings, false).map_err(HandshakeError::Refused)?;
        handshake::check_revocation(&self.shard, &tls, settings).await?;
        self.tls = Some(Arc::new(facts));
        let codec = Arc::new(Mutex::new(Codec::new(Some(tls))));
        self.out.set_codec(codec.clone());
        self.inbound = Inbound::new(self.socket.clone(), BytesMut::new());
        self.inbound.set_codec(codec.clone());
        self.inbound.unread(&plain);
        self.codec = Some(codec);
        Ok(())
    }

    /// The HTTP exchange, and from then on frames.
    async fn upgrade(&mut self) -> Result<Upgrade, OpeningError> {
        let policy = super::policy(&self.options);
        let mut request = BytesMut::new();
        let mut answer = Vec::new();
        let upgrade = loop {
            match parse(&request, &policy) {
                Ok(Request::Upgrade(upgrade)) => break *upgrade,
                Ok(Request::Incomplete) => {}
                Err(refusal) => {
                    put_refusal(&mut answer, refusal);
                    self.send(&answer).await?;
                    self.say_goodbye(CloseReason::ProtocolViolation).await;
                    return Err(refusal.into());
                }
            }
            self.read(&mut request).await?;
        };
        let headers = self.options.websocket.headers.iter();
        put_accept(&mut answer, &upgrade, headers.map(|(k, v)| (k.as_str(), v.as_str())));
        self.send(&answer).await?;
        if upgrade.service != Service::Client {
            self.say_goodbye(CloseReason::ProtocolViolation).await;
            return Err(OpeningError::Leafnode);
        }
        Ok(upgrade)
    }

    async fn read(&mut self, request: &mut BytesMut) -> Result<(), OpeningError> {
        self.inbound.readable().await.map_err(|_| OpeningError::Closed)?;
        // A read that leaves room unused counts as having taken all there is.
        request.reserve(CHUNK);
        let read = self.inbound.read(request, CHUNK).map_err(|_| OpeningError::Closed)?;
        if read.reply {
            let _ = self.out.wake();
            self.flush().await?;
        }
        if read.ended && read.bytes == 0 { Err(OpeningError::Closed) } else { Ok(()) }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), OpeningError> {
        let _ = self.out.push(|out| out.extend_from_slice(bytes));
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), OpeningError> {
        loop {
            match self.out.flush(true) {
                Flushed::Done => return Ok(()),
                Flushed::Failed => return Err(OpeningError::Closed),
                Flushed::Blocked => {
                    self.inbound.writable().await.map_err(|_| OpeningError::Closed)?;
                }
            }
        }
    }

    /// Ends TLS in order.
    async fn say_goodbye(&mut self, reason: CloseReason) {
        self.out.close();
        let _ = self.out.finish(reason);
        let _ = self.flush().await;
    }

    /// The shared half of the connection, which speaks in frames.
    fn client(&mut self, upgrade: Upgrade) -> Client {
        let (server, limits) = (&self.shard.server, &self.options.limits);
        let out = std::mem::replace(&mut self.out, Outbound::new(self.socket.clone(), 0));
        let mut client =
            Client::new(server.next_cid(), self.addr, self.shard.id, clock::now(), out);
        client.websocket = Some(Box::new(WebsocketFacts {
            forwarded_for: upgrade.forwarded_for,
            cookies: upgrade.cookies.clone(),
        }));
        // A message holds a publish of the largest size, if need be.
        let overhead = limits.max_control_line.max(0).saturating_add(64);
        let max_inflated = limits.max_payload.max(0).saturating_add(overhead) as usize;
        let framing = WebsocketFraming::new(&upgrade, max_inflated, client.label());
        let codec = self.codec.take().unwrap_or_default();
        codec.lock().set_framing(Box::new(framing));
        client.out.set_codec(codec.clone());
        self.inbound.set_codec(codec);
        client
    }

    fn begin(mut self, upgrade: Upgrade) {
        let client = self.client(upgrade);
        let client = register(&self.shard, client);
        let server = &self.shard.server;
        let nonce = server.nonce();
        let info = server.info_line(&Greeting::new(&client, nonce.as_deref()), None);
        let _ = client.out.push(|out| out.extend_from_slice(&info));
        let Self { shard, inbound, tls, .. } = self;
        begin(&shard, client, Opened { inbound, nonce, tls });
    }

    /// Says that there are too many connections and closes.
    async fn turn_away(mut self, upgrade: Upgrade) {
        let client = self.client(upgrade);
        let server = &self.shard.server;
        let info = server.info_line(&Greeting::new(&client, server.nonce().as_deref()), None);
        let _ = client.out.push(|out| out.extend_from_slice(&info));
        let _ = client.out.push(|out| ErrText::MaximumConnections.put_line(out));
        tracing::error!("{} - maximum connections exceeded", client.label());
        client.out.close();
        drain(&client, &self.socket, CloseReason::MaxConnectionsExceeded).await;
    }
}
