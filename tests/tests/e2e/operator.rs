//! Operator mode with accounts in memory: who is let in, and who is told no.

use crate::common::{Raw, configured, doc, next_text, sync, until, within};
use crate::tokens::*;
use async_nats::{Client, ConnectErrorKind, Event};
use gust_account::jwt::sign;
use gust_tests::process::Server;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

async fn login(server: &Server, token: &str, name: &str) -> Client {
    within(options(token, name).connect(&server.url)).await.unwrap()
}

/// The login is refused, and the log says why.
async fn refused(server: &Server, token: &str, name: &str, why: &str) {
    let before = server.log().len();
    let err = within(options(token, name).connect(&server.url)).await.unwrap_err();
    assert_eq!(err.kind(), ConnectErrorKind::AuthorizationViolation, "{why}");
    let log = server.log().split_off(before);
    assert!(log.contains(why), "{why:?} is not in {log}");
    assert!(!log.contains("eyJ"), "a token is in the log: {log}");
}

async fn hears_itself(client: &Client, subject: &'static str) {
    let mut sub = client.subscribe(subject).await.unwrap();
    client.publish(subject, "hello".into()).await.unwrap();
    assert_eq!(next_text(&mut sub).await, "hello");
}

#[tokio::test]
async fn users_of_accounts_are_let_in_and_kept_apart() {
    let server = configured(&memory(&[("A", json!({})), ("B", json!({}))], ""));
    let joe = login(&server, &user_token("joe", json!({}), &account("A")), "joe").await;
    let ann = login(&server, &user_token("ann", json!({}), &account("B")), "ann").await;
    hears_itself(&joe, "x").await;
    let mut of_ann = ann.subscribe("*").await.unwrap();
    sync(&ann).await;
    joe.publish("x", "secret".into()).await.unwrap();
    sync(&joe).await;
    ann.publish("own", "own".into()).await.unwrap();
    assert_eq!(next_text(&mut of_ann).await, "own");
    let connz = doc(&server, "/connz?auth=1");
    let accounts: Vec<_> =
        connz["connections"].as_array().unwrap().iter().map(|c| c["account"].clone()).collect();
    assert!(accounts.contains(&account("A").public().into()), "{accounts:?}");
}

#[tokio::test]
async fn tokens_that_do_not_count_are_refused() {
    let accounts = [
        ("A", json!({"revocations": {user("gone").public(): now()}})),
        ("B", json!({"limits": {"disallow_bearer": true}})),
    ];
    let server = configured(&memory(&accounts, ""));
    let (a, b) = (account("A"), account("B"));
    let plain = |name| user_token(name, json!({}), &a);
    refused(&server, &plain("joe"), "ann", "nonce signature").await;
    refused(&server, &plain("gone"), "gone", "is revoked by its account").await;
    refused(&server, &user_token("joe", json!({}), &account("X")), "joe", "does not know account")
        .await;
    let foreign = json!({"issuer_account": a.public()});
    refused(&server, &user_token("joe", foreign, &account("X")), "joe", "no signing key").await;
    let mut late = user_claims("joe", json!({}));
    late.expires = now() - 1;
    refused(&server, &sign(&late, &a).unwrap(), "joe", "has expired").await;
    let mut early = user_claims("joe", json!({}));
    early.not_before = now() + 1000;
    refused(&server, &sign(&early, &a).unwrap(), "joe", "not valid yet").await;
    let web = json!({"allowed_connection_types": ["WEBSOCKET"]});
    refused(&server, &user_token("joe", web, &a), "joe", "may not connect as STANDARD").await;
    let far = json!({"src": ["192.0.2.0/24"]});
    refused(&server, &user_token("joe", far, &a), "joe", "may not connect from 127.0.0.1").await;
    let never =
        json!({"times": [{"start": "00:00:00", "end": "00:00:00"}], "times_location": "UTC"});
    refused(&server, &user_token("joe", never, &a), "joe", "time of day").await;
    let bearer = json!({"bearer_token": true});
    refused(&server, &user_token("joe", bearer, &b), "joe", "bearer token, which account").await;
    let by_proxy = json!({"proxy_required": true});
    refused(&server, &user_token("joe", by_proxy, &a), "joe", "trusted proxy").await;
    let mut token = plain("joe");
    token.truncate(token.len() - 4);
    token.push_str("AAAA");
    refused(&server, &token, "joe", "was damaged or forged").await;
    refused(&server, &account_token("A", json!({})), "joe", "of type").await;
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let server = configured(&memory(&[("A", json!({}))], ""));
    for connect in [
        "{}",
        r#"{"user":"a","pass":"b"}"#,
        r#"{"auth_token":"x"}"#,
        r#"{"jwt":"x"}"#,
        r#"{"jwt":"a.b.c","sig":"x"}"#,
        r#"{"nkey":"UAY3LBL6YRMAS4RFMHQ4AJEHGP6AMUSPXNKNEL37HMJPLCY2BXLIT3FP","sig":"x"}"#,
    ] {
        let mut raw = Raw::open(&server);
        assert!(raw.info["auth_required"] == true && raw.info["nonce"].is_string());
        raw.send(&format!("CONNECT {connect}\r\nPING\r\n"));
        assert_eq!(raw.rest(), "-ERR 'Authorization Violation'\r\n", "{connect}");
    }
}

