//! Core NATS through a real client: who gets which message.

use crate::common::{
    DEADLINE, Raw, configured, connect, next, next_text, start, sync, text, until, within,
};
use async_nats::{ConnectOptions, HeaderMap};
use bytes::Bytes;
use futures_util::StreamExt;
use gust_tests::process::Server;
use std::collections::BTreeMap;

#[tokio::test]
async fn subjects_and_wildcards_select_receivers() {
    let server = start();
    let c = connect(&server).await;
    let cases = [
        ("a.b.c", &["a.b.c"][..]),
        ("a.*.c", &["a.b.c"]),
        ("a.>", &["a.b.c", "a.x", "a.b.d"]),
        ("*.x", &["a.x", "b.x"]),
        (">", &["a.b.c", "a.x", "b.x", "a.b.d", "other"]),
        ("a.b", &[]),
    ];
    let mut subs = Vec::new();
    for (pattern, wanted) in cases {
        subs.push((pattern, wanted, c.subscribe(pattern).await.unwrap()));
    }
    for s in ["a.b.c", "a.x", "b.x", "a.b.d", "other"] {
        c.publish(s, "x".into()).await.unwrap();
    }
    for (pattern, wanted, mut sub) in subs {
        for subject in wanted {
            assert_eq!(next(&mut sub).await.subject.as_str(), *subject, "{pattern}");
        }
        within(sub.unsubscribe()).await.unwrap();
        assert!(within(sub.next()).await.is_none(), "{pattern} got too much");
    }
}

#[tokio::test]
async fn each_message_goes_to_one_member_of_each_queue_group() {
    let server = start();
    let (publisher, mut subs) = (connect(&server).await, Vec::new());
    for i in 0..6 {
        let c = connect(&server).await;
        let group = if i < 4 { "red" } else { "blue" };
        subs.push((group, c.queue_subscribe("jobs.*", group.into()).await.unwrap()));
        sync(&c).await;
    }
    let count = 600;
    for i in 0..count {
        publisher.publish("jobs.new", i.to_string().into()).await.unwrap();
    }
    sync(&publisher).await;
    let mut seen: BTreeMap<(&str, u32), u32> = BTreeMap::new();
    let mut members = 0;
    let (tx, mut rx) = tokio::sync::mpsc::channel(16);
    for (group, mut sub) in subs {
        let tx = tx.clone();
        tokio::spawn(async move {
            let mut n = 0;
            while let Some(m) = sub.next().await {
                n += 1;
                if tx.send((group, n, text(&m.payload))).await.is_err() {
                    break;
                }
            }
        });
    }
    for _ in 0..2 * count {
        let (group, n, payload) = within(rx.recv()).await.unwrap();
        *seen.entry((group, payload.parse().unwrap())).or_default() += 1;
        members += u32::from(n == 1);
    }
    assert_eq!(seen.len(), 2 * count as usize);
    assert!(seen.values().all(|n| *n == 1), "a message went to two members");
    assert_eq!(members, 6, "a member got nothing");
}

#[tokio::test]
async fn requests_are_answered_and_503_says_that_nobody_listens() {
    let server = start();
    let (c, service) = (connect(&server).await, connect(&server).await);
    let mut requests = service.subscribe("echo").await.unwrap();
    sync(&service).await;
    let answering = tokio::spawn(async move {
        while let Some(m) = requests.next().await {
            service.publish(m.reply.unwrap(), m.payload).await.unwrap();
        }
    });
    for i in 0..50 {
        let answer = within(c.request("echo", i.to_string().into())).await.unwrap();
        assert_eq!(text(&answer.payload), i.to_string());
    }
    let nobody = within(c.request("nobody", "x".into())).await.unwrap_err();
    assert_eq!(nobody.kind(), async_nats::RequestErrorKind::NoResponders);
    answering.abort();
}

