//! `$SYS.ACCOUNT.<acc>.CONNECT`: a client has logged in.

use super::client_info::client_info;
use super::event::{self, Head};
use crate::client::Client;
use crate::shard::Shard;
use gust_jetstream::api::advisory::ClientInfo;
use serde::Serialize;

/// `type` of the event.
const KIND: &str = "io.nats.server.advisory.v1.client_connect";

#[derive(Serialize)]
struct Connected {
    #[serde(flatten)]
    head: Head,
    client: ClientInfo,
}

/// Tells that `client` has logged in to `account`.
pub fn connected(shard: &Shard, account: &str, client: &Client) {
    event::publish(shard, &format!("$SYS.ACCOUNT.{account}.CONNECT"), || Connected {
        head: Head::new(&shard.server, KIND),
        // Its round trip is not known this early.
        client: ClientInfo { rtt: 0, ..client_info(&shard.server, client) },
    });
}
