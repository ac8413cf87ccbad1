//! Scenarios without JetStream.

use crate::client::{Access, Client};
use crate::measure::{Meter, Sample, histogram};
use crate::server::{Mode, Server, Setup};
use anyhow::Result;
use std::io::Read;
use std::path::Path;
use std::thread;
use std::time::Instant;

/// Payload size of all core scenarios.
const SIZE: usize = 128;
/// Messages in one prebuilt buffer.
const BATCH: u64 = 500;

/// Publishers and subscribers on one subject.
#[derive(Clone)]
pub struct Fan<'a> {
    /// Publishing connections.
    pub publishers: u64,
    /// Subscribing connections.
    pub subscribers: u64,
    /// Queue group of the subscribers, or empty.
    pub queue: &'a str,
    /// Messages in all.
    pub messages: u64,
    /// Configuration of the server.
    pub setup: Setup,
    /// Users of publishers and subscribers, if they are not the setup's.
    pub users: Option<(&'a str, &'a str)>,
    /// What is published to.
    pub publish: &'a str,
    /// What is subscribed to, and delivered.
    pub subscribe: &'a str,
}

impl Default for Fan<'_> {
    fn default() -> Self {
        Fan {
            publishers: 1,
            subscribers: 1,
            queue: "",
            messages: 0,
            setup: Setup::default(),
            users: None,
            publish: "bench.core",
            subscribe: "bench.core",
        }
    }
}

impl Fan<'_> {
    /// Runs it; ends when everything has arrived.
    pub fn run(&self, program: &Path, mode: Mode) -> Result<Sample> {
        let server = Server::start(program, mode, &self.setup)?;
        let (publisher, subscriber) = match self.users {
            None => (server.access.clone(), server.access.clone()),
            Some((p, s)) => (server.access.as_user(p), server.access.as_user(s)),
        };
        let per_pub = (self.messages / self.publishers / BATCH).max(1) * BATCH;
        let total = per_pub * self.publishers;
        let grouped = !self.queue.is_empty();
        let mut subs = Vec::new();
        for _ in 0..self.subscribers {
            let mut c = Client::connect(&subscriber)?;
            c.send(format!("SUB {} {} 1\r\n", self.subscribe, self.queue).as_bytes())?;
            c.flush()?;
            subs.push(c);
        }
        let meter = Meter::start(&server)?;
        // All messages have the same length, so bytes tell how many there are.
        let line = format!("MSG {} 1 {SIZE}\r\n", self.subscribe).len() + SIZE + 2;
        let received = std::sync::atomic::AtomicU64::new(0);
        let result: Result<()> = thread::scope(|s| {
            let mut readers = Vec::new();
            for c in subs {
                let received = &received;
                readers.push(s.spawn(move || drain(c, line as u64, total, grouped, received)));
            }
            let mut writers = Vec::new();
            for _ in 0..self.publishers {
                writers.push(s.spawn(|| send(&publisher, self.publish, per_pub)));
            }
            for w in writers {
                w.join().expect("a publisher does not panic")?;
            }
            for r in readers {
                r.join().expect("a subscriber does not panic")?;
            }
            Ok(())
        });
        result?;
        meter.done(&server, total * if grouped { 1 } else { self.subscribers.max(1) }, None)
    }
}

/// `publishers` each send `messages / publishers`; `subscribers` listen, in one
/// queue group if `queue` is not empty.
pub fn fan(
    program: &Path,
    mode: Mode,
    publishers: u64,
    subscribers: u64,
    queue: &str,
    messages: u64,
) -> Result<Sample> {
    Fan { publishers, subscribers, queue, messages, ..Fan::default() }.run(program, mode)
}

fn send(access: &Access, subject: &str, messages: u64) -> Result<()> {
    let mut c = Client::connect(access)?;
    let one = format!("PUB {subject} {SIZE}\r\n{}\r\n", "x".repeat(SIZE));
    let batch = one.repeat(BATCH as usize);
    for _ in 0..messages / BATCH {
        c.send(batch.as_bytes())?;
    }
    c.flush()
}

