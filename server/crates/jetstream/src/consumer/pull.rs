//! Pull requests: intake, choice of who gets the next message, and how they end
//! (contract/jetstream.md §4.4).

use super::leader::Leader;
use super::rules::Rules;
use super::status::Ended;
use super::waiting::{Group, Waiting};
use super::{Cx, Wake, request, status};
use crate::config::PriorityPolicy;
use crate::duration;
use crate::effect::{Nanos, Outgoing};
use bytes::Bytes;

/// A full queue is cleaned of dead requests at most this often.
const FULL_CHECK: Nanos = 1_000_000_000;
/// Replies of service imports begin like this; their owner is told when the
/// interest behind them is gone.
const IMPORTED: &[u8] = b"_R_.";

impl Leader {
    pub fn pull(&mut self, r: &Rules, cx: &mut Cx<'_>, reply: Bytes, body: &[u8]) -> Wake {
        if reply.is_empty() {
            return Wake::NO;
        }
        if r.push {
            cx.send_static(&reply, status::PUSH_BASED);
            return Wake::NO;
        }
        let w = match self.admit(r, cx, &reply, body) {
            Ok(w) => w,
            Err(refusal) => {
                cx.send(&reply, refusal);
                return Wake::NO;
            }
        };
        if self.waiting.len() >= r.max_waiting && cx.now - self.waiting_checked > FULL_CHECK {
            self.check_waiting(r, cx, false);
        }
        if w.no_wait {
            let available = self.num_pending + self.queued.len() as u64;
            if available == 0 && w.expires.is_none() {
                self.last_activity = cx.now;
                cx.send_static(&reply, status::NO_MESSAGES);
                return Wake::NO;
            }
            if available > 0 {
                self.check_waiting(r, cx, false);
                if available < self.waiting.wanted() {
                    self.last_activity = cx.now;
                    cx.send_static(&reply, status::REQUESTS_PENDING);
                    return Wake::NO;
                }
            }
        }
        if self.waiting.len() >= r.max_waiting {
            // With a heartbeat the client notices by itself; an answer would make
            // it ask again in a hot loop.
            if w.heartbeat == 0 {
                cx.send_static(&reply, status::EXCEEDED_MAX_WAITING);
            }
            return Wake::NO;
        }
        self.waiting.push(w, r.prioritized());
        self.last_activity = cx.now;
        Wake::DELIVER
    }

    /// Checks a request; the error is its refusal.
    fn admit(
        &mut self,
        r: &Rules,
        cx: &Cx<'_>,
        reply: &Bytes,
        body: &[u8],
    ) -> Result<Waiting, Bytes> {
        let bad = |why: &str| status::plain(400, &format!("Bad Request - {why}"));
        let pull = request::parse(body).map_err(|why| bad(&why))?;
        let ask = &pull.ask;
        let over = |what: &str| status::plain(409, &format!("Exceeded {what}"));
        if r.max_batch > 0 && ask.batch > r.max_batch {
            return Err(over(&format!("MaxRequestBatch of {}", r.max_batch)));
        }
        if ask.expires != 0 && r.max_expires > 0 && ask.expires > r.max_expires {
            let max = duration::format(r.max_expires);
            return Err(over(&format!("MaxRequestExpires of {max}")));
        }
        if ask.max_bytes > 0 && r.max_bytes > 0 && ask.max_bytes > r.max_bytes {
            return Err(over(&format!("MaxRequestMaxBytes of {}", r.max_bytes)));
        }
        let group = if pull.document { Some(self.admit_group(r, cx, ask)?) } else { None };
        let positive = |v: i64| u64::try_from(v).unwrap_or(0);
        Ok(Waiting {
            reply: reply.clone(),
            left: positive(ask.batch).max(1),
            got: 0,
            bytes: positive(ask.max_bytes),
            expires: (ask.expires != 0).then(|| cx.now.saturating_add(ask.expires)),
            no_wait: ask.no_wait,
            heartbeat: ask.idle_heartbeat.max(0),
            heartbeat_at: (ask.idle_heartbeat > 0)
                .then(|| cx.now.saturating_add(ask.idle_heartbeat)),
            group,
            seen: 0,
        })
    }

    fn admit_group(
        &mut self,
        r: &Rules,
        cx: &Cx<'_>,
        ask: &request::NextRequest,
    ) -> Result<Group, Bytes> {
        let bad = |why: &str| Err(status::plain(400, &format!("Bad Request - {why}")));
        let minimum = ask.min_pending != 0 || ask.min_ack_pending != 0;
        if minimum && r.priority != PriorityPolicy::Overflow {
            return bad("Not a Overflow Priority consumer");
        }
        if !ask.id.is_empty() && !r.pinned() {
            return bad("Not a Pinned Client Priority consumer");
        }
        let Some(priority) = u8::try_from(ask.priority).ok().filter(|p| *p <= 9) else {
            return bad("Priority must be between 0 and 9");
        };
        if r.priority != PriorityPolicy::None {
            if ask.group.is_empty() {
                return bad("Priority Group missing");
            }
            if !r.groups.contains(&ask.group) {
                return bad("Invalid Priority Group");
            }
            if !self.pin.refresh(r, cx.now, ask.id.as_bytes()) {
                return Err(Bytes::from_static(status::PIN_MISMATCH));
            }
        }
        Ok(Group {
            name: Bytes::copy_from_slice(ask.group.as_bytes()),
            min_pending: u64::try_from(ask.min_pending).unwrap_or(0),
            min_ack_pending: u64::try_from(ask.min_ack_pending).unwrap_or(0),
            id: Bytes::copy_from_slice(ask.id.as_bytes()),
            priority,
        })
    }

