//! Parser of what clients send: borrowed views into the caller's read buffer,
//! no state between calls, no allocation.
//!
//! The caller keeps unconsumed bytes at the start of its buffer, calls
//! [`parse`] again when there are more, and can reserve exactly what
//! [`Parsed::Incomplete`] says is missing. Rules: contract/core.md §1.4.

use super::ErrText;
use memchr::memchr;

/// Limits that apply while parsing; they change when a client logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of arguments in a control line (`max_control_line`).
    pub max_control_line: usize,
    /// Most bytes of payload plus headers; `usize::MAX` = unlimited.
    pub max_payload: usize,
    /// Whether CONNECT said `headers` and the server allows them.
    pub headers: bool,
}

/// Outcome of looking at the start of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A whole operation.
    Op {
        /// The operation, borrowed from the buffer.
        op: ClientOp<'a>,
        /// Bytes it took, to be dropped from the buffer when done with `op`.
        consumed: usize,
    },
    /// More bytes are needed.
    Incomplete {
        /// Bytes, counted from the start of the buffer, known to be required:
        /// the exact end of a payload, else one more than there are.
        need: usize,
    },
}

/// An operation of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientOp<'a> {
    /// `CONNECT {json}`, see [`crate::connect`].
    Connect(&'a [u8]),
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `+OK`, without effect.
    Ok,
    /// `INFO {json}`, without effect from a client.
    Info,
    /// `-ERR text`: the connection is closed silently.
    Err(&'a [u8]),
    /// `PUB` or `HPUB`.
    Pub(PubOp<'a>),
    /// `SUB`.
    Sub(SubOp<'a>),
    /// `UNSUB`.
    Unsub {
        /// Which subscription.
        sid: &'a [u8],
        /// Deliveries, counted since SUB, after which it ends; `None` (also for
        /// a number that is none) and 0 mean at once.
        max: Option<u64>,
    },
}

/// A published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PubOp<'a> {
    /// Subject, not validated.
    pub subject: &'a [u8],
    /// Reply subject, or empty.
    pub reply: &'a [u8],
    /// Header block; empty for PUB and for HPUB with header size 0.
    pub headers: &'a [u8],
    /// Payload.
    pub payload: &'a [u8],
    /// Headers and payload as one slice, to be shared or copied once.
    pub body: &'a [u8],
    /// Header size as sent; empty for PUB.
    pub header_text: &'a [u8],
    /// Total size as sent, to be echoed to subscribers as it is.
    pub size_text: &'a [u8],
}

/// A subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubOp<'a> {
    /// Subject, not validated.
    pub subject: &'a [u8],
    /// Queue group, or empty.
    pub queue: &'a [u8],
    /// The client's id of the subscription: any token.
    pub sid: &'a [u8],
}

/// Why a connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not an operation, or a payload that does not end at its size.
    #[error("bytes are no operation of the client protocol")]
    UnknownOperation,
    /// Arguments longer than `max_control_line`.
    #[error("control line is longer than max_control_line ({limit} bytes)")]
    MaximumControlLine {
        /// The limit.
        limit: usize,
    },
    /// Payload larger than `max_payload`.
    #[error("message of {size} bytes is larger than max_payload ({limit} bytes)")]
    MaximumPayload {
        /// Announced size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Too few or too many arguments. Closes silently.
    #[error("{0} has a wrong number of arguments")]
    ArgumentCount(&'static str),
    /// A size that is not 1 to 9 digits. Closes silently.
    #[error("{0} has a bad size")]
    BadSize(&'static str),
    /// HPUB whose header size is above its total size. Closes silently.
    #[error("HPUB has a header size above its total size")]
    HeaderBeyondTotal,
    /// HPUB without `headers` in CONNECT. Closes silently.
    #[error("HPUB needs headers: true in CONNECT")]
    HeadersNotSupported,
}

impl ParseError {
    /// What the client is told before the connection closes, if anything.
    pub fn err_text(&self) -> Option<ErrText<'static>> {
        match self {
            ParseError::UnknownOperation => Some(ErrText::UnknownProtocolOperation),
            ParseError::MaximumControlLine { .. } => Some(ErrText::MaximumControlLine),
            ParseError::MaximumPayload { .. } => Some(ErrText::MaximumPayload),
            ParseError::ArgumentCount(_)
            | ParseError::BadSize(_)
            | ParseError::HeaderBeyondTotal
            | ParseError::HeadersNotSupported => None,
        }
    }
}

/// Whether a buffer starts like CONNECT: while authentication is required, any
/// other first byte is an `Authorization Violation`, even if it is no operation.
pub fn starts_connect(buf: &[u8]) -> bool {
    matches!(buf.first(), Some(b'C' | b'c'))
}

/// Parses the operation at the start of `buf`.
///
/// Errors are found as early as possible: a wrong verb at its first wrong byte,
/// a long line before its end, a large or ill-formed size before the payload.
#[inline]
pub fn parse<'a>(buf: &'a [u8], limits: &Limits) -> Result<Parsed<'a>, ParseError> {
    // PUB in its usual spelling, taken without searching for the line end first.
    if buf.starts_with(b"PUB ")
        && let Some((args, line_end, body_start)) = usual_pub(buf)
    {
        return publish(buf, args, "PUB", line_end - 4, body_start, limits);
    }
    parse_any(buf, limits)
}

