//! Stand-in for the subject tree.

use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) struct SubjectTree<V> {
    map: BTreeMap<Box<[u8]>, V>,
}

impl<V> Default for SubjectTree<V> {
    fn default() -> Self {
        SubjectTree { map: BTreeMap::new() }
    }
}

impl<V: Copy> SubjectTree<V> {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn get(&self, s: &[u8]) -> Option<&V> {
        self.map.get(s)
    }
    pub fn get_mut(&mut self, s: &[u8]) -> Option<&mut V> {
        self.map.get_mut(s)
    }
    pub fn insert(&mut self, s: &[u8], v: V) -> Option<V> {
        self.map.insert(s.into(), v)
    }
    pub fn remove(&mut self, s: &[u8]) -> Option<V> {
        self.map.remove(s)
    }
    pub fn for_each(&self, mut f: impl FnMut(&[u8], &V)) {
        self.map.iter().for_each(|(k, v)| f(k, v));
    }
    pub fn for_each_match(&self, filter: &[u8], mut f: impl FnMut(&[u8], &V)) {
        self.map
            .iter()
            .filter(|(k, _)| super::filter::matches(filter, k))
            .for_each(|(k, v)| f(k, v));
    }
    pub fn len(&self) -> usize {
        self.map.len()
    }
    pub fn memory(&self) -> usize {
        self.map.keys().map(|k| k.len() + 48).sum()
    }
}
