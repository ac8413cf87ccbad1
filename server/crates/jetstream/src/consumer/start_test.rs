//! Start positions, `last_per_subject`, RESET, exact `num_pending`.

use super::fixture::*;
use super::{Consumer, ResetError, start_delta};
use crate::config::{ConsumerConfig, DeliverPolicy};
use crate::time::Time;
use bytes::Bytes;
use gust_storage::store::StreamStore;

const STORED: [&str; 6] = ["a", "b", "a", "c", "b", "a"];

fn policy(deliver_policy: DeliverPolicy) -> ConsumerConfig {
    ConsumerConfig { deliver_policy, ..config() }
}

/// Messages one second apart, then a consumer.
fn begun(c: ConsumerConfig, first: u64) -> World {
    let mut w = World::new(config());
    for s in STORED {
        w.put(s);
        w.now += SEC;
    }
    w.store.purge_below(first).unwrap();
    w.out.clear();
    let delta = start_delta(&c, &w.store, &w.facts).unwrap();
    w.c = Consumer::new(c.clone(), w.now, &w.facts);
    w.follower = Consumer::new(c, w.now, &w.facts);
    w.c.apply_delta(&delta).unwrap();
    w.follower.apply_delta(&delta).unwrap();
    w.act(|c, cx| c.lead(cx, 1, 1));
    w
}

fn drain(w: &mut World) -> Vec<u64> {
    w.pull("r", "99");
    let seqs = w
        .lines()
        .iter()
        .filter_map(|l| l.split("ack ").nth(1)?.split('.').nth(1)?.parse().ok())
        .collect();
    w.commit();
    seqs
}

#[test]
fn each_policy_starts_where_it_should() {
    let seq = |n| ConsumerConfig { opt_start_seq: n, ..policy(DeliverPolicy::ByStartSequence) };
    let time = |ns| ConsumerConfig {
        opt_start_time: Some(Time::from_nanos(ns)),
        ..policy(DeliverPolicy::ByStartTime)
    };
    let only = |f: &str, c: ConsumerConfig| ConsumerConfig { filter_subject: f.into(), ..c };
    for (c, first, start, got) in [
        (policy(DeliverPolicy::All), 1, 1, vec![1, 2, 3, 4, 5, 6]),
        (policy(DeliverPolicy::All), 4, 4, vec![4, 5, 6]),
        (policy(DeliverPolicy::New), 1, 7, vec![]),
        (policy(DeliverPolicy::Last), 1, 6, vec![6]),
        (only("c", policy(DeliverPolicy::Last)), 1, 4, vec![4]),
        (only("x", policy(DeliverPolicy::Last)), 1, 1, vec![]),
        (seq(5), 1, 5, vec![5, 6]),
        (seq(2), 4, 4, vec![4, 5, 6]),
        (seq(20), 1, 20, vec![]),
        (time(T0 + 3 * SEC), 1, 4, vec![4, 5, 6]),
        (time(T0 + 99 * SEC), 1, 7, vec![]),
        (time(0), 1, 1, vec![1, 2, 3, 4, 5, 6]),
        (only(">", policy(DeliverPolicy::LastPerSubject)), 1, 4, vec![4, 5, 6]),
        (only("b", policy(DeliverPolicy::LastPerSubject)), 1, 5, vec![5]),
        (only("x", policy(DeliverPolicy::LastPerSubject)), 1, 7, vec![]),
    ] {
        let what = format!("{:?} {} {first}", c.deliver_policy, c.filter_subject);
        let mut w = begun(c, first);
        let info = w.c.info(w.now, &w.interest);
        assert_eq!(info.delivered.stream + 1, start, "{what}");
        assert_eq!(info.ack_floor, info.delivered, "{what}");
        assert_eq!(info.num_pending, got.len() as u64, "{what}");
        assert_eq!(drain(&mut w), got, "{what}");
        assert_eq!(w.num_pending(), 0, "{what}");
    }
}

#[test]
fn an_empty_stream_starts_at_one() {
    for p in [DeliverPolicy::All, DeliverPolicy::New, DeliverPolicy::Last] {
        let mut w = World::new(policy(p));
        w.put("a");
        assert_eq!(drain(&mut w), [1], "{p:?}");
    }
}

#[test]
fn a_start_in_the_future_waits_for_it() {
    let c = ConsumerConfig { opt_start_seq: 3, ..policy(DeliverPolicy::ByStartSequence) };
    let mut w = World::new(c);
    for n in [0, 0, 1] {
        w.put("a");
        assert_eq!(w.num_pending(), n);
    }
    assert_eq!(drain(&mut w), [3]);
}

