//! Explanations against configurations, as text, and against the decisions they
//! explain.

use crate::explain::*;
use crate::{AccountSet, Permissions};
use gust_config::options::permissions as config;
use gust_config::{LoadError, Options};
use gust_subject::valid_subscribe;
use proptest::prelude::*;
use std::sync::Arc;

fn options(text: &str) -> Options {
    let mut none =
        |_: &str| -> Result<Vec<u8>, LoadError> { unreachable!("the texts include nothing") };
    gust_config::load_text(text, &mut none, &|_| None)
        .unwrap_or_else(|e| panic!("{text}: {e}"))
        .options
}

/// The answer about a user, as lines.
fn answer(text: &str, user: &str, wish: &Wish<'_>) -> (Verdict, Vec<String>) {
    let rules = AccountSet::from_options(&options(text)).unwrap();
    let identity = rules.configured_user(user).unwrap();
    let name = format!("user {user:?}");
    let who = Who {
        name: &name,
        account: &identity.account.name,
        permissions: identity.permissions.as_ref(),
        owner: &name,
        rules: Some(&rules),
        cluster: "",
    };
    let answer = explain(&who, wish);
    (answer.verdict, answer.steps.into_iter().map(|step| step.text).collect())
}

fn publish(text: &str, subject: &str) -> (Verdict, String) {
    let (verdict, lines) = answer(text, "a", &Wish::Publish(subject));
    (verdict, lines.join("; "))
}

fn subscribe(text: &str, subject: &str, queue: &str) -> (Verdict, String) {
    let (verdict, lines) = answer(text, "a", &Wish::Subscribe { subject, queue });
    (verdict, lines.join("; "))
}

fn with(permissions: &str) -> String {
    format!("authorization {{ users [{{user: a, password: p, permissions {{ {permissions} }}}}] }}")
}

use Verdict::{Allowed, Denied, Unknown};

#[test]
fn publishing() {
    let some = with("pub {allow: [\"a.>\", b], deny: \"a.secret\"}");
    let answers = with("pub x, allow_responses: {max: 3, expires: \"5s\"}");
    let nothing = "authorization { users [{user: a, password: p}] }".to_owned();
    for (text, subject, verdict, want) in [
        (&some, "a.b", Allowed, "rule: allow \"a.>\" in permissions.publish of user \"a\""),
        (&some, "b", Allowed, "rule: allow \"b\""),
        (&some, "a.secret", Denied, "rule: deny \"a.secret\" in permissions.publish"),
        (
            &some,
            "c",
            Denied,
            "no entry of allow in permissions.publish of user \"a\" matches \"c\"",
        ),
        (
            &answers,
            "y",
            Denied,
            "publish 3 messages to the reply subject of a message it received, within 5s",
        ),
        (&nothing, "y", Allowed, "no permissions written down"),
        (&nothing, "$NRG.x", Denied, "is reserved"),
        (&nothing, "a.*", Allowed, "no subject to publish to"),
        (&with("sub x"), "y", Allowed, "restrict nothing here"),
    ] {
        let got = publish(text, subject);
        assert!(got.0 == verdict && got.1.contains(want), "{subject}: {got:?}, not {want:?}");
    }
}

#[test]
fn subscribing() {
    let some = with("sub {allow: [\"a.>\", \"q g.*\"], deny: [\"a.secret\", \"a.x h\"]}");
    for (subject, queue, verdict, want) in [
        ("a.b", "", Allowed, "rule: allow \"a.>\" in permissions.subscribe of user \"a\""),
        ("a.secret", "", Denied, "rule: deny \"a.secret\""),
        ("a.x", "h", Denied, "rule: deny \"a.x h\""),
        ("a.x", "i", Allowed, "rule: allow \"a.>\""),
        ("q", "g.1", Allowed, "rule: allow \"q g.*\""),
        ("q", "", Denied, "matches \"q\" without a queue; \"q g.*\" is for its queue group only"),
        ("q", "other", Denied, "matches \"q\" with this queue"),
        ("a.>", "", Allowed, "messages that deny \"a.secret\" in permissions.subscribe"),
        ("a.>", "", Allowed, "only messages that an entry of allow matches"),
        ("a..b", "", Denied, "no valid subject"),
        ("a.b", "_sys_", Denied, "is reserved"),
    ] {
        let got = subscribe(&some, subject, queue);
        assert!(
            got.0 == verdict && got.1.contains(want),
            "{subject} {queue}: {got:?}, not {want:?}"
        );
    }
}

