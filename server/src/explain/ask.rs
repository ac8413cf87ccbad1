//! Asking a running server who one is: one connection, one request to
//! `$SYS.REQ.USER.INFO`.

use super::Shared;
use data_encoding::BASE64URL_NOPAD;
use gust_account::Permissions;
use gust_account::jwt::{seed_of, token_of};
use gust_account::nkey::KeyPair;
use gust_config::cli::explain::ExplainRequest;
use gust_config::options::permissions as config;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// Time for each step.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest line or answer that is read.
const MAX_BYTES: u64 = 1 << 20;

/// What the server says.
pub(super) struct Facts {
    /// Who, for people.
    pub(super) name: String,
    /// Account name.
    pub(super) account: String,
    /// Account, for people.
    pub(super) shown: String,
    /// What it may do; `None`: everything.
    pub(super) permissions: Option<Shared>,
}

/// Asks.
pub(super) fn user_info(who: &ExplainRequest, server: &str) -> Result<Facts, String> {
    facts(&request(who, server, |_| Ok("$SYS.REQ.USER.INFO".to_owned()), "")?)
}

/// The document that `server` answers to one request of `who`; what is asked may
/// depend on its INFO.
pub(crate) fn request(
    who: &ExplainRequest,
    server: &str,
    subject: impl FnOnce(&Value) -> Result<String, String>,
    payload: &str,
) -> Result<Value, String> {
    let rest = server.strip_prefix("nats://").unwrap_or(server);
    if rest.contains("://") {
        let text = "--server needs a nats:// URL; ask about files for other transports";
        return Err(text.to_owned());
    }
    let (login, address) = match rest.rsplit_once('@') {
        Some((login, address)) => (login.split_once(':'), address),
        None => (None, rest),
    };
    let mut peer = Peer::connect(address)?;
    let info = peer.info()?;
    if info["tls_required"] == true {
        let text = "the server requires TLS, which this command does not speak; ask about files";
        return Err(text.to_owned());
    }
    let connect = credentials(who, login, info["nonce"].as_str().unwrap_or_default())?;
    let (subject, size) = (subject(&info)?, payload.len());
    peer.send(&format!(
        "CONNECT {connect}\r\nSUB _INBOX.explain 1 \r\nPUB {subject} _INBOX.explain \
         {size}\r\n{payload}\r\n"
    ))?;
    peer.answer(&subject)
}

fn credentials(
    request: &ExplainRequest,
    login: Option<(&str, &str)>,
    nonce: &str,
) -> Result<Value, String> {
    let mut connect = json!({
        "verbose": false, "pedantic": false, "lang": "gust", "version": env!("CARGO_PKG_VERSION"),
        "protocol": 0, "headers": true, "no_responders": true, "name": "gust",
    });
    if let Some((user, pass)) = login {
        (connect["user"], connect["pass"]) = (user.into(), pass.into());
    }
    if let Some(user) = &request.user {
        connect["user"] = user.as_str().into();
        connect["pass"] = request.password.as_deref().unwrap_or_default().into();
    }
    if let Some(path) = request.creds.as_ref().or(request.jwt.as_ref()) {
        let text = std::fs::read_to_string(path).map_err(|e| format!("open {path}: {e}"))?;
        let token = token_of(&text).ok_or_else(|| format!("{path} holds no JWT"))?;
        connect["jwt"] = token.into();
        if let Some(seed) = seed_of(&text) {
            let pair = KeyPair::from_seed(&seed).map_err(|e| format!("{path}: {e}"))?;
            connect["sig"] = BASE64URL_NOPAD.encode(&pair.sign(nonce.as_bytes())).into();
        }
    }
    Ok(connect)
}

/// A connection, read line by line.
struct Peer(BufReader<TcpStream>);

impl Peer {
    fn connect(address: &str) -> Result<Peer, String> {
        let address =
            if address.contains(':') { address.to_owned() } else { format!("{address}:4222") };
        let why = |e: std::io::Error| format!("{address}: {e}");
        let mut addresses = address.to_socket_addrs().map_err(why)?;
        let first = addresses.next().ok_or_else(|| format!("{address}: no such host"))?;
        let stream = TcpStream::connect_timeout(&first, TIMEOUT).map_err(why)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(why)?;
        stream.set_write_timeout(Some(TIMEOUT)).map_err(why)?;
        Ok(Peer(BufReader::new(stream)))
    }

