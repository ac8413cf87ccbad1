//! Interest: which subscriptions get a message.
//!
//! [`Sublist`] is the trie of one account's subscriptions, [`SharedSublist`] the
//! same behind a lock with generations, [`MatchCache`] what one connection
//! remembers of it so that a publish on a known subject takes no lock.

pub mod cache;
mod members;
pub mod pick;
pub mod result;
pub mod shared;
pub mod sublist;
#[cfg(test)]
mod sublist_test;
mod walk;

pub use cache::{CacheStats, MatchCache};
pub use pick::pick;
pub use result::{MatchResult, QueueMatch};
pub use shared::SharedSublist;
pub use sublist::{Sublist, SublistStats};
pub use walk::Found;
