//! The values of everything that was not given.

use super::cluster::{Compression, DEFAULT_POOL_SIZE};
use super::listen::Listen;
use super::tls::{DEFAULT_TLS_TIMEOUT_NS, TlsOptions};
use super::{ConnectionLimits, Options};
use crate::duration::{MINUTE_NS, SECOND_NS};

/// Client port.
pub const DEFAULT_PORT: i64 = 4222;
/// Address to bind.
pub const DEFAULT_HOST: &str = "0.0.0.0";
/// Port of leafnode listeners that remotes dial.
pub const DEFAULT_LEAFNODE_PORT: u16 = 7422;
/// Time to log in, without TLS.
pub const DEFAULT_AUTH_TIMEOUT_NS: i64 = 2 * SECOND_NS;
/// `max_payload` above this earns a warning in the log.
pub const LARGE_PAYLOAD: i64 = 8 << 20;

impl Options {
    /// Fills in what neither file nor flags gave. Ports of -1 stay: they mean any free port.
    pub fn apply_defaults(&mut self) {
        default_text(&mut self.listen.host, DEFAULT_HOST);
        if self.listen.port == 0 {
            self.listen.port = DEFAULT_PORT;
        }
        let host = self.listen.host.clone();
        default_text(&mut self.http.host, &host);
        self.http.base_path = base_path(&self.http.base_path);
        self.limits.apply_defaults();
        default_number(&mut self.connect_error_reports, 3600);
        default_number(&mut self.reconnect_error_reports, 1);
        default_tls(self.tls.as_mut());
        default_number(&mut self.authorization.timeout_ns, login_timeout(self.tls.as_ref()));
        self.jetstream.apply_defaults();
        self.cluster_defaults();
        self.gateway_defaults();
        self.leafnode_defaults();
        for (listen, tls) in [
            (&mut self.websocket.listen, self.websocket.tls.as_mut()),
            (&mut self.mqtt.listen, self.mqtt.tls.as_mut()),
        ] {
            default_listen(listen);
            default_tls(tls);
        }
    }

    fn cluster_defaults(&mut self) {
        let system = self.system_account_name().map(str::to_owned);
        let cluster = &mut self.cluster;
        if !cluster.listen.is_set() {
            return;
        }
        default_listen(&mut cluster.listen);
        default_tls(cluster.tls.as_mut());
        let timeout = login_timeout(cluster.tls.as_ref());
        default_number(&mut cluster.authorization.timeout_ns, timeout);
        default_number(&mut cluster.pool_size, DEFAULT_POOL_SIZE);
        if let (1.., Some(system)) = (cluster.pool_size, system)
            && !cluster.accounts.contains(&system)
        {
            cluster.accounts.push(system);
        }
        default_compression(&mut cluster.compression, "accept");
    }

    fn gateway_defaults(&mut self) {
        let gateway = &mut self.gateway;
        if gateway.listen.is_set() {
            default_listen(&mut gateway.listen);
            default_tls(gateway.tls.as_mut());
            let timeout = login_timeout(gateway.tls.as_ref());
            default_number(&mut gateway.authorization.timeout_ns, timeout);
        }
    }

    fn leafnode_defaults(&mut self) {
        let leaf = &mut self.leafnodes;
        default_number(&mut leaf.reconnect_ns, SECOND_NS);
        if leaf.listen.is_set() {
            default_listen(&mut leaf.listen);
            default_tls(leaf.tls.as_mut());
            let timeout = login_timeout(leaf.tls.as_ref());
            default_number(&mut leaf.authorization.timeout_ns, timeout);
            default_compression(&mut leaf.compression, "s2_auto");
        }
        for remote in &mut leaf.remotes {
            for url in &mut remote.urls {
                url.port.get_or_insert(DEFAULT_LEAFNODE_PORT);
            }
            default_compression(&mut remote.compression, "s2_auto");
            default_tls(remote.tls.as_mut());
            if remote.first_info_timeout_ns <= 0 {
                remote.first_info_timeout_ns = SECOND_NS;
            }
        }
    }
}

impl ConnectionLimits {
    fn apply_defaults(&mut self) {
        for (value, default) in [
            (&mut self.max_connections, 65_536),
            (&mut self.max_control_line, 4096),
            (&mut self.max_payload, 1 << 20),
            (&mut self.max_pending, 64 << 20),
            (&mut self.ping_interval_ns, 2 * MINUTE_NS),
            (&mut self.ping_max, 2),
            (&mut self.write_deadline_ns, 10 * SECOND_NS),
            (&mut self.lame_duck_duration_ns, 2 * MINUTE_NS),
            (&mut self.lame_duck_grace_period_ns, 10 * SECOND_NS),
            (&mut self.max_closed_clients, 10_000),
        ] {
            default_number(value, default);
        }
    }
}

fn default_number(value: &mut i64, default: i64) {
    if *value == 0 {
        *value = default;
    }
}

fn default_text(value: &mut String, default: &str) {
    if value.is_empty() {
        default.clone_into(value);
    }
}

fn default_listen(listen: &mut Listen) {
    if listen.is_set() {
        default_text(&mut listen.host, DEFAULT_HOST);
    }
}

fn default_tls(tls: Option<&mut TlsOptions>) {
    if let Some(tls) = tls {
        default_number(&mut tls.timeout_ns, DEFAULT_TLS_TIMEOUT_NS);
    }
}

fn default_compression(compression: &mut Compression, mode: &str) {
    default_text(&mut compression.mode, mode);
}

/// Time to log in: with TLS a second more than the handshake may take.
fn login_timeout(tls: Option<&TlsOptions>) -> i64 {
    tls.map_or(DEFAULT_AUTH_TIMEOUT_NS, |tls| tls.timeout_ns.saturating_add(SECOND_NS))
}

/// One leading slash, none trailing, nothing doubled.
fn base_path(written: &str) -> String {
    let parts: Vec<&str> =
        written.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}
