//! Subject mappings of an account: what is remembered of them stays true.

use crate::common::*;
use crate::reload::reloaded;

fn mapped(mappings: &str) -> String {
    format!("accounts {{ A {{ users [{{user: a, password: a}}], mappings {{ {mappings} }} }} }}")
}

#[tokio::test]
async fn a_reload_changes_them_for_connections_that_publish() {
    let mut server = configured(&mapped("\"old.*\": \"new.$1\""));
    let a = login(&server, "a", "a").await;
    let mut all = a.subscribe(">").await.unwrap();
    let expect = async |all: &mut async_nats::Subscriber, subject: &str, want: &str| {
        // The second time it is remembered.
        for _ in 0..2 {
            a.publish(subject.to_owned(), "".into()).await.unwrap();
            assert_eq!(next(all).await.subject.as_str(), want);
        }
    };
    expect(&mut all, "old.x", "new.x").await;
    expect(&mut all, "other.x", "other.x").await;
    expect(&mut all, "old.y", "new.y").await;
    reloaded(&mut server, &mapped("\"other.*\": \"newer.$1\"")).await;
    expect(&mut all, "old.x", "old.x").await;
    expect(&mut all, "other.x", "newer.x").await;
    reloaded(&mut server, &mapped("\"other.*\": \"newest.$1\"")).await;
    expect(&mut all, "other.x", "newest.x").await;
}

#[tokio::test]
async fn each_connection_has_those_of_its_account() {
    let server = configured(
        r#"accounts {
          A { users: [{user: a, password: p}], mappings: {m: ours} }
          B { users: [{user: b, password: p}], mappings: {m: theirs} }
        }"#,
    );
    for (user, want) in [("a", "ours"), ("b", "theirs")] {
        let c = login(&server, user, "p").await;
        let mut all = c.subscribe(">").await.unwrap();
        c.publish("m", "".into()).await.unwrap();
        assert_eq!(next(&mut all).await.subject.as_str(), want);
    }
    // A second CONNECT changes the account of a connection.
    let mut raw = Raw::connect(&server, r#"{"user":"a","pass":"p","verbose":false}"#);
    raw.send("SUB > 1\r\nPUB m 0\r\n\r\nPING\r\n");
    raw.expect(&["MSG ours 1 0", "", "PONG"]);
    raw.send("CONNECT {\"user\":\"b\",\"pass\":\"p\",\"verbose\":false}\r\n");
    raw.send("SUB > 2\r\nPUB m 0\r\n\r\nPING\r\n");
    raw.expect(&["MSG theirs 2 0", "", "PONG"]);
}

#[tokio::test]
async fn shares_are_drawn_for_each_message() {
    let server =
        configured(&mapped("s: [{destination: x, weight: 50}, {destination: y, weight: 25}]"));
    let a = login(&server, "a", "a").await;
    let mut all = a.subscribe(">").await.unwrap();
    let mut seen = std::collections::BTreeMap::new();
    // Missing one of three in 300 draws: less than once in 10^37.
    for _ in 0..300 {
        a.publish("s", "".into()).await.unwrap();
        *seen.entry(next(&mut all).await.subject.to_string()).or_insert(0) += 1;
    }
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["s", "x", "y"], "{seen:?}");
}
