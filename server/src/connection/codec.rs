//! What stands between a connection's queue and its socket, if anything does:
//!
//! ```text
//! outgoing: Outbound's chunks -> [Framing] -> [Tls] -> pending -> socket
//! incoming: socket -> [Tls] -> [Framing] -> the buffer of Inbound::read
//! ```
//!
//! A plain TCP connection has no codec: its chunks go to `writev` as they are.
//!
//! One short lock covers both directions, because TLS keeps one state for both:
//! the owner takes it to decode what it read, and whichever shard flushes takes
//! it to encode and write at most [`BATCH`] bytes at a time.
//!
//! # Plugging in a framing (WebSocket)
//!
//! Implement [`Framing`] and hand it over with [`Codec::set_framing`] once the
//! upgrade is answered; a connection without TLS first gets a codec made by
//! [`Codec::new`] through [`Outbound::set_codec`](super::outbound::Outbound::set_codec)
//! and [`Inbound::set_codec`](super::inbound::Inbound::set_codec). The HTTP
//! exchange itself uses `Inbound::read` and `Outbound::push` like any other
//! bytes; what was read beyond it goes back by `Inbound::unread`. When the
//! connection ends, [`Framing::close`] writes its last frame behind everything
//! queued (an `-ERR`, say), and TLS its `close_notify` behind that.
//!
//! Limits: `pending` holds what one batch left over, and answers the peer
//! provoked (pongs, key updates) up to [`MAX_REPLIES`] bytes; a peer that
//! provokes more without reading is disconnected. Idle connections hold no
//! buffer: batches are made in one buffer per thread.

use super::reason::CloseReason;
use crate::tls::Tls;
use bytes::{Bytes, BytesMut};
use rustls::pki_types::CertificateDer;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use tokio::net::TcpStream;

/// Bytes taken from the queue for one batch: four full TLS records.
pub const BATCH: usize = 64 * 1024;
/// From this size on a chunk is encoded from where it lies; smaller ones are
/// gathered first, so that they share records and frames.
const GATHER_BELOW: usize = 16 * 1024;
/// Answers the peer provoked and does not read.
pub const MAX_REPLIES: usize = 256 * 1024;

/// A layer that cuts the byte stream into frames: WebSocket.
pub trait Framing: Send + std::fmt::Debug {
    /// Appends `payload`, any part of the NATS byte stream of at most [`BATCH`]
    /// bytes, to `out` as whole frames.
    fn encode(&mut self, payload: &[u8], out: &mut Vec<u8>);

    /// Takes frames from the front of `wire` and appends their payload to
    /// `plain`, stopping soon after `room` bytes. What is needed again (part of a
    /// frame) stays in `wire` or inside. Answers to the peer (a Pong) go to
    /// `reply` as whole frames. `Ok(true)`: it stopped for lack of room, or
    /// because it did enough for one turn, and can go on without new bytes. An
    /// error closes the connection.
    fn decode(
        &mut self,
        wire: &mut BytesMut,
        plain: &mut BytesMut,
        room: usize,
        reply: &mut Vec<u8>,
    ) -> Result<bool, CloseReason>;

    /// The peer has logged in: what it may make us keep is no longer bounded as
    /// for strangers.
    fn logged_in(&mut self);

    /// Appends the frame that says farewell, if one is to be sent.
    fn close(&mut self, reason: CloseReason, out: &mut Vec<u8>);
}

/// Bytes for the socket. Keeps its memory initialised, so that reserving room
/// for a batch costs nothing after the first.
#[derive(Debug, Default)]
pub struct WireBuf {
    bytes: Vec<u8>,
    len: usize,
}

impl WireBuf {
    /// What was written.
    pub fn filled(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Room for `n` more bytes; tell [`WireBuf::advance`] how many were used.
    pub fn room(&mut self, n: usize) -> &mut [u8] {
        let end = self.len + n;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes.get_mut(self.len..).unwrap_or_default()
    }

    /// `n` bytes of the room hold data.
    pub fn advance(&mut self, n: usize) {
        self.len = (self.len + n).min(self.bytes.len());
    }

    /// Appends bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        if let Some(room) = self.room(bytes.len()).get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.advance(bytes.len());
    }

