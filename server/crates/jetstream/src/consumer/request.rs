//! The body of CONSUMER.MSG.NEXT and `+NXT`: empty = 1, an integer = batch,
//! or a document. Anything else counts as 1, as in nats-server.

use crate::effect::Nanos;
use crate::json::{self, json_struct};

json_struct! {
    /// A pull request document.
    pub struct NextRequest("JSApiConsumerGetNextRequest") {
        /// How long it may wait, ns; 0 = for ever.
        expires: Nanos = "expires" omit,
        /// How many messages.
        batch: i64 = "batch" omit,
        /// How many bytes; 0 = no bound.
        max_bytes: i64 = "max_bytes" omit,
        /// End at once when nothing is left.
        no_wait: bool = "no_wait" omit,
        /// Silence after which a heartbeat is sent, ns.
        idle_heartbeat: Nanos = "idle_heartbeat" omit,
        /// Priority group.
        group: String = "group" omit,
        /// `overflow`: only with at least this many pending messages.
        min_pending: i64 = "min_pending" omit,
        /// `overflow`: only with at least this many unacknowledged messages.
        min_ack_pending: i64 = "min_ack_pending" omit,
        /// `pinned_client`: the pin.
        id: String = "id" omit,
        /// `prioritized`: 0 is served first, 9 last.
        priority: i64 = "priority" omit,
    }
}

/// A parsed request and whether it was a document: only those are checked for
/// their priority group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// What is asked for.
    pub ask: NextRequest,
    /// Whether the body was a JSON document.
    pub document: bool,
}

/// Reads a body; the error is the text after `Bad Request - `.
pub fn parse(body: &[u8]) -> Result<Pull, String> {
    let body = body.trim_ascii();
    let plain = |batch| Pull { ask: NextRequest { batch, ..Default::default() }, document: false };
    if body.first() != Some(&b'{') {
        let batch = std::str::from_utf8(body).ok().and_then(|t| t.parse().ok()).unwrap_or(1);
        return Ok(plain(batch));
    }
    // nats-server reads this document with another reader than API requests.
    let ask: NextRequest = json::parse_lenient(body).map_err(|e| match e.0.as_str() {
        "unexpected EOF" => "unexpected end of JSON input".to_owned(),
        _ => e.0,
    })?;
    if ask.idle_heartbeat > 0 && ask.idle_heartbeat.saturating_mul(2) > ask.expires {
        return Err("heartbeat value too large".into());
    }
    Ok(Pull { ask, document: true })
}
