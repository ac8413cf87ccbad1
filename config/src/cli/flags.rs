//! Flags by the rules of Go's `flag` package: `-x` and `--x` are the same, `-x v` or `-x=v`, bool
//! flags take a value only behind `=`, the first word that is no flag ends them.

/// A flag that is not understood; the text is Go's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlagError(pub(crate) String);

/// A parsed command line.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Parsed {
    pub(crate) version: bool,
    pub(crate) help: bool,
    pub(crate) help_tls: bool,
    pub(crate) check_config: bool,
    pub(crate) config_file: Option<String>,
    pub(crate) signal: Option<String>,
    pub(crate) flags: Flags,
    /// Words behind the flags.
    pub(crate) rest: Vec<String>,
}

/// Flags that override the file, by their long names. `None`: not given.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs, reason = "each field is the flag of the same name, described in the usage")]
pub struct Flags {
    pub addr: Option<String>,
    pub port: Option<i64>,
    pub name: Option<String>,
    pub client_advertise: Option<String>,
    pub pid: Option<String>,
    pub ports_file_dir: Option<String>,
    pub http_port: Option<i64>,
    pub https_port: Option<i64>,
    pub profile: Option<i64>,
    pub log: Option<String>,
    pub logtime: Option<bool>,
    pub logtime_utc: Option<bool>,
    pub syslog: Option<bool>,
    pub remote_syslog: Option<String>,
    pub debug: Option<bool>,
    pub trace: Option<bool>,
    pub debug_trace: Option<bool>,
    pub verbose_trace: Option<bool>,
    pub debug_verbose_trace: Option<bool>,
    pub log_size_limit: Option<i64>,
    pub max_traced_msg_len: Option<i64>,
    pub user: Option<String>,
    pub pass: Option<String>,
    pub auth: Option<String>,
    pub tls: Option<bool>,
    pub tlsverify: Option<bool>,
    pub tlscert: Option<String>,
    pub tlskey: Option<String>,
    pub tlscacert: Option<String>,
    pub jetstream: Option<bool>,
    pub store_dir: Option<String>,
    pub routes: Option<String>,
    pub cluster: Option<String>,
    pub cluster_name: Option<String>,
    pub cluster_advertise: Option<String>,
    pub no_advertise: Option<bool>,
    pub connect_retries: Option<i64>,
}

