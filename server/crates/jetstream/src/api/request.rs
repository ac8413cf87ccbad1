//! Request bodies other than configurations (contract/jetstream.md §1.2).

use super::info::StreamState;
use crate::config::consumer_check::is_group_name;
use crate::config::{Placement, StreamConfig};
use crate::error::{self, ApiError};
use crate::json::{json_struct, parse_lenient};
use crate::time::Time;

/// Most names in one page.
pub const NAMES_LIMIT: usize = 1024;
/// Most entries in one page of a list.
pub const LIST_LIMIT: usize = 256;
/// Most subjects in one page of a stream's details.
pub const SUBJECT_DETAILS_LIMIT: usize = 100_000;
/// Most subjects of a multi-subject direct get.
pub const MULTI_LAST_LIMIT: usize = 1024;
/// Chunk of a snapshot unless asked otherwise, and its bounds, bytes.
pub const CHUNK_SIZE: (i64, i64, i64) = (1024, 128 << 10, 1 << 20);
/// Window of a snapshot unless asked otherwise, and its bounds, bytes.
pub const WINDOW_SIZE: (i64, i64, i64) = (1024, 8 << 20, 32 << 20);

json_struct! {
    /// STREAM.NAMES, STREAM.LIST, CONSUMER.NAMES and CONSUMER.LIST. The latter
    /// two have no `subject`: use [`OffsetRequest`].
    pub struct ListRequest("JSApiStreamListRequest") {
        /// Entries to pass over.
        offset: i64 = "offset" int,
        /// Only streams with a subject overlapping this one.
        subject: String = "subject" omit,
    }
}

json_struct! {
    /// CONSUMER.NAMES and CONSUMER.LIST.
    pub struct OffsetRequest("JSApiConsumersRequest") {
        /// Entries to pass over.
        offset: i64 = "offset" int,
    }
}

json_struct! {
    /// STREAM.INFO.
    pub struct StreamInfoRequest("JSApiStreamInfoRequest") {
        /// Subjects to pass over.
        offset: i64 = "offset" int,
        /// List the deleted sequences.
        deleted_details: bool = "deleted_details" omit,
        /// List the subjects matching this one.
        subjects_filter: String = "subjects_filter" omit,
    }
}

json_struct! {
    /// STREAM.PURGE.
    pub struct PurgeRequest("JSApiStreamPurgeRequest") {
        /// Only below this sequence.
        seq: u64 = "seq" omit,
        /// Only these subjects.
        filter: String = "filter" omit,
        /// Keep this many.
        keep: u64 = "keep" omit,
    }
}

json_struct! {
    /// STREAM.MSG.DELETE.
    pub struct MsgDeleteRequest("JSApiMsgDeleteRequest") {
        /// Which message.
        seq: u64 = "seq",
        /// Do not overwrite the bytes.
        no_erase: bool = "no_erase" omit,
    }
}

json_struct! {
    /// STREAM.MSG.GET and DIRECT.GET.
    pub struct MsgGetRequest("JSApiMsgGetRequest") {
        /// This sequence, or the first from here on.
        seq: u64 = "seq" omit,
        /// The last message of this subject.
        last_by_subj: String = "last_by_subj" omit,
        /// The next message of this subject.
        next_by_subj: String = "next_by_subj" omit,
        /// How many messages.
        batch: i64 = "batch" omit int,
        /// Most bytes of a batch.
        max_bytes: i64 = "max_bytes" omit int,
        /// From this time on.
        start_time: Option<Time> = "start_time" omit,
        /// The last message of each of these subjects.
        multi_last: Vec<String> = "multi_last" omit,
        /// As of this sequence.
        up_to_seq: u64 = "up_to_seq" omit,
        /// As of this time.
        up_to_time: Option<Time> = "up_to_time" omit,
        /// Without headers.
        no_hdr: bool = "no_hdr" omit,
    }
}

