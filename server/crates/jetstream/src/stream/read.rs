//! Reads through the API: MSG.GET and INFO (contract/jetstream.md §1.3, §1.4).

use super::Stream;
use crate::api::info::{
    ConsumerInfo, LostData, PriorityGroupState, SequenceInfo, StreamInfo, StreamState,
};
use crate::api::request::MsgGetRequest;
use crate::api::response::StoredMsg;
use crate::consumer::{Consumer, InfoData, Position};
use crate::effect::{Interest, Nanos};
use crate::error::{self, ApiError};
use crate::json::Base64;
use crate::time::Time;
use bytes::{Bytes, BytesMut};
use gust_storage::record::StoredMessage;
use gust_storage::store::{Filter, StoreError, SubjectState};
use std::collections::BTreeMap;

/// Most ranges of deleted sequences looked at for `deleted_details`.
const MAX_DELETED: u64 = 1 << 20;

impl Stream {
    /// STREAM.MSG.GET; 10037 if there is no such message, 10003 if the anchors
    /// contradict each other.
    pub fn msg_get(&self, r: &MsgGetRequest) -> Result<StoredMsg, ApiError> {
        let (last, next) = (!r.last_by_subj.is_empty(), !r.next_by_subj.is_empty());
        let anchors = [r.seq > 0, last, r.start_time.is_some()];
        let anchors = anchors.into_iter().filter(|a| *a).count();
        let bad = anchors > 1 || (anchors == 0 && !next) || (next && last);
        if bad || r.batch > 0 || r.max_bytes > 0 {
            return Err(error::bad_request());
        }
        let m = match self.find(r) {
            Ok(Some(m)) => m,
            Ok(None) => return Err(error::no_message_found()),
            Err(e) => return Err(error::stream_general(e)),
        };
        let headers = if r.no_hdr { Bytes::new() } else { m.headers };
        Ok(StoredMsg {
            subject: String::from_utf8_lossy(&m.subject).into_owned(),
            seq: m.seq,
            hdrs: Base64(headers),
            data: Base64(m.payload),
            time: Time::from_nanos(m.ts),
        })
    }

    fn find(&self, r: &MsgGetRequest) -> Result<Option<StoredMessage>, StoreError> {
        if !r.last_by_subj.is_empty() {
            return self.last_by_subject(r.last_by_subj.as_bytes());
        }
        let from = match r.start_time {
            Some(t) => self.store.seq_at_time(t.nanos())?,
            None if r.next_by_subj.is_empty() => return self.store.load(r.seq),
            None => r.seq,
        };
        self.store.next(&one(r.next_by_subj.as_bytes()), from)
    }

    /// The last message of a subject, wildcards allowed.
    pub(super) fn last_by_subject(
        &self,
        subject: &[u8],
    ) -> Result<Option<StoredMessage>, StoreError> {
        if gust_subject::has_wildcards(subject) {
            return self.store.prev(&one(subject), u64::MAX);
        }
        match self.store.subject(subject)? {
            Some(s) => self.store.load(s.last),
            None => Ok(None),
        }
    }

    /// Subjects matching `filter` with their totals, for `subjects_filter` of
    /// STREAM.INFO.
    pub fn subjects(
        &self,
        filter: &[u8],
        limit: usize,
    ) -> Result<BTreeMap<Bytes, SubjectState>, StoreError> {
        self.store.subjects(&one(filter), limit)
    }

    /// The `state` member of StreamInfo; `deleted` lists single sequences.
    pub fn state_info(&self, deleted: bool) -> StreamState {
        let s = self.store.state();
        let mut gone = Vec::new();
        if deleted && s.deleted <= MAX_DELETED {
            let ranges = self.store.deleted_ranges(MAX_DELETED as usize);
            gone = ranges.into_iter().flat_map(|(from, to)| from..=to).collect();
        }
        let counted = self.consumers.iter().filter(|c| is_public(c)).count();
        StreamState {
            messages: s.msgs,
            bytes: s.bytes,
            first_seq: s.first_seq,
            first_ts: Time::from_nanos_or_zero(if s.msgs == 0 { 0 } else { s.first_ts }),
            last_seq: s.last_seq,
            last_ts: Time::from_nanos_or_zero(s.last_ts),
            num_subjects: s.subjects as i64,
            subjects: BTreeMap::new(),
            num_deleted: s.deleted as i64,
            deleted: gone,
            lost: (s.lost_msgs > 0).then(|| LostData { msgs: Vec::new(), bytes: s.lost_bytes }),
            consumer_count: counted as i64,
        }
    }

