//! Service imports: a request made here is published in the exporter's account,
//! its answers come back through [`super::responses`].

use super::info::{self, ClientInfo, HEADER};
use super::latency::{self, Failure};
use super::responses;
use crate::account::AccountState;
use crate::route::{Message, Origin, Routed};
use crate::server::Server;
use crate::shard::Shard;
use crate::subscription::{Subscription, Target};
use arc_swap::ArcSwap;
use bytes::Bytes;
use gust_account::exchange::ServiceImport;
use gust_account::{Account, AccountSet};
use gust_subject::Mapped;
use gust_wire::headers::Headers;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Borders one message may cross, answers included.
const MAX_CROSSINGS: usize = 64;

/// A service import in force.
#[derive(Debug)]
pub struct Link {
    /// What it is.
    pub import: Arc<ServiceImport>,
    /// Where requests go.
    pub exporter: Arc<AccountState>,
    /// The exporter's rules: its mappings apply to requests.
    rules: ArcSwap<Account>,
    /// It is no longer in force, so that answers on their way stop as well.
    pub revoked: AtomicBool,
}

/// Service imports of an account.
#[derive(Debug, Default)]
pub struct Services {
    links: Mutex<Vec<(Arc<Link>, Arc<Subscription>)>>,
    /// An import stands where services are that every account has.
    over_own: AtomicBool,
}

impl Services {
    /// Whether requests to `subject`, one of a service that every account has,
    /// go to another account instead: only one of both must answer.
    pub fn hides(&self, subject: &[u8]) -> bool {
        let takes = |(link, _): &(Arc<Link>, _)| gust_subject::matches(subject, &link.import.from);
        self.over_own.load(Relaxed) && self.links.lock().iter().any(takes)
    }
}

/// A border a message has crossed on its way.
#[derive(Debug)]
pub struct Via<'a> {
    link: &'a Arc<Link>,
    /// Who asked at first; `None` for an answer.
    info: Option<&'a ClientInfo>,
    share: bool,
    before: Option<&'a Via<'a>>,
}

impl<'a> Via<'a> {
    /// Of an answer.
    pub fn answer(link: &'a Arc<Link>, before: Option<&'a Via<'a>>) -> Self {
        Via { link, info: None, share: link.import.share, before }
    }

    fn all(&self) -> impl Iterator<Item = &Via<'a>> {
        std::iter::successors(Some(self), |v| v.before)
    }

    /// Whether the message is, or came of, an answer.
    pub fn is_answer(&self) -> bool {
        self.all().any(|v| v.info.is_none())
    }

    /// Whether a message has come so far that it must be going round.
    pub fn is_too_long(&self) -> bool {
        self.all().count() >= MAX_CROSSINGS
    }
}

/// Sets the service imports of `account`.
pub fn apply(
    server: &Server,
    account: &Arc<AccountState>,
    imports: &[Arc<ServiceImport>],
    rules: &AccountSet,
) {
    let services = &account.exchange.services;
    let mut links = services.links.lock();
    let mut old = std::mem::take(&mut *links);
    for import in imports {
        let Some(exporter_rules) = rules.account(&import.exporter) else { continue };
        if let Some(at) = old.iter().position(|(link, _)| link.import == *import) {
            let (link, sub) = old.swap_remove(at);
            link.rules.store(exporter_rules.clone());
            links.push((link, sub));
            continue;
        }
        let link = Arc::new(Link {
            import: import.clone(),
            exporter: server.accounts.get_or_make(&import.exporter),
            rules: ArcSwap::new(exporter_rules.clone()),
            revoked: AtomicBool::new(false),
        });
        let sub = Arc::new(Subscription {
            subject: Bytes::copy_from_slice(&import.from),
            queue: Bytes::new(),
            sid: Bytes::new(),
            id: server.next_sub_id(),
            target: Target::Import(link.clone()),
            max: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            filter: Default::default(),
        });
        account.interest.insert(&sub.subject, b"", sub.id, sub.clone());
        server.stats.subscriptions.fetch_add(1, Relaxed);
        links.push((link, sub));
    }
    for (link, sub) in old {
        link.revoked.store(true, Relaxed);
        account.interest.remove(&sub.subject, b"", sub.id);
        server.stats.subscriptions.fetch_sub(1, Relaxed);
    }
    let own: [&[u8]; 2] = [b"$JS.API.>", b"$SYS.REQ.>"];
    let over = |i: &Arc<ServiceImport>| own.iter().any(|s| gust_subject::overlaps(s, &i.from));
    services.over_own.store(imports.iter().any(over), Relaxed);
}

