//! Why somebody may or may not publish or subscribe: the same decisions as those
//! of a connection, with the rule that made each, and where a message goes.

use crate::account::Account;
use crate::exchange::ExchangeKind;
use crate::permissions::Permissions;
use crate::set::AccountSet;
use crate::texts;
use gust_config::options::permissions as config;
use gust_subject::transform::Mapped;
use gust_subject::{has_wildcards, matches, overlaps, valid_publish, valid_subscribe};
use std::sync::Arc;

/// Who wants something.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// How to call it: `user "alice"`.
    pub name: &'a str,
    /// Name of its account.
    pub account: &'a str,
    /// What it may do; `None`: everything.
    pub permissions: Option<&'a Arc<Permissions>>,
    /// Whose permissions these are: mostly the name again.
    pub owner: &'a str,
    /// All accounts; without them mappings, imports and exports are not known.
    pub rules: Option<&'a AccountSet>,
    /// Name of the server's cluster, or empty.
    pub cluster: &'a str,
}

/// What it wants.
#[derive(Debug, Clone, Copy)]
pub enum Wish<'a> {
    /// To publish to this subject.
    Publish(&'a str),
    /// To subscribe.
    Subscribe {
        /// Subject, may hold wildcards.
        subject: &'a str,
        /// Queue group, or empty.
        queue: &'a str,
    },
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// It may not.
    Denied,
    /// It depends: on a weighted mapping, or on what is not known here.
    Unknown,
}

/// The entry of a list that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `publish` or `subscribe`.
    pub side: &'static str,
    /// `allow` or `deny`.
    pub list: &'static str,
    /// As written.
    pub entry: String,
}

/// A line of an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What happens.
    pub text: String,
    /// The entry that makes it so, for who knows where it stands.
    pub rule: Option<Rule>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Yes or no.
    pub verdict: Verdict,
    /// Why, in the order of events.
    pub steps: Vec<Step>,
}

impl Explanation {
    fn new() -> Self {
        Explanation { verdict: Verdict::Allowed, steps: Vec::new() }
    }

    fn say(&mut self, text: impl Into<String>) {
        self.steps.push(Step { text: text.into(), rule: None });
    }

    fn end(mut self, verdict: Verdict, text: impl Into<String>) -> Self {
        self.verdict = verdict;
        self.say(text);
        self
    }
}

/// Decides and explains.
#[must_use]
pub fn explain(who: &Who<'_>, wish: &Wish<'_>) -> Explanation {
    match *wish {
        Wish::Publish(subject) => publish(who, subject),
        Wish::Subscribe { subject, queue } => subscribe(who, subject, queue),
    }
}

fn publish(who: &Who<'_>, subject: &str) -> Explanation {
    let mut answer = Explanation::new();
    let account = account(who);
    if !valid_publish(subject.as_bytes()) {
        answer.say(format!(
            "{subject:?} is no subject to publish to: it has empty tokens or wildcards, and \
             reaches only subscriptions that match it as a name"
        ));
    }
    if texts::reserved_publish(subject.as_bytes(), account.is_some_and(|a| a.is_system)) {
        let text = format!("{subject:?} is reserved: clients may not publish there");
        return answer.end(Verdict::Denied, text);
    }
    let targets = map(account, subject, who.cluster, &mut answer);
    let mut verdicts = Vec::new();
    for target in &targets {
        verdicts.push(judge_publish(who, target, &mut answer));
        if verdicts.last() == Some(&Verdict::Allowed) {
            route(who, target, &mut answer);
        }
    }
    answer.verdict = match verdicts.as_slice() {
        [] => Verdict::Allowed,
        [first, rest @ ..] if rest.iter().all(|v| v == first) => *first,
        _ => {
            answer.say("it depends on where the mapping sends a message");
            Verdict::Unknown
        }
    };
    answer
}

/// What a publish is renamed to, before anything is checked.
fn map(
    account: Option<&Account>,
    subject: &str,
    cluster: &str,
    answer: &mut Explanation,
) -> Vec<String> {
    let outcomes = account.and_then(|a| a.mappings.outcomes(subject.as_bytes(), cluster));
    let Some((source, outcomes)) = outcomes else { return vec![subject.to_owned()] };
    let mut targets = Vec::new();
    for (percent, outcome) in outcomes {
        let source = String::from_utf8_lossy(source);
        match outcome {
            Mapped::Lost => {
                answer.say(format!("mapping {source:?}: {percent}% of messages are lost"));
            }
            Mapped::Unchanged => targets.push(subject.to_owned()),
            Mapped::To(target) => {
                let target = String::from_utf8_lossy(&target).into_owned();
                answer.say(format!(
                    "mapping {source:?}: {percent}% of messages go to {target:?}; permissions \
                     apply to that subject"
                ));
                targets.push(target);
            }
        }
    }
    targets
}

