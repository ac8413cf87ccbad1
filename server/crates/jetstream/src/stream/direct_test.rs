//! DIRECT.GET and MSG.GET: exact answers.

use super::fixture::Bench;
use crate::api::request::MsgGetRequest;
use crate::effect::Effect;
use bytes::Bytes;

/// Headers and payloads of everything sent in answer to one request.
fn get(b: &mut Bench, subject: &str, body: &str) -> Vec<String> {
    b.fx.clear();
    b.call(|s, cx| {
        s.direct_get(subject.as_bytes(), b"", body.as_bytes(), &Bytes::from_static(b"r"), cx);
    });
    let show = |e: Effect| match e {
        Effect::Publish(p) => {
            let text = [&p.headers[..], &p.payload[..]].concat();
            let text = String::from_utf8(text).unwrap();
            text.replace("NATS/1.0", "").replace("\r\n", "|").replace("Nats-", "")
        }
        other => panic!("{other:?}"),
    };
    b.fx.drain(..).map(show).collect()
}

fn stored() -> Bench {
    let mut b = Bench::new("");
    b.publish("S.a", &["K: v"], "1");
    b.publish("S.b", &[], "2");
    b.now += 1_000_000_000;
    b.publish("S.a", &[], "3");
    b
}

const AT: &str = "Time-Stamp: 1970-01-01T00:01:00Z|";
const LATER: &str = "Time-Stamp: 1970-01-01T00:01:01Z|";

#[test]
fn statuses_are_exact() {
    let mut b = stored();
    for (subject, body, want) in [
        ("", "", " 408 Empty Request||"),
        ("", "{}", " 408 Empty Request||"),
        ("", r#"{"batch":3}"#, " 408 Empty Request||"),
        ("", "{", " 408 Malformed Request||"),
        ("", r#"{"seq":1,"last_by_subj":"x"}"#, " 408 Bad Request||"),
        ("", r#"{"last_by_subj":"S.a","batch":2}"#, " 408 Bad Request||"),
        ("", r#"{"multi_last":["S.a"],"next_by_subj":"S.a"}"#, " 408 Bad Request||"),
        ("S.a", r#"{"seq":1}"#, " 408 Bad Request||"),
        ("", r#"{"seq":9}"#, " 404 Message Not Found||"),
        ("S.z", "", " 404 Message Not Found||"),
        ("", r#"{"multi_last":["S.z"]}"#, " 404 No Results||"),
    ] {
        assert_eq!(get(&mut b, subject, body), [want], "{subject} {body}");
    }
}

#[test]
fn a_required_level_above_ours_is_refused() {
    let mut b = stored();
    b.fx.clear();
    let block = b"NATS/1.0\r\nNats-Required-Api-Level: 99\r\n\r\n";
    b.call(|s, cx| s.direct_get(b"S.a", block, b"", &Bytes::from_static(b"r"), cx));
    let [Effect::Publish(p)] = &b.fx[..] else { panic!("{:?}", b.fx) };
    assert_eq!(&p.headers[..], b"NATS/1.0 412 Required Api Level\r\n\r\n");
}

#[test]
fn single_gets_add_where_the_message_was_stored() {
    let mut b = stored();
    let first = format!("|K: v|Stream: S|Subject: S.a|Sequence: 1|{AT}|1");
    let last = format!("|Stream: S|Subject: S.a|Sequence: 3|{LATER}|3");
    for (subject, body, want) in [
        ("", r#"{"seq":1}"#, &first),
        ("", r#"{"next_by_subj":"S.a"}"#, &first),
        ("", r#"{"seq":2,"next_by_subj":"S.a"}"#, &last),
        ("", r#"{"last_by_subj":"S.*"}"#, &last),
        ("S.a", "", &last),
        ("", r#"{"start_time":"1970-01-01T00:01:00.5Z","next_by_subj":">"}"#, &last),
        ("S.a", r#"{"no_hdr":true}"#, &"3".to_owned()),
    ] {
        assert_eq!(&get(&mut b, subject, body), std::slice::from_ref(want), "{subject} {body}");
    }
}

#[test]
fn batches_count_down_and_end() {
    let mut b = stored();
    assert_eq!(
        get(&mut b, "", r#"{"seq":1,"batch":2}"#),
        [
            format!(
                "|K: v|Stream: S|Subject: S.a|Sequence: 1|{AT}Num-Pending: 2|Last-Sequence: 0||1"
            ),
            format!("|Stream: S|Subject: S.b|Sequence: 2|{AT}Num-Pending: 1|Last-Sequence: 1||2"),
            " 204 EOB|Num-Pending: 1|Last-Sequence: 2||".into(),
        ]
    );
    assert_eq!(
        get(&mut b, "", r#"{"seq":1,"batch":9,"max_bytes":1,"next_by_subj":"S.a"}"#),
        [
            format!(
                "|K: v|Stream: S|Subject: S.a|Sequence: 1|{AT}Num-Pending: 1|Last-Sequence: 0||1"
            ),
            " 204 EOB|Num-Pending: 1|Last-Sequence: 1||".into(),
        ]
    );
}

#[test]
fn multi_gets_the_last_of_each_subject() {
    let mut b = stored();
    assert_eq!(
        get(&mut b, "", r#"{"multi_last":["S.>"]}"#),
        [
            format!("|Stream: S|Subject: S.b|Sequence: 2|{AT}Num-Pending: 1|Last-Sequence: 0||2"),
            format!(
                "|Stream: S|Subject: S.a|Sequence: 3|{LATER}Num-Pending: 0|Last-Sequence: 2||3"
            ),
            " 204 EOB|Num-Pending: 0|Last-Sequence: 3|UpTo-Sequence: 3||".into(),
        ]
    );
    assert_eq!(
        get(&mut b, "", r#"{"multi_last":["S.a"],"up_to_seq":2,"batch":1}"#),
        [
            format!(
                "|K: v|Stream: S|Subject: S.a|Sequence: 1|{AT}Num-Pending: 0|Last-Sequence: 0||1"
            ),
            " 204 EOB|Num-Pending: 0|Last-Sequence: 1|UpTo-Sequence: 2||".into(),
        ]
    );
    for i in 0..1025 {
        b.send(&format!("S.n.{i}"), &[], "");
    }
    b.commit();
    assert_eq!(get(&mut b, "", r#"{"multi_last":["S.n.>"]}"#), [" 413 Too Many Results||"]);
}

#[test]
fn msg_get_wants_exactly_one_anchor() {
    let b = stored();
    let ask = |body: &str| {
        let r: MsgGetRequest = crate::json::parse_lenient(body.as_bytes()).unwrap();
        b.stream.msg_get(&r).map(|m| m.seq).map_err(|e| e.err_code)
    };
    for (body, want) in [
        (r#"{"seq":2}"#, Ok(2)),
        (r#"{"seq":2,"next_by_subj":"S.a"}"#, Ok(3)),
        (r#"{"next_by_subj":"S.*"}"#, Ok(1)),
        (r#"{"last_by_subj":"S.b"}"#, Ok(2)),
        (r#"{"start_time":"1970-01-01T00:01:01Z"}"#, Ok(3)),
        (r#"{"seq":4}"#, Err(10037)),
        (r#"{}"#, Err(10003)),
        (r#"{"seq":1,"last_by_subj":"S.a"}"#, Err(10003)),
        (r#"{"seq":1,"batch":2}"#, Err(10003)),
    ] {
        assert_eq!(ask(body), want, "{body}");
    }
}
