//! Starting the `gust` binary for a test: free ports, a store directory that
//! goes away, readiness by its ports file instead of by waiting.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a server may take to start or stop before a test gives up.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// `nats://127.0.0.1:port`.
    pub url: String,
    /// `http://127.0.0.1:port` of the monitoring endpoints.
    pub monitor: String,
    /// The same with `https`, or empty.
    pub monitor_tls: String,
    /// `ws://127.0.0.1:port` or the same with `wss`, or empty.
    pub websocket: String,
    /// Store directory.
    pub store: PathBuf,
    dir: tempfile::TempDir,
    args: Vec<String>,
    config: Option<String>,
}

/// The binary under test, built once per test run.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Ok(path) = std::env::var("GUST_BINARY") {
            return path.into();
        }
        let target = std::env::current_exe()
            .ok()
            .and_then(|p| Some(p.parent()?.parent()?.to_owned()))
            .expect("the test runs from a target directory");
        let built = Command::new(env!("CARGO"))
            .args(["build", "-q", "-p", "gust-server"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .status()
            .expect("cargo can be run");
        assert!(built.success(), "the server does not build");
        target.join("gust")
    })
}

impl Server {
    /// Starts with JetStream on.
    pub fn start() -> Result<Server> {
        Self::with(&["-js"], None)
    }

    /// Starts with extra arguments and, if given, a configuration text.
    pub fn with(args: &[&str], config: Option<&str>) -> Result<Server> {
        let dir = tempfile::tempdir()?;
        let store = dir.path().join("store");
        let mut server = Server {
            child: Command::new("true").spawn()?,
            url: String::new(),
            monitor: String::new(),
            monitor_tls: String::new(),
            websocket: String::new(),
            store,
            dir,
            args: args.iter().map(ToString::to_string).collect(),
            config: config.map(ToOwned::to_owned),
        };
        server.child.wait()?;
        server.launch()?;
        Ok(server)
    }

    /// Starts the stopped process again on the same store.
    pub fn launch(&mut self) -> Result<()> {
        let dir = self.dir.path();
        // A full disk is imitated by a limit on file sizes; its signal, ignored
        // here, would end the process where a disk gives an error.
        let mut cmd = Command::new("sh");
        cmd.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(binary());
        cmd.args(["-a", "127.0.0.1", "-p", "-1", "-m", "-1", "--ports_file_dir"]).arg(dir);
        cmd.arg("-sd").arg(&self.store).arg("-l").arg(dir.join("log")).args(&self.args);
        if let Some(text) = &self.config {
            let path = dir.join("server.conf");
            std::fs::write(&path, text)?;
            cmd.arg("-c").arg(path);
        }
        self.child = cmd.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let ports = dir.join(format!("gust_{}.ports", self.child.id()));
        let deadline = Instant::now() + DEADLINE;
        let text = loop {
            if let Ok(text) = std::fs::read_to_string(&ports) {
                break text;
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status} at start; log:\n{}", self.log());
            }
            if Instant::now() > deadline {
                bail!("the server did not get ready; log:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let doc: Value = serde_json::from_str(&text)?;
        let first = |key: &str| doc[key][0].as_str().map(ToOwned::to_owned);
        self.url = first("nats").context("no client port in the ports file")?;
        self.monitor = first("monitoring").unwrap_or_default();
        self.monitor_tls = doc["monitoring"][1].as_str().unwrap_or_default().to_owned();
        self.websocket = first("websocket").unwrap_or_default();
        Ok(())
    }

    /// Replaces the configuration file; the server reads it when told to reload,
    /// and after a restart.
    pub fn write_config(&mut self, text: &str) -> Result<()> {
        std::fs::write(self.dir.path().join("server.conf"), text)?;
        self.config = Some(text.to_owned());
        Ok(())
    }

    /// Directory with the configuration, the log and whatever a test puts there.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What the server logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process as a power cut would (as far as a process can tell)
    /// and starts it again on the same store. The port may change.
    pub fn kill_and_restart(&mut self) -> Result<()> {
        self.kill()?;
        self.launch()
    }

    /// Kills the process without a chance to do anything; it stays down until
    /// [`Server::launch`].
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops in an orderly way and starts again on the same store.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.launch()
    }

    /// Stops in an orderly way.
    pub fn stop(&mut self) -> Result<()> {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        self.wait(DEADLINE)
    }

    /// Waits until it has stopped by itself.
    pub fn wait(&mut self, at_most: Duration) -> Result<()> {
        let deadline = Instant::now() + at_most;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("the server did not stop; log:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
