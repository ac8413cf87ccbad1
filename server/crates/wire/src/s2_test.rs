//! Tests of S2 framing: streams of the Go implementation, round trips, splits,
//! damage. The fixtures were written by github.com/klauspost/compress v1.16.7.

use super::*;
use proptest::prelude::*;

/// What the fixtures hold, or a prefix of it.
fn sample() -> Vec<u8> {
    let mut out = String::new();
    let mut i = 0u64;
    while out.len() < 70_000 {
        out += &format!(
            "{{\"seq\":{i},\"subject\":\"orders.{}.new\",\"v\":{}}}\n",
            i % 17,
            (i * 7919) % 1009
        );
        i += 1;
    }
    out.truncate(70_000);
    out.into_bytes()
}

fn decode_in(input: &[u8], step: usize) -> Result<Vec<u8>, S2Error> {
    let mut decoder = Decoder::new(1 << 30);
    let mut out = Vec::new();
    for piece in input.chunks(step.max(1)) {
        decoder.decode(piece, &mut out)?;
    }
    decoder.finish()?;
    Ok(out)
}

#[test]
fn streams_written_by_go_are_read() {
    let cases: [(&str, &[u8], usize); 5] = [
        ("default", include_bytes!("../fixtures/s2/default.s2"), 70_000),
        ("better-index", include_bytes!("../fixtures/s2/better-index.s2"), 70_000),
        ("snappy", include_bytes!("../fixtures/s2/snappy.sz"), 70_000),
        ("flush-padded", include_bytes!("../fixtures/s2/flush-padded.s2"), 5_000),
        ("uncompressed", include_bytes!("../fixtures/s2/uncompressed.s2"), 3_000),
    ];
    let sample = sample();
    for (name, stream, len) in cases {
        for step in [1, 7, 1000, usize::MAX] {
            assert!(decode_in(stream, step).unwrap() == sample[..len], "{name} by {step}");
        }
    }
}

#[test]
fn what_is_written_is_read_back() {
    let sample = sample();
    for level in [Level::Uncompressed, Level::Fast, Level::Better, Level::Best] {
        let mut encoder = Encoder::new(level);
        let mut out = Vec::new();
        encoder.encode(&sample, &mut out);
        encoder.encode(b"", &mut out);
        encoder.encode(b"tail", &mut out);
        assert!(out.starts_with(S2_ID_CHUNK));
        let mut want = sample.clone();
        want.extend_from_slice(b"tail");
        assert!(decode_in(&out, 999).unwrap() == want, "{level:?}");
        assert_eq!(out.len() < want.len() * 6 / 10, level != Level::Uncompressed, "{level:?}");
    }
    // More than one block, and streams one after the other.
    let big = vec![7u8; BLOCK * 2 + 1];
    let mut out = Vec::new();
    Encoder::new(Level::Fast).encode(&big, &mut out);
    Encoder::new(Level::Fast).encode(&big, &mut out);
    assert_eq!(decode_in(&out, usize::MAX).unwrap().len(), big.len() * 2);
    assert_eq!(decode_in(b"", 1), Ok(Vec::new()));
}

#[test]
fn errors_name_offset_and_cause() {
    let plain = |data: &[u8]| {
        let mut out = Vec::new();
        Encoder::new(Level::Uncompressed).encode(data, &mut out);
        out
    };
    let good = plain(b"hello");
    let with = |at: usize, bytes: &[u8]| {
        let mut v = good.clone();
        v.splice(at.., bytes.iter().copied());
        v
    };
    let mut flipped = good.clone();
    flipped[20] ^= 1;
    let cases = [
        (good[10..].to_vec(), 0, S2Cause::NoStreamId),
        (b"\xff\x06\x00\x00S2sTwX".to_vec(), 0, S2Cause::NoStreamId),
        (b"GET / HTTP/1.1\r\n".to_vec(), 0, S2Cause::NoStreamId),
        (with(10, b"\x02\x00\x00\x00"), 10, S2Cause::UnknownChunk(2)),
        (with(10, b"\x01\x03\x00\x00"), 10, S2Cause::BadLength),
        (with(10, b"\x01\xff\xff\xff"), 10, S2Cause::BadLength),
        (with(10, b"\x00\x06\x00\x00CRC!\x05\x00"), 10, S2Cause::BadBlock),
        // Claims 1 GiB.
        (with(10, b"\x00\x0a\x00\x00CRC!\x80\x80\x80\x80\x04\x00"), 10, S2Cause::BadLength),
        (flipped, 10, S2Cause::BadCrc),
        (good[..good.len() - 1].to_vec(), 10, S2Cause::Truncated),
        (with(10, b"\xfe\x05\x00\x00ab"), 19, S2Cause::Truncated),
    ];
    for (input, offset, cause) in cases {
        for step in [1, usize::MAX] {
            assert_eq!(decode_in(&input, step), Err(S2Error { offset, cause }), "{input:?}");
        }
    }
    let mut small = Decoder::new(4);
    let mut out = Vec::new();
    let e = S2Error { offset: 10, cause: S2Cause::TooLarge(4) };
    assert_eq!(small.decode(&good, &mut out), Err(e));
    assert_eq!(small.decode(b"more", &mut out), Err(e));
    assert!(out.is_empty());
}

#[test]
fn damage_never_passes_for_data() {
    let mut stream = Vec::new();
    let data = &sample()[..3000];
    Encoder::new(Level::Fast).encode(data, &mut stream);
    for at in 0..stream.len() {
        for bit in 0..8 {
            let mut bad = stream.clone();
            bad[at] ^= 1 << bit;
            match decode_in(&bad, usize::MAX) {
                Err(_) => {}
                // A type that turned into a skippable one loses data; lengths and
                // content cannot change unnoticed.
                Ok(out) => assert!(out.is_empty() || out == data, "byte {at} bit {bit}"),
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        tail in prop::collection::vec(any::<u8>(), 0..200),
        data in prop::collection::vec(0u8..4, 0..300),
        step in 1usize..50,
    ) {
        let mut stream = Vec::new();
        Encoder::new(Level::Fast).encode(&data, &mut stream);
        prop_assert_eq!(&decode_in(&stream, step).unwrap(), &data);
        stream.extend_from_slice(&tail);
        prop_assert_eq!(decode_in(&stream, step), decode_in(&stream, usize::MAX));
    }
}
