//! What a command logs in with.

use super::address::Address;
use data_encoding::BASE64URL_NOPAD;
use gust_account::jwt::{seed_of, token_of};
use gust_account::nkey::{KeyKind, KeyPair};
use gust_config::cli::access::Access;
use serde_json::{Value, json};

/// A way to log in, with its files read.
pub(super) enum Login {
    /// Without credentials, or with those of the TLS certificate.
    Nobody,
    Password {
        user: String,
        pass: String,
    },
    Token(String),
    Key(KeyPair),
    Jwt {
        token: String,
        key: Option<KeyPair>,
        file: String,
    },
}

impl Login {
    /// What the flags or else the URL say.
    pub(super) fn of(access: &Access, address: &Address) -> Result<Login, String> {
        if let Some(user) = access.user.clone() {
            let pass = access.password.clone().unwrap_or_default();
            return Ok(Login::Password { user, pass });
        }
        if let Some(token) = access.token.clone().or_else(|| address.token.clone()) {
            return Ok(Login::Token(token));
        }
        if let Some(path) = &access.nkey {
            let text = read(path)?;
            let seed = seed_of(&text)
                .ok_or_else(|| format!("--nkey {path} holds no seed; it starts with SU"))?;
            return Ok(Login::Key(pair(&seed, path)?));
        }
        if let Some(path) = access.creds.as_ref().or(access.jwt.as_ref()) {
            let text = read(path)?;
            let token = token_of(&text).ok_or_else(|| format!("{path} holds no JWT"))?.to_owned();
            let key = seed_of(&text).map(|seed| pair(&seed, path)).transpose()?;
            return Ok(Login::Jwt { token, key, file: path.clone() });
        }
        Ok(match address.login.clone() {
            Some((user, pass)) => Login::Password { user, pass },
            None => Login::Nobody,
        })
    }

    /// The fields of CONNECT, for a server whose INFO had this nonce.
    pub(super) fn connect(&self, nonce: &str) -> Result<Value, String> {
        let mut connect = json!({
            "verbose": false, "pedantic": false, "lang": "gust",
            "version": env!("CARGO_PKG_VERSION"), "protocol": 0, "headers": true,
            "no_responders": true, "name": "gust",
        });
        let signed = |key: &KeyPair| BASE64URL_NOPAD.encode(&key.sign(nonce.as_bytes()));
        match self {
            Login::Nobody => {}
            Login::Password { user, pass } => {
                (connect["user"], connect["pass"]) = (user.as_str().into(), pass.as_str().into());
            }
            Login::Token(token) => connect["auth_token"] = token.as_str().into(),
            Login::Key(_) if nonce.is_empty() => {
                return Err("the server knows no users with keys: it sent no nonce to sign; \
                            log in in another way"
                    .to_owned());
            }
            Login::Key(key) => {
                (connect["nkey"], connect["sig"]) = (key.public().into(), signed(key).into());
            }
            Login::Jwt { token, key, .. } => {
                connect["jwt"] = token.as_str().into();
                if let Some(key) = key {
                    connect["sig"] = signed(key).into();
                }
            }
        }
        Ok(connect)
    }

    /// Who this is, for people; no secret.
    pub(super) fn shown(&self) -> String {
        match self {
            Login::Nobody => "somebody without credentials".to_owned(),
            Login::Password { user, .. } => format!("user {user:?} with a password"),
            Login::Token(_) => "somebody with a token".to_owned(),
            Login::Key(key) => format!("the user with key {}", key.public()),
            Login::Jwt { key: Some(_), file, .. } => format!("the user of {file}"),
            Login::Jwt { key: None, file, .. } => {
                format!("the user of {file} (which has no seed, as only bearers need none)")
            }
        }
    }
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("open {path}: {e}"))
}

fn pair(seed: &str, path: &str) -> Result<KeyPair, String> {
    let pair = KeyPair::from_seed(seed).map_err(|e| format!("{path}: {e}"))?;
    match pair.kind() {
        KeyKind::User => Ok(pair),
        _ => Err(format!("{path}: the seed is not of a user's key; that starts with SU")),
    }
}
