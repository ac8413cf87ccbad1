//! TLS of the listeners: settings made from the configuration, sessions, and
//! the handshake.
//!
//! rustls 0.23 with ring as provider, which is always handed over explicitly.
//! Not supported, and said at start where it is configured: cipher suites
//! without AEAD or forward secrecy, curve P-521 and post-quantum key exchange;
//! `ocsp_peer`, a check that would be missed, is refused.

use crate::ocsp::Staple;
use gust_config::Options;
use gust_config::options::tls::TlsOptions;
use rustls::ServerConfig;
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
    Ok(Prepared { clients, websocket, warnings })
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

    /// TLS of the HTTPS monitor.
    pub fn monitor(&self) -> Option<Arc<ServerConfig>> {
        self.clients.load().as_ref().map(|t| t.without_client_auth.clone())
    }
}
