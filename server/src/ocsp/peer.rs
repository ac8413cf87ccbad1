//! `ocsp_peer`: whether the certificates of a client are revoked.
//!
//! Asked after the handshake and before the first line of the protocol is read, so
//! that only the client in question waits. Its chain up to an authority of `ca_file`
//! is looked at; certificates that name no responder pass. Limits: [`MOST_LINKS`], and
//! [`LONGEST`] or twice `ca_timeout` for all of it.

use super::cache::Cache;
use super::certificate::{Algorithms, Certificate};
use super::fetch::{self, AskError, Method};
use super::response::{self, Answer, AnswerError, Status};
use crate::clock;
use crate::tls::files;
use gust_config::options::ocsp::OcspPeer;
use gust_config::options::tls::TlsOptions;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use std::time::Duration;
use tokio::time::timeout;

/// Certificates between a client's and its authority.
const MOST_LINKS: usize = 8;
/// Time for all questions about one client.
const LONGEST: Duration = Duration::from_secs(30);
/// What a refused client's log line says.
pub const REFUSED: &str = "client not OCSP valid";

/// See the module documentation.
#[derive(Debug)]
pub struct PeerCheck {
    rules: OcspPeer,
    authorities: Vec<Certificate>,
    algorithms: Algorithms,
}

/// A certificate with the one that signed it.
#[derive(Debug, Clone)]
pub struct Link {
    /// The certificate.
    pub cert: Certificate,
    /// Its issuer's.
    pub issuer: Certificate,
}

/// Why a client is not let in.
#[derive(Debug)]
pub struct Invalid {
    /// The client's certificate and the one at fault; `None` if they are not what
    /// they have to be.
    pub links: Option<Box<(Link, Link)>>,
    /// What is wrong with it.
    pub reason: String,
}

impl PeerCheck {
    /// Checks as the block `tls` says; `None` if it does not ask for that.
    pub fn new(
        tls: &TlsOptions,
        provider: &CryptoProvider,
        place: &str,
    ) -> Result<Option<Self>, String> {
        let Some(rules) = tls.ocsp_peer.clone() else { return Ok(None) };
        if !tls.verify {
            return Err(format!(
                "{place}: OCSP peer verification for client connections requires TLS verify (mTLS) \
                 to be enabled: add verify to the block with ocsp_peer"
            ));
        }
        let authorities = files::authority_certificates(&tls.ca_file, place)?;
        let authorities = authorities.iter().filter_map(|der| Certificate::parse(der)).collect();
        let algorithms = provider.signature_verification_algorithms.all;
        Ok(Some(Self { rules, authorities, algorithms }))
    }

