//! What travels over a connection, without the connection: parsers over slices
//! and encoders into buffers. Pure: no sockets, clock, randomness or threads.
//!
//! - [`client`]: the text protocol clients speak.

pub mod client;
