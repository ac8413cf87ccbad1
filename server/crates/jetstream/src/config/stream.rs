//! The stream configuration document (contract/jetstream.md §2.1).

use crate::effect::Nanos;
use crate::json::{JsonEmpty, json_enum, json_struct};
use crate::time::Time;
use std::collections::BTreeMap;

json_enum! {
    /// What removes messages besides limits.
    pub enum RetentionPolicy("can not unmarshal %q") {
        /// Only limits.
        Limits = "limits",
        /// Acknowledgement by every consumer whose filter matches.
        Interest = "interest",
        /// Acknowledgement by the one consumer of the subject.
        WorkQueue = "workqueue",
    }
}

json_enum! {
    /// What happens to a publish when a limit is reached.
    pub enum DiscardPolicy("can not unmarshal %q", to_ascii_lowercase) {
        /// The oldest messages go.
        Old = "old",
        /// The new message is refused.
        New = "new",
    }
}

json_enum! {
    /// Where messages are kept.
    pub enum StorageType("can not unmarshal %q") {
        /// On disk.
        File = "file",
        /// In memory; gone after a restart.
        Memory = "memory",
    }
}

json_enum! {
    /// Compression of stored messages.
    pub enum Compression("unknown compression algorithm") {
        /// None.
        None = "none",
        /// S2.
        S2 = "s2",
    }
}

json_enum! {
    /// When a publish is acknowledged.
    pub enum PersistMode("can not unmarshal %q") {
        /// After the message is durable.
        Default = "default" | "",
        /// Possibly before it is written.
        Async = "async",
    }
}

json_struct! {
    /// Which servers may hold replicas; not evaluated on a single server.
    pub struct Placement("Placement") {
        /// Cluster name.
        cluster: String = "cluster" omit,
        /// Tags every chosen server must have.
        tags: Vec<String> = "tags" omit,
        /// Server that should lead; only valid in step-down requests.
        preferred: String = "preferred" omit,
    }
}

json_struct! {
    /// A mapping applied to subjects of messages on their way in.
    pub struct SubjectTransform("SubjectTransformConfig") {
        /// Subjects it applies to; empty means all.
        src: String = "src",
        /// What they become; empty means unchanged.
        dest: String = "dest",
    }
}

json_struct! {
    /// Publishing every stored message again.
    pub struct RePublish("RePublish") {
        /// Subjects it applies to; empty means all.
        src: String = "src" omit,
        /// Subject of the copy.
        dest: String = "dest",
        /// Without payload, with its size in a header.
        headers_only: bool = "headers_only" omit,
    }
}

json_struct! {
    /// An origin in another account or domain.
    pub struct ExternalStream("ExternalStream") {
        /// Prefix that stands for `$JS.API` there.
        api: String = "api",
        /// Prefix of the subjects its messages are delivered to.
        deliver: String = "deliver",
    }
}

impl ExternalStream {
    /// The domain named by an `api` prefix `$JS.<domain>.API`, or empty.
    pub fn domain(&self) -> &str {
        self.api.split('.').nth(1).unwrap_or_default()
    }
}

json_struct! {
    /// A prepared durable consumer of the origin to read through.
    pub struct StreamConsumerSource("StreamConsumerSource") {
        /// Its name.
        name: String = "name" omit,
        /// Its deliver subject.
        deliver_subject: String = "deliver_subject" omit,
    }
}

json_struct! {
    /// An origin of a mirror or a sourcing stream.
    pub struct StreamSource("StreamSource") {
        /// Origin stream.
        name: String = "name",
        /// First sequence wanted, 0 = from the beginning.
        opt_start_seq: u64 = "opt_start_seq" omit,
        /// First time wanted.
        opt_start_time: Option<Time> = "opt_start_time" omit,
        /// Only these subjects.
        filter_subject: String = "filter_subject" omit,
        /// Filters with mappings, instead of `filter_subject`.
        subject_transforms: Vec<SubjectTransform> = "subject_transforms" omit,
        /// Set when the origin is in another account or domain.
        external: Option<ExternalStream> = "external" omit,
        /// Set when a prepared durable consumer is to be used.
        consumer: Option<StreamConsumerSource> = "consumer" omit,
    }
}

