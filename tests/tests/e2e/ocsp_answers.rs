//! Which OCSP answers are believed: a table of what a responder, or whoever
//! stands between, may send.

use crate::pki::Pki;
use crate::responder::{Responder, Says, Template, answer, must_staple, now, question};
use gust_server::ocsp::response::request;
use gust_server::ocsp::{Answer, AnswerError, Certificate, Status};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose as Usage};

fn algorithms() -> gust_server::ocsp::certificate::Algorithms {
    rustls::crypto::ring::default_provider().signature_verification_algorithms.all
}

struct Case {
    pki: Pki,
    ca: Certificate,
    cert: Certificate,
}

impl Case {
    fn new() -> Case {
        let pki = Pki::new();
        pki.sign("a", &[], &[(DnType::CommonName, "a")]);
        let parse = |name: &str| Certificate::parse(&pki.der(name)).unwrap();
        let (ca, cert) = (parse("ca"), parse("a"));
        Case { ca, cert, pki }
    }

    fn verify(&self, der: &[u8]) -> Result<Answer, AnswerError> {
        Answer::verify(der, &self.cert, &self.ca, algorithms(), now())
    }

    fn answer(&self, template: &Template) -> Vec<u8> {
        let asked = question(&request(&self.cert, &self.ca).unwrap());
        answer(&asked, template, self.pki.key())
    }

    fn delegate(&self, change: impl FnOnce(&mut CertificateParams)) -> Template {
        self.pki.sign_with("delegate", &[], &[(DnType::CommonName, "delegate")], |params| {
            params.extended_key_usages = vec![Usage::OcspSigning];
            change(params);
        });
        Template { delegate: Some(self.pki.der("delegate")), ..Template::default() }
    }

    /// An answer that the delegate signs.
    fn delegated(&self, template: &Template) -> Vec<u8> {
        let asked = question(&request(&self.cert, &self.ca).unwrap());
        answer(&asked, template, &self.pki.key_of("delegate"))
    }
}

#[test]
fn a_certificate_tells_what_ocsp_needs() {
    let pki = Pki::new();
    let responder = Responder::start(&pki);
    pki.sign_with("a", &[], &[(DnType::CommonName, "a")], |params| {
        responder.name_in(params);
        must_staple(params);
    });
    let ca = Certificate::parse(&pki.der("ca")).unwrap();
    let a = Certificate::parse(&pki.der("a")).unwrap();
    assert!(ca.is_ca && !a.is_ca && a.must_staple && !ca.must_staple && !a.signs_ocsp);
    assert_eq!(a.responders, [responder.url]);
    assert!(a.is_signed_by(&ca, algorithms()) && ca.is_signed_by(&ca, algorithms()));
    assert!(!ca.is_signed_by(&a, algorithms()));
    let other = Certificate::parse(&Pki::new().der("ca")).unwrap();
    assert!(!a.is_signed_by(&other, algorithms()), "same name, other key");
}

#[test]
fn answers_of_the_issuer_are_believed() {
    let case = Case::new();
    for (says, status) in [
        (Says::Good, Status::Good),
        (Says::Revoked, Status::Revoked),
        (Says::Unknown, Status::Unknown),
    ] {
        let found = case.verify(&case.answer(&Template { says, ..Template::default() })).unwrap();
        assert_eq!(found.status, status);
        assert_eq!(found.next_update.unwrap() - found.this_update, 3610);
    }
    let endless = case.verify(&case.answer(&Template { ends: None, ..Template::default() }));
    assert_eq!(endless.unwrap().next_update, None);
}

#[test]
fn answers_of_others_are_not() {
    let case = Case::new();
    let damaged = Template { damaged: true, ..Template::default() };
    assert_eq!(case.verify(&case.answer(&damaged)), Err(AnswerError::Signature));
    // The same name, another key.
    let asked = question(&request(&case.cert, &case.ca).unwrap());
    let forged = answer(&asked, &Template::default(), Pki::new().key());
    assert_eq!(case.verify(&forged), Err(AnswerError::Signature));
    // The certificate in question cannot vouch for itself.
    let own = Template { delegate: Some(case.pki.der("a")), ..Template::default() };
    let own = answer(&asked, &own, &case.pki.key_of("a"));
    assert_eq!(case.verify(&own), Err(AnswerError::Signature));
    // A good answer about another certificate of the same issuer.
    case.pki.sign("b", &[], &[(DnType::CommonName, "b")]);
    let b = Certificate::parse(&case.pki.der("b")).unwrap();
    let asked = question(&request(&b, &case.ca).unwrap());
    let other = answer(&asked, &Template::default(), case.pki.key());
    assert_eq!(case.verify(&other), Err(AnswerError::OtherCertificate));
}

#[test]
fn delegates_need_the_issuer_s_permission() {
    let case = Case::new();
    let template = case.delegate(|_| {});
    assert_eq!(case.verify(&case.delegated(&template)).unwrap().status, Status::Good);
    let template = case.delegate(|p| p.extended_key_usages = vec![Usage::ClientAuth]);
    assert_eq!(case.verify(&case.delegated(&template)), Err(AnswerError::Signature));
    let template = case.delegate(|p| {
        (p.not_before, p.not_after) =
            (rcgen::date_time_ymd(2001, 1, 1), rcgen::date_time_ymd(2002, 1, 1));
    });
    assert_eq!(case.verify(&case.delegated(&template)), Err(AnswerError::Signature));
    // Another authority's delegate.
    let other = Case::new();
    let template = other.delegate(|_| {});
    let asked = question(&request(&case.cert, &case.ca).unwrap());
    let der = answer(&asked, &template, &other.pki.key_of("delegate"));
    assert_eq!(case.verify(&der), Err(AnswerError::Signature));
}

#[test]
fn what_is_no_answer_is_refused() {
    let case = Case::new();
    let der = case.answer(&Template::default());
    assert_eq!(case.verify(&[]), Err(AnswerError::Malformed));
    assert_eq!(case.verify(b"<html>"), Err(AnswerError::Malformed));
    assert_eq!(case.verify(&[0x30, 3, 10, 1, 3]), Err(AnswerError::Failed("tryLater")));
    assert_eq!(case.verify(&[0x30, 3, 10, 1, 0]), Err(AnswerError::Malformed));
    for end in 0..der.len() {
        assert!(case.verify(&der[..end]).is_err(), "cut at {end}");
    }
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 0x55;
        let verified = case.verify(&changed);
        assert!(verified.is_err(), "changed at {at}: {verified:?}");
    }
}

#[test]
fn answers_have_their_time() {
    let of = |this_update, next_update| Answer {
        status: Status::Good,
        this_update,
        next_update,
        der: Vec::new(),
    };
    let check = |a: &Answer, skew, ttl| a.check_time(1000, skew, ttl);
    assert_eq!(check(&of(1000, Some(1000)), 0, None), Ok(()));
    assert_eq!(check(&of(1001, None), 0, None), Err(AnswerError::Future(1001)));
    assert_eq!(check(&of(1001, None), 1, None), Ok(()));
    assert_eq!(check(&of(900, Some(999)), 0, None), Err(AnswerError::Expired(999)));
    assert_eq!(check(&of(900, Some(999)), 1, None), Ok(()));
    assert_eq!(check(&of(0, None), 0, None), Ok(()));
    assert_eq!(check(&of(900, None), 0, Some(100)), Ok(()));
    assert_eq!(check(&of(899, None), 0, Some(100)), Err(AnswerError::Expired(999)));
    assert_eq!(check(&of(i64::MAX, Some(i64::MAX)), i64::MAX, None), Ok(()));
}
