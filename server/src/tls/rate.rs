//! `connection_rate_limit`: handshakes per second.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(1);

/// Counts handshakes in windows of a second that begin with the first of them.
#[derive(Debug)]
pub struct RateLimit {
    limit: u64,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    count: u64,
    refused: u64,
}

/// May this handshake go on?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Yes.
    Go,
    /// No; `first` of this window, which is worth a line in the log.
    Refuse {
        /// Nothing was refused in this window before.
        first: bool,
    },
}

impl RateLimit {
    /// `limit` handshakes per second; 0 or less: any number.
    pub fn new(limit: i64) -> Self {
        Self { limit: limit.max(0) as u64, window: Mutex::default() }
    }

    /// Counts one handshake at `now`.
    pub fn take(&self, now: Instant) -> Rate {
        if self.limit == 0 {
            return Rate::Go;
        }
        let mut w = self.window.lock();
        if w.since.is_none_or(|s| now.saturating_duration_since(s) >= WINDOW) {
            *w = Window { since: Some(now), ..Window::default() };
        }
        if w.count >= self.limit {
            w.refused += 1;
            return Rate::Refuse { first: w.refused == 1 };
        }
        w.count += 1;
        Rate::Go
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_takes_its_limit_and_the_next_begins_anew() {
        let r = RateLimit::new(2);
        let t = Instant::now();
        assert_eq!(r.take(t), Rate::Go);
        assert_eq!(r.take(t), Rate::Go);
        assert_eq!(r.take(t), Rate::Refuse { first: true });
        assert_eq!(r.take(t + WINDOW / 2), Rate::Refuse { first: false });
        assert_eq!(r.take(t + WINDOW), Rate::Go);
        let any = RateLimit::new(0);
        assert!((0..100).all(|_| any.take(t) == Rate::Go));
    }
}
