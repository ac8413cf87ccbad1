//! Pull requests: every status of contract/jetstream.md §4.4 with its exact
//! header, and when it is sent.

use super::Stop;
use super::fixture::*;
use crate::config::{AckPolicy, ConsumerConfig};
use bytes::Bytes;

fn world(n: usize) -> World {
    World::over(config(), &vec!["a"; n])
}

#[test]
fn a_batch_is_delivered_with_reply_subjects_and_exact_pending() {
    let mut w = world(3);
    w.pull("r", r#"{"batch":2}"#);
    assert_eq!(w.lines(), ["r a ack 1.1.1..2 |-| x", "r a ack 1.2.2..1 |-| x"]);
    w.pull("r", "");
    assert_eq!(w.lines(), ["r a ack 1.3.3..0 |-| x"]);
    assert_eq!(w.state(), "delivered 3/3 floor 0/0 pending [1, 2, 3] redelivered {}");
    assert_eq!(w.num_pending(), 0);
}

#[test]
fn a_request_waits_for_messages_to_come() {
    let mut w = world(0);
    w.pull("r", "2");
    w.put("a");
    w.deliver();
    w.put("b");
    w.deliver();
    assert_eq!(w.lines(), ["r a ack 1.1.1..0 |-| x", "r b ack 1.2.2..0 |-| x"]);
    assert_eq!(w.c.info(w.now, &w.interest).num_waiting, 0);
}

#[test]
fn requests_are_served_round_robin_one_message_at_a_time() {
    let mut w = world(0);
    w.pull("r1", "2");
    w.pull("r2", "2");
    for _ in 0..5 {
        w.put("a");
    }
    w.deliver();
    let to: Vec<_> = w.lines().iter().map(|l| l[..2].to_string()).collect();
    assert_eq!(to, ["r1", "r2", "r1", "r2"]);
    assert_eq!(w.num_pending(), 1);
}

#[test]
fn refusals_have_their_exact_texts() {
    let caps = ConsumerConfig { max_batch: 10, max_expires: SEC, max_bytes: 100, ..config() };
    for (body, status) in [
        (r#"{"batch":11}"#, "409 Exceeded MaxRequestBatch of 10"),
        (r#"{"batch":1,"expires":1000000001}"#, "409 Exceeded MaxRequestExpires of 1s"),
        (r#"{"batch":1,"max_bytes":101}"#, "409 Exceeded MaxRequestMaxBytes of 100"),
        (
            r#"{"batch":1,"expires":1000000000,"idle_heartbeat":500000001}"#,
            "400 Bad Request - heartbeat value too large",
        ),
        (r#"{"batch":1,"no_wait":true}"#, "404 No Messages"),
        (r#"{"priority":10}"#, "400 Bad Request - Priority must be between 0 and 9"),
        (r#"{"min_pending":1}"#, "400 Bad Request - Not a Overflow Priority consumer"),
        (r#"{"id":"x"}"#, "400 Bad Request - Not a Pinned Client Priority consumer"),
    ] {
        let mut w = World::new(caps.clone());
        w.pull("r", body);
        assert_eq!(w.lines(), [format!("r - - |{status}| -")], "{body}");
    }
    let mut w = World::new(caps);
    w.pull("r", "{nonsense");
    assert!(w.lines()[0].starts_with("r - - |400 Bad Request - "));
}

#[test]
fn push_consumers_refuse_pulls() {
    let mut w = World::new(push_config());
    w.pull("r", "1");
    assert_eq!(w.lines(), ["r - - |409 Consumer is push based| -"]);
}

#[test]
fn expiry_says_what_was_not_delivered() {
    let mut w = world(1);
    w.pull("r", r#"{"batch":3,"expires":1000000000,"max_bytes":1000}"#);
    w.lines();
    assert_eq!(w.c.next_deadline(), Some(T0 + SEC));
    w.wait(SEC - 1);
    assert_eq!(w.lines(), Vec::<String>::new());
    w.wait(1);
    let size = 1 + "$JS.ACK.S.c.1.1.1.1700000000000000000.0".len() + 1;
    assert_eq!(
        w.lines(),
        [format!(
            "r - - |408 Request Timeout, Nats-Pending-Messages: 2, Nats-Pending-Bytes: {}| -",
            1000 - size
        )]
    );
}

#[test]
fn no_wait_ends_with_404_once_drained() {
    let mut w = world(1);
    w.pull("r", r#"{"batch":2,"no_wait":true}"#);
    assert_eq!(w.lines(), ["r a ack 1.1.1..0 |-| x", "r - - |404 No Messages| -"]);
    // With expires and nothing there it waits, and ends after the first message.
    w.pull("r", r#"{"batch":2,"no_wait":true,"expires":1000000000}"#);
    assert_eq!(w.lines(), Vec::<String>::new());
    w.put("a");
    w.deliver();
    assert_eq!(w.lines(), ["r a ack 1.2.2..0 |-| x", "r - - |404 No Messages| -"]);
    w.pull("r", r#"{"batch":2,"no_wait":true,"expires":1000000000}"#);
    w.wait(SEC);
    assert_eq!(
        w.lines(),
        ["r - - |408 Request Timeout, Nats-Pending-Messages: 2, Nats-Pending-Bytes: 0| -"]
    );
}

#[test]
fn no_wait_behind_larger_batches_is_told_so() {
    let mut w = World::over(ConsumerConfig { max_ack_pending: 1, ..config() }, &["a"; 3]);
    w.pull("r1", "5");
    w.lines();
    w.pull("r2", r#"{"batch":1,"no_wait":true}"#);
    assert_eq!(w.lines(), ["r2 - - |408 Requests Pending| -"]);
}

#[test]
fn at_max_ack_pending_a_no_wait_request_is_neither_answered_nor_expired() {
    let mut w = World::over(ConsumerConfig { max_ack_pending: 1, ..config() }, &["a"; 3]);
    w.pull("r1", "1");
    w.lines();
    w.pull("r2", r#"{"batch":1,"no_wait":true}"#);
    w.wait(SEC);
    assert_eq!(w.lines(), Vec::<String>::new());
    w.ack(1, 1, "", "+ACK");
    assert_eq!(w.lines(), ["r2 a ack 1.2.2..1 |-| x"]);
}

#[test]
fn max_bytes_ends_requests_in_three_ways() {
    let one = 1 + "$JS.ACK.S.c.1.1.1.1700000000000000000.1".len() + 1;
    let mut w = world(3);
    // Too small for the next message.
    w.pull("r", &format!(r#"{{"batch":5,"max_bytes":{}}}"#, one - 1));
    assert_eq!(
        w.lines(),
        [format!(
            "r - - |409 Message Size Exceeds MaxBytes, Nats-Pending-Messages: 5, \
         Nats-Pending-Bytes: {}| -",
            one - 1
        )]
    );
    // Batch filled, bytes left.
    w.pull("r", &format!(r#"{{"batch":1,"max_bytes":{}}}"#, one + 5));
    assert_eq!(
        w.lines(),
        [
            "r a ack 1.1.1..2 |-| x",
            "r - - |409 Batch Completed, Nats-Pending-Messages: 0, Nats-Pending-Bytes: 5| -"
        ]
    );
    // Exactly used up: ends without a word.
    w.pull("r", &format!(r#"{{"batch":5,"max_bytes":{one}}}"#));
    assert_eq!(w.lines(), ["r a ack 1.2.2..1 |-| x"]);
    assert_eq!(w.c.info(w.now, &w.interest).num_waiting, 0);
}

#[test]
fn a_full_queue_refuses_unless_the_client_has_heartbeats() {
    let mut w = World::new(ConsumerConfig { max_waiting: 1, ..config() });
    w.pull("r1", "1");
    w.pull("r2", "1");
    assert_eq!(w.lines(), ["r2 - - |409 Exceeded MaxWaiting| -"]);
    w.pull("r3", r#"{"expires":2000000000,"idle_heartbeat":1000000000}"#);
    assert_eq!(w.lines(), Vec::<String>::new());
    // Dead requests make room.
    w.interest.deaf.insert("r1".into());
    w.now += 2 * SEC;
    w.pull("r4", "1");
    w.put("a");
    w.deliver();
    assert_eq!(w.lines(), [format!("r4 a ack 1.1.1.{}.0 |-| x", w.now)]);
}

#[test]
fn requests_without_interest_vanish_silently_except_imported_ones() {
    let mut w = world(0);
    w.pull("r1", "1");
    w.pull("_R_.x", "3");
    w.pull("r2", "1");
    w.interest.deaf.extend(["r1".to_string(), "_R_.x".to_string()]);
    w.put("a");
    w.deliver();
    assert_eq!(
        w.lines(),
        [
            "_R_.x - - |408 Interest Expired, Nats-Pending-Messages: 3, Nats-Pending-Bytes: 0| -",
            "r2 a ack 1.1.1..0 |-| x",
        ]
    );
}

#[test]
fn idle_heartbeats_tell_the_last_sequences_and_wait_after_deliveries() {
    let mut w =
        World::over(ConsumerConfig { filter_subject: "a".into(), ..config() }, &["a", "b", "b"]);
    w.pull("r", r#"{"batch":9,"expires":9000000000,"idle_heartbeat":1000000000}"#);
    w.lines();
    w.wait(SEC);
    assert_eq!(
        w.lines(),
        ["r - - |100 Idle Heartbeat, Nats-Last-Consumer: 1, Nats-Last-Stream: 3| -"]
    );
    w.now += SEC / 2;
    w.put("a");
    w.deliver();
    w.lines();
    w.wait(SEC / 2);
    assert_eq!(w.lines(), Vec::<String>::new());
    w.wait(SEC / 2);
    assert_eq!(w.lines().len(), 1);
}

#[test]
fn the_end_of_a_leadership_is_told() {
    for (why, status) in [
        (Stop::Deleted, "409 Consumer Deleted"),
        (Stop::StepDown, "409 Leadership Change"),
        (Stop::Shutdown, "409 Server Shutdown, Nats-Pending-Messages: 4, Nats-Pending-Bytes: 0"),
    ] {
        let mut w = world(0);
        w.pull("r", "4");
        w.act(|c, cx| c.stop(cx, why));
        assert_eq!(w.lines(), [format!("r - - |{status}| -")]);
    }
}

#[test]
fn odd_bodies_count_as_one() {
    for body in ["", "0", "-3", "abc", r#"{"batch":0}"#, r#"{"batch":-1}"#] {
        let mut w = world(2);
        w.pull("r", body);
        assert_eq!(w.lines().len(), 1, "{body}");
        assert_eq!(w.c.info(w.now, &w.interest).num_waiting, 0, "{body}");
    }
}

#[test]
fn headers_only_drops_the_payload_and_says_its_size() {
    let c = ConsumerConfig { headers_only: true, ack_policy: AckPolicy::None, ..config() };
    let mut w = World::new(c);
    w.put_with("a", b"", b"hello");
    w.put_with("a", b"NATS/1.0\r\nK: v\r\n\r\n", b"");
    w.pull("r", "2");
    assert_eq!(
        w.lines(),
        ["r a ack 1.1.1..1 |Nats-Msg-Size: 5| -", "r a ack 1.2.2..0 |K: v, Nats-Msg-Size: 0| -"]
    );
}

#[test]
fn a_paused_consumer_only_waits() {
    let until = crate::time::Time::from_nanos(T0 + SEC);
    let mut w = World::over(ConsumerConfig { pause_until: Some(until), ..config() }, &["a"; 2]);
    w.interest.advisories = true;
    w.pull("r", r#"{"batch":1,"no_wait":true}"#);
    assert_eq!(w.lines(), ["r - - |404 No Messages| -"]);
    w.pull("r", "1");
    let info = w.c.info(w.now, &w.interest);
    assert!(info.paused && info.pause_remaining == SEC && w.lines().is_empty());
    assert_eq!(w.c.next_deadline(), Some(T0 + SEC));
    w.wait(SEC);
    let lines = w.lines();
    assert!(lines[0].starts_with("ADVISORY.CONSUMER.PAUSE.S.c"), "{lines:?}");
    assert!(lines[0].contains(r#""paused":false"#), "{lines:?}");
    assert_eq!(lines[1], format!("r a ack 1.1.1..1 |-| x"));
    // Resuming early works as well.
    let mut c = config();
    c.pause_until = Some(crate::time::Time::from_nanos(w.now + SEC));
    w.act(|k, cx| k.update_config(cx, c));
    w.pull("r", "1");
    assert!(w.lines()[0].contains(r#""paused":true"#));
    let wake = w.act(|k, cx| k.update_config(cx, config()));
    assert!(wake.deliver);
    w.deliver();
    assert_eq!(w.lines().len(), 2);
}

#[test]
fn an_idle_pull_consumer_asks_to_be_deleted() {
    let c = ConsumerConfig { durable_name: String::new(), ..config() };
    let mut w = World::over(c, &["a"]);
    let at = w.c.next_deadline().unwrap();
    assert!((T0 + 5 * SEC + 100 * MS..=T0 + 6 * SEC).contains(&at));
    // Never while a valid request waits.
    w.put("a");
    w.pull("r", "9");
    w.now = at;
    assert!(!w.wait(0).delete);
    // Nor while an ack may still come.
    w.interest.deaf.insert("r".into());
    w.wait(7 * SEC);
    assert!(!w.wait(7 * SEC).delete);
    let at = w.c.next_deadline().unwrap();
    assert!(at >= T0 + 30 * SEC);
    w.ack(1, 1, "", "+ACK");
    w.ack(2, 2, "", "+ACK");
    assert!(w.wait(6 * SEC).delete);
}

#[test]
fn an_idle_durable_has_no_deadline() {
    let mut w = world(5);
    assert_eq!(w.c.next_deadline(), None);
    w.pull("r", "2");
    assert!(w.c.next_deadline().is_some());
    w.ack(1, 1, "", "");
    w.ack(2, 2, "", "");
    assert_eq!(w.c.next_deadline(), None);
}

#[test]
fn next_pulls_from_the_reply_of_the_ack() {
    let mut w = world(3);
    w.pull("r", "1");
    w.lines();
    w.ack(1, 1, "n", "+NXT");
    assert_eq!(w.lines(), ["n a ack 1.2.2..1 |-| x"]);
    w.ack(2, 2, "n", r#"+NXT {"batch":5,"no_wait":true}"#);
    assert_eq!(w.lines(), ["n a ack 1.3.3..0 |-| x", "n - - |404 No Messages| -"]);
    assert_eq!(w.state(), "delivered 3/3 floor 2/2 pending [3] redelivered {}");
    assert!(w.c.pull_is_bounded());
}

impl super::Consumer {
    /// The waiting queue never grows beyond `max_waiting`.
    fn pull_is_bounded(&self) -> bool {
        let max = self.rules.max_waiting;
        self.leader.as_ref().is_none_or(|l| l.waiting.len() <= max)
    }
}

#[test]
fn a_message_told_late_is_still_delivered() {
    use gust_storage::record::MessageView;
    use gust_storage::store::StreamStore;
    let mut w = world(0);
    w.pull("r", r#"{"batch":1,"expires":9000000000,"idle_heartbeat":1000000000}"#);
    let m = MessageView { seq: 1, ts: T0, subject: b"a", headers: b"", payload: b"x" };
    let mut record = Default::default();
    gust_storage::record::put_message(&mut record, &m);
    w.store.append(&m, &record).unwrap();
    // The heartbeat looks at the end of the stream before the message is told.
    w.wait(SEC);
    w.lines();
    assert!(w.c.on_stored(1, b"a").deliver);
    w.deliver();
    assert_eq!(w.lines(), ["r a ack 1.1.1..0 |-| x"]);
}

#[test]
fn follower_calls_do_nothing() {
    let mut w = world(1);
    std::mem::swap(&mut w.c, &mut w.follower);
    w.pull("r", "1");
    w.ack(1, 1, "r", "");
    w.deliver();
    assert_eq!((w.lines().len(), w.c.next_deadline()), (0, None));
    assert!(!w.c.take_delta(&mut Default::default()));
    assert!(w.act(|c, cx| c.reset(cx, 0, Bytes::new())).is_err());
}
