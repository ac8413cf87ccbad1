//! The account's interest as JetStream's deciders ask for it.

use crate::account::AccountState;
use gust_jetstream::effect::Interest;

/// Answers "does anybody listen" from an account's subscriptions.
pub struct AccountInterest<'a>(pub &'a AccountState);

impl Interest for AccountInterest<'_> {
    fn has(&self, subject: &[u8]) -> bool {
        self.0.interest.read().has_interest(subject)
    }

    fn has_group(&self, subject: &[u8], queue: &[u8]) -> bool {
        let list = self.0.interest.read();
        if queue.is_empty() {
            list.has_plain_interest(subject)
        } else {
            list.has_queue_interest(subject, queue)
        }
    }
}
