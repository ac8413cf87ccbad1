//! Logins by token, against a world of one operator made here.

use crate::jwt::*;
use crate::nkey::{KeyKind, KeyPair};
use crate::recheck::Recheck;
use crate::{AccountSet, AuthDecision, ConnectionKind, Identity, Login};
use data_encoding::BASE64URL_NOPAD;
use gust_config::Options;
use gust_config::options::trust::Resolver;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::net::IpAddr;

/// 2024-05-01T12:00:00Z
pub(super) const NOW: i64 = 1_714_564_800;
pub(super) const SECOND: i64 = 1_000_000_000;
pub(super) const NONCE: &str = "a nonce";

/// A key pair for each name, always the same.
pub(super) fn key(kind: KeyKind, name: &str) -> KeyPair {
    let mut seed = [kind.letter() as u8; 32];
    seed.iter_mut().zip(name.bytes()).for_each(|(s, b)| *s = b);
    KeyPair::from_random(kind, seed).unwrap()
}

pub(super) fn operator(name: &str) -> KeyPair {
    key(KeyKind::Operator, name)
}

pub(super) fn acc(name: &str) -> KeyPair {
    key(KeyKind::Account, name)
}

pub(super) fn usr(name: &str) -> KeyPair {
    key(KeyKind::User, name)
}

/// Claims with this `nats` part over what `T` has by itself.
pub(super) fn claims<T: ClaimKind>(subject: &KeyPair, name: &str, nats: Value) -> Claims<T> {
    Claims {
        subject: subject.public().to_owned(),
        name: name.to_owned(),
        issued_at: NOW - 100,
        nats: serde_json::from_value(nats).unwrap(),
        ..Claims::default()
    }
}

pub(super) fn unlimited(mut nats: Value) -> Value {
    let limits = serde_json::to_value(Limits::unlimited()).unwrap();
    let given = nats["limits"].take();
    nats["limits"] = limits;
    for (key, value) in given.as_object().into_iter().flatten() {
        nats["limits"][key] = value.clone();
    }
    nats
}

pub(super) fn account_token(name: &str, nats: Value, signer: &KeyPair) -> String {
    sign(&claims::<AccountData>(&acc(name), name, unlimited(nats)), signer).unwrap()
}

/// A user without limits of its own.
pub(super) fn user_claims(name: &str, mut nats: Value) -> UserClaims {
    for limit in ["subs", "data", "payload"] {
        if nats.get(limit).is_none() {
            nats[limit] = (-1).into();
        }
    }
    claims(&usr(name), name, nats)
}

pub(super) fn user_token(name: &str, nats: Value, signer: &KeyPair) -> String {
    sign(&user_claims(name, nats), signer).unwrap()
}

pub(super) fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    let sys = acc("SYS").public().to_owned();
    let nats = json!({"system_account": sys, "signing_keys": [operator("second").public()]});
    let token = sign(&claims::<OperatorData>(&operator("O"), "OP", nats), &operator("O")).unwrap();
    options.trust.operators = vec![token];
    options.trust.resolver = Some(Resolver::Memory);
    let preload = &mut options.trust.resolver_preload;
    preload.insert(sys, account_token("SYS", json!({}), &operator("O")));
    change(&mut options);
    options
}

/// A world with these accounts.
pub(super) fn world(accounts: &[(&str, Value)]) -> AccountSet {
    let options = options(|o| {
        for (name, nats) in accounts {
            let token = account_token(name, nats.clone(), &operator("O"));
            o.trust.resolver_preload.insert(acc(name).public().to_owned(), token);
        }
    });
    build(&options)
}

pub(super) fn build(options: &Options) -> AccountSet {
    let mut options = options.clone();
    super::adopt(&mut options).unwrap();
    let built = AccountSet::build(&options, None, NOW, TimeZone::UTC).unwrap();
    assert_eq!(built.warnings, Vec::<String>::new());
    built.rules
}

