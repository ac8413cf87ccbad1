//! CONNECT: reading it, deciding who the client is, binding it to its account.

use super::session::{PasswordCheck, Session, Stop};
use crate::connection::reason::CloseReason;
use gust_account::{AuthDecision, Identity, Login, Refusal};
use gust_wire::client::ErrText;
use gust_wire::connect::Connect;
use std::sync::atomic::Ordering::Relaxed;

impl Session {
    /// Binds a client that may act without CONNECT: no auth configured, or
    /// `no_auth_user`.
    pub fn login_without_connect(&mut self) {
        let accounts = self.shard.server.rules.load();
        if let AuthDecision::Accept(identity) = accounts.authenticate(&Login::default()) {
            self.bind(identity);
        }
    }

    /// Handles CONNECT.
    pub fn connect(&mut self, json: &[u8]) -> Option<Stop> {
        let connect = match Connect::parse(json) {
            Ok(c) => c,
            Err(e) => {
                tracing::error!("{} - invalid CONNECT: {e}", self.client.label());
                return Some(Stop::Close(CloseReason::ProtocolViolation));
            }
        };
        if let Some(stop) = self.refuse_options(&connect) {
            return Some(stop);
        }
        let headers = connect.headers && !self.shard.server.options.load().limits.no_header_support;
        self.client.headers.store(headers, Relaxed);
        self.client.echo.store(connect.echo, Relaxed);
        self.verbose = connect.verbose;
        self.pedantic = connect.pedantic;
        self.no_responders = connect.no_responders;
        self.protocol = connect.protocol;
        {
            let mut f = self.client.facts.lock();
            f.name.clone_from(&connect.name);
            f.lang.clone_from(&connect.lang);
            f.version.clone_from(&connect.version);
            f.connected = true;
        }
        let login = Login {
            user: &connect.user,
            pass: &connect.pass,
            token: &connect.auth_token,
            nkey: &connect.nkey,
            jwt: &connect.jwt,
            sig: &connect.sig,
            nonce: self.nonce.as_deref().unwrap_or_default(),
            ..Login::default()
        };
        let rules = self.shard.server.rules.load_full();
        match rules.authenticate(&login) {
            AuthDecision::Accept(identity) => self.accepted(identity),
            AuthDecision::CheckPassword { hash, candidate, then, otherwise } => {
                Some(Stop::Password(Box::new(PasswordCheck { hash, candidate, then, otherwise })))
            }
            AuthDecision::Refuse(refusal) => {
                Some(Stop::Close(self.refused(&refusal.reason.to_string())))
            }
        }
    }

    fn refuse_options(&mut self, connect: &Connect) -> Option<Stop> {
        if !(0..=1).contains(&connect.protocol) {
            self.send(|out| ErrText::InvalidClientProtocol.put_line(out));
            return Some(Stop::Close(CloseReason::BadClientProtocolVersion));
        }
        let headers = connect.headers && !self.shard.server.options.load().limits.no_header_support;
        if connect.no_responders && !headers {
            self.send(|out| ErrText::NoRespondersNeedsHeaders.put_line(out));
            return Some(Stop::Close(CloseReason::NoRespondersRequiresHeaders));
        }
        if !connect.account.is_empty() || connect.new_account {
            return Some(Stop::Close(self.refused("CONNECT names an account")));
        }
        None
    }

    /// The worker's answer to a password check.
    pub fn password_checked(
        &mut self,
        matches: bool,
        then: Identity,
        otherwise: &Refusal,
    ) -> Result<(), CloseReason> {
        if !matches {
            return Err(self.refused(&otherwise.reason.to_string()));
        }
        match self.accepted(then) {
            Some(Stop::Close(reason)) => Err(reason),
            _ => Ok(()),
        }
    }

    fn refused(&mut self, why: &str) -> CloseReason {
        self.send(|out| ErrText::AuthorizationViolation.put_line(out));
        tracing::error!("{} - authentication error: {why}", self.client.label());
        CloseReason::AuthenticationFailure
    }

    fn accepted(&mut self, identity: Identity) -> Option<Stop> {
        if let Some(limit) = identity.account.limits.max_connections {
            let account = self.shard.server.accounts.get_or_make(&identity.account.name);
            let already = self.account.as_ref().is_some_and(|a| a.name == account.name);
            if !already && account.connections.load(Relaxed) >= limit {
                self.send(|out| ErrText::MaximumAccountConnections.put_line(out));
                return Some(Stop::Close(CloseReason::MaxAccountConnectionsExceeded));
            }
        }
        // A second CONNECT drops all subscriptions (2.14).
        if self.account.is_some() && !self.subs.is_empty() {
            self.drop_subscriptions();
        }
        self.bind(identity);
        if self.verbose {
            self.send(|out| out.extend_from_slice(b"+OK\r\n"));
        }
        self.on_connected();
        None
    }

    fn bind(&mut self, identity: Identity) {
        let server = self.shard.server.clone();
        let account = server.accounts.get_or_make(&identity.account.name);
        if let Some(old) = self.account.take() {
            old.connections.fetch_sub(1, Relaxed);
            old.book(self.client.traffic(true));
        }
        account.connections.fetch_add(1, Relaxed);
        account.total_connections.fetch_add(1, Relaxed);
        let options = server.options.load();
        let limit = |own: i64, account: Option<i64>| -> usize {
            let account = account.filter(|n| *n >= 0).unwrap_or(i64::MAX);
            let own = if own > 0 { own } else { i64::MAX };
            own.min(account).min(i64::from(i32::MAX)) as usize
        };
        self.max_payload = limit(options.limits.max_payload, identity.account.limits.max_payload);
        let subs =
            limit(options.limits.max_subscriptions, identity.account.limits.max_subscriptions);
        self.max_subs = if subs == i32::MAX as usize { 0 } else { subs };
        {
            let mut f = self.client.facts.lock();
            identity.name.as_ref().clone_into(&mut f.user);
            identity.account.name.as_ref().clone_into(&mut f.account);
        }
        self.rights.set(&self.client, identity.permissions.clone(), self.shard.rng.next());
        self.identity = Some(identity);
        self.account = Some(account);
        self.cache.clear();
    }
}
