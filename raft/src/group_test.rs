//! Tests of groups: order of duties, restart from what was written, refusal of
//! confusing messages, and three replicas over a transport in memory.

use super::*;
use crate::restore::LogEntry;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn leader() -> (Group, Vec<LogWrite>) {
    let mut group = Group::single(7, Restored::default()).unwrap();
    group.campaign();
    let mut written = Vec::new();
    let ticket = group.ready(&mut written).unwrap();
    let committed = group.persisted(ticket);
    assert_eq!(committed.len(), 1);
    assert!(committed[0].data.is_empty());
    group.applied(1);
    (group, written)
}

fn datas(committed: &[Committed]) -> Vec<(u64, &[u8])> {
    committed.iter().map(|c| (c.index, &c.data[..])).collect()
}

#[test]
fn a_single_voter_commits_what_is_persisted() {
    let (mut group, written) = leader();
    assert_eq!(
        written,
        [
            LogWrite::HardState { group: 7, term: 1, vote: 1, commit: 0 },
            LogWrite::Entry {
                group: 7,
                term: 1,
                index: 1,
                kind: EntryKind::Normal,
                data: Bytes::new()
            },
        ]
    );
    assert!(group.is_leader());

    group.propose(Bytes::from_static(b"a")).unwrap();
    let mut out = Vec::new();
    let first = group.ready(&mut out).unwrap();
    assert_eq!(group.committed(), [], "nothing is committed before it is durable");
    group.propose(Bytes::from_static(b"b")).unwrap();
    group.propose(Bytes::from_static(b"c")).unwrap();
    let second = group.ready(&mut out).unwrap();
    assert!(second > first);
    // Entries only: term and vote did not change.
    let indexes: Vec<u64> = out
        .iter()
        .map(|w| match w {
            LogWrite::Entry { index, term: 1, group: 7, .. } => *index,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(indexes, [2, 3, 4]);
    assert_eq!(group.ready(&mut out), None);

    assert_eq!(datas(&group.persisted(first)), [(2, &b"a"[..])]);
    assert_eq!(datas(&group.persisted(second)), [(3, &b"b"[..]), (4, &b"c"[..])]);
    assert_eq!(group.persisted(second), []);
    assert_eq!(group.memory(), 3);
    group.applied(4);
    assert_eq!((group.memory(), group.applied_index()), (0, 4));
    group.applied(99);
    group.applied(2);
    assert_eq!(group.applied_index(), 4);
    assert!(group.take_messages().is_empty());
    assert_eq!(group.ready(&mut out), None, "a change of commit alone is not written");
}

#[test]
fn one_later_ticket_covers_the_earlier() {
    let (mut group, _) = leader();
    let mut out = Vec::new();
    group.propose(Bytes::from_static(b"a")).unwrap();
    let first = group.ready(&mut out).unwrap();
    group.propose(Bytes::from_static(b"b")).unwrap();
    let second = group.ready(&mut out).unwrap();
    assert_eq!(group.persisted(second).len(), 2);
    assert_eq!(group.persisted(first), []);
}

#[test]
fn a_restart_commits_what_was_written() {
    let (mut group, mut written) = leader();
    for data in [&b"a"[..], b"b", b"c"] {
        group.propose(Bytes::copy_from_slice(data)).unwrap();
        group.ready(&mut written).unwrap();
    }
    // Nothing was reported as persisted; "a" had been applied elsewhere.
    let mut restored = Restored { applied_index: 2, applied_term: 1, ..Restored::default() };
    written.into_iter().for_each(|w| restored.replay(w));
    let mut group = Group::single(7, restored).unwrap();
    assert_eq!(datas(&group.committed()), [(3, &b"b"[..]), (4, &b"c"[..])]);
    assert!(!group.is_leader());
    assert_eq!(
        group.propose(Bytes::new()),
        Err(ProposeError::NotLeader { leader: None }),
        "first the campaign"
    );
    group.applied(4);
    group.campaign();
    group.propose(Bytes::from_static(b"d")).unwrap();
    let mut out = Vec::new();
    let ticket = group.ready(&mut out).unwrap();
    assert_eq!(out[0], LogWrite::HardState { group: 7, term: 2, vote: 1, commit: 4 });
    assert_eq!(datas(&group.persisted(ticket)), [(5, &b""[..]), (6, &b"d"[..])]);
}

#[test]
fn a_log_with_holes_is_not_started() {
    let entry = |index, term| LogEntry { index, term, kind: EntryKind::Normal, data: Bytes::new() };
    let base = Restored { term: 2, applied_index: 5, applied_term: 2, ..Restored::default() };
    let cases = [
        (vec![entry(7, 2)], 0, RestoreError::Gap { group: 7, missing: 6 }),
        (vec![entry(6, 2), entry(8, 2)], 0, RestoreError::Gap { group: 7, missing: 7 }),
        (vec![entry(6, 1)], 0, RestoreError::TermOrder { group: 7, index: 6 }),
        (vec![entry(6, 2)], 9, RestoreError::Truncated { group: 7, last: 6, commit: 9 }),
    ];
    for (tail, commit, want) in cases {
        let restored = Restored { tail, commit, ..base.clone() };
        assert_eq!(Group::single(7, restored).err(), Some(want));
    }
    let good = Restored { tail: vec![entry(4, 1), entry(5, 2), entry(6, 3)], ..base };
    let mut group = Group::single(7, good).unwrap();
    assert_eq!((group.term(), group.last_index(), group.committed().len()), (3, 6, 1));
}

#[test]
fn replay_lets_a_later_entry_replace_the_tail() {
    let entry = |index, term| LogWrite::Entry {
        group: 1,
        term,
        index,
        kind: EntryKind::Normal,
        data: Bytes::new(),
    };
    let mut restored = Restored::default();
    for w in [entry(1, 1), entry(2, 1), entry(3, 1), entry(2, 2)] {
        restored.replay(w);
    }
    let tail: Vec<_> = restored.tail.iter().map(|e| (e.index, e.term)).collect();
    assert_eq!(tail, [(1, 1), (2, 2)]);
    restored.replay(LogWrite::Snapshot { group: 1, term: 3, index: 9, data: Bytes::new() });
    assert!(restored.tail.is_empty());
    assert_eq!((restored.applied_index, restored.commit), (9, 9));
}

#[test]
fn a_full_group_says_so_until_it_commits() {
    let (mut group, _) = leader();
    let big = Bytes::from(vec![0u8; MAX_UNCOMMITTED / 2 + 1]);
    group.propose(big.clone()).unwrap();
    assert_eq!(group.propose(big.clone()), Err(ProposeError::Full));
    group.propose(Bytes::from_static(b"small")).unwrap();
    let mut out = Vec::new();
    let ticket = group.ready(&mut out).unwrap();
    assert_eq!(group.propose(big.clone()), Err(ProposeError::Full));
    assert_eq!(group.persisted(ticket).len(), 2);
    group.propose(big).unwrap();
}

/// Replicas in one thread; messages travel through a list.
struct Cluster {
    groups: BTreeMap<u64, Group>,
    written: BTreeMap<u64, Vec<LogWrite>>,
    applied: BTreeMap<u64, Vec<Bytes>>,
    cut: Option<u64>,
}

fn settings(node: u64) -> Settings {
    Settings {
        group: 9,
        node,
        voters: vec![1, 2, 3],
        learners: Vec::new(),
        election_ticks: 10,
        heartbeat_ticks: 2,
    }
}

impl Cluster {
    fn new() -> Self {
        let groups: BTreeMap<_, _> = (1..=3)
            .map(|n| (n, Group::member(settings(n), Restored::default()).unwrap()))
            .collect();
        Cluster { groups, written: BTreeMap::new(), applied: BTreeMap::new(), cut: None }
    }

    /// Writes, sends and applies until nothing happens.
    fn settle(&mut self) {
        for _ in 0..200 {
            let mut messages = Vec::new();
            let mut busy = false;
            for (node, group) in &mut self.groups {
                let written = self.written.entry(*node).or_default();
                let before = written.len();
                let ticket = group.ready(written);
                messages.extend(group.take_messages());
                let committed = match ticket {
                    Some(t) => group.persisted(t),
                    None => group.committed(),
                };
                busy |= written.len() > before || !committed.is_empty();
                for c in committed {
                    group.apply_change(&c);
                    group.applied(c.index);
                    if !c.data.is_empty() {
                        self.applied.entry(*node).or_default().push(c.data);
                    }
                }
                messages.extend(group.take_messages());
            }
            busy |= !messages.is_empty();
            for m in messages {
                let reachable = self.cut != Some(m.from) && self.cut != Some(m.to);
                if reachable && let Some(group) = self.groups.get_mut(&m.to) {
                    // Through the wire format, as between nodes.
                    let m = Message::decode(Bytes::from(m.encode_to_vec())).unwrap();
                    let _ = group.step(m);
                }
            }
            if !busy {
                return;
            }
        }
        panic!("the replicas never come to rest");
    }

    fn tick(&mut self, times: usize) {
        for _ in 0..times {
            self.groups.values_mut().for_each(Group::tick);
            self.settle();
        }
    }

    fn leaders(&self) -> Vec<u64> {
        let up = self.groups.iter().filter(|(n, _)| self.cut != Some(**n));
        up.filter(|(_, g)| g.is_leader()).map(|(n, _)| *n).collect()
    }

    fn propose(&mut self, node: u64, data: &'static [u8]) {
        self.groups.get_mut(&node).unwrap().propose(Bytes::from_static(data)).unwrap();
        self.settle();
    }

    fn restart(&mut self, node: u64) {
        let mut restored = Restored::default();
        self.written[&node].iter().cloned().for_each(|w| restored.replay(w));
        self.applied.remove(&node);
        self.groups.insert(node, Group::member(settings(node), restored).unwrap());
    }
}

#[test]
fn three_replicas_agree_and_survive_the_loss_of_one() {
    let mut c = Cluster::new();
    c.groups.get_mut(&1).unwrap().campaign();
    c.settle();
    assert_eq!(c.leaders(), [1]);
    c.propose(1, b"a");
    c.tick(2);
    for n in 1..=3 {
        assert_eq!(c.applied[&n], [&b"a"[..]], "node {n}");
    }

    c.cut = Some(1);
    for n in 2..=3 {
        assert!(matches!(
            c.groups.get_mut(&n).unwrap().propose(Bytes::new()),
            Err(ProposeError::NotLeader { .. })
        ));
    }
    c.tick(60);
    let [second] = c.leaders()[..] else { panic!("leaders {:?}", c.leaders()) };
    c.propose(second, b"b");
    // What the old leader takes meanwhile is never committed.
    if c.groups[&1].is_leader() {
        c.propose(1, b"lost");
    }
    c.cut = None;
    c.tick(30);
    for n in 1..=3 {
        assert_eq!(c.applied[&n], [&b"a"[..], b"b"], "node {n}");
    }

    c.restart(3);
    c.tick(60);
    assert_eq!(c.applied[&3], [&b"a"[..], b"b"]);
    let [third] = c.leaders()[..] else { panic!("leaders {:?}", c.leaders()) };
    c.propose(third, b"c");
    c.tick(4);
    for n in 1..=3 {
        assert_eq!(c.applied[&n], [&b"a"[..], b"b", b"c"], "node {n}");
    }
}

#[test]
fn a_follower_behind_the_log_gets_a_snapshot() {
    let mut c = Cluster::new();
    c.groups.get_mut(&1).unwrap().campaign();
    c.settle();
    c.cut = Some(3);
    c.propose(1, b"a");
    c.propose(1, b"b");
    for n in 1..=2 {
        let group = c.groups.get_mut(&n).unwrap();
        group.compact(u64::MAX);
        group.offer_snapshot(Bytes::from_static(b"where to fetch"));
    }
    c.cut = None;
    c.tick(40);
    let got = c.written[&3].iter().any(
        |w| matches!(w, LogWrite::Snapshot { index: 3, data, .. } if &data[..] == b"where to fetch"),
    );
    assert!(got, "{:?}", c.written[&3]);
    let [leader] = c.leaders()[..] else { panic!("leaders {:?}", c.leaders()) };
    c.propose(leader, b"c");
    c.tick(4);
    assert_eq!(c.applied[&3], [&b"c"[..]]);
}

#[test]
fn a_follower_answers_only_after_its_write() {
    let mut c = Cluster::new();
    c.groups.get_mut(&1).unwrap().campaign();
    c.settle();
    let leader = c.groups.get_mut(&1).unwrap();
    leader.propose(Bytes::from_static(b"x")).unwrap();
    leader.ready(&mut Vec::new()).unwrap();
    let append = leader.take_messages().into_iter().find(|m| m.to == 2).unwrap();
    assert_eq!(append.get_msg_type(), MessageType::MsgAppend, "leaves before the write");
    let follower = c.groups.get_mut(&2).unwrap();
    follower.step(append).unwrap();
    let ticket = follower.ready(&mut Vec::new()).unwrap();
    assert!(follower.take_messages().is_empty());
    follower.persisted(ticket);
    let answers = follower.take_messages();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].get_msg_type(), MessageType::MsgAppendResponse);
}

