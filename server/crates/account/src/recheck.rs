//! Whether somebody who is connected would still be who it is under new rules
//! (contract/core.md §2.5).

use crate::authenticate::{admit, identity};
use crate::decision::{AuthDecision, Fingerprint, Identity, Proof};
use crate::login::{ConnectionKind, Login};
use crate::secret;
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
    /// What the books say.
    pub cause: CloseCause,
    /// For the log.
    pub reason: String,
}

/// Why a connection is no longer allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCause {
    /// It belongs elsewhere now, or nowhere: connecting again sorts that out.
    Moved,
    /// Its credentials no longer count.
    Credentials,
    /// Its time is over.
    Expired,
    /// Its credentials were revoked.
    Revoked,
}

impl CloseWith {
    /// Closes without a word.
    pub fn silently(reason: String) -> Self {
        CloseWith { text: None, cause: CloseCause::Moved, reason }
    }

    /// Closes as a login with such credentials would be refused.
    pub fn refused(reason: String) -> Self {
        let text = Some(texts::AUTHORIZATION_VIOLATION);
        CloseWith { text, cause: CloseCause::Credentials, reason }
    }
}

impl AccountSet {
    /// Decides about a connection that logged in under other rules.
    pub fn recheck(&self, who: &Identity, kind: ConnectionKind, now: i64) -> Recheck {
        let verdict = match (&self.trust, &who.token) {
            (Some(trust), Some(token)) => self.recheck_token(trust, who, token, kind, now),
            _ => self.recheck_proof(who, kind, now),
        };
        match verdict {
            Ok(mut identity) => {
                identity.proxy.clone_from(&who.proxy);
                self.guarded(&mut identity);
                Recheck::Keep(identity)
            }
            Err(close) => Recheck::Close(close),
        }
    }

    fn recheck_proof(
        &self,
        who: &Identity,
        kind: ConnectionKind,
        now: i64,
    ) -> Result<Identity, CloseWith> {
        match who.proof {
            Proof::Elsewhere => self.recheck_account(who),
            Proof::Nothing => self.recheck_nobody(who, kind, now),
            Proof::OfUser | Proof::Certificate => self.recheck_user(who, kind, now),
            Proof::OfListener(fingerprint) => {
                self.recheck_listener(who, &known(who, kind, now), fingerprint)
            }
        }
    }

    /// Somebody of the table of users.
    fn recheck_user(
        &self,
        who: &Identity,
        kind: ConnectionKind,
        now: i64,
    ) -> Result<Identity, CloseWith> {
        let Some(before) = &who.user else { return self.recheck_account(who) };
        let table = if before.is_nkey { &self.nkeys } else { &self.users };
        let Some(user) = table.get(&before.name) else {
            if let Some((name, pass)) = &self.gate(kind).single
                && (name, who.account.name.as_ref()) == (&before.name, self.global.name.as_ref())
                && secret::same(pass, &before.pass)
            {
                let proof = Proof::OfListener(Fingerprint::new(name, pass));
                return Ok(self.global_identity(name.clone(), proof));
            }
            return Err(CloseWith::silently(format!("user {:?} was removed", before.name)));
        };
        if user.account.name != who.account.name {
            let reason = format!("user {:?} moved to another account", before.name);
            return Err(CloseWith::silently(reason));
        }
        if who.proof == Proof::OfUser && !secret::same(&user.pass, &before.pass) {
            let reason = format!("credentials of user {:?} were changed", before.name);
            return Err(CloseWith::refused(reason));
        }
        admit(user, &known(who, kind, now)).map_err(|why| CloseWith::refused(why.to_string()))?;
        Ok(identity(user, who.proof))
    }

    /// Somebody who presented nothing: would that still do, and lead to the same
    /// account?
    fn recheck_nobody(
        &self,
        who: &Identity,
        kind: ConnectionKind,
        now: i64,
    ) -> Result<Identity, CloseWith> {
        let gone = |user: &crate::User| {
            !self.users.contains_key(&user.name) && !self.nkeys.contains_key(&user.name)
        };
        if let Some(user) = who.user.as_deref().filter(|user| gone(user)) {
            return Err(CloseWith::silently(format!("user {:?} was removed", user.name)));
        }
        match self.decide(&known(who, kind, now)) {
            Ok(AuthDecision::Accept(identity)) if identity.account.name == who.account.name => {
                Ok(identity)
            }
            Ok(AuthDecision::Accept(_)) => Err(CloseWith::silently(
                "clients without credentials belong to another account now".to_owned(),
            )),
            Err(reason) => Err(CloseWith::refused(reason.to_string())),
            Ok(_) => Err(CloseWith::refused("credentials are required now".to_owned())),
        }
    }

    /// Somebody with the one token or the one password of a listener.
    fn recheck_listener(
        &self,
        who: &Identity,
        login: &Login<'_>,
        fingerprint: Fingerprint,
    ) -> Result<Identity, CloseWith> {
        let kind = login.kind;
        let gate = self.gate(kind);
        let token = gate.token.as_ref().map(|token| Fingerprint::new("", token));
        let single = gate.single.as_ref().map(|(name, pass)| Fingerprint::new(name, pass));
        let known = [token, single].contains(&Some(fingerprint));
        // The only user may have become one of several.
        let user = self.users.get(&who.name).filter(|user| {
            Fingerprint::new(&user.name, &user.pass) == fingerprint
                && user.account.name == who.account.name
        });
        if let Some(user) = user.filter(|_| !known) {
            admit(user, login).map_err(|why| CloseWith::refused(why.to_string()))?;
            return Ok(identity(user, Proof::OfUser));
        }
        if !known && self.auth_required(kind) {
            let what = if who.name.is_empty() { "the token" } else { "user or password" };
            return Err(CloseWith::refused(format!("{what} of authorization was changed")));
        }
        self.recheck_account(who)
    }

    /// All that can be told of a login that was not decided here.
    fn recheck_account(&self, who: &Identity) -> Result<Identity, CloseWith> {
        match self.account(&who.account.name) {
            Some(account) => Ok(Identity { account: account.clone(), ..who.clone() }),
            None => {
                let reason = format!("account {:?} was removed", who.account.name);
                Err(CloseWith::silently(reason))
            }
        }
    }
}

/// What is known of a connected peer besides its credentials.
fn known(who: &Identity, kind: ConnectionKind, now: i64) -> Login<'static> {
    Login { kind, now, via_trusted_proxy: who.proxy.is_some(), ..Login::default() }
}
