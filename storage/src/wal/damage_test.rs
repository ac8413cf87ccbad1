//! Damage to synced bytes: reported, nothing altered, and what is missing lies
//! inside the reported ranges.

use super::testing::*;
use super::*;
use crate::disk::hostile::HostileDisk;
use crate::disk::{Disk, OpenMode};

/// A log of several files, all of it vouched for.
struct Log {
    disk: HostileDisk,
    opts: WalOptions,
    seen: Seen,
    /// Below this everything has a later block to vouch for it.
    vouched: Lsn,
    /// Files with the offset after their last block.
    files: Vec<(String, u64)>,
}

fn log(seed: u64, batches: usize) -> Log {
    let (disk, opts) = (HostileDisk::new(seed), opts(16));
    let mut maker = Maker::new(seed);
    let (mut wal, ..) = open(&disk, &opts, seed).unwrap();
    for i in 0..batches {
        let batch: Vec<_> = (0..1 + maker.rng.below(5)).map(|_| maker.record(1500)).collect();
        wal.append(&batch).unwrap();
        if i % 3 == 0 {
            wal.sync().unwrap();
            wal.prepare_spare().unwrap();
        }
        if i == batches / 2 {
            wal.sync().unwrap();
            drop(wal);
            wal = open(&disk, &opts, seed + 1).unwrap().0;
        }
    }
    wal.sync().unwrap();
    assert!(wal.mark_idle().unwrap());
    let mut files: Vec<_> =
        wal.segments.iter().map(|s| (s.path.clone(), s.end_lsn - s.first_lsn + 4096)).collect();
    // The idle mark has nobody to vouch for it.
    files.last_mut().unwrap().1 = wal.pos - 4096;
    let vouched = wal.next_lsn() - 4096;
    let disk = disk.crash(0);
    let (_, report, seen) = open(&disk.fork(), &opts, 9).unwrap();
    assert_eq!(report.gaps, []);
    Log { disk, opts, seen, vouched, files }
}

impl Log {
    /// Opens a damaged copy twice and checks it; returns how many records are missing.
    fn check(&self, disk: &HostileDisk, what: &str) -> usize {
        self.check_once(disk, what, false)
    }

    /// As `check`; `quick` leaves out what comes after the first recovery.
    fn check_once(&self, disk: &HostileDisk, what: &str, quick: bool) -> usize {
        let (wal, report, seen) =
            open(disk, &self.opts, 10).unwrap_or_else(|e| panic!("{what}: {e}"));
        let lost: Vec<_> = self.seen.iter().filter(|s| !seen.contains(s)).collect();
        assert_eq!(seen.len() + lost.len(), self.seen.len(), "{what}: something appeared");
        let kept: Vec<_> = self.seen.iter().filter(|s| seen.contains(s)).cloned().collect();
        assert_eq!(kept, seen, "{what}: order changed");
        for (r, lsn) in &lost {
            let covered = report.gaps.iter().any(|g| (g.from..g.to).contains(lsn));
            assert!(covered, "{what}: {r:?} at {lsn} vanished, gaps {:?}", report.gaps);
        }
        assert!(
            !report.gaps.is_empty() || !report.blemishes.is_empty(),
            "{what}: nothing was reported"
        );
        assert!(wal.next_lsn() >= self.vouched, "{what}: the log went back");
        drop(wal);
        if quick {
            return lost.len();
        }
        let (mut wal, again, twice) = open(disk, &self.opts, 11).unwrap();
        assert_eq!(twice, seen, "{what}: the second recovery differs");
        assert_eq!(again.gaps, report.gaps, "{what}");
        // The log goes on, and what it takes is not lost in the damage.
        let next = Maker::new(99).record(10);
        wal.append(std::slice::from_ref(&next)).unwrap();
        wal.sync().unwrap();
        let (_, _, more) = open(&disk.crash(1), &self.opts, 12).unwrap();
        assert_eq!(more.len(), seen.len() + 1, "{what}");
        assert_eq!(more.last().map(|(r, _)| r), Some(&next), "{what}");
        lost.len()
    }
}

