//! Where account tokens come from, memory, caches, web servers and files, and what
//! streams and imports make of them.

use crate::claims::*;
use crate::common::{configured, next, sync, text, until, within};
use crate::tokens::*;
use async_nats::jetstream::{self, stream};
use gust_account::jwt::sign;
use gust_tests::process::Server;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
#[tokio::test]
async fn memory_changes_what_is_loaded_and_nothing_else() {
    let server = configured(&memory(&[("A", json!({}))], ""));
    let system = login(&server, "SYS", "root").await;
    let joe = held(&server, "A", "joe");
    let of = |name: &str| format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", id(name));
    let gone = account_token("A", json!({"revocations": {user("joe").public(): now()}}));
    let reply = ask(&system, &of("A"), &gone).await;
    assert_eq!(reply["data"], done(&id("A"), "jwt updated"), "{reply}");
    cut(joe, "User Authentication Revoked");
    let reply = ask(&system, &of("B"), &plain("B")).await;
    assert_eq!(reply["data"], done(&id("B"), "jwt update skipped"));
    refused(&server, "B", "joe", "does not know account").await;
    let reply = ask(&system, &of("A"), "").await;
    assert_eq!(reply["error"]["description"], "jwt update error - request body is empty");
    let stranger = key(gust_account::nkey::KeyKind::Operator, "P");
    let foreign = sign(&account_claims("A", json!({})), &stranger).unwrap();
    assert_eq!(ask(&system, &of("A"), &foreign).await["error"]["code"], 500);
    for subject in ["$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.CLAIMS.LIST"] {
        let err = within(system.request(subject, plain("A").into())).await.unwrap_err();
        assert_eq!(err.kind(), async_nats::RequestErrorKind::NoResponders, "{subject}");
    }
}

#[tokio::test]
async fn a_cache_holds_what_it_was_asked_for() {
    let node = Node::start("cache", "limit: 2");
    let system = node.system().await;
    let reply = node.push(&system, &plain("A")).await;
    assert_eq!(reply["data"], done(&id("A"), "jwt update cache skipped"));
    // Somebody in the system account knows all accounts.
    let mut lookups = system.subscribe("$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP").await.unwrap();
    let (answers, asked) = (system.clone(), Arc::new(Mutex::new(Vec::new())));
    let names = asked.clone();
    tokio::spawn(async move {
        use futures_util::StreamExt;
        while let Some(m) = lookups.next().await {
            let known = ["A", "B", "C"].into_iter().find(|name| m.subject.contains(&id(name)));
            names.lock().unwrap().push(m.subject.to_string());
            let body = known.map(plain).unwrap_or_default();
            answers.publish(m.reply.unwrap(), body.into()).await.unwrap();
        }
    });
    sync(&system).await;
    let (ann, joe) = tokio::join!(login(&node.server, "A", "ann"), login(&node.server, "A", "joe"));
    assert_eq!(asked.lock().unwrap().len(), 1, "one question for both");
    refused(&node.server, "X", "joe", "does not know account").await;
    let reply = node.push(&system, &tagged("A", "new")).await;
    assert_eq!(reply["data"], done(&id("A"), "jwt updated cache"));
    assert_eq!(std::fs::read_to_string(node.file("A", "")).unwrap(), tagged("A", "new"));
    login(&node.server, "B", "joe").await;
    login(&node.server, "C", "joe").await;
    let listed = ask(&system, "$SYS.REQ.CLAIMS.LIST", "").await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    sync(&ann).await;
    sync(&joe).await;
}

/// A web server with these tokens by path; counts what it is asked.
pub fn web(tokens: Arc<Mutex<Vec<(String, String)>>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if socket.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                request.push(byte[0]);
            }
            let request = text(&request);
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            let found = tokens.lock().unwrap().iter().find(|(id, _)| *id == name).cloned();
            let (status, body) = match found {
                Some((_, token)) => ("200 OK", token),
                None if name.is_empty() => ("200 OK", String::new()),
                None => ("404 Not Found", String::new()),
            };
            log.lock().unwrap().push(name);
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
            let _ = socket.write_all(format!("{head}{body}").as_bytes());
        }
    });
    (format!("http://{address}/jwt/v1/accounts/"), asked)
}

