//! Checks over several fields. They run at start and reload, not with `-t`.

use std::collections::BTreeSet;

use thiserror::Error;

use super::Options;
use super::cluster::Compression;
use super::permissions::check_subjects;
use super::users::GLOBAL_ACCOUNT;
use crate::duration;
use crate::nkey::{self, KeyKind};
use crate::subject;
use crate::url::Url;

/// Why a server cannot start with these options; the display form follows `nats-server: `.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct StartError(pub String);

type Check = Result<(), StartError>;

fn fail<T>(reason: impl Into<String>) -> Result<T, StartError> {
    Err(StartError(reason.into()))
}

/// Checks options that have their flags and defaults applied.
pub fn validate_start(options: &Options) -> Check {
    limits(options)?;
    trust(options)?;
    leafnodes(options)?;
    no_auth_user(options, &options.no_auth_user)?;
    system_account(options)?;
    gateway(options)?;
    cluster(options)?;
    mqtt(options)?;
    jetstream(options)?;
    websocket(options)
}

fn limits(options: &Options) -> Check {
    let limits = &options.limits;
    let (grace, whole) = (limits.lame_duck_grace_period_ns, limits.lame_duck_duration_ns);
    if whole > 0 && grace >= whole {
        return fail(format!(
            "lame duck grace period ({}) should be strictly lower than lame duck duration ({})",
            duration::format(grace),
            duration::format(whole)
        ));
    }
    let (payload, pending) = (limits.max_payload, limits.max_pending);
    if payload > pending {
        return fail(format!(
            "max_payload ({payload}) cannot be higher than max_pending ({pending})"
        ));
    }
    if !options.client_advertise.is_empty() && options.advertised().is_none() {
        let advertised = &options.client_advertise;
        return fail(format!("invalid ClientAdvertise value of {advertised}"));
    }
    if options.server_name.contains(' ') {
        return fail("server name cannot contain spaces");
    }
    Ok(())
}

fn trust(options: &Options) -> Check {
    let trust = &options.trust;
    if trust.operators.is_empty() {
        if !trust.default_sentinel.is_empty() {
            return fail("default sentinel requires operators and accounts");
        }
        return Ok(());
    }
    // The operator JWT may name a resolver itself, so its absence is judged after reading it.
    if !options.accounts.is_empty() {
        return fail("operators do not allow Accounts to be configured directly");
    }
    if options.users().next().is_some() {
        return fail("operators do not allow users to be configured directly");
    }
    if !trust.trusted_keys.is_empty() {
        return fail("conflicting options for 'TrustedKeys' and 'TrustedOperators'");
    }
    Ok(())
}

fn no_auth_user(options: &Options, name: &str) -> Check {
    if name.is_empty() {
        return Ok(());
    }
    if !options.trust.operators.is_empty() {
        return fail("no_auth_user not compatible with Trusted Operator");
    }
    if options.users().any(|user| user.identity() == name) {
        return Ok(());
    }
    if options.users().next().is_none() && !options.authorization.has_users {
        return fail(format!("no_auth_user: \"{name}\" present, but users/nkeys are not defined"));
    }
    fail(format!(
        "no_auth_user: \"{name}\" not present as user or nkey in authorization block or account \
         configuration"
    ))
}

fn system_account(options: &Options) -> Check {
    let name = &options.system_account;
    let known = name.is_empty() || options.is_operator_mode() || options.account(name).is_some();
    if known { Ok(()) } else { fail("error resolving system account: account missing") }
}

fn leafnodes(options: &Options) -> Check {
    let leaf = &options.leafnodes;
    compression(&leaf.compression)?;
    let accounts = options.account_names();
    let exists = |name: &str, place: &str| -> Check {
        if name.is_empty() || accounts.contains(name) {
            return Ok(());
        }
        fail(format!("cannot find local account {name:?} specified in leafnode {place}"))
    };
    if options.trust.operators.is_empty() {
        exists(&leaf.authorization.account, "authorization")?;
        for user in &leaf.authorization.users {
            exists(&user.account, "authorization")?;
        }
        for remote in &leaf.remotes {
            exists(&remote.account, "remote")?;
        }
    } else {
        if !leaf.authorization.users.is_empty() {
            return fail("operator mode does not allow specifying users in leafnode config");
        }
        if leaf.remotes.iter().any(|r| !nkey::is_public(&r.account, KeyKind::Account)) {
            return fail(
                "operator mode requires the `account` of every leafnode remote to be a public \
                 account nkey",
            );
        }
        let account = &leaf.authorization.account;
        let bound = leaf.listen.is_set() && !account.is_empty();
        if bound && !nkey::is_public(account, KeyKind::Account) {
            return fail("operator mode and non account nkeys are incompatible");
        }
    }
    for remote in &leaf.remotes {
        compression(&remote.compression)?;
        let is_ws = |url: &Url| url.scheme == "ws" || url.scheme == "wss";
        let websockets = remote.urls.iter().filter(|url| is_ws(url)).count();
        if websockets != 0 && websockets != remote.urls.len() {
            let urls: Vec<String> = remote.urls.iter().map(ToString::to_string).collect();
            return fail(format!(
                "remote leaf node configuration cannot have a mix of websocket and non-websocket \
                 urls: {urls:?}"
            ));
        }
    }
    let in_use = leaf.listen.is_set() || !leaf.remotes.is_empty();
    let gateways = options.gateway.listen.is_set() || !options.gateway.name.is_empty();
    if in_use && gateways && options.system_account.is_empty() {
        return fail(
            "leaf nodes and gateways (both being defined) require a system account to also be configured",
        );
    }
    Ok(())
}

