//! A shard: one thread that owns the connections it accepted and the streams
//! hashed to it, and runs them in turns (DESIGN.md §3).
//!
//! A turn handles the mail that came in, lets the streams propose and deliver,
//! submits one batch to the log lane, hands mail to the other shards and then
//! flushes every socket that was written to. Turns are not timed: the next one
//! collects whatever arrives while this one runs.

use crate::client::{Client, signal};
use crate::clock::Rng;
use crate::connection::outbound::{Finish, Flushed};
use crate::connection::reason::CloseReason;
use crate::jetstream::engine::Engine;
use crate::server::Server;
use crate::shard::mailbox::Mail;
use crate::shard::timer::Timers;
use crate::stats::LocalStats;
use crate::subscription::Subscription;
use bytes::BytesMut;
use gust_interest::MatchResult;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

pub mod mailbox;
pub mod timer;

/// Bytes read from one socket per turn. 128 KiB keeps a fast publisher at one
/// `read` per ~800 small messages while the buffer stays inside the L2 cache.
pub const READ_CHUNK: usize = 128 * 1024;

/// The state of one shard; never leaves its thread.
pub struct Shard {
    /// Index among the shards.
    pub id: usize,
    /// The server it is part of.
    pub server: Arc<Server>,
    /// Random numbers for queue picks.
    pub rng: Rng,
    /// Counters of this turn.
    pub stats: LocalStats,
    /// Streams owned here.
    pub engine: RefCell<Engine>,
    /// Result buffer for uncached matches.
    pub scratch: RefCell<MatchResult<Arc<Subscription>>>,
    /// Held for one step of a TLS handshake; see [`crate::tls::handshake`].
    pub handshakes: tokio::sync::Mutex<()>,
    /// Connection timers.
    pub timers: RefCell<Timers>,
    read_buf: RefCell<BytesMut>,
    touched: RefCell<Vec<Arc<Client>>>,
    outboxes: RefCell<Vec<Vec<Mail>>>,
    scheduled: Cell<bool>,
    turn: Notify,
    this: RefCell<Weak<Shard>>,
}

impl Shard {
    fn new(id: usize, server: Arc<Server>) -> Rc<Self> {
        let shards = server.shard_count();
        let shard = Rc::new(Self {
            id,
            engine: RefCell::new(Engine::new()),
            rng: Rng::new(),
            stats: LocalStats::default(),
            scratch: RefCell::default(),
            handshakes: tokio::sync::Mutex::new(()),
            timers: RefCell::default(),
            read_buf: RefCell::new(BytesMut::new()),
            touched: RefCell::default(),
            outboxes: RefCell::new((0..shards).map(|_| Vec::new()).collect()),
            scheduled: Cell::new(false),
            turn: Notify::new(),
            this: RefCell::default(),
            server,
        });
        *shard.this.borrow_mut() = Rc::downgrade(&shard);
        shard
    }

    /// This shard, to be kept by a task.
    pub fn this(&self) -> Option<Rc<Shard>> {
        self.this.borrow().upgrade()
    }

    /// Remembers to flush `client` at the end of the turn.
    pub fn touch(&self, client: Arc<Client>) {
        self.touched.borrow_mut().push(client);
        self.schedule();
    }

    /// Hands `mail` to a shard (this one included) at the end of the turn.
    pub fn mail(&self, shard: usize, mail: Mail) {
        self.outboxes.borrow_mut()[shard].push(mail);
        self.schedule();
    }

    /// Asks for a turn after the tasks that are ready now.
    pub fn schedule(&self) {
        if !self.scheduled.replace(true) {
            self.turn.notify_one();
        }
    }

    /// The shared read buffer, empty and with room for [`READ_CHUNK`].
    pub fn take_read_buf(&self) -> BytesMut {
        let mut buf = self.read_buf.take();
        buf.clear();
        buf.reserve(READ_CHUNK);
        buf
    }

    /// Gives the read buffer back.
    pub fn put_read_buf(&self, buf: BytesMut) {
        self.read_buf.replace(buf);
    }

