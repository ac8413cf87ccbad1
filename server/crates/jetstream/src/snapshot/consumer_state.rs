//! The state of a consumer in a backup: JSON in format 2, `o.dat` in format 1.

use super::SnapshotError;
use super::varint::{put, put_signed, take, take_signed};
use crate::consumer::{self, ConsumerState, Position};
use crate::duration::SECOND;
use crate::json::{JsonEmpty, JsonError, JsonRead, Reader, json_struct};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

json_struct! {
    /// A delivery and the message it was of.
    pub struct SequencePair("SequencePair") {
        /// Sequence of the delivery.
        consumer_seq: u64 = "consumer_seq",
        /// Sequence of the message.
        stream_seq: u64 = "stream_seq",
    }
}

json_struct! {
    /// A delivery that is not acknowledged.
    pub struct Pending("Pending") {
        /// Sequence of the delivery.
        consumer_seq: u64 = "Sequence",
        /// When it was delivered, ns since the epoch.
        timestamp: i64 = "Timestamp",
    }
}

json_struct! {
    /// What a consumer had delivered. Both maps are by stream sequence.
    pub struct ConsumerSnapshot("ConsumerState") {
        /// The last delivery.
        delivered: SequencePair = "delivered",
        /// Everything up to here is acknowledged.
        ack_floor: SequencePair = "ack_floor",
        /// Deliveries without ack.
        pending: BySeq<Pending> = "pending" omit,
        /// How often messages were delivered beyond the first time.
        redelivered: BySeq<u64> = "redelivered" omit,
    }
}

impl ConsumerSnapshot {
    /// What a backup says of a consumer in this state. Candidates of
    /// `last_per_subject` that are not delivered yet have no place in it.
    pub fn of(state: &ConsumerState) -> ConsumerSnapshot {
        let pair = |p: Position| SequencePair { consumer_seq: p.consumer, stream_seq: p.stream };
        let pending = state
            .pending
            .iter()
            .map(|(seq, p)| (*seq, Pending { consumer_seq: p.dseq, timestamp: p.ts }));
        ConsumerSnapshot {
            delivered: pair(state.delivered),
            ack_floor: pair(state.ack_floor),
            pending: BySeq(pending.collect()),
            redelivered: BySeq(state.redelivered.clone()),
        }
    }

    /// The state of a consumer of a stream that ends at `last_seq`. What was
    /// delivered beyond that is taken back: older servers write a consumer's
    /// state after the messages, so it may be ahead of them.
    pub fn state(&self, last_seq: u64) -> ConsumerState {
        let place = |p: &SequencePair| Position { consumer: p.consumer_seq, stream: p.stream_seq };
        let (mut delivered, mut floor) = (place(&self.delivered), place(&self.ack_floor));
        // A start that lies in the future is no delivery.
        if delivered.consumer > 0 {
            delivered.stream = delivered.stream.min(last_seq);
            floor.stream = floor.stream.min(last_seq);
        }
        let pending =
            self.pending.0.iter().map(|(seq, p)| {
                (*seq, consumer::Pending { dseq: p.consumer_seq, ts: p.timestamp })
            });
        let redelivered = self.redelivered.0.iter().filter(|(seq, _)| **seq <= last_seq);
        ConsumerState::restored(
            delivered,
            floor,
            pending.collect(),
            redelivered.map(|(seq, n)| (*seq, *n)).collect(),
        )
    }
}

json_struct! {
    /// A consumer's entry in format 2.
    pub struct ConsumerEntry("ConsumerEntry") {
        /// Its configuration.
        config: crate::config::ConsumerConfig = "config",
        /// Its state.
        state: Option<ConsumerSnapshot> = "state",
    }
}

/// A map by sequence; keys are text in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BySeq<T>(pub BTreeMap<u64, T>);

impl<T> Default for BySeq<T> {
    fn default() -> Self {
        BySeq(BTreeMap::new())
    }
}

impl<T> JsonEmpty for BySeq<T> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for BySeq<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(&self.0)
    }
}

