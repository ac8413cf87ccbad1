//! A subscription: who asked for which subject, and where its messages go.

use crate::client::Client;
use crate::exchange::service::Link;
use crate::exchange::shadow::Shadow;
use crate::route::OwnedMessage;
use crate::shard::mailbox::StreamCall;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use gust_account::DeliveryFilter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

/// One entry of an account's interest.
#[derive(Debug)]
pub struct Subscription {
    /// Subject or wildcard subject.
    pub subject: Bytes,
    /// Queue group, or empty.
    pub queue: Bytes,
    /// The client's own name for it.
    pub sid: Bytes,
    /// Unique in the process; orders and identifies entries of the interest.
    pub id: u64,
    /// Where messages go.
    pub target: Target,
    /// Messages after which it ends; 0 = never.
    pub max: AtomicU64,
    /// Messages delivered since SUB.
    pub delivered: AtomicU64,
    /// Ended, though a cached match may still name it.
    pub closed: AtomicBool,
    /// Subjects it must not see although it asked wider (contract core.md §4.3).
    pub filter: FilterCell,
}

/// The filter of a subscription, which a reload may set, change or remove while
/// messages are on their way.
#[derive(Debug, Default)]
pub struct FilterCell {
    on: AtomicBool,
    filter: ArcSwapOption<DeliveryFilter>,
}

impl FilterCell {
    /// A cell with this filter.
    pub fn new(filter: Option<DeliveryFilter>) -> Self {
        let cell = FilterCell::default();
        if filter.is_some() {
            cell.set(filter);
        }
        cell
    }

    /// Puts another filter in force.
    pub fn set(&self, filter: Option<DeliveryFilter>) {
        let on = filter.is_some();
        self.filter.store(filter.map(Arc::new));
        self.on.store(on, Relaxed);
    }

    /// Whether a message with this subject may be delivered.
    pub fn passes(&self, subject: &[u8]) -> bool {
        // Most subscriptions have none: they pay for one flag beside `closed`.
        !self.on.load(Relaxed)
            || self.filter.load().as_ref().is_none_or(|filter| filter.passes(subject))
    }
}

/// Where the messages of a subscription go.
#[derive(Debug)]
pub enum Target {
    /// To a client's outbound queue.
    Client(Arc<Client>),
    /// To a stream on the shard that owns it.
    Stream {
        /// Owning shard.
        shard: usize,
        /// The stream's raft group.
        group: u64,
        /// What the message means to the stream.
        call: StreamCall,
    },
    /// To a service of the server itself.
    Service(Service),
    /// To a task of the server; dropped when the channel is full.
    Channel(tokio::sync::mpsc::Sender<OwnedMessage>),
    /// To a subscription of an account that imports this stream.
    Shadow(Box<Shadow>),
    /// To the account that exports this service.
    Import(Arc<Link>),
    /// Back to those who asked through a service import.
    Responses,
}

/// Services the server answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// `$JS.API.>` and its domain form.
    JetStreamApi,
    /// `$SYS.REQ.>` of ordinary accounts and of the system account.
    System,
    /// Requests that read and change account tokens.
    Claims,
}

/// Outcome of counting a delivery against `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// Deliver.
    Yes,
    /// Deliver, and it was the last one: the subscription has ended.
    Last,
    /// Ended before.
    No,
}

impl Subscription {
    /// Counts one delivery.
    pub fn take(&self) -> Take {
        if self.closed.load(Relaxed) {
            return Take::No;
        }
        // In the opposite order of `end_after`: one of both sees the other.
        let n = self.delivered.fetch_add(1, SeqCst) + 1;
        let max = self.max.load(SeqCst);
        if max == 0 || n < max {
            Take::Yes
        } else if n == max {
            self.closed.store(true, Relaxed);
            Take::Last
        } else {
            Take::No
        }
    }

    /// Lets it end after `max` (not 0) deliveries since SUB. True: it has had them
    /// already, and nobody else will remove it.
    pub fn end_after(&self, max: u64) -> bool {
        self.max.store(max, SeqCst);
        self.delivered.load(SeqCst) >= max
    }

    /// The client that made it, if a client did.
    pub fn client(&self) -> Option<&Arc<Client>> {
        match &self.target {
            Target::Client(c) => Some(c),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn sub() -> Subscription {
        Subscription {
            subject: Bytes::new(),
            queue: Bytes::new(),
            sid: Bytes::new(),
            id: 1,
            target: Target::Responses,
            max: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            filter: FilterCell::default(),
        }
    }

    #[test]
    fn the_last_delivery_ends_it() {
        let sub = sub();
        assert_eq!(sub.take(), Take::Yes);
        assert!(!sub.end_after(3));
        assert_eq!([sub.take(), sub.take(), sub.take()], [Take::Yes, Take::Last, Take::No]);
        assert!(sub.end_after(2));
    }

    #[test]
    fn whoever_comes_first_a_used_up_subscription_is_noticed() {
        const ROUNDS: usize = 2000;
        let subs: Vec<Subscription> = (0..ROUNDS).map(|_| sub()).collect();
        let at = [const { AtomicUsize::new(0) }; 2];
        // Both begin a round as nearly at the same time as can be.
        let meet = |me: usize, round: usize| {
            at[me].store(round + 1, SeqCst);
            let mut looks = 0;
            while at[1 - me].load(SeqCst) <= round {
                looks += 1;
                if looks % 1000 == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
            }
        };
        let ends = std::thread::scope(|scope| {
            let delivering = scope.spawn(|| {
                let taken = subs.iter().enumerate().map(|(round, sub)| {
                    meet(0, round);
                    sub.take() == Take::Last
                });
                taken.collect::<Vec<_>>()
            });
            let ending = subs.iter().enumerate().map(|(round, sub)| {
                meet(1, round);
                sub.end_after(1)
            });
            let ending: Vec<_> = ending.collect();
            std::iter::zip(delivering.join().unwrap(), ending).collect::<Vec<_>>()
        });
        assert!(ends.iter().all(|(last, ended)| *last || *ended));
    }
}
