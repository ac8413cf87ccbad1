//! Flags over the options of a file. Applied after every reading of the file, so that flags still
//! win after a reload.

use super::flags::Flags;
use crate::options::Options;
use crate::options::authorization::Authorization;
use crate::options::cluster::ClusterOptions;
use crate::options::listen::split_host_port;
use crate::options::tls::TlsOptions;
use crate::options::validate::StartError;
use crate::url::Url;

impl Options {
    /// Lets flags override what the file says. Errors end the start with exit code 1.
    pub fn apply_cli(&mut self, flags: &Flags) -> Result<(), StartError> {
        set(&mut self.listen.host, &flags.addr);
        set(&mut self.listen.port, &flags.port);
        set(&mut self.server_name, &flags.name);
        set(&mut self.client_advertise, &flags.client_advertise);
        set(&mut self.pid_file, &flags.pid);
        set(&mut self.ports_file_dir, &flags.ports_file_dir);
        set(&mut self.http.port, &flags.http_port);
        set(&mut self.http.tls_port, &flags.https_port);
        set(&mut self.profile_port, &flags.profile);
        set(&mut self.authorization.user, &flags.user);
        set(&mut self.authorization.pass, &flags.pass);
        set(&mut self.authorization.token, &flags.auth);
        set(&mut self.jetstream.enabled, &flags.jetstream);
        set(&mut self.jetstream.store_dir, &flags.store_dir);
        self.apply_log_flags(flags);
        self.apply_tls_flags(flags)?;
        self.apply_cluster_flags(flags)
    }

    fn apply_log_flags(&mut self, flags: &Flags) {
        let log = &mut self.log;
        set(&mut log.file, &flags.log);
        set(&mut log.time, &flags.logtime);
        set(&mut log.time_utc, &flags.logtime_utc);
        set(&mut log.syslog, &flags.syslog);
        set(&mut log.remote_syslog, &flags.remote_syslog);
        set(&mut log.size_limit, &flags.log_size_limit);
        set(&mut log.max_traced_msg_len, &flags.max_traced_msg_len);
        set(&mut log.debug, &flags.debug);
        set(&mut log.trace, &flags.trace);
        // The combined flags count last, the wider ones after the narrower.
        set(&mut log.debug, &flags.debug_trace);
        set(&mut log.trace, &flags.debug_trace);
        set(&mut log.debug, &flags.debug_verbose_trace);
        for wide in [&flags.debug_verbose_trace, &flags.verbose_trace] {
            set(&mut log.trace, wide);
            set(&mut log.trace_verbose, wide);
        }
    }

    /// `--tls=false` turns TLS off; any other TLS flag replaces the block of the file.
    fn apply_tls_flags(&mut self, flags: &Flags) -> Result<(), StartError> {
        let any = flags.tls.is_some()
            || flags.tlsverify.is_some()
            || flags.tlscert.is_some()
            || flags.tlskey.is_some()
            || flags.tlscacert.is_some();
        if !any {
            return Ok(());
        }
        self.tls_from_flags = true;
        if flags.tls == Some(false) {
            self.tls = None;
            return Ok(());
        }
        let path = |flag: &Option<String>| flag.clone().unwrap_or_default();
        let tls = TlsOptions {
            cert_file: path(&flags.tlscert),
            key_file: path(&flags.tlskey),
            ca_file: path(&flags.tlscacert),
            verify: flags.tlsverify.unwrap_or(false),
            ..TlsOptions::default()
        };
        if tls.cert_file.is_empty() {
            return fail("TLS Server certificate must be present and valid");
        }
        if tls.key_file.is_empty() {
            return fail("TLS Server private key must be present and valid");
        }
        self.tls = Some(tls);
        Ok(())
    }

    fn apply_cluster_flags(&mut self, flags: &Flags) -> Result<(), StartError> {
        let cluster = &mut self.cluster;
        set(&mut cluster.name, &flags.cluster_name);
        set(&mut cluster.advertise, &flags.cluster_advertise);
        set(&mut cluster.no_advertise, &flags.no_advertise);
        set(&mut cluster.connect_retries, &flags.connect_retries);
        if let Some(listen) = &flags.cluster {
            listen_url(cluster, listen)?;
        }
        let Some(routes) = &flags.routes else { return Ok(()) };
        cluster.routes.clear();
        if routes.is_empty() {
            return Ok(());
        }
        for route in routes.split(',') {
            match Url::parse(route) {
                Some(url) => cluster.routes.push(url),
                None => return fail(format!("error parsing route url [{:?}]", route.trim())),
            }
        }
        let listening = flags.cluster.as_ref().is_some_and(|listen| !listen.is_empty())
            || !cluster.listen.host.is_empty()
            || cluster.listen.is_set();
        if listening {
            Ok(())
        } else {
            fail("solicited routes require cluster capabilities, e.g. --cluster")
        }
    }
}

/// `--cluster nats://[user:pass@]host:port`; an empty one turns the listener off.
fn listen_url(cluster: &mut ClusterOptions, text: &str) -> Result<(), StartError> {
    if text.is_empty() {
        cluster.listen.port = 0;
        return Ok(());
    }
    // A URL has no negative port, so the sign for "any" is taken off before it is parsed.
    let any_port = text.strip_suffix(":-1");
    let parseable = any_port.map_or_else(|| text.to_owned(), |base| format!("{base}:0"));
    let Some(url) = Url::parse(&parseable) else { return fail("missing port in address") };
    let address = url.raw.split_once("://").map_or("", |(_, rest)| rest);
    let address = address.split('/').next().unwrap_or_default();
    let address = address.rsplit('@').next().unwrap_or_default();
    if split_host_port(address).is_none() {
        return fail(format!("address {address}: missing port in address"));
    }
    let Some(port) = url.port else { return fail("expected integer") };
    cluster.listen.host = url.host;
    cluster.listen.port = if any_port.is_some() { -1 } else { i64::from(port) };
    let auth: &mut Authorization = &mut cluster.authorization;
    match (url.user, url.password) {
        (Some(_), None) => return fail("expected cluster password to be set"),
        (user, pass) => {
            auth.user = user.unwrap_or_default();
            auth.pass = pass.unwrap_or_default();
        }
    }
    Ok(())
}

fn set<T: Clone>(field: &mut T, flag: &Option<T>) {
    if let Some(value) = flag {
        field.clone_from(value);
    }
}

fn fail(reason: impl Into<String>) -> Result<(), StartError> {
    Err(StartError(reason.into()))
}
