//! `gust auth explain`: the answer, its exit code, and where it looks.

use crate::common::configured;
use crate::tokens::*;
use gust_tests::process::binary;
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// Exit code, standard output and error.
fn explain(args: &[&str]) -> (i32, String, String) {
    let out = Command::new(binary()).args(["auth", "explain"]).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code().unwrap(), text(&out.stdout), text(&out.stderr))
}

fn file(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

const USERS: &str = "accounts {
  A {
    users [
      { user: alice, password: x, permissions: {
          publish: { allow: [\"a.>\", \"$SYS.REQ.USER.INFO\"], deny: \"a.secret\" }
          subscribe: [\"a.>\", \"_INBOX.>\", \"work pool\"]
      } }
    ]
    mappings { \"old\": \"a.secret\" }
  }
}
";

#[test]
fn by_a_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "c.conf", USERS);
    for (args, code, want) in [
        (
            &["--user", "alice", "pub", "a.b"][..],
            0,
            "yes: user \"alice\" of account \"A\" may publish to \"a.b\"",
        ),
        (&["--user", "alice", "pub", "a.b"], 0, "c.conf:5:"),
        (&["--user", "alice", "pub", "a.secret"], 1, "rule: deny \"a.secret\""),
        (&["--user", "alice", "pub", "b"], 1, "no entry of allow"),
        (&["--user", "alice", "pub", "old"], 1, "100% of messages go to \"a.secret\""),
        (&["--user", "alice", "sub", "work", "--queue", "pool"], 0, "allow \"work pool\""),
        (&["--user", "alice", "sub", "work"], 1, "for its queue group only"),
        (&["--account", "A", "pub", "x"], 0, "everything is allowed"),
    ] {
        let mut all = vec!["-c", path.as_str()];
        all.extend(args);
        let (got, out, err) = explain(&all);
        assert_eq!(got, code, "{args:?}: {out}{err}");
        assert!(out.contains(want), "{args:?}: {out} has no {want:?}");
    }
    for (args, want) in [
        (&["--user", "bob", "pub", "x"][..], "has no user \"bob\""),
        (&["pub", "x"], "say who"),
        (&["--account", "B", "pub", "x"], "no account \"B\""),
        (&["--jwt", path.as_str(), "pub", "x"], "holds no JWT"),
    ] {
        let mut all = vec!["-c", path.as_str()];
        all.extend(args);
        let (got, out, err) = explain(&all);
        assert!(got == 2 && err.contains(want), "{args:?}: {got} {out}{err}");
    }
    let (code, out, _) = explain(&["--help"]);
    assert!(code == 0 && out.contains("Ends with 0 if it is allowed"), "{out}");
}

#[test]
fn by_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let scope = json!({"kind": "user_scope", "key": account("A-key").public(), "role": "worker",
        "template": {"pub": {"allow": ["work.{{name()}}.>"]}, "src": ["10.0.0.0/8"]}});
    let conf = file(dir.path(), "c.conf", &memory(&[("A", json!({"signing_keys": [scope]}))], ""));
    let nats = json!({"issuer_account": account("A").public()});
    let token = gust_account::jwt::sign(
        &claims::<gust_account::jwt::UserData>(&user("joe"), "joe", nats),
        &account("A-key"),
    );
    let creds = file(dir.path(), "joe.creds", &creds(&token.unwrap(), "joe"));
    let ask = |subject| explain(&["-c", &conf, "--creds", &creds, "pub", subject]);
    let (code, out, err) = ask("work.joe.1");
    assert!(code == 0 && out.contains("of role \"worker\" of account \"A\""), "{out}{err}");
    assert!(out.contains("it may connect from 10.0.0.0/8 only"), "{out}");
    assert_eq!(ask("work.ann.1").0, 1);
    let foreign = user_token("joe", json!({}), &account("X"));
    let path = file(dir.path(), "x.jwt", &foreign);
    let (code, _, err) = explain(&["-c", &conf, "--jwt", &path, "pub", "x"]);
    assert!(code == 2 && err.contains("is not in resolver_preload"), "{err}");
}

#[test]
fn by_a_server() {
    let server = configured(USERS);
    let ask = |rest: &[&str]| {
        let mut args = vec!["--server", server.url.as_str(), "--user", "alice"];
        args.extend(rest);
        explain(&args)
    };
    let (code, out, err) = ask(&["--password", "x", "pub", "a.b"]);
    assert!(code == 0 && out.contains("rule: allow \"a.>\""), "{out}{err}");
    assert!(out.contains("not known here"), "{out}");
    assert_eq!(ask(&["--password", "x", "pub", "a.secret"]).0, 1);
    let (code, _, err) = ask(&["--password", "y", "pub", "a.b"]);
    assert!(code == 2 && err.contains("Authorization Violation"), "{err}");
    let server = configured(&memory(&[("A", json!({}))], ""));
    let dir = tempfile::tempdir().unwrap();
    let token = user_token("joe", json!({"pub": {"deny": ["no"]}}), &account("A"));
    let creds = file(dir.path(), "joe.creds", &creds(&token, "joe"));
    let ask = |subject| explain(&["--server", &server.url, "--creds", &creds, "pub", subject]);
    assert_eq!((ask("yes").0, ask("no").0), (0, 1));
    assert!(ask("no").1.contains("of account \"A\""));
}
