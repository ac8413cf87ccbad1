//! Fast batches: a stream of messages whose publisher is told from time to time
//! how far everything is stored (ADR-50; contract/jetstream.md §3.2).
//!
//! Everything a message says about its batch stands in its reply subject:
//! `<prefix>.<id>.<flow>.<fail|ok>.<seq>.<op>.$FI`. Acks of flow control wait,
//! like PubAcks, until what they speak of is applied.

use super::headers::{self, name};
use super::lead::{Answer, Leading};
use super::publish::{Checked, Refusal, propose};
use super::rules::Rules;
use super::{Cx, Inbound, Stream, answer, traced};
use crate::config::level;
use crate::effect::Nanos;
use crate::error::{self, ApiError};
use crate::json::{self, json_struct};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What the reply subjects of fast batches end with.
pub(super) const SUFFIX: &[u8] = b".$FI";
/// Longest id of a batch.
const MAX_ID: usize = 64;
/// Open fast batches of one stream.
const MAX_BATCHES: usize = 1000;
/// Messages between two acks of all batches of a stream together.
const MAX_FLOW: u64 = 500;

json_struct! {
    /// How far everything is stored, and how often that is told.
    pub struct FlowAck("BatchFlowAck") {
        /// `ack`.
        kind: String = "type",
        /// Sequence in the batch.
        seq: u64 = "seq",
        /// Messages from one ack to the next.
        msgs: u64 = "msgs",
    }
}

json_struct! {
    /// Messages of a batch are missing.
    pub struct FlowGap("BatchFlowGap") {
        /// `gap`.
        kind: String = "type",
        /// The first one missing.
        last_seq: u64 = "last_seq",
        /// The one that came instead.
        seq: u64 = "seq",
    }
}

json_struct! {
    /// A message of a batch was refused.
    pub struct FlowErr("BatchFlowErr") {
        /// `err`.
        kind: String = "type",
        /// Sequence in the batch.
        seq: u64 = "seq",
        /// Why.
        error: ApiError = "error",
    }
}

/// An open batch.
#[derive(Debug, Clone)]
pub(super) struct FastBatch {
    gap_ok: bool,
    /// Most messages between two acks, and how many it is now.
    max_flow: u64,
    flow: u64,
    /// Last sequence acknowledged, and last one received.
    acked: u64,
    received: u64,
    /// Stream sequence of the last message stored.
    stored: u64,
    /// When it is forgotten unless something comes.
    pub until: Nanos,
}

pub(super) type FastBatches = BTreeMap<Bytes, FastBatch>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Message,
    Commit,
    Eob,
    Ping,
}

/// What a reply subject says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    id: Bytes,
    flow: u64,
    gap_ok: bool,
    seq: u64,
    op: Op,
}

impl Step {
    fn read(reply: &Bytes) -> Option<Step> {
        let text = reply.strip_suffix(SUFFIX)?;
        let mut tokens = text.rsplit(|b| *b == b'.');
        let op = headers::number(tokens.next()?)?;
        let seq = headers::number(tokens.next()?).filter(|s| *s > 0)?;
        let gap_ok = match tokens.next()? {
            b"ok" => true,
            b"fail" => false,
            _ => return None,
        };
        let flow = headers::number(tokens.next()?).filter(|n| *n > 0).unwrap_or(10);
        let id = reply.slice_ref(tokens.next()?);
        // The id is not the whole subject.
        tokens.next()?;
        let op = match (op, seq) {
            (0, 1) => Op::Message,
            (1, 2..) => Op::Message,
            (2, _) => Op::Commit,
            (3, 2..) => Op::Eob,
            (4, _) => Op::Ping,
            _ => return None,
        };
        Some(Step { id, flow: flow.min(u64::from(u16::MAX)), gap_ok, seq, op })
    }
}