pub(super) fn sig(name: &str) -> String {
    BASE64URL_NOPAD.encode(&usr(name).sign(NONCE.as_bytes()))
}

/// Somebody with this token and a signature by `signer`.
pub(super) fn try_login(set: &AccountSet, jwt: &str, signer: &str) -> Result<Identity, String> {
    let sig = sig(signer);
    with(set, Login { jwt, sig: &sig, nonce: NONCE, now: NOW * SECOND, ..Login::default() })
}

pub(super) fn with(set: &AccountSet, login: Login<'_>) -> Result<Identity, String> {
    match set.authenticate(&login) {
        AuthDecision::Accept(identity) => Ok(identity),
        AuthDecision::Refuse(refusal) => {
            assert_eq!(refusal.text, "Authorization Violation");
            Err(refusal.reason.to_string())
        }
        AuthDecision::FetchAccount { id } => Err(format!("fetch {id}")),
        other => panic!("{other:?}"),
    }
}

pub(super) fn refused(got: Result<Identity, String>, want: &str) {
    let got = got.map(|i| i.name).unwrap_err();
    assert!(got.contains(want), "{got:?} has no {want:?}");
}

#[test]
fn a_user_of_an_account_is_let_in() {
    let set = world(&[("A", json!({"signing_keys": [acc("A2").public()], "tags": ["t"]}))]);
    assert!(set.auth_required(ConnectionKind::Standard) && set.nonce_required());
    let jwt = user_token("joe", json!({"tags": ["x:y"]}), &acc("A"));
    let joe = try_login(&set, &jwt, "joe").unwrap();
    assert_eq!((&*joe.account.name, &*joe.name), (acc("A").public(), usr("joe").public()));
    assert_eq!((joe.account.display_name(), joe.account.is_system), ("A", false));
    let token = joe.token.as_deref().unwrap();
    assert_eq!((token.jwt.as_str(), token.name_tag.as_str()), (jwt.as_str(), "joe"));
    assert_eq!((token.issuer_account.as_str(), token.bearer), (acc("A").public(), false));
    assert_eq!((joe.expires, joe.permissions.is_none()), (None, true));
    // By a signing key, for the account it names.
    let nats = json!({"issuer_account": acc("A").public()});
    let jwt = user_token("ann", nats, &acc("A2"));
    assert_eq!(&*try_login(&set, &jwt, "ann").unwrap().account.name, acc("A").public());
    // The system account's users too.
    let jwt = user_token("sys", json!({}), &acc("SYS"));
    assert!(try_login(&set, &jwt, "sys").unwrap().account.is_system);
    assert_eq!(set.system().unwrap().display_name(), "SYS");
}

#[test]
fn the_checks_of_a_token() {
    let set = world(&[("A", json!({}))]);
    let good = user_token("joe", json!({}), &acc("A"));
    refused(try_login(&set, "", "joe"), "no user JWT was presented");
    refused(try_login(&set, "a.b.c", "joe"), "user JWT not valid");
    refused(try_login(&set, &account_token("A", json!({}), &operator("O")), "joe"), "of type");
    refused(try_login(&set, &good, "ann"), "nonce signature");
    let login = Login { jwt: &good, nonce: NONCE, now: NOW * SECOND, ..Login::default() };
    refused(with(&set, login), "nonce signature");
    let sig = sig("joe");
    refused(with(&set, Login { sig: &sig, nonce: "other", ..login }), "nonce signature");
    let of = |change: &dyn Fn(&mut UserClaims)| {
        let mut claims = user_claims("joe", json!({}));
        change(&mut claims);
        try_login(&set, &sign(&claims, &acc("A")).unwrap(), "joe")
    };
    refused(of(&|c| c.expires = NOW - 1), "has expired");
    refused(of(&|c| c.expires = -5), "has expired");
    refused(of(&|c| c.not_before = NOW + 1), "not valid yet");
    assert_eq!(of(&|c| c.expires = NOW + 9).unwrap().expires, Some((NOW + 9) * SECOND));
    refused(
        of(&|c| c.nats.limits.permissions.publish.allow = vec!["a..b".into()]),
        "no valid subject",
    );
    refused(
        of(&|c| c.nats.limits.permissions.publish.allow = vec!["a.>.b".into()]),
        "not a valid subject",
    );
    refused(of(&|c| c.nats.limits.src = vec!["x".into()]), "CIDR");
    refused(of(&|c| c.nats.limits.proxy_required = true), "trusted proxy");
    // An account that nobody knows is fetched; one that exists answers for its keys.
    let stranger = user_token("joe", json!({}), &acc("X"));
    refused(try_login(&set, &stranger, "joe"), &format!("fetch {}", acc("X").public()));
    let nats = json!({"issuer_account": acc("A").public()});
    refused(
        try_login(&set, &user_token("joe", nats, &acc("X")), "joe"),
        "no signing key of account",
    );
}

