//! Clients that come through WebSocket.

use crate::common::*;
use crate::pki::{Pki, email};
use crate::tokens;
use crate::web::{CONNECT, Frame, Web, inflate};
use async_nats::ConnectOptions;
use futures_util::StreamExt;
use gust_tests::process::Server;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

const BLOCK: &str = "port: -1, host: \"127.0.0.1\"";
const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

/// A server with a WebSocket listener without TLS.
fn plain(block: &str, rest: &str) -> Server {
    configured(&format!("websocket {{ {BLOCK}, no_tls: true\n{block} }}\n{rest}"))
}

fn closed(code: u16, text: &str) -> Option<(u16, String)> {
    Some((code, text.to_owned()))
}

async fn exchange(a: &async_nats::Client, b: &async_nats::Client) {
    for size in [0usize, 1, 100, 1000, 10_000, 100_000, 1_000_000] {
        let payload = vec![b'x'; size];
        let mut sub = within(a.subscribe("ws.data")).await.unwrap();
        sync(a).await;
        within(b.publish("ws.data", payload.clone().into())).await.unwrap();
        assert_eq!(next(&mut sub).await.payload, payload);
    }
    let mut echo = within(a.subscribe("ws.echo")).await.unwrap();
    sync(a).await;
    let server = a.clone();
    let serving = tokio::spawn(async move {
        while let Some(m) = echo.next().await {
            server.publish(m.reply.unwrap(), m.payload).await.unwrap();
        }
    });
    for n in 0..50 {
        let answer = within(b.request("ws.echo", format!("{n}").into())).await.unwrap();
        assert_eq!(text(&answer.payload), n.to_string());
    }
    serving.abort();
}

#[tokio::test]
async fn clients_talk_across_transports() {
    let server = plain("compression: true", "");
    let tcp = connect(&server).await;
    let web = within(async_nats::connect(&server.websocket)).await.unwrap();
    let port: u16 = server.websocket.rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(web.server_info().port, port);
    exchange(&web, &tcp).await;
    exchange(&tcp, &web).await;
    let other = within(async_nats::connect(&server.websocket)).await.unwrap();
    exchange(&web, &other).await;
    assert!(server.log().contains("Listening for websocket clients on ws://127.0.0.1:"));
    assert!(server.log().contains("DO NOT USE IN PRODUCTION"));
}

#[tokio::test]
async fn clients_talk_over_tls() {
    let pki = Pki::new();
    pki.server("server", &[]);
    let server = configured(&format!("websocket {{ {BLOCK}\n{} }}\n", pki.tls("")));
    assert!(server.websocket.starts_with("wss://"), "{}", server.websocket);
    let options = || ConnectOptions::new().add_root_certificates(pki.file("ca.pem"));
    let url = server.websocket.replace("127.0.0.1", "localhost");
    let web = within(options().connect(&url)).await.unwrap();
    let tcp = connect(&server).await;
    exchange(&web, &tcp).await;
    exchange(&tcp, &web).await;
    let info = web.server_info();
    assert!(info.tls_required);
    // Whoever does not trust the certificate does not get in, nor without TLS.
    assert!(within(async_nats::connect(&url)).await.is_err());
    let plain = url.replace("wss://", "ws://");
    assert!(within(async_nats::connect(&plain)).await.is_err());
}

#[tokio::test]
async fn certificates_may_name_the_user() {
    let pki = Pki::new();
    pki.server("server", &[]);
    pki.sign("ann", &[email("ann@x.org")], &[]);
    pki.sign("eve", &[email("eve@x.org")], &[]);
    let tls = pki.tls(&format!("verify_and_map: true, {}", pki.ca_file()));
    let users = "authorization { users: [{ user: \"ann@x.org\" }] }";
    let server = configured(&format!("websocket {{ {BLOCK}\n{tls} }}\n{users}\n"));
    let url = server.websocket.replace("127.0.0.1", "localhost");
    let with = |name: &str| {
        let (cert, key) = (pki.file(&format!("{name}.pem")), pki.file(&format!("{name}.key")));
        let options = ConnectOptions::new().add_root_certificates(pki.file("ca.pem"));
        options.add_client_certificate(cert, key).connect(&url)
    };
    let ann = within(with("ann")).await.unwrap();
    sync(&ann).await;
    assert!(within(with("eve")).await.is_err());
    let row = &doc(&server, "/connz?auth=1")["connections"][0];
    assert_eq!((&row["authorized_user"], &row["type"]), (&"ann@x.org".into(), &"websocket".into()));
    assert!(row["tls_version"].is_string(), "{row}");
}

