//! Format 1: a tar file with the stream's metadata, its block files and its
//! consumers' directories.

use super::block::{BlockReader, hash};
use super::consumer_state::decode;
use super::reader::RestoreLimits;
use super::tar::{TarEvent, TarReader};
use super::{ConsumerBackup, RestoreItem, Sink, SnapshotError};
use crate::config::{ConsumerConfig, StreamConfig};
use crate::json::{json_struct, parse_lenient};
use crate::time::Time;
use data_encoding::HEXLOWER;

json_struct! {
    /// `meta.inf` of the stream.
    pub struct StreamMeta("FileStreamInfo") {
        /// When it was made.
        created: Time = "Created",
        /// Its configuration.
        config: StreamConfig = flatten,
    }
}

json_struct! {
    /// `meta.inf` of a consumer.
    pub struct ConsumerMeta("FileConsumerInfo") {
        /// When it was made.
        created: Time = "Created",
        /// Its name.
        name: String = "Name",
        /// Its configuration.
        config: ConsumerConfig = flatten,
    }
}

/// Largest file that is kept as a whole, bytes.
const MAX_FILE: u64 = 32 << 20;

/// A consumer whose files are being collected.
#[derive(Default)]
struct Partial {
    name: String,
    meta: Vec<u8>,
    sum: Vec<u8>,
    state: Vec<u8>,
}

/// The file being read.
enum Current {
    /// Passed over.
    Ignored,
    /// Kept as a whole, by path.
    Kept(String, Vec<u8>),
    Block(BlockReader),
}

/// Reads format 1.
pub(super) struct LegacyReader {
    limits: RestoreLimits,
    tar: TarReader,
    inner: Inner,
}

struct Inner {
    limits: RestoreLimits,
    /// The stream's metadata until its sum has been checked.
    meta: Vec<u8>,
    /// Name of the stream the backup is of.
    stream: Option<String>,
    consumer: Option<Partial>,
    current: Current,
    last_seq: u64,
    last_block: u64,
}

impl LegacyReader {
    pub(super) fn new(limits: RestoreLimits) -> LegacyReader {
        let inner = Inner {
            limits,
            meta: Vec::new(),
            stream: None,
            consumer: None,
            current: Current::Ignored,
            last_seq: 0,
            last_block: 0,
        };
        LegacyReader { limits, tar: TarReader::new(), inner }
    }

    pub(super) fn push(&mut self, data: &[u8], sink: &mut Sink<'_>) -> Result<(), SnapshotError> {
        debug_assert!(self.limits.max_message > 0);
        let inner = &mut self.inner;
        self.tar.push(data, &mut |event| inner.event(event, sink))
    }

    /// Gives the last consumer and says whether the backup is complete.
    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) -> Result<(), SnapshotError> {
        if !self.tar.is_done() {
            return Err(SnapshotError::Truncated("the tar file".into()));
        }
        if self.inner.stream.is_none() {
            return Err(SnapshotError::Truncated("the metadata: meta.sum is missing".into()));
        }
        self.inner.end_consumer(sink)
    }
}

impl Inner {
    fn event(&mut self, event: TarEvent<'_>, sink: &mut Sink<'_>) -> Result<(), SnapshotError> {
        match event {
            TarEvent::File { name, size } => {
                self.current = self.begin(name, size)?;
                Ok(())
            }
            TarEvent::Data(data) => match &mut self.current {
                Current::Ignored => Ok(()),
                Current::Kept(_, kept) => {
                    kept.extend_from_slice(data);
                    Ok(())
                }
                Current::Block(block) => block.push(data, &mut self.last_seq, sink),
            },
            TarEvent::End => match std::mem::replace(&mut self.current, Current::Ignored) {
                Current::Ignored => Ok(()),
                Current::Kept(path, data) => self.file(&path, data, sink),
                Current::Block(block) => block.finish(),
            },
        }
    }

