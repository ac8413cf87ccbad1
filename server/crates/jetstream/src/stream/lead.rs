//! What only the leader of a stream has: the entry being written, what is in
//! flight, and the answers that wait for it.
//!
//! Nothing here is replicated. Stepping down drops it all; clients whose answer
//! was dropped do not know whether their message was stored and retry.

use super::atomic::Batches;
use super::counter::Counter;
use super::dedupe::IdHash;
use super::fast::FastBatches;
use super::log::Change;
use super::manage::Call;
use super::origin::Origin;
use super::rules::Rules;
use super::{Completion, Inbound, Token};
use crate::effect::Effect;
use crate::error::ApiError;
use bytes::{Bytes, BytesMut};
use gust_subject::matches;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// An entry is closed at this size; what follows goes into the next one.
pub const ENTRY_BYTES: usize = 1 << 20;
/// Most bytes of publishes that wait for in-flight changes; more are refused
/// with 10167 (`max_buffered_size` of nats-server).
pub const DEFERRED_BYTES: usize = 128 << 20;

/// An answer held back until the frame it speaks of is applied.
#[derive(Debug)]
pub enum Answer {
    /// A plain PubAck.
    PubAck {
        /// Where to.
        reply: Bytes,
        /// The sequence.
        seq: u64,
    },
    /// Bytes that are ready.
    Ready {
        /// Where to.
        reply: Bytes,
        /// What.
        payload: Bytes,
    },
    /// Deliveries of consumers that wait until they are logged.
    Effects(Vec<Effect>),
    /// The result of an API call; counts are filled in when it is applied.
    Api(Token, Result<Completion, ApiError>),
}

#[derive(Debug)]
struct Waiting {
    frame: u64,
    answer: Answer,
}

/// A message proposed but not applied.
#[derive(Debug, Clone)]
pub struct InFlight {
    /// Its sequence.
    pub seq: u64,
    /// Its subject.
    pub subject: Bytes,
    /// Its visible bytes, 0 if it will not be stored.
    pub bytes: u64,
}

/// Last sequence and count of one subject's messages in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SubjectInFlight {
    /// Highest sequence.
    pub last: u64,
    /// How many.
    pub msgs: u64,
}

/// The leader's own state.
#[derive(Debug)]
pub struct Leading {
    buf: BytesMut,
    /// Bytes of the entry before, see [`Leading::room`].
    entry_len: usize,
    ready: VecDeque<Bytes>,
    /// Frames proposed since this leader began, and how many of them came back.
    frames: u64,
    applied: u64,
    waiting: VecDeque<Waiting>,
    /// Last sequence, in flight included.
    pub last_seq: u64,
    /// Time of the last message, in flight included.
    pub last_ts: i64,
    msgs: VecDeque<InFlight>,
    /// Visible bytes in flight.
    pub bytes: u64,
    /// Filled when somebody asks, see [`Leading::subject`].
    subjects: Option<HashMap<Bytes, SubjectInFlight>>,
    ids: HashMap<IdHash, u64>,
    /// Id of the last message, if one is in flight.
    pub last_id: Option<Bytes>,
    barrier: u64,
    /// Publishes that wait until nothing is in flight, in order.
    deferred: VecDeque<Inbound>,
    deferred_bytes: usize,
    /// Frame of the last change of consumers or configuration.
    call: u64,
    calls: VecDeque<(Call, Token)>,
    /// Frame of the last acknowledgements that may remove messages.
    acks: u64,
    /// Frame of the last expiry.
    expiry: u64,
    /// When the leader last looked for what is too old.
    pub expired_at: i64,
    /// Everything below was found exempt from `max_age`; this is the next one.
    pub exempt: u64,
    /// Its time.
    pub exempt_ts: i64,
    /// Frame of the last message a schedule published.
    schedule: u64,
    /// When the leader last published what schedules asked for.
    pub fired_at: i64,
    /// Atomic batches before their commit.
    pub batches: Batches,
    /// Fast batches that go on.
    pub fast: FastBatches,
    /// Counters with increments in flight.
    pub counters: HashMap<Bytes, Counter>,
    /// Streams this one reads from.
    pub origins: Vec<Origin>,
    /// Last subscription id given out.
    pub sub_ids: u64,
    /// Rules of the last configuration, in flight included.
    pub rules: Arc<Rules>,
}

