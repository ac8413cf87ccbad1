//! Frames to the bytes inside, whatever pieces they arrive in.
//!
//! [`Decoder::step`] goes on until the input is used up, the output is full, or
//! something wants an answer, so that neither a large message nor a compressed
//! one takes more memory than the caller offers; and no longer than
//! [`Room::pieces`] lasts, because a few bytes can ask for a whole run of the
//! decompressor. What is kept between calls: at most a frame head and a control
//! payload (139 bytes), and while a compressed message is incomplete its
//! decompressor (about 43 KiB), or before the login what came of the message
//! ([`MAX_GATHERED`]).

use super::close::CloseCode;
use super::deflate::{InflateError, Inflater, Inflaters};
use super::{BINARY, CLOSE, CONTINUATION, FIN, MASK, MAX_CONTROL, PING, PONG, RSV1, RSV23, TEXT};
use bytes::BytesMut;

/// Bytes of the longest head: two, an 8-byte length, a 4-byte mask.
const MAX_HEAD: usize = 14;
/// Bytes of a compressed message kept for a peer that has not logged in, until
/// the message is complete: a decompressor would take more. A CONNECT with two
/// tokens has a quarter of that.
pub const MAX_GATHERED: usize = 16 * 1024;
/// For [`Room::pieces`]: as many as a large message in one read wants, and done
/// in a fraction of a millisecond.
pub const PIECES: u32 = 64;

/// What the peer may send; agreed on in the upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Every frame must be masked (unless the peer asked for `Nats-No-Masking`).
    pub masked: bool,
    /// Messages may be compressed.
    pub compress: bool,
}

/// Limits of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes the output may hold.
    pub output: usize,
    /// Bytes a compressed message may hold.
    pub inflated: usize,
    /// Runs of the decompressor left, each over at most [`MAX_GATHERED`] bytes;
    /// counted down by the steps.
    pub pieces: u32,
    /// The peer has logged in.
    pub logged_in: bool,
}

/// Why a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The input is used up.
    NeedInput,
    /// The output is full: use it and call again, even without more input.
    OutputFull,
    /// [`Room::pieces`] are used up: let others run and call again, even without
    /// more input.
    Tired,
    /// A compressed message is larger than what is kept before the login. If
    /// there is output, use it and call again, else the peer asks too much.
    NeedLogin,
    /// To be answered with [`super::encode::put_pong`].
    Ping(Control),
    /// The peer wants to close; code and text as they are to be sent back, or
    /// `None` for a bare Close frame.
    Close(Option<(CloseCode, String)>),
}

/// Payload of a control frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    bytes: [u8; MAX_CONTROL],
    len: usize,
}

impl Control {
    /// The bytes.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Why a connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// RSV2 or RSV3.
    #[error("frame has a reserved bit set")]
    ReservedBit,
    /// RSV1 without permessage-deflate.
    #[error("compressed frame although compression was not agreed on")]
    NotNegotiated,
    /// No mask.
    #[error("frame of a client is not masked")]
    MaskMissing,
    /// Opcode 3–7 or 11–15.
    #[error("frame has the unknown opcode {0}")]
    UnknownOpcode(u8),
    /// A control frame in fragments, compressed, or above 125 bytes.
    #[error("control frame is fragmented, compressed or too long")]
    BadControl,
    /// A new message inside a fragmented one.
    #[error("new message before the last one has ended")]
    MessageInMessage,
    /// A continuation of nothing, or one marked as compressed.
    #[error("continuation frame without a message")]
    BadContinuation,
    /// The highest bit of a length is set.
    #[error("frame has an impossible length")]
    BadLength,
    /// A Close frame with half a code, or with one that never travels.
    #[error("close frame has a bad code")]
    BadCloseCode,
    /// See [`Step::NeedLogin`].
    #[error("compressed message before the login is larger than {MAX_GATHERED} bytes")]
    TooBigBeforeLogin,
    /// What was compressed.
    #[error(transparent)]
    Inflate(#[from] InflateError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Inside a head.
    Head,
    /// Inside the payload of a message's frame.
    Data,
    /// Inside the payload of a control frame with this opcode.
    Control(u8),
    /// The last byte of a compressed message is in, not all of it is out.
    Finish,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Decoder {
    rules: Rules,
    stage: Stage,
    head: [u8; MAX_HEAD],
    head_len: usize,
    control: Control,
    /// Bytes missing of this frame's payload.
    left: u64,
    mask: u32,
    /// The last data frame was the last of its message.
    last: bool,
    /// A message has begun and not ended.
    inside: bool,
    /// The message that has begun is compressed.
    packed: bool,
    inflater: Option<Inflater>,
    /// Compressed bytes that came before the login.
    gathered: Vec<u8>,
    /// How many of them are decompressed.
    unpacked: usize,
}

impl Decoder {
    /// At the start of a connection.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            stage: Stage::Head,
            head: [0; MAX_HEAD],
            head_len: 0,
            control: Control { bytes: [0; MAX_CONTROL], len: 0 },
            left: 0,
            mask: 0,
            last: true,
            inside: false,
            packed: false,
            inflater: None,
            gathered: Vec::new(),
            unpacked: 0,
        }
    }

