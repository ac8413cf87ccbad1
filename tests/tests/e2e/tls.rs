//! TLS of client connections and of monitoring.

use crate::common::*;
use crate::pki::{Pki, dns, email};
use crate::secure::*;
use async_nats::ConnectOptions;
use gust_tests::process::Server;
use rcgen::DnType;
use std::io::{Read, Write};

fn pki() -> Pki {
    let pki = Pki::new();
    pki.server("server", &[]);
    pki
}

fn options(pki: &Pki) -> ConnectOptions {
    ConnectOptions::new().add_root_certificates(pki.file("ca.pem")).require_tls(true)
}

#[tokio::test]
async fn clients_upgrade_and_talk() {
    let pki = pki();
    let server = configured(&pki.tls(""));
    let a = within(options(&pki).connect(&server.url)).await.unwrap();
    let b = within(options(&pki).connect(&server.url)).await.unwrap();
    let mut sub = b.subscribe("big.>").await.unwrap();
    sync(&b).await;
    // Records, shared payloads and parts of both.
    for (i, size) in [0, 1, 16_383, 16_384, 16_385, 70_000, 1_000_000].into_iter().enumerate() {
        let payload: Vec<u8> = (0..size).map(|n| (n * 7 + i) as u8).collect();
        a.publish(format!("big.{i}"), payload.clone().into()).await.unwrap();
        assert_eq!(next(&mut sub).await.payload.as_ref(), payload);
    }
    for i in 0..5000 {
        a.publish("big.many", format!("{i}").into()).await.unwrap();
    }
    for i in 0..5000 {
        assert_eq!(next_text(&mut sub).await, i.to_string());
    }
    let row = &doc(&server, "/connz?auth=true")["connections"][0];
    assert_eq!(row["tls_version"], "1.3");
    assert_eq!(row["tls_cipher_suite"], "TLS_AES_128_GCM_SHA256");
    assert!(row.get("tls_peer_certs").is_none() && row.get("tls_first").is_none());
    let varz = doc(&server, "/varz");
    assert_eq!((&varz["tls_required"], &varz["tls_timeout"]), (&true.into(), &2.0.into()));
    assert!(varz["tls_cert_not_after"].as_str().unwrap().ends_with('Z'));
    assert!(varz.get("tls_verify").is_none());
}

#[tokio::test]
async fn a_slow_reader_gets_everything_in_order() {
    let pki = pki();
    let server = configured(&pki.tls(""));
    let mut slow = Secure::upgrade(&server, pki.client(""));
    assert_eq!(slow.login(QUIET).unwrap(), "PONG");
    slow.send("SUB many 1\r\nPING\r\n");
    assert_eq!(slow.line(), "PONG");
    let a = within(options(&pki).connect(&server.url)).await.unwrap();
    // More than the sockets hold: the server blocks and goes on by itself.
    let payload = "x".repeat(10_000);
    for i in 0..2000 {
        a.publish("many", format!("{i:05}{payload}").into()).await.unwrap();
    }
    sync(&a).await;
    for i in 0..2000 {
        assert_eq!(slow.line(), "MSG many 1 10005");
        assert_eq!(slow.line()[..5], format!("{i:05}"));
    }
}

#[test]
fn info_says_so_and_plain_text_is_refused() {
    let pki = pki();
    let server = configured(&pki.tls(""));
    let mut raw = Raw::open(&server);
    assert_eq!(raw.info["tls_required"], true);
    assert!(raw.info.get("tls_verify").is_none() && raw.info.get("tls_available").is_none());
    raw.send("CONNECT {}\r\nPING\r\n");
    assert_eq!(raw.rest(), "");
    assert!(server.log().contains("first record does not look like a TLS handshake"));
    let closed = doc(&server, "/connz?state=closed");
    assert_eq!(closed["connections"][0]["reason"], "TLS Handshake Failure");
}

