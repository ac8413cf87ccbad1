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

/// `host:port`, `:port` or `[v6]:port`.
pub(crate) fn split_host_port(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once("]:")?;
        return (!port.contains(':')).then_some((host, port));
    }
    let (host, port) = text.rsplit_once(':')?;
    (!host.contains([':', '[', ']'])).then_some((host, port))
}
