//! The pull reader behind every request type: walks a checked document and
//! fills fields in place, so memory stays proportional to what is kept.

use super::scan::value_end;
use super::{JsonError, Strictness};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Something that can be filled from a JSON value.
pub trait JsonRead {
    /// Reads the next value of `r` into `self`. On `null`, plain values stay as
    /// they are and optional ones become `None`.
    fn read(&mut self, r: &mut Reader<'_>) -> Result<(), JsonError>;

    /// The type's name in Go's error texts.
    fn go_type() -> String;
}

/// A type with named members, declared with `json_struct!`.
pub trait JsonFields {
    /// The type's name in nats-server's error texts.
    const NAME: &'static str;

    /// Reads the value of member `key` if there is such a member; says whether
    /// there was. `key` is compared without regard to case when `fold` is set.
    fn read_field(&mut self, key: &str, fold: bool, r: &mut Reader<'_>) -> Result<bool, JsonError>;

    /// Writes all members that are to be shown.
    fn write_fields<M: serde::ser::SerializeMap>(&self, out: &mut M) -> Result<(), M::Error>;
}

/// A position in a document.
pub struct Reader<'a> {
    buf: &'a [u8],
    pos: usize,
    /// End of the document whose syntax was checked.
    end: usize,
    strict: bool,
    path: Vec<Step>,
    /// Name of the outermost type, for error texts.
    root: &'static str,
    /// Go's name for integers of the member being read, if not by their width.
    integers: Option<&'static str>,
}

/// One step from the document's root to the value being read.
enum Step {
    Member(&'static str),
    Key(String),
    Item(usize),
}

impl<'a> Reader<'a> {
    pub(super) fn new(buf: &'a [u8], strictness: Strictness) -> Self {
        let strict = strictness == Strictness::Strict;
        Reader { buf, pos: 0, end: 0, strict, path: Vec::new(), root: "", integers: None }
    }

    /// Moves to the next document; false at the end.
    pub(super) fn next_document(&mut self) -> Result<bool, JsonError> {
        match value_end(self.buf, self.end)? {
            None => Ok(false),
            Some(end) => {
                self.pos = self.end;
                self.end = end;
                Ok(true)
            }
        }
    }

    fn space(&mut self) {
        while matches!(self.buf.get(self.pos), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.pos += 1;
        }
    }

    fn peek(&mut self) -> u8 {
        self.space();
        self.buf.get(self.pos).copied().unwrap_or(0)
    }

    /// The text of the next value, which is passed over.
    pub fn raw(&mut self) -> Result<&'a [u8], JsonError> {
        self.space();
        let start = self.pos;
        let end = value_end(self.buf, start)?.ok_or_else(|| JsonError("unexpected EOF".into()))?;
        self.pos = end;
        Ok(self.buf.get(start..end).unwrap_or_default())
    }

    /// Passes over a `null`; false if the next value is something else.
    pub fn null(&mut self) -> bool {
        if self.peek() == b'n' {
            self.pos += 4;
            return true;
        }
        false
    }

    /// Refuses the next value because it is not of type `want` (Go's name).
    pub fn mismatch<T>(&mut self, want: &str) -> Result<T, JsonError> {
        let what = match self.peek() {
            b'{' => "object",
            b'[' => "array",
            b'"' => "string",
            b't' | b'f' => "bool",
            _ => "number",
        };
        self.refuse(what, want)
    }

    fn refuse<T>(&self, what: &str, want: &str) -> Result<T, JsonError> {
        let mut place = self.root.to_owned();
        for step in &self.path {
            place.push('.');
            match step {
                Step::Member(name) => place.push_str(name),
                Step::Key(key) => place.push_str(key),
                Step::Item(index) => place.push_str(&index.to_string()),
            }
        }
        let place = match self.path.last() {
            None => "Go value".to_owned(),
            Some(Step::Item(_)) => place,
            Some(_) => format!("Go struct field {place}"),
        };
        Err(JsonError(format!("json: cannot unmarshal {what} into {place} of type {want}")))
    }

    /// Reads a string, escapes resolved; ill-formed text becomes U+FFFD.
    pub fn string(&mut self, want: &str) -> Result<String, JsonError> {
        if self.peek() != b'"' {
            return self.mismatch(want);
        }
        let raw = self.raw()?;
        let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        Ok(unescape(inner))
    }

