//! Random schedules of three replicas: messages lost, doubled and reordered,
//! crashes that forget what was not durable. After every step no two replicas
//! may have applied different entries at an index, and afterwards, with faults
//! off, all must hold everything that any of them ever applied.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Action {
    Tick(u64),
    Propose(u64),
    /// Hands out writes; they become durable only with `Persist`.
    Ready(u64),
    Persist(u64),
    /// Delivers the message at this place, keeping a copy if `true`.
    Deliver(usize, bool),
    Drop(usize),
    Crash(u64),
    Compact(u64),
}

fn action() -> impl Strategy<Value = Action> {
    let node = 1u64..=3;
    prop_oneof![
        4 => node.clone().prop_map(Action::Tick),
        3 => node.clone().prop_map(Action::Propose),
        5 => node.clone().prop_map(Action::Ready),
        5 => node.clone().prop_map(Action::Persist),
        10 => (any::<usize>(), prop::bool::weighted(0.1)).prop_map(|(n, d)| Action::Deliver(n, d)),
        1 => any::<usize>().prop_map(Action::Drop),
        1 => node.clone().prop_map(Action::Crash),
        1 => node.prop_map(Action::Compact),
    ]
}

struct Replica {
    group: Group,
    /// What survives a crash, and writes on their way there.
    durable: Vec<LogWrite>,
    underway: VecDeque<(Ticket, Vec<LogWrite>)>,
    applied: u64,
}

struct World {
    replicas: BTreeMap<u64, Replica>,
    network: Vec<Message>,
    /// What was applied at each index, by whomever first.
    truth: BTreeMap<u64, (u64, Bytes)>,
    proposed: u64,
}

fn settings(node: u64) -> Settings {
    Settings {
        group: 1,
        node,
        voters: vec![1, 2, 3],
        learners: Vec::new(),
        election_ticks: 10,
        heartbeat_ticks: 3,
    }
}

impl World {
    fn new() -> Self {
        let replica = |n| Replica {
            group: Group::member(settings(n), Restored::default()).unwrap(),
            durable: Vec::new(),
            underway: VecDeque::new(),
            applied: 0,
        };
        World {
            replicas: (1..=3).map(|n| (n, replica(n))).collect(),
            network: Vec::new(),
            truth: BTreeMap::new(),
            proposed: 0,
        }
    }

    fn apply(&mut self, node: u64, committed: Vec<Committed>) {
        let replica = self.replicas.get_mut(&node).unwrap();
        for c in committed {
            assert!(c.index > replica.applied, "node {node} applies {} twice", c.index);
            let entry = self.truth.entry(c.index).or_insert_with(|| (c.term, c.data.clone()));
            assert_eq!(*entry, (c.term, c.data), "node {node} differs at {}", c.index);
            replica.applied = c.index;
            replica.group.applied(c.index);
        }
    }

    fn step(&mut self, action: &Action) {
        match *action {
            Action::Tick(n) => {
                let group = &mut self.replicas.get_mut(&n).unwrap().group;
                // The thread's randomness must not decide, or a case could not
                // be repeated.
                group.set_election_timeout(10 + n as usize * 3);
                (0..4).for_each(|_| group.tick());
            }
            Action::Propose(n) => {
                let data = Bytes::from(format!("m{}", self.proposed));
                if self.replicas.get_mut(&n).unwrap().group.propose(data).is_ok() {
                    self.proposed += 1;
                }
            }
            Action::Ready(n) => {
                let r = self.replicas.get_mut(&n).unwrap();
                let mut out = Vec::new();
                if let Some(ticket) = r.group.ready(&mut out) {
                    r.underway.push_back((ticket, out));
                }
                self.network.append(&mut r.group.take_messages());
                let committed = r.group.committed();
                self.apply(n, committed);
            }
            Action::Persist(n) => {
                let r = self.replicas.get_mut(&n).unwrap();
                if let Some((ticket, writes)) = r.underway.pop_front() {
                    r.durable.extend(writes);
                    let committed = r.group.persisted(ticket);
                    self.network.append(&mut r.group.take_messages());
                    self.apply(n, committed);
                }
            }
            Action::Deliver(at, keep) if !self.network.is_empty() => {
                let at = at % self.network.len();
                let m = if keep { self.network[at].clone() } else { self.network.remove(at) };
                // Refusals are part of the game.
                let _ = self.replicas.get_mut(&m.to).unwrap().group.step(m);
            }
            Action::Drop(at) if !self.network.is_empty() => {
                let at = at % self.network.len();
                self.network.swap_remove(at);
            }
            Action::Deliver(..) | Action::Drop(_) => {}
            Action::Crash(n) => self.crash(n),
            Action::Compact(n) => {
                // Stays within what every replica applied: state transfer is
                // not part of this model.
                let safe = self.replicas.values().map(|r| r.applied).min().unwrap_or(0);
                self.replicas.get_mut(&n).unwrap().group.compact(safe);
            }
        }
        let terms: Vec<_> = self.replicas.values().filter(|r| r.group.is_leader()).collect();
        for (i, a) in terms.iter().enumerate() {
            assert!(terms[..i].iter().all(|b| a.group.term() != b.group.term()), "two leaders");
        }
    }

