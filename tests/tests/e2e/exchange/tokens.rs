//! Imports by account tokens: private exports ask for an activation.

use crate::common::{configured, next, sync, until, within};
use crate::tokens::*;
use async_nats::{Client, RequestErrorKind};
use futures_util::StreamExt;
use gust_account::jwt::{ActivationClaims, ActivationData, sign};
use gust_account::nkey::KeyPair;
use gust_tests::process::Server;
use serde_json::{Value, json};

/// What an exporter lets `to` import; `change` spoils it.
fn leaves(signer: &str, to: &str, change: impl Fn(&mut ActivationClaims)) -> [String; 2] {
    [("feed.>", "stream"), ("svc.*", "service")].map(|(subject, kind)| {
        let nats = json!({"subject": subject, "kind": kind});
        let mut leave = claims::<ActivationData>(&account(to), "leave", nats);
        change(&mut leave);
        sign(&leave, &account(signer)).unwrap()
    })
}

/// An account with a public and a private export of each kind.
fn exporter(revocations: &Value) -> Value {
    let mut exports = json!([
        {"name": "open", "subject": "open.>", "type": "stream"},
        {"name": "feed", "subject": "feed.>", "type": "stream", "token_req": true},
        {"name": "asked", "subject": "asked.*", "type": "service"},
        {"name": "svc", "subject": "svc.*", "type": "service", "token_req": true},
    ]);
    for private in [1, 3] {
        exports[private]["revocations"] = revocations.clone();
    }
    json!({ "exports": exports, "signing_keys": [account("A-key").public()] })
}

/// Imports everything of `from`, the private ones with these tokens.
fn importer(from: &str, [stream, service]: &[String; 2]) -> Value {
    let from = account(from).public().to_owned();
    json!({"imports": [
        {"name": "open", "subject": "open.>", "account": from, "type": "stream"},
        {"name": "feed", "subject": "feed.>", "account": from, "type": "stream", "token": stream},
        {"name": "asked", "subject": "asked.*", "account": from, "type": "service"},
        {"name": "svc", "subject": "svc.*", "account": from, "type": "service", "token": service,
         "local_subject": "mine.$1"},
    ]})
}

async fn login(server: &Server, of: &str) -> Option<Client> {
    let token = user_token(of, json!({}), &account(of));
    within(options(&token, of).connect(&server.url)).await.ok()
}

/// An exporter who answers requests and publishes.
async fn serving(server: &Server, of: &str) -> Client {
    let client = login(server, of).await.unwrap();
    for subject in ["asked.x", "svc.x"] {
        let mut requests = client.subscribe(subject).await.unwrap();
        let client = client.clone();
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                client.publish(request.reply.unwrap(), "done".into()).await.unwrap();
            }
        });
    }
    sync(&client).await;
    client
}

/// What crosses: the private stream and the private service; the public ones must.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Crosses {
    All,
    Public,
    /// The account's token does not even count.
    NoLogin,
}

async fn crosses(server: &Server, from: &Client, to: &str) -> Crosses {
    let Some(client) = login(server, to).await else { return Crosses::NoLogin };
    let mut all = client.subscribe("*.news").await.unwrap();
    sync(&client).await;
    from.publish("feed.news", "".into()).await.unwrap();
    from.publish("open.news", "".into()).await.unwrap();
    let mut fed = false;
    while next(&mut all).await.subject.as_str() != "open.news" {
        fed = true;
    }
    within(client.request("asked.x", "".into())).await.unwrap();
    match within(client.request("mine.x", "".into())).await {
        Ok(_) => assert!(fed, "{to}: the service crosses, the stream does not"),
        Err(e) => {
            assert_eq!(e.kind(), RequestErrorKind::NoResponders);
            assert!(!fed, "{to}: the stream crosses, the service does not");
        }
    }
    if fed { Crosses::All } else { Crosses::Public }
}

#[tokio::test]
async fn only_the_right_leave_opens_private_exports() {
    let of = |key: &KeyPair| key.public().to_owned();
    let speaks_for_a = |leave: &mut ActivationClaims| {
        leave.nats.issuer_account = account("A").public().to_owned();
    };
    let swapped = || {
        let [stream, service] = leaves("A", "swapped", |_| {});
        [service, stream]
    };
    use Crosses::{All, NoLogin, Public};
    let cases = [
        ("good", leaves("A", "good", |_| {}), All),
        ("signed", leaves("A-key", "signed", speaks_for_a), All),
        ("unsaid", leaves("A-key", "unsaid", |_| {}), NoLogin),
        ("kept", leaves("A", "kept", |_| {}), All),
        ("none", [String::new(), String::new()], Public),
        ("garbage", ["x.y.z".to_owned(), "eyJ".to_owned()], NoLogin),
        ("forged", leaves("X", "forged", |_| {}), NoLogin),
        ("posing", leaves("X", "posing", speaks_for_a), Public),
        ("own", leaves("own", "own", |_| {}), NoLogin),
        ("stolen", leaves("A", "good", |_| {}), NoLogin),
        ("late", leaves("A", "late", |l| l.expires = now() - 1), Public),
        (
            "elsewhere",
            leaves("A", "elsewhere", |l| l.nats.import_subject = "x".to_owned()),
            NoLogin,
        ),
        ("swapped", swapped(), NoLogin),
        ("revoked", leaves("A", "revoked", |_| {}), Public),
    ];
    let revocations = json!({ of(&account("revoked")): now(), of(&account("kept")): now() - 1000 });
    let mut accounts = vec![("A", exporter(&revocations))];
    for (name, leaves, _) in &cases {
        accounts.push((name, importer("A", leaves)));
    }
    // This one takes back all it ever gave.
    accounts.push(("R", exporter(&json!({ "*": now() }))));
    accounts.push(("all", importer("R", &leaves("R", "all", |_| {}))));

    let server = configured(&memory(&accounts, ""));
    let a = serving(&server, "A").await;
    for (name, _, want) in cases {
        assert_eq!(crosses(&server, &a, name).await, want, "{name}");
    }
    let r = serving(&server, "R").await;
    assert_eq!(crosses(&server, &r, "all").await, Public, "all are revoked");
}

/// What is taken back by a new token of the exporter ends for those who are connected.
#[tokio::test]
async fn a_revoked_leave_closes_what_it_opened() {
    let node = crate::claims::Node::start("full", "");
    let system = node.system().await;
    let imports = importer("A", &leaves("A", "B", |_| {}));
    node.push(&system, &account_token("A", exporter(&json!({})))).await;
    node.push(&system, &account_token("B", imports)).await;
    let a = serving(&node.server, "A").await;
    let b = login(&node.server, "B").await.unwrap();
    let mut sub = b.subscribe("*.now").await.unwrap();
    sync(&b).await;
    a.publish("feed.now", "".into()).await.unwrap();
    assert_eq!(next(&mut sub).await.subject.as_str(), "feed.now");
    within(b.request("mine.x", "".into())).await.unwrap();

    let revocations = json!({ account("B").public(): now() });
    node.push(&system, &account_token("A", exporter(&revocations))).await;
    until("the service is closed", || async {
        within(b.request("mine.x", "".into())).await.is_err().then_some(())
    })
    .await;
    a.publish("feed.now", "".into()).await.unwrap();
    a.publish("open.now", "".into()).await.unwrap();
    assert_eq!(next(&mut sub).await.subject.as_str(), "open.now");
}
