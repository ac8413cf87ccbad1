//! The streams of one shard: each a pure state machine, its raft group and its
//! store, driven by the shard's turns.
//!
//! A turn gives every stream that has something to do its say, collects what
//! must be logged into one submission to the lane, and executes effects. What
//! became durable comes back as mail, is applied, and releases the answers that
//! waited for it.

use super::actor::Actor;
use super::lane::Lane;
use crate::clock;
use crate::shard::Shard;
use crate::shard::mailbox::{Mail, StreamMail};
use gust_raft::Ticket;
use gust_storage::store::StoreError;
use gust_storage::store::file::CheckpointDone;
use gust_storage::wal::{Lsn, WalRecord};
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Streams of one shard.
pub struct Engine {
    streams: HashMap<u64, Actor>,
    dirty: Vec<u64>,
    timers: BinaryHeap<Reverse<(i64, u64)>>,
    lane: Option<Lane>,
}

/// What one turn of the engine wants written.
#[derive(Default)]
pub struct Submission {
    /// For the log.
    pub records: Vec<WalRecord>,
    /// Whose they are.
    pub tickets: Vec<(u64, Ticket)>,
}

impl Engine {
    /// An engine without streams.
    pub fn new() -> Self {
        Self { streams: HashMap::new(), dirty: Vec::new(), timers: BinaryHeap::new(), lane: None }
    }

    /// Gives it the lane to write to.
    pub fn set_lane(&mut self, lane: Lane) {
        self.lane = Some(lane);
    }

    /// Takes a stream over; one that comes when JetStream is off goes nowhere.
    pub fn insert(&mut self, shard: &Shard, mut actor: Actor) {
        if self.lane.is_none() {
            return;
        }
        actor.start(shard);
        let group = actor.group_id();
        self.streams.insert(group, actor);
        self.touch(group);
        shard.schedule();
    }

    /// Gives a stream up. Its subscriptions are gone when this returns.
    pub fn remove(&mut self, shard: &Shard, group: u64) -> Option<Actor> {
        let mut actor = self.streams.remove(&group)?;
        actor.end(shard);
        Some(actor)
    }

    /// A stream by its group.
    pub fn get(&self, group: u64) -> Option<&Actor> {
        self.streams.get(&group)
    }

    /// A stream to be changed; it gets a turn.
    pub fn get_mut(&mut self, group: u64) -> Option<&mut Actor> {
        self.touch(group);
        self.streams.get_mut(&group)
    }

    /// All streams.
    pub fn iter(&self) -> impl Iterator<Item = &Actor> {
        self.streams.values()
    }

    /// Groups of all streams.
    pub fn groups(&self) -> Vec<u64> {
        self.streams.keys().copied().collect()
    }

    fn touch(&mut self, group: u64) {
        if let Some(a) = self.streams.get_mut(&group)
            && !std::mem::replace(&mut a.dirty, true)
        {
            self.dirty.push(group);
        }
    }

    /// Hands a message to its stream.
    pub fn handle(&mut self, shard: &Shard, mail: StreamMail) {
        let group = mail.group;
        if let Some(actor) = self.streams.get_mut(&group) {
            actor.guarded(|a| a.handle(shard, mail));
            self.touch(group);
            shard.schedule();
        }
    }

    /// Interest that a stream's push consumers watch has changed.
    pub fn interest_changed(&mut self, shard: &Shard, group: u64) {
        if let Some(actor) = self.streams.get_mut(&group) {
            actor.guarded(|a| a.interest_changed(shard));
            self.touch(group);
            shard.schedule();
        }
    }

    /// Runs all streams that have something to do. True: there is more to do.
    pub fn run(&mut self, shard: &Shard) -> bool {
        if self.streams.is_empty() {
            return false;
        }
        let now = clock::now();
        while let Some(Reverse((at, group))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            if let Some(actor) = self.streams.get_mut(&group) {
                actor.guarded(|a| a.timer_fired(shard, at, now));
                self.touch(group);
            }
        }
        if self.dirty.is_empty() {
            return false;
        }
        let mut submission = Submission::default();
        for group in std::mem::take(&mut self.dirty) {
            let Some(actor) = self.streams.get_mut(&group) else { continue };
            actor.dirty = false;
            let (records, tickets) = (submission.records.len(), submission.tickets.len());
            let Some(more) = actor.guarded(|a| a.turn(shard, &mut submission)) else {
                // Half of what a turn wanted is not to be written.
                submission.records.truncate(records);
                submission.tickets.truncate(tickets);
                continue;
            };
            if let Some(at) = actor.rearm() {
                self.timers.push(Reverse((at, group)));
                shard.timers.borrow().arm(at);
            }
            if more {
                self.touch(group);
            }
        }
        self.submit(shard, submission);
        !self.dirty.is_empty()
    }

    fn submit(&self, shard: &Shard, submission: Submission) {
        let Submission { records, tickets } = submission;
        if tickets.is_empty() {
            return;
        }
        let Some(lane) = &self.lane else { return };
        let (server, id) = (shard.server.clone(), shard.id);
        let done = Box::new(move |lsn: Lsn| {
            server.shard(id).send_one(Mail::Call(Box::new(move |s| {
                s.engine.borrow_mut().persisted(s, &tickets, lsn);
            })));
        });
        lane.write(records, done);
    }

    /// A submission is durable.
    fn persisted(&mut self, shard: &Shard, tickets: &[(u64, Ticket)], lsn: Lsn) {
        for (group, ticket) in tickets {
            if let Some(actor) = self.streams.get_mut(group) {
                actor.guarded(|a| a.persisted(shard, *ticket, lsn));
                self.touch(*group);
            }
        }
        shard.schedule();
    }

    /// Writes a checkpoint of every stream that has records in the log.
    pub fn checkpoint_all(&mut self, shard: &Shard) {
        for actor in self.streams.values_mut() {
            actor.guarded(|a| a.checkpoint(shard));
        }
    }

    /// A checkpoint is durable, or failed.
    pub fn checkpointed(
        &mut self,
        group: u64,
        result: Result<CheckpointDone, StoreError>,
        lsn: Lsn,
    ) {
        let Some(actor) = self.streams.get_mut(&group) else { return };
        if let Some(Some(floor)) = actor.guarded(|a| a.checkpointed(result, lsn))
            && let Some(lane) = &self.lane
        {
            lane.set_floor(group, floor);
        }
    }

    /// Orderly stop: waiting clients are told, every stream is checkpointed.
    pub fn close(&mut self, shard: &Shard) {
        for actor in self.streams.values_mut() {
            actor.guarded(|a| a.close(shard));
        }
    }

    /// JetStream is turned off: waiting clients are told and no stream is left.
    /// Checkpoints are up to the caller; the log has what they do not.
    pub fn leave(&mut self, shard: &Shard) {
        for (_, mut actor) in self.streams.drain() {
            actor.guarded(|a| a.leave(shard));
            // Its subscriptions lead nowhere, whatever happened to it before.
            actor.end(shard);
        }
        self.dirty.clear();
        self.timers.clear();
        self.lane = None;
        shard.schedule();
    }

    /// When the next timer of a stream is due, ns; `i64::MAX` = none.
    pub fn next_deadline(&self) -> i64 {
        self.timers.peek().map_or(i64::MAX, |Reverse((at, _))| *at)
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}
