//! The system account: its events, its services, and that nobody else sees or
//! can do any of it.

use crate::common::{Raw, configured, connect, login, next, options, sync, text, within};
use async_nats::{Client, HeaderMap, Subscriber};
use gust_tests::process::Server;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

/// A system account, two others and the global one.
const CONFIG: &str = r#"
server_name: one
server_tags: ["Zone:a", blue]
accounts {
  SYS { users: [{user: sys, password: sys}] }
  A {
    users: [
      {user: a, password: pa},
      {user: limited, password: pl, permissions: {
        publish: {allow: ["x.>", "$SYS.REQ.USER.INFO"], deny: "x.no"},
        subscribe: ">", allow_responses: {max: 2, expires: "1m"}}}
    ]
  }
  B { users: [{user: b, password: pb}] }
}
authorization { users: [{user: g, password: pg}] }
system_account: SYS
"#;

async fn system(server: &Server) -> Client {
    login(server, "sys", "sys").await
}

async fn listen(client: &Client, subject: &str) -> Subscriber {
    let sub = client.subscribe(subject.to_owned()).await.unwrap();
    sync(client).await;
    sub
}

async fn event(sub: &mut Subscriber) -> Value {
    serde_json::from_slice(&next(sub).await.payload).unwrap()
}

async fn ask(client: &Client, subject: &str, body: Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = within(client.request(subject.to_owned(), body.into())).await;
    serde_json::from_slice(&answer.unwrap_or_else(|e| panic!("{subject}: {e}")).payload).unwrap()
}

/// The server has handled the request and did not answer it.
async fn silent(client: &Client, subject: &str, body: Value) {
    let inbox = client.new_inbox();
    let mut sub = client.subscribe(inbox.clone()).await.unwrap();
    client
        .publish_with_reply(subject.to_owned(), inbox.clone(), body.to_string().into())
        .await
        .unwrap();
    // Answers of services come in turn; this one ends the wait.
    client.publish_with_reply("$SYS.REQ.SERVER.PING.IDZ", inbox, "".into()).await.unwrap();
    let first: Value = serde_json::from_slice(&next(&mut sub).await.payload).unwrap();
    assert!(first.get("server").is_none(), "{subject} {body} is answered: {first}");
}

#[tokio::test]
async fn logins_and_their_ends_are_told() {
    let server = configured(CONFIG);
    let sys = system(&server).await;
    let mut on = listen(&sys, "$SYS.ACCOUNT.*.CONNECT").await;
    let mut off = listen(&sys, "$SYS.ACCOUNT.*.DISCONNECT").await;

    let a = within(options("a", "pa").name("worker").connect(&server.url)).await.unwrap();
    let m = next(&mut on).await;
    assert_eq!(m.subject.as_str(), "$SYS.ACCOUNT.A.CONNECT");
    let e: Value = serde_json::from_slice(&m.payload).unwrap();
    assert_eq!(e["type"], "io.nats.server.advisory.v1.client_connect");
    assert_eq!(e["id"].as_str().unwrap().len(), 22);
    let first = e.as_object().unwrap().keys().take(4).cloned().collect::<Vec<_>>();
    assert_eq!(first, ["type", "id", "timestamp", "server"]);
    assert_eq!(e["server"]["name"], "one");
    assert_eq!(e["server"]["id"].as_str().unwrap().len(), 56);
    let seq = e["server"]["seq"].as_u64().unwrap();
    let client = &e["client"];
    assert_eq!(client["acc"], "A");
    assert_eq!(client["user"], "a");
    assert_eq!(client["name"], "worker");
    assert_eq!(client["lang"], "rust");
    assert_eq!(client["kind"], "Client");
    assert_eq!(client["client_type"], "nats");
    assert_eq!(client["name_tag"], "A");
    assert!(client.get("stop").is_none() && client.get("rtt").is_none(), "{client}");

    a.publish("x", "12345".into()).await.unwrap();
    let mut own = a.subscribe("x").await.unwrap();
    a.publish("x", "123".into()).await.unwrap();
    next(&mut own).await;
    within(a.drain()).await.unwrap();
    let e = event(&mut off).await;
    assert_eq!(e["type"], "io.nats.server.advisory.v1.client_disconnect");
    assert_eq!(e["client"]["user"], "a");
    assert!(e["client"]["stop"].is_string());
    assert_eq!(e["sent"], json!({ "msgs": 2, "bytes": 8 }));
    assert_eq!(e["received"], json!({ "msgs": 1, "bytes": 3 }));
    assert_eq!(e["reason"], "Client Closed");
    assert!(e["server"]["seq"].as_u64().unwrap() > seq);
}

