//! Secrets stay secret: whatever is presented, rightly or wrongly, is found in
//! no log, no document, no event and no error text.

use crate::common::{Raw, get, login, next, text};
use async_nats::{Client, Subscriber};
use data_encoding::BASE64URL_NOPAD;
use gust_tests::process::Server;
use nkeys::KeyPair;

/// A server that logs all it can.
fn talkative(config: &str) -> Server {
    Server::with(&["-D", "-V"], Some(config)).unwrap()
}

/// All that anybody could read of a server.
struct Seen {
    text: String,
    system: Option<(Client, Subscriber)>,
}

impl Seen {
    /// Listens to all in the system account.
    async fn watch(server: &Server) -> Seen {
        let system = login(server, "sys", "pw-system-5521").await;
        let events = system.subscribe(">").await.unwrap();
        // An answer means that the subscription was seen.
        system.request("$SYS.REQ.SERVER.PING.IDZ", "".into()).await.unwrap();
        Seen { text: String::new(), system: Some((system, events)) }
    }

    /// Where nobody can log in to the system account.
    fn without_events() -> Seen {
        Seen { text: String::new(), system: None }
    }

    /// Presents a CONNECT; what the server says to it is kept.
    fn present(&mut self, server: &Server, connect: impl FnOnce(&str) -> String) {
        let mut raw = Raw::open(server);
        let nonce = raw.info["nonce"].as_str().unwrap_or_default().to_owned();
        raw.send(&format!("CONNECT {}\r\nPING\r\n", connect(&nonce)));
        while let Some(line) = raw.try_line() {
            self.text.push_str(&line);
            self.text.push('\n');
            if line == "PONG" {
                // Let in: a violation, for the log, and out again.
                raw.try_send("SUB denied.subject 1\r\nPUB denied.subject 0\r\n\r\n");
                raw.try_send("SUB a..b 2\r\nPING\r\n");
                while let Some(line) = raw.try_line() {
                    self.text.push_str(&line);
                    self.text.push('\n');
                    if line == "PONG" {
                        return;
                    }
                }
            }
        }
    }

    /// Reads everything else and searches it.
    async fn check(mut self, server: &Server, secrets: &[String]) {
        for path in [
            "/varz",
            "/connz?auth=1&subs=detail&state=all",
            "/connz?state=closed&auth=1",
            "/accountz",
            "/accountz?acc=A",
            "/accountz?acc=SYS",
            "/accountz?acc=$G",
            "/accstatz?unused=1",
            "/jsz?acc=A&config=1&consumers=1",
            "/subsz?subs=1",
            "/healthz?details=1",
            "/metrics",
        ] {
            self.text.push_str(&get(server, path).1);
        }
        if let Some((system, events)) = &mut self.system {
            for request in ["VARZ", "CONNZ", "ACCOUNTZ", "EXPVARZ"] {
                let subject = format!("$SYS.REQ.SERVER.PING.{request}");
                let options =
                    r#"{"auth":true,"state":2,"account":"A","subscriptions_detail":true}"#;
                system.request(subject, options.into()).await.unwrap();
            }
            system.publish("the.end", "".into()).await.unwrap();
            let mut seen = 0;
            loop {
                let m = next(events).await;
                if m.subject.as_str() == "the.end" {
                    break;
                }
                seen += 1;
                self.text.push_str(&text(&m.payload));
            }
            assert!(seen > 4, "only {seen} events");
        }
        self.text.push_str(&server.log());
        assert!(self.text.contains("Authentication Failure"));
        for secret in secrets {
            assert!(secret.len() >= 8, "{secret:?} may be found by chance");
            if let Some(at) = self.text.find(secret.as_str()) {
                let from = self.text[..at].rfind('\n').unwrap_or(0);
                panic!("{secret:?} is shown: {}", &self.text[from..at + secret.len() + 20]);
            }
        }
    }
}

