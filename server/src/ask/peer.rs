//! The connection of a command, read line by line.

use super::address::Address;
use super::login::Login;
use super::secure;
use gust_config::cli::access::Access;
use serde_json::Value;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Time for each step.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A server that says nothing for this long waits for the handshake.
const SILENCE: Duration = Duration::from_millis(500);
/// Longest line or answer that is read.
const MAX_BYTES: u64 = 1 << 20;

/// What an end without an error is called.
const CLOSED: &str = "the server closed the connection";

trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// A connection whose INFO was read.
pub(super) struct Peer {
    stream: BufReader<Box<dyn Wire>>,
    access: Access,
}

impl Peer {
    /// Connects, with TLS where it is wanted or required, and reads INFO.
    pub(super) fn connect(address: &Address, access: &Access) -> Result<(Peer, Value), String> {
        let tcp = tcp(address)?;
        let flagged = access.tls_ca.is_some() || access.tls_cert.is_some();
        let wanted = address.tls || access.tls_first || flagged;
        let over = |stream: Box<dyn Wire>| Peer {
            stream: BufReader::with_capacity(64 * 1024, stream),
            access: access.clone(),
        };
        if access.tls_first || (wanted && silent(&tcp)?) {
            let mut peer = over(Box::new(secure::shake(tcp, address, access)?));
            let info = peer.info()?;
            return Ok((peer, info));
        }
        // Without a buffer: what follows the line belongs to the handshake.
        let mut peer = Peer {
            stream: BufReader::with_capacity(1, Box::new(tcp.try_clone().map_err(text)?)),
            access: access.clone(),
        };
        let info = peer.info().map_err(|e| match wanted {
            true => e,
            false => format!("{e}; if it wants the TLS handshake first, write tls://{address}"),
        })?;
        let offered = info["tls_required"] == true || info["tls_available"] == true;
        if wanted && !offered {
            return Err(format!("{address} offers no TLS, and without it nothing is sent"));
        }
        if wanted || info["tls_required"] == true {
            return Ok((over(Box::new(secure::shake(tcp, address, access)?)), info));
        }
        Ok((over(Box::new(tcp)), info))
    }

    fn send(&mut self, bytes: &str) -> Result<(), String> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes.as_bytes()).and_then(|()| stream.flush()).map_err(text)
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let read = (&mut self.stream).take(MAX_BYTES).read_line(&mut line);
        let access = &self.access;
        match read.map_err(|e| match e.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                format!("the server said nothing for {} seconds", TIMEOUT.as_secs())
            }
            _ => secure::explained(&e, access),
        })? {
            0 => Err(CLOSED.to_owned()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    fn info(&mut self) -> Result<Value, String> {
        let line = self.line()?;
        let json = line.strip_prefix("INFO ").ok_or("the server does not speak NATS")?;
        serde_json::from_str(json).map_err(|e| format!("INFO: {e}"))
    }

    /// Logs in. An error says who was refused, in the server's words and with
    /// what to do.
    pub(super) fn login(&mut self, login: &Login, info: &Value) -> Result<(), String> {
        let connect = login.connect(info["nonce"].as_str().unwrap_or_default())?;
        let who = login.shown();
        let refused = |why: &str| {
            format!(
                "the server refuses {who}: {why}; its log says which check refused the login \
                 and what to do"
            )
        };
        self.send(&format!("CONNECT {connect}\r\nPING\r\n"))?;
        loop {
            // The server may also close without a word, or refuse the certificate.
            let line = self.line().map_err(|e| if e == CLOSED { refused(CLOSED) } else { e })?;
            match line.strip_prefix("-ERR ") {
                Some(why) => return Err(refused(why)),
                None if line == "PONG" => return Ok(()),
                None if line == "PING" => self.send("PONG\r\n")?,
                None => {}
            }
        }
    }

    /// The document that answers `payload` on `subject`.
    pub(super) fn ask(
        &mut self,
        subject: &str,
        inbox: &str,
        payload: &str,
    ) -> Result<Value, String> {
        let size = payload.len();
        self.send(&format!("SUB {inbox} 1\r\nPUB {subject} {inbox} {size}\r\n{payload}\r\n"))?;
        loop {
            let line = self.line()?;
            if let Some(why) = line.strip_prefix("-ERR ") {
                return Err(format!(
                    "the server says {why}; the login needs permission to publish to {subject} \
                     and to subscribe to {inbox} (see --inbox-prefix)"
                ));
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
            self.stream.read_exact(&mut payload).map_err(text)?;
            let body = payload.get(headers..).unwrap_or_default();
            if body.is_empty() {
                return Err(format!("nobody answers {subject} there"));
            }
            return serde_json::from_slice(body).map_err(|e| format!("the answer: {e}"));
        }
    }
}

fn text(e: std::io::Error) -> String {
    e.to_string()
}

/// A connection to the first address of the host that takes one.
fn tcp(address: &Address) -> Result<TcpStream, String> {
    let why = |e: std::io::Error| format!("{address}: {e}");
    let mut failed = format!("{address}: no such host");
    for each in (address.host.as_str(), address.port).to_socket_addrs().map_err(why)? {
        match TcpStream::connect_timeout(&each, TIMEOUT) {
            Ok(tcp) => {
                tcp.set_read_timeout(Some(TIMEOUT)).map_err(why)?;
                tcp.set_write_timeout(Some(TIMEOUT)).map_err(why)?;
                return Ok(tcp);
            }
            Err(e) => failed = why(e),
        }
    }
    Err(failed)
}

/// Whether the server waits for the other side to begin.
fn silent(tcp: &TcpStream) -> Result<bool, String> {
    tcp.set_read_timeout(Some(SILENCE)).map_err(text)?;
    let silent = match tcp.peek(&mut [0]) {
        Ok(_) => false,
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => true,
        Err(e) => return Err(text(e)),
    };
    tcp.set_read_timeout(Some(TIMEOUT)).map_err(text)?;
    Ok(silent)
}