#[tokio::test]
async fn a_reload_changes_certificates_and_nothing_else() {
    let (pki, other) = (Pki::new(), Pki::new());
    pki.server("server", &[]);
    other.server("server", &[]);
    let block = |more: &str| format!("websocket {{ {BLOCK}\n{}\n{more} }}\n", pki.tls(""));
    let mut server = configured(&block(""));
    let url = server.websocket.replace("127.0.0.1", "localhost");
    let trusting = |pki: &Pki| {
        let options = ConnectOptions::new().add_root_certificates(pki.file("ca.pem"));
        let url = url.clone();
        async move { options.connect(&url).await.ok() }
    };
    let old = within(trusting(&pki)).await.unwrap();
    assert!(within(trusting(&other)).await.is_none());
    for file in ["server.pem", "server.key"] {
        std::fs::copy(other.file(file), pki.file(file)).unwrap();
    }
    let pid = server.pid().to_string();
    let reload = || {
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    };
    reload();
    until("the new certificate", || trusting(&other)).await;
    assert!(within(trusting(&pki)).await.is_none());
    sync(&old).await;
    server.write_config(&block("compression: true")).unwrap();
    reload();
    until("the refusal", || {
        let log = server.log();
        async move { log.contains("config reload not supported for Websocket").then_some(()) }
    })
    .await;
}

#[test]
fn a_token_may_come_in_a_cookie() {
    let block = format!("websocket {{ {BLOCK}, no_tls: true, jwt_cookie: session }}");
    let server = configured(&tokens::memory(&[("A", json!({}))], &block));
    let allowed = json!({ "bearer_token": true, "allowed_connection_types": ["WEBSOCKET"] });
    let token = tokens::user_token("joe", allowed, &tokens::account("A"));
    assert!(gets_in(&server, &format!("Cookie: session={token}\r\n"), CONNECT));
    let row = &doc(&server, "/connz?auth=1&state=any")["connections"][0];
    assert_eq!(row["account"], tokens::account("A").public());
    assert!(!gets_in(&server, "", CONNECT));
    assert!(!gets_in(&server, &format!("Cookie: other={token}\r\n"), CONNECT));
    let standard = json!({ "bearer_token": true, "allowed_connection_types": ["STANDARD"] });
    let token = tokens::user_token("joe", standard, &tokens::account("A"));
    assert!(!gets_in(&server, &format!("Cookie: session={token}\r\n"), CONNECT));
    assert!(!server.log().contains(&token));
}

#[tokio::test]
async fn jetstream_works_through_websocket() {
    let server = Server::with(&["-js"], Some(&format!("websocket {{ {BLOCK}, no_tls: true }}")));
    let server = server.unwrap();
    let web = within(async_nats::connect(&server.websocket)).await.unwrap();
    let js = async_nats::jetstream::new(web);
    let config = async_nats::jetstream::stream::Config {
        name: "S".to_owned(),
        subjects: vec!["s.>".to_owned()],
        ..Default::default()
    };
    let stream = within(js.create_stream(config)).await.unwrap();
    for n in 0..20 {
        let ack = within(js.publish("s.a", vec![b'm'; n * 1000].into())).await.unwrap();
        within(ack).await.unwrap();
    }
    let mut info = stream.clone();
    assert_eq!(within(info.info()).await.unwrap().state.messages, 20);
}

