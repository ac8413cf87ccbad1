//! The replicated part of a consumer: positions, what awaits an ack, how often
//! it was delivered. Changed only by [`Op`]s, by the same code on the leader
//! (at once) and on every replica (when the delta that carries them commits).

use crate::config::AckPolicy;
use crate::effect::Nanos;
use std::collections::{BTreeMap, VecDeque};

/// A place in both numberings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Delivery sequence: counts deliveries, redeliveries included, from 1.
    pub consumer: u64,
    /// Stream sequence.
    pub stream: u64,
}

/// A delivery that awaits its ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Delivery sequence of the first delivery.
    pub dseq: u64,
    /// Time of the last delivery or `+WPI`, ns; a delayed NAK shifts it.
    pub ts: Nanos,
}

/// Sequences still to deliver before the linear walk starts (`last_per_subject`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SkipList {
    /// Ascending stream sequences.
    pub seqs: VecDeque<u64>,
    /// Where the linear walk starts afterwards.
    pub resume: u64,
}

/// State that survives leaders and restarts.
///
/// `ack_floor ≤ delivered` in both numberings, always. `pending` holds only
/// sequences in `(ack_floor.stream, delivered.stream]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerState {
    /// Last delivery.
    pub delivered: Position,
    /// Everything up to here is done.
    pub ack_floor: Position,
    /// First stream sequence not looked at yet; 0 = the start is not decided.
    pub next: u64,
    /// Deliveries awaiting an ack, by stream sequence.
    pub pending: BTreeMap<u64, Pending>,
    /// Redeliveries (deliveries − 1) by stream sequence. A sequence here that is
    /// not pending has used up `max_deliver`.
    pub redelivered: BTreeMap<u64, u64>,
    /// Candidates of `last_per_subject` not delivered yet.
    pub skip: Option<SkipList>,
}

/// One change of [`ConsumerState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// The start position: `next` is the first sequence to look at.
    Start {
        /// First sequence to consider.
        next: u64,
    },
    /// First deliveries of `n` contiguous stream sequences at time `ts`.
    Deliver {
        /// First stream sequence.
        first: u64,
        /// How many.
        n: u64,
        /// When.
        ts: Nanos,
    },
    /// Another delivery.
    Redeliver {
        /// Stream sequence.
        seq: u64,
        /// When.
        ts: Nanos,
    },
    /// `n` contiguous stream sequences are done (ack, TERM, removal).
    Ack {
        /// First stream sequence.
        first: u64,
        /// How many.
        n: u64,
    },
    /// Everything up to `seq` is done, acked under delivery sequence `dseq`.
    AckUpTo {
        /// Delivery sequence in the ack.
        dseq: u64,
        /// Stream sequence in the ack.
        seq: u64,
    },
    /// The ack wait of `seq` counts from `ts` (`+WPI`, NAK).
    Touch {
        /// Stream sequence.
        seq: u64,
        /// New base time.
        ts: Nanos,
    },
    /// `seq` used up its deliveries and is no longer pending.
    Exceed {
        /// Stream sequence.
        seq: u64,
    },
    /// The stream below `next` is gone.
    Advance {
        /// First sequence left.
        next: u64,
    },
    /// Start again at `next`.
    Reset {
        /// First sequence to deliver.
        next: u64,
    },
    /// The candidate `seq` of the skip list is gone.
    SkipGone {
        /// Stream sequence.
        seq: u64,
    },
}

/// Inclusive ranges of stream sequences, merged while they are collected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(pub Vec<(u64, u64)>);

impl Ranges {
    /// Adds `first..first + n`.
    pub fn add(&mut self, first: u64, n: u64) {
        let Some(last) = n.checked_sub(1).and_then(|m| first.checked_add(m)) else { return };
        match self.0.last_mut() {
            Some(r) if r.1.checked_add(1) == Some(first) => r.1 = last,
            _ => self.0.push((first, last)),
        }
    }
}

/// Whether a message can have this sequence; checkpoints refuse any other.
fn is_message(seq: u64) -> bool {
    (1..u64::MAX).contains(&seq)
}

