//! A subject filter as a machine that is fed bytes, so that the walk of a tree
//! can stop as soon as no subject below can match.

use crate::tokens::{ONE, REST, SEP, tokens};

/// A compiled view of a filter; same meaning as [`crate::matches`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter<'a> {
    pattern: &'a [u8],
}

/// How far a subject has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Next is the pattern byte at this place, itself not a wildcard token.
    Literal(usize),
    /// Inside the token of a `*` whose successor is at this place.
    One {
        /// Place after the `*`: a dot or the end.
        after: usize,
        /// Whether the token has a byte yet.
        some: bool,
    },
    /// Inside a closing `>`.
    Rest {
        /// Whether the current token has a byte yet.
        some: bool,
    },
}

impl<'a> Filter<'a> {
    /// `None` if the filter can match nothing (it has an empty token).
    pub(super) fn new(pattern: &'a [u8]) -> Option<Filter<'a>> {
        tokens(pattern).all(|t| !t.is_empty()).then_some(Filter { pattern })
    }

    pub(super) fn start(&self) -> State {
        self.token(0)
    }

    /// The state at the start of the pattern's token at `at`.
    fn token(&self, at: usize) -> State {
        let rest = self.pattern.get(at..).unwrap_or_default();
        if rest == REST {
            State::Rest { some: false }
        } else if rest == ONE || (rest.starts_with(ONE) && rest.get(1) == Some(&SEP)) {
            State::One { after: at + 1, some: false }
        } else {
            State::Literal(at)
        }
    }

    /// Reads one byte; `None` if nothing that starts so can match.
    #[inline]
    pub(super) fn step(&self, state: State, byte: u8) -> Option<State> {
        match state {
            State::Literal(at) => {
                if self.pattern.get(at) != Some(&byte) {
                    return None;
                }
                Some(if byte == SEP { self.token(at + 1) } else { State::Literal(at + 1) })
            }
            State::One { after, .. } if byte != SEP => Some(State::One { after, some: true }),
            State::One { after, some } => {
                (some && self.pattern.get(after) == Some(&SEP)).then(|| self.token(after + 1))
            }
            State::Rest { .. } if byte != SEP => Some(State::Rest { some: true }),
            State::Rest { some } => some.then_some(State::Rest { some: false }),
        }
    }

    /// Reads several bytes.
    #[inline]
    pub(super) fn advance(&self, mut state: State, bytes: &[u8]) -> Option<State> {
        for &b in bytes {
            state = self.step(state, b)?;
        }
        Some(state)
    }

    /// Whether the subject may end here.
    pub(super) fn accepts(&self, state: State) -> bool {
        match state {
            State::Literal(at) => at == self.pattern.len(),
            State::One { after, some } => some && after == self.pattern.len(),
            State::Rest { some } => some,
        }
    }

    /// The only byte that can follow, if there is just one.
    pub(super) fn only(&self, state: State) -> Option<u8> {
        match state {
            State::Literal(at) => self.pattern.get(at).copied(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_machine_agrees_with_matches(
            subject in "[ab.*>]{0,9}",
            pattern in "[ab.*>]{0,7}",
        ) {
            let want = crate::matches(subject.as_bytes(), pattern.as_bytes());
            let got = Filter::new(pattern.as_bytes()).is_some_and(|f| {
                f.advance(f.start(), subject.as_bytes()).is_some_and(|s| f.accepts(s))
            });
            prop_assert_eq!(got, want, "{} on {}", subject, pattern);
        }
    }
}
