//! What one connection remembers of the mappings of its account.

use super::{Mapped, Mappings, mix};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::rc::Rc;

/// Cost of an entry besides its subjects.
const ENTRY_BYTES: usize = 64;

/// What becomes of a published subject; as [`Mapped`], but shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renamed {
    /// No mapping applies.
    Unchanged,
    /// It is published under this subject.
    To(Rc<[u8]>),
    /// Its mapping wants this share of messages to be lost.
    Lost,
}

impl From<Mapped> for Renamed {
    fn from(mapped: Mapped) -> Self {
        match mapped {
            Mapped::Unchanged => Renamed::Unchanged,
            Mapped::To(subject) => Renamed::To(subject.into()),
            Mapped::Lost => Renamed::Lost,
        }
    }
}

/// All that may become of a subject.
#[derive(Debug, Clone)]
enum Known {
    Unchanged,
    /// Subjects with the upper end of their share of a hundred; what is left is
    /// lost.
    Shares(Rc<[(u8, Rc<[u8]>)]>),
    /// Chance makes the subject: it is made anew each time.
    Made,
}

/// Results by subject, owned by one connection. A hit costs the comparison with
/// the last subject or one hash lookup and allocates nothing.
///
/// Limit: `limit` bytes in two halves. When the younger is full the older one is
/// forgotten and they change roles. To be cleared when the mappings change.
#[derive(Debug)]
pub struct MappingCache {
    young: HashMap<Rc<[u8]>, Known, FixedState>,
    old: HashMap<Rc<[u8]>, Known, FixedState>,
    bytes: usize,
    limit: usize,
    last: Option<(Rc<[u8]>, Known)>,
}

impl MappingCache {
    /// A cache of at most `limit` bytes; `seed` keeps others from choosing
    /// subjects that collide.
    pub fn new(limit: usize, seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        MappingCache {
            young: HashMap::with_hasher(hasher.clone()),
            old: HashMap::with_hasher(hasher),
            bytes: 0,
            limit,
            last: None,
        }
    }

    /// What `subject` becomes, as [`Mappings::map`] says. Always use it with the
    /// same mappings and cluster, or clear it between. `random` gives a fresh
    /// number; it is asked only if chance has a part in it.
    pub fn map(
        &mut self,
        mappings: &Mappings,
        subject: &[u8],
        cluster: impl Fn() -> String,
        random: impl FnOnce() -> u64,
    ) -> Renamed {
        if self.last.as_ref().is_none_or(|(s, _)| **s != *subject) {
            self.last = Some(self.find(mappings, subject, &cluster));
        }
        match &self.last {
            Some((_, Known::Shares(shares))) => pick(shares, random),
            Some((_, Known::Made)) => mappings.map(subject, &cluster(), random()).into(),
            Some((_, Known::Unchanged)) | None => Renamed::Unchanged,
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.bytes = 0;
        self.last = None;
    }

    fn find(
        &mut self,
        mappings: &Mappings,
        subject: &[u8],
        cluster: &impl Fn() -> String,
    ) -> (Rc<[u8]>, Known) {
        if let Some((key, known)) = self.young.get_key_value(subject) {
            return (key.clone(), known.clone());
        }
        let entry = match self.old.remove_entry(subject) {
            Some(entry) => entry,
            None => (subject.into(), know(mappings, subject, &cluster())),
        };
        self.keep(entry.clone());
        entry
    }

    fn keep(&mut self, (subject, known): (Rc<[u8]>, Known)) {
        let shares: usize = match &known {
            Known::Shares(shares) => shares.iter().map(|(_, s)| s.len() + ENTRY_BYTES).sum(),
            Known::Unchanged | Known::Made => 0,
        };
        let cost = ENTRY_BYTES + subject.len() + shares;
        if self.bytes + cost > self.limit / 2 {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        if cost <= self.limit / 2 {
            self.bytes += cost;
            self.young.insert(subject, known);
        }
    }
}

fn know(mappings: &Mappings, subject: &[u8], cluster: &str) -> Known {
    let Some(mapping) = mappings.of(subject) else { return Known::Unchanged };
    let shares = mapping.shares(cluster);
    if shares.iter().any(|(_, t)| t.is_random()) {
        return Known::Made;
    }
    Known::Shares(shares.iter().map(|(end, t)| (*end, t.rewrite(subject, 0).into())).collect())
}

fn pick(shares: &[(u8, Rc<[u8]>)], random: impl FnOnce() -> u64) -> Renamed {
    let share = match shares {
        [(100.., _), ..] => 0,
        _ => share(random()),
    };
    match shares.iter().find(|(end, _)| share < *end) {
        Some((_, subject)) => Renamed::To(subject.clone()),
        None => Renamed::Lost,
    }
}

/// Which of a hundred equal shares a message falls into.
pub(super) fn share(random: u64) -> u8 {
    (mix(random, u64::MAX) % 100) as u8
}

#[cfg(test)]
mod tests {
    use super::super::Destination;
    use super::*;

    fn mappings(all: &[(&str, &[(&str, u8)])]) -> Mappings {
        let mut m = Mappings::default();
        for (src, dests) in all {
            let dest = |(subject, weight): &(&str, u8)| Destination {
                subject: subject.as_bytes().to_vec(),
                weight: *weight,
                cluster: None,
            };
            m.add(src.as_bytes(), &dests.iter().map(dest).collect::<Vec<_>>()).unwrap();
        }
        m
    }

    #[test]
    fn it_says_what_the_mappings_say_whatever_was_asked_before() {
        let m = mappings(&[
            ("one.*", &[("to.$1", 100)]),
            ("lost", &[("lost", 0)]),
            ("some.*", &[("a.$1", 30), ("b.$1", 20)]),
            ("half.*", &[("half.$1", 50)]),
            ("any.*", &[("any.{{random(7)}}", 100)]),
            ("hash.*", &[("hash.{{partition(9,1)}}", 100)]),
        ]);
        // So small that it forgets all the time, and large enough for all.
        for limit in [0, 400, 1 << 20] {
            let mut cache = MappingCache::new(limit, 3);
            for n in 0..3000_u64 {
                let kinds = ["one", "some", "half", "any", "hash", "none"];
                let subject = match n % 8 {
                    7 => "lost".to_owned(),
                    kind => format!("{}.{}", kinds[kind as usize % 6], n * 7 % 11),
                };
                let random = mix(5, n);
                let want = Renamed::from(m.map(subject.as_bytes(), "", random));
                for _ in 0..2 {
                    let got = cache.map(&m, subject.as_bytes(), String::new, || random);
                    assert_eq!(got, want, "{subject}");
                }
            }
            assert!(cache.bytes <= limit / 2);
        }
    }

    #[test]
    fn chance_is_asked_only_where_it_matters() {
        let m = mappings(&[("a", &[("b", 100)])]);
        let mut cache = MappingCache::new(1000, 3);
        for subject in ["a", "a", "none"] {
            let nobody = || panic!("not needed");
            cache.map(&m, subject.as_bytes(), String::new, nobody);
        }
    }

    #[test]
    fn cleared_it_asks_again() {
        let (before, after) =
            (mappings(&[("a", &[("b", 100)])]), mappings(&[("a", &[("c", 100)])]));
        let mut cache = MappingCache::new(1000, 3);
        let map = |m, cache: &mut MappingCache| cache.map(m, b"a", String::new, || 0);
        assert_eq!(map(&before, &mut cache), Renamed::To(b"b"[..].into()));
        cache.clear();
        assert_eq!(map(&after, &mut cache), Renamed::To(b"c"[..].into()));
    }
}
