//! What a backup's items make of a stream.

use super::Restoring;
use super::fixture::{START, block, config, identity};
use crate::api::StreamState;
use crate::config::{AccountLimits, ConsumerConfig, ServerLimits, StreamConfig};
use crate::consumer::{Pending, Position};
use crate::json::{Strictness, parse};
use crate::snapshot::{ConsumerBackup, ConsumerSnapshot, RestoreItem, RestoredMessage};
use crate::stream::Stream;
use crate::time::Time;
use bytes::Bytes;
use gust_storage::store::memory::MemoryStore;

const LIMITS: ServerLimits = ServerLimits {
    duplicate_window: 0,
    max_ack_pending: 0,
    max_request_batch: 0,
    standalone: true,
};

fn state(first_seq: u64, last_seq: u64) -> RestoreItem {
    let last_ts = Time::from_nanos(START);
    let state = StreamState { first_seq, last_seq, last_ts, ..StreamState::default() };
    RestoreItem::State(Box::new(state))
}

fn message(seq: u64, subject: &str, lines: &[&str]) -> RestoreItem {
    RestoreItem::Message(RestoredMessage {
        seq,
        ts: START,
        subject: Bytes::copy_from_slice(subject.as_bytes()),
        headers: block(lines),
        payload: Bytes::from_static(b"x"),
    })
}

fn consumer(name: &str, config: &str, state: Option<&str>) -> RestoreItem {
    let config: ConsumerConfig = parse(config.as_bytes(), Strictness::Strict).unwrap();
    let state: Option<ConsumerSnapshot> =
        state.map(|s| parse(s.as_bytes(), Strictness::Strict).unwrap());
    RestoreItem::Consumer(Box::new(ConsumerBackup { name: name.to_owned(), config, state }))
}

fn restore(config: StreamConfig, items: Vec<RestoreItem>, now: i64) -> Result<Stream, String> {
    let stream = Stream::new(identity(), config, Box::new(MemoryStore::new()));
    let mut it = Restoring::new(stream, LIMITS, AccountLimits::NONE, now);
    for item in items {
        it.item(item).map_err(|e| e.to_string())?;
    }
    it.finish().map_err(|e| e.to_string())
}

fn seqs(s: &Stream) -> Vec<u64> {
    let mut out = Vec::new();
    let mut from = 0;
    while let Some(m) = s.store().next(&Default::default(), from).unwrap() {
        from = m.seq + 1;
        out.push(m.seq);
    }
    out
}

#[test]
fn sequences_gaps_and_the_end_are_kept() {
    let cases: [(&str, Vec<RestoreItem>, Vec<u64>, (u64, u64)); 6] = [
        ("empty, never used", vec![state(0, 0)], vec![], (0, 0)),
        ("empty, used", vec![state(11, 10)], vec![], (11, 10)),
        (
            "gaps within and at the end",
            vec![state(3, 9), message(3, "S.a", &[]), message(6, "S.b", &[])],
            vec![3, 6],
            (3, 9),
        ),
        ("all gone at the end", vec![state(4, 9), message(4, "S.a", &[])], vec![4], (4, 9)),
        (
            "format 1: deleted later",
            vec![
                message(1, "S.a", &[]),
                message(2, "S.a", &[]),
                RestoreItem::Delete { seq: 1, ts: START },
                RestoreItem::Delete { seq: 5, ts: 0 },
            ],
            vec![2],
            (2, 5),
        ),
        ("subjects of others", vec![state(1, 1), message(1, "other", &[])], vec![1], (1, 1)),
    ];
    for (name, items, want, ends) in cases {
        let s = restore(config("S", ""), items, START).unwrap();
        assert_eq!(seqs(&s), want, "{name}");
        let state = s.state();
        assert_eq!((state.first_seq, state.last_seq), ends, "{name}");
        assert!(state.last_seq == 0 || state.msgs == 0 || state.last_ts == START, "{name}");
    }
}

