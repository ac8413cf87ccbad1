//! Asking others in the system account for a token that the directory does not
//! hold: servers of the cluster, or a service that manages accounts.

use crate::route::{Message, OwnedMessage};
use crate::server::Server;
use crate::subscription::{Subscription, Target};
use bytes::Bytes;
use gust_interest::MatchResult;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use tokio::sync::mpsc;

/// Answers that may wait; more than can come from one question are dropped.
const ANSWERS: usize = 64;

/// The token of an account as the first of the others gives it; `None` if nobody
/// listens or nobody has it. Not bounded in time.
pub async fn ask(server: &Arc<Server>, id: &str) -> Option<String> {
    let account = server.system_account().clone();
    let subject = Bytes::from(format!("$SYS.REQ.ACCOUNT.{id}.CLAIMS.LOOKUP"));
    let mut found = MatchResult::<Arc<Subscription>>::default();
    account.interest.read().matches(&subject, &mut found);
    let ours = |s: &Arc<Subscription>| matches!(s.target, Target::Service(_));
    let all_ours = found.plain.iter().all(ours)
        && found.queues.iter().all(|group| group.members.iter().all(ours));
    if all_ours {
        return None;
    }
    let mut expected = found.plain.len() + found.queues.len();
    let (tx, mut rx) = mpsc::channel::<OwnedMessage>(ANSWERS);
    let inbox = Inbox::open(server, tx);
    let reply = inbox.0.subject.clone();
    let asked = server.call(0, move |shard| {
        shard.publish(&account, &subject, &Message::new(&subject, &reply, b"", b""), b"")
    });
    asked.await?;
    while let Some(answer) = rx.recv().await {
        if !answer.payload.is_empty() {
            let text = std::str::from_utf8(&answer.payload).ok()?;
            return Some(text.trim().to_owned());
        }
        // Empty: this one does not have it either.
        expected = expected.saturating_sub(1);
        if expected == 0 {
            return None;
        }
    }
    None
}

/// A subject for the answers, as long as somebody waits.
struct Inbox(Arc<Subscription>, Arc<Server>);

impl Inbox {
    fn open(server: &Arc<Server>, tx: mpsc::Sender<OwnedMessage>) -> Inbox {
        let subject = Bytes::from(format!("$SYS._INBOX.{}.{}", server.id, server.nuid()));
        let sub = Arc::new(Subscription {
            subject,
            queue: Bytes::new(),
            sid: Bytes::new(),
            id: server.next_sub_id(),
            target: Target::Channel(tx),
            max: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            filter: Default::default(),
        });
        let interest = &server.system_account().interest;
        interest.insert(&sub.subject, b"", sub.id, sub.clone());
        Inbox(sub, server.clone())
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.1.system_account().interest.remove(&self.0.subject, b"", self.0.id);
    }
}
