//! A WebSocket client of frames, for what real clients hide.

use crate::common::*;
use gust_tests::process::Server;
use gust_wire::websocket::deflate::{Deflater, Inflaters};
use gust_wire::websocket::upgrade::accept_key;
use std::io::{Read, Write};
use std::net::TcpStream;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What a client without credentials sends first.
pub const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n";

/// A frame of the server.
#[derive(Debug, PartialEq)]
pub struct Frame {
    /// Its first byte.
    pub first: u8,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A client of frames.
pub struct Web {
    socket: TcpStream,
    /// The answer to its request.
    pub head: String,
    /// Text received and not looked at.
    text: String,
}

impl Web {
    /// Sends a request with these lines besides the usual and reads the answer.
    pub fn request(server: &Server, start: &str, lines: &str) -> Web {
        let addr = server.websocket.split_once("://").unwrap().1;
        let mut socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let request = format!(
            "{start} HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            socket.read_exact(&mut byte).unwrap();
            head.extend_from_slice(&byte);
        }
        Web { socket, head: String::from_utf8(head).unwrap(), text: String::new() }
    }

    /// Opens a connection and reads INFO.
    pub fn open(server: &Server, lines: &str) -> (Web, serde_json::Value) {
        let mut web = Web::request(server, "GET /", lines);
        assert!(web.head.starts_with("HTTP/1.1 101 "), "{}", web.head);
        assert!(web.head.contains(&format!("Sec-WebSocket-Accept: {}\r\n", accept_key(KEY))));
        let line = web.line();
        (web, info_of(&line))
    }

    /// Opens a connection and logs in without credentials.
    pub fn connect(server: &Server, lines: &str) -> Web {
        let (mut web, _) = Web::open(server, lines);
        web.send(CONNECT);
        assert_eq!(web.line(), "PONG");
        web
    }

    /// Status of the answer to a request.
    pub fn status(server: &Server, start: &str, lines: &str) -> String {
        let web = Web::request(server, start, lines);
        if !web.head.contains(" 101 ") {
            assert!(web.head.contains("\r\nSec-Websocket-Version: 13\r\n"), "{}", web.head);
        }
        web.head.split(' ').nth(1).unwrap().to_owned()
    }

    /// Sends a masked frame.
    pub fn frame(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match payload.len() {
            n @ 0..=125 => frame.push(0x80 | n as u8),
            n => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(n as u64).to_be_bytes());
            }
        }
        let key = [0x12, 0x34, 0x56, 0x78];
        frame.extend_from_slice(&key);
        frame.extend(payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k));
        self.raw(&frame);
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Sends text in one frame.
    pub fn send(&mut self, text: &str) {
        self.frame(0x82, text.as_bytes());
    }

    /// Sends one compressed message.
    pub fn send_compressed(&mut self, text: &[u8]) {
        let mut packed = Vec::new();
        Deflater::default().message(text, &mut packed);
        self.frame(0xC2, &packed);
    }

    /// The next frame; `None` at the end of the connection.
    pub fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 2];
        self.socket.read_exact(&mut head).ok()?;
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let mut long = [0; 8];
        let len = match head[1] {
            126 => {
                self.socket.read_exact(&mut long[6..]).unwrap();
                u64::from_be_bytes(long)
            }
            127 => {
                self.socket.read_exact(&mut long).unwrap();
                u64::from_be_bytes(long)
            }
            n => u64::from(n),
        };
        let mut payload = vec![0; len as usize];
        self.socket.read_exact(&mut payload).unwrap();
        Some(Frame { first: head[0], payload })
    }

    /// The next line of the protocol inside; the server's PINGs are left out.
    pub fn line(&mut self) -> String {
        loop {
            if let Some((line, rest)) = self.text.split_once("\r\n") {
                let (line, rest) = (line.to_owned(), rest.to_owned());
                self.text = rest;
                if line != "PING" {
                    return line;
                }
                continue;
            }
            let mut frame = self.next().expect("the connection is open");
            if frame.first == 0xC2 {
                frame.payload = inflate(&frame.payload);
                frame.first = 0x82;
            }
            assert_eq!(frame.first, 0x82, "{frame:?}");
            self.text.push_str(std::str::from_utf8(&frame.payload).unwrap());
        }
    }

    /// Reads to the end: the remaining lines, and the Close frame if there is one.
    pub fn end(&mut self) -> (Vec<String>, Option<(u16, String)>) {
        let mut close = None;
        let mut rest = std::mem::take(&mut self.text);
        while let Some(frame) = self.next() {
            assert_eq!(close, None, "nothing follows a Close");
            match frame.first {
                0x82 => rest.push_str(std::str::from_utf8(&frame.payload).unwrap()),
                0x88 => {
                    let code = frame.payload.first_chunk().map_or(0, |c| u16::from_be_bytes(*c));
                    close = Some((code, text(frame.payload.get(2..).unwrap_or_default())));
                }
                other => panic!("frame {other:x}"),
            }
        }
        let lines = rest.lines().filter(|l| *l != "PING").map(ToOwned::to_owned).collect();
        (lines, close)
    }
}

/// What a compressed message holds.
pub fn inflate(packed: &[u8]) -> Vec<u8> {
    let mut pool = Inflaters::default();
    let (mut inflater, all, scratch) = (pool.lend(), usize::MAX, &mut pool.scratch);
    let mut out = bytes::BytesMut::new();
    inflater.inflate(packed, &mut out, all, all, scratch).unwrap();
    assert!(inflater.finish(&mut out, all, all, scratch).unwrap());
    out.to_vec()
}
