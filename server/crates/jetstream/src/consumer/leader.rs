//! What exists only where a consumer runs: the live state, who waits, what is
//! due, and the deltas on their way.

use super::delta::DeltaBuffer;
use super::flow::Push;
use super::pin::Pin;
use super::reply::Replies;
use super::rules::Rules;
use super::state::{ConsumerState, Op, Ranges};
use super::waiting::Queue;
use super::{Answer, Cx, Stop, Wake, start, status};
use crate::effect::{Effect, Nanos};
use bytes::{Bytes, BytesMut};
use hashbrown::HashSet;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Most confirmations that wait for a commit; beyond it the oldest is dropped
/// and its client asks again.
const MAX_ANSWERS: usize = 65_536;

#[derive(Debug)]
pub(super) struct Leader {
    pub live: ConsumerState,
    pub delta: DeltaBuffer,
    logged: bool,
    epoch: u64,
    /// Number of the last delta taken, and of the last one committed.
    sent: u64,
    done: u64,
    answers: VecDeque<(u64, Answer)>,
    scratch: Ranges,

    pub replies: Replies,
    pub random: Random,
    /// First sequence the linear walk has not passed; ≥ `live.next`.
    pub cursor: u64,
    /// Matching messages not delivered yet.
    pub num_pending: u64,
    /// Sequences to deliver again; stale ones are not in `queued`.
    pub redeliver: VecDeque<u64>,
    pub queued: HashSet<u64, foldhash::fast::FixedState>,
    /// Ack deadlines; stale ones disagree with `live.pending`.
    pub deadlines: BinaryHeap<Reverse<(Nanos, u64)>>,
    pub waiting: Queue,
    /// Counts calls of `deliver`.
    pub turn: u64,
    pub waiting_checked: Nanos,
    pub push: Push,
    pub pin: Pin,
    /// No delivery before this time (replay, rate limit, store trouble).
    pub hold_until: Option<Nanos>,
    /// Replay: store time of the last message, and when it was sent.
    pub replayed: Option<(Nanos, Nanos)>,
    pub last_activity: Nanos,
    /// Inactivity is not judged before this time.
    pub idle_floor: Nanos,
    pub jitter: Nanos,
    pub pause_ends: Option<Nanos>,
    pub last_delivery: Option<Nanos>,
    pub last_ack: Option<Nanos>,
}

impl Leader {
    pub fn new(r: &Rules, live: ConsumerState, cx: &mut Cx<'_>, seed: u64, epoch: u64) -> Self {
        let mut random = Random(seed);
        // 0.1 to 1 s, so that many idle ephemerals do not end at once.
        let jitter = 100_000_000 + (random.next() % 900) as i64 * 1_000_000;
        let mut it = Leader {
            live,
            delta: DeltaBuffer::default(),
            logged: r.logged,
            epoch,
            sent: 0,
            done: 0,
            answers: VecDeque::new(),
            scratch: Ranges::default(),
            replies: Replies::new(cx.stream, &r.name),
            random,
            cursor: 0,
            num_pending: 0,
            redeliver: VecDeque::new(),
            queued: HashSet::default(),
            deadlines: BinaryHeap::new(),
            waiting: Queue::default(),
            turn: 0,
            waiting_checked: 0,
            push: Push::new(cx.now),
            pin: Pin::default(),
            hold_until: None,
            replayed: None,
            last_activity: cx.now,
            idle_floor: 0,
            jitter: if r.push { 0 } else { jitter },
            pause_ends: r.pause_until.filter(|t| *t > cx.now),
            last_delivery: None,
            last_ack: None,
        };
        let fresh = !it.live.started();
        if fresh {
            it.start(r, cx);
            if r.paused(cx.now) {
                it.pause_advisory(r, cx);
            }
        }
        it.drop_gone(r, cx);
        it.cursor = it.live.next;
        it.recount(r, cx);
        if !fresh {
            it.forget_gone_candidates(cx);
        }
        it.rebuild_deadlines(r);
        it.check_interest(r, cx);
        it
    }

    fn start(&mut self, r: &Rules, cx: &mut Cx<'_>) {
        match start::resolve(r, cx) {
            Ok(start::Start::At(next)) => self.op(r, Op::Start { next }),
            Ok(start::Start::Skip(skip)) => {
                if self.logged {
                    self.delta.push_skip(&skip);
                }
                self.live.set_skip(skip);
            }
            // A damaged store: begin with what can be read.
            Err(_) => self.op(r, Op::Start { next: cx.store.state().first_seq.max(1) }),
        }
    }

