//! Reads a backup of either format as it arrives.

use super::archive::{ArchiveReader, MAGIC};
use super::legacy::LegacyReader;
use super::{Sink, SnapshotError};
use gust_wire::s2::Decoder;

/// What a backup may contain at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreLimits {
    /// Bytes of a message, headers and payload: the lower of the account's
    /// `max_payload` and the stream's `max_msg_size`.
    pub max_message: u64,
    /// Bytes of the whole backup when decompressed.
    pub max_total: u64,
}

impl Default for RestoreLimits {
    fn default() -> Self {
        RestoreLimits { max_message: 64 << 20, max_total: u64::MAX }
    }
}

/// Compressed bytes given to the decoder at once. The smallest chunk has some
/// 20 bytes and may unfold to 4 MiB, so this bounds what one step produces.
const STEP: usize = 128;

enum Inner {
    /// Too few bytes to tell the format.
    Unknown(Vec<u8>),
    Archive(ArchiveReader),
    Legacy(Box<LegacyReader>),
}

/// Reads a backup. Memory is bounded by one entry and one compressed chunk.
pub struct RestoreReader {
    s2: Decoder,
    plain: Vec<u8>,
    inner: Inner,
    limits: RestoreLimits,
    received: u64,
}

impl RestoreReader {
    /// A reader at the start of a backup.
    pub fn new(limits: RestoreLimits) -> RestoreReader {
        RestoreReader {
            s2: Decoder::new(limits.max_total),
            plain: Vec::new(),
            inner: Inner::Unknown(Vec::new()),
            limits,
            received: 0,
        }
    }

    /// Compressed bytes taken so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes the next piece, of any size, and hands what it completes to `sink`.
    /// After an error the backup is unusable.
    pub fn push(&mut self, piece: &[u8], sink: &mut Sink<'_>) -> Result<(), SnapshotError> {
        self.received += piece.len() as u64;
        for step in piece.chunks(STEP) {
            self.s2.decode(step, &mut self.plain)?;
            if !self.plain.is_empty() {
                let plain = std::mem::take(&mut self.plain);
                self.take_plain(&plain, sink)?;
                self.plain = plain;
                self.plain.clear();
            }
        }
        Ok(())
    }

    fn take_plain(&mut self, plain: &[u8], sink: &mut Sink<'_>) -> Result<(), SnapshotError> {
        match &mut self.inner {
            Inner::Archive(archive) => archive.push(plain, sink),
            Inner::Legacy(legacy) => legacy.push(plain, sink),
            Inner::Unknown(first) => {
                first.extend_from_slice(plain);
                if first.len() < MAGIC.len() {
                    return Ok(());
                }
                let first = std::mem::take(first);
                if let Some(rest) = first.strip_prefix(MAGIC) {
                    let mut archive = ArchiveReader::new(self.limits);
                    let done = archive.push(rest, sink);
                    self.inner = Inner::Archive(archive);
                    return done;
                }
                let mut legacy = Box::new(LegacyReader::new(self.limits));
                let done = legacy.push(&first, sink);
                self.inner = Inner::Legacy(legacy);
                done
            }
        }
    }

    /// Ends the backup: an error when it is not complete.
    pub fn finish(mut self, sink: &mut Sink<'_>) -> Result<(), SnapshotError> {
        self.s2.finish()?;
        match &mut self.inner {
            Inner::Unknown(_) => Err(SnapshotError::Truncated("its first bytes".into())),
            Inner::Archive(archive) => archive.finish(),
            Inner::Legacy(legacy) => legacy.finish(sink),
        }
    }
}
