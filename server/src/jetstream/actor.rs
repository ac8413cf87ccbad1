//! One stream with everything it needs around its state machine: its raft group,
//! the subscriptions that lead to it, its timer and the callers who wait.

use super::coverage::Coverage;
use super::engine::Submission;
use super::facts::facts;
use super::interest::AccountInterest;
use super::subjects;
use crate::account::{AccountState, Watch};
use crate::clock;
use crate::route::Message;
use crate::shard::Shard;
use crate::shard::mailbox::{Mail, StreamCall, StreamMail};
use crate::subscription::{Subscription, Target};
use crate::trace::stream::Telling;
use bytes::{Bytes, BytesMut};
use gust_jetstream::consumer::Stop;
use gust_jetstream::effect::{Effect, Outgoing};
use gust_jetstream::error::ApiError;
use gust_jetstream::stream::{Completion, Cx, Inbound, Stream, Token, Tracing};
use gust_raft::{Committed, Group, LogWrite, ProposeError, Ticket};
use gust_storage::store::StoreError;
use gust_storage::store::file::{CheckpointDone, CheckpointJob};
use gust_storage::wal::{Lsn, WalRecord};
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tokio::sync::oneshot;

/// Result of an API call that went through the stream's log.
pub type CallResult = Result<Completion, ApiError>;

/// See the module documentation.
pub struct Actor {
    /// The state machine.
    pub stream: Stream,
    /// Account it belongs to.
    pub account: Arc<AccountState>,
    /// It waits for a turn.
    pub dirty: bool,
    group: Group,
    memory: bool,
    subs: HashMap<(Bytes, Bytes), Arc<Subscription>>,
    inbound: HashMap<u64, Arc<Subscription>>,
    refused: VecDeque<Bytes>,
    waiting: HashMap<Token, oneshot::Sender<CallResult>>,
    /// Traced messages whose fate is not known yet.
    traced: HashMap<Token, Box<Telling>>,
    next_token: Token,
    timer: i64,
    booked: i64,
    fx: Vec<Effect>,
    leading: bool,
    subs_stale: bool,
    /// What of the log it still needs.
    coverage: Coverage,
    on_leading: Vec<oneshot::Sender<()>>,
    /// It comes from disk: consumers kept in memory only have ended.
    recovered: bool,
    /// Its code panicked: it must not be called again.
    fallen: bool,
}

impl Actor {
    /// A stream with its group. `memory`: its log is not kept.
    pub fn new(stream: Stream, group: Group, account: Arc<AccountState>, memory: bool) -> Self {
        Self {
            stream,
            account,
            dirty: false,
            group,
            memory,
            subs: HashMap::new(),
            inbound: HashMap::new(),
            refused: VecDeque::new(),
            waiting: HashMap::new(),
            traced: HashMap::new(),
            next_token: 1,
            timer: i64::MAX,
            booked: 0,
            fx: Vec::new(),
            leading: false,
            subs_stale: true,
            coverage: Coverage::default(),
            on_leading: Vec::new(),
            recovered: false,
            fallen: false,
        }
    }

    /// Makes it one that was found on disk after the log below `lsn` was
    /// replayed.
    pub fn recovered(mut self, lsn: Lsn) -> Self {
        self.coverage = Coverage::replayed(lsn);
        self.recovered = true;
        self
    }