#[test]
fn the_trust_in_accounts() {
    let set = world(&[("A", json!({}))]);
    let (id, other) = (acc("B").public().to_owned(), operator("foreign"));
    let token = |signer: &KeyPair| account_token("B", json!({}), signer);
    let why = set.with_account(&id, &token(&other), NOW).unwrap_err().to_string();
    assert!(why.contains("no trusted operator key"), "{why}");
    let why = set.with_account(&id, &token(&acc("B")), NOW).unwrap_err().to_string();
    assert!(why.contains("no trusted operator key"), "{why}");
    let why = set.with_account(acc("A").public(), &token(&operator("O")), NOW).unwrap_err();
    assert!(why.to_string().contains("is of account"), "{why}");
    assert!(set.with_account(&id, "x", NOW).is_err());
    // Operators have several keys.
    for name in ["O", "second"] {
        let set = set.with_account(&id, &token(&operator(name)), NOW).unwrap();
        let joe = user_token("joe", json!({}), &acc("B"));
        assert_eq!(&*try_login(&set, &joe, "joe").unwrap().account.name, id);
        let set = set.without_account(&id, NOW);
        refused(try_login(&set, &joe, "joe"), "fetch");
    }
    let plain = AccountSet::from_options(&Options::default()).unwrap();
    assert!(plain.with_account(&id, &token(&operator("O")), NOW).is_err());
}

#[test]
fn strict_operators_sign_with_signing_keys_only() {
    let nats =
        json!({"signing_keys": [operator("second").public()], "strict_signing_key_usage": true});
    let token = sign(&claims::<OperatorData>(&operator("O"), "OP", nats), &operator("O")).unwrap();
    let options = options(|o| {
        o.trust.operators = vec![token];
        o.trust.resolver_preload.clear();
    });
    let set = build(&options);
    let a = |signer: &str| {
        let nats = json!({"signing_keys": [acc("A2").public()]});
        set.with_account(acc("A").public(), &account_token("A", nats, &operator(signer)), NOW)
    };
    assert!(a("O").is_err());
    let set = a("second").unwrap();
    let by = |signer: &str| {
        let nats = json!({"issuer_account": acc("A").public()});
        try_login(&set, &user_token("joe", nats, &acc(signer)), "joe")
    };
    refused(by("A"), "no signing key of account");
    assert!(by("A2").is_ok());
}

#[test]
fn pinned_accounts() {
    let set = build(&options(|o| {
        o.trust.resolver_pinned_accounts.insert(acc("B").public().to_owned());
        let token = account_token("A", json!({}), &operator("O"));
        o.trust.resolver_preload.insert(acc("A").public().to_owned(), token);
    }));
    refused(
        try_login(&set, &user_token("joe", json!({}), &acc("A")), "joe"),
        "resolver_pinned_accounts",
    );
    refused(try_login(&set, &user_token("joe", json!({}), &acc("B")), "joe"), "fetch");
    assert!(try_login(&set, &user_token("joe", json!({}), &acc("SYS")), "joe").is_ok());
}

