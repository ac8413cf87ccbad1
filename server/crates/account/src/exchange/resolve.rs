//! Exports and imports of all accounts, checked against each other.

use super::cycles::{Accepted, service_cycle, stream_cycle};
use super::fault::{ExchangeError, ExchangeFault};
use super::rules::{Access, ExportRule, ImportRule, word};
use super::service::{ServiceExport, ServiceImport};
use super::stream::StreamImport;
use gust_config::options::exchange::{ExchangeKind, ResponseType};
use gust_subject::tokens::ONE;
use gust_subject::{has_wildcards, subset, tokens, valid_publish, valid_subscribe};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An account with its rules.
#[derive(Debug, Clone, Copy)]
pub struct Party<'a> {
    /// Name.
    pub name: &'a Arc<str>,
    /// What others may import.
    pub exports: &'a [ExportRule],
    /// What it imports.
    pub imports: &'a [ImportRule],
}

/// An activation token to be judged.
#[derive(Debug, Clone, Copy)]
pub struct Activation<'a> {
    /// Account that presents it.
    pub importer: &'a str,
    /// Account that must have issued it.
    pub exporter: &'a str,
    /// What is imported.
    pub import: &'a ImportRule,
    /// Revoked tokens: account or `*`, and seconds since the epoch.
    pub revoked: &'a BTreeMap<String, i64>,
}

/// Judges an activation token: until when it is good (seconds since the epoch,
/// `None`: for ever), or why it is not.
pub type Judge<'a> = &'a dyn Fn(&Activation<'_>) -> Result<Option<i64>, String>;

/// The imports of one account, ready to use.
#[derive(Debug, Default, PartialEq)]
pub struct AccountExchange {
    /// Streams, in the order they were written.
    pub streams: Vec<Arc<StreamImport>>,
    /// Services.
    pub services: Vec<Arc<ServiceImport>>,
    /// What was written and cannot be used.
    pub invalid: Vec<InvalidImport>,
}

/// An import that is not in force.
#[derive(Debug, Clone, PartialEq)]
pub struct InvalidImport {
    /// Its place among the imports of its account.
    pub index: usize,
    /// Why.
    pub error: ExchangeError,
}

/// The imports of all accounts that have some. Immutable.
#[derive(Debug, Default)]
pub struct Exchange {
    accounts: BTreeMap<Arc<str>, Arc<AccountExchange>>,
    errors: Vec<ExchangeError>,
    missing: BTreeSet<String>,
}

impl Exchange {
    /// Checks the rules of `parties`. What is wrong is left out and told by
    /// [`Exchange::errors`]; whether that is fatal is the caller's to say.
    /// `has_system`: whether measurements can be published.
    pub fn resolve<'a>(
        parties: impl IntoIterator<Item = Party<'a>>,
        has_system: bool,
        judge: Judge<'_>,
    ) -> Exchange {
        let mut parties: Vec<Party<'a>> = parties.into_iter().collect();
        parties.sort_by_key(|p| p.name.clone());
        let mut exchange = Exchange::default();
        let mut markets = BTreeMap::new();
        for party in &parties {
            let market = Market::open(party, has_system, &mut exchange.errors);
            markets.insert(&**party.name, market);
        }
        let mut resolver =
            Resolver { markets, judge, streams: BTreeMap::new(), services: BTreeMap::new() };
        for party in parties.iter().filter(|p| !p.imports.is_empty()) {
            let mut invalid = Vec::new();
            for (index, import) in party.imports.iter().enumerate() {
                let Err(fault) = resolver.import(party.name, import) else { continue };
                if fault == ExchangeFault::NoAccount {
                    exchange.missing.insert(import.account.clone());
                }
                let error = fault_of_import(party.name, import, fault);
                exchange.errors.push(error.clone());
                invalid.push(InvalidImport { index, error });
            }
            let own = AccountExchange {
                streams: resolver.streams.get(party.name).cloned().unwrap_or_default(),
                services: resolver.services.get(party.name).cloned().unwrap_or_default(),
                invalid,
            };
            exchange.accounts.insert(party.name.clone(), Arc::new(own));
        }
        exchange
    }

    /// What this account imports, if it does.
    pub fn of(&self, account: &str) -> Option<&Arc<AccountExchange>> {
        self.accounts.get(account)
    }

    /// All accounts that import something, by name.
    pub fn accounts(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<AccountExchange>)> {
        self.accounts.iter()
    }

    /// Whether nobody imports anything.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// All that was wrong, exports first.
    pub fn errors(&self) -> &[ExchangeError] {
        &self.errors
    }

    /// Exporting accounts that were not among the parties: once loaded, imports
    /// from them may become valid.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        self.missing.iter().map(String::as_str)
    }

    /// When the next import expires, in seconds since the epoch.
    pub fn expires(&self) -> Option<i64> {
        let of = |a: &AccountExchange| {
            let streams = a.streams.iter().filter_map(|s| s.expires);
            streams.chain(a.services.iter().filter_map(|s| s.expires)).min()
        };
        self.accounts.values().filter_map(|a| of(a)).min()
    }
}

