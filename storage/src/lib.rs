//! Gust's storage engine: one write-ahead log per node, block files per stream,
//! and the indexes over them. No network, no tokio, no clock.
//!
//! Formats are documents first: see `storage/docs/`.

pub mod block;
pub mod disk;
pub mod index;
pub mod record;
pub mod store;
pub mod wal;
