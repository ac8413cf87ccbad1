//! What is told of traced messages.

use super::fixture::{Bench, block};
use super::{Inbound, Tracing};
use crate::effect::{Effect, Traced};
use bytes::Bytes;

/// `S.a` with these headers in a stream of `S.a=1` (id "one") and `S.b=2`: what is
/// told, whether the publisher gets an answer, and how many messages there are.
fn trace(config: &str, only: bool, headers: &[&str], payload: &str) -> (Traced, bool, usize) {
    let mut b = Bench::new(config);
    b.publish("S.a", &["Nats-Msg-Id: one"], "1");
    b.publish("S.b", &[], "2");
    b.fx.clear();
    let msg = Inbound {
        subject: Bytes::from_static(b"S.a"),
        reply: Bytes::from_static(b"r"),
        headers: block(headers),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        tracing: Some(Tracing { id: 9, only }),
    };
    b.call(|s, cx| s.publish(msg, cx));
    b.commit();
    let mut told = Vec::new();
    let mut answered = false;
    for effect in &b.fx {
        match effect {
            Effect::Traced { id: 9, told: t } => told.push(t.clone()),
            Effect::Publish(_) => answered = true,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told.len(), 1, "told once");
    (told.remove(0), answered, b.messages().len())
}

fn error(subject: &'static str, text: &str) -> Traced {
    Traced { subject: subject.into(), no_interest: false, error: text.to_owned() }
}

#[test]
fn refusals_are_told_in_the_words_of_the_server() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("", &["Nats-Expected-Stream: T"], "expected stream does not match"),
        ("", &["Nats-Expected-Last-Sequence: 1"], "last sequence mismatch: 1 vs 2"),
        (
            "",
            &["Nats-Expected-Last-Subject-Sequence: 7"],
            "last sequence by subject mismatch: 7 vs 1",
        ),
        (
            "",
            &["Nats-Expected-Last-Subject-Sequence: 1", "Nats-Expected-Last-Sequence: 1"],
            "last sequence mismatch: 1 vs 2",
        ),
        ("", &["Nats-Msg-Id: one"], "msgid is duplicate"),
        ("", &["Nats-Expected-Last-Msg-Id: x"], "last msgid mismatch: \"x\" vs \"\""),
        ("", &["Nats-Rollup: sub"], "rollup not permitted"),
        ("", &["Nats-TTL: 1s"], "message TTL disabled"),
        ("", &["Nats-Incr: 1"], "message counters is disabled (10168)"),
        (
            r#""max_msg_size": 40"#,
            &["K: 4567890123456789012345678901234567890"],
            "maximum payload exceeded",
        ),
        ("", &["Nats-Stream-Source: x"], "message stream source header is not allowed (10227)"),
    ];
    for (config, headers, text) in cases {
        for only in [false, true] {
            let got = trace(config, only, headers, "3");
            let want = (error("", text), true, 2);
            assert_eq!(got.0.error, want.0.error, "{headers:?}");
            assert_eq!(got, want, "{headers:?} only={only}");
        }
    }
}

#[test]
fn what_only_storing_shows_is_not_told_of_what_is_not_stored() {
    let full = r#""max_msgs": 2, "discard": "new""#;
    let stored = trace(full, false, &[], "3");
    assert_eq!(stored, (error("S.a", "maximum messages exceeded"), true, 2));
    assert_eq!(trace(full, true, &[], "3"), (error("S.a", ""), false, 2));
    let full = r#""max_bytes": 70, "storage": "memory", "discard": "new""#;
    let stored = trace(full, false, &[], &"3".repeat(50));
    assert_eq!(stored, (error("S.a", "maximum bytes exceeded"), true, 2));
}

#[test]
fn stored_or_not_the_subject_and_the_interest_are_told() {
    assert_eq!(trace("", false, &[], "3"), (error("S.a", ""), true, 3));
    assert_eq!(trace("", true, &["Nats-Msg-Id: new"], "3"), (error("S.a", ""), false, 2));
    let moved = r#""subject_transform": {"src": "S.*", "dest": "T.$1"}"#;
    assert_eq!(trace(moved, true, &[], "3"), (error("T.a", ""), false, 2));
    let unwanted = Traced { no_interest: true, ..error("S.a", "") };
    let interest = r#""retention": "interest""#;
    assert_eq!(trace(interest, true, &[], "3"), (unwanted.clone(), false, 0));
    assert_eq!(trace(interest, false, &[], "3"), (unwanted, true, 0));
}

#[test]
fn batches_tell_whether_a_message_was_taken() {
    let batch = r#""allow_atomic": true"#;
    let staged = trace(batch, false, &["Nats-Batch-Id: b", "Nats-Batch-Sequence: 1"], "3");
    assert_eq!((staged.0, staged.2), (error("", ""), 2));
    for only in [false, true] {
        let gap = trace(batch, only, &["Nats-Batch-Id: b", "Nats-Batch-Sequence: 2"], "3");
        assert_eq!(gap, (error("", "atomic publish batch is incomplete (10176)"), true, 2));
    }
    let only = trace(batch, true, &["Nats-Batch-Id: b", "Nats-Batch-Sequence: 1"], "3");
    assert_eq!(only, (error("", ""), false, 2));
}
