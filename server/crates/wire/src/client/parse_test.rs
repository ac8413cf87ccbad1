//! Tests of the client parser: table of accepted and refused input, early
//! errors, and that splitting input never changes what is parsed.

use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits { max_control_line: 64, max_payload: 1000, headers: true };

fn op(input: &str) -> ClientOp<'_> {
    match parse(input.as_bytes(), &LIMITS) {
        Ok(Parsed::Op { op, consumed }) => {
            assert_eq!(consumed, input.len(), "{input:?}");
            op
        }
        other => panic!("{input:?}: {other:?}"),
    }
}

fn error(input: &[u8]) -> ParseError {
    parse(input, &LIMITS).expect_err(&String::from_utf8_lossy(input))
}

fn publish<'a>(
    [subject, reply, header_text, size_text]: [&'a str; 4],
    headers: &'a str,
    body: &'a str,
) -> ClientOp<'a> {
    ClientOp::Pub(PubOp {
        subject: subject.as_bytes(),
        reply: reply.as_bytes(),
        headers: headers.as_bytes(),
        payload: &body.as_bytes()[headers.len()..],
        body: body.as_bytes(),
        header_text: header_text.as_bytes(),
        size_text: size_text.as_bytes(),
    })
}

#[test]
fn publishes_in_every_spelling() {
    for input in [
        "PUB foo 5\r\nhello\r\n",
        "pub foo 5\nhello\r\n",
        "PuB \t foo\t\t5 \t\r\nhello\r\n",
        "PUB foo 5 \r\nhello\r\n",
        "PUB  foo 5\r\nhello\r\n",
    ] {
        assert_eq!(op(input), publish(["foo", "", "", "5"], "", "hello"), "{input:?}");
    }
    assert_eq!(
        op("PUB a.very.long.subject.name rep 003\r\na\nb\r\n"),
        publish(["a.very.long.subject.name", "rep", "", "003"], "", "a\nb")
    );
    assert_eq!(op("PUB a\0b 0\r\n\r\n"), publish(["a\0b", "", "", "0"], "", ""));
    assert_eq!(op("PUB ü.é 2\r\nok\r\n"), publish(["ü.é", "", "", "2"], "", "ok"));
    assert_eq!(
        op("HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"),
        publish(["foo", "", "12", "14"], "NATS/1.0\r\n\r\n", "NATS/1.0\r\n\r\nhi")
    );
    assert_eq!(op("hpub a r 0 02\r\nhi\r\n"), publish(["a", "r", "0", "02"], "", "hi"));
}

