//! The subject rules a configuration is checked with. (The routing crate has the full ones; this
//! crate depends on nothing, so the two short checks stand here too.)

/// Tokens separated by dots, none empty, no blanks, `>` only as the last one.
#[must_use]
pub fn is_valid(subject: &str) -> bool {
    if subject.contains([' ', '\t', '\n', '\r', '\u{c}', '\0']) {
        return false;
    }
    let mut tokens = subject.split('.').peekable();
    while let Some(token) = tokens.next() {
        if token.is_empty() || (token == ">" && tokens.peek().is_some()) {
            return false;
        }
    }
    true
}

/// A valid subject without wildcards.
#[must_use]
pub fn is_literal(subject: &str) -> bool {
    is_valid(subject) && subject.split('.').all(|token| token != "*" && token != ">")
}
