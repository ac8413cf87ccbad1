//! The scenarios by name.

use crate::measure::Sample;
use crate::peers::Peer;
use crate::server::Mode;
use crate::server::Setup;
use crate::{core, jetstream, peers, security};
use anyhow::Result;
use std::path::Path;

/// Factor on message counts.
#[derive(Debug, Clone, Copy)]
pub struct Scale(pub f64);

impl Scale {
    /// `n` scaled, at least 1.
    pub fn of(self, n: u64) -> u64 {
        ((n as f64 * self.0) as u64).max(1)
    }
}

/// A scenario: runs on a fresh server each time.
pub struct Scenario {
    /// Name for `--only`.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Uses file storage, so `--always` makes a difference.
    pub file: bool,
    /// Runs it.
    pub run: fn(&Path, Mode, Scale) -> Result<Sample>,
}

macro_rules! scenarios {
    ($($name:literal $file:literal $about:literal => $run:expr;)*) => {
        /// All scenarios, in the order of the table.
        pub const SCENARIOS: &[Scenario] = &[
            $(Scenario { name: $name, about: $about, file: $file, run: $run },)*
        ];
    };
}

scenarios! {
    "core-pub" false "1 publisher, nobody listens, 128 B" => |p, m, s| core::fan(p, m, 1, 0, "", s.of(6_000_000));
    "core-1-1" false "1 publisher, 1 subscriber, 128 B" => |p, m, s| core::fan(p, m, 1, 1, "", s.of(3_000_000));
    "core-1-10" false "1 publisher, 10 subscribers, 128 B" => |p, m, s| core::fan(p, m, 1, 10, "", s.of(600_000));
    "core-10-10" false "10 publishers, 10 subscribers, 128 B" => |p, m, s| core::fan(p, m, 10, 10, "", s.of(600_000));
    "core-queue" false "4 publishers, 10 members of one queue group, 128 B" => |p, m, s| core::fan(p, m, 4, 10, "q", s.of(2_000_000));
    "core-request" false "10 requesters with one request in flight each, 1 responder" => |p, m, s| core::request(p, m, &Setup::default(), None, 10, s.of(200_000));
    "core-request-1" false "1 requester with one request in flight, 1 responder" => |p, m, s| core::request(p, m, &Setup::default(), None, 1, s.of(60_000));
    "idle-0" false "memory of a server without JetStream and connections" => |p, m, _| core::idle(p, m, &Setup::default(), 0);
    "idle-5000" false "memory of 5,000 idle connections" => |p, m, s| core::idle(p, m, &Setup::default(), s.of(5_000));
    "auth-idle-5000" false "memory of 5,000 idle connections with user and password" => |p, m, s| security::idle_users(p, m, false, s.of(5_000));
    "auth-connect" false "logins with user and password, 4 at a time" => |p, m, s| security::connect(p, m, false, s.of(20_000));
    "auth-permissions-1-1" false "as core-1-1, both sides with 21 allowed and 2 denied patterns" => |p, m, s| security::permission_fan(p, m, s.of(3_000_000));
    "auth-mapping-1-1" false "as core-1-1, the subject is mapped" => |p, m, s| security::mapping_fan(p, m, s.of(3_000_000));
    "auth-import-1-1" false "as core-1-1, the subscriber imports the stream from another account" => |p, m, s| security::import_fan(p, m, s.of(3_000_000));
    "auth-import-request" false "as core-request, to a service of another account" => |p, m, s| security::import_request(p, m, s.of(100_000));
    "tls-1-1" false "as core-1-1, over TLS" => |p, m, s| security::tls_fan(p, m, s.of(2_000_000));
    "tls-request" false "as core-request, over TLS" => |p, m, s| security::tls_request(p, m, s.of(100_000));
    "tls-connect" false "full TLS handshakes with login, 4 at a time" => |p, m, s| security::connect(p, m, true, s.of(8_000));
    "tls-idle-5000" false "memory of 5,000 idle TLS connections" => |p, m, s| security::idle_users(p, m, true, s.of(5_000));
    "peer-silent" false "memory of a peer that connects and says nothing, 2,000 of them" => |p, m, s| peers::memory(p, m, Peer::Silent, s.of(2_000));
    "peer-connect" false "memory of a peer that says most of a CONNECT line" => |p, m, s| peers::memory(p, m, Peer::Connect, s.of(2_000));
    "peer-proxy-v1" false "memory of a peer that says half a PROXY header" => |p, m, s| peers::memory(p, m, Peer::ProxyText, s.of(2_000));
    "peer-proxy-v2" false "memory of a peer that says a binary PROXY header of 16 KiB without its end" => |p, m, s| peers::memory(p, m, Peer::ProxyBinary, s.of(2_000));
    "peer-upgrade" false "memory of a peer that says half an HTTP upgrade to WebSocket" => |p, m, s| peers::memory(p, m, Peer::Upgrade, s.of(2_000));
    "peer-websocket" false "memory of a WebSocket peer that says most of a CONNECT frame" => |p, m, s| peers::memory(p, m, Peer::WebSocket, s.of(2_000));
    "peer-tls-silent" false "memory of a peer that does not begin the TLS handshake" => |p, m, s| peers::memory(p, m, Peer::TlsSilent, s.of(2_000));
    "peer-tls-hello" false "memory of a peer that says half a ClientHello" => |p, m, s| peers::memory(p, m, Peer::Hello, s.of(2_000));
    "peer-tls-hello-long" false "memory of a peer that says a ClientHello of 23 KiB without its end" => |p, m, s| peers::memory(p, m, Peer::LongHello, s.of(2_000));
    "peer-tls-idle" false "memory of a peer that says nothing after the TLS handshake" => |p, m, s| peers::memory(p, m, Peer::TlsIdle, s.of(2_000));
    "peer-tls-connect" false "memory of a peer that says most of a CONNECT line over TLS" => |p, m, s| peers::memory(p, m, Peer::TlsConnect, s.of(2_000));
    "peer-tls-record" false "the same, and most of a TLS record of full size behind it" => |p, m, s| peers::memory(p, m, Peer::TlsRecord, s.of(2_000));
    "js-file-128-1000" true "file, 128 B, 4 connections, 1,000 in flight" => |p, m, s| jetstream::publish(p, m, "file", 4, 1000, 128, 1, s.of(1_000_000));
    "js-file-1k-1000" true "file, 1 KiB, 4 connections, 1,000 in flight" => |p, m, s| jetstream::publish(p, m, "file", 4, 1000, 1024, 1, s.of(400_000));
    "js-file-16k-1000" true "file, 16 KiB, 4 connections, 1,000 in flight" => |p, m, s| jetstream::publish(p, m, "file", 4, 1000, 16 << 10, 1, s.of(60_000));
    "js-file-64k-200" true "file, 64 KiB, 4 connections, 200 in flight" => |p, m, s| jetstream::publish(p, m, "file", 4, 200, 64 << 10, 1, s.of(15_000));
    "js-file-sync-1" true "file, 128 B, 1 synchronous publisher" => |p, m, s| jetstream::publish(p, m, "file", 1, 1, 128, 1, s.of(30_000));
    "js-file-sync-64" true "file, 128 B, 64 synchronous publishers" => |p, m, s| jetstream::publish(p, m, "file", 64, 64, 128, 1, s.of(200_000));
    "js-file-sync-100" true "file, 1 KiB, 100 synchronous publishers" => |p, m, s| jetstream::publish(p, m, "file", 100, 100, 1024, 1, s.of(200_000));
    "js-file-1000-streams" true "file, 128 B, 1,000 streams, 1,000 in flight" => |p, m, s| jetstream::publish(p, m, "file", 4, 1000, 128, 1000, s.of(300_000));
    "js-mem-128-1000" false "memory, 128 B, 4 connections, 1,000 in flight" => |p, m, s| jetstream::publish(p, m, "memory", 4, 1000, 128, 1, s.of(1_000_000));
    "js-mem-sync-64" false "memory, 128 B, 64 synchronous publishers" => |p, m, s| jetstream::publish(p, m, "memory", 64, 64, 128, 1, s.of(200_000));
    "js-mem-fetch-ack" false "memory, pull consumer, batches of 100, explicit acks" => |p, m, s| jetstream::fetch_ack(p, m, "memory", s.of(300_000));
    "js-file-fetch-ack" true "file, pull consumer, batches of 100, explicit acks" => |p, m, s| jetstream::fetch_ack(p, m, "file", s.of(300_000));
    "js-mem-replay" false "memory, replay to a push consumer without acks" => |p, m, s| jetstream::replay(p, m, "memory", s.of(1_000_000));
    "js-file-replay" true "file, replay to a push consumer without acks" => |p, m, s| jetstream::replay(p, m, "file", s.of(1_000_000));
    "js-mem-direct-get" false "memory, direct get by subject over 100,000 keys, 100 in flight" => |p, m, s| jetstream::direct_get(p, m, "memory", s.of(200_000));
    "js-file-direct-get" true "file, direct get by subject over 100,000 keys, 100 in flight" => |p, m, s| jetstream::direct_get(p, m, "file", s.of(200_000));
    "kv-put-100k" true "file, KV-like put, 100,000 subjects, overwritten, 1,000 in flight" => |p, m, s| jetstream::kv_put(p, m, "file", 100_000, s.of(500_000));
    "kv-put-1m" true "file, KV-like put, 1,000,000 subjects (see RSS)" => |p, m, s| jetstream::kv_put(p, m, "file", s.of(1_000_000), s.of(1_000_000));
    "kv-put-mem-100k" false "memory, KV-like put, 100,000 subjects, overwritten" => |p, m, s| jetstream::kv_put(p, m, "memory", 100_000, s.of(500_000));
    "subjects-1m" true "file, one message on each of 1,000,000 subjects (see RSS)" => |p, m, s| jetstream::subjects(p, m, s.of(1_000_000));
    "crash-1m" true "kill -9 with 1,000,000 messages, restart until it serves" => |p, m, s| jetstream::crash(p, m, s.of(1_000_000), s.of(100_000));
    "crash-10m" true "kill -9 with 10,000,000 messages over 1,000,000 subjects, restart until it serves" => |p, m, s| jetstream::crash(p, m, s.of(10_000_000), s.of(1_000_000));
}
