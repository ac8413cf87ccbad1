//! Messages survive compression; damaged and boundless ones are refused.

use super::*;
use proptest::prelude::*;

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Deflater::default().message(plain, &mut out);
    out
}

/// Decompresses with input in pieces of `step` and output `room` at a time.
fn inflate(
    packed: &[u8],
    step: usize,
    room: usize,
    max: usize,
) -> Result<(Vec<u8>, usize), InflateError> {
    let (mut inflater, mut scratch) = (Inflater::new(), Scratch::default());
    let mut out = BytesMut::new();
    let mut all = Vec::new();
    let mut most = 0;
    for mut piece in packed.chunks(step.max(1)) {
        while !piece.is_empty() {
            let used = inflater.inflate(piece, &mut out, room, max, &mut scratch)?;
            piece = &piece[used..];
            most = most.max(out.len());
            assert!(used > 0 || !out.is_empty(), "stuck");
            all.extend_from_slice(&out);
            out.clear();
        }
    }
    loop {
        let done = inflater.finish(&mut out, room, max, &mut scratch)?;
        most = most.max(out.len());
        all.extend_from_slice(&out);
        if done {
            return Ok((all, most));
        }
        assert!(!out.is_empty(), "stuck");
        out.clear();
    }
}

proptest! {
    #[test]
    fn roundtrip(
        plain in prop::collection::vec(0u8..4, 1..9000),
        step in 1usize..600,
        room in 1usize..2000,
    ) {
        let packed = deflate(&plain);
        let (back, most) = inflate(&packed, step, room, plain.len()).unwrap();
        prop_assert_eq!(&back, &plain);
        prop_assert!(most <= room);
        prop_assert_eq!(
            inflate(&packed, step, room, plain.len() - 1),
            Err(InflateError::TooBig(plain.len() - 1))
        );
    }

    #[test]
    fn damage_is_an_error_or_other_bytes(
        mut packed in prop::collection::vec(any::<u8>(), 0..300),
        keep in any::<prop::sample::Index>(),
    ) {
        let _ = inflate(&packed, 7, 64, 10_000);
        let mut real = deflate(&b"PUB a 5\r\nhello\r\n".repeat(20));
        real.truncate(keep.index(real.len()));
        packed.truncate(4);
        real.extend_from_slice(&packed);
        let _ = inflate(&real, 3, 100, 10_000);
    }
}

#[test]
fn one_state_serves_many_messages() {
    let mut deflater = Deflater::default();
    let mut pool = Inflaters::default();
    for n in 0..50usize {
        let plain = format!("PUB a {n}\r\n").repeat(n * 37 + 1);
        let mut packed = Vec::new();
        deflater.message(plain.as_bytes(), &mut packed);
        let mut inflater = pool.lend();
        let mut out = BytesMut::new();
        let (all, scratch) = (usize::MAX, &mut pool.scratch);
        let used = inflater.inflate(&packed, &mut out, all, all, scratch).unwrap();
        assert_eq!(used, packed.len());
        assert!(inflater.finish(&mut out, all, all, scratch).unwrap());
        assert_eq!(out, plain.as_bytes());
        pool.take_back(inflater);
    }
}

#[test]
fn samples_of_the_rfc() {
    // RFC 7692 §7.2.3: a fixed block, two in fragments, stored, final, two blocks.
    for packed in [
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
    ] {
        assert_eq!(inflate(packed, 2, 3, 5).unwrap().0, b"Hello");
    }
}

#[test]
fn bomb_is_cut_off() {
    let packed = deflate(&vec![0u8; 50_000_000]);
    assert!(packed.len() < 300_000);
    let room = 64 * 1024;
    assert_eq!(inflate(&packed, 8192, room, 1 << 20), Err(InflateError::TooBig(1 << 20)));
}