#[test]
fn requests_that_break_a_rule_are_refused() {
    let server = plain("same_origin: true, headers { X-Own: \"yes\" }", "");
    let port = server.websocket.rsplit(':').next().unwrap();
    let same = format!("Origin: http://127.0.0.1:{port}\r\n");
    let web = Web::request(&server, "GET /any/path?x=y", &same);
    assert!(web.head.contains("\r\nX-Own: yes\r\n"), "{}", web.head);
    assert!(!web.head.contains("Extensions"), "{}", web.head);
    for (start, lines, status) in [
        ("GET /", "", "101"),
        ("POST /", "", "405"),
        ("GET /mqtt", "", "404"),
        ("GET /", "Origin: http://evil.com\r\n", "403"),
        ("GET /", "Origin: null\r\n", "403"),
    ] {
        assert_eq!(Web::status(&server, start, lines), status, "{start} {lines}");
    }
    let long = format!("A: {}\r\n", "x".repeat(20_000));
    assert_eq!(Web::status(&server, "GET /", &long), "431");
    let log = server.log();
    assert!(
        log.contains("websocket handshake error: origin not allowed: not same origin"),
        "{log}"
    );
    // A client that speaks the protocol at once hears that this is no port for it.
    let mut socket = TcpStream::connect(server.websocket.trim_start_matches("ws://")).unwrap();
    socket.write_all(CONNECT.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = socket.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    // A leafnode is upgraded, then closed: there are none.
    let mut web = Web::request(&server, "GET /leafnode", "");
    assert!(web.head.starts_with("HTTP/1.1 101 "));
    assert_eq!(web.next(), None);
}

#[test]
fn allowed_origins_are_a_list() {
    let server = plain("allowed_origins: [\"https://a.example\", \"http://b.example:81\"]", "");
    for (origin, status) in [
        ("https://a.example", "101"),
        ("https://A.example:443", "101"),
        ("http://a.example", "403"),
        ("http://b.example:81", "101"),
        ("http://b.example", "403"),
    ] {
        let line = format!("Origin: {origin}\r\n");
        assert_eq!(Web::status(&server, "GET /", &line), status, "{origin}");
    }
}

#[test]
fn a_peer_that_says_nothing_is_let_go() {
    let server = plain("handshake_timeout: \"100ms\"", "");
    let addr = server.websocket.trim_start_matches("ws://");
    let mut silent = TcpStream::connect(addr).unwrap();
    silent.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut half = TcpStream::connect(addr).unwrap();
    half.set_read_timeout(Some(DEADLINE)).unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    assert_eq!(half.read(&mut [0]).unwrap(), 0);
    // They do not count as connections any more.
    let web = Web::connect(&server, "");
    drop(web);
    assert!(server.log().contains("no complete request in time"));
}

#[test]
fn frames_of_all_kinds() {
    let server = plain("", "");
    let mut web = Web::connect(&server, "");
    // Fragments, cut inside lines, text and binary, with a ping in between.
    web.frame(0x01, b"SUB a 1\r\nPU");
    web.frame(0x89, b"are you there");
    web.frame(0x00, b"B a 2\r\nh");
    web.frame(0x80, b"i\r\nPING\r\n");
    assert_eq!(web.next(), Some(Frame { first: 0x8A, payload: b"are you there".to_vec() }));
    for line in ["MSG a 1 2", "hi", "PONG"] {
        assert_eq!(web.line(), line);
    }
    web.frame(0x8A, b"a pong nobody asked for");
    web.frame(0x82, b"");
    web.send("PING\r\n");
    assert_eq!(web.line(), "PONG");
    // What was sent before a Close is processed and answered first.
    web.send("PUB a 3\r\nbye\r\n");
    web.frame(0x88, b"\x03\xE8done");
    let (lines, close) = web.end();
    assert_eq!(lines, ["MSG a 1 3", "bye"]);
    assert_eq!(close, closed(1000, "done"));
}

#[test]
fn broken_frames_end_the_connection() {
    let server = plain("", "");
    for (name, bytes) in [
        ("not masked", &b"\x82\x06PING\r\n"[..]),
        ("reserved bit", b"\xA2\x80\0\0\0\0"),
        ("compressed without agreement", b"\xC2\x80\0\0\0\0"),
        ("long ping", b"\x89\xFE\0\x7E\0\0\0\0"),
        ("fragmented ping", b"\x09\x80\0\0\0\0"),
        ("continuation of nothing", b"\x80\x80\0\0\0\0"),
        ("unknown opcode", b"\x83\x80\0\0\0\0"),
        ("bad close", b"\x88\x81\0\0\0\0\x03"),
    ] {
        let mut web = Web::connect(&server, "");
        web.raw(bytes);
        assert_eq!(web.end(), (vec![], None), "{name}");
    }
    assert!(server.log().contains(" - wid:1 - read error: frame of a client is not masked"));
}

#[test]
fn masks_are_left_out_on_request() {
    let server = plain("", "");
    let mut web = Web::connect(&server, "Nats-No-Masking: true\r\n");
    assert!(web.head.contains("\r\nNats-No-Masking: true\r\n"));
    web.raw(b"\x82\x06PING\r\n");
    assert_eq!(web.line(), "PONG");
}

#[test]
fn messages_are_compressed_if_it_pays() {
    let server = plain("compression: true", "max_payload: 100000");
    let mut web = Web::connect(&server, DEFLATE);
    assert!(web.head.contains(
        "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
         client_no_context_takeover\r\n"
    ));
    web.send_compressed(b"SUB a 1\r\n");
    let payload = "x".repeat(100_000);
    web.send_compressed(format!("PUB a 100000\r\n{payload}\r\n").as_bytes());
    let mut all = Vec::new();
    while all.len() < "MSG a 1 100000\r\n".len() + 100_002 {
        let frame = web.next().unwrap();
        match frame.first {
            0xC2 => {
                assert!(frame.payload.len() < 1000);
                all.extend(inflate(&frame.payload));
            }
            _ => all.extend(frame.payload),
        }
    }
    let all = text(&all).replace("PING\r\n", "");
    assert_eq!(all, format!("MSG a 1 100000\r\n{payload}\r\n"));
    web.send("PING\r\n");
    let pong = loop {
        let frame = web.next().unwrap();
        if frame.payload != b"PING\r\n" {
            break frame;
        }
    };
    assert_eq!(pong, Frame { first: 0x82, payload: b"PONG\r\n".to_vec() });
    // More than a message may hold, in a few bytes.
    web.send_compressed(&vec![b' '; 50_000_000]);
    let (_, close) = web.end();
    assert!(close.is_none_or(|c| c.0 == 1009));
    // Damaged.
    let mut web = Web::connect(&server, DEFLATE);
    web.frame(0xC2, b"\xFF\xFF\xFF");
    assert_eq!(web.end(), (vec![], None));
}

#[test]
fn browsers_get_small_frames() {
    let server = plain("", "");
    let mut web = Web::connect(&server, "User-Agent: Mozilla/5.0 (X11) Chrome/1\r\n");
    web.send("SUB a 1\r\n");
    web.frame(0x82, format!("PUB a 50000\r\n{}\r\n", "x".repeat(50_000)).as_bytes());
    let mut got = 0;
    while got < 50_000 {
        let frame = web.next().unwrap();
        assert!(frame.first == 0x82 && frame.payload.len() <= 4096);
        got += frame.payload.len();
    }
}

#[test]
fn closing_says_why() {
    let server = plain("", "max_payload: 1000, max_control_line: 512");
    for (send, error, close) in [
        (
            "PUB a 2000\r\n",
            Some("Maximum Payload Violation"),
            (1009, "Maximum Message Payload Exceeded"),
        ),
        (
            "CONNECT {\"protocol\":7}\r\n",
            Some("invalid client protocol"),
            (1002, "Bad Client Protocol Version"),
        ),
        ("BOGUS\r\n", None, (0, "")),
        ("PUB a b c d\r\n", None, (0, "")),
        ("CONNECT {\"verbose\":1}\r\n", None, (0, "")),
    ] {
        let mut web = Web::connect(&server, "");
        web.send(send);
        let lines: Vec<_> = error.into_iter().map(|e| format!("-ERR '{e}'")).collect();
        let close = (close.0 != 0).then(|| (close.0, close.1.to_owned()));
        assert_eq!(web.end(), (lines, close), "{send}");
    }
    let mut web = Web::connect(&server, "");
    web.send(&format!("SUB {} 1\r\n", "a".repeat(600)));
    let (lines, close) = web.end();
    assert_eq!(lines, ["-ERR 'maximum control line exceeded'"]);
    assert_eq!(close, closed(1008, "Maximum Control Line Exceeded"));
}

#[test]
fn stopping_says_so() {
    let mut server = plain("", "");
    let mut web = Web::connect(&server, "");
    server.stop().unwrap();
    assert_eq!(web.end().1, closed(1001, "Server Shutdown"));
}

#[test]
fn too_many_connections() {
    let server = plain("", "max_connections: 1");
    let _first = Web::connect(&server, "");
    let (mut second, _) = Web::open(&server, "");
    let (lines, close) = second.end();
    assert_eq!(lines, ["-ERR 'maximum connections exceeded'"]);
    assert_eq!(close, closed(1008, "Maximum Connections Exceeded"));
}

#[tokio::test]
async fn who_does_not_read_is_a_slow_consumer() {
    let server = plain("compression: true", "max_payload: 200000, max_pending: 500000");
    let tcp = connect(&server).await;
    for (n, lines) in ["", DEFLATE].into_iter().enumerate() {
        let mut web = Web::connect(&server, lines);
        web.send("SUB slow 1\r\nPING\r\n");
        assert_eq!(web.line(), "PONG");
        // Noise, so that compression does not help.
        let mut x = 1u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 24) as u8
        })
        .take(100_000)
        .collect();
        until("it is closed", || async {
            within(tcp.publish("slow", noise.clone().into())).await.unwrap();
            within(tcp.flush()).await.unwrap();
            let connz = doc(&server, "/connz?state=closed");
            let slow = connz["connections"].as_array().unwrap().iter().filter(|c| {
                c["reason"] == "Slow Consumer (Pending Bytes)" && c["type"] == "websocket"
            });
            (slow.count() > n).then_some(())
        })
        .await;
    }
    // Others go on.
    sync(&tcp).await;
}

