//! Consumers inside their stream: what acks remove, and when answers come.

use super::fixture::{Bench, START};
use super::{Completion, Token};
use crate::config::{AccountLimits, ServerLimits};
use crate::effect::Effect;
use crate::error::ApiError;
use bytes::Bytes;

type Done = Vec<(Token, Result<Completion, ApiError>)>;

fn create(b: &mut Bench, name: &str, more: &str, token: Token) {
    let body = format!(
        r#"{{"stream_name":"S","config":{{"name":"{name}","durable_name":"{name}",
            "ack_policy":"explicit"{more}}}}}"#
    );
    let request = crate::json::parse_lenient(body.as_bytes()).unwrap();
    let (server, account) = (ServerLimits::default(), AccountLimits::NONE);
    b.call(|s, cx| s.create_consumer(request, server, account, token, cx));
}

fn done(b: &mut Bench) -> Done {
    b.commit();
    b.stream.take_completions()
}

/// Pulls `n` messages; their ack subjects.
fn pull(b: &mut Bench, name: &str, n: usize) -> Vec<Bytes> {
    b.fx.clear();
    let body = n.to_string();
    assert!(b.call(|s, cx| s.pull(name, Bytes::from_static(b"p"), b"", body.as_bytes(), cx)));
    b.commit();
    let reply = |e: Effect| match e {
        Effect::Publish(p) if p.to == "p" && !p.reply.is_empty() => Some(p.reply),
        _ => None,
    };
    b.fx.drain(..).filter_map(reply).collect()
}

fn ack(b: &mut Bench, subject: &Bytes) {
    assert!(b.call(|s, cx| s.ack(subject, &Bytes::from_static(b"done"), b"+ACK", cx)));
}

fn confirmed(b: &mut Bench) -> usize {
    let n = b.fx.iter().filter(|e| matches!(e, Effect::Publish(p) if p.to == "done")).count();
    b.fx.clear();
    n
}

