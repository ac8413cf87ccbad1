//! PID file and ports file (contract/core.md §3).

use crate::server::Server;
use std::io;
use std::path::{Path, PathBuf};

/// Writes the decimal pid without a newline, as nats-server does.
pub fn write_pid(path: &str) -> io::Result<()> {
    std::fs::write(path, std::process::id().to_string())
}

/// The ports file, removed when dropped.
#[derive(Debug)]
pub struct PortsFile(PathBuf);

impl PortsFile {
    /// Writes `<dir>/<program>_<pid>.ports`.
    pub fn write(dir: &str, program: &str, server: &Server) -> io::Result<PortsFile> {
        let path = Path::new(dir).join(format!("{program}_{}.ports", std::process::id()));
        let listening = server.listening.get().cloned().unwrap_or_default();
        let url = |scheme: &str, addr: Option<std::net::SocketAddr>| -> Vec<String> {
            addr.map(|a| {
                let host = if a.ip().is_unspecified() {
                    "127.0.0.1".to_owned()
                } else {
                    a.ip().to_string()
                };
                format!("{scheme}://{host}:{}", a.port())
            })
            .into_iter()
            .collect()
        };
        let mut doc = serde_json::Map::new();
        doc.insert("nats".into(), url("nats", listening.client).into());
        let mut monitors = url("http", listening.monitor);
        monitors.extend(url("https", listening.monitor_tls));
        if !monitors.is_empty() {
            doc.insert("monitoring".into(), monitors.into());
        }
        if let Some(addr) = listening.websocket {
            let scheme = if server.tls.websocket().is_some() { "wss" } else { "ws" };
            doc.insert("websocket".into(), url(scheme, Some(addr)).into());
        }
        // Readers poll for the file: it must appear whole.
        let temp = path.with_extension("ports.tmp");
        std::fs::write(&temp, serde_json::to_string_pretty(&doc)?)?;
        std::fs::rename(&temp, &path)?;
        Ok(PortsFile(path))
    }
}

impl Drop for PortsFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
