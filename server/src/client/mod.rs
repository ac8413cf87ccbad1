//! Client connections: the part other threads see ([`Client`]) and the session
//! run by the task that owns the socket.

use crate::connection::outbound::Outbound;
use crate::connection::reason::CloseReason;
use crate::websocket::WebsocketFacts;
use bytes::Bytes;
use gust_account::{ConnectionKind, Identity, Permissions, ResponseGrants, TokenFacts};
use gust_wire::connect::Connect;
use parking_lot::Mutex;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering::AcqRel, Ordering::Relaxed,
};
use tokio::sync::Notify;

pub mod auth;
pub mod opening;
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
    /// It came through the WebSocket listener.
    pub websocket: Option<Box<WebsocketFacts>>,
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
    /// Who it says it is and, once logged in, who it is: a name, an nkey, the
    /// user key of a JWT or `[REDACTED]` for a token.
    pub user: String,
    /// What kind of name `user` is.
    pub login: LoginName,
    /// Account it is bound to.
    pub account: String,
    /// The account with its name for people, for logs.
    pub account_label: String,
    /// Time from the start of the connection to its CONNECT, ns: the first idea of
    /// its round trip. 0 before.
    pub connect_took: i64,
    /// What TLS negotiated; `None`: plain TCP.
    pub tls: Option<Arc<crate::tls::TlsFacts>>,
    /// What it may do; `None`: everything.
    pub permissions: Option<Arc<Permissions>>,
    /// When its login ends, ns since the epoch.
    pub expires: Option<i64>,
    /// What its user JWT says.
    pub token: Option<Arc<TokenFacts>>,
    /// Public key of the trusted proxy it came through.
    pub proxy: Option<Arc<str>>,
}

/// How a client names itself, as its log label says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoginName {
    /// Not at all.
    #[default]
    Nobody,
    /// By a user name.
    User,
    /// By a public nkey.
    Nkey,
    /// By a user JWT.
    Jwt,
    /// By a token, which is never shown.
    Token,
}

/// Shown in the place of a token.
pub const REDACTED: &str = "[REDACTED]";

impl ClientFacts {
    /// Takes over what CONNECT, which took that long (ns), says about the client.
    /// No secret is kept.
    pub fn introduce(&mut self, connect: &Connect, took: i64) {
        self.name.clone_from(&connect.name);
        self.lang.clone_from(&connect.lang);
        self.version.clone_from(&connect.version);
        self.connect_took = took.max(1);
    }

    /// Takes over as whom it presents itself: what the log and monitoring show
    /// until it is known who it is.
    pub fn present(&mut self, connect: &Connect) {
        let (login, user) = if !connect.nkey.is_empty() {
            (LoginName::Nkey, connect.nkey.as_str())
        } else if !connect.user.is_empty() {
            (LoginName::User, connect.user.as_str())
        } else if !connect.jwt.is_empty() {
            // Its key is not known before the token was checked.
            (LoginName::Jwt, "")
        } else if !connect.auth_token.is_empty() {
            (LoginName::Token, REDACTED)
        } else {
            (LoginName::Nobody, "")
        };
        self.login = login;
        user.clone_into(&mut self.user);
    }

    /// Takes over who the client turned out to be.
    pub fn identify(&mut self, identity: &Identity) {
        let account = &identity.account;
        account.name.as_ref().clone_into(&mut self.account);
        self.account_label = match account.token {
            Some(_) => format!("{}/{}", account.name, account.display_name()),
            None => account.name.to_string(),
        };
        if !identity.name.is_empty() {
            identity.name.as_ref().clone_into(&mut self.user);
            let nkey = identity.user.as_ref().is_some_and(|u| u.is_nkey);
            self.login = match (&identity.token, nkey) {
                (Some(_), _) => LoginName::Jwt,
                (None, true) => LoginName::Nkey,
                (None, false) => LoginName::User,
            };
        }
        self.permissions.clone_from(&identity.permissions);
        self.expires = identity.expires;
        self.token.clone_from(&identity.token);
        self.proxy.clone_from(&identity.proxy);
    }

    /// Who vouches for it: the key that signed its token; of a configured nkey its
    /// account, as nats-server says. Empty: nobody.
    pub fn issuer_key(&self) -> &str {
        match (&self.token, self.login) {
            (Some(token), _) => &token.issuer_key,
            (None, LoginName::Nkey) => &self.account,
            (None, _) => "",
        }
    }

    /// The client as a refused login names it: `User "a"`.
    pub fn described(&self) -> String {
        match self.login {
            LoginName::Nobody => "nobody".to_owned(),
            LoginName::User => format!("User {:?}", self.user),
            LoginName::Nkey => format!("Nkey {:?}", self.user),
            LoginName::Jwt => format!("JWT User {:?}", self.user),
            LoginName::Token => format!("Token {REDACTED:?}"),
        }
    }

    /// `"v1.2:go:name" - "A/user:a"`: the client's part of its log label.
    fn label(&self) -> String {
        let mut s = String::new();
        let version =
            if self.version.is_empty() { String::new() } else { format!("v{}", self.version) };
        let about: Vec<&str> = [version.as_str(), &self.lang, &self.name]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        if !about.is_empty() {
            s.push_str(&format!(" - {:?}", about.join(":")));
        }
        if !self.account.is_empty() {
            let user = match self.login {
                LoginName::Nobody => return s,
                LoginName::User => format!("user:{}", self.user),
                LoginName::Nkey => format!("nkey:{}", self.user),
                LoginName::Jwt => format!("jwt:{}", self.user),
                LoginName::Token => "token".to_owned(),
            };
            s.push_str(&format!(" - {:?}", format!("{}/{user}", self.account_label)));
        }
        s
    }
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
            websocket: None,
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

    /// How it connects.
    pub fn kind(&self) -> ConnectionKind {
        match self.websocket {
            None => ConnectionKind::Standard,
            Some(_) => ConnectionKind::Websocket,
        }
    }

    /// The same in the words of monitoring and events.
    pub fn client_type(&self) -> &'static str {
        if self.websocket.is_some() { "websocket" } else { "nats" }
    }

    /// `ip:port - cid:N - "v1.2:go:name" - "A/user:a"`, the label of its log
    /// lines; the last part comes with the login. With WebSocket it says `wid`,
    /// and first the address a proxy speaks for.
    pub fn label(&self) -> String {
        let (addr, cid, facts) = (self.addr, self.cid, self.facts.lock().label());
        match &self.websocket {
            None => format!("{addr} - cid:{cid}{facts}"),
            Some(ws) => match ws.forwarded_for {
                None => format!("{addr} - wid:{cid}{facts}"),
                Some(IpAddr::V4(ip)) => format!("{ip}/{addr} - wid:{cid}{facts}"),
                Some(IpAddr::V6(ip)) => format!("[{ip}]/{addr} - wid:{cid}{facts}"),
            },
        }
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
