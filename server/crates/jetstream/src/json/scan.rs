//! Checks that bytes are JSON before anything is read from them, so that
//! readers meet no syntax errors and refusals name the place.

use super::{JsonError, MAX_DEPTH};

/// Finds the end of the value at `buf[start..]` (white space before it is
/// skipped). `Ok(None)` when only white space is left.
pub(super) fn value_end(buf: &[u8], start: usize) -> Result<Option<usize>, JsonError> {
    let mut s = Scan { buf, pos: start };
    s.space();
    if s.pos >= buf.len() {
        return Ok(None);
    }
    s.value(0)?;
    Ok(Some(s.pos))
}

struct Scan<'a> {
    buf: &'a [u8],
    pos: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.buf.get(self.pos).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.pos += 1;
        }
    }

    fn bad<T>(&self, context: &str) -> Result<T, JsonError> {
        match self.peek() {
            None => Err(JsonError("unexpected EOF".into())),
            Some(c) => Err(JsonError(format!(
                "invalid character {} {context} at offset {}",
                quote(c),
                self.pos + 1
            ))),
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth > MAX_DEPTH {
            return Err(JsonError("exceeded max depth".into()));
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => self.bad("looking for beginning of value"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), JsonError> {
        self.pos += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.pos += 1;
            return Ok(());
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return self.bad("looking for beginning of object key string");
            }
            self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return self.bad("after object key");
            }
            self.pos += 1;
            self.value(depth + 1)?;
            self.space();
            match self.peek() {
                Some(b',') => self.pos += 1,
                Some(b'}') => {
                    self.pos += 1;
                    return Ok(());
                }
                _ => return self.bad("after object key:value pair"),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        self.pos += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.pos += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.space();
            match self.peek() {
                Some(b',') => self.pos += 1,
                Some(b']') => {
                    self.pos += 1;
                    return Ok(());
                }
                _ => return self.bad("after array element"),
            }
        }
    }

    fn string(&mut self) -> Result<(), JsonError> {
        self.pos += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0x20..) => self.pos += 1,
                _ => return self.bad("in string literal"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let start = self.pos;
        self.pos += 1;
        let hex = match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
            Some(b'u') => 4,
            None => return self.bad(""),
            Some(_) => return self.bad_escape(start, 2),
        };
        self.pos += 1;
        for _ in 0..hex {
            match self.peek() {
                Some(c) if c.is_ascii_hexdigit() => self.pos += 1,
                None => return self.bad(""),
                Some(_) => return self.bad_escape(start, 6),
            }
        }
        Ok(())
    }

    fn bad_escape(&self, start: usize, len: usize) -> Result<(), JsonError> {
        let end = (start + len).min(self.buf.len());
        let shown = String::from_utf8_lossy(self.buf.get(start..end).unwrap_or_default());
        Err(JsonError(format!("invalid escape sequence `{shown}` in string at offset {end}")))
    }

    fn digits(&mut self, context: &str) -> Result<(), JsonError> {
        if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
            return self.bad(context);
        }
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.pos += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'-') {
            self.pos += 1;
        }
        if self.peek() == Some(b'0') {
            self.pos += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.peek() == Some(b'.') {
            self.pos += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.pos += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), JsonError> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return self.bad(&format!("in literal {word} (expecting {})", quote(expected)));
            }
            self.pos += 1;
        }
        Ok(())
    }
}

/// A byte as Go's error texts quote it.
fn quote(c: u8) -> String {
    match c {
        b'\'' => r"'\''".into(),
        b'"' => "'\"'".into(),
        b'\n' => r"'\n'".into(),
        b'\r' => r"'\r'".into(),
        b'\t' => r"'\t'".into(),
        0x20..0x7f => format!("'{}'", c as char),
        0xa1..=0xff => format!("'{}'", char::from(c)),
        _ => format!(r"'\x{c:02x}'"),
    }
}
