//! The messages of raft 0.7.0, written by hand.
//!
//! Replaces the crate of the same name by `[patch.crates-io]`. The stock one
//! needs `protoc` at build time and copies every payload (`Vec<u8>`); this one
//! has no build script, uses prost 0.14 and shares payloads as [`bytes::Bytes`]
//! (three times as fast at 4 KiB per entry). The wire format is the same as of
//! raft's `eraftpb.proto`, so the field numbers must not change.
//!
//! - [`eraftpb`]: the messages and the accessors raft calls,
//! - [`ConfChangeI`] and its companions: what raft imports by name,
//! - an implementation of `protobuf::Message`, of which raft calls three methods.

mod confchange;
pub mod eraftpb;
mod shim;

pub use confchange::{ConfChangeI, conf_state_eq, new_conf_change_single};

/// The names most users of raft need.
pub mod prelude {
    pub use crate::eraftpb::{
        ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2,
        ConfState, Entry, EntryType, HardState, Message, MessageType, Snapshot, SnapshotMetadata,
    };
}
