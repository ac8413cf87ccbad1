//! Deciding a login (contract/core.md §4.2).

use crate::account::User;
use crate::certificate::CertificateNames;
use crate::decision::{AuthDecision, Fingerprint, Identity, Proof, RefusalReason, Secret};
use crate::login::{ConnectionKind, Login};
use crate::proxy::came_through;
use crate::secret;
use crate::set::{AccountSet, Gate};
use std::sync::Arc;

impl AccountSet {
    /// Decides a login, in the order of nats-server: nothing configured, nkey,
    /// certificate, user, token, the only user. Wrong credentials never fall
    /// back to `no_auth_user`; presenting none does, except where certificates
    /// name the user.
    pub fn authenticate(&self, login: &Login<'_>) -> AuthDecision {
        let proxy = match self.proxy_of(login) {
            Ok(proxy) => proxy,
            Err(reason) => return refuse(reason),
        };
        let login = Login { via_trusted_proxy: proxy.is_some(), ..*login };
        let decided = self.decide(&login);
        let mut decision = if let Some(callout) = &self.callout {
            self.delegate(callout, decided, &login)
        } else if let Some(trust) = &self.trust {
            self.delegate_token(trust, decided, &login)
        } else {
            decided.unwrap_or_else(|reason| self.refuse_slowly(reason, &login))
        };
        decision.each_identity(&mut |identity| self.guarded(identity));
        if let Some(proxy) = proxy {
            came_through(&mut decision, &proxy);
        }
        decision
    }

    /// A refusal that takes as long as a wrong password: where hashes are in use
    /// the time must not tell which names exist.
    pub(crate) fn refuse_slowly(&self, reason: RefusalReason, login: &Login<'_>) -> AuthDecision {
        match &self.dummy_hash {
            Some(hash) if !login.user.is_empty() => AuthDecision::CheckPassword {
                hash: hash.clone(),
                candidate: Secret(login.pass.to_owned()),
                then: Box::new(refuse(reason.clone())),
                otherwise: Box::new(refuse(reason)),
            },
            _ => refuse(reason),
        }
    }

    /// Who the configured user of this name or nkey is once it is connected.
    pub fn configured_user(&self, name: &str) -> Option<Identity> {
        let user = self.users.get(name).or_else(|| self.nkeys.get(name));
        let single = self.gate(ConnectionKind::Standard).single.as_ref();
        let single = single.filter(|(only, _)| **only == *name);
        user.map(|user| identity(user, Proof::OfUser)).or_else(|| {
            single.map(|(only, pass)| {
                let proof = Proof::OfListener(Fingerprint::new(only, pass));
                self.global_identity(only.clone(), proof)
            })
        })
    }

    /// As [`AccountSet::authenticate`] for somebody whose proxy is known.
    pub(crate) fn decide(&self, login: &Login<'_>) -> Result<AuthDecision, RefusalReason> {
        if !self.auth_required(login.kind) {
            return Ok(AuthDecision::Accept(self.global_identity("".into(), Proof::Nothing)));
        }
        if let Some(trust) = &self.trust {
            return self.by_token(trust, login);
        }
        if self.proxy_required && !login.via_trusted_proxy {
            return Err(RefusalReason::ProxyRequired(login.user.to_owned()));
        }
        let gate = self.gate(login.kind);
        if self.presents_nothing(login) && login.certificate_names.is_none() {
            return self.without_credentials(gate, login);
        }
        if !login.nkey.is_empty() && !self.nkeys.is_empty() {
            return self.by_nkey(login);
        }
        if let Some(names) = login.certificate_names
            && !self.users.is_empty()
        {
            let user = self.certificate_user(names).ok_or_else(|| not_mapped(names))?;
            admit(user, login)?;
            return Ok(AuthDecision::Accept(identity(user, Proof::Certificate)));
        }
        if let Some(user) = self.users.get(login.user) {
            admit(user, login)?;
            if user.pass.is_empty() && self.certificates_map {
                return Err(RefusalReason::CertificateRequired(login.user.to_owned()));
            }
            return by_password(&user.pass, login.pass, identity(user, Proof::OfUser), login);
        }
        if let Some(token) = &gate.token {
            let proof = Proof::OfListener(Fingerprint::new("", token));
            let then = self.global_identity("".into(), proof);
            return compare(token, login.token, then, RefusalReason::WrongToken);
        }
        if let Some((name, pass)) = &gate.single {
            if !secret::same(name, login.user) {
                return Err(RefusalReason::UnknownUser(login.user.to_owned()));
            }
            let proof = Proof::OfListener(Fingerprint::new(name, pass));
            let then = self.global_identity(name.clone(), proof);
            return by_password(pass, login.pass, then, login);
        }
        Err(RefusalReason::UnknownUser(login.user.to_owned()))
    }