#[test]
fn an_error_leaves_and_then_the_end() {
    let pki = pki();
    let server = configured(&pki.tls(""));
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        let mut c = Secure::upgrade(&server, pki.client_with("", versions));
        assert_eq!(c.login(QUIET).unwrap(), "PONG");
        c.send("WHAT\r\n");
        assert_eq!(c.line(), "-ERR 'Unknown Protocol Operation'");
        let mut rest = Vec::new();
        // A clean end of TLS: rustls reports one without `close_notify` as error.
        c.stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
    }
}

#[test]
fn a_handshake_takes_its_time_and_no_more() {
    let pki = pki();
    let server = configured(&pki.tls("timeout: 0.3"));
    let mut raw = Raw::open(&server);
    assert_eq!(raw.rest(), "-ERR 'Secure Connection - TLS Required'\r\n");
    assert!(server.log().contains("TLS handshake timeout"));
    let mut raw = Raw::open(&server);
    // A record that promises more than a handshake may take, in small parts.
    let record = [&[22, 3, 1, 0x40, 0][..], &[1, 0, 0xff, 0xff], &[0; 0x3ffc]].concat();
    for _ in 0..3 {
        if !raw.try_send_bytes(&record) {
            break;
        }
    }
    raw.rest();
    let closed = doc(&server, "/connz?state=closed");
    assert_eq!(closed["connections"][1]["reason"], "TLS Handshake Failure");
}

#[tokio::test]
async fn without_tls_where_that_is_allowed() {
    let pki = pki();
    let server = configured(&format!("allow_non_tls: true\n{}", pki.tls("")));
    let mut raw = Raw::open(&server);
    assert_eq!(raw.info["tls_available"], true);
    assert!(raw.info.get("tls_required").is_none());
    raw.send(&format!("CONNECT {QUIET}\r\nPING\r\n"));
    raw.expect(&["PONG"]);
    let mut c = Secure::upgrade(&server, pki.client(""));
    assert_eq!(c.login(QUIET).unwrap(), "PONG");
    let plain = within(ConnectOptions::new().connect(&server.url)).await.unwrap();
    sync(&plain).await;
    assert!(doc(&server, "/varz").get("tls_required").is_none());
}

#[test]
fn handshake_first() {
    let pki = pki();
    let server = configured(&pki.tls("handshake_first: true"));
    let mut c = Secure::first(&server, pki.client(""));
    let info = info_of(&c.line());
    assert_eq!((&info["tls_required"], &info["client_ip"]), (&true.into(), &"127.0.0.1".into()));
    assert_eq!(c.login(QUIET).unwrap(), "PONG");
    let row = &doc(&server, "/connz")["connections"][0];
    assert_eq!(row["tls_first"], true);
}

#[test]
fn handshake_first_or_after_a_while() {
    let pki = pki();
    // Long enough for a handshake that starts at once on a busy machine.
    for (value, allow) in [("auto", false), ("\"300ms\"", true)] {
        let config = format!("allow_non_tls: {allow}\n{}", pki.tls(&format!("first: {value}")));
        let server = configured(&config);
        let mut c = Secure::upgrade(&server, pki.client(""));
        assert_eq!(c.login(QUIET).unwrap(), "PONG");
        let mut tcp = tcp(&server.url);
        let info = read_info(&mut tcp);
        assert_eq!(info.get("tls_required").is_some(), !allow, "{value}");
        let row = &doc(&server, "/connz")["connections"][0];
        assert!(row.get("tls_first").is_none(), "{value}: {row}");
    }
    let server = configured(&pki.tls("first: \"20s\""));
    let mut c = Secure::first(&server, pki.client(""));
    assert_eq!(info_of(&c.line())["tls_required"], true);
    assert_eq!(doc(&server, "/connz")["connections"][0]["tls_first"], true);
}

