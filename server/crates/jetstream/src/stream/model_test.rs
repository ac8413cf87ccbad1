//! Random sessions: whatever the leader did, its log alone leads every other
//! replica to the same state, from the beginning as well as from a checkpoint.

use super::fixture::{Bench, config, identity, replay};
use super::{Purge, Stream};
use crate::config::{AccountLimits, CreateConsumerRequest, ServerLimits};
use crate::effect::Effect;
use bytes::{Bytes, BytesMut};
use gust_storage::store::memory::MemoryStore;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Publish(u8, u8),
    Batch(u8, u8),
    Delete(u8),
    Purge(u8, u8),
    Consumer(u8),
    Gone(u8),
    Pull(u8),
    Ack,
    Wait(u16),
    Commit,
    Update(u8),
    Checkpoint,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..4u8, 0..8u8).prop_map(|(s, k)| Step::Publish(s, k)),
        2 => (0..4u8, 0..3u8).prop_map(|(s, k)| Step::Batch(s, k)),
        1 => any::<u8>().prop_map(Step::Delete),
        1 => (0..6u8, 0..3u8).prop_map(|(s, k)| Step::Purge(s, k)),
        1 => (0..3u8).prop_map(Step::Consumer),
        1 => (0..3u8).prop_map(Step::Gone),
        3 => (0..3u8).prop_map(Step::Pull),
        3 => Just(Step::Ack),
        1 => any::<u16>().prop_map(Step::Wait),
        4 => Just(Step::Commit),
        1 => (0..3u8).prop_map(Step::Update),
        1 => Just(Step::Checkpoint),
    ]
}

const CONFIGS: [&str; 7] = [
    r#""allow_rollup_hdrs":true,"allow_msg_ttl":true"#,
    r#""max_msgs":5,"max_age":20000000000,"allow_msg_ttl":true,"allow_rollup_hdrs":true,
       "subject_delete_marker_ttl":1000000000"#,
    r#""max_msgs_per_subject":2,"discard":"new","max_msgs":6,"allow_rollup_hdrs":true"#,
    r#""retention":"interest","allow_rollup_hdrs":true"#,
    r#""retention":"workqueue","max_bytes":200,"allow_atomic":true"#,
    r#""allow_msg_schedules":true,"allow_rollup_hdrs":true,"allow_msg_ttl":true,
       "allow_atomic":true"#,
    r#""allow_msg_counter":true,"allow_atomic":true"#,
];

fn publish(b: &mut Bench, which: usize, s: u8, k: u8) {
    let header = match k {
        0 => "Nats-Msg-Id: a",
        1 => "Nats-Msg-Id: b",
        2 => "Nats-Rollup: sub",
        3 => "Nats-Rollup: all",
        4 => "Nats-TTL: 2",
        5 => "Nats-Expected-Last-Subject-Sequence: 3",
        6 => "Nats-Schedule: @every 1s",
        _ => "A: b",
    };
    let (more, payload) = match which {
        6 => ("Nats-Incr: 5", ""),
        _ => ("Nats-Schedule-Target: S.t", "x"),
    };
    b.send(&format!("S.{s}"), &[header, more], payload);
}

/// A batch of two messages.
fn batch(b: &mut Bench, which: usize, s: u8, k: u8) {
    let rest = [&["A: b"][..], &["Nats-Rollup: sub"], &["Nats-Msg-Id: a"]];
    let incr = if which == 6 { "Nats-Incr: 2" } else { "B: c" };
    let payload = if which == 6 { "" } else { "y" };
    let id = ["Nats-Batch-Id: b", incr];
    let first = [&id[..], &["Nats-Batch-Sequence: 1"]].concat();
    b.send(&format!("S.{s}"), &first, payload);
    let last = ["Nats-Batch-Sequence: 2", "Nats-Batch-Commit: 1"];
    let last = [&id[..], &last, rest[usize::from(k)]].concat();
    b.send("S.1", &last, payload);
}

