//! The top level of the options: single values, limits, logs, JetStream, operators.

use super::compare::{Diff, Pair, Rule, both};
use super::show::Show;
use super::{access, blocks};
use crate::options::jetstream::JetStreamOptions;
use crate::options::listen::Listen;
use crate::options::trust::{Resolver, TrustOptions};
use crate::options::{ConnectionLimits, HttpOptions, LogOptions, Options};

use Rule::{Fixed, Live};

/// Everything.
pub(super) fn options(diff: &mut Diff, old: &Options, new: &Options) {
    both!(
        Options {
            listen,
            client_advertise,
            server_name,
            server_tags,
            server_metadata,
            feature_flags,
            limits,
            log,
            pid_file,
            ports_file_dir,
            profile_port,
            profile_block_rate,
            http,
            tls,
            tls_from_flags,
            allow_non_tls,
            ocsp,
            ocsp_cache,
            authorization,
            no_auth_user,
            accounts,
            system_account,
            no_system_account,
            trust,
            proxies,
            proxy_protocol,
            connect_error_reports,
            reconnect_error_reports,
            default_js_domain,
            jetstream,
            cluster,
            gateway,
            leafnodes,
            websocket,
            mqtt,
        } = old,
        new
    );
    diff.value(Fixed("ServerName"), "server_name", server_name);
    self::listen(diff, listen);
    diff.value(Live, "client_advertise", client_advertise);
    diff.value(Live, "server_tags", server_tags);
    diff.value(Live, "server_metadata", server_metadata);
    diff.value(Fixed("FeatureFlags"), "feature_flags", feature_flags);
    self::limits(diff, limits);
    self::log(diff, log);
    diff.value(Live, "pid_file", pid_file);
    diff.value(Live, "ports_file_dir", ports_file_dir);
    diff.value(Fixed("ProfPort"), "prof_port", profile_port);
    diff.value(Live, "prof_block_rate", profile_block_rate);
    self::http(diff, http);
    blocks::tls(diff, Live, "tls", tls);
    diff.value(Fixed("AllowNonTLS"), "allow_non_tls", allow_non_tls);
    blocks::ocsp(diff, ocsp, ocsp_cache);
    access::authorization(diff, authorization);
    self::no_auth_user(diff, no_auth_user, new);
    access::users(diff, old, new);
    access::accounts(diff, accounts.0, accounts.1);
    // Naming the default is no change.
    let system = |o: &Options| o.system_account_name().unwrap_or_default().to_owned();
    diff.value(Fixed("SystemAccount"), "system_account", (&system(old), &system(new)));
    diff.value(Fixed("NoSystemAccount"), "no_system_account", no_system_account);
    self::trust(diff, trust);
    access::proxies(diff, proxies);
    diff.value(Fixed("ProxyProtocol"), "proxy_protocol", proxy_protocol);
    diff.value(Live, "connect_error_reports", connect_error_reports);
    diff.value(Live, "reconnect_error_reports", reconnect_error_reports);
    diff.value(Fixed("JsAccDefaultDomain"), "default_js_domain", default_js_domain);
    self::jetstream(diff, jetstream);
    blocks::cluster(diff, cluster);
    blocks::gateway(diff, gateway);
    blocks::leafnodes(diff, leafnodes);
    blocks::websocket(diff, websocket);
    blocks::mqtt(diff, mqtt);
    // The first says where `tls` came from, the second is part of the name above.
    let _ = (tls_from_flags, system_account);
}

fn listen(diff: &mut Diff, (old, new): Pair<'_, Listen>) {
    both!(Listen { host, port } = old, new);
    diff.value(Fixed("Host"), "host", host);
    diff.value(Fixed("Port"), "port", port);
}

