//! The outbound queue of a connection.
//!
//! Any shard appends to it under a short lock and any shard may write it to the
//! socket, so a message needs no hop to the shard that owns the receiver; only
//! when the socket is full does the owner take over and wait for it. The other
//! way DESIGN.md §3 names, batched mailboxes between shards, costs a wake-up of
//! the receiving thread per batch on top of the same copy.
//!
//! With TLS or a framing the chunks pass a [`Codec`] on their way to the socket;
//! without, one branch tells so.
//!
//! Limit: `max_pending` bytes, counting what is queued and what is being
//! written. When full the connection is closed as a slow consumer.

use super::codec::{Codec, WriteEnd, Wrote};
use super::reason::CloseReason;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpStream;

/// Payloads from this size on are shared instead of copied when a message is
/// queued. Below it a copy into the contiguous buffer is cheaper than one more
/// reference count and one more `iovec` entry.
pub const SHARE_FROM: usize = 16 * 1024;
/// `iovec` entries handed to one `writev`.
const MAX_SLICES: usize = 64;
/// A drained buffer up to this size is kept for the next messages; the owner's
/// timer frees it once the connection has fallen idle.
const KEEP_CAPACITY: usize = 256 * 1024;

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// Queued; somebody has already taken on the duty to flush.
    Queued,
    /// Queued, and the caller has to see to a [`Outbound::flush`].
    MustFlush,
    /// Not queued: the limit is passed. The connection is to be closed.
    Overflow,
    /// Not queued: closed before.
    Closed,
}

/// What became of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// All written, or another thread is writing.
    Done,
    /// The socket is full: the owner must wait until it is writable.
    Blocked,
    /// Writing failed; the connection is to be closed.
    Failed,
}

/// What is left to do after [`Outbound::finish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Nothing: all was said.
    Nothing,
    /// Flush once more.
    Flush,
    /// Another thread is writing: flush and ask again.
    Busy,
}

#[derive(Debug, Default)]
struct Queue {
    /// Complete chunks, oldest first.
    chunks: VecDeque<Bytes>,
    /// Where small messages are appended.
    tail: Vec<u8>,
    /// Bytes already written of `chunks[0]`.
    offset: usize,
    /// Bytes in `chunks` and `tail`, and of a write under way.
    bytes: usize,
    /// A flush has been promised by whoever set this.
    scheduled: bool,
    /// A thread is inside `writev`.
    writing: bool,
    /// The owner waits for the socket; nobody else may write.
    blocked_since: Option<Instant>,
    closed: bool,
    messages: u64,
    message_bytes: u64,
    /// Where it is written to; gone once the connection has ended, because
    /// others may hold on to the queue (a cached match, say) for long.
    socket: Option<Arc<TcpStream>>,
    /// What encodes the chunks, if anything does.
    codec: Option<Arc<Mutex<Codec>>>,
    /// The codec has bytes for the socket.
    raw: bool,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Outbound {
    queue: Mutex<Queue>,
    max_pending: usize,
}

/// Counters of one connection's outbound side.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutboundStats {
    /// Bytes queued.
    pub pending: usize,
    /// Messages ever queued.
    pub messages: u64,
    /// Their payload bytes.
    pub bytes: u64,
}

impl Outbound {
    /// A queue over `socket` holding at most `max_pending` bytes.
    pub fn new(socket: Arc<TcpStream>, max_pending: usize) -> Self {
        let queue = Queue { socket: Some(socket), ..Queue::default() };
        Self { queue: Mutex::new(queue), max_pending }
    }

    /// Lets go of the socket, which closes it once its owner does so too.
    pub fn forget_socket(&self) {
        let mut q = self.queue.lock();
        q.socket = None;
        q.codec = None;
        q.closed = true;
        q.chunks.clear();
        q.tail = Vec::new();
    }

    /// Encodes everything from now on. What was queued before must have been
    /// written.
    pub fn set_codec(&self, codec: Arc<Mutex<Codec>>) {
        self.queue.lock().codec = Some(codec);
    }

    /// The codec has bytes of its own for the peer: as a push of nothing.
    pub fn wake(&self) -> Pushed {
        let mut q = self.queue.lock();
        q.raw = true;
        self.after_push(&mut q)
    }

    /// Has the codec, if there is one, say farewell behind all that was queued
    /// and written. Call it after [`Outbound::close`] and a flush that is done;
    /// the answer says what is left to do.
    pub fn finish(&self, reason: CloseReason) -> Finish {
        let q = self.queue.lock();
        let Some(codec) = q.codec.clone() else { return Finish::Nothing };
        if q.writing {
            return Finish::Busy;
        }
        drop(q);
        if !codec.lock().finish(reason) {
            return Finish::Nothing;
        }
        self.queue.lock().raw = true;
        Finish::Flush
    }

    /// Bytes queued or being written.
    pub fn stats(&self) -> OutboundStats {
        let q = self.queue.lock();
        OutboundStats { pending: q.bytes, messages: q.messages, bytes: q.message_bytes }
    }

    /// Since when the socket has taken nothing although bytes are queued.
    pub fn blocked_since(&self) -> Option<Instant> {
        self.queue.lock().blocked_since
    }

