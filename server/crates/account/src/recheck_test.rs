//! What becomes of connections when the rules change.

use crate::certificate::CertificateNames;
use crate::{AccountSet, AuthDecision, CloseCause, ConnectionKind, Identity, Login, Recheck};
use gust_config::LoadError;

fn set(text: &str) -> AccountSet {
    let mut none = |path: &str| -> Result<Vec<u8>, LoadError> { Err(LoadError::not_found(path)) };
    let options = gust_config::load_text(text, &mut none, &|_| None).unwrap().options;
    AccountSet::from_options(&options).unwrap()
}

fn enter(set: &AccountSet, login: &Login<'_>) -> Identity {
    let mut decision = set.authenticate(login);
    loop {
        decision = match decision {
            AuthDecision::Accept(identity) => return identity,
            AuthDecision::CheckPassword { then, .. } => *then,
            other => panic!("not accepted: {other:?}"),
        }
    }
}

/// `keep account/name`, `silent: why` or `Authorization Violation: why`.
fn verdict(new: &str, who: &Identity) -> String {
    match set(new).recheck(who, ConnectionKind::Standard, 0) {
        Recheck::Keep(i) => {
            let permissions = if i.permissions.is_some() { " limited" } else { "" };
            format!("keep {}/{}{permissions}", i.account.name, i.name)
        }
        Recheck::Close(close) => {
            let moved = close.cause == CloseCause::Moved;
            assert_eq!(moved, close.text.is_none());
            format!("{}: {}", close.text.unwrap_or("silent"), close.reason)
        }
    }
}

/// Logs in under the first text, with these credentials, and rechecks under each
/// of the others.
#[track_caller]
fn check(before: &str, login: Login<'_>, cases: &[(&str, &str)]) {
    let who = enter(&set(before), &login);
    for (new, said) in cases {
        assert_eq!(verdict(new, &who), *said, "{new}");
    }
}

const HASH: &str = "$2a$04$abcdefghijklmnopqrstuuKbAeMPzTPJ2bzNOhZ0bXCA4ba9Xjm3K";

#[test]
fn users() {
    check(
        "accounts {A {users [{user: a, pass: one}]}, B {}}",
        Login { user: "a", pass: "one", ..Login::default() },
        &[
            ("accounts {A {users [{user: a, pass: one}]}}", "keep A/a"),
            (
                "accounts {A {users [{user: a, pass: one, permissions {publish: x}}]}}",
                "keep A/a limited",
            ),
            (
                "accounts {A {users [{user: a, pass: two}]}}",
                "Authorization Violation: credentials of user \"a\" were changed",
            ),
            (
                "accounts {A {}, B {users [{user: a, pass: one}]}}",
                "silent: user \"a\" moved to another account",
            ),
            ("accounts {A {users [{user: b}]}}", "silent: user \"a\" was removed"),
            ("", "silent: user \"a\" was removed"),
            (
                "accounts {A {users [{user: a, pass: one, connection_types: [MQTT]}]}}",
                "Authorization Violation: user \"a\" may not connect as STANDARD",
            ),
            (
                "accounts {A {users [{user: a, pass: one, proxy_required: true}]}}",
                "Authorization Violation: user \"a\" must connect through a trusted proxy, which \
                 signs the nonce as proxy_sig; or take proxy_required away",
            ),
        ],
    );
    check(
        "authorization {users [{user: a, pass: one}]}",
        Login { user: "a", pass: "one", ..Login::default() },
        &[
            // It is the only one now.
            ("authorization {user: a, pass: one}", "keep $G/a"),
            ("authorization {user: a, pass: two}", "silent: user \"a\" was removed"),
            ("authorization {user: b, pass: one}", "silent: user \"a\" was removed"),
        ],
    );
    let hashed = format!("authorization {{users [{{user: a, pass: \"{HASH}\"}}]}}");
    let other = hashed.replace("abc", "abd");
    check(
        &hashed,
        Login { user: "a", pass: "x", ..Login::default() },
        &[
            (&hashed, "keep $G/a"),
            (&other, "Authorization Violation: credentials of user \"a\" were changed"),
        ],
    );
}

#[test]
fn certificates_do_not_care_for_passwords() {
    let names = CertificateNames {
        alternative: vec!["a".to_owned()],
        subject: None,
        subject_texts: Vec::new(),
    };
    check(
        "authorization {users [{user: a, pass: one}]}",
        Login { certificate_names: Some(&names), ..Login::default() },
        &[
            ("authorization {users [{user: a, pass: two}]}", "keep $G/a"),
            ("authorization {users [{user: b}]}", "silent: user \"a\" was removed"),
        ],
    );
}

#[test]
fn tokens_and_the_only_user() {
    check(
        "authorization {token: one}",
        Login { token: "one", ..Login::default() },
        &[
            ("authorization {token: one}, max_payload: 5", "keep $G/"),
            ("", "keep $G/"),
            (
                "authorization {token: two}",
                "Authorization Violation: the token of authorization was changed",
            ),
            (
                "authorization {users [{user: a}]}",
                "Authorization Violation: the token of authorization was changed",
            ),
        ],
    );
    check(
        "authorization {user: a, pass: one}",
        Login { user: "a", pass: "one", ..Login::default() },
        &[
            ("authorization {user: a, pass: one}", "keep $G/a"),
            (
                "authorization {user: a, pass: two}",
                "Authorization Violation: user or password of authorization was changed",
            ),
            (
                "authorization {user: b, pass: one}",
                "Authorization Violation: user or password of authorization was changed",
            ),
            // It became one of several.
            (
                "authorization {users [{user: a, pass: one, permissions {publish: x}}]}",
                "keep $G/a limited",
            ),
            (
                "authorization {users [{user: a, pass: two}]}",
                "Authorization Violation: user or password of authorization was changed",
            ),
            (
                "accounts {A {users [{user: a, pass: one}]}}",
                "Authorization Violation: user or password of authorization was changed",
            ),
        ],
    );
}

#[test]
fn nobody_in_particular() {
    let missing = "Authorization Violation: no credentials were presented";
    check(
        "",
        Login::default(),
        &[
            ("max_payload: 5", "keep $G/"),
            ("authorization {user: a, pass: b}", missing),
            ("accounts {A {users [{user: a}]}}", missing),
            ("accounts {$SYS {users [{user: a}]}}", "keep $G/"),
            ("authorization {users [{user: a}]}, no_auth_user: a", "keep $G/a"),
            (
                "accounts {A {users [{user: a}]}}, no_auth_user: a",
                "silent: clients without credentials belong to another account now",
            ),
        ],
    );
    check(
        "accounts {A {users [{user: a}, {user: b}]}}, no_auth_user: a",
        Login::default(),
        &[
            ("accounts {A {users [{user: a, pass: x}, {user: b}]}}, no_auth_user: a", "keep A/a"),
            ("accounts {A {users [{user: b}]}}, no_auth_user: b", "silent: user \"a\" was removed"),
            ("accounts {A {users [{user: a}]}}", missing),
        ],
    );
}

#[test]
fn fingerprints_tell_nothing() {
    use crate::decision::Fingerprint;
    assert_eq!(format!("{:?}", Fingerprint::new("a", "b")), "[fingerprint]");
    assert_ne!(Fingerprint::new("a", "bc"), Fingerprint::new("ab", "c"));
    let who =
        enter(&set("authorization {token: hush}"), &Login { token: "hush", ..Login::default() });
    assert!(!format!("{who:?}").contains("hush"));
}