fn limits(diff: &mut Diff, (old, new): Pair<'_, ConnectionLimits>) {
    both!(
        ConnectionLimits {
            max_connections,
            max_subscriptions,
            max_sub_tokens,
            max_control_line,
            max_payload,
            max_pending,
            ping_interval_ns,
            ping_max,
            write_deadline_ns,
            write_timeout,
            lame_duck_duration_ns,
            lame_duck_grace_period_ns,
            no_fast_producer_stall,
            no_sublist_cache,
            no_header_support,
            max_closed_clients,
        } = old,
        new
    );
    diff.value(Live, "max_connections", max_connections);
    diff.value(Fixed("MaxSubs"), "max_subscriptions", max_subscriptions);
    diff.value(Fixed("MaxSubTokens"), "max_sub_tokens", max_sub_tokens);
    diff.value(Live, "max_control_line", max_control_line);
    diff.value(Live, "max_payload", max_payload);
    diff.value(Fixed("MaxPending"), "max_pending", max_pending);
    diff.duration(Live, "ping_interval", ping_interval_ns);
    diff.value(Live, "ping_max", ping_max);
    diff.duration(Live, "write_deadline", write_deadline_ns);
    diff.value(Fixed("WriteTimeout"), "write_timeout", write_timeout);
    diff.duration(Fixed("LameDuckDuration"), "lame_duck_duration", lame_duck_duration_ns);
    diff.duration(
        Fixed("LameDuckGracePeriod"),
        "lame_duck_grace_period",
        lame_duck_grace_period_ns,
    );
    diff.value(Live, "no_fast_producer_stall", no_fast_producer_stall);
    diff.value(Fixed("NoSublistCache"), "disable_sublist_cache", no_sublist_cache);
    diff.value(Fixed("NoHeaderSupport"), "no_header_support", no_header_support);
    diff.value(Fixed("MaxClosedClients"), "max_closed_clients", max_closed_clients);
}

fn log(diff: &mut Diff, (old, new): Pair<'_, LogOptions>) {
    both!(
        LogOptions {
            debug,
            trace,
            trace_verbose,
            trace_headers,
            time,
            time_utc,
            file,
            size_limit,
            max_files,
            syslog,
            remote_syslog,
            max_traced_msg_len,
        } = old,
        new
    );
    diff.value(Live, "debug", debug);
    diff.value(Live, "trace", trace);
    diff.value(Live, "trace_verbose", trace_verbose);
    diff.value(Live, "trace_headers", trace_headers);
    diff.value(Live, "logtime", time);
    diff.value(Live, "logtime_utc", time_utc);
    diff.value(Live, "log_file", file);
    diff.value(Fixed("LogSizeLimit"), "log_size_limit", size_limit);
    diff.value(Fixed("LogMaxFiles"), "log_max_num", max_files);
    diff.value(Live, "syslog", syslog);
    diff.value(Live, "remote_syslog", remote_syslog);
    diff.value(Live, "max_traced_msg_len", max_traced_msg_len);
}

fn http(diff: &mut Diff, (old, new): Pair<'_, HttpOptions>) {
    both!(HttpOptions { host, port, tls_port, base_path } = old, new);
    diff.value(Fixed("HTTPHost"), "http", host);
    diff.value(Fixed("HTTPPort"), "http_port", port);
    diff.value(Fixed("HTTPSPort"), "https_port", tls_port);
    diff.value(Fixed("HTTPBasePath"), "http_base_path", base_path);
}

/// It may only go, and only together with the user it names.
fn no_auth_user(diff: &mut Diff, (old, name): Pair<'_, String>, new: &Options) {
    let user_is_gone = || !new.users().any(|user| user.identity() == old);
    let rule = if name.is_empty() && user_is_gone() { Live } else { Fixed("NoAuthUser") };
    diff.value(rule, "no_auth_user", (old, name));
}

fn trust(diff: &mut Diff, (old, new): Pair<'_, TrustOptions>) {
    both!(
        TrustOptions {
            operators,
            trusted_keys,
            resolver,
            resolver_tls,
            resolver_preload,
            resolver_pinned_accounts,
            default_sentinel,
        } = old,
        new
    );
    diff.opaque(Fixed("TrustedOperators"), "operator", operators, |list| !list.is_empty());
    diff.value(Fixed("TrustedKeys"), "trusted", trusted_keys);
    // One may take the place of another, but without any nobody's token could be looked up.
    let both = resolver.0.is_some() == resolver.1.is_some();
    diff.value(if both { Live } else { Fixed("AccountResolver") }, "resolver", resolver);
    blocks::tls(diff, Live, "resolver_tls", resolver_tls);
    diff.opaque(Live, "resolver_preload", resolver_preload, |map| !map.is_empty());
    diff.value(Live, "resolver_pinned_accounts", resolver_pinned_accounts);
    // A bearer JWT: it lets in whoever shows it.
    diff.secret(Live, "default_sentinel", default_sentinel);
}

