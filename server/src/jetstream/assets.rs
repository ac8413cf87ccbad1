//! Which streams there are: name, account, raft group, configuration.
//!
//! The registry is changed only through records in the write-ahead log under
//! [`META_GROUP`], so what a restart finds is exactly what was acknowledged. Only
//! a recorded delete removes a stream's data; a directory nobody knows is named
//! in the log and left alone. A snapshot of the registry, two generations kept,
//! lets the log be recycled.

use bytes::{BufMut, Bytes, BytesMut};
use gust_jetstream::config::StreamConfig;
use gust_jetstream::json;
use gust_storage::disk::{Disk, OpenMode};
use gust_storage::record::{self, FRAME_HEADER};
use gust_storage::wal::Lsn;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// The group under which changes of the registry are logged.
pub const META_GROUP: u64 = 1;
/// First group number given to a stream.
const FIRST_STREAM_GROUP: u64 = 16;
/// Frame kind of a snapshot file.
const SNAPSHOT_KIND: u8 = 64;
/// Largest snapshot that is read.
const MAX_SNAPSHOT: u64 = 1 << 30;

/// One stream.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Account it belongs to.
    pub account: String,
    /// Raft group; never reused.
    pub group: u64,
    /// Creation time, ns.
    pub created: i64,
    /// Current configuration.
    pub config: Arc<StreamConfig>,
}

/// A change of the registry, as logged.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssetChange {
    /// A stream was created.
    Created(AssetRecord),
    /// A stream's configuration changed.
    Updated {
        /// Its group.
        group: u64,
        /// New configuration, as JSON text.
        config: String,
    },
    /// A stream was deleted.
    Deleted {
        /// Its group.
        group: u64,
    },
}

/// A stream, as logged. The configuration is kept as text so that a newer
/// server's fields survive an older one's reading.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AssetRecord {
    /// Account.
    pub account: String,
    /// Raft group.
    pub group: u64,
    /// Creation time, ns.
    pub created: i64,
    /// Configuration as JSON text.
    pub config: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Snapshot {
    /// Index of the last change it holds.
    index: u64,
    next_group: u64,
    streams: Vec<AssetRecord>,
}

