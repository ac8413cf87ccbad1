//! Message schedules: a stored message that publishes another one at a time or
//! again and again (contract/jetstream.md §3.3).
//!
//! The schedules of a stream follow from its messages on every replica; when
//! they are due next is only a hint for the leader (time zones may differ
//! between servers) and no part of the state replicas agree on.

mod cron;

#[cfg(test)]
mod schedule_test;

use super::headers::{self, name};
use super::lead::Leading;
use super::publish::{Checked, Refusal, propose};
use super::rules::Rules;
use super::{Cx, Stream};
use crate::duration::{self, SECOND};
use crate::effect::Nanos;
use crate::error::{self, ApiError};
use crate::stream::expiry::Ttl;
use crate::time::Time;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use gust_storage::record::{MessageView, StoredMessage};
use gust_storage::store::StoreError;
use gust_subject::{overlaps, valid_publish};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};

/// Schedules fired in one go.
const BATCH: usize = 256;

/// When a schedule is due, and whether it repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Next time, ns.
    pub at: Nanos,
    /// Whether there is another time after that.
    pub repeats: bool,
}

/// Reads `Nats-Schedule` and finds the first time after `ts`; times before
/// `now` are missed and fire once. 10189 or 10223 if it cannot be read.
pub fn next_due(block: &[u8], ts: Nanos, now: Nanos) -> Result<Option<Due>, ApiError> {
    let pattern = headers::get(block, name::SCHEDULE).unwrap_or_default();
    let zone = match headers::get(block, name::SCHEDULE_ZONE) {
        None => None,
        Some(text) => {
            let text = std::str::from_utf8(text).ok().filter(|t| !t.is_empty());
            let zone = text.and_then(|t| TimeZone::get(t).ok());
            Some(zone.ok_or_else(error::message_schedules_time_zone_invalid)?)
        }
    };
    if pattern.is_empty() {
        return Ok(None);
    }
    let pattern = std::str::from_utf8(pattern).ok();
    let due = pattern.and_then(|p| due(p, zone.as_ref(), ts, now));
    due.map(Some).ok_or_else(error::message_schedules_pattern_invalid)
}

fn due(pattern: &str, zone: Option<&TimeZone>, ts: Nanos, now: Nanos) -> Option<Due> {
    if let Some(at) = pattern.strip_prefix("@at ") {
        let at = Time::parse(at).filter(|_| zone.is_none())?;
        return Some(Due { at: at.nanos(), repeats: false });
    }
    if let Some(every) = pattern.strip_prefix("@every ") {
        let every = duration::parse(every).filter(|d| *d >= SECOND && zone.is_none())?;
        let at = round(ts).saturating_add(every);
        let at = if at < now { round(now).saturating_add(every) } else { at };
        return Some(Due { at, repeats: true });
    }
    let fields = match pattern {
        "@yearly" | "@annually" => "0 0 0 1 1 *",
        "@monthly" => "0 0 0 1 * *",
        "@weekly" => "0 0 0 * * 0",
        "@daily" | "@midnight" => "0 0 0 * * *",
        "@hourly" => "0 0 * * * *",
        other => other,
    };
    let cron = cron::Cron::parse(fields)?;
    let zone = zone.cloned().unwrap_or(TimeZone::UTC);
    let after = |ns: Nanos| {
        let at = cron.next(Timestamp::from_nanosecond(i128::from(ns)).ok()?, &zone)?;
        i64::try_from(at.as_nanosecond()).ok()
    };
    let at = after(ts)?;
    let at = if at < now { after(round(now))? } else { at };
    Some(Due { at, repeats: true })
}

/// To the nearest second.
fn round(ns: Nanos) -> Nanos {
    ns.saturating_add(SECOND / 2).div_euclid(SECOND) * SECOND
}

/// The schedules of one stream by subject.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    by_subject: BTreeMap<Bytes, (u64, Nanos)>,
    due: BTreeSet<(Nanos, Bytes)>,
}

impl Schedules {
    fn set(&mut self, subject: Bytes, seq: u64, at: Nanos) {
        self.remove(&subject);
        self.due.insert((at, subject.clone()));
        self.by_subject.insert(subject, (seq, at));
    }

    fn remove(&mut self, subject: &[u8]) {
        if let Some((subject, (_, at))) = self.by_subject.remove_entry(subject) {
            self.due.remove(&(at, subject));
        }
    }

