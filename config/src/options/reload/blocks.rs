//! TLS, and the blocks of other kinds of connections.

use super::access;
use super::compare::{Diff, Pair, Rule, both};
use crate::options::authorization::Authorization;
use crate::options::cluster::{ClusterOptions, Compression};
use crate::options::gateway::{GatewayOptions, RemoteGateway};
use crate::options::leafnodes::{LeafAuthorization, LeafRemote, LeafnodeOptions};
use crate::options::mqtt::MqttOptions;
use crate::options::ocsp::{Ocsp, OcspCache};
use crate::options::tls::TlsOptions;
use crate::options::websocket::WebsocketOptions;

/// A `tls` block: on, off, or any of its fields. New contents of the same files are no difference
/// of options; a reload reads them again anyway.
pub(super) fn tls(
    diff: &mut Diff,
    rule: Rule<'_>,
    name: &str,
    (old, new): Pair<'_, Option<TlsOptions>>,
) {
    match (old, new) {
        (None, None) => {}
        (Some(_), None) => diff.put(rule, name, "enabled".to_owned(), String::new()),
        (None, Some(_)) => diff.put(rule, name, String::new(), "enabled".to_owned()),
        (Some(old), Some(new)) => tls_fields(diff, rule, name, (old, new)),
    }
}

fn tls_fields(diff: &mut Diff, rule: Rule<'_>, name: &str, (old, new): Pair<'_, TlsOptions>) {
    both!(
        TlsOptions {
            cert_file,
            key_file,
            certs,
            ca_file,
            verify,
            verify_and_map,
            check_known_urls,
            insecure,
            timeout_ns,
            connection_rate_limit,
            handshake_first,
            handshake_fallback_ns,
            min_version,
            cipher_suites,
            allow_insecure_cipher_suites,
            curve_preferences,
            pinned_certs,
            ocsp_peer,
            cert_store,
            at,
        } = old,
        new
    );
    let key = |field: &str| format!("{name}.{field}");
    diff.value(rule, &key("cert_file"), cert_file);
    diff.value(rule, &key("key_file"), key_file);
    diff.value(rule, &key("certs"), certs);
    diff.value(rule, &key("ca_file"), ca_file);
    diff.value(rule, &key("verify"), verify);
    diff.value(rule, &key("verify_and_map"), verify_and_map);
    diff.value(rule, &key("verify_cert_and_check_known_urls"), check_known_urls);
    diff.value(rule, &key("insecure"), insecure);
    diff.duration(rule, &key("timeout"), timeout_ns);
    diff.value(rule, &key("connection_rate_limit"), connection_rate_limit);
    diff.value(rule, &key("handshake_first"), handshake_first);
    diff.duration(rule, &key("handshake_first_fallback"), handshake_fallback_ns);
    diff.value(rule, &key("min_version"), min_version);
    diff.value(rule, &key("cipher_suites"), cipher_suites);
    diff.value(rule, &key("allow_insecure_cipher_suites"), allow_insecure_cipher_suites);
    diff.value(rule, &key("curve_preferences"), curve_preferences);
    diff.value(rule, &key("pinned_certs"), pinned_certs);
    diff.opaque(rule, &key("ocsp_peer"), ocsp_peer, Option::is_some);
    diff.value(rule, &key("cert_store"), cert_store);
    // Where the block stands is not what it says.
    let _ = at;
}

/// Stapling and its cache.
pub(super) fn ocsp(
    diff: &mut Diff,
    staple: Pair<'_, Option<Ocsp>>,
    cache: Pair<'_, Option<OcspCache>>,
) {
    diff.opaque(Rule::Live, "ocsp", staple, Option::is_some);
    diff.opaque(Rule::Live, "ocsp_cache", cache, Option::is_some);
}