    /// Takes from `input`, appends to `out`. Returns the bytes taken and why it
    /// stopped. After an error the connection is of no use.
    pub fn step(
        &mut self,
        input: &[u8],
        out: &mut BytesMut,
        room: &mut Room,
        inflaters: &mut Inflaters,
    ) -> Result<(usize, Step), FrameError> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            match self.stage {
                Stage::Head => {
                    if rest.is_empty() {
                        return Ok((used, Step::NeedInput));
                    }
                    used += self.take_head(rest)?;
                }
                Stage::Control(opcode) => {
                    if self.left > 0 && rest.is_empty() {
                        return Ok((used, Step::NeedInput));
                    }
                    used += self.take_control(rest);
                    if self.left == 0 {
                        self.stage = Stage::Head;
                        if let Some(step) = self.control_step(opcode)? {
                            return Ok((used, step));
                        }
                    }
                }
                Stage::Data => {
                    if self.left > 0 {
                        if rest.is_empty() {
                            let step = self.used_up(out, room, inflaters)?;
                            return Ok((used, step.unwrap_or(Step::NeedInput)));
                        }
                        if out.len() >= room.output {
                            return Ok((used, Step::OutputFull));
                        }
                        let (taken, step) = if self.packed {
                            self.take_packed(rest, out, room, inflaters)?
                        } else {
                            (self.take_data(rest, out, room), None)
                        };
                        used += taken;
                        if let Some(step) = step {
                            return Ok((used, step));
                        }
                    }
                    if self.left == 0 {
                        // What comes next, a Close perhaps, comes after all of it.
                        if !self.last
                            && let Some(step) = self.used_up(out, room, inflaters)?
                        {
                            return Ok((used, step));
                        }
                        self.stage =
                            if self.last && self.packed { Stage::Finish } else { Stage::Head };
                    }
                }
                Stage::Finish => {
                    if let Some(step) = self.finish(out, room, inflaters)? {
                        return Ok((used, step));
                    }
                }
            }
        }
    }

    /// The input is used up, but a decompressor may still hold output for which
    /// there was no room. `None`: it does not.
    fn used_up(
        &mut self,
        out: &mut BytesMut,
        room: &mut Room,
        inflaters: &mut Inflaters,
    ) -> Result<Option<Step>, FrameError> {
        if !self.gathered.is_empty() {
            if !room.logged_in {
                return Ok(None);
            }
            if !take_piece(room) {
                return Ok(Some(Step::Tired));
            }
            self.unpack(out, room, inflaters)?;
        } else if let Some(inflater) = &mut self.inflater {
            if !take_piece(room) {
                return Ok(Some(Step::Tired));
            }
            let scratch = &mut inflaters.scratch;
            inflater.inflate(&[], out, room.output, room.inflated, scratch)?;
        } else {
            return Ok(None);
        }
        Ok((out.len() >= room.output).then_some(Step::OutputFull))
    }

    /// Takes bytes of a head and acts on it when it is whole. Errors come as
    /// early as the bytes that show them.
    fn take_head(&mut self, input: &[u8]) -> Result<usize, FrameError> {
        let mut used = 0;
        for &byte in input {
            if let Some(place) = self.head.get_mut(self.head_len) {
                *place = byte;
            }
            self.head_len += 1;
            used += 1;
            let [first, second, ..] = self.head;
            match self.head_len {
                1 => self.check_first(first)?,
                2 => self.check_second(first, second)?,
                _ => {}
            }
            if self.head_len >= 2 && self.head_len == head_len(second) {
                self.begin()?;
                break;
            }
        }
        Ok(used)
    }

    fn check_first(&self, first: u8) -> Result<(), FrameError> {
        if first & RSV23 != 0 {
            return Err(FrameError::ReservedBit);
        }
        let compressed = first & RSV1 != 0;
        if compressed && !self.rules.compress {
            return Err(FrameError::NotNegotiated);
        }
        match first & 0x0F {
            TEXT | BINARY if self.inside => Err(FrameError::MessageInMessage),
            CONTINUATION if !self.inside || compressed => Err(FrameError::BadContinuation),
            CLOSE | PING | PONG if compressed || first & FIN == 0 => Err(FrameError::BadControl),
            CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG => Ok(()),
            other => Err(FrameError::UnknownOpcode(other)),
        }
    }

    fn check_second(&self, first: u8, second: u8) -> Result<(), FrameError> {
        if self.rules.masked && second & MASK == 0 {
            return Err(FrameError::MaskMissing);
        }
        let control = first & 0x08 != 0;
        if control && usize::from(second & !MASK) > MAX_CONTROL {
            return Err(FrameError::BadControl);
        }
        Ok(())
    }

    /// The head is whole: what follows?
    fn begin(&mut self) -> Result<(), FrameError> {
        let [first, second, a, b, ..] = self.head;
        let length = second & !MASK;
        let (len, at) = match length {
            126 => (u64::from(u16::from_be_bytes([a, b])), 4),
            127 => {
                let long = self.head.get(2..10).and_then(|l| l.try_into().ok());
                (u64::from_be_bytes(long.unwrap_or_default()), 10)
            }
            short => (u64::from(short), 2),
        };
        if len >> 63 != 0 {
            return Err(FrameError::BadLength);
        }
        self.mask = if second & MASK == 0 {
            0
        } else {
            let key = self.head.get(at..at + 4).and_then(|k| k.try_into().ok());
            u32::from_le_bytes(key.unwrap_or_default())
        };
        self.left = len;
        self.head_len = 0;
        let opcode = first & 0x0F;
        match opcode {
            CLOSE | PING | PONG => {
                self.control.len = 0;
                self.stage = Stage::Control(opcode);
            }
            _ => {
                self.last = first & FIN != 0;
                self.inside = !self.last;
                // A continuation goes on with what its message is.
                self.packed |= first & RSV1 != 0;
                self.stage = Stage::Data;
            }
        }
        Ok(())
    }

    fn take_control(&mut self, input: &[u8]) -> usize {
        let n = input.len().min(self.left as usize);
        let taken = input.get(..n).unwrap_or_default();
        let start = self.control.len;
        if let Some(place) = self.control.bytes.get_mut(start..start + n) {
            place.copy_from_slice(taken);
            self.mask = unmask(place, self.mask);
        }
        self.control.len += n;
        self.left -= n as u64;
        n
    }

    fn control_step(&mut self, opcode: u8) -> Result<Option<Step>, FrameError> {
        match opcode {
            PING => Ok(Some(Step::Ping(self.control))),
            CLOSE => close_step(self.control.payload()).map(Some),
            _ => Ok(None),
        }
    }

    fn take_data(&mut self, input: &[u8], out: &mut BytesMut, room: &Room) -> usize {
        let n = input.len().min(self.missing()).min(room.output.saturating_sub(out.len()));
        let start = out.len();
        out.extend_from_slice(input.get(..n).unwrap_or_default());
        unmask(out.get_mut(start..).unwrap_or_default(), self.mask);
        self.taken(n);
        n
    }

    /// Takes bytes of a compressed message: keeps them before the login, else
    /// decompresses, first those that were kept.
    fn take_packed(
        &mut self,
        input: &[u8],
        out: &mut BytesMut,
        room: &mut Room,
        inflaters: &mut Inflaters,
    ) -> Result<(usize, Option<Step>), FrameError> {
        if !room.logged_in {
            let n = input.len().min(self.missing());
            let n = n.min(MAX_GATHERED.saturating_sub(self.gathered.len()));
            let start = self.gathered.len();
            self.gathered.extend_from_slice(input.get(..n).unwrap_or_default());
            unmask(self.gathered.get_mut(start..).unwrap_or_default(), self.mask);
            self.taken(n);
            return Ok((n, (n == 0).then_some(Step::NeedLogin)));
        }
        if !take_piece(room) {
            return Ok((0, Some(Step::Tired)));
        }
        if !self.gathered.is_empty() {
            self.unpack(out, room, inflaters)?;
            return Ok((0, None));
        }
        // Unmasked in small pieces on the stack: the input is not ours.
        let mut piece = [0; 4096];
        let n = input.len().min(self.missing()).min(piece.len());
        let (piece, _) = piece.split_at_mut(n);
        piece.copy_from_slice(input.get(..n).unwrap_or_default());
        unmask(piece, self.mask);
        let inflater = self.inflater.get_or_insert_with(|| inflaters.lend());
        let scratch = &mut inflaters.scratch;
        let used = inflater.inflate(piece, out, room.output, room.inflated, scratch)?;
        self.taken(used);
        Ok((used, None))
    }

    /// Decompresses what was kept before the login.
    fn unpack(
        &mut self,
        out: &mut BytesMut,
        room: &Room,
        inflaters: &mut Inflaters,
    ) -> Result<(), FrameError> {
        let inflater = self.inflater.get_or_insert_with(|| inflaters.lend());
        let rest = self.gathered.get(self.unpacked..).unwrap_or_default();
        let scratch = &mut inflaters.scratch;
        self.unpacked += inflater.inflate(rest, out, room.output, room.inflated, scratch)?;
        if self.unpacked >= self.gathered.len() {
            (self.gathered, self.unpacked) = (Vec::new(), 0);
        }
        Ok(())
    }

    /// The last byte of a compressed message is in: gives the rest of what is
    /// inside. `None`: the message is over.
    fn finish(
        &mut self,
        out: &mut BytesMut,
        room: &mut Room,
        inflaters: &mut Inflaters,
    ) -> Result<Option<Step>, FrameError> {
        if !take_piece(room) {
            return Ok(Some(Step::Tired));
        }
        if !self.gathered.is_empty() {
            self.unpack(out, room, inflaters)?;
            if !self.gathered.is_empty() {
                return Ok(Some(Step::OutputFull));
            }
        }
        let mut inflater = self.inflater.take().unwrap_or_else(|| inflaters.lend());
        let scratch = &mut inflaters.scratch;
        if !inflater.finish(out, room.output, room.inflated, scratch)? {
            self.inflater = Some(inflater);
            return Ok(Some(Step::OutputFull));
        }
        inflaters.take_back(inflater);
        self.packed = false;
        self.stage = Stage::Head;
        Ok(None)
    }

    /// Bytes missing of this frame, as far as they fit a length.
    fn missing(&self) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX)
    }

    /// `n` bytes of this frame's payload are used.
    fn taken(&mut self, n: usize) {
        self.mask = self.mask.rotate_right(8 * (n % 4) as u32);
        self.left -= n as u64;
    }
}

