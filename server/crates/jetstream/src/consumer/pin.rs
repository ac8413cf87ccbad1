//! `pinned_client`: one client of the priority group gets everything until it
//! stops pulling or is unpinned.

use super::leader::Leader;
use super::rules::Rules;
use super::waiting::Waiting;
use super::{Cx, Wake, status};
use crate::effect::{Nanos, Outgoing};
use bytes::Bytes;

/// Why CONSUMER.UNPIN is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnpinError {
    /// The consumer has no such group (error 10160).
    #[error("priority group is not one of the consumer's")]
    UnknownGroup,
}

/// Who holds the pin.
#[derive(Debug, Default)]
pub(super) struct Pin {
    /// The holder's id; empty = nobody.
    pub id: Bytes,
    /// When it was given.
    pub since: Nanos,
    /// When it is taken back unless refreshed.
    pub until: Option<Nanos>,
}

impl Pin {
    /// A pull with `id` came in: the holder's keeps the pin, one without id may
    /// wait, another's is refused (`false`).
    pub fn refresh(&mut self, r: &Rules, now: Nanos, id: &[u8]) -> bool {
        if self.id.is_empty() || id.is_empty() {
            return true;
        }
        if self.id != id {
            return false;
        }
        self.until = Some(now.saturating_add(r.pin_timeout));
        true
    }

    /// Whether the request carries a pin that is not the current one.
    pub fn is_foreign(&self, w: &Waiting) -> bool {
        w.group.as_ref().is_some_and(|g| !g.id.is_empty() && g.id != self.id)
    }

    /// Whether the request may be served: it holds the pin, or may get it.
    pub fn admits(&self, w: &Waiting) -> bool {
        self.id.is_empty() || w.group.as_ref().is_some_and(|g| g.id == self.id)
    }
}

impl Leader {
    /// The front request is served: it gets the pin if nobody has it, and the
    /// message says who does.
    pub fn take_pin(&mut self, r: &Rules, cx: &mut Cx<'_>, out: &mut Outgoing) {
        if self.pin.id.is_empty()
            && let Some(g) = self.waiting.front_mut().and_then(|w| w.group.as_mut())
            && !g.name.is_empty()
        {
            let id = self.random.id();
            g.id = id.clone();
            let until = Some(cx.now.saturating_add(r.pin_timeout));
            self.pin = Pin { id, since: cx.now, until };
            self.pinned_advisory(r, cx);
        }
        if !self.pin.id.is_empty() {
            let buf = self.replies.room(out.headers.len() + 64);
            out.headers = status::with_field(&out.headers, "Nats-Pin-Id", &self.pin.id, buf);
        }
    }

    pub fn unpin(&mut self, r: &Rules, cx: &mut Cx<'_>, group: &str) -> Result<Wake, UnpinError> {
        if !r.groups.iter().any(|g| g == group) {
            return Err(UnpinError::UnknownGroup);
        }
        Ok(self.drop_pin(r, cx, "admin"))
    }

    pub fn drop_pin(&mut self, r: &Rules, cx: &mut Cx<'_>, reason: &'static str) -> Wake {
        if self.pin.id.is_empty() {
            return Wake::NO;
        }
        self.pin = Pin::default();
        self.unpinned_advisory(r, cx, reason);
        Wake::DELIVER
    }
}
