//! The header block of a message: `NATS/1.0[ status]\r\n(key: value\r\n)*\r\n`.
//!
//! The server forwards blocks unchanged and reads few keys, so this is a view
//! that looks for lines on demand and survives any bytes. Keys are compared
//! exactly, case included; lines without a colon are skipped; an unterminated
//! last line still counts.

use bytes::{BufMut, Bytes, BytesMut};
use memchr::{memchr, memmem};

/// First line of every block, without status and line end.
pub const VERSION: &[u8] = b"NATS/1.0";

/// A header block, borrowed. An empty slice is a block without anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a> {
    raw: &'a [u8],
}

/// Status of a block, as in `NATS/1.0 503 No Responders`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status<'a> {
    /// Three digits.
    pub code: u16,
    /// Text after the code, may be empty.
    pub description: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Views a block.
    pub fn new(raw: &'a [u8]) -> Self {
        Headers { raw }
    }

    /// The bytes of the block.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether there is no block.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The status in the first line, if there is one.
    pub fn status(&self) -> Option<Status<'a>> {
        let rest = line(self.raw).0.strip_prefix(VERSION)?.trim_ascii_start();
        let (code, description) = rest.split_at_checked(3)?;
        let code = std::str::from_utf8(code).ok()?;
        if !code.bytes().all(|b| b.is_ascii_digit())
            || description.first().is_some_and(|b| *b != b' ')
        {
            return None;
        }
        Some(Status { code: code.parse().ok()?, description: description.trim_ascii() })
    }

    /// The value of the first line with exactly this key; blanks before the
    /// value are not part of it. Allocates nothing.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&'a [u8]> {
        let mut rest = line(self.raw).1;
        while !rest.is_empty() {
            let (text, next) = line(rest);
            if text.get(key.len()) == Some(&b':')
                && let Some(value) = text.strip_prefix(key)
            {
                return Some(value_of(value));
            }
            rest = next;
        }
        None
    }

    /// All values of a key in order.
    pub fn get_all(&self, key: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(k, _)| *k == key).map(|(_, v)| v)
    }

    /// All keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = line(self.raw).1;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let (text, next) = line(rest);
                rest = next;
                if let Some(colon) = memchr(b':', text) {
                    let (key, value) = text.split_at(colon);
                    return Some((key, value_of(value)));
                }
            }
            None
        })
    }

    /// The block without the lines `drop` picks by key; empty if neither a line
    /// nor a status is left. Everything else stays as it was, byte for byte.
    pub fn without(&self, mut drop: impl FnMut(&[u8]) -> bool) -> Bytes {
        let (_, mut rest) = line(self.raw);
        let mut out = BytesMut::with_capacity(self.raw.len());
        out.put_slice(head(self.raw, rest));
        let first = out.len();
        let mut kept = false;
        while !rest.is_empty() {
            let (text, next) = line(rest);
            let key = memchr(b':', text).and_then(|colon| text.get(..colon));
            if !key.is_some_and(&mut drop) {
                kept |= !text.is_empty();
                out.put_slice(head(rest, next));
            }
            rest = next;
        }
        let bare = out.get(..first).is_none_or(|l| l.trim_ascii_end() == VERSION);
        if !kept && bare { Bytes::new() } else { out.freeze() }
    }

    /// [`Headers::without`] one key.
    pub fn remove(&self, key: &[u8]) -> Bytes {
        self.without(|k| k == key)
    }

    /// [`Headers::without`] keys that start with `prefix`.
    pub fn strip_prefix(&self, prefix: &[u8]) -> Bytes {
        self.without(|k| k.starts_with(prefix))
    }

    /// The block with `key` set to one value: other lines with that key go, the
    /// new one comes last.
    pub fn set(&self, key: &[u8], value: &[u8]) -> Bytes {
        let mut builder = HeaderBuilder::extending(&self.remove(key));
        builder.add(key, value);
        builder.finish()
    }

    /// As [`Headers::set`], but the first line with that key stays in its place,
    /// and others after it as they are.
    pub fn replace(&self, key: &[u8], value: &[u8]) -> Bytes {
        let Some(old) = self.get(key) else { return self.set(key, value) };
        let from = old.as_ptr() as usize - self.raw.as_ptr() as usize;
        let (before, rest) = self.raw.split_at(from.min(self.raw.len()));
        [before, value, rest.get(old.len()..).unwrap_or_default()].concat().into()
    }
}