json_struct! {
    /// STREAM.SNAPSHOT.
    pub struct SnapshotRequest("JSApiStreamSnapshotRequest") {
        /// Where the chunks go.
        deliver_subject: String = "deliver_subject",
        /// Without consumers.
        no_consumers: bool = "no_consumers" omit,
        /// Bytes of a chunk.
        chunk_size: i64 = "chunk_size" omit int,
        /// Bytes in flight.
        window_size: i64 = "window_size" omit int,
        /// Check all messages first.
        jsck: bool = "jsck" omit,
    }
}

impl SnapshotRequest {
    /// Bytes of a chunk, within bounds.
    pub fn chunk(&self) -> usize {
        within(self.chunk_size, CHUNK_SIZE)
    }

    /// Chunks in flight, at least one.
    pub fn chunks_in_flight(&self) -> usize {
        (within(self.window_size, WINDOW_SIZE) / self.chunk()).max(1)
    }
}

fn within(asked: i64, (low, usual, high): (i64, i64, i64)) -> usize {
    if asked == 0 { usual as usize } else { asked.clamp(low, high) as usize }
}

json_struct! {
    /// STREAM.RESTORE.
    pub struct RestoreRequest("JSApiStreamRestoreRequest") {
        /// The stream to make.
        config: StreamConfig = "config",
        /// What it held.
        state: StreamState = "state",
    }
}

json_struct! {
    /// CONSUMER.PAUSE.
    pub struct PauseRequest("JSApiConsumerPauseRequest") {
        /// Until when; zero resumes.
        pause_until: Time = "pause_until",
    }
}

json_struct! {
    /// CONSUMER.UNPIN.
    pub struct UnpinRequest("JSApiConsumerUnpinRequest") {
        /// Which group.
        group: String = "group",
    }
}

impl UnpinRequest {
    /// Reads a body and checks that it names a group that could exist.
    pub fn read(body: &[u8]) -> Result<UnpinRequest, ApiError> {
        if body.trim_ascii().is_empty() {
            return Err(error::invalid_json("unexpected end of JSON input"));
        }
        let request: UnpinRequest = parse_lenient(body)?;
        if request.group.is_empty() {
            return Err(error::invalid_json("consumer group not specified"));
        }
        if !is_group_name(&request.group) {
            return Err(error::consumer_invalid_group_name());
        }
        Ok(request)
    }
}

json_struct! {
    /// CONSUMER.RESET.
    pub struct ResetRequest("JSApiConsumerResetRequest") {
        /// Where to; 0 = the ack floor.
        seq: u64 = "seq" omit,
    }
}

json_struct! {
    /// LEADER.STEPDOWN.
    pub struct StepDownRequest("JSApiLeaderStepdownRequest") {
        /// Who should lead.
        placement: Option<Placement> = "placement" omit,
    }
}

json_struct! {
    /// PEER.REMOVE and PEER.EVACUATE.
    pub struct PeerRequest("JSApiStreamRemovePeerRequest") {
        /// Server name.
        peer: String = "peer",
    }
}

json_struct! {
    /// SERVER.REMOVE and SERVER.EVACUATE.
    pub struct ServerRequest("JSApiMetaServerRemoveRequest") {
        /// Server name.
        peer: String = "peer",
        /// Peer id.
        peer_id: String = "peer_id" omit,
    }
}

json_struct! {
    /// META.RESCUE.
    pub struct RescueRequest("JSApiMetaRescueRequest") {
        /// Quorum to lower to.
        quorum_needed: i64 = "quorum_needed" int,
    }
}

json_struct! {
    /// ACCOUNT.STREAM.MOVE.
    pub struct StreamMoveRequest("JSApiMetaServerStreamMoveRequest") {
        /// Server to move away from.
        server: String = "server" omit,
        /// Cluster to move to.
        cluster: String = "cluster" omit,
        /// Domain.
        domain: String = "domain" omit,
        /// Tags to move to.
        tags: Vec<String> = "tags" omit,
    }
}

json_struct! {
    /// `-NAK {"delay":…}`.
    pub struct NakOptions("ConsumerNakOptions") {
        /// How long to wait, ns.
        delay: i64 = "delay",
    }
}
