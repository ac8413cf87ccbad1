//! Where a server is, as a URL says it.

use std::fmt;

/// Port without one in the URL.
const PORT: u16 = 4222;

/// A server's URL taken apart.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Name or address, without brackets.
    pub(super) host: String,
    /// TCP port.
    pub(super) port: u16,
    /// `tls://`: nothing is said without TLS.
    pub(super) tls: bool,
    /// `user:password@`
    pub(super) login: Option<(String, String)>,
    /// `token@`
    pub(super) token: Option<String>,
}

/// Without secrets.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `host:port`
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Address {
    /// Reads a URL. An error names the part that is wrong, never a secret.
    pub(super) fn of(url: &str) -> Result<Address, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
        let tls = match scheme {
            "nats" => false,
            "tls" => true,
            _ => {
                return Err(format!(
                    "--server speaks nats:// and tls://, not {scheme}://; name the port of clients"
                ));
            }
        };
        let rest = rest.split(['/', '?']).next().unwrap_or_default();
        let (who, place) = match rest.rsplit_once('@') {
            Some((who, place)) => (Some(who), place),
            None => (None, rest),
        };
        let (host, port) = host_and_port(place)?;
        let (mut login, mut token) = (None, None);
        match who.map(|who| who.split_once(':').ok_or(who)) {
            None => {}
            Some(Ok((user, pass))) => login = Some((decoded(user)?, decoded(pass)?)),
            Some(Err(word)) => token = Some(decoded(word)?),
        }
        Ok(Address { host, port, tls, login, token })
    }
}

fn host_and_port(place: &str) -> Result<(String, u16), String> {
    let wrong = || format!("--server needs host:port, not {place:?}");
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(wrong)?;
            (host, after.strip_prefix(':').or((after.is_empty()).then_some("")).ok_or_else(wrong)?)
        }
        None => match place.split_once(':') {
            // More than one colon: an IPv6 address alone.
            Some((_, port)) if port.contains(':') => (place, ""),
            Some((host, port)) => (host, port),
            None => (place, ""),
        },
    };
    let port = if port.is_empty() { PORT } else { port.parse().map_err(|_| wrong())? };
    if host.is_empty() { Err(wrong()) } else { Ok((host.to_owned(), port)) }
}

/// `%40` is `@`.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "the user in the --server URL is not well escaped: write % as %25".to_owned();
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let (hex, after) = rest.split_at_checked(2).ok_or_else(wrong)?;
        out.extend(data_encoding::HEXLOWER_PERMISSIVE.decode(hex).map_err(|_| wrong())?);
        rest = after;
    }
    String::from_utf8(out).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, shown, tls) in [
            ("localhost", "localhost:4222", false),
            ("nats://h:5", "h:5", false),
            ("tls://h:5/", "h:5", true),
            ("tls://[::1]:7", "[::1]:7", true),
            ("::1", "[::1]:4222", false),
            ("nats://u:p@[fe80::1]", "[fe80::1]:4222", false),
        ] {
            let address = Address::of(url).unwrap();
            assert_eq!((address.to_string().as_str(), address.tls), (shown, tls), "{url}");
        }
        for url in ["ws://h", "h:x", "h:70000", "[::1", "nats://", "nats://u%4:p@h", "u%ff@h"] {
            let error = Address::of(url).unwrap_err();
            assert!(error.contains("--server"), "{url}: {error}");
        }
    }

    #[test]
    fn logins() {
        let of = |url: &str| {
            let address = Address::of(url).unwrap();
            (address.login, address.token)
        };
        let pair = |user: &str, pass: &str| Some((user.to_owned(), pass.to_owned()));
        assert_eq!(of("h"), (None, None));
        assert_eq!(of("nats://u:p@h"), (pair("u", "p"), None));
        assert_eq!(of("nats://a%40b:p%3a%2F@h"), (pair("a@b", "p:/"), None));
        assert_eq!(of("nats://u:p@q@h"), (pair("u", "p@q"), None));
        assert_eq!(of("t%6fken@h"), (None, Some("token".to_owned())));
    }
}