#[test]
fn bearers_and_sentinels() {
    let set = world(&[("A", json!({})), ("B", json!({"limits": {"disallow_bearer": true}}))]);
    let bearer = |account: &str| user_token("joe", json!({"bearer_token": true}), &acc(account));
    let token = bearer("A");
    let login = Login { jwt: &token, now: NOW * SECOND, ..Login::default() };
    let facts = with(&set, login).unwrap().token.unwrap();
    assert!(facts.bearer && facts.jwt.is_empty() && !format!("{facts:?}").contains("eyJ"));
    refused(with(&set, Login { jwt: &bearer("B"), ..login }), "bearer token, which account");
    // Without a token of its own, a client has the sentinel's.
    let a = account_token("A", json!({}), &operator("O"));
    let set = build(&options(|o| {
        o.trust.default_sentinel = token.clone();
        o.trust.resolver_preload.insert(acc("A").public().to_owned(), a);
    }));
    for jwt in ["", "junk", &account_token("A", json!({}), &operator("O"))] {
        assert_eq!(&*with(&set, Login { jwt, ..login }).unwrap().name, usr("joe").public());
    }
    // It counts as long as it is the sentinel, and its account as long as it is pinned.
    let ours = account_token("A", json!({}), &operator("O"));
    let rules = |sentinel: &str, pinned: &str| {
        build(&options(|o| {
            o.trust.default_sentinel = sentinel.to_owned();
            o.trust.resolver_preload.insert(acc("A").public().to_owned(), ours.clone());
            o.trust.resolver_pinned_accounts.insert(acc(pinned).public().to_owned());
        }))
    };
    for jwt in ["", "junk"] {
        let who = with(&set, Login { jwt, ..login }).unwrap();
        let kept = |rules: &AccountSet| {
            matches!(rules.recheck(&who, Default::default(), login.now), Recheck::Keep(_))
        };
        let other = user_token("eve", json!({"bearer_token": true}), &acc("A"));
        assert!(kept(&set) && kept(&rules(&token, "A")));
        assert!(!kept(&rules(&token, "B")), "no longer pinned");
        assert!(!kept(&rules("", "A")) && !kept(&rules(&other, "A")), "no longer the sentinel");
    }
    let own = user_token("ann", json!({}), &acc("A"));
    assert_eq!(&*try_login(&set, &own, "ann").unwrap().name, usr("ann").public());
    let bad = options(|o| o.trust.default_sentinel = own.clone());
    assert_eq!(
        AccountSet::from_options(&bad).unwrap_err().to_string(),
        "default sentinel must be a bearer token"
    );
}

#[test]
fn where_when_and_how() {
    let set = world(&[("A", json!({}))]);
    let of = |nats: Value, kind: ConnectionKind, peer: Option<&str>| {
        let (token, sig) = (user_token("joe", nats, &acc("A")), sig("joe"));
        let peer = peer.map(|p| p.parse::<IpAddr>().unwrap());
        let (nonce, now) = (NONCE, NOW * SECOND);
        with(&set, Login { jwt: &token, sig: &sig, nonce, now, kind, peer, ..Login::default() })
    };
    let (tcp, ws) = (ConnectionKind::Standard, ConnectionKind::Websocket);
    let types = |types: &[&str]| json!({"allowed_connection_types": types});
    assert!(of(types(&["standard"]), tcp, None).is_ok());
    refused(of(types(&["WEBSOCKET", "MQTT"]), tcp, None), "may not connect as STANDARD");
    refused(of(types(&["TELEPATHY"]), tcp, None), "may not connect as STANDARD");
    assert!(of(types(&["TELEPATHY", "WEBSOCKET"]), ws, None).is_ok());
    let src = json!({"src": ["192.0.2.0/24", "2001:db8::/32"]});
    assert!(of(src.clone(), tcp, Some("192.0.2.9")).is_ok());
    assert!(of(src.clone(), tcp, Some("2001:db8::1")).is_ok());
    refused(of(src.clone(), tcp, Some("198.51.100.1")), "may not connect from 198.51.100.1");
    refused(of(src, tcp, None), "an unknown address");
    let times = |start: &str, end: &str, zone: &str| json!({"times": [{"start": start, "end": end}], "times_location": zone});
    let end = of(times("11:00:00", "13:00:00", ""), tcp, None).unwrap().expires;
    assert_eq!(end, Some((NOW + 3600) * SECOND));
    let end = of(times("13:00:00", "15:00:00", "Europe/Berlin"), tcp, None).unwrap().expires;
    assert_eq!(end, Some((NOW + 3600) * SECOND));
    refused(of(times("11:00:00", "13:00:00", "Asia/Tokyo"), tcp, None), "time of day");
    refused(of(times("9:00", "13:00:00", ""), tcp, None), "HH:MM:SS");
    refused(of(times("11:00:00", "13:00:00", "Nowhere"), tcp, None), "time zone");
}

