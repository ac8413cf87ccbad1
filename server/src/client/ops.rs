//! Client operations other than publishing.

use super::session::{Session, Stop};
use crate::connection::reason::CloseReason;
use crate::server::Greeting;
use crate::subscription::{FilterCell, Subscription, Target};
use bytes::Bytes;
use gust_account::texts::reserved_queue;
use gust_wire::client::{ClientOp, ErrText, Limits, ParseError, Parsed, SubOp, parse};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

impl Session {
    /// Processes what is complete in `chunk`. Returns the bytes used and why it
    /// stopped before the end, if it did.
    pub fn process(&mut self, chunk: &Bytes) -> (usize, Option<Stop>) {
        let mut used = 0;
        while used < chunk.len() {
            let limits = Limits {
                max_control_line: self.shard.server.options.load().limits.max_control_line as usize,
                max_payload: self.max_payload,
                headers: self.client.headers.load(Relaxed),
            };
            // One look at the options covers the run of publishes that follows.
            loop {
                if used >= chunk.len() {
                    return (used, None);
                }
                if self.account.is_none()
                    && !parse::starts_connect(&chunk[used..])
                    && let Err(reason) = self.login_without_connect()
                {
                    return (used, Some(Stop::Close(reason)));
                }
                let (op, n) = match parse(&chunk[used..], &limits) {
                    Ok(Parsed::Op { op, consumed }) => (op, consumed),
                    Ok(Parsed::Incomplete { need }) => return (used, Some(Stop::Incomplete(need))),
                    Err(e) => {
                        return (used, Some(Stop::Close(self.parse_failed(&e, &chunk[used..]))));
                    }
                };
                used += n;
                let account = match &self.account {
                    Some(a) => a.clone(),
                    None => {
                        if let Some(stop) = self.before_login(&op) {
                            return (used, Some(stop));
                        }
                        break;
                    }
                };
                match op {
                    ClientOp::Pub(p) => self.publish(&p, chunk, &account),
                    other => {
                        if let Some(stop) = self.control(&other, &account) {
                            return (used, Some(stop));
                        }
                        break;
                    }
                }
            }
        }
        (used, None)
    }

    /// Only CONNECT is allowed while a login is required.
    fn before_login(&mut self, op: &ClientOp<'_>) -> Option<Stop> {
        match op {
            ClientOp::Connect(json) => self.connect(json),
            _ => Some(Stop::Close(CloseReason::ProtocolViolation)),
        }
    }

    fn control(
        &mut self,
        op: &ClientOp<'_>,
        account: &Arc<crate::account::AccountState>,
    ) -> Option<Stop> {
        match op {
            ClientOp::Connect(json) => return self.connect(json),
            ClientOp::Ping => self.pinged(),
            ClientOp::Pong => self.ponged(),
            ClientOp::Sub(sub) => self.subscribe(account, sub),
            ClientOp::Unsub { sid, max } => self.unsubscribe(account, sid, *max),
            ClientOp::Ok | ClientOp::Info => {}
            ClientOp::Err(_) => return Some(Stop::Close(CloseReason::ParseError)),
            ClientOp::Pub(_) => {}
        }
        None
    }

    fn pinged(&mut self) {
        self.send(|out| out.extend_from_slice(b"PONG\r\n"));
        if !self.info_sent {
            self.info_sent = true;
            if self.protocol >= 1 {
                self.send_info();
            }
        }
    }

    /// Sends INFO again: after the first PONG and in lame duck.
    pub fn send_info(&self) {
        let line = self.shard.server.info_line(&Greeting::new(&self.client, None), Some(self));
        self.send(|out| out.extend_from_slice(&line));
    }

    fn parse_failed(&mut self, e: &ParseError, rest: &[u8]) -> CloseReason {
        tracing::error!("{} - {e}", self.client.label());
        let limit =
            matches!(e, ParseError::MaximumControlLine { .. } | ParseError::MaximumPayload { .. });
        if matches!(e, ParseError::MaximumPayload { .. }) {
            self.trace_too_large(rest);
        }
        // With WebSocket, what cannot be parsed ends without a word.
        if !limit && self.client.websocket.is_some() {
            return CloseReason::ParseError;
        }
        if let Some(text) = e.err_text() {
            self.send(|out| text.put_line(out));
        }
        match e {
            ParseError::MaximumControlLine { .. } => CloseReason::MaxControlLineExceeded,
            ParseError::MaximumPayload { .. } => CloseReason::MaxPayloadExceeded,
            _ => CloseReason::ProtocolViolation,
        }
    }

