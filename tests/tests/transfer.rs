//! Backups and restores through the real binary (contract/jetstream.md §1.6),
//! JetStream domains, and what of consumers a restart keeps.

use anyhow::{Context, Result, bail};
use async_nats::{Client, HeaderMap, Message};
use bytes::Bytes;
use futures_util::StreamExt;
use gust_tests::process::Server;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// No single answer takes this long.
const DEADLINE: Duration = Duration::from_secs(20);

async fn api(nc: &Client, endpoint: &str, body: Value) -> Result<Value> {
    let subject = format!("$JS.API.{endpoint}");
    let m = timeout(DEADLINE, nc.request(subject, body.to_string().into())).await??;
    Ok(serde_json::from_slice(&m.payload)?)
}

async fn good(nc: &Client, endpoint: &str, body: Value) -> Result<Value> {
    let answer = api(nc, endpoint, body).await?;
    if answer.get("error").is_some() {
        bail!("{endpoint}: {answer}");
    }
    Ok(answer)
}

fn error_code(answer: &Value) -> u64 {
    answer["error"]["err_code"].as_u64().unwrap_or_default()
}

/// What a snapshot sent.
struct Backup {
    /// The JSON answer.
    answer: Value,
    data: Vec<u8>,
    /// Sizes of the chunks with a reply subject, and of the others.
    full: Vec<usize>,
    rest: Vec<usize>,
    /// Status of the end message.
    end: Option<u16>,
}

async fn next(sub: &mut async_nats::Subscriber) -> Result<Message> {
    timeout(DEADLINE, sub.next()).await?.context("the subscription ended")
}