#[test]
fn certificates_are_demanded() {
    let pki = pki();
    pki.sign("joe", &[], &[(DnType::CommonName, "joe"), (DnType::OrganizationName, "Acme")]);
    let server = configured(&pki.tls(&format!("verify: true, {}", pki.ca_file())));
    let mut raw = Raw::open(&server);
    assert_eq!((&raw.info["tls_required"], &raw.info["tls_verify"]), (&true.into(), &true.into()));
    raw.stream().shutdown(std::net::Shutdown::Both).unwrap();

    let mut c = Secure::upgrade(&server, pki.client("joe"));
    assert_eq!(c.login(QUIET).unwrap(), "PONG");
    let row = &doc(&server, "/connz?auth=1")["connections"][0];
    let cert = &row["tls_peer_certs"][0];
    assert_eq!(cert["subject"], "CN=joe,O=Acme");
    assert_eq!(cert["cert_sha256"].as_str().unwrap().len(), 64);
    assert!(doc(&server, "/connz")["connections"][0].get("tls_peer_certs").is_none());

    // Nobody without, nobody with one of another authority.
    let other = Pki::new();
    other.sign("joe", &[], &[(DnType::CommonName, "joe")]);
    std::fs::copy(other.file("joe.pem"), pki.file("other.pem")).unwrap();
    std::fs::copy(other.file("joe.key"), pki.file("other.key")).unwrap();
    for (cert, why) in [("", "verify is set"), ("other", "no authority in ca_file")] {
        for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
            let mut c = Secure::upgrade(&server, pki.client_with(cert, versions));
            // The client is told by TLS itself.
            let e = c.login(QUIET).unwrap_err().to_string();
            assert!(e.contains("received fatal alert"), "{cert:?}: {e}");
        }
        assert!(server.log().contains(why), "{}", server.log());
    }
    assert_eq!(doc(&server, "/varz")["tls_verify"], true);
}

#[test]
fn certificates_name_users() {
    let pki = pki();
    let name = |cn, o| [(DnType::OrganizationName, o), (DnType::CommonName, cn)];
    pki.sign("mail", &[dns("x.org"), email("ann@x.org")], &name("ann", "Acme"));
    pki.sign("host", &[dns("host.x.org")], &name("ann", "Acme"));
    pki.sign("subject", &[], &name("joe", "Acme"));
    pki.sign("nobody", &[email("eve@x.org")], &name("eve", "Acme"));
    let users = r#"authorization { users: [
        { user: "ann@x.org" }, { user: "host.x.org" }, { user: "x.org" },
        { user: "O=Acme, CN=joe", permissions: { publish: a } }
        { user: "pat", password: "secret" } ] }"#;
    let tls = pki.tls(&format!("verify_and_map: true, {}", pki.ca_file()));
    let server = configured(&format!("{tls}{users}"));
    for (cert, user) in
        [("mail", "ann@x.org"), ("host", "host.x.org"), ("subject", "O=Acme, CN=joe")]
    {
        let mut c = Secure::upgrade(&server, pki.client(cert));
        // What CONNECT says does not matter.
        let json = r#"{"verbose":false,"user":"pat","pass":"wrong"}"#;
        assert_eq!(c.login(json).unwrap(), "PONG", "{cert}");
        let rows = doc(&server, "/connz?auth=1");
        let rows = rows["connections"].as_array().unwrap();
        assert_eq!(rows.last().unwrap()["authorized_user"], user);
        if cert == "subject" {
            c.send("PUB b 0\r\n\r\n");
            assert_eq!(c.line(), "-ERR 'Permissions Violation for Publish to \"b\"'");
        }
    }
    let mut c = Secure::upgrade(&server, pki.client("nobody"));
    let json = r#"{"verbose":false,"user":"pat","pass":"secret"}"#;
    assert_eq!(c.login(json).unwrap(), "-ERR 'Authorization Violation'");
    let log = server.log();
    assert!(log.contains("no name of the client certificate is a user"), "{log}");
    assert!(log.contains("eve@x.org") && log.contains("CN=eve,O=Acme"), "{log}");
    // Nothing works before CONNECT.
    let mut c = Secure::upgrade(&server, pki.client("mail"));
    c.send("PING\r\n");
    assert_eq!(c.line(), "-ERR 'Authorization Violation'");
}

