//! Reloads: what changes while clients are connected, what closes them, and
//! what is refused as a whole.

use crate::common::*;
use crate::tokens;
use gust_tests::process::{Server, binary};
use serde_json::{Value, json};
use std::process::Command;

/// Reloads by signal and waits for the outcome: the line that says so.
pub async fn reload(server: &mut Server, config: &str) -> String {
    server.write_config(config).unwrap();
    let before = outcomes(server).len();
    let sent = Command::new("kill").args(["-HUP", &server.pid().to_string()]).status().unwrap();
    assert!(sent.success());
    outcome_after(server, before).await
}

async fn outcome_after(server: &Server, before: usize) -> String {
    until("the reload ends", || async { outcomes(server).get(before).cloned() }).await
}

fn outcomes(server: &Server) -> Vec<String> {
    let log = server.log();
    let ended = |line: &&str| {
        line.contains("Reloaded server configuration")
            || line.contains("Failed to reload server configuration")
    };
    log.lines().filter(ended).map(ToOwned::to_owned).collect()
}

/// As [`reload`] for one that has to work.
pub async fn reloaded(server: &mut Server, config: &str) {
    let said = reload(server, config).await;
    assert!(said.contains("[INF] Reloaded server configuration (sha256:"), "{said}");
}

/// CONNECT of a user that is not verbose.
fn connect_as(user: &str, pass: &str) -> String {
    format!("{{\"user\":\"{user}\",\"pass\":\"{pass}\",\"verbose\":false,\"protocol\":1}}")
}

fn raw(server: &Server, user: &str, pass: &str) -> Raw {
    Raw::connect(server, &connect_as(user, pass))
}