    fn begin(&mut self, path: &str, size: u64) -> Result<Current, SnapshotError> {
        let file = path.strip_prefix("./").unwrap_or(path);
        if let Some(index) = file.strip_prefix("msgs/").and_then(|f| f.strip_suffix(".blk")) {
            let bad = |why: &str| SnapshotError::malformed(format!("file {file}"), why);
            let index: u64 = index.parse().map_err(|_| bad("its name is no number"))?;
            if index <= self.last_block {
                return Err(bad("blocks are out of order"));
            }
            self.last_block = index;
            let stream = self.stream.as_ref().ok_or_else(|| bad("it comes before meta.sum"))?;
            return Ok(Current::Block(BlockReader::new(self.limits, stream, index)));
        }
        let kept = file == "meta.inf"
            || file == "meta.sum"
            || file == "errors.txt"
            || file.starts_with("obs/");
        if !kept {
            return Ok(Current::Ignored);
        }
        if size > MAX_FILE {
            let what = format!("file {file}");
            return Err(SnapshotError::TooLarge { what, size, max: MAX_FILE });
        }
        Ok(Current::Kept(file.to_owned(), Vec::new()))
    }

    fn file(
        &mut self,
        path: &str,
        data: Vec<u8>,
        sink: &mut Sink<'_>,
    ) -> Result<(), SnapshotError> {
        match path {
            "meta.inf" => {
                self.meta = data;
                Ok(())
            }
            "meta.sum" => {
                let meta: StreamMeta = parse_lenient(&self.meta)
                    .map_err(|e| SnapshotError::malformed("file meta.inf", e.0))?;
                check_sum(path, &meta.config.name, &self.meta, &data)?;
                self.stream = Some(meta.config.name);
                self.meta = Vec::new();
                Ok(())
            }
            "errors.txt" => {
                let text = String::from_utf8_lossy(&data).into_owned();
                Err(SnapshotError::malformed("the backup's source", text.trim()))
            }
            _ => self.consumer_file(path, data, sink),
        }
    }

    fn consumer_file(
        &mut self,
        path: &str,
        data: Vec<u8>,
        sink: &mut Sink<'_>,
    ) -> Result<(), SnapshotError> {
        let mut parts = path.splitn(3, '/').skip(1);
        let (Some(name), Some(file)) = (parts.next(), parts.next()) else {
            return Err(SnapshotError::malformed(format!("file {path}"), "its path is too short"));
        };
        if self.consumer.as_ref().is_some_and(|c| c.name != name) {
            self.end_consumer(sink)?;
        }
        let consumer = self.consumer.get_or_insert_default();
        consumer.name = name.to_owned();
        match file {
            "meta.inf" => consumer.meta = data,
            "meta.sum" => consumer.sum = data,
            "o.dat" => consumer.state = data,
            _ => {}
        }
        Ok(())
    }

    fn end_consumer(&mut self, sink: &mut Sink<'_>) -> Result<(), SnapshotError> {
        let Some(found) = self.consumer.take() else { return Ok(()) };
        let name = found.name;
        let stream = self.stream.as_deref().unwrap_or_default();
        let path = format!("obs/{name}/meta.sum");
        check_sum(&path, &format!("{stream}/{name}"), &found.meta, &found.sum)?;
        let meta: ConsumerMeta = parse_lenient(&found.meta)
            .map_err(|e| SnapshotError::malformed(format!("file obs/{name}/meta.inf"), e.0))?;
        let state = match found.state.is_empty() {
            true => None,
            false => Some(decode(&name, &found.state)?),
        };
        sink(RestoreItem::Consumer(Box::new(ConsumerBackup { name, config: meta.config, state })))
    }
}

/// The text of a `meta.sum`.
pub(super) fn sum(key: &str, meta: &[u8]) -> String {
    HEXLOWER.encode(&hash(key, &[meta]))
}

fn check_sum(path: &str, key: &str, meta: &[u8], found: &[u8]) -> Result<(), SnapshotError> {
    if found.trim_ascii() == sum(key, meta).as_bytes() {
        return Ok(());
    }
    Err(SnapshotError::malformed(format!("file {path}"), "the hash does not match meta.inf"))
}
