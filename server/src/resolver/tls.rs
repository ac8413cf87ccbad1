//! TLS towards a web server of tokens: `resolver_tls`, or the system's
//! authorities if there is none.

use crate::tls::{files, suites};
use gust_config::options::tls::{TlsOptions, TlsVersion};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
};
use std::sync::Arc;

/// The configuration for connections to the web server. An error names file,
/// place of the block and remedy.
pub fn client_config(tls: Option<&TlsOptions>) -> Result<Arc<ClientConfig>, String> {
    let plain = TlsOptions::default();
    let tls = tls.unwrap_or(&plain);
    let place = match &tls.at {
        Some(at) => format!("resolver_tls at {at}"),
        None => "resolver_tls".to_owned(),
    };
    let mut warnings = Vec::new();
    let provider = suites::provider(tls, &mut warnings).map_err(|e| format!("{place}: {e}"))?;
    for warning in warnings {
        tracing::warn!("{place}: {warning}");
    }
    let provider = Arc::new(provider);
    let versions: &[&SupportedProtocolVersion] = match tls.min_version {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let bad = |e: Error| format!("{place}: {e}");
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(versions).map_err(bad)?;
    let builder = if tls.insecure {
        tracing::warn!("{place}: insecure: whoever answers is believed to be the account server");
        let anybody = Arc::new(Anybody(provider.clone()));
        builder.dangerous().with_custom_certificate_verifier(anybody)
    } else {
        builder.with_root_certificates(files::authorities(&tls.ca_file, &place)?)
    };
    if tls.cert_file.is_empty() {
        return Ok(Arc::new(builder.with_no_client_auth()));
    }
    let key = files::certified_key(&provider, &tls.cert_file, &tls.key_file, &place)?;
    let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(key));
    Ok(Arc::new(builder.with_client_cert_resolver(resolver)))
}

/// Accepts every certificate, for `insecure`.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
