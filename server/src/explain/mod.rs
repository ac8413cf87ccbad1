//! `gust auth explain`: reads what is needed, asks [`gust_account::explain`], and
//! prints the answer.

mod user_info;

use crate::{clock, operators};
use gust_account::explain::{Explanation, Rule, Verdict, Who, Wish, explain};
use gust_account::jwt::token_of;
use gust_account::operator::NoHolder;
use gust_account::{Account, AccountSet, AuthDecision, Identity, Login};
use gust_config::cli::explain::ExplainRequest;
use gust_config::options::trust::Resolver;
use gust_config::value::Map;
use gust_config::{LoadError, Options, locate};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Exit code for what cannot be told.
const UNKNOWN: u8 = 2;

/// Answers and ends.
pub fn run(request: &ExplainRequest) -> ExitCode {
    let answer =
        if request.access.server.is_some() { by_server(request) } else { by_file(request) };
    match answer {
        Ok((verdict, text)) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::from(match verdict {
                Verdict::Allowed => 0,
                Verdict::Denied => 1,
                Verdict::Unknown => UNKNOWN,
            })
        }
        Err(reason) => {
            eprintln!("gust: cannot tell: {reason}");
            ExitCode::from(UNKNOWN)
        }
    }
}

/// Somebody, and how to speak of it.
struct Person {
    identity: Identity,
    name: String,
    owner: String,
    conditions: Vec<String>,
}

fn by_server(request: &ExplainRequest) -> Result<(Verdict, String), String> {
    let facts = user_info::user_info(&request.access)?;
    let who = Who {
        name: &facts.name,
        account: &facts.account,
        permissions: facts.permissions.as_ref(),
        owner: &facts.name,
        rules: None,
        cluster: "",
    };
    let answer = explain(&who, &wish(request));
    Ok((answer.verdict, render(request, &facts.name, &facts.shown, &answer, &[], &|_| None)))
}

fn by_file(request: &ExplainRequest) -> Result<(Verdict, String), String> {
    let path = request.config_file.as_deref().unwrap_or_default();
    let (map, options) = configuration(path)?;
    let zone = jiff::tz::TimeZone::system();
    let seconds = clock::now() / 1_000_000_000;
    let built = AccountSet::build(&options, None, seconds, zone).map_err(|e| e.to_string())?;
    let (rules, person) = person(request, &options, built.rules)?;
    let account = &person.identity.account;
    let who = Who {
        name: &person.name,
        account: &account.name,
        permissions: person.identity.permissions.as_ref(),
        owner: &person.owner,
        rules: Some(&rules),
        cluster: &options.cluster.name,
    };
    let answer = explain(&who, &wish(request));
    let user = &*person.identity.name;
    let place = |rule: &Rule| {
        let at = locate::permission(&map, user, rule.side, rule.list, &rule.entry)?;
        Some(at.to_string())
    };
    let shown = shown(account);
    let text = render(request, &person.name, &shown, &answer, &person.conditions, &place);
    Ok((answer.verdict, text))
}

fn shown(account: &Account) -> String {
    match account.display_name() {
        name if name == &*account.name => format!("{name:?}"),
        name => format!("{name:?} ({})", account.name),
    }
}

fn wish(request: &ExplainRequest) -> Wish<'_> {
    let subject = request.subject.as_str();
    if request.publish {
        return Wish::Publish(subject);
    }
    Wish::Subscribe { subject, queue: request.queue.as_deref().unwrap_or_default() }
}

fn configuration(path: &str) -> Result<(Map, Options), String> {
    let mut loader = |path: &str| {
        std::fs::read(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => LoadError::not_found(path),
            _ => LoadError(format!("open {path}: {e}")),
        })
    };
    let env = |k: &str| std::env::var(k).ok();
    let map =
        gust_config::parser::parse_file(path, &mut loader, &env).map_err(|e| e.to_string())?;
    let loaded = gust_config::load(path, &mut loader, &env).map_err(|e| e.to_string())?;
    let mut options = loaded.options;
    options.apply_defaults();
    operators::read(&mut options)?;
    gust_config::validate_start(&options).map_err(|e| e.to_string())?;
    Ok((map, options))
}