#[test]
fn mappings_come_first() {
    let text = "accounts { A { users [{user: a, password: p, permissions {pub {deny: \"new.2\"}}}]
        mappings {
            \"old.*\": \"new.$1\"
            half: [{dest: \"new.1\", weight: 50}, {dest: \"new.2\", weight: 50}]
            lossy: [{dest: lossy, weight: 10}]
        } } }";
    let (verdict, said) = publish(text, "old.1");
    assert!(
        verdict == Allowed && said.contains("mapping \"old.*\": 100% of messages go to \"new.1\""),
        "{said}"
    );
    assert_eq!(publish(text, "old.2").0, Denied);
    let (verdict, said) = publish(text, "half");
    assert!(verdict == Unknown && said.contains("it depends"), "{said}");
    assert!(publish(text, "lossy").1.contains("90% of messages are lost"));
}

#[test]
fn crossings() {
    let text = "accounts {
        A { users [{user: a, password: p}], jetstream: true
            imports [{service {account: B, subject: \"svc.1\"}, to: here}
                     {stream {account: B, subject: \"tick.>\"}, prefix: b}]
            exports [{stream: \"news.>\"}, {service: ask}] }
        B { users [{user: b, password: p}], mappings {\"svc.1\": \"svc.2\"}
            exports [{service: \"svc.*\"}, {stream: \"tick.>\"}]
            imports [{stream {account: A, subject: \"news.>\"}, to: \"a.>\"}
                     {service {account: A, subject: ask}}] } }";
    let (_, said) = publish(text, "here");
    assert!(said.contains("a service import sends it to account \"B\" as \"svc.1\""), "{said}");
    assert!(said.contains("100% of messages go to \"svc.2\""), "{said}");
    let (_, said) = publish(text, "news.x");
    assert!(said.contains("a stream import shows it in account \"B\" as \"a.x\""), "{said}");
    assert!(publish(text, "$JS.API.INFO").1.contains("JetStream answers"));
    let (_, said) = subscribe(text, "b.>", "");
    assert!(said.contains("a stream import brings \"tick.>\" of account \"B\""), "{said}");
    let (_, said) = subscribe(text, "ask", "");
    assert!(said.contains("requests of account \"B\" to \"ask\" arrive here"), "{said}");
}

fn tokens() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "*", ">"]), 1..4)
        .prop_map(|tokens| tokens.join("."))
        .prop_filter("subjects", |s| valid_subscribe(s.as_bytes()))
}

fn entries(queues: bool) -> impl Strategy<Value = Vec<String>> {
    let queue = prop::option::of(prop::sample::select(vec!["q", "*", "v.>"]));
    let entry = (tokens(), queue).prop_map(move |(subject, queue)| match queue {
        Some(queue) if queues => format!("{subject} {queue}"),
        _ => subject,
    });
    prop::collection::vec(entry, 0..4)
}

proptest! {
    /// Whatever is explained is what is decided, and every restriction has a rule.
    #[test]
    fn explanations_agree_with_decisions(
        allow in entries(true), deny in entries(true), subject in tokens(),
        queue in prop::sample::select(vec!["", "q", "v.1"]),
    ) {
        let plain = |list: &[String]| list.iter().filter(|e| !e.contains(' ')).cloned().collect::<Vec<_>>();
        let side = |allow: Vec<String>, deny: Vec<String>| config::SubjectPermission {
            allow: (!allow.is_empty()).then_some(allow),
            deny,
        };
        let written = config::Permissions {
            publish: Some(side(plain(&allow), plain(&deny))),
            subscribe: Some(side(allow.clone(), deny)),
            responses: None,
        };
        let permissions = Arc::new(Permissions::new(&written).unwrap());
        let who = Who {
            name: "x", account: "A", permissions: Some(&permissions), owner: "x", rules: None, cluster: "",
        };
        let verdict = |yes| if yes { Allowed } else { Denied };
        let got = explain(&who, &Wish::Publish(&subject));
        prop_assert_eq!(got.verdict, verdict(permissions.can_publish(subject.as_bytes())));
        let restricts = !plain(&allow).is_empty();
        let has_rule = got.steps.iter().any(|s| s.rule.is_some());
        prop_assert!(has_rule || got.verdict == Denied || !restricts, "{:?}", got);
        let got = explain(&who, &Wish::Subscribe { subject: &subject, queue });
        let can = permissions.can_subscribe(subject.as_bytes(), queue.as_bytes());
        prop_assert_eq!(got.verdict, verdict(can));
        let has_rule = got.steps.iter().any(|s| s.rule.is_some());
        let said_no_entry = got.steps.iter().any(|s| s.text.starts_with("no entry"));
        prop_assert!(has_rule || (!can && said_no_entry) || (can && allow.is_empty()), "{:?}", got);
    }
}
