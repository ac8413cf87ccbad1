//! From command line to running server and back to an exit code.

use crate::log::{Log, LogOptions};
use crate::reload::Reloader;
use crate::server::{COMPATIBLE, Listening, Server};
use crate::shard::mailbox::Door;
use crate::{
    clock, exchange, files, jetstream, listener, monitor, ocsp, operators, resolver, shard,
    signals, system, tls, websocket,
};
use gust_account::{AccountError, AccountSet};
use gust_config::cli::{CliOptions, SignalRequest};
use gust_config::{LoadError, Options};
use std::process::ExitCode;
use std::sync::Arc;

/// `--signal`: sends it and ends.
pub fn signal(program: &str, request: &SignalRequest) -> ExitCode {
    match signals::send(request, program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => complain(program, &e),
    }
}

/// A configuration ready to start with.
pub(crate) struct Loaded {
    pub(crate) options: Options,
    pub(crate) digest: String,
    pub(crate) warnings: Vec<String>,
}

/// Checks the configuration (`-t`) or runs the server.
pub fn run(program: &str, cli: &CliOptions) -> ExitCode {
    let loaded = match load(cli) {
        Ok(Some(l)) => l,
        Ok(None) => return ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{}", cli.error_line(&e));
            return ExitCode::FAILURE;
        }
    };
    let log = match Log::open(LogOptions::of(&loaded.options.log)) {
        Ok(l) => l,
        Err(e) => {
            let file = &loaded.options.log.file;
            return complain(program, &format!("opening log file {file}: {e}"));
        }
    };
    log.install();
    match serve(program, cli, loaded, &log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            log.fatal(&e);
            ExitCode::FAILURE
        }
    }
}

/// Reads the file, applies flags and defaults, checks everything. `None`: only
/// a check was wanted and it passed.
pub(crate) fn load(cli: &CliOptions) -> Result<Option<Loaded>, String> {
    let (mut options, digest, warnings) = match &cli.config_file {
        None => (Options::default(), String::new(), Vec::new()),
        Some(path) => {
            let mut loader = read_file;
            let env = |k: &str| std::env::var(k).ok();
            let loaded = gust_config::load(path, &mut loader, &env).map_err(|e| e.to_string())?;
            if cli.check_config {
                loaded.check().map_err(|e| e.to_string())?;
                let mut options = loaded.options.clone();
                operators::read(&mut options)?;
                check_exchange(&options)?;
                eprint!("{}", cli.valid_line(&loaded.digest));
                return Ok(None);
            }
            let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
            (loaded.options, loaded.digest, warnings)
        }
    };
    options.apply_cli(&cli.flags).map_err(|e| e.to_string())?;
    options.apply_defaults();
    operators::read(&mut options)?;
    gust_config::validate_start(&options).map_err(|e| e.to_string())?;
    Ok(Some(Loaded { options, digest, warnings }))
}

/// What the parser cannot see: mappings, exports and imports that do not fit
/// together.
fn check_exchange(options: &Options) -> Result<(), String> {
    if options.is_operator_mode() {
        return Ok(());
    }
    match AccountSet::build(options, None, clock::now() / 1_000_000_000, jiff::tz::TimeZone::UTC) {
        Err(e @ (AccountError::Exchange(_) | AccountError::Mapping { .. })) => Err(e.to_string()),
        _ => Ok(()),
    }
}

fn complain(program: &str, text: &str) -> ExitCode {
    eprintln!("{program}: {text}");
    ExitCode::FAILURE
}

fn read_file(path: &str) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => LoadError::not_found(path),
        _ => LoadError(format!("open {path}: {e}")),
    })
}

/// Starts everything, waits for the end, stops everything.
fn serve(program: &str, cli: &CliOptions, loaded: Loaded, log: &Log) -> Result<(), String> {
    let Loaded { options, digest, mut warnings } = loaded;
    let now = clock::now() / 1_000_000_000;
    let built = AccountSet::build(&options, None, now, jiff::tz::TimeZone::system())
        .map_err(|e| e.to_string())?;
    let rules = built.rules;
    warnings.extend(built.warnings);
    if !options.jetstream.enabled {
        // The allocator asks for huge pages, 2 MiB for each thread's first small
        // object: a core server would hold 8 MiB more than it uses. JetStream's
        // indexes are large and gain from them.
        let _ = rustix::thread::disable_transparent_huge_pages(true);
    }
    let shards = std::thread::available_parallelism().map_or(1, usize::from);
    let tls = tls::prepare(&options)?;
    if options.http.tls_port != 0 && options.tls.is_none() {
        return Err("https needs a certificate: add a tls block with cert_file and key_file".into());
    }
    tls.obtain_staples(None)?;
    let server = Server::new(options, rules, digest, shards);
    let _ = server.reloader.set(Reloader::new(program, cli, log));
    greet(&server, &warnings);
    server.tls.install(tls);
    let options = server.options.load_full();
    if !options.pid_file.is_empty() {
        files::write_pid(&options.pid_file)
            .map_err(|e| format!("writing pid file {}: {e}", options.pid_file))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("starting the main runtime: {e}"))?;
    resolver::start(&server, &runtime)?;
    let recovered = jetstream::start(&server)?;
    runtime.block_on(resolver::in_force::load_owners(&server));
    let threads = start_shards(&server)?;
    if let Some(recovered) = recovered {
        jetstream::hand_over(&server, recovered);
    }
    system::services::start(&server);
    system::start_events(&server);
    resolver::in_force::begin(&server, &runtime);
    exchange::apply(&server, &server.rules.load_full());
    let result = runtime.block_on(main_loop(program, &server, log));
    server.stop();
    for t in threads {
        let _ = t.join();
    }
    jetstream::stop(&server);
    ocsp::cache_file::save(&server.tls.statuses);
    tracing::info!("Server Exiting..");
    result
}

