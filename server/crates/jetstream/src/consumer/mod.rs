//! A consumer: a deterministic state machine inside its stream's log
//! (contract/jetstream.md §4).
//!
//! # Two copies of the state
//! [`ConsumerState`] is changed only by ops. The leader applies an op to its
//! `live` copy at once and collects it; the owner takes the collected ops as one
//! delta ([`Consumer::take_delta`]), logs it, and calls
//! [`Consumer::apply_delta`] on every replica when it commits, which changes the
//! `applied` copy. Checkpoints hold `applied`. Who starts to lead copies
//! `applied` to `live`, so what was not committed is delivered again.
//!
//! Everything else (waiting requests, redelivery queue, timers, flow control,
//! pins) belongs to the leadership and is lost with it, as in nats-server.
//!
//! # What is logged
//! All consumers except those with `mem_storage` on a stream with `limits`
//! retention: nobody else needs their state, and it is lost with the leader.
//! Interest and work queue streams need every ack in the log, because it removes
//! messages.
//!
//! # Order of effects
//! Effects of [`Consumer::deliver`] may be executed at once or after the delta
//! taken next has committed; the latter keeps delivery sequences unique across
//! leaders. Confirmations of acks come out of `apply_delta`.

use crate::config::{AckPolicy, ConsumerConfig, RetentionPolicy};
use crate::effect::{Effect, Interest, Nanos, Outgoing};
use bytes::{Bytes, BytesMut};
use gust_storage::store::{Removed, StreamStore};

mod ack;
mod ack_subject;
mod advisory;
mod checkpoint;
mod deadline;
mod deliver;
mod delta;
mod filter;
mod flow;
mod header;
mod info;
mod leader;
mod pin;
mod pull;
mod removal;
mod reply;
mod request;
mod rules;
mod start;
mod state;
pub mod status;
mod timer;
mod waiting;

#[cfg(test)]
mod ack_test;
#[cfg(test)]
mod delta_test;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod model_test;
#[cfg(test)]
mod priority_test;
#[cfg(test)]
mod pull_test;
#[cfg(test)]
mod push_test;
#[cfg(test)]
mod start_test;

pub use ack_subject::AckSubject;
pub use delta::FormatError;
pub use info::{GroupInfo, InfoData};
use leader::Leader;
pub use pin::UnpinError;
pub use reply::account_hash;
use rules::Rules;
pub use start::{ResetError, start_delta};
pub use state::{ConsumerState, Pending, Position, Ranges, SkipList};

/// What a consumer knows of its stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamFacts {
    /// Name.
    pub name: Bytes,
    /// JetStream domain, or empty.
    pub domain: Bytes,
    /// Account name.
    pub account: Bytes,
    /// Retention policy.
    pub retention: RetentionPolicy,
    /// `max_msgs_per_subject`; ≤ 0 = no bound.
    pub max_msgs_per_subject: i64,
    /// Largest message in bytes; the burst of `rate_limit_bps`.
    pub max_message: u64,
    /// Whether reply subjects have the v2 form (`js_ack_fc_v2`).
    pub ack_v2: bool,
}

impl StreamFacts {
    /// Facts of a plain stream.
    pub fn named(name: &str) -> Self {
        StreamFacts { name: Bytes::copy_from_slice(name.as_bytes()), ..Default::default() }
    }
}

/// What a call may look at and where its effects go.
pub struct Cx<'a> {
    /// Current time.
    pub now: Nanos,
    /// The stream's messages.
    pub store: &'a dyn StreamStore,
    /// Who listens.
    pub interest: &'a dyn Interest,
    /// The stream.
    pub stream: &'a StreamFacts,
    /// Effects are appended here.
    pub out: &'a mut Vec<Effect>,
}

impl Cx<'_> {
    fn send(&mut self, to: &Bytes, headers: Bytes) {
        self.out.push(Effect::Publish(Outgoing { headers, ..outgoing(to) }));
    }

    pub(crate) fn send_static(&mut self, to: &Bytes, headers: &'static [u8]) {
        self.send(to, Bytes::from_static(headers));
    }
}

