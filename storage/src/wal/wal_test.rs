//! The log without faults, and on a full disk.

use super::testing::*;
use super::*;
use crate::disk::Disk;
use crate::disk::hostile::HostileDisk;
use crate::disk::real::RealDisk;
use bytes::Bytes;
use std::sync::Arc;

fn entry(group: u64, index: u64, len: usize) -> WalRecord {
    let data = Bytes::from(vec![index as u8; len]);
    WalRecord::Entry { group, term: 1, index, kind: 0, data }
}

#[test]
fn every_kind_of_record_comes_back() {
    let disk = HostileDisk::new(1);
    let (mut wal, report, seen) = open(&disk, &opts(64), 1).unwrap();
    assert_eq!((report, seen), (RecoveryReport::default(), vec![]));
    let data = Bytes::from_static(b"data");
    let batch = vec![
        WalRecord::GroupNew { group: u64::MAX, data: data.clone() },
        WalRecord::Entry { group: 1, term: 2, index: 3, kind: 4, data: Bytes::new() },
        WalRecord::Entry { group: 1, term: 2, index: 4, kind: 0, data: vec![7; 40_000].into() },
        WalRecord::Hard { group: 1, term: 5, vote: 6, commit: 7 },
        WalRecord::Applied { group: 1, index: 8, data: data.clone() },
        WalRecord::GroupGone { group: 9, data },
    ];
    let end = wal.append(&batch).unwrap();
    assert_eq!(end, wal.next_lsn());
    assert_eq!(wal.durable_lsn(), 0);
    assert_eq!(wal.sync().unwrap(), end);
    let (wal, report, seen) = open(&disk, &opts(64), 2).unwrap();
    assert_eq!(records(&seen), batch);
    assert_eq!((report.records, report.end_lsn, report.torn), (6, end, None));
    assert!(wal.next_lsn() > end, "the open mark comes after");
}

#[test]
fn batches_that_cannot_fit_are_refused_whole() {
    let disk = HostileDisk::new(1);
    let (mut wal, ..) = open(&disk, &opts(32), 1).unwrap();
    let limit = wal.max_batch();
    let e = wal.append(&[entry(1, 1, 10), entry(1, 2, limit as usize)]).unwrap_err();
    assert!(matches!(e, WalError::TooLarge { .. }), "{e}");
    let end = wal.append(&[entry(1, 1, limit as usize - 200)]).unwrap();
    assert_eq!(wal.sync().unwrap(), end);
    let (_, _, seen) = open(&disk, &opts(32), 2).unwrap();
    assert_eq!(seen.len(), 1);
}

#[test]
fn marks_are_written_once_and_only_when_needed() {
    let disk = HostileDisk::new(1);
    let (mut wal, ..) = open(&disk, &opts(64), 1).unwrap();
    assert!(!wal.mark_idle().unwrap());
    let end = wal.append(&[entry(1, 1, 10)]).unwrap();
    assert!(wal.mark_idle().unwrap());
    assert!(!wal.mark_idle().unwrap());
    assert_eq!(wal.durable_lsn(), wal.next_lsn());
    let (_, report, _) = open(&disk.crash(1), &opts(64), 2).unwrap();
    assert_eq!(report.vouched_lsn, end);
}

#[test]
fn idle_groups_pin_nothing_and_busy_ones_do() {
    let disk = HostileDisk::new(1);
    let (mut wal, ..) = open(&disk, &opts(16), 1).unwrap();
    wal.append(&[entry(7, 1, 10)]).unwrap();
    wal.release_group(7);
    let mut lsns = Vec::new();
    for i in 0..12 {
        lsns.push(wal.next_lsn());
        wal.append(&[entry(1, i, 10)]).unwrap();
    }
    assert_eq!(wal.segments.len(), 5);
    assert_eq!(wal.recycle().unwrap(), 0);
    assert_eq!(wal.pinning(9), [(1, lsns[2] - 1)]);
    wal.set_floor(1, lsns[2]);
    assert_eq!(wal.recycle().unwrap(), 1, "group 7 is idle and its floor still holds");
    wal.set_floor(1, lsns[0]);
    assert_eq!(wal.recycle().unwrap(), 0, "floors only rise");
    wal.set_floor(1, wal.next_lsn());
    assert_eq!(wal.recycle().unwrap(), 3, "the file being written stays");
    assert_eq!(wal.spares.len(), 2, "more are removed");
    let live = wal.live_bytes();
    assert_eq!(live, wal.bytes_since(0));
    assert!(live <= 3 * 4096);
    let before = disk.list(DIR).unwrap().len();
    for i in 0..6 {
        wal.append(&[entry(1, 12 + i, 10)]).unwrap();
    }
    assert_eq!(disk.list(DIR).unwrap().len(), before, "spares were used");
}

