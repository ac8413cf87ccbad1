//! Who is trusted: operators, their keys, and what their tokens say about this
//! server.

use crate::jwt::{
    ClaimsError, OperatorClaims, TokenError, decode_account, decode_operator, decode_user,
};
use crate::nkey::{KeyKind, is_public};
use gust_config::Options;
use gust_config::options::trust::Resolver;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};

/// Why a server cannot run in operator mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// A preloaded account's token is none.
    #[error("invalid account JWT of {account} in resolver_preload: {cause}")]
    Preload {
        /// Its public key, as written.
        account: String,
        /// What is wrong.
        cause: TokenError,
    },
    /// An operator's token is none.
    #[error("error parsing operator JWT: {0}")]
    Token(#[from] TokenError),
    /// It says what it may not say.
    #[error("operator JWT not valid: {0}")]
    Claims(#[from] ClaimsError),
    /// The default sentinel is no user's token.
    #[error("default sentinel JWT not valid: {0}")]
    Sentinel(TokenError),
    /// The default sentinel needs a signature that nobody can give.
    #[error("default sentinel must be a bearer token")]
    SentinelBearer,
    /// No resolver.
    #[error("operators require an account resolver to be configured")]
    Resolver,
    /// The configuration and the operator disagree.
    #[error("system_account in config and operator JWT must be identical")]
    SystemAccount,
    /// A directory of accounts is kept up to date by its system account.
    #[error(
        "using nats based account resolver - the system account needs to be specified in \
         configuration or the operator jwt"
    )]
    NoSystemAccount,
    /// The server is too old for the operator.
    #[error("operator {operator} expects server version {wanted} or later, this is {have}")]
    Version {
        /// Public operator key.
        operator: String,
        /// What it asks for.
        wanted: String,
        /// What this server counts as.
        have: &'static str,
    },
    /// A pinned account is none.
    #[error("pinned account key {0:?} is not a valid public account nkey")]
    Pinned(String),
    /// Logins are decided by tokens; a callout belongs in the account's.
    #[error("operators do not allow authorization callouts to be configured directly")]
    Callout,
}

/// The version of nats-server that this server counts as.
const COMPATIBLE: &str = "2.15.1";

/// Reads the operators of `options`, whose entries must be tokens by now, not
/// files, and fills in what only their tokens say: the system account and, where
/// none is configured, a resolver.
pub fn adopt(options: &mut Options) -> Result<(), TrustError> {
    if let [token] = options.trust.operators.as_slice() {
        let operator = decode_operator(token)?;
        if options.system_account.is_empty() {
            options.system_account.clone_from(&operator.nats.system_account);
        }
        let url = operator.nats.account_server_url.trim_end_matches('/');
        let web = url.starts_with("http://") || url.starts_with("https://");
        if options.trust.resolver.is_none() && web {
            // Where nsc pushes accounts to.
            options.trust.resolver = Some(Resolver::Url(format!("{url}/accounts")));
        }
    }
    for (account, token) in &options.trust.resolver_preload {
        decode_account(token)
            .map_err(|cause| TrustError::Preload { account: account.clone(), cause })?;
    }
    Trust::new(options).map(|_| ())
}

/// Who is trusted. Immutable while the server runs.
#[derive(Debug, Clone)]
pub struct Trust {
    /// Operators, in the order they are configured.
    pub operators: Vec<OperatorClaims>,
    /// Keys that may sign accounts, and whether accounts signed by them may not
    /// sign with their own key.
    keys: BTreeMap<String, bool>,
    /// The only accounts admitted; empty: all.
    pinned: BTreeSet<String>,
    /// Token of clients without one, or empty.
    pub(super) sentinel: String,
    /// Public key of the system account, or empty.
    pub(super) system: String,
    /// The system account's own key lets its users in while its token is not
    /// there: somebody must be able to push it.
    pub(super) bootstrap: bool,
    /// Zone of times that name none.
    pub(super) zone: TimeZone,
}

