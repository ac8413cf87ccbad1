//! A stream import: messages published in another account, under names of this
//! one.

use super::fault::ExchangeFault;
use gust_subject::transform::identity;
use gust_subject::{Transform, has_wildcards, intersection, valid_subscribe};
use std::borrow::Cow;
use std::sync::Arc;

/// A checked stream import.
#[derive(Debug, Clone)]
pub struct StreamImport {
    /// Exporting account.
    pub exporter: Arc<str>,
    /// Subject there, may hold wildcards.
    pub from: Box<[u8]>,
    /// Subject here, with as many wildcards.
    pub to: Box<[u8]>,
    /// Message tracing may follow.
    pub allow_trace: bool,
    /// Until when a token admits it, seconds since the epoch; `None`: no end.
    pub expires: Option<i64>,
    rename: Rename,
}

#[derive(Debug, Clone)]
enum Rename {
    Same,
    /// Both sides are literal.
    Fixed,
    Map {
        here: Transform,
        there: Transform,
    },
}

impl PartialEq for StreamImport {
    fn eq(&self, other: &Self) -> bool {
        let maps = |s: &Self| match &s.rename {
            Rename::Map { here, .. } => here.dest().to_vec(),
            _ => Vec::new(),
        };
        (&self.exporter, &self.from, &self.to, self.allow_trace, self.expires)
            == (&other.exporter, &other.from, &other.to, other.allow_trace, other.expires)
            && maps(self) == maps(other)
    }
}

impl StreamImport {
    /// `local` is the subject here as written: literal, with wildcards, or with
    /// `$1` and `{{wildcard(1)}}` in any order.
    pub(super) fn new(
        exporter: Arc<str>,
        from: &str,
        local: &str,
        allow_trace: bool,
    ) -> Result<Self, ExchangeFault> {
        if !valid_subscribe(from.as_bytes()) || !valid_subscribe(local.as_bytes()) {
            return Err(ExchangeFault::Subject);
        }
        let rename = if from == local {
            Rename::Same
        } else if has_wildcards(from.as_bytes()) {
            let fault = |cause| ExchangeFault::Transform {
                kind: "stream",
                from: from.to_owned(),
                to: local.to_owned(),
                cause,
            };
            let here = Transform::strict(from.as_bytes(), &identity(local.as_bytes()));
            let here = here.map_err(fault)?;
            let there = here.reversed().map_err(fault)?;
            Rename::Map { here, there }
        } else {
            if has_wildcards(local.as_bytes()) {
                return Err(ExchangeFault::Subject);
            }
            Rename::Fixed
        };
        let to = match &rename {
            Rename::Map { there, .. } => there.src(),
            _ => local.as_bytes(),
        };
        let (from, to) = (from.as_bytes().into(), to.into());
        Ok(StreamImport { exporter, from, to, allow_trace, expires: None, rename })
    }

    /// The name here of a subject there that [`StreamImport::from`] matches.
    pub fn here<'a>(&'a self, subject: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.rename {
            Rename::Same => Cow::Borrowed(subject),
            Rename::Fixed => Cow::Borrowed(&self.to),
            Rename::Map { here, .. } => Cow::Owned(here.rewrite(subject, 0)),
        }
    }

    /// What to listen to there for a subscription to `wanted` here; `None`: the
    /// import brings nothing that it matches.
    pub fn there(&self, wanted: &[u8]) -> Option<Vec<u8>> {
        let part = intersection(wanted, &self.to)?;
        Some(match &self.rename {
            Rename::Same => part,
            Rename::Fixed => self.from.to_vec(),
            Rename::Map { there, .. } => there.rewrite(&part, 0),
        })
    }
}