impl ConsumerState {
    /// The state a backup describes. What contradicts `delivered` is dropped.
    pub fn restored(
        delivered: Position,
        ack_floor: Position,
        pending: BTreeMap<u64, Pending>,
        redelivered: BTreeMap<u64, u64>,
    ) -> Self {
        // Room to count on, whatever the backup says.
        let delivered = Position {
            consumer: delivered.consumer.min(u64::MAX / 2),
            stream: delivered.stream.min(u64::MAX / 2),
        };
        let floor = Position {
            consumer: ack_floor.consumer.min(delivered.consumer),
            stream: ack_floor.stream.min(delivered.stream),
        };
        let mut it = ConsumerState { delivered, ack_floor: floor, redelivered, ..Self::default() };
        it.next = delivered.stream.saturating_add(1);
        it.pending = pending;
        it.pending.retain(|seq, p| {
            (floor.stream + 1..it.next).contains(seq) && p.dseq <= delivered.consumer
        });
        it
    }

    /// Whether the start position is decided.
    pub fn started(&self) -> bool {
        self.next != 0
    }

    /// How often `seq` was delivered, given that it was.
    pub fn deliveries(&self, seq: u64) -> u64 {
        self.redelivered.get(&seq).map_or(1, |n| n.saturating_add(1))
    }

    /// Carries out one change. Sequences that may now be free of this consumer
    /// are added to `freed`. Any op is safe on any state: what does not fit is
    /// clamped or ignored, so that damaged input cannot break the invariants.
    pub fn apply(&mut self, op: Op, policy: AckPolicy, freed: &mut Ranges) {
        match op {
            Op::Start { next } => self.restart_at(next),
            Op::Reset { next } => {
                let from = self.ack_floor.stream.saturating_add(1);
                self.restart_at(next);
                // An interest stream may drop what is skipped by moving ahead.
                freed.add(from, next.saturating_sub(from));
            }
            Op::Deliver { first, n, ts } => self.deliver(first, n, ts, policy, freed),
            Op::Redeliver { seq, .. } | Op::Exceed { seq } if !is_message(seq) => {}
            Op::Redeliver { seq, ts } => {
                self.delivered.consumer = self.delivered.consumer.saturating_add(1);
                let times = self.redelivered.entry(seq).or_insert(0);
                *times = times.saturating_add(1);
                if let Some(p) = self.pending.get_mut(&seq) {
                    p.ts = ts;
                }
            }
            Op::Ack { first, n } => {
                for seq in first..first.saturating_add(n) {
                    self.settle(seq, freed);
                }
            }
            Op::AckUpTo { dseq, seq } => self.ack_up_to(dseq, seq, freed),
            Op::Touch { seq, ts } => {
                if let Some(p) = self.pending.get_mut(&seq) {
                    p.ts = ts;
                }
            }
            Op::Exceed { seq } => {
                let times = self.redelivered.entry(seq).or_insert(0);
                *times = (*times).max(1);
                if self.pending.remove(&seq).is_some() {
                    self.raise_floor(seq);
                }
            }
            Op::Advance { next } => self.advance(next),
            Op::SkipGone { seq } => self.pass_candidates(seq, freed),
        }
        debug_assert!(
            self.ack_floor.consumer <= self.delivered.consumer
                && self.ack_floor.stream <= self.delivered.stream,
            "{op:?} broke {self:?}"
        );
    }

    /// Takes over the candidates of `last_per_subject`.
    pub fn set_skip(&mut self, skip: SkipList) {
        if let Some(&first) = skip.seqs.front() {
            self.restart_at(first);
            self.skip = Some(skip);
        } else {
            self.restart_at(skip.resume);
        }
    }

    fn restart_at(&mut self, next: u64) {
        let next = next.max(1);
        let at = Position { consumer: 0, stream: next - 1 };
        *self = ConsumerState { delivered: at, ack_floor: at, next, ..Default::default() };
    }

