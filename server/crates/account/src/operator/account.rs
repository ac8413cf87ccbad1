//! Accounts made from their tokens.

use crate::account::Account;
use crate::exchange::{Access, ExchangeKind, ExportRule, ImportRule, Latency, ResponseType};
use crate::jwt::{self, AccountClaims, Kind, NO_LIMIT, Scope};
use crate::permissions::{Permissions, PermissionsError};
use gust_config::options::accounts::{AccountLimits, JetStreamAccountLimits, MessageTrace};
use gust_config::options::permissions as config;
use gust_subject::Mappings;
use gust_subject::transform::Destination;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The tier of streams with one replica, all there are without a cluster.
const SINGLE: &str = "R1";

/// What an account's token says besides what all accounts have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountToken {
    /// The claims.
    pub claims: AccountClaims,
    /// The token, for monitoring and resolvers.
    pub jwt: Arc<str>,
    /// JetStream limits by tier (`R1`, `R3`); empty if it is not tiered.
    pub tiers: BTreeMap<String, JetStreamAccountLimits>,
    /// Keys that sign its users: its own, unless its operator is strict, and its
    /// signing keys with their scopes.
    pub(crate) signing_keys: BTreeMap<String, Option<Arc<Scope>>>,
    /// For users without permissions of their own.
    pub(crate) default_permissions: Option<SharedPermissions>,
    /// What of the claims is not in force, and why: mappings that are none. Like
    /// in nats-server the account lives on without them.
    pub ignored: Vec<String>,
}

/// Permissions that are the same if they were written the same.
#[derive(Debug, Clone)]
pub(crate) struct SharedPermissions(pub(crate) Arc<Permissions>);

impl PartialEq for SharedPermissions {
    fn eq(&self, other: &Self) -> bool {
        self.0.source() == other.0.source()
    }
}

impl Eq for SharedPermissions {}

impl AccountToken {
    /// Whether it has expired at `now` (seconds since the epoch).
    #[must_use]
    pub fn is_expired(&self, now: i64) -> bool {
        self.claims.is_expired(now)
    }
}

