//! Advisories about API calls (contract/jetstream.md §6). Nothing is built
//! unless somebody listens.

use super::Request;
use crate::route::Message;
use crate::system::client_info::requester;
use bytes::Bytes;
use gust_jetstream::api::advisory::{
    ADVISORY, ApiAudit, ClientInfo, ConsumerAction, Event, StreamAction, action,
};
use gust_jetstream::json::{self, JsonFields};
use std::sync::atomic::Ordering::Relaxed;

impl Request {
    /// What an event of this kind begins with.
    pub(super) fn event(&self, kind: &str) -> Event {
        let id = self.server().nuid();
        Event::new(kind, id, self.now())
    }

    /// Publishes an event if somebody listens.
    pub(super) fn advise<T: JsonFields + serde::Serialize>(
        &self,
        subject: &[u8],
        make: impl FnOnce() -> T,
    ) {
        if !self.account.interest.read().has_interest(subject) {
            return;
        }
        let body = json::to_bytes(&make());
        self.shard.publish(&self.account, subject, &Message::new(subject, b"", b"", &body), b"");
    }

    /// A stream was made, changed or removed.
    pub(super) fn advise_stream(&self, stream: &str, what: &'static str) {
        let word = match what {
            action::CREATE => "CREATED",
            action::DELETE => "DELETED",
            _ => "UPDATED",
        };
        let subject = format!("{ADVISORY}.STREAM.{word}.{stream}");
        self.advise(subject.as_bytes(), || StreamAction {
            event: self.event(StreamAction::TYPE),
            stream: stream.to_owned(),
            action: what.to_owned(),
            domain: self.js.domain.clone(),
        });
    }

    /// A consumer was made or removed.
    pub(super) fn advise_consumer(&self, stream: &str, consumer: &str, what: &'static str) {
        let word = if what == action::CREATE { "CREATED" } else { "DELETED" };
        let subject = format!("{ADVISORY}.CONSUMER.{word}.{stream}.{consumer}");
        self.advise(subject.as_bytes(), || ConsumerAction {
            event: self.event(ConsumerAction::TYPE),
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
            action: what.to_owned(),
            domain: self.js.domain.clone(),
        });
    }

    /// Who asked, as advisories show it.
    pub(super) fn client_info(&self) -> Option<ClientInfo> {
        let c = self.client.as_ref()?;
        Some(ClientInfo {
            rtt: c.rtt.load(Relaxed),
            server: self.server().name.clone(),
            ..requester(self.server(), c)
        })
    }

    /// An API call was answered.
    pub(super) fn audit(&self, response: &Bytes) {
        self.advise(ApiAudit::SUBJECT.as_bytes(), || ApiAudit {
            event: self.event(ApiAudit::TYPE),
            server: self.server().name.clone(),
            client: self.client_info(),
            subject: String::from_utf8_lossy(&self.message.subject).into_owned(),
            request: String::from_utf8_lossy(&self.message.payload).into_owned(),
            response: String::from_utf8_lossy(response).into_owned(),
            domain: self.js.domain.clone(),
        });
    }
}
