//! Where a stream's files are, and opening, creating and removing them.

use super::assets::AssetRecord;
use crate::server::Server;
use bytes::BytesMut;
use gust_jetstream::config::{Compression, StorageType, StreamConfig};
use gust_jetstream::stream::{Identity, Stream};
use gust_storage::disk::Disk;
use gust_storage::store::file::{FileOptions, FileStore};
use gust_storage::store::memory::MemoryStore;
use std::io;
use std::sync::Arc;

/// A stream found on disk.
pub struct Opened {
    /// It, as its last checkpoint left it.
    pub stream: Stream,
    /// Damage that did not prevent that.
    pub notes: Vec<String>,
}

/// Shard that owns a group.
pub fn shard_of(server: &Server, group: u64) -> usize {
    (group % server.shard_count() as u64) as usize
}

/// Directory of a stream below the store. The group number makes it unique, so
/// that a stream made again under the same name never meets old files.
pub fn dir(account: &str, stream: &str, group: u64) -> String {
    format!("{}/streams/{}/{group}", plain(account), plain(stream))
}

/// A name as a single path element: anything unusual is percent-encoded.
fn plain(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for b in name.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'$' | b'=' => {
                out.push(b as char);
            }
            b => out.push_str(&format!("%{b:02x}")),
        }
    }
    out
}

fn options(config: &StreamConfig) -> FileOptions {
    FileOptions {
        compress: config.compression == Compression::S2,
        ..FileOptions::for_max_bytes(config.max_bytes)
    }
}

fn identity(record: &AssetRecord, domain: &str) -> Identity {
    Identity {
        account: record.account.clone(),
        domain: domain.to_owned(),
        created: record.created,
        ack_v2: false,
    }
}

/// Opens the files of a stream that was created before.
pub fn open(
    disk: &Arc<dyn Disk>,
    domain: &str,
    record: &AssetRecord,
    config: &StreamConfig,
) -> Result<Opened, String> {
    let dir = dir(&record.account, &config.name, record.group);
    let (store, recovered, report) =
        FileStore::open(disk.clone(), &dir, options(config)).map_err(|e| e.to_string())?;
    if report.rebuilt {
        let why: Vec<_> = report.damaged.iter().map(ToString::to_string).collect();
        return Err(format!("no usable checkpoint in {dir} ({})", why.join("; ")));
    }
    let identity = identity(record, domain);
    let stream = match recovered.filter(|r| !r.app.is_empty()) {
        Some(r) => Stream::recover(identity, &r.app, Box::new(store)).map_err(|e| e.to_string())?,
        None => Stream::new(identity, config.clone(), Box::new(store)),
    };
    let notes = report.damaged.iter().map(ToString::to_string).collect();
    Ok(Opened { stream, notes })
}

/// Makes a new stream's store. Files of a stream that was never acknowledged,
/// left by a crash under the same group number, are removed first.
pub fn create(
    disk: &Arc<dyn Disk>,
    domain: &str,
    record: &AssetRecord,
    config: &StreamConfig,
) -> Result<Stream, String> {
    create_in(disk, domain, record, config, &dir(&record.account, &config.name, record.group))
}

/// As [`create`], in the directory `dir`.
pub fn create_in(
    disk: &Arc<dyn Disk>,
    domain: &str,
    record: &AssetRecord,
    config: &StreamConfig,
    dir: &str,
) -> Result<Stream, String> {
    let identity = identity(record, domain);
    if config.storage == StorageType::Memory {
        return Ok(Stream::new(identity, config.clone(), Box::new(MemoryStore::new())));
    }
    remove_tree(&**disk, dir).map_err(|e| format!("removing {dir}: {e}"))?;
    let (store, _, _) =
        FileStore::open(disk.clone(), dir, options(config)).map_err(|e| e.to_string())?;
    let mut stream = Stream::new(identity, config.clone(), Box::new(store));
    save(&mut stream)?;
    Ok(stream)
}

