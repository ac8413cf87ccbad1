//! What a connection does when the rules change under it (contract/core.md §2.5).

use super::session::Session;
use crate::clock;
use crate::connection::reason::CloseReason;
use crate::subscription::Subscription;
use gust_account::{CloseCause, CloseWith, ConnectionKind, Identity, Permissions, Recheck};
use gust_wire::client::ErrText;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Session {
    /// Sees whether the client is still who it is, and what it may do now.
    pub fn recheck(&mut self) -> Result<(), CloseReason> {
        self.ping_within(self.ping_interval());
        self.recheck_certificate()?;
        let Some(identity) = &self.identity else { return Ok(()) };
        let rules = self.shard.server.rules.load_full();
        if let Some(proxy) = &identity.proxy
            && !rules.trusts_proxy(proxy)
        {
            let reason = format!("proxy {proxy} is no longer trusted");
            self.close_with(&CloseWith::refused(reason));
            return Err(CloseReason::ProxyNotTrusted);
        }
        match rules.recheck(identity, self.client.kind(), clock::now()) {
            Recheck::Close(how) => {
                self.close_with(&how);
                Err(match how.cause {
                    CloseCause::Moved => CloseReason::ClientClosed,
                    CloseCause::Credentials => CloseReason::AuthenticationFailure,
                    CloseCause::Expired => CloseReason::AuthenticationExpired,
                    CloseCause::Revoked => CloseReason::CredentialsRevoked,
                })
            }
            Recheck::Keep(identity) => self.continue_as(identity),
        }
    }

    /// Closes a client whose key is no longer among the pinned ones, without a word
    /// like a handshake that fails. Also for a connection that shook hands under
    /// the settings before: they may have changed since.
    pub(super) fn recheck_certificate(&self) -> Result<(), CloseReason> {
        let server = &self.shard.server;
        let Some(facts) = self.client.facts.lock().tls.clone() else { return Ok(()) };
        let settings = match self.client.kind() {
            ConnectionKind::Websocket => server.tls.websocket(),
            _ => server.tls.clients(),
        };
        let Some(Err(why)) = settings.map(|s| facts.is_pinned(&s.pinned)) else { return Ok(()) };
        tracing::info!("{} - closed by a change of pinned_certs: {why}", self.client.label());
        Err(CloseReason::TlsHandshakeFailure)
    }

    /// When the client must be cut off; `i64::MAX`: never.
    pub fn expires(&self) -> i64 {
        self.identity.as_ref().and_then(|i| i.expires).unwrap_or(i64::MAX)
    }

    /// Closes a client whose time is over, unless the rules gave it more.
    pub fn expire(&mut self, now: i64) -> Result<(), CloseReason> {
        if now < self.expires() {
            return Ok(());
        }
        // They also know whether it was the user's time or the account's.
        self.recheck()?;
        if now < self.expires() {
            return Ok(());
        }
        self.send(|out| ErrText::UserAuthenticationExpired.put_line(out));
        tracing::info!("{} - User Authentication Expired", self.client.label());
        Err(CloseReason::AuthenticationExpired)
    }

    fn close_with(&self, how: &CloseWith) {
        tracing::info!("{} - closed by a change of rules: {}", self.client.label(), how.reason);
        if let Some(text) = how.text {
            self.send(|out| {
                out.extend_from_slice(b"-ERR '");
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"'\r\n");
            });
        }
    }

    /// Goes on under the new rules. Everything derived from the old ones is made
    /// again: limits, publish verdicts, matches, subscriptions and their filters.
    fn continue_as(&mut self, identity: Identity) -> Result<(), CloseReason> {
        let before = self.identity.as_ref().and_then(|i| i.permissions.clone());
        let permissions = identity.permissions.clone();
        self.apply_limits(&identity);
        self.client.facts.lock().identify(&identity);
        self.identity = Some(identity);
        // Grants of replies outlive a change that does not concern them.
        if !same(before.as_deref(), permissions.as_deref()) {
            self.rights.set(&self.client, permissions, self.shard.rng.next());
            self.permit_subscriptions();
        }
        self.cache.clear();
        self.renamed.clear();
        if self.expires() != i64::MAX {
            self.arm();
        }
        if self.max_subs > 0 && self.subs.len() > self.max_subs {
            self.send(|out| ErrText::MaximumSubscriptions.put_line(out));
            tracing::error!("{} - maximum subscriptions exceeded", self.client.label());
            return Err(CloseReason::MaxSubscriptionsExceeded);
        }
        Ok(())
    }

    /// Removes subscriptions that are no longer allowed, and holds back from the
    /// others what they may no longer see.
    fn permit_subscriptions(&mut self) {
        let Some(account) = self.account.clone() else { return };
        self.forget_ended();
        let permissions = self.rights.permissions.clone();
        let subs: Vec<Arc<Subscription>> = self.subs.values().cloned().collect();
        for sub in subs {
            let Some(permissions) = &permissions else {
                sub.filter.set(None);
                continue;
            };
            if permissions.can_subscribe(&sub.subject, &sub.queue) {
                sub.filter.set(permissions.delivery_filter(&sub.subject, &sub.queue));
                continue;
            }
            self.subs.remove(&sub.sid);
            self.shard.server.unsubscribe(&self.shard, &account, &sub);
            let (subject, queue, sid) = (&sub.subject, &sub.queue, &sub.sid);
            self.send(|out| ErrText::SubscriptionRemoved { subject, queue, sid }.put_line(out));
            tracing::info!(
                "Removed sub {:?} (sid {:?}) for {} - not authorized",
                String::from_utf8_lossy(subject),
                String::from_utf8_lossy(sid),
                self.client.label()
            );
        }
        self.client.subs.store(self.subs.len() as u32, Relaxed);
    }
}

/// Whether two sets of permissions say the same, however they were made.
fn same(a: Option<&Permissions>, b: Option<&Permissions>) -> bool {
    a.map(Permissions::source) == b.map(Permissions::source)
}
