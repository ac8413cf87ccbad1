//! The HTTP/1.1 request that turns a connection into a WebSocket, and what it is
//! answered (RFC 6455 §4.2, contract/core.md §6).

use super::origin::Origin;
use data_encoding::BASE64;
use memchr::memmem;
use std::fmt;
use std::net::IpAddr;

/// Bytes a request may have. Cookies of other services may come along, a browser
/// sends up to 4 KiB each.
pub const MAX_REQUEST: usize = 16 * 1024;
/// Headers it may have.
const MAX_HEADERS: usize = 128;
/// What the key is hashed with (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const DEFLATE: &str = "permessage-deflate";

/// What requests are measured by.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The listener speaks TLS.
    pub tls: bool,
    /// An Origin must name the host asked for.
    pub same_origin: bool,
    /// Origins accepted; empty: all.
    pub allowed_origins: Vec<Origin>,
    /// permessage-deflate may be agreed on.
    pub compression: bool,
    /// MQTT is on.
    pub mqtt: bool,
    /// Names of the cookies that carry credentials; empty: none.
    pub cookies: CookieNames,
}

/// Names of cookies.
#[derive(Debug, Clone, Default)]
pub struct CookieNames {
    /// A user JWT.
    pub jwt: String,
    /// A user name.
    pub user: String,
    /// A password.
    pub pass: String,
    /// A token.
    pub token: String,
}

/// Which protocol is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The client protocol.
    Client,
    /// A leafnode: path ends in `/leafnode`.
    Leafnode,
    /// MQTT: path ends in `/mqtt`.
    Mqtt,
}

/// A request that may go on.
#[derive(Debug, Clone)]
pub struct Upgrade {
    /// Which protocol is inside.
    pub service: Service,
    /// `Sec-WebSocket-Accept`.
    pub accept: String,
    /// Messages may be compressed, both ways.
    pub compress: bool,
    /// The peer's frames need no mask.
    pub no_masking: bool,
    /// The peer says it is a browser.
    pub browser: bool,
    /// It says it is Safari, see [`super::encode::Encoder::whole_compressed`].
    pub safari: bool,
    /// Who the request came from, if a proxy says so. Anybody may send this.
    pub forwarded_for: Option<IpAddr>,
    /// Credentials from cookies.
    pub cookies: Cookies,
}

/// Credentials from cookies; empty: none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Cookies {
    /// A user JWT.
    pub jwt: String,
    /// A user name.
    pub user: String,
    /// A password.
    pub pass: String,
    /// A token.
    pub token: String,
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookies(…)")
    }
}

/// Outcome of looking at the bytes received so far.
#[derive(Debug, Clone)]
pub enum Request {
    /// More bytes are needed.
    Incomplete,
    /// It is to be answered with [`put_accept`].
    Upgrade(Box<Upgrade>),
}

/// A request that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not HTTP/1.1.
    #[error("not an HTTP/1.1 request")]
    Malformed,
    /// Longer than [`MAX_REQUEST`] or with too many headers.
    #[error("request is longer than {MAX_REQUEST} bytes or has more than {MAX_HEADERS} headers")]
    TooLarge,
    /// Not GET.
    #[error("request method must be GET")]
    Method,
    /// `/mqtt`, which is off.
    #[error("mqtt websocket endpoint not enabled")]
    NoMqtt,
    /// A header that is missing or says something else.
    #[error("missing or invalid value for header '{0}'")]
    Header(&'static str),
    /// Bytes behind the request, although the peer has to wait for the answer.
    #[error("client sent data before handshake is complete")]
    EarlyData,
    /// A page of another origin.
    #[error("origin not allowed: {0}; add it to allowed_origins if it is trusted")]
    Origin(&'static str),
}

impl Refusal {
    /// HTTP status and its text.
    pub fn status(self) -> (u16, &'static str) {
        match self {
            Self::Method => (405, "Method Not Allowed"),
            Self::NoMqtt => (404, "Not Found"),
            Self::Origin(_) => (403, "Forbidden"),
            Self::TooLarge => (431, "Request Header Fields Too Large"),
            Self::Malformed | Self::Header(_) | Self::EarlyData => (400, "Bad Request"),
        }
    }
}

/// Reads the request at the start of a connection. `buf` is all that came.
pub fn parse(buf: &[u8], policy: &Policy) -> Result<Request, Refusal> {
    // Looked at with each complete line, and in any case once the head is
    // complete: a request that comes byte by byte is not parsed for each of them.
    let complete = memmem::find(buf, b"\r\n\r\n").is_some();
    if !complete && buf.len() <= MAX_REQUEST && buf.last() != Some(&b'\n') {
        return Ok(Request::Incomplete);
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(buf) {
        Ok(httparse::Status::Complete(n)) => n,
        Ok(httparse::Status::Partial) if buf.len() <= MAX_REQUEST => {
            return Ok(Request::Incomplete);
        }
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal::TooLarge);
        }
        Err(_) => return Err(Refusal::Malformed),
    };
    if head > MAX_REQUEST {
        return Err(Refusal::TooLarge);
    }
    let upgrade = check(&request, policy)?;
    if head < buf.len() {
        return Err(Refusal::EarlyData);
    }
    Ok(Request::Upgrade(Box::new(upgrade)))
}

