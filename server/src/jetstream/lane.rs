//! The log lane: the thread that writes and syncs the node's write-ahead log.
//!
//! Everything the shards submitted while the previous sync ran goes into the
//! next block together, so batches form by themselves and there is no timer.
//! Nothing else in the process waits for a sync.
//!
//! Limit: submissions hold what the groups have uncommitted, which each group
//! bounds. Disk full: the batch is kept and tried again until there is room;
//! meanwhile [`LaneState::is_full`] makes publishes be refused at the door. A
//! failed sync is never retried, for the kernel marks the pages clean: the lane
//! is fenced and JetStream stops here, core NATS goes on.

use gust_storage::wal::{Lsn, Wal, WalError, WalRecord};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// After this long without work the last block is vouched for by a mark.
const IDLE_MARK: Duration = Duration::from_millis(20);
/// Pause before a batch is tried again on a full disk.
const FULL_RETRY: Duration = Duration::from_millis(250);
/// Records are cut into blocks of about this many bytes.
const MAX_BATCH_BYTES: usize = 16 << 20;

/// Called when a submission is durable, with the lsn after it.
pub type Done = Box<dyn FnOnce(Lsn) + Send>;

/// Work for the lane.
enum Work {
    Write { records: Vec<WalRecord>, done: Done },
    Floor { group: u64, lsn: Lsn },
    Release { group: u64 },
    Spare(gust_storage::wal::SpareJob),
    Stop,
}

/// What others may know about the lane.
#[derive(Debug, Default)]
pub struct LaneState {
    full: AtomicBool,
    fenced: AtomicBool,
    /// Bytes a recovery would read now.
    pub live_bytes: AtomicU64,
    /// Syncs so far.
    pub syncs: AtomicU64,
    /// Records written so far.
    pub records: AtomicU64,
    /// Time spent in syncs, ns.
    pub sync_ns: AtomicU64,
}

impl LaneState {
    /// The disk took no more bytes at the last try.
    pub fn is_full(&self) -> bool {
        self.full.load(Relaxed)
    }

    /// A sync failed: nothing is acknowledged any more.
    pub fn is_fenced(&self) -> bool {
        self.fenced.load(Relaxed)
    }
}

/// Hands work to the lane; cheap to clone.
#[derive(Clone)]
pub struct Lane {
    tx: Sender<Work>,
    /// Its condition.
    pub state: Arc<LaneState>,
}

/// Asks the owners of groups to checkpoint, so that the log can be recycled.
pub type OnLong = Box<dyn Fn() + Send>;

/// How the lane runs.
pub struct LaneOptions {
    /// Sync before every ack (the default), or at this interval.
    pub sync_interval: Option<Duration>,
    /// Ask for checkpoints when the log holds more than this.
    pub checkpoint_bytes: u64,
    /// Who is asked.
    pub on_long: OnLong,
}

impl Lane {
    /// Starts the thread over an opened log.
    pub fn start(wal: Wal, options: LaneOptions) -> (Lane, std::thread::JoinHandle<()>) {
        let (tx, rx) = channel();
        let state = Arc::new(LaneState::default());
        let lane = Lane { tx: tx.clone(), state: state.clone() };
        let thread = std::thread::Builder::new()
            .name("gust-lane".into())
            .spawn(move || {
                let asked = 0;
                Runner { wal, options, state, rx, tx, asked, last_sync: Instant::now() }.run();
            })
            .expect("the log lane can start its thread");
        (lane, thread)
    }

    /// Writes and syncs `records`, then calls `done`.
    pub fn write(&self, records: Vec<WalRecord>, done: Done) {
        let _ = self.tx.send(Work::Write { records, done });
    }

    /// Records of `group` below `lsn` are in a synced checkpoint.
    pub fn set_floor(&self, group: u64, lsn: Lsn) {
        let _ = self.tx.send(Work::Floor { group, lsn });
    }

    /// `group` is gone.
    pub fn release(&self, group: u64) {
        let _ = self.tx.send(Work::Release { group });
    }

    /// Finishes what was submitted and ends the thread.
    pub fn stop(&self) {
        let _ = self.tx.send(Work::Stop);
    }
}

struct Runner {
    wal: Wal,
    options: LaneOptions,
    state: Arc<LaneState>,
    rx: Receiver<Work>,
    tx: Sender<Work>,
    asked: u64,
    last_sync: Instant,
}

