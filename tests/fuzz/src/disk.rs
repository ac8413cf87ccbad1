//! What is read from a disk: logs, blocks, checkpoints, records.

use bytes::{Bytes, BytesMut};
use gust_storage::disk::hostile::HostileDisk;
use gust_storage::disk::{Disk, OpenMode};
use gust_storage::record::{MessageView, frames, put_frame, put_message};
use gust_storage::store::file::{FileOptions, FileStore};
use gust_storage::store::{Filter, StreamStore};
use gust_storage::wal::{Wal, WalOptions, WalRecord};
use std::sync::Arc;

/// Frames, as they are and with a checksum that fits.
pub fn record_frames(data: &[u8]) {
    let mut at = 0;
    for f in frames(data, true) {
        let Ok(f) = f else { break };
        at += f.raw.len();
        let _ = f.message();
    }
    assert!(at <= data.len());
    let [kind, flags, body @ ..] = data else { return };
    let mut out = BytesMut::new();
    put_frame(&mut out, *kind, *flags, |b| b.extend_from_slice(body));
    let mut all = frames(&out, true);
    let f = all.next().expect("a frame").expect("its checksum fits");
    assert_eq!((f.kind, f.body), (*kind, body));
    let _ = f.message();
    assert!(all.next().is_none());
}

/// Changes a good file as the input says: three bytes each are a place (scaled
/// to the file) and what to write there.
fn edit(disk: &HostileDisk, path: &str, edits: &[u8]) {
    let Ok(file) = disk.open(path, OpenMode::ReadWrite) else { return };
    let len = file.len().unwrap_or(0).max(1);
    for e in edits.as_chunks::<3>().0 {
        let at = u64::from(u16::from_le_bytes([e[0], e[1]])) * len / 65536;
        let _ = file.write_all_at(&e[2..], at);
    }
}

fn wal_options() -> WalOptions {
    WalOptions {
        segment_bytes: 32 << 10,
        first_bytes: 16 << 10,
        spares: 0,
        keep_spares: 1,
        max_block: 4096,
        read_chunk: 8 << 10,
        ..WalOptions::default()
    }
}

fn record(index: u64) -> WalRecord {
    let data = Bytes::from(vec![index as u8; 40 * index as usize % 900]);
    WalRecord::Entry { group: index % 3, term: 1, index, kind: 0, data }
}

/// A log file of any content (first byte even) or a good one with edits. The log
/// opens, keeps only what was written, and takes more.
pub fn wal_open(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let disk = HostileDisk::new(1);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let open = |visit: &mut dyn FnMut(WalRecord)| {
        Wal::open(shared.clone(), "wal", wal_options(), 7, &mut |r, _| visit(r))
    };
    if mode % 2 == 0 {
        shared.create_dir_all("wal").expect("memory");
        let file = shared.open("wal/0000000001.wal", OpenMode::Create).expect("memory");
        file.write_all_at(rest, 0).expect("memory");
    } else {
        let (mut wal, _) = open(&mut |_| {}).expect("an empty directory");
        for i in 1..40 {
            wal.append(&[record(i)]).expect("room");
            wal.sync().expect("memory");
        }
        drop(wal);
        edit(&disk, "wal/0000000001.wal", rest);
    }
    let mut seen = Vec::new();
    let Ok((mut wal, report)) = open(&mut |r| seen.push(r)) else { return };
    if mode % 2 == 1 {
        for r in &seen {
            let WalRecord::Entry { index, .. } = r else { panic!("{r:?} was never written") };
            assert_eq!(*r, record(*index));
        }
        assert!(seen.len() == 39 || !report.gaps.is_empty() || report.torn.is_some());
    }
    wal.append(&[record(77)]).expect("room");
    wal.sync().expect("memory");
    drop(wal);
    let mut again = Vec::new();
    open(&mut |r| again.push(r)).expect("what it wrote itself");
    assert_eq!(again.last(), Some(&record(77)));
}

fn options() -> FileOptions {
    FileOptions {
        block_size: 4 << 10,
        page_size: 512,
        compress: false,
        page_cache: 2 << 10,
        section_cache: 2 << 10,
    }
}

fn message(seq: u64) -> (BytesMut, Vec<u8>) {
    let subject = format!("s.{}", seq % 5).into_bytes();
    let payload = vec![seq as u8; 30 + (seq as usize * 37) % 200];
    let mut out = BytesMut::new();
    let view =
        MessageView { seq, ts: seq as i64, subject: &subject, headers: b"", payload: &payload };
    put_message(&mut out, &view);
    (out, payload)
}

