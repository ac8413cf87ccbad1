//! Every sample configuration starts, lets in whom it should and nobody else.

use crate::common::{Raw, configured};
use std::collections::BTreeSet;

const USER: &str = r#"{"verbose":false,"user":"app","pass":"change-me"}"#;
const ADMIN: &str = r#"{"verbose":false,"user":"admin","pass":"change-me"}"#;
const TOKEN: &str = r#"{"verbose":false,"auth_token":"change-me"}"#;
const NOBODY: &str = r#"{"verbose":false}"#;
const WRONG: &str = r#"{"verbose":false,"user":"app","pass":"wrong"}"#;

/// Samples with whom they let in, and whom they refuse. Those of TLS, WebSocket
/// and operator mode have tests of their own, for they name files or tokens;
/// `full.conf` shows every key and is not meant to run.
const SAMPLES: [(&str, &[&str], &[&str]); 12] = [
    ("minimal.conf", &[NOBODY, WRONG], &[]),
    ("jetstream.conf", &[NOBODY], &[]),
    ("users.conf", &[NOBODY, USER], &[WRONG]),
    (
        "accounts.conf",
        &[r#"{"verbose":false,"user":"orders","pass":"change-me"}"#],
        &[NOBODY, WRONG],
    ),
    (
        "accounts-exchange.conf",
        &[r#"{"verbose":false,"user":"shop","pass":"change-me"}"#],
        &[WRONG],
    ),
    ("user-pass.conf", &[USER], &[WRONG, NOBODY, TOKEN]),
    ("token.conf", &[TOKEN], &[USER, NOBODY]),
    ("users-permissions.conf", &[ADMIN], &[NOBODY, WRONG, TOKEN]),
    ("nkey.conf", &[], &[NOBODY, USER, r#"{"nkey":"U","sig":"AA"}"#]),
    ("no-auth-user.conf", &[NOBODY, USER], &[WRONG, TOKEN]),
    ("auth-callout.conf", &[r#"{"verbose":false,"user":"auth","pass":"change-me"}"#], &[USER]),
    ("proxy.conf", &[ADMIN], &[USER, NOBODY]),
];

const ELSEWHERE: [&str; 9] = [
    "full.conf",
    "operator.conf",
    "operator-memory.conf",
    "tls.conf",
    "tls-ocsp.conf",
    "tls-ocsp-peer.conf",
    "tls-users.conf",
    "tls-behind-proxy.conf",
    "websocket.conf",
];

#[test]
fn every_sample_starts() {
    let dir = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/samples"));
    let mut known: BTreeSet<_> = SAMPLES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    known.extend(ELSEWHERE.map(str::to_owned));
    for entry in dir.read_dir().unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name), "{name} is started by no test: add it here");
    }
    for (name, inside, refused) in SAMPLES {
        let server = configured(&std::fs::read_to_string(dir.join(name)).unwrap());
        for connect in inside {
            Raw::connect(&server, connect).sync();
        }
        for connect in refused {
            let mut raw = Raw::open(&server);
            raw.send(&format!("CONNECT {connect}\r\nPING\r\n"));
            assert_eq!(raw.rest(), "-ERR 'Authorization Violation'\r\n", "{name}: {connect}");
        }
    }
}
