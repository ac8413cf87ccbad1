//! JetStream where it is on: a reload may turn it on or off.

use super::JetStream;
use arc_swap::{ArcSwapOption, Guard};
use std::sync::Arc;

/// Holds JetStream while it is on.
#[derive(Default)]
pub struct Slot(ArcSwapOption<JetStream>);

impl Slot {
    /// JetStream, to be kept for a while. Whoever keeps it keeps the store directory
    /// locked, so it must not be kept for longer than the work at hand takes.
    pub fn get(&self) -> Option<Arc<JetStream>> {
        self.0.load_full()
    }

    /// The same for a look, where it is often looked: nothing is counted.
    pub fn look(&self) -> Guard<Option<Arc<JetStream>>> {
        self.0.load()
    }

    /// From here on it is on.
    pub(super) fn put(&self, js: Arc<JetStream>) {
        self.0.store(Some(js));
    }

    /// From here on it is off.
    pub(super) fn take(&self) -> Option<Arc<JetStream>> {
        self.0.swap(None)
    }
}