/// What a snapshot file gave.
#[derive(Debug, Default)]
pub struct Restored {
    /// Index of the last change in it.
    pub index: u64,
    /// Next free group number.
    pub next_group: u64,
    /// The streams.
    pub streams: Vec<AssetRecord>,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Assets {
    map: RwLock<Map>,
    /// Held while a change is validated, logged and applied.
    pub changing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Map {
    by_group: BTreeMap<u64, Asset>,
    by_name: BTreeMap<String, BTreeMap<String, u64>>,
    next_group: u64,
    index: u64,
    logged: Lsn,
    /// Streams that could not be opened: they stay in the registry, so that a
    /// repaired file brings them back.
    damaged: Vec<AssetRecord>,
}

/// A configuration as logged.
pub fn config_text(config: &StreamConfig) -> String {
    String::from_utf8_lossy(&json::to_bytes(config)).into_owned()
}

impl Assets {
    /// A registry that starts with what recovery found.
    pub fn new(index: u64, next_group: u64) -> Self {
        let a = Self::default();
        {
            let mut m = a.map.write();
            m.index = index;
            m.next_group = next_group.max(FIRST_STREAM_GROUP);
        }
        a
    }

    /// Takes the next group number and log index for a change.
    pub fn reserve(&self) -> (u64, u64) {
        let mut m = self.map.write();
        m.next_group += 1;
        m.index += 1;
        (m.next_group - 1, m.index)
    }

    /// Takes the next group number for a stream that may come later.
    pub fn reserve_group(&self) -> u64 {
        let mut m = self.map.write();
        m.next_group += 1;
        m.next_group - 1
    }

    /// Takes the next log index.
    pub fn next_index(&self) -> u64 {
        let mut m = self.map.write();
        m.index += 1;
        m.index
    }

    /// A change was logged below `lsn`.
    pub fn logged(&self, lsn: Lsn) {
        self.map.write().logged = lsn;
    }

    /// Where the last applied change was logged.
    pub fn logged_lsn(&self) -> Lsn {
        self.map.read().logged
    }

    /// Keeps the record of a stream that cannot be served.
    pub fn keep_damaged(&self, record: AssetRecord) {
        let mut m = self.map.write();
        m.next_group = m.next_group.max(record.group + 1);
        m.damaged.push(record);
    }

    /// Adds or replaces a stream.
    pub fn put(&self, asset: Asset) {
        let mut m = self.map.write();
        m.next_group = m.next_group.max(asset.group + 1);
        m.by_name
            .entry(asset.account.clone())
            .or_default()
            .insert(asset.config.name.clone(), asset.group);
        m.by_group.insert(asset.group, asset);
    }

    /// Replaces a stream's configuration.
    pub fn update(&self, group: u64, config: Arc<StreamConfig>) {
        if let Some(a) = self.map.write().by_group.get_mut(&group) {
            a.config = config;
        }
    }

    /// Removes a stream.
    pub fn remove(&self, group: u64) -> Option<Asset> {
        let mut m = self.map.write();
        let a = m.by_group.remove(&group)?;
        if let Some(names) = m.by_name.get_mut(&a.account)
            && names.get(&a.config.name) == Some(&group)
        {
            names.remove(&a.config.name);
        }
        Some(a)
    }

    /// The stream of that name.
    pub fn find(&self, account: &str, stream: &str) -> Option<Asset> {
        let m = self.map.read();
        let group = m.by_name.get(account)?.get(stream)?;
        m.by_group.get(group).cloned()
    }

    /// The stream of that group.
    pub fn get(&self, group: u64) -> Option<Asset> {
        self.map.read().by_group.get(&group).cloned()
    }

    /// Streams of an account, by name.
    pub fn of_account(&self, account: &str) -> Vec<Asset> {
        let m = self.map.read();
        let Some(names) = m.by_name.get(account) else { return Vec::new() };
        names.values().filter_map(|g| m.by_group.get(g)).cloned().collect()
    }

    /// All streams.
    pub fn all(&self) -> Vec<Asset> {
        self.map.read().by_group.values().cloned().collect()
    }

    /// Writes a snapshot and returns the index of the last change it holds.
    pub fn write_snapshot(&self, disk: &dyn Disk) -> io::Result<u64> {
        let (index, doc) = {
            let m = self.map.read();
            let streams = m
                .by_group
                .values()
                .map(|a| AssetRecord {
                    account: a.account.clone(),
                    group: a.group,
                    created: a.created,
                    config: config_text(&a.config),
                })
                .chain(m.damaged.iter().cloned())
                .collect();
            (m.index, Snapshot { index: m.index, next_group: m.next_group, streams })
        };
        let json = serde_json::to_vec(&doc)?;
        let mut out = BytesMut::with_capacity(json.len() + FRAME_HEADER);
        record::put_frame(&mut out, SNAPSHOT_KIND, 0, |b| b.put_slice(&json));
        disk.create_dir_all("meta")?;
        let file = disk.open("meta/new", OpenMode::Truncate)?;
        file.write_all_at(&out, 0)?;
        file.sync()?;
        let name = |n: u64| format!("meta/assets-{n:016x}");
        disk.rename("meta/new", &name(index))?;
        disk.sync_dir("meta")?;
        let mut old: Vec<String> = snapshots(disk)?;
        while old.len() > 2 {
            disk.remove(&format!("meta/{}", old.remove(0)))?;
        }
        Ok(index)
    }
}

fn snapshots(disk: &dyn Disk) -> io::Result<Vec<String>> {
    let names = match disk.list("meta") {
        Ok(n) => n,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    Ok(names.into_iter().map(|e| e.name).filter(|n| n.starts_with("assets-")).collect())
}

/// Reads the newest snapshot that is intact. With damaged ones only, JetStream
/// must not start: an empty registry would read as "all streams deleted".
pub fn read_snapshot(disk: &dyn Disk) -> Result<Restored, String> {
    let names = snapshots(disk).map_err(|e| format!("listing meta: {e}"))?;
    let mut why = Vec::new();
    for name in names.iter().rev() {
        match read_one(disk, &format!("meta/{name}")) {
            Ok(s) => {
                for w in &why {
                    tracing::error!("JetStream: {w}; the previous generation meta/{name} is used");
                }
                return Ok(Restored {
                    index: s.index,
                    next_group: s.next_group,
                    streams: s.streams,
                });
            }
            Err(e) => why.push(format!("meta/{name} is damaged: {e}")),
        }
    }
    if why.is_empty() {
        return Ok(Restored::default());
    }
    Err(format!(
        "{}. Nothing was changed; restore the file from a backup of the store directory",
        why.join("; ")
    ))
}

fn read_one(disk: &dyn Disk, path: &str) -> Result<Snapshot, String> {
    let file = disk.open(path, OpenMode::Read).map_err(|e| e.to_string())?;
    let len = file.len().map_err(|e| e.to_string())?;
    if len > MAX_SNAPSHOT {
        return Err(format!("{len} bytes are too many"));
    }
    let mut buf = vec![0; len as usize];
    file.read_exact_at(&mut buf, 0).map_err(|e| e.to_string())?;
    let frame = record::read_frame(&buf).map_err(|e| e.to_string())?;
    if frame.kind != SNAPSHOT_KIND {
        return Err(format!("frame kind {} is unknown", frame.kind));
    }
    serde_json::from_slice(frame.body).map_err(|e| e.to_string())
}

impl AssetChange {
    /// The bytes logged.
    pub fn encode(&self) -> Bytes {
        // A plain document of strings and numbers always serialises.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Reads logged bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| e.to_string())
    }
}
