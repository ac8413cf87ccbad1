//! The system account: events and the services on `$SYS.REQ.>`.

mod account_services;
pub mod claims;
pub mod client_info;
pub mod connect;
pub mod conns;
pub mod disconnect;
pub mod event;
pub mod ocsp;
mod one_client;
mod options;
pub mod process;
mod reload;
pub mod reply;
mod request;
pub mod server_info;
pub mod services;
pub mod shutdown;
pub mod statsz;
mod subscribers;
mod user_info;

use crate::server::Server;
use crate::shard::mailbox::Mail;
use std::sync::Arc;

/// Starts what publishes events from time to time, on the first shard.
pub fn start_events(server: &Arc<Server>) {
    server.shard(0).send_one(Mail::Call(Box::new(|shard| {
        if let Some(shard) = shard.this() {
            tokio::task::spawn_local(statsz::run(shard.clone()));
            tokio::task::spawn_local(conns::run(shard));
        }
    })));
}
