//! Logins that the service of an account decides, in operator mode.

use crate::common::{Raw, configured, doc, next_text, sync, within};
use crate::tokens::*;
use async_nats::ConnectErrorKind;
use futures_util::StreamExt;
use gust_account::callout::request::{AuthorizationRequest, AuthorizationRequestClaims};
use gust_account::callout::{REQUEST_SUBJECT, XKEY_HEADER};
use gust_account::jwt::{self, AuthorizationResponseClaims, UserClaims};
use gust_account::nkey::{CurveKeyPair, KeyPair};
use gust_tests::process::Server;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const VIOLATION: &str = "-ERR 'Authorization Violation'\r\n";

fn curve() -> CurveKeyPair {
    CurveKeyPair::from_random([5; 32])
}

/// Who signs what of the answer.
struct Signers {
    user: KeyPair,
    response: KeyPair,
}

/// Decides by the name the client gives: the account it goes to, or an error.
type Rule = fn(&AuthorizationRequestClaims, &mut UserClaims) -> Result<Signers, String>;

/// Accounts A, B and OUT; the service of S may place users into the first two.
fn config(sealed: bool) -> String {
    let mut authorization = json!({
        "auth_users": [user("svc").public()],
        "allowed_accounts": [account("A").public(), account("B").public()],
    });
    if sealed {
        authorization["xkey"] = curve().public().into();
    }
    let scope = json!({"kind": "user_scope", "key": account("B-key").public(), "role": "r",
        "template": {"subs": -1, "data": -1, "payload": -1,
                     "pub": {"allow": ["of.{{name()}}.>"]}}});
    let accounts = [
        ("S", json!({ "authorization": authorization })),
        ("A", json!({"limits": {"conn": 1}})),
        ("B", json!({ "signing_keys": [scope] })),
        ("OUT", json!({})),
    ];
    memory(&accounts, "")
}

/// The token everybody shows: it says which account's service to ask, and would
/// allow nothing.
fn sentinel() -> String {
    let nats = json!({"bearer_token": true, "pub": {"deny": [">"]}, "sub": {"deny": [">"]}});
    user_token("sentinel", nats, &account("S"))
}

fn connect(name: &str, pass: &str) -> String {
    let jwt = sentinel();
    format!(r#"{{"verbose":false,"jwt":"{jwt}","user":"{name}","pass":"{pass}","name":"app"}}"#)
}

/// Starts the service; gives the requests it saw.
async fn serve(server: &Server, rule: Rule) -> Arc<Mutex<Vec<AuthorizationRequestClaims>>> {
    let token = user_token("svc", json!({}), &account("S"));
    let client = within(options(&token, "svc").connect(&server.url)).await.unwrap();
    let mut requests = client.subscribe(REQUEST_SUBJECT).await.unwrap();
    sync(&client).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let xkey = request.headers.as_ref().and_then(|h| h.get(XKEY_HEADER));
            let xkey = xkey.map(|v| v.as_str().to_owned());
            let text = match &xkey {
                Some(xkey) => curve().open(&request.payload, xkey).unwrap(),
                None => request.payload.to_vec(),
            };
            let text = String::from_utf8(text).unwrap();
            let asked = jwt::decode::<AuthorizationRequest>(&text).unwrap();
            let mut who = user_claims("joe", json!({}));
            who.subject.clone_from(&asked.nats.user_nkey);
            let mut response = AuthorizationResponseClaims {
                subject: asked.nats.user_nkey.clone(),
                audience: asked.nats.server_id.id.clone(),
                ..AuthorizationResponseClaims::default()
            };
            let signer = match rule(&asked, &mut who) {
                Ok(signers) => {
                    response.nats.jwt = jwt::sign(&who, &signers.user).unwrap();
                    signers.response
                }
                Err(why) => {
                    response.nats.error = why;
                    account("S")
                }
            };
            log.lock().unwrap().push(asked);
            let token = jwt::sign(&response, &signer).unwrap().into_bytes();
            let payload = match &xkey {
                Some(xkey) => curve().seal(&token, xkey, [7; 24]).unwrap(),
                None => token,
            };
            client.publish(request.reply.unwrap(), payload.into()).await.unwrap();
        }
    });
    seen
}

