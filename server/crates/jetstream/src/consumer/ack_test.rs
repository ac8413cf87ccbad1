//! Acks, redelivery, `max_deliver`, removal of what is pending, and when
//! confirmations are sent (contract/jetstream.md §1.7, §4.3).

use super::fixture::*;
use crate::config::{AckPolicy, ConsumerConfig, RetentionPolicy};

fn delivered(c: ConsumerConfig, n: usize) -> World {
    let mut w = World::over(c, &vec!["a"; n]);
    w.pull("r", &n.to_string());
    w.commit();
    w.lines();
    w
}

#[test]
fn explicit_acks_move_the_floor_over_what_is_contiguous() {
    let mut w = delivered(config(), 4);
    for (seq, state) in [
        (2, "delivered 4/4 floor 0/0 pending [1, 3, 4] redelivered {}"),
        (1, "delivered 4/4 floor 2/2 pending [3, 4] redelivered {}"),
        (4, "delivered 4/4 floor 2/2 pending [3] redelivered {}"),
        (3, "delivered 4/4 floor 4/4 pending [] redelivered {}"),
    ] {
        w.ack(seq, seq, "", "+ACK");
        assert_eq!(w.state(), state);
    }
    w.commit();
    assert_eq!(w.freed, [(2, 2), (1, 1), (4, 4), (3, 3)]);
}

#[test]
fn filtered_gaps_do_not_hold_the_floor() {
    let c = ConsumerConfig { filter_subject: "a".into(), ..config() };
    let mut w = World::over(c, &["b", "a", "b", "a", "b"]);
    assert_eq!(w.num_pending(), 2);
    w.pull("r", "5");
    w.ack(2, 1, "", "");
    assert_eq!(w.state(), "delivered 2/4 floor 1/3 pending [4] redelivered {}");
    w.ack(4, 2, "", "");
    assert_eq!(w.state(), "delivered 2/4 floor 2/4 pending [] redelivered {}");
}

#[test]
fn ack_all_covers_everything_below() {
    let mut w = delivered(ConsumerConfig { ack_policy: AckPolicy::All, ..config() }, 5);
    w.ack(3, 3, "k", "");
    assert_eq!(w.state(), "delivered 5/5 floor 3/3 pending [4, 5] redelivered {}");
    assert_eq!(w.commit(), ["k"]);
    assert_eq!(w.freed, [(1, 3)]);
    w.ack(2, 2, "", "");
    w.ack(5, 5, "", "");
    assert_eq!(w.state(), "delivered 5/5 floor 5/5 pending [] redelivered {}");
}

#[test]
fn ack_none_is_done_on_delivery_and_does_not_listen() {
    let mut w = delivered(ConsumerConfig { ack_policy: AckPolicy::None, ..config() }, 3);
    assert_eq!(w.state(), "delivered 3/3 floor 3/3 pending [] redelivered {}");
    assert_eq!(w.freed, [(1, 3)]);
    let subject = b"$JS.ACK.S.c.1.1.1.0.0";
    assert_eq!(w.act(|c, cx| c.on_ack(cx, subject, &"k".into(), b"")), None);
}

#[test]
fn double_acks_are_answered_after_their_delta_committed() {
    let mut w = delivered(config(), 3);
    w.ack(1, 1, "k1", "+ACK");
    w.ack(2, 2, "k2", "+ACK");
    w.ack(2, 2, "k3", "+ACK");
    assert_eq!(w.lines(), Vec::<String>::new());
    assert_eq!(w.commit(), ["k1", "k2", "k3"]);
    // Nothing to log any more: repeated acks and unknown payloads at once.
    w.ack(1, 1, "k4", "");
    w.ack(3, 3, "k5", "whatever");
    assert_eq!(w.lines(), ["k4 - - |-| -", "k5 - - |-| -"]);
    // Not delivered yet: silence.
    w.ack(4, 4, "k6", "");
    w.ack(0, 0, "k7", "");
    assert_eq!((w.lines().len(), w.commit().len()), (0, 0));
}