/// Arguments of PUB and HPUB, as text.
#[derive(Clone, Copy)]
struct PubArgs<'a> {
    subject: &'a [u8],
    reply: &'a [u8],
    header_text: Option<&'a [u8]>,
    size_text: &'a [u8],
}

/// Splits `PUB subject [reply] size` with single blanks between. `None` when
/// anything is unusual or incomplete, which [`parse_any`] handles.
#[inline]
fn usual_pub(buf: &[u8]) -> Option<(PubArgs<'_>, usize, usize)> {
    let (subject, at) = blank_ended(buf, 4)?;
    if buf.get(at) != Some(&b' ') {
        return None;
    }
    let (second, at) = blank_ended(buf, at + 1)?;
    let (reply, size_text, line_end) = if buf.get(at) == Some(&b' ') {
        let (third, at) = blank_ended(buf, at + 1)?;
        (second, third, at)
    } else {
        (&buf[..0], second, at)
    };
    let body_start = match buf.get(line_end..)? {
        [b'\r', b'\n', ..] => line_end + 2,
        [b'\n', ..] => line_end + 1,
        _ => return None,
    };
    Some((PubArgs { subject, reply, header_text: None, size_text }, line_end, body_start))
}

/// The non-empty token from `start` up to the next byte ≤ blank, and where that
/// byte is. Looks at eight bytes at a time: subjects are 10 to 60 bytes long,
/// too short for a vectorised search to pay off.
#[inline]
fn blank_ended(buf: &[u8], start: usize) -> Option<(&[u8], usize)> {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let mut at = start;
    let end = loop {
        if let Some(chunk) = buf.get(at..at + 8) {
            let word = u64::from_le_bytes(chunk.try_into().ok()?);
            // The lowest set bit marks the first byte below 0x21.
            let found = word.wrapping_sub(ONES * 0x21) & !word & HIGH;
            if found != 0 {
                break at + (found.trailing_zeros() / 8) as usize;
            }
            at += 8;
        } else {
            break at + buf.get(at..)?.iter().position(|&b| b <= b' ')?;
        }
    };
    (end > start).then(|| buf.get(start..end).map(|token| (token, end)))?
}