fn run(which: usize, steps: &[Step]) {
    let start = config("S", CONFIGS[which]);
    let mut b = Bench::with(start.clone());
    let mut acks: Vec<Bytes> = Vec::new();
    let mut checkpoints: Vec<(BytesMut, usize)> = Vec::new();
    let (server, account) = (ServerLimits::default(), AccountLimits::NONE);
    for step in steps {
        match step {
            Step::Publish(s, k) => publish(&mut b, which, *s, *k),
            Step::Batch(s, k) => batch(&mut b, which, *s, *k),
            Step::Delete(seq) => b.stream.delete_msg(u64::from(*seq % 40), true, 1),
            Step::Purge(s, keep) => {
                let filter = if *s < 4 { format!("S.{s}") } else { String::new() };
                let p = Purge { filter: filter.into(), seq: 0, keep: u64::from(*keep) };
                b.stream.purge(&p, 1);
            }
            Step::Consumer(c) => {
                let filter = match c {
                    0 => "S.0",
                    1 => "S.1",
                    _ => "S.2",
                };
                let body = format!(
                    r#"{{"stream_name":"S","config":{{"name":"c{c}","durable_name":"c{c}",
                        "ack_policy":"explicit","filter_subject":"{filter}"}}}}"#
                );
                let r: CreateConsumerRequest = crate::json::parse_lenient(body.as_bytes()).unwrap();
                b.call(|s, cx| s.create_consumer(r, server, account.clone(), 1, cx));
            }
            Step::Gone(c) => b.call(|s, cx| s.delete_consumer(&format!("c{c}"), 1, cx)),
            Step::Pull(c) => {
                b.call(|s, cx| {
                    s.pull(&format!("c{c}"), Bytes::from_static(b"pull"), b"", b"3", cx)
                });
            }
            Step::Ack => {
                if !acks.is_empty() {
                    let ack = acks.remove(0);
                    b.call(|s, cx| s.ack(&ack, &Bytes::from_static(b"done"), b"+ACK", cx));
                }
            }
            Step::Wait(ms) => {
                b.now += i64::from(*ms) * 1_000_000;
                b.call(|s, cx| s.on_timer(cx));
            }
            Step::Commit => b.commit(),
            Step::Update(k) => {
                let mut c = b.stream.config().clone();
                c.max_msgs = [3, 8, -1][usize::from(*k)];
                b.call(|s, cx| s.update_config(c, 1, cx));
            }
            Step::Checkpoint => {
                let mut blob = BytesMut::new();
                b.stream.checkpoint_app(&mut blob);
                checkpoints.push((blob, b.log.len()));
            }
        }
        let delivered = b.fx.drain(..).filter_map(|e| match e {
            Effect::Publish(p) if p.reply.starts_with(b"$JS.ACK") => Some(p.reply),
            _ => None,
        });
        acks.extend(delivered);
        check_floors(&b.stream);
    }
    b.commit();
    let want = b.stream.state_hash().unwrap();
    assert_eq!(b.replica(start.clone()).state_hash().unwrap(), want, "full replay");
    for (blob, at) in checkpoints {
        // The store of that moment, made by replaying up to it.
        let mut old = Stream::new(identity(), start.clone(), Box::new(MemoryStore::new()));
        replay(&mut old, &b.log[..at]);
        let mut s = Stream::recover(identity(), &blob, old.into_store()).unwrap();
        assert_eq!(s.applied().0, at as u64);
        replay(&mut s, &b.log);
        assert_eq!(s.state_hash().unwrap(), want, "checkpoint at {at}");
    }
}

/// Promise 3 of the design.
fn check_floors(s: &Stream) {
    for c in s.consumers() {
        let st = c.state();
        assert!(st.ack_floor.stream <= st.delivered.stream);
        assert!(st.delivered.stream <= s.state().last_seq);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn replicas_agree(which in 0..CONFIGS.len(), steps in prop::collection::vec(step(), 1..80)) {
        run(which, &steps);
    }
}
