//! The tree against a `BTreeMap` and a naive matcher.

use super::SubjectTree;
use crate::matches;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

type Model = BTreeMap<Vec<u8>, u64>;

fn all(tree: &SubjectTree<u64>) -> Vec<(Vec<u8>, u64)> {
    let mut got = vec![];
    tree.for_each(|s, v| {
        got.push((s.to_vec(), *v));
        ControlFlow::Continue(())
    });
    got
}

fn matching(tree: &SubjectTree<u64>, filter: &[u8]) -> Vec<(Vec<u8>, u64)> {
    let mut got = vec![];
    tree.for_each_match(filter, |s, v| {
        got.push((s.to_vec(), *v));
        ControlFlow::Continue(())
    });
    got
}

fn model_matching(model: &Model, filter: &[u8]) -> Vec<(Vec<u8>, u64)> {
    model.iter().filter(|(s, _)| matches(s, filter)).map(|(s, v)| (s.clone(), *v)).collect()
}

#[derive(Debug, Clone)]
enum Action {
    Insert(Vec<u8>, u64),
    GetOrInsert(Vec<u8>, u64),
    Remove(Vec<u8>),
    Change(Vec<u8>),
    Match(Vec<u8>),
    Compact,
}

/// Few different subjects, so that actions meet; some long, some with any byte.
fn subject() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => "[ab.]{0,6}".prop_map(String::into_bytes),
        4 => "orders\\.(eu|us|asia)\\.[0-9]{1,2}\\.(created|shipped-with-a-long-name)"
            .prop_map(String::into_bytes),
        2 => any::<u8>().prop_map(|b| vec![b]),
        2 => any::<u8>().prop_map(|b| vec![b'x', b, b'.', b]),
        1 => Just(vec![0]),
        1 => Just(vec![]),
    ]
}

fn filter() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b">".to_vec()),
        "[ab*](\\.[ab*]){0,3}(\\.>)?".prop_map(String::into_bytes),
        "orders\\.(eu|\\*)\\.(1|\\*)\\.(created|\\*|>)".prop_map(String::into_bytes),
        "[ab.*>]{0,5}".prop_map(String::into_bytes),
        subject(),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        12 => (subject(), any::<u64>()).prop_map(|(s, v)| Action::Insert(s, v)),
        2 => (subject(), any::<u64>()).prop_map(|(s, v)| Action::GetOrInsert(s, v)),
        9 => subject().prop_map(Action::Remove),
        1 => subject().prop_map(Action::Change),
        3 => filter().prop_map(Action::Match),
        1 => Just(Action::Compact),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn behaves_like_a_sorted_map(actions in proptest::collection::vec(action(), 0..400)) {
        let mut tree = SubjectTree::new();
        let mut model = Model::new();
        for action in actions {
            match action {
                Action::Insert(s, v) => prop_assert_eq!(tree.insert(&s, v), model.insert(s, v)),
                Action::GetOrInsert(s, v) => {
                    let new = !model.contains_key(&s);
                    let want = *model.entry(s.clone()).or_insert(v);
                    let (got, was_new) = tree.get_or_insert(&s, v);
                    prop_assert_eq!((*got, was_new), (want, new));
                }
                Action::Remove(s) => prop_assert_eq!(tree.remove(&s), model.remove(&s)),
                Action::Change(s) => {
                    prop_assert_eq!(tree.get(&s), model.get(&s));
                    if let (Some(a), Some(b)) = (tree.get_mut(&s), model.get_mut(&s)) {
                        *a = a.wrapping_add(1);
                        *b = b.wrapping_add(1);
                    }
                }
                Action::Match(f) => {
                    prop_assert_eq!(matching(&tree, &f), model_matching(&model, &f));
                }
                Action::Compact => tree.compact(),
            }
            prop_assert_eq!(tree.len(), model.len());
        }
        let want: Vec<_> = model.iter().map(|(s, v)| (s.clone(), *v)).collect();
        prop_assert_eq!(all(&tree), want);
        for s in model.keys() {
            prop_assert!(tree.remove(s).is_some());
        }
        prop_assert!(tree.is_empty());
        prop_assert_eq!(all(&tree), vec![]);
    }
}

/// `orders.<region>.<customer>.<id>` of 34 bytes, in an order that is not sorted.
fn realistic(i: u64) -> Vec<u8> {
    let id = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("orders.r{:02}.customer{:05}.{:010}", id % 16, i % 20_000, i).into_bytes()
}

#[test]
fn a_subject_costs_tens_of_bytes() {
    let mut tree = SubjectTree::new();
    let n = 200_000;
    for i in 0..n {
        let s = realistic(i);
        assert_eq!(s.len(), 35);
        tree.insert(&s, (i, i));
    }
    let per = tree.memory() as f64 / n as f64;
    assert!(per < 90.0, "{per:.1} bytes per subject");
    let full = tree.memory();
    // Removing and adding as many again reuses what was freed.
    for i in 0..n {
        assert_eq!(tree.remove(&realistic(i)), Some((i, i)));
        tree.insert(&realistic(n + i), (i, i));
    }
    assert_eq!(tree.len(), n as usize);
    assert!(tree.memory() < full * 5 / 4, "{} after {full}", tree.memory());
    for i in 0..n {
        assert!(tree.remove(&realistic(n + i)).is_some());
    }
    assert_eq!((tree.len(), tree.memory()), (0, SubjectTree::<(u64, u64)>::new().memory()));
}

#[test]
fn nodes_of_every_size_and_every_byte() {
    let mut tree = SubjectTree::new();
    for b in (0..=255u8).rev() {
        assert_eq!(tree.insert(&[b'k', b], u64::from(b)), None);
        assert_eq!(tree.len(), 256 - usize::from(b));
    }
    let want: Vec<_> = (0..=255u8).map(|b| (vec![b'k', b], u64::from(b))).collect();
    assert_eq!(all(&tree), want);
    for b in 0..=255u8 {
        assert_eq!(tree.remove(&[b'k', b]), Some(u64::from(b)));
        let want: Vec<_> = (b..=255).skip(1).map(|b| (vec![b'k', b], u64::from(b))).collect();
        assert_eq!(all(&tree), want);
    }
}

#[test]
fn a_walk_stops_where_it_is_told() {
    let mut tree = SubjectTree::new();
    for s in ["a", "a.b", "a.b.c", "a.c", "b"] {
        tree.insert(s.as_bytes(), 1u64);
    }
    let mut seen = vec![];
    tree.for_each_match(b"a.>", |s, _| {
        seen.push(s.to_vec());
        if seen.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(seen, [b"a.b".to_vec(), b"a.b.c".to_vec()]);
    let mut first = vec![];
    tree.for_each(|s, _| {
        first.push(s.to_vec());
        ControlFlow::Break(())
    });
    assert_eq!(first, [b"a".to_vec()]);
}

#[test]
fn deep_nesting_does_not_recurse() {
    let mut tree = SubjectTree::new();
    let long = vec![b'x'; 6000];
    for n in 1..=long.len() {
        tree.insert(&long[..n], n as u64);
    }
    let mut count = 0;
    tree.for_each_match(b">", |_, _| {
        count += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(count, long.len());
    for n in (1..=long.len()).rev() {
        assert_eq!(tree.remove(&long[..n]), Some(n as u64));
    }
}