#[test]
fn pings_have_an_interval_of_their_own() {
    let server = plain("ping_interval: \"20ms\"", "ping_max: 2");
    let mut web = Web::connect(&server, "");
    let (lines, close) = web.end();
    assert_eq!(lines, ["-ERR 'Stale Connection'"]);
    assert_eq!(close, closed(1001, "Stale Connection"));
}

const USERS: &str = r#"authorization { timeout: 20, users: [
    { user: all, password: a },
    { user: web, password: w, allowed_connection_types: [WEBSOCKET] },
    { user: tcp, password: t, allowed_connection_types: [STANDARD] } ] }
"#;

fn login_json(user: &str, pass: &str) -> String {
    format!("CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"{pass}\"}}\r\nPING\r\n")
}

/// Whether this gets in.
fn gets_in(server: &Server, lines: &str, connect: &str) -> bool {
    let (mut web, info) = Web::open(server, lines);
    assert_eq!(info["auth_required"], true);
    web.send(connect);
    let line = web.line();
    if line == "PONG" {
        return true;
    }
    assert_eq!(line, "-ERR 'Authorization Violation'");
    assert_eq!(web.end(), (vec![], closed(1008, "Authentication Failure")));
    false
}

#[test]
fn logins_depend_on_the_way_in() {
    let server = plain("user_cookie: u, pass_cookie: p", USERS);
    for (cookie, user, pass, ok) in [
        ("", "all", "a", true),
        ("", "web", "w", true),
        ("", "web", "x", false),
        ("", "tcp", "t", false),
        ("u=web; p=w", "", "", true),
        ("u=\"web\"; p=w", "", "", true),
        ("u=web; p=x", "", "", false),
        ("u=web", "", "", false),
        ("p=w", "web", "", true),
        // What CONNECT says counts.
        ("u=web; p=w", "all", "a", true),
        ("u=web; p=w", "all", "x", false),
    ] {
        let line = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
        assert_eq!(gets_in(&server, &line, &login_json(user, pass)), ok, "{cookie} {user} {pass}");
    }
    let mut tcp = Raw::open(&server);
    tcp.send(&login_json("web", "w"));
    assert_eq!(tcp.line(), "-ERR 'Authorization Violation'");
    // Secrets stay out of the log.
    assert!(!server.log().contains("p=x"));
}

