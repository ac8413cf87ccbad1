//! Answers: the envelope and the bodies (contract/jetstream.md §0, §1.2).

use super::info::{ConsumerInfo, StreamInfo, StreamState};
use super::subject::Endpoint;
use crate::config::StreamConfig;
use crate::effect::Nanos;
use crate::error::ApiError;
use crate::json::{Base64, JsonFields, Nullable, json_struct, to_bytes};
use crate::time::Time;
use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::BTreeMap;

/// An answer: its type, an error if there is one, then the members of `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<T> {
    /// See [`Endpoint::response_type`].
    pub kind: &'static str,
    /// Set when the request failed.
    pub error: Option<ApiError>,
    /// The rest; a default one beside an error.
    pub body: T,
}

impl<T> Response<T> {
    /// A good answer.
    pub fn ok(kind: &'static str, body: T) -> Self {
        Response { kind, error: None, body }
    }
}

impl<T: JsonFields> Serialize for Response<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("type", self.kind)?;
        if let Some(error) = &self.error {
            map.serialize_entry("error", error)?;
        }
        self.body.write_fields(&mut map)?;
        map.end()
    }
}

impl Endpoint<'_> {
    /// A good answer as it goes out.
    pub fn answer<T: JsonFields>(&self, body: T) -> Bytes {
        to_bytes(&Response::ok(self.response_type(), body))
    }

    /// The answer to a request that failed: members that are always shown are
    /// there with their zeros.
    pub fn answer_error(&self, error: ApiError) -> Bytes {
        use Endpoint as E;
        let kind = self.response_type();
        fn with<T: JsonFields + Default>(kind: &'static str, error: ApiError) -> Bytes {
            to_bytes(&Response { kind, error: Some(error), body: T::default() })
        }
        match self {
            E::StreamNames {} => with::<StreamNames>(kind, error),
            // A list that was never filled is null, an empty page is [].
            E::StreamList {} => with::<FailedStreamList>(kind, error),
            E::StreamInfo { .. } => with::<StreamInfoBody>(kind, error),
            E::StreamPurge { .. } => with::<Purged>(kind, error),
            E::StreamRestore { .. } => with::<Restore>(kind, error),
            E::ConsumerNames { .. } => with::<ConsumerNames>(kind, error),
            E::ConsumerList { .. } => with::<ConsumerList>(kind, error),
            E::ConsumerPause { .. } => with::<Paused>(kind, error),
            E::ConsumerReset { .. } => with::<ConsumerReset>(kind, error),
            _ => with::<Nothing>(kind, error),
        }
    }
}

/// The answer for what is no endpoint of the account: `system_response`.
pub fn system_error(error: ApiError) -> Bytes {
    let kind = "io.nats.jetstream.api.v1.system_response";
    to_bytes(&Response { kind, error: Some(error), body: Nothing::default() })
}

json_struct! {
    /// No members.
    pub struct Nothing("ApiResponse") {}
}

json_struct! {
    /// `success` only.
    pub struct Success("ApiResponse") {
        /// It was done.
        success: bool = "success" omit,
    }
}

impl Success {
    /// It was done.
    pub const YES: Success = Success { success: true };
}

json_struct! {
    /// Where a page is.
    pub struct Page("ApiPaged") {
        /// Entries in all.
        total: i64 = "total",
        /// Entries before this page.
        offset: i64 = "offset",
        /// Most entries of a page.
        limit: i64 = "limit",
    }
}

impl Page {
    /// Cuts a page out of `all`: the page and its place. `offset` beyond the
    /// end is the end.
    pub fn cut<T>(all: &[T], offset: i64, limit: usize) -> (Page, &[T]) {
        let from = usize::try_from(offset).unwrap_or(0).min(all.len());
        let to = all.len().min(from.saturating_add(limit));
        let page = Page { total: all.len() as i64, offset: from as i64, limit: limit as i64 };
        (page, all.get(from..to).unwrap_or_default())
    }
}

json_struct! {
    /// STREAM.CREATE, and the final answer of a restore.
    pub struct StreamCreated("JSApiStreamCreateResponse") {
        /// The stream.
        info: Option<StreamInfo> = flatten,
        /// Always true in good answers.
        did_create: bool = "did_create" omit,
    }
}

