//! A stream: one deterministic state machine driven by one log
//! (contract/jetstream.md §2.2–2.4, §3, §7).
//!
//! # Two sides
//! The **leader** decides: [`Stream::publish`] and the other requests are checked
//! against what is applied and what is in flight, get a sequence and a time, and
//! become frames ([`log`]) of the entry of this turn ([`Stream::take_entry`]).
//! **Everybody** applies: [`Stream::apply`] is called with every committed entry
//! and cannot refuse anything; limits, rollups and the removal of acknowledged
//! messages are consequences it draws from the log and the configuration alone.
//! Answers (PubAcks, API results) wait on the leader until the frame they speak
//! of comes back committed.
//!
//! # When exactness needs patience
//! Some checks need the exact state after everything in flight (a limit that is
//! only nearly reached, an expected subject sequence behind a purge). Such a
//! publish, and those after it, wait in the leader until nothing is in flight.
//! The queue is bounded ([`lead::DEFERRED_BYTES`]); beyond it publishes get 10167.
//!
//! # A turn of the owner
//! requests → [`Stream::turn`] → [`Stream::take_entry`] until `None` → log →
//! [`Stream::apply`] → execute effects, take completions.

use crate::config::StreamConfig;
use crate::consumer::StreamFacts;
use crate::effect::{Effect, Interest, Nanos, Outgoing};
use crate::error::ApiError;
use bytes::Bytes;
use gust_storage::store::{StoreError, StoreState, StreamStore};
use std::sync::Arc;

mod answer;
mod apply;
mod atomic;
mod checkpoint;
mod consumers;
mod counter;
mod dedupe;
mod direct;
mod expiry;
mod fast;
mod from_backup;
pub mod headers;
mod lead;
pub mod log;
mod manage;
mod origin;
mod publish;
mod read;
mod rules;
pub mod schedule;
mod source;
mod timer;
mod traced;

#[cfg(test)]
mod atomic_test;
#[cfg(test)]
mod consumer_test;
#[cfg(test)]
mod direct_test;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod from_backup_test;
#[cfg(test)]
mod model_test;
#[cfg(test)]
mod publish_test;
#[cfg(test)]
mod source_test;
#[cfg(test)]
mod traced_test;

pub use atomic::BatchLimits;
pub use checkpoint::CheckpointError;
use consumers::Consumers;
use dedupe::{Dedupe, Key};
use expiry::Expiry;
pub use from_backup::Restoring;
use lead::Leading;
pub use manage::Purge;
pub use read::is_public;
use rules::Rules;
pub use traced::Tracing;

/// What a stream is besides its configuration; never changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Account it lives in.
    pub account: String,
    /// JetStream domain, or empty.
    pub domain: String,
    /// When it was created, ns.
    pub created: Nanos,
    /// Whether ack subjects have the v2 form (`js_ack_fc_v2`).
    pub ack_v2: bool,
}

/// What the stream cannot know and the leader's checks need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Largest message the server accepts, bytes.
    pub max_payload: u64,
    /// Most bytes a batched direct get sends when the request does not say
    /// (`max_pending`).
    pub max_pending: u64,
    /// What batches may do.
    pub batch: BatchLimits,
    /// The server's own limit for this storage type is used up (10023).
    pub server_full: bool,
    /// The account's limit is used up (10002).
    pub account_full: bool,
}

impl Default for Facts {
    fn default() -> Self {
        Facts {
            max_payload: 1 << 20,
            max_pending: 64 << 20,
            batch: BatchLimits::default(),
            server_full: false,
            account_full: false,
        }
    }
}

/// What a call may look at and where its effects go.
pub struct Cx<'a> {
    /// Current time.
    pub now: Nanos,
    /// A fresh random number; feeds ids and jitter of this replica only.
    pub random: u64,
    /// See [`Facts`].
    pub facts: &'a Facts,
    /// Who listens in the account.
    pub interest: &'a dyn Interest,
    /// Effects are appended here.
    pub fx: &'a mut Vec<Effect>,
}

