//! Log lines as nats-server writes them: `[pid] date time [INF] text`.
//!
//! Client test harnesses and log shippers parse these lines, so the format is a
//! contract (contract/core.md §3). The target is stderr or a file that can be
//! reopened (SIGUSR1) and rotated by size.

use parking_lot::Mutex;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// What to log and where to.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// File instead of stderr.
    pub file: Option<PathBuf>,
    /// Rotate when the file passes this many bytes; 0 = never.
    pub size_limit: u64,
    /// Rotated files to keep, the current one included; 0 = all.
    pub max_files: usize,
    /// Date and time in each line.
    pub time: bool,
    /// UTC instead of local time.
    pub utc: bool,
    /// `[DBG]` lines.
    pub debug: bool,
    /// `[TRC]` lines.
    pub trace: bool,
}

/// The running log; cheap to clone.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    options: LogOptions,
    out: Mutex<Output>,
    /// 0 = info, 1 = debug, 2 = trace, 3 = both.
    verbosity: AtomicU8,
    colour: AtomicBool,
    pid: u32,
}

enum Output {
    Stderr,
    File { file: File, path: PathBuf, len: u64 },
}

impl Log {
    /// Opens the log target. Fails if the file cannot be opened for appending.
    pub fn open(options: LogOptions) -> std::io::Result<Log> {
        let out = match &options.file {
            Some(path) => open_file(path)?,
            None => Output::Stderr,
        };
        let colour = options.file.is_none() && std::io::stderr().is_terminal();
        let verbosity = u8::from(options.debug) | (u8::from(options.trace) << 1);
        Ok(Log {
            inner: Arc::new(Inner {
                options,
                out: Mutex::new(out),
                verbosity: AtomicU8::new(verbosity),
                colour: AtomicBool::new(colour),
                pid: std::process::id(),
            }),
        })
    }

    /// Makes this the log of the process. Only the first call has an effect.
    pub fn install(&self) {
        let subscriber = tracing_subscriber::registry().with(NatsLayer(self.clone()));
        let _ = tracing::subscriber::set_global_default(subscriber);
    }

    /// Opens the file anew (after an external rotation).
    pub fn reopen(&self) -> std::io::Result<()> {
        if let Some(path) = &self.inner.options.file {
            *self.inner.out.lock() = open_file(path)?;
        }
        Ok(())
    }

    fn wants(&self, level: Level) -> bool {
        let v = self.inner.verbosity.load(Ordering::Relaxed);
        match level {
            Level::DEBUG => v & 1 != 0,
            Level::TRACE => v & 2 != 0,
            _ => true,
        }
    }

    fn line(&self, label: &str, text: &str) {
        let inner = &*self.inner;
        let mut line = String::with_capacity(text.len() + 64);
        let _ = write!(line, "[{}] ", inner.pid);
        if inner.options.time {
            let _ = write!(line, "{} ", timestamp(inner.options.utc));
        }
        if inner.colour.load(Ordering::Relaxed) {
            let colour = match label {
                "INF" => 32,
                "DBG" => 36,
                "WRN" => 35,
                "TRC" => 33,
                _ => 31,
            };
            let _ = writeln!(line, "[\x1b[{colour}m{label}\x1b[0m] {text}");
        } else {
            let _ = writeln!(line, "[{label}] {text}");
        }
        let mut out = inner.out.lock();
        match &mut *out {
            Output::Stderr => {
                let _ = std::io::stderr().write_all(line.as_bytes());
            }
            Output::File { file, path, len } => {
                let _ = file.write_all(line.as_bytes());
                *len += line.len() as u64;
                if inner.options.size_limit > 0 && *len > inner.options.size_limit {
                    let path = path.clone();
                    if let Ok(fresh) = rotate(&path, inner.options.max_files) {
                        *out = fresh;
                    }
                }
            }
        }
    }

    /// A `[FTL]` line; the caller then ends the process.
    pub fn fatal(&self, text: &str) {
        self.line("FTL", text);
    }
}

fn open_file(path: &Path) -> std::io::Result<Output> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let len = file.metadata()?.len();
    Ok(Output::File { file, path: path.to_owned(), len })
}

/// Renames the full file with a time suffix and removes the oldest beyond `keep`.
fn rotate(path: &Path, keep: usize) -> std::io::Result<Output> {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::system());
    let suffix = now.strftime("%Y.%m.%d.%H.%M.%S.%9f").to_string();
    let mut rotated = path.as_os_str().to_owned();
    rotated.push(".");
    rotated.push(suffix);
    std::fs::rename(path, &rotated)?;
    if keep > 1
        && let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    {
        let prefix = format!("{name}.");
        let mut old: Vec<PathBuf> =
            std::fs::read_dir(if dir.as_os_str().is_empty() { Path::new(".") } else { dir })?
                .flatten()
                .map(|e| e.path())
                .filter(|p| {
                    p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(&prefix))
                })
                .collect();
        old.sort();
        while old.len() >= keep {
            let _ = std::fs::remove_file(old.remove(0));
        }
    }
    open_file(path)
}

fn timestamp(utc: bool) -> String {
    let now = jiff::Timestamp::now();
    let zone = if utc { jiff::tz::TimeZone::UTC } else { jiff::tz::TimeZone::system() };
    now.to_zoned(zone).strftime("%Y/%m/%d %H:%M:%S.%6f").to_string()
}

struct NatsLayer(Log);

impl<S: Subscriber> Layer<S> for NatsLayer {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        // Only our own crates and the consensus bridge; libraries' chatter is
        // shown with debug on.
        let level = *metadata.level();
        if !self.0.wants(level) {
            return false;
        }
        metadata.target().starts_with("gust") || level <= Level::WARN
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let label = match *event.metadata().level() {
            Level::ERROR => "ERR",
            Level::WARN => "WRN",
            Level::INFO => "INF",
            Level::DEBUG => "DBG",
            Level::TRACE => "TRC",
        };
        self.0.line(label, &text.0);
    }
}

/// The message first, then `key=value` of the other fields.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.insert_str(0, &format!("{value:?}"));
        } else {
            let _ = write!(self.0, " {}={value:?}", field.name());
        }
    }
}
