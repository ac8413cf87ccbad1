//! Answers to publishes, from what a stream knows (contract/jetstream.md §3).

use super::rules::Rules;
use crate::api::{self, PubAck};
use crate::error::ApiError;
use bytes::{Bytes, BytesMut};

/// The PubAck for `seq`; `extra` adds what a duplicate, counter or batch says.
pub fn pub_ack<'a>(rules: &'a Rules, seq: u64, extra: impl FnOnce(&mut PubAck<'a>)) -> Bytes {
    let mut ack =
        PubAck { stream: &rules.config.name, domain: &rules.domain, seq, ..PubAck::default() };
    extra(&mut ack);
    let mut out = BytesMut::new();
    api::pub_ack(&mut out, &ack);
    out.freeze()
}

/// The PubAck of a refused publish.
pub fn refusal(rules: &Rules, error: &ApiError) -> Bytes {
    let mut out = BytesMut::new();
    api::pub_ack_error(&mut out, &rules.config.name, &rules.domain, error);
    out.freeze()
}
