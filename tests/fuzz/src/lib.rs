//! Fuzz targets: everything that takes bytes from a socket or a disk. Each
//! function must neither panic nor hang nor take memory out of proportion, and
//! asserts what is true of any input.
//!
//! Checksums would keep a fuzzer out of the formats behind them; where one
//! stands in the way the target computes it.

mod disk;
mod identity;
mod login;
mod stream;
mod text;
mod websocket;
mod wire;

pub use disk::{block_file, index_checkpoint, record_frames, wal_open};
pub use identity::{certificate, jwt, nkey};
pub use login::{callout_answer, login};
pub use stream::{consumer_delta, snapshot_v1, snapshot_v2, stream_log};
pub use text::{config, connect_json, jetstream_json};
pub use websocket::{websocket_frames, websocket_upgrade};
pub use wire::{client_parser, headers, proxy_header, s2_stream};
