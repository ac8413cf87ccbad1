//! The file store on a disk that does its worst: power cuts at every operation,
//! flipped bits everywhere, no space.

use super::file::{FileOptions, FileStore};
use super::memory::MemoryStore;
use super::model::{Action, Model, Msg, Rng};
use super::store_test::small;
use super::{StoreError, StreamStore};
use crate::disk::hostile::HostileDisk;
use crate::disk::{Disk, OpenMode};
use std::collections::BTreeMap;
use std::sync::Arc;

enum Step {
    Act(Action),
    Checkpoint,
    Compact,
}

/// A script and the model after each number of actions that a checkpoint may
/// name.
fn script(seed: u64, steps: usize) -> Vec<Step> {
    let mut rng = Rng(seed);
    let mut model = Model::default();
    let mut memory = MemoryStore::new();
    (0..steps)
        .map(|_| match rng.below(30) {
            0 => Step::Checkpoint,
            1 => Step::Compact,
            _ => {
                let action = model.random_action(&mut rng);
                model.apply(&mut memory, &action).unwrap();
                Step::Act(action)
            }
        })
        .collect()
}

#[derive(Default)]
struct Run {
    model: Model,
    done: Vec<Action>,
    /// Model at each checkpoint begun, by applied index.
    begun: BTreeMap<u64, Model>,
    /// Applied index of the last one that was durable.
    durable: u64,
}

impl Run {
    fn new() -> Run {
        let model = Model { file: true, ..Model::default() };
        Run { begun: BTreeMap::from([(0, model.clone())]), model, ..Run::default() }
    }

    fn step(&mut self, store: &mut FileStore, step: &Step) -> Result<(), StoreError> {
        match step {
            Step::Act(action) => {
                self.model.apply(store, action)?;
                self.done.push(action.clone());
            }
            Step::Checkpoint => {
                let applied = self.done.len() as u64;
                let app = applied.to_le_bytes();
                self.begun.insert(applied, self.model.clone());
                let done = store.begin_checkpoint(applied, 1, &app)?.run()?;
                assert!(done.damaged.is_empty(), "{done:?}");
                store.finish_checkpoint(done);
                self.durable = applied;
            }
            Step::Compact => {
                store.compact_step(3000)?;
            }
        }
        Ok(())
    }

