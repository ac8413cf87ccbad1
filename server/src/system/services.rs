//! Requests the server answers by itself: `$SYS.REQ.…` in the system account and
//! the few that every account has (contract/monitoring.md §2).

use super::reply::{self, Answer};
use super::request::{self, selects, text};
use super::{account_services, claims, one_client, options, process};
use super::{statsz, subscribers, user_info};
use crate::account::AccountState;
use crate::client::Client;
use crate::exchange::service::Via;
use crate::monitor::{accountz, connz, healthz, jsz, subsz, topology, varz};
use crate::route::{Message, Origin, OwnedMessage};
use crate::server::Server;
use crate::shard::Shard;
use crate::subscription::{Service, Subscription, Target};
use bytes::Bytes;
use serde_json::{Value, json};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What every server answers, asked by its id or all at once (`PING`).
const SERVER: &[&str] = &[
    "IDZ",
    "STATSZ",
    "VARZ",
    "SUBSZ",
    "CONNZ",
    "ROUTEZ",
    "GATEWAYZ",
    "LEAFZ",
    "ACCOUNTZ",
    "JSZ",
    "HEALTHZ",
    "PROFILEZ",
    "EXPVARZ",
    "IPQUEUESZ",
    "RAFTZ",
];
/// What is asked of one server only.
const ONE_SERVER: &[&str] = &["KICK", "LDM", "RELOAD"];
/// Other subjects of the system account.
const SYSTEM: &[&str] = &[
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.ACCOUNT.NSUBS",
    "$SYS.REQ.USER.INFO",
    "$SYS.DEBUG.SUBSCRIBERS",
];
/// Subjects every other account can ask.
const EVERYBODY: &[&str] = &[
    "$SYS.REQ.USER.INFO",
    "$SYS.REQ.SERVER.PING.CONNZ",
    "$SYS.REQ.ACCOUNT.PING.CONNZ",
    "$SYS.REQ.ACCOUNT.PING.STATZ",
];

/// Subscribes the services of all accounts.
pub fn start(server: &Arc<Server>) {
    for account in server.accounts.all() {
        open(server, &account);
    }
}

/// Services of one account that come and go while it is served.
#[derive(Debug, Default)]
pub struct Open(Vec<(Service, Arc<Subscription>)>);

/// Subscribes the services of one account, and drops those that a reload took
/// away. For accounts that come up while the server runs, and after each change.
pub fn open(server: &Server, account: &AccountState) {
    let mut services = account.services.lock();
    if services.is_none() {
        open_lasting(server, account);
    }
    let Open(open) = services.get_or_insert_default();
    let wanted = changing(server, account);
    let is = |sub: &Subscription, subject: &str, queue: &str| {
        *sub.subject == *subject.as_bytes() && *sub.queue == *queue.as_bytes()
    };
    open.retain(|(service, sub)| {
        let stays = wanted.iter().any(|(of, s, q)| of == service && is(sub, s, q));
        if !stays {
            sub.closed.store(true, Relaxed);
            account.interest.remove(&sub.subject, &sub.queue, sub.id);
            server.stats.subscriptions.fetch_sub(1, Relaxed);
        }
        stays
    });
    for (service, subject, queue) in wanted {
        if !open.iter().any(|(of, sub)| *of == service && is(sub, subject, queue)) {
            open.push((service, add(server, account, subject.to_owned(), queue, service)));
        }
    }
}

/// What depends on the kind of resolver and on whether there is JetStream.
fn changing(server: &Server, account: &AccountState) -> Vec<(Service, &'static str, &'static str)> {
    let resolver = server.resolver.get().filter(|_| server.is_system(account));
    let claims = resolver.map_or(&[][..], |r| claims::subjects(r));
    let mut all: Vec<_> = claims.iter().map(|(s, q)| (Service::Claims, *s, *q)).collect();
    if server.jetstream.get().is_some() {
        all.push((Service::JetStreamApi, "$JS.API.>", ""));
    }
    all
}

