//! A set of subject patterns that answers whether any of them matches.

use foldhash::fast::FixedState;
use gust_subject::{has_wildcards, matches, overlaps, subset};
use hashbrown::HashSet;

/// Names are looked up, wildcards are tried one after the other: permission
/// lists are short, and their authors are operators, not peers.
#[derive(Debug, Clone)]
pub(crate) struct Patterns {
    names: HashSet<Box<[u8]>, FixedState>,
    wild: Vec<Box<[u8]>>,
}

impl<'a> FromIterator<&'a [u8]> for Patterns {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(patterns: I) -> Self {
        let mut set =
            Patterns { names: HashSet::with_hasher(FixedState::default()), wild: Vec::new() };
        for pattern in patterns {
            if has_wildcards(pattern) {
                set.wild.push(pattern.into());
            } else {
                set.names.insert(pattern.into());
            }
        }
        set
    }
}

impl Patterns {
    /// Whether a pattern matches `subject`, wildcards of which count as names.
    pub(crate) fn matches(&self, subject: &[u8]) -> bool {
        self.names.contains(subject) || self.wild.iter().any(|p| matches(subject, p))
    }

    /// Whether one pattern covers everything that `subject` can match.
    pub(crate) fn covers(&self, subject: &[u8]) -> bool {
        self.names.contains(subject) || self.wild.iter().any(|p| subset(subject, p))
    }

    /// Whether a pattern has a subject in common with `subject`.
    pub(crate) fn overlaps(&self, subject: &[u8]) -> bool {
        self.wild.iter().chain(&self.names).any(|p| overlaps(subject, p))
    }
}
