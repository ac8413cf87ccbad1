//! Text forms of nkeys (contract core.md §4.4): base32 without padding of a prefix
//! byte, 32 key bytes and a CRC16-XMODEM in little endian. A seed has the kind's
//! prefix folded into its second byte. Signing with them is in the account crate.

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

/// What a key belongs to, by its first letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// `N`
    Server,
    /// `O`
    Operator,
    /// `A`
    Account,
    /// `U`
    User,
    /// `X`
    Curve,
    /// `C`
    Cluster,
}

const SEED_PREFIX: u8 = 18 << 3;
/// Longest text: a seed of 36 bytes. What is longer is not decoded at all.
const MAX_TEXT: usize = 58;

impl KeyKind {
    /// The first byte of a public key.
    const fn prefix(self) -> u8 {
        match self {
            KeyKind::Account => 0,
            KeyKind::Cluster => 2 << 3,
            KeyKind::Server => 13 << 3,
            KeyKind::Operator => 14 << 3,
            KeyKind::User => 20 << 3,
            KeyKind::Curve => 23 << 3,
        }
    }

    /// The first letter of a public key, and the second one of a seed.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            KeyKind::Account => 'A',
            KeyKind::Cluster => 'C',
            KeyKind::Server => 'N',
            KeyKind::Operator => 'O',
            KeyKind::User => 'U',
            KeyKind::Curve => 'X',
        }
    }
}

/// The text of a public key.
#[must_use]
pub fn encode_public(kind: KeyKind, key: &[u8; 32]) -> String {
    let mut raw = Vec::with_capacity(35);
    raw.push(kind.prefix());
    raw.extend_from_slice(key);
    raw.extend_from_slice(&crc16(&raw).to_le_bytes());
    BASE32_NOPAD.encode(&raw)
}

/// The text of a seed: a secret.
#[must_use]
pub fn encode_seed(kind: KeyKind, seed: &[u8; 32]) -> Zeroizing<String> {
    let mut raw = Zeroizing::new(Vec::with_capacity(36));
    raw.push(SEED_PREFIX | kind.prefix() >> 5);
    raw.push((kind.prefix() & 0x1f) << 3);
    raw.extend_from_slice(seed);
    let sum = crc16(&raw);
    raw.extend_from_slice(&sum.to_le_bytes());
    Zeroizing::new(BASE32_NOPAD.encode(&raw))
}

/// Kind and bytes of a well-formed public key.
#[must_use]
pub fn decode_public(text: &str) -> Option<(KeyKind, [u8; 32])> {
    let raw = decode(text)?;
    let (prefix, key) = raw.split_first()?;
    Some((kind_of(*prefix)?, key.try_into().ok()?))
}

/// Kind and bytes of a well-formed seed (`SU…`, `SA…`).
#[must_use]
pub fn decode_seed(text: &str) -> Option<(KeyKind, Zeroizing<[u8; 32]>)> {
    let raw = decode(text)?;
    let (&[first, second], seed) = raw.split_first_chunk()?;
    if first & 0xf8 != SEED_PREFIX || second & 0x07 != 0 {
        return None;
    }
    let kind = kind_of((first & 0x07) << 5 | (second & 0xf8) >> 3)?;
    Some((kind, Zeroizing::new(seed.try_into().ok()?)))
}

/// The kind of a well-formed public key.
#[must_use]
pub fn public_key_kind(text: &str) -> Option<KeyKind> {
    decode_public(text).map(|(kind, _)| kind)
}

/// The kind of a well-formed seed.
#[must_use]
pub fn seed_kind(text: &str) -> Option<KeyKind> {
    decode_seed(text).map(|(kind, _)| kind)
}

/// True for a well-formed public key of this kind.
#[must_use]
pub fn is_public(text: &str, kind: KeyKind) -> bool {
    public_key_kind(text) == Some(kind)
}

fn kind_of(prefix: u8) -> Option<KeyKind> {
    use KeyKind::{Account, Cluster, Curve, Operator, Server, User};
    [Account, Cluster, Server, Operator, User, Curve].into_iter().find(|k| k.prefix() == prefix)
}

/// The bytes before a correct check sum.
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let mut raw = Zeroizing::new(BASE32_NOPAD.decode(text.as_bytes()).ok()?);
    let (rest, sum) = raw.split_last_chunk()?;
    if crc16(rest) != u16::from_le_bytes(*sum) {
        return None;
    }
    let length = rest.len();
    raw.truncate(length);
    Some(raw)
}

/// CRC16-XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A well-formed public key with this prefix byte.
    pub(crate) fn key(prefix: u8) -> String {
        let mut key = [0; 32];
        (0..).zip(&mut key).for_each(|(i, byte): (u8, _)| *byte = i.wrapping_mul(7));
        encode_public(kind_of(prefix).unwrap(), &key)
    }

    #[test]
    fn seeds_round_trip_in_every_kind() {
        use KeyKind::{Account, Cluster, Curve, Operator, Server, User};
        for kind in [Account, Cluster, Server, Operator, User, Curve] {
            let text = encode_seed(kind, &[9; 32]);
            assert!(text.starts_with(&format!("S{}", kind.letter())), "{kind:?}");
            let (read, seed) = decode_seed(&text).unwrap();
            assert_eq!((read, *seed), (kind, [9; 32]));
            assert_eq!(decode_public(&text), None, "a seed is no public key");
            let public = encode_public(kind, &[9; 32]);
            assert_eq!(decode_public(&public), Some((kind, [9; 32])));
            assert!(decode_seed(&public).is_none());
        }
    }

    #[test]
    fn kinds_follow_the_prefix_and_damage_is_seen() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        for (prefix, letter, kind) in [
            (0, 'A', KeyKind::Account),
            (20 << 3, 'U', KeyKind::User),
            (14 << 3, 'O', KeyKind::Operator),
            (23 << 3, 'X', KeyKind::Curve),
        ] {
            let text = key(prefix);
            assert!(text.starts_with(letter));
            assert_eq!(public_key_kind(&text), Some(kind));
            let damaged = text.replacen(letter, "B", 1);
            assert_eq!(public_key_kind(&damaged), None);
        }
        for junk in ["", "A", "UAAA", "not a key"] {
            assert_eq!(public_key_kind(junk), None);
            assert_eq!(seed_kind(junk), None);
        }
    }
}
