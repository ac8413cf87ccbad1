//! What the server writes to clients. Everything is appended to the caller's
//! buffer (`Vec<u8>` or `BytesMut`); nothing allocates by itself.

use bytes::BufMut;

/// `PING` line.
pub const PING: &[u8] = b"PING\r\n";
/// `PONG` line.
pub const PONG: &[u8] = b"PONG\r\n";
/// `+OK` line, sent in verbose mode.
pub const OK: &[u8] = b"+OK\r\n";
/// End of a line and of a payload.
pub const CRLF: &[u8] = b"\r\n";

/// Decimal digits of a number on the stack.
#[derive(Debug, Clone, Copy)]
pub struct Digits {
    buf: [u8; 20],
    start: u8,
}

impl Digits {
    /// The digits of `n`.
    pub fn new(mut n: u64) -> Self {
        let mut buf = [b'0'; 20];
        let mut start = buf.len();
        // A u64 has at most 20 digits, so `zip` ends with the number.
        for slot in buf.iter_mut().rev() {
            start -= 1;
            *slot = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                break;
            }
        }
        Digits { buf, start: start as u8 }
    }

    /// The digits as ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        self.buf.get(self.start as usize..).unwrap_or_default()
    }
}

/// Appends `MSG <subject> <sid> [reply ]<size>\r\n`.
///
/// `size` is text because a publisher's digits are echoed as they were sent
/// (leading zeros kept, contract/core.md §1.4); use [`Digits`] for a number.
/// `reply`: `None` leaves it out; `Some(b"")` leaves the two blanks that
/// messages of the server's own in the system account show (§1.7).
pub fn msg_header(
    out: &mut impl BufMut,
    subject: &[u8],
    sid: &[u8],
    reply: Option<&[u8]>,
    size: &[u8],
) {
    out.put_slice(b"MSG ");
    put_address(out, subject, sid, reply);
    out.put_slice(size);
    out.put_slice(CRLF);
}

/// Appends `HMSG <subject> <sid> [reply ]<header size> <total size>\r\n`; see
/// [`msg_header`].
pub fn hmsg_header(
    out: &mut impl BufMut,
    subject: &[u8],
    sid: &[u8],
    reply: Option<&[u8]>,
    header_size: &[u8],
    total_size: &[u8],
) {
    out.put_slice(b"HMSG ");
    put_address(out, subject, sid, reply);
    out.put_slice(header_size);
    out.put_u8(b' ');
    out.put_slice(total_size);
    out.put_slice(CRLF);
}

fn put_address(out: &mut impl BufMut, subject: &[u8], sid: &[u8], reply: Option<&[u8]>) {
    out.put_slice(subject);
    out.put_u8(b' ');
    out.put_slice(sid);
    out.put_u8(b' ');
    if let Some(reply) = reply {
        out.put_slice(reply);
        out.put_u8(b' ');
    }
}

/// Appends the answer to a request nobody listens to: status 503 to the reply
/// subject, naming the subject that had no responder (contract/core.md §1.7).
pub fn no_responders(out: &mut impl BufMut, reply: &[u8], sid: &[u8], subject: &[u8]) {
    const HEAD: &[u8] = b"NATS/1.0 503\r\nNats-Subject: ";
    const TAIL: &[u8] = b"\r\n\r\n";
    let size = Digits::new((HEAD.len() + subject.len() + TAIL.len()) as u64);
    hmsg_header(out, reply, sid, None, size.as_bytes(), size.as_bytes());
    out.put_slice(HEAD);
    out.put_slice(subject);
    out.put_slice(TAIL);
    out.put_slice(CRLF);
}

/// Appends `INFO <json> \r\n` (the blank before the line end is nats-server's).
pub fn info_line(out: &mut impl BufMut, json: &[u8]) {
    out.put_slice(b"INFO ");
    out.put_slice(json);
    out.put_slice(b" \r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_decimal() {
        for n in [0, 7, 10, 99, 100, 65_536, 999_999_999, u64::MAX] {
            assert_eq!(Digits::new(n).as_bytes(), n.to_string().as_bytes());
        }
    }

    #[test]
    fn lines_have_the_protocols_shape() {
        let cases: [(fn(&mut Vec<u8>), &str); 6] = [
            (|o| msg_header(o, b"a", b"1", None, b"003"), "MSG a 1 003\r\n"),
            (|o| msg_header(o, b"a", b"1", Some(b"r"), b"3"), "MSG a 1 r 3\r\n"),
            (|o| msg_header(o, b"a", b"1", Some(b""), b"3"), "MSG a 1  3\r\n"),
            (|o| hmsg_header(o, b"a", b"1", Some(b"r"), b"12", b"15"), "HMSG a 1 r 12 15\r\n"),
            (|o| info_line(o, b"{}"), "INFO {} \r\n"),
            (
                |o| no_responders(o, b"r", b"1", b"foo"),
                "HMSG r 1 35 35\r\nNATS/1.0 503\r\nNats-Subject: foo\r\n\r\n\r\n",
            ),
        ];
        for (write, want) in cases {
            let mut out = Vec::new();
            write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }
}
