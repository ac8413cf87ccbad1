//! Tables of transforms and mappings, and what must hold for all of them.

use super::{Destination, Mapped, MappingError, Mappings, Transform, identity};
use proptest::prelude::*;

fn apply(src: &str, dest: &str, subject: &str) -> Option<String> {
    let t = Transform::new(src.as_bytes(), dest.as_bytes())
        .unwrap_or_else(|e| panic!("{src} -> {dest}: {e}"));
    t.apply(subject.as_bytes(), 0).map(|s| String::from_utf8(s).unwrap())
}

#[test]
fn what_subjects_become() {
    let cases = [
        ("foo", "bar", "foo", Some("bar")),
        ("foo", "bar", "foo.x", None),
        ("foo.*", "bar.$1", "foo.x", Some("bar.x")),
        ("foo.*.*", "$2.foo.$1", "foo.a.b", Some("b.foo.a")),
        ("foo.*.*", "{{wildcard(2)}}.{{ Wildcard( 1 ) }}", "foo.a.b", Some("b.a")),
        ("foo.*", "$1.$1.$JS.$", "foo.x", Some("x.x.$JS.$")),
        ("foo.>", "bar.>", "foo.a.b", Some("bar.a.b")),
        ("foo.*.>", "$1.x.>", "foo.a.b.c", Some("a.x.b.c")),
        ("foo.>", ">", "foo.a.b", Some("a.b")),
        (">", "x.>", "a.b", Some("x.a.b")),
        ("", "x.>", "a.b", Some("x.a.b")),
        (">", ">", "a..b", Some("a..b")),
        ("foo.*", "", "foo.a", Some("foo.a")),
        ("foo.*", "", "bar.a", None),
        ("foo.*", "bar", "foo.a", Some("bar")),
        ("*", "x.$1", "a..b", None),
        ("foo.>", "x.>", "foo.*", None),
        // Functions on a token and a number.
        ("*", "{{splitfromleft(1,3)}}", "12345", Some("123.45")),
        ("*", "{{SplitFromRight(1,3)}}", "12345", Some("12.345")),
        ("*", "{{SplitFromLeft(1,5)}}", "12345", Some("12345")),
        ("*", "{{SplitFromLeft(1,0)}}", "12345", Some("12345")),
        ("*", "{{SplitFromLeft(1,-1)}}", "12345", Some("12345")),
        ("*", "{{SliceFromLeft(1,2)}}", "12345", Some("12.34.5")),
        ("*", "{{SliceFromRight(1,2)}}", "12345", Some("1.23.45")),
        ("*", "{{SliceFromRight(1,2)}}", "1234", Some("12.34")),
        ("*", "{{SliceFromLeft(1,9)}}", "1234", Some("1234")),
        ("*", "{{left(1,3)}}", "12345", Some("123")),
        ("*", "{{Right(1,3)}}", "12345", Some("345")),
        ("*", "{{right(1,7)}}", "12345", Some("12345")),
        ("*", "{{split(1,-)}}", "-a--b-c-", Some("a.b.c")),
        ("*", "{{Split(1, ab)}}", "1ab2", Some("1.2")),
        ("*", "x.{{split(1,-)}}", "--", Some("x.--")),
        ("*", "{{split(1,)}}", "a\u{e9}b", Some("a.\u{e9}.b")),
        // FNV-1a 32 of "foo" is a9f37ed7, of "foobar" bf9cf968.
        ("*", "$1.{{partition(10,1)}}", "foo", Some("foo.3")),
        ("*.*", "p.{{partition(100,1,2)}}", "foo.bar", Some("p.20")),
        ("*.*", "p.{{partition(0,1)}}", "foo.bar", Some("p.0")),
        ("*", "{{Partition(10)}}", "foo", Some("3")),
        ("foo", "x.{{partition(10,3)}}", "foo", Some("x.3")),
        // As nats-server 2.15.1 answers.
        ("a.*", "m.{{partition(10)}}.{{split(1,-)}}", "a.foo-bar", Some("m.2.foo.bar")),
        ("a.*", "m.{{partition(10)}}.{{split(1,-)}}", "a.-a--b-", Some("m.5.a.b")),
        ("b", "x.{{partition(10)}}", "b", Some("x.7")),
        ("s.*", "t.{{sliceFromLeft(1,2)}}.{{left(1,3)}}", "s.12345", Some("t.12.34.5.123")),
        // There these would get an empty token and so be lost.
        ("a.*", "m.{{split(1,-)}}", "a.--x", Some("m.x")),
        ("a", "x.{{random(1)}}.{{random(0)}}", "a", Some("x.0.0")),
    ];
    for (src, dest, subject, want) in cases {
        let got = apply(src, dest, subject);
        assert_eq!(got.as_deref(), want, "{src} -> {dest}: {subject}");
    }
}

