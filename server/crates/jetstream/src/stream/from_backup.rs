//! A stream that is made from a backup, before it has a log: what the backup
//! holds is put into the store as it is, with its sequences and times, and
//! becomes the state the log begins at (contract/jetstream.md §1.6).
//!
//! Unlike a publish, a restored message is not checked against the stream's
//! subjects, duplicates or retention; its limits hold. Consumers come last, so
//! that no message is judged by half of them.

use super::apply::Fault;
use super::expiry::Ttl;
use super::headers::PublishHeaders;
use super::{Cx, Facts, Stream};
use crate::config::consumer_change::{self, ConsumerCreate, ConsumerFacts, CreateForm};
use crate::config::names::is_asset_name;
use crate::config::{AccountLimits, ConsumerConfig, CreateConsumerRequest, ServerLimits};
use crate::consumer::{Consumer, start_delta};
use crate::effect::{Interest, Nanos};
use crate::snapshot::{ConsumerBackup, RestoreItem, RestoredMessage, SnapshotError};
use bytes::BytesMut;
use gust_storage::record::{self, MessageView};
use gust_storage::store::MAX_SEQ;

/// See the module documentation.
pub struct Restoring {
    stream: Stream,
    consumers: Vec<ConsumerBackup>,
    /// Last sequence and its time, if the backup names them.
    end: Option<(u64, Nanos)>,
    record: BytesMut,
    now: Nanos,
    server: ServerLimits,
    account: AccountLimits,
}

impl Restoring {
    /// Begins to fill `stream`, to which nothing was applied. `now` decides
    /// which messages have ended and is when the consumers are created.
    pub fn new(stream: Stream, server: ServerLimits, account: AccountLimits, now: Nanos) -> Self {
        Restoring {
            stream,
            consumers: Vec::new(),
            end: None,
            record: BytesMut::new(),
            now,
            server,
            account,
        }
    }

    /// The stream as far as it is filled.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The same, for checkpoints on the way.
    pub fn stream_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Takes the next item of the backup. After an error it must be dropped.
    pub fn item(&mut self, item: RestoreItem) -> Result<(), SnapshotError> {
        match item {
            RestoreItem::State(state) => {
                if state.first_seq > MAX_SEQ || state.last_seq > MAX_SEQ {
                    return refused("state.json names sequences beyond the possible");
                }
                self.end = Some((state.last_seq, state.last_ts.nanos()));
                if state.first_seq > self.stream.store.state().last_seq + 1 {
                    self.stream.store.purge_below(state.first_seq).map_err(|e| said(&e))?;
                }
                Ok(())
            }
            RestoreItem::Consumer(consumer) => {
                self.consumers.push(*consumer);
                Ok(())
            }
            RestoreItem::Message(m) => self.message(&m),
            RestoreItem::Delete { seq, ts } => self.delete(seq, ts).map_err(|e| said(&e)),
        }
    }

    fn delete(&mut self, seq: u64, ts: Nanos) -> Result<(), gust_storage::store::StoreError> {
        let store = &mut self.stream.store;
        let state = store.state();
        if seq > state.last_seq && seq <= MAX_SEQ {
            // nats-server notes no time for a deleted end.
            return store.skip_to(seq, ts.max(state.last_ts));
        }
        store.remove(seq, false).map(|_| ())
    }

    fn message(&mut self, m: &RestoredMessage) -> Result<(), SnapshotError> {
        let last = self.stream.store.state().last_seq;
        if m.seq <= last || m.seq > MAX_SEQ {
            return refused(format!("message {} comes after message {last}", m.seq));
        }
        if !gust_subject::valid_publish(&m.subject) {
            let subject = String::from_utf8_lossy(&m.subject);
            return refused(format!("message {} has the subject {subject:?}", m.seq));
        }
        self.store(&MessageView {
            seq: m.seq,
            ts: m.ts,
            subject: &m.subject,
            headers: &m.headers,
            payload: &m.payload,
        })
        .map_err(fault)
    }

