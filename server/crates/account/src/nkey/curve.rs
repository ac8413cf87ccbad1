//! Curve keys (`X…`): sealing messages from one key to another, in the format of
//! nkeys: `xkv1`, a nonce of 24 bytes, then a NaCl box (X25519, XSalsa20,
//! Poly1305).

use super::KeyError;
use crypto_box::aead::Aead;
use crypto_box::{PublicKey, SalsaBox, SecretKey};
use gust_config::nkey::{KeyKind, decode_public, decode_seed, encode_public, encode_seed};
use std::fmt;
use zeroize::Zeroizing;

/// What a sealed message starts with.
pub const SEALED_PREFIX: &[u8] = b"xkv1";
/// Bytes of the nonce after it.
pub const NONCE_BYTES: usize = 24;
/// Bytes by which a sealed message is longer: prefix, nonce and Poly1305 tag.
pub const OVERHEAD_BYTES: usize = 4 + NONCE_BYTES + 16;

/// Why a message was not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The other side's key.
    #[error("not a well-formed public curve key (X…)")]
    Key,
    /// No `xkv1` message.
    #[error("not sealed: the message does not start with xkv1 and a nonce")]
    Format,
    /// Damaged, or sealed by or for another key.
    #[error("sealed by or for another key, or damaged")]
    Sealed,
}

/// An X25519 key pair. The seed is wiped when it is dropped.
pub struct CurveKeyPair {
    public: String,
    secret: SecretKey,
}

impl CurveKeyPair {
    /// The pair of a seed's text (`SX…`).
    pub fn from_seed(text: &str) -> Result<CurveKeyPair, KeyError> {
        match decode_seed(text).ok_or(KeyError::Seed)? {
            (KeyKind::Curve, seed) => Ok(CurveKeyPair::from_random(*seed)),
            (kind, _) => Err(KeyError::Kind(kind.letter())),
        }
    }

    /// A pair from 32 random bytes of a good source.
    pub fn from_random(random: [u8; 32]) -> CurveKeyPair {
        let secret = SecretKey::from_bytes(*Zeroizing::new(random));
        let public = encode_public(KeyKind::Curve, secret.public_key().as_bytes());
        CurveKeyPair { public, secret }
    }

    /// The public key's text.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The seed's text: a secret.
    pub fn seed(&self) -> Zeroizing<String> {
        encode_seed(KeyKind::Curve, &Zeroizing::new(self.secret.to_bytes()))
    }

    /// Seals `message` for the key `to`. `nonce`: random, never used twice.
    pub fn seal(
        &self,
        message: &[u8],
        to: &str,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Vec<u8>, OpenError> {
        let sealed =
            self.shared(to)?.encrypt(&nonce.into(), message).map_err(|_| OpenError::Sealed)?;
        let mut out = Vec::with_capacity(OVERHEAD_BYTES + message.len());
        out.extend_from_slice(SEALED_PREFIX);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// Opens what the key `from` sealed for this one.
    pub fn open(&self, sealed: &[u8], from: &str) -> Result<Vec<u8>, OpenError> {
        let rest = sealed.strip_prefix(SEALED_PREFIX).ok_or(OpenError::Format)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError::Format)?;
        self.shared(from)?.decrypt(&(*nonce).into(), rest).map_err(|_| OpenError::Sealed)
    }

    fn shared(&self, other: &str) -> Result<SalsaBox, OpenError> {
        match decode_public(other) {
            Some((KeyKind::Curve, key)) => {
                Ok(SalsaBox::new(&PublicKey::from_bytes(key), &self.secret))
            }
            _ => Err(OpenError::Key),
        }
    }
}

impl fmt::Debug for CurveKeyPair {
    /// Without the seed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurveKeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}
