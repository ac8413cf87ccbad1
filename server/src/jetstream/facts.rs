//! What a stream is told of its surroundings.

use crate::account::AccountState;
use crate::shard::Shard;
use gust_config::options::jetstream::JetStreamLimits;
use gust_jetstream::stream::{BatchLimits, Facts};

/// The facts of now for a stream of `account`; `memory`: where it stores.
pub fn facts(shard: &Shard, account: &AccountState, memory: bool) -> Facts {
    let options = shard.server.options.load();
    let mut facts = Facts {
        max_payload: options.limits.max_payload.max(0) as u64,
        max_pending: options.limits.max_pending.max(0) as u64,
        batch: batch_limits(&options.jetstream.limits),
        ..Facts::default()
    };
    if let Some(js) = &*shard.server.jetstream.look() {
        facts.account_full = account.jetstream.exceeded(memory);
        facts.server_full = js.limits.exceeded(memory)
            || (!memory
                && (js.limits.is_low() || js.lane.state.is_full() || js.lane.state.is_fenced()));
    }
    facts
}

/// What batches may do; 0 means the default.
fn batch_limits(l: &JetStreamLimits) -> BatchLimits {
    let d = BatchLimits::default();
    let or = |n: i64, default: usize| if n > 0 { n as usize } else { default };
    BatchLimits {
        per_stream: or(l.batch_max_inflight_per_stream, d.per_stream),
        room: or(l.batch_max_inflight_total, d.room),
        msgs: if l.batch_max_msgs > 0 { l.batch_max_msgs as u64 } else { d.msgs },
        timeout: if l.batch_timeout_ns > 0 { l.batch_timeout_ns } else { d.timeout },
    }
}
