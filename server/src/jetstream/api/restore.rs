//! STREAM.RESTORE: a stream made from a backup that a client sends in chunks
//! (contract/jetstream.md §1.6).
//!
//! The stream grows in a directory of its own below `restore/`, which a restart
//! empties. When all is there it is made durable, moved to its place, recorded
//! in the registry and handed to its shard: a restore is there as a whole or not
//! at all.

use super::surroundings::View;
use super::{Answer, Request, stamp};
use crate::account::AccountState;
use crate::jetstream::JetStream;
use crate::jetstream::assets::{AssetRecord, config_text};
use crate::jetstream::store;
use crate::route::{Message, OwnedMessage};
use crate::subscription::Subscription;
use bytes::Bytes;
use gust_jetstream::api::Endpoint;
use gust_jetstream::api::advisory::{RestoreComplete, RestoreCreate, action};
use gust_jetstream::api::request::RestoreRequest;
use gust_jetstream::api::response::{Restore, StreamCreated};
use gust_jetstream::config::{StorageType, StreamConfig, stream_change};
use gust_jetstream::error::{self, ApiError};
use gust_jetstream::snapshot::{RestoreLimits, RestoreReader, SnapshotError};
use gust_jetstream::stream::{Restoring, Stream};
use gust_jetstream::time::Time;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long a client may be silent.
const IDLE: Duration = Duration::from_secs(5);
/// Chunks that wait. Clients send the next one after the last was answered; of
/// one that does not, chunks beyond this are lost and the backup is refused.
const QUEUE: usize = 64;
/// Bytes stored between two checkpoints of a stream that grows.
const CHECKPOINT: u64 = 256 << 20;

impl Request {
    /// STREAM.RESTORE.
    pub(super) async fn restore_stream(&self, e: &Endpoint<'_>, name: &str) -> Answer {
        let request: RestoreRequest = self.body(e)?;
        let config = {
            let view = View::new(self.server(), &self.js, &self.account);
            stream_change::restore(&request.config, name, &view)?
        };
        let id = self.server().nuid();
        let subject = format!("$JS.SNAPSHOT.RESTORE.{name}.{id}");
        let (tx, rx) = mpsc::channel(QUEUE);
        let sub = self.listen(subject.clone().into(), tx);
        let task = self.clone();
        tokio::task::spawn_local(async move { task.restore(config, &id, &sub, rx).await });
        Ok(e.answer(Restore { deliver_subject: subject }))
    }

    async fn restore(
        &self,
        config: StreamConfig,
        id: &str,
        sub: &Arc<Subscription>,
        rx: mpsc::Receiver<OwnedMessage>,
    ) {
        let start = self.now();
        let stream = config.name.clone();
        let shown = format!("{} > {stream}", self.account.name);
        tracing::info!("Starting restore for stream '{shown}'");
        self.advise(&RestoreCreate::subject(&[&stream]), || RestoreCreate {
            event: self.event(RestoreCreate::TYPE),
            stream: stream.clone(),
            client: self.client_info(),
            domain: self.js.domain.clone(),
        });
        let mut work = Work { request: self, rx, received: 0, reply: Bytes::new() };
        let result = work.run(config, id).await;
        self.server().unsubscribe(&self.shard, &self.account, sub);
        let removed = {
            let (disk, id) = (self.js.disk.clone(), id.to_owned());
            spawn_blocking(move || store::remove_restore(&*disk, &id))
        };
        let _ = removed.await;
        let (bytes, reply) = (work.received, work.reply);
        match &result {
            Ok(_) => tracing::info!("Completed restore of {bytes} bytes for stream '{shown}'"),
            Err(e) => tracing::warn!("Restore failed for stream '{shown}': {e}"),
        }
        if let Err(Failed::Silent) = result {
            return;
        }
        self.advise(&RestoreComplete::subject(&[&stream]), || RestoreComplete {
            event: self.event(RestoreComplete::TYPE),
            stream: stream.clone(),
            start: Time::from_nanos(start),
            end: Time::from_nanos(self.now()),
            bytes: bytes as i64,
            client: self.client_info(),
            domain: self.js.domain.clone(),
        });
        let e = Endpoint::StreamCreate { stream: &stream };
        let body = match result {
            Ok(group) => match self.info_of(group, false).await {
                Ok(mut info) => {
                    info.domain.clear();
                    stamp(&mut info.config.metadata);
                    e.answer(StreamCreated { info: Some(info), did_create: false })
                }
                Err(err) => e.answer_error(err),
            },
            Err(failed) => e.answer_error(failed.into_api()),
        };
        self.reply(&reply, &body);
    }

