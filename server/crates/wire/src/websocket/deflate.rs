//! permessage-deflate without context takeover: every message is compressed by
//! itself, so that no connection keeps a dictionary between messages. The states
//! are lent by the thread that works on a message.

use bytes::BytesMut;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What a sender leaves out at the end of a message (RFC 7692 §7.2.1), and an
/// empty last block, so that a whole message ends the stream.
const END: [u8; 9] = [0, 0, 0xFF, 0xFF, 1, 0, 0, 0xFF, 0xFF];
/// Bytes the sender leaves out.
const OMITTED: usize = 4;
/// Bytes of output made at a time.
const GROW: usize = 16 * 1024;
/// Idle states kept by a thread; each takes about 43 KiB.
const KEEP: usize = 8;

/// A compressor, used for one message after the other.
#[derive(Debug)]
pub struct Deflater(Compress);

impl Default for Deflater {
    fn default() -> Self {
        Self(Compress::new(Compression::fast(), false))
    }
}

impl Deflater {
    /// Appends one compressed message.
    pub fn message(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        self.0.reset();
        let mut rest = plain;
        loop {
            // Deflate at most stores, five bytes more for each 32 KiB.
            out.reserve(rest.len() + rest.len() / 2048 + 64);
            let (room, start) = (out.capacity() - out.len(), out.len());
            let before = self.0.total_in();
            // The only failure is a wrong order of calls.
            if self.0.compress_vec(rest, out, FlushCompress::Sync).is_err() {
                break;
            }
            let used = (self.0.total_in() - before) as usize;
            rest = rest.get(used..).unwrap_or_default();
            // A flush is over when it left room unused.
            if rest.is_empty() && out.len() - start < room {
                break;
            }
        }
        out.truncate(out.len().saturating_sub(OMITTED));
    }
}

/// A message that does not decompress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// Not a deflate stream, or one that does not end with its message.
    #[error("compressed message is damaged")]
    Damaged,
    /// Larger than allowed.
    #[error("compressed message is larger than {0} bytes")]
    TooBig(usize),
}

/// A decompressor in the middle of a message.
#[derive(Debug)]
pub struct Inflater {
    state: Decompress,
    /// Bytes this message has given.
    made: usize,
    /// The stream ended by itself; what follows in the message is nothing.
    ended: bool,
    /// Bytes of [`END`] already taken.
    tail: usize,
}

impl Inflater {
    fn new() -> Self {
        Self { state: Decompress::new(false), made: 0, ended: false, tail: 0 }
    }

    /// Decompresses from `input` until it is used up or `out` holds `room` bytes.
    /// Returns the bytes of `input` taken. Fails once the message is larger than
    /// `max`.
    pub fn inflate(
        &mut self,
        input: &[u8],
        out: &mut BytesMut,
        room: usize,
        max: usize,
        scratch: &mut Scratch,
    ) -> Result<usize, InflateError> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            if self.ended {
                return Ok(input.len());
            }
            let free = room.saturating_sub(out.len());
            if free == 0 {
                return Ok(used);
            }
            let (taken, made) = self.step(rest, out, free, max, scratch)?;
            used += taken;
            // Without input an empty step means that nothing is left inside.
            if made == 0 && (taken == 0 || used == input.len()) {
                let stuck = used < input.len() && !self.ended;
                return if stuck { Err(InflateError::Damaged) } else { Ok(used) };
            }
        }
    }

    /// The message's last byte was given. True when all of it is out; false if
    /// `out` was full first.
    pub fn finish(
        &mut self,
        out: &mut BytesMut,
        room: usize,
        max: usize,
        scratch: &mut Scratch,
    ) -> Result<bool, InflateError> {
        while !self.ended {
            let free = room.saturating_sub(out.len());
            if free == 0 {
                return Ok(false);
            }
            let end = END.get(self.tail..).unwrap_or_default();
            let (taken, made) = self.step(end, out, free, max, scratch)?;
            self.tail += taken;
            if taken == 0 && made == 0 && !self.ended {
                return Err(InflateError::Damaged);
            }
        }
        Ok(true)
    }

    fn step(
        &mut self,
        input: &[u8],
        out: &mut BytesMut,
        free: usize,
        max: usize,
        scratch: &mut Scratch,
    ) -> Result<(usize, usize), InflateError> {
        // One byte more than allowed shows that there is more.
        let want = free.min(GROW).min(max.saturating_sub(self.made).saturating_add(1));
        let (in_before, out_before) = (self.state.total_in(), self.state.total_out());
        let target = scratch.room(want);
        let status = self.state.decompress(input, target, FlushDecompress::None);
        let taken = (self.state.total_in() - in_before) as usize;
        let made = (self.state.total_out() - out_before) as usize;
        let start = out.len();
        out.extend_from_slice(target.get(..made).unwrap_or_default());
        match status {
            Err(_) => {
                // What came with the error is nothing to rely on.
                out.truncate(start);
                return Err(InflateError::Damaged);
            }
            Ok(Status::StreamEnd) => self.ended = true,
            Ok(Status::Ok | Status::BufError) => {}
        }
        self.made += made;
        if self.made > max {
            out.truncate(start + made.saturating_sub(self.made - max));
            return Err(InflateError::TooBig(max));
        }
        Ok((taken, made))
    }
}

/// Where output is made, so that a call that makes little clears nothing. Takes
/// 16 KiB from its first use on.
#[derive(Debug, Default)]
pub struct Scratch(Vec<u8>);

impl Scratch {
    fn room(&mut self, want: usize) -> &mut [u8] {
        if self.0.is_empty() {
            self.0.resize(GROW, 0);
        }
        self.0.get_mut(..want).unwrap_or_default()
    }
}

/// Decompressors not in use, for all connections of a thread.
#[derive(Debug, Default)]
pub struct Inflaters {
    idle: Vec<Inflater>,
    /// For the one at work.
    pub scratch: Scratch,
}

impl Inflaters {
    /// One to begin a message with.
    pub fn lend(&mut self) -> Inflater {
        self.idle.pop().unwrap_or_else(Inflater::new)
    }

    /// Takes one back after its message.
    pub fn take_back(&mut self, mut inflater: Inflater) {
        if self.idle.len() < KEEP {
            inflater.state.reset(false);
            (inflater.made, inflater.ended, inflater.tail) = (0, false, 0);
            self.idle.push(inflater);
        }
    }
}

#[cfg(test)]
#[path = "deflate_test.rs"]
mod tests;
