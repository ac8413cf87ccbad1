//! A stream as simple as it can be: what its log says, applied to a map. It
//! knows limits, purges and rollups; what acks remove is judged by the oracle.

use gust_jetstream::config::{ConsumerConfig, DiscardPolicy, RetentionPolicy, StreamConfig};
use gust_jetstream::json;
use gust_jetstream::stream::headers;
use gust_jetstream::stream::log::{Change, sequences};
use gust_storage::record::MessageView;
use gust_storage::store::StoreState;
use gust_subject::matches;
use std::collections::BTreeMap;

/// A live message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Subject.
    pub subject: Vec<u8>,
    /// Header block.
    pub headers: Vec<u8>,
    /// Payload.
    pub payload: Vec<u8>,
    /// Time.
    pub ts: i64,
}

impl Message {
    /// contract/jetstream.md §2.2, file storage.
    fn bytes(&self) -> u64 {
        let headers = if self.headers.is_empty() { 0 } else { 4 + self.headers.len() };
        (30 + self.subject.len() + headers + self.payload.len()) as u64
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct Naive {
    /// Configuration in force.
    pub config: StreamConfig,
    /// Live messages.
    pub msgs: BTreeMap<u64, Message>,
    /// Highest sequence used.
    pub last_seq: u64,
    last_ts: i64,
    bytes: u64,
    /// Filters of the consumers; none = everything.
    pub consumers: BTreeMap<String, Vec<String>>,
    /// Messages the last purge removed.
    pub purged: u64,
}

fn limit(n: i64) -> u64 {
    if n > 0 { n as u64 } else { u64::MAX }
}

impl Naive {
    /// An empty stream.
    pub fn new(config: StreamConfig) -> Naive {
        Naive {
            config,
            msgs: BTreeMap::new(),
            last_seq: 0,
            last_ts: 0,
            bytes: 0,
            consumers: BTreeMap::new(),
            purged: 0,
        }
    }

    /// Last live sequence of a subject, 0 = none.
    pub fn last_of(&self, subject: &[u8]) -> u64 {
        let mut found = self.msgs.iter().rev().filter(|(_, m)| m.subject == subject);
        found.next().map_or(0, |(seq, _)| *seq)
    }

    /// Whether some consumer's filters cover the subject.
    pub fn wants(&self, consumer: &str, subject: &[u8]) -> bool {
        self.consumers
            .get(consumer)
            .is_some_and(|f| f.is_empty() || f.iter().any(|f| matches(subject, f.as_bytes())))
    }

    /// Removes a message.
    pub fn remove(&mut self, seq: u64) -> bool {
        let gone = self.msgs.remove(&seq);
        self.bytes -= gone.as_ref().map_or(0, Message::bytes);
        gone.is_some()
    }

    fn remove_if(&mut self, f: impl Fn(u64, &Message) -> bool) -> u64 {
        let gone: Vec<u64> = self.msgs.iter().filter(|(s, m)| f(**s, m)).map(|(s, _)| *s).collect();
        gone.iter().for_each(|s| {
            self.remove(*s);
        });
        gone.len() as u64
    }

    /// Applies one frame of the log; an error is a broken promise.
    pub fn apply(&mut self, change: &Change<'_>) -> Result<(), String> {
        match change {
            Change::Message(m) => self.message(m, true),
            Change::Skip(m) => self.message(m, false),
            Change::Delete { seq, .. } => {
                self.remove(*seq);
                Ok(())
            }
            Change::Purge { below, keep, filter } => {
                self.purged = self.purge(*below, *keep, filter);
                Ok(())
            }
            Change::Trim(below) => {
                self.remove_if(|s, _| s < *below);
                Ok(())
            }
            Change::Expire(list) => {
                for seq in sequences(list) {
                    self.remove(seq);
                }
                Ok(())
            }
            Change::Config(text) => self.configure(text),
            Change::Consumer { name, config, .. } => {
                let c: ConsumerConfig = json::parse_lenient(config).map_err(|e| e.to_string())?;
                let filters = c.filters().map(str::to_owned).collect();
                self.consumers.insert(String::from_utf8_lossy(name).into_owned(), filters);
                Ok(())
            }
            Change::Gone { name, .. } => {
                self.consumers.remove(String::from_utf8_lossy(name).as_ref());
                Ok(())
            }
            Change::Delta { .. } | Change::Advance { .. } | Change::Progress { .. } => Ok(()),
        }
    }

    fn message(&mut self, m: &MessageView<'_>, stored: bool) -> Result<(), String> {
        if m.seq != self.last_seq + 1 {
            return Err(format!("sequence {} follows {}", m.seq, self.last_seq));
        }
        if m.ts < self.last_ts {
            return Err(format!("time of {} goes backwards", m.seq));
        }
        (self.last_seq, self.last_ts) = (m.seq, m.ts);
        let interest = self.config.retention == RetentionPolicy::Interest;
        let wanted = !interest || self.consumers.keys().any(|c| self.wants(c, m.subject));
        let stored = stored && wanted;
        if stored {
            let message = Message {
                subject: m.subject.to_vec(),
                headers: m.headers.to_vec(),
                payload: m.payload.to_vec(),
                ts: m.ts,
            };
            self.bytes += message.bytes();
            self.msgs.insert(m.seq, message);
            self.enforce_subject(m.subject);
            if self.config.discard != DiscardPolicy::New {
                self.enforce_totals();
            } else if self.msgs.len() as u64 > limit(self.config.max_msgs)
                || self.bytes > limit(self.config.max_bytes)
            {
                return Err(format!("message {} was stored beyond the limits", m.seq));
            }
        }
        if self.config.allow_rollup_hdrs && !self.config.deny_purge {
            match headers::get(m.headers, headers::name::ROLLUP) {
                Some(b"sub") => {
                    self.remove_if(|s, x| s != m.seq && x.subject == m.subject);
                }
                Some(b"all") => {
                    self.remove_if(|s, _| s != m.seq);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn enforce_subject(&mut self, subject: &[u8]) {
        let mine = self.msgs.iter().filter(|(_, m)| m.subject == subject).map(|(s, _)| *s);
        let mine: Vec<u64> = mine.collect();
        let over = (mine.len() as u64).saturating_sub(limit(self.config.max_msgs_per_subject));
        for seq in mine.iter().take(over as usize) {
            self.remove(*seq);
        }
    }

    fn enforce_totals(&mut self) {
        while (self.msgs.len() as u64 > limit(self.config.max_msgs)
            || self.bytes > limit(self.config.max_bytes))
            && let Some(first) = self.msgs.keys().next().copied()
        {
            self.remove(first);
        }
    }

    fn purge(&mut self, below: u64, keep: u64, filter: &[u8]) -> u64 {
        let everything = filter.is_empty() || filter == b">";
        if filter.is_empty() && keep == 0 {
            self.last_seq = self.last_seq.max(below.saturating_sub(1));
        }
        let below = if below == 0 { u64::MAX } else { below };
        let hit = |s: u64, m: &Message| s < below && (everything || matches(&m.subject, filter));
        let hits: Vec<u64> =
            self.msgs.iter().filter(|(s, m)| hit(**s, m)).map(|(s, _)| *s).collect();
        let over = hits.len().saturating_sub(keep as usize);
        for seq in hits.iter().take(over) {
            self.remove(*seq);
        }
        over as u64
    }

    fn configure(&mut self, text: &[u8]) -> Result<(), String> {
        let new: StreamConfig = json::parse_lenient(text).map_err(|e| e.to_string())?;
        let old = std::mem::replace(&mut self.config, new);
        let subjects: std::collections::BTreeSet<Vec<u8>> =
            self.msgs.values().map(|m| m.subject.clone()).collect();
        for s in subjects {
            self.enforce_subject(&s);
        }
        let lowered = limit(self.config.max_msgs) < limit(old.max_msgs)
            || limit(self.config.max_bytes) < limit(old.max_bytes);
        if self.config.discard != DiscardPolicy::New || lowered {
            self.enforce_totals();
        }
        Ok(())
    }

    /// Whether totals are those of the real thing.
    pub fn agrees(&self, s: &StoreState) -> bool {
        let first = self.msgs.keys().next().copied();
        s.msgs == self.msgs.len() as u64
            && s.bytes == self.bytes
            && s.last_seq == self.last_seq
            && first.is_none_or(|f| f == s.first_seq)
    }

    /// Totals, for messages.
    pub fn totals(&self) -> String {
        format!(
            "msgs {} bytes {} first {:?} last {}",
            self.msgs.len(),
            self.bytes,
            self.msgs.keys().next(),
            self.last_seq
        )
    }
}
