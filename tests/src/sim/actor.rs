//! One stream of the simulated node: state machine, raft group, and what the
//! shell keeps beside them.

use super::lane::{Submission, wal_record};
use super::node::{Output, Request, Surroundings};
use bytes::{Bytes, BytesMut};
use gust_jetstream::effect::{Effect, Interest};
use gust_jetstream::stream::{Cx, Stream};
use gust_raft::{Committed, Group, ProposeError, Ticket};
use gust_storage::store::StoreError;
use gust_storage::store::file::{CheckpointDone, CheckpointJob};
use gust_storage::wal::Lsn;
use std::collections::VecDeque;

/// A checkpoint between its begin and its end.
pub enum Checkpoint {
    /// None under way.
    Idle,
    /// Captured, to be written.
    Captured(Box<CheckpointJob>, Lsn),
    /// Durable, the store does not know yet.
    Written(Box<CheckpointDone>, Lsn),
}

/// See the module documentation.
pub struct Actor {
    /// The state machine.
    pub stream: Stream,
    /// Its log.
    pub group: Group,
    /// A checkpoint under way.
    pub checkpoint: Checkpoint,
    /// Records of this group below are applied.
    pub applied_lsn: Lsn,
    /// What the newest checkpoint on disk covers. The log must reach back to the
    /// one *before* it: the newest may turn out to be damaged.
    pub covered: Lsn,
    leading: bool,
    refused: VecDeque<Bytes>,
    fx: Vec<Effect>,
}

struct Everybody;

impl Interest for Everybody {
    fn has(&self, _: &[u8]) -> bool {
        true
    }
    fn has_group(&self, _: &[u8], _: &[u8]) -> bool {
        true
    }
}

impl Actor {
    /// A stream whose log was replayed; it leads as soon as its first entry is durable.
    pub fn new(stream: Stream, group: Group, covered: Lsn, applied_lsn: Lsn) -> Actor {
        Actor {
            stream,
            group,
            checkpoint: Checkpoint::Idle,
            applied_lsn,
            covered,
            leading: false,
            refused: VecDeque::new(),
            fx: Vec::new(),
        }
    }

