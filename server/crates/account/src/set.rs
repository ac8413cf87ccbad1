//! All accounts and users of a configuration, as one snapshot.

use crate::account::{Account, User};
use crate::callout::Callout;
use crate::decision::Secret;
use crate::dn::DistinguishedName;
use crate::exchange::{Exchange, ExchangeError, Party};
use crate::login::ConnectionKind;
use crate::operator::{Trust, TrustError};
use crate::permissions::{Permissions, PermissionsError};
use crate::secret;
use gust_config::Options;
use gust_config::options::accounts as config;
use gust_config::options::authorization::SimpleAuthorization;
use gust_config::options::users::{GLOBAL_ACCOUNT, User as ConfigUser};
use gust_subject::Mappings;
use gust_subject::transform::{Destination, MappingError};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Accounts, users and the rules of logging in. Immutable: a reload makes a new
/// one.
#[derive(Debug, Clone)]
pub struct AccountSet {
    accounts: BTreeMap<Arc<str>, Arc<Account>>,
    pub(crate) global: Arc<Account>,
    system: Option<Arc<Account>>,
    /// By name; nkey users are apart.
    pub(crate) users: HashMap<Arc<str>, Arc<User>>,
    pub(crate) nkeys: HashMap<Arc<str>, Arc<User>>,
    /// Users whose name is a DN, where certificates name users: by that name and
    /// by the same with its RDNs in a fixed order.
    pub(crate) subjects: HashMap<DistinguishedName, Arc<User>>,
    pub(crate) reordered: HashMap<DistinguishedName, Arc<User>>,
    /// Who presents nothing enters the global account.
    pub(crate) implicit_global: bool,
    auth_required: bool,
    gate: Gate,
    /// `websocket` and `mqtt` may have their own.
    websocket: Option<Gate>,
    mqtt: Option<Gate>,
    pub(crate) proxy_required: bool,
    /// Some listener takes user names from certificates.
    pub(crate) certificates_map: bool,
    exchange: Arc<Exchange>,
    /// Public keys of trusted proxies.
    pub(crate) proxies: Vec<Arc<str>>,
    /// Compared with what unknown users present, if passwords are hashed at all.
    pub(crate) dummy_hash: Option<Secret>,
    /// Logins are decided by tokens.
    pub(crate) trust: Option<Arc<Trust>>,
    /// Logins are decided by a service.
    pub(crate) callout: Option<Callout>,
    /// Some account's token names such a service, or did.
    pub(crate) has_services: bool,
}

/// What a listener accepts besides the tables of users.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    /// Name and password of the only user, `authorization { user, pass }`. Like
    /// in nats-server the block's permissions are for `users` only.
    pub(crate) single: Option<(Arc<str>, String)>,
    /// The only token.
    pub(crate) token: Option<String>,
    /// Who a peer is that presents nothing.
    pub(crate) no_auth: Option<Arc<User>>,
}

impl std::fmt::Debug for Gate {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Gate {
    /// `None` if nothing of it is configured.
    fn own(user: &str, pass: &str, token: &str, no_auth: Option<Arc<User>>) -> Option<Gate> {
        let single = (!user.is_empty() || !pass.is_empty()).then(|| (user.into(), pass.to_owned()));
        let token = (!token.is_empty()).then(|| token.to_owned());
        let any = single.is_some() || token.is_some() || no_auth.is_some();
        any.then_some(Gate { single, token, no_auth })
    }
}

/// What unknown users are compared with, so that a refusal takes the same time.
fn dummy_hash<'a>(
    users: &HashMap<Arc<str>, Arc<User>>,
    gates: impl Iterator<Item = &'a Gate>,
) -> Option<Secret> {
    let single = gates.filter_map(|gate| gate.single.as_ref()).map(|(_, pass)| pass.as_str());
    secret::dummy_hash(users.values().map(|user| user.pass.as_str()).chain(single)).map(Secret)
}

/// Why options make no account set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Permissions of a user.
    #[error("permissions of user {user:?}: {cause}")]
    Permissions {
        /// Who.
        user: String,
        /// What is wrong.
        cause: PermissionsError,
    },
    /// A mapping of an account.
    #[error("{at}: Error adding mapping for {source_subject:?} {cause} (account {account:?})")]
    Mapping {
        /// Place in the file.
        at: String,
        /// Which account.
        account: String,
        /// Source of the mapping.
        source_subject: String,
        /// What is wrong.
        cause: Box<MappingError>,
    },
    /// Two accounts with one name.
    #[error("account {0:?} is defined twice; keep one of them")]
    DuplicateAccount(String),
    /// Two users with one name or nkey.
    #[error("user {0:?} is defined twice; names are unique on a server")]
    DuplicateUser(String),
    /// Operators.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The system account does not exist.
    #[error("error resolving system account: account missing")]
    SystemAccount,
    /// `no_auth_user` names nobody.
    #[error(
        "no_auth_user: {0:?} not present as user or nkey in authorization block or account configuration"
    )]
    NoAuthUser(String),
    /// Exports and imports that do not fit together.
    #[error("{}", lines(.0))]
    Exchange(Vec<ExchangeError>),
    /// The account of an auth service does not exist: nobody could log in.
    #[error("auth_callout: account {0:?} is not defined; add it to accounts, or name another")]
    CalloutAccount(String),
}

