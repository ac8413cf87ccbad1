//! One replica of a raft group.
//!
//! The owner (a shard) calls, in this order as often as it likes:
//!
//! 1. [`Group::propose`], [`Group::step`], [`Group::tick`];
//! 2. [`Group::ready`]: hands out what must be written, and a ticket;
//! 3. [`Group::take_messages`]: to be sent now, in parallel with the write;
//! 4. when the write is durable, [`Group::persisted`]: yields committed entries
//!    and frees the messages that had to wait;
//! 5. when those entries are applied, [`Group::applied`].
//!
//! Several tickets may be under way. If a write fails the group must not be
//! told; it is poisoned and dropped.
//!
//! **Panics.** raft-rs panics on states it holds impossible. A group shares
//! nothing with others, so the owner can call it within
//! `catch_unwind(AssertUnwindSafe(..))` and on a panic drop this one group; it
//! must not be called again. [`Group::step`] refuses beforehand what a confused
//! peer could send to provoke one.
//!
//! **Cost** of one batch of a single voter, propose to applied: 0.35 µs (one
//! 128 B entry, release, 2 busy cores); memory of an idle one about 2.8 KB.

use crate::error::{ProposeError, StepError};
use crate::log::MemLog;
use crate::logger;
use crate::restore::{RestoreError, Restored};
use crate::write::{Committed, EntryKind, LogWrite, Ticket};
use bytes::Bytes;
use prost::Message as _;
use raft::{Config, RawNode, StateRole};
use raft_proto::eraftpb::{
    ConfChange, ConfChangeV2, ConfState, Entry, HardState, Message, MessageType, Snapshot,
};
use std::collections::VecDeque;

/// Most payload bytes proposed but not committed, then [`ProposeError::Full`].
pub const MAX_UNCOMMITTED: usize = 64 << 20;

/// What a replica is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Id of the group, appears in every [`LogWrite`].
    pub group: u64,
    /// This replica's id within the group, not 0.
    pub node: u64,
    /// Voting members, including this one if it votes.
    pub voters: Vec<u64>,
    /// Members that only receive.
    pub learners: Vec<u64>,
    /// Ticks without a leader before an election.
    pub election_ticks: usize,
    /// Ticks between heartbeats.
    pub heartbeat_ticks: usize,
}

/// One replica of a group; see the module documentation.
pub struct Group {
    group: u64,
    node: RawNode<MemLog>,
    single: bool,
    /// Term and vote last handed out for writing.
    vote: (u64, u64),
    /// Writes since the last [`Group::ready`].
    writes: Vec<LogWrite>,
    /// Number of the latest raft `Ready` with something to write.
    last_write: u64,
    /// Highest number that is durable.
    durable: u64,
    committed: Vec<Committed>,
    messages: Vec<Message>,
    /// Messages that may leave once this number is durable.
    held: VecDeque<(u64, Message)>,
    /// Last index put into `committed`.
    delivered: u64,
    uncommitted: usize,
}

impl Group {
    /// The only replica of group `id`. Entries in `restored` are committed by
    /// being there; take them with [`Group::committed`], then
    /// [`Group::campaign`].
    pub fn single(id: u64, restored: Restored) -> Result<Self, RestoreError> {
        let settings = Settings {
            group: id,
            node: SINGLE_NODE,
            voters: vec![SINGLE_NODE],
            learners: Vec::new(),
            election_ticks: 10,
            heartbeat_ticks: 1,
        };
        Group::member(settings, restored)
    }

