//! Mirrors and sources: messages of other streams become this stream's
//! (contract/jetstream.md §2.4).
//!
//! A mirror keeps sequence and time; what is missing between two messages
//! becomes deleted. A sourced message gets a new sequence and time and the header
//! `Nats-Stream-Source`, which is also what every replica learns its progress from.

use super::counter::Decimal;
use super::headers::{self, PublishHeaders, name};
use super::lead::{Answer, InFlight, Leading};
use super::log::Change;
use super::origin::{Event, Origin, index_name};
use super::publish::{Checked, Refusal, propose};
use super::{Cx, Inbound, Stream};
use crate::api::info::SourceInfo;
use crate::config::StreamSource;
use crate::effect::Nanos;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use gust_storage::record::MessageView;
use gust_storage::store::MAX_SEQ;
use std::collections::BTreeMap;

/// Progress of every source: sequence of the last message taken, by index name.
pub(super) type Progress = BTreeMap<String, u64>;

impl Stream {
    /// A message to a subscription made with
    /// [`Effect::Subscribe`](crate::effect::Effect::Subscribe).
    pub fn inbound(&mut self, id: u64, msg: Inbound, cx: &mut Cx<'_>) {
        let Some(mut lead) = self.lead.take() else { return };
        let mut origins = std::mem::take(&mut lead.origins);
        if let Some(o) = origins.iter_mut().find(|o| o.owns(id)) {
            match o.inbound(id, &msg.reply, &msg.headers, &msg.payload, cx) {
                Event::Nothing => {}
                Event::Flow(reply) => {
                    // Sent when everything before it is applied.
                    lead.answer(Answer::Ready { reply, payload: Bytes::new() });
                    self.release(&mut lead, cx);
                }
                Event::Message { seq, ts } if lead.rules.config.mirror.is_some() => {
                    mirror(&mut lead, o, &msg, seq, ts, cx);
                }
                Event::Message { seq, .. } => {
                    if self.sourced(&mut lead, o, msg, seq, cx).is_err() {
                        o.restart(cx);
                    }
                }
            }
        }
        lead.origins = origins;
        self.lead = Some(lead);
    }

    /// Stores a sourced message; `Err` asks to read it again later.
    fn sourced(
        &self,
        lead: &mut Leading,
        o: &mut Origin,
        msg: Inbound,
        seq: u64,
        cx: &mut Cx<'_>,
    ) -> Result<(), Refusal> {
        let rules = lead.rules.clone();
        let source = source_header(&o.index, seq, &msg.subject, &o.identity);
        let block = strip(&headers::stored(&msg.headers), true);
        let mut m = Checked {
            subject: o.map(&msg.subject, cx.random),
            headers: headers::add(&block, name::SOURCE, &source),
            payload: msg.payload,
            ..Checked::default()
        };
        if let Some(t) = &rules.transform
            && let Some(mapped) = t.apply(&m.subject, cx.random)
        {
            m.subject = mapped.into();
        }
        let block = m.headers.clone();
        let h = PublishHeaders::read(&block);
        if let Some(id) = h.id {
            let hash = self.dedupe.hash(id);
            if lead.id_in_flight(hash).or_else(|| self.dedupe.find(hash, cx.now)).is_some() {
                o.seq = seq;
                lead.propose(&Change::Progress { seq, source: o.index.as_bytes() });
                return Ok(());
            }
            m.id = Some((hash, block.slice_ref(id)));
        }
        m.barrier = h.rollup.is_some();
        if let Some(incr) = h.incr.filter(|_| rules.config.allow_msg_counter) {
            let incr = Decimal::parse(incr).unwrap_or_default();
            self.count(lead, &mut m, incr, Some(&source))?;
        }
        self.check_limits(lead, &rules, &mut m, cx)?;
        o.seq = seq;
        propose(lead, &rules, m, cx.now);
        Ok(())
    }

    /// Begins to read from the origins; called when this replica leads and when
    /// the configuration changed. Origins that stay keep running.
    pub(super) fn start_origins(&mut self, cx: &mut Cx<'_>) {
        let Some(lead) = &mut self.lead else { return };
        let config = &self.rules.config;
        let mut old = std::mem::take(&mut lead.origins);
        let wanted = config.mirror.iter().chain(&config.sources);
        let is_mirror = config.mirror.is_some();
        for conf in wanted {
            let kept = old.iter().position(|o| o.conf == *conf).map(|at| old.swap_remove(at));
            let seq = match is_mirror {
                true => lead.last_seq,
                false => self.progress.get(&index_name(conf)).copied().unwrap_or(0),
            };
            let new = || Origin::new(conf.clone(), is_mirror, seq, cx.now);
            lead.origins.push(kept.unwrap_or_else(new));
        }
        for mut gone in old {
            gone.stop(cx);
        }
    }