    /// Reads an integer literal; fractions and exponents are refused as Go does.
    pub fn integer<T: std::str::FromStr>(&mut self, want: &str) -> Result<T, JsonError> {
        let want = self.integers.unwrap_or(want);
        if !matches!(self.peek(), b'-' | b'0'..=b'9') {
            return self.mismatch(want);
        }
        let at = self.pos;
        let raw = self.raw()?;
        match std::str::from_utf8(raw).ok().and_then(|t| t.parse().ok()) {
            Some(n) => Ok(n),
            None => {
                self.pos = at;
                self.refuse(&format!("number {}", String::from_utf8_lossy(raw)), want)
            }
        }
    }

    /// Reads `true` or `false`.
    pub fn bool(&mut self) -> Result<bool, JsonError> {
        match self.peek() {
            b't' => {
                self.pos += 4;
                Ok(true)
            }
            b'f' => {
                self.pos += 5;
                Ok(false)
            }
            _ => self.mismatch("bool"),
        }
    }

    /// Walks the members of an object; `member` must read or skip the value.
    pub fn object(
        &mut self,
        want: &str,
        mut member: impl FnMut(&mut Self, String) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        if self.peek() != b'{' {
            return self.mismatch(want);
        }
        self.pos += 1;
        while self.peek() == b'"' {
            let key = self.string("string")?;
            self.space();
            self.pos += 1; // ':', checked by the scan
            member(self, key)?;
            if self.peek() == b',' {
                self.pos += 1;
            }
        }
        self.pos += 1;
        Ok(())
    }

    /// Walks the items of an array; `item` must read or skip the value.
    pub fn array(
        &mut self,
        want: &str,
        mut item: impl FnMut(&mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        if self.peek() != b'[' {
            return self.mismatch(want);
        }
        self.pos += 1;
        while self.pos < self.end && self.peek() != b']' {
            item(self)?;
            if self.peek() == b',' {
                self.pos += 1;
            }
        }
        self.pos += 1;
        Ok(())
    }

    /// Reads an object into `value`, member by member.
    pub fn fields<T: JsonFields>(&mut self, value: &mut T) -> Result<(), JsonError> {
        if self.null() {
            return Ok(());
        }
        if self.path.is_empty() {
            self.root = T::NAME;
        }
        let want = format!("server.{}", T::NAME);
        self.object(&want, |r, key| {
            let known = value.read_field(&key, false, r)? || value.read_field(&key, true, r)?;
            match known {
                true => Ok(()),
                false if r.strict => {
                    Err(JsonError(format!("json: unknown field {}", go_quote(&key))))
                }
                false => r.raw().map(|_| ()),
            }
        })
    }

    /// Reads one member; keeps its name, and what Go calls its integers, for
    /// error texts.
    pub fn member<T: JsonRead>(
        &mut self,
        name: &'static str,
        integers: Option<&'static str>,
        value: &mut T,
    ) -> Result<(), JsonError> {
        let outer = std::mem::replace(&mut self.integers, integers);
        let done = self.step(Step::Member(name), value);
        self.integers = outer;
        done
    }

    fn step<T: JsonRead>(&mut self, step: Step, value: &mut T) -> Result<(), JsonError> {
        self.path.push(step);
        let done = value.read(self);
        self.path.pop();
        done
    }
}

/// Whether a key of a document names the member `name`.
pub fn key_is(key: &str, name: &str, fold: bool) -> bool {
    if !fold {
        return key == name;
    }
    if key.is_ascii() {
        return key.eq_ignore_ascii_case(name);
    }
    // The two letters outside ASCII that Unicode folds into ASCII.
    key.replace('\u{17f}', "s").replace('\u{212a}', "k").eq_ignore_ascii_case(name)
}

/// Go's `%q`, as far as keys need it.
pub(crate) fn go_quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                out.push_str(&format!("\\x{:02x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn unescape(raw: &[u8]) -> String {
    if memchr::memchr(b'\\', raw).is_none() {
        return String::from_utf8_lossy(raw).into_owned();
    }
    let text = String::from_utf8_lossy(raw);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let mut used = 1;
        match tail.bytes().next() {
            Some(b'b') => out.push('\u{8}'),
            Some(b'f') => out.push('\u{c}'),
            Some(b'n') => out.push('\n'),
            Some(b'r') => out.push('\r'),
            Some(b't') => out.push('\t'),
            Some(b'u') => {
                let (c, n) = unescape_unicode(tail);
                out.push(c);
                used = n;
            }
            Some(c) => out.push(char::from(c)),
            None => {}
        }
        rest = tail.get(used..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Reads `uXXXX` (and a second half of a surrogate pair) at the start of
/// `tail`: the character and how many bytes it took.
fn unescape_unicode(tail: &str) -> (char, usize) {
    let unit = |at: usize| tail.get(at..at + 4).and_then(|h| u32::from_str_radix(h, 16).ok());
    let bad = (char::REPLACEMENT_CHARACTER, 5);
    let Some(high) = unit(1) else { return bad };
    if !(0xd800..0xe000).contains(&high) {
        return (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 5);
    }
    if high < 0xdc00
        && tail.get(5..7) == Some("\\u")
        && let Some(low @ 0xdc00..0xe000) = unit(7)
    {
        let c = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER), 11);
    }
    bad
}

macro_rules! read_integers {
    ($($t:ty = $go:literal),*) => {$(
        impl JsonRead for $t {
            fn read(&mut self, r: &mut Reader<'_>) -> Result<(), JsonError> {
                if !r.null() {
                    *self = r.integer($go)?;
                }
                Ok(())
            }

            fn go_type() -> String {
                $go.into()
            }
        }
    )*};
}

read_integers!(i32 = "int32", i64 = "int64", u16 = "uint16", u32 = "uint32", u64 = "uint64");

impl JsonRead for bool {
    fn read(&mut self, r: &mut Reader<'_>) -> Result<(), JsonError> {
        if !r.null() {
            *self = r.bool()?;
        }
        Ok(())
    }

    fn go_type() -> String {
        "bool".into()
    }
}

impl JsonRead for String {
    fn read(&mut self, r: &mut Reader<'_>) -> Result<(), JsonError> {
        if !r.null() {
            *self = r.string("string")?;
        }
        Ok(())
    }

    fn go_type() -> String {
        "string".into()
    }
}

impl JsonRead for Cow<'static, str> {
    fn read(&mut self, r: &mut Reader<'_>) -> Result<(), JsonError> {
        if !r.null() {
            *self = Cow::Owned(r.string("string")?);
        }
        Ok(())
    }

    fn go_type() -> String {
        "string".into()
    }
}

impl<T: JsonRead + Default> JsonRead for Vec<T> {
    fn read(&mut self, r: &mut Reader<'_>) -> Result<(), JsonError> {
        self.clear();
        if r.null() {
            return Ok(());
        }
        r.array(&Self::go_type(), |r| {
            let mut item = T::default();
            r.step(Step::Item(self.len()), &mut item)?;
            self.push(item);
            Ok(())
        })
    }