/// bob goes to A, scoped users to B; the others are what must not work.
fn rule(asked: &AuthorizationRequestClaims, who: &mut UserClaims) -> Result<Signers, String> {
    let said = &asked.nats.connect_opts;
    let by = |user: &str, response: &str| {
        Ok(Signers { user: account(user), response: account(response) })
    };
    who.name.clone_from(&said.user);
    match said.user.as_str() {
        "bob" if said.pass == "builds" => {
            who.nats.limits.permissions.publish.allow = vec!["bob.>".to_owned()];
            by("A", "S")
        }
        "scoped" => {
            let limits = &mut who.nats.limits;
            (limits.subs, limits.data, limits.payload) = (0, 0, 0);
            who.nats.issuer_account = account("B").public().to_owned();
            by("B-key", "S")
        }
        // Not among the allowed accounts, not an account of this operator, not
        // signed by the service, for somebody else, over.
        "out" => by("OUT", "S"),
        "unknown" => by("X", "S"),
        "forged" => by("A", "X"),
        "other" => {
            who.subject = user("eve").public().to_owned();
            by("A", "S")
        }
        "late" => {
            who.expires = now() - 1;
            by("A", "S")
        }
        _ => Err("who is that?".to_owned()),
    }
}

#[track_caller]
fn refused(server: &Server, name: &str, pass: &str, why: &str) {
    let before = server.log().len();
    let mut raw = Raw::open(server);
    raw.send(&format!("CONNECT {}\r\nPING\r\n", connect(name, pass)));
    assert_eq!(raw.rest(), VIOLATION, "{name}");
    let log = server.log().split_off(before);
    assert!(log.contains(why), "{name}: {why:?} is not in {log}");
    assert!(!log.contains("eyJ") && !log.contains(&format!("{pass:?}")), "secrets in {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_of_an_account_places_its_users() {
    for sealed in [false, true] {
        let server = configured(&config(sealed));
        let seen = serve(&server, rule).await;
        let mut raw = Raw::connect(&server, &connect("bob", "builds"));
        let asked = seen.lock().unwrap().pop().unwrap();
        assert_eq!(asked.subject, account("S").public());
        let said = &asked.nats.connect_opts;
        assert_eq!((said.user.as_str(), &*said.jwt), ("bob", &*sentinel()));
        assert_eq!(!asked.nats.server_id.xkey.is_empty(), sealed);
        // It is in A under the name the service gave, and may do what that says.
        let a = account("A").public().to_owned();
        let open = doc(&server, &format!("/connz?auth=1&acc={a}"));
        assert_eq!(open["connections"][0]["authorized_user"], "bob", "{open}");
        raw.send("SUB x 1\r\nPUB x 0\r\n\r\n");
        raw.expect(&["-ERR 'Permissions Violation for Publish to \"x\"'"]);
        // The account's own limits count as ever.
        let mut second = Raw::open(&server);
        second.send(&format!("CONNECT {}\r\nPING\r\n", connect("bob", "builds")));
        assert_eq!(second.rest(), "-ERR 'maximum account active connections exceeded'\r\n");
        // A signing key with a template decides for those it signs.
        let mut scoped = Raw::connect(&server, &connect("scoped", ""));
        scoped.send("SUB of.scoped.x 1\r\nPUB of.scoped.x 0\r\n\r\nPUB of.bob.x 0\r\n\r\n");
        scoped.expect(&["MSG of.scoped.x 1 0", ""]);
        scoped.expect(&["-ERR 'Permissions Violation for Publish to \"of.bob.x\"'"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_service_may_not_say_is_refused() {
    let server = configured(&config(false));
    let seen = serve(&server, rule).await;
    refused(&server, "bob", "destroys", "who is that?");
    refused(&server, "out", "o", "allowed_accounts");
    refused(&server, "unknown", "u", account("X").public());
    refused(&server, "forged", "f", "signed");
    refused(&server, "other", "o", "not for the one asked about");
    refused(&server, "late", "l", "expired");
    assert_eq!(seen.lock().unwrap().len(), 6);

    // Nobody is asked about tokens of other accounts and about the service's users.
    let joe = user_token("joe", json!({}), &account("OUT"));
    let client = within(options(&joe, "joe").connect(&server.url)).await.unwrap();
    let mut sub = client.subscribe("x").await.unwrap();
    client.publish("x", "hello".into()).await.unwrap();
    assert_eq!(next_text(&mut sub).await, "hello");
    let svc = user_token("svc", json!({}), &account("S"));
    within(options(&svc, "svc").connect(&server.url)).await.unwrap();
    let err = within(options(&svc, "eve").connect(&server.url)).await.unwrap_err();
    assert_eq!(err.kind(), ConnectErrorKind::AuthorizationViolation);
    assert_eq!(seen.lock().unwrap().len(), 6);
    // A good token of the account is not enough: its service decides.
    let mine: Value = json!({});
    let err = within(options(&user_token("joe", mine, &account("S")), "joe").connect(&server.url))
        .await
        .unwrap_err();
    assert_eq!(err.kind(), ConnectErrorKind::AuthorizationViolation);
    assert_eq!(seen.lock().unwrap().len(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_service_an_account_is_closed() {
    let server = configured(&format!("authorization {{ timeout: 0.3 }}\n{}", config(true)));
    refused(&server, "bob", "builds", "did not answer in time");
}