#[tokio::test]
async fn a_web_server_is_asked_once_per_account() {
    let of = |name: &str| (id(name), plain(name));
    let tokens = Arc::new(Mutex::new(vec![of("SYS"), of("A")]));
    let (url, asked) = web(tokens.clone());
    let config = format!("operator: {}\nresolver: URL({url})\n", operator_token());
    let server = configured(&config);
    let names: Vec<String> = (0..20).map(|n| format!("user{n}")).collect();
    let logins = names.iter().map(|name| login(&server, "A", name));
    futures_util::future::join_all(logins).await;
    let times = |name: &str| asked.lock().unwrap().iter().filter(|n| **n == id(name)).count();
    assert_eq!(times("A"), 1);
    assert_eq!(asked.lock().unwrap()[0], "", "is anybody home");
    refused(&server, "B", "joe", "404").await;
    tokens.lock().unwrap().push(of("B"));
    let token = user_token("joe", json!({}), &account("B"));
    until("the account is found", || async {
        options(&token, "joe").connect(&server.url).await.ok()
    })
    .await;
    // The token of another account, or none at all, does not help.
    tokens.lock().unwrap().push((id("C"), plain("A")));
    refused(&server, "C", "joe", "is of account").await;
    tokens.lock().unwrap().push((id("D"), "<html>".to_owned()));
    refused(&server, "D", "joe", "JWT").await;
    // An account that ended is asked for again.
    let mut claims = account_claims("E", json!({}));
    claims.expires = now() + 2;
    tokens.lock().unwrap().push((id("E"), sign(&claims, &operator()).unwrap()));
    let joe = held(&server, "E", "joe");
    cut(joe, "Account Authentication Expired");
    tokens.lock().unwrap().retain(|(name, _)| *name != id("E"));
    tokens.lock().unwrap().push(of("E"));
    let token = user_token("joe", json!({}), &account("E"));
    until("the account is renewed", || async {
        options(&token, "joe").connect(&server.url).await.ok()
    })
    .await;
}

#[test]
fn without_its_web_server_it_does_not_start() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!("operator: {}\nresolver: URL(http://{free}/)\n", operator_token());
    let err = Server::with(&[], Some(&config)).unwrap_err().to_string();
    assert!(err.contains("could not fetch"), "{err}");
}