/// An empty message to `to`.
fn outgoing(to: &Bytes) -> Outgoing {
    Outgoing {
        to: to.clone(),
        subject: Bytes::new(),
        reply: Bytes::new(),
        headers: Bytes::new(),
        payload: Bytes::new(),
        queue: Bytes::new(),
    }
}

/// What a committed delta did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Sequences this consumer may no longer need, to be checked with
    /// [`Consumer::needs`] of all consumers on interest and work queue streams.
    pub freed: Ranges,
    /// Confirmations that may be sent now; only on the leader that logged it.
    pub answers: Vec<Answer>,
}

/// Something that waited for a delta to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Send an empty message to this reply subject.
    Ack(Bytes),
    /// Answer a CONSUMER.RESET request.
    Reset {
        /// Where the answer goes.
        reply: Bytes,
        /// `reset_seq` of the answer.
        seq: u64,
    },
}

/// What a call asks of the owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wake {
    /// Call [`Consumer::deliver`] soon.
    pub deliver: bool,
    /// The consumer was inactive for too long: propose its deletion.
    pub delete: bool,
}

impl Wake {
    const DELIVER: Wake = Wake { deliver: true, delete: false };
    const NO: Wake = Wake { deliver: false, delete: false };
}

/// Why a leadership ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The consumer or its stream is deleted.
    Deleted,
    /// Another replica takes over.
    StepDown,
    /// The server stops.
    Shutdown,
}

/// One consumer of one stream on one replica.
#[derive(Debug)]
pub struct Consumer {
    config: ConsumerConfig,
    rules: Rules,
    applied: ConsumerState,
    leader: Option<Box<Leader>>,
}

