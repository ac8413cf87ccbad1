//! `/metrics`: the server's numbers for Prometheus, without an exporter.

use crate::jetstream::store::shard_of;
use crate::server::Server;
use gust_admin::Reply;
use gust_admin::exposition::{CONTENT_TYPE, Exposition, Kind};
use gust_jetstream::stream::is_public;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Streams shown one by one; beyond it only totals, to bound the document.
const MAX_STREAMS: usize = 5_000;

struct StreamRow {
    account: String,
    stream: String,
    messages: u64,
    bytes: u64,
    last_seq: u64,
    consumers: Vec<(String, u64, u64, u64)>,
}

/// The document.
pub async fn metrics(server: &Arc<Server>) -> Reply {
    let mut e = Exposition::new();
    process(server, &mut e);
    connections(server, &mut e);
    jetstream(server, &mut e).await;
    let mut reply = Reply::text(200, e.finish());
    reply.content_type = CONTENT_TYPE;
    reply
}

fn process(server: &Server, e: &mut Exposition) {
    let usage = super::usage::now();
    let info = [("version", env!("CARGO_PKG_VERSION")), ("server_name", server.name.as_str())];
    e.family("gust_info", Kind::Gauge, "The server; always 1").sample("gust_info", &info, 1);
    let start = server.start as f64 / 1e9;
    e.single("gust_start_time_seconds", Kind::Gauge, "Start, seconds since the epoch", start)
        .single("gust_memory_bytes", Kind::Gauge, "Resident memory", usage.rss)
        .single("gust_cpu_seconds_total", Kind::Counter, "CPU time used", usage.cpu_seconds);
}

fn connections(server: &Server, e: &mut Exposition) {
    let s = &server.stats;
    e.single("gust_connections", Kind::Gauge, "Client connections", server.clients.len());
    let subs = s.subscriptions.load(Relaxed).max(0);
    e.single("gust_subscriptions", Kind::Gauge, "Subscriptions, internal ones included", subs);
    for (name, help, value) in [
        ("gust_connections_total", "Client connections ever accepted", &s.total_connections),
        ("gust_in_msgs_total", "Messages received from clients", &s.in_msgs),
        ("gust_in_bytes_total", "Bytes received from clients", &s.in_bytes),
        ("gust_out_msgs_total", "Messages queued to clients", &s.out_msgs),
        ("gust_out_bytes_total", "Bytes queued to clients", &s.out_bytes),
        ("gust_slow_consumers_total", "Connections closed as slow consumers", &s.slow_consumers),
        ("gust_stale_connections_total", "Connections closed as stale", &s.stale_connections),
        ("gust_stalled_clients_total", "Times a publisher was slowed down", &s.stalled_clients),
    ] {
        e.single(name, Kind::Counter, help, value.load(Relaxed));
    }
}

async fn jetstream(server: &Arc<Server>, e: &mut Exposition) {
    let Some(js) = server.jetstream.get() else { return };
    let lane = &js.lane.state;
    let limits = &js.limits;
    for (name, help, value) in [
        ("gust_jetstream_memory_bytes", "Bytes in memory streams", limits.memory.load(Relaxed)),
        ("gust_jetstream_storage_bytes", "Bytes in file streams", limits.storage.load(Relaxed)),
        ("gust_jetstream_max_memory_bytes", "Limit of memory streams", limits.max_memory()),
        ("gust_jetstream_max_storage_bytes", "Limit of file streams", limits.max_storage()),
        ("gust_disk_free_bytes", "Free bytes on the store's disk", limits.free() as i64),
        ("gust_wal_live_bytes", "Log a restart would read", lane.live_bytes.load(Relaxed) as i64),
        ("gust_wal_fenced", "1 after a failed sync", i64::from(lane.is_fenced())),
        ("gust_streams_damaged", "Streams not recovered", js.damaged.len() as i64),
    ] {
        e.single(name, Kind::Gauge, help, value);
    }
    e.single("gust_wal_syncs_total", Kind::Counter, "Syncs of the log", lane.syncs.load(Relaxed))
        .single(
            "gust_wal_sync_seconds_total",
            Kind::Counter,
            "Time spent in syncs",
            lane.sync_ns.load(Relaxed) as f64 / 1e9,
        )
        .single("gust_wal_records_total", Kind::Counter, "Log records", lane.records.load(Relaxed));
    let rows = rows(server, &js).await;
    e.single("gust_streams", Kind::Gauge, "Streams", js.assets.all().len());
    per_stream(e, &rows);
}

fn per_stream(e: &mut Exposition, rows: &[StreamRow]) {
    type Value = fn(&StreamRow) -> u64;
    let families: [(&str, &str, Value); 3] = [
        ("gust_stream_messages", "Messages in the stream", |r| r.messages),
        ("gust_stream_bytes", "Bytes in the stream", |r| r.bytes),
        ("gust_stream_last_seq", "Last sequence of the stream", |r| r.last_seq),
    ];
    for (name, help, value) in families {
        e.family(name, Kind::Gauge, help);
        for r in rows {
            e.sample(name, &[("account", &r.account), ("stream", &r.stream)], value(r));
        }
    }
    let families = [
        ("gust_consumer_pending", "Messages not delivered yet"),
        ("gust_consumer_ack_pending", "Messages delivered and not acknowledged"),
        ("gust_consumer_redelivered", "Messages delivered more than once"),
    ];
    for (i, (name, help)) in families.into_iter().enumerate() {
        e.family(name, Kind::Gauge, help);
        for r in rows {
            for (consumer, pending, unacked, again) in &r.consumers {
                let labels = [
                    ("account", r.account.as_str()),
                    ("stream", r.stream.as_str()),
                    ("consumer", consumer.as_str()),
                ];
                e.sample(name, &labels, [pending, unacked, again][i]);
            }
        }
    }
}

async fn rows(server: &Arc<Server>, js: &crate::jetstream::JetStream) -> Vec<StreamRow> {
    let mut out = Vec::new();
    let assets = js.assets.all();
    for shard in 0..server.shard_count() {
        let groups: Vec<u64> = assets
            .iter()
            .take(MAX_STREAMS)
            .map(|a| a.group)
            .filter(|g| shard_of(server, *g) == shard)
            .collect();
        let part = server
            .call(shard, move |s| {
                let engine = s.engine.borrow();
                let found = groups.iter().filter_map(|g| engine.get(*g));
                found.map(row).collect::<Vec<_>>()
            })
            .await;
        out.extend(part.unwrap_or_default());
    }
    out.sort_by(|a, b| (&a.account, &a.stream).cmp(&(&b.account, &b.stream)));
    out
}

fn row(a: &crate::jetstream::actor::Actor) -> StreamRow {
    let state = a.stream.state();
    let interest = crate::jetstream::interest::AccountInterest(&a.account);
    let now = crate::clock::now();
    StreamRow {
        account: a.account.name.clone(),
        stream: a.stream.name().to_owned(),
        messages: state.msgs,
        bytes: state.bytes,
        last_seq: state.last_seq,
        consumers: a
            .stream
            .consumers()
            .filter(|c| is_public(c))
            .map(|c| {
                let i = c.info(now, &interest);
                let n = (i.num_pending, i.num_ack_pending, i.num_redelivered);
                (c.name().to_owned(), n.0, n.1, n.2)
            })
            .collect(),
    }
}
