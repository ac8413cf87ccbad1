//! Logins that cannot be decided at once: the connection waits, and with it what
//! the client sent behind its CONNECT.

use super::session::{Session, Stop};
use crate::connection::reason::CloseReason;
use gust_account::decision::Secret;
use gust_account::{Identity, Refusal};

/// What a login waits for.
pub enum PendingLogin {
    /// A password must be compared with a bcrypt hash on a worker.
    Password(PasswordCheck),
    /// The JWT of this account must be fetched.
    FetchAccount {
        /// Public account key.
        id: String,
    },
}

/// A bcrypt comparison to be made on a worker.
pub struct PasswordCheck {
    /// Configured hash.
    pub hash: Secret,
    /// What the client sent.
    pub candidate: Secret,
    /// Who it is if they match.
    pub then: Identity,
    /// Why it is refused if not.
    pub otherwise: Refusal,
}

impl Session {
    /// Waits until the login is decided.
    pub async fn settle(&mut self, mut pending: PendingLogin) -> Result<(), CloseReason> {
        loop {
            let stop = match pending {
                PendingLogin::Password(check) => self.check_password(check).await,
                PendingLogin::FetchAccount { id } => {
                    Some(Stop::Close(self.refused(&format!("account {id} is not known"))))
                }
            };
            match stop {
                Some(Stop::Login(next)) => pending = *next,
                Some(Stop::Close(reason)) => return Err(reason),
                Some(Stop::Incomplete(_)) | None => return Ok(()),
            }
        }
    }

    async fn check_password(&mut self, check: PasswordCheck) -> Option<Stop> {
        let PasswordCheck { hash, candidate, then, otherwise } = check;
        let matches = tokio::task::spawn_blocking(move || {
            gust_account::secret::bcrypt_matches(&hash.0, &candidate.0)
        });
        if matches.await.unwrap_or(false) {
            self.accepted(then)
        } else {
            Some(Stop::Close(self.refused(&otherwise.reason.to_string())))
        }
    }
}