/// Checks sizes and takes the payload.
#[inline]
fn publish<'a>(
    buf: &'a [u8],
    args: PubArgs<'a>,
    verb: &'static str,
    arg_len: usize,
    body_start: usize,
    limits: &Limits,
) -> Result<Parsed<'a>, ParseError> {
    if arg_len > limits.max_control_line {
        return Err(ParseError::MaximumControlLine { limit: limits.max_control_line });
    }
    let header_size = match args.header_text {
        Some(text) => size(text).ok_or(ParseError::BadSize(verb))?,
        None => 0,
    };
    let total = size(args.size_text).ok_or(ParseError::BadSize(verb))?;
    if header_size > total {
        return Err(ParseError::HeaderBeyondTotal);
    }
    if total > limits.max_payload {
        return Err(ParseError::MaximumPayload { size: total, limit: limits.max_payload });
    }
    let rest = buf.get(body_start..).unwrap_or_default();
    let Some((body, tail)) = rest.split_at_checked(total) else {
        return Ok(Parsed::Incomplete { need: body_start + total + 2 });
    };
    match tail {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] => return Ok(Parsed::Incomplete { need: body_start + total + 2 }),
        _ => return Err(ParseError::UnknownOperation),
    }
    let (headers, payload) = body.split_at(header_size);
    let op = PubOp {
        subject: args.subject,
        reply: args.reply,
        headers,
        payload,
        body,
        header_text: args.header_text.unwrap_or_default(),
        size_text: args.size_text,
    };
    Ok(Parsed::Op { op: ClientOp::Pub(op), consumed: body_start + total + 2 })
}

/// A size: 1 to 9 digits.
#[inline]
fn size(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    let mut n = 0usize;
    for &b in text {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n = n * 10 + digit as usize;
    }
    Some(n)
}

/// What follows a verb.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A blank, then arguments.
    Arguments,
    /// Arguments, with or without a blank before.
    Document,
    /// Anything, ignored.
    Ignored,
}

/// Everything but the usual PUB.
fn parse_any<'a>(buf: &'a [u8], limits: &Limits) -> Result<Parsed<'a>, ParseError> {
    let (verb, shape): (&'static str, Shape) = match (buf.first(), buf.get(1)) {
        (None, _) => return Ok(Parsed::Incomplete { need: 1 }),
        (Some(b'P' | b'p'), None) => return Ok(Parsed::Incomplete { need: 2 }),
        (Some(b'P' | b'p'), Some(b'U' | b'u')) => ("PUB", Shape::Arguments),
        (Some(b'P' | b'p'), Some(b'I' | b'i')) => ("PING", Shape::Ignored),
        (Some(b'P' | b'p'), Some(_)) => ("PONG", Shape::Ignored),
        (Some(b'H' | b'h'), _) => ("HPUB", Shape::Arguments),
        (Some(b'S' | b's'), _) => ("SUB", Shape::Arguments),
        (Some(b'U' | b'u'), _) => ("UNSUB", Shape::Arguments),
        (Some(b'C' | b'c'), _) => ("CONNECT", Shape::Document),
        (Some(b'I' | b'i'), _) => ("INFO", Shape::Document),
        (Some(b'+'), _) => ("+OK", Shape::Ignored),
        (Some(b'-'), _) => ("-ERR", Shape::Arguments),
        _ => return Err(ParseError::UnknownOperation),
    };
    let have = buf.len().min(verb.len());
    let (sent, rest) = buf.split_at(have);
    if !sent.eq_ignore_ascii_case(verb.as_bytes().get(..have).unwrap_or_default()) {
        return Err(ParseError::UnknownOperation);
    }
    let blank = matches!(rest.first(), Some(b' ' | b'\t'));
    if shape == Shape::Arguments && !rest.is_empty() && !blank {
        return Err(ParseError::UnknownOperation);
    }
    let skipped = match shape {
        Shape::Ignored => 0,
        _ => rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count(),
    };
    let arg_start = have + skipped;
    let rest = rest.get(skipped..).unwrap_or_default();
    let too_long = Err(ParseError::MaximumControlLine { limit: limits.max_control_line });
    let line_len = memchr(b'\n', rest);
    // Blanks and ignored text are bounded as well: the line has to fit the
    // caller's buffer. One more byte may be the CR.
    if line_len.unwrap_or(rest.len()).max(skipped) > limits.max_control_line.saturating_add(1) {
        return too_long;
    }
    let Some(line_len) = line_len else {
        return Ok(Parsed::Incomplete { need: buf.len() + 1 });
    };
    let arg = rest.get(..line_len).unwrap_or_default();
    let arg = arg.strip_suffix(b"\r").unwrap_or(arg);
    if shape != Shape::Ignored && arg.len() > limits.max_control_line {
        return too_long;
    }
    let line_end = arg_start + line_len + 1;
    let op = match verb {
        "PUB" => return publish(buf, pub_args(arg)?, verb, arg.len(), line_end, limits),
        "HPUB" if !limits.headers => return Err(ParseError::HeadersNotSupported),
        "HPUB" => return publish(buf, hpub_args(arg)?, verb, arg.len(), line_end, limits),
        "SUB" => sub(arg)?,
        "UNSUB" => unsub(arg)?,
        "CONNECT" => ClientOp::Connect(arg),
        "INFO" => ClientOp::Info,
        "PING" => ClientOp::Ping,
        "PONG" => ClientOp::Pong,
        "+OK" => ClientOp::Ok,
        _ => ClientOp::Err(arg),
    };
    Ok(Parsed::Op { op, consumed: line_end })
}

