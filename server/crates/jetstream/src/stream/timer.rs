//! The leader's clock: what is due becomes a change in the log.

use super::expiry::Ttl;
use super::headers::{self, name};
use super::lead::Leading;
use super::log::Change;
use super::origin::Origin;
use super::publish::{Checked, propose};
use super::rules::Rules;
use super::{Cx, Stream};
use crate::duration::{self, MILLISECOND};
use crate::effect::Nanos;
use bytes::{BufMut, Bytes, BytesMut};
use gust_storage::store::{Filter, StoreError};
use std::collections::BTreeMap;

/// Least time between two looks at `max_age`, so that a busy stream removes in
/// batches (nats-server: 250 ms).
const AGE_PAUSE: Nanos = 250 * MILLISECOND;
/// Messages one expiry change removes at most.
const BATCH: usize = 4096;

impl Stream {
    /// When [`Stream::on_timer`] has something to do; `None` on followers.
    pub fn next_deadline(&self) -> Option<Nanos> {
        let lead = self.lead.as_ref()?;
        let origin = lead.origins.iter().map(Origin::deadline).min();
        let atomic = lead.batches.values().map(|b| b.until).min();
        let fast = lead.fast.values().map(|b| b.until).min();
        let own = [self.next_expiry(lead), self.next_fire(lead), atomic, fast, origin];
        own.into_iter().chain([self.consumers.next_deadline()]).flatten().min()
    }

    /// Does what is due at `cx.now`.
    pub fn on_timer(&mut self, cx: &mut Cx<'_>) {
        self.consumers.on_timer(&*self.store, &self.facts, cx);
        let Some(mut lead) = self.lead.take() else { return };
        if self.next_expiry(&lead).is_some_and(|at| at <= cx.now) {
            let rules = lead.rules.clone();
            // A store that cannot read now is asked again after the pause.
            let _ = self.expire(&mut lead, &rules, cx.now);
            lead.expired_at = cx.now;
        }
        if self.next_fire(&lead).is_some_and(|at| at <= cx.now) {
            let _ = self.fire(&mut lead, cx);
            lead.fired_at = cx.now;
        }
        lead.expire_batches(cx);
        let mut ids = lead.sub_ids;
        lead.origins.iter_mut().for_each(|o| o.on_timer(&mut ids, cx));
        lead.sub_ids = ids;
        self.lead = Some(lead);
    }

    fn next_fire(&self, lead: &Leading) -> Option<Nanos> {
        if lead.schedule_in_flight() {
            return None;
        }
        // What could not be published is tried again after a pause.
        Some(self.schedules.next()?.max(lead.fired_at.saturating_add(AGE_PAUSE)))
    }

    fn next_expiry(&self, lead: &Leading) -> Option<Nanos> {
        if lead.expiry_in_flight() {
            return None;
        }
        let state = self.store.state();
        let oldest = match lead.rules.max_age {
            Some(age) if state.msgs > 0 => {
                let from =
                    if lead.exempt > state.first_seq { lead.exempt_ts } else { state.first_ts };
                Some(from.saturating_add(age))
            }
            _ => None,
        };
        let at = [oldest, self.expiry.next()].into_iter().flatten().min()?;
        Some(at.max(lead.expired_at.saturating_add(AGE_PAUSE)))
    }

    fn expire(&self, lead: &mut Leading, rules: &Rules, now: Nanos) -> Result<(), StoreError> {
        let mut seqs: Vec<u64> = self.expiry.due(now, BATCH).into_iter().map(|e| e.1).collect();
        if let Some(age) = rules.max_age {
            let end = self.store.seq_at_time(now.saturating_sub(age).saturating_add(1))?;
            if !rules.config.allow_msg_ttl {
                if end > self.store.state().first_seq {
                    lead.propose_barrier(&Change::Trim(end));
                    lead.expiry_proposed();
                }
                return Ok(());
            }
            self.aged(lead, end, &mut seqs)?;
        }
        seqs.sort_unstable();
        seqs.dedup();
        if seqs.is_empty() {
            return Ok(());
        }
        let markers = self.markers(lead, rules, &seqs)?;
        let list: Vec<u8> = seqs.iter().flat_map(|s| s.to_le_bytes()).collect();
        lead.propose_barrier(&Change::Expire(&list));
        for subject in markers {
            propose(lead, rules, marker(rules, subject), now);
        }
        lead.expiry_proposed();
        Ok(())
    }

    /// Messages below `end` that are not exempt from `max_age`.
    fn aged(&self, lead: &mut Leading, end: u64, seqs: &mut Vec<u64>) -> Result<(), StoreError> {
        let everything = Filter::default();
        let mut from = self.store.state().first_seq.max(lead.exempt);
        while seqs.len() < BATCH {
            let Some(m) = self.store.next(&everything, from)? else { break };
            if m.seq >= end {
                // What comes before was looked at and stays for ever.
                (lead.exempt, lead.exempt_ts) = (m.seq, m.ts);
                break;
            }
            from = m.seq + 1;
            let ttl = headers::get(&m.headers, name::TTL).and_then(Ttl::parse);
            if ttl != Some(Ttl::Never) {
                seqs.push(m.seq);
            }
        }
        Ok(())
    }

    /// Subjects that lose their last message by the removal of `seqs`.
    fn markers(
        &self,
        lead: &mut Leading,
        rules: &Rules,
        seqs: &[u64],
    ) -> Result<Vec<Bytes>, StoreError> {
        if rules.config.subject_delete_marker_ttl <= 0 {
            return Ok(Vec::new());
        }
        let mut gone: BTreeMap<Bytes, (u64, bool)> = BTreeMap::new();
        for &seq in seqs {
            let Some(m) = self.store.load(seq)? else { continue };
            let is_marker = is_marker(&m.headers);
            let entry = gone.entry(m.subject).or_default();
            *entry = (entry.0 + 1, is_marker);
        }
        let mut out = Vec::new();
        for (subject, (n, is_marker)) in gone {
            let left = self.store.subject(&subject)?.map_or(0, |s| s.msgs).saturating_sub(n);
            if left == 0 && !is_marker && lead.subject(&subject).msgs == 0 {
                out.push(subject);
            }
        }
        Ok(out)
    }
}

/// A marker, or the tombstone of a purged KV key, leaves no marker itself.
fn is_marker(block: &[u8]) -> bool {
    headers::get(block, name::MARKER_REASON).is_some_and(|v| !v.is_empty())
        || headers::get(block, b"KV-Operation") == Some(b"PURGE")
}

/// What is left behind when a subject's last message expires.
fn marker(rules: &Rules, subject: Bytes) -> Checked {
    let mut h = BytesMut::new();
    h.put_slice(headers::HEAD);
    headers::put(&mut h, name::MARKER_REASON, b"MaxAge");
    let ttl = duration::format(rules.config.subject_delete_marker_ttl);
    headers::put(&mut h, name::TTL, ttl.as_bytes());
    headers::put(&mut h, name::ROLLUP, b"sub");
    h.put_slice(b"\r\n");
    Checked { subject, headers: h.freeze(), ..Checked::default() }
}
