//! Accounts whose token names an auth service.

use super::operator_test::{NOW, SECOND, acc, key, sig, user_claims, user_token, usr, world};
use crate::callout::{Answer, Answered, CalloutQuestion};
use crate::jwt::{AuthorizationResponseClaims, UserClaims, sign};
use crate::nkey::{CurveKeyPair, KeyKind, KeyPair};
use crate::{AccountSet, AuthDecision, Login, Recheck};
use serde_json::json;

const NONCE: &str = super::operator_test::NONCE;

fn services() -> AccountSet {
    let service = json!({
        "authorization": {
            "auth_users": [usr("auth").public()],
            "allowed_accounts": [acc("APP").public(), acc("LATER").public()],
        },
        "signing_keys": [acc("signing").public()],
        "revocations": {},
    });
    world(&[("AUTH", service), ("APP", json!({})), ("OTHER", json!({}))])
}

fn login<'a>(jwt: &'a str, sig: &'a str) -> Login<'a> {
    Login { jwt, sig, nonce: NONCE, now: NOW * SECOND, ..Login::default() }
}

fn question(rules: &AccountSet) -> CalloutQuestion {
    let token = user_token("sentinel", json!({}), &acc("AUTH"));
    match rules.authenticate(&login(&token, "")) {
        AuthDecision::Callout(question) => *question,
        other => panic!("{other:?}"),
    }
}

fn answer(rules: &AccountSet, user: &UserClaims, by: &KeyPair, around: &KeyPair) -> String {
    let mut response = AuthorizationResponseClaims::default();
    response.nats.jwt = sign(user, by).unwrap();
    deliver(rules, response, around)
}

/// An answer by a key of nobody that says it is of the service's account.
fn posed(rules: &AccountSet, user: &UserClaims, error: &str) -> String {
    let mut response = AuthorizationResponseClaims::default();
    response.nats.issuer_account = acc("AUTH").public().to_owned();
    match error {
        "" => response.nats.jwt = sign(user, &acc("AUTH")).unwrap(),
        error => response.nats.error = error.to_owned(),
    }
    deliver(rules, response, &acc("throwaway"))
}

fn deliver(
    rules: &AccountSet,
    mut response: AuthorizationResponseClaims,
    around: &KeyPair,
) -> String {
    let question = question(rules);
    let (server, asked) = (key(KeyKind::Server, "S"), usr("asked"));
    response.subject = asked.public().to_owned();
    response.audience = server.public().to_owned();
    let token = sign(&response, around).unwrap();
    let answer = Answer {
        payload: token.as_bytes(),
        curve: &CurveKeyPair::from_random([1; 32]),
        user_nkey: asked.public(),
        server_id: server.public(),
    };
    match rules.callout_answer(&question, answer, &login("", "")) {
        Ok(Answered::FetchAccount { id }) => format!("fetch {id}"),
        Err(why) => why.to_string(),
        Ok(Answered::Accept(identity)) => {
            // It is not put to the test of its own token again.
            let kept = rules.recheck(&identity, Default::default(), NOW * SECOND);
            assert!(matches!(kept, Recheck::Keep(_)), "{kept:?}");
            format!("{}/{}", identity.account.display_name(), identity.name)
        }
    }
}

#[test]
fn users_of_such_an_account_are_asked_about() {
    let rules = services();
    let own = user_token("auth", json!({}), &acc("AUTH"));
    let AuthDecision::Accept(service) = rules.authenticate(&login(&own, &sig("auth"))) else {
        panic!()
    };
    assert!(!service.permissions.unwrap().can_publish(b"$SYS.REQ.USER.AUTH"));
    // Its own users are not asked about, good or bad.
    let refused = rules.authenticate(&login(&own, "bad"));
    assert!(matches!(refused, AuthDecision::Refuse(_)), "{refused:?}");
    let question = question(&rules);
    assert_eq!(question.issuer, acc("AUTH").public());
    assert_eq!(question.user, usr("sentinel").public());
    // Users of other accounts are decided by their tokens.
    let app = user_token("u", json!({}), &acc("APP"));
    assert!(matches!(rules.authenticate(&login(&app, &sig("u"))), AuthDecision::Accept(_)));
    assert!(matches!(rules.authenticate(&login(&app, "bad")), AuthDecision::Refuse(_)));
}

#[test]
fn answers_place_users_where_the_service_may() {
    let rules = services();
    let mut user = user_claims("asked", json!({}));
    user.name = "Robert".to_owned();
    let at = |by: &str, around: &str| answer(&rules, &user, &acc(by), &acc(around));
    assert_eq!(at("AUTH", "AUTH"), "AUTH/Robert");
    assert_eq!(at("APP", "AUTH"), "APP/Robert");
    assert_eq!(at("LATER", "AUTH"), format!("fetch {}", acc("LATER").public()));
    assert!(at("OTHER", "AUTH").contains("may not place users in account"));
    assert!(at("AUTH", "OTHER").contains("no key of the auth service's account"));
    // A claim to be of the account is no signature of it, and a refusal needs one too.
    for error in ["", "go away"] {
        let why = posed(&rules, &user, error);
        assert!(why.contains("no key of the auth service's account"), "{error:?}: {why}");
    }
    // A signing key of the account, which the token must name.
    let mut by_key = user.clone();
    by_key.nats.issuer_account = acc("AUTH").public().to_owned();
    assert_eq!(answer(&rules, &by_key, &acc("signing"), &acc("signing")), "AUTH/Robert");
    let mut stolen = user.clone();
    stolen.nats.issuer_account = acc("APP").public().to_owned();
    let why = answer(&rules, &stolen, &acc("signing"), &acc("AUTH"));
    assert!(why.contains("signed by"), "{why}");
}

#[test]
fn users_of_a_service_go_with_the_key_that_signed_them() {
    let rules = services();
    let mut user = user_claims("asked", json!({}));
    user.nats.issuer_account = acc("AUTH").public().to_owned();
    let mut response = AuthorizationResponseClaims::default();
    response.nats.jwt = sign(&user, &acc("signing")).unwrap();
    let (server, asked) = (key(KeyKind::Server, "S"), usr("asked"));
    response.subject = asked.public().to_owned();
    response.audience = server.public().to_owned();
    let token = sign(&response, &acc("AUTH")).unwrap();
    let answer = Answer {
        payload: token.as_bytes(),
        curve: &CurveKeyPair::from_random([1; 32]),
        user_nkey: asked.public(),
        server_id: server.public(),
    };
    let answered = rules.callout_answer(&question(&rules), answer, &login("", ""));
    let Ok(Answered::Accept(identity)) = answered else { panic!("{answered:?}") };
    let kept = |rules: &AccountSet| {
        matches!(rules.recheck(&identity, Default::default(), NOW * SECOND), Recheck::Keep(_))
    };
    assert!(kept(&rules));
    assert!(!kept(&world(&[("AUTH", json!({}))])), "the signing key is gone");
}