#[test]
fn last_per_subject_counts_removed_candidates_out_and_goes_on() {
    let c = ConsumerConfig { filter_subject: ">".into(), ..policy(DeliverPolicy::LastPerSubject) };
    let mut w = begun(c, 1);
    w.put("a");
    assert_eq!(w.num_pending(), 4);
    w.remove(2);
    assert_eq!(w.num_pending(), 4, "it was no candidate");
    w.remove(5);
    assert_eq!(w.num_pending(), 3);
    assert_eq!(drain(&mut w), [4, 6, 7]);
    assert_eq!(w.c.live().skip, None);
    // With one message per subject it is a plain consumer.
    let c = ConsumerConfig { filter_subject: ">".into(), ..policy(DeliverPolicy::LastPerSubject) };
    w.facts.max_msgs_per_subject = 1;
    w.c = Consumer::new(c, w.now, &w.facts);
    w.act(|c, cx| c.lead(cx, 1, 1));
    assert_eq!(w.c.live().skip, None);
}

#[test]
fn the_last_candidate_may_vanish() {
    let c = ConsumerConfig { filter_subject: "c".into(), ..policy(DeliverPolicy::LastPerSubject) };
    let mut w = begun(c, 1);
    w.remove(4);
    assert_eq!((w.num_pending(), drain(&mut w)), (0, vec![]));
    w.put("c");
    assert_eq!(drain(&mut w), [7]);
}

#[test]
fn num_pending_is_exact_while_things_come_and_go() {
    let c = ConsumerConfig { filter_subjects: vec!["a".into(), "b".into()], ..config() };
    let mut w = World::over(c, &STORED);
    assert_eq!(w.num_pending(), 5);
    w.pull("r", "2");
    assert_eq!(w.num_pending(), 3);
    w.put("c");
    w.put("b");
    assert_eq!(w.num_pending(), 4);
    w.remove(1);
    w.remove(4);
    assert_eq!(w.num_pending(), 4);
    w.remove(3);
    assert_eq!(w.num_pending(), 3);
    w.store.purge_below(6).unwrap();
    w.act(|c, cx| c.on_bulk_removed(cx));
    assert_eq!(w.num_pending(), 2);
    // New filters count anew.
    w.act(|c, cx| c.update_config(cx, ConsumerConfig { filter_subject: "c".into(), ..config() }));
    assert_eq!(w.num_pending(), 1);
    w.lines();
    assert_eq!(drain(&mut w), [7]);
}

#[test]
fn reset_goes_back_and_answers_after_commit() {
    let mut w = begun(policy(DeliverPolicy::All), 1);
    assert_eq!(drain(&mut w), [1, 2, 3, 4, 5, 6]);
    w.ack(1, 1, "", "");
    w.ack(2, 2, "", "");
    w.pull("r", "99");
    assert_eq!(w.act(|c, cx| c.reset(cx, 0, Bytes::from_static(b"k"))), Ok(3));
    assert_eq!(w.commit(), ["k reset 3"]);
    assert_eq!(w.state(), "delivered 0/2 floor 0/2 pending [] redelivered {}");
    assert_eq!(w.num_pending(), 4);
    w.deliver();
    assert_eq!(w.lines().len(), 4);
    assert_eq!(w.act(|c, cx| c.reset(cx, 6, Bytes::new())), Ok(6));
    assert_eq!(w.num_pending(), 1);
    w.commit();
}

#[test]
fn reset_keeps_to_the_configured_start() {
    let seq = ConsumerConfig { opt_start_seq: 3, ..policy(DeliverPolicy::ByStartSequence) };
    let time = ConsumerConfig {
        opt_start_time: Some(Time::from_nanos(T0 + 2 * SEC)),
        ..policy(DeliverPolicy::ByStartTime)
    };
    for (c, to, result) in [
        (seq.clone(), 2, Err(ResetError::BelowStartSeq)),
        (seq, 3, Ok(3)),
        (time.clone(), 2, Err(ResetError::BelowStartTime)),
        (time, 3, Ok(3)),
        (policy(DeliverPolicy::New), 3, Err(ResetError::NotAllowed)),
        (policy(DeliverPolicy::New), 0, Ok(7)),
    ] {
        let mut w = begun(c, 1);
        assert_eq!(w.act(|c, cx| c.reset(cx, to, Bytes::new())), result);
    }
}
