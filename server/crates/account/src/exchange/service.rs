//! A service import: requests made in this account, answered in another.

use super::fault::ExchangeFault;
use super::rules::{DEFAULT_THRESHOLD_NS, ExportRule};
use gust_config::options::exchange::{Latency, ResponseType};
use gust_subject::transform::identity;
use gust_subject::{Transform, has_wildcards, valid_subscribe};
use std::borrow::Cow;
use std::sync::Arc;

/// What an export says about the requests that use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceExport {
    /// Subject as exported.
    pub subject: Box<[u8]>,
    /// How many answers there are.
    pub response: ResponseType,
    /// Nanoseconds without an answer after which one is no longer expected.
    pub threshold_ns: i64,
    /// Measurements.
    pub latency: Option<Latency>,
    /// Message tracing may follow.
    pub allow_trace: bool,
}

/// A checked service import.
#[derive(Debug, Clone)]
pub struct ServiceImport {
    /// Exporting account.
    pub exporter: Arc<str>,
    /// Subject here.
    pub from: Box<[u8]>,
    /// Subject there.
    pub to: Box<[u8]>,
    /// The exporter sees who asks.
    pub share: bool,
    /// The export it uses.
    pub export: Arc<ServiceExport>,
    /// Until when a token admits it, seconds since the epoch; `None`: no end.
    pub expires: Option<i64>,
    rename: Rename,
}

#[derive(Debug, Clone)]
enum Rename {
    Same,
    /// The exporter's subject has no wildcards.
    Fixed,
    Map(Transform),
}

impl PartialEq for ServiceImport {
    fn eq(&self, other: &Self) -> bool {
        let map = |s: &Self| match &s.rename {
            Rename::Map(t) => t.dest().to_vec(),
            _ => Vec::new(),
        };
        (&self.exporter, &self.from, &self.to, self.share, &self.export, self.expires)
            == (&other.exporter, &other.from, &other.to, other.share, &other.export, other.expires)
            && map(self) == map(other)
    }
}

impl ServiceExport {
    pub(super) fn new(rule: &ExportRule) -> Self {
        let given = rule.threshold_ns;
        ServiceExport {
            subject: rule.subject.as_bytes().into(),
            response: rule.response,
            threshold_ns: if given > 0 { given } else { DEFAULT_THRESHOLD_NS },
            latency: rule.latency.clone(),
            allow_trace: rule.allow_trace,
        }
    }
}

impl ServiceImport {
    /// `local` is the subject here as written: literal, with wildcards, or with
    /// `$1` and `{{wildcard(1)}}` naming those of `to`, the subject there.
    pub(super) fn new(
        exporter: Arc<str>,
        local: &str,
        to: &str,
        share: bool,
        export: Arc<ServiceExport>,
    ) -> Result<Self, ExchangeFault> {
        if !valid_subscribe(local.as_bytes()) || !valid_subscribe(to.as_bytes()) {
            return Err(ExchangeFault::Subject);
        }
        let mut from: Box<[u8]> = local.as_bytes().into();
        let rename = if !has_wildcards(to.as_bytes()) {
            Rename::Fixed
        } else if local == to {
            Rename::Same
        } else {
            let fault = |cause| ExchangeFault::Transform {
                kind: "service",
                from: local.to_owned(),
                to: to.to_owned(),
                cause,
            };
            let back = Transform::strict(to.as_bytes(), &identity(local.as_bytes()));
            let map = back.and_then(|t| t.reversed()).map_err(fault)?;
            from = map.src().into();
            Rename::Map(map)
        };
        let to = to.as_bytes().into();
        Ok(ServiceImport { exporter, from, to, share, export, expires: None, rename })
    }

    /// The subject there of a request made here.
    pub fn there<'a>(&'a self, subject: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.rename {
            Rename::Same => Cow::Borrowed(subject),
            Rename::Fixed => Cow::Borrowed(&self.to),
            Rename::Map(map) => Cow::Owned(map.rewrite(subject, 0)),
        }
    }
}