#[tokio::test]
async fn refused_logins_are_told() {
    let server = configured(CONFIG);
    let sys = system(&server).await;
    let id = sys.server_info().server_id;
    let mut errors = listen(&sys, &format!("$SYS.SERVER.{id}.CLIENT.AUTH.ERR")).await;
    let mut off = listen(&sys, "$SYS.ACCOUNT.*.DISCONNECT").await;
    let global = login(&server, "g", "pg").await;
    let mut inside = listen(&global, "$SYS.ACCOUNT.CLIENT.AUTH.ERR").await;

    for (connect, user) in [
        (r#"{"user":"a","pass":"wrong","name":"n"}"#, json!("a")),
        (r#"{"user":"who","pass":"wrong"}"#, json!("who")),
        (r#"{"auth_token":"wrong"}"#, json!("[REDACTED]")),
        ("{}", Value::Null),
    ] {
        let mut raw = Raw::open(&server);
        raw.send(&format!("CONNECT {connect}\r\nPING\r\n"));
        assert_eq!(raw.rest(), "-ERR 'Authorization Violation'\r\n");
        for sub in [&mut errors, &mut off, &mut inside] {
            let e = event(sub).await;
            assert_eq!(e["type"], "io.nats.server.advisory.v1.client_disconnect");
            assert_eq!(e["client"]["user"], user, "{e}");
            assert_eq!(e["client"]["acc"], "$G");
            assert_eq!(e["reason"], "Authentication Failure");
            assert!(!e.to_string().contains("wrong"), "{e}");
        }
    }
    // Whoever says something else first has no name.
    let mut raw = Raw::open(&server);
    raw.send("PING\r\n");
    raw.rest();
    assert_eq!(event(&mut errors).await["client"]["user"], Value::Null);
    assert_eq!(event(&mut off).await["reason"], "Authentication Failure");
}

#[tokio::test]
async fn numbers_of_connections_are_told_but_not_each() {
    let server = configured(CONFIG);
    let sys = system(&server).await;
    let mut new = listen(&sys, "$SYS.ACCOUNT.*.SERVER.CONNS").await;
    let mut old = listen(&sys, "$SYS.SERVER.ACCOUNT.*.CONNS").await;
    let global = login(&server, "g", "pg").await;
    let a = login(&server, "a", "pa").await;
    for sub in [&mut new, &mut old] {
        // Nothing about the global account comes before.
        let e = event(sub).await;
        assert_eq!(e["type"], "io.nats.server.advisory.v1.account_connections");
        assert_eq!(e["acc"], "A");
        assert_eq!(
            (&e["conns"], &e["total_conns"], &e["leafnodes"]),
            (&json!(1), &json!(1), &json!(0))
        );
        assert_eq!(e["sent"]["gateways"], json!({ "msgs": 0, "bytes": 0 }));
    }
    drop(a);
    let rush: u64 = 300;
    let mut clients = Vec::new();
    for _ in 0..rush {
        clients.push(Raw::connect(&server, r#"{"user":"b","pass":"pb","verbose":false}"#));
    }
    let mut events = 0;
    loop {
        let e = event(&mut new).await;
        if e["acc"] == "B" {
            events += 1;
            if e["conns"] == rush {
                break;
            }
        }
    }
    assert!(events < rush, "{events} events for {rush} connections");
    drop((global, clients));
}

#[tokio::test]
async fn statistics_come_to_subscribers() {
    let server = configured(CONFIG);
    let sys = system(&server).await;
    let id = sys.server_info().server_id;
    let mut sub = listen(&sys, &format!("$SYS.SERVER.{id}.STATSZ")).await;
    let e = event(&mut sub).await;
    assert_eq!(e["server"]["tags"], json!(["zone:a", "blue"]));
    assert_eq!(e["statsz"]["active_servers"], 1);
    assert_eq!(e["statsz"]["connections"], 1);
    assert!(e["statsz"]["mem"].as_u64().unwrap() > 0);
    // Asked for without a reply, they are published to all.
    sys.publish("$SYS.REQ.SERVER.PING", "".into()).await.unwrap();
    let again = event(&mut sub).await;
    assert!(again["server"]["seq"].as_u64() > e["server"]["seq"].as_u64());
    let answer = ask(&sys, "$SYS.REQ.SERVER.PING", Value::Null).await;
    assert_eq!(answer["statsz"]["active_accounts"], 1);
}

#[tokio::test]
async fn the_end_is_told() {
    let mut server = configured(CONFIG);
    let sys = system(&server).await;
    let id = sys.server_info().server_id;
    let mut sub = listen(&sys, &format!("$SYS.SERVER.{id}.SHUTDOWN")).await;
    server.stop().unwrap();
    let e = event(&mut sub).await;
    assert_eq!(e["id"], id.as_str());
    assert!(e["seq"].is_u64() && e.get("type").is_none());

    let mut server = configured(&format!(
        "{CONFIG}\nlame_duck_duration: \"31s\"\nlame_duck_grace_period: \"100ms\"\n"
    ));
    let sys = system(&server).await;
    let id = sys.server_info().server_id;
    let mut sub = listen(&sys, &format!("$SYS.SERVER.{id}.*")).await;
    Command::new("kill").args(["-USR2", &server.pid().to_string()]).status().unwrap();
    let m = next(&mut sub).await;
    assert!(m.subject.ends_with(".LAMEDUCK"), "{}", m.subject);
    server.wait(Duration::from_secs(30)).unwrap();
}

#[tokio::test]
async fn clients_are_kicked_and_told_to_move() {
    let server = configured(CONFIG);
    let sys = system(&server).await;
    let id = sys.server_info().server_id;
    let (kick, ldm) = (format!("$SYS.REQ.SERVER.{id}.KICK"), format!("$SYS.REQ.SERVER.{id}.LDM"));
    let mut off = listen(&sys, "$SYS.ACCOUNT.A.DISCONNECT").await;
    let mut raw = Raw::connect(&server, r#"{"user":"a","pass":"pa","verbose":false,"protocol":1}"#);
    let cid = raw.info["client_id"].clone();

    let done = ask(&sys, &ldm, json!({ "cid": cid })).await;
    assert_eq!(done.as_object().unwrap().keys().collect::<Vec<_>>(), ["server"]);
    let info = raw.line();
    assert!(info.starts_with("INFO ") && info.contains(r#""ldm":true"#), "{info}");
    raw.sync();

    assert!(ask(&sys, &kick, json!({ "cid": cid })).await.get("error").is_none());
    assert_eq!(raw.rest(), "");
    assert_eq!(event(&mut off).await["reason"], "Kicked");

    for (subject, description) in
        [(&kick, "no such client or leafnode id"), (&ldm, "no such client id")]
    {
        for body in [json!({ "cid": cid }), json!({ "cid": 99_999 }), json!({}), Value::Null] {
            let answer = ask(&sys, subject, body).await;
            assert_eq!(answer["error"], json!({ "code": 500, "description": description }));
            assert!(answer.get("data").is_none());
        }
        assert_eq!(ask(&sys, subject, json!({ "cid": "x" })).await["error"]["code"], 400);
    }
    // Nobody outside the system account can.
    let a = login(&server, "a", "pa").await;
    let me = a.server_info().client_id;
    for subject in [&kick, &ldm] {
        let body = json!({ "cid": me }).to_string();
        let e = within(a.request(subject.clone(), body.into())).await.unwrap_err();
        assert_eq!(e.kind(), async_nats::RequestErrorKind::NoResponders);
    }
    sync(&a).await;
}

#[tokio::test]
async fn users_learn_who_they_are() {
    let server = configured(CONFIG);
    let info = |user: &'static str, pass: &'static str| {
        let server = &server;
        async move {
            let client = login(server, user, pass).await;
            ask(&client, "$SYS.REQ.USER.INFO", Value::Null).await["data"].clone()
        }
    };
    assert_eq!(info("a", "pa").await, json!({ "user": "a", "account": "A", "account_name": "A" }));
    assert_eq!(info("sys", "sys").await["account"], "SYS");
    assert_eq!(info("g", "pg").await["account"], "$G");
    let limited = info("limited", "pl").await;
    assert_eq!(
        limited["permissions"],
        json!({
            "publish": { "allow": ["x.>", "$SYS.REQ.USER.INFO"], "deny": ["x.no"] },
            "subscribe": { "allow": [">"] },
            "responses": { "max": 2, "ttl": 60_000_000_000_u64 },
        })
    );
}

#[tokio::test]
async fn requests_choose_their_servers() {
    let server = configured(CONFIG);
    let sys = system(&server).await;
    let id = sys.server_info().server_id;
    for filter in [
        json!({ "server_name": "on" }),
        json!({ "server_name": "one", "exact_match": true }),
        json!({ "host": "127.0" }),
        json!({ "tags": ["ZONE:A"] }),
        json!({ "tags": ["zone:a", "blue"] }),
    ] {
        let answer = ask(&sys, "$SYS.REQ.SERVER.PING.VARZ", filter).await;
        assert_eq!(answer["data"]["server_name"], "one");
    }
    for filter in [
        json!({ "server_name": "two" }),
        json!({ "server_name": "on", "exact_match": true }),
        json!({ "host": "10.0" }),
        json!({ "cluster": "c" }),
        json!({ "domain": "d" }),
        json!({ "tags": ["blue", "green"] }),
    ] {
        silent(&sys, "$SYS.REQ.SERVER.PING.VARZ", filter.clone()).await;
        silent(&sys, &format!("$SYS.REQ.SERVER.{id}.CONNZ"), filter).await;
    }
    silent(&sys, "$SYS.REQ.ACCOUNT.NOBODY.STATZ", json!({})).await;
    silent(&sys, "$SYS.REQ.ACCOUNT.B.CONNS", json!({})).await;
    for unknown in [format!("$SYS.REQ.SERVER.{id}.NOPE"), "$SYS.REQ.SERVER.NX.VARZ".to_owned()] {
        let e = within(sys.request(unknown, "".into())).await.unwrap_err();
        assert_eq!(e.kind(), async_nats::RequestErrorKind::NoResponders);
    }
    let answer =
        ask(&sys, &format!("$SYS.REQ.SERVER.{id}.ACCOUNTZ"), json!({ "account": "X" })).await;
    assert_eq!(answer["error"], json!({ "code": 500, "description": "Account X does not exist" }));
    let bad = within(sys.request("$SYS.REQ.SERVER.PING.VARZ", "{bad".into())).await.unwrap();
    let bad: Value = serde_json::from_slice(&bad.payload).unwrap();
    assert_eq!(bad["error"]["code"], 400);
}

#[tokio::test]
async fn every_document_can_be_asked_for() {
    let server = configured(CONFIG);
    let sys = system(&server).await;
    let a = login(&server, "a", "pa").await;
    let _sub = a.subscribe("orders.new").await.unwrap();
    sync(&a).await;
    let id = sys.server_info().server_id;
    for name in [
        "VARZ",
        "SUBSZ",
        "CONNZ",
        "ROUTEZ",
        "GATEWAYZ",
        "LEAFZ",
        "ACCOUNTZ",
        "JSZ",
        "HEALTHZ",
        "PROFILEZ",
        "EXPVARZ",
        "IPQUEUESZ",
        "RAFTZ",
    ] {
        for subject in
            [format!("$SYS.REQ.SERVER.PING.{name}"), format!("$SYS.REQ.SERVER.{id}.{name}")]
        {
            let answer = ask(&sys, &subject, Value::Null).await;
            assert!(answer["data"].is_object() && answer["server"]["id"] == *id, "{answer}");
        }
    }
    let account = |name: &str| format!("$SYS.REQ.ACCOUNT.A.{name}");
    let connz = ask(&sys, &account("CONNZ"), json!({ "auth": true })).await;
    assert_eq!(connz["data"]["total"], 1);
    assert_eq!(connz["data"]["connections"][0]["authorized_user"], "a");
    let subsz = ask(&sys, &account("SUBSZ"), Value::Null).await;
    assert!(subsz.to_string().contains("orders.new"));
    assert_eq!(ask(&sys, &account("LEAFZ"), Value::Null).await["data"]["leafnodes"], 0);
    assert_eq!(ask(&sys, &account("INFO"), Value::Null).await["data"]["account_name"], "A");
    let statz = ask(&sys, &account("STATZ"), Value::Null).await;
    assert_eq!(statz["data"]["account_statz"][0]["conns"], 1);
    assert_eq!(ask(&sys, &account("CONNS"), Value::Null).await["conns"], 1);
    let jsz = ask(&sys, &account("JSZ"), Value::Null).await;
    assert_eq!(jsz["error"]["description"], "jetstream not enabled");

    let rows = |answer: &Value| answer["data"]["account_statz"].as_array().unwrap().len();
    let ping = "$SYS.REQ.ACCOUNT.PING.STATZ";
    assert_eq!(rows(&ask(&sys, ping, Value::Null).await), 2);
    assert_eq!(rows(&ask(&sys, ping, json!({ "accounts": ["A", "B"] })).await), 1);
    let both = json!({ "accounts": ["A", "B"], "include_unused": true });
    assert_eq!(rows(&ask(&sys, ping, both).await), 2);

    let count = |body: &'static str| {
        let sys = sys.clone();
        async move {
            let answer = within(sys.request("$SYS.REQ.ACCOUNT.NSUBS", body.into())).await.unwrap();
            text(&answer.payload)
        }
    };
    assert_eq!(count(r#"{"acc":"A","subject":"orders.new"}"#).await, "1");
    assert_eq!(count(r#"{"acc":"A","subject":"orders.>"}"#).await, "1");
    assert_eq!(count(r#"{"acc":"A","subject":"orders.new","queue":"q"}"#).await, "0");
    let _queue = sys.queue_subscribe("jobs", "q".into()).await.unwrap();
    for (body, n) in [("jobs", "1"), ("jobs q", "1"), ("jobs other", "0"), ("*", "1"), ("", "0")] {
        let answer = within(sys.request("$SYS.DEBUG.SUBSCRIBERS", body.into())).await.unwrap();
        assert_eq!(text(&answer.payload), n, "{body}");
    }
}

#[tokio::test]
async fn answers_are_packed_for_those_who_ask() {
    let server = configured(CONFIG);
    let sys = system(&server).await;
    let packed = |encoding: &'static str, subject: &'static str| {
        let sys = sys.clone();
        async move {
            let mut headers = HeaderMap::new();
            headers.insert("Accept-Encoding", encoding);
            let m = within(sys.request_with_headers(subject, headers, "".into())).await.unwrap();
            let encoding =
                m.headers.and_then(|h| h.get("Content-Encoding").map(ToString::to_string));
            (encoding.unwrap_or_default(), m.payload)
        }
    };
    let varz = "$SYS.REQ.SERVER.PING.VARZ";
    let (encoding, body) = packed("snappy", varz).await;
    assert_eq!(encoding, "snappy");
    assert!(body.starts_with(b"\xff\x06\x00\x00sNaPpY"));
    let mut plain = Vec::new();
    gust_wire::s2::Decoder::new(1 << 20).decode(&body, &mut plain).unwrap();
    assert!(serde_json::from_slice::<Value>(&plain).unwrap()["data"]["server_id"].is_string());
    let (encoding, body) = packed("gzip", varz).await;
    assert_eq!((encoding.as_str(), &body[..2]), ("gzip", &b"\x1f\x8b"[..]));
    let (encoding, body) = packed("br", varz).await;
    assert_eq!((encoding.as_str(), body[0]), ("identity", b'{'));
    for subject in ["$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.IDZ"] {
        let (encoding, body) = packed("snappy", subject).await;
        assert_eq!((encoding.as_str(), body[0]), ("", b'{'));
    }
}

#[tokio::test]
async fn options_of_another_kind_are_refused() {
    let server = configured(CONFIG);
    let sys = system(&server).await;
    let a = login(&server, "a", "pa").await;
    for (service, options) in [
        ("VARZ", json!({ "server_name": 5 })),
        ("STATSZ", json!({ "tags": "blue" })),
        ("CONNZ", json!({ "state": "all" })),
        ("SUBSZ", json!({ "limit": 1.5 })),
        ("JSZ", json!({ "streams": "yes" })),
        ("RAFTZ", json!({ "group": 1 })),
        ("PROFILEZ", json!({ "duration": "5s" })),
        ("HEALTHZ", json!([])),
    ] {
        let answer = ask(&sys, &format!("$SYS.REQ.SERVER.PING.{service}"), options).await;
        assert_eq!(answer["error"]["code"], 400, "{answer}");
        assert!(answer["server"].is_object() && answer.get("data").is_none(), "{answer}");
        let text = answer["error"]["description"].as_str().unwrap();
        assert!(text.starts_with("json: cannot unmarshal"), "{text}");
    }
    // What the service does not know does no harm, and case makes no difference.
    let options = json!({ "AUTH": true, "nobody": { "knows": 1 }, "user": null });
    let answer = ask(&sys, "$SYS.REQ.SERVER.PING.CONNZ", options).await;
    assert!(answer["data"]["connections"][0]["authorized_user"].is_string(), "{answer}");
    // Others are not asked more gently.
    for subject in ["$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.CONNZ"] {
        let answer = ask(&a, subject, json!({ "acc": 5 })).await;
        assert_eq!(answer["error"]["code"], 400, "{answer}");
    }
    let answer = ask(&sys, "$SYS.REQ.SERVER.PING.PROFILEZ", json!({ "name": "heap" })).await;
    assert!(answer["data"]["profile"].is_null(), "{answer}");
    assert!(answer["data"]["error"].as_str().unwrap().contains("perf"), "{answer}");
}

#[tokio::test]
async fn the_system_account_shows_what_it_offers() {
    let server = configured(CONFIG);
    let sys = system(&server).await;
    let detail = ask(&sys, "$SYS.REQ.ACCOUNT.SYS.INFO", Value::Null).await["data"].clone();
    let subjects = |key: &str| {
        let rows = detail[key].as_array().unwrap().iter();
        rows.map(|r| r["subject"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let exports = subjects("exports");
    assert!(exports.contains(&"$SYS.REQ.ACCOUNT.*.CONNZ".to_owned()), "{exports:?}");
    assert_eq!(subjects("imports"), ["$SYS.REQ.USER.SYS.INFO"]);
}

#[tokio::test]
async fn connections_are_chosen_by_subject() {
    let server = configured(CONFIG);
    let sys = system(&server).await;
    let a = login(&server, "a", "pa").await;
    let _orders = listen(&a, "orders.*").await;
    let connz = async |options| ask(&sys, "$SYS.REQ.SERVER.PING.CONNZ", options).await;
    for (filter, found) in [("orders.eu", 1), ("orders.>", 1), (">", 1), ("orders", 0)] {
        let answer = connz(json!({ "acc": "A", "filter_subject": filter })).await;
        assert_eq!(answer["data"]["num_connections"], found, "{filter}: {answer}");
        assert_eq!(answer["data"]["total"], 1, "{filter}: {answer}");
    }
    let answer = connz(json!({ "filter_subject": "orders.eu" })).await;
    assert_eq!(answer["error"]["code"], 500, "{answer}");
    for nobody in [json!({ "mqtt_client": "m" }), json!({ "state": 7 }), json!({ "cid": 9999 })] {
        assert_eq!(connz(nobody).await["data"]["connections"], json!([]));
    }
}

#[tokio::test]
async fn other_accounts_see_themselves_only() {
    let server = configured(CONFIG);
    let sys = system(&server).await;
    let (a, b) = (login(&server, "a", "pa").await, login(&server, "b", "pb").await);
    for subject in ["$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.CONNZ"] {
        for options in [Value::Null, json!({ "acc": "B" }), json!({ "acc": "SYS", "state": 2 })] {
            let connz = ask(&a, subject, options).await;
            assert_eq!(connz["data"]["total"], 1, "{connz}");
            assert_eq!(connz["data"]["connections"][0]["cid"], a.server_info().client_id);
        }
    }
    let statz = ask(&a, "$SYS.REQ.ACCOUNT.PING.STATZ", json!({ "accounts": ["B"] })).await;
    assert_eq!(statz["data"]["account_statz"][0]["acc"], "A");
    let id = a.server_info().server_id;
    for subject in [
        "$SYS.REQ.SERVER.PING".to_owned(),
        "$SYS.REQ.SERVER.PING.VARZ".to_owned(),
        format!("$SYS.REQ.SERVER.{id}.VARZ"),
        "$SYS.REQ.ACCOUNT.B.CONNZ".to_owned(),
        "$SYS.REQ.ACCOUNT.NSUBS".to_owned(),
        "$SYS.DEBUG.SUBSCRIBERS".to_owned(),
    ] {
        let e = within(a.request(subject, "".into())).await.unwrap_err();
        assert_eq!(e.kind(), async_nats::RequestErrorKind::NoResponders);
    }
    // Events reach the system account alone, and nobody can make one up.
    let mut spy = listen(&a, "$SYS.>").await;
    let mut real = listen(&sys, "$SYS.ACCOUNT.>").await;
    a.publish("$SYS.ACCOUNT.B.CONNECT", "forged".into()).await.unwrap();
    assert_eq!(next(&mut spy).await.payload, "forged");
    drop(b);
    let m = next(&mut real).await;
    assert!(m.subject.starts_with("$SYS.ACCOUNT.B.") && m.payload != "forged", "{m:?}");
    a.publish("$SYS.end", "".into()).await.unwrap();
    assert_eq!(next(&mut spy).await.subject.as_str(), "$SYS.end");
}

#[tokio::test]
async fn a_server_without_logins_has_the_services_too() {
    let server = crate::common::start();
    let c = connect(&server).await;
    let info = ask(&c, "$SYS.REQ.USER.INFO", Value::Null).await;
    assert_eq!(info["data"]["account"], "$G");
    let connz = ask(&c, "$SYS.REQ.SERVER.PING.CONNZ", Value::Null).await;
    assert_eq!(connz["data"]["total"], 1);
}
