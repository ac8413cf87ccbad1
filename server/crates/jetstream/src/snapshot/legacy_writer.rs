//! Writes format 1, for servers up to 2.14.

use super::block::{put_erased, put_message};
use super::consumer_state::{ConsumerSnapshot, encode};
use super::legacy::{ConsumerMeta, StreamMeta, sum};
use super::tar::{put_end, put_file};
use crate::config::{ConsumerConfig, StreamConfig};
use crate::duration::SECOND;
use crate::json::to_bytes;
use crate::time::Time;
use bytes::BytesMut;
use gust_storage::record::MessageView;

/// Bytes collected before a block is written; tar wants lengths first.
const BLOCK: usize = 4 << 20;

/// Holds the block being filled and the consumers that follow the messages.
pub(super) struct LegacyWriter {
    stream: String,
    mtime_s: u64,
    block: BytesMut,
    index: u64,
    consumers: BytesMut,
    last: (u64, i64),
}

impl LegacyWriter {
    /// Begins a backup of the stream.
    pub(super) fn new(
        out: &mut BytesMut,
        config: &StreamConfig,
        created: Time,
        now: i64,
    ) -> LegacyWriter {
        let mtime_s = u64::try_from(now / SECOND).unwrap_or_default();
        let meta = to_bytes(&StreamMeta { created, config: config.clone() });
        put_file(out, "meta.inf", mtime_s, &meta);
        put_file(out, "meta.sum", mtime_s, sum(&config.name, &meta).as_bytes());
        LegacyWriter {
            stream: config.name.clone(),
            mtime_s,
            block: BytesMut::new(),
            index: 1,
            consumers: BytesMut::new(),
            last: (0, 0),
        }
    }

    /// Keeps a consumer until the messages are written.
    pub(super) fn consumer(
        &mut self,
        name: &str,
        config: &ConsumerConfig,
        created: Time,
        state: &ConsumerSnapshot,
    ) {
        let meta = ConsumerMeta { created, name: name.to_owned(), config: config.clone() };
        let meta = to_bytes(&meta);
        let key = format!("{}/{name}", self.stream);
        let mut file = |file: &str, data: &[u8]| {
            put_file(&mut self.consumers, &format!("obs/{name}/{file}"), self.mtime_s, data);
        };
        file("meta.inf", &meta);
        file("meta.sum", sum(&key, &meta).as_bytes());
        file("o.dat", &encode(state));
    }

    /// Adds a message.
    pub(super) fn message(&mut self, out: &mut BytesMut, m: &MessageView<'_>) {
        let key = self.key();
        put_message(&mut self.block, &key, m);
        self.last = (m.seq, m.ts);
        if self.block.len() >= BLOCK {
            self.end_block(out);
        }
    }

    /// Ends the backup; `last_seq` and `last_ts` are the stream's.
    pub(super) fn finish(&mut self, out: &mut BytesMut, last_seq: u64, last_ts: i64) {
        if last_seq > self.last.0 {
            // Nothing else tells that the stream ends behind its last message.
            let key = self.key();
            put_erased(&mut self.block, &key, last_seq, last_ts.max(self.last.1));
        }
        if !self.block.is_empty() {
            self.end_block(out);
        }
        out.unsplit(self.consumers.split());
        put_end(out);
    }

    fn key(&self) -> String {
        format!("{}-{}", self.stream, self.index)
    }

    fn end_block(&mut self, out: &mut BytesMut) {
        let name = format!("msgs/{}.blk", self.index);
        put_file(out, &name, self.mtime_s, &self.block);
        self.block.clear();
        self.index += 1;
    }
}
