//! Answers to requests that crossed into another account.
//!
//! A request's reply subject is replaced by `_R_.<6>.<6>`: the first part is the
//! exporter's, the second names the request. Answers published there are taken
//! back to the requester's reply subject, one or many as the export says, until
//! the threshold passes without one or nobody listens any more.

use super::latency::{self, Failure, Measured};
use super::service::{Link, Via};
use crate::account::AccountState;
use crate::clock;
use crate::route::{Message, Origin, Routed};
use crate::server::Server;
use crate::shard::Shard;
use crate::shard::mailbox::Mail;
use crate::subscription::{Subscription, Target};
use bytes::Bytes;
use gust_account::exchange::{Pending, Refused, ResponseType, Token};
use hashbrown::HashMap;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::rc::Rc;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::AcqRel, Ordering::Acquire,
    Ordering::Relaxed,
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;

/// Bytes of requests that may wait for the answers of one account, of which those
/// of a single requesting account get at most half. Full: further requests find no
/// responder.
const MAX_BYTES: usize = 128 << 20;
/// Expired requests are looked for no more often than this, ns.
const EXPIRY_PAUSE: i64 = 10_000_000;
/// What a measurement adds to an entry.
const MEASURED_BYTES: usize = 128;
/// Pause between two warnings of a full table, ns.
const WARN_PAUSE: i64 = 60_000_000_000;
/// Replies that may be looked through at once when interest in a wildcard is lost.
const LOOK_AT_ONCE: usize = 16;
/// When there are more, a task looks through all of them after this time, for all
/// that was lost meanwhile, and lets others go on after each [`SLICE`].
const SWEEP_PAUSE: Duration = Duration::from_millis(500);
const SLICE: usize = 256;
/// Symbols of a token.
const SYMBOLS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// `_R_.` and six symbols and a dot.
const PREFIX: usize = 11;

/// Requests waiting for the answers of one account.
#[derive(Debug, Default)]
pub struct Responses(OnceLock<Open>);

/// Made with the first request that comes in.
#[derive(Debug)]
struct Open {
    prefix: [u8; PREFIX],
    pending: Mutex<Pending<Entry>>,
    warned: AtomicI64,
}

/// A request that waits.
#[derive(Debug)]
struct Entry {
    /// Account of the requester.
    to: Arc<AccountState>,
    /// Its reply subject.
    reply: Bytes,
    /// How the request came.
    link: Arc<Link>,
    /// Its measurement, if it is measured: then it has one answer.
    measured: Option<Box<Measured>>,
}

/// A request that was prepared for its answers.
pub struct Awaited {
    /// Reply subject the responder sees.
    pub subject: Bytes,
    /// Its name.
    pub token: Token,
}