impl Leading {
    /// A leader that has applied everything.
    pub fn new(last_seq: u64, last_ts: i64, rules: Arc<Rules>) -> Leading {
        Leading {
            buf: BytesMut::new(),
            entry_len: 0,
            ready: VecDeque::new(),
            frames: 0,
            applied: 0,
            waiting: VecDeque::new(),
            last_seq,
            last_ts,
            msgs: VecDeque::new(),
            bytes: 0,
            subjects: None,
            ids: HashMap::new(),
            last_id: None,
            barrier: 0,
            deferred: VecDeque::new(),
            deferred_bytes: 0,
            call: 0,
            calls: VecDeque::new(),
            acks: 0,
            expiry: 0,
            expired_at: 0,
            exempt: 0,
            exempt_ts: 0,
            schedule: 0,
            fired_at: 0,
            batches: Batches::new(),
            fast: FastBatches::new(),
            counters: HashMap::new(),
            origins: Vec::new(),
            sub_ids: 0,
            rules,
        }
    }

    /// Appends a change other than a message.
    pub fn propose(&mut self, change: &Change<'_>) {
        self.close_if_full();
        self.room();
        change.put(&mut self.buf);
        self.frames += 1;
    }

    /// As [`Leading::propose`] for a change that removes messages or decides
    /// about interest: publishes that depend on exact state wait for it.
    pub fn propose_barrier(&mut self, change: &Change<'_>) {
        self.propose(change);
        self.raise_barrier();
    }

    /// Makes a barrier of the last proposed frame.
    pub fn raise_barrier(&mut self) {
        self.barrier = self.frames;
    }

    /// Appends a message, or its skip, under the next sequence.
    pub fn propose_message(&mut self, change: &Change<'_>, in_flight: InFlight, ts: i64) {
        self.propose(change);
        self.note(in_flight, ts);
    }

    fn note(&mut self, m: InFlight, ts: i64) {
        self.last_seq = m.seq;
        self.last_ts = ts;
        self.bytes += m.bytes;
        if let Some(map) = &mut self.subjects {
            let s = map.entry_ref(&m.subject).or_default();
            *s = SubjectInFlight { last: m.seq, msgs: s.msgs + 1 };
        }
        self.msgs.push_back(m);
    }

    /// Holds `answer` until the last proposed frame is applied.
    pub fn answer(&mut self, answer: Answer) {
        self.waiting.push_back(Waiting { frame: self.frames, answer });
    }

    /// Answers whose frame is now applied, oldest first.
    pub fn released(&mut self) -> Option<Answer> {
        if self.waiting.front()?.frame > self.applied {
            return None;
        }
        self.waiting.pop_front().map(|w| w.answer)
    }

    /// The answer waiting for the next frame to be applied, to fill in a count.
    pub fn next_answer(&mut self) -> Option<&mut Answer> {
        let next = self.applied + 1;
        self.waiting
            .iter_mut()
            .find(|w| w.frame >= next)
            .filter(|w| w.frame == next)
            .map(|w| &mut w.answer)
    }

    /// Notes that one of this leader's frames was applied.
    pub fn frame_applied(&mut self) {
        self.applied += 1;
    }

    /// Notes that messages up to `seq` were applied.
    pub fn message_applied(&mut self, seq: u64) {
        while self.msgs.front().is_some_and(|m| m.seq <= seq) {
            let Some(m) = self.msgs.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(m.bytes);
            if let Some(map) = &mut self.subjects
                && let hashbrown::hash_map::EntryRef::Occupied(mut e) = map.entry_ref(&m.subject)
            {
                e.get_mut().msgs = e.get().msgs.saturating_sub(1);
                if e.get().msgs == 0 {
                    e.remove();
                }
            }
        }
        if self.msgs.is_empty() {
            // Nobody may ask for a long time; it is filled again on demand.
            self.subjects = None;
            self.last_id = None;
            self.counters.clear();
        }
    }

    /// Remembers an id until it is applied.
    pub fn id_proposed(&mut self, id: IdHash, seq: u64) {
        self.ids.insert(id, seq);
    }

    /// Forgets an id that is now in the ring.
    pub fn id_applied(&mut self, id: IdHash) {
        if !self.ids.is_empty() {
            self.ids.remove(&id);
        }
    }

    /// Sequence in flight under this id.
    pub fn id_in_flight(&self, id: IdHash) -> Option<u64> {
        if self.ids.is_empty() { None } else { self.ids.get(&id).copied() }
    }

    /// A literal subject's messages in flight.
    pub fn subject(&mut self, subject: &[u8]) -> SubjectInFlight {
        if self.msgs.is_empty() {
            return SubjectInFlight::default();
        }
        let msgs = &self.msgs;
        let map = self.subjects.get_or_insert_with(|| {
            let mut map: HashMap<Bytes, SubjectInFlight> = HashMap::new();
            for m in msgs {
                let s = map.entry_ref(&m.subject).or_default();
                *s = SubjectInFlight { last: m.seq, msgs: s.msgs + 1 };
            }
            map
        });
        map.get(subject).copied().unwrap_or_default()
    }

