//! The report of a trace as it is written.

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
    /// When.
    pub ts: String,
    /// What.
    #[serde(flatten)]
    pub happened: Happened,
}

/// What can happen.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub enum Happened {
    /// It came in.
    #[serde(rename = "in")]
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
    #[serde(rename = "sm")]
    Mapped {
        /// New subject.
        to: String,
    },
    /// It went to an account that imports the stream.
    #[serde(rename = "se")]
    StreamExport {
        /// That account.
        acc: String,
        /// Subject there.
        to: String,
    },
    /// It went to an account that exports the service.
    #[serde(rename = "si")]
    ServiceImport {
        /// That account.
        acc: String,
        /// Subject here.
        from: String,
        /// Subject there.
        to: String,
    },
    /// A stream took it.
    #[serde(rename = "js")]
    JetStream {
        /// Its name.
        stream: String,
        /// Subject it is stored under.
        #[serde(skip_serializing_if = "String::is_empty")]
        subject: String,
        /// It is not stored because no consumer wants it.
        #[serde(skip_serializing_if = "is_false")]
        nointerest: bool,
    },
    /// It went out.
    #[serde(rename = "eg")]
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
