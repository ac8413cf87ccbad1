//! Collects what is wrong with a configuration, and reads typed values while doing so.

use std::fmt;

use crate::duration;
use crate::value::{Map, Node, Position, Value};

/// Most problems listed at once; more are counted only.
pub const MAX_PROBLEMS: usize = 1000;

/// One error or warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, if it concerns a place in a file.
    pub at: Option<Position>,
    /// What, in nats-server's words.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{at}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// Errors and warnings found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) errors: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

impl Report {
    pub(crate) fn error(&mut self, node: &Node, reason: impl Into<String>) {
        self.error_at(&node.at, reason);
    }

    pub(crate) fn error_at(&mut self, at: &Position, reason: impl Into<String>) {
        push(&mut self.errors, Some(at.clone()), reason.into());
    }

    pub(crate) fn error_anywhere(&mut self, reason: impl Into<String>) {
        push(&mut self.errors, None, reason.into());
    }

    pub(crate) fn warn(&mut self, node: &Node, reason: impl Into<String>) {
        push(&mut self.warnings, Some(node.at.clone()), reason.into());
    }

    pub(crate) fn warn_anywhere(&mut self, reason: impl Into<String>) {
        push(&mut self.warnings, None, reason.into());
    }

    /// A field used in a way that is tolerated.
    pub(crate) fn warn_use(&mut self, key: &str, node: &Node, reason: impl AsRef<str>) {
        self.warn(node, format!("invalid use of field {key:?}: {}", reason.as_ref()));
    }

    /// An unknown field is an error unless something refers to it as a variable.
    pub(crate) fn unknown(&mut self, key: &str, node: &Node) {
        if !node.used_as_variable {
            self.error(node, format!("unknown field {key:?}"));
        }
    }

    /// The same with the reason given.
    pub(crate) fn unknown_as(&mut self, node: &Node, reason: impl Into<String>) {
        if !node.used_as_variable {
            self.error(node, reason);
        }
    }

    fn wrong_type(&mut self, node: &Node, wanted: &str) {
        let got = node.value.go_type();
        self.error(node, format!("interface conversion: interface {{}} is {got}, not {wanted}"));
    }

    pub(crate) fn string(&mut self, node: &Node) -> Option<String> {
        if let Value::String(text) = &node.value {
            return Some(text.clone());
        }
        self.wrong_type(node, "string");
        None
    }

    pub(crate) fn int(&mut self, node: &Node) -> Option<i64> {
        if let Value::Int(number) = node.value {
            return Some(number);
        }
        self.wrong_type(node, "int64");
        None
    }

    pub(crate) fn boolean(&mut self, node: &Node) -> Option<bool> {
        if let Value::Bool(flag) = node.value {
            return Some(flag);
        }
        self.wrong_type(node, "bool");
        None
    }

    pub(crate) fn array<'n>(&mut self, node: &'n Node) -> Option<&'n [Node]> {
        if let Value::Array(items) = &node.value {
            return Some(items);
        }
        self.wrong_type(node, "[]interface {}");
        None
    }

    pub(crate) fn map<'n>(&mut self, node: &'n Node) -> Option<&'n Map> {
        if let Value::Map(map) = &node.value {
            return Some(map);
        }
        self.wrong_type(node, "map[string]interface {}");
        None
    }

    /// A map, or the given error with the Go type behind it.
    pub(crate) fn map_or<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n Map> {
        if let Value::Map(map) = &node.value {
            return Some(map);
        }
        self.error(node, format!("{wanted}, got {}", node.value.go_type()));
        None
    }

    /// An array of strings, every element checked.
    pub(crate) fn strings(&mut self, node: &Node) -> Option<Vec<String>> {
        let items = self.array(node)?;
        let texts: Vec<String> = items.iter().filter_map(|item| self.string(item)).collect();
        (texts.len() == items.len()).then_some(texts)
    }

    /// One string or an array of them; `what` names the field in errors.
    pub(crate) fn one_or_more(&mut self, what: &str, node: &Node) -> Option<Vec<String>> {
        match &node.value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(items) => {
                let mut texts = Vec::with_capacity(items.len());
                for item in items {
                    match &item.value {
                        Value::String(text) => texts.push(text.clone()),
                        other => {
                            let got = other.go_type();
                            let reason =
                                format!("error parsing {what}: unsupported type in array {got}");
                            self.error(item, reason);
                        }
                    }
                }
                Some(texts)
            }
            other => {
                let got = other.go_type();
                self.error(node, format!("error parsing {what}: unsupported type {got}"));
                None
            }
        }
    }

    /// A map of strings.
    pub(crate) fn string_map(&mut self, map: &Map) -> Vec<(String, String)> {
        map.iter().filter_map(|(key, node)| Some((key.to_owned(), self.string(node)?))).collect()
    }

    /// A duration text; a bare number counts as seconds and earns a warning.
    pub(crate) fn duration(&mut self, field: &str, node: &Node) -> Option<i64> {
        match &node.value {
            Value::String(text) => match duration::parse(text) {
                Ok(ns) => Some(ns),
                Err(err) => {
                    self.error(node, format!("error parsing {field}: {err}"));
                    None
                }
            },
            Value::Int(seconds) => {
                let reason = format!("{field} should be converted to a duration");
                self.warn_use(field, node, reason);
                Some(seconds.saturating_mul(duration::SECOND_NS))
            }
            _ => {
                self.wrong_type(node, "int64");
                None
            }
        }
    }

    /// A duration that must be a text, with `context` before the reason.
    pub(crate) fn duration_text(&mut self, context: &str, node: &Node) -> Option<i64> {
        let text = self.string(node)?;
        match duration::parse(&text) {
            Ok(ns) => Some(ns),
            Err(err) => {
                self.error(node, format!("{context}{err}"));
                None
            }
        }
    }

    /// Seconds as a number, or a duration text: the `timeout` of `tls` and `authorization`.
    pub(crate) fn timeout(&mut self, context: &str, node: &Node) -> Option<i64> {
        match &node.value {
            Value::Int(seconds) => Some(seconds.saturating_mul(duration::SECOND_NS)),
            // The cast saturates, which is what an absurd number of seconds should do.
            Value::Float(seconds) => Some((seconds * duration::SECOND_NS as f64) as i64),
            Value::String(text) => match duration::parse(text) {
                Ok(ns) => Some(ns),
                Err(err) => {
                    self.error(node, format!("{context}, 'timeout' {err}"));
                    None
                }
            },
            _ => {
                self.error(node, format!("{context}, 'timeout' wrong type"));
                None
            }
        }
    }
}

fn push(list: &mut Vec<Problem>, at: Option<Position>, reason: String) {
    if list.len() < MAX_PROBLEMS {
        list.push(Problem { at, reason });
    } else if list.len() == MAX_PROBLEMS {
        list.push(Problem { at: None, reason: "further problems are not listed".to_owned() });
    }
}