#[test]
fn nothing_goes_before_login() {
    let server = plain("authorization { timeout: 0.1 }", USERS);
    let (mut web, _) = Web::open(&server, "");
    web.send("SUB > 1\r\n");
    let refused =
        (vec!["-ERR 'Authorization Violation'".to_owned()], closed(1008, "Authentication Failure"));
    assert_eq!(web.end(), refused);
    let (mut web, _) = Web::open(&server, "");
    let (lines, close) = web.end();
    assert_eq!(lines, ["-ERR 'Authentication Timeout'"]);
    assert_eq!(close, closed(1008, "Authentication Timeout"));
}

#[test]
fn the_listener_may_have_a_login_of_its_own() {
    let server = plain("authorization { token: secret }, token_cookie: t", "");
    let token = "CONNECT {\"verbose\":false,\"auth_token\":\"secret\"}\r\nPING\r\n";
    assert!(gets_in(&server, "", token));
    assert!(gets_in(&server, "Cookie: t=secret\r\n", CONNECT));
    assert!(!gets_in(&server, "Cookie: t=other\r\n", CONNECT));
    assert!(!gets_in(&server, "", CONNECT));
    // The client port has none.
    Raw::connect(&server, "{\"verbose\":false}");
    let server = plain("no_auth_user: web", USERS);
    Web::connect(&server, "");
    // Clients that tell who they are only where they have to are told to.
    assert_eq!(Web::open(&server, "").1["auth_required"], true);
    let mut tcp = Raw::open(&server);
    tcp.send(CONNECT);
    assert_eq!(tcp.line(), "-ERR 'Authorization Violation'");
}

