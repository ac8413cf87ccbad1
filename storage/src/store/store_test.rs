//! Both stores against the model: one suite.

use super::file::{CheckpointJob, FileOptions, FileStore};
use super::memory::MemoryStore;
use super::model::{Action, Model, Rng};
use super::{Filter, StreamStore};
use crate::disk::hostile::HostileDisk;
use crate::record::{MessageView, put_message};
use bytes::BytesMut;
use std::sync::Arc;

fn put(store: &mut dyn StreamStore, seq: u64, subject: &[u8], ts: i64) {
    let view = MessageView { seq, ts, subject, headers: b"", payload: b"0123456789" };
    let mut record = BytesMut::new();
    put_message(&mut record, &view);
    store.append(&view, &record).unwrap();
}

/// Every store, made empty.
fn stores() -> Vec<Box<dyn StreamStore>> {
    let disk = Arc::new(HostileDisk::new(1));
    let (file, recovered, _) = FileStore::open(disk, "s", small()).unwrap();
    assert_eq!(recovered, None);
    vec![Box::new(MemoryStore::new()), Box::new(file)]
}

/// Blocks and pages so small that a test fills many.
pub(crate) fn small() -> FileOptions {
    FileOptions {
        block_size: 8 << 10,
        page_size: 1 << 10,
        compress: false,
        page_cache: 4 << 10,
        section_cache: 8 << 10,
    }
}

#[test]
fn an_unused_store_has_no_sequence_and_a_set_one_starts_there() {
    for mut s in stores() {
        assert_eq!((s.state().first_seq, s.state().last_seq), (0, 0));
        assert_eq!(s.load(1).unwrap(), None);
        s.set_first(100);
        assert_eq!((s.state().first_seq, s.state().last_seq), (100, 99));
        put(&mut *s, 100, b"a", 5);
        assert_eq!((s.state().first_seq, s.state().last_seq, s.state().first_ts), (100, 100, 5));
    }
}

#[test]
fn emptied_by_removal_it_keeps_its_last_sequence_and_time() {
    for mut s in stores() {
        put(&mut *s, 1, b"a", 7);
        put(&mut *s, 2, b"a", 8);
        assert_eq!(s.remove(2, true).unwrap().unwrap().subject, &b"a"[..]);
        assert_eq!((s.state().first_seq, s.state().last_seq, s.state().deleted), (1, 2, 1));
        s.remove(1, false).unwrap();
        let st = s.state();
        assert_eq!((st.first_seq, st.last_seq, st.first_ts, st.last_ts), (3, 2, 0, 8));
        assert_eq!((st.msgs, st.bytes, st.deleted, st.subjects), (0, 0, 0, 0));
    }
}

#[test]
fn a_purge_beyond_the_end_moves_the_numbers() {
    for mut s in stores() {
        put(&mut *s, 1, b"a", 7);
        assert_eq!(s.purge_below(50).unwrap().msgs, 1);
        assert_eq!((s.state().first_seq, s.state().last_seq), (50, 49));
        put(&mut *s, 50, b"b", 9);
        assert_eq!(s.subject(b"a").unwrap(), None);
        assert_eq!(s.subject(b"b").unwrap().unwrap().first, 50);
    }
}

#[test]
fn wide_gaps_are_interior_deletes() {
    for mut s in stores() {
        put(&mut *s, 1, b"a", 1);
        s.skip_to(1 << 33, 2).unwrap();
        put(&mut *s, (1 << 33) + 1, b"a", 3);
        put(&mut *s, (1 << 34) + 1, b"a", 4);
        assert_eq!(s.state().msgs, 3);
        assert_eq!(s.deleted_ranges(9), [(2, 1 << 33), ((1 << 33) + 2, 1 << 34)]);
        let filter = Filter { subjects: vec!["a".into()] };
        assert_eq!(s.next(&filter, 2).unwrap().unwrap().seq, (1 << 33) + 1);
        assert_eq!(s.prev(&filter, 1 << 34).unwrap().unwrap().seq, (1 << 33) + 1);
        s.remove((1 << 33) + 1, false).unwrap();
        assert_eq!(s.next(&filter, 2).unwrap().unwrap().seq, (1 << 34) + 1);
        assert_eq!(s.prev(&filter, 1 << 34).unwrap().unwrap().seq, 1);
        s.remove(1, false).unwrap();
        assert_eq!(s.subject(b"a").unwrap().unwrap().first, (1 << 34) + 1);
        assert_eq!(s.state().first_seq, (1 << 34) + 1);
    }
}