/// Splits on runs of blanks and tabs into at most `N` tokens; `None` if there
/// are more. Unused places stay empty.
fn tokens<const N: usize>(arg: &[u8]) -> Option<([&[u8]; N], usize)> {
    let mut out = [&arg[..0]; N];
    let mut count = 0;
    for token in arg.split(|b| matches!(b, b' ' | b'\t')).filter(|t| !t.is_empty()) {
        *out.get_mut(count)? = token;
        count += 1;
    }
    Some((out, count))
}

fn pub_args(arg: &[u8]) -> Result<PubArgs<'_>, ParseError> {
    let (subject, reply, size_text) = match tokens::<3>(arg) {
        Some(([subject, size, _], 2)) => (subject, &arg[..0], size),
        Some(([subject, reply, size], 3)) => (subject, reply, size),
        _ => return Err(ParseError::ArgumentCount("PUB")),
    };
    Ok(PubArgs { subject, reply, header_text: None, size_text })
}

fn hpub_args(arg: &[u8]) -> Result<PubArgs<'_>, ParseError> {
    let (subject, reply, header, size_text) = match tokens::<4>(arg) {
        Some(([subject, header, size, _], 3)) => (subject, &arg[..0], header, size),
        Some(([subject, reply, header, size], 4)) => (subject, reply, header, size),
        _ => return Err(ParseError::ArgumentCount("HPUB")),
    };
    Ok(PubArgs { subject, reply, header_text: Some(header), size_text })
}

fn sub(arg: &[u8]) -> Result<ClientOp<'_>, ParseError> {
    let (subject, queue, sid) = match tokens::<3>(arg) {
        Some(([subject, sid, _], 2)) => (subject, &arg[..0], sid),
        Some(([subject, queue, sid], 3)) => (subject, queue, sid),
        _ => return Err(ParseError::ArgumentCount("SUB")),
    };
    Ok(ClientOp::Sub(SubOp { subject, queue, sid }))
}

fn unsub(arg: &[u8]) -> Result<ClientOp<'_>, ParseError> {
    match tokens::<2>(arg) {
        Some(([sid, _], 1)) => Ok(ClientOp::Unsub { sid, max: None }),
        Some(([sid, max], 2)) => Ok(ClientOp::Unsub { sid, max: size(max).map(|n| n as u64) }),
        _ => Err(ParseError::ArgumentCount("UNSUB")),
    }
}

#[cfg(test)]
#[path = "parse_test.rs"]
mod tests;
