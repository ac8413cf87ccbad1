//! Writing JSON as Go's `encoding/json` does with HTML escaping on.

use bytes::Bytes;
use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// What `omitempty` leaves out.
pub trait JsonEmpty {
    /// Whether the value is its type's zero in Go's sense.
    fn is_empty(&self) -> bool;
}

/// `value` as a JSON document. Types of this crate cannot fail to serialise;
/// a foreign one that does gives an empty document.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Bytes {
    let mut out = Vec::with_capacity(256);
    let mut ser = Serializer::with_formatter(&mut out, GoFormatter);
    match value.serialize(&mut ser) {
        Ok(()) => Bytes::from(out),
        Err(_) => Bytes::new(),
    }
}

/// As [`to_bytes`], as text.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> String {
    String::from_utf8(to_bytes(value).into()).unwrap_or_default()
}

/// Compact output with `<`, `>`, `&`, U+2028 and U+2029 escaped.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut plain = 0;
        let bytes = fragment.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let (escape, len): (&[u8], usize) = match &bytes[at..] {
                [b'<', ..] => (b"\\u003c", 1),
                [b'>', ..] => (b"\\u003e", 1),
                [b'&', ..] => (b"\\u0026", 1),
                [0xe2, 0x80, 0xa8, ..] => (b"\\u2028", 3),
                [0xe2, 0x80, 0xa9, ..] => (b"\\u2029", 3),
                _ => {
                    at += 1;
                    continue;
                }
            };
            out.write_all(&bytes[plain..at])?;
            out.write_all(escape)?;
            at += len;
            plain = at;
        }
        out.write_all(&bytes[plain..])
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Quote => out.write_all(b"\\\""),
            CharEscape::ReverseSolidus => out.write_all(b"\\\\"),
            CharEscape::Solidus => out.write_all(b"/"),
            CharEscape::Backspace => out.write_all(b"\\b"),
            CharEscape::FormFeed => out.write_all(b"\\f"),
            CharEscape::LineFeed => out.write_all(b"\\n"),
            CharEscape::CarriageReturn => out.write_all(b"\\r"),
            CharEscape::Tab => out.write_all(b"\\t"),
            CharEscape::AsciiControl(c) => write!(out, "\\u{c:04x}"),
        }
    }
}

macro_rules! empty_is_zero {
    ($($t:ty),*) => {$(
        impl JsonEmpty for $t {
            fn is_empty(&self) -> bool {
                *self == <$t>::default()
            }
        }
    )*};
}

empty_is_zero!(bool, i32, i64, u16, u32, u64);

impl JsonEmpty for String {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl JsonEmpty for Cow<'static, str> {
    fn is_empty(&self) -> bool {
        str::is_empty(self)
    }
}

impl<T> JsonEmpty for Vec<T> {
    fn is_empty(&self) -> bool {
        Vec::is_empty(self)
    }
}

impl<K, V> JsonEmpty for BTreeMap<K, V> {
    fn is_empty(&self) -> bool {
        BTreeMap::is_empty(self)
    }
}

impl<T> JsonEmpty for Option<T> {
    fn is_empty(&self) -> bool {
        self.is_none()
    }
}
