//! Accounts that share streams and services, and nothing else.

mod jetstream;
mod latency;
mod tokens;

use crate::common::{Raw, configured, doc, login, next, next_text, sync, text, until, within};
use crate::reload::reloaded;
use async_nats::{Client, HeaderMap, RequestErrorKind};
use futures_util::StreamExt;
use gust_tests::process::Server;
use serde_json::Value;

const TWO: &str = r#"
accounts {
  A: {
    users: [{user: a, password: a}]
    exports: [
      {stream: "feed.>"}, {stream: "only.c", accounts: [C]}, {stream: "my.*", account_token_position: 2}
      {service: "one.*"}, {service: "many", response: stream}, {service: "slow", threshold: "50ms"}
      {service: "chained", accounts: [B]}
    ]
    mappings: {"one.old": "one.new"}
  }
  B: {
    users: [
      {user: b, password: b}
      {user: narrow, password: n, permissions: {subscribe: ["from.feed.ok", "from.>", "_INBOX.>"], publish: {deny: "here.no"}}}
      {user: less, password: n, permissions: {subscribe: {allow: ["from.feed.*"], deny: ["from.feed.secret"]}}}
    ]
    imports: [
      {stream: {account: A, subject: "feed.>"}, prefix: from}
      {stream: {account: A, subject: "feed.*.*"}, to: "turned.$2.$1"}
      {stream: {account: A, subject: "my.B"}}
      {service: {account: A, subject: "one.*"}, to: "here.*"}
      {service: {account: A, subject: "one.shared"}, to: shared, share: true}
      {service: {account: A, subject: many}}
      {service: {account: A, subject: slow}}
      {service: {account: A, subject: chained}, to: "link"}
    ]
    exports: [{service: "link"}]
  }
  C: {
    users: [{user: c, password: c}]
    imports: [{service: {account: B, subject: link}, to: "far.link"}]
  }
}
"#;

async fn two() -> (Server, Client, Client) {
    let server = configured(TWO);
    let (a, b) = (login(&server, "a", "a").await, login(&server, "b", "b").await);
    (server, a, b)
}

/// Messages that are there once the server has processed all from `clients`:
/// their subjects and payloads.
async fn received(
    sub: &mut async_nats::Subscriber,
    own: &Client,
    clients: &[&Client],
) -> Vec<(String, String)> {
    for client in clients {
        sync(client).await;
    }
    sync(own).await;
    there(sub)
}

/// What a subscription to everything has received by now.
async fn everything(all: &mut async_nats::Subscriber, own: &Client) -> Vec<(String, String)> {
    own.publish("the.end", "".into()).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let m = next(all).await;
        if m.subject.as_str() == "the.end" {
            return seen;
        }
        if m.subject.as_str() != "no.such.subject" && !m.subject.starts_with("_INBOX.") {
            seen.push((m.subject.to_string(), text(&m.payload)));
        }
    }
}

/// Messages that are there already.
fn there(sub: &mut async_nats::Subscriber) -> Vec<(String, String)> {
    let mut all = Vec::new();
    while let Some(Some(m)) = futures_util::FutureExt::now_or_never(sub.next()) {
        all.push((m.subject.to_string(), text(&m.payload)));
    }
    all
}

async fn account(server: &Server, name: &str) -> Value {
    doc(server, &format!("/accountz?acc={name}"))["account_detail"].clone()
}

