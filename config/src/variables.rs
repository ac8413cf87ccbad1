//! `$NAME`: found in the enclosing maps as far as they are parsed, inner first, then in the
//! environment.

use std::sync::Arc;

use crate::parser::{ParseError, Parser};
use crate::value::{Map, Node, Position, Value};

/// The text after `$` of an unquoted `$2a$…` value: a bcrypt hash, not a variable. The other
/// bcrypt prefixes must be quoted, as nats-server demands.
const BCRYPT_PREFIX: &str = "2a$";

impl Parser<'_, '_> {
    /// The value `$name` stands for, placed at `at`.
    pub(crate) fn variable(&mut self, name: &str, at: Position) -> Result<Node, ParseError> {
        let line = at.line;
        if name.starts_with(BCRYPT_PREFIX) {
            return Ok(Node::new(Value::String(format!("${name}")), at));
        }
        if let Some(node) = find_in_scopes(&mut self.scopes, name) {
            node.used_as_variable = true;
            let value = node.value.clone();
            self.budget.charge_tree(&value)?;
            return Ok(Node::new(value, at));
        }
        match self.environment_value(name) {
            Ok(Some(value)) => Ok(Node::new(value, at)),
            Ok(None) => Err(ParseError(format!(
                "variable reference for '{name}' on line {line} can not be found"
            ))),
            Err(err) => Err(ParseError(format!(
                "variable reference for '{name}' on line {line} could not be parsed: {err}"
            ))),
        }
    }

    /// Text of the environment is parsed as a value of its own, so `5` is a number and `$OTHER`
    /// leads on.
    fn environment_value(&mut self, name: &str) -> Result<Option<Value>, ParseError> {
        if self.env_stack.iter().any(|seen| seen == name) {
            return Err(ParseError(format!("variable reference cycle for '{name}'")));
        }
        let Some(text) = (self.env)(name) else { return Ok(None) };
        self.budget.charge_text(text.len())?;
        self.env_stack.push(name.to_owned());
        let parsed = self.parse_nested(&format!("pk={text}"), Arc::from(""));
        self.env_stack.pop();
        Ok(parsed?.into_entries().into_iter().find(|(key, _)| key == "pk").map(|(_, n)| n.value))
    }
}

fn find_in_scopes<'m>(scopes: &'m mut [Map], name: &str) -> Option<&'m mut Node> {
    scopes.iter_mut().rev().find_map(|scope| scope.get_mut(name))
}
