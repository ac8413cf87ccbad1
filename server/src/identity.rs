//! The server's public identity: an nkey of the server kind, and one of the
//! curve kind.

use data_encoding::BASE32_NOPAD;
use ring::agreement::{EphemeralPrivateKey, X25519};
use ring::rand::SystemRandom;

/// Prefix byte of server keys (`N`).
const SERVER_PREFIX: u8 = 13 << 3;
/// Prefix byte of curve keys (`X`).
const CURVE_PREFIX: u8 = 23 << 3;

/// The text form of a public server key: prefix, 32 bytes, CRC-16/XMODEM in
/// little endian, base32 without padding (contract/core.md §4.4).
pub fn server_id(key: &[u8; 32]) -> String {
    encode(SERVER_PREFIX, key)
}

/// The public half of a new X25519 key pair as text (`xkey` of INFO). The
/// private half is dropped: ring gives it out for a single agreement only, and
/// nothing is decrypted here until auth callouts are, which must then keep
/// theirs. `None` if the operating system gives no randomness.
pub fn curve_key() -> Option<String> {
    let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).ok()?;
    let public = private.compute_public_key().ok()?;
    Some(encode(CURVE_PREFIX, public.as_ref()))
}

fn encode(prefix: u8, key: &[u8]) -> String {
    let mut raw = Vec::with_capacity(35);
    raw.push(prefix);
    raw.extend_from_slice(key);
    let crc = crc16(&raw);
    raw.extend_from_slice(&crc.to_le_bytes());
    BASE32_NOPAD.encode(&raw)
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, b| {
        (0..8).fold(crc ^ (u16::from(*b) << 8), |c, _| {
            if c & 0x8000 != 0 { (c << 1) ^ 0x1021 } else { c << 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_server_keys() {
        let id = server_id(&[7; 32]);
        assert_eq!(id.len(), 56);
        assert!(id.starts_with('N'));
        assert!(gust_config::nkey::is_public(&id, gust_config::nkey::KeyKind::Server));
        assert_eq!(crc16(b"123456789"), 0x31C3);
    }

    #[test]
    fn curve_keys_are_new_each_time() {
        let (a, b) = (curve_key().unwrap(), curve_key().unwrap());
        assert!(a.starts_with('X') && a.len() == 56);
        assert!(gust_config::nkey::is_public(&a, gust_config::nkey::KeyKind::Curve));
        assert_ne!(a, b);
    }
}
