//! Who gets a message.

use bytes::Bytes;

/// All plain subscriptions that match, and the members of every queue group that
/// does, of which one is to be picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchResult<S> {
    /// Each of these gets the message.
    pub plain: Vec<S>,
    /// One member of each of these gets it.
    pub queues: Vec<QueueMatch<S>>,
}

/// A queue group: its members on all matching subjects together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueMatch<S> {
    /// Name of the group.
    pub name: Bytes,
    /// Its members, at least one.
    pub members: Vec<S>,
}

impl<S> Default for MatchResult<S> {
    fn default() -> Self {
        MatchResult { plain: Vec::new(), queues: Vec::new() }
    }
}

impl<S> MatchResult<S> {
    /// Whether nobody is interested.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.queues.is_empty()
    }

    /// Subscriptions in the result, queue members included.
    pub fn fanout(&self) -> usize {
        self.plain.len() + self.queues.iter().map(|q| q.members.len()).sum::<usize>()
    }

    /// The group called `name`.
    pub fn queue(&self, name: &[u8]) -> Option<&QueueMatch<S>> {
        self.queues.iter().find(|q| q.name == name)
    }

    /// Empties the result, keeping what it allocated for plain subscriptions.
    pub fn clear(&mut self) {
        self.plain.clear();
        self.queues.clear();
    }

    /// Bytes of the lists, without what an `S` points at.
    pub(crate) fn memory(&self) -> usize {
        let queues: usize = self
            .queues
            .iter()
            .map(|q| size_of::<QueueMatch<S>>() + q.members.capacity() * size_of::<S>())
            .sum();
        size_of::<Self>() + self.plain.capacity() * size_of::<S>() + queues
    }
}