    fn with_cx<T>(
        &mut self,
        around: &mut Surroundings<'_>,
        f: impl FnOnce(&mut Stream, &mut Cx<'_>) -> T,
    ) -> T {
        let result = {
            let mut cx = Cx {
                now: around.now,
                random: around.rng.bits(),
                facts: &around.facts,
                interest: &Everybody,
                fx: &mut self.fx,
            };
            f(&mut self.stream, &mut cx)
        };
        for effect in self.fx.drain(..) {
            // Advisories, and subscriptions of mirrors, have no listener here.
            if let Effect::Publish(o) = effect {
                around.outbox.push_back(Output::Sent(self.group.id(), o));
            }
        }
        result
    }

    /// Whether it takes requests.
    pub fn is_leading(&self) -> bool {
        self.leading && self.stream.poisoned().is_none()
    }

    /// Takes a request.
    pub fn handle(&mut self, request: Request, around: &mut Surroundings<'_>) {
        if !self.leading {
            return;
        }
        self.with_cx(around, |s, cx| match request {
            Request::Publish(m) => s.publish(m, cx),
            Request::Pull { consumer, reply, body } => {
                s.pull(&consumer, reply, b"", &body, cx);
            }
            Request::Ack { subject, reply, payload } => {
                s.ack(&subject, &reply, &payload, cx);
            }
            Request::Purge(p, token) => s.purge(&p, token),
            Request::Delete(seq, token) => s.delete_msg(seq, seq % 2 == 0, token),
            Request::Update(config, token) => s.update_config(*config, token, cx),
            Request::CreateConsumer(r, token) => {
                let (server, account) = super::config::limits();
                s.create_consumer(*r, server, account, token, cx);
            }
            Request::DeleteConsumer(name, token) => s.delete_consumer(&name, token, cx),
        });
    }

    /// Does what is due.
    pub fn timers(&mut self, around: &mut Surroundings<'_>) {
        if self.stream.next_deadline().is_some_and(|d| d <= around.now) {
            self.with_cx(around, |s, cx| s.on_timer(cx));
        }
    }

    /// One turn: deliveries, then what is to be logged.
    pub fn turn(&mut self, out: &mut Submission, around: &mut Surroundings<'_>) {
        if self.leading {
            for _ in 0..16 {
                if !self.with_cx(around, Stream::turn) {
                    break;
                }
            }
            while let Some(entry) = self.refused.pop_front().or_else(|| self.stream.take_entry()) {
                if let Err(ProposeError::Full) = self.group.propose(entry.clone()) {
                    self.refused.push_front(entry);
                    break;
                }
            }
        }
        let mut writes = Vec::new();
        while let Some(ticket) = self.group.ready(&mut writes) {
            out.records.extend(writes.drain(..).filter_map(wal_record));
            out.tickets.push((self.group.id(), ticket));
        }
        self.answer_calls(around);
    }

    /// A write is durable: what it commits is applied.
    pub fn persisted(&mut self, ticket: Ticket, start: Lsn, around: &mut Surroundings<'_>) {
        let committed = self.group.persisted(ticket);
        self.apply(committed, around);
        self.applied_lsn = self.applied_lsn.max(start);
    }

    /// Applies committed entries and begins to lead behind the first of a term.
    pub fn apply(&mut self, committed: Vec<Committed>, around: &mut Surroundings<'_>) {
        let Some(last) = committed.last().map(|c| c.index) else { return };
        let mut term = None;
        for c in &committed {
            around.outbox.push_back(Output::Committed(self.group.id(), c.clone()));
            // A failure is kept by the stream itself.
            let _ = self.with_cx(around, |s, cx| s.apply(c.index, c.term, &c.data, cx));
            if c.data.is_empty() {
                term = Some(c.term);
            }
            self.answer_calls(around);
        }
        self.group.applied(last);
        if let Some(term) = term
            && self.group.is_leader()
            && !self.leading
        {
            self.with_cx(around, |s, cx| s.lead(term, cx));
            self.leading = self.stream.is_leader();
        }
    }

    fn answer_calls(&mut self, around: &mut Surroundings<'_>) {
        for (token, result) in self.stream.take_completions() {
            around.outbox.push_back(Output::Done(self.group.id(), token, result));
        }
    }

    /// Captures a checkpoint. A poisoned stream gets none: what it holds is
    /// somewhere inside an entry (`stopped_too` is a mistake made on purpose).
    pub fn begin_checkpoint(&mut self) -> Result<bool, StoreError> {
        let (index, term) = self.stream.applied();
        if self.stream.poisoned().is_some() || index == 0 {
            return Ok(false);
        }
        let mut app = BytesMut::new();
        self.stream.checkpoint_app(&mut app);
        let lsn = self.applied_lsn;
        let Some(store) = self.stream.store_mut().as_file() else { return Ok(false) };
        let job = store.begin_checkpoint(index, term, &app)?;
        self.checkpoint = Checkpoint::Captured(Box::new(job), lsn);
        Ok(true)
    }

    /// Writes a captured checkpoint.
    pub fn run_checkpoint(&mut self) -> Result<(), StoreError> {
        if let Checkpoint::Captured(job, lsn) =
            std::mem::replace(&mut self.checkpoint, Checkpoint::Idle)
        {
            self.checkpoint = Checkpoint::Written(Box::new(job.run()?), lsn);
        }
        Ok(())
    }

    /// Tells the store; yields what the checkpoint before and this one cover.
    pub fn finish_checkpoint(&mut self) -> Option<(Lsn, Lsn, Vec<StoreError>)> {
        let Checkpoint::Written(mut done, lsn) =
            std::mem::replace(&mut self.checkpoint, Checkpoint::Idle)
        else {
            return None;
        };
        let damaged = std::mem::take(&mut done.damaged);
        if let Some(store) = self.stream.store_mut().as_file() {
            store.finish_checkpoint(*done);
        }
        Some((std::mem::replace(&mut self.covered, lsn), lsn, damaged))
    }

    /// A piece of compaction.
    pub fn compact(&mut self) -> Result<bool, StoreError> {
        if self.stream.poisoned().is_some() {
            return Ok(false);
        }
        self.stream.store_mut().as_file().map_or(Ok(false), |s| s.compact_step(4096))
    }
}
