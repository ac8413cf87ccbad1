//! What is there already of a message that is refused because it is too large.

/// The start of an HPUB whose announced size nobody wants to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge<'a> {
    /// Subject, not validated.
    pub subject: &'a [u8],
    /// As much of the header block as has come.
    pub headers: &'a [u8],
    /// Announced size of headers and payload.
    pub size: usize,
}

impl<'a> TooLarge<'a> {
    /// Reads `buf`, which starts with the operation. `None`: not an HPUB, or
    /// nothing of its headers is there.
    pub fn read(buf: &'a [u8]) -> Option<Self> {
        let end = buf.iter().position(|b| *b == b'\n')?;
        let (line, rest) = buf.split_at_checked(end + 1)?;
        let mut args = line.split(u8::is_ascii_whitespace).filter(|a| !a.is_empty());
        args.next().filter(|verb| verb.eq_ignore_ascii_case(b"HPUB"))?;
        let subject = args.next()?;
        let size = number(args.next_back()?)?;
        let headers = number(args.next_back()?)?.min(rest.len());
        let headers = rest.get(..headers).filter(|h| !h.is_empty())?;
        Some(TooLarge { subject, headers, size })
    }
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_as_there_is_is_read() {
        let read = |buf: &'static [u8]| TooLarge::read(buf).map(|t| (t.subject, t.headers, t.size));
        let whole = read(b"HPUB a.b 4 999\r\nABCDpayload");
        assert_eq!(whole, Some((&b"a.b"[..], &b"ABCD"[..], 999)));
        let part = read(b"hpub a r 10 999\r\nABCD");
        assert_eq!(part, Some((&b"a"[..], &b"ABCD"[..], 999)));
        for nothing in [
            &b"HPUB a 4 999\r\n"[..],
            b"HPUB a 0 999\r\nABCD",
            b"HPUB a x 999\r\nABCD",
            b"HPUB 4 999\r\nABCD",
            b"PUB a b 999\r\nABCD",
            b"HPUB a 4 999",
            b"",
        ] {
            assert_eq!(read(nothing), None, "{nothing:?}");
        }
    }
}