impl Cx<'_> {
    /// Publishes `payload` to `to` unless that is empty.
    fn send(&mut self, to: Bytes, headers: Bytes, payload: Bytes) {
        if !to.is_empty() {
            self.fx.push(Effect::Publish(Outgoing {
                to,
                subject: Bytes::new(),
                reply: Bytes::new(),
                headers,
                payload,
                queue: Bytes::new(),
            }));
        }
    }
}

/// A message on its way in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inbound {
    /// Subject it was published to.
    pub subject: Bytes,
    /// Reply subject, or empty.
    pub reply: Bytes,
    /// Raw header block, or empty.
    pub headers: Bytes,
    /// Payload.
    pub payload: Bytes,
    /// Set if somebody wants to know what becomes of it.
    pub tracing: Option<Tracing>,
}

impl Inbound {
    fn size(&self) -> usize {
        self.subject.len() + self.reply.len() + self.headers.len() + self.payload.len() + 128
    }
}

/// The result of an API call that went through the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completion {
    /// It is done: delete message, delete or pause consumer, update stream.
    Done,
    /// Messages a purge removed.
    Purged(u64),
    /// The consumer exists.
    Consumer {
        /// Its name, which may have been made up.
        name: String,
        /// Its state from before the first delivery.
        info: Box<crate::consumer::InfoData>,
    },
    /// The consumer's position was reset; `reset_seq` of the answer.
    Reset(u64),
}

/// Caller's number of an API call, returned with its result.
pub type Token = u64;

/// A stream on one replica.
pub struct Stream {
    identity: Identity,
    facts: StreamFacts,
    rules: Arc<Rules>,
    store: Box<dyn StreamStore>,
    applied: (u64, u64),
    dedupe: Dedupe,
    last_id: Bytes,
    expiry: Expiry,
    progress: source::Progress,
    schedules: schedule::Schedules,
    consumers: Consumers,
    lead: Option<Box<Leading>>,
    completions: Vec<(Token, Result<Completion, ApiError>)>,
    poisoned: Option<String>,
}

