//! Changing the configuration of a running server (contract/core.md §2.5).
//!
//! All or nothing: the file is read and checked, everything that can fail is
//! built, and only then is all of it put in force. A reload that fails at any
//! point leaves the server as it was.

use crate::clock;
use crate::files::{self, PortsFile};
use crate::log::{Log, LogOptions, PreparedLog};
use crate::run::{self, Loaded};
use crate::server::Server;
use crate::{jetstream, resolver, tls};
use gust_account::AccountSet;
use gust_account::operator::Built;
use gust_config::cli::CliOptions;
use gust_config::options::trust::Resolver;
use gust_config::{Options, ReloadPlan, check_reload};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;

mod connections;
mod tokens;

/// A reading of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// When, ns since the epoch.
    pub at: i64,
    /// `sha256:…` of the file, or empty.
    pub digest: String,
}

/// What a reload needs besides the server.
pub struct Reloader {
    program: String,
    cli: CliOptions,
    log: Log,
    ports: Mutex<Option<PortsFile>>,
    /// One reload at a time.
    busy: Mutex<()>,
}

impl Reloader {
    /// For a process of this name and with these flags: they still win over
    /// the file when it is read again.
    pub fn new(program: &str, cli: &CliOptions, log: &Log) -> Self {
        Self {
            program: program.to_owned(),
            cli: cli.clone(),
            log: log.clone(),
            ports: Mutex::default(),
            busy: Mutex::default(),
        }
    }

    fn read(&self) -> Result<Loaded, String> {
        if self.cli.config_file.is_none() {
            let missing = "can only reload config when a file is provided using -c or --config";
            return Err(missing.to_owned());
        }
        run::load(&self.cli)?.ok_or_else(|| "the server only checks its configuration".to_owned())
    }
}

impl Server {
    /// Keeps the ports file until another takes its place or the server ends.
    pub fn keep_ports_file(&self, file: Option<PortsFile>) {
        if let Some(reloader) = self.reloader.get() {
            *reloader.ports.lock() = file;
        }
    }
}

/// Reads the configuration again and puts it in force. The outcome is logged.
pub async fn reload(server: &Arc<Server>) -> Result<(), String> {
    let had_jetstream = server.jetstream.get().is_some();
    let result = on_worker(server, |server, reloader| {
        let _one = reloader.busy.lock();
        // Tokens that arrive meanwhile would be lost with the rules they change.
        let resolver = server.resolver.get().cloned();
        let _changing = resolver.as_ref().map(|r| r.changing.blocking_lock());
        let prepared = Prepared::new(server, reloader)?;
        prepared.commit(server, reloader);
        Ok(())
    });
    let result = result.await;
    match &result {
        Ok(()) => {
            tokens::look_again(server).await;
            if !had_jetstream && server.jetstream.get().is_some() {
                resolver::in_force::load_owners(server).await;
            }
        }
        Err(e) => {
            tracing::error!("Failed to reload server configuration: {}", e.trim_end());
        }
    }
    result
}

/// What a reload would change now, as `$SYS.REQ.SERVER.<id>.RELOAD` tells it
/// when asked with `dry_run`. Changes nothing.
pub async fn preview(server: &Arc<Server>) -> Result<Value, String> {
    on_worker(server, |server, reloader| {
        let loaded = reloader.read()?;
        rules(server, &loaded.options)?;
        tls::prepare(&loaded.options)?;
        let plan = gust_config::options::reload::plan(&server.options.load(), &loaded.options);
        let mut doc = to_json(&plan);
        doc["config_digest"] = loaded.digest.into();
        Ok(doc)
    })
    .await
}

/// A plan as a document.
pub fn to_json(plan: &ReloadPlan) -> Value {
    let changes: Vec<Value> = plan
        .changes
        .iter()
        .map(|c| {
            let mut change =
                json!({ "name": c.name, "class": c.class.name(), "old": c.old, "new": c.new });
            if !c.option.is_empty() {
                change["option"] = c.option.as_str().into();
            }
            change
        })
        .collect();
    json!({ "needs_restart": plan.refusal().is_some(), "changes": changes })
}

/// Runs `f` where reading files keeps no shard from its work.
async fn on_worker<T: Send + 'static>(
    server: &Arc<Server>,
    f: impl FnOnce(&Arc<Server>, &Reloader) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let server = server.clone();
    let task = tokio::task::spawn_blocking(move || match server.reloader.get() {
        Some(reloader) => f(&server, reloader),
        None => Err("the server is still starting".to_owned()),
    });
    task.await.unwrap_or_else(|_| Err("the server stops".to_owned()))
}

/// The rules of new options. Accounts that a resolver found are kept, but not
/// those of the file: what it no longer has is gone.
fn rules(server: &Server, options: &Options) -> Result<Built, String> {
    let before = server.rules.load();
    let found = match &options.trust.resolver {
        None | Some(Resolver::Memory) => None,
        Some(_) => Some(&**before),
    };
    let now = clock::now() / 1_000_000_000;
    AccountSet::build(options, found, now, jiff::tz::TimeZone::system()).map_err(|e| e.to_string())
}

