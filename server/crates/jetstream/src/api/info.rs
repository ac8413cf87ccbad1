//! What streams, consumers and accounts tell about themselves
//! (contract/jetstream.md §1.3, §4.2, §5).

use crate::config::{
    AccountLimits, ConsumerConfig, ExternalStream, Placement, RetentionPolicy, StreamConfig,
    SubjectTransform,
};
use crate::effect::Nanos;
use crate::error::ApiError;
use crate::json::json_struct;
use crate::time::Time;
use std::collections::BTreeMap;

json_struct! {
    /// Messages known to be lost to damage.
    pub struct LostData("LostStreamData") {
        /// Their sequences.
        msgs: Vec<u64> = "msgs",
        /// Their bytes.
        bytes: u64 = "bytes",
    }
}

json_struct! {
    /// What a stream holds.
    pub struct StreamState("StreamState") {
        /// Messages.
        messages: u64 = "messages",
        /// Bytes by the visible formula.
        bytes: u64 = "bytes",
        /// First sequence.
        first_seq: u64 = "first_seq",
        /// Time of the first message.
        first_ts: Time = "first_ts",
        /// Last sequence.
        last_seq: u64 = "last_seq",
        /// Time of the last message.
        last_ts: Time = "last_ts",
        /// Distinct subjects.
        num_subjects: i64 = "num_subjects" omit,
        /// Messages by subject, when asked for.
        subjects: BTreeMap<String, u64> = "subjects" omit,
        /// Sequences between first and last that are gone.
        num_deleted: i64 = "num_deleted" omit,
        /// Those sequences, when asked for.
        deleted: Vec<u64> = "deleted" omit,
        /// Messages lost to damage.
        lost: Option<LostData> = "lost" omit,
        /// Consumers that count.
        consumer_count: i64 = "consumer_count",
    }
}

json_struct! {
    /// A server holding a replica.
    pub struct PeerInfo("PeerInfo") {
        /// Server name.
        name: String = "name",
        /// Seen lately and caught up.
        current: bool = "current",
        /// Not seen lately.
        offline: bool = "offline" omit,
        /// Since when it was last seen, ns.
        active: Nanos = "active",
        /// Operations it is behind.
        lag: u64 = "lag" omit,
        /// Peer id.
        peer: String = "peer",
        /// Assigned but not yet in the group.
        pending: bool = "pending" omit,
    }
}

json_struct! {
    /// What a change of placement started from.
    pub struct DesiredOrigin("DesiredClusterInfoOrigin") {
        /// Replicas before.
        replicas: i64 = "replicas",
        /// Placement before.
        placement: Option<Placement> = "placement" omit,
        /// Retention in force until the change is done.
        retention: Option<RetentionPolicy> = "retention" omit,
    }
}

json_struct! {
    /// How far a change of placement is.
    pub struct DesiredStatus("DesiredClusterInfoStatus") {
        /// For people.
        description: String = "description",
        /// meta, membership, snapshot, catchup, quorum, blocked or unavailable.
        kind: String = "type",
    }
}

json_struct! {
    /// Where a group is moving to.
    pub struct DesiredCluster("DesiredClusterInfo") {
        /// Cluster.
        name: String = "name" omit,
        /// Replicas.
        replicas: Vec<PeerInfo> = "replicas" omit,
        /// Where it comes from.
        origin: Option<DesiredOrigin> = "origin" omit,
        /// How far it is.
        status: Option<DesiredStatus> = "status" omit,
    }
}

json_struct! {
    /// The servers behind a stream or consumer.
    pub struct ClusterInfo("ClusterInfo") {
        /// Cluster.
        name: String = "name" omit,
        /// Group.
        raft_group: String = "raft_group" omit,
        /// Leading server.
        leader: String = "leader" omit,
        /// Since when it leads.
        leader_since: Option<Time> = "leader_since" omit,
        /// Replication runs in the system account.
        system_account: bool = "system_account" omit,
        /// Account replication runs in.
        traffic_account: String = "traffic_account" omit,
        /// The other servers.
        replicas: Vec<PeerInfo> = "replicas" omit,
        /// Where it is moving to.
        desired: Option<DesiredCluster> = "desired" omit,
    }
}

json_struct! {
    /// How a mirror or source is doing.
    pub struct SourceInfo("StreamSourceInfo") {
        /// Origin stream.
        name: String = "name",
        /// Set when it is in another account or domain.
        external: Option<ExternalStream> = "external" omit,
        /// Messages behind.
        lag: u64 = "lag",
        /// Last sequence taken from it.
        seq: u64 = "seq" omit,
        /// Since when it was last heard of, ns; -1 = never.
        active: Nanos = "active",
        /// Why it does not work.
        error: Option<ApiError> = "error" omit,
        /// Its filter.
        filter_subject: String = "filter_subject" omit,
        /// Its transforms.
        subject_transforms: Vec<SubjectTransform> = "subject_transforms" omit,
    }
}

