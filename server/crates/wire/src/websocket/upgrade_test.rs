//! Requests, one rule at a time.

use super::*;
use proptest::prelude::*;

const GOOD: &str = "GET / HTTP/1.1\r\nHost: example.com:8080\r\nUpgrade: websocket\r\n\
    Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n";

fn parse_all(request: &str, policy: &Policy) -> Result<Upgrade, Refusal> {
    match parse(request.as_bytes(), policy)? {
        Request::Upgrade(u) => Ok(*u),
        Request::Incomplete => panic!("incomplete: {request}"),
    }
}

/// The good request with lines added.
fn with(lines: &str, policy: &Policy) -> Result<Upgrade, Refusal> {
    parse_all(&format!("{GOOD}{lines}\r\n"), policy)
}

/// The good request with `from` changed `to`.
fn changed(from: &str, to: &str) -> Result<Upgrade, Refusal> {
    assert!(GOOD.contains(from), "{from}");
    parse_all(&format!("{}\r\n", GOOD.replace(from, to)), &Policy::default())
}

#[test]
fn accept_is_the_sample_of_the_rfc() {
    let upgrade = with("", &Policy::default()).unwrap();
    assert_eq!(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(upgrade.service, Service::Client);
    let mut out = Vec::new();
    let headers = [("X-Own", "a\r\nEvil: b")];
    put_accept(&mut out, &upgrade, headers.into_iter());
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Own: aEvil: b\r\n\r\n"
    );
}

#[test]
fn each_rule_refuses() {
    use Refusal as R;
    for (from, to, expected) in [
        ("GET", "POST", R::Method),
        ("HTTP/1.1", "HTTP/1.0", R::Malformed),
        ("GET / HTTP/1.1", "CONNECT {\"verbose\":false}", R::Malformed),
        ("Host: example.com:8080\r\n", "", R::Header("Host")),
        ("Upgrade: websocket", "Upgrade: h2c", R::Header("Upgrade")),
        ("Upgrade: websocket\r\n", "", R::Header("Upgrade")),
        ("Connection: keep-alive, Upgrade", "Connection: close", R::Header("Connection")),
        ("Version: 13", "Version: 8", R::Header("Sec-WebSocket-Version")),
        ("bXBsZSBub25jZQ==", "bXBsZQ==", R::Header("Sec-WebSocket-Key")),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", R::Header("Sec-WebSocket-Key")),
        ("GET /", "GET /a/mqtt", R::NoMqtt),
    ] {
        let got = changed(from, to).unwrap_err();
        assert_eq!(got, expected, "{from} -> {to}");
        let mut out = Vec::new();
        put_refusal(&mut out, got);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {} ", got.status().0)));
        assert!(text.contains("\r\nSec-Websocket-Version: 13\r\n"));
    }
    assert!(changed("Connection: keep-alive, Upgrade", "connection: UPGRADE").is_ok());
    assert_eq!(
        parse_all(&format!("{GOOD}\r\nx"), &Policy::default()).unwrap_err(),
        Refusal::EarlyData
    );
}

#[test]
fn size_is_bounded() {
    let policy = Policy::default();
    let fill = MAX_REQUEST - GOOD.len() - 2 - "A: \r\n".len();
    assert!(with(&format!("A: {}\r\n", "x".repeat(fill)), &policy).is_ok());
    let more = format!("{GOOD}A: {}\r\n\r\n", "x".repeat(fill + 1));
    assert_eq!(parse_all(&more, &policy).unwrap_err(), Refusal::TooLarge);
    // Without an end it is refused all the same, not waited for.
    let endless = format!("{GOOD}A: {}", "x".repeat(MAX_REQUEST));
    assert_eq!(parse_all(&endless, &policy).unwrap_err(), Refusal::TooLarge);
    assert_eq!(with(&"A: b\r\n".repeat(130), &policy).unwrap_err(), Refusal::TooLarge);
}

#[test]
fn paths_choose_the_service() {
    let mqtt = Policy { mqtt: true, ..Policy::default() };
    for (path, service) in [
        ("/", Service::Client),
        ("/leafnode", Service::Leafnode),
        ("/a/leafnode?x=y", Service::Leafnode),
        ("/mqtt", Service::Mqtt),
        ("/mqtt/x", Service::Client),
        ("/?a=/mqtt", Service::Client),
    ] {
        let request = format!("{}\r\n", GOOD.replace("GET / ", &format!("GET {path} ")));
        assert_eq!(parse_all(&request, &mqtt).unwrap().service, service, "{path}");
    }
}

