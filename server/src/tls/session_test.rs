//! Sessions against a client of rustls: in parts, damaged, in both directions.

#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::{Read, Write};
use std::sync::LazyLock;

struct Pair {
    server: Arc<ServerConfig>,
    cert: CertificateDer<'static>,
}

static PAIR: LazyLock<Pair> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.clone()], key.into())
        .unwrap();
    Pair { server: Arc::new(server), cert }
});

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn client(tls12: bool, fragment: Option<usize>) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(PAIR.cert.clone()).unwrap();
    let version = if tls12 { &rustls::version::TLS12 } else { &rustls::version::TLS13 };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.max_fragment_size = fragment;
    ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap()
}

fn sent(client: &mut ClientConnection) -> Vec<u8> {
    let mut out = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut out).unwrap();
    }
    out
}

fn give(client: &mut ClientConnection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets().unwrap();
    }
}

/// Feeds `bytes` in parts of `step`; what the server says goes to the client.
fn feed(tls: &mut Tls, bytes: &[u8], step: usize, plain: &mut BytesMut) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    for part in bytes.chunks(step) {
        let mut wire = BytesMut::from(tls.rest());
        wire.extend_from_slice(part);
        let result = tls.receive(&mut wire, plain, &mut out);
        tls.keep(&wire);
        result?;
        assert!(tls.is_handshaking() || !tls.has_too_much());
    }
    Ok(out)
}

fn established(tls12: bool, fragment: Option<usize>, step: usize) -> (Tls, ClientConnection) {
    let mut tls = Tls::new(PAIR.server.clone()).unwrap();
    let mut client = client(tls12, fragment);
    let mut plain = BytesMut::new();
    while tls.is_handshaking() || client.is_handshaking() {
        let bytes = sent(&mut client);
        let out = feed(&mut tls, &bytes, step, &mut plain).unwrap();
        give(&mut client, &out);
    }
    assert!(plain.is_empty());
    (tls, client)
}

fn read_all(client: &mut ClientConnection) -> Vec<u8> {
    let mut got = Vec::new();
    let mut buf = [0; 4096];
    while let Ok(n) = client.reader().read(&mut buf) {
        if n == 0 {
            break;
        }
        got.extend_from_slice(&buf[..n]);
    }
    got
}

#[test]
fn in_parts_of_any_size() {
    for tls12 in [false, true] {
        for fragment in [None, Some(32), Some(60)] {
            for step in [1, 3, 7, 100_000] {
                let (mut tls, mut client) = established(tls12, fragment, step);
                client.writer().write_all(&[7; 9000]).unwrap();
                let mut plain = BytesMut::new();
                let bytes = sent(&mut client);
                // Encrypting in the middle of a record does not disturb it.
                let (a, b) = bytes.split_at(bytes.len() / 2 + 1);
                feed(&mut tls, a, step, &mut plain).unwrap();
                let mut wire = WireBuf::default();
                tls.encrypt(b"between", &mut wire).unwrap();
                feed(&mut tls, b, step, &mut plain).unwrap();
                tls.encrypt(b" and behind", &mut wire).unwrap();
                assert_eq!(plain, [7; 9000][..]);
                assert!(tls.rest().is_empty());
                give(&mut client, wire.filled());
                assert_eq!(read_all(&mut client), b"between and behind");
            }
        }
    }
}

#[test]
fn large_batches_and_the_end() {
    let (mut tls, mut client) = established(false, None, 1000);
    client.set_buffer_limit(None);
    let payload: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    let mut wire = WireBuf::default();
    tls.encrypt(&payload, &mut wire).unwrap();
    let mut got = Vec::new();
    let mut bytes = wire.filled();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets().unwrap();
        got.extend(read_all(&mut client));
    }
    assert_eq!(got, payload);
    // Keys are renewed on the client's request, and its end is seen.
    client.refresh_traffic_keys().unwrap();
    client.writer().write_all(b"new keys").unwrap();
    client.send_close_notify();
    let mut plain = BytesMut::new();
    let bytes = sent(&mut client);
    let out = feed(&mut tls, &bytes, 5, &mut plain).unwrap();
    assert_eq!(plain, b"new keys"[..]);
    assert!(tls.peer_closed());
    let mut wire = WireBuf::default();
    tls.encrypt(b"last", &mut wire).unwrap();
    tls.close_notify(&mut wire);
    give(&mut client, &out);
    give(&mut client, wire.filled());
    let mut buf = [0; 10];
    assert_eq!(client.reader().read(&mut buf).unwrap(), 4);
    assert_eq!(client.reader().read(&mut buf).unwrap(), 0, "a clean end");
}

#[test]
fn a_bad_hello_gets_an_alert() {
    let mut tls = Tls::new(PAIR.server.clone()).unwrap();
    let mut wire = BytesMut::from(&[22, 3, 1, 0, 4, 2, 0, 0, 0, 99][..]);
    let mut out = Vec::new();
    assert!(tls.receive(&mut wire, &mut BytesMut::new(), &mut out).is_err());
    assert_eq!(out.first(), Some(&21), "an alert");
    assert!(tls.failed());
    assert!(tls.encrypt(b"x", &mut WireBuf::default()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Damage in either flight of the client: refused or survived, no panic.
    #[test]
    fn damage_is_survived(
        at in 0..3000usize,
        bit in 0..8u8,
        step in 1..200usize,
        tls12: bool,
        small: bool,
        second: bool,
    ) {
        let mut tls = Tls::new(PAIR.server.clone()).unwrap();
        let mut client = client(tls12, small.then_some(40));
        let mut plain = BytesMut::new();
        let mut flights = 0;
        while tls.is_handshaking() && flights < 4 {
            let mut bytes = sent(&mut client);
            if bytes.is_empty() {
                break;
            }
            if flights == usize::from(second) {
                let at = at % bytes.len();
                bytes[at] ^= 1 << bit;
            }
            let Ok(out) = feed(&mut tls, &bytes, step, &mut plain) else { break };
            let mut out = &out[..];
            while !out.is_empty() {
                if client.read_tls(&mut out).is_err() || client.process_new_packets().is_err() {
                    break;
                }
            }
            flights += 1;
        }
        let mut wire = WireBuf::default();
        let _ = tls.encrypt(b"anything", &mut wire);
        tls.close_notify(&mut wire);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600), step in 1..50usize, hello: bool) {
        let mut tls = Tls::new(PAIR.server.clone()).unwrap();
        let mut all = if hello { vec![22, 3, 1] } else { Vec::new() };
        all.extend(bytes);
        let _ = feed(&mut tls, &all, step, &mut BytesMut::new());
        tls.close_notify(&mut WireBuf::default());
    }
}
