//! An OCSP responder for tests: certificates that have it as responder, and answers
//! as a test wants them.

use crate::pki::Pki;
use der::asn1::{BitString, GeneralizedTime, Null, OctetString};
use der::{Any, Decode, Encode};
use rcgen::{CertificateParams, CustomExtension, KeyPair, SigningKey};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AccessDescription, AuthorityInfoAccessSyntax};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{
    AsResponseBytes, BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspRequest,
    OcspResponse, OcspResponseStatus, ResponderId, ResponseData, RevokedInfo, SingleResponse,
    Version,
};

/// What the responder says of certificates.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// Good.
    Good,
    /// Revoked.
    Revoked,
    /// Never heard of it.
    Unknown,
}

/// How an answer is to be.
#[derive(Clone)]
pub struct Template {
    /// The status.
    pub says: Says,
    /// Beginning, seconds from now.
    pub begins: i64,
    /// End, seconds from now.
    pub ends: Option<i64>,
    /// DER of a certificate put in.
    pub delegate: Option<Vec<u8>>,
    /// The signature is damaged.
    pub damaged: bool,
}

impl Default for Template {
    fn default() -> Self {
        Self { says: Says::Good, begins: -10, ends: Some(3600), delegate: None, damaged: false }
    }
}

/// Seconds since the epoch.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// An answer about `cert`.
pub fn answer(cert: &CertId, template: &Template, key: &KeyPair) -> Vec<u8> {
    let time = |offset: i64| {
        let at = Duration::from_secs((now() + offset).unsigned_abs());
        OcspGeneralizedTime(GeneralizedTime::from_unix_duration(at).unwrap())
    };
    let tbs_response_data = ResponseData {
        version: Version::V1,
        responder_id: ResponderId::ByKey(OctetString::new([7; 20]).unwrap()),
        produced_at: time(0),
        responses: vec![SingleResponse {
            cert_id: cert.clone(),
            cert_status: match template.says {
                Says::Good => CertStatus::Good(Null),
                Says::Unknown => CertStatus::Unknown(Null),
                Says::Revoked => CertStatus::Revoked(RevokedInfo {
                    revocation_time: time(-60),
                    revocation_reason: None,
                }),
            },
            this_update: time(template.begins),
            next_update: template.ends.map(time),
            single_extensions: None,
        }],
        response_extensions: None,
    };
    let mut signature = key.sign(&tbs_response_data.to_der().unwrap()).unwrap();
    if template.damaged {
        *signature.last_mut().unwrap() ^= 1;
    }
    let basic = BasicOcspResponse {
        tbs_response_data,
        // ecdsa-with-SHA256
        signature_algorithm: AlgorithmIdentifierOwned {
            oid: "1.2.840.10045.4.3.2".parse().unwrap(),
            parameters: None::<Any>,
        },
        signature: BitString::from_bytes(&signature).unwrap(),
        certs: template.delegate.as_ref().map(|d| vec![Certificate::from_der(d).unwrap()]),
    };
    OcspResponse {
        response_status: OcspResponseStatus::Successful,
        response_bytes: Some(basic.to_response_bytes().unwrap()),
    }
    .to_der()
    .unwrap()
}

/// What a request asks about.
pub fn question(request: &[u8]) -> CertId {
    let request = OcspRequest::from_der(request).unwrap();
    request.tbs_request.request_list[0].req_cert.clone()
}

/// What the responder does with a request.
#[derive(Clone)]
pub enum Does {
    /// Answers.
    Answers(Template),
    /// Gives an HTTP error.
    Fails,
    /// Sends far too much.
    Floods,
    /// Says nothing.
    Hangs,
}

struct State {
    does: Does,
    /// Methods of the requests.
    asked: Vec<String>,
}

/// A responder that runs as long as the test.
pub struct Responder {
    /// Its address.
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Responder {
    /// Starts one that answers "good" for the authority of `pki`.
    pub fn start(pki: &Pki) -> Responder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let does = Does::Answers(Template::default());
        let state = Arc::new(Mutex::new(State { does, asked: Vec::new() }));
        let key = KeyPair::from_pem(&pki.key().serialize_pem()).unwrap();
        let of_thread = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, key) = (of_thread.clone(), key.serialize_pem());
                std::thread::spawn(move || {
                    serve(stream, &state, &KeyPair::from_pem(&key).unwrap())
                });
            }
        });
        Responder { url, state }
    }

    /// From now on.
    pub fn does(&self, does: Does) {
        self.state.lock().unwrap().does = does;
    }

    /// Answers with this status from now on.
    pub fn says(&self, says: Says) {
        self.does(Does::Answers(Template { says, ..Template::default() }));
    }

    /// Methods of the requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    /// Adds the responder to a certificate.
    pub fn name_in(&self, params: &mut CertificateParams) {
        let access = AuthorityInfoAccessSyntax(vec![AccessDescription {
            access_method: "1.3.6.1.5.5.7.48.1".parse().unwrap(),
            access_location: GeneralName::UniformResourceIdentifier(
                der::asn1::Ia5String::new(&self.url).unwrap(),
            ),
        }]);
        let oid = [1, 3, 6, 1, 5, 5, 7, 1, 1];
        let extension = CustomExtension::from_oid_content(&oid, access.to_der().unwrap());
        params.custom_extensions.push(extension);
    }
}

/// Makes a certificate demand stapling.
pub fn must_staple(params: &mut CertificateParams) {
    let oid = [1, 3, 6, 1, 5, 5, 7, 1, 24];
    params.custom_extensions.push(CustomExtension::from_oid_content(&oid, vec![0x30, 3, 2, 1, 5]));
}

fn serve(mut stream: TcpStream, state: &Mutex<State>, key: &KeyPair) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return;
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(n) = line.strip_prefix("content-length: ") {
            length = n.parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap());
    let request = if method == "POST" {
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        body
    } else {
        let text = path.trim_start_matches('/');
        let text = text.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
        data_encoding::BASE64.decode(text.as_bytes()).unwrap()
    };
    let does = {
        let mut state = state.lock().unwrap();
        state.asked.push(method);
        state.does.clone()
    };
    let (status, body) = match does {
        Does::Hangs => {
            let _ = reader.read(&mut [0]);
            return;
        }
        Does::Answers(template) => ("200 OK", answer(&question(&request), &template, key)),
        Does::Fails => ("500 Internal Server Error", Vec::new()),
        Does::Floods => ("200 OK", vec![0x30; 1 << 20]),
    };
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
}
