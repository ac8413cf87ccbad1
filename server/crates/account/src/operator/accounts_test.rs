//! Accounts of operator mode: what their tokens make of them, what they import,
//! and where they come from.

use super::operator_test::*;
use crate::jwt::*;
use crate::nkey::KeyPair;
use crate::{AccountError, AccountSet};
use gust_config::Options;
use gust_config::options::trust::{DirectoryResolver, Resolver};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

#[test]
fn accounts_have_what_their_tokens_say() {
    let set = world(&[
        (
            "A",
            json!({
                "limits": {"mem_storage": 5, "disk_storage": -1, "streams": 2},
                "mappings": {"old.*": [{"subject": "new.$1"}]},
                "trace": {"dest": "t.x"}, "cluster_traffic": "owner",
            }),
        ),
        (
            "B",
            json!({"limits": {"tiered_limits": {"R1": {"disk_storage": 7, "consumer": 3}, "R3": {}}}}),
        ),
        ("C", json!({"limits": {"tiered_limits": {"R3": {"disk_storage": 7}}}})),
    ]);
    let of = |name: &str| set.account(acc(name).public()).unwrap();
    let js = of("A").jetstream.unwrap();
    assert_eq!((js.max_memory, js.max_store, js.max_streams, js.max_consumers), (5, -1, 2, -1));
    assert_eq!(of("A").message_trace.as_ref().unwrap().sampling, 100);
    assert!(of("A").cluster_traffic_owner && !of("B").cluster_traffic_owner);
    let token =
        account_token("A", json!({"mappings": {"a.*": [{"subject": "b.$2"}]}}), &operator("O"));
    let set = set.with_account(acc("A").public(), &token, NOW).unwrap();
    let bad = set.account(acc("A").public()).unwrap();
    assert!(bad.mappings.is_empty() && bad.token.as_ref().unwrap().ignored.len() == 1);
    let js = of("B").jetstream.unwrap();
    assert_eq!((js.max_memory, js.max_store, js.max_consumers), (0, 7, 3));
    assert_eq!(of("B").token.as_ref().unwrap().tiers.len(), 2);
    assert!(of("C").jetstream.is_none() && of("SYS").jetstream.is_none());
}

#[test]
fn imports_by_activation() {
    let activation =
        |kind: &str, subject: &str, signer: &KeyPair, change: &dyn Fn(&mut ActivationClaims)| {
            let nats = json!({"subject": subject, "kind": kind});
            let mut claims: ActivationClaims = claims(&acc("B"), "act", nats);
            if signer.public() != acc("A").public() {
                claims.nats.issuer_account = acc("A").public().to_owned();
            }
            change(&mut claims);
            sign(&claims, signer).unwrap()
        };
    let crosses = |token: String, revocations: Value| {
        let export = json!({"subject": "x.*", "type": "service", "token_req": true, "revocations": revocations});
        let import = json!({"subject": "x.1", "type": "service", "account": acc("A").public(),
            "local_subject": "here", "token": token});
        let a = account_token(
            "A",
            json!({"exports": [export], "signing_keys": [acc("A2").public()]}),
            &operator("O"),
        );
        let b = account_token("B", json!({"imports": [import]}), &operator("O"));
        let (ids, set) = ([acc("A"), acc("B")], world(&[]));
        // Whichever comes first.
        let one =
            set.with_account(ids[1].public(), &b, NOW)?.with_account(ids[0].public(), &a, NOW)?;
        let two =
            set.with_account(ids[0].public(), &a, NOW)?.with_account(ids[1].public(), &b, NOW)?;
        let of = |set: &AccountSet| set.exchange().of(ids[1].public()).map(|e| e.services.len());
        assert_eq!(of(&one), of(&two));
        let errors = one.exchange().errors().iter().map(ToString::to_string).collect::<String>();
        Ok::<_, super::AccountTokenError>((of(&one).unwrap_or(0), errors, one.exchange().expires()))
    };
    let nothing = |_: &mut ActivationClaims| {};
    let (got, errors, _) =
        crosses(activation("service", "x.*", &acc("A"), &nothing), json!({})).unwrap();
    assert_eq!((got, errors.as_str()), (1, ""));
    assert_eq!(
        crosses(activation("service", "x.1", &acc("A2"), &nothing), json!({})).unwrap().0,
        1
    );
    let later = activation("service", "x.1", &acc("A"), &|c| c.expires = NOW + 5);
    assert_eq!(crosses(later, json!({})).unwrap().2, Some(NOW + 5));
    for (token, revocations, want) in [
        (String::new(), json!({}), "requires an activation token"),
        (activation("service", "x.1", &acc("A"), &|c| c.expires = NOW - 1), json!({}), "expired"),
        (
            activation("service", "x.1", &acc("A"), &nothing),
            json!({acc("B").public(): NOW}),
            "revoked",
        ),
        (activation("service", "x.1", &acc("A"), &nothing), json!({"*": NOW}), "revoked"),
        (
            activation("service", "x.1", &acc("A3"), &nothing),
            json!({}),
            "no key of the exporting account",
        ),
    ] {
        let (got, errors, _) = crosses(token, revocations).unwrap();
        assert!(got == 0 && errors.contains(want), "{errors:?} has no {want:?}");
    }
    // These the importing account's own token may not hold.
    for token in [
        activation("service", "y", &acc("A"), &nothing),
        activation("stream", "x.1", &acc("A"), &nothing),
        activation("service", "x.1", &acc("A"), &|c| c.subject = acc("C").public().to_owned()),
    ] {
        assert!(crosses(token, json!({})).is_err());
    }
}

