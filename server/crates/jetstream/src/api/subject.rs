//! Which endpoint a request subject names (contract/jetstream.md §1.1, §1.2).

use bytes::{BufMut, Bytes, BytesMut};

/// Prefix of every API subject.
pub const PREFIX: &str = "$JS.API.";

/// Declares the endpoints: variant, response type, and whether the request is
/// in the low-priority queue.
macro_rules! endpoints {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident),* } => $type:literal, $queue:ident;)*) => {
        /// One endpoint with the tokens of its subject.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Endpoint<'a> {
            $($(#[$doc])* $name { $($(#[$fdoc])* $field: &'a str),* },)*
        }

        impl Endpoint<'_> {
            /// The `type` of its answers.
            pub fn response_type(&self) -> &'static str {
                match self {
                    $(Endpoint::$name { .. } => concat!("io.nats.jetstream.api.v1.", $type),)*
                }
            }

            /// Whether it is served after everything else that waits.
            pub fn low_priority(&self) -> bool {
                match self {
                    $(Endpoint::$name { .. } => Queue::$queue == Queue::Low,)*
                }
            }
        }
    };
}

#[derive(PartialEq, Eq)]
enum Queue {
    High,
    Low,
}

endpoints! {
    /// `INFO`.
    AccountInfo {} => "account_info_response", Low;
    /// `STREAM.CREATE.<stream>`.
    StreamCreate { /// Stream.
        stream } => "stream_create_response", High;
    /// `STREAM.UPDATE.<stream>`.
    StreamUpdate { /// Stream.
        stream } => "stream_update_response", High;
    /// `STREAM.NAMES`.
    StreamNames {} => "stream_names_response", Low;
    /// `STREAM.LIST`.
    StreamList {} => "stream_list_response", Low;
    /// `STREAM.INFO.<stream>`.
    StreamInfo { /// Stream.
        stream } => "stream_info_response", Low;
    /// `STREAM.DELETE.<stream>`.
    StreamDelete { /// Stream.
        stream } => "stream_delete_response", High;
    /// `STREAM.PURGE.<stream>`.
    StreamPurge { /// Stream.
        stream } => "stream_purge_response", High;
    /// `STREAM.MSG.GET.<stream>`.
    MsgGet { /// Stream.
        stream } => "stream_msg_get_response", High;
    /// `STREAM.MSG.DELETE.<stream>`.
    MsgDelete { /// Stream.
        stream } => "stream_msg_delete_response", High;
    /// `STREAM.SNAPSHOT.<stream>`.
    StreamSnapshot { /// Stream.
        stream } => "stream_snapshot_response", High;
    /// `STREAM.RESTORE.<stream>`.
    StreamRestore { /// Stream.
        stream } => "stream_restore_response", High;
    /// `STREAM.LEADER.STEPDOWN.<stream>`.
    StreamStepDown { /// Stream.
        stream } => "stream_leader_stepdown_response", High;
    /// `STREAM.PEER.REMOVE.<stream>`.
    StreamPeerRemove { /// Stream.
        stream } => "stream_remove_peer_response", High;
    /// `STREAM.PEER.EVACUATE.<stream>`.
    StreamPeerEvacuate { /// Stream.
        stream } => "stream_evacuate_peer_response", High;
    /// `STREAM.CANCEL_MOVE.<stream>`.
    StreamCancelMove { /// Stream.
        stream } => "stream_cancel_move_response", High;
    /// `CONSUMER.CREATE.<stream>`: an ephemeral, or named in the body.
    ConsumerCreate { /// Stream.
        stream } => "consumer_create_response", High;
    /// `CONSUMER.CREATE.<stream>.<consumer>[.<filter>]`.
    ConsumerCreateNamed { /// Stream.
        stream, /// Consumer.
        consumer, /// Filter, or empty.
        filter } => "consumer_create_response", High;
    /// `CONSUMER.DURABLE.CREATE.<stream>.<consumer>`.
    ConsumerDurableCreate { /// Stream.
        stream, /// Consumer.
        consumer } => "consumer_create_response", High;
    /// `CONSUMER.NAMES.<stream>`.
    ConsumerNames { /// Stream.
        stream } => "consumer_names_response", Low;
    /// `CONSUMER.LIST.<stream>`.
    ConsumerList { /// Stream.
        stream } => "consumer_list_response", Low;
    /// `CONSUMER.INFO.<stream>.<consumer>`.
    ConsumerInfo { /// Stream.
        stream, /// Consumer.
        consumer } => "consumer_info_response", Low;
    /// `CONSUMER.DELETE.<stream>.<consumer>`.
    ConsumerDelete { /// Stream.
        stream, /// Consumer.
        consumer } => "consumer_delete_response", High;
    /// `CONSUMER.PAUSE.<stream>.<consumer>`.
    ConsumerPause { /// Stream.
        stream, /// Consumer.
        consumer } => "consumer_pause_response", High;
    /// `CONSUMER.UNPIN.<stream>.<consumer>`.
    ConsumerUnpin { /// Stream.
        stream, /// Consumer.
        consumer } => "consumer_unpin_response", High;
    /// `CONSUMER.RESET.<stream>.<consumer>`; silent when the consumer is missing.
    ConsumerReset { /// Stream.
        stream, /// Consumer.
        consumer } => "consumer_reset_response", High;
    /// `CONSUMER.LEADER.STEPDOWN.<stream>.<consumer>`.
    ConsumerStepDown { /// Stream.
        stream, /// Consumer.
        consumer } => "consumer_leader_stepdown_response", High;
    /// `CONSUMER.PEER.REMOVE.<stream>.<consumer>`.
    ConsumerPeerRemove { /// Stream.
        stream, /// Consumer.
        consumer } => "consumer_remove_peer_response", High;
    /// `CONSUMER.PEER.EVACUATE.<stream>.<consumer>`.
    ConsumerPeerEvacuate { /// Stream.
        stream, /// Consumer.
        consumer } => "consumer_evacuate_peer_response", High;
    /// `CONSUMER.MSG.NEXT.<stream>.<consumer>`; 503 when the consumer is missing.
    MsgNext { /// Stream.
        stream, /// Consumer.
        consumer } => "system_response", High;
    /// `DIRECT.GET.<stream>[.<subject>]`; 503 when the stream is missing.
    DirectGet { /// Stream.
        stream, /// Subject wanted, or empty when the body says what.
        subject } => "system_response", High;
    /// `META.LEADER.STEPDOWN`, system account only.
    MetaStepDown {} => "meta_leader_stepdown_response", High;
    /// `META.RESCUE`, system account only.
    MetaRescue {} => "meta_rescue_response", High;
    /// `SERVER.REMOVE`, system account only.
    ServerRemove {} => "meta_server_remove_response", High;
    /// `SERVER.EVACUATE`, system account only.
    ServerEvacuate {} => "meta_server_evacuate_response", High;
    /// `ACCOUNT.PURGE.<account>`, system account only.
    AccountPurge { /// Account.
        account } => "account_purge_response", High;
    /// `ACCOUNT.STREAM.MOVE.<account>.<stream>`, system account only.
    AccountStreamMove { /// Account.
        account, /// Stream.
        stream } => "stream_update_response", High;
    /// `ACCOUNT.STREAM.CANCEL_MOVE.<account>.<stream>`, system account only.
    AccountStreamCancelMove { /// Account.
        account, /// Stream.
        stream } => "stream_update_response", High;
}

