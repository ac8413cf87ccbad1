//! Building blocks of documents: base64 bytes, lists that show as `null`, and
//! pieces kept as they came.

use super::{JsonEmpty, JsonError, JsonRead, Reader};
use bytes::Bytes;
use data_encoding::BASE64;
use serde::{Serialize, Serializer};

/// Bytes shown as standard base64, Go's `[]byte`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base64(pub Bytes);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&BASE64.encode_display(&self.0))
    }
}

impl JsonRead for Base64 {
    fn read(&mut self, r: &mut Reader<'_>) -> Result<(), JsonError> {
        if r.null() {
            self.0 = Bytes::new();
            return Ok(());
        }
        let text = r.string("[]uint8")?;
        let bytes = BASE64
            .decode(text.as_bytes())
            .map_err(|e| JsonError(format!("illegal base64 data at input byte {}", e.position)))?;
        self.0 = bytes.into();
        Ok(())
    }

    fn go_type() -> String {
        "[]uint8".into()
    }
}

impl JsonEmpty for Base64 {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A list that shows as `null` when empty: what Go writes for a nil slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nullable<T>(pub Vec<T>);

impl<T> Default for Nullable<T> {
    fn default() -> Self {
        Nullable(Vec::new())
    }
}

impl<T: Serialize> Serialize for Nullable<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() { s.serialize_none() } else { self.0.serialize(s) }
    }
}

impl<T: JsonRead + Default> JsonRead for Nullable<T> {
    fn read(&mut self, r: &mut Reader<'_>) -> Result<(), JsonError> {
        self.0.read(r)
    }

    fn go_type() -> String {
        Vec::<T>::go_type()
    }
}

impl<T> JsonEmpty for Nullable<T> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A value kept as text, e.g. the response inside an audit advisory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Raw(pub String);

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match serde_json::value::RawValue::from_string(self.0.clone()) {
            Ok(raw) => raw.serialize(s),
            Err(_) => s.serialize_none(),
        }
    }
}

impl JsonRead for Raw {
    fn read(&mut self, r: &mut Reader<'_>) -> Result<(), JsonError> {
        self.0 = String::from_utf8_lossy(r.raw()?).into_owned();
        Ok(())
    }

    fn go_type() -> String {
        "json.RawMessage".into()
    }
}

impl JsonEmpty for Raw {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