/// By reply subject, the accounts that are to answer there: to stop waiting when
/// nobody listens any more.
#[derive(Debug, Default)]
pub struct Awaiting {
    count: AtomicUsize,
    by_reply: Mutex<HashMap<Bytes, SmallVec<[Expected; 1]>>>,
    /// Interest in wildcards was lost and is to be looked at.
    lost: AtomicBool,
    /// Held by the task that does.
    sweeping: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Expected {
    exporter: Arc<AccountState>,
    token: Token,
}

impl Awaiting {
    /// Whether no answer is awaited.
    pub fn is_empty(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    fn add(&self, reply: Bytes, exporter: &Arc<AccountState>, token: Token) {
        let expected = Expected { exporter: exporter.clone(), token };
        self.count.fetch_add(1, Relaxed);
        self.by_reply.lock().entry(reply).or_default().push(expected);
    }

    fn remove(&self, reply: &Bytes, token: &Token) {
        let mut all = self.by_reply.lock();
        let Some(list) = all.get_mut(reply) else { return };
        let Some(at) = list.iter().position(|e| e.token == *token) else { return };
        list.swap_remove(at);
        if list.is_empty() {
            all.remove(reply);
        }
        self.count.fetch_sub(1, Relaxed);
    }

    /// Takes out everything awaited at subjects that `subject` matches and that
    /// `listens` does not know.
    fn take(&self, subject: &Bytes, listens: impl Fn(&[u8]) -> bool) -> Vec<Expected> {
        if !gust_subject::has_wildcards(subject) {
            return self.take_at(subject, listens);
        }
        let mut all = self.by_reply.lock();
        let met = |reply: &&Bytes| gust_subject::matches(reply, subject) && !listens(reply);
        let lost: Vec<Bytes> = all.keys().filter(met).cloned().collect();
        let lost: Vec<Expected> =
            lost.iter().filter_map(|reply| all.remove(reply)).flatten().collect();
        self.count.fetch_sub(lost.len(), Relaxed);
        lost
    }

    /// As [`Awaiting::take`], at one subject.
    fn take_at(&self, reply: &Bytes, listens: impl Fn(&[u8]) -> bool) -> Vec<Expected> {
        let mut all = self.by_reply.lock();
        if !all.contains_key(reply) || listens(reply) {
            return Vec::new();
        }
        let lost: Vec<Expected> = all.remove(reply).into_iter().flatten().collect();
        self.count.fetch_sub(lost.len(), Relaxed);
        lost
    }
}

/// Accounts whose tables are looked through for expired requests.
#[derive(Debug, Default)]
pub struct Tables {
    /// Taken while imports are put into effect.
    pub applying: Mutex<()>,
    accounts: Mutex<Vec<Arc<AccountState>>>,
    running: AtomicBool,
    /// When the task looks next, ns.
    armed: AtomicI64,
    wake: Notify,
}

/// Prepares for the answers of `exporter` to the request `m` of `to`. Refused if
/// too many wait already.
pub fn expect(
    shard: &Shard,
    exporter: &Arc<AccountState>,
    to: &Arc<AccountState>,
    m: &Message<'_>,
    link: &Arc<Link>,
    measured: Option<Box<Measured>>,
) -> Option<Awaited> {
    let open = open(shard, exporter);
    let now = clock::now();
    let reply = m.own(m.reply);
    let tracked = measured.is_some();
    let threshold = link.import.export.threshold_ns;
    let mut token = symbols(shard.rng.next());
    // Accounts stay as long as the server runs.
    let owner = Arc::as_ptr(to).addr();
    let mut entry = Entry { to: to.clone(), reply: reply.clone(), link: link.clone(), measured };
    // The reply is counted twice: `Awaiting` has it as its key.
    let cost = reply.len() * 2 + if tracked { MEASURED_BYTES } else { 0 };
    loop {
        let inserted = open.pending.lock().insert(token, owner, threshold, now, cost, entry);
        match inserted {
            Ok(()) => break,
            Err((back, Refused::Taken)) => {
                entry = back;
                token = symbols(shard.rng.next());
            }
            Err((_, Refused::Full)) => {
                warn_full(exporter, to, open, now);
                return None;
            }
        }
    }
    to.exchange.awaiting.add(reply, exporter, token);
    shard.server.exchange.arm(now.saturating_add(threshold));
    let mut subject = Vec::with_capacity(PREFIX + token.len());
    subject.extend_from_slice(&open.prefix);
    subject.extend_from_slice(&token);
    if tracked {
        subject.push(b'.');
        subject.extend_from_slice(shard.server.short_id());
        subject.extend_from_slice(b".T");
    }
    Some(Awaited { subject: subject.into(), token })
}

/// A reply subject of `exporter` that leads nowhere: what its responders see in
/// place of a subject of another account.
pub fn nowhere(shard: &Shard, exporter: &Arc<AccountState>) -> Bytes {
    let open = open(shard, exporter);
    [&open.prefix[..], &symbols(shard.rng.next())].concat().into()
}

fn warn_full(exporter: &AccountState, to: &AccountState, open: &Open, now: i64) {
    let last = open.warned.load(Relaxed);
    let again = now - last > WARN_PAUSE;
    if again && open.warned.compare_exchange(last, now, Relaxed, Relaxed).is_ok() {
        tracing::warn!(
            "Account {:?}: requests from other accounts wait for its answers, and those of account \
             {:?} take all it may have of {} MiB; more are refused. Check that its services answer, \
             or lower their response_threshold",
            exporter.name,
            to.name,
            MAX_BYTES >> 20
        );
    }
}

/// Six random symbols.
fn symbols(mut random: u64) -> Token {
    std::array::from_fn(|_| {
        let symbol = SYMBOLS.get((random % 62) as usize).copied().unwrap_or(b'0');
        random /= 62;
        symbol
    })
}

/// The table of an account; the first time its wildcard is subscribed.
fn open<'a>(shard: &Shard, account: &'a Arc<AccountState>) -> &'a Open {
    if let Some(open) = account.exchange.responses.0.get() {
        return open;
    }
    let server = &shard.server;
    account.exchange.responses.0.get_or_init(|| {
        let mut prefix = *b"_R_.xxxxxx.";
        for (to, symbol) in prefix.iter_mut().skip(4).zip(symbols(shard.rng.next())) {
            *to = symbol;
        }
        let subject = Bytes::from([&prefix[..], b">"].concat());
        let sub = Arc::new(Subscription {
            subject: subject.clone(),
            queue: Bytes::new(),
            sid: Bytes::new(),
            id: server.next_sub_id(),
            target: Target::Responses,
            max: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            filter: Default::default(),
        });
        account.interest.insert(&subject, b"", sub.id, sub);
        server.stats.subscriptions.fetch_add(1, Relaxed);
        server.exchange.add(server, account.clone());
        let pending = Mutex::new(Pending::new(MAX_BYTES, shard.rng.next()));
        Open { prefix, pending, warned: AtomicI64::new(0) }
    })
}

