//! The subject questions that configurations ask.

use gust_subject::{has_wildcards, overlaps, subset, valid_publish, valid_subscribe};

pub(super) fn is_valid(subject: &str) -> bool {
    valid_subscribe(subject.as_bytes())
}

pub(super) fn is_literal(subject: &str) -> bool {
    !has_wildcards(subject.as_bytes())
}

pub(super) fn is_valid_literal(subject: &str) -> bool {
    valid_publish(subject.as_bytes())
}

/// Whether some subject matches both.
pub(super) fn overlap(a: &str, b: &str) -> bool {
    overlaps(a.as_bytes(), b.as_bytes())
}

/// Whether everything that matches `inner` matches `outer`.
pub(super) fn within(inner: &str, outer: &str) -> bool {
    subset(inner.as_bytes(), outer.as_bytes())
}

/// Checks a mapping; the error is nats-server's text.
pub(super) fn check_mapping(src: &str, dest: &str) -> Result<(), String> {
    if dest.is_empty() {
        return Ok(());
    }
    // `>` may only come last, and no token may be empty or hold a blank.
    let blank = |b: u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x0c);
    let mut closed = false;
    for token in dest.split('.') {
        if token.is_empty() || closed || token.bytes().any(blank) {
            return Err("invalid mapping destination: invalid transform".into());
        }
        closed = token == ">";
    }
    let src = if src.is_empty() { ">" } else { src };
    let star = |t: &&str| *t == "*";
    let stars = src.split('.').filter(star).count();
    let same_end = src.ends_with('>') == dest.ends_with('>');
    if !is_valid(src) || !is_valid(dest) || !same_end || dest.split('.').any(|t| t == "*") {
        return Err("invalid subject".into());
    }
    for token in dest.split('.') {
        if let Some(index) = token.strip_prefix('$').and_then(|n| n.parse::<usize>().ok())
            && index > stars
        {
            return Err(format!(
                "invalid mapping destination: wildcard index out of range in {token}: [{index}]"
            ));
        }
    }
    Ok(())
}
