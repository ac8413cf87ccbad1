//! Logins against configurations, as text.

use crate::certificate::CertificateNames;
use crate::dn::DistinguishedName;
use crate::nkey::{KeyKind, KeyPair};
use crate::operator::TrustError;
use crate::{AccountError, AccountSet, AuthDecision, ConnectionKind, Login, secret};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use gust_config::{LoadError, Options};

pub(crate) fn options(text: &str) -> Options {
    let mut none =
        |_: &str| -> Result<Vec<u8>, LoadError> { unreachable!("the texts include nothing") };
    gust_config::load_text(text, &mut none, &|_| None)
        .unwrap_or_else(|e| panic!("{text}: {e}"))
        .options
}

pub(crate) fn set(text: &str) -> AccountSet {
    AccountSet::from_options(&options(text)).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// `account/name` of who was accepted, `bcrypt account/name`, or the reason.
pub(crate) fn outcome(set: &AccountSet, login: &Login<'_>) -> String {
    said(set.authenticate(login))
}

fn said(decision: AuthDecision) -> String {
    match decision {
        AuthDecision::Accept(i) => format!("{}/{}", i.account.name, i.name),
        AuthDecision::CheckPassword { hash, candidate, then, otherwise } => {
            let matches = secret::bcrypt_matches(&hash.0, &candidate.0);
            format!("bcrypt {}", said(if matches { *then } else { *otherwise }))
        }
        AuthDecision::FetchAccount { id } => format!("fetch {id}"),
        AuthDecision::Callout(question) => format!("asks about {}", question.user),
        AuthDecision::Refuse(r) => {
            assert_eq!(r.text, "Authorization Violation");
            r.reason.to_string()
        }
    }
}

pub(crate) fn user<'a>(user: &'a str, pass: &'a str) -> Login<'a> {
    Login { user, pass, ..Login::default() }
}

fn token(token: &str) -> Login<'_> {
    Login { token, ..Login::default() }
}

const NOBODY: Login<'static> = Login {
    user: "",
    pass: "",
    token: "",
    nkey: "",
    jwt: "",
    sig: "",
    nonce: "",
    kind: ConnectionKind::Standard,
    certificate_names: None,
    now: 0,
    peer: None,
    proxy_sig: "",
    via_trusted_proxy: false,
};

#[test]
fn logins() {
    let users = "authorization { users = [{user: a, password: x}, {user: b, password: y}] }";
    let two =
        "accounts { A { users: [{user: a, password: x}] }, B { users: [{user: b, password: y}] } }";
    let system = "accounts { $SYS { users: [{user: admin, password: s}] } }";
    let hash = bcrypt::hash("secret", 4).unwrap();
    let hashed = format!("authorization {{ user: a, password: \"{hash}\" }}");
    let hashed_token = format!("authorization {{ token: \"{hash}\" }}");
    let unknown = |u: &str| format!("user {u:?} is not known");
    let wrong = |u: &str| format!("wrong password for user {u:?}");
    let nothing = "no credentials were presented".to_owned();
    let ok = |s: &str| s.to_owned();
    let cases: Vec<(&str, Login<'_>, String)> = vec![
        ("", NOBODY, ok("$G/")),
        ("", user("any", "thing"), ok("$G/")),
        (users, user("a", "x"), ok("$G/a")),
        (users, user("a", "y"), wrong("a")),
        (users, user("a", ""), wrong("a")),
        (users, user("c", "x"), unknown("c")),
        (users, NOBODY, nothing.clone()),
        (two, user("a", "x"), ok("A/a")),
        (two, user("b", "y"), ok("B/b")),
        (two, user("b", "x"), wrong("b")),
        (two, NOBODY, nothing.clone()),
        ("authorization { user: a, password: x }", user("a", "x"), ok("$G/a")),
        ("authorization { user: a, password: x }", user("b", "x"), unknown("b")),
        ("authorization { user: a, password: x }", user("a", "z"), wrong("a")),
        ("authorization { user: a, password: x }", token("x"), unknown("")),
        ("authorization { token: t }", token("t"), ok("$G/")),
        ("authorization { token: t }", token("u"), ok("wrong token")),
        ("authorization { token: t }", user("a", "t"), ok("wrong token")),
        ("authorization { token: t }", NOBODY, nothing.clone()),
        (&hashed, user("a", "secret"), ok("bcrypt $G/a")),
        (&hashed, user("a", &hash), format!("bcrypt {}", wrong("a"))),
        (&hashed_token, token("secret"), ok("bcrypt $G/")),
        (&hashed_token, token("x"), ok("bcrypt wrong token")),
        // Only the system account has users: the global one stays open.
        (system, NOBODY, ok("$G/")),
        (system, user("admin", "s"), ok("$SYS/admin")),
        (system, user("admin", "x"), wrong("admin")),
        (system, user("x", "x"), unknown("x")),
    ];
    for (text, login, want) in cases {
        assert_eq!(outcome(&set(text), &login), want, "{login:?} with {text}");
    }
}