/// What one account offers.
struct Market<'a> {
    streams: Vec<&'a ExportRule>,
    services: Vec<(&'a ExportRule, Arc<ServiceExport>)>,
}

impl<'a> Market<'a> {
    fn open(party: &Party<'a>, has_system: bool, errors: &mut Vec<ExchangeError>) -> Self {
        let mut market = Market { streams: Vec::new(), services: Vec::new() };
        for rule in party.exports {
            if let Err((what, fault)) = check_export(party, rule, has_system) {
                let measured = rule.latency.as_ref().filter(|_| what.ends_with("on subject"));
                errors.push(ExchangeError {
                    at: place(&rule.at),
                    what,
                    subject: measured.map_or(&rule.subject, |l| &l.subject).clone(),
                    fault,
                    between: format!(" (account {:?})", &**party.name),
                });
                continue;
            }
            match rule.kind {
                ExchangeKind::Stream => market.streams.push(rule),
                ExchangeKind::Service => {
                    market.services.push((rule, Arc::new(ServiceExport::new(rule))));
                }
            }
        }
        market
    }
}

/// What was being done, and what is wrong with it.
fn check_export(
    party: &Party<'_>,
    rule: &ExportRule,
    has_system: bool,
) -> Result<(), (String, ExchangeFault)> {
    let adding = || format!("Error adding {} export", word(rule.kind));
    if !valid_subscribe(rule.subject.as_bytes()) {
        return Err((adding(), ExchangeFault::Subject));
    }
    if let Access::Position(position) = rule.access {
        let token = tokens(rule.subject.as_bytes()).nth(position - 1);
        if token != Some(ONE) {
            return Err((adding(), ExchangeFault::Subject));
        }
    }
    let Some(latency) = &rule.latency else { return Ok(()) };
    let subject = &rule.subject;
    let what = format!("Error adding service latency sampling for {subject:?} on subject");
    let sampling = |fault| Err((what, fault));
    if !has_system {
        return sampling(ExchangeFault::NoSystemAccount);
    }
    let to = latency.subject.as_bytes();
    let exported =
        |e: &ExportRule| e.kind == ExchangeKind::Service && subset(to, e.subject.as_bytes());
    if !valid_publish(to) || party.exports.iter().any(exported) {
        return sampling(ExchangeFault::LatencySubject);
    }
    if rule.response != ResponseType::Singleton {
        return sampling(ExchangeFault::LatencyResponse);
    }
    Ok(())
}

struct Resolver<'a, 'j> {
    markets: BTreeMap<&'a str, Market<'a>>,
    judge: Judge<'j>,
    streams: Accepted<StreamImport>,
    services: Accepted<ServiceImport>,
}

impl Resolver<'_, '_> {
    fn import(&mut self, importer: &Arc<str>, rule: &ImportRule) -> Result<(), ExchangeFault> {
        match rule.kind {
            ExchangeKind::Stream => self.stream(importer, rule),
            ExchangeKind::Service => self.service(importer, rule),
        }
    }

