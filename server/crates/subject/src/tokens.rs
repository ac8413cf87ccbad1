//! Splitting a subject into its tokens.

/// The token separator.
pub const SEP: u8 = b'.';
/// Wildcard for exactly one token.
pub const ONE: &[u8] = b"*";
/// Wildcard for one or more tokens at the end.
pub const REST: &[u8] = b">";

/// Iterates over the tokens of `subject`. The empty subject is one empty token,
/// `a.` is `a` and an empty token: every dot separates two tokens.
pub fn tokens(subject: &[u8]) -> Tokens<'_> {
    Tokens { rest: Some(subject) }
}

/// How many tokens `subject` has; at least one.
pub fn token_count(subject: &[u8]) -> usize {
    1 + subject.iter().filter(|&&b| b == SEP).count()
}

/// See [`tokens`].
#[derive(Debug, Clone)]
pub struct Tokens<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Tokens<'a> {
    /// What was not yet handed out, or `None` at the end.
    pub fn rest(&self) -> Option<&'a [u8]> {
        self.rest
    }

    /// Whether the next token is the last one.
    pub fn at_last(&self) -> bool {
        self.rest.is_some_and(|r| !r.contains(&SEP))
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        // Tokens are short; a byte loop beats the set-up of a vector search.
        match rest.iter().position(|&b| b == SEP) {
            Some(at) => {
                self.rest = rest.get(at + 1..);
                rest.get(..at)
            }
            None => {
                self.rest = None;
                Some(rest)
            }
        }
    }
}

impl std::iter::FusedIterator for Tokens<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dot_separates_two_tokens() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[""]),
            ("a", &["a"]),
            ("a.b.c", &["a", "b", "c"]),
            ("a.", &["a", ""]),
            (".a", &["", "a"]),
            ("a..b", &["a", "", "b"]),
            (".", &["", ""]),
            ("foo.*.>", &["foo", "*", ">"]),
        ];
        for (subject, want) in cases {
            let got: Vec<&[u8]> = tokens(subject.as_bytes()).collect();
            let want: Vec<&[u8]> = want.iter().map(|t| t.as_bytes()).collect();
            assert_eq!(got, want, "{subject:?}");
            assert_eq!(token_count(subject.as_bytes()), want.len(), "{subject:?}");
        }
    }
}
