//! Account tokens that come and go: requests in the system account, and what is
//! stored of them and noticed by clients.

use crate::common::{DEADLINE, Raw, configured, next_text, sync, text, within};
use crate::tokens::*;
use async_nats::{Client, ConnectErrorKind};
use gust_account::jwt::{Claims, GenericClaims, sign};
use gust_account::nkey::KeyPair;
use gust_tests::process::Server;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server with a directory of tokens and nothing in it.
pub struct Node {
    pub server: Server,
    pub dir: TempDir,
}

impl Node {
    pub fn start(kind: &str, more: &str) -> Node {
        Node::with(kind, more, &operator_token(), "")
    }

    pub fn with(kind: &str, more: &str, operator: &str, rest: &str) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let jwts = dir.path().join("jwt");
        let config = format!(
            "operator: {operator}\nresolver {{ type: {kind}, dir: {:?}, {more} }}\n{rest}",
            jwts.to_str().unwrap()
        );
        Node { server: configured(&config), dir }
    }

    pub fn file(&self, name: &str, end: &str) -> PathBuf {
        self.dir.path().join("jwt").join(format!("{}.jwt{end}", account(name).public()))
    }

    /// Somebody of the system account.
    pub async fn system(&self) -> Client {
        login(&self.server, "SYS", "root").await
    }

    /// Stores the token of an account.
    pub async fn push(&self, system: &Client, token: &str) -> Value {
        let reply = ask(system, "$SYS.REQ.CLAIMS.UPDATE", token).await;
        assert_eq!(reply["server"]["id"], self.server_id(), "{reply}");
        reply
    }

    pub fn server_id(&self) -> Value {
        Raw::open(&self.server).info["server_id"].clone()
    }
}

pub async fn login(server: &Server, of: &str, name: &str) -> Client {
    let token = user_token(name, json!({}), &account(of));
    within(options(&token, name).connect(&server.url)).await.unwrap()
}

pub async fn refused(server: &Server, of: &str, name: &str, why: &str) {
    let token = user_token(name, json!({}), &account(of));
    let before = server.log().len();
    let err = within(options(&token, name).connect(&server.url)).await.unwrap_err();
    assert_eq!(err.kind(), ConnectErrorKind::AuthorizationViolation, "{why}");
    let log = server.log().split_off(before);
    assert!(log.contains(why), "{why:?} is not in {log}");
}

pub async fn raw_answer(client: &Client, subject: &str, body: &str) -> String {
    let reply = within(client.request(subject.to_owned(), body.to_owned().into())).await.unwrap();
    text(&reply.payload)
}

pub async fn ask(client: &Client, subject: &str, body: &str) -> Value {
    serde_json::from_str(&raw_answer(client, subject, body).await).unwrap()
}

pub fn done(id: &str, message: &str) -> Value {
    json!({ "account": id, "code": 200, "message": message })
}

pub fn id(name: &str) -> String {
    account(name).public().to_owned()
}

pub fn plain(name: &str) -> String {
    account_token(name, json!({}))
}

pub fn tagged(name: &str, tag: &str) -> String {
    account_token(name, json!({ "tags": [tag] }))
}

/// What `nsc` sends to delete accounts.
pub fn deletion(signer: &KeyPair, accounts: Value) -> String {
    let nats = Map::from_iter([("accounts".to_owned(), accounts)]);
    let subject = signer.public().to_owned();
    let claims: GenericClaims = Claims { subject, nats, ..Claims::default() };
    sign(&claims, signer).unwrap()
}

/// A client that keeps its connection, to see how it ends.
pub fn held(server: &Server, of: &str, name: &str) -> Raw {
    let mut raw = Raw::open(server);
    let nonce = raw.info["nonce"].as_str().unwrap().to_owned();
    let sig = data_encoding::BASE64URL_NOPAD.encode(&user(name).sign(nonce.as_bytes()));
    let jwt = user_token(name, json!({}), &account(of));
    let connect = json!({ "jwt": jwt, "sig": sig, "verbose": false, "pedantic": false });
    raw.send(&format!("CONNECT {connect}\r\nPING\r\n"));
    raw.expect(&["PONG"]);
    raw
}

