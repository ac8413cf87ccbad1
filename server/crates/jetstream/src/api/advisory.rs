//! Advisories and metrics (contract/jetstream.md §6): their subjects and
//! documents.

use super::info::StreamState;
use crate::effect::Nanos;
use crate::json::json_struct;
use crate::time::Time;
use bytes::Bytes;

/// Prefix of advisory subjects.
pub const ADVISORY: &str = "$JS.EVENT.ADVISORY";
/// Prefix of metric subjects.
pub const METRIC: &str = "$JS.EVENT.METRIC";

/// Declares an advisory: document, its `type` and how its subject begins.
macro_rules! advisory {
    ($(#[$doc:meta])* $name:ident, $type:literal, $subject:literal { $($body:tt)* }) => {
        json_struct! {
            $(#[$doc])*
            pub struct $name($type) {
                /// Type, id and time.
                event: Event = flatten,
                $($body)*
            }
        }

        impl $name {
            /// The `type` member.
            pub const TYPE: &'static str = concat!("io.nats.jetstream.", $type);
            /// Subject without the names at its end.
            pub const SUBJECT: &'static str = concat!("$JS.EVENT.", $subject);

            /// The subject for these names (stream, consumer).
            pub fn subject(names: &[&str]) -> Bytes {
                let mut subject = Self::SUBJECT.to_owned();
                for name in names {
                    subject.push('.');
                    subject.push_str(name);
                }
                subject.into()
            }
        }
    };
}

json_struct! {
    /// What all events begin with.
    pub struct Event("TypedEvent") {
        /// Type.
        kind: String = "type",
        /// Unique id.
        id: String = "id",
        /// When.
        timestamp: Time = "timestamp",
    }
}

impl Event {
    /// The head of an event of type `kind`.
    pub fn new(kind: &str, id: String, now: Nanos) -> Event {
        Event { kind: kind.to_owned(), id, timestamp: Time::from_nanos(now) }
    }
}

json_struct! {
    /// Who asked.
    pub struct ClientInfo("ClientInfo") {
        /// Connected since.
        start: Option<Time> = "start" omit,
        /// Address.
        host: String = "host" omit,
        /// Connection id.
        id: u64 = "id" omit,
        /// Account.
        acc: String = "acc" omit,
        /// Account the request was imported from.
        svc: String = "svc" omit,
        /// User.
        user: String = "user" omit,
        /// Name of the connection.
        name: String = "name" omit,
        /// Language of the client.
        lang: String = "lang" omit,
        /// Version of the client.
        ver: String = "ver" omit,
        /// Round trip, ns.
        rtt: Nanos = "rtt" omit,
        /// Server.
        server: String = "server" omit,
        /// Cluster.
        cluster: String = "cluster" omit,
        /// Other clusters.
        alts: Vec<String> = "alts" omit,
        /// Disconnected at.
        stop: Option<Time> = "stop" omit,
        /// User JWT.
        jwt: String = "jwt" omit,
        /// Key that signed it.
        issuer_key: String = "issuer_key" omit,
        /// Name in the JWT.
        name_tag: String = "name_tag" omit,
        /// Tags in the JWT.
        tags: Vec<String> = "tags" omit,
        /// Kind of connection.
        kind: String = "kind" omit,
        /// Kind of client.
        client_type: String = "client_type" omit,
        /// MQTT client id.
        client_id: String = "client_id" omit,
        /// Nonce.
        nonce: String = "nonce" omit,
        /// Reply subject before a service import.
        reply: String = "reply" omit,
    }
}

advisory! {
    /// An API request and its answer.
    ApiAudit, "advisory.v1.api_audit", "ADVISORY.API" {
        /// Server.
        server: String = "server",
        /// Who asked.
        client: Option<ClientInfo> = "client",
        /// On what subject.
        subject: String = "subject",
        /// The request.
        request: String = "request" omit,
        /// The answer.
        response: String = "response",
        /// Domain.
        domain: String = "domain" omit,
    }
}

/// What happened to a stream or consumer, as it is written.
pub mod action {
    /// It was made.
    pub const CREATE: &str = "create";
    /// It was removed.
    pub const DELETE: &str = "delete";
    /// Its configuration changed.
    pub const MODIFY: &str = "modify";
}

advisory! {
    /// A stream was made, changed or removed. The subject's last word before
    /// the stream is CREATED, UPDATED or DELETED.
    StreamAction, "advisory.v1.stream_action", "ADVISORY.STREAM" {
        /// Stream.
        stream: String = "stream",
        /// See [`action`].
        action: String = "action",
        /// Domain.
        domain: String = "domain" omit,
    }
}

advisory! {
    /// A consumer was made or removed. The subject's last word before the
    /// stream is CREATED or DELETED.
    ConsumerAction, "advisory.v1.consumer_action", "ADVISORY.CONSUMER" {
        /// Stream.
        stream: String = "stream",
        /// Consumer.
        consumer: String = "consumer",
        /// See [`action`].
        action: String = "action",
        /// Domain.
        domain: String = "domain" omit,
    }
}

advisory! {
    /// A consumer was paused or resumed.
    ConsumerPause, "advisory.v1.consumer_pause", "ADVISORY.CONSUMER.PAUSE" {
        /// Stream.
        stream: String = "stream",
        /// Consumer.
        consumer: String = "consumer",
        /// It is paused.
        paused: bool = "paused",
        /// Until when.
        pause_until: Option<Time> = "pause_until" omit,
        /// Domain.
        domain: String = "domain" omit,
    }
}

advisory! {
    /// A message was acknowledged (sampled).
    ConsumerAck, "metric.v1.consumer_ack", "METRIC.CONSUMER.ACK" {
        /// Stream.
        stream: String = "stream",
        /// Consumer.
        consumer: String = "consumer",
        /// Sequence of the delivery.
        consumer_seq: u64 = "consumer_seq",
        /// Sequence of the message.
        stream_seq: u64 = "stream_seq",
        /// From delivery to ack, ns.
        ack_time: Nanos = "ack_time",
        /// Deliveries.
        deliveries: u64 = "deliveries",
        /// Domain.
        domain: String = "domain" omit,
    }
}

advisory! {
    /// A message was delivered as often as allowed.
    MaxDeliver, "advisory.v1.max_deliver", "ADVISORY.CONSUMER.MAX_DELIVERIES" {
        /// Stream.
        stream: String = "stream",
        /// Consumer.
        consumer: String = "consumer",
        /// Sequence of the message.
        stream_seq: u64 = "stream_seq",
        /// Deliveries.
        deliveries: u64 = "deliveries",
        /// Domain.
        domain: String = "domain" omit,
    }
}

advisory! {
    /// A client refused a message for now.
    MsgNaked, "advisory.v1.nak", "ADVISORY.CONSUMER.MSG_NAKED" {
        /// Stream.
        stream: String = "stream",
        /// Consumer.
        consumer: String = "consumer",
        /// Sequence of the delivery.
        consumer_seq: u64 = "consumer_seq",
        /// Sequence of the message.
        stream_seq: u64 = "stream_seq",
        /// Deliveries.
        deliveries: u64 = "deliveries",
        /// Domain.
        domain: String = "domain" omit,
    }
}

advisory! {
    /// A message will not be delivered again.
    MsgTerminated, "advisory.v1.terminated", "ADVISORY.CONSUMER.MSG_TERMINATED" {
        /// Stream.
        stream: String = "stream",
        /// Consumer.
        consumer: String = "consumer",
        /// Sequence of the delivery.
        consumer_seq: u64 = "consumer_seq",
        /// Sequence of the message.
        stream_seq: u64 = "stream_seq",
        /// Deliveries.
        deliveries: u64 = "deliveries",
        /// The client's words, or [`TERM_DELETED`].
        reason: String = "reason" omit,
        /// Domain.
        domain: String = "domain" omit,
    }
}

/// Reason when a pending message was deleted.
pub const TERM_DELETED: &str = "Unacknowledged message was deleted";

advisory! {
    /// A client got the pin of a group.
    GroupPinned, "advisory.v1.consumer_group_pinned", "ADVISORY.CONSUMER.PINNED" {
        /// Account.
        account: String = "account" omit,
        /// Stream.
        stream: String = "stream",
        /// Consumer.
        consumer: String = "consumer",
        /// Domain.
        domain: String = "domain" omit,
        /// Group.
        group: String = "group",
        /// Pin.
        pinned_id: String = "pinned_id",
    }
}

advisory! {
    /// A client lost the pin of a group.
    GroupUnpinned, "advisory.v1.consumer_group_unpinned", "ADVISORY.CONSUMER.UNPINNED" {
        /// Account.
        account: String = "account" omit,
        /// Stream.
        stream: String = "stream",
        /// Consumer.
        consumer: String = "consumer",
        /// Domain.
        domain: String = "domain" omit,
        /// Group.
        group: String = "group",
        /// `admin` or `timeout`.
        reason: String = "reason",
    }
}

advisory! {
    /// A snapshot begins.
    SnapshotCreate, "advisory.v1.snapshot_create", "ADVISORY.STREAM.SNAPSHOT_CREATE" {
        /// Stream.
        stream: String = "stream",
        /// What it holds.
        state: StreamState = "state",
        /// Who asked.
        client: Option<ClientInfo> = "client",
        /// Domain.
        domain: String = "domain" omit,
    }
}

advisory! {
    /// A snapshot is done.
    SnapshotComplete, "advisory.v1.snapshot_complete", "ADVISORY.STREAM.SNAPSHOT_COMPLETE" {
        /// Stream.
        stream: String = "stream",
        /// Begun.
        start: Time = "start",
        /// Done.
        end: Time = "end",
        /// Who asked.
        client: Option<ClientInfo> = "client",
        /// Domain.
        domain: String = "domain" omit,
        /// Why it failed.
        error: String = "error" omit,
    }
}

advisory! {
    /// A restore begins.
    RestoreCreate, "advisory.v1.restore_create", "ADVISORY.STREAM.RESTORE_CREATE" {
        /// Stream.
        stream: String = "stream",
        /// Who asked.
        client: Option<ClientInfo> = "client",
        /// Domain.
        domain: String = "domain" omit,
    }
}

advisory! {
    /// A restore is done.
    RestoreComplete, "advisory.v1.restore_complete", "ADVISORY.STREAM.RESTORE_COMPLETE" {
        /// Stream.
        stream: String = "stream",
        /// Begun.
        start: Time = "start",
        /// Done.
        end: Time = "end",
        /// Bytes received.
        bytes: i64 = "bytes",
        /// Who asked.
        client: Option<ClientInfo> = "client",
        /// Domain.
        domain: String = "domain" omit,
    }
}

advisory! {
    /// An atomic batch was given up.
    BatchAbandoned, "advisory.v1.stream_batch_abandoned", "ADVISORY.STREAM.BATCH_ABANDONED" {
        /// Account, in the system account's copy.
        account: String = "account" omit,
        /// Stream.
        stream: String = "stream",
        /// Domain.
        domain: String = "domain" omit,
        /// Batch.
        batch: String = "batch",
        /// timeout, large, incomplete or unsupported.
        reason: String = "reason",
    }
}
