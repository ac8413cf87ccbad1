//! What may change while the server runs. Everything else refuses the whole reload.

use thiserror::Error;

use super::Options;
use super::mqtt::MqttOptions;
use crate::duration;

/// A change that needs a restart. The name is that of nats-server's option; values are shown where
/// they hold no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("config reload not supported for {0}")]
pub struct ReloadError(pub String);

/// Compares running options with new ones, both with flags and defaults applied.
pub fn check_reload(old: &Options, new: &Options) -> Result<(), ReloadError> {
    for (name, value) in VALUES {
        let (before, after) = (value(old), value(new));
        if before != after {
            return Err(ReloadError(format!("{name}: old={before}, new={after}")));
        }
    }
    for (name, changed) in BLOCKS {
        if changed(old, new) {
            return Err(ReloadError((*name).to_owned()));
        }
    }
    sizes(old, new)
}

type Show = fn(&Options) -> String;

/// Single values that are fixed at start.
const VALUES: &[(&str, Show)] = &[
    ("ServerName", |o| o.server_name.clone()),
    ("Host", |o| o.listen.host.clone()),
    ("Port", |o| o.listen.port.to_string()),
    ("MaxSubs", |o| o.limits.max_subscriptions.to_string()),
    ("MaxSubTokens", |o| o.limits.max_sub_tokens.to_string()),
    ("MaxPending", |o| o.limits.max_pending.to_string()),
    ("MaxClosedClients", |o| o.limits.max_closed_clients.to_string()),
    ("NoSublistCache", |o| o.limits.no_sublist_cache.to_string()),
    ("NoHeaderSupport", |o| o.limits.no_header_support.to_string()),
    ("LameDuckDuration", |o| duration::format(o.limits.lame_duck_duration_ns)),
    ("LameDuckGracePeriod", |o| duration::format(o.limits.lame_duck_grace_period_ns)),
    ("LogSizeLimit", |o| o.log.size_limit.to_string()),
    ("LogMaxFiles", |o| o.log.max_files.to_string()),
    ("HTTPHost", |o| o.http.host.clone()),
    ("HTTPPort", |o| o.http.port.to_string()),
    ("HTTPSPort", |o| o.http.tls_port.to_string()),
    ("HTTPBasePath", |o| o.http.base_path.clone()),
    ("ProfPort", |o| o.profile_port.to_string()),
    ("AllowNonTLS", |o| o.allow_non_tls.to_string()),
    ("ProxyProtocol", |o| o.proxy_protocol.to_string()),
    ("SystemAccount", |o| o.system_account_name().unwrap_or_default().to_owned()),
    ("NoSystemAccount", |o| o.no_system_account.to_string()),
    ("NoAuthUser", |o| o.no_auth_user.clone()),
    ("JetStreamDomain", |o| o.jetstream.domain.clone()),
    ("JetStreamConcurrentIOs", |o| o.jetstream.max_concurrent_io.to_string()),
    ("jetstream storage directory", |o| o.jetstream.store_dir.clone()),
];

type Changed = fn(&Options, &Options) -> bool;

/// Blocks whose contents may be secret, so that only their name is shown.
const BLOCKS: &[(&str, Changed)] = &[
    ("TrustedOperators", |a, b| a.trust.operators != b.trust.operators),
    ("TrustedKeys", |a, b| a.trust.trusted_keys != b.trust.trusted_keys),
    ("AccountResolver", |a, b| a.trust.resolver.is_some() != b.trust.resolver.is_some()),
    ("AuthCallout", |a, b| a.authorization.auth_callout != b.authorization.auth_callout),
    ("JetStreamKey", |a, b| {
        (&a.jetstream.key, a.jetstream.cipher) != (&b.jetstream.key, b.jetstream.cipher)
    }),
    ("JsAccDefaultDomain", |a, b| a.default_js_domain != b.default_js_domain),
    ("FeatureFlags", |a, b| a.feature_flags != b.feature_flags),
    ("Cluster", |a, b| {
        (&a.cluster.name, &a.cluster.listen) != (&b.cluster.name, &b.cluster.listen)
    }),
    ("Gateway", |a, b| {
        let (mut a, mut b) = (a.gateway.clone(), b.gateway.clone());
        for gateway in [&mut a, &mut b] {
            gateway.tls = None;
            gateway.gateways.iter_mut().for_each(|remote| remote.tls = None);
        }
        a != b
    }),
    ("LeafNode", |a, b| {
        let (a, b) = (&a.leafnodes, &b.leafnodes);
        (&a.listen, &a.authorization) != (&b.listen, &b.authorization)
    }),
    ("Websocket", |a, b| {
        let (mut a, mut b) = (a.websocket.clone(), b.websocket.clone());
        (a.tls, b.tls) = (None, None);
        a != b
    }),
    ("MQTT", |a, b| fixed_mqtt(&a.mqtt) != fixed_mqtt(&b.mqtt)),
];

/// The block without what may change.
fn fixed_mqtt(mqtt: &MqttOptions) -> MqttOptions {
    MqttOptions {
        tls: None,
        ack_wait_ns: 0,
        max_ack_pending: 0,
        stream_replicas: 0,
        consumer_memory_storage: false,
        consumer_inactive_threshold_ns: 0,
        ..mqtt.clone()
    }
}

/// JetStream may grow, but neither shrink nor change between a set and a derived size.
fn sizes(old: &Options, new: &Options) -> Result<(), ReloadError> {
    let (a, b) = (&old.jetstream, &new.jetstream);
    if !(a.enabled && b.enabled) {
        return Ok(());
    }
    for (before, after) in [(a.max_memory, b.max_memory), (a.max_store, b.max_store)] {
        let refused = match (before, after) {
            (Some(before), Some(after)) if after < before => {
                "decreasing jetstream max memory and store"
            }
            (None, Some(_)) | (Some(_), None) => "jetstream dynamic max memory and store",
            _ => continue,
        };
        return Err(ReloadError(refused.to_owned()));
    }
    Ok(())
}