/// Reads until this subscriber has all messages, or the group has.
fn drain(
    mut c: Client,
    line: u64,
    total: u64,
    grouped: bool,
    received: &std::sync::atomic::AtomicU64,
) -> Result<()> {
    use std::sync::atomic::Ordering::Relaxed;
    let mut buf = vec![0; 512 << 10];
    let mut bytes = 0;
    let mut reported = 0;
    c.socket.tcp().set_read_timeout(Some(std::time::Duration::from_millis(50)))?;
    let deadline = Instant::now() + std::time::Duration::from_secs(120);
    loop {
        match c.socket.read(&mut buf) {
            Ok(0) => anyhow::bail!("the server closed a subscriber"),
            Ok(n) => bytes += n as u64,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e.into()),
        }
        let mine = bytes / line;
        let all = if grouped {
            let news = mine - reported;
            reported = mine;
            received.fetch_add(news, Relaxed) + news
        } else {
            mine
        };
        if all >= total {
            return Ok(());
        }
        if Instant::now() > deadline {
            anyhow::bail!("{all} of {total} messages arrived");
        }
    }
}

/// Requesters with one request in flight each, one responder.
pub fn request(
    program: &Path,
    mode: Mode,
    setup: &Setup,
    users: Option<(&str, &str)>,
    requesters: u64,
    requests: u64,
) -> Result<Sample> {
    let server = Server::start(program, mode, setup)?;
    let (requester, service) = match users {
        None => (server.access.clone(), server.access.clone()),
        Some((r, s)) => (server.access.as_user(r), server.access.as_user(s)),
    };
    let mut responder = Client::connect(&service)?;
    responder.send(b"SUB bench.service 1\r\n")?;
    responder.flush()?;
    let each = requests / requesters;
    let meter = Meter::start(&server)?;
    let mut all = histogram();
    let result: Result<()> = thread::scope(|s| {
        let answering = s.spawn(move || respond(responder, each * requesters));
        let mut asking = Vec::new();
        for i in 0..requesters {
            let access = &requester;
            asking.push(s.spawn(move || ask(access, i, each)));
        }
        for a in asking {
            all.add(a.join().expect("a requester does not panic")?)?;
        }
        answering.join().expect("the responder does not panic")
    });
    result?;
    meter.done(&server, each * requesters, Some(&all))
}

fn respond(mut c: Client, requests: u64) -> Result<()> {
    let mut answered = 0;
    let mut out = Vec::new();
    let payload = "y".repeat(SIZE);
    while answered < requests {
        out.clear();
        answered += c.messages(|m| {
            out.extend_from_slice(b"PUB ");
            out.extend_from_slice(m.reply);
            out.extend_from_slice(format!(" {SIZE}\r\n{payload}\r\n").as_bytes());
        })? as u64;
        let bytes = std::mem::take(&mut out);
        c.send(&bytes)?;
        out = bytes;
    }
    Ok(())
}

fn ask(access: &Access, id: u64, requests: u64) -> Result<hdrhistogram::Histogram<u64>> {
    let mut c = Client::connect(access)?;
    c.send(format!("SUB _INBOX.bench{id}.* 1\r\n").as_bytes())?;
    c.flush()?;
    let payload = "x".repeat(SIZE);
    let mut latency = histogram();
    for n in 0..requests {
        let text = format!("PUB bench.service _INBOX.bench{id}.{n} {SIZE}\r\n{payload}\r\n");
        let start = Instant::now();
        c.send(text.as_bytes())?;
        c.count()?;
        latency.record(start.elapsed().as_nanos() as u64)?;
    }
    Ok(latency)
}

/// Memory with `connections` idle clients; the rate is without meaning.
pub fn idle(program: &Path, mode: Mode, setup: &Setup, connections: u64) -> Result<Sample> {
    let server = Server::start(program, mode, setup)?;
    let mut clients = Vec::new();
    for i in 0..connections {
        let mut c = Client::connect(&server.access)?;
        c.send(format!("SUB idle.{i} 1\r\n").as_bytes())?;
        c.flush()?;
        // Only the socket is needed from here on.
        clients.push(c.socket);
    }
    thread::sleep(std::time::Duration::from_secs(3));
    let cost = server.cost()?;
    Ok(Sample {
        rate: connections.max(1) as f64,
        cpu_us: cost.cpu_us / connections.max(1) as f64,
        rss: cost.rss,
        ..Sample::default()
    })
}
