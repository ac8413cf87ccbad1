//! Keeps secrets of the command line out of the process: everybody on the
//! machine may read `/proc/PID/cmdline`, and a core dump holds it.
//!
//! A server started with `--pass` and the like executes itself again with the
//! secrets blanked, the same process id and name, and the real arguments in an
//! anonymous file in memory that only the new image can read.

use gust_config::cli::redact::redact_args;
use std::path::PathBuf;

/// Names the file descriptor with the real arguments.
const VARIABLE: &str = "GUST_ARGUMENTS_FD";
/// Longest arguments taken over.
const MAX_BYTES: u64 = 1 << 20;

/// The arguments to act on. Does not return if the process has to be replaced to
/// hide some of them.
pub fn take(argv0: &str, args: Vec<String>) -> Vec<String> {
    let shown = redact_args(&args);
    if let Some(hidden) = handed_over(&shown) {
        return hidden;
    }
    if shown != args
        && let Err(e) = again(argv0, &args, &shown)
    {
        eprintln!(
            "{argv0}: secrets stay visible in the process list: {e}; put them into a \
             configuration file instead"
        );
    }
    args
}

/// The arguments a previous image left, if they are those that are shown.
#[cfg(target_os = "linux")]
fn handed_over(shown: &[String]) -> Option<Vec<String>> {
    use std::io::Read;
    let fd: u32 = std::env::var(VARIABLE).ok()?.parse().ok()?;
    // Opened by its name in /proc: the descriptor itself is not ours to own.
    let path = format!("/proc/self/fd/{fd}");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).ok()?;
    let mut text = Vec::new();
    (&file).take(MAX_BYTES).read_to_end(&mut text).ok()?;
    let all = String::from_utf8(text).ok()?;
    let args: Vec<String> = all.split('\0').map(str::to_owned).collect();
    // Whatever the variable names, only our own file is emptied.
    let ours = redact_args(&args) == shown;
    if ours {
        let _ = file.set_len(0);
    }
    ours.then_some(args)
}

#[cfg(target_os = "linux")]
fn again(argv0: &str, args: &[String], shown: &[String]) -> std::io::Result<()> {
    use rustix::fs::{MemfdFlags, memfd_create};
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::process::CommandExt;
    // Not closed on exec: it is what the new image reads.
    let mut file = std::fs::File::from(memfd_create("arguments", MemfdFlags::empty())?);
    file.write_all(args.join("\0").as_bytes())?;
    let program = same_program(argv0).map_or_else(std::env::current_exe, Ok)?;
    let error = std::process::Command::new(program)
        .arg0(argv0)
        .args(shown)
        .env(VARIABLE, file.as_raw_fd().to_string())
        .exec();
    Err(error)
}

/// The path `argv0` stands for if it leads to this program: executed by it, the
/// process keeps its name (a link called `nats-server`, say).
#[cfg(target_os = "linux")]
fn same_program(argv0: &str) -> Option<PathBuf> {
    let me = std::env::current_exe().ok()?.canonicalize().ok()?;
    let is_me = |path: &PathBuf| path.canonicalize().is_ok_and(|p| p == me);
    if argv0.contains('/') {
        return Some(PathBuf::from(argv0)).filter(is_me);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(argv0)).find(is_me)
}

#[cfg(not(target_os = "linux"))]
fn handed_over(_shown: &[String]) -> Option<Vec<String>> {
    None
}

#[cfg(not(target_os = "linux"))]
fn again(_argv0: &str, _args: &[String], _shown: &[String]) -> std::io::Result<()> {
    Err(std::io::Error::from(std::io::ErrorKind::Unsupported))
}