    /// Opens what is left, replays the log and compares.
    fn recover(&self, disk: Arc<HostileDisk>, options: FileOptions, what: &str) -> FileStore {
        let (mut store, recovered, report) = FileStore::open(disk, "s", options).unwrap();
        assert!(report.damaged.is_empty(), "{what}: {report:?}");
        let applied = recovered.map_or(0, |r| {
            assert_eq!(r.app, r.applied_index.to_le_bytes()[..], "{what}");
            r.applied_index
        });
        assert!(applied >= self.durable, "{what}: back to {applied} from {}", self.durable);
        let mut model = self.begun[&applied].clone();
        model.check_all(&store).unwrap();
        for action in &self.done[applied as usize..] {
            model.apply(&mut store, action).unwrap();
        }
        model.check_all(&store).unwrap();
        store
    }
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_that_was_checkpointed() {
    for seed in 1..4 {
        let options = FileOptions { compress: seed == 2, ..small() };
        let steps = script(seed, 260);
        let probe = HostileDisk::new(seed);
        let mut run = Run::new();
        let mut store = FileStore::open(Arc::new(probe.clone()), "s", options).unwrap().0;
        for step in &steps {
            run.step(&mut store, step).unwrap();
        }
        let total = probe.ops();
        assert!(total > 150, "{total} operations are too few to mean something");
        for op in 1..=total {
            let disk = HostileDisk::new(seed);
            disk.crash_at(op);
            let mut run = Run::new();
            if let Ok((mut store, ..)) = FileStore::open(Arc::new(disk.clone()), "s", options) {
                for step in &steps {
                    if run.step(&mut store, step).is_err() {
                        break;
                    }
                }
            }
            assert!(disk.is_off());
            let what = format!("seed {seed}, crash at {op}");
            let after = Arc::new(disk.crash(op * 31 + seed));
            let mut store = run.recover(after.clone(), options, &what);
            // It goes on from there, and once more after another cut.
            let applied = run.done.len() as u64;
            let done = store.begin_checkpoint(applied, 1, &applied.to_le_bytes());
            store.finish_checkpoint(done.unwrap().run().unwrap());
            run.begun.insert(applied, model_after(&run));
            run.durable = applied;
            run.recover(Arc::new(after.crash(op)), options, &what);
        }
    }
}

/// The model after everything in the log (the run's own may have stopped in the
/// middle of an action).
fn model_after(run: &Run) -> Model {
    let mut model = Model { file: false, ..Model::default() };
    let mut memory = MemoryStore::new();
    for action in &run.done {
        model.apply(&mut memory, action).unwrap();
    }
    Model { file: true, ..model }
}

/// A store with sealed blocks and two checkpoints, and what it holds.
fn settled(options: FileOptions) -> (HostileDisk, Run) {
    let disk = HostileDisk::new(9);
    let mut store = FileStore::open(Arc::new(disk.clone()), "s", options).unwrap().0;
    let mut run = Run::new();
    for (i, step) in script(77, 240).iter().enumerate() {
        run.step(&mut store, step).unwrap();
        if i == 200 {
            run.step(&mut store, &Step::Checkpoint).unwrap();
        }
    }
    run.step(&mut store, &Step::Checkpoint).unwrap();
    (disk, run)
}

/// Every message that can be read is the one that was written; whether all can.
fn check_readable(store: &FileStore, model: &Model, what: &str) -> bool {
    let mut whole = true;
    for (seq, want) in &model.msgs {
        match store.load(*seq) {
            Ok(Some(m)) => {
                assert_eq!(m.payload, want.payload, "{what}: {seq}");
                assert_eq!(m.subject, want.subject, "{what}: {seq}");
                assert_eq!((m.seq, m.ts), (*seq, want.ts), "{what}");
            }
            Ok(None) => panic!("{what}: {seq} is absent"),
            Err(StoreError::Damaged { .. }) => whole = false,
            Err(e) => panic!("{what}: {e}"),
        }
    }
    whole
}

#[test]
fn a_flipped_bit_is_reported_or_harmless() {
    for compress in [false, true] {
        let options = FileOptions { compress, ..small() };
        let (disk, run) = settled(options);
        let (mut unreadable, mut fell_back) = (0, 0);
        for file in disk.list("s").unwrap() {
            let path = format!("s/{}", file.name);
            for offset in (0..file.len).step_by(if file.len > 2000 { 13 } else { 3 }) {
                let bad = disk.fork();
                bad.flip_bit(&path, offset, (offset % 8) as u8).unwrap();
                let what = format!("{path} at {offset}");
                let bad = Arc::new(bad);
                let (store, recovered, report) = FileStore::open(bad, "s", options).unwrap();
                assert!(!report.rebuilt, "{what}");
                fell_back += u64::from(report.fell_back);
                let applied = recovered.map_or(0, |r| r.applied_index);
                assert_eq!(report.fell_back, applied != run.durable, "{what}: {report:?}");
                let model = &run.begun[&applied];
                assert_eq!(store.state(), StreamState(&store, model).expected(), "{what}");
                unreadable += u64::from(!check_readable(&store, model, &what));
            }
        }
        assert!(unreadable > 50 && fell_back > 50, "{unreadable} {fell_back}: test proves little");
    }
}

/// The expected totals; the first time may be unreadable.
struct StreamState<'a>(&'a FileStore, &'a Model);

impl StreamState<'_> {
    fn expected(&self) -> super::StoreState {
        let mut want = self.1.state();
        if self.0.state().first_ts == 0 {
            want.first_ts = 0;
        }
        want
    }
}

#[test]
fn without_checkpoints_the_blocks_are_enough() {
    for compress in [false, true] {
        let options = FileOptions { compress, ..small() };
        let (disk, run) = settled(options);
        for file in disk.list("s").unwrap() {
            if file.name.starts_with("index-") {
                disk.flip_bit(&format!("s/{}", file.name), 20, 1).unwrap();
            }
        }
        let disk = Arc::new(disk);
        let (mut store, recovered, report) = FileStore::open(disk.clone(), "s", options).unwrap();
        assert_eq!(recovered, None);
        assert!(report.rebuilt);
        assert_eq!(report.damaged.len(), 2, "{report:?}");
        run.model.check_all(&store).unwrap();
        let mut run = run;
        run.step(&mut store, &Step::Checkpoint).unwrap();
        run.recover(disk, options, "after a rebuild");
    }
}

