//! Deliveries of a traced message: as those of any other, but told, or only told.

use super::Trace;
use super::event::{CLIENT, Happened};
use crate::account::AccountState;
use crate::client::Client;
use crate::exchange::shadow::{self, Shadow};
use crate::route::{Message, Origin, Routed};
use crate::shard::Shard;
use crate::shard::mailbox::StreamCall;
use crate::subscription::{Subscription, Target};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// As [`Shard::hand_over`], for a traced message.
pub fn deliver(
    shard: &Shard,
    trace: &Arc<Trace>,
    account: &Arc<AccountState>,
    sub: &Arc<Subscription>,
    m: &Message<'_>,
    origin: Origin<'_>,
    routed: &mut Routed,
) -> bool {
    match &sub.target {
        Target::Client(client) => {
            let to = Receiver { account, sub, client, listens_to: &sub.subject };
            to.deliver(shard, trace, m, origin, routed)
        }
        Target::Stream { shard: at, group, call: StreamCall::Publish } => {
            super::stream::publish(shard, trace, account, (*at, *group), m);
            routed.delivered += 1;
            true
        }
        Target::Shadow(shadow) => export(shard, trace, shadow, account, sub, (m, origin), routed),
        Target::Service(_) if !shard.server.is_system(account) => {
            // To everybody else they are imports from the system account.
            if let Some(to) = system_subject(&account.name, m.to) {
                let acc = shard.server.system_account().name.clone();
                let from = String::from_utf8_lossy(m.to).into_owned();
                trace.add(Happened::ServiceImport { acc, from, to });
                if trace.only {
                    return false;
                }
            }
            shard.hand_over(account, sub, m, origin, routed)
        }
        // What the server does itself is done even if it is only to be told.
        _ => shard.hand_over(account, sub, m, origin, routed),
    }
}

/// Subject under which the system account gets a request of every account.
fn system_subject(account: &str, subject: &[u8]) -> Option<String> {
    let own = |to: &str| Some(to.replace('*', account));
    match subject {
        b"$SYS.REQ.USER.INFO" => own("$SYS.REQ.USER.*.INFO"),
        b"$SYS.REQ.ACCOUNT.PING.STATZ" => own("$SYS.REQ.ACCOUNT.*.STATZ"),
        b"$SYS.REQ.SERVER.PING.CONNZ" | b"$SYS.REQ.ACCOUNT.PING.CONNZ" => {
            own("$SYS.REQ.ACCOUNT.*.CONNZ")
        }
        // Streams and consumers answer these themselves.
        _ if subject.starts_with(b"$JS.API.DIRECT.GET")
            || subject.starts_with(b"$JS.API.CONSUMER.MSG.NEXT.") =>
        {
            None
        }
        _ => Some(String::from_utf8_lossy(subject).into_owned()),
    }
}

const GONE: &str = "Not delivered because client is closed";

/// What keeps the message from a client, or nothing.
fn why_not(
    sub: &Subscription,
    client: &Client,
    m: &Message<'_>,
    origin: Origin<'_>,
) -> &'static str {
    if let Origin::Client(from) = origin
        && from.cid == client.cid
        && !client.echo.load(Relaxed)
    {
        return "Not delivered because of no echo";
    }
    if !sub.filter.passes(m.subject) {
        return "Not delivered because subscription denies this subject";
    }
    if sub.closed.load(Relaxed) {
        return "Not delivered because subscription is closed";
    }
    let max = sub.max.load(Relaxed);
    if max > 0 && sub.delivered.load(Relaxed) >= max {
        return "Not delivered because auto-unsubscribe exceeded";
    }
    if client.close_reason().is_some() { GONE } else { "" }
}

/// A client that is to get a traced message.
struct Receiver<'a> {
    account: &'a Arc<AccountState>,
    sub: &'a Arc<Subscription>,
    client: &'a Arc<Client>,
    /// The subject that led to it, as it is told.
    listens_to: &'a [u8],
}

impl Receiver<'_> {
    fn deliver(
        &self,
        shard: &Shard,
        trace: &Trace,
        m: &Message<'_>,
        origin: Origin<'_>,
        routed: &mut Routed,
    ) -> bool {
        let mut error = why_not(self.sub, self.client, m, origin);
        let mut took = error.is_empty();
        if took && trace.only {
            routed.delivered += 1;
        } else if took {
            took = shard.hand_over(self.account, self.sub, m, origin, routed);
            if !took {
                error = GONE;
            }
        }
        trace.add(self.egress(trace, error));
        took
    }

    fn egress(&self, trace: &Trace, error: &'static str) -> Happened {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let account = &self.account.name;
        Happened::Egress {
            kind: CLIENT,
            cid: self.client.cid,
            name: self.client.facts.lock().name.clone(),
            acc: if *account == trace.account.name { String::new() } else { account.clone() },
            sub: text(self.listens_to),
            queue: text(&self.sub.queue),
            error,
        }
    }
}

/// A message that leaves for an account that imports the stream; what becomes of
/// it there is told only if the import allows it.
fn export(
    shard: &Shard,
    trace: &Arc<Trace>,
    shadow: &Shadow,
    account: &Arc<AccountState>,
    sub: &Arc<Subscription>,
    (m, origin): (&Message<'_>, Origin<'_>),
    routed: &mut Routed,
) -> bool {
    if m.via.is_some() {
        return false;
    }
    let (importer, import) = shadow.parts();
    let to = String::from_utf8_lossy(&import.here(m.to)).into_owned();
    trace.add(Happened::StreamExport { acc: importer.name.clone(), to });
    if import.allow_trace {
        let (to, original) = (import.here(m.to), shadow.original());
        let m = &shadow::renamed(m, &to);
        let Target::Client(client) = &original.target else {
            return shard.deliver(importer, original, m, origin, routed);
        };
        // What it listens to there is told: that is what led to it.
        let to = Receiver { account: importer, sub: original, client, listens_to: &sub.subject };
        return to.deliver(shard, trace, m, origin, routed);
    }
    if trace.only {
        // Nobody is missing: it would have been delivered.
        routed.delivered += 1;
        return true;
    }
    let untold = Message { trace: None, ..*m };
    shard.hand_over(account, sub, &untold, origin, routed)
}
