//! Reading tokens: three parts of base64, a signature over the first two (over
//! the second alone in version 1), claims in JSON.

use super::account::{AccountClaims, AccountData};
use super::authorization::{AuthorizationResponseClaims, AuthorizationResponseData};
use super::claims::{ClaimKind, Claims, GenericClaims};
use super::exchange::{ActivationClaims, ActivationData};
use super::operator::{OperatorClaims, OperatorData};
use super::user::{UserClaims, UserData};
use super::v1;
use crate::nkey::{self, KeyKind};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Bytes of the longest token that is looked at. What a client sends is limited
/// more tightly by its control line.
pub const MAX_TOKEN_BYTES: usize = 1 << 20;

/// The newest version there is.
const VERSION: i64 = 2;

/// Why a text is no token that can be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("the token has {0} bytes, more than {MAX_TOKEN_BYTES}")]
    TooLarge(usize),
    /// Not three parts.
    #[error("it is not a JWT: three parts separated by dots are expected")]
    Parts,
    /// A part is not base64.
    #[error("the token's {0} is not base64 (URL alphabet, no padding)")]
    Base64(&'static str),
    /// A part is not the JSON it should be.
    #[error("the token's {part} cannot be read: {cause}")]
    Json {
        /// Which part.
        part: &'static str,
        /// What the decoder says.
        cause: String,
    },
    /// Not an nkey token.
    #[error(
        "the token's header names type {typ:?} and algorithm {alg:?}; JWT and ed25519-nkey are expected"
    )]
    Header {
        /// `typ`
        typ: String,
        /// `alg`
        alg: String,
    },
    /// From the future.
    #[error("the token has version {0}; this server reads versions 1 and 2")]
    Version(i64),
    /// Another type of token.
    #[error("the token is of type {got:?}; a token of type {want:?} is expected here")]
    Type {
        /// What is expected.
        want: &'static str,
        /// What it is.
        got: String,
    },
    /// The issuer is no key, or one that may not sign this.
    #[error("issuer {issuer:?} is no key that signs a token of type {kind:?}")]
    Issuer {
        /// Type of token.
        kind: &'static str,
        /// What it says.
        issuer: String,
    },
    /// The subject is not the key it should be.
    #[error("subject {subject:?} is not the public key of a token of type {kind:?}")]
    Subject {
        /// Type of token.
        kind: &'static str,
        /// What it says.
        subject: String,
    },
    /// Somebody changed it.
    #[error("the signature is not that of issuer {0:?}; the token was damaged or forged")]
    Signature(String),
}

/// Reads an operator's token.
pub fn decode_operator(token: &str) -> Result<OperatorClaims, TokenError> {
    decode::<OperatorData>(token)
}

/// Reads an account's token.
pub fn decode_account(token: &str) -> Result<AccountClaims, TokenError> {
    let mut claims = decode::<AccountData>(token)?;
    // Tiers replace the other JetStream limits.
    if !claims.nats.limits.tiered_limits.is_empty() {
        claims.nats.limits.jetstream = super::account::JetStreamLimits::default();
    }
    Ok(claims)
}

/// Reads a user's token.
pub fn decode_user(token: &str) -> Result<UserClaims, TokenError> {
    decode::<UserData>(token)
}

/// Reads a token that activates an import.
pub fn decode_activation(token: &str) -> Result<ActivationClaims, TokenError> {
    decode::<ActivationData>(token)
}

/// Reads the answer of an auth callout service.
pub fn decode_authorization_response(
    token: &str,
) -> Result<AuthorizationResponseClaims, TokenError> {
    decode::<AuthorizationResponseData>(token)
}

/// Reads a token of no other type: requests to delete accounts.
pub fn decode_generic(token: &str) -> Result<GenericClaims, TokenError> {
    decode::<Map<String, Value>>(token)
}

