//! JetStream in this process: the log lane, the registry of assets, the engines
//! of the shards, recovery and the API.

use gust_storage::disk::Disk;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

pub mod actor;
#[cfg(test)]
mod actor_test;
pub mod api;
pub mod assets;
pub mod checkpoint;
pub mod coverage;
pub mod engine;
mod facts;
pub mod health;
pub mod interest;
pub mod lane;
pub mod limits;
pub mod recovery;
pub mod slot;
pub mod store;
pub mod subjects;
pub mod switch;

pub use recovery::{hand_over, start, stop};

/// What the parts of JetStream share.
pub struct JetStream {
    /// Domain, or empty.
    pub domain: String,
    /// Directory with everything, ends in `/jetstream`.
    pub store_dir: String,
    /// The disk below it.
    pub disk: Arc<dyn Disk>,
    /// The log lane.
    pub lane: lane::Lane,
    /// Runs checkpoints off the shards.
    pub checkpointer: checkpoint::Checkpointer,
    /// Streams by account and name.
    pub assets: assets::Assets,
    /// Limits of the server.
    pub limits: limits::ServerLimits,
    /// Whether unknown members of requests are refused.
    pub strict: bool,
    /// It was turned off: nothing new begins.
    pub stopped: AtomicBool,
    /// API calls being answered now.
    pub inflight: AtomicU64,
    /// Streams that could not be recovered, with the reason.
    pub damaged: Vec<Damaged>,
    threads: parking_lot::Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl JetStream {
    /// Everything the registry was told is logged below this.
    fn meta_lsn(&self) -> gust_storage::wal::Lsn {
        self.assets.logged_lsn()
    }
}

/// A stream that is there on disk but not served.
#[derive(Debug, Clone)]
pub struct Damaged {
    /// Account.
    pub account: String,
    /// Stream.
    pub stream: String,
    /// Its record in the registry.
    pub record: assets::AssetRecord,
    /// What is wrong and what to do.
    pub why: String,
}
