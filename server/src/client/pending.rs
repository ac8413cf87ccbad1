//! Logins that cannot be decided at once: the connection waits, and with it what
//! the client sent behind its CONNECT.

use super::session::{Session, Stop};
use crate::connection::reason::CloseReason;
use crate::resolver::in_force;
use gust_account::callout::CalloutQuestion;
use gust_account::decision::Secret;
use gust_account::{AuthDecision, RefusalReason};
use gust_wire::client::ErrText;
use std::time::Duration;

/// What a login waits for.
pub enum PendingLogin {
    /// A password must be compared with a bcrypt hash on a worker.
    Password(Box<PasswordCheck>),
    /// The JWT of this account must be fetched.
    FetchAccount {
        /// Public account key.
        id: String,
    },
    /// An auth service must be asked.
    Callout(Box<CalloutQuestion>),
}

/// Why waiting for a login's question came to nothing.
pub enum Asked {
    /// The connection ends: nobody wants to know any more.
    Closed(CloseReason),
    /// It is refused.
    Refused(RefusalReason),
}

impl From<CloseReason> for Asked {
    fn from(reason: CloseReason) -> Self {
        Asked::Closed(reason)
    }
}

impl<T: Into<RefusalReason>> From<T> for Asked {
    fn from(reason: T) -> Self {
        Asked::Refused(reason.into())
    }
}

/// A bcrypt comparison to be made on a worker.
pub struct PasswordCheck {
    /// Configured hash.
    pub hash: Secret,
    /// What the client sent.
    pub candidate: Secret,
    /// What to do if they match.
    pub then: Box<AuthDecision>,
    /// What to do if not.
    pub otherwise: Box<AuthDecision>,
}

impl Session {
    /// Waits until the login is decided.
    pub async fn settle(&mut self, mut pending: PendingLogin) -> Result<(), CloseReason> {
        loop {
            let stop = match pending {
                PendingLogin::Password(check) => self.check_password(*check).await,
                PendingLogin::Callout(question) => self.ask_service(&question).await,
                PendingLogin::FetchAccount { id } => self.fetch_account(&id).await,
            };
            match stop {
                Some(Stop::Login(next)) => pending = *next,
                Some(Stop::Close(reason)) => return Err(reason),
                Some(Stop::Incomplete(_)) | None => return Ok(()),
            }
        }
    }

    async fn fetch_account(&mut self, id: &str) -> Option<Stop> {
        let server = self.shard.server.clone();
        // The lookup bounds the time.
        match self.wait_for(in_force::load(&server, id), Duration::MAX).await {
            Err(reason) => return Some(Stop::Close(reason)),
            Ok(Some(Err(e))) => return Some(Stop::Close(self.refused(&e.to_string()))),
            Ok(Some(Ok(())) | None) => {}
        }
        match self.decide() {
            // It was deleted before it could be used.
            Some(Stop::Login(next)) if matches!(*next, PendingLogin::FetchAccount { .. }) => {
                Some(Stop::Close(self.refused(&format!("account {id} was deleted"))))
            }
            decided => decided,
        }
    }

    async fn check_password(&mut self, check: PasswordCheck) -> Option<Stop> {
        let server = self.shard.server.clone();
        let mut ticket = match server.passwords.check(check.hash, check.candidate) {
            Ok(ticket) => ticket,
            Err(full) => return Some(Stop::Close(self.refused(&full.to_string()))),
        };
        let time = Duration::from_nanos(server.auth_timeout(self.client.kind()) as u64);
        let answer = match self.wait_for(&mut ticket.answer, time).await {
            // What has begun is soon done, and would be done in vain.
            Ok(None) if ticket.has_started() => {
                self.wait_for(&mut ticket.answer, Duration::MAX).await
            }
            answer => answer,
        };
        match answer {
            Err(reason) => Some(Stop::Close(reason)),
            Ok(Some(matches)) => {
                let matches = matches.unwrap_or(false);
                self.follow(if matches { *check.then } else { *check.otherwise })
            }
            Ok(None) => {
                self.send(|out| ErrText::AuthenticationTimeout.put_line(out));
                tracing::error!(
                    "{} - Authentication Timeout: {} logins wait for their bcrypt check; use \
                     nkeys, a lower bcrypt cost, or a longer authorization timeout",
                    self.client.label(),
                    server.passwords.waiting()
                );
                Some(Stop::Close(CloseReason::AuthenticationTimeout))
            }
        }
    }

    /// Waits for something a login needs, `None` when the time is up. An error if
    /// the connection ends before: then nobody needs it any more.
    pub async fn wait_for<T>(
        &self,
        what: impl Future<Output = T>,
        time: Duration,
    ) -> Result<Option<T>, CloseReason> {
        let client = &self.client;
        tokio::pin!(what);
        let up = tokio::time::sleep(time);
        tokio::pin!(up);
        let gone = self.gone();
        tokio::pin!(gone);
        loop {
            tokio::select! {
                biased;
                result = &mut what => return Ok(Some(result)),
                () = client.signalled() => {
                    // Other signals are seen to after the login.
                    if let Some(reason) = client.close_reason() {
                        return Err(reason);
                    }
                }
                () = &mut gone => return Err(CloseReason::ClientClosed),
                () = &mut up => return Ok(None),
            }
        }
    }
}
