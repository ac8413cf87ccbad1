//! `tls { … }`: files and rules. The files are read by the server, which reports what is wrong
//! with them at `TlsOptions::at`.

use std::collections::BTreeSet;

use super::ocsp::OcspPeer;
use super::report::Report;
use crate::duration::{self, SECOND_NS};
use crate::value::{Node, Position, Value};

/// Time for a handshake unless said otherwise.
pub const DEFAULT_TLS_TIMEOUT_NS: i64 = 2 * SECOND_NS;
/// How long `handshake_first: auto` waits for a client that starts the handshake.
pub const AUTO_FALLBACK_NS: i64 = 50_000_000;

/// Where a block stands, which changes what it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsUse {
    /// Clients, leafnodes, WebSocket, MQTT.
    Clients,
    /// Routes and gateways, which may check known URLs.
    Peers,
}

/// One TLS block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Certificate chain, PEM.
    pub cert_file: String,
    /// Its key, PEM.
    pub key_file: String,
    /// Several pairs of the two instead.
    pub certs: Vec<(String, String)>,
    /// Authorities that sign the other side's certificates, PEM.
    pub ca_file: String,
    /// The client must present a certificate.
    pub verify: bool,
    /// The certificate names the user; implies `verify`.
    pub verify_and_map: bool,
    /// The certificate must name a configured peer; implies `verify`.
    pub check_known_urls: bool,
    /// As client: do not verify the server.
    pub insecure: bool,
    /// Time for the handshake; 0: default.
    pub timeout_ns: i64,
    /// Handshakes per second; 0: unlimited.
    pub connection_rate_limit: i64,
    /// The handshake comes before INFO.
    pub handshake_first: bool,
    /// … and if the client does not start it in this time, INFO is sent after all; 0: never.
    pub handshake_fallback_ns: i64,
    /// Lowest protocol version.
    pub min_version: TlsVersion,
    /// IANA names of cipher suites; empty: all secure ones.
    pub cipher_suites: Vec<String>,
    /// Suites known to be weak may be listed.
    pub allow_insecure_cipher_suites: bool,
    /// Names of curves; empty: default.
    pub curve_preferences: Vec<String>,
    /// Lower case hex SHA-256 of accepted SubjectPublicKeyInfos; empty: all.
    pub pinned_certs: BTreeSet<String>,
    /// Check the peer with OCSP, and how.
    pub ocsp_peer: Option<OcspPeer>,
    /// Certificate store of Windows, or empty.
    pub cert_store: String,
    /// Place of the block.
    pub at: Option<Position>,
}

/// Lowest TLS version to accept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2
    #[default]
    Tls12,
    /// 1.3
    Tls13,
}

/// Suites that are offered unless others are listed.
pub const CIPHER_SUITES: [&str; 13] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// Suites that need `allow_insecure_cipher_suites`.
pub const INSECURE_CIPHER_SUITES: [&str; 12] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

/// Names of curves.
pub const CURVES: [&str; 7] = [
    "X25519",
    "CurveP256",
    "CurveP384",
    "CurveP521",
    "X25519MLKEM768",
    "SecP256r1MLKEM768",
    "SecP384r1MLKEM1024",
];

const CONTEXT: &str = "error parsing tls config";

/// Reads a block. Any error refuses the whole block, as half a TLS configuration is none.
pub(crate) fn parse(node: &Node, place: TlsUse, report: &mut Report) -> Option<TlsOptions> {
    let mut tls = TlsOptions { at: Some(node.at.clone()), ..TlsOptions::default() };
    let mut last = node;
    for (key, node) in report.map(node)?.iter() {
        last = node;
        field(&mut tls, key, node, place, report)?;
    }
    if !tls.certs.is_empty() && !tls.cert_file.is_empty() {
        report.error(
            last,
            format!("{CONTEXT}, cannot combine 'cert_file' option with 'certs' option"),
        );
        return None;
    }
    let weak: Vec<&str> = tls
        .cipher_suites
        .iter()
        .map(String::as_str)
        .filter(|name| INSECURE_CIPHER_SUITES.contains(name))
        .collect();
    if !tls.allow_insecure_cipher_suites && !weak.is_empty() {
        let reason = format!(
            "insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: {}",
            weak.join(", ")
        );
        report.error(last, reason);
        return None;
    }
    match (tls.cert_file.is_empty(), tls.key_file.is_empty()) {
        (false, true) => report.error(node, "missing 'key_file' in TLS configuration"),
        (true, false) => report.error(node, "missing 'cert_file' in TLS configuration"),
        _ => return Some(tls),
    }
    None
}

