//! Which subjects a consumer wants. Asked for every message stored in the
//! stream, so the two common cases (everything, a few literals) come first.

use bytes::Bytes;
use gust_storage::store::Filter;
use gust_subject::{has_wildcards, matches};
use smallvec::SmallVec;

/// A consumer's subject filters.
#[derive(Debug, Clone, Default)]
pub struct Subjects {
    filter: Filter,
    literal: SmallVec<[Bytes; 1]>,
    wild: SmallVec<[Bytes; 1]>,
}

impl Subjects {
    /// From validated filter subjects; none = everything, as is `>`.
    pub fn new<'a>(filters: impl Iterator<Item = &'a str>) -> Self {
        let mut it = Subjects::default();
        for f in filters {
            if f == ">" {
                return Subjects::default();
            }
            let f = Bytes::copy_from_slice(f.as_bytes());
            if has_wildcards(&f) {
                it.wild.push(f.clone())
            } else {
                it.literal.push(f.clone())
            }
            it.filter.subjects.push(f);
        }
        it
    }

    /// As the store wants it.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether everything matches.
    pub fn everything(&self) -> bool {
        self.filter.subjects.is_empty()
    }

    /// Whether a message with this subject is wanted.
    pub fn matches(&self, subject: &[u8]) -> bool {
        self.everything()
            || self.literal.iter().any(|f| f == subject)
            || self.wild.iter().any(|f| matches(subject, f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_subjects_do() {
        for (filters, yes, no) in [
            (&[][..], &["a", "a.b"][..], &[][..]),
            (&[">"], &["a", "a.b"], &[]),
            (&["a"], &["a"], &["a.b", "b", ""]),
            (&["a.*"], &["a.b"], &["a", "a.b.c", "b.a"]),
            (&["a.>"], &["a.b", "a.b.c"], &["a", "b.a"]),
            (&["a.*.c", "x"], &["a.b.c", "x"], &["a.b", "x.y"]),
        ] {
            let s = Subjects::new(filters.iter().copied());
            assert!(yes.iter().all(|y| s.matches(y.as_bytes())), "{filters:?}");
            assert!(!no.iter().any(|n| s.matches(n.as_bytes())), "{filters:?}");
        }
    }
}
