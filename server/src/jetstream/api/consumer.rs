//! CONSUMER.* endpoints.

use super::{Answer, Request, stamp};
use crate::jetstream::interest::AccountInterest;
use gust_jetstream::api::Endpoint;
use gust_jetstream::api::advisory::action;
use gust_jetstream::api::info::ConsumerInfo;
use gust_jetstream::api::request::{
    LIST_LIMIT, NAMES_LIMIT, OffsetRequest, PauseRequest, ResetRequest, UnpinRequest,
};
use gust_jetstream::api::response::{
    ConsumerList, ConsumerNames, ConsumerReset, Nothing, Page, Paused, Success,
};
use gust_jetstream::config::CreateConsumerRequest;
use gust_jetstream::config::consumer_change::{self, CreateForm};
use gust_jetstream::error::{self, ApiError};
use gust_jetstream::stream::{Completion, is_public};
use gust_jetstream::time::Time;
use gust_wire::headers::Headers;

/// Header of consumer requests by mirrors and sources, and of their answers.
const STREAM_IDENTITY: &[u8] = b"Nats-Stream-Identity";

impl Request {
    /// CONSUMER.CREATE in its three forms.
    pub(super) async fn create_consumer(&self, e: &Endpoint<'_>, stream: &str) -> Answer {
        let mut request: CreateConsumerRequest = self.body(e)?;
        let form = match *e {
            Endpoint::ConsumerCreateNamed { consumer, filter, .. } => {
                CreateForm::Named { consumer, filter }
            }
            Endpoint::ConsumerDurableCreate { consumer, .. } => CreateForm::Durable { consumer },
            _ => CreateForm::Ephemeral,
        };
        consumer_change::check_request(&mut request, stream, form)?;
        let group = self.group(stream)?;
        if request.config.direct || request.config.sourcing {
            self.say_identity(group)?;
        }
        let (server, account) = self.limits();
        let existed = {
            let name = request.config.name.clone();
            self.on_stream(group, move |_, a| a.stream.consumer(&name).is_some()).await?
        };
        let done = self
            .change(group, move |s, token, cx| {
                s.create_consumer(request, server, account, token, cx);
            })
            .await?;
        let Completion::Consumer { name, info } = done else {
            return Err(error::consumer_create("the consumer was not created"));
        };
        let now = self.now();
        let wanted = name.clone();
        let mut doc = self
            .on_stream(group, move |_, a| {
                let c = a.stream.consumer(&wanted)?;
                Some(a.stream.consumer_document(c, &info, now))
            })
            .await?
            .ok_or_else(error::consumer_not_found)?;
        self.finish(&mut doc);
        if !existed {
            self.advise_consumer(stream, &name, action::CREATE);
        }
        Ok(e.answer(doc))
    }

    /// Tells a mirror or source which life of the stream it reads, and refuses
    /// one that expects another (2.15).
    fn say_identity(&self, group: u64) -> Result<(), ApiError> {
        let asset = self.js.assets.get(group).ok_or_else(error::stream_not_found)?;
        let identity = consumer_change::stream_identity(Time::from_nanos(asset.created));
        let expected = Headers::new(&self.message.headers).get(STREAM_IDENTITY);
        if expected.is_some_and(|e| !e.is_empty() && e != identity.as_bytes()) {
            return Err(error::consumer_stream_identity_mismatch(identity));
        }
        let _ = self
            .headers
            .set(format!("NATS/1.0\r\nNats-Stream-Identity: {identity}\r\n\r\n").into());
        Ok(())
    }

    fn finish(&self, doc: &mut ConsumerInfo) {
        if let Some(config) = &mut doc.config {
            stamp(&mut config.metadata);
        }
    }

    async fn document(&self, stream: &str, consumer: &str) -> Result<ConsumerInfo, ApiError> {
        let group = self.group(stream)?;
        let now = self.now();
        let name = consumer.to_owned();
        self.on_stream(group, move |_, a| {
            let interest = AccountInterest(&a.account);
            a.stream.consumer_info(&name, now, &interest)
        })
        .await?
        .ok_or_else(error::consumer_not_found)
    }

    /// CONSUMER.INFO.
    pub(super) async fn consumer_info(
        &self,
        e: &Endpoint<'_>,
        stream: &str,
        consumer: &str,
    ) -> Answer {
        self.body::<Nothing>(e)?;
        let mut doc = self.document(stream, consumer).await?;
        self.finish(&mut doc);
        Ok(e.answer(doc))
    }