    fn reply(&self, to: &Bytes, body: &[u8]) {
        if !to.is_empty() {
            self.shard.publish(&self.account, to, &Message::new(to, b"", b"", body), b"");
        }
    }

    /// Makes the finished stream one of the account's.
    async fn adopt(&self, job: Job) -> Result<u64, Failed> {
        let Job { record, config, stream, dir } = job;
        let group = record.group;
        let guard = self.changing().await?;
        let name = config.name.clone();
        {
            // Others may have taken the name or the subjects meanwhile.
            let view = View::new(self.server(), &self.js, &self.account);
            stream_change::restore(&config, &name, &view)?;
        }
        let moved = {
            let (disk, domain) = (self.js.disk.clone(), self.js.domain.clone());
            let (record, config) = (record.clone(), config.clone());
            spawn_blocking(move || store::settle(&disk, &domain, &record, &config, stream, &dir))
        };
        let stream = moved.await.map_err(|e| Failed::Text(e.to_string()))??;
        let index = self.js.assets.next_index();
        if let Err(e) = self.start_stream(stream, record, config, index).await {
            let (disk, account) = (self.js.disk.clone(), self.account.name.clone());
            let gone = spawn_blocking(move || store::remove_named(&*disk, &account, &name, group));
            let _ = gone.await;
            return Err(e.into());
        }
        drop(guard);
        self.advise_stream(&name, action::CREATE);
        Ok(group)
    }
}

/// Why a restore ends without a stream.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the client fell silent")]
    Silent,
    #[error("{0}")]
    Text(String),
    #[error("{0}")]
    Api(ApiError),
}

impl Failed {
    fn into_api(self) -> ApiError {
        match self {
            Failed::Api(e) => e,
            other => error::stream_restore(other.to_string()),
        }
    }
}

impl From<ApiError> for Failed {
    fn from(e: ApiError) -> Self {
        Failed::Api(e)
    }
}

impl From<SnapshotError> for Failed {
    fn from(e: SnapshotError) -> Self {
        Failed::Text(e.to_string())
    }
}

impl From<String> for Failed {
    fn from(e: String) -> Self {
        Failed::Text(e)
    }
}

/// One restore while its client sends.
struct Work<'a> {
    request: &'a Request,
    rx: mpsc::Receiver<OwnedMessage>,
    received: u64,
    /// Where the final answer goes.
    reply: Bytes,
}

impl Work<'_> {
    async fn run(&mut self, config: StreamConfig, id: &str) -> Result<u64, Failed> {
        let r = self.request;
        let memory = config.storage == StorageType::Memory;
        let booking = Booking::new(r.account.clone(), r.js.clone(), memory);
        let mut filling = Filling::begin(r, config, id, booking).await;
        loop {
            let Ok(Some(m)) = timeout(IDLE, self.rx.recv()).await else {
                return Err(Failed::Silent);
            };
            if m.reply.is_empty() {
                return Err(Failed::Text(format!(
                    "restore for stream '{} > {}' requires reply subject for each chunk",
                    r.account.name,
                    filling_name(&m.subject)
                )));
            }
            if m.payload.is_empty() {
                self.reply = m.reply;
                break;
            }
            self.received += m.payload.len() as u64;
            // A broken backup is confirmed to its end; the final answer tells.
            if let Ok(f) = filling {
                filling = blocking(move || f.push(&m.payload)).await;
            }
            r.reply(&m.reply, b"");
        }
        let (job, booking) = blocking(move || filling?.finish()).await?;
        let group = r.adopt(job).await;
        // From here on the stream books for itself.
        drop(booking);
        group
    }
}

/// The stream's token of a restore subject.
fn filling_name(subject: &[u8]) -> String {
    let token = subject.split(|b| *b == b'.').nth(3).unwrap_or_default();
    String::from_utf8_lossy(token).into_owned()
}

async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, Failed> + Send + 'static,
) -> Result<T, Failed> {
    spawn_blocking(f).await.unwrap_or_else(|e| Err(Failed::Text(e.to_string())))
}

/// A filled stream that is not in its place yet.
struct Job {
    record: AssetRecord,
    config: StreamConfig,
    stream: Stream,
    dir: String,
}

