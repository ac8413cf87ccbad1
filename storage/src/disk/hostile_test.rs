//! Shows that the hostile disk is hostile, but keeps its promises.

use super::*;
use std::collections::BTreeSet;

fn file(disk: &HostileDisk, path: &str) -> Arc<dyn DiskFile> {
    disk.open(path, OpenMode::Create).unwrap()
}

fn contents(disk: &HostileDisk, path: &str) -> Option<Vec<u8>> {
    let f = disk.open(path, OpenMode::Read).ok()?;
    let mut buf = vec![0; f.len().unwrap() as usize];
    f.read_exact_at(&mut buf, 0).unwrap();
    Some(buf)
}

#[test]
fn synced_bytes_and_names_survive_every_crash() {
    let disk = HostileDisk::new(1);
    disk.create_dir_all("a/b").unwrap();
    let f = file(&disk, "a/b/f");
    f.write_all_at(&[7; 3000], 0).unwrap();
    f.sync().unwrap();
    for dir in ["", "a", "a/b"] {
        disk.sync_dir(dir).unwrap();
    }
    f.write_all_at(&[8; 1000], 3000).unwrap();
    let mut lengths = BTreeSet::new();
    for seed in 0..200 {
        let after = contents(&disk.crash(seed), "a/b/f").unwrap();
        assert_eq!(after[..3000], [7; 3000]);
        assert!(after[3000..].iter().all(|b| *b == 8 || *b == 0));
        lengths.insert(after.len());
    }
    assert!(lengths.contains(&3000) && lengths.contains(&4000), "{lengths:?}");
}

#[test]
fn unsynced_writes_are_kept_lost_torn_and_reordered() {
    let disk = HostileDisk::new(1);
    let f = file(&disk, "f");
    f.write_all_at(&[1; 2048], 0).unwrap();
    f.sync().unwrap();
    disk.sync_dir("").unwrap();
    f.write_all_at(&[2; 1024], 0).unwrap();
    f.write_all_at(&[3; 1024], 1024).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..500 {
        let after = contents(&disk.crash(seed), "f").unwrap();
        let sectors: Vec<u8> = after
            .chunks(512)
            .map(|s| {
                assert!(s.iter().all(|b| *b == s[0]), "a sector is atomic");
                s[0]
            })
            .collect();
        seen.insert(sectors);
    }
    for outcome in [[2, 2, 3, 3], [1, 1, 1, 1], [1, 1, 3, 3], [2, 1, 1, 1], [1, 2, 3, 1]] {
        assert!(seen.contains(&outcome[..]), "{outcome:?} never happened");
    }
}

#[test]
fn unsynced_names_may_be_lost_and_renames_are_atomic() {
    let disk = HostileDisk::new(1);
    for (name, byte) in [("old", 1), ("new.tmp", 2)] {
        let f = file(&disk, name);
        f.write_all_at(&[byte], 0).unwrap();
        f.sync().unwrap();
    }
    disk.sync_dir("").unwrap();
    disk.rename("new.tmp", "old").unwrap();
    file(&disk, "other");
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let c = disk.crash(seed);
        let old = contents(&c, "old").unwrap();
        assert_eq!(old == [1], contents(&c, "new.tmp").is_some(), "half a rename");
        seen.insert((old[0], contents(&c, "other").is_some()));
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
    disk.sync_dir("").unwrap();
    assert!((0..50).all(|s| contents(&disk.crash(s), "old").unwrap() == [2]));
}

#[test]
fn a_file_in_an_unsynced_directory_can_vanish_with_it() {
    let disk = HostileDisk::new(1);
    disk.create_dir_all("d").unwrap();
    file(&disk, "d/f").sync().unwrap();
    disk.sync_dir("d").unwrap();
    let kept = (0..100).filter(|s| contents(&disk.crash(*s), "d/f").is_some()).count();
    assert!((1..100).contains(&kept), "{kept}");
    disk.sync_dir("").unwrap();
    assert!((0..100).all(|s| contents(&disk.crash(s), "d/f").is_some()));
}

#[test]
fn a_failed_sync_loses_what_the_next_one_claims_to_have() {
    let mut lost = 0;
    for seed in 0..100 {
        let disk = HostileDisk::new(seed);
        let f = file(&disk, "f");
        disk.sync_dir("").unwrap();
        f.write_all_at(&[1; 512], 0).unwrap();
        disk.fail_sync(1);
        assert!(f.sync().is_err());
        f.sync().unwrap();
        lost += usize::from(contents(&disk.crash(seed), "f").unwrap().is_empty());
    }
    assert!((1..100).contains(&lost), "{lost}");
}

#[test]
fn a_full_disk_takes_what_fits_and_recovers() {
    let disk = HostileDisk::new(1);
    let f = file(&disk, "f");
    f.write_all_at(&[1; 4096], 0).unwrap();
    disk.set_free(4096);
    let err = f.write_all_at(&[2; 9000], 4096).unwrap_err();
    assert_eq!(err.kind(), io::ErrorKind::StorageFull);
    assert_eq!(f.len().unwrap(), 8192);
    f.write_all_at(&[3; 8192], 0).unwrap();
    assert_eq!(disk.space().unwrap().free, 0);
    disk.set_free(8192);
    f.write_all_at(&[2; 4904], 8192).unwrap();
    disk.remove("f").unwrap();
    assert_eq!(disk.space().unwrap().free, disk.space().unwrap().total);
}

#[test]
fn the_power_goes_off_at_the_chosen_operation() {
    let script = |disk: &HostileDisk| -> io::Result<()> {
        let f = disk.open("f", OpenMode::Create)?;
        f.write_all_at(&[1; 10], 0)?;
        f.sync()?;
        disk.sync_dir("")
    };
    let whole = HostileDisk::new(1);
    script(&whole).unwrap();
    assert_eq!(whole.ops(), 4);
    for op in 1..=4 {
        let disk = HostileDisk::new(1);
        disk.crash_at(op);
        assert!(script(&disk).is_err());
        assert!(disk.is_off() && disk.ops() == op);
        assert!(disk.list("").is_err(), "reads fail too");
        disk.crash(op).list("").unwrap();
    }
}

#[test]
fn damage_reaches_the_platter_and_forks_are_independent() {
    let disk = HostileDisk::new(1);
    let f = file(&disk, "f");
    f.write_all_at(&[0xff; 8], 0).unwrap();
    disk.sync_all().unwrap();
    let fork = disk.fork();
    fork.flip_bit("f", 1, 0).unwrap();
    fork.zero_range("f", 3, 2).unwrap();
    fork.truncate("f", 7).unwrap();
    let want = [0xff, 0xfe, 0xff, 0, 0, 0xff, 0xff];
    assert_eq!(contents(&fork.crash(0), "f").unwrap(), want);
    assert_eq!(contents(&disk.crash(0), "f").unwrap(), [0xff; 8]);
}

#[test]
fn the_same_seed_repeats() {
    let run = || {
        let disk = HostileDisk::new(9);
        let f = file(&disk, "f");
        for i in 0..50u8 {
            f.write_all_at(&[i; 700], u64::from(i) * 300).unwrap();
        }
        disk.sync_dir("").unwrap();
        contents(&disk.crash(5), "f")
    };
    assert_eq!(run(), run());
}
