//! What arrives at the WebSocket port before anybody has logged in.

use bytes::BytesMut;
use gust_wire::websocket::decode::{Decoder, FrameError, Room, Rules, Step};
use gust_wire::websocket::deflate::{Deflater, Inflaters};
use gust_wire::websocket::encode::{Encoder, put_pong};
use gust_wire::websocket::origin::Origin;
use gust_wire::websocket::upgrade::{
    CookieNames, MAX_REQUEST, Policy, Request, parse, put_accept, put_refusal,
};

/// A request is answered the same however it arrives, and the answer has no
/// lines of the peer's making.
pub fn websocket_upgrade(data: &[u8]) {
    let Some((knobs, request)) = data.split_first() else { return };
    let bit = |n: u8| knobs & (1 << n) != 0;
    let policy = Policy {
        tls: bit(0),
        same_origin: bit(1),
        allowed_origins: if bit(2) {
            Origin::parse("http://a.b").into_iter().collect()
        } else {
            vec![]
        },
        compression: bit(3),
        mqtt: bit(4),
        cookies: CookieNames { user: "u".to_owned(), ..CookieNames::default() },
    };
    let whole = parse(request, &policy);
    for cut in [1, request.len() / 2, request.len().saturating_sub(1)] {
        let Some(part) = request.get(..cut) else { continue };
        match (parse(part, &policy), &whole) {
            (Ok(Request::Upgrade(_)), Ok(Request::Upgrade(_))) if cut < request.len() => {
                panic!("bytes after the request were taken")
            }
            (Err(e), Ok(Request::Upgrade(_))) => panic!("refused too early: {e}"),
            _ => {}
        }
    }
    let mut out = Vec::new();
    match whole {
        Ok(Request::Incomplete) => assert!(request.len() <= MAX_REQUEST),
        Ok(Request::Upgrade(u)) => {
            put_accept(&mut out, &u, [("X", "y")].into_iter());
            assert!(out.len() < 512 && out.ends_with(b"\r\nX: y\r\n\r\n"));
        }
        Err(e) => {
            put_refusal(&mut out, e);
            assert!(out.starts_with(b"HTTP/1.1 4"));
        }
    }
}

/// Frames give the same bytes and end in every split, within the room offered;
/// what came out goes through the encoder and back.
pub fn websocket_frames(data: &[u8]) {
    let Some((knobs, frames)) = data.split_first() else { return };
    let bit = |n: u8| knobs & (1 << n) != 0;
    let rules = Rules { masked: bit(0), compress: bit(1) };
    let (bytes, error, pongs) = decode(rules, frames, usize::MAX);
    let (other_bytes, other_error, other_pongs) =
        decode(rules, frames, usize::from(knobs >> 4) + 1);
    // What a damaged message gives before the damage is found depends on the
    // split; everything else does not.
    assert_eq!((error.is_some(), pongs), (other_error.is_some(), other_pongs));
    assert!(
        bytes.starts_with(&other_bytes) || (error.is_some() && other_bytes.starts_with(&bytes))
    );
    let encoder = Encoder { compress: bit(1), browser: bit(2), whole_compressed: bit(3) };
    let mut sent = Vec::new();
    if encoder.compresses(bytes.len()) {
        let mut deflater = Deflater::default();
        encoder.encode_compressed(&bytes, &mut sent, &mut deflater, &mut Vec::new());
    } else {
        encoder.encode(&bytes, &mut sent);
    }
    // A compressed message may be as large as the room for one.
    let most = bytes.get(..ROOM.inflated).unwrap_or(&bytes);
    let back = decode(Rules { masked: false, compress: true }, &sent, usize::MAX);
    assert_eq!(back.0.get(..most.len()), Some(most));
}

const ROOM: Room = Room { output: 4096, inflated: 64 << 10, pieces: 8, logged_in: true };

fn decode(rules: Rules, frames: &[u8], split: usize) -> (Vec<u8>, Option<FrameError>, Vec<u8>) {
    let mut decoder = Decoder::new(rules);
    let mut pool = Inflaters::default();
    let (mut out, mut all, mut pongs) = (BytesMut::new(), Vec::new(), Vec::new());
    for piece in frames.chunks(split) {
        let mut rest = piece;
        loop {
            let step = decoder.step(rest, &mut out, &mut ROOM.clone(), &mut pool);
            assert!(out.len() <= ROOM.output);
            let stuck = out.is_empty();
            all.extend_from_slice(&out);
            out.clear();
            match step {
                Err(e) => return (all, Some(e), pongs),
                Ok((used, step)) => {
                    rest = &rest[used..];
                    match step {
                        Step::NeedInput => break assert!(rest.is_empty()),
                        Step::OutputFull => assert!(!stuck),
                        Step::Tired => {}
                        Step::NeedLogin => panic!("nobody is a stranger here"),
                        Step::Ping(p) => put_pong(&mut pongs, p.payload()),
                        Step::Close(_) => return (all, None, pongs),
                    }
                }
            }
        }
    }
    (all, None, pongs)
}
