//! Deliveries of a traced message: as those of any other, but told, or only told.

use super::Trace;
use super::event::{CLIENT, Happened};
use crate::account::AccountState;
use crate::client::Client;
use crate::exchange::shadow::{self, Shadow};
use crate::route::{Message, Origin, Routed};
use crate::shard::Shard;
use crate::shard::mailbox::{Mail, StreamCall};
use crate::subscription::{Subscription, Target};
use gust_jetstream::config::RetentionPolicy;
use gust_jetstream::stream::Stream;
use gust_subject::Transform;
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
            let took = trace.only || shard.hand_over(account, sub, m, origin, routed);
            routed.delivered += usize::from(trace.only);
            ask_stream(shard, trace, *at, *group, m);
            took
        }
        Target::Shadow(shadow) => export(shard, trace, shadow, account, sub, (m, origin), routed),
        Target::Import(_) | Target::Responses => shard.hand_over(account, sub, m, origin, routed),
        _ if trace.only => {
            routed.delivered += 1;
            true
        }
        _ => shard.hand_over(account, sub, m, origin, routed),
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
    let max = sub.max.load(Relaxed);
    if max > 0 && sub.delivered.load(Relaxed) >= max {
        return "Not delivered because auto-unsubscribe exceeded";
    }
    if sub.closed.load(Relaxed) {
        return "Not delivered because subscription is closed";
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

/// Asks a stream what it did with the message, which it has got before.
fn ask_stream(shard: &Shard, trace: &Arc<Trace>, at: usize, group: u64, m: &Message<'_>) {
    let place = trace.add(Happened::JetStream {
        stream: String::new(),
        subject: String::new(),
        nointerest: false,
    });
    trace.wait_for_one_more();
    let (trace, subject) = (trace.clone(), m.own(m.subject));
    let ask = move |s: &Shard| {
        if let Some(actor) = s.engine.borrow().get(group) {
            tell_stream(&trace, place, &actor.stream, &subject);
        }
        trace.end();
    };
    shard.mail(at, Mail::Call(Box::new(ask)));
}

fn tell_stream(trace: &Trace, place: usize, stream: &Stream, subject: &[u8]) {
    let config = stream.config();
    let renamed = config
        .subject_transform
        .as_ref()
        .and_then(|t| Transform::new(t.src.as_bytes(), t.dest.as_bytes()).ok()?.apply(subject, 0));
    let stored = renamed.as_deref().unwrap_or(subject);
    let wants =
        |filter: &str| filter.is_empty() || gust_subject::matches(stored, filter.as_bytes());
    let wanted = stream.consumers().any(|c| {
        let mut filters = c.config().filters().peekable();
        filters.peek().is_none() || filters.any(wants)
    });
    let no_interest = config.retention == RetentionPolicy::Interest && !wanted;
    trace.tell_stream(place, &config.name, &String::from_utf8_lossy(stored), no_interest);
}
