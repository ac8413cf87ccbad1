//! Go's reading and writing habits, case by case.

use super::*;
use crate::config::{CreateConsumerRequest, StreamConfigRequest};

fn stream(text: &str) -> Result<StreamConfigRequest, String> {
    parse(text.as_bytes(), Strictness::Strict).map_err(|e: JsonError| e.0)
}

#[test]
fn keys_fold_and_the_last_one_wins() {
    let got = stream(r#"{"NAME":"a","name":"b","Name":"c","Pedantic":true}"#).unwrap();
    assert_eq!((got.config.name.as_str(), got.pedantic), ("c", true));
    assert_eq!(stream("").unwrap(), StreamConfigRequest::default());
    assert_eq!(stream(r#"{"name":"a"} {"max_msgs":3}"#).unwrap().config.max_msgs, 3);
}

#[test]
fn refusals_have_gos_texts() {
    for (body, want) in [
        (r#"{"foo":1}"#, r#"json: unknown field "foo""#),
        (r#"{"retention":null}"#, r#"can not unmarshal "null""#),
        (r#"{"retention":"x"}"#, r#"can not unmarshal "\"x\"""#),
        (r#"{"compression":""}"#, "unknown compression algorithm"),
        ("x", "invalid character 'x' looking for beginning of value at offset 1"),
        (r#"{"name":"#, "unexpected EOF"),
        (r#"{"name" 1}"#, "invalid character '1' after object key at offset 9"),
    ] {
        assert_eq!(stream(body).unwrap_err(), want, "{body}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(stream(&deep).unwrap_err(), "exceeded max depth");
    let got = parse::<CreateConsumerRequest>(br#"{"action":null}"#, Strictness::Strict);
    assert_eq!(got.unwrap_err().0, "unknown consumer action: null");
}

#[test]
fn lenient_reading_skips_what_it_does_not_know() {
    let body = br#"{"foo":{"a":[1,{"b":"}"}]},"name":"n"}"#;
    let got: StreamConfigRequest = parse_lenient(body).unwrap();
    assert_eq!(got.config.name, "n");
}

#[test]
fn null_and_special_words() {
    let got = stream(
        r#"{"name":null,"subjects":null,"mirror":null,"discard":"NEW","persist_mode":"","metadata":null}"#,
    )
    .unwrap();
    assert_eq!(got.config.discard, crate::config::DiscardPolicy::New);
    assert!(got.config.mirror.is_none());
}

#[test]
fn strings_keep_escapes_and_html_is_escaped() {
    let got =
        stream(r#"{"description":"<a>&\u2028 \ud83d\ude00 \ud800 \"\\\/\b\f\n\r\t"}"#).unwrap();
    assert_eq!(got.config.description, "<a>&\u{2028} \u{1f600} \u{fffd} \"\\/\u{8}\u{c}\n\r\t");
    assert_eq!(
        to_string(&got.config.description),
        "\"\\u003ca\\u003e\\u0026\\u2028 \u{1f600} \u{fffd} \\\"\\\\/\\b\\f\\n\\r\\t\""
    );
}

#[test]
fn emission_follows_the_table() {
    let got = stream(r#"{"name":"S"}"#).unwrap();
    assert_eq!(
        to_string(&got.config),
        concat!(
            r#"{"name":"S","retention":"limits","max_consumers":0,"max_msgs":0,"max_bytes":0,"#,
            r#""max_age":0,"max_msgs_per_subject":0,"discard":"old","storage":"file","#,
            r#""num_replicas":0,"compression":"none","allow_direct":false,"mirror_direct":false,"#,
            r#""sealed":false,"deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":false,"#,
            r#""consumer_limits":{},"allow_msg_ttl":false}"#
        )
    );
}

proptest::proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(0u8..=255, 0..200)) {
        let _ = parse::<StreamConfigRequest>(&bytes, Strictness::Strict);
    }

    #[test]
    fn jsonish_bytes_never_panic(text in r#"[\{\}\[\]":,a-z0-9\\untrefals\-\. ]{0,80}"#) {
        let _ = parse::<StreamConfigRequest>(text.as_bytes(), Strictness::Lenient);
        let _ = parse::<Raw>(text.as_bytes(), Strictness::Lenient);
    }
}
