//! One measurement: how much, how fast, at what cost.

use crate::server::{Cost, Server};
use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Instant;

/// What one run of a scenario on one server gave.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sample {
    /// Messages (or what the scenario counts) per second.
    pub rate: f64,
    /// Server CPU microseconds per message.
    pub cpu_us: f64,
    /// Resident memory at the end, bytes.
    pub rss: u64,
    /// Latency percentiles in microseconds, where the scenario has them.
    pub p50_us: Option<f64>,
    /// 99th percentile.
    pub p99_us: Option<f64>,
    /// 99.9th percentile.
    pub p999_us: Option<f64>,
    /// Memory per peer in bytes, for scenarios that measure that; the rate is its
    /// inverse.
    pub per_peer: Option<f64>,
    /// Seconds, for scenarios that measure a duration instead of a rate.
    pub seconds: Option<f64>,
}

/// Measures from its making to [`Meter::done`].
pub struct Meter {
    start: Instant,
    cost: Cost,
}

impl Meter {
    /// Starts the clock.
    pub fn start(server: &Server) -> Result<Meter> {
        Ok(Meter { cost: server.cost()?, start: Instant::now() })
    }

    /// Stops it after `messages`.
    pub fn done(
        self,
        server: &Server,
        messages: u64,
        latency: Option<&Histogram<u64>>,
    ) -> Result<Sample> {
        let seconds = self.start.elapsed().as_secs_f64();
        let cost = server.cost()?;
        let n = messages.max(1) as f64;
        let at = |q: f64| latency.map(|h| h.value_at_quantile(q) as f64 / 1000.0);
        Ok(Sample {
            rate: n / seconds,
            cpu_us: (cost.cpu_us - self.cost.cpu_us) / n,
            rss: cost.rss,
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            per_peer: None,
            seconds: None,
        })
    }
}

/// A latency histogram in nanoseconds, up to a minute.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are valid")
}
