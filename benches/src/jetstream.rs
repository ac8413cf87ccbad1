//! Scenarios with JetStream.

use crate::client::{Access, Client};
use crate::measure::{Meter, Sample, histogram};
use crate::server::{Mode, Server, Setup};
use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::Path;
use std::thread;
use std::time::Instant;

fn stream(c: &mut Client, name: &str, subject: &str, storage: &str, more: &str) -> Result<()> {
    let config = format!(
        "{{\"name\":\"{name}\",\"subjects\":[\"{subject}\"],\"storage\":\"{storage}\",\
         \"retention\":\"limits\",\"discard\":\"old\",\"max_msgs\":-1,\"max_bytes\":-1,\
         \"num_replicas\":1{more}}}"
    );
    c.api(&format!("$JS.API.STREAM.CREATE.{name}"), &config)?;
    Ok(())
}

/// Publishes `messages` on `subject(n)` with up to `window` unacknowledged.
fn pump(
    access: &Access,
    id: u64,
    window: u64,
    size: usize,
    messages: u64,
    subject: impl Fn(u64, &mut String),
) -> Result<Histogram<u64>> {
    let mut c = Client::connect(access)?;
    c.send(format!("SUB _INBOX.p{id}.* 1\r\n").as_bytes())?;
    c.flush()?;
    let payload = "x".repeat(size);
    let mut latency = histogram();
    let mut sent_at: VecDeque<Instant> = VecDeque::new();
    let (mut sent, mut acked) = (0, 0);
    let mut out = String::new();
    while acked < messages {
        out.clear();
        let now = Instant::now();
        while sent < messages && sent - acked < window && out.len() < 256 << 10 {
            out.push_str("PUB ");
            subject(sent, &mut out);
            let _ = write!(out, " _INBOX.p{id}.{sent} {size}\r\n{payload}\r\n");
            sent_at.push_back(now);
            sent += 1;
        }
        if !out.is_empty() {
            c.send(out.as_bytes())?;
        }
        if window > 1 && sent < messages && sent - acked < window {
            continue;
        }
        let mut error = None;
        let n = c.messages(|m| {
            if error.is_none() && memchr::memmem::find(m.body, b"\"error\"").is_some() {
                error = Some(String::from_utf8_lossy(m.body).into_owned());
            }
        })? as u64;
        if let Some(e) = error {
            anyhow::bail!("publish failed: {e}");
        }
        let now = Instant::now();
        for _ in 0..n {
            if let Some(at) = sent_at.pop_front() {
                latency.record((now - at).as_nanos() as u64)?;
            }
        }
        acked += n;
    }
    Ok(latency)
}

/// `connections` publishers share `window` messages in flight over `streams`.
pub fn publish(
    program: &Path,
    mode: Mode,
    storage: &str,
    connections: u64,
    window: u64,
    size: usize,
    streams: u64,
    messages: u64,
) -> Result<Sample> {
    let server = Server::start(program, mode, &Setup::jetstream())?;
    let mut c = Client::connect(&server.access)?;
    for i in 0..streams {
        stream(&mut c, &format!("S{i}"), &format!("s.{i}"), storage, "")?;
    }
    let each = messages / connections;
    let meter = Meter::start(&server)?;
    let latency = parallel(connections, |id| {
        pump(&server.access, id, (window / connections).max(1), size, each, |n, out| {
            let _ = write!(out, "s.{}", (n * connections + id) % streams);
        })
    })?;
    let sample = meter.done(&server, each * connections, Some(&latency))?;
    let info = c.api("$JS.API.STREAM.INFO.S0", "")?;
    let stored = info["state"]["messages"].as_u64().unwrap_or(0);
    ensure!(
        streams > 1 || stored == each * connections,
        "{stored} messages are stored, {} were acknowledged",
        each * connections
    );
    Ok(sample)
}

