//! Signals of the process, and `--signal` to send them to another one.

use crate::log::Log;
use crate::server::Server;
use gust_config::cli::{SignalCommand, SignalRequest};
use std::io;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// What ended the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Stop now.
    Shutdown,
    /// Lame duck finished.
    LameDuck,
}

/// Acts on signals until one of them ends the server. `on_lame_duck` closes the
/// listeners.
pub async fn run(
    server: &Arc<Server>,
    log: &Log,
    on_lame_duck: impl FnOnce(),
) -> io::Result<Ended> {
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    let mut hup = signal(SignalKind::hangup())?;
    let mut usr1 = signal(SignalKind::user_defined1())?;
    let mut usr2 = signal(SignalKind::user_defined2())?;
    let mut on_lame_duck = Some(on_lame_duck);
    loop {
        tokio::select! {
            _ = int.recv() => return Ok(Ended::Shutdown),
            _ = term.recv() => {
                // nats-server lets a running lame duck finish.
                if !server.is_lame_duck() {
                    return Ok(Ended::Shutdown);
                }
            }
            _ = hup.recv() => {
                let _ = crate::reload::reload(server).await;
            }
            _ = usr1.recv() => {
                match log.reopen() {
                    Ok(()) => tracing::info!("File log re-opened"),
                    Err(e) => tracing::error!("re-opening the log file: {e}"),
                }
            }
            _ = usr2.recv() => {
                if let Some(f) = on_lame_duck.take() {
                    f();
                    let server = server.clone();
                    tokio::spawn(async move { server.lame_duck().await });
                }
            }
            () = server.tls.until_revoked() => return Ok(Ended::Shutdown),
            () = server.stopped() => return Ok(Ended::LameDuck),
        }
    }
}

/// Sends a signal to the process the request names: a pid, a pid file, or
/// nothing when exactly one server runs.
pub fn send(request: &SignalRequest, program: &str) -> Result<(), String> {
    use rustix::process::{Pid, Signal, kill_process};
    let sig = match request.command {
        SignalCommand::Stop => Signal::KILL,
        SignalCommand::Quit => Signal::INT,
        SignalCommand::Term => Signal::TERM,
        SignalCommand::Reopen => Signal::USR1,
        SignalCommand::Reload => Signal::HUP,
        SignalCommand::LameDuck => Signal::USR2,
    };
    let pid = match request.target.as_deref() {
        Some(t) if !t.is_empty() => pid_of(t)?,
        _ => only_running(program)?,
    };
    let pid = Pid::from_raw(pid).ok_or_else(|| format!("invalid pid: {pid}"))?;
    kill_process(pid, sig).map_err(|e| format!("sending signal {sig:?} to process {pid:?}: {e}"))
}

fn pid_of(target: &str) -> Result<i32, String> {
    if let Ok(pid) = target.parse() {
        return Ok(pid);
    }
    let text =
        std::fs::read_to_string(target).map_err(|e| format!("reading pid file {target}: {e}"))?;
    text.trim().parse().map_err(|_| format!("invalid pid in {target}: {:?}", text.trim()))
}

/// The only process of that program name besides this one.
fn only_running(program: &str) -> Result<i32, String> {
    let me = std::process::id() as i32;
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").map_err(|e| e.to_string())?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|s| s.parse::<i32>().ok()) else {
            continue;
        };
        let comm = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if pid != me && comm.trim() == program {
            found.push(pid);
        }
    }
    match found.as_slice() {
        [] => Err(format!("no {program} processes running")),
        [pid] => Ok(*pid),
        many => Err(format!(
            "multiple {program} processes running:\n{}",
            many.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        )),
    }
}
