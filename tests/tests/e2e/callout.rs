//! Logins that a service decides.

use crate::common::{Raw, configured, doc, login, next_text, options, sync, until, within};
use async_nats::HeaderMap;
use futures_util::StreamExt;
use gust_account::callout::request::{AuthorizationRequest, AuthorizationRequestClaims};
use gust_account::callout::{REQUEST_AUDIENCE, REQUEST_SUBJECT, XKEY_HEADER};
use gust_account::jwt::{self, AuthorizationResponseClaims, UserClaims};
use gust_account::nkey::{CurveKeyPair, KeyKind, KeyPair, is_public};
use gust_tests::process::Server;
use std::sync::{Arc, Mutex};

const VIOLATION: &str = "-ERR 'Authorization Violation'\r\n";

fn issuer() -> KeyPair {
    KeyPair::from_random(KeyKind::Account, [1; 32]).unwrap()
}

fn curve() -> CurveKeyPair {
    CurveKeyPair::from_random([2; 32])
}

fn config(more: &str, timeout: &str) -> String {
    format!(
        "accounts {{
            AUTH {{ users: [{{ user: auth, password: a }}] }}
            APP {{ users: [{{ user: local, password: l }}] }}
            OUT {{ users: [{{ user: out, password: o }}] }} }}
        authorization {{ timeout: {timeout}
            auth_callout {{ issuer: {}, auth_users: [auth], account: AUTH, {more} }} }}",
        issuer().public()
    )
}

/// Whether the service lets somebody in, and what it changes of the claims.
type Rule = fn(&AuthorizationRequestClaims, &mut UserClaims) -> Result<(), String>;

/// Starts a service that answers by `rule`; gives the requests it saw.
async fn serve(
    server: &Server,
    sealed: bool,
    rule: Rule,
) -> Arc<Mutex<Vec<AuthorizationRequestClaims>>> {
    let client = login(server, "auth", "a").await;
    let mut requests = client.subscribe(REQUEST_SUBJECT).await.unwrap();
    sync(&client).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let header = |h: &HeaderMap| h.get(XKEY_HEADER).map(|v| v.as_str().to_owned());
            let xkey = request.headers.as_ref().and_then(header);
            let text = match &xkey {
                Some(xkey) => curve().open(&request.payload, xkey).unwrap(),
                None => request.payload.to_vec(),
            };
            let text = String::from_utf8(text).unwrap();
            let claims = jwt::decode::<AuthorizationRequest>(&text).unwrap();
            let mut user = UserClaims {
                subject: claims.nats.user_nkey.clone(),
                audience: "APP".to_owned(),
                ..UserClaims::default()
            };
            let mut response = AuthorizationResponseClaims {
                subject: claims.nats.user_nkey.clone(),
                audience: claims.nats.server_id.id.clone(),
                ..AuthorizationResponseClaims::default()
            };
            match rule(&claims, &mut user) {
                Ok(()) => response.nats.jwt = jwt::sign(&user, &issuer()).unwrap(),
                Err(why) => response.nats.error = why,
            }
            log.lock().unwrap().push(claims);
            let token = jwt::sign(&response, &issuer()).unwrap().into_bytes();
            let payload = match xkey.filter(|_| sealed) {
                Some(xkey) => curve().seal(&token, &xkey, [7; 24]).unwrap(),
                None => token,
            };
            client.publish(request.reply.unwrap(), payload.into()).await.unwrap();
        }
    });
    seen
}

fn refused(server: &Server, connect: &str) {
    let mut raw = Raw::open(server);
    raw.send(&format!("CONNECT {connect}\r\nPING\r\n"));
    assert_eq!(raw.rest(), VIOLATION, "{connect}");
}

