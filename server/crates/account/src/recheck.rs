//! Whether somebody who is connected would still be who it is under new rules
//! (contract/core.md §2.5).

use crate::authenticate::identity;
use crate::decision::Identity;
use crate::login::ConnectionKind;
use crate::set::AccountSet;
use crate::texts;

/// What becomes of a connection when the rules change.
#[derive(Debug, Clone)]
pub enum Recheck {
    /// It stays, with the account and the permissions of the new rules.
    Keep(Identity),
    /// It is closed.
    Close(CloseWith),
}

/// How to close a connection that is no longer allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseWith {
    /// Text of the `-ERR`; `None`: closed without one.
    pub text: Option<&'static str>,
    /// For the log.
    pub reason: String,
}

impl AccountSet {
    /// Decides about a connection that logged in under other rules.
    pub fn recheck(&self, who: &Identity, kind: ConnectionKind, now: i64) -> Recheck {
        if let (Some(trust), Some(token)) = (&self.trust, &who.token) {
            return match self.recheck_token(trust, who, token, kind, now) {
                Ok(identity) => Recheck::Keep(identity),
                Err(close) => Recheck::Close(close),
            };
        }
        let Some(before) = &who.user else { return self.recheck_nobody(who, kind) };
        let table = if before.is_nkey { &self.nkeys } else { &self.users };
        let Some(user) = table.get(&before.name) else {
            return silently(format!("user {:?} was removed", before.name));
        };
        if user.account.name != who.account.name {
            return silently(format!("user {:?} moved to another account", before.name));
        }
        if user.pass != before.pass {
            let reason = format!("credentials of user {:?} were changed", before.name);
            return Recheck::Close(CloseWith {
                text: Some(texts::AUTHORIZATION_VIOLATION),
                reason,
            });
        }
        Recheck::Keep(Identity { proxy: who.proxy.clone(), ..identity(user) })
    }

    /// Somebody without an entry in the tables: a token, the only user, or
    /// nobody in particular.
    fn recheck_nobody(&self, who: &Identity, _kind: ConnectionKind) -> Recheck {
        let Some(account) = self.account(&who.account.name) else {
            return silently(format!("account {:?} was removed", who.account.name));
        };
        Recheck::Keep(Identity { account: account.clone(), ..who.clone() })
    }
}

fn silently(reason: String) -> Recheck {
    Recheck::Close(CloseWith { text: None, reason })
}
