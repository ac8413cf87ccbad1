//! Measurements of services: how long a request took, and where, published in the
//! exporter's account (contract/core.md §5).

use super::info::{self, ClientInfo};
use super::service::Link;
use crate::account::AccountState;
use crate::client::Client;
use crate::clock::{self, rfc3339};
use crate::route::{Message, Origin};
use crate::shard::Shard;
use crate::system::event;
use gust_wire::sampling::{self, Asking};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

const TYPE: &str = "io.nats.server.metric.v1.service_latency";

/// A request that is being measured.
#[derive(Debug)]
pub struct Measured {
    requestor: Arc<Client>,
    account: Arc<AccountState>,
    share: bool,
    header: Asking,
    /// When it came in, ns since the epoch.
    start: i64,
}

/// How a measured request ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It had no reply subject.
    BadRequest,
    /// The requester stopped listening.
    InterestLost,
    /// Nobody took it.
    NoResponder,
    /// The threshold passed.
    TimedOut,
}

impl Failure {
    fn status(self) -> (u16, &'static str) {
        match self {
            Failure::BadRequest => (400, "Bad Request"),
            Failure::InterestLost => (408, "Request Timeout"),
            Failure::NoResponder => (503, "Service Unavailable"),
            Failure::TimedOut => (504, "Service Timeout"),
        }
    }
}

#[derive(Serialize)]
struct Event {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    timestamp: String,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'static str,
    requestor: ClientInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    responder: Option<ClientInfo>,
    #[serde(skip_serializing_if = "Asking::is_empty")]
    header: Asking,
    start: String,
    service: i64,
    system: i64,
    total: i64,
}

/// Begins a measurement if the export wants this request measured.
pub fn begin(
    shard: &Shard,
    link: &Link,
    account: &Arc<AccountState>,
    m: &Message<'_>,
    origin: Origin<'_>,
) -> Option<Box<Measured>> {
    let latency = link.import.export.latency.as_ref()?;
    let Origin::Client(client) = origin else { return None };
    let percent = u64::from(latency.sampling);
    let drawn = percent >= 100 || (percent > 0 && shard.rng.next() % 100 < percent);
    let header = if drawn { Asking::new() } else { sampling::asked(m.headers)? };
    Some(Box::new(Measured {
        requestor: client.clone(),
        account: account.clone(),
        share: link.import.share,
        header,
        start: clock::now(),
    }))
}

/// Tells of a request that was answered by `origin`, just now.
pub fn answered(shard: &Shard, link: &Link, measured: Measured, origin: Origin<'_>) {
    let now = clock::now();
    let exporter = &link.exporter;
    let responder = match origin {
        Origin::Client(_) => Some(info::of(&shard.server, exporter, origin, true)),
        Origin::Server => None,
    };
    let there = responder.as_ref().map_or(0, |r| r.rtt);
    let here = measured.requestor.rtt.load(Relaxed);
    let whole = now - measured.start;
    let system = if there > 0 { clock::now() - now } else { 0 };
    let mut event = measured.event(shard, 200, "");
    event.responder = responder;
    event.service = (whole - there).max(0);
    event.system = system;
    event.total = here + whole + system;
    send(shard, link, &event);
}

/// Tells of a request that was not answered.
pub fn failed(shard: &Shard, link: &Link, measured: Measured, why: Failure) {
    let (status, description) = why.status();
    let event = measured.event(shard, status, description);
    send(shard, link, &event);
}

fn send(shard: &Shard, link: &Link, event: &Event) {
    if let Some(latency) = &link.import.export.latency {
        event::send(shard, &link.exporter, &latency.subject, event);
    }
}

impl Measured {
    fn event(self, shard: &Shard, status: u16, description: &'static str) -> Event {
        let server = &shard.server;
        let requestor =
            info::of(server, &self.account, Origin::Client(&self.requestor), self.share);
        Event {
            kind: TYPE,
            id: server.nuid(),
            timestamp: rfc3339(clock::now()),
            status,
            description,
            start: rfc3339(self.start - requestor.rtt),
            requestor,
            responder: None,
            header: self.header,
            service: 0,
            system: 0,
            total: 0,
        }
    }
}
