//! A line-wise client over TLS, with the handshake after INFO or before.

use crate::common::*;
use gust_tests::process::Server;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// Host and port of a URL.
pub fn address(url: &str) -> &str {
    url.split_once("://").unwrap().1
}

/// A socket with deadlines.
pub fn tcp(url: &str) -> TcpStream {
    let stream = TcpStream::connect(address(url)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// A line-wise client over TLS.
pub struct Secure {
    /// The session over its socket.
    pub stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl Secure {
    /// Shakes hands on `tcp` for the server's `name`.
    pub fn over(tcp: TcpStream, config: Arc<ClientConfig>, name: &'static str) -> Secure {
        let name = ServerName::try_from(name).unwrap();
        let conn = ClientConnection::new(config, name).unwrap();
        Secure { stream: BufReader::new(StreamOwned::new(conn, tcp)) }
    }

    /// Reads INFO, then upgrades.
    pub fn upgrade(server: &Server, config: Arc<ClientConfig>) -> Secure {
        let mut tcp = tcp(&server.url);
        read_info(&mut tcp);
        Secure::over(tcp, config, "localhost")
    }

    /// Handshake first.
    pub fn first(server: &Server, config: Arc<ClientConfig>) -> Secure {
        Secure::over(tcp(&server.url), config, "localhost")
    }

    /// The next line, or why there is none; PINGs are left out.
    pub fn try_line(&mut self) -> std::io::Result<String> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if line != "PING\r\n" {
                return Ok(line.trim_end().to_owned());
            }
        }
    }

    /// The next line.
    pub fn line(&mut self) -> String {
        self.try_line().unwrap()
    }

    /// Sends text.
    pub fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// CONNECT and PING; the answer is PONG or why not.
    pub fn login(&mut self, json: &str) -> std::io::Result<String> {
        write!(self.stream.get_mut(), "CONNECT {json}\r\nPING\r\n")?;
        self.try_line()
    }

    /// The server's certificate.
    pub fn peer(&self) -> Vec<u8> {
        let conn = &self.stream.get_ref().conn;
        conn.peer_certificates().unwrap()[0].as_ref().to_vec()
    }
}

/// Reads INFO byte by byte, so that nothing behind it is lost.
pub fn read_info(tcp: &mut TcpStream) -> serde_json::Value {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        tcp.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    info_of(text(&line).trim_end())
}

/// A CONNECT without `+OK`.
pub const QUIET: &str = r#"{"verbose":false}"#;