/// Where the value of a flag goes.
enum Slot<'f> {
    Bool(&'f mut Option<bool>),
    Switch(&'f mut bool),
    Int(&'f mut Option<i64>),
    Text(&'f mut Option<String>),
}

impl Parsed {
    fn slot(&mut self, name: &str) -> Option<Slot<'_>> {
        use Slot::{Bool, Int, Switch, Text};
        let flags = &mut self.flags;
        Some(match name {
            "h" | "help" => Switch(&mut self.help),
            "v" | "version" => Switch(&mut self.version),
            "help_tls" => Switch(&mut self.help_tls),
            "t" => Switch(&mut self.check_config),
            "c" | "config" => Text(&mut self.config_file),
            "sl" | "signal" => Text(&mut self.signal),
            "a" | "addr" | "net" => Text(&mut flags.addr),
            "p" | "port" => Int(&mut flags.port),
            "n" | "name" | "server_name" => Text(&mut flags.name),
            "client_advertise" => Text(&mut flags.client_advertise),
            "P" | "pid" => Text(&mut flags.pid),
            "ports_file_dir" => Text(&mut flags.ports_file_dir),
            "m" | "http_port" => Int(&mut flags.http_port),
            "ms" | "https_port" => Int(&mut flags.https_port),
            "profile" => Int(&mut flags.profile),
            "l" | "log" => Text(&mut flags.log),
            "T" | "logtime" => Bool(&mut flags.logtime),
            "logtime_utc" => Bool(&mut flags.logtime_utc),
            "s" | "syslog" => Bool(&mut flags.syslog),
            "r" | "remote_syslog" => Text(&mut flags.remote_syslog),
            "D" | "debug" => Bool(&mut flags.debug),
            "V" | "trace" => Bool(&mut flags.trace),
            "DV" => Bool(&mut flags.debug_trace),
            "VV" => Bool(&mut flags.verbose_trace),
            "DVV" => Bool(&mut flags.debug_verbose_trace),
            "log_size_limit" => Int(&mut flags.log_size_limit),
            "max_traced_msg_len" => Int(&mut flags.max_traced_msg_len),
            "user" => Text(&mut flags.user),
            "pass" => Text(&mut flags.pass),
            "auth" => Text(&mut flags.auth),
            "tls" => Bool(&mut flags.tls),
            "tlsverify" => Bool(&mut flags.tlsverify),
            "tlscert" => Text(&mut flags.tlscert),
            "tlskey" => Text(&mut flags.tlskey),
            "tlscacert" => Text(&mut flags.tlscacert),
            "js" | "jetstream" => Bool(&mut flags.jetstream),
            "sd" | "store_dir" => Text(&mut flags.store_dir),
            "routes" => Text(&mut flags.routes),
            "cluster" | "cluster_listen" => Text(&mut flags.cluster),
            "cluster_name" => Text(&mut flags.cluster_name),
            "cluster_advertise" => Text(&mut flags.cluster_advertise),
            "no_advertise" => Bool(&mut flags.no_advertise),
            "connect_retries" => Int(&mut flags.connect_retries),
            _ => return None,
        })
    }
}

/// Reads flags until the first word that is none, or `--`.
pub(crate) fn parse(args: &[String]) -> Result<Parsed, FlagError> {
    let mut parsed = Parsed::default();
    let mut args = args.iter();
    while let Some(arg) = args.as_slice().first() {
        if arg == "--" {
            args.next();
            break;
        }
        let Some(flag) = arg.strip_prefix('-').filter(|rest| !rest.is_empty()) else { break };
        args.next();
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        if flag.is_empty() || flag.starts_with(['-', '=']) {
            return Err(FlagError(format!("bad flag syntax: {arg}")));
        }
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        let slot = parsed
            .slot(name)
            .ok_or_else(|| FlagError(format!("flag provided but not defined: -{name}")))?;
        let mut needed = || {
            value
                .or_else(|| args.next().map(String::as_str))
                .ok_or_else(|| FlagError(format!("flag needs an argument: -{name}")))
        };
        match slot {
            Slot::Bool(slot) => *slot = Some(boolean(name, value)?),
            Slot::Switch(slot) => *slot = boolean(name, value)?,
            Slot::Int(slot) => *slot = Some(integer(name, needed()?)?),
            Slot::Text(slot) => *slot = Some(needed()?.to_owned()),
        }
    }
    parsed.rest = args.cloned().collect();
    Ok(parsed)
}

fn boolean(name: &str, value: Option<&str>) -> Result<bool, FlagError> {
    match value {
        None | Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(true),
        Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(false),
        Some(other) => {
            Err(FlagError(format!("invalid boolean value {other:?} for -{name}: parse error")))
        }
    }
}

fn integer(name: &str, text: &str) -> Result<i64, FlagError> {
    number(text).map_err(|why| FlagError(format!("invalid value {text:?} for flag -{name}: {why}")))
}

/// A number with Go's prefixes for base 16, 8 and 2, and underscores between digits.
fn number(text: &str) -> Result<i64, &'static str> {
    const SYNTAX: &str = "parse error";
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.get(..2) {
        Some("0x") => (16, lower.get(2..).unwrap_or_default()),
        Some("0o") => (8, lower.get(2..).unwrap_or_default()),
        Some("0b") => (2, lower.get(2..).unwrap_or_default()),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, lower.get(1..).unwrap_or_default()),
        _ => (10, lower.as_str()),
    };
    let digits = digits.replace('_', "");
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return Err(SYNTAX);
    }
    let value = i128::from_str_radix(&digits, base).map_err(|_| "value out of range")?;
    i64::try_from(if negative { -value } else { value }).map_err(|_| "value out of range")
}
