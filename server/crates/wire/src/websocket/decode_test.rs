//! Frames in any pieces give the same bytes and events; what breaks the rules is
//! found at the first byte that shows it.

use super::super::deflate::Deflater;
use super::*;
use proptest::prelude::*;

/// One masked frame.
fn frame(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        n @ 0..=125 => out.push(MASK | n as u8),
        n @ 126..=0xFFFF => {
            out.push(MASK | 126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            out.push(MASK | 127);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k));
    out
}

#[derive(Debug, PartialEq)]
enum Event {
    Bytes(Vec<u8>),
    Ping(Vec<u8>),
    Close(Option<(u16, String)>),
}

const RULES: Rules = Rules { masked: true, compress: true };
const ROOM: Room = Room { output: 1 << 20, inflated: 1 << 20, pieces: PIECES, logged_in: true };

/// Feeds `input` in pieces of `split` bytes.
fn decode(rules: Rules, input: &[u8], split: usize, room: Room) -> Result<Vec<Event>, FrameError> {
    let mut decoder = Decoder::new(rules);
    let mut pool = Inflaters::default();
    let mut events = Vec::new();
    let mut out = BytesMut::new();
    for piece in input.chunks(split.max(1)) {
        let mut rest = piece;
        loop {
            let (used, step) = decoder.step(rest, &mut out, &mut room.clone(), &mut pool)?;
            assert!(out.len() <= room.output);
            rest = &rest[used..];
            if !out.is_empty() {
                match events.last_mut() {
                    Some(Event::Bytes(all)) => all.extend_from_slice(&out),
                    _ => events.push(Event::Bytes(out.to_vec())),
                }
            }
            let was_empty = out.is_empty();
            out.clear();
            match step {
                Step::NeedInput => break assert!(rest.is_empty()),
                Step::OutputFull => assert!(!was_empty, "stuck"),
                Step::Tired => {}
                Step::NeedLogin => panic!("more than is kept before a login"),
                Step::Ping(p) => events.push(Event::Ping(p.payload().to_vec())),
                Step::Close(c) => {
                    events.push(Event::Close(c.map(|(code, text)| (code.number(), text))));
                    return Ok(events);
                }
            }
        }
    }
    Ok(events)
}

fn error(rules: Rules, input: &[u8]) -> FrameError {
    // All errors show in the last byte given, no earlier.
    let before = decode(rules, &input[..input.len() - 1], 1, ROOM);
    assert!(before.is_ok(), "{before:?}");
    let bytewise = decode(rules, input, 1, ROOM).unwrap_err();
    assert_eq!(decode(rules, input, usize::MAX, ROOM), Err(bytewise));
    bytewise
}

#[derive(Debug, Clone)]
struct Sent {
    parts: Vec<Vec<u8>>,
    ping: Option<Vec<u8>>,
    compressed: bool,
    text: bool,
    key: [u8; 4],
}

fn sent() -> impl Strategy<Value = Sent> {
    (
        prop::collection::vec(prop::collection::vec(0u8..5, 0..700), 1..4),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..126)),
        any::<bool>(),
        any::<bool>(),
        any::<[u8; 4]>(),
    )
        .prop_map(|(parts, ping, compressed, text, key)| Sent {
            parts,
            ping,
            compressed,
            text,
            key,
        })
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        messages in prop::collection::vec(sent(), 0..6),
        split in 1usize..300,
        output in 1usize..900,
        pieces in 1u32..5,
        logged_in: bool,
    ) {
        let mut wire = Vec::new();
        let mut bytes = Vec::new();
        let mut pings = Vec::new();
        for m in &messages {
            let mut parts = m.parts.clone();
            bytes.extend(parts.concat());
            if m.compressed {
                let mut packed = Vec::new();
                let whole = parts.concat();
                Deflater::default().message(&whole, &mut packed);
                parts = packed.chunks(packed.len() / m.parts.len() + 1).map(<[u8]>::to_vec).collect();
            }
            let last = parts.len() - 1;
            for (i, part) in parts.iter().enumerate() {
                let mut first = if i == last { FIN } else { 0 };
                if i == 0 {
                    first |= if m.text { TEXT } else { BINARY };
                    first |= if m.compressed { RSV1 } else { 0 };
                }
                wire.extend(frame(first, part, m.key));
                if let Some(ping) = &m.ping {
                    wire.extend(frame(FIN | PING, ping, m.key));
                    wire.extend(frame(FIN | PONG, ping, m.key));
                    pings.push(ping.clone());
                }
            }
        }
        wire.extend(frame(FIN | CLOSE, b"\x03\xE8bye", [9, 8, 7, 6]));
        let events = decode(RULES, &wire, split, Room { output, pieces, logged_in, ..ROOM }).unwrap();
        let (mut got, mut got_pings, mut closed) = (Vec::new(), Vec::new(), 0);
        for e in events {
            match e {
                Event::Bytes(b) => got.extend(b),
                Event::Ping(p) => got_pings.push(p),
                Event::Close(c) => {
                    prop_assert_eq!(c, Some((1000, "bye".to_owned())));
                    closed += 1;
                }
            }
        }
        prop_assert_eq!(got, bytes);
        prop_assert_eq!(got_pings, pings);
        prop_assert_eq!(closed, 1);
    }

    #[test]
    fn junk_is_an_error_or_bytes(
        junk in prop::collection::vec(any::<u8>(), 0..400),
        split in 1usize..50,
    ) {
        let room = Room { output: 100, inflated: 5000, ..ROOM };
        let whole = decode(RULES, &junk, usize::MAX, room);
        let pieces = decode(RULES, &junk, split, room);
        // Which error a damaged compressed message shows depends on the split.
        match (whole, pieces) {
            (Err(_), Err(_)) => {}
            (whole, pieces) => prop_assert_eq!(whole, pieces),
        }
    }
}

