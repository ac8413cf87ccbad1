//! Starting the two servers under the same conditions and reading what they
//! cost from the kernel's books.

use crate::client::Access;
use anyhow::{Context, Result, bail};
use std::fmt;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Which server, and how durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Gust: every ack is synced.
    Gust,
    /// nats-server as it comes: synced every two minutes.
    Reference,
    /// nats-server with `sync_interval: always`.
    ReferenceAlways,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gust => "gust",
            Self::Reference => "nats-server",
            Self::ReferenceAlways => "nats-server always",
        })
    }
}

/// A running server.
pub struct Server {
    child: Child,
    /// Where clients connect, and as whom.
    pub access: Access,
    dir: PathBuf,
    program: PathBuf,
    mode: Mode,
    setup: Setup,
}

/// How both servers are configured for a scenario.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// JetStream is on.
    pub jetstream: bool,
    /// Clients must use TLS, with a certificate made for the run.
    pub tls: bool,
    /// More configuration.
    pub config: String,
    /// Fields of CONNECT, `"user":"a","pass":"b",`, of a client that may connect.
    pub login: String,
    /// What clients say before anything else.
    pub first: &'static [u8],
}

impl Setup {
    /// With JetStream and nothing else.
    pub fn jetstream() -> Setup {
        Setup { jetstream: true, ..Setup::default() }
    }
}

/// CPU and memory of a process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// CPU time in microseconds, all threads, user and system.
    pub cpu_us: f64,
    /// Resident memory in bytes.
    pub rss: u64,
}

impl Server {
    /// Starts on a free port with an empty store below the working directory's
    /// `target/bench`, so that both stores are on the same disk.
    pub fn start(program: &Path, mode: Mode, setup: &Setup) -> Result<Server> {
        let base = PathBuf::from(
            std::env::var("GUST_BENCH_DIR").unwrap_or_else(|_| "target/bench".into()),
        );
        let dir = base.join(format!("{}-{}", std::process::id(), mode as u8));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir)?;
        let mut server = Server {
            child: Command::new("true").stdout(Stdio::null()).spawn()?,
            access: Access { login: setup.login.clone(), first: setup.first, ..Access::default() },
            dir,
            program: program.to_owned(),
            mode,
            setup: setup.clone(),
        };
        server.child.wait()?;
        if setup.tls {
            server.access.tls = Some(crate::tls::make(&server.dir)?);
        }
        server.launch()?;
        Ok(server)
    }

    /// Starts the process and waits until it takes clients.
    fn launch(&mut self) -> Result<()> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let store = std::path::absolute(self.dir.join("store"))?;
        let config = self.dir.join("server.conf");
        let mut text = format!("listen: 127.0.0.1:{port}\nmax_connections: 100000\n");
        text.push_str(&self.setup.config);
        if self.setup.tls {
            text.push_str(&crate::tls::block(&self.dir)?);
        }
        if self.setup.jetstream {
            let sync =
                if self.mode == Mode::ReferenceAlways { "sync_interval: always" } else { "" };
            text.push_str(&format!(
                "jetstream {{ store_dir: \"{}\", max_mem: 8G, max_file: 40G\n {sync} }}\n",
                store.display()
            ));
        }
        std::fs::write(&config, text)?;
        let log = std::fs::File::create(self.dir.join("log"))?;
        self.child = Command::new(&self.program)
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        self.access.addr = format!("127.0.0.1:{port}");
        let deadline = Instant::now() + Duration::from_secs(120);
        while crate::client::Client::connect(&self.access).is_err() {
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                bail!("{} ended with {status}:\n{log}", self.program.display());
            }
            if Instant::now() > deadline {
                bail!("{} did not get ready", self.program.display());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// kill -9, start again; returns the time until it serves clients again.
    pub fn crash_and_restart(&mut self) -> Result<Duration> {
        self.child.kill()?;
        self.child.wait()?;
        let start = Instant::now();
        self.launch()?;
        Ok(start.elapsed())
    }

    /// What it has used so far.
    pub fn cost(&self) -> Result<Cost> {
        let pid = self.child.id();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let rest = stat.rsplit_once(')').context("no command name in stat")?.1;
        let field = |n: usize| -> f64 {
            rest.split_ascii_whitespace().nth(n).and_then(|f| f.parse().ok()).unwrap_or(0.0)
        };
        let tick_us = 1e6 / rustix::param::clock_ticks_per_second() as f64;
        Ok(Cost {
            cpu_us: (field(11) + field(12)) * tick_us,
            rss: (field(21) as u64) * rustix::param::page_size() as u64,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
