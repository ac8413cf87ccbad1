//! Where account tokens come from (contract/core.md §4.4): the configuration, a
//! web server, or a directory that changes by requests in the system account
//! (`crate::system::claims`).
//!
//! [`Resolver::fetch`] only finds a text. Whether it is believed is decided by
//! `gust_account`, and putting it in force is `install`'s.

pub mod directory;
#[cfg(test)]
mod directory_test;
pub mod flights;
pub mod in_force;
pub mod index;
pub mod peek;
mod peers;
pub(crate) mod tls;
pub mod url;

use crate::clock;
use crate::server::Server;
use arc_swap::ArcSwap;
use directory::{Directory, DirectoryError};
use flights::{FetchError, Flights, Outcome};
use gust_account::jwt::OperatorClaims;
use gust_config::options::trust::{Resolver as Kind, TrustOptions};
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use url::UrlSource;

/// Time for a lookup unless the configuration says otherwise.
const TIMEOUT: Duration = Duration::from_millis(1900);

/// Where tokens are.
#[derive(Debug)]
pub enum Source {
    /// In the configuration.
    Memory(BTreeMap<String, String>),
    /// On a web server.
    Url(UrlSource),
    /// All in a directory.
    Full(Arc<Directory>),
    /// Some in a directory, the others elsewhere.
    Cache(Arc<Directory>),
}

/// The keys of the first operator: who may delete accounts, and with which keys
/// accounts must be signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorKeys {
    /// Its own public key.
    pub identity: String,
    /// Keys that may act for it.
    pub keys: Vec<String>,
    /// Its own key signs no accounts.
    pub strict: bool,
}

impl OperatorKeys {
    /// What an operator's token says.
    pub fn of(claims: &OperatorClaims) -> OperatorKeys {
        let (identity, nats) = (claims.subject.clone(), &claims.nats);
        let mut keys = nats.signing_keys.clone();
        if !nats.strict_signing_key_usage {
            keys.push(identity.clone());
        }
        OperatorKeys { identity, keys, strict: nats.strict_signing_key_usage }
    }
}

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its directory.
    #[error("account resolver: {0}")]
    Directory(#[from] DirectoryError),
    /// Preloads that nothing can be done with.
    #[error("resolver preloads only available for writeable resolver types MEM/DIR/CACHE_DIR")]
    Preload,
}

/// The source of tokens of a server, and who is asking it.
#[derive(Debug)]
pub struct Resolver {
    source: ArcSwap<Source>,
    operator: OperatorKeys,
    flights: Arc<Flights<Arc<str>>>,
    /// The server serves: changes are told to clients.
    pub started: AtomicBool,
    /// Counts what was stored while the server runs.
    pub changes: AtomicU64,
    /// Held from storing a change to its being in force, so that changes of one
    /// account take effect in the order they were stored.
    pub changing: tokio::sync::Mutex<()>,
}

/// A source that could be opened and is not in use yet.
pub struct Opened {
    source: Source,
    timeout: Duration,
}

impl Opened {
    /// Opens the source `kind`, with TLS for a URL with https; blocks.
    pub fn open(kind: &Kind, options: &TrustOptions) -> Result<Opened, String> {
        let secure = matches!(kind, Kind::Url(url) if url.starts_with("https:"));
        let tls = options.resolver_tls.as_ref();
        let tls = (secure || tls.is_some()).then(|| tls::client_config(tls)).transpose()?;
        Opened::with(kind, options, tls).map_err(|e| e.to_string())
    }

    fn with(
        kind: &Kind,
        options: &TrustOptions,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Opened, OpenError> {
        let (now, preload) = (clock::now(), &options.resolver_preload);
        let mut timeout = TIMEOUT;
        let mut timed = |ns: i64| {
            if ns > 0 {
                timeout = Duration::from_nanos(ns.unsigned_abs());
            }
        };
        let source = match kind {
            Kind::Memory => Source::Memory(preload.clone()),
            Kind::Url(_) if !preload.is_empty() => return Err(OpenError::Preload),
            Kind::Url(base) => Source::Url(UrlSource::new(base, tls)),
            Kind::Full(dir) => {
                timed(dir.timeout_ns);
                Source::Full(Arc::new(Directory::full(dir, now)?))
            }
            Kind::Cache(dir) => {
                timed(dir.timeout_ns);
                Source::Cache(Arc::new(Directory::cache(dir, now)?))
            }
        };
        if let Source::Full(dir) | Source::Cache(dir) = &source {
            for (id, token) in preload {
                if let Err(e) = dir.save_if_newer(id, token, now) {
                    tracing::error!("resolver_preload of {id}: {e}");
                }
            }
            let how_many = if dir.is_cache() { "some" } else { "all" };
            let path = dir.path().display();
            tracing::info!("Managing {how_many} jwt in exclusive directory {path}");
        }
        Ok(Opened { source, timeout })
    }

    /// Looks whether a web server is there: it must answer the bare URL with 200.
    pub async fn check(&self) -> Result<(), FetchError> {
        let Source::Url(source) = &self.source else { return Ok(()) };
        let late = |_| FetchError::new(format!("no answer within {:?}", self.timeout));
        tokio::time::timeout(self.timeout, source.get("")).await.map_err(late)??;
        Ok(())
    }
}

impl Resolver {
    /// With this source.
    pub fn new(Opened { source, timeout }: Opened, operator: OperatorKeys) -> Arc<Resolver> {
        let flights = Flights::new(timeout);
        let changing = tokio::sync::Mutex::default();
        let (started, changes) = (AtomicBool::new(false), AtomicU64::new(0));
        let source = ArcSwap::from_pointee(source);
        Arc::new(Resolver { source, operator, flights, started, changes, changing })
    }