    pub fn next(&self) -> Option<Nanos> {
        self.due.first().map(|d| d.0)
    }

    /// Learns from a stored message what it starts, moves or ends.
    pub fn stored(&mut self, m: &MessageView<'_>) {
        if let Ok(Some(due)) = next_due(m.headers, m.ts, m.ts) {
            self.set(Bytes::copy_from_slice(m.subject), m.seq, due.at);
        } else if !self.by_subject.is_empty() && headers::get(m.headers, name::SCHEDULER).is_none()
        {
            self.remove(m.subject);
        }
        let Some(next) = headers::get(m.headers, name::SCHEDULE_NEXT) else { return };
        let schedule = headers::get(m.headers, name::SCHEDULER).unwrap_or_default();
        let at = std::str::from_utf8(next).ok().and_then(Time::parse);
        match (at, self.by_subject.get_key_value(schedule)) {
            (Some(at), Some((subject, (seq, _)))) => {
                let (subject, seq) = (subject.clone(), *seq);
                self.set(subject, seq, at.nanos());
            }
            (None, Some(_)) => self.remove(schedule),
            _ => {}
        }
    }

    /// Appends `count u32 · n × (length u16 · subject · seq u64 · at i64)`.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u32_le(self.by_subject.len() as u32);
        for (subject, (seq, at)) in &self.by_subject {
            out.put_u16_le(subject.len() as u16);
            out.put_slice(subject);
            out.put_u64_le(*seq);
            out.put_i64_le(*at);
        }
    }

    /// Reads what [`Schedules::encode`] wrote.
    pub fn decode(b: &mut &[u8]) -> Option<Schedules> {
        let mut out = Schedules::default();
        for _ in 0..b.try_get_u32_le().ok()? {
            let n = usize::from(b.try_get_u16_le().ok()?);
            let (subject, rest) = b.split_at_checked(n)?;
            *b = rest;
            let (seq, at) = (b.try_get_u64_le().ok()?, b.try_get_i64_le().ok()?);
            out.set(Bytes::copy_from_slice(subject), seq, at);
        }
        Some(out)
    }
}

impl Stream {
    /// The rules for messages with `Nats-Schedule…` headers.
    pub(super) fn check_schedule(
        &self,
        lead: &mut Leading,
        rules: &Rules,
        m: &mut Checked,
    ) -> Result<(), Refusal> {
        let block = m.headers.clone();
        let get = |key| headers::get(&block, key).filter(|v: &&[u8]| !v.is_empty());
        let enabled = rules.config.allow_msg_schedules;
        let disabled = error::message_schedules_disabled;
        match next_due(&block, 0, 0) {
            Err(_) if !enabled => return Err(disabled().into()),
            Err(e) => return Err(e.into()),
            Ok(Some(_)) if !enabled => return Err(disabled().into()),
            Ok(Some(_)) => self.check_new_schedule(rules, m, &block)?,
            Ok(None) => {}
        }
        match (get(name::SCHEDULE_NEXT), get(name::SCHEDULER)) {
            (None, None) => Ok(()),
            (Some(b"purge"), Some(schedule)) => {
                let bad = error::message_schedules_scheduler_invalid;
                if schedule == &m.subject[..] || !valid_publish(schedule) {
                    return Err(bad().into());
                }
                if !enabled {
                    return Err(disabled().into());
                }
                if lead.subject(schedule).last > 0 || lead.behind_barrier() {
                    return Err(Refusal::Wait);
                }
                let last = self.last_by_subject(schedule)?;
                let is_schedule = |m: &StoredMessage| {
                    headers::get(&m.headers, name::SCHEDULE).is_some_and(|v| !v.is_empty())
                };
                if last.as_ref().is_some_and(|m| !is_schedule(m)) {
                    return Err(bad().into());
                }
                m.barrier = true;
                Ok(())
            }
            // Clients may only end a schedule, and only by its name.
            _ => Err(error::message_schedules_scheduler_invalid().into()),
        }
    }