json_struct! {
    /// STREAM.INFO.
    pub struct StreamInfoBody("JSApiStreamInfoResponse") {
        /// Page of the subjects.
        page: Page = flatten,
        /// The stream.
        info: Option<StreamInfo> = flatten,
    }
}

json_struct! {
    /// STREAM.NAMES.
    pub struct StreamNames("JSApiStreamNamesResponse") {
        /// Where the page is.
        page: Page = flatten,
        /// Names, sorted.
        streams: Nullable<String> = "streams",
    }
}

json_struct! {
    /// STREAM.LIST.
    pub struct StreamList("JSApiStreamListResponse") {
        /// Where the page is.
        page: Page = flatten,
        /// Streams, sorted by name.
        streams: Vec<StreamInfo> = "streams",
        /// Streams that did not answer.
        missing: Vec<String> = "missing" omit,
        /// Streams that cannot run here, and why.
        offline: BTreeMap<String, String> = "offline" omit,
    }
}

json_struct! {
    /// STREAM.LIST, failed.
    pub struct FailedStreamList("JSApiStreamListResponse") {
        /// Zeros.
        page: Page = flatten,
        /// null.
        streams: Nullable<String> = "streams",
    }
}

json_struct! {
    /// CONSUMER.NAMES.
    pub struct ConsumerNames("JSApiConsumerNamesResponse") {
        /// Where the page is.
        page: Page = flatten,
        /// Names, sorted.
        consumers: Vec<String> = "consumers",
    }
}

json_struct! {
    /// CONSUMER.LIST.
    pub struct ConsumerList("JSApiConsumerListResponse") {
        /// Where the page is.
        page: Page = flatten,
        /// Consumers, sorted by name.
        consumers: Vec<ConsumerInfo> = "consumers",
        /// Consumers that did not answer.
        missing: Vec<String> = "missing" omit,
        /// Consumers that cannot run here, and why.
        offline: BTreeMap<String, String> = "offline" omit,
    }
}

json_struct! {
    /// STREAM.PURGE.
    pub struct Purged("JSApiStreamPurgeResponse") {
        /// It was done.
        success: bool = "success" omit,
        /// Messages removed.
        purged: u64 = "purged",
    }
}

json_struct! {
    /// A message as STREAM.MSG.GET shows it.
    pub struct StoredMsg("StoredMsg") {
        /// Subject.
        subject: String = "subject",
        /// Sequence.
        seq: u64 = "seq",
        /// Raw header block.
        hdrs: Base64 = "hdrs" omit,
        /// Payload.
        data: Base64 = "data" omit,
        /// When it was stored.
        time: Time = "time",
    }
}

json_struct! {
    /// STREAM.MSG.GET.
    pub struct MsgGot("JSApiMsgGetResponse") {
        /// The message.
        message: Option<StoredMsg> = "message" omit,
    }
}

json_struct! {
    /// STREAM.SNAPSHOT.
    pub struct Snapshot("JSApiStreamSnapshotResponse") {
        /// The stream.
        config: Option<StreamConfig> = "config" omit,
        /// What it holds.
        state: Option<StreamState> = "state" omit,
    }
}

json_struct! {
    /// STREAM.RESTORE.
    pub struct Restore("JSApiStreamRestoreResponse") {
        /// Where the chunks are to be sent.
        deliver_subject: String = "deliver_subject",
    }
}

json_struct! {
    /// CONSUMER.PAUSE.
    pub struct Paused("JSApiConsumerPauseResponse") {
        /// It is paused now.
        paused: bool = "paused",
        /// Until when.
        pause_until: Time = "pause_until",
        /// For how long, ns.
        pause_remaining: Nanos = "pause_remaining" omit,
    }
}

json_struct! {
    /// CONSUMER.RESET.
    pub struct ConsumerReset("JSApiConsumerResetResponse") {
        /// The consumer.
        info: Option<ConsumerInfo> = flatten,
        /// Where it continues.
        reset_seq: u64 = "reset_seq",
    }
}

json_struct! {
    /// ACCOUNT.PURGE.
    pub struct AccountPurged("JSApiAccountPurgeResponse") {
        /// It is being done.
        initiated: bool = "initiated" omit,
    }
}
