//! A traced message and a stream: it says what it did once it has decided.

use super::Trace;
use super::event::{Event, Happened};
use crate::account::AccountState;
use crate::clock::{self, rfc3339};
use crate::route::Message;
use crate::shard::Shard;
use crate::shard::mailbox::{Mail, StreamCall, StreamMail};
use gust_jetstream::effect::Traced;
use gust_wire::headers::Headers;
use std::sync::Arc;
use std::sync::atomic::Ordering::AcqRel;

/// A stream's share in a report that is not written yet. Dropped, the report goes
/// out without it.
#[derive(Debug)]
pub struct Telling {
    trace: Arc<Trace>,
    /// Its place among the events.
    at: usize,
}

impl Telling {
    fn begin(trace: &Arc<Trace>) -> Self {
        let at = trace.add(Happened::JetStream {
            stream: String::new(),
            subject: String::new(),
            nointerest: false,
            error: String::new(),
        });
        trace.open.fetch_add(1, AcqRel);
        Self { trace: trace.clone(), at }
    }

    /// Whether nothing is to be stored.
    pub fn only(&self) -> bool {
        self.trace.only
    }

    /// Writes what the stream `name` did.
    pub fn tell(self, name: &str, told: Traced) {
        if let Some(Event {
            ts,
            happened: Happened::JetStream { stream, subject, nointerest, error },
            ..
        }) = self.trace.events.lock().get_mut(self.at)
        {
            *ts = rfc3339(clock::now());
            name.clone_into(stream);
            *subject = String::from_utf8_lossy(&told.subject).into_owned();
            *nointerest = told.no_interest;
            *error = told.error;
        }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.trace.end();
    }
}

/// As the delivery of any other message to the stream of `group` on shard `at`.
pub fn publish(
    shard: &Shard,
    trace: &Arc<Trace>,
    account: &Arc<AccountState>,
    (at, group): (usize, u64),
    m: &Message<'_>,
) {
    let telling = Telling::begin(trace);
    if !shard.server.shard(at).has_room() {
        let error = gust_jetstream::error::stream_too_many_requests().to_string();
        telling.tell("", Traced { error, ..Traced::default() });
        return crate::jetstream::api::refuse_busy(shard, account, m.reply);
    }
    let headers = if trace.only {
        m.own(m.headers)
    } else {
        // Whoever gets it from the stream is not traced again.
        Headers::new(m.headers).replace(super::DEST, super::DISABLED)
    };
    let mail = StreamMail {
        group,
        call: StreamCall::Publish,
        subject: m.own(m.subject),
        reply: m.own(m.reply),
        headers,
        payload: m.own(m.payload),
        telling: Some(Box::new(telling)),
    };
    shard.mail(at, Mail::Stream(mail));
}
