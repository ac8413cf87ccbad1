//! Message tracing: what happened to a message, told where it asked.

use crate::common::{Raw, configured, connect, login, next, stream, sync, text, within};
use async_nats::{Client, HeaderMap, Subscriber};
use serde_json::{Value, json};
use std::io::Read;

fn asking(more: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Trace-Dest", "trace.to");
    for (key, value) in more {
        headers.insert(*key, *value);
    }
    headers
}

async fn publish(client: &Client, subject: &str, more: &[(&str, &str)]) {
    let subject = subject.to_owned();
    client.publish_with_headers(subject, asking(more), "payload".into()).await.unwrap();
}

async fn report(sub: &mut Subscriber) -> Value {
    serde_json::from_slice(&next(sub).await.payload).unwrap()
}

fn kinds(report: &Value) -> Vec<&str> {
    report["events"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn who_got_it_and_how_it_came_in() {
    let server = configured("");
    let c = connect(&server).await;
    let mut reports = c.subscribe("trace.to").await.unwrap();
    let mut sub = c.subscribe("x.*").await.unwrap();
    sync(&c).await;
    publish(&c, "x.1", &[("K", "v")]).await;
    let r = report(&mut reports).await;
    assert_eq!(r["server"]["id"], server_id(&server));
    assert_eq!(r["request"]["header"]["K"][0], "v");
    assert!(r["request"]["msgsize"].as_u64().unwrap() > 7);
    assert_eq!(kinds(&r), ["in", "eg"]);
    assert_eq!((&r["events"][0]["subj"], &r["events"][1]["sub"]), (&"x.1".into(), &"x.*".into()));
    assert_eq!(text(&next(&mut sub).await.payload), "payload");
    // Only told: nothing is delivered.
    publish(&c, "x.2", &[("Nats-Trace-Only", "true")]).await;
    assert_eq!(kinds(&report(&mut reports).await), ["in", "eg"]);
    c.publish("x.3", "after".into()).await.unwrap();
    assert_eq!(text(&next(&mut sub).await.payload), "after");
}

fn server_id(server: &gust_tests::process::Server) -> Value {
    Raw::open(server).info["server_id"].clone()
}

#[tokio::test]
async fn a_stream_says_what_it_stores() {
    let server = configured("jetstream: enabled");
    let c = connect(&server).await;
    stream(
        &c,
        "S",
        json!({
            "subjects": ["s.*"], "subject_transform": {"src": "s.*", "dest": "t.$1"},
        }),
    )
    .await;
    stream(&c, "I", json!({ "subjects": ["i.*"], "retention": "interest" })).await;
    let mut reports = c.subscribe("trace.to").await.unwrap();
    sync(&c).await;
    publish(&c, "s.1", &[]).await;
    let r = report(&mut reports).await;
    assert_eq!(kinds(&r), ["in", "js"]);
    assert_eq!(
        (&r["events"][1]["stream"], &r["events"][1]["subject"]),
        (&"S".into(), &"t.1".into())
    );
    publish(&c, "s.2", &[("Nats-Trace-Only", "1")]).await;
    assert_eq!(kinds(&report(&mut reports).await), ["in", "js"]);
    publish(&c, "i.1", &[("Nats-Trace-Only", "1")]).await;
    assert_eq!(report(&mut reports).await["events"][1]["nointerest"], true);
    let js = async_nats::jetstream::new(c.clone());
    within(js.publish("s.3", "".into())).await.unwrap().await.unwrap();
    let mut s = within(js.get_stream("S")).await.unwrap();
    assert_eq!(within(s.info()).await.unwrap().state.messages, 2, "the second was only traced");
}

#[tokio::test]
async fn reports_may_be_compressed() {
    let server = configured("");
    let c = connect(&server).await;
    let mut reports = c.subscribe("trace.to").await.unwrap();
    sync(&c).await;
    publish(&c, "x", &[("Accept-Encoding", "gzip")]).await;
    let m = next(&mut reports).await;
    assert_eq!(m.headers.unwrap().get("Content-Encoding").unwrap().as_str(), "gzip");
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&m.payload[..]).read_to_string(&mut plain).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&plain).unwrap()["events"][0]["type"], "in");
    publish(&c, "x", &[("Accept-Encoding", "snappy")]).await;
    let m = next(&mut reports).await;
    assert_eq!(m.headers.unwrap().get("Content-Encoding").unwrap().as_str(), "snappy");
    assert!(m.payload.starts_with(b"\xff\x06\x00\x00sNaPpY"));
}

#[tokio::test]
async fn a_trace_goes_only_where_its_publisher_may_publish() {
    let server = configured(
        r#"authorization { users: [
          {user: all, password: p}
          {user: less, password: p, permissions: {publish: {allow: ["x", "no.such.subject"]}}}
        ]}"#,
    );
    let (all, less) = (login(&server, "all", "p").await, login(&server, "less", "p").await);
    let mut everything = all.subscribe("*").await.unwrap();
    let mut reports = all.subscribe("trace.to").await.unwrap();
    sync(&all).await;
    publish(&less, "x", &[]).await;
    sync(&less).await;
    all.publish("end", "".into()).await.unwrap();
    assert_eq!(next(&mut everything).await.subject.as_str(), "end", "the message is dropped");
    all.publish("trace.to", "end".into()).await.unwrap();
    assert_eq!(text(&next(&mut reports).await.payload), "end", "and nothing is told");
}