    /// Last sequence in flight matching a filter with wildcards, 0 = none.
    pub fn last_matching(&self, filter: &[u8]) -> u64 {
        let hit = self.msgs.iter().rev().find(|m| m.bytes > 0 && matches(&m.subject, filter));
        hit.map_or(0, |m| m.seq)
    }

    /// Messages in flight.
    pub fn msgs(&self) -> u64 {
        self.msgs.len() as u64
    }

    /// Whether everything proposed was applied.
    pub fn drained(&self) -> bool {
        self.frames == self.applied
    }

    /// Whether a change that removes messages is in flight.
    pub fn behind_barrier(&self) -> bool {
        self.barrier > self.applied
    }

    /// Keeps a publish for later; `false` if the queue is full.
    pub fn defer(&mut self, msg: Inbound) -> bool {
        let size = msg.size();
        if self.deferred_bytes.saturating_add(size) > DEFERRED_BYTES {
            return false;
        }
        self.deferred_bytes += size;
        self.deferred.push_back(msg);
        true
    }

    /// Puts a publish back to the front of the queue.
    pub fn defer_again(&mut self, msg: Inbound) {
        self.deferred_bytes += msg.size();
        self.deferred.push_front(msg);
    }

    /// The next publish that waited.
    pub fn next_deferred(&mut self) -> Option<Inbound> {
        let msg = self.deferred.pop_front()?;
        self.deferred_bytes = self.deferred_bytes.saturating_sub(msg.size());
        Some(msg)
    }

    /// Whether publishes wait.
    pub fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// Notes that the last frame removes what is too old.
    pub fn expiry_proposed(&mut self) {
        self.expiry = self.frames;
    }

    /// Whether such a frame is in flight.
    pub fn expiry_in_flight(&self) -> bool {
        self.expiry > self.applied
    }

    /// Notes that the last frame is a message of a schedule.
    pub fn schedule_proposed(&mut self) {
        self.schedule = self.frames;
    }

    /// Whether such a message is in flight.
    pub fn schedule_in_flight(&self) -> bool {
        self.schedule > self.applied
    }

    /// Notes that the last frame changes consumers or the configuration.
    pub fn call_proposed(&mut self) {
        self.call = self.frames;
    }

    /// Whether such a change is in flight.
    pub fn call_in_flight(&self) -> bool {
        self.call > self.applied
    }

    /// Notes that the last frame holds acknowledgements that may remove messages.
    pub fn acks_proposed(&mut self) {
        self.acks = self.frames;
    }

    /// Whether such acknowledgements are in flight.
    pub fn acks_in_flight(&self) -> bool {
        self.acks > self.applied
    }

    /// Keeps a call for later; `false` if there are `max` already.
    pub fn defer_call(&mut self, call: Call, token: Token, max: usize) -> bool {
        let room = self.calls.len() < max;
        if room {
            self.calls.push_back((call, token));
        }
        room
    }

    /// Whether calls wait.
    pub fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// The next call that waited.
    pub fn next_call(&mut self) -> Option<(Call, Token)> {
        self.calls.pop_front()
    }

    /// Makes room so that the frames up to the next other proposal stay in one
    /// entry; they are added by [`Leading::propose_joined`].
    pub fn begin_joined(&mut self) {
        self.close_if_full();
    }

    /// As [`Leading::propose_message`], never beginning a new entry.
    pub fn propose_joined(&mut self, change: &Change<'_>, in_flight: InFlight, ts: i64) {
        self.room();
        change.put(&mut self.buf);
        self.frames += 1;
        self.note(in_flight, ts);
    }

    fn close_if_full(&mut self) {
        if self.buf.len() >= ENTRY_BYTES {
            let full = self.close();
            self.ready.push_back(full);
        }
    }

    /// Gives a new entry room for as much as the one before took: growing step
    /// by step copies a full entry twice over.
    fn room(&mut self) {
        if self.buf.is_empty() && self.buf.capacity() < self.entry_len {
            self.buf.reserve(self.entry_len);
        }
    }

    fn close(&mut self) -> Bytes {
        self.entry_len = self.buf.len();
        self.buf.split().freeze()
    }

    /// The next entry to log.
    pub fn take_entry(&mut self) -> Option<Bytes> {
        if let Some(entry) = self.ready.pop_front() {
            return Some(entry);
        }
        (!self.buf.is_empty()).then(|| self.close())
    }

    /// Answers that will never come, for API callers that need a word.
    pub fn abandon(&mut self) -> Vec<Token> {
        let tokens = self.waiting.drain(..).filter_map(|w| match w.answer {
            Answer::Api(token, _) => Some(token),
            _ => None,
        });
        tokens.chain(self.calls.drain(..).map(|c| c.1)).collect()
    }
}
