//! What a stream or consumer asks the outside to do. Deciders fill a list; the
//! shard executes it in order. Nothing here has happened yet when it is pushed.

use bytes::Bytes;

/// Nanoseconds since the Unix epoch, UTC. Passed in by the shell.
pub type Nanos = i64;

/// One thing to do, always inside the stream's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Publish to the account's interest as the server itself.
    Publish(Outgoing),
    /// Publish only if somebody listens: advisories and metrics.
    Advise {
        /// Subject of the advisory.
        subject: Bytes,
        /// JSON document.
        payload: Bytes,
    },
    /// A subscription the stream needs for itself (mirrors, sources, restore),
    /// under an id it chose. Messages come back through `Stream::inbound`.
    Subscribe {
        /// Caller's id, unique in the stream.
        id: u64,
        /// Subject to listen on.
        subject: Bytes,
    },
    /// Ends a subscription made with [`Effect::Subscribe`].
    Unsubscribe {
        /// Caller's id.
        id: u64,
    },
    /// What became of a publish that is traced.
    Traced {
        /// Number the caller gave it.
        id: u64,
        /// What.
        told: Traced,
    },
}

/// What became of a traced message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traced {
    /// Subject it is stored under; empty if it did not come so far.
    pub subject: Bytes,
    /// It is not kept because no consumer wants it.
    pub no_interest: bool,
    /// Why it was refused, or empty.
    pub error: String,
}

/// A message on its way to the account's interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Subject that decides who receives it.
    pub to: Bytes,
    /// Subject shown to the receiver; empty = same as `to`. A push or pull
    /// consumer sends the stored subject to the subscribers of `to`.
    pub subject: Bytes,
    /// Reply subject, or empty.
    pub reply: Bytes,
    /// Raw header block, or empty.
    pub headers: Bytes,
    /// Payload.
    pub payload: Bytes,
    /// Deliver only to subscribers of this queue group (`deliver_group`), or empty.
    pub queue: Bytes,
}

/// Who listens in the stream's account; asked before a delivery.
pub trait Interest {
    /// Whether a message to `subject` would reach anybody.
    fn has(&self, subject: &[u8]) -> bool;
    /// Whether a member of `queue` listens on `subject`; with an empty `queue`,
    /// whether a subscriber without queue group does.
    fn has_group(&self, subject: &[u8], queue: &[u8]) -> bool;
}
