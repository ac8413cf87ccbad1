//! The messages, with the field numbers of raft's `eraftpb.proto`.
//!
//! The macros below write the accessors of rust-protobuf's style that raft calls
//! (`get_x`, `set_x`, `mut_x`, `take_x`); prost itself derives only `x()` and
//! `set_x()` of enum fields.

use bytes::Bytes;
use prost::{Enumeration, Message as Prost};

/// `get_x` of plain values, `get_x`/`set_x` of plain values raft also sets.
macro_rules! values {
    ($message:ident { $($get:ident $set:ident $field:ident: $type:ty),* $(,)? }) => {
        impl $message {
            $(
                /// The value of this field.
                #[inline]
                pub fn $get(&self) -> $type {
                    self.$field
                }
                /// Sets this field.
                #[inline]
                pub fn $set(&mut self, value: $type) {
                    self.$field = value;
                }
            )*
        }
    };
}

/// `get_x`, `set_x`, `mut_x`, `take_x` of lists and bytes.
macro_rules! owned {
    ($message:ident { $($get:ident $set:ident $mut:ident $take:ident
        $field:ident: $type:ty as $view:ty),* $(,)? }) => {
        impl $message {
            $(
                /// The content of this field.
                #[inline]
                pub fn $get(&self) -> &$view {
                    &self.$field
                }
                /// Replaces this field.
                #[inline]
                pub fn $set(&mut self, value: $type) {
                    self.$field = value;
                }
                /// This field, to be changed in place.
                #[inline]
                pub fn $mut(&mut self) -> &mut $type {
                    &mut self.$field
                }
                /// Moves this field out and leaves it empty.
                #[inline]
                pub fn $take(&mut self) -> $type {
                    std::mem::take(&mut self.$field)
                }
            )*
        }
    };
}

/// The same for a message within a message: absent reads as its default.
macro_rules! nested {
    ($message:ident { $($get:ident $set:ident $mut:ident $take:ident $has:ident
        $field:ident: $type:ident = $default:expr),* $(,)? }) => {
        impl $message {
            $(
                /// The inner message, or its default if absent.
                #[inline]
                pub fn $get(&self) -> &$type {
                    static ABSENT: $type = $default;
                    self.$field.as_ref().unwrap_or(&ABSENT)
                }
                /// Replaces the inner message.
                #[inline]
                pub fn $set(&mut self, value: $type) {
                    self.$field = Some(value);
                }
                /// The inner message, made if absent.
                #[inline]
                pub fn $mut(&mut self) -> &mut $type {
                    self.$field.get_or_insert_default()
                }
                /// Moves the inner message out; its default if absent.
                #[inline]
                pub fn $take(&mut self) -> $type {
                    self.$field.take().unwrap_or_default()
                }
                /// Whether the inner message is there.
                #[inline]
                pub fn $has(&self) -> bool {
                    self.$field.is_some()
                }
            )*
        }
    };
}

/// `get_x` of enum fields; `set_x` is prost's.
macro_rules! kinds {
    ($message:ident { $($get:ident $field:ident: $type:ty),* $(,)? }) => {
        impl $message {
            $(
                /// The value of this field; unknown numbers read as the first value.
                #[inline]
                pub fn $get(&self) -> $type {
                    self.$field()
                }
            )*
        }
    };
}

/// What an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum EntryType {
    /// Data of the state machine; empty in the first entry of a term.
    EntryNormal = 0,
    /// A [`ConfChange`].
    EntryConfChange = 1,
    /// A [`ConfChangeV2`].
    EntryConfChangeV2 = 2,
}

/// One entry of a log.
#[derive(Clone, PartialEq, Prost)]
pub struct Entry {
    /// See [`EntryType`].
    #[prost(enumeration = "EntryType", tag = "1")]
    pub entry_type: i32,
    /// Term of the leader that made it.
    #[prost(uint64, tag = "2")]
    pub term: u64,
    /// Position in the log, from 1.
    #[prost(uint64, tag = "3")]
    pub index: u64,
    /// Payload.
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
    /// Opaque to raft.
    #[prost(bytes = "bytes", tag = "6")]
    pub context: Bytes,
    /// Unused by raft; kept because the number is taken.
    #[prost(bool, tag = "5")]
    pub sync_log: bool,
}
kinds!(Entry { get_entry_type entry_type: EntryType });
values!(Entry { get_term set_term term: u64, get_index set_index index: u64 });
owned!(Entry {
    get_data set_data mut_data take_data data: Bytes as [u8],
    get_context set_context mut_context take_context context: Bytes as [u8],
});

/// What a snapshot covers.
#[derive(Clone, PartialEq, Prost)]
pub struct SnapshotMetadata {
    /// Members at that point.
    #[prost(message, optional, tag = "1")]
    pub conf_state: Option<ConfState>,
    /// Last entry covered.
    #[prost(uint64, tag = "2")]
    pub index: u64,
    /// Its term.
    #[prost(uint64, tag = "3")]
    pub term: u64,
}
values!(SnapshotMetadata { get_index set_index index: u64, get_term set_term term: u64 });
nested!(SnapshotMetadata {
    get_conf_state set_conf_state mut_conf_state take_conf_state has_conf_state
        conf_state: ConfState = NO_CONF_STATE,
});

