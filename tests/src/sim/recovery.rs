//! Starting a node from its disk: the log is read once, each stream starts from
//! its newest good checkpoint and applies what the log has beyond it.

use super::actor::Actor;
use super::config::Asset;
use super::lane::Lane;
use super::liar::Mistake;
use super::node::{Node, Output, Surroundings};
use super::rng::Rng;
use gust_jetstream::stream::{Facts, Stream};
use gust_raft::{EntryKind, Group, LogWrite, Restored};
use gust_storage::disk::Disk;
use gust_storage::store::file::{FileOptions, FileStore};
use gust_storage::wal::{Lsn, Wal, WalOptions, WalRecord};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What a node is started with.
pub struct Setup {
    /// Layout of the log.
    pub wal: WalOptions,
    /// Layout of the stores.
    pub store: FileOptions,
    /// The streams.
    pub assets: Vec<Asset>,
    /// What the node does wrong on purpose.
    pub mistake: Option<Mistake>,
}

#[derive(Default)]
struct Found {
    restored: Restored,
    /// Index and lsn of every entry.
    lsns: Vec<(u64, Lsn)>,
}

/// Opens everything on `disk`. An error means that the node cannot start now.
pub fn start(disk: &Arc<dyn Disk>, setup: &Setup, mut rng: Rng, now: i64) -> Result<Node, String> {
    let mut found: BTreeMap<u64, Found> = BTreeMap::new();
    let (wal, report) =
        Wal::open(disk.clone(), "wal/0", setup.wal.clone(), rng.bits(), &mut |r, lsn| {
            let f = found.entry(r.group()).or_default();
            match r {
                WalRecord::Entry { group, term, index, kind, data } => {
                    let keep = f.lsns.partition_point(|(i, _)| *i < index);
                    f.lsns.truncate(keep);
                    f.lsns.push((index, lsn));
                    let kind = EntryKind::from_u8(kind).unwrap_or(EntryKind::Normal);
                    f.restored.replay(LogWrite::Entry { group, term, index, kind, data });
                }
                WalRecord::Hard { group, term, vote, commit } => {
                    f.restored.replay(LogWrite::HardState { group, term, vote, commit });
                }
                _ => {}
            }
        })
        .map_err(|e| e.to_string())?;
    let mut outbox = VecDeque::new();
    outbox.extend(report.gaps.iter().map(|g| Output::Damage(g.to_string())));
    let end = wal.next_lsn();
    let mut actors = BTreeMap::new();
    for asset in &setup.assets {
        let f = found.remove(&asset.group).unwrap_or_default();
        let mut around =
            Surroundings { now, rng: &mut rng, outbox: &mut outbox, facts: Facts::default() };
        match open_stream(disk, setup, asset, f, end, &mut around) {
            Ok(actor) => {
                actors.insert(asset.group, actor);
            }
            Err(Trouble::Damage(why)) => outbox.push_back(Output::Damage(why)),
            Err(Trouble::Other(why)) => return Err(why),
        }
    }
    let mut node = Node::new(actors, Lane::new(wal), setup.mistake, rng);
    node.outbox = outbox;
    Ok(node)
}

enum Trouble {
    /// This stream is not served.
    Damage(String),
    /// The node cannot start.
    Other(String),
}

fn open_stream(
    disk: &Arc<dyn Disk>,
    setup: &Setup,
    asset: &Asset,
    mut f: Found,
    end: Lsn,
    around: &mut Surroundings<'_>,
) -> Result<Actor, Trouble> {
    let dir = format!("streams/{}", asset.group);
    let (store, recovered, report) = FileStore::open(disk.clone(), &dir, setup.store)
        .map_err(|e| Trouble::Other(format!("{dir}: {e}")))?;
    for d in &report.damaged {
        around.outbox.push_back(Output::Damage(d.to_string()));
    }
    if report.rebuilt {
        return Err(Trouble::Damage(format!("{dir}: no checkpoint is left")));
    }
    let identity = asset.identity.clone();
    let stream = match recovered {
        Some(r) => {
            f.restored.applied_index = r.applied_index;
            f.restored.applied_term = r.applied_term;
            Stream::recover(identity, &r.app, Box::new(store))
                .map_err(|e| Trouble::Damage(format!("{dir}: {e}")))?
        }
        None => Stream::new(identity, asset.config.clone(), Box::new(store)),
    };
    let applied = f.restored.applied_index;
    // What the checkpoint does not hold starts here.
    let covered = f.lsns.iter().find(|(i, _)| *i > applied).map_or(end, |(_, lsn)| *lsn);
    let group = Group::single(asset.group, f.restored)
        .map_err(|e| Trouble::Damage(format!("{dir}: {e}")))?;
    let mut actor = Actor::new(stream, group, covered, covered);
    let committed = actor.group.committed();
    actor.apply(committed, around);
    actor.applied_lsn = end;
    actor.group.campaign();
    Ok(actor)
}
