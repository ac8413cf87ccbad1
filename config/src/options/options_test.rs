//! What ends up in which option: samples, aliases, defaults, and the checks before a start.

use super::accounts::JetStreamAccountLimits;
use super::exchange::{ExchangeKind, ResponseType};
use super::permissions::{ResponsePermission, SubjectPermission};
use super::validate::validate_start;
use super::{Options, users::GLOBAL_ACCOUNT};
use crate::duration::{MINUTE_NS, SECOND_NS};
use crate::{Loaded, load};

fn loaded(text: &str) -> Loaded {
    let mut loader = |_: &str| Ok(text.as_bytes().to_vec());
    load("f.conf", &mut loader, &|_| None).unwrap_or_else(|err| panic!("{text}\n{err}"))
}

fn options(text: &str) -> Options {
    loaded(text).options
}

/// What a start says after flags (none) and defaults.
fn start(text: &str) -> String {
    let mut options = options(text);
    options.apply_defaults();
    validate_start(&options).map_or_else(|err| err.to_string(), |()| "ok".to_owned())
}

#[test]
fn samples_are_valid_and_keep_the_digest_of_nats_server() {
    for (text, digest) in [
        (
            include_str!("../../samples/minimal.conf"),
            "4a55497eff3714914ee1fd047156759b1cdc7d78040e63924cb290aef76fe42f",
        ),
        (
            include_str!("../../samples/jetstream.conf"),
            "0534a9d4940b65f5d6bf4d3a789395161de479f89aa27e770912d3532016d77e",
        ),
        (
            include_str!("../../samples/users.conf"),
            "d94ef5823dc3449e9bf19c514811d37aab332e197cc92b5e8106c5e00af4555d",
        ),
        (
            include_str!("../../samples/accounts.conf"),
            "be8edebf98ad37dcc7c23f086cacfce1b6dfc087266e323456522570afd49588",
        ),
        (
            include_str!("../../samples/full.conf"),
            "7235ad983cc4ddf073c3e61b14d86d13517e2f81940253f9d809b59753edbb15",
        ),
    ] {
        let loaded = loaded(text);
        assert_eq!(loaded.digest, format!("sha256:{digest}"));
        assert_eq!(loaded.check(), Ok(()));
    }
}

#[test]
fn every_sample_but_the_full_one_starts() {
    for text in [
        include_str!("../../samples/minimal.conf"),
        include_str!("../../samples/jetstream.conf"),
        include_str!("../../samples/users.conf"),
        include_str!("../../samples/accounts.conf"),
    ] {
        assert_eq!(start(text), "ok");
    }
}

#[test]
fn users_carry_permissions_and_account() {
    let options = options(include_str!("../../samples/users.conf"));
    let auth = &options.authorization;
    assert_eq!((auth.timeout_ns, auth.users.len()), (2 * SECOND_NS, 4));
    let [admin, app, worker, guest] = auth.users.as_slice() else { panic!() };
    assert!(admin.pass.starts_with("$2a$11$"));
    assert_eq!(app.permissions, auth.default_permissions);
    assert_eq!(guest.account, GLOBAL_ACCOUNT);
    assert_eq!(worker.allowed_connection_types, ["STANDARD", "WEBSOCKET"]);
    let worker = worker.permissions.as_ref().unwrap();
    assert_eq!(worker.responses, Some(ResponsePermission { max: 1, expires_ns: MINUTE_NS }));
    assert_eq!(
        worker.publish,
        Some(SubjectPermission { allow: Some(Vec::new()), deny: Vec::new() })
    );
    assert_eq!(
        worker.subscribe,
        Some(SubjectPermission {
            allow: Some(vec!["jobs.> workers".to_owned()]),
            deny: vec!["jobs.private.>".to_owned()],
        })
    );
}

#[test]
fn empty_permissions_mean_everything() {
    let text = "authorization { users [ {user: a, permissions { pub: [], sub: {} } } ] }";
    let options = options(text);
    let permissions = options.authorization.users[0].permissions.clone().unwrap();
    assert_eq!(permissions.publish, Some(SubjectPermission::default()));
    assert_eq!((permissions.subscribe, permissions.responses), (None, None));
}

