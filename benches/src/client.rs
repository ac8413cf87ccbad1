//! A client that costs next to nothing: prebuilt publishes, replies counted by
//! their length fields, no allocation per message.

use crate::tls::Socket;
use anyhow::{Context, Result, bail};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// Where a client connects, and how.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// `host:port`.
    pub addr: String,
    /// TLS, if the server wants it.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Fields of CONNECT that say who it is, each followed by a comma.
    pub login: String,
    /// What is said before anything else: a PROXY header.
    pub first: &'static [u8],
}

impl Access {
    /// The same server as somebody else.
    pub fn as_user(&self, user: &str) -> Access {
        Access { login: format!("\"user\":\"{user}\",\"pass\":\"{user}\","), ..self.clone() }
    }
}

/// One connection, blocking.
pub struct Client {
    /// The socket, or TLS over it.
    pub socket: Socket,
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

/// A message the server sent.
pub struct Received<'a> {
    /// Reply subject or empty.
    pub reply: &'a [u8],
    /// Headers and payload.
    pub body: &'a [u8],
}

impl Client {
    /// Connects and says CONNECT; returns when the server answered PING.
    pub fn connect(access: &Access) -> Result<Client> {
        let tcp = TcpStream::connect(&access.addr)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(Duration::from_secs(60)))?;
        (&tcp).write_all(access.first)?;
        let socket = match &access.tls {
            None => Socket::Plain(tcp),
            Some(config) => crate::tls::upgrade(tcp, config)?,
        };
        let mut c = Client { socket, buf: vec![0; 256 << 10], start: 0, end: 0 };
        let text = format!(
            "CONNECT {{{}\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\
              \"protocol\":1,\"name\":\"bench\",\"lang\":\"rust\",\"version\":\"1.0\"}}\r\nPING\r\n",
            access.login
        );
        c.send(text.as_bytes())?;
        c.wait_pong()?;
        Ok(c)
    }

    /// Writes bytes.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket.write_all(bytes).context("writing to the server")
    }

    /// PING and wait until everything sent before was processed.
    pub fn flush(&mut self) -> Result<()> {
        self.send(b"PING\r\n")?;
        self.wait_pong()
    }

    /// Reads until a PONG; messages before it are dropped.
    pub fn wait_pong(&mut self) -> Result<()> {
        loop {
            while let Some(line) = self.next_line()? {
                match line {
                    Line::Pong => return Ok(()),
                    Line::Message { .. } | Line::Other => {}
                }
            }
            self.fill()?;
        }
    }

    /// Reads more bytes; false on a time-out of the socket.
    pub fn fill(&mut self) -> Result<bool> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.end == self.buf.len() {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.end == self.buf.len() {
                self.buf.resize(self.buf.len() * 2, 0);
            }
        }
        match self.socket.read(&mut self.buf[self.end..]) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(n) => {
                self.end += n;
                Ok(true)
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// The next complete line or message in the buffer.
    fn next_line(&mut self) -> Result<Option<Line>> {
        let have = &self.buf[self.start..self.end];
        let Some(eol) = memchr::memchr(b'\n', have) else { return Ok(None) };
        let line = &have[..eol];
        match line.first() {
            Some(b'M' | b'H') => {
                let size = line.trim_ascii_end().rsplit(|b| *b == b' ').next().unwrap_or_default();
                let size = size.iter().fold(0, |n, d| n * 10 + usize::from(d - b'0'));
                let total = eol + 1 + size + 2;
                if have.len() < total {
                    return Ok(None);
                }
                let at = self.start;
                self.start += total;
                Ok(Some(Line::Message { at, line: eol, total }))
            }
            Some(b'P') => {
                let pong = line.starts_with(b"PONG");
                self.start += eol + 1;
                if !pong {
                    self.send(b"PONG\r\n")?;
                }
                Ok(Some(if pong { Line::Pong } else { Line::Other }))
            }
            Some(b'-') => bail!("the server said {}", String::from_utf8_lossy(line)),
            _ => {
                self.start += eol + 1;
                Ok(Some(Line::Other))
            }
        }
    }

    /// Calls `f` for each message in the buffer; reads first if there is none.
    /// Returns how many there were.
    pub fn messages(&mut self, mut f: impl FnMut(Received<'_>)) -> Result<usize> {
        let mut n = 0;
        while n == 0 {
            while let Some(line) = self.next_line()? {
                if let Line::Message { at, line, total } = line {
                    let whole = &self.buf[at..at + total];
                    let head = whole[..line].trim_ascii_end();
                    let mut parts = head.split(|b| *b == b' ').filter(|p| !p.is_empty());
                    let with_headers = parts.next() == Some(b"HMSG");
                    let rest: Vec<&[u8]> = parts.collect();
                    let reply = match (with_headers, rest.len()) {
                        (false, 4) | (true, 5) => rest[2],
                        _ => &[],
                    };
                    f(Received { reply, body: &whole[line + 1..total - 2] });
                    n += 1;
                }
            }
            if n == 0 && !self.fill()? {
                bail!("no message within the time-out");
            }
        }
        Ok(n)
    }

    /// Counts the messages in the buffer without looking at them; reads first
    /// if there is none.
    pub fn count(&mut self) -> Result<usize> {
        let mut n = 0;
        while n == 0 {
            while let Some(line) = self.next_line()? {
                n += usize::from(matches!(line, Line::Message { .. }));
            }
            if n == 0 && !self.fill()? {
                bail!("no message within the time-out");
            }
        }
        Ok(n)
    }

    /// A request with an inbox of its own; returns headers and payload.
    pub fn request(&mut self, subject: &str, payload: &str) -> Result<Vec<u8>> {
        let text = format!(
            "SUB _INBOX.req 90\r\nUNSUB 90 1\r\nPUB {subject} _INBOX.req {}\r\n{payload}\r\n",
            payload.len()
        );
        self.send(text.as_bytes())?;
        let mut answer = None;
        while answer.is_none() {
            self.messages(|m| answer = Some(m.body.to_vec()))?;
        }
        answer.context("no answer")
    }

    /// A JetStream API call; fails on an error document.
    pub fn api(&mut self, subject: &str, payload: &str) -> Result<serde_json::Value> {
        let answer = self.request(subject, payload)?;
        let doc: serde_json::Value = serde_json::from_slice(&answer)
            .with_context(|| format!("{subject}: {}", String::from_utf8_lossy(&answer)))?;
        if let Some(e) = doc.get("error") {
            bail!("{subject}: {e}");
        }
        Ok(doc)
    }
}

enum Line {
    Message { at: usize, line: usize, total: usize },
    Pong,
    Other,
}