#[test]
fn the_system_account_can_be_bootstrapped() {
    let full = |o: &mut Options| {
        o.trust.resolver = Some(Resolver::Full(DirectoryResolver::default()));
    };
    let set = build(&options(full));
    let own = user_token("boot", json!({}), &acc("SYS"));
    let boot = try_login(&set, &own, "boot").unwrap();
    assert!(boot.account.is_system && boot.account.token.is_none());
    refused(try_login(&set, &own, "joe"), "nonce signature");
    let nats = json!({"issuer_account": acc("SYS").public()});
    refused(try_login(&set, &user_token("boot", nats, &acc("S2")), "boot"), "no signing key");
    // Once its token is there, only that counts; without it, as before.
    let token = account_token("SYS", json!({"revocations": {"*": NOW}}), &operator("O"));
    let later = set.with_account(acc("SYS").public(), &token, NOW).unwrap();
    refused(try_login(&later, &own, "boot"), "is revoked");
    assert!(later.system().unwrap().token.is_some());
    assert!(try_login(&later.without_account(acc("SYS").public(), NOW), &own, "boot").is_ok());
    // In memory there is no later.
    let mut bare = options(|o| o.trust.resolver_preload.clear());
    super::adopt(&mut bare).unwrap();
    let err = AccountSet::build(&bare, None, NOW, TimeZone::UTC).err().unwrap();
    assert_eq!(err, AccountError::SystemAccount);
}

#[test]
fn a_reload_keeps_accounts() {
    let mut options = options(|_| {});
    super::adopt(&mut options).unwrap();
    let first = build(&options);
    let token = account_token("A", json!({}), &operator("O"));
    let grown = first.with_account(acc("A").public(), &token, NOW).unwrap();
    let again = AccountSet::build(&options, Some(&grown), NOW, TimeZone::UTC).unwrap().rules;
    assert!(again.account(acc("A").public()).is_some());
    // What is preloaded now wins.
    let newer = account_token("A", json!({"limits": {"conn": 4}}), &operator("O"));
    options.trust.resolver_preload.insert(acc("A").public().to_owned(), newer);
    let again = AccountSet::build(&options, Some(&grown), NOW, TimeZone::UTC).unwrap().rules;
    assert_eq!(again.account(acc("A").public()).unwrap().limits.max_connections, Some(4));
}