    /// Changes the state here and, when committed, everywhere.
    pub fn op(&mut self, r: &Rules, op: Op) {
        self.live.apply(op, r.policy, &mut self.scratch);
        self.scratch.0.clear();
        if self.logged {
            self.delta.push(op);
        }
    }

    /// Confirms an ack as soon as everything done so far is committed.
    pub fn confirm(&mut self, cx: &mut Cx<'_>, reply: &Bytes) {
        if reply.is_empty() {
            return;
        }
        if self.settled() {
            cx.out.push(Effect::Publish(super::outgoing(reply)));
        } else {
            self.answer_later(Answer::Ack(reply.clone()));
        }
    }

    /// Whether nothing waits for a commit.
    pub fn settled(&self) -> bool {
        !self.logged || (self.delta.is_empty() && self.sent == self.done)
    }

    pub fn answer_later(&mut self, answer: Answer) {
        let number = if self.delta.is_empty() { self.sent } else { self.sent + 1 };
        if self.answers.len() >= MAX_ANSWERS {
            self.answers.pop_front();
        }
        self.answers.push_back((number, answer));
    }

    pub fn take_delta(&mut self, out: &mut BytesMut) -> bool {
        if self.delta.is_empty() {
            return false;
        }
        self.sent += 1;
        self.delta.take(self.epoch, self.sent, out);
        true
    }

    pub fn committed(&mut self, epoch: u64, number: u64, out: &mut Vec<Answer>) {
        if epoch != self.epoch || number > self.sent {
            return;
        }
        self.done = self.done.max(number);
        while self.answers.front().is_some_and(|(n, _)| *n <= self.done) {
            out.extend(self.answers.pop_front().map(|(_, a)| a));
        }
    }

    pub fn end(mut self, cx: &mut Cx<'_>, why: Stop) {
        for w in self.waiting.drain() {
            let headers = match why {
                Stop::Deleted => Bytes::from_static(status::CONSUMER_DELETED),
                Stop::StepDown => Bytes::from_static(status::LEADERSHIP_CHANGE),
                Stop::Shutdown => status::Ended::Shutdown.header(w.left, w.bytes),
            };
            cx.send(&w.reply, headers);
        }
    }

    pub fn updated(&mut self, r: &Rules, old: &Rules, refiltered: bool, cx: &mut Cx<'_>) -> Wake {
        if r.pause_until != old.pause_until {
            self.pause_ends = r.pause_until.filter(|t| *t > cx.now);
            self.pause_advisory(r, cx);
        }
        if r.deliver_subject != old.deliver_subject || r.deliver_group != old.deliver_group {
            self.push = Push::new(cx.now);
        }
        if r.push != old.push {
            self.jitter = 0;
        }
        if refiltered {
            self.recount(r, cx);
        }
        if r.groups.first() != old.groups.first() || r.priority != old.priority {
            self.pin = Pin::default();
        }
        self.rebuild_deadlines(r);
        self.check_interest(r, cx);
        Wake::DELIVER
    }

    /// From now on the log carries the state.
    pub fn begin_log(&mut self, r: &Rules, cx: &Cx<'_>) -> Wake {
        self.logged = true;
        self.restart(r, cx, self.live.ack_floor.stream + 1);
        Wake::DELIVER
    }

    /// Counts anew what is left to deliver.
    pub fn recount(&mut self, r: &Rules, cx: &Cx<'_>) {
        let (candidates, from) = match &self.live.skip {
            Some(skip) => (skip.seqs.len() as u64, skip.resume.max(self.cursor)),
            None => (0, self.cursor),
        };
        // A store that cannot count keeps the number of before.
        if let Ok(n) = cx.store.num_pending(r.subjects.filter(), from, false) {
            self.num_pending = n + candidates;
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): ids, jitter and samples from the seed
/// the shell passed in.
#[derive(Debug)]
pub(super) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An id of 22 base62 characters, as nats-server's.
    pub fn id(&mut self) -> Bytes {
        let mut out = BytesMut::with_capacity(22);
        super::reply::put_random(&mut out, self.next(), 10);
        super::reply::put_random(&mut out, self.next(), 10);
        super::reply::put_random(&mut out, self.next(), 2);
        out.freeze()
    }
}
