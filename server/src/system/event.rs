//! What all events have in common: their head, and that none is built unless
//! somebody in the system account listens.

use super::server_info::ServerInfo;
use crate::account::AccountState;
use crate::clock::{self, rfc3339};
use crate::route::Message;
use crate::server::Server;
use crate::shard::Shard;
use serde::Serialize;
use std::sync::Arc;

/// What typed events begin with.
#[derive(Debug, Serialize)]
pub struct Head {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    timestamp: String,
    server: ServerInfo,
}

impl Head {
    /// The head of an event of this type that happens now.
    pub fn new(server: &Server, kind: &'static str) -> Self {
        Self {
            kind,
            id: server.nuid(),
            timestamp: rfc3339(clock::now()),
            server: ServerInfo::now(server),
        }
    }
}

/// Messages and bytes of one connection or account.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Moved {
    /// Messages.
    pub msgs: u64,
    /// Bytes, headers included.
    pub bytes: u64,
}

/// Whether anybody in the system account would get an event on `subject`. Costs
/// one look at its interest.
pub fn heard(server: &Server, subject: &str) -> bool {
    server.system_account().interest.read().has_interest(subject.as_bytes())
}

/// Publishes an event in the system account if somebody there listens.
pub fn publish<T: Serialize>(shard: &Shard, subject: &str, make: impl FnOnce() -> T) {
    let system = shard.server.system_account();
    publish_in(shard, system, subject, make);
}

/// As [`publish`], in another account.
pub fn publish_in<T: Serialize>(
    shard: &Shard,
    account: &Arc<AccountState>,
    subject: &str,
    make: impl FnOnce() -> T,
) {
    if !account.interest.read().has_interest(subject.as_bytes()) {
        return;
    }
    send(shard, account, subject, &make());
}

/// Publishes a document; one that cannot be written would be a mistake here.
pub fn send(shard: &Shard, account: &Arc<AccountState>, subject: &str, body: &impl Serialize) {
    match serde_json::to_vec(body) {
        Ok(body) => {
            let to = subject.as_bytes();
            shard.publish(account, to, &Message::new(to, b"", b"", &body), b"");
        }
        Err(e) => tracing::error!("event on {subject}: {e}"),
    }
}