impl Trust {
    /// What `options` say, whose operators must be tokens.
    pub fn new(options: &Options) -> Result<Trust, TrustError> {
        let trust = &options.trust;
        let operators = trust
            .operators
            .iter()
            .map(|token| decode_operator(token).map_err(TrustError::from))
            .collect::<Result<Vec<_>, _>>()?;
        let mut keys: BTreeMap<_, _> =
            trust.trusted_keys.iter().map(|k| (k.clone(), false)).collect();
        for operator in &operators {
            operator.check()?;
            version(operator)?;
            let strict = operator.nats.strict_signing_key_usage;
            if !strict {
                keys.insert(operator.subject.clone(), false);
            }
            keys.extend(operator.nats.signing_keys.iter().map(|key| (key.clone(), strict)));
        }
        sentinel(&trust.default_sentinel)?;
        if !operators.is_empty() {
            if trust.resolver.is_none() {
                return Err(TrustError::Resolver);
            }
            system_account(options, &operators)?;
        }
        if options.authorization.auth_callout.is_some() {
            return Err(TrustError::Callout);
        }
        let mut pinned = trust.resolver_pinned_accounts.clone();
        if let Some(bad) = pinned.iter().find(|key| !is_public(key, KeyKind::Account)) {
            return Err(TrustError::Pinned(bad.clone()));
        }
        let system = options.system_account.clone();
        if !pinned.is_empty() && !system.is_empty() {
            pinned.insert(system.clone());
        }
        let outside = !matches!(trust.resolver, None | Some(Resolver::Memory));
        Ok(Trust {
            keys,
            pinned,
            sentinel: trust.default_sentinel.clone(),
            bootstrap: operators.len() == 1 && outside && is_public(&system, KeyKind::Account),
            system,
            operators,
            zone: TimeZone::UTC,
        })
    }

    /// Whether this key may sign accounts.
    #[must_use]
    pub fn is_trusted(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether accounts signed by this key may not sign with their own key.
    #[must_use]
    pub fn is_strict(&self, key: &str) -> bool {
        self.keys.get(key).copied().unwrap_or(false)
    }

    /// Whether this account is admitted.
    #[must_use]
    pub fn is_pinned(&self, account: &str) -> bool {
        self.pinned.is_empty() || self.pinned.contains(account)
    }
}

fn sentinel(token: &str) -> Result<(), TrustError> {
    if token.is_empty() {
        return Ok(());
    }
    let user = decode_user(token).map_err(TrustError::Sentinel)?;
    // A scoped user may be a bearer by its template, which is not known yet.
    let scoped = !user.nats.issuer_account.is_empty() && user.nats.limits == Default::default();
    if user.nats.limits.bearer_token || scoped { Ok(()) } else { Err(TrustError::SentinelBearer) }
}

fn system_account(options: &Options, operators: &[OperatorClaims]) -> Result<(), TrustError> {
    let own = &options.system_account;
    if own.is_empty() {
        let directory =
            matches!(options.trust.resolver, Some(Resolver::Full(_) | Resolver::Cache(_)));
        return if directory { Err(TrustError::NoSystemAccount) } else { Ok(()) };
    }
    let mut said =
        operators.iter().map(|o| &o.nats.system_account).filter(|s| !s.is_empty()).peekable();
    if said.peek().is_some() && !said.any(|s| s == own) {
        return Err(TrustError::SystemAccount);
    }
    Ok(())
}

fn version(operator: &OperatorClaims) -> Result<(), TrustError> {
    let wanted = &operator.nats.assert_server_version;
    if wanted.is_empty() {
        return Ok(());
    }
    let numbers = |text: &str| -> Option<[u32; 3]> {
        let parts: Vec<u32> = text.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
        parts.try_into().ok()
    };
    // What is no version asks for something this server does not know.
    if numbers(wanted).is_some_and(|wanted| Some(wanted) <= numbers(COMPATIBLE)) {
        return Ok(());
    }
    let (operator, wanted) = (operator.subject.clone(), wanted.clone());
    Err(TrustError::Version { operator, wanted, have: COMPATIBLE })
}
