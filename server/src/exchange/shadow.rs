//! Stream imports: for each subscription that an import may feed, a shadow of it
//! stands in the exporter's interest and hands messages to the original under
//! their names here. Counting, filters and queue groups are the original's.

use crate::account::AccountState;
use crate::route::{Message, Origin, Routed};
use crate::server::Server;
use crate::shard::Shard;
use crate::subscription::{Subscription, Target};
use bytes::Bytes;
use gust_account::exchange::StreamImport;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};

/// What a shadow hands messages to.
#[derive(Debug)]
pub struct Shadow {
    /// The subscription it stands for.
    original: Arc<Subscription>,
    /// The account of that one.
    account: Arc<AccountState>,
    /// The import that brings the messages.
    import: Arc<StreamImport>,
}

/// Stream imports of an account.
#[derive(Debug, Default)]
pub struct Streams {
    active: AtomicBool,
    /// Taken before any interest's lock, never after.
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    sources: Vec<Source>,
    /// Shadows by the id of their original.
    shadows: HashMap<u64, Vec<Placed>>,
}

#[derive(Debug, Clone)]
struct Source {
    import: Arc<StreamImport>,
    exporter: Arc<AccountState>,
}

/// A shadow where it stands.
#[derive(Debug)]
struct Placed {
    source: Source,
    sub: Arc<Subscription>,
}

impl Shadow {
    /// The importing account, and the import.
    pub fn parts(&self) -> (&Arc<AccountState>, &StreamImport) {
        (&self.account, &self.import)
    }

    /// The subscription it stands for.
    pub fn original(&self) -> &Arc<Subscription> {
        &self.original
    }
}

impl Streams {
    /// Whether the account imports any stream.
    pub fn is_active(&self) -> bool {
        self.active.load(Acquire)
    }
}

/// Hands a message of the exporter to the original.
pub fn deliver(
    shard: &Shard,
    shadow: &Shadow,
    m: &Message<'_>,
    origin: Origin<'_>,
    routed: &mut Routed,
) -> bool {
    // What a service import brought into the exporter is not exported again.
    if m.via.is_some() {
        return false;
    }
    let to = shadow.import.here(m.to);
    let m = renamed(m, &to);
    shard.deliver(&shadow.account, &shadow.original, &m, origin, routed)
}

/// The message with `to` as the subject that leads to its receivers. JetStream
/// delivers under the stored subject, whatever that is.
pub fn renamed<'a>(m: &Message<'a>, to: &'a [u8]) -> Message<'a> {
    let subject = if m.subject == m.to { to } else { m.subject };
    Message { subject, to, ..*m }
}

/// Sets the stream imports of `account`.
pub fn apply(server: &Server, account: &Arc<AccountState>, imports: &[Arc<StreamImport>]) {
    let streams = &account.exchange.streams;
    let mut table = streams.table.lock();
    if table.sources.iter().map(|s| &s.import).eq(imports) {
        return;
    }
    // A SUB that does not see the flag yet is in the interest by the time that
    // is read below.
    streams.active.store(!imports.is_empty(), Release);
    let source = |import: &Arc<StreamImport>| Source {
        import: import.clone(),
        exporter: server.accounts.get_or_make(&import.exporter),
    };
    table.sources = imports.iter().map(source).collect();
    let mut subs = Vec::new();
    account.interest.read().for_each(|found| {
        if casts_shadows(found.value) {
            subs.push(found.value.clone());
        }
    });
    let mut before = std::mem::take(&mut table.shadows);
    let mut changed = Vec::new();
    for sub in subs {
        let old = before.remove(&sub.id).unwrap_or_default();
        table.place(server, account, &sub, old, &mut changed);
    }
    for placed in before.into_values().flatten() {
        withdraw(server, &placed, &mut changed);
    }
    drop(table);
    tell(server, changed);
}

/// Makes the shadows of a new subscription.
pub fn subscribed(server: &Server, account: &Arc<AccountState>, sub: &Arc<Subscription>) {
    if !casts_shadows(sub) {
        return;
    }
    let mut changed = Vec::new();
    let mut table = account.exchange.streams.table.lock();
    // It may have been used up meanwhile, or seen by `apply`.
    if !sub.closed.load(Relaxed) && !table.shadows.contains_key(&sub.id) {
        table.place(server, account, sub, Vec::new(), &mut changed);
    }
    drop(table);
    tell(server, changed);
}

/// Removes the shadows of a subscription that ended.
pub fn unsubscribed(server: &Server, account: &Arc<AccountState>, sub: &Subscription) {
    let mut changed = Vec::new();
    let mut table = account.exchange.streams.table.lock();
    for placed in table.shadows.remove(&sub.id).unwrap_or_default() {
        withdraw(server, &placed, &mut changed);
    }
    drop(table);
    tell(server, changed);
}

/// Whether imports feed it: what clients, streams and tasks asked for, not what
/// the server set up to bridge accounts.
fn casts_shadows(sub: &Subscription) -> bool {
    matches!(sub.target, Target::Client(_) | Target::Stream { .. } | Target::Channel(_))
}

/// Interests that changed, and where.
type Changed = Vec<(Arc<AccountState>, Bytes)>;

fn tell(server: &Server, changed: Changed) {
    for (account, subject) in changed {
        server.interest_changed_anywhere(&account, &subject);
    }
}

fn withdraw(server: &Server, placed: &Placed, changed: &mut Changed) {
    let Placed { source, sub } = placed;
    sub.closed.store(true, Relaxed);
    source.exporter.interest.remove(&sub.subject, &sub.queue, sub.id);
    server.stats.subscriptions.fetch_sub(1, Relaxed);
    changed.push((source.exporter.clone(), sub.subject.clone()));
}

impl Table {
    /// Puts the shadows of `sub` where its imports want them. Those among `old`
    /// that still fit stay or are replaced in place.
    fn place(
        &mut self,
        server: &Server,
        account: &Arc<AccountState>,
        sub: &Arc<Subscription>,
        mut old: Vec<Placed>,
        changed: &mut Changed,
    ) {
        let mut placed = Vec::new();
        for source in &self.sources {
            let Some(subject) = source.import.there(&sub.subject) else { continue };
            let same = |p: &Placed| {
                Arc::ptr_eq(&p.source.exporter, &source.exporter) && p.sub.subject == subject
            };
            let found = old.iter().position(same).map(|at| old.swap_remove(at));
            let id = match found {
                Some(p) if p.source.import == source.import => {
                    placed.push(p);
                    continue;
                }
                Some(p) => p.sub.id,
                None => {
                    server.stats.subscriptions.fetch_add(1, Relaxed);
                    server.next_sub_id()
                }
            };
            let shadow = Arc::new(Subscription {
                subject: subject.into(),
                queue: sub.queue.clone(),
                sid: sub.sid.clone(),
                id,
                target: Target::Shadow(Box::new(Shadow {
                    original: sub.clone(),
                    account: account.clone(),
                    import: source.import.clone(),
                })),
                max: AtomicU64::new(0),
                delivered: AtomicU64::new(0),
                closed: AtomicBool::new(false),
                filter: Default::default(),
            });
            let interest = &source.exporter.interest;
            interest.insert(&shadow.subject, &shadow.queue, id, shadow.clone());
            changed.push((source.exporter.clone(), shadow.subject.clone()));
            placed.push(Placed { source: source.clone(), sub: shadow });
        }
        for gone in old {
            withdraw(server, &gone, changed);
        }
        if !placed.is_empty() {
            self.shadows.insert(sub.id, placed);
        }
    }
}
