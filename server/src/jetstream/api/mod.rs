//! The JetStream API: requests on `$JS.API.>` (contract/jetstream.md §1).
//!
//! A request is answered by a task on the shard its client is connected to; what
//! concerns one stream is done on the shard that owns it. Every good answer to a
//! change is sent after the change is committed and synced.

use super::JetStream;
use super::actor::{Actor, CallResult};
use super::store::shard_of;
use crate::account::AccountState;
use crate::client::Client;
use crate::clock;
use crate::route::{Message, OwnedMessage};
use crate::server::{COMPATIBLE, Server};
use crate::shard::Shard;
use bytes::{Bytes, BytesMut};
use gust_jetstream::api::{Endpoint, Route};
use gust_jetstream::config::level;
use gust_jetstream::error::{self, ApiError};
use gust_jetstream::json::{JsonRead, Strictness};
use gust_jetstream::stream::{Cx, Stream, Token};
use gust_wire::headers::Headers;
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::oneshot;

mod account;
mod advise;
mod consumer;
mod restore;
mod snapshot;
mod stream;
mod surroundings;

pub use account::api_stats;
pub use surroundings::reserved;

/// Requests answered at once on the server; beyond it they are dropped
/// unanswered, as nats-server does with a full queue.
const MAX_INFLIGHT: u64 = 10_000;

/// One request with what it may use.
#[derive(Clone)]
pub struct Request {
    /// Shard of the client.
    pub shard: Rc<Shard>,
    /// JetStream of this server.
    pub js: Arc<JetStream>,
    /// Account of the client.
    pub account: Arc<AccountState>,
    /// The message.
    pub message: OwnedMessage,
    /// Who asks; `None`: the server itself.
    pub client: Option<Arc<Client>>,
    /// Headers of a good answer, if it is to have some.
    pub headers: OnceCell<Bytes>,
}

/// What an endpoint gives: the document, or the error to be told.
pub type Answer = Result<Bytes, ApiError>;

/// Takes a request. False: it counts as not delivered (503 if nobody else
/// listens).
pub fn request(
    shard: &Rc<Shard>,
    account: &Arc<AccountState>,
    message: OwnedMessage,
    client: Option<Arc<Client>>,
) -> bool {
    match Route::parse(&message.subject) {
        // Consumers and streams that exist have subscriptions of their own.
        None
        | Some(Route::NoResponders)
        | Some(Route::Endpoint(Endpoint::MsgNext { .. } | Endpoint::DirectGet { .. })) => {
            return false;
        }
        Some(Route::Silent) => return true,
        Some(Route::Endpoint(_)) => {}
    }
    let Some(js) = shard.server.jetstream.get() else { return false };
    if js.inflight.fetch_add(1, Relaxed) >= MAX_INFLIGHT {
        js.inflight.fetch_sub(1, Relaxed);
        tracing::warn!("JetStream API: {MAX_INFLIGHT} requests wait, one is dropped");
        return true;
    }
    let r = Request {
        shard: shard.clone(),
        js,
        account: account.clone(),
        message,
        client,
        headers: OnceCell::new(),
    };
    tokio::task::spawn_local(async move {
        r.serve().await;
        r.js.inflight.fetch_sub(1, Relaxed);
    });
    true
}

/// Tells a publisher that the stream's shard is busy (10167).
pub fn refuse_busy(shard: &Shard, account: &Arc<AccountState>, reply: &[u8]) {
    if reply.is_empty() {
        return;
    }
    let mut body = BytesMut::new();
    gust_jetstream::api::pub_ack_error(&mut body, "", "", &error::stream_too_many_requests());
    let headers = b"NATS/1.0 429 Too Many Requests\r\n\r\n";
    shard.publish(account, reply, &Message::new(reply, b"", headers, &body), b"");
}

impl Request {
    async fn serve(&self) {
        let subject = self.message.subject.clone();
        let Some(endpoint) = Endpoint::parse(&subject) else { return };
        let Some(result) = self.dispatch(&endpoint).await else { return };
        let counted = endpoint.counted(result.is_ok());
        if counted {
            self.account.jetstream.api_total.fetch_add(1, Relaxed);
        }
        let mut headers: &[u8] = b"";
        let body = match result {
            Ok(body) => {
                headers = self.headers.get().map_or(b"", |h| h);
                body
            }
            Err(e) => {
                if counted {
                    self.account.jetstream.api_errors.fetch_add(1, Relaxed);
                }
                endpoint.answer_error(e)
            }
        };
        self.answer(headers, &body);
        if counted {
            self.audit(&body);
        }
    }

    /// Sends a document to the requester.
    pub fn answer(&self, headers: &[u8], body: &[u8]) {
        let reply = &self.message.reply;
        if !reply.is_empty() {
            self.shard.publish(&self.account, reply, &Message::new(reply, b"", headers, body), b"");
        }
    }

