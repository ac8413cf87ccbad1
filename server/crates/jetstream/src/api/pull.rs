//! The body of CONSUMER.MSG.NEXT (contract/jetstream.md §4.4).

use crate::effect::Nanos;
use crate::json::{JsonError, json_struct, parse_lenient};

json_struct! {
    /// A pull request. Durations are ns, 0 = not set.
    pub struct PullRequest("JSApiConsumerGetNextRequest") {
        /// How long it waits; 0 = for ever.
        expires: Nanos = "expires" omit duration,
        /// How many messages; below 1 delivers one.
        batch: i64 = "batch" omit int,
        /// Most bytes; 0 = no bound.
        max_bytes: i64 = "max_bytes" omit int,
        /// Answer at once when there is nothing.
        no_wait: bool = "no_wait" omit,
        /// Silence after which a heartbeat is sent.
        idle_heartbeat: Nanos = "idle_heartbeat" omit duration,
        /// Priority group.
        group: String = "group" omit,
        /// Serve only while this many messages are pending (overflow).
        min_pending: i64 = "min_pending" omit,
        /// Serve only while this many acks are pending (overflow).
        min_ack_pending: i64 = "min_ack_pending" omit,
        /// Pin of a pinned client.
        id: String = "id" omit,
        /// 0 to 9, lowest first (prioritized).
        priority: i64 = "priority" omit int,
    }
}

/// Why a body is refused with `400 Bad Request - <text>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PullError {
    /// Not JSON, or of the wrong types.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// Two heartbeats do not fit into `expires`.
    #[error("heartbeat value too large")]
    Heartbeat,
}

impl PullRequest {
    /// Reads a body: nothing, a number, or an object. Other text asks for one
    /// message. The flag tells whether it was an object: only then is the
    /// priority group looked at.
    pub fn parse(body: &[u8]) -> Result<(PullRequest, bool), PullError> {
        let body = body.trim_ascii();
        if body.first() != Some(&b'{') {
            let number = std::str::from_utf8(body).ok().and_then(|t| t.parse().ok());
            return Ok((PullRequest { batch: number.unwrap_or(1), ..Self::default() }, false));
        }
        let request: PullRequest = parse_lenient(body)?;
        let heartbeat = request.idle_heartbeat;
        if heartbeat > 0 && heartbeat.saturating_mul(2) > request.expires {
            return Err(PullError::Heartbeat);
        }
        Ok((request, true))
    }
}