    /// A replica of a group.
    pub fn member(settings: Settings, restored: Restored) -> Result<Self, RestoreError> {
        let group = settings.group;
        let entries = restored.entries(group)?;
        let last = entries
            .last()
            .map_or((restored.applied_index, restored.applied_term), |e| (e.index, e.term));
        let single = settings.learners.is_empty() && settings.voters == [settings.node];
        let hard = HardState {
            term: restored.term.max(last.1),
            vote: if last.1 > restored.term { 0 } else { restored.vote },
            commit: if single { last.0 } else { restored.commit.max(restored.applied_index) },
        };
        let vote = (hard.term, hard.vote);
        let conf = ConfState::from((settings.voters, settings.learners));
        let before = (restored.applied_index, restored.applied_term);
        let log = MemLog::new(hard, conf, before, entries);
        let config = Config {
            id: settings.node,
            election_tick: settings.election_ticks,
            heartbeat_tick: settings.heartbeat_ticks,
            applied: restored.applied_index,
            // 0, the default, means one entry per message: 800 times slower.
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 256,
            // Both off by default. A single voter has nobody to ask.
            check_quorum: !single,
            pre_vote: !single,
            // Counted here instead, so that a full group says so.
            max_uncommitted_size: raft::NO_LIMIT,
            // Committed entries are in memory already; a limit saves nothing.
            max_committed_size_per_ready: raft::NO_LIMIT,
            ..Config::default()
        };
        let node = RawNode::new(&config, log, &logger::for_group(group))
            .map_err(|_| RestoreError::Refused { group })?;
        Ok(Group {
            group,
            node,
            single,
            vote,
            writes: Vec::new(),
            last_write: 0,
            durable: 0,
            committed: Vec::new(),
            messages: Vec::new(),
            held: VecDeque::new(),
            delivered: restored.applied_index,
            uncommitted: 0,
        })
    }

    /// Id of the group.
    pub fn id(&self) -> u64 {
        self.group
    }