    fn store(&mut self, m: &MessageView<'_>) -> Result<(), Fault> {
        let (now, facts, mut fx) = (self.now, Facts::default(), Vec::new());
        let mut cx = Cx { now, random: 0, facts: &facts, interest: &Nobody, fx: &mut fx };
        let s = &mut self.stream;
        let rules = s.rules.clone();
        let h = PublishHeaders::read(m.headers);
        let ttl = h.ttl.and_then(Ttl::parse).filter(|_| rules.config.allow_msg_ttl);
        let end = ttl.and_then(|t| t.end(m.ts));
        if end.is_some_and(|at| at <= now) {
            s.store.skip_to(m.seq, m.ts)?;
        } else {
            self.record.clear();
            record::put_message(&mut self.record, m);
            s.store.append(m, &self.record)?;
            if let Some(at) = end {
                s.expiry.insert(at, m.seq);
            }
            if rules.config.allow_msg_schedules && !m.headers.is_empty() {
                s.schedules.stored(m);
            }
            s.enforce_limits(&rules, m.subject, &mut cx)?;
        }
        s.remember_id(&h, m);
        if let Some(source) = h.source {
            s.note_source(source);
        }
        Ok(())
    }

    /// The stream, when all items were taken.
    pub fn finish(mut self) -> Result<Stream, SnapshotError> {
        let state = self.stream.store.state();
        if let Some((last, ts)) = self.end.filter(|e| e.0 > state.last_seq) {
            self.stream.store.skip_to(last, ts.max(state.last_ts)).map_err(|e| said(&e))?;
        }
        for consumer in std::mem::take(&mut self.consumers) {
            let name = consumer.name.clone();
            self.consumer(consumer)
                .map_err(|why| SnapshotError::Refused(format!("consumer {name:?}: {why}")))?;
        }
        let s = &mut self.stream;
        // Without any consumer nothing was decided about the messages.
        if s.rules.interest() && s.consumers.len() > 0 {
            let (now, facts, mut fx) = (self.now, Facts::default(), Vec::new());
            let mut cx = Cx { now, random: 0, facts: &facts, interest: &Nobody, fx: &mut fx };
            s.drop_unwanted(&mut cx).map_err(fault)?;
        }
        Ok(self.stream)
    }

    fn consumer(&mut self, backup: ConsumerBackup) -> Result<(), String> {
        let config = self.config(&backup)?;
        let s = &mut self.stream;
        let state = s.store.state();
        let mut c = Consumer::new(config, self.now, &s.facts);
        match backup.state {
            Some(found) => c.set_state(found.state(state.last_seq)),
            None => {
                let start =
                    start_delta(c.config(), &*s.store, &s.facts).map_err(|e| e.to_string())?;
                c.apply_delta(&start).map_err(|e| e.to_string())?;
            }
        }
        s.consumers.insert(c);
        Ok(())
    }

    /// The configuration as a create request for it would leave it.
    fn config(&self, backup: &ConsumerBackup) -> Result<ConsumerConfig, String> {
        let s = &self.stream;
        if !is_asset_name(&backup.name) {
            return Err("this is no name for a consumer".to_owned());
        }
        if s.consumers.get(&backup.name).is_some() {
            return Err("the backup has it twice".to_owned());
        }
        let mut request = CreateConsumerRequest {
            stream_name: s.name().to_owned(),
            config: backup.config.clone(),
            ..CreateConsumerRequest::default()
        };
        let form = CreateForm::Named { consumer: &backup.name, filter: "" };
        let consumers = &s.consumers;
        let decided = consumer_change::check_request(&mut request, s.name(), form).and_then(|()| {
            consumer_change::create(
                &request,
                &ConsumerFacts {
                    stream: &s.rules.config,
                    server: self.server,
                    account: self.account.clone(),
                    consumers: &|| Box::new(consumers.iter().map(Consumer::config)),
                    existing: None,
                    bound: false,
                },
            )
        });
        match decided.map_err(|e| e.to_string())? {
            ConsumerCreate::New(config) | ConsumerCreate::Update(config) => Ok(*config),
        }
    }
}

/// Nobody listens to a stream that is not there yet.
struct Nobody;

impl Interest for Nobody {
    fn has(&self, _: &[u8]) -> bool {
        false
    }
    fn has_group(&self, _: &[u8], _: &[u8]) -> bool {
        false
    }
}

fn refused<T>(why: impl Into<String>) -> Result<T, SnapshotError> {
    Err(SnapshotError::Refused(why.into()))
}

fn said(e: &gust_storage::store::StoreError) -> SnapshotError {
    SnapshotError::Refused(e.to_string())
}

fn fault(f: Fault) -> SnapshotError {
    SnapshotError::Refused(match f {
        Fault::Store(e) => e.to_string(),
        Fault::Log(why) => why,
    })
}