#[test]
fn limits_hold_and_ended_messages_become_gaps() {
    let items = || (1..=4).map(|n| message(n, "S.a", &[])).collect::<Vec<_>>();
    let narrow = StreamConfig { max_msgs_per_subject: 2, ..config("S", "") };
    let s = restore(narrow, items(), START).unwrap();
    assert_eq!(seqs(&s), [3, 4]);

    let items = vec![message(1, "S.a", &["Nats-TTL: 5"]), message(2, "S.a", &["Nats-TTL: 60"])];
    let later = START + 6_000_000_000;
    let s = restore(config("S", r#""allow_msg_ttl":true"#), items.clone(), later).unwrap();
    assert_eq!((seqs(&s), s.state().last_seq), (vec![2], 2));
    let s = restore(config("S", ""), items, later).unwrap();
    assert_eq!(seqs(&s), [1, 2], "without message TTLs nothing ends");
}

#[test]
fn what_contradicts_itself_is_refused() {
    let bad: [(Vec<RestoreItem>, &str); 5] = [
        (vec![message(2, "S.a", &[]), message(2, "S.a", &[])], "message 2 comes after message 2"),
        (vec![state(5, 9), message(4, "S.a", &[])], "message 4 comes after message 4"),
        (vec![message(1, "S.*", &[])], "message 1 has the subject \"S.*\""),
        (
            vec![consumer("a.b", r#"{"ack_policy":"explicit"}"#, None)],
            "consumer \"a.b\": this is no name for a consumer",
        ),
        (
            vec![
                consumer("c", r#"{"ack_policy":"explicit"}"#, None),
                consumer("c", r#"{"ack_policy":"explicit"}"#, None),
            ],
            "consumer \"c\": the backup has it twice",
        ),
    ];
    for (items, why) in bad {
        let got = restore(config("S", ""), items, START).err();
        assert_eq!(got.as_deref(), Some(why));
    }
}

#[test]
fn consumers_go_on_where_they_were() {
    let durable = r#"{"durable_name":"c","ack_policy":"explicit","deliver_policy":"all"}"#;
    let found = r#"{"delivered":{"consumer_seq":6,"stream_seq":5},
        "ack_floor":{"consumer_seq":1,"stream_seq":1},
        "pending":{"2":{"Sequence":2,"Timestamp":7},"4":{"Sequence":4,"Timestamp":9}},
        "redelivered":{"4":1}}"#;
    let mut items = vec![state(1, 4), consumer("c", durable, Some(found))];
    items.extend((1..=4).map(|n| message(n, "S.a", &[])));
    items.push(consumer("new", r#"{"ack_policy":"explicit","deliver_policy":"new"}"#, None));
    let s = restore(config("S", ""), items, START).unwrap();
    let c = s.consumer("c").unwrap();
    let got = c.state();
    // Delivered beyond the messages of the backup: taken back.
    assert_eq!(got.delivered, Position { consumer: 6, stream: 4 });
    assert_eq!((got.ack_floor, got.next), (Position { consumer: 1, stream: 1 }, 5));
    let pending: Vec<_> = got.pending.iter().map(|(s, p)| (*s, *p)).collect();
    assert_eq!(pending, [(2, Pending { dseq: 2, ts: 7 }), (4, Pending { dseq: 4, ts: 9 })]);
    assert_eq!(got.redelivered, [(4, 1)].into());
    assert_eq!(c.created(), START);
    assert_eq!(s.consumer("new").unwrap().state().next, 5);
    // And the way back gives the same document.
    let mut again = ConsumerSnapshot::of(s.consumer("c").unwrap().state());
    again.delivered.stream_seq = 5;
    let want: ConsumerSnapshot = parse(found.as_bytes(), Strictness::Strict).unwrap();
    assert_eq!(again, want);
}

#[test]
fn an_interest_stream_keeps_what_its_consumers_need() {
    let durable = r#"{"durable_name":"c","ack_policy":"explicit","filter_subject":"S.a"}"#;
    let acked = r#"{"delivered":{"consumer_seq":1,"stream_seq":1},
        "ack_floor":{"consumer_seq":1,"stream_seq":1}}"#;
    let messages = || vec![message(1, "S.a", &[]), message(2, "S.b", &[]), message(3, "S.a", &[])];
    let interest = || config("S", r#""retention":"interest""#);
    let s = restore(interest(), messages(), START).unwrap();
    assert_eq!(seqs(&s), [1, 2, 3], "without consumers nothing is decided");
    let mut items = messages();
    items.push(consumer("c", durable, Some(acked)));
    let s = restore(interest(), items, START).unwrap();
    assert_eq!(seqs(&s), [3]);
}