fn judge_publish(who: &Who<'_>, subject: &str, answer: &mut Explanation) -> Verdict {
    let Some(permissions) = who.permissions else {
        answer.say(format!("{} has no permissions written down: everything is allowed", who.owner));
        return Verdict::Allowed;
    };
    let written = permissions.source();
    let side = written.publish.as_ref();
    let found = |list: &[String]| list.iter().find(|entry| names(entry, subject)).cloned();
    let allowed = permissions.can_publish(subject.as_bytes());
    let allow = side.and_then(|s| s.allow.as_deref());
    let rule = match (allowed, side.and_then(|s| found(&s.deny)), allow) {
        (false, Some(entry), _) => Ok(("deny", entry)),
        (true, _, Some(list)) => found(list).map_or(Err(()), |entry| Ok(("allow", entry))),
        _ => Err(()),
    };
    match rule {
        Ok((list, entry)) => push_rule(who, "publish", list, entry, answer),
        Err(()) if allowed => {
            answer.say(format!("permissions.publish of {} restrict nothing here", who.owner));
        }
        Err(()) => answer.say(format!(
            "no entry of allow in permissions.publish of {} matches {subject:?}",
            who.owner
        )),
    }
    if let (false, Some(limits)) = (allowed, permissions.responses()) {
        answer.say(format!(
            "but it may answer: allow_responses lets it publish {} to the reply subject of a \
             message it received, {}",
            count(limits),
            time(limits)
        ));
    }
    if allowed { Verdict::Allowed } else { Verdict::Denied }
}

fn count(limits: config::ResponsePermission) -> String {
    match limits.max {
        ..0 => "any number of messages".to_owned(),
        0 | 1 => "once".to_owned(),
        n => format!("{n} messages"),
    }
}

fn time(limits: config::ResponsePermission) -> String {
    let ns = match limits.expires_ns {
        ..0 => return "for ever".to_owned(),
        0 => config::DEFAULT_RESPONSE_EXPIRY_NS,
        ns => ns,
    };
    format!("within {:?}", std::time::Duration::from_nanos(ns.unsigned_abs()))
}

fn push_rule(
    who: &Who<'_>,
    side: &'static str,
    list: &'static str,
    entry: String,
    answer: &mut Explanation,
) {
    let text = format!("rule: {list} {entry:?} in permissions.{side} of {}", who.owner);
    answer.steps.push(Step { text, rule: Some(Rule { side, list, entry }) });
}

/// Whether an entry means `subject`, wildcards of which count as names.
fn names(entry: &str, subject: &str) -> bool {
    entry == subject || matches(subject.as_bytes(), entry.as_bytes())
}

fn account<'a>(who: &Who<'a>) -> Option<&'a Account> {
    who.rules?.account(who.account).map(|account| &**account)
}

/// Where an allowed message goes besides the subscriptions of its own account.
fn route(who: &Who<'_>, subject: &str, answer: &mut Explanation) {
    let Some(rules) = who.rules else {
        answer.say("imports, exports and mappings are not known here; ask with -c FILE for them");
        return;
    };
    let bytes = subject.as_bytes();
    let own = rules.exchange().of(who.account);
    let services = own.into_iter().flat_map(|exchange| &exchange.services);
    for import in services.filter(|import| matches(bytes, &import.from)) {
        let there = String::from_utf8_lossy(&import.there(bytes)).into_owned();
        let exporter = rules.account(&import.exporter);
        answer.say(format!(
            "a service import sends it to account {} as {there:?}",
            display(exporter, &import.exporter)
        ));
        map(exporter.map(|a| &**a), &there, who.cluster, answer);
    }
    for (name, exchange) in rules.exchange().accounts() {
        let from_here = |i: &&Arc<crate::exchange::StreamImport>| {
            &*i.exporter == who.account && matches(bytes, &i.from)
        };
        for import in exchange.streams.iter().filter(from_here) {
            let here = String::from_utf8_lossy(&import.here(bytes)).into_owned();
            let name = display(rules.account(name), name);
            answer.say(format!("a stream import shows it in account {name} as {here:?}"));
        }
    }
    if let Some(account) = account(who) {
        if subject.starts_with("$JS.API.") && account.jetstream.is_some() {
            answer.say("JetStream answers it, if the server has JetStream enabled");
        } else if subject.starts_with("$SYS.REQ.") && !account.is_system {
            answer.say(
                "the server answers USER.INFO, CONNZ and STATZ requests of every account; other \
                 subjects under $SYS are ordinary ones here",
            );
        }
    }
}

fn display(account: Option<&Arc<Account>>, name: &str) -> String {
    match account.map(|a| a.display_name()) {
        Some(shown) if shown != name => format!("{shown:?} ({name})"),
        _ => format!("{name:?}"),
    }
}

