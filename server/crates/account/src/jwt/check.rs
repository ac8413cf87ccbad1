//! What a well-signed token may not say: the rules a token breaks if it was made
//! by hand or by a wrong tool. Times are not judged here.

use super::NO_LIMIT;
use super::account::{AccountClaims, ClusterTraffic, Mapping};
use super::decode::decode_activation;
use super::exchange::{Export, Import, Kind, ResponseType};
use super::operator::OperatorClaims;
use super::user::{Permissions, TimeRange, UserClaims};
use crate::nkey::{KeyKind, is_public};
use crate::operator::conditions;
use gust_subject::{has_wildcards, subset, valid_publish, valid_subscribe};
use std::collections::BTreeMap;

/// What is wrong with a token's claims.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ClaimsError(pub String);

type Check = Result<(), ClaimsError>;

fn fail(reason: impl Into<String>) -> Check {
    Err(ClaimsError(reason.into()))
}

impl OperatorClaims {
    /// Its keys are keys and its version is one.
    pub fn check(&self) -> Check {
        let nats = &self.nats;
        for key in &nats.signing_keys {
            if !is_public(key, KeyKind::Operator) {
                return fail(format!("signing key {key:?} is no public operator key"));
            }
        }
        if !nats.system_account.is_empty() && !is_public(&nats.system_account, KeyKind::Account) {
            let account = &nats.system_account;
            return fail(format!("system account {account:?} is no public account key"));
        }
        Ok(())
    }
}

impl UserClaims {
    /// Subjects, networks and times are ones.
    pub fn check(&self) -> Check {
        let limits = &self.nats.limits;
        permissions(&limits.permissions)?;
        for network in &limits.src {
            if conditions::parse_network(network).is_none() {
                return fail(format!("src {network:?} is no network in CIDR notation"));
            }
        }
        for TimeRange { start, end } in &limits.times {
            if conditions::parse_time(start).is_none() || conditions::parse_time(end).is_none() {
                return fail(format!("times {start:?} to {end:?} are not of the form HH:MM:SS"));
            }
        }
        let zone = &limits.times_location;
        if !zone.is_empty() && conditions::zone(zone).is_none() {
            return fail(format!("times_location {zone:?} is no IANA time zone"));
        }
        let account = &self.nats.issuer_account;
        if !account.is_empty() && !is_public(account, KeyKind::Account) {
            return fail(format!("issuer_account {account:?} is no public account key"));
        }
        Ok(())
    }
}

impl AccountClaims {
    /// It keeps its own limits, and what it says has a meaning.
    pub fn check(&self) -> Check {
        let nats = &self.nats;
        if nats.limits.tiered_limits.contains_key("") {
            return fail("tiered_limits have a tier without a name");
        }
        self.check_counts()?;
        exports(&nats.exports)?;
        imports(&self.subject, &nats.imports)?;
        permissions(&nats.default_permissions)?;
        for (source, destinations) in &nats.mappings {
            mapping(source, destinations)?;
        }
        let authorization = &nats.authorization;
        if authorization.auth_users.is_empty() && !authorization.allowed_accounts.is_empty() {
            return fail("authorization names allowed_accounts but no auth_users");
        }
        for user in &authorization.auth_users {
            if !is_public(user, KeyKind::User) {
                return fail(format!("auth user {user:?} is no public user key"));
            }
        }
        for account in &authorization.allowed_accounts {
            let any = account == "*" && authorization.allowed_accounts.len() == 1;
            if !any && !is_public(account, KeyKind::Account) {
                return fail(format!("allowed account {account:?} is no public account key"));
            }
        }
        if !authorization.xkey.is_empty() && !is_public(&authorization.xkey, KeyKind::Curve) {
            return fail(format!("xkey {:?} is no public curve key", authorization.xkey));
        }
        if let Some(trace) = &nats.trace {
            let destination = trace.destination.as_bytes();
            if !valid_publish(destination) || !(0..=100).contains(&trace.sampling) {
                return fail("trace needs a subject without wildcards and a sampling up to 100");
            }
        }
        if nats.cluster_traffic == ClusterTraffic::Unknown {
            return fail("cluster_traffic is neither system nor owner");
        }
        for key in &nats.signing_keys {
            if !is_public(&key.key, KeyKind::Account) {
                return fail(format!("signing key {:?} is no public account key", key.key));
            }
        }
        Ok(())
    }

    fn check_counts(&self) -> Check {
        let nats = &self.nats;
        let over = |limit: i64, count: usize| {
            limit != NO_LIMIT && i64::try_from(count).is_ok_and(|count| count > limit)
        };
        if over(nats.limits.imports, nats.imports.len()) {
            return fail("there are more imports than the operator allows");
        }
        if over(nats.limits.exports, nats.exports.len()) {
            return fail("there are more exports than the operator allows");
        }
        let wild = |e: &Export| has_wildcards(e.subject.as_bytes());
        let limited = nats.limits.exports != NO_LIMIT && !nats.limits.wildcard_exports;
        if let Some(export) = nats.exports.iter().find(|e| limited && wild(e)) {
            let subject = &export.subject;
            return fail(format!("export {subject:?} has wildcards, which are not allowed"));
        }
        Ok(())
    }
}

fn permissions(permissions: &Permissions) -> Check {
    let valid = |text: &str| text.split(' ').all(plain_subject);
    let sides = [(&permissions.publish, 1), (&permissions.subscribe, 2)];
    for (side, parts) in sides {
        for text in side.allow.iter().chain(&side.deny) {
            if !valid(text) || text.split(' ').count() > parts {
                return fail(format!("permission {text:?} is no valid subject"));
            }
        }
    }
    Ok(())
}

