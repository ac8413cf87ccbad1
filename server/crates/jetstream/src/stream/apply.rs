//! Applying the log: the same on every replica, without decisions.

use super::expiry::Ttl;
use super::headers::{self, PublishHeaders, name};
use super::lead::{Answer, Leading};
use super::log::{Change, sequences};
use super::publish::Rollup;
use super::rules::Rules;
use super::{ApplyError, Completion, Cx, Stream, answer, stream_facts};
use crate::config::StreamConfig;
use crate::effect::{Effect, Outgoing};
use crate::time::Time;
use bytes::{BufMut, Bytes, BytesMut};
use gust_storage::record::{MessageView, frames};
use gust_storage::store::{Filter, StoreError};
use std::sync::Arc;

/// Why a change could not be applied; becomes an [`ApplyError`].
#[derive(Debug)]
pub(super) enum Fault {
    Store(StoreError),
    Log(String),
}

impl From<StoreError> for Fault {
    fn from(e: StoreError) -> Self {
        Fault::Store(e)
    }
}

impl Stream {
    /// Applies a committed entry. Entries at or below the applied index are
    /// ignored, so a log may be replayed from any earlier place. `data` was
    /// verified when it was read or received.
    ///
    /// An error poisons the stream: it stops here, at the last applied index.
    pub fn apply(
        &mut self,
        index: u64,
        term: u64,
        data: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), ApplyError> {
        if let Some(why) = &self.poisoned {
            return Err(ApplyError::Poisoned { stream: self.name().into(), why: why.clone() });
        }
        if index <= self.applied.0 {
            return Ok(());
        }
        if let Err(fault) = self.apply_frames(data, cx) {
            let stream = self.name().to_owned();
            let error = match fault {
                Fault::Store(source) => ApplyError::Store { stream, source },
                Fault::Log(why) => ApplyError::Log { stream, index, why },
            };
            self.poison(error.to_string());
            return Err(error);
        }
        self.applied = (index, term);
        self.publish_deferred(cx);
        self.call_deferred(cx);
        Ok(())
    }

    fn apply_frames(&mut self, data: &[u8], cx: &mut Cx<'_>) -> Result<(), Fault> {
        for frame in frames(data, false) {
            let frame = frame.map_err(|e| Fault::Log(e.to_string()))?;
            let change = Change::read(&frame).map_err(|e| Fault::Log(e.to_string()))?;
            self.apply_change(change, frame.raw, cx)?;
            if let Some(mut lead) = self.lead.take() {
                lead.frame_applied();
                self.release(&mut lead, cx);
                self.lead = Some(lead);
            }
        }
        Ok(())
    }

    /// Sends the answers that waited for what is applied now.
    pub(super) fn release(&mut self, lead: &mut Leading, cx: &mut Cx<'_>) {
        while let Some(done) = lead.released() {
            match done {
                Answer::PubAck { reply, seq } => {
                    let payload = answer::pub_ack(&self.rules, seq, |_| {});
                    cx.send(reply, Bytes::new(), payload);
                }
                Answer::Ready { reply, payload } => cx.send(reply, Bytes::new(), payload),
                Answer::Effects(mut effects) => cx.fx.append(&mut effects),
                Answer::Api(token, result) => self.completions.push((token, result)),
            }
        }
    }

