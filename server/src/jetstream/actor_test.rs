//! What a panic in a stream's code does.

use super::actor::Actor;
use crate::account::AccountState;
use gust_jetstream::config::StreamConfig;
use gust_jetstream::stream::{Identity, Stream};
use gust_raft::{Group, Restored};
use gust_storage::store::memory::MemoryStore;
use std::cell::Cell;
use std::sync::Arc;

#[test]
fn a_panic_stops_the_stream_for_good() {
    let config = StreamConfig { name: "S".to_owned(), ..StreamConfig::default() };
    let stream = Stream::new(Identity::default(), config, Box::new(MemoryStore::new()));
    let group = Group::single(1, Restored::default()).unwrap();
    let mut actor = Actor::new(stream, group, Arc::new(AccountState::new("A")), true);
    assert_eq!(actor.guarded(|a| a.group_id()), Some(1));
    assert_eq!(actor.stream.poisoned(), None);
    let (answer, mut waiter) = tokio::sync::oneshot::channel();
    actor.when_leading(answer);
    assert_eq!(actor.guarded(|_| -> u64 { panic!("as raft-rs does on impossible states") }), None);
    assert!(actor.stream.poisoned().is_some());
    assert!(waiter.try_recv().is_err(), "nobody may wait for it");
    let called = Cell::new(false);
    assert_eq!(actor.guarded(|_| called.set(true)), None);
    assert!(!called.get());
}