#[test]
fn without_credentials() {
    let text = "no_auth_user: a
        accounts { A { users: [{user: a, password: x}] }, $SYS { users: [{user: s, password: s}] } }";
    let s = set(text);
    assert_eq!(outcome(&s, &NOBODY), "A/a");
    assert_eq!(outcome(&s, &user("a", "wrong")), "wrong password for user \"a\"");
    assert_eq!(outcome(&s, &token("x")), "user \"\" is not known");
    // No nkey is known here, so none is looked at.
    assert_eq!(outcome(&s, &Login { nkey: "U1", sig: "x", ..Login::default() }), "A/a");
    assert!(s.auth_required(ConnectionKind::Standard));
    // An `authorization` block closes the global account again.
    let closed = "authorization { timeout: 1 }
        accounts { $SYS { users: [{user: s, password: s}] } }";
    assert_eq!(outcome(&set(closed), &NOBODY), "no credentials were presented");
    let others = "accounts { $SYS { users: [{user: s, password: s}] }, A {} }";
    assert_eq!(outcome(&set(others), &NOBODY), "no credentials were presented");
    assert!(
        set("accounts { $SYS { users: [{user: s, password: s}] } }")
            .auth_required(ConnectionKind::Standard)
    );
    assert!(!set("accounts { A {}, B {} }").auth_required(ConnectionKind::Standard));
}

#[test]
fn kinds_of_connection() {
    let text = "authorization { users = [
        {user: a, password: x, allowed_connection_types: [websocket, STANDARD]},
        {user: m, password: x, allowed_connection_types: [MQTT]} ] }";
    let s = set(text);
    let cases = [
        ("a", ConnectionKind::Standard, "$G/a"),
        ("a", ConnectionKind::Websocket, "$G/a"),
        ("a", ConnectionKind::Mqtt, "user \"a\" may not connect as MQTT"),
        ("m", ConnectionKind::MqttWs, "user \"m\" may not connect as MQTT_WS"),
        ("m", ConnectionKind::Mqtt, "$G/m"),
    ];
    for (name, kind, want) in cases {
        let login = Login { kind, ..user(name, "x") };
        assert_eq!(outcome(&s, &login), want);
    }
}

#[test]
fn a_listener_of_its_own() {
    let text = "websocket { port: 8080, no_tls: true, authorization { user: w, password: x } }";
    let s = set(text);
    let web = |l: Login<'static>| Login { kind: ConnectionKind::Websocket, ..l };
    assert!(s.auth_required(ConnectionKind::Websocket));
    assert!(!s.auth_required(ConnectionKind::Standard));
    assert_eq!(outcome(&s, &NOBODY), "$G/");
    assert_eq!(outcome(&s, &web(NOBODY)), "no credentials were presented");
    assert_eq!(outcome(&s, &web(user("w", "x"))), "$G/w");
    assert_eq!(outcome(&s, &web(user("w", "y"))), "wrong password for user \"w\"");
}