    /// Queues protocol bytes written by `encode`.
    pub fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) -> Pushed {
        let mut q = self.queue.lock();
        if q.closed {
            return Pushed::Closed;
        }
        let before = q.tail.len();
        encode(&mut q.tail);
        q.bytes += q.tail.len() - before;
        self.after_push(&mut q)
    }

    /// Queues one message: `head` writes the control line, then follow headers
    /// and payload and the final CRLF. `shared` is the payload as a shared
    /// buffer if the caller has one; large payloads are then not copied.
    /// Returns the outcome and the bytes now pending.
    pub fn push_message(
        &self,
        head: impl FnOnce(&mut Vec<u8>),
        headers: &[u8],
        payload: &[u8],
        shared: Option<&Bytes>,
    ) -> (Pushed, usize) {
        let mut q = self.queue.lock();
        if q.closed {
            return (Pushed::Closed, 0);
        }
        let before = q.tail.len();
        head(&mut q.tail);
        q.tail.extend_from_slice(headers);
        match shared {
            Some(owner) if payload.len() >= SHARE_FROM => {
                q.bytes += q.tail.len() - before + payload.len() + 2;
                let sealed = Bytes::from(std::mem::take(&mut q.tail));
                q.chunks.push_back(sealed);
                q.chunks.push_back(owner.slice_ref(payload));
                q.tail.extend_from_slice(b"\r\n");
            }
            _ => {
                q.tail.extend_from_slice(payload);
                q.tail.extend_from_slice(b"\r\n");
                q.bytes += q.tail.len() - before;
            }
        }
        q.messages += 1;
        q.message_bytes += (headers.len() + payload.len()) as u64;
        let pushed = self.after_push(&mut q);
        (pushed, q.bytes)
    }

    fn after_push(&self, q: &mut Queue) -> Pushed {
        if q.bytes > self.max_pending {
            q.closed = true;
            q.chunks.clear();
            q.tail = Vec::new();
            return Pushed::Overflow;
        }
        if q.scheduled || q.blocked_since.is_some() {
            Pushed::Queued
        } else {
            q.scheduled = true;
            Pushed::MustFlush
        }
    }

    /// Writes what is queued. With `owner` set the caller is the task that owns
    /// the socket and has seen it writable, so a blocked queue is tried again.
    pub fn flush(&self, owner: bool) -> Flushed {
        let mut q = self.queue.lock();
        if q.writing || (q.blocked_since.is_some() && !owner) {
            return Flushed::Done;
        }
        loop {
            q.scheduled = false;
            if !q.tail.is_empty() {
                let sealed = Bytes::from(std::mem::take(&mut q.tail));
                q.chunks.push_back(sealed);
            }
            if q.chunks.is_empty() && !q.raw {
                q.blocked_since = None;
                return Flushed::Done;
            }
            let Some(socket) = q.socket.clone() else { return Flushed::Done };
            q.writing = true;
            q.raw = false;
            let codec = q.codec.clone();
            let mut chunks = std::mem::take(&mut q.chunks);
            let mut offset = std::mem::take(&mut q.offset);
            drop(q);
            let mut recycled = Vec::new();
            let wrote = match &codec {
                None => write(&socket, &mut chunks, &mut offset, &mut recycled),
                Some(codec) => codec
                    .lock()
                    .write(&socket, &mut chunks, &mut offset, |c| recycle(Some(c), &mut recycled)),
            };
            q = self.queue.lock();
            q.writing = false;
            q.bytes = q.bytes.saturating_sub(wrote.taken);
            if q.tail.capacity() == 0 && recycled.capacity() > 0 {
                q.tail = recycled;
            }
            // What was not written goes back in front of what came meanwhile.
            while let Some(c) = chunks.pop_back() {
                q.chunks.push_front(c);
            }
            q.offset = offset;
            match wrote.end {
                WriteEnd::Done => {
                    q.blocked_since = None;
                    if !q.scheduled {
                        return Flushed::Done;
                    }
                }
                WriteEnd::Blocked => {
                    q.raw |= codec.is_some();
                    if wrote.progress || q.blocked_since.is_none() {
                        q.blocked_since = Some(Instant::now());
                    }
                    return Flushed::Blocked;
                }
                WriteEnd::Failed => {
                    q.closed = true;
                    q.chunks.clear();
                    return Flushed::Failed;
                }
            }
        }
    }

    /// Frees the buffer kept for reuse; called when the connection is idle.
    pub fn shrink(&self) {
        let mut q = self.queue.lock();
        if q.tail.is_empty() {
            q.tail = Vec::new();
        }
    }

    /// Refuses everything from now on. What is queued can still be flushed.
    pub fn close(&self) {
        self.queue.lock().closed = true;
    }
}

fn write(
    socket: &TcpStream,
    chunks: &mut VecDeque<Bytes>,
    offset: &mut usize,
    recycled: &mut Vec<u8>,
) -> Wrote {
    let mut taken = 0;
    let wrote = |taken, end| Wrote { taken, progress: taken > 0, end };
    while !chunks.is_empty() {
        let result = if chunks.len() == 1 {
            socket.try_write(&chunks[0][*offset..])
        } else {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let mut n = 0;
            for (i, c) in chunks.iter().take(MAX_SLICES).enumerate() {
                slices[n] = IoSlice::new(if i == 0 { &c[*offset..] } else { c });
                n += 1;
            }
            socket.try_write_vectored(&slices[..n])
        };
        match result {
            Ok(mut n) => {
                taken += n;
                while let Some(front) = chunks.front() {
                    let left = front.len() - *offset;
                    if n < left {
                        *offset += n;
                        break;
                    }
                    n -= left;
                    *offset = 0;
                    recycle(chunks.pop_front(), recycled);
                }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                return wrote(taken, WriteEnd::Blocked);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return wrote(taken, WriteEnd::Failed),
        }
    }
    wrote(taken, WriteEnd::Done)
}

/// Gives a written buffer back for the next messages, unless it is very large.
fn recycle(chunk: Option<Bytes>, into: &mut Vec<u8>) {
    if let Some(chunk) = chunk
        && into.capacity() == 0
        && let Ok(buf) = chunk.try_into_mut()
        && buf.capacity() <= KEEP_CAPACITY
    {
        let mut v: Vec<u8> = buf.into();
        v.clear();
        *into = v;
    }
}
