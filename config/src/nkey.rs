//! Is a text a public nkey, or a seed? Base32 of a prefix byte, 32 key bytes and a CRC16.

use data_encoding::BASE32_NOPAD;

/// What a key belongs to, by its first letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// The kind of a well-formed public key.
#[must_use]
pub fn public_key_kind(text: &str) -> Option<KeyKind> {
    let raw = decode(text)?;
    if raw.len() != 33 {
        return None;
    }
    kind_of(*raw.first()?)
}

/// The kind of a well-formed seed (`SU…`, `SA…`).
#[must_use]
pub fn seed_kind(text: &str) -> Option<KeyKind> {
    let raw = decode(text)?;
    let (first, second) = (*raw.first()?, *raw.get(1)?);
    if raw.len() != 34 || first & 0xf8 != SEED_PREFIX {
        return None;
    }
    kind_of((first & 0x07) << 5 | (second & 0xf8) >> 3)
}

/// True for a well-formed public key of this kind.
#[must_use]
pub fn is_public(text: &str, kind: KeyKind) -> bool {
    public_key_kind(text) == Some(kind)
}

fn kind_of(prefix: u8) -> Option<KeyKind> {
    Some(match prefix >> 3 {
        0 if prefix == 0 => KeyKind::Account,
        2 => KeyKind::Cluster,
        13 => KeyKind::Server,
        14 => KeyKind::Operator,
        20 => KeyKind::User,
        23 => KeyKind::Curve,
        _ => return None,
    })
}

/// The bytes before a correct check sum.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut raw = BASE32_NOPAD.decode(text.as_bytes()).ok()?;
    let sum = u16::from_le_bytes([*raw.get(raw.len().checked_sub(2)?)?, *raw.last()?]);
    raw.truncate(raw.len() - 2);
    (crc16(&raw) == sum).then_some(raw)
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
        let mut raw = vec![prefix];
        raw.extend((0..32).map(|i| i * 7));
        raw.extend(crc16(&raw).to_le_bytes());
        BASE32_NOPAD.encode(&raw)
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
