//! The characters of the language: keys, scalars, comments, include paths, and where they stand.
//!
//! The parser asks for what may come next; nothing here nests. Two places are more lenient than
//! nats-server, which mis-reads them: a bare number may stand directly before `]`, and a value in
//! an array may start with `/`.

use std::sync::Arc;

use crate::parser::ParseError;
use crate::value::Position;

/// Reads one text from front to back.
pub(crate) struct Lexer<'t> {
    text: &'t str,
    file: Arc<str>,
    pos: usize,
    line: u32,
    /// Offset of the last line feed consumed, 0 on the first line.
    line_start: usize,
}

/// A value that is no container.
#[derive(Debug, PartialEq)]
pub(crate) enum Scalar {
    Text(String),
    Bool(bool),
    Int(i64),
    Float(f64),
    Datetime(String),
    /// `$name`, the name only.
    Variable(String),
}

/// A key as written, or the word `include`.
pub(crate) enum Key {
    Name(String, Position),
    Include,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str, file: Arc<str>) -> Self {
        Self { text, file, pos: 0, line: 1, line_start: 0 }
    }

    pub(crate) fn file(&self) -> Arc<str> {
        Arc::clone(&self.file)
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(crate) fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        if c == '\n' {
            self.line += 1;
            self.line_start = self.pos;
        }
        self.pos += c.len_utf8();
        Some(c)
    }

    pub(crate) fn position(&self) -> Position {
        Position {
            file: self.file(),
            line: self.line,
            col: u32::try_from(self.pos.saturating_sub(self.line_start)).unwrap_or(u32::MAX),
        }
    }

    /// Where a scalar that starts here is said to stand: behind its quote, if it has one.
    pub(crate) fn value_position(&self) -> Position {
        let mut at = self.position();
        at.col += u32::from(matches!(self.peek(), Some('"' | '\'')));
        at
    }

    /// An error at the current line.
    pub(crate) fn error(&self, message: impl AsRef<str>) -> ParseError {
        ParseError(format!("Parse error on line {}: '{}'", self.line, message.as_ref()))
    }

    /// An error that names the next character; its line counts a line feed as consumed.
    pub(crate) fn error_at_next(&mut self, before: &str, after: &str) -> ParseError {
        let got = match self.bump() {
            None => "EOF".to_owned(),
            Some('\n') => "\\n".to_owned(),
            Some(c) => c.to_string(),
        };
        self.error(format!("{before}{got}{after}"))
    }

    /// Skips blanks and tabs, not line ends.
    pub(crate) fn skip_blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.bump();
        }
    }

    /// Skips anything Unicode calls space.
    pub(crate) fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.bump();
        }
    }

    /// Skips a comment up to its line end, if one starts here.
    pub(crate) fn skip_comment(&mut self) -> bool {
        if !(self.rest().starts_with('#') || self.rest().starts_with("//")) {
            return false;
        }
        while self.peek().is_some_and(|c| !is_line_end(c)) {
            self.bump();
        }
        true
    }

    /// Reads a key. `in_map` changes only how errors are worded, and that a key at the end of the
    /// file is one.
    pub(crate) fn key(&mut self, in_map: bool) -> Result<Key, ParseError> {
        match self.peek() {
            Some('=' | ':') => {
                let after = if in_map { "'." } else { "'" };
                Err(self.error_at_next("Unexpected key separator '", after))
            }
            Some(quote @ ('"' | '\'')) => {
                self.bump();
                self.quoted_key(quote, in_map)
            }
            _ => self.bare_key(in_map),
        }
    }

    fn quoted_key(&mut self, quote: char, in_map: bool) -> Result<Key, ParseError> {
        let at = self.position();
        let start = self.pos;
        loop {
            match self.peek() {
                Some(c) if c == quote => {
                    let name = self.slice(start).to_owned();
                    self.bump();
                    return Ok(Key::Name(name, at));
                }
                Some(_) => {
                    self.bump();
                }
                None if !in_map => return Err(self.error("Unexpected EOF.")),
                None if quote == '"' => {
                    return Err(self.error("Unexpected EOF processing double quoted map key."));
                }
                None => return Err(self.error("Unexpected EOF processing quoted map key.")),
            }
        }
    }

    fn bare_key(&mut self, in_map: bool) -> Result<Key, ParseError> {
        let at = self.position();
        let start = self.pos;
        self.bump();
        loop {
            match self.peek() {
                Some(c) if c.is_whitespace() => {
                    let name = self.slice(start);
                    if name.eq_ignore_ascii_case("include") {
                        return Ok(Key::Include);
                    }
                    return Ok(Key::Name(name.to_owned(), at));
                }
                Some('=' | ':') => break,
                Some(_) => {
                    self.bump();
                }
                None if in_map => return Err(self.error("Unexpected EOF processing map key.")),
                None => break,
            }
        }
        Ok(Key::Name(self.slice(start).to_owned(), at))
    }

    /// Reads the path after `include`.
    pub(crate) fn include_path(&mut self) -> Result<String, ParseError> {
        self.skip_blanks();
        let wrong = match self.peek() {
            Some(quote @ ('"' | '\'')) => {
                self.bump();
                return self.quoted_include(quote);
            }
            Some('[') => Some("start of an array"),
            Some('{') => Some("start of a map"),
            Some('(') => Some("start of a block"),
            Some('\\') => Some("escape sequence"),
            Some(c) if c.is_ascii_digit() || c == '-' => Some("start of a number"),
            Some(c) if is_line_end(c) => {
                self.bump();
                Some("new line")
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            return Err(self.error(format!("Expected include value but found {wrong}")));
        }
        let start = self.pos;
        while self.peek().is_some_and(|c| !(is_line_end(c) || is_blank(c) || ";}'".contains(c))) {
            self.bump();
        }
        let path = self.slice(start).to_owned();
        self.eat('\'');
        Ok(path)
    }

    fn quoted_include(&mut self, quote: char) -> Result<String, ParseError> {
        let start = self.pos;
        while let Some(c) = self.peek() {
            if c == quote {
                let path = self.slice(start).to_owned();
                self.bump();
                return Ok(path);
            }
            self.bump();
        }
        let kind = if quote == '"' { "double quoted" } else { "quoted" };
        Err(self.error(format!("Unexpected EOF in {kind} include")))
    }

    /// Reads a value that is neither `[` nor `{`; blanks before it are skipped already.
    pub(crate) fn scalar(&mut self) -> Result<Scalar, ParseError> {
        match self.peek() {
            Some('\'') => self.single_quoted(),
            Some('"') => {
                self.bump();
                self.text_with_escapes(String::new().into_bytes(), true)
            }
            Some('(') => self.block(),
            Some('-') => self.negative(),
            Some(c) if c.is_ascii_digit() => self.number_or_text(),
            Some('.') => Err(self.error("Floats must start with a digit")),
            Some(c) if is_line_end(c) => {
                self.bump();
                Err(self.error("Expected value but found new line"))
            }
            _ => self.text_with_escapes(Vec::new(), false),
        }
    }

    fn single_quoted(&mut self) -> Result<Scalar, ParseError> {
        self.bump();
        let start = self.pos;
        loop {
            match self.peek() {
                Some('\'') => {
                    let text = self.slice(start).to_owned();
                    self.bump();
                    return Ok(Scalar::Text(text));
                }
                Some(_) => {
                    self.bump();
                }
                None => return Err(self.error("Unexpected EOF.")),
            }
        }
    }

    /// The rest of a double quoted or bare text; `bytes` is what was read of it before.
    fn text_with_escapes(
        &mut self,
        mut bytes: Vec<u8>,
        quoted: bool,
    ) -> Result<Scalar, ParseError> {
        let mut escaped = false;
        loop {
            match self.peek() {
                Some('\\') => {
                    self.bump();
                    bytes.push(self.escape()?);
                    escaped = true;
                }
                Some('"') if quoted => {
                    self.bump();
                    return Ok(Scalar::Text(lossy(bytes)));
                }
                None if quoted => return Err(self.error("Unexpected EOF.")),
                // A quote ends bare text and vanishes, as in nats-server.
                Some('\'') if !quoted => {
                    self.bump();
                    return Ok(Scalar::Text(lossy(bytes)));
                }
                Some(c) if quoted || !ends_bare(c) => {
                    self.bump();
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ if escaped => return Ok(Scalar::Text(lossy(bytes))),
                _ => return Ok(bare_meaning(lossy(bytes))),
            }
        }
    }

    fn escape(&mut self) -> Result<u8, ParseError> {
        match self.peek() {
            Some('x') => {
                self.bump();
                self.hex_escape()
            }
            Some(c @ ('t' | 'n' | 'r' | '"' | '\\')) => {
                self.bump();
                Ok(match c {
                    't' => b'\t',
                    'n' => b'\n',
                    'r' => b'\r',
                    '"' => b'"',
                    _ => b'\\',
                })
            }
            _ => Err(self.error_at_next(
                "Invalid escape character '",
                "'. Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \
                 \\\\.",
            )),
        }
    }

    fn hex_escape(&mut self) -> Result<u8, ParseError> {
        const WANTED: &str = "Expected two hexadecimal digits after '\\x', but ";
        let start = self.pos;
        for _ in 0..2 {
            if self.bump().is_none_or(is_line_end) {
                return Err(self.error(format!("{WANTED}hit end of line")));
            }
        }
        let digits = self.slice(start);
        u8::from_str_radix(digits, 16)
            .ok()
            .filter(|_| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .ok_or_else(|| self.error(format!("{WANTED}got '{digits}'")))
    }

    /// `(` … up to a line that holds only `)`. The line feed after `(` belongs to the text.
    fn block(&mut self) -> Result<Scalar, ParseError> {
        self.bump();
        let start = self.pos;
        let mut previous = '(';
        loop {
            match self.peek() {
                None => return Err(self.error("Unexpected EOF processing block.")),
                Some(')') if previous == '\n' => {
                    let text = self.slice(start).to_owned();
                    self.bump();
                    if matches!(self.peek(), None | Some('\n')) {
                        return Ok(Scalar::Text(text));
                    }
                    previous = ')';
                }
                Some(c) => {
                    previous = c;
                    self.bump();
                }
            }
        }
    }

    fn negative(&mut self) -> Result<Scalar, ParseError> {
        let start = self.pos;
        self.bump();
        match self.peek() {
            Some('.') => {
                return Err(self.error("Floats must start with a digit, not '.'."));
            }
            Some(c) if c.is_ascii_digit() => {}
            _ => return Err(self.error_at_next("Expected a digit but got '", "'.")),
        }
        self.skip_digits();
        match self.peek() {
            Some('.') => self.float_or_address(start),
            Some(c) if is_size_suffix(c) => self.size_or_text(start),
            _ => self.integer(start),
        }
    }

    fn number_or_text(&mut self) -> Result<Scalar, ParseError> {
        let start = self.pos;
        self.skip_digits();
        match self.peek() {
            Some('-') if self.pos - start == 4 => self.datetime(start),
            Some('-') => {
                self.bump();
                Err(self.error("All ISO8601 dates must be in full Zulu form."))
            }
            Some('.') => self.float_or_address(start),
            Some(c) if is_size_suffix(c) => self.size_or_text(start),
            Some(c) if !ends_bare(c) => {
                self.bump();
                let bytes = self.slice(start).as_bytes().to_vec();
                self.text_with_escapes(bytes, false)
            }
            _ => self.integer(start),
        }
    }

    /// `64k`, `1MiB`, or text such as `500ms` and `1m30s`.
    fn size_or_text(&mut self, start: usize) -> Result<Scalar, ParseError> {
        self.bump();
        while matches!(self.peek(), Some('b' | 'B' | 'i' | 'I')) {
            self.bump();
        }
        if self.peek().is_none_or(ends_bare) {
            return self.integer(start);
        }
        let bytes = self.slice(start).as_bytes().to_vec();
        self.text_with_escapes(bytes, false)
    }

    fn integer(&mut self, start: usize) -> Result<Scalar, ParseError> {
        let text = self.slice(start);
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let suffix = text.get(digits.len()..).unwrap_or_default().to_ascii_lowercase();
        let out_of_range = || ParseError(format!("integer '{text}' is out of the range"));
        let number: i64 = digits.parse().map_err(|_| out_of_range())?;
        let factor = size_factor(&suffix)
            .ok_or_else(|| ParseError(format!("expected integer, but got '{text}'")))?;
        Ok(Scalar::Int(number.checked_mul(factor).ok_or_else(out_of_range)?))
    }

    fn float_or_address(&mut self, start: usize) -> Result<Scalar, ParseError> {
        self.bump();
        if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
            return Err(self
                .error_at_next("Floats must have a digit after the '.', but got '", "' instead."));
        }
        self.skip_digits();
        if self.peek() == Some('.') {
            while self.peek().is_some_and(|c| c.is_ascii_digit() || ".:-".contains(c)) {
                self.bump();
            }
            return Ok(Scalar::Text(self.slice(start).to_owned()));
        }
        let text = self.slice(start);
        match text.parse::<f64>() {
            Ok(v) if v.is_finite() => Ok(Scalar::Float(v)),
            _ => Err(ParseError(format!("float '{text}' is out of the range"))),
        }
    }

    fn datetime(&mut self, start: usize) -> Result<Scalar, ParseError> {
        self.bump();
        for wanted in "00-00T00:00:00Z".chars() {
            match (wanted, self.peek()) {
                ('0', Some(c)) if c.is_ascii_digit() => {}
                ('0', _) => {
                    return Err(self.error_at_next(
                        "Expected digit in ISO8601 datetime, but found '",
                        "' instead.",
                    ));
                }
                (wanted, got) if got == Some(wanted) => {}
                (wanted, _) => {
                    let before = format!("Expected '{wanted}' in ISO8601 datetime, but found '");
                    return Err(self.error_at_next(&before, "' instead."));
                }
            }
            self.bump();
        }
        let text = self.slice(start);
        if !is_calendar_date(text) {
            return Err(ParseError(format!("expected Zulu formatted DateTime, but got '{text}'")));
        }
        Ok(Scalar::Datetime(text.to_owned()))
    }

    fn skip_digits(&mut self) {
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.bump();
        }
    }

    /// Consumes `c` if it is next.
    pub(crate) fn eat(&mut self, c: char) -> bool {
        let hit = self.peek() == Some(c);
        if hit {
            self.bump();
        }
        hit
    }

    fn slice(&self, start: usize) -> &'t str {
        self.text.get(start..self.pos).unwrap_or_default()
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.pos..).unwrap_or_default()
    }
}