/// A store with several blocks and two checkpoints.
fn store() -> HostileDisk {
    let disk = HostileDisk::new(1);
    let mut s = FileStore::open(Arc::new(disk.clone()), "s", options()).expect("memory").0;
    for seq in 1..=60 {
        let (record, _) = message(seq);
        let frame = gust_storage::record::read_frame(&record).expect("own record");
        s.append(&frame.message().expect("own record"), &record).expect("memory");
        if seq % 30 == 0 {
            let done = s.begin_checkpoint(seq, 1, b"app").expect("memory").run().expect("memory");
            s.finish_checkpoint(done);
        }
    }
    s.remove(7, false).expect("memory");
    let done = s.begin_checkpoint(61, 1, b"app").expect("memory").run().expect("memory");
    s.finish_checkpoint(done);
    disk
}

fn files(disk: &HostileDisk, ending: fn(&str) -> bool) -> Vec<String> {
    let all = disk.list("s").unwrap_or_default();
    all.into_iter().filter(|f| ending(&f.name)).map(|f| format!("s/{}", f.name)).collect()
}

/// Opens the store and reads everything. `mine`: contents can only be those
/// that were written.
fn read_all(disk: HostileDisk, mine: bool) {
    let Ok((mut s, _, _)) = FileStore::open(Arc::new(disk), "s", options()) else { return };
    let state = s.state();
    for seq in 0..=62 {
        if let Ok(Some(m)) = s.load(seq)
            && mine
        {
            assert_eq!(m.payload, message(seq).1);
        }
    }
    let one = Filter { subjects: vec![Bytes::from_static(b"s.1")] };
    let mut from = 0;
    for _ in 0..100 {
        let Ok(Some(m)) = s.next(&one, from) else { break };
        assert!(m.seq >= from);
        from = m.seq.saturating_add(1);
    }
    let _ = (s.num_pending(&one, 3, false), s.prev(&one, u64::MAX), s.seq_at_time(20));
    let _ = (s.subjects(&Filter::default(), 100), s.deleted_ranges(100));
    let _ = (s.remove(9, true), s.purge_below(12), s.purge_filter(&one, 0, 1));
    if state.last_seq < 1 << 40 {
        let seq = state.last_seq + 1;
        let (record, payload) = message(seq);
        let frame = gust_storage::record::read_frame(&record).expect("own record");
        if s.append(&frame.message().expect("own record"), &record).is_ok() {
            let got = s.load(seq).expect("just written").expect("just written");
            assert_eq!(got.payload, payload);
        }
    }
    if let Ok(job) = s.begin_checkpoint(70, 1, b"app") {
        let _ = job.run();
    }
}

/// A block file of any content, or a good one with edits; with or without
/// checkpoints beside it.
pub fn block_file(data: &[u8]) {
    let [mode, which, rest @ ..] = data else { return };
    let disk = store();
    let blocks = files(&disk, |n| n.ends_with(".blk"));
    let path = &blocks[usize::from(*which) % blocks.len()];
    if mode & 1 == 0 {
        let file = disk.open(path, OpenMode::Truncate).expect("memory");
        file.write_all_at(rest, 0).expect("memory");
    } else {
        edit(&disk, path, rest);
    }
    if mode & 2 == 0 {
        for f in files(&disk, |n| n.starts_with("index-") || n.starts_with("subjects-")) {
            disk.remove(&f).expect("it is there");
        }
    }
    read_all(disk, true);
}

/// A checkpoint of any content with the checksum that fits, or with edits under
/// the old or a new checksum.
pub fn index_checkpoint(data: &[u8]) {
    let [mode, which, rest @ ..] = data else { return };
    let disk = store();
    let all = files(&disk, |n| n.starts_with("index-") || n.starts_with("subjects-"));
    let path = &all[usize::from(*which) % all.len()];
    let forged = mode & 3 != 3;
    if mode & 1 == 0 {
        let file = disk.open(path, OpenMode::Truncate).expect("memory");
        file.write_all_at(rest, 0).expect("memory");
        let crc = crc32fast::hash(rest).to_le_bytes();
        file.write_all_at(&crc, rest.len() as u64).expect("memory");
    } else {
        edit(&disk, path, rest);
        if mode & 2 == 0 {
            let file = disk.open(path, OpenMode::ReadWrite).expect("memory");
            let len = file.len().expect("memory").saturating_sub(4);
            let mut body = vec![0; len as usize];
            file.read_exact_at(&mut body, 0).expect("memory");
            let crc = crc32fast::hash(&body).to_le_bytes();
            file.write_all_at(&crc, len).expect("memory");
        }
    }
    if forged {
        // Decoding must hold; what a checksum vouches for is trusted afterwards.
        let _ = FileStore::open(Arc::new(disk), "s", options());
    } else {
        read_all(disk, true);
    }
}
