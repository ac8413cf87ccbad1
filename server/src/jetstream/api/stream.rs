//! STREAM.* endpoints.

use super::surroundings::View;
use super::{Answer, Request, stamp};
use crate::jetstream::actor::Actor;
use crate::jetstream::assets::{Asset, AssetChange, AssetRecord, META_GROUP, config_text};
use crate::jetstream::store;
use crate::shard::Shard;
use bytes::Bytes;
use gust_jetstream::api::Endpoint;
use gust_jetstream::api::advisory::action;
use gust_jetstream::api::info::{ClusterInfo, StreamInfo};
use gust_jetstream::api::request::{
    LIST_LIMIT, ListRequest, MsgDeleteRequest, MsgGetRequest, NAMES_LIMIT, PurgeRequest,
    SUBJECT_DETAILS_LIMIT, StreamInfoRequest,
};
use gust_jetstream::api::response::{
    MsgGot, Nothing, Page, Purged, StreamCreated, StreamInfoBody, StreamList, StreamNames, Success,
};
use gust_jetstream::config::stream_change::{self, StreamCreate};
use gust_jetstream::config::{StorageType, StreamConfig, StreamConfigRequest};
use gust_jetstream::consumer::Stop;
use gust_jetstream::error::{self, ApiError};
use gust_jetstream::json::Nullable;
use gust_jetstream::stream::{Completion, Purge, Stream};
use gust_raft::{Group, Restored};
use gust_storage::wal::WalRecord;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::oneshot;

impl Request {
    /// STREAM.CREATE.
    pub(super) async fn create_stream(&self, e: &Endpoint<'_>, name: &str) -> Answer {
        let request: StreamConfigRequest = self.body(e)?;
        let guard = self.changing().await?;
        let view = View::new(self.server(), &self.js, &self.account);
        let group = match stream_change::create(&request, name, &view)? {
            StreamCreate::Same => self.group(name)?,
            StreamCreate::New(config) => {
                let group = self.make_stream(*config).await?;
                self.advise_stream(name, action::CREATE);
                group
            }
        };
        drop(guard);
        let mut info = self.info_of(group, false).await?;
        info.domain.clear();
        stamp(&mut info.config.metadata);
        Ok(e.answer(StreamCreated { info: Some(info), did_create: true }))
    }

