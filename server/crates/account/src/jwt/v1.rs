//! Version 1 tokens: `type`, `tags` and `issuer_account` stand beside `nats`,
//! and there are fewer fields. They are brought to the shape of version 2.

use super::claims::ClaimKind;
use serde_json::{Map, Value};

/// Moves what moved, for a token of this kind.
pub(super) fn migrate<T: ClaimKind>(token: &mut Map<String, Value>) {
    let moved = ["tags", "issuer_account"].map(|key| (key, token.remove(key)));
    let nats = token.entry("nats").or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(nats) = nats else { return };
    for (key, value) in moved {
        nats.remove(key);
        if let Some(value) = value {
            nats.insert(key.to_owned(), value);
        }
    }
    T::from_v1(nats);
}

/// Leaves only fields that version 1 had: a token that was not written for a
/// later field must not get its meaning.
pub(super) fn keep(map: &mut Map<String, Value>, known: &[&str]) {
    map.retain(|key, _| known.contains(&key.as_str()));
}