    fn stream(&mut self, importer: &Arc<str>, rule: &ImportRule) -> Result<(), ExchangeFault> {
        let market = self.markets.get(&*rule.account).ok_or(ExchangeFault::NoAccount)?;
        let exports = market.streams.iter().map(|e| (*e, ()));
        let ((), expires) = self.admit(importer, rule, exports)?;
        let local = match (rule.prefix.as_str(), rule.local.as_str()) {
            ("", "") => rule.subject.clone(),
            ("", local) => local.to_owned(),
            (prefix, _) if has_wildcards(prefix.as_bytes()) => return Err(ExchangeFault::Prefix),
            (prefix, _) => format!("{}.{}", prefix.trim_end_matches('.'), rule.subject),
        };
        let exporter: Arc<str> = rule.account.as_str().into();
        let mut import = StreamImport::new(exporter, &rule.subject, &local, rule.allow_trace)?;
        import.expires = expires;
        if stream_cycle(&self.streams, importer, &import) {
            return Err(ExchangeFault::Cycle);
        }
        let own = self.streams.entry(importer.clone()).or_default();
        if own.iter().any(|i| i.exporter == import.exporter && i.from == import.from) {
            return Err(ExchangeFault::DuplicateStream);
        }
        own.push(Arc::new(import));
        Ok(())
    }

    fn service(&mut self, importer: &Arc<str>, rule: &ImportRule) -> Result<(), ExchangeFault> {
        let market = self.markets.get(&*rule.account).ok_or(ExchangeFault::NoAccount)?;
        let exports = market.services.iter().map(|(rule, export)| (*rule, export.clone()));
        let (export, expires) = self.admit(importer, rule, exports)?;
        let local = if rule.local.is_empty() { &rule.subject } else { &rule.local };
        let exporter: Arc<str> = rule.account.as_str().into();
        let mut import = ServiceImport::new(exporter, local, &rule.subject, rule.share, export)?;
        import.expires = expires;
        if service_cycle(&self.services, importer, &import) {
            return Err(ExchangeFault::Cycle);
        }
        let own = self.services.entry(importer.clone()).or_default();
        let same = own.iter().find(|i| i.exporter == import.exporter && i.from == import.from);
        if let Some(before) = same {
            return Err(ExchangeFault::DuplicateService {
                local: local.clone(),
                account: before.exporter.to_string(),
                subject: String::from_utf8_lossy(&before.to).into_owned(),
            });
        }
        own.push(Arc::new(import));
        Ok(())
    }

    /// The export that covers the import and admits the importer. One with just
    /// the imported subject decides alone; of wider ones any will do.
    fn admit<E>(
        &self,
        importer: &Arc<str>,
        rule: &ImportRule,
        exports: impl Iterator<Item = (impl std::ops::Deref<Target = ExportRule>, E)>,
    ) -> Result<(E, Option<i64>), ExchangeFault> {
        let unauthorized = || ExchangeFault::NotAuthorized(rule.word());
        let subject = rule.subject.as_bytes();
        if !valid_subscribe(subject) {
            return Err(unauthorized());
        }
        let mut covering: Vec<_> =
            exports.filter(|(e, _)| subset(subject, e.subject.as_bytes())).collect();
        if covering.iter().any(|(e, _)| e.subject == rule.subject) {
            covering.retain(|(e, _)| e.subject == rule.subject);
        }
        let mut refused = unauthorized();
        for (export, what) in covering {
            let good = match &export.access {
                Access::Everybody => true,
                Access::Accounts(names) => names.iter().any(|n| **n == **importer),
                Access::Position(n) => tokens(subject).nth(n - 1) == Some(importer.as_bytes()),
                Access::Token(revoked) => {
                    let exporter = &rule.account;
                    let question = Activation { importer, exporter, import: rule, revoked };
                    match (self.judge)(&question) {
                        Ok(expires) => return Ok((what, expires)),
                        Err(cause) => {
                            refused = ExchangeFault::Activation { kind: rule.word(), cause };
                            false
                        }
                    }
                }
            };
            if good {
                return Ok((what, None));
            }
        }
        Err(refused)
    }
}

fn fault_of_import(importer: &str, rule: &ImportRule, fault: ExchangeFault) -> ExchangeError {
    ExchangeError {
        at: place(&rule.at),
        what: format!("Error adding {} import", rule.word()),
        subject: rule.subject.clone(),
        fault,
        between: format!(" (account {importer:?} imports from account {:?})", rule.account),
    }
}

fn place(at: &str) -> String {
    if at.is_empty() { String::new() } else { format!("{at}: ") }
}
