//! A stream made from a backup, or whose checkpoint is lost: what is kept beside
//! the messages is worked out from them again.

use super::expiry::Ttl;
use super::headers::PublishHeaders;
use super::{Identity, Stream};
use crate::config::{ConsumerConfig, StreamConfig};
use crate::consumer::{Consumer, ConsumerState};
use crate::effect::Nanos;
use bytes::Bytes;
use gust_storage::record::MessageView;
use gust_storage::store::{Filter, StoreError, StreamStore};

/// A consumer in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredConsumer {
    /// Its configuration; complete.
    pub config: ConsumerConfig,
    /// When it counts as created, ns.
    pub created: Nanos,
    /// How far it is; positions beyond the stream are cut.
    pub state: ConsumerState,
}

impl Stream {
    /// A stream around a store that was filled from elsewhere, with its
    /// consumers. Nothing counts as applied: the caller logs from index 1 on and
    /// checkpoints before the first entry, else a crash loses what the store
    /// does not keep by itself.
    pub fn restore(
        identity: Identity,
        config: StreamConfig,
        store: Box<dyn StreamStore>,
        consumers: Vec<RestoredConsumer>,
    ) -> Result<Stream, StoreError> {
        let mut s = Stream::new(identity, config, store);
        s.rebuild()?;
        let last = s.store.state().last_seq;
        for r in consumers {
            let mut c = Consumer::new(r.config, r.created, &s.facts);
            c.set_state(cut(r.state, last));
            if s.consumers.get(c.name()).is_none() {
                s.consumers.insert(c);
            }
        }
        Ok(s)
    }

    /// Reads every message again for ids, ends, schedules and sources.
    fn rebuild(&mut self) -> Result<(), StoreError> {
        let everything = Filter::default();
        let config = self.rules.config.clone();
        let mut from = 0;
        while let Some(m) = self.store.next(&everything, from)? {
            from = m.seq + 1;
            let h = PublishHeaders::read(&m.headers);
            self.last_id = h.id.map(Bytes::copy_from_slice).unwrap_or_default();
            if let Some(id) = h.id.filter(|_| config.mirror.is_none()) {
                let hash = self.dedupe.hash(id);
                self.dedupe.insert(hash, m.seq, m.ts);
            }
            if let Some(ttl) = h.ttl.and_then(Ttl::parse).filter(|_| config.allow_msg_ttl)
                && let Some(end) = ttl.end(m.ts)
            {
                self.expiry.insert(end, m.seq);
            }
            if config.allow_msg_schedules && !m.headers.is_empty() {
                let view: MessageView<'_> = m.view();
                self.schedules.stored(&view);
            }
            if let Some(source) = h.source {
                self.note_source(source);
            }
        }
        Ok(())
    }
}

/// Cuts positions that lie beyond the stream.
fn cut(mut s: ConsumerState, last: u64) -> ConsumerState {
    s.delivered.stream = s.delivered.stream.min(last);
    s.ack_floor.stream = s.ack_floor.stream.min(s.delivered.stream);
    s.ack_floor.consumer = s.ack_floor.consumer.min(s.delivered.consumer);
    s.next = s.next.min(last + 1).max(s.delivered.stream + 1);
    let delivered = s.delivered.stream;
    s.pending.retain(|seq, _| *seq <= delivered);
    s.redelivered.retain(|seq, _| *seq <= delivered);
    s
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::Position;
    use crate::stream::fixture::{Bench, START, config, identity};

    #[test]
    fn what_messages_tell_is_known_again() {
        let json = r#""allow_msg_ttl":true,"allow_msg_schedules":true,"allow_rollup_hdrs":true"#;
        let mut b = Bench::new(json);
        b.publish("S.a", &["Nats-Msg-Id: i", "Nats-TTL: 9"], "");
        b.publish("S.b", &["Nats-Schedule: @every 5s", "Nats-Schedule-Target: S.c"], "");
        let deadline = b.stream.next_deadline();
        assert_eq!(deadline, Some(START + 5_000_000_000));
        let far = ConsumerState {
            delivered: Position { consumer: 9, stream: 90 },
            next: 91,
            ..ConsumerState::default()
        };
        let consumer = RestoredConsumer {
            config: ConsumerConfig { name: "c".into(), ..ConsumerConfig::default() },
            created: START,
            state: far,
        };
        let old = std::mem::replace(&mut b.stream, Bench::new(json).stream);
        let s = Stream::restore(identity(), config("S", json), old.into_store(), vec![consumer]);
        b.stream = s.unwrap();
        b.log.clear();
        b.call(|s, cx| s.lead(9, cx));
        assert_eq!(b.stream.next_deadline(), deadline);
        let again = b.publish("S.a", &["Nats-Msg-Id: i"], "");
        assert_eq!(again, r#"{"stream":"S","seq":1,"duplicate": true}"#);
        assert_eq!(b.stream.consumer("c").unwrap().state().delivered.stream, 2);
    }
}