#[test]
fn revocations() {
    let joe = usr("joe");
    let login = |revocations: Value| {
        let set = world(&[("A", json!({"revocations": revocations}))]);
        try_login(&set, &user_token("joe", json!({}), &acc("A")), "joe")
    };
    refused(login(json!({joe.public(): NOW - 100})), "is revoked");
    refused(login(json!({"*": NOW})), "is revoked");
    assert!(login(json!({joe.public(): NOW - 101, "*": NOW - 101, "U": NOW})).is_ok());
}

#[test]
fn scopes() {
    let scope = json!({"kind": "user_scope", "key": acc("A2").public(), "role": "r", "template": {
        "subs": 7, "allowed_connection_types": ["STANDARD"],
        "pub": {"allow": ["u.{{name()}}.>", "{{account-name()}}.{{tag(team)}}"]},
        "sub": {"allow": ["{{tag(nothing)}}.>"]},
    }});
    let set = world(&[("A", json!({"signing_keys": [scope]}))]);
    let account = acc("A").public().to_owned();
    let token =
        |nats: Value| sign(&claims::<UserData>(&usr("joe"), "joe", nats), &acc("A2")).unwrap();
    let nats = json!({"issuer_account": account, "tags": ["team:x", "team:y"]});
    let joe = try_login(&set, &token(nats.clone()), "joe").unwrap();
    let permissions = joe.permissions.unwrap();
    let can = |subject: &str| permissions.can_publish(subject.as_bytes());
    assert!(can("u.joe.a") && can("A.x") && can("A.y") && !can("A.z") && !can("u.ann.a"));
    assert!(!permissions.can_subscribe(b"any", b""));
    assert_eq!((joe.limits.max_subscriptions, joe.limits.max_payload), (Some(7), None));
    let mut own = nats;
    own["subs"] = 5.into();
    refused(try_login(&set, &token(own), "joe"), "but its signing key sets them");
    // A deny that cannot be expanded lets nobody in.
    let scope = json!({"kind": "user_scope", "key": acc("A2").public(), "template": {
        "pub": {"deny": ["{{tag(nothing)}}.>"]}}});
    let set = world(&[("A", json!({"signing_keys": [scope]}))]);
    refused(
        try_login(&set, &token(json!({"issuer_account": account})), "joe"),
        "cannot be applied",
    );
}

