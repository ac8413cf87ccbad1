//! Certificates for tests: an authority and what it signs, as PEM files in a
//! directory that goes away.

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose as Usage, Issuer, KeyPair, SanType,
};
use rustls::pki_types::CertificateDer;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An authority with a directory for files.
pub struct Pki {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    ca: CertificateDer<'static>,
}

impl Pki {
    /// A new authority, in `ca.pem`.
    pub fn new() -> Pki {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "Test CA");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("ca.pem"), cert.pem()).unwrap();
        Pki { dir, ca: cert.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Signs `name.pem` with the key `name.key`.
    pub fn sign(&self, name: &str, names: &[SanType], subject: &[(DnType, &str)]) {
        self.sign_with(name, names, subject, |_| {});
    }

    /// The same with this changed before.
    pub fn sign_with(
        &self,
        name: &str,
        names: &[SanType],
        subject: &[(DnType, &str)],
        change: impl FnOnce(&mut CertificateParams),
    ) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names.to_vec();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.extended_key_usages = vec![Usage::ServerAuth, Usage::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file(&format!("{name}.pem")), cert.pem()).unwrap();
        std::fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// The authority's key.
    pub fn key(&self) -> &KeyPair {
        self.issuer.key()
    }

    /// The certificate of this name.
    pub fn der(&self, name: &str) -> Vec<u8> {
        use rustls::pki_types::pem::PemObject;
        let cert = CertificateDer::from_pem_file(self.file(&format!("{name}.pem"))).unwrap();
        cert.as_ref().to_vec()
    }

    /// The key of this name.
    pub fn key_of(&self, name: &str) -> KeyPair {
        let pem = std::fs::read_to_string(self.file(&format!("{name}.key"))).unwrap();
        KeyPair::from_pem(&pem).unwrap()
    }

    /// A server's certificate for `127.0.0.1`, `localhost` and `more`.
    pub fn server(&self, name: &str, more: &[&str]) {
        let mut names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
        names.extend(["localhost"].iter().chain(more).map(|n| dns(n)));
        self.sign(name, &names, &[(DnType::CommonName, name)]);
    }

    /// A TLS configuration text with `server` and this inside.
    pub fn tls(&self, more: &str) -> String {
        let dir = self.dir.path().display();
        format!(
            "tls {{ cert_file: \"{dir}/server.pem\", key_file: \"{dir}/server.key\"\n{more} }}\n"
        )
    }

    /// `ca_file`.
    pub fn ca_file(&self) -> String {
        format!("ca_file: \"{}\"", self.file("ca.pem").display())
    }

    /// A client that trusts the authority; with the certificate of this name if
    /// it is not empty.
    pub fn client(&self, cert: &str) -> Arc<rustls::ClientConfig> {
        self.client_with(cert, rustls::DEFAULT_VERSIONS)
    }

    /// The same with these versions only.
    pub fn client_with(
        &self,
        cert: &str,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<rustls::ClientConfig> {
        use rustls::pki_types::PrivateKeyDer;
        use rustls::pki_types::pem::PemObject;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(if cert.is_empty() {
            builder.with_no_client_auth()
        } else {
            let chain = CertificateDer::from_pem_file(self.file(&format!("{cert}.pem"))).unwrap();
            let key = PrivateKeyDer::from_pem_file(self.file(&format!("{cert}.key"))).unwrap();
            builder.with_client_auth_cert(vec![chain], key).unwrap()
        })
    }
}

/// A DNS name.
pub fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// An e-mail address.
pub fn email(name: &str) -> SanType {
    SanType::Rfc822Name(name.try_into().unwrap())
}
