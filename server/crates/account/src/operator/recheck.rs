//! Whether somebody who logged in by token would still be let in: after a claims
//! update, and when some time has come.

use super::login::{Circumstances, SECOND, in_time};
use super::refusal::JwtRefusal;
use super::trust::Trust;
use crate::decision::{Identity, RefusalReason, TokenFacts};
use crate::jwt::{decode_user, is_revoked};
use crate::login::{ConnectionKind, Login};
use crate::recheck::{CloseCause, CloseWith};
use crate::set::AccountSet;
use crate::texts;
use std::sync::Arc;

impl AccountSet {
    /// Decides about a connection with a token. `now` in ns.
    pub(crate) fn recheck_token(
        &self,
        trust: &Trust,
        who: &Identity,
        token: &Arc<TokenFacts>,
        kind: ConnectionKind,
        now: i64,
    ) -> Result<Identity, CloseWith> {
        let Some(account) = self.account(&who.account.name) else {
            let reason = format!("account {} was deleted", who.account.name);
            return Err(close(texts::ACCOUNT_EXPIRED, reason));
        };
        if !trust.is_pinned(&account.name) {
            let reason =
                format!("account {} is no longer one of the pinned accounts", account.name);
            return Err(close(texts::AUTHORIZATION_VIOLATION, reason));
        }
        let Some((claims, peer)) = &token.login else {
            // Somebody an auth service let in: what it said is not asked again, but
            // the key it was signed with must still be one of the account.
            let facts = account.token.as_ref();
            let signed = token.issuer_key == *account.name
                || facts.is_some_and(|f| f.signing_keys.contains_key(&token.issuer_key));
            if !signed || facts.is_some_and(|f| !trust.is_trusted(&f.claims.issuer)) {
                let key = &token.issuer_key;
                let reason = format!("key {key} may no longer sign users of {}", account.name);
                return Err(close(texts::AUTHORIZATION_VIOLATION, reason));
            }
            if facts.is_some_and(|facts| facts.is_expired(now / SECOND)) {
                let reason = format!("the JWT of account {} has expired", account.name);
                return Err(close(texts::ACCOUNT_EXPIRED, reason));
            }
            let revocations = facts.map(|facts| &facts.claims.nats.revocations);
            if revocations.is_some_and(|r| is_revoked(r, &token.subject, token.issued_at)) {
                let reason = format!("user {} is revoked by its account", token.subject);
                return Err(close(texts::USER_REVOKED, reason));
            }
            return Ok(Identity { account: account.clone(), ..who.clone() });
        };
        if token.sentinel && !decode_user(&trust.sentinel).is_ok_and(|s| s == **claims) {
            let reason = "the default sentinel was changed or removed".to_owned();
            return Err(close(texts::AUTHORIZATION_VIOLATION, reason));
        }
        let login = Login {
            kind,
            now,
            peer: *peer,
            via_trusted_proxy: who.proxy.is_some(),
            ..Login::default()
        };
        let circumstances = Circumstances { login: &login, proven: true, anyhow: false };
        let verdict = in_time(claims, now)
            .map_err(RefusalReason::from)
            .and_then(|()| self.admit_user(trust, claims, account, circumstances));
        match verdict {
            Ok((_, identity)) => {
                Ok(Identity { token: Some(token.clone()), proxy: who.proxy.clone(), ..identity })
            }
            Err(reason) => Err(close(text(&reason), reason.to_string())),
        }
    }
}

/// What a peer is told whose login would be refused for this reason.
fn text(reason: &RefusalReason) -> &'static str {
    let RefusalReason::Jwt(refusal) = reason else { return texts::AUTHORIZATION_VIOLATION };
    match &**refusal {
        JwtRefusal::Expired { .. } | JwtRefusal::Times { .. } => texts::USER_EXPIRED,
        JwtRefusal::AccountExpired { .. } => texts::ACCOUNT_EXPIRED,
        JwtRefusal::Revoked { .. } => texts::USER_REVOKED,
        _ => texts::AUTHORIZATION_VIOLATION,
    }
}

fn close(text: &'static str, reason: String) -> CloseWith {
    let cause = match text {
        texts::USER_EXPIRED | texts::ACCOUNT_EXPIRED => CloseCause::Expired,
        texts::USER_REVOKED => CloseCause::Revoked,
        _ => CloseCause::Credentials,
    };
    CloseWith { text: Some(text), cause, reason }
}