impl AccountSet {
    /// The snapshot for `options` (defaults applied or not).
    pub fn from_options(options: &Options) -> Result<AccountSet, AccountError> {
        let trust = options.is_operator_mode().then(|| Trust::new(options)).transpose()?;
        let auth = &options.authorization;
        let accounts = accounts(options)?;
        let callout = auth.auth_callout.as_ref();
        let callout = callout.map(|c| Callout::new(c, options, &accounts)).transpose()?;
        let exchange = exchange(&accounts, options.system_account_name().is_some());
        if !exchange.errors().is_empty() {
            return Err(AccountError::Exchange(exchange.errors().to_vec()));
        }
        let by_name = |name: &str| accounts.get(name).cloned();
        let global = by_name(GLOBAL_ACCOUNT).ok_or(AccountError::SystemAccount)?;
        let system = match options.system_account_name() {
            Some(name) => Some(by_name(name).ok_or(AccountError::SystemAccount)?),
            None => None,
        };
        let (mut users, mut nkeys) = (HashMap::new(), HashMap::new());
        for written in options.users() {
            let account = by_name(&written.account).unwrap_or_else(|| global.clone());
            let user = user(written, account)?;
            let table = if user.is_nkey { &mut nkeys } else { &mut users };
            if table.insert(user.name.clone(), Arc::new(user)).is_some() {
                return Err(AccountError::DuplicateUser(written.identity().to_owned()));
            }
        }
        let find = |name: &str| match name {
            "" => Ok(None),
            name => {
                let user = users.get(name).or_else(|| nkeys.get(name)).cloned();
                user.map(Some).ok_or_else(|| AccountError::NoAuthUser(name.to_owned()))
            }
        };
        let gate = Gate::own(&auth.user, &auth.pass, &auth.token, find(&options.no_auth_user)?)
            .unwrap_or_default();
        let (ws, mqtt) = (&options.websocket, &options.mqtt);
        let own = |a: &SimpleAuthorization, no_auth| Gate::own(&a.user, &a.pass, &a.token, no_auth);
        let websocket = own(&ws.authorization, find(&ws.no_auth_user)?);
        let mqtt_gate = own(&mqtt.authorization, find(&mqtt.no_auth_user)?);
        let certificates_map = options.tls_blocks().iter().any(|(_, tls)| tls.verify_and_map);
        let gates = [Some(&gate), websocket.as_ref(), mqtt_gate.as_ref()];
        let dummy_hash = dummy_hash(&users, gates.into_iter().flatten());
        let (mut subjects, mut reordered) = (HashMap::new(), HashMap::new());
        if certificates_map {
            for user in users.values() {
                if let Some(name) = DistinguishedName::parse(&user.name) {
                    reordered.insert(name.in_any_order(), user.clone());
                    subjects.insert(name, user.clone());
                }
            }
        }
        // Users only in the system account protect that account, not the global
        // one (contract/core.md §5).
        let system_defined = system.as_ref().is_some_and(|s| options.account(&s.name).is_some());
        let implicit_global =
            system_defined && accounts.len() == 2 && gate.no_auth.is_none() && !auth.defined;
        Ok(AccountSet {
            global,
            system,
            users,
            nkeys,
            subjects,
            reordered,
            implicit_global,
            auth_required: options.requires_login() || implicit_global,
            gate,
            websocket,
            mqtt: mqtt_gate,
            proxy_required: auth.proxy_required,
            certificates_map,
            exchange: Arc::new(exchange),
            proxies: options.proxies.iter().map(|key| key.as_str().into()).collect(),
            dummy_hash,
            trust: trust.map(Arc::new),
            callout,
            has_services: false,
            accounts,
        })
    }

    /// Adds or replaces an account; the exchange is the caller's to renew. Gives
    /// what was there before.
    pub(crate) fn put(&mut self, account: Arc<Account>) -> Option<Arc<Account>> {
        if account.is_system {
            self.system = Some(account.clone());
        }
        let token = account.token.as_ref();
        self.has_services |=
            token.is_some_and(|token| !token.claims.nats.authorization.auth_users.is_empty());
        self.accounts.insert(account.name.clone(), account)
    }

    /// Takes an account away; the exchange is the caller's to renew.
    pub(crate) fn remove(&mut self, name: &str) {
        self.accounts.remove(name);
    }

    pub(crate) fn set_exchange(&mut self, exchange: Exchange) {
        self.exchange = Arc::new(exchange);
    }

    /// Whether INFO says `auth_required` to a connection of this kind.
    pub fn auth_required(&self, kind: ConnectionKind) -> bool {
        self.auth_required || self.own_gate(kind).is_some()
    }

    pub(crate) fn gate(&self, kind: ConnectionKind) -> &Gate {
        self.own_gate(kind).unwrap_or(&self.gate)
    }

