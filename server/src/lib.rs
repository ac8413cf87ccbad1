//! The shell of Gust: everything that touches sockets, the clock, signals and
//! threads. It moves bytes and executes effects; what is hard is decided in the
//! pure crates below `server/crates` and in the storage and raft engines.

pub mod account;
mod ask;
pub mod callout;
pub mod client;
pub mod client_registry;
pub mod clock;
pub mod command_line;
pub mod config_diff;
pub mod connection;
pub mod exchange;
pub mod explain;
pub mod files;
pub mod identity;
pub mod jetstream;
pub mod listener;
pub mod log;
pub mod monitor;
pub mod ocsp;
pub mod operators;
pub mod passwords;
pub mod reload;
pub mod resolver;
pub mod route;
pub mod rules;
pub mod run;
pub mod server;
pub mod shard;
pub mod signals;
pub mod stats;
pub mod subscription;
pub mod system;
pub mod tls;
pub mod trace;
pub mod websocket;