/// What to do with a message on a subject of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// It is a request.
    Endpoint(Endpoint<'a>),
    /// No endpoint: nothing is answered, the client runs into its timeout.
    Silent,
    /// No endpoint and not part of the account's import: `503`.
    NoResponders,
}

impl<'a> Route<'a> {
    /// Reads a subject; `None` when it is not one of the API.
    pub fn parse(subject: &'a [u8]) -> Option<Route<'a>> {
        let rest = subject.strip_prefix(PREFIX.as_bytes())?;
        // MSG.NEXT and DIRECT.GET are outside the import that swallows the rest.
        let outside = [&b"DIRECT.GET."[..], b"CONSUMER.MSG.NEXT."];
        let otherwise = match outside.iter().any(|p| rest.starts_with(p)) {
            true => Route::NoResponders,
            false => Route::Silent,
        };
        let known = std::str::from_utf8(rest).ok().and_then(endpoint);
        Some(known.map_or(otherwise, Route::Endpoint))
    }
}

impl<'a> Endpoint<'a> {
    /// Reads a whole subject; `None` when it names no endpoint.
    pub fn parse(subject: &'a [u8]) -> Option<Endpoint<'a>> {
        match Route::parse(subject)? {
            Route::Endpoint(endpoint) => Some(endpoint),
            Route::Silent | Route::NoResponders => None,
        }
    }

    /// The stream it is about, or empty.
    pub fn stream(&self) -> &'a str {
        let mut tokens = self.tokens();
        if matches!(self, Endpoint::AccountPurge { .. }) {
            return "";
        }
        if matches!(
            self,
            Endpoint::AccountStreamMove { .. } | Endpoint::AccountStreamCancelMove { .. }
        ) {
            tokens.rotate_left(1);
        }
        tokens[0]
    }

