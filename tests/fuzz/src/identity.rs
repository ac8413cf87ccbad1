//! Tokens and keys: what a peer proves its identity with.

use gust_account::certificate::Certificate;
use gust_account::dn::DistinguishedName;
use gust_account::jwt;
use gust_account::nkey::{self, CurveKeyPair, KeyKind, KeyPair};
use gust_account::secret::signature_is_valid;

/// The first byte chooses the type of token; the rest is the payload of one that
/// is signed here, since nobody guesses signatures. The bytes as they are must be
/// refused.
pub fn jwt(data: &[u8]) {
    let Some((choice, payload)) = data.split_first() else { return };
    if let Ok(text) = std::str::from_utf8(payload) {
        let _ = jwt::decode_user(text);
        let _ = jwt::decode_account(text);
    }
    let kinds = [KeyKind::Operator, KeyKind::Account];
    let Ok(signer) = KeyPair::from_random(kinds[usize::from(choice & 1)], [7; 32]) else { return };
    let Ok(text) = std::str::from_utf8(payload) else { return };
    // Seeds name the issuer with this word.
    let text = text.replace("ISSUER", signer.public());
    let old = choice & 2 != 0;
    let alg = if old { "ed25519" } else { "ed25519-nkey" };
    let header = encode(format!("{{\"typ\":\"JWT\",\"alg\":\"{alg}\"}}").as_bytes());
    let body = encode(text.as_bytes());
    let signed = format!("{header}.{body}");
    let signature = signer.sign(if old { body.as_bytes() } else { signed.as_bytes() });
    let token = format!("{signed}.{}", encode(&signature));
    let _ = jwt::decode_operator(&token).map(|c| c.check());
    let _ = jwt::decode_activation(&token);
    let _ = jwt::decode_generic(&token).map(|c| c.accounts().len());
    let _ = jwt::decode_authorization_response(&token);
    if let Ok(claims) = jwt::decode_user(&token) {
        let _ = claims.check();
        let again = jwt::sign(&claims, &signer).expect("what was read can be written");
        let again = jwt::decode_user(&again).expect("what was written can be read");
        assert_eq!(again.nats, claims.nats);
    }
    if let Ok(claims) = jwt::decode_account(&token) {
        let _ = claims.check();
        let again = jwt::sign(&claims, &signer).expect("what was read can be written");
        let again = jwt::decode_account(&again).expect("what was written can be read");
        assert_eq!(again.nats.limits, claims.nats.limits);
    }
}

/// Keys, seeds and signatures as text.
pub fn nkey(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut words = text.split('\n');
    let (key, sig) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    if let Ok(pair) = KeyPair::from_seed(key) {
        assert_eq!(pair.seed().as_str(), key, "a seed has one text");
        assert!(nkey::verify(pair.public(), b"x", &pair.sign(b"x")));
    }
    let _ = CurveKeyPair::from_seed(key);
    assert!(!signature_is_valid(key, "nonce", sig), "nobody guesses signatures");
    assert_eq!(nkey::public_key_kind(key).is_some(), nkey::decode_public(key).is_some());
}

/// A certificate's DER, or the text of a distinguished name.
pub fn certificate(data: &[u8]) {
    if let Some(cert) = Certificate::parse(data) {
        let names = cert.names();
        let _ = (cert.subject(), cert.not_after);
        if let Some(subject) = names.subject {
            assert_eq!(subject.in_any_order().in_any_order(), subject.in_any_order());
        }
    }
    if let Some(name) = std::str::from_utf8(data).ok().and_then(DistinguishedName::parse) {
        let _ = name.in_any_order();
    }
}

/// base64, URL alphabet, no padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::with_capacity(bytes.len() * 4 / 3 + 3);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().enumerate().fold(0u32, |w, (i, b)| w | u32::from(*b) << (16 - 8 * i));
        for i in 0..=chunk.len() {
            out.push(char::from(LETTERS[(word >> (18 - 6 * i)) as usize & 63]));
        }
    }
    out
}