/// Reads a token of one type and checks its signature.
pub fn decode<T: ClaimKind>(token: &str) -> Result<Claims<T>, TokenError> {
    let token = token.trim_ascii();
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::TooLarge(token.len()));
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenError::Parts);
    };
    let old_algorithm = check_header(header)?;
    let bytes = base64(payload, "payload")?;
    let mut object = match serde_json::from_slice(&bytes).map_err(json("payload"))? {
        Value::Object(object) => object,
        _ => return Err(TokenError::Json { part: "payload", cause: "no object".to_owned() }),
    };
    drop_nulls(&mut object);
    let version = version::<T>(&object, old_algorithm)?;
    if version == 1 {
        v1::migrate::<T>(&mut object);
    }
    let mut claims: Claims<T> =
        serde_json::from_value(Value::Object(object)).map_err(json("payload"))?;
    claims.version = version;
    check_keys(&claims)?;
    let signed = match version {
        1 => payload,
        _ => token.get(..header.len() + 1 + payload.len()).unwrap_or_default(),
    };
    let signature = base64(signature, "signature")?;
    if !nkey::verify(&claims.issuer, signed.as_bytes(), &signature) {
        return Err(TokenError::Signature(claims.issuer));
    }
    Ok(claims)
}

/// Whether the header names the algorithm of version 1.
fn check_header(header: &str) -> Result<bool, TokenError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Header {
        typ: String,
        alg: String,
    }
    let bytes = base64(header, "header")?;
    let Header { typ, alg } = serde_json::from_slice(&bytes).map_err(json("header"))?;
    let old = alg.eq_ignore_ascii_case("ed25519");
    if typ.eq_ignore_ascii_case("JWT") && (old || alg.eq_ignore_ascii_case("ed25519-nkey")) {
        return Ok(old);
    }
    Err(TokenError::Header { typ, alg })
}

/// The version of a token, which must be of type `T`. A `type` beside `nats`
/// means version 1. Generic tokens of both versions look alike but for the
/// algorithm.
fn version<T: ClaimKind>(
    object: &Map<String, Value>,
    old_algorithm: bool,
) -> Result<u8, TokenError> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let nats = object.get("nats");
    let inner = |key| nats.and_then(|nats| nats.get(key));
    let outer_type = text(object.get("type"));
    let inner_type = text(inner("type"));
    let wrong = |got: &str| TokenError::Type { want: T::TYPE, got: got.to_owned() };
    if T::TYPE == "generic" {
        let got = if outer_type.is_empty() { &inner_type } else { &outer_type };
        let known = ["operator", "account", "user", "activation", "authorization_request"];
        if known.contains(&got.as_str()) || got == "authorization_response" {
            return Err(wrong(got));
        }
        return Ok(if old_algorithm { 1 } else { 2 });
    }
    if !outer_type.is_empty() {
        return if outer_type == T::TYPE { Ok(1) } else { Err(wrong(&outer_type)) };
    }
    if inner_type != T::TYPE {
        return Err(wrong(&inner_type));
    }
    let number = inner("version").and_then(Value::as_i64).unwrap_or(0);
    match number {
        1 => Ok(1),
        VERSION => Ok(2),
        _ => Err(TokenError::Version(number)),
    }
}

fn check_keys<T: ClaimKind>(claims: &Claims<T>) -> Result<(), TokenError> {
    let issuer = nkey::public_key_kind(&claims.issuer).filter(|kind| *kind != KeyKind::Curve);
    let fits = issuer.is_some_and(|kind| T::ISSUERS.is_empty() || T::ISSUERS.contains(&kind));
    if !fits {
        return Err(TokenError::Issuer { kind: T::TYPE, issuer: claims.issuer.clone() });
    }
    match T::SUBJECT {
        Some(kind) if !nkey::is_public(&claims.subject, kind) => {
            Err(TokenError::Subject { kind: T::TYPE, subject: claims.subject.clone() })
        }
        _ => Ok(()),
    }
}

fn base64(part: &str, name: &'static str) -> Result<Vec<u8>, TokenError> {
    BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| TokenError::Base64(name))
}

fn json(part: &'static str) -> impl FnOnce(serde_json::Error) -> TokenError {
    move |err| TokenError::Json { part, cause: err.to_string() }
}

/// `null` means that a field is absent, as it does to the Go tools.
fn drop_nulls(object: &mut Map<String, Value>) {
    object.retain(|_, value| !value.is_null());
    for value in object.values_mut() {
        drop_nulls_in(value);
    }
}

fn drop_nulls_in(value: &mut Value) {
    match value {
        Value::Object(object) => drop_nulls(object),
        Value::Array(items) => items.iter_mut().for_each(drop_nulls_in),
        _ => {}
    }
}
