//! Message tracing (contract/core.md §1.11): what happened to one message, told
//! as one event to the subject its `Nats-Trace-Dest` header names, or to that of
//! its account if a sampled `traceparent` asks.

pub mod delivery;
pub mod event;
pub mod ingress;
pub mod stream;

use crate::account::AccountState;
use crate::route::Message;
use crate::server::Server;
use crate::shard::Shard;
use crate::shard::mailbox::Mail;
use crate::system::server_info::ServerInfo;
use bytes::Bytes;
use event::{Event, Happened, Report, Request};
use flate2::{Compression, write::GzEncoder};
use gust_wire::headers::{HeaderBuilder, Headers};
use parking_lot::Mutex;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Relaxed};

/// Header that names the subject of the report.
pub const DEST: &[u8] = b"Nats-Trace-Dest";
/// Value of [`DEST`] that forbids tracing.
pub const DISABLED: &[u8] = b"trace disabled";
/// Header that asks for the report without a delivery.
pub const ONLY: &[u8] = b"Nats-Trace-Only";
/// Header of servers older than tracing between accounts, which forbids it.
const ORIGIN: &[u8] = b"Nats-Trace-Origin-Account";
/// Most things told of one message; a wide fan-out is cut short there.
const MAX_EVENTS: usize = 10_000;

/// A message that is being traced.
pub struct Trace {
    server: Arc<Server>,
    /// Shard that publishes the report.
    shard: usize,
    account: Arc<AccountState>,
    dest: Vec<u8>,
    encoding: Encoding,
    /// Nothing is delivered.
    pub only: bool,
    request: Request,
    events: Mutex<Vec<Event>>,
    /// Who may still add something: its publisher, and streams.
    open: AtomicUsize,
}

/// How the report is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    None,
    /// Only others were asked for: it is said that there is none.
    Identity,
    Snappy,
    Gzip,
}

impl Encoding {
    fn asked(accepted: &[u8]) -> Self {
        let accepted = String::from_utf8_lossy(accepted).to_ascii_lowercase();
        if accepted.is_empty() {
            Encoding::None
        } else if accepted.contains("snappy") || accepted.contains("s2") {
            Encoding::Snappy
        } else if accepted.contains("gzip") {
            Encoding::Gzip
        } else {
            Encoding::Identity
        }
    }

    /// The body as it is sent, and the name for its header.
    fn encode(self, body: Vec<u8>) -> (Vec<u8>, &'static str) {
        match self {
            Encoding::None => (body, ""),
            Encoding::Identity => (body, "identity"),
            Encoding::Snappy => {
                let mut out = Vec::new();
                gust_wire::s2::Encoder::snappy().encode(&body, &mut out);
                (out, "snappy")
            }
            Encoding::Gzip => {
                let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
                match gzip.write_all(&body).and_then(|()| gzip.finish()) {
                    Ok(out) => (out, "gzip"),
                    // Writing to a vector does not fail.
                    Err(_) => (body, ""),
                }
            }
        }
    }
}

impl Trace {
    /// Adds what happened just now; its place among the events.
    pub fn add(&self, happened: Happened) -> usize {
        let mut events = self.events.lock();
        if events.len() < MAX_EVENTS {
            events.push(Event::now(happened));
        }
        events.len() - 1
    }

    /// It goes to `account` through a service import.
    pub fn service_import(&self, account: &AccountState, from: &[u8], to: &[u8]) {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let (from, to) = (text(from), text(to));
        self.add(Happened::ServiceImport { acc: account.name.clone(), from, to });
    }

    /// The message was not let in.
    pub fn refused(&self, why: String) {
        if let Some(Event { happened: Happened::Ingress { error, .. }, .. }) =
            self.events.lock().first_mut()
        {
            *error = why;
        }
    }

    /// One of those who may add something has ended; after the last the report
    /// is sent. From any thread.
    pub fn end(self: &Arc<Self>) {
        if self.open.fetch_sub(1, AcqRel) != 1 {
            return;
        }
        let trace = self.clone();
        let send = move |shard: &Shard| trace.send(shard);
        self.server.shard(self.shard).send_one(Mail::Call(Box::new(send)));
    }

    fn send(&self, shard: &Shard) {
        let events = std::mem::take(&mut *self.events.lock());
        let server = ServerInfo::now(&self.server);
        let report = Report { server, request: &self.request, events: &events };
        let Ok(body) = serde_json::to_vec(&report) else { return };
        let (body, encoding) = self.encoding.encode(body);
        let headers = if encoding.is_empty() {
            Bytes::new()
        } else {
            let mut headers = HeaderBuilder::new();
            headers.add(b"Content-Encoding", encoding.as_bytes());
            headers.finish()
        };
        let m = Message::new(&self.dest, b"", &headers, &body);
        shard.publish(&self.account, &self.dest, &m, b"");
        self.open.store(0, Relaxed);
    }
}

/// `headers` of a message that nobody is to trace from here on.
pub fn untold(headers: &[u8]) -> Bytes {
    Headers::new(headers).set(DEST, DISABLED)
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trace to {}", String::from_utf8_lossy(&self.dest))
    }
}