/// A subject, possibly with templates in it.
fn plain_subject(text: &str) -> bool {
    !text.is_empty() && !text.split('.').any(str::is_empty)
}

fn mapping(source: &str, destinations: &[Mapping]) -> Check {
    if !plain_subject(source) {
        return fail(format!("mapping of {source:?}: not a valid subject"));
    }
    let mut totals: BTreeMap<&str, u32> = BTreeMap::new();
    for destination in destinations {
        let total = totals.entry(&destination.cluster).or_default();
        *total += if destination.weight == 0 { 100 } else { u32::from(destination.weight) };
        if *total > 100 {
            return fail(format!("mapping of {source:?}: weights are over 100 percent"));
        }
    }
    Ok(())
}

fn exports(exports: &[Export]) -> Check {
    for (at, export) in exports.iter().enumerate() {
        export_alone(export)
            .map_err(|cause| ClaimsError(format!("export {:?}: {cause}", export.subject)))?;
        let covers = |(other_at, other): &(usize, &Export)| {
            *other_at != at
                && other.kind == export.kind
                && subset(export.subject.as_bytes(), other.subject.as_bytes())
        };
        if let Some((_, other)) = exports.iter().enumerate().find(covers) {
            let (inner, outer) = (&export.subject, &other.subject);
            return fail(format!("export {outer:?} already exports {inner:?}"));
        }
    }
    Ok(())
}

fn export_alone(export: &Export) -> Check {
    if !valid_subscribe(export.subject.as_bytes()) {
        return fail("not a valid subject");
    }
    match export.kind {
        Kind::Unknown => return fail("neither stream nor service"),
        Kind::Stream => {
            let only_services = export.response_type != ResponseType::Unset
                || export.allow_trace
                || export.service_latency.is_some()
                || export.response_threshold != 0;
            if only_services {
                return fail("responses, latency and tracing are for services only");
            }
        }
        Kind::Service => {
            if export.response_threshold < 0 {
                return fail("response_threshold is negative");
            }
        }
    }
    if let Some(latency) = &export.service_latency {
        let in_range = (0..=100).contains(&latency.sampling.0);
        if !in_range || !valid_publish(latency.results.as_bytes()) {
            return fail("latency needs a subject without wildcards and a sampling up to 100");
        }
    }
    if export.account_token_position > 0 {
        let at = export.account_token_position as usize - 1;
        if export.subject.split('.').nth(at) != Some("*") {
            return fail("account_token_position does not name a * of the subject");
        }
    }
    Ok(())
}

fn imports(account: &str, imports: &[Import]) -> Check {
    let mut services: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for import in imports {
        import_alone(account, import)
            .map_err(|cause| ClaimsError(format!("import {:?}: {cause}", import.subject)))?;
        if import.kind != Kind::Service {
            continue;
        }
        let local = [&import.to, &import.local_subject, &import.subject];
        let local = local.into_iter().find(|s| !s.is_empty()).map_or("", String::as_str);
        let local = without_references(local);
        let others = services.entry(&import.account).or_default();
        let within = |a: &str, b: &str| subset(a.as_bytes(), b.as_bytes());
        if others.iter().any(|other| within(other, &local) || within(&local, other)) {
            let subject = &import.subject;
            return fail(format!("import {subject:?} overlaps another one of the same account"));
        }
        others.push(local);
    }
    Ok(())
}

/// `$1` for `*`.
fn without_references(subject: &str) -> String {
    let token = |t: &str| if is_reference(t) { "*".to_owned() } else { t.to_owned() };
    subject.split('.').map(token).collect::<Vec<_>>().join(".")
}

fn is_reference(token: &str) -> bool {
    token.strip_prefix('$').is_some_and(|n| n.parse::<u32>().is_ok())
}

fn import_alone(account: &str, import: &Import) -> Check {
    match import.kind {
        Kind::Unknown => return fail("neither stream nor service"),
        Kind::Service if import.allow_trace => return fail("allow_trace is for streams only"),
        Kind::Stream if import.share => return fail("share is for services only"),
        Kind::Stream | Kind::Service => {}
    }
    if import.account.is_empty() {
        return fail("names no account to import from");
    }
    if !plain_subject(&import.subject) {
        return fail("not a valid subject");
    }
    if !import.local_subject.is_empty() {
        if !import.to.is_empty() {
            return fail("local_subject replaces to; give only one");
        }
        local_subject(&import.subject, &import.local_subject)?;
    }
    if !import.token.is_empty() {
        activation(account, import)?;
    }
    Ok(())
}

fn local_subject(from: &str, local: &str) -> Check {
    let open = |s: &str| s == ">" || s.ends_with(".>");
    let wildcards = |s: &str| s.split('.').filter(|t| *t == "*").count();
    let references = local.split('.').filter(|t| *t == "*" || is_reference(t)).count();
    if !plain_subject(local) || open(from) != open(local) || references != wildcards(from) {
        return fail(format!("local_subject {local:?} does not use the wildcards of the subject"));
    }
    Ok(())
}

/// The token of an import is one, for this import into this account.
fn activation(account: &str, import: &Import) -> Check {
    let token = match decode_activation(&import.token) {
        Ok(token) => token,
        Err(cause) => return fail(format!("its activation token is invalid: {cause}")),
    };
    if token.issuer != import.account && token.nats.issuer_account != import.account {
        return fail("its activation token is of another account than the one imported from");
    }
    if token.subject != account {
        return fail("its activation token is for another account");
    }
    let legacy_service = import.kind == Kind::Service && !import.to.is_empty();
    let subject = if legacy_service { &import.to } else { &import.subject };
    let covered = subset(subject.as_bytes(), token.nats.import_subject.as_bytes());
    if token.nats.kind != import.kind || !covered {
        return fail("its activation token is for something else");
    }
    Ok(())
}
