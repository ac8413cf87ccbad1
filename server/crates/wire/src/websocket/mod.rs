//! WebSocket (RFC 6455) with permessage-deflate (RFC 7692), seen from the side of
//! the server; rules: contract/core.md §6.
//!
//! - [`upgrade`]: the HTTP request that opens a connection, and its answers,
//! - [`origin`]: which web pages may connect,
//! - [`decode`]: frames to the bytes inside, step by step,
//! - [`encode`]: bytes to frames,
//! - [`deflate`]: compression without context takeover,
//! - [`close`]: the last frame.
//!
//! A connection is a stream of bytes in both directions; where frames begin and
//! end means nothing to the protocol inside.

pub mod close;
pub mod decode;
pub mod deflate;
pub mod encode;
pub mod origin;
pub mod upgrade;

/// A message of text, taken as if it were binary.
pub(crate) const TEXT: u8 = 1;
/// A binary message, the only kind that is sent.
pub(crate) const BINARY: u8 = 2;
/// More of a message.
pub(crate) const CONTINUATION: u8 = 0;
/// The end.
pub(crate) const CLOSE: u8 = 8;
/// To be answered by [`PONG`] with the same payload.
pub(crate) const PING: u8 = 9;
/// Answer to [`PING`].
pub(crate) const PONG: u8 = 10;
/// Last frame of its message.
pub(crate) const FIN: u8 = 0x80;
/// The message is compressed; on its first frame only.
pub(crate) const RSV1: u8 = 0x40;
/// Reserved bits no extension here uses.
pub(crate) const RSV23: u8 = 0x30;
/// The payload is masked, with the four bytes before it.
pub(crate) const MASK: u8 = 0x80;
/// Most bytes of payload in a control frame.
pub const MAX_CONTROL: usize = 125;