#[test]
fn what_is_refused() {
    const D: &str = "invalid mapping destination: ";
    let cases = [
        ("foo..a", "x", false, "invalid subject"),
        ("foo.>", "x", false, "invalid subject"),
        ("foo", "x.>", false, "invalid subject"),
        ("foo.*", "x.*", false, "invalid subject"),
        ("foo", "x..y", false, "invalid transform"),
        ("foo.>", "x.>.y", false, "invalid transform in y"),
        ("foo", "x y", false, "invalid transform"),
        ("foo.*", "$2", false, "wildcard index out of range in $2: [2]"),
        ("foo.*", "$0", false, "wildcard index out of range in $0"),
        ("foo", "$1", false, "wildcard index out of range in $1"),
        ("foo.>", "$1.>", false, "wildcard index out of range in $1: [1]"),
        ("*", "{{nothing(1)}}", false, "unknown function in {{nothing(1)}}"),
        ("*", "{{wildcard}}", false, "unknown function in {{wildcard}}"),
        ("*", "{{WILDCARD(1)}}", false, "unknown function in {{WILDCARD(1)}}"),
        (
            "*",
            "{{wildcard()}}",
            false,
            "not enough arguments passed to the function in {{wildcard()}}",
        ),
        (
            "*",
            "{{wildcard(1,2)}}",
            false,
            "too many arguments passed to the function in {{wildcard(1,2)}}",
        ),
        ("*", "{{split(1)}}", false, "not enough arguments passed to the function in {{split(1)}}"),
        (
            "*",
            "{{left(1,2,3)}}",
            false,
            "too many arguments passed to the function in {{left(1,2,3)}}",
        ),
        (
            "*",
            "{{partition(x,1)}}",
            false,
            "function argument is invalid or in the wrong format in {{partition(x,1)}}",
        ),
        (
            "*",
            "{{partition(4294967296,1)}}",
            false,
            "function argument is invalid or in the wrong format in {{partition(4294967296,1)}}",
        ),
        (
            "*",
            "{{partition(2,1)}}",
            true,
            "the only mapping function allowed for import transforms is {{Wildcard()}} \
             in {{partition(2,1)}}",
        ),
        ("*.*", "x.$1", true, "not using all of the token wildcard(s) in x.$1"),
    ];
    for (src, dest, strict, want) in cases {
        let (s, d) = (src.as_bytes(), dest.as_bytes());
        let made = if strict { Transform::strict(s, d) } else { Transform::new(s, d) };
        let error = made.expect_err(dest).to_string();
        let want = if want == "invalid subject" { want.into() } else { format!("{D}{want}") };
        assert_eq!(error, want, "{src} -> {dest}");
    }
    assert!(Transform::strict(b"*.*", b"x.$2.{{wildcard(1)}}").is_ok());
}

fn dest(subject: &str, weight: u8) -> Destination {
    Destination { subject: subject.into(), weight, cluster: None }
}

/// Outcomes of 20 000 messages in percent, rounded.
fn shares(m: &Mappings, subject: &str, cluster: &str) -> Vec<(String, u32)> {
    let mut count = std::collections::BTreeMap::new();
    for random in 0..20_000 {
        let name = match m.map(subject.as_bytes(), cluster, random) {
            Mapped::Unchanged => "unchanged".to_owned(),
            Mapped::Lost => "lost".to_owned(),
            Mapped::To(s) => String::from_utf8(s).unwrap(),
        };
        *count.entry(name).or_insert(0u32) += 1;
    }
    // To the next ten: the numbers are a fixed sequence, not exact shares.
    count.into_iter().map(|(s, n)| (s, (n + 1000) / 2000 * 10)).collect()
}

