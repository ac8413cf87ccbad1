//! Rules of two or three accounts, and what becomes of them.

use super::*;
use gust_config::options::exchange::Latency;
use std::sync::Arc;

fn export(kind: ExchangeKind, subject: &str) -> ExportRule {
    ExportRule {
        kind,
        subject: subject.to_owned(),
        access: Access::Everybody,
        response: ResponseType::Singleton,
        threshold_ns: 0,
        latency: None,
        allow_trace: false,
        at: String::new(),
    }
}

fn import(kind: ExchangeKind, account: &str, subject: &str, local: &str) -> ImportRule {
    ImportRule {
        kind,
        account: account.to_owned(),
        subject: subject.to_owned(),
        local: local.to_owned(),
        prefix: String::new(),
        share: false,
        allow_trace: false,
        token: String::new(),
        at: String::new(),
    }
}

const STREAM: ExchangeKind = ExchangeKind::Stream;
const SERVICE: ExchangeKind = ExchangeKind::Service;

type Rules<'a> = (&'a str, Vec<ExportRule>, Vec<ImportRule>);

fn resolve(rules: &[Rules<'_>]) -> Exchange {
    let names: Vec<Arc<str>> = rules.iter().map(|(name, ..)| (*name).into()).collect();
    let parties = rules.iter().zip(&names).map(|((_, exports, imports), name)| Party {
        name,
        exports,
        imports,
    });
    Exchange::resolve(parties, true, &|a| match a.import.token.as_str() {
        "good" => Ok(Some(77)),
        _ => Err(format!("{} shows nothing good", a.importer)),
    })
}

fn errors(rules: &[Rules<'_>]) -> Vec<String> {
    resolve(rules).errors().iter().map(ToString::to_string).collect()
}

#[test]
fn an_import_is_inside_an_export_that_admits_it() {
    let named = |names: &[&str]| Access::Accounts(names.iter().map(|n| (*n).to_owned()).collect());
    // export, access, import of B, authorized
    let cases = [
        ("a", Access::Everybody, "a", true),
        ("a.*", Access::Everybody, "a.b", true),
        ("a.*", Access::Everybody, "a.>", false),
        ("a.>", Access::Everybody, "a.*.b", true),
        ("a", Access::Everybody, "b", false),
        ("a", named(&["B"]), "a", true),
        ("a", named(&["C"]), "a", false),
        ("a", named(&[]), "a", false),
        ("a.*.c", Access::Position(2), "a.B.c", true),
        ("a.*.c", Access::Position(2), "a.C.c", false),
        ("a.*.c", Access::Position(2), "a.*.c", false),
        ("a.*.>", Access::Position(2), "a.B.>", true),
        ("a", Access::Token(Default::default()), "a", false),
    ];
    for (subject, access, wanted, good) in cases {
        for kind in [STREAM, SERVICE] {
            let exports = vec![ExportRule { access: access.clone(), ..export(kind, subject) }];
            let rules = [
                ("A", exports, vec![]),
                ("B", vec![], vec![import(kind, "A", wanted, "")]),
                ("C", vec![], vec![]),
            ];
            let found = errors(&rules);
            assert_eq!(found.is_empty(), good, "{kind:?} {subject} {access:?} {wanted}: {found:?}");
        }
    }
}

#[test]
fn an_export_of_just_this_subject_decides_alone() {
    let only = |subject: &str, names: &[&str]| ExportRule {
        access: Access::Accounts(names.iter().map(|n| (*n).to_owned()).collect()),
        ..export(SERVICE, subject)
    };
    let b = || ("B", vec![], vec![import(SERVICE, "A", "a.b", "")]);
    assert_eq!(
        errors(&[("A", vec![only("a.*", &["B"]), only("a.b", &["C"])], vec![]), b()]).len(),
        1
    );
    assert!(
        errors(&[("A", vec![only("a.b", &["C"]), only("a.b", &["B"])], vec![]), b()]).is_empty()
    );
    assert!(
        errors(&[("A", vec![only("a.>", &["C"]), only("a.*", &["B"])], vec![]), b()]).is_empty()
    );
}

#[test]
fn tokens_are_judged_by_the_caller() {
    let exports =
        vec![ExportRule { access: Access::Token(Default::default()), ..export(STREAM, "a.>") }];
    let with =
        |token: &str| ImportRule { token: token.to_owned(), ..import(STREAM, "A", "a.b", "") };
    let good = resolve(&[("A", exports.clone(), vec![]), ("B", vec![], vec![with("good")])]);
    assert_eq!((good.errors().len(), good.expires()), (0, Some(77)));
    let bad = resolve(&[("A", exports, vec![]), ("B", vec![], vec![with("bad")])]);
    assert_eq!(
        bad.errors()[0].to_string(),
        "Error adding stream import \"a.b\": stream import not authorized: activation token: \
         B shows nothing good (account \"B\" imports from account \"A\")"
    );
    let b = bad.of("B").unwrap();
    assert!(b.streams.is_empty());
    assert_eq!(b.invalid[0].index, 0);
}

#[test]
fn accounts_that_are_not_there_are_named() {
    let e = resolve(&[("B", vec![], vec![import(STREAM, "A", "a", "")])]);
    assert_eq!(e.missing().collect::<Vec<_>>(), ["A"]);
    assert_eq!(e.errors().len(), 1);
}

#[test]
fn wrong_rules_are_told_with_both_sides() {
    let a = |exports: Vec<ExportRule>| ("A", exports, vec![]);
    let b = |imports: Vec<ImportRule>| ("B", vec![], imports);
    let position = ExportRule { access: Access::Position(2), ..export(SERVICE, "a.b.*") };
    let latency = |subject: &str, response| ExportRule {
        latency: Some(Latency { subject: subject.to_owned(), sampling: 100 }),
        response,
        ..export(SERVICE, "s")
    };
    let one = ResponseType::Singleton;
    let prefix = ImportRule { prefix: "p.*".to_owned(), ..import(STREAM, "A", "a", "") };
    let cases = [
        (vec![a(vec![position])], "sublist: invalid subject (account \"A\")"),
        (vec![a(vec![latency("x.*", one)])], "\"s\" on subject \"x.*\": invalid publish subject"),
        (vec![a(vec![latency("s", one)])], "\"s\" on subject \"s\": invalid publish subject"),
        (
            vec![a(vec![latency("x", ResponseType::Stream)])],
            "on subject \"x\": bad service response type",
        ),
        (
            vec![a(vec![export(STREAM, "a")]), b(vec![prefix])],
            "Error adding stream import \"a\": stream import prefix can not contain wildcard tokens \
             (account \"B\" imports from account \"A\")",
        ),
        (
            vec![
                a(vec![export(STREAM, "a")]),
                b(vec![import(STREAM, "A", "a", "x"), import(STREAM, "A", "a", "y")]),
            ],
            "stream import already exists",
        ),
        (
            vec![
                a(vec![export(SERVICE, ">")]),
                b(vec![import(SERVICE, "A", "a", "x"), import(SERVICE, "A", "b", "x")]),
            ],
            "duplicate service import subject \"x\", previously used in import for account \"A\", \
             subject \"a\"",
        ),
        (
            vec![a(vec![export(STREAM, "a.*")]), b(vec![import(STREAM, "A", "a.*", "b")])],
            "not using all of the token wildcard(s)",
        ),
        (
            vec![
                a(vec![export(SERVICE, "a.*")]),
                b(vec![import(SERVICE, "A", "a.*", "b.{{partition(2,1)}}")]),
            ],
            "the only mapping function allowed for import transforms",
        ),
    ];
    for (rules, want) in cases {
        let found = errors(&rules);
        assert!(found.len() == 1 && found[0].contains(want), "{want}: {found:?}");
    }
}

#[test]
fn cycles_are_refused_and_only_they() {
    let all = |kind| vec![export(kind, ">")];
    // Imports of A, B and C as (exporter, there, here); whether there is a cycle
    // of services, of streams.
    type Import = (&'static str, &'static str, &'static str);
    let cases: [(&[Import], &[Import], &[Import], bool, bool); 7] = [
        (&[("B", "x", "")], &[("A", "x", "")], &[], true, true),
        (&[("B", "x", "y")], &[("A", "x", "y")], &[], false, false),
        (&[("B", "x", "y")], &[("A", "y", "x")], &[], true, true),
        (&[("B", "x.*", "")], &[("A", "x.>", "")], &[], true, true),
        (&[("B", "x", "")], &[("C", "x", "")], &[("A", "x", "")], true, true),
        (&[("B", "x", "")], &[("C", "x", "")], &[("A", "z", "x")], false, false),
        (&[("B", "a", "")], &[("C", "a", "")], &[], false, false),
    ];
    for (a, b, c, services, streams) in cases {
        for (kind, want) in [(SERVICE, services), (STREAM, streams)] {
            let of = |list: &[Import]| {
                list.iter().map(|(from, there, here)| import(kind, from, there, here)).collect()
            };
            let rules = [("A", all(kind), of(a)), ("B", all(kind), of(b)), ("C", all(kind), of(c))];
            let found = errors(&rules);
            let cycle = found.iter().any(|e| e.contains("import forms a cycle"));
            assert_eq!(cycle, want, "{kind:?} {a:?} {b:?} {c:?}: {found:?}");
            assert!(found.len() <= 1, "the one that closes it");
        }
    }
}

#[test]
fn stream_names_here_and_there() {
    // there, here, wanted, listen to, published there, shown here
    let cases = [
        ("a.>", "", "a.b", Some("a.b"), "a.b", "a.b"),
        ("a.>", "", ">", Some("a.>"), "a.b.c", "a.b.c"),
        ("a.>", "p.a.>", "p.>", Some("a.>"), "a.x", "p.a.x"),
        ("a.>", "p.a.>", "p.*.x", Some("a.x"), "a.x", "p.a.x"),
        ("a.>", "p.a.>", "a.x", None, "a.x", "p.a.x"),
        ("a.*.*", "b.$2.$1", "b.1.*", Some("a.*.1"), "a.2.1", "b.1.2"),
        ("a.*.*", "b.{{wildcard(2)}}.c.$1", "*.1.>", Some("a.*.1"), "a.2.1", "b.1.c.2"),
        ("a.*.*", "b.*.*", "b.1.2", Some("a.1.2"), "a.1.2", "b.1.2"),
        ("a.b", "x", "*", Some("a.b"), "a.b", "x"),
        ("a.b", "x", "y", None, "a.b", "x"),
        ("a.*", "", "*.b", Some("a.b"), "a.b", "a.b"),
    ];
    for (from, here, wanted, listen, there, shown) in cases {
        let here = if here.is_empty() { from } else { here };
        let i = StreamImport::new("A".into(), from, here, false).unwrap();
        let there_for = i.there(wanted.as_bytes());
        assert_eq!(there_for.as_deref(), listen.map(str::as_bytes), "{from} as {here}, {wanted}");
        assert_eq!(&*i.here(there.as_bytes()), shown.as_bytes(), "{from} as {here}");
    }
}

#[test]
fn service_names_here_and_there() {
    // there, here as written, here as subscribed, asked here, asked there
    let cases = [
        ("a.*", "", "a.*", "a.x", "a.x"),
        ("a.b", "x.y", "x.y", "x.y", "a.b"),
        ("a.b", "x.*", "x.*", "x.q", "a.b"),
        ("a.*.*", "l.$2.$1", "l.*.*", "l.1.2", "a.2.1"),
        ("a.>", "p.a.>", "p.a.>", "p.a.x.y", "a.x.y"),
        ("$JS.API.>", "JS.acc.API.>", "JS.acc.API.>", "JS.acc.API.INFO", "$JS.API.INFO"),
    ];
    for (there, here, from, asked, reaches) in cases {
        let here = if here.is_empty() { there } else { here };
        let rule = export(SERVICE, there);
        let export = Arc::new(ServiceExport::new(&rule));
        let i = ServiceImport::new("A".into(), here, there, false, export).unwrap();
        assert_eq!(&*i.from, from.as_bytes());
        assert_eq!(&*i.there(asked.as_bytes()), reaches.as_bytes(), "{there} as {here}");
    }
}

mod properties {
    use super::*;
    use gust_subject::matches;
    use proptest::prelude::*;

    fn names() -> impl Strategy<Value = Vec<&'static str>> {
        proptest::collection::vec(prop_oneof![Just("a"), Just("b")], 3)
    }

    proptest! {
        /// Whatever is subscribed to here and published there: the message comes
        /// if and only if its name here is wanted.
        #[test]
        fn a_shadow_listens_to_just_what_is_wanted(
            wanted in proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("*")], 1..5),
            rest in any::<bool>(),
            message in names(),
        ) {
            let mut wanted = wanted.join(".");
            if rest {
                wanted.push_str(".>");
            }
            let i = StreamImport::new("A".into(), "*.*.*", "b.$3.a.$1.$2", false).unwrap();
            let message = message.join(".");
            let here = i.here(message.as_bytes());
            let comes = i.there(wanted.as_bytes()).is_some_and(|s| matches(message.as_bytes(), &s));
            prop_assert_eq!(comes, matches(&here, wanted.as_bytes()), "{} {:?}", wanted, here);
        }
    }
}