    /// The registry, locked for something new; not while JetStream is turned off.
    pub(super) async fn changing(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, ApiError> {
        let guard = self.js.assets.changing.lock().await;
        if self.js.stopped.load(Relaxed) { Err(error::not_enabled()) } else { Ok(guard) }
    }

    /// Makes a stream that was decided on; the registry is locked by the caller.
    pub(super) async fn make_stream(&self, config: StreamConfig) -> Result<u64, ApiError> {
        let (group, index) = self.js.assets.reserve();
        let record = AssetRecord {
            account: self.account.name.clone(),
            group,
            created: self.now(),
            config: config_text(&config),
        };
        let (disk, domain) = (self.js.disk.clone(), self.js.domain.clone());
        let made = {
            let (record, config) = (record.clone(), config.clone());
            tokio::task::spawn_blocking(move || store::create(&disk, &domain, &record, &config))
        };
        let stream = made
            .await
            .unwrap_or_else(|_| Err("creating the store failed".to_owned()))
            .map_err(error::stream_create)?;
        self.start_stream(stream, record, config, index).await?;
        Ok(group)
    }

    /// Records a stream that has its store and hands it to its shard; the
    /// registry is locked by the caller.
    pub(super) async fn start_stream(
        &self,
        stream: Stream,
        record: AssetRecord,
        config: StreamConfig,
        index: u64,
    ) -> Result<(), ApiError> {
        let group = record.group;
        let memory = config.storage == StorageType::Memory;
        let (created, account) = (record.created, record.account.clone());
        if !memory {
            self.log(index, &AssetChange::Created(record)).await?;
        }
        let raft = Group::single(group, Restored::default())
            .map_err(|e| error::stream_create(e.to_string()))?;
        self.js.assets.put(Asset { account, group, created, config: Arc::new(config) });
        let actor = Actor::new(stream, raft, self.account.clone(), memory);
        let server = self.server();
        let (tx, rx) = oneshot::channel();
        server
            .call(store::shard_of(server, group), move |s| {
                let mut engine = s.engine.borrow_mut();
                engine.insert(s, actor);
                if let Some(a) = engine.get_mut(group) {
                    a.when_leading(tx);
                }
            })
            .await;
        // Publishes may come right after the answer: it waits for the leader.
        let _ = rx.await;
        Ok(())
    }

    /// Logs a change of the registry; returns when it is durable.
    pub(super) async fn log(&self, index: u64, change: &AssetChange) -> Result<(), ApiError> {
        let (tx, rx) = oneshot::channel();
        let entry =
            WalRecord::Entry { group: META_GROUP, term: 1, index, kind: 0, data: change.encode() };
        self.js.lane.write(
            vec![entry],
            Box::new(move |lsn| {
                let _ = tx.send(lsn);
            }),
        );
        let lsn = rx.await.map_err(|_| error::not_enabled())?;
        self.js.assets.logged(lsn);
        Ok(())
    }

    /// STREAM.UPDATE.
    pub(super) async fn update_stream(&self, e: &Endpoint<'_>, name: &str) -> Answer {
        let request: StreamConfigRequest = self.body(e)?;
        let _guard = self.js.assets.changing.lock().await;
        let group = self.group(name).map(Some).or_else(|err| {
            // The configuration is judged before its stream is looked for.
            if request.config.name.is_empty() { Err(err) } else { Ok(None) }
        })?;
        let view = View::new(self.server(), &self.js, &self.account);
        let consumers = match group {
            Some(g) => {
                self.on_stream(g, |_, a| {
                    a.stream.consumers().map(|c| c.config().clone()).collect::<Vec<_>>()
                })
                .await?
            }
            None => Vec::new(),
        };
        let config = stream_change::update(&request, name, consumers.iter(), &view)?;
        let group = group.ok_or_else(error::stream_not_found)?;
        let new = config.clone();
        self.change(group, move |s, token, cx| s.update_config(new, token, cx)).await?;
        if config.storage == StorageType::File {
            let change = AssetChange::Updated { group, config: config_text(&config) };
            self.log(self.js.assets.next_index(), &change).await?;
        }
        self.js.assets.update(group, Arc::new(config));
        let mut info = self.info_of(group, false).await?;
        stamp(&mut info.config.metadata);
        self.advise_stream(name, action::MODIFY);
        Ok(e.answer(StreamCreated { info: Some(info), did_create: false }))
    }

    /// STREAM.DELETE.
    pub(super) async fn delete_stream(&self, e: &Endpoint<'_>, name: &str) -> Answer {
        self.body::<Nothing>(e)?;
        let _guard = self.js.assets.changing.lock().await;
        let group = self.group(name)?;
        self.drop_stream(group).await?;
        self.advise_stream(name, action::DELETE);
        Ok(e.answer(Success::YES))
    }

    /// Deletes a stream: recorded first, then it stops, then its files go.
    pub(super) async fn drop_stream(&self, group: u64) -> Result<(), ApiError> {
        let asset = self.js.assets.get(group).ok_or_else(error::stream_not_found)?;
        let file = asset.config.storage == StorageType::File;
        if file {
            let change = AssetChange::Deleted { group };
            self.log(self.js.assets.next_index(), &change).await?;
        }
        self.js.assets.remove(group);
        let server = self.server();
        server
            .call(store::shard_of(server, group), move |s| {
                let mut engine = s.engine.borrow_mut();
                if let Some(a) = engine.get_mut(group) {
                    a.with_cx(s, |stream, cx| stream.stop(Stop::Deleted, cx));
                }
                drop(engine.remove(s, group));
            })
            .await;
        self.js.lane.release(group);
        if file {
            let disk = self.js.disk.clone();
            let (account, name) = (asset.account, asset.config.name.clone());
            self.js.checkpointer.run(Box::new(move || {
                store::remove_named(&*disk, &account, &name, group);
            }));
        }
        Ok(())
    }

    /// StreamInfo of a stream, from the shard that owns it.
    pub(super) async fn info_of(&self, group: u64, deleted: bool) -> Result<StreamInfo, ApiError> {
        let now = self.now();
        self.on_stream(group, move |_, a| a.stream.info(now, deleted)).await
    }

    /// STREAM.INFO.
    pub(super) async fn stream_info(&self, e: &Endpoint<'_>, name: &str) -> Answer {
        let r: StreamInfoRequest = self.body(e)?;
        let group = self.group(name)?;
        let now = self.now();
        let mut page = Page::default();
        let filter = r.subjects_filter.clone();
        let (mut info, subjects) = self
            .on_stream(group, move |_, a| {
                let info = a.stream.info(now, r.deleted_details);
                let subjects =
                    (!filter.is_empty()).then(|| a.stream.subjects(filter.as_bytes(), usize::MAX));
                (info, subjects)
            })
            .await?;
        if let Some(found) = subjects {
            let found = found.map_err(|err| error::stream_general(err.to_string()))?;
            let all: Vec<(Bytes, u64)> = found.into_iter().map(|(s, t)| (s, t.msgs)).collect();
            if !all.is_empty() {
                let (p, part) = Page::cut(&all, r.offset, SUBJECT_DETAILS_LIMIT);
                page = p;
                info.state.subjects = part
                    .iter()
                    .map(|(s, n)| (String::from_utf8_lossy(s).into_owned(), *n))
                    .collect();
            }
        }
        info.cluster =
            Some(ClusterInfo { leader: self.server().name.clone(), ..ClusterInfo::default() });
        stamp(&mut info.config.metadata);
        Ok(e.answer(StreamInfoBody { page, info: Some(info) }))
    }

    fn selected(&self, subject: &str) -> Vec<Asset> {
        let mut all = self.js.assets.of_account(&self.account.name);
        if !subject.is_empty() {
            all.retain(|a| {
                a.config
                    .subjects
                    .iter()
                    .any(|s| gust_subject::overlaps(s.as_bytes(), subject.as_bytes()))
            });
        }
        all
    }

    /// STREAM.NAMES.
    pub(super) fn stream_names(&self, e: &Endpoint<'_>) -> Answer {
        let r: ListRequest = self.body(e)?;
        let names: Vec<String> =
            self.selected(&r.subject).iter().map(|a| a.config.name.clone()).collect();
        let (page, part) = Page::cut(&names, r.offset, NAMES_LIMIT);
        Ok(e.answer(StreamNames { page, streams: Nullable(part.to_vec()) }))
    }

    /// STREAM.LIST.
    pub(super) async fn stream_list(&self, e: &Endpoint<'_>) -> Answer {
        let r: ListRequest = self.body(e)?;
        let all = self.selected(&r.subject);
        let (page, part) = Page::cut(&all, r.offset, LIST_LIMIT);
        let mut streams = Vec::with_capacity(part.len());
        for asset in part {
            // One that is deleted meanwhile is left out.
            if let Ok(info) = self.info_of(asset.group, false).await {
                streams.push(info);
            }
        }
        Ok(e.answer(StreamList { page, streams, ..StreamList::default() }))
    }

    /// STREAM.PURGE.
    pub(super) async fn purge_stream(&self, e: &Endpoint<'_>, name: &str) -> Answer {
        let r: PurgeRequest = self.body(e)?;
        let group = self.group(name)?;
        if r.seq > 0 && r.keep > 0 {
            return Err(error::bad_request());
        }
        let purge = Purge { filter: Bytes::from(r.filter), seq: r.seq, keep: r.keep };
        match self.change(group, move |s, token, _| s.purge(&purge, token)).await? {
            Completion::Purged(n) => Ok(e.answer(Purged { success: true, purged: n })),
            _ => Ok(e.answer(Purged { success: true, purged: 0 })),
        }
    }

    /// STREAM.MSG.GET.
    pub(super) async fn get_message(&self, e: &Endpoint<'_>, name: &str) -> Answer {
        let r: MsgGetRequest = self.body(e)?;
        let group = self.group(name)?;
        let got = self.on_stream(group, move |_: &Shard, a| a.stream.msg_get(&r)).await??;
        Ok(e.answer(MsgGot { message: Some(got) }))
    }

    /// STREAM.MSG.DELETE.
    pub(super) async fn delete_message(&self, e: &Endpoint<'_>, name: &str) -> Answer {
        let r: MsgDeleteRequest = self.body(e)?;
        let group = self.group(name)?;
        self.change(group, move |s, token, _| s.delete_msg(r.seq, r.no_erase, token)).await?;
        Ok(e.answer(Success::YES))
    }
}
