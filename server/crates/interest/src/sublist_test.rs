//! The sublist against a plain list of subscriptions.

use crate::{MatchResult, Sublist};
use gust_subject::{matches, overlaps};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Plain = Vec<u64>;
type Queues = BTreeMap<Vec<u8>, Vec<u64>>;

fn sorted(r: &MatchResult<u64>) -> (Plain, Queues) {
    let mut plain = r.plain.clone();
    plain.sort_unstable();
    let mut queues = Queues::new();
    for q in &r.queues {
        let mut members = q.members.clone();
        members.sort_unstable();
        assert!(!members.is_empty());
        assert!(queues.insert(q.name.to_vec(), members).is_none(), "one entry per group");
    }
    (plain, queues)
}

/// Subscriptions by (subject, queue, id).
#[derive(Default)]
struct Model(BTreeMap<(String, String, u64), u64>);

impl Model {
    fn matching(&self, literal: &str) -> (Plain, Queues) {
        let mut plain = Plain::new();
        let mut queues = Queues::new();
        for ((subject, queue, _), value) in &self.0 {
            if !matches(literal.as_bytes(), subject.as_bytes()) {
            } else if queue.is_empty() {
                plain.push(*value);
            } else {
                queues.entry(queue.as_bytes().to_vec()).or_default().push(*value);
            }
        }
        plain.sort_unstable();
        queues.values_mut().for_each(|m| m.sort_unstable());
        (plain, queues)
    }
}

fn check(list: &Sublist<u64>, model: &Model, literal: &str) {
    let mut result = MatchResult::default();
    list.matches(literal.as_bytes(), &mut result);
    let want = model.matching(literal);
    assert_eq!(sorted(&result), want, "{literal:?}");
    let l = literal.as_bytes();
    assert_eq!(list.has_interest(l), !want.0.is_empty() || !want.1.is_empty());
    assert_eq!(list.has_plain_interest(l), !want.0.is_empty());
    assert_eq!(list.has_queue_interest(l, b"q1"), want.1.contains_key(&b"q1"[..]));
}

fn check_overlaps(list: &Sublist<u64>, model: &Model, filter: &str) {
    let mut got = vec![];
    list.overlapping(filter.as_bytes(), |f| {
        let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
        got.push(((text(f.subject), text(f.queue), f.id), *f.value));
    });
    got.sort();
    let hits = model.0.iter().filter(|((s, _, _), _)| overlaps(s.as_bytes(), filter.as_bytes()));
    let want: Vec<_> = hits.map(|(k, v)| (k.clone(), *v)).collect();
    assert_eq!(got, want, "{filter:?}");
}

#[test]
fn published_subjects_against_subscriptions() {
    let mut list = Sublist::new(7);
    let mut model = Model::default();
    let subs = ["foo.*", "foo.>", ">", "foo.bar", "*", "*.bar", "foo", "foo.*.baz", "a>", "b*.c"];
    for (id, s) in subs.iter().enumerate() {
        let id = id as u64;
        assert!(list.insert(s.as_bytes(), b"", id, id));
        model.0.insert((s.to_string(), String::new(), id), id);
    }
    // What is published need not be valid; the last field is how many match.
    let cases = [
        ("foo", 3),
        ("foo.bar", 5),
        ("foo.*", 3),
        ("foo.>", 3),
        ("foo.bar.baz", 3),
        ("foo..baz", 0),
        ("foo.", 0),
        (".", 0),
        ("", 0),
        ("a>", 3),
        ("b*.c", 2),
        ("bx.c", 1),
        ("nobody", 2),
    ];
    for (literal, n) in cases {
        check(&list, &model, literal);
        assert_eq!(model.matching(literal).0.len(), n, "{literal:?}");
    }
}

