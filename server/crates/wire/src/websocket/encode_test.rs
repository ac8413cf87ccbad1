//! Frames read back to what was put in; their sizes are what each peer likes.

use super::super::decode::{Decoder, Room, Rules, Step};
use super::super::deflate::Inflaters;
use super::*;
use bytes::BytesMut;
use proptest::prelude::*;

fn frames(encoder: Encoder, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if encoder.compresses(payload.len()) {
        let (deflater, packed) = (&mut Deflater::default(), &mut Vec::new());
        encoder.encode_compressed(payload, &mut out, deflater, packed);
    } else {
        encoder.encode(payload, &mut out);
    }
    out
}

fn read(frames: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(Rules { masked: false, compress: true });
    let all = usize::MAX;
    let mut room = Room { output: all, inflated: all, pieces: u32::MAX, logged_in: true };
    let mut out = BytesMut::new();
    let step = decoder.step(frames, &mut out, &mut room, &mut Inflaters::default());
    assert_eq!(step, Ok((frames.len(), Step::NeedInput)));
    out.to_vec()
}

/// First byte and payload length of each frame.
fn heads(mut rest: &[u8]) -> Vec<(u8, usize)> {
    let mut out = Vec::new();
    while let [first, len, tail @ ..] = rest {
        let (len, at) = match *len {
            126 => (usize::from(u16::from_be_bytes([tail[0], tail[1]])), 2),
            127 => (u64::from_be_bytes(tail[..8].try_into().unwrap()) as usize, 8),
            n => (usize::from(n), 0),
        };
        out.push((*first, len));
        rest = &tail[at + len..];
    }
    out
}

proptest! {
    #[test]
    fn roundtrip(
        payload in prop::collection::vec(0u8..9, 0..30_000),
        compress: bool,
        browser: bool,
        whole_compressed: bool,
    ) {
        let framed = frames(Encoder { compress, browser, whole_compressed }, &payload);
        prop_assert_eq!(read(&framed), payload);
    }
}

#[test]
fn normal_clients_get_one_frame() {
    for len in [1usize, 125, 126, 65_535, 65_536, 1_000_000] {
        assert_eq!(heads(&frames(Encoder::default(), &vec![7; len])), [(0x82, len)]);
    }
    assert!(frames(Encoder::default(), b"").is_empty());
}

#[test]
fn browsers_get_small_frames() {
    let browser = Encoder { browser: true, ..Encoder::default() };
    let framed = frames(browser, &[1; 10_000]);
    assert_eq!(heads(&framed), [(0x82, 4096), (0x82, 4096), (0x82, 10_000 - 8192)]);
    assert_eq!(heads(&frames(browser, &[1; 4096])), [(0x82, 4096)]);
}

#[test]
fn compressed_messages_are_fragmented_for_browsers_but_safari() {
    // Noise, which does not get smaller.
    let mut noise = vec![0u8; 10_000];
    let mut x = 1u32;
    for b in &mut noise {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *b = (x >> 24) as u8;
    }
    let with = |browser, whole_compressed| {
        heads(&frames(Encoder { compress: true, browser, whole_compressed }, &noise))
    };
    let pieces = with(true, false);
    assert_eq!(pieces[0], (0x42, 4096));
    assert!(pieces[1..pieces.len() - 1].iter().all(|p| *p == (0x00, 4096)));
    assert_eq!(pieces[pieces.len() - 1].0, 0x80);
    for whole in [with(true, true), with(false, false)] {
        assert_eq!((whole.len(), whole[0].0), (1, 0xC2));
    }
    let small = Encoder { compress: true, ..Encoder::default() };
    assert_eq!(heads(&frames(small, &[0; 64])), [(0x82, 64)]);
    assert_eq!(heads(&frames(small, &[0; 65]))[0].0, 0xC2);
}

#[test]
fn pong_carries_the_payload() {
    let mut out = Vec::new();
    put_pong(&mut out, b"hi");
    assert_eq!(out, [0x8A, 2, b'h', b'i']);
    out.clear();
    put_pong(&mut out, &[0; 200]);
    assert_eq!(out.len(), 127);
}