#[test]
fn a_repeated_ack_waits_for_the_delta_in_flight() {
    let mut w = delivered(config(), 1);
    w.ack(1, 1, "k1", "");
    let mut body = Default::default();
    assert!(w.c.take_delta(&mut body));
    w.ack(1, 1, "k2", "");
    assert_eq!(w.lines(), Vec::<String>::new());
    let answers = w.c.apply_delta(&body).unwrap().answers;
    assert_eq!(answers.len(), 2);
}

#[test]
fn answers_belong_to_the_leadership_that_logged_them() {
    let mut w = delivered(config(), 1);
    w.ack(1, 1, "k", "");
    let mut body = Default::default();
    assert!(w.c.take_delta(&mut body));
    w.act(|c, cx| c.lead(cx, 2, 8));
    assert_eq!(w.c.apply_delta(&body).unwrap().answers, []);
}

#[test]
fn timeouts_redeliver_in_sequence_order_before_new_messages() {
    let mut w = delivered(config(), 3);
    w.put("b");
    w.now += SEC;
    w.ack(2, 2, "", "+WPI");
    w.now += 29 * SEC;
    assert!(w.wait(0).deliver);
    w.pull("r", "3");
    let now = w.now;
    let b_ts = T0;
    assert_eq!(
        w.lines(),
        [
            "r a ack 2.1.4..1 |-| x".to_string(),
            "r a ack 2.3.5..1 |-| x".to_string(),
            format!("r b ack 1.4.6.{b_ts}.0 |-| x").replace(&format!(".{T0}."), ".."),
        ]
    );
    assert_eq!(w.state(), "delivered 6/4 floor 0/0 pending [1, 2, 3, 4] redelivered {1: 1, 3: 1}");
    assert_eq!(w.c.live().pending[&1].dseq, 1);
    assert_eq!(w.c.live().pending[&1].ts, now);
    w.commit();
}

#[test]
fn backoff_sets_the_wait_after_each_delivery() {
    let c = ConsumerConfig { backoff: vec![SEC, 5 * SEC], ..config() };
    let mut w = delivered(c, 1);
    for wait in [1, 5, 5, 5] {
        w.pull("r", "1");
        w.wait(wait * SEC - 1);
        assert_eq!(w.lines().len(), 0);
        w.wait(1);
        assert_eq!(w.lines().len(), 1, "{wait}");
    }
}

#[test]
fn a_nak_redelivers_at_once_and_a_delayed_one_later() {
    let mut w = delivered(config(), 3);
    w.interest.advisories = true;
    w.pull("r", "9");
    w.ack(2, 2, "k", "-NAK");
    let mut lines = w.lines();
    assert_eq!(
        lines.remove(0),
        "ADVISORY.CONSUMER.MSG_NAKED.S.c \"stream\":\"S\",\"consumer\":\"c\",\
         \"consumer_seq\":2,\"stream_seq\":2,\"deliveries\":1}"
    );
    assert_eq!(lines, ["r a ack 2.2.4..0 |-| x"]);
    assert_eq!(w.commit(), ["k"]);
    for (option, ms) in [(" 1s", 1000), ("{\"delay\":2000000000}", 2000), (" 250ms", 250)] {
        let start = w.now;
        w.ack(3, 3, "", &format!("-NAK{option}"));
        assert_eq!(w.lines().len(), 1, "{option}");
        w.wait(ms * MS - 1);
        assert_eq!(w.lines().len(), 0, "{option}");
        w.wait(1);
        assert_eq!((w.lines().len(), w.now - start), (1, ms * MS), "{option}");
    }
    // Nonsense is a plain NAK; what is not pending is ignored.
    w.ack(3, 3, "", "-NAK soon");
    assert_eq!(w.lines().len(), 2);
    w.ack(1, 1, "", "");
    w.ack(1, 1, "", "-NAK");
    assert_eq!(w.lines().len(), 0);
    w.commit();
}

#[test]
fn naks_are_served_in_arrival_order() {
    let mut w = delivered(config(), 3);
    w.put("b");
    for seq in [3, 1, 3, 2] {
        w.ack(seq, seq, "", "-NAK");
    }
    // An ack takes it out of the queue again.
    w.ack(1, 1, "", "");
    w.pull("r", "9");
    assert_eq!(
        w.lines(),
        ["r a ack 2.3.4..1 |-| x", "r a ack 2.2.5..1 |-| x", "r b ack 1.4.6..0 |-| x"]
    );
    w.commit();
}

