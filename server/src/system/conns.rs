//! `$SYS.ACCOUNT.<acc>.SERVER.CONNS` (and its old subject): how many
//! connections an account has here, on every change and now and then.
//!
//! A rush of connections does not become a rush of events: the first change is
//! told at once, what follows is told together after a pause. The pause grows
//! with the work, so that telling never takes more than a twentieth of a core.

use super::event::{self, Head};
use crate::account::AccountState;
use crate::monitor::accountz;
use crate::server::Server;
use crate::shard::Shard;
use parking_lot::Mutex;
use serde::Serialize;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// `type` of the event.
const KIND: &str = "io.nats.server.advisory.v1.account_connections";
/// An account with connections is told about this often.
const EVERY: Duration = Duration::from_secs(30);
/// Least time between two rounds of changes.
const PAUSE: Duration = Duration::from_millis(100);
/// A pause is at least this many times as long as the round before it.
const SHARE: u32 = 20;

/// Accounts whose number of connections changed; each is in here once.
#[derive(Debug, Default)]
pub struct Changed {
    accounts: Mutex<Vec<Arc<AccountState>>>,
    wake: Notify,
}

#[derive(Serialize)]
struct Connections {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    stat: serde_json::Value,
}

/// Notes that the number of connections of `account` changed.
pub fn changed(server: &Server, account: &Arc<AccountState>) {
    if is_global(server, account) || !heard(server, account) {
        return;
    }
    if !account.conns_changed.swap(true, Relaxed) {
        server.conns_changed.accounts.lock().push(account.clone());
        server.conns_changed.wake.notify_one();
    }
}

/// Publishes the events of this server until it stops. Runs on one shard.
pub async fn run(shard: Rc<Shard>) {
    let mut next = tokio::time::Instant::now() + EVERY;
    loop {
        let changed = &shard.server.conns_changed;
        tokio::select! {
            () = changed.wake.notified() => {}
            () = tokio::time::sleep_until(next) => {}
        }
        let began = Instant::now();
        let mut accounts = std::mem::take(&mut *changed.accounts.lock());
        for account in &accounts {
            account.conns_changed.store(false, Relaxed);
        }
        if tokio::time::Instant::now() >= next {
            next = tokio::time::Instant::now() + EVERY;
            let due = shard.server.accounts.all().into_iter().filter(|a| {
                a.connections.load(Relaxed) > 0
                    && !is_global(&shard.server, a)
                    && heard(&shard.server, a)
                    && !accounts.iter().any(|changed| Arc::ptr_eq(changed, a))
            });
            let due: Vec<_> = due.collect();
            accounts.extend(due);
        }
        if !accounts.is_empty() {
            let live = accountz::live_traffic(&shard.server);
            for account in &accounts {
                tell(&shard, account, &live);
            }
            tokio::time::sleep(PAUSE.max(began.elapsed() * SHARE)).await;
        }
    }
}

/// The event's document, which is also an answer.
pub fn document(
    server: &Server,
    account: &AccountState,
    live: &accountz::Live,
) -> impl Serialize + use<> {
    Connections { head: Head::new(server, KIND), stat: accountz::stat(server, account, live) }
}

fn tell(shard: &Shard, account: &AccountState, live: &accountz::Live) {
    for subject in subjects(account) {
        event::publish(shard, &subject, || document(&shard.server, account, live));
    }
}

fn heard(server: &Server, account: &AccountState) -> bool {
    subjects(account).iter().any(|s| event::heard(server, s))
}

fn subjects(account: &AccountState) -> [String; 2] {
    let name = &account.name;
    [format!("$SYS.SERVER.ACCOUNT.{name}.CONNS"), format!("$SYS.ACCOUNT.{name}.SERVER.CONNS")]
}

fn is_global(server: &Server, account: &AccountState) -> bool {
    *account.name == *server.rules.load().global().name
}
