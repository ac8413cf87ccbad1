//! What the machine sees of the server's command line.

use crate::common::{Raw, login};
use gust_tests::process::Server;

/// Nobody reads a password in the process list, and the server knows it all the
/// same, under the same process id.
#[tokio::test]
async fn secrets_are_not_in_the_process_list() {
    let server = Server::with(&["--user", "alice", "--pass=s3cret-word"], None).unwrap();
    let shown = std::fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap();
    let shown = String::from_utf8_lossy(&shown).replace('\0', " ");
    assert!(shown.contains("--user [REDACTED] --pass=[REDACTED]"), "{shown}");
    assert!(!shown.contains("s3cret-word") && !shown.contains("alice"), "{shown}");
    let client = login(&server, "alice", "s3cret-word").await;
    client.flush().await.unwrap();
    let mut denied = Raw::open(&server);
    denied.send("CONNECT {\"user\":\"alice\",\"pass\":\"[REDACTED]\"}\r\nPING\r\n");
    denied.expect(&["-ERR 'Authorization Violation'"]);
}
