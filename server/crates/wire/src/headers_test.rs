//! Tests of header blocks: reading, editing, hostile bytes.

use super::*;
use proptest::prelude::*;

const BLOCK: &[u8] =
    b"NATS/1.0\r\nNats-Msg-Id: 7\r\nA:x\r\nNats-Msg-Id-2: no\r\nA:   y: z \r\nempty:\r\n\r\n";

#[test]
fn values_are_found_by_exact_key() {
    let h = Headers::new(BLOCK);
    let cases: [(&str, Option<&str>); 8] = [
        ("Nats-Msg-Id", Some("7")),
        ("Nats-Msg-Id-2", Some("no")),
        ("A", Some("x")),
        ("empty", Some("")),
        ("a", None),
        ("Nats-Msg", None),
        ("", None),
        ("NATS/1.0", None),
    ];
    for (key, want) in cases {
        assert_eq!(h.get(key.as_bytes()), want.map(str::as_bytes), "{key}");
    }
    assert_eq!(h.get_all(b"A").collect::<Vec<_>>(), [&b"x"[..], b"y: z "]);
    assert_eq!(h.iter().count(), 5);
    assert_eq!(Headers::new(b"NATS/1.0\r\nk: v").get(b"k"), Some(&b"v"[..]));
    assert_eq!(Headers::new(b"NATS/1.0\r\nk: a\rb\nc\r\n\r\n").get(b"k"), Some(&b"a\rb\nc"[..]));
}

#[test]
fn status_line() {
    let status = |raw: &'static str| {
        Headers::new(raw.as_bytes())
            .status()
            .map(|s| (s.code, std::str::from_utf8(s.description).unwrap()))
    };
    assert_eq!(status("NATS/1.0 503\r\n\r\n"), Some((503, "")));
    assert_eq!(
        status("NATS/1.0 100 Idle Heartbeat\r\nA: b\r\n\r\n"),
        Some((100, "Idle Heartbeat"))
    );
    for none in ["", "NATS/1.0\r\n\r\n", "NATS/1.0 50\r\n", "NATS/1.0 5034\r\n", "HTTP 503\r\n"] {
        assert_eq!(status(none), None, "{none}");
    }
}

#[test]
fn editing_leaves_other_lines_alone() {
    let h = Headers::new(BLOCK);
    assert_eq!(
        h.remove(b"A"),
        &b"NATS/1.0\r\nNats-Msg-Id: 7\r\nNats-Msg-Id-2: no\r\nempty:\r\n\r\n"[..]
    );
    assert_eq!(h.strip_prefix(b"Nats-"), &b"NATS/1.0\r\nA:x\r\nA:   y: z \r\nempty:\r\n\r\n"[..]);
    assert_eq!(h.remove(b"missing"), BLOCK);
    assert!(h.without(|_| true).is_empty());
    let status = Headers::new(b"NATS/1.0 503\r\nA: b\r\n\r\n");
    assert_eq!(status.remove(b"A"), &b"NATS/1.0 503\r\n\r\n"[..]);
    assert_eq!(
        Headers::new(b"NATS/1.0\r\nA: 1\r\nB: 2\r\n\r\n").set(b"A", b"3"),
        &b"NATS/1.0\r\nB: 2\r\nA: 3\r\n\r\n"[..]
    );
    assert_eq!(
        Headers::new(b"NATS/1.0\r\nA: 1\r\n\r\n").set(b"A", b"3"),
        &b"NATS/1.0\r\nA: 3\r\n\r\n"[..]
    );
    assert_eq!(Headers::new(b"").set(b"A", b"3"), &b"NATS/1.0\r\nA: 3\r\n\r\n"[..]);
}

#[test]
fn building() {
    let mut b = HeaderBuilder::status(409, "Message Size Exceeds MaxBytes");
    b.add(b"Nats-Pending-Messages", b"1").add_number(b"N", 20);
    assert_eq!(
        b.finish(),
        &b"NATS/1.0 409 Message Size Exceeds MaxBytes\r\nNats-Pending-Messages: 1\r\nN: 20\r\n\r\n"
            [..]
    );
    let mut b = HeaderBuilder::new();
    b.add(b"K", b"a\r\nEvil: 1");
    assert_eq!(b.finish(), &b"NATS/1.0\r\nK: a  Evil: 1\r\n\r\n"[..]);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(raw in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        "(NATS/1.0)?[ 0-9]{0,4}(\r|\n|\r\n|:|a| ){0,30}".prop_map(String::into_bytes),
    ]) {
        let h = Headers::new(&raw);
        let _ = h.status();
        let all: Vec<_> = h.iter().collect();
        for (key, value) in &all {
            // The first line with a key is the one `get` returns.
            let first = all.iter().find(|(k, _)| k == key).map(|(_, v)| *v);
            prop_assert_eq!(h.get(key), first);
            let _ = value;
            let removed = h.remove(key);
            prop_assert_eq!(Headers::new(&removed).get(key), None);
            let set = h.set(key, b"v");
            let clean = !key.iter().any(|b| matches!(b, b'\r' | b'\n'));
            prop_assert!(!clean || Headers::new(&set).get(key) == Some(&b"v"[..]));
        }
        let same = h.without(|_| false);
        prop_assert!(same.is_empty() || same == raw);
    }
}
