//! The question and the answer about one certificate (RFC 6960).

use super::certificate::{Algorithms, Certificate, Signed, content, encode, parts};
use der::asn1::{Null, ObjectIdentifier, OctetString};
use der::{Any, Decode};
use ring::digest::{self, digest};
use std::fmt;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{
    CertId, CertStatus, OcspRequest, OcspResponse, OcspResponseStatus, Request, ResponseData,
    TbsRequest, Version,
};

/// Longest answer: one with a long delegate's chain is below.
pub const MAX_RESPONSE: usize = 32 * 1024;
/// Certificates in an answer that are looked at.
const MOST_SIGNERS: usize = 4;

const OCSP_BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");

/// What the responder says of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not revoked.
    Good,
    /// Revoked.
    Revoked,
    /// The responder does not know the certificate.
    Unknown,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Revoked => "revoked",
            Self::Unknown => "unknown",
        })
    }
}

/// An answer whose signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it says.
    pub status: Status,
    /// From when on, seconds since the epoch.
    pub this_update: i64,
    /// When there is news at the latest, seconds since the epoch.
    pub next_update: Option<i64>,
    /// As it came.
    pub der: Vec<u8>,
}

/// Why an answer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// No DER, or not of the form it has to have.
    #[error("the answer is no OCSP response")]
    Malformed,
    /// The responder did not answer the question.
    #[error("the responder answered {0}")]
    Failed(&'static str),
    /// About other certificates.
    #[error("the answer is not about this certificate")]
    OtherCertificate,
    /// Neither the issuer nor a delegate of it has signed it.
    #[error("the answer is not signed by the certificate's issuer or by a delegate of it")]
    Signature,
    /// It is too old.
    #[error("the answer was valid until {}", time(*.0))]
    Expired(i64),
    /// It is not valid yet.
    #[error("the answer is valid from {} on; compare the clocks", time(*.0))]
    Future(i64),
}

fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.to_string())
}

/// Asks about `cert`, which `issuer` has signed.
pub fn request(cert: &Certificate, issuer: &Certificate) -> Result<Vec<u8>, String> {
    let text = |e: der::Error| e.to_string();
    let hash = |bytes: &[u8]| {
        let hash = digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
        OctetString::new(hash.as_ref()).map_err(text)
    };
    // All responders know SHA-1 here, many nothing else; it protects nothing.
    let hash_algorithm = AlgorithmIdentifierOwned { oid: SHA1, parameters: Some(Any::from(Null)) };
    let req_cert = CertId {
        hash_algorithm,
        issuer_name_hash: hash(&issuer.subject)?,
        issuer_key_hash: hash(issuer.key_bits())?,
        serial_number: cert.serial.clone(),
    };
    let request = Request { req_cert, single_request_extensions: None };
    encode(&OcspRequest {
        tbs_request: TbsRequest {
            version: Version::V1,
            requestor_name: None,
            request_list: vec![request],
            request_extensions: None,
        },
        optional_signature: None,
    })
}

