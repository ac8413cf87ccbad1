//! Certificates made by openssl 3, their texts by Go's crypto/x509 1.2x.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::dn::DistinguishedName;
use proptest::prelude::*;

/// Subject `C=DE, ST=Bayern, L="M, x", O=Acme + OU=R, CN=joe, emailAddress, DC=acme,
/// DC=org`, alternative names of four kinds, valid until 2126.
const FULL: &str = "\
MIICyDCCAm+gAwIBAgIUF0cLoOnFU6tPdXUj0iz0j/GpFygwCgYIKoZIzj0EAwIwgZcxCzAJBgNV\
BAYTAkRFMQ8wDQYDVQQIDAZCYXllcm4xDTALBgNVBAcMBE0sIHgxFzAIBgNVBAsMAVIwCwYDVQQK\
DARBY21lMQwwCgYDVQQDDANqb2UxFjAUBgkqhkiG9w0BCQEWB2VAeC5vcmcxFDASBgoJkiaJk/Is\
ZAEZFgRhY21lMRMwEQYKCZImiZPyLGQBGRYDb3JnMCAXDTI2MTEyMTAzMjgxNVoYDzIxMjYxMDI4\
MDMyODE1WjCBlzELMAkGA1UEBhMCREUxDzANBgNVBAgMBkJheWVybjENMAsGA1UEBwwETSwgeDEX\
MAgGA1UECwwBUjALBgNVBAoMBEFjbWUxDDAKBgNVBAMMA2pvZTEWMBQGCSqGSIb3DQEJARYHZUB4\
Lm9yZzEUMBIGCgmSJomT8ixkARkWBGFjbWUxEzARBgoJkiaJk/IsZAEZFgNvcmcwWTATBgcqhkjO\
PQIBBggqhkjOPQMBBwNCAARQF3GQYb09a1GogqXkaSReFn98mNNhEqYaqCBZZyTwiqrisiCWQv5N\
mO55A6zeWBKSjkgT0mO3xbKjmCLCW61Wo4GUMIGRMB0GA1UdDgQWBBT19aNPHSF3JvtW/bCYV4H+\
kJtnNjAfBgNVHSMEGDAWgBT19aNPHSF3JvtW/bCYV4H+kJtnNjAPBgNVHRMBAf8EBTADAQH/MD4G\
A1UdEQQ3MDWBDGpvZUBhY21lLm9yZ4IMam9lLmFjbWUub3JnhhFzcGlmZmU6Ly9hY21lL2pvZYcE\
AQIDBDAKBggqhkjOPQQDAgNHADBEAiArYf8nR/eljSvLhaQJCL+bGLJBx1MevZMgXn17TrSRBAIg\
HBUqN2b2rbek+MjeB2FZZTjFv+uL4mjEJr9mUNoi/D8=\
";

/// Subject `DC=org, DC=acme, O=Acme, OU=Ops, OU=Dev, OU=z + CN=#joe`.
const COMPONENTS: &str = "\
MIICMzCCAdmgAwIBAgIUUmyErNn/XEpe7um7DoRS/ywzvM4wCgYIKoZIzj0EAwIwbzETMBEGCgmS\
JomT8ixkARkWA29yZzEUMBIGCgmSJomT8ixkARkWBGFjbWUxDTALBgNVBAoMBEFjbWUxDDAKBgNV\
BAsMA09wczEMMAoGA1UECwwDRGV2MRcwCAYDVQQLDAF6MAsGA1UEAwwEI2pvZTAeFw0yNjExMjEw\
MzI4MzVaFw0yNjEyMDEwMzI4MzVaMG8xEzARBgoJkiaJk/IsZAEZFgNvcmcxFDASBgoJkiaJk/Is\
ZAEZFgRhY21lMQ0wCwYDVQQKDARBY21lMQwwCgYDVQQLDANPcHMxDDAKBgNVBAsMA0RldjEXMAgG\
A1UECwwBejALBgNVBAMMBCNqb2UwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQbTv/ApoYskaqn\
3P2Ip2ImbN9g5Ro3Oy8+dMkMATlMuMux6173sllUMDhV7PKtOw99MG+VU9cDWGfT9vrowMq9o1Mw\
UTAdBgNVHQ4EFgQU5WVB66dn6lKp23652o/NyY+4vvYwHwYDVR0jBBgwFoAU5WVB66dn6lKp2365\
2o/NyY+4vvYwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA1sL5dBwf9yuUQqHM\
3Ytkp5fHYN/P+AtNsXCGFaKokcACIDbFZ25oL8/yIPV53+odJluQoo2o2eviN1PV4mHcuWTl\
";

fn der(text: &str) -> Vec<u8> {
    data_encoding::BASE64.decode(text.as_bytes()).unwrap()
}

#[test]
fn names_in_the_order_they_are_tried() {
    let der = der(FULL);
    let cert = Certificate::parse(&der).unwrap();
    let names = cert.names();
    assert_eq!(names.alternative, ["joe@acme.org", "joe.acme.org", "spiffe://acme/joe"]);
    let subject = "CN=joe,OU=R,O=Acme,L=M\\, x,ST=Bayern,C=DE";
    assert_eq!(names.subject_texts, [format!("{subject},DC=acme,DC=org"), subject.to_owned()]);
    // The e-mail attribute has no name in a DN.
    assert_eq!(names.subject, None);
    assert_eq!(
        cert.subject(),
        format!(
            "{subject},0.9.2342.19200300.100.1.25=#13036f7267,\
             0.9.2342.19200300.100.1.25=#130461636d65,1.2.840.113549.1.9.1=#0c076540782e6f7267"
        )
    );
    let key = ring::digest::digest(&ring::digest::SHA256, cert.public_key);
    assert_eq!(
        data_encoding::HEXLOWER.encode(key.as_ref()),
        "bb4380902055c4533788ca5f09597d382cf5d1458ba6f23683271322d61b179f"
    );
    // Oct 28 03:28:15 2126 GMT
    assert_eq!(cert.not_after, Some(4_948_831_695_000_000_000));
    assert_eq!(not_after(&der), cert.not_after);
}

#[test]
fn the_subject_as_a_name() {
    let der = der(COMPONENTS);
    let cert = Certificate::parse(&der).unwrap();
    let names = cert.names();
    let wanted = "CN=\\#joe+OU=z,OU=Dev,OU=Ops,O=Acme,DC=acme,DC=org";
    assert_eq!(names.subject, DistinguishedName::parse(wanted));
    assert_eq!(
        names.subject_texts,
        [
            "CN=\\#joe,OU=Ops+OU=Dev+OU=z,O=Acme,DC=org,DC=acme",
            "CN=\\#joe,OU=Ops+OU=Dev+OU=z,O=Acme"
        ]
    );
    let other = "DC=org,DC=acme,O=Acme,OU=Ops,OU=Dev,OU=z+CN=\\#joe";
    let other = DistinguishedName::parse(other).unwrap();
    assert_eq!(names.subject.unwrap().in_any_order(), other.in_any_order());
}

proptest! {
    #[test]
    fn damage_is_survived(at in 0..700usize, bit in 0..8u8, cut in 0..900usize) {
        let mut der = der(FULL);
        let at = at % der.len();
        der[at] ^= 1 << bit;
        der.truncate(cut.max(1));
        if let Some(cert) = Certificate::parse(&der) {
            let _ = (cert.names(), cert.subject());
        }
    }
}
