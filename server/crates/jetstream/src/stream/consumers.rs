//! The consumers of a stream: found by name, woken by subject, by call or by
//! time. An idle one costs nothing in a turn.

use super::Cx;
use crate::consumer::{self, Consumer, Stop, StreamFacts, Wake};
use crate::effect::{Effect, Interest, Nanos};
use bytes::Bytes;
use gust_storage::store::{Removed, StreamStore};
use gust_subject::matches;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Place of a consumer in the slab.
type Id = usize;

#[derive(Debug)]
struct Slot {
    consumer: Consumer,
    /// In the queue of those with something to deliver.
    awake: bool,
    /// In the list of those whose delta and deadline must be looked at.
    touched: bool,
    /// As it stands in the set of deadlines.
    deadline: Option<Nanos>,
    /// Asked for its own deletion.
    expired: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    names: BTreeMap<String, Id>,
    slots: Vec<Option<Slot>>,
    free: Vec<Id>,
    unfiltered: Vec<Id>,
    literal: HashMap<Bytes, SmallVec<[Id; 2]>, foldhash::fast::FixedState>,
    wild: Vec<(Bytes, Id)>,
    awake: VecDeque<Id>,
    touched: Vec<Id>,
    deadlines: BTreeSet<(Nanos, Id)>,
    epoch: u64,
    leading: bool,
}

/// What a consumer's call may look at, made from the stream's parts.
fn inner<'a>(
    store: &'a dyn StreamStore,
    facts: &'a StreamFacts,
    now: Nanos,
    interest: &'a dyn Interest,
    out: &'a mut Vec<Effect>,
) -> consumer::Cx<'a> {
    consumer::Cx { now, store, interest, stream: facts, out }
}