    /// Goes on with another source. What the one before did not have, this may.
    pub fn switch(&self, to: Opened) {
        self.flights.set_timeout(to.timeout);
        self.source.store(Arc::new(to.source));
        self.changes.fetch_add(1, Relaxed);
        self.flights.forget_all();
    }

    /// Time for a lookup.
    pub fn timeout(&self) -> Duration {
        self.flights.timeout()
    }

    /// Who may sign and delete accounts.
    pub fn operator(&self) -> &OperatorKeys {
        &self.operator
    }

    /// The directory, if there is one.
    pub fn directory(&self) -> Option<Arc<Directory>> {
        match &**self.source.load() {
            Source::Full(dir) | Source::Cache(dir) => Some(dir.clone()),
            _ => None,
        }
    }

    /// Whether all there is stands in the configuration.
    pub fn is_memory(&self) -> bool {
        matches!(**self.source.load(), Source::Memory(_))
    }

    /// The token of account `id`, within the time a lookup may take.
    pub async fn fetch(self: &Arc<Self>, server: &Arc<Server>, id: &str) -> Outcome<Arc<str>> {
        if let Source::Memory(all) = &**self.source.load() {
            return all.get(id).map(|t| t.as_str().into()).ok_or_else(|| unknown(id));
        }
        let (resolver, server, name) = (self.clone(), server.clone(), id.to_owned());
        let work = move || async move { resolver.look(&server, &name).await };
        self.flights.get(id, work).await
    }

    async fn look(self: Arc<Self>, server: &Arc<Server>, id: &str) -> Outcome<Arc<str>> {
        if let Source::Url(source) = &*self.source.load_full() {
            return source.get(id).await.map(Into::into);
        }
        let here = self.on_disk({
            let id = id.to_owned();
            move |dir| dir.load(&id, clock::now())
        });
        if let Some(token) = here.await? {
            return Ok(token.into());
        }
        let Some(token) = peers::ask(server, id).await else { return Err(unknown(id)) };
        let token: Arc<str> = token.into();
        // Only well-signed tokens are kept; whoever may answer could send anything.
        if gust_account::jwt::decode_account(&token).is_ok_and(|c| c.subject == id) {
            let (id, token) = (id.to_owned(), token.clone());
            self.on_disk(move |dir| dir.save_if_newer(&id, &token, clock::now())).await?;
        }
        Ok(token)
    }

    /// Runs `work` on a worker: disks take their time.
    pub async fn on_disk<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Directory) -> Result<T, DirectoryError> + Send + 'static,
    ) -> Outcome<T> {
        let resolver = self.clone();
        let done = tokio::task::spawn_blocking(move || match resolver.directory() {
            Some(dir) => work(&dir).map_err(|e| FetchError::new(e.to_string())),
            None => Err(FetchError::new("the resolver has no directory")),
        });
        done.await.unwrap_or_else(|_| Err(FetchError::new("the worker ended")))
    }

    /// An account was stored or deleted: what was found before no longer counts.
    pub fn forget(&self, id: &str) {
        self.changes.fetch_add(1, Relaxed);
        self.flights.forget(id);
    }
}

fn unknown(id: &str) -> FetchError {
    FetchError::new(format!("the account resolver does not know account {id}; push it"))
}

/// Opens the resolver of the configuration, if there is one, and gets what is
/// needed before anybody can log in: an answer of the web server, the token of
/// the system account.
pub fn start(server: &Arc<Server>, runtime: &tokio::runtime::Runtime) -> Result<(), String> {
    let options = server.options.load_full();
    let trust = &options.trust;
    let (true, Some(kind)) = (options.is_operator_mode(), &trust.resolver) else { return Ok(()) };
    let rules = server.rules.load_full();
    let operator = rules.trust().and_then(|t| t.operators.first()).map(OperatorKeys::of);
    let opened = Opened::open(kind, trust)?;
    runtime.block_on(opened.check()).map_err(|e| e.to_string())?;
    let resolver = Resolver::new(opened, operator.unwrap_or_default());
    let _ = server.resolver.set(resolver.clone());
    let system = &server.system_account().name;
    if directory::is_account(system)
        && !resolver.is_memory()
        && let Err(e) = runtime.block_on(in_force::load(server, system))
    {
        tracing::info!("Using bootstrapping system account: {e}");
    }
    Ok(())
}

/// A well-formed account key, for tests.
#[cfg(test)]
pub fn test_key(n: u8) -> String {
    let pair =
        gust_account::nkey::KeyPair::from_random(gust_account::nkey::KeyKind::Account, [n; 32]);
    pair.unwrap().public().to_owned()
}