    fn subscribe(&mut self, account: &Arc<crate::account::AccountState>, op: &SubOp<'_>) {
        let SubOp { subject, queue, sid } = *op;
        self.forget_ended();
        if let Err(text) = self.may_subscribe(subject, queue) {
            self.send(|out| text.put_line(out));
            return;
        }
        if self.subs.contains_key(sid) {
            self.ok();
            return;
        }
        if !gust_subject::valid_subscribe(subject) {
            self.send(|out| ErrText::InvalidSubject.put_line(out));
            return;
        }
        let filter =
            self.rights.permissions.as_ref().and_then(|p| p.delivery_filter(subject, queue));
        let sub = Arc::new(Subscription {
            subject: Bytes::copy_from_slice(subject),
            queue: Bytes::copy_from_slice(queue),
            sid: Bytes::copy_from_slice(sid),
            id: self.shard.server.next_sub_id(),
            target: Target::Client(self.client.clone()),
            max: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            filter: FilterCell::new(filter),
        });
        self.subs.insert(sub.sid.clone(), sub.clone());
        self.client.subs.store(self.subs.len() as u32, Relaxed);
        self.shard.server.subscribe(&self.shard, account, &sub);
        self.ok();
    }

    /// In the order of nats-server: what is denied is not looked at further.
    fn may_subscribe<'a>(&self, subject: &'a [u8], queue: &'a [u8]) -> Result<(), ErrText<'a>> {
        let permissions = self.rights.permissions.as_ref();
        if reserved_queue(queue) || permissions.is_some_and(|p| !p.can_subscribe(subject, queue)) {
            tracing::error!(
                "{} - Subscription Violation - Subject \"{}\"",
                self.client.label(),
                String::from_utf8_lossy(subject)
            );
            return Err(ErrText::SubscriptionViolation { subject, queue });
        }
        let max_tokens = self.shard.server.options.load().limits.max_sub_tokens as usize;
        if max_tokens > 0 && subject.split(|b| *b == b'.').count() > max_tokens {
            return Err(ErrText::TooManyTokens { subject });
        }
        if self.subs.len() >= self.max_subs {
            return Err(ErrText::MaximumSubscriptions);
        }
        Ok(())
    }

    fn unsubscribe(
        &mut self,
        account: &Arc<crate::account::AccountState>,
        sid: &[u8],
        max: Option<u64>,
    ) {
        self.forget_ended();
        if let Some(sub) = self.subs.get(sid) {
            let max = max.unwrap_or(0);
            if max == 0 || sub.end_after(max) {
                let sub = sub.clone();
                self.subs.remove(sid);
                self.client.subs.store(self.subs.len() as u32, Relaxed);
                self.shard.server.unsubscribe(&self.shard, account, &sub);
            }
        }
        self.ok();
    }

    fn ok(&self) {
        if self.verbose {
            self.send(|out| out.extend_from_slice(b"+OK\r\n"));
        }
    }

    /// Drops subscriptions that reached their maximum on some shard.
    pub fn forget_ended(&mut self) {
        let ended = std::mem::take(&mut *self.client.ended.lock());
        for sid in ended {
            if self.subs.get(&sid).is_some_and(|s| s.closed.load(Relaxed)) {
                self.subs.remove(&sid);
                self.shard.server.stats.subscriptions.fetch_sub(1, Relaxed);
            }
        }
        self.client.subs.store(self.subs.len() as u32, Relaxed);
    }

    /// Ends all subscriptions: on close and on a second CONNECT.
    pub fn drop_subscriptions(&mut self) {
        self.forget_ended();
        if let Some(account) = self.account.clone() {
            for (_, sub) in self.subs.drain() {
                self.shard.server.unsubscribe(&self.shard, &account, &sub);
            }
        }
        self.client.subs.store(0, Relaxed);
    }
}
