//! Validity of subjects and the relations between them: literal against
//! pattern, pattern inside pattern, patterns with a common subject.

use crate::tokens::{ONE, REST, SEP, tokens};

/// Whether `subject` may be published to: non-empty tokens, no blanks, no
/// wildcard token. Only pedantic clients are held to it (contract/core.md §1.6).
pub fn valid_publish(subject: &[u8]) -> bool {
    valid_subscribe(subject) && !has_wildcards(subject)
}

/// Whether `subject` may be subscribed to: non-empty tokens, no blanks, `>` only
/// as the last token. `foo*` and `a>` are plain names.
pub fn valid_subscribe(subject: &[u8]) -> bool {
    let mut it = tokens(subject);
    while let Some(token) = it.next() {
        let blank = token.iter().any(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x0c));
        if token.is_empty() || blank || (token == REST && it.rest().is_some()) {
            return false;
        }
    }
    true
}

/// Whether any token of `subject` is a wildcard (`*` anywhere, `>` at the end).
pub fn has_wildcards(subject: &[u8]) -> bool {
    let mut before = SEP;
    for (i, &b) in subject.iter().enumerate() {
        if before == SEP && (b == b'*' || b == b'>') {
            match subject.get(i + 1) {
                None => return true,
                Some(&SEP) if b == b'*' => return true,
                _ => {}
            }
        }
        before = b;
    }
    false
}

/// How many tokens of `subject` are `*` or a closing `>`.
pub fn wildcard_count(subject: &[u8]) -> usize {
    let mut it = tokens(subject);
    let mut n = 0;
    while let Some(t) = it.next() {
        n += usize::from(t == ONE || (t == REST && it.rest().is_none()));
    }
    n
}

/// Whether the published `literal` is matched by `pattern`.
///
/// A literal with an empty token matches nothing. Its wildcard characters are
/// names: `foo.*` matches the patterns `foo.*` and `foo.>`, not `foo.bar`.
pub fn matches(literal: &[u8], pattern: &[u8]) -> bool {
    let mut lit = tokens(literal);
    let mut pat = tokens(pattern);
    while let Some(p) = pat.next() {
        if p == REST && pat.rest().is_none() {
            return lit.rest().is_some() && lit.all(|t| !t.is_empty());
        }
        match lit.next() {
            Some(t) if !t.is_empty() && (p == ONE || p == t) => {}
            _ => return false,
        }
    }
    lit.rest().is_none()
}

/// Whether every subject matched by `a` is matched by `b`. Both are valid.
pub fn subset(a: &[u8], b: &[u8]) -> bool {
    let mut inner = tokens(a);
    let mut outer = tokens(b);
    while let Some(o) = outer.next() {
        let Some(i) = inner.next() else { return false };
        if o == REST && outer.rest().is_none() {
            return true;
        }
        let i_rest = i == REST && inner.rest().is_none();
        if i_rest || (o != ONE && o != i) {
            return false;
        }
    }
    inner.rest().is_none()
}