    /// Runs `f`, unless an earlier call panicked. A panic stops this stream alone:
    /// what it was doing is unknown, so nothing of it is called or written again
    /// before a restart recovers it from its log.
    pub fn guarded<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.fallen {
            return None;
        }
        // Nothing of a stream is shared with others: what the panic left behind
        // is behind this flag.
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| f(self)));
        if result.is_err() {
            self.fallen = true;
            self.leading = false;
            self.stream.poison("an internal error; a restart recovers it".to_owned());
            // Whoever waits learns that there will be no answer.
            self.waiting.clear();
            self.traced.clear();
            self.on_leading.clear();
            tracing::error!(
                "{} stopped after an internal error; its data was left untouched and a restart \
                 recovers it. Please report the panic above",
                self.label()
            );
        }
        result.ok()
    }

    /// Its raft group's number.
    pub fn group_id(&self) -> u64 {
        self.group.id()
    }

    /// Whether its log and store are in memory only.
    pub fn is_memory(&self) -> bool {
        self.memory
    }

    /// Called once on the shard that owns it from now on.
    pub fn start(&mut self, _shard: &Shard) {
        if !self.group.is_leader() {
            self.group.campaign();
        }
    }

    /// Called when it leaves its shard: stopped or deleted.
    pub fn end(&mut self, shard: &Shard) {
        for (_, sub) in self.subs.drain().map(|(_, s)| ((), s)).collect::<Vec<_>>() {
            shard.server.unsubscribe(shard, &self.account, &sub);
        }
        for (_, sub) in self.inbound.drain().collect::<Vec<_>>() {
            shard.server.unsubscribe(shard, &self.account, &sub);
        }
        self.account.rewatch(self.group.id(), &[]);
        self.book(shard, true);
        self.finish_calls();
    }

    /// Tells `tx` once this stream can take publishes.
    pub fn when_leading(&mut self, tx: oneshot::Sender<()>) {
        self.on_leading.push(tx);
    }

    /// Registers a caller; its result comes when the change is committed.
    pub fn call(
        &mut self,
        shard: &Shard,
        answer: oneshot::Sender<CallResult>,
        f: impl FnOnce(&mut Stream, Token, &mut Cx<'_>),
    ) {
        let token = self.next_token;
        self.next_token += 1;
        self.waiting.insert(token, answer);
        self.with_cx(shard, |stream, cx| f(stream, token, cx));
        self.finish_calls();
    }

    /// Runs `f` with the surroundings a stream's methods want, then executes
    /// the effects.
    pub fn with_cx<T>(
        &mut self,
        shard: &Shard,
        f: impl FnOnce(&mut Stream, &mut Cx<'_>) -> T,
    ) -> T {
        let facts = facts(shard, &self.account, self.memory);
        let interest = AccountInterest(&self.account);
        let mut fx = std::mem::take(&mut self.fx);
        let result = {
            let mut cx = Cx {
                now: clock::now(),
                random: shard.rng.next(),
                facts: &facts,
                interest: &interest,
                fx: &mut fx,
            };
            f(&mut self.stream, &mut cx)
        };
        self.execute(shard, &mut fx);
        self.fx = fx;
        result
    }

    /// Takes a message in.
    pub fn handle(&mut self, shard: &Shard, m: StreamMail) {
        let StreamMail { call, subject, reply, headers, payload, telling, .. } = m;
        let tracing = telling.map(|telling| {
            let (id, only) = (self.next_token, telling.only());
            self.next_token += 1;
            self.traced.insert(id, telling);
            Tracing { id, only }
        });
        self.with_cx(shard, |stream, cx| match call {
            StreamCall::Publish => {
                stream.publish(Inbound { subject, reply, headers, payload, tracing }, cx);
            }
            StreamCall::Pull(consumer) => {
                if let Ok(name) = std::str::from_utf8(&consumer) {
                    stream.pull(name, reply, &headers, &payload, cx);
                }
            }
            StreamCall::Ack => {
                stream.ack(&subject, &reply, &payload, cx);
            }
            StreamCall::Flow(consumer) => {
                if let Ok(name) = std::str::from_utf8(&consumer) {
                    stream.flow_reply(name, &subject, &headers, cx);
                }
            }
            StreamCall::Direct => {
                let asked = subjects::direct_subject(&subject);
                stream.direct_get(asked, &headers, &payload, &reply, cx);
            }
            StreamCall::Inbound(id) => {
                stream.inbound(id, Inbound { subject, reply, headers, payload, tracing: None }, cx);
            }
        });
    }

    /// Interest changed on a subject a push consumer delivers to.
    pub fn interest_changed(&mut self, shard: &Shard) {
        self.with_cx(shard, |stream, cx| stream.on_interest(cx));
    }

    /// Its timer entry of `at` came up.
    pub fn timer_fired(&mut self, shard: &Shard, at: i64, now: i64) {
        if at >= self.timer {
            self.timer = i64::MAX;
        }
        if self.stream.next_deadline().is_some_and(|d| d <= now) {
            self.with_cx(shard, |stream, cx| stream.on_timer(cx));
        }
    }

    /// The time to arm a timer for, if the one armed is later or there is none.
    pub fn rearm(&mut self) -> Option<i64> {
        let at = self.stream.next_deadline()?;
        if at < self.timer {
            self.timer = at;
            return Some(at);
        }
        None
    }

    /// One turn: deliveries, then what they and the requests before them wrote.
    pub fn turn(&mut self, shard: &Shard, out: &mut Submission) -> bool {
        let mut more = false;
        if self.leading {
            more = self.with_cx(shard, Stream::turn);
            while let Some(entry) = self.refused.pop_front().or_else(|| self.stream.take_entry()) {
                match self.group.propose(entry.clone()) {
                    Ok(()) => {}
                    Err(ProposeError::Full) => {
                        // Applied entries make room and bring the next turn.
                        self.refused.push_front(entry);
                        break;
                    }
                    Err(e) => {
                        tracing::error!("{}: proposing: {e}", self.label());
                        break;
                    }
                }
            }
        }
        more |= self.drive(shard, out);
        self.finish_calls();
        if self.subs_stale && self.leading {
            self.subs_stale = false;
            self.sync_subscriptions(shard);
            for tx in self.on_leading.drain(..) {
                let _ = tx.send(());
            }
        }
        self.book(shard, false);
        more
    }

    /// Collects what the group wants written. A memory stream's log is not
    /// kept, so its writes count as durable at once.
    fn drive(&mut self, shard: &Shard, out: &mut Submission) -> bool {
        let mut more = false;
        let mut writes = Vec::new();
        while let Some(ticket) = self.group.ready(&mut writes) {
            if self.memory {
                writes.clear();
                let committed = self.group.persisted(ticket);
                self.apply(shard, committed);
                more = true;
            } else {
                out.records.extend(writes.drain(..).map(wal_record));
                out.tickets.push((self.group.id(), ticket));
                self.coverage.submitted();
            }
        }
        more
    }

    /// A submission of this stream is durable.
    pub fn persisted(&mut self, shard: &Shard, ticket: Ticket, lsn: Lsn) {
        let committed = self.group.persisted(ticket);
        self.apply(shard, committed);
        self.coverage.applied(lsn);
    }

    fn apply(&mut self, shard: &Shard, committed: Vec<Committed>) {
        let Some(last) = committed.last().map(|c| c.index) else { return };
        let mut failed = None;
        let mut lead_term = None;
        self.with_cx(shard, |stream, cx| {
            for c in &committed {
                if failed.is_none()
                    && let Err(e) = stream.apply(c.index, c.term, &c.data, cx)
                {
                    failed = Some(e);
                }
                // The first entry of a term is empty: the leader starts with it.
                if c.data.is_empty() {
                    lead_term = Some(c.term);
                }
            }
        });
        self.group.applied(last);
        // A single voter never needs its applied entries again.
        self.group.compact(last);
        if let Some(e) = failed {
            tracing::error!("JetStream: {e}. The stream stops here; its data was left untouched");
        }
        if let Some(term) = lead_term
            && self.group.is_leader()
            && !self.leading
        {
            self.with_cx(shard, |stream, cx| stream.lead(term, cx));
            self.leading = self.stream.is_leader();
            self.subs_stale = true;
            if !self.leading {
                // A stopped stream never leads; nobody must wait for it.
                self.on_leading.clear();
            }
            if std::mem::take(&mut self.recovered) {
                self.end_memory_consumers(shard);
            }
        }
    }

    /// A `mem_storage` consumer ends with the process that ran it. That goes
    /// through the log, because acks that it awaited may remove messages now.
    fn end_memory_consumers(&mut self, shard: &Shard) {
        let gone: Vec<String> = self
            .stream
            .consumers()
            .filter(|c| c.config().mem_storage)
            .map(|c| c.name().to_owned())
            .collect();
        self.with_cx(shard, |stream, cx| {
            // Nobody waits for the answer: token 0 is never handed out.
            gone.iter().for_each(|name| stream.delete_consumer(name, 0, cx));
        });
    }

    /// Begins a checkpoint unless one is under way or nothing has changed.
    pub fn checkpoint(&mut self, shard: &Shard) {
        if self.memory || !self.coverage.wants_checkpoint() {
            return;
        }
        let Some(job) = self.begin_checkpoint() else { return };
        let Some(js) = shard.server.jetstream.get() else { return };
        let (server, id) = (shard.server.clone(), shard.id);
        let (group, lsn) = (self.group.id(), self.coverage.begin());
        js.checkpointer.run(Box::new(move || {
            let result = job.run();
            server.shard(id).send_one(Mail::Call(Box::new(move |s| {
                s.engine.borrow_mut().checkpointed(group, result, lsn);
            })));
        }));
    }

    fn begin_checkpoint(&mut self) -> Option<CheckpointJob> {
        // One that stopped inside an entry holds a part of it, which the replay
        // of that entry could not stand.
        if self.stream.poisoned().is_some() || self.coverage.is_broken() {
            return None;
        }
        let (index, term) = self.stream.applied();
        let mut app = BytesMut::new();
        self.stream.checkpoint_app(&mut app);
        match self.stream.store_mut().as_file()?.begin_checkpoint(index, term, &app) {
            Ok(job) => Some(job),
            Err(e) => {
                tracing::error!("{}: checkpoint: {e}", self.label());
                None
            }
        }
    }

    /// A checkpoint covering `lsn` has ended. If it is durable, the log below the
    /// result is not needed any more.
    pub fn checkpointed(
        &mut self,
        result: Result<CheckpointDone, StoreError>,
        lsn: Lsn,
    ) -> Option<Lsn> {
        match result {
            Ok(done) => {
                if let Some(file) = self.stream.store_mut().as_file() {
                    file.finish_checkpoint(done);
                }
                Some(self.coverage.done(lsn))
            }
            Err(e) => {
                // The log keeps what the checkpoint would have held.
                self.coverage.failed(e.is_disk_full());
                let then = match self.coverage.is_broken() {
                    true => "; there is no other before a restart, check the disk",
                    false => "",
                };
                tracing::error!("{}: checkpoint: {e}{then}", self.label());
                None
            }
        }
    }

    /// Stops serving: whoever waits is told.
    pub fn leave(&mut self, shard: &Shard) {
        self.with_cx(shard, |stream, cx| stream.stop(Stop::Shutdown, cx));
        self.leading = false;
    }

    /// Orderly stop: tells waiting clients, writes a last checkpoint here.
    pub fn close(&mut self, shard: &Shard) {
        self.leave(shard);
        // One checkpoint at a time: with one under way the log keeps the rest.
        if !self.memory
            && !self.coverage.is_running()
            && let Some(job) = self.begin_checkpoint()
            && let Err(e) = job.run()
        {
            tracing::error!("{}: last checkpoint: {e}", self.label());
        }
    }

    fn execute(&mut self, shard: &Shard, fx: &mut Vec<Effect>) {
        for effect in fx.drain(..) {
            match effect {
                Effect::Publish(o) => send(shard, &self.account, &o),
                Effect::Advise { subject, payload } => {
                    let m = Message::new(&subject, b"", b"", &payload);
                    shard.publish(&self.account, &subject, &m, b"");
                }
                Effect::Subscribe { id, subject } => {
                    let sub =
                        self.subscription(shard, subject, Bytes::new(), StreamCall::Inbound(id));
                    shard.server.subscribe(shard, &self.account, &sub);
                    self.inbound.insert(id, sub);
                }
                Effect::Traced { id, told } => {
                    if let Some(telling) = self.traced.remove(&id) {
                        telling.tell(self.stream.name(), told);
                    }
                }
                Effect::Unsubscribe { id } => {
                    if let Some(sub) = self.inbound.remove(&id) {
                        shard.server.unsubscribe(shard, &self.account, &sub);
                    }
                }
            }
        }
    }

    fn subscription(
        &self,
        shard: &Shard,
        subject: Bytes,
        queue: Bytes,
        call: StreamCall,
    ) -> Arc<Subscription> {
        Arc::new(Subscription {
            subject,
            queue,
            sid: Bytes::new(),
            id: shard.server.next_sub_id(),
            target: Target::Stream { shard: shard.id, group: self.group.id(), call },
            max: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            filter: Default::default(),
        })
    }

    /// Makes the subscriptions those the configuration and the consumers need.
    fn sync_subscriptions(&mut self, shard: &Shard) {
        let wanted = subjects::wanted(&self.stream);
        let gone: Vec<_> = self.subs.keys().filter(|k| !wanted.contains_key(*k)).cloned().collect();
        for key in gone {
            if let Some(sub) = self.subs.remove(&key) {
                shard.server.unsubscribe(shard, &self.account, &sub);
            }
        }
        for (key, call) in wanted {
            if !self.subs.contains_key(&key) {
                let sub = self.subscription(shard, key.0.clone(), key.1.clone(), call);
                shard.server.subscribe(shard, &self.account, &sub);
                self.subs.insert(key, sub);
            }
        }
        let group = self.group.id();
        let watches: Vec<Watch> = self
            .stream
            .consumers()
            .filter(|c| c.config().is_push())
            .map(|c| Watch {
                subject: Bytes::copy_from_slice(c.config().deliver_subject.as_bytes()),
                shard: shard.id,
                group,
            })
            .collect();
        self.account.rewatch(group, &watches);
    }

    fn finish_calls(&mut self) {
        for (token, result) in self.stream.take_completions() {
            // Calls change consumers and configuration: what leads here may differ.
            self.subs_stale = true;
            if let Some(tx) = self.waiting.remove(&token) {
                let _ = tx.send(result);
            }
        }
    }

    /// Books the stream's bytes with its account and the server.
    fn book(&mut self, shard: &Shard, gone: bool) {
        let now = if gone { 0 } else { self.stream.state().bytes as i64 };
        let change = now - std::mem::replace(&mut self.booked, now);
        if change == 0 {
            return;
        }
        let js = shard.server.jetstream.look();
        let Some(js) = &*js else { return };
        let (account, server) = if self.memory {
            (&self.account.jetstream.memory, &js.limits.memory)
        } else {
            (&self.account.jetstream.storage, &js.limits.storage)
        };
        account.fetch_add(change, Relaxed);
        server.fetch_add(change, Relaxed);
    }

    fn label(&self) -> String {
        format!("JetStream stream '{} > {}'", self.account.name, self.stream.name())
    }
}

fn send(shard: &Shard, account: &Arc<AccountState>, o: &Outgoing) {
    let subject = if o.subject.is_empty() { &o.to } else { &o.subject };
    let mut m = Message::new(subject, &o.reply, &o.headers, &o.payload);
    m.owner = Some(&o.payload);
    shard.publish(account, &o.to, &m, &o.queue);
}

fn wal_record(write: LogWrite) -> WalRecord {
    match write {
        // A single voter receives no snapshots.
        LogWrite::Snapshot { group, index, data, .. } => WalRecord::Applied { group, index, data },
        LogWrite::Entry { group, term, index, kind, data } => {
            WalRecord::Entry { group, term, index, kind: kind as u8, data }
        }
        LogWrite::HardState { group, term, vote, commit } => {
            WalRecord::Hard { group, term, vote, commit }
        }
    }
}
