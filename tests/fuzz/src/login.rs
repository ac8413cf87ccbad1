//! Logins: CONNECT as it comes from the socket, and the answer of an auth service.

use crate::identity::encode;
use gust_account::callout::{Answer, Answered};
use gust_account::nkey::{CurveKeyPair, KeyKind, KeyPair};
use gust_account::{AccountSet, AuthDecision, Login};
use gust_config::{LoadError, load_text};
use gust_wire::connect::Connect;
use std::sync::LazyLock;

const USERS: &str = "
    accounts {
      A { users: [ { user: a, password: secret-a, permissions: { publish: x } } ] }
      B { users: [ { nkey: UDFJHLAXAUMHA4OWPOB4P7YO72AQR2HMIUYFOXLXE2DZGM633K7HYREV } ] } }
    proxies { trusted: [ { key: UDFJHLAXAUMHA4OWPOB4P7YO72AQR2HMIUYFOXLXE2DZGM633K7HYREV } ] }";
const SERVICE: &str = "
    accounts { AUTH { users: [ { user: a, password: secret-a } ] }, APP {} }
    authorization { auth_callout { account: AUTH, auth_users: [a],
        issuer: ADWUSKGGFDI4FRXK5EBTRECZSVQSSWJHHJOGH6JWG3AUMFFMQ435D6HD,
        xkey: XCL4HMILJVWBGOTY5JO4YHHWIIOT7ANOG6Y7MKGOCTFG7TTXGDZTHMNY } }";
const TOKEN: &str = "authorization { token: secret-token }";

static RULES: LazyLock<[AccountSet; 3]> = LazyLock::new(|| [USERS, SERVICE, TOKEN].map(rules));

fn rules(text: &str) -> AccountSet {
    let mut none = |path: &str| Err(LoadError(format!("open {path}: no such file or directory")));
    let loaded = load_text(text, &mut none, &|_| None).expect("the texts are valid");
    AccountSet::from_options(&loaded.options).expect("the texts make rules")
}

fn said(connect: &Connect) -> Login<'_> {
    Login {
        user: &connect.user,
        pass: &connect.pass,
        token: &connect.auth_token,
        nkey: &connect.nkey,
        jwt: &connect.jwt,
        sig: &connect.sig,
        proxy_sig: &connect.proxy_sig,
        nonce: "a nonce",
        now: 1,
        ..Login::default()
    }
}

/// CONNECT decided: nobody gets in who does not know a secret.
pub fn login(data: &[u8]) {
    let Ok(connect) = Connect::parse(data) else { return };
    for rules in &*RULES {
        match rules.authenticate(&said(&connect)) {
            AuthDecision::Accept(_) => {
                let known = [&connect.pass, &connect.auth_token];
                assert!(known.iter().any(|text| text.starts_with("secret-")), "{connect:?}");
            }
            AuthDecision::Refuse(refusal) => {
                let shown = refusal.reason.to_string();
                // Names are shown, and may happen to hold the password.
                let named = [&connect.user, &connect.nkey].iter().any(|n| n.contains(&connect.pass));
                assert!(named || connect.pass.len() < 30 || !shown.contains(&connect.pass));
            }
            _ => {}
        }
    }
}

/// What an auth service answers: the bytes as they are, then as the claims of a
/// user in an answer that is in order, open or sealed.
pub fn callout_answer(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let rules = &RULES[1];
    let decision = rules.authenticate(&Login { user: "bob", ..Login::default() });
    let AuthDecision::Callout(question) = decision else { panic!("bob is asked about") };
    let account = KeyPair::from_random(KeyKind::Account, [3; 32]).expect("a key");
    let user = KeyPair::from_random(KeyKind::User, [4; 32]).expect("a key");
    let server = KeyPair::from_random(KeyKind::Server, [1; 32]).expect("a key");
    let (service, curve) =
        (CurveKeyPair::from_random([12; 32]), CurveKeyPair::from_random([11; 32]));
    let read = |payload: &[u8]| {
        let (user_nkey, server_id) = (user.public(), server.public());
        let answer = Answer { payload, curve: &curve, user_nkey, server_id };
        rules.callout_answer(&question, answer, &Login { now: 1, ..Login::default() })
    };
    assert!(read(rest).is_err(), "nobody guesses signatures");
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let token = |body: &str| {
        let header = encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
        let signed = format!("{header}.{}", encode(body.as_bytes()));
        format!("{signed}.{}", encode(&account.sign(signed.as_bytes())))
    };
    // Seeds name the keys with these words.
    let text = text.replace("ISSUER", account.public()).replace("USER", user.public());
    let inner = token(&text);
    let around = format!(
        r#"{{"iss":"{}","sub":"{}","aud":"{}","nats":{{"type":"authorization_response","version":2,"jwt":"{inner}"}}}}"#,
        account.public(),
        user.public(),
        server.public()
    );
    let answer = token(if choice & 2 == 0 { &around } else { &text });
    let sealed = service.seal(answer.as_bytes(), curve.public(), [7; 24]).expect("a key");
    let open = read(answer.as_bytes());
    let again = read(&sealed);
    assert_eq!(open.is_ok(), again.is_ok());
    if let Ok(Answered::Accept(identity)) = open {
        assert!(text.contains(user.public()), "it is for this request");
        assert!(rules.account(&identity.account.name).is_some());
    }
}
