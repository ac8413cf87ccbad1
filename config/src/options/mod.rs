//! Everything a server can be told by its file, typed.
//!
//! `Options` as read from a file says only what the file says: zero, empty and `None` mean "not
//! given". The server then applies flags (`apply_cli`), defaults (`apply_defaults`) and the checks
//! that concern several fields (`validate_start`), in this order.

use std::collections::{BTreeMap, BTreeSet};

pub mod accounts;
pub mod authorization;
pub mod cluster;
pub mod defaults;
pub mod exchange;
pub mod gateway;
pub mod inactive;
pub mod jetstream;
pub mod leafnodes;
pub mod listen;
pub mod mappings;
pub mod mqtt;
pub mod ocsp;
pub mod permissions;
pub mod reload;
pub mod report;
pub mod tls;
pub(crate) mod top;
pub mod trust;
pub mod users;
pub mod validate;
pub mod websocket;

use accounts::Account;
use authorization::Authorization;
use cluster::{ClusterOptions, WriteTimeout};
use gateway::GatewayOptions;
use jetstream::JetStreamOptions;
use leafnodes::LeafnodeOptions;
use listen::Listen;
use mqtt::MqttOptions;
use ocsp::{Ocsp, OcspCache};
use tls::TlsOptions;
use trust::TrustOptions;
use users::{GLOBAL_ACCOUNT, User};
use websocket::WebsocketOptions;

/// The account of the system unless another is named.
pub const SYSTEM_ACCOUNT: &str = "$SYS";

/// All options of a server. The debug form shows passwords and keys: never log it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Listener for clients; port 0: 4222, -1: any free one.
    pub listen: Listen,
    /// Address announced to clients and peers, or empty.
    pub client_advertise: String,
    /// Name, or empty.
    pub server_name: String,
    /// Lower-case tags.
    pub server_tags: Vec<String>,
    /// Key-value metadata.
    pub server_metadata: BTreeMap<String, String>,
    /// Experimental features.
    pub feature_flags: BTreeMap<String, bool>,
    /// Limits and timers of connections.
    pub limits: ConnectionLimits,
    /// What is logged, and where to.
    pub log: LogOptions,
    /// File for the process id, or empty.
    pub pid_file: String,
    /// Directory for the file with the ports, or empty.
    pub ports_file_dir: String,
    /// Profiling listener; 0: none.
    pub profile_port: i64,
    /// Rate of block profiling.
    pub profile_block_rate: i64,
    /// Monitoring listeners.
    pub http: HttpOptions,
    /// TLS for clients.
    pub tls: Option<TlsOptions>,
    /// `--tls=false` or `--tls` on the command line decided about TLS.
    pub tls_from_flags: bool,
    /// Clients may also connect without TLS.
    pub allow_non_tls: bool,
    /// Stapling.
    pub ocsp: Option<Ocsp>,
    /// Cache of revocation answers.
    pub ocsp_cache: Option<OcspCache>,
    /// Logins of the global account.
    pub authorization: Authorization,
    /// User of clients without credentials, or empty.
    pub no_auth_user: String,
    /// Configured accounts; `$G` is among them only if it has mappings.
    pub accounts: Vec<Account>,
    /// Name of the system account, or empty.
    pub system_account: String,
    /// There is no system account.
    pub no_system_account: bool,
    /// Operator mode.
    pub trust: TrustOptions,
    /// Public keys of trusted proxies.
    pub proxies: Vec<String>,
    /// Connections may begin with a PROXY header.
    pub proxy_protocol: bool,
    /// Failed first connection attempts between reports; 0: default.
    pub connect_error_reports: i64,
    /// Failed later attempts between reports; 0: default.
    pub reconnect_error_reports: i64,
    /// JetStream domain by account, for accounts without JetStream here.
    pub default_js_domain: BTreeMap<String, String>,
    /// JetStream.
    pub jetstream: JetStreamOptions,
    /// Routes.
    pub cluster: ClusterOptions,
    /// Gateways.
    pub gateway: GatewayOptions,
    /// Leafnodes.
    pub leafnodes: LeafnodeOptions,
    /// WebSocket.
    pub websocket: WebsocketOptions,
    /// MQTT.
    pub mqtt: MqttOptions,
}

/// Limits and timers of client connections; 0: default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections; negative: none is let in. (A written 0 is stored as -1.)
    pub max_connections: i64,
    /// Subscriptions per connection; 0 or negative: unlimited.
    pub max_subscriptions: i64,
    /// Tokens in a subscription; 0: unlimited.
    pub max_sub_tokens: u8,
    /// Bytes of a control line.
    pub max_control_line: i64,
    /// Bytes of a payload.
    pub max_payload: i64,
    /// Bytes waiting for a slow client.
    pub max_pending: i64,
    /// Time between pings.
    pub ping_interval_ns: i64,
    /// Unanswered pings before a connection is stale.
    pub ping_max: i64,
    /// Time for a write.
    pub write_deadline_ns: i64,
    /// What happens after it.
    pub write_timeout: WriteTimeout,
    /// Time over which clients are closed in lame duck mode.
    pub lame_duck_duration_ns: i64,
    /// Time before the first is.
    pub lame_duck_grace_period_ns: i64,
    /// Fast producers are not slowed down.
    pub no_fast_producer_stall: bool,
    /// No cache in front of the subscriptions.
    pub no_sublist_cache: bool,
    /// Messages have no headers.
    pub no_header_support: bool,
    /// Closed connections remembered for monitoring.
    pub max_closed_clients: i64,
}

