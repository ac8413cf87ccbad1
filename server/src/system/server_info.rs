//! Who a server is, as every event and answer says (contract/monitoring.md §2.1).

use crate::clock::{self, rfc3339};
use crate::server::{COMPATIBLE, Server};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Flags of a server with JetStream: JetStream is on, backups are binary, and
/// replication may run in the account of its stream.
const JETSTREAM_FLAGS: u64 = 1 | 2 | 4;

/// Who this server is, at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct ServerInfo {
    name: String,
    host: String,
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    domain: String,
    ver: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    feature_flags: Value,
    jetstream: bool,
    flags: u64,
    seq: u64,
    time: String,
}

impl ServerInfo {
    /// With a fresh sequence and the time it is.
    pub fn now(server: &Server) -> Self {
        let o = server.options.load();
        let js = server.jetstream.get();
        Self {
            name: server.name.clone(),
            host: o.listen.host.clone(),
            id: server.id.clone(),
            domain: js.as_ref().map(|j| j.domain.clone()).unwrap_or_default(),
            ver: COMPATIBLE,
            tags: o.server_tags.clone(),
            metadata: o.server_metadata.clone(),
            feature_flags: feature_flags(&o),
            jetstream: js.is_some(),
            flags: if js.is_some() { JETSTREAM_FLAGS } else { 0 },
            seq: server.next_event_seq(),
            time: rfc3339(clock::now()),
        }
    }
}

/// How this server behaves where nats-server has a switch, under the switch's
/// name. Flags of the configuration are shown as they were written.
pub fn feature_flags(o: &gust_config::Options) -> Value {
    let mut flags = Map::new();
    for (name, on) in [
        ("js_ack_fc_v2", false),
        ("js_api_reply_v2", false),
        ("js_raft_delete_range", true),
        ("js_snapshot_sources", false),
    ] {
        flags.insert(name.to_owned(), on.into());
    }
    for (name, on) in &o.feature_flags {
        flags.insert(name.clone(), (*on).into());
    }
    Value::Object(flags)
}
