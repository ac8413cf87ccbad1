//! What surrounds a stream that is created or changed: the account's other
//! streams, limits and reservations.

use crate::account::AccountState;
use crate::jetstream::JetStream;
use crate::jetstream::assets::Asset;
use crate::server::Server;
use gust_config::options::accounts::JetStreamAccountLimits;
use gust_jetstream::config::{
    AccountLimits, Reserved, ServerLimits, StorageType, StreamConfig, Surroundings,
};
use gust_subject::overlaps;
use std::collections::BTreeMap;

/// The view of one account at one moment.
pub struct View {
    streams: Vec<Asset>,
    all: Vec<Asset>,
    account: AccountLimits,
    tiers: BTreeMap<String, JetStreamAccountLimits>,
    server: ServerLimits,
    max_memory: i64,
    max_storage: i64,
}

/// Limits of the server and of an account as the deciders want them.
pub fn limits(server: &Server, account: &AccountState) -> (ServerLimits, AccountLimits) {
    let o = server.options.load();
    let l = &o.jetstream.limits;
    let own = ServerLimits {
        duplicate_window: l.duplicate_window_ns,
        max_ack_pending: l.max_ack_pending,
        max_request_batch: l.max_request_batch,
        standalone: true,
    };
    let limits = account.jetstream.limits().map_or(AccountLimits::NONE, |a| of_account(&a));
    (own, limits)
}

/// Limits of an account, or of one of its tiers, as the deciders want them.
pub fn of_account(a: &JetStreamAccountLimits) -> AccountLimits {
    AccountLimits {
        max_memory: a.max_memory,
        max_storage: a.max_store,
        max_streams: a.max_streams,
        max_consumers: a.max_consumers,
        max_ack_pending: a.max_ack_pending,
        memory_max_stream_bytes: a.memory_max_stream_bytes,
        storage_max_stream_bytes: a.store_max_stream_bytes,
        max_bytes_required: a.max_bytes_required,
    }
}

/// The tier of streams with this many replicas.
pub fn tier(replicas: i64) -> String {
    format!("R{}", replicas.max(1))
}

impl View {
    /// Takes the view.
    pub fn new(server: &Server, js: &JetStream, account: &AccountState) -> Self {
        let (own, limits) = limits(server, account);
        Self {
            streams: js.assets.of_account(&account.name),
            all: js.assets.all(),
            account: limits,
            tiers: account.jetstream.tiers(),
            server: own,
            max_memory: js.limits.max_memory(),
            max_storage: js.limits.max_storage(),
        }
    }

    /// The streams that count towards the same limits as one with `replicas`.
    fn in_tier(&self, replicas: i64) -> impl Iterator<Item = &Asset> {
        let all = self.tiers.is_empty();
        self.streams.iter().filter(move |a| all || tier(a.config.num_replicas) == tier(replicas))
    }
}

fn reserve<'a>(
    streams: impl Iterator<Item = &'a Asset>,
    storage: StorageType,
    except: &str,
) -> i64 {
    streams
        .filter(|a| a.config.storage == storage && a.config.name != except)
        .map(|a| a.config.max_bytes.max(0))
        .fold(0, i64::saturating_add)
}

/// Bytes streams have reserved by `max_bytes`.
pub fn reserved(streams: &[Asset], storage: StorageType) -> i64 {
    reserve(streams.iter(), storage, "")
}

impl Surroundings for View {
    fn limits(&self, replicas: i64) -> Option<(AccountLimits, bool)> {
        if self.tiers.is_empty() {
            return Some((self.account.clone(), false));
        }
        Some((of_account(self.tiers.get(&tier(replicas))?), true))
    }

    fn server(&self) -> ServerLimits {
        self.server
    }

    fn reserved(&self, storage: StorageType, replicas: i64, except: &str) -> Reserved {
        let max = match storage {
            StorageType::Memory => self.max_memory,
            StorageType::File => self.max_storage,
        };
        Reserved {
            account: reserve(self.in_tier(replicas), storage, except),
            server: reserve(self.all.iter(), storage, ""),
            server_max: max,
        }
    }

    fn streams(&self, replicas: i64, except: &str) -> i64 {
        self.in_tier(replicas).filter(|a| a.config.name != except).count() as i64
    }

    fn stream(&self, name: &str) -> Option<&StreamConfig> {
        self.streams.iter().find(|a| a.config.name == name).map(|a| &*a.config)
    }

    fn subject_taken(&self, subject: &str, except: &str) -> bool {
        self.streams
            .iter()
            .filter(|a| a.config.name != except)
            .flat_map(|a| &a.config.subjects)
            .any(|s| overlaps(s.as_bytes(), subject.as_bytes()))
    }
}