fn open_lasting(server: &Server, account: &AccountState) {
    let serve = |subject: String| {
        add(server, account, subject, "", Service::System);
    };
    if !server.is_system(account) {
        EVERYBODY.iter().for_each(|subject| serve((*subject).to_owned()));
        return;
    }
    let id = server.id.as_str();
    let servers = SERVER.iter().flat_map(|name| {
        [format!("$SYS.REQ.SERVER.PING.{name}"), format!("$SYS.REQ.SERVER.{id}.{name}")]
    });
    let one = ONE_SERVER.iter().map(|name| format!("$SYS.REQ.SERVER.{id}.{name}"));
    let accounts = account_services::NAMES.iter().map(|name| format!("$SYS.REQ.ACCOUNT.*.{name}"));
    let others = SYSTEM.iter().map(|subject| (*subject).to_owned());
    servers.chain(one).chain(accounts).chain(others).for_each(serve);
}

fn add(
    server: &Server,
    account: &AccountState,
    subject: String,
    queue: &'static str,
    service: Service,
) -> Arc<Subscription> {
    let (subject, queue) = (Bytes::from(subject), Bytes::from_static(queue.as_bytes()));
    let sub = Arc::new(Subscription {
        subject: subject.clone(),
        queue: queue.clone(),
        sid: Bytes::new(),
        id: server.next_sub_id(),
        target: Target::Service(service),
        max: AtomicU64::new(0),
        delivered: AtomicU64::new(0),
        closed: AtomicBool::new(false),
        filter: Default::default(),
    });
    account.interest.insert(&subject, &queue, sub.id, sub.clone());
    server.stats.subscriptions.fetch_add(1, Relaxed);
    sub
}

/// Whether somebody asks, and not only has answers sent here: who may choose where
/// those go (a reply subject, a deliver subject, a republished one) need not be
/// allowed to ask.
fn is_request(m: &Message<'_>, of_client: bool) -> bool {
    let delivered = !of_client && (m.reply.is_empty() || m.reply.starts_with(b"$JS.ACK."));
    !delivered && !m.via.is_some_and(Via::is_answer)
}

/// A request to one of the services. False: it counts as not delivered.
pub fn call(
    shard: &Shard,
    service: Service,
    account: &Arc<AccountState>,
    m: &Message<'_>,
    origin: Origin<'_>,
) -> bool {
    let client = match origin {
        Origin::Client(c) => Some(c.clone()),
        Origin::Server => None,
    };
    let Some(shard) = shard.this() else { return false };
    if !is_request(m, client.is_some()) || account.exchange.services.hides(m.to) {
        return false;
    }
    match service {
        Service::JetStreamApi => {
            crate::jetstream::api::request(&shard, account, m.to_owned_message(), client)
        }
        Service::Claims => {
            claims::call(shard, account.clone(), m.to_owned_message());
            true
        }
        Service::System => {
            let (account, m) = (account.clone(), m.to_owned_message());
            tokio::task::spawn_local(handle(shard, account, m, client));
            true
        }
    }
}

async fn handle(
    shard: Rc<Shard>,
    account: Arc<AccountState>,
    m: OwnedMessage,
    client: Option<Arc<Client>>,
) {
    let subject = String::from_utf8_lossy(&m.subject).into_owned();
    if m.reply.is_empty() {
        // Only statistics can be had without saying where to.
        if shard.server.is_system(&account) && is_statsz(&subject) {
            statsz::asked(&shard).await;
        }
        return;
    }
    if let Some(answer) = answer(&shard.server, &account, &subject, &m, client.as_deref()).await {
        reply::send(&shard, &account, &m, answer);
    }
}

fn is_statsz(subject: &str) -> bool {
    subject == "$SYS.REQ.SERVER.PING"
        || (subject.starts_with("$SYS.REQ.SERVER.") && subject.ends_with(".STATSZ"))
}

