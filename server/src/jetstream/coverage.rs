//! How much of the log a stream does not need any more.
//!
//! Two checkpoints are kept, and the newer may turn out to be damaged: the log
//! must reach back to the older. And a batch of the lane may hold several
//! submissions of one stream, handed back one by one: the end of the batch is
//! behind this stream only when the last of them came back. The simulator
//! (`tests/sim`) shows what is lost otherwise.

use gust_storage::wal::Lsn;

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Coverage {
    /// Records below are applied.
    applied: Lsn,
    /// End of the batch that came back last.
    batch: Lsn,
    /// Submissions that did not come back.
    outstanding: usize,
    /// What the newest durable checkpoint covers.
    newest: Lsn,
    /// What the one before it covers.
    released: Lsn,
    running: bool,
    broken: bool,
}

impl Coverage {
    /// Of a stream to which the log below `lsn` was replayed.
    pub fn replayed(lsn: Lsn) -> Self {
        Self { applied: lsn, batch: lsn, ..Self::default() }
    }

    /// Something was handed to the lane.
    pub fn submitted(&mut self) {
        self.outstanding += 1;
    }

    /// One of them is durable, in a batch ending at `end`, and applied.
    pub fn applied(&mut self, end: Lsn) {
        self.outstanding = self.outstanding.saturating_sub(1);
        if self.outstanding == 0 {
            self.applied = end;
        } else if end > self.batch {
            // Batches come back in order: all of the one before did.
            self.applied = self.applied.max(self.batch);
        }
        self.batch = end;
    }

    /// Whether a checkpoint should begin: none is under way, and the two there
    /// are hold less than was applied.
    pub fn wants_checkpoint(&self) -> bool {
        !self.running && !self.broken && self.released != self.applied
    }

    /// A checkpoint begins; what it will cover.
    pub fn begin(&mut self) -> Lsn {
        self.running = true;
        self.applied
    }

    /// The checkpoint covering `lsn` is durable; below the result the log is
    /// not needed.
    pub fn done(&mut self, lsn: Lsn) -> Lsn {
        self.running = false;
        self.released = std::mem::replace(&mut self.newest, lsn);
        self.released
    }

    /// The checkpoint failed. Unless the disk was merely full there is no other
    /// before a restart: after a failed sync the kernel counts the pages as
    /// clean, so the next sync would succeed and prove nothing.
    pub fn failed(&mut self, disk_full: bool) {
        self.running = false;
        self.broken |= !disk_full;
    }

    /// Whether a checkpoint failed for good.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether a checkpoint is under way.
    pub fn is_running(&self) -> bool {
        self.running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_batch_counts_when_all_of_it_came_back() {
        let mut c = Coverage::replayed(10);
        c.submitted();
        c.submitted();
        c.applied(20);
        assert_eq!(c.begin(), 10);
        c.applied(20);
        assert_eq!(c.begin(), 20);
        // Always something under way: the batch before counts.
        c.submitted();
        c.submitted();
        c.applied(30);
        c.submitted();
        c.applied(40);
        assert_eq!(c.begin(), 30);
    }

    #[test]
    fn the_log_reaches_back_to_the_checkpoint_before() {
        let mut c = Coverage::replayed(10);
        let first = c.begin();
        assert!(!c.wants_checkpoint());
        assert_eq!(c.done(first), 0);
        assert!(c.wants_checkpoint(), "the older one holds nothing yet");
        let second = c.begin();
        assert_eq!(c.done(second), 10);
        assert!(!c.wants_checkpoint());
    }

    #[test]
    fn after_a_failed_sync_there_is_no_checkpoint() {
        let mut c = Coverage::replayed(10);
        c.begin();
        c.failed(true);
        assert!(c.wants_checkpoint());
        c.begin();
        c.failed(false);
        assert!(!c.wants_checkpoint() && c.is_broken());
    }
}
