//! Consumers through the Rust client: pull, push, ordered, acks, redelivery.

use crate::common::{api, connect, publish, start, stream, text, until, within};
use async_nats::jetstream::{
    self, AckKind,
    consumer::{AckPolicy, DeliverPolicy, pull, push},
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::time::Duration;

async fn filled(client: &async_nats::Client, n: u64) -> jetstream::stream::Stream {
    stream(client, "S", json!({ "subjects": ["s.*"] })).await;
    for i in 1..=n {
        publish(client, &format!("s.{}", i % 2), &[], &i.to_string()).await;
    }
    within(jetstream::new(client.clone()).get_stream("S")).await.unwrap()
}

#[tokio::test]
async fn pull_in_batches_and_endlessly() {
    let server = start();
    let c = connect(&server).await;
    let s = filled(&c, 50).await;
    let config = pull::Config { durable_name: Some("p".into()), ..Default::default() };
    let consumer = within(s.create_consumer(config)).await.unwrap();
    let mut batch = within(consumer.fetch().max_messages(30).messages()).await.unwrap();
    let mut seen = 0;
    while let Some(m) = within(batch.next()).await {
        let m = m.unwrap();
        seen += 1;
        assert_eq!(text(&m.payload), seen.to_string());
        within(m.double_ack()).await.unwrap();
    }
    assert_eq!(seen, 30);
    let mut all = within(consumer.messages()).await.unwrap();
    for want in 31..=50 {
        let m = within(all.next()).await.unwrap().unwrap();
        assert_eq!(m.info().unwrap().stream_sequence, want);
        within(m.ack()).await.unwrap();
    }
    publish(&c, "s.0", &[], "51").await;
    let m = within(all.next()).await.unwrap().unwrap();
    assert_eq!(text(&m.payload), "51");
}

#[tokio::test]
async fn push_to_one_and_to_a_group() {
    let server = start();
    let c = connect(&server).await;
    let s = filled(&c, 20).await;
    let config = push::Config {
        durable_name: Some("push".into()),
        deliver_subject: "to.me".into(),
        filter_subject: "s.1".into(),
        ..Default::default()
    };
    let consumer = within(s.create_consumer(config)).await.unwrap();
    let mut messages = within(consumer.messages()).await.unwrap();
    for want in (1..=19).step_by(2) {
        let m = within(messages.next()).await.unwrap().unwrap();
        assert_eq!(text(&m.payload), want.to_string());
        within(m.ack()).await.unwrap();
    }
    let config = push::Config {
        deliver_subject: "to.group".into(),
        deliver_group: Some("g".into()),
        ack_policy: AckPolicy::None,
        ..Default::default()
    };
    let (mut a, mut b) = (
        c.queue_subscribe("to.group", "g".into()).await.unwrap(),
        c.queue_subscribe("to.group", "g".into()).await.unwrap(),
    );
    within(s.create_consumer(config)).await.unwrap();
    let mut got = Vec::new();
    for _ in 0..20 {
        let m = tokio::select! {
            m = within(a.next()) => m,
            m = within(b.next()) => m,
        };
        got.push(text(&m.unwrap().payload).parse::<u64>().unwrap());
    }
    got.sort_unstable();
    assert_eq!(got, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_kind_of_ack() {
    let server = start();
    let c = connect(&server).await;
    let s = filled(&c, 4).await;
    let config = pull::Config {
        durable_name: Some("acks".into()),
        ack_wait: Duration::from_millis(1500),
        max_deliver: 3,
        ..Default::default()
    };
    let consumer = within(s.create_consumer(config)).await.unwrap();
    let mut messages = within(consumer.messages()).await.unwrap();
    let mut next = async || within(messages.next()).await.unwrap().unwrap();
    let (one, two, three, four) = (next().await, next().await, next().await, next().await);
    within(one.double_ack()).await.unwrap();
    within(two.double_ack_with(AckKind::Nak(None))).await.unwrap();
    within(three.double_ack_with(AckKind::Term)).await.unwrap();
    within(four.double_ack_with(AckKind::Progress)).await.unwrap();
    let again = next().await;
    let info = again.info().unwrap();
    assert_eq!((info.stream_sequence, info.delivered), (2, 2));
    within(again.double_ack()).await.unwrap();
    // Nobody answers for 4: it comes until its deliveries are used up.
    for delivered in 2..=3 {
        let late = next().await;
        let info = late.info().unwrap();
        assert_eq!((info.stream_sequence, info.delivered), (4, delivered));
    }
    let info = api(&c, "CONSUMER.INFO.S.acks", Value::Null).await;
    assert_eq!((&info["ack_floor"]["stream_seq"], &info["num_pending"]), (&json!(3), &json!(0)));
}

#[tokio::test]
async fn max_deliver_is_advised() {
    let server = start();
    let c = connect(&server).await;
    let s = filled(&c, 1).await;
    let mut advice =
        c.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.once").await.unwrap();
    let config = pull::Config {
        durable_name: Some("once".into()),
        ack_wait: Duration::from_millis(100),
        max_deliver: 1,
        ..Default::default()
    };
    let consumer = within(s.create_consumer(config)).await.unwrap();
    let mut messages = within(consumer.messages()).await.unwrap();
    assert_eq!(text(&within(messages.next()).await.unwrap().unwrap().payload), "1");
    let doc: Value = serde_json::from_slice(&within(advice.next()).await.unwrap().payload).unwrap();
    assert_eq!((&doc["stream_seq"], &doc["deliveries"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn ordered_consumers_see_all_in_order() {
    let server = start();
    let c = connect(&server).await;
    let s = filled(&c, 200).await;
    let config = pull::OrderedConfig {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: 11 },
        ..Default::default()
    };
    let consumer = within(s.create_consumer(config)).await.unwrap();
    let mut messages = within(consumer.messages()).await.unwrap();
    for want in 11..=200 {
        let m = within(messages.next()).await.unwrap().unwrap();
        assert_eq!(m.info().unwrap().stream_sequence, want);
    }
    let config = push::OrderedConfig { deliver_subject: c.new_inbox(), ..Default::default() };
    let consumer = within(s.create_consumer(config)).await.unwrap();
    let mut messages = within(consumer.messages()).await.unwrap();
    for want in 1..=200 {
        let m = within(messages.next()).await.unwrap().unwrap();
        assert_eq!(m.info().unwrap().stream_sequence, want);
    }
}

#[tokio::test]
async fn start_policies() {
    let server = start();
    let c = connect(&server).await;
    let s = filled(&c, 10).await;
    let cases = [
        (DeliverPolicy::All, Some(1)),
        (DeliverPolicy::Last, Some(10)),
        (DeliverPolicy::ByStartSequence { start_sequence: 4 }, Some(4)),
        (DeliverPolicy::LastPerSubject, Some(9)),
        (DeliverPolicy::New, None),
    ];
    for (deliver_policy, first) in cases {
        let config =
            pull::Config { deliver_policy, filter_subject: "s.*".into(), ..Default::default() };
        let consumer = within(s.create_consumer(config)).await.unwrap();
        let mut batch = within(consumer.fetch().max_messages(1).messages()).await.unwrap();
        let got = within(batch.next()).await.map(|m| m.unwrap().info().unwrap().stream_sequence);
        assert_eq!(got, first, "{deliver_policy:?}");
    }
}

#[tokio::test]
async fn pause_holds_deliveries_back() {
    let server = start();
    let c = connect(&server).await;
    let s = filled(&c, 3).await;
    let config = pull::Config { durable_name: Some("p".into()), ..Default::default() };
    let consumer = within(s.create_consumer(config)).await.unwrap();
    let paused =
        api(&c, "CONSUMER.PAUSE.S.p", json!({ "pause_until": "2099-01-01T00:00:00Z" })).await;
    assert_eq!(paused["paused"], true);
    let mut none = within(consumer.fetch().max_messages(3).messages()).await.unwrap();
    assert!(within(none.next()).await.is_none());
    assert_eq!(api(&c, "CONSUMER.PAUSE.S.p", json!({})).await["paused"], false);
    let mut some = within(consumer.fetch().max_messages(3).messages()).await.unwrap();
    assert_eq!(text(&within(some.next()).await.unwrap().unwrap().payload), "1");
}

#[tokio::test]
async fn pending_and_waiting_are_counted() {
    let server = start();
    let c = connect(&server).await;
    let s = filled(&c, 5).await;
    let config =
        pull::Config { durable_name: Some("p".into()), max_ack_pending: 2, ..Default::default() };
    let consumer = within(s.create_consumer(config)).await.unwrap();
    let mut messages = within(consumer.messages()).await.unwrap();
    let first = within(messages.next()).await.unwrap().unwrap();
    let second = within(messages.next()).await.unwrap().unwrap();
    let info = api(&c, "CONSUMER.INFO.S.p", Value::Null).await;
    assert_eq!((&info["num_ack_pending"], &info["num_pending"]), (&json!(2), &json!(3)));
    assert_eq!(info["num_waiting"], 1);
    within(second.double_ack()).await.unwrap();
    within(first.double_ack()).await.unwrap();
    for want in 3..=4 {
        let m = within(messages.next()).await.unwrap().unwrap();
        assert_eq!(m.info().unwrap().stream_sequence, want);
    }
    until("two more wait", || async {
        let info = api(&c, "CONSUMER.INFO.S.p", Value::Null).await;
        (info["num_ack_pending"] == 2 && info["ack_floor"]["stream_seq"] == 2).then_some(())
    })
    .await;
}
