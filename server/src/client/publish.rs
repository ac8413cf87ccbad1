//! PUB and HPUB: permission, match, delivery, and the 503 when nobody listens.

use super::session::Session;
use crate::account::AccountState;
use crate::client::Client;
use crate::clock;
use crate::route::{Message, Origin};
use crate::stats::add;
use crate::trace::Trace;
use crate::trace::event::Happened;
use crate::trace::ingress::Tracing;
use bytes::Bytes;
use gust_account::texts::{reserved_publish, reserved_reply};
use gust_account::{Permissions, ResponseGrants};
use gust_subject::Renamed;
use gust_wire::client::encode;
use gust_wire::client::{ErrText, PubOp};
use hashbrown::HashMap;
use std::sync::Arc;

/// Verdicts kept per connection. Full: forgotten as a whole.
const MAX_VERDICTS: usize = 1024;
/// Bytes of reply grants per connection. Full: the oldest are forgotten.
const GRANT_BYTES: usize = 1 << 20;

/// Publish rights of one connection, with the verdicts it asked for already.
#[derive(Default)]
pub struct Rights {
    /// Rules, if there are any.
    pub permissions: Option<Arc<Permissions>>,
    verdicts: HashMap<Bytes, bool>,
}

impl Rights {
    /// Replaces the rules.
    pub fn set(&mut self, client: &Client, permissions: Option<Arc<Permissions>>, seed: u64) {
        let grants = permissions
            .as_ref()
            .and_then(|p| p.responses())
            .map(|r| ResponseGrants::new(r, GRANT_BYTES, seed));
        client.set_grants(grants);
        self.permissions = permissions;
        self.verdicts.clear();
    }

    fn may_publish(&mut self, client: &Client, subject: &[u8]) -> bool {
        let Some(p) = &self.permissions else { return true };
        if let Some(v) = self.verdicts.get(subject)
            && *v
        {
            return true;
        }
        let allowed = p.can_publish(subject);
        if allowed {
            if self.verdicts.len() >= MAX_VERDICTS {
                self.verdicts.clear();
            }
            self.verdicts.insert(Bytes::copy_from_slice(subject), true);
            return true;
        }
        client.take_grant(subject, clock::now())
    }
}

impl Session {
    /// Handles one PUB or HPUB; `chunk` is the buffer the operation points into.
    pub fn publish(&mut self, op: &PubOp<'_>, chunk: &Bytes, account: &Arc<AccountState>) {
        let size = op.headers.len() + op.payload.len();
        add(&self.shard.stats.in_msgs, 1);
        add(&self.shard.stats.in_bytes, size as u64);
        self.client.count_in(1, size as u64);
        if self.pedantic && !gust_subject::valid_publish(op.subject) {
            self.send(|out| ErrText::InvalidPublishSubject.put_line(out));
        }
        let trace = if op.headers.is_empty() {
            None
        } else {
            match self.trace(op, size, account) {
                Tracing::No => None,
                Tracing::Forbidden(headers) => {
                    let op = PubOp { headers: &headers, header_text: b"", size_text: b"", ..*op };
                    return self.publish_traced(&op, chunk, account, None);
                }
                Tracing::Yes(trace) => Some(trace),
                Tracing::Drop => return,
            }
        };
        self.publish_traced(op, chunk, account, trace.as_ref());
        if let Some(trace) = trace {
            trace.end();
        }
    }

    fn publish_traced(
        &mut self,
        op: &PubOp<'_>,
        chunk: &Bytes,
        account: &Arc<AccountState>,
        trace: Option<&Arc<Trace>>,
    ) {
        let mapped = match self.out_of_domain(op.subject) {
            Some(plain) => Renamed::To(plain[..].into()),
            None => self.mapped(op.subject),
        };
        let subject: &[u8] = match &mapped {
            Renamed::Unchanged => op.subject,
            Renamed::To(s) => s,
            Renamed::Lost => return,
        };
        if let (Some(trace), Renamed::To(to)) = (trace, &mapped) {
            trace.add(Happened::Mapped { to: String::from_utf8_lossy(to).into_owned() });
        }
        if !self.allowed(subject, op.reply, trace) {
            return;
        }
        if self.verbose {
            self.send(|out| out.extend_from_slice(b"+OK\r\n"));
        }
        let message = Message {
            subject,
            reply: op.reply,
            headers: op.headers,
            payload: op.payload,
            size_text: (op.header_text, op.size_text),
            owner: Some(chunk),
            to: subject,
            via: None,
            trace,
        };
        let origin_client = self.client.clone();
        let origin = Origin::Client(&origin_client);
        let routed = if used_once(subject) {
            let mut found = self.shard.scratch.take();
            account.interest.read().matches(subject, &mut found);
            let r = self.shard.route(account, &found, &message, origin, b"");
            found.clear();
            self.shard.scratch.replace(found);
            r
        } else {
            let found = self.cache.lookup(&account.interest, subject);
            self.shard.route(account, found, &message, origin, b"")
        };
        if routed.fullest > self.shard.server.stall_at() {
            self.stall = true;
        }
        if routed.delivered == 0 && self.no_responders && !op.reply.is_empty() {
            self.no_responder(subject, op.reply, account);
        }
    }