#[test]
fn spares_grow_from_the_first_size_to_the_full_one() {
    let disk = HostileDisk::new(1);
    let opts = WalOptions { spares: 2, ..opts(128) };
    let (mut wal, ..) = open(&disk, &opts, 1).unwrap();
    assert!(wal.wants_spare().is_none(), "an unused lane needs none");
    let mut sizes = Vec::new();
    for i in 0..60 {
        wal.append(&[entry(1, i, 4000)]).unwrap();
        if let Some(mut job) = wal.wants_spare() {
            assert!(wal.wants_spare().is_none(), "one at a time");
            job.run().unwrap();
            sizes.push(job.len >> 10);
            assert!(wal.add_spare(job));
        }
    }
    assert_eq!(sizes[..4], [32, 64, 128, 128]);
    assert!(sizes[4..].iter().all(|s| *s == 128));
}

#[test]
fn a_full_disk_fails_appends_until_there_is_space() {
    let disk = HostileDisk::new(1);
    let (mut wal, ..) = open(&disk, &opts(32), 1).unwrap();
    disk.set_free(0);
    let mut expected = Vec::new();
    for i in 0..3 {
        expected.push(entry(1, i, 10));
        wal.append(&expected[i as usize..]).unwrap();
    }
    // No header, then a header but no block, then a page more of the batch each time.
    for free in [0, 4096, 4096, 4096, 4096] {
        disk.set_free(free);
        let batch = [entry(1, 50, 5000), entry(1, 51, 5000), entry(1, 52, 1000)];
        let e = wal.append(&batch).unwrap_err();
        assert!(e.is_disk_full(), "{e}");
        for seed in 0..20 {
            let (_, report, seen) = open(&disk.crash(seed), &opts(32), seed).unwrap();
            assert_eq!(report.gaps, []);
            assert!(expected.starts_with(&records(&seen)), "{free}: a failed append is there");
        }
    }
    wal.sync().unwrap();
    disk.set_free(1 << 20);
    expected.push(entry(1, 3, 10));
    wal.append(&expected[3..]).unwrap();
    wal.sync().unwrap();
    let (_, _, seen) = open(&disk.crash(3), &opts(32), 3).unwrap();
    assert_eq!(records(&seen), expected);
}

#[test]
fn spares_take_appends_on_a_full_disk() {
    let disk = HostileDisk::new(1);
    let (mut wal, ..) = open(&disk, &opts(16), 1).unwrap();
    for i in 0..2 {
        wal.append(&[entry(1, i, 10)]).unwrap();
    }
    assert!(wal.prepare_spare().unwrap());
    disk.set_free(0);
    for i in 2..6 {
        wal.append(&[entry(1, i, 10)]).unwrap();
    }
    assert!(wal.append(&[entry(1, 6, 10)]).unwrap_err().is_disk_full());
    wal.sync().unwrap();
    // A restart on the full disk works; the log is readable, appending waits.
    let (mut wal, _, seen) = open(&disk.crash(1), &opts(16), 1).unwrap();
    assert_eq!(seen.len(), 6);
    assert!(wal.append(&[entry(1, 6, 10)]).unwrap_err().is_disk_full());
    assert!(!wal.is_fenced());
}

#[test]
fn a_failed_sync_fences_for_ever() {
    let disk = HostileDisk::new(1);
    let (mut wal, ..) = open(&disk, &opts(64), 1).unwrap();
    wal.append(&[entry(1, 1, 10)]).unwrap();
    disk.fail_sync(1);
    for _ in 0..2 {
        assert!(matches!(wal.sync(), Err(WalError::Fenced { .. })));
        assert!(matches!(wal.append(&[entry(1, 2, 10)]), Err(WalError::Fenced { .. })));
        assert!(matches!(wal.recycle(), Err(WalError::Fenced { .. })));
        assert!(matches!(wal.mark_idle(), Err(WalError::Fenced { .. })));
    }
    assert!(wal.is_fenced() && wal.durable_lsn() == 0);
}

#[test]
fn real_files_work_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open_locked(dir.path()).unwrap());
    let mut expected = Vec::new();
    let mut maker = Maker::new(4);
    for round in 0..3 {
        let mut seen = Vec::new();
        let (mut wal, report) =
            Wal::open(disk.clone(), DIR, opts(64), round, &mut |r, _| seen.push(r)).unwrap();
        assert_eq!((&report.gaps[..], &report.torn), (&[][..], &None));
        assert_eq!(seen, expected);
        for _ in 0..30 {
            let batch = maker.batch();
            wal.append(&batch).unwrap();
            expected.extend(batch);
            wal.sync().unwrap();
            wal.prepare_spare().unwrap();
        }
    }
}