    /// Notes how far a source was read.
    pub(super) fn note_source(&mut self, header: &[u8]) {
        let Some((index, seq)) = read_source_header(header) else { return };
        if self.rules.config.sources.iter().any(|s| index_name(s) == index) {
            self.progress.insert(index, seq);
        }
    }

    /// The `mirror` or `sources` members of StreamInfo.
    pub(super) fn origins_info(&self, now: Nanos) -> Vec<SourceInfo> {
        let config = &self.rules.config;
        let all = config.mirror.iter().chain(&config.sources);
        all.map(|conf| self.origin_info(conf, now)).collect()
    }

    fn origin_info(&self, conf: &StreamSource, now: Nanos) -> SourceInfo {
        let live = self.lead.as_ref().and_then(|l| l.origins.iter().find(|o| o.conf == *conf));
        SourceInfo {
            name: conf.name.clone(),
            external: conf.external.clone(),
            lag: live.map_or(0, |o| o.lag),
            seq: match conf == self.rules.config.mirror.as_ref().unwrap_or(conf)
                && self.rules.config.mirror.is_some()
            {
                true => 0,
                false => self.progress.get(&index_name(conf)).copied().unwrap_or(0),
            },
            active: live.map_or(-1, |o| o.active(now)),
            error: live.and_then(|o| o.error.clone()),
            filter_subject: conf.filter_subject.clone(),
            subject_transforms: conf.subject_transforms.clone(),
        }
    }
}

/// Stores a message of the origin under its own sequence and time.
fn mirror(lead: &mut Leading, o: &mut Origin, msg: &Inbound, seq: u64, ts: Nanos, cx: &Cx<'_>) {
    if seq <= lead.last_seq {
        o.seq = o.seq.max(seq);
        return;
    }
    if seq > lead.last_seq + 1 {
        lead.propose(&Change::Advance { seq: seq - 1, ts });
    }
    let headers = strip(&headers::stored(&msg.headers), false);
    let subject = o.map(&msg.subject, cx.random);
    let bytes = lead.rules.visible(subject.len(), headers.len(), msg.payload.len());
    let view = MessageView { seq, ts, subject: &subject, headers: &headers, payload: &msg.payload };
    lead.propose_message(
        &Change::Message(view),
        InFlight { seq, subject: subject.clone(), bytes },
        ts,
    );
    o.seq = seq;
}

/// Without what only made sense for the first publish.
fn strip(block: &Bytes, sourced: bool) -> Bytes {
    let dropped = |k: &[u8]| {
        k.starts_with(b"Nats-Expected-")
            || k.starts_with(b"Nats-Batch-")
            || (sourced && k == name::SOURCE)
    };
    if headers::lines(block).any(|l| dropped(l.key)) {
        headers::retain(block, |k| !dropped(k))
    } else {
        block.clone()
    }
}

/// `<name> <seq> <filters> <destinations> <original subject>[ <identity>]`.
fn source_header(index: &str, seq: u64, subject: &[u8], identity: &str) -> Bytes {
    let (name, rest) = index.split_once(' ').unwrap_or((index, "> >"));
    let mut out = BytesMut::with_capacity(index.len() + subject.len() + identity.len() + 24);
    out.put_slice(name.as_bytes());
    out.put_u8(b' ');
    crate::decimal::put(&mut out, seq);
    out.put_u8(b' ');
    out.put_slice(rest.as_bytes());
    out.put_u8(b' ');
    out.put_slice(subject);
    if !identity.is_empty() {
        out.put_u8(b' ');
        out.put_slice(identity.as_bytes());
    }
    out.freeze()
}

/// Index name and sequence in a `Nats-Stream-Source` header.
fn read_source_header(value: &[u8]) -> Option<(String, u64)> {
    let text = std::str::from_utf8(value).ok()?;
    let mut fields = text.split(' ');
    let (name, seq) = (fields.next()?, fields.next()?);
    let (filter, dest) = (fields.next()?, fields.next()?);
    let seq = headers::number(seq.as_bytes()).filter(|seq| *seq <= MAX_SEQ)?;
    Some((format!("{name} {filter} {dest}"), seq))
}

/// Appends `count u32 · n × (length u16 · index name · seq u64)`.
pub(super) fn encode_progress(progress: &Progress, out: &mut BytesMut) {
    out.put_u32_le(progress.len() as u32);
    for (index, seq) in progress {
        out.put_u16_le(index.len() as u16);
        out.put_slice(index.as_bytes());
        out.put_u64_le(*seq);
    }
}

/// Reads what [`encode_progress`] wrote.
pub(super) fn decode_progress(b: &mut &[u8]) -> Option<Progress> {
    let mut out = Progress::new();
    for _ in 0..b.try_get_u32_le().ok()? {
        let n = usize::from(b.try_get_u16_le().ok()?);
        let (index, rest) = b.split_at_checked(n)?;
        *b = rest;
        let seq = b.try_get_u64_le().ok()?;
        out.insert(String::from_utf8(index.to_vec()).ok()?, seq);
    }
    Some(out)
}