    fn send(&mut self, text: &str) -> Result<(), String> {
        self.0.get_mut().write_all(text.as_bytes()).map_err(|e| e.to_string())
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let read = (&mut self.0).take(MAX_BYTES).read_line(&mut line);
        match read.map_err(|e| e.to_string())? {
            0 => Err("the server closed the connection".to_owned()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    fn info(&mut self) -> Result<Value, String> {
        let line = self.line()?;
        let json = line.strip_prefix("INFO ").ok_or("the server does not speak NATS")?;
        serde_json::from_str(json).map_err(|e| format!("INFO: {e}"))
    }

    /// The document of the first message.
    fn answer(&mut self, subject: &str) -> Result<Value, String> {
        loop {
            let line = self.line()?;
            if let Some(text) = line.strip_prefix("-ERR ") {
                return Err(format!("the server says {text}"));
            }
            if line == "PING" {
                self.send("PONG\r\n")?;
                continue;
            }
            let sizes: Vec<usize> = line.split(' ').filter_map(|n| n.parse().ok()).collect();
            let (headers, total) = match (line.starts_with("MSG "), sizes.as_slice()) {
                (true, [.., total]) => (0, *total),
                (false, [.., headers, total]) if line.starts_with("HMSG ") => (*headers, *total),
                _ => continue,
            };
            if total as u64 > MAX_BYTES {
                return Err("the answer is too long".to_owned());
            }
            let mut payload = vec![0; total];
            self.0.read_exact(&mut payload).map_err(|e| e.to_string())?;
            let body = payload.get(headers..).unwrap_or_default();
            if body.is_empty() {
                return Err(format!("nobody answers {subject} there"));
            }
            return serde_json::from_slice(body).map_err(|e| format!("the answer: {e}"));
        }
    }
}

fn facts(answer: &Value) -> Result<Facts, String> {
    let data = &answer["data"];
    let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
    let account = text("account");
    if account.is_empty() {
        return Err(format!("the server does not say who this is: {answer}"));
    }
    let shown = match text("account_name") {
        name if name.is_empty() || name == account => format!("{account:?}"),
        name => format!("{name:?} ({account})"),
    };
    let name = match (text("user_name"), text("user")) {
        (name, user) if !name.is_empty() && name != user => format!("user {name:?} ({user})"),
        (_, user) if !user.is_empty() => format!("user {user:?}"),
        _ => "a client without a name".to_owned(),
    };
    let permissions = data.get("permissions").filter(|p| p.is_object()).map(permissions);
    let permissions = permissions.map(|p| Permissions::new(&p).map(Arc::new)).transpose();
    Ok(Facts { name, account, shown, permissions: permissions.map_err(|e| e.to_string())? })
}

/// The document of permissions. Who may answer requests may publish nothing else
/// unless that is written down; the document leaves that out.
fn permissions(doc: &Value) -> config::Permissions {
    let list = |value: &Value| -> Option<Vec<String>> {
        let items = value.as_array()?;
        Some(items.iter().filter_map(|i| i.as_str().map(ToOwned::to_owned)).collect())
    };
    let side = |side: &Value| {
        side.is_object().then(|| config::SubjectPermission {
            allow: list(&side["allow"]),
            deny: list(&side["deny"]).unwrap_or_default(),
        })
    };
    let responses = &doc["responses"];
    let responses = responses.is_object().then(|| config::ResponsePermission {
        max: responses["max"].as_i64().unwrap_or_default(),
        expires_ns: responses["ttl"].as_i64().unwrap_or_default(),
    });
    let mut permissions = config::Permissions {
        publish: side(&doc["publish"]),
        subscribe: side(&doc["subscribe"]),
        responses,
    };
    if permissions.responses.is_some() {
        permissions.publish.get_or_insert_default().allow.get_or_insert_default();
    }
    permissions
}
