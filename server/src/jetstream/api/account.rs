//! INFO and ACCOUNT.PURGE.

use super::surroundings::{limits, of_account, reserved, tier};
use super::{Answer, Request};
use crate::account::AccountState;
use crate::jetstream::JetStream;
use crate::jetstream::store::shard_of;
use crate::server::{API_LEVEL, Server};
use gust_jetstream::api::info::ApiStats;
use gust_jetstream::api::info::TierInfo;
use gust_jetstream::api::response::AccountPurged;
use gust_jetstream::api::{AccountInfo, Endpoint};
use gust_jetstream::config::{AccountLimits, StorageType};
use gust_jetstream::stream::is_public;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Request {
    /// INFO.
    pub(super) async fn account_info(&self, e: &Endpoint<'_>) -> Answer {
        let mut totals = totals(self.server(), &self.js, &self.account).await;
        let tiers = self.account.jetstream.tiers();
        let tiers = tiers.iter().map(|(name, limits)| {
            // Without a cluster all there is counts towards one tier.
            let used = if *name == tier(1) { totals.clone() } else { TierInfo::default() };
            (name.clone(), TierInfo { limits: of_account(limits), ..used })
        });
        let tiers: BTreeMap<_, _> = tiers.collect();
        if !tiers.is_empty() {
            totals.limits = AccountLimits::default();
        }
        Ok(e.answer(AccountInfo {
            totals,
            domain: self.js.domain.clone(),
            api: api_stats(&self.account),
            tiers,
        }))
    }

    /// ACCOUNT.PURGE: deletes every stream of an account.
    pub(super) async fn purge_account(&self, e: &Endpoint<'_>, account: &str) -> Answer {
        let _guard = self.js.assets.changing.lock().await;
        for asset in self.js.assets.of_account(account) {
            if let Err(err) = self.drop_stream(asset.group).await {
                tracing::error!(
                    "JetStream: purging account {account}: stream {}: {}",
                    asset.config.name,
                    err.description
                );
            }
        }
        Ok(e.answer(AccountPurged { initiated: true }))
    }
}

/// Use of the API by an account.
pub fn api_stats(account: &AccountState) -> ApiStats {
    ApiStats {
        level: API_LEVEL as u32,
        total: account.jetstream.api_total.load(Relaxed),
        errors: account.jetstream.api_errors.load(Relaxed),
        inflight: 0,
    }
}

/// What an account uses and may use.
pub async fn totals(server: &Arc<Server>, js: &JetStream, account: &AccountState) -> TierInfo {
    let streams = js.assets.of_account(&account.name);
    let mut consumers = 0;
    for shard in 0..server.shard_count() {
        let groups: Vec<u64> =
            streams.iter().map(|a| a.group).filter(|g| shard_of(server, *g) == shard).collect();
        if groups.is_empty() {
            continue;
        }
        let n = server.call(shard, move |s| {
            let engine = s.engine.borrow();
            let found = groups.iter().filter_map(|g| engine.get(*g));
            found.map(|a| a.stream.consumers().filter(|c| is_public(c)).count() as i64).sum::<i64>()
        });
        consumers += n.await.unwrap_or(0);
    }
    let use_ = &account.jetstream;
    TierInfo {
        memory: use_.memory.load(Relaxed).max(0) as u64,
        storage: use_.storage.load(Relaxed).max(0) as u64,
        reserved_memory: reserved(&streams, StorageType::Memory) as u64,
        reserved_storage: reserved(&streams, StorageType::File) as u64,
        streams: streams.len() as i64,
        consumers,
        limits: limits(server, account).1,
    }
}
