//! Subjects, bodies and documents of the API against what was recorded from
//! nats-server 2.15.1.

use super::advisory::*;
use super::body::is_empty;
use super::info::*;
use super::response::*;
use super::subject::{Endpoint, Route, plain_subject};
use super::*;
use crate::error::{self, ApiError};
use crate::json::{JsonFields, JsonRead, Strictness, parse, to_string};
use bytes::BytesMut;

const ANSWERS: &str = include_str!("../../fixtures/api/answers.txt");

/// Reads a recorded answer strictly into `T` and writes it again.
fn again<T: JsonFields + JsonRead + Default>(kind: &'static str, text: &str) -> String {
    let mut doc: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap();
    assert_eq!(doc.shift_remove("type").unwrap(), kind);
    let error = doc.shift_remove("error").map(|e| {
        let text = serde_json::to_vec(&e).unwrap();
        parse::<ApiError>(&text, Strictness::Strict).unwrap()
    });
    let rest = serde_json::to_vec(&doc).unwrap();
    let body: T = parse(&rest, Strictness::Strict).unwrap();
    to_string(&Response { kind, error, body })
}

fn event<T: JsonRead + Default + serde::Serialize>(text: &str) -> String {
    to_string(&parse::<T>(text.as_bytes(), Strictness::Strict).unwrap())
}

#[test]
fn every_recorded_answer_is_written_the_same() {
    for line in ANSWERS.lines() {
        let (subject, rest) = line.split_once('\t').unwrap();
        let answer = rest.split_once('\t').unwrap().1;
        if !answer.starts_with('{') || !subject.starts_with("$JS.") {
            continue;
        }
        if subject.starts_with("$JS.EVENT") {
            assert_eq!(write_event(subject, answer), answer);
            continue;
        }
        use Endpoint as E;
        let endpoint = Endpoint::parse(subject.as_bytes()).unwrap();
        let kind = endpoint.response_type();
        let failed = answer.contains("_response\",\"error\"");
        let got = match endpoint {
            E::AccountInfo {} => again::<AccountInfo>(kind, answer),
            E::StreamNames {} => again::<StreamNames>(kind, answer),
            E::StreamList {} => again::<StreamList>(kind, answer),
            E::StreamCreate { .. } => again::<StreamCreated>(kind, answer),
            E::StreamInfo { .. } => again::<StreamInfoBody>(kind, answer),
            E::StreamPurge { .. } => again::<Purged>(kind, answer),
            E::MsgGet { .. } => again::<MsgGot>(kind, answer),
            E::StreamRestore { .. } => again::<Restore>(kind, answer),
            E::ConsumerNames { .. } => again::<ConsumerNames>(kind, answer),
            E::ConsumerList { .. } => again::<ConsumerList>(kind, answer),
            E::ConsumerPause { .. } => again::<Paused>(kind, answer),
            E::ConsumerReset { .. } => again::<ConsumerReset>(kind, answer),
            _ if failed => again::<Nothing>(kind, answer),
            E::StreamUpdate { .. } => again::<StreamInfo>(kind, answer),
            E::ConsumerCreate { .. }
            | E::ConsumerCreateNamed { .. }
            | E::ConsumerDurableCreate { .. }
            | E::ConsumerInfo { .. } => again::<ConsumerInfo>(kind, answer),
            _ => again::<Success>(kind, answer),
        };
        assert_eq!(got, answer, "{subject}");
        if failed {
            let doc: serde_json::Value = serde_json::from_str(answer).unwrap();
            let text = serde_json::to_vec(&doc["error"]).unwrap();
            let error: ApiError = parse(&text, Strictness::Strict).unwrap();
            assert_eq!(endpoint.answer_error(error), answer.as_bytes(), "{subject}");
        }
    }
}

fn write_event(subject: &str, text: &str) -> String {
    type Writer = fn(&str) -> String;
    let writers: [(&str, Writer); 9] = [
        ("ADVISORY.API", event::<ApiAudit>),
        ("ADVISORY.STREAM.", event::<StreamAction>),
        ("ADVISORY.CONSUMER.CREATED", event::<ConsumerAction>),
        ("ADVISORY.CONSUMER.DELETED", event::<ConsumerAction>),
        ("ADVISORY.CONSUMER.PAUSE", event::<ConsumerPause>),
        (MsgNaked::SUBJECT, event::<MsgNaked>),
        (MsgTerminated::SUBJECT, event::<MsgTerminated>),
        (MaxDeliver::SUBJECT, event::<MaxDeliver>),
        (ConsumerAck::SUBJECT, event::<ConsumerAck>),
    ];
    let found = writers.iter().find(|(part, _)| subject.contains(part)).map(|(_, w)| *w);
    let pins: Writer = match subject.contains("UNPINNED") {
        true => event::<GroupUnpinned>,
        false => event::<GroupPinned>,
    };
    found.unwrap_or(pins)(text)
}

