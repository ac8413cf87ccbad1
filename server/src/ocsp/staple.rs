//! The status of one certificate of the server, handed out in the handshake.
//!
//! It comes from the certificate's responders, or those that `ocsp.urls` names,
//! and is kept in `store_dir/ocsp/<sha256 of the certificate>`, so that a restart
//! needs no responder. A certificate with stapling is only presented together with
//! a status that is valid: without one, handshakes fail until a responder answers.

use super::certificate::Certificate;
use super::fetch::{self, Method};
use super::response::{self, Answer, AnswerError, MAX_RESPONSE, Status};
use crate::clock;
use crate::tls::files;
use arc_swap::ArcSwapOption;
use gust_config::Options;
use gust_config::options::ocsp::OcspMode;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Time for one request to a responder.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How far a responder's clock may be ahead, seconds.
const SKEW: i64 = 30;
/// Directory below `store_dir`.
const DIRECTORY: &str = "ocsp";

/// See the module documentation.
#[derive(Debug)]
pub struct Staple {
    /// The file the certificate came from, for the log.
    pub cert_file: String,
    /// The server has to stop when the certificate is revoked.
    pub enforced: bool,
    cert: Certificate,
    issuer: Certificate,
    urls: Vec<String>,
    file: Option<PathBuf>,
    key: Arc<CertifiedKey>,
    provider: Arc<CryptoProvider>,
    current: ArcSwapOption<Current>,
}

#[derive(Debug)]
struct Current {
    answer: Answer,
    key: Arc<CertifiedKey>,
}

/// Where a status came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Memory or disk.
    Kept,
    /// A responder.
    Asked,
}

impl Staple {
    /// What `ocsp` says about `key`, which `cert_file` holds: `None` if nothing is
    /// stapled. Asks nobody yet. `place` is where the block stands.
    pub fn new(
        options: &Options,
        key: &Arc<CertifiedKey>,
        provider: &Arc<CryptoProvider>,
        (cert_file, ca_file): (&str, &str),
        (place, notes): (&str, &mut Vec<String>),
    ) -> Result<Option<Self>, String> {
        let mode = options.ocsp.as_ref().map(|o| o.mode);
        let leaf = key.cert.first().and_then(|der| Certificate::parse(der));
        let Some(cert) = leaf else {
            return match mode {
                Some(OcspMode::Always) => Err(format!(
                    "{place}: cert_file {cert_file}: the certificate cannot be read for OCSP"
                )),
                _ => Ok(None),
            };
        };
        let enforced = match mode {
            Some(OcspMode::Never) => {
                if cert.must_staple {
                    notes.push(format!(
                        "Certificate at '{cert_file}' has MustStaple but OCSP is disabled"
                    ));
                }
                return Ok(None);
            }
            Some(OcspMode::Always) => true,
            _ if !cert.must_staple => return Ok(None),
            Some(OcspMode::Must) => true,
            Some(OcspMode::Auto) | None => false,
        };
        let issuer = issuer(&cert, key, provider, ca_file, place)?;
        let given = options.ocsp.as_ref().map(|o| o.urls.clone()).unwrap_or_default();
        let urls = if given.is_empty() { cert.responders.clone() } else { given };
        let store = &options.jetstream.store_dir;
        let name = data_encoding::HEXLOWER.encode(&cert.fingerprint());
        let file = (!store.is_empty()).then(|| Path::new(store).join(DIRECTORY).join(name));
        Ok(Some(Self {
            cert_file: cert_file.to_owned(),
            enforced,
            cert,
            issuer,
            urls,
            file,
            key: key.clone(),
            provider: provider.clone(),
            current: ArcSwapOption::empty(),
        }))
    }

    /// The certificate with its status; `None` while none is valid.
    pub fn key(&self) -> Option<Arc<CertifiedKey>> {
        let current = self.current.load();
        let current = current.as_ref()?;
        check(&current.answer).is_ok().then(|| current.key.clone())
    }

    /// The status last obtained.
    pub fn answer(&self) -> Option<Answer> {
        self.current.load().as_ref().map(|c| c.answer.clone())
    }