/// Who is meant; in operator mode its account is loaded for that.
fn person(
    request: &ExplainRequest,
    options: &Options,
    mut rules: AccountSet,
) -> Result<(AccountSet, Person), String> {
    if let Some(path) = request.access.creds.as_ref().or(request.access.jwt.as_ref()) {
        let text = std::fs::read_to_string(path).map_err(|e| format!("open {path}: {e}"))?;
        let token = token_of(&text).ok_or_else(|| format!("{path} holds no JWT"))?;
        return holder(token, options, rules);
    }
    if let Some(name) = request.access.user.as_ref().or(request.access.nkey.as_ref()) {
        let identity = rules.configured_user(name);
        let identity = identity.ok_or_else(|| format!("the configuration has no user {name:?}"))?;
        let name = format!("user {name:?}");
        let person = Person { identity, owner: name.clone(), name, conditions: Vec::new() };
        return Ok((rules, person));
    }
    if let Some(wanted) = &request.account {
        if wanted.starts_with('A') && wanted.len() == 56 && rules.account(wanted).is_none() {
            rules = loaded(wanted, options, &rules)?;
        }
        let found = rules.accounts().find(|a| *a.name == **wanted || a.display_name() == wanted);
        let account = found.ok_or_else(|| format!("there is no account {wanted:?}"))?.clone();
        let name = "a user without permissions of its own".to_owned();
        let owner = name.clone();
        let identity = Identity::new(account, "".into());
        return Ok((rules, Person { identity, name, owner, conditions: Vec::new() }));
    }
    match rules.authenticate(&Login { now: clock::now(), ..Login::default() }) {
        AuthDecision::Accept(identity) => {
            let name = match &*identity.name {
                "" => "a client without credentials".to_owned(),
                name => format!("user {name:?}"),
            };
            let owner = name.clone();
            Ok((rules, Person { identity, name, owner, conditions: Vec::new() }))
        }
        _ => Err("clients without credentials are not let in; say who with --user, --nkey, \
                  --creds, --jwt or --account"
            .to_owned()),
    }
}

fn holder(
    token: &str,
    options: &Options,
    rules: AccountSet,
) -> Result<(AccountSet, Person), String> {
    if rules.trust().is_none() {
        return Err("the configuration has no operator; tokens mean nothing there".to_owned());
    }
    let (rules, holder) = match rules.holder(token, clock::now()) {
        Ok(holder) => (rules, holder),
        Err(NoHolder::Fetch(id)) => {
            let rules = loaded(&id, options, &rules)?;
            let holder = rules.holder(token, clock::now()).map_err(|e| e.to_string())?;
            (rules, holder)
        }
        Err(refused) => return Err(refused.to_string()),
    };
    let claims = gust_account::jwt::decode_user(token).map_err(|e| e.to_string())?;
    let name = format!("user {:?} ({})", claims.name, claims.subject);
    let (identity, owner) = (holder.identity, holder.owner);
    Ok((rules, Person { identity, name, owner, conditions: holder.conditions }))
}

/// The rules with an account from the resolver's directory.
fn loaded(id: &str, options: &Options, rules: &AccountSet) -> Result<AccountSet, String> {
    let dir = match &options.trust.resolver {
        Some(Resolver::Full(dir) | Resolver::Cache(dir)) => &dir.dir,
        Some(Resolver::Url(url)) => {
            return Err(format!("account {id} is at {url}; ask a server with --server"));
        }
        _ => return Err(format!("account {id} is not in resolver_preload")),
    };
    let path = Path::new(dir).join(format!("{id}.jwt"));
    let token = std::fs::read_to_string(&path)
        .map_err(|e| format!("account {id}: open {}: {e}", path.display()))?;
    rules.with_account(id, &token, clock::now() / 1_000_000_000).map_err(|e| e.to_string())
}

/// The answer as text.
fn render(
    request: &ExplainRequest,
    name: &str,
    account: &str,
    answer: &Explanation,
    conditions: &[String],
    place: &dyn Fn(&Rule) -> Option<String>,
) -> String {
    let verb = if request.publish { "publish to" } else { "subscribe to" };
    let (word, may) = match answer.verdict {
        Verdict::Allowed => ("yes", "may"),
        Verdict::Denied => ("no", "may not"),
        Verdict::Unknown => ("it depends", "may or may not"),
    };
    let mut text =
        format!("{word}: {name} of account {account} {may} {verb} {:?}", request.subject);
    if let Some(queue) = &request.queue {
        let _ = write!(text, " with queue {queue:?}");
    }
    text.push('\n');
    for step in &answer.steps {
        let at = step.rule.as_ref().and_then(place);
        let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
        let _ = writeln!(text, "  {}{at}", step.text);
    }
    for condition in conditions {
        let _ = writeln!(text, "  {condition}");
    }
    text
}

/// Permissions as a running server tells them.
pub(crate) type Shared = Arc<gust_account::Permissions>;
