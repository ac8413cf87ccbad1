//! `$SYS.DEBUG.SUBSCRIBERS` and `$SYS.REQ.ACCOUNT.NSUBS`: how many clients would
//! get a message.

use super::request::text;
use crate::account::AccountState;
use crate::server::Server;
use crate::subscription::Subscription;
use gust_interest::MatchResult;
use serde_json::Value;
use std::sync::Arc;

/// Answers `subject [queue]` for one account.
pub fn debug(account: &AccountState, request: &[u8]) -> usize {
    let request = String::from_utf8_lossy(request);
    let mut words = request.split_whitespace();
    let subject = words.next().unwrap_or_default();
    count(account, subject, words.next().unwrap_or_default())
}

/// Answers the form servers ask each other in; silent about an unknown account.
pub fn of_account(server: &Server, o: &Value) -> Option<usize> {
    let account = server.accounts.get(text(o, "acc"))?;
    let a_text = |key: &str| o[key].is_null() || o[key].is_string();
    if !a_text("subject") || !a_text("queue") {
        return None;
    }
    Some(count(&account, text(o, "subject"), text(o, "queue")))
}

/// Subscriptions of clients that match a literal subject, or that lie within a
/// wildcard one; of one queue group, if one is named.
fn count(account: &AccountState, subject: &str, queue: &str) -> usize {
    let (subject, queue) = (subject.as_bytes(), queue.as_bytes());
    if subject.is_empty() {
        return 0;
    }
    let counts = |sub: &Arc<Subscription>| {
        sub.client().is_some() && (queue.is_empty() || sub.queue == queue)
    };
    let interest = account.interest.read();
    if gust_subject::has_wildcards(subject) {
        let mut n = 0;
        interest.for_each(|found| {
            let sub = found.value;
            if gust_subject::subset(&sub.subject, subject) && counts(sub) {
                n += 1;
            }
        });
        return n;
    }
    let mut found = MatchResult::default();
    interest.matches(subject, &mut found);
    let queues = found.queues.iter().flat_map(|group| &group.members);
    found.plain.iter().chain(queues).filter(|s| counts(s)).count()
}
