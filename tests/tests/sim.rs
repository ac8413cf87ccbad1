//! One node under a hostile disk, simulated from seeds.
//!
//! `GUST_SEED=n cargo test -p gust-tests --test sim a_node` repeats one run with
//! its trace; `GUST_SEEDS=n..m` runs a range.

use std::ops::Range;

use gust_tests::sim::liar::{Lie, Mistake};
use gust_tests::sim::{Options, Summary, run, seeds};

/// Runs a seed; a failure, or a panic, names the command that repeats it.
fn must_hold(seed: u64, print: bool) -> Summary {
    let options = Options { print, ..Options::default() };
    let result = std::panic::catch_unwind(|| run(seed, options));
    match result {
        Ok(Ok(summary)) => summary,
        other => panic!(
            "seed {seed}: {}\nrepeat: GUST_SEED={seed} cargo test -p gust-tests --test sim a_node",
            match other {
                Ok(Err(why)) => why,
                _ => "panicked".into(),
            }
        ),
    }
}

#[test]
fn a_node_keeps_its_promises_whatever_the_disk_does() {
    let (seeds, print) = seeds(0..200);
    let mut sum = Summary::default();
    let n = seeds.end - seeds.start;
    for seed in seeds {
        let s = must_hold(seed, print);
        sum.starts += s.starts;
        sum.entries += s.entries;
        sum.answers += s.answers;
        sum.deliveries += s.deliveries;
        sum.recycled += s.recycled;
        sum.damage += s.damage;
    }
    println!("{sum:?}");
    if n >= 100 {
        // A simulation in which nothing happens proves nothing.
        assert!(sum.starts > 4 * n && sum.entries > 50 * n && sum.answers > 50 * n, "{sum:?}");
        assert!(sum.deliveries > 20 * n && sum.recycled > n / 4 && sum.damage > n / 4, "{sum:?}");
    }
}

#[test]
fn a_seed_runs_twice_alike() {
    for seed in [1, 7, 1_000_003] {
        assert_eq!(must_hold(seed, false), must_hold(seed, false), "seed {seed}");
    }
}

/// Whether some seed catches a mistake of the glue, without or with damage. The
/// rarer ones start shortly before a seed that is known to, to save time.
fn is_mistake_caught(mistake: Mistake, damage: bool, mut seeds: Range<u64>) -> bool {
    let options = Options { mistake: Some(mistake), damage, ..Options::default() };
    seeds.any(|seed| match run(seed, options) {
        Ok(_) => false,
        Err(why) => {
            eprintln!("{mistake:?}, seed {seed}: {why}");
            true
        }
    })
}

#[test]
fn a_log_given_up_below_the_newest_checkpoint_is_caught() {
    assert!(is_mistake_caught(Mistake::FloorAtNewest, true, 0..100));
}

#[test]
fn a_checkpoint_after_a_failed_sync_is_caught() {
    assert!(is_mistake_caught(Mistake::SyncAgain, false, 180..2000));
}

/// Whether some seed catches the lie.
fn is_caught(lie: impl Fn(u64) -> Lie) -> bool {
    (0..60).any(|seed| {
        let options = Options { lie: Some(lie(seed)), damage: false, ..Options::default() };
        run(seed, options).is_err()
    })
}

#[test]
fn a_log_that_is_not_synced_is_caught() {
    assert!(is_caught(|_| Lie::NoSync));
}

#[test]
fn a_block_of_the_log_that_is_lost_is_caught() {
    assert!(is_caught(|seed| Lie::LostWrite(20 + seed * 3)));
}