/// Takes one run of the decompressor from what is left; false if nothing is.
fn take_piece(room: &mut Room) -> bool {
    let left = room.pieces.checked_sub(1);
    room.pieces = left.unwrap_or_default();
    left.is_some()
}

/// Bytes of a head with this second byte.
fn head_len(second: u8) -> usize {
    let length = match second & !MASK {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & MASK == 0 { 0 } else { 4 }
}

fn close_step(payload: &[u8]) -> Result<Step, FrameError> {
    match payload {
        [] => Ok(Step::Close(None)),
        [a, b, text @ ..] => {
            let code = CloseCode::received(u16::from_be_bytes([*a, *b]))
                .ok_or(FrameError::BadCloseCode)?;
            Ok(Step::Close(Some(match std::str::from_utf8(text) {
                Ok(text) => (code, text.to_owned()),
                Err(_) => (CloseCode::InvalidData, "invalid utf8 body in close frame".to_owned()),
            })))
        }
        _ => Err(FrameError::BadCloseCode),
    }
}

/// Removes the mask, whose first byte is the lowest of `key`; returns the key as
/// it applies to what follows.
fn unmask(bytes: &mut [u8], key: u32) -> u32 {
    if key == 0 {
        return 0;
    }
    let wide = u64::from(key) << 32 | u64::from(key);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_le_bytes(*word) ^ wide).to_le_bytes();
    }
    for (byte, k) in rest.iter_mut().zip(key.to_le_bytes().into_iter().cycle()) {
        *byte ^= k;
    }
    key.rotate_right(8 * (rest.len() % 4) as u32)
}

#[cfg(test)]
#[path = "decode_test.rs"]
mod tests;