async fn answer(
    server: &Arc<Server>,
    account: &AccountState,
    subject: &str,
    m: &OwnedMessage,
    client: Option<&Client>,
) -> Option<Answer> {
    match subject {
        "$SYS.REQ.USER.INFO" => {
            return Some(Answer::Plain(user_info::user_info(server, &account.name, client)));
        }
        "$SYS.DEBUG.SUBSCRIBERS" => {
            return Some(Answer::bare(&subscribers::debug(account, &m.payload)));
        }
        _ => {}
    }
    let mut tokens = subject.strip_prefix("$SYS.REQ.")?.split('.');
    let (what, about, name) = (tokens.next()?, tokens.next()?, tokens.next().unwrap_or("STATSZ"));
    let o = match options::read(name, &m.payload) {
        // Who asks for ids asks everybody, whatever else is said.
        _ if name == "IDZ" => json!({}),
        Ok(o) => o,
        // What servers ask each other is answered or not.
        Err(_) if about == "NSUBS" || name == "CONNS" => return None,
        Err(description) => return Some(Answer::Failed { code: 400, description }),
    };
    if !server.is_system(account) {
        let own = selects(server, &o).then(|| of_own_account(server, account, name, &o));
        return own.flatten();
    }
    match (what, about) {
        ("ACCOUNT", "NSUBS") => {
            subscribers::of_account(server, &o).map(|count| Answer::bare(&count))
        }
        _ if name != "CONNS" && !selects(server, &o) => None,
        ("ACCOUNT", "PING") if name == "STATZ" => statz(server, &o),
        ("ACCOUNT", asked) => account_services::answer(server, asked, name, &o).await,
        _ => of_server(server, name, &o).await,
    }
}

/// Ordinary accounts only ever see themselves.
fn of_own_account(
    server: &Server,
    account: &AccountState,
    name: &str,
    o: &Value,
) -> Option<Answer> {
    let own = &account.name;
    match name {
        "CONNZ" => Some(connz::connz(server, &request::connz(o, own)).into()),
        "STATZ" => Some(Answer::Data(accountz::accstatz(server, true, std::slice::from_ref(own)))),
        _ => None,
    }
}

/// Accounts with connections here, or those named; silent if there is none.
fn statz(server: &Server, o: &Value) -> Option<Answer> {
    let names = o["accounts"].as_array().map_or(&[][..], Vec::as_slice);
    let names: Vec<String> =
        names.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect();
    account_services::statz(server, request::flag(o, "include_unused"), &names)
}

async fn of_server(server: &Arc<Server>, name: &str, o: &Value) -> Option<Answer> {
    Some(match name {
        "STATSZ" => Answer::bare(&statsz::statsz(server).await),
        "IDZ" => {
            let host = server.options.load().listen.host.clone();
            Answer::bare(&json!({ "name": server.name, "host": host, "id": server.id }))
        }
        "KICK" => one_client::kick(server, o),
        "LDM" => one_client::lame_duck(server, o),
        "RELOAD" => super::reload::answer(server, request::flag(o, "dry_run")).await,
        "VARZ" => Answer::Data(varz::varz(server).await),
        "CONNZ" => connz::connz(server, &request::connz(o, "")).into(),
        "SUBSZ" => subsz::subsz(server, &request::subsz(o)).into(),
        "ACCOUNTZ" => accountz::accountz(server, text(o, "account")).into(),
        "ROUTEZ" => Answer::Data(topology::routez(server)),
        "GATEWAYZ" => Answer::Data(topology::gatewayz(server)),
        "LEAFZ" => Answer::Data(topology::leafz(server)),
        "JSZ" => jsz::jsz(server, &jsz::Options::from_json(o)).await.into(),
        "HEALTHZ" => {
            let h = healthz::healthz(server, &healthz::Options::from_json(o)).await;
            let mut body = h.body;
            body["status_code"] = h.code.into();
            Answer::Data(body)
        }
        "PROFILEZ" => Answer::Data(process::profilez(text(o, "name"))),
        "EXPVARZ" => Answer::Data(process::expvarz()),
        "IPQUEUESZ" => {
            Answer::Data(process::queues(server, request::flag(o, "all"), text(o, "filter")))
        }
        // No group replicates to other servers yet.
        "RAFTZ" => Answer::Data(json!({})),
        _ => return None,
    })
}