fn subscribe(who: &Who<'_>, subject: &str, queue: &str) -> Explanation {
    let mut answer = Explanation::new();
    if !valid_subscribe(subject.as_bytes()) {
        return answer.end(Verdict::Denied, format!("{subject:?} is no valid subject"));
    }
    if texts::reserved_queue(queue.as_bytes()) {
        let text = format!("queue {queue:?} is reserved: clients may not join it");
        return answer.end(Verdict::Denied, text);
    }
    let Some(permissions) = who.permissions else {
        answer.say(format!("{} has no permissions written down: everything is allowed", who.owner));
        feeds(who, subject, &mut answer);
        return answer;
    };
    let allowed = permissions.can_subscribe(subject.as_bytes(), queue.as_bytes());
    let side = permissions.source().subscribe.clone().unwrap_or_default();
    let deny = side.deny.iter().find(|entry| denies(entry, subject, queue));
    let allow = side.allow.as_deref().filter(|list| !list.is_empty());
    let by = allow.and_then(|list| deciding(list, subject, queue));
    match (allowed, deny, by) {
        (false, Some(entry), _) => push_rule(who, "subscribe", "deny", entry.clone(), &mut answer),
        (true, _, Some(entry)) => push_rule(who, "subscribe", "allow", entry, &mut answer),
        (true, ..) => {
            answer.say(format!("permissions.subscribe of {} restrict nothing here", who.owner));
        }
        (false, None, _) => {
            let with = if queue.is_empty() { "without a queue" } else { "with this queue" };
            answer.say(format!(
                "no entry of allow in permissions.subscribe of {} matches {subject:?} {with}",
                who.owner
            ));
            let other = allow.and_then(|list| list.iter().find(|entry| is_near(entry, subject)));
            if let Some(entry) = other {
                answer.say(format!("{entry:?} is for its queue group only"));
            }
        }
    }
    if !allowed {
        answer.verdict = Verdict::Denied;
        return answer;
    }
    if permissions.delivery_filter(subject.as_bytes(), queue.as_bytes()).is_some() {
        held_back(who, &side, subject, &mut answer);
    }
    feeds(who, subject, &mut answer);
    answer
}

/// Subject and queue of an entry.
fn parts(entry: &str) -> (&str, &str) {
    entry.split_once(char::is_whitespace).map_or((entry, ""), |(s, q)| (s, q.trim()))
}

fn is_queue(pattern: &str, queue: &str) -> bool {
    pattern == queue || matches(queue.as_bytes(), pattern.as_bytes())
}

fn denies(entry: &str, subject: &str, queue: &str) -> bool {
    let (of, group) = parts(entry);
    names(of, subject) && (group.is_empty() || (!queue.is_empty() && is_queue(group, queue)))
}

/// The entry of an allow list that admits; entries with a queue decide for
/// groups if any matches the subject.
fn deciding(list: &[String], subject: &str, queue: &str) -> Option<String> {
    let of_subject = |entry: &&String| names(parts(entry).0, subject);
    let grouped = |entry: &&String| !parts(entry).1.is_empty();
    let groups: Vec<_> = list.iter().filter(of_subject).filter(grouped).collect();
    if !queue.is_empty() && !groups.is_empty() {
        return groups.into_iter().find(|e| is_queue(parts(e).1, queue)).cloned();
    }
    list.iter().filter(of_subject).find(|entry| !grouped(entry)).cloned()
}

fn is_near(entry: &str, subject: &str) -> bool {
    let (of, group) = parts(entry);
    !group.is_empty() && names(of, subject)
}

/// What an accepted subscription matches and does not get.
fn held_back(
    who: &Who<'_>,
    side: &config::SubjectPermission,
    subject: &str,
    answer: &mut Explanation,
) {
    let overlapping = |entry: &&String| overlaps(parts(entry).0.as_bytes(), subject.as_bytes());
    for entry in side.deny.iter().filter(overlapping) {
        let text = format!(
            "messages that deny {entry:?} in permissions.subscribe of {} matches are not \
             delivered",
            who.owner
        );
        let rule = Rule { side: "subscribe", list: "deny", entry: entry.clone() };
        answer.steps.push(Step { text, rule: Some(rule) });
    }
    if side.allow.is_some() && has_wildcards(subject.as_bytes()) {
        answer.say("only messages that an entry of allow matches are delivered");
    }
}

/// What reaches a subscription from other accounts.
fn feeds(who: &Who<'_>, subject: &str, answer: &mut Explanation) {
    let Some(rules) = who.rules else {
        answer.say("imports and exports are not known here; ask with -c FILE for them");
        return;
    };
    let own = rules.exchange().of(who.account);
    for import in own.into_iter().flat_map(|exchange| &exchange.streams) {
        if let Some(there) = import.there(subject.as_bytes()) {
            let exporter = display(rules.account(&import.exporter), &import.exporter);
            let there = String::from_utf8_lossy(&there).into_owned();
            answer.say(format!("a stream import brings {there:?} of account {exporter}"));
        }
    }
    let exports = rules.account(who.account).map(|a| a.exports.as_slice()).unwrap_or_default();
    for (name, exchange) in rules.exchange().accounts() {
        for import in exchange.services.iter().filter(|i| &*i.exporter == who.account) {
            if overlaps(&import.to, subject.as_bytes()) {
                let from = String::from_utf8_lossy(&import.from).into_owned();
                let name = display(rules.account(name), name);
                answer.say(format!("requests of account {name} to {from:?} arrive here"));
            }
        }
    }
    let unused = exports.iter().any(|e| {
        e.kind == ExchangeKind::Service && overlaps(e.subject.as_bytes(), subject.as_bytes())
    });
    if unused {
        answer.say("the subject is exported as a service");
    }
}