    /// The subject without this server's JetStream domain, if it has it: an
    /// import every account has when a domain is configured.
    fn out_of_domain(&self, subject: &[u8]) -> Option<Bytes> {
        if !subject.starts_with(b"$JS.") {
            return None;
        }
        let js = self.shard.server.jetstream.look();
        let js = js.as_ref()?;
        gust_jetstream::api::subject::plain_subject(subject, &js.domain)
    }

    /// The subject after the account's mappings.
    fn mapped(&mut self, subject: &[u8]) -> Renamed {
        let Some(identity) = &self.identity else { return Renamed::Unchanged };
        let mappings = &identity.account.mappings;
        if mappings.is_empty() {
            return Renamed::Unchanged;
        }
        let (server, random) = (&self.shard.server, || self.shard.rng.next());
        let cluster = || server.cluster_name();
        if used_once(subject) {
            return mappings.map(subject, &cluster(), random()).into();
        }
        self.renamed.map(mappings, subject, cluster, random)
    }

    fn allowed(&mut self, subject: &[u8], reply: &[u8], trace: Option<&Arc<Trace>>) -> bool {
        let permitted =
            self.rights.permissions.is_none() || self.rights.may_publish(&self.client, subject);
        if !permitted || self.is_reserved(subject) {
            if let Some(trace) = trace {
                let subject = String::from_utf8_lossy(subject);
                trace.refused(format!("Permissions Violation for Publish to {subject:?}"));
            }
            self.publish_violation(subject);
            return false;
        }
        if reserved_reply(reply) {
            let text = String::from_utf8_lossy(reply);
            if let Some(trace) = trace {
                let why = format!("Permissions Violation for Publish with Reply of {text:?}");
                trace.refused(why);
            }
            tracing::error!("{} - Publish Violation - Reply {text:?}", self.client.label());
            self.send(|out| ErrText::ReplyViolation { reply }.put_line(out));
            return false;
        }
        true
    }

    /// Whether nobody like it may publish there, whatever its permissions say.
    pub fn is_reserved(&self, subject: &[u8]) -> bool {
        // The system account matters for few subjects, and costs a look-up.
        reserved_publish(subject, true) || (reserved_publish(subject, false) && !self.is_system())
    }

    /// Refuses a publish to `subject`.
    pub fn publish_violation(&self, subject: &[u8]) {
        let text = String::from_utf8_lossy(subject);
        tracing::error!("{} - Publish Violation - Subject {text:?}", self.client.label());
        self.send(|out| ErrText::PublishViolation { subject }.put_line(out));
    }

    /// Whether it is bound to the system account.
    pub fn is_system(&self) -> bool {
        self.account.as_ref().is_some_and(|a| self.shard.server.is_system(a))
    }

    /// 503 to the requester, if it listens for the reply on this connection.
    fn no_responder(&self, subject: &[u8], reply: &[u8], account: &Arc<AccountState>) {
        let mut found = self.shard.scratch.take();
        account.interest.read().matches(reply, &mut found);
        let mine =
            found.plain.iter().find(|s| s.client().is_some_and(|c| c.cid == self.client.cid));
        if let Some(sub) = mine
            && sub.take() != crate::subscription::Take::No
        {
            self.send(|out| encode::no_responders(out, reply, &sub.sid, subject));
        }
        found.clear();
        self.shard.scratch.replace(found);
    }
}

/// Acks and inbox replies use each subject once: caching them would only push out
/// what is worth keeping.
fn used_once(subject: &[u8]) -> bool {
    [&b"_INBOX."[..], b"$JS.ACK.", b"_R_."].iter().any(|p| subject.starts_with(p))
}
