//! Comparing passwords, and checking signatures of nonces.

use crate::nkey;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use ring::digest;

/// Salt and digest, made up: no password with this digest is known.
const DUMMY: &str = "GustGustGustGustGustGu7x5mUEYPwNqeKjRw4uVbLz3HsT1oFdC";

/// Whether a configured password is a bcrypt hash: `$2[abxy]$NN$…`.
pub fn is_bcrypt(secret: &str) -> bool {
    let b = secret.as_bytes();
    matches!(b, [b'$', b'2', b'a' | b'b' | b'x' | b'y', b'$', n, m, b'$', ..]
        if n.is_ascii_digit() && m.is_ascii_digit())
}

/// Whether two texts are the same, in a time that tells nothing about either:
/// their digests are compared, all of them.
pub fn same(a: &str, b: &str) -> bool {
    let digest = |s: &str| digest::digest(&digest::SHA256, s.as_bytes());
    let (a, b) = (digest(a), digest(b));
    let differ = a.as_ref().iter().zip(b.as_ref()).fold(0, |d, (x, y)| d | (x ^ y));
    std::hint::black_box(differ) == 0
}

/// Runs the comparison of [`crate::AuthDecision::CheckPassword`]. Slow: tens of
/// milliseconds or more. A hash that is none matches nothing.
pub fn bcrypt_matches(hash: &str, candidate: &str) -> bool {
    bcrypt::verify(candidate, hash).unwrap_or(false)
}

/// A hash that matches nothing but costs what most of the bcrypt hashes among
/// `passwords` cost; `None` if there is none among them.
pub fn dummy_hash<'a>(passwords: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut costs = [0_u32; 100];
    for cost in passwords.filter(|p| is_bcrypt(p)).filter_map(|p| p.get(4..6)) {
        if let Some(n) = cost.parse().ok().and_then(|cost: usize| costs.get_mut(cost)) {
            *n += 1;
        }
    }
    let (cost, _) = costs.iter().enumerate().filter(|(_, n)| **n > 0).max_by_key(|(_, n)| **n)?;
    Some(format!("$2b${cost:02}${DUMMY}"))
}

/// Whether `sig` (base64, raw URL or standard) is a signature over the nonce
/// string by the public key `key`. Without a nonce nothing was signed.
pub fn signature_is_valid(key: &str, nonce: &str, sig: &str) -> bool {
    let decoded = BASE64URL_NOPAD.decode(sig.as_bytes()).or_else(|_| BASE64.decode(sig.as_bytes()));
    decoded.is_ok_and(|sig| !nonce.is_empty() && nkey::verify(key, nonce.as_bytes(), &sig))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bcrypt_is_recognised() {
        let cases = [
            ("$2a$11$abc", true),
            ("$2b$04$", true),
            ("$2x$04$x", true),
            ("$2y$04$x", true),
            ("$2c$04$x", false),
            ("$2a$4$x", false),
            ("$2a$04", false),
            ("s3cr3t", false),
            ("", false),
            (" $2a$11$abc", false),
        ];
        for (text, want) in cases {
            assert_eq!(is_bcrypt(text), want, "{text}");
        }
    }

    #[test]
    fn comparisons() {
        assert!(same("", "") && same("abc", "abc"));
        assert!(!same("abc", "abd") && !same("abc", "ab") && !same("", "a"));
        let hash = bcrypt::hash("secret", 4).unwrap();
        assert!(is_bcrypt(&hash) && bcrypt_matches(&hash, "secret"));
        assert!(!bcrypt_matches(&hash, "Secret") && !bcrypt_matches("$2a$04$short", "x"));
    }

    #[test]
    fn the_dummy_costs_what_most_cost_and_is_a_hash() {
        assert_eq!(dummy_hash(["plain", ""].into_iter()), None);
        let some = ["plain", "$2a$05$x", "$2a$04$x", "$2b$04$y", "$2a$11$z"];
        let hash = dummy_hash(some.into_iter()).unwrap();
        assert!(hash.starts_with("$2b$04$"));
        assert!(!bcrypt::verify("x", &hash).expect("well formed, so it takes its time"));
    }
}
