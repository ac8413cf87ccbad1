//! The accounts of operator mode, which come and change while the server runs.

use super::account::{AccountTokenError, account};
use super::activation::judge;
use super::trust::Trust;
use crate::account::Account;
use crate::exchange::{Exchange, Party};
use crate::jwt::decode_account;
use crate::set::{AccountError, AccountSet};
use gust_config::Options;
use gust_config::options::trust::Resolver;
use jiff::tz::TimeZone;
use std::sync::Arc;

/// A new snapshot of rules, and what is wrong with accounts it was made from.
pub struct Built {
    /// The rules.
    pub rules: AccountSet,
    /// Accounts left out, with the reason, and imports that are not in force.
    pub warnings: Vec<String>,
}

impl AccountSet {
    /// The rules of `options`, with the accounts that are known besides: those of
    /// `old` (a reload keeps what a resolver found) and the preloaded ones. `now`
    /// in seconds since the epoch, `zone` that of times of day that name none.
    pub fn build(
        options: &Options,
        old: Option<&AccountSet>,
        now: i64,
        zone: TimeZone,
    ) -> Result<Built, AccountError> {
        let mut rules = AccountSet::from_options(options)?;
        if let Some(callout) = &mut rules.callout {
            callout.zone = zone;
            return Ok(Built { rules, warnings: Vec::new() });
        }
        let Some(trust) = &mut rules.trust else {
            return Ok(Built { rules, warnings: Vec::new() });
        };
        Arc::make_mut(trust).zone = zone;
        let kept = old.into_iter().flat_map(|old| old.accounts());
        let kept = kept.filter_map(|a| Some((a.nkey.as_str(), &*a.token.as_ref()?.jwt)));
        // Other resolvers store the preloaded ones, if they are newer.
        let in_memory = matches!(options.trust.resolver, None | Some(Resolver::Memory));
        let preload = options.trust.resolver_preload.iter().filter(|_| in_memory);
        let preload = preload.map(|(id, jwt)| (id.as_str(), jwt.as_str()));
        let kept =
            kept.filter(|(id, _)| !in_memory || !options.trust.resolver_preload.contains_key(*id));
        let tokens: Vec<_> = kept.chain(preload).collect();
        let (rules, refused) = rules.with_accounts(tokens, now);
        let complaint = |(id, why): (String, AccountTokenError)| format!("account {id}: {why}");
        let mut warnings: Vec<_> = refused.into_iter().map(complaint).collect();
        for account in rules.accounts() {
            let ignored = account.token.iter().flat_map(|token| &token.ignored);
            warnings.extend(ignored.map(|text| format!("account {}: {text}", account.name)));
        }
        warnings.extend(rules.exchange().errors().iter().map(ToString::to_string));
        let system = &options.system_account;
        let missing = rules.account(system).is_some_and(|a| a.token.is_none());
        if in_memory && missing && !system.is_empty() {
            return Err(AccountError::SystemAccount);
        }
        Ok(Built { rules, warnings })
    }

    /// The rules with this account added or changed. `now` in seconds since the
    /// epoch, for the activation tokens of imports. An expired account is taken,
    /// so that its users can be told.
    pub fn with_account(
        &self,
        id: &str,
        jwt: &str,
        now: i64,
    ) -> Result<AccountSet, AccountTokenError> {
        let (rules, mut refused) = self.with_accounts([(id, jwt)], now);
        match refused.pop() {
            Some((_, why)) => Err(why),
            None => Ok(rules),
        }
    }

    /// The rules with these accounts (public key and token) added or changed, and
    /// those that were refused.
    pub fn with_accounts<'a>(
        &self,
        tokens: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: i64,
    ) -> (AccountSet, Vec<(String, AccountTokenError)>) {
        let (mut rules, mut refused, mut trading) = (self.clone(), Vec::new(), false);
        for (id, jwt) in tokens {
            match self.made(id, jwt) {
                Ok(account) => {
                    trading |= !account.imports.is_empty();
                    let before = rules.put(Arc::new(account));
                    trading |= before.is_some_and(|before| !before.imports.is_empty());
                    trading = trading || rules.is_imported_from(id);
                }
                Err(why) => refused.push((id.to_owned(), why)),
            }
        }
        if trading {
            rules.trade(now);
        }
        (rules, refused)
    }

    /// The rules without this account. The system account stays, without its
    /// token.
    #[must_use]
    pub fn without_account(&self, id: &str, now: i64) -> AccountSet {
        let mut rules = self.clone();
        let system = self.trust.as_ref().is_some_and(|trust| trust.system == id);
        if system {
            rules.put(Arc::new(Account::bare(id.into(), true)));
        } else {
            rules.remove(id);
        }
        rules.trade(now);
        rules
    }

    /// The rules once the activation tokens that have expired at `now` (seconds
    /// since the epoch) count no more: to be installed at `Exchange::expires`.
    #[must_use]
    pub fn with_imports_at(&self, now: i64) -> AccountSet {
        let mut rules = self.clone();
        rules.trade(now);
        rules
    }

    fn made(&self, id: &str, jwt: &str) -> Result<Account, AccountTokenError> {
        let trust = self.trust.as_ref().ok_or(AccountTokenError::NoOperator)?;
        let claims = decode_account(jwt)?;
        if claims.subject != id {
            let (want, got) = (id.to_owned(), claims.subject);
            return Err(AccountTokenError::OtherAccount { want, got });
        }
        if !trust.is_trusted(&claims.issuer) {
            return Err(AccountTokenError::NotTrusted { issuer: claims.issuer });
        }
        claims.check()?;
        let strict = trust.is_strict(&claims.issuer);
        account(claims, jwt.trim_ascii(), strict, trust.system == id)
    }

    /// Whether somebody imports from this account, or would like to. Without,
    /// nothing crosses because of it, and the exchange need not be made anew.
    fn is_imported_from(&self, id: &str) -> bool {
        self.accounts().any(|a| a.imports.iter().any(|import| import.account == id))
    }

    fn trade(&mut self, now: i64) {
        let exchange = {
            let parties = self.accounts().map(|a| Party {
                name: &a.name,
                exports: &a.exports,
                imports: &a.imports,
            });
            Exchange::resolve(parties, self.system().is_some(), &|question| {
                judge(question, self.account(question.exporter).map(|a| &**a), now)
            })
        };
        self.set_exchange(exchange);
    }

    /// Who is trusted, in operator mode.
    #[must_use]
    pub fn trust(&self) -> Option<&Trust> {
        self.trust.as_deref()
    }
}
