//! The top-level keys: which exist, what they are called, where they go.

use std::collections::BTreeSet;

use super::report::Report;
use super::tls::{self, TlsUse};
use super::users::GLOBAL_ACCOUNT;
use super::{
    Options, accounts, authorization, cluster, gateway, jetstream, leafnodes, listen, mappings,
    mqtt, ocsp, trust, websocket,
};
use crate::duration::{self, SECOND_NS};
use crate::value::{Map, Node, Value};

/// Shortest time for closing clients in lame duck mode.
const MIN_LAME_DUCK_NS: i64 = 30 * SECOND_NS;

/// Reads all options from a parsed file.
pub(crate) fn parse(file: &str, map: &Map, report: &mut Report) -> Options {
    let mut reader = Reader { options: Options::default(), names: BTreeSet::new(), report };
    if map.is_empty() {
        reader.report.warn_anywhere(format!("{file}: config has no values or is empty"));
    }
    for (key, node) in map.iter() {
        reader.key(key, node);
    }
    reader.callout_accounts();
    reader.options
}

struct Reader<'r> {
    options: Options,
    /// Users seen so far; they are unique on a server.
    names: BTreeSet<String>,
    report: &'r mut Report,
}

impl Reader<'_> {
    /// Each group of keys says whether it knew the key.
    fn key(&mut self, key: &str, node: &Node) {
        let lower = key.to_ascii_lowercase();
        let known = self.identity(&lower, node)
            || self.limit(&lower, node)
            || self.timer(&lower, node)
            || self.log(&lower, node)
            || self.monitoring(&lower, node)
            || self.security(&lower, node)
            || self.trust(&lower, node)
            || self.block(&lower, node);
        if !known {
            self.report.unknown(key, node);
        }
    }

    fn identity(&mut self, key: &str, node: &Node) -> bool {
        let Self { options, report, .. } = self;
        match key {
            "listen" => options.listen = listen::parse(node, report).unwrap_or_default(),
            "port" => options.listen.port = report.int(node).unwrap_or(0),
            "host" | "net" => options.listen.host = text(node, report),
            "client_advertise" => options.client_advertise = text(node, report),
            "server_name" => {
                options.server_name = text(node, report);
                if options.server_name.contains(' ') {
                    report.error(node, "server name cannot contain spaces");
                }
            }
            "server_tags" => self.server_tags(node),
            "server_metadata" => match &node.value {
                Value::Map(map) => {
                    options.server_metadata = report.string_map(map).into_iter().collect();
                }
                other => {
                    let got = other.go_type();
                    report.error(node, format!("error parsing metadata: unsupported type {got}"));
                }
            },
            "feature_flags" => self.feature_flags(node),
            "pidfile" | "pid_file" => options.pid_file = text(node, report),
            "ports_file_dir" => options.ports_file_dir = text(node, report),
            "prof_port" => options.profile_port = report.int(node).unwrap_or(0),
            "prof_block_rate" => options.profile_block_rate = report.int(node).unwrap_or(0),
            _ => return false,
        }
        true
    }

    fn server_tags(&mut self, node: &Node) {
        let tags = match &node.value {
            Value::String(tag) => vec![tag.clone()],
            Value::Array(_) => self.report.one_or_more("tags", node).unwrap_or_default(),
            other => {
                let got = other.go_type();
                self.report.error(node, format!("error parsing tags: unsupported type {got}"));
                return;
            }
        };
        for tag in tags {
            let tag = tag.trim().to_lowercase();
            if !tag.is_empty() && !self.options.server_tags.contains(&tag) {
                self.options.server_tags.push(tag);
            }
        }
    }

    fn feature_flags(&mut self, node: &Node) {
        let Value::Map(map) = &node.value else {
            let got = node.value.go_type();
            let reason = format!("error parsing feature flags: unsupported type {got}");
            self.report.error(node, reason);
            return;
        };
        for (flag, node) in map.iter() {
            match &node.value {
                Value::Bool(on) => {
                    self.options.feature_flags.insert(flag.to_owned(), *on);
                }
                other => {
                    let got = other.go_type();
                    let reason =
                        format!("error parsing feature flag {flag:?}: expected bool, got {got}");
                    self.report.error(node, reason);
                }
            }
        }
    }

    fn limit(&mut self, key: &str, node: &Node) -> bool {
        let Self { options, report, .. } = self;
        let limits = &mut options.limits;
        match key {
            "max_connections" | "max_conn" => {
                limits.max_connections = match report.int(node) {
                    // Zero is a limit like any other; only an absent key means the default.
                    Some(0) => -1,
                    other => other.unwrap_or(0),
                };
            }
            "max_subscriptions" | "max_subs" => {
                limits.max_subscriptions = report.int(node).unwrap_or(0);
            }
            "max_sub_tokens" | "max_subscription_tokens" => match report.int(node) {
                None => {}
                Some(..=0) => report.error(node, format!("{key} value can not be negative")),
                Some(n) => match u8::try_from(n) {
                    Ok(n) => limits.max_sub_tokens = n,
                    Err(_) => report.error(node, format!("{key} value is too big")),
                },
            },
            "max_control_line" => limits.max_control_line = int32(key, node, report),
            "max_payload" => limits.max_payload = int32(key, node, report),
            "max_pending" => limits.max_pending = report.int(node).unwrap_or(0),
            "max_closed_clients" => limits.max_closed_clients = report.int(node).unwrap_or(0),
            "no_fast_producer_stall" => limits.no_fast_producer_stall = flag(node, report),
            "disable_sublist_cache" | "no_sublist_cache" => {
                limits.no_sublist_cache = flag(node, report);
            }
            "no_header_support" => limits.no_header_support = flag(node, report),
            _ => return false,
        }
        true
    }

    fn timer(&mut self, key: &str, node: &Node) -> bool {
        let Self { options, report, .. } = self;
        let limits = &mut options.limits;
        match key {
            "ping_interval" => {
                limits.ping_interval_ns = report.duration(key, node).unwrap_or(0);
            }
            "ping_max" => limits.ping_max = report.int(node).unwrap_or(0),
            "write_deadline" => {
                limits.write_deadline_ns = report.duration(key, node).unwrap_or(0);
            }
            "write_timeout" => limits.write_timeout = cluster::write_timeout(node, report),
            "lame_duck_duration" => {
                let parsed = report.duration_text("error parsing lame_duck_duration: ", node);
                match parsed {
                    Some(ns) if ns < MIN_LAME_DUCK_NS => {
                        let given = duration::format(ns);
                        let reason =
                            format!("invalid lame_duck_duration of {given}, minimum is 30 seconds");
                        report.error(node, reason);
                    }
                    parsed => limits.lame_duck_duration_ns = parsed.unwrap_or(0),
                }
            }
            "lame_duck_grace_period" => {
                let parsed = report.duration_text("error parsing lame_duck_grace_period: ", node);
                match parsed {
                    Some(..0) => {
                        report.error(node, "invalid lame_duck_grace_period, needs to be positive")
                    }
                    parsed => limits.lame_duck_grace_period_ns = parsed.unwrap_or(0),
                }
            }
            "connect_error_reports" => {
                options.connect_error_reports = report.int(node).unwrap_or(0);
            }
            "reconnect_error_reports" => {
                options.reconnect_error_reports = report.int(node).unwrap_or(0);
            }
            _ => return false,
        }
        true
    }

    fn log(&mut self, key: &str, node: &Node) -> bool {
        let Self { options, report, .. } = self;
        let log = &mut options.log;
        match key {
            "debug" => log.debug = flag(node, report),
            "trace" => log.trace = flag(node, report),
            "trace_verbose" => {
                log.trace_verbose = flag(node, report);
                log.trace = log.trace_verbose;
            }
            "trace_headers" => {
                log.trace_headers = flag(node, report);
                log.trace = log.trace_headers;
            }
            "logtime" => log.time = flag(node, report),
            "logtime_utc" => log.time_utc = flag(node, report),
            "logfile" | "log_file" => log.file = text(node, report),
            "logfile_size_limit" | "log_size_limit" => {
                log.size_limit = report.int(node).unwrap_or(0);
            }
            "logfile_max_num" | "log_max_num" => log.max_files = report.int(node).unwrap_or(0),
            "syslog" => log.syslog = flag(node, report),
            "remote_syslog" => log.remote_syslog = text(node, report),
            "max_traced_msg_len" => log.max_traced_msg_len = report.int(node).unwrap_or(0),
            _ => return false,
        }
        true
    }

    fn monitoring(&mut self, key: &str, node: &Node) -> bool {
        let Self { options, report, .. } = self;
        let http = &mut options.http;
        match key {
            "http" | "https" => {
                if let Some(parsed) = listen::parse(node, report) {
                    http.host = parsed.host;
                    if key == "http" {
                        http.port = parsed.port;
                    } else {
                        http.tls_port = parsed.port;
                    }
                }
            }
            "http_port" | "monitor_port" => http.port = report.int(node).unwrap_or(0),
            "https_port" => http.tls_port = report.int(node).unwrap_or(0),
            "http_base_path" => http.base_path = text(node, report),
            _ => return false,
        }
        true
    }

    fn security(&mut self, key: &str, node: &Node) -> bool {
        let Self { options, report, .. } = self;
        match key {
            "tls" => options.tls = tls::parse(node, TlsUse::Clients, report),
            "allow_non_tls" => options.allow_non_tls = flag(node, report),
            "ocsp" => options.ocsp = ocsp::parse(node, report),
            "ocsp_cache" => options.ocsp_cache = ocsp::parse_cache(node, report),
            "authorization" => self.authorization(node),
            "no_auth_user" => options.no_auth_user = text(node, report),
            "accounts" => self.accounts(node),
            "mappings" | "maps" => options.accounts.push(accounts::Account {
                name: GLOBAL_ACCOUNT.to_owned(),
                mappings: mappings::parse(node, report),
                ..accounts::Account::default()
            }),
            "system_account" | "system" => match &node.value {
                // The longer key wins when both are written.
                Value::String(name) => {
                    if key == "system_account" || options.system_account.is_empty() {
                        options.system_account.clone_from(name);
                    }
                }
                _ => report.error(node, "system account name must be a string"),
            },
            "no_system_account" | "no_system" | "no_sys_acc" => {
                options.no_system_account = flag(node, report);
            }
            "proxies" => options.proxies = trust::proxies(node, report).unwrap_or_default(),
            "proxy_protocol" => options.proxy_protocol = flag(node, report),
            _ => return false,
        }
        true
    }

    fn authorization(&mut self, node: &Node) {
        let Some(auth) = authorization::parse(node, self.report) else { return };
        let single = !auth.user.is_empty() || !auth.pass.is_empty();
        if single && !auth.token.is_empty() {
            self.report.error(node, "Cannot have a user/pass and token");
        } else if auth.has_users || !self.names.is_empty() {
            if !auth.user.is_empty() {
                self.report.error(node, "Can not have a single user/pass and a users array");
            } else if !auth.token.is_empty() {
                self.report.error(node, "Can not have a token and a users array");
            }
            accounts::unique_users(&auth.users, node, &mut self.names, self.report);
        }
        self.options.authorization = auth;
    }

    fn accounts(&mut self, node: &Node) {
        let auth = &self.options.authorization;
        let authorized = match (auth.user.is_empty(), auth.token.is_empty()) {
            (false, _) => Some("single user/pass"),
            (true, false) => Some("token"),
            (true, true) => None,
        };
        let parsed = accounts::parse(node, &mut self.names, authorized, self.report);
        self.options.accounts.extend(parsed);
        // Names are looked up only in a sound configuration, as in nats-server.
        if self.report.errors.is_empty() {
            accounts::check_names(&self.options.accounts, node, self.report);
        }
    }

    fn trust(&mut self, key: &str, node: &Node) -> bool {
        let Self { options, report, .. } = self;
        let trust = &mut options.trust;
        match key {
            "operator" | "operators" | "roots" | "root" | "root_operators" | "root_operator" => {
                trust.operators = trust::operators(node, report);
            }
            "trusted" | "trusted_keys" => trust.trusted_keys = trust::trusted_keys(node, report),
            "resolver" | "account_resolver" | "accounts_resolver" => {
                trust.resolver = trust::resolver(node, report);
            }
            "resolver_tls" => trust.resolver_tls = tls::parse(node, TlsUse::Clients, report),
            "resolver_preload" => trust.resolver_preload = trust::preload(node, report),
            "resolver_pinned_accounts" => {
                trust.resolver_pinned_accounts = trust::pinned_accounts(node, report);
            }
            "default_sentinel" => trust.default_sentinel = text(node, report),
            _ => return false,
        }
        true
    }

    fn block(&mut self, key: &str, node: &Node) -> bool {
        let Self { options, report, .. } = self;
        match key {
            "store_dir" | "storedir" => {
                jetstream::store_dir(&mut options.jetstream, node, report);
            }
            "jetstream" => jetstream::parse(node, &mut options.jetstream, report),
            "default_js_domain" => match &node.value {
                Value::Map(map) => {
                    options.default_js_domain = report.string_map(map).into_iter().collect();
                }
                other => {
                    let got = other.go_type();
                    let reason = format!("error default_js_domain config: unsupported type {got}");
                    report.error(node, reason);
                }
            },
            "cluster" => options.cluster = cluster::parse(node, report).unwrap_or_default(),
            "gateway" => options.gateway = gateway::parse(node, report).unwrap_or_default(),
            "leaf" | "leafnodes" => {
                options.leafnodes = leafnodes::parse(node, report).unwrap_or_default();
            }
            "websocket" | "ws" => {
                options.websocket = websocket::parse(node, report).unwrap_or_default();
            }
            "mqtt" => options.mqtt = mqtt::parse(node, report).unwrap_or_default(),
            _ => return false,
        }
        true
    }

    /// Accounts a callout may place users in must exist.
    fn callout_accounts(&mut self) {
        let Some(callout) = &self.options.authorization.auth_callout else { return };
        for name in &callout.allowed_accounts {
            if self.options.account(name).is_none() {
                let reason = format!(
                    "auth_callout allowed account {name:?} not found in configured accounts"
                );
                self.report.error_anywhere(reason);
            }
        }
    }
}

fn text(node: &Node, report: &mut Report) -> String {
    report.string(node).unwrap_or_default()
}

fn flag(node: &Node, report: &mut Report) -> bool {
    report.boolean(node).unwrap_or(false)
}

/// A size that travels as a 32 bit number.
fn int32(key: &str, node: &Node, report: &mut Report) -> i64 {
    let number = report.int(node).unwrap_or(0);
    if number > i64::from(i32::MAX) {
        report.error(node, format!("{key} value is too big"));
        return 0;
    }
    number
}
