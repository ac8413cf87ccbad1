//! The answer of an auth service, and who the client is by it.

use super::{Callout, CalloutQuestion, CalloutRefusal};
use crate::account::Account;
use crate::decision::{AuthDecision, Identity, RefusalReason, UserLimits};
use crate::jwt::{
    AuthorizationResponseClaims, UserClaims, decode_authorization_response, decode_user,
};
use crate::login::Login;
use crate::nkey::{CurveKeyPair, KeyKind, is_public};
use crate::operator::conditions::{Window, source_allowed, window};
use crate::permissions::Permissions;
use crate::set::AccountSet;
use std::sync::Arc;

/// Nanoseconds of a second: tokens count in seconds.
const SECOND: i64 = 1_000_000_000;
/// What the text of a token starts with, and nothing sealed does.
const TOKEN_START: &[u8] = b"eyJ";

/// What came back, and what was asked.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Payload of the message.
    pub payload: &'a [u8],
    /// The server's curve key, which may have to open it.
    pub curve: &'a CurveKeyPair,
    /// The user key of the request.
    pub user_nkey: &'a str,
    /// The server's public key.
    pub server_id: &'a str,
}

/// What to do after an answer that is in order.
#[derive(Debug, Clone)]
pub enum Answered {
    /// Let it in.
    Accept(Box<Identity>),
    /// The token of the account is not loaded: fetch it and look again.
    FetchAccount {
        /// Public account key.
        id: String,
    },
}

impl AccountSet {
    /// Reads the answer to a question.
    pub fn callout_answer(
        &self,
        question: &CalloutQuestion,
        answer: Answer<'_>,
        login: &Login<'_>,
    ) -> Result<Answered, RefusalReason> {
        let login = Login { via_trusted_proxy: question.proxy.is_some(), ..*login };
        let now = login.now / SECOND;
        let (text, sealed) = open(question, answer)?;
        let response = response(answer, &text, now)?;
        if self.callout.is_none() && !sealed {
            signed_by_service(question, &response)?;
        }
        if !response.nats.error.is_empty() {
            return Err(denied(question, &response.nats.error).into());
        }
        let user = user(&response, answer.user_nkey, now)?;
        if user.nats.limits.proxy_required && !login.via_trusted_proxy {
            return Err(RefusalReason::ProxyRequired(user.name));
        }
        let placed = match (&self.callout, &self.trust) {
            (Some(callout), _) => self.placed(callout, &user, &login)?,
            (None, Some(trust)) => match self.placed_by_token(trust, question, &user, &login)? {
                AuthDecision::Accept(identity) => identity,
                AuthDecision::FetchAccount { id } => return Ok(Answered::FetchAccount { id }),
                _ => return Err(CalloutRefusal::Gone.into()),
            },
            (None, None) => return Err(CalloutRefusal::Gone.into()),
        };
        let mut identity = placed;
        identity.name = match user.name.as_str() {
            "" => question.name.clone(),
            name => name.into(),
        };
        identity.proxy.clone_from(&question.proxy);
        self.guarded(&mut identity);
        Ok(Answered::Accept(Box::new(identity)))
    }

    /// Who the user of the answer is: in the account its `aud` names.
    fn placed(
        &self,
        callout: &Callout,
        user: &UserClaims,
        login: &Login<'_>,
    ) -> Result<Identity, RefusalReason> {
        if !user.nats.issuer_account.is_empty() {
            return Err(CalloutRefusal::IssuerAccount.into());
        }
        if user.issuer != callout.issuer {
            let (wanted, got) = (callout.issuer.clone(), user.issuer.clone());
            return Err(CalloutRefusal::Issuer { wanted, got }.into());
        }
        let account = self.account(&user.audience);
        let account = account.ok_or_else(|| CalloutRefusal::NoAccount(user.audience.clone()))?;
        let limits = &user.nats.limits;
        let types = &limits.allowed_connection_types;
        if !types.is_empty() && !types.iter().any(|t| t.eq_ignore_ascii_case(login.kind.name())) {
            let (user, kind) = (user.name.clone(), login.kind.name());
            return Err(RefusalReason::ConnectionType { user, kind });
        }
        if !source_allowed(&limits.src, login.peer) {
            return Err(CalloutRefusal::Source.into());
        }
        let (times, place) = (&limits.times, &limits.times_location);
        let window_end = match window(times, place, &callout.zone, login.now) {
            Window::Always => None,
            Window::Until(end) => Some(end),
            Window::Closed => return Err(CalloutRefusal::Times.into()),
        };
        let expires = (user.expires > 0).then(|| user.expires.saturating_mul(SECOND));
        // Services that say nothing of limits mean none: nats-server does not
        // apply these at all.
        let limit = |n: i64| (n > 0).then_some(n);
        Ok(Identity {
            permissions: permissions(callout, user, account)?,
            limits: UserLimits {
                max_subscriptions: limit(limits.subs),
                max_payload: limit(limits.payload),
            },
            expires: [window_end, expires].into_iter().flatten().min(),
            ..Identity::new(account.clone(), "".into())
        })
    }
}

