//! How much JetStream may use on this server, and how much it uses.

use gust_config::Options;
use gust_storage::disk::Disk;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

/// Free bytes below which publishes are refused: blocks and log need room for
/// what is in flight and for acks, deletes and purges, which go on. A twentieth
/// of the disk, within bounds, so that small volumes stay usable and what a fast
/// publisher writes between two looks fits on large ones.
fn reserve(total: u64) -> u64 {
    (total / 20).clamp(16 << 20, 512 << 20)
}

/// Limits and use of the whole server, in bytes.
#[derive(Debug, Default)]
pub struct ServerLimits {
    max_memory: AtomicI64,
    max_storage: AtomicI64,
    /// Visible bytes in memory streams.
    pub memory: AtomicI64,
    /// Visible bytes in file streams.
    pub storage: AtomicI64,
    low_space: AtomicBool,
    free: AtomicU64,
}

impl ServerLimits {
    /// From the options; unset limits are 75 % of RAM and of the free disk.
    pub fn new(options: &Options, disk: &dyn Disk) -> Self {
        let free = disk.space().map_or(i64::MAX as u64, |s| s.free);
        let three_quarters = |n: u64| (n / 4 * 3).min(i64::MAX as u64) as i64;
        let ram =
            rustix::system::sysinfo().totalram * u64::from(rustix::system::sysinfo().mem_unit);
        Self {
            max_memory: options.jetstream.max_memory.unwrap_or_else(|| three_quarters(ram)).into(),
            max_storage: options.jetstream.max_store.unwrap_or_else(|| three_quarters(free)).into(),
            free: AtomicU64::new(free),
            ..Self::default()
        }
    }

    /// Most bytes in memory streams; -1 = no limit.
    pub fn max_memory(&self) -> i64 {
        self.max_memory.load(Relaxed)
    }

    /// Most bytes in file streams; -1 = no limit.
    pub fn max_storage(&self) -> i64 {
        self.max_storage.load(Relaxed)
    }

    /// A reload wrote other sizes; those that are derived stay as they are.
    pub fn grow(&self, options: &Options) {
        let js = &options.jetstream;
        for (limit, written) in
            [(&self.max_memory, js.max_memory), (&self.max_storage, js.max_store)]
        {
            if let Some(written) = written {
                limit.store(written, Relaxed);
            }
        }
    }

    /// Looks at the disk. Called a few times a second.
    pub fn look(&self, disk: &dyn Disk) {
        let Ok(space) = disk.space() else { return };
        self.free.store(space.free, Relaxed);
        let low = self.low_space.load(Relaxed);
        let reserve = reserve(space.total);
        // Publishing resumes with some distance, or it would flap.
        let resume = reserve + reserve / 2;
        if !low && space.free < reserve {
            self.low_space.store(true, Relaxed);
            tracing::error!(
                "JetStream: only {} MiB are free on the store's disk; publishes are refused until \
                 {} MiB are free. Delete messages or streams, or make room",
                space.free >> 20,
                resume >> 20
            );
        } else if low && space.free >= resume {
            self.low_space.store(false, Relaxed);
            tracing::info!("JetStream: the disk has room again, publishing resumes");
        }
    }

    /// Whether the disk is nearly full.
    pub fn is_low(&self) -> bool {
        self.low_space.load(Relaxed)
    }

    /// Free bytes at the last look.
    pub fn free(&self) -> u64 {
        self.free.load(Relaxed)
    }

    /// Whether a store of this kind is used up to its limit.
    pub fn exceeded(&self, memory: bool) -> bool {
        let (max, used) = if memory {
            (self.max_memory(), &self.memory)
        } else {
            (self.max_storage(), &self.storage)
        };
        max >= 0 && used.load(Relaxed) >= max
    }
}