#[test]
fn messages_that_would_make_raft_panic_are_refused() {
    let mut c = Cluster::new();
    c.groups.get_mut(&1).unwrap().campaign();
    c.settle();
    c.propose(1, b"a");
    c.tick(2);
    let message = |msg_type: MessageType, change: fn(&mut Message)| {
        let mut m = Message { msg_type: msg_type as i32, from: 1, to: 2, ..Message::default() };
        m.term = 1;
        change(&mut m);
        m
    };
    let entry = |index, term| Entry { index, term, ..Entry::default() };
    let mut conflicting = message(MessageType::MsgAppend, |_| {});
    conflicting.index = 1;
    conflicting.log_term = 1;
    conflicting.term = 5;
    conflicting.entries = vec![entry(2, 5)];
    let mut gap = message(MessageType::MsgAppend, |m| m.index = 2);
    gap.entries = vec![entry(4, 1)];
    let cases = [
        (message(MessageType::MsgHeartbeat, |m| m.commit = 99), StepError::Inconsistent),
        (conflicting, StepError::Inconsistent),
        (gap, StepError::Inconsistent),
        (message(MessageType::MsgPropose, |_| {}), StepError::Foreign),
        (message(MessageType::MsgHup, |_| {}), StepError::Foreign),
        (message(MessageType::MsgHeartbeat, |m| m.msg_type = 99), StepError::Foreign),
        (message(MessageType::MsgHeartbeat, |m| m.to = 3), StepError::Foreign),
        (message(MessageType::MsgAppendResponse, |m| m.from = 77), StepError::Foreign),
    ];
    let group = c.groups.get_mut(&2).unwrap();
    for (m, want) in cases {
        assert_eq!(group.step(m.clone()), Err(want), "{m:?}");
    }
    let lead = c.groups.get_mut(&1).unwrap();
    let mut answer = Message { from: 2, to: 1, term: 1, index: 99, ..Message::default() };
    answer.msg_type = MessageType::MsgAppendResponse as i32;
    assert_eq!(lead.step(answer.clone()), Err(StepError::Inconsistent));
    (answer.index, answer.reject) = (1, true);
    assert_eq!(lead.step(answer), Err(StepError::Dropped));
}

#[test]
fn a_panic_in_one_group_leaves_others_alone() {
    let (mut broken, _) = leader();
    let (mut fine, _) = leader();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        // Past the checks, straight into raft.
        broken.node.advance_apply_to(99);
    }));
    assert!(panicked.is_err());
    drop(broken);
    fine.propose(Bytes::from_static(b"x")).unwrap();
    let ticket = fine.ready(&mut Vec::new()).unwrap();
    assert_eq!(fine.persisted(ticket).len(), 1);
}
