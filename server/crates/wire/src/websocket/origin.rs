//! The `Origin` of a request: which web page it comes from.
//!
//! Only browsers send it, and only they cannot forge it; a request without one
//! passes (RFC 6455 §1.6).

use std::fmt;

/// Scheme, host and port of a web page, with the scheme's port if none is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// Reads an absolute `http` or `https` URL; what follows the port is not
    /// looked at. `None` for anything else, as the `null` of a sandboxed page.
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let https = match scheme {
            s if s.eq_ignore_ascii_case("https") => true,
            s if s.eq_ignore_ascii_case("http") => false,
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        Self::of_host(https, authority)
    }

    /// The origin that a request to `Host: host[:port]` is addressed to.
    pub fn of_host(https: bool, authority: &str) -> Option<Self> {
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (host, rest) = v6.split_once(']')?;
                (host, rest.strip_prefix(':').or(rest.is_empty().then_some(""))?)
            }
            None => authority.split_once(':').unwrap_or((authority, "")),
        };
        let bad = |c: char| c == '@' || c.is_control() || c.is_whitespace();
        if host.is_empty() || host.contains(bad) {
            return None;
        }
        let port = match port {
            "" if https => 443,
            "" => 80,
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            _ => return None,
        };
        Some(Self { https, host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        let brackets = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{}{}{}:{}", brackets.0, self.host, brackets.1, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_with_their_ports() {
        for (a, b) in [
            ("http://Example.com", Some("http://example.com:80")),
            ("HTTPS://example.com/path?q", Some("https://example.com:443")),
            ("http://[::1]", Some("http://[::1]:80")),
            ("https://[::1]:8443", Some("https://[::1]:8443")),
            ("http://a:99999", None),
            ("http://a:+1", None),
            ("http://user@a", None),
            ("http://", None),
            ("http://[::1]x", None),
            ("ws://a", None),
            ("null", None),
            ("", None),
        ] {
            assert_eq!(Origin::parse(a).map(|o| o.to_string()).as_deref(), b, "{a}");
        }
        assert_eq!(Origin::of_host(true, "a.b"), Origin::parse("https://A.b:443"));
        assert_ne!(Origin::of_host(false, "a.b"), Origin::parse("https://a.b:80"));
    }
}