#[test]
fn only_pinned_keys() {
    let pki = pki();
    for name in ["good", "bad"] {
        pki.sign(name, &[], &[(DnType::CommonName, name)]);
    }
    let server = configured(&pki.tls(&format!("verify: true, {}", pki.ca_file())));
    let mut c = Secure::upgrade(&server, pki.client("good"));
    assert_eq!(c.login(QUIET).unwrap(), "PONG");
    let row = doc(&server, "/connz?auth=1")["connections"][0].clone();
    let pin = row["tls_peer_certs"][0]["spki_sha256"].as_str().unwrap().to_uppercase();
    let more = format!("verify: true, {}, pinned_certs: [\"{pin}\"]", pki.ca_file());
    let server = configured(&pki.tls(&more));
    let mut c = Secure::upgrade(&server, pki.client("good"));
    assert_eq!(c.login(QUIET).unwrap(), "PONG");
    let mut c = Secure::upgrade(&server, pki.client("bad"));
    assert!(c.login(QUIET).is_err());
    assert!(server.log().contains("certificate not pinned: \"CN=bad\""), "{}", server.log());
}

#[test]
fn so_many_handshakes_per_second() {
    let pki = pki();
    let server = configured(&pki.tls("connection_rate_limit: 2"));
    // Four attempts touch at most two windows when they are quick; whatever the
    // machine does, what is refused is refused with the text.
    let mut refused = 0;
    for _ in 0..40 {
        let mut raw = Raw::open(&server);
        if !raw.try_send_bytes(&[0x16]) {
            continue;
        }
        let _ = raw.stream().shutdown(std::net::Shutdown::Write);
        let rest = raw.rest();
        if rest == "-ERR 'Connection throttling is active. Please try again later.'\r\n" {
            refused += 1;
        } else {
            assert_eq!(rest, "");
        }
    }
    assert!(refused > 0);
    let closed = doc(&server, "/connz?state=closed").to_string();
    assert!(closed.contains("Maximum Connections Exceeded"), "{closed}");
    assert!(server.log().contains("connection_rate_limit is reached"));
}

#[test]
fn one_of_several_certificates() {
    let pki = pki();
    pki.server("one", &["one.org"]);
    pki.server("two", &["two.org"]);
    let pair = |n: &str| {
        let (cert, key) = (pki.file(&format!("{n}.pem")), pki.file(&format!("{n}.key")));
        format!("{{cert_file: \"{}\", key_file: \"{}\"}}", cert.display(), key.display())
    };
    let server = configured(&format!("tls {{ certs: [{}, {}] }}", pair("one"), pair("two")));
    let mut seen = Vec::new();
    for name in ["one.org", "two.org", "127.0.0.1"] {
        let mut tcp = tcp(&server.url);
        read_info(&mut tcp);
        let mut c = Secure::over(tcp, pki.client(""), name);
        assert_eq!(c.login(QUIET).unwrap(), "PONG", "{name}");
        seen.push(c.peer());
    }
    assert!(seen[0] != seen[1] && seen[0] == seen[2]);
}

#[test]
fn versions_suites_and_curves() {
    let pki = pki();
    let server = configured(&pki.tls("min_version: \"1.3\""));
    let mut c = Secure::upgrade(&server, pki.client_with("", &[&rustls::version::TLS12]));
    assert!(c.login(QUIET).is_err());
    let suite = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    let more = format!(
        "cipher_suites: [\"{suite}\", \"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA\"]
         curve_preferences: [CurveP384, CurveP521]"
    );
    let server = configured(&pki.tls(&more));
    let mut c = Secure::upgrade(&server, pki.client_with("", &[&rustls::version::TLS12]));
    assert_eq!(c.login(QUIET).unwrap(), "PONG");
    let row = &doc(&server, "/connz")["connections"][0];
    assert_eq!((&row["tls_version"], &row["tls_cipher_suite"]), (&"1.2".into(), &suite.into()));
    let log = server.log();
    assert!(log.contains("cipher suite TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA is not avail"), "{log}");
    assert!(log.contains("curve CurveP521 is not available"), "{log}");
}

