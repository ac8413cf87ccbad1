//! What OCSP needs to know of a certificate: who issued it, who answers for it,
//! and what it may sign.
//!
//! The signed bytes and the names are kept as they came: encoding them again
//! could give others, and then no hash and no signature fits.

use der::{Decode, Encode, Header, Reader, SliceReader, Tag};
use ring::digest::{SHA256, digest};
use rustls::pki_types::SignatureVerificationAlgorithm;
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AuthorityInfoAccessSyntax, BasicConstraints, ExtendedKeyUsage};
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Validity;

/// `id-ad-ocsp`
const ACCESS_OCSP: &str = "1.3.6.1.5.5.7.48.1";
/// `id-pe-authorityInfoAccess`
const AUTHORITY_INFO_ACCESS: &str = "1.3.6.1.5.5.7.1.1";
/// `id-pe-tlsfeature` (RFC 7633)
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
/// `status_request` in it
const STATUS_REQUEST: u64 = 5;
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
/// `id-kp-OCSPSigning`
const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
/// Responders of one certificate that are looked at.
const MOST_RESPONDERS: usize = 8;

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The whole, in DER.
    pub der: Vec<u8>,
    /// The serial number.
    pub serial: SerialNumber,
    /// The issuer's name in DER.
    pub issuer: Vec<u8>,
    /// The subject's name in DER.
    pub subject: Vec<u8>,
    /// Validity, seconds since the epoch.
    pub valid: (u64, u64),
    /// URLs of its OCSP responders.
    pub responders: Vec<String>,
    /// It demands that its status is stapled.
    pub must_staple: bool,
    /// It is an authority's.
    pub is_ca: bool,
    /// An authority lets it sign OCSP answers.
    pub signs_ocsp: bool,
    key: PublicKey,
    signed: Signed,
}

#[derive(Debug, Clone)]
struct PublicKey {
    /// Content of the AlgorithmIdentifier.
    algorithm: Vec<u8>,
    bits: Vec<u8>,
}

/// Something signed: bytes, algorithm, signature.
#[derive(Debug, Clone)]
pub struct Signed {
    /// What is signed.
    pub message: Vec<u8>,
    /// Content of the AlgorithmIdentifier.
    pub algorithm: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

impl Certificate {
    /// Cuts DER into parts; `None` if it is no certificate.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let [tbs, algorithm, signature] = parts(der)?.try_into().ok()?;
        let signed = Signed::of(tbs, algorithm, signature)?;
        let mut fields = parts(tbs)?.into_iter().peekable();
        // The version stands there unless it is 1.
        if fields.peek()?.first() == Some(&0xa0) {
            fields.next();
        }
        let serial = SerialNumber::from_der(fields.next()?).ok()?;
        fields.next()?;
        let issuer = fields.next()?.to_vec();
        let validity = Validity::from_der(fields.next()?).ok()?;
        let subject = fields.next()?.to_vec();
        let [algorithm, bits] = parts(fields.next()?)?.try_into().ok()?;
        let key = PublicKey { algorithm: content(algorithm)?.to_vec(), bits: bit_string(bits)? };
        let seconds = |t: &x509_cert::time::Time| t.to_unix_duration().as_secs();
        let mut cert = Self {
            der: der.to_vec(),
            serial,
            issuer,
            subject,
            valid: (seconds(&validity.not_before), seconds(&validity.not_after)),
            responders: Vec::new(),
            must_staple: false,
            is_ca: false,
            signs_ocsp: false,
            key,
            signed,
        };
        for field in fields.filter(|f| f.first() == Some(&0xa3)) {
            cert.extensions(&Extensions::from_der(content(field)?).ok()?);
        }
        Some(cert)
    }

    fn extensions(&mut self, all: &Extensions) {
        for extension in all {
            let value = extension.extn_value.as_bytes();
            match extension.extn_id.to_string().as_str() {
                AUTHORITY_INFO_ACCESS => {
                    let Ok(access) = AuthorityInfoAccessSyntax::from_der(value) else { continue };
                    let ocsp =
                        access.0.iter().filter(|a| a.access_method.to_string() == ACCESS_OCSP);
                    let urls = ocsp.filter_map(|a| match &a.access_location {
                        GeneralName::UniformResourceIdentifier(url) => Some(url.to_string()),
                        _ => None,
                    });
                    self.responders = urls.take(MOST_RESPONDERS).collect();
                }
                TLS_FEATURE => {
                    self.must_staple = Vec::<u64>::from_der(value)
                        .is_ok_and(|features| features.contains(&STATUS_REQUEST));
                }
                EXTENDED_KEY_USAGE => {
                    self.signs_ocsp = ExtendedKeyUsage::from_der(value)
                        .is_ok_and(|u| u.0.iter().any(|u| u.to_string() == OCSP_SIGNING));
                }
                BASIC_CONSTRAINTS => {
                    self.is_ca = BasicConstraints::from_der(value).is_ok_and(|c| c.ca);
                }
                _ => {}
            }
        }
    }

    /// Bytes of the public key, without its algorithm.
    pub fn key_bits(&self) -> &[u8] {
        &self.key.bits
    }

    /// SHA-256 of the whole.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, &self.der).as_ref());
        out
    }

    /// Whether `issuer` has signed this certificate.
    pub fn is_signed_by(&self, issuer: &Certificate, algorithms: Algorithms) -> bool {
        self.issuer == issuer.subject && issuer.has_signed(&self.signed, algorithms)
    }

    /// Whether the key of this certificate has signed `signed`.
    pub fn has_signed(&self, signed: &Signed, algorithms: Algorithms) -> bool {
        algorithms.iter().any(|a| {
            a.signature_alg_id().as_ref() == signed.algorithm
                && a.public_key_alg_id().as_ref() == self.key.algorithm
                && a.verify_signature(&self.key.bits, &signed.message, &signed.signature).is_ok()
        })
    }
}

/// What signatures can be checked with.
pub type Algorithms = &'static [&'static dyn SignatureVerificationAlgorithm];

impl Signed {
    /// From the elements of a signed structure.
    pub fn of(message: &[u8], algorithm: &[u8], signature: &[u8]) -> Option<Self> {
        parts(algorithm)?;
        Some(Self {
            message: message.to_vec(),
            algorithm: content(algorithm)?.to_vec(),
            signature: bit_string(signature)?,
        })
    }
}

/// The elements of a SEQUENCE, each with its header. Nothing may follow it.
pub fn parts(der: &[u8]) -> Option<Vec<&[u8]>> {
    let mut reader = SliceReader::new(der).ok()?;
    let header = Header::decode(&mut reader).ok()?;
    if header.tag != Tag::Sequence || reader.remaining_len() != header.length {
        return None;
    }
    let mut parts = Vec::new();
    while !reader.is_finished() {
        parts.push(reader.tlv_bytes().ok()?);
    }
    Some(parts)
}

/// The content of an element.
pub fn content(der: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(der).ok()?;
    let header = Header::decode(&mut reader).ok()?;
    let content = reader.read_slice(header.length).ok()?;
    reader.is_finished().then_some(content)
}

fn bit_string(der: &[u8]) -> Option<Vec<u8>> {
    let bits = der::asn1::BitStringRef::from_der(der).ok()?;
    Some(bits.as_bytes()?.to_vec())
}

/// DER of anything; what we make ourselves always has one.
pub fn encode(value: &impl Encode) -> Result<Vec<u8>, String> {
    value.to_der().map_err(|e| e.to_string())
}
