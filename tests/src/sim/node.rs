//! A node: streams, their groups, one log lane, one disk. It has an inbox, an
//! outbox and steps; time, randomness and the order of steps belong to the
//! scheduler. Peers' messages will come and go the same way.

use super::actor::{Actor, Checkpoint};
use super::lane::{Durable, Lane, Submission};
use super::liar::Mistake;
use super::rng::Rng;
use bytes::Bytes;
use gust_jetstream::config::{CreateConsumerRequest, StreamConfig};
use gust_jetstream::effect::Outgoing;
use gust_jetstream::error::ApiError;
use gust_jetstream::stream::{Completion, Facts, Inbound, Purge, Token};
use gust_raft::Committed;
use gust_storage::store::StoreError;
use gust_storage::wal::WalError;
use std::collections::{BTreeMap, VecDeque};

/// What a client asks of a stream.
#[derive(Debug, Clone)]
pub enum Request {
    /// A message.
    Publish(Inbound),
    /// CONSUMER.MSG.NEXT.
    Pull {
        /// Consumer.
        consumer: String,
        /// Where messages go.
        reply: Bytes,
        /// Request.
        body: Bytes,
    },
    /// An ack, NAK or TERM.
    Ack {
        /// Ack subject of the delivery.
        subject: Bytes,
        /// Where the confirmation goes, or empty.
        reply: Bytes,
        /// What.
        payload: Bytes,
    },
    /// STREAM.PURGE.
    Purge(Purge, Token),
    /// STREAM.MSG.DELETE.
    Delete(u64, Token),
    /// STREAM.UPDATE.
    Update(Box<StreamConfig>, Token),
    /// CONSUMER.CREATE.
    CreateConsumer(Box<CreateConsumerRequest>, Token),
    /// CONSUMER.DELETE.
    DeleteConsumer(String, Token),
}

/// What comes out of a node.
#[derive(Debug)]
pub enum Output {
    /// An entry is durable and committed; before its effects.
    Committed(u64, Committed),
    /// A message to clients.
    Sent(u64, Outgoing),
    /// An API call is done.
    Done(u64, Token, Result<Completion, ApiError>),
    /// Something on disk is not as it was written.
    Damage(String),
}

/// What a step gets from the scheduler, and where its outputs go.
pub struct Surroundings<'a> {
    /// Simulated time, ns.
    pub now: i64,
    /// Randomness.
    pub rng: &'a mut Rng,
    /// Where outputs go.
    pub outbox: &'a mut VecDeque<Output>,
    /// What the node says about itself.
    pub facts: Facts,
}

/// See the module documentation.
pub struct Node {
    /// Streams by group.
    pub actors: BTreeMap<u64, Actor>,
    /// Requests not looked at yet.
    pub inbox: VecDeque<(u64, Request)>,
    /// What came out and was not taken yet.
    pub outbox: VecDeque<Output>,
    /// The log.
    pub lane: Lane,
    /// Durable writes their groups have not heard of.
    durable: VecDeque<Durable>,
    /// Why this node acknowledges nothing any more.
    pub fenced: Option<String>,
    /// What it does wrong on purpose.
    mistake: Option<Mistake>,
    rng: Rng,
}

impl Node {
    /// A node with what recovery found.
    pub fn new(
        actors: BTreeMap<u64, Actor>,
        lane: Lane,
        mistake: Option<Mistake>,
        rng: Rng,
    ) -> Node {
        Node {
            actors,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            lane,
            durable: VecDeque::new(),
            fenced: None,
            mistake,
            rng,
        }
    }

    fn fence(&mut self, why: impl std::fmt::Display) {
        self.fenced.get_or_insert(why.to_string());
    }