#[test]
fn bad_files_are_named() {
    let pki = pki();
    std::fs::write(pki.file("empty.pem"), "").unwrap();
    pki.server("other", &[]);
    let (server, other) = (pki.file("server"), pki.file("other"));
    let (server, other) = (server.display(), other.display());
    let dir = pki.dir().display();
    for (block, wanted) in [
        (
            format!("cert_file: \"{dir}/none.pem\", key_file: \"{server}.key\""),
            "none.pem cannot be read",
        ),
        (
            format!("cert_file: \"{dir}/empty.pem\", key_file: \"{server}.key\""),
            "empty.pem holds no certificate",
        ),
        (
            format!("cert_file: \"{server}.pem\", key_file: \"{server}.pem\""),
            "holds no private key",
        ),
        (format!("cert_file: \"{server}.pem\", key_file: \"{other}.key\""), "does not belong"),
        (
            format!(
                "cert_file: \"{server}.pem\", key_file: \"{server}.key\", verify: true, ca_file: \"{dir}/empty.pem\""
            ),
            "ca_file",
        ),
        (
            format!("cert_file: \"{server}.pem\", key_file: \"{server}.key\", ocsp_peer: true"),
            "ocsp_peer",
        ),
        (
            format!(
                "cert_file: \"{server}.pem\", key_file: \"{server}.key\", curve_preferences: [CurveP521]"
            ),
            "none of the configured curve_preferences",
        ),
    ] {
        let e = Server::with(&[], Some(&format!("tls {{ {block} }}"))).unwrap_err().to_string();
        assert!(e.contains(wanted) && e.contains("server.conf:1:"), "{block}: {e}");
    }
}

#[test]
fn monitoring_over_https() {
    let pki = pki();
    let more = format!("verify: true, {}", pki.ca_file());
    let server = configured(&format!("https_port: -1\n{}", pki.tls(&more)));
    // The browser is not asked for a certificate.
    let mut c = Secure::over(tcp(&server.monitor_tls), pki.client(""), "localhost");
    c.send("GET /varz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    c.stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let port: u16 = address(&server.monitor_tls).rsplit_once(':').unwrap().1.parse().unwrap();
    assert!(answer.contains(&format!("\"https_port\": {port}")), "{answer}");
    // And plain HTTP is no answer there.
    let mut plain = tcp(&server.monitor_tls);
    plain.write_all(b"GET /varz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!text(&answer).contains("200 OK"));
    let e = Server::with(&[], Some("https_port: -1")).unwrap_err().to_string();
    assert!(e.contains("https needs a certificate"), "{e}");
}

#[tokio::test]
async fn openssl_made_files_work() {
    // RSA and PKCS#8 from another toolchain; skipped where there is none.
    let pki = Pki::new();
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "server.key", "-out", "server.pem"])
        .current_dir(pki.dir())
        .output();
    let Ok(made) = made else { return };
    assert!(made.status.success(), "{}", text(&made.stderr));
    let server = configured(&pki.tls(""));
    let options = ConnectOptions::new().add_root_certificates(pki.file("server.pem"));
    let url = server.url.replace("127.0.0.1", "localhost").replace("nats://", "tls://");
    let client = within(options.connect(url)).await.unwrap();
    sync(&client).await;
}

/// A sample with its certificates at hand and ports that are free.
fn sample(pki: &Pki, text: &str) -> Server {
    let certs = format!("{}/", pki.dir().display());
    configured(&text.replace("certs/", &certs).replace("https_port: 8443", "https_port: -1"))
}