/// Logins of routes and gateways.
fn login(diff: &mut Diff, rule: Rule<'_>, name: &str, (old, new): Pair<'_, Authorization>) {
    both!(
        Authorization {
            user,
            pass,
            token,
            timeout_ns,
            users,
            has_users,
            default_permissions,
            auth_callout,
            proxy_required,
            defined,
        } = old,
        new
    );
    let key = |field: &str| format!("{name}.{field}");
    diff.value(rule, &key("user"), user);
    diff.secret(rule, &key("pass"), pass);
    diff.secret(rule, &key("token"), token);
    diff.duration(rule, &key("timeout"), timeout_ns);
    diff.opaque(rule, &key("users"), users, |users| !users.is_empty());
    diff.value(rule, &key("permissions"), default_permissions);
    // Nothing of these is for routes; their parser refuses them.
    let _ = (has_users, auth_callout, proxy_required, defined);
}

/// Routes: the address is fixed, the rest follows.
pub(super) fn cluster(diff: &mut Diff, (old, new): Pair<'_, ClusterOptions>) {
    both!(
        ClusterOptions {
            name,
            listen,
            authorization,
            permissions,
            routes,
            tls,
            advertise,
            no_advertise,
            connect_retries,
            connect_backoff,
            pool_size,
            accounts,
            compression,
            ping_interval_ns,
            ping_max,
            write_deadline_ns,
            write_timeout,
        } = old,
        new
    );
    let live = Rule::Live;
    diff.value(live, "cluster.name", name);
    let (from, to) = listen;
    diff.value(Rule::Fixed("cluster host"), "cluster.host", (&from.host, &to.host));
    diff.value(Rule::Fixed("cluster port"), "cluster.port", (&from.port, &to.port));
    login(diff, live, "cluster.authorization", authorization);
    diff.value(live, "cluster.permissions", permissions);
    diff.value(live, "cluster.routes", routes);
    self::tls(diff, live, "cluster.tls", tls);
    diff.value(live, "cluster.advertise", advertise);
    diff.value(live, "cluster.no_advertise", no_advertise);
    diff.value(live, "cluster.connect_retries", connect_retries);
    diff.value(live, "cluster.connect_backoff", connect_backoff);
    diff.value(live, "cluster.pool_size", pool_size);
    diff.value(live, "cluster.accounts", accounts);
    diff.value(live, "cluster.compression", compression);
    diff.duration(live, "cluster.ping_interval", ping_interval_ns);
    diff.value(live, "cluster.ping_max", ping_max);
    diff.duration(live, "cluster.write_deadline", write_deadline_ns);
    diff.value(live, "cluster.write_timeout", write_timeout);
}

/// Gateways: all is fixed but TLS.
pub(super) fn gateway(diff: &mut Diff, (old, new): Pair<'_, GatewayOptions>) {
    both!(
        GatewayOptions {
            name,
            listen,
            authorization,
            tls,
            advertise,
            connect_retries,
            connect_backoff,
            gateways,
            reject_unknown,
            write_deadline_ns,
            write_timeout,
        } = old,
        new
    );
    let fixed = Rule::Fixed("Gateway");
    diff.value(fixed, "gateway.name", name);
    let (from, to) = listen;
    diff.value(fixed, "gateway.host", (&from.host, &to.host));
    diff.value(fixed, "gateway.port", (&from.port, &to.port));
    login(diff, fixed, "gateway.authorization", authorization);
    self::tls(diff, Rule::Live, "gateway.tls", tls);
    diff.value(fixed, "gateway.advertise", advertise);
    diff.value(fixed, "gateway.connect_retries", connect_retries);
    diff.value(fixed, "gateway.connect_backoff", connect_backoff);
    diff.value(fixed, "gateway.reject_unknown_cluster", reject_unknown);
    diff.duration(fixed, "gateway.write_deadline", write_deadline_ns);
    diff.value(fixed, "gateway.write_timeout", write_timeout);
    remote_gateways(diff, fixed, gateways);
}