#[test]
fn proxies() {
    let proxy = KeyPair::from_random(KeyKind::Cluster, [3; 32]).unwrap();
    let key = proxy.public();
    let text = format!(
        "proxies {{ trusted: [{{key: {key}}}] }}
        authorization {{ users = [{{user: p, password: x, proxy_required: true}},
            {{user: a, password: x}}] }}"
    );
    let s = set(&text);
    assert!(s.nonce_required() && s.trusts_proxy(key) && !set("").trusts_proxy(key));
    let sig = BASE64URL_NOPAD.encode(&proxy.sign(b"n0nce"));
    let by = |name, proxy_sig, nonce| Login { proxy_sig, nonce, ..user(name, "x") };
    let untrusted = "the proxy's signature is by none of the keys in proxies.trusted; \
        add the proxy's key";
    let direct = "user \"p\" must connect through a trusted proxy, which signs the nonce as \
        proxy_sig; or take proxy_required away";
    for (login, want) in [
        (by("p", "", "n0nce"), direct),
        (by("p", &sig, "n0nce"), "$G/p"),
        (by("p", &sig, "other"), untrusted),
        (by("p", &sig, ""), untrusted),
        (by("a", "", ""), "$G/a"),
        (by("a", "rubbish", "n0nce"), untrusted),
    ] {
        assert_eq!(outcome(&s, &login), want, "{login:?} {}", login.proxy_sig);
    }
    let AuthDecision::Accept(identity) = s.authenticate(&by("a", &sig, "n0nce")) else { panic!() };
    assert_eq!(identity.proxy.as_deref(), Some(key));
    // Without trusted keys a signature means nothing.
    let plain = set("authorization { users = [{user: a, password: x}] }");
    assert_eq!(outcome(&plain, &by("a", "rubbish", "")), "$G/a");
    // The block asks it of everybody.
    let all = set("authorization { proxy_required: true, users = [{user: p, password: x}] }");
    assert_eq!(outcome(&all, &by("p", "", "")), direct);
}

#[test]
fn refusals_take_as_long_for_unknown_users() {
    let hash = bcrypt::hash("secret", 4).unwrap();
    let text = format!(
        "authorization {{ users = [{{user: h, password: \"{hash}\"}}, {{user: p, password: x}}] }}"
    );
    let s = set(&text);
    assert_eq!(outcome(&s, &user("ghost", "secret")), "bcrypt user \"ghost\" is not known");
    assert_eq!(outcome(&s, &user("p", "y")), "bcrypt wrong password for user \"p\"");
    assert_eq!(outcome(&s, &user("h", "y")), "bcrypt wrong password for user \"h\"");
    assert_eq!(outcome(&s, &user("p", "x")), "$G/p");
    assert_eq!(outcome(&s, &NOBODY), "no credentials were presented");
}

#[test]
fn nkeys() {
    let pair = KeyPair::from_random(KeyKind::User, [7; 32]).unwrap();
    let key = pair.public();
    let text = format!(
        "no_auth_user: {key}
        accounts {{ A {{ users: [{{nkey: {key}}}, {{user: u, password: x}}] }} }}"
    );
    let s = set(&text);
    assert!(s.nonce_required());
    let sign = |nonce: &str| pair.sign(nonce.as_bytes());
    let url = BASE64URL_NOPAD.encode(&sign("n0nce"));
    let standard = BASE64.encode(&sign("n0nce"));
    let other = BASE64URL_NOPAD.encode(&sign("other"));
    let good = format!("A/{key}");
    let bad = format!("nonce signature of nkey {key:?} is not valid");
    let login = |nkey, sig, nonce| Login { nkey, sig, nonce, ..Login::default() };
    let cases = [
        (login(key, &url, "n0nce"), good.clone()),
        (login(key, &standard, "n0nce"), good.clone()),
        (login(key, &other, "n0nce"), bad.clone()),
        (login(key, "", "n0nce"), bad.clone()),
        (login(key, "!!", "n0nce"), bad.clone()),
        (login(key, &url, ""), bad),
        (login("UNKNOWN", &url, "n0nce"), "nkey \"UNKNOWN\" is not known".into()),
        (NOBODY, good),
        (user("u", "x"), "A/u".into()),
    ];
    for (login, want) in cases {
        assert_eq!(outcome(&s, &login), want, "{login:?}");
    }
}