fn check(request: &httparse::Request<'_, '_>, policy: &Policy) -> Result<Upgrade, Refusal> {
    if request.version != Some(1) {
        return Err(Refusal::Malformed);
    }
    let headers = Headers(request.headers);
    let service = service(request.path.unwrap_or_default());
    if service == Service::Mqtt && !policy.mqtt {
        return Err(Refusal::NoMqtt);
    }
    if request.method != Some("GET") {
        return Err(Refusal::Method);
    }
    let host = headers.first("Host").filter(|h| !h.is_empty()).ok_or(Refusal::Header("Host"))?;
    for (name, value) in
        [("Upgrade", "websocket"), ("Connection", "upgrade"), ("Sec-WebSocket-Version", "13")]
    {
        if !headers.tokens(name).any(|t| t.eq_ignore_ascii_case(value)) {
            return Err(Refusal::Header(name));
        }
    }
    let key = headers.first("Sec-WebSocket-Key").unwrap_or_default();
    if BASE64.decode(key.as_bytes()).map(|k| k.len()) != Ok(16) {
        return Err(Refusal::Header("Sec-WebSocket-Key"));
    }
    check_origin(&headers, host, policy)?;
    let agent = headers.first("User-Agent").unwrap_or_default();
    let browser = agent.starts_with("Mozilla/");
    Ok(Upgrade {
        service,
        accept: accept_key(key),
        compress: policy.compression && headers.all("Sec-WebSocket-Extensions").any(offers_deflate),
        no_masking: headers.first("Nats-No-Masking") == Some("true"),
        browser,
        // Others have one of the two words as well.
        safari: browser && agent.contains("Version/") && agent.contains("Safari/"),
        forwarded_for: headers
            .first("X-Forwarded-For")
            .and_then(|list| list.split(',').next())
            .and_then(|ip| ip.trim().parse().ok()),
        cookies: cookies(&headers, &policy.cookies),
    })
}

/// `Sec-WebSocket-Accept` for a key (RFC 6455 §4.2.2).
pub fn accept_key(key: &str) -> String {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(GUID);
    BASE64.encode(hash.finish().as_ref())
}

fn service(target: &str) -> Service {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    if path.ends_with("/leafnode") {
        Service::Leafnode
    } else if path.ends_with("/mqtt") {
        Service::Mqtt
    } else {
        Service::Client
    }
}

fn check_origin(headers: &Headers<'_>, host: &str, policy: &Policy) -> Result<(), Refusal> {
    if !policy.same_origin && policy.allowed_origins.is_empty() {
        return Ok(());
    }
    let origin = headers.first("Origin").filter(|o| !o.is_empty());
    let Some(origin) = origin.or_else(|| headers.first("Sec-WebSocket-Origin")) else {
        return Ok(());
    };
    let origin = Origin::parse(origin).ok_or(Refusal::Origin("not an http or https URL"))?;
    if policy.same_origin && Origin::of_host(policy.tls, host).as_ref() != Some(&origin) {
        return Err(Refusal::Origin("not same origin"));
    }
    if !policy.allowed_origins.is_empty() && !policy.allowed_origins.contains(&origin) {
        return Err(Refusal::Origin("not in the allowed list"));
    }
    Ok(())
}

/// Whether one of the offers in `Sec-WebSocket-Extensions` can be accepted as
/// it is. One that limits our window cannot: the compressor's is fixed.
fn offers_deflate(list: &str) -> bool {
    list.split(',').any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case(DEFLATE))
            && parts.all(|parameter| {
                let name = parameter.split('=').next().unwrap_or_default().trim();
                ["", "server_no_context_takeover", "client_no_context_takeover"]
                    .iter()
                    .chain(&["client_max_window_bits"])
                    .any(|known| name.eq_ignore_ascii_case(known))
            })
    })
}

fn cookies(headers: &Headers<'_>, names: &CookieNames) -> Cookies {
    let mut found = Cookies::default();
    let pairs = headers
        .all("Cookie")
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| !name.is_empty());
    for (name, value) in pairs {
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        let place = match name {
            n if n == names.jwt => &mut found.jwt,
            n if n == names.user => &mut found.user,
            n if n == names.pass => &mut found.pass,
            n if n == names.token => &mut found.token,
            _ => continue,
        };
        value.clone_into(place);
    }
    found
}

/// Headers by name; values that are not text do not exist.
struct Headers<'a>(&'a [httparse::Header<'a>]);

impl<'a> Headers<'a> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |h| h.name.eq_ignore_ascii_case(name))
            .filter_map(|h| std::str::from_utf8(h.value).ok())
            .map(str::trim)
    }

    fn first(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    fn tokens(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(|value| value.split(',')).map(str::trim)
    }
}

/// Appends the answer that completes the upgrade, with the configured headers.
pub fn put_accept<'a>(
    out: &mut Vec<u8>,
    upgrade: &Upgrade,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
) {
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
    let mut line = |name: &str, value: &str| {
        // A line end in a configured header would begin a header of its own.
        let clean = |c: &u8| !matches!(c, b'\r' | b'\n');
        out.extend(name.bytes().filter(clean));
        out.extend_from_slice(b": ");
        out.extend(value.bytes().filter(clean));
        out.extend_from_slice(b"\r\n");
    };
    line("Upgrade", "websocket");
    line("Connection", "Upgrade");
    line("Sec-WebSocket-Accept", &upgrade.accept);
    if upgrade.compress {
        let value = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        line("Sec-WebSocket-Extensions", value);
    }
    if upgrade.no_masking {
        line("Nats-No-Masking", "true");
    }
    if upgrade.service == Service::Mqtt {
        line("Sec-WebSocket-Protocol", "mqtt");
    }
    for (name, value) in headers {
        line(name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the answer to a request that is refused.
pub fn put_refusal(out: &mut Vec<u8>, refusal: Refusal) {
    let (status, text) = refusal.status();
    out.extend_from_slice(
        format!(
            "HTTP/1.1 {status} {text}\r\nSec-Websocket-Version: 13\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{text}\n",
            text.len() + 1
        )
        .as_bytes(),
    );
}

#[cfg(test)]
#[path = "upgrade_test.rs"]
mod tests;
