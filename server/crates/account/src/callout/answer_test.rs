//! Answers of an auth service in a configuration without operator.

use super::*;
use crate::authenticate_test::{set, user};
use crate::jwt::{
    AuthorizationResponseData, Claims, TimeRange, UserClaims, UserData, UserPermissionLimits, sign,
};
use crate::nkey::{CurveKeyPair, KeyKind, KeyPair};
use crate::{AccountSet, AuthDecision, Identity, Login};
use proptest::prelude::*;

/// 2024-05-01T12:00:00Z
const NOW: i64 = 1_714_564_800;
const SECOND: i64 = 1_000_000_000;

fn key(kind: KeyKind, n: u8) -> KeyPair {
    KeyPair::from_random(kind, [n; 32]).unwrap()
}

fn curve(n: u8) -> CurveKeyPair {
    CurveKeyPair::from_random([n; 32])
}

/// A world in which a service was asked.
struct Asked {
    rules: AccountSet,
    question: CalloutQuestion,
    server: KeyPair,
    user: KeyPair,
    issuer: KeyPair,
}

impl Asked {
    fn new(xkey: &str) -> Asked {
        let issuer = key(KeyKind::Account, 1);
        let rules = set(&format!(
            "accounts {{ AUTH {{ users: [{{user: auth, password: a}}] }}
                APP {{ default_permissions {{ publish: \"app.>\" }} }} }}
            authorization {{ auth_callout {{
                issuer: {}, auth_users: [auth], account: AUTH {xkey} }} }}",
            issuer.public()
        ));
        let AuthDecision::Callout(question) = rules.authenticate(&user("bob", "x")) else {
            panic!()
        };
        let (server, user) = (key(KeyKind::Server, 2), key(KeyKind::User, 3));
        Asked { rules, question: *question, server, user, issuer }
    }

    fn user_claims(&self) -> UserClaims {
        Claims {
            subject: self.user.public().to_owned(),
            audience: "APP".to_owned(),
            name: "Robert".to_owned(),
            issued_at: NOW,
            nats: UserData {
                limits: UserPermissionLimits {
                    subs: -1,
                    data: -1,
                    payload: -1,
                    ..UserPermissionLimits::default()
                },
                ..UserData::default()
            },
            ..UserClaims::default()
        }
    }

    fn response_claims(&self, jwt: String) -> Claims<AuthorizationResponseData> {
        Claims {
            subject: self.user.public().to_owned(),
            audience: self.server.public().to_owned(),
            issued_at: NOW,
            nats: AuthorizationResponseData { jwt, ..AuthorizationResponseData::default() },
            ..Claims::default()
        }
    }

    fn read(&self, payload: &[u8], login: &Login<'_>) -> Result<Answered, String> {
        let answer = Answer {
            payload,
            curve: &curve(5),
            user_nkey: self.user.public(),
            server_id: self.server.public(),
        };
        let login = Login { now: NOW * SECOND, ..*login };
        self.rules.callout_answer(&self.question, answer, &login).map_err(|e| e.to_string())
    }

    /// The identity after changes to the user and to the answer around it.
    fn answer(
        &self,
        change_user: impl FnOnce(&mut UserClaims),
        change: impl FnOnce(&mut Claims<AuthorizationResponseData>),
    ) -> Result<Identity, String> {
        let mut user = self.user_claims();
        change_user(&mut user);
        let mut response = self.response_claims(sign(&user, &self.issuer).unwrap());
        change(&mut response);
        let token = sign(&response, &self.issuer).unwrap();
        match self.read(token.as_bytes(), &Login::default())? {
            Answered::Accept(identity) => Ok(*identity),
            Answered::FetchAccount { id } => Err(format!("fetch {id}")),
        }
    }
}

#[test]
fn the_user_of_the_answer_is_who_the_client_is() {
    let asked = Asked::new("");
    let plain = asked.answer(|_| (), |_| ()).unwrap();
    assert_eq!((&*plain.account.name, &*plain.name), ("APP", "Robert"));
    assert_eq!(plain.expires, None);
    let own = plain.permissions.unwrap();
    assert!(own.can_publish(b"app.x") && !own.can_publish(b"x"), "the account's defaults");

    let limited = asked
        .answer(
            |user| {
                user.name.clear();
                user.expires = NOW + 60;
                user.nats.limits.subs = 5;
                user.nats.limits.payload = 0;
                user.nats.limits.permissions.publish.allow = vec!["x".into()];
                user.nats.limits.times =
                    vec![TimeRange { start: "11:00:00".into(), end: "12:00:30".into() }];
            },
            |_| (),
        )
        .unwrap();
    assert_eq!(&*limited.name, "bob", "what it said itself");
    assert_eq!(limited.expires, Some((NOW + 30) * SECOND), "the end of the window is first");
    assert_eq!(limited.limits.max_subscriptions, Some(5));
    assert_eq!(limited.limits.max_payload, None, "zero says nothing here");
    assert!(!limited.permissions.unwrap().can_publish(b"app.x"));

    // Into the account of the service: there only the server asks.
    let inside = asked.answer(|user| user.audience = "AUTH".into(), |_| ()).unwrap();
    assert!(!inside.permissions.unwrap().can_publish(REQUEST_SUBJECT.as_bytes()));
}

#[test]
fn answers_that_are_not_in_order_are_refused() {
    let asked = Asked::new("");
    let other = key(KeyKind::User, 9);
    let refused = |user: &dyn Fn(&mut UserClaims), answer: &dyn Fn(&mut Claims<_>)| {
        asked.answer(|u| user(u), |a| answer(a)).unwrap_err()
    };
    let same: &dyn Fn(&mut Claims<AuthorizationResponseData>) = &|_| ();
    let error = |text: &'static str| {
        move |a: &mut Claims<AuthorizationResponseData>| {
            a.nats.jwt.clear();
            a.nats.error = text.into();
        }
    };
    let cases: Vec<(String, &str)> = vec![
        (refused(&|_| (), &|a| a.subject = other.public().into()), "not for the one asked about"),
        (refused(&|_| (), &|a| a.audience = "N".into()), "for server \"N\""),
        (refused(&|_| (), &|a| a.audience.clear()), "aud must be server_id.id"),
        (refused(&|_| (), &|a| a.expires = NOW - 1), "expired"),
        (refused(&|_| (), &|a| a.nats.jwt.clear()), "neither jwt nor error"),
        (refused(&|_| (), &|a| a.nats.error = "no".into()), "both jwt and error"),
        (refused(&|_| (), &|a| a.nats.jwt = "x.y.z".into()), "the user of the auth service"),
        (refused(&|_| (), &error("over\nquota")), "\"AUTH\" refuses: overquota"),
        (refused(&|u| u.subject = other.public().into(), same), "not for the one asked about"),
        (refused(&|u| u.audience = "NONE".into(), same), "account \"NONE\", which does not exist"),
        (refused(&|u| u.audience.clear(), same), "account \"\", which does not exist"),
        (refused(&|u| u.expires = NOW - 1, same), "expired"),
        (refused(&|u| u.not_before = NOW + 10, same), "not valid yet"),
        (
            refused(&|u| u.nats.issuer_account = key(KeyKind::Account, 8).public().into(), same),
            "names an issuer_account",
        ),
        (
            refused(&|u| u.nats.limits.allowed_connection_types = vec!["MQTT".into()], same),
            "may not connect as STANDARD",
        ),
        (refused(&|u| u.nats.limits.src = vec!["10.0.0.0/8".into()], same), "this address"),
        (
            refused(
                &|u| {
                    u.nats.limits.times =
                        vec![TimeRange { start: "01:00:00".into(), end: "02:00:00".into() }];
                },
                same,
            ),
            "at this time",
        ),
        (refused(&|u| u.nats.limits.proxy_required = true, same), "trusted proxy"),
        (refused(&|u| u.nats.limits.permissions.publish.allow = vec!["a..b".into()], same), "a..b"),
    ];
    for (got, want) in cases {
        assert!(got.contains(want), "{got:?} is not about {want:?}");
    }
    // Signed by an account that is not the issuer.
    let stranger = key(KeyKind::Account, 7);
    let user = sign(&asked.user_claims(), &stranger).unwrap();
    let token = sign(&asked.response_claims(user), &asked.issuer).unwrap();
    let why = asked.read(token.as_bytes(), &Login::default()).unwrap_err();
    assert!(why.contains("not by the issuer"), "{why}");
    let why = asked.read(b"", &Login::default()).unwrap_err();
    assert!(why.contains("gives no reason"), "{why}");
}

#[test]
fn answers_may_be_sealed() {
    let service = curve(6);
    let asked = Asked::new(&format!(", xkey: {}", service.public()));
    assert_eq!(asked.question.xkey, service.public());
    let token = sign(
        &asked.response_claims(sign(&asked.user_claims(), &asked.issuer).unwrap()),
        &asked.issuer,
    )
    .unwrap();
    let sealed = service.seal(token.as_bytes(), curve(5).public(), [1; 24]).unwrap();
    assert!(asked.read(&sealed, &Login::default()).is_ok());
    assert!(asked.read(token.as_bytes(), &Login::default()).is_ok(), "or open");
    let stranger = curve(7).seal(token.as_bytes(), curve(5).public(), [1; 24]).unwrap();
    let why = asked.read(&stranger, &Login::default()).unwrap_err();
    assert!(why.contains("cannot be opened"), "{why}");
    // Without xkey nothing sealed is expected.
    assert!(Asked::new("").read(&sealed, &Login::default()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_answer_makes_it_panic(payload: Vec<u8>, sealed: bool) {
        let xkey = format!(", xkey: {}", curve(6).public());
        let asked = Asked::new(if sealed { &xkey } else { "" });
        prop_assert!(asked.read(&payload, &Login::default()).is_err());
    }
}
