//! Which files of the log are still needed, and what becomes of the others.

use super::segment::Spare;
use super::{Lsn, Wal, WalError};
use crate::wal::format::PAGE;

impl Wal {
    /// Says that records of `group` below `lsn` are not needed any more, because
    /// a synced checkpoint holds what they say. Floors only rise; they are not
    /// stored, so after an open the owner sets them again.
    pub fn set_floor(&mut self, group: u64, lsn: Lsn) {
        let floor = self.floors.entry(group).or_insert(0);
        *floor = lsn.max(*floor);
    }

    /// Says that no record of `group` so far is needed any more.
    pub fn release_group(&mut self, group: u64) {
        self.set_floor(group, self.next);
    }

    /// Lets files with gaps be recycled like others: their groups were repaired
    /// or given up.
    pub fn release_damaged(&mut self) {
        self.segments.iter_mut().for_each(|s| s.damaged = false);
    }

    /// Recycles the oldest files as long as no group needs them; returns how
    /// many. The file being written stays.
    pub fn recycle(&mut self) -> Result<usize, WalError> {
        self.check_fence()?;
        let mut done = 0;
        while self.segments.len() > 1 && !self.front_is_pinned() {
            self.recycle_front()?;
            done += 1;
        }
        if done > 0 {
            let Self { floors, segments, .. } = self;
            floors.retain(|g, _| segments.iter().any(|s| s.groups.contains_key(g)));
        }
        Ok(done)
    }

    /// Bytes between `lsn` and the end of the log, as far as files hold them.
    pub fn bytes_since(&self, lsn: Lsn) -> u64 {
        let ends = self.segments.iter().skip(1).map(|s| s.first_lsn).chain([self.next]);
        let parts = self.segments.iter().zip(ends).map(|(s, next)| {
            // A damaged end leaves a hole between its lsns and the next file's.
            let end = next.min(s.first_lsn + s.capacity.saturating_sub(PAGE));
            end.saturating_sub(lsn.max(s.first_lsn))
        });
        parts.sum()
    }

    /// Bytes the log holds: what a recovery would read.
    pub fn live_bytes(&self) -> u64 {
        self.bytes_since(0)
    }

    /// Groups that keep the oldest file from being recycled, at most `limit`,
    /// each with the lsn its floor has to exceed. Empty if there is only the
    /// file being written.
    pub fn pinning(&self, limit: usize) -> Vec<(u64, Lsn)> {
        if self.segments.len() < 2 {
            return Vec::new();
        }
        let groups = self.segments.front().into_iter().flat_map(|s| &s.groups);
        groups.map(|(g, l)| (*g, *l)).filter(|(g, l)| self.pins(*g, *l)).take(limit).collect()
    }

    fn pins(&self, group: u64, last: Lsn) -> bool {
        self.floors.get(&group).is_none_or(|floor| last >= *floor)
    }

    fn front_is_pinned(&mut self) -> bool {
        let Some(front) = self.segments.front() else { return true };
        if front.damaged {
            return true;
        }
        // Most calls find the same group in the way; do not walk all of them.
        if let Some(g) = self.witness
            && front.groups.get(&g).is_some_and(|last| self.pins(g, *last))
        {
            return true;
        }
        self.witness = front.groups.iter().find(|(g, l)| self.pins(**g, **l)).map(|(g, _)| *g);
        self.witness.is_some()
    }

    /// The directory sync after each rename keeps the numbers on disk free of
    /// holes, whatever a crash does.
    fn recycle_front(&mut self) -> Result<(), WalError> {
        let Some(front) = self.segments.front() else { return Ok(()) };
        let (path, file) = (front.path.clone(), front.file.clone());
        let len = file.len().map_err(WalError::io("reading length of", &path))? / PAGE * PAGE;
        let keep = self.spares.len() < self.opts.keep_spares && len >= self.opts.first_bytes;
        if keep {
            let to = self.new_spare_path();
            self.disk.rename(&path, &to).map_err(WalError::io("recycling", &path))?;
            self.spares.push(Spare { path: to, len, fresh: false });
        } else {
            self.disk.remove(&path).map_err(WalError::io("removing", &path))?;
        }
        self.segments.pop_front();
        // Unsynced, the name may be there again after a crash, so the file must
        // not be written to: as serious as any other failed sync.
        self.disk.sync_dir(&self.dir).map_err(|e| self.fence("syncing directory", &e))?;
        Ok(())
    }
}