    fn run_turn(self: &Rc<Self>, inbox: &mut Vec<Mail>) {
        self.scheduled.set(false);
        self.server.shard(self.id).take(inbox);
        // What this shard mailed to itself came after what others sent earlier,
        // but both orders are legal: no order is promised between publishers.
        let own = std::mem::take(&mut self.outboxes.borrow_mut()[self.id]);
        for mail in inbox.drain(..).chain(own) {
            self.handle(mail);
        }
        self.run_engine();
        {
            let mut boxes = self.outboxes.borrow_mut();
            for (i, out) in boxes.iter_mut().enumerate() {
                if i != self.id && !out.is_empty() {
                    self.server.shard(i).send(out);
                } else if !out.is_empty() {
                    self.schedule();
                }
            }
        }
        // First the books: who got a message and then looks finds it counted.
        self.stats.report(&self.server.stats);
        self.flush_touched();
    }

    fn handle(self: &Rc<Self>, mail: Mail) {
        match mail {
            Mail::Accept(socket, facts) => crate::client::session::start(self, socket, &facts),
            Mail::Stream(m) => self.engine.borrow_mut().handle(self, m),
            Mail::Call(f) => f(self),
        }
    }

    fn run_engine(&self) {
        let mut engine = self.engine.borrow_mut();
        if engine.run(self) {
            self.schedule();
        }
    }

    fn flush_touched(&self) {
        let clients = std::mem::take(&mut *self.touched.borrow_mut());
        for client in &clients {
            self.flush(client);
        }
        // Keep the allocation.
        let mut touched = self.touched.borrow_mut();
        if touched.is_empty() {
            let mut clients = clients;
            clients.clear();
            *touched = clients;
        }
    }

    /// Writes a client's queue and deals with a full or broken socket.
    pub fn flush(&self, client: &Arc<Client>) {
        match client.out.flush(false) {
            Flushed::Done => {}
            Flushed::Blocked => client.signal(signal::BLOCKED),
            Flushed::Failed => client.close(CloseReason::WriteError),
        }
    }
}

/// Runs a shard on the calling thread until the server stops.
pub fn run(id: usize, server: Arc<Server>, ready: std::sync::mpsc::Sender<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .thread_keep_alive(Duration::from_secs(5))
        .build()
        .expect("a shard can make its runtime");
    let local = tokio::task::LocalSet::new();
    let shard = Shard::new(id, server.clone());
    let turns = local.spawn_local(turns(shard.clone()));
    local.spawn_local(mail(shard.clone()));
    local.spawn_local(timer::run(shard.clone()));
    let _ = ready.send(());
    let stopped = server.stopped();
    let failed = runtime.block_on(local.run_until(async {
        tokio::select! {
            () = stopped => false,
            _ = turns => true,
        }
    }));
    if failed {
        // Its connections and streams hang from here on. A new process recovers
        // all that was acknowledged, so let whoever supervises this one start it.
        tracing::error!("A shard stopped after an internal error; the server ends to be restarted");
        std::process::abort();
    }
    shard.engine.borrow_mut().close(&shard);
    shard.flush_touched();
    farewell(&shard);
    // Dropping the tasks closes every socket.
    drop(local);
    runtime.shutdown_timeout(Duration::from_secs(1));
}

/// Tells clients whose transport has words for it that the server goes, as far
/// as their sockets take it at once.
fn farewell(shard: &Shard) {
    for client in shard.server.clients.all() {
        if client.shard != shard.id {
            continue;
        }
        client.out.close();
        if client.out.finish(CloseReason::ServerShutdown) == Finish::Flush {
            let _ = client.out.flush(true);
        }
    }
}

async fn turns(shard: Rc<Shard>) {
    let mut inbox = Vec::new();
    loop {
        shard.turn.notified().await;
        shard.run_turn(&mut inbox);
    }
}

async fn mail(shard: Rc<Shard>) {
    loop {
        shard.server.shard(shard.id).notified().await;
        shard.schedule();
    }
}
