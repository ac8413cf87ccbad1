//! S2 stream framing: nats-server's backups and compressed leafnode and route
//! links are such streams. Blocks are coded by `minlz`; the frames are ours so
//! that they need no `Read`, hold no thread and name the offset of damage.
//!
//! ```text
//! stream = chunk*            chunk = type u8 · length u24 LE · data
//! ff  stream id "S2sTwO" or "sNaPpY", first and repeatable
//! 00  CRC u32 LE · compressed block      01  CRC u32 LE · plain bytes
//! 80..=fe  skipped                       02..=7f  error
//! ```
//!
//! The CRC is the masked CRC-32C of the uncompressed bytes.

/// Most uncompressed bytes of a chunk in an S2 stream.
pub const MAX_BLOCK: usize = 4 << 20;
/// Most uncompressed bytes of a chunk in a Snappy stream.
pub const MAX_SNAPPY_BLOCK: usize = 64 << 10;
/// Uncompressed bytes the encoder puts into a chunk.
pub const BLOCK: usize = 1 << 20;

const HEADER: usize = 4;
const CRC: usize = 4;
const TYPE_COMPRESSED: u8 = 0x00;
const TYPE_PLAIN: u8 = 0x01;
const TYPE_STREAM_ID: u8 = 0xff;
const S2_ID: &[u8] = b"S2sTwO";
const SNAPPY_ID: &[u8] = b"sNaPpY";
const S2_ID_CHUNK: &[u8] = b"\xff\x06\x00\x00S2sTwO";
const SNAPPY_ID_CHUNK: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// How hard the encoder tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// No compression, only frames.
    Uncompressed,
    /// Fastest.
    #[default]
    Fast,
    /// Half as fast, about 15 % smaller.
    Better,
    /// Slow.
    Best,
    /// Readable by plain Snappy as well.
    Snappy,
}

/// Writes one stream. Every call yields whole chunks, so the output can be sent
/// at once; there is nothing to finish.
#[derive(Debug, Default)]
pub struct Encoder {
    level: Level,
    started: bool,
}

impl Encoder {
    /// An encoder at the start of a stream.
    pub fn new(level: Level) -> Self {
        Encoder { level, started: false }
    }

    /// An encoder whose stream plain Snappy readers understand.
    pub fn snappy() -> Self {
        Encoder::new(Level::Snappy)
    }

    /// Appends `data` as chunks.
    pub fn encode(&mut self, data: &[u8], out: &mut Vec<u8>) {
        if !self.started {
            let snappy = self.level == Level::Snappy;
            out.extend_from_slice(if snappy { SNAPPY_ID_CHUNK } else { S2_ID_CHUNK });
            self.started = true;
        }
        let size = if self.level == Level::Snappy { MAX_SNAPPY_BLOCK } else { BLOCK };
        for block in data.chunks(size) {
            let packed = match self.level {
                Level::Uncompressed => None,
                Level::Fast => Some(minlz::s2::encode(block)),
                Level::Better => Some(minlz::s2::encode_better(block)),
                Level::Best => Some(minlz::s2::encode_best(block)),
                // Fails for blocks of gigabytes only.
                Level::Snappy => snap::raw::Encoder::new().compress_vec(block).ok(),
            };
            // Less than 1/32 saved is not worth the reader's time.
            let packed = packed.filter(|p| p.len() < block.len() - block.len() / 32);
            let (kind, bytes) = match &packed {
                Some(p) => (TYPE_COMPRESSED, p.as_slice()),
                None => (TYPE_PLAIN, block),
            };
            let [a, b, c, _] = ((bytes.len() + CRC) as u32).to_le_bytes();
            out.reserve(HEADER + CRC + bytes.len());
            out.extend_from_slice(&[kind, a, b, c]);
            out.extend_from_slice(&minlz::crc::crc(block).to_le_bytes());
            out.extend_from_slice(bytes);
        }
    }
}

/// Why a stream cannot be read on, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("S2 stream is not readable at byte {offset}: {cause}")]
pub struct S2Error {
    /// Where the chunk starts in the compressed stream.
    pub offset: u64,
    /// What is wrong with it.
    pub cause: S2Cause,
}

/// What is wrong with a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum S2Cause {
    /// The stream does not start with a stream id, or that is unknown.
    #[error("this is no S2 or Snappy stream")]
    NoStreamId,
    /// A chunk that must not be skipped has an unknown type.
    #[error("chunk type {0:02x} is unknown")]
    UnknownChunk(u8),
    /// Lengths contradict each other or a limit.
    #[error("chunk length is impossible")]
    BadLength,
    /// The block does not decode.
    #[error("compressed block is corrupt")]
    BadBlock,
    /// The checksum does not match.
    #[error("checksum does not match")]
    BadCrc,
    /// More output than the reader allows.
    #[error("stream holds more than {0} bytes")]
    TooLarge(u64),
    /// The stream ends within a chunk.
    #[error("stream is cut short")]
    Truncated,
}

/// Reads one stream incrementally. Holds at most one chunk.
#[derive(Debug)]
pub struct Decoder {
    /// Bytes of an unfinished chunk, header included.
    partial: Vec<u8>,
    /// Data bytes of a chunk being skipped that are still to come.
    skip: usize,
    max_output: u64,
    produced: u64,
    /// Offset of the next chunk.
    offset: u64,
    /// Largest block by stream id; 0 before the first.
    max_block: usize,
    failed: Option<S2Error>,
}

