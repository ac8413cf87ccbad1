//! What became of a traced message (contract/core.md §1.11), told to whoever
//! traces it in nats-server's words.

use super::headers::{self, PublishHeaders, name};
use super::lead::Leading;
use super::publish::{Checked, Refusal};
use super::rules::Rules;
use super::{Cx, Inbound, Stream, answer};
use crate::effect::{Effect, Traced};
use crate::error::{ApiError, code};
use bytes::Bytes;

/// Mark of a message whose fate is told, with [`Effect::Traced`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracing {
    /// The caller's number for it.
    pub id: u64,
    /// It is told only, nothing is stored.
    pub only: bool,
}

impl Stream {
    /// Every check of a message that is not to be stored. Its publisher hears of
    /// refusals as usual, and nothing if there are none. Gives it back if it has
    /// to wait.
    pub(super) fn trace_only(
        &self,
        lead: &mut Leading,
        rules: &Rules,
        msg: Inbound,
        cx: &mut Cx<'_>,
    ) -> Option<Inbound> {
        let verdict = match headers::get(&msg.headers, name::BATCH_ID) {
            // What it would do within its batch is not looked at.
            Some(id) => {
                let id = Bytes::copy_from_slice(id);
                self.check_step(lead, rules, &id, &msg, cx).map(|_| Checked::default())
            }
            None => self.check(lead, rules, &msg, cx),
        };
        let mut told = match &verdict {
            Err(Refusal::Wait) => return Some(msg),
            verdict => self.traced(lead, rules, &msg, verdict, cx),
        };
        let reply = if rules.config.no_ack { Bytes::new() } else { msg.reply.clone() };
        match verdict {
            // What only storing it would have shown is not looked at.
            Err(Refusal::Error(e)) if is_late(&e) => told.error.clear(),
            Err(Refusal::Error(e)) => cx.send(reply, Bytes::new(), answer::refusal(rules, &e)),
            Err(Refusal::Duplicate(seq)) => {
                let payload = answer::pub_ack(rules, seq, |a| a.duplicate = true);
                cx.send(reply, Bytes::new(), payload);
            }
            Ok(_) | Err(Refusal::Wait) => {}
        }
        cx.told(msg.tracing, told);
        None
    }

    /// What is told of a message with this verdict.
    pub(super) fn traced(
        &self,
        lead: &mut Leading,
        rules: &Rules,
        msg: &Inbound,
        verdict: &Result<Checked, Refusal>,
        cx: &Cx<'_>,
    ) -> Traced {
        let error = match verdict {
            Ok(m) => {
                let subject = m.subject.clone();
                return Traced { subject, no_interest: m.skip, ..Traced::default() };
            }
            Err(Refusal::Error(e)) => e,
            Err(Refusal::Duplicate(_)) => return refused("msgid is duplicate"),
            Err(Refusal::Wait) => return Traced::default(),
        };
        let mut told = refused(self.text(lead, rules, msg, error, cx));
        if is_late(error) {
            told.subject = self.incoming(rules, msg, cx).subject;
        }
        told
    }

    /// An error as nats-server words it for itself.
    fn text(
        &self,
        lead: &mut Leading,
        rules: &Rules,
        msg: &Inbound,
        e: &ApiError,
        cx: &Cx<'_>,
    ) -> String {
        let block = headers::stored(&msg.headers);
        let h = PublishHeaders::read(&block);
        match e.err_code {
            code::STREAM_WRONG_LAST_SEQUENCE => {
                let subject = self.incoming(rules, msg, cx).subject;
                let last = e.description.rsplit(' ').next().unwrap_or_default();
                if self.check_subject_seq(lead, &h, &subject).is_err() {
                    let want = h.subject_seq.unwrap_or_default();
                    format!("last sequence by subject mismatch: {want} vs {last}")
                } else {
                    format!("last sequence mismatch: {} vs {last}", h.last_seq.unwrap_or_default())
                }
            }
            code::STREAM_WRONG_LAST_MSG_ID => {
                let last = e.description.strip_prefix("wrong last msg ID: ").unwrap_or_default();
                let want = String::from_utf8_lossy(h.last_id.unwrap_or_default());
                format!("last msgid mismatch: {want:?} vs {last:?}")
            }
            _ => text(e),
        }
    }
}

/// What is told of a message that was refused.
pub(super) fn refused(error: impl Into<String>) -> Traced {
    Traced { error: error.into(), ..Traced::default() }
}

/// The error as nats-server words it for itself, where that needs no more than
/// the answer to the publisher.
pub(super) fn text(e: &ApiError) -> String {
    match e.err_code {
        code::STREAM_NOT_MATCH => "expected stream does not match".to_owned(),
        code::MESSAGE_TTL_DISABLED => "message TTL disabled".to_owned(),
        code::STREAM_MESSAGE_EXCEEDS_MAXIMUM | code::STREAM_HEADER_EXCEEDS_MAXIMUM => {
            "maximum payload exceeded".to_owned()
        }
        code::STREAM_ROLLUP_FAILED | code::STREAM_STORE_FAILED => e.description.clone().into(),
        _ => e.to_string(),
    }
}

/// Whether an error comes after the point where the subject is known.
fn is_late(e: &ApiError) -> bool {
    [code::STREAM_STORE_FAILED, code::ACCOUNT_RESOURCES_EXCEEDED, code::MESSAGE_TTL_INVALID]
        .contains(&e.err_code)
}

impl Cx<'_> {
    /// Tells what became of a message, if that is wanted.
    pub(super) fn told(&mut self, tracing: Option<Tracing>, told: Traced) {
        if let Some(Tracing { id, .. }) = tracing {
            self.fx.push(Effect::Traced { id, told });
        }
    }
}