#[test]
fn the_samples_start() {
    let pki = pki();
    pki.server("other", &["other.org"]);
    let server = sample(&pki, include_str!("../../../config/samples/tls.conf"));
    let mut c = Secure::upgrade(&server, pki.client(""));
    assert_eq!(c.login(QUIET).unwrap(), "PONG");
    assert!(server.monitor_tls.starts_with("https://"));

    let joe = [(DnType::OrganizationName, "Acme"), (DnType::CommonName, "joe")];
    pki.sign("joe", &[], &joe);
    let server = sample(&pki, include_str!("../../../config/samples/tls-users.conf"));
    let mut c = Secure::upgrade(&server, pki.client("joe"));
    assert_eq!(c.login(QUIET).unwrap(), "PONG");
    c.send("SUB jobs.a 1\r\n");
    assert_eq!(c.line(), "-ERR 'Permissions Violation for Subscription to \"jobs.a\"'");

    let server = sample(&pki, include_str!("../../../config/samples/tls-behind-proxy.conf"));
    let mut tcp = tcp(&server.url);
    read_info(&mut tcp);
    tcp.write_all(b"PROXY TCP4 192.0.2.7 127.0.0.1 4660 4222\r\n").unwrap();
    let mut c = Secure::over(tcp, pki.client(""), "other.org");
    assert_eq!(c.login(QUIET).unwrap(), "PONG");
    assert_eq!(doc(&server, "/connz")["connections"][0]["ip"], "192.0.2.7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_handshakes() {
    let pki = pki();
    let server = configured(&pki.tls(""));
    let there = within(options(&pki).connect(&server.url)).await.unwrap();
    let clients: Vec<_> = (0..150)
        .map(|_| {
            let (options, url) = (options(&pki), server.url.clone());
            tokio::spawn(async move { within(options.connect(url)).await.unwrap() })
        })
        .collect();
    // Who is there goes on being served while the others come.
    for _ in 0..20 {
        sync(&there).await;
    }
    let mut connected = Vec::new();
    for c in clients {
        let c = c.await.unwrap();
        sync(&c).await;
        connected.push(c);
    }
    assert_eq!(doc(&server, "/varz")["connections"], 151);
}

#[test]
fn sessions_are_resumed() {
    let pki = pki();
    let server = configured(&pki.tls(""));
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        let config = pki.client_with("", versions);
        for again in [false, true] {
            let mut c = Secure::upgrade(&server, config.clone());
            assert_eq!(c.login(QUIET).unwrap(), "PONG");
            let kind = c.stream.get_ref().conn.handshake_kind();
            assert_eq!(kind == Some(rustls::HandshakeKind::Resumed), again, "{kind:?}");
        }
    }
}

#[test]
fn closing_from_outside_during_the_handshake() {
    let pki = pki();
    let mut server = configured(&pki.tls("timeout: 20"));
    let mut raw = Raw::open(&server);
    assert_eq!(doc(&server, "/connz")["num_connections"], 1);
    server.stop().unwrap();
    raw.rest();
}

/// What a new connection is shown.
fn shown(server: &Server, pki: &Pki) -> Vec<u8> {
    let mut c = Secure::upgrade(server, pki.client(""));
    assert_eq!(c.login(QUIET).unwrap(), "PONG");
    c.peer()
}

fn reload(server: &Server) {
    let pid = server.pid().to_string();
    let done = std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap();
    assert!(done.success());
}

#[tokio::test]
async fn certificates_follow_a_reload() {
    let pki = pki();
    let server = configured(&format!("https_port: -1\n{}", pki.tls("")));
    let before = shown(&server, &pki);
    let mut old = Secure::upgrade(&server, pki.client(""));
    assert_eq!(old.login(QUIET).unwrap(), "PONG");
    let varz = doc(&server, "/varz")["tls_cert_not_after"].clone();
    pki.server("server", &[]);
    reload(&server);
    let new = until("the new certificate", || {
        let now = shown(&server, &pki);
        let new = (now != before).then_some(now);
        async move { new }
    })
    .await;
    let mut https = Secure::over(tcp(&server.monitor_tls), pki.client(""), "localhost");
    https.send("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(https.line(), "HTTP/1.1 200 OK");
    assert_eq!(https.peer(), new);
    assert_eq!(doc(&server, "/varz")["tls_cert_not_after"], varz, "rcgen's fixed date");
    // A bad file changes nothing, and who was there stays all along.
    std::fs::write(pki.file("server.key"), "no key").unwrap();
    reload(&server);
    until("the refusal", || {
        let log = server.log();
        async move { log.contains("Failed to reload server configuration").then_some(()) }
    })
    .await;
    assert!(server.log().contains("holds no private key"), "{}", server.log());
    assert_eq!(shown(&server, &pki), new);
    old.send("PING\r\n");
    assert_eq!(old.line(), "PONG");
}
