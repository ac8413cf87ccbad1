//! What the end-to-end tests share: clients with deadlines and a raw socket.

use async_nats::{Client, ConnectOptions, Message, Subscriber};
use futures_util::StreamExt;
use gust_tests::process::Server;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// After this long something that has to happen counts as not happening.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A JetStream server.
pub fn start() -> Server {
    Server::start().unwrap()
}

/// A server with this configuration.
pub fn configured(config: &str) -> Server {
    Server::with(&[], Some(config)).unwrap()
}

/// A client without credentials.
pub async fn connect(server: &Server) -> Client {
    within(async_nats::connect(&server.url)).await.unwrap()
}

/// A client of user `user` with password `pass`.
pub async fn login(server: &Server, user: &str, pass: &str) -> Client {
    within(options(user, pass).connect(&server.url)).await.unwrap()
}

/// Options with credentials.
pub fn options(user: &str, pass: &str) -> ConnectOptions {
    ConnectOptions::new().user_and_password(user.into(), pass.into())
}

/// The result of `f`, which has to come before the deadline.
pub async fn within<T>(f: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, f.into_future()).await.expect("it takes too long")
}

/// A round trip: the server has processed all that `client` sent before.
pub async fn sync(client: &Client) {
    let e = within(client.request("no.such.subject", "".into())).await.unwrap_err();
    assert_eq!(e.kind(), async_nats::RequestErrorKind::NoResponders);
}

/// The next message.
pub async fn next(sub: &mut Subscriber) -> Message {
    within(sub.next()).await.expect("the subscription goes on")
}

/// Payload of the next message, as text.
pub async fn next_text(sub: &mut Subscriber) -> String {
    text(&next(sub).await.payload)
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits until `check` gives something.
pub async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut check: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A bare connection that has read the server's INFO.
pub struct Raw {
    reader: BufReader<TcpStream>,
    /// The first INFO.
    pub info: serde_json::Value,
}

impl Raw {
    /// Connects and reads INFO.
    pub fn open(server: &Server) -> Raw {
        let stream = TcpStream::connect(server.url.trim_start_matches("nats://")).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        let mut raw = Raw { reader: BufReader::new(stream), info: serde_json::Value::Null };
        let line = raw.line();
        raw.info = info_of(&line);
        raw
    }

    /// Connects and sends this CONNECT (and a PING, whose PONG and second INFO
    /// are taken).
    pub fn connect(server: &Server, json: &str) -> Raw {
        let mut raw = Raw::open(server);
        raw.send(&format!("CONNECT {json}\r\nPING\r\n"));
        let mut line = raw.line();
        if line == "+OK" {
            line = raw.line();
        }
        assert_eq!(line, "PONG");
        if json.contains("\"protocol\":1") {
            assert!(raw.line().starts_with("INFO "));
        }
        raw
    }

    /// The socket.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.reader.get_mut()
    }

    /// Sends text.
    pub fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes());
    }

    /// Sends bytes.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream().write_all(bytes).unwrap();
    }

    /// The next line without its end; the server's own PINGs are left out.
    pub fn line(&mut self) -> String {
        loop {
            let line = self.any_line();
            if line != "PING" {
                return line;
            }
        }
    }

    /// The next line, whatever it is.
    pub fn any_line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a line arrives");
        assert!(line.ends_with("\r\n"), "closed instead of a line: {line:?}");
        line.truncate(line.len() - 2);
        line
    }

    /// As [`Raw::line`], or `None` once the server is gone.
    pub fn try_line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).ok()?;
            let text = line.strip_suffix("\r\n")?;
            if text != "PING" {
                return Some(text.to_owned());
            }
        }
    }

    /// As [`Raw::send`]; false once the server is gone.
    pub fn try_send(&mut self, text: &str) -> bool {
        self.try_send_bytes(text.as_bytes())
    }

    /// As [`Raw::send_bytes`]; false once the server is gone.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream().write_all(bytes).is_ok()
    }

    /// Expects exactly these lines.
    #[track_caller]
    pub fn expect(&mut self, lines: &[&str]) {
        for wanted in lines {
            assert_eq!(self.line(), *wanted);
        }
    }

    /// Exactly this many bytes.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut buf = vec![0; n];
        self.reader.read_exact(&mut buf).unwrap();
        buf
    }

    /// PING and its PONG: all before it was processed.
    #[track_caller]
    pub fn sync(&mut self) {
        self.send("PING\r\n");
        assert_eq!(self.line(), "PONG");
    }

    /// What comes until the server closes.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => {}
            // What we sent after the server's last look makes its close a reset.
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(e) => panic!("the server does not close: {e}; so far {:?}", text(&rest)),
        }
        text(&rest).replace("PING\r\n", "")
    }
}

