//! Pull requests that wait for messages, served turn by turn.

use crate::effect::Nanos;
use bytes::Bytes;
use std::collections::VecDeque;

/// A waiting pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Where messages go.
    pub reply: Bytes,
    /// Messages still wanted, at least 1.
    pub left: u64,
    /// Messages delivered.
    pub got: u64,
    /// Bytes still wanted; 0 = no bound.
    pub bytes: u64,
    /// When it ends; `None` = never.
    pub expires: Option<Nanos>,
    /// Ends as soon as nothing is left to deliver.
    pub no_wait: bool,
    /// Heartbeat interval, ns; 0 = none.
    pub heartbeat: Nanos,
    /// When the next heartbeat is due.
    pub heartbeat_at: Option<Nanos>,
    /// Priority fields; `None` for bodies that were no document.
    pub group: Option<Group>,
    /// Last turn in which the reply was seen to have interest.
    pub seen: u64,
}

/// Priority fields of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Group name.
    pub name: Bytes,
    /// `overflow` minimum of pending messages; 0 = none.
    pub min_pending: u64,
    /// `overflow` minimum of unacknowledged messages; 0 = none.
    pub min_ack_pending: u64,
    /// Pin of the request, or empty.
    pub id: Bytes,
    /// `prioritized`: lower is served first.
    pub priority: u8,
}

/// The queue. Bounded by `max_waiting`; a full queue refuses.
#[derive(Debug, Default)]
pub struct Queue {
    list: VecDeque<Waiting>,
    /// Cached answer of `next_event`; `None` = must be computed.
    event: Option<Option<Nanos>>,
    /// Upper bound of requests with `no_wait`.
    no_wait: usize,
}

impl Queue {
    /// Requests waiting.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Messages all waiting requests still want.
    pub fn wanted(&self) -> u64 {
        self.list.iter().fold(0, |sum, w| sum.saturating_add(w.left))
    }

    /// The requests in the order they are served.
    pub fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.list.iter()
    }

    /// Appends a request; with `prioritized` behind those of its priority.
    pub fn push(&mut self, w: Waiting, prioritized: bool) {
        self.event = None;
        self.no_wait += usize::from(w.no_wait);
        if !prioritized {
            self.list.push_back(w);
            return;
        }
        let rank = rank(&w);
        let at = self.list.partition_point(|o| self::rank(o) <= rank);
        self.list.insert(at, w);
    }

    /// The one to serve next.
    pub fn front(&self) -> Option<&Waiting> {
        self.list.front()
    }

    /// The one to serve next. Its times may be changed.
    pub fn front_mut(&mut self) -> Option<&mut Waiting> {
        self.event = None;
        self.list.front_mut()
    }

    /// Removes the front.
    pub fn pop(&mut self) -> Option<Waiting> {
        self.event = None;
        self.list.pop_front()
    }

    /// Sends the front to the back.
    pub fn cycle(&mut self) {
        if self.list.len() > 1 {
            self.list.rotate_left(1);
        }
    }

    /// After a delivery to the front: it goes behind the others, or behind those
    /// of its priority.
    pub fn requeue(&mut self, prioritized: bool) {
        if !prioritized {
            self.cycle();
        } else if self.list.len() > 1
            && let Some(w) = self.list.pop_front()
        {
            self.push(w, true);
        }
    }

    /// Keeps the requests for which `keep` says so; `keep` may change them.
    pub fn retain(&mut self, keep: impl FnMut(&mut Waiting) -> bool) {
        self.event = None;
        self.list.retain_mut(keep);
        self.no_wait = self.list.iter().filter(|w| w.no_wait).count();
    }

    /// Whether somebody may have to be told that nothing is left.
    pub fn has_no_wait(&self) -> bool {
        self.no_wait > 0
    }

    /// Takes everything out.
    pub fn drain(&mut self) -> impl Iterator<Item = Waiting> + '_ {
        (self.event, self.no_wait) = (None, 0);
        self.list.drain(..)
    }

    /// The earliest expiry or heartbeat.
    pub fn next_event(&mut self) -> Option<Nanos> {
        if let Some(known) = self.event {
            return known;
        }
        let at = self.list.iter().flat_map(|w| [w.expires, w.heartbeat_at]).flatten().min();
        self.event = Some(at);
        at
    }
}

fn rank(w: &Waiting) -> u32 {
    // Requests without a document rank last, as in nats-server.
    w.group.as_ref().map_or(u32::MAX, |g| u32::from(g.priority))
}
