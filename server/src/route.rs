//! Getting one message to everybody who should have it.

use crate::account::AccountState;
use crate::client::Client;
use crate::connection::outbound::Pushed;
use crate::connection::reason::CloseReason;
use crate::exchange::service::Via;
use crate::exchange::{responses, service, shadow};
use crate::shard::Shard;
use crate::shard::mailbox::{Mail, StreamCall, StreamMail};
use crate::stats::add;
use crate::subscription::{Subscription, Take, Target};
use crate::trace::Trace;
use bytes::Bytes;
use gust_interest::MatchResult;
use gust_wire::client::{Digits, encode};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A message on its way. Slices may point into `owner`; then large payloads are
/// shared instead of copied.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// Subject shown to receivers.
    pub subject: &'a [u8],
    /// Reply subject or empty.
    pub reply: &'a [u8],
    /// Raw headers or empty.
    pub headers: &'a [u8],
    /// Payload.
    pub payload: &'a [u8],
    /// Header and total size as the publisher wrote them; empty = to be made.
    pub size_text: (&'a [u8], &'a [u8]),
    /// Buffer that payload, and perhaps more, points into, if there is one.
    pub owner: Option<&'a Bytes>,
    /// Subject that leads to the receivers: other than `subject` for what
    /// JetStream delivers.
    pub to: &'a [u8],
    /// The service import it came through last, if any.
    pub via: Option<&'a Via<'a>>,
    /// Where what happens to it is written down, if it is traced.
    pub trace: Option<&'a Arc<Trace>>,
}

impl<'a> Message<'a> {
    /// A message made by the server.
    pub fn new(subject: &'a [u8], reply: &'a [u8], headers: &'a [u8], payload: &'a [u8]) -> Self {
        Self {
            subject,
            reply,
            headers,
            payload,
            size_text: (&[], &[]),
            owner: None,
            to: subject,
            via: None,
            trace: None,
        }
    }

    /// Writes the control line a receiver sees. The publisher's size text is
    /// echoed as it was written, unless the headers are left out.
    fn put_header(
        &self,
        out: &mut Vec<u8>,
        sid: &[u8],
        reply: Option<&[u8]>,
        with_headers: bool,
        total: usize,
    ) {
        let (header_text, total_text) = self.size_text;
        let echo = !total_text.is_empty() && with_headers != self.headers.is_empty();
        let digits;
        let size = if echo {
            total_text
        } else {
            digits = Digits::new(total as u64);
            digits.as_bytes()
        };
        if with_headers {
            if echo {
                encode::hmsg_header(out, self.subject, sid, reply, header_text, size);
            } else {
                let hdr = Digits::new(self.headers.len() as u64);
                encode::hmsg_header(out, self.subject, sid, reply, hdr.as_bytes(), size);
            }
        } else {
            encode::msg_header(out, self.subject, sid, reply, size);
        }
    }

    /// The same message with buffers of its own.
    pub fn to_owned_message(&self) -> OwnedMessage {
        OwnedMessage {
            subject: self.own(self.subject),
            reply: self.own(self.reply),
            headers: self.own(self.headers),
            payload: self.own(self.payload),
        }
    }

    /// A part of it with a buffer of its own.
    pub fn own(&self, slice: &[u8]) -> Bytes {
        match self.owner {
            _ if slice.is_empty() => Bytes::new(),
            // A kept slice pins the whole read buffer, so only large ones share.
            Some(owner)
                if slice.len() >= crate::connection::outbound::SHARE_FROM
                    && is_part(slice, owner) =>
            {
                owner.slice_ref(slice)
            }
            _ => Bytes::copy_from_slice(slice),
        }
    }
}

/// Whether `part` lies in `whole`: headers may have been written anew.
fn is_part(part: &[u8], whole: &[u8]) -> bool {
    let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
    whole.start <= part.start && part.end <= whole.end
}

/// A message that left its buffers.
#[derive(Debug, Clone)]
pub struct OwnedMessage {
    /// Subject.
    pub subject: Bytes,
    /// Reply subject or empty.
    pub reply: Bytes,
    /// Raw headers or empty.
    pub headers: Bytes,
    /// Payload.
    pub payload: Bytes,
}

/// Who published.
#[derive(Clone, Copy)]
pub enum Origin<'a> {
    /// A client connection.
    Client(&'a Arc<Client>),
    /// The server or JetStream.
    Server,
}

/// What happened to a message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Routed {
    /// Receivers that took it.
    pub delivered: usize,
    /// Highest fill of a receiver's queue that was seen, in bytes.
    pub fullest: usize,
}

impl Shard {
    /// Delivers `m` to all plain matches and to one member of each group.
    pub fn route(
        &self,
        account: &Arc<AccountState>,
        found: &MatchResult<Arc<Subscription>>,
        m: &Message<'_>,
        origin: Origin<'_>,
        only_queue: &[u8],
    ) -> Routed {
        let mut routed = Routed::default();
        if only_queue.is_empty() {
            for sub in &found.plain {
                self.deliver(account, sub, m, origin, &mut routed);
            }
        }
        for group in &found.queues {
            if !only_queue.is_empty() && only_queue != &group.name[..] {
                continue;
            }
            let n = group.members.len();
            let start = if n > 1 { (self.rng.next() % n as u64) as usize } else { 0 };
            for i in 0..n {
                let sub = &group.members[(start + i) % n];
                if self.deliver(account, sub, m, origin, &mut routed) {
                    break;
                }
            }
        }
        routed
    }