    /// The consumer it is about, or empty.
    pub fn consumer(&self) -> &'a str {
        match self {
            Endpoint::DirectGet { .. }
            | Endpoint::AccountStreamMove { .. }
            | Endpoint::AccountStreamCancelMove { .. } => "",
            _ => self.tokens()[1],
        }
    }

    /// Whether only the system account may ask; silent for others.
    pub fn system_only(&self) -> bool {
        use Endpoint as E;
        matches!(
            self,
            E::MetaStepDown {}
                | E::MetaRescue {}
                | E::ServerRemove {}
                | E::ServerEvacuate {}
                | E::AccountPurge { .. }
                | E::AccountStreamMove { .. }
                | E::AccountStreamCancelMove { .. }
        )
    }

    /// Whether a single server refuses it with 10010.
    pub fn needs_cluster(&self) -> bool {
        use Endpoint as E;
        matches!(
            self,
            E::StreamStepDown { .. }
                | E::StreamPeerRemove { .. }
                | E::StreamPeerEvacuate { .. }
                | E::StreamCancelMove { .. }
                | E::ConsumerStepDown { .. }
                | E::ConsumerPeerRemove { .. }
                | E::ConsumerPeerEvacuate { .. }
        )
    }

    /// Whether a successful answer counts in `api.total` and is audited;
    /// errors count unless the endpoint is uncounted altogether.
    pub fn counted(&self, success: bool) -> bool {
        use Endpoint as E;
        match self {
            E::MsgNext { .. } | E::DirectGet { .. } | E::ConsumerReset { .. } => false,
            E::MsgGet { .. } => !success,
            _ => true,
        }
    }

