//! Who may connect, and what they may do.

use crate::common::{
    Raw, configured, connect, login, next, next_text, options, sync, text, until, within,
};
use async_nats::ConnectOptions;
use gust_tests::process::Server;

fn quiet(user: &str, pass: &str) -> String {
    format!(
        r#"{{"verbose":false,"headers":true,"no_responders":true,"user":"{user}","pass":"{pass}"}}"#
    )
}

fn refused(server: &Server, connect: &str) {
    let mut raw = Raw::open(server);
    assert_eq!(raw.info["auth_required"], true);
    raw.send(&format!("CONNECT {connect}\r\nPING\r\n"));
    assert_eq!(raw.rest(), "-ERR 'Authorization Violation'\r\n", "{connect}");
}

#[tokio::test]
async fn single_user_and_password() {
    let server = configured("authorization { user: u, password: secret }\n");
    login(&server, "u", "secret").await;
    for (u, p) in [("u", "wrong"), ("x", "secret"), ("", ""), ("u", "")] {
        refused(&server, &quiet(u, p));
        let e = within(options(u, p).connect(&server.url)).await.unwrap_err();
        assert_eq!(e.kind(), async_nats::ConnectErrorKind::AuthorizationViolation);
    }
    refused(&server, r#"{"auth_token":"secret"}"#);
    assert!(server.log().contains("authentication error"));
}

#[tokio::test]
async fn tokens() {
    let server = configured("authorization { token: \"s3cret\" }\n");
    within(ConnectOptions::with_token("s3cret".into()).connect(&server.url)).await.unwrap();
    refused(&server, r#"{"auth_token":"S3cret"}"#);
    refused(&server, "{}");
}

#[tokio::test]
async fn bcrypt_passwords() {
    let hash = bcrypt::hash("password", 4).unwrap();
    let server =
        configured(&format!("authorization {{ users: [{{ user: b, password: \"{hash}\" }}] }}\n"));
    let c = login(&server, "b", "password").await;
    let mut sub = c.subscribe("x").await.unwrap();
    c.publish("x", "y".into()).await.unwrap();
    assert_eq!(next_text(&mut sub).await, "y");
    refused(&server, &quiet("b", "Password"));
    refused(&server, &quiet("b", &hash));
}

#[test]
fn nothing_but_connect_before_login() {
    let server = configured("authorization { user: u, password: p, timeout: 30 }\n");
    for first in [
        "PING\r\n",
        "SUB a 1\r\n",
        "PUB a 0\r\n\r\n",
        "GET / HTTP/1.1\r\n",
        "x",
        "\r\n",
        "+OK\r\n",
        "INFO {}\r\n",
        "PONG\r\n",
    ] {
        let mut raw = Raw::open(&server);
        raw.send(first);
        assert_eq!(raw.rest(), "-ERR 'Authorization Violation'\r\n", "{first:?}");
    }
    // However slowly CONNECT comes, it is one.
    let mut raw = Raw::open(&server);
    for b in b"connect {\"user\":\"u\",\"pass\":\"p\",\"verbose\":false}\r\n" {
        raw.send_bytes(&[*b]);
    }
    raw.sync();
}

#[test]
fn silence_ends_with_the_auth_timeout() {
    let server = configured("authorization { user: u, password: p, timeout: 0.2 }\n");
    let mut raw = Raw::open(&server);
    assert_eq!(raw.rest(), "-ERR 'Authentication Timeout'\r\n");
    let mut raw = Raw::connect(&server, &quiet("u", "p"));
    raw.sync();
    // Who needs no credentials has to say something all the same.
    let server = configured(
        "authorization { users: [{user: u, password: p}], timeout: 0.2 }, no_auth_user: u\n",
    );
    let mut early = Raw::open(&server);
    early.send("SUB a 1\r\n");
    early.expect(&["+OK"]);
    let mut silent = Raw::open(&server);
    assert_eq!(silent.rest(), "-ERR 'Authentication Timeout'\r\n");
    early.sync();
}

#[test]
fn credentials_are_judged_before_what_is_asked_for() {
    let server = configured("authorization { user: u, password: p }\n");
    let cases = [
        ("\"protocol\":2", "invalid client protocol"),
        ("\"no_responders\":true", "no responders requires headers support"),
        ("\"account\":\"A\"", "Authorization Violation"),
        ("\"new_account\":true", "Authorization Violation"),
    ];
    for (asked, text) in cases {
        refused(&server, &format!("{{\"user\":\"u\",\"pass\":\"x\",{asked}}}"));
        let mut raw = Raw::open(&server);
        raw.send(&format!("CONNECT {{\"user\":\"u\",\"pass\":\"p\",{asked}}}\r\nPING\r\n"));
        assert_eq!(raw.rest(), format!("-ERR '{text}'\r\n"), "{asked}");
    }
}

#[test]
fn a_denied_subscription_is_not_looked_at_further() {
    let server = configured(
        "max_sub_tokens: 2, authorization { users: [{user: u, password: p, permissions: {subscribe: \"ok.>\"}}] }\n",
    );
    let mut raw = Raw::connect(&server, &quiet("u", "p"));
    let denied =
        |subject| format!("-ERR 'Permissions Violation for Subscription to \"{subject}\"'");
    raw.send("SUB ok.x 1\r\nSUB no 1\r\nSUB no..x 2\r\nSUB no.a.b.c 3\r\nSUB ok.a.b 4\r\nSUB ok.x _sys_ 5\r\n");
    raw.expect(&[
        &denied("no"),
        &denied("no..x"),
        &denied("no.a.b.c"),
        "-ERR 'Permissions Violation for Subscription to \"ok.a.b\", too many tokens'",
        "-ERR 'Permissions Violation for Subscription to \"ok.x\" using queue \"_sys_\"'",
    ]);
    // Nobody publishes where gateways once sent answers.
    raw.send("PUB $GR.x 0\r\n\r\nPUB ok.x $GR.x 0\r\n\r\n");
    raw.expect(&[
        "-ERR 'Permissions Violation for Publish to \"$GR.x\"'",
        "-ERR 'Permissions Violation for Publish with Reply of \"$GR.x\"'",
    ]);
}

#[tokio::test]
async fn accounts_are_isolated() {
    let server = configured(
        "accounts {\n A { users: [{user: a, password: p}] }\n B { users: [{user: b, password: p}] }\n}\n",
    );
    let (a, a2, b) = (
        login(&server, "a", "p").await,
        login(&server, "a", "p").await,
        login(&server, "b", "p").await,
    );
    let mut in_a = a2.subscribe("x.>").await.unwrap();
    let mut in_b = b.subscribe("x.>").await.unwrap();
    sync(&a2).await;
    sync(&b).await;
    a.publish("x.y", "from a".into()).await.unwrap();
    sync(&a).await;
    b.publish("x.y", "from b".into()).await.unwrap();
    assert_eq!(next_text(&mut in_a).await, "from a");
    assert_eq!(next_text(&mut in_b).await, "from b");
    assert_eq!(a.server_info().max_payload, 1 << 20);
}

#[test]
fn permissions_allow_and_deny() {
    let server = configured(
        r#"authorization { users: [
        { user: u, password: p, permissions: {
            publish: { allow: ["ok.>", "req"], deny: "ok.not" }
            subscribe: { allow: ["ok.>", "_INBOX.>", "work.* workers.*", "only q1"], deny: ["ok.secret", "ok.queue bad"] } } }
        { user: admin, password: p } ] }"#,
    );
    let mut raw = Raw::connect(&server, &quiet("u", "p"));
    let violation = |s: &str| format!("-ERR 'Permissions Violation for Publish to \"{s}\"'");
    for (subject, allowed) in
        [("ok.a", true), ("ok.a.b", true), ("ok.not", false), ("ok", false), ("other", false)]
    {
        raw.send(&format!("PUB {subject} 0\r\n\r\n"));
        if !allowed {
            raw.expect(&[&violation(subject)]);
        }
        raw.sync();
    }
    for (sub, answer) in [
        ("ok.x 1", None),
        ("ok.secret 2", Some("\"ok.secret\"")),
        ("other 3", Some("\"other\"")),
        ("work.a 4", Some("\"work.a\"")),
        ("work.a workers.1 5", None),
        ("work.a idlers 6", Some("\"work.a\" using queue \"idlers\"")),
        ("only q1 7", None),
        ("only q2 8", Some("\"only\" using queue \"q2\"")),
        ("ok.queue good 9", None),
        ("ok.queue bad 10", Some("\"ok.queue\" using queue \"bad\"")),
    ] {
        raw.send(&format!("SUB {sub}\r\n"));
        if let Some(what) = answer {
            raw.expect(&[&format!("-ERR 'Permissions Violation for Subscription to {what}'")]);
        }
        raw.sync();
    }
    // A wide subscription is accepted and sees only what is not denied.
    let mut wide = Raw::connect(&server, &quiet("u", "p"));
    wide.send("SUB ok.> 1\r\n");
    wide.sync();
    let mut admin = Raw::connect(&server, &quiet("admin", "p"));
    admin.send("PUB ok.secret 0\r\n\r\nPUB ok.public 0\r\n\r\n");
    admin.sync();
    wide.expect(&["MSG ok.public 1 0", ""]);
}

