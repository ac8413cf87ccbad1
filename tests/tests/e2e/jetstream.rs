//! Streams: configuration, publishing rules, limits, reading, copies.

use crate::common::{
    api, call, connect, next, publish, pull, start, state, stored, stream, text, until, within,
};
use serde_json::{Value, json};

#[tokio::test]
async fn streams_are_made_changed_listed_and_deleted() {
    let mut server = start();
    let c = connect(&server).await;
    let none = Value::Null;
    for i in 0..5 {
        stream(&c, &format!("S{i}"), json!({ "subjects": [format!("s{i}.>")] })).await;
    }
    // The same again is the same; something else under that name is an error.
    stream(&c, "S1", json!({ "subjects": ["s1.>"] })).await;
    let other = json!({ "name": "S1", "subjects": ["x"], "storage": "file" });
    assert_eq!(call(&c, "STREAM.CREATE.S1", other).await["error"]["err_code"], 10058);
    let overlap = json!({ "name": "O", "subjects": ["s1.a"], "storage": "file" });
    assert_eq!(call(&c, "STREAM.CREATE.O", overlap).await["error"]["err_code"], 10065);
    let change =
        json!({ "name": "S1", "subjects": ["s1.>", "more"], "max_msgs": 7, "storage": "file" });
    let changed = api(&c, "STREAM.UPDATE.S1", change).await;
    assert_eq!(changed["config"]["max_msgs"], 7);
    let names = api(&c, "STREAM.NAMES", none.clone()).await;
    assert_eq!(names["streams"], json!(["S0", "S1", "S2", "S3", "S4"]));
    let found = api(&c, "STREAM.NAMES", json!({ "subject": "more" })).await;
    assert_eq!(found["streams"], json!(["S1"]));
    assert_eq!(api(&c, "STREAM.DELETE.S0", none.clone()).await["success"], true);
    assert_eq!(call(&c, "STREAM.INFO.S0", none.clone()).await["error"]["err_code"], 10059);
    let e = within(c.request("s0.x", "".into())).await.unwrap_err();
    assert_eq!(e.kind(), async_nats::RequestErrorKind::NoResponders);
    server.restart().unwrap();
    let c = connect(&server).await;
    assert_eq!(api(&c, "STREAM.LIST", none.clone()).await["total"], 4);
    assert_eq!(api(&c, "STREAM.INFO.S1", none).await["config"], changed["config"]);
}

#[tokio::test]
async fn limits_drop_old_or_refuse_new() {
    let server = start();
    let c = connect(&server).await;
    stream(&c, "OLD", json!({ "subjects": ["old.*"], "max_msgs": 3 })).await;
    stream(&c, "PER", json!({ "subjects": ["per.*"], "max_msgs_per_subject": 1 })).await;
    stream(&c, "NEW", json!({ "subjects": ["new.*"], "max_msgs": 2, "discard": "new" })).await;
    stream(
        &c,
        "BOTH",
        json!({ "subjects": ["both.*"], "max_msgs_per_subject": 1, "discard": "new",
            "max_msgs": 10, "discard_new_per_subject": true }),
    )
    .await;
    stream(&c, "BYTES", json!({ "subjects": ["bytes"], "max_bytes": 1000 })).await;
    stream(&c, "SIZE", json!({ "subjects": ["size"], "max_msg_size": 10 })).await;
    for i in 0..5u64 {
        assert_eq!(publish(&c, "old.a", &[], "x").await["seq"], i + 1);
        publish(&c, "per.a", &[], &i.to_string()).await;
        publish(&c, "per.b", &[], &i.to_string()).await;
        publish(&c, "bytes", &[], &"y".repeat(400)).await;
    }
    let s = state(&c, "OLD").await;
    assert_eq!(
        (&s["messages"], &s["first_seq"], &s["last_seq"]),
        (&json!(3), &json!(3), &json!(5))
    );
    let s = state(&c, "PER").await;
    assert_eq!((&s["messages"], &s["first_seq"]), (&json!(2), &json!(9)));
    let s = state(&c, "BYTES").await;
    assert!(s["bytes"].as_u64().unwrap() <= 1000 && s["messages"] == 2, "{s}");
    publish(&c, "new.a", &[], "1").await;
    publish(&c, "new.b", &[], "2").await;
    assert_eq!(publish(&c, "new.c", &[], "3").await["error"]["err_code"], 10077);
    publish(&c, "both.a", &[], "1").await;
    assert_eq!(publish(&c, "both.a", &[], "2").await["error"]["err_code"], 10077);
    assert_eq!(publish(&c, "both.b", &[], "1").await["seq"], 2);
    assert_eq!(publish(&c, "size", &[], "0123456789").await["seq"], 1);
    assert_eq!(publish(&c, "size", &[], "0123456789a").await["error"]["err_code"], 10054);
}

