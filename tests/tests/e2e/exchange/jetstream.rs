//! Streams and consumers of other accounts.

use super::*;
use async_nats::jetstream::{self, consumer::PullConsumer};

const SHARED: &str = r#"
jetstream: enabled
accounts {
  A: {
    users: [{user: a, password: a}], jetstream: enabled
    exports: [
      {service: "$JS.API.>", response: stream}, {service: "$JS.ACK.>"}, {stream: "deliver.>"}, {stream: "feed.>"}
    ]
  }
  B: {
    users: [{user: b, password: b}]
    imports: [
      {service: {account: A, subject: "$JS.API.>"}, to: "A.API.>"}
      {service: {account: A, subject: "$JS.ACK.>"}}
      {stream: {account: A, subject: "deliver.>"}}
    ]
  }
  E: {
    users: [{user: e, password: e}]
    imports: [
      {service: {account: A, subject: "$JS.API.STREAM.INFO.ORDERS"}}
      {service: {account: A, subject: "$JS.API.CONSUMER.MSG.NEXT.ORDERS.d"}}
      {service: {account: A, subject: "$JS.ACK.ORDERS.d.>"}}
    ]
  }
  D: {
    users: [{user: d, password: d}], jetstream: enabled
    imports: [{stream: {account: A, subject: "feed.>"}, prefix: copy}]
  }
}
"#;

async fn orders(a: &Client) -> jetstream::Context {
    let js = jetstream::new(a.clone());
    let config = jetstream::stream::Config {
        name: "ORDERS".into(),
        subjects: vec!["orders.>".into()],
        ..Default::default()
    };
    js.create_stream(config).await.unwrap();
    for n in 0..10 {
        within(js.publish("orders.new", n.to_string().into())).await.unwrap().await.unwrap();
    }
    js
}

#[tokio::test]
async fn a_pull_consumer_of_another_account() {
    let server = configured(SHARED);
    let (a, b) = (login(&server, "a", "a").await, login(&server, "b", "b").await);
    let _js = orders(&a).await;
    let there = jetstream::with_prefix(b.clone(), "A.API");
    let stream = within(there.get_stream("ORDERS")).await.unwrap();
    let config =
        jetstream::consumer::pull::Config { durable_name: Some("d".into()), ..Default::default() };
    let mut consumer: PullConsumer = within(stream.create_consumer(config)).await.unwrap();
    let mut batch = within(consumer.fetch().max_messages(10).messages()).await.unwrap();
    let mut n = 0;
    while let Some(m) = within(batch.next()).await {
        let m = m.unwrap();
        assert_eq!((m.subject.as_str(), text(&m.payload)), ("orders.new", n.to_string()));
        within(m.double_ack()).await.unwrap();
        n += 1;
    }
    assert_eq!(n, 10);
    let info = within(consumer.info()).await.unwrap();
    assert_eq!(
        (info.num_pending, info.num_ack_pending, info.ack_floor.stream_sequence),
        (0, 0, 10)
    );
}

#[tokio::test]
async fn a_push_consumer_of_another_account() {
    let server = configured(SHARED);
    let (a, b) = (login(&server, "a", "a").await, login(&server, "b", "b").await);
    let _js = orders(&a).await;
    let there = jetstream::with_prefix(b.clone(), "A.API");
    let stream = within(there.get_stream("ORDERS")).await.unwrap();
    let config = jetstream::consumer::push::Config {
        deliver_subject: "deliver.b".into(),
        durable_name: Some("p".into()),
        ..Default::default()
    };
    let consumer = within(stream.create_consumer(config)).await.unwrap();
    let mut messages = within(consumer.messages()).await.unwrap();
    for n in 0..10 {
        let m = within(messages.next()).await.unwrap().unwrap();
        assert_eq!((m.subject.as_str(), text(&m.payload)), ("orders.new", n.to_string()));
        within(m.double_ack()).await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_stores_what_its_account_imports() {
    let server = configured(SHARED);
    let (a, d) = (login(&server, "a", "a").await, login(&server, "d", "d").await);
    let js = jetstream::new(d.clone());
    let config = jetstream::stream::Config {
        name: "COPY".into(),
        subjects: vec!["copy.>".into()],
        ..Default::default()
    };
    let mut stream = within(js.create_stream(config)).await.unwrap();
    for n in 0..5 {
        a.publish(format!("feed.{n}"), "x".into()).await.unwrap();
    }
    sync(&a).await;
    let mut messages = 0;
    while messages < 5 {
        messages = within(stream.info()).await.unwrap().state.messages;
    }
    let m = within(stream.get_raw_message(1)).await.unwrap();
    assert_eq!(m.subject.as_str(), "copy.feed.0");
}

#[tokio::test]
async fn an_account_without_the_import_sees_nothing_of_it() {
    let server = configured(SHARED);
    let (a, d) = (login(&server, "a", "a").await, login(&server, "d", "d").await);
    let _js = orders(&a).await;
    let e = within(d.request("A.API.INFO", "".into())).await.unwrap_err();
    assert_eq!(e.kind(), RequestErrorKind::NoResponders);
    assert!(within(jetstream::new(d).get_stream("ORDERS")).await.is_err());
}

#[tokio::test]
async fn single_requests_of_the_api_under_their_own_names() {
    let server = configured(SHARED);
    let (a, e) = (login(&server, "a", "a").await, login(&server, "e", "e").await);
    let js = orders(&a).await;
    let config =
        jetstream::consumer::pull::Config { durable_name: Some("d".into()), ..Default::default() };
    within(js.create_consumer_on_stream(config, "ORDERS")).await.unwrap();
    // One answer, and it is that of A: E has no JetStream to answer for itself.
    let mut inbox = e.subscribe("inbox").await.unwrap();
    e.publish_with_reply("$JS.API.STREAM.INFO.ORDERS", "inbox", "".into()).await.unwrap();
    let info: Value = serde_json::from_slice(&next(&mut inbox).await.payload).unwrap();
    assert_eq!(info["config"]["name"], "ORDERS", "{info}");
    let pull = "$JS.API.CONSUMER.MSG.NEXT.ORDERS.d";
    e.publish_with_reply(pull, "inbox", "1".into()).await.unwrap();
    let m = next(&mut inbox).await;
    assert_eq!(text(&m.payload), "0");
    let ack = m.reply.unwrap();
    within(e.request(ack, "+ACK".into())).await.unwrap();
    // What is not imported is answered here.
    let other = within(e.request("$JS.API.STREAM.INFO.OTHER", "".into())).await.unwrap();
    assert!(text(&other.payload).contains("error"));
}