    /// `None`: no answer at all.
    async fn dispatch(&self, e: &Endpoint<'_>) -> Option<Answer> {
        let system = self.server().is_system(&self.account);
        if e.system_only() {
            return match e {
                Endpoint::AccountPurge { account } if system => {
                    Some(self.purge_account(e, account).await)
                }
                // Silent on a single server, and for user accounts.
                _ => None,
            };
        }
        if self.account.jetstream.limits().is_none() {
            return Some(Err(error::not_enabled_for_account()));
        }
        let level = Headers::new(&self.message.headers).get(b"Nats-Required-Api-Level");
        if !level::request_supported(level) {
            return Some(Err(error::required_api_level()));
        }
        if e.needs_cluster() {
            return Some(Err(error::cluster_required()));
        }
        Some(match e {
            Endpoint::AccountInfo {} => self.account_info(e).await,
            Endpoint::StreamCreate { stream } => self.create_stream(e, stream).await,
            Endpoint::StreamUpdate { stream } => self.update_stream(e, stream).await,
            Endpoint::StreamNames {} => self.stream_names(e),
            Endpoint::StreamList {} => self.stream_list(e).await,
            Endpoint::StreamInfo { stream } => self.stream_info(e, stream).await,
            Endpoint::StreamDelete { stream } => self.delete_stream(e, stream).await,
            Endpoint::StreamPurge { stream } => self.purge_stream(e, stream).await,
            Endpoint::StreamSnapshot { stream } => self.snapshot_stream(e, stream).await,
            Endpoint::StreamRestore { stream } => self.restore_stream(e, stream).await,
            Endpoint::MsgGet { stream } => self.get_message(e, stream).await,
            Endpoint::MsgDelete { stream } => self.delete_message(e, stream).await,
            Endpoint::ConsumerCreate { stream }
            | Endpoint::ConsumerCreateNamed { stream, .. }
            | Endpoint::ConsumerDurableCreate { stream, .. } => {
                self.create_consumer(e, stream).await
            }
            Endpoint::ConsumerNames { stream } => self.consumer_names(e, stream).await,
            Endpoint::ConsumerList { stream } => self.consumer_list(e, stream).await,
            Endpoint::ConsumerInfo { stream, consumer } => {
                self.consumer_info(e, stream, consumer).await
            }
            Endpoint::ConsumerDelete { stream, consumer } => {
                self.delete_consumer(e, stream, consumer).await
            }
            Endpoint::ConsumerPause { stream, consumer } => {
                self.pause_consumer(e, stream, consumer).await
            }
            Endpoint::ConsumerUnpin { stream, consumer } => {
                self.unpin_consumer(e, stream, consumer).await
            }
            Endpoint::ConsumerReset { stream, consumer } => {
                return self.reset_consumer(e, stream, consumer).await;
            }
            _ => return None,
        })
    }

    /// The server.
    pub fn server(&self) -> &Arc<Server> {
        &self.shard.server
    }

    /// Reads the body by the endpoint's rule.
    pub fn body<T: JsonRead + Default>(&self, e: &Endpoint<'_>) -> Result<T, ApiError> {
        let strictness = if self.js.strict { Strictness::Strict } else { Strictness::Lenient };
        e.read_body(&self.message.payload, strictness)
    }

    /// Group of a stream of this account.
    pub fn group(&self, stream: &str) -> Result<u64, ApiError> {
        let asset = self.js.assets.find(&self.account.name, stream);
        asset.map(|a| a.group).ok_or_else(error::stream_not_found)
    }

    /// Runs `f` where the stream lives.
    pub async fn on_stream<T: Send + 'static>(
        &self,
        group: u64,
        f: impl FnOnce(&Shard, &mut Actor) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let server = self.server();
        let found = server
            .call(shard_of(server, group), move |s| {
                let mut engine = s.engine.borrow_mut();
                engine.get_mut(group).map(|actor| f(s, actor))
            })
            .await;
        found.flatten().ok_or_else(error::stream_not_found)
    }

    /// Changes a stream through its log; returns when it is committed.
    pub async fn change(
        &self,
        group: u64,
        f: impl FnOnce(&mut Stream, Token, &mut Cx<'_>) + Send + 'static,
    ) -> CallResult {
        let (tx, rx) = oneshot::channel();
        self.on_stream(group, move |shard, actor| actor.call(shard, tx, f)).await?;
        rx.await.unwrap_or_else(|_| Err(error::cluster_not_avail()))
    }

    /// What the account and the server may use.
    pub fn limits(
        &self,
    ) -> (gust_jetstream::config::ServerLimits, gust_jetstream::config::AccountLimits) {
        surroundings::limits(self.server(), &self.account)
    }

    /// Now, ns.
    pub fn now(&self) -> i64 {
        clock::now()
    }
}

/// The server's version, as answers carry it in metadata.
pub fn stamp(metadata: &mut std::collections::BTreeMap<String, String>) {
    level::stamp_answer(metadata, COMPATIBLE);
}
