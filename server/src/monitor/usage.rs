//! What the process uses of the machine.

use parking_lot::Mutex;

/// What the process uses, from the kernel's books.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Resident memory in bytes.
    pub rss: u64,
    /// CPU time of all threads since start, in seconds.
    pub cpu_seconds: f64,
}

/// Reads `/proc/self/stat`; zeros where that is not possible.
pub fn now() -> Usage {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return Usage::default() };
    // The command name may hold blanks: fields count from behind its bracket.
    let Some((_, rest)) = stat.rsplit_once(')') else { return Usage::default() };
    let field = |n: usize| -> u64 {
        rest.split_ascii_whitespace().nth(n).and_then(|f| f.parse().ok()).unwrap_or(0)
    };
    let ticks = rustix::param::clock_ticks_per_second().max(1) as f64;
    Usage {
        rss: field(21) * rustix::param::page_size() as u64,
        cpu_seconds: (field(11) + field(12)) as f64 / ticks,
    }
}

/// Processors the process may run on.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Least time between two samples, ns: the kernel counts in hundredths of a
/// second.
const SAMPLE: i64 = 1_000_000_000;

/// CPU use since the last sample, in percent of one core.
#[derive(Debug, Default)]
pub struct Cpu(Mutex<Sample>);

#[derive(Debug, Default)]
struct Sample {
    at: i64,
    cpu_seconds: f64,
    percent: f64,
}

impl Cpu {
    /// Starts to count at `now`, ns.
    pub fn new(now: i64) -> Self {
        Self(Mutex::new(Sample { at: now, ..Sample::default() }))
    }

    /// The use now. Asked again within a second the answer is the same.
    pub fn percent(&self, usage: &Usage, now: i64) -> f64 {
        let mut last = self.0.lock();
        let passed = now - last.at;
        if passed >= SAMPLE {
            let used = (usage.cpu_seconds - last.cpu_seconds).max(0.0);
            let percent = used / (passed as f64 / 1e9) * 100.0;
            *last = Sample {
                at: now,
                cpu_seconds: usage.cpu_seconds,
                percent: (percent * 100.0).round() / 100.0,
            };
        }
        last.percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_measured_since_the_last_sample() {
        let cpu = Cpu::new(0);
        let at = |cpu_seconds| Usage { rss: 0, cpu_seconds };
        assert_eq!(cpu.percent(&at(0.5), SAMPLE / 2), 0.0);
        assert_eq!(cpu.percent(&at(1.0), 2 * SAMPLE), 50.0);
        assert_eq!(cpu.percent(&at(9.0), 2 * SAMPLE + 1), 50.0);
        assert_eq!(cpu.percent(&at(5.0), 4 * SAMPLE), 200.0);
    }
}
