//! The simulator: the real deciders and engines (streams, raft groups, log,
//! stores) on the hostile disk, in one thread, from one seed.
//!
//! - [`node`]: a node as a struct with an inbox, an outbox and steps;
//!   [`actor`], [`lane`] and [`recovery`] are its parts, glued as the server does,
//! - [`client`] and [`config`]: random requests to random streams,
//! - [`world`]: the scheduler, owner of time and randomness; it interleaves the
//!   steps, cuts the power at any disk operation, fills the disk, fails syncs,
//!   and at the end flips a bit,
//! - [`oracle`] and [`naive`]: the judge,
//! - [`liar`]: a disk that breaks its word, to prove that the judge notices,
//! - [`rng`], [`trace`].

pub mod actor;
pub mod client;
pub mod config;
pub mod lane;
pub mod liar;
pub mod naive;
pub mod node;
pub mod oracle;
pub mod recovery;
pub mod rng;
pub mod trace;
pub mod world;

pub use world::{Options, Summary, World};

/// Runs one seed.
pub fn run(seed: u64, options: Options) -> Result<Summary, String> {
    World::new(seed, options)?.run()
}

/// The seeds to run: `GUST_SEED=n`, else `GUST_SEEDS=n..m` (or `m` for `0..m`),
/// else `default`; and whether to print the trace.
pub fn seeds(default: std::ops::Range<u64>) -> (std::ops::Range<u64>, bool) {
    let var = |name| std::env::var(name).ok();
    if let Some(n) = var("GUST_SEED").and_then(|s| s.parse().ok()) {
        return (n..n + 1, true);
    }
    let range = var("GUST_SEEDS").and_then(|s| match s.split_once("..") {
        Some((from, to)) => Some(from.parse().ok()?..to.parse().ok()?),
        None => Some(0..s.parse().ok()?),
    });
    (range.unwrap_or(default), false)
}