#[test]
fn a_new_leader_redelivers_what_was_refused_at_once() {
    let mut w = delivered(config(), 3);
    w.ack(3, 3, "", "-NAK");
    w.ack(1, 1, "", "-NAK");
    w.commit();
    w.act(|c, cx| c.lead(cx, 3, 9));
    w.wait(0);
    w.pull("r", "2");
    assert_eq!(w.lines(), ["r a ack 2.1.4..0 |-| x", "r a ack 2.3.5..0 |-| x"]);
}

#[test]
fn term_ends_redelivery_and_carries_its_reason() {
    let mut w = delivered(config(), 2);
    w.interest.advisories = true;
    w.ack(1, 1, "k", "+TERM  bad data ");
    assert_eq!(
        w.lines(),
        ["ADVISORY.CONSUMER.MSG_TERMINATED.S.c \"stream\":\"S\",\
         \"consumer\":\"c\",\"consumer_seq\":1,\"stream_seq\":1,\"deliveries\":1,\
         \"reason\":\"bad data\"}"]
    );
    assert_eq!(w.commit(), ["k"]);
    assert_eq!(w.state(), "delivered 2/2 floor 1/1 pending [2] redelivered {}");
}

#[test]
fn the_last_delivery_times_out_once_with_an_advisory() {
    let c = ConsumerConfig { max_deliver: 2, ack_wait: SEC, ..config() };
    let mut w = delivered(c, 1);
    w.interest.advisories = true;
    w.pull("r", "9");
    w.wait(SEC);
    assert_eq!(w.lines().len(), 1);
    assert_eq!(w.c.info(w.now, &w.interest).num_redelivered, 1);
    w.wait(SEC);
    assert_eq!(
        w.lines(),
        ["ADVISORY.CONSUMER.MAX_DELIVERIES.S.c \"stream\":\"S\",\
         \"consumer\":\"c\",\"stream_seq\":1,\"deliveries\":2}"]
    );
    assert_eq!(w.state(), "delivered 2/1 floor 2/1 pending [] redelivered {1: 1}");
    w.wait(5 * SEC);
    assert_eq!(w.lines(), Vec::<String>::new());
    w.commit();
    assert!(w.c.needs(1, b"a"), "kept on interest and work queue streams");
    // A late ack frees it.
    w.ack(1, 2, "k", "");
    assert_eq!(w.commit(), ["k"]);
    assert!(!w.c.needs(1, b"a"));
}

#[test]
fn a_nak_of_the_last_delivery_exceeds_as_well() {
    let mut w = delivered(ConsumerConfig { max_deliver: 1, ..config() }, 1);
    w.interest.advisories = true;
    w.pull("r", "9");
    w.ack(1, 1, "", "-NAK");
    let lines = w.lines();
    assert!(lines[1].starts_with("ADVISORY.CONSUMER.MAX_DELIVERIES"), "{lines:?}");
    assert_eq!(w.c.info(w.now, &w.interest).num_redelivered, 0);
}

#[test]
fn max_ack_pending_holds_new_messages_but_not_redeliveries() {
    let c = ConsumerConfig { max_ack_pending: 2, ..config() };
    let mut w = World::over(c, &["a"; 4]);
    w.pull("r", "9");
    assert_eq!(w.lines().len(), 2);
    w.ack(1, 1, "", "-NAK");
    assert_eq!(w.lines(), ["r a ack 2.1.3..2 |-| x"]);
    w.ack(1, 3, "", "");
    assert_eq!(w.lines(), ["r a ack 1.3.4..1 |-| x"]);
}

