//! Why a group did not take something.

use crate::group::MAX_UNCOMMITTED;

/// Why a proposal was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This replica does not lead; nothing is forwarded.
    #[error("not the leader of this group")]
    NotLeader {
        /// Node that leads, as far as known.
        leader: Option<u64>,
    },
    /// Too much is under way. Wait for commits.
    #[error("{MAX_UNCOMMITTED} bytes wait for commit in this group")]
    Full,
    /// raft refused, e.g. while leadership is handed over. Try again.
    #[error("the group takes no proposals just now")]
    Dropped,
}

/// Why a message of a peer was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Not for this replica, of an unknown or local kind, or from no member.
    #[error("message is not one this replica takes from a peer")]
    Foreign,
    /// It contradicts this replica's log: the peer or this replica lost data.
    #[error("message contradicts the log of this replica; it or the sender lost entries")]
    Inconsistent,
    /// raft ignored it.
    #[error("message was dropped")]
    Dropped,
}