    /// Hands `m` to one subscription; false if it did not take it.
    #[inline]
    pub fn deliver(
        &self,
        account: &Arc<AccountState>,
        sub: &Arc<Subscription>,
        m: &Message<'_>,
        origin: Origin<'_>,
        routed: &mut Routed,
    ) -> bool {
        match m.trace {
            None => self.hand_over(account, sub, m, origin, routed),
            Some(trace) => {
                crate::trace::delivery::deliver(self, trace, account, sub, m, origin, routed)
            }
        }
    }

    /// As [`Shard::deliver`], not told to a trace.
    pub fn hand_over(
        &self,
        account: &Arc<AccountState>,
        sub: &Arc<Subscription>,
        m: &Message<'_>,
        origin: Origin<'_>,
        routed: &mut Routed,
    ) -> bool {
        let took = match &sub.target {
            Target::Client(client) => {
                return self.deliver_to_client(account, sub, client, m, origin, routed);
            }
            Target::Stream { shard, group, call } => {
                self.deliver_to_stream(*shard, *group, call, m, account)
            }
            Target::Service(service) => {
                crate::system::services::call(self, *service, account, m, origin)
            }
            Target::Channel(tx) => tx.try_send(m.to_owned_message()).is_ok(),
            Target::Shadow(shadow) => return shadow::deliver(self, shadow, m, origin, routed),
            Target::Import(link) => service::request(self, link, account, m, origin, routed),
            Target::Responses => {
                responses::answer(self, account, m, origin, routed);
                true
            }
        };
        routed.delivered += usize::from(took);
        took
    }

    fn deliver_to_client(
        &self,
        account: &Arc<AccountState>,
        sub: &Arc<Subscription>,
        client: &Arc<Client>,
        m: &Message<'_>,
        origin: Origin<'_>,
        routed: &mut Routed,
    ) -> bool {
        if let Origin::Client(from) = origin
            && from.cid == client.cid
            && !client.echo.load(Relaxed)
        {
            return false;
        }
        if !sub.filter.passes(m.subject) {
            return false;
        }
        let last = match sub.take() {
            Take::No => return false,
            Take::Yes => false,
            Take::Last => true,
        };
        let with_headers = !m.headers.is_empty() && client.headers.load(Relaxed);
        let headers = if with_headers { m.headers } else { &[] };
        let total = headers.len() + m.payload.len();
        // Where the reply is missing, events and answers of the system account show
        // two blanks, as nats-server's do. Nothing else may: some clients take them
        // for an empty reply.
        let server = matches!(origin, Origin::Server);
        let blanks = server && self.server.is_system(account);
        let reply = (blanks || !m.reply.is_empty()).then_some(m.reply);
        let (pushed, pending) = client.out.push_message(
            |out| m.put_header(out, &sub.sid, reply, with_headers, total),
            headers,
            m.payload,
            m.owner,
        );
        if last {
            account.interest.remove(&sub.subject, &sub.queue, sub.id);
            crate::exchange::unsubscribed(self, account, sub);
            client.ended.lock().push(sub.sid.clone());
        }
        match pushed {
            Pushed::Queued => {}
            Pushed::MustFlush => self.touch(client.clone()),
            Pushed::Overflow => {
                self.server.slow_consumer(account, client, CloseReason::SlowConsumerPendingBytes);
                return false;
            }
            Pushed::Closed => return false,
        }
        if client.wants_grants() && !m.reply.is_empty() {
            client.grant(m.reply, crate::clock::now());
        }
        add(&self.stats.out_msgs, 1);
        add(&self.stats.out_bytes, total as u64);
        routed.delivered += 1;
        routed.fullest = routed.fullest.max(pending);
        true
    }

    fn deliver_to_stream(
        &self,
        shard: usize,
        group: u64,
        call: &StreamCall,
        m: &Message<'_>,
        account: &Arc<AccountState>,
    ) -> bool {
        if *call == StreamCall::Publish && !self.server.shard(shard).has_room() {
            crate::jetstream::api::refuse_busy(self, account, m.reply);
            return true;
        }
        self.mail(
            shard,
            Mail::Stream(StreamMail {
                group,
                call: call.clone(),
                subject: m.own(m.subject),
                reply: m.own(m.reply),
                headers: m.own(m.headers),
                payload: m.own(m.payload),
                telling: None,
            }),
        );
        true
    }

    /// Publishes as the server itself, looking the receivers up without the
    /// cache: for subjects that are used once, such as inboxes.
    pub fn publish(
        &self,
        account: &Arc<AccountState>,
        to: &[u8],
        m: &Message<'_>,
        queue: &[u8],
    ) -> Routed {
        let mut found = self.scratch.take();
        account.interest.read().matches(to, &mut found);
        let m = Message { to, ..*m };
        let routed = self.route(account, &found, &m, Origin::Server, queue);
        found.clear();
        self.scratch.replace(found);
        routed
    }

    /// Publishes a message that crossed into `account`.
    pub fn route_to(
        &self,
        account: &Arc<AccountState>,
        m: &Message<'_>,
        origin: Origin<'_>,
    ) -> Routed {
        let mut found = self.scratch.take();
        account.interest.read().matches(m.to, &mut found);
        let routed = self.route(account, &found, m, origin, b"");
        found.clear();
        self.scratch.replace(found);
        routed
    }
}
