//! Which logins are asked about.

use super::REQUEST_SUBJECT;
use crate::authenticate_test::{options, outcome, set, user};
use crate::nkey::{KeyKind, KeyPair};
use crate::{AccountSet, AuthDecision, Login, Recheck};

fn issuer() -> String {
    KeyPair::from_random(KeyKind::Account, [1; 32]).unwrap().public().to_owned()
}

fn with(allowed: &str) -> AccountSet {
    let hash = bcrypt::hash("secret", 4).unwrap();
    set(&format!(
        "accounts {{
            AUTH {{ users: [{{user: auth, password: a}}] }}
            APP {{ users: [{{user: app, password: p}}, {{user: hashed, password: \"{hash}\"}}] }}
            OUT {{ users: [{{user: out, password: o}}, {{user: slow, password: \"{hash}\"}}] }}
        }}
        authorization {{ auth_callout {{
            issuer: {}, auth_users: [auth], account: AUTH {allowed} }} }}",
        issuer()
    ))
}

#[test]
fn everybody_but_the_service_itself() {
    let all = with("");
    let some = with(", allowed_accounts: [APP]");
    let token = Login { token: "t0ken", ..Login::default() };
    for (login, want_all, want_some) in [
        (user("auth", "a"), "AUTH/auth", "AUTH/auth"),
        (user("app", "p"), "asks about app", "asks about app"),
        (user("app", "wrong"), "asks about app", "asks about app"),
        (user("hashed", "secret"), "asks about hashed", "asks about hashed"),
        (user("nobody", "x"), "asks about nobody", "asks about nobody"),
        (user("out", "o"), "asks about out", "OUT/out"),
        (user("out", "wrong"), "asks about out", "asks about out"),
        (user("slow", "secret"), "asks about slow", "bcrypt OUT/slow"),
        (user("slow", "wrong"), "asks about slow", "bcrypt asks about slow"),
        (Login::default(), "asks about ", "asks about "),
        (token, "asks about t0ken", "asks about t0ken"),
    ] {
        assert_eq!(outcome(&all, &login), want_all, "{login:?}");
        assert_eq!(outcome(&some, &login), want_some, "{login:?}");
    }
    // The service's own users are not asked about, whatever they present; where
    // hashes are in use the refusal takes its time.
    let wrong = outcome(&all, &user("auth", "wrong"));
    assert_eq!(wrong, "bcrypt wrong password for user \"auth\"");
    // Nor does it help others to say that they are the service.
    let posing = Login { nkey: "auth", ..user("app", "p") };
    assert_eq!(outcome(&all, &posing), "asks about auth");
    let posing = Login { nkey: "auth", ..user("hashed", "secret") };
    assert_eq!(outcome(&all, &posing), "asks about auth");
    // A token is no name: nothing of it is shown later.
    let AuthDecision::Callout(question) = all.authenticate(&token) else { panic!() };
    assert_eq!((&*question.user, &*question.name), ("t0ken", ""));
}

#[test]
fn who_presents_nothing_is_asked_about_by_name() {
    let text = format!(
        "accounts {{ AUTH {{ users: [{{user: auth, password: a}}] }}
            APP {{ users: [{{user: guest, password: g}}] }} }}
        no_auth_user: guest
        authorization {{ auth_callout {{ issuer: {}, auth_users: [auth], account: AUTH }} }}",
        issuer()
    );
    assert_eq!(outcome(&set(&text), &Login::default()), "asks about guest");
}

#[test]
fn only_the_server_publishes_requests() {
    let s = with("");
    let AuthDecision::Accept(service) = s.authenticate(&user("auth", "a")) else { panic!() };
    let permissions = service.permissions.clone().unwrap();
    assert!(!permissions.can_publish(REQUEST_SUBJECT.as_bytes()) && permissions.can_publish(b"x"));
    assert!(permissions.can_subscribe(REQUEST_SUBJECT.as_bytes(), b""));
    // That stays so under changed rules, and others are not touched.
    let kept = with("").recheck(&service, Default::default(), 0);
    let Recheck::Keep(service) = kept else { panic!("{kept:?}") };
    let again = service.permissions.unwrap();
    assert_eq!(again.source().publish.as_ref().unwrap().deny, [REQUEST_SUBJECT]);
    let some = with(", allowed_accounts: [APP]");
    let AuthDecision::Accept(out) = some.authenticate(&user("out", "o")) else { panic!() };
    assert!(out.permissions.is_none());
}

#[test]
fn the_account_must_exist() {
    let text = format!(
        "authorization {{ auth_callout {{ issuer: {}, auth_users: [a], account: NONE }} }}",
        issuer()
    );
    let error = AccountSet::from_options(&options(&text)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "auth_callout: account \"NONE\" is not defined; add it to accounts, or name another"
    );
}
