//! The documents of the monitoring endpoints.

use crate::common::{
    Raw, api, configured, connect, doc, get, login, next, publish, start, stream, sync, until,
};
use serde_json::{Value, json};

#[tokio::test]
async fn connections_and_subscriptions_are_shown() {
    let server = start();
    let c = connect(&server).await;
    let mut sub = c.subscribe("mon.*").await.unwrap();
    for _ in 0..3 {
        c.publish("mon.x", "12345".into()).await.unwrap();
        next(&mut sub).await;
    }
    let varz = doc(&server, "/varz");
    assert_eq!(
        (&varz["connections"], &varz["in_msgs"], &varz["out_msgs"]),
        (&json!(1), &json!(3), &json!(3))
    );
    assert_eq!((&varz["in_bytes"], &varz["version"]), (&json!(15), &json!("2.15.1")));
    let mut raw = Raw::connect(&server, r#"{"verbose":false,"name":"bare","lang":"raw"}"#);
    raw.send("SUB deep.> q 9\r\n");
    raw.sync();
    let connz = doc(&server, "/connz?subs=detail");
    assert_eq!(connz["num_connections"], 2);
    let rows = connz["connections"].as_array().unwrap();
    let bare = rows.iter().find(|r| r["name"] == "bare").unwrap();
    assert_eq!((&bare["lang"], &bare["subscriptions"]), (&json!("raw"), &json!(1)));
    let detail = &bare["subscriptions_list_detail"][0];
    assert_eq!((&detail["subject"], &detail["qgroup"]), (&json!("deep.>"), &json!("q")));
    let cid = bare["cid"].as_u64().unwrap();
    assert_eq!(doc(&server, &format!("/connz?cid={cid}"))["connections"][0]["name"], "bare");
    let subsz = doc(&server, "/subsz?subs=1&test=deep.a.b");
    let list = subsz["subscriptions_list"].as_array().unwrap();
    assert!(list.iter().any(|s| s["subject"] == "deep.>"), "{subsz}");
    // connz measured the round trip: an unread PING would make it a reset.
    raw.sync();
    drop(raw);
    until("it is closed", || async {
        let closed = doc(&server, "/connz?state=closed");
        let rows = closed["connections"].as_array()?;
        let row = rows.iter().find(|r| r["name"] == "bare")?;
        assert_eq!(row["reason"], "Client Closed");
        Some(())
    })
    .await;
    assert_eq!(get(&server, "/nothing").0, 404);
}

#[tokio::test]
async fn jetstream_is_shown_and_healthy() {
    let server = start();
    let c = connect(&server).await;
    stream(&c, "J", json!({ "subjects": ["j"] })).await;
    for _ in 0..4 {
        publish(&c, "j", &[], "x").await;
    }
    let config =
        json!({ "stream_name": "J", "config": { "durable_name": "d", "ack_policy": "explicit" } });
    api(&c, "CONSUMER.DURABLE.CREATE.J.d", config).await;
    let jsz = doc(&server, "/jsz?acc=$G&streams=1&consumers=1&config=1");
    assert_eq!(
        (&jsz["streams"], &jsz["consumers"], &jsz["messages"]),
        (&json!(1), &json!(1), &json!(4))
    );
    let detail = &jsz["account_details"][0]["stream_detail"][0];
    assert_eq!((&detail["name"], &detail["state"]["messages"]), (&json!("J"), &json!(4)));
    assert_eq!(detail["consumer_detail"][0]["name"], "d");
    for path in
        ["/healthz", "/healthz?js-enabled-only=1", "/healthz?account=$G&stream=J&consumer=d"]
    {
        assert_eq!(doc(&server, path)["status"], "ok", "{path}");
    }
    assert_eq!(get(&server, "/healthz?account=$G&stream=NONE").0, 404);
    assert_eq!(get(&server, "/healthz?stream=J").0, 400);
    let accounts = doc(&server, "/accountz");
    assert!(accounts["accounts"].as_array().unwrap().contains(&json!("$G")));
    assert_eq!(doc(&server, "/accountz?acc=$G")["account_detail"]["account_name"], "$G");
    let (status, metrics) = get(&server, "/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("gust_connections_total 1"), "{metrics}");
    for line in metrics.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let value = line.rsplit(' ').next().and_then(|v| v.parse::<f64>().ok());
        assert!(value.is_some(), "no sample: {line:?}");
    }
}

#[test]
fn health_needs_jetstream_only_where_it_is_configured() {
    let server = configured("ping_interval: \"1m\"\n");
    assert_eq!(get(&server, "/healthz").0, 200);
    assert_eq!(get(&server, "/healthz?js-enabled-only=1").0, 200);
}

#[tokio::test]
async fn traffic_is_counted_per_account() {
    let server = configured(
        "accounts { A { users: [{user: a, password: p}] }, B { users: [{user: b, password: p}] } }\n",
    );
    let a = login(&server, "a", "p").await;
    let mut sub = a.subscribe("x").await.unwrap();
    for _ in 0..5 {
        a.publish("x", "1234".into()).await.unwrap();
        next(&mut sub).await;
    }
    let of = |name: &str| -> Value {
        let all = doc(&server, "/accstatz?unused=1");
        let rows = all["account_statz"].as_array().unwrap();
        rows.iter().find(|r| r["acc"] == name).unwrap().clone()
    };
    let live = of("A");
    assert_eq!((&live["received"]["msgs"], &live["received"]["bytes"]), (&json!(5), &json!(20)));
    assert_eq!((&live["sent"]["msgs"], &live["sent"]["bytes"]), (&json!(5), &json!(20)));
    assert_eq!(of("B")["received"]["msgs"], 0);
    // It stays counted when the connection is gone.
    let mut raw = Raw::connect(&server, r#"{"user":"b","pass":"p","verbose":false}"#);
    raw.send("PUB y 3\r\nabc\r\n");
    raw.sync();
    drop(raw);
    until("the connection is gone", || async { (of("B")["conns"] == 0).then_some(()) }).await;
    let gone = of("B");
    assert_eq!((&gone["received"]["msgs"], &gone["received"]["bytes"]), (&json!(1), &json!(3)));
    sync(&a).await;
}
