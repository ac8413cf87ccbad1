//! Starting and stopping JetStream: from the files of a store directory to
//! serving streams, and back.
//!
//! The registry's snapshot names the streams, each stream's checkpoint gives its
//! state, and the write-ahead log, replayed in order, brings all of them to what
//! was last acknowledged. Nothing is deleted because it is unknown or damaged.

use super::actor::Actor;
use super::assets::{self, Asset, AssetChange, AssetRecord, Assets, META_GROUP};
use super::checkpoint::Checkpointer;
use super::lane::{Lane, LaneOptions};
use super::limits::ServerLimits;
use super::store;
use super::{Damaged, JetStream};
use crate::clock;
use crate::server::Server;
use crate::shard::mailbox::Mail;
use gust_account::AccountSet;
use gust_config::Options;
use gust_jetstream::config::StreamConfig;
use gust_jetstream::effect::Interest;
use gust_jetstream::json::{Strictness, parse};
use gust_jetstream::stream::{Cx, Facts, Stream};
use gust_raft::{Group, Restored};
use gust_storage::disk::Disk;
use gust_storage::disk::real::{OpenError as LockError, RealDisk};
use gust_storage::wal::{Lsn, RecoveryReport, Wal, WalOptions, WalRecord};
use hashbrown::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Log bytes from which checkpoints are asked for. A restart replays about this
/// much at most.
const CHECKPOINT_BYTES: u64 = 256 << 20;
/// Where streams are stored when no directory is configured, below the
/// operating system's temporary directory (as nats-server does).
const DEFAULT_DIR: &str = "nats";

/// Recovered streams, to be handed to the shards.
pub type Recovered = Vec<Actor>;