    fn apply_change(
        &mut self,
        change: Change<'_>,
        raw: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Fault> {
        match change {
            Change::Message(m) => self.apply_message(&m, Some(raw), cx),
            Change::Skip(m) => self.apply_message(&m, None, cx),
            Change::Delete { seq, erase } => {
                let removed = self.remove(seq, erase, cx)?;
                if !removed {
                    self.fail_call(crate::error::sequence_not_found(seq));
                }
                Ok(())
            }
            Change::Purge { below, keep, filter } => {
                let msgs = self.purge_messages(below, keep, filter, cx)?;
                self.complete_call(Completion::Purged(msgs));
                Ok(())
            }
            Change::Config(json) => self.apply_config(json, cx),
            Change::Consumer { created, name, config } => {
                self.apply_consumer(created, name, config, cx)
            }
            Change::Gone { name, reason } => self.apply_gone(name, reason, cx),
            Change::Delta { name, body } => self.apply_delta(name, body, cx),
            Change::Trim(below) => {
                self.store.purge_below(below)?;
                self.bulk_removed(cx);
                Ok(())
            }
            Change::Expire(seqs) => {
                for seq in sequences(seqs) {
                    self.remove(seq, false, cx)?;
                }
                self.expiry.forget(sequences(seqs));
                Ok(())
            }
            Change::Advance { seq, ts } => {
                if seq > self.store.state().last_seq {
                    self.store.skip_to(seq, ts)?;
                }
                self.message_applied(seq);
                Ok(())
            }
            Change::Progress { seq, source } => {
                if let Ok(index) = std::str::from_utf8(source) {
                    self.progress.insert(index.to_owned(), seq);
                }
                Ok(())
            }
        }
    }

    fn message_applied(&mut self, seq: u64) {
        if let Some(lead) = &mut self.lead {
            lead.message_applied(seq);
        }
    }

    /// A message takes its place. `record` is absent if it is not to be stored.
    fn apply_message(
        &mut self,
        m: &MessageView<'_>,
        record: Option<&[u8]>,
        cx: &mut Cx<'_>,
    ) -> Result<(), Fault> {
        let last = self.store.state().last_seq;
        if m.seq <= last {
            return Err(Fault::Log(format!("message {} comes after message {last}", m.seq)));
        }
        let rules = self.rules.clone();
        let h = PublishHeaders::read(m.headers);
        // The leader may not have known of a consumer that ended just before.
        let record = record.filter(|_| !rules.interest() || self.consumers.wants(m.subject));
        let stored = record.is_some();
        let copy = match stored && self.lead.is_some() {
            true => self.republish(&rules, m)?,
            false => None,
        };
        match record {
            Some(record) => self.store.append(m, record)?,
            None => self.store.skip_to(m.seq, m.ts)?,
        }
        self.message_applied(m.seq);
        self.remember_id(&h, m);
        if let Some(source) = h.source {
            self.note_source(source);
        }
        if stored {
            self.consumers.on_stored(m.seq, m.subject);
            if let Some(ttl) = h.ttl.and_then(Ttl::parse).filter(|_| rules.config.allow_msg_ttl)
                && let Some(end) = ttl.end(m.ts)
            {
                self.expiry.insert(end, m.seq);
            }
            if rules.config.allow_msg_schedules && !m.headers.is_empty() {
                self.schedules.stored(m);
            }
            self.enforce_limits(&rules, m.subject, cx)?;
        }
        if rules.rollup && !m.headers.is_empty() {
            self.apply_rollup(&h, m, stored, cx)?;
        }
        cx.fx.extend(copy);
        Ok(())
    }

    pub(super) fn remember_id(&mut self, h: &PublishHeaders<'_>, m: &MessageView<'_>) {
        let Some(id) = h.id else {
            if !self.last_id.is_empty() {
                self.last_id = Bytes::new();
            }
            return;
        };
        self.last_id = Bytes::copy_from_slice(id);
        let hash = self.dedupe.hash(id);
        if self.rules.config.mirror.is_none() {
            self.dedupe.insert(hash, m.seq, m.ts);
        }
        if let Some(lead) = &mut self.lead {
            lead.id_applied(hash);
        }
    }

    fn apply_rollup(
        &mut self,
        h: &PublishHeaders<'_>,
        m: &MessageView<'_>,
        stored: bool,
        cx: &mut Cx<'_>,
    ) -> Result<(), Fault> {
        let keep = u64::from(stored);
        match h.rollup.and_then(Rollup::read) {
            Some(Rollup::Subject) => {
                let more = self.store.subject(m.subject)?.is_some_and(|s| s.msgs > keep);
                if more {
                    self.purge_messages(0, keep, m.subject, cx)?;
                }
            }
            Some(Rollup::All) => {
                self.purge_messages(0, keep, b"", cx)?;
            }
            None => {}
        }
        if h.scheduled && headers::get(m.headers, name::SCHEDULE_NEXT) == Some(b"purge") {
            let schedule = headers::get(m.headers, name::SCHEDULER).unwrap_or_default();
            if !schedule.is_empty() {
                self.purge_messages(0, 0, schedule, cx)?;
            }
        }
        Ok(())
    }

    /// What a stored message pushes out.
    pub(super) fn enforce_limits(
        &mut self,
        rules: &Rules,
        subject: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Fault> {
        if rules.max_per_subject != super::rules::UNLIMITED {
            while let Some(s) = self.store.subject(subject)?
                && s.msgs > rules.max_per_subject
            {
                self.remove(s.first, false, cx)?;
            }
        }
        if !rules.discard_new() {
            self.enforce_totals(rules, cx)?;
        }
        Ok(())
    }

    /// Drops the oldest messages until `max_msgs` and `max_bytes` hold.
    pub(super) fn enforce_totals(&mut self, rules: &Rules, cx: &mut Cx<'_>) -> Result<(), Fault> {
        loop {
            let s = self.store.state();
            if s.msgs == 0 || (s.msgs <= rules.max_msgs && s.bytes <= rules.max_bytes) {
                return Ok(());
            }
            if !self.remove(s.first_seq, false, cx)? {
                // A first message that cannot be removed is lost to damage.
                self.store.purge_below(s.first_seq + 1)?;
                self.bulk_removed(cx);
            }
        }
    }

    /// Removes one message and tells the consumers.
    pub(super) fn remove(&mut self, seq: u64, erase: bool, cx: &mut Cx<'_>) -> Result<bool, Fault> {
        let Some(removed) = self.store.remove(seq, erase)? else { return Ok(false) };
        self.consumers.on_removed(&removed, &*self.store, &self.facts, cx);
        Ok(true)
    }

    /// Removes many messages and tells the consumers; returns how many.
    pub(super) fn purge_messages(
        &mut self,
        below: u64,
        keep: u64,
        filter: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<u64, Fault> {
        let state = self.store.state();
        let purged = if filter.is_empty() && keep == 0 {
            let below = if below == 0 { state.last_seq + 1 } else { below };
            self.store.purge_below(below)?
        } else {
            let subjects = match filter {
                b"" | b">" => Vec::new(),
                f => vec![Bytes::copy_from_slice(f)],
            };
            self.store.purge_filter(&Filter { subjects }, below, keep)?
        };
        let after = self.store.state();
        if let Some(lead) = &mut self.lead {
            // Beyond the end a purge moves the stream forward.
            lead.last_seq = lead.last_seq.max(after.last_seq);
        }
        if purged.msgs > 0 || after.last_seq != state.last_seq {
            self.bulk_removed(cx);
        }
        Ok(purged.msgs)
    }

    pub(super) fn bulk_removed(&mut self, cx: &mut Cx<'_>) {
        if self.store.state().msgs == 0 {
            self.expiry.clear();
        }
        self.consumers.on_bulk_removed(&*self.store, &self.facts, cx);
    }

    fn apply_config(&mut self, json: &[u8], cx: &mut Cx<'_>) -> Result<(), Fault> {
        let config: StreamConfig =
            crate::json::parse_lenient(json).map_err(|e| Fault::Log(e.to_string()))?;
        let old = self.rules.clone();
        self.rules = Arc::new(Rules::new(config, &self.identity.domain));
        self.facts = stream_facts(&self.identity, &self.rules);
        self.dedupe.set_window(self.rules.config.duplicate_window);
        let rules = self.rules.clone();
        if let Some(lead) = &mut self.lead {
            if !rules.config.allow_atomic {
                lead.batches.clear();
            }
            if !rules.config.allow_batched {
                lead.fast.clear();
            }
        }
        if rules.max_per_subject < old.max_per_subject {
            self.enforce_subjects(&rules, cx)?;
        }
        if !rules.discard_new() || rules.max_msgs < old.max_msgs || rules.max_bytes < old.max_bytes
        {
            self.enforce_totals(&rules, cx)?;
        }
        if rules.interest() && !old.interest() {
            self.drop_unwanted(cx)?;
        }
        if rules.config.mirror != old.config.mirror || rules.config.sources != old.config.sources {
            self.start_origins(cx);
        }
        Ok(())
    }

    /// Brings every subject down to a lowered `max_msgs_per_subject`.
    fn enforce_subjects(&mut self, rules: &Rules, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let all = self.store.subjects(&Filter::default(), usize::MAX)?;
        let over = all.into_iter().filter(|(_, s)| s.msgs > rules.max_per_subject);
        for (subject, _) in over {
            let f = Filter { subjects: vec![subject] };
            self.store.purge_filter(&f, 0, rules.max_per_subject)?;
        }
        self.bulk_removed(cx);
        Ok(())
    }

    /// The copy of a message for the `republish` subject, made before the
    /// message is stored so that the previous sequence of its subject is known.
    fn republish(&self, rules: &Rules, m: &MessageView<'_>) -> Result<Option<Effect>, StoreError> {
        let Some(to) = rules.republish.as_ref().and_then(|r| r.apply(m.subject, m.seq)) else {
            return Ok(None);
        };
        if !gust_subject::valid_publish(&to) {
            return Ok(None);
        }
        let previous = self.store.subject(m.subject)?.map_or(0, |s| s.last);
        let mut h = BytesMut::with_capacity(m.headers.len() + 256);
        headers::begin(&mut h, m.headers);
        headers::put(&mut h, b"Nats-Stream", rules.config.name.as_bytes());
        headers::put(&mut h, b"Nats-Subject", m.subject);
        headers::put(&mut h, b"Nats-Sequence", m.seq.to_string().as_bytes());
        let time = Time::from_nanos(m.ts).to_string();
        headers::put(&mut h, b"Nats-Time-Stamp", time.as_bytes());
        headers::put(&mut h, b"Nats-Last-Sequence", previous.to_string().as_bytes());
        let only_headers = rules.config.republish.as_ref().is_some_and(|r| r.headers_only);
        if only_headers {
            headers::put(&mut h, b"Nats-Msg-Size", m.payload.len().to_string().as_bytes());
        }
        h.put_slice(b"\r\n");
        let payload = if only_headers { b"" } else { m.payload };
        Ok(Some(Effect::Publish(Outgoing {
            to: to.into(),
            subject: Bytes::new(),
            reply: Bytes::new(),
            headers: h.freeze(),
            payload: Bytes::copy_from_slice(payload),
            queue: Bytes::new(),
        })))
    }

    /// The answer of the call whose change is being applied becomes an error.
    pub(super) fn fail_call(&mut self, error: crate::error::ApiError) {
        if let Some(lead) = &mut self.lead
            && let Some(Answer::Api(_, result)) = lead.next_answer()
        {
            *result = Err(error);
        }
    }

    /// The answer of the call whose change is being applied is this.
    pub(super) fn complete_call(&mut self, done: Completion) {
        if let Some(lead) = &mut self.lead
            && let Some(Answer::Api(_, result)) = lead.next_answer()
        {
            *result = Ok(done);
        }
    }
}