fn field(
    tls: &mut TlsOptions,
    key: &str,
    node: &Node,
    place: TlsUse,
    report: &mut Report,
) -> Option<()> {
    let lower = key.to_ascii_lowercase();
    match lower.as_str() {
        "cert_file" => tls.cert_file = file(&lower, node, report)?,
        "key_file" => tls.key_file = file(&lower, node, report)?,
        "ca_file" => tls.ca_file = file(&lower, node, report)?,
        "insecure" => tls.insecure = flag(&lower, node, report)?,
        "verify" => tls.verify = tls.verify_and_map | flag(&lower, node, report)?,
        "verify_and_map" => {
            tls.verify_and_map = flag(&lower, node, report)?;
            tls.verify |= tls.verify_and_map;
        }
        "verify_cert_and_check_known_urls" => {
            tls.check_known_urls = flag(&lower, node, report)?;
            if tls.check_known_urls && place == TlsUse::Clients {
                report
                    .error(node, "verify_cert_and_check_known_urls not supported in this context");
                return None;
            }
            tls.verify |= tls.check_known_urls;
        }
        "allow_insecure_cipher_suites" => {
            tls.allow_insecure_cipher_suites = flag(&lower, node, report)?;
        }
        "cipher_suites" => tls.cipher_suites = names(&lower, node, report, cipher_suite)?,
        "curve_preferences" => tls.curve_preferences = names(&lower, node, report, curve)?,
        "timeout" => tls.timeout_ns = report.timeout(CONTEXT, node)?,
        "connection_rate_limit" => match node.value {
            Value::Int(limit) => tls.connection_rate_limit = limit,
            _ => {
                report.error(node, format!("{CONTEXT}, 'connection_rate_limit' wrong type"));
                return None;
            }
        },
        "pinned_certs" => tls.pinned_certs = pinned_certs(node, report)?,
        "handshake_first" | "first" | "immediate" => handshake_first(tls, key, node, report)?,
        "ocsp_peer" => tls.ocsp_peer = super::ocsp::parse_peer(node, report)?,
        "certs" | "certificates" => tls.certs = certs(node, report)?,
        "min_version" => tls.min_version = min_version(node, report)?,
        "cert_store" => tls.cert_store = windows_text(&lower, node, report)?,
        "cert_match_by" | "cert_match" => {
            windows_text(&lower, node, report)?;
        }
        "cert_match_skip_invalid" => {
            report.boolean(node)?;
        }
        "ca_certs_match" => {
            report.one_or_more("ca_cert_match", node)?;
        }
        _ => {
            report.error(node, format!("{CONTEXT}, unknown field {key:?}"));
            return None;
        }
    }
    Some(())
}

fn file(key: &str, node: &Node, report: &mut Report) -> Option<String> {
    if let Value::String(text) = &node.value {
        return Some(text.clone());
    }
    report.error(node, format!("{CONTEXT}, expected '{key}' to be filename"));
    None
}

fn flag(key: &str, node: &Node, report: &mut Report) -> Option<bool> {
    if let Value::Bool(flag) = node.value {
        return Some(flag);
    }
    report.error(node, format!("{CONTEXT}, expected '{key}' to be a boolean"));
    None
}

fn windows_text(key: &str, node: &Node, report: &mut Report) -> Option<String> {
    match &node.value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        _ => {
            report.error(node, format!("expected '{key}' to be a valid non-empty string"));
            None
        }
    }
}

fn names(
    key: &str,
    node: &Node,
    report: &mut Report,
    check: fn(&str) -> Result<String, String>,
) -> Option<Vec<String>> {
    let items = report.array(node)?;
    if items.is_empty() {
        report.error(node, format!("{CONTEXT}, '{key}' cannot be empty"));
        return None;
    }
    let mut names = Vec::with_capacity(items.len());
    for item in items {
        match check(&report.string(item)?) {
            Ok(name) => names.push(name),
            Err(reason) => {
                report.error(item, reason);
                return None;
            }
        }
    }
    Some(names)
}

