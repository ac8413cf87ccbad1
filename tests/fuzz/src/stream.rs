//! A stream's log, consumers' deltas, checkpoints of streams, and backups.

use bytes::BytesMut;
use gust_jetstream::config::{ConsumerConfig, StreamConfig};
use gust_jetstream::consumer::{Consumer, StreamFacts};
use gust_jetstream::effect::Interest;
use gust_jetstream::json;
use gust_jetstream::snapshot::{RestoreItem, RestoreLimits, RestoreReader};
use gust_jetstream::stream::log::Change;
use gust_jetstream::stream::{Cx, Facts, Identity, Stream};
use gust_storage::record::{frames, put_frame};
use gust_storage::store::memory::MemoryStore;
use gust_wire::s2::{Encoder, Level};

struct Nobody;

impl Interest for Nobody {
    fn has(&self, _: &[u8]) -> bool {
        false
    }
    fn has_group(&self, _: &[u8], _: &[u8]) -> bool {
        false
    }
}

fn stream() -> Stream {
    let body = br#"{"name":"S","subjects":["S.>"],"max_msgs":10,"max_bytes":-1,
        "max_msgs_per_subject":2,"max_msg_size":-1,"storage":"memory","num_replicas":1,
        "duplicate_window":1000000000,"allow_msg_ttl":true,"allow_rollup_hdrs":true}"#;
    let config: StreamConfig = json::parse_lenient(body).expect("own document");
    let identity = Identity { account: "A".into(), created: 1, ..Identity::default() };
    Stream::new(identity, config, Box::new(MemoryStore::new()))
}

/// Entries: each piece becomes a frame with a checksum that fits (kind, length,
/// body). Applying ends in an error or in a state that can be saved and read.
pub fn stream_log(data: &[u8]) {
    let mut s = stream();
    let (facts, mut fx) = (Facts::default(), Vec::new());
    let mut cx = Cx { now: 5, random: 1, facts: &facts, interest: &Nobody, fx: &mut fx };
    let mut rest = data;
    for index in 1..64 {
        let [kind, len, tail @ ..] = rest else { break };
        let (body, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        let mut entry = BytesMut::new();
        // Mostly kinds that exist.
        let kind = if *kind < 200 { 16 + kind % 12 } else { kind % 4 };
        put_frame(&mut entry, kind, 0, |b| b.extend_from_slice(body));
        for f in frames(&entry, true) {
            if let Ok(change) = Change::read(&f.expect("own frame")) {
                // Huge gaps are legal and cost nothing.
                let mut again = BytesMut::new();
                change.put(&mut again);
            }
        }
        if s.apply(index, 1, &entry, &mut cx).is_err() {
            assert!(s.poisoned().is_some());
            return;
        }
    }
    let mut blob = BytesMut::new();
    s.checkpoint_app(&mut blob);
    let want = s.applied();
    let again = Stream::recover(s.identity().clone(), &blob, s.into_store());
    assert_eq!(again.map(|s| s.applied()).ok(), Some(want), "own checkpoint");
}

/// A consumer's delta or checkpoint, and a stream's checkpoint.
pub fn consumer_delta(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    if mode % 4 == 3 {
        let identity = Identity::default();
        let _ = Stream::recover(identity, rest, Box::new(MemoryStore::new()));
        return;
    }
    let config = ConsumerConfig { name: "c".into(), ..ConsumerConfig::default() };
    let mut c = Consumer::new(config, 1, &StreamFacts::named("S"));
    let ok = match mode % 4 {
        0 => c.apply_delta(rest).is_ok(),
        1 => c.decode_state(rest).is_ok(),
        _ => {
            let half = rest.len() / 2;
            c.decode_state(&rest[..half]).is_ok() && c.apply_delta(&rest[half..]).is_ok()
        }
    };
    if ok {
        let mut out = BytesMut::new();
        c.encode_state(&mut out);
        let before = c.state().clone();
        assert_eq!(c.decode_state(&out), Ok(()), "own state");
        assert_eq!(*c.state(), before);
    }
}

/// Reads a backup in pieces; what comes out must be usable.
fn restore(backup: &[u8]) {
    let limits = RestoreLimits { max_message: 1 << 20, max_total: 16 << 20 };
    let mut reader = RestoreReader::new(limits);
    let mut items = 0u64;
    let mut sink = |item: RestoreItem| {
        items += 1;
        if let RestoreItem::Message(m) = item {
            assert!(m.payload.len() + m.headers.len() <= 1 << 20);
        }
        Ok(())
    };
    for piece in backup.chunks(1000) {
        if reader.push(piece, &mut sink).is_err() {
            return;
        }
    }
    let _ = reader.finish(&mut sink);
}

/// As S2 if it is that, else compressed first, so that mutations reach what is inside.
fn restore_either(data: &[u8]) {
    restore(data);
    let mut packed = Vec::new();
    Encoder::new(Level::Fast).encode(data, &mut packed);
    restore(&packed);
}

/// A backup of nats-server up to 2.14.
pub fn snapshot_v1(data: &[u8]) {
    restore_either(data);
}

/// A backup of nats-server from 2.15.
pub fn snapshot_v2(data: &[u8]) {
    restore_either(data);
}
