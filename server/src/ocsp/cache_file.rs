//! The answers about peers on disk: `cache.json` below `ocsp_cache.local_store`, as
//! nats-server writes it. By certificate (SHA-256, base64): when it was asked about,
//! what was said, until when, and the answer in DER, packed with S2.
//!
//! What is read is not believed: it waits until its certificate comes along and is
//! verified then.

use super::cache::{Cache, Fingerprint, MAX_BYTES};
use super::response::{MAX_RESPONSE, Status};
use crate::clock;
use crate::server::Server;
use data_encoding::BASE64;
use foldhash::HashMap;
use gust_wire::s2::{Decoder, Encoder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Name of the file.
pub const FILE: &str = "cache.json";
/// Bytes of the file that are read.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// An answer as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Subject of the certificate.
    pub subject: String,
    /// When it was asked for, ns since the epoch.
    pub cached_at: i64,
    /// What it says.
    pub status: Status,
    /// Its end, seconds since the epoch.
    pub ends: Option<i64>,
    /// The answer.
    pub der: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    subject: String,
    cached_at: String,
    resp_status: String,
    #[serde(default)]
    resp_expires: String,
    resp: String,
}

/// The file's text.
pub fn encode(all: impl Iterator<Item = (Fingerprint, Stored)>) -> Result<Vec<u8>, io::Error> {
    let entries: BTreeMap<String, Entry> = all
        .map(|(cert, stored)| {
            let mut packed = Vec::new();
            Encoder::snappy().encode(&stored.der, &mut packed);
            let ends = stored.ends.map(|s| clock::rfc3339(s.saturating_mul(1_000_000_000)));
            let entry = Entry {
                subject: stored.subject,
                cached_at: clock::rfc3339(stored.cached_at),
                resp_status: stored.status.to_string(),
                resp_expires: ends.unwrap_or_else(|| "0001-01-01T00:00:00Z".to_owned()),
                resp: BASE64.encode(&packed),
            };
            (BASE64.encode(&cert), entry)
        })
        .collect();
    Ok(serde_json::to_vec_pretty(&entries)?)
}

/// What a file holds, at most [`MAX_BYTES`]; entries that make no sense are left out.
pub fn decode(text: &[u8]) -> Result<HashMap<Fingerprint, Stored>, io::Error> {
    let entries: BTreeMap<String, Entry> = serde_json::from_slice(text)?;
    let mut bytes = 0;
    let all = entries.into_iter().filter_map(|(cert, e)| stored(&cert, e));
    let fits = |(_, stored): &(Fingerprint, Stored)| {
        bytes += stored.der.len() + stored.subject.len();
        bytes <= MAX_BYTES
    };
    Ok(all.take_while(fits).collect())
}

fn stored(cert: &str, entry: Entry) -> Option<(Fingerprint, Stored)> {
    let cert = BASE64.decode(cert.as_bytes()).ok()?.try_into().ok()?;
    let packed = BASE64.decode(entry.resp.as_bytes()).ok()?;
    let mut der = Vec::new();
    let mut decoder = Decoder::new(MAX_RESPONSE as u64);
    decoder.decode(&packed, &mut der).ok()?;
    decoder.finish().ok()?;
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let stored = Stored {
        subject: entry.subject,
        cached_at: time(&entry.cached_at)
            .map_or(0, |t| t.as_second().saturating_mul(1_000_000_000)),
        status: match entry.resp_status.as_str() {
            "good" => Status::Good,
            "revoked" => Status::Revoked,
            _ => Status::Unknown,
        },
        ends: time(&entry.resp_expires).map(|t| t.as_second()).filter(|s| *s > 0),
        der,
    };
    Some((cert, stored))
}

/// Reads a file; one that is absent is empty.
pub fn read(path: &Path) -> Result<HashMap<Fingerprint, Stored>, io::Error> {
    let mut text = Vec::new();
    match std::fs::File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(HashMap::default()),
        file => file?.take(MAX_FILE).read_to_end(&mut text)?,
    };
    decode(&text)
}

/// Puts `text` in the place of a file.
pub fn write(path: &Path, text: &[u8]) -> Result<(), io::Error> {
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let temporary = path.with_extension("tmp");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

/// Saves the cache from time to time until the server stops.
pub async fn run(server: Arc<Server>) {
    /// Where no cache is configured: a reload may do that.
    const IDLE: Duration = Duration::from_secs(60);
    loop {
        tokio::select! {
            () = sleep(server.tls.statuses.save_interval().unwrap_or(IDLE)) => {}
            () = server.stopped() => return,
        }
        let server = server.clone();
        let _ = tokio::task::spawn_blocking(move || save(&server.tls.statuses)).await;
    }
}

/// Saves what is new.
pub fn save(cache: &Cache) {
    if let Err(e) = cache.save() {
        tracing::error!("Unable to save OCSP peer cache: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_back_and_what_makes_no_sense_does_not() {
        let one = Stored {
            subject: "CN=client".to_owned(),
            cached_at: 1_000_000_000,
            status: Status::Revoked,
            ends: Some(2_000_000_000),
            der: b"an answer an answer an answer".to_vec(),
        };
        let two = Stored { status: Status::Good, ends: None, ..one.clone() };
        let all = [([1; 32], one.clone()), ([2; 32], two.clone())];
        let text = encode(all.clone().into_iter()).unwrap();
        assert_eq!(decode(&text).unwrap(), all.into_iter().collect());
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(r#""resp_status": "revoked""#), "{text}");
        let shorter = text.replace("AQEBAQEB", "AQ");
        assert_eq!(decode(shorter.as_bytes()).unwrap().len(), 1);
        assert!(decode(b"[]").is_err() && decode(b"").is_err());
        assert!(decode(b"{}").unwrap().is_empty());
    }

    #[test]
    fn what_nats_server_wrote_is_read() {
        // As a real one, but for the answer itself: a stream of S2 with one chunk.
        let mut packed = Vec::new();
        Encoder::new(gust_wire::s2::Level::Fast).encode(b"0123456789", &mut packed);
        let text = format!(
            r#"{{ "itU7jV/DB3z6xR2UyZWVkRwKeNicU19EL0Its5QB6/8=": {{
  "subject": "CN=client", "cached_at": "2026-11-21T11:11:10Z", "resp_status": "revoked",
  "resp_expires": "2026-11-22T11:11:09Z", "resp": "{}" }} }}"#,
            BASE64.encode(&packed)
        );
        let (_, stored) = decode(text.as_bytes()).unwrap().into_iter().next().unwrap();
        assert_eq!((stored.status, stored.ends), (Status::Revoked, Some(1_795_345_869)));
        assert_eq!(stored.der, b"0123456789");
    }
}