json_struct! {
    /// Bounds and defaults for the consumers of a stream.
    pub struct StreamConsumerLimits("StreamConsumerLimits") {
        /// Largest `inactive_threshold`, ns; 0 = no bound.
        inactive_threshold: Nanos = "inactive_threshold" omit duration,
        /// Largest `max_ack_pending`; 0 = no bound.
        max_ack_pending: i64 = "max_ack_pending" omit int,
    }
}

json_struct! {
    /// What a stream is. Limits of -1 mean "none" after defaults were applied.
    pub struct StreamConfig("StreamConfig") {
        /// Name, unique in the account.
        name: String = "name",
        /// For people.
        description: String = "description" omit,
        /// Subjects it stores.
        subjects: Vec<String> = "subjects" omit,
        /// What removes messages.
        retention: RetentionPolicy = "retention",
        /// Most consumers.
        max_consumers: i64 = "max_consumers" int,
        /// Most messages.
        max_msgs: i64 = "max_msgs",
        /// Most bytes, by the visible formula.
        max_bytes: i64 = "max_bytes",
        /// Longest life of a message, ns; 0 = for ever.
        max_age: Nanos = "max_age" duration,
        /// Most messages of one subject.
        max_msgs_per_subject: i64 = "max_msgs_per_subject",
        /// Largest message, headers included.
        max_msg_size: i32 = "max_msg_size" omit,
        /// What happens at a limit.
        discard: DiscardPolicy = "discard",
        /// Where messages are kept.
        storage: StorageType = "storage",
        /// Copies, 1 to 5.
        num_replicas: i64 = "num_replicas" int,
        /// Publishes are not acknowledged.
        no_ack: bool = "no_ack" omit,
        /// How long message ids are remembered, ns.
        duplicate_window: Nanos = "duplicate_window" omit duration,
        /// Which servers hold it.
        placement: Option<Placement> = "placement" omit,
        /// Makes it a copy of another stream.
        mirror: Option<StreamSource> = "mirror" omit,
        /// Streams it collects from.
        sources: Vec<StreamSource> = "sources" omit,
        /// Compression on disk.
        compression: Compression = "compression",
        /// First sequence of a new stream.
        first_seq: u64 = "first_seq" omit,
        /// Mapping of incoming subjects.
        subject_transform: Option<SubjectTransform> = "subject_transform" omit,
        /// Publishing of stored messages.
        republish: Option<RePublish> = "republish" omit,
        /// Direct get is served.
        allow_direct: bool = "allow_direct",
        /// A mirror serves direct gets of its origin.
        mirror_direct: bool = "mirror_direct",
        /// With `discard: new`, also at the per-subject limit.
        discard_new_per_subject: bool = "discard_new_per_subject" omit,
        /// Nothing goes in or out any more.
        sealed: bool = "sealed",
        /// Single messages cannot be deleted through the API.
        deny_delete: bool = "deny_delete",
        /// It cannot be purged through the API.
        deny_purge: bool = "deny_purge",
        /// `Nats-Rollup` is honoured.
        allow_rollup_hdrs: bool = "allow_rollup_hdrs",
        /// Bounds for its consumers.
        consumer_limits: StreamConsumerLimits = "consumer_limits",
        /// `Nats-TTL` is honoured.
        allow_msg_ttl: bool = "allow_msg_ttl",
        /// Life of the marker left when a subject's last message expires, ns; 0 = no markers.
        subject_delete_marker_ttl: Nanos = "subject_delete_marker_ttl" omit duration,
        /// It holds counters only.
        allow_msg_counter: bool = "allow_msg_counter" omit,
        /// Atomic batches are accepted.
        allow_atomic: bool = "allow_atomic" omit,
        /// Message schedules are accepted.
        allow_msg_schedules: bool = "allow_msg_schedules" omit,
        /// When publishes are acknowledged.
        persist_mode: PersistMode = "persist_mode" omit,
        /// Fast batches are accepted.
        allow_batched: bool = "allow_batched" omit,
        /// Free key-value pairs; keys beginning with `_nats.` belong to the server.
        metadata: BTreeMap<String, String> = "metadata" omit,
    }
}

impl JsonEmpty for StreamConfig {
    fn is_empty(&self) -> bool {
        false
    }
}

json_struct! {
    /// The body of STREAM.CREATE and STREAM.UPDATE.
    pub struct StreamConfigRequest("StreamConfigRequest") {
        /// The wanted configuration.
        config: StreamConfig = flatten,
        /// Refuse what would otherwise be adjusted silently.
        pedantic: bool = "pedantic" omit,
    }
}
