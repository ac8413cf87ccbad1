//! The scheduler: owns time, randomness and the order of steps, breaks the disk
//! and restarts the node.

use super::client::Clients;
use super::config::{self, Asset};
use super::liar::{Liar, Lie, Mistake};
use super::node::{Node, Output, Request};
use super::oracle::{Oracle, Verdict};
use super::recovery::{self, Setup};
use super::rng::Rng;
use super::trace::Trace;
use gust_jetstream::consumer::AckSubject;
use gust_storage::disk::Disk;
use gust_storage::disk::hostile::HostileDisk;
use gust_storage::store::file::FileOptions;
use gust_storage::wal::WalOptions;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// How to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Steps with faults before the final check.
    pub steps: u64,
    /// Print every event.
    pub print: bool,
    /// A lie of the disk, to prove the oracle.
    pub lie: Option<Lie>,
    /// A mistake of the node, to prove it too.
    pub mistake: Option<Mistake>,
    /// Damage a file at the end.
    pub damage: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { steps: 800, print: false, lie: None, mistake: None, damage: true }
    }
}

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Hash of everything that happened.
    pub trace: u64,
    /// Starts of the node.
    pub starts: u64,
    /// Entries committed.
    pub entries: u64,
    /// Answers judged.
    pub answers: u64,
    /// Deliveries judged.
    pub deliveries: u64,
    /// Checkpoint steps.
    pub checkpoints: u64,
    /// Log files recycled.
    pub recycled: u64,
    /// Times the disk was full or a sync failed.
    pub faults: u64,
    /// Damage that was named at the end.
    pub damage: u64,
}

/// One simulated node with its clients and its judge.
pub struct World {
    rng: Rng,
    options: Options,
    /// Of the steps, see [`World::step`].
    weights: [u64; 10],
    now: i64,
    disk: HostileDisk,
    lies: Arc<AtomicU64>,
    setup: Setup,
    node: Option<Node>,
    clients: Clients,
    oracles: BTreeMap<u64, Oracle>,
    trace: Trace,
    summary: Summary,
    /// Steps until the disk has room again.
    full_for: u64,
    /// A stream stopped because the disk was full.
    stopped_full: bool,
    damaged: Vec<String>,
}

impl World {
    /// A world that has not begun.
    pub fn new(seed: u64, options: Options) -> Result<World, String> {
        let mut rng = Rng::new(seed);
        let assets = config::assets(&mut rng);
        let mut oracles = BTreeMap::new();
        for a in &assets {
            oracles.insert(a.group, Oracle::new(a).map_err(|e| e.to_string())?);
        }
        let wal = WalOptions {
            segment_bytes: 64 << 10,
            first_bytes: 16 << 10,
            spares: 1,
            keep_spares: 2,
            max_block: 6000,
            read_chunk: 16 << 10,
            ..WalOptions::default()
        };
        let store = FileOptions {
            block_size: 8 << 10,
            page_size: 1 << 10,
            compress: rng.one_in(2),
            page_cache: 4 << 10,
            section_cache: 4 << 10,
        };
        let disk = HostileDisk::new(rng.bits());
        let clients = Clients::new(rng.fork());
        // Slow disks, busy clients, quiet or bad days.
        let mut weights = [60, 40, 30, 30, 30, 8, 4, 2, 2, 1];
        weights[0] *= 1 + rng.below(3);
        for w in &mut weights[1..5] {
            *w = *w / (1 + rng.below(4)) + 1;
        }
        weights[5] *= 1 + rng.below(3);
        weights[6] *= 1 + rng.below(3);
        weights[9] *= rng.below(5);
        Ok(World {
            options,
            weights,
            now: config::START,
            disk,
            lies: Arc::default(),
            setup: Setup { wal, store, assets, mistake: options.mistake },
            node: None,
            clients,
            oracles,
            trace: Trace::new(options.print),
            summary: Summary::default(),
            full_for: 0,
            stopped_full: false,
            damaged: Vec::new(),
            rng,
        })
    }

    /// Runs to the end.
    pub fn run(&mut self) -> Result<Summary, String> {
        self.start()?;
        for _ in 0..self.options.steps {
            self.step()?;
        }
        self.heal()?;
        self.settle()?;
        self.probe()?;
        if self.options.damage {
            self.damage()?;
        }
        for o in self.oracles.values() {
            self.summary.entries += o.entries();
            self.summary.answers += o.answers;
            self.summary.deliveries += o.deliveries;
        }
        self.summary.trace = self.trace.hash();
        Ok(self.summary.clone())
    }

