//! Vectors made with nkeys v0.4.15 (Go), and what must be refused.

use super::*;
use data_encoding::BASE64;
use proptest::prelude::*;

/// Seed from 32 equal bytes, public key, signature of "a nonce".
const VECTORS: [(&str, &str, &str); 5] = [
    (
        "SNAACAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIDHU",
        "NCFIRY65OQE7DFP5KLNS2PF2LVZMUZYJX4OZIEQ36N2IQANUB5XVZFBA",
        "0uiyXlqwQxuyS43747ZCffqreycWAFN17e0MZbFJx58g1MF/MGtO9f7DcImxU6qwUpqFbw6StC5Pix70biiOCg==",
    ),
    (
        "SOAAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAWBT4",
        "OCATS5YOVB6ROX2WUNKGNQ2MP3GMXDMKSG2O4N5CLX3A6W4PZGZZI5WX",
        "diYRcsfzCFVcsfSS2erAH7WgYkYpWKsWtMz3WPDXN8z1NF3nP6pOQE3ecTTR1SUA5hAhDnDvhnGELYR9poSSBA==",
    ),
    (
        "SAAAGAYDAMBQGAYDAMBQGAYDAMBQGAYDAMBQGAYDAMBQGAYDAMBQGAZS54",
        "ADWUSKGGFDI4FRXK5EBTRECZSVQSSWJHHJOGH6JWG3AUMFFMQ435D6HD",
        "rJ7u4IheqBfxtTfcHCznhwd4CKjEihiiW7K26v9GQH+UE6krRvwrNN94IIIJwQc9uWOH1MA71fRU8u6d1dDzDg==",
    ),
    (
        "SUAAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBH4FY",
        "UDFJHLAXAUMHA4OWPOB4P7YO72AQR2HMIUYFOXLXE2DZGM633K7HYREV",
        "Mu2Cre9RT+GoCaepk3SU6RHa8y0Anbys4/uIoL84g6OyvydDv4/8EBbFt+x4I8kqMsWz3lfCfA5n1SoJpeYkCA==",
    ),
    (
        "SCAAKBIFAUCQKBIFAUCQKBIFAUCQKBIFAUCQKBIFAUCQKBIFAUCQKBNSEY",
        "CBXHUHG5FGYLPD6RHL2MKWMP572O6KUXCZXDZJXS4T57ZTMAKBN7CSSU",
        "dVRFHrnONIRHVahTh1q+Lu6YljD361Lpsva6YpjT/1iYOyGTf2MWK9PCTefPSX/aLrKiykVbMm1AjlqdFfIJAg==",
    ),
];
const CURVE_A: (&str, &str) = (
    "SXAAWCYLBMFQWCYLBMFQWCYLBMFQWCYLBMFQWCYLBMFQWCYLBMFQWCZ2SM",
    "XBZ3FWFXNKU3KNTAAMV4R5OYX3R2HLSOHM5H7VE232A7OND2GSVGR4EO",
);
const CURVE_B: (&str, &str) = (
    "SXAAYDAMBQGAYDAMBQGAYDAMBQGAYDAMBQGAYDAMBQGAYDAMBQGAYDAHTY",
    "XCL4HMILJVWBGOTY5JO4YHHWIIOT7ANOG6Y7MKGOCTFG7TTXGDZTHMNY",
);
/// "what is sealed" from A to B with a nonce of 13s.
const SEALED: &str =
    "eGt2MQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDeYDyfLQCFyjMiVq6hWgo6PInW2PlgwTq+pwd23Niw==";

