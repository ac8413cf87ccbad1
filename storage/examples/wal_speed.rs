//! Measures the log on a real disk: `cargo run --release -p gust-storage --example
//! wal_speed [directory]`. Prints messages per second and CPU per record, synced
//! after each batch and not; the numbers in `storage/docs/wal.md` come from here.

use bytes::Bytes;
use gust_storage::disk::real::RealDisk;
use gust_storage::wal::{Wal, WalOptions, WalRecord};
use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

const GROUP: u64 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let base = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let root = std::path::Path::new(&base).join(format!("wal-speed-{}", std::process::id()));
    let result = run(&root);
    std::fs::remove_dir_all(&root)?;
    result
}

fn run(root: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let disk = Arc::new(RealDisk::open_locked(root)?);
    let (mut wal, _) = Wal::open(disk.clone(), "wal/0", WalOptions::default(), 1, &mut |_, _| ())?;
    warm(&mut wal)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "bytes batch synced   records/s   us CPU/record   us/batch")?;
    for (size, batch) in [
        (128, 1),
        (128, 100),
        (128, 1000),
        (170, 1000),
        (1024, 1000),
        (4 << 10, 100),
        (16 << 10, 100),
        (64 << 10, 16),
    ] {
        for synced in [true, false] {
            let (records, spent, cpu) = measure(&mut wal, size, batch, synced)?;
            writeln!(
                out,
                "{size:5} {batch:5} {synced:6} {:11.0} {:15.3} {:10.1}",
                records as f64 / spent.as_secs_f64(),
                cpu.as_secs_f64() * 1e6 / records as f64,
                spent.as_secs_f64() * 1e6 * batch as f64 / records as f64,
            )?;
        }
    }
    wal.mark_idle()?;
    let live = wal.live_bytes();
    drop(wal);
    let started = Instant::now();
    let mut found = 0u64;
    Wal::open(disk, "wal/0", WalOptions::default(), 2, &mut |_, _| found += 1)?;
    let spent = started.elapsed().as_secs_f64();
    writeln!(out, "open: {found} records, {live} bytes, {:.0} MB/s", live as f64 / spent / 1e6)?;
    Ok(())
}

/// Fills enough files that the rest of the run overwrites recycled ones.
fn warm(wal: &mut Wal) -> Result<(), Box<dyn Error>> {
    let data = Bytes::from(vec![1; 1 << 20]);
    for index in 0..600 {
        wal.append(&[entry(index, &data)])?;
        wal.sync()?;
        wal.prepare_spare()?;
    }
    wal.release_group(GROUP);
    wal.recycle()?;
    Ok(())
}

fn entry(index: u64, data: &Bytes) -> WalRecord {
    WalRecord::Entry { group: GROUP, term: 1, index, kind: 0, data: data.clone() }
}

/// Appends for about a second; returns records, time and CPU time.
fn measure(
    wal: &mut Wal,
    size: usize,
    batch: usize,
    synced: bool,
) -> Result<(u64, Duration, Duration), Box<dyn Error>> {
    // Each record has its own bytes, as messages have.
    let all = Bytes::from(vec![7; size * batch]);
    let batch: Vec<_> =
        (0..batch).map(|i| entry(i as u64, &all.slice(i * size..(i + 1) * size))).collect();
    let limit = Duration::from_secs(1);
    let (started, cpu) = (Instant::now(), cpu_time());
    let (mut records, mut bytes) = (0, 0);
    while started.elapsed() < limit && bytes < 512 << 20 {
        let before = wal.next_lsn();
        let end = wal.append(&batch)?;
        if synced {
            wal.sync()?;
        }
        bytes += end - before;
        records += batch.len() as u64;
        if wal.live_bytes() > 256 << 20 {
            wal.release_group(GROUP);
            wal.recycle()?;
        }
    }
    let (spent, cpu) = (started.elapsed(), cpu_time() - cpu);
    wal.sync()?;
    Ok((records, spent, cpu))
}

/// CPU time of this process.
fn cpu_time() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}
