//! Random clients: what they ask, and what they remember of it.

use super::config::{self, Asset};
use super::node::Request;
use super::rng::Rng;
use bytes::Bytes;
use gust_jetstream::config::RetentionPolicy;
use gust_jetstream::stream::{Inbound, Purge, Token};
use std::collections::BTreeMap;

/// What was asked under a reply subject or token.
#[derive(Debug, Clone)]
pub enum Asked {
    /// A publish.
    Publish {
        /// Subject.
        subject: Bytes,
        /// Payload; no two publishes have the same.
        payload: Bytes,
        /// `Nats-Msg-Id`.
        id: Option<String>,
        /// `Nats-Expected-Last-Sequence`.
        last_seq: Option<u64>,
        /// `Nats-Expected-Last-Subject-Sequence`.
        subject_seq: Option<u64>,
    },
    /// A pull request of a consumer.
    Pull(String),
    /// An ack or TERM with confirmation.
    DoubleAck {
        /// Consumer.
        consumer: String,
        /// Stream sequence.
        seq: u64,
    },
    /// Anything whose answer says nothing.
    Other,
    /// STREAM.PURGE.
    Purge,
    /// STREAM.MSG.DELETE.
    Delete(u64),
}

/// A delivery somebody may still answer.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Group of the stream.
    pub group: u64,
    /// Ack subject.
    pub reply: Bytes,
    /// Consumer.
    pub consumer: String,
    /// Stream sequence.
    pub seq: u64,
}

/// The clients.
pub struct Clients {
    rng: Rng,
    number: u64,
    /// By reply subject.
    pub asked: BTreeMap<Bytes, (u64, Asked)>,
    /// By token.
    pub calls: BTreeMap<Token, (u64, Asked)>,
    /// Deliveries, the latest last.
    pub deliveries: Vec<Delivery>,
    /// Highest sequence seen per stream.
    pub last_seen: BTreeMap<u64, u64>,
}

/// Deliveries that are remembered; older ones are never acked.
const MAX_DELIVERIES: usize = 120;

impl Clients {
    /// Clients that have asked nothing yet.
    pub fn new(rng: Rng) -> Clients {
        Clients {
            rng,
            number: 0,
            asked: BTreeMap::new(),
            calls: BTreeMap::new(),
            deliveries: Vec::new(),
            last_seen: BTreeMap::new(),
        }
    }

    /// Notes a delivery.
    pub fn delivered(&mut self, d: Delivery) {
        if self.deliveries.len() >= MAX_DELIVERIES {
            let gone = self.rng.below(MAX_DELIVERIES as u64) as usize;
            self.deliveries.remove(gone);
        }
        self.deliveries.push(d);
    }

    fn reply(&mut self, group: u64, asked: Asked) -> Bytes {
        self.number += 1;
        let reply = Bytes::from(format!("R.{}", self.number));
        self.asked.insert(reply.clone(), (group, asked));
        reply
    }

    fn token(&mut self, group: u64, asked: Asked) -> Token {
        self.number += 1;
        self.calls.insert(self.number, (group, asked));
        self.number
    }

