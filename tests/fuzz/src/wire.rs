//! What clients send.

use gust_wire::client::parse::starts_connect;
use gust_wire::client::{ClientOp, Limits, Parsed, parse};
use gust_wire::headers::Headers;
use gust_wire::proxy::{Sniffed, is_tls, sniff};
use gust_wire::s2::Decoder;

/// A connection's bytes, taken operation by operation; the first byte sets limits.
pub fn client_parser(data: &[u8]) {
    let Some((knobs, mut rest)) = data.split_first() else { return };
    let limits = Limits {
        max_control_line: if knobs & 1 == 0 { 4096 } else { 16 },
        max_payload: if knobs & 2 == 0 { 1 << 20 } else { 8 },
        headers: knobs & 4 == 0,
    };
    let _ = starts_connect(rest);
    loop {
        match parse(rest, &limits) {
            Ok(Parsed::Op { op, consumed }) => {
                assert!(consumed > 0 && consumed <= rest.len());
                if let ClientOp::Pub(p) = op {
                    assert!(p.subject.len() + p.payload.len() <= consumed);
                }
                // Less of it is never a whole operation of another kind.
                if let Ok(Parsed::Op { consumed: c, .. }) = parse(&rest[..consumed - 1], &limits) {
                    assert!(c <= consumed);
                }
                rest = &rest[consumed..];
            }
            Ok(Parsed::Incomplete { need }) => {
                assert!(need > rest.len());
                return;
            }
            Err(e) => {
                let _ = e.err_text();
                return;
            }
        }
    }
}

/// A header block; every change leaves one that reads back.
pub fn headers(data: &[u8]) {
    let Some((split, rest)) = data.split_first() else { return };
    let (key, block) = rest.split_at(usize::from(*split % 16).min(rest.len()));
    let h = Headers::new(block);
    let _ = (h.status(), h.get(key), h.get_all(key).count(), h.iter().count());
    let removed = h.remove(key);
    assert!(removed.len() <= block.len() + 16);
    let _ = h.strip_prefix(key);
    let plain = !key.is_empty() && key.iter().all(u8::is_ascii_alphanumeric);
    if plain && block.starts_with(b"NATS/1.0\r\n") && block.ends_with(b"\r\n\r\n") {
        let set = h.set(key, b"v");
        assert_eq!(Headers::new(&set).get(key), Some(&b"v"[..]));
    }
    use gust_jetstream::stream::headers as js;
    let _ = (js::get(block, key), js::lines(block).count(), js::number(block));
}

/// An S2 stream gives the same whole and in pieces, and not too much.
pub fn s2_stream(data: &[u8]) {
    const MAX: u64 = 8 << 20;
    let (mut whole, mut pieces) = (Vec::new(), Vec::new());
    let mut d = Decoder::new(MAX);
    let first = d.decode(data, &mut whole).and_then(|()| d.finish());
    let mut d = Decoder::new(MAX);
    let second =
        data.chunks(7).try_for_each(|c| d.decode(c, &mut pieces)).and_then(|()| d.finish());
    assert!(whole.len() as u64 <= MAX);
    assert_eq!(first, second);
    assert_eq!(whole, pieces);
}

/// What stands before the protocol: a PROXY header or not, then TLS or not. What
/// a part of the bytes says must not be taken back by all of them.
pub fn proxy_header(data: &[u8]) {
    let whole = sniff(data);
    if let Ok(Sniffed::Header { used, .. }) = whole {
        assert!(used > 0 && used <= data.len());
        assert_eq!(sniff(&data[..used]), whole);
        assert_eq!(sniff(&data[..used - 1]), Ok(Sniffed::NeedMore));
        let _ = data.get(used).is_some_and(|b| is_tls(*b));
    }
    if data.first().is_some_and(|b| is_tls(*b)) {
        assert_eq!(whole, Ok(Sniffed::Absent));
    }
    for cut in 0..data.len().min(140) {
        let part = sniff(&data[..cut]);
        assert!(part == Ok(Sniffed::NeedMore) || part == whole, "{cut}: {part:?} {whole:?}");
    }
}
