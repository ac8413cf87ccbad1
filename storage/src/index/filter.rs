//! A [`Filter`](crate::store::Filter) prepared for matching.

use crate::store::Filter;
use bytes::Bytes;

/// What a filter asks for, told apart once per call.
#[derive(Debug)]
pub(crate) enum Matcher<'a> {
    /// Every message.
    All,
    /// One subject.
    Literal(&'a Bytes),
    /// Several filters or one with wildcards.
    Any(&'a [Bytes]),
}

impl<'a> Matcher<'a> {
    /// Prepares `filter`.
    pub fn new(filter: &'a Filter) -> Matcher<'a> {
        let subjects = &filter.subjects;
        if subjects.is_empty() || subjects.iter().any(|s| s.as_ref() == b">") {
            return Matcher::All;
        }
        match subjects.as_slice() {
            [one] if is_literal(one) => Matcher::Literal(one),
            many => Matcher::Any(many),
        }
    }

    /// Whether a message with this subject matches.
    pub fn matches(&self, subject: &[u8]) -> bool {
        match self {
            Matcher::All => true,
            Matcher::Literal(s) => s.as_ref() == subject,
            Matcher::Any(list) => list.iter().any(|f| matches(f, subject)),
        }
    }
}

/// Whether a subject has no wildcard token.
pub(crate) fn is_literal(subject: &[u8]) -> bool {
    !subject.split(|b| *b == b'.').any(|t| t == b"*" || t == b">")
}

/// Whether `filter` matches the literal `subject`.
pub(crate) fn matches(filter: &[u8], subject: &[u8]) -> bool {
    let mut have = subject.split(|b| *b == b'.');
    let mut want = filter.split(|b| *b == b'.').peekable();
    while let Some(token) = want.next() {
        if token == b">" && want.peek().is_none() {
            return have.next().is_some();
        }
        match have.next() {
            Some(h) if token == b"*" || h == token => {}
            _ => return false,
        }
    }
    have.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_whole_tokens() {
        for (filter, subject, expected) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("*.b", "a.b", true),
            ("a.*c", "a.bc", false),
            ("a", "a.b", false),
        ] {
            assert_eq!(matches(filter.as_bytes(), subject.as_bytes()), expected, "{filter}");
        }
    }
}
