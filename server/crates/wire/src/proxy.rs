//! The PROXY protocol, versions 1 and 2: what a load balancer puts in front of
//! a connection to say where it comes from (contract/core.md §1.10).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest line of version 1 with its CRLF.
const V1_MAX: usize = 107;
const V1_PREFIX: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length.
const V2_FIXED: usize = 16;
/// Longest address block of version 2: what may follow the addresses (TLVs) is
/// skipped, but it is read before anybody is authenticated.
const V2_MAX: usize = 16 * 1024;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sniffed {
    /// Cannot be told yet.
    NeedMore,
    /// No header: the peer is the client itself.
    Absent,
    /// A header of `used` bytes. Without `source` (a health check of the proxy)
    /// the connection speaks for itself.
    Header {
        /// Bytes to skip.
        used: usize,
        /// Address and port of the client.
        source: Option<SocketAddr>,
    },
}

/// A header that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Version 1 without an end.
    #[error("invalid PROXY protocol header: v1 line too long")]
    LineTooLong,
    /// Version 1 with other fields than protocol, two addresses, two ports.
    #[error("invalid PROXY protocol header: invalid v1 format")]
    Format,
    /// An address or port that is none, or of another family than announced.
    #[error("invalid PROXY protocol header: invalid address")]
    Address,
    /// The signature of version 2 is not complete.
    #[error("invalid PROXY protocol header: invalid signature")]
    Signature,
    /// Neither version.
    #[error("invalid PROXY protocol header: version and command 0x{0:02x}")]
    Version(u8),
    /// Not TCP over IPv4, IPv6 or unspecified.
    #[error("unsupported PROXY protocol feature: family and protocol 0x{0:02x}")]
    Family(u8),
    /// The address block is shorter than its family's addresses, or too long.
    #[error("invalid PROXY protocol header: address block of {0} bytes")]
    Length(usize),
}

/// Whether a connection that begins with this byte begins with a TLS handshake.
pub fn is_tls(first: u8) -> bool {
    first == 0x16
}

/// Looks at the first bytes of a connection. They stay untouched; call again
/// with more after [`Sniffed::NeedMore`].
pub fn sniff(bytes: &[u8]) -> Result<Sniffed, ProxyError> {
    // Six bytes decide which version it is, as in nats-server.
    let seen = &bytes[..bytes.len().min(V1_PREFIX.len())];
    if V1_PREFIX.starts_with(seen) {
        return if seen.len() < V1_PREFIX.len() { Ok(Sniffed::NeedMore) } else { v1(bytes) };
    }
    if V2_SIGNATURE.starts_with(seen) {
        return if seen.len() < V1_PREFIX.len() { Ok(Sniffed::NeedMore) } else { v2(bytes) };
    }
    Ok(Sniffed::Absent)
}

fn v1(bytes: &[u8]) -> Result<Sniffed, ProxyError> {
    let line = &bytes[..bytes.len().min(V1_MAX)];
    let Some(end) = line.windows(2).position(|w| w == b"\r\n") else {
        return if line.len() == V1_MAX {
            Err(ProxyError::LineTooLong)
        } else {
            Ok(Sniffed::NeedMore)
        };
    };
    let used = end + 2;
    let text = line.get(V1_PREFIX.len()..end).unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| ProxyError::Format)?;
    let mut fields = text.split_ascii_whitespace();
    let protocol = fields.next().ok_or(ProxyError::Format)?;
    if protocol == "UNKNOWN" {
        return Ok(Sniffed::Header { used, source: None });
    }
    let rest: Vec<&str> = fields.collect();
    let [source, destination, source_port, destination_port] = rest[..] else {
        return Err(ProxyError::Format);
    };
    let address = |text: &str| -> Result<IpAddr, ProxyError> {
        let address = text.parse::<IpAddr>().map_err(|_| ProxyError::Address)?;
        match (protocol, address) {
            ("TCP4", IpAddr::V4(_)) | ("TCP6", IpAddr::V6(_)) => Ok(address),
            ("TCP4" | "TCP6", _) => Err(ProxyError::Address),
            _ => Err(ProxyError::Format),
        }
    };
    let port = |text: &str| text.parse::<u16>().map_err(|_| ProxyError::Address);
    let source = SocketAddr::new(address(source)?, port(source_port)?);
    address(destination)?;
    port(destination_port)?;
    Ok(Sniffed::Header { used, source: Some(source) })
}

fn v2(bytes: &[u8]) -> Result<Sniffed, ProxyError> {
    let seen = &bytes[..bytes.len().min(V2_SIGNATURE.len())];
    if !V2_SIGNATURE.starts_with(seen) {
        return Err(ProxyError::Signature);
    }
    let Some(&[version, family, high, low]) = bytes.get(V2_SIGNATURE.len()..V2_FIXED) else {
        return Ok(Sniffed::NeedMore);
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if !matches!(version, 0x20 | 0x21) {
        return Err(ProxyError::Version(version));
    }
    let local = version == 0x20;
    let needed = match family {
        _ if local => 0,
        0x01 => 0,
        0x11 => 12,
        0x21 => 36,
        _ => return Err(ProxyError::Family(family)),
    };
    if len < needed || len > V2_MAX {
        return Err(ProxyError::Length(len));
    }
    let used = V2_FIXED + len;
    let Some(block) = bytes.get(V2_FIXED..used) else { return Ok(Sniffed::NeedMore) };
    let source = if local { None } else { v2_source(family, block) };
    Ok(Sniffed::Header { used, source })
}

fn v2_source(family: u8, block: &[u8]) -> Option<SocketAddr> {
    let (ip, ports): (IpAddr, usize) = match family {
        0x11 => (Ipv4Addr::from(*block.first_chunk::<4>()?).into(), 8),
        0x21 => (Ipv6Addr::from(*block.first_chunk::<16>()?).to_canonical(), 32),
        _ => return None,
    };
    let port = u16::from_be_bytes(*block.get(ports..)?.first_chunk::<2>()?);
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
#[path = "proxy_test.rs"]
mod tests;