#[tokio::test]
async fn limits_and_streams_follow_the_token() {
    let mut node =
        Node::with("full", "allow_delete: true", &operator_token(), "jetstream: enabled");
    let system = node.system().await;
    let with = |streams: i64| {
        let limits = json!({"streams": streams, "disk_storage": 1 << 20, "mem_storage": 1 << 20, "consumer": -1});
        account_token("A", json!({ "limits": limits }))
    };
    node.push(&system, &with(1)).await;
    let joe = login(&node.server, "A", "joe").await;
    let js = jetstream::new(joe.clone());
    let named = |name: &str| stream::Config {
        name: name.to_owned(),
        subjects: vec![format!("{name}.>")],
        ..stream::Config::default()
    };
    within(js.create_stream(named("ONE"))).await.unwrap();
    let err = within(js.create_stream(named("TWO"))).await.unwrap_err();
    assert!(err.to_string().contains("maximum number of streams reached"), "{err}");
    node.push(&system, &with(2)).await;
    within(js.create_stream(named("TWO"))).await.unwrap();
    for n in 0..10 {
        within(within(js.publish(format!("ONE.{n}"), "x".into())).await.unwrap()).await.unwrap();
    }
    // Nobody has to log in for streams to be recovered.
    node.server.kill_and_restart().unwrap();
    let account_of_streams = || async {
        let system = node.system().await;
        let of = format!("$SYS.REQ.ACCOUNT.{}.JSZ", id("A"));
        ask(&system, &of, r#"{"streams":true}"#).await
    };
    let seen = account_of_streams().await;
    assert!(seen.to_string().contains("\"messages\":10"), "{seen}");
    let js = jetstream::new(login(&node.server, "A", "joe").await);
    let messages = || async {
        within(js.get_stream("ONE")).await.map(|s| s.cached_info().state.messages).ok()
    };
    assert_eq!(messages().await, Some(10));
    // Without JetStream its data stay, out of reach.
    let system = node.system().await;
    node.push(&system, &plain_without_jetstream()).await;
    let err = within(js.get_stream("ONE")).await.unwrap_err();
    assert!(
        err.to_string().contains("not enabled") || err.to_string().contains("not found"),
        "{err}"
    );
    node.push(&system, &with(2)).await;
    assert_eq!(messages().await, Some(10));
    // Nor does deleting the account delete its streams.
    let gone = deletion(&operator(), json!([id("A")]));
    assert_eq!(ask(&system, "$SYS.REQ.CLAIMS.DELETE", &gone).await["data"]["code"], 200);
    node.server.kill_and_restart().unwrap();
    let log = node.server.log();
    assert!(log.contains("nobody can use them"), "{log}");
    let system = node.system().await;
    node.push(&system, &with(2)).await;
    let js = jetstream::new(login(&node.server, "A", "joe").await);
    let found = within(js.get_stream("ONE")).await.unwrap();
    assert_eq!(found.cached_info().state.messages, 10);
}

fn plain_without_jetstream() -> String {
    let limits = json!({"streams": 0, "disk_storage": 0, "mem_storage": 0, "consumer": 0});
    account_token("A", json!({ "limits": limits }))
}

#[tokio::test]
async fn imports_load_the_accounts_they_come_from() {
    let node = Node::start("full", "");
    let system = node.system().await;
    let exporter = json!({"exports": [{"name": "t", "subject": "time.>", "type": "stream"}]});
    let import = json!({"imports": [
        {"name": "t", "subject": "time.>", "account": id("B"), "type": "stream", "local_subject": "their.>"},
        {"name": "u", "subject": "other.>", "account": id("X"), "type": "stream"},
    ]});
    node.push(&system, &account_token("B", exporter)).await;
    node.push(&system, &account_token("A", import)).await;
    // Nobody of B was here before A listens.
    let joe = login(&node.server, "A", "joe").await;
    let mut heard = joe.subscribe("their.>").await.unwrap();
    sync(&joe).await;
    let ann = login(&node.server, "B", "ann").await;
    ann.publish("time.now", "noon".into()).await.unwrap();
    sync(&ann).await;
    let got = next(&mut heard).await;
    assert_eq!((got.subject.as_str(), text(&got.payload)), ("their.now", "noon".to_owned()));
}

#[tokio::test]
async fn tiers_limit_streams_by_their_replicas() {
    let node = Node::with("full", "", &operator_token(), "jetstream: enabled");
    let system = node.system().await;
    let tier = |n: i64| json!({"streams": n, "disk_storage": 1 << 20, "consumer": -1});
    let push = |limits: Value| {
        let token = account_token("A", json!({ "limits": { "tiered_limits": limits } }));
        let system = &system;
        let node = &node;
        async move { node.push(system, &token).await }
    };
    push(json!({"R1": tier(1), "R3": tier(5)})).await;
    let joe = login(&node.server, "A", "joe").await;
    let info = ask(&joe, "$JS.API.INFO", "").await;
    assert_eq!(info["tiers"]["R1"]["limits"]["max_streams"], 1, "{info}");
    assert_eq!(info["tiers"]["R3"]["limits"]["max_streams"], 5, "{info}");
    assert_eq!(info["limits"]["max_storage"], 0, "{info}");
    let create = |name: &str, replicas: i64| {
        let config = json!({"name": name, "subjects": [name], "num_replicas": replicas});
        let (joe, subject) = (joe.clone(), format!("$JS.API.STREAM.CREATE.{name}"));
        async move { ask(&joe, &subject, &config.to_string()).await["error"]["err_code"].clone() }
    };
    assert_eq!(create("ONE", 1).await, Value::Null);
    assert_eq!(create("TWO", 1).await, 10027);
    let info = ask(&joe, "$JS.API.INFO", "").await;
    assert_eq!(info["tiers"]["R1"]["streams"], 1, "{info}");
    assert_eq!(info["tiers"]["R3"]["streams"], 0, "{info}");
    push(json!({"R1": tier(2), "R3": tier(5)})).await;
    assert_eq!(create("TWO", 1).await, Value::Null);
    push(json!({"R3": tier(5)})).await;
    assert_eq!(create("THREE", 1).await, 10120);
}

#[tokio::test]
async fn files_put_in_the_directory_count_after_a_reload() {
    let node = Node::start("full", "");
    let system = node.system().await;
    node.push(&system, &plain("A")).await;
    node.push(&system, &plain("B")).await;
    let (joe, ann) = (held(&node.server, "A", "joe"), held(&node.server, "B", "ann"));
    let gone = account_token("A", json!({"revocations": {user("joe").public(): now()}}));
    std::fs::write(node.file("A", ""), gone).unwrap();
    std::fs::remove_file(node.file("B", "")).unwrap();
    std::fs::write(node.file("C", ""), plain("C")).unwrap();
    let reload = format!("$SYS.REQ.SERVER.{}.RELOAD", node.server_id().as_str().unwrap());
    let reply = ask(&system, &reload, "").await;
    assert_eq!(reply["error"], Value::Null, "{reply}");
    cut(joe, "User Authentication Revoked");
    cut(ann, "Account Authentication Expired");
    login(&node.server, "C", "joe").await;
    let mut want = [id("A"), id("C")];
    want.sort();
    assert_eq!(ask(&system, "$SYS.REQ.CLAIMS.LIST", "").await["data"], json!(want));
}

#[tokio::test]
async fn many_accounts_are_loaded_as_they_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..100).map(|n| format!("T{n}")).collect();
    for name in &names {
        let file = dir.path().join(format!("{}.jwt", id(name)));
        std::fs::write(file, plain(name)).unwrap();
    }
    let config = format!(
        "operator: {}\nresolver {{ type: full, dir: {:?} }}\n\
         authorization {{ timeout: 20 }}\n",
        operator_token(),
        dir.path().to_str().unwrap()
    );
    let server = configured(&config);
    let logins = names.iter().map(|name| login(&server, name, name));
    let clients = futures_util::future::join_all(logins).await;
    for client in &clients {
        sync(client).await;
    }
}

#[test]
fn the_samples_start() {
    let dir = tempfile::tempdir().unwrap();
    let jwt = dir.path().join("jwt");
    let full = include_str!("../../../config/samples/operator.conf");
    let full = full.replace("./jwt", jwt.to_str().unwrap());
    drop(configured(&full));
    assert_eq!(std::fs::read_dir(jwt).unwrap().count(), 1, "the preloaded account is stored");
    drop(configured(include_str!("../../../config/samples/operator-memory.conf")));
}
