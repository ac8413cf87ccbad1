//! The subjects that lead to a stream.

use crate::shard::mailbox::StreamCall;
use bytes::Bytes;
use gust_jetstream::config::AckPolicy;
use gust_jetstream::stream::Stream;
use hashbrown::HashMap;

/// Queue group of direct gets: mirrors with `mirror_direct` join their origin's.
const DIRECT_GROUP: &str = "_sys_";

/// Subject and queue group with what a message there means.
pub type Wanted = HashMap<(Bytes, Bytes), StreamCall>;

/// What follows the stream's name in the subject of a direct get.
pub fn direct_subject(subject: &[u8]) -> &[u8] {
    let tail = subject.strip_prefix(b"$JS.API.DIRECT.GET.").unwrap_or_default();
    match tail.iter().position(|b| *b == b'.') {
        Some(dot) => &tail[dot + 1..],
        None => b"",
    }
}

/// What a stream has to be subscribed to: its own subjects, direct gets, and the
/// request, ack and flow control subjects of its consumers. A consumer that does
/// not exist has none, so that requests to it find no responder.
pub fn wanted(stream: &Stream) -> Wanted {
    let mut out = Wanted::new();
    let config = stream.config();
    let name = &config.name;
    let mut put = |subject: String, queue: &'static str, call: StreamCall| {
        out.insert((Bytes::from(subject), Bytes::from_static(queue.as_bytes())), call);
    };
    for s in &config.subjects {
        put(s.clone(), "", StreamCall::Publish);
    }
    if config.allow_direct {
        put(format!("$JS.API.DIRECT.GET.{name}"), DIRECT_GROUP, StreamCall::Direct);
        put(format!("$JS.API.DIRECT.GET.{name}.>"), DIRECT_GROUP, StreamCall::Direct);
    }
    if config.mirror_direct
        && let Some(mirror) = &config.mirror
    {
        let origin = &mirror.name;
        put(format!("$JS.API.DIRECT.GET.{origin}"), DIRECT_GROUP, StreamCall::Direct);
        put(format!("$JS.API.DIRECT.GET.{origin}.>"), DIRECT_GROUP, StreamCall::Direct);
    }
    let domain = &stream.identity().domain;
    let domain = if domain.is_empty() { "_" } else { domain };
    let hash = gust_jetstream::config::names::short_hash(&stream.identity().account);
    for c in stream.consumers() {
        let (consumer, cc) = (c.name(), c.config());
        let tag = Bytes::copy_from_slice(consumer.as_bytes());
        // A push consumer answers pulls too: that it is none.
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{name}.{consumer}");
        put(subject, "", StreamCall::Pull(tag.clone()));
        if cc.ack_policy != AckPolicy::None {
            put(format!("$JS.ACK.{name}.{consumer}.>"), "", StreamCall::Ack);
            put(format!("$JS.ACK.{domain}.{hash}.{name}.{consumer}.>"), "", StreamCall::Ack);
        }
        if cc.flow_control {
            put(format!("$JS.FC.{name}.{consumer}.>"), "", StreamCall::Flow(tag.clone()));
            put(format!("$JS.FC.{domain}.{hash}.{name}.{consumer}.>"), "", StreamCall::Flow(tag));
        }
    }
    out
}
