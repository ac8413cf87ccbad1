//! Mirrors and sources: what they ask for and what they store.

use super::Inbound;
use super::fixture::{Bench, START, block, config};
use crate::effect::Effect;
use bytes::Bytes;

const SECOND: i64 = 1_000_000_000;

fn show(b: &mut Bench) -> Vec<String> {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let one = |e: Effect| match e {
        Effect::Subscribe { id, subject } => {
            let kind = text(&subject);
            format!("sub {id} {}", &kind[..kind.rfind('.').unwrap()])
        }
        Effect::Unsubscribe { id } => format!("unsub {id}"),
        Effect::Publish(p) => format!("pub {} {}", text(&p.to), text(&p.payload)),
        other => format!("{other:?}"),
    };
    b.fx.drain(..).map(one).collect()
}

fn tick(b: &mut Bench) -> Vec<String> {
    b.fx.clear();
    b.call(|s, cx| s.on_timer(cx));
    b.commit();
    show(b)
}

fn deliver(b: &mut Bench, id: u64, seq: u64, dseq: u64, lines: &[&str]) -> Vec<String> {
    let msg = Inbound {
        subject: Bytes::from_static(b"o.a"),
        reply: format!("$JS.ACK.O.c.1.{seq}.{dseq}.{}.4", START + seq as i64).into(),
        headers: block(lines),
        payload: Bytes::from_static(b"x"),
        tracing: None,
    };
    b.call(|s, cx| s.inbound(id, msg, cx));
    b.commit();
    show(b)
}

fn control(b: &mut Bench, id: u64, status: &'static str, reply: &'static str) -> Vec<String> {
    let msg = Inbound {
        reply: Bytes::from_static(reply.as_bytes()),
        headers: Bytes::from_static(status.as_bytes()),
        ..Inbound::default()
    };
    b.call(|s, cx| s.inbound(id, msg, cx));
    b.commit();
    show(b)
}

fn mirror() -> Bench {
    let mut c = config("M", r#""mirror":{"name":"O"}"#);
    (c.subjects, c.duplicate_window) = (Vec::new(), 0);
    Bench::with(c)
}

#[test]
fn a_mirror_asks_for_what_is_missing_and_keeps_sequence_and_time() {
    let mut b = mirror();
    let asked = tick(&mut b);
    assert_eq!(asked[0], "sub 2 _INBOX");
    assert!(asked[1].starts_with("pub $JS.API.CONSUMER.CREATE.O "), "{asked:?}");
    for part in [r#""stream_name":"O""#, r#""direct":true"#, r#""deliver_policy":"all""#] {
        assert!(asked[1].contains(part), "{part} in {asked:?}");
    }
    deliver(&mut b, 1, 3, 1, &["Nats-Expected-Stream: O", "A: b"]);
    deliver(&mut b, 1, 5, 2, &[]);
    assert_eq!(b.messages(), ["o.a=x@3", "o.a=x@5"]);
    let m = b.stream.store().load(3).unwrap().unwrap();
    assert_eq!((m.ts, &m.headers[..]), (START + 3, &b"NATS/1.0\r\nA: b\r\n\r\n"[..]));
    let s = b.stream.state();
    assert_eq!((s.first_seq, s.last_seq, s.deleted), (3, 5, 1));
    let info = b.stream.info(b.now, false).mirror.unwrap();
    assert_eq!((info.lag, info.active), (4, 0));
}

#[test]
fn gaps_and_silence_restart_and_pauses_grow() {
    let mut b = mirror();
    tick(&mut b);
    deliver(&mut b, 1, 1, 1, &[]);
    assert_eq!(deliver(&mut b, 1, 3, 3, &[]), ["unsub 1", "unsub 2"], "delivery 2 is missing");
    assert_eq!(b.messages(), ["o.a=x@1"]);
    assert_eq!(b.stream.next_deadline(), Some(START + 2 * SECOND));
    b.now += 2 * SECOND;
    let asked = tick(&mut b);
    assert!(asked[1].contains(r#""opt_start_seq":2"#), "{asked:?}");
    b.now += 10 * SECOND;
    assert_eq!(tick(&mut b), ["unsub 3", "unsub 4"], "stalled");
    assert_eq!(b.stream.next_deadline(), Some(b.now + 4 * SECOND));
}

#[test]
fn refusals_are_shown_and_retried() {
    let mut b = mirror();
    tick(&mut b);
    let answer = Inbound {
        payload: Bytes::from_static(
            br#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#,
        ),
        ..Inbound::default()
    };
    b.call(|s, cx| s.inbound(2, answer, cx));
    assert_eq!(show(&mut b), ["unsub 2", "unsub 1"]);
    let info = b.stream.info(b.now, false).mirror.unwrap();
    assert_eq!(info.error.unwrap().err_code, 10059);
}

#[test]
fn flow_control_is_answered_and_heartbeats_tell_of_gaps() {
    let mut b = mirror();
    tick(&mut b);
    deliver(&mut b, 1, 1, 1, &[]);
    let fc = "NATS/1.0 100 FlowControl Request\r\n\r\n";
    assert_eq!(control(&mut b, 1, fc, "$JS.FC.O.c.abcd"), ["pub $JS.FC.O.c.abcd "]);
    let hb = "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 1\r\n\r\n";
    assert_eq!(control(&mut b, 1, hb, ""), Vec::<String>::new());
    let stalled = "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\n\
                   Nats-Consumer-Stalled: $JS.FC.O.c.efgh\r\n\r\n";
    assert_eq!(control(&mut b, 1, stalled, ""), ["pub $JS.FC.O.c.efgh "]);
    let ahead = "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 2\r\n\r\n";
    assert_eq!(control(&mut b, 1, ahead, ""), ["unsub 1", "unsub 2"]);
}

#[test]
fn a_source_gives_new_sequences_and_remembers_where_it_is() {
    let json = r#""sources":[{"name":"O","subject_transforms":[{"src":"o.>","dest":"n.>"}]}]"#;
    let c = config("T", json);
    let mut b = Bench::with(c.clone());
    b.publish("T.own", &[], "1");
    let asked = tick(&mut b);
    assert!(asked[1].contains(r#""filter_subject":"o.\u003e""#), "{asked:?}");
    let answer = Inbound {
        headers: block(&["Nats-Stream-Identity: abcdefgh"]),
        payload: Bytes::from_static(b"{}"),
        ..Inbound::default()
    };
    b.call(|s, cx| s.inbound(2, answer, cx));
    assert_eq!(show(&mut b), ["unsub 2", "sub 1 $JS.S"], "messages come after the identity");
    deliver(&mut b, 1, 7, 1, &["Nats-Stream-Source: X 1", "Nats-Msg-Id: i"]);
    deliver(&mut b, 1, 8, 2, &["Nats-Msg-Id: i"]);
    assert_eq!(b.messages(), ["T.own=1@1", "n.a=x@2"], "the second is a duplicate");
    let m = b.stream.store().load(2).unwrap().unwrap();
    assert_eq!(
        m.headers,
        "NATS/1.0\r\nNats-Msg-Id: i\r\nNats-Stream-Source: O 7 o.> n.> o.a abcdefgh\r\n\r\n"
    );
    assert_eq!(b.stream.info(b.now, false).sources[0].seq, 8);
    // A new leader goes on after what was taken, duplicates included.
    let mut copy = Bench::with(c.clone());
    copy.stream = b.replica(c);
    copy.call(|s, cx| s.lead(2, cx));
    let asked = tick(&mut copy);
    assert!(asked[1].contains(r#""opt_start_seq":9"#), "{asked:?}");
}
