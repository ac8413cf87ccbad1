//! Plans of reloads.

use super::*;

fn options(text: &str) -> Options {
    let mut none = |path: &str| -> Result<Vec<u8>, crate::LoadError> {
        Err(crate::LoadError::not_found(path))
    };
    let mut options = crate::load_text(text, &mut none, &|_| None).unwrap().options;
    options.apply_defaults();
    options
}

fn planned(old: &str, new: &str) -> ReloadPlan {
    plan(&options(old), &options(new))
}

/// Class, name, old and new of the changes, as lines.
fn lines(old: &str, new: &str) -> Vec<String> {
    let line = |c: &Change| format!("{} {}: {} -> {}", c.class.name(), c.name, c.old, c.new);
    planned(old, new).changes.iter().map(line).collect()
}

#[test]
fn what_is_fixed_at_start_refuses_the_reload_by_name() {
    let base = "port: 4222\njetstream {max_mem: 5G}\n";
    for (before, after, said) in [
        ("", "", "ok"),
        ("", "debug: true\nmax_payload: 5\nauthorization {user: a, pass: b}", "ok"),
        ("", "server_name: x", "ServerName: old=, new=x"),
        ("", "port: 5", "Port: old=4222, new=5"),
        (
            "",
            "host: 127.0.0.1",
            "Host: old=0.0.0.0, new=127.0.0.1; HTTPHost: old=0.0.0.0, new=127.0.0.1",
        ),
        ("", "lame_duck_duration: \"1m\"", "LameDuckDuration: old=2m0s, new=1m0s"),
        (
            "",
            "max_subs: 5, max_pending: 1G",
            "MaxSubs: old=0, new=5; MaxPending: old=67108864, new=1000000000",
        ),
        ("", "allow_non_tls: true", "AllowNonTLS: old=false, new=true"),
        ("", "system_account: A, accounts {A {}}", "SystemAccount: old=$SYS, new=A"),
        ("accounts {$SYS {}}", "accounts {$SYS {}}, system_account: \"$SYS\"", "ok"),
        ("", "jetstream {max_mem: 6G}", "ok"),
        (
            "",
            "jetstream {max_mem: 4G}",
            "decreasing jetstream max memory and store: old=5000000000, new=4000000000",
        ),
        ("", "jetstream {}", "jetstream dynamic max memory and store: old=5000000000, new="),
        ("", "jetstream: false", "ok"),
        (
            "websocket {port: 1, no_tls: true}",
            "websocket {port: 2, no_tls: true}",
            "Websocket: old=1, new=2",
        ),
        (
            "websocket {port: 1, no_tls: true}",
            "websocket {port: 2, no_tls: true, compression: true}",
            "Websocket (websocket.port): old=1, new=2; Websocket (websocket.compression): old=false, \
             new=true",
        ),
        ("mqtt {port: 1}", "mqtt {port: 1, ack_wait: \"5s\"}", "ok"),
        ("mqtt {port: 1}", "mqtt {port: 2}", "MQTT: old=1, new=2"),
        ("", "resolver: MEMORY", "AccountResolver: old=, new=memory"),
        ("resolver: MEMORY", "", "AccountResolver: old=memory, new="),
        ("resolver: MEMORY", "resolver {type: full, dir: x}", "ok"),
        ("resolver {type: full, dir: x}", "resolver: \"URL(http://x)\"", "ok"),
        ("jetstream {max_mem: 5G, limits {max_ack_pending: 5}}", "jetstream {max_mem: 5G}", "ok"),
        ("cluster {name: a}", "cluster {name: b}", "ok"),
        ("resolver {type: full, dir: x}", "resolver {type: full, dir: y}", "ok"),
        ("", "no_auth_user: a, authorization {users [{user: a}]}", "NoAuthUser: old=, new=a"),
        (
            "no_auth_user: a, authorization {users [{user: a}]}",
            "authorization {users [{user: a}]}",
            "NoAuthUser: old=a, new=",
        ),
        (
            "no_auth_user: a, authorization {users [{user: a}]}",
            "authorization {users [{user: b}]}",
            "ok",
        ),
    ] {
        let [old, new] = [before, after].map(|text| options(&format!("{base}{text}")));
        let got = check_reload(&old, &new).map_or_else(|e| e.to_string(), |_| "ok".to_owned());
        let said = if said == "ok" {
            said.to_owned()
        } else {
            format!("config reload not supported for {said}")
        };
        let got = got.split(". Nothing was changed").next().unwrap_or_default();
        assert_eq!(got, said, "{before} -> {after}");
    }
}

#[test]
fn a_refusal_names_every_key_and_the_remedy() {
    let remedy = |after: &str| {
        let [old, new] = ["", after].map(options);
        let said = check_reload(&old, &new).unwrap_err().to_string();
        said.split_once(". ").unwrap().1.to_owned()
    };
    assert_eq!(
        remedy("server_name: x"),
        "Nothing was changed: restart the server to apply server_name, or put it back and reload"
    );
    assert_eq!(
        remedy("server_name: x, max_pending: 1G, max_subs: 5, max_payload: 5"),
        "Nothing was changed: restart the server to apply server_name, max_subscriptions and \
         max_pending, or put them back and reload"
    );
}

#[test]
fn remotes_of_leafnodes_stay_as_they_are_or_go() {
    let one = |more: &str| format!("leafnodes {{ remotes [{{url: \"nats://a:1\" {more}}}] }}");
    for (after, live) in [
        (String::new(), true),
        (one(", disabled: true, compression: off, tls {insecure: true}"), true),
        (one(", hub: true"), false),
        (one(", deny_imports: x"), false),
        (one("").replace("a:1", "b:1"), true),
        (one("").replace("}]", "}, {url: \"nats://b:1\"}]"), true),
    ] {
        let [old, new] = [one(""), after.clone()].map(|text| options(&text));
        assert_eq!(check_reload(&old, &new).is_ok(), live, "{after}");
    }
}

