//! What was acknowledged survives: kills, full disks, flipped bits.

use crate::common::{Raw, api, call, connect, publish, start, state, stored, stream, within};
use gust_tests::process::Server;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const CONNECT: &str = r#"{"verbose":false,"headers":true}"#;
const PUBLISHERS: usize = 4;
/// Publishes on their way per publisher.
const WINDOW: usize = 16;
const ROUNDS: usize = 4;

/// What one publisher knows: sequence of each acknowledged number.
#[derive(Default)]
struct Publisher {
    next: usize,
    acked: BTreeMap<usize, u64>,
}

fn payload(publisher: usize, n: usize) -> String {
    format!("{publisher}:{n}:{}", "x".repeat(n * 37 % 300))
}

impl Publisher {
    /// Publishes until the server is gone.
    fn run(mut self, id: usize, mut raw: Raw, count: &AtomicUsize) -> Publisher {
        let inbox = format!("in.{id}");
        raw.send(&format!("SUB {inbox}.* 1\r\n"));
        let mut sent = 0;
        let mut answered = 0;
        loop {
            while sent - answered < WINDOW {
                let body = payload(id, self.next);
                let line = format!("PUB d.{id} {inbox}.{} {}\r\n{body}\r\n", self.next, body.len());
                if !raw.try_send(&line) {
                    return self;
                }
                (sent, self.next) = (sent + 1, self.next + 1);
            }
            let Some(head) = raw.try_line() else { return self };
            let Some(doc) = raw.try_line() else { return self };
            let n = head.split(' ').nth(1).and_then(|s| s.rsplit('.').next()).unwrap();
            let doc: Value = serde_json::from_str(&doc).unwrap();
            self.acked.insert(n.parse().unwrap(), doc["seq"].as_u64().unwrap());
            answered += 1;
            count.fetch_add(1, Relaxed);
        }
    }
}

/// Pulls and double-acks until the server is gone; the sequences whose acks
/// were answered.
fn work(mut raw: Raw) -> BTreeSet<u64> {
    let mut acked = BTreeSet::new();
    raw.send("SUB w.* 1\r\n");
    loop {
        let pull = "{\"batch\":1,\"expires\":5000000000}";
        let next = format!("PUB $JS.API.CONSUMER.MSG.NEXT.D.work w.p {}\r\n{pull}\r\n", pull.len());
        if !raw.try_send(&next) {
            return acked;
        }
        let Some(head) = raw.try_line() else { return acked };
        if head.starts_with("HMSG") {
            // A status, such as the end of a pull that found nothing.
            while raw.try_line().is_some_and(|l| !l.is_empty()) {}
            if raw.try_line().is_none() {
                return acked;
            }
            continue;
        }
        if raw.try_line().is_none() {
            return acked;
        }
        let reply = head.split(' ').nth(3).unwrap().to_owned();
        let seq = reply.split('.').nth(5).unwrap().parse().unwrap();
        if !raw.try_send(&format!("PUB {reply} w.a 4\r\n+ACK\r\n")) {
            return acked;
        }
        if raw.try_line().is_none() || raw.try_line().is_none() {
            return acked;
        }
        acked.insert(seq);
    }
}

#[tokio::test]
async fn acknowledged_messages_survive_kills() {
    let mut server = start();
    let c = connect(&server).await;
    stream(&c, "D", json!({ "subjects": ["d.*"] })).await;
    stream(&c, "MEM", json!({ "subjects": ["mem"], "storage": "memory" })).await;
    publish(&c, "mem", &[], "x").await;
    let config = json!({ "stream_name": "D", "config": { "durable_name": "work",
        "ack_policy": "explicit", "ack_wait": 600_000_000_000u64, "max_ack_pending": -1 } });
    api(&c, "CONSUMER.DURABLE.CREATE.D.work", config).await;
    drop(c);
    let mut publishers: Vec<Publisher> = (0..PUBLISHERS).map(|_| Publisher::default()).collect();
    let mut done = BTreeSet::new();
    for round in 0..ROUNDS {
        let count = Arc::new(AtomicUsize::new(0));
        let worker = {
            let raw = Raw::connect(&server, CONNECT);
            std::thread::spawn(move || work(raw))
        };
        let threads: Vec<_> = publishers
            .drain(..)
            .enumerate()
            .map(|(id, p)| {
                let (raw, count) = (Raw::connect(&server, CONNECT), count.clone());
                std::thread::spawn(move || p.run(id, raw, &count))
            })
            .collect();
        crate::common::until("enough was acknowledged", || async {
            (count.load(Relaxed) > 300 * (round + 1)).then_some(())
        })
        .await;
        server.kill().unwrap();
        publishers = threads.into_iter().map(|t| t.join().unwrap()).collect();
        let acked = worker.join().unwrap();
        assert!(acked.is_disjoint(&done), "round {round}: acked messages came again");
        done.extend(acked);
        server.launch().unwrap();
    }
    assert!(!done.is_empty());
    let c = connect(&server).await;
    assert_eq!(call(&c, "STREAM.INFO.MEM", Value::Null).await["error"]["err_code"], 10059);
    check_stream(&server, &publishers).await;
    check_consumer(&server, &done).await;
}

/// All acked messages are where their acks said, in the order they were sent.
async fn check_stream(server: &Server, publishers: &[Publisher]) {
    let c = connect(server).await;
    let last = state(&c, "D").await["last_seq"].as_u64().unwrap();
    let mut all = vec![String::new()];
    for seq in 1..=last {
        all.push(stored(&c, "D", seq).await.unwrap());
    }
    for (id, p) in publishers.iter().enumerate() {
        let mut before = 0;
        for (n, seq) in &p.acked {
            assert_eq!(all[*seq as usize], payload(id, *n), "sequence {seq}");
            assert!(before < *seq, "publisher {id}: {n} is out of order");
            before = *seq;
        }
    }
}

