//! TLS of the listeners: settings made from the configuration, sessions, and
//! the handshake.
//!
//! rustls 0.23 with ring as provider, which is always handed over explicitly.
//! Not supported, and said at start where it is configured: cipher suites
//! without AEAD or forward secrecy, curve P-521 and post-quantum key exchange.

use crate::ocsp::peer::REFUSED;
use crate::ocsp::{Cache, Staple};
use crate::server::Server;
use crate::system;
use gust_config::Options;
use gust_config::options::ocsp::OcspCache;
use gust_config::options::tls::TlsOptions;
use std::sync::Arc;
use tokio::sync::Notify;

pub mod facts;
pub mod files;
pub mod handshake;
pub mod rate;
pub mod session;
pub mod settings;
pub mod suites;

pub use facts::TlsFacts;
pub use session::Tls;
pub use settings::TlsSettings;

/// TLS of the client listener and the HTTPS monitor, both from the `tls` block.
#[derive(Debug, Default)]
pub struct TlsState {
    clients: arc_swap::ArcSwapOption<TlsSettings>,
    websocket: arc_swap::ArcSwapOption<TlsSettings>,
    /// OCSP answers about the certificates of clients.
    pub statuses: Cache,
    /// The settings are others.
    changed: Notify,
    /// A certificate is revoked with which the server must not go on.
    revoked: Notify,
}

/// Settings that were built and are not in force yet.
#[derive(Debug)]
pub struct Prepared {
    clients: Option<Arc<TlsSettings>>,
    websocket: Option<Arc<TlsSettings>>,
    ocsp_cache: Option<OcspCache>,
    /// It was configured and not only implied.
    cache_on_disk: bool,
    /// What is configured and cannot be done, for the log.
    pub warnings: Vec<String>,
}

/// Reads all files that `options` name. A reload calls this before it changes
/// anything, so that a bad file leaves everything as it was.
pub fn prepare(options: &Options) -> Result<Prepared, String> {
    let mut warnings = Vec::new();
    let mut build = |name, tls: Option<&TlsOptions>| {
        tls.map(|tls| TlsSettings::build(tls, name, options, &mut warnings).map(Arc::new))
            .transpose()
    };
    let clients = build("tls", options.tls.as_ref())?;
    let websocket = build("websocket tls", options.websocket.tls.as_ref())?;
    let checks = |t: &Option<Arc<TlsSettings>>| t.as_ref().is_some_and(|t| t.ocsp_peer.is_some());
    let ocsp_cache = (checks(&clients) || checks(&websocket))
        .then(|| options.ocsp_cache.clone().unwrap_or_default());
    let cache_on_disk = options.ocsp_cache.is_some();
    Ok(Prepared { clients, websocket, ocsp_cache, cache_on_disk, warnings })
}

impl Prepared {
    fn staples(&self) -> Vec<Arc<Staple>> {
        staples(&[&self.clients, &self.websocket])
    }

    /// Gets the OCSP statuses that the certificates need, those `in_force` has or
    /// the disk keeps without asking anybody. Blocks; not for a thread that runs
    /// tasks.
    pub fn obtain_staples(&self, in_force: Option<&TlsState>) -> Result<(), String> {
        let staples = self.staples();
        if staples.is_empty() {
            return Ok(());
        }
        let before = in_force.map(TlsState::staples).unwrap_or_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| format!("OCSP: {e}"))?;
        runtime.block_on(async {
            for staple in staples {
                staple.obtain(&before).await?;
            }
            Ok(())
        })
    }
}

fn staples(settings: &[&Option<Arc<TlsSettings>>]) -> Vec<Arc<Staple>> {
    settings.iter().filter_map(|s| s.as_ref()).flat_map(|s| s.staples.iter().cloned()).collect()
}

impl TlsState {
    /// Puts `prepared` in force for new connections.
    pub fn install(&self, prepared: Prepared) {
        for w in &prepared.warnings {
            tracing::warn!("{w}");
        }
        if !prepared.staples().is_empty() {
            tracing::info!("OCSP Stapling enabled for Client connections");
        }
        if prepared.ocsp_cache.is_some() {
            let kind = if prepared.ocsp_cache.as_ref().is_some_and(|c| c.local) {
                "local"
            } else {
                "none"
            };
            tracing::info!("OCSP peer cache online, type [{kind}]");
        }
        self.statuses.configure(prepared.ocsp_cache, prepared.cache_on_disk);
        self.clients.store(prepared.clients);
        self.websocket.store(prepared.websocket);
        self.changed.notify_one();
    }

    /// Statuses in force.
    pub fn staples(&self) -> Vec<Arc<Staple>> {
        staples(&[&self.clients(), &self.websocket()])
    }

    /// Resolves when other settings are in force.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Tells that the server has to stop because its certificate is revoked.
    pub fn revoked(&self) {
        self.revoked.notify_one();
    }

    /// Resolves when the server has to stop because its certificate is revoked.
    pub async fn until_revoked(&self) {
        self.revoked.notified().await;
    }

    /// TLS of the client listener; `None`: plain TCP.
    pub fn clients(&self) -> Option<Arc<TlsSettings>> {
        self.clients.load_full()
    }

    /// TLS of the WebSocket listener; `None`: plain HTTP.
    pub fn websocket(&self) -> Option<Arc<TlsSettings>> {
        self.websocket.load_full()
    }
}

/// TLS for one connection to the HTTPS monitor of `server`. Its clients show no
/// certificate, unless those of clients are checked for revocation: then they do.
pub fn for_monitor(server: &Arc<Server>) -> Option<gust_admin::http::Tls> {
    let settings = server.tls.clients()?;
    if settings.ocsp_peer.is_none() {
        let config = settings.without_client_auth.clone();
        return Some(gust_admin::http::Tls { config, check: None });
    }
    let (config, server) = (settings.config.clone(), server.clone());
    let check: gust_admin::http::PeerCheck = Box::new(move |chain| {
        Box::pin(async move {
            let Some(check) = &settings.ocsp_peer else { return Ok(()) };
            let result = check.check(&chain, &server.tls.statuses).await;
            result.map_err(|invalid| {
                let reason = format!("{REFUSED}: {}", invalid.reason);
                // Events leave from a shard; nobody waits for this one.
                drop(server.call(0, move |shard| system::ocsp::rejected(shard, &invalid)));
                reason
            })
        })
    });
    Some(gust_admin::http::Tls { config, check: Some(check) })
}