fn gateway(options: &Options) -> Check {
    let gateway = &options.gateway;
    let name = &gateway.name;
    if name.is_empty() {
        return if gateway.listen.is_set() { fail("gateway has no name") } else { Ok(()) };
    }
    if name.contains(' ') {
        return fail("gateway name cannot contain spaces");
    }
    if !gateway.listen.is_set() {
        return fail(format!("gateway {name:?} has no port specified (select -1 for random port)"));
    }
    for (i, remote) in gateway.gateways.iter().enumerate() {
        if remote.name.is_empty() {
            return fail(format!("gateway in the list {i} has no name"));
        }
        if remote.urls.is_empty() {
            return fail(format!("gateway {:?} has no URL", remote.name));
        }
    }
    Ok(())
}

fn cluster(options: &Options) -> Check {
    let cluster = &options.cluster;
    if cluster.name.contains(' ') {
        return fail("cluster name cannot contain spaces");
    }
    compression(&cluster.compression)?;
    let gateway = &options.gateway.name;
    if !gateway.is_empty() && !cluster.name.is_empty() && *gateway != cluster.name {
        return fail("cluster name conflicts between cluster and gateway definitions");
    }
    if cluster.accounts.is_empty() {
        return Ok(());
    }
    if cluster.pool_size < 0 {
        return fail("pool_size cannot be negative if pinned accounts are specified");
    }
    let mut seen = BTreeSet::new();
    match cluster.accounts.iter().find(|name| !seen.insert(*name)) {
        Some(name) => fail(format!(
            "found duplicate account name {name:?} in pinned accounts list {:?}",
            cluster.accounts
        )),
        None => Ok(()),
    }
}

fn compression(compression: &Compression) -> Check {
    let modes = [
        "",
        "on",
        "enabled",
        "true",
        "not supported",
        "not_supported",
        "disabled",
        "off",
        "false",
        "accept",
        "auto",
        "s2_auto",
        "fast",
        "s2_fast",
        "better",
        "s2_better",
        "best",
        "s2_best",
    ];
    let mode = &compression.mode;
    if !modes.contains(&mode.to_ascii_lowercase().as_str()) {
        return fail(format!("unsupported compression mode {mode:?}"));
    }
    let rtts: Vec<i64> = compression.rtt_thresholds_ns.iter().map(|ns| (*ns).max(0)).collect();
    let shown: Vec<String> = rtts.iter().map(|ns| duration::format(*ns)).collect();
    let above_zero: Vec<i64> = rtts.iter().copied().filter(|ns| *ns != 0).collect();
    if !above_zero.is_sorted() {
        return fail(format!("RTT threshold values {shown:?} should be in ascending order"));
    }
    let last = rtts.iter().rposition(|ns| *ns != 0);
    match (rtts.is_empty(), last) {
        (true, _) => Ok(()),
        (false, None) => {
            fail(format!("compression mode {mode:?} requires at least one RTT threshold"))
        }
        (false, Some(last)) if last >= 4 => fail(format!(
            "compression mode {mode:?} should have no more than 4 RTT thresholds: {shown:?}"
        )),
        (false, Some(_)) => Ok(()),
    }
}

fn mqtt(options: &Options) -> Check {
    let mqtt = &options.mqtt;
    if !mqtt.listen.is_set() {
        return Ok(());
    }
    let clustered = options.cluster.listen.is_set() || options.gateway.listen.is_set();
    if options.server_name.is_empty() && clustered {
        return fail("mqtt requires server name to be explicitly set");
    }
    no_auth_user(options, &mqtt.no_auth_user)?;
    if options.users().next().is_some() {
        if !mqtt.authorization.user.is_empty() {
            return fail(
                "mqtt authentication username not compatible with presence of users/nkeys",
            );
        }
        if !mqtt.authorization.token.is_empty() {
            return fail("mqtt authentication token not compatible with presence of users/nkeys");
        }
    }
    if mqtt.ack_wait_ns < 0 {
        return fail("ack wait must be a positive value");
    }
    if mqtt.js_api_timeout_ns < 0 {
        return fail("JS API timeout must be a positive value");
    }
    let leaf = options.leafnodes.listen.is_set() || !options.leafnodes.remotes.is_empty();
    if !options.jetstream.enabled && !clustered && !leaf {
        return fail("mqtt requires JetStream to be enabled if running in standalone mode");
    }
    Ok(())
}