impl Consumer {
    /// A consumer whose creation was applied. `config` is complete (defaults
    /// filled in, checked). It starts where the first delta says, see
    /// [`start_delta`], or where [`Consumer::lead`] decides.
    pub fn new(config: ConsumerConfig, created: Nanos, stream: &StreamFacts) -> Self {
        let rules = Rules::new(&config, created, stream);
        Consumer { config, rules, applied: ConsumerState::default(), leader: None }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Its configuration.
    pub fn config(&self) -> &ConsumerConfig {
        &self.config
    }

    /// When it was created.
    pub fn created(&self) -> Nanos {
        self.rules.created
    }

    /// Whether its changes go to the log. One that is not logged must be dropped
    /// when the process that led it restarts.
    pub fn is_logged(&self) -> bool {
        self.rules.logged
    }

    /// Whether this replica runs it.
    pub fn is_leader(&self) -> bool {
        self.leader.is_some()
    }

    /// The state as far as it is committed; of a consumer that is not logged,
    /// what its leader knows.
    pub fn state(&self) -> &ConsumerState {
        match &self.leader {
            Some(l) if !self.rules.logged => &l.live,
            _ => &self.applied,
        }
    }

    /// The leader's own view, ahead of [`Consumer::state`].
    pub fn live(&self) -> &ConsumerState {
        self.leader.as_ref().map_or(&self.applied, |l| &l.live)
    }

    /// Appends the committed state for a checkpoint.
    pub fn encode_state(&self, out: &mut BytesMut) {
        checkpoint::encode(self.state(), out);
    }

    /// Takes over a state from a checkpoint; ends a leadership without notice.
    pub fn decode_state(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        self.set_state(checkpoint::decode(bytes)?);
        Ok(())
    }

    /// Takes over a state from a restore. Sequences must lie within the stream.
    pub fn set_state(&mut self, state: ConsumerState) {
        self.leader = None;
        self.applied = state;
    }

    /// Starts to run the consumer here. `seed` feeds ids and jitter; `epoch`
    /// must differ between leaderships of this consumer (e.g. the raft term).
    /// Decides the start position if none is known yet.
    pub fn lead(&mut self, cx: &mut Cx<'_>, seed: u64, epoch: u64) {
        let leader = Leader::new(&self.rules, self.applied.clone(), cx, seed, epoch);
        self.leader = Some(Box::new(leader));
    }

    /// Stops running it here; waiting requests are told why.
    pub fn stop(&mut self, cx: &mut Cx<'_>, why: Stop) {
        if let Some(mut leader) = self.leader.take() {
            if !self.rules.logged {
                self.applied = std::mem::take(&mut leader.live);
            }
            leader.end(cx, why);
        }
    }

    /// A new configuration was applied.
    pub fn update_config(&mut self, cx: &mut Cx<'_>, config: ConsumerConfig) -> Wake {
        let old = std::mem::replace(&mut self.config, config);
        let rules = Rules::new(&self.config, self.rules.created, cx.stream);
        let old_rules = std::mem::replace(&mut self.rules, rules);
        let refiltered = !old.filters().eq(self.config.filters());
        match &mut self.leader {
            Some(l) => l.updated(&self.rules, &old_rules, refiltered, cx),
            None => Wake::NO,
        }
    }

    /// The stream's own configuration changed. A `mem_storage` consumer whose
    /// stream no longer has `limits` retention begins to be logged: it goes back
    /// to its ack floor, which is all that replicas can agree on.
    pub fn on_stream_changed(&mut self, cx: &mut Cx<'_>) -> Wake {
        let mut rules = Rules::new(&self.config, self.rules.created, cx.stream);
        let begin = rules.logged && !self.rules.logged;
        // Once in the log, it stays there.
        rules.logged |= self.rules.logged;
        self.rules = rules;
        match &mut self.leader {
            Some(l) if begin => l.begin_log(&self.rules, cx),
            _ => Wake::NO,
        }
    }

    /// The ops since the last call, as the body of a log record. `false` and
    /// nothing written if there are none.
    pub fn take_delta(&mut self, out: &mut BytesMut) -> bool {
        self.leader.as_mut().is_some_and(|l| l.take_delta(out))
    }

    /// Applies a committed delta. An error means damaged input; the steps before
    /// the damage were applied, the same on every replica.
    pub fn apply_delta(&mut self, body: &[u8]) -> Result<Applied, FormatError> {
        let mut done = Applied::default();
        let mut reader = delta::DeltaReader::new(body)?;
        let (epoch, number) = (reader.epoch, reader.number);
        while let Some(step) = reader.next_step()? {
            match step {
                delta::Step::Op(op) => {
                    self.applied.apply(op, self.rules.policy, &mut done.freed);
                }
                delta::Step::Skip(skip) => self.applied.set_skip(skip),
            }
        }
        if let Some(l) = &mut self.leader {
            l.committed(epoch, number, &mut done.answers);
        }
        Ok(done)
    }

    /// Whether the message must be kept for this consumer on an interest or
    /// work queue stream. Depends on committed state only.
    pub fn needs(&self, seq: u64, subject: &[u8]) -> bool {
        self.rules.subjects.matches(subject) && removal::needs(self.state(), &self.rules, seq)
    }

    /// Whether its filters cover `subject`.
    pub fn wants(&self, subject: &[u8]) -> bool {
        self.rules.subjects.matches(subject)
    }

    /// Delivers up to `budget` messages. `true`: there may be more to do now.
    pub fn deliver(&mut self, cx: &mut Cx<'_>, budget: usize) -> bool {
        self.leader.as_mut().is_some_and(|l| l.deliver(&self.rules, cx, budget))
    }

    /// A message was stored and applied. Costs a filter match and nothing else
    /// if it does not match; owners with a subject index may call it only for
    /// matching ones. Call it once per message, right after `append`.
    pub fn on_stored(&mut self, seq: u64, subject: &[u8]) -> Wake {
        match &mut self.leader {
            Some(l) if self.rules.subjects.matches(subject) => l.stored(&self.rules, seq),
            _ => Wake::NO,
        }
    }

    /// A message was removed from the stream, for whatever reason.
    pub fn on_removed(&mut self, cx: &mut Cx<'_>, removed: &Removed) -> Wake {
        match &mut self.leader {
            Some(l) => l.removed(&self.rules, cx, removed.seq, &removed.subject),
            None => Wake::NO,
        }
    }

    /// Many messages were removed at once (purge, rollup, truncation).
    pub fn on_bulk_removed(&mut self, cx: &mut Cx<'_>) -> Wake {
        match &mut self.leader {
            Some(l) => l.bulk_removed(&self.rules, cx),
            None => Wake::NO,
        }
    }

    /// A pull request (CONSUMER.MSG.NEXT) with its body.
    pub fn pull(&mut self, cx: &mut Cx<'_>, reply: Bytes, body: &[u8]) -> Wake {
        match &mut self.leader {
            Some(l) => l.pull(&self.rules, cx, reply, body),
            None => Wake::NO,
        }
    }

    /// A message to an ack subject of this consumer. `None`: an ack-none
    /// consumer does not listen; answer 503 if there is a reply subject.
    pub fn on_ack(
        &mut self,
        cx: &mut Cx<'_>,
        subject: &[u8],
        reply: &Bytes,
        payload: &[u8],
    ) -> Option<Wake> {
        if self.rules.policy == AckPolicy::None {
            return None;
        }
        match (&mut self.leader, AckSubject::parse(subject)) {
            (Some(l), Some(ack)) => Some(l.ack(&self.rules, cx, &ack, reply, payload)),
            _ => Some(Wake::NO),
        }
    }

    /// An answer to a flow control request, `subject` being `$JS.FC.…`.
    pub fn on_flow(&mut self, cx: &mut Cx<'_>, subject: &[u8], headers: &[u8]) -> Wake {
        match &mut self.leader {
            Some(l) => l.flow_answer(&self.rules, cx, subject, headers),
            None => Wake::NO,
        }
    }

    /// Interest in the deliver subject may have changed.
    pub fn on_interest(&mut self, cx: &mut Cx<'_>) -> Wake {
        match &mut self.leader {
            Some(l) => l.check_interest(&self.rules, cx),
            None => Wake::NO,
        }
    }

    /// CONSUMER.UNPIN: takes the pin from its holder.
    pub fn unpin(&mut self, cx: &mut Cx<'_>, group: &str) -> Result<Wake, UnpinError> {
        match &mut self.leader {
            Some(l) => l.unpin(&self.rules, cx, group),
            None => Ok(Wake::NO),
        }
    }

    /// CONSUMER.RESET: back to the ack floor (`seq` 0) or to `seq`. The answer
    /// to `reply` is due when [`Answer::Reset`] comes out of `apply_delta`; of a
    /// consumer that is not logged, at once. Returns `reset_seq`.
    pub fn reset(&mut self, cx: &mut Cx<'_>, seq: u64, reply: Bytes) -> Result<u64, ResetError> {
        match &mut self.leader {
            Some(l) => l.reset(&self.rules, &self.config, cx, seq, reply),
            None => Err(ResetError::NotAllowed),
        }
    }

    /// When [`Consumer::on_timer`] has something to do.
    pub fn next_deadline(&mut self) -> Option<Nanos> {
        self.leader.as_mut().and_then(|l| l.next_deadline(&self.rules))
    }

    /// Does what is due at `cx.now`.
    pub fn on_timer(&mut self, cx: &mut Cx<'_>) -> Wake {
        match &mut self.leader {
            Some(l) => l.on_timer(&self.rules, cx),
            None => Wake::NO,
        }
    }

    /// The changing part of ConsumerInfo.
    pub fn info(&self, now: Nanos, interest: &dyn Interest) -> InfoData {
        info::collect(self.live(), &self.rules, self.leader.as_deref(), now, interest)
    }
}