/// A configuration of which everything that could fail has worked.
struct Prepared {
    plan: ReloadPlan,
    options: Options,
    digest: String,
    warnings: Vec<String>,
    rules: AccountSet,
    tls: tls::Prepared,
    /// `None`: as before.
    resolver: Option<resolver::Opened>,
    /// JetStream is turned on.
    jetstream: Option<jetstream::recovery::Opened>,
    log: Option<PreparedLog>,
    /// `None`: as before.
    ports: Option<Option<PortsFile>>,
}

impl Prepared {
    fn new(server: &Arc<Server>, reloader: &Reloader) -> Result<Prepared, String> {
        let Loaded { options, digest, mut warnings } = reloader.read()?;
        let plan = check_reload(&server.options.load(), &options).map_err(|e| e.to_string())?;
        let built = rules(server, &options)?;
        let rules = built.rules;
        warnings.extend(built.warnings);
        // Always: the files may have changed where the options have not.
        let tls = tls::prepare(&options)?;
        tls.obtain_staples(Some(&server.tls))?;
        let trust = &options.trust;
        let of_resolver = ["resolver", "resolver_tls", "resolver_preload"];
        let resolver = match &trust.resolver {
            Some(kind) if of_resolver.iter().any(|name| plan.changes(name)) => {
                let opened = resolver::Opened::open(kind, trust)?;
                let there = tokio::runtime::Handle::current().block_on(opened.check());
                there.map_err(|e| format!("account resolver: {e}"))?;
                Some(opened)
            }
            _ => None,
        };
        let of_log = ["debug", "trace", "logtime", "logtime_utc", "log_file"];
        let log = if of_log.iter().any(|name| plan.changes(name)) {
            let file = &options.log.file;
            let opened = Log::prepare(LogOptions::of(&options.log));
            Some(opened.map_err(|e| {
                format!("opening log file {file}: {e}; make log_file a path that can be written")
            })?)
        } else {
            None
        };
        let ports = if plan.changes("ports_file_dir") {
            let dir = &options.ports_file_dir;
            let written = (!dir.is_empty())
                .then(|| PortsFile::write(dir, &reloader.program, server))
                .transpose();
            Some(written.map_err(|e| {
                format!("writing ports file to {dir}: {e}; make that directory writable")
            })?)
        } else {
            None
        };
        let turned_on = plan.changes("jetstream.enabled") && options.jetstream.enabled;
        let jetstream = turned_on
            .then(|| jetstream::switch::open(server, &options))
            .transpose()
            .map_err(|e| format!("JetStream: {e}"))?;
        // Last: what a failed reload leaves of it would be a wrong file.
        if plan.changes("pid_file")
            && !options.pid_file.is_empty()
            && let Err(e) = files::write_pid(&options.pid_file)
        {
            if let Some(opened) = jetstream {
                opened.close();
            }
            let file = &options.pid_file;
            return Err(format!("writing pid file {file}: {e}; make its directory writable"));
        }
        Ok(Prepared {
            plan,
            options,
            digest,
            warnings,
            rules,
            tls,
            resolver,
            jetstream,
            log,
            ports,
        })
    }

    /// Puts everything in force. Nothing here can fail.
    fn commit(self, server: &Arc<Server>, reloader: &Reloader) {
        let Prepared { plan, options, digest, warnings, rules, tls, .. } = self;
        let Prepared { resolver, jetstream, log, ports, .. } = self;
        if let Some(log) = log {
            reloader.log.switch(log);
        }
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        if options.inactive() != server.options.load().inactive() {
            run::warn_of_inactive(&options);
        }
        if let Some(ports) = ports {
            server.keep_ports_file(ports);
        }
        if let Some(opened) = jetstream {
            jetstream::switch::on(server, opened, &rules);
        } else if !options.jetstream.enabled {
            jetstream::switch::off(server);
        } else if let Some(js) = server.jetstream.get() {
            js.limits.grow(&options);
        }
        server.tls.install(tls);
        if let (Some(opened), Some(resolver)) = (resolver, server.resolver.get()) {
            resolver.switch(opened);
        }
        let max_connections = options.limits.max_connections;
        server.options.store(Arc::new(options));
        // Also when no user changed: connections take their limits and times
        // from the options when they look at the rules.
        crate::rules::install(server, rules);
        if plan.changes("max_connections") {
            connections::close_excess(server, max_connections);
        }
        for line in plan.log_lines() {
            tracing::info!("Reloaded: {line}");
        }
        if server.tls.clients().is_some() && !plan.changes("tls") {
            tracing::info!("Reloaded: tls = enabled");
        }
        server.config.store(Arc::new(Reading { at: clock::now(), digest: digest.clone() }));
        tracing::info!("Reloaded server configuration ({digest})");
    }
}