impl Answer {
    /// Checks that `der` is an answer about `cert` that `issuer` or a delegate of
    /// it has signed; a delegate has to be valid at `now` (seconds since the
    /// epoch). Whether the answer itself is, [`Answer::check_time`] says.
    pub fn verify(
        der: &[u8],
        cert: &Certificate,
        issuer: &Certificate,
        algorithms: Algorithms,
        now: i64,
    ) -> Result<Self, AnswerError> {
        use AnswerError::{Failed, Malformed};
        let response = OcspResponse::from_der(der).map_err(|_| Malformed)?;
        match response.response_status {
            OcspResponseStatus::Successful => {}
            OcspResponseStatus::MalformedRequest => return Err(Failed("malformedRequest")),
            OcspResponseStatus::InternalError => return Err(Failed("internalError")),
            OcspResponseStatus::TryLater => return Err(Failed("tryLater")),
            OcspResponseStatus::SigRequired => return Err(Failed("sigRequired")),
            OcspResponseStatus::Unauthorized => return Err(Failed("unauthorized")),
        }
        let bytes = response.response_bytes.filter(|b| b.response_type == OCSP_BASIC);
        let basic = bytes.ok_or(Malformed)?.response;
        let basic = parts(basic.as_bytes()).ok_or(Malformed)?;
        let [data, algorithm, signature, certs @ ..] = basic.as_slice() else {
            return Err(Malformed);
        };
        let signed = Signed::of(data, algorithm, signature).ok_or(Malformed)?;
        if !issuer.has_signed(&signed, algorithms)
            && !signed_by_delegate(&signed, certs, issuer, algorithms, now)
        {
            return Err(AnswerError::Signature);
        }
        let data = ResponseData::from_der(data).map_err(|_| Malformed)?;
        let about = data.responses.into_iter().find(|r| is_about(&r.cert_id, cert, issuer));
        let single = about.ok_or(AnswerError::OtherCertificate)?;
        let seconds = |t: x509_ocsp::OcspGeneralizedTime| t.0.to_unix_duration().as_secs() as i64;
        Ok(Self {
            status: match single.cert_status {
                CertStatus::Good(_) => Status::Good,
                CertStatus::Revoked(_) => Status::Revoked,
                CertStatus::Unknown(_) => Status::Unknown,
            },
            this_update: seconds(single.this_update),
            next_update: single.next_update.map(seconds),
            der: der.to_vec(),
        })
    }

    /// Whether it is valid at `now` with clocks that differ by `skew`. Without
    /// its own end an answer is valid for `unset_ttl`, `None` for ever. All in
    /// seconds.
    pub fn check_time(
        &self,
        now: i64,
        skew: i64,
        unset_ttl: Option<i64>,
    ) -> Result<(), AnswerError> {
        if self.this_update > now.saturating_add(skew) {
            return Err(AnswerError::Future(self.this_update));
        }
        match self.ends(unset_ttl) {
            Some(end) if end < now.saturating_sub(skew) => Err(AnswerError::Expired(end)),
            _ => Ok(()),
        }
    }

    /// When it stops being valid, seconds since the epoch.
    pub fn ends(&self, unset_ttl: Option<i64>) -> Option<i64> {
        let unset = || unset_ttl.map(|ttl| self.this_update.saturating_add(ttl));
        self.next_update.or_else(unset)
    }
}

fn is_about(id: &CertId, cert: &Certificate, issuer: &Certificate) -> bool {
    let algorithm = match id.hash_algorithm.oid.to_string().as_str() {
        "1.3.14.3.2.26" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        "2.16.840.1.101.3.4.2.1" => &digest::SHA256,
        "2.16.840.1.101.3.4.2.2" => &digest::SHA384,
        "2.16.840.1.101.3.4.2.3" => &digest::SHA512,
        _ => return false,
    };
    let fits = |hash: &OctetString, of: &[u8]| hash.as_bytes() == digest(algorithm, of).as_ref();
    id.serial_number == cert.serial
        && fits(&id.issuer_name_hash, &issuer.subject)
        && fits(&id.issuer_key_hash, issuer.key_bits())
}

/// Whether a certificate in the answer has signed it, for which the issuer vouches
/// as its delegate.
fn signed_by_delegate(
    signed: &Signed,
    certs: &[&[u8]],
    issuer: &Certificate,
    algorithms: Algorithms,
    now: i64,
) -> bool {
    let Some(list) = certs.first().and_then(|c| parts(content(c)?)) else { return false };
    let now = u64::try_from(now).unwrap_or_default();
    list.iter().take(MOST_SIGNERS).filter_map(|der| Certificate::parse(der)).any(|signer| {
        signer.signs_ocsp
            && (signer.valid.0..=signer.valid.1).contains(&now)
            && signer.is_signed_by(issuer, algorithms)
            && signer.has_signed(signed, algorithms)
    })
}
