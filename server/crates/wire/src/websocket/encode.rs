//! Bytes to frames: always binary, never masked (RFC 6455 §5.1).

use super::deflate::Deflater;
use super::{BINARY, CONTINUATION, FIN, MAX_CONTROL, PONG, RSV1};

/// Payload of one frame to a browser: they do better with small ones
/// (contract/core.md §6).
pub const BROWSER_FRAME: usize = 4096;
/// Up to here compression costs more than it saves.
pub const COMPRESS_ABOVE: usize = 64;

/// How frames to one peer look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Encoder {
    /// permessage-deflate was agreed on.
    pub compress: bool,
    /// The peer is a browser: frames are at most [`BROWSER_FRAME`] bytes.
    pub browser: bool,
    /// The peer is Safari, which cannot read a compressed message in fragments.
    pub whole_compressed: bool,
}

impl Encoder {
    /// Whether this much is to be compressed: see [`Encoder::encode_compressed`].
    pub fn compresses(self, len: usize) -> bool {
        self.compress && len > COMPRESS_ABOVE
    }

    /// Appends `payload` as it is: one frame for normal clients.
    pub fn encode(self, payload: &[u8], out: &mut Vec<u8>) {
        let most = if self.browser { BROWSER_FRAME } else { usize::MAX };
        for piece in payload.chunks(most) {
            put_frame(out, FIN | BINARY, piece);
        }
    }

    /// Appends `payload` as one compressed message. `packed` is room for it, used
    /// again each time.
    pub fn encode_compressed(
        self,
        payload: &[u8],
        out: &mut Vec<u8>,
        deflater: &mut Deflater,
        packed: &mut Vec<u8>,
    ) {
        packed.clear();
        deflater.message(payload, packed);
        let whole = !self.browser || self.whole_compressed;
        let mut pieces = packed.chunks(if whole { usize::MAX } else { BROWSER_FRAME }).peekable();
        let mut first = RSV1 | BINARY;
        while let Some(piece) = pieces.next() {
            let fin = if pieces.peek().is_none() { FIN } else { 0 };
            put_frame(out, first | fin, piece);
            first = CONTINUATION;
        }
    }
}

/// Appends an unmasked frame; `first` is its first byte.
fn put_frame(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.push(first);
    match payload.len() {
        len @ 0..=125 => out.push(len as u8),
        len @ 126..=0xFFFF => {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Appends the answer to a Ping, with its payload (cut to what a control frame
/// may hold).
pub fn put_pong(out: &mut Vec<u8>, payload: &[u8]) {
    put_frame(out, FIN | PONG, payload.get(..MAX_CONTROL).unwrap_or(payload));
}

#[cfg(test)]
#[path = "encode_test.rs"]
mod tests;
