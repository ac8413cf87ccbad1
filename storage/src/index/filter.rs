//! A [`Filter`](crate::store::Filter) prepared for matching.

use crate::store::Filter;
use bytes::Bytes;
use gust_subject::{has_wildcards, matches};

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
            [one] if !has_wildcards(one) => Matcher::Literal(one),
            many => Matcher::Any(many),
        }
    }

    /// Whether a message with this subject matches.
    pub fn matches(&self, subject: &[u8]) -> bool {
        match self {
            Matcher::All => true,
            Matcher::Literal(s) => s.as_ref() == subject,
            Matcher::Any(list) => list.iter().any(|f| matches(subject, f)),
        }
    }
}