    fn check_new_schedule(
        &self,
        rules: &Rules,
        m: &mut Checked,
        block: &[u8],
    ) -> Result<(), ApiError> {
        let get = |key| headers::get(block, key).filter(|v: &&[u8]| !v.is_empty());
        let ttl = get(name::SCHEDULE_TTL);
        if ttl.is_some_and(|t| Ttl::parse(t).is_none()) {
            return Err(error::message_schedules_ttl_invalid());
        }
        if get(name::SCHEDULE_ROLLUP).is_some_and(|r| r != b"sub") {
            return Err(error::message_schedules_rollup_invalid());
        }
        if ttl.is_some() && !rules.config.allow_msg_ttl {
            return Err(error::message_ttl_disabled());
        }
        let ours = |s: &[u8]| rules.config.subjects.iter().any(|own| overlaps(own.as_bytes(), s));
        let good = |s: &[u8]| valid_publish(s) && s != &m.subject[..] && ours(s);
        let target = get(name::SCHEDULE_TARGET).filter(|t| good(t));
        let target = target.ok_or_else(error::message_schedules_target_invalid)?;
        if get(name::SCHEDULE_SOURCE).is_some_and(|s| s == target || !good(s)) {
            return Err(error::message_schedules_source_invalid());
        }
        match get(name::ROLLUP) {
            None => m.headers = headers::add(block, name::ROLLUP, b"sub"),
            Some(r) if r.eq_ignore_ascii_case(b"sub") => {}
            Some(_) => return Err(error::message_schedules_rollup_invalid()),
        }
        Ok(())
    }

    /// Publishes what schedules that are due ask for.
    pub(super) fn fire(&mut self, lead: &mut Leading, cx: &mut Cx<'_>) -> Result<(), StoreError> {
        let rules = lead.rules.clone();
        let due: Vec<_> =
            self.schedules.due.range(..(cx.now + 1, Bytes::new())).take(BATCH).cloned().collect();
        let mut fired: Vec<(u64, Checked)> = Vec::new();
        for (at, subject) in due {
            let seq = self.schedules.by_subject.get(&subject).map_or(0, |s| s.0);
            let stored = self.store.load(seq)?.filter(|m| m.subject == subject);
            let message = match stored {
                Some(m) => self.fired(m, at, cx.now)?,
                None => None,
            };
            match message {
                Some(m) => fired.push((seq, m)),
                // Replaced, deleted, or no longer a schedule.
                None => self.schedules.remove(&subject),
            }
        }
        fired.sort_by_key(|f| f.0);
        for (_, mut m) in fired {
            if self.check_limits(lead, &rules, &mut m, cx).is_ok() {
                propose(lead, &rules, m, cx.now);
                lead.schedule_proposed();
            }
        }
        Ok(())
    }

    /// The message a schedule publishes at `at`.
    fn fired(
        &self,
        schedule: StoredMessage,
        at: Nanos,
        now: Nanos,
    ) -> Result<Option<Checked>, StoreError> {
        let block = schedule.headers.clone();
        let get = |key| headers::get(&block, key).filter(|v: &&[u8]| !v.is_empty());
        let (Ok(Some(next)), Some(target)) =
            (next_due(&block, at, now), get(name::SCHEDULE_TARGET))
        else {
            return Ok(None);
        };
        let mut content = schedule.clone();
        if let Some(source) = get(name::SCHEDULE_SOURCE)
            && let Some(last) = self.last_by_subject(source)?
        {
            content = last;
        }
        let kept = headers::retain(&content.headers, |k| {
            !(k.starts_with(b"Nats-Schedule")
                || k.starts_with(b"Nats-Expected-")
                || [name::MSG_ID, name::TTL, name::ROLLUP].contains(&k))
        });
        let mut h = BytesMut::new();
        headers::begin(&mut h, &kept);
        headers::put(&mut h, name::SCHEDULER, &schedule.subject);
        let next_text = match next.repeats {
            true => Time::from_nanos(next.at).to_string(),
            false => "purge".to_owned(),
        };
        headers::put(&mut h, name::SCHEDULE_NEXT, next_text.as_bytes());
        if let Some(ttl) = get(name::SCHEDULE_TTL) {
            headers::put(&mut h, name::TTL, ttl);
        }
        if let Some(rollup) = get(name::SCHEDULE_ROLLUP) {
            headers::put(&mut h, name::ROLLUP, rollup);
        }
        h.put_slice(b"\r\n");
        Ok(Some(Checked {
            subject: Bytes::copy_from_slice(target),
            headers: h.freeze(),
            payload: content.payload,
            barrier: !next.repeats,
            ..Checked::default()
        }))
    }
}
