//! The subscriptions of one subject, or of one queue group on it.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// From this many members on, their places are indexed by id: a subject with
/// thousands of subscribers must not be searched for each one that leaves.
const INDEX_FROM: usize = 32;

/// Members in no particular order.
#[derive(Debug)]
pub(crate) struct Members<S> {
    list: Vec<(u64, S)>,
    index: Option<Box<HashMap<u64, u32, FixedState>>>,
}

impl<S> Default for Members<S> {
    fn default() -> Self {
        Members { list: Vec::new(), index: None }
    }
}

impl<S> Members<S> {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn list(&self) -> &[(u64, S)] {
        &self.list
    }

    /// Adds a member, or replaces the value it has. Whether it is new.
    pub(crate) fn insert(&mut self, id: u64, value: S) -> bool {
        if let Some((_, old)) = self.find(id).and_then(|at| self.list.get_mut(at)) {
            *old = value;
            return false;
        }
        self.list.push((id, value));
        if let Some(index) = &mut self.index {
            index.insert(id, (self.list.len() - 1) as u32);
        } else if self.list.len() == INDEX_FROM {
            let places = self.list.iter().enumerate().map(|(at, (id, _))| (*id, at as u32));
            self.index = Some(Box::new(places.collect()));
        }
        true
    }

    /// Removes a member; the last one takes its place.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let Some(at) = self.find(id) else { return false };
        self.list.swap_remove(at);
        if let Some(index) = &mut self.index {
            index.remove(&id);
            if let Some((moved, _)) = self.list.get(at) {
                index.insert(*moved, at as u32);
            }
            if self.list.len() < INDEX_FROM / 2 {
                self.index = None;
            }
        }
        if self.list.capacity() > 8 && self.list.len() < self.list.capacity() / 4 {
            self.list.shrink_to(self.list.len() * 2);
        }
        true
    }

    fn find(&self, id: u64) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(&id).map(|&at| at as usize),
            None => self.list.iter().position(|(i, _)| *i == id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_come_and_go() {
        let mut members = Members::default();
        for id in 0..100u64 {
            assert!(members.insert(id, id * 2));
            assert!(!members.insert(id, id * 3));
        }
        for id in (0..100).step_by(3) {
            assert!(members.remove(id));
            assert!(!members.remove(id));
        }
        let mut left: Vec<_> = members.list().to_vec();
        left.sort_unstable();
        let want: Vec<_> = (0..100u64).filter(|i| i % 3 != 0).map(|i| (i, i * 3)).collect();
        assert_eq!(left, want);
        for id in 0..100 {
            assert_eq!(members.remove(id), id % 3 != 0);
        }
        assert!(members.is_empty() && members.index.is_none());
    }
}
