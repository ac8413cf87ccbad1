//! `ocsp_peer`: clients whose certificates are revoked are not let in.

use crate::common::*;
use crate::pki::Pki;
use crate::reload::reloaded;
use crate::responder::{Does, Responder, Says, Template};
use crate::secure::*;
use gust_tests::process::Server;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose as Usage, Issuer, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use std::sync::Arc;

/// An authority with its responder, a server, client `a`, whose certificate names
/// the responder, and client `plain`, whose does not.
fn scene() -> (Pki, Responder) {
    let pki = Pki::new();
    let responder = Responder::start(&pki);
    pki.server("server", &[]);
    client(&pki, &responder, "a");
    pki.sign("plain", &[], &[(DnType::CommonName, "plain")]);
    (pki, responder)
}

fn client(pki: &Pki, responder: &Responder, name: &str) {
    pki.sign_with(name, &[], &[(DnType::CommonName, name)], |p| responder.name_in(p));
}

fn config(pki: &Pki, peer: &str, more: &str) -> String {
    let tls = pki.tls(&format!("{}\nverify: true\nocsp_peer {peer}", pki.ca_file()));
    format!("{tls}\n{more}\n")
}

/// Logs in with the certificate of this name.
fn enters(server: &Server, pki: &Pki, name: &str) -> bool {
    enters_with(server, pki.client(name))
}

fn enters_with(server: &Server, config: Arc<ClientConfig>) -> bool {
    let said = Secure::upgrade(server, config).login(QUIET);
    said.is_ok_and(|line| line == "PONG")
}

#[test]
fn good_certificates_enter_and_are_asked_about_once() {
    let (pki, responder) = scene();
    let server = configured(&config(&pki, ": true", ""));
    for _ in 0..3 {
        assert!(enters(&server, &pki, "a"));
        assert!(enters(&server, &pki, "plain"), "it names no responder");
    }
    assert_eq!(responder.asked(), ["GET"]);
    let varz = doc(&server, "/varz");
    assert_eq!(varz["tls_ocsp_peer_verify"], true);
    let cache = &varz["ocsp_peer_cache"];
    let figures = ["cache_hits", "cache_misses", "cached_responses", "cached_good_responses"];
    assert_eq!(figures.map(|f| cache[f].as_u64().unwrap()), [2, 1, 1, 1]);
    assert_eq!(cache["cache_type"], "local");
    assert!(cache.get("cached_revoked_responses").is_none());
    assert!(server.log().contains("OCSP peer cache online, type [local]"));
}

#[test]
fn revoked_and_unknown_ones_do_not() {
    let (pki, responder) = scene();
    let server = configured(&config(&pki, ": true", ""));
    responder.says(Says::Revoked);
    assert!(!enters(&server, &pki, "a"));
    assert!(server.log().contains("client not OCSP valid: Invalid OCSP response status: revoked"));
    let closed = doc(&server, "/connz?state=closed");
    assert_eq!(closed["connections"][0]["reason"], "TLS Handshake Failure");
    // It stays revoked as long as the answer says.
    responder.says(Says::Good);
    assert!(!enters(&server, &pki, "a"));
    assert_eq!(doc(&server, "/varz")["ocsp_peer_cache"]["cached_revoked_responses"], 1);
    client(&pki, &responder, "b");
    responder.says(Says::Unknown);
    assert!(!enters(&server, &pki, "b"));
    let server = configured(&config(&pki, "{verify: true, unknown_is_good: true}", ""));
    assert!(enters(&server, &pki, "b"));
}

#[test]
fn what_the_responder_fails_to_say_decides() {
    let (pki, responder) = scene();
    let damaged = Template { damaged: true, ..Template::default() };
    let old = Template { begins: -3600, ends: Some(-60), ..Template::default() };
    let strict = configured(&config(&pki, ": true", ""));
    let lax = "{verify: true, allow_when_ca_unreachable: true}";
    let lax = configured(&config(&pki, lax, ""));
    let warned = configured(&config(&pki, "{verify: true, warn_only: true}", ""));
    for (does, reason, unreachable) in [
        (Does::Fails, "Failed OCSP response fetch", true),
        (Does::Floods, "Failed OCSP response fetch", true),
        (Does::Answers(damaged), "Failed OCSP response parse", false),
        (Does::Answers(old), "OCSP response not in effectivity window", false),
    ] {
        responder.does(does);
        assert!(!enters(&strict, &pki, "a"));
        assert!(strict.log().contains(&format!("client not OCSP valid: {reason}")), "{reason}");
        assert_eq!(enters(&lax, &pki, "a"), unreachable, "{reason}");
        assert!(enters(&warned, &pki, "a"));
    }
    responder.says(Says::Revoked);
    assert!(enters(&warned, &pki, "a"));
    assert!(warned.log().contains("but warn_only is set so allowing"));
}