#[test]
fn permissions_and_limits() {
    let default = json!({"pub": {"deny": ["no"]}});
    let set = world(&[(
        "A",
        json!({"default_permissions": default,
        "limits": {"subs": 9, "payload": 100, "conn": 3}}),
    )]);
    let of = |nats: Value| try_login(&set, &user_token("joe", nats, &acc("A")), "joe").unwrap();
    let by_default = of(json!({})).permissions.unwrap();
    assert!(by_default.can_publish(b"x") && !by_default.can_publish(b"no"));
    let own = of(json!({"pub": {"allow": ["no"]}, "subs": 4})).permissions.unwrap();
    assert!(own.can_publish(b"no") && !own.can_publish(b"x"));
    let answers = of(json!({"resp": {"max": 0, "ttl": 0}})).permissions.unwrap();
    assert!(!answers.can_publish(b"x") && answers.responses().unwrap().max == 1);
    let joe = of(json!({"subs": 0, "payload": 5}));
    assert_eq!((joe.limits.max_subscriptions, joe.limits.max_payload), (Some(0), Some(5)));
    assert_eq!(joe.account.limits.max_subscriptions, Some(9));
    assert_eq!(
        (joe.account.limits.max_payload, joe.account.limits.max_connections),
        (Some(100), Some(3))
    );
    // Version 2: limits that are missing are 0.
    let claims: UserClaims = claims(&usr("joe"), "joe", json!({}));
    let joe = try_login(&set, &sign(&claims, &acc("A")).unwrap(), "joe").unwrap();
    assert_eq!((joe.limits.max_subscriptions, joe.limits.max_payload), (Some(0), Some(0)));
}

#[test]
fn rechecks_after_an_update() {
    let scope = |subs: i64| json!([{"kind": "user_scope", "key": acc("A2").public(), "template": {"subs": subs}}]);
    let nats = json!({"signing_keys": scope(7)});
    let set = world(&[("A", nats)]);
    let own = json!({"issuer_account": acc("A").public()});
    let mut scoped_claims: UserClaims = claims(&usr("sco"), "sco", own);
    scoped_claims.expires = NOW + 50;
    let scoped = try_login(&set, &sign(&scoped_claims, &acc("A2")).unwrap(), "sco").unwrap();
    let joe = try_login(&set, &user_token("joe", json!({}), &acc("A")), "joe").unwrap();
    let at = |nats: Value, change: &dyn Fn(&mut AccountClaims)| {
        let mut claims: AccountClaims = claims(&acc("A"), "A", unlimited(nats));
        change(&mut claims);
        set.with_account(acc("A").public(), &sign(&claims, &operator("O")).unwrap(), NOW).unwrap()
    };
    let recheck = |set: &AccountSet, who: &Identity, now: i64| match set.recheck(
        who,
        ConnectionKind::Standard,
        now * SECOND,
    ) {
        Recheck::Keep(identity) => Ok(identity),
        Recheck::Close(close) => Err(close.text.unwrap_or("no text")),
    };
    let keep = |set: &AccountSet, who: &Identity| recheck(set, who, NOW).unwrap();
    let closed =
        |set: &AccountSet, who: &Identity| recheck(set, who, NOW).map(|i| i.name).unwrap_err();
    let unchanged = keep(&set, &joe);
    assert_eq!((unchanged.token.clone(), unchanged.expires), (joe.token.clone(), None));
    let wider = at(json!({"signing_keys": scope(9), "limits": {"subs": 3}}), &|_| {});
    assert_eq!(keep(&wider, &scoped).limits.max_subscriptions, Some(9));
    assert_eq!(keep(&wider, &joe).account.limits.max_subscriptions, Some(3));
    let without = at(json!({}), &|_| {});
    assert_eq!(closed(&without, &scoped), "Authorization Violation");
    assert!(recheck(&without, &joe, NOW).is_ok());
    let revoked = at(json!({"signing_keys": scope(7), "revocations": {"*": NOW}}), &|_| {});
    assert_eq!(closed(&revoked, &joe), "User Authentication Revoked");
    let expiring = at(json!({"signing_keys": scope(7)}), &|c| c.expires = NOW + 5);
    assert_eq!(keep(&expiring, &joe).expires, Some((NOW + 5) * SECOND));
    assert_eq!(
        recheck(&expiring, &joe, NOW + 6).map(|i| i.name),
        Err("Account Authentication Expired")
    );
    assert_eq!(
        recheck(&expiring, &joe, NOW + 5).map(|i| i.name),
        Err("Account Authentication Expired")
    );
    // What the user's own token says comes first.
    assert_eq!(
        recheck(&expiring, &scoped, NOW + 51).map(|i| i.name),
        Err("User Authentication Expired")
    );
    assert_eq!(
        closed(&set.without_account(acc("A").public(), NOW), &joe),
        "Account Authentication Expired"
    );
    let windowed = json!({"times": [{"start": "11:00:00", "end": "12:30:00"}]});
    let ann = try_login(&set, &user_token("ann", windowed, &acc("A")), "ann").unwrap();
    assert!(recheck(&set, &ann, NOW + 1000).is_ok());
    assert_eq!(recheck(&set, &ann, NOW + 1801).map(|i| i.name), Err("User Authentication Expired"));
}

