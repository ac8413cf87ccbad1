//! Clients that come through trusted proxies.

use crate::common::{Raw, configured, doc, until};
use data_encoding::BASE64URL_NOPAD;
use gust_tests::process::Server;

const VIOLATION: &str = "-ERR 'Authorization Violation'\r\n";

fn connect(raw: &mut Raw, user: &str, sig: &str) {
    raw.send(&format!(
        "CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"x\",\"proxy_sig\":\"{sig}\"}}\r\nPING\r\n"
    ));
}

fn sign(raw: &Raw, proxy: &nkeys::KeyPair) -> String {
    let nonce = raw.info["nonce"].as_str().expect("INFO offers a nonce to proxies");
    BASE64URL_NOPAD.encode(&proxy.sign(nonce.as_bytes()).unwrap())
}

async fn closed_with(server: &Server, reason: &str) {
    until(reason, || async {
        let closed = doc(server, "/connz?state=closed");
        let all = closed["connections"].as_array().unwrap();
        all.iter().any(|c| c["reason"] == reason).then_some(())
    })
    .await;
}

#[tokio::test]
async fn only_through_a_trusted_proxy() {
    let (trusted, other) = (nkeys::KeyPair::new_user(), nkeys::KeyPair::new_user());
    let key = trusted.public_key();
    let server = configured(&format!(
        "proxies {{ trusted: [{{ key: {key} }}] }}
        authorization {{ users: [{{ user: p, password: x, proxy_required: true }}
            {{ user: d, password: x }}] }}"
    ));
    let varz = doc(&server, "/varz");
    assert_eq!(varz["proxies"]["trusted"][0]["key"], key.as_str());

    let mut raw = Raw::open(&server);
    let sig = sign(&raw, &trusted);
    connect(&mut raw, "p", &sig);
    raw.expect(&["PONG"]);
    let connz = doc(&server, "/connz");
    assert_eq!(connz["connections"][0]["proxy"]["key"], key.as_str());
    // What was signed for one connection does not open another.
    let mut again = Raw::open(&server);
    connect(&mut again, "p", &sig);
    assert_eq!(again.rest(), VIOLATION);
    closed_with(&server, "Proxy Not Trusted").await;

    let mut raw = Raw::open(&server);
    connect(&mut raw, "p", "");
    assert_eq!(raw.rest(), VIOLATION);
    closed_with(&server, "Proxy Required").await;

    let mut direct = Raw::open(&server);
    connect(&mut direct, "d", "");
    direct.expect(&["PONG"]);
    let mut raw = Raw::open(&server);
    let wrong = sign(&raw, &other);
    connect(&mut raw, "d", &wrong);
    assert_eq!(raw.rest(), VIOLATION);
    let mut raw = Raw::open(&server);
    connect(&mut raw, "d", "?");
    assert_eq!(raw.rest(), VIOLATION);
    assert!(server.log().contains("proxies.trusted"));
}