/// Takes a request of `importer` across. False: nobody there took it.
pub fn request(
    shard: &Shard,
    link: &Arc<Link>,
    importer: &Arc<AccountState>,
    m: &Message<'_>,
    origin: Origin<'_>,
    routed: &mut Routed,
) -> bool {
    let again = |via: &Via<'_>| via.all().any(|v| Arc::ptr_eq(v.link, link)) || via.is_too_long();
    if link.revoked.load(Relaxed) || m.via.is_some_and(again) {
        return false;
    }
    let import = &link.import;
    let there = import.there(m.to);
    let rules = link.rules.load();
    let mapped = if rules.mappings.is_empty() {
        Mapped::Unchanged
    } else {
        rules.mappings.map(&there, &shard.server.cluster_name(), shard.rng.next())
    };
    let to: &[u8] = match &mapped {
        Mapped::Unchanged => &there,
        Mapped::To(subject) => subject,
        Mapped::Lost => return false,
    };
    // What happens there is told only if the export allows it.
    let trace = m.trace.filter(|_| import.export.allow_trace);
    if let Some(told) = m.trace {
        told.service_import(&link.exporter, m.to, to);
        if told.only && trace.is_none() {
            return false;
        }
    }
    let share = m.via.map_or(import.share, |v| v.share);
    let info = who_asks(shard, link, importer, m, origin, share);
    let Some(headers) = headers(shard, link, m, &info) else { return false };
    // Acknowledgements keep their reply: it is published to, not answered.
    let answered = !m.reply.is_empty() && !m.reply.starts_with(b"$JS.ACK.");
    let measured = latency::begin(shard, link, importer, m, origin);
    let awaited = if answered {
        let awaited = responses::expect(shard, &link.exporter, importer, m, link, measured);
        if awaited.is_none() {
            return false;
        }
        awaited
    } else {
        if let Some(measured) = measured.filter(|_| m.reply.is_empty()) {
            latency::failed(shard, link, *measured, Failure::BadRequest);
        }
        None
    };
    let reply = match &awaited {
        Some(awaited) => &awaited.subject[..],
        None => m.reply,
    };
    let via = Via { link, info: Some(&info), share, before: m.via };
    let crossed = Message {
        subject: if m.subject == m.to { to } else { m.subject },
        to,
        reply,
        headers: &headers,
        size_text: (b"", b""),
        via: Some(&via),
        trace,
        ..*m
    };
    let done = shard.route_to(&link.exporter, &crossed, origin);
    routed.fullest = routed.fullest.max(done.fullest);
    let told_only = trace.is_some_and(|t| t.only);
    if (done.delivered == 0 || told_only)
        && let Some(awaited) = awaited
    {
        responses::cancel(shard, &link.exporter, &awaited.token);
    }
    done.delivered > 0
}

/// Headers of a request as the exporter will see them.
fn headers(shard: &Shard, link: &Link, m: &Message<'_>, info: &ClientInfo) -> Option<Bytes> {
    let json = serde_json::to_vec(info).ok()?;
    let headers = Headers::new(m.headers).set(HEADER, &json);
    Some(match m.trace {
        None => headers,
        Some(_) if link.import.export.allow_trace => {
            let nowhere = responses::nowhere(shard, &link.exporter);
            Headers::new(&headers).set(crate::trace::DEST, &nowhere)
        }
        Some(_) => crate::trace::untold(&headers),
    })
}

/// The requester as the exporter will see it.
fn who_asks(
    shard: &Shard,
    link: &Link,
    importer: &AccountState,
    m: &Message<'_>,
    origin: Origin<'_>,
    share: bool,
) -> ClientInfo {
    let server = &shard.server;
    let to_system = server.is_system(&link.exporter);
    match m.via.and_then(|v| v.info) {
        Some(first) => {
            let mut info = first.clone();
            info.svc.clone_from(&importer.name);
            if !share && (link.import.share || to_system) {
                info.server.clone_from(&server.name);
            }
            info
        }
        None => {
            let mut info = info::of(server, importer, origin, share);
            if !share && to_system {
                info.server.clone_from(&server.name);
            }
            info
        }
    }
}
