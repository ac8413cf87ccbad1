//! What the tests of the log share: a small layout and a seeded generator.

use super::*;
use crate::disk::Disk;
use crate::disk::hostile::HostileDisk;
use bytes::Bytes;
use std::sync::Arc;

pub(super) const DIR: &str = "wal/0";

/// Delivered records with their lsns.
pub(super) type Seen = Vec<(WalRecord, Lsn)>;

pub(super) fn opts(segment_kib: u64) -> WalOptions {
    WalOptions {
        segment_bytes: segment_kib << 10,
        first_bytes: 16 << 10,
        spares: 1,
        keep_spares: 2,
        max_block: 6000,
        read_chunk: 8192,
        ..WalOptions::default()
    }
}

pub(super) fn open(
    disk: &HostileDisk,
    opts: &WalOptions,
    seed: u64,
) -> Result<(Wal, RecoveryReport, Seen), WalError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut seen = Vec::new();
    let (wal, report) =
        Wal::open(disk, DIR, opts.clone(), seed, &mut |r, lsn| seen.push((r, lsn)))?;
    Ok((wal, report, seen))
}

pub(super) fn records(seen: &Seen) -> Vec<WalRecord> {
    seen.iter().map(|(r, _)| r.clone()).collect()
}

/// SplitMix64.
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Makes records that are all different.
pub(super) struct Maker {
    pub(super) rng: Rng,
    index: u64,
}

impl Maker {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: Rng(seed), index: 0 }
    }

    pub(super) fn record(&mut self, max_data: u64) -> WalRecord {
        self.index += 1;
        let index = self.index;
        let group = self.rng.below(4);
        let len = self.rng.below(max_data + 1) as usize;
        let data = Bytes::from(vec![index as u8; len]);
        match self.rng.below(10) {
            0 => WalRecord::Hard { group, term: 1, vote: 2, commit: index },
            1 => WalRecord::Applied { group, index, data },
            2 => WalRecord::GroupNew { group, data: index.to_le_bytes().to_vec().into() },
            3 => WalRecord::GroupGone { group, data: index.to_le_bytes().to_vec().into() },
            _ => WalRecord::Entry { group, term: 1, index, kind: 3, data },
        }
    }

    pub(super) fn batch(&mut self) -> Vec<WalRecord> {
        // Mostly small; sometimes several blocks, sometimes data written in place.
        let (n, max) = match self.rng.below(12) {
            0 => (4, 4000),
            1 => (1, 20_000),
            2..=4 => (8, 300),
            _ => (3, 100),
        };
        let n = 1 + self.rng.below(n);
        (0..n).map(|_| self.record(max)).collect()
    }
}

/// Seeds to run: the one in `GUST_SEED`, or `GUST_SEEDS` many, or `default`.
pub(super) fn seeds(default: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|s| s.parse().ok());
    match number("GUST_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("GUST_SEEDS").unwrap_or(default)).collect(),
    }
}

/// Runs `f` for each seed and prints how to repeat the one that failed.
pub(super) fn for_seeds(test: &str, default: u64, f: impl Fn(u64)) {
    for seed in seeds(default) {
        let hint = Hint(test, seed);
        f(seed);
        std::mem::forget(hint);
    }
}

struct Hint<'a>(&'a str, u64);

impl Drop for Hint<'_> {
    fn drop(&mut self) {
        eprintln!("reproduce: GUST_SEED={} cargo test -p gust-storage {}", self.1, self.0);
    }
}