    /// StreamInfo as far as the stream knows it: `cluster` and `alternates` are
    /// the caller's.
    pub fn info(&self, now: Nanos, deleted: bool) -> StreamInfo {
        let mut origins = self.origins_info(now);
        let mirror = self.rules.config.mirror.as_ref().and_then(|_| origins.pop());
        StreamInfo {
            mirror,
            sources: origins,
            config: self.rules.config.clone(),
            created: Time::from_nanos(self.identity.created),
            state: self.state_info(deleted),
            domain: self.identity.domain.clone(),
            ts: Time::from_nanos(now),
            ..StreamInfo::default()
        }
    }

    /// ConsumerInfo of a consumer without `cluster`.
    pub fn consumer_info(
        &self,
        name: &str,
        now: Nanos,
        interest: &dyn Interest,
    ) -> Option<ConsumerInfo> {
        let c = self.consumers.get(name)?;
        Some(self.consumer_document(c, &c.info(now, interest), now))
    }

    /// ConsumerInfo from an earlier look at the changing part, e.g. that of
    /// [`super::Completion::Consumer`].
    pub fn consumer_document(&self, c: &Consumer, info: &InfoData, now: Nanos) -> ConsumerInfo {
        let pair = |p: Position, at: Option<Nanos>| SequenceInfo {
            consumer_seq: p.consumer,
            stream_seq: p.stream,
            last_active: at.map(Time::from_nanos),
        };
        ConsumerInfo {
            stream_name: self.name().to_owned(),
            name: c.name().to_owned(),
            created: Time::from_nanos(c.created()),
            config: Some(c.config().clone()),
            delivered: pair(info.delivered, info.last_delivery),
            ack_floor: pair(info.ack_floor, info.last_ack),
            num_ack_pending: info.num_ack_pending as i64,
            num_redelivered: info.num_redelivered as i64,
            num_waiting: info.num_waiting as i64,
            num_pending: info.num_pending,
            push_bound: info.push_bound,
            paused: info.paused,
            pause_remaining: info.pause_remaining,
            ts: Time::from_nanos(now),
            priority_groups: info
                .priority_groups
                .iter()
                .map(|g| PriorityGroupState {
                    group: g.group.clone(),
                    pinned_client_id: String::from_utf8_lossy(&g.pinned_client_id).into_owned(),
                    pinned_ts: g.pinned_ts.map_or(Time::ZERO, Time::from_nanos),
                })
                .collect(),
            ..ConsumerInfo::default()
        }
    }

    /// For tests and scrubs: a hash of everything replicas must agree on.
    pub fn state_hash(&self) -> Result<u128, StoreError> {
        let mut out = BytesMut::new();
        self.encode_shared(&mut out);
        let s = self.store.state();
        out.extend_from_slice(format!("{s:?}").as_bytes());
        let everything = Filter::default();
        let mut from = 0;
        while let Some(m) = self.store.next(&everything, from)? {
            from = m.seq + 1;
            gust_storage::record::put_message(&mut out, &m.view());
        }
        Ok(super::dedupe::siphash128(super::dedupe::Key(0, 0), &out))
    }
}

/// Whether the consumer shows up in lists and counts.
pub fn is_public(c: &Consumer) -> bool {
    !c.config().direct && !c.config().sourcing
}

/// A filter of one subject; empty means everything.
fn one(subject: &[u8]) -> Filter {
    let some = !subject.is_empty();
    Filter { subjects: some.then(|| Bytes::copy_from_slice(subject)).into_iter().collect() }
}