    fn tokens(&self) -> [&'a str; 2] {
        use Endpoint as E;
        match *self {
            E::AccountInfo {}
            | E::StreamNames {}
            | E::StreamList {}
            | E::MetaStepDown {}
            | E::MetaRescue {}
            | E::ServerRemove {}
            | E::ServerEvacuate {} => ["", ""],
            E::StreamCreate { stream }
            | E::StreamUpdate { stream }
            | E::StreamInfo { stream }
            | E::StreamDelete { stream }
            | E::StreamPurge { stream }
            | E::MsgGet { stream }
            | E::MsgDelete { stream }
            | E::StreamSnapshot { stream }
            | E::StreamRestore { stream }
            | E::StreamStepDown { stream }
            | E::StreamPeerRemove { stream }
            | E::StreamPeerEvacuate { stream }
            | E::StreamCancelMove { stream }
            | E::ConsumerCreate { stream }
            | E::ConsumerNames { stream }
            | E::ConsumerList { stream } => [stream, ""],
            E::ConsumerCreateNamed { stream, consumer, .. }
            | E::ConsumerDurableCreate { stream, consumer }
            | E::ConsumerInfo { stream, consumer }
            | E::ConsumerDelete { stream, consumer }
            | E::ConsumerPause { stream, consumer }
            | E::ConsumerUnpin { stream, consumer }
            | E::ConsumerReset { stream, consumer }
            | E::ConsumerStepDown { stream, consumer }
            | E::ConsumerPeerRemove { stream, consumer }
            | E::ConsumerPeerEvacuate { stream, consumer }
            | E::MsgNext { stream, consumer } => [stream, consumer],
            E::DirectGet { stream, subject } => [stream, subject],
            E::AccountPurge { account } => [account, ""],
            E::AccountStreamMove { account, stream }
            | E::AccountStreamCancelMove { account, stream } => [account, stream],
        }
    }
}

/// The endpoint named by what follows `$JS.API.`.
fn endpoint(rest: &str) -> Option<Endpoint<'_>> {
    if rest.split('.').any(str::is_empty) {
        return None;
    }
    let (head, tail) = rest.split_once('.').unwrap_or((rest, ""));
    match head {
        "INFO" if tail.is_empty() => Some(Endpoint::AccountInfo {}),
        "STREAM" => stream_endpoint(tail),
        "CONSUMER" => consumer_endpoint(tail),
        "DIRECT" => {
            let (stream, subject) = split(tail.strip_prefix("GET.")?);
            Some(Endpoint::DirectGet { stream, subject })
        }
        "META" | "SERVER" | "ACCOUNT" => system_endpoint(rest),
        _ => None,
    }
}

/// The first token and the rest, which may be empty.
fn split(text: &str) -> (&str, &str) {
    text.split_once('.').unwrap_or((text, ""))
}

fn stream_endpoint(tail: &str) -> Option<Endpoint<'_>> {
    use Endpoint as E;
    let mut tokens = tail.split('.');
    let found = match (tokens.next()?, tokens.next(), tokens.next(), tokens.next()) {
        ("NAMES", None, ..) => E::StreamNames {},
        ("LIST", None, ..) => E::StreamList {},
        ("CREATE", Some(stream), None, _) => E::StreamCreate { stream },
        ("UPDATE", Some(stream), None, _) => E::StreamUpdate { stream },
        ("INFO", Some(stream), None, _) => E::StreamInfo { stream },
        ("DELETE", Some(stream), None, _) => E::StreamDelete { stream },
        ("PURGE", Some(stream), None, _) => E::StreamPurge { stream },
        ("SNAPSHOT", Some(stream), None, _) => E::StreamSnapshot { stream },
        ("RESTORE", Some(stream), None, _) => E::StreamRestore { stream },
        ("CANCEL_MOVE", Some(stream), None, _) => E::StreamCancelMove { stream },
        ("MSG", Some("GET"), Some(stream), None) => E::MsgGet { stream },
        ("MSG", Some("DELETE"), Some(stream), None) => E::MsgDelete { stream },
        ("LEADER", Some("STEPDOWN"), Some(stream), None) => E::StreamStepDown { stream },
        ("PEER", Some("REMOVE"), Some(stream), None) => E::StreamPeerRemove { stream },
        ("PEER", Some("EVACUATE"), Some(stream), None) => E::StreamPeerEvacuate { stream },
        _ => return None,
    };
    Some(found)
}

