//! TLS of the listeners: settings made from the configuration, sessions, and
//! the handshake.
//!
//! rustls 0.23 with ring as provider, which is always handed over explicitly.
//! Not supported, and said at start where it is configured: cipher suites
//! without AEAD or forward secrecy, curve P-521 and post-quantum key exchange,
//! stapling of OCSP answers; `ocsp_peer`, a check that would be missed, is
//! refused.

use gust_config::Options;
use gust_config::options::tls::TlsOptions;
use rustls::ServerConfig;
use std::sync::Arc;

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
        tls.map(|tls| TlsSettings::build(tls, name, &mut warnings).map(Arc::new)).transpose()
    };
    let clients = build("tls", options.tls.as_ref())?;
    let websocket = build("websocket tls", options.websocket.tls.as_ref())?;
    Ok(Prepared { clients, websocket, warnings })
}

impl TlsState {
    /// Puts `prepared` in force for new connections.
    pub fn install(&self, prepared: Prepared) {
        for w in &prepared.warnings {
            tracing::warn!("{w}");
        }
        self.clients.store(prepared.clients);
        self.websocket.store(prepared.websocket);
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
