//! `allow_responses`: a received reply subject may be published to, so many
//! times, for so long.

use foldhash::fast::FixedState;
use gust_config::options::permissions::{
    DEFAULT_RESPONSE_EXPIRY_NS, DEFAULT_RESPONSES, ResponsePermission,
};
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes a grant takes besides its subject, in map, queue and allocation.
const GRANT_BYTES: usize = 112;

/// The grants of one connection. Limit: bytes; when full, what has expired goes
/// first, then the oldest grants, whose answers will be refused.
#[derive(Debug)]
pub struct ResponseGrants {
    /// Messages per grant; `None`: unlimited.
    max: Option<u64>,
    /// Nanoseconds; `None`: for ever.
    ttl: Option<u64>,
    grants: HashMap<Arc<[u8]>, Grant, FixedState>,
    /// Grants by age: subject and number. Entries of renewed or used up grants
    /// stay until they are the oldest.
    ages: VecDeque<(Arc<[u8]>, u64)>,
    bytes: usize,
    limit: usize,
    next: u64,
}

#[derive(Debug)]
struct Grant {
    number: u64,
    left: Option<u64>,
    /// Nanoseconds on the caller's clock.
    until: Option<u64>,
}

impl ResponseGrants {
    /// No grants yet; `limit` in bytes, `seed` a random number.
    pub fn new(permission: ResponsePermission, limit: usize, seed: u64) -> Self {
        // Zero means unset, a negative number means no limit.
        let or_default =
            |n: i64, default: i64| u64::try_from(if n == 0 { default } else { n }).ok();
        ResponseGrants {
            max: or_default(permission.max, DEFAULT_RESPONSES),
            ttl: or_default(permission.expires_ns, DEFAULT_RESPONSE_EXPIRY_NS),
            grants: HashMap::with_hasher(FixedState::with_seed(seed)),
            ages: VecDeque::new(),
            bytes: 0,
            limit,
            next: 0,
        }
    }

    /// Grants answers to `reply`, which came with a message just delivered.
    /// Granting again starts anew. `now` in nanoseconds of a clock that only
    /// goes forward.
    pub fn grant(&mut self, reply: &[u8], now: u64) {
        let key: Arc<[u8]> = reply.into();
        let until = self.ttl.map(|ttl| now.saturating_add(ttl));
        self.next += 1;
        self.grants.insert(key.clone(), Grant { number: self.next, left: self.max, until });
        self.ages.push_back((key, self.next));
        self.bytes += GRANT_BYTES + reply.len();
        self.drop_old(now);
    }

    /// Whether a message to `subject` is a granted answer; counts it if so.
    pub fn take(&mut self, subject: &[u8], now: u64) -> bool {
        let Some(grant) = self.grants.get_mut(subject) else { return false };
        if grant.until.is_some_and(|until| now > until) {
            self.grants.remove(subject);
            return false;
        }
        if let Some(left) = &mut grant.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.grants.remove(subject);
            }
        }
        true
    }

    /// Grants that are open, expired ones not yet noticed included.
    pub fn len(&self) -> usize {
        self.grants.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    /// Bytes taken.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_old(&mut self, now: u64) {
        while let Some((subject, number)) = self.ages.front() {
            let grant = self.grants.get(subject).filter(|g| g.number == *number);
            let expired = grant.is_some_and(|g| g.until.is_some_and(|until| now > until));
            if grant.is_some() && !expired && self.bytes <= self.limit {
                return;
            }
            self.bytes -= GRANT_BYTES + subject.len();
            if grant.is_some() {
                self.grants.remove(subject);
            }
            self.ages.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(max: i64, expires_ns: i64) -> ResponseGrants {
        ResponseGrants::new(ResponsePermission { max, expires_ns }, 10_000, 1)
    }

    #[test]
    fn a_grant_is_used_up_or_expires() {
        let mut g = grants(2, 100);
        assert!(!g.take(b"r", 0));
        g.grant(b"r", 0);
        assert!(g.take(b"r", 50) && g.take(b"r", 100) && !g.take(b"r", 100));
        g.grant(b"r", 100);
        assert!(!g.take(b"r", 201) && g.is_empty());
        g.grant(b"r", 300);
        g.grant(b"r", 350);
        assert!(g.take(b"r", 450), "granting again starts anew");
        assert!(!g.take(b"other", 450));
    }

    #[test]
    fn limits_may_be_absent_or_default() {
        let mut g = grants(-1, -1);
        g.grant(b"r", 0);
        assert!((0..100).all(|_| g.take(b"r", u64::MAX)));
        let mut g = grants(0, 0);
        g.grant(b"r", 0);
        assert!(g.take(b"r", 120_000_000_000) && !g.take(b"r", 0));
    }

    #[test]
    fn bytes_are_bounded_and_the_oldest_go() {
        let mut g = grants(1, -1);
        for i in 0..1000 {
            g.grant(format!("r{i}").as_bytes(), i);
            assert!(g.bytes() <= 10_000);
        }
        assert!(g.len() > 50);
        assert!(g.take(b"r999", 0) && !g.take(b"r0", 0));
        // A subject granted again and again, or used at once, does not pile up.
        let mut g = grants(1, -1);
        for i in 0..1000 {
            g.grant(b"same", i);
            g.grant(b"used", i);
            assert!(g.take(b"used", i));
        }
        assert!(g.bytes() <= 10_000 && g.len() == 1 && g.take(b"same", 0));
    }

    #[test]
    fn expired_grants_leave_first() {
        let mut g = grants(1, 10);
        for i in 0..30 {
            g.grant(format!("r{i}").as_bytes(), 0);
        }
        g.grant(b"new", 11);
        assert_eq!(g.len(), 1);
    }
}
