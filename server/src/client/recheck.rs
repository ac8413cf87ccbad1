//! What a connection does when the rules change under it.

use super::session::Session;
use crate::clock;
use crate::connection::reason::CloseReason;
use gust_account::{ConnectionKind, Recheck};

impl Session {
    /// Sees whether the client is still who it is, and what it may do now.
    pub fn recheck(&mut self) -> Result<(), CloseReason> {
        let Some(identity) = &self.identity else { return Ok(()) };
        let rules = self.shard.server.rules.load_full();
        match rules.recheck(identity, ConnectionKind::Standard, clock::now()) {
            Recheck::Close(how) => {
                tracing::info!("{} - {}", self.client.label(), how.reason);
                if let Some(text) = how.text {
                    self.send(|out| {
                        out.extend_from_slice(b"-ERR '");
                        out.extend_from_slice(text.as_bytes());
                        out.extend_from_slice(b"'\r\n");
                    });
                }
                Err(CloseReason::AuthenticationExpired)
            }
            Recheck::Keep(identity) => {
                self.apply_limits(&identity);
                let permissions = identity.permissions.clone();
                self.rights.set(&self.client, permissions, self.shard.rng.next());
                self.cache.clear();
                self.client.facts.lock().identify(&identity);
                self.identity = Some(identity);
                Ok(())
            }
        }
    }
}
