//! STREAM.SNAPSHOT: a stream's backup, sent in chunks the client confirms
//! (contract/jetstream.md §1.6).
//!
//! The stream goes on meanwhile: what belongs to the backup is decided in one
//! look (configuration, consumers, last sequence), the messages are then read in
//! slices. One that is removed in between is a gap. Memory is bounded by a
//! slice, the writer's batch and one chunk.

use super::{Answer, Request};
use crate::route::{Message, OwnedMessage};
use crate::subscription::{Subscription, Target};
use bytes::Bytes;
use gust_jetstream::api::advisory::{SnapshotComplete, SnapshotCreate};
use gust_jetstream::api::request::SnapshotRequest;
use gust_jetstream::api::{Endpoint, StreamState, response};
use gust_jetstream::config::{ConsumerConfig, StreamConfig};
use gust_jetstream::error;
use gust_jetstream::snapshot::{ConsumerSnapshot, Format, SnapshotWriter};
use gust_jetstream::stream::{Stream, is_public};
use gust_jetstream::time::Time;
use gust_storage::record::StoredMessage;
use gust_storage::store::{Filter, StoreError};
use gust_wire::headers::Headers;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// Bytes of messages read from a stream in one turn of its shard.
const SLICE: usize = 256 << 10;
/// How long somebody may take to listen to the deliver subject.
const INTEREST_WAIT: Duration = Duration::from_secs(2);
/// How often that is looked at.
const INTEREST_STEP: Duration = Duration::from_millis(20);
/// How long a client may take to confirm a chunk.
const ACK_WAIT: Duration = Duration::from_secs(5);
/// Request header that asks for the older format (`1`), which nats-server up to
/// 2.14 can restore. Ours: nats-server has no such choice.
const FORMAT_HEADER: &[u8] = b"Gust-Snapshot-Format";

/// What a backup consists of besides messages.
struct Source {
    group: u64,
    config: StreamConfig,
    created: Time,
    state: StreamState,
    consumers: Vec<(ConsumerConfig, Time, ConsumerSnapshot)>,
    first_seq: u64,
    last_seq: u64,
    last_ts: i64,
}

impl Source {
    fn look(group: u64, stream: &Stream, with_consumers: bool) -> Source {
        let s = stream.state();
        let consumers = stream.consumers().filter(|c| with_consumers && is_public(c));
        Source {
            group,
            config: stream.config().clone(),
            created: Time::from_nanos(stream.identity().created),
            state: stream.state_info(false),
            consumers: consumers
                .map(|c| {
                    let created = Time::from_nanos(c.created());
                    (c.config().clone(), created, ConsumerSnapshot::of(c.state()))
                })
                .collect(),
            first_seq: s.first_seq,
            last_seq: s.last_seq,
            last_ts: s.last_ts,
        }
    }
}

/// Why a snapshot ends early: the status the client sees and the reason.
struct Broken {
    status: String,
    why: String,
}

impl Broken {
    fn no_interest() -> Broken {
        Broken { status: "408 No Interest".into(), why: "no interest".into() }
    }

    fn no_flow() -> Broken {
        Broken { status: "408 No Flow Response".into(), why: "no flow response".into() }
    }

    fn fault(why: impl ToString) -> Broken {
        let why = why.to_string().replace(['\r', '\n'], " ");
        Broken { status: format!("500 {why}"), why }
    }
}

impl Request {
    /// STREAM.SNAPSHOT.
    pub(super) async fn snapshot_stream(&self, e: &Endpoint<'_>, name: &str) -> Answer {
        let body = self.body::<SnapshotRequest>(e);
        if let Err(err) = &body
            && err.is(error::code::BAD_REQUEST)
        {
            return Err(err.clone());
        }
        let group = self.group(name)?;
        let request = body?;
        if !gust_subject::valid_publish(request.deliver_subject.as_bytes()) {
            return Err(error::snapshot_deliver_subject_invalid());
        }
        let with_consumers = !request.no_consumers;
        let source = self
            .on_stream(group, move |_, a| Source::look(group, &a.stream, with_consumers))
            .await?;
        let answer = e.answer(response::Snapshot {
            config: Some(source.config.clone()),
            state: Some(source.state.clone()),
        });
        let task = self.clone();
        // It runs after this task, on the same thread, has sent the answer.
        tokio::task::spawn_local(async move { task.send_snapshot(source, &request).await });
        Ok(answer)
    }

