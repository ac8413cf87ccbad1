//! The texts of `-ERR '…'`. Clients compare them, so they are part of the
//! protocol (contract/core.md §1.5).

use bytes::BufMut;

/// One error a client can be told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrText<'a> {
    /// Bytes that are no operation, or a payload that does not end at its size.
    UnknownProtocolOperation,
    /// Any failure to authenticate.
    AuthorizationViolation,
    /// No CONNECT in time.
    AuthenticationTimeout,
    /// The user's JWT or time window is over.
    UserAuthenticationExpired,
    /// The account expired or was deleted.
    AccountAuthenticationExpired,
    /// The user was revoked while connected.
    UserAuthenticationRevoked,
    /// `max_connections`.
    MaximumConnections,
    /// The account's connection limit.
    MaximumAccountConnections,
    /// `max_payload`.
    MaximumPayload,
    /// `max_control_line`.
    MaximumControlLine,
    /// `max_subscriptions`.
    MaximumSubscriptions,
    /// `ping_max` pings without an answer.
    StaleConnection,
    /// CONNECT named a protocol other than 0 and 1.
    InvalidClientProtocol,
    /// `no_responders` without headers on either side.
    NoRespondersNeedsHeaders,
    /// The account cannot be bound.
    FailedAccountRegistration,
    /// The peer did not upgrade to TLS.
    TlsRequired,
    /// `connection_rate_limit`.
    ConnectionThrottled,
    /// A subject that cannot be subscribed to.
    InvalidSubject,
    /// Pedantic mode: a subject that cannot be published to.
    InvalidPublishSubject,
    /// Publishing here is not permitted.
    PublishViolation {
        /// The subject.
        subject: &'a [u8],
    },
    /// The reply subject is not permitted.
    ReplyViolation {
        /// The reply subject.
        reply: &'a [u8],
    },
    /// Subscribing here is not permitted.
    SubscriptionViolation {
        /// The subject.
        subject: &'a [u8],
        /// The queue group, or empty.
        queue: &'a [u8],
    },
    /// As [`ErrText::SubscriptionViolation`], of a subscription that existed
    /// and was removed when permissions changed.
    SubscriptionRemoved {
        /// The subject.
        subject: &'a [u8],
        /// The queue group, or empty.
        queue: &'a [u8],
        /// The client's id of the subscription.
        sid: &'a [u8],
    },
    /// `max_sub_tokens`.
    TooManyTokens {
        /// The subject.
        subject: &'a [u8],
    },
}

