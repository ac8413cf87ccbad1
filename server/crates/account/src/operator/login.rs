//! Deciding a login by token, in the order of the contract (core.md §4.4).

use super::account::permissions;
use super::conditions::{Window, source_allowed, window};
use super::refusal::JwtRefusal;
use super::template::{self, Values};
use super::trust::Trust;
use crate::account::Account;
use crate::decision::{AuthDecision, Identity, Refusal, RefusalReason, TokenFacts, UserLimits};
use crate::jwt::{NO_LIMIT, Scope, UserClaims, UserPermissionLimits, decode_user, is_revoked};
use crate::login::Login;
use crate::permissions::Permissions;
use crate::secret;
use crate::set::AccountSet;
use gust_config::options::users::CONNECTION_TYPES;
use std::sync::Arc;

/// Nanoseconds of a second: tokens count in seconds.
pub(super) const SECOND: i64 = 1_000_000_000;

/// What is checked of a peer besides its claims.
#[derive(Clone, Copy)]
pub(super) struct Circumstances<'a> {
    /// Who asks and whence.
    pub(super) login: &'a Login<'a>,
    /// It has proven that it holds its key: it is connected.
    pub(super) proven: bool,
    /// Where, when and how it comes is not asked.
    pub(super) anyhow: bool,
}

impl AccountSet {
    /// Decides a login in operator mode.
    pub(crate) fn by_token(
        &self,
        trust: &Trust,
        login: &Login<'_>,
    ) -> Result<AuthDecision, RefusalReason> {
        let (claims, jwt) = presented(trust, login)?;
        if claims.nats.limits.proxy_required && !login.via_trusted_proxy {
            return Err(RefusalReason::ProxyRequired(claims.subject));
        }
        claims.check().map_err(JwtRefusal::Claims)?;
        in_time(&claims, login.now)?;
        let account = account_of(&claims);
        if !trust.is_pinned(account) {
            return Err(JwtRefusal::NotPinned { account: account.to_owned() }.into());
        }
        let Some(account) = self.account(account).filter(|a| a.token.is_some() || a.is_system)
        else {
            return Ok(AuthDecision::FetchAccount { id: account.to_owned() });
        };
        let circumstances = Circumstances { login, proven: false, anyhow: false };
        let (limits, mut identity) = match self.admit_user(trust, &claims, account, circumstances) {
            Ok(admitted) => admitted,
            Err(reason) => {
                let issued = !is_foreign(&reason);
                let account = issued.then(|| account.name.clone());
                return Ok(AuthDecision::Refuse(Refusal { account, ..reason.into() }));
            }
        };
        let bearer = limits.bearer_token;
        identity.token = Some(Arc::new(TokenFacts {
            jwt: if bearer { String::new() } else { jwt.to_owned() },
            sentinel: jwt != login.jwt,
            ..facts(claims, &account.name, bearer, login)
        }));
        Ok(AuthDecision::Accept(identity))
    }

    /// Everything that is asked of a user once its account is known. Gives its
    /// limits, by scope or its own, and who it is.
    pub(super) fn admit_user(
        &self,
        trust: &Trust,
        claims: &UserClaims,
        account: &Arc<Account>,
        circumstances: Circumstances<'_>,
    ) -> Result<(UserPermissionLimits, Identity), RefusalReason> {
        let Circumstances { login, proven, anyhow } = circumstances;
        let limits = limits(trust, claims, account)?;
        let user = || claims.subject.clone();
        let now = login.now / SECOND;
        let expired = account.token.as_ref().is_some_and(|token| token.is_expired(now));
        if expired {
            let account = account.name.to_string();
            return Err(JwtRefusal::AccountExpired { account }.into());
        }
        let told = account.token.as_ref().map(|token| &token.claims.nats);
        if limits.bearer_token && told.is_some_and(|nats| nats.limits.disallow_bearer) {
            let account = account.name.to_string();
            return Err(JwtRefusal::Bearer { user: user(), account }.into());
        }
        if !anyhow && limits.proxy_required && !login.via_trusted_proxy {
            return Err(RefusalReason::ProxyRequired(user()));
        }
        if !anyhow && !connection_type_allowed(&limits.allowed_connection_types, login.kind.name())
        {
            return Err(RefusalReason::ConnectionType { user: user(), kind: login.kind.name() });
        }
        let signed = || secret::signature_is_valid(&claims.subject, login.nonce, login.sig);
        if !proven && !limits.bearer_token && !signed() {
            return Err(RefusalReason::BadSignature(user()));
        }
        let revoked = |nats: &crate::jwt::AccountData| {
            is_revoked(&nats.revocations, &claims.subject, claims.issued_at)
        };
        if told.is_some_and(revoked) {
            return Err(JwtRefusal::Revoked { user: user() }.into());
        }
        if !anyhow && !source_allowed(&limits.src, login.peer) {
            return Err(JwtRefusal::Source { user: user(), from: login.peer }.into());
        }
        let window_end = match window(&limits.times, &limits.times_location, &trust.zone, login.now)
        {
            Window::Always => None,
            Window::Until(end) => Some(end),
            Window::Closed if anyhow => None,
            Window::Closed => return Err(JwtRefusal::Times { user: user() }.into()),
        };
        let permissions = compile(&limits, claims, account)?;
        let limit = |n: i64| (n != NO_LIMIT).then_some(n.max(0));
        let seconds = |s: i64| (s > 0).then(|| s.saturating_mul(SECOND));
        let of_account = account.token.as_ref().and_then(|t| seconds(t.claims.expires));
        let ends = [window_end, seconds(claims.expires), of_account];
        let identity = Identity {
            permissions,
            limits: UserLimits {
                max_subscriptions: limit(limits.subs),
                max_payload: limit(limits.payload),
            },
            expires: ends.into_iter().flatten().min(),
            ..Identity::new(account.clone(), claims.subject.as_str().into())
        };
        Ok((limits, identity))
    }
}

