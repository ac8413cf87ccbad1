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
