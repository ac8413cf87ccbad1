//! `$SYS.ACCOUNT.<acc>.DISCONNECT` and the two events of refused logins, which
//! look the same.

use super::client_info::client_info;
use super::event::{self, Head, Moved};
use crate::client::Client;
use crate::clock;
use crate::connection::reason::CloseReason;
use crate::server::Server;
use crate::shard::Shard;
use gust_jetstream::api::advisory::ClientInfo;
use gust_jetstream::time::Time;
use serde::Serialize;
use std::sync::atomic::Ordering::Relaxed;

/// `type` of the events.
const KIND: &str = "io.nats.server.advisory.v1.client_disconnect";

#[derive(Serialize)]
struct Disconnected {
    #[serde(flatten)]
    head: Head,
    client: ClientInfo,
    /// What the client published.
    sent: Moved,
    /// What was delivered to it.
    received: Moved,
    reason: String,
}

/// Tells that `client` is gone. Whoever never logged in leaves the global
/// account.
pub fn disconnected(shard: &Shard, account: Option<&str>, client: &Client, reason: CloseReason) {
    let rules = shard.server.rules.load();
    let account = account.unwrap_or(&rules.global().name);
    event::publish(shard, &format!("$SYS.ACCOUNT.{account}.DISCONNECT"), || {
        gone(&shard.server, client, reason)
    });
}

/// Tells that the login of `client` was refused: those who look after the
/// server, and those of the account it wanted into, as far as that is known.
pub fn refused(shard: &Shard, account: Option<&str>, client: &Client, reason: CloseReason) {
    let server = &shard.server;
    let subject = format!("$SYS.SERVER.{}.CLIENT.AUTH.ERR", server.id);
    event::publish(shard, &subject, || gone(server, client, reason));
    let rules = server.rules.load();
    let account = account.unwrap_or(&rules.global().name);
    if let Some(account) = server.accounts.get(account) {
        event::publish_in(shard, &account, "$SYS.ACCOUNT.CLIENT.AUTH.ERR", || {
            let mut event = gone(server, client, reason);
            event.client.acc.clone_from(&account.name);
            event
        });
    }
}

fn gone(server: &Server, client: &Client, reason: CloseReason) -> Disconnected {
    let out = client.out.stats();
    Disconnected {
        head: Head::new(server, KIND),
        client: ClientInfo {
            stop: Some(Time::from_nanos(clock::now())),
            ..client_info(server, client)
        },
        sent: Moved { msgs: client.in_msgs.load(Relaxed), bytes: client.in_bytes.load(Relaxed) },
        received: Moved { msgs: out.messages, bytes: out.bytes },
        reason: reason.to_string(),
    }
}
