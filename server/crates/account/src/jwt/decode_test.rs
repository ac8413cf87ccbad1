//! Reading tokens of nsc, of version 1, and of nobody.

use super::*;
use crate::nkey::{KeyKind, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use serde_json::{Value, json};

macro_rules! nsc {
    ($name:literal) => {
        include_str!(concat!("../../fixtures/nsc/", $name, ".jwt"))
    };
}

fn pair(kind: KeyKind, seed: u8) -> KeyPair {
    KeyPair::from_random(kind, [seed; 32]).unwrap()
}

/// Signs `payload` as it stands, in the manner of this version.
fn write(header: &Value, payload: &Value, signer: &KeyPair, version: u8) -> String {
    let part = |v: &Value| BASE64URL_NOPAD.encode(v.to_string().as_bytes());
    let (header, payload) = (part(header), part(payload));
    let text = format!("{header}.{payload}");
    let signature = signer.sign(if version == 1 { payload.as_bytes() } else { text.as_bytes() });
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn v2(payload: &Value, signer: &KeyPair) -> String {
    write(&json!({"typ": "JWT", "alg": "ed25519-nkey"}), payload, signer, 2)
}

fn v1(payload: &Value, signer: &KeyPair) -> String {
    write(&json!({"typ": "jwt", "alg": "ed25519"}), payload, signer, 1)
}

#[test]
fn an_operator_of_nsc() {
    let op = decode_operator(nsc!("op")).unwrap();
    op.check().unwrap();
    assert_eq!((op.name.as_str(), op.version, op.issuer == op.subject), ("OP", 2, true));
    assert_eq!(op.nats.signing_keys.len(), 1);
    assert_eq!(op.nats.operator_service_urls, ["nats://127.0.0.1:4222"]);
    assert_eq!(op.nats.system_account, decode_account(nsc!("sys")).unwrap().subject);
}

#[test]
fn accounts_of_nsc() {
    let a = decode_account(nsc!("a")).unwrap();
    a.check().unwrap();
    let limits = &a.nats.limits;
    assert_eq!((limits.conn, limits.subs, limits.payload, limits.leaf), (5, 20, 1024, 2));
    assert_eq!((limits.imports, limits.exports, limits.wildcard_exports), (10, 10, true));
    let tiers: Vec<_> = limits.tiered_limits.keys().map(String::as_str).collect();
    assert_eq!(tiers, ["R1", "R3"]);
    assert_eq!(limits.tiered_limits["R1"].disk_storage, 1_000_000);
    assert_eq!(limits.tiered_limits["R1"].consumers, 4);
    assert_eq!(limits.jetstream, JetStreamLimits::default());
    assert_eq!(a.nats.mappings["old.*"][0].subject, "new.$1");
    assert_eq!(
        a.nats.trace.as_ref().map(|t| (t.destination.as_str(), t.sampling)),
        Some(("trace.here", 50))
    );
    assert_eq!(a.nats.tags, ["team:blue"]);
    assert_eq!(a.nats.default_permissions.publish.allow, ["pub.>"]);
    assert_eq!(a.nats.revocations.len(), 1);
    let scope = a.nats.signing_keys.iter().find_map(|k| k.scope.as_ref()).unwrap();
    assert_eq!((scope.role.as_str(), scope.template.subs, scope.template.data), ("worker", 7, -1));
    assert_eq!(scope.template.permissions.publish.allow, ["work.{{name()}}.>"]);
    let kinds: Vec<_> = a.nats.imports.iter().map(|i| (i.kind, i.local_subject.as_str())).collect();
    assert_eq!(kinds, [(Kind::Service, "please.help"), (Kind::Stream, "b.ticks.>")]);
    assert!(!a.nats.imports[0].token.is_empty());

    let b = decode_account(nsc!("b")).unwrap();
    b.check().unwrap();
    let help = b.nats.exports.iter().find(|e| e.subject == "help.*").unwrap();
    assert_eq!((help.kind, help.token_req), (Kind::Service, true));
    assert_eq!(
        (help.response_type, help.response_threshold),
        (ResponseType::Stream, 5_000_000_000)
    );
    assert_eq!(help.service_latency.as_ref().map(|l| l.sampling), Some(Sampling(30)));
    let own = b.nats.exports.iter().find(|e| e.subject == "own.*.x").unwrap();
    assert_eq!((own.kind, own.account_token_position), (Kind::Stream, 2));
    assert_eq!(b.nats.authorization.allowed_accounts, ["*"]);
    assert!(b.nats.authorization.xkey.starts_with('X'));
    decode_account(nsc!("sys")).unwrap().check().unwrap();
}

#[test]
fn users_of_nsc() {
    let joe = decode_user(nsc!("joe")).unwrap();
    joe.check().unwrap();
    let limits = &joe.nats.limits;
    assert_eq!((limits.subs, limits.data, limits.payload), (3, -1, 99));
    assert_eq!(limits.permissions.publish.allow, ["a.>"]);
    assert_eq!(limits.permissions.subscribe.deny, ["secret.>"]);
    assert_eq!(limits.permissions.responses, Some(Responses { max: 5, ttl: 3_000_000_000 }));
    assert_eq!(
        (limits.src.as_slice(), limits.times_location.as_str()),
        (&["10.0.0.0/8".to_owned()][..], "Europe/Berlin")
    );
    assert_eq!(limits.times, [TimeRange { start: "08:00:00".into(), end: "17:00:00".into() }]);
    assert_eq!(
        (joe.expires, joe.nats.tags.as_slice()),
        (4_070_908_800, &["pet:cat".to_owned()][..])
    );
    assert!(joe.nats.issuer_account.starts_with('A') && joe.nats.issuer_account != joe.issuer);
    let bear = decode_user(nsc!("bear")).unwrap();
    assert!(bear.nats.limits.bearer_token && bear.nats.issuer_account.is_empty());
    assert_eq!(bear.nats.limits.allowed_connection_types, ["WEBSOCKET"]);
    let scoped = decode_user(nsc!("scoped")).unwrap();
    assert_eq!(scoped.nats.limits, UserPermissionLimits::default());
    let gone = decode_user(nsc!("gone")).unwrap();
    let a = decode_account(nsc!("a")).unwrap();
    assert!(is_revoked(&a.nats.revocations, &gone.subject, gone.issued_at));
    assert!(!is_revoked(&a.nats.revocations, &joe.subject, joe.issued_at));
    assert!(is_revoked(&[("*".to_owned(), 5)].into(), "U", 5));
    assert!(!is_revoked(&[("*".to_owned(), 5)].into(), "U", 6));
}

#[test]
fn an_activation_of_nsc() {
    let token = decode_activation(nsc!("activation")).unwrap();
    assert_eq!((token.nats.import_subject.as_str(), token.nats.kind), ("help.me", Kind::Service));
    assert_eq!(token.exporter(), decode_account(nsc!("b")).unwrap().subject);
    assert_eq!(token.subject, decode_account(nsc!("a")).unwrap().subject);
}

#[test]
fn one_type_is_not_another() {
    let wrong = |want, got: &str| TokenError::Type { want, got: got.to_owned() };
    assert_eq!(decode_account(nsc!("op")), Err(wrong("account", "operator")));
    assert_eq!(decode_user(nsc!("a")), Err(wrong("user", "account")));
    assert_eq!(decode_operator(nsc!("joe")), Err(wrong("operator", "user")));
    assert_eq!(decode_activation(nsc!("joe")), Err(wrong("activation", "user")));
    assert_eq!(decode_generic(nsc!("joe")), Err(wrong("generic", "user")));
    assert_eq!(
        decode_authorization_response(nsc!("a")),
        Err(wrong("authorization_response", "account"))
    );
}

#[test]
fn version_1_has_other_places_and_defaults() {
    let (account, user) = (pair(KeyKind::Account, 1), pair(KeyKind::User, 2));
    let payload = json!({
        "iss": account.public(), "sub": user.public(), "iat": 7, "type": "user",
        "tags": ["a"], "issuer_account": "AX",
        "nats": {"pub": {"allow": ["x"]}, "subs": 5, "src": "10.0.0.0/8, FD00::/8",
                 "allowed_connection_types": ["MQTT"], "proxy_required": true},
    });
    let token = v1(&payload, &account);
    let claims = decode_user(&token).unwrap();
    assert_eq!((claims.version, claims.issued_at), (1, 7));
    let limits = &claims.nats.limits;
    assert_eq!((limits.subs, limits.data, limits.payload), (5, -1, -1));
    assert_eq!(limits.src, ["10.0.0.0/8", "fd00::/8"]);
    assert!(limits.allowed_connection_types.is_empty() && !limits.proxy_required);
    assert_eq!(
        (claims.nats.tags.as_slice(), claims.nats.issuer_account.as_str()),
        (&["a".to_owned()][..], "AX")
    );
    // Version 2: missing is 0.
    let payload = json!({"iss": account.public(), "sub": user.public(),
        "nats": {"type": "user", "version": 2, "tags": null}});
    let claims = decode_user(&v2(&payload, &account)).unwrap();
    assert_eq!((claims.nats.limits.subs, claims.version), (0, 2));

    let operator = pair(KeyKind::Operator, 3);
    let payload = json!({
        "iss": operator.public(), "sub": account.public(), "type": "account",
        "nats": {"limits": {"subs": -1, "conn": 3, "mem_storage": 9, "tiered_limits": {"R1": {}}},
                 "signing_keys": ["AY"], "mappings": {"a": []}, "revocations": {"U1": 4}},
    });
    let claims = decode_account(&v1(&payload, &operator)).unwrap();
    let nats = &claims.nats;
    assert_eq!((nats.limits.subs, nats.limits.conn, nats.limits.payload), (-1, 3, 0));
    assert_eq!((nats.limits.jetstream.mem_storage, nats.limits.tiered_limits.len()), (0, 0));
    assert_eq!((nats.signing_keys[0].key.as_str(), nats.revocations["U1"]), ("AY", 4));
    assert!(nats.mappings.is_empty());

    let payload = json!({
        "iss": account.public(), "sub": account.public(), "type": "activation",
        "nats": {"subject": "a", "type": "service"},
    });
    assert_eq!(decode_activation(&v1(&payload, &account)).unwrap().nats.kind, Kind::Service);
}

#[test]
fn what_is_signed_depends_on_the_version() {
    let (account, user) = (pair(KeyKind::Account, 1), pair(KeyKind::User, 2));
    let two = json!({"iss": account.public(), "sub": user.public(), "nats": {"type": "user", "version": 2}});
    let one = json!({"iss": account.public(), "sub": user.public(), "type": "user"});
    let forged = Err(TokenError::Signature(account.public().to_owned()));
    assert_eq!(decode_user(&v1(&two, &account)), forged);
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    assert_eq!(decode_user(&write(&header, &one, &account, 2)), forged);
    assert!(decode_user(&write(&header, &one, &account, 1)).is_ok());
    // By another key than the one it names.
    assert_eq!(decode_user(&v2(&two, &pair(KeyKind::Account, 9))), forged);
}

#[test]
fn bad_tokens_say_what_is_wrong() {
    let (account, user) = (pair(KeyKind::Account, 1), pair(KeyKind::User, 2));
    let good = json!({"iss": account.public(), "sub": user.public(), "nats": {"type": "user", "version": 2}});
    let changed = |path: &str, value: Value| {
        let mut payload = good.clone();
        *payload.pointer_mut(path).unwrap() = value;
        decode_user(&v2(&payload, &account)).unwrap_err().to_string()
    };
    let header =
        |header: Value| decode_user(&write(&header, &good, &account, 2)).unwrap_err().to_string();
    let token = v2(&good, &account);
    let text = |token: &str| decode_user(token).unwrap_err().to_string();
    let cases = [
        (changed("/nats/version", json!(3)), "version 3"),
        (changed("/nats/version", json!(null)), "version 0"),
        (changed("/nats/type", json!("cluster")), "type \"cluster\""),
        (changed("/iss", json!(user.public())), "is no key that signs"),
        (changed("/iss", json!("A")), "is no key that signs"),
        (changed("/sub", json!(account.public())), "is not the public key"),
        (changed("/nats", json!([])), "type \"\""),
        (changed("/sub", json!({})), "cannot be read"),
        (header(json!({"typ": "JWT", "alg": "none"})), "algorithm \"none\""),
        (header(json!({"typ": "JWT", "alg": "HS256"})), "HS256"),
        (header(json!({"typ": "x", "alg": "ed25519-nkey"})), "type \"x\""),
        (header(json!("x")), "header cannot be read"),
        (text(""), "three parts"),
        (text("a.b"), "three parts"),
        (text("a.b.c.d"), "three parts"),
        (text("!.b.c"), "header is not base64"),
        (text(&token.replacen('.', "=.", 1)), "header is not base64"),
        (text(&format!("{token}=")), "signature is not base64"),
        (text(&"x".repeat(MAX_TOKEN_BYTES + 1)), "more than"),
    ];
    for (got, want) in cases {
        assert!(got.contains(want), "{got} has no {want}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let head = token.split('.').next().unwrap();
    assert!(
        text(&format!("{head}.{}.AA", BASE64URL_NOPAD.encode(deep.as_bytes())))
            .contains("cannot be read")
    );
}

#[test]
fn what_is_written_can_be_read() {
    let (operator, account) = (pair(KeyKind::Operator, 1), pair(KeyKind::Account, 2));
    let claims = AccountClaims {
        subject: account.public().to_owned(),
        name: "ACME".to_owned(),
        issued_at: 1,
        nats: AccountData {
            limits: Limits { disallow_bearer: true, ..Limits::unlimited() },
            signing_keys: vec![
                SigningKey { key: "AP".to_owned(), scope: None },
                SigningKey {
                    key: "AS".to_owned(),
                    scope: Some(Box::new(Scope {
                        role: "r".to_owned(),
                        template: UserPermissionLimits { subs: 4, data: -1, ..Default::default() },
                        ..Scope::default()
                    })),
                },
            ],
            cluster_traffic: ClusterTraffic::Owner,
            ..AccountData::default()
        },
        ..Claims::default()
    };
    let token = sign(&claims, &operator).unwrap();
    let mut read = decode_account(&token).unwrap();
    assert_eq!((read.issuer.as_str(), read.version), (operator.public(), 2));
    assert_eq!(read.id.len(), 52);
    // A template's missing limits are none; 0 cannot be written.
    assert_eq!(read.nats.signing_keys[1].scope.as_ref().unwrap().template.payload, -1);
    read.nats.signing_keys[1].scope.as_mut().unwrap().template.payload = 0;
    assert_eq!(read.nats, claims.nats);
    assert!(matches!(sign(&claims, &pair(KeyKind::User, 1)), Err(SignError::Issuer { .. })));
    let request = GenericClaims {
        subject: operator.public().to_owned(),
        nats: json!({"accounts": ["A1", 2, "A2"]}).as_object().unwrap().clone(),
        ..Claims::default()
    };
    let read = decode_generic(&sign(&request, &operator).unwrap()).unwrap();
    assert_eq!(read.accounts(), ["A1", "A2"]);
    assert!(read.issuer == read.subject);
}

#[test]
fn rules_for_accounts() {
    let account = pair(KeyKind::Account, 2);
    let base = AccountClaims {
        subject: account.public().to_owned(),
        nats: AccountData { limits: Limits::unlimited(), ..AccountData::default() },
        ..Claims::default()
    };
    base.check().unwrap();
    let refused = |nats: Value, want: &str| {
        let mut value = serde_json::to_value(&base).unwrap();
        for (key, new) in nats.as_object().unwrap() {
            value["nats"][key] = new.clone();
        }
        let claims: AccountClaims = serde_json::from_value(value).unwrap();
        let got = claims.check().unwrap_err().to_string();
        assert!(got.contains(want), "{got} has no {want}");
    };
    let export = |subject: &str| json!({"subject": subject, "type": "stream"});
    refused(
        json!({"limits": {"exports": 1}, "exports": [export("a"), export("b")]}),
        "more exports",
    );
    refused(json!({"limits": {"exports": 1}, "exports": [export("a.*")]}), "has wildcards");
    refused(
        json!({"limits": {}, "imports": [{"subject": "a", "type": "stream", "account": "A"}]}),
        "more imports",
    );
    refused(json!({"exports": [export("a.b"), export("a.*")]}), "already exports");
    refused(json!({"exports": [export("a..b")]}), "not a valid subject");
    refused(json!({"exports": [{"subject": "a"}]}), "neither stream nor service");
    refused(
        json!({"exports": [{"subject": "a", "type": "stream", "allow_trace": true}]}),
        "services only",
    );
    refused(
        json!({"exports": [{"subject": "a.*", "type": "stream", "account_token_position": 1}]}),
        "account_token_position",
    );
    let import = |rest: Value| {
        let mut import = json!({"subject": "a.*", "account": "AB", "type": "service"});
        import.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        json!({"imports": [import]})
    };
    refused(import(json!({"account": ""})), "names no account");
    refused(import(json!({"allow_trace": true})), "streams only");
    refused(import(json!({"type": "stream", "share": true})), "services only");
    refused(import(json!({"local_subject": "b"})), "wildcards");
    refused(import(json!({"local_subject": "b.$1", "to": "x"})), "only one");
    refused(import(json!({"token": "x"})), "activation token is invalid");
    refused(import(json!({"token": nsc!("activation")})), "another account");
    refused(
        json!({"mappings": {"a": [{"subject": "b", "weight": 60}, {"subject": "c"}]}}),
        "100 percent",
    );
    refused(json!({"default_permissions": {"pub": {"allow": ["a b"]}}}), "no valid subject");
    refused(json!({"authorization": {"auth_users": ["U"]}}), "auth user");
    refused(json!({"trace": {"dest": "a.*"}}), "trace");
    refused(json!({"cluster_traffic": "moon"}), "cluster_traffic");
    refused(json!({"signing_keys": ["AX"]}), "signing key");
    refused(json!({"limits": {"tiered_limits": {"": {}}}}), "tier");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["", "user", "account", "stream", "headers", "user_scope", "*"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let keys = vec![
            "limits",
            "imports",
            "exports",
            "signing_keys",
            "kind",
            "template",
            "key",
            "type",
            "version",
            "src",
            "pub",
            "allow",
            "tags",
            "resp",
            "times",
            "trace",
            "sampling",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(keys), inner), 0..5)
                .prop_map(|pairs| { pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect() }),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "[A-Za-z0-9._=-]{0,200}") {
        prop_assert!(decode_account(&text).is_err() && decode_user(&text).is_err());
    }

    #[test]
    fn any_claims_are_survived(nats in any_json(), kind in 0..5, outer in any::<bool>()) {
        let names = ["operator", "account", "user", "activation", "authorization_response"];
        let name = names[kind as usize];
        let signer = pair(if kind == 0 { KeyKind::Operator } else { KeyKind::Account }, 1);
        let subject = pair([KeyKind::Operator, KeyKind::Account, KeyKind::User, KeyKind::Account, KeyKind::User][kind as usize], 2);
        let mut payload = json!({"iss": signer.public(), "sub": subject.public(), "nats": nats});
        if outer {
            payload["type"] = name.into();
        } else if let Some(nats) = payload["nats"].as_object_mut() {
            nats.insert("type".to_owned(), name.into());
            nats.insert("version".to_owned(), 2.into());
        }
        let token = if outer { v1(&payload, &signer) } else { v2(&payload, &signer) };
        // Whatever is accepted can be checked and written again.
        if let Ok(claims) = decode_account(&token) {
            let _ = claims.check();
            let again = decode_account(&sign(&claims, &signer).unwrap()).unwrap();
            prop_assert_eq!(again.nats.limits, claims.nats.limits);
        }
        if let Ok(claims) = decode_user(&token) {
            let _ = claims.check();
            let again = decode_user(&sign(&claims, &signer).unwrap()).unwrap();
            prop_assert_eq!(again.nats, claims.nats);
        }
        let _ = decode_operator(&token).map(|c| c.check());
        let _ = (decode_activation(&token), decode_generic(&token), decode_authorization_response(&token));
    }

    #[test]
    fn no_changed_byte_goes_unseen(at in any::<prop::sample::Index>(), byte in b'0'..=b'z') {
        let mut token = nsc!("joe").trim().as_bytes().to_vec();
        let at = at.index(token.len());
        prop_assume!(token[at] != byte);
        token[at] = byte;
        prop_assert!(decode_user(std::str::from_utf8(&token).unwrap()).is_err());
    }
}
