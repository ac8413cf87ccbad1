//! The reading half of a connection, owned by its task: bytes of the socket,
//! decrypted and unframed where a [`Codec`] says so.

use super::codec::Codec;
use super::reason::CloseReason;
use crate::tls::session::MAX_REST;
use bytes::{BufMut, BytesMut};
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::TcpStream;

thread_local! {
    /// Raw bytes of the read under way; connections keep only what is left.
    static RAW: RefCell<BytesMut> = RefCell::default();
    /// The same for frames that come out of TLS.
    static FRAMES: RefCell<BytesMut> = RefCell::default();
}

/// What one read brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Read {
    /// Bytes appended to the buffer.
    pub bytes: usize,
    /// There is probably more to read right now.
    pub more: bool,
    /// The peer has ended its side; nothing follows.
    pub ended: bool,
    /// Decoding made bytes for the peer: see to
    /// [`Outbound::wake`](super::outbound::Outbound::wake).
    pub reply: bool,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Inbound {
    socket: Arc<TcpStream>,
    codec: Option<Arc<Mutex<Codec>>>,
    /// Raw bytes that were read but not used: a part of a frame, or what was read
    /// to find out what the peer speaks. TLS keeps its own.
    raw: BytesMut,
    /// Decrypted bytes that are no whole frame.
    frames: BytesMut,
    /// `raw` or `frames` can be looked at without new bytes.
    ready: bool,
    /// The peer has ended its side; what it sent before may still be ready.
    ended: bool,
}

impl Inbound {
    /// Reads from `socket`; `unused` was read from it before.
    pub fn new(socket: Arc<TcpStream>, unused: BytesMut) -> Self {
        let ready = !unused.is_empty();
        Self { socket, codec: None, raw: unused, frames: BytesMut::new(), ready, ended: false }
    }

    /// Decodes from now on. What TLS has kept is looked at first.
    pub fn set_codec(&mut self, codec: Arc<Mutex<Codec>>) {
        self.ready |= !codec.lock().rest().is_empty();
        self.codec = Some(codec);
    }

    /// Gives decrypted bytes back that belong to what comes next (the bytes
    /// behind an HTTP upgrade).
    pub fn unread(&mut self, bytes: &[u8]) {
        let has_tls = self.codec.as_ref().is_some_and(|c| c.lock().is_encrypted());
        let into = if has_tls { &mut self.frames } else { &mut self.raw };
        let mut all = BytesMut::with_capacity(bytes.len() + into.len());
        all.extend_from_slice(bytes);
        all.extend_from_slice(into);
        *into = all;
        self.ready |= !bytes.is_empty();
    }

    /// Resolves when there is something to read.
    pub async fn readable(&self) -> io::Result<()> {
        if self.ready {
            return Ok(());
        }
        self.socket.readable().await
    }

    /// Resolves when the socket takes bytes.
    pub async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// The peer has logged in; see [`Framing::logged_in`](super::codec::Framing::logged_in).
    pub fn logged_in(&self) {
        if let Some(codec) = &self.codec {
            codec.lock().logged_in();
        }
    }

    /// The certificates of the peer in DER, its own first.
    pub fn peer_certificates(&self) -> Vec<CertificateDer<'static>> {
        self.codec.as_ref().map(|codec| codec.lock().peer_certificates()).unwrap_or_default()
    }

    /// The socket.
    pub fn socket(&self) -> &Arc<TcpStream> {
        &self.socket
    }

    /// Reads once, without waiting, and appends about `room` bytes to `buf`.
    pub fn read(&mut self, buf: &mut BytesMut, room: usize) -> Result<Read, CloseReason> {
        if self.codec.is_none() && !self.ready {
            let result = self.socket.try_read_buf(&mut (&mut *buf).limit(room));
            return self.outcome(result, room);
        }
        self.read_decoded(buf, room)
    }

    fn outcome(&self, result: io::Result<usize>, room: usize) -> Result<Read, CloseReason> {
        match result {
            Ok(0) => Ok(Read { ended: true, ..Read::default() }),
            Ok(n) if n == room => Ok(Read { bytes: n, more: true, ..Read::default() }),
            Ok(n) => {
                self.drained();
                Ok(Read { bytes: n, ..Read::default() })
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Read::default()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {
                Ok(Read { more: true, ..Read::default() })
            }
            Err(_) => Err(CloseReason::ReadError),
        }
    }

    /// A short read has emptied the socket. Telling the runtime spares the read
    /// that would only return "would block"; new bytes make a new event.
    fn drained(&self) {
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = self.socket.try_io(Interest::READABLE, nothing);
    }

    fn read_decoded(&mut self, buf: &mut BytesMut, room: usize) -> Result<Read, CloseReason> {
        let had = buf.len();
        let Some(codec) = self.codec.clone() else {
            // What was read to see what the peer speaks.
            self.ready = false;
            buf.extend_from_slice(&std::mem::take(&mut self.raw));
            return Ok(Read { bytes: buf.len() - had, more: true, ..Read::default() });
        };
        let mut raw = RAW.take();
        // One lock from what was left to what is left: whoever encrypts
        // meanwhile has to see the same.
        let mut codec = codec.lock();
        let had_pending = codec.has_pending();
        let result = self.fill(&codec, &mut raw, room).and_then(|mut read| {
            if read.bytes > 0 || self.ready {
                self.ready = false;
                self.decode(&mut codec, &mut raw, buf, room, &mut read)?;
            }
            read.reply = codec.has_pending() && !had_pending;
            Ok(read)
        });
        drop(codec);
        raw.clear();
        RAW.set(raw);
        let mut read = result?;
        read.bytes = buf.len() - had;
        read.more |= self.ready;
        self.ended |= read.ended;
        read.ended = self.ended && !self.ready;
        Ok(read)
    }

    /// Puts what is left of earlier reads and, unless that suffices for now, new
    /// bytes of the socket into `raw`.
    fn fill(&self, codec: &Codec, raw: &mut BytesMut, room: usize) -> Result<Read, CloseReason> {
        raw.clear();
        raw.reserve(room + MAX_REST);
        raw.extend_from_slice(&self.raw);
        raw.extend_from_slice(codec.rest());
        if self.ready {
            return Ok(Read { more: true, ..Read::default() });
        }
        let result = self.socket.try_read_buf(&mut (&mut *raw).limit(room));
        self.outcome(result, room)
    }

    fn decode(
        &mut self,
        codec: &mut Codec,
        raw: &mut BytesMut,
        buf: &mut BytesMut,
        room: usize,
        read: &mut Read,
    ) -> Result<(), CloseReason> {
        if !codec.is_framed() {
            buf.extend_from_slice(&std::mem::take(&mut self.frames));
            read.ended |= codec.decrypt(raw, buf)?;
            return Ok(());
        }
        if !codec.is_encrypted() {
            self.ready = codec.decode(raw, buf, room)?;
            self.raw = kept(raw);
            return Ok(());
        }
        let mut frames = FRAMES.take();
        frames.clear();
        frames.extend_from_slice(&self.frames);
        let result = codec.decrypt(raw, &mut frames).and_then(|ended| {
            read.ended |= ended;
            codec.decode(&mut frames, buf, room)
        });
        self.frames = kept(&frames);
        frames.clear();
        FRAMES.set(frames);
        self.ready = result?;
        Ok(())
    }
}

/// Only what is needed again stays with the connection.
fn kept(bytes: &BytesMut) -> BytesMut {
    if bytes.is_empty() { BytesMut::new() } else { BytesMut::from(&bytes[..]) }
}