/// An answer published in `account`: takes it to the requester.
pub fn answer(
    shard: &Shard,
    account: &Arc<AccountState>,
    m: &Message<'_>,
    origin: Origin<'_>,
    routed: &mut Routed,
) {
    let Some(open) = account.exchange.responses.0.get() else { return };
    let token = m.to.get(PREFIX..PREFIX + 6).and_then(|t| Token::try_from(t).ok());
    let Some(token) = token else { return };
    let Some((mut entry, only)) = take(open, &token) else { return };
    if entry.link.revoked.load(Relaxed) || m.via.is_some_and(Via::is_too_long) {
        cancel(shard, account, &token);
        return;
    }
    if let Some(measured) = entry.measured.take() {
        latency::answered(shard, &entry.link, *measured, origin);
    }
    let untold;
    let mut headers = m.headers;
    if let Some(told) = m.trace {
        told.service_import(&entry.to, m.to, &entry.reply);
        if told.only {
            cancel(shard, account, &token);
            return;
        }
        // Its requester's account does not let the responder look in.
        untold = crate::trace::untold(m.headers);
        headers = &untold;
    }
    // An answer may ask in its turn: then the roles are changed.
    let back = if m.reply.is_empty() || m.reply.starts_with(b"$JS.ACK.") {
        None
    } else {
        expect(shard, &entry.to, account, m, &entry.link, None)
    };
    let via = Via::answer(&entry.link, m.via);
    let crossed = Message {
        subject: if m.subject == m.to { &entry.reply } else { m.subject },
        to: &entry.reply,
        reply: back.as_ref().map_or(m.reply, |b| &b.subject),
        via: Some(&via),
        headers,
        size_text: if m.trace.is_some() { (b"", b"") } else { m.size_text },
        trace: None,
        ..*m
    };
    let done = shard.route_to(&entry.to, &crossed, origin);
    routed.fullest = routed.fullest.max(done.fullest);
    let last = m.headers.is_empty() && m.payload.is_empty();
    if !only && (last || done.delivered == 0) {
        cancel(shard, account, &token);
    }
    if done.delivered == 0
        && let Some(back) = back
    {
        cancel(shard, &entry.to, &back.token);
    }
}

/// The entry an answer is for, and whether it was the only answer.
fn take(open: &Open, token: &Token) -> Option<(Entry, bool)> {
    let mut pending = open.pending.lock();
    let entry = pending.get(token)?;
    if entry.link.import.export.response == ResponseType::Singleton {
        let entry = pending.remove(token)?;
        drop(pending);
        entry.to.exchange.awaiting.remove(&entry.reply, token);
        return Some((entry, true));
    }
    let Entry { to, reply, link, .. } = entry;
    let entry = Entry { to: to.clone(), reply: reply.clone(), link: link.clone(), measured: None };
    pending.touch(token, clock::now());
    Some((entry, false))
}

/// Stops waiting for the answers of `exporter` to a request.
pub fn cancel(shard: &Shard, exporter: &AccountState, token: &Token) {
    let Some(open) = exporter.exchange.responses.0.get() else { return };
    let removed = open.pending.lock().remove(token);
    if let Some(entry) = removed {
        entry.to.exchange.awaiting.remove(&entry.reply, token);
        entry.fail(shard, Failure::NoResponder);
    }
}

