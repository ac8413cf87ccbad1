//! Tables of what permissions allow.

use crate::Permissions;
use gust_config::options::permissions::{
    Permissions as Config, ResponsePermission, SubjectPermission,
};
use std::sync::Arc;

fn side(allow: &[&str], deny: &[&str]) -> Option<SubjectPermission> {
    let list = |l: &[&str]| l.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    let allow = (!allow.is_empty()).then(|| list(allow));
    Some(SubjectPermission { allow, deny: list(deny) })
}

fn publisher(allow: &[&str], deny: &[&str]) -> Permissions {
    Permissions::new(&Config { publish: side(allow, deny), ..Config::default() }).unwrap()
}

fn subscriber(allow: &[&str], deny: &[&str]) -> Arc<Permissions> {
    let config = Config { subscribe: side(allow, deny), ..Config::default() };
    Arc::new(Permissions::new(&config).unwrap())
}

#[test]
fn publishing() {
    // allow, deny, subject, allowed
    let cases: &[(&[&str], &[&str], &str, bool)] = &[
        (&[], &[], "a", true),
        (&["a"], &[], "a", true),
        (&["a"], &[], "b", false),
        (&["a.*", "b"], &[], "a.b", true),
        (&["a.*"], &[], "a.b.c", false),
        (&["a.>"], &["a.b"], "a.b", false),
        (&["a.>"], &["a.b"], "a.c", true),
        (&[], &["a.>"], "a.b", false),
        (&[], &["a.>"], "b", true),
        // What is not a subject is matched by nothing.
        (&[">"], &[], "a..b", false),
        (&["a.*"], &[], "a.>", true),
    ];
    for (allow, deny, subject, want) in cases {
        let got = publisher(allow, deny).can_publish(subject.as_bytes());
        assert_eq!(got, *want, "{subject} with {allow:?} without {deny:?}");
    }
    let open = Permissions::new(&Config::default()).unwrap();
    assert!(open.can_publish(b"a..b") && open.can_subscribe(b"x", b"q"));
    // `allow_responses` alone makes an empty allow: nothing but answers.
    let publish = Some(SubjectPermission { allow: Some(vec![]), deny: vec![] });
    let responses = Some(ResponsePermission { max: 1, expires_ns: 1 });
    let answers = Config { publish, responses, ..Config::default() };
    let answers = Permissions::new(&answers).unwrap();
    assert!(!answers.can_publish(b"a") && answers.responses().is_some());
}

#[test]
fn subscribing() {
    // allow, deny, subject, queue, accepted
    let cases: &[(&[&str], &[&str], &str, &str, bool)] = &[
        (&[], &[], "a", "", true),
        (&["a"], &[], "a", "", true),
        (&["a"], &[], "a", "q", true),
        (&["a"], &[], "*", "", false),
        (&["bar.*"], &[], "bar.>", "", true),
        (&["bar.>"], &[], "bar", "", false),
        (&[], &["a.b"], "a.*", "", true),
        (&[], &["a.*"], "a.*", "", false),
        (&[], &["a.>"], "a.*", "", false),
        (&[], &["a.>"], ">", "", true),
        (&["a.>"], &["a.b"], "a.b", "", false),
        // Queues.
        (&["a q"], &[], "a", "", false),
        (&["a q"], &[], "a", "q", true),
        (&["a q"], &[], "a", "r", false),
        (&["a", "a q"], &[], "a", "", true),
        (&["a", "a q"], &[], "a", "r", false),
        (&["a v1.*"], &[], "a", "v1.x", true),
        (&["a v1.*"], &[], "a", "v1.*", true),
        (&["a *.dev", "a v1"], &[], "a", "v1", true),
        (&[], &["a q"], "a", "", true),
        (&[], &["a q"], "a", "q", false),
        (&[], &["a q.>"], "a", "q.x.y", false),
        (&[], &["a q"], "a", "r", true),
        (&["> q"], &["a"], "a", "q", false),
    ];
    for (allow, deny, subject, queue, want) in cases {
        let got = subscriber(allow, deny).can_subscribe(subject.as_bytes(), queue.as_bytes());
        assert_eq!(got, *want, "{subject} {queue:?} with {allow:?} without {deny:?}");
    }
}

#[test]
fn deliveries_to_wide_subscriptions() {
    // allow, deny, subscription, queue; then None: no filter, or what passes and what does not
    type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a str, &'a str, Option<[&'a [&'a str]; 2]>);
    let cases: &[Case<'_>] = &[
        (&[], &[], ">", "", None),
        (&["a.>"], &[], "a.*", "", None),
        (&["a.>"], &["b"], "a.*", "", None),
        (&[], &["a q"], ">", "", None),
        (&["bar.*"], &[], "bar.>", "", Some([&["bar.a"], &["bar.a.b"]])),
        (&[], &["a.b"], "a.*", "", Some([&["a.c"], &["a.b"]])),
        (&["a.>"], &["a.*.x"], "a.>", "", Some([&["a.b", "a.x"], &["a.b.x"]])),
        (&[], &["a.b q"], "a.*", "q", Some([&["a.c"], &["a.b"]])),
        (&[], &["a.b q"], "a.*", "r", None),
        (&["a.> q"], &[], "a.*", "q", None),
        (&["a.>", "a.b q"], &[], "a.*", "r", Some([&["a.c"], &["a.b"]])),
        (&["a.>", "b q"], &[], "a.*", "r", None),
        (&["a.* q"], &[], "a.>", "q", Some([&["a.c"], &["a.b.c"]])),
    ];
    for (allow, deny, subject, queue, want) in cases {
        let permissions = subscriber(allow, deny);
        assert!(permissions.can_subscribe(subject.as_bytes(), queue.as_bytes()), "{subject}");
        let filter = permissions.delivery_filter(subject.as_bytes(), queue.as_bytes());
        let name = format!("{subject} {queue:?} with {allow:?} without {deny:?}");
        assert_eq!(filter.is_some(), want.is_some(), "{name}");
        let (Some(filter), Some([pass, held])) = (filter, want) else { continue };
        for s in *pass {
            assert!(filter.passes(s.as_bytes()), "{s} for {name}");
        }
        for s in *held {
            assert!(!filter.passes(s.as_bytes()), "{s} for {name}");
        }
    }
}

#[test]
fn bad_entries_are_named() {
    let publish = Config { publish: side(&["a q"], &[]), ..Config::default() };
    assert_eq!(Permissions::new(&publish).unwrap_err().0, "a q");
    for bad in ["a..b", "a q r", "a. q", ""] {
        let config = Config { subscribe: side(&["ok"], &[bad]), ..Config::default() };
        assert_eq!(Permissions::new(&config).unwrap_err().0, bad);
    }
}
