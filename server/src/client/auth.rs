//! CONNECT: reading it, deciding who the client is, binding it to its account.

use super::pending::{PasswordCheck, PendingLogin};
use super::session::{Session, Stop};
use crate::account::AccountState;
use crate::client::signal;
use crate::clock;
use crate::connection::reason::CloseReason;
use crate::system::{connect, conns, disconnect};
use gust_account::operator::JwtRefusal;
use gust_account::{AuthDecision, Identity, Login, Refusal, RefusalReason};
use gust_wire::client::ErrText;
use gust_wire::connect::Connect;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Session {
    /// Binds a client where nobody has to log in: it may act without CONNECT, and
    /// may wait with it as long as it likes.
    pub fn welcome(&mut self) {
        if !self.shard.server.rules.load().auth_required(self.client.kind()) {
            let _ = self.login_without_connect();
        }
    }

    /// Binds a client that acts without CONNECT: no auth configured, or
    /// `no_auth_user`. Where certificates or tokens name the user, CONNECT has to
    /// come.
    pub fn login_without_connect(&mut self) -> Result<(), CloseReason> {
        const EARLY: &str = "it sent something else before CONNECT";
        let accounts = self.shard.server.rules.load_full();
        // A sentinel is for those who say CONNECT; its times are judged then.
        if self.certificate.is_some() || accounts.trust().is_some() {
            return Err(self.refused(EARLY));
        }
        let login = Login {
            kind: self.client.kind(),
            now: clock::now(),
            peer: Some(self.client.addr.ip()),
            ..Login::default()
        };
        let AuthDecision::Accept(identity) = accounts.authenticate(&login) else {
            return Err(self.refused(EARLY));
        };
        let account = self.room_in(&identity).ok_or_else(|| self.no_room(&identity))?;
        self.bind(identity, account);
        Ok(())
    }

    /// Handles CONNECT.
    pub fn connect(&mut self, json: &[u8]) -> Option<Stop> {
        let mut connect = self.said_before();
        if let Err(e) = connect.update(json) {
            tracing::error!("{} - invalid CONNECT: {e}", self.client.label());
            return Some(Stop::Close(match self.client.websocket {
                None => CloseReason::ProtocolViolation,
                Some(_) => CloseReason::ParseError,
            }));
        }
        let again = self.connected && presents_nothing(&connect);
        if let Some(ws) = &self.client.websocket {
            ws.complete(&mut connect);
        }
        let headers = connect.headers && !self.shard.server.options.load().limits.no_header_support;
        self.client.headers.store(headers, Relaxed);
        self.client.echo.store(connect.echo, Relaxed);
        self.verbose = connect.verbose;
        self.pedantic = connect.pedantic;
        self.no_responders = connect.no_responders;
        self.protocol = connect.protocol;
        let took = clock::now() - self.client.start;
        {
            let mut facts = self.client.facts.lock();
            facts.introduce(&connect, took);
            // Who is logged in already stays who it is until another login succeeds.
            if !self.connected {
                facts.present(&connect);
            }
        }
        self.presented = Some(Box::new(connect));
        // What it presented before still counts, or a change of rules would have
        // closed it.
        if again && let Some(identity) = self.identity.clone() {
            return self.accepted(identity);
        }
        self.decide()
    }

    /// What the client said in its last CONNECT and need not say again, besides
    /// its credentials: those are not kept.
    fn said_before(&self) -> Connect {
        if !self.connected {
            return Connect::default();
        }
        let facts = self.client.facts.lock();
        Connect {
            verbose: self.verbose,
            pedantic: self.pedantic,
            echo: self.client.echo.load(Relaxed),
            name: facts.name.clone(),
            lang: facts.lang.clone(),
            version: facts.version.clone(),
            protocol: self.protocol,
            headers: self.client.headers.load(Relaxed),
            no_responders: self.no_responders,
            ..Connect::default()
        }
    }

    /// Decides the CONNECT that was presented. Called again when what was
    /// missing for it has been fetched.
    pub fn decide(&mut self) -> Option<Stop> {
        let connect = self.presented.take()?;
        let login = Login {
            user: &connect.user,
            pass: &connect.pass,
            token: &connect.auth_token,
            nkey: &connect.nkey,
            jwt: &connect.jwt,
            sig: &connect.sig,
            nonce: self.nonce.as_deref().unwrap_or_default(),
            proxy_sig: &connect.proxy_sig,
            kind: self.client.kind(),
            now: clock::now(),
            peer: Some(self.client.addr.ip()),
            certificate_names: self.certificate.as_deref(),
            ..Login::default()
        };
        let rules = self.shard.server.rules.load_full();
        let decision = rules.authenticate(&login);
        self.presented = Some(connect);
        self.follow(decision)
    }

    /// Does what was decided about the login.
    pub fn follow(&mut self, decision: AuthDecision) -> Option<Stop> {
        let pending = match decision {
            AuthDecision::Accept(identity) => {
                if let Some(connect) = &self.presented {
                    self.client.facts.lock().present(connect);
                }
                return self.accepted(identity);
            }
            AuthDecision::Refuse(refusal) => return Some(self.refuse(&refusal)),
            AuthDecision::CheckPassword { hash, candidate, then, otherwise } => {
                PendingLogin::Password(Box::new(PasswordCheck { hash, candidate, then, otherwise }))
            }
            AuthDecision::FetchAccount { id } => PendingLogin::FetchAccount { id },
            AuthDecision::Callout(question) => PendingLogin::Callout(question),
        };
        Some(Stop::Login(Box::new(pending)))
    }

    /// Refuses the login for this reason.
    pub fn refuse(&mut self, refusal: &Refusal) -> Stop {
        let reason = match refusal.reason {
            RefusalReason::ProxyNotTrusted => CloseReason::ProxyNotTrusted,
            RefusalReason::ProxyRequired(_) => CloseReason::ProxyRequired,
            _ => CloseReason::AuthenticationFailure,
        };
        self.count_refusal(&refusal.reason);
        let (why, account) = (refusal.reason.to_string(), refusal.account.as_deref());
        Stop::Close(self.refused_as(&why, reason, account))
    }

    /// Refuses what nobody may ask for; only those who may log in learn of it.
    fn refuse_options(&mut self, connect: &Connect) -> Option<Stop> {
        if !connect.account.is_empty() || connect.new_account {
            return Some(Stop::Close(self.refused("CONNECT names an account")));
        }
        if !(0..=1).contains(&connect.protocol) {
            self.send(|out| ErrText::InvalidClientProtocol.put_line(out));
            return Some(Stop::Close(CloseReason::BadClientProtocolVersion));
        }
        let headers = connect.headers && !self.shard.server.options.load().limits.no_header_support;
        if connect.no_responders && !headers {
            self.send(|out| ErrText::NoRespondersNeedsHeaders.put_line(out));
            return Some(Stop::Close(CloseReason::NoRespondersRequiresHeaders));
        }
        None
    }

    /// Refuses the login: the peer learns nothing, the log everything but secrets.
    pub fn refused(&mut self, why: &str) -> CloseReason {
        self.refused_as(why, CloseReason::AuthenticationFailure, None)
    }

    fn count_refusal(&self, reason: &RefusalReason) {
        if let RefusalReason::Jwt(why) = reason
            && matches!(**why, JwtRefusal::NotPinned { .. })
        {
            self.shard.server.pinned_account_fails.fetch_add(1, Relaxed);
        }
    }

    /// `account` is told too, if it has issued what was presented.
    fn refused_as(&mut self, why: &str, reason: CloseReason, account: Option<&str>) -> CloseReason {
        self.send(|out| ErrText::AuthorizationViolation.put_line(out));
        let who = self.client.facts.lock().described();
        tracing::error!("{} - authentication error - {who}: {why}", self.client.label());
        disconnect::refused(&self.shard, account, &self.client, reason);
        reason
    }

    /// Lets the client in as `identity`, unless its account is full.
    pub fn accepted(&mut self, identity: Identity) -> Option<Stop> {
        let presented = self.presented.take();
        let Some(account) = self.room_in(&identity) else {
            return Some(Stop::Close(self.no_room(&identity)));
        };
        // A second CONNECT drops all subscriptions (2.14).
        if self.account.is_some() && !self.subs.is_empty() {
            self.drop_subscriptions();
        }
        self.bind(identity, account);
        if let Some(stop) = presented.and_then(|connect| self.refuse_options(&connect)) {
            return Some(stop);
        }
        if self.max_subs == 0 {
            self.send(|out| ErrText::MaximumSubscriptions.put_line(out));
            tracing::error!("{} - its account or user allows no subscription", self.client.label());
            return Some(Stop::Close(CloseReason::MaxSubscriptionsExceeded));
        }
        if self.verbose {
            self.send(|out| out.extend_from_slice(b"+OK\r\n"));
        }
        if let Some(account) = &self.account {
            connect::connected(&self.shard, &account.name, &self.client);
        }
        self.on_connected();
        None
    }

    /// Turns somebody away whose account is full.
    fn no_room(&self, identity: &Identity) -> CloseReason {
        self.client.facts.lock().identify(identity);
        self.send(|out| ErrText::MaximumAccountConnections.put_line(out));
        tracing::error!("{} - maximum account active connections exceeded", self.client.label());
        CloseReason::MaxAccountConnectionsExceeded
    }

    /// Takes a place among the connections of the identity's account, unless they
    /// are as many as it may have. Other shards do the same at the same time.
    fn room_in(&self, identity: &Identity) -> Option<Arc<AccountState>> {
        let account = self.shard.server.accounts.get_or_make(&identity.account.name);
        // Logging in again into the same account takes no second place.
        let already = self.account.as_ref().is_some_and(|a| a.name == account.name);
        let limit = identity.account.limits.max_connections.filter(|_| !already);
        let count = &account.connections;
        let more = |n: i64| limit.is_none_or(|limit| n < limit).then_some(n + 1);
        count.fetch_update(Relaxed, Relaxed, more).is_ok().then_some(account)
    }

    /// Binds the client to an account in which it has a place.
    fn bind(&mut self, identity: Identity, account: Arc<AccountState>) {
        if let Some(old) = self.account.take() {
            old.connections.fetch_sub(1, Relaxed);
            old.book(self.client.traffic(true));
            conns::changed(&self.shard.server, &old);
        }
        conns::changed(&self.shard.server, &account);
        self.apply_limits(&identity);
        self.client.facts.lock().identify(&identity);
        // Who changes one account tells those that were in it when it had changed:
        // this client looks for itself.
        let rules = self.shard.server.rules.load();
        let current = rules.account(&identity.account.name);
        if !current.is_some_and(|account| Arc::ptr_eq(account, &identity.account)) {
            self.client.signal(signal::RULES);
        }
        self.rights.set(&self.client, identity.permissions.clone(), self.shard.rng.next());
        self.identity = Some(identity);
        self.account = Some(account);
        self.cache.clear();
        self.renamed.clear();
        self.logged_in();
    }

    /// The smallest of the server's, the account's and the user's own limits.
    pub fn apply_limits(&mut self, identity: &Identity) {
        let options = self.shard.server.options.load();
        let limit = |server: i64, others: [Option<i64>; 2]| -> i64 {
            let server = if server > 0 { server } else { i64::MAX };
            others.into_iter().flatten().filter(|n| *n >= 0).fold(server, i64::min)
        };
        let (of_account, own) = (&identity.account.limits, &identity.limits);
        let payload = limit(options.limits.max_payload, [of_account.max_payload, own.max_payload]);
        self.max_payload = payload.min(i64::from(i32::MAX)) as usize;
        let subs = limit(
            options.limits.max_subscriptions,
            [of_account.max_subscriptions, own.max_subscriptions],
        );
        self.max_subs = usize::try_from(subs).unwrap_or(usize::MAX);
    }
}

fn presents_nothing(connect: &Connect) -> bool {
    let Connect { user, pass, auth_token, nkey, jwt, sig, proxy_sig, .. } = connect;
    [user, pass, auth_token, nkey, jwt, sig, proxy_sig].iter().all(|field| field.is_empty())
}