#[test]
fn single_values_change_live() {
    let cases = [
        ("max_connections: 5", "live max_connections: 65536 -> 5"),
        ("max_payload: 5", "live max_payload: 1048576 -> 5"),
        ("max_control_line: 500", "live max_control_line: 4096 -> 500"),
        ("ping_interval: \"5s\"", "live ping_interval: 2m0s -> 5s"),
        ("ping_max: 5", "live ping_max: 2 -> 5"),
        ("write_deadline: \"1s\"", "live write_deadline: 10s -> 1s"),
        ("client_advertise: \"a:1\"", "live client_advertise:  -> a:1"),
        ("server_tags: [a, b]", "live server_tags:  -> [a, b]"),
        ("server_metadata {a: b}", "live server_metadata:  -> [a: b]"),
        ("debug: true", "live debug: false -> true"),
        ("logtime: false", "live logtime: true -> false"),
        ("log_file: \"/x\"", "live log_file:  -> /x"),
        ("max_traced_msg_len: 5", "live max_traced_msg_len: 0 -> 5"),
        ("pid_file: \"/x\"", "live pid_file:  -> /x"),
        ("ports_file_dir: \"/x\"", "live ports_file_dir:  -> /x"),
        ("connect_error_reports: 5", "live connect_error_reports: 3600 -> 5"),
        ("reconnect_error_reports: 5", "live reconnect_error_reports: 1 -> 5"),
        ("no_fast_producer_stall: true", "live no_fast_producer_stall: false -> true"),
        ("prof_block_rate: 5", "live prof_block_rate: 0 -> 5"),
    ];
    for (text, said) in cases {
        assert_eq!(lines("", text), [said], "{text}");
    }
}

#[test]
fn users_and_accounts_one_by_one() {
    let old = "accounts {
        A { users [{user: a, password: one}, {user: b}, {user: m}], exports [{stream: x}] }
        B { users [{user: n}] }
    }";
    let new = "
    accounts {
        A {
            users [{user: a, password: two}, {user: b, permissions {publish: \"x.>\"}}]
            exports [{stream: x}]
            limits {max_conn: 3}
        }
        B { users [{user: m}], imports [{stream: {account: A, subject: x}, prefix: p}] }
        C {}
    }";
    assert_eq!(
        lines(old, new),
        [
            "live users.a.pass: [REDACTED] -> changed",
            "live users.b.permissions:  -> publish allow [x.>]",
            "live users.m.account: A -> B",
            "live users.n: in account B -> removed",
            "live accounts.A.limits:  -> max_connections 3",
            "live accounts.B.imports:  -> [stream x from A prefix p]",
            "live accounts.C:  -> configured",
        ]
    );
    assert_eq!(planned(old, new).log_lines(), ["authorization users", "accounts"]);
}

#[test]
fn secrets_are_not_shown() {
    for old in [
        "authorization {user: u, pass: hush}",
        "authorization {token: hush}",
        "authorization {users [{user: u, pass: hush}]}",
        "jetstream {key: hush}",
        "cluster {port: 1, authorization {user: u, pass: hush}}",
        "cluster {port: 1, routes: [\"nats://u:hush@h:1\"]}",
        "websocket {port: 1, no_tls: true, authorization {token: hush}}",
        "websocket {port: 1, no_tls: true, headers {x: hush}}",
        "leafnodes {remotes [{url: \"nats://u:hush@h:1\"}]}",
        "leafnodes {authorization {user: a, pass: hush}}",
        "resolver: \"URL(http://hush)\"",
    ] {
        for (old, new) in [(old, old.replace("hush", "hushed").as_str()), ("", old), (old, "")] {
            let plan = planned(old, new);
            let text = format!("{plan:?}{plan}{:?}{:?}", plan.refusal(), plan.log_lines());
            assert!(!plan.changes.is_empty(), "{old} -> {new}");
            assert!(!text.contains("hush"), "{old} -> {new}: {text}");
        }
    }
}

#[test]
fn moving_text_is_no_change() {
    let text = "accounts {A {exports [{service: x}], mappings {a: b}}, B {imports [{service: \
                {account: A, subject: x}}]}}\ntls {verify: false, timeout: 3}\n";
    assert_eq!(lines(text, &format!("\n\n{text}")), Vec::<String>::new());
    assert_eq!(planned(text, text).to_string(), "Nothing changes.\n");
}

#[test]
fn people_and_logs_are_told_in_their_words() {
    let plan = planned(
        "tls {cert_file: a, key_file: b}",
        "authorization {user: a, pass: b, timeout: 5}, max_subs: 7, server_tags: x
         no_fast_producer_stall: true, max_payload: 7",
    );
    assert_eq!(
        plan.log_lines(),
        [
            "tags",
            "max_subscriptions = 7",
            "max_payload = 7",
            "fast producers will not be stalled",
            "tls = disabled",
            "authorization username",
            "authorization password",
            "authorization timeout = 5s",
        ]
    );
    let text = plan.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "Applied by a reload, without a restart:");
    assert!(lines.contains(&"  authorization.user: (not set) -> a"), "{text}");
    assert_eq!(
        lines[lines.len() - 2..],
        [
            "Needs a restart; a reload would refuse all of the changes:",
            "  max_subscriptions: 0 -> 7"
        ]
    );
    assert!(plan.changes("authorization") && plan.changes("max_payload"));
    assert!(!plan.changes("max") && !plan.changes("users"));
}
