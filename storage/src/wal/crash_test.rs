//! Crashes at every operation of scripted runs: what was synced is there in
//! order, what was not appended never is, and what was delivered stays.

use super::testing::*;
use super::*;
use crate::disk::hostile::HostileDisk;
use std::collections::BTreeMap;

/// What a run did, as its owner knows it.
#[derive(Default)]
struct Model {
    /// Appended records, in order, with an lsn not above their block's.
    appended: Vec<(WalRecord, Lsn)>,
    /// How many of them a sync covered.
    synced: usize,
    /// Records of an append that the power cut interrupted.
    maybe: Vec<WalRecord>,
    floors: BTreeMap<u64, Lsn>,
}

impl Model {
    /// Position of the oldest record somebody needs.
    fn first_needed(&self) -> usize {
        let needed =
            |(r, lsn): &(WalRecord, Lsn)| *lsn >= self.floors.get(&r.group()).copied().unwrap_or(0);
        self.appended.iter().position(needed).unwrap_or(self.appended.len())
    }

    /// Checks a recovery; returns how many records of `appended` + `maybe` were
    /// passed over at the front and how many came.
    fn check(&self, report: &RecoveryReport, seen: &Seen) {
        assert_eq!(report.gaps, [], "a crash is not damage");
        assert_eq!(report.blemishes, []);
        let all: Vec<&WalRecord> =
            self.appended.iter().map(|(r, _)| r).chain(&self.maybe).collect();
        let start = match seen.first() {
            Some((r, _)) => all.iter().position(|a| *a == r).expect("a record never appended"),
            None => all.len().min(self.synced),
        };
        assert!(start <= self.first_needed().min(self.synced), "needed records are gone");
        for (i, (r, _)) in seen.iter().enumerate() {
            assert_eq!(Some(&r), all.get(start + i), "record {i} is wrong");
        }
        let end = start + seen.len();
        assert!(end >= self.synced, "{end} recovered, {} synced", self.synced);
        assert!(seen.is_sorted_by_key(|(_, lsn)| *lsn));
    }
}

/// Runs a script until it ends or the power goes off.
fn script(disk: &HostileDisk, seed: u64, model: &mut Model) -> Result<(), WalError> {
    let opts = opts(32);
    let mut maker = Maker::new(seed);
    let (mut wal, ..) = open(disk, &opts, seed)?;
    for step in 0..28 {
        match maker.rng.below(14) {
            0..=5 => {
                let batch = maker.batch();
                let lsn = wal.next_lsn();
                match wal.append(&batch) {
                    Ok(_) => model.appended.extend(batch.into_iter().map(|r| (r, lsn))),
                    Err(e) if e.is_disk_full() => {}
                    Err(e) => {
                        model.maybe = batch;
                        return Err(e);
                    }
                }
            }
            6..=8 => {
                wal.sync()?;
                model.synced = model.appended.len();
            }
            9 => {
                wal.mark_idle()?;
            }
            10 => {
                // A spare that fails is no reason to stop.
                let spare = wal.prepare_spare();
                if disk.is_off() {
                    spare?;
                }
            }
            11 => {
                // A checkpoint holds what is durable.
                let group = maker.rng.below(4);
                let floor = wal.sync()?;
                model.synced = model.appended.len();
                for g in group..4 {
                    wal.set_floor(g, floor);
                    model.floors.insert(g, floor);
                }
                wal.recycle()?;
            }
            12 => {
                disk.set_free(if step % 2 == 0 { maker.rng.below(6) << 12 } else { 1 << 30 });
            }
            _ => {
                // The process ends and comes back; the floors come from checkpoints.
                drop(wal);
                let (again, report, seen) = open(disk, &opts, seed + step)?;
                wal = again;
                model.check(&report, &seen);
                model.synced = model.appended.len();
                model.floors.iter().for_each(|(g, l)| wal.set_floor(*g, *l));
            }
        }
    }
    wal.sync()?;
    model.synced = model.appended.len();
    Ok(())
}