/// Who listens to `subject` in an account.
fn listeners(server: &Server, account: &str, subject: &str) -> Vec<Value> {
    let subs = doc(server, &format!("/subsz?acc={account}&subs=1&test={subject}"));
    subs["subscriptions_list"].as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_stream_comes_under_its_names_here_once_per_import() {
    let (_server, a, b) = two().await;
    let mut all = b.subscribe(">").await.unwrap();
    let mut one = b.subscribe("from.feed.one").await.unwrap();
    let mut turned = b.subscribe("turned.*.x").await.unwrap();
    assert_eq!(everything(&mut all, &b).await, []);
    for subject in ["feed.one", "feed.x.y", "feed.a.b.c", "other", "my.B", "my.C", "only.c"] {
        a.publish(subject, subject.into()).await.unwrap();
    }
    sync(&a).await;
    let mut got = everything(&mut all, &b).await;
    got.sort();
    let want = [
        ("from.feed.a.b.c", "feed.a.b.c"),
        ("from.feed.one", "feed.one"),
        ("from.feed.x.y", "feed.x.y"),
        ("my.B", "my.B"),
        ("turned.y.x", "feed.x.y"),
    ];
    let want: Vec<_> = want.map(|(s, p)| (s.to_owned(), p.to_owned())).into();
    assert_eq!(got, want);
    assert_eq!(there(&mut one).len(), 1);
    assert_eq!(there(&mut turned), [("turned.y.x".into(), "feed.x.y".into())]);
}

#[tokio::test]
async fn nothing_else_crosses() {
    let (server, a, b) = two().await;
    let c = login(&server, "c", "c").await;
    let mut in_a = a.subscribe(">").await.unwrap();
    let mut in_c = c.subscribe(">").await.unwrap();
    everything(&mut in_a, &a).await;
    everything(&mut in_c, &c).await;
    a.publish("only.c", "exported, not imported".into()).await.unwrap();
    a.publish("feed.one", "x".into()).await.unwrap();
    b.publish("from.feed.one", "names here are not names there".into()).await.unwrap();
    b.publish("feed.one", "x".into()).await.unwrap();
    b.publish("one.x", "imported under another name".into()).await.unwrap();
    sync(&b).await;
    let seen = everything(&mut in_a, &a).await;
    let seen: Vec<_> = seen.iter().map(|(s, _)| s.as_str()).collect();
    assert_eq!(seen, ["only.c", "feed.one"]);
    assert_eq!(everything(&mut in_c, &c).await, []);
}

#[tokio::test]
async fn a_shadow_counts_and_groups_as_its_original() {
    let (server, a, b) = two().await;
    let b2 = login(&server, "b", "b").await;
    let mut two = b.subscribe("from.feed.n").await.unwrap();
    two.unsubscribe_after(2).await.unwrap();
    let mut group = b.queue_subscribe("from.feed.n", "g".into()).await.unwrap();
    let mut group2 = b2.queue_subscribe("from.feed.n", "g".into()).await.unwrap();
    sync(&b).await;
    sync(&b2).await;
    for n in 0..20 {
        a.publish("feed.n", n.to_string().into()).await.unwrap();
    }
    assert_eq!(received(&mut two, &b, &[&a]).await.len(), 2);
    let n = received(&mut group, &b, &[]).await.len() + received(&mut group2, &b2, &[]).await.len();
    assert_eq!(n, 20);
    // With the subscriptions the shadows go: nobody is left in A.
    drop((two, group, group2));
    let server = &server;
    until("the shadows are gone", || async {
        listeners(server, "A", "feed.n").is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn permissions_apply_to_the_names_here() {
    let (server, a, _b) = two().await;
    let narrow = login(&server, "narrow", "n").await;
    let less = login(&server, "less", "n").await;
    let mut wide = less.subscribe("from.feed.*").await.unwrap();
    let mut denied = narrow.subscribe("turned.>").await.unwrap();
    narrow.flush().await.unwrap();
    less.flush().await.unwrap();
    sync(&narrow).await;
    // One round trip of a user that may not have an inbox.
    let on = &server;
    until("the subscription stands", || async {
        (!listeners(on, "A", "feed.x").is_empty()).then_some(())
    })
    .await;
    for subject in ["feed.secret", "feed.x.y", "feed.x"] {
        a.publish(subject, subject.into()).await.unwrap();
    }
    assert_eq!(next_text(&mut wide).await, "feed.x");
    assert_eq!(received(&mut denied, &narrow, &[&a]).await, []);
    // Publishing to an import is publishing here.
    let mut answers = a.subscribe("one.no").await.unwrap();
    sync(&a).await;
    narrow.publish("here.no", "x".into()).await.unwrap();
    assert_eq!(received(&mut answers, &a, &[&narrow]).await, []);
}

#[tokio::test]
async fn a_request_is_answered_once_across() {
    let (_server, a, b) = two().await;
    let mut service = a.subscribe("one.*").await.unwrap();
    sync(&a).await;
    let asking = tokio::spawn({
        let b = b.clone();
        async move { b.request("here.x", "question".into()).await }
    });
    let m = next(&mut service).await;
    assert_eq!((m.subject.as_str(), text(&m.payload).as_str()), ("one.x", "question"));
    let reply = m.reply.unwrap();
    let parts: Vec<usize> = reply.split('.').map(str::len).collect();
    assert!(reply.starts_with("_R_.") && parts == [3, 6, 6], "{reply}");
    let info: Value =
        serde_json::from_str(m.headers.unwrap().get("Nats-Request-Info").unwrap().as_str())
            .unwrap();
    assert_eq!(info["acc"], "B");
    assert!(info["rtt"].as_u64().unwrap() > 0);
    assert_eq!(info.as_object().unwrap().len(), 2, "no more is shared: {info}");
    let mut headers = HeaderMap::new();
    headers.insert("Answered", "yes");
    a.publish_with_headers(reply.clone(), headers, "answer".into()).await.unwrap();
    let answer = within(asking).await.unwrap().unwrap();
    assert_eq!(text(&answer.payload), "answer");
    assert_eq!(answer.headers.unwrap().get("Answered").unwrap().as_str(), "yes");
    assert!(answer.subject.starts_with("_INBOX."));

    // A second answer goes nowhere.
    let mut inbox = b.subscribe("own.inbox").await.unwrap();
    sync(&b).await;
    b.publish_with_reply("here.y", "own.inbox", "".into()).await.unwrap();
    let reply = next(&mut service).await.reply.unwrap();
    a.publish(reply.clone(), "1".into()).await.unwrap();
    a.publish(reply, "2".into()).await.unwrap();
    assert_eq!(received(&mut inbox, &b, &[&a]).await.len(), 1);
}

#[tokio::test]
async fn a_requester_may_show_itself_and_cannot_pose_as_another() {
    let (_server, a, b) = two().await;
    let mut service = a.subscribe("one.*").await.unwrap();
    sync(&a).await;
    let mut forged = HeaderMap::new();
    forged.insert("Nats-Request-Info", r#"{"acc":"SYS"}"#);
    b.publish_with_headers("shared", forged, "".into()).await.unwrap();
    let m = next(&mut service).await;
    let headers = m.headers.unwrap();
    assert_eq!(headers.get_all("Nats-Request-Info").count(), 1);
    let info: Value =
        serde_json::from_str(headers.get("Nats-Request-Info").unwrap().as_str()).unwrap();
    for (key, want) in
        [("acc", "B"), ("user", "b"), ("lang", "rust"), ("kind", "Client"), ("client_type", "nats")]
    {
        assert_eq!(info[key], want, "{info}");
    }
    assert!(
        info["id"].as_u64().unwrap() > 0 && info["start"].is_string() && info["host"].is_string()
    );
}

#[tokio::test]
async fn without_a_responder_there_is_none_for_the_requester() {
    let (server, _a, b) = two().await;
    let e = within(b.request("here.x", "".into())).await.unwrap_err();
    assert_eq!(e.kind(), RequestErrorKind::NoResponders);
    let c = login(&server, "c", "c").await;
    let e = within(c.request("far.link", "".into())).await.unwrap_err();
    assert_eq!(e.kind(), RequestErrorKind::NoResponders);
    let mut raw = Raw::connect(
        &server,
        r#"{"verbose":false,"user":"b","pass":"b","headers":true,"no_responders":true}"#,
    );
    raw.send("SUB r 1\r\nPUB here.x r 0\r\n\r\n");
    assert_eq!(raw.line(), "HMSG r 1 38 38");
    assert_eq!(raw.line(), "NATS/1.0 503");
    assert_eq!(raw.line(), "Nats-Subject: here.x");
    assert_eq!(account(&server, "A").await["responses"], Value::Null);
}

#[tokio::test]
async fn the_exporters_mappings_apply_to_requests() {
    let (_server, a, b) = two().await;
    let mut service = a.subscribe("one.*").await.unwrap();
    sync(&a).await;
    b.publish("here.old", "".into()).await.unwrap();
    assert_eq!(next(&mut service).await.subject.as_str(), "one.new");
}

#[tokio::test]
async fn a_request_crosses_two_borders() {
    let (server, a, _b) = two().await;
    let c = login(&server, "c", "c").await;
    let mut service = a.subscribe("chained").await.unwrap();
    sync(&a).await;
    let asking = tokio::spawn(async move { c.request("far.link", "question".into()).await });
    let m = next(&mut service).await;
    let info: Value =
        serde_json::from_str(m.headers.unwrap().get("Nats-Request-Info").unwrap().as_str())
            .unwrap();
    assert_eq!((&info["acc"], &info["svc"]), (&"C".into(), &"B".into()));
    a.publish(m.reply.unwrap(), "answer".into()).await.unwrap();
    assert_eq!(text(&within(asking).await.unwrap().unwrap().payload), "answer");
    for name in ["A", "B"] {
        assert_eq!(account(&server, name).await["responses"], Value::Null, "{name}");
    }
}

#[tokio::test]
async fn many_answers_come_until_an_empty_one_or_nobody_listens() {
    let (server, a, b) = two().await;
    let mut service = a.subscribe("many").await.unwrap();
    let mut inbox = b.subscribe("own.inbox").await.unwrap();
    sync(&a).await;
    sync(&b).await;
    b.publish_with_reply("many", "own.inbox", "".into()).await.unwrap();
    let reply = next(&mut service).await.reply.unwrap();
    for payload in ["1", "2", "", "3"] {
        a.publish(reply.clone(), payload.into()).await.unwrap();
    }
    let got = received(&mut inbox, &b, &[&a]).await;
    let got: Vec<_> = got.iter().map(|(_, p)| p.as_str()).collect();
    assert_eq!(got, ["1", "2", ""]);
    assert_eq!(account(&server, "A").await["responses"], Value::Null);

    b.publish_with_reply("many", "own.inbox", "".into()).await.unwrap();
    next(&mut service).await;
    assert_eq!(account(&server, "A").await["responses"].as_object().unwrap().len(), 1);
    drop(inbox);
    let server = &server;
    until("nothing waits", || async {
        account(server, "A").await["responses"].is_null().then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_not_answered_in_time_is_forgotten() {
    let (server, a, b) = two().await;
    let mut service = a.subscribe("slow").await.unwrap();
    let mut inbox = b.subscribe("own.inbox").await.unwrap();
    sync(&a).await;
    sync(&b).await;
    b.publish_with_reply("slow", "own.inbox", "".into()).await.unwrap();
    let reply = next(&mut service).await.reply.unwrap();
    let server = &server;
    until("nothing waits", || async {
        account(server, "A").await["responses"].is_null().then_some(())
    })
    .await;
    a.publish(reply, "too late".into()).await.unwrap();
    assert_eq!(received(&mut inbox, &b, &[&a]).await, []);
}

#[tokio::test]
async fn accountz_shows_both_sides() {
    let (server, _a, _b) = two().await;
    let a = account(&server, "A").await;
    let exports = a["exports"].as_array().unwrap();
    assert_eq!(exports.len(), 7);
    assert_eq!(exports[1]["approved_accounts"][0], "C");
    assert_eq!(exports[4]["response_type"], "Streamed");
    assert_eq!(a["mappings"]["one.old"][0]["subject"], "one.new");
    let b = account(&server, "B").await;
    let imports = b["imports"].as_array().unwrap();
    // Besides what every account may ask of the system.
    assert_eq!(imports.iter().filter(|i| i["account"] != "$SYS").count(), 8);
    let service = imports.iter().find(|i| i["local_subject"] == "here.*").unwrap();
    assert_eq!((&service["subject"], &service["type"]), (&"one.*".into(), &"service".into()));
    assert_eq!(service["invalid"], false);
}

#[test]
fn a_check_of_the_configuration_finds_what_does_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wrong.conf");
    let config = r#"accounts { A: {}, B: {imports: [{stream: {account: A, subject: x}}]} }"#;
    std::fs::write(&path, config).unwrap();
    let checked = std::process::Command::new(gust_tests::process::binary())
        .args(["-t", "-c"])
        .arg(&path)
        .output()
        .unwrap();
    let said = text(&checked.stderr);
    assert!(!checked.status.success());
    assert!(said.contains("wrong.conf:1:"), "it says where: {said}");
    assert!(
        said.contains("Error adding stream import \"x\": stream import not authorized"),
        "{said}"
    );
}

#[test]
fn an_import_without_an_export_is_refused_by_name() {
    let config = r#"accounts {
      A: {users: [{user: a, password: a}]}
      B: {users: [{user: b, password: b}], imports: [{service: {account: A, subject: "x"}}]}
    }"#;
    let error = format!("{:#}", Server::with(&[], Some(config)).unwrap_err());
    let want = "Error adding service import \"x\": service import not authorized (account \"B\" \
                imports from account \"A\")";
    assert!(error.contains(want), "{error}");
}

#[tokio::test]
async fn many_requests_at_once_and_requesters_that_leave() {
    let (server, a, _b) = two().await;
    let mut service = a.queue_subscribe("one.*", "workers".into()).await.unwrap();
    sync(&a).await;
    let answering = tokio::spawn(async move {
        while let Some(m) = service.next().await {
            if let Some(reply) = m.reply {
                a.publish(reply, m.payload).await.unwrap();
            }
        }
    });
    let mut asking = Vec::new();
    for n in 0..8 {
        let b = login(&server, "b", "b").await;
        asking.push(tokio::spawn(async move {
            for i in 0..100 {
                let question = format!("{n}.{i}");
                let answer = b.request("here.x", question.clone().into()).await.unwrap();
                assert_eq!(text(&answer.payload), question);
            }
            // Nobody waits for this one.
            b.publish_with_reply("many", b.new_inbox(), "".into()).await.unwrap();
        }));
    }
    for one in asking {
        within(one).await.unwrap();
    }
    answering.abort();
    assert_eq!(account(&server, "A").await["responses"], Value::Null);
}

#[tokio::test]
async fn mappings_know_their_cluster() {
    let server = configured(
        r#"cluster { name: here, listen: "127.0.0.1:-1" }
        accounts { A: {
          users: [{user: a, password: a}]
          mappings: {
            m: [{destination: ours, weight: "100%", cluster: here}, {destination: other, weight: "100%"}]
            n: [{destination: ours, weight: "100%", cluster: there}, {destination: other, weight: "100%"}]
          }
        }}"#,
    );
    let a = login(&server, "a", "a").await;
    let mut all = a.subscribe("*").await.unwrap();
    a.publish("m", "1".into()).await.unwrap();
    a.publish("n", "2".into()).await.unwrap();
    assert_eq!(next(&mut all).await.subject.as_str(), "ours");
    assert_eq!(next(&mut all).await.subject.as_str(), "other");
}

#[tokio::test]
async fn a_responder_that_may_only_answer() {
    let server = configured(
        r#"accounts {
          A: {
            users: [{user: a, password: a, permissions: {subscribe: "svc", publish: [], allow_responses: true}}]
            exports: [{service: svc}]
          }
          B: {users: [{user: b, password: b}], imports: [{service: {account: A, subject: svc}}]}
        }"#,
    );
    let (a, b) = (login(&server, "a", "a").await, login(&server, "b", "b").await);
    let mut service = a.subscribe("svc").await.unwrap();
    let server = &server;
    until("it listens", || async { (!listeners(server, "A", "svc").is_empty()).then_some(()) })
        .await;
    let asking = tokio::spawn(async move { b.request("svc", "".into()).await });
    let reply = next(&mut service).await.reply.unwrap();
    a.publish(reply, "answer".into()).await.unwrap();
    assert_eq!(text(&within(asking).await.unwrap().unwrap().payload), "answer");
}

#[tokio::test]
async fn imports_come_and_go_with_a_reload() {
    let text = |imports: &str| {
        format!(
            r#"accounts {{
              A: {{users: [{{user: a, password: a}}], exports: [{{stream: "feed.>"}}, {{service: "one"}}]}}
              B: {{users: [{{user: b, password: b}}], imports: [{imports}]}}
            }}"#
        )
    };
    const BOTH: &str =
        r#"{stream: {account: A, subject: "feed.>"}}, {service: {account: A, subject: one}}"#;
    let mut server = configured(&text(BOTH));
    let (a, b) = (login(&server, "a", "a").await, login(&server, "b", "b").await);
    let mut feed = b.subscribe("feed.x").await.unwrap();
    let mut inbox = b.subscribe("own.inbox").await.unwrap();
    let mut service = a.subscribe("one").await.unwrap();
    sync(&a).await;
    sync(&b).await;
    a.publish("feed.x", "1".into()).await.unwrap();
    assert_eq!(next_text(&mut feed).await, "1");
    b.publish_with_reply("one", "own.inbox", "".into()).await.unwrap();
    let reply = next(&mut service).await.reply.unwrap();

    reloaded(&mut server, &text("")).await;
    a.publish("feed.x", "2".into()).await.unwrap();
    a.publish(reply, "late".into()).await.unwrap();
    assert_eq!(received(&mut feed, &b, &[&a]).await, []);
    assert_eq!(there(&mut inbox), [], "an answer on its way stops with its import");
    let e = within(b.request("one", "".into())).await.unwrap_err();
    assert_eq!(e.kind(), RequestErrorKind::NoResponders);

    reloaded(&mut server, &text(&BOTH.replace("}}, {service", "}, prefix: other}, {service")))
        .await;
    let mut other = b.subscribe("other.feed.x").await.unwrap();
    sync(&b).await;
    a.publish("feed.x", "3".into()).await.unwrap();
    assert_eq!(next(&mut other).await.subject.as_str(), "other.feed.x");
    assert_eq!(there(&mut feed), []);

    reloaded(&mut server, &text(BOTH)).await;
    a.publish("feed.x", "4".into()).await.unwrap();
    assert_eq!(next_text(&mut feed).await, "4");
    b.publish("one", "again".into()).await.unwrap();
    assert_eq!(next_text(&mut service).await, "again");
    assert_eq!(there(&mut other), []);

    // A reload with an import that no export covers changes nothing.
    let wrong = text(r#"{stream: {account: A, subject: "else"}}"#);
    let said = crate::reload::reload(&mut server, &wrong).await;
    assert!(said.contains("stream import not authorized"), "{said}");
    a.publish("feed.x", "5".into()).await.unwrap();
    assert_eq!(next_text(&mut feed).await, "5");
}

#[tokio::test]
async fn the_sample_starts() {
    let server = configured(include_str!("../../../config/samples/accounts-exchange.conf"));
    let shop = login(&server, "shop", "change-me").await;
    let reports = login(&server, "reports", "change-me").await;
    let mut news = reports.subscribe("shop.news.*").await.unwrap();
    let mut bills = reports.subscribe("bills.new.REPORTS").await.unwrap();
    sync(&reports).await;
    shop.publish("news.today", "open".into()).await.unwrap();
    shop.publish("bills.new.REPORTS", "5".into()).await.unwrap();
    assert_eq!(next(&mut news).await.subject.as_str(), "shop.news.today");
    assert_eq!(next_text(&mut bills).await, "5");
}