impl Stream {
    /// A message whose reply ends with [`SUFFIX`]; gives it back if it has to wait.
    pub(super) fn fast(
        &mut self,
        lead: &mut Leading,
        mut msg: Inbound,
        cx: &mut Cx<'_>,
    ) -> Option<Inbound> {
        let rules = lead.rules.clone();
        let reply = msg.reply.clone();
        let answer_to = if rules.config.no_ack { Bytes::new() } else { reply.clone() };
        let (step, mut batch) = match open(lead, &rules, &msg, cx) {
            Ok(opened) => opened,
            Err(e) => {
                cx.told(msg.tracing, traced::refused(traced::text(&e)));
                cx.send(answer_to, Bytes::new(), answer::refusal(&rules, &e));
                return None;
            }
        };
        let level = headers::get(&msg.headers, name::REQUIRED_LEVEL);
        if !level::request_supported(level) {
            lead.fast.remove(&step.id);
            let e = error::required_api_level();
            cx.told(msg.tracing, traced::refused(traced::text(&e)));
            cx.send(answer_to, Bytes::new(), answer::refusal(&rules, &e));
            return None;
        }
        if level.is_some() {
            msg.headers = headers::retain(&msg.headers, |k| k != name::REQUIRED_LEVEL);
        }
        batch.until = cx.now.saturating_add(cx.facts.batch.timeout);
        let mut io = Io { lead, rules: &rules, reply, id: step.id.clone() };
        let goes_on = if step.op == Op::Ping {
            io.ping(&mut batch, &step, cx)
        } else if !io.in_order(&mut batch, &step, cx) {
            io.commit(&batch);
            false
        } else if step.op == Op::Eob {
            batch.received -= 1;
            io.commit(&batch);
            false
        } else {
            match self.check(io.lead, &rules, &msg, cx) {
                Err(Refusal::Wait) => return Some(msg),
                checked => {
                    if msg.tracing.is_some() {
                        let told = self.traced(io.lead, &rules, &msg, &checked, cx);
                        cx.told(msg.tracing, told);
                    }
                    io.message(&mut batch, &step, checked, cx)
                }
            }
        };
        self.release(io.lead, cx);
        if goes_on {
            lead.fast.insert(step.id, batch);
        } else {
            lead.fast.remove(&step.id);
        }
        None
    }
}

/// Where the answers of one step go.
struct Io<'a> {
    lead: &'a mut Leading,
    rules: &'a Rules,
    reply: Bytes,
    id: Bytes,
}

impl Io<'_> {
    /// Told at once.
    fn tell(&self, payload: Bytes, cx: &mut Cx<'_>) {
        cx.send(self.reply.clone(), Bytes::new(), payload);
    }

    /// Told when everything so far is applied.
    fn tell_later(&mut self, payload: Bytes) {
        self.lead.answer(Answer::Ready { reply: self.reply.clone(), payload });
    }

    fn commit(&mut self, b: &FastBatch) {
        let id = String::from_utf8_lossy(&self.id);
        let payload = answer::pub_ack(self.rules, b.stored, |a| {
            (a.batch, a.count) = (&id, b.received);
        });
        self.tell_later(payload);
    }

    fn gap(&self, expected: u64, got: u64, cx: &mut Cx<'_>) {
        let gap = FlowGap { kind: "gap".into(), last_seq: expected, seq: got };
        self.tell(json::to_bytes(&gap), cx);
    }

    /// Answers a ping with how far everything is; whether the batch goes on.
    fn ping(&mut self, b: &mut FastBatch, step: &Step, cx: &mut Cx<'_>) -> bool {
        if step.seq > b.received {
            self.gap(b.received + 1, step.seq + 1, cx);
            if !b.gap_ok {
                self.commit(b);
                return false;
            }
            b.received = step.seq;
            if self.flow(b) {
                return true;
            }
        }
        self.tell_later(flow_ack(b.acked, b.flow));
        true
    }

    /// Takes the sequence of a message; false if it must not be stored.
    fn in_order(&self, b: &mut FastBatch, step: &Step, cx: &mut Cx<'_>) -> bool {
        let expected = b.received + 1;
        if step.seq > expected {
            self.gap(expected, step.seq, cx);
            if !b.gap_ok {
                return false;
            }
        } else if step.seq < expected {
            return false;
        }
        b.received = step.seq;
        true
    }

    /// Stores a message or tells why not; whether the batch goes on.
    fn message(
        &mut self,
        b: &mut FastBatch,
        step: &Step,
        checked: Result<Checked, Refusal>,
        cx: &mut Cx<'_>,
    ) -> bool {
        let commits = step.op == Op::Commit;
        if step.seq == 1 && !commits {
            self.tell(flow_ack(0, b.flow), cx);
        }
        match checked {
            Ok(m) => b.stored = propose(self.lead, self.rules, m, cx.now),
            Err(Refusal::Duplicate(_)) if !commits && (b.gap_ok || step.seq > 1) => {}
            Err(refused) => {
                if let Some(goes_on) = self.refused(b, step, refused, cx) {
                    return goes_on;
                }
            }
        }
        if commits {
            self.commit(b);
            return false;
        }
        self.flow(b);
        true
    }

    /// `None`: go on as if it had been stored.
    fn refused(
        &mut self,
        b: &mut FastBatch,
        step: &Step,
        refused: Refusal,
        cx: &mut Cx<'_>,
    ) -> Option<bool> {
        let first = !step.gap_ok && step.seq == 1;
        let error = match refused {
            Refusal::Duplicate(seq) if first => {
                let id = String::from_utf8_lossy(&self.id);
                let payload = answer::pub_ack(self.rules, seq, |a| {
                    (a.duplicate, a.batch, a.count) = (true, &id, step.seq);
                });
                self.tell_later(payload);
                return Some(false);
            }
            Refusal::Duplicate(_) | Refusal::Wait => return None,
            Refusal::Error(e) => e,
        };
        if first {
            self.tell(answer::refusal(self.rules, &error), cx);
            return Some(false);
        }
        let told = FlowErr { kind: "err".into(), seq: step.seq, error };
        self.tell(json::to_bytes(&told), cx);
        if step.gap_ok && step.op != Op::Commit {
            return Some(true);
        }
        b.received -= 1;
        self.commit(b);
        Some(false)
    }

    /// Tells how far everything is if enough came since the last time.
    fn flow(&mut self, b: &mut FastBatch) -> bool {
        if b.received < b.acked + b.flow {
            return false;
        }
        b.acked += (b.received - b.acked) / b.flow * b.flow;
        let others = self.lead.fast.len().max(1) as u64;
        let most = (MAX_FLOW / others).clamp(1, b.max_flow);
        b.flow = match b.flow < most {
            true => (b.flow * 2).min(most),
            false => (b.flow / 2).max(most),
        };
        self.tell_later(flow_ack(b.acked, b.flow));
        true
    }
}