/// Like `script`, but a full disk or a mark that does not fit is no failure.
fn run(disk: &HostileDisk, seed: u64) -> Model {
    let mut model = Model::default();
    if let Err(e) = script(disk, seed, &mut model) {
        assert!(disk.is_off() || e.is_disk_full(), "{e}");
    }
    model
}

#[test]
fn a_crash_at_every_operation_loses_nothing_synced() {
    for_seeds("a_crash_at_every_operation_loses_nothing_synced", 20, |seed| {
        let whole = HostileDisk::new(seed);
        run(&whole, seed);
        for op in 1..=whole.ops() {
            let disk = HostileDisk::new(seed);
            disk.crash_at(op);
            let model = run(&disk, seed);
            for outcome in 0..4 {
                recover_twice(&disk.crash(outcome), outcome, &model);
            }
        }
    });
}

/// Recovers; crashes again in the middle of that or right after it; recovers.
fn recover_twice(disk: &HostileDisk, outcome: u64, model: &Model) {
    disk.set_free(1 << 30);
    let interrupted = disk.fork();
    interrupted.crash_at(1 + outcome * 2);
    if open(&interrupted, &opts(32), 77).is_err() {
        assert!(interrupted.is_off());
        let (_, report, seen) = open(&interrupted.crash(outcome), &opts(32), 78).unwrap();
        model.check(&report, &seen);
    }
    let (mut wal, report, first) = open(disk, &opts(32), 79).unwrap();
    model.check(&report, &first);
    let again = disk.crash(outcome + 9);
    let (_, report, second) = open(&again, &opts(32), 80).unwrap();
    assert_eq!((&report.gaps[..], &second), (&[][..], &first), "a recovery is not a fixed point");
    // What comes now must not meet leftovers of what was dropped.
    let mut maker = Maker::new(1 << 40);
    let mut expected = records(&first);
    for _ in 0..3 {
        let batch: Vec<_> = (0..3).map(|_| maker.record(200)).collect();
        wal.append(&batch).unwrap();
        expected.extend(batch);
    }
    let (_, report, seen) = open(&disk.crash(outcome), &opts(32), 81).unwrap();
    assert_eq!(report.gaps, []);
    assert!(records(&seen).len() >= first.len());
    assert!(expected.starts_with(&records(&seen)));
    wal.sync().unwrap();
    let (_, report, seen) = open(&disk.crash(outcome), &opts(32), 82).unwrap();
    assert_eq!((&report.gaps[..], records(&seen)), (&[][..], expected));
}

#[test]
fn a_failed_sync_fences_and_a_restart_tells_the_truth() {
    for_seeds("a_failed_sync_fences_and_a_restart_tells_the_truth", 60, |seed| {
        let whole = HostileDisk::new(seed);
        run(&whole, seed);
        for n in 1..=whole.syncs() {
            let disk = HostileDisk::new(seed);
            disk.fail_sync(n);
            let mut model = Model::default();
            // The sync may be one of a background job or an open, which report it.
            let _ = script(&disk, seed, &mut model);
            disk.set_free(1 << 30);
            // The process restarts over a page cache that may lie.
            let Ok((_, report, seen)) = open(&disk, &opts(32), 5) else { panic!("sync {n}") };
            model.check(&report, &seen);
            let (_, report, later) = open(&disk.crash(n), &opts(32), 6).unwrap();
            assert_eq!((&report.gaps[..], later), (&[][..], seen), "sync {n}");
        }
    });
}

#[test]
fn the_harness_notices_a_sync_that_does_nothing() {
    // Proof that the checks can fail: acks without syncs must be caught.
    let caught = (0..20).any(|seed| {
        let disk = HostileDisk::new(seed);
        let (mut wal, ..) = open(&disk, &opts(32), seed).unwrap();
        let batch = Maker::new(seed).batch();
        wal.append(&batch).unwrap();
        let (_, _, seen) = open(&disk.crash(seed), &opts(32), 1).unwrap();
        seen.len() < batch.len()
    });
    assert!(caught);
}
