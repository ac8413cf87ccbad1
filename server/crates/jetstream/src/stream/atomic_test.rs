//! Atomic batches: all or nothing, with exact answers.

use super::fixture::{Bench, START};
use crate::effect::Effect;

const ON: &str = r#""allow_atomic":true"#;

/// Sends one message of batch `b` and commits; the answer.
fn step(b: &mut Bench, subject: &str, seq: u64, more: &[&str]) -> String {
    let seq = format!("Nats-Batch-Sequence: {seq}");
    let lines = [&["Nats-Batch-Id: b", seq.as_str()], more].concat();
    b.publish(subject, &lines, "x")
}

fn code(answer: &str) -> Option<u16> {
    let (_, rest) = answer.split_once("\"err_code\":")?;
    rest.split(',').next()?.parse().ok()
}

/// Reasons of the advisories about abandoned batches.
fn abandoned(b: &mut Bench) -> Vec<String> {
    let reason = |e: Effect| match e {
        Effect::Advise { subject, payload } => {
            assert_eq!(subject, "$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.S");
            let v: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            Some(v["reason"].as_str().unwrap().to_owned())
        }
        _ => None,
    };
    b.fx.drain(..).filter_map(reason).collect()
}

#[test]
fn a_committed_batch_is_one_entry() {
    let mut b = Bench::new(ON);
    assert_eq!(step(&mut b, "S.a", 1, &[]), "");
    assert_eq!(step(&mut b, "S.b", 2, &[]), "");
    assert_eq!((b.messages().len(), b.log.len()), (0, 0));
    assert_eq!(
        step(&mut b, "S.c", 3, &["Nats-Batch-Commit: 1"]),
        r#"{"stream":"S","seq":3,"batch":"b","count":3}"#
    );
    assert_eq!(b.messages(), ["S.a=x@1", "S.b=x@2", "S.c=x@3"]);
    assert_eq!(b.log.len(), 1);
    assert_eq!(b.stream.open_batches(), 0);
}

#[test]
fn the_end_of_batch_is_not_stored() {
    let mut b = Bench::new(ON);
    step(&mut b, "S.a", 1, &[]);
    assert_eq!(
        step(&mut b, "S.b", 2, &["Nats-Batch-Commit: eob"]),
        r#"{"stream":"S","seq":1,"batch":"b","count":1}"#
    );
    let m = b.stream.store().load(1).unwrap().unwrap();
    assert!(m.headers.ends_with(b"Nats-Batch-Commit: 1\r\n\r\n"));
}

#[test]
fn nothing_of_a_refused_batch_is_stored() {
    for (first, last, want) in [
        (&["Nats-Expected-Last-Sequence: 1"][..], &[][..], None),
        (&[], &["Nats-Expected-Last-Sequence: 2"], Some(10164)),
        (&[], &["Nats-Expected-Last-Sequence: 1"], Some(10071)),
        (&["Nats-Expected-Last-Subject-Sequence: 1"], &[], None),
        (&["Nats-Expected-Last-Subject-Sequence: 0"], &[], Some(10071)),
        (&[], &["Nats-Expected-Last-Subject-Sequence: 2"], Some(10164)),
        (&["Nats-Msg-Id: i"], &["Nats-Msg-Id: i"], Some(10201)),
        (&["Nats-Msg-Id: old"], &[], Some(10201)),
        (&[], &["Nats-Expected-Last-Msg-Id: old"], Some(10177)),
        (&["Nats-Rollup: sub"], &[], None),
        (&[], &["Nats-Rollup: sub"], Some(10111)),
        (&[], &["Nats-Rollup: all"], Some(10111)),
        (&["Nats-Expected-Stream: T"], &[], Some(10060)),
        (&["Nats-TTL: 5"], &[], Some(10166)),
    ] {
        let mut b = Bench::new(r#""allow_atomic":true,"allow_rollup_hdrs":true"#);
        b.publish("S.a", &["Nats-Msg-Id: old"], "0");
        step(&mut b, "S.a", 1, first);
        let answer = step(&mut b, "S.a", 2, &[last, &["Nats-Batch-Commit: 1"]].concat());
        assert_eq!(code(&answer), want, "{first:?} {last:?} {answer}");
        let last = b.stream.state().last_seq;
        assert_eq!(last, if want.is_some() { 1 } else { 3 }, "{first:?}");
    }
}

#[test]
fn broken_batches_are_abandoned() {
    let mut b = Bench::new("");
    assert_eq!(code(&step(&mut b, "S.a", 1, &[])), Some(10174));
    let mut b = Bench::new(ON);
    assert_eq!(code(&b.publish("S.a", &["Nats-Batch-Id: b"], "")), Some(10175));
    assert_eq!(code(&step(&mut b, "S.a", 2, &[])), Some(10176), "unknown");
    assert_eq!(code(&step(&mut b, "S.a", 1002, &[])), Some(10199));
    step(&mut b, "S.a", 1, &[]);
    assert_eq!(code(&step(&mut b, "S.a", 3, &[])), Some(10176), "gap");
    assert_eq!(abandoned(&mut b), ["incomplete"]);
    assert_eq!(code(&step(&mut b, "S.a", 1, &["Nats-Batch-Commit: 2"])), Some(10200));
    assert_eq!(code(&step(&mut b, "S.a", 1, &["Nats-Required-Api-Level: 99"])), Some(10185));
    assert_eq!(abandoned(&mut b), ["unsupported"]);
    let long = format!("Nats-Batch-Id: {}", "x".repeat(65));
    assert_eq!(code(&b.publish("S.a", &[&long, "Nats-Batch-Sequence: 1"], "")), Some(10179));
    step(&mut b, "S.a", 1, &[]);
    b.now = START + 10_000_000_000;
    assert_eq!(b.stream.next_deadline(), Some(b.now));
    b.call(|s, cx| s.on_timer(cx));
    assert_eq!(abandoned(&mut b), ["timeout"]);
    assert_eq!(code(&step(&mut b, "S.a", 2, &[])), Some(10176));
    for i in 0..50 {
        let id = format!("Nats-Batch-Id: {i}");
        b.publish("S.a", &[&id, "Nats-Batch-Sequence: 1"], "");
    }
    assert_eq!(code(&step(&mut b, "S.a", 1, &[])), Some(10210));
}

#[test]
fn a_batch_that_does_not_fit_is_refused_as_a_whole() {
    let mut b = Bench::new(r#""allow_atomic":true,"max_msgs":2,"discard":"new""#);
    b.send("S.a", &[], "in flight");
    for (seq, more) in [(1, &[][..]), (2, &["Nats-Batch-Commit: 1"])] {
        let seq = format!("Nats-Batch-Sequence: {seq}");
        b.send("S.b", &[&["Nats-Batch-Id: b", seq.as_str()], more].concat(), "x");
    }
    b.commit();
    let answers = b.answers();
    assert_eq!(code(answers.last().unwrap()), Some(10077), "{answers:?}");
    assert_eq!(b.messages(), ["S.a=in flight@1"]);
}