/// Bob with his password gets in as Robert, and may do little.
fn bob(claims: &AuthorizationRequestClaims, user: &mut UserClaims) -> Result<(), String> {
    let said = &claims.nats.connect_opts;
    if (said.user.as_str(), said.pass.as_str()) != ("bob", "builds") {
        return Err("who is that?".to_owned());
    }
    user.name = "Robert".to_owned();
    let limits = &mut user.nats.limits;
    (limits.subs, limits.data, limits.payload) = (2, -1, 100);
    limits.permissions.publish.allow = vec!["bob.>".to_owned()];
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_decides_who_somebody_is() {
    let server = configured(&config("", "10"));
    let seen = serve(&server, false, bob).await;
    let mut raw = Raw::open(&server);
    raw.send(
        "CONNECT {\"verbose\":false,\"user\":\"bob\",\"pass\":\"builds\",\"name\":\"app\",\"lang\":\"x\"}\r\nPING\r\n",
    );
    raw.expect(&["PONG"]);
    let request = seen.lock().unwrap().pop().unwrap();
    assert_eq!(request.audience, REQUEST_AUDIENCE);
    assert_eq!(request.subject, issuer().public());
    assert_eq!(request.issuer, raw.info["server_id"].as_str().unwrap());
    let nats = request.nats;
    assert!(is_public(&nats.user_nkey, KeyKind::User));
    assert_eq!(nats.server_id.id, request.issuer);
    assert_eq!(
        (nats.client_info.kind.as_str(), &*nats.client_info.client_type),
        ("Client", "nats")
    );
    assert_eq!((nats.client_info.user.as_str(), &*nats.client_info.name), ("bob", "app"));
    assert_eq!(nats.client_info.host, "127.0.0.1");
    assert_eq!(nats.client_info.id, raw.info["client_id"].as_u64().unwrap());
    assert_eq!((nats.connect_opts.user.as_str(), &*nats.connect_opts.lang), ("bob", "x"));

    // It is who the service says, and may do what it says.
    let connz = doc(&server, "/connz?auth=1&acc=APP");
    assert_eq!(connz["connections"][0]["authorized_user"], "Robert");
    raw.send("PUB bob.x 0\r\n\r\nPUB x 0\r\n\r\n");
    raw.expect(&["-ERR 'Permissions Violation for Publish to \"x\"'"]);
    raw.send("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n");
    raw.expect(&["-ERR 'maximum subscriptions exceeded'"]);
    raw.send("PUB bob.x 101\r\n");
    assert_eq!(raw.rest(), "-ERR 'Maximum Payload Violation'\r\n");

    // Users of the configuration are asked about as well, good or bad.
    refused(&server, r#"{"user":"bob","pass":"destroys"}"#);
    refused(&server, r#"{"user":"local","pass":"l"}"#);
    refused(&server, "{}");
    assert!(server.log().contains("refuses: who is that?"));
    // The service's own users are not.
    let before = seen.lock().unwrap().len();
    refused(&server, r#"{"user":"auth","pass":"wrong"}"#);
    assert_eq!(seen.lock().unwrap().len(), before);
    // Nor may anybody in its account put questions.
    let mut raw = Raw::connect(&server, r#"{"verbose":false,"user":"auth","pass":"a"}"#);
    raw.send(&format!("PUB {REQUEST_SUBJECT} 0\r\n\r\n"));
    raw.expect(&[&format!("-ERR 'Permissions Violation for Publish to \"{REQUEST_SUBJECT}\"'")]);
    // Nothing is left behind of the questions.
    let subs = doc(&server, "/subsz?subs=1&acc=AUTH").to_string();
    assert!(!subs.contains("$SYS._INBOX"), "{subs}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_answers_may_be_sealed() {
    for sealed in [true, false] {
        let server = configured(&config(&format!("xkey: {}", curve().public()), "10"));
        let seen = serve(&server, sealed, bob).await;
        let client = login(&server, "bob", "builds").await;
        let mut sub = client.subscribe("bob.x").await.unwrap();
        client.publish("bob.x", "hello".into()).await.unwrap();
        assert_eq!(next_text(&mut sub).await, "hello");
        let request = seen.lock().unwrap().pop().unwrap();
        assert!(is_public(&request.nats.server_id.xkey, KeyKind::Curve));
        refused(&server, r#"{"user":"eve","pass":"x"}"#);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_that_are_not_delegated_are_decided_here() {
    let server = configured(&config("allowed_accounts: [APP]", "10"));
    let seen = serve(&server, false, |_, _| Err("never".to_owned())).await;
    login(&server, "out", "o").await;
    assert!(seen.lock().unwrap().is_empty());
    refused(&server, r#"{"user":"out","pass":"wrong"}"#);
    refused(&server, r#"{"user":"local","pass":"l"}"#);
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_and_nonsense_are_refusals() {
    // Nobody listens.
    let server = configured(&config("", "0.3"));
    refused(&server, r#"{"user":"bob","pass":"builds"}"#);
    assert!(server.log().contains("did not answer in time"));
    // Somebody answers with anything.
    let service = login(&server, "auth", "a").await;
    let mut requests = service.subscribe(REQUEST_SUBJECT).await.unwrap();
    sync(&service).await;
    for nonsense in ["", "no", "eyJ.eyJ.eyJ", "xkv1"] {
        let mut raw = Raw::open(&server);
        raw.send("CONNECT {\"user\":\"bob\"}\r\nPING\r\n");
        let request = within(requests.next()).await.unwrap();
        service.publish(request.reply.unwrap(), nonsense.into()).await.unwrap();
        assert_eq!(raw.rest(), VIOLATION, "{nonsense:?}");
    }
    // A client that hangs up while the service thinks is gone at once.
    let mut raw = Raw::open(&server);
    raw.send("CONNECT {\"user\":\"bob\"}\r\nPING\r\n");
    within(requests.next()).await.unwrap();
    drop(raw);
    until("it is gone", || async {
        (doc(&server, "/varz")["connections"].as_u64() <= Some(1)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_serves_once_and_only_its_server() {
    let server = configured(&config("", "0.5"));
    // An answer for another user key, which is what a replayed one is.
    serve(&server, false, |_, user| {
        user.subject = KeyPair::from_random(KeyKind::User, [9; 32]).unwrap().public().to_owned();
        Ok(())
    })
    .await;
    refused(&server, r#"{"user":"bob","pass":"builds"}"#);
    assert!(server.log().contains("not for the one asked about"));
    let e = within(options("bob", "builds").connect(&server.url)).await.unwrap_err();
    assert_eq!(e.kind(), async_nats::ConnectErrorKind::AuthorizationViolation);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_let_in_for_a_time_leaves_with_it() {
    let server = configured(&config("", "10"));
    serve(&server, false, |claims, user| {
        user.expires = claims.issued_at + 2;
        Ok(())
    })
    .await;
    let mut raw = Raw::open(&server);
    raw.send("CONNECT {\"verbose\":false,\"user\":\"bob\"}\r\nPING\r\n");
    raw.expect(&["PONG"]);
    assert_eq!(raw.rest(), "-ERR 'User Authentication Expired'\r\n");
}
