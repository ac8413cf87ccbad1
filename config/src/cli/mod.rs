//! The command line, as data: what to print, which signal to send, or what to run.
//!
//! nats-server's flags by the rules of Go's `flag` package. Nothing is printed or sent here.

pub mod access;
pub mod apply;
pub mod config_diff;
pub mod explain;
pub mod flags;
pub mod redact;
pub mod usage;

use flags::{FlagError, Flags};

/// The nats-server release whose behaviour is matched; clients see it as the version.
pub const COMPATIBLE_VERSION: &str = "2.15.1";
/// The version of this product.
pub const PRODUCT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum CliOutcome {
    /// Print and end: help, versions and everything that is wrong.
    Print {
        /// For standard output, line feeds included.
        stdout: String,
        /// For standard error, line feeds included.
        stderr: String,
        /// Exit code.
        exit: u8,
    },
    /// Say what a reload would do and end with 0, 1 or 2.
    ConfigDiff(Box<config_diff::DiffRequest>),
    /// Send a signal to a running server and end with 0, or with 1 and `<program>: <reason>`.
    Signal(SignalRequest),
    /// `auth explain`: decide, print, and end.
    Explain(Box<explain::ExplainRequest>),
    /// Check the file (`-t`) or start.
    Run(Box<CliOptions>),
}

/// `--signal <command>[=<target>]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalRequest {
    /// What to send.
    pub command: SignalCommand,
    /// A process id, the path of a file with one, or the start of ids followed by `*`; without
    /// it, the only running server is meant.
    pub target: Option<String>,
}

/// Signals by the names of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalCommand {
    /// KILL
    Stop,
    /// INT
    Quit,
    /// TERM
    Term,
    /// USR1: open the log file again.
    Reopen,
    /// HUP: read the configuration again.
    Reload,
    /// USR2: lame duck mode.
    LameDuck,
}

impl SignalCommand {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "stop" => Self::Stop,
            "quit" => Self::Quit,
            "term" => Self::Term,
            "reopen" => Self::Reopen,
            "reload" => Self::Reload,
            "ldm" => Self::LameDuck,
            _ => return None,
        })
    }
}

/// What flags said. `None`: the flag was not given, so the file decides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CliOptions {
    /// The name errors begin with: `nats-server` or `gust`.
    pub program: String,
    /// `-c`
    pub config_file: Option<String>,
    /// `-t`: check the file and end.
    pub check_config: bool,
    /// Everything that overrides the file; see [`crate::Options::apply_cli`].
    pub flags: Flags,
}

/// Which of the two names a program runs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    NatsServer,
    Gust,
}

impl Program {
    /// By the last part of `argv[0]`, so that a link named `nats-server` is a drop-in.
    fn of(argv0: &str) -> Self {
        let name = argv0.rsplit(['/', '\\']).next().unwrap_or(argv0);
        if name.starts_with("nats-server") { Self::NatsServer } else { Self::Gust }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NatsServer => "nats-server",
            Self::Gust => "gust",
        }
    }

    fn version(self) -> String {
        match self {
            Self::NatsServer => format!("nats-server: v{COMPATIBLE_VERSION}\n"),
            Self::Gust => format!(
                "gust {PRODUCT_VERSION} (compatible with nats-server {COMPATIBLE_VERSION})\n"
            ),
        }
    }
}

/// Reads a command line; `program` is `argv[0]`, `args` are those behind it.
pub fn parse<I, S>(program: &str, args: I) -> CliOutcome
where
    I: IntoIterator<Item = S>,
    S: Into<String>,
{
    let program = Program::of(program);
    let args: Vec<String> = args.into_iter().map(Into::into).collect();
    if let (Program::Gust, [command, rest @ ..]) = (program, args.as_slice()) {
        match command.as_str() {
            "auth" => return explain::parse(rest),
            "config" => return config_diff::parse(rest),
            _ => {}
        }
    }
    let parsed = match flags::parse(&args) {
        Ok(parsed) => parsed,
        // Go's flag package answers a wrong flag with the usage, whose printing ends the program
        // with 0; scripts have come to see that.
        Err(FlagError(reason)) => {
            return CliOutcome::Print {
                stdout: usage::usage(program),
                stderr: format!("{reason}\n"),
                exit: 0,
            };
        }
    };
    let command = parsed.rest.first().map(|word| (word, word.to_ascii_lowercase()));
    let command = command.as_ref().map(|(word, lower)| (word.as_str(), lower.as_str()));
    if parsed.version {
        return print(program.version());
    }
    if parsed.help {
        return print(usage::usage(program));
    }
    if parsed.help_tls {
        return print(usage::tls_usage());
    }
    match command {
        Some((_, "version")) => return print(program.version()),
        Some((_, "help")) => return print(usage::usage(program)),
        Some((word, _)) => return fail(program, &format!("unrecognized command: {word:?}")),
        None => {}
    }
    if let Some(text) = parsed.signal.as_deref().filter(|text| !text.is_empty()) {
        return match signal(text) {
            Ok(request) => CliOutcome::Signal(request),
            Err(reason) => fail(program, &reason),
        };
    }
    let config_file = parsed.config_file.filter(|path| !path.is_empty());
    if parsed.check_config && config_file.is_none() {
        return fail(
            program,
            "must specify [-c, --config] option to check configuration file syntax",
        );
    }
    CliOutcome::Run(Box::new(CliOptions {
        program: program.name().to_owned(),
        config_file,
        check_config: parsed.check_config,
        flags: parsed.flags,
    }))
}

impl CliOptions {
    /// The line that `-t` prints on standard error for a good file.
    #[must_use]
    pub fn valid_line(&self, digest: &str) -> String {
        let file = self.config_file.as_deref().unwrap_or_default();
        format!("{}: configuration file {file} is valid ({digest})\n", self.program)
    }

    /// What standard error shows for anything that ends the start with exit code 1.
    #[must_use]
    pub fn error_line(&self, reason: &dyn std::fmt::Display) -> String {
        format!("{}: {reason}\n", self.program)
    }
}

fn print(stdout: String) -> CliOutcome {
    CliOutcome::Print { stdout, stderr: String::new(), exit: 0 }
}

fn fail(program: Program, reason: &str) -> CliOutcome {
    let stderr = format!("{}: {reason}\n", program.name());
    CliOutcome::Print { stdout: String::new(), stderr, exit: 1 }
}

fn signal(text: &str) -> Result<SignalRequest, String> {
    let parts: Vec<&str> = text.split('=').collect();
    let (name, target) = match parts.as_slice() {
        [name] => (*name, None),
        [name, target] => (*name, Some(*target).filter(|t| !t.is_empty())),
        [_, _, rest @ ..] => {
            return Err(format!("invalid signal parameters: [{}]", rest.join(" ")));
        }
        [] => ("", None),
    };
    let command =
        SignalCommand::from_name(name).ok_or_else(|| format!("unknown signal {name:?}"))?;
    Ok(SignalRequest { command, target: target.map(str::to_owned) })
}

#[cfg(test)]
mod cli_test;
