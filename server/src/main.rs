//! The `gust` binary. Under the name `nats-server` it behaves as that program
//! does (contract/core.md §3).

use gust_config::cli::{self, CliOutcome};
use gust_server::{command_line, config_diff, explain, run};
use std::io::Write;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut args = std::env::args();
    let argv0 = args.next().unwrap_or_default();
    let program = std::path::Path::new(&argv0)
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or("gust")
        .to_owned();
    let args = command_line::take(&argv0, args.collect());
    match cli::parse(&program, args) {
        CliOutcome::Print { stdout, stderr, exit } => {
            let _ = std::io::stdout().write_all(stdout.as_bytes());
            let _ = std::io::stderr().write_all(stderr.as_bytes());
            ExitCode::from(exit)
        }
        CliOutcome::Explain(request) => explain::run(&request),
        CliOutcome::ConfigDiff(request) => config_diff::run(&request),
        CliOutcome::Signal(request) => run::signal(&program, &request),
        CliOutcome::Run(options) => run::run(&program, &options),
    }
}
