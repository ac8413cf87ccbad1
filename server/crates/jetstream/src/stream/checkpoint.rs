//! What of a stream is not in its message store: kept in the store's checkpoint
//! next to the index of the last applied entry.
//!
//! ```text
//! version u8 = 1 · index u64 · term u64 · schedules · created i64
//! · config (u32 length, JSON) · last message id (u32 length)
//! · dedupe · ends · progress of sources (see their modules)
//! · n u32 · n × (created i64 · config · state, u32 lengths)
//! ```
//! Waiting pull requests, open batches and everything in flight are left out:
//! they end with the leader.

use super::schedule::Schedules;
use super::source::{decode_progress, encode_progress};
use super::{Identity, Stream};
use crate::config::{ConsumerConfig, StreamConfig};
use crate::consumer::Consumer;
use crate::json;
use bytes::{BufMut, Bytes, BytesMut};
use gust_storage::store::StreamStore;

const VERSION: u8 = 1;

/// Why a checkpoint cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Written by a newer server.
    #[error("stream checkpoint has version {0}, this server reads up to {VERSION}; upgrade it")]
    Version(u8),
    /// Ends early or contradicts itself.
    #[error("stream checkpoint has a bad {0}; rebuild the stream from the previous one or a peer")]
    Bad(&'static str),
}

impl Stream {
    /// Appends the checkpoint that belongs to the store as it is now.
    pub fn checkpoint_app(&self, out: &mut BytesMut) {
        out.put_u8(VERSION);
        out.put_u64_le(self.applied.0);
        out.put_u64_le(self.applied.1);
        self.schedules.encode(out);
        self.encode_shared(out);
    }

    /// The part replicas agree on, whatever the indexes of their logs.
    pub(super) fn encode_shared(&self, out: &mut BytesMut) {
        out.put_i64_le(self.identity.created);
        put_bytes(out, &json::to_bytes(&self.rules.config));
        put_bytes(out, &self.last_id);
        self.dedupe.encode(out);
        self.expiry.encode(out);
        encode_progress(&self.progress, out);
        out.put_u32_le(self.consumers.len() as u32);
        let mut state = BytesMut::new();
        for c in self.consumers.iter() {
            out.put_i64_le(c.created());
            put_bytes(out, &json::to_bytes(c.config()));
            state.clear();
            if c.is_logged() {
                c.encode_state(&mut state);
            }
            put_bytes(out, &state);
        }
    }

    /// A stream as [`Stream::checkpoint_app`] left it, on the store that was
    /// recovered with it. The log is then applied from there. `identity.created`
    /// is taken from the checkpoint.
    pub fn recover(
        mut identity: Identity,
        blob: &[u8],
        store: Box<dyn StreamStore>,
    ) -> Result<Stream, CheckpointError> {
        let mut b = blob;
        let bad = CheckpointError::Bad;
        match take(&mut b, 1).ok_or(bad("version"))? {
            [VERSION] => {}
            other => return Err(CheckpointError::Version(other[0])),
        }
        let index = number(&mut b).ok_or(bad("index"))?;
        let term = number(&mut b).ok_or(bad("term"))?;
        let schedules = Schedules::decode(&mut b).ok_or(bad("list of schedules"))?;
        identity.created = number(&mut b).ok_or(bad("creation time"))? as i64;
        let config: StreamConfig = document(&mut b).ok_or(bad("configuration"))?;
        let mut s = Stream::new(identity, config, store);
        s.applied = (index, term);
        s.schedules = schedules;
        s.last_id = Bytes::copy_from_slice(bytes(&mut b).ok_or(bad("message id"))?);
        s.dedupe.decode(&mut b).ok_or(bad("list of message ids"))?;
        s.expiry = super::expiry::Expiry::decode(&mut b).ok_or(bad("list of ends"))?;
        s.progress = decode_progress(&mut b).ok_or(bad("progress of sources"))?;
        let n = take(&mut b, 4).ok_or(bad("number of consumers"))?;
        let n = u32::from_le_bytes([n[0], n[1], n[2], n[3]]);
        for _ in 0..n {
            let created = number(&mut b).ok_or(bad("consumer"))? as i64;
            let config: ConsumerConfig = document(&mut b).ok_or(bad("consumer"))?;
            let state = bytes(&mut b).ok_or(bad("consumer"))?;
            let mut c = Consumer::new(config, created, &s.facts);
            if !state.is_empty() {
                c.decode_state(state).map_err(|_| bad("consumer state"))?;
            }
            s.consumers.insert(c);
        }
        if !b.is_empty() {
            return Err(bad("length"));
        }
        Ok(s)
    }
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32_le(bytes.len() as u32);
    out.put_slice(bytes);
}

fn take<'a>(b: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = b.split_at_checked(n)?;
    *b = tail;
    Some(head)
}

fn number(b: &mut &[u8]) -> Option<u64> {
    take(b, 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn bytes<'a>(b: &mut &'a [u8]) -> Option<&'a [u8]> {
    let n: [u8; 4] = take(b, 4)?.try_into().ok()?;
    take(b, u32::from_le_bytes(n) as usize)
}

fn document<T: json::JsonRead + Default>(b: &mut &[u8]) -> Option<T> {
    json::parse_lenient(bytes(b)?).ok()
}
