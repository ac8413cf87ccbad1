//! One TLS block made ready for use: its files read, its rules checked.

use super::files::{self, Certificates, Certified};
use super::rate::RateLimit;
use super::suites;
use crate::ocsp::{PeerCheck, Staple};
use gust_config::Options;
use gust_config::options::tls::{TlsOptions, TlsVersion};
use rustls::crypto::CryptoProvider;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Everything a listener needs for TLS. Immutable: a reload makes another one,
/// which new connections use while the old ones go on with theirs.
#[derive(Debug)]
pub struct TlsSettings {
    /// For connections of this listener.
    pub config: Arc<ServerConfig>,
    /// With the same certificates, but never asking for one (HTTPS monitoring).
    pub without_client_auth: Arc<ServerConfig>,
    /// The client must present a certificate.
    pub verify: bool,
    /// The certificate names the user.
    pub map: bool,
    /// Hex SHA-256 of accepted public keys; empty: all.
    pub pinned: BTreeSet<String>,
    /// Time for the handshake.
    pub timeout: Duration,
    /// The handshake comes before INFO.
    pub first: bool,
    /// … and if the client does not start it in this time, INFO comes first.
    pub fallback: Option<Duration>,
    /// Handshakes per second.
    pub rate: RateLimit,
    /// End of the (first) certificate's validity, ns since the epoch.
    pub not_after: Option<i64>,
    /// Statuses that are handed out with the certificates.
    pub staples: Vec<Arc<Staple>>,
    /// Clients with revoked certificates are refused.
    pub ocsp_peer: Option<PeerCheck>,
}

impl TlsSettings {
    /// Reads the files of `tls`, the block named `name`. What is configured but
    /// cannot be done is added to `warnings`; an error names file, place of the
    /// block and remedy.
    pub fn build(
        tls: &TlsOptions,
        name: &str,
        options: &Options,
        warnings: &mut Vec<String>,
    ) -> Result<Self, String> {
        let place = match &tls.at {
            Some(at) => format!("{name} at {at}"),
            None => name.to_owned(),
        };
        let mut notes = Vec::new();
        let provider = suites::provider(tls, &mut notes).map_err(|e| format!("{place}: {e}"))?;
        if !tls.pinned_certs.is_empty() && !tls.verify {
            notes.push(
                "pinned_certs without verify refuses every client, as none is asked for a \
                 certificate"
                    .to_owned(),
            );
        }
        let provider = Arc::new(provider);
        let ocsp_peer = PeerCheck::new(tls, &provider, &place)?;
        let mut certified = Vec::new();
        let mut staples = Vec::new();
        let mut not_after = None;
        for (file, key) in keys(tls, &provider, &place)? {
            if certified.is_empty() {
                not_after = key.cert.first().and_then(|c| gust_account::certificate::not_after(c));
            }
            let files = (file, tls.ca_file.as_str());
            let staple = Staple::new(options, &key, &provider, files, (&place, &mut notes))?;
            certified.push(match staple.map(Arc::new) {
                None => Certified::Plain(key),
                Some(staple) => {
                    staples.push(staple.clone());
                    Certified::Stapled(key, staple)
                }
            });
        }
        warnings.extend(notes.into_iter().map(|n| format!("{place}: {n}")));
        let resolver = Arc::new(Certificates(certified));
        let config = config(tls, &provider, &resolver, true, &place)?;
        let without_client_auth = config_for(tls, &provider, &resolver, &place)?;
        Ok(Self {
            config,
            without_client_auth,
            verify: tls.verify,
            map: tls.verify_and_map,
            pinned: tls.pinned_certs.clone(),
            timeout: Duration::from_nanos(tls.timeout_ns.max(1) as u64),
            first: tls.handshake_first,
            fallback: (tls.handshake_fallback_ns > 0)
                .then(|| Duration::from_nanos(tls.handshake_fallback_ns as u64)),
            rate: RateLimit::new(tls.connection_rate_limit),
            not_after,
            staples,
            ocsp_peer,
        })
    }
}

fn config_for(
    tls: &TlsOptions,
    provider: &Arc<CryptoProvider>,
    resolver: &Arc<Certificates>,
    place: &str,
) -> Result<Arc<ServerConfig>, String> {
    config(tls, provider, resolver, false, place)
}

/// The certificates with the names of their files.
fn keys<'a>(
    tls: &'a TlsOptions,
    provider: &CryptoProvider,
    place: &str,
) -> Result<Vec<(&'a str, Arc<CertifiedKey>)>, String> {
    let mut pairs: Vec<_> = tls.certs.iter().map(|(c, k)| (c.as_str(), k.as_str())).collect();
    if !tls.cert_file.is_empty() {
        pairs.push((&tls.cert_file, &tls.key_file));
    }
    if pairs.is_empty() {
        return Err(format!("{place}: no certificate: set cert_file and key_file"));
    }
    let load = |(cert, key): (&'a str, &str)| {
        Ok((cert, Arc::new(files::certified_key(provider, cert, key, place)?)))
    };
    pairs.into_iter().map(load).collect()
}

fn config(
    tls: &TlsOptions,
    provider: &Arc<CryptoProvider>,
    resolver: &Arc<Certificates>,
    ask: bool,
    place: &str,
) -> Result<Arc<ServerConfig>, String> {
    let versions: &[&rustls::SupportedProtocolVersion] = match tls.min_version {
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
        TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(|e| format!("{place}: {e}"))?;
    let builder = if ask && tls.verify {
        let roots = Arc::new(files::authorities(&tls.ca_file, place)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|e| format!("{place}: ca_file {}: {e}", tls.ca_file))?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_cert_resolver(resolver.clone());
    // Resuming spares a reconnecting client its certificates and us a signature.
    // The key of the tickets lives and dies with these settings: nobody resumes
    // a session that other rules had let in.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(|e| format!("{place}: {e}"))?;
    config.send_tls13_tickets = 1;
    // As Go's servers do: the order of `suites` decides, not the client's.
    config.ignore_client_order = true;
    Ok(Arc::new(config))
}
