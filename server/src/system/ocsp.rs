//! `$SYS.SERVER.<id>.OCSP.PEER.…`: a client is refused because a certificate in its
//! chain is revoked, or nobody says that it is not.

use super::event::{self, Head};
use crate::ocsp::peer::{Invalid, Link, REFUSED, subject};
use crate::shard::Shard;
use data_encoding::BASE64;
use serde::Serialize;

/// A certificate in an event.
#[derive(Debug, Serialize)]
struct CertInfo {
    #[serde(skip_serializing_if = "String::is_empty")]
    subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    issuer: String,
    fingerprint: String,
    raw: String,
}

impl CertInfo {
    fn of(link: &Link) -> Self {
        Self {
            subject: subject(&link.cert),
            issuer: subject(&link.issuer),
            fingerprint: BASE64.encode(&link.cert.fingerprint()),
            raw: BASE64.encode(&link.cert.der),
        }
    }
}

#[derive(Debug, Serialize)]
struct Rejected {
    #[serde(flatten)]
    head: Head,
    kind: &'static str,
    peer: CertInfo,
    reason: &'static str,
}

#[derive(Debug, Serialize)]
struct LinkInvalid<'a> {
    #[serde(flatten)]
    head: Head,
    link: CertInfo,
    peer: CertInfo,
    reason: &'a str,
}

/// Tells of a client that is refused.
pub fn rejected(shard: &Shard, invalid: &Invalid) {
    let Some((peer, link)) = invalid.links.as_deref() else { return };
    let server = &shard.server;
    let subject = |what: &str| format!("$SYS.SERVER.{}.OCSP.PEER.{what}", server.id);
    event::publish(shard, &subject("LINK.INVALID"), || LinkInvalid {
        head: Head::new(server, "io.nats.server.advisory.v1.ocsp_peer_link_invalid"),
        link: CertInfo::of(link),
        peer: CertInfo::of(peer),
        reason: &invalid.reason,
    });
    event::publish(shard, &subject("CONN.REJECT"), || Rejected {
        head: Head::new(server, "io.nats.server.advisory.v1.ocsp_peer_reject"),
        kind: "Client",
        peer: CertInfo::of(peer),
        reason: REFUSED,
    });
}
