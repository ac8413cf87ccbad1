//! What the system account and the documents show of clients and accounts that
//! are made by tokens, and what they must not show.

use crate::common::{Raw, configured, doc, next, until, within};
use crate::tokens::*;
use async_nats::{Client, Subscriber};
use data_encoding::BASE64URL_NOPAD;
use gust_account::jwt::sign;
use gust_tests::process::Server;
use serde_json::{Value, json};

async fn login(server: &Server, token: &str, name: &str) -> Client {
    within(options(token, name).connect(&server.url)).await.unwrap()
}

async fn refused(server: &Server, token: &str, name: &str) {
    within(options(token, name).connect(&server.url)).await.unwrap_err();
}

async fn listen(client: &Client, subject: &str) -> Subscriber {
    let sub = client.subscribe(subject.to_owned()).await.unwrap();
    within(client.request("$SYS.REQ.USER.INFO", "".into())).await.unwrap();
    sub
}

async fn event(sub: &mut Subscriber) -> Value {
    serde_json::from_slice(&next(sub).await.payload).unwrap()
}

async fn user_info(client: &Client) -> Value {
    let answer = within(client.request("$SYS.REQ.USER.INFO", "".into())).await.unwrap();
    serde_json::from_slice::<Value>(&answer.payload).unwrap()["data"].take()
}

async fn system(server: &Server) -> Client {
    login(server, &user_token("admin", json!({}), &account("SYS")), "admin").await
}