const NO_CONF_STATE: ConfState = ConfState {
    voters: Vec::new(),
    learners: Vec::new(),
    voters_outgoing: Vec::new(),
    learners_next: Vec::new(),
    auto_leave: false,
};
const NO_METADATA: SnapshotMetadata = SnapshotMetadata { conf_state: None, index: 0, term: 0 };

/// State that replaces the log up to a point.
#[derive(Clone, PartialEq, Prost)]
pub struct Snapshot {
    /// Opaque to raft.
    #[prost(bytes = "bytes", tag = "1")]
    pub data: Bytes,
    /// What it covers.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<SnapshotMetadata>,
}
owned!(Snapshot { get_data set_data mut_data take_data data: Bytes as [u8] });
nested!(Snapshot {
    get_metadata set_metadata mut_metadata take_metadata has_metadata
        metadata: SnapshotMetadata = NO_METADATA,
});

impl Snapshot {
    /// Whether this is no snapshot: index 0 covers nothing.
    pub fn is_empty(&self) -> bool {
        self.get_metadata().index == 0
    }
}

/// Kinds of [`Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum MessageType {
    /// Local: start an election.
    MsgHup = 0,
    /// Local: send heartbeats.
    MsgBeat = 1,
    /// Append to the leader's log.
    MsgPropose = 2,
    /// Entries from the leader.
    MsgAppend = 3,
    /// Answer to entries.
    MsgAppendResponse = 4,
    /// Asks for a vote.
    MsgRequestVote = 5,
    /// A vote or its refusal.
    MsgRequestVoteResponse = 6,
    /// A snapshot from the leader.
    MsgSnapshot = 7,
    /// The leader is alive.
    MsgHeartbeat = 8,
    /// Answer to a heartbeat.
    MsgHeartbeatResponse = 9,
    /// Local: a peer cannot be reached.
    MsgUnreachable = 10,
    /// Local: how sending a snapshot ended.
    MsgSnapStatus = 11,
    /// Local: does the leader still reach a quorum.
    MsgCheckQuorum = 12,
    /// Hand leadership over.
    MsgTransferLeader = 13,
    /// Start an election at once.
    MsgTimeoutNow = 14,
    /// Asks for a read index.
    MsgReadIndex = 15,
    /// Answer to that.
    MsgReadIndexResp = 16,
    /// Asks whether a vote would be given.
    MsgRequestPreVote = 17,
    /// Answer to that.
    MsgRequestPreVoteResponse = 18,
}

/// What members of a group send each other.
#[derive(Clone, PartialEq, Prost)]
pub struct Message {
    /// See [`MessageType`].
    #[prost(enumeration = "MessageType", tag = "1")]
    pub msg_type: i32,
    /// Receiver.
    #[prost(uint64, tag = "2")]
    pub to: u64,
    /// Sender.
    #[prost(uint64, tag = "3")]
    pub from: u64,
    /// Sender's term.
    #[prost(uint64, tag = "4")]
    pub term: u64,
    /// Term of the entry before `entries`, or of the sender's last entry.
    #[prost(uint64, tag = "5")]
    pub log_term: u64,
    /// Index of that entry.
    #[prost(uint64, tag = "6")]
    pub index: u64,
    /// Entries.
    #[prost(message, repeated, tag = "7")]
    pub entries: Vec<Entry>,
    /// Sender's commit index.
    #[prost(uint64, tag = "8")]
    pub commit: u64,
    /// Term at that index.
    #[prost(uint64, tag = "15")]
    pub commit_term: u64,
    /// Snapshot.
    #[prost(message, optional, tag = "9")]
    pub snapshot: Option<Snapshot>,
    /// Index from which a follower wants a snapshot.
    #[prost(uint64, tag = "13")]
    pub request_snapshot: u64,
    /// The answer is no.
    #[prost(bool, tag = "10")]
    pub reject: bool,
    /// Where the follower's log may agree.
    #[prost(uint64, tag = "11")]
    pub reject_hint: u64,
    /// Opaque to raft.
    #[prost(bytes = "bytes", tag = "12")]
    pub context: Bytes,
    /// As `priority`, from before it was signed.
    #[prost(uint64, tag = "14")]
    pub deprecated_priority: u64,
    /// Election priority.
    #[prost(int64, tag = "16")]
    pub priority: i64,
}
kinds!(Message { get_msg_type msg_type: MessageType });
values!(Message {
    get_to set_to to: u64,
    get_from set_from from: u64,
    get_term set_term term: u64,
    get_log_term set_log_term log_term: u64,
    get_index set_index index: u64,
    get_commit set_commit commit: u64,
    get_commit_term set_commit_term commit_term: u64,
    get_request_snapshot set_request_snapshot request_snapshot: u64,
    get_reject set_reject reject: bool,
    get_reject_hint set_reject_hint reject_hint: u64,
    get_priority set_priority priority: i64,
});
owned!(Message {
    get_entries set_entries mut_entries take_entries entries: Vec<Entry> as [Entry],
    get_context set_context mut_context take_context context: Bytes as [u8],
});
nested!(Message {
    get_snapshot set_snapshot mut_snapshot take_snapshot has_snapshot
        snapshot: Snapshot = Snapshot { data: Bytes::new(), metadata: None },
});