#[test]
fn a_group_spans_subjects() {
    let mut list = Sublist::new(7);
    list.insert(b"a.*", b"workers", 1, 1);
    list.insert(b"a.b", b"workers", 2, 2);
    list.insert(b"a.b", b"others", 3, 3);
    list.insert(b"a.b", b"", 4, 4);
    let mut r = MatchResult::default();
    list.matches(b"a.b", &mut r);
    let (plain, queues) = sorted(&r);
    assert_eq!(plain, [4]);
    let want = [(b"others".to_vec(), vec![3]), (b"workers".to_vec(), vec![1, 2])];
    assert_eq!(queues, BTreeMap::from(want));
    assert_eq!(r.fanout(), 4);
    assert_eq!(r.queue(b"others").map(|q| q.members.clone()), Some(vec![3]));
}

#[test]
fn nothing_is_left_when_all_are_gone() {
    let mut list = Sublist::new(7);
    let subjects: Vec<String> = (0..500).map(|i| format!("a.{}.{}.*.>", i % 7, i)).collect();
    for (id, s) in subjects.iter().enumerate() {
        assert!(list.insert(s.as_bytes(), b"q", id as u64, id));
        assert!(!list.insert(s.as_bytes(), b"q", id as u64, id), "replaced, not added");
    }
    let nodes = list.nodes.len();
    for (id, s) in subjects.iter().enumerate() {
        assert!(!list.remove(s.as_bytes(), b"", id as u64));
        assert!(!list.remove(s.as_bytes(), b"other", id as u64));
        assert!(list.remove(s.as_bytes(), b"q", id as u64));
        assert!(!list.remove(s.as_bytes(), b"q", id as u64));
    }
    let stats = list.stats();
    assert_eq!((stats.subs, stats.inserts, stats.removes, stats.nodes), (0, 500, 500, 1));
    for (id, s) in subjects.iter().enumerate() {
        list.insert(s.as_bytes(), b"q", id as u64, id);
    }
    assert_eq!(list.nodes.len(), nodes, "freed nodes are used again");
}

#[test]
fn a_subject_of_many_tokens_neither_recurses_nor_fails() {
    let mut list = Sublist::new(7);
    let deep = ["x"; 50_000].join(".");
    list.insert(deep.as_bytes(), b"", 1, 1);
    list.insert(b"x.>", b"", 2, 2);
    assert!(list.has_interest(deep.as_bytes()));
    let mut r = MatchResult::default();
    list.matches(deep.as_bytes(), &mut r);
    assert_eq!(r.plain.len(), 2);
    assert!(list.remove(deep.as_bytes(), b"", 1));
    assert_eq!(list.stats().nodes, 3);
}

fn pattern() -> impl Strategy<Value = String> {
    "[ab*](\\.[ab*]){0,3}(\\.>)?|>"
}

proptest! {
    #[test]
    fn behaves_like_a_list(
        actions in proptest::collection::vec(
            (pattern(), "|q[12]", 0u64..6, 0u32..10), 0..150),
        literals in proptest::collection::vec("[abc*>.]{0,7}|[abc](\\.[abc]){0,4}", 1..20),
    ) {
        let mut list = Sublist::new(3);
        let mut model = Model::default();
        for (n, (subject, queue, id, what)) in actions.into_iter().enumerate() {
            let key = (subject.clone(), queue.clone(), id);
            let (s, q) = (subject.as_bytes(), queue.as_bytes());
            if what < 6 {
                let new = model.0.insert(key, n as u64).is_none();
                prop_assert_eq!(list.insert(s, q, id, n as u64), new);
            } else if what < 9 {
                prop_assert_eq!(list.remove(s, q, id), model.0.remove(&key).is_some());
            } else {
                check_overlaps(&list, &model, &subject);
            }
            prop_assert_eq!(list.len(), model.0.len());
        }
        for literal in &literals {
            check(&list, &model, literal);
        }
        let mut n = 0;
        list.for_each(|f| n += usize::from(model.0.contains_key(&(
            String::from_utf8(f.subject.to_vec()).unwrap(),
            String::from_utf8(f.queue.to_vec()).unwrap(),
            f.id,
        ))));
        prop_assert_eq!(n, model.0.len());
    }
}