#[test]
fn monitoring_tells_them_apart() {
    let server = plain("compression: true, same_origin: true", "");
    let _web = Web::connect(&server, "X-Forwarded-For: 203.0.113.9, 10.0.0.1\r\n");
    let connz = doc(&server, "/connz");
    let conn = &connz["connections"][0];
    assert_eq!((&conn["type"], &conn["ip"]), (&"websocket".into(), &"127.0.0.1".into()));
    let varz = doc(&server, "/varz");
    let ws = &varz["websocket"];
    let port: u16 = server.websocket.rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(ws["port"], port);
    assert_eq!((&ws["no_tls"], &ws["compression"]), (&true.into(), &true.into()));
    assert_eq!(ws["same_origin"], true);
    assert_eq!(ws.get("allowed_origins"), None);
    assert_eq!(varz["total_connections"], 1);
    let mut broken = Web::connect(&server, "X-Forwarded-For: 203.0.113.9\r\n");
    broken.raw(b"\x82\x06PING\r\n");
    broken.end();
    assert!(server.log().contains("203.0.113.9/127.0.0.1:"), "{}", server.log());
}

#[test]
fn samples_start() {
    let sample = include_str!("../../../config/samples/websocket.conf");
    let server = configured(sample);
    assert!(gets_in(&server, "Origin: https://app.example.com\r\n", &login_json("web", "s3cr3t")));
    assert!(!gets_in(&server, "", &login_json("web", "wrong")));
    assert_eq!(Web::status(&server, "GET /", "Origin: https://evil.example\r\n"), "403");
}
