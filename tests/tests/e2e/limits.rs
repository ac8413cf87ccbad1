//! JetStream limits of accounts and of the server.

use crate::common::{api, call, configured, connect, login, publish, state, stream};
use gust_tests::process::Server;
use serde_json::{Value, json};

#[tokio::test]
async fn limits_of_accounts_are_kept_apart() {
    let server = Server::with(
        &["-js"],
        Some(
            r#"accounts {
            A { jetstream: { max_mem: 1MB, max_file: 10MB, max_streams: 2, max_consumers: 1 }, users: [{user: a, password: p}] }
            B { jetstream: enabled, users: [{user: b, password: p}] }
            C { users: [{user: c, password: p}] } }"#,
        ),
    )
    .unwrap();
    let (a, b, c) = (
        login(&server, "a", "p").await,
        login(&server, "b", "p").await,
        login(&server, "c", "p").await,
    );
    assert_eq!(call(&c, "INFO", Value::Null).await["error"]["err_code"], 10039);
    stream(&a, "S", json!({ "subjects": ["s"] })).await;
    stream(&b, "S", json!({ "subjects": ["s"] })).await;
    stream(&a, "M", json!({ "subjects": ["m"], "storage": "memory" })).await;
    let third = json!({ "name": "T", "subjects": ["t"], "storage": "file" });
    assert_eq!(call(&a, "STREAM.CREATE.T", third.clone()).await["error"]["err_code"], 10027);
    api(&b, "STREAM.CREATE.T", third).await;
    let consumer = |n: &str| json!({ "stream_name": "S", "config": { "durable_name": n, "ack_policy": "explicit" } });
    api(&a, "CONSUMER.DURABLE.CREATE.S.one", consumer("one")).await;
    let second = call(&a, "CONSUMER.DURABLE.CREATE.S.two", consumer("two")).await;
    assert_eq!(second["error"]["err_code"], 10026);
    publish(&a, "s", &[], "of a").await;
    assert_eq!(state(&b, "S").await["messages"], 0);
    let body = "x".repeat(100_000);
    let mut stored = 0;
    let refused = loop {
        let ack = publish(&a, "m", &[], &body).await;
        match ack["error"]["err_code"].as_u64() {
            Some(code) => break code,
            None => stored += 1,
        }
        assert!(stored < 20, "1 MB hold {stored} times 100 kB");
    };
    assert_eq!(refused, 10002);
    assert!(stored >= 10, "refused after {stored} times 100 kB");
    let info = api(&a, "INFO", Value::Null).await;
    assert_eq!((&info["streams"], &info["limits"]["max_streams"]), (&json!(2), &json!(2)));
    assert!(info["memory"].as_u64().unwrap() >= 1_000_000, "{info}");
    let too_much =
        json!({ "name": "S", "subjects": ["s"], "storage": "file", "max_bytes": 20 << 20 });
    assert_eq!(call(&a, "STREAM.UPDATE.S", too_much).await["error"]["err_code"], 10047);
}

#[tokio::test]
async fn limits_of_the_server() {
    let server =
        configured("jetstream { max_mem: 1MB, max_file: 1GB, limits { max_request_batch: 5 } }\n");
    let c = connect(&server).await;
    let config =
        json!({ "name": "M", "subjects": ["m"], "storage": "memory", "max_bytes": 2 << 20 });
    assert_eq!(call(&c, "STREAM.CREATE.M", config).await["error"]["err_code"], 10028);
    stream(&c, "M", json!({ "subjects": ["m"], "storage": "memory" })).await;
    let body = "x".repeat(200_000);
    let mut stored = 0;
    while publish(&c, "m", &[], &body).await.get("error").is_none() {
        stored += 1;
        assert!(stored < 10);
    }
    assert!(stored >= 5);
}

#[tokio::test]
async fn batches_of_a_stream_are_limited_by_configuration() {
    let server = configured("jetstream { limits { batch { max_msgs: 2 } } }\n");
    let c = connect(&server).await;
    stream(&c, "B", json!({ "subjects": ["b"], "allow_atomic": true })).await;
    let send = |seq: u64, commit: bool| {
        let c = c.clone();
        async move {
            let mut h = async_nats::HeaderMap::new();
            h.insert("Nats-Batch-Id", "x");
            h.insert("Nats-Batch-Sequence", seq.to_string().as_str());
            if commit {
                h.insert("Nats-Batch-Commit", "1");
            }
            let answer = c.request_with_headers("b", h, "m".into()).await.unwrap();
            if answer.payload.is_empty() {
                return Value::Null;
            }
            serde_json::from_slice::<Value>(&answer.payload).unwrap()
        }
    };
    assert_eq!(send(1, false).await, Value::Null);
    assert_eq!(send(2, false).await, Value::Null);
    assert_eq!(send(3, true).await["error"]["err_code"], 10199);
    assert_eq!(state(&c, "B").await["messages"], 0);
}