/// Builds a block. Line ends in keys and values become blanks, so that a value
/// from outside cannot add lines.
#[derive(Debug, Clone)]
pub struct HeaderBuilder {
    out: BytesMut,
}

impl Default for HeaderBuilder {
    fn default() -> Self {
        HeaderBuilder::new()
    }
}

impl HeaderBuilder {
    /// A block without status.
    pub fn new() -> Self {
        let mut out = BytesMut::with_capacity(128);
        out.put_slice(VERSION);
        out.put_slice(b"\r\n");
        HeaderBuilder { out }
    }

    /// A block that starts with a status.
    pub fn status(code: u16, description: &str) -> Self {
        let mut out = BytesMut::with_capacity(128);
        out.put_slice(VERSION);
        out.put_u8(b' ');
        out.put_slice(crate::client::Digits::new(u64::from(code)).as_bytes());
        if !description.is_empty() {
            out.put_u8(b' ');
            put_clean(&mut out, description.as_bytes());
        }
        out.put_slice(b"\r\n");
        HeaderBuilder { out }
    }

    /// Continues a block, or starts one if `raw` is empty.
    pub fn extending(raw: &[u8]) -> Self {
        if raw.is_empty() {
            return HeaderBuilder::new();
        }
        let mut out = BytesMut::with_capacity(raw.len() + 64);
        if let Some(open) = raw.strip_suffix(b"\r\n\r\n") {
            out.put_slice(open);
        } else {
            out.put_slice(raw.trim_ascii_end());
        }
        out.put_slice(b"\r\n");
        HeaderBuilder { out }
    }

    /// Appends `key: value`.
    pub fn add(&mut self, key: &[u8], value: &[u8]) -> &mut Self {
        put_clean(&mut self.out, key);
        self.out.put_slice(b": ");
        put_clean(&mut self.out, value);
        self.out.put_slice(b"\r\n");
        self
    }

    /// Appends `key: n`.
    pub fn add_number(&mut self, key: &[u8], n: u64) -> &mut Self {
        self.add(key, crate::client::Digits::new(n).as_bytes())
    }

    /// Ends the block.
    pub fn finish(mut self) -> Bytes {
        self.out.put_slice(b"\r\n");
        self.out.freeze()
    }
}

/// The text before the next CRLF, and what follows that.
#[inline]
fn line(raw: &[u8]) -> (&[u8], &[u8]) {
    let mut from = 0;
    while let Some(at) = raw.get(from..).and_then(|r| memchr(b'\r', r)) {
        let cr = from + at;
        if raw.get(cr + 1) == Some(&b'\n') {
            return (raw.get(..cr).unwrap_or_default(), raw.get(cr + 2..).unwrap_or_default());
        }
        from = cr + 1;
    }
    (raw, &[])
}

/// `raw` without its tail `rest`.
fn head<'a>(raw: &'a [u8], rest: &[u8]) -> &'a [u8] {
    raw.get(..raw.len() - rest.len()).unwrap_or_default()
}

/// The value behind `: `.
#[inline]
fn value_of(after_key: &[u8]) -> &[u8] {
    let mut value = after_key.get(1..).unwrap_or_default();
    while let [b' ', rest @ ..] = value {
        value = rest;
    }
    value
}

fn put_clean(out: &mut BytesMut, text: &[u8]) {
    if memchr::memchr2(b'\r', b'\n', text).is_none() {
        out.put_slice(text);
        return;
    }
    for &b in text {
        out.put_u8(if matches!(b, b'\r' | b'\n') { b' ' } else { b });
    }
}

/// Whether a block contains `needle` anywhere: a quick "no" before several
/// [`Headers::get`] for keys with a common prefix.
pub fn mentions(raw: &[u8], needle: &[u8]) -> bool {
    memmem::find(raw, needle).is_some()
}

#[cfg(test)]
#[path = "headers_test.rs"]
mod tests;