    /// Whether this replica leads.
    pub fn is_leader(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// The leader's id, if known.
    pub fn leader(&self) -> Option<u64> {
        Some(self.node.raft.leader_id).filter(|&id| id != 0)
    }

    /// The current term.
    pub fn term(&self) -> u64 {
        self.node.raft.term
    }

    /// Last index of the log.
    pub fn last_index(&self) -> u64 {
        self.node.raft.raft_log.last_index()
    }

    /// Highest index known to be committed.
    pub fn commit_index(&self) -> u64 {
        self.node.raft.raft_log.committed
    }

    /// Highest index told to [`Group::applied`].
    pub fn applied_index(&self) -> u64 {
        self.node.raft.raft_log.applied
    }

    /// Payload bytes in memory: the log's tail. For metrics and limits.
    pub fn memory(&self) -> usize {
        self.node.store().bytes()
    }

    /// Members as of the last applied change.
    pub fn members(&self) -> &ConfState {
        self.node.store().conf()
    }

    /// Starts an election now. A single voter wins it at once and leads from
    /// then on; its first entry is empty.
    pub fn campaign(&mut self) {
        if !self.is_leader() {
            // Refused only for reasons that an election timeout resolves.
            let _ = self.node.campaign();
        }
    }

    /// Lets time pass by one tick.
    pub fn tick(&mut self) {
        self.node.tick();
    }

    /// Overrides the random election timeout until the next change of term or
    /// role: simulations must not depend on thread randomness.
    pub fn set_election_timeout(&mut self, ticks: usize) {
        self.node.raft.set_randomized_election_timeout(ticks);
    }

    /// Asks the group to move leadership to a member.
    pub fn transfer_leader(&mut self, to: u64) {
        self.node.transfer_leader(to);
    }

    /// Proposes one entry, normally everything a turn produced for the group.
    pub fn propose(&mut self, data: Bytes) -> Result<(), ProposeError> {
        let len = data.len();
        // A single large entry may pass, or it never could.
        if self.uncommitted > 0 && self.uncommitted + len > MAX_UNCOMMITTED {
            return Err(ProposeError::Full);
        }
        self.propose_entry(Entry { data, ..Entry::default() })?;
        self.uncommitted += len;
        Ok(())
    }

    /// Proposes a change of members; one at a time.
    pub fn propose_change(&mut self, change: &ConfChangeV2) -> Result<(), ProposeError> {
        self.propose_entry(Entry {
            entry_type: i32::from(EntryKind::ChangeV2 as u8),
            data: change.encode_to_vec().into(),
            ..Entry::default()
        })
    }

    /// As RawNode::propose, which takes `Vec<u8>` and would copy.
    fn propose_entry(&mut self, entry: Entry) -> Result<(), ProposeError> {
        if !self.is_leader() {
            // raft would forward it silently.
            return Err(ProposeError::NotLeader { leader: self.leader() });
        }
        let proposal = Message {
            msg_type: MessageType::MsgPropose as i32,
            from: self.node.raft.id,
            entries: vec![entry],
            ..Message::default()
        };
        self.node.raft.step(proposal).map_err(|_| ProposeError::Dropped)
    }

    /// Takes a message of a peer.
    pub fn step(&mut self, message: Message) -> Result<(), StepError> {
        self.check(&message)?;
        self.node.step(message).map_err(|e| match e {
            raft::Error::StepLocalMsg | raft::Error::StepPeerNotFound => StepError::Foreign,
            _ => StepError::Dropped,
        })
    }

    /// Refuses what would make raft panic or step back.
    fn check(&self, m: &Message) -> Result<(), StepError> {
        let log = &self.node.raft.raft_log;
        if m.to != self.node.raft.id || MessageType::try_from(m.msg_type).is_err() {
            return Err(StepError::Foreign);
        }
        match m.get_msg_type() {
            // Never sent by us: followers do not forward.
            MessageType::MsgPropose => Err(StepError::Foreign),
            // A leader commits no more than what this replica acknowledged.
            MessageType::MsgHeartbeat if m.term >= self.term() && m.commit > log.last_index() => {
                Err(StepError::Inconsistent)
            }
            MessageType::MsgAppend if m.term >= self.term() => {
                let mut next = m.index;
                for e in &m.entries {
                    let in_order = next.checked_add(1) == Some(e.index);
                    let kept = e.index > log.committed
                        || log.term(e.index).is_ok_and(|t| t == 0 || t == e.term);
                    if !in_order || !kept || e.term > m.term {
                        return Err(StepError::Inconsistent);
                    }
                    next = e.index;
                }
                Ok(())
            }
            MessageType::MsgAppendResponse if m.term == self.term() && self.is_leader() => {
                let matched = self.node.raft.prs().get(m.from).map_or(0, |p| p.matched);
                if !m.reject && m.index > log.last_index() {
                    Err(StepError::Inconsistent)
                } else if m.reject && m.request_snapshot == 0 && m.index <= matched {
                    // raft 0.7.0 would step back behind what was acknowledged.
                    Err(StepError::Dropped)
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }

    /// Appends what must be written now to `out`; `None` if nothing must.
    pub fn ready(&mut self, out: &mut Vec<LogWrite>) -> Option<Ticket> {
        self.pump();
        if self.writes.is_empty() {
            return None;
        }
        out.append(&mut self.writes);
        Some(Ticket(self.last_write))
    }

    /// The writes of `ticket`, and of all before it, are durable. Returns what
    /// is committed and was not returned yet.
    pub fn persisted(&mut self, ticket: Ticket) -> Vec<Committed> {
        self.durable = self.durable.max(ticket.0);
        self.node.on_persist_ready(ticket.0);
        if self.single && self.is_leader() {
            self.deliver();
        } else {
            self.pump();
        }
        std::mem::take(&mut self.committed)
    }

    /// What is committed and was not returned yet: followers learn of commits by
    /// messages, and a restart finds them in the log.
    pub fn committed(&mut self) -> Vec<Committed> {
        self.pump();
        std::mem::take(&mut self.committed)
    }

    /// Messages to peers that may leave now, in order.
    pub fn take_messages(&mut self) -> Vec<Message> {
        if !self.single {
            self.pump();
        }
        std::mem::take(&mut self.messages)
    }

    /// Entries up to `index` are applied. A single voter forgets them; others
    /// keep them for followers until [`Group::compact`].
    pub fn applied(&mut self, index: u64) {
        let log = &self.node.raft.raft_log;
        // raft panics beyond these bounds.
        let index = index.min(log.committed).min(log.persisted);
        if index <= log.applied {
            return;
        }
        self.node.advance_apply_to(index);
        if self.single {
            self.node.mut_store().compact(index);
        }
    }

    /// Forgets entries up to `index`, at most what is applied. A follower that
    /// still needs them gets a snapshot.
    pub fn compact(&mut self, index: u64) {
        let index = index.min(self.applied_index());
        self.node.mut_store().compact(index);
    }

    /// Applies a committed change of members. Damaged data changes nothing.
    pub fn apply_change(&mut self, entry: &Committed) {
        let change = match entry.kind {
            EntryKind::Normal => return,
            EntryKind::Change => {
                ConfChange::decode(entry.data.clone()).map(raft_proto::ConfChangeI::into_v2)
            }
            EntryKind::ChangeV2 => ConfChangeV2::decode(entry.data.clone()),
        };
        if let Ok(change) = change
            && let Ok(conf) = self.node.apply_conf_change(&change)
        {
            self.single = conf.learners.is_empty()
                && conf.voters_outgoing.is_empty()
                && conf.voters == [self.node.raft.id];
            self.node.mut_store().set_conf(conf);
        }
    }

    /// Gives followers that are behind the log a snapshot as of the applied
    /// index. `data` is small: how to fetch the state, not the state.
    pub fn offer_snapshot(&mut self, data: Bytes) {
        let index = self.applied_index();
        let Some(term) = self.node.store().term_of(index) else { return };
        let mut snapshot = Snapshot { data, metadata: None };
        let conf = self.members().clone();
        let meta = snapshot.mut_metadata();
        (meta.index, meta.term) = (index, term);
        meta.set_conf_state(conf);
        self.node.mut_store().offer(snapshot);
    }

    /// Moves everything raft has to say into our queues.
    fn pump(&mut self) {
        if self.node.has_ready() {
            let mut ready = self.node.ready();
            let number = ready.number();
            let before = self.writes.len();
            if !ready.snapshot().is_empty() {
                let meta = ready.snapshot().get_metadata();
                let (term, index) = (meta.term, meta.index);
                let data = ready.snapshot().data.clone();
                self.writes.push(LogWrite::Snapshot { group: self.group, term, index, data });
                self.node.mut_store().install(ready.snapshot());
                self.delivered = index;
            }
            if let Some(h) = ready.hs()
                && (h.term, h.vote) != self.vote
            {
                self.vote = (h.term, h.vote);
                self.writes.push(LogWrite::HardState {
                    group: self.group,
                    term: h.term,
                    vote: h.vote,
                    commit: h.commit,
                });
            }
            let entries = ready.take_entries();
            self.writes.extend(entries.iter().map(|e| LogWrite::Entry {
                group: self.group,
                term: e.term,
                index: e.index,
                kind: EntryKind::of(e),
                data: e.data.clone(),
            }));
            self.node.mut_store().append(entries);
            if self.writes.len() > before {
                self.last_write = number;
            }
            // A leader's messages leave while it writes, all others after it.
            self.messages.append(&mut ready.take_messages());
            let need = self.last_write;
            self.held.extend(ready.take_persisted_messages().into_iter().map(|m| (need, m)));
            self.collect(ready.take_committed_entries());
            self.node.advance_append_async(ready);
            if self.durable >= self.last_write {
                // Nothing to write: without this raft would keep a record of
                // each such turn for ever.
                self.node.on_persist_ready(number);
            }
        }
        while let Some((need, _)) = self.held.front()
            && *need <= self.durable
        {
            self.messages.extend(self.held.pop_front().map(|(_, m)| m));
        }
    }

    /// Takes committed entries straight from the log: a round through raft's
    /// `Ready` for them would be half the cost of a batch. They are told to raft
    /// with the next one, which skips those that are applied by then.
    fn deliver(&mut self) {
        let log = &self.node.raft.raft_log;
        let upto = log.committed.min(log.persisted);
        if upto > self.delivered {
            // Persisted entries are in the log until they are applied.
            let entries = self.node.store().range(self.delivered + 1, upto).cloned().collect();
            self.collect(entries);
        }
    }

    fn collect(&mut self, entries: Vec<Entry>) {
        for e in entries {
            if e.index <= self.delivered {
                continue;
            }
            self.delivered = e.index;
            self.uncommitted = self.uncommitted.saturating_sub(e.data.len());
            let kind = EntryKind::of(&e);
            self.committed.push(Committed { index: e.index, term: e.term, kind, data: e.data });
        }
        if !self.is_leader() {
            // What it proposed may never commit.
            self.uncommitted = 0;
        }
    }
}

/// Replica id of a group's only replica.
const SINGLE_NODE: u64 = 1;

#[cfg(test)]
#[path = "group_test.rs"]
mod tests;

#[cfg(test)]
#[path = "model_test.rs"]
mod model;