#[test]
fn origins() {
    let list = |l: &[&str]| l.iter().map(|o| Origin::parse(o).unwrap()).collect::<Vec<_>>();
    let any = Policy::default();
    let same = Policy { same_origin: true, ..Policy::default() };
    let same_tls = Policy { tls: true, ..same.clone() };
    let some = Policy {
        allowed_origins: list(&["http://a.com", "https://b.com:444"]),
        ..Policy::default()
    };
    let both = Policy { allowed_origins: list(&["http://example.com:8080"]), ..same.clone() };
    for (policy, origin, ok) in [
        (&any, "null", true),
        (&same, "http://example.com:8080", true),
        (&same, "http://EXAMPLE.com:8080/x", true),
        (&same, "http://example.com", false),
        (&same, "https://example.com:8080", false),
        (&same_tls, "https://example.com:8080", true),
        (&same_tls, "http://example.com:8080", false),
        (&same, "null", false),
        (&some, "http://a.com:80", true),
        (&some, "http://a.com:81", false),
        (&some, "https://b.com:444", true),
        (&some, "https://b.com", false),
        (&some, "http://example.com:8080", false),
        (&both, "http://example.com:8080", true),
        (&both, "http://a.com", false),
    ] {
        let got = with(&format!("Origin: {origin}\r\n"), policy);
        assert_eq!(got.is_ok(), ok, "{origin} {policy:?}");
        assert!(got.is_ok() || got.unwrap_err().status().0 == 403);
    }
    for policy in [&same, &some] {
        assert!(with("", policy).is_ok(), "no page, no origin");
        assert!(with("Sec-WebSocket-Origin: http://evil.com\r\n", policy).is_err());
    }
}

#[test]
fn extensions() {
    let policy = Policy { compression: true, ..Policy::default() };
    for (offer, taken) in [
        ("permessage-deflate", true),
        ("permessage-deflate; client_max_window_bits", true),
        ("PerMessage-Deflate ; server_no_context_takeover;client_no_context_takeover", true),
        ("permessage-deflate; server_max_window_bits=10", false),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", true),
        ("x-webkit-deflate-frame", false),
        ("permessage-deflate; unknown", false),
        ("x; permessage-deflate", false),
    ] {
        let lines = format!("Sec-WebSocket-Extensions: {offer}\r\n");
        let upgrade = with(&lines, &policy).unwrap();
        assert_eq!(upgrade.compress, taken, "{offer}");
        assert!(!with(&lines, &Policy::default()).unwrap().compress, "off");
        let mut out = Vec::new();
        put_accept(&mut out, &upgrade, std::iter::empty());
        let agreed = "\r\nSec-WebSocket-Extensions: permessage-deflate; \
                      server_no_context_takeover; client_no_context_takeover\r\n";
        assert_eq!(String::from_utf8(out).unwrap().contains(agreed), taken);
    }
}

#[test]
fn masking_agents_and_proxies() {
    let policy = Policy { mqtt: true, ..Policy::default() };
    assert!(with("Nats-No-Masking: true\r\n", &policy).unwrap().no_masking);
    assert!(!with("Nats-No-Masking: yes\r\n", &policy).unwrap().no_masking);
    let chrome = "User-Agent: Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/1 Safari/537.36\r\n";
    let safari = "User-Agent: Mozilla/5.0 (Mac) Version/17.0 Safari/605\r\n";
    let of = |lines: &str| with(lines, &policy).map(|u| (u.browser, u.safari)).unwrap();
    assert_eq!(of(chrome), (true, false));
    assert_eq!(of(safari), (true, true));
    assert_eq!(of("User-Agent: nats.py Version/1 Safari/1\r\n"), (false, false));
    let from = |value: &str| {
        let u = with(&format!("X-Forwarded-For: {value}\r\n"), &policy).unwrap();
        u.forwarded_for.map(|ip| ip.to_string())
    };
    assert_eq!(from("1.2.3.4, 5.6.7.8").as_deref(), Some("1.2.3.4"));
    assert_eq!(from("2001:db8::1").as_deref(), Some("2001:db8::1"));
    assert_eq!(from("evil\tname"), None);
}

#[test]
fn cookies_by_name() {
    let names = CookieNames {
        jwt: "j".to_owned(),
        user: "u".to_owned(),
        pass: "p".to_owned(),
        token: String::new(),
    };
    let policy = Policy { cookies: names, ..Policy::default() };
    let got = with("Cookie: a=b; u=\"me\"; j=x.y=z\r\ncookie: p=s; =t\r\n", &policy).unwrap();
    assert_eq!(
        got.cookies,
        Cookies {
            jwt: "x.y=z".to_owned(),
            user: "me".to_owned(),
            pass: "s".to_owned(),
            token: String::new()
        }
    );
    assert!(!format!("{got:?}").contains("x.y"));
}

proptest! {
    #[test]
    fn pieces_are_waited_for(cut in 1usize..200) {
        let request = format!("{GOOD}\r\n");
        let cut = cut.min(request.len() - 1);
        let early = parse(&request.as_bytes()[..cut], &Policy::default());
        prop_assert!(matches!(early, Ok(Request::Incomplete)));
    }

    #[test]
    fn junk_is_refused(junk in prop::collection::vec(any::<u8>(), 0..500)) {
        if let Ok(Request::Upgrade(_)) = parse(&junk, &Policy::default()) {
            prop_assert!(false, "junk was accepted");
        }
    }
}