/// Why JetStream cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody has the store directory.
    #[error("{0}")]
    Locked(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl From<String> for OpenError {
    fn from(text: String) -> Self {
        OpenError::Failed(text)
    }
}

/// What was recovered and is not served yet.
pub struct Opened {
    js: JetStream,
    actors: Recovered,
}

impl Opened {
    /// Gives it up again.
    pub fn close(self) {
        close(&self.js);
    }
}

/// At start: opens and puts in place what is configured. `None`: JetStream is not.
pub fn start(server: &Arc<Server>) -> Result<Option<Recovered>, String> {
    let options = server.options.load_full();
    if !options.jetstream.enabled {
        return Ok(None);
    }
    let opened = open(server, &options).map_err(|e| e.to_string())?;
    Ok(Some(put(server, opened, &server.rules.load())))
}

/// Puts JetStream in place, in the accounts of `rules`; its streams are then to be
/// handed over.
pub fn put(server: &Server, opened: Opened, rules: &AccountSet) -> Recovered {
    for account in rules.accounts() {
        let state = server.accounts.get_or_make(&account.name);
        state.jetstream.allow(account);
    }
    server.jetstream.put(Arc::new(opened.js));
    opened.actors
}

/// Opens the store directory and recovers what is in it.
pub fn open(server: &Arc<Server>, options: &Options) -> Result<Opened, OpenError> {
    let js = &options.jetstream;
    let base = if js.store_dir.is_empty() {
        std::env::temp_dir().join(DEFAULT_DIR)
    } else {
        js.store_dir.clone().into()
    };
    let root = base.join("jetstream");
    let shown = root.display().to_string();
    let disk: Arc<dyn Disk> = Arc::new(lock(&root)?);
    tracing::info!("Starting JetStream");
    let begun = Instant::now();
    store::remove_restores(&*disk);
    let limits = ServerLimits::new(options, &*disk);
    announce(&shown, &limits, &js.domain);
    let snapshot = assets::read_snapshot(&*disk)?;
    let mut r = Recovering::new(disk.clone(), js.domain.clone());
    let (index, next_group) = (snapshot.index, snapshot.next_group);
    r.meta_index = index;
    for record in snapshot.streams {
        r.open(record);
    }
    let opts = WalOptions::default();
    let seed = u64::from_le_bytes(clock::secret());
    let (mut wal, report) =
        Wal::open(disk.clone(), "wal/0", opts, seed, &mut |record, lsn| r.replay(record, lsn))
            .map_err(|e| format!("JetStream log in {shown}: {e}"))?;
    tell(&report);
    for group in r.gone.drain() {
        wal.release_group(group);
    }
    let registry = Assets::new(r.meta_index, next_group);
    let damaged = std::mem::take(&mut r.damaged);
    let (sync_interval, checkpoint) = (sync_interval(js), Checkpointer::start());
    let weak = Arc::downgrade(server);
    let on_long = Box::new(move || {
        if let Some(server) = weak.upgrade() {
            ask_for_checkpoints(&server);
        }
    });
    let lane_options = LaneOptions { sync_interval, checkpoint_bytes: CHECKPOINT_BYTES, on_long };
    let (lane, lane_thread) = Lane::start(wal, lane_options);
    let actors = r.finish(server, &registry, report.end_lsn)?;
    let streams = actors.len();
    let shared = JetStream {
        domain: js.domain.clone(),
        store_dir: shown,
        disk,
        lane,
        checkpointer: checkpoint.0,
        assets: registry,
        limits,
        strict: !js.not_strict,
        stopped: std::sync::atomic::AtomicBool::new(false),
        inflight: std::sync::atomic::AtomicU64::new(0),
        damaged,
        threads: parking_lot::Mutex::new(vec![lane_thread, checkpoint.1]),
    };
    tracing::info!(
        "JetStream recovered {streams} streams ({} log records, {} MiB) in {:?}",
        report.records,
        report.bytes >> 20,
        begun.elapsed()
    );
    Ok(Opened { js: shared, actors })
}

fn lock(root: &Path) -> Result<RealDisk, OpenError> {
    RealDisk::open_locked(root).map_err(|e| match e {
        LockError::InUse { .. } => OpenError::Locked(e.to_string()),
        e => OpenError::Failed(e.to_string()),
    })
}

fn announce(dir: &str, limits: &ServerLimits, domain: &str) {
    let size = |n: i64| {
        if n < 0 {
            "unlimited".to_owned()
        } else {
            format!("{:.2} GB", n as f64 / (1u64 << 30) as f64)
        }
    };
    tracing::info!("---------------- JETSTREAM ----------------");
    tracing::info!("  Max Memory:      {}", size(limits.max_memory()));
    tracing::info!("  Max Storage:     {}", size(limits.max_storage()));
    tracing::info!("  Store Directory: \"{dir}\"");
    if !domain.is_empty() {
        tracing::info!("  Domain:          {domain}");
    }
    tracing::info!("  API Level:       {}", crate::server::API_LEVEL);
    tracing::info!("-------------------------------------------");
}

fn sync_interval(js: &gust_config::options::jetstream::JetStreamOptions) -> Option<Duration> {
    // Only an interval somebody wrote down weakens "an ack means on disk".
    let ns = js.sync_interval_ns.filter(|_| !js.sync_always)?;
    tracing::warn!(
        "JetStream: sync_interval is set: acknowledged messages may be lost in a power cut within \
         that interval. Remove it to have every ack on disk"
    );
    Some(Duration::from_nanos(ns.max(0) as u64))
}

fn tell(report: &RecoveryReport) {
    for gap in &report.gaps {
        tracing::error!(
            "JetStream: the log is damaged: {} at byte {}: {:?}. Records between lsn {} and {} are \
             lost; everything readable was recovered and the file was left as it is",
            gap.file,
            gap.offset,
            gap.cause,
            gap.from,
            gap.to
        );
    }
    for b in &report.blemishes {
        tracing::warn!("JetStream: harmless damage in the log: {b:?}");
    }
}

/// Hands the streams to their shards.
pub fn hand_over(server: &Arc<Server>, actors: Recovered) {
    let Some(js) = server.jetstream.get() else { return };
    for shard in 0..server.shard_count() {
        let lane = js.lane.clone();
        server.shard(shard).send_one(Mail::Call(Box::new(move |s| {
            s.engine.borrow_mut().set_lane(lane);
        })));
    }
    let mut leading = Vec::new();
    for mut actor in actors {
        let (tx, rx) = oneshot::channel();
        actor.when_leading(tx);
        leading.push(rx);
        let shard = store::shard_of(server, actor.group_id());
        server.shard(shard).send_one(Mail::Call(Box::new(move |s| {
            s.engine.borrow_mut().insert(s, actor);
        })));
    }
    // Clients are let in when every stream can serve them: a publish that finds
    // nobody, or an API call that finds no leader, would look like a loss.
    for rx in leading {
        let _ = rx.blocking_recv();
    }
    let (server, js) = (server.clone(), Arc::downgrade(&js));
    // Looks at the disk, one cheap call, often enough for a fast publisher.
    let watch = std::thread::Builder::new().name("gust-disk".into()).spawn(move || {
        while let Some(js) = js.upgrade().filter(|_| !server.is_stopped()) {
            js.limits.look(&*js.disk);
            drop(js);
            std::thread::park_timeout(Duration::from_millis(250));
        }
    });
    if let Err(e) = watch {
        tracing::error!("JetStream: watching the disk: {e}");
    }
}

/// The log is long: every stream with records in it writes a checkpoint.
fn ask_for_checkpoints(server: &Arc<Server>) {
    for shard in 0..server.shard_count() {
        server.shard(shard).send_one(Mail::Call(Box::new(|s| {
            s.engine.borrow_mut().checkpoint_all(s);
        })));
    }
    let Some(js) = server.jetstream.get() else { return };
    let server = server.clone();
    js.checkpointer.run(Box::new(move || {
        if let Some(js) = server.jetstream.get() {
            snapshot(&js);
        }
    }));
}

fn snapshot(js: &JetStream) {
    // The lsn is read first: what is logged after it is not promised to be in.
    let lsn = js.meta_lsn();
    match js.assets.write_snapshot(&*js.disk) {
        Ok(_) => js.lane.set_floor(META_GROUP, lsn),
        Err(e) => tracing::error!("JetStream: writing the registry of streams: {e}"),
    }
}

/// Stops JetStream after the shards have ended.
pub fn stop(server: &Arc<Server>) {
    if let Some(js) = server.jetstream.get() {
        close(&js);
    }
}

/// Writes what is not written yet and ends the threads.
pub(super) fn close(js: &JetStream) {
    tracing::info!("Initiating JetStream Shutdown...");
    snapshot(js);
    js.checkpointer.stop();
    js.lane.stop();
    for t in js.threads.lock().drain(..) {
        let _ = t.join();
    }
    tracing::info!("JetStream Shutdown");
}

/// Nobody listens while the log is replayed.
struct Nobody;

impl Interest for Nobody {
    fn has(&self, _: &[u8]) -> bool {
        false
    }
    fn has_group(&self, _: &[u8], _: &[u8]) -> bool {
        false
    }
}

struct Recovering {
    disk: Arc<dyn Disk>,
    domain: String,
    streams: HashMap<u64, Found>,
    meta_index: u64,
    gone: HashSet<u64>,
    damaged: Vec<Damaged>,
}

struct Found {
    record: AssetRecord,
    config: Arc<StreamConfig>,
    stream: Stream,
    term: u64,
    vote: u64,
    last: (u64, u64),
}

impl Recovering {
    fn new(disk: Arc<dyn Disk>, domain: String) -> Self {
        Self {
            disk,
            domain,
            streams: HashMap::new(),
            meta_index: 0,
            gone: HashSet::new(),
            damaged: Vec::new(),
        }
    }

    fn open(&mut self, record: AssetRecord) {
        let config: StreamConfig = match parse(record.config.as_bytes(), Strictness::Lenient) {
            Ok(c) => c,
            Err(e) => return self.set_aside(&record, "?", format!("its configuration: {e}")),
        };
        if config.storage == gust_jetstream::config::StorageType::Memory {
            // Memory streams end with the process.
            self.gone.insert(record.group);
            return;
        }
        let opened = store::open(&self.disk, &self.domain, &record, &config);
        match opened {
            Ok(store::Opened { stream, notes }) => {
                for n in notes {
                    tracing::error!("JetStream stream '{} > {}': {n}", record.account, config.name);
                }
                let last = stream.applied();
                let config = Arc::new(stream.config().clone());
                let found = Found { config, stream, term: last.1, vote: 0, last, record };
                self.streams.insert(found.record.group, found);
            }
            Err(why) => self.set_aside(&record, &config.name, why),
        }
    }

    fn set_aside(&mut self, record: &AssetRecord, stream: &str, why: String) {
        tracing::error!(
            "JetStream stream '{} > {stream}' could not be recovered: {why}. Its files were left \
             untouched; restore it from a backup or delete it",
            record.account
        );
        self.damaged.push(Damaged {
            account: record.account.clone(),
            stream: stream.to_owned(),
            record: record.clone(),
            why,
        });
    }

    fn replay(&mut self, record: WalRecord, _lsn: Lsn) {
        match record {
            WalRecord::Entry { group: META_GROUP, index, data, .. } => {
                if index > self.meta_index {
                    self.meta_index = index;
                    match AssetChange::decode(&data) {
                        Ok(change) => self.change(change),
                        Err(e) => tracing::error!("JetStream: registry record {index}: {e}"),
                    }
                } else if let Ok(AssetChange::Deleted { group }) = AssetChange::decode(&data) {
                    self.gone.insert(group);
                }
            }
            WalRecord::Entry { group, term, index, data, .. } => {
                let Some(found) = self.streams.get_mut(&group) else { return };
                found.term = found.term.max(term);
                if index <= found.last.0 {
                    return;
                }
                if index != found.last.0 + 1 && found.last.0 != 0 {
                    tracing::error!(
                        "JetStream stream '{} > {}': log entries {} to {} are lost",
                        found.record.account,
                        found.config.name,
                        found.last.0 + 1,
                        index - 1
                    );
                }
                found.last = (index, term);
                let mut fx = Vec::new();
                let facts = Facts::default();
                let mut cx = Cx {
                    now: clock::now(),
                    random: 0,
                    facts: &facts,
                    interest: &Nobody,
                    fx: &mut fx,
                };
                if let Err(e) = found.stream.apply(index, term, &data, &mut cx) {
                    tracing::error!("JetStream: {e}");
                }
            }
            WalRecord::Hard { group, term, vote, .. } => {
                if let Some(found) = self.streams.get_mut(&group)
                    && term >= found.term
                {
                    (found.term, found.vote) = (term, vote);
                }
            }
            WalRecord::Applied { .. }
            | WalRecord::GroupNew { .. }
            | WalRecord::GroupGone { .. } => {}
        }
    }

    fn change(&mut self, change: AssetChange) {
        match change {
            AssetChange::Created(record) => self.open(record),
            AssetChange::Updated { group, config } => {
                if let Some(found) = self.streams.get_mut(&group) {
                    found.record.config = config;
                }
            }
            AssetChange::Deleted { group } => {
                self.gone.insert(group);
                let known = self.streams.remove(&group).map(|f| f.record);
                let damaged = self.damaged.iter().position(|d| d.record.group == group);
                let record = known.or_else(|| damaged.map(|i| self.damaged.remove(i).record));
                if let Some(record) = record {
                    store::remove(&*self.disk, &record);
                }
            }
        }
    }

    fn finish(
        self,
        server: &Arc<Server>,
        registry: &Assets,
        end: Lsn,
    ) -> Result<Recovered, String> {
        for d in &self.damaged {
            registry.keep_damaged(d.record.clone());
        }
        let mut actors = Vec::new();
        for (group, found) in self.streams {
            // The stream's own log knows its configuration best.
            let config = Arc::new(found.stream.config().clone());
            registry.put(Asset {
                account: found.record.account.clone(),
                group,
                created: found.stream.identity().created,
                config,
            });
            let restored = Restored {
                term: found.term,
                vote: found.vote,
                commit: found.last.0,
                applied_index: found.last.0,
                applied_term: found.last.1,
                tail: Vec::new(),
            };
            let raft = Group::single(group, restored)
                .map_err(|e| format!("JetStream stream {}: {e}", found.config.name))?;
            let account = server.accounts.get_or_make(&found.record.account);
            actors.push(Actor::new(found.stream, raft, account, false).recovered(end));
        }
        Ok(actors)
    }
}
