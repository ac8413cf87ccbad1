//! The mappings of an account: publishes are renamed by weight.

use super::cache::share;
use super::{Transform, TransformError, identity};
use crate::{has_wildcards, matches, valid_subscribe};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// One destination as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Template.
    pub subject: Vec<u8>,
    /// Percent.
    pub weight: u8,
    /// Only in the cluster of this name.
    pub cluster: Option<String>,
}

/// Why a mapping is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// The source is no subject.
    #[error("mapping source {0:?} is not a valid subject")]
    Source(String),
    /// The same destination twice.
    #[error("duplicate entry for {0:?}")]
    Duplicate(String),
    /// A weight above 100.
    #[error("individual weights need to be <= 100")]
    Weight,
    /// Weights of one cluster (or of none) above 100 together.
    #[error("total weight needs to be <= 100")]
    Total,
    /// The transform cannot be made.
    #[error("to {dest:?} : {cause}")]
    Transform {
        /// The destination.
        dest: String,
        /// Why.
        cause: TransformError,
    },
}

/// What becomes of a published subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapped {
    /// No mapping applies.
    Unchanged,
    /// It is published under this subject.
    To(Vec<u8>),
    /// Its mapping wants this share of messages to be lost.
    Lost,
}

/// An ordered set of mappings. The first whose source matches decides.
#[derive(Debug, Clone)]
pub struct Mappings {
    all: Vec<Mapping>,
    /// Places of sources without wildcards.
    literal: HashMap<Box<[u8]>, usize, FixedState>,
    /// Places of the others, ascending.
    wild: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct Mapping {
    src: Box<[u8]>,
    any: Shares,
    clusters: Vec<(String, Shares)>,
}

/// Transforms with the upper end of their share of a hundred.
pub(super) type Shares = Vec<(u8, Transform)>;

impl Default for Mappings {
    fn default() -> Self {
        let literal = HashMap::with_hasher(FixedState::default());
        Mappings { all: Vec::new(), literal, wild: Vec::new() }
    }
}

impl Mappings {
    /// Whether no subject is ever changed.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The sources, in order.
    pub fn sources(&self) -> impl Iterator<Item = &[u8]> {
        self.all.iter().map(|m| &*m.src)
    }

    /// For each source its destinations: template, upper end of its share of a
    /// hundred, and cluster (empty: all others).
    pub fn shares(&self) -> impl Iterator<Item = (&[u8], Vec<(&[u8], u8, &str)>)> {
        fn named<'a>(
            shares: &'a Shares,
            cluster: &'a str,
        ) -> impl Iterator<Item = (&'a [u8], u8, &'a str)> {
            shares.iter().map(move |(end, t)| (t.dest(), *end, cluster))
        }
        self.all.iter().map(|m| {
            let clusters = m.clusters.iter().flat_map(|(name, s)| named(s, name));
            (&*m.src, named(&m.any, "").chain(clusters).collect())
        })
    }

    /// Adds the mapping of `src`, or replaces the one it has. Weights below 100
    /// in sum leave the rest with the source, unless the source is itself a
    /// destination: then the rest is lost (contract/core.md §5).
    pub fn add(&mut self, src: &[u8], dests: &[Destination]) -> Result<(), MappingError> {
        if !valid_subscribe(src) {
            return Err(MappingError::Source(String::from_utf8_lossy(src).into_owned()));
        }
        let mut groups: Vec<(Option<&str>, Shares)> = vec![(None, Vec::new())];
        let mut keeps_src = false;
        for (i, d) in dests.iter().enumerate() {
            if dests.iter().take(i).any(|before| before.subject == d.subject) {
                let name = String::from_utf8_lossy(&d.subject).into_owned();
                return Err(MappingError::Duplicate(name));
            }
            keeps_src |= d.subject == src;
            let cluster = d.cluster.as_deref().filter(|c| !c.is_empty());
            let found = groups.iter().position(|(c, _)| *c == cluster);
            let at = found.unwrap_or_else(|| {
                groups.push((cluster, Vec::new()));
                groups.len() - 1
            });
            let Some((_, shares)) = groups.get_mut(at) else { continue };
            if d.weight > 100 {
                return Err(MappingError::Weight);
            }
            let sum: u32 = shares.iter().map(|(w, _)| u32::from(*w)).sum();
            if sum + u32::from(d.weight) > 100 {
                return Err(MappingError::Total);
            }
            shares.push((d.weight, transform(src, &d.subject)?));
        }
        let mut mapping = Mapping { src: src.into(), any: Vec::new(), clusters: Vec::new() };
        for (cluster, mut shares) in groups {
            let mut end = 0u8;
            for (weight, _) in &mut shares {
                end += *weight;
                *weight = end;
            }
            if end < 100 && !keeps_src {
                shares.push((100, transform(src, &identity(src))?));
            }
            match cluster {
                Some(name) => mapping.clusters.push((name.to_owned(), shares)),
                None => mapping.any = shares,
            }
        }
        self.put(mapping);
        Ok(())
    }

    fn put(&mut self, mapping: Mapping) {
        if let Some(old) = self.all.iter_mut().find(|m| m.src == mapping.src) {
            *old = mapping;
            return;
        }
        let at = self.all.len();
        if has_wildcards(&mapping.src) {
            self.wild.push(at);
        } else {
            self.literal.insert(mapping.src.clone(), at);
        }
        self.all.push(mapping);
    }

    /// What `subject` becomes in cluster `cluster` (empty: none).
    pub fn map(&self, subject: &[u8], cluster: &str, random: u64) -> Mapped {
        let Some(mapping) = self.of(subject) else { return Mapped::Unchanged };
        let share = share(random);
        match mapping.shares(cluster).iter().find(|(end, _)| share < *end) {
            Some((_, transform)) => Mapped::To(transform.rewrite(subject, random)),
            None => Mapped::Lost,
        }
    }

    /// All that `subject` may become in cluster `cluster`, with the percentage of
    /// messages, and the source of the mapping that says so. Functions of chance
    /// give one of their results. `None`: no mapping applies.
    pub fn outcomes(&self, subject: &[u8], cluster: &str) -> Option<(&[u8], Vec<(u8, Mapped)>)> {
        let mapping = self.of(subject)?;
        let (mut outcomes, mut before) = (Vec::new(), 0);
        for (end, transform) in mapping.shares(cluster) {
            outcomes.push((end - before, Mapped::To(transform.rewrite(subject, 0))));
            before = *end;
        }
        if before < 100 {
            outcomes.push((100 - before, Mapped::Lost));
        }
        Some((&mapping.src, outcomes))
    }

    /// The mapping that decides about `subject`.
    pub(super) fn of(&self, subject: &[u8]) -> Option<&Mapping> {
        if self.all.is_empty() {
            return None;
        }
        let exact = self.literal.get(subject).copied();
        let wild = self
            .wild
            .iter()
            .take_while(|&&at| exact.is_none_or(|e| at < e))
            .find(|&&at| self.all.get(at).is_some_and(|m| matches(subject, &m.src)));
        wild.copied().or(exact).and_then(|at| self.all.get(at))
    }
}

impl Mapping {
    pub(super) fn shares(&self, cluster: &str) -> &Shares {
        let own = self.clusters.iter().find(|(name, _)| name == cluster).map(|(_, s)| s);
        own.unwrap_or(&self.any)
    }
}

fn transform(src: &[u8], dest: &[u8]) -> Result<Transform, MappingError> {
    Transform::new(src, dest).map_err(|cause| {
        let dest = String::from_utf8_lossy(dest).into_owned();
        MappingError::Transform { dest, cause }
    })
}
