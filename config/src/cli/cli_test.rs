//! Command lines and what comes of them.

use super::flags::Flags;
use super::redact::redact_args;
use super::{CliOutcome, SignalCommand, SignalRequest, parse};
use crate::options::Options;

fn run(line: &str) -> CliOutcome {
    parse("/usr/bin/nats-server", line.split_whitespace())
}

fn flags(line: &str) -> Flags {
    match run(line) {
        CliOutcome::Run(cli) => cli.flags,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_wrong_flag_prints_the_usage_and_ends_with_zero() {
    for (line, reason) in [
        ("-foo", "flag provided but not defined: -foo"),
        ("--foo=1", "flag provided but not defined: -foo"),
        ("-p x", "invalid value \"x\" for flag -p: parse error"),
        ("-p", "flag needs an argument: -p"),
        ("--port=zz", "invalid value \"zz\" for flag -port: parse error"),
        (
            "-p 99999999999999999999",
            "invalid value \"99999999999999999999\" for flag -p: value out of range",
        ),
        ("-D=x", "invalid boolean value \"x\" for -D: parse error"),
        ("-js=maybe", "invalid boolean value \"maybe\" for -js: parse error"),
        ("-=x", "bad flag syntax: -=x"),
        ("---x", "bad flag syntax: ---x"),
    ] {
        let CliOutcome::Print { stdout, stderr, exit } = run(line) else { panic!("{line}") };
        assert_eq!((stderr.as_str(), exit), (format!("{reason}\n").as_str(), 0), "{line}");
        assert!(stdout.starts_with("\nUsage: nats-server [options]\n"), "{line}");
    }
}

#[test]
fn other_mistakes_end_with_one() {
    for (line, reason) in [
        ("foo", "unrecognized command: \"foo\""),
        ("-", "unrecognized command: \"-\""),
        ("-- foo", "unrecognized command: \"foo\""),
        ("-T 0", "unrecognized command: \"0\""),
        ("-t", "must specify [-c, --config] option to check configuration file syntax"),
        ("-sl bogus", "unknown signal \"bogus\""),
        ("-sl a=b=c", "invalid signal parameters: [c]"),
    ] {
        let stderr = format!("nats-server: {reason}\n");
        assert_eq!(
            run(line),
            CliOutcome::Print { stdout: String::new(), stderr, exit: 1 },
            "{line}"
        );
    }
}

#[test]
fn versions_and_help_are_printed() {
    let printed = |program: &str, line: &str| match parse(program, line.split_whitespace()) {
        CliOutcome::Print { stdout, stderr, exit: 0 } if stderr.is_empty() => stdout,
        other => panic!("{line}: {other:?}"),
    };
    for line in ["-v", "--version", "version", "-p 1 -v", "VERSION"] {
        assert_eq!(printed("nats-server", line), "nats-server: v2.15.1\n");
        assert_eq!(
            printed("./gust", line),
            format!("gust {} (compatible with nats-server 2.15.1)\n", env!("CARGO_PKG_VERSION"))
        );
    }
    assert!(printed("gust", "help").starts_with("\nUsage: gust [options]\n"));
    assert!(printed("gust", "--help_tls").contains("    TLS_AES_128_GCM_SHA256\n"));
}

#[test]
fn signals_name_a_command_and_maybe_a_target() {
    for (line, command, target) in [
        ("-sl ldm", SignalCommand::LameDuck, None),
        ("--signal reload=123", SignalCommand::Reload, Some("123")),
        ("--signal=stop=/run/a.pid", SignalCommand::Stop, Some("/run/a.pid")),
        ("-sl quit=12*", SignalCommand::Quit, Some("12*")),
    ] {
        let target = target.map(str::to_owned);
        assert_eq!(run(line), CliOutcome::Signal(SignalRequest { command, target }), "{line}");
    }
}

#[test]
fn values_follow_the_rules_of_go() {
    assert_eq!(flags("-p -1").port, Some(-1));
    assert_eq!(flags("--p=0x10").port, Some(16));
    assert_eq!(flags("-p 010").port, Some(8));
    assert_eq!(flags("-p 1_000").port, Some(1000));
    assert_eq!(flags("-js=f").jetstream, Some(false));
    assert_eq!(flags("-js -sd /x").store_dir.as_deref(), Some("/x"));
    assert_eq!(flags("-p 1 --port 2").port, Some(2));
    assert_eq!(flags("--user=a=b").user.as_deref(), Some("a=b"));
}

fn applied(line: &str) -> Result<Options, String> {
    let mut options = Options::default();
    options.listen.port = 5;
    options.log.debug = true;
    options.apply_cli(&flags(line)).map_err(|e| e.to_string())?;
    Ok(options)
}

#[test]
fn flags_override_the_file() {
    let options = applied("-a 127.0.0.1 -n x -js -sd /d -m 8222 -T=false -D=false").unwrap();
    assert_eq!((options.listen.host.as_str(), options.listen.port), ("127.0.0.1", 5));
    assert!(options.jetstream.enabled && !options.log.debug && !options.log.time);
    assert_eq!((options.jetstream.store_dir.as_str(), options.http.port), ("/d", 8222));
    for (line, debug, trace, verbose) in [
        ("-DV", true, true, false),
        ("-VV", true, true, true),
        ("-DVV", true, true, true),
        ("-DV=false -V", false, false, false),
        ("-DV=false -VV", false, true, true),
    ] {
        let log = applied(line).unwrap().log;
        assert_eq!((log.debug, log.trace, log.trace_verbose), (debug, trace, verbose), "{line}");
    }
    let options = applied("--cluster nats://u:p@h:-1 --routes nats://a:1,nats://b:2").unwrap();
    let cluster = &options.cluster;
    assert_eq!((cluster.listen.host.as_str(), cluster.listen.port), ("h", -1));
    assert_eq!((cluster.authorization.user.as_str(), cluster.routes.len()), ("u", 2));
    let tls = applied("--tlscert c --tlskey k --tlsverify").unwrap().tls.unwrap();
    assert!(tls.verify && tls.cert_file == "c" && tls.key_file == "k");
    assert_eq!(applied("--tls=false --tlscert c").unwrap().tls, None);
}

#[test]
fn flags_that_do_not_fit_together_are_refused() {
    for (line, reason) in [
        ("--tls", "TLS Server certificate must be present and valid"),
        ("--tlscert c", "TLS Server private key must be present and valid"),
        ("--routes nats://a:1", "solicited routes require cluster capabilities, e.g. --cluster"),
        ("--cluster nats://x@a:1", "expected cluster password to be set"),
        ("--cluster xx", "missing port in address"),
        ("--cluster nats://a", "address a: missing port in address"),
    ] {
        assert_eq!(applied(line).unwrap_err(), reason, "{line}");
    }
}

#[test]
fn secrets_do_not_show() {
    let args = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        redact_args(&args(
            "--user a -pass=b --auth c -p 1 --routes nats://u:p@h:1,nats://g:2 --cluster=nats://x:y@h:-1"
        )),
        args(
            "--user [REDACTED] -pass=[REDACTED] --auth [REDACTED] -p 1 --routes \
             nats://[REDACTED]@h:1,nats://g:2 --cluster=nats://[REDACTED]@h:-1"
        )
    );
}
