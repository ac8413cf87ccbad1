//! The `-ERR` texts of permissions (contract/core.md §1.5), without quotes, and
//! the subjects that are reserved whatever the permissions say.

/// Every failed login; details only go to the log.
pub const AUTHORIZATION_VIOLATION: &str = "Authorization Violation";

/// The user's token has expired, or the time of day it may connect is over.
pub const USER_EXPIRED: &str = "User Authentication Expired";

/// The account's token has expired, or the account was deleted.
pub const ACCOUNT_EXPIRED: &str = "Account Authentication Expired";

/// The account revoked the user.
pub const USER_REVOKED: &str = "User Authentication Revoked";

/// A publish that is not allowed. `subject` is the mapped one.
pub fn publish_violation(subject: &[u8]) -> String {
    format!("Permissions Violation for Publish to \"{}\"", subject.escape())
}

/// A publish with a reply subject that is reserved.
pub fn reply_violation(reply: &[u8]) -> String {
    format!("Permissions Violation for Publish with Reply of \"{}\"", reply.escape())
}

/// A subscription that is not allowed; `queue` is empty if there is none.
pub fn subscribe_violation(subject: &[u8], queue: &[u8]) -> String {
    let mut text = format!("Permissions Violation for Subscription to \"{}\"", subject.escape());
    if !queue.is_empty() {
        text.push_str(&format!(" using queue \"{}\"", queue.escape()));
    }
    text
}

/// A subscription with more tokens than `max_sub_tokens`.
pub fn too_many_tokens(subject: &[u8]) -> String {
    format!("{}, too many tokens", subscribe_violation(subject, &[]))
}

/// A subscription that a reload took away.
pub fn removed_subscription(subject: &[u8], queue: &[u8], sid: &[u8]) -> String {
    format!("{} (sid \"{}\")", subscribe_violation(subject, queue), sid.escape())
}

/// Where gateways send answers, now and before 2.1.
const GATEWAY_REPLIES: [&[u8]; 2] = [b"_GR_.", b"$GR."];
/// Through which the server recognises its own replies.
const OWN_REPLIES: [&[u8]; 2] = [b"_R_.", b"$JS.ACK."];

fn starts_with_one_of(subject: &[u8], prefixes: &[&[u8]]) -> bool {
    prefixes.iter().any(|p| subject.starts_with(p))
}

/// Whether clients (outside the system account) may never publish to `subject`.
pub fn reserved_publish(subject: &[u8], system_account: bool) -> bool {
    starts_with_one_of(subject, &GATEWAY_REPLIES)
        || (!system_account && subject.starts_with(b"$NRG."))
}

/// Whether clients may not name `reply` as where to answer.
pub fn reserved_reply(reply: &[u8]) -> bool {
    starts_with_one_of(reply, &OWN_REPLIES) || starts_with_one_of(reply, &GATEWAY_REPLIES)
}

/// Whether clients may not join the queue group `queue`.
pub fn reserved_queue(queue: &[u8]) -> bool {
    queue == b"_sys_"
}

/// Text of bytes from a peer.
trait Escape {
    fn escape(&self) -> std::borrow::Cow<'_, str>;
}

impl Escape for [u8] {
    fn escape(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let cases = [
            (publish_violation(b"a.b"), r#"Permissions Violation for Publish to "a.b""#),
            (
                reply_violation(b"_R_.x"),
                r#"Permissions Violation for Publish with Reply of "_R_.x""#,
            ),
            (subscribe_violation(b"a", b""), r#"Permissions Violation for Subscription to "a""#),
            (
                subscribe_violation(b"a", b"q"),
                r#"Permissions Violation for Subscription to "a" using queue "q""#,
            ),
            (
                too_many_tokens(b"a.b.c"),
                r#"Permissions Violation for Subscription to "a.b.c", too many tokens"#,
            ),
            (
                removed_subscription(b"a", b"", b"7"),
                r#"Permissions Violation for Subscription to "a" (sid "7")"#,
            ),
        ];
        for (got, want) in cases {
            assert_eq!(got, want);
        }
    }

    #[test]
    fn reserved() {
        assert!(reserved_publish(b"$NRG.AE.x", false) && !reserved_publish(b"$NRG.AE.x", true));
        assert!(reserved_publish(b"_GR_.x", true) && !reserved_publish(b"_GR_x", false));
        assert!(reserved_publish(b"$GR.x", true) && !reserved_publish(b"$GR", false));
        assert!(reserved_reply(b"$GR.x") && !reserved_reply(b""));
        assert!(reserved_reply(b"_R_.a") && reserved_reply(b"$JS.ACK.s.c"));
        assert!(!reserved_reply(b"_INBOX.a") && !reserved_reply(b"$JS.API.INFO"));
        assert!(reserved_queue(b"_sys_") && !reserved_queue(b"sys"));
    }
}
