//! Why a connection was closed, in the words of `/connz` (contract/monitoring.md §1.3).

use std::fmt;

/// Reason of a close; `Display` gives nats-server's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed its side.
    ClientClosed,
    /// No CONNECT in time.
    AuthenticationTimeout,
    /// Credentials refused.
    AuthenticationFailure,
    /// Queued more than `max_pending`.
    SlowConsumerPendingBytes,
    /// The socket took nothing for `write_deadline`.
    SlowConsumerWriteDeadline,
    /// Writing failed.
    WriteError,
    /// Reading failed.
    ReadError,
    /// Bytes that are no protocol.
    ParseError,
    /// Too many unanswered PINGs.
    StaleConnection,
    /// Broke a rule of the protocol.
    ProtocolViolation,
    /// CONNECT asked for an unknown protocol level.
    BadClientProtocolVersion,
    /// `max_connections` reached.
    MaxConnectionsExceeded,
    /// The account's connection limit was reached.
    MaxAccountConnectionsExceeded,
    /// A payload above `max_payload`.
    MaxPayloadExceeded,
    /// A control line above `max_control_line`.
    MaxControlLineExceeded,
    /// The server shuts down.
    ServerShutdown,
    /// The account is gone.
    MissingAccount,
    /// `no_responders` without `headers`.
    NoRespondersRequiresHeaders,
    /// Closed by an operator.
    Kicked,
    /// The TLS handshake failed or took too long.
    TlsHandshakeFailure,
    /// More subscriptions than its limits allow after they were changed.
    MaxSubscriptionsExceeded,
    /// Its token, account or time window ended.
    AuthenticationExpired,
    /// Its credentials were revoked.
    CredentialsRevoked,
    /// Its proxy's signature is wrong or its key no longer trusted.
    ProxyNotTrusted,
    /// It had to come through a proxy and did not.
    ProxyRequired,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientClosed => "Client Closed",
            Self::AuthenticationTimeout => "Authentication Timeout",
            Self::AuthenticationFailure => "Authentication Failure",
            Self::SlowConsumerPendingBytes => "Slow Consumer (Pending Bytes)",
            Self::SlowConsumerWriteDeadline => "Slow Consumer (Write Deadline)",
            Self::WriteError => "Write Error",
            Self::ReadError => "Read Error",
            Self::ParseError => "Parse Error",
            Self::StaleConnection => "Stale Connection",
            Self::ProtocolViolation => "Protocol Violation",
            Self::BadClientProtocolVersion => "Bad Client Protocol Version",
            Self::MaxConnectionsExceeded => "Maximum Connections Exceeded",
            Self::MaxAccountConnectionsExceeded => "Maximum Account Connections Exceeded",
            Self::MaxPayloadExceeded => "Maximum Message Payload Exceeded",
            Self::MaxControlLineExceeded => "Maximum Control Line Exceeded",
            Self::ServerShutdown => "Server Shutdown",
            Self::MissingAccount => "Missing Account",
            Self::NoRespondersRequiresHeaders => "No Responders Requires Headers",
            Self::Kicked => "Kicked",
            Self::TlsHandshakeFailure => "TLS Handshake Failure",
            Self::MaxSubscriptionsExceeded => "Maximum Subscriptions Exceeded",
            Self::AuthenticationExpired => "Authentication Expired",
            Self::CredentialsRevoked => "Credentials Revoked",
            Self::ProxyNotTrusted => "Proxy Not Trusted",
            Self::ProxyRequired => "Proxy Required",
        })
    }
}
