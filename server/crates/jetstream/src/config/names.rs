//! Names of streams and consumers, and the sizes of what people write.

use crate::error::{self, ApiError};
use ring::digest::{SHA256, digest};
use std::collections::BTreeMap;

/// Longest name of a stream or consumer, bytes.
pub const MAX_NAME: usize = 255;
/// Longest description, bytes.
pub const MAX_DESCRIPTION: usize = 4096;
/// Most bytes of all metadata keys and values together.
pub const MAX_METADATA: usize = 128 * 1024;

/// Whether `name` can name a stream or consumer (its length is another matter).
pub fn is_asset_name(name: &str) -> bool {
    let bad = |b: u8| {
        matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x0c | b'.' | b'*' | b'>' | b'/' | b'\\')
    };
    !name.is_empty() && !name.bytes().any(bad)
}

/// Eight base-62 characters of the SHA-256 of `name`: how nats-server shortens
/// account names and API prefixes in subjects (contract/jetstream.md §1.7).
pub fn short_hash(name: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let sum = digest(&SHA256, name.as_bytes());
    sum.as_ref().iter().take(8).map(|b| DIGITS[usize::from(b % 62)] as char).collect()
}

pub(super) fn metadata_len(metadata: &BTreeMap<String, String>) -> usize {
    metadata.iter().map(|(k, v)| k.len() + v.len()).sum()
}

/// The error for a bad configuration.
pub(super) fn invalid<T>(why: impl Into<String>) -> Result<T, ApiError> {
    Err(error::stream_invalid_config(why.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_of_the_global_account() {
        assert_eq!(short_hash("$G"), "szMpdrwD");
    }

    #[test]
    fn names() {
        for (name, good) in [
            ("a", true),
            ("", false),
            ("a.b", false),
            ("a b", false),
            ("a/b", false),
            ("é-_$", true),
        ] {
            assert_eq!(is_asset_name(name), good, "{name}");
        }
    }
}
