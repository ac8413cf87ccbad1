//! `listen`: a port, or `host:port`.

use super::report::Report;
use crate::value::{Node, Value};

/// Host and port a listener binds. An empty host means all interfaces; port 0 means not set,
/// -1 any free one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listen {
    /// Address or name to bind.
    pub host: String,
    /// Port; see the type.
    pub port: i64,
}

impl Listen {
    /// True once a port is given.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.port != 0
    }
}

/// Reads a `listen` value; on an error nothing is returned and the error is in the report.
pub(crate) fn parse(node: &Node, report: &mut Report) -> Option<Listen> {
    let reason = match &node.value {
        Value::Int(port) => return Some(Listen { host: String::new(), port: *port }),
        Value::String(text) => match split_host_port(text) {
            None => format!("could not parse address string {text:?}"),
            Some((host, port)) => match port.parse() {
                Ok(port) => return Some(Listen { host: host.to_owned(), port }),
                Err(_) => format!("could not parse port {port:?}"),
            },
        },
        other => format!("expected port or host:port, got {}", other.go_type()),
    };
    report.error(node, reason);
    None
}

/// An advertised address: a host, or a host with a port. A port of 0 or -1 means the server's own.
pub(crate) fn advertised(text: &str) -> Option<(String, Option<u16>)> {
    let text = text.trim();
    let unbracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if unbracketed.is_some() || !text.contains(':') {
        return Some((unbracketed.unwrap_or(text).to_owned(), None));
    }
    let (host, port) = split_host_port(text)?;
    let port: i64 = port.trim().parse().ok()?;
    match port {
        0 | -1 => Some((host.to_owned(), None)),
        port => Some((host.to_owned(), Some(u16::try_from(port).ok()?))),
    }
}

/// `host:port`, `:port` or `[v6]:port`.
pub(crate) fn split_host_port(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once("]:")?;
        return (!port.contains(':')).then_some((host, port));
    }
    let (host, port) = text.rsplit_once(':')?;
    (!host.contains([':', '[', ']'])).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advertised_addresses() {
        for (text, host, port) in [
            ("a", "a", None),
            ("a:1", "a", Some(1)),
            ("a:-1", "a", None),
            ("a:0", "a", None),
            ("[::1]:5", "::1", Some(5)),
            ("[::1]", "::1", None),
        ] {
            assert_eq!(advertised(text), Some((host.to_owned(), port)), "{text}");
        }
        for text in ["a:b", "a:1:2", "a:70000", "a:-2"] {
            assert_eq!(advertised(text), None, "{text}");
        }
    }
}