fn consumer_endpoint(tail: &str) -> Option<Endpoint<'_>> {
    use Endpoint as E;
    if let Some(rest) = tail.strip_prefix("CREATE.") {
        let (stream, rest) = split(rest);
        if rest.is_empty() {
            return Some(E::ConsumerCreate { stream });
        }
        let (consumer, filter) = split(rest);
        return Some(E::ConsumerCreateNamed { stream, consumer, filter });
    }
    let mut tokens = tail.split('.');
    let parts = [tokens.next(), tokens.next(), tokens.next(), tokens.next(), tokens.next()];
    let found = match parts {
        [Some("NAMES"), Some(stream), None, ..] => E::ConsumerNames { stream },
        [Some("LIST"), Some(stream), None, ..] => E::ConsumerList { stream },
        [Some(verb), Some(stream), Some(consumer), None, _] => match verb {
            "INFO" => E::ConsumerInfo { stream, consumer },
            "DELETE" => E::ConsumerDelete { stream, consumer },
            "PAUSE" => E::ConsumerPause { stream, consumer },
            "UNPIN" => E::ConsumerUnpin { stream, consumer },
            "RESET" => E::ConsumerReset { stream, consumer },
            _ => return None,
        },
        [Some(group), Some(verb), Some(stream), Some(consumer), None] => match (group, verb) {
            ("DURABLE", "CREATE") => E::ConsumerDurableCreate { stream, consumer },
            ("MSG", "NEXT") => E::MsgNext { stream, consumer },
            ("LEADER", "STEPDOWN") => E::ConsumerStepDown { stream, consumer },
            ("PEER", "REMOVE") => E::ConsumerPeerRemove { stream, consumer },
            ("PEER", "EVACUATE") => E::ConsumerPeerEvacuate { stream, consumer },
            _ => return None,
        },
        _ => return None,
    };
    Some(found)
}

fn system_endpoint(rest: &str) -> Option<Endpoint<'_>> {
    use Endpoint as E;
    let tokens: smallvec::SmallVec<[&str; 6]> = rest.split('.').take(6).collect();
    let found = match tokens[..] {
        ["META", "LEADER", "STEPDOWN"] => E::MetaStepDown {},
        ["META", "RESCUE"] => E::MetaRescue {},
        ["SERVER", "REMOVE"] => E::ServerRemove {},
        ["SERVER", "EVACUATE"] => E::ServerEvacuate {},
        ["ACCOUNT", "PURGE", account] => E::AccountPurge { account },
        ["ACCOUNT", "STREAM", "MOVE", account, stream] => E::AccountStreamMove { account, stream },
        ["ACCOUNT", "STREAM", "CANCEL_MOVE", account, stream] => {
            E::AccountStreamCancelMove { account, stream }
        }
        _ => return None,
    };
    Some(found)
}

/// The plain subject that `$JS.<domain>.API.…` stands for, if `subject` is of
/// that form and is mapped (contract/jetstream.md §1.7). `$JS.D.API.$KV.b.k` is
/// `$KV.b.k`.
pub fn plain_subject(subject: &[u8], domain: &str) -> Option<Bytes> {
    if domain.is_empty() {
        return None;
    }
    let rest = subject.strip_prefix(b"$JS.")?.strip_prefix(domain.as_bytes())?;
    let rest = rest.strip_prefix(b".API.")?;
    let is = |space: &[u8]| rest.len() > space.len() && rest.starts_with(space);
    if is(b"$KV.") || is(b"$OBJ.") {
        return Some(Bytes::copy_from_slice(rest));
    }
    let spaces: [&[u8]; 6] =
        [b"STREAM.", b"CONSUMER.", b"DIRECT.", b"META.", b"SERVER.", b"ACCOUNT."];
    if rest != b"INFO" && !spaces.into_iter().any(is) {
        return None;
    }
    let mut plain = BytesMut::with_capacity(PREFIX.len() + rest.len());
    plain.put_slice(PREFIX.as_bytes());
    plain.put_slice(rest);
    Some(plain.freeze())
}