impl Runner {
    fn run(&mut self) {
        let mut records: Vec<WalRecord> = Vec::new();
        let mut done: Vec<Done> = Vec::new();
        loop {
            let mut recycle = false;
            let mut stop = false;
            match self.rx.recv_timeout(IDLE_MARK) {
                Ok(work) => self.take(work, &mut records, &mut done, &mut recycle, &mut stop),
                Err(RecvTimeoutError::Timeout) => {
                    self.idle();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Ok(work) = self.rx.try_recv() {
                self.take(work, &mut records, &mut done, &mut recycle, &mut stop);
            }
            if !records.is_empty() || !done.is_empty() {
                if self.wal.is_fenced() || !self.write(&records) {
                    // Dropping `done` leaves the publishers without an ack:
                    // nothing is promised that is not on disk.
                    records.clear();
                    done.clear();
                } else {
                    let lsn = self.wal.next_lsn();
                    records.clear();
                    for f in done.drain(..) {
                        f(lsn);
                    }
                    self.look_after_space();
                }
            }
            if recycle {
                self.recycle();
            }
            if stop {
                let _ = self.wal.sync();
                let _ = self.wal.mark_idle();
                return;
            }
        }
    }

    fn take(
        &mut self,
        work: Work,
        records: &mut Vec<WalRecord>,
        done: &mut Vec<Done>,
        recycle: &mut bool,
        stop: &mut bool,
    ) {
        match work {
            Work::Write { records: mut r, done: d } => {
                if records.is_empty() {
                    *records = r;
                } else {
                    records.append(&mut r);
                }
                done.push(d);
            }
            Work::Floor { group, lsn } => {
                self.wal.set_floor(group, lsn);
                *recycle = true;
            }
            Work::Release { group } => {
                self.wal.release_group(group);
                *recycle = true;
            }
            Work::Spare(job) => {
                self.wal.add_spare(job);
            }
            Work::Stop => *stop = true,
        }
    }

    /// Writes and syncs; false if the log is fenced.
    fn write(&mut self, records: &[WalRecord]) -> bool {
        let mut rest = records;
        while !rest.is_empty() {
            let mut bytes = 0;
            let n = rest
                .iter()
                .take_while(|r| {
                    bytes += r.encoded_len();
                    bytes <= MAX_BATCH_BYTES
                })
                .count()
                .max(1);
            let (part, later) = rest.split_at(n);
            match self.wal.append(part) {
                Ok(_) => {
                    rest = later;
                    if self.state.full.swap(false, Relaxed) {
                        tracing::info!("JetStream: the disk has room again, publishing resumes");
                    }
                }
                Err(e) if e.is_disk_full() => {
                    if !self.state.full.swap(true, Relaxed) {
                        tracing::error!(
                            "JetStream: the disk is full ({e}); publishes are refused until there \
                             is room, reads and deletes go on"
                        );
                    }
                    self.recycle();
                    std::thread::sleep(FULL_RETRY);
                }
                Err(e) => return self.fence(&e),
            }
        }
        self.state.records.fetch_add(records.len() as u64, Relaxed);
        match self.options.sync_interval {
            Some(every) if self.last_sync.elapsed() < every => true,
            _ => self.sync(),
        }
    }

    fn sync(&mut self) -> bool {
        let start = Instant::now();
        let result = self.wal.sync();
        self.last_sync = Instant::now();
        self.state.sync_ns.fetch_add(start.elapsed().as_nanos() as u64, Relaxed);
        self.state.syncs.fetch_add(1, Relaxed);
        match result {
            Ok(_) => true,
            Err(e) => self.fence(&e),
        }
    }

    fn fence(&self, e: &WalError) -> bool {
        self.state.fenced.store(true, Relaxed);
        tracing::error!(
            "JetStream: writing the log failed: {e}. Nothing more is acknowledged until the server \
             is restarted and the log verified; core NATS goes on"
        );
        false
    }

    fn idle(&mut self) {
        if self.wal.is_fenced() {
            return;
        }
        if let Some(every) = self.options.sync_interval
            && self.last_sync.elapsed() < every
        {
            return;
        }
        if let Err(e) = self.wal.mark_idle()
            && !e.is_disk_full()
        {
            self.fence(&e);
        }
    }

    fn recycle(&mut self) {
        if let Err(e) = self.wal.recycle() {
            tracing::error!("JetStream: recycling log files: {e}");
        }
        let live = self.wal.live_bytes();
        self.state.live_bytes.store(live, Relaxed);
        self.asked = self.asked.min(live);
    }

    /// Prepares spare files on another thread and asks for checkpoints.
    fn look_after_space(&mut self) {
        if let Some(mut job) = self.wal.wants_spare() {
            let tx = self.tx.clone();
            let spawned = std::thread::Builder::new().name("gust-spare".into()).spawn(move || {
                // An unfinished job is handed back as well; the lane removes it.
                let _ = job.run();
                let _ = tx.send(Work::Spare(job));
            });
            if let Err(e) = spawned {
                tracing::warn!("JetStream: preparing a log file: {e}");
            }
        }
        let live = self.wal.live_bytes();
        self.state.live_bytes.store(live, Relaxed);
        if live > self.options.checkpoint_bytes
            && live > self.asked + self.options.checkpoint_bytes / 2
        {
            self.asked = live;
            (self.options.on_long)();
        }
    }
}