#[test]
fn removed_messages_are_terminated_and_counted() {
    let mut w = delivered(config(), 2);
    w.interest.advisories = true;
    w.put("a");
    w.put("a");
    w.remove(1);
    assert_eq!(
        w.lines(),
        ["ADVISORY.CONSUMER.MSG_TERMINATED.S.c \"stream\":\"S\",\
         \"consumer\":\"c\",\"consumer_seq\":1,\"stream_seq\":1,\"deliveries\":1,\
         \"reason\":\"Unacknowledged message was deleted\"}"]
    );
    assert_eq!((w.num_pending(), w.c.live().pending.len()), (2, 1));
    w.remove(3);
    assert_eq!(w.num_pending(), 1);
    w.pull("r", "1");
    assert_eq!(w.lines(), ["r a ack 1.4.3..0 |-| x"]);
    w.commit();
}

#[test]
fn a_purge_clears_and_recounts() {
    use gust_storage::store::StreamStore;
    let mut w = delivered(config(), 3);
    for _ in 0..3 {
        w.put("a");
    }
    w.store.purge_below(3).unwrap();
    w.act(|c, cx| c.on_bulk_removed(cx));
    assert_eq!(w.state(), "delivered 3/3 floor 2/2 pending [3] redelivered {}");
    assert_eq!(w.num_pending(), 3);
    w.store.purge_below(7).unwrap();
    w.act(|c, cx| c.on_bulk_removed(cx));
    assert_eq!(w.state(), "delivered 3/6 floor 3/6 pending [] redelivered {}");
    assert_eq!(w.num_pending(), 0);
    w.put("a");
    w.pull("r", "1");
    assert_eq!(w.lines(), ["r a ack 1.7.4..0 |-| x"]);
    w.commit();
}

#[test]
fn needs_follows_the_committed_state_only() {
    let c = ConsumerConfig { filter_subject: "a".into(), ..config() };
    let mut w = World::with(c, RetentionPolicy::Interest, &["a"; 2]);
    w.commit();
    assert!(w.c.needs(1, b"a") && w.c.needs(9, b"a") && !w.c.needs(1, b"b"));
    w.pull("r", "1");
    w.ack(1, 1, "", "");
    assert!(w.c.needs(1, b"a"), "not committed yet");
    w.commit();
    assert!(!w.c.needs(1, b"a") && w.c.needs(2, b"a"));
}

#[test]
fn samples_report_the_ack_time() {
    let mut w = delivered(ConsumerConfig { sample_freq: "100%".into(), ..config() }, 1);
    w.interest.advisories = true;
    w.now += 5;
    w.ack(1, 1, "", "");
    assert_eq!(
        w.lines(),
        ["METRIC.CONSUMER.ACK.S.c \"stream\":\"S\",\"consumer\":\"c\",\
         \"consumer_seq\":1,\"stream_seq\":1,\"ack_time\":5,\"deliveries\":1}"]
    );
}

#[test]
fn memory_consumers_on_limits_streams_are_not_logged() {
    let c = ConsumerConfig { mem_storage: true, ..config() };
    let mut w = World::over(c.clone(), &["a"]);
    w.pull("r", "1");
    w.lines();
    w.ack(1, 1, "k", "");
    assert_eq!(w.lines(), ["k - - |-| -"]);
    assert!(!w.c.take_delta(&mut Default::default()));
    assert_eq!(w.c.state().ack_floor.stream, 1);
    assert!(!w.c.is_logged());
    assert!(World::with(c, RetentionPolicy::WorkQueue, &[]).c.is_logged());
}

#[test]
fn a_memory_consumer_is_logged_once_its_acks_remove_messages() {
    let c = ConsumerConfig { mem_storage: true, ..config() };
    let mut w = World::over(c, &["a"; 4]);
    w.pull("r", "3");
    w.ack(1, 1, "", "");
    w.lines();
    w.facts.retention = RetentionPolicy::Interest;
    assert!(w.act(|c, cx| c.on_stream_changed(cx)).deliver);
    assert!(w.c.is_logged());
    assert_eq!(w.state(), "delivered 0/1 floor 0/1 pending [] redelivered {}");
    // The next commit compares both replicas.
    w.pull("r", "4");
    w.ack(2, 1, "k", "");
    assert_eq!(w.commit(), ["k"]);
    assert!(!w.c.needs(1, b"a") && !w.c.needs(2, b"a") && w.c.needs(3, b"a"));
}
