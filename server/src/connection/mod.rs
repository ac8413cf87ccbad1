//! What every kind of connection shares: the outbound queue, close reasons and
//! the signals by which other threads reach the task that owns a socket.

pub mod outbound;
pub mod reason;
