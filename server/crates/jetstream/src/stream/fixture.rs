//! What the stream's tests share: a stream with a log beside it.

use super::{Cx, Facts, Identity, Inbound, Stream};
use crate::config::StreamConfig;
use crate::effect::{Effect, Interest};
use bytes::Bytes;
use gust_storage::store::memory::MemoryStore;

/// Everybody listens.
pub struct Everybody;

impl Interest for Everybody {
    fn has(&self, _: &[u8]) -> bool {
        true
    }
    fn has_group(&self, _: &[u8], _: &[u8]) -> bool {
        true
    }
}

/// A leading stream, its log and what came out of it.
pub struct Bench {
    pub stream: Stream,
    pub log: Vec<Bytes>,
    pub fx: Vec<Effect>,
    pub now: i64,
    pub facts: Facts,
    pub random: u64,
}

/// A minute after the epoch, so that times are readable and not zero.
pub const START: i64 = 60_000_000_000;

/// Defaults as `config::stream_check` would fill them in.
pub fn config(name: &str, json: &str) -> StreamConfig {
    let body = format!(
        r#"{{"name":"{name}","subjects":["{name}.>"],"max_consumers":-1,"max_msgs":-1,
            "max_bytes":-1,"max_msgs_per_subject":-1,"max_msg_size":-1,"storage":"memory",
            "num_replicas":1,"duplicate_window":120000000000{}{json}}}"#,
        if json.is_empty() { "" } else { "," }
    );
    crate::json::parse(body.as_bytes(), crate::json::Strictness::Strict).unwrap()
}

pub fn identity() -> Identity {
    Identity { account: "A".into(), created: START, ..Identity::default() }
}

/// A header block from `Key: value` lines.
pub fn block(lines: &[&str]) -> Bytes {
    if lines.is_empty() {
        return Bytes::new();
    }
    format!("NATS/1.0\r\n{}\r\n\r\n", lines.join("\r\n")).into()
}

impl Bench {
    pub fn new(json: &str) -> Bench {
        Bench::with(config("S", json))
    }

    pub fn with(config: StreamConfig) -> Bench {
        let stream = Stream::new(identity(), config, Box::new(MemoryStore::new()));
        let mut b = Bench {
            stream,
            log: Vec::new(),
            fx: Vec::new(),
            now: START,
            facts: Facts::default(),
            random: 7,
        };
        b.call(|s, cx| s.lead(1, cx));
        b
    }

    pub fn call<T>(&mut self, f: impl FnOnce(&mut Stream, &mut Cx<'_>) -> T) -> T {
        self.random = self.random.wrapping_mul(6364136223846793005).wrapping_add(1);
        let mut cx = Cx {
            now: self.now,
            random: self.random,
            facts: &self.facts,
            interest: &Everybody,
            fx: &mut self.fx,
        };
        f(&mut self.stream, &mut cx)
    }

    /// Publishes without committing.
    pub fn send(&mut self, subject: &str, lines: &[&str], payload: &str) {
        let msg = Inbound {
            subject: Bytes::copy_from_slice(subject.as_bytes()),
            reply: Bytes::from_static(b"r"),
            headers: block(lines),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            tracing: None,
        };
        self.call(|s, cx| s.publish(msg, cx));
    }

    /// Commits everything proposed, until nothing more comes.
    pub fn commit(&mut self) {
        loop {
            self.call(|s, cx| s.turn(cx));
            let Some(entry) = self.stream.take_entry() else { break };
            self.log.push(entry.clone());
            let index = self.log.len() as u64;
            self.call(|s, cx| s.apply(index, 1, &entry, cx)).unwrap();
        }
    }

    /// Publishes and commits; the payload of the answer.
    pub fn publish(&mut self, subject: &str, lines: &[&str], payload: &str) -> String {
        self.send(subject, lines, payload);
        self.commit();
        self.answers().join("\n")
    }

    /// Payloads sent to the publisher so far.
    pub fn answers(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        self.fx.retain(|e| match e {
            Effect::Publish(p) if p.to == "r" => {
                out.push(String::from_utf8(p.payload.to_vec()).unwrap());
                false
            }
            _ => true,
        });
        out
    }

    /// `subject=payload@seq` of every message.
    pub fn messages(&self) -> Vec<String> {
        let store = self.stream.store();
        let mut out = Vec::new();
        let mut from = 0;
        while let Some(m) = store.next(&Default::default(), from).unwrap() {
            from = m.seq + 1;
            let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
            out.push(format!("{}={}@{}", text(&m.subject), text(&m.payload), m.seq));
        }
        out
    }

    /// A second replica that gets the same log in one go.
    pub fn replica(&self, config: StreamConfig) -> Stream {
        let mut copy = Stream::new(identity(), config, Box::new(MemoryStore::new()));
        replay(&mut copy, &self.log);
        copy
    }
}

/// Applies the entries of a log the stream has not seen.
pub fn replay(stream: &mut Stream, log: &[Bytes]) {
    let (facts, mut fx) = (Facts::default(), Vec::new());
    for (i, entry) in log.iter().enumerate() {
        let mut cx = Cx { now: 0, random: 0, facts: &facts, interest: &Everybody, fx: &mut fx };
        stream.apply(i as u64 + 1, 1, entry, &mut cx).unwrap();
    }
    let mine: Vec<_> =
        fx.iter().filter(|e| matches!(e, Effect::Publish(p) if p.to == "r")).collect();
    assert!(mine.is_empty(), "followers answer nobody: {mine:?}");
}