#[tokio::test]
async fn a_stream_says_why_it_refuses() {
    let server = configured("jetstream: enabled");
    let c = connect(&server).await;
    stream(&c, "S", json!({ "subjects": ["s.*"], "max_msgs": 1, "discard": "new" })).await;
    let mut reports = c.subscribe("trace.to").await.unwrap();
    sync(&c).await;
    publish(&c, "s.1", &[("Nats-Msg-Id", "a")]).await;
    assert_eq!(report(&mut reports).await["events"][1]["subject"], "s.1");
    for (header, value, error) in [
        ("Nats-Msg-Id", "a", "msgid is duplicate"),
        ("Nats-Expected-Stream", "T", "expected stream does not match"),
        ("Nats-Expected-Last-Sequence", "7", "last sequence mismatch: 7 vs 1"),
        ("K", "v", "maximum messages exceeded"),
    ] {
        publish(&c, "s.2", &[(header, value)]).await;
        assert_eq!(report(&mut reports).await["events"][1]["error"], error);
    }
    let js = async_nats::jetstream::new(c.clone());
    let s = within(js.get_stream("S")).await.unwrap();
    let stored = within(s.get_raw_message(1)).await.unwrap();
    let dest = stored.headers.get("Nats-Trace-Dest").unwrap();
    assert_eq!(dest.as_str(), "trace disabled", "its consumers are not traced");
}

#[tokio::test]
async fn refused_messages_are_told() {
    let server = configured(
        r#"
        max_payload: 500
        authorization { users: [
          {user: all, password: p}
          {user: less, password: p, permissions: {publish: ["x", "trace.to"]}}
        ]}"#,
    );
    let all = login(&server, "all", "p").await;
    let mut reports = all.subscribe("trace.to").await.unwrap();
    sync(&all).await;
    let less = r#"{"user":"less","pass":"p","headers":true,"verbose":false}"#;
    let mut raw = Raw::connect(&server, less);
    let head = "NATS/1.0\r\nNats-Trace-Dest: trace.to\r\n\r\n";
    let n = head.len();
    raw.send(&format!("HPUB y {n} {n}\r\n{head}\r\n"));
    let told = report(&mut reports).await;
    assert_eq!(told["events"][0]["error"], "Permissions Violation for Publish to \"y\"");
    assert_eq!(kinds(&told), ["in"]);
    raw.send(&format!("HPUB x _R_.y {n} {n}\r\n{head}\r\n"));
    let told = report(&mut reports).await;
    let error = "Permissions Violation for Publish with Reply of \"_R_.y\"";
    assert_eq!(told["events"][0]["error"], error);
    raw.send(&format!("HPUB x {n} 501\r\n{head}"));
    let told = report(&mut reports).await;
    assert_eq!(told["events"][0]["error"], "maximum payload exceeded");
    assert_eq!(told["request"]["msgsize"], 501);
    assert!(raw.rest().ends_with("-ERR 'Maximum Payload Violation'\r\n"));
}

#[tokio::test]
async fn requests_to_the_server_are_imports_and_not_made_if_only_told() {
    let server = configured("jetstream: enabled");
    let c = connect(&server).await;
    let mut reports = c.subscribe("trace.to").await.unwrap();
    let mut answers = c.subscribe("answer").await.unwrap();
    sync(&c).await;
    for only in ["0", "1"] {
        for (subject, to) in [
            ("$JS.API.INFO", "$JS.API.INFO"),
            ("$SYS.REQ.USER.INFO", "$SYS.REQ.USER.$G.INFO"),
            ("$SYS.REQ.ACCOUNT.PING.STATZ", "$SYS.REQ.ACCOUNT.$G.STATZ"),
        ] {
            let headers = asking(&[("Nats-Trace-Only", only)]);
            within(c.publish_with_reply_and_headers(subject, "answer", headers, "".into()))
                .await
                .unwrap();
            let told = report(&mut reports).await;
            assert_eq!(kinds(&told), ["in", "si"]);
            let import = &told["events"][1];
            assert_eq!((&import["acc"], &import["to"]), (&"$SYS".into(), &to.into()));
            let nobody = next(&mut answers).await.status.is_some_and(|s| s.as_u16() == 503);
            assert_eq!(nobody, only == "1");
        }
    }
}

#[tokio::test]
async fn what_an_import_hides_is_not_told_and_its_message_cannot_be_traced_further() {
    let server = configured(
        r#"accounts {
          A { users: [{user: a, password: p}]
              exports: [{service: open, allow_trace: true}, {service: shut}] }
          B { users: [{user: b, password: p}]
              imports: [{service: {account: A, subject: open}}
                        {service: {account: A, subject: shut}}] }
        }"#,
    );
    let (a, b) = (login(&server, "a", "p").await, login(&server, "b", "p").await);
    let mut requests = a.subscribe("*").await.unwrap();
    let mut reports = b.subscribe("trace.to").await.unwrap();
    sync(&a).await;
    sync(&b).await;
    publish(&b, "open", &[]).await;
    assert_eq!(kinds(&report(&mut reports).await), ["in", "si", "eg"]);
    let dest = |m: async_nats::Message| {
        m.headers.unwrap().get("Nats-Trace-Dest").unwrap().as_str().to_owned()
    };
    assert!(dest(next(&mut requests).await).starts_with("_R_."));
    publish(&b, "shut", &[]).await;
    assert_eq!(kinds(&report(&mut reports).await), ["in", "si"]);
    assert_eq!(dest(next(&mut requests).await), "trace disabled");
    publish(&b, "shut", &[("Nats-Trace-Only", "on")]).await;
    assert_eq!(kinds(&report(&mut reports).await), ["in", "si"]);
    b.publish("open", "last".into()).await.unwrap();
    assert_eq!(text(&next(&mut requests).await.payload), "last", "and it was only told");
}
