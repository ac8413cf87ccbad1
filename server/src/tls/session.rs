//! One TLS session of a connection: rustls without its buffers.
//!
//! rustls decrypts in the buffer the caller read into and encrypts into the one
//! the caller writes from, so a connection that is idle holds no buffer at all.
//!
//! rustls remembers positions in what it has not used up of the input (a part of
//! a handshake message). So these bytes, [`Tls::rest`], stay here and every call
//! presents them, also one that only encrypts.

use crate::connection::codec::WireBuf;
use bytes::{Buf, BytesMut};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{CommonState, Error, ServerConfig};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Plain bytes of one full record.
const RECORD: usize = 16 * 1024;
/// What encryption adds to one record at most: header, explicit nonce, content
/// type and tag, with room to spare.
const RECORD_EXTRA: usize = 64;
/// Longest rest after the handshake: a part of one record and a small message.
pub const MAX_REST: usize = 18 * 1024;
/// Alerts, key updates and session tickets that may precede the first record.
const PRELUDE: usize = 4096;

/// See the module documentation.
pub struct Tls {
    session: UnbufferedServerConnection,
    rest: Vec<u8>,
    peer_closed: bool,
    failed: bool,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("peer_closed", &self.peer_closed).finish_non_exhaustive()
    }
}

impl Tls {
    /// A session that waits for a ClientHello.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let session = UnbufferedServerConnection::new(config)?;
        Ok(Self { session, rest: Vec::new(), peer_closed: false, failed: false })
    }

    /// What was negotiated.
    pub fn state(&self) -> &CommonState {
        &self.session
    }

    /// Whether the handshake is going on.
    pub fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Whether the peer sent its `close_notify`.
    pub fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Whether encryption has failed, after which nothing can be sent.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Bytes of the peer that are no whole record or message.
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// Whether the rest is longer than anything a peer has to send.
    pub fn has_too_much(&self) -> bool {
        self.rest.len() > MAX_REST
    }

    /// Takes the records at the front of `wire`, which starts with
    /// [`Tls::rest`], and decrypts in place. Plain text goes to `plain`, bytes for
    /// the peer (handshake, alerts) to `out`. What is not used stays in `wire`; see
    /// [`Tls::keep`].
    pub fn receive(
        &mut self,
        wire: &mut BytesMut,
        plain: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if self.failed {
            return Err(Error::HandshakeNotComplete);
        }
        let result = self
            .guarded(|tls| tls.take_records(wire, plain, out))
            .unwrap_or_else(|| Err(Error::General("internal error".to_owned())));
        if result.is_err() {
            self.failed = true;
        }
        result
    }

    /// Keeps what [`Tls::receive`] has left of `wire` until the next call of any
    /// kind. A handshake, which only receives, keeps it itself until it is done.
    pub fn keep(&mut self, wire: &[u8]) {
        if wire.is_empty() {
            self.rest = Vec::new();
        } else {
            self.rest.clear();
            self.rest.extend_from_slice(wire);
        }
    }

    /// Runs rustls. A panic in there would be a bug, but peers choose the bytes and
    /// many connections share the thread: it ends this session alone. Nothing looks
    /// at a failed session again, so what was left half done does not matter.
    fn guarded<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let result = catch_unwind(AssertUnwindSafe(|| f(self)));
        if result.is_err() {
            self.failed = true;
            tracing::error!("TLS: a session is given up after an internal error");
        }
        result.ok()
    }

    fn take_records(
        &mut self,
        wire: &mut BytesMut,
        plain: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        loop {
            let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(wire);
            let mut waits = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(out, |to| data.encode(to)),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                // Early data is not enabled, so there is none to lose.
                Ok(_) => waits = true,
                Err(e) => {
                    wire.advance(discard.min(wire.len()));
                    self.alert(wire, out);
                    return Err(e);
                }
            }
            wire.advance(discard.min(wire.len()));
            if waits {
                return Ok(());
            }
        }
    }

    /// After an error: the alert that tells the peer.
    fn alert(&mut self, wire: &mut BytesMut, out: &mut Vec<u8>) {
        // Once: there is one alert, and a session that failed is not to be asked
        // for more.
        if let Ok(ConnectionState::EncodeTlsData(mut data)) =
            self.session.process_tls_records(wire).state
        {
            encode(out, |to| data.encode(to));
        }
    }

    /// Encrypts `plain` behind what `wire` holds. After a failure, which
    /// [`Tls::failed`] remembers, nothing can be sent.
    pub fn encrypt(&mut self, plain: &[u8], wire: &mut WireBuf) -> Result<(), EncryptError> {
        if self.failed {
            return Err(EncryptError::EncryptExhausted);
        }
        let result = self
            .guarded(|tls| tls.put_records(plain, wire))
            .unwrap_or(Err(EncryptError::EncryptExhausted));
        self.failed |= result.is_err();
        result
    }

    fn put_records(&mut self, plain: &[u8], wire: &mut WireBuf) -> Result<(), EncryptError> {
        for part in plain.chunks(4 * RECORD) {
            let mut room = part.len() + part.len().div_ceil(RECORD) * RECORD_EXTRA + PRELUDE;
            loop {
                let to = wire.room(room);
                match self.session.process_tls_records(&mut self.rest).state {
                    Ok(ConnectionState::WriteTraffic(mut t)) => match t.encrypt(part, to) {
                        Ok(n) => {
                            wire.advance(n);
                            break;
                        }
                        Err(EncryptError::InsufficientSize(e)) => room = e.required_size,
                        Err(e) => return Err(e),
                    },
                    Ok(ConnectionState::EncodeTlsData(mut data)) => {
                        let mut bytes = Vec::new();
                        encode(&mut bytes, |to| data.encode(to));
                        wire.extend(&bytes);
                    }
                    Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                    // The peer may close its side and still read ours.
                    Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                    _ => return Err(EncryptError::EncryptExhausted),
                }
            }
        }
        Ok(())
    }

    /// Appends the alert that ends our side.
    pub fn close_notify(&mut self, wire: &mut WireBuf) {
        if !self.failed {
            self.guarded(|tls| tls.put_close(wire));
        }
    }

    fn put_close(&mut self, wire: &mut WireBuf) {
        let mut steps = 0;
        while steps < 4 {
            steps += 1;
            let to = wire.room(PRELUDE);
            match self.session.process_tls_records(&mut self.rest).state {
                Ok(ConnectionState::WriteTraffic(mut t)) => {
                    if let Ok(n) = t.queue_close_notify(to) {
                        wire.advance(n);
                    }
                    return;
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    let mut bytes = Vec::new();
                    encode(&mut bytes, |to| data.encode(to));
                    wire.extend(&bytes);
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                _ => return,
            }
        }
    }
}

/// Appends one handshake message, asking again with the room it needs.
fn encode(out: &mut Vec<u8>, mut write: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let start = out.len();
    let mut room = 1024;
    loop {
        out.resize(start + room, 0);
        match write(out.get_mut(start..).unwrap_or_default()) {
            Ok(n) => {
                out.truncate(start + n);
                return;
            }
            Err(EncodeError::InsufficientSize(e)) => room = e.required_size,
            Err(EncodeError::AlreadyEncoded) => {
                out.truncate(start);
                return;
            }
        }
    }
}

#[cfg(test)]
#[path = "session_test.rs"]
mod tests;