const REFUSED_NAMES: &str = "no name of the client certificate is a user: \
                             [\"other\", \"CN=x,O=y,C=z\"]; add a user with one of these";

#[test]
fn certificates_name_users() {
    let text = "tls { cert_file: c, key_file: k, ca_file: a, verify_and_map: true }
        authorization { users = [{user: \"CN=x,O=y\"}, {user: \"m@x.org\"}, {user: p, password: x}] }";
    let s = set(text);
    let names = |n: &[&str], dn: &str| CertificateNames {
        alternative: n.iter().map(ToString::to_string).collect(),
        subject: DistinguishedName::parse(dn),
        subject_texts: vec![dn.to_owned()],
    };
    let mail = names(&["m@x.org", "CN=x,O=y"], "CN=z");
    let subject = names(&["other"], "O=y,CN=x");
    let none = names(&["other"], "CN=x,O=y,C=z");
    let by = |n| Login { certificate_names: Some(n), ..user("p", "wrong") };
    assert_eq!(outcome(&s, &by(&mail)), "$G/m@x.org");
    assert_eq!(outcome(&s, &by(&subject)), "$G/CN=x,O=y");
    assert_eq!(outcome(&s, &by(&none)), REFUSED_NAMES);
    // A listener that does not map, such as the WebSocket one.
    assert_eq!(
        outcome(&s, &user("m@x.org", "")),
        "user \"m@x.org\" can only log in by certificate"
    );
    assert_eq!(outcome(&s, &user("p", "x")), "$G/p");
}

#[test]
fn the_snapshot() {
    let text = "accounts {
        A { users: [{user: a, password: x, permissions: {publish: {deny: \"x.>\"}}}]
            limits { max_connections: 5, max_payload: 100 }
            mappings { foo: bar }
            jetstream { max_streams: 3 } }
        SYS { users: [{user: s, password: s}] } }
        system_account: SYS";
    let s = set(text);
    let names: Vec<_> = s.accounts().map(|a| a.name.to_string()).collect();
    assert_eq!(names, ["$G", "A", "SYS"]);
    let a = s.account("A").unwrap();
    assert_eq!((a.limits.max_connections, a.limits.max_subscriptions), (Some(5), None));
    assert_eq!(a.jetstream.unwrap().max_streams, 3);
    assert_eq!(a.mappings.map(b"foo", "", 0), gust_subject::Mapped::To(b"bar".to_vec()));
    assert!(s.system().unwrap().is_system && !a.is_system);
    assert!(s.global().jetstream.is_none(), "with other accounts it has to be asked for");
    assert!(set("").global().jetstream.is_some() && set("").system().is_some());
    assert!(s.has_plain_passwords() && !set("").has_plain_passwords());
    let AuthDecision::Accept(identity) = s.authenticate(&user("a", "x")) else { panic!() };
    let permissions = identity.permissions.unwrap();
    assert!(permissions.can_publish(b"a") && !permissions.can_publish(b"x.y"));
}

#[test]
fn what_cannot_be_checked_is_refused() {
    let mut o = Options { no_auth_user: "ghost".into(), ..Options::default() };
    let error = |o: &Options| AccountSet::from_options(o).expect_err("must be refused");
    assert_eq!(error(&o), AccountError::NoAuthUser("ghost".into()));
    o = Options { system_account: "S".into(), ..Options::default() };
    assert_eq!(error(&o), AccountError::SystemAccount);
    o = options("accounts { A { mappings { \"a.*\": \"b.$2\" } } }");
    let text = error(&o).to_string();
    let want = "Error adding mapping for \"a.*\" to \"b.$2\" : invalid mapping destination: wildcard \
                index out of range in $2: [2] (account \"A\")";
    assert!(text.ends_with(want), "{text}");
    o = Options::default();
    o.trust.trusted_keys.push("OKEY".into());
    o.authorization.auth_callout = Some(Default::default());
    assert_eq!(error(&o), AccountError::Trust(TrustError::Callout));
}
