//! Templates in the subjects of a scoped signing key: `{{name()}}` and the like
//! (contract/core.md §4.4).

use crate::jwt::{Permission, UserPermissionLimits};
use gust_subject::valid_subscribe;

/// Most subjects that one list may become.
pub const MAX_EXPANSIONS: usize = 4096;

/// What templates stand for.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// Name in the user's token.
    pub name: &'a str,
    /// Public user key.
    pub subject: &'a str,
    /// Name in the account's token.
    pub account_name: &'a str,
    /// Public account key.
    pub account_subject: &'a str,
    /// Tags of the user.
    pub tags: &'a [String],
    /// Tags of the account.
    pub account_tags: &'a [String],
}

/// Why a template makes no permissions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There is no such function.
    #[error("{subject:?} holds {{{{{function}}}}}, which is no template; correct the role")]
    Function {
        /// Entry.
        subject: String,
        /// What stands in braces.
        function: String,
    },
    /// A deny entry with a tag that the user does not have: to leave it out would
    /// allow what should be denied.
    #[error("{subject:?} denies by tag {tag:?}, which is not set; add the tag")]
    Undefined {
        /// Entry.
        subject: String,
        /// Tag.
        tag: String,
    },
    /// A deny entry that becomes no subject.
    #[error("{0:?} becomes no valid subject; names and tags must be tokens without blanks")]
    Invalid(String),
    /// Too many.
    #[error("{0:?} becomes more than {MAX_EXPANSIONS} subjects; use fewer tags")]
    TooMany(String),
}

/// What a user of a scoped key may do.
pub fn apply(
    template: &UserPermissionLimits,
    values: &Values<'_>,
) -> Result<UserPermissionLimits, TemplateError> {
    let mut limits = template.clone();
    let permissions = &mut limits.permissions;
    for side in [&mut permissions.subscribe, &mut permissions.publish] {
        apply_side(side, values)?;
    }
    Ok(limits)
}

/// An allow list that becomes empty would allow everything: it denies instead.
fn apply_side(side: &mut Permission, values: &Values<'_>) -> Result<(), TemplateError> {
    let restricted = !side.allow.is_empty();
    side.allow = expand(&side.allow, values, false)?;
    side.deny = expand(&side.deny, values, true)?;
    if restricted && side.allow.is_empty() && !side.deny.iter().any(|s| s == ">") {
        side.deny.push(">".to_owned());
    }
    Ok(())
}

/// `strict`: what cannot be expanded is an error instead of left out.
fn expand(
    list: &[String],
    values: &Values<'_>,
    strict: bool,
) -> Result<Vec<String>, TemplateError> {
    let mut out = Vec::with_capacity(list.len());
    for entry in list {
        let pieces = pieces(entry);
        if pieces.iter().all(|piece| matches!(piece, Piece::Text(_))) {
            out.push(entry.clone());
        } else {
            expand_entry(entry, &pieces, values, strict, &mut out)?;
        }
        if out.len() > MAX_EXPANSIONS {
            return Err(TemplateError::TooMany(entry.clone()));
        }
    }
    Ok(out)
}

fn expand_entry(
    entry: &str,
    pieces: &[Piece<'_>],
    values: &Values<'_>,
    strict: bool,
    out: &mut Vec<String>,
) -> Result<(), TemplateError> {
    let mut choices = Vec::with_capacity(pieces.len());
    let mut count = 1usize;
    for piece in pieces {
        let choice = match piece {
            Piece::Text(text) => vec![*text],
            Piece::Template(function) => {
                let found = values.of(function).ok_or_else(|| TemplateError::Function {
                    subject: entry.to_owned(),
                    function: (*function).to_owned(),
                })?;
                // A blank would move the border between subject and queue.
                if strict && found.iter().any(|value| value.contains(char::is_whitespace)) {
                    return Err(TemplateError::Invalid(entry.to_owned()));
                }
                let found: Vec<_> =
                    found.into_iter().filter(|v| !v.contains(char::is_whitespace)).collect();
                if found.is_empty() && strict {
                    let (subject, tag) = (entry.to_owned(), (*function).to_owned());
                    return Err(TemplateError::Undefined { subject, tag });
                }
                found
            }
        };
        count = count.saturating_mul(choice.len());
        choices.push(choice);
    }
    if count.saturating_add(out.len()) > MAX_EXPANSIONS {
        return Err(TemplateError::TooMany(entry.to_owned()));
    }
    for number in 0..count {
        match combination(&choices, number) {
            Some(subject) => out.push(subject),
            None if strict => return Err(TemplateError::Invalid(entry.to_owned())),
            None => {}
        }
    }
    Ok(())
}

/// One of the products, or `None` if it is no subject (with or without a queue).
fn combination(choices: &[Vec<&str>], mut number: usize) -> Option<String> {
    let mut picked = Vec::with_capacity(choices.len());
    for choice in choices.iter().rev() {
        let value = *choice.get(number % choice.len())?;
        picked.push(value);
        number /= choice.len();
    }
    picked.reverse();
    let subject = picked.concat();
    let parts: Vec<&str> = subject.split(' ').collect();
    let valid = parts.len() <= 2 && parts.iter().all(|p| valid_subscribe(p.as_bytes()));
    valid.then_some(subject)
}

#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    /// What stands between `{{` and `}}`, trimmed.
    Template(&'a str),
}

/// Cuts an entry at its templates. Braces that hold a brace are text.
fn pieces(entry: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = entry;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((inner, behind)) = after.split_once("}}") else { break };
        if inner.is_empty() || inner.contains('}') {
            break;
        }
        pieces.push(Piece::Text(before));
        pieces.push(Piece::Template(inner.trim()));
        rest = behind;
    }
    pieces.push(Piece::Text(rest));
    pieces
}

