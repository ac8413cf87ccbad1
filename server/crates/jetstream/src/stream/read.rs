//! Reads through the API: MSG.GET (contract/jetstream.md §1.4).

use super::Stream;
use crate::effect::Nanos;
use crate::error::{self, ApiError};
use crate::time::Time;
use bytes::Bytes;
use gust_storage::record::StoredMessage;
use gust_storage::store::{Filter, StoreError, SubjectState};
use std::collections::BTreeMap;

/// Which message MSG.GET wants. Exactly one anchor: `seq`, `last_by_subj` or
/// `start_time`; `next_by_subj` joins the first or the last, or stands alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MsgGet {
    /// This sequence, or with `next_by_subj` the first from here.
    pub seq: u64,
    /// The last message of this subject, wildcards allowed.
    pub last_by_subj: Bytes,
    /// The first message of this subject, wildcards allowed.
    pub next_by_subj: Bytes,
    /// The first message at or after this time.
    pub start_time: Option<Time>,
}

impl Stream {
    /// STREAM.MSG.GET; 10037 if there is no such message, 10003 if the anchors
    /// contradict each other.
    pub fn msg_get(&self, get: &MsgGet) -> Result<StoredMessage, ApiError> {
        let anchors = [get.seq > 0, !get.last_by_subj.is_empty(), get.start_time.is_some()];
        let anchors = anchors.into_iter().filter(|a| *a).count();
        let next = !get.next_by_subj.is_empty();
        let contradiction = next && !get.last_by_subj.is_empty();
        if anchors > 1 || (anchors == 0 && !next) || contradiction {
            return Err(error::bad_request());
        }
        match self.find(get) {
            Ok(Some(m)) => Ok(m),
            Ok(None) => Err(error::no_message_found()),
            Err(e) => Err(error::stream_general(e)),
        }
    }

    pub(super) fn find(&self, get: &MsgGet) -> Result<Option<StoredMessage>, StoreError> {
        let filter = |s: &Bytes| match s.is_empty() {
            true => Filter::default(),
            false => Filter { subjects: vec![s.clone()] },
        };
        if !get.last_by_subj.is_empty() {
            return self.last_by_subject(&get.last_by_subj);
        }
        let from = match get.start_time {
            Some(t) => self.store.seq_at_time(t.nanos())?,
            None if get.next_by_subj.is_empty() => return self.store.load(get.seq),
            None => get.seq,
        };
        self.store.next(&filter(&get.next_by_subj), from)
    }

    pub(super) fn last_by_subject(
        &self,
        subject: &Bytes,
    ) -> Result<Option<StoredMessage>, StoreError> {
        if gust_subject::has_wildcards(subject) {
            return self.store.prev(&Filter { subjects: vec![subject.clone()] }, u64::MAX);
        }
        match self.store.subject(subject)? {
            Some(s) => self.store.load(s.last),
            None => Ok(None),
        }
    }

    /// Subjects matching `filter` with their number of messages, for
    /// `subjects_filter` of STREAM.INFO.
    pub fn subjects(
        &self,
        filter: &Bytes,
        limit: usize,
    ) -> Result<BTreeMap<Bytes, SubjectState>, StoreError> {
        let subjects = if filter.is_empty() { Vec::new() } else { vec![filter.clone()] };
        self.store.subjects(&Filter { subjects }, limit)
    }

    /// When the first live message was stored; `None` when empty.
    pub fn first_time(&self) -> Option<Nanos> {
        let s = self.store.state();
        (s.msgs > 0).then_some(s.first_ts)
    }

    /// For tests and scrubs: a hash of everything replicas must agree on.
    pub fn state_hash(&self) -> Result<u128, StoreError> {
        let mut out = bytes::BytesMut::new();
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