#[test]
fn a_missing_block_is_reported_and_never_absent() {
    let (disk, run) = settled(small());
    for file in disk.list("s").unwrap().iter().filter(|f| f.name.ends_with(".blk")) {
        let bad = disk.fork();
        bad.remove(&format!("s/{}", file.name)).unwrap();
        let (store, recovered, report) = FileStore::open(Arc::new(bad), "s", small()).unwrap();
        assert_eq!(recovered.unwrap().applied_index, run.durable);
        let named = report.damaged.iter().any(|d| d.to_string().contains(&file.name));
        for (seq, m) in &run.model.msgs {
            match store.load(*seq) {
                Ok(got) => assert_eq!(got.unwrap().payload, m.payload),
                Err(e) => assert!(named && e.to_string().contains(&file.name), "{e}"),
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_and_changes_nothing() {
    let mut refused = 0;
    for seed in 20..26 {
        let disk = HostileDisk::new(seed);
        let options = FileOptions { compress: seed % 2 == 0, ..small() };
        let mut store = FileStore::open(Arc::new(disk.clone()), "s", options).unwrap().0;
        let mut run = Run::new();
        let mut rng = Rng(seed);
        for step in script(seed * 3, 700) {
            if rng.below(5) == 0 {
                disk.set_free(0);
            }
            if let Err(e) = run.step(&mut store, &step) {
                assert!(e.is_disk_full(), "{e}");
                refused += 1;
                run.model.check_all(&store).unwrap();
                run.model.check_some(&store, &mut rng).unwrap();
                disk.set_free(1 << 30);
                run.step(&mut store, &step).unwrap();
            }
            if rng.below(3) == 0 {
                disk.set_free(1 << 30);
            }
        }
        disk.set_free(1 << 30);
        run.model.check_all(&store).unwrap();
        drop(store);
        run.recover(Arc::new(disk), options, "after a full disk");
    }
    assert!(refused > 50, "only {refused} refusals");
}

#[test]
fn a_destroyed_store_leaves_nothing_and_the_name_is_free() {
    let (disk, _) = settled(small());
    FileStore::destroy(&disk, "s").unwrap();
    FileStore::destroy(&disk, "s").unwrap();
    assert!(disk.list("").unwrap().is_empty());
    let (store, recovered, _) = FileStore::open(Arc::new(disk), "s", small()).unwrap();
    assert_eq!((recovered, store.state().last_seq), (None, 0));
}

#[test]
fn erased_messages_are_gone_from_the_disk_after_the_checkpoint() {
    for compress in [false, true] {
        let disk = HostileDisk::new(4);
        let options = FileOptions { compress, ..small() };
        let mut store = FileStore::open(Arc::new(disk.clone()), "s", options).unwrap().0;
        let mut model = Model { file: true, ..Model::default() };
        for i in 0..40 {
            let payload = if i == 7 { b"SECRET-42".repeat(3) } else { vec![i; 300] };
            let msg = Msg { subject: b"a".to_vec(), headers: Vec::new(), payload, ts: 1 };
            model.apply(&mut store, &Action::Append { gap: 0, msg }).unwrap();
        }
        let checkpoint = |store: &mut FileStore| {
            let done = store.begin_checkpoint(1, 1, b"").unwrap().run().unwrap();
            store.finish_checkpoint(done);
        };
        checkpoint(&mut store);
        let holds = || {
            disk.list("s").unwrap().iter().any(|f| {
                let file = disk.open(&format!("s/{}", f.name), OpenMode::Read).unwrap();
                let mut bytes = vec![0; f.len as usize];
                file.read_exact_at(&mut bytes, 0).unwrap();
                memchr::memmem::find(&bytes, b"SECRET-42").is_some()
            })
        };
        assert!(holds());
        model.apply(&mut store, &Action::Remove { seq: 8, erase: true }).unwrap();
        for _ in 0..4 {
            checkpoint(&mut store);
            while store.compact_step(1000).unwrap() {}
        }
        assert!(!holds(), "compressed: {compress}");
        model.check_all(&store).unwrap();
        drop(store);
        let (store, _, report) = FileStore::open(Arc::new(disk), "s", options).unwrap();
        assert!(report.damaged.is_empty());
        model.check_all(&store).unwrap();
    }
}

#[test]
fn a_damaged_message_in_a_sealed_block_can_be_removed_and_purged() {
    let disk = HostileDisk::new(4);
    let mut store = FileStore::open(Arc::new(disk.clone()), "s", small()).unwrap().0;
    let mut model = Model { file: true, ..Model::default() };
    for i in 0..60 {
        let subject = format!("s.{}", i % 3).into_bytes();
        let msg = Msg { subject, headers: Vec::new(), payload: vec![i; 400], ts: 1 };
        model.apply(&mut store, &Action::Append { gap: 0, msg }).unwrap();
    }
    for _ in 0..2 {
        let done = store.begin_checkpoint(1, 1, b"").unwrap().run().unwrap();
        store.finish_checkpoint(done);
    }
    drop(store);
    let first = disk.list("s").unwrap().into_iter().find(|f| f.name.starts_with("1-")).unwrap();
    disk.zero_range(&format!("s/{}", first.name), 64 + 72, 1000).unwrap();
    let (mut store, _, report) = FileStore::open(Arc::new(disk), "s", small()).unwrap();
    assert!(report.damaged.is_empty());
    assert!(matches!(store.load(1), Err(StoreError::Damaged { .. })));
    assert!(store.load(2).is_err());
    model.apply(&mut store, &Action::Remove { seq: 1, erase: false }).unwrap();
    model.apply(&mut store, &Action::PurgeBelow { seq: 5 }).unwrap();
    model.check_all(&store).unwrap();
}

#[test]
fn a_removed_message_whose_erasure_was_torn_does_not_keep_a_block_from_its_footer() {
    use crate::record::{MessageView, put_message};
    let disk = HostileDisk::new(3);
    let mut store = FileStore::open(Arc::new(disk.clone()), "s", small()).unwrap().0;
    let append = |store: &mut FileStore, seqs: std::ops::RangeInclusive<u64>| {
        for seq in seqs {
            let payload = [b'p'; 300];
            let m = MessageView { seq, ts: 1, subject: b"a", headers: b"", payload: &payload };
            let mut record = bytes::BytesMut::new();
            put_message(&mut record, &m);
            store.append(&m, &record).unwrap();
        }
    };
    append(&mut store, 1..=8);
    store.remove(2, false).unwrap();
    let done = store.begin_checkpoint(1, 1, b"x").unwrap().run().unwrap();
    store.finish_checkpoint(done);
    // The page header, the first record, the second one's fields and subject.
    let inside = 32 + 2 * 333 - 50;
    disk.flip_bit("s/1-1.blk", inside, 0).unwrap();
    append(&mut store, 9..=60);
    let done = store.begin_checkpoint(2, 1, b"x").unwrap().run().unwrap();
    assert!(done.damaged.is_empty(), "{done:?}");
}

/// Every bit of every link of a sealed block, turned one at a time.
#[test]
fn a_rotten_link_leads_to_no_message_of_another_subject() {
    use crate::block::footer::{SLOT, Section, TRAILER, Trailer};
    let disk = HostileDisk::new(5);
    let mut store = FileStore::open(Arc::new(disk.clone()), "s", small()).unwrap().0;
    let mut model = Model { file: true, ..Model::default() };
    for i in 0..60u32 {
        let subject = format!("s.{}", i * 7 % 20).into_bytes();
        let msg = Msg { subject, headers: Vec::new(), payload: vec![0; 200], ts: 1 };
        model.apply(&mut store, &Action::Append { gap: 0, msg }).unwrap();
    }
    for _ in 0..2 {
        let done = store.begin_checkpoint(1, 1, b"").unwrap().run().unwrap();
        store.finish_checkpoint(done);
    }
    drop(store);
    let first = disk.list("s").unwrap().into_iter().find(|f| f.name.starts_with("1-")).unwrap();
    let path = format!("s/{}", first.name);
    let file = disk.open(&path, OpenMode::Read).unwrap();
    let mut trailer = [0; TRAILER];
    file.read_exact_at(&mut trailer, first.len - TRAILER as u64).unwrap();
    let (at, len, _) = Trailer::decode(&trailer).unwrap().section(Section::Slots);
    assert!(len / SLOT > 21, "messages with a link in the first block");
    for slot in 20..len / SLOT {
        for bit in 0..7u8 {
            let bad = disk.fork();
            bad.flip_bit(&path, at + (slot * SLOT + 12) as u64, bit).unwrap();
            let store = FileStore::open(Arc::new(bad), "s", small()).unwrap().0;
            for i in 0..20 {
                let subject = format!("s.{i}").into_bytes();
                let filter = super::Filter { subjects: vec![subject.clone().into()] };
                for seq in 1..=60 {
                    let next = model.msgs.range(seq..).find(|m| m.1.subject == subject);
                    let got = store.next(&filter, seq).unwrap().map(|m| m.seq);
                    assert_eq!(got, next.map(|m| *m.0), "slot {slot} bit {bit} next {seq}");
                    let prev = model.msgs.range(..=seq).rev().find(|m| m.1.subject == subject);
                    let got = store.prev(&filter, seq).unwrap().map(|m| m.seq);
                    assert_eq!(got, prev.map(|m| *m.0), "slot {slot} bit {bit} prev {seq}");
                }
            }
        }
    }
}
