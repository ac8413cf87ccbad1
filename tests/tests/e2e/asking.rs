//! `gust auth explain --server` and `gust config diff --server`: every way to log
//! in, with TLS and without, and what is said where it does not work.

use crate::common::*;
use crate::pki::{Pki, email};
use crate::tokens::{self, account, creds, user, user_token};
use gust_tests::process::{Server, binary};
use rcgen::DnType;
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// Exit code and everything that is printed.
fn gust(args: &[&str]) -> (i32, String) {
    let out = Command::new(binary()).args(args).output().unwrap();
    (out.status.code().unwrap(), text(&out.stdout) + &text(&out.stderr))
}

/// Both commands with these flags: whether they work, or what they say.
fn ask(url: &str, flags: &[&str]) -> Result<String, String> {
    let both = |command: &[&str], rest: &[&str]| {
        gust(&[command, &["--server", url], flags, rest].concat())
    };
    let (code, explained) = both(&["auth", "explain"], &["pub", "x"]);
    let (other, planned) = both(&["config", "diff"], &[]);
    assert_eq!(code, other, "{explained}{planned}");
    if code == 0 {
        assert_eq!(planned, "Nothing changes.\n", "{flags:?}");
        return Ok(explained);
    }
    assert_eq!(code, 2, "{explained}");
    let (one, two) =
        (explained.strip_prefix("gust: cannot tell: "), planned.strip_prefix("gust: "));
    assert_eq!(one, two, "both say the same");
    Err(explained)
}

fn refused(url: &str, flags: &[&str], wanted: &[&str]) {
    let said = ask(url, flags).unwrap_err();
    for want in wanted {
        assert!(said.contains(want), "{flags:?}: {said} has no {want:?}");
    }
}

/// The server's URL with another scheme and who.
fn url(server: &Server, scheme: &str, who: &str) -> String {
    format!("{scheme}://{who}{}", server.url.strip_prefix("nats://").unwrap())
}

