//! Certificates, keys and authorities from PEM files, and the choice among
//! several certificates.

use crate::ocsp::Staple;
use rustls::RootCertStore;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Bundles of the system's authorities, where `verify` comes without `ca_file`.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A certificate chain with its key. `place` is where the block stands.
pub fn certified_key(
    provider: &CryptoProvider,
    cert_file: &str,
    key_file: &str,
    place: &str,
) -> Result<CertifiedKey, String> {
    let chain = certificates("cert_file", cert_file, place)?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|e| match e {
        PemError::NoItemsFound => format!(
            "{place}: key_file {key_file} holds no private key; it needs one in PEM without a \
             passphrase"
        ),
        e => unreadable("key_file", key_file, place, &e),
    })?;
    let key = provider.key_provider.load_private_key(key).map_err(|e| {
        format!(
            "{place}: the key in {key_file} cannot be used ({e}); RSA from 2048 bits, ECDSA P-256 \
             or P-384 and Ed25519 can"
        )
    })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err(format!(
                "{place}: the key in {key_file} does not belong to the first certificate in \
                 {cert_file}; the server's own certificate has to come first"
            ));
        }
        Err(e) => return Err(format!("{place}: cert_file {cert_file} cannot be used: {e}")),
    }
    Ok(certified)
}

/// All certificates of a file.
fn certificates(
    key: &str,
    file: &str,
    place: &str,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let certs = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| unreadable(key, file, place, &e))?;
    if certs.is_empty() {
        return Err(format!("{place}: {key} {file} holds no certificate in PEM"));
    }
    Ok(certs)
}

fn unreadable(key: &str, file: &str, place: &str, e: &PemError) -> String {
    match e {
        PemError::Io(e) => format!(
            "{place}: {key} {file} cannot be read: {e}; relative paths start at the directory the \
             server was started in"
        ),
        e => format!("{place}: {key} {file} is no valid PEM: {e}"),
    }
}

/// The certificates in `ca_file`, or the system's if it is empty.
pub fn authority_certificates(
    ca_file: &str,
    place: &str,
) -> Result<Vec<CertificateDer<'static>>, String> {
    if !ca_file.is_empty() {
        return certificates("ca_file", ca_file, place);
    }
    let env = std::env::var("SSL_CERT_FILE").ok();
    let file = env
        .as_deref()
        .into_iter()
        .chain(SYSTEM_BUNDLES)
        .find(|f| std::fs::metadata(f).is_ok_and(|m| m.is_file()));
    match file {
        Some(file) => certificates("SSL_CERT_FILE", file, place),
        None => {
            Err(format!("{place}: the authorities that sign certificates are missing: set ca_file"))
        }
    }
}

/// The authorities of `ca_file`, or the system's if it is empty.
pub fn authorities(ca_file: &str, place: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let certificates = authority_certificates(ca_file, place)?;
    if ca_file.is_empty() {
        roots.add_parsable_certificates(certificates);
        return Ok(roots);
    }
    for cert in certificates {
        roots
            .add(cert)
            .map_err(|e| format!("{place}: a certificate in ca_file {ca_file} is invalid: {e}"))?;
    }
    Ok(roots)
}

/// A certificate of the server, alone or with its OCSP status.
#[derive(Debug)]
pub enum Certified {
    /// Without a status.
    Plain(Arc<CertifiedKey>),
    /// Only together with a valid status.
    Stapled(Arc<CertifiedKey>, Arc<Staple>),
}

impl Certified {
    fn key(&self) -> &Arc<CertifiedKey> {
        match self {
            Self::Plain(key) | Self::Stapled(key, _) => key,
        }
    }

    /// What a client gets; `None` while the status is missing.
    fn present(&self) -> Option<Arc<CertifiedKey>> {
        match self {
            Self::Plain(key) => Some(key.clone()),
            Self::Stapled(_, staple) => staple.key(),
        }
    }
}

/// Chooses among several certificates: the first that carries the name the
/// client asks for and whose key it can check, else the first it can check,
/// else the first.
#[derive(Debug)]
pub struct Certificates(pub Vec<Certified>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if self.0.len() == 1 {
            return self.0.first()?.present();
        }
        let name = hello.server_name().and_then(|n| ServerName::try_from(n).ok());
        let signs = |c: &Certified| c.key().key.choose_scheme(hello.signature_schemes()).is_some();
        let named = |c: &Certified| match (&name, c.key().cert.first()) {
            (None, _) => true,
            (Some(name), Some(cert)) => ParsedCertificate::try_from(cert)
                .is_ok_and(|cert| verify_server_name(&cert, name).is_ok()),
            (Some(_), None) => false,
        };
        let best = self.0.iter().find(|k| signs(k) && named(k));
        best.or_else(|| self.0.iter().find(|k| signs(k))).or_else(|| self.0.first())?.present()
    }
}
