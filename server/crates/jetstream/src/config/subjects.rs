//! The subject questions that configurations ask.

use gust_subject::{Transform, has_wildcards, overlaps, subset, valid_publish, valid_subscribe};

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
    Transform::new(src.as_bytes(), dest.as_bytes()).map(|_| ()).map_err(|e| e.to_string())
}