    async fn send_snapshot(&self, source: Source, request: &SnapshotRequest) {
        let start = self.now();
        let stream = source.config.name.clone();
        let shown = format!("{} > {stream}", self.account.name);
        tracing::info!("Starting snapshot for stream '{shown}'");
        self.advise(&SnapshotCreate::subject(&[&stream]), || SnapshotCreate {
            event: self.event(SnapshotCreate::TYPE),
            stream: stream.clone(),
            state: source.state.clone(),
            client: self.client_info(),
            domain: self.js.domain.clone(),
        });
        let mut out = Chunks::new(self, &stream, request);
        let done = self.send_all(source, request, &mut out).await;
        out.end(done.as_ref().err());
        let error = done.err().map(|b| b.why).unwrap_or_default();
        match error.as_str() {
            "" => tracing::info!("Completed snapshot for stream '{shown}'"),
            why => tracing::warn!("Snapshot for stream '{shown}' failed: {why}"),
        }
        self.advise(&SnapshotComplete::subject(&[&stream]), || SnapshotComplete {
            event: self.event(SnapshotComplete::TYPE),
            stream: stream.clone(),
            start: Time::from_nanos(start),
            end: Time::from_nanos(self.now()),
            client: self.client_info(),
            domain: self.js.domain.clone(),
            error,
        });
    }

    async fn send_all(
        &self,
        source: Source,
        request: &SnapshotRequest,
        out: &mut Chunks<'_>,
    ) -> Result<(), Broken> {
        out.await_interest().await?;
        let format = match Headers::new(&self.message.headers).get(FORMAT_HEADER) {
            Some(b"1") => Format::Tar,
            _ => Format::Archive,
        };
        let mut state = source.state;
        state.consumer_count = source.consumers.len() as i64;
        let (config, created) = (&source.config, source.created);
        let mut writer =
            SnapshotWriter::new(format, config, created, &state, request.chunk(), self.now());
        for (config, created, state) in &source.consumers {
            writer.consumer(&config.name, config, *created, state);
        }
        let (mut from, last) = (source.first_seq, source.last_seq);
        while from <= last {
            let slice = self
                .on_stream(source.group, move |_, a| slice(&a.stream, from, last))
                .await
                .map_err(Broken::fault)?;
            let (messages, next) = slice.map_err(Broken::fault)?;
            from = next;
            // Compressing is left to a thread that serves no clients.
            let filled = tokio::task::spawn_blocking(move || {
                messages.iter().for_each(|m| writer.message(&m.view()));
                writer
            });
            writer = filled.await.map_err(Broken::fault)?;
            while let Some((chunk, full)) = writer.next_chunk() {
                out.send(chunk, full).await?;
            }
        }
        writer.finish(last, source.last_ts);
        while let Some((chunk, full)) = writer.next_chunk() {
            out.send(chunk, full).await?;
        }
        Ok(())
    }
}

/// Messages from `from` to `last`, about [`SLICE`] bytes, and where to go on.
fn slice(stream: &Stream, from: u64, last: u64) -> Result<(Vec<StoredMessage>, u64), StoreError> {
    let everything = Filter::default();
    let (mut out, mut bytes, mut from) = (Vec::new(), 0, from);
    while bytes < SLICE && from <= last {
        match stream.store().next(&everything, from)? {
            Some(m) if m.seq <= last => {
                from = m.seq + 1;
                bytes += m.view().encoded_len();
                out.push(m);
            }
            _ => from = last + 1,
        }
    }
    Ok((out, from))
}

/// Chunks on their way to the client. Its confirmations come to a subscription
/// that goes with this.
struct Chunks<'a> {
    request: &'a Request,
    to: Bytes,
    ack: String,
    sub: Arc<Subscription>,
    acks: mpsc::Receiver<OwnedMessage>,
    /// Chunks that may still be sent without a confirmation.
    room: usize,
    /// Full chunks sent.
    sent: u64,
    /// Somebody listened to exactly this subject when it began.
    awaited: bool,
}

