//! PROXY headers: good, partial, bad, random.

#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn header(used: usize, source: &str) -> Result<Sniffed, ProxyError> {
    let source = (!source.is_empty()).then(|| source.parse().unwrap());
    Ok(Sniffed::Header { used, source })
}

fn v2_bytes(version: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut v = V2_SIGNATURE.to_vec();
    v.extend([version, family]);
    v.extend((block.len() as u16).to_be_bytes());
    v.extend(block);
    v
}

const V4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0x10, 0x7e];

#[test]
fn good_headers() {
    let line = b"PROXY TCP4 192.0.2.1 10.0.0.1 4660 4222\r\nCONNECT";
    assert_eq!(sniff(line), header(41, "192.0.2.1:4660"));
    assert_eq!(sniff(b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n"), header(32, "[2001:db8::1]:1"));
    assert_eq!(sniff(b"PROXY UNKNOWN\r\n\x16"), header(15, ""));
    assert_eq!(sniff(b"PROXY UNKNOWN a b\r\n"), header(19, ""));
    assert_eq!(sniff(&v2_bytes(0x21, 0x11, &V4)), header(28, "192.0.2.1:4660"));
    let mut with_tlv = V4.to_vec();
    with_tlv.extend([4, 0, 1, 0]);
    assert_eq!(sniff(&v2_bytes(0x21, 0x11, &with_tlv)), header(32, "192.0.2.1:4660"));
    let mut v6 = vec![0; 36];
    (v6[15], v6[33]) = (1, 7);
    assert_eq!(sniff(&v2_bytes(0x21, 0x21, &v6)), header(52, "[::1]:7"));
    assert_eq!(sniff(&v2_bytes(0x20, 0x00, b"")), header(16, ""));
    assert_eq!(sniff(&v2_bytes(0x20, 0x11, &V4)), header(28, ""));
    assert_eq!(sniff(&v2_bytes(0x21, 0x01, b"xyz")), header(19, ""));
}

#[test]
fn other_protocols_are_no_header() {
    for bytes in ["CONNECT {}\r\n", "PING\r\n", "PUB a 1\r\n", "\x16\x03\x01", "\r\nPING\r\n"] {
        assert_eq!(sniff(bytes.as_bytes()), Ok(Sniffed::Absent), "{bytes:?}");
    }
}

#[test]
fn bad_headers() {
    let cases: &[(&[u8], ProxyError)] = &[
        (b"PROXY \r\n", ProxyError::Format),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", ProxyError::Format),
        (b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", ProxyError::Format),
        (b"PROXY TCP4 ::1 1.2.3.4 1 2\r\n", ProxyError::Address),
        (b"PROXY TCP6 ::1 1.2.3.4 1 2\r\n", ProxyError::Address),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 99999 2\r\n", ProxyError::Address),
        (b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", ProxyError::Address),
    ];
    for (bytes, want) in cases {
        assert_eq!(sniff(bytes), Err(want.clone()), "{:?}", String::from_utf8_lossy(bytes));
    }
    let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 96]].concat();
    assert_eq!(sniff(&long[..106]), Ok(Sniffed::NeedMore));
    assert_eq!(sniff(&long), Err(ProxyError::LineTooLong));
    assert_eq!(sniff(b"\r\n\r\n\0\rx"), Err(ProxyError::Signature));
    assert_eq!(sniff(&v2_bytes(0x31, 0x11, &V4)), Err(ProxyError::Version(0x31)));
    assert_eq!(sniff(&v2_bytes(0x22, 0x11, &V4)), Err(ProxyError::Version(0x22)));
    assert_eq!(sniff(&v2_bytes(0x21, 0x12, &V4)), Err(ProxyError::Family(0x12)));
    assert_eq!(sniff(&v2_bytes(0x21, 0x31, &V4)), Err(ProxyError::Family(0x31)));
    assert_eq!(sniff(&v2_bytes(0x21, 0x11, &V4[..11])), Err(ProxyError::Length(11)));
    assert_eq!(sniff(&v2_bytes(0x21, 0x11, &vec![0; V2_MAX + 1])), Err(ProxyError::Length(16385)));
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), start in 0..3usize) {
        let prefix: &[u8] = [b"".as_slice(), V1_PREFIX, V2_SIGNATURE][start];
        let all = [prefix, &bytes].concat();
        if let Ok(Sniffed::Header { used, .. }) = sniff(&all) {
            prop_assert!(used <= all.len());
        }
    }

    #[test]
    fn every_part_of_a_header_asks_for_more(cut in 0..28usize) {
        let v1 = b"PROXY TCP4 192.0.2.1 10.0.0.1 4660 4222\r\n";
        prop_assert_eq!(sniff(&v1[..cut]), Ok(Sniffed::NeedMore));
        prop_assert_eq!(sniff(&v2_bytes(0x21, 0x11, &V4)[..cut]), Ok(Sniffed::NeedMore));
    }
}