async fn backup(nc: &Client, stream: &str, more: Value, headers: HeaderMap) -> Result<Backup> {
    let inbox = nc.new_inbox();
    let mut sub = nc.subscribe(inbox.clone()).await?;
    let mut body = json!({ "deliver_subject": inbox });
    for (k, v) in more.as_object().into_iter().flatten() {
        body[k] = v.clone();
    }
    let subject = format!("$JS.API.STREAM.SNAPSHOT.{stream}");
    let answer = nc.request_with_headers(subject, headers, body.to_string().into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    let mut b = Backup { answer, data: vec![], full: vec![], rest: vec![], end: None };
    loop {
        let m = next(&mut sub).await?;
        if m.payload.is_empty() {
            b.end = m.status.map(|s| s.as_u16());
            return Ok(b);
        }
        b.data.extend_from_slice(&m.payload);
        match m.reply {
            Some(reply) => {
                b.full.push(m.payload.len());
                let n = b.full.len();
                let tail = format!(".{}.{n}", m.payload.len());
                assert!(reply.starts_with(&format!("$JS.SNAPSHOT.ACK.{stream}.")), "{reply}");
                assert!(reply.ends_with(&tail), "{reply} should end with {tail}");
                nc.publish(reply, Bytes::new()).await?;
            }
            None => b.rest.push(m.payload.len()),
        }
    }
}

async fn begin_restore(nc: &Client, stream: &str, config: &Value) -> Result<String> {
    let body = json!({ "config": config, "state": {} });
    let answer = good(nc, &format!("STREAM.RESTORE.{stream}"), body).await?;
    Ok(answer["deliver_subject"].as_str().context("no deliver_subject")?.to_owned())
}

/// The final answer of a restore.
async fn restore(nc: &Client, stream: &str, config: &Value, data: &[u8]) -> Result<Value> {
    let to = begin_restore(nc, stream, config).await?;
    for chunk in data.chunks(10_000) {
        let m = timeout(DEADLINE, nc.request(to.clone(), Bytes::copy_from_slice(chunk))).await??;
        assert!(m.payload.is_empty(), "a chunk is answered empty");
    }
    let m = timeout(DEADLINE, nc.request(to, Bytes::new())).await??;
    Ok(serde_json::from_slice(&m.payload)?)
}

/// Everything a client can see of a stream that a backup keeps.
async fn contents(nc: &Client, stream: &str) -> Result<Value> {
    let mut info =
        good(nc, &format!("STREAM.INFO.{stream}"), json!({ "deleted_details": true })).await?;
    let mut consumers =
        good(nc, &format!("CONSUMER.LIST.{stream}"), json!({})).await?["consumers"].take();
    for c in consumers.as_array_mut().into_iter().flatten() {
        for gone in ["created", "ts", "cluster"] {
            c.as_object_mut().map(|c| c.remove(gone));
        }
        for place in ["delivered", "ack_floor"] {
            c[place].as_object_mut().map(|p| p.remove("last_active"));
        }
    }
    let mut messages = Vec::new();
    for seq in 1..=info["state"]["last_seq"].as_u64().unwrap_or_default() {
        let m = api(nc, &format!("STREAM.MSG.GET.{stream}"), json!({ "seq": seq })).await?;
        messages.push(m["message"].clone());
    }
    let (config, state) = (info["config"].take(), info["state"].take());
    Ok(json!({ "config": config, "state": state, "consumers": consumers, "messages": messages }))
}

/// A stream with headers, deletes in the middle and at the end, and a consumer
/// with acks, pending deliveries and a redelivery to come.
async fn fill(nc: &Client, name: &str, more: Value) -> Result<()> {
    let mut config = json!({ "name": name, "subjects": [format!("{name}.>")] });
    for (k, v) in more.as_object().into_iter().flatten() {
        config[k] = v.clone();
    }
    good(nc, &format!("STREAM.CREATE.{name}"), config).await?;
    let consumer = json!({ "stream_name": name, "config": {
        "durable_name": "C", "ack_policy": "explicit", "filter_subject": format!("{name}.a.*") } });
    good(nc, &format!("CONSUMER.DURABLE.CREATE.{name}.C"), consumer).await?;
    for i in 0..40u32 {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{name}-{i}").as_str());
        // Hardly compressible, so that there are several chunks.
        let noise: Vec<u8> = (0..300u32)
            .map(|n| (n.wrapping_mul(i + 7).wrapping_mul(2654435761) >> 13) as u8)
            .collect();
        let subject = format!("{name}.a.{}", i % 4);
        let ack = nc.request_with_headers(subject, headers, noise.into()).await?;
        assert!(!ack.payload.is_empty());
    }
    let inbox = nc.new_inbox();
    let mut sub = nc.subscribe(inbox.clone()).await?;
    let pull = format!("$JS.API.CONSUMER.MSG.NEXT.{name}.C");
    nc.publish_with_reply(pull, inbox, "6".into()).await?;
    for i in 0..6 {
        let reply = next(&mut sub).await?.reply.context("no ack subject")?;
        if i < 4 {
            timeout(DEADLINE, nc.request(reply, "+ACK".into())).await??;
        }
    }
    for seq in [20, 21, 40] {
        good(nc, &format!("STREAM.MSG.DELETE.{name}"), json!({ "seq": seq })).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_backup_brings_everything_back() -> Result<()> {
    let mut server = Server::start()?;
    let nc = async_nats::connect(&server.url).await?;
    let kinds = [
        ("FILE", json!({})),
        ("MEM", json!({ "storage": "memory" })),
        ("WQ", json!({ "retention": "workqueue" })),
        ("INT", json!({ "retention": "interest" })),
    ];
    let mut want = Vec::new();
    for (name, more) in &kinds {
        fill(&nc, name, more.clone()).await?;
        let before = contents(&nc, name).await?;
        let b =
            backup(&nc, name, json!({ "chunk_size": 1024, "window_size": 2048 }), HeaderMap::new())
                .await?;
        assert_eq!(b.answer["type"], "io.nats.jetstream.api.v1.stream_snapshot_response");
        assert!(b.full.len() > 3 && b.full.iter().all(|n| *n == 1024), "{:?}", b.full);
        assert!(b.rest.len() <= 1 && b.rest.iter().all(|n| *n < 1024), "{:?}", b.rest);
        assert_eq!(b.end, Some(204));
        let config = b.answer["config"].clone();
        let taken =
            api(&nc, &format!("STREAM.RESTORE.{name}"), json!({ "config": config })).await?;
        assert_eq!(error_code(&taken), 10130, "{taken}");
        good(&nc, &format!("STREAM.DELETE.{name}"), json!({})).await?;
        let end = restore(&nc, name, &config, &b.data).await?;
        assert_eq!(end["type"], "io.nats.jetstream.api.v1.stream_create_response", "{end}");
        assert_eq!(end.get("error"), None, "{end}");
        assert_eq!(contents(&nc, name).await?, before, "{name}");
        want.push((*name, before));
    }
    // A restored stream is as durable as one that was filled by publishing.
    server.kill_and_restart()?;
    let nc = async_nats::connect(&server.url).await?;
    for (name, before) in want.iter().filter(|(n, _)| *n != "MEM") {
        assert_eq!(contents(&nc, name).await?, *before, "{name} after a crash");
    }
    // What was published before the backup is still known as a duplicate.
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", "FILE-30");
    let again = nc.request_with_headers("FILE.a.0", headers, "x".into()).await?;
    let again: Value = serde_json::from_slice(&again.payload)?;
    assert_eq!(again["duplicate"], true, "{again}");
    let ack = nc.request("FILE.a.0", "x".into()).await?;
    let ack: Value = serde_json::from_slice(&ack.payload)?;
    assert_eq!(ack["seq"], 41, "a deleted end is not used again: {ack}");
    Ok(())
}

#[tokio::test]
async fn small_backups_end_without_a_status() -> Result<()> {
    let server = Server::start()?;
    let nc = async_nats::connect(&server.url).await?;
    good(&nc, "STREAM.CREATE.E", json!({ "name": "E", "subjects": ["e"] })).await?;
    let b = backup(&nc, "E", json!({}), HeaderMap::new()).await?;
    assert_eq!((b.full.len(), b.rest.len(), b.end), (0, 1, None));
    let config = b.answer["config"].clone();
    good(&nc, "STREAM.DELETE.E", json!({})).await?;
    let end = restore(&nc, "E", &config, &b.data).await?;
    assert_eq!(end["state"]["last_seq"], 0, "{end}");

    // The older format, on request, says the same.
    fill(&nc, "OLD", json!({})).await?;
    let before = contents(&nc, "OLD").await?;
    let mut headers = HeaderMap::new();
    headers.insert("Gust-Snapshot-Format", "1");
    let b = backup(&nc, "OLD", json!({}), headers).await?;
    good(&nc, "STREAM.DELETE.OLD", json!({})).await?;
    let end = restore(&nc, "OLD", &b.answer["config"], &b.data).await?;
    assert_eq!(end.get("error"), None, "{end}");
    let mut after = contents(&nc, "OLD").await?;
    // It has no place for the time of a deleted last message.
    after["state"]["last_ts"] = before["state"]["last_ts"].clone();
    assert_eq!(after, before);
    Ok(())
}

#[tokio::test]
async fn backups_of_nats_server_are_restored() -> Result<()> {
    let server = Server::start()?;
    let nc = async_nats::connect(&server.url).await?;
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../server/crates/jetstream/fixtures/snapshot");
    for name in ["v2-file", "v2-memory", "v1-file"] {
        let data = std::fs::read(format!("{dir}/{name}.s2"))?;
        let facts: Value =
            serde_json::from_slice(&std::fs::read(format!("{dir}/{name}.s2.json"))?)?;
        let stream = facts["config"]["name"].as_str().context("no name")?.to_owned();
        let end = restore(&nc, &stream, &facts["config"], &data).await?;
        assert_eq!(end.get("error"), None, "{name}: {end}");
        for key in ["messages", "bytes", "first_seq", "last_seq", "num_deleted", "consumer_count"] {
            assert_eq!(end["state"][key], facts["state"][key], "{name}: {key}");
        }
        let got = contents(&nc, &stream).await?;
        let messages: Vec<&Value> =
            got["messages"].as_array().into_iter().flatten().filter(|m| !m.is_null()).collect();
        let want: Vec<&Value> = facts["messages"].as_array().into_iter().flatten().collect();
        assert_eq!(messages, want, "{name}");
        let consumers = facts["consumers"].as_array().context("no consumers")?;
        for c in consumers {
            let mut found = got["consumers"].as_array().into_iter().flatten();
            let found = found.find(|f| f["name"] == c["name"]).context("it is lost")?;
            for key in ["num_ack_pending", "num_redelivered", "num_pending"] {
                assert_eq!(found[key], c[key], "{name}: {} {key}", c["name"]);
            }
            assert_eq!(found["delivered"]["stream_seq"], c["delivered"]["stream_seq"], "{name}");
        }
        good(&nc, &format!("STREAM.DELETE.{stream}"), json!({})).await?;
    }
    Ok(())
}

#[tokio::test]
async fn broken_requests_and_backups_are_refused() -> Result<()> {
    let server = Server::start()?;
    let nc = async_nats::connect(&server.url).await?;
    good(&nc, "STREAM.CREATE.S", json!({ "name": "S", "subjects": ["s.>"] })).await?;
    for (endpoint, body, code) in [
        ("STREAM.SNAPSHOT.S", json!({ "deliver_subject": "a.*" }), 10015),
        ("STREAM.SNAPSHOT.S", json!({ "chunk_size": 1 }), 10015),
        ("STREAM.SNAPSHOT.S", json!({}), 10003),
        ("STREAM.SNAPSHOT.NONE", json!({ "deliver_subject": "a" }), 10059),
        ("STREAM.RESTORE.S", json!({}), 10003),
        ("STREAM.RESTORE.S", json!({ "config": { "name": "T" } }), 10056),
        ("STREAM.RESTORE.S", json!({ "config": { "subjects": ["s.>"] } }), 10130),
        ("STREAM.RESTORE.T", json!({ "config": { "subjects": ["s.a"] } }), 10065),
    ] {
        let answer = api(&nc, endpoint, body).await?;
        assert_eq!(error_code(&answer), code, "{endpoint}: {answer}");
    }
    let config = json!({ "name": "T", "subjects": ["t"] });
    let b = backup(&nc, "S", json!({}), HeaderMap::new()).await?;
    let cut = &b.data[..b.data.len() - 3];
    for bad in [&b"this is no backup at all, is it?"[..], cut, b""] {
        let end = restore(&nc, "T", &config, bad).await?;
        assert_eq!(end["type"], "io.nats.jetstream.api.v1.stream_create_response");
        assert_eq!(error_code(&end), 10062, "{end}");
    }
    assert_eq!(error_code(&api(&nc, "STREAM.INFO.T", json!({})).await?), 10059);

    // A chunk that cannot be answered ends the restore.
    let mut told = nc.subscribe("$JS.EVENT.ADVISORY.STREAM.RESTORE_COMPLETE.T").await?;
    let to = begin_restore(&nc, "T", &config).await?;
    nc.publish(to.clone(), "x".into()).await?;
    let event: Value = serde_json::from_slice(&next(&mut told).await?.payload)?;
    assert_eq!(event["type"], "io.nats.jetstream.advisory.v1.restore_complete");
    let late = nc.request(to, Bytes::new()).await;
    assert!(late.is_err_and(|e| e.kind() == async_nats::RequestErrorKind::NoResponders));

    // A name that was taken meanwhile stays with who took it.
    let to = begin_restore(&nc, "T", &config).await?;
    good(&nc, "STREAM.CREATE.T", json!({ "name": "T", "subjects": ["mine"] })).await?;
    nc.request(to.clone(), b.data.into()).await?;
    let end: Value = serde_json::from_slice(&nc.request(to, Bytes::new()).await?.payload)?;
    assert_eq!(error_code(&end), 10130, "{end}");
    assert_eq!(api(&nc, "STREAM.INFO.T", json!({})).await?["config"]["subjects"][0], "mine");
    let left = std::fs::read_dir(server.store.join("jetstream/restore"));
    assert_eq!(left.map(|d| d.count()).unwrap_or_default(), 0, "nothing is left on disk");
    Ok(())
}

#[tokio::test]
async fn advisories_tell_of_backups() -> Result<()> {
    let server = Server::start()?;
    let nc = async_nats::connect(&server.url).await?;
    good(&nc, "STREAM.CREATE.S", json!({ "name": "S", "subjects": ["s"] })).await?;
    let mut told = nc.subscribe("$JS.EVENT.ADVISORY.STREAM.*.S").await?;
    let b = backup(&nc, "S", json!({}), HeaderMap::new()).await?;
    good(&nc, "STREAM.DELETE.S", json!({})).await?;
    restore(&nc, "S", &b.answer["config"], &b.data).await?;
    let mut kinds = Vec::new();
    for _ in 0..6 {
        let m = next(&mut told).await?;
        let event: Value = serde_json::from_slice(&m.payload)?;
        let kind = event["type"].as_str().unwrap_or_default();
        kinds.push(kind.trim_start_matches("io.nats.jetstream.advisory.v1.").to_owned());
        assert_eq!(event["stream"], "S");
        if kind.contains("restore") || kind.contains("snapshot") {
            assert_eq!(event["client"]["acc"], "$G", "{event}");
        }
    }
    let want = [
        "snapshot_create",
        "snapshot_complete",
        "stream_action",
        "restore_create",
        "stream_action",
        "restore_complete",
    ];
    assert_eq!(kinds, want);
    Ok(())
}

#[tokio::test]
async fn a_domain_is_an_alias_of_the_api() -> Result<()> {
    let server = Server::with(&[], Some("jetstream { domain: hub }"))?;
    let nc = async_nats::connect(&server.url).await?;
    let js = async_nats::jetstream::with_domain(nc.clone(), "hub");
    let config = async_nats::jetstream::stream::Config {
        name: "S".into(),
        subjects: vec!["s".into()],
        allow_direct: true,
        ..Default::default()
    };
    let stream = js.create_stream(config).await?;
    js.publish("s", "x".into()).await?.await?;
    assert_eq!(stream.direct_get(1).await?.payload, "x");
    let consumer = stream
        .create_consumer(async_nats::jetstream::consumer::pull::Config {
            durable_name: Some("c".into()),
            ..Default::default()
        })
        .await?;
    let mut batch = consumer.fetch().max_messages(1).messages().await?;
    let m = batch.next().await.context("no message")?.map_err(anyhow::Error::from_boxed)?;
    m.double_ack().await.map_err(anyhow::Error::from_boxed)?;
    let other = nc.request("$JS.far.API.INFO", Bytes::new()).await;
    assert!(other.is_err_and(|e| e.kind() == async_nats::RequestErrorKind::NoResponders));
    Ok(())
}

#[tokio::test]
async fn consumers_in_memory_end_with_the_process() -> Result<()> {
    let mut server = Server::start()?;
    let nc = async_nats::connect(&server.url).await?;
    good(&nc, "STREAM.CREATE.S", json!({ "name": "S", "subjects": ["s"] })).await?;
    for (name, more) in [
        ("durable", json!({ "durable_name": "durable" })),
        ("memory", json!({ "durable_name": "memory", "mem_storage": true })),
        ("ephemeral", json!({ "inactive_threshold": 3_600_000_000_000u64 })),
    ] {
        let mut config = json!({ "name": name, "ack_policy": "explicit" });
        for (k, v) in more.as_object().into_iter().flatten() {
            config[k] = v.clone();
        }
        let body = json!({ "stream_name": "S", "config": config });
        good(&nc, &format!("CONSUMER.CREATE.S.{name}"), body).await?;
    }
    for crash in [true, false] {
        if crash {
            server.kill_and_restart()?
        } else {
            server.restart()?
        }
        let nc = async_nats::connect(&server.url).await?;
        // Its end is logged as soon as the stream leads; a message after that.
        nc.request("s", "x".into()).await?;
        let names = good(&nc, "CONSUMER.NAMES.S", json!({})).await?;
        assert_eq!(names["consumers"], json!(["durable", "ephemeral"]));
    }
    Ok(())
}
