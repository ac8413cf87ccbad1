//! From tokens to rules: accounts are put in force when somebody logs in, when a
//! claims request changes them, and taken out when they end.

use super::Resolver;
use super::flights::FetchError;
use crate::client::signal;
use crate::clock;
use crate::rules;
use crate::server::Server;
use gust_account::AccountSet;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::task::JoinSet;

/// How often the end of tokens is looked for: an account's clients are told
/// within this time.
const LOOK: Duration = Duration::from_millis(250);
/// How long an ended account stays known, so that its clients learn what
/// happened. After that a login asks the resolver for a new token.
const LINGER_SECONDS: i64 = 2;
/// Accounts loaded because others import from them, for one login.
const MOST_EXPORTERS: usize = 256;
/// Lookups under way while the server starts.
const AT_ONCE: usize = 16;
const SECOND: i64 = 1_000_000_000;

/// Whether the account is known to the rules.
pub fn is_loaded(server: &Server, id: &str) -> bool {
    server.rules.load().account(id).is_some()
}

fn has_token(server: &Server, id: &str) -> bool {
    server.rules.load().account(id).is_some_and(|a| a.token.is_some())
}

/// Fetches an account and those it imports from, and puts them in force. The
/// time of a lookup bounds the account, and once more all the others.
pub async fn load(server: &Arc<Server>, id: &str) -> Result<(), FetchError> {
    let resolver = server.resolver.get().ok_or_else(|| FetchError::new("no account resolver"))?;
    load_one(server, resolver, id).await?;
    let others = load_exporters(server, resolver, id);
    if tokio::time::timeout(resolver.timeout(), others).await.is_err() {
        tracing::warn!("accounts that {id} imports from could not be fetched in time");
    }
    Ok(())
}

async fn load_one(
    server: &Arc<Server>,
    resolver: &Arc<Resolver>,
    id: &str,
) -> Result<(), FetchError> {
    let before = resolver.changes.load(Relaxed);
    let mut token = resolver.fetch(server, id).await?;
    let _changing = resolver.changing.lock().await;
    if has_token(server, id) {
        return Ok(());
    }
    if resolver.directory().is_some() && resolver.changes.load(Relaxed) != before {
        // Something was stored while we waited for our turn: look again.
        let key = id.to_owned();
        match resolver.on_disk(move |dir| dir.load(&key, clock::now())).await {
            Ok(Some(newer)) => token = newer.into(),
            Ok(None) => return Err(FetchError::new(format!("account {id} was deleted"))),
            Err(_) => {}
        }
    }
    put(server, id, &token)
}

async fn load_exporters(server: &Arc<Server>, resolver: &Arc<Resolver>, id: &str) {
    let mut seen = BTreeSet::from([id.to_owned()]);
    let mut queue = VecDeque::from([id.to_owned()]);
    while let Some(importer) = queue.pop_front() {
        let rules = server.rules.load_full();
        let Some(account) = rules.account(&importer) else { continue };
        for import in &account.imports {
            let exporter = &import.account;
            let known = seen.contains(exporter) || seen.len() > MOST_EXPORTERS;
            if known || has_token(server, exporter) {
                continue;
            }
            seen.insert(exporter.clone());
            match load_one(server, resolver, exporter).await {
                Ok(()) => queue.push_back(exporter.clone()),
                Err(e) => tracing::warn!("account {importer} imports from {exporter}: {e}"),
            }
        }
    }
}

/// Puts a changed token in force if anything here has to do with the account;
/// else it is read when somebody logs in. The caller holds `changing`.
pub async fn update(server: &Arc<Server>, id: &str, token: &str) -> Result<(), FetchError> {
    // An account may be known only by its streams.
    if !is_loaded(server, id) && server.accounts.get(id).is_none() {
        return Ok(());
    }
    let same = |set: &AccountSet| {
        set.account(id).and_then(|a| a.token.as_ref()).is_some_and(|t| *t.jwt == *token)
    };
    if same(&server.rules.load()) {
        return Ok(());
    }
    put(server, id, token)?;
    let (server, id) = (server.clone(), id.to_owned());
    // New imports may need accounts that nobody used so far.
    tokio::spawn(async move {
        if let Some(resolver) = server.resolver.get() {
            load_exporters(&server, resolver, &id).await;
        }
    });
    Ok(())
}

fn put(server: &Arc<Server>, id: &str, token: &str) -> Result<(), FetchError> {
    let now = clock::now() / SECOND;
    let made = server.rules.load().with_account(id, token, now);
    let set = made.map_err(|e| FetchError::new(format!("account {id}: {e}")))?;
    let ended =
        |a: &Arc<gust_account::Account>| a.token.as_ref().is_some_and(|t| t.is_expired(now));
    // An expired system account keeps everybody out; without its token, whoever
    // holds its key could come in to bring one.
    let system = server.system_account().name == id;
    if set.account(id).is_some_and(ended) && !is_loaded(server, id) && !system {
        let text = format!("the JWT of account {id} has expired; push a new one");
        return Err(FetchError::new(text));
    }
    install(server, set, BTreeSet::from([id.to_owned()]));
    Ok(())
}

/// Takes accounts out of force: their clients are cut off, their streams stay.
pub fn remove(server: &Arc<Server>, ids: &[String]) {
    let rules = server.rules.load_full();
    let gone: BTreeSet<String> =
        ids.iter().filter(|id| rules.account(id).is_some()).cloned().collect();
    let now = clock::now() / SECOND;
    let mut set: Option<AccountSet> = None;
    for id in &gone {
        set = Some(set.as_ref().unwrap_or(&rules).without_account(id, now));
    }
    if let Some(set) = set {
        install(server, set, gone);
    }
}

