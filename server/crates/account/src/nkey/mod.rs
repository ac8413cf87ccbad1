//! Key pairs that sign (contract core.md §4.4): servers, operators, accounts,
//! users and clusters. Text forms are in [`gust_config::nkey`]; curve keys, which
//! seal instead of signing, in [`curve`].

pub mod curve;
#[cfg(test)]
mod nkey_test;

pub use curve::{CurveKeyPair, OpenError};
pub use gust_config::nkey::{KeyKind, decode_public, is_public, public_key_kind};

use gust_config::nkey::{decode_seed, encode_public, encode_seed};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use std::fmt;
use zeroize::Zeroizing;

/// Length of a signature in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// Why there is no key pair. The text of a seed is never shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not base32, wrong length or check sum, or no known kind.
    #[error("not a well-formed nkey seed; seeds start with S and have 58 characters")]
    Seed,
    /// A curve key where a signing key is needed, or the other way round.
    #[error("a key of kind {0} cannot be used here")]
    Kind(char),
}

/// An Ed25519 key pair with the kind of its owner. The seed is wiped when it is
/// dropped.
pub struct KeyPair {
    kind: KeyKind,
    public: String,
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
}

impl KeyPair {
    /// The pair of a seed's text (`SU…`, `SA…`, …).
    pub fn from_seed(text: &str) -> Result<KeyPair, KeyError> {
        let (kind, seed) = decode_seed(text).ok_or(KeyError::Seed)?;
        KeyPair::new(kind, seed)
    }

    /// A pair from 32 random bytes of a good source.
    pub fn from_random(kind: KeyKind, random: [u8; 32]) -> Result<KeyPair, KeyError> {
        KeyPair::new(kind, Zeroizing::new(random))
    }

    fn new(kind: KeyKind, seed: Zeroizing<[u8; 32]>) -> Result<KeyPair, KeyError> {
        if kind == KeyKind::Curve {
            return Err(KeyError::Kind(kind.letter()));
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| KeyError::Seed)?;
        let key = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Seed)?;
        Ok(KeyPair { kind, public: encode_public(kind, key), seed, pair })
    }

    /// Whom it belongs to.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The public key's text.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The seed's text: a secret.
    pub fn seed(&self) -> Zeroizing<String> {
        encode_seed(self.kind, &self.seed)
    }

    /// Signs.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut out = [0; SIGNATURE_BYTES];
        out.copy_from_slice(self.pair.sign(message).as_ref());
        out
    }
}

impl fmt::Debug for KeyPair {
    /// Without the seed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

/// Whether `signature` is one over `message` by the well-formed public key
/// `public`. Never by a curve key.
pub fn verify(public: &str, message: &[u8], signature: &[u8]) -> bool {
    let Some((kind, key)) = decode_public(public) else { return false };
    kind != KeyKind::Curve
        && UnparsedPublicKey::new(&ED25519, &key).verify(message, signature).is_ok()
}
