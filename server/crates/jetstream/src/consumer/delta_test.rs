//! Deltas and checkpoints: size, round trip, hostile input.

use super::fixture::{T0, config};
use super::state::{ConsumerState, Op, Pending, Position, Ranges, SkipList};
use super::{Consumer, FormatError, StreamFacts, checkpoint, delta};
use crate::config::AckPolicy;
use bytes::BytesMut;
use delta::{DeltaBuffer, DeltaReader, Step};
use proptest::prelude::*;

fn op() -> impl Strategy<Value = Op> {
    let seq = prop_oneof![0u64..50, Just(u64::MAX), any::<u64>()];
    let ts = prop_oneof![Just(T0), any::<i64>()];
    (0u8..11, seq, 1u64..9, ts).prop_map(|(kind, seq, n, ts)| match kind {
        0 => Op::Start { next: seq },
        1 | 2 => Op::Deliver { first: seq, n, ts },
        3 => Op::Redeliver { seq, ts },
        4 | 5 => Op::Ack { first: seq, n },
        6 => Op::AckUpTo { dseq: n, seq },
        7 => Op::Touch { seq, ts },
        8 => Op::Exceed { seq },
        9 => Op::Advance { next: seq },
        _ => Op::SkipGone { seq },
    })
}

fn steps(body: &[u8]) -> Result<Vec<Step>, FormatError> {
    let mut r = DeltaReader::new(body)?;
    std::iter::from_fn(|| r.next_step().transpose()).collect()
}

fn replay(ops: impl Iterator<Item = Step>, policy: AckPolicy) -> ConsumerState {
    let mut s = ConsumerState::default();
    for step in ops {
        match step {
            Step::Op(op) => s.apply(op, policy, &mut Ranges::default()),
            Step::Skip(skip) => s.set_skip(skip),
        }
    }
    s
}

fn holds(s: &ConsumerState) {
    assert!(s.ack_floor.consumer <= s.delivered.consumer, "{s:?}");
    assert!(s.ack_floor.stream <= s.delivered.stream, "{s:?}");
    assert!(s.pending.keys().all(|k| *k <= s.delivered.stream), "{s:?}");
    let mut out = BytesMut::new();
    checkpoint::encode(s, &mut out);
    assert_eq!(checkpoint::decode(&out).as_ref(), Ok(s), "own checkpoint");
}

#[test]
fn a_batch_costs_bytes_per_run_not_per_message() {
    let mut d = DeltaBuffer::default();
    for seq in 1_000_000..1_001_000u64 {
        d.push(Op::Deliver { first: seq, n: 1, ts: T0 });
    }
    for seq in 1_000_000..1_000_900u64 {
        d.push(Op::Ack { first: seq, n: 1 });
    }
    let mut out = BytesMut::new();
    d.take(1, 1, &mut out);
    assert_eq!(steps(&out).unwrap().len(), 2);
    assert!(out.len() <= 17 + 20 + 8, "{}", out.len());
    assert!(d.is_empty());
}

#[test]
fn newer_versions_are_named() {
    assert_eq!(steps(&[9; 17]), Err(FormatError::Version(9)));
    assert_eq!(checkpoint::decode(&[9]), Err(FormatError::Version(9)));
    let mut c = Consumer::new(config(), T0, &StreamFacts::named("S"));
    assert!(c.apply_delta(b"").is_err() && c.decode_state(b"").is_err());
}

#[test]
fn counts_cannot_ask_for_memory() {
    let mut body = vec![delta::VERSION];
    body.extend([0; 16]);
    body.extend([11, 1, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(steps(&body), Err(FormatError::Bad("count")));
    assert_eq!(
        checkpoint::decode(&[1, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0x7f]),
        Err(FormatError::Bad("count"))
    );
}

proptest! {
    #[test]
    fn what_is_collected_replays_to_the_same_state(
        ops in prop::collection::vec(op(), 0..60),
        skip in prop::collection::btree_set(1u64..100, 0..5),
        none in any::<bool>(),
    ) {
        let policy = if none { AckPolicy::None } else { AckPolicy::Explicit };
        let skip = SkipList { seqs: skip.into_iter().collect(), resume: 100 };
        let mut d = DeltaBuffer::default();
        d.push_skip(&skip);
        for op in &ops {
            d.push(*op);
        }
        let mut out = BytesMut::new();
        d.take(3, 4, &mut out);
        let direct = std::iter::once(Step::Skip(skip)).chain(ops.into_iter().map(Step::Op));
        let (a, b) = (replay(direct, policy), steps(&out));
        // Runs at the very end of the number space are refused, not wrapped.
        if let Ok(b) = b {
            let b = replay(b.into_iter(), policy);
            prop_assert_eq!(&a, &b);
        }
        holds(&a);
    }

    #[test]
    fn random_bytes_never_break_anything(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut body = vec![delta::VERSION];
        body.extend([0; 16]);
        body.extend(&bytes);
        let mut c = Consumer::new(config(), T0, &StreamFacts::named("S"));
        let _ = c.apply_delta(&body);
        holds(c.state());
        let mut body = vec![delta::VERSION];
        body.extend(&bytes);
        if let Ok(s) = checkpoint::decode(&body) {
            holds(&s);
        }
    }

    #[test]
    fn a_checkpoint_is_read_back_and_no_cut_of_it(
        pending in prop::collection::btree_map(10u64..500, (1u64..99, any::<i64>()), 0..20),
        redelivered in prop::collection::btree_map(1u64..500, 1u64..9, 0..5),
        skip in prop::option::of(prop::collection::btree_set(1u64..900, 1..5)),
    ) {
        let s = ConsumerState {
            delivered: Position { consumer: 100, stream: 500 },
            ack_floor: Position { consumer: 3, stream: 9 },
            next: 501,
            pending: pending.into_iter().map(|(k, (dseq, ts))| (k, Pending { dseq, ts })).collect(),
            redelivered,
            skip: skip.map(|s| SkipList { seqs: s.into_iter().collect(), resume: 901 }),
        };
        let mut out = BytesMut::new();
        checkpoint::encode(&s, &mut out);
        prop_assert_eq!(checkpoint::decode(&out), Ok(s));
        for cut in 0..out.len() {
            prop_assert!(checkpoint::decode(&out[..cut]).is_err());
        }
    }
}

#[test]
fn a_restored_state_keeps_the_invariants() {
    let at = |consumer, stream| Position { consumer, stream };
    let pending = [(3, 1), (5, 2), (9, 3), (6, 99)];
    let pending = pending.map(|(seq, dseq)| (seq, Pending { dseq, ts: T0 }));
    let s = ConsumerState::restored(at(4, 8), at(9, 4), pending.into(), Default::default());
    assert_eq!((s.delivered, s.ack_floor, s.next), (at(4, 8), at(4, 4), 9));
    assert_eq!(s.pending.keys().copied().collect::<Vec<_>>(), [5]);
}