/// The step and its batch, which is new with the first message.
fn open(
    lead: &mut Leading,
    rules: &Rules,
    msg: &Inbound,
    cx: &Cx<'_>,
) -> Result<(Step, FastBatch), ApiError> {
    if rules.config.sealed {
        return Err(error::stream_sealed());
    }
    if cx.facts.server_full {
        return Err(error::insufficient_resources());
    }
    if cx.facts.account_full {
        return Err(error::account_resources_exceeded());
    }
    if (msg.headers.len() + msg.payload.len()) as u64 > rules.max_msg_size {
        return Err(error::stream_message_exceeds_maximum());
    }
    if !rules.config.allow_batched {
        return Err(error::batch_publish_disabled());
    }
    let step = Step::read(&msg.reply).ok_or_else(error::batch_publish_invalid_pattern)?;
    if step.id.len() > MAX_ID {
        return Err(error::batch_publish_invalid_batch_id());
    }
    if let Some(b) = lead.fast.get(&step.id) {
        return Ok((step, b.clone()));
    }
    if step.seq != 1 {
        return Err(error::batch_publish_unknown_batch_id());
    }
    if lead.fast.len() >= MAX_BATCHES {
        return Err(error::batch_publish_too_many_inflight());
    }
    // With others at work a batch begins carefully.
    let flow = if lead.fast.is_empty() { step.flow.min(MAX_FLOW) } else { 1 };
    let batch = FastBatch {
        gap_ok: step.gap_ok,
        max_flow: step.flow,
        flow,
        acked: 0,
        received: 0,
        stored: 0,
        until: 0,
    };
    Ok((step, batch))
}