/// Why claims make no account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountTokenError {
    /// It is no account's token.
    #[error("the JWT is not valid: {0}; issue it again")]
    Token(#[from] jwt::TokenError),
    /// It says what it may not say.
    #[error("the JWT is not valid: {0}; correct the account and push it again")]
    Claims(#[from] jwt::ClaimsError),
    /// It is another account's.
    #[error("the JWT is of account {got}, not of {want}; push the right one")]
    OtherAccount {
        /// Which was wanted.
        want: String,
        /// Which it is.
        got: String,
    },
    /// It belongs to somebody else.
    #[error("the JWT is signed by {issuer}, which is no trusted operator key")]
    NotTrusted {
        /// Who signed it.
        issuer: String,
    },
    /// Its default permissions are none.
    #[error("default permissions: {0}")]
    Permissions(#[from] PermissionsError),
    /// This server has no operator.
    #[error("accounts come from JWTs only in operator mode; configure an operator")]
    NoOperator,
}

/// The account of checked claims. `strict`: its own key does not sign users.
pub(super) fn account(
    claims: AccountClaims,
    token: &str,
    strict: bool,
    is_system: bool,
) -> Result<Account, AccountTokenError> {
    let nats = &claims.nats;
    let limit = |n: i64| (n >= 0).then_some(n);
    let limits = AccountLimits {
        max_connections: limit(nats.limits.conn),
        max_subscriptions: limit(nats.limits.subs),
        max_payload: limit(nats.limits.payload),
        max_leafnodes: limit(nats.limits.leaf),
    };
    let tiers: BTreeMap<_, _> =
        nats.limits.tiered_limits.iter().map(|(name, l)| (name.clone(), jetstream(l))).collect();
    let message_trace = nats.trace.as_ref().map(|trace| MessageTrace {
        dest: trace.destination.clone(),
        sampling: u8::try_from(trace.sampling).ok().filter(|n| *n > 0).unwrap_or(100),
    });
    let (mappings, ignored) = mappings(nats);
    let default_permissions = permissions(&nats.default_permissions)
        .map(|written| Permissions::new(&written))
        .transpose()?
        .map(|compiled| SharedPermissions(Arc::new(compiled)));
    let mut signing_keys: BTreeMap<_, _> = nats
        .signing_keys
        .iter()
        .map(|key| (key.key.clone(), key.scope.as_deref().map(|s| Arc::new(s.clone()))))
        .collect();
    if !strict {
        signing_keys.insert(claims.subject.clone(), None);
    }
    Ok(Account {
        name: claims.subject.as_str().into(),
        nkey: claims.subject.clone(),
        is_system,
        limits,
        mappings,
        jetstream: jetstream_of(&nats.limits, &tiers),
        cluster_traffic_owner: nats.cluster_traffic == jwt::ClusterTraffic::Owner,
        exports: nats.exports.iter().map(export).collect(),
        imports: nats.imports.iter().map(import).collect(),
        message_trace,
        token: Some(Arc::new(AccountToken {
            tiers,
            signing_keys,
            default_permissions,
            ignored,
            jwt: token.into(),
            claims,
        })),
    })
}

/// The mappings, and what is wrong with the others.
fn mappings(nats: &jwt::AccountData) -> (Mappings, Vec<String>) {
    let (mut mappings, mut wrong) = (Mappings::default(), Vec::new());
    for (source, destinations) in &nats.mappings {
        let destination = |d: &jwt::Mapping| Destination {
            subject: d.subject.as_bytes().to_vec(),
            weight: if d.weight == 0 { 100 } else { d.weight },
            cluster: (!d.cluster.is_empty()).then(|| d.cluster.clone()),
        };
        let destinations: Vec<_> = destinations.iter().map(destination).collect();
        if let Err(cause) = mappings.add(source.as_bytes(), &destinations) {
            wrong.push(format!("mapping of {source:?} is not in force: {cause}"));
        }
    }
    (mappings, wrong)
}

/// JetStream of the account: of its only tier that counts here, or of its limits.
/// No storage at all means no JetStream.
fn jetstream_of(
    limits: &jwt::Limits,
    tiers: &BTreeMap<String, JetStreamAccountLimits>,
) -> Option<JetStreamAccountLimits> {
    let stores = |l: &JetStreamAccountLimits| l.max_memory != 0 || l.max_store != 0;
    if tiers.is_empty() {
        return Some(jetstream(&limits.jetstream)).filter(stores);
    }
    tiers.get(SINGLE).filter(|l| stores(l)).copied()
}

/// Zero means no limit, except for storage.
fn jetstream(limits: &jwt::JetStreamLimits) -> JetStreamAccountLimits {
    let limit = |n: i64| if n > 0 { n } else { NO_LIMIT };
    JetStreamAccountLimits {
        max_memory: limits.mem_storage,
        max_store: limits.disk_storage,
        max_streams: limit(limits.streams),
        max_consumers: limit(limits.consumers),
        max_ack_pending: limit(limits.max_ack_pending),
        memory_max_stream_bytes: limit(limits.mem_max_stream_bytes),
        store_max_stream_bytes: limit(limits.disk_max_stream_bytes),
        max_bytes_required: limits.max_bytes_required,
    }
}

/// Permissions as a configuration would write them; `None`: nothing is said.
pub(crate) fn permissions(written: &jwt::Permissions) -> Option<config::Permissions> {
    let side = |side: &jwt::Permission| {
        (!side.allow.is_empty() || !side.deny.is_empty()).then(|| config::SubjectPermission {
            allow: (!side.allow.is_empty()).then(|| side.allow.clone()),
            deny: side.deny.clone(),
        })
    };
    let mut permissions = config::Permissions {
        publish: side(&written.publish),
        subscribe: side(&written.subscribe),
        responses: written.responses.map(|r| config::ResponsePermission {
            max: if r.max == 0 { config::DEFAULT_RESPONSES } else { r.max },
            expires_ns: if r.ttl == 0 { config::DEFAULT_RESPONSE_EXPIRY_NS } else { r.ttl },
        }),
    };
    if permissions.responses.is_some() {
        // Who may answer may publish nothing else unless told so.
        permissions.publish.get_or_insert_default().allow.get_or_insert_default();
    }
    (permissions != config::Permissions::default()).then_some(permissions)
}

fn kind(kind: Kind) -> ExchangeKind {
    // Claims of neither kind were refused by their check.
    if kind == Kind::Service { ExchangeKind::Service } else { ExchangeKind::Stream }
}

fn export(export: &jwt::Export) -> ExportRule {
    let access = match (export.account_token_position, export.token_req) {
        (position @ 1.., _) => Access::Position(position as usize),
        (0, true) => Access::Token(export.revocations.clone()),
        (0, false) => Access::Everybody,
    };
    ExportRule {
        kind: kind(export.kind),
        subject: export.subject.clone(),
        access,
        response: match export.response_type {
            jwt::ResponseType::Unset | jwt::ResponseType::Singleton => ResponseType::Singleton,
            jwt::ResponseType::Stream => ResponseType::Stream,
            jwt::ResponseType::Chunked => ResponseType::Chunked,
        },
        threshold_ns: export.response_threshold,
        latency: export.service_latency.as_ref().map(|latency| Latency {
            subject: latency.results.clone(),
            sampling: u8::try_from(latency.sampling.0).unwrap_or(100),
        }),
        allow_trace: export.allow_trace,
        at: String::new(),
    }
}

/// Before there was `local_subject`, `to` was a stream's prefix, and the subject
/// of a service in the exporting account.
fn import(import: &jwt::Import) -> ImportRule {
    let kind = kind(import.kind);
    let (mut subject, mut local, mut prefix) =
        (import.subject.clone(), import.local_subject.clone(), String::new());
    if local.is_empty() && !import.to.is_empty() {
        match kind {
            ExchangeKind::Stream => prefix.clone_from(&import.to),
            ExchangeKind::Service => local = std::mem::replace(&mut subject, import.to.clone()),
        }
    }
    ImportRule {
        kind,
        account: import.account.clone(),
        subject,
        local,
        prefix,
        share: import.share,
        allow_trace: import.allow_trace,
        token: import.token.clone(),
        at: String::new(),
    }
}
