//! The changing part of ConsumerInfo.

use super::leader::Leader;
use super::rules::Rules;
use super::state::{ConsumerState, Position};
use crate::config::PriorityPolicy;
use crate::effect::{Interest, Nanos};
use bytes::Bytes;

/// What ConsumerInfo shows besides name, config and times of creation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InfoData {
    /// `delivered`.
    pub delivered: Position,
    /// `delivered.last_active`.
    pub last_delivery: Option<Nanos>,
    /// `ack_floor`.
    pub ack_floor: Position,
    /// `ack_floor.last_active`.
    pub last_ack: Option<Nanos>,
    /// `num_ack_pending`.
    pub num_ack_pending: u64,
    /// `num_redelivered`.
    pub num_redelivered: u64,
    /// `num_waiting`.
    pub num_waiting: u64,
    /// `num_pending`; 0 where the consumer does not run.
    pub num_pending: u64,
    /// `push_bound`.
    pub push_bound: bool,
    /// `paused`.
    pub paused: bool,
    /// `pause_remaining`, ns.
    pub pause_remaining: Nanos,
    /// `priority_groups`; empty = absent.
    pub priority_groups: Vec<GroupInfo>,
}

/// One entry of `priority_groups`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupInfo {
    /// `group`.
    pub group: String,
    /// `pinned_client_id`, or empty.
    pub pinned_client_id: Bytes,
    /// `pinned_ts`.
    pub pinned_ts: Option<Nanos>,
}

pub(super) fn collect(
    state: &ConsumerState,
    r: &Rules,
    leader: Option<&Leader>,
    now: Nanos,
    interest: &dyn Interest,
) -> InfoData {
    let paused = r.paused(now);
    let mut info = InfoData {
        delivered: state.delivered,
        ack_floor: state.ack_floor,
        num_ack_pending: state.pending.len() as u64,
        // With a single delivery nothing is redelivered, whatever is tracked.
        num_redelivered: if r.max_deliver == 1 { 0 } else { state.redelivered.len() as u64 },
        paused,
        pause_remaining: if paused { r.pause_until.unwrap_or(now) - now } else { 0 },
        ..Default::default()
    };
    let Some(l) = leader else { return info };
    info.last_delivery = l.last_delivery;
    info.last_ack = l.last_ack;
    info.num_pending = l.num_pending;
    info.push_bound = r.push && interest.has_group(&r.deliver_subject, &r.deliver_group);
    let alive = |t: Option<Nanos>| t.is_none_or(|t| t > now);
    info.num_waiting =
        l.waiting.iter().filter(|w| alive(w.expires) && interest.has(&w.reply)).count() as u64;
    if r.priority != PriorityPolicy::None {
        let pinned = !l.pin.id.is_empty();
        let first = r.groups.first().into_iter().map(|g| GroupInfo {
            group: g.clone(),
            pinned_client_id: l.pin.id.clone(),
            pinned_ts: pinned.then_some(l.pin.since),
        });
        info.priority_groups = first.collect();
    }
    info
}
