//! Where a consumer begins (contract/jetstream.md §4.1, `deliver_policy`), and
//! where CONSUMER.RESET puts it.

use super::delta::DeltaBuffer;
use super::leader::Leader;
use super::rules::Rules;
use super::state::{Op, SkipList};
use super::{Answer, Cx, StreamFacts};
use crate::config::{ConsumerConfig, DeliverPolicy};
use crate::effect::Nanos;
use bytes::{Bytes, BytesMut};
use gust_storage::store::{StoreError, StreamStore};

/// A decided start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// At this sequence.
    At(u64),
    /// With these candidates.
    Skip(SkipList),
}

/// The start of a consumer that is about to be created, as a delta to be logged
/// with its creation and applied right after [`super::Consumer::new`]. Without
/// it the first leader decides, which after a failover can be later.
pub fn start_delta(
    config: &ConsumerConfig,
    store: &dyn StreamStore,
    stream: &StreamFacts,
) -> Result<Bytes, StoreError> {
    let rules = Rules::new(config, 0, stream);
    let mut delta = DeltaBuffer::default();
    match decide(&rules, store, stream)? {
        Start::At(next) => delta.push(Op::Start { next }),
        Start::Skip(skip) => delta.push_skip(&skip),
    }
    let mut out = BytesMut::new();
    delta.take(0, 0, &mut out);
    Ok(out.freeze())
}

pub(super) fn resolve(r: &Rules, cx: &Cx<'_>) -> Result<Start, StoreError> {
    decide(r, cx.store, cx.stream)
}

fn decide(r: &Rules, store: &dyn StreamStore, stream: &StreamFacts) -> Result<Start, StoreError> {
    let state = store.state();
    let (first, end) = (state.first_seq.max(1), state.last_seq + 1);
    let next = match r.start {
        (DeliverPolicy::ByStartSequence, seq, _) => return Ok(Start::At(seq.max(first))),
        (DeliverPolicy::All, ..) => first,
        (DeliverPolicy::New, ..) => end,
        (DeliverPolicy::Last, ..) if r.subjects.everything() => state.last_seq,
        (DeliverPolicy::Last, ..) => {
            store.prev(r.subjects.filter(), state.last_seq)?.map_or(first, |m| m.seq)
        }
        (DeliverPolicy::ByStartTime, _, at) => store.seq_at_time(at)?,
        // With one message per subject every message is the last of its subject.
        (DeliverPolicy::LastPerSubject, ..) if stream.max_msgs_per_subject == 1 => first,
        (DeliverPolicy::LastPerSubject, ..) => {
            let seqs = store.last_seqs(r.subjects.filter(), 0, usize::MAX)?.unwrap_or_default();
            if !seqs.is_empty() {
                return Ok(Start::Skip(SkipList { seqs: seqs.into(), resume: end }));
            }
            end
        }
    };
    Ok(Start::At(next.clamp(first.min(end), end)))
}

/// Why CONSUMER.RESET is refused (error 10204).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResetError {
    /// The deliver policy has no start to go back to.
    #[error("not allowed")]
    NotAllowed,
    /// Below `opt_start_seq`.
    #[error("below start seq")]
    BelowStartSeq,
    /// Below `opt_start_time`.
    #[error("below start time")]
    BelowStartTime,
}

impl Leader {
    pub fn reset(
        &mut self,
        r: &Rules,
        config: &ConsumerConfig,
        cx: &mut Cx<'_>,
        seq: u64,
        reply: Bytes,
    ) -> Result<u64, ResetError> {
        let next = match (seq, config.deliver_policy) {
            (0, _) => self.live.ack_floor.stream + 1,
            (_, DeliverPolicy::All) => seq,
            (_, DeliverPolicy::ByStartSequence) if seq < config.opt_start_seq => {
                return Err(ResetError::BelowStartSeq);
            }
            (_, DeliverPolicy::ByStartSequence) => seq,
            (_, DeliverPolicy::ByStartTime) => match cx.store.seq_at_time(start_time(config)) {
                Ok(least) if seq >= least => seq,
                _ => return Err(ResetError::BelowStartTime),
            },
            _ => return Err(ResetError::NotAllowed),
        };
        self.restart(r, cx, next);
        if !self.settled() && !reply.is_empty() {
            self.answer_later(Answer::Reset { reply, seq: next });
        }
        Ok(next)
    }

    /// Forgets every delivery and goes on at `next`.
    pub fn restart(&mut self, r: &Rules, cx: &Cx<'_>, next: u64) {
        self.op(r, Op::Reset { next });
        self.redeliver.clear();
        self.queued.clear();
        self.deadlines.clear();
        self.cursor = self.live.next;
        (self.last_delivery, self.last_ack) = (None, None);
        self.recount(r, cx);
    }
}

/// `opt_start_time` in ns.
pub(super) fn start_time(config: &ConsumerConfig) -> Nanos {
    config.opt_start_time.map_or(0, |t| t.nanos())
}
