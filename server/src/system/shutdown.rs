//! `$SYS.SERVER.<id>.LAMEDUCK` and `.SHUTDOWN`: the server goes away.

use super::event;
use super::server_info::ServerInfo;
use crate::server::Server;
use std::sync::Arc;

/// Tells that lame duck mode begins.
pub async fn lame_duck(server: &Arc<Server>) {
    tell(server, "LAMEDUCK").await;
}

/// Tells that the server stops. After a lame duck nobody is told again.
pub async fn shutdown(server: &Arc<Server>) {
    if !server.is_lame_duck() {
        tell(server, "SHUTDOWN").await;
    }
}

async fn tell(server: &Arc<Server>, what: &str) {
    let subject = format!("$SYS.SERVER.{}.{what}", server.id);
    if !event::heard(server, &subject) {
        return;
    }
    // The shard writes what it queued before it ends.
    let sent = server.call(0, move |shard| {
        event::publish(shard, &subject, || ServerInfo::now(&shard.server));
    });
    let _ = sent.await;
}
