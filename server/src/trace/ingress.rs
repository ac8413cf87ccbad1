//! Whether a published message is traced.

use super::event::{CLIENT, Event, Happened, Request};
use super::{DEST, DISABLED, Encoding, ONLY, ORIGIN, Trace, untold};
use crate::account::AccountState;
use crate::client::session::Session;
use bytes::Bytes;
use gust_wire::client::PubOp;
use gust_wire::client::too_large::TooLarge;
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
    /// It is not traced, here or anywhere else: its new headers say so.
    Forbidden(Bytes),
    /// It is traced.
    Yes(Arc<Trace>),
}

impl Session {
    /// Looks whether a message with headers is to be traced. Costs one search
    /// through the headers if it is not, two if the account samples.
    pub fn trace(&mut self, op: &PubOp<'_>, size: usize, account: &Arc<AccountState>) -> Tracing {
        let sampling = self.identity.as_ref().and_then(|i| i.account.message_trace.clone());
        if sampling.is_none() && !mentions(op.headers, b"Nats-Trace-") {
            return Tracing::No;
        }
        let headers = Headers::new(op.headers);
        let value = |key| headers.get(key).map(blanks_cut).filter(|v| !v.is_empty());
        let mut skipped = false;
        let (dest, only) = match (value(DEST), sampling) {
            (Some(dest), _) if dest == DISABLED => return Tracing::No,
            (Some(dest), _) => (dest.to_vec(), value(ONLY).is_some_and(is_on)),
            (None, Some(sampling)) => {
                let sampled = |(key, value): (&[u8], &[u8])| {
                    key.eq_ignore_ascii_case(b"traceparent") && is_sampled(blanks_cut(value))
                };
                if !headers.iter().any(sampled) {
                    return Tracing::No;
                }
                skipped = self.shard.rng.next() % 100 >= u64::from(sampling.sampling);
                (sampling.dest.into_bytes(), false)
            }
            (None, None) => return Tracing::No,
        };
        if let Some(origin) = value(ORIGIN) {
            let origin = String::from_utf8_lossy(origin);
            tracing::error!(
                "{} - the message is not traced because of its header Nats-Trace-Origin-Account \
                 ({origin:?})",
                self.client.label()
            );
            skipped = true;
        }
        if skipped {
            return if only { Tracing::Drop } else { Tracing::Forbidden(untold(op.headers)) };
        }
        if !gust_subject::valid_publish(&dest) {
            tracing::error!(
                "{} - trace destination {:?} is not valid, the message is not traced",
                self.client.label(),
                String::from_utf8_lossy(&dest)
            );
            return if only { Tracing::Drop } else { Tracing::No };
        }
        if !self.may_trace_to(&dest) {
            self.publish_violation(&dest);
            return Tracing::Drop;
        }
        Tracing::Yes(self.begin_trace(op, size, account, dest, only))
    }

    /// Tells of a message that was too large to be taken, if it is traced.
    pub fn trace_too_large(&mut self, buf: &[u8]) {
        let Some(account) = self.account.clone() else { return };
        let Some(TooLarge { subject, headers, size }) = TooLarge::read(buf) else { return };
        let none = &b""[..];
        let op = PubOp {
            subject,
            reply: none,
            headers,
            payload: none,
            body: headers,
            header_text: none,
            size_text: none,
        };
        if let Tracing::Yes(trace) = self.trace(&op, size, &account) {
            trace.refused("maximum payload exceeded".to_owned());
            trace.end();
        }
    }

    fn may_trace_to(&self, dest: &[u8]) -> bool {
        let allowed = self.rights.permissions.as_ref().is_none_or(|p| p.can_publish(dest));
        allowed && !self.is_reserved(dest)
    }

    fn begin_trace(
        &self,
        op: &PubOp<'_>,
        size: usize,
        account: &Arc<AccountState>,
        dest: Vec<u8>,
        only: bool,
    ) -> Arc<Trace> {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let headers = Headers::new(op.headers);
        let mut header: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let cut = headers.iter().map(|(k, v)| (k, blanks_cut(v)));
        for (key, value) in cut.filter(|(k, v)| !k.is_empty() && !v.is_empty()) {
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
            request: Request { header, msgsize: size },
            events: Mutex::new(vec![Event::now(came)]),
            open: AtomicUsize::new(1),
        })
    }
}

/// A value without the blanks around it.
fn blanks_cut(value: &[u8]) -> &[u8] {
    let inner = |b: &u8| !matches!(b, b' ' | b'\t');
    let (Some(from), Some(to)) = (value.iter().position(inner), value.iter().rposition(inner))
    else {
        return b"";
    };
    value.get(from..=to).unwrap_or_default()
}

fn is_on(value: &[u8]) -> bool {
    ["1", "true", "on"].iter().any(|on| value.eq_ignore_ascii_case(on.as_bytes()))
}