/// Whether some subject is matched by both `a` and `b`. Both are valid.
pub fn overlaps(a: &[u8], b: &[u8]) -> bool {
    let mut left = tokens(a);
    let mut right = tokens(b);
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(l), Some(r)) => {
                let l_rest = l == REST && left.rest().is_none();
                let r_rest = r == REST && right.rest().is_none();
                if l_rest || r_rest {
                    return true;
                }
                if l != ONE && r != ONE && l != r {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// The subject that matches just what both `a` and `b` match, if there is such.
/// Both are valid.
pub fn intersection(a: &[u8], b: &[u8]) -> Option<Vec<u8>> {
    let mut left = tokens(a);
    let mut right = tokens(b);
    let mut out = Vec::with_capacity(a.len().max(b.len()));
    let add = |out: &mut Vec<u8>, text: &[u8]| {
        if !out.is_empty() {
            out.push(SEP);
        }
        out.extend_from_slice(text);
    };
    loop {
        let (left_rest, right_rest) = (left.rest(), right.rest());
        match (left.next(), right.next()) {
            (None, None) => return Some(out),
            (Some(l), Some(r)) => {
                if l == REST && left.rest().is_none() {
                    add(&mut out, right_rest.unwrap_or_default());
                    return Some(out);
                }
                if r == REST && right.rest().is_none() {
                    add(&mut out, left_rest.unwrap_or_default());
                    return Some(out);
                }
                match (l, r) {
                    (ONE, token) | (token, ONE) => add(&mut out, token),
                    (l, r) if l == r => add(&mut out, l),
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn validity() {
        // subject, publish, subscribe
        let cases = [
            ("", false, false),
            ("foo", true, true),
            ("foo.bar", true, true),
            ("foo..bar", false, false),
            (".foo", false, false),
            ("foo.", false, false),
            ("foo.*", false, true),
            ("*", false, true),
            (">", false, true),
            ("foo.>", false, true),
            ("foo.>.bar", false, false),
            (">.a", false, false),
            ("foo*", true, true),
            ("foo*.bar", true, true),
            ("a>", true, true),
            ("**", true, true),
            ("f o", false, false),
            ("foo.\t", false, false),
            ("a\r", false, false),
            ("a\n.b", false, false),
            ("a\u{c}", false, false),
            ("a\0b.\u{e9}", true, true),
        ];
        for (s, publish, subscribe) in cases {
            assert_eq!(valid_publish(s.as_bytes()), publish, "publish {s:?}");
            assert_eq!(valid_subscribe(s.as_bytes()), subscribe, "subscribe {s:?}");
        }
    }

    #[test]
    fn wildcards_are_whole_tokens() {
        let cases = [
            ("a", 0),
            ("*", 1),
            (">", 1),
            ("a.*.b.*.>", 3),
            ("a*.b", 0),
            ("*a", 0),
            (">.a", 0),
            ("a.>b", 0),
            ("a.*b.c>", 0),
            ("", 0),
        ];
        for (s, n) in cases {
            assert_eq!(wildcard_count(s.as_bytes()), n, "{s:?}");
            assert_eq!(has_wildcards(s.as_bytes()), n > 0, "{s:?}");
        }
    }

    #[test]
    fn literals_against_patterns() {
        let cases = [
            ("foo", "foo", true),
            ("foo", "bar", false),
            ("foo", "*", true),
            ("foo", ">", true),
            ("foo", "foo.>", false),
            ("foo.bar", "foo.>", true),
            ("foo.bar.baz", "foo.>", true),
            ("foo.bar.baz", "foo.*", false),
            ("foo.bar", "*.*", true),
            ("foo.bar", "*", false),
            ("foo", "*.*", false),
            ("foo.*", "foo.*", true),
            ("foo.*", "foo.>", true),
            ("foo.*", "foo.bar", false),
            ("foo.>", "foo.>", true),
            ("foo..bar", "foo.*.bar", false),
            ("foo..bar", ">", false),
            ("foo..bar", "foo.>", false),
            ("foo.", "foo.*", false),
            ("", ">", false),
            ("", "*", false),
            ("a.b", "a.b.c", false),
        ];
        for (l, p, want) in cases {
            assert_eq!(matches(l.as_bytes(), p.as_bytes()), want, "{l:?} on {p:?}");
        }
    }

    #[test]
    fn inside_and_overlap() {
        // a, b, a inside b, a overlaps b
        let cases = [
            ("a", "a", true, true),
            ("a", "b", false, false),
            ("a.b", "a.*", true, true),
            ("a.*", "a.b", false, true),
            ("a.*", "a.>", true, true),
            ("a.>", "a.*", false, true),
            ("a.>", ">", true, true),
            (">", "a.>", false, true),
            ("a", "a.>", false, false),
            ("*.b", "a.*", false, true),
            ("*.b", "*.*", true, true),
            ("*.b", "*.c", false, false),
            ("*.>", ">", true, true),
            (">", "*.>", false, true),
            ("a.*.c", "a.b.>", false, true),
            ("a.b", "a.b.c", false, false),
            ("a.*", "a", false, false),
        ];
        for (a, b, inside, over) in cases {
            assert_eq!(subset(a.as_bytes(), b.as_bytes()), inside, "{a} inside {b}");
            assert_eq!(overlaps(a.as_bytes(), b.as_bytes()), over, "{a} overlaps {b}");
            assert_eq!(overlaps(b.as_bytes(), a.as_bytes()), over, "{b} overlaps {a}");
        }
    }

    /// All literals of up to four tokens over a small alphabet; `z` occurs in no
    /// pattern and stands for every other name.
    fn universe() -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = vec![];
        let mut last: Vec<Vec<u8>> = vec![vec![]];
        for _ in 0..4 {
            let mut next = vec![];
            for base in &last {
                for t in [&b"a"[..], b"b", b"z"] {
                    let mut s = base.clone();
                    if !s.is_empty() {
                        s.push(b'.');
                    }
                    s.extend_from_slice(t);
                    next.push(s);
                }
            }
            all.extend(next.iter().cloned());
            last = next;
        }
        all
    }

    fn pattern() -> impl Strategy<Value = String> {
        let token = prop_oneof![Just("a"), Just("b"), Just("*")];
        (proptest::collection::vec(token, 0..3), any::<bool>()).prop_map(|(mut t, rest)| {
            if rest || t.is_empty() {
                t.push(">");
            }
            t.join(".")
        })
    }

    proptest! {
        #[test]
        fn relations_agree_with_enumeration(a in pattern(), b in pattern()) {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            let all = universe();
            let inside = all.iter().all(|s| !matches(s, a) || matches(s, b));
            let both = all.iter().any(|s| matches(s, a) && matches(s, b));
            prop_assert_eq!(subset(a, b), inside);
            prop_assert_eq!(overlaps(a, b), both);
            let common = intersection(a, b);
            prop_assert_eq!(common.is_some(), both);
            if let Some(common) = common {
                let exact =
                    |s: &Vec<u8>| matches(s, &common) == (matches(s, a) && matches(s, b));
                prop_assert!(all.iter().all(exact));
            }
        }
    }
}
