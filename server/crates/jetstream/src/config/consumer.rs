//! The consumer configuration document (contract/jetstream.md §4.1).

use crate::effect::Nanos;
use crate::json::{JsonEmpty, json_enum, json_struct};
use crate::time::Time;
use std::collections::BTreeMap;

json_enum! {
    /// Where a consumer begins.
    pub enum DeliverPolicy("can not unmarshal %q") {
        /// With the first message.
        All = "all" | "undefined",
        /// With the last message.
        Last = "last",
        /// With the next message.
        New = "new",
        /// With `opt_start_seq`.
        ByStartSequence = "by_start_sequence",
        /// With `opt_start_time`.
        ByStartTime = "by_start_time",
        /// With the last message of each subject.
        LastPerSubject = "last_per_subject",
    }
}

json_enum! {
    /// How deliveries are acknowledged.
    pub enum AckPolicy("can not unmarshal %q") {
        /// Not at all.
        None = "none",
        /// One ack covers everything up to it.
        All = "all",
        /// Each by itself.
        Explicit = "explicit",
        /// By answers to flow control.
        FlowControl = "flow_control",
    }
}

json_enum! {
    /// How fast stored messages are delivered.
    pub enum ReplayPolicy("can not unmarshal %q") {
        /// As fast as possible.
        Instant = "instant",
        /// With the gaps they came in with.
        Original = "original",
    }
}

json_enum! {
    /// Who is served first among those who pull.
    pub enum PriorityPolicy("unknown priority policy: %v") {
        /// Turn by turn.
        None = "none",
        /// Some only when enough is pending.
        Overflow = "overflow",
        /// One client until it stops.
        PinnedClient = "pinned_client",
        /// Lowest priority number first.
        Prioritized = "prioritized",
    }
}

json_enum! {
    /// What a CREATE request may do.
    pub enum ConsumerAction("unknown consumer action: %v") {
        /// Create or update.
        CreateOrUpdate = "",
        /// Only create; an identical consumer is fine.
        Create = "create",
        /// Only update.
        Update = "update",
    }
}

json_struct! {
    /// What a consumer is.
    pub struct ConsumerConfig("ConsumerConfig") {
        /// Set for durable consumers; equals `name`.
        durable_name: String = "durable_name" omit,
        /// Name, unique in the stream.
        name: String = "name" omit,
        /// For people.
        description: String = "description" omit,
        /// Where it begins.
        deliver_policy: DeliverPolicy = "deliver_policy",
        /// First sequence, with `by_start_sequence`.
        opt_start_seq: u64 = "opt_start_seq" omit,
        /// First time, with `by_start_time`.
        opt_start_time: Option<Time> = "opt_start_time" omit,
        /// How deliveries are acknowledged.
        ack_policy: AckPolicy = "ack_policy",
        /// How long an ack is waited for, ns.
        ack_wait: Nanos = "ack_wait" omit duration,
        /// Most deliveries of a message; -1 = no bound.
        max_deliver: i64 = "max_deliver" omit int,
        /// Waits after the first, second, … delivery, ns; the last one repeats.
        backoff: Vec<Nanos> = "backoff" omit duration,
        /// Only these subjects.
        filter_subject: String = "filter_subject" omit,
        /// Only these subjects, instead of `filter_subject`.
        filter_subjects: Vec<String> = "filter_subjects" omit,
        /// How fast stored messages are delivered.
        replay_policy: ReplayPolicy = "replay_policy",
        /// Bits per second, push only; 0 = no bound.
        rate_limit_bps: u64 = "rate_limit_bps" omit,
        /// Share of acks that are reported, in percent, e.g. `50` or `50%`.
        sample_freq: String = "sample_freq" omit,
        /// Most waiting pull requests.
        max_waiting: i64 = "max_waiting" omit int,
        /// Most unacknowledged deliveries; -1 = no bound.
        max_ack_pending: i64 = "max_ack_pending" omit int,
        /// Push with flow control.
        flow_control: bool = "flow_control" omit,
        /// Without payload, with its size in a header.
        headers_only: bool = "headers_only" omit,
        /// Largest `batch` of a pull; 0 = no bound.
        max_batch: i64 = "max_batch" omit int,
        /// Longest `expires` of a pull, ns; 0 = no bound.
        max_expires: Nanos = "max_expires" omit duration,
        /// Largest `max_bytes` of a pull; 0 = no bound.
        max_bytes: i64 = "max_bytes" omit int,
        /// Set for push consumers: where messages go.
        deliver_subject: String = "deliver_subject" omit,
        /// Queue group that shares the deliveries.
        deliver_group: String = "deliver_group" omit,
        /// Silence after which a push consumer sends a heartbeat, ns.
        idle_heartbeat: Nanos = "idle_heartbeat" omit duration,
        /// Idleness after which it is deleted, ns; 0 for durables = never.
        inactive_threshold: Nanos = "inactive_threshold" omit duration,
        /// Copies; 0 = as the stream.
        num_replicas: i64 = "num_replicas" int,
        /// State in memory even if the stream is on disk.
        mem_storage: bool = "mem_storage" omit,
        /// Hidden consumer of a mirror, source or the server itself.
        direct: bool = "direct" omit,
        /// Consumer of a mirror or source.
        sourcing: bool = "sourcing" omit,
        /// Free key-value pairs; keys beginning with `_nats.` belong to the server.
        metadata: BTreeMap<String, String> = "metadata" omit,
        /// No deliveries before this time.
        pause_until: Option<Time> = "pause_until" omit,
        /// Groups of pulling clients; the first one is used.
        priority_groups: Vec<String> = "priority_groups" omit,
        /// Who is served first.
        priority_policy: PriorityPolicy = "priority_policy" omit,
        /// Silence after which a pinned client loses its pin, ns.
        priority_timeout: Nanos = "priority_timeout" omit duration,
    }
}

impl JsonEmpty for ConsumerConfig {
    fn is_empty(&self) -> bool {
        false
    }
}

impl ConsumerConfig {
    /// Whether it survives without interest and keeps its state.
    pub fn is_durable(&self) -> bool {
        !self.durable_name.is_empty()
    }

    /// Whether it delivers by itself.
    pub fn is_push(&self) -> bool {
        !self.deliver_subject.is_empty()
    }

    /// The subjects it is limited to; none = everything.
    pub fn filters(&self) -> impl Iterator<Item = &str> {
        let one = (!self.filter_subject.is_empty()).then_some(&self.filter_subject);
        one.into_iter().chain(&self.filter_subjects).map(String::as_str)
    }
}

json_struct! {
    /// The body of CONSUMER.CREATE and CONSUMER.DURABLE.CREATE.
    pub struct CreateConsumerRequest("CreateConsumerRequest") {
        /// Stream; must be the one in the subject.
        stream_name: String = "stream_name",
        /// The wanted configuration.
        config: ConsumerConfig = "config",
        /// What may be done.
        action: ConsumerAction = "action",
        /// Refuse what would otherwise be adjusted silently.
        pedantic: bool = "pedantic" omit,
    }
}
