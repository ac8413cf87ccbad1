//! Real backups of nats-server 2.15.1 (format 2) and 2.14.6 (format 1), and our
//! own, whole and damaged. The fixtures are made with `fixtures/snapshot/backup.py`.

use super::*;
use crate::api::response::StoredMsg;
use crate::api::{ConsumerInfo, StreamState};
use crate::config::StreamConfig;
use crate::json::{json_struct, parse_lenient};
use crate::time::Time;
use gust_storage::record::MessageView;

json_struct! {
    /// What the server said when the backup was made.
    pub struct Facts("Facts") {
        /// Configuration.
        config: StreamConfig = "config",
        /// State.
        state: StreamState = "state",
        /// Messages.
        messages: Vec<StoredMsg> = "messages",
        /// Consumers.
        consumers: Vec<ConsumerInfo> = "consumers",
    }
}

macro_rules! fixture {
    ($name:literal) => {
        (
            $name,
            &include_bytes!(concat!("../../fixtures/snapshot/", $name, ".s2"))[..],
            &include_bytes!(concat!("../../fixtures/snapshot/", $name, ".s2.json"))[..],
        )
    };
}

fn fixtures() -> [(&'static str, &'static [u8], &'static [u8]); 3] {
    [fixture!("v2-file"), fixture!("v2-memory"), fixture!("v1-file")]
}

fn read(data: &[u8], piece: usize) -> Result<Vec<RestoreItem>, SnapshotError> {
    let mut items = Vec::new();
    let mut sink = |item| {
        items.push(item);
        Ok(())
    };
    let mut reader = RestoreReader::new(RestoreLimits::default());
    for part in data.chunks(piece) {
        reader.push(part, &mut sink)?;
    }
    reader.finish(&mut sink)?;
    Ok(items)
}

/// Messages that are left after the deletes, and consumers.
fn contents(items: &[RestoreItem]) -> (Vec<RestoredMessage>, Vec<ConsumerBackup>) {
    let (mut messages, mut consumers) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            RestoreItem::Message(m) => messages.push(m.clone()),
            RestoreItem::Delete { seq, .. } => messages.retain(|m: &RestoredMessage| m.seq != *seq),
            RestoreItem::Consumer(c) => consumers.push((**c).clone()),
            RestoreItem::State(_) => {}
        }
    }
    (messages, consumers)
}

#[test]
fn real_backups_are_understood() {
    for (name, data, facts) in fixtures() {
        let facts: Facts = parse_lenient(facts).unwrap();
        for piece in [1, 7, 1000, 1 << 20] {
            let (messages, consumers) = contents(&read(data, piece).unwrap());
            let got: Vec<_> = messages
                .iter()
                .map(|m| StoredMsg {
                    subject: String::from_utf8(m.subject.to_vec()).unwrap(),
                    seq: m.seq,
                    hdrs: crate::json::Base64(m.headers.clone()),
                    data: crate::json::Base64(m.payload.clone()),
                    time: Time::from_nanos(m.ts),
                })
                .collect();
            assert_eq!(got, facts.messages, "{name}");
            assert_eq!(consumers.len(), facts.consumers.len(), "{name}");
            for (got, want) in consumers.iter().zip(&facts.consumers) {
                let state = got.state.clone().unwrap_or_default();
                assert_eq!(got.name, want.name);
                assert_eq!(Some(&got.config), want.config.as_ref());
                assert_eq!(state.delivered.consumer_seq, want.delivered.consumer_seq);
                assert_eq!(state.ack_floor.consumer_seq, want.ack_floor.consumer_seq);
                assert_eq!(state.pending.0.len() as i64, want.num_ack_pending);
                assert_eq!(state.redelivered.0.len() as i64, want.num_redelivered);
            }
        }
    }
}

fn write(format: Format, facts: &Facts, items: &[RestoreItem]) -> Vec<u8> {
    let (messages, consumers) = contents(items);
    let created = Time::from_nanos(1_700_000_000_000_000_000);
    let now = 1_700_000_001_000_000_000;
    let mut w = SnapshotWriter::new(format, &facts.config, created, &facts.state, 1000, now);
    for c in &consumers {
        w.consumer(&c.name, &c.config, created, &c.state.clone().unwrap_or_default());
    }
    for m in &messages {
        w.message(&MessageView {
            seq: m.seq,
            ts: m.ts,
            subject: &m.subject,
            headers: &m.headers,
            payload: &m.payload,
        });
    }
    w.finish(facts.state.last_seq, facts.state.last_ts.nanos());
    let mut out = Vec::new();
    while let Some((chunk, full)) = w.next_chunk() {
        assert_eq!(full, chunk.len() == 1000);
        out.extend_from_slice(&chunk);
    }
    assert_eq!(w.waiting(), 0);
    out
}

