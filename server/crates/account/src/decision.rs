//! What comes of a login.

use crate::account::{Account, User};
use crate::callout::{CalloutQuestion, CalloutRefusal};
use crate::jwt::UserClaims;
use crate::operator::JwtRefusal;
use crate::permissions::Permissions;
use crate::texts;
use std::net::IpAddr;
use std::sync::Arc;

/// The answer to a login.
#[derive(Debug, Clone)]
pub enum AuthDecision {
    /// Let it in.
    Accept(Identity),
    /// Refuse and close.
    Refuse(Refusal),
    /// Compare a bcrypt hash on a worker: it takes tens of milliseconds by
    /// design. Go on with `then` if it matches, else with `otherwise`.
    CheckPassword {
        /// bcrypt hash.
        hash: Secret,
        /// What the peer sent.
        candidate: Secret,
        /// What to do if they match. Where the comparison is only made so that
        /// a refusal takes as long as for others, this refuses as well.
        then: Box<AuthDecision>,
        /// What to do if not.
        otherwise: Box<AuthDecision>,
    },
    /// The JWT of this account is not loaded: ask the resolver, install what it
    /// gives with the rules, and decide again.
    FetchAccount {
        /// Public account key.
        id: String,
    },
    /// Ask an auth service and follow its answer.
    Callout(Box<CalloutQuestion>),
}

impl AuthDecision {
    /// Everybody whom the decision may let in.
    pub(crate) fn each_identity(&mut self, change: &mut dyn FnMut(&mut Identity)) {
        match self {
            AuthDecision::Accept(identity) => change(identity),
            AuthDecision::CheckPassword { then, otherwise, .. } => {
                then.each_identity(change);
                otherwise.each_identity(change);
            }
            AuthDecision::Refuse(_)
            | AuthDecision::FetchAccount { .. }
            | AuthDecision::Callout(_) => {}
        }
    }
}

/// Who a connection is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The account it is in.
    pub account: Arc<Account>,
    /// Name for monitoring: user name or nkey; empty for a token or nobody.
    pub name: Arc<str>,
    /// The configured user, if there is one.
    pub user: Option<Arc<User>>,
    /// What it may do; `None`: everything.
    pub permissions: Option<Arc<Permissions>>,
    /// Its own limits, besides those of account and server.
    pub limits: UserLimits,
    /// When it must be cut off, ns since the epoch: the earliest of the expiry of
    /// its token, of its account and of the time window it may connect in.
    pub expires: Option<i64>,
    /// What its user JWT said, if it has one.
    pub token: Option<Arc<TokenFacts>>,
    /// Public key of the trusted proxy it came through.
    pub proxy: Option<Arc<str>>,
    /// By what it was let in, so that a change of that is noticed.
    pub proof: Proof,
}

/// By what somebody was let in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Proof {
    /// Decided by a JWT or an auth service, not by the tables of this server.
    #[default]
    Elsewhere,
    /// It presented nothing, and nothing had to be presented.
    Nothing,
    /// The password or the key of its entry in the table of users.
    OfUser,
    /// The name of its entry stands in a certificate.
    Certificate,
    /// The one token or the one password of a listener.
    OfListener(Fingerprint),
}

/// A digest of a configured secret: enough to see that it was changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a name (empty for a token) and a secret.
    pub fn new(name: &str, secret: &str) -> Self {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        // The length keeps "a" + "bc" apart from "ab" + "c".
        context.update(&(name.len() as u64).to_le_bytes());
        context.update(name.as_bytes());
        context.update(secret.as_bytes());
        let mut digest = [0; 32];
        digest.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Fingerprint(digest)
    }
}

impl std::fmt::Debug for Fingerprint {
    /// A short secret could be found by its digest.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[fingerprint]")
    }
}

impl Identity {
    /// Somebody of this name in `account`, without further rules.
    pub fn new(account: Arc<Account>, name: Arc<str>) -> Self {
        Identity {
            account,
            name,
            user: None,
            permissions: None,
            limits: UserLimits::default(),
            expires: None,
            token: None,
            proxy: None,
            proof: Proof::default(),
        }
    }
}

