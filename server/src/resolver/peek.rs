//! What the store of tokens needs to know of one, without trusting it: when it
//! ends and which of two is newer. Signatures are checked before a token is
//! stored and again before it is used.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

/// Registered claims of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Peek {
    /// Unique id.
    #[serde(default, rename = "jti")]
    pub id: String,
    /// Whose token it is: a public key.
    #[serde(default, rename = "sub")]
    pub subject: String,
    /// When it was issued, seconds since the epoch.
    #[serde(default, rename = "iat")]
    pub issued: i64,
    /// When it ends, seconds since the epoch; 0: never.
    #[serde(default, rename = "exp")]
    pub expires: i64,
}

impl Peek {
    /// Reads the payload of a token; `None` if it is none.
    pub fn of(token: &str) -> Option<Peek> {
        let mut parts = token.trim().split('.');
        let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let json = BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// When it ends, ns since the epoch; `i64::MAX`: never.
    pub fn expires_ns(&self) -> i64 {
        if self.expires <= 0 { i64::MAX } else { self.expires.saturating_mul(1_000_000_000) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        format!("e30.{}.sig", BASE64URL_NOPAD.encode(payload.as_bytes()))
    }

    #[test]
    fn reads_what_is_there() {
        let got = Peek::of(&token(r#"{"jti":"J","sub":"A1","iat":5,"exp":7,"nats":{}}"#)).unwrap();
        let want = Peek { id: "J".into(), subject: "A1".into(), issued: 5, expires: 7 };
        assert_eq!(got, want);
        assert_eq!(got.expires_ns(), 7_000_000_000);
        let got = Peek::of(&token("{}")).unwrap();
        assert_eq!(got.expires_ns(), i64::MAX);
    }

    #[test]
    fn what_is_no_token_is_none() {
        for text in ["", "a", "a.b", "a.b.c.d", "a.!.c", "\u{0}.\u{0}.\u{0}", "e30.bm8.x"] {
            assert_eq!(Peek::of(text), None, "{text:?}");
        }
        assert_eq!(Peek::of(&token(r#"{"exp":"soon"}"#)), None);
        let far = Peek::of(&token(&format!(r#"{{"exp":{}}}"#, i64::MAX))).unwrap();
        assert_eq!(far.expires_ns(), i64::MAX);
    }
}