/// A subscription of `account` ended: nobody waits for answers any more at
/// subjects that only it matched.
pub fn interest_lost(shard: &Shard, account: &Arc<AccountState>, subject: &Bytes) {
    let awaiting = &account.exchange.awaiting;
    let many = awaiting.count.load(Relaxed) > LOOK_AT_ONCE;
    if !many || !gust_subject::has_wildcards(subject) {
        return forget(awaiting.take(subject, |reply| listens(account, reply)), shard);
    }
    // One UNSUB of a few bytes must not keep the shard, which is there for other
    // accounts as well, busy with all of them.
    if !awaiting.lost.swap(true, AcqRel)
        && let Some(shard) = shard.this()
    {
        tokio::task::spawn_local(sweep(shard, account.clone()));
    }
}

/// Looks through all replies that `account` waits for.
async fn sweep(shard: Rc<Shard>, account: Arc<AccountState>) {
    let awaiting = &account.exchange.awaiting;
    tokio::time::sleep(SWEEP_PAUSE).await;
    let _one = awaiting.sweeping.lock().await;
    // What is lost from here on is for the next one.
    awaiting.lost.swap(false, AcqRel);
    let replies: Vec<Bytes> = awaiting.by_reply.lock().keys().cloned().collect();
    for some in replies.chunks(SLICE) {
        for reply in some {
            forget(awaiting.take_at(reply, |reply| listens(&account, reply)), &shard);
        }
        tokio::task::yield_now().await;
    }
}

fn listens(account: &AccountState, reply: &[u8]) -> bool {
    account.interest.read().has_interest(reply)
}

/// Drops requests whose answers nobody wants.
fn forget(lost: Vec<Expected>, shard: &Shard) {
    for expected in lost {
        let Some(open) = expected.exporter.exchange.responses.0.get() else { continue };
        let removed = open.pending.lock().remove(&expected.token);
        if let Some(entry) = removed {
            entry.fail(shard, Failure::InterestLost);
        }
    }
}

impl Entry {
    /// Tells of a measured request that was not answered.
    fn fail(self, shard: &Shard, why: Failure) {
        if let Some(measured) = self.measured {
            latency::failed(shard, &self.link, *measured, why);
        }
    }
}

impl Responses {
    /// Shows up to 1024 requests that wait: subject of the answer, account and
    /// reply subject of the requester, and how it came.
    pub fn each(&self, mut show: impl FnMut(String, &str, &[u8], &Link)) {
        let Some(open) = self.0.get() else { return };
        for (token, entry) in open.pending.lock().iter().take(1024) {
            let subject = [&open.prefix[..], token].concat();
            let subject = String::from_utf8_lossy(&subject).into_owned();
            show(subject, &entry.to.name, &entry.reply, &entry.link);
        }
    }
}

impl Tables {
    fn add(&self, server: &Arc<Server>, account: Arc<AccountState>) {
        self.accounts.lock().push(account);
        if !self.running.swap(true, AcqRel) {
            self.armed.store(i64::MAX, Relaxed);
            let start = |shard: &Shard| {
                if let Some(shard) = shard.this() {
                    tokio::task::spawn_local(expire(shard));
                }
            };
            server.shard(0).send_one(Mail::Call(Box::new(start)));
        }
    }

    /// Makes sure that expired requests are looked for at `at`.
    fn arm(&self, at: i64) {
        if at < self.armed.load(Acquire) {
            self.armed.store(at, Relaxed);
            self.wake.notify_one();
        }
    }
}

/// Drops what was not answered in time: one task for all requests.
async fn expire(shard: Rc<Shard>) {
    let tables = &shard.server.exchange;
    loop {
        let now = clock::now();
        tables.armed.store(i64::MAX, Relaxed);
        let accounts = tables.accounts.lock().clone();
        let mut next = i64::MAX;
        for account in accounts {
            let Some(open) = account.exchange.responses.0.get() else { continue };
            loop {
                let expired = open.pending.lock().expire(now);
                let Some((token, entry)) = expired else { break };
                entry.to.exchange.awaiting.remove(&entry.reply, &token);
                entry.fail(&shard, Failure::TimedOut);
            }
            next = next.min(open.pending.lock().deadline().unwrap_or(i64::MAX));
        }
        tables.armed.fetch_min(next, AcqRel);
        let wait = (tables.armed.load(Acquire) - now).clamp(EXPIRY_PAUSE, 3_600_000_000_000);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_nanos(wait as u64)) => {}
            () = tables.wake.notified() => {
                tokio::time::sleep(Duration::from_nanos(EXPIRY_PAUSE as u64)).await;
            }
        }
    }
}