#[tokio::test]
async fn tokens_are_shown_unless_they_are_keys_themselves() {
    let a = account("A");
    let revoked = json!({ "tags": ["red"], "revocations": { user("gone").public(): now() } });
    let server = configured(&memory(&[("A", revoked)], ""));
    let sys = system(&server).await;
    let mut on = listen(&sys, "$SYS.ACCOUNT.*.CONNECT").await;
    let mut off = listen(&sys, "$SYS.ACCOUNT.*.DISCONNECT").await;

    let mut claims = user_claims("joe", json!({ "tags": ["blue", "green"] }));
    claims.expires = now() + 1000;
    let token = sign(&claims, &a).unwrap();
    let joe = login(&server, &token, "joe").await;
    let m = next(&mut on).await;
    assert_eq!(m.subject.as_str(), format!("$SYS.ACCOUNT.{}.CONNECT", a.public()));
    let e: Value = serde_json::from_slice(&m.payload).unwrap();
    let shown = |of: &Value, user: &str| {
        assert_eq!(of[user], user_key("joe"), "{of}");
        assert_eq!(of["jwt"], token.as_str());
        assert_eq!(of["issuer_key"], a.public());
        assert_eq!(of["name_tag"], "A");
        assert_eq!(of["tags"], json!(["blue", "green"]));
    };
    shown(&e["client"], "user");
    let connz = doc(&server, "/connz?auth=1");
    let row = |connz: &Value, name: &str| {
        let rows = connz["connections"].as_array().unwrap().clone();
        rows.into_iter().find(|c| c["authorized_user"] == user_key(name)).unwrap()
    };
    shown(&row(&connz, "joe"), "authorized_user");
    assert_eq!(row(&connz, "joe")["account"], a.public());
    assert!(doc(&server, "/connz")["connections"][1].get("jwt").is_none());

    let info = user_info(&joe).await;
    assert_eq!((&info["user"], &info["user_name"]), (&user_key("joe"), &json!("joe")));
    assert_eq!((&info["account"], &info["account_name"]), (&json!(a.public()), &json!("A")));
    let left = info["expires"].as_i64().unwrap() / 1_000_000_000;
    assert!((900..=1000).contains(&left), "{info}");

    // A bearer token lets in whoever reads it.
    let bearer = user_token("bea", json!({ "bearer_token": true }), &a);
    let bea = login(&server, &bearer, "bea").await;
    let e = event(&mut on).await;
    assert_eq!((&e["client"]["user"], &e["client"]["jwt"]), (&user_key("bea"), &Value::Null));
    assert_eq!(e["client"]["issuer_key"], a.public());
    let connz = doc(&server, "/connz?auth=1");
    assert!(row(&connz, "bea").get("jwt").is_none());
    drop(joe);
    shown(&event(&mut off).await["client"], "user");
    drop(bea);
    assert!(event(&mut off).await["client"].get("jwt").is_none());
    let closed = doc(&server, "/connz?auth=1&state=closed");
    shown(&row(&closed, "joe"), "authorized_user");
    let label = format!(r#""{}/A/jwt:{}""#, a.public(), user("joe").public());
    let server = Server::with(&["-D"], Some(&memory(&[("A", json!({}))], ""))).unwrap();
    drop(login(&server, &token, "joe").await);
    until("the close in the log", || async { server.log().contains(&label).then_some(()) }).await;
}

fn user_key(name: &str) -> Value {
    user(name).public().into()
}

#[tokio::test]
async fn an_account_hears_of_refused_logins_with_its_tokens() {
    let a = account("A");
    let revoked = json!({ "revocations": { user("gone").public(): now() } });
    let server = configured(&memory(&[("A", revoked), ("B", json!({}))], ""));
    let sys = system(&server).await;
    let mut all = listen(&sys, "$SYS.SERVER.*.CLIENT.AUTH.ERR").await;
    let joe = login(&server, &user_token("joe", json!({}), &a), "joe").await;
    let mut own = listen(&joe, "$SYS.ACCOUNT.CLIENT.AUTH.ERR").await;

    // Anybody can make a token that names the account.
    let foreign = json!({ "issuer_account": a.public() });
    refused(&server, &user_token("eve", foreign, &account("X")), "eve").await;
    refused(&server, &user_token("eve", json!({}), &account("B")), "joe").await;
    refused(&server, &user_token("gone", json!({}), &a), "gone").await;
    for _ in 0..3 {
        let e = event(&mut all).await;
        assert_eq!(e["client"]["acc"], "$G");
        assert_eq!(e["reason"], "Authentication Failure");
    }
    // The first it hears of is its own user.
    let e = event(&mut own).await;
    assert_eq!(e["client"]["acc"], a.public());
    assert_eq!(e["type"], "io.nats.server.advisory.v1.client_disconnect");
    refused(&server, &user_token("joe", json!({ "src": ["192.0.2.0/24"] }), &a), "joe").await;
    assert_eq!(event(&mut own).await["client"]["acc"], a.public());
}

#[tokio::test]
async fn documents_show_operators_and_accounts() {
    let a = account("A");
    let nats = json!({ "tags": ["red"], "revocations": { user("gone").public(): now() } });
    let pinned = format!("resolver_pinned_accounts: [{}, {}]", a.public(), account("SYS").public());
    let server = configured(&memory(&[("A", nats), ("B", json!({}))], &pinned));
    refused(&server, &user_token("bob", json!({}), &account("B")), "bob").await;
    let varz = doc(&server, "/varz");
    assert_eq!(varz["trusted_operators_jwt"].as_array().unwrap().len(), 1);
    assert_eq!(varz["trusted_operators_claim"][0]["sub"], operator().public());
    assert_eq!(varz["pinned_account_fails"], 1);
    assert_eq!(varz["system_account"], account("SYS").public());

    let detail = doc(&server, &format!("/accountz?acc={}", a.public()))["account_detail"].take();
    assert_eq!(detail["account_name"], a.public());
    assert_eq!((&detail["name_tag"], &detail["tags"]), (&json!("A"), &json!(["red"])));
    assert_eq!(detail["issuer_key"], operator().public());
    assert_eq!(detail["decoded_jwt"]["sub"], a.public());
    assert!(detail["jwt"].as_str().unwrap().starts_with("eyJ"));
    assert!(detail["revoked_user"][user("gone").public()].is_string());
    assert_eq!((&detail["expired"], &detail["complete"]), (&json!(false), &json!(true)));
    let statz = doc(&server, "/accstatz?unused=1");
    let row = statz["account_statz"].as_array().unwrap().iter().find(|r| r["acc"] == a.public());
    assert_eq!(row.unwrap()["name"], "A");
}

#[tokio::test]
async fn keys_and_signatures_are_shown_nowhere() {
    let a = account("A");
    let server = Server::with(&["-D", "-V"], Some(&memory(&[("A", json!({}))], ""))).unwrap();
    let sys = system(&server).await;
    let mut all = listen(&sys, ">").await;
    let bearer = user_token("bea", json!({ "bearer_token": true }), &a);
    let broken = format!("{}x", user_token("joe", json!({}), &a));
    let foreign = user_token("joe", json!({}), &account("X"));
    drop(login(&server, &bearer, "bea").await);
    drop(login(&server, &user_token("joe", json!({}), &a), "joe").await);
    for (token, name) in [(&broken, "joe"), (&foreign, "joe")] {
        let mut raw = Raw::open(&server);
        let nonce = raw.info["nonce"].as_str().unwrap().to_owned();
        let sig = BASE64URL_NOPAD.encode(&user(name).sign(nonce.as_bytes()));
        raw.send(&format!("CONNECT {}\r\n", json!({ "jwt": token, "sig": sig })));
        assert_eq!(raw.rest(), "-ERR 'Authorization Violation'\r\n");
    }
    let mut text = server.log();
    for path in ["/varz", "/connz?auth=1&state=all", "/accstatz?unused=1"] {
        text.push_str(&doc(&server, path).to_string());
    }
    text.push_str(&doc(&server, &format!("/accountz?acc={}", a.public())).to_string());
    let signatures = [&bearer, &broken, &foreign].map(|t| t.rsplit('.').next().unwrap().to_owned());
    sys.publish("the.end", "".into()).await.unwrap();
    loop {
        let m = next(&mut all).await;
        if m.subject.as_str() == "the.end" {
            break;
        }
        text.push_str(&crate::common::text(&m.payload));
    }
    for name in ["bea", "joe", "admin"] {
        assert!(!text.contains(user(name).seed().as_str()));
    }
    for signature in signatures {
        assert!(!text.contains(&signature), "the signature of a token is shown");
    }
    assert!(text.contains("authentication error - JWT User"));
}