impl<T: JsonRead + Default> JsonRead for BySeq<T> {
    fn read(&mut self, r: &mut Reader<'_>) -> Result<(), JsonError> {
        self.0.clear();
        if r.null() {
            return Ok(());
        }
        r.object(&Self::go_type(), |r, key| {
            let seq = key.parse().map_err(|_| JsonError(format!("bad sequence \"{key}\"")))?;
            let mut value = T::default();
            value.read(r)?;
            self.0.insert(seq, value);
            Ok(())
        })
    }

    fn go_type() -> String {
        format!("map[uint64]{}", T::go_type())
    }
}

/// First bytes of `o.dat`: magic and version.
const HEAD: [u8; 2] = [22, 2];

/// Most entries a map of `o.dat` may announce; more than any consumer can hold.
const MAX_ENTRIES: u64 = 16 << 20;

/// Reads `o.dat`.
pub(super) fn decode(name: &str, data: &[u8]) -> Result<ConsumerSnapshot, SnapshotError> {
    let bad = |why: &str| SnapshotError::malformed(format!("state of consumer {name}"), why);
    let Some(mut buf) = data.strip_prefix(&HEAD) else {
        return Err(bad("unknown magic or version"));
    };
    let short = || bad("it is cut short");
    let mut number = || take(&mut buf).ok_or_else(short);
    let mut state = ConsumerSnapshot::default();
    state.ack_floor.consumer_seq = number()?;
    state.ack_floor.stream_seq = number()?;
    state.delivered.consumer_seq = number()?;
    state.delivered.stream_seq = number()?;
    let pending = number()?;
    if pending > MAX_ENTRIES {
        return Err(bad("too many pending entries"));
    }
    let floor = state.ack_floor.clone();
    if pending > 0 {
        let base = take_signed(&mut buf).ok_or_else(short)?;
        for _ in 0..pending {
            let stream = take(&mut buf).ok_or_else(short)?;
            let consumer = take(&mut buf).ok_or_else(short)?;
            let ago = take_signed(&mut buf).ok_or_else(short)?;
            let (Some(stream_seq), Some(consumer_seq)) =
                (floor.stream_seq.checked_add(stream), floor.consumer_seq.checked_add(consumer))
            else {
                return Err(bad("a pending sequence overflows"));
            };
            let timestamp = base.saturating_sub(ago).saturating_mul(SECOND);
            state.pending.0.insert(stream_seq, Pending { consumer_seq, timestamp });
        }
    }
    let redelivered = take(&mut buf).ok_or_else(short)?;
    if redelivered > MAX_ENTRIES {
        return Err(bad("too many redelivered entries"));
    }
    for _ in 0..redelivered {
        let stream = take(&mut buf).ok_or_else(short)?;
        let count = take(&mut buf).ok_or_else(short)?;
        let seq = floor.stream_seq.checked_add(stream);
        let seq = seq.ok_or_else(|| bad("a redelivered sequence overflows"))?;
        state.redelivered.0.insert(seq, count);
    }
    Ok(state)
}

/// Writes `o.dat`. Times lose what is below a second.
pub(super) fn encode(state: &ConsumerSnapshot) -> Vec<u8> {
    let mut out = HEAD.to_vec();
    let floor = &state.ack_floor;
    put(&mut out, floor.consumer_seq);
    put(&mut out, floor.stream_seq);
    put(&mut out, state.delivered.consumer_seq);
    put(&mut out, state.delivered.stream_seq);
    put(&mut out, state.pending.0.len() as u64);
    if !state.pending.0.is_empty() {
        let oldest = state.pending.0.values().map(|p| p.timestamp.div_euclid(SECOND)).min();
        let base = oldest.unwrap_or_default();
        put_signed(&mut out, base);
        for (seq, pending) in &state.pending.0 {
            put(&mut out, seq.saturating_sub(floor.stream_seq));
            put(&mut out, pending.consumer_seq.saturating_sub(floor.consumer_seq));
            put_signed(&mut out, base - pending.timestamp.div_euclid(SECOND));
        }
    }
    put(&mut out, state.redelivered.0.len() as u64);
    for (seq, count) in &state.redelivered.0 {
        put(&mut out, seq.saturating_sub(floor.stream_seq));
        put(&mut out, *count);
    }
    out
}