/// Reason of the closed connections, by user.
fn closed(server: &Server) -> Vec<String> {
    let doc = doc(server, "/connz?state=closed&auth=1");
    let rows = doc["connections"].as_array().unwrap();
    rows.iter().map(|row| row["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn users_come_and_go() {
    let text = |users: &str| {
        format!("accounts {{ A {{ users [{users}] }}, B {{ users [{{user: z, pass: z}}] }} }}")
    };
    let mut server =
        configured(&text("{user: stays, pass: p}, {user: goes, pass: p}, {user: turns, pass: p}"));
    let (mut stays, mut goes, mut turns) =
        (raw(&server, "stays", "p"), raw(&server, "goes", "p"), raw(&server, "turns", "p"));
    stays.send("SUB x 1\r\n");
    stays.sync();
    reloaded(
        &mut server,
        &text("{user: stays, pass: p}, {user: turns, pass: q}, {user: n, pass: p}"),
    )
    .await;
    // Gone: closed without a word. Another password: with one.
    assert_eq!(goes.rest(), "");
    assert_eq!(turns.rest(), "-ERR 'Authorization Violation'\r\n");
    let mut reasons = closed(&server);
    reasons.sort();
    assert_eq!(reasons, ["Authentication Failure", "Client Closed"]);
    // Who stays keeps its subscriptions, and a new user can come.
    let mut new = raw(&server, "n", "p");
    new.send("PUB x 2\r\nhi\r\n");
    stays.expect(&["MSG x 1 2", "hi"]);
    let mut old = Raw::open(&server);
    old.send(&format!("CONNECT {}\r\n", connect_as("turns", "p")));
    assert_eq!(old.rest(), "-ERR 'Authorization Violation'\r\n");
    raw(&server, "turns", "q").sync();
}

#[tokio::test]
async fn a_user_who_moves_finds_itself_in_the_other_account() {
    let text = |a: &str, b: &str| {
        format!("accounts {{ A {{ users [{a}] }}, B {{ users [{{user: b, pass: p}}, {b}] }} }}")
    };
    let moving = "{user: m, pass: p}";
    let mut server = configured(&text(moving, ""));
    // A real client that connects again by itself.
    let client = login(&server, "m", "p").await;
    let mut sub = client.subscribe("news").await.unwrap();
    client.flush().await.unwrap();
    reloaded(&mut server, &text("", moving)).await;
    let other = login(&server, "b", "p").await;
    let end = std::time::Instant::now() + DEADLINE;
    loop {
        other.publish("news", "now".into()).await.unwrap();
        other.flush().await.unwrap();
        let soon = std::time::Duration::from_millis(20);
        if let Ok(text) = tokio::time::timeout(soon, next_text(&mut sub)).await {
            assert_eq!(text, "now");
            break;
        }
        assert!(std::time::Instant::now() < end, "the user did not arrive in the other account");
    }
}

#[tokio::test]
async fn permissions_follow_without_a_new_connection() {
    let text = |permissions: &str| {
        format!(
            "authorization {{ users [{{user: u, pass: p, permissions {{ {permissions} }}}}, \
             {{user: all, pass: p}}] }}"
        )
    };
    let mut server = configured(&text("subscribe: [\"a\", \"b\", \"c.>\"], publish: \"x\""));
    let mut u = raw(&server, "u", "p");
    u.send("SUB a 1\r\nSUB b workers 2\r\nSUB c.* 3\r\nPUB x 0\r\n\r\nPUB y 0\r\n\r\n");
    u.expect(&["-ERR 'Permissions Violation for Publish to \"y\"'"]);
    u.sync();
    reloaded(
        &mut server,
        &text("subscribe {allow: [\"a\", \"c.>\"], deny: \"c.secret\"}, publish: \"y\""),
    )
    .await;
    u.expect(&[
        "-ERR 'Permissions Violation for Subscription to \"b\" using queue \"workers\" (sid \"2\")'",
    ]);
    // The verdicts of before are forgotten in both directions.
    u.send("PUB x 0\r\n\r\nPUB y 0\r\n\r\n");
    u.expect(&["-ERR 'Permissions Violation for Publish to \"x\"'"]);
    // What is denied within a subscription that stays is held back.
    let mut all = raw(&server, "all", "p");
    all.send("PUB b 0\r\n\r\nPUB c.secret 0\r\n\r\nPUB c.open 0\r\n\r\nPUB a 0\r\n\r\n");
    u.expect(&["MSG c.open 3 0", "", "MSG a 1 0", ""]);
    // And given back when the rule goes.
    reloaded(&mut server, &text("subscribe: \">\"")).await;
    u.sync();
    all.send("PUB c.secret 0\r\n\r\n");
    u.expect(&["MSG c.secret 3 0", ""]);
    let rows = doc(&server, "/connz?subs=1");
    let subs = rows["connections"].as_array().unwrap().iter();
    let mut counts: Vec<u64> = subs.map(|row| row["subscriptions"].as_u64().unwrap()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [0, 2]);
}

#[tokio::test]
async fn limits_of_accounts_close_what_is_above_them() {
    let text = |limits: &str| {
        format!("accounts {{ A {{ users [{{user: u, pass: p}}], limits {{ {limits} }} }} }}")
    };
    let mut server = configured(&text("max_subs: 10"));
    let (mut first, mut second, mut third) =
        (raw(&server, "u", "p"), raw(&server, "u", "p"), raw(&server, "u", "p"));
    first.send("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n");
    first.sync();
    second.send("SUB a 1\r\nSUB b 2\r\n");
    second.sync();
    reloaded(&mut server, &text("max_subs: 2, max_payload: 5")).await;
    assert_eq!(first.rest(), "-ERR 'maximum subscriptions exceeded'\r\n");
    second.send("PUB b 3\r\nabc\r\n");
    second.expect(&["MSG b 2 3", "abc"]);
    third.send("PUB b 6\r\nabcdef\r\n");
    assert_eq!(third.rest(), "-ERR 'Maximum Payload Violation'\r\n");
    // The newest goes.
    let mut newest = raw(&server, "u", "p");
    reloaded(&mut server, &text("max_conn: 1")).await;
    assert_eq!(newest.rest(), "-ERR 'maximum account active connections exceeded'\r\n");
    second.sync();
}

#[tokio::test]
async fn fewer_connections_and_smaller_messages() {
    let mut server = configured("max_connections: 10");
    let mut clients: Vec<Raw> =
        (0..5).map(|_| Raw::connect(&server, "{\"verbose\":false}")).collect();
    assert_eq!(clients[0].info["max_payload"], 1_048_576);
    reloaded(&mut server, "max_connections: 2, max_payload: 10, max_control_line: 64").await;
    until("three of five are closed", || async {
        (doc(&server, "/varz")["connections"] == 2).then_some(())
    })
    .await;
    let log = server.log();
    assert!(log.contains("Closed 3 connections to fall within max_connections"), "{log}");
    for line in ["max_connections = 2", "max_payload = 10", "max_control_line = 64"] {
        assert!(log.contains(&format!("[INF] Reloaded: {line}")), "{line}: {log}");
    }
    let live = doc(&server, "/connz");
    let live: Vec<u64> = live["connections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["cid"].as_u64().unwrap())
        .collect();
    for (i, client) in clients.iter_mut().enumerate() {
        if live.contains(&(i as u64 + 1)) {
            client.sync();
            client.send("PUB x 11\r\n12345678901\r\n");
            assert_eq!(client.rest(), "-ERR 'Maximum Payload Violation'\r\n");
        } else {
            assert_eq!(client.rest(), "-ERR 'maximum connections exceeded'\r\n");
        }
    }
    let next = until("there is room", || async {
        let raw = Raw::open(&server);
        (raw.info["max_payload"] == 10).then_some(raw)
    })
    .await;
    drop(next);
}

#[tokio::test]
async fn a_refused_reload_changes_nothing_and_names_all_reasons() {
    let users = |pass: &str| format!("authorization {{ users [{{user: u, pass: {pass}}}] }}");
    let mut server = configured(&users("p"));
    let digest = doc(&server, "/varz")["config_digest"].clone();
    let mut client = raw(&server, "u", "p");
    let new = format!("{}\nmax_payload: 10, max_subs: 5, server_name: other", users("q"));
    let said = reload(&mut server, &new).await;
    let reason = "[ERR] Failed to reload server configuration: config reload not supported for \
                  ServerName: old=, new=other; MaxSubs: old=0, new=5. Nothing was changed: restart \
                  the server to apply server_name and max_subscriptions, or put them back and \
                  reload";
    assert!(said.ends_with(reason), "{said}");
    client.send("SUB a 1\r\nPUB a 11\r\n12345678901\r\n");
    client.expect(&["MSG a 1 11", "12345678901"]);
    raw(&server, "u", "p").sync();

    // Neither does a file that cannot be read, or is not sound.
    for (bad, why) in [
        ("max_payload: [", "Parse error"),
        ("no_such_key: 5", "unknown field \"no_such_key\""),
        (
            "max_payload: 100, max_pending: 10",
            "max_payload (100) cannot be higher than max_pending (10)",
        ),
        ("include \"gone.conf\"", "gone.conf"),
        ("accounts {A {users [{user: a}]}}, system_account: X", "system account"),
    ] {
        let said = reload(&mut server, bad).await;
        assert!(said.contains("[ERR] Failed to reload server configuration: "), "{bad}: {said}");
        assert!(server.log().contains(why), "{bad}: {}", server.log());
    }
    std::fs::remove_file(server.dir().join("server.conf")).unwrap();
    let before = outcomes(&server).len();
    Command::new("kill").args(["-HUP", &server.pid().to_string()]).status().unwrap();
    let said = outcome_after(&server, before).await;
    assert!(said.contains("no such file or directory"), "{said}");
    client.sync();
    assert_eq!(doc(&server, "/varz")["config_digest"], digest);
    assert!(!server.log().contains("[INF] Reloaded"), "{}", server.log());
}

#[tokio::test]
async fn the_service_reloads_and_shows_beforehand_what_it_would_do() {
    let text = |more: &str| {
        format!(
            "accounts {{ $SYS {{ users [{{user: sys, pass: p}}] }}, A {{ users [{{user: a, pass: \
             p}}] }} }}\n{more}"
        )
    };
    let mut server = configured(&text(""));
    let system = login(&server, "sys", "p").await;
    let id = doc(&server, "/varz")["server_id"].as_str().unwrap().to_owned();
    let ask = |payload: &'static str| {
        let (system, subject) = (system.clone(), format!("$SYS.REQ.SERVER.{id}.RELOAD"));
        async move {
            let answer = within(system.request(subject, payload.into())).await.unwrap();
            let mut answer: Value = serde_json::from_slice(&answer.payload).unwrap();
            assert_eq!(answer["server"]["id"].as_str().unwrap().len(), 56);
            answer.as_object_mut().unwrap().remove("server");
            answer
        }
    };
    server.write_config(&text("max_payload: 1000, max_subs: 5")).unwrap();
    let plan = ask("{\"dry_run\":true}").await;
    assert_eq!(plan["data"]["needs_restart"], true);
    assert_eq!(
        plan["data"]["changes"],
        json!([
            {"name": "max_subscriptions", "option": "MaxSubs", "class": "restart", "old": "0", "new": "5"},
            {"name": "max_payload", "class": "live", "old": "1048576", "new": "1000"},
        ])
    );
    let refused = ask("").await;
    let why = "config reload not supported for MaxSubs: old=0, new=5. Nothing was changed: \
               restart the server to apply max_subscriptions, or put it back and reload";
    assert_eq!(refused, json!({"error": {"code": 500, "description": why}}));
    let varz = doc(&server, "/varz");
    assert_eq!(varz["max_payload"], 1_048_576);
    server.write_config(&text("max_payload: 1000, server_tags: [a, b]")).unwrap();
    assert_eq!(ask("").await, json!({}));
    let after = doc(&server, "/varz");
    assert_eq!((&after["max_payload"], &after["tags"]), (&json!(1000), &json!(["a", "b"])));
    assert_ne!(after["config_digest"], varz["config_digest"]);
    assert_ne!(after["config_load_time"], varz["config_load_time"]);
    // Nothing to do is no failure, and nobody else may ask.
    assert_eq!(ask("{\"dry_run\":true}").await["data"]["changes"], json!([]));
    let nobody = login(&server, "a", "p").await;
    let refused = within(nobody.request(format!("$SYS.REQ.SERVER.{id}.RELOAD"), "".into())).await;
    assert_eq!(refused.unwrap_err().kind(), async_nats::RequestErrorKind::NoResponders);
}

#[tokio::test]
async fn the_command_line_reloads_too_and_its_flags_go_on_winning() {
    let dir = tempfile::tempdir().unwrap();
    let (pid, ports) = (dir.path().join("pid"), dir.path().join("ports"));
    std::fs::create_dir(&ports).unwrap();
    let mut server =
        Server::with(&["--max_traced_msg_len", "7"], Some("max_traced_msg_len: 5")).unwrap();
    server
        .write_config(&format!("debug: true, pid_file: {pid:?}, log_file: \"/no/where\""))
        .unwrap();
    let signal = |target: String| {
        let run = Command::new(binary()).arg("--signal").arg(format!("reload={target}")).output();
        run.unwrap()
    };
    let done = signal(server.pid().to_string());
    assert!(done.status.success(), "{done:?}");
    assert!(outcome_after(&server, 0).await.contains("[INF] Reloaded"), "{}", server.log());
    assert_eq!(std::fs::read_to_string(&pid).unwrap(), server.pid().to_string());
    drop(Raw::connect(&server, "{}"));
    until("debug lines", || async { server.log().contains("[DBG] 127.0.0.1").then_some(()) }).await;
    // By the pid file it wrote meanwhile, and back to few lines without times.
    server.write_config(&format!("logtime: false, pid_file: {pid:?}")).unwrap();
    assert!(signal(pid.to_str().unwrap().to_owned()).status.success());
    let said = outcome_after(&server, 1).await;
    assert!(said.starts_with(&format!("[{}] [INF] Reloaded", server.pid())), "{said}");
    let debug = |server: &Server| server.log().matches("[DBG]").count();
    let before = debug(&server);
    drop(Raw::connect(&server, "{}"));
    doc(&server, "/varz");
    assert_eq!(debug(&server), before);
    // What cannot be written refuses the reload.
    server.write_config("pid_file: \"/no/where/pid\"").unwrap();
    assert!(signal(server.pid().to_string()).status.success());
    assert!(outcome_after(&server, 2).await.contains("writing pid file /no/where/pid"));
}

#[tokio::test]
async fn without_a_file_there_is_nothing_to_reload() {
    let server = start();
    Command::new("kill").args(["-HUP", &server.pid().to_string()]).status().unwrap();
    let said = outcome_after(&server, 0).await;
    let why = "Failed to reload server configuration: can only reload config when a file is \
               provided using -c or --config";
    assert!(said.ends_with(why), "{said}");
}

#[tokio::test]
async fn logins_may_be_required_from_now_on() {
    let mut server = configured("");
    let mut nobody = Raw::connect(&server, "{\"verbose\":false}");
    nobody.sync();
    reloaded(&mut server, "authorization {user: u, pass: p}").await;
    assert_eq!(nobody.rest(), "-ERR 'Authorization Violation'\r\n");
    let mut user = raw(&server, "u", "p");
    assert_eq!(user.info["auth_required"], true);
    reloaded(&mut server, "authorization {user: u, pass: p}, max_payload: 100").await;
    user.sync();
    reloaded(&mut server, "authorization {user: u, pass: q}").await;
    assert_eq!(user.rest(), "-ERR 'Authorization Violation'\r\n");
    reloaded(&mut server, "").await;
    Raw::connect(&server, "{}").sync();
}

#[tokio::test]
async fn jetstream_grows_and_new_accounts_have_it() {
    let text = |size: &str, accounts: &str| {
        format!(
            "jetstream {{max_mem: {size}, max_file: 1G}}\naccounts {{ A {{ jetstream: enabled, users [{{user: a, pass: p}}] }}, {accounts} }}"
        )
    };
    let mut server = configured(&text("1M", ""));
    let a = login(&server, "a", "p").await;
    let big = json!({"name": "S", "subjects": ["s"], "storage": "memory", "max_bytes": 2_000_000});
    assert!(call(&a, "STREAM.CREATE.S", big.clone()).await["error"].is_object());
    let b = "B { jetstream {max_streams: 1}, users [{user: b, pass: p}] }";
    reloaded(&mut server, &text("4M", b)).await;
    api(&a, "STREAM.CREATE.S", big).await;
    let b = login(&server, "b", "p").await;
    stream(&b, "ONE", json!({"subjects": ["one"]})).await;
    publish(&b, "one", &[], "x").await;
    assert!(call(&b, "STREAM.CREATE.TWO", json!({"name": "TWO"})).await["error"].is_object());
    let said = reload(&mut server, &text("2M", "")).await;
    assert!(said.contains("decreasing jetstream max memory and store"), "{said}");
    assert_eq!(state(&b, "ONE").await["messages"], 1);
}

#[tokio::test]
async fn exports_and_imports_are_applied_to_those_who_are_connected() {
    let text = |export: &str, import: &str| {
        format!(
            "accounts {{ A {{ users [{{user: a, pass: p}}], exports [{export}] }}, B {{ users \
             [{{user: b, pass: p}}], imports [{import}] }} }}"
        )
    };
    let mut server = configured(&text("", ""));
    let (mut a, mut b) = (raw(&server, "a", "p"), raw(&server, "b", "p"));
    b.send("SUB from.a.news 1\r\n");
    b.sync();
    a.send("SUB ask 1\r\n");
    a.sync();
    let imports = "{stream: {account: A, subject: news}, prefix: from.a}, \
                   {service: {account: A, subject: ask}, to: please}";
    reloaded(&mut server, &text("{stream: news}, {service: ask}", imports)).await;
    a.sync();
    b.sync();
    a.send("PUB news 2\r\nhi\r\n");
    b.expect(&["MSG from.a.news 1 2", "hi"]);
    b.send("SUB inbox 2\r\nPUB please inbox 1\r\n?\r\n");
    let request = a.line();
    let reply = request.split(' ').nth(3).unwrap().to_owned();
    assert!(request.starts_with("MSG ask 1 ") && request.ends_with(" 1"), "{request}");
    a.expect(&["?"]);
    a.send(&format!("PUB {reply} 1\r\n!\r\n"));
    b.expect(&["MSG inbox 2 1", "!"]);
    // And taken away again.
    reloaded(&mut server, &text("", "")).await;
    a.sync();
    b.sync();
    a.send("PUB news 2\r\nhi\r\n");
    a.sync();
    b.send("PUB please 1\r\n?\r\n");
    b.sync();
    a.sync();
}

/// Runs `gust config diff`: exit code, standard output, standard error.
fn diff(args: &[&str]) -> (i32, String, String) {
    let run = Command::new(binary()).args(["config", "diff"]).args(args).output().unwrap();
    (run.status.code().unwrap(), text(&run.stdout), text(&run.stderr))
}

#[tokio::test]
async fn config_diff_says_beforehand_what_a_reload_would_do() {
    let system = "accounts { $SYS { users [{user: sys, pass: p}] } }\n";
    let mut server = configured(system);
    let dir = server.dir().to_owned();
    let file = |name: &str, more: &str| {
        let path = dir.join(name);
        std::fs::write(&path, format!("{system}{more}")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (old, live) = (file("old", ""), file("live", "max_payload: 100"));
    let (restart, broken) =
        (file("restart", "max_subs: 5\nmax_payload: 100"), file("broken", "a ["));
    assert_eq!(diff(&[&old, &old]), (0, "Nothing changes.\n".to_owned(), String::new()));
    let applied = "Applied by a reload, without a restart:\n  max_payload: 1048576 -> 100\n";
    assert_eq!(diff(&[&old, &live]), (0, applied.to_owned(), String::new()));
    let refused = "Needs a restart; a reload would refuse all of the changes:\n  \
                   max_subscriptions: 0 -> 5\n";
    assert_eq!(diff(&[&old, &restart]), (1, format!("{applied}{refused}"), String::new()));
    // A flag wins over both files, so the port does not differ.
    let port = file("port", "port: 5");
    assert_eq!(diff(&[&old, &port]).0, 1);
    assert_eq!(diff(&["-p", "7", &old, &port]).0, 0);
    let (code, out, err) = diff(&[&old, &broken]);
    assert!(code == 2 && out.is_empty() && err.contains("broken: Parse error"), "{err}");
    assert_eq!(diff(&[&old]).0, 2);

    // A server says the same about the file it would read now, and does nothing.
    server.write_config(&format!("{system}max_subs: 5\nmax_payload: 100")).unwrap();
    let url = server.url.replace("nats://", "nats://sys:p@");
    assert_eq!(diff(&["--server", &url]), (1, format!("{applied}{refused}"), String::new()));
    let (_, json, _) = diff(&["--json", "--server", &url]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["changes"][0]["option"], "MaxSubs");
    let wrong = server.url.replace("nats://", "nats://sys:wrong@");
    let (code, _, err) = diff(&["--server", &wrong]);
    assert!(code == 2 && err.contains("Authorization Violation"), "{err}");
    assert!(outcomes(&server).is_empty());
    assert_eq!(doc(&server, "/varz")["max_payload"], 1_048_576);
}

/// A raw login by token; the server must have sent a nonce.
fn by_token(server: &Server, name: &str, of: &str) -> Raw {
    let token = tokens::user_token(name, json!({"bearer_token": true}), &tokens::account(of));
    let mut raw = Raw::open(server);
    raw.send(&format!("CONNECT {{\"jwt\":\"{token}\",\"verbose\":false}}\r\nPING\r\n"));
    raw
}

#[tokio::test]
async fn accounts_that_leave_the_configuration_lose_their_clients() {
    let text = tokens::memory(&[("A", json!({})), ("B", json!({}))], "");
    let mut server = configured(&text);
    let (mut joe, mut ann) = (by_token(&server, "joe", "A"), by_token(&server, "ann", "B"));
    joe.expect(&["PONG"]);
    ann.expect(&["PONG"]);
    let of_a = tokens::account("A").public().to_owned();
    let without: String =
        text.split_inclusive('\n').filter(|line| !line.trim_start().starts_with(&of_a)).collect();
    assert_ne!(without, text);
    reloaded(&mut server, &without).await;
    assert_eq!(joe.rest(), "-ERR 'Account Authentication Expired'\r\n");
    assert_eq!(by_token(&server, "joe", "A").rest(), "-ERR 'Authorization Violation'\r\n");
    ann.sync();
    reloaded(&mut server, &text).await;
    by_token(&server, "joe", "A").expect(&["PONG"]);
    ann.sync();
}

#[tokio::test]
async fn tokens_that_were_changed_by_hand_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(format!("{}.jwt", tokens::account(name).public()));
    for name in ["SYS", "A", "B"] {
        std::fs::write(file(name), tokens::account_token(name, json!({}))).unwrap();
    }
    let text = format!(
        "operator: {}\nresolver {{type: full, dir: {:?}}}\n",
        tokens::operator_token(),
        dir.path()
    );
    let mut server = configured(&text);
    let (mut joe, mut ann) = (by_token(&server, "joe", "A"), by_token(&server, "ann", "B"));
    joe.expect(&["PONG"]);
    ann.expect(&["PONG"]);
    std::fs::remove_file(file("A")).unwrap();
    let smaller = tokens::account_token("B", json!({"limits": {"payload": 3}}));
    std::fs::write(file("B"), smaller).unwrap();
    reloaded(&mut server, &text).await;
    assert_eq!(joe.rest(), "-ERR 'Account Authentication Expired'\r\n");
    until("the smaller limit is in force", || async {
        let mut raw = by_token(&server, "ann", "B");
        raw.expect(&["PONG"]);
        raw.send("PUB x 4\r\nabcd\r\nPING\r\n");
        (raw.line() == "-ERR 'Maximum Payload Violation'").then_some(())
    })
    .await;
    ann.send("PUB x 4\r\nabcd\r\n");
    assert_eq!(ann.rest(), "-ERR 'Maximum Payload Violation'\r\n");
}
