//! Priority groups: overflow, pinned_client, prioritized.

use super::fixture::*;
use super::{GroupInfo, UnpinError};
use crate::config::{ConsumerConfig, PriorityPolicy};
use crate::effect::Effect;

fn grouped(priority_policy: PriorityPolicy) -> ConsumerConfig {
    ConsumerConfig { priority_policy, priority_groups: vec!["g".into()], ..config() }
}

fn pin(w: &World) -> String {
    let info = w.c.info(w.now, &w.interest);
    String::from_utf8(info.priority_groups[0].pinned_client_id.to_vec()).unwrap()
}

#[test]
fn groups_are_checked_in_documents_only() {
    for (body, status) in [
        ("{}", "Bad Request - Priority Group missing"),
        (r#"{"group":"h"}"#, "Bad Request - Invalid Priority Group"),
    ] {
        let mut w = World::new(grouped(PriorityPolicy::Overflow));
        w.pull("r", body);
        assert_eq!(w.lines(), [format!("r - - |400 {status}| -")]);
    }
    let mut w = World::over(grouped(PriorityPolicy::Overflow), &["a"]);
    w.pull("r", "1");
    assert_eq!(w.lines().len(), 1);
}

#[test]
fn overflow_serves_when_one_minimum_is_reached() {
    for (minimum, served) in [
        (r#""batch":1"#, 1),
        (r#""min_pending":3"#, 1),
        (r#""min_pending":4"#, 0),
        (r#""min_ack_pending":1"#, 0),
        (r#""min_ack_pending":1,"min_pending":3"#, 1),
    ] {
        let mut w = World::over(grouped(PriorityPolicy::Overflow), &["a"; 3]);
        w.pull("r", &format!(r#"{{"group":"g",{minimum}}}"#));
        assert_eq!(w.lines().len(), served, "{minimum}");
    }
    // A request that may not be served does not block the others.
    let mut w = World::over(grouped(PriorityPolicy::Overflow), &["a"; 3]);
    w.pull("r1", r#"{"group":"g","min_pending":9,"batch":2}"#);
    w.pull("r2", r#"{"group":"g","batch":2}"#);
    assert_eq!(w.lines(), ["r2 a ack 1.1.1..2 |-| x", "r2 a ack 1.2.2..1 |-| x"]);
    // Two unacknowledged: now the first one may.
    w.pull("r3", r#"{"group":"g","min_ack_pending":2}"#);
    assert_eq!(w.lines(), ["r3 a ack 1.3.3..0 |-| x"]);
}

#[test]
fn prioritized_serves_low_numbers_first_and_turns_among_equals() {
    let mut w = World::new(grouped(PriorityPolicy::Prioritized));
    w.pull("r5", r#"{"group":"g","priority":5,"batch":2}"#);
    w.pull("r1", r#"{"group":"g","priority":1,"batch":2}"#);
    w.pull("s1", r#"{"group":"g","priority":1,"batch":1}"#);
    w.pull("r0", r#"{"group":"g","batch":1}"#);
    for _ in 0..6 {
        w.put("a");
    }
    w.deliver();
    let to: Vec<_> = w.lines().iter().map(|l| l[..2].to_string()).collect();
    assert_eq!(to, ["r0", "r1", "s1", "r1", "r5", "r5"]);
}

#[test]
fn the_first_request_is_pinned_and_the_others_wait() {
    let mut w = World::new(grouped(PriorityPolicy::PinnedClient));
    w.interest.advisories = true;
    w.pull("r1", r#"{"group":"g","batch":2}"#);
    w.pull("r2", r#"{"group":"g","batch":5}"#);
    for _ in 0..3 {
        w.put("a");
    }
    w.deliver();
    let id = pin(&w);
    assert_eq!(id.len(), 22);
    assert_eq!(
        w.lines(),
        [
            format!(
                "ADVISORY.CONSUMER.PINNED.S.c \"stream\":\"S\",\"consumer\":\"c\",\
             \"group\":\"g\",\"pinned_id\":\"{id}\"}}"
            ),
            format!("r1 a ack 1.1.1..2 |Nats-Pin-Id: {id}| x"),
            format!("r1 a ack 1.2.2..1 |Nats-Pin-Id: {id}| x"),
        ]
    );
    // Another's pin is refused, the holder's goes on.
    w.pull("r3", r#"{"group":"g","id":"other"}"#);
    assert_eq!(w.lines(), ["r3 - - |423 Nats-Pin-Id mismatch| -"]);
    w.pull("r1", &format!(r#"{{"group":"g","id":"{id}"}}"#));
    assert_eq!(w.lines(), [format!("r1 a ack 1.3.3..0 |Nats-Pin-Id: {id}| x")]);
    let groups = w.c.info(w.now, &w.interest).priority_groups;
    let expected =
        GroupInfo { group: "g".into(), pinned_client_id: id.into(), pinned_ts: Some(T0) };
    assert_eq!(groups, [expected]);
}

#[test]
fn a_silent_holder_loses_the_pin_and_is_told() {
    let c = ConsumerConfig { priority_timeout: SEC, ..grouped(PriorityPolicy::PinnedClient) };
    let mut w = World::over(c, &["a"]);
    w.interest.advisories = true;
    w.pull("r1", r#"{"group":"g"}"#);
    let id = pin(&w);
    w.now += SEC / 2;
    w.pull("r1", &format!(r#"{{"group":"g","id":"{id}"}}"#));
    w.pull("r2", r#"{"group":"g"}"#);
    w.lines();
    w.wait(SEC / 2);
    assert_eq!(pin(&w), id, "the pull refreshed it");
    w.wait(SEC / 2);
    assert_eq!(
        w.lines(),
        ["ADVISORY.CONSUMER.UNPINNED.S.c \"stream\":\"S\",\
         \"consumer\":\"c\",\"group\":\"g\",\"reason\":\"timeout\"}"]
    );
    w.put("a");
    w.deliver();
    let lines = w.lines();
    assert_eq!(
        lines[0],
        "r1 - - |423 Nats-Wrong-Pin-Id, Nats-Pending-Messages: 1, Nats-Pending-Bytes: 0| -"
    );
    assert!(lines[2].starts_with("r2 a ack 1.2.2."), "{lines:?}");
    assert_ne!(pin(&w), id);
}

#[test]
fn unpin_names_a_group_of_the_consumer() {
    let mut w = World::over(grouped(PriorityPolicy::PinnedClient), &["a"; 3]);
    w.pull("r1", r#"{"group":"g"}"#);
    assert_eq!(w.act(|c, cx| c.unpin(cx, "h")), Err(UnpinError::UnknownGroup));
    assert!(!pin(&w).is_empty());
    assert!(w.act(|c, cx| c.unpin(cx, "g")).is_ok_and(|wake| wake.deliver));
    assert!(pin(&w).is_empty());
    assert!(!w.act(|c, cx| c.unpin(cx, "g")).is_ok_and(|wake| wake.deliver));
    assert!(w.out.iter().all(|e| matches!(e, Effect::Publish(_))), "nobody listens");
}
