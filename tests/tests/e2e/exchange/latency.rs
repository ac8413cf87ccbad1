//! How long services take, as their account is told.

use super::*;

const MEASURED: &str = r#"
accounts {
  A: {
    users: [{user: a, password: a}]
    exports: [
      {service: "all", latency: lat, threshold: "50ms"}
      {service: "asked", latency: {subject: lat, sampling: headers}}
    ]
  }
  B: {
    users: [{user: b, password: b}]
    imports: [
      {service: {account: A, subject: "all"}}
      {service: {account: A, subject: "all"}, to: "all.shared", share: true}
      {service: {account: A, subject: "asked"}}
    ]
  }
}
"#;

async fn event(lat: &mut async_nats::Subscriber) -> Value {
    let m = next(lat).await;
    let event: Value = serde_json::from_slice(&m.payload).unwrap();
    assert_eq!(event["type"], "io.nats.server.metric.v1.service_latency");
    assert!(event["id"].is_string() && event["timestamp"].is_string());
    assert!(event["start"].is_string());
    event
}

async fn measured() -> (Server, Client, Client, async_nats::Subscriber) {
    let server = configured(MEASURED);
    let (a, b) = (login(&server, "a", "a").await, login(&server, "b", "b").await);
    let lat = a.subscribe("lat").await.unwrap();
    sync(&a).await;
    (server, a, b, lat)
}

#[tokio::test]
async fn an_answer_is_measured_on_both_sides() {
    let (_server, a, b, mut lat) = measured().await;
    let mut service = a.subscribe("all").await.unwrap();
    sync(&a).await;
    for (subject, shared) in [("all", false), ("all.shared", true)] {
        let b = b.clone();
        let asking = tokio::spawn(async move { b.request(subject, "".into()).await });
        let reply = next(&mut service).await.reply.unwrap();
        assert!(reply.ends_with(".T"), "a measured reply says so: {reply}");
        a.publish(reply, "answer".into()).await.unwrap();
        within(asking).await.unwrap().unwrap();
        let event = event(&mut lat).await;
        assert_eq!(event["status"], 200);
        assert_eq!(
            (&event["requestor"]["acc"], &event["responder"]["user"]),
            (&"B".into(), &"a".into())
        );
        assert_eq!(event["requestor"]["user"] == "b", shared, "{event}");
        let [service, system, total] =
            ["service", "system", "total"].map(|key| event[key].as_i64().unwrap());
        assert!(total > 0 && service >= 0 && system >= 0 && total >= service, "{event}");
    }
}

#[tokio::test]
async fn what_is_not_answered_is_told_with_a_reason() {
    let (_server, a, b, mut lat) = measured().await;
    within(b.request("all", "".into())).await.unwrap_err();
    let none = event(&mut lat).await;
    assert_eq!(
        (&none["status"], &none["description"]),
        (&503.into(), &"Service Unavailable".into())
    );
    assert!(none.get("responder").is_none());

    let mut service = a.subscribe("*").await.unwrap();
    let mut inbox = b.subscribe("inbox").await.unwrap();
    sync(&a).await;
    sync(&b).await;
    b.publish("all", "".into()).await.unwrap();
    while next(&mut service).await.subject.as_str() != "all" {}
    let bad = event(&mut lat).await;
    assert_eq!((&bad["status"], &bad["description"]), (&400.into(), &"Bad Request".into()));

    b.publish_with_reply("all", "inbox", "".into()).await.unwrap();
    let late = event(&mut lat).await;
    assert_eq!((&late["status"], &late["description"]), (&504.into(), &"Service Timeout".into()));

    b.publish_with_reply("asked", "inbox", "".into()).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("X-B3-Sampled", "1");
    b.publish_with_reply_and_headers("asked", "inbox", headers, "".into()).await.unwrap();
    while next(&mut service).await.subject.as_str() != "asked" {}
    while next(&mut service).await.subject.as_str() != "asked" {}
    inbox.unsubscribe().await.unwrap();
    let lost = event(&mut lat).await;
    assert_eq!((&lost["status"], &lost["description"]), (&408.into(), &"Request Timeout".into()));
    assert_eq!(lost["header"]["X-B3-Sampled"][0], "1");
}