/// The token in an answer, and whether it came sealed. A request that was sealed
/// may be answered openly.
fn open(question: &CalloutQuestion, answer: Answer<'_>) -> Result<(String, bool), CalloutRefusal> {
    let payload = answer.payload;
    if payload.is_empty() {
        return Err(denied(question, "it gives no reason"));
    }
    let sealed = !question.xkey.is_empty() && !payload.starts_with(TOKEN_START);
    let text = if sealed { answer.curve.open(payload, &question.xkey)? } else { payload.to_vec() };
    Ok((String::from_utf8(text).map_err(|_| CalloutRefusal::NoToken)?, sealed))
}

fn response(
    answer: Answer<'_>,
    text: &str,
    now: i64,
) -> Result<AuthorizationResponseClaims, CalloutRefusal> {
    let claims = decode_authorization_response(text).map_err(CalloutRefusal::Response)?;
    let nats = &claims.nats;
    let wrong = if nats.jwt.is_empty() && nats.error.is_empty() {
        Some("it has neither jwt nor error")
    } else if !nats.jwt.is_empty() && !nats.error.is_empty() {
        Some("it has both jwt and error")
    } else if !nats.issuer_account.is_empty() && !is_public(&nats.issuer_account, KeyKind::Account)
    {
        Some("issuer_account is no public account key")
    } else {
        None
    };
    if let Some(wrong) = wrong {
        return Err(CalloutRefusal::Content(wrong));
    }
    if claims.is_expired(now) || claims.is_early(now) {
        return Err(CalloutRefusal::Time);
    }
    if claims.subject != answer.user_nkey {
        return Err(CalloutRefusal::Subject(claims.subject));
    }
    if claims.audience != answer.server_id {
        return Err(CalloutRefusal::Audience(claims.audience));
    }
    Ok(claims)
}

fn user(
    response: &AuthorizationResponseClaims,
    user_nkey: &str,
    now: i64,
) -> Result<UserClaims, CalloutRefusal> {
    let claims = decode_user(&response.nats.jwt).map_err(CalloutRefusal::User)?;
    claims.check().map_err(CalloutRefusal::Claims)?;
    if claims.is_expired(now) || claims.is_early(now) {
        return Err(CalloutRefusal::Time);
    }
    if claims.subject != user_nkey {
        return Err(CalloutRefusal::Subject(claims.subject));
    }
    Ok(claims)
}

fn permissions(
    callout: &Callout,
    user: &UserClaims,
    account: &Account,
) -> Result<Option<Arc<Permissions>>, CalloutRefusal> {
    let Some(written) = crate::operator::permissions(&user.nats.limits.permissions) else {
        return Ok(callout.defaults.get(&*account.name).cloned());
    };
    Permissions::new(&written).map(|p| Some(Arc::new(p))).map_err(CalloutRefusal::Permissions)
}

/// In operator mode the answer is signed by the account of the service, or one
/// of its keys; who could seal it needs no signature.
fn signed_by_service(
    question: &CalloutQuestion,
    response: &AuthorizationResponseClaims,
) -> Result<(), CalloutRefusal> {
    let (signer, claimed) = (&response.issuer, &response.nats.issuer_account);
    let service = &*question.account.name;
    if !claimed.is_empty() && *claimed != *service {
        return Err(CalloutRefusal::Signer(claimed.clone()));
    }
    let keys = question.account.token.as_ref().map(|token| &token.signing_keys);
    if *signer == *service || keys.is_some_and(|keys| keys.contains_key(signer)) {
        return Ok(());
    }
    Err(CalloutRefusal::Signer(signer.clone()))
}

/// A refusal in the service's own words, of which the log takes one short line.
fn denied(question: &CalloutQuestion, reason: &str) -> CalloutRefusal {
    let reason = reason.chars().filter(|c| !c.is_control()).take(256).collect();
    CalloutRefusal::Denied { account: question.account.name.to_string(), reason }
}
