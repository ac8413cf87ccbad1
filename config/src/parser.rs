//! From text to tree: keys, maps, arrays, wrapped files, includes and variables.
//!
//! Every dimension is bounded, because the text may come from a reload request or a fuzzer:
//! file size, nesting, includes, values and the text that variables copy.

use std::fmt;
use std::sync::Arc;

use crate::include::{self, Loader};
use crate::lexer::{Key, Lexer, Scalar, is_line_end};
use crate::value::{Map, Node, Position, Value};

/// Largest single file.
pub const MAX_FILE_BYTES: usize = 16 << 20;
/// Largest sum of all text read and copied by variables.
pub const MAX_TEXT_BYTES: usize = 64 << 20;
/// Most values in one configuration, copies made by variables included.
pub const MAX_VALUES: usize = 1_000_000;
/// Deepest nesting of maps and arrays.
pub const MAX_DEPTH: usize = 64;
/// Longest chain of includes and of environment variables naming each other.
pub const MAX_INCLUDE_DEPTH: usize = 16;

/// Why a text is no configuration; the display form is what follows `nats-server: `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError(pub String);

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

/// Reads `path` through the loader and parses it with all it includes.
pub fn parse_file(
    path: &str,
    loader: &mut dyn Loader,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Map, ParseError> {
    let mut budget = Budget::default();
    let text = load(path, loader, &mut budget).map_err(ParseError)?;
    run(&text, Arc::from(path), 0, Shared { loader, env, budget: &mut budget })
}

/// Parses a text that stands in no file; includes are resolved from the working directory.
pub fn parse_text(
    text: &str,
    loader: &mut dyn Loader,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Map, ParseError> {
    let mut budget = Budget::default();
    budget.charge_text(text.len())?;
    run(text, Arc::from(""), 0, Shared { loader, env, budget: &mut budget })
}

/// What a file and all it includes have in common.
struct Shared<'s> {
    loader: &'s mut dyn Loader,
    env: &'s dyn Fn(&str) -> Option<String>,
    budget: &'s mut Budget,
}

fn run(text: &str, file: Arc<str>, depth: usize, shared: Shared<'_>) -> Result<Map, ParseError> {
    let Shared { loader, env, budget } = shared;
    Parser {
        lexer: Lexer::new(text, file),
        scopes: Vec::new(),
        depth: 0,
        include_depth: depth,
        env_stack: &mut Vec::new(),
        loader,
        env,
        budget,
    }
    .file()
}

fn load(path: &str, loader: &mut dyn Loader, budget: &mut Budget) -> Result<String, String> {
    let bytes = loader.load(path).map_err(|e| e.0)?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(format!("{path}: file is larger than {MAX_FILE_BYTES} bytes"));
    }
    budget.charge_text(bytes.len()).map_err(|e| e.0)?;
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
    Ok(match text.strip_prefix('\u{feff}') {
        Some(without_mark) => without_mark.to_owned(),
        None => text,
    })
}

/// Parser of one text.
pub(crate) struct Parser<'p, 't> {
    lexer: Lexer<'t>,
    /// Maps begun and not finished, outermost first: variables look here.
    pub(crate) scopes: Vec<Map>,
    depth: usize,
    include_depth: usize,
    /// Environment variables being expanded.
    pub(crate) env_stack: &'p mut Vec<String>,
    loader: &'p mut dyn Loader,
    pub(crate) env: &'p dyn Fn(&str) -> Option<String>,
    pub(crate) budget: &'p mut Budget,
}