    /// The process ends; only durable writes are left. The state machine is
    /// rebuilt from the log, as applied state was never made durable here.
    fn crash(&mut self, n: u64) {
        let r = self.replicas.get_mut(&n).unwrap();
        let mut restored = Restored::default();
        r.durable.iter().cloned().for_each(|w| restored.replay(w));
        r.group = Group::member(settings(n), restored).unwrap();
        r.underway.clear();
        r.applied = 0;
    }

    fn heal(&mut self) {
        for round in 0..800 {
            for n in 1..=3 {
                self.step(&Action::Ready(n));
                while !self.replicas[&n].underway.is_empty() {
                    self.step(&Action::Persist(n));
                }
            }
            if round % 4 == 0 {
                for (n, r) in &mut self.replicas {
                    r.group.set_election_timeout(10 + *n as usize * 3);
                    r.group.tick();
                }
            }
            for _ in 0..self.network.len() {
                self.step(&Action::Deliver(0, false));
            }
        }
        let last = self.truth.keys().next_back().copied().unwrap_or(0);
        assert!(last > 0, "nobody ever led");
        for (n, r) in &self.replicas {
            assert_eq!(r.applied, last, "node {n} is behind");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn replicas_never_disagree(actions in prop::collection::vec(action(), 0..400)) {
        let mut world = World::new();
        for a in &actions {
            world.step(a);
        }
        world.heal();
    }

    /// A single voter: whatever was reported as committed is there after a
    /// crash, in the same order, whichever unreported writes survived with it.
    #[test]
    fn a_single_voter_forgets_nothing(
        rounds in prop::collection::vec((1usize..4, 0usize..4, 0u8..12, any::<bool>()), 1..40),
    ) {
        let mut durable: Vec<LogWrite> = Vec::new();
        let mut seen: Vec<(u64, Bytes)> = Vec::new();
        let (mut at, mut next) = (Restored::default(), 0u64);
        let mut group = Group::single(1, Restored::default()).unwrap();
        group.campaign();
        let mut underway: VecDeque<(Ticket, Vec<LogWrite>)> = VecDeque::new();
        for (proposals, persists, crash, apply) in rounds {
            for _ in 0..proposals {
                next += 1;
                group.propose(Bytes::from(next.to_string())).unwrap();
            }
            let mut out = Vec::new();
            if let Some(t) = group.ready(&mut out) {
                underway.push_back((t, out));
            }
            for _ in 0..persists {
                let Some((t, writes)) = underway.pop_front() else { break };
                durable.extend(writes);
                for c in group.persisted(t) {
                    seen.push((c.index, c.data.clone()));
                    if apply {
                        (at.applied_index, at.applied_term) = (c.index, c.term);
                        group.applied(c.index);
                    }
                }
            }
            if crash == 0 {
                // A write may reach the disk without anybody having heard of it.
                if let Some((_, writes)) = underway.pop_front() {
                    durable.extend(writes);
                }
                underway.clear();
                let mut restored = at.clone();
                durable.iter().cloned().for_each(|w| restored.replay(w));
                group = Group::single(1, restored).unwrap();
                seen.retain(|(index, _)| *index <= at.applied_index);
                let replayed = group.committed();
                seen.extend(replayed.iter().map(|c| (c.index, c.data.clone())));
                group.campaign();
            }
            let indexes: Vec<u64> = seen.iter().map(|(i, _)| *i).collect();
            prop_assert_eq!(indexes, (1..=seen.len() as u64).collect::<Vec<_>>());
        }
        // Proposals keep their order; those lost in a crash were never reported.
        let numbers: Vec<u64> =
            seen.iter().filter_map(|(_, d)| std::str::from_utf8(d).ok()?.parse().ok()).collect();
        prop_assert!(numbers.windows(2).all(|w| w[0] < w[1]), "{:?}", numbers);
    }
}