/// Limits of one user; `None`: none of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UserLimits {
    /// Subscriptions per connection.
    pub max_subscriptions: Option<i64>,
    /// Bytes of a message.
    pub max_payload: Option<i64>,
}

/// What is shown of a user JWT, and what a recheck of it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenFacts {
    /// Public user key.
    pub subject: String,
    /// Key that signed it.
    pub issuer_key: String,
    /// Account it belongs to.
    pub issuer_account: String,
    /// The token, empty if it is a bearer token: whoever reads one may use it.
    pub jwt: String,
    /// Tags of the user.
    pub tags: Vec<String>,
    /// Name in the token.
    pub name_tag: String,
    /// Whether it needs no signature.
    pub bearer: bool,
    /// Whether it is the default sentinel, of a client without a token of its own.
    pub sentinel: bool,
    /// When it was issued, seconds since the epoch; revocations name a time.
    pub issued_at: i64,
    /// The claims and the address it logged in from, if the token itself decided
    /// the login: asked again when the account changes.
    pub(crate) login: Option<(Arc<UserClaims>, Option<IpAddr>)>,
}

/// A text that is not shown in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// A refused login: the peer learns `text`, the log `reason`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Text of the `-ERR`.
    pub text: &'static str,
    /// For the log and the closed connection's record.
    pub reason: RefusalReason,
    /// The account that has issued what was presented, if that is certain: those
    /// in it are told as well.
    pub account: Option<Arc<str>>,
}

/// Why a login was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusalReason {
    /// Nothing was presented and there is no `no_auth_user`.
    #[error("no credentials were presented")]
    NoCredentials,
    /// No such user.
    #[error("user {0:?} is not known")]
    UnknownUser(String),
    /// No user with this key.
    #[error("nkey {0:?} is not known")]
    UnknownNkey(String),
    /// Wrong password.
    #[error("wrong password for user {0:?}")]
    WrongPassword(String),
    /// Wrong token, or none.
    #[error("wrong token")]
    WrongToken,
    /// The signature of the nonce is missing or wrong.
    #[error("nonce signature of nkey {0:?} is not valid")]
    BadSignature(String),
    /// No name of the certificate is a user.
    #[error("no name of the client certificate is a user: {0:?}; add a user with one of these")]
    CertificateNotMapped(Vec<String>),
    /// A user without password outside a listener that maps certificates.
    #[error("user {0:?} can only log in by certificate")]
    CertificateRequired(String),
    /// The user may not use this kind of connection.
    #[error("user {user:?} may not connect as {kind}")]
    ConnectionType {
        /// Who.
        user: String,
        /// [`crate::ConnectionKind::name`].
        kind: &'static str,
    },
    /// It did not come through a trusted proxy.
    #[error(
        "user {0:?} must connect through a trusted proxy, which signs the nonce as proxy_sig; or \
         take proxy_required away"
    )]
    ProxyRequired(String),
    /// `proxy_sig` is no signature of the nonce by a trusted proxy.
    #[error("the proxy's signature is by none of the keys in proxies.trusted; add the proxy's key")]
    ProxyNotTrusted,
    /// An auth service did not let it in.
    #[error(transparent)]
    Callout(Box<CalloutRefusal>),
    /// A token does not let it in.
    #[error(transparent)]
    Jwt(Box<JwtRefusal>),
}

impl From<JwtRefusal> for RefusalReason {
    fn from(refusal: JwtRefusal) -> Self {
        RefusalReason::Jwt(Box::new(refusal))
    }
}

impl From<CalloutRefusal> for RefusalReason {
    fn from(refusal: CalloutRefusal) -> Self {
        RefusalReason::Callout(Box::new(refusal))
    }
}

impl From<RefusalReason> for Refusal {
    fn from(reason: RefusalReason) -> Self {
        Refusal { text: texts::AUTHORIZATION_VIOLATION, reason, account: None }
    }
}
