//! Batched, bounded mail between shards.
//!
//! A shard collects what it has for each other shard during a turn and hands it
//! over at the end with one lock and at most one wake-up.
//!
//! Limit: [`MAX_BYTES`] of messages waiting for one shard. When full, publishes
//! to streams are refused (JetStream error 10167, as nats-server does when a
//! stream's inbound queue is full); acknowledgements, pulls and control mail,
//! which are small and bounded by connections, are always taken.

use crate::shard::Shard;
use crate::trace::stream::Telling;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::Notify;

/// Bytes of messages that may wait for one shard (nats-server's default for
/// `max_buffered_size`).
pub const MAX_BYTES: usize = 128 << 20;

/// What a message means to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamCall {
    /// To be stored.
    Publish,
    /// `$JS.API.CONSUMER.MSG.NEXT` for this consumer.
    Pull(Bytes),
    /// `$JS.ACK` for one of its consumers.
    Ack,
    /// `$JS.FC` for this consumer.
    Flow(Bytes),
    /// `$JS.API.DIRECT.GET`.
    Direct,
    /// For a subscription the stream made itself.
    Inbound(u64),
}

/// A message for a stream.
#[derive(Debug)]
pub struct StreamMail {
    /// The stream's raft group.
    pub group: u64,
    /// Meaning.
    pub call: StreamCall,
    /// Subject it was published to.
    pub subject: Bytes,
    /// Reply subject or empty.
    pub reply: Bytes,
    /// Raw headers or empty.
    pub headers: Bytes,
    /// Payload.
    pub payload: Bytes,
    /// Whom it tells what becomes of it, if it is traced.
    pub telling: Option<Box<Telling>>,
}

impl StreamMail {
    fn size(&self) -> usize {
        self.subject.len() + self.reply.len() + self.headers.len() + self.payload.len() + 64
    }
}

/// A function to be run by the shard that owns what it touches.
pub type Call = Box<dyn FnOnce(&Shard) + Send>;

/// One piece of mail.
pub enum Mail {
    /// A new client connection.
    Accept(std::net::TcpStream, Arc<AcceptFacts>),
    /// For a stream.
    Stream(StreamMail),
    /// Run this here.
    Call(Call),
}

/// What the acceptor knows about a connection.
#[derive(Debug, Clone, Copy)]
pub struct AcceptFacts {
    /// The connection limit is reached: say so and close.
    pub over_limit: bool,
    /// Which listener took it.
    pub door: Door,
}

/// A listener for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The client port.
    Client,
    /// The WebSocket port.
    Websocket,
}

/// Where one shard receives its mail.
#[derive(Default)]
pub struct Mailbox {
    queue: Mutex<Vec<Mail>>,
    bytes: AtomicUsize,
    notify: Notify,
}

impl Mailbox {
    /// Appends `mail` and wakes the shard.
    pub fn send(&self, mail: &mut Vec<Mail>) {
        if mail.is_empty() {
            return;
        }
        let bytes: usize = mail.iter().map(mail_size).sum();
        self.bytes.fetch_add(bytes, Relaxed);
        let mut q = self.queue.lock();
        let was_empty = q.is_empty();
        q.append(mail);
        drop(q);
        if was_empty {
            self.notify.notify_one();
        }
    }

    /// Sends a single piece.
    pub fn send_one(&self, mail: Mail) {
        self.send(&mut vec![mail]);
    }

    /// Pieces of mail waiting.
    pub fn len(&self) -> usize {
        self.queue.lock().len()
    }

    /// Whether no mail waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether another publish still fits.
    pub fn has_room(&self) -> bool {
        self.bytes.load(Relaxed) < MAX_BYTES
    }

    /// Swaps the waiting mail into the empty `into`.
    pub fn take(&self, into: &mut Vec<Mail>) {
        std::mem::swap(&mut *self.queue.lock(), into);
        let bytes: usize = into.iter().map(mail_size).sum();
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    /// Wakes the shard without mail.
    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// Resolves when there may be mail.
    pub async fn notified(&self) {
        self.notify.notified().await;
    }
}

fn mail_size(mail: &Mail) -> usize {
    match mail {
        Mail::Stream(m) => m.size(),
        _ => 0,
    }
}