#[test]
fn weights_share_messages() {
    let cluster = |subject: &str, weight, name: &str| Destination {
        cluster: Some(name.into()),
        ..dest(subject, weight)
    };
    type Case<'a> = (&'a str, Vec<Destination>, &'a str, &'a str, &'a [(&'a str, u32)]);
    let cases: &[Case<'_>] = &[
        ("a", vec![dest("b", 100)], "a", "", &[("b", 100)]),
        ("a", vec![dest("b", 100)], "c", "", &[("unchanged", 100)]),
        ("a", vec![dest("b", 20), dest("c", 30)], "a", "", &[("a", 50), ("b", 20), ("c", 30)]),
        ("a.*", vec![dest("b.$1", 40)], "a.x", "", &[("a.x", 60), ("b.x", 40)]),
        ("a.>", vec![dest("b.>", 40)], "a.x.y", "", &[("a.x.y", 60), ("b.x.y", 40)]),
        ("a", vec![dest("a", 50)], "a", "", &[("a", 50), ("lost", 50)]),
        ("a", vec![dest("a", 0)], "a", "", &[("lost", 100)]),
        ("a", vec![dest("b", 100), cluster("c", 100, "east")], "a", "east", &[("c", 100)]),
        ("a", vec![dest("b", 100), cluster("c", 100, "east")], "a", "west", &[("b", 100)]),
        ("a", vec![cluster("c", 50, "east")], "a", "east", &[("a", 50), ("c", 50)]),
        ("a", vec![cluster("c", 50, "east")], "a", "", &[("a", 100)]),
    ];
    for (src, dests, subject, name, want) in cases {
        let mut m = Mappings::default();
        m.add(src.as_bytes(), dests).unwrap();
        let got = shares(&m, subject, name);
        let got: Vec<_> = got.iter().map(|(s, n)| (s.as_str(), *n)).collect();
        assert_eq!(&got[..], *want, "{src} {dests:?} in {name:?}");
    }
}

#[test]
fn the_first_mapping_decides_and_the_last_of_a_source_replaces() {
    let mut m = Mappings::default();
    m.add(b"a.*", &[dest("wild.$1", 100)]).unwrap();
    m.add(b"a.b", &[dest("exact", 100)]).unwrap();
    m.add(b"c", &[dest("exact", 100)]).unwrap();
    m.add(b">", &[dest("rest.>", 100)]).unwrap();
    m.add(b"c", &[dest("newer", 100)]).unwrap();
    let to = |s: &[u8]| match m.map(s, "", 1) {
        Mapped::To(s) => String::from_utf8(s).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(to(b"a.b"), "wild.b");
    assert_eq!(to(b"c"), "newer");
    assert_eq!(to(b"d.e"), "rest.d.e");
    assert_eq!(m.map(b"d..e", "", 1), Mapped::Unchanged);
    assert_eq!(m.sources().count(), 4);
}

#[test]
fn mappings_that_are_refused() {
    let mut m = Mappings::default();
    let cases: &[(&str, Vec<Destination>, MappingError)] = &[
        ("a..b", vec![], MappingError::Source("a..b".into())),
        ("a", vec![dest("b", 1), dest("b", 2)], MappingError::Duplicate("b".into())),
        ("a", vec![dest("b", 101)], MappingError::Weight),
        ("a", vec![dest("b", 60), dest("c", 41)], MappingError::Total),
        (
            "a",
            vec![dest("$1", 60)],
            MappingError::Transform {
                dest: "$1".to_owned(),
                cause: Transform::new(b"a", b"$1").map(drop).expect_err("no wildcard"),
            },
        ),
    ];
    for (src, dests, want) in cases {
        assert_eq!(m.add(src.as_bytes(), dests).expect_err(src), *want);
    }
    assert!(m.is_empty());
}

proptest! {
    #[test]
    fn a_transform_of_anything_never_panics(
        src in "[a*.>]{0,6}",
        dest in "([a$1.>]|\\{\\{(split|left|partition|SliceFromRight)\\([0-9,-]{0,5}\\)\\}\\}){0,5}",
        subject in "[ab.-]{0,12}",
        random: u64,
    ) {
        if let Ok(t) = Transform::new(src.as_bytes(), dest.as_bytes()) {
            let _ = t.rewrite(subject.as_bytes(), random);
            if let Some(out) = t.apply(subject.as_bytes(), random)
                && crate::valid_publish(subject.as_bytes())
            {
                prop_assert!(crate::valid_publish(&out), "{:?}", String::from_utf8(out));
            }
        }
    }

    #[test]
    fn identity_keeps_subjects(
        src in "[ab*](\\.[ab*]){0,3}(\\.>)?|>",
        subject in "[ab](\\.[ab]){0,4}",
    ) {
        let t = Transform::strict(src.as_bytes(), &identity(src.as_bytes())).unwrap();
        let got = t.apply(subject.as_bytes(), 0);
        let want = crate::matches(subject.as_bytes(), src.as_bytes());
        prop_assert_eq!(got, want.then(|| subject.into_bytes()));
    }
}
