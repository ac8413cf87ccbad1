//! Schedules through a stream.

use crate::stream::fixture::{Bench, START};

const SECOND: i64 = 1_000_000_000;
const ON: &str = r#""allow_msg_schedules":true,"allow_rollup_hdrs":true,"allow_msg_ttl":true"#;

fn tick(b: &mut Bench, seconds: i64) {
    b.now = START + seconds * SECOND;
    b.call(|s, cx| s.on_timer(cx));
    b.commit();
}

fn headers(b: &Bench, seq: u64) -> String {
    let m = b.stream.store().load(seq).unwrap().unwrap();
    String::from_utf8(m.headers.to_vec()).unwrap()
}

#[test]
fn a_single_schedule_fires_once_and_goes() {
    let mut b = Bench::new(ON);
    let at = "Nats-Schedule: @at 1970-01-01T00:01:05Z";
    b.publish("S.s", &[at, "Nats-Schedule-Target: S.t", "Nats-Schedule-TTL: 5m", "K: v"], "x");
    assert!(headers(&b, 1).ends_with("Nats-Rollup: sub\r\n\r\n"));
    tick(&mut b, 4);
    assert_eq!(b.messages(), ["S.s=x@1"]);
    tick(&mut b, 5);
    assert_eq!(b.messages(), ["S.t=x@2"]);
    assert_eq!(
        headers(&b, 2),
        "NATS/1.0\r\nK: v\r\nNats-Scheduler: S.s\r\nNats-Schedule-Next: purge\r\nNats-TTL: 5m\r\n\r\n"
    );
    assert!(b.stream.next_deadline().is_none_or(|d| d > b.now));
}

#[test]
fn a_repeated_one_goes_on_and_fires_once_for_what_it_missed() {
    let mut b = Bench::new(ON);
    b.publish("S.s", &["Nats-Schedule: @every 2s", "Nats-Schedule-Target: S.t"], "x");
    tick(&mut b, 2);
    assert!(headers(&b, 2).contains("Nats-Schedule-Next: 1970-01-01T00:01:04Z\r\n"));
    tick(&mut b, 11);
    assert_eq!(b.messages(), ["S.s=x@1", "S.t=x@2", "S.t=x@3"]);
    assert!(headers(&b, 3).contains("Nats-Schedule-Next: 1970-01-01T00:01:13Z\r\n"));
    // Cancelled by a client.
    let end = ["Nats-Schedule-Next: purge", "Nats-Scheduler: S.s"];
    b.publish("S.x", &end, "");
    tick(&mut b, 60);
    assert_eq!(b.messages(), ["S.t=x@2", "S.t=x@3", "S.x=@4"]);
}

#[test]
fn a_source_lends_its_last_message() {
    let mut b = Bench::new(ON);
    b.publish("S.src", &["A: b"], "data");
    let h =
        ["Nats-Schedule: @every 1s", "Nats-Schedule-Target: S.t", "Nats-Schedule-Source: S.src"];
    b.publish("S.s", &h, "own");
    tick(&mut b, 1);
    assert_eq!(b.messages().last().unwrap(), "S.t=data@3");
    assert!(headers(&b, 3).starts_with("NATS/1.0\r\nA: b\r\nNats-Scheduler: S.s\r\n"));
}

#[test]
fn refusals_are_exact() {
    let target = "Nats-Schedule-Target: S.t";
    let cron = "Nats-Schedule: 0 0 0 * * *";
    for (config, h, code) in [
        ("", &[cron, target][..], 10188),
        (ON, &["Nats-Schedule: soon", target], 10189),
        (ON, &["Nats-Schedule: @every 500ms", target], 10189),
        (ON, &["Nats-Schedule: @every 1s", "Nats-Schedule-Time-Zone: UTC", target], 10189),
        (ON, &[cron, "Nats-Schedule-Time-Zone: Mars/Base", target], 10223),
        (ON, &[cron], 10190),
        (ON, &[cron, "Nats-Schedule-Target: S.s"], 10190),
        (ON, &[cron, "Nats-Schedule-Target: S.*"], 10190),
        (ON, &[cron, "Nats-Schedule-Target: other"], 10190),
        (ON, &[cron, target, "Nats-Schedule-TTL: x"], 10191),
        (ON, &[cron, target, "Nats-Schedule-Rollup: all"], 10192),
        (ON, &[cron, target, "Nats-Rollup: all"], 10192),
        (ON, &[cron, target, "Nats-Schedule-Source: S.t"], 10203),
        (ON, &["Nats-Schedule-Next: now", "Nats-Scheduler: S.x"], 10212),
        (ON, &["Nats-Scheduler: S.x"], 10212),
    ] {
        let answer = Bench::new(config).publish("S.s", h, "");
        assert!(answer.contains(&format!("\"err_code\":{code},")), "{h:?} {answer}");
    }
}
