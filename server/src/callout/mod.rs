//! Asking an auth service about a login (contract core.md §4.5): publishing the
//! request in the account of the service, waiting for the answer, following it.

mod request;

use crate::client::pending::Asked;
use crate::client::session::{Session, Stop};
use crate::clock;
use crate::route::{Message, OwnedMessage};
use crate::subscription::{FilterCell, Subscription, Target};
use bytes::Bytes;
use gust_account::callout::{
    Answer, Answered, CalloutQuestion, CalloutRefusal, REQUEST_SUBJECT, XKEY_HEADER,
};
use gust_account::nkey::{KeyKind, KeyPair};
use gust_account::{AuthDecision, Login, Refusal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

/// Requests in flight. Full: further logins wait their turn, in order; who has
/// waited for the whole auth timeout is refused. What waits is the CONNECT that
/// its connection keeps anyway.
pub const MAX_IN_FLIGHT: usize = 512;

/// The places for requests in flight.
#[derive(Debug)]
pub struct Callouts(Semaphore);

impl Default for Callouts {
    fn default() -> Self {
        Callouts(Semaphore::new(MAX_IN_FLIGHT))
    }
}

impl Session {
    /// Asks the service and does what it says. Nothing is heard from a service
    /// that is not there, so the login waits for the auth timeout as well: a
    /// service that restarts would otherwise turn clients away for good.
    pub async fn ask_service(&mut self, question: &CalloutQuestion) -> Option<Stop> {
        let result = self.ask(question).await;
        match result {
            Err(Asked::Closed(reason)) => Some(Stop::Close(reason)),
            Err(Asked::Refused(reason)) => {
                let account = Some(question.account.name.clone());
                Some(self.refuse(&Refusal { account, ..reason.into() }))
            }
            Ok(Answered::Accept(identity)) => self.follow(AuthDecision::Accept(*identity)),
            // With the account it is asked again: the answer is for one request.
            Ok(Answered::FetchAccount { id }) => self.follow(AuthDecision::FetchAccount { id }),
        }
    }

    async fn ask(&self, question: &CalloutQuestion) -> Result<Answered, Asked> {
        let server = self.shard.server.clone();
        let time = Duration::from_nanos(server.auth_timeout(self.client.kind()) as u64);
        let end = Instant::now() + time;
        let place = self.wait_for(server.callouts.0.acquire(), time).await?;
        let _place = place.ok_or(CalloutRefusal::Full(MAX_IN_FLIGHT))?;
        let user = KeyPair::from_random(KeyKind::User, clock::secret());
        let user = user.map_err(|e| CalloutRefusal::Request(e.to_string()))?;
        let request = request::make(self, question, user.public())?;

        let (tx, mut answers) = mpsc::channel(1);
        let reply = format!("$SYS._INBOX.{}.{}", &server.id[..8], server.nuid());
        let sub = Arc::new(inbox(&reply, server.next_sub_id(), tx));
        let account = server.accounts.get_or_make(&question.account.name);
        server.subscribe(&self.shard, &account, &sub);
        let headers = match question.xkey.as_str() {
            "" => String::new(),
            _ => format!("NATS/1.0\r\n{XKEY_HEADER}: {}\r\n\r\n", server.keys.curve.public()),
        };
        let subject = REQUEST_SUBJECT.as_bytes();
        let message = Message::new(subject, reply.as_bytes(), headers.as_bytes(), &request);
        self.shard.publish(&account, subject, &message, b"");
        let answer = self.wait_for(answers.recv(), end - Instant::now()).await;
        server.unsubscribe(&self.shard, &account, &sub);

        let silent = || CalloutRefusal::Silent(question.account.name.to_string());
        let answer = answer?.flatten().ok_or_else(silent)?;
        let answer = Answer {
            payload: &answer.payload,
            curve: &server.keys.curve,
            user_nkey: user.public(),
            server_id: &server.id,
        };
        let login = Login {
            kind: self.client.kind(),
            now: clock::now(),
            peer: Some(self.client.addr.ip()),
            ..Login::default()
        };
        Ok(server.rules.load().callout_answer(question, answer, &login)?)
    }
}

fn inbox(subject: &str, id: u64, to: mpsc::Sender<OwnedMessage>) -> Subscription {
    Subscription {
        subject: Bytes::copy_from_slice(subject.as_bytes()),
        queue: Bytes::new(),
        sid: Bytes::new(),
        id,
        target: Target::Channel(to),
        max: AtomicU64::new(1),
        delivered: AtomicU64::new(0),
        closed: AtomicBool::new(false),
        filter: FilterCell::default(),
    }
}
