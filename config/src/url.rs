//! The URLs of routes, gateways, leafnode remotes and listeners: `scheme://user:pass@host:port`.

use std::fmt;

/// A parsed URL. Its display form hides the password.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Url {
    /// As written, without surrounding blanks.
    pub raw: String,
    /// `nats-route`, `nats-leaf`, `tls`, `ws` …; lower case.
    pub scheme: String,
    /// Percent-decoded user name.
    pub user: Option<String>,
    /// Percent-decoded password.
    pub password: Option<String>,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port, if written.
    pub port: Option<u16>,
    /// Path with its slash, or empty.
    pub path: String,
}

impl Url {
    /// `None` if the text is no URL with a host part that could be dialled.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let raw = text.trim();
        if raw.chars().any(|c| c.is_control() || c == ' ') {
            return None;
        }
        let (scheme, rest) = raw.split_once("://")?;
        let mut letters = scheme.chars();
        if !letters.next()?.is_ascii_alphabetic()
            || !letters.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        {
            return None;
        }
        let split = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(split);
        let path = tail.split(['?', '#']).next().unwrap_or_default();
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, authority),
        };
        let (host, port) = split_address(address)?;
        let (user, password) = match login {
            None => (None, None),
            Some(login) => match login.split_once(':') {
                Some((user, pass)) => (Some(unescape(user)?), Some(unescape(pass)?)),
                None => (Some(unescape(login)?), None),
            },
        };
        Some(Self {
            raw: raw.to_owned(),
            scheme: scheme.to_ascii_lowercase(),
            user,
            password,
            host: host.to_owned(),
            port,
            path: path.to_owned(),
        })
    }

    /// `host:port`, with brackets around an IPv6 address.
    #[must_use]
    pub fn address(&self, default_port: u16) -> String {
        let port = self.port.unwrap_or(default_port);
        if self.host.contains(':') {
            format!("[{}]:{port}", self.host)
        } else {
            format!("{}:{port}", self.host)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if self.user.is_some() {
            f.write_str("[REDACTED]@")?;
        }
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

fn split_address(address: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        (host, after.strip_prefix(':').or(if after.is_empty() { Some("") } else { None })?)
    } else {
        match address.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => return None,
            Some((host, port)) => (host, port),
            None => (address, ""),
        }
    };
    if port.is_empty() {
        return Some((host, None));
    }
    Some((host, Some(port.parse().ok()?)))
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        if b != b'%' {
            bytes.push(b);
            continue;
        }
        let hex = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        bytes.push(hex(rest.next()?)? << 4 | hex(rest.next()?)?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::Url;

    #[test]
    fn urls_are_taken_apart() {
        let url = Url::parse(" nats-route://us%40er:p:w@[::1]:6222 ").unwrap();
        assert_eq!(url.user.as_deref(), Some("us@er"));
        assert_eq!(url.password.as_deref(), Some("p:w"));
        assert_eq!((url.host.as_str(), url.port), ("::1", Some(6222)));
        assert_eq!(url.address(1), "[::1]:6222");
        assert_eq!(url.to_string(), "nats-route://[REDACTED]@[::1]:6222");
        let url = Url::parse("ws://hub/path?x").unwrap();
        assert_eq!((url.port, url.path.as_str()), (None, "/path"));
        assert_eq!(url.address(7422), "hub:7422");
        for bad in
            ["", "host:6222", "://x", "nats://a b", "nats://h:99999", "nats://%zz@h", "9://h"]
        {
            assert_eq!(Url::parse(bad), None, "{bad}");
        }
    }
}
