//! The wire protocol byte by byte: texts, order, partial writes, timers.

use crate::common::{Raw, configured, doc, info_of, start};

const QUIET: &str = r#"{"verbose":false,"headers":true,"no_responders":true,"protocol":1}"#;

#[test]
fn info_comes_first_and_again_after_the_first_pong() {
    let server = start();
    let mut raw = Raw::open(&server);
    let first = raw.info.clone();
    assert_eq!(first["proto"], 1);
    assert_eq!(first["headers"], true);
    assert_eq!(first["jetstream"], true);
    assert_eq!(first["max_payload"], 1 << 20);
    assert_eq!(first["api_lvl"], 5);
    assert!(first.get("connect_info").is_none() && first.get("auth_required").is_none());
    raw.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\nPING\r\n");
    assert_eq!(raw.line(), "PONG");
    let second = info_of(&raw.line());
    assert_eq!(second["connect_info"], true);
    assert_eq!(second["remote_account"], "$G");
    assert_eq!(second["client_id"], first["client_id"]);
    assert_eq!(raw.line(), "PONG");
    raw.sync();

    // Protocol 0 clients get no second INFO.
    let mut old = Raw::open(&server);
    old.send("CONNECT {\"verbose\":false,\"protocol\":0}\r\nPING\r\nPING\r\n");
    old.expect(&["PONG", "PONG"]);
    old.sync();
}

#[test]
fn verbose_answers_every_accepted_operation() {
    let server = start();
    let mut raw = Raw::open(&server);
    // Verbose, pedantic and echo are on before CONNECT.
    raw.send("SUB a 1\r\n");
    raw.expect(&["+OK"]);
    raw.send("PUB a 2\r\nhi\r\n");
    raw.expect(&["+OK", "MSG a 1 2", "hi"]);
    raw.send("PUB a.* 0\r\n\r\n");
    raw.expect(&["-ERR 'Invalid Publish Subject'", "+OK"]);
    raw.send("SUB a..b 2\r\n");
    raw.expect(&["-ERR 'Invalid Subject'"]);
    raw.send("SUB a 1\r\nUNSUB 1\r\nUNSUB 99\r\nPING\r\n");
    raw.expect(&["+OK", "+OK", "+OK", "PONG"]);
    raw.send("CONNECT {\"verbose\":true,\"pedantic\":false}\r\n");
    raw.expect(&["+OK"]);
    raw.send("PUB a.* 0\r\n\r\n");
    raw.expect(&["+OK"]);
    raw.sync();
}