impl<'a> Values<'a> {
    /// What a function stands for; `None`: there is no such function. A tag may
    /// have several values, or none.
    fn of(&self, function: &str) -> Option<Vec<&'a str>> {
        let is = |name: &str| function.eq_ignore_ascii_case(name);
        if is("name()") {
            return Some(vec![self.name]);
        }
        if is("subject()") {
            return Some(vec![self.subject]);
        }
        if is("account-name()") {
            return Some(vec![self.account_name]);
        }
        if is("account-subject()") {
            return Some(vec![self.account_subject]);
        }
        let (name, argument) = function.strip_suffix(')')?.split_once('(')?;
        let tags = match name.to_ascii_lowercase().as_str() {
            "tag" => self.tags,
            "account-tag" => self.account_tags,
            _ => return None,
        };
        let prefix = format!("{}:", argument.to_ascii_lowercase());
        Some(tags.iter().filter_map(|tag| tag.strip_prefix(&prefix)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|t| (*t).to_owned()).collect()
    }

    fn values<'a>(name: &'a str, tags: &'a [String], account_tags: &'a [String]) -> Values<'a> {
        Values {
            name,
            subject: "UX",
            account_name: "ACME",
            account_subject: "AX",
            tags,
            account_tags,
        }
    }

    #[test]
    fn templates_become_subjects() {
        let tags = list(&["pet:cat", "pet:dog", "team:a b", "plain"]);
        let account_tags = list(&["zone:eu"]);
        let v = values("joe", &tags, &account_tags);
        for (entry, want) in [
            ("plain.>", &["plain.>"][..]),
            ("u.{{name()}}.>", &["u.joe.>"]),
            ("u.{{ NAME() }}.{{subject()}}", &["u.joe.UX"]),
            ("{{account-name()}}.{{account-subject()}}", &["ACME.AX"]),
            ("{{tag(pet)}}.{{tag(PET)}}", &["cat.cat", "cat.dog", "dog.cat", "dog.dog"]),
            ("{{Account-Tag(zone)}}.x queue.*", &["eu.x queue.*"]),
            ("a queue.{{tag(pet)}}", &["a queue.cat", "a queue.dog"]),
            ("x.{{tag(none)}}", &[]),
            ("x.{{tag(team)}}", &[]),
            ("x.{{name}}}", &[]),
            ("{{", &["{{"]),
            ("a.{{}}.b", &["a.{{}}.b"]),
        ] {
            let got = expand(&[entry.to_owned()], &v, false);
            if entry == "x.{{name}}}" {
                assert!(got.is_err(), "{entry}");
                continue;
            }
            assert_eq!(got.unwrap(), want, "{entry}");
        }
    }

    #[test]
    fn denies_must_expand() {
        let tags = list(&["team:a b"]);
        let v = values("joe", &tags, &[]);
        let of = |entry: &str| expand(&[entry.to_owned()], &v, true).unwrap_err().to_string();
        assert!(of("x.{{tag(none)}}").contains("which is not set"));
        assert!(of("x.{{tag(team)}}").contains("without blanks"));
        assert!(of("x.{{what()}}").contains("is no template"));
        let dotted = values("a..b", &[], &[]);
        let err = expand(&list(&["x.{{name()}}"]), &dotted, true).unwrap_err();
        assert_eq!(err, TemplateError::Invalid("x.{{name()}}".to_owned()));
        assert!(expand(&list(&["x.{{name()}}"]), &dotted, false).unwrap().is_empty());
    }

    #[test]
    fn expansions_are_capped() {
        let tags: Vec<String> = (0..64).map(|n| format!("t:{n}")).collect();
        let v = values("joe", &tags, &[]);
        let two = expand(&list(&["{{tag(t)}}.{{tag(t)}}"]), &v, false).unwrap();
        assert_eq!(two.len(), 4096);
        let err = expand(&list(&["{{tag(t)}}.{{tag(t)}}", "{{tag(t)}}"]), &v, false).unwrap_err();
        assert!(matches!(err, TemplateError::TooMany(_)));
        let many = "{{tag(t)}}.".repeat(30) + "x";
        assert!(matches!(expand(&[many], &v, false), Err(TemplateError::TooMany(_))));
    }

    #[test]
    fn an_emptied_allow_denies_everything() {
        let mut template = UserPermissionLimits::default();
        template.permissions.publish.allow = list(&["a.{{tag(none)}}"]);
        template.permissions.subscribe.allow = list(&["a.{{name()}}"]);
        let got = apply(&template, &values("joe", &[], &[])).unwrap().permissions;
        assert_eq!((got.publish.allow, got.publish.deny), (vec![], list(&[">"])));
        assert_eq!((got.subscribe.allow, got.subscribe.deny), (list(&["a.joe"]), vec![]));
    }
}
