//! `ocsp`, `ocsp_cache` and `ocsp_peer`: checking certificates for revocation.

use super::report::Report;
use crate::duration::SECOND_NS;
use crate::value::{Node, Value};

/// When a status is stapled to the server's certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OcspMode {
    /// When the certificate demands it.
    #[default]
    Auto,
    /// Always, and stop when revoked.
    Always,
    /// When the certificate demands it, and stop when revoked.
    Must,
    /// Never.
    Never,
}

/// `ocsp`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ocsp {
    /// When to staple.
    pub mode: OcspMode,
    /// Responders instead of those in the certificate.
    pub urls: Vec<String>,
}

/// `ocsp_cache`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspCache {
    /// Answers are kept in a local file.
    pub local: bool,
    /// Directory of the file.
    pub local_store: String,
    /// Keep revoked answers.
    pub preserve_revoked: bool,
    /// Time between writes.
    pub save_interval_ns: i64,
}

impl Default for OcspCache {
    fn default() -> Self {
        Self {
            local: true,
            local_store: "_rc_".to_owned(),
            preserve_revoked: false,
            save_interval_ns: 300 * SECOND_NS,
        }
    }
}

/// `ocsp_peer` of a TLS block: how the certificates of peers are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspPeer {
    /// Time for one request to a responder.
    pub ca_timeout_ns: i64,
    /// How far the responder's clock may be off.
    pub allowed_clockskew_ns: i64,
    /// Complain of everything, refuse nobody.
    pub warn_only: bool,
    /// A certificate the responder does not know is good.
    pub unknown_is_good: bool,
    /// Let in when no responder answers, unless a revocation is remembered.
    pub allow_when_ca_unreachable: bool,
    /// How long an answer without an end is valid.
    pub cache_ttl_when_next_update_unset_ns: i64,
}

impl Default for OcspPeer {
    fn default() -> Self {
        Self {
            ca_timeout_ns: 2 * SECOND_NS,
            allowed_clockskew_ns: 30 * SECOND_NS,
            warn_only: false,
            unknown_is_good: false,
            allow_when_ca_unreachable: false,
            cache_ttl_when_next_update_unset_ns: 3600 * SECOND_NS,
        }
    }
}

/// Shortest time between writes of the cache.
const MIN_SAVE_INTERVAL_NS: i64 = SECOND_NS;

pub(crate) fn parse(node: &Node, report: &mut Report) -> Option<Ocsp> {
    let map = match &node.value {
        Value::Bool(on) => {
            let mode = if *on { OcspMode::Auto } else { OcspMode::Never };
            return Some(Ocsp { mode, urls: Vec::new() });
        }
        Value::Map(map) => map,
        other => {
            let got = other.go_type();
            report.error(node, format!("error parsing ocsp config: unsupported type {got}"));
            return None;
        }
    };
    let mut ocsp = Ocsp::default();
    for (key, node) in map.iter() {
        match key {
            "mode" => {
                let mode = report.string(node)?;
                ocsp.mode = match mode.to_ascii_lowercase().as_str() {
                    "auto" => OcspMode::Auto,
                    "always" => OcspMode::Always,
                    "must" => OcspMode::Must,
                    "never" => OcspMode::Never,
                    _ => {
                        let reason =
                            format!("error parsing ocsp config: unsupported ocsp mode {mode}");
                        report.error(node, reason);
                        return None;
                    }
                };
            }
            "url" => ocsp.urls = vec![report.string(node)?],
            "urls" => ocsp.urls = report.strings(node)?,
            _ => {
                let reason = format!("error parsing ocsp config: unsupported field {key}");
                report.error(node, reason);
                return None;
            }
        }
    }
    Some(ocsp)
}

pub(crate) fn parse_cache(node: &Node, report: &mut Report) -> Option<OcspCache> {
    let mut cache = OcspCache::default();
    let map = match &node.value {
        Value::Bool(on) => {
            cache.local = *on;
            return Some(cache);
        }
        Value::Map(map) => map,
        other => {
            let got = other.go_type();
            report.error(node, format!("error parsing tags: unsupported type {got}"));
            return None;
        }
    };
    const CONTEXT: &str = "error parsing OCSP peer cache config";
    for (key, node) in map.iter() {
        let known = match (key.to_ascii_lowercase().as_str(), &node.value) {
            ("type", Value::String(kind)) => match kind.to_ascii_lowercase().as_str() {
                "none" => {
                    cache.local = false;
                    true
                }
                "local" => {
                    cache.local = true;
                    true
                }
                _ => {
                    report.error(node, format!("{CONTEXT}, unknown type [{kind}]"));
                    return None;
                }
            },
            ("local_store", Value::String(dir)) => {
                cache.local_store.clone_from(dir);
                true
            }
            ("preserve_revoked", Value::Bool(keep)) => {
                cache.preserve_revoked = *keep;
                true
            }
            ("save_interval", _) => {
                cache.save_interval_ns = report.timeout(CONTEXT, node)?.max(MIN_SAVE_INTERVAL_NS);
                true
            }
            _ => false,
        };
        if !known {
            report.error(node, format!("{CONTEXT}, unknown field [{key:?}]"));
            return None;
        }
    }
    Some(cache)
}

/// `ocsp_peer` of a TLS block, `None` if peers are not checked.
pub(crate) fn parse_peer(node: &Node, report: &mut Report) -> Option<Option<OcspPeer>> {
    let map = match &node.value {
        Value::Bool(on) => return Some(on.then(OcspPeer::default)),
        Value::Map(map) => map,
        other => {
            let got = other.go_type();
            report.error(node, format!("error parsing ocsp peer config: unsupported type {got}"));
            return None;
        }
    };
    let mut verify = false;
    let mut peer = OcspPeer::default();
    for (key, node) in map.iter() {
        let key = key.to_ascii_lowercase();
        match key.as_str() {
            "verify" => verify = report.boolean(node)?,
            "warn_only" => peer.warn_only = report.boolean(node)?,
            "unknown_is_good" => peer.unknown_is_good = report.boolean(node)?,
            "allow_when_ca_unreachable" => {
                peer.allow_when_ca_unreachable = report.boolean(node)?;
            }
            "ca_timeout" | "allowed_clockskew" | "cache_ttl_when_next_update_unset" => {
                let ns = report.timeout("error parsing tls peer config", node)?;
                let field = match key.as_str() {
                    "ca_timeout" => &mut peer.ca_timeout_ns,
                    "allowed_clockskew" => &mut peer.allowed_clockskew_ns,
                    _ => &mut peer.cache_ttl_when_next_update_unset_ns,
                };
                // What is negative leaves the default, and so does no time at all for
                // the responder.
                if ns > 0 || (ns == 0 && key != "ca_timeout") {
                    *field = ns;
                }
            }
            _ => {
                let reason = format!("error parsing tls peer config, unknown field [{key:?}]");
                report.error(node, reason);
                return None;
            }
        }
    }
    Some(verify.then_some(peer))
}