#[tokio::test]
async fn messages_age_out() {
    let server = start();
    let c = connect(&server).await;
    let config = json!({ "subjects": ["aged", "own.*"], "max_age": 300_000_000u64,
        "duplicate_window": 100_000_000u64 });
    stream(&c, "AGE", config).await;
    stream(&c, "TTL", json!({ "subjects": ["ttl.*"], "allow_msg_ttl": true })).await;
    publish(&c, "aged", &[], "x").await;
    publish(&c, "ttl.short", &[("Nats-TTL", "1s")], "x").await;
    publish(&c, "ttl.long", &[("Nats-TTL", "1h")], "x").await;
    publish(&c, "ttl.never", &[], "x").await;
    assert_eq!(
        publish(&c, "ttl.bad", &[("Nats-TTL", "soon")], "x").await["error"]["err_code"],
        10165
    );
    until("the aged message goes", || async {
        (state(&c, "AGE").await["messages"] == 0).then_some(())
    })
    .await;
    let s = until("the short one goes", || async {
        let s = state(&c, "TTL").await;
        (s["messages"] == 2).then_some(s)
    })
    .await;
    assert_eq!(s["first_seq"], 2);
}

#[tokio::test]
async fn work_queue_and_interest_drop_what_is_acked() {
    let server = start();
    let c = connect(&server).await;
    stream(&c, "WQ", json!({ "subjects": ["wq.*"], "retention": "workqueue" })).await;
    stream(&c, "IN", json!({ "subjects": ["in.*"], "retention": "interest" })).await;
    publish(&c, "in.a", &[], "nobody cares").await;
    assert_eq!(state(&c, "IN").await["messages"], 0);
    for (s, names) in [("WQ", &["one"][..]), ("IN", &["one", "two"])] {
        for name in names {
            let config = json!({ "stream_name": s, "config": { "durable_name": name,
                "ack_policy": "explicit" } });
            api(&c, &format!("CONSUMER.DURABLE.CREATE.{s}.{name}"), config).await;
        }
    }
    let second =
        json!({ "stream_name": "WQ", "config": { "durable_name": "b", "ack_policy": "explicit" } });
    let refused = call(&c, "CONSUMER.DURABLE.CREATE.WQ.b", second).await;
    assert_eq!(refused["error"]["err_code"], 10099);
    publish(&c, "wq.a", &[], "job").await;
    publish(&c, "in.a", &[], "news").await;
    for (s, name, left) in [("WQ", "one", 0), ("IN", "one", 1), ("IN", "two", 0)] {
        let m = pull(&c, s, name).await;
        within(c.request(m.reply.unwrap(), "+ACK".into())).await.unwrap();
        assert_eq!(state(&c, s).await["messages"], left, "{s} after {name}");
    }
}

#[tokio::test]
async fn duplicates_expectations_and_rollups() {
    let server = start();
    let c = connect(&server).await;
    stream(&c, "E", json!({ "subjects": ["e.*"], "allow_rollup_hdrs": true })).await;
    let id = [("Nats-Msg-Id", "one")];
    assert_eq!(publish(&c, "e.a", &id, "x").await["seq"], 1);
    let again = publish(&c, "e.a", &id, "x").await;
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(1), &json!(true)));
    let cases = [
        ("e.a", "Nats-Expected-Stream", "OTHER", Err(10060)),
        ("e.a", "Nats-Expected-Stream", "E", Ok(2)),
        ("e.a", "Nats-Expected-Last-Sequence", "1", Err(10071)),
        ("e.a", "Nats-Expected-Last-Sequence", "2", Ok(3)),
        ("e.b", "Nats-Expected-Last-Subject-Sequence", "3", Err(10071)),
        ("e.b", "Nats-Expected-Last-Subject-Sequence", "0", Ok(4)),
        ("e.b", "Nats-Expected-Last-Msg-Id", "one", Err(10070)),
        ("e.b", "Nats-Rollup", "most", Err(10111)),
        ("e.a", "Nats-Rollup", "sub", Ok(5)),
    ];
    for (subject, header, value, wanted) in cases {
        let ack = publish(&c, subject, &[(header, value)], "x").await;
        match wanted {
            Ok(seq) => assert_eq!(ack["seq"], seq, "{header}: {value}: {ack}"),
            Err(code) => assert_eq!(ack["error"]["err_code"], code, "{header}: {value}: {ack}"),
        }
    }
    let s = state(&c, "E").await;
    assert_eq!((&s["messages"], &s["first_seq"]), (&json!(2), &json!(4)));
    publish(&c, "e.c", &[("Nats-Rollup", "all")], "x").await;
    assert_eq!(state(&c, "E").await["messages"], 1);
}

