//! The frames of one connection, in the place its codec has for them.

use crate::connection::codec::Framing;
use crate::connection::reason::CloseReason;
use bytes::{Buf, BytesMut};
use gust_wire::websocket::close::{CloseCode, put_bare_close, put_close};
use gust_wire::websocket::decode::{Decoder, FrameError, PIECES, Room, Rules, Step};
use gust_wire::websocket::deflate::{Deflater, InflateError, Inflaters};
use gust_wire::websocket::encode::{Encoder, put_pong};
use gust_wire::websocket::upgrade::Upgrade;
use std::cell::RefCell;

thread_local! {
    /// What connections of one thread share, as none compresses across two
    /// calls: a compressor and room for what it makes,
    static DEFLATE: RefCell<(Deflater, Vec<u8>)> = RefCell::default();
    /// and decompressors.
    static INFLATERS: RefCell<Inflaters> = RefCell::default();
}

/// Frames of one client.
#[derive(Debug)]
pub struct WebsocketFraming {
    decoder: Decoder,
    encoder: Encoder,
    /// Bytes a compressed message may hold.
    max_inflated: usize,
    /// How the connection ends, once all that came before is used.
    end: Option<CloseReason>,
    /// The answer to the peer's Close, if that is how it ends.
    farewell: Vec<u8>,
    /// The peer has logged in.
    logged_in: bool,
    /// Name of the connection in the log.
    label: String,
}

impl WebsocketFraming {
    /// As agreed on in `upgrade`.
    pub fn new(upgrade: &Upgrade, max_inflated: usize, label: String) -> Self {
        Self {
            decoder: Decoder::new(Rules {
                masked: !upgrade.no_masking,
                compress: upgrade.compress,
            }),
            encoder: Encoder {
                compress: upgrade.compress,
                browser: upgrade.browser,
                whole_compressed: upgrade.safari,
            },
            max_inflated,
            end: None,
            farewell: Vec::new(),
            logged_in: false,
            label,
        }
    }

    fn failed(&self, e: FrameError) -> CloseReason {
        tracing::error!("{} - read error: {e}", self.label);
        match e {
            FrameError::Inflate(InflateError::TooBig(_)) => CloseReason::MaxPayloadExceeded,
            _ => CloseReason::ReadError,
        }
    }
}

impl Framing for WebsocketFraming {
    fn encode(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        if self.encoder.compresses(payload.len()) {
            DEFLATE.with_borrow_mut(|(deflater, packed)| {
                self.encoder.encode_compressed(payload, out, deflater, packed);
            });
        } else {
            self.encoder.encode(payload, out);
        }
    }

    fn decode(
        &mut self,
        wire: &mut BytesMut,
        plain: &mut BytesMut,
        room: usize,
        reply: &mut Vec<u8>,
    ) -> Result<bool, CloseReason> {
        let had = plain.len();
        let mut room = Room {
            output: had.saturating_add(room),
            inflated: self.max_inflated,
            pieces: PIECES,
            logged_in: self.logged_in,
        };
        while self.end.is_none() {
            let result = INFLATERS
                .with_borrow_mut(|inflaters| self.decoder.step(wire, plain, &mut room, inflaters));
            let step = match result {
                Ok((used, step)) => {
                    wire.advance(used);
                    step
                }
                Err(e) => {
                    self.end = Some(self.failed(e));
                    break;
                }
            };
            match step {
                Step::NeedInput => return Ok(false),
                Step::OutputFull | Step::Tired => return Ok(true),
                // What came before may be the login.
                Step::NeedLogin if plain.len() > had => return Ok(true),
                Step::NeedLogin => self.end = Some(self.failed(FrameError::TooBigBeforeLogin)),
                Step::Ping(ping) => put_pong(reply, ping.payload()),
                Step::Close(farewell) => {
                    match farewell {
                        Some((code, text)) => put_close(&mut self.farewell, code, &text),
                        None => put_bare_close(&mut self.farewell),
                    }
                    self.end = Some(CloseReason::ClientClosed);
                }
            }
        }
        // What came before the end is still to be processed.
        match self.end {
            Some(reason) if plain.len() == had => Err(reason),
            _ => Ok(true),
        }
    }

    fn logged_in(&mut self) {
        self.logged_in = true;
    }

    fn close(&mut self, reason: CloseReason, out: &mut Vec<u8>) {
        if !self.farewell.is_empty() {
            out.append(&mut self.farewell);
        } else if let Some(code) = close_code(reason) {
            put_close(out, code, &reason.to_string());
        }
    }
}

/// What a Close frame says about `reason` (contract/core.md §6); `None`: the
/// connection ends without one, as it does when the peer's bytes make no sense.
fn close_code(reason: CloseReason) -> Option<CloseCode> {
    use CloseReason as R;
    Some(match reason {
        R::ParseError | R::ReadError | R::WriteError | R::TlsHandshakeFailure => return None,
        R::ClientClosed => CloseCode::Normal,
        R::MaxPayloadExceeded => CloseCode::TooBig,
        R::ProtocolViolation | R::BadClientProtocolVersion => CloseCode::ProtocolError,
        R::StaleConnection | R::ServerShutdown => CloseCode::GoingAway,
        R::AuthenticationTimeout
        | R::AuthenticationFailure
        | R::AuthenticationExpired
        | R::SlowConsumerPendingBytes
        | R::SlowConsumerWriteDeadline
        | R::MaxConnectionsExceeded
        | R::MaxAccountConnectionsExceeded
        | R::MaxControlLineExceeded
        | R::MaxSubscriptionsExceeded
        | R::MissingAccount
        | R::CredentialsRevoked => CloseCode::PolicyViolation,
        _ => CloseCode::Internal,
    })
}