#[test]
fn pairs_agree_with_the_go_library() {
    for (seed, public, signature) in VECTORS {
        let pair = KeyPair::from_seed(seed).unwrap();
        assert_eq!(pair.public(), public);
        assert_eq!(*pair.seed(), seed);
        let signature = BASE64.decode(signature.as_bytes()).unwrap();
        assert_eq!(pair.sign(b"a nonce")[..], signature[..]);
        assert!(verify(public, b"a nonce", &signature));
        assert!(!verify(public, b"another", &signature));
        assert!(!verify(public, b"a nonce", &signature[1..]));
        assert!(!verify(VECTORS[0].0, b"a nonce", &signature), "a seed is no public key");
        assert_eq!(
            CurveKeyPair::from_seed(seed).unwrap_err(),
            KeyError::Kind(pair.kind().letter())
        );
    }
    let pair = KeyPair::from_random(KeyKind::User, [4; 32]).unwrap();
    assert_eq!(*pair.seed(), VECTORS[3].0);
}

#[test]
fn sealed_messages_agree_with_the_go_library() {
    let a = CurveKeyPair::from_seed(CURVE_A.0).unwrap();
    let b = CurveKeyPair::from_random([12; 32]);
    assert_eq!((a.public(), a.seed().as_str()), (CURVE_A.1, CURVE_A.0));
    assert_eq!((b.public(), b.seed().as_str()), (CURVE_B.1, CURVE_B.0));
    let sealed = a.seal(b"what is sealed", b.public(), [13; 24]).unwrap();
    assert_eq!(BASE64.encode(&sealed), SEALED);
    assert_eq!(sealed.len(), b"what is sealed".len() + curve::OVERHEAD_BYTES);
    assert_eq!(b.open(&sealed, a.public()).unwrap(), b"what is sealed");

    assert_eq!(b.open(&sealed, b.public()), Err(OpenError::Sealed), "not from itself");
    assert_eq!(b.open(b"", a.public()), Err(OpenError::Format));
    assert_eq!(b.open(b"eyJ0eXAi", a.public()), Err(OpenError::Format));
    assert_eq!(b.open(&sealed[..20], a.public()), Err(OpenError::Format));
    assert_eq!(b.open(&sealed[..30], a.public()), Err(OpenError::Sealed));
    assert_eq!(b.open(&sealed, VECTORS[0].1), Err(OpenError::Key));
    let mut damaged = sealed;
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(b.open(&damaged, a.public()), Err(OpenError::Sealed));
}

#[test]
fn kinds_are_kept_apart_and_secrets_hidden() {
    assert_eq!(KeyPair::from_seed(CURVE_A.0).unwrap_err(), KeyError::Kind('X'));
    assert!(KeyPair::from_random(KeyKind::Curve, [1; 32]).is_err());
    for junk in
        ["", "SU", VECTORS[0].1, "SUAAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBH4FZ"]
    {
        assert_eq!(KeyPair::from_seed(junk).unwrap_err(), KeyError::Seed, "{junk}");
        assert_eq!(CurveKeyPair::from_seed(junk).unwrap_err(), KeyError::Seed, "{junk}");
    }
    let pair = KeyPair::from_seed(VECTORS[3].0).unwrap();
    let curve = CurveKeyPair::from_seed(CURVE_A.0).unwrap();
    let shown = format!("{pair:?} {curve:?}");
    assert!(shown.contains(VECTORS[3].1) && shown.contains(CURVE_A.1));
    assert!(!shown.contains("AIBAEAQ") && !shown.contains("YLBMFQ"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_sealed_opens(a: [u8; 32], b: [u8; 32], nonce: [u8; 24], message: Vec<u8>) {
        let (a, b) = (CurveKeyPair::from_random(a), CurveKeyPair::from_random(b));
        let sealed = a.seal(&message, b.public(), nonce).unwrap();
        prop_assert_eq!(b.open(&sealed, a.public()).unwrap(), message);
    }

    #[test]
    fn any_text_is_decoded_without_panic(text in ".{0,80}", bytes: Vec<u8>) {
        let _ = KeyPair::from_seed(&text);
        prop_assert!(!verify(&text, &bytes, &bytes));
        prop_assert!(CurveKeyPair::from_random([1; 32]).open(&bytes, &text).is_err());
    }
}