/// What a member must not forget.
#[derive(Clone, PartialEq, Prost)]
pub struct HardState {
    /// Latest term it knows.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// Whom it voted for in that term, 0 = nobody.
    #[prost(uint64, tag = "2")]
    pub vote: u64,
    /// Commit index it knows.
    #[prost(uint64, tag = "3")]
    pub commit: u64,
}
values!(HardState {
    get_term set_term term: u64,
    get_vote set_vote vote: u64,
    get_commit set_commit commit: u64,
});

/// How a change of members passes through joint consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum ConfChangeTransition {
    /// Only if it has to; left by itself.
    Auto = 0,
    /// Always; left by itself.
    Implicit = 1,
    /// Always; left by another change.
    Explicit = 2,
}

/// Members of a group.
#[derive(Clone, PartialEq, Prost)]
pub struct ConfState {
    /// Who votes.
    #[prost(uint64, repeated, tag = "1")]
    pub voters: Vec<u64>,
    /// Who only receives.
    #[prost(uint64, repeated, tag = "2")]
    pub learners: Vec<u64>,
    /// Who voted before the joint change.
    #[prost(uint64, repeated, tag = "3")]
    pub voters_outgoing: Vec<u64>,
    /// Who becomes a learner when the joint change ends.
    #[prost(uint64, repeated, tag = "4")]
    pub learners_next: Vec<u64>,
    /// The joint change ends by itself.
    #[prost(bool, tag = "5")]
    pub auto_leave: bool,
}
values!(ConfState { get_auto_leave set_auto_leave auto_leave: bool });
owned!(ConfState {
    get_voters set_voters mut_voters take_voters voters: Vec<u64> as [u64],
    get_learners set_learners mut_learners take_learners learners: Vec<u64> as [u64],
    get_voters_outgoing set_voters_outgoing mut_voters_outgoing take_voters_outgoing
        voters_outgoing: Vec<u64> as [u64],
    get_learners_next set_learners_next mut_learners_next take_learners_next
        learners_next: Vec<u64> as [u64],
});

/// Voters, learners.
impl<V, L> From<(V, L)> for ConfState
where
    V: IntoIterator<Item = u64>,
    L: IntoIterator<Item = u64>,
{
    fn from((voters, learners): (V, L)) -> Self {
        ConfState {
            voters: voters.into_iter().collect(),
            learners: learners.into_iter().collect(),
            ..ConfState::default()
        }
    }
}

/// What happens to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum ConfChangeType {
    /// Becomes a voter.
    AddNode = 0,
    /// Leaves.
    RemoveNode = 1,
    /// Becomes a learner.
    AddLearnerNode = 2,
}

/// A change of one member.
#[derive(Clone, PartialEq, Prost)]
pub struct ConfChange {
    /// See [`ConfChangeType`].
    #[prost(enumeration = "ConfChangeType", tag = "2")]
    pub change_type: i32,
    /// The member.
    #[prost(uint64, tag = "3")]
    pub node_id: u64,
    /// Opaque to raft.
    #[prost(bytes = "bytes", tag = "4")]
    pub context: Bytes,
    /// Opaque to raft.
    #[prost(uint64, tag = "1")]
    pub id: u64,
}
kinds!(ConfChange { get_change_type change_type: ConfChangeType });
values!(ConfChange { get_node_id set_node_id node_id: u64, get_id set_id id: u64 });
owned!(ConfChange {
    get_context set_context mut_context take_context context: Bytes as [u8],
});

/// One step of a [`ConfChangeV2`].
#[derive(Clone, PartialEq, Prost)]
pub struct ConfChangeSingle {
    /// See [`ConfChangeType`].
    #[prost(enumeration = "ConfChangeType", tag = "1")]
    pub change_type: i32,
    /// The member.
    #[prost(uint64, tag = "2")]
    pub node_id: u64,
}
kinds!(ConfChangeSingle { get_change_type change_type: ConfChangeType });
values!(ConfChangeSingle { get_node_id set_node_id node_id: u64 });

/// A change of any number of members.
#[derive(Clone, PartialEq, Prost)]
pub struct ConfChangeV2 {
    /// See [`ConfChangeTransition`].
    #[prost(enumeration = "ConfChangeTransition", tag = "1")]
    pub transition: i32,
    /// The steps; none = leave the joint configuration.
    #[prost(message, repeated, tag = "2")]
    pub changes: Vec<ConfChangeSingle>,
    /// Opaque to raft.
    #[prost(bytes = "bytes", tag = "3")]
    pub context: Bytes,
}
kinds!(ConfChangeV2 { get_transition transition: ConfChangeTransition });
owned!(ConfChangeV2 {
    get_changes set_changes mut_changes take_changes
        changes: Vec<ConfChangeSingle> as [ConfChangeSingle],
    get_context set_context mut_context take_context context: Bytes as [u8],
});
