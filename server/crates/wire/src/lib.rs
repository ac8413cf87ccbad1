//! What travels over a connection, without the connection: parsers over slices
//! and encoders into buffers. Pure: no sockets, clock, randomness or threads.
//!
//! - [`client`]: the text protocol clients speak,
//! - [`info`], [`connect`]: the two JSON documents of the handshake,
//! - [`headers`]: the header block of a message,
//! - [`s2`]: S2 stream framing (backups, compressed leafnodes and routes),
//! - [`proxy`]: the header a load balancer puts before a connection,
//! - [`sampling`]: headers that ask for a measurement or a trace,
//! - [`nuid`]: unique tokens for inboxes and ids,
//! - [`websocket`]: the upgrade, frames and compression.

pub mod client;
pub mod connect;
pub mod headers;
pub mod info;
pub mod nuid;
pub mod proxy;
pub mod s2;
pub mod sampling;
pub mod websocket;
