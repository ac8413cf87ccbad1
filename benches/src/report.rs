//! Progress on the terminal, results as Markdown and JSON.

use crate::measure::Sample;
use crate::server::Mode;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

/// Prints a line to stdout.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Draws the progress bar on stderr.
pub fn progress(done: usize, total: usize, what: &str) {
    let width = 30;
    let full = done * width / total.max(1);
    let bar = format!("{}{}", "#".repeat(full), "-".repeat(width - full));
    let _ = write!(std::io::stderr(), "\r\x1b[K[{bar}] {done}/{total} {what}");
    let _ = std::io::stderr().flush();
    if done == total {
        let _ = writeln!(std::io::stderr());
    }
}

/// Medians per scenario and server.
#[derive(Debug, Serialize)]
pub struct Summary {
    machine: String,
    date: String,
    scenarios: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    servers: BTreeMap<String, Sample>,
    rate_ratio: Option<f64>,
    cpu_ratio: Option<f64>,
    rss_ratio: Option<f64>,
    always_ratio: Option<f64>,
}

impl Summary {
    /// Takes the medians.
    pub fn new(results: &[(&'static str, Mode, Sample)]) -> Summary {
        let mut names: Vec<&str> = Vec::new();
        for (name, _, _) in results {
            if !names.contains(name) {
                names.push(name);
            }
        }
        let scenarios = names.into_iter().map(|n| row(n, results)).collect();
        Summary { machine: machine(), date: date(), scenarios }
    }

    /// The table.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "Machine: {}. Date: {}.\n", self.machine, self.date);
        let _ = writeln!(
            out,
            "| scenario | gust | nats-server | × | CPU µs gust / nats | × | vs always × | \
             p50 / p99 / p99.9 µs gust | nats-server | RSS MiB gust / nats |\n\
             |---|---|---|---|---|---|---|---|---|---|"
        );
        for r in &self.scenarios {
            let get = |m: Mode| r.servers.get(&m.to_string());
            let (g, n) = (get(Mode::Gust), get(Mode::Reference));
            let main = |s: Option<&Sample>| match s {
                None => "–".to_owned(),
                Some(Sample { per_peer: Some(b), .. }) => format!("{:.1} KiB", b / 1024.0),
                Some(s) => s.seconds.map_or_else(|| rate(s.rate), |t| format!("{t:.2} s")),
            };
            let cpu = |s: Option<&Sample>| s.map_or("–".into(), |s| format!("{:.2}", s.cpu_us));
            let lat = |s: Option<&Sample>| match s
                .and_then(|s| Some((s.p50_us?, s.p99_us?, s.p999_us?)))
            {
                Some((a, b, c)) => format!("{a:.0} / {b:.0} / {c:.0}"),
                None => "–".into(),
            };
            let rss = |s: Option<&Sample>| {
                s.map_or("–".into(), |s| format!("{:.0}", s.rss as f64 / 1048576.0))
            };
            let x = |v: Option<f64>| v.map_or("–".into(), |v| format!("{v:.2}"));
            let _ = writeln!(
                out,
                "| {} | {} | {} | **{}** | {} / {} | {} | {} | {} | {} | {} / {} |",
                r.name,
                main(g),
                main(n),
                x(r.rate_ratio),
                cpu(g),
                cpu(n),
                x(r.cpu_ratio),
                x(r.always_ratio),
                lat(g),
                lat(n),
                rss(g),
                rss(n)
            );
        }
        out
    }

    /// The document.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }
}

fn row(name: &str, results: &[(&'static str, Mode, Sample)]) -> Row {
    let mut servers = BTreeMap::new();
    for mode in [Mode::Gust, Mode::Reference, Mode::ReferenceAlways] {
        let mut samples: Vec<&Sample> = results
            .iter()
            .filter(|(n, m, _)| *n == name && *m == mode)
            .map(|(_, _, s)| s)
            .collect();
        if samples.is_empty() {
            continue;
        }
        samples.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        let mut median = samples[samples.len() / 2].clone();
        let mut cpus: Vec<f64> = samples.iter().map(|s| s.cpu_us).collect();
        cpus.sort_by(f64::total_cmp);
        median.cpu_us = cpus[cpus.len() / 2];
        servers.insert(mode.to_string(), median);
    }
    let ratio = |f: &dyn Fn(&Sample) -> f64, other: Mode| {
        let a = f(servers.get(&Mode::Gust.to_string())?);
        let b = f(servers.get(&other.to_string())?);
        (b > 0.0).then(|| a / b)
    };
    Row {
        name: name.to_owned(),
        rate_ratio: ratio(&|s| s.rate, Mode::Reference),
        cpu_ratio: ratio(&|s| s.cpu_us, Mode::Reference),
        rss_ratio: ratio(&|s| s.rss as f64, Mode::Reference),
        always_ratio: ratio(&|s| s.rate, Mode::ReferenceAlways),
        servers,
    }
}

fn rate(r: f64) -> String {
    match r {
        r if r >= 1e6 => format!("{:.2}M/s", r / 1e6),
        r if r >= 1e3 => format!("{:.1}k/s", r / 1e3),
        r => format!("{r:.1}/s"),
    }
}

/// The machine in one line: cores, processor, memory, kernel.
fn machine() -> String {
    let read = |p: &str| std::fs::read_to_string(p).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|l| l.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, m)| m.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mem = read("/proc/meminfo")
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:")?.trim().split(' ').next()?.parse::<u64>().ok())
        .unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores, {model}, {} GiB, Linux {}", mem >> 20, kernel.trim())
}

fn date() -> String {
    let out = std::process::Command::new("date").arg("+%Y-%m-%d").output();
    out.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}
