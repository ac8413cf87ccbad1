//! Collecting differences.

use super::show::Show;
use super::{Change, Class};
use crate::duration;

/// Opens two values of a struct as pairs of references, one for each field. All fields must be
/// listed: one added to the struct does not compile until it is compared or expressly left out.
macro_rules! both {
    ($kind:ident { $($field:ident),* $(,)? } = $old:expr, $new:expr) => {
        let $kind { $($field),* } = $old;
        $(let $field = (|old| (old, &$new.$field))($field);)*
    };
}
pub(super) use both;

/// A value in force and the one wanted.
pub(super) type Pair<'a, T> = (&'a T, &'a T);

/// How a change of an option is to be treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule<'a> {
    /// Applied while running.
    Live,
    /// Fixed at start; nats-server's name of the option.
    Fixed(&'a str),
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Diff {
    pub(super) changes: Vec<Change>,
}

impl Diff {
    /// A difference, whatever the texts.
    pub(super) fn put(&mut self, rule: Rule<'_>, name: &str, old: String, new: String) {
        let (class, option) = match rule {
            Rule::Live => (Class::Live, String::new()),
            Rule::Fixed(option) => (Class::Restart, option.to_owned()),
        };
        self.changes.push(Change { name: name.to_owned(), option, class, old, new });
    }

    /// A value that can be shown.
    pub(super) fn value<T: PartialEq + Show + ?Sized>(
        &mut self,
        rule: Rule<'_>,
        name: &str,
        (old, new): Pair<'_, T>,
    ) {
        if old != new {
            self.put(rule, name, old.show(), new.show());
        }
    }

    /// Nanoseconds, shown as a duration.
    pub(super) fn duration(&mut self, rule: Rule<'_>, name: &str, (old, new): Pair<'_, i64>) {
        if old != new {
            self.put(rule, name, duration::format(*old), duration::format(*new));
        }
    }

    /// A secret: that it differs is all that is told.
    pub(super) fn secret(&mut self, rule: Rule<'_>, name: &str, (old, new): Pair<'_, String>) {
        if old != new {
            let (old, new) = hidden(old, new);
            self.put(rule, name, old, new);
        }
    }

    /// Something without a short text, or with secrets in it.
    pub(super) fn opaque<T: PartialEq>(
        &mut self,
        rule: Rule<'_>,
        name: &str,
        (old, new): Pair<'_, T>,
        is_set: impl Fn(&T) -> bool,
    ) {
        if old != new {
            let old = if is_set(old) { "set" } else { "" };
            let new = match (is_set(new), old) {
                (false, _) => "",
                (true, "") => "set",
                (true, _) => "changed",
            };
            self.put(rule, name, old.to_owned(), new.to_owned());
        }
    }
}

/// Texts for two secrets that differ.
fn hidden(old: &str, new: &str) -> (String, String) {
    let old = if old.is_empty() { "" } else { "[REDACTED]" };
    let new = match (new.is_empty(), old.is_empty()) {
        (true, _) => "",
        (false, true) => "[REDACTED]",
        (false, false) => "changed",
    };
    (old.to_owned(), new.to_owned())
}