    /// CONSUMER.NAMES.
    pub(super) async fn consumer_names(&self, e: &Endpoint<'_>, stream: &str) -> Answer {
        let r: OffsetRequest = self.body(e)?;
        let group = self.group(stream)?;
        let names = self
            .on_stream(group, |_, a| {
                let all = a.stream.consumers().filter(|c| is_public(c));
                all.map(|c| c.name().to_owned()).collect::<Vec<_>>()
            })
            .await?;
        let (page, part) = Page::cut(&names, r.offset, NAMES_LIMIT);
        Ok(e.answer(ConsumerNames { page, consumers: part.to_vec() }))
    }

    /// CONSUMER.LIST.
    pub(super) async fn consumer_list(&self, e: &Endpoint<'_>, stream: &str) -> Answer {
        let r: OffsetRequest = self.body(e)?;
        let group = self.group(stream)?;
        let now = self.now();
        let docs = self
            .on_stream(group, move |_, a| {
                let interest = AccountInterest(&a.account);
                a.stream
                    .consumers()
                    .filter(|c| is_public(c))
                    .map(|c| a.stream.consumer_document(c, &c.info(now, &interest), now))
                    .collect::<Vec<_>>()
            })
            .await?;
        let (page, part) = Page::cut(&docs, r.offset, LIST_LIMIT);
        let consumers = part.to_vec();
        Ok(e.answer(ConsumerList { page, consumers, ..ConsumerList::default() }))
    }

    /// CONSUMER.DELETE.
    pub(super) async fn delete_consumer(
        &self,
        e: &Endpoint<'_>,
        stream: &str,
        consumer: &str,
    ) -> Answer {
        self.body::<Nothing>(e)?;
        let group = self.group(stream)?;
        let name = consumer.to_owned();
        self.change(group, move |s, token, cx| s.delete_consumer(&name, token, cx)).await?;
        self.advise_consumer(stream, consumer, action::DELETE);
        Ok(e.answer(Success::YES))
    }

    /// CONSUMER.PAUSE.
    pub(super) async fn pause_consumer(
        &self,
        e: &Endpoint<'_>,
        stream: &str,
        consumer: &str,
    ) -> Answer {
        let r: PauseRequest = self.body(e)?;
        let group = self.group(stream)?;
        let until = (r.pause_until != Time::ZERO).then_some(r.pause_until);
        let name = consumer.to_owned();
        self.change(group, move |s, token, cx| s.pause_consumer(&name, until, token, cx)).await?;
        let doc = self.document(stream, consumer).await?;
        let pause_until = until.unwrap_or(Time::ZERO);
        Ok(e.answer(Paused {
            paused: doc.paused,
            pause_until,
            pause_remaining: doc.pause_remaining,
        }))
    }

    /// CONSUMER.UNPIN.
    pub(super) async fn unpin_consumer(
        &self,
        e: &Endpoint<'_>,
        stream: &str,
        consumer: &str,
    ) -> Answer {
        let r: UnpinRequest = self.body(e)?;
        let group = self.group(stream)?;
        if r.group.is_empty() {
            return Err(error::invalid_json("consumer group not specified"));
        }
        if !gust_jetstream::config::consumer_check::is_group_name(&r.group) {
            return Err(error::consumer_invalid_group_name());
        }
        let name = consumer.to_owned();
        self.change(group, move |s, token, cx| s.unpin_consumer(&name, &r.group, token, cx))
            .await?;
        Ok(e.answer(Nothing::default()))
    }

    /// CONSUMER.RESET; no answer when the consumer is missing.
    pub(super) async fn reset_consumer(
        &self,
        e: &Endpoint<'_>,
        stream: &str,
        consumer: &str,
    ) -> Option<Answer> {
        let group = self.group(stream).ok()?;
        self.document(stream, consumer).await.ok()?;
        let r: ResetRequest = match self.body(e) {
            Ok(r) => r,
            Err(err) => return Some(Err(err)),
        };
        let name = consumer.to_owned();
        let done =
            self.change(group, move |s, token, cx| s.reset_consumer(&name, r.seq, token, cx)).await;
        Some(match done {
            Err(err) => Err(err),
            Ok(Completion::Reset(reset_seq)) => match self.document(stream, consumer).await {
                Ok(mut info) => {
                    self.finish(&mut info);
                    Ok(e.answer(ConsumerReset { info: Some(info), reset_seq }))
                }
                Err(err) => Err(err),
            },
            Ok(_) => Err(error::consumer_not_found()),
        })
    }
}
