//! The help texts.

use std::fmt::Write as _;

use super::Program;
use crate::options::tls::{CIPHER_SUITES, CURVES, INSECURE_CIPHER_SUITES};

/// Flags in groups: spelling and meaning.
const GROUPS: [(&str, &[(&str, &str)]); 8] = [
    (
        "Server",
        &[
            ("-a, --addr, --net <host>", "Address to listen on (default: 0.0.0.0)"),
            ("-p, --port <port>", "Port for clients (default: 4222, -1: any free port)"),
            ("-n, --name, --server_name <name>", "Name of the server (default: generated)"),
            ("--client_advertise <host:port>", "Address announced to clients and other servers"),
            ("-c, --config <file>", "Configuration file"),
            ("-t", "Check the configuration file and exit"),
            ("-P, --pid <file>", "File to write the process id to"),
            ("--ports_file_dir <dir>", "Directory for a file that lists the open ports"),
            ("-m, --http_port <port>", "Port for monitoring over HTTP"),
            ("-ms, --https_port <port>", "Port for monitoring over HTTPS"),
            ("-sl, --signal <name>[=<pid>]", "Signal a running server: ldm, stop, quit, term,"),
            ("", "reopen or reload; <pid> is an id or the path of a pid file"),
        ],
    ),
    (
        "Logging",
        &[
            ("-l, --log <file>", "Write the log to a file"),
            ("-T, --logtime[=<bool>]", "Begin lines with the time (default: true)"),
            ("--logtime_utc", "Use UTC instead of local time"),
            ("-s, --syslog", "Write to the system log"),
            ("-r, --remote_syslog <url>", "Write to the system log of another host"),
            ("-D, --debug", "Include debug lines"),
            ("-V, --trace", "Include protocol lines"),
            ("-VV", "Include protocol lines, also of the system account"),
            ("-DV", "Both debug and trace"),
            ("-DVV", "Both debug and trace, also of the system account"),
            ("--log_size_limit <bytes>", "Start a new log file at this size"),
            ("--max_traced_msg_len <bytes>", "Show only so much of a traced message"),
        ],
    ),
    (
        "JetStream",
        &[
            ("-js, --jetstream", "Enable JetStream"),
            ("-sd, --store_dir <dir>", "Directory for its data"),
        ],
    ),
    (
        "Authorization",
        &[
            ("--user <name>", "User name clients must present"),
            ("--pass <password>", "Password clients must present"),
            ("--auth <token>", "Token clients must present"),
        ],
    ),
    (
        "TLS",
        &[
            ("--tls[=<bool>]", "Enable TLS; needs a certificate and its key"),
            ("--tlscert <file>", "Certificate of the server"),
            ("--tlskey <file>", "Private key of the certificate"),
            ("--tlsverify", "Require certificates of clients"),
            ("--tlscacert <file>", "Authority that signs certificates of clients"),
        ],
    ),
    (
        "Cluster",
        &[
            ("--cluster, --cluster_listen <url>", "Address on which routes are accepted"),
            ("--routes <url>[,<url>]", "Servers to connect to"),
            ("--cluster_name <name>", "Name of the cluster (default: generated)"),
            ("--cluster_advertise <host:port>", "Address announced to other servers"),
            ("--no_advertise[=<bool>]", "Announce no client addresses"),
            ("--connect_retries <number>", "Attempts to reach servers learned from others"),
        ],
    ),
    ("Profiling", &[("--profile <port>", "Port for profiling over HTTP")]),
    (
        "Common",
        &[
            ("-h, --help", "Show this text"),
            ("-v, --version", "Show the version"),
            ("--help_tls", "Show TLS cipher suites and curves"),
        ],
    ),
];

/// Width of the column with the flags.
const WIDTH: usize = 36;

pub(crate) fn usage(program: Program) -> String {
    let mut text = format!("\nUsage: {} [options]\n", program.name());
    for (group, flags) in GROUPS {
        let _ = writeln!(text, "\n{group} Options:");
        for (flag, meaning) in flags {
            let _ = writeln!(text, "    {flag:WIDTH$} {meaning}");
        }
    }
    if program == Program::Gust {
        text.push_str("\nCommands:\n");
        let _ = writeln!(
            text,
            "    {:WIDTH$} Why somebody may or may not publish or subscribe",
            "auth explain --help"
        );
        let _ = writeln!(
            text,
            "    {:WIDTH$} What a reload would change, and what needs a restart",
            "config diff --help"
        );
    }
    text.push('\n');
    text
}

pub(crate) fn tls_usage() -> String {
    let mut text = String::from(
        "A tls { } block names a certificate and its key, and optionally the suites and curves to \
         use:\n\n    tls {\n      cert_file: \"./certs/server-cert.pem\"\n      key_file: \
         \"./certs/server-key.pem\"\n      ca_file: \"./certs/ca.pem\"\n      verify: true\n      \
         min_version: \"1.2\"\n    }\n",
    );
    for (title, names) in [
        ("Cipher suites", CIPHER_SUITES.as_slice()),
        ("Cipher suites that need allow_insecure_cipher_suites", &INSECURE_CIPHER_SUITES),
        ("Curves", &CURVES),
    ] {
        let _ = writeln!(text, "\n{title}:");
        for name in names {
            let _ = writeln!(text, "    {name}");
        }
    }
    text
}