#[tokio::test]
async fn messages_are_read_deleted_and_purged() {
    let server = start();
    let c = connect(&server).await;
    stream(&c, "R", json!({ "subjects": ["r.*"], "allow_direct": true })).await;
    for i in 1..=10 {
        publish(&c, &format!("r.{}", i % 2), &[("N", "v")], &format!("m{i}")).await;
    }
    assert_eq!(stored(&c, "R", 3).await, Ok("m3".into()));
    assert_eq!(stored(&c, "R", 11).await, Err(10037));
    let direct = |body: Value| {
        let c = c.clone();
        async move { within(c.request("$JS.API.DIRECT.GET.R", body.to_string().into())).await.unwrap() }
    };
    let m = direct(json!({ "last_by_subj": "r.1" })).await;
    let headers = m.headers.unwrap();
    assert_eq!(headers.get("Nats-Sequence").unwrap().as_str(), "9");
    assert_eq!((headers.get("N").unwrap().as_str(), text(&m.payload)), ("v", "m9".to_owned()));
    let m = direct(json!({ "seq": 4, "next_by_subj": "r.1" })).await;
    assert_eq!(text(&m.payload), "m5");
    assert_eq!(direct(json!({ "seq": 99 })).await.status.unwrap().as_u16(), 404);
    let m = within(c.request("$JS.API.DIRECT.GET.R.r.0", "".into())).await.unwrap();
    assert_eq!(text(&m.payload), "m10");
    api(&c, "STREAM.MSG.DELETE.R", json!({ "seq": 3 })).await;
    assert_eq!(stored(&c, "R", 3).await, Err(10037));
    assert_eq!(state(&c, "R").await["num_deleted"], 1);
    assert_eq!(api(&c, "STREAM.PURGE.R", json!({ "filter": "r.0", "keep": 1 })).await["purged"], 4);
    assert_eq!(api(&c, "STREAM.PURGE.R", json!({ "seq": 7 })).await["purged"], 2);
    let s = state(&c, "R").await;
    assert_eq!(
        (&s["messages"], &s["first_seq"], &s["last_seq"]),
        (&json!(3), &json!(7), &json!(10))
    );
    assert_eq!(api(&c, "STREAM.PURGE.R", Value::Null).await["purged"], 3);
    assert_eq!(state(&c, "R").await["first_seq"], 11);
}

#[tokio::test]
async fn mirrors_and_sources_follow() {
    let mut server = start();
    let c = connect(&server).await;
    stream(&c, "A", json!({ "subjects": ["a.*"] })).await;
    stream(&c, "B", json!({ "subjects": ["b.*"] })).await;
    for i in 0..20 {
        publish(&c, "a.x", &[], &format!("a{i}")).await;
        publish(&c, "b.x", &[], &format!("b{i}")).await;
    }
    stream(&c, "M", json!({ "mirror": { "name": "A" } })).await;
    let sources = json!({ "sources": [{ "name": "A", "filter_subject": "a.x" },
        { "name": "B", "subject_transforms": [{ "src": "b.*", "dest": "from.b.{{wildcard(1)}}" }] }] });
    stream(&c, "S", sources).await;
    let reach = async |c: &async_nats::Client, name: &'static str, n: u64| {
        until(name, || async { (state(c, name).await["messages"] == n).then_some(()) }).await;
    };
    reach(&c, "M", 20).await;
    reach(&c, "S", 40).await;
    for i in 1..=20 {
        assert_eq!(stored(&c, "M", i).await, Ok(format!("a{}", i - 1)));
    }
    let last = api(&c, "STREAM.MSG.GET.S", json!({ "last_by_subj": "from.b.x" })).await;
    assert_eq!(last["message"]["subject"], "from.b.x");
    server.restart().unwrap();
    let c = connect(&server).await;
    publish(&c, "a.x", &[], "a20").await;
    reach(&c, "M", 21).await;
    reach(&c, "S", 41).await;
}

