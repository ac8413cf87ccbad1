//! Push consumers: interest, heartbeats, flow control, rate limit, replay
//! (contract/jetstream.md §4.5).

use super::fixture::*;
use crate::config::{AckPolicy, ConsumerConfig, ReplayPolicy};
use crate::effect::Effect;
use bytes::Bytes;

fn big(w: &mut World, n: usize, size: usize) {
    let payload = vec![b'x'; size];
    for _ in 0..n {
        w.put_with("a", b"", &payload);
    }
}

fn count(w: &mut World) -> usize {
    let messages = |e: &Effect| matches!(e, Effect::Publish(o) if !o.subject.is_empty());
    let n = w.out.iter().filter(|e| messages(e)).count();
    w.out.retain(|e| !messages(e));
    n
}

fn answer(w: &mut World, headers: &str) {
    let subject = open_flow(w);
    w.act(|c, cx| c.on_flow(cx, &subject, headers.as_bytes()));
    w.deliver();
}

fn open_flow(w: &mut World) -> Bytes {
    let found = w.out.iter().rev().find_map(|e| match e {
        Effect::Publish(o) if o.reply.starts_with(b"$JS.FC.S.c.") => Some(o.reply.clone()),
        _ => None,
    });
    w.out.retain(|e| !matches!(e, Effect::Publish(o) if o.reply.starts_with(b"$JS.FC.")));
    found.expect("no flow control request is open")
}

#[test]
fn the_stored_subject_goes_to_the_listeners_of_the_deliver_subject() {
    let c = ConsumerConfig { deliver_group: "g".into(), ..push_config() };
    let mut w = World::over(c, &["a", "b"]);
    w.deliver();
    assert_eq!(w.lines(), ["d/g a ack 1.1.1..1 |-| x", "d/g b ack 1.2.2..0 |-| x"]);
    assert!(w.c.info(w.now, &w.interest).push_bound);
}

#[test]
fn nothing_is_sent_without_interest_of_the_right_group() {
    for deaf in ["d", "/g"] {
        let c = ConsumerConfig { deliver_group: "g".into(), ..push_config() };
        let mut w = World::new(c);
        w.interest.deaf.insert(deaf.into());
        w.put("a");
        w.deliver();
        assert_eq!(w.lines().len(), 0);
        assert!(!w.c.info(w.now, &w.interest).push_bound);
        w.interest.deaf.clear();
        assert!(w.act(|c, cx| c.on_interest(cx)).deliver);
        w.deliver();
        assert_eq!(w.lines(), ["d/g a ack 1.1.1..0 |-| x"]);
    }
}

#[test]
fn heartbeats_fill_silence_only() {
    let c = ConsumerConfig { idle_heartbeat: SEC, ack_policy: AckPolicy::None, ..push_config() };
    let mut w = World::over(c, &["a"]);
    w.deliver();
    w.lines();
    w.wait(SEC);
    let hb = "d - - |100 Idle Heartbeat, Nats-Last-Consumer: 1, Nats-Last-Stream: 1| -";
    assert_eq!(w.lines(), [hb]);
    w.now += SEC / 2;
    w.put("a");
    w.deliver();
    w.lines();
    w.wait(SEC / 2);
    assert_eq!(w.lines(), Vec::<String>::new());
    // Nobody listens: no heartbeat, and no timer either.
    w.interest.deaf.insert("d".into());
    w.act(|c, cx| c.on_interest(cx));
    assert_eq!(w.c.next_deadline(), None);
}

#[test]
fn the_flow_window_stops_and_doubles() {
    let c = ConsumerConfig {
        flow_control: true,
        idle_heartbeat: SEC,
        ack_policy: AckPolicy::None,
        ..push_config()
    };
    let mut w = World::new(c);
    big(&mut w, 400, 100 << 10);
    w.deliver();
    // Messages until more than 2 MiB are out, one request after half of it.
    assert_eq!(count(&mut w), 21);
    assert_eq!(w.out.len(), 1);
    w.wait(SEC);
    let stalled = w.lines().pop().unwrap();
    assert!(stalled.contains("Nats-Consumer-Stalled: $JS.FC.S.c."), "{stalled}");
    assert!(
        stalled.starts_with(
            "d - - |100 Idle Heartbeat, Nats-Last-Consumer: 21, Nats-Last-Stream: 21, "
        )
    );
    // A wrong subject changes nothing.
    assert!(!w.act(|c, cx| c.on_flow(cx, b"$JS.FC.S.c.xxxx", b"")).deliver);
    let subject = stalled.split("Stalled: ").nth(1).unwrap().split('|').next().unwrap();
    let subject = subject.to_string();
    assert!(w.act(|c, cx| c.on_flow(cx, subject.as_bytes(), b"")).deliver);
    w.deliver();
    // Half of the old window was covered, the new one is 4 MiB.
    assert_eq!(count(&mut w), 31);
    for _ in 0..4 {
        answer(&mut w, "");
    }
    assert!(count(&mut w) > 100);
}

