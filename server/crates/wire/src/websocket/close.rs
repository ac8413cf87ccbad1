//! The Close frame: why a connection ends, for the program at the other end.

use super::{CLOSE, FIN, MAX_CONTROL};

/// Why a connection is closed (RFC 6455 §7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// 1000: nothing is wrong.
    Normal,
    /// 1001: the server goes away or gives the peer up.
    GoingAway,
    /// 1002: the peer broke the protocol.
    ProtocolError,
    /// 1007: text that is not UTF-8.
    InvalidData,
    /// 1008: not allowed: credentials or a limit.
    PolicyViolation,
    /// 1009: a message is too large.
    TooBig,
    /// 1011: anything else.
    Internal,
    /// Any other code a peer may send.
    Other(u16),
}

impl CloseCode {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::ProtocolError => 1002,
            Self::InvalidData => 1007,
            Self::PolicyViolation => 1008,
            Self::TooBig => 1009,
            Self::Internal => 1011,
            Self::Other(code) => code,
        }
    }

    /// The code of a received Close frame; `None` if no peer may send it.
    pub fn received(number: u16) -> Option<Self> {
        Some(match number {
            1000 => Self::Normal,
            1001 => Self::GoingAway,
            1002 => Self::ProtocolError,
            1007 => Self::InvalidData,
            1008 => Self::PolicyViolation,
            1009 => Self::TooBig,
            1011 => Self::Internal,
            // 1005, 1006 and 1015 stand for what never travels; 1004 and what
            // follows 1015 is reserved.
            1003 | 1010 | 1012..=1014 | 3000..=4999 => Self::Other(number),
            _ => return None,
        })
    }
}

/// Appends a Close frame with a reason, cut to what fits a control frame.
pub fn put_close(out: &mut Vec<u8>, code: CloseCode, reason: &str) {
    const ROOM: usize = MAX_CONTROL - 2;
    let (text, more) = if reason.len() <= ROOM {
        (reason, "")
    } else {
        (reason.get(..reason.floor_char_boundary(ROOM - 3)).unwrap_or_default(), "...")
    };
    // At most 125, so it fits the seven bits of the length.
    out.extend_from_slice(&[FIN | CLOSE, (2 + text.len() + more.len()) as u8]);
    out.extend_from_slice(&code.number().to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(more.as_bytes());
}

/// Appends a Close frame without a code, the answer to one without a code.
pub fn put_bare_close(out: &mut Vec<u8>) {
    out.extend_from_slice(&[FIN | CLOSE, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_is_cut_at_a_character() {
        for (reason, end) in [
            ("Client Closed".to_owned(), "Client Closed"),
            ("a".repeat(123), "aaaa"),
            ("a".repeat(124), "a..."),
            ("é".repeat(100), "é..."),
        ] {
            let mut out = Vec::new();
            put_close(&mut out, CloseCode::Normal, &reason);
            assert_eq!(out[..4], [0x88, (out.len() - 2) as u8, 0x03, 0xE8]);
            assert!(out.len() <= 127);
            let text = std::str::from_utf8(&out[4..]).unwrap();
            assert!(text.ends_with(end), "{text}");
        }
    }

    #[test]
    fn codes_read_back_unless_they_never_travel() {
        for n in 0..=u16::MAX {
            let legal = matches!(n, 1000..=1003 | 1007..=1014 | 3000..=4999);
            assert_eq!(CloseCode::received(n).map(CloseCode::number), legal.then_some(n));
        }
    }
}