#[tokio::test]
async fn republish_and_transform() {
    let server = start();
    let c = connect(&server).await;
    let config = json!({ "subjects": ["in.*"],
        "subject_transform": { "src": "in.*", "dest": "kept.{{wildcard(1)}}" },
        "republish": { "src": "kept.>", "dest": "news.>" } });
    stream(&c, "T", config).await;
    let mut news = c.subscribe("news.>").await.unwrap();
    publish(&c, "in.a", &[], "hello").await;
    let m = next(&mut news).await;
    assert_eq!((m.subject.as_str(), text(&m.payload)), ("news.a", "hello".to_owned()));
    let headers = m.headers.unwrap();
    assert_eq!(headers.get("Nats-Stream").unwrap().as_str(), "T");
    assert_eq!(headers.get("Nats-Subject").unwrap().as_str(), "kept.a");
    assert_eq!(headers.get("Nats-Sequence").unwrap().as_str(), "1");
    let got = api(&c, "STREAM.MSG.GET.T", json!({ "seq": 1 })).await;
    assert_eq!(got["message"]["subject"], "kept.a");
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let mut server = start();
    let c = connect(&server).await;
    stream(&c, "K", json!({ "subjects": ["k.*"], "metadata": { "own": "er" } })).await;
    stream(&c, "MEM", json!({ "subjects": ["mem"], "storage": "memory" })).await;
    for i in 1..=100 {
        publish(
            &c,
            &format!("k.{}", i % 7),
            &[("Nats-Msg-Id", &format!("id{i}"))],
            &format!("m{i}"),
        )
        .await;
        publish(&c, "mem", &[], "x").await;
    }
    api(&c, "STREAM.MSG.DELETE.K", json!({ "seq": 50 })).await;
    let config =
        json!({ "stream_name": "K", "config": { "durable_name": "d", "ack_policy": "explicit" } });
    api(&c, "CONSUMER.DURABLE.CREATE.K.d", config).await;
    for _ in 0..10 {
        let m = pull(&c, "K", "d").await;
        within(c.request(m.reply.unwrap(), "+ACK".into())).await.unwrap();
    }
    let before =
        api(&c, "STREAM.INFO.K", json!({ "deleted_details": true, "subjects_filter": ">" })).await;
    let consumer = api(&c, "CONSUMER.INFO.K.d", Value::Null).await;
    for kill in [false, true] {
        if kill {
            server.kill_and_restart().unwrap();
        } else {
            server.restart().unwrap();
        }
        let c = connect(&server).await;
        let after =
            api(&c, "STREAM.INFO.K", json!({ "deleted_details": true, "subjects_filter": ">" }))
                .await;
        assert_eq!(after["state"], before["state"]);
        assert_eq!(after["config"], before["config"]);
        assert_eq!(after["created"], before["created"]);
        let consumer_after = api(&c, "CONSUMER.INFO.K.d", Value::Null).await;
        for key in [
            "/config",
            "/created",
            "/ack_floor/stream_seq",
            "/ack_floor/consumer_seq",
            "/num_pending",
            "/num_ack_pending",
        ] {
            assert_eq!(consumer_after.pointer(key), consumer.pointer(key), "{key}");
        }
        let again = publish(&c, "k.1", &[("Nats-Msg-Id", "id99")], "x").await;
        assert_eq!((&again["duplicate"], &again["seq"]), (&json!(true), &json!(99)));
        let memory = call(&c, "STREAM.INFO.MEM", Value::Null).await;
        assert_eq!(memory["error"]["err_code"], 10059, "memory is forgotten");
    }
    let c = connect(&server).await;
    let m = pull(&c, "K", "d").await;
    assert_eq!(text(&m.payload), "m11");
}
