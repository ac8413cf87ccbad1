//! Whether a published message is traced.

use super::event::{CLIENT, Event, Happened, Request};
use super::{DEST, DISABLED, Encoding, ONLY, Trace};
use crate::account::AccountState;
use crate::client::session::Session;
use crate::clock::{self, rfc3339};
use gust_wire::client::{ErrText, PubOp};
use gust_wire::headers::{Headers, mentions};
use gust_wire::sampling::is_sampled;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// What tracing makes of a message.
pub enum Tracing {
    /// It is not traced.
    No,
    /// It is dropped: only a trace was wanted and there is none.
    Drop,
    /// It is traced.
    Yes(Arc<Trace>),
}

impl Session {
    /// Looks whether a message with headers is to be traced. Costs one search
    /// through the headers if it is not, two if the account samples.
    pub fn trace(&mut self, op: &PubOp<'_>, account: &Arc<AccountState>) -> Tracing {
        let sampling = self.identity.as_ref().and_then(|i| i.account.message_trace.clone());
        if sampling.is_none() && !mentions(op.headers, b"Nats-Trace-") {
            return Tracing::No;
        }
        let headers = Headers::new(op.headers);
        let value = |key| headers.get(key).filter(|v| !v.is_empty());
        let (dest, only) = match (value(DEST), sampling) {
            (Some(dest), _) if dest == DISABLED => return Tracing::No,
            (Some(dest), _) => (dest.to_vec(), value(ONLY).is_some_and(is_on)),
            (None, Some(sampling)) => {
                let sampled = |(key, value): (&[u8], &[u8])| {
                    key.eq_ignore_ascii_case(b"traceparent") && is_sampled(value)
                };
                let drawn = self.shard.rng.next() % 100 < u64::from(sampling.sampling);
                if !headers.iter().any(sampled) || !drawn {
                    return Tracing::No;
                }
                (sampling.dest.into_bytes(), false)
            }
            (None, None) => return Tracing::No,
        };
        if !gust_subject::valid_publish(&dest) {
            tracing::error!(
                "{} - trace destination {:?} is not valid, the message is not traced",
                self.client.label(),
                String::from_utf8_lossy(&dest)
            );
            return if only { Tracing::Drop } else { Tracing::No };
        }
        if !self.may_trace_to(&dest) {
            self.send(|out| ErrText::PublishViolation { subject: &dest }.put_line(out));
            return Tracing::Drop;
        }
        Tracing::Yes(self.begin_trace(op, account, dest, only))
    }

    fn may_trace_to(&self, dest: &[u8]) -> bool {
        let allowed = self.rights.permissions.as_ref().is_none_or(|p| p.can_publish(dest));
        allowed && !self.is_reserved(dest)
    }

    fn begin_trace(
        &self,
        op: &PubOp<'_>,
        account: &Arc<AccountState>,
        dest: Vec<u8>,
        only: bool,
    ) -> Arc<Trace> {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let headers = Headers::new(op.headers);
        let mut header: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, value) in headers.iter().filter(|(k, v)| !k.is_empty() && !v.is_empty()) {
            header.entry(text(key)).or_default().push(text(value));
        }
        let came = Happened::Ingress {
            kind: CLIENT,
            cid: self.client.cid,
            name: self.client.facts.lock().name.clone(),
            acc: account.name.clone(),
            subj: text(op.subject),
            error: String::new(),
        };
        Arc::new(Trace {
            server: self.shard.server.clone(),
            shard: self.shard.id,
            account: account.clone(),
            dest,
            encoding: Encoding::asked(headers.get(b"Accept-Encoding").unwrap_or_default()),
            only,
            request: Request { header, msgsize: op.headers.len() + op.payload.len() },
            events: Mutex::new(vec![Event { ts: rfc3339(clock::now()), happened: came }]),
            open: AtomicUsize::new(1),
        })
    }
}

fn is_on(value: &[u8]) -> bool {
    ["1", "true", "on"].iter().any(|on| value.eq_ignore_ascii_case(on.as_bytes()))
}