#[test]
fn accounts_carry_exchange_mappings_and_limits() {
    let options = options(include_str!("../../samples/accounts.conf"));
    assert_eq!(options.system_account_name(), Some("SYS"));
    let orders = options.account("ORDERS").unwrap();
    assert_eq!(
        orders.jetstream,
        Some(JetStreamAccountLimits {
            max_store: 10 << 30,
            max_memory: 0,
            max_streams: 10,
            max_consumers: 100,
            ..JetStreamAccountLimits::default()
        })
    );
    let lookup = &orders.exports[1];
    assert_eq!((lookup.kind, lookup.response), (ExchangeKind::Service, ResponseType::Singleton));
    assert_eq!(lookup.response_threshold_ns, 5 * SECOND_NS);
    assert_eq!(lookup.latency.as_ref().unwrap().sampling, 10);
    assert_eq!(orders.mappings[1].destinations[0].weight, 90);
    let reports = options.account("REPORTS").unwrap();
    assert_eq!(reports.limits.max_payload, Some(64 << 10));
    assert_eq!(
        (reports.imports[0].prefix.as_str(), reports.imports[1].to.as_str()),
        ("from", "lookup")
    );
    let users: Vec<_> = options.users().map(|u| (u.user.as_str(), u.account.as_str())).collect();
    assert_eq!(users, [("sys", "SYS"), ("orders", "ORDERS"), ("reports", "REPORTS")]);
}

#[test]
fn every_alias_of_a_key_sets_the_same_option() {
    let operator = crate::nkey::tests::key(14 << 3);
    for aliases in [
        "host net = x",
        "max_connections max_conn = 5",
        "max_subscriptions max_subs = 5",
        "max_sub_tokens max_subscription_tokens = 5",
        "disable_sublist_cache no_sublist_cache = true",
        "log_file logfile = x",
        "log_size_limit logfile_size_limit = 5",
        "log_max_num logfile_max_num = 5",
        "pid_file pidfile = x",
        "http_port monitor_port = 5",
        "mappings maps = {a: b}",
        "system_account system = x",
        "no_system_account no_system no_sys_acc = true",
        "operator operators root roots root_operator root_operators = x",
        "trusted trusted_keys = [OPERATOR]",
        "resolver account_resolver accounts_resolver = MEM",
        "store_dir storedir = x",
        "leafnodes leaf = {port: 5}",
        "websocket ws = {port: 5}",
    ] {
        let (keys, value) = aliases.split_once('=').unwrap();
        let value = value.replace("OPERATOR", &operator);
        let mut all = keys.split_whitespace().map(|key| {
            let mut options = options(&format!("{key}: {value}"));
            for mapping in options.accounts.iter_mut().flat_map(|a| &mut a.mappings) {
                mapping.at.col = 0;
            }
            options
        });
        let first = all.next().unwrap();
        assert_ne!(first, Options::default(), "{aliases}");
        assert!(all.all(|other| other == first), "{aliases}");
    }
}

#[test]
fn defaults_fill_what_was_not_given() {
    let mut options = options("max_connections: 0\nhttp_base_path: foo/\njetstream { max_mem: 0 }");
    options.apply_defaults();
    let limits = &options.limits;
    assert_eq!((options.listen.host.as_str(), options.listen.port), ("0.0.0.0", 4222));
    assert_eq!(
        (limits.max_connections, limits.max_payload, limits.max_pending),
        (-1, 1 << 20, 64 << 20)
    );
    assert_eq!((limits.ping_interval_ns, limits.ping_max), (2 * MINUTE_NS, 2));
    assert_eq!(options.authorization.timeout_ns, 2 * SECOND_NS);
    assert_eq!((options.http.base_path.as_str(), options.http.host.as_str()), ("/foo", "0.0.0.0"));
    let js = &options.jetstream;
    assert_eq!((js.max_memory, js.max_store), (Some(0), None));
    assert_eq!((js.max_concurrent_io, js.info_queue_limit), (4096, 10_000));
    let mut again = options.clone();
    again.apply_defaults();
    assert_eq!(again, options, "applying twice changes nothing");
}