#[test]
fn broken_rules() {
    use FrameError as E;
    let key = [0; 4];
    let hello = frame(BINARY, b"hel", key);
    for (expected, tail) in [
        (E::ReservedBit, &[FIN | 0x20 | BINARY][..]),
        (E::ReservedBit, &[FIN | 0x10 | BINARY]),
        (E::MaskMissing, &[FIN | PING, 5]),
        (E::UnknownOpcode(3), &[FIN | 3]),
        (E::UnknownOpcode(11), &[FIN | 11]),
        (E::BadControl, &[PING]),
        (E::BadControl, &[FIN | RSV1 | CLOSE]),
        (E::BadControl, &[FIN | PING, MASK | 126]),
        (E::MessageInMessage, &[FIN | BINARY]),
        (E::BadContinuation, &[FIN | RSV1]),
        (E::BadCloseCode, &[FIN | CLOSE, MASK | 1, 0, 0, 0, 0, 3]),
        (E::BadCloseCode, &[FIN | CLOSE, MASK | 2, 0, 0, 0, 0, 3, 0xED]),
        (E::BadLength, &[0, MASK | 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        let input = [&hello[..], tail].concat();
        assert_eq!(error(RULES, &input), expected, "{tail:x?}");
    }
    assert_eq!(error(RULES, &[FIN]), E::BadContinuation);
    let plain = Rules { compress: false, ..RULES };
    assert_eq!(error(plain, &[FIN | RSV1 | TEXT]), E::NotNegotiated);
}

#[test]
fn close_frames() {
    let close = |payload: &[u8]| {
        let events = decode(RULES, &frame(FIN | CLOSE, payload, [1, 2, 3, 4]), 1, ROOM).unwrap();
        let [Event::Close(c)] = &events[..] else { panic!("{events:?}") };
        c.clone()
    };
    assert_eq!(close(b""), None);
    assert_eq!(close(b"\x03\xE9"), Some((1001, String::new())));
    assert_eq!(close(b"\x0f\xA0own"), Some((4000, "own".to_owned())));
    assert_eq!(close(b"\x03\xE8\xFF").unwrap().0, 1007);
}

#[test]
fn no_masking_takes_both_kinds() {
    let rules = Rules { masked: false, compress: false };
    let mut wire = vec![FIN | BINARY, 2, b'h', b'i'];
    wire.extend(frame(FIN | BINARY, b" you", [1, 2, 3, 4]));
    assert_eq!(decode(rules, &wire, 1, ROOM), Ok(vec![Event::Bytes(b"hi you".to_vec())]));
}

#[test]
fn a_large_message_needs_no_more_room_than_offered() {
    let payload = vec![42u8; 300_000];
    let mut packed = Vec::new();
    Deflater::default().message(&payload, &mut packed);
    for wire in [
        frame(FIN | BINARY, &payload, [1, 2, 3, 4]),
        frame(FIN | RSV1 | BINARY, &packed, [1, 2, 3, 4]),
    ] {
        let room = Room { output: 1000, inflated: payload.len(), ..ROOM };
        assert_eq!(decode(RULES, &wire, 5000, room), Ok(vec![Event::Bytes(payload.clone())]));
    }
    let wire = frame(FIN | RSV1 | BINARY, &packed, [1, 2, 3, 4]);
    let room = Room { output: 1000, inflated: payload.len() - 1, ..ROOM };
    assert_eq!(
        decode(RULES, &wire, 5000, room),
        Err(FrameError::Inflate(InflateError::TooBig(payload.len() - 1)))
    );
}

#[test]
fn nothing_waits_inside_for_more_input() {
    // The end of the message is missing; all that came of it is to be seen.
    let payload = vec![42u8; 300_000];
    let mut packed = Vec::new();
    Deflater::default().message(&payload, &mut packed);
    for first in [RSV1 | BINARY, FIN | RSV1 | BINARY] {
        let mut wire = frame(first, &packed, [1, 2, 3, 4]);
        if first & FIN != 0 {
            // One byte less than announced.
            wire.pop();
        }
        for (split, output) in [(usize::MAX, 1000), (1, 1000), (7, 1 << 20)] {
            let room = Room { output, ..ROOM };
            let [Event::Bytes(got)] = &decode(RULES, &wire, split, room).unwrap()[..] else {
                panic!("one run of bytes");
            };
            assert!(got.len() > 299_000, "{}", got.len());
        }
    }
}

/// Steps once; what was taken, why it stopped, what came out.
fn step(decoder: &mut Decoder, input: &[u8], room: &mut Room) -> (usize, Step, BytesMut) {
    let mut out = BytesMut::new();
    let (used, step) = decoder.step(input, &mut out, room, &mut Inflaters::default()).unwrap();
    (used, step, out)
}

#[test]
fn a_turn_ends_after_so_many_runs_of_the_decompressor() {
    let ping = frame(FIN | PING, b"", [0; 4]);
    let empty = frame(FIN | RSV1 | BINARY, &[0], [0; 4]);
    // Empty stored blocks, byte by byte, behind the beginning of their message.
    let begin = frame(RSV1 | BINARY, b"", [0; 4]);
    let block = [0, 0, 0, 0xFF, 0xFF];
    let fragments: Vec<_> = block.iter().map(|b| frame(CONTINUATION, &[*b], [0; 4])).collect();
    for (first, unit) in [
        (Vec::new(), empty.clone()),
        (Vec::new(), [&empty[..], &ping].concat()),
        (begin, fragments.concat()),
        (frame(RSV1 | BINARY, &[0], [0; 4]), frame(CONTINUATION, b"", [0; 4])),
    ] {
        for logged_in in [true, false] {
            let mut wire = first.clone();
            wire.extend(unit.repeat(1000));
            let mut decoder = Decoder::new(RULES);
            let mut room = Room { logged_in, ..ROOM };
            let mut used = 0;
            let end = loop {
                let (n, why, out) = step(&mut decoder, &wire[used..], &mut room);
                assert!(out.is_empty());
                used += n;
                // An answer to the peer begins no new turn.
                if !matches!(why, Step::Ping(_)) {
                    break why;
                }
            };
            if !first.is_empty() && !logged_in {
                // Nothing runs before the message is whole.
                assert_eq!((used, end), (wire.len(), Step::NeedInput));
                continue;
            }
            assert_eq!(end, Step::Tired);
            assert!(used <= first.len() + (PIECES as usize + 1) * unit.len(), "{used}");
            // With new strength it goes on where it was.
            room.pieces = PIECES;
            assert!(step(&mut decoder, &wire[used..], &mut room).0 > 0);
        }
    }
}

#[test]
fn before_the_login_little_is_kept_of_a_compressed_message() {
    // Stored blocks: as large compressed as they are.
    let mut packed = Vec::new();
    for _ in 0..2 {
        packed.extend([0, 0x10, 0x27, 0xEF, 0xD8]);
        packed.extend([b'x'; 10_000]);
    }
    packed.push(0);
    let wire = frame(FIN | RSV1 | BINARY, &packed, [1, 2, 3, 4]);
    let mut decoder = Decoder::new(RULES);
    let mut stranger = Room { logged_in: false, ..ROOM };
    let head = wire.len() - packed.len();
    for (from, to, why) in [(0, 5000, Step::NeedInput), (5000, wire.len(), Step::NeedLogin)] {
        let (used, got, out) = step(&mut decoder, &wire[from..to], &mut stranger);
        assert_eq!((from + used, got), (to.min(head + MAX_GATHERED), why));
        assert!(out.is_empty() && decoder.inflater.is_none());
    }
    assert!(decoder.gathered.capacity() <= 2 * MAX_GATHERED);
    assert_eq!(stranger.pieces, PIECES);
    // What came before was the login: the message goes on.
    let rest = &wire[head + MAX_GATHERED..];
    let (used, why, out) = step(&mut decoder, rest, &mut ROOM.clone());
    assert_eq!((used, why), (rest.len(), Step::NeedInput));
    assert_eq!(out, vec![b'x'; 20_000]);
    assert_eq!(decoder.gathered.capacity(), 0);
}
