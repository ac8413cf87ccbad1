//! What can be wrong with a transform. The texts are part of API answers
//! (10145, 10146, 10151, 10154–10156) and of config errors.

/// A transform that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransformError {
    /// What is wrong.
    pub fault: TransformFault,
    /// The token of the destination it is wrong with, may be empty.
    pub token: String,
}

/// See [`TransformError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransformFault {
    /// Source or destination is no subject, or only one of them ends in `>`.
    #[error("invalid subject")]
    Subject,
    /// A token of the destination is empty, has blanks or follows `>`.
    #[error("invalid mapping destination: invalid transform")]
    Token,
    /// An import leaves wildcards unused.
    #[error("invalid mapping destination: not using all of the token wildcard(s)")]
    UnusedWildcards,
    /// `{{name(…)}}` with an unknown name.
    #[error("invalid mapping destination: unknown function")]
    UnknownFunction,
    /// The source has fewer wildcards.
    #[error("invalid mapping destination: wildcard index out of range")]
    IndexOutOfRange,
    /// Too few arguments.
    #[error("invalid mapping destination: not enough arguments passed to the function")]
    TooFewArguments,
    /// An argument is not a number, or not one that makes sense.
    #[error("invalid mapping destination: function argument is invalid or in the wrong format")]
    BadArgument,
    /// Too many arguments.
    #[error("invalid mapping destination: too many arguments passed to the function")]
    TooManyArguments,
    /// An import with a function that cannot be reversed.
    #[error(
        "invalid mapping destination: the only mapping function allowed for import transforms \
         is {{{{Wildcard()}}}}"
    )]
    NotForImport,
}

impl TransformFault {
    /// This fault, found at `token`.
    pub(super) fn at(self, token: &[u8]) -> TransformError {
        TransformError { fault: self, token: String::from_utf8_lossy(token).into_owned() }
    }
}

impl TransformError {
    pub(super) fn subject() -> TransformError {
        TransformFault::Subject.at(&[])
    }
}

impl std::fmt::Display for TransformError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.token.is_empty() {
            write!(f, "{}", self.fault)
        } else {
            write!(f, "{} in {}", self.fault, self.token)
        }
    }
}

impl std::error::Error for TransformError {}
