//! Stapling: the status of the server's certificate in the handshake.

use crate::common::*;
use crate::pki::{Pki, dns};
use crate::reload::{reload, reloaded};
use crate::responder::{Does, Responder, Says, Template, must_staple};
use crate::secure::*;
use gust_server::ocsp::{Answer, Certificate, Status};
use gust_tests::process::Server;
use rcgen::{DnType, SanType};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// An authority, its responder and a server certificate that names it.
fn scene(demands: bool) -> (Pki, Responder) {
    let pki = Pki::new();
    let responder = Responder::start(&pki);
    certificate(&pki, &responder, demands);
    (pki, responder)
}

fn certificate(pki: &Pki, responder: &Responder, demands: bool) {
    let names = [SanType::IpAddress([127, 0, 0, 1].into()), dns("localhost")];
    pki.sign_with("server", &names, &[(DnType::CommonName, "server")], |params| {
        responder.name_in(params);
        if demands {
            must_staple(params);
        }
    });
}

fn config(pki: &Pki, more: &str) -> String {
    format!("{}\n{more}\n", pki.tls(&pki.ca_file()))
}

/// Remembers what was stapled; checks the certificate as usual.
#[derive(Debug)]
struct Witness {
    usual: Arc<WebPkiServerVerifier>,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.seen.lock().unwrap() = ocsp.to_vec();
        self.usual.verify_server_cert(cert, more, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// Shakes hands and gives what was stapled, or why it failed.
fn stapled(server: &Server, pki: &Pki) -> Result<Option<Answer>, String> {
    let mut all = Vec::new();
    for version in rustls::ALL_VERSIONS {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pki.file("ca.pem")).unwrap()).unwrap();
        let usual =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let witness = Witness { usual: usual.unwrap(), seen: seen.clone() };
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(witness))
            .with_no_client_auth();
        let said = Secure::upgrade(server, Arc::new(config)).login(QUIET);
        assert_eq!(said.map_err(|e| e.to_string())?, "PONG");
        let seen = seen.lock().unwrap().clone();
        let parse = |name: &str| Certificate::parse(&pki.der(name)).unwrap();
        let algorithms = provider.signature_verification_algorithms.all;
        let now = crate::responder::now();
        let verify = || Answer::verify(&seen, &parse("server"), &parse("ca"), algorithms, now);
        all.push((!seen.is_empty()).then(|| verify().unwrap()));
    }
    assert_eq!(all[0].as_ref().map(|a| a.status), all[1].as_ref().map(|a| a.status));
    Ok(all.swap_remove(0))
}

fn status(server: &Server, pki: &Pki) -> Option<Status> {
    stapled(server, pki).unwrap().map(|a| a.status)
}

