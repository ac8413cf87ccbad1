//! The streams and consumers of a simulated node.

use super::rng::Rng;
use bytes::Bytes;
use gust_jetstream::config::{AccountLimits, CreateConsumerRequest, ServerLimits, StreamConfig};
use gust_jetstream::json;
use gust_jetstream::stream::Identity;

/// A stream that exists from the beginning.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Its raft group.
    pub group: u64,
    /// What never changes.
    pub identity: Identity,
    /// Its first configuration.
    pub config: StreamConfig,
}

/// Start of simulated time: not zero, so that zero means "unset".
pub const START: i64 = 60_000_000_000;

/// What the streams are like besides their names.
const KINDS: [&str; 7] = [
    r#""max_msgs":60,"allow_rollup_hdrs":true,"allow_msg_ttl":true"#,
    r#""max_msgs_per_subject":1,"allow_rollup_hdrs":true"#,
    r#""max_msgs":20,"max_msgs_per_subject":6,"discard":"new","allow_rollup_hdrs":true"#,
    r#""retention":"interest","max_msgs":200"#,
    r#""retention":"workqueue","max_bytes":40000"#,
    r#""max_age":20000000000,"allow_msg_ttl":true,"allow_rollup_hdrs":true,
       "subject_delete_marker_ttl":1000000000"#,
    r#""max_msgs_per_subject":3,"discard":"new","discard_new_per_subject":true"#,
];

/// Streams drawn at random.
pub fn assets(rng: &mut Rng) -> Vec<Asset> {
    (0..1 + rng.below(3))
        .map(|i| {
            let group = 16 + i;
            let name = format!("S{group}");
            let kind = rng.pick(&KINDS);
            let body = format!(
                r#"{{"name":"{name}","subjects":["{name}.>"],"max_consumers":-1,"max_msgs":-1,
                    "max_bytes":-1,"max_msgs_per_subject":-1,"max_msg_size":-1,"storage":"file",
                    "num_replicas":1,"duplicate_window":30000000000,{kind}}}"#
            );
            let identity = Identity { account: "A".into(), created: START, ..Identity::default() };
            // Later fields win, as in nats-server.
            let config = json::parse_lenient(body.as_bytes()).expect("the document is ours");
            Asset { group, identity, config }
        })
        .collect()
}

/// Limits no request reaches.
pub fn limits() -> (ServerLimits, AccountLimits) {
    (ServerLimits::default(), AccountLimits::NONE)
}

/// A request for consumer `c<n>` of stream `name`.
pub fn consumer(name: &str, n: u64, config: &StreamConfig) -> CreateConsumerRequest {
    use gust_jetstream::config::RetentionPolicy;
    // Work queues allow each subject one consumer only.
    let filter = match (config.retention, n) {
        (RetentionPolicy::WorkQueue, n) => format!("{name}.{n}"),
        (_, 0) => String::new(),
        (_, 1) => format!("{name}.1"),
        _ => format!("{name}.*"),
    };
    let max_deliver = if config.retention == RetentionPolicy::Limits && n == 2 { 3 } else { -1 };
    let body = format!(
        r#"{{"stream_name":"{name}","config":{{"name":"c{n}","durable_name":"c{n}",
            "ack_policy":"explicit","ack_wait":5000000000,"max_deliver":{max_deliver},
            "max_ack_pending":50,"filter_subject":"{filter}"}}}}"#
    );
    json::parse_lenient(body.as_bytes()).expect("the document is ours")
}

/// A header block from `Key: value` lines.
pub fn block(lines: &[String]) -> Bytes {
    if lines.is_empty() {
        return Bytes::new();
    }
    format!("NATS/1.0\r\n{}\r\n\r\n", lines.join("\r\n")).into()
}
