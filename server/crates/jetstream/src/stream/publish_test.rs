//! Every rule of publishing with its exact answer.

use super::fixture::{Bench, START};
use super::{Inbound, Purge};
use crate::effect::Effect;
use bytes::Bytes;
use gust_storage::store::MAX_SEQ;

fn err(code: u16, err_code: u16, text: &str) -> String {
    format!(
        r#"{{"error":{{"code":{code},"err_code":{err_code},"description":"{text}"}},"stream":"S","seq":0}}"#
    )
}

fn ack(seq: u64) -> String {
    format!(r#"{{"stream":"S","seq":{seq}}}"#)
}

/// One publish after `S.a=1` (id "one") and `S.b=2` were stored.
#[test]
fn headers_are_checked_with_exact_texts() {
    let cases: &[(&str, &[&str], String)] = &[
        ("", &["Nats-Expected-Stream: S"], ack(3)),
        ("", &["Nats-Expected-Stream: T"], err(400, 10060, "expected stream does not match")),
        ("", &["Nats-Expected-Last-Sequence: 2"], ack(3)),
        ("", &["Nats-Expected-Last-Sequence: 1"], err(400, 10071, "wrong last sequence: 2")),
        ("", &["Nats-Expected-Last-Sequence: x"], err(400, 10071, "wrong last sequence: 2")),
        ("", &["Nats-Expected-Last-Subject-Sequence: 1"], ack(3)),
        (
            "",
            &["Nats-Expected-Last-Subject-Sequence: 0"],
            err(400, 10071, "wrong last sequence: 1"),
        ),
        (
            "",
            &[
                "Nats-Expected-Last-Subject-Sequence: 2",
                "Nats-Expected-Last-Subject-Sequence-Subject: S.*",
            ],
            ack(3),
        ),
        (
            "",
            &["Nats-Expected-Last-Subject-Sequence-Subject: S.*"],
            err(400, 10193, "missing sequence for expected last sequence per subject"),
        ),
        ("", &["Nats-Expected-Last-Msg-Id: one"], err(400, 10070, "wrong last msg ID: ")),
        ("", &["Nats-Msg-Id: one"], r#"{"stream":"S","seq":1,"duplicate": true}"#.into()),
        ("", &["Nats-Msg-Id: two"], ack(3)),
        // On R1 the expected sequence is looked at before the id.
        (
            "",
            &["Nats-Msg-Id: one", "Nats-Expected-Last-Sequence: 0"],
            err(400, 10071, "wrong last sequence: 2"),
        ),
        ("", &["Nats-Rollup: sub"], err(500, 10111, "rollup not permitted")),
        (r#""allow_rollup_hdrs":true"#, &["Nats-Rollup: SUB"], ack(3)),
        (
            r#""allow_rollup_hdrs":true"#,
            &["Nats-Rollup: Each"],
            err(500, 10111, r#"rollup value invalid: \"each\""#),
        ),
        ("", &["Nats-TTL: 5"], err(400, 10166, "per-message TTL is disabled")),
        ("", &["Nats-TTL: soon"], err(400, 10165, "invalid per-message TTL")),
        (r#""allow_msg_ttl":true"#, &["Nats-TTL: 0"], err(400, 10165, "invalid per-message TTL")),
        (r#""allow_msg_ttl":true"#, &["Nats-TTL: never"], ack(3)),
        (
            "",
            &["Nats-Stream-Source: X 1"],
            err(400, 10227, "message stream source header is not allowed"),
        ),
        (r#""max_msg_size":5"#, &["A: b"], err(400, 10054, "message size exceeds maximum allowed")),
        (r#""max_msgs":2,"discard":"new""#, &[], err(503, 10077, "maximum messages exceeded")),
        (r#""max_bytes":60,"discard":"new""#, &[], err(503, 10077, "maximum bytes exceeded")),
        (
            r#""max_msgs_per_subject":1,"discard":"new","discard_new_per_subject":true"#,
            &[],
            err(503, 10077, "maximum messages per subject exceeded"),
        ),
        (r#""max_msgs":2,"max_msgs_per_subject":1,"discard":"new""#, &[], ack(3)),
    ];
    for (config, headers, want) in cases {
        let mut b = Bench::new(config);
        b.publish("S.a", &[][..], "1");
        // The id is set without going over max_msg_size.
        if !config.contains("max_msg_size") {
            b = Bench::new(config);
            b.publish("S.a", &["Nats-Msg-Id: one"], "1");
        }
        if !config.contains("max_bytes") {
            b.publish("S.b", &[], "2");
        }
        assert_eq!(&b.publish("S.a", headers, "3"), want, "{config} {headers:?}");
    }
}

#[test]
fn an_answer_waits_until_its_message_is_applied() {
    let mut b = Bench::new("");
    b.send("S.a", &["Nats-Msg-Id: x"], "1");
    b.send("S.a", &["Nats-Msg-Id: x"], "1");
    assert_eq!(b.answers(), Vec::<String>::new());
    b.commit();
    assert_eq!(b.answers(), [ack(1), r#"{"stream":"S","seq":1,"duplicate": true}"#.to_owned()]);
}

#[test]
fn checks_see_what_is_in_flight() {
    let mut b =
        Bench::new(r#""max_msgs_per_subject":2,"discard":"new","discard_new_per_subject":true"#);
    b.send("S.a", &[], "1");
    b.send("S.a", &["Nats-Expected-Last-Subject-Sequence: 1"], "2");
    b.send("S.a", &["Nats-Expected-Last-Sequence: 1"], "no");
    b.send("S.b", &["Nats-Expected-Last-Msg-Id: none"], "no");
    b.send("S.a", &[], "no, but only known for sure when nothing is in flight");
    b.send("S.b", &[], "3");
    assert_eq!(
        b.answers(),
        [err(400, 10071, "wrong last sequence: 2"), err(400, 10070, "wrong last msg ID: "),]
    );
    b.commit();
    assert_eq!(
        b.answers(),
        [ack(1), ack(2), err(503, 10077, "maximum messages per subject exceeded"), ack(3),]
    );
    assert_eq!(b.messages(), ["S.a=1@1", "S.a=2@2", "S.b=3@3"]);
}

#[test]
fn a_conditional_publish_behind_a_purge_sees_its_outcome() {
    let mut b = Bench::new("");
    b.publish("S.a", &[], "1");
    b.stream.purge(&Purge::default(), 9);
    b.send("S.a", &["Nats-Expected-Last-Subject-Sequence: 1"], "old");
    b.send("S.a", &["Nats-Expected-Last-Subject-Sequence: 0"], "new");
    b.commit();
    assert_eq!(b.answers(), [err(400, 10071, "wrong last sequence: 0"), ack(2)]);
    assert_eq!(b.messages(), ["S.a=new@2"]);
}

/// `S.a=1` is stored (with others before it, if any); what is in flight then
/// pushes it out, or not; the publish expects it to be the last of its subject.
#[test]
fn a_conditional_publish_behind_a_full_stream_sees_what_is_pushed_out() {
    // Configuration, messages before S.a and in flight, whether it stays and
    // whether that is known at once. A message takes 20 bytes.
    for (config, before, in_flight, stays, at_once) in [
        ("", 0, 3, true, true),
        (r#""max_msgs":3"#, 0, 2, true, true),
        (r#""max_msgs":3"#, 0, 3, false, false),
        (r#""max_msgs":3"#, 2, 2, true, true),
        (r#""max_msgs":3"#, 2, 3, false, false),
        (r#""max_msgs":3,"max_msgs_per_subject":1"#, 0, 5, true, false),
        (r#""max_bytes":60"#, 0, 2, true, true),
        (r#""max_bytes":60"#, 0, 3, false, false),
        (r#""max_bytes":60"#, 2, 1, true, true),
        (r#""max_bytes":60"#, 2, 3, false, false),
        (r#""max_msgs":3,"discard":"new""#, 0, 2, true, true),
    ] {
        let what = format!("{config} {before} {in_flight}");
        let begin = || {
            let mut b = Bench::new(config);
            for _ in 0..before {
                b.publish("S.b", &[], "0");
            }
            b.publish("S.a", &[], "1");
            for _ in 0..in_flight {
                b.send("S.c", &[], "2");
            }
            b
        };
        let expected = |seq: u64| format!("Nats-Expected-Last-Subject-Sequence: {seq}");
        // A refusal does not wait for a commit, unless it needs exactness.
        let mut b = begin();
        b.send("S.a", &[&expected(99)], "no");
        assert_eq!(b.answers().len(), usize::from(at_once), "{what}");
        let want = before + 1;
        let mut b = begin();
        b.send("S.a", &[&expected(want)], "3");
        b.commit();
        let answer = match stays {
            true if config.contains("new") => err(503, 10077, "maximum messages exceeded"),
            true => ack(want + in_flight + 1),
            false => err(400, 10071, "wrong last sequence: 0"),
        };
        assert_eq!(b.answers().last(), Some(&answer), "{what}");
    }
}

#[test]
fn a_conditional_publish_behind_messages_that_push_out_one_in_flight_sees_it_go() {
    let mut b = Bench::new(r#""max_msgs":1"#);
    b.send("S.a", &[], "1");
    b.send("S.b", &[], "2");
    b.send("S.a", &["Nats-Expected-Last-Subject-Sequence: 1"], "no");
    b.send("S.a", &["Nats-Expected-Last-Subject-Sequence: 0"], "3");
    b.commit();
    let gone = err(400, 10071, "wrong last sequence: 0");
    assert_eq!(b.answers(), [ack(1), ack(2), gone, ack(3)]);
}

#[test]
fn a_counter_behind_its_removal_begins_anew() {
    let one: &[&str] = &["Nats-Incr: 1"];
    let val = |seq, val| format!(r#"{{"stream":"S","seq":{seq},"val":"{val}"}}"#);
    let mut b = Bench::new(r#""allow_msg_counter":true,"max_msgs":1"#);
    b.send("S.a", one, "");
    b.send("S.b", one, "");
    b.send("S.a", one, "");
    b.commit();
    assert_eq!(b.answers(), [val(1, 1), val(2, 1), val(3, 1)]);
    let mut b = Bench::new(r#""allow_msg_counter":true"#);
    b.send("S.a", one, "");
    b.send("S.a", one, "");
    b.stream.purge(&Purge::default(), 9);
    b.send("S.a", one, "");
    b.commit();
    assert_eq!(b.answers(), [val(1, 1), val(2, 2), val(3, 1)]);
}

#[test]
fn a_conditional_publish_behind_a_rollup_nobody_wants_waits() {
    let mut b = Bench::new(r#""allow_rollup_hdrs":true"#);
    b.publish("S.a", &[], "1");
    let lead = b.stream.lead.as_mut().unwrap();
    let m = super::publish::Checked {
        subject: Bytes::from_static(b"S.a"),
        headers: super::fixture::block(&["Nats-Rollup: sub"]),
        skip: true,
        ..Default::default()
    };
    let rules = lead.rules.clone();
    super::publish::propose(lead, &rules, m, START);
    b.send("S.a", &["Nats-Expected-Last-Subject-Sequence: 0"], "2");
    b.commit();
    assert_eq!(b.answers(), [ack(3)]);
    assert_eq!(b.messages(), ["S.a=2@3"]);
}

#[test]
fn purging_beyond_the_end_moves_the_stream_also_for_messages_in_flight() {
    let mut b = Bench::new("");
    b.publish("S.a", &[], "1");
    b.stream.purge(&Purge { seq: 100, ..Purge::default() }, 1);
    b.send("S.a", &[], "2");
    b.commit();
    assert_eq!(b.messages(), ["S.a=2@100"]);
    assert_eq!(b.stream.take_completions(), [(1, Ok(super::Completion::Purged(1)))]);
}

#[test]
fn a_stream_cannot_be_moved_to_the_end_of_the_numbers() {
    let mut b = Bench::new("");
    b.stream.purge(&Purge { seq: MAX_SEQ + 1, ..Purge::default() }, 1);
    let refused = b.stream.take_completions().pop().unwrap().1.unwrap_err();
    assert_eq!(refused.err_code, 10110);
    b.stream.purge(&Purge { seq: MAX_SEQ, ..Purge::default() }, 2);
    b.publish("S.a", &[], "1");
    b.publish("S.a", &[], "2");
    assert_eq!(b.messages(), [format!("S.a=1@{MAX_SEQ}"), format!("S.a=2@{}", MAX_SEQ + 1)]);
}

#[test]
fn limits_drop_the_oldest() {
    for (config, left) in [
        (r#""max_msgs":2"#, vec!["S.a=2@3", "S.c=4@4"]),
        (r#""max_msgs_per_subject":1"#, vec!["S.b=1@2", "S.a=2@3", "S.c=4@4"]),
        (r#""max_bytes":45"#, vec!["S.a=2@3", "S.c=4@4"]),
    ] {
        let mut b = Bench::new(config);
        for (s, p) in [("S.a", "0"), ("S.b", "1"), ("S.a", "2"), ("S.c", "4")] {
            b.send(s, &[], p);
        }
        b.commit();
        assert_eq!(b.messages(), left, "{config}");
    }
}

#[test]
fn rollups_keep_the_new_message_only() {
    let mut b = Bench::new(r#""allow_rollup_hdrs":true"#);
    for (s, h, p) in
        [("S.a", "", "1"), ("S.b", "", "2"), ("S.a", "Nats-Rollup: sub", "3"), ("S.c", "", "4")]
    {
        b.publish(s, if h.is_empty() { &[] } else { std::slice::from_ref(&h) }, p);
    }
    assert_eq!(b.messages(), ["S.b=2@2", "S.a=3@3", "S.c=4@4"]);
    b.publish("S.b", &["Nats-Rollup: all"], "5");
    assert_eq!(b.messages(), ["S.b=5@5"]);
}

#[test]
fn nobody_interested_means_a_sequence_and_no_message() {
    let mut b = Bench::new(r#""retention":"interest""#);
    assert_eq!(b.publish("S.a", &["Nats-Msg-Id: x"], "1"), ack(1));
    let s = b.stream.state();
    assert_eq!((s.msgs, s.first_seq, s.last_seq), (0, 2, 1));
    assert_eq!(
        b.publish("S.a", &["Nats-Msg-Id: x"], "1"),
        r#"{"stream":"S","seq":1,"duplicate": true}"#
    );
}

#[test]
fn no_ack_and_no_reply_mean_silence() {
    let mut b = Bench::new(r#""no_ack":true"#);
    assert_eq!(b.publish("S.a", &[], "1"), "");
    assert_eq!(b.publish("S.a", &["Nats-Expected-Stream: T"], "1"), "");
    let mut b = Bench::new("");
    let quiet = Inbound { subject: Bytes::from_static(b"S.a"), ..Inbound::default() };
    b.call(|s, cx| s.publish(quiet, cx));
    b.commit();
    assert_eq!((b.fx.len(), b.messages().len()), (0, 1));
}

#[test]
fn subjects_are_transformed_before_anything_else_and_copies_republished() {
    let mut b = Bench::new(
        r#""subject_transform":{"src":"S.in.*","dest":"S.out.{{wildcard(1)}}"},
           "republish":{"src":"S.out.>","dest":"copy.>","headers_only":true}"#,
    );
    assert_eq!(b.publish("S.in.x", &[], "12"), ack(1));
    assert_eq!(b.publish("S.else", &[], "3"), ack(2));
    assert_eq!(b.messages(), ["S.out.x=12@1", "S.else=3@2"]);
    let [Effect::Publish(copy)] = &b.fx[..] else { panic!("{:?}", b.fx) };
    assert_eq!(copy.to, "copy.x");
    assert_eq!(
        copy.headers,
        "NATS/1.0\r\nNats-Stream: S\r\nNats-Subject: S.out.x\r\nNats-Sequence: 1\r\n\
         Nats-Time-Stamp: 1970-01-01T00:01:00Z\r\nNats-Last-Sequence: 0\r\nNats-Msg-Size: 2\r\n\r\n"
    );
    assert!(copy.payload.is_empty());
}

#[test]
fn an_inline_status_is_not_stored() {
    let mut b = Bench::new("");
    let msg = Inbound {
        subject: Bytes::from_static(b"S.a"),
        headers: Bytes::from_static(b"NATS/1.0 503 No\r\nA: b\r\n\r\n"),
        ..Inbound::default()
    };
    b.call(|s, cx| s.publish(msg, cx));
    b.commit();
    let m = b.stream.store().load(1).unwrap().unwrap();
    assert_eq!(&m.headers[..], b"NATS/1.0\r\nA: b\r\n\r\n");
}

#[test]
fn old_messages_go_in_batches_and_leave_markers() {
    let second = 1_000_000_000;
    let mut b = Bench::new(r#""max_age":1000000000"#);
    b.publish("S.a", &[], "1");
    b.now = START + second - 1;
    b.call(|s, cx| s.on_timer(cx));
    b.commit();
    assert_eq!(b.messages().len(), 1, "never early");
    assert_eq!(b.stream.next_deadline(), Some(START + second));
    b.now = START + second;
    b.call(|s, cx| s.on_timer(cx));
    b.commit();
    assert_eq!(b.messages().len(), 0);
    assert_eq!(b.stream.next_deadline(), None);

    let mut b = Bench::new(
        r#""max_age":2000000000,"allow_msg_ttl":true,"allow_rollup_hdrs":true,
           "subject_delete_marker_ttl":1000000000"#,
    );
    b.publish("S.never", &["Nats-TTL: never"], "1");
    b.publish("S.short", &["Nats-TTL: 1"], "2");
    b.publish("S.long", &["Nats-TTL: 100"], "3");
    b.now = START + second;
    b.call(|s, cx| s.on_timer(cx));
    b.commit();
    assert_eq!(b.messages(), ["S.never=1@1", "S.long=3@3", "S.short=@4"]);
    let m = b.stream.store().load(4).unwrap().unwrap();
    assert_eq!(
        m.headers,
        "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 1s\r\nNats-Rollup: sub\r\n\r\n"
    );
    b.now = START + 3 * second;
    b.call(|s, cx| s.on_timer(cx));
    b.commit();
    assert_eq!(b.messages(), ["S.never=1@1", "S.long=@5"], "markers end without a marker");
    b.now = START + 5 * second;
    b.call(|s, cx| s.on_timer(cx));
    b.commit();
    assert_eq!(b.messages(), ["S.never=1@1"]);
    assert_eq!(b.stream.next_deadline().filter(|d| *d <= b.now), None, "no busy loop");
}

#[test]
fn stepping_down_forgets_what_was_in_flight() {
    let mut b = Bench::new("");
    b.send("S.a", &["Nats-Msg-Id: x"], "1");
    b.stream.delete_msg(1, true, 5);
    b.call(|s, cx| s.step_down(cx));
    assert_eq!(b.stream.take_entry(), None);
    assert_eq!(b.stream.take_completions(), [(5, Err(crate::error::cluster_not_avail()))]);
    b.call(|s, cx| s.lead(2, cx));
    assert_eq!(b.publish("S.a", &["Nats-Msg-Id: x"], "1"), ack(1));
}

#[test]
fn a_sealed_stream_takes_nothing() {
    let mut b = Bench::new(r#""sealed":true"#);
    assert_eq!(b.publish("S.a", &[], "1"), err(400, 10109, "invalid operation on sealed stream"));
    b.stream.delete_msg(1, false, 1);
    b.stream.purge(&Purge::default(), 2);
    let sealed = || Err(crate::error::stream_sealed());
    assert_eq!(b.stream.take_completions(), [(1, sealed()), (2, sealed())]);
}