/// The document of an INFO line.
pub fn info_of(line: &str) -> serde_json::Value {
    let json = line.strip_prefix("INFO ").unwrap_or_else(|| panic!("no INFO: {line:?}"));
    serde_json::from_str(json).unwrap()
}

/// GETs a monitoring document; status and body.
pub fn get(server: &Server, path: &str) -> (u16, String) {
    let address = server.monitor.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = text(&answer);
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status line");
    let body = answer.split_once("\r\n\r\n").map(|(_, b)| b.to_owned()).unwrap_or_default();
    (status, body)
}

/// A monitoring document.
pub fn doc(server: &Server, path: &str) -> serde_json::Value {
    let (status, body) = get(server, path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"))
}

/// A JetStream API call; the answer's document, which may be an error.
pub async fn call(client: &Client, subject: &str, body: serde_json::Value) -> serde_json::Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = within(client.request(format!("$JS.API.{subject}"), body.into())).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

/// As [`call`] for a call that has to work.
#[track_caller]
pub fn api(
    client: &Client,
    subject: &str,
    body: serde_json::Value,
) -> impl Future<Output = serde_json::Value> {
    let (client, subject) = (client.clone(), subject.to_owned());
    let at = std::panic::Location::caller();
    async move {
        let answer = call(&client, &subject, body).await;
        assert!(answer.get("error").is_none(), "{at}: {subject}: {answer}");
        answer
    }
}

/// Creates a stream from a document without a name.
pub async fn stream(client: &Client, name: &str, mut config: serde_json::Value) {
    config["name"] = name.into();
    if config.get("storage").is_none() {
        config["storage"] = "file".into();
    }
    api(client, &format!("STREAM.CREATE.{name}"), config).await;
}

/// Publishes and waits for the ack's document.
pub async fn publish(
    client: &Client,
    subject: &str,
    headers: &[(&str, &str)],
    payload: &str,
) -> serde_json::Value {
    let mut map = async_nats::HeaderMap::new();
    for (k, v) in headers {
        map.append(*k, *v);
    }
    let sent = client.request_with_headers(subject.to_owned(), map, payload.to_owned().into());
    serde_json::from_slice(&within(sent).await.unwrap().payload).unwrap()
}

/// State of a stream.
pub async fn state(client: &Client, name: &str) -> serde_json::Value {
    let mut info = api(client, &format!("STREAM.INFO.{name}"), serde_json::Value::Null).await;
    info["state"].take()
}

/// Payload of a stored message, or the error's code.
pub async fn stored(client: &Client, name: &str, seq: u64) -> Result<String, u64> {
    let got =
        call(client, &format!("STREAM.MSG.GET.{name}"), serde_json::json!({ "seq": seq })).await;
    match got["error"]["err_code"].as_u64() {
        Some(code) => Err(code),
        None => {
            let data = got["message"]["data"].as_str().unwrap_or_default();
            Ok(text(&data_encoding::BASE64.decode(data.as_bytes()).unwrap()))
        }
    }
}

/// The next message of a consumer by a pull of one. Its subject is the stored
/// one, so the client cannot take it for the answer of a request.
pub async fn pull(client: &Client, stream: &str, consumer: &str) -> Message {
    let inbox = client.new_inbox();
    let mut sub = client.subscribe(inbox.clone()).await.unwrap();
    let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
    client.publish_with_reply(subject, inbox, "".into()).await.unwrap();
    next(&mut sub).await
}