    /// The user a certificate names: by an alternative name, by its subject with
    /// the RDNs in the same or any order, or by the text of the subject.
    fn certificate_user(&self, names: &CertificateNames) -> Option<&Arc<User>> {
        let by_text = |names: &[String]| names.iter().find_map(|n| self.users.get(n.as_str()));
        let by_subject = || {
            let subject = names.subject.as_ref()?;
            let exact = self.subjects.get(subject);
            exact.or_else(|| self.reordered.get(&subject.in_any_order()))
        };
        by_text(&names.alternative).or_else(by_subject).or_else(|| by_text(&names.subject_texts))
    }

    /// Nkeys count only where there are some.
    fn presents_nothing(&self, login: &Login<'_>) -> bool {
        let nkey = if self.nkeys.is_empty() { "" } else { login.nkey };
        [login.user, login.pass, login.token, nkey].iter().all(|field| field.is_empty())
    }

    fn without_credentials(
        &self,
        gate: &Gate,
        login: &Login<'_>,
    ) -> Result<AuthDecision, RefusalReason> {
        if let Some(user) = &gate.no_auth {
            admit(user, login)?;
            return Ok(AuthDecision::Accept(identity(user, Proof::Nothing)));
        }
        if self.implicit_global {
            return Ok(AuthDecision::Accept(self.global_identity("".into(), Proof::Nothing)));
        }
        Err(RefusalReason::NoCredentials)
    }

    fn by_nkey(&self, login: &Login<'_>) -> Result<AuthDecision, RefusalReason> {
        let unknown = || RefusalReason::UnknownNkey(login.nkey.to_owned());
        let user = self.nkeys.get(login.nkey).ok_or_else(unknown)?;
        admit(user, login)?;
        if !secret::signature_is_valid(login.nkey, login.nonce, login.sig) {
            return Err(RefusalReason::BadSignature(login.nkey.to_owned()));
        }
        Ok(AuthDecision::Accept(identity(user, Proof::OfUser)))
    }

    pub(crate) fn global_identity(&self, name: Arc<str>, proof: Proof) -> Identity {
        Identity { proof, ..Identity::new(self.global.clone(), name) }
    }
}

fn not_mapped(names: &CertificateNames) -> RefusalReason {
    let all = names.alternative.iter().chain(names.subject_texts.last());
    RefusalReason::CertificateNotMapped(all.cloned().collect())
}

pub(crate) fn identity(user: &Arc<User>, proof: Proof) -> Identity {
    Identity {
        proof,
        user: Some(user.clone()),
        permissions: user.permissions.clone(),
        ..Identity::new(user.account.clone(), user.name.clone())
    }
}

/// What a user needs besides credentials.
pub(crate) fn admit(user: &User, login: &Login<'_>) -> Result<(), RefusalReason> {
    if user.proxy_required && !login.via_trusted_proxy {
        return Err(RefusalReason::ProxyRequired(user.name.to_string()));
    }
    let types = &user.allowed_connection_types;
    if !types.is_empty() && !types.iter().any(|t| t == login.kind.name()) {
        let user = user.name.to_string();
        return Err(RefusalReason::ConnectionType { user, kind: login.kind.name() });
    }
    Ok(())
}

fn by_password(
    configured: &str,
    candidate: &str,
    then: Identity,
    login: &Login<'_>,
) -> Result<AuthDecision, RefusalReason> {
    let wrong = RefusalReason::WrongPassword(login.user.to_owned());
    compare(configured, candidate, then, wrong)
}

fn compare(
    configured: &str,
    candidate: &str,
    then: Identity,
    wrong: RefusalReason,
) -> Result<AuthDecision, RefusalReason> {
    if secret::is_bcrypt(configured) {
        return Ok(AuthDecision::CheckPassword {
            hash: Secret(configured.to_owned()),
            candidate: Secret(candidate.to_owned()),
            then: Box::new(AuthDecision::Accept(then)),
            otherwise: Box::new(refuse(wrong)),
        });
    }
    if secret::same(configured, candidate) { Ok(AuthDecision::Accept(then)) } else { Err(wrong) }
}

fn refuse(reason: RefusalReason) -> AuthDecision {
    AuthDecision::Refuse(reason.into())
}
