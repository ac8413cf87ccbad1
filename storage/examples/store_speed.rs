//! Measures the file store: `cargo run --release -p gust-storage --example
//! store_speed [messages] [subjects] [memory]`. Files go to a temporary
//! directory below the current one (the system's may be in memory).

#![allow(clippy::print_stdout)] // a program that prints its measurements

use bytes::BytesMut;
use gust_storage::disk::real::RealDisk;
use gust_storage::record::{MessageView, put_message};
use gust_storage::store::file::{FileOptions, FileStore};
use gust_storage::store::memory::MemoryStore;
use gust_storage::store::{Filter, StreamStore};
use std::sync::Arc;
use std::time::Instant;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().collect();
    let number = |i: usize, default: u64| -> u64 {
        args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default)
    };
    let (messages, subjects) = (number(1, 1_000_000), number(2, 1_000_000));
    if args.get(3).is_some_and(|a| a == "memory") {
        let mut store = MemoryStore::new();
        fill(&mut store, messages, subjects)?;
        reads(&mut store, messages, subjects)?;
        return kv(&mut store, messages / 2, subjects);
    }
    let dir = tempfile::tempdir_in(".")?;
    let disk = Arc::new(RealDisk::open(dir.path())?);
    let options = FileOptions::default();
    let mut store = FileStore::open(disk.clone(), "s", options)?.0;
    fill(&mut store, messages, subjects)?;
    checkpoint(&mut store, messages, "full")?;
    kv(&mut store, 10_000.min(messages), subjects)?;
    checkpoint(&mut store, messages, "after 10k changes")?;
    drop(store);

    let start = Instant::now();
    let (mut store, ..) = FileStore::open(disk, "s", options)?;
    line("open", start, subjects.min(messages), "subject");
    reads(&mut store, messages, subjects)?;
    kv(&mut store, messages / 2, subjects)?;
    let start = Instant::now();
    let before = store.file_bytes();
    let mut steps = 0;
    loop {
        while store.compact_step(1 << 20)? {
            steps += 1;
        }
        checkpoint(&mut store, messages, "in between")?;
        if !store.compact_step(1 << 20)? {
            break;
        }
    }
    let mib = (before / 1_048_576, store.file_bytes() / 1_048_576);
    println!("compaction     {steps} steps, {} -> {} MiB, {:.2?}", mib.0, mib.1, start.elapsed());
    Ok(())
}

fn line(what: &str, start: Instant, n: u64, unit: &str) {
    let took = start.elapsed();
    let each = took.as_nanos() as f64 / n.max(1) as f64;
    println!("{what:<22} {took:>10.2?}  {each:>8.0} ns per {unit}");
}

fn subject(i: u64, subjects: u64) -> String {
    // Scattered, as keys are.
    let key = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % subjects;
    format!("evt.dev{:04}.temp.{key:016}", key % 1000)
}

fn fill(store: &mut dyn StreamStore, messages: u64, subjects: u64) -> Result<(), Failure> {
    let payload = [b'x'; 128];
    let names: Vec<String> = (0..subjects.min(1 << 20)).map(|i| subject(i, subjects)).collect();
    let mut record = BytesMut::new();
    let mut spent = std::time::Duration::ZERO;
    let mut records: Vec<(usize, std::ops::Range<usize>)> = Vec::new();
    let mut seq = 0;
    while seq < messages {
        record.clear();
        records.clear();
        let batch = 10_000.min(messages - seq);
        for i in 0..batch {
            let name = ((seq + i) % names.len() as u64) as usize;
            let start = record.len();
            put_message(&mut record, &view(seq + i + 1, &names[name], &payload));
            records.push((name, start..record.len()));
        }
        let start = Instant::now();
        for (i, (name, range)) in records.iter().enumerate() {
            let m = view(seq + i as u64 + 1, &names[*name], &payload);
            store.append(&m, &record[range.clone()])?;
        }
        spent += start.elapsed();
        seq += batch;
    }
    let each = spent.as_nanos() as f64 / messages as f64;
    println!("append                 {spent:>10.2?}  {each:>8.0} ns per message");
    println!(
        "memory                 {} MiB, {:.1} B per subject, {:.1} B per message",
        store.memory() >> 20,
        store.memory() as f64 / store.state().subjects as f64,
        store.memory() as f64 / messages as f64
    );
    Ok(())
}

fn view<'a>(seq: u64, subject: &'a str, payload: &'a [u8]) -> MessageView<'a> {
    MessageView { seq, ts: seq as i64, subject: subject.as_bytes(), headers: b"", payload }
}

fn checkpoint(store: &mut FileStore, index: u64, what: &str) -> Result<(), Failure> {
    let start = Instant::now();
    let job = store.begin_checkpoint(index, 1, b"")?;
    let begun = start.elapsed();
    let done = job.run()?;
    let ran = start.elapsed() - begun;
    store.finish_checkpoint(done);
    println!("checkpoint {what:<18} owner {begun:.2?}, worker {ran:.2?}");
    Ok(())
}

fn reads(store: &mut dyn StreamStore, messages: u64, subjects: u64) -> Result<(), Failure> {
    let all = Filter::default();
    let start = Instant::now();
    let (mut n, mut at) = (0u64, 0);
    while let Some(m) = store.next(&all, at)? {
        at = m.seq + 1;
        n += 1;
    }
    line("next, everything", start, n, "message");

    let first = store.state().first_seq;
    let mut x = 1u64;
    let mut random = || {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        first + (x >> 33) % messages.saturating_sub(first).max(1)
    };
    let count = 100_000.min(messages);
    let start = Instant::now();
    for _ in 0..count {
        store.load(random())?;
    }
    line("load, random", start, count, "message");
    let start = Instant::now();
    let last = store.state().last_seq;
    for i in 0..count {
        store.load(last - i % 500)?;
    }
    line("load, recent", start, count, "message");

    let start = Instant::now();
    for i in 0..count {
        store.subject(subject(i, subjects).as_bytes())?;
    }
    line("subject", start, count, "subject");
    let one = Filter { subjects: vec![subject(7, subjects).into()] };
    let start = Instant::now();
    let (mut n, mut at) = (0, 0);
    while let Some(m) = store.next(&one, at)? {
        at = m.seq + 1;
        n += 1;
    }
    line("next, one subject", start, n, "message");
    let some = Filter { subjects: vec!["evt.dev0007.>".into()] };
    let start = Instant::now();
    let (mut n, mut at) = (0, 0);
    while let Some(m) = store.next(&some, at)? {
        at = m.seq + 1;
        n += 1;
    }
    line("next, 1/1000 wildcard", start, n, "message");
    let start = Instant::now();
    let pending = store.num_pending(&some, last / 2, false)?;
    line("num_pending, half way", start, pending, "pending message");
    Ok(())
}

fn kv(store: &mut dyn StreamStore, count: u64, subjects: u64) -> Result<(), Failure> {
    let payload = [b'y'; 128];
    let mut record = BytesMut::new();
    let start = Instant::now();
    let mut removed = 0u64;
    for i in 0..count {
        let name = subject(i.wrapping_mul(7919), subjects);
        let old = store.subject(name.as_bytes())?;
        let seq = store.state().last_seq + 1;
        let m = view(seq, &name, &payload);
        record.clear();
        put_message(&mut record, &m);
        store.append(&m, &record)?;
        if let Some(old) = old {
            removed += u64::from(store.remove_known(old.first, name.as_bytes())?.is_some());
        }
    }
    line("kv overwrite", start, count, "message");
    println!("                       {removed} replaced, {} MiB in memory", store.memory() >> 20);
    Ok(())
}
