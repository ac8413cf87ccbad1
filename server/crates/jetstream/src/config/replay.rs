//! Recorded requests and answers of a reference server, and the surroundings
//! they were made in. The recordings are made with `fixtures/api/record.py`.

use super::{
    AccountLimits, ConsumerConfig, Reserved, ServerLimits, StorageType, StreamConfig, Surroundings,
};
use crate::config::level::stamp_answer;
use crate::duration::MINUTE;
use crate::error::ApiError;
use crate::json::to_string;
use std::collections::BTreeMap;

/// One request with its answer.
pub struct Case {
    pub account: String,
    pub subject: String,
    pub body: String,
    /// `Ok` with the configuration shown, or the error.
    reply: Result<Option<String>, String>,
}

impl Case {
    /// Notes a difference between the recorded answer and ours.
    pub fn compare(&self, got: Result<Option<String>, ApiError>, wrong: &mut Vec<String>) {
        let got = got.map_err(|e| to_string(&e));
        if got != self.reply {
            let (subject, body) = (&self.subject, &self.body);
            wrong.push(format!("{subject} {body}\n  got  {got:?}\n  want {:?}", self.reply));
        }
    }
}

pub fn cases(recorded: &str) -> Vec<Case> {
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    let read = |line: &str| {
        let v: serde_json::Value = serde_json::from_str(line).unwrap();
        let reply = match v["reply"].get("error") {
            Some(error) => Err(to_string(error)),
            None => Ok(v["reply"].get("config").map(to_string)),
        };
        Case {
            account: text(&v["account"]),
            subject: text(&v["subject"]),
            body: text(&v["body"]),
            reply,
        }
    };
    recorded.lines().map(read).collect()
}

/// An account with its streams and consumers.
pub struct World {
    limits: AccountLimits,
    pub streams: BTreeMap<String, StreamConfig>,
    pub consumers: BTreeMap<(String, String), ConsumerConfig>,
}

impl World {
    pub fn new(limits: AccountLimits) -> World {
        World { limits, streams: BTreeMap::new(), consumers: BTreeMap::new() }
    }

    /// The configuration as an answer shows it.
    pub fn shown(mut config: StreamConfig) -> String {
        stamp_answer(&mut config.metadata, "2.15.1");
        to_string(&config)
    }
}

impl Surroundings for World {
    fn limits(&self, _replicas: i64) -> Option<(AccountLimits, bool)> {
        Some((self.limits.clone(), false))
    }

    fn server(&self) -> ServerLimits {
        ServerLimits {
            duplicate_window: 5 * MINUTE,
            max_ack_pending: 5000,
            max_request_batch: 500,
            standalone: true,
        }
    }

    fn reserved(&self, storage: StorageType, _replicas: i64, except: &str) -> Reserved {
        let of = |s: &&StreamConfig| s.storage == storage && s.max_bytes > 0;
        let all: i64 = self.streams.values().filter(of).map(|s| s.max_bytes).sum();
        let own = self.streams.get(except).filter(of).map_or(0, |s| s.max_bytes);
        Reserved { account: all - own, server: all, server_max: 1 << 30 }
    }

    fn streams(&self, _replicas: i64, except: &str) -> i64 {
        self.streams.keys().filter(|name| *name != except).count() as i64
    }

    fn stream(&self, name: &str) -> Option<&StreamConfig> {
        self.streams.get(name)
    }

    fn subject_taken(&self, subject: &str, except: &str) -> bool {
        let mut others = self.streams.values().filter(|s| s.name != except);
        others.any(|s| s.subjects.iter().any(|t| super::subjects::overlap(t, subject)))
    }
}
