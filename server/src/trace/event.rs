//! The report of a trace as it is written.

use crate::clock::{self, rfc3339};
use crate::system::server_info::ServerInfo;
use serde::Serialize;
use std::collections::BTreeMap;

/// Number of a client in the field `kind`.
pub const CLIENT: u8 = 0;

/// The whole report of one server.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// Who reports.
    pub server: ServerInfo,
    /// The message.
    pub request: &'a Request,
    /// What happened to it, in order.
    pub events: &'a [Event],
}

/// The message that was traced.
#[derive(Debug, Serialize)]
pub struct Request {
    /// Its headers, names as written.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, Vec<String>>,
    /// Bytes of headers and payload.
    #[serde(skip_serializing_if = "is_zero")]
    pub msgsize: usize,
}

/// One thing that happened.
#[derive(Debug, Serialize)]
pub struct Event {
    #[serde(rename = "type")]
    kind: &'static str,
    /// When.
    pub ts: String,
    /// What.
    #[serde(flatten)]
    pub happened: Happened,
}

impl Event {
    /// It happened just now.
    pub fn now(happened: Happened) -> Self {
        let kind = match happened {
            Happened::Ingress { .. } => "in",
            Happened::Mapped { .. } => "sm",
            Happened::StreamExport { .. } => "se",
            Happened::ServiceImport { .. } => "si",
            Happened::JetStream { .. } => "js",
            Happened::Egress { .. } => "eg",
        };
        Event { kind, ts: rfc3339(clock::now()), happened }
    }
}

/// What can happen.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Happened {
    /// It came in.
    Ingress {
        /// Kind of connection.
        kind: u8,
        /// Connection.
        cid: u64,
        /// Name of the connection.
        #[serde(skip_serializing_if = "String::is_empty")]
        name: String,
        /// Account.
        acc: String,
        /// Subject as published.
        subj: String,
        /// Why it went no further.
        #[serde(skip_serializing_if = "String::is_empty")]
        error: String,
    },
    /// A mapping renamed it.
    Mapped {
        /// New subject.
        to: String,
    },
    /// It went to an account that imports the stream.
    StreamExport {
        /// That account.
        acc: String,
        /// Subject there.
        to: String,
    },
    /// It went to an account that exports the service.
    ServiceImport {
        /// That account.
        acc: String,
        /// Subject here.
        from: String,
        /// Subject there.
        to: String,
    },
    /// A stream took it.
    JetStream {
        /// Its name.
        stream: String,
        /// Subject it is stored under.
        #[serde(skip_serializing_if = "String::is_empty")]
        subject: String,
        /// It is not stored because no consumer wants it.
        #[serde(skip_serializing_if = "is_false")]
        nointerest: bool,
        /// Why it was refused.
        #[serde(skip_serializing_if = "String::is_empty")]
        error: String,
    },
    /// It went out.
    Egress {
        /// Kind of connection.
        kind: u8,
        /// Connection.
        cid: u64,
        /// Name of the connection.
        #[serde(skip_serializing_if = "String::is_empty")]
        name: String,
        /// Account, if it is another than where the message came in.
        #[serde(skip_serializing_if = "String::is_empty")]
        acc: String,
        /// Subject of the subscription.
        #[serde(skip_serializing_if = "String::is_empty")]
        sub: String,
        /// Its queue group.
        #[serde(skip_serializing_if = "String::is_empty")]
        queue: String,
        /// Why it was not delivered.
        #[serde(skip_serializing_if = "str::is_empty")]
        error: &'static str,
    },
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

fn is_false(b: &bool) -> bool {
    !b
}
