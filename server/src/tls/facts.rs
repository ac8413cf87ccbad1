//! What is remembered of a handshake: for `/connz` and for the login.

use super::{Tls, TlsSettings, suites};
use gust_account::certificate::{Certificate, CertificateNames};
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use std::collections::BTreeSet;
use std::sync::Arc;

/// See the module documentation.
#[derive(Debug, Clone, Default)]
pub struct TlsFacts {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// IANA's name of the cipher suite.
    pub cipher: &'static str,
    /// The handshake came before INFO.
    pub first: bool,
    /// The client's certificates, its own first.
    pub peer: Vec<PeerCertificate>,
    /// Names of the client's certificate, where those name the user.
    pub names: Option<Arc<CertificateNames>>,
}

/// A certificate of the peer as `/connz` shows it.
#[derive(Debug, Clone, Default)]
pub struct PeerCertificate {
    /// Its subject.
    pub subject: String,
    /// Hex SHA-256 of its public key.
    pub spki_sha256: String,
    /// Hex SHA-256 of the whole.
    pub cert_sha256: String,
}

impl PeerCertificate {
    /// Of a certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        let cert = Certificate::parse(der).unwrap_or_default();
        Self {
            subject: cert.subject(),
            spki_sha256: hex_sha256(cert.public_key),
            cert_sha256: hex_sha256(der),
        }
    }
}

impl TlsFacts {
    /// After a handshake under `settings`. An error says why the peer's
    /// certificate is not accepted after all.
    pub fn of(tls: &Tls, settings: &TlsSettings, first: bool) -> Result<Self, String> {
        let state = tls.state();
        let chain: &[CertificateDer<'_>] = state.peer_certificates().unwrap_or_default();
        let peer: Vec<_> = chain.iter().map(|c| PeerCertificate::of(c)).collect();
        check_pins(&settings.pinned, peer.first())?;
        let names = || {
            let cert = chain.first().and_then(|c| Certificate::parse(c)).unwrap_or_default();
            Arc::new(cert.names())
        };
        let suite = state.negotiated_cipher_suite().and_then(|s| suites::suite_name(s.suite()));
        Ok(Self {
            version: suites::version_name(state.protocol_version()),
            cipher: suite.unwrap_or_default(),
            first,
            peer,
            names: settings.map.then(names),
        })
    }

    /// Whether the client's key is among `pinned`, if there are any. An error says
    /// what is wrong.
    pub fn is_pinned(&self, pinned: &BTreeSet<String>) -> Result<(), String> {
        check_pins(pinned, self.peer.first())
    }
}

fn check_pins(pinned: &BTreeSet<String>, peer: Option<&PeerCertificate>) -> Result<(), String> {
    match peer {
        _ if pinned.is_empty() => Ok(()),
        Some(c) if pinned.contains(&c.spki_sha256) => Ok(()),
        Some(c) => Err(format!(
            "certificate not pinned: {:?} has the key {}, which is not in pinned_certs",
            c.subject, c.spki_sha256
        )),
        None => Err("the client presented no certificate to compare with pinned_certs; set verify"
            .to_owned()),
    }
}

fn hex_sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}