#[test]
fn every_flipped_byte_of_a_durable_region_is_reported() {
    let log = log(3, 8);
    assert!(log.files.len() >= 2);
    let mut lost = 0;
    for (file, end) in &log.files {
        // Every byte of headers and heads, every fifth of records and padding;
        // GUST_SEEDS asks for all.
        let all = std::env::var_os("GUST_SEEDS").is_some();
        for offset in (0..*end).filter(|o| all || o % 2048 < 128 || o % 5 == 0) {
            let disk = log.disk.fork();
            disk.flip_bit(file, offset, (offset % 8) as u8).unwrap();
            lost += log.check_once(&disk, &format!("{file} byte {offset}"), offset % 67 != 0);
        }
    }
    assert!(lost > 0);
}

#[test]
fn zeroed_ranges_are_reported() {
    for_seeds("zeroed_ranges_are_reported", 15, |seed| {
        let log = log(seed, 24);
        let mut rng = Rng(seed);
        for _ in 0..20 {
            let (file, end) = &log.files[rng.below(log.files.len() as u64) as usize];
            let disk = log.disk.fork();
            let (offset, len) = (rng.below(*end), 1 + rng.below(9000));
            disk.zero_range(file, offset, len).unwrap();
            let same = bytes_of(&log.disk, file) == bytes_of(&disk, file);
            if !same && offset + len <= *end {
                log.check(&disk, &format!("{file} zeroed {offset}+{len}"));
            }
        }
    });
}

#[test]
fn cut_files_are_reported() {
    for_seeds("cut_files_are_reported", 15, |seed| {
        let log = log(seed, 24);
        let mut rng = Rng(seed);
        for (file, end) in &log.files {
            let (bytes, last) =
                (bytes_of(&log.disk, file), Some(file) == log.files.last().map(|f| &f.0));
            let cut = rng.below(*end);
            if last && grown(&bytes) {
                // Documented: only the groups can notice this one.
                continue;
            }
            let disk = log.disk.fork();
            disk.truncate(file, cut).unwrap();
            log.check(&disk, &format!("{file} cut at {cut}"));
        }
    });
}

#[test]
fn missing_files_and_lost_headers_are_gaps() {
    for_seeds("missing_files_and_lost_headers_are_gaps", 15, |seed| {
        let log = log(seed, 30);
        assert!(log.files.len() >= 3);
        for (i, (file, _)) in log.files.iter().enumerate() {
            let disk = log.disk.fork();
            disk.zero_range(file, 0, 4096).unwrap();
            log.check(&disk, &format!("{file} without header"));
            // The first and the last file of a log leave no trace when they go.
            if i > 0 && i + 1 < log.files.len() {
                let disk = log.disk.fork();
                disk.remove(file).unwrap();
                log.check(&disk, &format!("{file} removed"));
            }
        }
    });
}

#[test]
fn damaged_files_are_kept_until_released() {
    let log = log(5, 20);
    let (file, _) = &log.files[0];
    log.disk.flip_bit(file, 4096 + 70, 0).unwrap();
    let (mut wal, report, _) = open(&log.disk, &log.opts, 1).unwrap();
    assert_eq!(report.gaps.len(), 1);
    assert!(report.is_after_gap(report.gaps[0].to));
    (0..4).for_each(|g| wal.release_group(g));
    assert_eq!(wal.recycle().unwrap(), 0);
    wal.release_damaged();
    assert!(wal.recycle().unwrap() > 0);
}

#[test]
fn files_of_others_are_refused_and_left_alone() {
    let log = log(6, 3);
    let before = bytes_of(&log.disk, &log.files[0].0);
    for other in [
        WalOptions { node: [1; 16], ..log.opts.clone() },
        WalOptions { lane: 1, ..log.opts.clone() },
    ] {
        let e = open(&log.disk, &other, 1).unwrap_err();
        assert!(matches!(e, WalError::Foreign { .. }), "{e}");
    }
    assert_eq!(bytes_of(&log.disk, &log.files[0].0), before);
}

fn bytes_of(disk: &HostileDisk, path: &str) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Whether the file was made without a spare.
fn grown(bytes: &[u8]) -> bool {
    bytes[64..72] == 4096u64.to_le_bytes()
}