/// It is cut off with this text.
pub fn cut(mut raw: Raw, why: &str) {
    let began = Instant::now();
    assert_eq!(raw.line(), format!("-ERR '{why}'"));
    assert_eq!(raw.try_line(), None);
    assert!(began.elapsed() < DEADLINE);
}

#[tokio::test]
async fn what_is_pushed_is_on_disk_and_in_force() {
    let mut node = Node::start("full", "");
    // There is no token of the system account: its own key lets its users in.
    let system = node.system().await;
    refused(&node.server, "A", "joe", "does not know account").await;
    for (name, subject) in [
        ("A", "$SYS.REQ.CLAIMS.UPDATE".to_owned()),
        ("B", format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", id("B"))),
        ("C", format!("$SYS.ACCOUNT.{}.CLAIMS.UPDATE", id("C"))),
    ] {
        let reply = ask(&system, &subject, &plain(name)).await;
        assert_eq!(reply["data"], done(&id(name), "jwt updated"), "{reply}");
        assert_eq!(reply["server"]["id"], node.server_id());
        assert_eq!(std::fs::read_to_string(node.file(name, "")).unwrap(), plain(name));
        // A login that failed a moment ago succeeds now.
        let joe = login(&node.server, name, "joe").await;
        sync(&joe).await;
    }
    // The same once more, and as its own system account.
    assert_eq!(node.push(&system, &plain("A")).await["data"], done(&id("A"), "jwt updated"));
    node.push(&system, &plain("SYS")).await;
    let lookup = |name| format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.LOOKUP", id(name));
    assert_eq!(raw_answer(&system, &lookup("B"), "").await, plain("B"));
    assert_eq!(raw_answer(&system, &lookup("X"), "").await, "");
    let mut all = [id("A"), id("B"), id("C"), id("SYS")];
    all.sort();
    assert_eq!(ask(&system, "$SYS.REQ.CLAIMS.LIST", "").await["data"], json!(all));
    node.server.kill_and_restart().unwrap();
    for name in ["A", "B", "C"] {
        login(&node.server, name, "joe").await;
    }
    let system = node.system().await;
    assert_eq!(ask(&system, "$SYS.REQ.CLAIMS.LIST", "").await["data"], json!(all));
}

#[tokio::test]
async fn packs_tell_stores_apart() {
    let node = Node::start("full", "");
    let system = node.system().await;
    node.push(&system, &plain("A")).await;
    node.push(&system, &plain("B")).await;
    let inbox = system.new_inbox();
    let mut packs = system.subscribe(inbox.clone()).await.unwrap();
    let pack = "$SYS.REQ.CLAIMS.PACK";
    system.publish_with_reply(pack, inbox.clone(), "x".into()).await.unwrap();
    let mut got = Vec::new();
    loop {
        match next_text(&mut packs).await {
            last if last.is_empty() => break,
            line => got.push(line),
        }
    }
    got.sort();
    let mut want = ["A", "B"].map(|name| format!("{}|{}", id(name), plain(name)));
    want.sort();
    assert_eq!(got, want);
    // XOR of the digests of both: nothing to tell.
    let mut sum = vec![0; 32];
    for name in ["A", "B"] {
        let digest = ring::digest::digest(&ring::digest::SHA256, plain(name).as_bytes());
        sum.iter_mut().zip(digest.as_ref()).for_each(|(s, d)| *s ^= d);
    }
    system.publish_with_reply(pack, inbox, sum.into()).await.unwrap();
    assert_eq!(next_text(&mut packs).await, "");
}

#[tokio::test]
async fn updates_that_make_no_sense_are_answered_and_not_stored() {
    let node = Node::start("full", "");
    let system = node.system().await;
    let update = "$SYS.REQ.CLAIMS.UPDATE";
    let of = |name: &str| format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", id(name));
    let mut forged = plain("A");
    forged.replace_range(forged.len() - 8.., "AAAAAAAA");
    let user = user_token("joe", json!({}), &account("A"));
    for body in ["", "nonsense", "a.b.c", forged.as_str(), user.as_str()] {
        for subject in [update.to_owned(), of("A")] {
            let reply = ask(&system, &subject, body).await;
            let error = &reply["error"];
            assert_eq!((&error["account"], &error["code"]), (&json!("n/a"), &json!(500)));
            let text = error["description"].as_str().unwrap();
            assert!(text.starts_with("jwt update resulted in error - "), "{text}");
            assert!(!reply.to_string().contains(&forged[..40]), "{reply}");
        }
    }
    let reply = ask(&system, &of("B"), &plain("A")).await;
    let want = "jwt update resulted in error - subject does not match jwt content";
    assert_eq!(reply["error"], json!({"account": id("B"), "code": 500, "description": want}));
    assert_eq!(ask(&system, "$SYS.REQ.CLAIMS.LIST", "").await["data"], json!([]));
    // A stranger's account is stored, but nobody gets in.
    let stranger = key(gust_account::nkey::KeyKind::Operator, "P");
    let token = sign(&account_claims("A", json!({})), &stranger).unwrap();
    assert_eq!(node.push(&system, &token).await["data"]["code"], 200);
    refused(&node.server, "A", "joe", "no trusted operator key").await;
    // Nor does one that is already in force make room for it.
    node.push(&system, &plain("B")).await;
    let joe = held(&node.server, "B", "joe");
    let token = sign(&account_claims("B", json!({})), &stranger).unwrap();
    assert_eq!(node.push(&system, &token).await["data"]["code"], 200);
    login(&node.server, "B", "ann").await;
    drop(joe);
}

#[tokio::test]
async fn only_the_system_account_changes_tokens() {
    let node = Node::start("full", "allow_delete: true");
    let system = node.system().await;
    node.push(&system, &plain("A")).await;
    let joe = login(&node.server, "A", "joe").await;
    for subject in ["$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.CLAIMS.LIST", "$SYS.REQ.CLAIMS.DELETE"] {
        let err = within(joe.request(subject, plain("B").into())).await.unwrap_err();
        assert_eq!(err.kind(), async_nats::RequestErrorKind::NoResponders, "{subject}");
    }
    assert_eq!(ask(&system, "$SYS.REQ.CLAIMS.LIST", "").await["data"], json!([id("A")]));
}

#[tokio::test]
async fn deleted_accounts_lose_their_clients_and_can_come_back() {
    for (more, renamed) in
        [("allow_delete: true", true), ("allow_delete: true, hard_delete: true", false)]
    {
        let node = Node::start("full", more);
        let system = node.system().await;
        for name in ["A", "B", "SYS"] {
            node.push(&system, &plain(name)).await;
        }
        let delete = "$SYS.REQ.CLAIMS.DELETE";
        let (joe, ann) = (held(&node.server, "A", "joe"), login(&node.server, "B", "ann").await);
        for (request, why) in [
            (deletion(&account("A"), json!([id("A")])), "not trusted"),
            (
                deletion(&operator(), json!([id("A"), id("SYS")])),
                "not allowed to delete system account",
            ),
            (deletion(&operator(), json!([id("A"), "B"])), "malformed request"),
            ("x.y.z".to_owned(), ""),
        ] {
            let reply = ask(&system, delete, &request).await;
            let text = reply["error"]["description"].as_str().unwrap_or_default();
            assert!(
                text.starts_with("delete accounts request by") && text.ends_with(why),
                "{reply}"
            );
        }
        let reply = ask(&system, delete, &deletion(&operator(), json!([id("A")]))).await;
        assert_eq!(reply["data"], json!({"code": 200, "message": "deleted 1 accounts"}));
        cut(joe, "Account Authentication Expired");
        refused(&node.server, "A", "joe", "does not know account").await;
        assert!(!node.file("A", "").exists());
        assert_eq!(node.file("A", ".deleted").exists(), renamed);
        sync(&ann).await;
        assert_eq!(node.push(&system, &plain("A")).await["data"]["code"], 200);
        login(&node.server, "A", "joe").await;
    }
    let node = Node::start("full", "");
    let system = node.system().await;
    node.push(&system, &plain("A")).await;
    let reply =
        ask(&system, "$SYS.REQ.CLAIMS.DELETE", &deletion(&operator(), json!([id("A")]))).await;
    let text = reply["error"]["description"].as_str().unwrap();
    assert!(text.ends_with("delete must be enabled in server config"), "{text}");
    login(&node.server, "A", "joe").await;
}

#[tokio::test]
async fn strict_operators_want_signing_keys() {
    let (own, signing) = (operator(), key(gust_account::nkey::KeyKind::Operator, "S"));
    let nats = json!({
        "system_account": id("SYS"),
        "signing_keys": [signing.public()],
        "strict_signing_key_usage": true,
    });
    let token = sign(&claims::<gust_account::jwt::OperatorData>(&own, "OP", nats), &own).unwrap();
    let node = Node::with("full", "", &token, "");
    let system = node.system().await;
    let reply = node.push(&system, &plain("A")).await;
    let text = reply["error"]["description"].as_str().unwrap();
    assert!(text.ends_with("operator requires issuer to be a signing key"), "{reply}");
    assert!(!node.file("A", "").exists());
    let nats = json!({"signing_keys": [account("K").public()]});
    let good = sign(&account_claims("A", nats), &signing).unwrap();
    assert_eq!(node.push(&system, &good).await["data"]["code"], 200);
    let user = user_token("joe", json!({"issuer_account": id("A")}), &account("K"));
    within(options(&user, "joe").connect(&node.server.url)).await.unwrap();
}

#[tokio::test]
async fn accounts_end_in_time_and_go_on_with_a_new_token() {
    let node = Node::start("full", "");
    let system = node.system().await;
    let mut claims = account_claims("A", json!({}));
    claims.expires = now() + 2;
    node.push(&system, &sign(&claims, &operator()).unwrap()).await;
    let joe = held(&node.server, "A", "joe");
    cut(joe, "Account Authentication Expired");
    refused(&node.server, "A", "joe", "has expired").await;
    assert!(node.file("A", "").exists());
    node.push(&system, &plain("A")).await;
    login(&node.server, "A", "joe").await;
}

#[tokio::test]
async fn an_expired_token_is_told_to_those_who_are_there() {
    let node = Node::start("full", "");
    let system = node.system().await;
    node.push(&system, &plain("A")).await;
    let joe = held(&node.server, "A", "joe");
    let mut claims = account_claims("A", json!({}));
    claims.expires = now() - 5;
    node.push(&system, &sign(&claims, &operator()).unwrap()).await;
    cut(joe, "Account Authentication Expired");
    refused(&node.server, "A", "joe", "has expired").await;
}

/// Without the token of the system account its own key lets people in to bring
/// one; a token that has ended is not none.
#[tokio::test]
async fn an_expired_system_account_lets_nobody_in() {
    let node = Node::start("full", "");
    let system = node.system().await;
    let root = held(&node.server, "SYS", "root");
    let mut claims = account_claims("SYS", json!({}));
    claims.expires = now() + 1;
    node.push(&system, &sign(&claims, &operator()).unwrap()).await;
    cut(root, "Account Authentication Expired");
    // Longer than ended accounts are remembered for.
    for _ in 0..10 {
        refused(&node.server, "SYS", "root", "has expired").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