#[test]
fn expired_accounts_say_so() {
    let mut claims: AccountClaims = claims(&acc("A"), "A", unlimited(json!({})));
    claims.expires = NOW - 1;
    let token = sign(&claims, &operator("O")).unwrap();
    let set = world(&[]).with_account(acc("A").public(), &token, NOW).unwrap();
    refused(try_login(&set, &user_token("joe", json!({}), &acc("A")), "joe"), "JWT of account");
}

#[test]
fn operators_must_agree_with_the_configuration() {
    let err = |change: &dyn Fn(&mut Options)| {
        let mut options = options(|o| change(o));
        super::adopt(&mut options).unwrap_err().to_string()
    };
    let op = |nats: Value| {
        vec![sign(&claims::<OperatorData>(&operator("O"), "OP", nats), &operator("O")).unwrap()]
    };
    let cases: Vec<(Box<dyn Fn(&mut Options)>, &str)> = vec![
        (Box::new(|o| o.trust.operators = vec!["x".into()]), "error parsing operator JWT"),
        (Box::new(move |o| o.trust.operators = op(json!({"signing_keys": ["x"]}))), "signing key"),
        (Box::new(|o| o.trust.resolver = None), "account resolver"),
        (
            Box::new(|o| {
                o.trust.resolver_preload.insert("A".into(), "a.b.c".into());
            }),
            "invalid account JWT of A",
        ),
        (Box::new(|o| o.system_account = acc("B").public().to_owned()), "must be identical"),
        (
            Box::new(|o| {
                o.trust.resolver_pinned_accounts.insert("A".into());
            }),
            "pinned account",
        ),
        (Box::new(|o| o.authorization.auth_callout = Some(Default::default())), "callouts"),
    ];
    for (change, want) in cases {
        let got = err(&*change);
        assert!(got.contains(want), "{got:?} has no {want:?}");
    }
    for (wanted, fits) in [
        ("2.15.0", true),
        ("2.15.1", true),
        ("1.99.99", true),
        ("2.15.2", false),
        ("2.16.0", false),
        ("3.0.0", false),
        ("x", false),
        ("2.15", false),
    ] {
        let nats = json!({"assert_server_version": wanted, "system_account": acc("SYS").public()});
        let token =
            sign(&claims::<OperatorData>(&operator("O"), "OP", nats), &operator("O")).unwrap();
        let mut options = options(|o| o.trust.operators = vec![token]);
        assert_eq!(super::adopt(&mut options).is_ok(), fits, "{wanted}");
    }
    let nats = json!({"account_server_url": "http://h:9090/jwt/v1/"});
    let token = sign(&claims::<OperatorData>(&operator("O"), "OP", nats), &operator("O")).unwrap();
    let mut options = options(|o| {
        o.trust.operators = vec![token];
        o.trust.resolver = None;
    });
    super::adopt(&mut options).unwrap();
    assert_eq!(options.trust.resolver, Some(Resolver::Url("http://h:9090/jwt/v1/accounts".into())));
    assert!(options.system_account.is_empty());
}
