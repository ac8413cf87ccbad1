//! The benchmark: drives Gust and the reference nats-server in turns, on this
//! machine, and reports ratios (`benches/README.md`).

mod client;
mod core;
mod jetstream;
mod measure;
mod peers;
mod report;
mod scenario;
mod security;
mod server;
mod tls;

use anyhow::{Context, Result, bail};
use scenario::{SCENARIOS, Scale};
use std::path::PathBuf;

/// Command line.
struct Args {
    gust: PathBuf,
    reference: PathBuf,
    rounds: usize,
    scale: f64,
    only: Vec<String>,
    modes: Vec<server::Mode>,
    json: Option<PathBuf>,
    markdown: Option<PathBuf>,
}

const USAGE: &str = "gust-bench [options]
  --gust PATH        server under test (default: target/release/gust)
  --reference PATH   nats-server to compare with (default: nats-server from PATH;
                     benches/install-reference.sh installs it)
  --rounds N         alternating rounds per scenario, medians are reported (default 3)
  --scale F          multiply message counts (default 1.0)
  --only A,B         scenarios whose name contains A or B
  --always           also run nats-server with sync_interval: always
  --json FILE        write results as JSON
  --markdown FILE    write results as a Markdown table
  --list             list the scenarios
";

fn parse() -> Result<Args> {
    use lexopt::prelude::*;
    let mut args = Args {
        gust: "target/release/gust".into(),
        reference: "nats-server".into(),
        rounds: 3,
        scale: 1.0,
        only: Vec::new(),
        modes: vec![server::Mode::Gust, server::Mode::Reference],
        json: None,
        markdown: None,
    };
    let mut p = lexopt::Parser::from_env();
    while let Some(arg) = p.next()? {
        match arg {
            Long("gust") => args.gust = p.value()?.into(),
            Long("reference") => args.reference = p.value()?.into(),
            Long("rounds") => args.rounds = p.value()?.parse()?,
            Long("scale") => args.scale = p.value()?.parse()?,
            Long("only") => {
                args.only = p.value()?.string()?.split(',').map(str::to_owned).collect();
            }
            Long("always") => args.modes.push(server::Mode::ReferenceAlways),
            Long("json") => args.json = Some(p.value()?.into()),
            Long("markdown") => args.markdown = Some(p.value()?.into()),
            Long("list") => {
                for s in SCENARIOS {
                    report::line(&format!("{:<28} {}", s.name, s.about));
                }
                std::process::exit(0);
            }
            Long("help") | Short('h') => {
                report::line(USAGE);
                std::process::exit(0);
            }
            _ => bail!("{}\n{USAGE}", arg.unexpected()),
        }
    }
    Ok(args)
}

fn main() -> Result<()> {
    let args = parse()?;
    let chosen: Vec<_> = SCENARIOS
        .iter()
        .filter(|s| args.only.is_empty() || args.only.iter().any(|o| s.name.contains(o.as_str())))
        .collect();
    if chosen.is_empty() {
        bail!("no scenario is called like that; --list shows them");
    }
    let scale = Scale(args.scale);
    let mut results = Vec::new();
    let total = chosen.len() * args.rounds;
    let mut done = 0;
    for scenario in chosen {
        for round in 0..args.rounds.max(1) {
            for mode in &args.modes {
                if *mode == server::Mode::ReferenceAlways && !scenario.file {
                    continue;
                }
                report::progress(done, total, &format!("{} {mode} #{}", scenario.name, round + 1));
                let program =
                    if *mode == server::Mode::Gust { &args.gust } else { &args.reference };
                let sample = (scenario.run)(program, *mode, scale)
                    .with_context(|| format!("{} on {mode}", scenario.name))?;
                results.push((scenario.name, *mode, sample));
            }
            done += 1;
        }
    }
    report::progress(done, total, "done");
    let summary = report::Summary::new(&results);
    report::line(&summary.markdown());
    if let Some(path) = args.json {
        std::fs::write(&path, summary.json()?)?;
    }
    if let Some(path) = args.markdown {
        std::fs::write(&path, summary.markdown())?;
    }
    Ok(())
}
