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
    /// Appends `payload` as frames: one for normal clients. `packed` is room for
    /// the compressed message, used again each time.
    pub fn encode(
        self,
        payload: &[u8],
        out: &mut Vec<u8>,
        deflater: &mut Deflater,
        packed: &mut Vec<u8>,
    ) {
        if payload.is_empty() {
            return;
        }
        if self.compress && payload.len() > COMPRESS_ABOVE {
            packed.clear();
            deflater.message(payload, packed);
            self.put_compressed(packed, out);
            return;
        }
        let most = if self.browser { BROWSER_FRAME } else { usize::MAX };
        for piece in payload.chunks(most) {
            put_frame(out, FIN | BINARY, piece);
        }
    }

    fn put_compressed(self, packed: &[u8], out: &mut Vec<u8>) {
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