impl Decoder {
    /// A decoder that yields at most `max_output` bytes.
    pub fn new(max_output: u64) -> Self {
        Decoder {
            partial: Vec::new(),
            skip: 0,
            max_output,
            produced: 0,
            offset: 0,
            max_block: 0,
            failed: None,
        }
    }

    /// Takes all of `input` and appends what it decodes to. After an error every
    /// call returns that error; bytes appended before it are good.
    pub fn decode(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), S2Error> {
        if let Some(e) = self.failed {
            return Err(e);
        }
        while !input.is_empty() {
            if self.skip > 0 {
                let n = self.skip.min(input.len());
                self.skip -= n;
                input = input.get(n..).unwrap_or_default();
                continue;
            }
            if let Err(cause) = self.advance(&mut input, out) {
                let e = S2Error { offset: self.offset, cause };
                self.failed = Some(e);
                return Err(e);
            }
        }
        Ok(())
    }

    /// Says whether the stream may end here.
    pub fn finish(&self) -> Result<(), S2Error> {
        match self.failed {
            Some(e) => Err(e),
            None if self.partial.is_empty() && self.skip == 0 => Ok(()),
            None => Err(S2Error { offset: self.offset, cause: S2Cause::Truncated }),
        }
    }

    /// Bytes decoded so far.
    pub fn produced(&self) -> u64 {
        self.produced
    }

    /// Takes one chunk, or a part of one, from `input`.
    fn advance(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), S2Cause> {
        self.fill(input, HEADER);
        let &[kind, a, b, c] = self.partial.get(..HEADER).unwrap_or_default() else {
            return Ok(());
        };
        let len = u32::from_le_bytes([a, b, c, 0]) as usize;
        self.check_header(kind, len)?;
        if (0x80..TYPE_STREAM_ID).contains(&kind) {
            self.partial.clear();
            self.skip = len;
            self.offset += (HEADER + len) as u64;
            return Ok(());
        }
        self.fill(input, HEADER + len);
        if self.partial.len() < HEADER + len {
            return Ok(());
        }
        let mut chunk = std::mem::take(&mut self.partial);
        let result = self.chunk(kind, chunk.get(HEADER..).unwrap_or_default(), out);
        // The allocation serves the next chunk.
        chunk.clear();
        self.partial = chunk;
        result?;
        self.offset += (HEADER + len) as u64;
        Ok(())
    }

    /// Moves bytes from `input` until the partial chunk has `want`.
    fn fill(&mut self, input: &mut &[u8], want: usize) {
        let n = want.saturating_sub(self.partial.len()).min(input.len());
        let (taken, rest) = input.split_at(n);
        self.partial.extend_from_slice(taken);
        *input = rest;
    }

    /// Refuses a chunk by type and length, before its data is buffered.
    fn check_header(&self, kind: u8, len: usize) -> Result<(), S2Cause> {
        let ok = match kind {
            TYPE_STREAM_ID => len == S2_ID.len(),
            _ if self.max_block == 0 => return Err(S2Cause::NoStreamId),
            // A block never grows by more than 1/6 (Snappy's bound) and 32 bytes.
            TYPE_COMPRESSED => {
                (CRC + 1..=CRC + 32 + self.max_block + self.max_block / 6).contains(&len)
            }
            TYPE_PLAIN => (CRC..=CRC + self.max_block).contains(&len),
            0x02..=0x7f => return Err(S2Cause::UnknownChunk(kind)),
            _ => true,
        };
        if ok {
            Ok(())
        } else if self.max_block == 0 {
            Err(S2Cause::NoStreamId)
        } else {
            Err(S2Cause::BadLength)
        }
    }

    fn chunk(&mut self, kind: u8, data: &[u8], out: &mut Vec<u8>) -> Result<(), S2Cause> {
        if kind == TYPE_STREAM_ID {
            self.max_block = match data {
                S2_ID => MAX_BLOCK,
                SNAPPY_ID => MAX_SNAPPY_BLOCK,
                _ => return Err(S2Cause::NoStreamId),
            };
            return Ok(());
        }
        let (crc, data) = data.split_first_chunk::<CRC>().ok_or(S2Cause::BadLength)?;
        let size = if kind == TYPE_PLAIN {
            data.len()
        } else {
            minlz::s2::decode_len(data).map_err(|_| S2Cause::BadBlock)?.0
        };
        if size > self.max_block {
            return Err(S2Cause::BadLength);
        }
        let produced = self.produced + size as u64;
        if produced > self.max_output {
            return Err(S2Cause::TooLarge(self.max_output));
        }
        let start = out.len();
        if kind == TYPE_PLAIN {
            out.extend_from_slice(data);
        } else {
            out.resize(start + size, 0);
        }
        let Some(block) = out.get_mut(start..) else { return Err(S2Cause::BadLength) };
        let decoded = kind == TYPE_PLAIN || minlz::s2::decode_into(block, data) == Ok(size);
        let cause = if !decoded {
            Some(S2Cause::BadBlock)
        } else if minlz::crc::crc(block).to_le_bytes() != *crc {
            Some(S2Cause::BadCrc)
        } else {
            None
        };
        if let Some(cause) = cause {
            out.truncate(start);
            return Err(cause);
        }
        self.produced = produced;
        Ok(())
    }
}

#[cfg(test)]
#[path = "s2_test.rs"]
mod tests;
