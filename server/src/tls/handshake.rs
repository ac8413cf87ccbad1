//! The handshake of one connection.
//!
//! A step (decrypting and, above all, signing: up to a millisecond with RSA)
//! runs while [`Shard::handshakes`] is held, which lets waiting handshakes in in
//! their order and is released only after everything else on the shard had its
//! turn. So a storm of reconnects gets one step between two turns of the
//! established clients, and never more. The wait for that lock does not count
//! towards a client's timeout: the server's queue is not the client's fault.
//!
//! Limits: [`MAX_RECEIVED`] bytes are held of what the peer sent, and nothing is
//! decrypted beyond the handshake but what came in the same packets.

use super::{Tls, TlsSettings};
use crate::ocsp::peer::REFUSED;
use crate::shard::Shard;
use crate::system;
use bytes::{Buf, BufMut, BytesMut};
use gust_wire::proxy::is_tls;
use std::future::Future;
use std::io;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Bytes of the peer's part of the handshake: a long certificate chain fits. With
/// the state of the connection it stays below 32 KiB for a peer nobody knows.
pub const MAX_RECEIVED: usize = 24 * 1024;
/// Bytes read at once.
const CHUNK: usize = 4 * 1024;

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The peer went away; port scans and load balancers do.
    #[error("the connection was closed during the handshake")]
    Closed,
    /// Not done in time.
    #[error("TLS handshake timeout")]
    Timeout,
    /// The peer sends without end.
    #[error("the handshake takes more than {MAX_RECEIVED} bytes")]
    TooLarge,
    /// The first bytes are no TLS.
    #[error("first record does not look like a TLS handshake; the client has to use TLS")]
    NotTls,
    /// rustls refused it.
    #[error("{0}{hint}", hint = hint(.0))]
    Tls(#[from] rustls::Error),
    /// The certificate is valid but not accepted.
    #[error("{0}")]
    Refused(String),
}

/// What to do about it.
fn hint(e: &rustls::Error) -> &'static str {
    use rustls::{CertificateError, Error, PeerIncompatible as Lacks};
    match e {
        Error::NoCertificatesPresented => {
            " (verify is set: the client needs a certificate signed by an authority in ca_file)"
        }
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => " (no authority in ca_file has signed the client's certificate)",
        Error::InvalidCertificate(CertificateError::Expired) => " (renew the client's certificate)",
        Error::PeerIncompatible(Lacks::NoCipherSuitesInCommon) => " (see cipher_suites)",
        Error::AlertReceived(_) => " (the client refused the server's certificate or terms)",
        _ => "",
    }
}

/// A finished handshake.
#[derive(Debug)]
pub struct Shaken {
    /// The session.
    pub tls: Box<Tls>,
    /// What the client said right behind its handshake.
    pub plain: BytesMut,
}

/// Shakes hands on `socket`; `raw` was read from it before.
pub async fn accept(
    shard: &Shard,
    socket: &TcpStream,
    settings: &TlsSettings,
    mut raw: BytesMut,
) -> Result<Shaken, HandshakeError> {
    let mut deadline = Instant::now() + settings.timeout;
    let mut tls = Box::new(Tls::new(settings.config.clone())?);
    let (mut plain, mut out) = (BytesMut::new(), Vec::new());
    loop {
        if let Some(first) = raw.first()
            && !is_tls(*first)
            && tls.state().protocol_version().is_none()
            && !matches!(first, 0x15 | 0x14)
        {
            return Err(HandshakeError::NotTls);
        }
        if !raw.is_empty() {
            let asked = Instant::now();
            let turn = shard.handshakes.lock().await;
            deadline += asked.elapsed();
            let result = tls.receive(&mut raw, &mut plain, &mut out);
            tokio::task::yield_now().await;
            drop(turn);
            if let Err(e) = result {
                // The alert tells the client why; it fits into any socket.
                let _ = socket.try_write(&out);
                return Err(e.into());
            }
        }
        within(deadline, write(socket, &out)).await?;
        out = Vec::new();
        if !tls.is_handshaking() {
            tls.keep(&raw);
            return Ok(Shaken { tls, plain });
        }
        let room = MAX_RECEIVED.saturating_sub(raw.len()).min(CHUNK);
        if room == 0 {
            return Err(HandshakeError::TooLarge);
        }
        within(deadline, read(socket, &mut raw, room)).await?;
    }
}

/// Refuses a client whose certificates are revoked, where that is asked for.
pub async fn check_revocation(
    shard: &Shard,
    tls: &Tls,
    settings: &TlsSettings,
) -> Result<(), HandshakeError> {
    let Some(check) = &settings.ocsp_peer else { return Ok(()) };
    let chain = tls.state().peer_certificates().unwrap_or_default();
    check.check(chain, &shard.server.tls.statuses).await.map_err(|invalid| {
        system::ocsp::rejected(shard, &invalid);
        HandshakeError::Refused(format!("{REFUSED}: {}", invalid.reason))
    })
}

async fn within<T>(
    deadline: Instant,
    f: impl Future<Output = io::Result<T>>,
) -> Result<T, HandshakeError> {
    match timeout_at(deadline, f).await {
        Err(_) => Err(HandshakeError::Timeout),
        Ok(Err(_)) => Err(HandshakeError::Closed),
        Ok(Ok(v)) => Ok(v),
    }
}

/// Appends what comes next, at most `room` bytes; the end is an error.
pub async fn read(socket: &TcpStream, into: &mut BytesMut, room: usize) -> io::Result<()> {
    into.reserve(room);
    loop {
        socket.readable().await?;
        match socket.try_read_buf(&mut (&mut *into).limit(room)) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
}

/// Writes all of `bytes`.
pub async fn write(socket: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match socket.try_write(bytes) {
            Ok(n) => bytes.advance(n),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => socket.writable().await?,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
