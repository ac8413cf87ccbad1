//! What a peer costs that has not logged in and stops in the middle of what it
//! says: resident memory per peer, after all of them are there.

use crate::measure::Sample;
use crate::server::{Mode, Server, Setup};
use crate::tls::Socket;
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

/// Where a peer stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// After it connected.
    Silent,
    /// In a CONNECT line, just below the limit of a line.
    Connect,
    /// In a PROXY header of text.
    ProxyText,
    /// In a binary PROXY header, just below what Gust takes of one.
    ProxyBinary,
    /// In the headers of a WebSocket upgrade.
    Upgrade,
    /// In a CONNECT line in a WebSocket frame.
    WebSocket,
    /// Where the TLS handshake is to begin.
    TlsSilent,
    /// In a ClientHello of one record.
    Hello,
    /// In a ClientHello of several records, just below what Gust takes of one.
    LongHello,
    /// After the TLS handshake.
    TlsIdle,
    /// In a CONNECT line over TLS.
    TlsConnect,
    /// In a TLS record of full size behind that.
    TlsRecord,
}

/// A user there has to be, and a minute to say which.
const LOGIN: &str = "authorization { user: a, password: a, timeout: 60 }\n";
/// What a client behind a proxy that knows nothing about it says first.
const FROM_PROXY: &[u8] = b"PROXY TCP4 127.0.0.1 127.0.0.1 1000 1001\r\n";

impl Peer {
    fn tls(self) -> bool {
        use Peer::{Hello, LongHello, TlsConnect, TlsIdle, TlsRecord, TlsSilent};
        matches!(self, TlsSilent | Hello | LongHello | TlsIdle | TlsConnect | TlsRecord)
    }

    /// The server it connects to, and the port of WebSocket clients.
    fn setup(self) -> Result<(Setup, u16)> {
        let websocket = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut setup = Setup {
            tls: self.tls(),
            config: LOGIN.to_owned(),
            login: "\"user\":\"a\",\"pass\":\"a\",".to_owned(),
            ..Setup::default()
        };
        match self {
            Peer::ProxyText | Peer::ProxyBinary => {
                setup.config.push_str("proxy_protocol: true\n");
                setup.first = FROM_PROXY;
            }
            Peer::Upgrade | Peer::WebSocket => setup.config.push_str(&format!(
                "websocket {{ listen: \"127.0.0.1:{websocket}\", no_tls: true, \
                 handshake_timeout: \"60s\", authorization {{ timeout: 60 }} }}\n"
            )),
            _ => {}
        }
        Ok((setup, websocket))
    }

    /// Connects and says what it says.
    fn arrive(self, server: &Server, websocket: u16) -> Result<Socket> {
        let mut tcp = match self {
            Peer::Upgrade | Peer::WebSocket => TcpStream::connect(("127.0.0.1", websocket))?,
            _ => TcpStream::connect(&server.access.addr)?,
        };
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(Duration::from_secs(30)))?;
        match self {
            Peer::Silent | Peer::TlsSilent => {
                line(&mut tcp)?;
            }
            Peer::Connect => {
                line(&mut tcp)?;
                tcp.write_all(&connect())?;
            }
            Peer::ProxyText => tcp.write_all(b"PROXY TCP4 192.168.100.")?,
            Peer::ProxyBinary => {
                tcp.write_all(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x3f\x00")?;
                tcp.write_all(&[7; 15 << 10])?;
            }
            Peer::Upgrade => {
                let mut half = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Filler: ".to_vec();
                half.resize(8000, b'x');
                tcp.write_all(&half)?;
            }
            Peer::WebSocket => {
                tcp.write_all(
                    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                      Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                )?;
                while line(&mut tcp).is_ok_and(|n| n > 2) {}
                // A masked binary frame of 60,000 bytes, its mask all zeros.
                tcp.write_all(b"\x82\xfe\xea\x60\0\0\0\0")?;
                tcp.write_all(&connect())?;
            }
            Peer::Hello => {
                line(&mut tcp)?;
                tcp.write_all(b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03")?;
                tcp.write_all(&[5; 8 << 10])?;
            }
            Peer::LongHello => {
                line(&mut tcp)?;
                tcp.write_all(b"\x16\x03\x01\x40\x00\x01\x00\xff\xff\x03\x03")?;
                tcp.write_all(&[5; (16 << 10) - 6])?;
                tcp.write_all(b"\x16\x03\x03\x3f\x00")?;
                tcp.write_all(&[5; 7 << 10])?;
            }
            Peer::TlsIdle | Peer::TlsConnect | Peer::TlsRecord => {
                let config = server.access.tls.as_ref().context("no TLS")?;
                let mut socket = crate::tls::upgrade(tcp, config)?;
                if self != Peer::TlsIdle {
                    socket.write_all(&connect())?;
                }
                if self == Peer::TlsRecord {
                    let mut tcp = socket.tcp();
                    tcp.write_all(b"\x17\x03\x03\x41\x00")?;
                    tcp.write_all(&[5; 16_600])?;
                }
                return Ok(socket);
            }
        }
        Ok(Socket::Plain(tcp))
    }
}

/// A CONNECT line of 4,000 bytes without its end.
fn connect() -> Vec<u8> {
    let mut half = b"CONNECT {\"user\":\"".to_vec();
    half.resize(4000, b'a');
    half
}

/// Reads a line; how long it was.
fn line(tcp: &mut TcpStream) -> Result<usize> {
    let (mut byte, mut n) = ([0], 0);
    while byte[0] != b'\n' {
        tcp.read_exact(&mut byte).context("waiting for a line of the server")?;
        n += 1;
    }
    Ok(n)
}

/// Resident memory per peer, with `n` of them.
pub fn memory(program: &Path, mode: Mode, peer: Peer, n: u64) -> Result<Sample> {
    let (setup, websocket) = peer.setup()?;
    let server = Server::start(program, mode, &setup)?;
    // What the first peers need once (tables, threads' caches) is not theirs.
    let first: Vec<_> = (0..8).map(|_| peer.arrive(&server, websocket)).collect::<Result<_>>()?;
    std::thread::sleep(Duration::from_millis(500));
    let before = server.cost()?;
    let peers: Vec<_> = (0..n).map(|_| peer.arrive(&server, websocket)).collect::<Result<_>>()?;
    std::thread::sleep(Duration::from_secs(2));
    let after = server.cost()?;
    drop((first, peers));
    let per_peer = (after.rss.saturating_sub(before.rss)) as f64 / n as f64;
    Ok(Sample {
        rate: 1.0 / per_peer.max(1.0),
        cpu_us: (after.cpu_us - before.cpu_us) / n as f64,
        rss: after.rss,
        per_peer: Some(per_peer),
        ..Sample::default()
    })
}
