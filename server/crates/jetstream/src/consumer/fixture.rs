//! A stream reduced to a memory store, a clock that stands still and a set of
//! subjects with interest, around one consumer that leads and one that follows.

use super::{Answer, Consumer, Cx, StreamFacts, Wake};
use crate::config::{AckPolicy, ConsumerConfig, RetentionPolicy};
use crate::effect::{Effect, Interest, Nanos};
use bytes::{Bytes, BytesMut};
use gust_storage::record::{MessageView, put_message};
use gust_storage::store::StreamStore;
use gust_storage::store::memory::MemoryStore;
use std::collections::BTreeSet;

pub const T0: Nanos = 1_700_000_000_000_000_000;
pub const SEC: Nanos = 1_000_000_000;
pub const MS: Nanos = 1_000_000;

/// Everything has interest except what is listed.
#[derive(Debug, Default)]
pub struct Listeners {
    pub deaf: BTreeSet<String>,
    pub advisories: bool,
}

impl Interest for Listeners {
    fn has(&self, subject: &[u8]) -> bool {
        let s = String::from_utf8_lossy(subject);
        if s.starts_with("$JS.EVENT.") { self.advisories } else { !self.deaf.contains(&*s) }
    }

    fn has_group(&self, subject: &[u8], queue: &[u8]) -> bool {
        let q = String::from_utf8_lossy(queue);
        self.has(subject) && !self.deaf.contains(&format!("/{q}"))
    }
}

pub struct World {
    pub now: Nanos,
    pub store: MemoryStore,
    pub interest: Listeners,
    pub facts: StreamFacts,
    pub c: Consumer,
    pub follower: Consumer,
    pub out: Vec<Effect>,
    pub freed: Vec<(u64, u64)>,
}

/// A durable pull consumer with explicit acks.
pub fn config() -> ConsumerConfig {
    ConsumerConfig {
        name: "c".into(),
        durable_name: "c".into(),
        ack_policy: AckPolicy::Explicit,
        ack_wait: 30 * SEC,
        max_deliver: -1,
        max_ack_pending: 1000,
        max_waiting: 512,
        ..Default::default()
    }
}

/// A durable push consumer to `d`.
pub fn push_config() -> ConsumerConfig {
    ConsumerConfig { deliver_subject: "d".into(), max_waiting: 0, ..config() }
}

impl World {
    pub fn new(config: ConsumerConfig) -> World {
        World::over(config, &[])
    }

    /// With messages stored before the consumer is created.
    pub fn over(config: ConsumerConfig, subjects: &[&str]) -> World {
        World::with(config, RetentionPolicy::Limits, subjects)
    }

    pub fn with(c: ConsumerConfig, retention: RetentionPolicy, subjects: &[&str]) -> World {
        let facts = StreamFacts { retention, ..StreamFacts::named("S") };
        let mut w = World {
            now: T0,
            store: MemoryStore::new(),
            interest: Listeners::default(),
            c: Consumer::new(c.clone(), T0, &facts),
            follower: Consumer::new(c, T0, &facts),
            facts,
            out: Vec::new(),
            freed: Vec::new(),
        };
        for s in subjects {
            w.put(s);
        }
        w.act(|c, cx| c.lead(cx, 1, 7));
        w
    }