fn remote_gateways(diff: &mut Diff, fixed: Rule<'_>, (old, new): Pair<'_, Vec<RemoteGateway>>) {
    let names = |all: &[RemoteGateway]| all.iter().map(|r| r.name.clone()).collect::<Vec<_>>();
    diff.value(fixed, "gateway.gateways", (&names(old), &names(new)));
    for old in old {
        let Some(new) = new.iter().find(|r| r.name == old.name) else { continue };
        both!(RemoteGateway { name, urls, tls } = old, new);
        let at = format!("gateway.gateways.{}", name.0);
        diff.value(fixed, &format!("{at}.urls"), urls);
        self::tls(diff, Rule::Live, &format!("{at}.tls"), tls);
    }
}

/// Leafnodes: the listener and its logins are fixed.
pub(super) fn leafnodes(diff: &mut Diff, (old, new): Pair<'_, LeafnodeOptions>) {
    both!(
        LeafnodeOptions {
            listen,
            authorization,
            tls,
            advertise,
            no_advertise,
            min_version,
            compression,
            isolate_leafnode_interest,
            reconnect_ns,
            dial_timeout_ns,
            write_deadline_ns,
            write_timeout,
            remotes,
        } = old,
        new
    );
    let fixed = Rule::Fixed("LeafNode");
    let (from, to) = listen;
    diff.value(fixed, "leafnodes.host", (&from.host, &to.host));
    diff.value(fixed, "leafnodes.port", (&from.port, &to.port));
    leaf_logins(diff, fixed, authorization);
    self::tls(diff, Rule::Live, "leafnodes.tls", tls);
    diff.value(fixed, "leafnodes.advertise", advertise);
    diff.value(fixed, "leafnodes.no_advertise", no_advertise);
    diff.value(fixed, "leafnodes.min_version", min_version);
    diff.value(Rule::Live, "leafnodes.compression", compression);
    diff.value(fixed, "leafnodes.isolate_leafnode_interest", isolate_leafnode_interest);
    diff.duration(fixed, "leafnodes.reconnect", reconnect_ns);
    diff.duration(fixed, "leafnodes.dial_timeout", dial_timeout_ns);
    diff.duration(fixed, "leafnodes.write_deadline", write_deadline_ns);
    diff.value(fixed, "leafnodes.write_timeout", write_timeout);
    leaf_remotes(diff, remotes);
}

fn leaf_logins(diff: &mut Diff, fixed: Rule<'_>, (old, new): Pair<'_, LeafAuthorization>) {
    both!(
        LeafAuthorization { user, pass, nkey, account, timeout_ns, proxy_required, users } = old,
        new
    );
    diff.value(fixed, "leafnodes.authorization.user", user);
    diff.secret(fixed, "leafnodes.authorization.pass", pass);
    diff.value(fixed, "leafnodes.authorization.nkey", nkey);
    diff.value(fixed, "leafnodes.authorization.account", account);
    diff.duration(fixed, "leafnodes.authorization.timeout", timeout_ns);
    diff.value(fixed, "leafnodes.authorization.proxy_required", proxy_required);
    diff.opaque(fixed, "leafnodes.authorization.users", users, |users| !users.is_empty());
}

/// Remotes come and go and may be disabled; of one that stays only TLS and compression change.
/// They are shown as a whole: they hold paths of seeds and logins in URLs.
fn leaf_remotes(diff: &mut Diff, (old, new): Pair<'_, Vec<LeafRemote>>) {
    let plain = |remotes: &[LeafRemote]| -> Vec<LeafRemote> {
        let mut remotes = remotes.to_vec();
        for tls in remotes.iter_mut().filter_map(|remote| remote.tls.as_mut()) {
            tls.at = None;
        }
        remotes
    };
    let fixed_part = |remote: &LeafRemote| LeafRemote {
        tls: None,
        compression: Compression::default(),
        disabled: false,
        ..remote.clone()
    };
    let (old, new) = (plain(old), plain(new));
    let same = |a: &LeafRemote, b: &LeafRemote| {
        (&a.urls, &a.account, &a.credentials) == (&b.urls, &b.account, &b.credentials)
    };
    let may_change = old.iter().all(|before| {
        let mut after = new.iter().filter(|after| same(before, after)).peekable();
        after.peek().is_none() || after.any(|after| fixed_part(before) == fixed_part(after))
    });
    let rule = if may_change { Rule::Live } else { Rule::Fixed("LeafNode") };
    diff.opaque(rule, "leafnodes.remotes", (&old, &new), |remotes| !remotes.is_empty());
}

