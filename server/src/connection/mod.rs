//! What every kind of connection shares: the outbound queue, the reading half,
//! what stands between them and the socket (TLS, framing), and close reasons.

pub mod codec;
pub mod inbound;
pub mod outbound;
pub mod reason;