/// Why the server does not start.
fn refused(text: &str) -> String {
    match Server::with(&[], Some(text)) {
        Ok(_) => panic!("it starts"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn modes_decide_what_is_stapled() {
    let (pki, responder) = scene(false);
    for mode in ["", "ocsp: true", "ocsp {mode: auto}", "ocsp {mode: must}", "ocsp: false"] {
        assert_eq!(status(&configured(&config(&pki, mode)), &pki), None, "{mode}");
    }
    assert!(responder.asked().is_empty());
    let always = configured(&config(&pki, "ocsp {mode: always}"));
    assert_eq!(status(&always, &pki), Some(Status::Good));
    assert_eq!(responder.asked(), ["POST"]);
    assert!(always.log().contains("OCSP Stapling enabled for Client connections"));
    assert!(!always.log().contains("not active"), "{}", always.log());

    certificate(&pki, &responder, true);
    for mode in ["", "ocsp: true", "ocsp {mode: auto}", "ocsp {mode: must}"] {
        assert_eq!(status(&configured(&config(&pki, mode)), &pki), Some(Status::Good), "{mode}");
    }
    let never = configured(&config(&pki, "ocsp: false"));
    assert_eq!(status(&never, &pki), None);
    assert!(never.log().contains("has MustStaple but OCSP is disabled"));
}

#[test]
fn configured_urls_win_and_get_is_the_second_way() {
    let (pki, responder) = scene(true);
    let other = Responder::start(&pki);
    other.does(Does::Floods);
    let text = format!("ocsp {{mode: always, urls: [\"{}\", \"{}/\"]}}", other.url, responder.url);
    let server = configured(&config(&pki, &text));
    assert_eq!(status(&server, &pki), Some(Status::Good));
    // A flood is cut off, both ways, and the next responder asked.
    assert_eq!(
        (other.asked(), responder.asked()),
        (vec!["POST".into(), "GET".into()], vec!["POST".into()])
    );
}

#[test]
fn no_status_no_start() {
    let (pki, responder) = scene(true);
    let damaged = Template { damaged: true, ..Template::default() };
    let old = Template { begins: -3600, ends: Some(-60), ..Template::default() };
    let future = Template { begins: 3600, ends: Some(7200), ..Template::default() };
    for (does, why) in [
        (Does::Fails, "500 Internal Server Error"),
        (Does::Floods, "length limit exceeded"),
        (Does::Answers(damaged), "not signed by the certificate's issuer"),
        (Does::Answers(old), "the answer was valid until"),
        (Does::Answers(future), "compare the clocks"),
    ] {
        responder.does(does);
        for mode in ["", "ocsp {mode: must}", "ocsp {mode: always}"] {
            let said = refused(&config(&pki, mode));
            assert!(said.contains("bad OCSP status update for certificate at"), "{said}");
            assert!(said.contains(why), "{why}: {said}");
        }
    }
    let said = refused(&pki.tls(&format!("ca_file: \"{}\"", pki.file("server.pem").display())));
    assert!(said.contains("OCSP needs the certificate of the authority"), "{said}");
    let plain = Pki::new();
    plain.server("server", &[]);
    let said = refused(&config(&plain, "ocsp {mode: always}"));
    assert!(said.contains("names no OCSP responder"), "{said}");
}

#[test]
fn revoked_certificates_are_for_auto_only() {
    let (pki, responder) = scene(true);
    for says in [Says::Revoked, Says::Unknown] {
        responder.says(says);
        for mode in ["must", "always"] {
            let said = refused(&config(&pki, &format!("ocsp {{mode: {mode}}}")));
            assert!(said.contains("found existing OCSP status for certificate at"), "{said}");
        }
    }
    responder.says(Says::Revoked);
    // Clients decide.
    let server = configured(&config(&pki, "ocsp: true"));
    assert_eq!(status(&server, &pki), Some(Status::Revoked));
}

#[test]
fn a_status_survives_a_restart_without_its_responder() {
    let (pki, responder) = scene(true);
    let mut server = configured(&config(&pki, "ocsp {mode: must}"));
    assert_eq!(status(&server, &pki), Some(Status::Good));
    let kept = std::fs::read_dir(server.store.join("ocsp")).unwrap().flatten();
    let kept: Vec<_> = kept.map(|e| e.file_name().into_string().unwrap()).collect();
    let hash = ring::digest::digest(&ring::digest::SHA256, &pki.der("server"));
    assert_eq!(kept, [data_encoding::HEXLOWER.encode(hash.as_ref())]);
    responder.does(Does::Fails);
    server.restart().unwrap();
    assert_eq!(status(&server, &pki), Some(Status::Good));
    assert_eq!(responder.asked(), ["POST"]);
    // What is damaged on disk counts as absent.
    server.stop().unwrap();
    std::fs::write(server.store.join("ocsp").join(&kept[0]), b"rubbish").unwrap();
    assert!(server.launch().is_err());
    responder.says(Says::Good);
    server.launch().unwrap();
    assert_eq!(status(&server, &pki), Some(Status::Good));
}

/// Answers that end soon, so that the next is asked for at once.
fn short(says: Says) -> Does {
    Does::Answers(Template { says, begins: -60, ends: Some(2), ..Template::default() })
}

#[tokio::test]
async fn a_status_is_renewed_and_failures_are_tried_again() {
    let (pki, responder) = scene(true);
    responder.does(short(Says::Good));
    let server = configured(&config(&pki, "ocsp: true"));
    let first = stapled(&server, &pki).unwrap().unwrap();
    until("another status", || async {
        (stapled(&server, &pki).ok()??.next_update > first.next_update).then_some(())
    })
    .await;
    responder.does(Does::Fails);
    until("it is tried again", || async { server.log().contains("trying again in").then_some(()) })
        .await;
    responder.says(Says::Revoked);
    until("the news", || async {
        (stapled(&server, &pki).ok()??.status == Status::Revoked).then_some(())
    })
    .await;
    // Mode auto goes on.
    assert!(server.log().contains("[ERR] Received OCSP status for Client certificate"));
}

#[test]
fn a_revoked_certificate_ends_the_server() {
    for mode in ["must", "always"] {
        let (pki, responder) = scene(true);
        responder.does(short(Says::Good));
        let mut server = configured(&config(&pki, &format!("ocsp {{mode: {mode}}}")));
        responder.says(Says::Revoked);
        server.wait(Duration::from_secs(20)).unwrap();
        assert!(server.log().contains("Received OCSP status for Client certificate"));
        assert!(server.log().contains("Initiating Shutdown"), "{}", server.log());
    }
}

#[tokio::test]
async fn reloads_keep_take_and_refuse() {
    let (pki, responder) = scene(true);
    let must = config(&pki, "ocsp {mode: must}");
    let mut server = configured(&must);
    responder.does(Does::Fails);
    // The same certificate: what is known is kept.
    reloaded(&mut server, &must).await;
    assert_eq!(status(&server, &pki), Some(Status::Good));
    // Another one, of which nobody knows anything.
    certificate(&pki, &responder, true);
    let said = reload(&mut server, &must).await;
    assert!(said.contains("bad OCSP status update for certificate at"), "{said}");
    responder.says(Says::Revoked);
    let said = reload(&mut server, &must).await;
    assert!(said.contains("found existing OCSP status for certificate at"), "{said}");
    responder.says(Says::Good);
    reloaded(&mut server, &must).await;
    assert_eq!(status(&server, &pki), Some(Status::Good));
    reloaded(&mut server, &config(&pki, "ocsp: false")).await;
    assert_eq!(status(&server, &pki), None);
    reloaded(&mut server, &config(&pki, "ocsp {mode: always}")).await;
    assert_eq!(status(&server, &pki), Some(Status::Good));
}

#[test]
fn the_sample_starts() {
    let (pki, _responder) = scene(true);
    let certs = format!("{}/", pki.dir().display());
    let text = include_str!("../../../config/samples/tls-ocsp.conf").replace("certs/", &certs);
    let server = configured(&text.replace("port: 4222", ""));
    assert_eq!(status(&server, &pki), Some(Status::Good));
}