    /// The next request to the stream.
    pub fn request(&mut self, asset: &Asset) -> Request {
        let group = asset.group;
        let last = self.last_seen.get(&group).copied().unwrap_or(0);
        match self.rng.weighted(&[40, 14, 24, 1, 3, 2, 3, 1]) {
            0 => self.publish(asset, last),
            1 => {
                let consumer = format!("c{}", self.rng.below(3));
                let batch = 1 + self.rng.below(8);
                let body = format!(r#"{{"batch":{batch},"expires":4000000000}}"#);
                let reply = self.reply(group, Asked::Pull(consumer.clone()));
                Request::Pull { consumer, reply, body: body.into() }
            }
            2 => self.ack(group).unwrap_or_else(|| self.publish(asset, last)),
            3 => {
                let mut p = Purge::default();
                match self.rng.below(5) {
                    0 => p.filter = self.subject(asset),
                    1 => p.seq = self.rng.below(last + 8),
                    2 => p.keep = self.rng.below(6),
                    3 => (p.filter, p.keep) = (self.subject(asset), self.rng.below(3)),
                    _ => {}
                }
                Request::Purge(p, self.token(group, Asked::Purge))
            }
            4 => {
                let seq = 1 + self.rng.below(last + 2);
                Request::Delete(seq, self.token(group, Asked::Delete(seq)))
            }
            5 => {
                let mut c = asset.config.clone();
                if self.rng.one_in(2) && c.max_msgs > 0 {
                    c.max_msgs = 1 + self.rng.below(c.max_msgs as u64) as i64;
                } else if self.rng.one_in(2) && c.max_msgs_per_subject > 1 {
                    c.max_msgs_per_subject -= 1;
                }
                c.description = format!("d{}", self.number);
                Request::Update(Box::new(c), self.token(group, Asked::Other))
            }
            6 => {
                let r = config::consumer(&asset.config.name, self.rng.below(3), &asset.config);
                Request::CreateConsumer(Box::new(r), self.token(group, Asked::Other))
            }
            _ => {
                let name = format!("c{}", self.rng.below(3));
                Request::DeleteConsumer(name, self.token(group, Asked::Other))
            }
        }
    }

    fn subject(&mut self, asset: &Asset) -> Bytes {
        format!("{}.{}", asset.config.name, self.rng.below(4)).into()
    }

    /// A publish, by all means of the protocol.
    pub fn publish(&mut self, asset: &Asset, last: u64) -> Request {
        let subject = self.subject(asset);
        let size = match self.rng.below(20) {
            0 => 6000,
            1..=4 => 700,
            _ => 60,
        };
        let mut payload = format!("p{}|", self.number + 1);
        let filler = self.rng.below(size) as usize;
        payload.extend(std::iter::repeat_n('x', filler));
        let payload = Bytes::from(payload);
        let (mut id, mut last_seq, mut subject_seq) = (None, None, None);
        let mut lines = Vec::new();
        match self.rng.below(12) {
            0 | 1 => id = Some(format!("id{}", self.rng.below(12))),
            2 => last_seq = Some((last + self.rng.below(2)).saturating_sub(self.rng.below(2))),
            3 => subject_seq = Some(self.rng.below(last + 1)),
            4 => lines.push("Nats-TTL: 3".to_owned()),
            5 if self.rng.one_in(3) => lines.push("Nats-Rollup: sub".to_owned()),
            5 if self.rng.one_in(3) => lines.push("Nats-Rollup: all".to_owned()),
            _ => {}
        }
        lines.extend(id.as_ref().map(|i| format!("Nats-Msg-Id: {i}")));
        lines.extend(last_seq.map(|n| format!("Nats-Expected-Last-Sequence: {n}")));
        lines.extend(subject_seq.map(|n| format!("Nats-Expected-Last-Subject-Sequence: {n}")));
        // Only exact where nothing but the log of messages removes messages.
        subject_seq = subject_seq.filter(|_| asset.config.retention == RetentionPolicy::Limits);
        let asked = Asked::Publish {
            subject: subject.clone(),
            payload: payload.clone(),
            id,
            last_seq,
            subject_seq,
        };
        let reply = self.reply(asset.group, asked);
        let headers = config::block(&lines);
        Request::Publish(Inbound { subject, reply, headers, payload, tracing: None })
    }

    fn ack(&mut self, group: u64) -> Option<Request> {
        let mine: Vec<usize> = (0..self.deliveries.len())
            .filter(|i| self.deliveries.get(*i).is_some_and(|d| d.group == group))
            .collect();
        if mine.is_empty() {
            return None;
        }
        let at = *self.rng.pick(&mine);
        let d = self.deliveries.get(at)?.clone();
        // Some are answered again and again, as clients that retry do.
        if !self.rng.one_in(6) {
            self.deliveries.remove(at);
        }
        let payload = *self.rng.pick(&["", "+ACK", "+ACK", "-NAK", "-NAK 2s", "+TERM", "+WPI"]);
        let ends = matches!(payload, "" | "+ACK" | "+TERM");
        let reply = if self.rng.one_in(2) {
            let asked = match ends {
                true => Asked::DoubleAck { consumer: d.consumer.clone(), seq: d.seq },
                false => Asked::Other,
            };
            self.reply(group, asked)
        } else {
            Bytes::new()
        };
        Some(Request::Ack {
            subject: d.reply,
            reply,
            payload: Bytes::from_static(payload.as_bytes()),
        })
    }
}
