//! Random sessions. The leader's deltas, replayed on a second replica, must give
//! the same state; the positions keep their order; `num_pending` is what a naive
//! count says; nothing is lost: at the end every message stored after the
//! creation that matches and still exists has been delivered.

use super::Consumer;
use super::fixture::*;
use crate::config::{AckPolicy, ConsumerConfig, DeliverPolicy};
use crate::effect::Effect;
use gust_storage::store::{Filter, StreamStore};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    Pull(u8),
    Ack(usize, u8),
    Remove(u64),
    Purge(u64),
    PurgeSubject(u8, u64),
    Wait(i64),
    Commit,
    NewLeader,
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..4).prop_map(Step::Put),
        5 => (1u8..6).prop_map(Step::Pull),
        8 => (0usize..8, 0u8..7).prop_map(|(i, how)| Step::Ack(i, how)),
        1 => (1u64..40).prop_map(Step::Remove),
        1 => (1u64..30).prop_map(Step::Purge),
        1 => (0u8..4, 0u64..3).prop_map(|(s, keep)| Step::PurgeSubject(s, keep)),
        2 => (1i64..40).prop_map(Step::Wait),
        4 => Just(Step::Commit),
        1 => Just(Step::NewLeader),
        1 => Just(Step::Reset),
    ]
}

const SUBJECTS: [&str; 4] = ["a", "b.x", "b.y", "c"];

fn check(w: &World) {
    let s = w.c.live();
    let last = w.store.state().last_seq;
    assert!(s.ack_floor.consumer <= s.delivered.consumer, "{s:?}");
    assert!(s.ack_floor.stream <= s.delivered.stream, "{s:?}");
    assert!(s.delivered.stream <= last, "{s:?}");
    let inside = |k: &u64| *k > s.ack_floor.stream && *k <= s.delivered.stream;
    assert!(s.pending.keys().all(inside), "{s:?}");
    let filters = w.c.config().filters().map(|f| f.to_string().into()).collect();
    let filter = Filter { subjects: filters };
    let (candidates, from) = match &s.skip {
        Some(skip) => {
            let alive = |q: &&u64| w.store.load(**q).unwrap().is_some();
            (skip.seqs.iter().filter(alive).count() as u64, skip.resume)
        }
        None => (0, s.next),
    };
    let naive = candidates + w.store.num_pending(&filter, from, false).unwrap();
    assert_eq!(w.num_pending(), naive, "{s:?}");
}

fn sequences(out: &[Effect]) -> impl Iterator<Item = u64> + '_ {
    out.iter().filter_map(|e| match e {
        Effect::Publish(o) => Some(super::AckSubject::parse(&o.reply)?.stream_seq),
        _ => None,
    })
}

fn run(c: ConsumerConfig, start: &[u8], steps: &[Step]) {
    let stored: Vec<_> = start.iter().map(|s| SUBJECTS[usize::from(*s)]).collect();
    let mut w = World::over(c, &stored);
    w.commit();
    check(&w);
    for (i, step) in steps.iter().enumerate() {
        match step {
            Step::Put(s) => {
                w.put(SUBJECTS[usize::from(*s)]);
                w.deliver();
            }
            Step::Pull(n) => w.pull("r", &format!(r#"{{"batch":{n},"expires":20000000000}}"#)),
            Step::Ack(at, how) => {
                let pending = &w.c.live().pending;
                let Some((&seq, p)) = pending.iter().nth(*at) else { continue };
                let dseq = p.dseq;
                let payload =
                    ["", "", "-NAK", "+TERM", "+WPI", "-NAK 5s", "+NXT"][usize::from(*how)];
                w.ack(seq, dseq, "k", payload);
            }
            Step::Remove(seq) => {
                w.remove(*seq);
            }
            Step::Purge(seq) => {
                let seq = (*seq).min(w.store.state().last_seq + 1);
                w.store.purge_below(seq).unwrap();
                w.act(|c, cx| c.on_bulk_removed(cx));
            }
            Step::PurgeSubject(s, keep) => {
                let filter = Filter { subjects: vec![SUBJECTS[usize::from(*s)].into()] };
                w.store.purge_filter(&filter, 0, *keep).unwrap();
                w.act(|c, cx| c.on_bulk_removed(cx));
            }
            Step::Wait(s) => {
                w.wait(s * SEC);
            }
            Step::Commit => {
                w.commit();
            }
            Step::NewLeader => w.act(|c, cx| c.lead(cx, i as u64, i as u64 + 100)),
            Step::Reset => {
                let _ = w.act(|c, cx| c.reset(cx, 0, "k".into()));
            }
        }
        check(&w);
    }
    w.commit();
    check(&w);
    let seen = sequences(&w.out).collect();
    finish(w, stored.len() as u64, seen);
}

/// A restart in the middle, then a well-behaved client.
fn finish(mut w: World, created_after: u64, mut seen: BTreeSet<u64>) {
    let mut bytes = Default::default();
    w.c.encode_state(&mut bytes);
    let mut fresh = Consumer::new(w.c.config().clone(), T0, &w.facts);
    fresh.decode_state(&bytes).unwrap();
    assert_eq!(fresh.state(), w.c.state());
    w.c = fresh;
    w.act(|c, cx| c.lead(cx, 99, 99));
    for _ in 0..200 {
        w.out.clear();
        w.pull("r", "10");
        w.wait(31 * SEC);
        let out = std::mem::take(&mut w.out);
        seen.extend(sequences(&out));
        for e in &out {
            if let Effect::Publish(o) = e {
                let ack = std::str::from_utf8(&o.reply).unwrap().to_string();
                w.act(|c, cx| c.on_ack(cx, ack.as_bytes(), &"".into(), b""));
            }
        }
        w.commit();
        check(&w);
        if w.num_pending() == 0 && w.c.live().pending.is_empty() {
            let s = w.c.live();
            assert_eq!(s.ack_floor, s.delivered);
            for seq in created_after + 1..=w.store.state().last_seq {
                let stored = w.store.load(seq).unwrap();
                let wanted = stored.is_some_and(|m| w.c.wants(&m.subject));
                assert!(!wanted || seen.contains(&seq), "{seq} was never delivered");
            }
            return;
        }
    }
    panic!("never done: {} {}", w.num_pending(), w.state());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn replicas_agree_and_invariants_hold(
        policy in prop_oneof![
            Just(AckPolicy::Explicit), Just(AckPolicy::All), Just(AckPolicy::None)
        ],
        start_at in prop_oneof![
            Just(DeliverPolicy::All), Just(DeliverPolicy::New), Just(DeliverPolicy::LastPerSubject)
        ],
        filter in prop_oneof![
            Just(vec![]), Just(vec!["a"]), Just(vec!["b.*"]), Just(vec!["a", "b.x"])
        ],
        max_deliver in prop_oneof![Just(-1i64), Just(2)],
        max_ack_pending in prop_oneof![Just(-1i64), Just(3)],
        start in prop::collection::vec(0u8..4, 0..12),
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let c = ConsumerConfig {
            ack_policy: policy,
            deliver_policy: start_at,
            filter_subjects: filter.into_iter().map(String::from).collect(),
            max_deliver,
            max_ack_pending,
            ..config()
        };
        run(c, &start, &steps);
    }
}
