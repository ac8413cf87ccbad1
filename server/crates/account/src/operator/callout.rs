//! Accounts whose token names an auth service (contract/core.md §4.5): it is
//! asked about all their users but its own.

use super::login::{Circumstances, account_of, facts, presented};
use super::refusal::JwtRefusal;
use super::trust::Trust;
use crate::callout::{CalloutQuestion, CalloutRefusal};
use crate::decision::{AuthDecision, RefusalReason, TokenFacts};
use crate::jwt::UserClaims;
use crate::login::Login;
use crate::set::AccountSet;
use std::sync::Arc;

impl AccountSet {
    /// Decides a login in operator mode, knowing what would come of it without a
    /// service.
    pub(crate) fn delegate_token(
        &self,
        trust: &Trust,
        decided: Result<AuthDecision, RefusalReason>,
        login: &Login<'_>,
    ) -> AuthDecision {
        let no_proxy = match &decided {
            Err(reason) => matches!(reason, RefusalReason::ProxyRequired(_)),
            Ok(AuthDecision::Refuse(why)) => matches!(why.reason, RefusalReason::ProxyRequired(_)),
            Ok(_) => false,
        };
        let question = match &decided {
            // The account is not known yet, or the service could not change it.
            Ok(AuthDecision::FetchAccount { .. }) => None,
            _ if no_proxy => None,
            _ => self.token_question(trust, login),
        };
        match question {
            Some(question) => AuthDecision::Callout(Box::new(question)),
            None => decided.unwrap_or_else(|reason| AuthDecision::Refuse(reason.into())),
        }
    }

    fn token_question(&self, trust: &Trust, login: &Login<'_>) -> Option<CalloutQuestion> {
        if !self.has_services {
            return None;
        }
        let (claims, jwt) = presented(trust, login).ok()?;
        let account = self.account(account_of(&claims))?;
        let token = account.token.as_ref()?;
        let service = &token.claims.nats.authorization;
        let foreign = !trust.is_trusted(&token.claims.issuer);
        if foreign || service.auth_users.is_empty() || service.auth_users.contains(&claims.subject)
        {
            return None;
        }
        Some(CalloutQuestion {
            account: account.clone(),
            issuer: account.name.to_string(),
            xkey: service.xkey.clone(),
            user: said(login, &claims).to_owned(),
            name: said(login, &claims).into(),
            default_jwt: if login.jwt == jwt { String::new() } else { jwt.to_owned() },
            proxy: None,
        })
    }

    /// Who the user of an answer is: in the account that signed it.
    pub(crate) fn placed_by_token(
        &self,
        trust: &Trust,
        question: &CalloutQuestion,
        user: &UserClaims,
        login: &Login<'_>,
    ) -> Result<AuthDecision, RefusalReason> {
        let service = &question.account.name;
        let id = account_of(user);
        let told = question.account.token.as_ref();
        let allowed = told.map(|token| &token.claims.nats.authorization.allowed_accounts);
        let may = |list: &Vec<String>| list.iter().any(|name| name == "*" || name == id);
        if *id != **service && !allowed.is_some_and(may) {
            let (service, account) = (service.to_string(), id.to_owned());
            return Err(CalloutRefusal::NotAllowed { service, account }.into());
        }
        if !trust.is_pinned(id) {
            return Err(JwtRefusal::NotPinned { account: id.to_owned() }.into());
        }
        let Some(account) = self.account(id).filter(|account| account.token.is_some()) else {
            return Ok(AuthDecision::FetchAccount { id: id.to_owned() });
        };
        let circumstances = Circumstances { login, proven: true, anyhow: false };
        let (limits, mut identity) = self.admit_user(trust, user, account, circumstances)?;
        // Services that say nothing of limits mean none: nats-server does not
        // apply these at all.
        for limit in [&mut identity.limits.max_subscriptions, &mut identity.limits.max_payload] {
            *limit = limit.filter(|n| *n > 0);
        }
        identity.token = Some(Arc::new(TokenFacts {
            jwt: String::new(),
            login: None,
            ..facts(user.clone(), &account.name, limits.bearer_token, login)
        }));
        Ok(AuthDecision::Accept(identity))
    }
}

/// Whom a client says it is.
fn said<'a>(login: &'a Login<'a>, claims: &'a UserClaims) -> &'a str {
    [login.nkey, login.user].into_iter().find(|s| !s.is_empty()).unwrap_or(&claims.subject)
}