/// A stream that is being filled; lives on threads that may wait for the disk.
struct Filling {
    reader: RestoreReader,
    stream: Restoring,
    booking: Booking,
    record: AssetRecord,
    config: StreamConfig,
    dir: String,
    /// Bytes at the last checkpoint.
    saved: u64,
}

impl Filling {
    async fn begin(
        r: &Request,
        config: StreamConfig,
        id: &str,
        booking: Booking,
    ) -> Result<Filling, Failed> {
        let now = r.now();
        let record = AssetRecord {
            account: r.account.name.clone(),
            group: r.js.assets.reserve_group(),
            created: now,
            config: config_text(&config),
        };
        let max_payload = r.server().options.load().limits.max_payload.max(0) as u64;
        let own = u64::try_from(config.max_msg_size).ok().filter(|n| *n > 0);
        let limits = RestoreLimits {
            max_message: own.map_or(max_payload, |n| n.min(max_payload)),
            ..RestoreLimits::default()
        };
        let (server, account) = r.limits();
        let (disk, domain) = (r.js.disk.clone(), r.js.domain.clone());
        let dir = store::restore_dir(id);
        blocking(move || {
            let stream = store::create_in(&disk, &domain, &record, &config, &dir)?;
            Ok(Filling {
                reader: RestoreReader::new(limits),
                stream: Restoring::new(stream, server, account, now),
                booking,
                record,
                config,
                dir,
                saved: 0,
            })
        })
        .await
    }

    fn push(mut self, piece: &[u8]) -> Result<Filling, Failed> {
        let stream = &mut self.stream;
        self.reader.push(piece, &mut |item| stream.item(item))?;
        self.booking.set(self.stream.stream().state().bytes)?;
        let now = self.stream.stream().state().bytes;
        if now.saturating_sub(self.saved) > CHECKPOINT {
            store::save(self.stream.stream_mut())?;
            self.saved = now;
        }
        Ok(self)
    }

    fn finish(mut self) -> Result<(Job, Booking), Failed> {
        let stream = &mut self.stream;
        self.reader.finish(&mut |item| stream.item(item))?;
        let mut stream = self.stream.finish()?;
        store::save(&mut stream)?;
        self.booking.set(stream.state().bytes)?;
        let job = Job { record: self.record, config: self.config, stream, dir: self.dir };
        Ok((job, self.booking))
    }
}

/// Bytes of a stream that is being restored, counted as used until it counts
/// for itself.
struct Booking {
    account: Arc<AccountState>,
    js: Arc<JetStream>,
    memory: bool,
    bytes: i64,
}

impl Booking {
    fn new(account: Arc<AccountState>, js: Arc<JetStream>, memory: bool) -> Booking {
        Booking { account, js, memory, bytes: 0 }
    }

    fn book(&mut self, bytes: i64) {
        let change = bytes - std::mem::replace(&mut self.bytes, bytes);
        let (account, server) = if self.memory {
            (&self.account.jetstream.memory, &self.js.limits.memory)
        } else {
            (&self.account.jetstream.storage, &self.js.limits.storage)
        };
        account.fetch_add(change, Relaxed);
        server.fetch_add(change, Relaxed);
    }

    /// Books `bytes` in all; an error if that is more than there is.
    fn set(&mut self, bytes: u64) -> Result<(), ApiError> {
        self.book(i64::try_from(bytes).unwrap_or(i64::MAX));
        let limits = self.account.jetstream.limits();
        let js = &self.js.limits;
        let (max, used, all, total, error) = if self.memory {
            let error: fn() -> ApiError = error::memory_resources_exceeded;
            let max = limits.map_or(0, |l| l.max_memory);
            (max, &self.account.jetstream.memory, js.max_memory(), &js.memory, error)
        } else {
            let error: fn() -> ApiError = error::storage_resources_exceeded;
            let max = limits.map_or(0, |l| l.max_store);
            (max, &self.account.jetstream.storage, js.max_storage(), &js.storage, error)
        };
        let over = |max: i64, used: i64| max >= 0 && used > max;
        if over(max, used.load(Relaxed)) || over(all, total.load(Relaxed)) {
            return Err(error());
        }
        if !self.memory && js.is_low() {
            return Err(error::storage_resources_exceeded());
        }
        Ok(())
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        self.book(0);
    }
}