#[test]
fn what_is_written_is_read_back_in_both_formats() {
    for (name, data, facts) in fixtures() {
        let facts: Facts = parse_lenient(facts).unwrap();
        let items = read(data, 1 << 20).unwrap();
        let want = contents(&items);
        for format in [Format::Archive, Format::Tar] {
            let again = read(&write(format, &facts, &items), 333).unwrap();
            let mut got = contents(&again);
            if format == Format::Tar {
                // Whole seconds only.
                let deletes = again.iter().any(
                    |i| matches!(i, RestoreItem::Delete { seq, .. } if *seq == facts.state.last_seq),
                );
                assert!(deletes, "{name}: the deleted tail is kept");
                for (got, want) in got.1.iter_mut().zip(&want.1) {
                    let (got, want) = (got.state.as_mut().unwrap(), want.state.as_ref().unwrap());
                    for (seq, p) in &mut got.pending.0 {
                        let exact = want.pending.0[seq].timestamp;
                        assert_eq!(p.timestamp, exact / 1_000_000_000 * 1_000_000_000);
                        p.timestamp = exact;
                    }
                }
            }
            assert_eq!(got, want, "{name} {format:?}");
        }
    }
}

#[test]
fn every_cut_is_an_error_and_no_flip_panics() {
    for (name, data, _) in fixtures() {
        for cut in (0..data.len()).step_by(3) {
            assert!(read(&data[..cut], 512).is_err(), "{name} cut at {cut}");
        }
        for bit in (0..data.len() * 8).step_by(11) {
            let mut bad = data.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            let _ = read(&bad, 512);
        }
    }
}

/// The decompressed fixture with one byte changed, compressed again: what the
/// S2 checksums do not catch.
#[test]
fn no_change_inside_panics() {
    for (_, data, _) in fixtures() {
        let mut plain = Vec::new();
        gust_wire::s2::Decoder::new(u64::MAX).decode(data, &mut plain).unwrap();
        // The first part holds the documents, with every kind of field.
        for at in (0..plain.len().min(8192)).step_by(3) {
            for value in [0u8, 0x7f, 0xff] {
                let mut bad = plain.clone();
                bad[at] = value;
                let mut ignore = |_| Ok(());
                let (mut v2, mut v1) = (
                    archive::ArchiveReader::new(RestoreLimits::default()),
                    legacy::LegacyReader::new(RestoreLimits::default()),
                );
                let _ = match bad.strip_prefix(archive::MAGIC) {
                    Some(rest) => v2.push(rest, &mut ignore).and_then(|()| v2.finish()),
                    None => v1.push(&bad, &mut ignore).and_then(|()| v1.finish(&mut ignore)),
                };
            }
        }
    }
}

#[test]
fn limits_and_order_are_named() {
    let (_, data, facts) = fixtures()[0];
    let limits = RestoreLimits { max_message: 100, ..RestoreLimits::default() };
    let mut reader = RestoreReader::new(limits);
    let error = reader.push(data, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error, SnapshotError::TooLarge { max: 100, .. }), "{error}");

    let facts: Facts = parse_lenient(facts).unwrap();
    let m = RestoredMessage {
        seq: 5,
        ts: 1,
        subject: "a".into(),
        headers: Bytes::new(),
        payload: Bytes::new(),
    };
    let twice = [RestoreItem::Message(m.clone()), RestoreItem::Message(m)];
    let mut facts = facts;
    facts.state.consumer_count = 0;
    let error = read(&write(Format::Archive, &facts, &twice), 99).unwrap_err();
    assert_eq!(
        error.to_string(),
        "entry \"a\" in the backup is malformed: sequence 5 comes after 5"
    );
    let error = read(&write(Format::Tar, &facts, &twice), 99).unwrap_err();
    assert_eq!(error.to_string(), "block 1 in the backup is malformed: sequence 5 comes after 5");
}
