//! An operator, its accounts and users, with tokens made on the spot.

use async_nats::ConnectOptions;
use gust_account::jwt::{
    AccountClaims, AccountData, ClaimKind, Claims, Limits, OperatorData, UserClaims, sign,
};
use gust_account::nkey::{KeyKind, KeyPair};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the epoch.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// A key pair for each name, always the same.
pub fn key(kind: KeyKind, name: &str) -> KeyPair {
    let mut seed = [kind.letter() as u8; 32];
    seed.iter_mut().zip(name.bytes()).for_each(|(s, b)| *s = b);
    KeyPair::from_random(kind, seed).unwrap()
}

/// Keys of the operator.
pub fn operator() -> KeyPair {
    key(KeyKind::Operator, "O")
}

/// Keys of an account.
pub fn account(name: &str) -> KeyPair {
    key(KeyKind::Account, name)
}

/// Keys of a user.
pub fn user(name: &str) -> KeyPair {
    key(KeyKind::User, name)
}

/// Claims with this `nats` part.
pub fn claims<T: ClaimKind>(subject: &KeyPair, name: &str, nats: Value) -> Claims<T> {
    Claims {
        subject: subject.public().to_owned(),
        name: name.to_owned(),
        issued_at: now() - 10,
        nats: serde_json::from_value(nats).unwrap(),
        ..Claims::default()
    }
}

/// The operator's token, with system account SYS.
pub fn operator_token() -> String {
    let nats = serde_json::json!({ "system_account": account("SYS").public() });
    sign(&claims::<OperatorData>(&operator(), "OP", nats), &operator()).unwrap()
}

/// An account without limits but those in `nats`.
pub fn account_claims(name: &str, mut nats: Value) -> AccountClaims {
    let mut limits = serde_json::to_value(Limits::unlimited()).unwrap();
    for (key, value) in nats["limits"].take().as_object().into_iter().flatten() {
        limits[key] = value.clone();
    }
    nats["limits"] = limits;
    claims::<AccountData>(&account(name), name, nats)
}

/// Its token, signed by the operator.
pub fn account_token(name: &str, nats: Value) -> String {
    sign(&account_claims(name, nats), &operator()).unwrap()
}

/// A user without limits but those in `nats`.
pub fn user_claims(name: &str, mut nats: Value) -> UserClaims {
    for limit in ["subs", "data", "payload"] {
        if nats.get(limit).is_none() {
            nats[limit] = (-1).into();
        }
    }
    claims(&user(name), name, nats)
}

/// Its token.
pub fn user_token(name: &str, nats: Value, signer: &KeyPair) -> String {
    sign(&user_claims(name, nats), signer).unwrap()
}

/// A creds file.
pub fn creds(token: &str, name: &str) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        user(name).seed().as_str()
    )
}

/// A client with this token and the key of `name`.
pub fn options(token: &str, name: &str) -> ConnectOptions {
    ConnectOptions::with_credentials(&creds(token, name)).unwrap()
}

/// A configuration with the accounts SYS and these, in memory.
pub fn memory(accounts: &[(&str, Value)], rest: &str) -> String {
    let system = ("SYS", serde_json::json!({}));
    let preload: String = std::iter::once(&system)
        .chain(accounts)
        .map(|(name, nats)| {
            format!("  {}: {}\n", account(name).public(), account_token(name, nats.clone()))
        })
        .collect();
    format!(
        "operator: {}\nresolver: MEMORY\nresolver_preload: {{\n{preload}}}\n{rest}\n",
        operator_token()
    )
}