/// WebSocket: all is fixed but TLS.
pub(super) fn websocket(diff: &mut Diff, (old, new): Pair<'_, WebsocketOptions>) {
    both!(
        WebsocketOptions {
            listen,
            advertise,
            tls,
            no_tls,
            same_origin,
            allowed_origins,
            compression,
            handshake_timeout_ns,
            ping_interval_ns,
            headers,
            jwt_cookie,
            user_cookie,
            pass_cookie,
            token_cookie,
            authorization,
            no_auth_user,
        } = old,
        new
    );
    let fixed = Rule::Fixed("Websocket");
    let (from, to) = listen;
    diff.value(fixed, "websocket.host", (&from.host, &to.host));
    diff.value(fixed, "websocket.port", (&from.port, &to.port));
    diff.value(fixed, "websocket.advertise", advertise);
    self::tls(diff, Rule::Live, "websocket.tls", tls);
    diff.value(fixed, "websocket.no_tls", no_tls);
    diff.value(fixed, "websocket.same_origin", same_origin);
    diff.value(fixed, "websocket.allowed_origins", allowed_origins);
    diff.value(fixed, "websocket.compression", compression);
    diff.duration(fixed, "websocket.handshake_timeout", handshake_timeout_ns);
    diff.duration(fixed, "websocket.ping_interval", ping_interval_ns);
    // Headers may carry what is not for everybody.
    diff.opaque(fixed, "websocket.headers", headers, |headers| !headers.is_empty());
    diff.value(fixed, "websocket.jwt_cookie", jwt_cookie);
    diff.value(fixed, "websocket.user_cookie", user_cookie);
    diff.value(fixed, "websocket.pass_cookie", pass_cookie);
    diff.value(fixed, "websocket.token_cookie", token_cookie);
    access::simple(diff, fixed, "websocket.authorization", authorization);
    diff.value(fixed, "websocket.no_auth_user", no_auth_user);
}

/// MQTT: what consumers are made with may change.
pub(super) fn mqtt(diff: &mut Diff, (old, new): Pair<'_, MqttOptions>) {
    both!(
        MqttOptions {
            listen,
            tls,
            authorization,
            no_auth_user,
            ack_wait_ns,
            js_api_timeout_ns,
            max_ack_pending,
            js_domain,
            stream_replicas,
            consumer_memory_storage,
            consumer_inactive_threshold_ns,
            reject_qos2_publish,
            downgrade_qos2_subscribe,
        } = old,
        new
    );
    let (fixed, live) = (Rule::Fixed("MQTT"), Rule::Live);
    let (from, to) = listen;
    diff.value(fixed, "mqtt.host", (&from.host, &to.host));
    diff.value(fixed, "mqtt.port", (&from.port, &to.port));
    self::tls(diff, live, "mqtt.tls", tls);
    access::simple(diff, fixed, "mqtt.authorization", authorization);
    diff.value(fixed, "mqtt.no_auth_user", no_auth_user);
    diff.duration(live, "mqtt.ack_wait", ack_wait_ns);
    diff.duration(fixed, "mqtt.js_api_timeout", js_api_timeout_ns);
    diff.value(live, "mqtt.max_ack_pending", max_ack_pending);
    diff.value(fixed, "mqtt.js_domain", js_domain);
    diff.value(live, "mqtt.stream_replicas", stream_replicas);
    diff.value(live, "mqtt.consumer_memory_storage", consumer_memory_storage);
    diff.duration(live, "mqtt.consumer_inactive_threshold", consumer_inactive_threshold_ns);
    diff.value(fixed, "mqtt.reject_qos2_publish", reject_qos2_publish);
    diff.value(fixed, "mqtt.downgrade_qos2_subscribe", downgrade_qos2_subscribe);
}