#[test]
fn subjects_name_endpoints() {
    use Endpoint as E;
    let named = |s: &'static str| Endpoint::parse(s.as_bytes());
    for (subject, want) in [
        ("$JS.API.INFO", Some(E::AccountInfo {})),
        ("$JS.API.STREAM.CREATE.S", Some(E::StreamCreate { stream: "S" })),
        ("$JS.API.STREAM.CREATE.S.x", None),
        ("$JS.API.STREAM.CREATE", None),
        ("$JS.API.STREAM.NAMES.x", None),
        ("$JS.API.STREAM.MSG.GET.S", Some(E::MsgGet { stream: "S" })),
        ("$JS.API.CONSUMER.CREATE.S", Some(E::ConsumerCreate { stream: "S" })),
        (
            "$JS.API.CONSUMER.CREATE.S.c.a.>",
            Some(E::ConsumerCreateNamed { stream: "S", consumer: "c", filter: "a.>" }),
        ),
        (
            "$JS.API.CONSUMER.DURABLE.CREATE.S.c",
            Some(E::ConsumerDurableCreate { stream: "S", consumer: "c" }),
        ),
        ("$JS.API.CONSUMER.INFO.S", None),
        ("$JS.API.CONSUMER.INFO.S.c", Some(E::ConsumerInfo { stream: "S", consumer: "c" })),
        ("$JS.API.CONSUMER.MSG.NEXT.S.c", Some(E::MsgNext { stream: "S", consumer: "c" })),
        ("$JS.API.DIRECT.GET.S", Some(E::DirectGet { stream: "S", subject: "" })),
        ("$JS.API.DIRECT.GET.S.a.b", Some(E::DirectGet { stream: "S", subject: "a.b" })),
        ("$JS.API.STREAM.CREATE..", None),
        ("$JS.API.ACCOUNT.PURGE.A", Some(E::AccountPurge { account: "A" })),
        (
            "$JS.API.ACCOUNT.STREAM.MOVE.A.S",
            Some(E::AccountStreamMove { account: "A", stream: "S" }),
        ),
        ("$JS.API.NOPE", None),
    ] {
        assert_eq!(named(subject), want, "{subject}");
    }
    let moved = named("$JS.API.ACCOUNT.STREAM.MOVE.A.S").unwrap();
    assert_eq!((moved.stream(), moved.consumer(), moved.system_only()), ("S", "", true));
    let info = named("$JS.API.CONSUMER.INFO.S.c").unwrap();
    assert_eq!((info.stream(), info.consumer(), info.low_priority()), ("S", "c", true));
    assert_eq!(Route::parse(b"$JS.API.NOPE"), Some(Route::Silent));
    assert_eq!(Route::parse(b"$JS.API.STREAM.CREATE.\xff"), Some(Route::Silent));
    assert_eq!(Route::parse(b"$JS.API.DIRECT.GET."), Some(Route::NoResponders));
    assert_eq!(Route::parse(b"$JS.API.CONSUMER.MSG.NEXT.S"), Some(Route::NoResponders));
    assert_eq!(Route::parse(b"$JS.ACK.x"), None);
}

#[test]
fn domains_stand_for_the_plain_api() {
    let plain = |s: &str| plain_subject(s.as_bytes(), "hub").map(|b| b.to_vec());
    assert_eq!(plain("$JS.hub.API.INFO"), Some(b"$JS.API.INFO".to_vec()));
    assert_eq!(plain("$JS.hub.API.STREAM.INFO.S"), Some(b"$JS.API.STREAM.INFO.S".to_vec()));
    assert_eq!(plain("$JS.hub.API.$KV.b.k"), Some(b"$KV.b.k".to_vec()));
    for other in ["$JS.hub.API.$O.b.k", "$JS.far.API.INFO", "$JS.API.INFO", "$JS.hub.API.STREAM."] {
        assert_eq!(plain(other), None, "{other}");
    }
}

