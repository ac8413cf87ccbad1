//! Who the holder of a token is, for explanations: without a connection, so that
//! nothing is asked of where, when and how it comes.

use super::account::permissions;
use super::login::{Circumstances, account_of, in_time};
use super::refusal::JwtRefusal;
use crate::decision::{Identity, RefusalReason};
use crate::jwt::{UserPermissionLimits, decode_user};
use crate::login::Login;
use crate::set::AccountSet;

/// Somebody with a token.
#[derive(Debug, Clone)]
pub struct Holder {
    /// Who it is once it is connected.
    pub identity: Identity,
    /// Whose permissions it has, for people.
    pub owner: String,
    /// What is asked of it besides, in words.
    pub conditions: Vec<String>,
}

/// Why nobody can be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoHolder {
    /// The token of its account is not loaded.
    #[error("account {0} is not known")]
    Fetch(String),
    /// It would not be let in.
    #[error("its login is refused: {0}")]
    Refused(RefusalReason),
}

impl<T: Into<RefusalReason>> From<T> for NoHolder {
    fn from(reason: T) -> Self {
        NoHolder::Refused(reason.into())
    }
}

impl AccountSet {
    /// Who the holder of this token is, wherever and whenever it connects. `now`
    /// in ns.
    pub fn holder(&self, jwt: &str, now: i64) -> Result<Holder, NoHolder> {
        let Some(trust) = &self.trust else { return Err(RefusalReason::NoCredentials.into()) };
        let claims = decode_user(jwt).map_err(JwtRefusal::Token)?;
        claims.check().map_err(JwtRefusal::Claims)?;
        in_time(&claims, now)?;
        let id = account_of(&claims);
        if !trust.is_pinned(id) {
            return Err(JwtRefusal::NotPinned { account: id.to_owned() }.into());
        }
        let account = self.account(id).filter(|a| a.token.is_some() || a.is_system);
        let account = account.ok_or_else(|| NoHolder::Fetch(id.to_owned()))?;
        let login = Login { now, ..Login::default() };
        let circumstances = Circumstances { login: &login, proven: true, anyhow: true };
        let (limits, identity) = self.admit_user(trust, &claims, account, circumstances)?;
        let scope = account.token.as_ref().and_then(|t| t.signing_keys.get(&claims.issuer));
        let name = account.display_name();
        let owner = match scope {
            Some(Some(scope)) => format!("role {:?} of account {name:?}", scope.role),
            _ if permissions(&limits.permissions).is_some() => {
                format!("the JWT of user {:?}", claims.name)
            }
            _ if identity.permissions.is_some() => {
                format!("default_permissions of account {name:?}")
            }
            _ => format!("user {:?}", claims.name),
        };
        Ok(Holder { identity, owner, conditions: conditions(&limits) })
    }
}

/// What limits say besides subjects.
fn conditions(limits: &UserPermissionLimits) -> Vec<String> {
    let mut said = Vec::new();
    if !limits.src.is_empty() {
        said.push(format!("it may connect from {} only", limits.src.join(", ")));
    }
    if !limits.times.is_empty() {
        let ranges = limits.times.iter().map(|t| format!("{} to {}", t.start, t.end));
        let ranges = ranges.collect::<Vec<_>>().join(", ");
        let zone = match limits.times_location.as_str() {
            "" => "of the server",
            zone => zone,
        };
        said.push(format!("it may be connected {ranges} only (time {zone})"));
    }
    if !limits.allowed_connection_types.is_empty() {
        let types = limits.allowed_connection_types.join(", ");
        said.push(format!("it may connect as {types} only"));
    }
    if limits.proxy_required {
        said.push("it must come through a trusted proxy".to_owned());
    }
    said
}