fn file(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Users of the system account, so that both commands have something to say.
fn system(users: &str) -> String {
    format!("accounts {{ $SYS {{ users [{users}] }}, A {{ users [{{user: a, pass: a}}] }} }}\n")
}

const SYS: &str = "{user: sys, pass: \"p@ss\"}";

fn pki() -> (Pki, String) {
    let pki = Pki::new();
    pki.server("server", &[]);
    let ca = pki.file("ca.pem").to_str().unwrap().to_owned();
    (pki, ca)
}

const LOGIN: [&str; 4] = ["--user", "sys", "--password", "p@ss"];

#[test]
fn users_and_passwords() {
    let server = configured(&system(SYS));
    let said = ask(&server.url, &LOGIN).unwrap();
    assert!(said.contains("yes: user \"sys\" of account \"$SYS\""), "{said}");
    assert!(ask(&url(&server, "nats", "sys:p%40ss@"), &[]).is_ok());
    assert!(ask(&url(&server, "nats", "sys:p@ss@"), &[]).is_ok());
    let log =
        ["the server refuses user \"sys\" with a password", "'Authorization Violation'", "log"];
    refused(&server.url, &["--user", "sys", "--password", "x"], &log);
    refused(&url(&server, "nats", "sys:x@"), &[], &log);
    refused(&server.url, &[], &["refuses somebody without credentials"]);
    refused(&server.url, &["--token", "t"], &["refuses somebody with a token"]);
    // Without a listener, and with something else there.
    refused("nats://127.0.0.1:1", &LOGIN, &["127.0.0.1:1: Connection refused"]);
    refused("ws://127.0.0.1:1", &LOGIN, &["speaks nats:// and tls://, not ws://"]);
}

#[test]
fn tokens_and_keys() {
    // A token belongs to nobody of the system account, so one command suffices.
    let server = configured("authorization { token: secret }");
    let explain = |url: &str, flags: &[&str]| {
        gust(&[&["auth", "explain", "--server", url], flags, &["pub", "x"]].concat())
    };
    assert_eq!(explain(&server.url, &["--token", "secret"]).0, 0);
    assert_eq!(explain(&url(&server, "nats", "secret@"), &[]).0, 0);
    let (code, said) = explain(&server.url, &["--token", "other"]);
    assert!(code == 2 && said.contains("refuses somebody with a token"), "{said}");
    let (code, said) = gust(&["config", "diff", "--server", &server.url, "--token", "secret"]);
    assert!(code == 2 && said.contains("nobody answers $SYS.REQ.SERVER."), "{said}");

    let dir = tempfile::tempdir().unwrap();
    let seed = file(dir.path(), "sys.nk", &format!("{}\n", *user("sys").seed()));
    let other = file(dir.path(), "other.nk", &user("other").seed());
    let refuse_a = |server: &Server, flags: &[&str], wanted: &str| {
        refused(&server.url, flags, &[wanted]);
    };
    refuse_a(&server, &["--nkey", &seed], "it sent no nonce to sign");
    let server = configured(&system(&format!("{{nkey: {}}}", user("sys").public())));
    assert!(ask(&server.url, &["--nkey", &seed]).is_ok());
    let who = format!("refuses the user with key {}", user("other").public());
    refuse_a(&server, &["--nkey", &other], &who);
    let public = file(dir.path(), "public", user("sys").public());
    refuse_a(&server, &["--nkey", &public], "holds no seed");
    let wrong = file(dir.path(), "account.nk", &account("SYS").seed());
    refuse_a(&server, &["--nkey", &wrong], "is not of a user's key");
    refuse_a(&server, &["--nkey", "missing"], "open missing: No such file");
}

#[test]
fn creds_over_tls() {
    let (pki, ca) = pki();
    let text = tokens::memory(&[], &pki.tls(""));
    let server = configured(&text);
    let of = |name: &str, signer: &str| {
        let token = user_token(name, json!({}), &account(signer));
        file(pki.dir(), &format!("{name}.creds"), &creds(&token, name))
    };
    let (good, bad) = (of("sys", "SYS"), of("bad", "other"));
    for url in [url(&server, "tls", ""), server.url.clone()] {
        assert!(ask(&url, &["--creds", &good, "--tlsca", &ca]).is_ok(), "{url}");
        let who = format!("the server refuses the user of {bad}: 'Authorization Violation'");
        refused(&url, &["--creds", &bad, "--tlsca", &ca], &[&who]);
    }
    let without_seed = file(pki.dir(), "sys.jwt", &user_token("sys", json!({}), &account("SYS")));
    refused(&server.url, &["--jwt", &without_seed, "--tlsca", &ca], &["has no seed"]);
}

#[test]
fn the_servers_certificate_is_checked() {
    let (pki, ca) = pki();
    let server = configured(&(pki.tls("") + &system(SYS)));
    let with_ca = [&LOGIN[..], &["--tlsca", &ca]].concat();
    for at in [url(&server, "tls", ""), server.url.clone()] {
        assert!(ask(&at, &with_ca).is_ok());
        // Nobody of the system's authorities has signed it.
        refused(&at, &LOGIN, &["TLS with 127.0.0.1:", "--tlsca"]);
    }
    let localhost = url(&server, "tls", "").replace("127.0.0.1", "localhost");
    assert!(ask(&localhost, &with_ca).is_ok());
    let other = url(&server, "tls", "").replace("127.0.0.1", "127.0.0.2");
    // The listener is at 127.0.0.1 only; the name is what a certificate is for.
    refused(&other, &with_ca, &["127.0.0.2:"]);
    let foreign = Pki::new();
    let foreign_ca = foreign.file("ca.pem").to_str().unwrap().to_owned();
    let flags = [&LOGIN[..], &["--tlsca", &foreign_ca]].concat();
    refused(&server.url, &flags, &["invalid peer certificate", "with --tlsca"]);
    let flags = [&LOGIN[..], &["--tlsca", "missing.pem"]].concat();
    refused(&server.url, &flags, &["--tlsca missing.pem"]);
    // Nothing is told to a server that offers no TLS where TLS is wanted.
    let plain = configured(&system(SYS));
    refused(&url(&plain, "tls", ""), &with_ca, &["offers no TLS"]);
    refused(&plain.url, &with_ca, &["offers no TLS"]);
    assert!(!plain.log().contains("authentication error"));
    let flags = [&with_ca[..], &["--tlsfirst"]].concat();
    refused(&plain.url, &flags, &["it does not begin with a TLS handshake"]);
}

#[test]
fn handshake_first() {
    let (pki, ca) = pki();
    let with_ca = [&LOGIN[..], &["--tlsca", &ca]].concat();
    for first in ["true", "auto", "\"200ms\""] {
        let config = pki.tls(&format!("handshake_first: {first}")) + &system(SYS);
        let server = configured(&config);
        assert!(ask(&url(&server, "tls", ""), &with_ca).is_ok(), "{first}");
        assert!(ask(&server.url, &with_ca).is_ok(), "{first}");
        assert!(ask(&server.url, &[&with_ca[..], &["--tlsfirst"]].concat()).is_ok(), "{first}");
    }
    let server = configured(&(pki.tls("handshake_first: true\ntimeout: 1") + &system(SYS)));
    // Nobody said TLS: the server closes in the end, and the remedy is named.
    refused(&server.url, &LOGIN, &["write tls://127.0.0.1:"]);
}

#[test]
fn client_certificates() {
    let (pki, ca) = pki();
    pki.sign("sys", &[email("sys@example.com")], &[(DnType::CommonName, "sys")]);
    let path = |name: &str| pki.file(name).to_str().unwrap().to_owned();
    let (cert, sys_key) = (path("sys.pem"), path("sys.key"));
    let presented = ["--tlsca", &ca, "--tlscert", &cert, "--tlskey", &sys_key];
    for mode in ["verify: true", "verify: true, handshake_first: true"] {
        let config = pki.tls(&format!("{}, {mode}", pki.ca_file())) + &system(SYS);
        let server = configured(&config);
        assert!(ask(&url(&server, "tls", ""), &[&LOGIN[..], &presented].concat()).is_ok());
        let without = [&LOGIN[..], &["--tlsca", &ca]].concat();
        refused(&url(&server, "tls", ""), &without, &["--tlscert and --tlskey"]);
        // Its own authority is not the server's.
        let foreign = Pki::new();
        foreign.sign("x", &[], &[(DnType::CommonName, "x")]);
        let of = |name: &str| foreign.file(name).to_str().unwrap().to_owned();
        let (cert, key) = (of("x.pem"), of("x.key"));
        let flags = [&without[..], &["--tlscert", &cert, "--tlskey", &key]].concat();
        refused(&url(&server, "tls", ""), &flags, &["does not accept the certificate"]);
        let flags = [&without[..], &["--tlscert", &cert, "--tlskey", &sys_key]].concat();
        refused(&url(&server, "tls", ""), &flags, &["--tlscert"]);
    }
    // The certificate alone says who it is.
    let users = "{user: \"sys@example.com\"}";
    let config = pki.tls(&format!("{}, verify_and_map: true", pki.ca_file())) + &system(users);
    let server = configured(&config);
    let said = ask(&server.url, &presented).unwrap();
    assert!(said.contains("sys@example.com"), "{said}");
}

#[test]
fn answers_may_go_elsewhere() {
    let user = "{user: u, password: p, permissions: {subscribe: \"mine.>\", publish: \
                \"$SYS.REQ.>\"}}";
    let server = configured(&system(user));
    let login = ["--user", "u", "--password", "p"];
    let explain = |more: &[&str]| {
        let start = ["auth", "explain", "--server", server.url.as_str()];
        gust(&[&start[..], &login, more, &["pub", "x"]].concat())
    };
    let (code, said) = explain(&[]);
    assert_eq!(code, 2);
    assert!(said.contains("Permissions Violation for Subscription"), "{said}");
    assert!(said.contains("--inbox-prefix"), "{said}");
    let (code, said) = explain(&["--inbox-prefix", "mine"]);
    assert!(code == 1 && said.starts_with("no: user \"u\""), "{said}");
}