#[test]
fn allow_responses_grants_one_answer_per_request() {
    let server = configured(
        r#"authorization { users: [
        { user: svc, password: p, permissions: { subscribe: "svc", allow_responses: true } }
        { user: two, password: p, permissions: { subscribe: "two", publish: "log", allow_responses: { max: 2, expires: "1m" } } }
        { user: u, password: p } ] }"#,
    );
    let mut user = Raw::connect(&server, &quiet("u", "p"));
    user.send("SUB r.* 1\r\nSUB log 2\r\n");
    user.sync();
    for (name, grants) in [("svc", 1), ("two", 2)] {
        let mut svc = Raw::connect(&server, &quiet(name, "p"));
        svc.send(&format!("SUB {name} 1\r\n"));
        svc.sync();
        user.send(&format!("PUB {name} r.{name} 0\r\n\r\n"));
        user.sync();
        svc.expect(&[&format!("MSG {name} 1 r.{name} 0"), ""]);
        for _ in 0..grants {
            svc.send(&format!("PUB r.{name} 0\r\n\r\n"));
            svc.sync();
            user.expect(&[&format!("MSG r.{name} 1 0"), ""]);
        }
        svc.send(&format!("PUB r.{name} 0\r\n\r\nPUB r.other 0\r\n\r\n"));
        svc.expect(&[
            &format!("-ERR 'Permissions Violation for Publish to \"r.{name}\"'"),
            "-ERR 'Permissions Violation for Publish to \"r.other\"'",
        ]);
        svc.send("PUB log 0\r\n\r\n");
        if name == "svc" {
            svc.expect(&["-ERR 'Permissions Violation for Publish to \"log\"'"]);
        } else {
            user.expect(&["MSG log 2 0", ""]);
        }
    }
}