impl<'t> Parser<'_, 't> {
    fn file(mut self) -> Result<Map, ParseError> {
        self.scopes.push(Map::default());
        self.top_level()?;
        Ok(self.scopes.pop().unwrap_or_default())
    }

    /// Entries outside any map. The whole file, or parts of it, may be wrapped in braces, which
    /// mean nothing; what distinguishes the inside is only how an entry may end.
    fn top_level(&mut self) -> Result<(), ParseError> {
        let mut braces = 0_usize;
        loop {
            self.lexer.skip_space();
            if self.lexer.skip_comment() {
                continue;
            }
            match self.lexer.peek() {
                None => return Ok(()),
                Some('\0' | '/') => {
                    self.lexer.bump();
                    return Err(self.lexer.error("Unexpected EOF."));
                }
                Some('{') => {
                    self.lexer.bump();
                    braces += 1;
                }
                Some('}') if braces > 0 => {
                    self.lexer.bump();
                    braces -= 1;
                    self.close_brace(&mut braces)?;
                }
                Some(_) => {
                    if !self.top_entry()? {
                        return Ok(());
                    }
                    self.top_entry_end(&mut braces)?;
                }
            }
        }
    }

    /// False when the file ended instead.
    fn top_entry(&mut self) -> Result<bool, ParseError> {
        let (name, at) = match self.lexer.key(false)? {
            Key::Include => {
                self.include()?;
                return Ok(true);
            }
            Key::Name(name, at) => (name, at),
        };
        self.lexer.skip_space();
        match self.lexer.peek() {
            // A brace too many at the end is forgiven.
            None if name == "}" => return Ok(false),
            None => {
                let end = self.lexer.position();
                return Err(ParseError(format!("config is invalid ({end})")));
            }
            Some('=' | ':') => {
                self.lexer.bump();
            }
            Some(_) => {}
        }
        let node = self.value()?;
        self.insert(name, at, node);
        Ok(true)
    }

    fn top_entry_end(&mut self, braces: &mut usize) -> Result<(), ParseError> {
        self.lexer.skip_blanks();
        if self.lexer.skip_comment() {
            return Ok(());
        }
        match self.lexer.peek() {
            Some(c) if is_line_end(c) || c == ';' || c == ',' => {
                self.lexer.bump();
                Ok(())
            }
            Some('}') => {
                self.lexer.bump();
                *braces = braces.saturating_sub(1);
                self.close_brace(braces)
            }
            None if *braces == 0 => Ok(()),
            _ => {
                let level = if *braces == 0 { "top-level" } else { "block-level" };
                let before = format!(
                    "Expected a {level} value to end with a new line, comment or EOF, but got '"
                );
                Err(self.lexer.error_at_next(&before, "' instead."))
            }
        }
    }

    /// After a `}` that closes a wrapped part inside another one.
    fn close_brace(&mut self, braces: &mut usize) -> Result<(), ParseError> {
        while *braces > 0 {
            self.lexer.skip_space();
            if self.lexer.skip_comment() {
                continue;
            }
            match self.lexer.peek() {
                Some('}') => {
                    self.lexer.bump();
                    *braces -= 1;
                }
                Some(';' | ',') => {
                    self.lexer.bump();
                    return Ok(());
                }
                _ => {
                    return Err(self.lexer.error_at_next(
                        "Expected a block-level to end with a '}', but got '",
                        "' instead.",
                    ));
                }
            }
        }
        Ok(())
    }

    fn value(&mut self) -> Result<Node, ParseError> {
        self.lexer.skip_blanks();
        self.budget.charge_value()?;
        match self.lexer.peek() {
            Some('[') => self.nested(Self::array),
            Some('{') => self.nested(Self::map),
            _ => {
                let at = self.lexer.value_position();
                let value = match self.lexer.scalar()? {
                    Scalar::Text(v) => Value::String(v),
                    Scalar::Bool(v) => Value::Bool(v),
                    Scalar::Int(v) => Value::Int(v),
                    Scalar::Float(v) => Value::Float(v),
                    Scalar::Datetime(v) => Value::Datetime(v),
                    Scalar::Variable(name) => return self.variable(&name, at),
                };
                Ok(Node::new(value, at))
            }
        }
    }

    fn nested(
        &mut self,
        parse: fn(&mut Self) -> Result<Value, ParseError>,
    ) -> Result<Node, ParseError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.lexer.error(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        self.lexer.bump();
        let value = parse(self)?;
        self.depth -= 1;
        // nats-server places a map or array at its end.
        Ok(Node::new(value, self.lexer.position()))
    }

    fn array(&mut self) -> Result<Value, ParseError> {
        let mut items = Vec::new();
        loop {
            self.lexer.skip_space();
            if self.lexer.skip_comment() {
                continue;
            }
            match self.lexer.peek() {
                Some(']') => {
                    self.lexer.bump();
                    return Ok(Value::Array(items));
                }
                Some(',') => {
                    self.lexer.bump();
                    return Err(self.lexer.error("Unexpected array value terminator ','."));
                }
                _ => items.push(self.value()?),
            }
            if self.array_item_end()? {
                return Ok(Value::Array(items));
            }
        }
    }

    /// True when the array ended.
    fn array_item_end(&mut self) -> Result<bool, ParseError> {
        loop {
            self.lexer.skip_blanks();
            if !self.lexer.skip_comment() {
                break;
            }
        }
        match self.lexer.peek() {
            Some(c) if is_line_end(c) || c == ',' => {
                self.lexer.bump();
                Ok(false)
            }
            Some(']') => {
                self.lexer.bump();
                Ok(true)
            }
            _ => Err(self.lexer.error_at_next(
                "Expected an array value terminator \",\" or an array terminator \"]\", but got '",
                "' instead.",
            )),
        }
    }

    fn map(&mut self) -> Result<Value, ParseError> {
        self.scopes.push(Map::default());
        loop {
            self.lexer.skip_space();
            if self.lexer.skip_comment() {
                continue;
            }
            match self.lexer.peek() {
                None => return Err(self.lexer.error("Unexpected EOF processing map.")),
                Some('}') => {
                    self.lexer.bump();
                    break;
                }
                Some(']') => {
                    return Err(self.lexer.error("Unexpected array end ']' processing map."));
                }
                Some(_) => self.map_entry()?,
            }
            if self.map_entry_end()? {
                break;
            }
        }
        Ok(Value::Map(self.scopes.pop().unwrap_or_default()))
    }

    fn map_entry(&mut self) -> Result<(), ParseError> {
        let (name, at) = match self.lexer.key(true)? {
            Key::Include => return self.include(),
            Key::Name(name, at) => (name, at),
        };
        self.lexer.skip_space();
        if matches!(self.lexer.peek(), Some('=' | ':')) {
            self.lexer.bump();
            self.lexer.skip_space();
        }
        match self.lexer.peek() {
            Some(',') => {
                self.lexer.bump();
                return Err(self.lexer.error("Unexpected map value terminator \",\"."));
            }
            Some('}') => {
                return Err(self.lexer.error(format!("Expected a value for key \"{name}\"")));
            }
            None => return Err(self.lexer.error("Unexpected EOF processing map.")),
            Some(_) => {}
        }
        let node = self.value()?;
        self.insert(name, at, node);
        Ok(())
    }

    /// True when the map ended.
    fn map_entry_end(&mut self) -> Result<bool, ParseError> {
        loop {
            self.lexer.skip_blanks();
            if !self.lexer.skip_comment() {
                break;
            }
        }
        match self.lexer.peek() {
            Some(c) if is_line_end(c) || c == ';' || c == ',' => {
                self.lexer.bump();
                Ok(false)
            }
            Some('}') => {
                self.lexer.bump();
                Ok(true)
            }
            _ => Err(self.lexer.error_at_next(
                "Expected a map value terminator \",\" or a map terminator \"}\", but got '",
                "' instead.",
            )),
        }
    }

    fn insert(&mut self, name: String, at: Position, mut node: Node) {
        node.at = at;
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name, node);
        }
    }

    fn include(&mut self) -> Result<(), ParseError> {
        let written = self.lexer.include_path()?;
        let named =
            |err: String| ParseError(format!("error parsing include file '{written}', {err}"));
        if self.include_depth >= MAX_INCLUDE_DEPTH {
            return Err(named(format!("includes nest deeper than {MAX_INCLUDE_DEPTH} files")));
        }
        let path = include::resolve(&self.lexer.file(), &written);
        let text = load(&path, self.loader, self.budget).map_err(named)?;
        // Included files do not see the variables of the including one.
        let shared = Shared { loader: self.loader, env: self.env, budget: self.budget };
        let map = run(&text, Arc::from(path.as_str()), self.include_depth + 1, shared)
            .map_err(|e| named(e.0))?;
        if let Some(scope) = self.scopes.last_mut() {
            for (key, node) in map.into_entries() {
                scope.insert(key, node);
            }
        }
        Ok(())
    }

    /// Parses the text of an environment variable with a scope of its own.
    pub(crate) fn parse_nested(&mut self, text: &str, file: Arc<str>) -> Result<Map, ParseError> {
        if self.include_depth >= MAX_INCLUDE_DEPTH {
            return Err(ParseError(format!(
                "environment variables refer to each other more than {MAX_INCLUDE_DEPTH} times"
            )));
        }
        Parser {
            lexer: Lexer::new(text, file),
            scopes: Vec::new(),
            depth: self.depth,
            include_depth: self.include_depth + 1,
            env_stack: self.env_stack,
            loader: self.loader,
            env: self.env,
            budget: self.budget,
        }
        .file()
    }
}