#[test]
fn a_conditional_publish_behind_an_ack_sees_what_it_removes() {
    let mut b = Bench::new(r#""retention":"workqueue""#);
    create(&mut b, "w", "", 1);
    done(&mut b);
    b.publish("S.a", &[], "1");
    let acks = pull(&mut b, "w", 1);
    ack(&mut b, &acks[0]);
    b.call(|s, cx| s.turn(cx));
    b.send("S.a", &["Nats-Expected-Last-Subject-Sequence: 1"], "no");
    b.send("S.a", &["Nats-Expected-Last-Subject-Sequence: 0"], "2");
    b.commit();
    assert_eq!(b.messages(), ["S.a=2@2"]);
}

#[test]
fn a_work_queue_forgets_what_is_acked_and_confirms_after_the_commit() {
    let mut b = Bench::new(r#""retention":"workqueue""#);
    create(&mut b, "w", "", 1);
    assert_eq!(done(&mut b).len(), 1);
    b.publish("S.a", &[], "1");
    b.publish("S.b", &[], "2");
    let acks = pull(&mut b, "w", 2);
    assert_eq!(acks.len(), 2);
    ack(&mut b, &acks[1]);
    assert_eq!((confirmed(&mut b), b.messages().len()), (0, 2), "not before it is logged");
    b.commit();
    assert_eq!(confirmed(&mut b), 1);
    assert_eq!(b.messages(), ["S.a=1@1"]);
    ack(&mut b, &acks[1]);
    b.commit();
    assert_eq!(confirmed(&mut b), 1, "acking again is confirmed as well");
}

#[test]
fn an_interest_stream_keeps_what_somebody_still_needs() {
    let mut b = Bench::new(r#""retention":"interest""#);
    create(&mut b, "all", "", 1);
    create(&mut b, "some", r#","filter_subject":"S.a""#, 2);
    assert_eq!(done(&mut b).len(), 2);
    for s in ["S.a", "S.b", "S.a"] {
        b.publish(s, &[], "x");
    }
    for a in pull(&mut b, "all", 3) {
        ack(&mut b, &a);
    }
    b.commit();
    assert_eq!(b.messages(), ["S.a=x@1", "S.a=x@3"]);
    let acks = pull(&mut b, "some", 2);
    ack(&mut b, &acks[0]);
    b.commit();
    assert_eq!(b.messages(), ["S.a=x@3"]);
    b.call(|s, cx| s.delete_consumer("some", 3, cx));
    assert_eq!(done(&mut b), [(3, Ok(Completion::Done))]);
    assert_eq!(b.messages().len(), 0, "nobody else needs it");
    b.call(|s, cx| s.delete_consumer("some", 4, cx));
    assert_eq!(done(&mut b), [(4, Err(crate::error::consumer_not_found()))]);
}

#[test]
fn the_answer_to_a_creation_is_from_before_delivery() {
    let mut b = Bench::new("");
    for _ in 0..3 {
        b.publish("S.a", &[], "x");
    }
    create(&mut b, "p", r#","deliver_subject":"out""#, 1);
    let [(1, Ok(Completion::Consumer { name, info }))] = &done(&mut b)[..] else { panic!() };
    assert_eq!((name.as_str(), info.num_pending, info.delivered.consumer), ("p", 3, 0));
    let sent = b.fx.iter().filter(|e| matches!(e, Effect::Publish(p) if p.to == "out")).count();
    assert_eq!(sent, 3);
}

#[test]
fn creations_in_one_turn_see_each_other() {
    let mut b = Bench::new(r#""retention":"workqueue""#);
    create(&mut b, "one", r#","filter_subject":"S.a""#, 1);
    create(&mut b, "two", r#","filter_subject":"S.*""#, 2);
    let all = done(&mut b);
    assert!(matches!(all[0], (1, Ok(Completion::Consumer { .. }))));
    assert_eq!(all[1], (2, Err(crate::error::consumer_wq_consumer_not_unique())));
}

#[test]
fn only_those_whose_filter_matches_wake_up() {
    let mut b = Bench::new("");
    create(&mut b, "a", r#","filter_subject":"S.a","deliver_subject":"to.a""#, 1);
    create(&mut b, "w", r#","filter_subjects":["S.b.*","S.c"],"deliver_subject":"to.w""#, 2);
    done(&mut b);
    b.fx.clear();
    for s in ["S.a", "S.b.x", "S.c", "S.d"] {
        b.publish(s, &[], "");
    }
    let to = |e: &Effect| match e {
        Effect::Publish(p) => Some(String::from_utf8(p.to.to_vec()).unwrap()),
        _ => None,
    };
    let sent: Vec<_> = b.fx.iter().filter_map(to).collect();
    assert_eq!(sent, ["to.a", "to.w", "to.w"]);
}

#[test]
fn an_unused_consumer_goes_and_this_is_told() {
    let mut b = Bench::new("");
    create(&mut b, "e", r#","inactive_threshold":1000000000"#, 1);
    done(&mut b);
    b.fx.clear();
    b.now = START + 5_000_000_000;
    b.call(|s, cx| s.on_timer(cx));
    b.commit();
    assert_eq!(b.stream.consumers().count(), 0);
    let told = b.fx.iter().any(|e| {
        matches!(e, Effect::Advise { subject, .. }
            if subject == "$JS.EVENT.ADVISORY.CONSUMER.DELETED.S.e")
    });
    assert!(told, "{:?}", b.fx);
}

#[test]
fn a_replicated_delivery_is_sent_when_it_is_logged() {
    let mut b = Bench::new("");
    let mut c = b.stream.config().clone();
    c.num_replicas = 3;
    b = Bench::with(c);
    create(&mut b, "r", "", 1);
    done(&mut b);
    b.publish("S.a", &[], "x");
    b.fx.clear();
    b.call(|s, cx| s.pull("r", Bytes::from_static(b"p"), b"", b"1", cx));
    b.call(|s, cx| s.turn(cx));
    let entry = b.stream.take_entry().unwrap();
    assert_eq!(b.fx.len(), 0);
    b.log.push(entry.clone());
    let index = b.log.len() as u64;
    b.call(|s, cx| s.apply(index, 1, &entry, cx)).unwrap();
    assert_eq!(b.fx.len(), 1);
}

#[test]
fn resetting_completes_when_it_is_logged() {
    let mut b = Bench::new("");
    create(&mut b, "r", "", 1);
    b.publish("S.a", &[], "x");
    pull(&mut b, "r", 1);
    b.stream.take_completions();
    b.call(|s, cx| s.reset_consumer("r", 0, 7, cx));
    assert_eq!(b.stream.take_completions(), []);
    assert_eq!(done(&mut b), [(7, Ok(Completion::Reset(1)))]);
    b.call(|s, cx| s.reset_consumer("none", 0, 8, cx));
    assert_eq!(done(&mut b), [(8, Err(crate::error::consumer_not_found()))]);
}

/// The status a pull of `name` with `headers` is answered with.
fn refusal(b: &mut Bench, name: &str, headers: &'static str) -> Option<Bytes> {
    b.fx.clear();
    let reply = Bytes::from_static(b"p");
    b.call(|s, cx| s.pull(name, reply, headers.as_bytes(), b"1", cx));
    b.fx.drain(..).find_map(|e| match e {
        Effect::Publish(p) if p.to == "p" => Some(p.headers),
        _ => None,
    })
}

#[test]
fn pulls_are_refused_by_kind_first_and_then_by_api_level() {
    let mut b = Bench::new("");
    create(&mut b, "pull", "", 1);
    create(&mut b, "push", r#","deliver_subject":"d""#, 2);
    assert_eq!(done(&mut b).len(), 2);
    let (known, future) = (
        "NATS/1.0\r\nNats-Required-Api-Level: 5\r\n\r\n",
        "NATS/1.0\r\nNats-Required-Api-Level: 99\r\n\r\n",
    );
    let level = "NATS/1.0 412 Required Api Level\r\n\r\n";
    let push = "NATS/1.0 409 Consumer is push based\r\n\r\n";
    assert_eq!(refusal(&mut b, "pull", future).unwrap(), level);
    assert_eq!(refusal(&mut b, "pull", known), None);
    assert_eq!(refusal(&mut b, "push", future).unwrap(), push);
}

#[test]
fn pausing_is_a_feature_of_level_one() {
    let mut b = Bench::new("");
    create(&mut b, "c", "", 1);
    done(&mut b);
    let level =
        |b: &Bench| b.stream.consumer("c").unwrap().config().metadata["_nats.req.level"].clone();
    assert_eq!(level(&b), "0");
    let until = crate::time::Time::from_nanos(START * 2);
    b.call(|s, cx| s.pause_consumer("c", Some(until), 2, cx));
    done(&mut b);
    assert_eq!(level(&b), "1");
    b.call(|s, cx| s.pause_consumer("c", None, 3, cx));
    done(&mut b);
    assert_eq!(level(&b), "0");
}

#[test]
fn message_zero_is_never_there() {
    let mut b = Bench::new("");
    b.publish("S.a", &[], "x");
    b.stream.delete_msg(0, false, 4);
    let why = crate::error::stream_msg_delete_failed("no message found");
    assert_eq!(done(&mut b), [(4, Err(why))]);
    assert_eq!(b.messages().len(), 1);
}

#[test]
fn an_ephemeral_consumer_shows_its_threshold_and_is_not_created_twice() {
    let ask = |action: &str| {
        let body = format!(
            r#"{{"stream_name":"S","action":"{action}","config":{{"name":"e","ack_policy":"explicit"}}}}"#
        );
        crate::json::parse_lenient(body.as_bytes()).unwrap()
    };
    let limits = (ServerLimits::default(), AccountLimits::NONE);
    let mut b = Bench::new("");
    b.call(|s, cx| s.create_consumer(ask("create"), limits.0, limits.1.clone(), 1, cx));
    done(&mut b);
    assert_eq!(b.stream.consumer("e").unwrap().config().inactive_threshold, 5_000_000_000);
    b.call(|s, cx| s.create_consumer(ask("create"), limits.0, limits.1.clone(), 2, cx));
    assert_eq!(done(&mut b), [(2, Err(crate::error::consumer_already_exists()))]);
    b.call(|s, cx| s.create_consumer(ask(""), limits.0, limits.1.clone(), 3, cx));
    assert!(matches!(done(&mut b)[..], [(3, Ok(Completion::Consumer { .. }))]));
    assert_eq!(b.stream.consumer("e").unwrap().config().inactive_threshold, 5_000_000_000);
}