fn parallel(n: u64, f: impl Fn(u64) -> Result<Histogram<u64>> + Sync) -> Result<Histogram<u64>> {
    let mut all = histogram();
    let results: Vec<Result<Histogram<u64>>> = thread::scope(|s| {
        let threads: Vec<_> = (0..n)
            .map(|id| {
                s.spawn({
                    let f = &f;
                    move || f(id)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().expect("a worker does not panic")).collect()
    });
    for r in results {
        all.add(r?)?;
    }
    Ok(all)
}

/// Fills stream `S` on `s.>` with `messages` of 128 B over `subjects` subjects.
fn fill(access: &Access, messages: u64, subjects: u64) -> Result<()> {
    pump(access, 99, 4000, 128, messages, |n, out| {
        let n = n % subjects;
        let _ = write!(out, "s.region-{}.device.{n:012}", n % 7);
    })?;
    Ok(())
}

/// A pull consumer drained in batches of 100, each message acknowledged.
pub fn fetch_ack(program: &Path, mode: Mode, storage: &str, messages: u64) -> Result<Sample> {
    let server = Server::start(program, mode, &Setup::jetstream())?;
    let mut c = Client::connect(&server.access)?;
    stream(&mut c, "S", "s.>", storage, "")?;
    fill(&server.access, messages, 100)?;
    c.api(
        "$JS.API.CONSUMER.DURABLE.CREATE.S.C",
        "{\"stream_name\":\"S\",\"config\":{\"durable_name\":\"C\",\"ack_policy\":\"explicit\",\
         \"deliver_policy\":\"all\",\"max_ack_pending\":10000}}",
    )?;
    c.send(b"SUB _INBOX.f 5\r\n")?;
    c.flush()?;
    let meter = Meter::start(&server)?;
    let mut got = 0;
    let mut out = Vec::new();
    while got < messages {
        c.send(b"PUB $JS.API.CONSUMER.MSG.NEXT.S.C _INBOX.f 3\r\n100\r\n")?;
        let mut batch = 0;
        while batch < 100 && got < messages {
            out.clear();
            let n = c.messages(|m| {
                out.extend_from_slice(b"PUB ");
                out.extend_from_slice(m.reply);
                out.extend_from_slice(b" 0\r\n\r\n");
            })? as u64;
            c.send(&out)?;
            batch += n;
            got += n;
        }
    }
    c.flush()?;
    meter.done(&server, messages, None)
}

/// A push consumer without acks reads the stream from the start.
pub fn replay(program: &Path, mode: Mode, storage: &str, messages: u64) -> Result<Sample> {
    let server = Server::start(program, mode, &Setup::jetstream())?;
    let mut c = Client::connect(&server.access)?;
    stream(&mut c, "S", "s.>", storage, "")?;
    fill(&server.access, messages, 100)?;
    c.send(b"SUB deliver.bench 5\r\n")?;
    c.flush()?;
    let meter = Meter::start(&server)?;
    c.send(&{
        let body = "{\"stream_name\":\"S\",\"config\":{\"ack_policy\":\"none\",\
                    \"deliver_policy\":\"all\",\"deliver_subject\":\"deliver.bench\"}}";
        format!("PUB $JS.API.CONSUMER.CREATE.S _INBOX.none {}\r\n{body}\r\n", body.len())
            .into_bytes()
    })?;
    let mut got = 0;
    while got < messages {
        got += c.count()? as u64;
    }
    meter.done(&server, messages, None)
}

/// Direct gets by subject, 100 in flight.
pub fn direct_get(program: &Path, mode: Mode, storage: &str, gets: u64) -> Result<Sample> {
    const KEYS: u64 = 100_000;
    let server = Server::start(program, mode, &Setup::jetstream())?;
    let mut c = Client::connect(&server.access)?;
    stream(&mut c, "S", "s.>", storage, ",\"allow_direct\":true,\"max_msgs_per_subject\":1")?;
    fill(&server.access, KEYS, KEYS)?;
    c.send(b"SUB _INBOX.g 5\r\n")?;
    c.flush()?;
    let meter = Meter::start(&server)?;
    let (mut sent, mut got) = (0, 0);
    let mut out = String::new();
    while got < gets {
        out.clear();
        while sent < gets && sent - got < 100 {
            let n = sent.wrapping_mul(7919) % KEYS;
            let _ = write!(
                out,
                "PUB $JS.API.DIRECT.GET.S.s.region-{}.device.{n:012} _INBOX.g 0\r\n\r\n",
                n % 7
            );
            sent += 1;
        }
        c.send(out.as_bytes())?;
        got += c.count()? as u64;
    }
    meter.done(&server, gets, None)
}

/// Puts into a bucket-like stream that keeps one message per subject.
pub fn kv_put(
    program: &Path,
    mode: Mode,
    storage: &str,
    subjects: u64,
    messages: u64,
) -> Result<Sample> {
    let server = Server::start(program, mode, &Setup::jetstream())?;
    let mut c = Client::connect(&server.access)?;
    stream(
        &mut c,
        "S",
        "s.>",
        storage,
        ",\"allow_direct\":true,\"max_msgs_per_subject\":1,\"allow_rollup_hdrs\":true,\
         \"deny_delete\":true",
    )?;
    let meter = Meter::start(&server)?;
    let latency = pump(&server.access, 1, 1000, 128, messages, |n, out| {
        let n = n.wrapping_mul(7919) % subjects;
        let _ = write!(out, "s.region-{}.device.{n:012}", n % 7);
    })?;
    meter.done(&server, messages, Some(&latency))
}

/// One small message on each of many subjects: the memory is the result.
pub fn subjects(program: &Path, mode: Mode, subjects: u64) -> Result<Sample> {
    let server = Server::start(program, mode, &Setup::jetstream())?;
    let mut c = Client::connect(&server.access)?;
    stream(&mut c, "S", "s.>", "file", "")?;
    let meter = Meter::start(&server)?;
    let latency = pump(&server.access, 1, 1000, 16, subjects, |n, out| {
        let _ = write!(out, "s.region-{}.device.{n:012}", n % 7);
    })?;
    meter.done(&server, subjects, Some(&latency))
}

/// Fill, kill -9, restart: the seconds are the result.
pub fn crash(program: &Path, mode: Mode, messages: u64, subjects: u64) -> Result<Sample> {
    let mut server = Server::start(program, mode, &Setup::jetstream())?;
    let mut c = Client::connect(&server.access)?;
    stream(&mut c, "S", "s.>", "file", "")?;
    fill(&server.access, messages, subjects)?;
    drop(c);
    let took = server.crash_and_restart()?;
    let mut c = Client::connect(&server.access)?;
    // Serving means the stream answers, not only that the port is open.
    let start = Instant::now();
    let info = loop {
        match c.api("$JS.API.STREAM.INFO.S", "") {
            Ok(info) => break info,
            Err(_) if start.elapsed().as_secs() < 60 => {
                thread::sleep(std::time::Duration::from_millis(5));
            }
            Err(e) => return Err(e),
        }
    };
    let seconds = (took + start.elapsed()).as_secs_f64();
    let stored = info["state"]["messages"].as_u64().unwrap_or(0);
    ensure!(stored == messages, "{stored} of {messages} acknowledged messages are there");
    let cost = server.cost()?;
    Ok(Sample {
        rate: 1.0 / seconds,
        cpu_us: cost.cpu_us,
        rss: cost.rss,
        seconds: Some(seconds),
        ..Sample::default()
    })
}