pub(crate) fn is_line_end(c: char) -> bool {
    c == '\n' || c == '\r'
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

fn ends_bare(c: char) -> bool {
    is_line_end(c) || is_blank(c) || matches!(c, ';' | ',' | ']' | '}')
}

fn is_size_suffix(c: char) -> bool {
    matches!(c.to_ascii_lowercase(), 'k' | 'm' | 'g' | 't' | 'p' | 'e')
}

/// `k` counts in thousands, `kb`, `ki` and `kib` in 1024s, and so on up to exa.
fn size_factor(suffix: &str) -> Option<i64> {
    let Some(unit) = suffix.chars().next() else { return Some(1) };
    let power = u32::try_from("kmgtpe".find(unit)?).ok()? + 1;
    match suffix.get(1..)? {
        "" => 1000_i64.checked_pow(power),
        "b" | "i" | "ib" => 1024_i64.checked_pow(power),
        _ => None,
    }
}

fn bare_meaning(text: String) -> Scalar {
    if let Some(name) = text.strip_prefix('$') {
        return Scalar::Variable(name.to_owned());
    }
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" => Scalar::Bool(true),
        "false" | "off" | "no" => Scalar::Bool(false),
        _ => Scalar::Text(text),
    }
}

/// `\xHH` can spell bytes that are no UTF-8; they become U+FFFD.
fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn is_calendar_date(text: &str) -> bool {
    let field = |from: usize, to: usize| {
        text.get(from..to).and_then(|digits| digits.parse::<u32>().ok()).unwrap_or(u32::MAX)
    };
    let (year, month, day) = (field(0, 4), field(5, 7), field(8, 10));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day) && field(11, 13) < 24 && field(14, 16) < 60 && field(17, 19) < 60
}