/// Makes everything durable that a stream without a log holds.
pub fn save(stream: &mut Stream) -> Result<(), String> {
    let mut app = BytesMut::new();
    stream.checkpoint_app(&mut app);
    if let Some(file) = stream.store_mut().as_file() {
        let job = file.begin_checkpoint(0, 0, &app).map_err(|e| e.to_string())?;
        let done = job.run().map_err(|e| e.to_string())?;
        file.finish_checkpoint(done);
    }
    Ok(())
}

/// Below it are streams that are being restored, one directory each.
const RESTORES: &str = "restore";

/// Directory of a stream while it is restored.
pub fn restore_dir(id: &str) -> String {
    format!("{RESTORES}/{}", plain(id))
}

/// Removes what a restore left behind, if it did.
pub fn remove_restore(disk: &dyn Disk, id: &str) {
    let dir = restore_dir(id);
    if let Err(e) = remove_tree(disk, &dir) {
        tracing::warn!("JetStream: removing the files of a restore in {dir}: {e}");
    }
}

/// Removes what restores left that a stop of the process interrupted.
pub fn remove_restores(disk: &dyn Disk) {
    if let Err(e) = remove_tree(disk, RESTORES) {
        tracing::warn!("JetStream: removing interrupted restores in {RESTORES}: {e}");
    }
}

/// Moves a restored stream that was [`save`]d from `from` to its place and opens
/// it there.
pub fn settle(
    disk: &Arc<dyn Disk>,
    domain: &str,
    record: &AssetRecord,
    config: &StreamConfig,
    stream: Stream,
    from: &str,
) -> Result<Stream, String> {
    if config.storage == StorageType::Memory {
        return Ok(stream);
    }
    drop(stream);
    let to = dir(&record.account, &config.name, record.group);
    move_dir(&**disk, from, &to).map_err(|e| format!("moving {from} to {to}: {e}"))?;
    let Opened { stream, notes } = open(disk, domain, record, config)?;
    match notes.first() {
        None => Ok(stream),
        Some(note) => Err(note.clone()),
    }
}

fn move_dir(disk: &dyn Disk, from: &str, to: &str) -> io::Result<()> {
    remove_tree(disk, to)?;
    let parent = to.rsplit_once('/').map_or("", |(parent, _)| parent);
    disk.create_dir_all(parent)?;
    disk.rename(from, to)?;
    // The new name and those of the directories above are durable before
    // anybody is told.
    let mut path = to;
    while !path.is_empty() {
        path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        disk.sync_dir(path)?;
    }
    Ok(())
}

/// Removes the files of a deleted stream. Called only when the delete is
/// durable; what cannot be removed now is named and stays, harmless.
pub fn remove(disk: &dyn Disk, record: &AssetRecord) {
    let name = gust_jetstream::json::parse::<StreamConfig>(
        record.config.as_bytes(),
        gust_jetstream::json::Strictness::Lenient,
    )
    .map(|c| c.name);
    let Ok(name) = name else { return };
    remove_named(disk, &record.account, &name, record.group);
}

/// As [`remove`] for a stream whose name is known.
pub fn remove_named(disk: &dyn Disk, account: &str, stream: &str, group: u64) {
    let dir = dir(account, stream, group);
    if let Err(e) = remove_tree(disk, &dir) {
        tracing::warn!("JetStream: removing the files of a deleted stream in {dir}: {e}");
    }
    // The directory of the name goes too, unless a newer stream lives in it.
    if let Some((parent, _)) = dir.rsplit_once('/') {
        let _ = disk.remove_dir(parent);
    }
}

fn remove_tree(disk: &dyn Disk, path: &str) -> io::Result<()> {
    let entries = match disk.list(path) {
        Ok(e) => e,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    for e in entries {
        let child = format!("{path}/{}", e.name);
        if e.is_dir {
            remove_tree(disk, &child)?;
        } else {
            disk.remove(&child)?;
        }
    }
    disk.remove_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_single_path_elements() {
        assert_eq!(dir("$G", "ORDERS", 16), "$G/streams/ORDERS/16");
        assert_eq!(dir("a/../b", "x", 1), "a%2f%2e%2e%2fb/streams/x/1");
    }
}
