//! Writing tokens: for auth callouts and tests.

use super::claims::{ClaimKind, Claims};
use crate::nkey::KeyPair;
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use ring::digest;
use serde::Serialize;
use serde_json::Value;

/// `{"typ":"JWT","alg":"ed25519-nkey"}`
const HEADER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ";

/// Why no token can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The signer's key is of the wrong kind.
    #[error("a token of type {kind:?} cannot be signed by {key:?}; use a key of the right kind")]
    Issuer {
        /// Type of token.
        kind: &'static str,
        /// Public key of the signer.
        key: String,
    },
    /// The claims cannot be written as JSON.
    #[error("claims of type {kind:?} cannot be written: {cause}")]
    Json {
        /// Type of token.
        kind: &'static str,
        /// What the encoder says.
        cause: String,
    },
}

/// Writes a version 2 token. `claims.issuer`, `id` and `version` are set from the
/// signer; `issued_at` is the caller's.
pub fn sign<T: ClaimKind>(claims: &Claims<T>, signer: &KeyPair) -> Result<String, SignError> {
    let key = signer.public();
    if !T::ISSUERS.is_empty() && !T::ISSUERS.contains(&signer.kind()) {
        return Err(SignError::Issuer { kind: T::TYPE, key: key.to_owned() });
    }
    let json =
        |cause: serde_json::Error| SignError::Json { kind: T::TYPE, cause: cause.to_string() };
    let mut value = serde_json::to_value(claims).map_err(json)?;
    value["iss"] = key.into();
    value["nats"]["version"] = 2.into();
    if T::TYPE != "generic" {
        value["nats"]["type"] = T::TYPE.into();
    }
    value["jti"] = id(&value).map_err(json)?.into();
    let payload = serde_json::to_vec(&value).map_err(json)?;
    let signed = format!("{HEADER}.{}", BASE64URL_NOPAD.encode(&payload));
    let signature = signer.sign(signed.as_bytes());
    Ok(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)))
}

/// Digest of the claims without the `nats` part.
fn id(token: &Value) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Common<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        aud: Option<&'a Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        exp: Option<&'a Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        iat: Option<&'a Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        iss: Option<&'a Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        nbf: Option<&'a Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sub: Option<&'a Value>,
    }
    let at = |key: &str| token.get(key);
    let common = Common {
        aud: at("aud"),
        exp: at("exp"),
        iat: at("iat"),
        iss: at("iss"),
        name: at("name"),
        nbf: at("nbf"),
        sub: at("sub"),
    };
    let text = serde_json::to_vec(&common)?;
    Ok(BASE32_NOPAD.encode(digest::digest(&digest::SHA512_256, &text).as_ref()))
}
