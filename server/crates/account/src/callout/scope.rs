//! Which logins a service is asked about: all, good or bad, but those of its own
//! users and of accounts it is not asked about.

use super::{Callout, CalloutQuestion, REQUEST_SUBJECT};
use crate::account::Account;
use crate::decision::{AuthDecision, Identity, RefusalReason};
use crate::login::Login;
use crate::permissions::Permissions;
use crate::set::{AccountError, AccountSet};
use gust_config::Options;
use gust_config::options::authorization::AuthCallout;
use gust_config::options::permissions as config;
use gust_config::options::users::GLOBAL_ACCOUNT;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::sync::Arc;

impl AccountSet {
    /// Decides a login where the configuration has an `auth_callout`, knowing
    /// what would come of it without.
    pub(crate) fn delegate(
        &self,
        callout: &Callout,
        decided: Result<AuthDecision, RefusalReason>,
        login: &Login<'_>,
    ) -> AuthDecision {
        let question = self.question(callout, &decided, login);
        // Whom it is decided to be counts, not whom it says it is in one of several
        // fields: a claimed name keeps the service out of refusals only.
        let own = match &decided {
            Ok(AuthDecision::Accept(identity)) => callout.is_auth_user(identity),
            Ok(AuthDecision::CheckPassword { then, .. }) => {
                matches!(&**then, AuthDecision::Accept(identity) if callout.is_auth_user(identity))
            }
            Ok(_) => false,
            Err(_) => callout.auth_users.contains(&question.user),
        };
        if own {
            return decided.unwrap_or_else(|reason| self.refuse_slowly(reason, login));
        }
        let asked_about = |decision: &AuthDecision| match decision {
            AuthDecision::Accept(identity) => callout.asks_about(&identity.account),
            _ => true,
        };
        match decided {
            // The service could not change that.
            Err(reason @ RefusalReason::ProxyRequired(_)) => AuthDecision::Refuse(reason.into()),
            Ok(AuthDecision::CheckPassword { hash, candidate, then, .. })
                if !asked_about(&then) =>
            {
                let otherwise = Box::new(AuthDecision::Callout(Box::new(question)));
                AuthDecision::CheckPassword { hash, candidate, then, otherwise }
            }
            Ok(accepted @ AuthDecision::Accept(_)) if !asked_about(&accepted) => accepted,
            _ => AuthDecision::Callout(Box::new(question)),
        }
    }

    fn question(
        &self,
        callout: &Callout,
        decided: &Result<AuthDecision, RefusalReason>,
        login: &Login<'_>,
    ) -> CalloutQuestion {
        // Whom the server takes it for who did not say so itself.
        let taken_for = match decided {
            Ok(AuthDecision::Accept(identity)) if identity.user.is_some() => &*identity.name,
            _ => "",
        };
        let mapped = if login.certificate_names.is_some() { taken_for } else { "" };
        let said = [mapped, login.nkey, login.user].into_iter().find(|name| !name.is_empty());
        let name = said.unwrap_or(if login.token.is_empty() { taken_for } else { "" });
        CalloutQuestion {
            account: callout.account.clone(),
            issuer: callout.issuer.clone(),
            xkey: callout.xkey.clone(),
            user: if name.is_empty() { login.token } else { name }.to_owned(),
            name: name.into(),
            default_jwt: String::new(),
            proxy: None,
        }
    }

    /// Takes from whoever is in the account of a service what only the server may
    /// do there: asking it.
    pub(crate) fn guarded(&self, identity: &mut Identity) {
        if !self.has_service(&identity.account) {
            return;
        }
        let mut written = match &identity.permissions {
            Some(permissions) if !permissions.can_publish(REQUEST_SUBJECT.as_bytes()) => return,
            Some(permissions) => permissions.source().clone(),
            None => config::Permissions::default(),
        };
        written.publish.get_or_insert_default().deny.push(REQUEST_SUBJECT.to_owned());
        // What was compiled before compiles with another subject as well.
        if let Ok(permissions) = Permissions::new(&written) {
            identity.permissions = Some(Arc::new(permissions));
        }
    }

    fn has_service(&self, account: &Account) -> bool {
        let told = account.token.as_ref().map(|token| &token.claims.nats.authorization);
        told.is_some_and(|service| !service.auth_users.is_empty())
            || self.callout.as_ref().is_some_and(|callout| callout.account.name == account.name)
    }
}

impl Callout {
    /// Whether it is one of the users of the service itself.
    fn is_auth_user(&self, who: &Identity) -> bool {
        self.auth_users.contains(&*who.name)
    }

    /// What `written` says, among these accounts.
    pub(crate) fn new(
        written: &AuthCallout,
        options: &Options,
        accounts: &BTreeMap<Arc<str>, Arc<Account>>,
    ) -> Result<Callout, AccountError> {
        let account = accounts.get(written.account.as_str()).cloned();
        let mut defaults = BTreeMap::new();
        for (name, permissions) in
            options.accounts.iter().filter_map(|a| Some((&a.name, a.default_permissions.as_ref()?)))
        {
            let compiled = Permissions::new(permissions).map_err(|cause| {
                AccountError::Permissions { user: format!("of account {name}"), cause }
            })?;
            defaults.insert(name.clone(), Arc::new(compiled));
        }
        Ok(Callout {
            account: account
                .ok_or_else(|| AccountError::CalloutAccount(written.account.clone()))?,
            issuer: written.issuer.clone(),
            xkey: written.xkey.clone(),
            auth_users: written.auth_users.iter().cloned().collect(),
            allowed: written.allowed_accounts.iter().cloned().collect(),
            defaults,
            zone: TimeZone::UTC,
        })
    }

    /// Whether logins that lead to `account` are asked about. Those into the
    /// global account always are: whoever is not known would land there.
    fn asks_about(&self, account: &Account) -> bool {
        self.allowed.is_empty()
            || *account.name == *GLOBAL_ACCOUNT
            || self.allowed.contains(&*account.name)
    }
}
