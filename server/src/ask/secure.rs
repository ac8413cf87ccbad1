//! TLS towards the server that a command asks.

use super::address::Address;
use crate::tls::files;
use gust_config::cli::access::Access;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, Error, RootCertStore, StreamOwned};
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

/// A TLS session over its socket.
pub(super) type Secure = StreamOwned<ClientConnection, TcpStream>;

/// Shakes hands; the server's certificate must be for the host of `address`.
pub(super) fn shake(
    mut tcp: TcpStream,
    address: &Address,
    access: &Access,
) -> Result<Secure, String> {
    let name = ServerName::try_from(address.host.clone())
        .map_err(|_| format!("{:?} is no host that a certificate could name", address.host))?;
    let mut session = ClientConnection::new(Arc::new(config(access)?), name)
        .map_err(|e| format!("TLS with {address}: {e}"))?;
    while session.is_handshaking() {
        session
            .complete_io(&mut tcp)
            .map_err(|e| format!("TLS with {address}: {}", explained(&e, access)))?;
    }
    Ok(StreamOwned::new(session, tcp))
}

fn config(access: &Access) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(match &access.tls_ca {
        Some(file) => authorities(file)?,
        None => files::authorities("", "TLS")
            .map_err(|_| "this system has no authorities of its own; set --tlsca".to_owned())?,
    });
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
        .build()
        .map_err(|e| format!("--tlsca: {e}"))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_webpki_verifier(verifier);
    let (Some(cert), Some(key)) = (&access.tls_cert, &access.tls_key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("--tlscert", cert)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| format!("--tlskey {key}: {e}"))?;
    builder
        .with_client_auth_cert(chain, private)
        .map_err(|e| format!("--tlscert {cert} with --tlskey {key}: {e}"))
}

fn authorities(file: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for cert in certificates("--tlsca", file)? {
        roots.add(cert).map_err(|e| format!("--tlsca {file}: {e}"))?;
    }
    Ok(roots)
}

fn certificates(flag: &str, file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certs = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| format!("{flag} {file}: {e}"))?;
    if certs.is_empty() { Err(format!("{flag} {file} holds no certificate")) } else { Ok(certs) }
}

/// What went wrong, with the remedy where it is known.
pub(super) fn explained(e: &io::Error, access: &Access) -> String {
    let tls = e.get_ref().and_then(|e| e.downcast_ref::<Error>());
    let remedy = match tls {
        Some(Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => "; name the authority that signed the server's certificate with --tlsca",
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "; name the server as its certificate does",
        Some(Error::AlertReceived(_)) if access.tls_cert.is_none() => {
            "; if the server wants to see a certificate, present one with --tlscert and --tlskey"
        }
        Some(Error::AlertReceived(_)) => {
            "; the server does not accept the certificate of --tlscert"
        }
        Some(Error::InvalidMessage(_)) => "; it does not begin with a TLS handshake",
        _ => "",
    };
    format!("{e}{remedy}")
}