    /// Gets a first status: what `before`, for the same certificate, knows or the
    /// disk keeps if it is good and valid, else the responder's.
    pub async fn obtain(&self, before: &[Arc<Staple>]) -> Result<Origin, String> {
        let mut before = before.iter().filter(|b| b.cert.der == self.cert.der);
        let kept = before.find_map(|b| b.answer()).filter(|a| check(a).is_ok());
        let kept = kept.or_else(|| self.read());
        let origin = match kept {
            Some(answer) if answer.status == Status::Good => {
                self.put(answer);
                Origin::Kept
            }
            kept => match (self.ask().await, kept) {
                (Ok(answer), _) => {
                    self.put(answer);
                    Origin::Asked
                }
                (Err(_), Some(answer)) => {
                    self.put(answer);
                    Origin::Kept
                }
                (Err(e), None) => {
                    return Err(format!(
                        "bad OCSP status update for certificate at '{}': {e}",
                        self.cert_file
                    ));
                }
            },
        };
        match self.answer() {
            Some(Answer { status: status @ (Status::Revoked | Status::Unknown), .. })
                if self.enforced =>
            {
                Err(format!(
                    "found existing OCSP status for certificate at '{}': {status}",
                    self.cert_file
                ))
            }
            _ => Ok(origin),
        }
    }

    /// Asks a responder and hands out what it says from now on.
    pub async fn refresh(&self) -> Result<Answer, String> {
        let answer = self.ask().await?;
        self.put(answer.clone());
        Ok(answer)
    }

    async fn ask(&self) -> Result<Answer, String> {
        let request = response::request(&self.cert, &self.issuer)?;
        let check = |der: &[u8]| {
            let answer = self.verify(der)?;
            check(&answer).map(|()| answer)
        };
        let ways = [Method::Post, Method::Get];
        let answer = fetch::ask(&self.urls, &request, ways, REQUEST_TIMEOUT, check).await;
        let answer = answer.map_err(|e| e.text)?;
        if let Err((file, e)) = self.write(&answer.der) {
            // It only matters at the next start.
            tracing::warn!("OCSP status cannot be kept in {}: {e}", file.display());
        }
        Ok(answer)
    }

    fn verify(&self, der: &[u8]) -> Result<Answer, AnswerError> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        Answer::verify(der, &self.cert, &self.issuer, algorithms, now())
    }

    fn put(&self, answer: Answer) {
        let mut key = CertifiedKey::new(self.key.cert.clone(), self.key.key.clone());
        key.ocsp = Some(answer.der.clone());
        self.current.store(Some(Arc::new(Current { answer, key: Arc::new(key) })));
    }

    /// What the disk keeps, if it is still valid.
    fn read(&self) -> Option<Answer> {
        let file = std::fs::File::open(self.file.as_ref()?).ok()?;
        let mut der = Vec::new();
        file.take(MAX_RESPONSE as u64).read_to_end(&mut der).ok()?;
        self.verify(&der).ok().filter(|a| check(a).is_ok())
    }

    fn write(&self, der: &[u8]) -> Result<(), (PathBuf, std::io::Error)> {
        let Some(path) = &self.file else { return Ok(()) };
        let write = || {
            if let Some(dir) = path.parent() {
                std::fs::create_dir_all(dir)?;
            }
            // A name of its own: several listeners may have the certificate.
            let [n] = clock::secret::<1>();
            let temporary = path.with_extension(format!("{n:02x}.tmp"));
            let mut file = std::fs::File::create(&temporary)?;
            file.write_all(der)?;
            file.sync_all()?;
            std::fs::rename(&temporary, path)
        };
        write().map_err(|e| (path.clone(), e))
    }
}

/// Whether clients can accept `answer` now. Only its beginning is seen generously:
/// after its end they need not.
fn check(answer: &Answer) -> Result<(), AnswerError> {
    match answer.next_update {
        Some(end) if end < now() => Err(AnswerError::Expired(end)),
        _ => answer.check_time(now(), SKEW, None),
    }
}

/// Seconds since the epoch.
fn now() -> i64 {
    clock::now() / 1_000_000_000
}

/// The certificate of `cert`'s issuer: behind it in its file, or in `ca_file`, or
/// among the system's authorities if there is none.
fn issuer(
    cert: &Certificate,
    key: &CertifiedKey,
    provider: &CryptoProvider,
    ca_file: &str,
    place: &str,
) -> Result<Certificate, String> {
    let algorithms = provider.signature_verification_algorithms.all;
    let signs = |der: &[u8]| {
        Certificate::parse(der).filter(|c| c.is_ca && cert.is_signed_by(c, algorithms))
    };
    let behind = key.cert.iter().skip(1).find_map(|der| signs(der));
    let found = match behind {
        Some(found) => Some(found),
        None => files::authority_certificates(ca_file, place)?.iter().find_map(|der| signs(der)),
    };
    found.ok_or_else(|| {
        format!(
            "{place}: OCSP needs the certificate of the authority that issued the server's; put it \
             behind the server's in cert_file or into ca_file"
        )
    })
}