#[test]
fn flow_control_can_be_the_ack() {
    let c = ConsumerConfig {
        flow_control: true,
        idle_heartbeat: SEC,
        ack_policy: AckPolicy::FlowControl,
        ack_wait: 0,
        max_ack_pending: 3,
        ..push_config()
    };
    let mut w = World::over(c, &["a"; 5]);
    w.deliver();
    assert_eq!(count(&mut w), 3);
    answer(&mut w, "NATS/1.0\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 2\r\n\r\n");
    assert_eq!(w.state(), "delivered 5/5 floor 2/2 pending [3, 4, 5] redelivered {}");
    // At the end of the stream the heartbeat brings another request.
    w.out.retain(|e| matches!(e, Effect::Publish(o) if !o.reply.starts_with(b"$JS.FC")));
    w.act(|c, cx| c.on_interest(cx));
    w.commit();
    // Nothing times out.
    let at = w.c.next_deadline();
    assert_eq!(at, Some(w.now + SEC));
}

#[test]
fn the_rate_limit_spreads_messages_over_time() {
    let c = ConsumerConfig { rate_limit_bps: 8 * 1000, ..push_config() };
    let mut w = World::new(ConsumerConfig { rate_limit_bps: 0, ..c.clone() });
    w.facts.max_message = 1000;
    w.act(|k, cx| k.update_config(cx, c));
    big(&mut w, 4, 900);
    w.deliver();
    assert_eq!(count(&mut w), 1);
    let mut sent = 1;
    let mut turns = 0;
    while sent < 4 {
        let at = w.c.next_deadline().unwrap();
        assert!(at > w.now);
        w.wait(at - w.now);
        sent += count(&mut w);
        turns += 1;
        assert!(turns < 10);
    }
    // 4 × ~940 bytes at 1000 B/s with a burst of 1000 bytes.
    let took = w.now - T0;
    assert!((27 * SEC / 10..29 * SEC / 10).contains(&took), "{took}");
}

#[test]
fn replay_original_sleeps_the_recorded_gaps() {
    let c = ConsumerConfig { replay_policy: ReplayPolicy::Original, ..push_config() };
    let mut w = World::new(push_config());
    for gap in [0, 2 * SEC, 0, SEC] {
        w.now += gap;
        w.put("a");
    }
    w.now += 100 * SEC;
    let facts = w.facts.clone();
    w.c = super::Consumer::new(c, w.now, &facts);
    w.act(|c, cx| c.lead(cx, 1, 1));
    w.deliver();
    assert_eq!(count(&mut w), 1);
    let start = w.now;
    let mut times = Vec::new();
    while times.len() < 3 {
        let at = w.c.next_deadline().unwrap();
        w.wait(at - w.now);
        for _ in 0..count(&mut w) {
            times.push((w.now - start) / SEC);
        }
    }
    assert_eq!(times, [2, 2, 3]);
    // What comes later is not delayed.
    w.now += 50 * SEC;
    w.put("a");
    w.deliver();
    assert_eq!(count(&mut w), 1);
}

#[test]
fn an_ephemeral_without_interest_asks_to_be_deleted() {
    let c = ConsumerConfig { durable_name: String::new(), ..push_config() };
    let mut w = World::new(c);
    assert_eq!(w.c.next_deadline(), None);
    w.interest.deaf.insert("d".into());
    w.act(|c, cx| c.on_interest(cx));
    assert_eq!(w.c.next_deadline(), Some(T0 + 5 * SEC));
    assert!(!w.wait(5 * SEC - 1).delete);
    assert!(w.wait(1).delete);
    // Interest in time keeps it.
    w.interest.deaf.clear();
    w.act(|c, cx| c.on_interest(cx));
    assert_eq!(w.c.next_deadline(), None);
}

#[test]
fn a_new_deliver_subject_starts_afresh() {
    let mut w = World::over(push_config(), &["a"]);
    let mut c = push_config();
    c.deliver_subject = "e".into();
    w.act(|k, cx| k.update_config(cx, c));
    w.deliver();
    assert_eq!(w.lines(), ["e a ack 1.1.1..0 |-| x"]);
}
