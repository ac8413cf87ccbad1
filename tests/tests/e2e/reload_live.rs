//! Reloads that change what the server is made of while clients are connected: the
//! resolver of accounts, pinned certificates, JetStream.

use crate::claims::{ask, id, login, plain};
use crate::claims_sources::web;
use crate::common::*;
use crate::pki::Pki;
use crate::reload::{reload, reloaded};
use crate::secure::{QUIET, Secure};
use crate::tokens::{self, user_token};
use async_nats::Client;
use gust_tests::process::Server;
use rcgen::DnType;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// A raw login by token.
fn by_token(server: &Server, name: &str, of: &str) -> Raw {
    let token = user_token(name, json!({"bearer_token": true}), &tokens::account(of));
    let mut raw = Raw::open(server);
    raw.send(&format!("CONNECT {{\"jwt\":\"{token}\",\"verbose\":false}}\r\nPING\r\n"));
    raw
}

/// Accounts in a `resolver_preload`.
fn preload(names: &[&str]) -> String {
    let entry = |name: &&str| format!("  {}: {}\n", id(name), plain(name));
    format!("resolver_preload: {{\n{}}}\n", names.iter().map(entry).collect::<String>())
}

/// Which requests about claims somebody answers.
async fn answered(system: &Client) -> Vec<&'static str> {
    let mut answered = Vec::new();
    for what in ["LIST", "PACK"] {
        let subject = format!("$SYS.REQ.CLAIMS.{what}");
        // Who speaks about packs says its answers are complete by an empty one.
        let answer = within(system.request(subject, "".into())).await;
        if answer.is_ok() {
            answered.push(what);
        }
    }
    answered
}

#[tokio::test]
async fn one_kind_of_resolver_takes_the_place_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let operator = tokens::operator_token();
    let with = |resolver: &str, names: &[&str]| {
        format!("operator: {operator}\nresolver: {resolver}\n{}", preload(names))
    };
    let of_dir = |kind: &str| format!("{{type: {kind}, dir: {:?}}}", dir.path().join(kind));
    let mut server = configured(&with("MEMORY", &["SYS", "A", "B"]));
    let system = login(&server, "SYS", "root").await;
    let (mut joe, mut ann) = (by_token(&server, "joe", "A"), by_token(&server, "ann", "B"));
    joe.expect(&["PONG"]);
    ann.expect(&["PONG"]);
    assert_eq!(answered(&system).await, Vec::<&str>::new());

    // To a directory that has all but one: that one's clients go.
    reloaded(&mut server, &with(&of_dir("full"), &["SYS", "A"])).await;
    assert_eq!(ann.rest(), "-ERR 'Account Authentication Expired'\r\n");
    joe.sync();
    assert_eq!(answered(&system).await, ["LIST", "PACK"]);
    let listed = ask(&system, "$SYS.REQ.CLAIMS.LIST", "").await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    assert!(by_token(&server, "ann", "B").rest().contains("Authorization Violation"));
    // What is pushed now is there for the others.
    let pushed = ask(&system, "$SYS.REQ.CLAIMS.UPDATE", &plain("B")).await;
    assert_eq!(pushed["data"]["code"], 200, "{pushed}");
    by_token(&server, "ann", "B").expect(&["PONG"]);

    reloaded(&mut server, &with(&of_dir("cache"), &["SYS", "A"])).await;
    assert_eq!(answered(&system).await, ["LIST"]);
    joe.sync();

    let store = [("SYS", plain("SYS")), ("A", plain("A")), ("C", plain("C"))];
    let store = store.map(|(name, token)| (id(name), token)).to_vec();
    let (url, asked) = web(Arc::new(Mutex::new(store)));
    let by_url = with(&format!("URL({url})"), &[]).replace("resolver_preload: {\n}", "");
    reloaded(&mut server, &by_url).await;
    assert_eq!(asked.lock().unwrap()[0], "", "it is looked whether the web server is there");
    by_token(&server, "cid", "C").expect(&["PONG"]);
    assert_eq!(answered(&system).await, Vec::<&str>::new());
    joe.sync();

    // A web server that is not there, and no resolver at all: nothing changes.
    let nowhere = by_url.replace(&url, "http://127.0.0.1:1/");
    let said = reload(&mut server, &nowhere).await;
    assert!(said.contains("Failed to reload") && said.contains("account resolver"), "{said}");
    by_token(&server, "cid", "C").expect(&["PONG"]);
    let none = by_url.split("resolver").next().unwrap();
    let said = reload(&mut server, none).await;
    assert!(said.contains("Failed to reload"), "{said}");

    reloaded(&mut server, &with("MEMORY", &["SYS", "A", "B"])).await;
    by_token(&server, "ann", "B").expect(&["PONG"]);
    assert!(by_token(&server, "cid", "C").rest().contains("Authorization Violation"));
    assert_eq!(answered(&system).await, Vec::<&str>::new());
    joe.sync();
    sync(&system).await;
}