impl ErrText<'_> {
    /// Whether the connection ends with this error. `maximum subscriptions
    /// exceeded` closes only when limits are re-applied, which the caller knows.
    pub fn closes(&self) -> bool {
        !matches!(
            self,
            ErrText::MaximumSubscriptions
                | ErrText::FailedAccountRegistration
                | ErrText::InvalidSubject
                | ErrText::InvalidPublishSubject
                | ErrText::PublishViolation { .. }
                | ErrText::ReplyViolation { .. }
                | ErrText::SubscriptionViolation { .. }
                | ErrText::SubscriptionRemoved { .. }
                | ErrText::TooManyTokens { .. }
        )
    }

    /// The text between the quotes, as far as it does not depend on a subject.
    fn fixed(&self) -> &'static [u8] {
        match self {
            ErrText::UnknownProtocolOperation => b"Unknown Protocol Operation",
            ErrText::AuthorizationViolation => b"Authorization Violation",
            ErrText::AuthenticationTimeout => b"Authentication Timeout",
            ErrText::UserAuthenticationExpired => b"User Authentication Expired",
            ErrText::AccountAuthenticationExpired => b"Account Authentication Expired",
            ErrText::UserAuthenticationRevoked => b"User Authentication Revoked",
            ErrText::MaximumConnections => b"maximum connections exceeded",
            ErrText::MaximumAccountConnections => b"maximum account active connections exceeded",
            ErrText::MaximumPayload => b"Maximum Payload Violation",
            ErrText::MaximumControlLine => b"maximum control line exceeded",
            ErrText::MaximumSubscriptions => b"maximum subscriptions exceeded",
            ErrText::StaleConnection => b"Stale Connection",
            ErrText::InvalidClientProtocol => b"invalid client protocol",
            ErrText::NoRespondersNeedsHeaders => b"no responders requires headers support",
            ErrText::FailedAccountRegistration => b"Failed Account Registration",
            ErrText::TlsRequired => b"Secure Connection - TLS Required",
            ErrText::ConnectionThrottled => {
                b"Connection throttling is active. Please try again later."
            }
            ErrText::InvalidSubject => b"Invalid Subject",
            ErrText::InvalidPublishSubject => b"Invalid Publish Subject",
            ErrText::PublishViolation { .. } => b"Permissions Violation for Publish to ",
            ErrText::ReplyViolation { .. } => b"Permissions Violation for Publish with Reply of ",
            ErrText::SubscriptionViolation { .. }
            | ErrText::SubscriptionRemoved { .. }
            | ErrText::TooManyTokens { .. } => b"Permissions Violation for Subscription to ",
        }
    }

    /// Appends the text without `-ERR` and quotes, as logs and events show it.
    pub fn put_text(&self, out: &mut impl BufMut) {
        out.put_slice(self.fixed());
        match *self {
            ErrText::PublishViolation { subject } => put_quoted(out, subject),
            ErrText::ReplyViolation { reply } => put_quoted(out, reply),
            ErrText::SubscriptionViolation { subject, queue } => {
                put_subscription(out, subject, queue);
            }
            ErrText::SubscriptionRemoved { subject, queue, sid } => {
                put_subscription(out, subject, queue);
                out.put_slice(b" (sid ");
                put_quoted(out, sid);
                out.put_slice(b")");
            }
            ErrText::TooManyTokens { subject } => {
                put_quoted(out, subject);
                out.put_slice(b", too many tokens");
            }
            _ => {}
        }
    }

    /// Appends the whole line `-ERR '…'\r\n`.
    pub fn put_line(&self, out: &mut impl BufMut) {
        out.put_slice(b"-ERR '");
        self.put_text(out);
        out.put_slice(b"'\r\n");
    }
}

fn put_subscription(out: &mut impl BufMut, subject: &[u8], queue: &[u8]) {
    put_quoted(out, subject);
    if !queue.is_empty() {
        out.put_slice(b" using queue ");
        put_quoted(out, queue);
    }
}

fn put_quoted(out: &mut impl BufMut, text: &[u8]) {
    out.put_u8(b'"');
    out.put_slice(text);
    out.put_u8(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(e: ErrText<'_>) -> String {
        let mut out = Vec::new();
        e.put_line(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_are_the_ones_clients_match() {
        assert_eq!(line(ErrText::StaleConnection), "-ERR 'Stale Connection'\r\n");
        assert_eq!(
            line(ErrText::PublishViolation { subject: b"a.b" }),
            "-ERR 'Permissions Violation for Publish to \"a.b\"'\r\n"
        );
        assert_eq!(
            line(ErrText::SubscriptionViolation { subject: b"a", queue: b"q" }),
            "-ERR 'Permissions Violation for Subscription to \"a\" using queue \"q\"'\r\n"
        );
        assert_eq!(
            line(ErrText::SubscriptionRemoved { subject: b"a", queue: b"", sid: b"9" }),
            "-ERR 'Permissions Violation for Subscription to \"a\" (sid \"9\")'\r\n"
        );
        assert_eq!(
            line(ErrText::TooManyTokens { subject: b"a.b.c" }),
            "-ERR 'Permissions Violation for Subscription to \"a.b.c\", too many tokens'\r\n"
        );
    }

    #[test]
    fn refusals_keep_the_connection() {
        assert!(!ErrText::PublishViolation { subject: b"" }.closes());
        assert!(!ErrText::MaximumSubscriptions.closes());
        assert!(ErrText::MaximumPayload.closes());
        assert!(ErrText::AuthorizationViolation.closes());
    }
}