#[tokio::test]
async fn headers_arrive_unchanged() {
    let server = start();
    let c = connect(&server).await;
    let mut sub = c.subscribe("h").await.unwrap();
    let mut headers = HeaderMap::new();
    headers.append("Many", "one");
    headers.append("Many", "two");
    headers.insert("case-Kept", "välue");
    c.publish_with_headers("h", headers.clone(), "payload".into()).await.unwrap();
    c.publish("h", Bytes::new()).await.unwrap();
    let m = next(&mut sub).await;
    assert_eq!((m.headers, text(&m.payload)), (Some(headers), "payload".to_owned()));
    let m = next(&mut sub).await;
    assert_eq!((m.headers, m.payload.len()), (None, 0));

    // A receiver that knows no headers gets the payload alone.
    let mut plain = Raw::connect(&server, r#"{"verbose":false}"#);
    plain.send("SUB h 1\r\n");
    plain.sync();
    let mut headers = HeaderMap::new();
    headers.insert("A", "b");
    c.publish_with_headers("h", headers, "bare".into()).await.unwrap();
    sync(&c).await;
    plain.expect(&["MSG h 1 4", "bare"]);
}

#[tokio::test]
async fn auto_unsubscribe_counts_from_the_subscription() {
    let server = start();
    let c = connect(&server).await;
    let mut sub = c.subscribe("n").await.unwrap();
    for i in 0..3 {
        c.publish("n", i.to_string().into()).await.unwrap();
        assert_eq!(next_text(&mut sub).await, i.to_string());
    }
    sub.unsubscribe_after(5).await.unwrap();
    for i in 3..10 {
        c.publish("n", i.to_string().into()).await.unwrap();
    }
    assert_eq!(next_text(&mut sub).await, "3");
    assert_eq!(next_text(&mut sub).await, "4");
    assert!(within(sub.next()).await.is_none());
}

#[tokio::test]
async fn echo_can_be_turned_off() {
    let server = start();
    let silent = within(ConnectOptions::new().no_echo().connect(&server.url)).await.unwrap();
    let other = connect(&server).await;
    let mut sub = silent.subscribe("e").await.unwrap();
    silent.publish("e", "own".into()).await.unwrap();
    sync(&silent).await;
    other.publish("e", "foreign".into()).await.unwrap();
    assert_eq!(next_text(&mut sub).await, "foreign");
}

#[tokio::test]
async fn payloads_of_the_maximum_size_pass() {
    let server = start();
    let (c, r) = (connect(&server).await, connect(&server).await);
    assert_eq!(c.max_payload(), 1 << 20);
    let mut sub = r.subscribe("big").await.unwrap();
    sync(&r).await;
    let body = |i: usize| Bytes::from((0..1 << 20).map(|n| (n * 31 + i) as u8).collect::<Vec<_>>());
    for i in 0..16 {
        c.publish("big", body(i)).await.unwrap();
    }
    for i in 0..16 {
        assert!(next(&mut sub).await.payload == body(i), "payload {i} was changed");
    }
    let refused = c.publish("big", vec![0; (1 << 20) + 1].into()).await.unwrap_err();
    assert_eq!(refused.kind(), async_nats::client::PublishErrorKind::MaxPayloadExceeded);
}

#[tokio::test]
async fn drain_delivers_what_was_sent_before() {
    let server = start();
    let (c, publisher) = (connect(&server).await, connect(&server).await);
    let mut sub = c.subscribe("d").await.unwrap();
    sync(&c).await;
    for i in 0..1000 {
        publisher.publish("d", i.to_string().into()).await.unwrap();
    }
    sync(&publisher).await;
    within(c.drain()).await.unwrap();
    for i in 0..1000 {
        assert_eq!(next_text(&mut sub).await, i.to_string());
    }
    assert!(within(sub.next()).await.is_none());
}

#[tokio::test]
async fn many_subscriptions_of_one_connection() {
    let server = start();
    let mut raw = Raw::connect(&server, r#"{"verbose":false,"protocol":1}"#);
    let n = 20_000;
    let subs: String = (0..n).map(|i| format!("SUB many.{i}.* {i}\r\n")).collect();
    raw.send(&subs);
    raw.sync();
    for i in [0, 1, n / 2, n - 1] {
        raw.send(&format!("PUB many.{i}.x 1\r\ny\r\n"));
        raw.expect(&[&format!("MSG many.{i}.x {i} 1"), "y"]);
    }
    let unsubs: String = (0..n).map(|i| format!("UNSUB {i}\r\n")).collect();
    raw.send(&unsubs);
    raw.send("PUB many.7.x 1\r\ny\r\n");
    raw.sync();
}

#[tokio::test]
async fn a_slow_consumer_is_closed_while_others_are_served() {
    let server = configured("max_pending: 4MB\nwrite_deadline: \"30s\"\n");
    let (publisher, good) = (connect(&server).await, connect(&server).await);
    let mut fine = good.subscribe("flood").await.unwrap();
    sync(&good).await;
    // Subscribes and never reads.
    let mut slow = Raw::connect(&server, r#"{"verbose":false,"name":"sleeper"}"#);
    slow.send("SUB flood 1\r\n");
    slow.sync();
    let body = Bytes::from(vec![b'x'; 64 * 1024]);
    let mut sent = 0u32;
    let gone = async {
        loop {
            for _ in 0..16 {
                publisher.publish("flood", body.clone()).await.unwrap();
                sent += 1;
                next(&mut fine).await;
            }
            let closed = crate::common::doc(&server, "/connz?state=closed");
            let rows = closed["connections"].as_array().unwrap();
            if let Some(row) = rows.iter().find(|r| r["name"] == "sleeper") {
                break row["reason"].as_str().unwrap().to_owned();
            }
        }
    };
    assert_eq!(within(gone).await, "Slow Consumer (Pending Bytes)");
    assert!(sent > 60, "closed after {sent} messages already");
    assert_eq!(crate::common::doc(&server, "/varz")["slow_consumers"], 1);
    // The rest of the stream ends without a word of error.
    let rest = slow.rest();
    assert!(!rest.contains("-ERR"));
    publisher.publish("flood", "after".into()).await.unwrap();
    assert_eq!(next_text(&mut fine).await, "after");
}

#[tokio::test]
async fn lame_duck_tells_clients_and_ends() {
    let mut server = configured("lame_duck_grace_period: \"100ms\"\nlame_duck_duration: \"30s\"\n");
    let mut raw = Raw::connect(&server, r#"{"verbose":false,"protocol":1}"#);
    let mut old = Raw::connect(&server, r#"{"verbose":false,"protocol":0}"#);
    let killed = std::process::Command::new("kill")
        .args(["-USR2", &server.pid().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let info = crate::common::info_of(&raw.line());
    assert_eq!(info["ldm"], true);
    // No new clients, but those here are still served for the grace period.
    assert_eq!(raw.rest(), "");
    assert_eq!(old.rest(), "");
    server.wait(DEADLINE).unwrap();
    assert!(server.log().contains("lame duck"));
}

#[tokio::test]
async fn max_connections_is_kept() {
    let server = configured("max_connections: 3\n");
    let mut held: Vec<Raw> =
        (0..3).map(|_| Raw::connect(&server, r#"{"verbose":false}"#)).collect();
    let mut over = Raw::open(&server);
    assert_eq!(over.rest(), "-ERR 'maximum connections exceeded'\r\n");
    for raw in &mut held {
        raw.sync();
    }
    drop(held.pop());
    until("a place is free", || async {
        let mut raw = Raw::open(&server);
        raw.send("PING\r\n");
        (raw.line() == "PONG").then_some(())
    })
    .await;
}

#[tokio::test]
async fn max_connections_holds_against_a_rush() {
    let server = configured("max_connections: 4\n");
    let address = server.url.trim_start_matches("nats://").to_owned();
    let sockets: Vec<_> =
        (0..40).map(|_| std::net::TcpStream::connect(&address).unwrap()).collect();
    until("all are decided", || async {
        let v = crate::common::doc(&server, "/varz");
        (v["total_connections"] == 40).then_some(())
    })
    .await;
    let v = crate::common::doc(&server, "/varz");
    assert!(v["connections"].as_u64().unwrap() <= 4, "{v}");
    drop(sockets);
}

#[tokio::test]
async fn services_of_many_clients_keep_order_per_publisher() {
    let server = Server::start().unwrap();
    let mut subs = Vec::new();
    for _ in 0..4 {
        let c = connect(&server).await;
        subs.push((c.subscribe("order.>").await.unwrap(), c.clone()));
        sync(&c).await;
    }
    let mut tasks = Vec::new();
    for p in 0..4 {
        let c = connect(&server).await;
        tasks.push(tokio::spawn(async move {
            for i in 0..2000 {
                c.publish(format!("order.{p}"), i.to_string().into()).await.unwrap();
            }
            c.flush().await.unwrap();
        }));
    }
    for (sub, _) in &mut subs {
        let mut expected = BTreeMap::new();
        for _ in 0..8000 {
            let m = next(sub).await;
            let n: u32 = text(&m.payload).parse().unwrap();
            let want = expected.entry(m.subject.to_string()).or_insert(0);
            assert_eq!(n, *want);
            *want += 1;
        }
    }
    for t in tasks {
        within(t).await.unwrap();
    }
}
