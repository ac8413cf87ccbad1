//! The only place that reads the clock and draws randomness.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since the Unix epoch, UTC.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64)
}

/// RFC 3339 in UTC with nanoseconds, trailing zeros trimmed, as Go writes times.
pub fn rfc3339(ns: i64) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(ns)) {
        Ok(t) => t.to_string(),
        Err(_) => "0001-01-01T00:00:00Z".to_owned(),
    }
}

/// Bytes from the operating system, for secrets and seeds. The process cannot
/// go on without them, and the kernel never refuses after boot.
pub fn secret<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    getrandom::fill(&mut out).expect("the operating system gives random bytes");
    out
}

/// Fast random numbers for queue picks and jitter (xorshift64*, one per shard).
#[derive(Debug)]
pub struct Rng(Cell<u64>);

impl Rng {
    /// Seeded from the operating system.
    pub fn new() -> Self {
        Self(Cell::new(u64::from_le_bytes(secret()) | 1))
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        let mut x = self.0.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

impl Default for Rng {
    fn default() -> Self {
        Self::new()
    }
}
