//! The tree a configuration file parses to: values, their places, and maps that keep file order.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Where a value was written.
///
/// The column counts bytes from the line feed before it, so the first column is 0 on the first
/// line and 1 on every other one: that is what nats-server prints and what its users compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Path of the file as it was opened.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column, see above.
    pub col: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.col)
    }
}

/// One value of the language.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `true`, `on`, `yes` and their opposites.
    Bool(bool),
    /// A whole number, size suffix applied.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Any text.
    String(String),
    /// A Zulu date and time, kept as written (`2006-01-02T15:04:05Z`).
    Datetime(String),
    /// `[ … ]`
    Array(Vec<Node>),
    /// `{ … }`
    Map(Map),
}

impl Value {
    /// The name Go gives the type, because users see it in type errors.
    #[must_use]
    pub fn go_type(&self) -> &'static str {
        match self {
            Value::Bool(_) => "bool",
            Value::Int(_) => "int64",
            Value::Float(_) => "float64",
            Value::String(_) => "string",
            Value::Datetime(_) => "time.Time",
            Value::Array(_) => "[]interface {}",
            Value::Map(_) => "map[string]interface {}",
        }
    }
}

impl fmt::Display for Value {
    /// Short form for messages; containers show no contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(v) => write!(f, "{v}"),
            Value::Int(v) => write!(f, "{v}"),
            Value::Float(v) => write!(f, "{v}"),
            Value::String(v) | Value::Datetime(v) => f.write_str(v),
            Value::Array(_) => f.write_str("[...]"),
            Value::Map(_) => f.write_str("map[...]"),
        }
    }
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Place of its key, or of itself inside an array.
    pub at: Position,
    /// Some `$name` referred to it: then its key is a variable and need not be a known field.
    pub used_as_variable: bool,
}

impl Node {
    pub(crate) fn new(value: Value, at: Position) -> Self {
        Self { value, at, used_as_variable: false }
    }
}

/// Keys and values in file order. Keys are as written; a repeated key keeps its first place and
/// its last value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Map {
    entries: Vec<(String, Node)>,
    index: BTreeMap<String, usize>,
}

impl Map {
    /// Number of distinct keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without any key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of exactly this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.index.get(key).and_then(|i| self.entries.get(*i)).map(|(_, node)| node)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.index.get(key).and_then(|i| self.entries.get_mut(*i)).map(|(_, node)| node)
    }

    /// Entries in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.entries.iter().map(|(key, node)| (key.as_str(), node))
    }

    /// Entries in the byte order of their keys.
    pub fn sorted(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.index.iter().filter_map(|(key, i)| Some((key.as_str(), &self.entries.get(*i)?.1)))
    }

    pub(crate) fn insert(&mut self, key: String, node: Node) {
        if let Some(slot) = self.get_mut(&key) {
            *slot = node;
            return;
        }
        self.index.insert(key.clone(), self.entries.len());
        self.entries.push((key, node));
    }

    pub(crate) fn into_entries(self) -> Vec<(String, Node)> {
        self.entries
    }
}
