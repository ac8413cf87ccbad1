//! JSON the way nats-server's clients know it: the reading and writing habits
//! of Go's `encoding/json` (contract/jetstream.md §0).
//!
//! Reading: keys match without regard to case, the last duplicate wins, `null`
//! leaves plain fields alone, unknown fields are an error in strict mode.
//! Input is hostile: depth and size are bounded and nothing panics.
//! Writing: keys in declared order, `<`, `>`, `&` and U+2028/2029 escaped.
//!
//! Types are declared with [`json_struct!`] and [`json_enum!`].

mod macros;
mod read;
mod scan;
mod value;
mod write;

#[cfg(test)]
mod json_test;

pub(crate) use macros::{json_enum, json_struct};
pub(crate) use read::key_is;
pub use read::{JsonFields, JsonRead, Reader};
pub use value::{Base64, Nullable, Raw};
pub use write::{JsonEmpty, to_bytes, to_string};

use crate::error::{self, ApiError};

/// Deepest nesting a reader follows. Nothing of the API nests deeper than 6.
pub const MAX_DEPTH: usize = 128;
/// Longest document a reader looks at; nats-server's largest `max_payload`.
pub const MAX_LEN: usize = 64 << 20;

/// Why a document was refused; the text is what nats-server would say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(pub String);

impl From<JsonError> for ApiError {
    fn from(e: JsonError) -> ApiError {
        error::invalid_json(e.0)
    }
}

/// Whether unknown fields are refused (`jetstream { strict: … }`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// Unknown fields are an error.
    #[default]
    Strict,
    /// Unknown fields are skipped.
    Lenient,
}

/// Reads a request body into `T`. Documents may follow each other; they are
/// read into the same value, as nats-server does. An empty body is a default `T`.
pub fn parse<T: JsonRead + Default>(body: &[u8], strictness: Strictness) -> Result<T, JsonError> {
    if body.len() > MAX_LEN {
        return Err(JsonError(format!("document is longer than {MAX_LEN} bytes")));
    }
    let mut value = T::default();
    let mut reader = Reader::new(body, strictness);
    while reader.next_document()? {
        value.read(&mut reader)?;
    }
    Ok(value)
}

/// Reads a document this server wrote before (a log entry, a stored config) or
/// one that is never strict.
pub fn parse_lenient<T: JsonRead + Default>(body: &[u8]) -> Result<T, JsonError> {
    parse(body, Strictness::Lenient)
}

/// The refusal of an enum's word: `%q` in `pattern` is the quoted JSON text,
/// `%v` the text itself.
pub(crate) fn enum_error(pattern: &str, text: &str) -> JsonError {
    JsonError(pattern.replace("%q", &read::go_quote(text)).replace("%v", text))
}
