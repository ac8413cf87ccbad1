//! The set of deletes against a plain set.

use super::deletes::Deletes;
use bytes::BytesMut;
use std::collections::BTreeSet;

fn check(d: &Deletes, model: &BTreeSet<u64>, around: u64) {
    assert_eq!(d.len(), model.len() as u64);
    let next = model.range(around..).next().copied();
    assert_eq!(d.next(around), next, "next member from {around}");
    assert_eq!(d.contains(around), model.contains(&around));
    let mut absent = around;
    while model.contains(&absent) {
        absent += 1;
    }
    assert_eq!(d.next_absent(around), absent);
    let mut below = Some(around);
    while below.is_some_and(|b| model.contains(&b)) {
        below = below.and_then(|b| b.checked_sub(1));
    }
    assert_eq!(d.prev_absent(around), below);
    let to = around + 9_000 * (around % 8);
    assert_eq!(d.count(around, to), model.range(around..=to).count() as u64);
}

#[test]
fn random_actions_agree_with_a_plain_set() {
    let mut d = Deletes::default();
    let mut model = BTreeSet::new();
    let mut x = 12345u64;
    let mut rnd = |n: u64| {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (x >> 33) % n
    };
    for step in 0..250 {
        match rnd(300) {
            0 => {
                let (a, len) = (rnd(200_000), rnd(150_000));
                assert_eq!(
                    d.insert_range(a, a + len),
                    (a..=a + len).filter(|s| model.insert(*s)).count() as u64
                );
            }
            1 => {
                let below = rnd(100_000);
                d.remove_below(below);
                model = model.split_off(&below);
            }
            2..40 => {
                let a = rnd(200_000);
                d.insert_range(a, a + 40);
                model.extend(a..=a + 40);
            }
            _ => {
                let s = rnd(200_000);
                assert_eq!(d.insert(s), model.insert(s));
            }
        }
        check(&d, &model, rnd(410_000) % 250_000);
        if step % 500 == 0 {
            let mut out = BytesMut::new();
            d.encode(&mut out);
            let again = Deletes::decode(&mut &out[..]).unwrap();
            let flat: Vec<u64> = again.ranges(0).flat_map(|(a, b)| a..=b).collect();
            assert!(flat.iter().eq(model.iter()));
            assert_eq!(again.len(), model.len() as u64);
        }
    }
}

#[test]
fn a_gap_of_any_width_is_small() {
    let mut d = Deletes::default();
    assert_eq!(d.insert_range(5, 1 << 40), (1 << 40) - 4);
    assert!(d.memory() < 20_000, "{}", d.memory());
    assert_eq!(d.ranges(0).collect::<Vec<_>>(), [(5, 1 << 40)]);
    d.remove_below(1 << 39);
    assert_eq!(d.ranges(0).collect::<Vec<_>>(), [(1 << 39, 1 << 40)]);
}