/// What may still be read.
pub(crate) struct Budget {
    text: usize,
    values: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { text: MAX_TEXT_BYTES, values: MAX_VALUES }
    }
}

impl Budget {
    pub(crate) fn charge_text(&mut self, bytes: usize) -> Result<(), ParseError> {
        self.text = self.text.checked_sub(bytes).ok_or_else(|| {
            ParseError(format!("configuration is larger than {MAX_TEXT_BYTES} bytes in all"))
        })?;
        Ok(())
    }

    fn charge_value(&mut self) -> Result<(), ParseError> {
        self.values = self.values.checked_sub(1).ok_or_else(|| {
            ParseError(format!("configuration has more than {MAX_VALUES} values"))
        })?;
        Ok(())
    }

    /// Charges a tree that a variable copied.
    pub(crate) fn charge_tree(&mut self, value: &Value) -> Result<(), ParseError> {
        self.charge_value()?;
        match value {
            Value::String(text) | Value::Datetime(text) => self.charge_text(text.len()),
            Value::Array(items) => items.iter().try_for_each(|n| self.charge_tree(&n.value)),
            Value::Map(map) => map.iter().try_for_each(|(key, node)| {
                self.charge_text(key.len())?;
                self.charge_tree(&node.value)
            }),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => Ok(()),
        }
    }
}
