//! Writes a backup and cuts it into chunks.

use super::archive;
use super::consumer_state::ConsumerSnapshot;
use super::legacy_writer::LegacyWriter;
use crate::api::StreamState;
use crate::config::{ConsumerConfig, StreamConfig};
use crate::effect::Nanos;
use crate::time::Time;
use bytes::{Buf, Bytes, BytesMut};
use gust_storage::record::MessageView;
use gust_wire::s2::{Encoder, Level};

/// Which servers can read the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// nats-server 2.15 and later.
    #[default]
    Archive,
    /// All, up to 2.14 included, but only into file streams: they ignore the
    /// messages when the stream is restored into memory.
    Tar,
}

/// Plain bytes collected before they are compressed.
const BATCH: usize = 1 << 20;

enum Inner {
    Archive,
    Tar(Box<LegacyWriter>),
}

/// Writes one backup: first all consumers, then all messages in order, then
/// [`SnapshotWriter::finish`]. After each step take the chunks that are ready;
/// what is not taken stays in memory.
pub struct SnapshotWriter {
    s2: Encoder,
    inner: Inner,
    plain: BytesMut,
    /// Compressed and not yet taken.
    ready: BytesMut,
    chunk: usize,
    finished: bool,
    now: Nanos,
}

impl SnapshotWriter {
    /// Begins a backup in chunks of `chunk` bytes. `state.consumer_count` must
    /// be the number of consumers that will follow.
    pub fn new(
        format: Format,
        config: &StreamConfig,
        created: Time,
        state: &StreamState,
        chunk: usize,
        now: Nanos,
    ) -> SnapshotWriter {
        let mut plain = BytesMut::new();
        let inner = match format {
            Format::Archive => {
                archive::put_state(&mut plain, state, now);
                Inner::Archive
            }
            Format::Tar => {
                Inner::Tar(Box::new(LegacyWriter::new(&mut plain, config, created, now)))
            }
        };
        SnapshotWriter {
            s2: Encoder::new(Level::Fast),
            inner,
            plain,
            ready: BytesMut::new(),
            chunk: chunk.max(1),
            finished: false,
            now,
        }
    }

    /// Adds a consumer.
    pub fn consumer(
        &mut self,
        name: &str,
        config: &ConsumerConfig,
        created: Time,
        state: &ConsumerSnapshot,
    ) {
        match &mut self.inner {
            Inner::Archive => {
                archive::put_consumer(&mut self.plain, name, config, state, self.now);
            }
            Inner::Tar(tar) => tar.consumer(name, config, created, state),
        }
        self.compress(BATCH);
    }

    /// Adds a message; sequences must ascend.
    pub fn message(&mut self, m: &MessageView<'_>) {
        match &mut self.inner {
            Inner::Archive => archive::put_message(&mut self.plain, m),
            Inner::Tar(tar) => tar.message(&mut self.plain, m),
        }
        self.compress(BATCH);
    }

    /// Ends the backup of a stream that ends at `last_seq`.
    pub fn finish(&mut self, last_seq: u64, last_ts: Nanos) {
        match &mut self.inner {
            Inner::Archive => archive::put_end(&mut self.plain),
            Inner::Tar(tar) => tar.finish(&mut self.plain, last_seq, last_ts),
        }
        self.compress(1);
        self.finished = true;
    }

    /// Bytes that wait to be taken; stop reading messages while there is a
    /// window's worth.
    pub fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// The next chunk: a full one, or after [`Self::finish`] what is left. The
    /// flag tells whether it is full, which decides about its reply subject.
    pub fn next_chunk(&mut self) -> Option<(Bytes, bool)> {
        if self.ready.len() >= self.chunk {
            return Some((self.ready.split_to(self.chunk).freeze(), true));
        }
        if self.finished && self.ready.has_remaining() {
            return Some((self.ready.split().freeze(), false));
        }
        None
    }

    fn compress(&mut self, at_least: usize) {
        if self.plain.len() < at_least {
            return;
        }
        let mut out = Vec::new();
        self.s2.encode(&self.plain, &mut out);
        self.plain.clear();
        self.ready.extend_from_slice(&out);
    }
}