#[tokio::test]
async fn of_passwords_tokens_and_signatures() {
    let hash = bcrypt::hash("pw-hashed-right-41", 4).unwrap();
    let user = KeyPair::new_user();
    let server = talkative(&format!(
        r#"
        jetstream: enabled
        accounts {{
          SYS {{ users: [{{user: sys, password: pw-system-5521}}] }}
          A {{
            jetstream: enabled
            users: [
              {{user: plain, password: pw-plain-right-77, permissions: {{publish: x, subscribe: x}}}}
              {{user: hashed, password: "{hash}"}}
              {{nkey: {}}}
            ]
          }}
        }}
        system_account: SYS
        "#,
        user.public_key()
    ));
    let mut seen = Seen::watch(&server).await;
    let mut secrets: Vec<String> = [
        "pw-system-5521",
        "pw-plain-right-77",
        "pw-plain-wrong-78",
        "pw-hashed-right-41",
        "pw-hashed-wrong-42",
        "token-right-9913",
        "token-wrong-9914",
        "nobody-pass-1717",
        "918273645",
        "jwt-is-not-used-here",
        "signature-wrong-31",
        "proxy-signature-61",
    ]
    .map(ToOwned::to_owned)
    .to_vec();
    secrets.push(hash);
    secrets.push(user.seed().unwrap());
    for connect in [
        r#"{"user":"plain","pass":"pw-plain-right-77","name":"n"}"#,
        r#"{"user":"plain","pass":"pw-plain-wrong-78","lang":"go","version":"1"}"#,
        r#"{"user":"hashed","pass":"pw-hashed-right-41"}"#,
        r#"{"user":"hashed","pass":"pw-hashed-wrong-42"}"#,
        r#"{"user":"nobody","pass":"nobody-pass-1717"}"#,
        r#"{"auth_token":"token-wrong-9914"}"#,
        // Of the wrong type, and cut off.
        r#"{"user":"plain","pass":918273645}"#,
        r#"{"user":"plain","pass":"pw-plain-wrong-78"#,
        r#"{"auth_token":["token-right-9913"]}"#,
        r#"{"user":"plain","verbose":"pw-plain-right-77"}"#,
        r#"{"jwt":"jwt-is-not-used-here","sig":"signature-wrong-31"}"#,
        r#"{"user":"plain","pass":"pw-plain-right-77","proxy_sig":"proxy-signature-61"}"#,
        r#"{"user":"plain","pass":"pw-plain-right-77","account":"A"}"#,
        r#"{"user":"plain","pass":"pw-plain-right-77","protocol":7}"#,
    ] {
        seen.present(&server, |_| connect.to_owned());
    }
    let key = user.public_key();
    for wrong in [false, true] {
        let mut made = String::new();
        seen.present(&server, |nonce| {
            let signed = if wrong { "something else".to_owned() } else { nonce.to_owned() };
            made = BASE64URL_NOPAD.encode(&user.sign(signed.as_bytes()).unwrap());
            format!(r#"{{"nkey":"{key}","sig":"{made}"}}"#)
        });
        secrets.push(made);
    }
    seen.present(&server, |_| format!(r#"{{"nkey":"{key}","sig":"signature-wrong-31"}}"#));
    // The name says who it was.
    assert!(server.log().contains(r#"authentication error - User "plain""#), "{}", server.log());
    assert!(server.log().contains(&format!("authentication error - Nkey {key:?}")));
    assert!(server.log().contains(r#"authentication error - Token "[REDACTED]""#));
    assert!(server.log().contains(r#" - "n" - "A/user:plain""#));
    seen.check(&server, &secrets).await;
}

#[tokio::test]
async fn of_the_only_token_and_the_only_user() {
    for (config, right) in [
        ("authorization { token: token-right-9913 }", r#"{"auth_token":"token-right-9913"}"#),
        (
            "authorization { user: only, password: token-right-9913 }",
            r#"{"user":"only","pass":"token-right-9913"}"#,
        ),
    ] {
        let server = talkative(config);
        let mut seen = Seen::without_events();
        for connect in [
            right.to_owned(),
            right.replace("right-9913", "wrong-9914"),
            right.replace("\"token-right-9913\"", "[\"token-right-9913\"]"),
            r#"{"user":"x","pass":"token-wrong-9914"}"#.to_owned(),
        ] {
            seen.present(&server, |_| connect);
        }
        seen.check(&server, &["token-right-9913".to_owned(), "token-wrong-9914".to_owned()]).await;
    }
}