#[test]
fn a_remembered_revocation_outlives_the_responder() {
    let (pki, responder) = scene();
    let peer = "{verify: true, allow_when_ca_unreachable: true, allowed_clockskew: 0}";
    for preserve in [true, false] {
        let store = pki.file(&preserve.to_string());
        let cache = format!(
            "ocsp_cache {{type: local, preserve_revoked: {preserve}, local_store: \"{}\"}}",
            store.display()
        );
        let server = configured(&config(&pki, peer, &cache));
        let template =
            Template { says: Says::Revoked, begins: -60, ends: Some(1), ..Template::default() };
        responder.does(Does::Answers(template));
        assert!(!enters(&server, &pki, "a"));
        responder.does(Does::Fails);
        let before = responder.asked().len();
        // The first to ask again finds the old answer, the next only if it is preserved.
        while responder.asked().len() == before {
            assert!(!enters(&server, &pki, "a"));
        }
        assert_eq!(enters(&server, &pki, "a"), !preserve);
    }
}

#[test]
fn answers_survive_a_restart_where_that_is_configured() {
    let (pki, responder) = scene();
    client(&pki, &responder, "b");
    let dir = pki.file("store");
    let cache = format!("ocsp_cache {{local_store: \"{}\", save_interval: 1}}", dir.display());
    for (cache, file) in [(cache.as_str(), true), ("", false)] {
        let mut server = configured(&config(&pki, ": true", cache));
        responder.says(Says::Good);
        assert!(enters(&server, &pki, "a"));
        responder.says(Says::Revoked);
        assert!(!enters(&server, &pki, "b"));
        assert!(file || !dir.exists());
        responder.does(Does::Fails);
        server.restart().unwrap();
        assert_eq!(enters(&server, &pki, "a"), file);
        assert!(!enters(&server, &pki, "b"));
        let log = server.log();
        let why = "client not OCSP valid: Invalid OCSP response status: revoked";
        assert_eq!(log.matches(why).count(), if file { 2 } else { 1 });
        if file {
            // Whoever changes the file convinces nobody.
            server.stop().unwrap();
            let text = std::fs::read_to_string(dir.join("cache.json")).unwrap();
            let mut doc: Value = serde_json::from_str(&text).unwrap();
            let hash = |name: &str| {
                let hash = ring::digest::digest(&ring::digest::SHA256, &pki.der(name));
                data_encoding::BASE64.encode(hash.as_ref())
            };
            assert_eq!(doc[hash("b")]["resp_status"], "revoked");
            assert_eq!(doc[hash("a")]["subject"], "CN=a");
            doc[hash("b")] = doc[hash("a")].clone();
            std::fs::write(dir.join("cache.json"), doc.to_string()).unwrap();
            server.launch().unwrap();
            assert!(enters(&server, &pki, "a") && !enters(&server, &pki, "b"));
            server.stop().unwrap();
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
}

#[test]
fn without_a_cache_everybody_is_asked_about() {
    let (pki, responder) = scene();
    let server = configured(&config(&pki, ": true", "ocsp_cache: false"));
    // One configuration: the second session is resumed and brings no certificate.
    let client = pki.client("a");
    assert!(enters_with(&server, client.clone()) && enters_with(&server, client.clone()));
    assert_eq!(responder.asked().len(), 2);
    assert!(doc(&server, "/varz").get("ocsp_peer_cache").is_none());
    responder.says(Says::Revoked);
    assert!(!enters_with(&server, client), "a resumed session is checked again");
}

#[test]
fn a_silent_responder_delays_nobody_else() {
    let (pki, responder) = scene();
    let server = configured(&config(&pki, "{verify: true, ca_timeout: 1.5}", ""));
    responder.does(Does::Hangs);
    let mut waits = Secure::upgrade(&server, pki.client("a"));
    waits.send(&format!("CONNECT {QUIET}\r\nPING\r\n"));
    until_asked(&responder, 1);
    // More than there are shards.
    for _ in 0..16 {
        assert!(enters(&server, &pki, "plain"));
    }
    assert_eq!(responder.asked(), ["GET"], "all that while it waits");
    assert!(waits.try_line().is_err());
    assert!(server.log().contains("no answer in 1.5s"), "{}", server.log());
}

fn until_asked(responder: &Responder, n: usize) {
    let end = std::time::Instant::now() + DEADLINE;
    while responder.asked().len() < n {
        assert!(std::time::Instant::now() < end);
        std::thread::yield_now();
    }
}

#[test]
fn authorities_in_between_are_asked_about_too() {
    let (pki, responder) = scene();
    let mut between = None;
    pki.sign_with("between", &[], &[(DnType::CommonName, "between")], |p| {
        responder.name_in(p);
        p.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        p.extended_key_usages.clear();
        between = Some(p.clone());
    });
    let issuer = Issuer::new(between.unwrap(), pki.key_of("between"));
    let between = CertificateDer::from(pki.der("between"));
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.extended_key_usages = vec![Usage::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    let chain = vec![leaf.der().clone(), between];
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(pki.der("ca"))).unwrap();
    let client = || {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_client_auth_cert(chain.clone(), key)
            .unwrap();
        Arc::new(config)
    };
    let server = configured(&config(&pki, ": true", ""));
    assert!(enters_with(&server, client()));
    assert_eq!(responder.asked(), ["GET"]);
    let server = configured(&config(&pki, ": true", ""));
    responder.says(Says::Revoked);
    assert!(!enters_with(&server, client()));
}

#[test]
fn the_system_account_hears_of_it() {
    let (pki, responder) = scene();
    let more = "system_account: SYS, accounts { SYS {users [{user: s, password: s}]} }";
    let server = configured(&config(&pki, ": true", more));
    let mut listener = Secure::upgrade(&server, pki.client("plain"));
    let connect = r#"{"verbose":false,"user":"s","pass":"s"}"#;
    assert_eq!(listener.login(connect).unwrap(), "PONG");
    listener.send("SUB $SYS.SERVER.*.OCSP.PEER.> 1\r\nPING\r\n");
    assert_eq!(listener.line(), "PONG");
    responder.says(Says::Revoked);
    assert!(!enters(&server, &pki, "a"));
    for (what, kind, reason) in [
        ("LINK.INVALID", "ocsp_peer_link_invalid", "Invalid OCSP response status: revoked"),
        ("CONN.REJECT", "ocsp_peer_reject", "client not OCSP valid"),
    ] {
        assert!(listener.line().contains(&format!(".OCSP.PEER.{what} 1 ")));
        let event: Value = serde_json::from_str(&listener.line()).unwrap();
        assert_eq!(event["type"], format!("io.nats.server.advisory.v1.{kind}"));
        assert_eq!(event["reason"], reason);
        assert_eq!(
            (&event["peer"]["subject"], &event["peer"]["issuer"]),
            (&"CN=a".into(), &"CN=Test CA".into())
        );
        let raw = data_encoding::BASE64.encode(&pki.der("a"));
        assert_eq!(event["peer"]["raw"], raw);
        assert!(event["server"]["id"].is_string());
        if what == "CONN.REJECT" {
            assert_eq!(event["kind"], "Client");
        } else {
            assert_eq!(event["link"], event["peer"]);
        }
    }
}

#[test]
fn web_doors_check_too() {
    let (pki, responder) = scene();
    let tls = pki.tls(&format!("{}\nverify: true\nocsp_peer: true", pki.ca_file()));
    let more = format!("https_port: -1\nwebsocket {{ port: -1\n{tls} }}");
    let server = configured(&config(&pki, ": true", &more));
    let get = |url: &str, path: &str, name: &str| {
        let mut c = Secure::over(tcp(url), pki.client(name), "localhost");
        c.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        c.try_line().unwrap_or_default()
    };
    let monitor = |name| get(&server.monitor_tls, "/healthz", name);
    let websocket = |name| get(&server.websocket, "/", name);
    assert_eq!(
        (monitor("a").as_str(), monitor("plain").as_str()),
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK")
    );
    assert_eq!(monitor(""), "", "it needs a certificate now");
    assert!(websocket("a").starts_with("HTTP/1.1 4"));
    assert_eq!(doc(&server, "/varz")["websocket"]["tls_ocsp_peer_verify"], true);
    client(&pki, &responder, "b");
    responder.says(Says::Revoked);
    assert_eq!((monitor("b").as_str(), websocket("b").as_str()), ("", ""));
    assert!(server.log().contains("HTTPS client refused: client not OCSP valid"));
    assert!(server.log().contains("websocket handshake error: TLS: client not OCSP valid"));
}

#[tokio::test]
async fn a_reload_turns_it_on_and_off() {
    let (pki, responder) = scene();
    responder.says(Says::Revoked);
    let mut server = configured(&config(&pki, ": false", ""));
    assert!(enters(&server, &pki, "a"));
    reloaded(&mut server, &config(&pki, ": true", "")).await;
    assert!(!enters(&server, &pki, "a"));
    reloaded(&mut server, &config(&pki, "{verify: false}", "")).await;
    assert!(enters(&server, &pki, "a"));
}

#[test]
fn it_needs_certificates_to_look_at() {
    let pki = Pki::new();
    pki.server("server", &[]);
    let error = Server::with(&[], Some(&pki.tls("ocsp_peer: true"))).unwrap_err().to_string();
    let why = "OCSP peer verification for client connections requires TLS verify (mTLS)";
    assert!(error.contains(why), "{error}");
}

#[test]
fn the_sample_starts() {
    let (pki, responder) = scene();
    let certs = format!("{}/", pki.dir().display());
    let text = include_str!("../../../config/samples/tls-ocsp-peer.conf").replace("certs/", &certs);
    let store = pki.file("store").display().to_string();
    let server = configured(&text.replace("data/ocsp-peers", &store));
    assert!(enters(&server, &pki, "a"));
    client(&pki, &responder, "b");
    responder.says(Says::Revoked);
    assert!(!enters(&server, &pki, "b"));
}