#[tokio::test]
async fn no_auth_user_and_default_permissions() {
    let server = configured(
        r#"authorization {
        default_permissions: { publish: "pub.>", subscribe: ["pub.>", "_INBOX.>"] }
        users: [ { user: guest, password: g }, { user: boss, password: b, permissions: { publish: ">", subscribe: ">" } } ] }
        no_auth_user: guest"#,
    );
    assert!(Raw::open(&server).info.get("auth_required").is_none());
    let guest = connect(&server).await;
    let mut sub = guest.subscribe("pub.x").await.unwrap();
    let boss = login(&server, "boss", "b").await;
    until("the subscription is known", || async {
        let subs = crate::common::doc(&server, "/subsz?subs=1&acc=$G").to_string();
        subs.contains("pub.x").then_some(())
    })
    .await;
    boss.publish("pub.x", "hello".into()).await.unwrap();
    assert_eq!(next_text(&mut sub).await, "hello");
    let mut raw = Raw::connect(&server, r#"{"verbose":false}"#);
    raw.send("PUB private 0\r\n\r\nSUB private 1\r\n");
    raw.expect(&[
        "-ERR 'Permissions Violation for Publish to \"private\"'",
        "-ERR 'Permissions Violation for Subscription to \"private\"'",
    ]);
    // Wrong credentials are not turned into the guest.
    let mut raw = Raw::open(&server);
    raw.send("CONNECT {\"user\":\"guest\",\"pass\":\"x\"}\r\n");
    assert_eq!(raw.rest(), "-ERR 'Authorization Violation'\r\n");
}

