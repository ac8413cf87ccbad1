//! Attempts at what permissions and the borders between accounts forbid.

use crate::common::{Raw, configured, doc, login, next, sync, until, within};
use async_nats::jetstream::{self, stream::Config};
use futures_util::StreamExt;

const API: &str = r#"
jetstream: enabled
accounts {
  A: {
    jetstream: enabled
    users: [
      {user: owner, password: p}
      {user: low, password: p, permissions: {
        publish: ["orders.>", "$JS.API.DIRECT.GET.ORDERS", "ask", "no.such.subject"], subscribe: "_INBOX.>"
      }}
    ]
    imports: [{service: {account: B, subject: "ask"}}]
  }
  B: { users: [{user: b, password: p}], exports: [{service: "ask"}] }
}
"#;

/// Who may choose where an answer goes is not thereby allowed to purge a stream.
#[tokio::test]
async fn an_answer_is_no_request_to_the_server() {
    const PURGE: &str = "$JS.API.STREAM.PURGE.OTHER";
    let server = configured(API);
    let (owner, low) = (login(&server, "owner", "p").await, login(&server, "low", "p").await);
    let b = login(&server, "b", "p").await;
    let js = jetstream::new(owner.clone());
    let stream = |name: &str, subject: &str| Config {
        name: name.into(),
        subjects: vec![subject.into()],
        allow_direct: true,
        ..Default::default()
    };
    within(js.create_stream(stream("OTHER", "other"))).await.unwrap();
    let republished = jetstream::stream::Republish {
        source: "orders.api.>".into(),
        destination: "$JS.API.>".into(),
        headers_only: false,
    };
    let orders = Config { republish: Some(republished), ..stream("ORDERS", "orders.>") };
    within(js.create_stream(orders)).await.unwrap();
    for _ in 0..3 {
        within(js.publish("other", "kept".into())).await.unwrap().await.unwrap();
    }
    let mut asked = b.subscribe("ask").await.unwrap();
    sync(&b).await;
    let mut seen = owner.subscribe(PURGE).await.unwrap();
    sync(&owner).await;

    // What was stored, answered to where purges are asked for.
    let stored = within(low.request("orders.1", "{}".into())).await.unwrap();
    assert!(stored.payload.starts_with(b"{\"stream\":\"ORDERS\""), "{stored:?}");
    let first = "{\"seq\":1}".into();
    low.publish_with_reply("$JS.API.DIRECT.GET.ORDERS", PURGE, first).await.unwrap();
    assert_eq!(next(&mut seen).await.payload, "{}");
    // What is stored, published again there.
    low.publish("orders.api.STREAM.PURGE.OTHER", "".into()).await.unwrap();
    assert_eq!(next(&mut seen).await.payload, "");
    // What somebody in another account answers.
    low.publish_with_reply("ask", PURGE, "".into()).await.unwrap();
    let question = within(asked.next()).await.unwrap();
    b.publish(question.reply.unwrap(), "".into()).await.unwrap();
    assert_eq!(next(&mut seen).await.payload, "");

    let other = within(js.get_stream("OTHER")).await.unwrap();
    assert_eq!(other.get_info().await.unwrap().state.messages, 3);
    // Who may ask still can.
    assert_eq!(within(other.purge()).await.unwrap().purged, 3);
}

const TABLE: &str = r#"
max_control_line: 65536
accounts {
  A: { users: [{user: a, password: p}], exports: [{service: "slow.*", response: stream}] }
  B: { users: [{user: b, password: p}], imports: [{service: {account: A, subject: "slow.b"}}] }
  C: { users: [{user: c, password: p}], imports: [{service: {account: A, subject: "slow.c"}}] }
}
"#;

/// Requests that wait for answers are bounded, and one account that has as many as
/// it can leaves room for those of others.
#[tokio::test]
async fn one_account_does_not_use_up_a_service_for_the_others() {
    const CONNECT: &str = r#"{"user":"USER","pass":"p","verbose":false,"headers":true,"no_responders":true,"protocol":0}"#;
    let server = configured(TABLE);
    let (a, c) = (login(&server, "a", "p").await, login(&server, "c", "p").await);
    let mut silent = Raw::connect(&server, &CONNECT.replace("USER", "a"));
    silent.send("SUB slow.b 1\r\n");
    silent.sync();
    std::thread::spawn(move || std::io::copy(silent.stream(), &mut std::io::sink()));
    let mut greedy = Raw::connect(&server, &CONNECT.replace("USER", "b"));
    greedy.send("SUB _INBOX.> 1\r\n");
    let mut refused = |inbox: &str| {
        // Without an answer each waits until its time is over.
        greedy.send(&format!("PUB slow.b {inbox} 0\r\n\r\n").repeat(100));
        greedy.send("PING\r\n");
        std::iter::from_fn(|| Some(greedy.line()).filter(|l| l != "PONG")).count() > 0
    };
    let long = format!("_INBOX.{}", "x".repeat(60_000));
    let batches = (0..100).find(|_| refused(&long)).expect("there is a limit");
    assert!(batches > 4, "only {batches} batches were taken");
    // Short ones use what is left.
    assert!((0..100).any(|_| refused("_INBOX.x")));

    let mut asked = a.subscribe("slow.c").await.unwrap();
    sync(&a).await;
    let answer = tokio::spawn(async move {
        let m = next(&mut asked).await;
        a.publish(m.reply.unwrap(), "answer".into()).await.unwrap();
        a
    });
    let answered = within(c.request("slow.c", "".into())).await.unwrap();
    assert_eq!(answered.payload, "answer");
    drop(within(answer).await);
}

/// One connection that has many requests waiting cannot keep the server from its
/// work by ending subscriptions that may have been for their answers.
#[tokio::test]
async fn lost_interest_is_looked_for_without_holding_up_others() {
    let server = configured(TABLE);
    let mut silent = Raw::connect(&server, r#"{"user":"a","pass":"p","verbose":false}"#);
    silent.send("SUB slow.b 1\r\n");
    silent.sync();
    std::thread::spawn(move || std::io::copy(silent.stream(), &mut std::io::sink()));
    let mut b = Raw::connect(&server, r#"{"user":"b","pass":"p","verbose":false}"#);
    b.send("SUB _INBOX.> 1\r\n");
    for n in 0..20_000 {
        b.send(&format!("PUB slow.b _INBOX.{n} 0\r\n\r\n"));
    }
    b.sync();
    let waiting = || {
        let account = doc(&server, "/accountz?acc=A")["account_detail"].clone();
        account["responses"].as_object().map_or(0, serde_json::Map::len)
    };
    assert!(waiting() > 1000);
    b.send(&"SUB > 2\r\nUNSUB 2\r\n".repeat(3000));
    b.sync();
    assert!(waiting() > 1000);
    b.send("UNSUB 1\r\n");
    until("nobody waits any more", || async { (waiting() == 0).then_some(()) }).await;
}