fn flow_ack(seq: u64, msgs: u64) -> Bytes {
    json::to_bytes(&FlowAck { kind: "ack".into(), seq, msgs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Effect;
    use crate::stream::fixture::{Bench, block};

    const ON: &str = r#""allow_batched":true"#;

    /// One message of batch `id`; everything answered so far.
    fn send(b: &mut Bench, tail: &str, lines: &[&str]) -> Vec<String> {
        let msg = Inbound {
            subject: Bytes::from_static(b"S.a"),
            reply: format!("in.box.{tail}.$FI").into(),
            headers: block(lines),
            payload: Bytes::from_static(b"x"),
            tracing: None,
        };
        b.call(|s, cx| s.publish(msg, cx));
        b.commit();
        let text = |e: Effect| match e {
            Effect::Publish(p) => String::from_utf8(p.payload.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        };
        b.fx.drain(..).map(text).collect()
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn acks_come_every_few_messages_and_grow() {
        let mut b = Bench::new(ON);
        assert_eq!(send(&mut b, "id.2.fail.1.0", &[]), [r#"{"type":"ack","seq":0,"msgs":2}"#]);
        assert_eq!(send(&mut b, "id.2.fail.2.1", &[]), [r#"{"type":"ack","seq":2,"msgs":2}"#]);
        assert_eq!(send(&mut b, "id.2.fail.3.1", &[]), NONE);
        assert_eq!(send(&mut b, "id.2.fail.3.4", &[]), [r#"{"type":"ack","seq":2,"msgs":2}"#]);
        assert_eq!(
            send(&mut b, "id.2.fail.4.2", &[]),
            [r#"{"stream":"S","seq":4,"batch":"id","count":4}"#]
        );
        assert_eq!(b.messages().len(), 4);
        let unknown = send(&mut b, "id.2.fail.5.1", &[]);
        assert!(unknown[0].contains("10208"), "{unknown:?}");
    }

    #[test]
    fn the_end_of_batch_is_not_stored() {
        let mut b = Bench::new(ON);
        send(&mut b, "id.9.ok.1.0", &[]);
        assert_eq!(
            send(&mut b, "id.9.ok.2.3", &[]),
            [r#"{"stream":"S","seq":1,"batch":"id","count":1}"#]
        );
        assert_eq!(b.messages(), ["S.a=x@1"]);
    }

    #[test]
    fn gaps_end_the_batch_or_are_only_told() {
        let gap = r#"{"type":"gap","last_seq":2,"seq":4}"#;
        let mut b = Bench::new(ON);
        send(&mut b, "id.9.fail.1.0", &[]);
        assert_eq!(
            send(&mut b, "id.9.fail.4.1", &[]),
            [gap, r#"{"stream":"S","seq":1,"batch":"id","count":1}"#]
        );
        let mut b = Bench::new(ON);
        send(&mut b, "id.9.ok.1.0", &[]);
        assert_eq!(send(&mut b, "id.9.ok.4.1", &[]), [gap]);
        assert_eq!(
            send(&mut b, "id.9.ok.5.2", &[]),
            [r#"{"stream":"S","seq":3,"batch":"id","count":5}"#]
        );
    }

    #[test]
    fn refused_messages_are_told() {
        let bad = ["Nats-Expected-Stream: T"];
        let mut b = Bench::new(ON);
        let first = send(&mut b, "id.9.fail.1.0", &bad);
        assert!(first[1].contains("10060") && !first[1].contains("type"), "{first:?}");
        send(&mut b, "id.9.fail.1.0", &[]);
        let second = send(&mut b, "id.9.fail.2.1", &bad);
        assert!(
            second[0].starts_with(r#"{"type":"err","seq":2,"error":{"code":400,"err_code":10060"#)
        );
        assert_eq!(second[1], r#"{"stream":"S","seq":1,"batch":"id","count":1}"#);
        let mut b = Bench::new(ON);
        send(&mut b, "id.9.ok.1.0", &[]);
        assert_eq!(send(&mut b, "id.9.ok.2.1", &bad).len(), 1);
        assert_eq!(
            send(&mut b, "id.9.ok.3.2", &[]),
            [r#"{"stream":"S","seq":2,"batch":"id","count":3}"#]
        );
    }

    #[test]
    fn what_is_wrong_with_the_batch_itself() {
        let long = format!("{}.9.ok.1.0", "x".repeat(65));
        for (config, tail, code) in [
            ("", "id.9.ok.1.0", 10205),
            (ON, "id.9.maybe.1.0", 10206),
            (ON, "id.9.ok.0.0", 10206),
            (ON, "id.9.ok.1.1", 10206),
            (ON, "id.9.ok.1.9", 10206),
            (ON, &long, 10207),
            (ON, "id.9.ok.2.1", 10208),
        ] {
            let answer = send(&mut Bench::new(config), tail, &[]);
            assert!(answer[0].contains(&format!("\"err_code\":{code},")), "{tail} {answer:?}");
        }
    }
}