    /// Empties it, keeping the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

/// Buffers of one thread for the batch it encodes.
#[derive(Debug, Default)]
struct Scratch {
    plain: Vec<u8>,
    frames: Vec<u8>,
    wire: WireBuf,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What became of [`Codec::write`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrote {
    /// Bytes taken from the queue, written or kept in `pending`.
    pub taken: usize,
    /// The socket took something.
    pub progress: bool,
    /// How it ended.
    pub end: WriteEnd,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteEnd {
    /// All written.
    Done,
    /// The socket is full.
    Blocked,
    /// The socket or TLS failed.
    Failed,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Codec {
    framing: Option<Box<dyn Framing>>,
    tls: Option<Box<Tls>>,
    pending: Vec<u8>,
    /// Bytes of `pending` already written.
    sent: usize,
    finished: bool,
}

impl Codec {
    /// A codec over an established TLS session, or none.
    pub fn new(tls: Option<Box<Tls>>) -> Self {
        Self { tls, ..Self::default() }
    }

    /// Puts a framing above TLS.
    pub fn set_framing(&mut self, framing: Box<dyn Framing>) {
        self.framing = Some(framing);
    }

    /// Whether there is a framing.
    pub fn is_framed(&self) -> bool {
        self.framing.is_some()
    }

    /// What the peer presented in its TLS handshake, its own certificate first.
    pub fn peer_certificates(&self) -> Vec<CertificateDer<'static>> {
        let chain = self.tls.as_ref().and_then(|tls| tls.state().peer_certificates());
        chain.unwrap_or_default().iter().map(|c| c.clone().into_owned()).collect()
    }

    /// Whether there is TLS.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// What TLS has kept of earlier reads, to be put before the next.
    pub fn rest(&self) -> &[u8] {
        self.tls.as_ref().map(|t| t.rest()).unwrap_or_default()
    }

    /// Decrypts what was read behind [`Codec::rest`], in place. True: the peer
    /// has ended its side.
    pub fn decrypt(
        &mut self,
        wire: &mut BytesMut,
        plain: &mut BytesMut,
    ) -> Result<bool, CloseReason> {
        let Some(tls) = &mut self.tls else { return Ok(false) };
        let before = self.pending.len();
        let result = tls.receive(wire, plain, &mut self.pending);
        tls.keep(wire);
        let ended = tls.peer_closed();
        if tls.has_too_much() {
            return Err(CloseReason::ReadError);
        }
        self.limit_replies(before)?;
        match result {
            Ok(()) => Ok(ended),
            Err(e) => {
                tracing::debug!("TLS: {e}");
                Err(CloseReason::ReadError)
            }
        }
    }

    /// Unpacks frames; see [`Framing::decode`].
    pub fn decode(
        &mut self,
        wire: &mut BytesMut,
        plain: &mut BytesMut,
        room: usize,
    ) -> Result<bool, CloseReason> {
        let Some(framing) = &mut self.framing else { return Ok(false) };
        let mut reply = Vec::new();
        let result = framing.decode(wire, plain, room, &mut reply);
        let before = self.pending.len();
        self.queue(&reply);
        self.limit_replies(before)?;
        result
    }

    /// See [`Framing::logged_in`].
    pub fn logged_in(&mut self) {
        if let Some(framing) = &mut self.framing {
            framing.logged_in();
        }
    }

    /// Whether bytes wait for the socket.
    pub fn has_pending(&self) -> bool {
        self.pending.len() > self.sent
    }

    fn limit_replies(&self, before: usize) -> Result<(), CloseReason> {
        if self.pending.len() > before && self.pending.len() - self.sent > BATCH * 2 + MAX_REPLIES {
            return Err(CloseReason::SlowConsumerPendingBytes);
        }
        Ok(())
    }

    /// Encrypts bytes behind what is pending.
    fn queue(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match &mut self.tls {
            None => self.pending.extend_from_slice(bytes),
            Some(tls) => {
                let mut wire = WireBuf::default();
                if tls.encrypt(bytes, &mut wire).is_ok() {
                    self.pending.extend_from_slice(wire.filled());
                }
            }
        }
    }

    /// Queues the last bytes of the connection. Nothing may follow them.
    /// False if there are none or they were queued before.
    pub fn finish(&mut self, reason: CloseReason) -> bool {
        if std::mem::replace(&mut self.finished, true) {
            return false;
        }
        if let Some(mut framing) = self.framing.take() {
            let mut last = Vec::new();
            framing.close(reason, &mut last);
            self.queue(&last);
        }
        if let Some(tls) = &mut self.tls {
            let mut wire = WireBuf::default();
            tls.close_notify(&mut wire);
            self.pending.extend_from_slice(wire.filled());
        }
        self.has_pending()
    }

    /// Encodes and writes until the queue is empty or the socket full. Only the
    /// thread that is allowed to write may call this.
    pub fn write(
        &mut self,
        socket: &TcpStream,
        chunks: &mut VecDeque<Bytes>,
        offset: &mut usize,
        mut done: impl FnMut(Bytes),
    ) -> Wrote {
        let mut wrote = Wrote { taken: 0, progress: false, end: WriteEnd::Done };
        SCRATCH.with_borrow_mut(|scratch| {
            loop {
                if self.has_pending() {
                    let rest = self.pending.get(self.sent..).unwrap_or_default();
                    let (n, end) = write_all(socket, rest);
                    wrote.progress |= n > 0;
                    self.sent += n;
                    if end != WriteEnd::Done {
                        wrote.end = end;
                        return;
                    }
                    self.release();
                }
                if chunks.is_empty() {
                    return;
                }
                wrote.taken += self.encode(scratch, chunks, offset, &mut done);
                if self.tls.as_ref().is_some_and(|t| t.failed()) {
                    wrote.end = WriteEnd::Failed;
                    return;
                }
                let raw = match self.tls {
                    Some(_) => scratch.wire.filled(),
                    None => &scratch.frames,
                };
                let (n, end) = write_all(socket, raw);
                wrote.progress |= n > 0;
                if end != WriteEnd::Done {
                    self.pending.extend_from_slice(raw.get(n..).unwrap_or_default());
                    wrote.end = end;
                    return;
                }
            }
        });
        wrote
    }

    /// Frees what is not in use.
    fn release(&mut self) {
        self.pending = Vec::new();
        self.sent = 0;
    }

    /// Turns the next batch of the queue into raw bytes: `scratch.wire` with
    /// TLS, else `scratch.frames`.
    fn encode(
        &mut self,
        scratch: &mut Scratch,
        chunks: &mut VecDeque<Bytes>,
        offset: &mut usize,
        done: &mut impl FnMut(Bytes),
    ) -> usize {
        let Scratch { plain, frames, wire } = scratch;
        plain.clear();
        frames.clear();
        wire.clear();
        let first = chunks.front().map_or(0, |c| c.len().saturating_sub(*offset));
        let taken;
        if chunks.len() == 1 || first >= GATHER_BELOW {
            taken = first.min(BATCH);
            let chunk = chunks.front().and_then(|c| c.get(*offset..*offset + taken));
            self.seal(chunk.unwrap_or_default(), frames, wire);
            advance(chunks, offset, taken, done);
        } else {
            while let Some(chunk) = chunks.front() {
                let rest = chunk.get(*offset..).unwrap_or_default();
                let n = rest.len().min(BATCH - plain.len());
                plain.extend_from_slice(rest.get(..n).unwrap_or_default());
                advance(chunks, offset, n, done);
                if plain.len() == BATCH {
                    break;
                }
            }
            taken = plain.len();
            self.seal(plain, frames, wire);
        }
        taken
    }

    fn seal(&mut self, plain: &[u8], frames: &mut Vec<u8>, wire: &mut WireBuf) {
        match (&mut self.framing, &mut self.tls) {
            (None, Some(tls)) => {
                let _ = tls.encrypt(plain, wire);
            }
            (Some(framing), None) => framing.encode(plain, frames),
            (Some(framing), Some(tls)) => {
                framing.encode(plain, frames);
                // A failure is seen by `write`, which asks the session.
                let _ = tls.encrypt(frames, wire);
            }
            (None, None) => frames.extend_from_slice(plain),
        }
    }
}

/// Steps over `n` bytes of the front chunk.
fn advance(
    chunks: &mut VecDeque<Bytes>,
    offset: &mut usize,
    n: usize,
    done: &mut impl FnMut(Bytes),
) {
    *offset += n;
    if chunks.front().is_some_and(|c| *offset >= c.len())
        && let Some(chunk) = chunks.pop_front()
    {
        *offset = 0;
        done(chunk);
    }
}

/// Writes until all is gone or the socket takes no more.
fn write_all(socket: &TcpStream, bytes: &[u8]) -> (usize, WriteEnd) {
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..)
        && !rest.is_empty()
    {
        match socket.try_write(rest) {
            Ok(n) => sent += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return (sent, WriteEnd::Blocked),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return (sent, WriteEnd::Failed),
        }
    }
    (sent, WriteEnd::Done)
}