impl Stream {
    /// A stream nothing was applied to yet. `config` is complete: defaults are
    /// filled in and it passed the checks of [`crate::config`].
    pub fn new(identity: Identity, config: StreamConfig, store: Box<dyn StreamStore>) -> Stream {
        let mut store = store;
        if config.first_seq > 1 && store.state().last_seq == 0 {
            store.set_first(config.first_seq);
        }
        let rules = Arc::new(Rules::new(config, &identity.domain));
        let key = dedupe_key(&identity, &rules.config.name);
        let window = rules.config.duplicate_window;
        Stream {
            facts: stream_facts(&identity, &rules),
            identity,
            rules,
            store,
            applied: (0, 0),
            dedupe: Dedupe::new(key, window),
            last_id: Bytes::new(),
            expiry: Expiry::default(),
            progress: source::Progress::new(),
            schedules: schedule::Schedules::default(),
            consumers: Consumers::default(),
            lead: None,
            completions: Vec::new(),
            poisoned: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.rules.config.name
    }

    /// See [`Identity`].
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The applied configuration.
    pub fn config(&self) -> &StreamConfig {
        &self.rules.config
    }

    /// Totals of the applied messages.
    pub fn state(&self) -> StoreState {
        self.store.state()
    }

    /// Its messages.
    pub fn store(&self) -> &dyn StreamStore {
        &*self.store
    }

    /// Its messages, for the owner's housekeeping (flush, checkpoint). Messages
    /// must not be changed through it.
    pub fn store_mut(&mut self) -> &mut dyn StreamStore {
        &mut *self.store
    }

    /// Gives the store back and ends this replica's stream.
    pub fn into_store(self) -> Box<dyn StreamStore> {
        self.store
    }

    /// Index and term of the last applied entry.
    pub fn applied(&self) -> (u64, u64) {
        self.applied
    }

    /// Why this replica stopped applying, if it did. Its reads still work, its
    /// leader side is off; it needs a repair from a peer or the operator.
    pub fn poisoned(&self) -> Option<&str> {
        self.poisoned.as_deref()
    }

    /// Message ids inside the duplicate window (or waiting to be forgotten).
    pub fn dedupe_len(&self) -> usize {
        self.dedupe.len()
    }

    /// Heap bytes, an estimate.
    pub fn memory(&self) -> usize {
        self.store.memory() + self.dedupe.memory() + self.expiry.memory()
    }

    /// Atomic batches waiting for their commit.
    pub fn open_batches(&self) -> usize {
        self.lead.as_ref().map_or(0, |l| l.batches.len())
    }

    /// Whether this replica leads.
    pub fn is_leader(&self) -> bool {
        self.lead.is_some()
    }

    /// Begins to lead. The first entry of this term must be applied already, and
    /// `epoch` (the term) must differ from earlier leaderships.
    pub fn lead(&mut self, epoch: u64, cx: &mut Cx<'_>) {
        if self.poisoned.is_some() {
            return;
        }
        let s = self.store.state();
        self.lead = Some(Box::new(Leading::new(s.last_seq, s.last_ts, self.rules.clone())));
        self.consumers.lead(epoch, &*self.store, &self.facts, cx);
        self.start_origins(cx);
    }

    /// Stops leading: in-flight work is forgotten, waiting pull requests are told
    /// `409 Leadership Change`, API calls fail with 10008.
    pub fn step_down(&mut self, cx: &mut Cx<'_>) {
        self.stop(crate::consumer::Stop::StepDown, cx);
    }

    /// Stops leading because the server stops or the stream is deleted.
    pub fn stop(&mut self, why: crate::consumer::Stop, cx: &mut Cx<'_>) {
        self.consumers.stop(why, &*self.store, &self.facts, cx);
        let Some(mut lead) = self.lead.take() else { return };
        lead.origins.iter_mut().for_each(|o| o.stop(cx));
        for token in lead.abandon() {
            self.completions.push((token, Err(crate::error::cluster_not_avail())));
        }
    }

    /// The next entry to log, if the leader wrote anything.
    pub fn take_entry(&mut self) -> Option<Bytes> {
        self.lead.as_mut()?.take_entry()
    }

    /// Results of API calls whose change was applied, or that failed.
    pub fn take_completions(&mut self) -> Vec<(Token, Result<Completion, ApiError>)> {
        std::mem::take(&mut self.completions)
    }

    /// Stops it: it leads no more and applies nothing. What is stored stays
    /// readable. The first reason stays.
    pub fn poison(&mut self, why: String) {
        self.lead = None;
        self.poisoned.get_or_insert(why);
    }
}

/// Why an entry could not be applied. The stream is poisoned by it.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The store failed.
    #[error("stream {stream}: {source}")]
    Store {
        /// Name of the stream.
        stream: String,
        /// Cause.
        #[source]
        source: StoreError,
    },
    /// The entry cannot be understood.
    #[error("stream {stream}, log index {index}: {why}")]
    Log {
        /// Name of the stream.
        stream: String,
        /// Index of the entry.
        index: u64,
        /// Cause.
        why: String,
    },
    /// An earlier entry failed.
    #[error("stream {stream} stopped earlier: {why}")]
    Poisoned {
        /// Name of the stream.
        stream: String,
        /// First cause.
        why: String,
    },
}

fn stream_facts(identity: &Identity, rules: &Rules) -> StreamFacts {
    let c = &rules.config;
    StreamFacts {
        name: Bytes::copy_from_slice(c.name.as_bytes()),
        domain: Bytes::copy_from_slice(identity.domain.as_bytes()),
        account: Bytes::copy_from_slice(identity.account.as_bytes()),
        retention: c.retention,
        max_msgs_per_subject: c.max_msgs_per_subject,
        max_message: rules.max_msg_size.min(1 << 20),
        ack_v2: identity.ack_v2,
    }
}

/// The same on every replica and not guessable from outside.
fn dedupe_key(identity: &Identity, name: &str) -> Key {
    let seed = Key(identity.created as u64, name.len() as u64);
    let h = dedupe::siphash128(seed, format!("{}/{name}", identity.account).as_bytes());
    Key(h as u64, (h >> 64) as u64)
}