fn install(server: &Arc<Server>, set: AccountSet, changed: BTreeSet<String>) {
    let started = server.resolver.get().is_some_and(|r| r.started.load(Relaxed));
    if started {
        return rules::install_accounts(server, set, &changed);
    }
    // Nobody is connected yet, and services are subscribed once all is there.
    for account in set.accounts() {
        let state = server.accounts.get_or_make(&account.name);
        if server.jetstream.get().is_some() {
            state.jetstream.allow(account);
        }
    }
    server.rules.store(Arc::new(set));
}

/// At start, after streams were recovered: loads the accounts that own streams, so
/// that their limits are in force before anybody logs in. The streams of accounts
/// that cannot be had are kept as they are.
pub async fn load_owners(server: &Arc<Server>) {
    let (Some(js), Some(_)) = (server.jetstream.get(), server.resolver.get()) else { return };
    let owners: BTreeSet<String> = js.assets.all().into_iter().map(|a| a.account).collect();
    // Lookups take their time; JetStream is not to be kept for them.
    drop(js);
    let mut waiting = owners.into_iter().filter(|id| super::directory::is_account(id));
    let mut running = JoinSet::new();
    loop {
        while running.len() < AT_ONCE
            && let Some(id) = waiting.next()
        {
            let server = server.clone();
            running.spawn(async move {
                if !has_token(&server, &id)
                    && let Err(e) = load(&server, &id).await
                {
                    tracing::warn!(
                        "JetStream: the streams of account {id} were recovered, but nobody can \
                         use them: {e}"
                    );
                }
            });
        }
        if running.join_next().await.is_none() {
            return;
        }
    }
}

/// Streams and services are there: from here on changes are told to clients, and
/// the end of tokens is watched for.
pub fn begin(server: &Arc<Server>, runtime: &tokio::runtime::Runtime) {
    if let Some(resolver) = server.resolver.get() {
        resolver.started.store(true, Relaxed);
        runtime.spawn(watch(server.clone()));
    }
}

/// Watches for the end of tokens, and for that of the system account when there
/// is none yet. Runs as long as the server.
async fn watch(server: Arc<Server>) {
    let Some(resolver) = server.resolver.get().cloned() else { return };
    let mut at = Endings::default();
    let mut looks = 0_u32;
    while !server.is_stopped() {
        tokio::time::sleep(LOOK).await;
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(4) {
            bootstrap(&server, &resolver).await;
        }
        if looks.is_multiple_of(40) && resolver.directory().is_some() {
            let aged = resolver.on_disk(|dir| {
                dir.expire(clock::now());
                Ok(())
            });
            let _ = aged.await;
        }
        let rules = server.rules.load_full();
        let now = clock::now() / SECOND;
        at.look(&rules, now);
        if at.imports.is_some_and(|end| end <= now) {
            let _changing = resolver.changing.lock().await;
            install(&server, server.rules.load().with_imports_at(now), BTreeSet::new());
            continue;
        }
        if at.accounts.is_some_and(|end| end <= now) {
            accounts_ended(&server, &resolver, &mut at, now).await;
        }
    }
}

/// Until the token of the system account is there, it is asked for.
async fn bootstrap(server: &Arc<Server>, resolver: &Arc<Resolver>) {
    let system = &server.system_account().name;
    if !resolver.is_memory() && super::directory::is_account(system) && !has_token(server, system) {
        let _ = load_one(server, resolver, system).await;
    }
}

/// Tells the clients of accounts that have ended, and later forgets those.
async fn accounts_ended(
    server: &Arc<Server>,
    resolver: &Arc<Resolver>,
    at: &mut Endings,
    now: i64,
) {
    let rules = server.rules.load_full();
    let ends = |a: &gust_account::Account| a.token.as_ref().map_or(0, |t| t.claims.expires);
    let over = |rules: &AccountSet, seconds: i64| {
        let past = move |a: &&Arc<gust_account::Account>| ends(a) != 0 && ends(a) + seconds <= now;
        rules.accounts().filter(past).map(|a| a.name.to_string()).collect::<BTreeSet<_>>()
    };
    let ended = over(&rules, 0);
    let news: Vec<&String> = ended.difference(&at.told).collect();
    if !news.is_empty() {
        for id in &news {
            tracing::info!("the JWT of account {id} has expired");
        }
        for client in server.clients.all() {
            if ended.contains(&client.facts.lock().account) {
                client.signal(signal::RULES);
            }
        }
    }
    at.told = ended;
    if over(&rules, LINGER_SECONDS).iter().any(|id| *id != server.system_account().name) {
        let _changing = resolver.changing.lock().await;
        // One may have been renewed while we waited.
        let mut forgotten = over(&server.rules.load(), LINGER_SECONDS);
        forgotten.remove(&server.system_account().name);
        remove(server, &forgotten.into_iter().collect::<Vec<_>>());
    }
}

/// What ends next, for the rules that were looked at last.
#[derive(Default)]
struct Endings {
    of: Option<Arc<AccountSet>>,
    accounts: Option<i64>,
    imports: Option<i64>,
    told: BTreeSet<String>,
}

impl Endings {
    fn look(&mut self, rules: &Arc<AccountSet>, _now: i64) {
        if self.of.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, rules)) {
            return;
        }
        let of = |a: &Arc<gust_account::Account>| a.token.as_ref().map(|t| t.claims.expires);
        self.accounts = rules.accounts().filter_map(of).filter(|end| *end != 0).min();
        self.imports = rules.exchange().expires();
        self.of = Some(rules.clone());
    }
}