/// Logging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// Debug lines.
    pub debug: bool,
    /// Protocol lines.
    pub trace: bool,
    /// … of the system account too.
    pub trace_verbose: bool,
    /// … with headers only.
    pub trace_headers: bool,
    /// Lines carry the time.
    pub time: bool,
    /// … in UTC.
    pub time_utc: bool,
    /// File, or empty.
    pub file: String,
    /// Bytes after which the file is rotated; 0: never.
    pub size_limit: i64,
    /// Files kept, the current one included; 0: all.
    pub max_files: i64,
    /// To the system log.
    pub syslog: bool,
    /// Address of a remote system log, or empty.
    pub remote_syslog: String,
    /// Bytes of a message shown in traces; 0: all.
    pub max_traced_msg_len: i64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            debug: false,
            trace: false,
            trace_verbose: false,
            trace_headers: false,
            time: true,
            time_utc: false,
            file: String::new(),
            size_limit: 0,
            max_files: 0,
            syslog: false,
            remote_syslog: String::new(),
            max_traced_msg_len: 0,
        }
    }
}

/// Monitoring over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpOptions {
    /// Address to bind; empty: that of the clients.
    pub host: String,
    /// Plain port; 0: none, -1: any free one.
    pub port: i64,
    /// TLS port; 0: none, -1: any free one. Uses the `tls` of the clients.
    pub tls_port: i64,
    /// Path before all endpoints; begins with a slash once defaults are applied.
    pub base_path: String,
}

impl Options {
    /// Every configured user with its account, those of `authorization` (global account) first.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.authorization.users.iter().chain(self.accounts.iter().flat_map(|a| &a.users))
    }

    /// The configured account of this name.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name == name)
    }

    /// The system account's name, unless there is none.
    #[must_use]
    pub fn system_account_name(&self) -> Option<&str> {
        match (self.system_account.is_empty(), self.no_system_account) {
            (false, _) => Some(&self.system_account),
            (true, false) => Some(SYSTEM_ACCOUNT),
            (true, true) => None,
        }
    }

    /// Names of all accounts there will be.
    #[must_use]
    pub fn account_names(&self) -> BTreeSet<&str> {
        let mut names: BTreeSet<&str> = self.accounts.iter().map(|a| a.name.as_str()).collect();
        names.insert(GLOBAL_ACCOUNT);
        if self.system_account.is_empty() && !self.no_system_account {
            names.insert(SYSTEM_ACCOUNT);
        }
        names
    }

    /// The address clients are told, if another one than that of the listener: its host, and its
    /// port if that differs too.
    #[must_use]
    pub fn advertised(&self) -> Option<(String, Option<u16>)> {
        if self.client_advertise.is_empty() {
            return None;
        }
        listen::advertised(&self.client_advertise)
    }

    /// True if clients must present credentials.
    #[must_use]
    pub fn requires_login(&self) -> bool {
        let auth = &self.authorization;
        !auth.user.is_empty()
            || !auth.pass.is_empty()
            || !auth.token.is_empty()
            || auth.auth_callout.is_some()
            || self.users().next().is_some()
            || self.is_operator_mode()
    }

    /// True if users and accounts come from JWTs.
    #[must_use]
    pub fn is_operator_mode(&self) -> bool {
        !self.trust.operators.is_empty() || !self.trust.trusted_keys.is_empty()
    }

    /// Every TLS block with the key that holds it, for a server to load and check the files; an
    /// error belongs at the block's place.
    #[must_use]
    pub fn tls_blocks(&self) -> Vec<(&'static str, &TlsOptions)> {
        let mut blocks: Vec<(&'static str, &TlsOptions)> = Vec::new();
        for (name, tls) in [
            ("tls", &self.tls),
            ("resolver_tls", &self.trust.resolver_tls),
            ("cluster", &self.cluster.tls),
            ("gateway", &self.gateway.tls),
            ("leafnodes", &self.leafnodes.tls),
            ("websocket", &self.websocket.tls),
            ("mqtt", &self.mqtt.tls),
        ] {
            blocks.extend(tls.iter().map(|tls| (name, tls)));
        }
        let gateways = self.gateway.gateways.iter().filter_map(|g| g.tls.as_ref());
        blocks.extend(gateways.map(|tls| ("gateway", tls)));
        let remotes = self.leafnodes.remotes.iter().filter_map(|r| r.tls.as_ref());
        blocks.extend(remotes.map(|tls| ("leafnodes", tls)));
        blocks
    }
}

#[cfg(test)]
mod options_test;
