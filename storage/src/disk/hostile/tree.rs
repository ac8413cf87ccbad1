//! Names of the hostile disk: the tree readers see, the tree on the platter,
//! and the changes in between.

use super::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// Number of a file or directory; the root is 0.
pub(super) type Ino = u64;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Dir(Ino),
    File(Ino),
}

impl Node {
    fn ino(self) -> Ino {
        match self {
            Node::Dir(i) | Node::File(i) => i,
        }
    }
}

/// Directories and their entries.
pub(super) type Dirs = BTreeMap<Ino, BTreeMap<String, Node>>;

/// A place a name can be.
pub(super) type Place = (Ino, String);

/// One change of names, kept or lost as a whole.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// Place that loses its name.
    pub(super) unlink: Option<Place>,
    /// Place that gets a name.
    pub(super) link: Option<(Place, Node)>,
    /// What the change is about.
    pub(super) node: Node,
}

impl Change {
    fn places(&self) -> impl Iterator<Item = &Place> {
        self.unlink.iter().chain(self.link.iter().map(|(p, _)| p))
    }

    fn apply(&self, dirs: &mut Dirs) {
        if let Some((dir, name)) = &self.unlink
            && let Some(d) = dirs.get_mut(dir)
        {
            d.remove(name);
        }
        if let Some(((dir, name), node)) = &self.link {
            if let Node::Dir(i) = node {
                dirs.entry(*i).or_default();
            }
            // The directory's own name may come later, or never.
            dirs.entry(*dir).or_default().insert(name.clone(), *node);
        }
    }
}

/// Names on both sides of the cache.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub(super) cache: Dirs,
    platter: Dirs,
    pending: Vec<Change>,
}

impl Tree {
    pub(super) fn new(dirs: Dirs) -> Self {
        Self { cache: dirs.clone(), platter: dirs, pending: Vec::new() }
    }

    pub(super) fn change(&mut self, c: Change) {
        c.apply(&mut self.cache);
        self.pending.push(c);
    }

    /// Makes the changes that touch `dir` durable, with those they build on.
    pub(super) fn sync(&mut self, dir: Option<Ino>) {
        let mut places: BTreeSet<Place> = BTreeSet::new();
        let mut inos: BTreeSet<Ino> = BTreeSet::new();
        let mut keep = Vec::new();
        for c in self.pending.iter().rev() {
            let wanted = dir.is_none_or(|d| c.places().any(|(p, _)| *p == d))
                || c.places().any(|p| places.contains(p))
                || inos.contains(&c.node.ino());
            if wanted {
                places.extend(c.places().cloned());
                inos.insert(c.node.ino());
            }
            keep.push(!wanted);
        }
        keep.reverse();
        let pending = std::mem::take(&mut self.pending);
        for (c, keep) in pending.into_iter().zip(keep) {
            if keep {
                self.pending.push(c);
            } else {
                c.apply(&mut self.platter);
            }
        }
    }

    /// What a power cut leaves: a prefix of the changes, as a journal gives, or
    /// any set of them in which nothing builds on something lost.
    pub(super) fn crash(&self, rng: &mut Rng) -> Dirs {
        let mut dirs = self.platter.clone();
        if rng.coin() {
            let cut = rng.below(self.pending.len() as u64 + 1) as usize;
            self.pending.iter().take(cut).for_each(|c| c.apply(&mut dirs));
            return dirs;
        }
        let mut lost_places: BTreeSet<&Place> = BTreeSet::new();
        let mut lost_inos: BTreeSet<Ino> = BTreeSet::new();
        for c in &self.pending {
            let lost = rng.coin()
                || c.places().any(|p| lost_places.contains(p) || lost_inos.contains(&p.0))
                || lost_inos.contains(&c.node.ino());
            if lost {
                lost_places.extend(c.places());
                lost_inos.insert(c.node.ino());
            } else {
                c.apply(&mut dirs);
            }
        }
        dirs
    }
}