/// Whether a token was not issued by the account it names: anybody can make one
/// that says so.
fn is_foreign(reason: &RefusalReason) -> bool {
    let RefusalReason::Jwt(why) = reason else { return false };
    matches!(**why, JwtRefusal::IssuerUnknown { .. } | JwtRefusal::AccountNotTrusted { .. })
}

/// The token that was presented, or the default one if what was presented is no
/// user's token.
pub(super) fn presented<'a>(
    trust: &'a Trust,
    login: &Login<'a>,
) -> Result<(UserClaims, &'a str), RefusalReason> {
    let why = match login.jwt {
        "" => JwtRefusal::Missing,
        jwt => match decode_user(jwt) {
            Ok(claims) => return Ok((claims, jwt)),
            Err(cause) => JwtRefusal::Token(cause),
        },
    };
    if trust.sentinel.is_empty() {
        return Err(why.into());
    }
    let claims = decode_user(&trust.sentinel).map_err(JwtRefusal::Token)?;
    Ok((claims, &trust.sentinel))
}

/// Whether its times allow it, `now` in ns.
pub(super) fn in_time(claims: &UserClaims, now: i64) -> Result<(), JwtRefusal> {
    let now = now / SECOND;
    if claims.is_expired(now) {
        return Err(JwtRefusal::Expired { user: claims.subject.clone() });
    }
    if claims.is_early(now) {
        return Err(JwtRefusal::Early { user: claims.subject.clone() });
    }
    Ok(())
}

/// Public key of the account a user belongs to.
pub(super) fn account_of(claims: &UserClaims) -> &str {
    match claims.nats.issuer_account.as_str() {
        "" => &claims.issuer,
        account => account,
    }
}

/// What the account's token and the user's together allow: the user's own
/// limits, or those of the scope of the key that signed it.
fn limits(
    trust: &Trust,
    claims: &UserClaims,
    account: &Account,
) -> Result<UserPermissionLimits, RefusalReason> {
    let user = || claims.subject.clone();
    let unknown = || JwtRefusal::IssuerUnknown {
        user: user(),
        issuer: claims.issuer.clone(),
        account: account.name.to_string(),
    };
    let Some(token) = &account.token else {
        // The system account before its token is there.
        let own = claims.issuer == *account.name;
        return match (trust.bootstrap, own) {
            (true, true) => Ok(claims.nats.limits.clone()),
            (true, false) => Err(unknown().into()),
            (false, _) => {
                let account = account.name.to_string();
                Err(JwtRefusal::AccountUnknown { account }.into())
            }
        };
    };
    if !trust.is_trusted(&token.claims.issuer) {
        let (account, issuer) = (account.name.to_string(), token.claims.issuer.clone());
        return Err(JwtRefusal::AccountNotTrusted { account, issuer }.into());
    }
    match token.signing_keys.get(&claims.issuer) {
        None => Err(unknown().into()),
        Some(None) => Ok(claims.nats.limits.clone()),
        Some(Some(scope)) => Ok(scoped(scope, claims, account)?),
    }
}

fn scoped(
    scope: &Scope,
    claims: &UserClaims,
    account: &Account,
) -> Result<UserPermissionLimits, JwtRefusal> {
    let user = || claims.subject.clone();
    if claims.nats.limits != UserPermissionLimits::default() {
        return Err(JwtRefusal::Scoped { user: user() });
    }
    let token = account.token.as_ref().map(|token| &token.claims);
    let values = Values {
        name: &claims.name,
        subject: &claims.subject,
        account_name: token.map_or("", |t| &t.name),
        account_subject: &account.name,
        tags: &claims.nats.tags,
        account_tags: token.map_or(&[], |t| &t.nats.tags),
    };
    template::apply(&scope.template, &values)
        .map_err(|cause| JwtRefusal::Template { user: user(), cause })
}

/// An empty list allows all kinds. Kinds this server does not know are passed
/// over, but a list of nothing else allows none.
fn connection_type_allowed(allowed: &[String], kind: &str) -> bool {
    debug_assert!(CONNECTION_TYPES.contains(&kind));
    allowed.is_empty() || allowed.iter().any(|name| name.eq_ignore_ascii_case(kind))
}

/// The user's permissions, or the account's default if it has none.
fn compile(
    limits: &UserPermissionLimits,
    claims: &UserClaims,
    account: &Account,
) -> Result<Option<Arc<Permissions>>, JwtRefusal> {
    let Some(written) = permissions(&limits.permissions) else {
        let token = account.token.as_ref();
        let default = token.and_then(|token| token.default_permissions.as_ref());
        return Ok(default.map(|shared| shared.0.clone()));
    };
    let user = || claims.subject.clone();
    Permissions::new(&written)
        .map(|compiled| Some(Arc::new(compiled)))
        .map_err(|cause| JwtRefusal::Permissions { user: user(), cause })
}

pub(super) fn facts(
    claims: UserClaims,
    account: &str,
    bearer: bool,
    login: &Login<'_>,
) -> TokenFacts {
    TokenFacts {
        subject: claims.subject.clone(),
        issuer_key: claims.issuer.clone(),
        issuer_account: account.to_owned(),
        jwt: String::new(),
        tags: claims.nats.tags.clone(),
        name_tag: claims.name.clone(),
        bearer,
        sentinel: false,
        issued_at: claims.issued_at,
        login: Some((Arc::new(claims), login.peer)),
    }
}