#[test]
fn a_start_checks_what_concerns_several_fields() {
    for (text, said) in [
        ("port: -1", "ok"),
        ("no_auth_user: bob", "no_auth_user: \"bob\" present, but users/nkeys are not defined"),
        (
            "no_auth_user: bob\nauthorization { users [{user: a}] }",
            "no_auth_user: \"bob\" not present as user or nkey in authorization block or account \
             configuration",
        ),
        ("no_auth_user: a\naccounts { A { users [{user: a}] } }", "ok"),
        (
            "max_payload: 100MB",
            "max_payload (104857600) cannot be higher than max_pending (67108864)",
        ),
        (
            "lame_duck_grace_period: \"3m\"",
            "lame duck grace period (3m0s) should be strictly lower than lame duck duration (2m0s)",
        ),
        ("websocket {port: -1}", "websocket requires TLS configuration"),
        ("websocket {port: -1, no_tls: true}", "ok"),
        (
            "websocket {port: -1, no_tls: true, headers {Host: x}}",
            "websocket: invalid header \"Host\" not allowed",
        ),
        ("system_account: foo", "error resolving system account: account missing"),
        ("gateway {port: 1}", "gateway has no name"),
        ("gateway {name: x}", "gateway \"x\" has no port specified (select -1 for random port)"),
        (
            "gateway {name: x, port: 1}\ncluster {name: y}",
            "cluster name conflicts between cluster and gateway definitions",
        ),
        (
            "jetstream: true\ncluster {port: 1}",
            "jetstream cluster requires `server_name` to be set",
        ),
        (
            "leafnodes {remotes [{url: \"nats://a\", account: Q}]}",
            "cannot find local account \"Q\" specified in leafnode remote",
        ),
        ("cluster {port: 1, compression: foo}", "unsupported compression mode \"foo\""),
        ("mqtt {port: 1}", "mqtt requires JetStream to be enabled if running in standalone mode"),
        ("jetstream {domain: \"a.b\"}", "invalid domain name: may not contain ., * or >"),
        (
            "default_js_domain {Q: d}",
            "in non operator mode, `default_js_domain` references non existing account \"Q\"",
        ),
        ("default_sentinel: x", "default sentinel requires operators and accounts"),
        (
            "operator: x\naccounts {A {}}",
            "operators do not allow Accounts to be configured directly",
        ),
    ] {
        assert_eq!(start(text), said, "{text}");
    }
}

#[test]
fn inactive_features_are_named_only_when_configured() {
    assert!(options(include_str!("../../samples/jetstream.conf")).inactive().is_empty());
    let named = options("cluster {port: 6222}\nmqtt {port: 1883}\nocsp: false").inactive();
    assert_eq!(named, ["cluster", "mqtt"]);
}

#[test]
fn ocsp_peer_has_defaults_and_both_forms() {
    use crate::options::ocsp::OcspPeer;
    let peer = |text: &str| options(&format!("tls {{ocsp_peer {text}}}")).tls.unwrap().ocsp_peer;
    let default = OcspPeer::default();
    assert_eq!(peer(": true"), Some(default.clone()));
    for off in [": false", "{}", "{warn_only: true}", "{verify: false}"] {
        assert_eq!(peer(off), None, "{off}");
    }
    // Zero and negative times that would make no sense leave the default.
    assert_eq!(peer("{verify: true, ca_timeout: 0, allowed_clockskew: -1}"), Some(default));
    let all = "{verify: true, ca_timeout: 0.5, allowed_clockskew: 0, warn_only: true, \
               unknown_is_good: true, allow_when_ca_unreachable: true, \
               cache_ttl_when_next_update_unset: \"1m\"}";
    let expected = OcspPeer {
        ca_timeout_ns: 500_000_000,
        allowed_clockskew_ns: 0,
        warn_only: true,
        unknown_is_good: true,
        allow_when_ca_unreachable: true,
        cache_ttl_when_next_update_unset_ns: 60_000_000_000,
    };
    assert_eq!(peer(all), Some(expected));
}

#[test]
fn tls_blocks_know_their_place() {
    let options = options("port: 1\ntls {verify: true}\nleafnodes {\n tls {timeout: 5}\n}");
    let places: Vec<_> = options
        .tls_blocks()
        .iter()
        .map(|(name, tls)| (*name, tls.at.as_ref().unwrap().to_string()))
        .collect();
    assert_eq!(places, [("tls", "f.conf:2:1".to_owned()), ("leafnodes", "f.conf:4:2".to_owned())]);
}