#[test]
fn memory_agrees_with_the_model() {
    for seed in 0..16 {
        let mut rng = Rng(seed * 77 + 1);
        let mut store = MemoryStore::new();
        let mut model = Model::default();
        for step in 0..1500 {
            let action = model.random_action(&mut rng);
            model.apply(&mut store, &action).unwrap();
            if step % 3 == 0 {
                model.check_some(&store, &mut rng).unwrap();
            }
            if step % 100 == 0 {
                model.check_all(&store).unwrap();
            }
        }
        model.check_all(&store).unwrap();
    }
}

/// Random actions with checkpoints, compaction and reopening; after a reopen
/// the actions since the checkpoint are done again, as the log would.
fn file_against_model(seed: u64, options: FileOptions, steps: u64) {
    let mut rng = Rng(seed * 1337 + 5);
    let disk = Arc::new(HostileDisk::new(seed));
    let (mut store, ..) = FileStore::open(disk.clone(), "s", options).unwrap();
    let mut model = Model { file: true, ..Model::default() };
    let mut saved = (0, model.clone());
    let mut log: Vec<Action> = Vec::new();
    let mut waiting: Option<(usize, Model, CheckpointJob)> = None;
    for step in 0..steps {
        match rng.below(40) {
            0 | 5 => {
                let app = format!("app {}", log.len());
                // The one before is abandoned, or finished without being told.
                drop(waiting.take());
                let job = store.begin_checkpoint(log.len() as u64, 3, app.as_bytes()).unwrap();
                waiting = Some((log.len(), model.clone(), job));
            }
            3 | 4 => {
                if let Some((applied, then, job)) = waiting.take() {
                    let done = job.run().unwrap();
                    assert!(done.damaged.is_empty());
                    saved = (applied, then);
                    if rng.below(5) > 0 {
                        store.finish_checkpoint(done);
                    }
                }
            }
            1 => {
                store.compact_step(2000).unwrap();
            }
            2 if rng.below(3) == 0 => {
                drop(waiting.take());
                drop(store);
                let (again, recovered, report) =
                    FileStore::open(disk.clone(), "s", options).unwrap();
                store = again;
                assert!(report.damaged.is_empty(), "{report:?}");
                let applied = recovered.map_or(0, |r| {
                    assert_eq!(r.app, format!("app {}", r.applied_index));
                    r.applied_index as usize
                });
                assert_eq!(applied, saved.0);
                model = saved.1.clone();
                model.check_all(&store).unwrap();
                for action in &log[applied..] {
                    model.apply(&mut store, action).unwrap();
                }
            }
            _ => {
                let action = model.random_action(&mut rng);
                model.apply(&mut store, &action).unwrap();
                log.push(action);
            }
        }
        if step.is_multiple_of(3) {
            model.check_some(&store, &mut rng).unwrap();
        }
        if step.is_multiple_of(100) {
            model.check_all(&store).unwrap();
        }
    }
    model.check_all(&store).unwrap();
}

#[test]
fn files_agree_with_the_model() {
    for seed in 0..16 {
        let compress = seed % 3 == 2;
        file_against_model(seed, FileOptions { compress, ..small() }, 1500);
    }
}

#[test]
fn memory_is_given_back() {
    let mut store = MemoryStore::new();
    let mut seq = 0;
    for _ in 0..20 {
        for key in 0..500 {
            seq += 1;
            let name = format!("k.{key}").into_bytes();
            let old = store.subject(&name).unwrap();
            put(&mut store, seq, &name, 1);
            if let Some(old) = old {
                store.remove_known(old.first, &name).unwrap();
            }
        }
    }
    assert_eq!(store.state().msgs, 500);
    assert!(store.memory() < 500 * 400, "{} bytes for 500 messages", store.memory());
}

#[test]
fn the_job_can_go_to_another_thread() {
    fn sendable<T: Send + 'static>() {}
    sendable::<CheckpointJob>();
    sendable::<FileStore>();
}
