//! PubAcks: bytes clients compare against (contract/jetstream.md §3).

use super::rules::Rules;
use crate::error::ApiError;
use crate::json::{self, json_struct};
use bytes::{BufMut, Bytes, BytesMut};

/// What a PubAck says besides the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra<'a> {
    /// Nothing.
    None,
    /// It was stored before under the same id.
    Duplicate,
    /// A counter's new value.
    Val(&'a str),
}

/// The PubAck for `seq`.
pub fn pub_ack(rules: &Rules, seq: u64, extra: Extra<'_>) -> Bytes {
    let mut out = BytesMut::with_capacity(rules.ack_prefix.len() + 48);
    out.put_slice(&rules.ack_prefix);
    put_number(&mut out, seq);
    match extra {
        Extra::None => out.put_u8(b'}'),
        // The blank is nats-server's.
        Extra::Duplicate => out.put_slice(b",\"duplicate\": true}"),
        Extra::Val(v) => {
            out.put_slice(b",\"val\":\"");
            out.put_slice(v.as_bytes());
            out.put_slice(b"\"}");
        }
    }
    out.freeze()
}

/// The PubAck of a refused publish.
pub fn refusal(rules: &Rules, error: ApiError) -> Bytes {
    json::to_bytes(&Refusal { error, stream: rules.config.name.clone(), seq: 0 })
}

json_struct! {
    /// An answer with an error.
    pub struct Refusal("JSPubAckResponse") {
        /// What is wrong.
        error: ApiError = "error",
        /// Stream.
        stream: String = "stream",
        /// Always 0.
        seq: u64 = "seq",
    }
}

/// Appends decimal digits.
pub fn put_number(out: &mut BytesMut, mut n: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StreamConfig;

    #[test]
    fn the_bytes_are_those_of_nats_server() {
        let config = StreamConfig { name: "S".into(), ..StreamConfig::default() };
        let r = Rules::new(config.clone(), "");
        for (extra, want) in [
            (Extra::None, r#"{"stream":"S","seq":18446744073709551615}"#),
            (Extra::Duplicate, r#"{"stream":"S","seq":18446744073709551615,"duplicate": true}"#),
            (Extra::Val("-3"), r#"{"stream":"S","seq":18446744073709551615,"val":"-3"}"#),
        ] {
            assert_eq!(pub_ack(&r, u64::MAX, extra), want);
        }
        let r = Rules::new(config, "hub");
        assert_eq!(pub_ack(&r, 0, Extra::None), r#"{"stream":"S","domain":"hub","seq":0}"#);
        assert_eq!(
            refusal(&r, crate::error::stream_sealed()),
            r#"{"error":{"code":400,"err_code":10109,"description":"invalid operation on sealed stream"},"stream":"S","seq":0}"#
        );
    }
}