json_struct! {
    /// Another place to read the same messages.
    pub struct StreamAlternate("StreamAlternate") {
        /// Stream.
        name: String = "name",
        /// Domain.
        domain: String = "domain" omit,
        /// Cluster.
        cluster: String = "cluster",
    }
}

json_struct! {
    /// Everything about a stream.
    pub struct StreamInfo("StreamInfo") {
        /// Its configuration.
        config: StreamConfig = "config",
        /// When it was made.
        created: Time = "created",
        /// What it holds.
        state: StreamState = "state",
        /// The server's domain; absent in CREATE answers.
        domain: String = "domain" omit,
        /// Its servers.
        cluster: Option<ClusterInfo> = "cluster" omit,
        /// Its origin, for a mirror.
        mirror: Option<SourceInfo> = "mirror" omit,
        /// Its origins.
        sources: Vec<SourceInfo> = "sources" omit,
        /// Other places to read.
        alternates: Vec<StreamAlternate> = "alternates" omit,
        /// When this was written.
        ts: Time = "ts",
    }
}

json_struct! {
    /// A pair of sequences and when it last moved.
    pub struct SequenceInfo("SequenceInfo") {
        /// Of deliveries.
        consumer_seq: u64 = "consumer_seq",
        /// Of messages.
        stream_seq: u64 = "stream_seq",
        /// When it last moved.
        last_active: Option<Time> = "last_active" omit,
    }
}

json_struct! {
    /// Who holds the pin of a priority group.
    pub struct PriorityGroupState("PriorityGroupState") {
        /// Group.
        group: String = "group",
        /// Pin.
        pinned_client_id: String = "pinned_client_id" omit,
        /// Since when.
        pinned_ts: Time = "pinned_ts",
    }
}

json_struct! {
    /// Everything about a consumer.
    pub struct ConsumerInfo("ConsumerInfo") {
        /// Stream.
        stream_name: String = "stream_name",
        /// Name.
        name: String = "name",
        /// When it was made.
        created: Time = "created",
        /// Its configuration.
        config: Option<ConsumerConfig> = "config" omit,
        /// Last delivery.
        delivered: SequenceInfo = "delivered",
        /// Everything up to here is acknowledged.
        ack_floor: SequenceInfo = "ack_floor",
        /// Deliveries without ack.
        num_ack_pending: i64 = "num_ack_pending",
        /// Messages delivered more than once and still tracked.
        num_redelivered: i64 = "num_redelivered",
        /// Waiting pulls.
        num_waiting: i64 = "num_waiting",
        /// Messages still to be delivered.
        num_pending: u64 = "num_pending",
        /// Its servers.
        cluster: Option<ClusterInfo> = "cluster" omit,
        /// Somebody listens on the deliver subject.
        push_bound: bool = "push_bound" omit,
        /// It is paused.
        paused: bool = "paused" omit,
        /// For how long still, ns.
        pause_remaining: Nanos = "pause_remaining" omit,
        /// When this was written.
        ts: Time = "ts",
        /// Its priority groups.
        priority_groups: Vec<PriorityGroupState> = "priority_groups" omit,
    }
}

json_struct! {
    /// How much the API is used.
    pub struct ApiStats("JetStreamAPIStats") {
        /// API level of the server.
        level: u32 = "level",
        /// Requests answered.
        total: u64 = "total",
        /// Of these with an error.
        errors: u64 = "errors",
        /// Requests being served.
        inflight: u64 = "inflight" omit,
    }
}

json_struct! {
    /// What an account, or one tier of it, uses.
    pub struct TierInfo("JetStreamTier") {
        /// Bytes in memory.
        memory: u64 = "memory",
        /// Bytes on disk.
        storage: u64 = "storage",
        /// Bytes in memory reserved by `max_bytes`.
        reserved_memory: u64 = "reserved_memory",
        /// Bytes on disk reserved by `max_bytes`.
        reserved_storage: u64 = "reserved_storage",
        /// Streams.
        streams: i64 = "streams",
        /// Consumers.
        consumers: i64 = "consumers",
        /// Limits; zeros at the top when there are tiers.
        limits: AccountLimits = "limits",
    }
}

json_struct! {
    /// The answer to INFO.
    pub struct AccountInfo("JetStreamAccountStats") {
        /// Totals.
        totals: TierInfo = flatten,
        /// The server's domain.
        domain: String = "domain" omit,
        /// Use of the API.
        api: ApiStats = "api",
        /// By tier, `R1`, `R3`, …
        tiers: BTreeMap<String, TierInfo> = "tiers" omit,
    }
}
