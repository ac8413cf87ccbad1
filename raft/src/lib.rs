//! Raft groups over raft-rs, stepped from outside: no threads, clock or I/O.
//!
//! - [`group`]: a group's replica on this node. Proposals and messages go in,
//!   log writes, messages and committed entries come out as data,
//! - [`mod@write`]: that data; [`error`]: why something was not taken,
//! - [`restore`]: what a replica is rebuilt from after a restart,
//! - [`log`]: the part of the log that is kept in memory,
//! - [`logger`]: raft-rs logs into `tracing`.
//!
//! A stream with one replica is the same code with one voter
//! ([`Group::single`]): what is persisted is committed.

pub mod error;
pub mod group;
pub mod log;
pub mod logger;
pub mod restore;
pub mod write;

pub use error::{ProposeError, StepError};
pub use group::{Group, Settings};
pub use restore::{LogEntry, RestoreError, Restored};
pub use write::{Committed, EntryKind, LogWrite, Ticket};

pub use raft_proto::eraftpb;