#[test]
fn bodies_follow_their_rule() {
    for (body, want) in [
        ("", true),
        ("{}", true),
        (" { } ", true),
        ("{\"a\":1}", false),
        ("[]", false),
        ("null", false),
        ("x", false),
    ] {
        assert_eq!(is_empty(body.as_bytes()), want, "{body}");
    }
    let read = |subject: &'static str, body: &str| {
        let endpoint = Endpoint::parse(subject.as_bytes()).unwrap();
        let got: Result<request::ListRequest, _> =
            endpoint.read_body(body.as_bytes(), Strictness::Strict);
        got.map(|r| r.offset).map_err(|e| e.err_code)
    };
    assert_eq!(read("$JS.API.STREAM.DELETE.S", "{\"a\":1}"), Err(error::code::NOT_EMPTY_REQUEST));
    assert_eq!(read("$JS.API.STREAM.MSG.GET.S", " {}"), Err(error::code::BAD_REQUEST));
    assert_eq!(read("$JS.API.STREAM.NAMES", "anything"), Ok(0));
    assert_eq!(read("$JS.API.STREAM.NAMES", "{\"offset\":4}"), Ok(4));
    assert_eq!(read("$JS.API.STREAM.NAMES", "{\"x\":4}"), Err(error::code::INVALID_JSON));
    assert_eq!(read("$JS.API.CONSUMER.UNPIN.S.c", "{\"x\":4}"), Ok(0));
}

#[test]
fn pull_bodies() {
    let batch = |b: &str| PullRequest::parse(b.as_bytes()).map(|(r, json)| (r.batch, json));
    assert_eq!(batch(""), Ok((1, false)));
    assert_eq!(batch(" 25\n"), Ok((25, false)));
    assert_eq!(batch("many"), Ok((1, false)));
    assert_eq!(batch("{\"batch\":3,\"unknown\":1}"), Ok((3, true)));
    assert_eq!(
        batch("{\"idle_heartbeat\":6,\"expires\":10}").unwrap_err().to_string(),
        "heartbeat value too large"
    );
    assert!(batch("{").is_err());
}

#[test]
fn unpinning_names_a_group() {
    let read = |b: &str| request::UnpinRequest::read(b.as_bytes()).map_err(|e| e.to_string());
    assert_eq!(read("{\"group\":\"g\",\"x\":1}").unwrap().group, "g");
    assert_eq!(read("").unwrap_err(), "invalid JSON: unexpected end of JSON input (10025)");
    assert_eq!(read("{}").unwrap_err(), "invalid JSON: consumer group not specified (10025)");
    assert!(read("{\"group\":\"a b\"}").unwrap_err().ends_with("(10162)"));
}

#[test]
fn pub_acks_are_written_as_nats_server_does() {
    let text = |ack: PubAck<'_>| {
        let mut out = BytesMut::new();
        pub_ack(&mut out, &ack);
        String::from_utf8(out.to_vec()).unwrap()
    };
    let plain = PubAck { stream: "S", seq: 1, ..PubAck::default() };
    assert_eq!(text(plain), r#"{"stream":"S","seq":1}"#);
    assert_eq!(
        text(PubAck { domain: "hub", duplicate: true, ..plain }),
        r#"{"stream":"S","domain":"hub","seq":1,"duplicate": true}"#
    );
    assert_eq!(
        text(PubAck { value: "10", batch: "b\"", count: 2, ..plain }),
        r#"{"stream":"S","seq":1,"val":"10","batch":"b\"","count":2}"#
    );
    let mut out = BytesMut::new();
    pub_ack_error(&mut out, "S", "", &error::stream_wrong_last_sequence(3));
    let want = r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"stream":"S","seq":0}"#;
    assert_eq!(&out[..], want.as_bytes());
}

#[test]
fn pages_are_clamped() {
    let all = [1, 2, 3];
    let cut = |offset, limit| {
        let (page, items) = Page::cut(&all, offset, limit);
        (page.total, page.offset, items.to_vec())
    };
    assert_eq!(cut(0, 2), (3, 0, vec![1, 2]));
    assert_eq!(cut(2, 2), (3, 2, vec![3]));
    assert_eq!(cut(9, 2), (3, 3, vec![]));
    assert_eq!(cut(-1, 9), (3, 0, vec![1, 2, 3]));
}