#[test]
fn operations_are_lenient_where_nats_is() {
    let server = start();
    let mut raw = Raw::connect(&server, QUIET);
    raw.send("sub  a\t*q  7 \n");
    raw.sync();
    raw.send("pUb a 002\nhi\r\n");
    raw.expect(&["MSG a 7 002", "hi"]);
    raw.send("PUB a reply.to 3\r\nabc\r\n");
    raw.expect(&["MSG a 7 reply.to 3", "abc"]);
    raw.send("HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    raw.expect(&["HMSG a 7 r 12 14", "NATS/1.0", "", "hi"]);
    raw.send("INFO {}\r\n+OK\r\nPONG\r\nPING with text\r\n");
    raw.expect(&["PONG"]);
    raw.send("SUB r.* 8\r\nPUB nobody r.1 0\r\n\r\n");
    raw.expect(&["HMSG r.1 8 38 38", "NATS/1.0 503", "Nats-Subject: nobody", "", ""]);
}

#[test]
fn errors_have_their_texts() {
    let server = configured("max_payload: 1024\nmax_control_line: 256\n");
    let long = "x".repeat(300);
    let closing = [
        ("FOO\r\n".to_owned(), "-ERR 'Unknown Protocol Operation'\r\n"),
        ("\r\n".to_owned(), "-ERR 'Unknown Protocol Operation'\r\n"),
        ("PUB a 2\r\nabc\r\n".to_owned(), "-ERR 'Unknown Protocol Operation'\r\n"),
        ("MSG a 1 0\r\n\r\n".to_owned(), "-ERR 'Unknown Protocol Operation'\r\n"),
        ("PUB a 1025\r\n".to_owned(), "-ERR 'Maximum Payload Violation'\r\n"),
        ("HPUB a 12 1025\r\n".to_owned(), "-ERR 'Maximum Payload Violation'\r\n"),
        (format!("SUB {long} 1\r\n"), "-ERR 'maximum control line exceeded'\r\n"),
        (format!("PUB {long}"), "-ERR 'maximum control line exceeded'\r\n"),
        ("CONNECT {\"protocol\":2}\r\n".to_owned(), "-ERR 'invalid client protocol'\r\n"),
        (
            "CONNECT {\"headers\":false}\r\n".to_owned(),
            "-ERR 'no responders requires headers support'\r\n",
        ),
        ("CONNECT {\"account\":\"A\"}\r\n".to_owned(), "-ERR 'Authorization Violation'\r\n"),
        ("PUB a\r\n".to_owned(), ""),
        ("PUB a b c 1\r\n".to_owned(), ""),
        ("PUB a -1\r\n".to_owned(), ""),
        ("PUB a x\r\n".to_owned(), ""),
        ("SUB a\r\n".to_owned(), ""),
        ("HPUB a 13 12\r\n".to_owned(), ""),
        ("CONNECT {\r\n".to_owned(), ""),
        ("CONNECT {\"verbose\":\"yes\"}\r\n".to_owned(), ""),
        ("-ERR 'x'\r\n".to_owned(), ""),
    ];
    for (sent, answer) in closing {
        let mut raw = Raw::connect(&server, QUIET);
        raw.send(&sent);
        assert_eq!(raw.rest(), answer, "after {sent:?}");
    }
    let mut raw = Raw::connect(&server, r#"{"verbose":false}"#);
    raw.send("HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n");
    assert_eq!(raw.rest(), "", "HPUB without headers");
    let open = [
        (
            "SUB a _sys_ 1\r\n",
            "-ERR 'Permissions Violation for Subscription to \"a\" using queue \"_sys_\"'",
        ),
        ("SUB a. 1\r\n", "-ERR 'Invalid Subject'"),
        ("SUB >.a 1\r\n", "-ERR 'Invalid Subject'"),
        (
            "PUB a _R_.x 0\r\n\r\n",
            "-ERR 'Permissions Violation for Publish with Reply of \"_R_.x\"'",
        ),
        (
            "PUB a $JS.ACK.x 0\r\n\r\n",
            "-ERR 'Permissions Violation for Publish with Reply of \"$JS.ACK.x\"'",
        ),
        ("PUB _GR_.x 0\r\n\r\n", "-ERR 'Permissions Violation for Publish to \"_GR_.x\"'"),
    ];
    for (sent, answer) in open {
        let mut raw = Raw::connect(&server, QUIET);
        raw.send(sent);
        raw.expect(&[answer]);
        raw.sync();
    }
}

#[test]
fn large_refused_payloads_still_hear_why() {
    // The server closes with the payload unread; its words must not be lost to
    // the reset that follows.
    let server = configured("max_payload: 1024\n");
    for _ in 0..20 {
        let mut raw = Raw::connect(&server, QUIET);
        let body = "x".repeat(200_000);
        raw.send(&format!("PUB a {}\r\n{body}\r\n", body.len()));
        assert_eq!(raw.rest(), "-ERR 'Maximum Payload Violation'\r\n");
    }
}

#[test]
fn writes_may_be_split_anywhere() {
    let server = start();
    let script: &[u8] = b"SUB a.* g 11\r\nSUB r 12\r\nPUB a.b 5\r\nh\r\nlo\r\n\
        HPUB a.c r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\nPUB a.d 0\r\n\r\nUNSUB 11\r\nPING\r\n";
    let wanted = "MSG a.b 11 5\r\nh\r\nlo\r\nHMSG a.c 11 r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n\
        MSG a.d 11 0\r\n\r\nPONG\r\n";
    for cut in 0..=script.len() {
        let mut raw = Raw::connect(&server, QUIET);
        raw.send_bytes(&script[..cut]);
        if cut < script.len() {
            // Another connection's round trip: the first part was most likely
            // read by then; either way the answer has to be the same.
            raw.send_bytes(&script[cut..cut + 1]);
            raw.send_bytes(&script[cut + 1..]);
        }
        assert_eq!(String::from_utf8(raw.bytes(wanted.len())).unwrap(), wanted, "cut at {cut}");
    }
    let mut raw = Raw::connect(&server, QUIET);
    for b in script {
        raw.send_bytes(&[*b]);
    }
    assert_eq!(String::from_utf8(raw.bytes(wanted.len())).unwrap(), wanted);
}

#[test]
fn silent_clients_are_pinged_and_closed_as_stale() {
    let server = configured("ping_interval: \"100ms\"\nping_max: 2\n");
    let mut raw = Raw::connect(&server, QUIET);
    // Answers keep it alive for longer than the unanswered ones would.
    for _ in 0..6 {
        assert_eq!(raw.any_line(), "PING");
        raw.send("PONG\r\n");
    }
    let mut pings = 0;
    let last = loop {
        match raw.any_line().as_str() {
            "PING" => pings += 1,
            other => break other.to_owned(),
        }
    };
    assert_eq!(last, "-ERR 'Stale Connection'");
    assert_eq!(raw.rest(), "");
    assert_eq!(pings, 3, "ping_max unanswered pings are borne, one more closes");
}

#[test]
fn a_second_connect_starts_over() {
    let server = start();
    let mut raw = Raw::connect(&server, QUIET);
    raw.send("SUB a 1\r\nCONNECT {\"verbose\":false,\"echo\":true}\r\nPUB a 0\r\n\r\n");
    raw.sync();
    raw.send("SUB a 1\r\nPUB a 1\r\nx\r\n");
    raw.expect(&["MSG a 1 1", "x"]);
}

/// What a further CONNECT leaves out stays as it was.
#[test]
fn a_further_connect_only_changes_what_it_names() {
    let users = "authorization { users: [{user: alice, password: a, permissions: {publish: ok}}] }";
    let server = configured(users);
    let first = r#"{"verbose":false,"headers":true,"no_responders":true,"user":"alice","pass":"a","name":"n","lang":"l"}"#;
    let mut raw = Raw::connect(&server, first);
    raw.send("CONNECT {\"verbose\":true}\r\n");
    raw.expect(&["+OK"]);
    raw.send("SUB i 1\r\nPUB ok i 0\r\n\r\nPUB no 0\r\n\r\n");
    raw.expect(&["+OK", "+OK", "HMSG i 1 34 34", "NATS/1.0 503", "Nats-Subject: ok", "", ""]);
    raw.expect(&["-ERR 'Permissions Violation for Publish to \"no\"'"]);
    let open = doc(&server, "/connz?auth=1")["connections"][0].take();
    assert_eq!((&open["name"], &open["authorized_user"]), (&"n".into(), &"alice".into()));
    raw.send("CONNECT {\"headers\":false}\r\nPING\r\n");
    assert_eq!(raw.rest(), "-ERR 'no responders requires headers support'\r\n");
    // Whoever names credentials has to name all of them.
    let mut raw = Raw::connect(&server, first);
    raw.send("CONNECT {\"user\":\"alice\"}\r\n");
    assert_eq!(raw.rest(), "-ERR 'Authorization Violation'\r\n");
}

/// A client that fails to become somebody else was never called so.
#[test]
fn a_refused_second_connect_changes_no_name() {
    let users = "authorization { users: [{user: alice, password: a}, {user: bob, password: b}] }";
    let server = configured(users);
    let mut raw = Raw::connect(&server, r#"{"user":"alice","pass":"a"}"#);
    raw.send("CONNECT {\"user\":\"bob\",\"pass\":\"wrong\"}\r\n");
    assert_eq!(raw.rest(), "-ERR 'Authorization Violation'\r\n");
    let closed = doc(&server, "/connz?state=closed&auth=1");
    assert_eq!(closed["connections"][0]["authorized_user"], "alice", "{closed}");
}

#[test]
fn only_the_system_account_shows_that_a_reply_is_missing() {
    let server = configured(
        "accounts { SYS { users [{user: s, password: s}] }, A { users [{user: a, password: a}] } }
        system_account: SYS",
    );
    let blanks = |user: &str, request: &str| {
        let connect = format!(r#"{{"verbose":false,"user":"{user}","pass":"{user}"}}"#);
        let mut raw = Raw::connect(&server, &connect);
        raw.send(&format!("SUB _I.> 1\r\nPUB {request} _I.a 0\r\n\r\n"));
        let line = raw.line();
        assert!(line.starts_with("MSG _I.a 1 "), "{line}");
        line.contains("  ")
    };
    assert!(!blanks("a", "$SYS.REQ.USER.INFO"));
    assert!(blanks("s", "$SYS.REQ.SERVER.PING.IDZ"));
}
