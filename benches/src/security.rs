//! What logins, permissions, accounts and encryption cost.

use crate::client::Client;
use crate::core::{Fan, idle, request};
use crate::measure::{Meter, Sample};
use crate::server::{Mode, Server, Setup};
use anyhow::Result;
use std::path::Path;
use std::thread;

/// Connections of one thread of [`connect`] that are open at a time.
const OPEN: usize = 16;

/// TLS for everybody, nobody is asked who they are.
fn tls() -> Setup {
    Setup { tls: true, ..Setup::default() }
}

/// A user with rules as they are written: several patterns to allow, some to
/// deny, and the subject of the scenario allowed by the last of them.
fn permissions() -> Setup {
    let patterns = |verb: &str| {
        let mut all: Vec<String> = (0..20).map(|i| format!("\"{verb}.area{i}.*.state\"")).collect();
        all.push("\"bench.>\"".to_owned());
        all.join(", ")
    };
    Setup {
        config: format!(
            "authorization {{ users: [ {{ user: a, password: a, permissions: {{
               publish: {{ allow: [{}], deny: [\"bench.secret.>\", \"admin.>\"] }}
               subscribe: {{ allow: [{}], deny: \"bench.secret.>\" }} }} }} ] }}\n",
            patterns("cmd"),
            patterns("data")
        ),
        login: "\"user\":\"a\",\"pass\":\"a\",".to_owned(),
        ..Setup::default()
    }
}

/// Users with plain passwords.
fn users() -> Setup {
    Setup {
        config: "authorization { users: [ { user: a, password: a } ] }\n".to_owned(),
        login: "\"user\":\"a\",\"pass\":\"a\",".to_owned(),
        ..Setup::default()
    }
}

/// The global account renames what is published.
fn mapping() -> Setup {
    Setup { config: "mappings { \"old.*\": \"bench.$1\" }\n".to_owned(), ..Setup::default() }
}

/// Account A exports a stream and a service, B imports them.
fn accounts() -> Setup {
    Setup {
        config: "accounts {
            A { users: [ { user: a, password: a } ]
                exports: [ { stream: \"bench.core\" }, { service: \"bench.service\" } ] }
            B { users: [ { user: b, password: b } ]
                imports: [ { stream: { account: A, subject: \"bench.core\" } },
                           { service: { account: A, subject: \"bench.service\" } } ] } }\n"
            .to_owned(),
        login: "\"user\":\"a\",\"pass\":\"a\",".to_owned(),
        ..Setup::default()
    }
}

/// 1 publisher, 1 subscriber over TLS.
pub fn tls_fan(program: &Path, mode: Mode, messages: u64) -> Result<Sample> {
    Fan { messages, setup: tls(), ..Fan::default() }.run(program, mode)
}

/// Requests over TLS.
pub fn tls_request(program: &Path, mode: Mode, requests: u64) -> Result<Sample> {
    request(program, mode, &tls(), None, 10, requests)
}

/// 1 publisher, 1 subscriber, both with permissions.
pub fn permission_fan(program: &Path, mode: Mode, messages: u64) -> Result<Sample> {
    Fan { messages, setup: permissions(), ..Fan::default() }.run(program, mode)
}

/// 1 publisher to a mapped subject, 1 subscriber.
pub fn mapping_fan(program: &Path, mode: Mode, messages: u64) -> Result<Sample> {
    Fan { messages, setup: mapping(), publish: "old.core", ..Fan::default() }.run(program, mode)
}

/// 1 publisher in one account, 1 subscriber in another that imports.
pub fn import_fan(program: &Path, mode: Mode, messages: u64) -> Result<Sample> {
    Fan { messages, setup: accounts(), users: Some(("a", "b")), ..Fan::default() }
        .run(program, mode)
}

/// Requests to a service of another account.
pub fn import_request(program: &Path, mode: Mode, requests: u64) -> Result<Sample> {
    request(program, mode, &accounts(), Some(("b", "a")), 10, requests)
}

/// Memory of idle connections that logged in, over TLS or not.
pub fn idle_users(program: &Path, mode: Mode, tls: bool, connections: u64) -> Result<Sample> {
    idle(program, mode, &Setup { tls, ..users() }, connections)
}

/// Connections made, logged in and closed again, per second.
pub fn connect(program: &Path, mode: Mode, tls: bool, connections: u64) -> Result<Sample> {
    let server = Server::start(program, mode, &Setup { tls, ..users() })?;
    let threads = 4;
    let meter = Meter::start(&server)?;
    let result: Result<()> = thread::scope(|s| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let access = &server.access;
                s.spawn(move || -> Result<()> {
                    let mut open = std::collections::VecDeque::new();
                    for _ in 0..connections / threads {
                        open.push_back(Client::connect(access)?);
                        if open.len() > OPEN {
                            open.pop_front();
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        for w in workers {
            w.join().expect("a connecting thread does not panic")?;
        }
        Ok(())
    });
    result?;
    meter.done(&server, connections / threads * threads, None)
}