#[test]
fn other_operations() {
    let sub = |subject, queue, sid| ClientOp::Sub(SubOp { subject, queue, sid });
    let cases: [(&str, ClientOp<'_>); 20] = [
        ("PING\r\n", ClientOp::Ping),
        ("ping swallowed text\n", ClientOp::Ping),
        ("PINGS\r\n", ClientOp::Ping),
        ("PONG\r\n", ClientOp::Pong),
        ("pong x\r\n", ClientOp::Pong),
        ("+OK\r\n", ClientOp::Ok),
        ("+ok whatever\n", ClientOp::Ok),
        ("INFO {}\r\n", ClientOp::Info),
        ("CONNECT {\"a\": 1} \r\n", ClientOp::Connect(b"{\"a\": 1} ")),
        ("connect{}\n", ClientOp::Connect(b"{}")),
        ("CONNECT\r\n", ClientOp::Connect(b"")),
        ("-ERR 'bye'\r\n", ClientOp::Err(b"'bye'")),
        ("SUB foo 1\r\n", sub(b"foo", b"", b"1")),
        ("sub\tfoo.* q\t sid-x\n", sub(b"foo.*", b"q", b"sid-x")),
        ("UNSUB 1\r\n", ClientOp::Unsub { sid: b"1", max: None }),
        ("UNSUB 1 0\r\n", ClientOp::Unsub { sid: b"1", max: Some(0) }),
        ("unsub 1 0010\n", ClientOp::Unsub { sid: b"1", max: Some(10) }),
        ("UNSUB 1 x\r\n", ClientOp::Unsub { sid: b"1", max: None }),
        ("UNSUB 1 1234567890\r\n", ClientOp::Unsub { sid: b"1", max: None }),
        ("UNSUB 1 999999999\r\n", ClientOp::Unsub { sid: b"1", max: Some(999_999_999) }),
    ];
    for (input, want) in cases {
        assert_eq!(op(input), want, "{input:?}");
    }
}

#[test]
fn what_is_no_operation_is_named_so_at_once() {
    for input in [
        "\r\n",
        "\n",
        " PING\r\n",
        "MSG a 1 0\r\n",
        "A+ x\r\n",
        "RS+ x\r\n",
        "LS+ x\r\n",
        "X",
        "PUX",
        "PX",
        "HM",
        "HMSG",
        "PUB\r\n",
        "PUBfoo 0\r\n",
        "SUB\n",
        "UNSUB\r",
        "-ERR\r\n",
        "+X",
        "CONNECTX",
    ] {
        if input == "CONNECTX" {
            // The document may follow without a blank; judging it is not ours.
            assert!(matches!(parse(input.as_bytes(), &LIMITS), Ok(Parsed::Incomplete { .. })));
        } else {
            assert_eq!(error(input.as_bytes()), ParseError::UnknownOperation, "{input:?}");
        }
    }
    for input in ["PUB a 2\r\nabc", "PUB a 2\r\nab\n", "PUB a 2\r\nab\rx", "HPUB a 0 1\r\nabc"] {
        assert_eq!(error(input.as_bytes()), ParseError::UnknownOperation, "{input:?}");
    }
}

#[test]
fn silent_errors() {
    let cases = [
        ("PUB foo\r\n", ParseError::ArgumentCount("PUB")),
        ("PUB \r\n", ParseError::ArgumentCount("PUB")),
        ("PUB a b c 1\r\n", ParseError::ArgumentCount("PUB")),
        ("PUB a b\r\n", ParseError::BadSize("PUB")),
        ("PUB a -1\r\n", ParseError::BadSize("PUB")),
        ("PUB a 0000000001\r\n", ParseError::BadSize("PUB")),
        ("HPUB a 1\r\n", ParseError::ArgumentCount("HPUB")),
        ("HPUB a b c 1 2\r\n", ParseError::ArgumentCount("HPUB")),
        ("HPUB a x 2\r\n", ParseError::BadSize("HPUB")),
        ("HPUB a 3 2\r\n", ParseError::HeaderBeyondTotal),
        ("SUB a\r\n", ParseError::ArgumentCount("SUB")),
        ("SUB a b c d\r\n", ParseError::ArgumentCount("SUB")),
        ("UNSUB \r\n", ParseError::ArgumentCount("UNSUB")),
        ("UNSUB a b c\r\n", ParseError::ArgumentCount("UNSUB")),
    ];
    for (input, want) in cases {
        let got = error(input.as_bytes());
        assert_eq!(got, want, "{input:?}");
        assert_eq!(got.err_text(), None);
    }
    let limits = Limits { headers: false, ..LIMITS };
    assert_eq!(parse(b"HPUB a 0 0\r\n\r\n", &limits), Err(ParseError::HeadersNotSupported));
}

#[test]
fn limits_are_found_before_the_bytes_arrive() {
    let too_big = ParseError::MaximumPayload { size: 1001, limit: 1000 };
    assert_eq!(error(b"PUB a 1001\r\n"), too_big);
    assert_eq!(error(b"HPUB a 1 1001\r\n"), too_big);
    assert!(parse(b"PUB a 1000\r\n", &LIMITS).is_ok());

    let too_long = ParseError::MaximumControlLine { limit: 64 };
    for verb in ["PUB", "HPUB", "SUB", "CONNECT", "INFO", "-ERR", "UNSUB"] {
        // 64 bytes of arguments pass whatever the line end, 65 do not.
        let long = format!("{verb} {}", "x".repeat(66));
        assert_eq!(error(long.as_bytes()), too_long, "{verb}");
        assert_eq!(error(format!("{verb} {}\r\n", "x".repeat(65)).as_bytes()), too_long);
        let fits = format!("{verb} {}\r", "x".repeat(64));
        assert!(matches!(parse(fits.as_bytes(), &LIMITS), Ok(Parsed::Incomplete { .. })));
    }
    assert_eq!(error(format!("PUB {} 1\r\n", "x".repeat(63)).as_bytes()), too_long);
    assert!(parse(format!("PUB {} 1\r\n", "x".repeat(62)).as_bytes(), &LIMITS).is_ok());
    // Neither blanks nor ignored text may grow without end.
    assert_eq!(error(format!("SUB {}", " ".repeat(100)).as_bytes()), too_long);
    assert_eq!(error(format!("PING{}", "x".repeat(100)).as_bytes()), too_long);
}

#[test]
fn incomplete_says_how_much_is_needed() {
    let cases = [
        ("", 1),
        ("P", 2),
        ("PUB", 4),
        ("PUB a 5", 8),
        ("PUB a 5\r", 9),
        ("PUB a 5\r\n", 16),
        ("PUB a 5\r\nhello", 16),
        ("PUB a 5\r\nhello\r", 16),
        ("HPUB a 1 5\nh", 18),
        ("PING", 5),
    ];
    for (input, need) in cases {
        assert_eq!(parse(input.as_bytes(), &LIMITS), Ok(Parsed::Incomplete { need }), "{input:?}");
    }
}

/// Feeds `input` in pieces as a connection would and lists what comes out.
fn run(input: &[u8], cuts: &[usize]) -> Vec<String> {
    let mut out = Vec::new();
    let mut buf: Vec<u8> = Vec::new();
    let mut last = 0;
    for &cut in cuts.iter().chain([&input.len()]) {
        let cut = cut.clamp(last, input.len());
        buf.extend_from_slice(&input[last..cut]);
        last = cut;
        loop {
            match parse(&buf, &LIMITS) {
                Ok(Parsed::Op { op, consumed }) => {
                    out.push(format!("{op:?}"));
                    assert!(consumed > 0 && consumed <= buf.len());
                    buf.drain(..consumed);
                }
                Ok(Parsed::Incomplete { need }) => {
                    assert!(need > buf.len());
                    break;
                }
                Err(e) => {
                    out.push(format!("{e:?}"));
                    return out;
                }
            }
        }
    }
    out
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"PUB foo 5\r\nhello\r\n".to_vec()),
        Just(b"PUB foo.bar.baz.qux reply 0\r\n\r\n".to_vec()),
        Just(b"HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n".to_vec()),
        Just(b"SUB a q 1\r\n".to_vec()),
        Just(b"unsub 1 3\n".to_vec()),
        Just(b"PING\r\n".to_vec()),
        Just(b"CONNECT {}\r\n".to_vec()),
        "PING x{60,70}\r?\n".prop_map(String::into_bytes),
        "SUB[ \\t]{60,70}a 1\r\n".prop_map(String::into_bytes),
        "[PUBSH \\t\\r\\n0-9]{0,12}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..8),
        "PUB [a-z.>* ]{0,70} [0-9]{0,4}\r?\n".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn splitting_changes_nothing(input in stream(), mut cuts in prop::collection::vec(0usize..200, 0..6)) {
        cuts.sort_unstable();
        let whole = run(&input, &[]);
        prop_assert_eq!(&run(&input, &cuts), &whole);
        let bytewise: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(&run(&input, &bytewise), &whole);
    }

    #[test]
    fn the_usual_spelling_is_no_different(tail in "[a-c.\\x01 \\t\\r\\n0-9]{0,24}") {
        let usual = format!("PUB {tail}");
        let other = format!("pub {tail}");
        prop_assert_eq!(parse(usual.as_bytes(), &LIMITS), parse(other.as_bytes(), &LIMITS));
    }
}