    fn each(&mut self, now: i64, mut f: impl FnMut(&mut Actor, &mut Surroundings<'_>)) {
        let facts = Facts { server_full: self.lane.full, ..Facts::default() };
        let mut around = Surroundings { now, rng: &mut self.rng, outbox: &mut self.outbox, facts };
        for actor in self.actors.values_mut() {
            f(actor, &mut around);
        }
    }

    /// Takes in everything in the inbox, and turns it and what consumers have to
    /// do into one submission.
    pub fn turn(&mut self, now: i64) {
        if self.fenced.is_some() {
            self.inbox.clear();
            return;
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut out = Submission::default();
        self.each(now, |actor, around| {
            let group = actor.group.id();
            for (_, r) in inbox.iter_mut().filter(|(g, _)| *g == group) {
                actor.handle(r.clone(), around);
            }
            actor.timers(around);
            actor.turn(&mut out, around);
        });
        self.lane.submit(out);
    }

    /// Appends what was submitted to the log.
    pub fn append(&mut self) {
        match self.lane.append() {
            Err(WalError::DiskFull { .. }) => self.recycle(),
            Err(e) => self.fence(e),
            Ok(()) => {}
        }
    }

    /// Syncs the log.
    pub fn sync(&mut self) {
        match self.lane.sync() {
            Ok(done) => self.durable.extend(done),
            Err(e) => self.fence(e),
        }
    }

    /// Tells groups of one durable batch. A fenced node tells nobody.
    pub fn persisted(&mut self, now: i64) {
        if self.fenced.is_some() {
            return;
        }
        let Some(d) = self.durable.pop_front() else { return };
        for (group, ticket) in d.tickets {
            self.each(now, |actor, around| {
                if actor.group.id() == group {
                    actor.persisted(ticket, d.start, around);
                }
            });
        }
    }

    /// Moves a stream's checkpoint one step on.
    pub fn checkpoint(&mut self, group: u64) {
        let Some(actor) = self.actors.get_mut(&group) else { return };
        if self.fenced.is_some() {
            return;
        }
        let result = match actor.checkpoint {
            Checkpoint::Idle => actor.begin_checkpoint().map(|_| ()),
            Checkpoint::Captured(..) => actor.run_checkpoint(),
            Checkpoint::Written(..) => {
                if let Some((previous, newest, damaged)) = actor.finish_checkpoint() {
                    let early = self.mistake == Some(Mistake::FloorAtNewest);
                    let floor = if early { newest } else { previous };
                    self.lane.wal.set_floor(group, floor);
                    for d in damaged {
                        self.outbox.push_back(Output::Damage(d.to_string()));
                    }
                    self.recycle();
                }
                Ok(())
            }
        };
        match result {
            // Abandoned; the next one makes up for it.
            Err(e) if e.is_disk_full() => {}
            Err(_) if self.mistake == Some(Mistake::SyncAgain) => {}
            Err(e) => self.fence(e),
            Ok(()) => {}
        }
    }

    /// A piece of a stream's compaction.
    pub fn compact(&mut self, group: u64) {
        let Some(actor) = self.actors.get_mut(&group) else { return };
        match actor.compact() {
            Err(e @ StoreError::Damaged { .. }) => {
                self.outbox.push_back(Output::Damage(e.to_string()));
            }
            Err(e) if !e.is_disk_full() => self.fence(e),
            _ => {}
        }
    }

    /// Gives back files of the log that no group needs.
    pub fn recycle(&mut self) {
        if let Err(e) = self.lane.wal.recycle()
            && self.lane.wal.is_fenced()
        {
            self.fence(e);
        }
    }

    /// Prepares a spare file of the log.
    pub fn spare(&mut self) {
        // Without one the log goes on; it says so itself when it cannot.
        let _ = self.lane.wal.prepare_spare();
    }

    /// Vouches for the end of the log.
    pub fn mark_idle(&mut self) {
        match self.lane.wal.mark_idle() {
            Err(e) if !e.is_disk_full() => self.fence(e),
            _ => {}
        }
    }

    /// Whether anything is on its way to the disk or back.
    pub fn is_busy(&self) -> bool {
        self.lane.is_busy() || !self.durable.is_empty() || !self.inbox.is_empty()
    }
}