    // ---- starting and stopping ----

    fn disk(&self) -> Arc<dyn Disk> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        match self.options.lie {
            None => disk,
            Some(lie) => Arc::new(Liar::new(disk, lie, self.lies.clone())),
        }
    }

    /// Starts the node, however often the power fails meanwhile.
    fn start(&mut self) -> Result<(), String> {
        self.stopped_full = false;
        for _ in 0..20 {
            let rng = self.rng.fork();
            self.summary.starts += 1;
            match recovery::start(&self.disk(), &self.setup, rng, self.now) {
                Ok(node) => {
                    self.trace
                        .log(format_args!("started, log ends at {}", node.lane.wal.next_lsn()));
                    self.node = Some(node);
                    self.take_outputs()?;
                    if self.disk.is_off() {
                        self.power_cut();
                        continue;
                    }
                    if let Some(why) = self.stopped()
                        && self.excuses(&why)
                    {
                        self.trace.log(format_args!("stopped at once: {why}"));
                        self.room();
                        self.kill();
                        continue;
                    }
                    return self.restarted();
                }
                Err(why) => {
                    self.trace.log(format_args!("did not start: {why}"));
                    if !self.disk.is_off() && !self.excuses(&why) {
                        return Err(format!("the node does not start: {why}"));
                    }
                    self.room();
                    self.power_cut();
                }
            }
        }
        Err("the node did not start in 20 tries".into())
    }

    fn restarted(&mut self) -> Result<(), String> {
        let Some(node) = &self.node else { return Ok(()) };
        for (group, o) in &mut self.oracles {
            match node.actors.get(group) {
                Some(actor) => o.restarted(actor).map_err(|e| format!("S{group}: {e}"))?,
                None => return Err(format!("S{group} is not there after a restart")),
            }
        }
        Ok(())
    }

    fn power_cut(&mut self) {
        self.trace.log(format_args!("power cut at operation {}", self.disk.ops()));
        self.node = None;
        self.disk = self.disk.crash(self.rng.bits());
    }

    /// The process ends, the machine goes on.
    fn kill(&mut self) {
        self.trace.log(format_args!("killed"));
        self.node = None;
    }

    /// Why a stream stopped, if one did.
    fn stopped(&self) -> Option<String> {
        let actors = self.node.as_ref()?.actors.values();
        actors.filter_map(|a| a.stream.poisoned()).next().map(str::to_owned)
    }

    /// Whether a failure is one of those that were provoked.
    fn excuses(&self, why: &str) -> bool {
        let full = why.contains("no storage space") || why.contains("no space left");
        why.contains("(injected)") || (full && self.full_for > 0)
    }

    fn room(&mut self) {
        self.full_for = 0;
        self.disk.set_free(1 << 40);
    }

    /// Ends the faults: power on, room, one restart.
    fn heal(&mut self) -> Result<(), String> {
        self.room();
        self.power_cut();
        self.start()
    }

    // ---- steps ----

    fn step(&mut self) -> Result<(), String> {
        self.now += self.rng.below(40_000_000) as i64;
        self.full_for = self.full_for.saturating_sub(1);
        if self.full_for == 1 {
            self.room();
        }
        match self.rng.weighted(&self.weights) {
            0 => self.request(),
            1 => self.with_node("turn", |n, now| n.turn(now)),
            2 => self.with_node("append", |n, _| n.append()),
            3 => self.with_node("sync", |n, _| n.sync()),
            4 => self.with_node("persisted", |n, now| n.persisted(now)),
            5 => self.checkpoint(),
            6 => self.housekeeping(),
            7 => self.now += self.rng.below(8_000_000_000) as i64,
            8 => self.check()?,
            _ => self.fault(),
        }
        self.after_step()
    }

    fn with_node(&mut self, what: &str, f: impl FnOnce(&mut Node, i64)) {
        let now = self.now;
        if let Some(node) = &mut self.node {
            self.trace.log(format_args!("{what}"));
            f(node, now);
        }
    }

    fn asset(&mut self) -> Asset {
        let at = self.rng.below(self.setup.assets.len() as u64) as usize;
        self.setup.assets[at].clone()
    }

    fn request(&mut self) {
        let asset = self.asset();
        let r = self.clients.request(&asset);
        self.submit(asset.group, r);
    }

    fn submit(&mut self, group: u64, r: Request) {
        self.trace.log(format_args!("S{group} {r:?}"));
        let Some(oracle) = self.oracles.get_mut(&group) else { return };
        match &r {
            Request::Publish(m) => {
                if let Some((_, asked)) = self.clients.asked.get(&m.reply) {
                    oracle.asked(asked);
                }
            }
            Request::Ack { subject, payload, .. } => {
                let ends = payload.is_empty() || *payload == "+ACK" || *payload == "+TERM";
                if let Some(a) = AckSubject::parse(subject).filter(|_| ends) {
                    oracle.ack_sent(&String::from_utf8_lossy(a.consumer), a.stream_seq);
                }
            }
            _ => {}
        }
        if let Some(node) = &mut self.node {
            node.inbox.push_back((group, r));
        }
    }

    fn checkpoint(&mut self) {
        let group = self.asset().group;
        self.summary.checkpoints += 1;
        let before = self.log_bytes();
        self.with_node("checkpoint", |n, _| n.checkpoint(group));
        self.summary.recycled += u64::from(self.log_bytes() < before);
    }

    fn log_bytes(&self) -> u64 {
        self.node.as_ref().map_or(0, |n| n.lane.wal.live_bytes())
    }

    fn housekeeping(&mut self) {
        let group = self.asset().group;
        match self.rng.below(4) {
            0 => self.with_node("compact", |n, _| n.compact(group)),
            1 => self.with_node("spare", |n, _| n.spare()),
            2 => self.with_node("mark", |n, _| n.mark_idle()),
            _ => self.with_node("recycle", |n, _| n.recycle()),
        }
    }

    fn fault(&mut self) {
        match self.rng.below(8) {
            0..=2 => {
                let at = self.disk.ops() + 1 + self.rng.below(40);
                self.trace.log(format_args!("power will fail at operation {at}"));
                self.disk.crash_at(at);
            }
            3 => self.power_cut(),
            4 => self.kill(),
            5 => {
                self.stop();
                self.kill();
            }
            6 => {
                let free = self.rng.below(100 << 10);
                self.trace.log(format_args!("disk is nearly full: {free}"));
                self.disk.set_free(free);
                self.full_for = 2 + self.rng.below(60);
                self.summary.faults += 1;
            }
            _ => {
                let n = 1 + self.rng.below(12);
                self.trace.log(format_args!("sync {n} from now will fail"));
                self.disk.fail_sync(n);
                self.summary.faults += 1;
            }
        }
    }

    /// A clean stop.
    fn stop(&mut self) {
        for _ in 0..4 {
            self.with_node("turn", |n, now| n.turn(now));
            self.with_node("append", |n, _| n.append());
            self.with_node("sync", |n, _| n.sync());
            for _ in 0..4 {
                self.with_node("persisted", |n, now| n.persisted(now));
            }
        }
        for group in self.oracles.keys().copied().collect::<Vec<_>>() {
            for _ in 0..3 {
                self.with_node("checkpoint", |n, _| n.checkpoint(group));
            }
        }
        self.with_node("mark", |n, _| n.mark_idle());
        // What the node said while it stopped was said.
        if let Err(why) = self.take_outputs() {
            self.damaged.push(why);
        }
    }

    fn after_step(&mut self) -> Result<(), String> {
        self.take_outputs()?;
        if let Some(why) = self.damaged.pop() {
            return Err(why);
        }
        if self.disk.is_off() {
            self.power_cut();
        }
        let Some(node) = &self.node else { return self.start() };
        if let Some(why) = node.fenced.clone() {
            self.trace.log(format_args!("fenced: {why}"));
        } else if let Some(why) = self.stopped() {
            self.trace.log(format_args!("stopped: {why}"));
            if !self.excuses(&why) && !self.stopped_full {
                return Err(why);
            }
            self.stopped_full = true;
            if !self.rng.one_in(30) {
                // The others go on for a while.
                return Ok(());
            }
        } else {
            return Ok(());
        }
        // The operator makes room and restarts it, or the machine goes down.
        self.room();
        if self.rng.one_in(2) {
            self.kill()
        } else {
            self.power_cut()
        }
        self.start()
    }

    fn take_outputs(&mut self) -> Result<(), String> {
        let Some(node) = &mut self.node else { return Ok(()) };
        let outputs = std::mem::take(&mut node.outbox);
        for o in outputs {
            self.trace.log(format_args!("{o:?}"));
            let (group, verdict): (u64, Verdict) = match &o {
                Output::Committed(g, c) => match self.oracles.get_mut(g) {
                    Some(oracle) => (*g, oracle.committed(c)),
                    None => continue,
                },
                Output::Sent(g, m) => match self.oracles.get_mut(g) {
                    Some(oracle) => (*g, oracle.sent(m, &mut self.clients)),
                    None => continue,
                },
                Output::Done(g, token, result) => {
                    let asked = self.clients.calls.remove(token);
                    match (self.oracles.get_mut(g), asked) {
                        (Some(oracle), Some((_, asked))) => (*g, oracle.done(&asked, result)),
                        _ => continue,
                    }
                }
                Output::Damage(why) => return Err(format!("damage without cause: {why}")),
            };
            verdict.map_err(|e| format!("S{group}: {e}"))?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        self.trace.log(format_args!("check"));
        let Some(node) = &self.node else { return Ok(()) };
        for (group, o) in &self.oracles {
            if let Some(actor) = node.actors.get(group) {
                o.check(actor).map_err(|e| format!("S{group}: {e}"))?;
            }
        }
        Ok(())
    }

    // ---- the end: liveness, then damage ----

    /// Lets everything under way come to its end.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..200 {
            self.with_node("turn", |n, now| n.turn(now));
            self.with_node("append", |n, _| n.append());
            self.with_node("sync", |n, _| n.sync());
            for _ in 0..4 {
                self.with_node("persisted", |n, now| n.persisted(now));
            }
            self.take_outputs()?;
            if self.node.as_ref().is_none_or(|n| !n.is_busy()) {
                return self.check();
            }
        }
        Err("the node does not come to rest".into())
    }

    /// Without faults every request is answered.
    fn probe(&mut self) -> Result<(), String> {
        for asset in self.setup.assets.clone() {
            let group = asset.group;
            let leading = self
                .node
                .as_ref()
                .and_then(|n| n.actors.get(&group))
                .is_some_and(|a| a.is_leading());
            if !leading {
                return Err(format!("S{group} has no leader although nothing is wrong"));
            }
            let last = self.clients.last_seen.get(&group).copied().unwrap_or(0);
            let r = self.clients.publish(&asset, last);
            let Request::Publish(m) = &r else { continue };
            let reply = m.reply.clone();
            self.submit(group, r);
            self.settle()?;
            if self.clients.asked.contains_key(&reply) {
                return Err(format!("S{group} does not answer although nothing is wrong"));
            }
        }
        Ok(())
    }

    /// A bit flips in a cold file. It must be named, or be without consequence.
    fn damage(&mut self) -> Result<(), String> {
        self.stop();
        self.kill();
        let mut files = Vec::new();
        let mut dirs = vec!["wal/0".to_owned()];
        dirs.extend(self.setup.assets.iter().map(|a| format!("streams/{}", a.group)));
        for dir in dirs {
            let entries = self.disk.list(&dir).map_err(|e| e.to_string())?;
            files.extend(
                entries
                    .into_iter()
                    .filter(|e| !e.is_dir && e.len > 0)
                    .map(|e| (format!("{dir}/{}", e.name), e.len)),
            );
        }
        let (path, len) = self.rng.pick(&files).clone();
        let (offset, bit) = (self.rng.below(len), self.rng.below(8) as u8);
        self.trace.log(format_args!("bit {bit} of byte {offset} of {path} flips"));
        self.disk.flip_bit(&path, offset, bit).map_err(|e| e.to_string())?;
        let rng = self.rng.fork();
        let mut node = match recovery::start(&self.disk(), &self.setup, rng, self.now) {
            Ok(node) => node,
            Err(why) => {
                // Refusing to start names it as well.
                self.trace.log(format_args!("did not start: {why}"));
                self.summary.damage += 1;
                return Ok(());
            }
        };
        let named = std::mem::take(&mut node.outbox)
            .iter()
            .filter(|o| matches!(o, Output::Damage(_)))
            .count() as u64;
        self.summary.damage += named;
        for (group, o) in &mut self.oracles {
            let verdict = match node.actors.get(group) {
                None if named > 0 && path.ends_with(".wal") => Ok(()),
                None => Err("it is not there any more".to_owned()),
                // A checkpoint has its predecessor and the log behind it.
                Some(actor) if path.contains("/index-") || path.contains("/subjects-") => {
                    o.restarted(actor)
                }
                Some(actor) => match actor.stream.applied().0 >= o.entries() {
                    true => o.check_damaged(actor),
                    false if named > 0 => Ok(()),
                    false => Err("log is shorter, and nothing was said".to_owned()),
                },
            };
            verdict.map_err(|e| format!("S{group} after {path} was damaged: {e}"))?;
        }
        Ok(())
    }
}