    pub fn act<T>(&mut self, f: impl FnOnce(&mut Consumer, &mut Cx<'_>) -> T) -> T {
        let mut cx = Cx {
            now: self.now,
            store: &self.store,
            interest: &self.interest,
            stream: &self.facts,
            out: &mut self.out,
        };
        f(&mut self.c, &mut cx)
    }

    pub fn put_with(&mut self, subject: &str, headers: &[u8], payload: &[u8]) -> u64 {
        let seq = self.store.state().last_seq + 1;
        let m = MessageView { seq, ts: self.now, subject: subject.as_bytes(), headers, payload };
        let mut record = BytesMut::new();
        put_message(&mut record, &m);
        self.store.append(&m, &record).unwrap();
        self.c.on_stored(seq, subject.as_bytes());
        seq
    }

    pub fn put(&mut self, subject: &str) -> u64 {
        self.put_with(subject, b"", b"x")
    }

    pub fn remove(&mut self, seq: u64) -> Wake {
        match self.store.remove(seq, false).unwrap() {
            Some(r) => self.act(|c, cx| c.on_removed(cx, &r)),
            None => Wake::default(),
        }
    }

    pub fn deliver(&mut self) {
        while self.act(|c, cx| c.deliver(cx, 3)) {}
    }

    /// A pull and the delivery it causes.
    pub fn pull(&mut self, reply: &str, body: &str) {
        let reply = Bytes::copy_from_slice(reply.as_bytes());
        if self.act(|c, cx| c.pull(cx, reply, body.as_bytes())).deliver {
            self.deliver();
        }
    }

    /// An ack for `sseq` under `dseq`.
    pub fn ack(&mut self, sseq: u64, dseq: u64, reply: &str, payload: &str) {
        let subject = format!("$JS.ACK.S.c.1.{sseq}.{dseq}.0.0");
        let reply = Bytes::copy_from_slice(reply.as_bytes());
        let wake = self.act(|c, cx| c.on_ack(cx, subject.as_bytes(), &reply, payload.as_bytes()));
        if wake.is_some_and(|w| w.deliver) {
            self.deliver();
        }
    }

    /// Lets time pass and runs what is due.
    pub fn wait(&mut self, ns: Nanos) -> Wake {
        self.now += ns;
        let wake = self.act(|c, cx| c.on_timer(cx));
        if wake.deliver {
            self.deliver();
        }
        wake
    }

    /// Logs and commits what happened, on both replicas; confirmations that
    /// became due, as reply subjects.
    pub fn commit(&mut self) -> Vec<String> {
        let mut body = BytesMut::new();
        if !self.c.take_delta(&mut body) {
            return Vec::new();
        }
        let done = self.c.apply_delta(&body).unwrap();
        let other = self.follower.apply_delta(&body).unwrap();
        assert_eq!(done.freed, other.freed);
        assert_eq!(other.answers, vec![]);
        assert_eq!(self.c.state(), self.follower.state());
        assert_eq!(self.c.state(), self.c.live());
        self.freed.extend(done.freed.0);
        let text = |b: Bytes| String::from_utf8_lossy(&b).into_owned();
        let answers = done.answers.into_iter().map(|a| match a {
            Answer::Ack(reply) => text(reply),
            Answer::Reset { reply, seq } => format!("{} reset {seq}", text(reply)),
        });
        answers.collect()
    }

    /// The effects since the last call, one line each:
    /// `to[/queue] subject reply |headers| payload`, absent parts as `-`.
    pub fn lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.out).iter().map(line).collect()
    }

    pub fn state(&self) -> String {
        let s = self.c.live();
        format!(
            "delivered {}/{} floor {}/{} pending {:?} redelivered {:?}",
            s.delivered.consumer,
            s.delivered.stream,
            s.ack_floor.consumer,
            s.ack_floor.stream,
            s.pending.keys().collect::<Vec<_>>(),
            s.redelivered,
        )
    }

    pub fn num_pending(&self) -> u64 {
        self.c.info(self.now, &self.interest).num_pending
    }
}

fn line(e: &Effect) -> String {
    let text = |b: &Bytes| match b.is_empty() {
        true => "-".to_string(),
        false => String::from_utf8_lossy(b).replace("\r\n", "~"),
    };
    match e {
        Effect::Publish(o) => {
            let queue = match o.queue.is_empty() {
                true => String::new(),
                false => format!("/{}", text(&o.queue)),
            };
            let headers = text(&o.headers);
            let headers = headers.strip_prefix("NATS/1.0").unwrap_or(&headers);
            let headers = headers.trim_matches(['~', ' ']).replace('~', ", ");
            let reply = text(&o.reply).replace("$JS.ACK.S.c.", "ack ");
            let reply = reply.replace(&format!(".{T0}."), "..");
            format!(
                "{}{queue} {} {reply} |{headers}| {}",
                text(&o.to),
                text(&o.subject),
                text(&o.payload)
            )
        }
        Effect::Advise { subject, payload } => {
            let json = String::from_utf8_lossy(payload);
            let at = json.find("\"stream\"").unwrap_or(0);
            format!("{} {}", text(subject).replace("$JS.EVENT.", ""), &json[at..])
        }
        other => format!("{other:?}"),
    }
}
