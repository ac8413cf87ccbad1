//! Timers of a shard: one sorted queue for all its connections and streams, so
//! an idle connection costs an entry, not a task.

use crate::client::{Client, signal};
use crate::clock;
use crate::shard::Shard;
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// Connection timers, earliest first.
#[derive(Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<Entry>>,
    /// When the timer task will look next, ns; `i64::MAX` = never.
    armed: Cell<i64>,
    wake: Rc<Notify>,
}

struct Entry {
    at: i64,
    cid: u64,
    client: Weak<Client>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.cid) == (other.at, other.cid)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.cid).cmp(&(other.at, other.cid))
    }
}

impl Timers {
    /// Signals [`signal::TIMER`] to `client` at `at` (ns since the epoch).
    pub fn set(&mut self, client: &Arc<Client>, at: i64) {
        self.heap.push(Reverse(Entry { at, cid: client.cid, client: Arc::downgrade(client) }));
        self.arm(at);
    }

    /// Makes sure the timer task looks no later than `at`.
    pub fn arm(&self, at: i64) {
        if at < self.armed.get() {
            self.armed.set(at);
            self.wake.notify_one();
        }
    }

    fn fire(&mut self, now: i64) -> i64 {
        while let Some(Reverse(e)) = self.heap.peek() {
            if e.at > now {
                return e.at;
            }
            if let Some(client) = self.heap.pop().and_then(|e| e.0.client.upgrade()) {
                client.signal(signal::TIMER);
            }
        }
        i64::MAX
    }
}

/// The timer task of a shard.
pub async fn run(shard: Rc<Shard>) {
    let wake = shard.timers.borrow().wake.clone();
    loop {
        let now = clock::now();
        let mut next = shard.timers.borrow_mut().fire(now);
        let engine = shard.engine.borrow().next_deadline();
        if engine <= now {
            shard.schedule();
            // The turn moves the deadline; do not spin before it ran.
            next = next.min(now + 1_000_000);
        } else {
            next = next.min(engine);
        }
        shard.timers.borrow().armed.set(next);
        let wait =
            Duration::from_nanos(next.saturating_sub(now).clamp(0, 3_600_000_000_000) as u64);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = wake.notified() => {}
        }
    }
}