#[tokio::test]
async fn limits_of_an_account() {
    let server = configured(
        r#"accounts { A { users: [{user: a, password: p}], limits: { max_connections: 2, max_subscriptions: 3, max_payload: 100 } }
        B { users: [{user: b, password: p}] }
        C { users: [{user: c, password: p}], limits: { max_subscriptions: 0 } } }"#,
    );
    let mut none = Raw::open(&server);
    none.send(&format!("CONNECT {}\r\nPING\r\n", quiet("c", "p")));
    assert_eq!(none.rest(), "-ERR 'maximum subscriptions exceeded'\r\n");
    let mut one = Raw::connect(&server, &quiet("a", "p"));
    let two = Raw::connect(&server, &quiet("a", "p"));
    let mut three = Raw::open(&server);
    three.send(&format!("CONNECT {}\r\nPING\r\n", quiet("a", "p")));
    assert_eq!(three.rest(), "-ERR 'maximum account active connections exceeded'\r\n");
    until("its account has it in the books", || async {
        let closed = crate::common::doc(&server, "/connz?state=closed&acc=A").to_string();
        closed.contains("Maximum Account Connections Exceeded").then_some(())
    })
    .await;
    Raw::connect(&server, &quiet("b", "p")).sync();
    one.send("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nSUB d 4\r\n");
    one.expect(&["-ERR 'maximum subscriptions exceeded'"]);
    one.send("UNSUB 1\r\nSUB d 4\r\n");
    one.sync();
    one.send("PUB x 101\r\n");
    assert_eq!(one.rest(), "-ERR 'Maximum Payload Violation'\r\n");
    drop(two);
    until("the place is free", || async {
        let mut raw = Raw::open(&server);
        raw.send(&format!("CONNECT {}\r\nPING\r\n", quiet("a", "p")));
        (raw.line() == "PONG").then_some(())
    })
    .await;
}

#[tokio::test]
async fn nkey_users_sign_the_nonce() {
    let pair = nkeys::KeyPair::new_user();
    let public = pair.public_key();
    let server = configured(&format!("authorization {{ users: [{{ nkey: {public} }}] }}\n"));
    let seed = pair.seed().unwrap();
    let c = within(ConnectOptions::with_nkey(seed).connect(&server.url)).await.unwrap();
    let mut sub = c.subscribe("n").await.unwrap();
    c.publish("n", "signed".into()).await.unwrap();
    assert_eq!(text(&next(&mut sub).await.payload), "signed");
    let who = crate::common::doc(&server, "/connz?auth=1")["connections"][0].take();
    assert_eq!(
        (&who["authorized_user"], &who["issuer_key"]),
        (&public.clone().into(), &"$G".into())
    );
    refused(&server, &format!(r#"{{"nkey":"{public}","sig":"AAAA"}}"#));
    refused(&server, "{}");
}