fn jetstream(options: &Options) -> Check {
    default_domains(options)?;
    let js = &options.jetstream;
    let domain = &js.domain;
    if !domain.is_empty() {
        let derived = format!("$JS.{domain}.API.>");
        if !subject::is_valid(&derived) {
            return fail(format!(
                "invalid domain name: derived {derived:?} is not a valid subject"
            ));
        }
        if domain.contains(['.', '*', '>']) {
            return fail("invalid domain name: may not contain ., * or >");
        }
    }
    if !js.enabled || !options.cluster.listen.is_set() {
        return Ok(());
    }
    if options.server_name.is_empty() {
        return fail("jetstream cluster requires `server_name` to be set");
    }
    if options.cluster.name.is_empty() && options.gateway.name.is_empty() {
        return fail("jetstream cluster requires `cluster.name` to be set");
    }
    let hint = js.extension_hint.to_ascii_lowercase();
    if !matches!(hint.as_str(), "" | "will_extend" | "no_extend") {
        return fail(format!("expected 'no_extend' for string value, got '{hint}'"));
    }
    if js.max_outstanding_catchup < 0 {
        return fail("jetstream max catchup cannot be negative");
    }
    Ok(())
}

fn default_domains(options: &Options) -> Check {
    let operators = !options.trust.operators.is_empty();
    for (name, domain) in &options.default_js_domain {
        if operators {
            if !nkey::is_public(name, KeyKind::Account) {
                return fail(format!(
                    "default_js_domain contains account name {name:?}, which is not a valid \
                     public account nkey"
                ));
            }
        } else if name != GLOBAL_ACCOUNT {
            match options.account(name) {
                Some(account) if account.jetstream.is_some() && !domain.is_empty() => {
                    return fail(format!(
                        "default_js_domain contains account name {name:?} with enabled JetStream"
                    ));
                }
                Some(_) => {}
                None => {
                    return fail(format!(
                        "in non operator mode, `default_js_domain` references non existing \
                         account {name:?}"
                    ));
                }
            }
        }
        if options.system_account_name() == Some(name) {
            return fail(format!("system account {name:?} can not be in default_js_domain"));
        }
        if !domain.is_empty() && !subject::is_valid(&format!("$JS.{domain}.API.>")) {
            return fail(format!(
                "default_js_domain contains account {name:?} with invalid domain name {domain:?}"
            ));
        }
    }
    Ok(())
}

fn websocket(options: &Options) -> Check {
    let ws = &options.websocket;
    if !ws.listen.is_set() {
        return Ok(());
    }
    if ws.tls.is_none() && !ws.no_tls {
        return fail("websocket requires TLS configuration");
    }
    for origin in &ws.allowed_origins {
        match Url::parse(origin) {
            Some(url) if !matches!(url.scheme.as_str(), "http" | "https") => {
                return fail(format!(
                    "unable to parse allowed origin {origin:?}: allowed origins must be absolute \
                     URLs with http or https scheme"
                ));
            }
            Some(url) if url.host.is_empty() => {
                return fail(format!(
                    "unable to parse allowed origin {origin:?}: host is required"
                ));
            }
            Some(_) => {}
            None => {
                return fail(format!(
                    "unable to parse allowed origin: parse {origin:?}: invalid URI for request"
                ));
            }
        }
    }
    no_auth_user(options, &ws.no_auth_user)?;
    if options.users().next().is_some() {
        for (text, what) in
            [(&ws.authorization.user, "username"), (&ws.authorization.token, "token")]
        {
            if !text.is_empty() {
                return fail(format!(
                    "websocket authentication {what} not compatible with presence of users/nkeys"
                ));
            }
        }
    }
    if !ws.jwt_cookie.is_empty() && !options.is_operator_mode() {
        return fail(format!(
            "trusted operators or trusted keys configuration is required for JWT authentication \
             via cookie {:?}",
            ws.jwt_cookie
        ));
    }
    for header in ws.headers.keys() {
        let lower = header.to_ascii_lowercase();
        if ["host", "content-length", "connection", "upgrade", "nats-no-masking"]
            .contains(&lower.as_str())
        {
            return fail(format!("websocket: invalid header {header:?} not allowed"));
        }
        if lower.starts_with("sec-websocket-") {
            return fail(format!(
                "websocket: invalid header {header:?}, \"Sec-WebSocket-\" prefix not allowed"
            ));
        }
    }
    Ok(())
}

/// Permission subjects, for options that did not come from a file.
pub fn validate_permissions(options: &Options) -> Check {
    for user in options.users() {
        let Some(permissions) = &user.permissions else { continue };
        for (side, queues, word) in
            [(&permissions.publish, false, "publish"), (&permissions.subscribe, true, "subscribe")]
        {
            let Some(side) = side else { continue };
            let allow = side.allow.as_deref().unwrap_or_default();
            for (list, what) in [(allow, "allow"), (side.deny.as_slice(), "deny")] {
                if let Err(reason) = check_subjects(list, queues) {
                    return fail(format!(
                        "invalid permissions for user {:?}: {word} {what}: {reason}",
                        user.identity()
                    ));
                }
            }
        }
    }
    Ok(())
}
