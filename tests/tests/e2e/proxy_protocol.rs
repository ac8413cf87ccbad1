//! The PROXY protocol before a client connection, with and without TLS.

use crate::common::*;
use gust_tests::process::Server;

const HEADER: &str = "PROXY TCP4 192.0.2.7 127.0.0.1 4660 4222\r\n";
const CONNECT: &str = "CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n";

fn second_info(raw: &mut Raw) -> serde_json::Value {
    raw.expect(&["PONG"]);
    info_of(&raw.line())
}

fn server() -> Server {
    configured("proxy_protocol: true")
}

#[test]
fn the_address_behind_the_proxy() {
    let server = server();
    let v2 = [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(),
        &[192, 0, 2, 7, 127, 0, 0, 1, 0x12, 0x34, 0x10, 0x7e],
    ]
    .concat();
    for header in [HEADER.as_bytes(), &v2] {
        let mut raw = Raw::open(&server);
        // The proxy's own address is nobody's business.
        assert!(raw.info.get("client_ip").is_none(), "{}", raw.info);
        raw.send_bytes(header);
        raw.send(CONNECT);
        assert_eq!(second_info(&mut raw)["client_ip"], "192.0.2.7");
        let row = doc(&server, "/connz")["connections"][0].clone();
        assert_eq!((&row["ip"], &row["port"]), (&"192.0.2.7".into(), &4660.into()));
    }
}

#[test]
fn without_a_header_or_with_one_of_a_health_check() {
    let server = server();
    for header in ["", "PROXY UNKNOWN\r\n"] {
        let mut raw = Raw::open(&server);
        raw.send(header);
        raw.send(CONNECT);
        assert_eq!(second_info(&mut raw)["client_ip"], "127.0.0.1", "{header:?}");
    }
}

#[test]
fn in_single_bytes() {
    let server = server();
    let mut raw = Raw::open(&server);
    for b in HEADER.bytes().chain(CONNECT.bytes()) {
        raw.send_bytes(&[b]);
    }
    assert_eq!(second_info(&mut raw)["client_ip"], "192.0.2.7");
}

#[test]
fn a_bad_header_closes_without_a_word() {
    let server = server();
    let long = format!("PROXY {}\r\n", "x".repeat(120));
    for header in ["PROXY TCP4 1.2.3.4\r\n", "\r\n\r\n\0\rnonsense", &long] {
        let mut raw = Raw::open(&server);
        raw.send(header);
        assert_eq!(raw.rest(), "", "{header:?}");
    }
    assert!(server.log().contains("Error reading PROXY protocol header from 127.0.0.1"));
    let closed = doc(&server, "/connz?state=closed");
    for row in closed["connections"].as_array().unwrap() {
        assert_eq!(row["reason"], "Protocol Violation");
    }
}

#[test]
fn only_where_it_is_configured() {
    let server = configured("");
    let mut raw = Raw::open(&server);
    assert_eq!(raw.info["client_ip"], "127.0.0.1");
    raw.send(HEADER);
    assert_eq!(raw.rest(), "-ERR 'Unknown Protocol Operation'\r\n");
}

#[test]
fn before_tls() {
    use rustls::pki_types::ServerName;
    use std::io::{Read, Write};
    let pki = crate::pki::Pki::new();
    pki.server("server", &[]);
    for allow in [true, false] {
        let config = format!("proxy_protocol: true\nallow_non_tls: {allow}\n{}", pki.tls(""));
        let server = configured(&config);
        let mut raw = Raw::open(&server);
        raw.send(HEADER);
        let name = ServerName::try_from("localhost").unwrap();
        let conn = rustls::ClientConnection::new(pki.client(""), name).unwrap();
        let mut tls = rustls::StreamOwned::new(conn, raw.stream().try_clone().unwrap());
        tls.write_all(CONNECT.as_bytes()).unwrap();
        let mut pong = [0; 6];
        tls.read_exact(&mut pong).unwrap();
        assert_eq!(&pong, b"PONG\r\n");
        let row = doc(&server, "/connz")["connections"][0].clone();
        assert_eq!((&row["ip"], &row["tls_version"]), (&"192.0.2.7".into(), &"1.3".into()));
    }
}
