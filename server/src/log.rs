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
use std::sync::atomic::{AtomicU8, Ordering};
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

impl LogOptions {
    /// What the options of the server say about the log.
    pub fn of(o: &gust_config::options::LogOptions) -> LogOptions {
        LogOptions {
            file: (!o.file.is_empty()).then(|| o.file.clone().into()),
            size_limit: o.size_limit.max(0) as u64,
            max_files: o.max_files.max(0) as usize,
            time: o.time,
            utc: o.time_utc,
            debug: o.debug,
            trace: o.trace,
        }
    }

    fn verbosity(&self) -> u8 {
        u8::from(self.debug) | (u8::from(self.trace) << 1)
    }
}

/// The running log; cheap to clone.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    target: Mutex<Target>,
    /// 0 = info, 1 = debug, 2 = trace, 3 = both. Beside the lock, because it is
    /// asked for lines that are not written.
    verbosity: AtomicU8,
    pid: u32,
}

/// Where lines go and how they look; replaced as a whole on reload.
struct Target {
    options: LogOptions,
    out: Output,
    colour: bool,
}

impl Target {
    fn open(options: LogOptions) -> std::io::Result<Target> {
        let out = match &options.file {
            Some(path) => open_file(path)?,
            None => Output::Stderr,
        };
        let colour = options.file.is_none() && std::io::stderr().is_terminal();
        Ok(Target { options, out, colour })
    }
}

/// A target that could be opened and is not in use yet.
pub struct PreparedLog(Target);

enum Output {
    Stderr,
    File { file: File, path: PathBuf, len: u64 },
}

impl Log {
    /// Opens the log target. Fails if the file cannot be opened for appending.
    pub fn open(options: LogOptions) -> std::io::Result<Log> {
        let verbosity = options.verbosity();
        Ok(Log {
            inner: Arc::new(Inner {
                target: Mutex::new(Target::open(options)?),
                verbosity: AtomicU8::new(verbosity),
                pid: std::process::id(),
            }),
        })
    }

    /// Opens another target without using it yet.
    pub fn prepare(options: LogOptions) -> std::io::Result<PreparedLog> {
        Target::open(options).map(PreparedLog)
    }

    /// Goes on with this target.
    pub fn switch(&self, to: PreparedLog) {
        self.inner.verbosity.store(to.0.options.verbosity(), Ordering::Relaxed);
        *self.inner.target.lock() = to.0;
        // Which lines are wanted is remembered where they are written.
        tracing::callsite::rebuild_interest_cache();
    }

    /// Makes this the log of the process. Only the first call has an effect.
    pub fn install(&self) {
        let subscriber = tracing_subscriber::registry().with(NatsLayer(self.clone()));
        let _ = tracing::subscriber::set_global_default(subscriber);
    }

    /// Opens the file anew (after an external rotation).
    pub fn reopen(&self) -> std::io::Result<()> {
        let mut target = self.inner.target.lock();
        if let Some(path) = &target.options.file {
            target.out = open_file(path)?;
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
        let mut target = self.inner.target.lock();
        let mut line = String::with_capacity(text.len() + 64);
        let _ = write!(line, "[{}] ", self.inner.pid);
        if target.options.time {
            let _ = write!(line, "{} ", timestamp(target.options.utc));
        }
        if target.colour {
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
        let Target { options, out, .. } = &mut *target;
        match out {
            Output::Stderr => {
                let _ = std::io::stderr().write_all(line.as_bytes());
            }
            Output::File { file, path, len } => {
                let _ = file.write_all(line.as_bytes());
                *len += line.len() as u64;
                if options.size_limit > 0 && *len > options.size_limit {
                    let path = path.clone();
                    if let Ok(fresh) = rotate(&path, options.max_files) {
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