#[tokio::test]
async fn bearers_need_no_signature() {
    let server = configured(&memory(&[("A", json!({}))], ""));
    let token = user_token("joe", json!({"bearer_token": true}), &account("A"));
    let mut raw = Raw::connect(&server, &format!(r#"{{"jwt":"{token}"}}"#));
    raw.sync();
    let shown = doc(&server, "/connz?auth=1").to_string();
    assert!(!shown.contains(&token), "a bearer token is shown: {shown}");
    // Without one, the default sentinel.
    let sentinel = format!("default_sentinel: {token}");
    let server = configured(&memory(&[("A", json!({}))], &sentinel));
    Raw::connect(&server, "{}").sync();
    // It is for those who say CONNECT.
    let mut early = Raw::open(&server);
    early.send("PUB a 1\r\nx\r\n");
    assert_eq!(early.rest(), "-ERR 'Authorization Violation'\r\n");
}

#[tokio::test]
async fn permissions_and_limits_of_tokens() {
    let accounts = [(
        "A",
        json!({
            "default_permissions": {"pub": {"deny": ["default"]}},
            "limits": {"conn": 2},
        }),
    )];
    let server = configured(&memory(&accounts, ""));
    let (seen, a) = (Arc::new(Mutex::new(Vec::new())), account("A"));
    let watch = |token: &str, name: &str| {
        let seen = seen.clone();
        options(token, name).event_callback(move |event| {
            let seen = seen.clone();
            async move {
                if let Event::ServerError(err) = event {
                    seen.lock().unwrap().push(err.to_string());
                }
            }
        })
    };
    let said = async |want: &str| {
        until(want, async || {
            seen.lock().unwrap().iter().any(|text| text.contains(want)).then_some(())
        })
        .await;
    };
    let limits = json!({"pub": {"allow": ["a.>", "no.such.subject"]}, "sub": {"deny": ["a.secret"]},
        "subs": 2, "payload": 5});
    let token = user_token("joe", limits, &a);
    let joe = within(watch(&token, "joe").connect(&server.url)).await.unwrap();
    hears_itself(&joe, "a.x").await;
    joe.publish("b", "".into()).await.unwrap();
    said("Permissions Violation for Publish to \"b\"").await;
    let _denied = joe.subscribe("a.secret").await.unwrap();
    said("Permissions Violation for Subscription to \"a.secret\"").await;
    let token = user_token("ann", json!({}), &a);
    let ann = within(watch(&token, "ann").connect(&server.url)).await.unwrap();
    ann.publish("default", "".into()).await.unwrap();
    said("Permissions Violation for Publish to \"default\"").await;
    // The account is full now.
    let mut raw = Raw::open(&server);
    let token = user_token("bob", json!({"bearer_token": true}), &a);
    raw.send(&format!("CONNECT {{\"jwt\":\"{token}\",\"verbose\":false}}\r\nPING\r\n"));
    assert_eq!(raw.rest(), "-ERR 'maximum account active connections exceeded'\r\n");
}

#[tokio::test]
async fn limits_that_are_missing_are_zero() {
    let server = configured(&memory(&[("A", json!({}))], ""));
    let token = |nats: Value| user_token("joe", nats, &account("A"));
    let none = token(json!({"subs": 0, "bearer_token": true}));
    let mut raw = Raw::open(&server);
    raw.send(&format!("CONNECT {{\"jwt\":\"{none}\",\"verbose\":false}}\r\nPING\r\n"));
    assert_eq!(raw.rest(), "-ERR 'maximum subscriptions exceeded'\r\n");
    let small = token(json!({"payload": 0, "bearer_token": true}));
    let mut raw = Raw::connect(&server, &format!(r#"{{"jwt":"{small}","verbose":false}}"#));
    raw.send("SUB a 1\r\nPUB a 0\r\n\r\n");
    raw.expect(&["MSG a 1 0", ""]);
    raw.send("PUB a 1\r\nx\r\n");
    assert_eq!(raw.rest(), "-ERR 'Maximum Payload Violation'\r\n");
}

#[tokio::test]
async fn scoped_keys_decide_what_their_users_may() {
    let scope = json!({"kind": "user_scope", "key": account("A-key").public(), "role": "worker",
        "template": {"pub": {"allow": ["work.{{name()}}.>", "{{tag(team)}}"]},
                     "sub": {"allow": ["_INBOX.>", "work.{{name()}}.>"]}}});
    let server = configured(&memory(&[("A", json!({"signing_keys": [scope]}))], ""));
    let signer = account("A-key");
    let token = |nats: Value| {
        sign(&claims::<gust_account::jwt::UserData>(&user("joe"), "joe", nats), &signer).unwrap()
    };
    let nats = json!({"issuer_account": account("A").public(), "tags": ["team:red"]});
    let joe = login(&server, &token(nats.clone()), "joe").await;
    hears_itself(&joe, "work.joe.1").await;
    let mut own = nats;
    own["pub"] = json!({"allow": [">"]});
    refused(&server, &token(own), "joe", "but its signing key sets them").await;
    let bearer = json!({"issuer_account": account("A").public(), "bearer_token": true});
    refused(&server, &token(bearer), "joe", "but its signing key sets them").await;
}

#[test]
fn servers_that_cannot_run_say_why() {
    let fails = |config: &str, why: &str| {
        let err = Server::with(&[], Some(config)).unwrap_err();
        let text = format!("{err:#}");
        assert!(text.contains("ended with"), "{text}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.conf");
        std::fs::write(&path, config).unwrap();
        let out = std::process::Command::new(gust_tests::process::binary())
            .args(["-a", "127.0.0.1", "-p", "-1", "-c"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(said.contains(why), "{said:?} has no {why:?}");
    };
    let good = memory(&[], "");
    fails(&good.replacen("eyJ", "eyK", 1), "operator JWT");
    fails(&good.replace("resolver: MEMORY\n", ""), "resolver");
    fails("operator: /nowhere/op.jwt\nresolver: MEMORY\n", "/nowhere/op.jwt");
    let other = format!("system_account: {}", account("A").public());
    fails(&memory(&[("A", json!({}))], &other), "must be identical");
    let (bare, _) = good.split_once("resolver_preload").unwrap();
    fails(bare, "system account");
}

/// Whoever is connected when a token's time is over is cut off, and told which.
#[test]
fn time_runs_out_while_connected() {
    let mut dying = account_claims("B", json!({}));
    dying.expires = now() + 10;
    let dying = sign(&dying, &operator()).unwrap();
    let config = memory(&[("A", json!({})), ("B", json!({}))], "");
    let lasting = config.lines().find(|l| l.contains(account("B").public())).unwrap();
    let config = config.replace(lasting, &format!("{}: {dying}", account("B").public()));
    let server = configured(&config);
    let connect = |name: &str, account: &str, expires: i64| {
        let mut claims = user_claims(name, json!({"bearer_token": true}));
        claims.expires = expires;
        let token = sign(&claims, &crate::tokens::account(account)).unwrap();
        Raw::connect(&server, &format!(r#"{{"jwt":"{token}","verbose":false}}"#))
    };
    let mut joe = connect("joe", "A", now() + 3);
    let mut bob = connect("bob", "B", 0);
    let mut ann = connect("ann", "A", now() + 1000);
    assert_eq!(joe.rest(), "-ERR 'User Authentication Expired'\r\n");
    assert_eq!(bob.rest(), "-ERR 'Account Authentication Expired'\r\n");
    ann.sync();
}

#[tokio::test]
async fn the_sample_starts() {
    let server = configured(include_str!("../../../config/samples/operator-memory.conf"));
    let varz = doc(&server, "/accountz");
    assert_eq!(varz["accounts"].as_array().map(Vec::len), Some(3), "{varz}");
    let mut raw = Raw::open(&server);
    raw.send("CONNECT {}\r\nPING\r\n");
    assert_eq!(raw.rest(), "-ERR 'Authorization Violation'\r\n");
}

#[tokio::test]
async fn an_operator_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("op.jwt");
    let token = operator_token();
    let decorated =
        format!("-----BEGIN TEST OPERATOR JWT-----\n{token}\n------END TEST OPERATOR JWT------\n");
    std::fs::write(&path, decorated).unwrap();
    let config = memory(&[("A", json!({}))], "").replace(&token, &format!("{path:?}"));
    let server = configured(&config);
    login(&server, &user_token("joe", json!({}), &account("A")), "joe").await;
}

#[tokio::test]
async fn jetstream_by_limits_of_the_token() {
    let accounts = [
        ("A", json!({"limits": {"disk_storage": 1_000_000, "mem_storage": -1, "streams": 1}})),
        ("B", json!({})),
    ];
    let server = Server::with(&["-js"], Some(&memory(&accounts, ""))).unwrap();
    let joe = login(&server, &user_token("joe", json!({}), &account("A")), "joe").await;
    let answer = crate::common::api(&joe, "INFO", Value::Null).await;
    assert_eq!(answer["limits"]["max_storage"], 1_000_000, "{answer}");
    crate::common::stream(&joe, "S", json!({"subjects": ["s"]})).await;
    let answer = crate::common::call(
        &joe,
        "STREAM.CREATE.T",
        json!({"name": "T", "subjects": ["t"], "storage": "file"}),
    )
    .await;
    assert!(
        answer["error"]["description"].as_str().unwrap().contains("maximum number of streams"),
        "{answer}"
    );
    let ann = login(&server, &user_token("ann", json!({}), &account("B")), "ann").await;
    let answer = crate::common::call(&ann, "INFO", Value::Null).await;
    assert_eq!(answer["error"]["err_code"], 10039, "{answer}");
}