/// What was double-acked does not come again, all else does.
async fn check_consumer(server: &Server, done: &BTreeSet<u64>) {
    let c = connect(server).await;
    let last = state(&c, "D").await["last_seq"].as_u64().unwrap();
    // Deliveries that were never acked wait for their ack_wait; shorten it.
    let config = json!({ "stream_name": "D", "config": { "durable_name": "work",
        "ack_policy": "explicit", "ack_wait": 2_000_000_000u64, "max_ack_pending": -1 } });
    api(&c, "CONSUMER.DURABLE.CREATE.D.work", config).await;
    let mut raw = Raw::connect(server, CONNECT);
    raw.send("SUB w 1\r\nSUB acked 2\r\n");
    let pull = format!("{{\"batch\":{},\"expires\":60000000000}}", 2 * last);
    raw.send(&format!("PUB $JS.API.CONSUMER.MSG.NEXT.D.work w {}\r\n{pull}\r\n", pull.len()));
    let (mut rest, mut sent, mut acked) = (BTreeSet::new(), 0, 0);
    // Each kill may have caught one ack that was durable and not yet answered.
    let enough = last as usize - done.len() - ROUNDS;
    loop {
        let head = raw.line();
        raw.line();
        if head.starts_with("MSG acked ") {
            acked += 1;
            if acked == sent && rest.len() >= enough {
                let info = call(&c, "CONSUMER.INFO.D.work", Value::Null).await;
                if info["num_pending"] == 0 && info["num_ack_pending"] == 0 {
                    return;
                }
            }
            continue;
        }
        assert!(head.starts_with("MSG d."), "{head}");
        let reply = head.split(' ').nth(3).unwrap();
        let seq: u64 = reply.split('.').nth(5).unwrap().parse().unwrap();
        assert!(!done.contains(&seq), "{seq} was acknowledged and comes again");
        rest.insert(seq);
        sent += 1;
        raw.send(&format!("PUB {reply} acked 4\r\n+ACK\r\n"));
    }
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_is_reported_and_not_served() {
    let mut server = start();
    let c = connect(&server).await;
    stream(&c, "F", json!({ "subjects": ["f"] })).await;
    let body = |i: u64| format!("needle-{i:06}-{}", "z".repeat(500));
    for i in 1..=200 {
        publish(&c, "f", &[], &body(i)).await;
    }
    server.stop().unwrap();
    let mut all = Vec::new();
    files(&server.store, &mut all);
    let mut flipped = Vec::new();
    for path in all.iter().filter(|p| !p.components().any(|c| c.as_os_str() == "wal")) {
        let mut bytes = std::fs::read(path).unwrap();
        let needle = body(100).into_bytes();
        if let Some(at) = bytes.windows(needle.len()).position(|w| w == needle) {
            bytes[at + 20] ^= 0x10;
            std::fs::write(path, &bytes).unwrap();
            flipped.push(path.clone());
        }
    }
    assert!(!flipped.is_empty(), "no block holds the message: {all:?}");
    server.launch().unwrap();
    let c = connect(&server).await;
    let mut lost = 0;
    for i in 1..=200 {
        match stored(&c, "F", i).await {
            Ok(text) => assert_eq!(text, body(i), "sequence {i}"),
            Err(_) => lost += 1,
        }
    }
    assert!(lost < 200, "all is refused for one byte");
    let log = server.log();
    assert!(log.contains("is damaged"), "{flipped:?}, {lost} lost: {log}");
}

#[tokio::test]
async fn a_full_disk_takes_no_acks_back() {
    let mut server = start();
    let c = connect(&server).await;
    stream(&c, "L", json!({ "subjects": ["l"] })).await;
    for i in 1..=50 {
        assert_eq!(publish(&c, "l", &[], &format!("m{i}")).await["seq"], i);
    }
    let pid = rustix::process::Pid::from_raw(server.pid() as i32);
    let limit = |bytes: Option<u64>| {
        let old = rustix::process::getrlimit(rustix::process::Resource::Fsize);
        let new = rustix::process::Rlimit { current: bytes, maximum: old.maximum };
        rustix::process::prlimit(pid, rustix::process::Resource::Fsize, new)
    };
    if limit(Some(512)).is_err() {
        eprintln!("skipped: the limits of another process cannot be set here");
        return;
    }
    let mut raw = Raw::connect(&server, CONNECT);
    raw.send("SUB a 1\r\nSUB core 2\r\nPUB l a 4\r\nfull\r\nPUB core 2\r\nok\r\n");
    // Core NATS does not notice.
    let mut acked = false;
    loop {
        let head = raw.line();
        let body = raw.line();
        if head.starts_with("MSG core") {
            break;
        }
        acked = body.contains("\"seq\"") && !body.contains("error");
    }
    assert!(!acked, "a message is acknowledged that cannot have been written");
    limit(None).unwrap();
    server.kill_and_restart().unwrap();
    let c = connect(&server).await;
    for i in 1..=50 {
        assert_eq!(stored(&c, "L", i).await, Ok(format!("m{i}")));
    }
    let ack = within(c.request("l", "after".into())).await.unwrap();
    let ack: Value = serde_json::from_slice(&ack.payload).unwrap();
    assert!(ack["seq"].as_u64().unwrap() >= 51, "{ack}");
}