fn cipher_suite(name: &str) -> Result<String, String> {
    if CIPHER_SUITES.contains(&name) || INSECURE_CIPHER_SUITES.contains(&name) {
        Ok(name.to_owned())
    } else {
        Err(format!("unrecognized cipher {name}"))
    }
}

fn curve(name: &str) -> Result<String, String> {
    if CURVES.contains(&name) {
        Ok(name.to_owned())
    } else {
        Err(format!("unrecognized curve preference {name}"))
    }
}

fn pinned_certs(node: &Node, report: &mut Report) -> Option<BTreeSet<String>> {
    const KIND: &str = "hex-encoded sha256 of DER encoded SubjectPublicKeyInfo";
    let Value::Array(items) = &node.value else {
        report.error(node, format!("{CONTEXT}, expected 'pinned_certs' to be a list of {KIND}"));
        return None;
    };
    let mut pins = BTreeSet::new();
    for item in items {
        let pin = report.string(item)?.to_ascii_lowercase();
        if pin.len() != 64 || !pin.bytes().all(|b| b.is_ascii_hexdigit()) {
            let reason = format!("{CONTEXT}, 'pinned_certs' key {pin} does not look like {KIND}");
            report.error(item, reason);
            return None;
        }
        pins.insert(pin);
    }
    Some(pins)
}

fn handshake_first(
    tls: &mut TlsOptions,
    key: &str,
    node: &Node,
    report: &mut Report,
) -> Option<()> {
    let (first, fallback_ns) = match &node.value {
        Value::Bool(first) => (*first, 0),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "on" => (true, 0),
            "false" | "off" => (false, 0),
            "auto" | "auto_fallback" => (true, AUTO_FALLBACK_NS),
            _ => match duration::parse(text) {
                Ok(ns) => (true, ns),
                Err(_) => {
                    report.error(node, format!("field {key:?}'s value {text:?} is invalid"));
                    return None;
                }
            },
        },
        other => {
            let got = other.go_type();
            let reason = format!("field {key:?} should be a boolean or a string, got {got}");
            report.error(node, reason);
            return None;
        }
    };
    (tls.handshake_first, tls.handshake_fallback_ns) = (first, fallback_ns);
    Some(())
}

fn certs(node: &Node, report: &mut Report) -> Option<Vec<(String, String)>> {
    let unsupported = |value: &Value| {
        format!("error parsing certificates config: unsupported type {}", value.go_type())
    };
    let Value::Array(items) = &node.value else {
        report.error(node, unsupported(&node.value));
        return None;
    };
    let mut pairs = Vec::with_capacity(items.len());
    for item in items {
        let Value::Map(map) = &item.value else {
            report.error(item, unsupported(&item.value));
            return None;
        };
        let (mut cert, mut key) = (String::new(), String::new());
        for (name, node) in map.iter() {
            let Value::String(path) = &node.value else {
                report.error(node, unsupported(&node.value));
                return None;
            };
            match name {
                "cert_file" => cert.clone_from(path),
                "key_file" => key.clone_from(path),
                _ => {
                    let reason = format!("error parsing tls certs config, unknown field {name:?}");
                    report.error(node, reason);
                    return None;
                }
            }
        }
        if cert.is_empty() || key.is_empty() {
            report.error(
                item,
                "error parsing certificates config: both 'cert_file' and 'key_file' options are \
                 required",
            );
            return None;
        }
        pairs.push((cert, key));
    }
    Some(pairs)
}

fn min_version(node: &Node, report: &mut Report) -> Option<TlsVersion> {
    let reason = match &node.value {
        Value::String(text) => match text.as_str() {
            "1.2" => return Some(TlsVersion::Tls12),
            "1.3" => return Some(TlsVersion::Tls13),
            "1.0" | "1.1" => format!("unsupported TLS version: TLS {text}"),
            _ => format!("unknown version: {text:?}"),
        },
        other => format!("'min_version' wrong type: {other}"),
    };
    report.error(node, format!("{CONTEXT}: {reason}"));
    None
}