    /// Whether a client with these certificates, its own first, may come in. TLS
    /// has verified them before.
    pub async fn check(&self, chain: &[CertificateDer<'_>], cache: &Cache) -> Result<(), Invalid> {
        let Some(links) = self.links(chain) else {
            let reason = "the certificates cannot be put in order up to ca_file".to_owned();
            return Err(Invalid { links: None, reason });
        };
        let limit = LONGEST.max(self.ca_timeout().saturating_mul(2));
        let Some(peer) = links.first() else { return Ok(()) };
        for link in links.iter().filter(|l| !l.cert.responders.is_empty()) {
            let result = match timeout(limit, self.is_good(link, cache)).await {
                Ok(result) => result,
                Err(_) => self.forgive(link, "Failed OCSP response fetch".to_owned()),
            };
            if let Err(reason) = result {
                let links = Some(Box::new((peer.clone(), link.clone())));
                return Err(Invalid { links, reason });
            }
        }
        Ok(())
    }

    /// The chain up to an authority; empty if the client's certificate is one itself.
    fn links(&self, chain: &[CertificateDer<'_>]) -> Option<Vec<Link>> {
        let mut cert = Certificate::parse(chain.first()?)?;
        let others: Vec<_> =
            chain.iter().skip(1).take(MOST_LINKS).filter_map(|d| Certificate::parse(d)).collect();
        let is_authority = |cert: &Certificate| self.authorities.iter().any(|a| a.der == cert.der);
        let mut links = Vec::new();
        while !is_authority(&cert) {
            if links.len() == MOST_LINKS {
                return None;
            }
            let mut above = self.authorities.iter().chain(&others);
            let issuer = above.find(|c| cert.is_signed_by(c, self.algorithms))?.clone();
            links.push(Link { cert, issuer: issuer.clone() });
            cert = issuer;
        }
        Some(links)
    }

    fn ca_timeout(&self) -> Duration {
        Duration::from_nanos(self.rules.ca_timeout_ns.max(1).unsigned_abs())
    }

    fn is_current(&self, answer: &Answer) -> Result<(), AnswerError> {
        const SECOND: i64 = 1_000_000_000;
        let skew = self.rules.allowed_clockskew_ns / SECOND;
        let ttl = self.rules.cache_ttl_when_next_update_unset_ns / SECOND;
        answer.check_time(clock::now() / SECOND, skew, Some(ttl))
    }

    /// The error is the reason that events give.
    async fn is_good(&self, link: &Link, cache: &Cache) -> Result<(), String> {
        let (cert, issuer) = (link.cert.fingerprint(), link.issuer.fingerprint());
        let current = |a: &Answer| self.is_current(a).is_ok();
        if let Some(der) = cache.take_read(&cert)
            && let Ok(answer) = self.verify(&der, link)
        {
            cache.keep(&cert, &issuer, &name(link), &answer);
        }
        let mut was_revoked = false;
        let kept = match cache.look(&cert, &issuer, current) {
            Some((answer, true)) => Some(answer),
            Some((answer, false)) => {
                was_revoked = answer.status == Status::Revoked;
                None
            }
            None => None,
        };
        let answer = match kept {
            Some(answer) => answer,
            None => {
                let subject = name(link);
                match cache.ask(&cert, &issuer, &subject, current, self.ask(link)).await {
                    Ok(answer) => answer,
                    Err(e) => return self.without_answer(link, &e, was_revoked),
                }
            }
        };
        match answer.status {
            Status::Good => Ok(()),
            Status::Unknown if self.rules.unknown_is_good => Ok(()),
            status => {
                tracing::warn!("OCSP verify fail for [{}] with CA status [{status}]", name(link));
                self.forgive(link, format!("Invalid OCSP response status: {status}"))
            }
        }
    }

    fn verify(&self, der: &[u8], link: &Link) -> Result<Answer, AnswerError> {
        let now = clock::now() / 1_000_000_000;
        Answer::verify(der, &link.cert, &link.issuer, self.algorithms, now)
    }

    async fn ask(&self, link: &Link) -> Result<Answer, AskError> {
        let request = response::request(&link.cert, &link.issuer)
            .map_err(|text| AskError { text, answered: None })?;
        let check = |der: &[u8]| {
            let answer = self.verify(der, link)?;
            self.is_current(&answer).map(|()| answer)
        };
        let ways = [Method::Get, Method::Post];
        fetch::ask(&link.cert.responders, &request, ways, self.ca_timeout(), check).await
    }

    fn without_answer(&self, link: &Link, e: &AskError, was_revoked: bool) -> Result<(), String> {
        let name = name(link);
        tracing::warn!(
            "Attempt to obtain OCSP response from CA responder for [{name}] failed: {e}"
        );
        let reason = match &e.answered {
            Some(AnswerError::Expired(_) | AnswerError::Future(_)) => {
                "OCSP response not in effectivity window"
            }
            Some(_) => "Failed OCSP response parse",
            None => "Failed OCSP response fetch",
        };
        // Who gets an answer through, if a wrong one, is not unreachable.
        if self.rules.allow_when_ca_unreachable && e.answered.is_none() && !self.rules.warn_only {
            if !was_revoked {
                tracing::warn!(
                    "[{name}] is let in because of allow_when_ca_unreachable; no revocation is \
                     remembered"
                );
                return Ok(());
            }
            tracing::warn!(
                "[{name}] is refused in spite of allow_when_ca_unreachable: its revocation is \
                 remembered"
            );
        }
        self.forgive(link, reason.to_owned())
    }

    /// With `warn_only` nothing is refused.
    fn forgive(&self, link: &Link, reason: String) -> Result<(), String> {
        if !self.rules.warn_only {
            return Err(reason);
        }
        tracing::warn!("OCSP verify fail for [{}] but warn_only is set so allowing", name(link));
        Ok(())
    }
}

/// The subject, for the log.
fn name(link: &Link) -> String {
    subject(&link.cert)
}

/// The subject of a certificate as text.
pub fn subject(cert: &Certificate) -> String {
    let parsed = gust_account::certificate::Certificate::parse(&cert.der);
    parsed.map(|c| c.subject()).unwrap_or_default()
}