fn greet(server: &Server, warnings: &[String]) {
    let o = server.options.load();
    tracing::info!("Starting gust (compatible with nats-server {COMPATIBLE})");
    tracing::info!("  Version:  {}", env!("CARGO_PKG_VERSION"));
    tracing::info!("  Name:     {}", server.name);
    tracing::info!("  ID:       {}", server.id);
    let digest = &server.config.load().digest;
    if !digest.is_empty() {
        tracing::info!("  Config:   {digest}");
    }
    for w in warnings {
        tracing::warn!("{w}");
    }
    warn_of_inactive(&o);
}

/// Tells which settings do nothing.
pub(crate) fn warn_of_inactive(options: &Options) {
    let inactive = options.inactive();
    if !inactive.is_empty() {
        tracing::warn!(
            "Configured but not active in this version: {}. These settings were checked and have \
             no effect",
            inactive.join(", ")
        );
    }
}

fn start_shards(server: &Arc<Server>) -> Result<Vec<std::thread::JoinHandle<()>>, String> {
    let (tx, rx) = std::sync::mpsc::channel();
    let mut threads = Vec::new();
    for id in 0..server.shard_count() {
        let (server, tx) = (server.clone(), tx.clone());
        let t = std::thread::Builder::new()
            .name(format!("gust-shard-{id}"))
            .spawn(move || shard::run(id, server, tx))
            .map_err(|e| format!("starting shard {id}: {e}"))?;
        threads.push(t);
    }
    for _ in &threads {
        rx.recv().map_err(|_| "a shard did not start".to_owned())?;
    }
    Ok(threads)
}

/// Listens for HTTP or HTTPS on the monitor's host; `None` for port 0.
fn bind_monitor(o: &Options, port: i64) -> Result<Option<std::net::TcpListener>, String> {
    if port == 0 {
        return Ok(None);
    }
    let host = if o.http.host.is_empty() { &o.listen.host } else { &o.http.host };
    listener::bind(host, port)
        .map(Some)
        .map_err(|e| format!("Can't listen to the monitor port {host}:{port}: {e}"))
}

fn serve_monitor(
    server: &Arc<Server>,
    listener: std::net::TcpListener,
    encrypted: bool,
) -> Result<(), String> {
    let name = if encrypted { "https" } else { "http" };
    if let Ok(addr) = listener.local_addr() {
        tracing::info!("Starting {name} monitor on {addr}");
    }
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|e| e.to_string())?;
    let tls = encrypted.then(|| {
        let server = server.clone();
        let source: gust_admin::http::TlsSource = Arc::new(move || tls::for_monitor(&server));
        source
    });
    let base = &server.options.load().http.base_path;
    let monitor = monitor::Monitor::new(server.clone(), base);
    tokio::spawn(gust_admin::http::serve(listener, monitor, tls));
    Ok(())
}

async fn main_loop(program: &str, server: &Arc<Server>, log: &Log) -> Result<(), String> {
    let o = server.options.load_full();
    let clients = listener::bind(&o.listen.host, o.listen.port).map_err(|e| {
        format!("Error listening on port: {}:{}, {e}", o.listen.host, o.listen.port)
    })?;
    let client_addr = clients.local_addr().map_err(|e| e.to_string())?;
    let monitor = bind_monitor(&o, o.http.port)?;
    let monitor_tls = bind_monitor(&o, o.http.tls_port)?;
    let websocket = websocket::bind(&o)?;
    let address = |l: &Option<std::net::TcpListener>| l.as_ref().and_then(|l| l.local_addr().ok());
    let _ = server.listening.set(Listening {
        client: Some(client_addr),
        monitor: address(&monitor),
        monitor_tls: address(&monitor_tls),
        websocket: websocket.as_ref().and_then(|l| l.local_addr().ok()),
    });
    for (listener, encrypted) in [(monitor, false), (monitor_tls, true)] {
        if let Some(l) = listener {
            serve_monitor(server, l, encrypted)?;
        }
    }
    let mut accepting = vec![tokio::spawn(listener::accept(server.clone(), clients, Door::Client))];
    if let Some(l) = websocket {
        accepting.push(tokio::spawn(listener::accept(server.clone(), l, Door::Websocket)));
    }
    tokio::spawn(ocsp::refresh::run(server.clone()));
    tokio::spawn(ocsp::cache_file::run(server.clone()));
    tracing::info!("Listening for client connections on {client_addr}");
    tracing::info!("Server is ready");
    if !o.ports_file_dir.is_empty() {
        match files::PortsFile::write(&o.ports_file_dir, program, server) {
            Ok(file) => server.keep_ports_file(Some(file)),
            Err(e) => tracing::error!("writing ports file to {}: {e}", o.ports_file_dir),
        }
    }
    let ended = signals::run(server, log, move || accepting.iter().for_each(|a| a.abort()))
        .await
        .map_err(|e| format!("listening for signals: {e}"))?;
    server.keep_ports_file(None);
    if ended == signals::Ended::Shutdown {
        tracing::info!("Initiating Shutdown...");
        system::shutdown::shutdown(server).await;
    }
    Ok(())
}