    fn deliver(&mut self, first: u64, n: u64, ts: Nanos, policy: AckPolicy, freed: &mut Ranges) {
        let Some(last) = n.checked_sub(1).and_then(|m| first.checked_add(m)) else { return };
        if first <= self.delivered.stream || last == u64::MAX {
            return;
        }
        let mut dseq = self.delivered.consumer;
        self.delivered = Position { consumer: dseq.saturating_add(n), stream: last };
        if policy == AckPolicy::None {
            self.ack_floor = self.delivered;
            freed.add(first, n);
        } else {
            for seq in first..=last {
                dseq = dseq.saturating_add(1);
                self.pending.insert(seq, Pending { dseq, ts });
            }
        }
        self.next = self.next.max(last + 1);
        if self.skip.is_some() {
            self.pass_candidates(last, freed);
        }
    }

    /// Drops candidates up to `seq`; after the last one the linear walk begins.
    fn pass_candidates(&mut self, seq: u64, freed: &mut Ranges) {
        let Some(skip) = &mut self.skip else { return };
        while skip.seqs.front().is_some_and(|s| *s <= seq) {
            skip.seqs.pop_front();
        }
        if skip.seqs.is_empty() {
            let (from, resume) = (self.next, skip.resume);
            self.skip = None;
            if resume > from {
                self.next = resume;
                freed.add(from, resume - from);
            }
        }
    }

    fn settle(&mut self, seq: u64, freed: &mut Ranges) {
        let pending = self.pending.remove(&seq).is_some();
        let tracked = self.redelivered.remove(&seq).is_some();
        if pending {
            self.raise_floor(seq);
        }
        if pending || tracked {
            freed.add(seq, 1);
        }
    }

    /// After `seq` left `pending`: the floor follows if `seq` was the lowest.
    fn raise_floor(&mut self, seq: u64) {
        let to = match self.pending.first_key_value() {
            None => self.delivered,
            Some((first, p)) if *first > seq => {
                Position { consumer: p.dseq.saturating_sub(1), stream: first.saturating_sub(1) }
            }
            Some(_) => return,
        };
        self.ack_floor.consumer = self.ack_floor.consumer.max(to.consumer);
        self.ack_floor.stream = self.ack_floor.stream.max(to.stream);
    }

    fn ack_up_to(&mut self, dseq: u64, seq: u64, freed: &mut Ranges) {
        let seq = seq.min(self.delivered.stream);
        if seq <= self.ack_floor.stream {
            return;
        }
        while let Some(entry) = self.pending.first_entry().filter(|e| *e.key() <= seq) {
            freed.add(*entry.key(), 1);
            entry.remove();
        }
        if let Some(above) = seq.checked_add(1) {
            let keep = self.redelivered.split_off(&above);
            for (seq, _) in std::mem::replace(&mut self.redelivered, keep) {
                freed.add(seq, 1);
            }
        }
        let to = match self.pending.first_key_value() {
            None => self.delivered,
            Some((_, p)) => Position { consumer: dseq.min(p.dseq.saturating_sub(1)), stream: seq },
        };
        self.ack_floor.consumer = self.ack_floor.consumer.max(to.consumer);
        self.ack_floor.stream = self.ack_floor.stream.max(to.stream);
    }

    fn advance(&mut self, next: u64) {
        let Some(gone) = next.checked_sub(1) else { return };
        self.next = self.next.max(next);
        self.delivered.stream = self.delivered.stream.max(gone);
        let mut floor = Position { consumer: self.ack_floor.consumer, stream: gone };
        while let Some(entry) = self.pending.first_entry().filter(|e| *e.key() < next) {
            floor.consumer = floor.consumer.max(entry.get().dseq);
            entry.remove();
        }
        self.redelivered = self.redelivered.split_off(&next);
        if self.pending.is_empty() {
            floor = self.delivered;
        }
        self.ack_floor.consumer = self.ack_floor.consumer.max(floor.consumer);
        self.ack_floor.stream = self.ack_floor.stream.max(floor.stream);
        if let Some(skip) = &mut self.skip {
            while skip.seqs.front().is_some_and(|s| *s < next) {
                skip.seqs.pop_front();
            }
            if skip.seqs.is_empty() {
                self.next = self.next.max(skip.resume);
                self.skip = None;
            }
        }
    }
}
