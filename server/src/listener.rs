//! Accepting connections and dealing them out to the shards in turn.

use crate::server::Server;
use crate::shard::mailbox::{AcceptFacts, Door, Mail};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::TcpListener;

/// Pending connections the kernel keeps for us.
const BACKLOG: i32 = 4096;

/// Binds `host:port`; port -1 asks for a free one, as nats-server does.
pub fn bind(host: &str, port: i64) -> io::Result<StdListener> {
    let port = if port < 0 { 0 } else { port as u16 };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "host has no address");
    for addr in (host, port).to_socket_addrs()? {
        match bind_addr(addr) {
            Ok(l) => return Ok(l),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn bind_addr(addr: SocketAddr) -> io::Result<StdListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Accepts until the server stops or enters lame duck mode.
pub async fn accept(server: Arc<Server>, listener: StdListener, door: Door) {
    let listener = match TcpListener::from_std(listener) {
        Ok(l) => l,
        Err(e) => {
            tracing::error!("client listener: {e}");
            return;
        }
    };
    let mut next = 0;
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                // Small messages must not wait for the peer's ACK of earlier ones.
                let _ = socket.set_nodelay(true);
                let Ok(socket) = socket.into_std() else { continue };
                let max = server.options.load().limits.max_connections;
                // Counted here, at the only place that accepts, so that a rush of
                // connections cannot pass the limit before the shards know them.
                let over_limit = server.stats.connections.load(Relaxed) >= max;
                if !over_limit {
                    server.stats.connections.fetch_add(1, Relaxed);
                }
                if door == Door::Client {
                    server.stats.total_connections.fetch_add(1, Relaxed);
                }
                let facts = Arc::new(AcceptFacts { over_limit, door });
                server.shard(next).send_one(Mail::Accept(socket, facts));
                next = (next + 1) % server.shard_count();
            }
            Err(e) => {
                // Out of file descriptors, most likely: wait, do not spin.
                tracing::error!("accepting a client connection: {e}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}