    fn own_gate(&self, kind: ConnectionKind) -> Option<&Gate> {
        match kind {
            ConnectionKind::Websocket => self.websocket.as_ref(),
            ConnectionKind::Mqtt | ConnectionKind::MqttWs => self.mqtt.as_ref(),
            _ => None,
        }
    }

    /// Whether INFO must offer a nonce.
    pub fn nonce_required(&self) -> bool {
        !self.nkeys.is_empty() || !self.proxies.is_empty() || self.trust.is_some()
    }

    /// The account of this name.
    pub fn account(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts.get(name)
    }

    /// All accounts by name.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    /// What accounts import from each other.
    pub fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }

    /// The account of those who name none.
    pub fn global(&self) -> &Arc<Account> {
        &self.global
    }

    /// The system account, unless it is turned off.
    pub fn system(&self) -> Option<&Arc<Account>> {
        self.system.as_ref()
    }

    /// Passwords written in plain text: worth one warning at start.
    pub fn has_plain_passwords(&self) -> bool {
        let plain = |s: &str| !s.is_empty() && !secret::is_bcrypt(s);
        self.users.values().any(|u| plain(&u.pass))
            || [Some(&self.gate), self.websocket.as_ref(), self.mqtt.as_ref()]
                .into_iter()
                .flatten()
                .any(|g| {
                    g.single.as_ref().is_some_and(|(_, pass)| plain(pass))
                        || g.token.as_deref().is_some_and(plain)
                })
    }
}

fn accounts(options: &Options) -> Result<BTreeMap<Arc<str>, Arc<Account>>, AccountError> {
    let system = options.system_account_name();
    let own = |a: &config::Account| a.name == GLOBAL_ACCOUNT || Some(a.name.as_str()) == system;
    let only_global = !options.is_operator_mode() && options.accounts.iter().all(own);
    let mut accounts = BTreeMap::new();
    for written in &options.accounts {
        let account = account(written, system, only_global)?;
        if accounts.insert(account.name.clone(), Arc::new(account)).is_some() {
            return Err(AccountError::DuplicateAccount(written.name.clone()));
        }
    }
    if let (true, Some(name)) = (options.is_operator_mode(), system) {
        // Its token comes from the resolver.
        accounts.insert(name.into(), Arc::new(Account::bare(name.into(), true)));
    }
    for name in options.account_names() {
        if !accounts.contains_key(name) {
            let written = config::Account { name: name.to_owned(), ..config::Account::default() };
            accounts.insert(name.into(), Arc::new(account(&written, system, only_global)?));
        }
    }
    Ok(accounts)
}

fn account(
    written: &config::Account,
    system: Option<&str>,
    only_global: bool,
) -> Result<Account, AccountError> {
    let mut mappings = Mappings::default();
    for mapping in &written.mappings {
        let destination = |d: &gust_config::options::mappings::MappingDestination| Destination {
            subject: d.subject.as_bytes().to_vec(),
            weight: d.weight,
            cluster: (!d.cluster.is_empty()).then(|| d.cluster.clone()),
        };
        let destinations: Vec<_> = mapping.destinations.iter().map(destination).collect();
        mappings.add(mapping.source.as_bytes(), &destinations).map_err(|cause| {
            AccountError::Mapping {
                at: mapping.at.to_string(),
                account: written.name.clone(),
                source_subject: mapping.source.clone(),
                cause: Box::new(cause),
            }
        })?;
    }
    let is_global = written.name == GLOBAL_ACCOUNT;
    let by_default = (is_global && only_global).then(config::JetStreamAccountLimits::default);
    Ok(Account {
        name: written.name.as_str().into(),
        nkey: written.nkey.clone(),
        is_system: system == Some(written.name.as_str()),
        limits: written.limits,
        mappings,
        jetstream: written.jetstream.or(by_default),
        cluster_traffic_owner: written.cluster_traffic_owner,
        exports: written.exports.iter().map(Into::into).collect(),
        imports: written.imports.iter().map(Into::into).collect(),
        message_trace: written.message_trace.clone(),
        token: None,
    })
}

/// The imports of all accounts of a configuration, where no tokens exist.
fn exchange(accounts: &BTreeMap<Arc<str>, Arc<Account>>, has_system: bool) -> Exchange {
    let parties = accounts.values().map(|a| Party {
        name: &a.name,
        exports: &a.exports,
        imports: &a.imports,
    });
    Exchange::resolve(parties, has_system, &|_| Err("tokens need operator mode".to_owned()))
}

fn lines(errors: &[ExchangeError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn user(written: &ConfigUser, account: Arc<Account>) -> Result<User, AccountError> {
    let permissions = written.permissions.as_ref().map(Permissions::new).transpose();
    let permissions = permissions.map_err(|cause| AccountError::Permissions {
        user: written.identity().to_owned(),
        cause,
    })?;
    Ok(User {
        name: written.identity().into(),
        is_nkey: written.nkey.is_some(),
        account,
        permissions: permissions.map(Arc::new),
        allowed_connection_types: written.allowed_connection_types.clone(),
        proxy_required: written.proxy_required,
        pass: written.pass.clone(),
    })
}