impl Consumers {
    /// How many.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// In order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Consumer> {
        self.names.values().filter_map(|id| self.slots.get(*id)?.as_ref()).map(|s| &s.consumer)
    }

    /// By name.
    pub fn get(&self, name: &str) -> Option<&Consumer> {
        self.slot(*self.names.get(name)?).map(|s| &s.consumer)
    }

    fn slot(&self, id: Id) -> Option<&Slot> {
        self.slots.get(id)?.as_ref()
    }

    fn slot_mut(&mut self, id: Id) -> Option<&mut Slot> {
        self.slots.get_mut(id)?.as_mut()
    }

    /// Adds a consumer; its name must be free.
    pub fn insert(&mut self, consumer: Consumer) {
        let name = consumer.name().to_owned();
        let slot = Slot { consumer, awake: false, touched: false, deadline: None, expired: false };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id] = Some(slot);
                id
            }
            None => {
                self.slots.push(Some(slot));
                self.slots.len() - 1
            }
        };
        self.names.insert(name, id);
        self.index(id);
    }

    /// Takes a consumer out.
    pub fn remove(&mut self, name: &str) -> Option<Consumer> {
        let id = self.names.remove(name)?;
        self.unindex(id);
        let slot = self.slots.get_mut(id)?.take()?;
        if let Some(at) = slot.deadline {
            self.deadlines.remove(&(at, id));
        }
        self.awake.retain(|a| *a != id);
        self.touched.retain(|t| *t != id);
        self.free.push(id);
        Some(slot.consumer)
    }

    fn index(&mut self, id: Id) {
        let Some(slot) = self.slots.get(id).and_then(Option::as_ref) else { return };
        let mut everything = true;
        for f in slot.consumer.config().filters().filter(|f| *f != ">") {
            everything = false;
            let filter = Bytes::copy_from_slice(f.as_bytes());
            if gust_subject::has_wildcards(&filter) {
                self.wild.push((filter, id));
            } else {
                self.literal.entry(filter).or_default().push(id);
            }
        }
        if everything || slot.consumer.config().filters().any(|f| f == ">") {
            self.unfiltered.push(id);
        }
    }

    fn unindex(&mut self, id: Id) {
        self.unfiltered.retain(|i| *i != id);
        self.wild.retain(|(_, i)| *i != id);
        self.literal.retain(|_, ids| {
            ids.retain(|i| *i != id);
            !ids.is_empty()
        });
    }

    /// Whether any consumer's filter covers `subject`.
    pub fn wants(&self, subject: &[u8]) -> bool {
        !self.unfiltered.is_empty()
            || self.literal.contains_key(subject)
            || self.wild.iter().any(|(f, _)| matches(subject, f))
    }

    /// Whether a message must be kept for one of the consumers.
    pub fn need(&self, seq: u64, subject: &[u8]) -> bool {
        self.iter().any(|c| c.needs(seq, subject))
    }

    /// A message was stored: those whose filter matches wake up.
    pub fn on_stored(&mut self, seq: u64, subject: &[u8]) {
        if self.names.is_empty() || !self.leading {
            return;
        }
        for i in 0..self.unfiltered.len() {
            self.stored(self.unfiltered[i], seq, subject);
        }
        if !self.literal.is_empty()
            && let Some(ids) = self.literal.get(subject)
        {
            for id in ids.clone() {
                self.stored(id, seq, subject);
            }
        }
        let mut last = None;
        for i in 0..self.wild.len() {
            let (filter, id) = &self.wild[i];
            // Overlapping filters of one consumer stand next to each other.
            if last != Some(*id) && matches(subject, filter) {
                let id = *id;
                last = Some(id);
                self.stored(id, seq, subject);
            }
        }
    }

    fn stored(&mut self, id: Id, seq: u64, subject: &[u8]) {
        let Some(slot) = self.slot_mut(id) else { return };
        let wake = slot.consumer.on_stored(seq, subject);
        self.note(id, wake);
    }

    /// A message was removed.
    pub fn on_removed(
        &mut self,
        removed: &Removed,
        store: &dyn StreamStore,
        facts: &StreamFacts,
        cx: &mut Cx<'_>,
    ) {
        self.each(store, facts, cx, |c, cx| c.on_removed(cx, removed));
    }

    /// Many messages were removed.
    pub fn on_bulk_removed(
        &mut self,
        store: &dyn StreamStore,
        facts: &StreamFacts,
        cx: &mut Cx<'_>,
    ) {
        self.each(store, facts, cx, |c, cx| c.on_bulk_removed(cx));
    }

    fn each(
        &mut self,
        store: &dyn StreamStore,
        facts: &StreamFacts,
        cx: &mut Cx<'_>,
        mut f: impl FnMut(&mut Consumer, &mut consumer::Cx<'_>) -> Wake,
    ) {
        if self.names.is_empty() || !self.leading {
            return;
        }
        for id in 0..self.slots.len() {
            let Some(slot) = self.slot_mut(id) else { continue };
            let mut ccx = inner(store, facts, cx.now, cx.interest, cx.fx);
            let wake = f(&mut slot.consumer, &mut ccx);
            self.note(id, wake);
        }
    }

    /// Calls one consumer and notes what it asks for; `None` if there is none of
    /// that name.
    pub fn call<T>(
        &mut self,
        name: &str,
        store: &dyn StreamStore,
        facts: &StreamFacts,
        cx: &mut Cx<'_>,
        f: impl FnOnce(&mut Consumer, &mut consumer::Cx<'_>) -> (Wake, T),
    ) -> Option<T> {
        let id = *self.names.get(name)?;
        let slot = self.slot_mut(id)?;
        let mut ccx = inner(store, facts, cx.now, cx.interest, cx.fx);
        let (wake, out) = f(&mut slot.consumer, &mut ccx);
        self.note(id, wake);
        Some(out)
    }

    /// As [`Consumers::call`] for a change of the configuration.
    pub fn reconfigure(
        &mut self,
        name: &str,
        config: crate::config::ConsumerConfig,
        store: &dyn StreamStore,
        facts: &StreamFacts,
        cx: &mut Cx<'_>,
    ) {
        let Some(&id) = self.names.get(name) else { return };
        self.unindex(id);
        self.call(name, store, facts, cx, |c, cx| (c.update_config(cx, config), ()));
        self.index(id);
    }

    fn note(&mut self, id: Id, wake: Wake) {
        let Some(slot) = self.slots.get_mut(id).and_then(Option::as_mut) else { return };
        slot.expired |= wake.delete;
        if wake.deliver && !slot.awake {
            slot.awake = true;
            self.awake.push_back(id);
        }
        if !slot.touched {
            slot.touched = true;
            self.touched.push(id);
        }
    }

    /// Every consumer begins to run here.
    pub fn lead(
        &mut self,
        epoch: u64,
        store: &dyn StreamStore,
        facts: &StreamFacts,
        cx: &mut Cx<'_>,
    ) {
        self.leading = true;
        self.epoch = epoch;
        let names: Vec<String> = self.names.keys().cloned().collect();
        for name in names {
            self.lead_one(&name, store, facts, cx);
        }
    }

    /// One consumer begins to run here, if this replica leads.
    pub fn lead_one(
        &mut self,
        name: &str,
        store: &dyn StreamStore,
        facts: &StreamFacts,
        cx: &mut Cx<'_>,
    ) {
        if !self.leading {
            return;
        }
        let Some(&id) = self.names.get(name) else { return };
        let (seed, epoch) = (mix(cx.random, id as u64), self.epoch);
        self.call(name, store, facts, cx, |c, cx| {
            c.lead(cx, seed, epoch);
            (Wake { deliver: true, delete: false }, ())
        });
    }

    /// Every consumer stops running here.
    pub fn stop(
        &mut self,
        why: Stop,
        store: &dyn StreamStore,
        facts: &StreamFacts,
        cx: &mut Cx<'_>,
    ) {
        self.leading = false;
        for slot in self.slots.iter_mut().flatten() {
            slot.consumer.stop(&mut inner(store, facts, cx.now, cx.interest, cx.fx), why);
            (slot.awake, slot.touched, slot.deadline) = (false, false, None);
        }
        self.awake.clear();
        self.touched.clear();
        self.deadlines.clear();
    }

    /// Delivers up to `budget` messages, turn by turn; returns what is left of
    /// the budget. Effects of consumers for which `hold` is true go to the
    /// second list: they wait until the delivery is logged.
    pub fn deliver(
        &mut self,
        mut budget: usize,
        store: &dyn StreamStore,
        facts: &StreamFacts,
        cx: &mut Cx<'_>,
        hold: impl Fn(&Consumer) -> bool,
        held: &mut Vec<Effect>,
    ) -> usize {
        // A share small enough that one busy consumer does not starve the rest.
        const SHARE: usize = 64;
        for _ in 0..self.awake.len().saturating_mul(8) {
            if budget == 0 {
                break;
            }
            let Some(id) = self.awake.pop_front() else { break };
            let Some(slot) = self.slot_mut(id) else { continue };
            slot.awake = false;
            let out = if hold(&slot.consumer) { &mut *held } else { &mut *cx.fx };
            let before = out.len();
            let share = budget.min(SHARE);
            let mut ccx = inner(store, facts, cx.now, cx.interest, out);
            let more = slot.consumer.deliver(&mut ccx, share);
            let used = (out.len() - before).clamp(1, share);
            budget -= used;
            self.note(id, Wake { deliver: more, delete: false });
        }
        budget
    }

    /// Whether somebody waits for [`Consumers::deliver`].
    pub fn is_awake(&self) -> bool {
        !self.awake.is_empty()
    }

    /// Whether somebody was touched since [`Consumers::settle`].
    pub fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Looks at all that were touched: `delta` gets each consumer to log what it
    /// did, their deadlines are noted, and the names of those that want to be
    /// deleted are returned.
    pub fn settle(&mut self, mut delta: impl FnMut(&mut Consumer)) -> Vec<String> {
        let mut expired = Vec::new();
        for id in std::mem::take(&mut self.touched) {
            let Some(slot) = self.slots.get_mut(id).and_then(Option::as_mut) else { continue };
            slot.touched = false;
            delta(&mut slot.consumer);
            let next = slot.consumer.next_deadline();
            if next != slot.deadline {
                if let Some(at) = slot.deadline {
                    self.deadlines.remove(&(at, id));
                }
                if let Some(at) = next {
                    self.deadlines.insert((at, id));
                }
                slot.deadline = next;
            }
            if std::mem::take(&mut slot.expired) {
                expired.push(slot.consumer.name().to_owned());
            }
        }
        expired
    }

    /// First deadline.
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.deadlines.first().map(|d| d.0)
    }

    /// Wakes everybody whose deadline has come.
    pub fn on_timer(&mut self, store: &dyn StreamStore, facts: &StreamFacts, cx: &mut Cx<'_>) {
        while let Some(&(at, id)) = self.deadlines.first()
            && at <= cx.now
        {
            self.deadlines.remove(&(at, id));
            let Some(slot) = self.slot_mut(id) else { continue };
            slot.deadline = None;
            let mut ccx = inner(store, facts, cx.now, cx.interest, cx.fx);
            let wake = slot.consumer.on_timer(&mut ccx);
            self.note(id, wake);
        }
    }

    /// The account's interest changed: push consumers look again.
    pub fn on_interest(&mut self, store: &dyn StreamStore, facts: &StreamFacts, cx: &mut Cx<'_>) {
        self.each(store, facts, cx, |c, cx| match c.config().deliver_subject.is_empty() {
            true => Wake::default(),
            false => c.on_interest(cx),
        });
    }
}

/// Different numbers for different consumers out of one random number.
pub(super) fn mix(random: u64, salt: u64) -> u64 {
    let mut x = random ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