    /// Brings a request to the front that takes a message of `size` bytes, and
    /// addresses the message to it. `pending` counts this message.
    pub fn choose(
        &mut self,
        r: &Rules,
        cx: &mut Cx<'_>,
        size: u64,
        pending: u64,
        out: &mut Outgoing,
    ) -> bool {
        let unacked = self.live.pending.len() as u64;
        let (mut cycled, turn) = (0, self.turn);
        while let Some(w) = self.waiting.front() {
            let end = if w.expires.is_some_and(|t| t <= cx.now) {
                Some(Ended::Timeout)
            } else if r.pinned() && self.pin.is_foreign(w) {
                Some(Ended::WrongPin)
            } else if (r.pinned() && !self.pin.admits(w))
                || (r.priority == PriorityPolicy::Overflow && !overflows(w, pending, unacked))
            {
                cycled += 1;
                if cycled >= self.waiting.len() {
                    return false;
                }
                self.waiting.cycle();
                continue;
            } else if w.bytes > 0 && size > w.bytes {
                Some(Ended::TooLarge)
            } else if w.seen != turn && !cx.interest.has(&w.reply) {
                self.drop_front_without_interest(cx);
                continue;
            } else {
                None
            };
            let Some(end) = end else { break };
            let header = end.header(w.left, w.bytes);
            cx.send(&w.reply, header);
            self.waiting.pop();
        }
        let Some(w) = self.waiting.front_mut() else { return false };
        w.seen = turn;
        if w.bytes > 0 {
            w.bytes -= size;
            if w.bytes == 0 {
                // Nothing more fits: this one ends the request.
                w.left = 1;
            }
        }
        w.left = w.left.saturating_sub(1);
        w.got += 1;
        out.to = w.reply.clone();
        if r.pinned() {
            self.take_pin(r, cx, out);
        }
        true
    }

    fn drop_front_without_interest(&mut self, cx: &mut Cx<'_>) {
        if let Some(w) = self.waiting.pop()
            && w.reply.starts_with(IMPORTED)
        {
            let header = Ended::InterestExpired.header(w.left, w.bytes);
            cx.send(&w.reply, header);
        }
    }

    /// After a delivery to the front request.
    pub fn served(&mut self, r: &Rules, cx: &mut Cx<'_>, to: &Bytes) {
        let Some(w) = self.waiting.front_mut() else { return };
        if w.left > 0 {
            if w.heartbeat > 0 {
                w.heartbeat_at = Some(cx.now.saturating_add(w.heartbeat));
            }
            self.waiting.requeue(r.prioritized());
            return;
        }
        let bytes = w.bytes;
        self.waiting.pop();
        if bytes > 0 {
            cx.send(to, Ended::BatchCompleted.header(0, bytes));
        }
    }

    /// Whether a waiting request has an expiry or heartbeat due.
    pub fn waiting_due(&mut self, now: Nanos) -> bool {
        self.waiting.next_event().is_some_and(|t| t <= now)
    }

    /// Ends what expired, what lost its interest and, when everything is
    /// `drained`, what does not want to wait; sends due heartbeats.
    pub fn check_waiting(&mut self, _r: &Rules, cx: &mut Cx<'_>, drained: bool) {
        self.waiting_checked = cx.now;
        if self.waiting.is_empty() {
            return;
        }
        let (last_consumer, last_stream) = self.last_sequences(cx);
        self.waiting.retain(|w| {
            if w.expires.is_some_and(|t| t <= cx.now) {
                cx.send(&w.reply, Ended::Timeout.header(w.left, w.bytes));
                return false;
            }
            if drained && w.no_wait && (w.expires.is_none() || w.got > 0) {
                cx.send_static(&w.reply, status::NO_MESSAGES);
                return false;
            }
            if !cx.interest.has(&w.reply) {
                return false;
            }
            if w.heartbeat_at.is_some_and(|t| t <= cx.now) {
                cx.send(&w.reply, status::heartbeat(last_consumer, last_stream, b""));
                w.heartbeat_at = Some(cx.now.saturating_add(w.heartbeat));
            }
            true
        });
    }

    /// What heartbeats say: last delivery, last stream sequence passed.
    pub fn last_sequences(&mut self, cx: &Cx<'_>) -> (u64, u64) {
        if self.num_pending == 0 {
            self.pass_end(cx);
        }
        (self.live.delivered.consumer, self.cursor.saturating_sub(1))
    }
}

/// `overflow`: served without minimum or when one of them is reached.
fn overflows(w: &Waiting, pending: u64, unacked: u64) -> bool {
    let Some(g) = &w.group else { return true };
    let reached = |min: u64, have: u64| min > 0 && have >= min;
    (g.min_pending == 0 && g.min_ack_pending == 0)
        || reached(g.min_pending, pending)
        || reached(g.min_ack_pending, unacked)
}