/// A client with the certificate of this name, and that key's pin.
fn pinned(server: &Server, pki: &Pki, name: &str) -> (Secure, String) {
    let mut c = Secure::upgrade(server, pki.client(name));
    assert_eq!(c.login(QUIET).unwrap(), "PONG");
    let rows = doc(server, "/connz?auth=1")["connections"].as_array().unwrap().clone();
    let row = rows.last().unwrap();
    (c, row["tls_peer_certs"][0]["spki_sha256"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn clients_whose_key_is_no_longer_pinned_are_cut() {
    let pki = Pki::new();
    for name in ["server", "one", "two"] {
        pki.server(name, &[]);
        if name != "server" {
            pki.sign(name, &[], &[(DnType::CommonName, name)]);
        }
    }
    let text = |more: &str| pki.tls(&format!("verify: true, {}\n{more}", pki.ca_file()));
    let mut server = configured(&text(""));
    let (mut one, pin_of_one) = pinned(&server, &pki, "one");
    let (mut two, pin_of_two) = pinned(&server, &pki, "two");
    // Both, then one: who is not among them goes without a word.
    reloaded(&mut server, &text(&format!("pinned_certs: [{pin_of_one:?}, {pin_of_two:?}]"))).await;
    for c in [&mut one, &mut two] {
        c.send("PING\r\n");
        assert_eq!(c.line(), "PONG");
    }
    reloaded(&mut server, &text(&format!("pinned_certs: [{pin_of_one:?}]"))).await;
    assert!(two.try_line().is_err());
    one.send("PING\r\n");
    assert_eq!(one.line(), "PONG");
    let log = server.log();
    assert!(log.contains("closed by a change of pinned_certs"), "{log}");
    assert!(log.contains("Reloaded: 1 pinned_certs"), "{log}");
    let closed = doc(&server, "/connz?state=closed");
    assert_eq!(closed["connections"][0]["reason"], "TLS Handshake Failure");
    let mut two = Secure::upgrade(&server, pki.client("two"));
    assert!(two.login(QUIET).is_err());
    // Without pins everybody may come, and whoever is there stays.
    reloaded(&mut server, &text("")).await;
    pinned(&server, &pki, "two");
    one.send("PING\r\n");
    assert_eq!(one.line(), "PONG");
}

#[tokio::test]
async fn limits_of_jetstream_change() {
    let store = tempfile::tempdir().unwrap();
    let text =
        |more: &str| format!("jetstream {{ store_dir: {:?}\n limits {{ {more} }} }}", store.path());
    let mut server = configured(&text("max_ack_pending: 5"));
    let client = connect(&server).await;
    stream(&client, "S", json!({"subjects": ["s"]})).await;
    let consumer = |name: &str| {
        let config = json!({"durable_name": name, "ack_policy": "explicit", "max_ack_pending": 8});
        let body = json!({"stream_name": "S", "config": config});
        let (client, subject) = (client.clone(), format!("CONSUMER.DURABLE.CREATE.S.{name}"));
        async move { call(&client, &subject, body).await }
    };
    let refused: Value = consumer("a").await;
    assert!(refused.get("error").is_some(), "{refused}");
    reloaded(&mut server, &text("max_ack_pending: 10")).await;
    let made = consumer("a").await;
    assert!(made.get("error").is_none(), "{made}");
    assert!(server.log().contains("Reloaded: JetStream limits"));
    assert!(!server.log().contains("not active in this version"));
    reloaded(&mut server, &(text("max_ack_pending: 10") + "\nprof_block_rate: 5")).await;
    assert!(server.log().contains("not active in this version: prof_block_rate."));
    assert_eq!(doc(&server, "/jsz")["limits"]["max_ack_pending"], 10);
}

/// What a raw client is told of a request nobody answers.
async fn nobody_answers(client: &Client, subject: &str) {
    let error = within(client.request(subject.to_owned(), "".into())).await.unwrap_err();
    assert_eq!(error.kind(), async_nats::RequestErrorKind::NoResponders, "{subject}");
}

async fn publish(client: &Client, subject: &str) -> Value {
    let answer = within(client.request(subject.to_owned(), "m".into())).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

#[tokio::test]
async fn jetstream_goes_and_comes_back_with_everything() {
    let on = "max_traced_msg_len: 5\njetstream: enabled";
    let mut server = configured(on);
    let client = connect(&server).await;
    stream(&client, "S", json!({"subjects": ["s"]})).await;
    stream(&client, "M", json!({"subjects": ["m"], "storage": "memory"})).await;
    let config = json!({"durable_name": "d", "ack_policy": "explicit"});
    let body = json!({"stream_name": "S", "config": config});
    api(&client, "CONSUMER.DURABLE.CREATE.S.d", body).await;
    for seq in 1..=3 {
        assert_eq!(publish(&client, "s").await["seq"], seq);
    }
    publish(&client, "m").await;
    let pull = "$JS.API.CONSUMER.MSG.NEXT.S.d";
    let mut waiting = client.subscribe("inbox").await.unwrap();
    client.publish_with_reply(pull, "inbox", "".into()).await.unwrap();
    let message = next(&mut waiting).await;
    within(client.request(message.reply.unwrap(), "+ACK".into())).await.unwrap();
    // Somebody waits when it ends.
    let wish = json!({"batch": 5, "expires": 60_000_000_000_i64}).to_string();
    client.publish_with_reply(pull, "inbox", wish.into()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(next_text(&mut waiting).await, "m");
    }

    reloaded(&mut server, "max_traced_msg_len: 6").await;
    assert_eq!(next(&mut waiting).await.status.unwrap().as_u16(), 409);
    for subject in ["$JS.API.INFO", "$JS.API.STREAM.NAMES", pull, "s", "m"] {
        nobody_answers(&client, subject).await;
    }
    assert_eq!(doc(&server, "/varz")["jetstream"], json!({}));
    assert_eq!(doc(&server, "/jsz")["disabled"], true);
    assert_eq!(get(&server, "/healthz").0, 200);
    assert!(Raw::open(&server).info.get("jetstream").is_none());
    let log = server.log();
    assert!(log.contains("Reloaded: JetStream") && log.contains("JetStream Shutdown"), "{log}");

    reloaded(&mut server, on).await;
    let info = api(&client, "STREAM.INFO.S", Value::Null).await;
    assert_eq!(info["state"]["messages"], 3);
    let info = api(&client, "CONSUMER.INFO.S.d", Value::Null).await;
    assert_eq!(info["ack_floor"]["stream_seq"], 1, "{info}");
    let gone = call(&client, "STREAM.INFO.M", Value::Null).await;
    assert_eq!(gone["error"]["code"], 404, "memory is not kept");
    assert_eq!(publish(&client, "s").await["seq"], 4);
    assert_eq!(Raw::open(&server).info["jetstream"], true);

    server.kill_and_restart().unwrap();
    let client = connect(&server).await;
    assert_eq!(publish(&client, "s").await["seq"], 5);
}

#[tokio::test]
async fn jetstream_that_cannot_start_refuses_the_whole_reload() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    std::fs::write(&store, "x").unwrap();
    let args = ["-sd", store.to_str().unwrap()];
    let mut server = Server::with(&args, Some("max_payload: 100")).unwrap();
    let text = "max_payload: 200\njetstream: enabled";
    let said = reload(&mut server, text).await;
    assert!(said.contains("Failed to reload server configuration: JetStream: "), "{said}");
    let varz = doc(&server, "/varz");
    assert_eq!((&varz["max_payload"], &varz["jetstream"]), (&100.into(), &json!({})));
    // Another server has the directory.
    std::fs::remove_file(&store).unwrap();
    let other = Server::with(&args, Some("jetstream: enabled")).unwrap();
    let said = reload(&mut server, text).await;
    assert!(said.contains("is in use by"), "{said}");
    drop(other);
    reloaded(&mut server, text).await;
    let client = connect(&server).await;
    stream(&client, "S", json!({"subjects": ["s"]})).await;
    assert_eq!(publish(&client, "s").await["seq"], 1);
}

#[tokio::test]
async fn what_was_acknowledged_survives_switching_under_load() {
    let on = "jetstream: enabled";
    let mut server = configured(on);
    let client = connect(&server).await;
    for name in ["A", "B", "C", "D"] {
        stream(&client, name, json!({"subjects": [name]})).await;
    }
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let publishers = ["A", "B", "C", "D"].map(|name| {
        let (client, stop) = (client.clone(), stop.clone());
        tokio::spawn(async move {
            let (mut acked, mut last) = (0_u64, 0);
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let Ok(answer) = client.request(name, "x".into()).await else { continue };
                let ack: Value = serde_json::from_slice(&answer.payload).unwrap();
                let Some(seq) = ack["seq"].as_u64() else { continue };
                assert!(seq > last, "{name}: {seq} after {last}");
                (acked, last) = (acked + 1, seq);
            }
            (name, acked, last)
        })
    });
    for _ in 0..5 {
        reloaded(&mut server, "").await;
        reloaded(&mut server, on).await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for publisher in publishers {
        let (name, acked, last) = within(publisher).await.unwrap();
        let state = api(&client, &format!("STREAM.INFO.{name}"), Value::Null).await;
        let state = &state["state"];
        assert!(acked > 0 && state["messages"].as_u64().unwrap() >= acked, "{acked} {state}");
        assert!(state["last_seq"].as_u64().unwrap() >= last, "{last} {state}");
        assert_eq!(state["messages"], state["last_seq"], "{state}");
    }
    assert!(!server.log().contains("[ERR]"), "{}", server.log());
}
