//! TLS on both sides of a scenario: a certificate made for the run, and the
//! client's half of the handshake.

use anyhow::{Context, Result};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

/// A connection with or without TLS.
pub enum Socket {
    /// Bytes as they are.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Socket {
    /// The socket below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Socket::Plain(s) => s,
            Socket::Tls(s) => &s.sock,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Socket::Plain(s) => s.read(buf),
            Socket::Tls(s) => s.read(buf),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        match self {
            Socket::Plain(s) => s.write(buf),
            Socket::Tls(s) => s.write(buf),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Socket::Plain(s) => s.flush(),
            Socket::Tls(s) => s.flush(),
        }
    }
}

/// Writes a self-signed certificate for localhost (ECDSA P-256) and its key to
/// `dir` and returns what a client needs to trust it.
pub fn make(dir: &Path) -> Result<Arc<ClientConfig>> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    std::fs::write(dir.join("cert.pem"), made.cert.pem())?;
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(made.cert.der().to_vec()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // Each connection of a scenario pays for a full handshake.
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// The server's `tls` block for what [`make`] wrote.
pub fn block(dir: &Path) -> Result<String> {
    let dir = std::path::absolute(dir)?;
    Ok(format!(
        "tls {{ cert_file: \"{0}/cert.pem\", key_file: \"{0}/key.pem\", timeout: 30 }}\n",
        dir.display()
    ))
}

/// Reads INFO in the clear, as a NATS server sends it, and upgrades.
pub fn upgrade(mut tcp: TcpStream, config: &Arc<ClientConfig>) -> Result<Socket> {
    let mut byte = [0];
    while byte[0] != b'\n' {
        tcp.read_exact(&mut byte).context("reading INFO")?;
    }
    let name = ServerName::try_from("localhost")?;
    let mut connection = ClientConnection::new(config.clone(), name)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp).context("TLS handshake")?;
    }
    Ok(Socket::Tls(Box::new(StreamOwned::new(connection, tcp))))
}