impl<'a> Chunks<'a> {
    fn new(request: &'a Request, stream: &str, asked: &SnapshotRequest) -> Chunks<'a> {
        let room = asked.chunks_in_flight();
        // More confirmations than chunks in flight mean nothing and are dropped.
        let (tx, acks) = mpsc::channel(room);
        let ack = format!("$JS.SNAPSHOT.ACK.{stream}.{}", request.server().nuid());
        let sub = request.listen(format!("{ack}.>").into(), tx);
        let to = Bytes::copy_from_slice(asked.deliver_subject.as_bytes());
        Chunks { request, to, ack, sub, acks, room, sent: 0, awaited: false }
    }

    /// Whether somebody listens to exactly this subject. A wildcard does not
    /// tell: clients hold one over all their inboxes before they subscribe to
    /// the one for the chunks.
    fn is_awaited(&self) -> bool {
        let scratch = &self.request.shard.scratch;
        let mut found = scratch.take();
        self.request.account.interest.read().matches(&self.to, &mut found);
        let mut subs = found.plain.iter().chain(found.queues.iter().flat_map(|q| &q.members));
        let exact = subs.any(|s| s.subject == self.to);
        found.clear();
        scratch.replace(found);
        exact
    }

    fn has_interest(&self) -> bool {
        match self.awaited {
            true => self.is_awaited(),
            false => self.request.account.interest.read().has_interest(&self.to),
        }
    }

    /// Waits for a listener; after that time one with a wildcard will do.
    async fn await_interest(&mut self) -> Result<(), Broken> {
        let until = Instant::now() + INTEREST_WAIT;
        loop {
            self.awaited = self.is_awaited();
            if self.awaited {
                return Ok(());
            }
            if Instant::now() >= until {
                return if self.has_interest() { Ok(()) } else { Err(Broken::no_interest()) };
            }
            sleep(INTEREST_STEP).await;
        }
    }

    async fn send(&mut self, chunk: Bytes, full: bool) -> Result<(), Broken> {
        while self.acks.try_recv().is_ok() {
            self.room += 1;
        }
        if self.room == 0 {
            match timeout(ACK_WAIT, self.acks.recv()).await {
                Ok(Some(_)) => self.room += 1,
                _ if !self.has_interest() => return Err(Broken::no_interest()),
                _ => return Err(Broken::no_flow()),
            }
        }
        if !self.has_interest() {
            return Err(Broken::no_interest());
        }
        let mut reply = String::new();
        if full {
            self.sent += 1;
            self.room -= 1;
            reply = format!("{}.{}.{}", self.ack, chunk.len(), self.sent);
        }
        self.publish(reply.as_bytes(), b"", &chunk);
        Ok(())
    }

    fn publish(&self, reply: &[u8], headers: &[u8], chunk: &Bytes) {
        let mut m = Message::new(&self.to, reply, headers, chunk);
        m.owner = Some(chunk);
        self.request.shard.publish(&self.request.account, &self.to, &m, b"");
    }

    fn end(&self, broken: Option<&Broken>) {
        let status = match broken {
            Some(b) => format!("NATS/1.0 {}\r\n\r\n", b.status),
            None if self.sent > 0 => "NATS/1.0 204\r\n\r\n".to_owned(),
            None => String::new(),
        };
        self.publish(b"", status.as_bytes(), &Bytes::new());
    }
}

impl Drop for Chunks<'_> {
    fn drop(&mut self) {
        let r = self.request;
        r.server().unsubscribe(&r.shard, &r.account, &self.sub);
    }
}

impl Request {
    /// Subscribes a task of the server; what does not fit into the channel is
    /// dropped.
    pub(super) fn listen(
        &self,
        subject: Bytes,
        tx: mpsc::Sender<OwnedMessage>,
    ) -> Arc<Subscription> {
        let sub = Arc::new(Subscription {
            subject,
            queue: Bytes::new(),
            sid: Bytes::new(),
            id: self.server().next_sub_id(),
            target: Target::Channel(tx),
            max: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            filter: Default::default(),
        });
        self.server().subscribe(&self.shard, &self.account, &sub);
        sub
    }
}