impl Show for Resolver {
    fn show(&self) -> String {
        match self {
            Resolver::Memory => "memory".to_owned(),
            // The address may carry a key of the web server.
            Resolver::Url(_) => "url".to_owned(),
            Resolver::Full(dir) => format!("full {}", dir.dir),
            Resolver::Cache(dir) => format!("cache {}", dir.dir),
        }
    }
}

/// JetStream comes and goes as a whole, and may grow, but neither shrink nor change between a set
/// and a derived size.
fn jetstream(diff: &mut Diff, (old, new): Pair<'_, JetStreamOptions>) {
    both!(
        JetStreamOptions {
            enabled,
            store_dir,
            max_memory,
            max_store,
            domain,
            sync_interval_ns,
            sync_always,
            key,
            previous_key,
            cipher,
            tpm,
            not_strict,
            unique_tag,
            extension_hint,
            max_outstanding_catchup,
            max_buffered_msgs,
            max_buffered_size,
            request_queue_limit,
            info_queue_limit,
            meta_compact,
            meta_compact_size,
            meta_compact_sync,
            max_concurrent_io,
            limits,
        } = old,
        new
    );
    diff.value(Live, "jetstream.enabled", enabled);
    if !(*enabled.0 && *enabled.1) {
        // Without JetStream its settings mean nothing.
        return;
    }
    diff.value(Fixed("jetstream storage directory"), "jetstream.store_dir", store_dir);
    sizes(diff, "jetstream.max_memory_store", max_memory);
    sizes(diff, "jetstream.max_file_store", max_store);
    diff.value(Fixed("JetStreamDomain"), "jetstream.domain", domain);
    diff.value(Fixed("SyncInterval"), "jetstream.sync_interval", sync_interval_ns);
    diff.value(Fixed("SyncAlways"), "jetstream.sync_always", sync_always);
    diff.secret(Fixed("JetStreamKey"), "jetstream.key", key);
    diff.secret(Fixed("JetStreamOldKey"), "jetstream.prev_key", previous_key);
    diff.value(Fixed("JetStreamCipher"), "jetstream.cipher", cipher);
    diff.opaque(Fixed("JetStreamTpm"), "jetstream.tpm", tpm, Option::is_some);
    diff.value(Fixed("NoJetStreamStrict"), "jetstream.not_strict", not_strict);
    diff.value(Fixed("JetStreamUniqueTag"), "jetstream.unique_tag", unique_tag);
    diff.value(Fixed("JetStreamExtHint"), "jetstream.extension_hint", extension_hint);
    let fixed = |diff: &mut Diff, option, name, pair| diff.value(Fixed(option), name, pair);
    fixed(
        diff,
        "JetStreamMaxCatchup",
        "jetstream.max_outstanding_catchup",
        max_outstanding_catchup,
    );
    fixed(diff, "StreamMaxBufferedMsgs", "jetstream.max_buffered_msgs", max_buffered_msgs);
    fixed(diff, "StreamMaxBufferedSize", "jetstream.max_buffered_size", max_buffered_size);
    fixed(diff, "JetStreamRequestQueueLimit", "jetstream.request_queue_limit", request_queue_limit);
    fixed(diff, "JetStreamInfoQueueLimit", "jetstream.info_queue_limit", info_queue_limit);
    diff.value(Live, "jetstream.meta_compact", meta_compact);
    diff.value(Live, "jetstream.meta_compact_size", meta_compact_size);
    diff.value(Live, "jetstream.meta_compact_sync", meta_compact_sync);
    fixed(diff, "JetStreamConcurrentIOs", "jetstream.max_concurrent_io", max_concurrent_io);
    diff.opaque(Live, "jetstream.limits", limits, |_| true);
}

fn sizes(diff: &mut Diff, name: &str, (old, new): Pair<'_, Option<i64>>) {
    let rule = match (old, new) {
        (Some(before), Some(after)) if after > before => Live,
        (Some(_), Some(_)) => Fixed("decreasing jetstream max memory and store"),
        _ => Fixed("jetstream dynamic max memory and store"),
    };
    diff.value(rule, name, (old, new));
}