    fn go_type() -> String {
        format!("[]{}", T::go_type())
    }
}

impl<T: JsonRead + Default> JsonRead for BTreeMap<String, T> {
    fn read(&mut self, r: &mut Reader<'_>) -> Result<(), JsonError> {
        if r.null() {
            self.clear();
            return Ok(());
        }
        r.object(&Self::go_type(), |r, key| {
            let mut item = T::default();
            r.step(Step::Key(key.clone()), &mut item)?;
            self.insert(key, item);
            Ok(())
        })
    }

    fn go_type() -> String {
        format!("map[string]{}", T::go_type())
    }
}

impl<T: JsonRead + Default> JsonRead for Option<T> {
    fn read(&mut self, r: &mut Reader<'_>) -> Result<(), JsonError> {
        if r.null() {
            *self = None;
            return Ok(());
        }
        self.get_or_insert_default().read(r)
    }

    fn go_type() -> String {
        T::go_type()
    }
}

/// An optional group of members, all of them absent when `None`.
impl<T: JsonFields + Default> JsonFields for Option<T> {
    const NAME: &'static str = T::NAME;

    fn read_field(&mut self, key: &str, fold: bool, r: &mut Reader<'_>) -> Result<bool, JsonError> {
        if let Some(value) = self {
            return value.read_field(key, fold, r);
        }
        let mut value = T::default();
        let known = value.read_field(key, fold, r)?;
        if known {
            *self = Some(value);
        }
        Ok(known)
    }

    fn write_fields<M: serde::ser::SerializeMap>(&self, out: &mut M) -> Result<(), M::Error> {
        self.as_ref().map_or(Ok(()), |value| value.write_fields(out))
    }
}

impl<T: JsonRead> JsonRead for Box<T> {
    fn read(&mut self, r: &mut Reader<'_>) -> Result<(), JsonError> {
        (**self).read(r)
    }

    fn go_type() -> String {
        T::go_type()
    }
}
