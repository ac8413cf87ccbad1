//! What a connection may publish and subscribe to (contract/core.md §4.3).

use crate::patterns::Patterns;
use gust_config::options::permissions as config;
use gust_subject::{matches, overlaps, subset, valid_subscribe};
use std::sync::Arc;

/// Permissions of a user, ready to decide. Deny beats allow; a side that was not
/// configured is unrestricted.
#[derive(Debug, Clone)]
pub struct Permissions {
    publish: Publish,
    subscribe: Subscribe,
    responses: Option<config::ResponsePermission>,
    source: config::Permissions,
}

/// A permission that is no subject, or no subject and queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "permission {0:?} is not a valid subject; write one subject, or \"subject queue\" to subscribe"
)]
pub struct PermissionsError(pub String);

#[derive(Debug, Clone, Default)]
struct Publish {
    allow: Option<Patterns>,
    deny: Option<Patterns>,
}

#[derive(Debug, Clone, Default)]
struct Subscribe {
    allow: Option<Side>,
    deny: Option<Side>,
}

/// Entries without and with a queue.
#[derive(Debug, Clone)]
struct Side {
    plain: Patterns,
    queues: Vec<(Box<[u8]>, Box<[u8]>)>,
}

impl Permissions {
    /// Compiles permissions as written.
    pub fn new(source: &config::Permissions) -> Result<Permissions, PermissionsError> {
        let publish = match &source.publish {
            Some(side) => Publish {
                allow: side.allow.as_deref().map(subjects).transpose()?,
                deny: non_empty(&side.deny).map(subjects).transpose()?,
            },
            None => Publish::default(),
        };
        let subscribe = match &source.subscribe {
            Some(side) => Subscribe {
                allow: side.allow.as_deref().and_then(non_empty).map(Side::new).transpose()?,
                deny: non_empty(&side.deny).map(Side::new).transpose()?,
            },
            None => Subscribe::default(),
        };
        Ok(Permissions { publish, subscribe, responses: source.responses, source: source.clone() })
    }

    /// The permissions as written, for monitoring and `$SYS.REQ.USER.INFO`.
    pub fn source(&self) -> &config::Permissions {
        &self.source
    }

    /// Limits of answering requests, if that is allowed: see
    /// [`crate::ResponseGrants`], to be asked when [`Permissions::can_publish`] refuses.
    pub fn responses(&self) -> Option<config::ResponsePermission> {
        self.responses
    }

    /// Whether publishing to `subject` (after mapping) is allowed.
    pub fn can_publish(&self, subject: &[u8]) -> bool {
        self.publish.allow.as_ref().is_none_or(|p| p.matches(subject))
            && !self.publish.deny.as_ref().is_some_and(|p| p.matches(subject))
    }

    /// Whether a subscription is accepted; `queue` is empty if there is none.
    /// Its wildcards count as names, as in nats-server: `bar.>` is accepted where
    /// `bar.*` is allowed, and a subject that merely overlaps a deny is accepted.
    /// What it may not receive is held back by [`Permissions::delivery_filter`].
    pub fn can_subscribe(&self, subject: &[u8], queue: &[u8]) -> bool {
        self.subscribe.allow.as_ref().is_none_or(|side| side.allows(subject, queue))
            && !self.subscribe.deny.as_ref().is_some_and(|side| side.denies(subject, queue))
    }

    /// What must be asked before each delivery to an accepted subscription, or
    /// `None` if everything it matches may be delivered.
    pub fn delivery_filter(
        self: &Arc<Self>,
        subject: &[u8],
        queue: &[u8],
    ) -> Option<DeliveryFilter> {
        let covered = match &self.subscribe.allow {
            Some(side) => side.covers(subject, queue),
            None => true,
        };
        let denied = self.subscribe.deny.as_ref().is_some_and(|side| side.overlaps(subject, queue));
        (!covered || denied)
            .then(|| DeliveryFilter { permissions: self.clone(), queue: queue.into() })
    }
}

/// Holds back messages that a wide subscription matches but may not receive.
#[derive(Debug, Clone)]
pub struct DeliveryFilter {
    permissions: Arc<Permissions>,
    queue: Box<[u8]>,
}

impl DeliveryFilter {
    /// Whether a message with this subject may be delivered.
    pub fn passes(&self, subject: &[u8]) -> bool {
        self.permissions.can_subscribe(subject, &self.queue)
    }
}

impl Side {
    fn new(entries: &[String]) -> Result<Side, PermissionsError> {
        let mut plain: Vec<&[u8]> = Vec::new();
        let mut queues = Vec::new();
        for entry in entries {
            let parts: Vec<&str> = entry.split_whitespace().collect();
            if parts.iter().any(|p| !valid_subscribe(p.as_bytes())) {
                return Err(PermissionsError(entry.clone()));
            }
            match parts.as_slice() {
                [subject] => plain.push(subject.as_bytes()),
                [subject, queue] => {
                    queues.push((subject.as_bytes().into(), queue.as_bytes().into()));
                }
                _ => return Err(PermissionsError(entry.clone())),
            }
        }
        Ok(Side { plain: plain.into_iter().collect(), queues })
    }

    /// If entries with a queue match the subject, they decide for groups.
    fn allows(&self, subject: &[u8], queue: &[u8]) -> bool {
        let by_queue = if queue.is_empty() { None } else { self.queue_matches(subject, queue) };
        by_queue.unwrap_or_else(|| self.plain.matches(subject))
    }

    fn denies(&self, subject: &[u8], queue: &[u8]) -> bool {
        self.plain.matches(subject)
            || (!queue.is_empty() && self.queue_matches(subject, queue) == Some(true))
    }

    /// Whether an entry with a queue matches both, `None` if none matches the
    /// subject. `v1.*` as a queue's name matches itself.
    fn queue_matches(&self, subject: &[u8], queue: &[u8]) -> Option<bool> {
        let mut found = None;
        for (_, pattern) in self.queues.iter().filter(|(s, _)| matches(subject, s)) {
            if is_queue(queue, pattern) {
                return Some(true);
            }
            found = Some(false);
        }
        found
    }

    /// Whether everything `subject` matches is allowed for sure.
    fn covers(&self, subject: &[u8], queue: &[u8]) -> bool {
        if queue.is_empty() {
            return self.plain.covers(subject);
        }
        let mut met = self.queues.iter().filter(|(s, _)| overlaps(subject, s)).peekable();
        (met.peek().is_none() && self.plain.covers(subject))
            || met.any(|(s, pattern)| is_queue(queue, pattern) && subset(subject, s))
    }

    fn overlaps(&self, subject: &[u8], queue: &[u8]) -> bool {
        let by_queue = |(s, pattern): &(Box<[u8]>, Box<[u8]>)| {
            is_queue(queue, pattern) && overlaps(subject, s)
        };
        self.plain.overlaps(subject) || (!queue.is_empty() && self.queues.iter().any(by_queue))
    }
}

/// Whether a permission's queue means `queue`; one with wildcards also means
/// itself.
fn is_queue(queue: &[u8], pattern: &[u8]) -> bool {
    pattern == queue || matches(queue, pattern)
}

fn subjects(entries: &[String]) -> Result<Patterns, PermissionsError> {
    match entries.iter().find(|e| !valid_subscribe(e.as_bytes())) {
        Some(bad) => Err(PermissionsError(bad.clone())),
        None => Ok(entries.iter().map(|e| e.as_bytes()).collect()),
    }
}

fn non_empty(list: &[String]) -> Option<&[String]> {
    (!list.is_empty()).then_some(list)
}
